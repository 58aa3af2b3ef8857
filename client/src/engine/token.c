/*
 * token.c
 *	  Whose token it is: a file belongs to one user.
 */
#include <string.h>

#include "engine/engine.h"
#include "engine/steps.h"
#include "store/settings.h"

static int
base64_digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '-' || c == '+')
		return 62;
	if (c == '_' || c == '/')
		return 63;
	return -1;
}

/* The sub of a JWT.  It is not verified: that is the server's to do. */
char *
engine_token_user(const char *token)
{
	const char *at = strchr(token, '.');
	Buffer		claims = {0};
	Json		json;
	char	   *user = NULL;
	unsigned int bits = 0;
	int			n = 0;

	for (at = at ? at + 1 : ""; *at && *at != '.'; at++)
	{
		int			digit = base64_digit(*at);

		if (digit < 0)
			break;
		bits = bits << 6 | (unsigned int) digit;
		n += 6;
		if (n >= 8)
		{
			n -= 8;
			buffer_char(&claims, (char) (bits >> n & 0xff));
		}
	}
	if (!claims.failed && claims.data && json_parse(&json, claims.data, claims.length))
	{
		user = json_text(&json, json_member(&json, json.nodes, "sub"));
		json_free(&json);
	}
	buffer_free(&claims);
	return user;
}

static bool
check_user(Engine *e, const char *user)
{
	char	   *owner;
	bool		same;

	if (e->store.db == NULL || !setting_get(&e->store, "user", &owner))
		return false;
	if (owner == NULL)
		return setting_set(&e->store, "user", user);
	same = strcmp(owner, user) == 0;
	if (!same)
		failure_set(&e->store.failure, TIDE_SIGNED_OUT, "other_user",
					"the file belongs to user \"%s\", the token is of \"%s\"",
					owner, user);
	sqlite3_free(owner);
	return same;
}

static void
forget_token(Engine *e)
{
	sqlite3_free(e->token);
	sqlite3_free(e->token_user);
	e->token = NULL;
	e->token_user = NULL;
	e->token_refused = false;
}

/*
 * Before each sync: a file that was restored under a running process may be
 * somebody else's, and its user may have logged out by another.
 */
bool
engine_check_owner(Engine *e)
{
	if (setting_is(&e->store, "signed_out", "1"))
	{
		forget_token(e);
		return failure_set(&e->store.failure, TIDE_SIGNED_OUT, "signed_out",
						   "the file's user has logged out");
	}
	return e->store.failure.result == TIDE_OK &&
		(e->token_user == NULL || check_user(e, e->token_user));
}

bool
engine_set_token(Engine *e, const char *token)
{
	char	   *user,
			   *copy;

	if (token == NULL)
	{
		forget_token(e);
		return true;
	}
	user = engine_token_user(token);
	if (user == NULL || strpbrk(token, "\r\n") != NULL)
	{
		sqlite3_free(user);
		return failure_set(&e->store.failure, TIDE_SIGNED_OUT, "bad_token",
						   "the token is not a JWT with a user in it");
	}
	copy = text_copy(token);
	if (copy == NULL || !check_user(e, user))
	{
		if (copy == NULL)
			failure_memory(&e->store.failure);
		sqlite3_free(user);
		sqlite3_free(copy);
		return false;
	}
	if (setting_is(&e->store, "signed_out", "1"))
		(void) setting_set(&e->store, "signed_out", NULL);
	forget_token(e);
	e->token = copy;
	e->token_user = user;
	return true;
}
