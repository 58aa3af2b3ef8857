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

/* is a value that was sent the one that is stored? */
extern bool same_datum(TrackedColumn *column, Form_pg_attribute att, Datum a, Datum b);

/*
 * Set for each of these changes whether it was judged before, as committed by
 * now.
 */
extern void known_load(Push *push, PushTable *table, List *changes);

/*
 * Set, for those of these changes that it could matter to, which versions of
 * their row are their own client's, raised.  After it is known what stands.
 */
extern void known_load_raised(Push *push, PushTable *table, List *changes);

/* note that this change, which stands, has a later stamp than it was sent with */
extern void known_note_raised(Push *push, Change *c, const Decision *decision);

/* does not all of a merged change show in the row? */
extern bool stands_in_part(Change *c);

/* remember what has to be, after the rows were read as they now stand */
extern void known_record(Push *push);

#endif							/* TIDE_KNOWN_H */
