/*
 * parked.c
 *	  Edits that have no place in their table any more.
 */
#include <string.h>

#include "store/columns.h"
#include "store/keys.h"
#include "store/parked.h"
#include "store/rows.h"
#include "store/sql.h"
#include "store/tables.h"

static bool
column_is(sqlite3_stmt * stmt, int column, const char *text)
{
	const char *value = (const char *) sqlite3_column_text(stmt, column);

	return value && strcmp(value, text) == 0;
}

#define IS_TAKEN "n.state = 'taken'"

/* Is this row one of those that are being taken? */
static void
append_is_taken(Buffer *sql, const EntityType *type, const char *row, KeyStyle style)
{
	buffer_text(sql, "EXISTS (SELECT 1 FROM ");
	buffer_identifier(sql, type->dirty_table);
	buffer_text(sql, " AS n WHERE " IS_TAKEN " AND ");
	key_append_same(sql, type, "n.", KEY_NUMBERED, row, style);
	buffer_char(sql, ')');
}

/*
 * Mark the edits for which `condition` holds of d (the note) and r (the row, of a
 * delete the base).  The mark does not outlive the transaction.
 */
static bool
mark(Applying *a, EntityType *type, const char *operation, const char *from,
	 const char *condition)
{
	Buffer		sql = {0};

	buffer_text(&sql, "UPDATE ");
	buffer_identifier(&sql, type->dirty_table);
	buffer_format(&sql, " AS d SET state = 'taken' WHERE operation = '%s' AND EXISTS"
				  " (SELECT 1 FROM ", operation);
	buffer_identifier(&sql, from);
	buffer_text(&sql, " AS r WHERE ");
	key_append_same(&sql, type, "d.", KEY_NUMBERED, "r.", KEY_NAMED);
	buffer_text(&sql, " AND ");
	buffer_text(&sql, condition);
	buffer_char(&sql, ')');
	return sql_run_buffer(a->store, &sql);
}

/* Copy what is marked. */
static bool
copy(Applying *a, EntityType *type, const char *operation, const char *from,
	 const char *code, const char *message)
{
	Buffer		sql = {0};
	int			i;

	buffer_text(&sql, "INSERT INTO ");
	buffer_identifier(&sql, type->parked_table);
	buffer_text(&sql, " (");
	columns_append(&sql, type, "");
	buffer_text(&sql, ", tide_operation, tide_edited_at, tide_code, tide_message) SELECT ");
	for (i = 0; i < type->ncolumns; i++)
	{
		buffer_text(&sql, i > 0 ? ", " : "");
		if (from == type->table)
			column_append_wire(&sql, type, i, "r.");
		else
		{
			buffer_text(&sql, "r.");
			buffer_identifier(&sql, type->columns[i].local);
		}
	}
	buffer_text(&sql, ", CASE WHEN n.operation = 'delete' THEN 'delete' WHEN ");
	key_append_exists(&sql, type, type->base_table, "b", "n.", KEY_NUMBERED);
	buffer_text(&sql, " THEN 'update' ELSE 'create' END, n.edited_at, ");
	buffer_literal(&sql, code);
	buffer_text(&sql, ", ");
	buffer_literal(&sql, message);
	buffer_text(&sql, " FROM ");
	buffer_identifier(&sql, type->dirty_table);
	buffer_text(&sql, " AS n JOIN ");
	buffer_identifier(&sql, from);
	buffer_text(&sql, " AS r ON ");
	key_append_same(&sql, type, "n.", KEY_NUMBERED, "r.", KEY_NAMED);
	buffer_format(&sql, " WHERE n.operation = '%s' AND " IS_TAKEN, operation);
	return sql_run_buffer(a->store, &sql);
}

/* A file of version 0.1.0 has no place for it. */
static bool
make_place(Store *store, const EntityType *type)
{
	bool		there;

	return tables_have_column(store, type->parked_table, "tide_base", &there) &&
		(there || sql_run(store, "ALTER TABLE \"%w\" ADD COLUMN tide_base TEXT",
						  type->parked_table));
}

static bool
keep_base(Store *store, const EntityType *type, sqlite3_stmt * bases, sqlite3_stmt * update)
{
	Buffer		base = {0};
	bool		good;
	int			k;

	row_append_json(type, bases, &base);
	good = !base.failed && sql_bind_text(update, 1, base.data);
	for (k = 0; good && k < type->nkeys; k++)
		good = sqlite3_bind_value(update, k + 2,
								  sqlite3_column_value(bases, type->keys[k])) == SQLITE_OK;
	buffer_free(&base);
	return good ? sql_execute(store, update) : failure_memory(&store->failure);
}

/* The versions that what was taken was made upon, as JSON. */
static bool
keep_bases(Store *store, EntityType *type)
{
	Buffer		sql = {0};
	sqlite3_stmt *bases,
			   *update;
	int			rc = -1;

	buffer_text(&sql, "SELECT ");
	columns_append(&sql, type, "b.");
	buffer_text(&sql, " FROM ");
	buffer_identifier(&sql, type->base_table);
	buffer_text(&sql, " AS b JOIN ");
	buffer_identifier(&sql, type->parked_table);
	buffer_text(&sql, " AS p ON ");
	key_append_same(&sql, type, "b.", KEY_NAMED, "p.", KEY_NAMED);
	buffer_text(&sql, " WHERE p.tide_operation <> 'create' AND ");
	append_is_taken(&sql, type, "p.", KEY_NAMED);
	bases = sql_prepare_buffer(store, &sql);
	buffer_text(&sql, "UPDATE ");
	buffer_identifier(&sql, type->parked_table);
	buffer_text(&sql, " SET tide_base = ?1 WHERE ");
	key_append_match(&sql, type, KEY_NAMED, 2);
	update = sql_prepare_buffer(store, &sql);
	while (bases && update && (rc = sql_step(store, bases)) == SQLITE_ROW)
	{
		if (!keep_base(store, type, bases, update))
		{
			rc = -1;
			break;
		}
	}
	sqlite3_finalize(bases);
	sqlite3_finalize(update);
	return rc != -1;
}

/* Forget the bases, rows and notes of what was taken. */
static bool
forget_taken(Applying *a, EntityType *type)
{
	const char *tables[2] = {type->base_table, type->table};
	Buffer		sql = {0};
	int			i;

	for (i = 0; i < 2; i++)
	{
		buffer_text(&sql, "DELETE FROM ");
		buffer_identifier(&sql, tables[i]);
		buffer_text(&sql, " AS d WHERE ");
		append_is_taken(&sql, type, "d.", KEY_NAMED);
		buffer_char(&sql, ';');
	}
	buffer_text(&sql, "DELETE FROM ");
	buffer_identifier(&sql, type->dirty_table);
	buffer_text(&sql, " AS n WHERE " IS_TAKEN);
	return sql_run_buffer(a->store, &sql) && applying_note(a, type);
}

/* The edits stay where they are: a discard takes the rows away. */
static bool
park_in_place(Store *store, EntityType *type, const char *code, const char *message)
{
	Buffer		sql = {0};

	buffer_text(&sql, "DELETE FROM ");
	buffer_identifier(&sql, type->parked_table);
	buffer_text(&sql, " AS p WHERE ");
	append_is_taken(&sql, type, "p.", KEY_NAMED);
	return sql_run_buffer(store, &sql) &&
		sql_run(store, "UPDATE \"%w\" AS n SET state = 'parked', batch = NULL, frozen_seq = NULL,"
				" code = %Q, message = %Q, theirs = NULL, theirs_deleted = 1 WHERE " IS_TAKEN,
				type->dirty_table, code, message);
}

/* A rule of the app's may keep one of the rows. */
static bool
take_away(Applying *a, EntityType *type, const char *code, const char *message)
{
	Store	   *store = a->store;

	if (!sql_run(store, "SAVEPOINT tide_taken"))
		return false;
	if (forget_taken(a, type))
		return sql_run(store, "RELEASE tide_taken");
	if ((sqlite3_errcode(store->db) & 0xff) != SQLITE_CONSTRAINT ||
		sqlite3_get_autocommit(store->db))
		return false;
	failure_clear(&store->failure);
	return sql_run(store, "ROLLBACK TO tide_taken; RELEASE tide_taken") &&
		park_in_place(store, type, code, message);
}

/* A parked edit in whose place a later one of its row is parked. */
static bool
lose_one(Applying *a, EntityType *type, sqlite3_stmt * stmt)
{
	bool		is_delete = column_is(stmt, type->ncolumns, "delete");
	Buffer		mine = {0};
	Json		json = {0};
	char	   *later = NULL;
	char	   *key = NULL;
	bool		good;

	row_append_json(type, stmt, &mine);
	good = !mine.failed && json_parse(&json, mine.data, mine.length) &&
		(key = row_key_text(type, &json, json.nodes)) != NULL;
	if (!good)
		failure_memory(&a->store->failure);
	good = good && row_read_json(a->store, type, STATEMENT_READ, &json, json.nodes, &later) &&
		applying_lost(a, type, key, is_delete ? NULL : mine.data, later);
	sqlite3_free(later);
	sqlite3_free(key);
	json_free(&json);
	buffer_free(&mine);
	return good;
}

/* The table holds one edit of a key: the latest.  The other one is shown as lost. */
static bool
lose_earlier(Applying *a, EntityType *type)
{
	Buffer		sql = {0};
	sqlite3_stmt *stmt;
	int			rc = -1;

	buffer_text(&sql, "SELECT ");
	columns_append(&sql, type, "p.");
	buffer_text(&sql, ", p.tide_operation FROM ");
	buffer_identifier(&sql, type->parked_table);
	buffer_text(&sql, " AS p WHERE ");
	append_is_taken(&sql, type, "p.", KEY_NAMED);
	stmt = sql_prepare_buffer(a->store, &sql);
	while (stmt && (rc = sql_step(a->store, stmt)) == SQLITE_ROW)
	{
		if (!lose_one(a, type, stmt))
		{
			rc = -1;
			break;
		}
	}
	sqlite3_finalize(stmt);
	if (rc == -1)
		return false;
	buffer_text(&sql, "DELETE FROM ");
	buffer_identifier(&sql, type->parked_table);
	buffer_text(&sql, " AS p WHERE ");
	append_is_taken(&sql, type, "p.", KEY_NAMED);
	return sql_run_buffer(a->store, &sql);
}

/*
 * Take the edits for which `condition` holds out of their table, with their
 * content, and forget their notes.
 */
static bool
take_both(Applying *a, EntityType *type, Buffer *condition, const char *code,
		  const char *message)
{
	bool		good = !condition->failed;

	if (!good)
		failure_memory(&a->store->failure);
	good = good && make_place(a->store, type) &&
		mark(a, type, "put", type->table, condition->data) &&
		mark(a, type, "delete", type->base_table, condition->data) &&
		lose_earlier(a, type) && copy(a, type, "put", type->table, code, message) &&
		copy(a, type, "delete", type->base_table, code, message) &&
		keep_bases(a->store, type) && take_away(a, type, code, message);
	buffer_free(condition);
	return good;
}

bool
parked_take_gone(Applying *a, EntityType *type, const char *came)
{
	Buffer		gone = {0};
	Buffer		sql = {0};
	bool		good;

	if (type->dirty_count == 0)
		return true;
	/* the server had the row: there is a base; it has it no more */
	key_append_exists(&gone, type, type->base_table, "b", "d.", KEY_NUMBERED);
	buffer_text(&gone, " AND NOT ");
	key_append_exists(&gone, type, came, "c", "d.", KEY_NUMBERED);
	if (gone.failed)
	{
		buffer_free(&gone);
		return failure_memory(&a->store->failure);
	}
	/* of a delete there is nothing left to do */
	buffer_text(&sql, "DELETE FROM ");
	buffer_identifier(&sql, type->dirty_table);
	buffer_text(&sql, " AS d WHERE operation = 'delete' AND ");
	buffer_text(&sql, gone.data);
	good = sql_run_buffer(a->store, &sql);
	if (!good)
		buffer_free(&gone);
	return good && take_both(a, type, &gone, "resync_required",
							 "the server no longer has the row that was edited");
}

/*
 * In a scope are the edits of rows that the server showed in it at last, whatever scope
 * they were given here; and of new rows, those that are made in it.
 */
bool
parked_take_scope(Applying *a, EntityType *type, const char *scope)
{
	Buffer		condition = {0};

	if (type->dirty_count == 0)
		return true;
	buffer_text(&condition, "CASE WHEN d.theirs IS NOT NULL THEN EXISTS (SELECT 1 FROM"
				" json_each(d.theirs) AS j WHERE j.key = ");
	buffer_literal(&condition, type->columns[type->scope].wire);
	buffer_text(&condition, " AND CAST(j.value AS TEXT) = ");
	buffer_literal(&condition, scope);
	buffer_text(&condition, ") WHEN ");
	key_append_exists(&condition, type, type->base_table, "b", "d.", KEY_NUMBERED);
	buffer_text(&condition, " THEN EXISTS (SELECT 1 FROM ");
	buffer_identifier(&condition, type->base_table);
	buffer_text(&condition, " AS b WHERE ");
	key_append_same(&condition, type, "b.", KEY_NAMED, "d.", KEY_NUMBERED);
	buffer_text(&condition, " AND ");
	column_append_in_scope(&condition, type, "b.", false, scope);
	buffer_text(&condition, ") ELSE ");
	column_append_in_scope(&condition, type, "r.", true, scope);
	buffer_text(&condition, " END");
	return take_both(a, type, &condition, "scope_not_allowed",
					 "the scope of the row may be synced no longer");
}

bool
parked_take_row(Applying *a, EntityType *type, const Json *json, const JsonNode *key,
				const char *code, const char *message)
{
	Buffer		condition = {0};
	Buffer		values = {0};
	sqlite3_stmt *stmt;
	int			k;

	/* bind the key to get its values as SQL, then as a condition */
	for (k = 0; k < type->nkeys; k++)
		buffer_format(&values, "%squote(CAST(?%d AS %s))", k > 0 ? ", " : "SELECT ", k + 1,
					  *value_declared_type(type->columns[type->keys[k]].kind) ?
					  value_declared_type(type->columns[type->keys[k]].kind) : "BLOB");
	stmt = sql_prepare_buffer(a->store, &values);
	if (stmt == NULL)
		return false;
	if (!row_bind_key(a->store, type, stmt, 1, json, key) ||
		sql_step(a->store, stmt) != SQLITE_ROW)
	{
		sqlite3_finalize(stmt);
		return false;
	}
	for (k = 0; k < type->nkeys; k++)
	{
		const char *value = (const char *) sqlite3_column_text(stmt, k);

		buffer_format(&condition, "%sd.key%d = ", k > 0 ? " AND " : "", k + 1);
		buffer_text(&condition, value ? value : "NULL");
	}
	sqlite3_finalize(stmt);
	return take_both(a, type, &condition, code, message);
}

static bool
delete_parked(Store *store, EntityType *type, const Json *json, const JsonNode *key)
{
	Buffer		sql = {0};
	sqlite3_stmt *stmt;
	bool		good;
	int			k;

	buffer_text(&sql, "DELETE FROM ");
	buffer_identifier(&sql, type->parked_table);
	for (k = 0; k < type->nkeys; k++)
	{
		buffer_text(&sql, k > 0 ? " AND " : " WHERE ");
		buffer_identifier(&sql, type->columns[type->keys[k]].local);
		buffer_format(&sql, " = ?%d", k + 1);
	}
	stmt = sql_prepare_buffer(store, &sql);
	good = stmt && row_bind_key(store, type, stmt, 1, json, key) && sql_execute(store, stmt);
	sqlite3_finalize(stmt);
	return good;
}

/* a parked edit, without its content */
typedef struct Parked
{
	bool		found;
	bool		is_delete;
	bool		is_create;
	bool		of_scope;		/* the server has the row, out of our sight */
	int64_t		edited_at;
	char	   *base;			/* what it was made upon; of old, or created:
								 * NULL */
	Json		known;			/* the same, parsed: has the columns of then */
	char	   *current;		/* what is there by now */
} Parked;

static void
free_parked(Parked *p)
{
	json_free(&p->known);
	sqlite3_free(p->base);
	sqlite3_free(p->current);
}

static bool
find_parked(Store *store, EntityType *type, const Json *json, const JsonNode *key, Parked *p)
{
	sqlite3_stmt *stmt;
	int			n = type->ncolumns;

	memset(p, 0, sizeof(*p));
	if (!make_place(store, type) ||
		!row_read(store, type, STATEMENT_READ_PARKED, json, key, &stmt))
		return false;
	if (stmt)
	{
		const char *base = (const char *) sqlite3_column_text(stmt, n + 3);

		p->found = true;
		p->is_delete = column_is(stmt, n, "delete");
		p->is_create = column_is(stmt, n, "create");
		p->edited_at = sqlite3_column_int64(stmt, n + 1);
		p->of_scope = column_is(stmt, n + 2, "scope_not_allowed");
		if (base && ((p->base = text_copy(base)) == NULL ||
					 !json_parse(&p->known, p->base, strlen(p->base))))
			failure_memory(&store->failure);
		sqlite3_reset(stmt);
	}
	return store->failure.result == TIDE_OK;
}

/* A rule of the app's does not let the row in: it stays parked. */
static bool
refuse_back(Store *store, const EntityType *type)
{
	Failure		why = store->failure;

	failure_clear(&store->failure);
	return failure_set(&store->failure, TIDE_LOCAL, PARKED_REFUSED,
					   "the table \"%s\" does not take a parked row back: %s", type->table,
					   why.message);
}

/* Is a column of the table written?  Not one that came after the edit was parked. */
static bool
is_written(const EntityType *type, int column, const Parked *p)
{
	const Column *c = &type->columns[column];

	return !c->beside &&
		(p->base == NULL || json_member(&p->known, p->known.nodes, c->wire) != NULL);
}

/* The columns of the table, as the parked row has them or as they are named. */
static void
append_columns(Buffer *sql, const EntityType *type, const Parked *p, const char *after)
{
	bool		first = true;
	int			i;

	for (i = 0; i < type->ncolumns; i++)
	{
		if (!is_written(type, i, p))
			continue;
		buffer_text(sql, first ? "" : ", ");
		first = false;
		buffer_identifier(sql, type->columns[i].local);
		if (*after == '\0')
			continue;
		buffer_text(sql, after);
		buffer_identifier(sql, type->columns[i].local);
	}
}

static void
append_held_columns(Buffer *sql, const EntityType *type, const Parked *p)
{
	bool		first = true;
	int			i;

	for (i = 0; i < type->ncolumns; i++)
	{
		Buffer		name = {0};

		if (!is_written(type, i, p))
			continue;
		buffer_text(sql, first ? "" : ", ");
		first = false;
		buffer_identifier(&name, type->columns[i].local);
		column_append_held(sql, &type->columns[i], name.data ? name.data : "NULL");
		sql->failed = sql->failed || name.failed;
		buffer_free(&name);
	}
}

/* An edit like any other: the triggers note it. */
static bool
write_row(Store *store, EntityType *type, const Json *json, const JsonNode *key,
		  const Parked *p)
{
	Buffer		sql = {0};
	sqlite3_stmt *stmt;
	bool		good,
				refused;

	buffer_text(&sql, "INSERT INTO ");
	buffer_identifier(&sql, type->table);
	buffer_text(&sql, " (");
	append_columns(&sql, type, p, "");
	buffer_text(&sql, ") SELECT ");
	append_held_columns(&sql, type, p);
	buffer_text(&sql, " FROM ");
	buffer_identifier(&sql, type->parked_table);
	buffer_text(&sql, " WHERE ");
	key_append_match(&sql, type, KEY_NAMED, 1);
	buffer_text(&sql, " ON CONFLICT DO UPDATE SET ");
	append_columns(&sql, type, p, " = excluded.");
	stmt = sql_prepare_buffer(store, &sql);
	good = stmt && row_bind_key(store, type, stmt, 1, json, key) &&
		sql_execute(store, stmt);
	refused = stmt && !good && (sqlite3_errcode(store->db) & 0xff) == SQLITE_CONSTRAINT &&
		!sqlite3_get_autocommit(store->db);
	sqlite3_finalize(stmt);
	return refused ? refuse_back(store, type) : good;
}

/* Where there is no row, no trigger notes its deletion. */
static bool
note_delete(Store *store, EntityType *type, const Json *json, const JsonNode *key,
			int64_t edited_at)
{
	Buffer		sql = {0};
	sqlite3_stmt *stmt;
	bool		good;
	int			k;

	buffer_text(&sql, "INSERT INTO ");
	buffer_identifier(&sql, type->dirty_table);
	buffer_text(&sql, " (");
	key_append(&sql, type, "", KEY_NUMBERED);
	buffer_text(&sql, ", operation, edited_at, seq) SELECT ");
	for (k = 0; k < type->nkeys; k++)
		buffer_format(&sql, "?%d, ", k + 1);
	buffer_format(&sql, "'delete', %lld, seq FROM tide_state", (long long) edited_at);
	if (!sql_run(store, "UPDATE tide_state SET seq = seq + 1"))
	{
		buffer_free(&sql);
		return false;
	}
	stmt = sql_prepare_buffer(store, &sql);
	good = stmt && row_bind_key(store, type, stmt, 1, json, key) && sql_execute(store, stmt);
	sqlite3_finalize(stmt);
	return good;
}

/*
 * The version that the edit was made upon, or that there is none.  Of a column that came
 * since it has what is there: the edit did not change that.
 */
static bool
put_base(Store *store, EntityType *type, const Json *json, const JsonNode *key, const Parked *p)
{
	sqlite3_stmt *stmt;
	Json		current = {0};
	bool		good;
	int			i;

	if (p->base == NULL)
		return row_run(store, type, STATEMENT_DROP_BASE, json, key);
	stmt = row_statement(store, type, STATEMENT_SAVE_BASE);
	if (stmt == NULL)
		return false;
	good = p->current == NULL || json_parse(&current, p->current, strlen(p->current));
	for (i = 0; good && i < type->ncolumns; i++)
	{
		const Column *c = &type->columns[i];
		const JsonNode *was = json_member(&p->known, p->known.nodes, c->wire);

		good = was ? value_bind(stmt, i + 1, c->kind, &p->known, was) :
			value_bind(stmt, i + 1, c->kind, &current,
					   p->current ? json_member(&current, current.nodes, c->wire) : NULL);
	}
	good = (good || failure_memory(&store->failure)) && sql_execute(store, stmt);
	json_free(&current);
	return good;
}

/*
 * It is the edit that it was, of its time and upon its version: what is there
 * by now is the server's, which judges.
 */
static bool
date_back(Store *store, EntityType *type, const Json *json, const JsonNode *key,
		  const Parked *p)
{
	Buffer		sql = {0};
	sqlite3_stmt *stmt;
	Dirty		dirty;
	bool		good = row_dirty(store, type, json, key, &dirty);

	/* what is there is what the edit would make */
	if (!good || !dirty.found)
		return good;
	good = put_base(store, type, json, key, p);
	buffer_text(&sql, "UPDATE ");
	buffer_identifier(&sql, type->dirty_table);
	buffer_format(&sql, " SET edited_at = %lld, theirs = ?1, theirs_deleted = %d WHERE ",
				  (long long) p->edited_at, p->base && p->current == NULL);
	key_append_match(&sql, type, KEY_NUMBERED, 2);
	stmt = good ? sql_prepare_buffer(store, &sql) : NULL;
	good = stmt && sql_bind_text(stmt, 1, p->current) &&
		row_bind_key(store, type, stmt, 2, json, key) && sql_execute(store, stmt);
	sqlite3_finalize(stmt);
	buffer_free(&sql);
	return good;
}

static bool
put_back(Store *store, EntityType *type, const Json *json, const JsonNode *key, Parked *p)
{
	bool		good;

	if (!row_read_json(store, type, STATEMENT_READ, json, key, &p->current))
		return false;
	if (!p->is_delete)
		good = write_row(store, type, json, key, p);
	else if (p->current)
		good = row_run(store, type, STATEMENT_DELETE, json, key);
	else
		good = !p->of_scope || note_delete(store, type, json, key, p->edited_at);
	/* of a row that is gone on the server the edit makes one anew, now */
	if (good && (p->current || p->of_scope) && (p->base || p->is_create))
		good = date_back(store, type, json, key, p);
	return good && delete_parked(store, type, json, key);
}

bool
parked_put_back(Store *store, EntityType *type, const Json *json, const JsonNode *key,
				bool *found)
{
	Parked		p;
	Dirty		dirty;
	bool		good = find_parked(store, type, json, key, &p) &&
		row_dirty(store, type, json, key, &dirty);

	*found = p.found;
	if (good && p.found && dirty.found)
		good = failure_set(&store->failure, TIDE_LOCAL, PARKED_REFUSED,
						   "the row in \"%s\" has been edited since: sync that edit first, or discard it",
						   type->table);
	else if (good && p.found)
		good = put_back(store, type, json, key, &p);
	free_parked(&p);
	return good;
}

bool
parked_discard(Store *store, EntityType *type, const Json *json, const JsonNode *key,
			   bool *found)
{
	Parked		p;
	bool		good = find_parked(store, type, json, key, &p);

	*found = p.found;
	free_parked(&p);
	return good && (!*found || delete_parked(store, type, json, key));
}
