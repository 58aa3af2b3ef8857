/*-------------------------------------------------------------------------
 *
 * failure.c
 *	  Why a request failed, and the one table that maps SQLSTATEs to replies.
 *
 * The server's own messages are passed on only if they are about the request
 * itself.  All others (permissions, internal errors, an absent database) are
 * replaced by fixed texts: they could name tables, roles or values of other
 * users.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "util/failure.h"
#include "util/text.h"

#define RETRY_AFTER_SECONDS 1
#define PRIVILEGE_HINT "The gateway's log names the object; tide.check() says what a role lacks."

typedef enum Policy
{
	POLICY_KEEP,				/* pass the server's message and hint on */
	POLICY_FIXED				/* replace them by a text of ours */
} Policy;

typedef struct Rule
{
	const char *prefix;			/* a SQLSTATE, or its class; first match wins */
	int			status;
	const char *code;
	Policy		policy;
	const char *message;		/* for POLICY_FIXED */
} Rule;

static const Rule rules[] = {
	{"TD001", 400, "malformed_request", POLICY_KEEP, NULL},
	{"TD002", 400, "malformed_cursor", POLICY_KEEP, NULL},
	{"TD003", 400, "unknown_entity_type", POLICY_KEEP, NULL},
	{"TD004", 400, "use_cursor", POLICY_KEEP, NULL},
	{"TD005", 403, "scope_not_allowed", POLICY_KEEP, NULL},
	{"TD006", 403, "no_claims", POLICY_KEEP, NULL},
	{"TD007", 410, "resync_required", POLICY_KEEP, NULL},
	{"TD008", 413, "too_many_changes", POLICY_KEEP, NULL},
	{"TD009", 409, "ambiguous_entity_type", POLICY_KEEP, NULL},
	{"TD010", 409, "batch_id_reused", POLICY_KEEP, NULL},
	{"TD011", 400, "too_many_scopes", POLICY_KEEP, NULL},
	{"TD012", 503, "try_again", POLICY_FIXED,
	"the database has just been started, try again"},
	{"TD013", 413, "row_too_large", POLICY_KEEP, NULL},
	{"TD014", 400, "incomplete_cursor", POLICY_KEEP, NULL},
	{"TD015", 403, "not_allowed", POLICY_FIXED,
	"the token's role may not be used here"},
	{"TD016", 503, "try_again", POLICY_FIXED,
	"the database's transactions are not what a push needs"},
	{"TD017", 503, "try_again", POLICY_FIXED,
	"the standby is behind this client, try again"},
	{"TD018", 403, "schema_not_allowed", POLICY_KEEP, NULL},
	{"TD019", 503, "try_again", POLICY_FIXED,
	"the push conflicted with others, try again"},
	{"TD021", 400, "missing_key", POLICY_KEEP, NULL},
	{"TD022", 400, "bad_time", POLICY_KEEP, NULL},
	{"0A000", 400, "not_supported", POLICY_KEEP, NULL},
	{"42501", 403, "not_allowed", POLICY_FIXED, "permission denied"},
	{"22", 400, "invalid_value", POLICY_KEEP, NULL},
	{"21", 400, "invalid_value", POLICY_KEEP, NULL},
	{"23", 400, "constraint_violation", POLICY_FIXED,
	"the request violates a constraint of the database"},
	{"40", 503, "try_again", POLICY_FIXED,
	"the request conflicted with others, try again"},
	{"53", 503, "try_again", POLICY_FIXED,
	"the database is short of resources, try again"},
	/* not the whole class: 55000 is a table that does not fit its settings */
	{"55P03", 503, "try_again", POLICY_FIXED,
	"the database is busy, try again"},
	{"57014", 503, "try_again", POLICY_FIXED,
	"the request took too long and was cancelled"},
	{"57", 503, "try_again", POLICY_FIXED,
	"the database is not available, try again"},
	{"58", 503, "try_again", POLICY_FIXED,
	"the database is not available, try again"},
	{"08", 503, "try_again", POLICY_FIXED,
	"the database is not available, try again"},
	{"", 500, "internal_error", POLICY_FIXED,
	"the server could not carry out the request"}
};

/* Errors of reading a pushed body as jsonb: the client's malformed JSON. */
static const char *const body_errors[] = {
	"22P02", "22P05", "22021", "22032", "54001", "54000", NULL
};

/* The database's encoding lacks a character. */
#define UNTRANSLATABLE	"22P05"

static const char *const missing_object[] = {"3F000", "42883", "42P01", NULL};

static bool
is_one_of(const char *sqlstate, const char *const *list)
{
	for (; *list != NULL; list++)
	{
		if (strcmp(sqlstate, *list) == 0)
			return true;
	}
	return false;
}

/*
 * Copy what fits, without half a character at the end; nothing if the source is
 * not UTF-8.
 */
static void
copy_text(char *target, size_t size, const char *source)
{
	size_t		length = source == NULL ? 0 : strlen(source);

	if (length >= size)
	{
		length = size - 1;
		while (length > 0 && ((unsigned char) source[length] & 0xC0) == 0x80)
			length--;
	}
	if (length > 0)
		memcpy(target, source, length);
	target[length] = '\0';
	if (!text_is_utf8(target, length))
		target[0] = '\0';
}

/*
 * "message" may be a server's; "hint" may be NULL.  Always false, so that a
 * check can end with it.
 */
bool
failure_set(Failure *failure, int status, const char *code,
			const char *message, const char *hint)
{
	failure->status = status;
	failure->code = code;
	failure->retry_after = status == 503 ? RETRY_AFTER_SECONDS : 0;
	copy_text(failure->message, sizeof(failure->message), message);
	copy_text(failure->hint, sizeof(failure->hint), hint);
	return false;
}

/* A failure of a request that may succeed when it is sent again. */
bool
failure_try_again(Failure *failure, const char *message)
{
	return failure_set(failure, 503, "try_again", message, NULL);
}

/*
 * Translate an error of the server.  "in_our_text": it is at a place of the text
 * that we have sent, not within a function.  "sqlstate" may be NULL: libpq's own
 * errors have none, and mean that the connection is gone.
 */
void
failure_from_sqlstate(Failure *failure, FailedStep step, bool is_push,
					  bool in_our_text, const char *sqlstate,
					  const char *message, const char *hint)
{
	const Rule *rule = rules;

	if (sqlstate == NULL)
		sqlstate = "08006";

	/* no such role, or the gateway may not switch to it */
	if (strcmp(sqlstate, "TD015") == 0 ||
		(step == STEP_ROLE &&
		 (strcmp(sqlstate, "22023") == 0 || strcmp(sqlstate, "42501") == 0)))
	{
		failure_set(failure, 403, "not_allowed",
					"the token's role may not be used here",
					"The gateway's database role must be a member of it.");
		return;
	}

	/*
	 * These would be errors of the client, but it has no part in the two.  It
	 * has in a character of its claims or its clientId that the database lacks.
	 */
	if (step == STEP_SETTINGS && strncmp(sqlstate, "22", 2) == 0 &&
		strcmp(sqlstate, UNTRANSLATABLE) != 0)
	{
		failure_set(failure, 503, "not_ready",
					"the database does not take a setting of the gateway", NULL);
		return;
	}
	if (step == STEP_BEGIN &&
		(strcmp(sqlstate, "0A000") == 0 || strcmp(sqlstate, "25006") == 0))
	{
		failure_try_again(failure,
						  "the database is a standby, which takes no changes");
		return;
	}

	/* our own statements name nothing but tide; a user's trigger anything */
	if (is_one_of(sqlstate, missing_object) && in_our_text)
	{
		failure_set(failure, 503, "not_ready",
					"pg_tide is not installed in this database",
					"CREATE EXTENSION pg_tide in the database of database-url.");
		return;
	}

	if (is_push && step == STEP_CALL && is_one_of(sqlstate, body_errors))
	{
		failure_set(failure, 400, "malformed_request", message, hint);
		return;
	}

	while (strncmp(sqlstate, rule->prefix, strlen(rule->prefix)) != 0)
		rule++;
	if (rule->policy == POLICY_KEEP)
		failure_set(failure, rule->status, rule->code, message, hint);
	else
		failure_set(failure, rule->status, rule->code, rule->message,
					strcmp(sqlstate, "42501") == 0 ? PRIVILEGE_HINT : NULL);
}

/*
 * Is this an error of how the database is set up, whose message names objects
 * and roles, and no values?  Then the log may have it.
 */
bool
failure_is_setup(const char *sqlstate)
{
	return sqlstate != NULL &&
		(strncmp(sqlstate, "28", 2) == 0 || strncmp(sqlstate, "3F", 2) == 0 ||
		 strncmp(sqlstate, "42", 2) == 0);
}

/*
 * Hide an error of a login: a client learns only whether to try again, because
 * the errors of a login function may be about the password.  "sqlstate" may be
 * NULL.
 */
void
failure_hide(Failure *failure, const char *sqlstate)
{
	/* no name or password that is stored there has such a character */
	if (sqlstate != NULL && strcmp(sqlstate, UNTRANSLATABLE) == 0)
		failure_set(failure, 401, "invalid_credentials",
					"the username or the password is wrong", NULL);
	else if (failure->status == 403 ||
		(sqlstate != NULL && is_one_of(sqlstate, missing_object)))
		failure_set(failure, 503, "not_ready",
					"logging in is not set up in this database", NULL);
	else if (failure->status != 503)
		failure_set(failure, 500, "internal_error",
					"the server could not carry out the request", NULL);
}

/* Would the same transaction, run again, probably succeed? */
bool
failure_is_retryable_conflict(const char *sqlstate)
{
	return sqlstate != NULL &&
		(strcmp(sqlstate, "40001") == 0 || strcmp(sqlstate, "40P01") == 0);
}

/* The body of an error reply; body->failed when memory ran out. */
void
failure_write(const Failure *failure, Buffer *body)
{
	cJSON	   *document = cJSON_CreateObject();
	cJSON	   *error = cJSON_AddObjectToObject(document, "error");
	char	   *text;

	cJSON_AddStringToObject(error, "code", failure->code);
	cJSON_AddStringToObject(error, "message", failure->message);
	if (failure->hint[0] != '\0')
		cJSON_AddStringToObject(error, "hint", failure->hint);
	else
		cJSON_AddNullToObject(error, "hint");

	text = cJSON_PrintUnformatted(document);
	if (text != NULL)
		buffer_append_text(body, text);
	else
		body->failed = true;
	cJSON_free(text);
	cJSON_Delete(document);
}
