/*-------------------------------------------------------------------------
 *
 * rights.h
 *	  May the caller make a change at all?
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_RIGHTS_H
#define TIDE_RIGHTS_H

#include "change.h"

/*
 * Fails the change, and returns false, where the caller lacks the privilege for
 * what it would be: an update or a delete of the row that is there, else an
 * insert.  To be asked before any verdict: who may not write must learn nothing
 * from one, and leave nothing behind.
 */
extern bool rights_allow(Change *c, bool row_exists);

#endif							/* TIDE_RIGHTS_H */
