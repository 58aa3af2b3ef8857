/*
 * settle.c
 *	  The answer to a batch, taken in one transaction.
 */
#include <string.h>

#include "store/applying.h"
#include "store/emptied.h"
#include "store/keys.h"
#include "store/parked.h"
#include "store/place.h"
#include "store/rows.h"
#include "store/settings.h"
#include "store/settle.h"
#include "store/shape.h"
#include "store/sql.h"

typedef struct Settling
{
	Applying	applying;
	Store	   *store;
	const Batch *batch;
	Json		body;			/* the batch as it was sent */
	const Json *reply;
	const RowSchedule *schedule;
	int64_t		now;
	Names		recheck;		/* types whose rows may have been edited unseen */
	SettleResult *result;
} Settling;

/* one verdict, and the note that it is about */
typedef struct Verdict
{
	EntityType *type;
	const JsonNode *key;		/* entityId */
	const JsonNode *entity;		/* NULL: there is none */
	bool		gone;			/* the server has no such row */
	const JsonNode *frozen;		/* in the body */
	bool		deletes;		/* which is a delete */
	char	   *key_text;
	Dirty		dirty;
} Verdict;

/* After a hard delete the entity is the key and deletedAt, no row. */
static bool
is_gone(const EntityType *type, const Json *json, const JsonNode *entity)
{
	int			i;

	if (entity == NULL)
		return true;
	for (i = 0; i < type->ncolumns; i++)
	{
		if (!type->columns[i].is_key &&
			strcmp(type->columns[i].wire, "deletedAt") != 0 &&
			json_member(json, entity, type->columns[i].wire) != NULL)
			return false;
	}
	return true;
}

/* The row of the body with this key. */
static const JsonNode *
find_frozen(Settling *s, const EntityType *type, const char *key_text)
{
	const JsonNode *changes = json_member(&s->body, s->body.nodes, "changes");
	const JsonNode *rows = json_member(&s->body, changes, type->name);
	const JsonNode *row;

	for (row = json_first(&s->body, rows); row; row = json_next(&s->body, rows, row))
	{
		char	   *text = row_key_text(type, &s->body, row);
		bool		same = text && strcmp(text, key_text) == 0;

		sqlite3_free(text);
		if (same)
			return row;
	}
	return NULL;
}

/* Is a row of the body a delete?  That has its key, when, and its stamp. */
static bool
is_delete(const EntityType *type, const Json *json, const JsonNode *row)
{
	const JsonNode *deleted = json_member(json, row, "deletedAt");
	int			i;

	for (i = 0; i < type->ncolumns; i++)
	{
		const Column *c = &type->columns[i];

		if (!c->is_key && !c->is_stamp && strcmp(c->wire, "deletedAt") != 0 &&
			json_member(json, row, c->wire) != NULL)
			return false;
	}
	return deleted && deleted->kind != JSON_NULL;
}

/* Who the verdict is about; *known false: nothing of ours. */
static bool
read_verdict(Settling *s, const JsonNode *item, Verdict *v, bool *known)
{
	const Json *json = s->reply;
	char	   *name = json_text(json, json_member(json, item, "entityType"));

	memset(v, 0, sizeof(*v));
	*known = false;
	v->type = name ? store_type(s->store, name, strlen(name)) : NULL;
	sqlite3_free(name);
	v->key = json_member(json, item, "entityId");
	if (v->key && v->type && !shape_is_row(v->type, json, v->key, true))
		v->key = NULL;
	if (v->type == NULL || v->key == NULL)
		return true;
	v->entity = json_member(json, item, "entity");
	if (v->entity && v->entity->kind != JSON_OBJECT)
		v->entity = NULL;
	v->gone = is_gone(v->type, json, v->entity);
	if (!row_dirty(s->store, v->type, json, v->key, &v->dirty))
		return false;
	v->dirty.edited = v->dirty.edited || names_has(&s->recheck, v->type->name);
	*known = v->dirty.found && v->dirty.batch == s->batch->id;
	if (!*known)
		return true;
	v->key_text = row_key_text(v->type, json, v->key);
	if (v->key_text == NULL)
		return failure_memory(&s->store->failure);
	v->frozen = find_frozen(s, v->type, v->key_text);
	v->deletes = is_delete(v->type, &s->body, v->frozen);
	return true;
}

/* Update the note of the verdict's key. */
static bool
update_note(Settling *s, Verdict *v, const char *format,...)
{
	Buffer		sql = {0};
	sqlite3_stmt *stmt;
	va_list		args;
	char	   *set;
	bool		good;

	va_start(args, format);
	set = sqlite3_vmprintf(format, args);
	va_end(args);
	if (set == NULL)
		return failure_memory(&s->store->failure);
	buffer_text(&sql, "UPDATE ");
	buffer_identifier(&sql, v->type->dirty_table);
	buffer_text(&sql, " SET batch = NULL, frozen_seq = NULL, ");
	buffer_text(&sql, set);
	sqlite3_free(set);
	buffer_text(&sql, " WHERE ");
	key_append_match(&sql, v->type, KEY_NUMBERED, 1);
	stmt = sql_prepare_buffer(s->store, &sql);
	good = stmt && row_bind_key(s->store, v->type, stmt, 1, s->reply, v->key) &&
		sql_execute(s->store, stmt);
	sqlite3_finalize(stmt);
	return good;
}

/* The row that the reply has is not stored over an edit, but kept beside it. */
static bool
put_aside(Settling *s, Verdict *v, const JsonNode *key)
{
	return row_keep_theirs(s->store, v->type, s->reply, key, v->gone ? NULL : v->entity, v->gone);
}

/*
 * A key may come back in another form than it was made in, a uuid in lower case:
 * then the row goes from one to the other.
 */
static bool
take_key(Settling *s, Verdict *v)
{
	char	   *key = row_key_text(v->type, s->reply, v->entity);
	bool		good = key ? strcmp(key, v->key_text) == 0 ||
		applying_remove(&s->applying, v->type, s->reply, v->key) :
		failure_memory(&s->store->failure);

	sqlite3_free(key);
	return good;
}

/* Nothing is left to tell: the row is the server's. */
static bool
take_clean(Settling *s, Verdict *v)
{
	Dirty		other;

	if (!row_run(s->store, v->type, STATEMENT_CLEAN, s->reply, v->key) ||
		!row_run(s->store, v->type, STATEMENT_DROP_BASE, s->reply, v->key))
		return false;
	if (v->gone)
		return applying_remove(&s->applying, v->type, s->reply, v->key);
	/* under its other form the key may have an edit of its own */
	if (!take_key(s, v) || !row_dirty(s->store, v->type, s->reply, v->entity, &other))
		return false;
	return other.found ? put_aside(s, v, v->entity) :
		applying_store(&s->applying, v->type, s->reply, v->entity);
}

/* What the reply has there may refer to the parent that was deleted here. */
static bool
is_emptied(Settling *s, Verdict *v, int column)
{
	bool		is;

	return emptied_is(s->store, v->type, column, s->reply, v->key, &is) && is;
}

/* Is the column as it was when the row was frozen? */
static bool
is_untouched(Settling *s, Verdict *v, int column, sqlite3_value * now)
{
	const Column *c = &v->type->columns[column];
	const JsonNode *frozen = json_member(&s->body, v->frozen, c->wire);
	Buffer		was = {0};
	Buffer		is = {0};
	bool		same;

	if (c->is_stamp)
		return true;
	/*
	 * Not sent: it was NULL, or is the server's alone.  What a delete gives back is
	 * not what a row that was made anew meanwhile lacks, but for what the server
	 * fills in.
	 */
	if (frozen == NULL)
		return !c->writable ||
			(sqlite3_value_type(now) == SQLITE_NULL && !is_emptied(s, v, column) &&
			 (!v->deletes || c->filled || column == v->type->scope));
	json_raw(&s->body, frozen, &was);
	same = value_append(&is, c->kind, now) && !was.failed && !is.failed &&
		strcmp(was.data, is.data) == 0;
	buffer_free(&was);
	buffer_free(&is);
	return same;
}

/* Columns that were not edited since take the reply's value. */
static bool
take_untouched(Settling *s, Verdict *v)
{
	sqlite3_stmt *row;
	const JsonNode **members;
	Buffer		taken = {0};
	Json		json;
	char	   *message = NULL;
	int			i;
	bool		good;
	RowResult	result;

	if (!row_read(s->store, v->type, STATEMENT_READ, s->reply, v->key, &row))
		return false;
	if (row == NULL)
		return true;
	members = sqlite3_malloc64(sizeof(JsonNode *) * (size_t) v->type->ncolumns);
	if (members == NULL)
		return failure_memory(&s->store->failure);
	row_members(v->type, s->reply, v->entity, members);
	/* the row as it shall be, in JSON: then it is stored like any other */
	for (i = 0; i < v->type->ncolumns; i++)
	{
		const Column *c = &v->type->columns[i];
		sqlite3_value *now = sqlite3_column_value(row, i);

		buffer_char(&taken, i > 0 ? ',' : '{');
		json_string(&taken, c->wire, strlen(c->wire));
		buffer_char(&taken, ':');
		if (members[i] && !c->is_key && is_untouched(s, v, i, now))
			json_raw(s->reply, members[i], &taken);
		else if (!value_append(&taken, c->kind, now))
			buffer_text(&taken, "null");
	}
	buffer_char(&taken, '}');
	sqlite3_reset(row);
	sqlite3_free(members);
	good = !taken.failed && json_parse(&json, taken.data, taken.length);
	if (!good)
	{
		buffer_free(&taken);
		return failure_memory(&s->store->failure);
	}
	result = row_store(s->store, v->type, &json, json.nodes, s->applying.now, &message);
	sqlite3_free(message);
	json_free(&json);
	buffer_free(&taken);
	if (result == ROW_CHANGED)
		good = applying_note(&s->applying, v->type);
	return good && result != ROW_ERROR;
}

/* Its status column says dirty, also after the server's columns were taken. */
static bool
keep_dirty_flag(Settling *s, Verdict *v)
{
	Buffer		sql = {0};
	sqlite3_stmt *stmt;
	bool		good;

	if (v->type->is_dirty == NULL)
		return true;
	buffer_text(&sql, "UPDATE ");
	buffer_identifier(&sql, v->type->table);
	buffer_text(&sql, " SET ");
	buffer_identifier(&sql, v->type->is_dirty);
	buffer_text(&sql, " = 1");
	buffer_text(&sql, " WHERE ");
	key_append_match(&sql, v->type, KEY_NAMED, 1);
	stmt = sql_prepare_buffer(s->store, &sql);
	good = stmt && row_bind_key(s->store, v->type, stmt, 1, s->reply, v->key) &&
		sql_execute(s->store, stmt);
	sqlite3_finalize(stmt);
	return good;
}

/* A row that was made anew while its deletion was on its way is later than that. */
static bool
follow_deletion(Settling *s, Verdict *v)
{
	int64_t		at;

	return !json_time(s->reply, json_member(s->reply, v->entity, "deletedAt"), &at) ||
		v->dirty.edited_at > at / 1000 || update_note(s, v, "edited_at = %lld, app_stamp = NULL",
								  (sqlite3_int64) (at / 1000 + 1));
}

/* Stored, and edited again meanwhile: it stays dirty, upon the reply. */
static bool
rebase(Settling *s, Verdict *v)
{
	bool		good;

	if (v->gone)
		good = row_run(s->store, v->type, STATEMENT_DROP_BASE, s->reply, v->key) &&
			follow_deletion(s, v);
	else
		/* the server may name it by another form of its key */
		good = row_save_base(s->store, v->type, s->reply, v->key, v->entity);
	if (good && !v->gone && !v->dirty.is_delete)
		good = take_untouched(s, v) && keep_dirty_flag(s, v);
	return good && update_note(s, v, "state = 'queued', tries = 0, next_try_at = 0,"
							   " code = NULL, message = NULL, theirs = NULL,"
							   " theirs_deleted = 0");
}

static bool
settle_stored(Settling *s, Verdict *v)
{
	s->result->pushed++;
	if (v->gone && v->entity && !applying_note_deletion(&s->applying, s->reply, v->entity))
		return false;
	return v->dirty.edited ? rebase(s, v) : take_clean(s, v);
}

/* Another version stands: ours is kept in tide_lost. */
static bool
settle_superseded(Settling *s, Verdict *v)
{
	Buffer		mine = {0};
	Buffer		theirs = {0};
	bool		good;

	s->result->pushed++;
	if (v->frozen)
		json_raw(&s->body, v->frozen, &mine);
	if (!v->gone)
		json_raw(s->reply, v->entity, &theirs);
	good = mine.failed || theirs.failed ? failure_memory(&s->store->failure) :
		applying_lost(&s->applying, v->type, v->key_text, mine.data, theirs.data);
	if (good && !v->dirty.edited)
		good = take_clean(s, v);
	else if (good)
		good = update_note(s, v, "state = 'queued', tries = 0, next_try_at = 0,"
						   " code = NULL, message = NULL, theirs = %Q, theirs_deleted = %d",
						   theirs.data, v->gone);
	buffer_free(&mine);
	buffer_free(&theirs);
	return good;
}

static bool
refuse_row(Settling *s, Verdict *v, const char *code, const char *message, bool park)
{
	int64_t		delay = park ? -1 : s->schedule->delay(v->dirty.tries + 1, s->schedule->arg);

	s->result->failed++;
	if (v->dirty.edited)
		return update_note(s, v, "state = 'queued', tries = 0, next_try_at = 0");
	if (delay < 0)
		s->result->parked++;
	return update_note(s, v, "state = %Q, tries = %lld, next_try_at = %lld,"
					   " code = %Q, message = %Q", delay < 0 ? "parked" : "retry",
					   v->dirty.tries + 1, delay < 0 ? 0 : s->now + delay, code, message);
}

static bool
settle_failed(Settling *s, Verdict *v, const JsonNode *item)
{
	const Json *json = s->reply;
	const JsonNode *error = json_first(json, json_member(json, item, "errors"));
	char	   *code = json_text(json, json_member(json, error, "code"));
	char	   *message = json_text(json, json_member(json, error, "message"));
	bool		good;

	/* the row was deleted so long ago that the server has forgotten it */
	if (code && strcmp(code, "resync_required") == 0 && !v->dirty.edited)
	{
		s->result->failed++;
		s->result->parked++;
		good = parked_take_row(&s->applying, v->type, json, v->key, code,
							   message ? message : "");
	}
	else
		good = refuse_row(s, v, code ? code : "failed", message ? message : "", false);
	sqlite3_free(code);
	sqlite3_free(message);
	return good;
}

/*
 * The edit was discarded, or made anew, while it was on its way: then its reply
 * is a version of the server's like one that is pulled.  (The pull might leave
 * it out, for this reply has told it.)  Of a type that is still to be compared
 * every row comes with the next pull, which finds what was edited.
 */
static bool
settle_forgotten(Settling *s, Verdict *v)
{
	if (names_has(&s->recheck, v->type->name))
		return true;
	if (v->dirty.found)
		return put_aside(s, v, v->key);
	return v->gone ? applying_remove(&s->applying, v->type, s->reply, v->key) :
		applying_store(&s->applying, v->type, s->reply, v->entity);
}

/*
 * Does a verdict say what stands now?  Without the row it does not say that there
 * is none, but for an edit that was to delete it.
 */
static bool
says_what_stands(Settling *s, const Verdict *v, bool known)
{
	if (v->entity == NULL)
		return known && v->dirty.is_delete && !v->dirty.edited;
	return shape_is_row(v->type, s->reply, v->entity, false);
}

static bool
settle_item(Settling *s, const JsonNode *item, bool succeeded)
{
	Verdict		v;
	bool		known,
				good;

	if (!read_verdict(s, item, &v, &known))
		return false;
	if (!known)
		return v.type == NULL || v.key == NULL || !succeeded ||
			!says_what_stands(s, &v, false) || settle_forgotten(s, &v);
	if (!succeeded)
		good = settle_failed(s, &v, item);
	else if (!says_what_stands(s, &v, true))
		good = true;			/* none: settle_rest() has it tried again */
	else if (json_is(s->reply, json_member(s->reply, item, "status"), "superseded"))
		good = settle_superseded(s, &v);
	else
		good = settle_stored(s, &v);
	sqlite3_free(v.key_text);
	return good;
}

static bool
settle_list(Settling *s, const char *member, bool succeeded)
{
	const JsonNode *list = json_member(s->reply, s->reply->nodes, member);
	const JsonNode *item;

	for (item = json_first(s->reply, list); item; item = json_next(s->reply, list, item))
	{
		if (!settle_item(s, item, succeeded))
			return false;
	}
	return true;
}

/*
 * What is left of a batch has been tried, too.  Rows that were edited since are due at
 * once, by that edit.
 */
static bool
refuse_rest(Store *store, const char *state, int64_t next_try_at, const char *code,
			const char *message, int64_t *refused)
{
	int			i;

	for (i = 0; i < store->ntypes; i++)
	{
		const char *table = store->types[i].dirty_table;

		if (!sql_run(store, "UPDATE \"%w\" SET batch = NULL, frozen_seq = NULL, state = 'queued',"
					 " tries = 0, next_try_at = 0, code = NULL, message = NULL"
					 " WHERE batch IS NOT NULL AND seq IS NOT frozen_seq", table) ||
			!sql_run(store, "UPDATE \"%w\" SET batch = NULL, frozen_seq = NULL, state = %Q,"
					 " tries = tries + 1, next_try_at = %lld, code = %Q, message = %Q"
					 " WHERE batch IS NOT NULL", table, state, (sqlite3_int64) next_try_at,
					 code, message))
			return false;
		*refused += sqlite3_changes(store->db);
	}
	return true;
}

/* Rows of the batch that the reply does not mention. */
static bool
settle_rest(Settling *s)
{
	int64_t		delay = s->schedule->delay(1, s->schedule->arg);

	return refuse_rest(s->store, "retry", s->now + delay, "no_verdict",
					   "the reply does not mention the row", &s->result->failed) &&
		sql_run(s->store, "DELETE FROM tide_batch WHERE id = %lld", (sqlite3_int64) s->batch->id);
}

/*
 * The rows that the push changed need not come again, but where a pull is under way:
 * an older version of one may be staged, over which it has to come.
 */
static bool
keep_ack(Settling *s)
{
	const JsonNode *node = json_member(s->reply, s->reply->nodes, "ack");
	char	   *ack = json_text(s->reply, node);
	char	   *staged;
	bool		good = setting_get(s->store, "stage_cursor", &staged);

	if (good && ack && staged == NULL)
		good = sql_run(s->store, "INSERT INTO tide_acks (ack) VALUES (%Q)", ack);
	sqlite3_free(staged);
	sqlite3_free(ack);
	return good;
}

bool
batch_settle(Store *store, const Batch *batch, const Json *reply,
			 const RowSchedule *schedule, int64_t now, SettleResult *result)
{
	Settling	s = {.store = store, .batch = batch, .reply = reply,
	.schedule = schedule, .now = now, .result = result};
	bool		good;

	memset(result, 0, sizeof(*result));
	if (json_member(reply, reply->nodes, "succeeded") == NULL ||
		json_member(reply, reply->nodes, "failed") == NULL)
		return failure_set(&store->failure, TIDE_REFUSED, "bad_reply",
						   "the answer to a push has no verdicts");
	if (!json_parse(&s.body, batch->body, strlen(batch->body)))
		good = failure_memory(&store->failure);
	else if ((good = applying_begin(&s.applying, store, now)))
	{
		good = place_check(store) && names_load(store, &s.recheck, "recheck") &&
			settle_list(&s, "succeeded", true) && settle_list(&s, "failed", false) &&
			settle_rest(&s) && keep_ack(&s);
		if (reply->no_memory || s.body.no_memory)
			good = failure_memory(&store->failure);
		names_free(&s.recheck);
		good = applying_end(&s.applying, good);
		result->lost = s.applying.lost;
	}
	json_free(&s.body);
	return good;
}

bool
batch_refuse(Store *store, const char *code, const char *message, bool park,
			 const RowSchedule *schedule, int64_t now, SettleResult *result)
{
	int64_t		tries = 0;
	int64_t		delay;
	bool		good;
	int			i;

	memset(result, 0, sizeof(*result));
	if (!sql_begin(store))
		return false;
	good = place_check(store);
	for (i = 0; i < store->ntypes && good && tries == 0; i++)
		good = sql_number(store, &tries, "SELECT max(tries) FROM \"%w\" WHERE batch IS NOT NULL",
						  store->types[i].dirty_table);
	delay = park ? -1 : schedule->delay(tries + 1, schedule->arg);
	good = good && refuse_rest(store, delay < 0 ? "parked" : "retry", delay < 0 ? 0 : now + delay,
							   code, message, &result->failed);
	result->parked = delay < 0 ? result->failed : 0;
	return sql_end(store, good && sql_run(store, "DELETE FROM tide_batch"));
}
