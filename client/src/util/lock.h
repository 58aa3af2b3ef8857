/*
 * lock.h
 *	  One syncer at a time: a lock file beside the database.
 */
#ifndef TIDE_UTIL_LOCK_H
#define TIDE_UTIL_LOCK_H

#include "util/buffer.h"

typedef struct Lock
{
	int			fd;				/* -1: not held */
} Lock;

#define LOCK_NONE {-1}

/*
 * Take the lock of the database at this path; NULL or "" (a database in
 * memory) needs none.  Where somebody else has it, false, and *holder is the
 * process, 0 if it is not known; where it cannot be had at all, *error says
 * why, an errno.  It ends with the process.
 */
bool		lock_take(Lock *lock, const char *path, long *holder, int *error);
void		lock_release(Lock *lock);

/*
 * What tells a file from its copies: where it lies.  The database is looked at
 * by name only; opening it would drop SQLite's own locks when it is closed.
 */
#define LOCK_IDENTITY_SIZE 320
bool		lock_identity(const char *path, char *text, size_t size);

#endif
