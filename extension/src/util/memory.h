/*-------------------------------------------------------------------------
 *
 * memory.h
 *	  What the process does with memory that it has freed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_MEMORY_H
#define TIDE_MEMORY_H

/*
 * Keep some MB of what is freed, for the next statement, instead of giving it back to
 * the kernel each time.  Once a session is enough, and more cost nothing.
 */
extern void memory_keep_freed(void);

#endif							/* TIDE_MEMORY_H */
