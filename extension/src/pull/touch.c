/*-------------------------------------------------------------------------
 *
 * touch.c
 *	  tide.touch: sending unchanged rows again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_inherits.h"
#include "executor/spi.h"
#include "utils/jsonb.h"
#include "utils/snapmgr.h"

#include "cursor/standby.h"
#include "log/changelog.h"
#include "pull/pull.h"
#include "read/rows.h"
#include "table/registry.h"
#include "util/errors.h"
#include "util/keymap.h"
#include "wire/wire.h"

PG_FUNCTION_INFO_V1(tide_touch);

static void
bad_keys(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_TIDE_MALFORMED_REQUEST),
			 errmsg("keys must be an array of keys"),
			 errhint("Pass '[\"id1\", \"id2\"]', or objects for keys of several columns.")));
}

/*
 * One key: a scalar, or an object that has the names of the key's columns on
 * the wire.  Other members are ignored.
 */
char *
pull_read_key(TrackedTable *t, JsonbValue *v)
{
	Datum		key[INDEX_MAX_KEYS];
	bool		object = v->type == jbvBinary && JsonContainerIsObject(v->val.binary.data);
	int			k;

	for (k = 0; k < t->nkeys; k++)
	{
		TrackedColumn *c = tracked_column(t, t->keys[k]);
		JsonbValue *part = v;
		bool		isnull = true;

		if (object)
			part = getKeyJsonValueFromContainer(v->val.binary.data, c->wire,
												strlen(c->wire), NULL);
		else if (t->nkeys > 1 || v->type == jbvBinary)
			bad_keys();
		if (part)
			key[k] = wire_read_value(t, c->base, part, &isnull);
		if (isnull)
			ereport(ERROR,
					(errcode(ERRCODE_TIDE_MISSING_KEY),
					 errmsg("a key of \"%s\" needs \"%s\"", t->entity_type, c->wire)));
	}
	return wire_key_text(t, key);
}

/* items for the rows of these keys */
static List *
ask_for_keys(PullTable *table, Jsonb *keys)
{
	List	   *items = NIL;
	JsonbIterator *it = JsonbIteratorInit(&keys->root);
	JsonbValue	v;
	JsonbIteratorToken token;
	int			level = wire_begin();

	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
		if (token == WJB_ELEM)
		{
			char	   *key = pull_read_key(table->t, &v);

			if (keymap_get(table->seen, key) == NULL)
				items = lappend(items, rows_ask(table, key));
		}
	wire_end(level);
	return items;
}

/* write entries of the log for the rows that exist, scope by scope */
static int64
append_entries(PullTable *table, List *items)
{
	TrackedTable *t = table->t;
	KeyMap	   *scopes = keymap_new(CurrentMemoryContext, 16);
	List	   *order = NIL;
	ListCell   *lc;
	int64		n = 0;

	foreach(lc, items)
	{
		PullItem   *item = lfirst(lc);
		char	   *scope;
		List	   *keys;

		if (!item->have_row)
			continue;
		scope = t->shared ? "" : wire_scope_text(t, item->values[t->scope - 1]);
		keys = keymap_get(scopes, scope);
		if (keys == NIL)
			order = lappend(order, scope);
		keymap_put(scopes, scope, lappend(keys, item->key));
		n++;
	}
	foreach(lc, order)
	{
		List	   *keys = keymap_get(scopes, lfirst(lc));
		char	  **batch = palloc(sizeof(char *) * MAX_KEYS_PER_ENTRY);
		ListCell   *lk;
		int			count = 0;

		foreach(lk, keys)
		{
			batch[count++] = lfirst(lk);
			if (count == MAX_KEYS_PER_ENTRY || lnext(keys, lk) == NULL)
			{
				changelog_append(t, t->shared ? NULL : lfirst(lc), NULL, batch, count);
				count = 0;
			}
		}
	}
	return n;
}

/*
 * Only rows that the caller may read, in scopes that it may sync.  So the
 * result does not tell whether a row of another user exists.
 */
Datum
tide_touch(PG_FUNCTION_ARGS)
{
	Jsonb	   *keys = PG_GETARG_JSONB_P(1);
	Access		access;
	TrackedTable *t;
	TableScopes scopes;
	PullTable  *table;
	List	   *items;
	int64		n;

	standby_refuse("tide.touch()");
	if (!JB_ROOT_IS_ARRAY(keys) || JB_ROOT_IS_SCALAR(keys))
		bad_keys();
	SPI_connect();
	access_resolve(NULL, &access);
	t = registry_lock(PG_GETARG_OID(0), AccessShareLock);
	access_require_schema(&access, t);
	access_table_scopes(&access, t, &scopes);
	table = rows_table(t, &scopes);
	items = ask_for_keys(table, keys);
	PushActiveSnapshot(GetTransactionSnapshot());
	rows_check_snapshot(t, t->partitioned ?
						find_all_inheritors(t->relid, AccessShareLock, NULL) :
						list_make1_oid(t->relid), GetActiveSnapshot());
	rows_fetch(list_make1(table), items);
	PopActiveSnapshot();
	n = append_entries(table, items);
	SPI_finish();
	PG_RETURN_INT64(n);
}
