/*-------------------------------------------------------------------------
 *
 * media.h
 *	  Which media types are read and written: pure decisions.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MEDIA_H
#define MEDIA_H

#include <stdbool.h>

extern const char *media_refusal(const char *content_type,
								 const char *content_encoding);
extern bool media_is_gzip(const char *content_encoding);
extern bool media_takes_gzip(const char *accept_encoding);
extern bool media_wants_stream(const char *accept);

#endif							/* MEDIA_H */
