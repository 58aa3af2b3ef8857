/*-------------------------------------------------------------------------
 *
 * fuzz.h
 *	  What the fuzzers share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
extern int	LLVMFuzzerInitialize(int *argc, char ***argv);

/* A property that does not hold is a crash, in every build. */
#define require(condition) \
	do { \
		if (!(condition)) \
		{ \
			fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition); \
			abort(); \
		} \
	} while (0)

/* A copy of its own, so that each byte beyond it is seen; a NUL follows. */
static inline char *
copy_input(const uint8_t *data, size_t size)
{
	char	   *copy = malloc(size + 1);

	require(copy != NULL);
	if (size > 0)
		memcpy(copy, data, size);
	copy[size] = '\0';
	return copy;
}

#endif							/* FUZZ_H */
