/*-------------------------------------------------------------------------
 *
 * sync.h
 *	  What a request below /sync asks for.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SYNC_H
#define SYNC_H

#include <stdbool.h>
#include <stddef.h>

#include "database/job.h"
#include "util/settings.h"

/* The fields of a pull, from the query or a JSON body. */
typedef struct SyncFields
{
	char	   *since;
	char	   *limit;
	char	   *client_id;
	char	   *wait;
	char	   *times;
	StringList	entity_types;
	StringList	refresh;
	StringList	acks;
	StringList	buckets;
	StringList	scopes;
	bool		failed;			/* memory ran out */
	bool		repeated;		/* a parameter that takes one value is twice
								 * in the query */
} SyncFields;

/* The longest body of a pull: it has only fields. */
#define SYNC_MAX_FIELDS_BYTES	(1 << 20)

extern void sync_take_parameter(SyncFields *fields, const Settings *settings,
								const char *name, const char *value);
extern bool sync_check_body(JobKind kind, const char *body, size_t length,
							const Settings *settings, Failure *failure);
extern bool sync_take_body(SyncFields *fields, const Settings *settings,
						   const char *body, size_t length, Failure *failure);
extern bool sync_fill_job(Job *job, const SyncFields *fields,
						  const Settings *settings, Failure *failure);
extern void sync_free_fields(SyncFields *fields);
extern void sync_free_job(Job *job);

#endif							/* SYNC_H */
