/*
 * pull.h
 *	  What the pages of a pull have said so far: apply.c fills it, incoming.c and
 *	  stage.c go by it.
 */
#ifndef TIDE_STORE_PULL_H
#define TIDE_STORE_PULL_H

#include "store/applying.h"
#include "store/names.h"

typedef struct Pull
{
	Applying	applying;
	Store	   *store;
	bool		reset;
	Names		reset_types;
	Names		revoked;
	Names		recheck;		/* types whose triggers were missing */
	Names		attaching;		/* types of the app's, synced for the first
								 * time */
	Names		grown;			/* columns whose values come now */
	Names		own;			/* ... which were the app's before */
	bool		filling;		/* rows go straight into the tables */
	bool		spoiled;		/* what was staged cannot be read */
	EntityType *seen;			/* of the line before */
} Pull;

#endif
