/* what order.c and decide.c use of PostgreSQL's header of this name */
#ifndef SHIM_TIMESTAMP_H
#define SHIM_TIMESTAMP_H

typedef int64 TimestampTz;

#define INT64CONST(x)	INT64_C(x)

#define DT_NOBEGIN		INT64_MIN
#define DT_NOEND		INT64_MAX
#define TIMESTAMP_NOT_FINITE(t) ((t) == DT_NOBEGIN || (t) == DT_NOEND)
#define MIN_TIMESTAMP	INT64CONST(-211813488000000000)
#define END_TIMESTAMP	INT64CONST(9223371331200000000)

#endif							/* SHIM_TIMESTAMP_H */
