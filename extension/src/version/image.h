/*-------------------------------------------------------------------------
 *
 * image.h
 *	  The image that is kept of a deleted row.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_IMAGE_H
#define TIDE_IMAGE_H

#include "lib/stringinfo.h"
#include "table/tracked.h"
#include "util/json_scan.h"

/* beyond this a row has no image; a value of text can be 1 GB */
#define IMAGE_MAX (512 * 1024 * 1024)

/*
 * The synced columns of a row by name in SQL; values and nulls by attnum - 1.
 * palloc'd; NULL for a row that is too large: changes that come late then meet
 * a plain tombstone.
 */
extern char *image_text(TrackedTable *t, Datum *values, bool *nulls);

/* "name": of the next member of an image, and all of it; false: there is no room */
extern void image_append_name(StringInfo buf, TrackedColumn *c);
extern bool image_append_column(StringInfo buf, TrackedTable *t, TrackedColumn *c,
								Datum value, bool isnull);

/* what an image has of a column; false: nothing */
extern bool image_find(const char *image, TrackedColumn *c, JsonSpan * value);

#endif							/* TIDE_IMAGE_H */
