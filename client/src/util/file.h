/*
 * file.h
 *	  Small files as a whole.
 */
#ifndef TIDE_UTIL_FILE_H
#define TIDE_UTIL_FILE_H

#include "util/buffer.h"
#include "util/failure.h"

bool		file_read(const char *path, Buffer *text, Failure *failure);

/* Write a file of mode 0600, and put it in the place of the old one. */
bool		file_replace(const char *path, const char *text, size_t length,
						 Failure *failure);

/* Make a directory and those above it, mode 0700. */
bool		file_make_directories(const char *path, Failure *failure);

#endif
