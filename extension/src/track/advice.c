/*-------------------------------------------------------------------------
 *
 * advice.c
 *	  Advice about a tracked table that works, but may surprise its users.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "track/advice.h"
#include "util/compat.h"
#include "util/settings.h"

/* stamps that are cut to less than the precision that clients send */
static void
advise_on_precision(TrackedTable *t, AdviceReport report, void *arg)
{
	TrackedColumn *c = tracked_column(t, t->modified_at);

	if (c->typmod < 0 || c->typmod > 2)
		return;
	report(arg, "warning", t->sql_name,
		   psprintf("column \"%s\" keeps stamps less precise than milliseconds: edits with equal stamps stand in order of arrival",
					c->name),
		   psprintf("ALTER TABLE %s ALTER COLUMN %s TYPE %s;", t->sql_name,
					quote_identifier(c->name), format_type_with_typemod(c->type, 3)));
}

/* numbers that only the server can give */
static void
advise_on_key(TrackedTable *t, AdviceReport report, void *arg)
{
	TrackedColumn *c = tracked_column(t, t->keys[0]);

	if (t->nkeys != 1 || !(c->identity || c->has_default) ||
		(c->base_type != INT2OID && c->base_type != INT4OID && c->base_type != INT8OID))
		return;
	report(arg, "info", t->sql_name,
		   psprintf("key \"%s\" is numbered by the server: two clients that create rows offline can choose equal numbers",
					c->name),
		   "Use a key that each client can choose by itself, such as uuid.");
}

/* a policy that hides a softly deleted row from the user who deletes it */
static void
advise_on_soft_delete(TrackedTable *t, AdviceReport report, void *arg)
{
	Relation	rel;
	ScanKeyData key[3];
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found = false;

	if (!AttributeNumberIsValid(t->deleted_at))
		return;
	rel = table_open(DependRelationId, AccessShareLock);
	ScanKeyInit(&key[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(RelationRelationId));
	ScanKeyInit(&key[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(t->relid));
	ScanKeyInit(&key[2], Anum_pg_depend_refobjsubid, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(t->deleted_at));
	scan = systable_beginscan(rel, DependReferenceIndexId, true, NULL, 3, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		found |= ((Form_pg_depend) GETSTRUCT(tuple))->classid == PolicyRelationId;
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	if (found)
		report(arg, "warning", t->sql_name,
			   psprintf("a policy reads \"%s\": where it hides deleted rows, a soft delete is refused or does not reach other clients",
						tracked_column(t, t->deleted_at)->name),
			   "Let the policies of the roles that sync show deleted rows, and hide them in the application's own queries.");
}

/* one row if the condition holds for any row; run as the caller */
static bool
query_finds(const char *sql)
{
	bool		result;

	SPI_connect();
	if (SPI_execute(sql, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not run: %s", sql);
	result = SPI_processed > 0;
	SPI_finish();
	return result;
}

/*
 * Stamps from before the table was tracked that are later than any edit can
 * be.  This reads the table, so it is done for its owner only.
 */
static void
advise_on_stamps(TrackedTable *t, AdviceReport report, void *arg)
{
	const char *name = quote_identifier(tracked_column(t, t->modified_at)->name);
	char	   *late = psprintf("%s OPERATOR(pg_catalog.>) (pg_catalog.now() OPERATOR(pg_catalog.+) CAST('1 day' AS pg_catalog.interval))",
								name);

	if (name_in_list(t->settings.added, tracked_column(t, t->modified_at)->name) ||
		!tide_owns_table(t->relid) ||
		!query_finds(psprintf("SELECT FROM %s WHERE %s LIMIT 1", t->sql_name, late)))
		return;
	report(arg, "warning", t->sql_name,
		   psprintf("rows have stamps in the future in \"%s\": every edit of them loses until then",
					tracked_column(t, t->modified_at)->name),
		   psprintf("ALTER TABLE %s DISABLE TRIGGER %s; UPDATE %s SET %s = now() WHERE %s > now() + interval '1 day'; ALTER TABLE %s ENABLE TRIGGER %s;",
					t->sql_name, STAMP_TRIGGER, t->sql_name, name, name, t->sql_name, STAMP_TRIGGER));
}

/*
 * Triggers elsewhere that update this table, as counter caches do.  They give
 * the whole row a later stamp than edits that were made offline.
 */
static void
advise_on_counters(TrackedTable *t, AdviceReport report, void *arg)
{
	char	   *name = get_rel_name(t->relid);

	if (t->policy != POLICY_LAST_WRITE_WINS || name == NULL)
		return;
	if (query_finds(psprintf("SELECT FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_proc p"
							 " ON p.oid OPERATOR(pg_catalog.=) g.tgfoid"
							 " WHERE NOT g.tgisinternal AND g.tgrelid OPERATOR(pg_catalog.<>) %u"
							 " AND pg_catalog.lower(p.prosrc) OPERATOR(pg_catalog.~)"
							 " ('\\mupdate\\s+(only\\s+)?(\"?\\w+\"?\\.)?\"?' OPERATOR(pg_catalog.||)"
							 " pg_catalog.regexp_replace(pg_catalog.lower(%s), '(\\W)', '\\\\\\1', 'g')"
							 " OPERATOR(pg_catalog.||) '\"?\\s+(as\\s+)?(\\w+\\s+)?set\\M') LIMIT 1",
							 t->relid, quote_literal_cstr(name))))
		report(arg, "info", t->sql_name,
			   "a trigger of another table updates it: under last_write_wins that beats edits of the whole row that were made offline before",
			   "Track it with conflict => 'merge', which compares column by column.");
}

void
advise_on_table(TrackedTable *t, AdviceReport report, void *arg)
{
	advise_on_precision(t, report, arg);
	advise_on_key(t, report, arg);
	advise_on_soft_delete(t, report, arg);
	advise_on_stamps(t, report, arg);
	advise_on_counters(t, report, arg);
}
