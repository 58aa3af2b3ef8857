/*-------------------------------------------------------------------------
 *
 * scopes.c
 *	  The scopes of a caller, and those that its client has lost since its
 *	  cursor was made.
 *
 * A client may hold rows of each scope that its cursor knows: the scopes of
 * its places, and those that were asked for once and have no place any
 * more.  If the caller may not sync one of them any more, the reply names it,
 * so that the client drops its rows, and the cursor of the reply does not know
 * it.  If the reply is lost, the old cursor comes again and the scope is named
 * again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "pull/page.h"
#include "table/registry.h"
#include "util/errors.h"

PG_FUNCTION_INFO_V1(tide_scopes);

/* every scope that the cursor names, as far as it lists them */
static ScopeSet
scopes_of_cursor(const Cursor *cursor)
{
	ScopeSet	result = cursor->held_scopes;
	int			i;

	for (i = 0; i < cursor->nplaces; i++)
		if (!cursor->places[i].scopes.all)
			result = scopes_union(&result, &cursor->places[i].scopes);
	return result;
}

/*
 * The table, to write scopes as its column does or did.  A table that cannot be
 * served for now may have lost that column, or have one of another type: then
 * what was noted of its form has to do.  NULL: nothing is known, or the texts
 * stay what they are.
 */
static TrackedTable *
for_spelling(TrackedTable *t)
{
	List	   *forms = t->settings.forms;
	int			n = list_length(t->settings.keys);
	const char *form = n < list_length(forms) ? list_nth(forms, n) : "";
	Oid			type = strcmp(form, "uuid") == 0 ? UUIDOID :
		strcmp(form, "integer") == 0 ? INT8OID : InvalidOid;
	TrackedColumn *c;
	Oid			function;
	bool		varlena;

	if (!OidIsValid(type))
		return AttributeNumberIsValid(t->scope) ? t : NULL;
	t = palloc0(sizeof(TrackedTable));
	t->columns = c = palloc0(sizeof(TrackedColumn));
	t->ncolumns = t->scope = c->attnum = 1;
	t->plain_key = true;
	c->type = c->base_type = type;
	c->typmod = -1;
	c->base = c;
	getTypeOutputInfo(type, &function, &varlena);
	fmgr_info(function, &c->output);
	getTypeInputInfo(type, &function, &c->ioparam);
	fmgr_info(function, &c->input);
	return t;
}

/*
 * The allowed scopes as the columns of tracked tables write them: a uuid in
 * upper case is the same scope as in lower case.  Tables that cannot be served
 * for now count, too, for a client keeps their rows.
 */
static ScopeSet
spell_allowed(Pull *pull)
{
	Access		allowed = {0};
	ScopeSet	result = {0};
	ListCell   *lc;

	allowed.scopes = pull->access.allowed;
	result.scopes = palloc(sizeof(char *) *
						   (list_length(registry_all(pull->access.schema)) * allowed.scopes.n + 1));
	foreach(lc, registry_all(pull->access.schema))
	{
		TrackedTable *t = lfirst(lc);
		TableScopes scopes;
		int			i;

		if (t->shared || (registry_problem(t) && (t = for_spelling(t)) == NULL))
			continue;
		access_table_scopes(&allowed, t, &scopes);
		for (i = 0; i < scopes.n; i++)
			result.scopes[result.n++] = scopes.texts[i];
	}
	scopes_normalise(&result);
	return result;
}

/*
 * Which of the cursor's scopes the caller has lost, and which it still has:
 * they go to pull->revoked and pull->known.  A lost scope loses its places.
 * tide.changes returns rows, which cannot name lost scopes, so its cursors
 * keep them.
 */
void
pull_note_revoked(Pull *pull, Cursor *cursor)
{
	ScopeSet	known = scopes_of_cursor(cursor);
	ScopeSet	missing = scopes_subtract(&known, &pull->access.allowed);
	ScopeSet	spelled = {0};
	bool		have_spelled = (missing.n > 0);
	int			i;

	if (have_spelled)
	{
		spelled = spell_allowed(pull);
		missing = scopes_subtract(&missing, &spelled);
	}
	if (!pull->item_cursors)
		pull->revoked = missing;
	pull->known = scopes_subtract(&known, &pull->revoked);
	if (pull->revoked.n > 0)
		places_forget_scopes(cursor, &pull->revoked);

	/*
	 * a caller who could see every scope before has lost scopes that nobody
	 * can list
	 */
	for (i = 0; i < cursor->nplaces && !pull->access.allowed.all; i++)
	{
		Place	   *place = &cursor->places[i];

		if (!place->scopes.all)
			continue;
		if (!have_spelled)
			spelled = spell_allowed(pull);
		have_spelled = true;
		spelled = scopes_union(&spelled, &pull->access.allowed);
		place->scopes = scopes_intersect(&place->scopes, &spelled);
	}
}

/*
 * Note the scopes whose rows the client has by this cursor although they are
 * not asked for.  A row that the log names, and that is in such a scope now,
 * has moved and is not gone.
 */
void
pull_note_held(Pull *pull)
{
	ListCell   *lc;
	int			i;

	foreach(lc, pull->tables)
	{
		PullTable  *table = lfirst(lc);

		for (i = 0; i < pull->begin.nothers; i++)
		{
			Place	   *place = &pull->begin.others[i];

			if (!types_contain(&place->types, table->t->reg))
				continue;
			table->held = scopes_union(&table->held, &place->scopes);
		}
		if (!pull->access.allowed.all && pull->item_cursors)
			table->held = scopes_intersect(&table->held, &pull->access.allowed);
	}
}

/* a cursor can list only so many scopes */
void
pull_check_scopes(Pull *pull)
{
	if (pull->asked.scopes.n > CURSOR_MAX_SCOPES)
		ereport(ERROR,
				(errcode(ERRCODE_TIDE_TOO_MANY_SCOPES),
				 errmsg("a pull of %d scopes exceeds the limit of %d",
						pull->asked.scopes.n, CURSOR_MAX_SCOPES),
				 errhint("Ask for some of them at a time, and keep a cursor for each such set.")));
}

/*
 * the text of the new cursor, which also knows the scopes that were not asked
 * for
 */
char *
pull_cursor(Pull *pull)
{
	Cursor		cursor = pull->head;

	cursor.held_scopes = pull->known;
	places_settle(&cursor, &pull->begin, &pull->asked.shared);
	return cursor_encode(&cursor);
}

/*
 * The caller's scopes, so that a client with too many scopes for one cursor
 * can choose.  NULL if the caller may sync every scope, because nobody can
 * list those.
 */
Datum
tide_scopes(PG_FUNCTION_ARGS)
{
	Access		access;
	Datum	   *texts;
	int			i;

	access_resolve(NULL, &access);
	if (access.allowed.all)
		PG_RETURN_NULL();
	texts = palloc(sizeof(Datum) * (access.allowed.n + 1));
	for (i = 0; i < access.allowed.n; i++)
		texts[i] = CStringGetTextDatum(access.allowed.scopes[i]);
	PG_RETURN_ARRAYTYPE_P(construct_array(texts, access.allowed.n, TEXTOID, -1, false,
										  TYPALIGN_INT));
}
