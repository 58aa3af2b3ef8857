/*-------------------------------------------------------------------------
 *
 * memory.c
 *	  What the process does with memory that it has freed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "util/memory.h"

/* a page of 500 rows takes about one, read, written and sent */
#define KEPT_BYTES (2 * 1024 * 1024)

/*
 * glibc gives memory back as soon as 128 kB at the end of its heap are free.  A
 * session that pulls page after page then asks the kernel for the same memory each
 * time, by a fault for each 4 kB: a tenth of what a pull costs.  A large block that
 * is freed has glibc keep twice as much from then on (mallopt(3), M_MMAP_THRESHOLD),
 * unless the server's environment sets its thresholds.  The block is mapped and never
 * touched.
 */
void
memory_keep_freed(void)
{
	static bool done = false;

	if (done)
		return;
	pfree(palloc(KEPT_BYTES));
	done = true;
}
