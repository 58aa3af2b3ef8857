/* Part of the shim, see ../postgres.h. */
#ifndef SHIM_XLOGDEFS_H
#define SHIM_XLOGDEFS_H

typedef uint64 XLogRecPtr;

#endif							/* SHIM_XLOGDEFS_H */
