/*
 * login.c
 *	  Passwords and refresh tokens.
 */
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "command/login.h"
#include "engine/refusal.h"
#include "loop/http.h"
#include "util/file.h"
#include "util/sqlite.h"
#include "wire/json.h"

#define LONGEST_PASSWORD 1024

/*
 * A network that wants a log-in first answers in the server's place.  What it was
 * sent is known to it, but has not been used: the server is offline.
 */
static int
check_origin(const HttpAnswer *answer, Failure *failure)
{
	if (refusal_is_from_elsewhere(&answer->body, answer->status == 200 ? "token" : "error"))
		failure_set(failure, TIDE_OFFLINE, NOT_THE_SERVER, NOT_THE_SERVER_SAYS);
	return failure->result;
}

/* POST a small JSON object; no answer, 429 and 5xx are TIDE_OFFLINE. */
static int
post(const char *server, const char *path, const Buffer *body, HttpAnswer *answer,
	 Failure *failure)
{
	Http	   *http = http_new();
	Buffer		url = {0};

	memset(answer, 0, sizeof(*answer));
	buffer_text(&url, server);
	buffer_text(&url, path);
	if (http && !url.failed && !body->failed)
	{
		HttpRequest request = {
			.method = "POST",
			.url = url.data,
			.headers = "Content-Type: application/json\r\n",
			.body = body->data,
			.body_length = body->length
		};

		http_send(http, &request, answer);
	}
	else
		failure_memory(failure);
	http_free(http);
	buffer_free(&url);
	if (failure->result != TIDE_OK)
		return failure->result;
	if (answer->status == 0)
		failure_set(failure, TIDE_OFFLINE, "no_answer", "%s", answer->why);
	else if (answer->status == 429 || answer->status >= 500)
		failure_set(failure, TIDE_OFFLINE, "no_answer",
					"the server answered with status %d", answer->status);
	return failure->result;
}

/* What an answer other than 200 says. */
static int
refused(const HttpAnswer *answer, Failure *failure)
{
	Json		json;
	char	   *message = NULL;
	int			result = answer->status == 404 || answer->status == 405 ?
		TIDE_REFUSED : TIDE_SIGNED_OUT;

	if (answer->body.data)
	{
		if (json_parse(&json, answer->body.data, answer->body.length))
			message = json_text(&json, json_member(&json, json_member(&json, json.nodes,
																	  "error"), "message"));
		json_free(&json);
	}
	if (message)
		failure_set(failure, result, "not_logged_in", "%s", message);
	else
		failure_set(failure, result, "not_logged_in",
					"the server answered with status %d", answer->status);
	sqlite3_free(message);
	return result;
}

static bool
take_member(const Json *json, const char *name, char **field, Failure *failure)
{
	char	   *text = json_text(json, json_member(json, json->nodes, name));
	bool		good = text == NULL || tokens_set(field, text, failure);

	sqlite3_free(text);
	return good;
}

/* {token, refreshToken, expiresAt, userId, userType} */
static int
take_tokens(const HttpAnswer *answer, Tokens *tokens, Failure *failure)
{
	Json		json;
	bool		good;

	if (answer->body.data == NULL ||
		!json_parse(&json, answer->body.data, answer->body.length))
	{
		if (answer->body.data)
			json_free(&json);
		failure_set(failure, TIDE_REFUSED, "bad_reply", "the server's answer is not JSON");
		return failure->result;
	}
	good = take_member(&json, "token", &tokens->token, failure) &&
		take_member(&json, "refreshToken", &tokens->refresh, failure) &&
		take_member(&json, "expiresAt", &tokens->expires_at, failure) &&
		take_member(&json, "userId", &tokens->user_id, failure) &&
		take_member(&json, "userType", &tokens->user_type, failure);
	json_free(&json);
	if (good && tokens->token == NULL)
		failure_set(failure, TIDE_REFUSED, "bad_reply", "the server's answer has no token");
	return failure->result;
}

int
login_refresh(Tokens *tokens, Failure *failure)
{
	HttpAnswer	answer;
	Buffer		body = {0};
	int			code;

	buffer_text(&body, "{\"refreshToken\":");
	json_string(&body, tokens->refresh, strlen(tokens->refresh));
	buffer_char(&body, '}');
	code = post(tokens->server, "/api/v1/auth/refresh", &body, &answer, failure);
	if (code == TIDE_OK)
		code = check_origin(&answer, failure);
	if (code == TIDE_OK && answer.status != 200)
		code = refused(&answer, failure);
	if (code == TIDE_OK)
		code = take_tokens(&answer, tokens, failure);
	/* a refresh token is good once: the next one must not be lost */
	if (code == TIDE_OK && !tokens_save(tokens, failure))
		code = failure->result;
	buffer_free(&body);
	http_answer_free(&answer);
	return code;
}

/* The server forgets the refresh token, if it is there to be told. */
void
login_revoke(const Tokens *tokens)
{
	HttpAnswer	answer;
	Buffer		body = {0};
	Failure		failure = {0};

	if (tokens->refresh == NULL)
		return;
	buffer_text(&body, "{\"refreshToken\":");
	json_string(&body, tokens->refresh, strlen(tokens->refresh));
	buffer_char(&body, '}');
	(void) post(tokens->server, "/api/v1/auth/logout", &body, &answer, &failure);
	buffer_free(&body);
	http_answer_free(&answer);
}

/* A line, from a file or typed in without being shown. */
static bool
read_password(const char *path, char *password, Failure *failure)
{
	FILE	   *in = path ? fopen(path, "r") : stdin;
	struct termios before,
				silent;
	bool		hide = path == NULL && isatty(STDIN_FILENO) &&
		tcgetattr(STDIN_FILENO, &before) == 0;
	bool		good;

	if (in == NULL)
		return failure_set(failure, TIDE_USAGE, "cannot_read",
						   "could not read \"%s\"", path);
	if (hide)
	{
		fputs("Password: ", stderr);
		silent = before;
		silent.c_lflag &= ~(tcflag_t) ECHO;
		(void) tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
	}
	good = fgets(password, LONGEST_PASSWORD, in) != NULL;
	if (hide)
	{
		(void) tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
		fputc('\n', stderr);
	}
	if (path)
		fclose(in);
	if (!good)
		return failure_set(failure, TIDE_USAGE, "no_password", "there is no password");
	password[strcspn(password, "\r\n")] = '\0';
	return true;
}

/* Without the server: against the hash of the last login with it. */
static int
login_offline(const Tokens *tokens, const char *password, Failure *failure)
{
	/*
	 * why the server was not there stays the failure, if nobody was here
	 * before
	 */
	if (tokens->hash == NULL)
	{
		failure_hint(failure, "To log in offline, log in once while the server is there.");
		return TIDE_OFFLINE;
	}
	failure_clear(failure);
	if (!tokens_password_is(tokens, password))
	{
		failure_set(failure, TIDE_SIGNED_OUT, "not_logged_in",
					"the password is not the one of the last login");
		return TIDE_SIGNED_OUT;
	}
	puts("offline");
	return TIDE_OK;
}

static int
login_online(Tokens *tokens, const char *password, Failure *failure)
{
	HttpAnswer	answer;
	Buffer		body = {0};
	int			code;

	buffer_text(&body, "{\"username\":");
	json_string(&body, tokens->user, strlen(tokens->user));
	buffer_text(&body, ",\"password\":");
	json_string(&body, password, strlen(password));
	buffer_char(&body, '}');
	code = post(tokens->server, "/api/v1/auth/login", &body, &answer, failure);
	/* without a login before, it may as well be a wrong URL */
	if (code == TIDE_OK && tokens->hash)
		code = check_origin(&answer, failure);
	if (code == TIDE_OK && answer.status != 200)
		code = refused(&answer, failure);
	if (code == TIDE_OK)
		code = take_tokens(&answer, tokens, failure);
	if (code == TIDE_OK && (!tokens_set_password(tokens, password, failure) ||
							!tokens_save(tokens, failure)))
		code = failure->result;
	if (body.data)
		OPENSSL_cleanse(body.data, body.length);
	buffer_free(&body);
	http_answer_free(&answer);
	if (code == TIDE_OK)
		printf("logged in as %s\n", tokens->user);
	return code;
}

/* Those that are there already, else empty ones for this user. */
static bool
prepare_tokens(const char *server, const char *user, Tokens *tokens, Failure *failure)
{
	bool		found;

	if (!tokens_load(server, user, tokens, &found, failure))
		return false;
	if (found)
		return true;
	tokens_free(tokens);
	return tokens_set(&tokens->server, server, failure) &&
		tokens_set(&tokens->user, user, failure);
}

int
login_run(const Options *options)
{
	char		password[LONGEST_PASSWORD];
	char	   *server = text_copy(options->arguments[0]);
	Tokens		tokens = {0};
	Failure		failure = {0};
	size_t		length = server ? strlen(server) : 0;
	int			code,
				lock;

	while (length > 0 && server[length - 1] == '/')
		server[--length] = '\0';
	if (server == NULL)
		failure_memory(&failure);
	else if (read_password(options->password_file, password, &failure))
	{
		lock = tokens_lock(server);
		if (prepare_tokens(server, options->user, &tokens, &failure))
		{
			code = login_online(&tokens, password, &failure);
			if (code == TIDE_OFFLINE)
				code = login_offline(&tokens, password, &failure);
			failure.result = code;
		}
		tokens_unlock(lock);
	}
	OPENSSL_cleanse(password, sizeof(password));
	if (failure.result != TIDE_OK)
	{
		fprintf(stderr, "tide: %s\n", failure.message);
		if (failure.hint[0])
			fprintf(stderr, "hint: %s\n", failure.hint);
	}
	tokens_free(&tokens);
	sqlite3_free(server);
	return failure.result;
}
