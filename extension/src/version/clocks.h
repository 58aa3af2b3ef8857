/*-------------------------------------------------------------------------
 *
 * clocks.h
 *	  The stamps of single columns, which the policy "merge" compares.
 *
 * A row keeps those that differ from its own stamp in the column tide_clocks;
 * a tombstone keeps them beside the image of its row.  They are a JSON object:
 * the column's name in SQL, and [time, client id], or null for a column that
 * nobody has written yet and that has its default.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_CLOCKS_H
#define TIDE_CLOCKS_H

#include "nodes/bitmapset.h"
#include "utils/jsonb.h"
#include "table/registry.h"
#include "version/stamp.h"

/* is it a column that is merged: synced, and neither key nor bookkeeping? */
extern bool clocks_cover(TrackedTable *t, TrackedColumn *c);

/*
 * The stamps of all columns, by attnum - 1, palloc'd with all they point to;
 * json NULL: all have the row's.  What cannot be read counts as the row's.
 */
extern Stamp *clocks_read(TrackedTable *t, Jsonb *json, const Stamp *row);

/* nobody has written any column yet */
extern Stamp *clocks_none(TrackedTable *t);

/* the JSON, palloc'd; NULL if no column's stamp differs from the row's */
extern char *clocks_text(TrackedTable *t, const Stamp *clocks, const Stamp *row);

/* those of the columns whose stamp is below this one */
extern Bitmapset *clocks_below(const Stamp *clocks, Bitmapset *columns,
							   const Stamp *stamp);

/* these columns have this stamp from now on */
extern void clocks_set(Stamp *clocks, Bitmapset *columns, const Stamp *stamp);

#endif							/* TIDE_CLOCKS_H */
