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

/* is the column merged: synced, and neither key nor bookkeeping? */
extern bool clocks_cover(TrackedTable *t, TrackedColumn *c);

/*
 * The stamps of all columns, by attnum - 1, palloc'd with all they point
 * to.  If json is NULL, all columns have the row's stamp; so has a column
 * whose stamp cannot be read.
 */
extern Stamp *clocks_read(TrackedTable *t, Jsonb *json, const Stamp *row);

/* nobody has written any column yet */
extern Stamp *clocks_none(TrackedTable *t);

/* the JSON, palloc'd; NULL if no column's stamp differs from the row's */
extern char *clocks_text(TrackedTable *t, const Stamp *clocks, const Stamp *row);

/* the columns whose stamp is below this one */
extern Bitmapset *clocks_below(const Stamp *clocks, Bitmapset *columns,
							   const Stamp *stamp);

/* these columns have this stamp from now on */
extern void clocks_set(Stamp *clocks, Bitmapset *columns, const Stamp *stamp);

#endif							/* TIDE_CLOCKS_H */
