/*-------------------------------------------------------------------------
 *
 * collect.h
 *	  Gathering which rows changed, and writing them down.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_COLLECT_H
#define TIDE_COLLECT_H

#include "executor/tuptable.h"
#include "log/records.h"
#include "table/registry.h"
#include "util/keymap.h"

/* collected keys should be written once they take more than this */
#define COLLECT_LIMIT (16 * 1024 * 1024)

typedef struct Collection
{
	TrackedTable *t;			/* whose rows changed */
	TrackedTable *layout;		/* the layout of the rows that come: t's, or
								 * that of a partition */
	bool		direct;			/* they come from a push's own statement */
	bool		empty;			/* nothing to write */
	MemoryContext context;		/* of all that follows */
	KeyMap	   *buckets;		/* scope to its first Bucket */
	struct Bucket *everybody;	/* of a shared table */
	List	   *order;			/* all Buckets */
	struct Packing *packing;	/* for rows of a statement that deletes very
								 * many; else NULL */
	Stamp		packed_stamp;	/* theirs */
	int64		ndeleted;		/* so far */
	Tombstone  *tombstones;
	int			ntombstones;
	int			atombstones;
	KeyMap	   *dead;			/* from key to the number of its tombstone,
								 * from 1; NULL where no key can come twice */
	void		(*full) (void); /* NULL, or who writes it; see collect_begin */
} Collection;

extern void collect_begin(Collection *c, TrackedTable *t, MemoryContext parent,
						  void (*full) (void));

/*
 * The rows must be deformed at least up to collect_last_column().  What is
 * kept of them is copied.  If the table's key or scope needs it, the caller is
 * between wire_begin() and wire_end().
 */
extern void collect_insert(Collection *c, TupleTableSlot *new);
extern void collect_pack(Collection *c);
extern void collect_update(Collection *c, TupleTableSlot *old, TupleTableSlot *new);
extern void collect_delete(Collection *c, TupleTableSlot *old);
extern int	collect_last_column(TrackedTable *layout, bool only_new);

extern bool collect_is_large(Collection *c);
extern void collect_write(Collection *c);
extern void collect_forget(Collection *c);

#endif							/* TIDE_COLLECT_H */
