/*
 * applying.h
 *	  A transaction in which rows of the server's are written: the triggers'
 *	  gate is closed, and foreign keys are not enforced.
 */
#ifndef TIDE_STORE_APPLYING_H
#define TIDE_STORE_APPLYING_H

#include "store/names.h"
#include "store/store.h"

typedef struct Applying
{
	Store	   *store;
	bool		foreign_keys;	/* the connection enforces them otherwise */
	int64_t		at;				/* milliseconds, and as text */
	char		now[32];
	Names		changed;		/* tables */
	int64_t		rows;			/* that changed */
	int64_t		lost;			/* versions of ours */
	int64_t		refused;		/* versions kept in tide_refused, at most */
} Applying;

/* now is in milliseconds.  applying_end() must follow if this succeeded. */
bool		applying_begin(Applying *a, Store *store, int64_t now);

/* Commit where `good`, else roll back; says who changed in tide_state. */
bool		applying_end(Applying *a, bool good);

/* Note that a row of the type changed. */
bool		applying_note(Applying *a, EntityType *type);

/*
 * A server's row, or its deletion, for a key that is clean.  What the app's
 * constraints and triggers refuse is kept in tide_refused.
 */
bool		applying_store(Applying *a, EntityType *type, const Json *json,
						   const JsonNode *row);
bool		applying_remove(Applying *a, EntityType *type, const Json *json,
							const JsonNode *row);

/*
 * Rows that the server has no longer: those for which a condition on t holds,
 * which is freed.
 */
bool		applying_drop(Applying *a, EntityType *type, Buffer *condition);

/* Note a version that lost; mine and theirs are JSON or NULL. */
bool		applying_lost(Applying *a, const EntityType *type, const char *key,
						  const char *mine, const char *theirs);

/*
 * The same where a row of the server's takes the place of what is here.  mine: what
 * is shown of that, JSON; freed.
 */
bool		applying_lost_to(Applying *a, const EntityType *type, const Json *json,
							 const JsonNode *row, Buffer *mine);

/*
 * A row is gone since this time.  Where the clock is behind it, a row that is made
 * anew must not be stamped as one from before.
 */
bool		applying_note_deletion(Applying *a, const Json *json, const JsonNode *row);

#endif
