/*-------------------------------------------------------------------------
 *
 * etag.h
 *	  Names of replies, by which a client asks for what it does not have yet.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ETAG_H
#define ETAG_H

#include <stdbool.h>
#include <stddef.h>

#define ETAG_SIZE	40			/* W/"", 32 digits, and the end */

extern void etag_make(char *etag, const char *text, size_t length);
extern bool etag_matches(const char *etag, const char *if_none_match);

#endif							/* ETAG_H */
