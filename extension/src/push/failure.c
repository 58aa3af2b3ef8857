/*-------------------------------------------------------------------------
 *
 * failure.c
 *	  Changes that fail: which errors a change is to blame for, and what the reply
 *	  says of them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "push/change.h"
#include "table/registry.h"
#include "util/errors.h"

/* the word for an error of ours; NULL if it is another error */
static const char *
failure_word(int sqlerrcode)
{
	static const struct
	{
		int			code;
		const char *word;
	}			words[] = {
		{ERRCODE_TIDE_UNKNOWN_ENTITY_TYPE, "unknown_entity_type"},
		{ERRCODE_TIDE_AMBIGUOUS_TYPE, "ambiguous_entity_type"},
		{ERRCODE_TIDE_SCOPE_NOT_ALLOWED, "scope_not_allowed"},
		{ERRCODE_TIDE_SCOPE_MISSING, "scope_missing"},
		{ERRCODE_TIDE_UNKNOWN_COLUMN, "unknown_column"},
		{ERRCODE_TIDE_MISSING_KEY, "missing_key"},
		{ERRCODE_TIDE_BAD_TIME, "bad_time"},
		{ERRCODE_TIDE_MALFORMED_CHANGE, "malformed_change"},
		{ERRCODE_TIDE_NOT_STORED, "not_stored"},
		{ERRCODE_TIDE_RESYNC_REQUIRED, "resync_required"},
		{ERRCODE_FEATURE_NOT_SUPPORTED, "not_supported"}
	};
	int			i;

	for (i = 0; i < lengthof(words); i++)
		if (words[i].code == sqlerrcode)
			return words[i].word;
	return NULL;
}

/*
 * Can a change be to blame for this error?  The list is closed.  Other errors
 * are errors of the push as a whole, so that the client keeps its changes:
 * those that another try would mend (a conflict with others, a lock,
 * resources, a shutdown), and those that say what is wrong with the database.
 */
bool
change_is_to_blame(Push *push, const ErrorData *error)
{
	switch (ERRCODE_TO_CATEGORY(error->sqlerrcode))
	{
		case ERRCODE_DATA_EXCEPTION:
		case ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION:
		case ERRCODE_PLPGSQL_ERROR:
			return true;
			/* too large for an index, or nested too deeply */
		case ERRCODE_PROGRAM_LIMIT_EXCEEDED:
			/* a trigger of one row has changed another one of the set */
		case ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION:
			return true;
		case ERRCODE_FEATURE_NOT_SUPPORTED:
		case ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION:
			/* for example a value of type regclass that names nothing */
			return push->is_converting ||
				error->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE;
	}
	return error->sqlerrcode == ERRCODE_TIDE_AGAIN || failure_word(error->sqlerrcode) != NULL;
}

/*
 * Was a new row refused for lack of a scope, because its user may write in
 * several?
 */
static bool
lacks_scope(Change *c, const ErrorData *error)
{
	PushTable  *table = c->table;

	return error->sqlerrcode == ERRCODE_NOT_NULL_VIOLATION && error->column_name &&
		table && change_may_lack_scope(c) &&
		strcmp(error->column_name, tracked_column(table->t, table->t->scope)->name) == 0;
}

const char *
change_scope_missing(Change *c)
{
	TrackedTable *t = c->table->t;

	return psprintf("a new row of \"%s\" needs \"%s\": its user may write in several scopes",
					t->entity_type, tracked_column(t, t->scope)->wire);
}

/*
 * does the change name no scope although the caller has several to choose
 * from?
 */
bool
change_may_lack_scope(Change *c)
{
	TrackedTable *t = c->table->t;
	TableScopes *scopes = &c->table->scopes;

	return c->typed.done && !c->typed.is_delete && !scopes->any && scopes->n > 1 &&
		t->path == NULL && !tracked_column(t, t->scope)->key &&
		!bms_is_member(t->scope, c->typed.columns);
}

/*
 * A message may repeat what was sent, and what was sent may be long.  The
 * reply would repeat it for each change.
 */
#define SHOWN_MAX 400

static const char *
clipped(const char *text)
{
	int			len = text ? strlen(text) : 0;

	if (len <= SHOWN_MAX)
		return text;
	return psprintf("%.*s...", pg_mbcliplen(text, len, SHOWN_MAX), text);
}

/*
 * Keep an error with the change.  The strings of the error must live as long
 * as the change.
 */
void
change_fail(Change *c, ErrorData *error)
{
	const char *word = failure_word(error->sqlerrcode);

	if (lacks_scope(c, error))
	{
		change_fail_as(c, "scope_missing", change_scope_missing(c));
		c->outcome.failure.column = tracked_column(c->table->t, c->table->t->scope)->wire;
		return;
	}

	/*
	 * nothing of an attempt that was undone: its row is not there, nor its
	 * memory
	 */
	c->outcome = (Outcome)
	{
		VERDICT_FAILED
	};
	c->outcome.failure.code = word ? word : pstrdup(unpack_sql_state(error->sqlerrcode));
	c->outcome.failure.message = error->message ? clipped(error->message) : "unknown error";
	c->outcome.failure.constraint = error->constraint_name;
	c->outcome.failure.column = clipped(error->column_name);
	if (word == NULL && error->column_name && c->table)
	{
		/* clients know columns by their names on the wire */
		TrackedColumn *column = tracked_column_by_name(c->table->t, error->column_name);

		if (column && column_is_synced(column))
			c->outcome.failure.column = column->wire;
	}
}

void
change_fail_as(Change *c, const char *code, const char *message)
{
	c->outcome = (Outcome)
	{
		VERDICT_FAILED
	};
	c->outcome.failure.code = code;
	c->outcome.failure.message = clipped(message);
}

/* fail a change because an earlier change of the same row has failed */
void
change_fail_with(Change *c, Change *earlier)
{
	static const char *const prefix = "an earlier change of this row failed: ";
	const char *message = earlier->outcome.failure.message;

	c->outcome = (Outcome)
	{
		VERDICT_FAILED
	};
	c->outcome.failure = earlier->outcome.failure;
	if (strncmp(message, prefix, strlen(prefix)) != 0)
		c->outcome.failure.message = clipped(psprintf("%s%s", prefix, message));
}
