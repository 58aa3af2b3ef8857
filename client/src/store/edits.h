/*
 * edits.h
 *	  Edits as they are noted, and the keys that they go by.
 */
#ifndef TIDE_STORE_EDITS_H
#define TIDE_STORE_EDITS_H

#include "store/store.h"

/* an edit, as noted */
typedef struct Edit
{
	char	   *key;			/* as JSON */
	sqlite3_value **stored;		/* as it is in the file, if that is not what the
								 * JSON says; else NULL */
	int64_t		edited_at;
	int64_t		seq;
	char	   *app_stamp;
	bool		is_delete;
} Edit;

/* which edits of a type */
typedef struct EditChoice
{
	const char *operation;
	bool		retries;		/* those that are due again, else those queued */
	int64_t		run;			/* the sync; what it has tried already is not due */
	int64_t		now;
	int64_t		latest_retry;	/* a time beyond it is of a clock that was set
								 * back: due */
	int64_t		limit;
} EditChoice;

/*
 * As a list, since freezing them changes the notes; to be freed also after a
 * failure.
 */
bool		edits_read(Store *store, EntityType *type, const EditChoice *choice,
					   Edit **edits, int *n);
void		edits_free(const EntityType *type, Edit *edits, int n);

#endif
