/*
 * random.h
 *	  Names that nobody else makes.
 */
#ifndef TIDE_UTIL_RANDOM_H
#define TIDE_UTIL_RANDOM_H

#include <stdint.h>

#define UUID_SIZE 37			/* with its end */

/* A random (version 4) uuid. */
void		random_uuid(char uuid[UUID_SIZE]);
uint32_t	random_number(void);

#endif
