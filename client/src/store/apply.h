/*
 * apply.h
 *	  Pages of a pull: staged while more is to come, then made visible at once.
 */
#ifndef TIDE_STORE_APPLY_H
#define TIDE_STORE_APPLY_H

#include "store/store.h"

typedef struct PageResult
{
	int64_t		rows;			/* in this page */
	int64_t		changed;		/* rows of the tables, once applied */
	int64_t		lost;			/* versions of ours, likewise */
	bool		has_more;
	bool		unknown;		/* types or columns that the schema lacks: not
								 * taken */
} PageResult;

/*
 * Take a page.  from_start: it was asked for without a cursor, so that what
 * does not come is no longer there.  take_unknown: ignore what the schema
 * lacks, instead of refusing the page.
 */
bool		apply_page(Store *store, const Json *json, bool from_start,
					   bool take_unknown, int64_t now, PageResult *result);

/*
 * Take whole lines of a stream (application/x-ndjson), the last of which has a
 * cursor: what it goes on from, or its end.  The place is noted anew, for the
 * lines that follow.
 */
bool		apply_lines(Store *store, const char *text, size_t length, bool take_unknown,
						int64_t now, PageResult *result);

/*
 * The cursor is of no use, or what was staged is not: the next pull is asked for
 * everything.
 */
bool		apply_from_start(Store *store);

/* Rows that the app's rules refused before: try them again. */
bool		apply_refused(Store *store, int64_t now);

#endif
