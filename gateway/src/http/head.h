/*-------------------------------------------------------------------------
 *
 * head.h
 *	  Is a request's head one that all readers take the same way?
 *
 *-------------------------------------------------------------------------
 */
#ifndef HEAD_H
#define HEAD_H

#include <stdbool.h>
#include <stddef.h>

typedef struct HeadCheck
{
	const char *problem;		/* the first one found, in static storage */
	unsigned int seen;			/* bits: which of the headers that may be
								 * given once */
	bool		is_http_1_0;
	bool		in_place;		/* lines are where they came in, see head.c */
	const char *next_line;		/* with in_place: where the next line must be */
} HeadCheck;

extern bool head_target_is_plain(const char *target);
extern void head_begin(HeadCheck *check, const char *version, bool in_place);
extern void head_take_field(HeadCheck *check,
							const char *name, size_t name_length,
							const char *value, size_t value_length);
extern const char *head_finish(HeadCheck *check);
extern bool head_id_is_sane(const char *id);

#endif							/* HEAD_H */
