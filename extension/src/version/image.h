/*-------------------------------------------------------------------------
 *
 * image.h
 *	  The image of a row that is deleted.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_IMAGE_H
#define TIDE_IMAGE_H

#include "lib/stringinfo.h"
#include "table/registry.h"

/*
 * The synced columns of a row as JSON, by name in SQL; values and nulls by
 * attnum - 1.  palloc'd.
 */
extern char *image_text(TrackedTable *t, Datum *values, bool *nulls);

/* "name": of the next member of an image */
extern void image_append_name(StringInfo buf, TrackedColumn *c);

#endif							/* TIDE_IMAGE_H */
