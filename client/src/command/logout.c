/*
 * logout.c
 *	  tide logout: the file's user, on this machine.
 */
#include <stdio.h>

#include "command/login.h"
#include "command/logout.h"
#include "loop/handle.h"
#include "store/settings.h"

/* Who is logged in as the file's user; none with a token file. */
static int
find_tokens(Session *s, bool *found)
{
	Store	   *store = &s->t->engine.store;
	char	   *server = NULL;
	char	   *subject = NULL;
	bool		good = setting_get(store, "server", &server) &&
		setting_get(store, "user", &subject);

	*found = false;
	if (good && server && subject)
		good = tokens_find(server, subject, &s->tokens, found, &s->failure);
	sqlite3_free(server);
	sqlite3_free(subject);
	return good ? TIDE_OK : session_failure(s)->result;
}

int
logout_run(Session *s, const Options *options)
{
	bool		found = false;
	int			code = session_open(s, options->arguments[0], SESSION_OURS);

	if (code == TIDE_OK)
		code = find_tokens(s, &found);
	if (code == TIDE_OK)
		code = tide_logout(s->t, (options->force ? TIDE_LOGOUT_FORCE : 0) |
						   (options->wipe ? TIDE_LOGOUT_WIPE : 0));
	if (code == TIDE_SOME_FAILED)
	{
		session_complain(s);
		fputs("hint: Use \"tide sync\" first, or --force to log out all the same.\n", stderr);
		return code;
	}
	if (code == TIDE_OK && found)
	{
		login_revoke(&s->tokens);
		if (!tokens_remove(&s->tokens, &s->failure))
			code = s->failure.result;
	}
	if (code == TIDE_OK)
		puts(options->wipe ? "logged out, and the rows are gone" : "logged out");
	return code;
}
