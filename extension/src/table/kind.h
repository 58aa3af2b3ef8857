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

#endif							/* TIDE_KIND_H */
