/*-------------------------------------------------------------------------
 *
 * gzip.h
 *	  Texts in gzip's format.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GZIP_H
#define GZIP_H

#include <stdbool.h>
#include <stddef.h>

#include "util/buffer.h"

extern bool gzip_pack(const char *data, size_t length, Buffer *packed);

#endif							/* GZIP_H */
