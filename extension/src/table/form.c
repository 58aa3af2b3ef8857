/*-------------------------------------------------------------------------
 *
 * form.c
 *	  A word that says how the values of a type look as text.
 *
 * The change log, tombstones and cursors hold keys and scopes as text.  After a
 * column has changed its type, they name the same rows only if equal values
 * still have equal texts.  They do for integers of any width; they do not for a
 * timestamp that gets a time zone.  The word is dumped and restored with the
 * table, so it contains no OID.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_enum.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "table/form.h"

#define ENUM_FORM "enum "

/* the labels of an enum in their order, each in double quotes and with a comma */
static List *
enum_labels(Oid type)
{
	Relation	rel = table_open(EnumRelationId, AccessShareLock);
	List	   *labels = NIL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_enum_enumtypid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(type));
	scan = systable_beginscan(rel, EnumTypIdSortOrderIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		StringInfoData label;
		const char *p;

		initStringInfo(&label);
		appendStringInfoChar(&label, '"');
		for (p = NameStr(((Form_pg_enum) GETSTRUCT(tuple))->enumlabel); *p; p++)
		{
			if (*p == '"')
				appendStringInfoChar(&label, '"');
			appendStringInfoChar(&label, *p);
		}
		appendStringInfoString(&label, "\",");
		labels = lappend(labels, label.data);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return labels;
}

static char *
enum_form(Oid type)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	appendStringInfoString(&buf, ENUM_FORM);
	foreach(lc, enum_labels(type))
		appendStringInfoString(&buf, lfirst(lc));
	return buf.data;
}

/*
 * Labels are never dropped.  New labels may stand between the old ones, but
 * each old label is still there, in the same order, unless it was renamed.
 */
static bool
enum_form_fits(const char *form, Oid type)
{
	ListCell   *lc;

	if (strncmp(form, ENUM_FORM, strlen(ENUM_FORM)) != 0)
		return false;
	form += strlen(ENUM_FORM);
	foreach(lc, enum_labels(type))
	{
		const char *label = lfirst(lc);

		if (strncmp(form, label, strlen(label)) == 0)
			form += strlen(label);
	}
	return *form == '\0';
}

char *
type_form(Oid type, int32 typmod)
{
	Oid			base = getBaseTypeAndTypmod(type, &typmod);
	HeapTuple	tuple;
	Form_pg_type form;
	char	   *result;

	switch (base)
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
			return pstrdup("integer");
		case TEXTOID:
		case VARCHAROID:
			return pstrdup("text");
		case NUMERICOID:
			/* the scale alone; tide.track refuses one that is not fixed */
			return typmod < 0 ? pstrdup("numeric") :
				psprintf("numeric(,%d)", (typmod - VARHDRSZ) & 0x7ff);
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
		case TIMEOID:
		case TIMETZOID:
			if (typmod < 0)
				typmod = MAX_TIMESTAMP_PRECISION;
			break;
	}
	if (type_is_enum(base))
		return enum_form(base);
	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(base));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", base);
	form = (Form_pg_type) GETSTRUCT(tuple);
	result = typmod < 0 ? pstrdup(NameStr(form->typname)) :
		psprintf("%s(%d)", NameStr(form->typname),
				 base == BPCHAROID ? typmod - VARHDRSZ : typmod);
	ReleaseSysCache(tuple);
	return result;
}

bool
type_form_fits(const char *form, Oid type, int32 typmod)
{
	Oid			base = getBaseType(type);

	if (type_is_enum(base))
		return enum_form_fits(form, base);
	return strcmp(form, type_form(type, typmod)) == 0;
}
