/*-------------------------------------------------------------------------
 *
 * kind.h
 *	  How the values of a type are written on the wire.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_KIND_H
#define TIDE_KIND_H

#include "table/tracked.h"

/* the WireKind of a type; a domain has that of its base type */
extern WireKind wire_kind(Oid type);

/*
 * The type of the elements of an array; InvalidOid for a type whose text form
 * is not an array's
 */
extern Oid	wire_element_type(Oid base);

/*
 * Does a type pass the test, or any type that its values are made of?  Those
 * are elements, fields, and the bounds of ranges; domains are looked through.
 */
typedef bool (*TypeTest) (Oid base);
extern bool type_has_part(Oid type, TypeTest test);

/*
 * A type whose text depends on search_path, lc_monetary or
 * quote_all_identifiers, or on a name that can change.
 */
extern bool type_text_varies(Oid base);

#endif							/* TIDE_KIND_H */
