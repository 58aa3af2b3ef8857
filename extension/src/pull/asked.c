/*-------------------------------------------------------------------------
 *
 * asked.c
 *	  What a pull asks for: tables and scopes, and which of them cannot be
 *	  had.
 *
 * A type cannot be served if no table has that name, if two have it, or if the
 * table does not fit its settings any more.  Such a type is left out and named,
 * and the others are served.  A type that the caller has no right to read is an
 * error if the pull names it, and is left out silently otherwise.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "pull/pull.h"
#include "table/names.h"
#include "table/registry.h"
#include "table/trust.h"
#include "util/errors.h"
#include "util/keymap.h"
#include "util/settings.h"

/* the most types that a cursor can hold */
#define MAX_NAMES 10000

/* tables that this session has named in the server's log as left out */
static List *told = NIL;

/* the tables that have a name */
typedef struct Named
{
	TrackedTable *t;			/* one that can be served, if there is one */
	int			nfit;
	uint64		judged;			/* what changes() was when that was asked */
	bool		is_asked_for;
	bool		is_refreshed;
} Named;

/* why a tracked table cannot be synced; NULL if it can */
static const char *
problem_of(TrackedTable *t)
{
	return registry_problem(t);
}

/* grows with each change that could make another answer of problem_of() */
static uint64
changes(void)
{
	return names_invalidations() + trust_changes();
}

/* the caller's scopes as values of the type of some scope columns */
typedef struct TypedScopes
{
	Oid			type;
	int32		typmod;
	TableScopes scopes;
} TypedScopes;

/* those of the table, if they were made for another one */
static TypedScopes *
find_typed_scopes(Pull *pull, TrackedTable *t)
{
	TrackedColumn *c;
	ListCell   *lc;

	if (t->shared)
		return NULL;
	c = tracked_column(t, t->scope);
	foreach(lc, pull->typed_scopes)
	{
		TypedScopes *typed = lfirst(lc);

		if (typed->type == c->type && typed->typmod == c->typmod)
			return typed;
	}
	return NULL;
}

/*
 * Hundreds of tables have scope columns of one or two types, so the scopes are
 * converted once for each type.
 */
static TableScopes *
typed_scopes(Pull *pull, TrackedTable *t)
{
	TypedScopes *typed = find_typed_scopes(pull, t);
	TrackedColumn *c;

	if (typed)
		return &typed->scopes;
	typed = palloc0(sizeof(TypedScopes));
	if (t->shared || pull->access.scopes.all)
	{
		typed->scopes.any = true;
		return &typed->scopes;
	}
	c = tracked_column(t, t->scope);
	typed->type = c->type;
	typed->typmod = c->typmod;
	access_table_scopes(&pull->access, t, &typed->scopes);
	pull->typed_scopes = lappend(pull->typed_scopes, typed);
	return &typed->scopes;
}

/*
 * the names in a text[], each as an entry of the map; NULL among them is an
 * error
 */
static List *
read_names(ArrayType *array)
{
	Datum	   *elements;
	bool	   *nulls;
	List	   *result = NIL;
	int			n,
				i;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
	if (n > MAX_NAMES)
		ereport(ERROR,
				(errcode(ERRCODE_TIDE_MALFORMED_REQUEST),
				 errmsg("%d entity types exceed the limit of %d", n, MAX_NAMES),
				 errhint("Leave entity types out to ask for all of them.")));
	for (i = 0; i < n; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_TIDE_MALFORMED_REQUEST),
					 errmsg("an entity type must not be null"),
					 errhint("Leave entity types out to ask for all of them.")));
		result = lappend(result, TextDatumGetCString(elements[i]));
	}
	return result;
}

static void
set_unavailable(Pull *pull, const char *name, bool by_name)
{
	if (pull->item_cursors && by_name)
	{
		/* rows cannot say it, so the error does */
		TrackedTable *t = registry_find(pull->access.schema, name, false);

		(void) registry_require(t->relid);
	}
	if (pull->item_cursors)
		ereport(WARNING,
				(errmsg("entity type \"%s\" is left out because its table does not fit its settings", name)));
	pull->unavailable = lappend(pull->unavailable, pstrdup(name));
}

/*
 * Once for each session and table, because whoever runs the server must learn
 * which table is left out and why.
 */
static void
tell_log(TrackedTable *t, const char *why)
{
	MemoryContext old;

	if (list_member_oid(told, t->relid))
		return;
	ereport(LOG,
			(errmsg("entity type \"%s\" is left out of pulls", t->entity_type),
			 errdetail("Table %s: %s.", t->sql_name, why)));
	old = MemoryContextSwitchTo(TopMemoryContext);
	told = lappend_oid(told, t->relid);
	MemoryContextSwitchTo(old);
}

/* tables by their names */
static KeyMap *
name_tables(List *tables)
{
	KeyMap	   *names = keymap_new(CurrentMemoryContext, Max(64, 2 * list_length(tables)));
	ListCell   *lc;

	foreach(lc, tables)
	{
		TrackedTable *t = lfirst(lc);
		Named	   *named = keymap_get(names, t->entity_type);

		if (named == NULL)
		{
			named = palloc0(sizeof(Named));
			named->t = t;
			named->judged = changes();
			keymap_put(names, t->entity_type, named);
		}
		if (problem_of(t) == NULL && named->nfit++ == 0)
			named->t = t;
	}
	return names;
}

/*
 * Who sees all schemas may see two tables with one number, as when a tenant's
 * schema was made by a copy of another.  In cursors they would share a place.
 */
static void
mark_same_numbers(KeyMap *names, List *tables)
{
	KeyMap	   *numbers = keymap_new(CurrentMemoryContext, Max(64, 2 * list_length(tables)));
	ListCell   *lc;

	foreach(lc, tables)
	{
		TrackedTable *t = lfirst(lc);
		Named	   *named = keymap_get(names, t->entity_type);
		char	   *number = psprintf("%d", t->reg);
		Named	   *other;

		if (problem_of(t) != NULL)
			continue;
		other = keymap_get(numbers, number);
		if (other == NULL)
			keymap_put(numbers, number, named);
		else if (other != named)
			named->nfit = other->nfit = Max(2, Max(named->nfit, other->nfit));
	}
}

/* mark the names that are asked for; those that no table has cannot be had */
static void
mark_asked_for(Pull *pull, KeyMap *names, ArrayType *entity_types)
{
	KeyMap	   *seen = keymap_new(CurrentMemoryContext, 64);
	ListCell   *lc;

	foreach(lc, read_names(entity_types))
	{
		char	   *name = lfirst(lc);
		Named	   *named = keymap_get(names, name);

		CHECK_FOR_INTERRUPTS();
		if (named)
			named->is_asked_for = true;
		else if (keymap_get(seen, name) == NULL)
		{
			set_unavailable(pull, name, true);
			keymap_put(seen, name, name);
		}
	}
}

/*
 * the types to send in full; a name that is not asked for would be ignored
 * without a word, so it is an error
 */
static void
mark_refreshed(KeyMap *names, ArrayType *refresh)
{
	ListCell   *lc;

	foreach(lc, read_names(refresh))
	{
		char	   *name = lfirst(lc);
		Named	   *named = keymap_get(names, name);

		if (named == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_TIDE_UNKNOWN_ENTITY_TYPE),
					 errmsg("unknown entity type \"%s\"", name),
					 errhint("GET /sync/schema and the view tide.tracked list the entity types.")));
		if (!named->is_asked_for)
			ereport(ERROR,
					(errcode(ERRCODE_TIDE_MALFORMED_REQUEST),
					 errmsg("entity type \"%s\" cannot be refreshed because it is not asked for", name),
					 errhint("Add it to the entity types of the pull, or leave these out.")));
		named->is_refreshed = true;
	}
}

/*
 * The lock makes changes of others visible.  NULL: it is no longer such a
 * table.
 */
static TrackedTable *
lock_table(Pull *pull, TrackedTable *t)
{
	Oid			relid = t->relid;
	char	   *name = pstrdup(t->entity_type);

	LockRelationOid(relid, AccessShareLock);
	t = registry_lookup(relid);
	if (t == NULL || !t->tracked || strcmp(t->entity_type, name) != 0 ||
		!registry_sees(pull->access.schema, t))
		return NULL;
	return t;
}

static void
add_table(Pull *pull, TrackedTable *t, bool refresh)
{
	PullTable  *table = rows_table(t, typed_scopes(pull, t));

	table->relids = t->partitioned ?
		find_all_inheritors(t->relid, AccessShareLock, NULL) : list_make1_oid(t->relid);
	pull->tables = lappend(pull->tables, table);
	pull->asked.types.regs[pull->asked.types.n++] = t->reg;
	if (refresh)
		pull->asked.refresh.regs[pull->asked.refresh.n++] = t->reg;
}

/* the table of a name, if it can be served */
static void
choose_table(Pull *pull, Named *named, bool by_name)
{
	TrackedTable *t = named->t;

	if (by_name)
		access_require_select(t->relid);
	else if (!access_may_select(t->relid))
		return;
	if (named->nfit > 1)
	{
		tell_log(t, "another table has the same entity type or registration");
		set_unavailable(pull, t->entity_type, by_name);
		return;
	}
	if (named->nfit == 1)
	{
		char	   *name = pstrdup(t->entity_type);

		t = lock_table(pull, t);
		if (t == NULL)
		{
			/*
			 * the table has just gone, which concerns only those who named it
			 */
			if (by_name)
				set_unavailable(pull, name, true);
			return;
		}
	}
	/* hundreds of tables, of which none has changed, are not looked at twice */
	if ((named->nfit == 0 || t != named->t || named->judged != changes()) && problem_of(t) != NULL)
	{
		tell_log(t, problem_of(t));
		set_unavailable(pull, t->entity_type, by_name);
		return;
	}
	access_check_columns(t);
	add_table(pull, t, named->is_refreshed);
}

static void
note_registered(Pull *pull, List *all)
{
	Asked	   *asked = &pull->asked;
	size_t		size = sizeof(int32) * (list_length(all) + 1);
	ListCell   *lc;

	asked->shared.regs = palloc(size);
	asked->registered.regs = palloc(size);
	foreach(lc, all)
	{
		TrackedTable *t = lfirst(lc);

		asked->registered.regs[asked->registered.n++] = t->reg;
		if (t->shared)
			asked->shared.regs[asked->shared.n++] = t->reg;
	}
	types_normalise(&asked->registered);
	types_normalise(&asked->shared);
}

/*
 * The caller's scopes as the types of all tables' scope columns write them.
 * So a cursor names the same scopes as the log, whichever types are asked for.
 */
static void
settle_scopes(Pull *pull, List *all)
{
	ScopeSet	spelled = {0};
	ListCell   *lc;
	int			n = 0;
	int			i;

	if (pull->access.scopes.all)
	{
		pull->asked.scopes.all = true;
		return;
	}
	foreach(lc, all)
	{
		TrackedTable *t = lfirst(lc);

		if (!t->shared && !t->broken && find_typed_scopes(pull, t) == NULL && problem_of(t) == NULL)
			(void) typed_scopes(pull, t);
	}
	foreach(lc, pull->typed_scopes)
		n += ((TypedScopes *) lfirst(lc))->scopes.n;
	spelled.scopes = palloc(sizeof(char *) * (n + 1));
	foreach(lc, pull->typed_scopes)
	{
		TableScopes *scopes = &((TypedScopes *) lfirst(lc))->scopes;

		for (i = 0; i < scopes->n; i++)
			spelled.scopes[spelled.n++] = scopes->texts[i];
	}
	scopes_normalise(&spelled);
	pull->spelled = spelled;
	pull->asked.scopes = scopes_union(&spelled, &pull->access.scopes);
}

/*
 * Choose the tables: those asked for, else all that the caller has any right
 * to read; and settle what the scopes are called.
 */
void
pull_choose_tables(Pull *pull, ArrayType *entity_types, ArrayType *refresh)
{
	Asked	   *asked = &pull->asked;
	List	   *all = registry_all(pull->access.schema);
	KeyMap	   *names = name_tables(all);
	size_t		size = sizeof(int32) * (list_length(all) + 1);
	ListCell   *lc;

	if (tide_schema_claim[0] != '\0' && !OidIsValid(pull->access.schema))
		mark_same_numbers(names, all);
	asked->types.regs = palloc(size);
	asked->refresh.regs = palloc(size);
	foreach(lc, entity_types ? NIL : all)
		((Named *) keymap_get(names, ((TrackedTable *) lfirst(lc))->entity_type))->is_asked_for = true;
	if (entity_types)
		mark_asked_for(pull, names, entity_types);
	if (refresh)
		mark_refreshed(names, refresh);
	foreach(lc, all)
	{
		TrackedTable *t = lfirst(lc);
		Named	   *named = keymap_get(names, t->entity_type);

		CHECK_FOR_INTERRUPTS();
		if (!named->is_asked_for || named->t != t)
			continue;
		choose_table(pull, named, entity_types != NULL);
	}
	types_normalise(&asked->types);
	types_normalise(&asked->refresh);

	/*
	 * Once those that are asked for are locked: a table may have been tracked
	 * anew meanwhile.
	 */
	all = registry_all(pull->access.schema);
	note_registered(pull, all);
	settle_scopes(pull, all);
}
