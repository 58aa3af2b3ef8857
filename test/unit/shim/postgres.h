/*-------------------------------------------------------------------------
 *
 * postgres.h
 *	  Just enough of PostgreSQL to build cursor.c, decide.c or json_scan.c alone.
 *
 * Allocations come from malloc() one by one, so that the sanitizers see each
 * bound, and are freed together by shim_reset().  ereport(ERROR) notes the
 * SQLSTATE and jumps to shim_catch.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SHIM_POSTGRES_H
#define SHIM_POSTGRES_H

#include <assert.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint8_t uint8;
typedef int32_t int32;
typedef uint32_t uint32;
typedef int64_t int64;
typedef uint64_t uint64;

#define PG_INT32_MAX	INT32_MAX
#define PG_UINT32_MAX	UINT32_MAX
#define PG_INT64_MAX	INT64_MAX
#define PG_UINT64_MAX	UINT64_MAX

#define Min(a, b)		((a) < (b) ? (a) : (b))
#define Max(a, b)		((a) > (b) ? (a) : (b))
#define Assert(condition) assert(condition)

extern void *palloc(size_t size);
extern void *palloc0(size_t size);

/* there are no huge ones here */
#define MCXT_ALLOC_HUGE 1
#define palloc_extended(size, flags) palloc(size)

extern void *repalloc(void *pointer, size_t size);
extern void pfree(void *pointer);
extern void shim_reset(void);

#include "utils/elog.h"

#endif							/* SHIM_POSTGRES_H */
