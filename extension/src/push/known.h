/*-------------------------------------------------------------------------
 *
 * known.h
 *	  Changes that were sent before.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_KNOWN_H
#define TIDE_KNOWN_H

#include "push/change.h"

/* does the value that was sent equal the one that is stored? */
extern bool same_datum(TrackedColumn *column, Form_pg_attribute att, Datum a, Datum b);

/*
 * Set for each of these changes whether it was judged before, as committed by
 * now.
 */
extern void known_load(Push *push, PushTable *table, List *changes);

/*
 * For changes to which it may matter, set which versions of their row are of
 * their own client and were raised.  Call it once the row is known.
 */
extern void known_load_raised(Push *push, PushTable *table, List *changes);

/*
 * note that this change, which stands, has a later stamp than it was sent with
 */
extern void known_note_raised(Push *push, Change *c, const Decision *decision);

/* is some of a merged change not in the row? */
extern bool stands_in_part(Change *c);

/*
 * remember what must be remembered, after the rows were read as they stand at
 * the end
 */
extern void known_record(Push *push);

#endif							/* TIDE_KNOWN_H */
