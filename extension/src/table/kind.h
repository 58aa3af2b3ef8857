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

/* which WireKind a type has, looking through domains */
extern WireKind wire_kind(Oid type);

/*
 * The type of the elements of an array, invalid for what has no text form of
 * an array's
 */
extern Oid	wire_element_type(Oid base);

#endif							/* TIDE_KIND_H */
