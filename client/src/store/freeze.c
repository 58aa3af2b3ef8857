/*
 * freeze.c
 *	  Batches: edits as they stand at one moment.
 */
#include <string.h>

#include "store/applying.h"
#include "store/edits.h"
#include "store/emptied.h"
#include "store/freeze.h"
#include "store/keys.h"
#include "store/names.h"
#include "store/place.h"
#include "store/rows.h"
#include "store/settings.h"
#include "store/sql.h"
#include "util/random.h"
#include "wire/time.h"

/* The server takes no push whose answer, with the row in it, is larger. */
#define MAX_ROW_BYTES ((size_t) 256 * 1024 * 1024)

/* a batch in the making */
typedef struct Freezing
{
	Applying   *applying;
	Store	   *store;
	const FreezeLimits *limits;
	bool		retries;
	int64_t		run;
	int64_t		now;
	int64_t		deletion;		/* the latest that lay ahead of our clock, */
	int64_t		deletion_seq;	/* and the last edit before it was known */
	int64_t		id;
	int64_t		rows;
	int64_t		lost;
	size_t		bytes;
	Buffer	   *parts;			/* a list of rows for each type */
	Names		grown;			/* columns whose values have not come yet */
	Names		recheck;		/* types whose triggers were missing */
} Freezing;

/* why an edit cannot be sent */
typedef enum Hindrance
{
	HINDRANCE_NONE,
	HINDRANCE_TEXT,
	HINDRANCE_KEY,
	HINDRANCE_SIZE
} Hindrance;

void
batch_free(Batch *batch)
{
	sqlite3_free(batch->body);
	memset(batch, 0, sizeof(*batch));
}

bool
batch_load(Store *store, Batch *batch)
{
	sqlite3_stmt *stmt = sql_prepare(store, "SELECT id, rows, body FROM tide_batch"
									 " ORDER BY id LIMIT 1");
	const char *body;
	int			rc;

	memset(batch, 0, sizeof(*batch));
	if (stmt == NULL)
		return false;
	rc = sql_step(store, stmt);
	if (rc == SQLITE_ROW)
	{
		batch->id = sqlite3_column_int64(stmt, 0);
		batch->rows = sqlite3_column_int64(stmt, 1);
		body = (const char *) sqlite3_column_text(stmt, 2);
		batch->body = body ? text_copy(body) : NULL;
		if (batch->body == NULL)
		{
			failure_memory(&store->failure);
			rc = -1;
		}
	}
	sqlite3_finalize(stmt);
	return rc != -1;
}

/* the stamp of a value of a stamp column, in microseconds */
static bool
stamp_value(sqlite3_stmt * stmt, int column, int64_t *microseconds)
{
	const char *text = (const char *) sqlite3_column_text(stmt, column);

	return text && time_parse(text, (size_t) sqlite3_column_bytes(stmt, column),
							  microseconds);
}

/*
 * The stamp of an edit: its time, or what the app set if that can be; at least
 * a millisecond above the base's, or above what is known to be deleted.
 */
static bool
append_stamp(Freezing *f, const EntityType *type, const Edit *edit,
			 sqlite3_stmt * base, Buffer *out)
{
	int64_t		least = INT64_MIN;
	int64_t		base_time,
				app_time,
				stamp = edit->edited_at;
	char		text[TIME_SIZE];

	/* a row that is made anew is later than its deletion */
	if (base == NULL && f->deletion > 0 && edit->seq > f->deletion_seq)
	{
		least = (f->deletion + 1) * 1000;
		if (stamp <= f->deletion)
			stamp = f->deletion + 1;
	}
	if (base && stamp_value(base, type->modified_at, &base_time))
	{
		/* the whole millisecond at or above */
		least = base_time + 1000;
		if (stamp * 1000 < least)
			stamp = least / 1000 + (least % 1000 > 0 ? 1 : 0);
	}
	if (edit->app_stamp &&
		time_parse(edit->app_stamp, strlen(edit->app_stamp), &app_time) &&
		app_time >= least && app_time / 1000 <= edit->edited_at)
	{
		json_string(out, edit->app_stamp, strlen(edit->app_stamp));
		return true;
	}
	time_format(stamp, text);
	json_string(out, text, strlen(text));
	return true;
}

static void
append_name(Buffer *out, const char *name)
{
	buffer_char(out, ',');
	json_string(out, name, strlen(name));
	buffer_char(out, ':');
}

/* stamp and base, the end of each row of a body */
static bool
append_marks(Freezing *f, EntityType *type, const Edit *edit, sqlite3_stmt * base,
			 Buffer *out)
{
	if (type->modified_at < 0)
		return true;
	append_name(out, type->columns[type->modified_at].wire);
	if (!append_stamp(f, type, edit, base, out))
		return false;
	if (base)
	{
		/* digit for digit; null names the version that had no stamp */
		append_name(out, "_base");
		value_append(out, VALUE_TEXT, sqlite3_column_value(base, type->modified_at));
	}
	return true;
}

static bool
is_sent(Freezing *f, const EntityType *type, const Json *key, int column, bool has_base,
		sqlite3_value * value)
{
	const Column *c = &type->columns[column];
	bool		emptied;

	if (c->is_key || c->is_stamp || c->beside || !c->writable)
		return false;
	/* what the server fills in on an insert */
	if (sqlite3_value_type(value) == SQLITE_NULL && !has_base &&
		(c->filled || column == type->scope))
		return false;
	/* nor what a delete of ours makes it set */
	if (sqlite3_value_type(value) == SQLITE_NULL && emptied_can_be(type, column))
		return emptied_is(f->store, type, column, key, key->nodes, &emptied) && !emptied;
	return true;
}

static bool
same_value(ValueKind kind, sqlite3_value * left, sqlite3_value * right)
{
	Buffer		a = {0};
	Buffer		b = {0};
	bool		same = value_append(&a, kind, left) && value_append(&b, kind, right) &&
		!a.failed && !b.failed && strcmp(a.data, b.data) == 0;

	buffer_free(&a);
	buffer_free(&b);
	return same;
}

/* "_changed": the columns that differ from the base */
static void
append_changed(Freezing *f, const EntityType *type, const Json *key, sqlite3_stmt * row,
			   sqlite3_stmt * base, Buffer *out)
{
	bool		first = true;
	int			i;

	append_name(out, "_changed");
	buffer_char(out, '[');
	for (i = 0; i < type->ncolumns; i++)
	{
		const Column *c = &type->columns[i];

		if (!is_sent(f, type, key, i, true, sqlite3_column_value(row, i)) ||
			same_value(c->kind, sqlite3_column_value(row, i), sqlite3_column_value(base, i)))
			continue;
		buffer_text(out, first ? "" : ",");
		json_string(out, c->wire, strlen(c->wire));
		first = false;
	}
	buffer_char(out, ']');
}

/* A row as it stands; false only where it cannot be said in JSON. */
static bool
append_row(Freezing *f, EntityType *type, const Edit *edit, const Json *key,
		   sqlite3_stmt * row, sqlite3_stmt * base, Buffer *out)
{
	bool		good;
	int			i;

	/* the key, without its closing brace */
	buffer_append(out, edit->key, strlen(edit->key) - 1);
	for (i = 0; i < type->ncolumns; i++)
	{
		if (!is_sent(f, type, key, i, base != NULL, sqlite3_column_value(row, i)))
			continue;
		append_name(out, type->columns[i].wire);
		if (!value_append(out, type->columns[i].kind, sqlite3_column_value(row, i)))
			return false;
	}
	if (type->by_column && base)
		append_changed(f, type, key, row, base, out);
	good = append_marks(f, type, edit, base, out);
	buffer_char(out, '}');
	return good;
}

static bool
append_delete(Freezing *f, EntityType *type, const Edit *edit, sqlite3_stmt * base,
			  Buffer *out)
{
	bool		good;

	buffer_append(out, edit->key, strlen(edit->key) - 1);
	append_name(out, "deletedAt");
	if (!append_stamp(f, type, edit, base, out))
		return false;
	good = append_marks(f, type, edit, base, out);
	buffer_char(out, '}');
	return good;
}

/* A kept statement on the key's row; NULL, without a failure, if it has none. */
static sqlite3_stmt *
read_row(Store *store, EntityType *type, StatementName name, const Json *key)
{
	sqlite3_stmt *stmt;

	(void) row_read(store, type, name, key, key->nodes, &stmt);
	return stmt;
}

/* Run an UPDATE of the note of a key: "SET ..." with parameters bound already. */
static sqlite3_stmt *
prepare_note(Store *store, EntityType *type, const char *set, int first)
{
	Buffer		sql = {0};

	buffer_text(&sql, "UPDATE ");
	buffer_identifier(&sql, type->dirty_table);
	buffer_format(&sql, " SET %s WHERE ", set);
	key_append_match(&sql, type, KEY_NUMBERED, first);
	return sql_prepare_buffer(store, &sql);
}

/* A key as the file has it. */
static bool
bind_stored(Store *store, const EntityType *type, sqlite3_stmt * stmt, int first,
			sqlite3_value * *values)
{
	int			k;

	for (k = 0; k < type->nkeys; k++)
	{
		if (sqlite3_bind_value(stmt, first + k, values[k]) != SQLITE_OK)
			return failure_memory(&store->failure);
	}
	return true;
}

/* A row that no body can carry must not be in the way of others. */
static bool
park_unsendable(Freezing *f, EntityType *type, const Edit *edit, const Json *key,
				Hindrance why)
{
	static const char *const sets[] = {
		[HINDRANCE_TEXT] = "state = 'parked', code = 'invalid_text',"
		" message = 'a text of the row is not UTF-8'",
		[HINDRANCE_KEY] = "state = 'parked', code = 'invalid_key',"
		" message = 'the key is not UTF-8, or of another type than the server''s'",
		[HINDRANCE_SIZE] = "state = 'parked', code = 'row_too_large',"
		" message = 'the row is larger than what the server takes'",
	};
	sqlite3_stmt *stmt = prepare_note(f->store, type, sets[why], 1);
	bool		good = stmt &&
		(edit->stored ? bind_stored(f->store, type, stmt, 1, edit->stored) :
		 row_bind_key(f->store, type, stmt, 1, key, key->nodes)) &&
		sql_execute(f->store, stmt);

	sqlite3_finalize(stmt);
	return good;
}

/*
 * Is the row there under a key of another class?  An app's column without a
 * type keeps a number where the note of it has a text.
 */
static bool
is_there(Freezing *f, EntityType *type, const Json *key, bool *there)
{
	Buffer		sql = {0};
	sqlite3_stmt *stmt;
	int			k,
				rc;

	buffer_text(&sql, "SELECT 1 FROM ");
	buffer_identifier(&sql, type->dirty_table);
	buffer_text(&sql, " AS d JOIN ");
	buffer_identifier(&sql, type->table);
	buffer_text(&sql, " AS t ON 1");
	for (k = 0; k < type->nkeys; k++)
	{
		const Column *c = &type->columns[type->keys[k]];

		buffer_text(&sql, " AND CAST(t.");
		buffer_identifier(&sql, c->local);
		buffer_format(&sql, " AS %s) = d.key%d",
					  *value_declared_type(c->kind) ? value_declared_type(c->kind) : "BLOB", k + 1);
	}
	buffer_text(&sql, " WHERE ");
	key_append_match(&sql, type, KEY_NUMBERED, 1);
	stmt = sql_prepare_buffer(f->store, &sql);
	rc = stmt && row_bind_key(f->store, type, stmt, 1, key, key->nodes) ?
		sql_step(f->store, stmt) : -1;
	*there = rc == SQLITE_ROW;
	sqlite3_finalize(stmt);
	return rc != -1;
}

/*
 * Noted as edited, but gone without a delete, which only a statement that
 * bypassed the triggers does.  It is never turned into one: the version of the
 * server comes back, if there is one.
 */
static bool
restore_vanished(Freezing *f, EntityType *type, const Json *key)
{
	sqlite3_stmt *base = read_row(f->store, type, STATEMENT_READ_BASE, key);
	Buffer		text = {0};
	Json		row;
	char	   *key_text = row_key_text(type, key, key->nodes);
	bool		good = key_text != NULL && f->store->failure.result == TIDE_OK;

	if (good && base)
	{
		row_append_json(type, base, &text);
		sqlite3_reset(base);
		good = !text.failed && json_parse(&row, text.data, text.length) &&
			applying_store(f->applying, type, &row, row.nodes) &&
			applying_lost(f->applying, type, key_text, NULL, text.data);
		json_free(&row);
	}
	else if (good)
		good = applying_lost(f->applying, type, key_text, NULL, NULL);
	if (!good && f->store->failure.result == TIDE_OK)
		failure_memory(&f->store->failure);
	sqlite3_free(key_text);
	buffer_free(&text);
	f->lost++;
	return good && row_run(f->store, type, STATEMENT_DROP_BASE, key, key->nodes) &&
		row_run(f->store, type, STATEMENT_CLEAN, key, key->nodes);
}

static bool
mark_frozen(Freezing *f, EntityType *type, const Json *key)
{
	sqlite3_stmt *stmt = prepare_note(f->store, type, "batch = ?1, frozen_seq = seq,"
									  " sent = 1, tried_in = ?2", 3);
	bool		good = stmt && sqlite3_bind_int64(stmt, 1, f->id) == SQLITE_OK &&
		sqlite3_bind_int64(stmt, 2, f->run) == SQLITE_OK &&
		row_bind_key(f->store, type, stmt, 3, key, key->nodes) &&
		sql_execute(f->store, stmt);

	sqlite3_finalize(stmt);
	return good;
}

/* The least that the values of a row are in JSON. */
static size_t
row_bytes(sqlite3_stmt * row)
{
	size_t		bytes = 0;
	int			i;

	for (i = 0; row && i < sqlite3_column_count(row); i++)
	{
		sqlite3_value *value = sqlite3_column_value(row, i);
		int			class = sqlite3_value_type(value);

		if (class == SQLITE_BLOB || class == SQLITE_TEXT)
			bytes += (size_t) sqlite3_value_bytes(value) * (class == SQLITE_BLOB ? 2 : 1);
	}
	return bytes;
}

/*
 * The edit in JSON, where a byte of a text may take six: a buffer that cannot
 * grow is not always for want of memory.
 */
static Hindrance
append_edit(Freezing *f, EntityType *type, const Edit *edit, const Json *key,
			sqlite3_stmt * row, sqlite3_stmt * base, Buffer *json)
{
	size_t		bytes = row_bytes(row);
	bool		valid;

	if (bytes > MAX_ROW_BYTES)
		return HINDRANCE_SIZE;
	valid = edit->is_delete ? append_delete(f, type, edit, base, json) :
		append_row(f, type, edit, key, row, base, json);
	if (json->length > MAX_ROW_BYTES || (json->failed && bytes > MAX_ROW_BYTES / 6))
		return HINDRANCE_SIZE;
	if (json->failed)
		failure_memory(&f->store->failure);
	return valid ? HINDRANCE_NONE : HINDRANCE_TEXT;
}

static bool
freeze_row(Freezing *f, EntityType *type, const Edit *edit, const Json *key,
		   sqlite3_stmt * row)
{
	Buffer	   *part = &f->parts[type - f->store->types];
	size_t		before = part->length;
	sqlite3_stmt *base = read_row(f->store, type, STATEMENT_READ_BASE, key);
	Hindrance	why = HINDRANCE_NONE;
	Buffer		json = {0};
	bool		good;

	if (f->store->failure.result == TIDE_OK)
		why = append_edit(f, type, edit, key, row, base, &json);
	if (base)
		sqlite3_reset(base);
	if (row)
		sqlite3_reset(row);
	good = f->store->failure.result == TIDE_OK;
	if (good && why != HINDRANCE_NONE)
		good = park_unsendable(f, type, edit, key, why);
	else if (good)
	{
		buffer_text(part, before > 0 ? "," : "");
		buffer_append(part, json.data, json.length);
		f->rows++;
		f->bytes += part->length - before;
		good = part->failed ? failure_memory(&f->store->failure) : mark_frozen(f, type, key);
	}
	buffer_free(&json);
	return good;
}

/* One edit into its type's part. */
static bool
freeze_edit(Freezing *f, EntityType *type, const Edit *edit)
{
	sqlite3_stmt *row = NULL;
	Json		key;
	bool		there = false,
				good;

	if (edit->stored)
		return park_unsendable(f, type, edit, NULL, HINDRANCE_KEY);
	if (!json_parse(&key, edit->key, strlen(edit->key)))
		good = failure_memory(&f->store->failure);
	else
	{
		if (!edit->is_delete)
			row = read_row(f->store, type, STATEMENT_READ, &key);
		good = f->store->failure.result == TIDE_OK;
		if (good && (edit->is_delete || row))
			good = freeze_row(f, type, edit, &key, row);
		else if (good && (good = is_there(f, type, &key, &there)))
			good = there ? park_unsendable(f, type, edit, &key, HINDRANCE_KEY) :
				restore_vanished(f, type, &key);
	}
	json_free(&key);
	return good;
}

static bool
is_full(const Freezing *f)
{
	return f->rows >= f->limits->rows || f->bytes >= f->limits->bytes;
}

/* Would a row be sent without what the server has in a column that came? */
static bool
lacks_values(const Freezing *f, const EntityType *type)
{
	int			i;

	for (i = 0; i < type->ncolumns && f->grown.count > 0; i++)
	{
		if (names_has_column(&f->grown, type, &type->columns[i]))
			return true;
	}
	return false;
}

static bool
freeze_type(Freezing *f, EntityType *type, const char *operation)
{
	EditChoice	choice = {operation, f->retries, f->run, f->now, f->limits->latest_retry,
	f->limits->rows - f->rows};
	Edit	   *edits;
	int			n,
				i;
	bool		good;

	/* nor what has still to be compared with the server's rows */
	if (is_full(f) || !type->available || lacks_values(f, type) ||
		names_has(&f->recheck, type->name))
		return true;
	good = edits_read(f->store, type, &choice, &edits, &n);
	for (i = 0; good && i < n && !is_full(f); i++)
		good = freeze_edit(f, type, &edits[i]);
	edits_free(type, edits, n);
	return good;
}

/*
 * Children of a new row that is parked would be refused: they wait with it, and
 * go when it has gone.  Parents come before children in the list of types; a
 * chain within one type takes a round for each link.
 */
static bool
park_children(Freezing *f, EntityType *type, const Reference *ref, int64_t *parked)
{
	EntityType *parent = &f->store->types[ref->parent];
	Buffer		sql = {0};
	Buffer		behind = {0};
	int			i,
				k;
	bool		good;

	if (ref->ncolumns != parent->nkeys)
		return true;
	buffer_text(&behind, "EXISTS (SELECT 1 FROM ");
	buffer_identifier(&behind, type->table);
	buffer_text(&behind, " AS c JOIN ");
	buffer_identifier(&behind, parent->dirty_table);
	buffer_text(&behind, " AS p ON ");
	for (i = 0; i < ref->ncolumns; i++)
	{
		for (k = 0; k < parent->nkeys && parent->keys[k] != ref->parent_columns[i]; k++)
			;
		buffer_format(&behind, "%sp.key%d = c.", i > 0 ? " AND " : "", k + 1);
		buffer_identifier(&behind, type->columns[ref->columns[i]].local);
	}
	buffer_text(&behind, " WHERE p.state = 'parked' AND p.operation = 'put' AND NOT ");
	/* the server has a row that was edited only: it can be referred to */
	key_append_exists(&behind, parent, parent->base_table, "b", "p.", KEY_NUMBERED);
	buffer_text(&behind, " AND ");
	key_append_same(&behind, type, "c.", KEY_NAMED, "d.", KEY_NUMBERED);
	buffer_char(&behind, ')');
	buffer_text(&sql, "UPDATE ");
	buffer_identifier(&sql, type->dirty_table);
	buffer_text(&sql, " AS d SET state = 'parked', code = 'parent_parked',"
				" message = 'a row that this one refers to is parked'"
				" WHERE batch IS NULL AND operation = 'put' AND state <> 'parked' AND ");
	buffer_text(&sql, behind.failed ? "0" : behind.data);
	sql.failed = sql.failed || behind.failed;
	buffer_free(&behind);
	good = sql_run_buffer(f->store, &sql);
	if (good)
		*parked += sqlite3_changes(f->store->db);
	return good;
}

static bool
park_behind_parents(Freezing *f)
{
	int64_t		parked = 1;
	int			i,
				r;

	for (i = 0; i < f->store->ntypes; i++)
	{
		if (f->store->types[i].nreferences > 0 &&
			!sql_run(f->store, "UPDATE \"%w\" SET state = 'queued', code = NULL,"
					 " message = NULL WHERE state = 'parked' AND code = 'parent_parked'",
					 f->store->types[i].dirty_table))
			return false;
	}
	while (parked > 0)
	{
		parked = 0;
		for (i = 0; i < f->store->ntypes; i++)
		{
			EntityType *type = &f->store->types[i];

			for (r = 0; r < type->nreferences; r++)
			{
				if (!park_children(f, type, &type->references[r], &parked))
					return false;
			}
		}
	}
	return true;
}

/* Parents before their children, and of what is deleted children first. */
static bool
freeze_edits(Freezing *f)
{
	int			i;

	for (i = 0; i < f->store->ntypes; i++)
	{
		if (!freeze_type(f, &f->store->types[i], "put"))
			return false;
	}
	for (i = f->store->ntypes - 1; i >= 0; i--)
	{
		if (!freeze_type(f, &f->store->types[i], "delete"))
			return false;
	}
	return true;
}

static bool
append_head(Freezing *f, const char *batch_id, Buffer *body)
{
	char	   *client_id = NULL;
	char	   *cursor = NULL;
	bool		good = setting_get(f->store, "client_id", &client_id) &&
		setting_get(f->store, "cursor", &cursor);

	buffer_format(body, "{\"batchId\":\"%s\"", batch_id);
	if (good && client_id)
	{
		append_name(body, "clientId");
		json_string(body, client_id, strlen(client_id));
	}
	if (good && cursor)
	{
		append_name(body, "cursor");
		json_string(body, cursor, strlen(cursor));
	}
	sqlite3_free(client_id);
	sqlite3_free(cursor);
	return good;
}

static bool
store_batch(Freezing *f, Batch *batch)
{
	char		batch_id[UUID_SIZE];
	Buffer		body = {0};
	bool		first = true;
	sqlite3_stmt *stmt;
	bool		good;
	int			i;

	random_uuid(batch_id);
	good = append_head(f, batch_id, &body);
	buffer_text(&body, ",\"changes\":{");
	for (i = 0; i < f->store->ntypes; i++)
	{
		if (f->parts[i].length == 0)
			continue;
		buffer_text(&body, first ? "" : ",");
		first = false;
		json_string(&body, f->store->types[i].name, strlen(f->store->types[i].name));
		buffer_text(&body, ":[");
		buffer_append(&body, f->parts[i].data, f->parts[i].length);
		buffer_char(&body, ']');
	}
	buffer_text(&body, "}}");
	if (body.failed)
		good = failure_memory(&f->store->failure);
	stmt = good ? sql_prepare(f->store, "INSERT INTO tide_batch (id, batch_id, rows, body)"
							  " VALUES (?1, ?2, ?3, ?4)") : NULL;
	good = stmt && sqlite3_bind_int64(stmt, 1, f->id) == SQLITE_OK &&
		sql_bind_text(stmt, 2, batch_id) &&
		sqlite3_bind_int64(stmt, 3, f->rows) == SQLITE_OK &&
		sql_bind_text(stmt, 4, body.data) && sql_execute(f->store, stmt);
	sqlite3_finalize(stmt);
	if (!good)
	{
		buffer_free(&body);
		return false;
	}
	batch->id = f->id;
	batch->rows = f->rows;
	batch->body = body.data;
	return true;
}

bool
batch_freeze(Store *store, const FreezeLimits *limits, bool retries, int64_t run,
			 int64_t now, Batch *batch)
{
	Applying	applying;
	Freezing	f = {.applying = &applying, .store = store, .limits = limits,
	.retries = retries, .run = run, .now = now};
	bool		good;
	int			i;

	memset(batch, 0, sizeof(*batch));
	f.parts = sqlite3_malloc64(sizeof(Buffer) * (size_t) (store->ntypes + 1));
	if (f.parts == NULL)
		return failure_memory(&store->failure);
	memset(f.parts, 0, sizeof(Buffer) * (size_t) (store->ntypes + 1));
	if (!applying_begin(&applying, store, now))
	{
		sqlite3_free(f.parts);
		return false;
	}
	f.deletion = setting_number(store, "latest_deletion");
	f.deletion_seq = setting_number(store, "latest_deletion_seq");
	good = store->failure.result == TIDE_OK && place_check(store) &&
		names_load(store, &f.grown, "grown") && names_load(store, &f.recheck, "recheck") &&
		sql_number(store, &f.id, "SELECT coalesce(max(seq), 0) + 1 FROM sqlite_sequence"
				   " WHERE name = 'tide_batch'") &&
		park_behind_parents(&f) && freeze_edits(&f);
	if (good && f.rows > 0)
		good = store_batch(&f, batch);
	good = applying_end(&applying, good);
	names_free(&f.grown);
	names_free(&f.recheck);
	batch->lost = f.lost;
	if (!good)
		batch_free(batch);
	for (i = 0; i < store->ntypes; i++)
		buffer_free(&f.parts[i]);
	sqlite3_free(f.parts);
	return good;
}

bool
batch_thaw(Store *store)
{
	bool		good;
	int			i;

	if (!sql_begin(store))
		return false;
	good = place_check(store);
	for (i = 0; i < store->ntypes && good; i++)
		good = sql_run(store, "UPDATE \"%w\" SET batch = NULL, frozen_seq = NULL,"
					   " tried_in = NULL WHERE batch IS NOT NULL",
					   store->types[i].dirty_table);
	return sql_end(store, good && sql_run(store, "DELETE FROM tide_batch"));
}

bool
freeze_next_retry(Store *store, int64_t latest, int64_t *at)
{
	int			i;

	*at = INT64_MAX;
	for (i = 0; i < store->ntypes; i++)
	{
		int64_t		next;

		/* what is not served is not sent, whenever it is due */
		if (!store->types[i].available)
			continue;
		if (!sql_number(store, &next, "SELECT coalesce(min(iif(next_try_at > %lld, 0, next_try_at)),"
						" -1) FROM \"%w\" WHERE state = 'retry'", (sqlite3_int64) latest,
						store->types[i].dirty_table))
			return false;
		if (next >= 0 && next < *at)
			*at = next;
	}
	return true;
}

bool
freeze_has_queued(Store *store, bool *queued)
{
	int			i;

	*queued = false;
	for (i = 0; i < store->ntypes && !*queued; i++)
	{
		EntityType *type = &store->types[i];
		int64_t		n;

		if (!sql_number(store, &n, "SELECT EXISTS (SELECT 1 FROM \"%w\""
						" WHERE state = 'queued' OR batch IS NOT NULL)", type->dirty_table))
			return false;
		*queued = n > 0 && type->available;
	}
	return true;
}
