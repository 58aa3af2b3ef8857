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

/* a larger row has no image; a text can have 1 GB */
#define IMAGE_MAX (512 * 1024 * 1024)

/*
 * The synced columns of a row by name in SQL; values and nulls by attnum - 1.
 * palloc'd; NULL for a row that is too large: changes that come late then meet
 * a plain tombstone.
 */
extern char *image_text(TrackedTable *t, Datum *values, bool *nulls);

/* begin one of these columns, which are to be written in the order of t's */
extern void image_begin(StringInfo buf, TrackedTable *t, Bitmapset *columns);

/* write "name": and the value of the next member; false: there is no room */
extern void image_append_name(StringInfo buf, TrackedColumn *c);
extern bool image_append_column(StringInfo buf, TrackedTable *t, TrackedColumn *c,
								Datum value, bool isnull);

/* the value that an image has for a column; false if it has none */
extern bool image_find(const char *image, TrackedColumn *c, JsonSpan *value);

/* the text of such a value that is not null; an error if its type was another one */
extern char *image_value(TrackedColumn *c, JsonSpan value);

#endif							/* TIDE_IMAGE_H */
