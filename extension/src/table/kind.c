/*-------------------------------------------------------------------------
 *
 * kind.c
 *	  How the values of a type are written on the wire.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"

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
