/*-------------------------------------------------------------------------
 *
 * kind.c
 *	  How the values of a type are written on the wire.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/tupdesc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "table/kind.h"

WireKind
wire_kind(Oid type)
{
	Oid			base = getBaseType(type);

	switch (base)
	{
		case BOOLOID:
			return WIRE_BOOL;
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case FLOAT4OID:
		case FLOAT8OID:
		case NUMERICOID:
			return WIRE_NUMBER;
		case TIMESTAMPTZOID:
			return WIRE_TIMESTAMPTZ;
		case TIMESTAMPOID:
			return WIRE_TIMESTAMP;
		case DATEOID:
			return WIRE_DATE;
		case JSONOID:
		case JSONBOID:
			return WIRE_JSON;
		default:
			if (OidIsValid(wire_element_type(base)))
				return WIRE_ARRAY;
			return type_is_rowtype(base) ? WIRE_COMPOSITE : WIRE_TEXT;
	}
}

/*
 * int2vector and oidvector can be subscripted like arrays, but have a text
 * form of their own.
 */
Oid
wire_element_type(Oid base)
{
	Oid			element = get_element_type(base);
	Oid			output;
	bool		varlena;

	if (!OidIsValid(element))
		return InvalidOid;
	getTypeOutputInfo(base, &output, &varlena);
	return output == F_ARRAY_OUT ? element : InvalidOid;
}

/* types of most columns, which are not made of others */
static bool
has_no_parts(Oid base)
{
	switch (base)
	{
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case UUIDOID:
		case BOOLOID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case NUMERICOID:
		case FLOAT4OID:
		case FLOAT8OID:
		case TIMESTAMPTZOID:
		case TIMESTAMPOID:
		case DATEOID:
		case JSONOID:
		case JSONBOID:
		case BYTEAOID:
			return true;
		default:
			return false;
	}
}

static bool
has_field(Oid rowtype, TypeTest test)
{
	TupleDesc	desc = lookup_rowtype_tupdesc(rowtype, -1);
	bool		result = false;
	int			i;

	for (i = 0; i < desc->natts && !result; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		if (!attribute->attisdropped)
			result = type_has_part(attribute->atttypid, test);
	}
	ReleaseTupleDesc(desc);
	return result;
}

bool
type_has_part(Oid type, TypeTest test)
{
	Oid			base = getBaseType(type);
	Oid			part;

	check_stack_depth();
	if (test(base))
		return true;
	if (has_no_parts(base))
		return false;
	if (type_is_rowtype(base))
		return has_field(base, test);
	part = wire_element_type(base);
	if (!OidIsValid(part))
		part = get_multirange_range(base);
	if (!OidIsValid(part))
		part = get_range_subtype(base);
	return OidIsValid(part) && type_has_part(part, test);
}

bool
type_text_varies(Oid base)
{
	switch (base)
	{
		case MONEYOID:
		case REGCLASSOID:
		case REGCOLLATIONOID:
		case REGCONFIGOID:
		case REGDICTIONARYOID:
		case REGNAMESPACEOID:
		case REGOPEROID:
		case REGOPERATOROID:
		case REGPROCOID:
		case REGPROCEDUREOID:
		case REGROLEOID:
		case REGTYPEOID:
			return true;
		default:
			return false;
	}
}
