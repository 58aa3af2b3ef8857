/*
 * triggers.c
 *	  The triggers that note what any program writes into the tables.
 *
 * Plain SQL, for the writer may be the sqlite3 shell.  All are gated by
 * tide_state.applying, which is set only inside our own transactions: SQLite
 * has one writer, so nobody else sees it set.  Their statements say ON
 * CONFLICT DO: the conflict clause of the user's statement (OR REPLACE, OR
 * FAIL) overrides an INSERT OR ... in a trigger, but not that.
 */
#include <string.h>

#include "store/columns.h"
#include "store/emptied.h"
#include "store/keys.h"
#include "store/sql.h"
#include "store/triggers.h"

#define GATE "(SELECT applying FROM tide_state) = 0"
#define NOW \
	"(CAST(strftime('%s', 'now') AS INTEGER) * 1000 +" \
	" CAST(substr(strftime('%f', 'now'), 4) AS INTEGER))"
#define NEXT_SEQ "UPDATE tide_state SET seq = seq + 1"

/* Byte for byte: the column's own collation might call 'a' and 'A' the same. */
static void
append_differs(Buffer *sql, const char *column)
{
	buffer_text(sql, "NEW.");
	buffer_identifier(sql, column);
	buffer_text(sql, " COLLATE BINARY IS NOT OLD.");
	buffer_identifier(sql, column);
}

static void
append_key_differs(Buffer *sql, const EntityType *type)
{
	int			k;

	buffer_char(sql, '(');
	for (k = 0; k < type->nkeys; k++)
	{
		buffer_text(sql, k > 0 ? " OR " : "");
		append_differs(sql, type->columns[type->keys[k]].local);
	}
	buffer_char(sql, ')');
}

/* Did the statement edit the row?  A stamp or a version alone is no edit. */
static void
append_edited(Buffer *sql, const EntityType *type)
{
	int			i;

	buffer_text(sql, "(0");
	for (i = 0; i < type->ncolumns; i++)
	{
		if (type->columns[i].is_stamp || type->columns[i].is_key || type->columns[i].beside)
			continue;
		buffer_text(sql, " OR (");
		append_differs(sql, type->columns[i].local);
		if (emptied_can_be(type, i))
			emptied_append_no_edit(sql, type, i);
		buffer_char(sql, ')');
	}
	/* an app that marks a row by hand */
	if (type->is_dirty)
	{
		buffer_text(sql, " OR (NEW.");
		buffer_identifier(sql, type->is_dirty);
		buffer_text(sql, " <> 0 AND OLD.");
		buffer_identifier(sql, type->is_dirty);
		buffer_text(sql, " IS NOT NEW.");
		buffer_identifier(sql, type->is_dirty);
		buffer_text(sql, " AND NOT ");
		key_append_exists(sql, type, type->dirty_table, "d", "NEW.", KEY_NAMED);
		buffer_char(sql, ')');
	}
	buffer_char(sql, ')');
}

/* Has anything changed that we keep, stamps and status included? */
static void
append_touched(Buffer *sql, const EntityType *type)
{
	int			i;

	buffer_text(sql, "(0");
	for (i = 0; i < type->ncolumns; i++)
	{
		if (type->columns[i].is_key || type->columns[i].beside)
			continue;
		buffer_text(sql, " OR ");
		append_differs(sql, type->columns[i].local);
	}
	if (type->is_dirty)
	{
		buffer_text(sql, " OR ");
		append_differs(sql, type->is_dirty);
	}
	buffer_char(sql, ')');
}

/* The row as the wire would show it. */
static void
append_values(Buffer *sql, const EntityType *type, const char *row)
{
	int			i;

	for (i = 0; i < type->ncolumns; i++)
	{
		buffer_text(sql, i > 0 ? ", " : "");
		column_append_wire(sql, type, i, row);
	}
}

/*
 * Save the row as it was, unless it is dirty: then the base is there, or the
 * row was made here.  What is saved already is older, and the server's.
 */
static void
append_save_old(Buffer *sql, const EntityType *type)
{
	buffer_text(sql, "INSERT INTO ");
	buffer_identifier(sql, type->base_table);
	buffer_text(sql, " (");
	columns_append(sql, type, "");
	buffer_text(sql, ") SELECT ");
	append_values(sql, type, "OLD.");
	buffer_text(sql, " WHERE NOT ");
	key_append_exists(sql, type, type->dirty_table, "d", "OLD.", KEY_NAMED);
	buffer_text(sql, " ON CONFLICT DO NOTHING;\n");
}

/*
 * Save the row that the one to be written may replace: a REPLACE shows the
 * triggers after it no old row.
 */
static void
append_save_replaced(Buffer *sql, const EntityType *type)
{
	buffer_text(sql, "INSERT INTO ");
	buffer_identifier(sql, type->base_table);
	buffer_text(sql, " (");
	columns_append(sql, type, "");
	buffer_text(sql, ") SELECT ");
	append_values(sql, type, "t.");
	buffer_text(sql, " FROM ");
	buffer_identifier(sql, type->table);
	buffer_text(sql, " AS t WHERE ");
	key_append_same(sql, type, "", KEY_NAMED, "NEW.", KEY_NAMED);
	buffer_text(sql, " AND NOT ");
	key_append_exists(sql, type, type->dirty_table, "d", "NEW.", KEY_NAMED);
	buffer_text(sql, " ON CONFLICT DO NOTHING;\n");
}

/*
 * Note an operation on a key.  Two edits in one millisecond, or a clock that
 * was set back, still leave each its own time.
 */
static void
append_mark(Buffer *sql, const EntityType *type, const char *row, const char *operation,
			const char *app_stamp, const char *condition)
{
	buffer_text(sql, "INSERT INTO ");
	buffer_identifier(sql, type->dirty_table);
	buffer_text(sql, " (");
	key_append(sql, type, "", KEY_NUMBERED);
	buffer_text(sql, ", operation, edited_at, seq, app_stamp) SELECT ");
	key_append(sql, type, row, KEY_NAMED);
	buffer_format(sql, ", '%s', ", operation);
	buffer_text(sql, NOW ", (SELECT seq FROM tide_state), ");
	buffer_text(sql, app_stamp);
	buffer_text(sql, " WHERE ");
	buffer_text(sql, condition);
	buffer_text(sql, " ON CONFLICT DO UPDATE SET operation = excluded.operation,"
				" edited_at = max(excluded.edited_at, edited_at + 1),"
				" seq = excluded.seq, app_stamp = excluded.app_stamp,"
				" state = 'queued', tries = 0, next_try_at = 0, code = NULL,"
				" message = NULL;\n");
}

static void
append_status(Buffer *sql, const EntityType *type)
{
	if (type->is_dirty == NULL)
		return;
	buffer_text(sql, "UPDATE ");
	buffer_identifier(sql, type->table);
	buffer_text(sql, " SET ");
	buffer_identifier(sql, type->is_dirty);
	buffer_text(sql, " = 1 WHERE ");
	key_append_same(sql, type, "", KEY_NAMED, "NEW.", KEY_NAMED);
	buffer_text(sql, " AND ");
	buffer_identifier(sql, type->is_dirty);
	buffer_text(sql, " IS NOT 1 AND ");
	key_append_exists(sql, type, type->dirty_table, "d", "NEW.", KEY_NAMED);
	buffer_text(sql, ";\n");
}

/* CREATE TRIGGER up to BEGIN; condition NULL is the gate alone */
static void
append_head(Buffer *sql, const EntityType *type, const char *name, const char *event,
			const char *condition)
{
	Buffer		full = {0};

	buffer_format(&full, "tide_%s_%s", type->table, name);
	if (full.failed)
		sql->failed = true;
	else
	{
		buffer_text(sql, "CREATE TRIGGER ");
		buffer_identifier(sql, full.data);
		buffer_format(sql, " %s ON ", event);
		buffer_identifier(sql, type->table);
		buffer_text(sql, " WHEN " GATE);
		if (condition)
		{
			buffer_text(sql, " AND ");
			buffer_text(sql, condition);
		}
		buffer_text(sql, " BEGIN\n");
	}
	buffer_free(&full);
}

/* what the app set the stamp to, in the statement that the trigger is of */
static void
make_app_stamp(Buffer *out, const EntityType *type, bool is_update)
{
	Buffer		held = {0};

	if (type->modified_at < 0 || type->columns[type->modified_at].beside)
	{
		buffer_text(out, "NULL");
		return;
	}
	buffer_text(&held, "NEW.");
	buffer_identifier(&held, type->columns[type->modified_at].local);
	if (is_update)
	{
		buffer_text(out, "CASE WHEN ");
		append_differs(out, type->columns[type->modified_at].local);
		buffer_text(out, " THEN ");
	}
	if (held.failed)
		out->failed = true;
	else
		column_append_shown(out, &type->columns[type->modified_at], held.data);
	if (is_update)
		buffer_text(out, " END");
	buffer_free(&held);
}

static void
append_no_null(Buffer *sql, const EntityType *type)
{
	int			k;

	buffer_text(sql, "SELECT RAISE(ABORT, 'a row without a key cannot be synced') WHERE ");
	for (k = 0; k < type->nkeys; k++)
	{
		buffer_text(sql, k > 0 ? " OR NEW." : "NEW.");
		buffer_identifier(sql, type->columns[type->keys[k]].local);
		buffer_text(sql, " IS NULL");
	}
	buffer_text(sql, ";\n");
}

static void
append_insert_triggers(Buffer *sql, const EntityType *type)
{
	Buffer		stamp = {0};

	make_app_stamp(&stamp, type, false);
	append_head(sql, type, "before_insert", "BEFORE INSERT", NULL);
	if (type->numbered)
	{
		Buffer		message = {0};

		buffer_format(&message, "the server numbers the rows of %s: a device cannot insert any",
					  type->table);
		buffer_text(sql, "SELECT RAISE(ABORT, ");
		buffer_literal(sql, message.data ? message.data : "");
		sql->failed = sql->failed || message.failed;
		buffer_free(&message);
		buffer_text(sql, ") WHERE NOT ");
		key_append_exists(sql, type, type->table, "d", "NEW.", KEY_NAMED);
		/* one that is parked was numbered by the server once */
		buffer_text(sql, " AND NOT ");
		key_append_exists(sql, type, type->parked_table, "d", "NEW.", KEY_NAMED);
		buffer_text(sql, ";\n");
	}
	/* an app's own PRIMARY KEY lets NULL in, but for that of a number */
	if (type->attached)
		append_no_null(sql, type);
	append_save_replaced(sql, type);
	buffer_text(sql, "END;\n");

	append_head(sql, type, "after_insert", "AFTER INSERT", NULL);
	/* not before: an insert that is ignored leaves the row as it is */
	emptied_append_forget(sql, type, "NEW.", false);
	buffer_text(sql, NEXT_SEQ ";\n");
	append_mark(sql, type, "NEW.", "put", stamp.data ? stamp.data : "NULL", "1");
	append_status(sql, type);
	buffer_text(sql, "END;\n");
	sql->failed = sql->failed || stamp.failed;
	buffer_free(&stamp);
}

static void
append_update_trigger(Buffer *sql, const EntityType *type)
{
	Buffer		stamp = {0};
	Buffer		condition = {0};
	Buffer		edited = {0};

	make_app_stamp(&stamp, type, true);
	append_edited(&edited, type);
	buffer_text(&condition, "NOT ");
	append_key_differs(&condition, type);
	buffer_text(&condition, " AND ");
	append_touched(&condition, type);
	if (stamp.failed || condition.failed || edited.failed)
		sql->failed = true;
	else
	{
		append_head(sql, type, "after_update", "AFTER UPDATE", condition.data);
		append_save_old(sql, type);
		buffer_text(sql, NEXT_SEQ " WHERE ");
		buffer_text(sql, edited.data);
		buffer_text(sql, ";\n");
		append_mark(sql, type, "NEW.", "put", stamp.data, edited.data);
		append_status(sql, type);
		emptied_append_forget(sql, type, "NEW.", true);
		buffer_text(sql, "END;\n");
	}
	buffer_free(&stamp);
	buffer_free(&condition);
	buffer_free(&edited);
}

/*
 * The row is gone from a key.  If nobody but this device ever saw it, there is
 * nothing to tell; else it is a delete.  So it is where a pull has brought a
 * row of the same key meanwhile, which was kept aside.
 */
static void
append_gone(Buffer *sql, const EntityType *type)
{
	Buffer		condition = {0};

	append_save_old(sql, type);
	buffer_text(sql, NEXT_SEQ ";\nDELETE FROM ");
	buffer_identifier(sql, type->dirty_table);
	buffer_text(sql, " WHERE ");
	key_append_same(sql, type, "", KEY_NUMBERED, "OLD.", KEY_NAMED);
	buffer_text(sql, " AND sent = 0 AND theirs IS NULL AND NOT ");
	key_append_exists(sql, type, type->base_table, "d", "OLD.", KEY_NAMED);
	buffer_text(sql, ";\n");
	buffer_char(&condition, '(');
	key_append_exists(&condition, type, type->base_table, "d", "OLD.", KEY_NAMED);
	buffer_text(&condition, " OR ");
	key_append_exists(&condition, type, type->dirty_table, "d", "OLD.", KEY_NAMED);
	buffer_char(&condition, ')');
	if (condition.failed)
		sql->failed = true;
	else
		append_mark(sql, type, "OLD.", "delete", "NULL", condition.data);
	buffer_free(&condition);
	emptied_append_forget(sql, type, "OLD.", false);
}

static void
append_key_triggers(Buffer *sql, const EntityType *type)
{
	Buffer		condition = {0};
	Buffer		stamp = {0};

	append_key_differs(&condition, type);
	make_app_stamp(&stamp, type, true);
	if (condition.failed || stamp.failed)
		sql->failed = true;
	else
	{
		append_head(sql, type, "before_key", "BEFORE UPDATE", condition.data);
		append_save_replaced(sql, type);
		buffer_text(sql, "END;\n");

		append_head(sql, type, "after_key", "AFTER UPDATE", condition.data);
		append_gone(sql, type);
		append_mark(sql, type, "NEW.", "put", stamp.data, "1");
		append_status(sql, type);
		buffer_text(sql, "END;\n");
	}
	buffer_free(&condition);
	buffer_free(&stamp);
}

static void
append_delete_trigger(Buffer *sql, const EntityType *type)
{
	append_head(sql, type, "after_delete", "AFTER DELETE", NULL);
	append_gone(sql, type);
	buffer_text(sql, "END;\n");
}

/* child.fk = OLD.key, of a reference */
static void
append_children(Buffer *sql, const EntityType *child, const EntityType *parent,
				const Reference *ref)
{
	int			i;

	for (i = 0; i < ref->ncolumns; i++)
	{
		buffer_text(sql, i > 0 ? " AND " : "");
		buffer_identifier(sql, child->columns[ref->columns[i]].local);
		buffer_text(sql, " = OLD.");
		buffer_identifier(sql, parent->columns[ref->parent_columns[i]].local);
	}
}

/*
 * A trigger does not fire itself, so a tree in one table is taken down in one
 * statement.  Single-column keys only; longer ones lose a level at a time.
 */
static void
append_subtree(Buffer *sql, const EntityType *type, const Reference *ref)
{
	const char *key = type->columns[ref->parent_columns[0]].local;
	const char *parent = type->columns[ref->columns[0]].local;

	buffer_identifier(sql, key);
	buffer_text(sql, " IN (WITH RECURSIVE tide_tree(k) AS (SELECT ");
	buffer_identifier(sql, key);
	buffer_text(sql, " FROM ");
	buffer_identifier(sql, type->table);
	buffer_text(sql, " WHERE ");
	append_children(sql, type, type, ref);
	buffer_text(sql, " UNION SELECT c.");
	buffer_identifier(sql, key);
	buffer_text(sql, " FROM tide_tree JOIN ");
	buffer_identifier(sql, type->table);
	buffer_text(sql, " AS c ON c.");
	buffer_identifier(sql, parent);
	buffer_text(sql, " = tide_tree.k) SELECT k FROM tide_tree)");
}

static void
append_set_null(Buffer *sql, const EntityType *child, const EntityType *parent,
				const Reference *ref)
{
	bool		first = true;
	int			i;

	buffer_text(sql, "UPDATE ");
	buffer_identifier(sql, child->table);
	buffer_text(sql, " SET ");
	for (i = 0; i < ref->ncolumns; i++)
	{
		if (!(ref->emptied & UINT32_C(1) << i))
			continue;
		buffer_text(sql, first ? "" : ", ");
		first = false;
		buffer_identifier(sql, child->columns[ref->columns[i]].local);
		buffer_text(sql, " = NULL");
	}
	buffer_text(sql, " WHERE ");
	append_children(sql, child, parent, ref);
	buffer_text(sql, ";\n");
}

static void
append_set_default(Buffer *sql, const EntityType *child, const EntityType *parent,
				   const Reference *ref, int number)
{
	Buffer		children = {0};

	append_children(&children, child, parent, ref);
	emptied_append_note(sql, child, parent, ref, number, children.data ? children.data : "");
	sql->failed = sql->failed || children.failed;
	buffer_free(&children);
	append_set_null(sql, child, parent, ref);
}

/*
 * What the server does to the children of a row that is deleted, done here
 * too.  They are triggers of their own, so that those above fire for what they
 * delete.  A default is the server's to know: see emptied.h.
 *
 * None of them closes the gate: what a rule of the app's ends half done (RAISE
 * with FAIL) stays done, and a gate that stayed closed would hide all that is
 * edited from then on, as it would hide what the app's triggers write.
 */
static void
append_action(Buffer *sql, const EntityType *child, const EntityType *parent,
			  const Reference *ref, int number)
{
	Buffer		name = {0};

	/* a soft delete is an update to the server: no row goes, no child follows */
	if (parent->deleted_at >= 0)
		return;
	if (ref->on_delete == DELETE_NO_ACTION ||
		(ref->on_delete != DELETE_CASCADE && ref->emptied == 0))
		return;
	buffer_format(&name, "children_%s_%d", child->table, number);
	if (name.failed)
		sql->failed = true;
	else
		append_head(sql, parent, name.data, "AFTER DELETE", NULL);
	buffer_free(&name);
	if (ref->on_delete == DELETE_CASCADE)
	{
		buffer_text(sql, "DELETE FROM ");
		buffer_identifier(sql, child->table);
		buffer_text(sql, " WHERE ");
		if (child == parent && ref->ncolumns == 1)
			append_subtree(sql, child, ref);
		else
			append_children(sql, child, parent, ref);
		buffer_text(sql, ";\n");
	}
	else if (ref->on_delete == DELETE_SET_NULL)
		append_set_null(sql, child, parent, ref);
	else
		append_set_default(sql, child, parent, ref, number);
	buffer_text(sql, "END;\n");
	if (ref->on_delete == DELETE_SET_DEFAULT)
		emptied_append_trigger(sql, child, parent, ref, number);
}

/* All triggers on a type's table. */
static void
append_triggers(Buffer *sql, Store *store, const EntityType *type)
{
	int			i,
				r;

	append_insert_triggers(sql, type);
	append_update_trigger(sql, type);
	append_key_triggers(sql, type);
	append_delete_trigger(sql, type);
	for (i = 0; i < store->ntypes; i++)
	{
		const EntityType *child = &store->types[i];

		for (r = 0; r < child->nreferences; r++)
		{
			if (&store->types[child->references[r].parent] == type)
				append_action(sql, child, type, &child->references[r], r + 1);
		}
	}
}

bool
triggers_drop(Store *store, const EntityType *type)
{
	char	   *drops;
	bool		good;

	good = sql_text(store, &drops, "SELECT group_concat('DROP TRIGGER \"' ||"
					" replace(name, '\"', '\"\"') || '\"', ';')"
					" FROM sqlite_schema WHERE type = 'trigger'"
					" AND tbl_name = %Q COLLATE NOCASE"
					" AND name LIKE 'tide\\_%%' ESCAPE '\\'", type->table) &&
		(drops == NULL || sql_run(store, "%s", drops));
	sqlite3_free(drops);
	return good;
}

bool
triggers_make(Store *store, EntityType *type)
{
	Buffer		sql = {0};

	append_triggers(&sql, store, type);
	if (!triggers_drop(store, type) || !emptied_make_all(store))
	{
		buffer_free(&sql);
		return false;
	}
	return sql_run_buffer(store, &sql);
}

/*
 * SQLite keeps the text of each as it was given, but for the semicolon; in
 * sqlite_schema they stand in the order in which they were made.
 */
bool
triggers_are_there(Store *store, EntityType *type, bool *there)
{
	Buffer		wanted = {0};
	char	   *found;
	bool		good;

	append_triggers(&wanted, store, type);
	good = sql_text(store, &found, "SELECT group_concat(sql, ';' || char(10)) || ';' || char(10)"
					" FROM (SELECT sql FROM sqlite_schema"
					" WHERE type = 'trigger' AND tbl_name = %Q COLLATE NOCASE"
					" AND name LIKE 'tide\\_%%' ESCAPE '\\' ORDER BY rowid)", type->table) &&
		(!wanted.failed || failure_memory(&store->failure));
	*there = good && found && strcmp(found, wanted.data) == 0;
	sqlite3_free(found);
	buffer_free(&wanted);
	return good;
}
