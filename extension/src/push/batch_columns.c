/*-------------------------------------------------------------------------
 *
 * batch_columns.c
 *	  Which columns a statement of a push names.
 *
 * Changes of one table may send different columns.  One statement can write
 * them all if it names every column that sync may write, unless the caller's
 * rights, a trigger or a rule depend on which columns are named.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_class.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "push/batch_columns.h"
#include "push/rights.h"
#include "util/keymap.h"

/* a tuple has at most 1,664 columns, and each of these takes two */
#define MAX_FLAGGED_COLUMNS 780

/* the columns that a statement may name whatever a single change sends */
typedef struct AnyColumns
{
	bool		update;			/* an UPDATE may name them all; else
								 * batch_groups() parts the changes */
	bool		insert;
	bool		probe;
	Bitmapset  *updated;		/* attnums */
	Bitmapset  *identifying;	/* those of "updated" that a foreign key could
								 * refer to: an UPDATE that names one locks
								 * the row against those who refer to it */
	Bitmapset  *inserted;
} AnyColumns;

/* the columns that a statement writes, or a probe reads, for this change */
Bitmapset *
batch_columns(BatchStatement statement, Change *c)
{
	Bitmapset  *columns = c->outcome.columns;
	TrackedTable *t = c->table->t;
	int			i;

	switch (statement)
	{
		case BATCH_PROBE:
			return c->typed.changed;
		case BATCH_INSERT:
		case BATCH_INSERT_STRICT:
			return columns ? bms_union(columns, c->typed.inserted) : c->typed.inserted;
		case BATCH_UPDATE:
			if (columns == NULL)
				return c->typed.changed;
			columns = bms_copy(columns);
			for (i = 0; i < t->ncolumns; i++)
				if (t->columns[i].always_identity)
					columns = bms_del_member(columns, i + 1);
			return columns;
		case BATCH_SENT:
			return c->found.exists ? c->typed.changed : c->typed.inserted;
		case BATCH_DELETE:
		case BATCH_SOFT_DELETE:
			break;
	}
	return NULL;
}

/* do triggers or rules depend on which columns an update names? */
static bool
names_matter(Relation rel)
{
	int			i;

	/* partitions may have triggers of their own */
	if (rel->rd_rel->relhasrules || rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
		return true;
	for (i = 0; rel->trigdesc && i < rel->trigdesc->numtriggers; i++)
	{
		if (rel->trigdesc->triggers[i].tgnattr > 0)
			return true;
	}
	return false;
}

static Bitmapset *
identifying_columns(Relation rel)
{
	Bitmapset  *offset = RelationGetIndexAttrBitmap(rel, INDEX_ATTR_BITMAP_KEY);
	Bitmapset  *result = NULL;
	int			n = -1;

	while ((n = bms_next_member(offset, n)) >= 0)
	{
		if (n + FirstLowInvalidHeapAttributeNumber > 0)
			result = bms_add_member(result, n + FirstLowInvalidHeapAttributeNumber);
	}
	return result;
}

/* found out once for each push and table */
static AnyColumns *
any_columns(PushTable *table)
{
	TrackedTable *t = table->t;
	MemoryContext old;
	AnyColumns *any;
	Relation	rel;
	int			i;

	if (table->any_columns)
		return table->any_columns;
	old = MemoryContextSwitchTo(GetMemoryChunkContext(table));
	any = palloc0(sizeof(AnyColumns));
	for (i = 0; i < t->ncolumns; i++)
	{
		TrackedColumn *c = &t->columns[i];

		if (!column_is_synced(c) || c->key || c->generated ||
			c->attnum == t->modified_at || c->attnum == t->client_id ||
			c->attnum == t->deleted_at || c->attnum == t->version ||
			column_is_maintained(t, c))
			continue;
		any->inserted = bms_add_member(any->inserted, c->attnum);
		if (!c->always_identity)
			any->updated = bms_add_member(any->updated, c->attnum);
	}
	rel = table_open(t->relid, NoLock);
	any->identifying = bms_int_members(identifying_columns(rel), any->updated);
	any->insert = !rel->rd_rel->relhasrules && rights_may_insert_all(t);
	any->update = !names_matter(rel) && t->ncolumns <= MAX_FLAGGED_COLUMNS &&
		rights_may_update(t, any->updated, NULL);
	any->probe = rights_may_select_all(t);
	table_close(rel, NoLock);
	MemoryContextSwitchTo(old);
	table->any_columns = any;
	return any;
}

bool
batch_may_name_any(PushTable *table, BatchStatement statement)
{
	AnyColumns *any = any_columns(table);

	return statement == BATCH_PROBE ? any->probe :
		statement == BATCH_UPDATE ? any->update : any->insert;
}

static Bitmapset *
union_of_columns(BatchStatement statement, List *changes)
{
	Bitmapset  *result = NULL;
	ListCell   *lc;

	foreach(lc, changes)
		result = bms_add_members(result, batch_columns(statement, lfirst(lc)));
	return result;
}

BatchShape
batch_shape_of_any(PushTable *table, BatchStatement statement, List *changes)
{
	AnyColumns *any = any_columns(table);
	BatchShape	shape = {any->inserted};

	if (statement == BATCH_PROBE)
		shape.columns = any->probe ? any->updated : union_of_columns(statement, changes);
	else if (statement == BATCH_UPDATE)
	{
		shape.flags = true;
		shape.columns = any->updated;
		if (!bms_overlap(any->identifying, union_of_columns(statement, changes)))
			shape.columns = bms_difference(any->updated, any->identifying);
	}
	return shape;
}

bool
batch_is_of_one_set(BatchStatement statement, List *changes)
{
	Bitmapset  *first = batch_columns(statement, linitial(changes));
	ListCell   *lc;

	foreach(lc, changes)
	{
		if (!bms_equal(batch_columns(statement, lfirst(lc)), first))
			return false;
	}
	return true;
}

/* a set of columns as text */
char *
batch_columns_name(Bitmapset *columns)
{
	StringInfoData name;
	int			att = -1;

	initStringInfo(&name);
	while ((att = bms_next_member(columns, att)) >= 0)
		appendStringInfo(&name, " %d", att);
	return name.data;
}

List *
batch_groups(PushTable *table, BatchStatement statement, List *changes)
{
	List	   *groups = NIL;
	KeyMap	   *map;
	ListCell   *lc;

	if (statement == BATCH_DELETE || statement == BATCH_SOFT_DELETE ||
		batch_is_of_one_set(statement, changes) || batch_may_name_any(table, statement))
		return list_make1(changes);
	map = keymap_new(CurrentMemoryContext, 16);
	foreach(lc, changes)
	{
		Change	   *c = lfirst(lc);
		char	   *name = batch_columns_name(batch_columns(statement, c));
		List	  **members = keymap_get(map, name);

		if (members == NULL)
		{
			members = palloc0(sizeof(List *));
			groups = lappend(groups, members);
			keymap_put(map, name, members);
		}
		*members = lappend(*members, c);
	}
	foreach(lc, groups)
		lfirst(lc) = *(List **) lfirst(lc);
	return groups;
}

int
probe_column(PushTable *table, AttrNumber attnum)
{
	int			n = PROBE_CLOCKS + 1;
	int			att = -1;

	while ((att = bms_next_member(table->probed, att)) >= 0 && att != attnum)
		n++;
	Assert(att == attnum);
	return n;
}
