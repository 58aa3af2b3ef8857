/*-------------------------------------------------------------------------
 *
 * bench.h
 *	  How the programs of the benchmarks end on an error.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static void die(const char *format,...)
__attribute__ ((format(printf, 1, 2), noreturn));

/* PROGRAM is the name to say, which the program defines first */
static void
die(const char *format,...)
{
	va_list		args;

	va_start(args, format);
	fputs(PROGRAM ": ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(1);
}

#endif							/* BENCH_H */
