/*
 * session.c
 *	  A file that a command works on, and the token for it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command/login.h"
#include "command/session.h"
#include "loop/handle.h"
#include "store/settings.h"
#include "util/file.h"
#include "wire/time.h"

#define BUSY_TIMEOUT_MS 10000

int
session_open(Session *s, const char *path, SessionMode mode)
{
	bool		create = mode == SESSION_MAKE;
	int			flags = SQLITE_OPEN_READWRITE | (create ? SQLITE_OPEN_CREATE : 0);
	const char *pragmas = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL";
	int			code;

	memset(s, 0, sizeof(*s));
	if (!create && access(path, F_OK) != 0)
	{
		failure_set(&s->failure, TIDE_LOCAL, "cannot_open", "could not open \"%s\": %s",
					path, strerror(errno));
		return TIDE_LOCAL;
	}
	if (sqlite3_open_v2(path, &s->db, flags, NULL) != SQLITE_OK)
	{
		failure_set(&s->failure, TIDE_LOCAL, "cannot_open", "could not open \"%s\": %s",
					path, s->db ? sqlite3_errmsg(s->db) : "out of memory");
		return TIDE_LOCAL;
	}
	sqlite3_extended_result_codes(s->db, 1);
	sqlite3_busy_timeout(s->db, BUSY_TIMEOUT_MS);
	if (create && sqlite3_exec(s->db, pragmas, NULL, NULL, NULL) != SQLITE_OK)
	{
		failure_set(&s->failure, TIDE_LOCAL, "cannot_open", "could not use \"%s\": %s",
					path, sqlite3_errmsg(s->db));
		return TIDE_LOCAL;
	}
	if (!create)
		(void) sqlite3_exec(s->db, "PRAGMA synchronous = NORMAL", NULL, NULL, NULL);
	code = tide_attach(s->db, &s->t);
	if (code == TIDE_OK && mode == SESSION_OURS && !tide_is_set_up(s->t))
	{
		failure_set(&s->failure, TIDE_LOCAL, "not_set_up",
					"\"%s\" is no file that tide clone made, or attach", path);
		return TIDE_LOCAL;
	}
	return code;
}

void
session_close(Session *s)
{
	tide_close(s->t);
	tokens_free(&s->tokens);
	sqlite3_close(s->db);
	memset(s, 0, sizeof(*s));
}

const Failure *
session_failure(Session *s)
{
	if (s->failure.result == TIDE_OK && s->t)
		return &s->t->engine.store.failure;
	return &s->failure;
}

void
session_complain(Session *s)
{
	const Failure *f = session_failure(s);

	fprintf(stderr, "tide: %s\n", f->message[0] ? f->message : "out of memory");
	if (f->hint[0])
		fprintf(stderr, "hint: %s\n", f->hint);
}

int
session_use_token_file(Session *s, const char *path)
{
	char	   *whole = realpath(path, NULL);
	bool		good;

	if (whole == NULL)
	{
		failure_set(&s->failure, TIDE_SIGNED_OUT, "no_token",
					"could not read \"%s\": %s", path, strerror(errno));
		return TIDE_SIGNED_OUT;
	}
	good = setting_set(&s->t->engine.store, "token_file", whole);
	free(whole);
	return good ? TIDE_OK : TIDE_LOCAL;
}

/* The token is the file's text, without the space around it. */
static int
use_token_of(Session *s, const char *path)
{
	Buffer		text = {0};
	Failure		failure = {0};
	char	   *token;
	int			code;

	if (!file_read(path, &text, &failure) || text.data == NULL)
	{
		buffer_free(&text);
		failure_set(&s->failure, TIDE_SIGNED_OUT, "no_token", "%s",
					failure.message[0] ? failure.message : "the token file is empty");
		return TIDE_SIGNED_OUT;
	}
	token = text.data + strspn(text.data, " \t\r\n");
	token[strcspn(token, " \t\r\n")] = '\0';
	code = tide_set_token(s->t, token);
	buffer_free(&text);
	return code;
}

static int
say_signed_out(Session *s, const char *server)
{
	failure_set(&s->failure, TIDE_SIGNED_OUT, "signed_out",
				"nobody is logged in at \"%s\"", server);
	failure_hint(&s->failure, "Use \"tide login %s --user NAME\".", server);
	return TIDE_SIGNED_OUT;
}

static int
use_login(Session *s, const char *server, const char *user)
{
	char	   *subject = NULL;
	bool		found = false;
	bool		good;

	good = setting_get(&s->t->engine.store, "user", &subject);
	if (good && user)
		good = tokens_load(server, user, &s->tokens, &found, &s->failure);
	else if (good)
		good = tokens_find(server, subject, &s->tokens, &found, &s->failure);
	sqlite3_free(subject);
	if (!good)
		return session_failure(s)->result;
	if (!found)
		return say_signed_out(s, server);
	return tide_set_token(s->t, s->tokens.token);
}

static bool
has_expired(const Tokens *tokens)
{
	int64_t		at;

	return tokens->expires_at &&
		time_parse(tokens->expires_at, strlen(tokens->expires_at), &at) &&
		at / 1000 <= tide_now();
}

/*
 * Tokens of a login.  Other processes use the same ones, and a refresh token is
 * good once: what one of them was given is taken, or refreshed.
 */
static int
get_next(Session *s, const char *refused)
{
	int			lock = tokens_lock(s->tokens.server);
	Tokens		tokens;
	bool		found;
	int			code = TIDE_OK;

	if (!tokens_load(s->tokens.server, s->tokens.user, &tokens, &found, &s->failure))
		code = s->failure.result;
	else if (!found)
		code = say_signed_out(s, s->tokens.server);
	tokens_free(code == TIDE_OK ? &s->tokens : &tokens);
	if (code == TIDE_OK)
		s->tokens = tokens;
	if (code == TIDE_OK && s->tokens.refresh &&
		(refused == NULL || strcmp(s->tokens.token, refused) == 0 || has_expired(&s->tokens)))
		code = login_refresh(&s->tokens, &s->failure);
	tokens_unlock(lock);
	return code;
}

/*
 * The token that there is was refused: a token file may have a new one by now,
 * tokens of a login are refreshed.  What is the same as before is of no use.
 */
static int
get_token(void *arg, tide *t)
{
	Session    *s = arg;
	char	   *before = t->engine.token ? text_copy(t->engine.token) : NULL;
	const Failure refusal = t->engine.store.failure;
	int			code;

	failure_clear(&s->failure);
	if (s->tokens.refresh)
	{
		code = get_next(s, before);
		if (code == TIDE_OK)
			code = tide_set_token(t, s->tokens.token);
	}
	else
		code = session_sign_in(s, NULL, NULL);
	if (code == TIDE_OK && before && strcmp(before, t->engine.token) == 0)
	{
		failure_set(&s->failure, TIDE_SIGNED_OUT, "token_refused",
					"the server does not take the token: %s",
					refusal.result == TIDE_SIGNED_OUT ? refusal.message : "it may have expired");
		if (refusal.result == TIDE_SIGNED_OUT && refusal.hint[0])
			failure_hint(&s->failure, "%s", refusal.hint);
		code = TIDE_SIGNED_OUT;
	}
	sqlite3_free(before);
	return code;
}

int
session_sign_in(Session *s, const char *server, const char *user)
{
	Store	   *store = &s->t->engine.store;
	char	   *token_file = NULL;
	char	   *of_file = NULL;
	int			code;

	tide_on_token(s->t, get_token, s);
	if (user == NULL && !setting_get(store, "token_file", &token_file))
		return TIDE_LOCAL;
	if (server == NULL && !setting_get(store, "server", &of_file))
	{
		sqlite3_free(token_file);
		return TIDE_LOCAL;
	}
	if (token_file)
		code = use_token_of(s, token_file);
	else
		code = use_login(s, server ? server : of_file ? of_file : "", user);
	sqlite3_free(token_file);
	sqlite3_free(of_file);
	return code;
}
