/*-------------------------------------------------------------------------
 *
 * scope_refresh.c
 *	  Rows that find their scope anew, because what they are found through
 *	  leads elsewhere.
 *
 * An UPDATE that sets the scope to what it is makes the row trigger look it up.
 * A trigger of the user's that runs before ours may leave such a row out, as
 * suppress_redundant_updates_trigger() does, since nothing has changed yet.  The
 * row would stay in a scope that it has left.  So where there are such
 * triggers, the scopes are compared with what the joins say, and rows that were
 * left out are written once more, with a change.  A row that still stays is an
 * error.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "capture/scope_trigger.h"
#include "table/scope_path.h"

Oid			scope_refreshing = InvalidOid;

static void
run(TrackedTable *t, const ScopeRows *rows, const char *what, const char *sql)
{
	char	   *name = psprintf("scope %s %s", rows->name, what);
	Oid			outer = scope_refreshing;

	PG_TRY();
	{
		scope_refreshing = t->relid;
		scope_run(t->relid, t, name, sql, rows->nargs, rows->types, rows->values, true);
	}
	PG_FINALLY();
	{
		scope_refreshing = outer;
	}
	PG_END_TRY();
}

/* the condition that the scope of row c is not what its path leads to */
static char *
is_wrong(const char *scope, const char *value)
{
	return psprintf("(c.%s OPERATOR(pg_catalog.=) %s) IS NOT TRUE"
					" AND (c.%s IS NOT NULL OR %s IS NOT NULL)",
					scope, value, scope, value);
}

static const char *
source(const ScopeRows *rows, const char *join)
{
	return rows->source ? psprintf(" %s %s", join, rows->source) : "";
}

/* is the scope of one of the rows wrong? */
static bool
any_is_wrong(TrackedTable *t, const ScopeRows *rows, const char *wrong)
{
	run(t, rows, "seen",
		psprintf("SELECT FROM ONLY %s c%s WHERE %s AND %s LIMIT 1", t->sql_name,
				 source(rows, "CROSS JOIN"), rows->where, wrong));
	return SPI_processed > 0;
}

/*
 * Write rows that were left out with another scope, so that there is a change;
 * the row trigger then looks it up.  Of a row without a scope nothing else than
 * its new one is known to differ.
 */
static void
write_left_out(TrackedTable *t, const ScopeRows *rows, const char *scope, const char *value,
			   const char *wrong)
{
	run(t, rows, "left out",
		psprintf("UPDATE ONLY %s c SET %s = CASE WHEN c.%s IS NULL THEN %s END%s WHERE %s AND %s",
				 t->sql_name, scope, scope, value, source(rows, "FROM"), rows->where, wrong));
	if (any_is_wrong(t, rows, wrong))
		ereport(ERROR,
				(errcode(ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION),
				 errmsg("a trigger of table \"%s\" keeps rows in a scope that they have left",
						get_rel_name(t->relid)),
				 errhint("Let its triggers before UPDATE return NEW where \"%s\" changes.",
						 tracked_column(t, t->scope)->name)));
}

void
scope_refresh(TrackedTable *t, const ScopeRows *rows)
{
	const char *scope = quote_identifier(tracked_column(t, t->scope)->name);
	char	   *value;
	char	   *wrong;

	run(t, rows, "refresh",
		psprintf("UPDATE ONLY %s c SET %s = c.%s%s WHERE %s", t->sql_name, scope, scope,
				 source(rows, "FROM"), rows->where));
	if (!t->may_leave_out)
		return;
	value = scope_path_expression(t->path);
	wrong = is_wrong(scope, value);
	if (any_is_wrong(t, rows, wrong))
		write_left_out(t, rows, scope, value, wrong);
}

void
scope_refresh_wrong(TrackedTable *t)
{
	const char *scope = quote_identifier(tracked_column(t, t->scope)->name);
	char	   *wrong = is_wrong(scope, scope_path_expression(t->path));
	ScopeRows	rows = {"all", NULL, wrong, 0, NULL, NULL};

	if (any_is_wrong(t, &rows, "true"))
		scope_refresh(t, &rows);
}
