/*-------------------------------------------------------------------------
 *
 * tables.c
 *	  The tables of a push: which table each change is of, and in which order the
 *	  tables are written.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "rewrite/prs2lock.h"
#include "storage/lockdefs.h"
#include "utils/hsearch.h"
#include "utils/json.h"
#include "utils/rel.h"

#include "push/change.h"
#include "read/rows.h"
#include "table/registry.h"
#include "table/scope_path.h"
#include "table/trust.h"
#include "util/json.h"

/* leaves room to put other tables between two */
#define ORDER_STEP 100

/* what this session remembers of a table from one push to the next */
typedef struct Remembered
{
	Oid			relid;			/* the hash key */
	bool		mostly_new;
} Remembered;

/* the address stays good until the session ends */
static bool *
mostly_new(Oid relid)
{
	static HTAB *tables = NULL;
	Remembered *entry;
	bool		found;

	if (tables == NULL)
	{
		HASHCTL		ctl = {0};

		ctl.keysize = sizeof(Oid);
		ctl.entrysize = sizeof(Remembered);
		tables = hash_create("pg_tide pushed tables", 64, &ctl, HASH_ELEM | HASH_BLOBS);
	}
	entry = hash_search(tables, &relid, HASH_ENTER, &found);
	if (!found)
		entry->mostly_new = false;
	return &entry->mostly_new;
}

static bool
has_rules(Oid relid)
{
	Relation	rel = relation_open(relid, NoLock);
	bool		result = rel->rd_rules && rel->rd_rules->numLocks > 0;

	relation_close(rel, NoLock);
	return result;
}

/*
 * A table of this push.  At its first use it is locked as its writes will lock
 * it.
 */
PushTable *
push_table(Push *push, Oid relid)
{
	ListCell   *lc;
	PushTable  *table;
	TrackedTable *t;

	foreach(lc, push->tables)
	{
		table = lfirst(lc);
		if (table->t->relid == relid)
			return table;
	}
	t = registry_lock(relid, RowExclusiveLock);
	access_require_schema(&push->access, t);
	table = palloc0(sizeof(PushTable));
	table->t = t;
	table->mostly_new = mostly_new(relid);
	access_table_scopes(&push->access, t, &table->scopes);
	table->rows = rows_table(t, &table->scopes);
	table->has_rules = has_rules(relid);
	if (push->nchanges > 1)
		table->order = registry_position(push->access.schema, relid) * ORDER_STEP;
	push->tables = lappend(push->tables, table);
	return table;
}

/*
 * What the client calls the row, as it was sent: entityId, else the key in the
 * data.  So the reply also names a change that cannot be read.
 */
static void
name_change(Change *c)
{
	TrackedTable *t = c->table->t;
	JsonbContainer *source;
	StringInfoData buf;
	int			k;

	if (c->sent.key && (t->nkeys == 1 || !json_is_object(c->sent.key)))
		return;
	source = c->sent.key ? c->sent.key->val.binary.data : c->sent.data;
	if (source == NULL)
		return;
	initStringInfo(&buf);
	for (k = 0; k < t->nkeys; k++)
	{
		const char *name = tracked_column(t, t->keys[k])->wire;
		JsonbValue *v = json_member(source, name);

		if (v == NULL || json_has_long_number(v))
			continue;
		if (t->nkeys == 1)
		{
			c->sent.entity_id = json_id(v);
			return;
		}
		appendStringInfoChar(&buf, buf.len ? ',' : '{');
		escape_json(&buf, name);
		appendStringInfo(&buf, ":%s", json_text(v));
	}
	if (buf.len > 0)
	{
		appendStringInfoChar(&buf, '}');
		c->sent.entity_id = buf.data;
	}
}

/*
 * The table cannot be served for now.  Clients are told what has to be done
 * about it, and nothing of who owns it.
 */
static void
fail_unserved(Change *c, TrackedTable *t)
{
	const char *until = t->broken || trust_owner(t->owner) ? "its table is tracked again" :
		"the owner of its table is granted EXECUTE ON FUNCTION tide.trusted()";

	change_fail_as(c, "not_supported",
				   psprintf("entity type \"%s\" cannot be pushed until %s", t->entity_type, until));
}

/*
 * Rules rewrite the statements of a push, and some cannot be rewritten.  They came
 * after the table was tracked.
 */
static void
take_table(Change *c, PushTable *table)
{
	c->table = table;
	name_change(c);
	if (table->has_rules && c->outcome.verdict != VERDICT_FAILED)
		change_fail_as(c, "not_supported",
					   psprintf("entity type \"%s\" cannot be pushed while its table has rules",
								table->t->entity_type));
}

/*
 * Find each change's table and lock it, before any subtransaction that could
 * give the locks back.
 */
void
push_find_tables(Push *push)
{
	const char *last_type = NULL;
	PushTable  *last = NULL;
	int			i;

	for (i = 0; i < push->nchanges; i++)
	{
		Change	   *c = &push->changes[i];
		bool		failed = (c->outcome.verdict == VERDICT_FAILED);
		TrackedTable *t;

		/* of those that cannot be read some can be named */
		if (c->table || c->sent.entity_type == NULL || (failed && c->sent.data == NULL))
			continue;
		if (last_type && strcmp(c->sent.entity_type, last_type) == 0)
		{
			take_table(c, last);
			continue;
		}
		t = registry_find(push->access.schema, c->sent.entity_type, true);
		if (t != NULL && !registry_problem(t))
		{
			last = push_table(push, t->relid);
			last_type = c->sent.entity_type;
			take_table(c, last);
		}
		else if (failed)
			continue;
		else if (t == NULL)
			change_fail_as(c, "unknown_entity_type",
						   psprintf("unknown entity type \"%s\"", c->sent.entity_type));
		else
			fail_unserved(c, t);
	}
}

/*
 * In a cycle of foreign keys, no order has all parents first.  Those that a
 * scope is found by count more: a row whose scope is not found is refused at
 * once, while a foreign key in a cycle must be one that is checked later, or
 * NULL at first.
 */
void
push_order_tables(Push *push)
{
	int			n = list_length(push->tables);
	bool		moved = true;
	ListCell   *lc,
			   *lp;

	while (moved && n-- > 0)
	{
		moved = false;
		foreach(lc, push->tables)
		{
			PushTable  *table = lfirst(lc);

			if (table->t->path == NULL)
				continue;
			foreach(lp, push->tables)
			{
				PushTable  *parent = lfirst(lp);

				if (parent->t->relid != table->t->path->steps[0].relid ||
					parent == table || parent->order < table->order)
					continue;
				parent->order = table->order - 1;
				moved = true;
			}
		}
	}
}
