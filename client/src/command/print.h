/*
 * print.h
 *	  Rows of a query as lines or JSON, and the outcome of a sync.
 */
#ifndef TIDE_COMMAND_PRINT_H
#define TIDE_COMMAND_PRINT_H

#include "command/session.h"

/* Tab-separated lines under a header, or an array of objects. */
int			print_table(Session *s, const char *sql, bool json);

/* A line of texts; in JSON the elements of an array of objects, which the caller
 * ends. */
void		print_fields(const char *const *fields, int n, bool json, bool first);

/* Of one row: a line "name: value" for each column, or one object. */
int			print_record(Session *s, const char *sql, bool json);

/* What a sync that ended with `code` has done. */
int			print_sync(Session *s, int code, bool json);

#endif
