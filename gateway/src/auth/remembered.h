/*-------------------------------------------------------------------------
 *
 * remembered.h
 *	  Tokens that were found good, by a hash.
 *
 *-------------------------------------------------------------------------
 */
#ifndef REMEMBERED_H
#define REMEMBERED_H

#include <stdbool.h>
#include <time.h>

#define REMEMBERED_HASH	32		/* bytes of a SHA-256 */

struct Identity;

typedef struct Remembered Remembered;

/* NULL: no memory; then nothing is remembered, and the others take NULL */
extern Remembered *remembered_create(void);
extern void remembered_free(Remembered *remembered);

/* The identity, a copy, if the token is remembered and has not expired. */
extern bool remembered_find(Remembered *remembered, const unsigned char *hash,
							time_t now, struct Identity *identity);
extern void remembered_add(Remembered *remembered, const unsigned char *hash,
						   time_t now, const struct Identity *identity);

#endif							/* REMEMBERED_H */
