/*-------------------------------------------------------------------------
 *
 * restored.h
 *	  Registrations: new ones, and those that come with a restored table.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_RESTORED_H
#define TIDE_RESTORED_H

#include "nodes/nodes.h"

/* tide.track is at work: the triggers that come are its own */
extern bool restored_is_tracking;

extern int32 unused_registration(void);

/* what an event trigger calls after a command of this tag */
extern void restored_after(Node *parsetree, const char *tag);

#endif							/* TIDE_RESTORED_H */
