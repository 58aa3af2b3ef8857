/*-------------------------------------------------------------------------
 *
 * watch.h
 *	  Which scopes and types changed since the last look.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_WATCH_H
#define TIDE_WATCH_H

#include "cursor/cursor.h"

/*
 * The server, its timeline, its start, this installation of pg_tide, and the
 * settings that say which tables a caller sees: what was seen elsewhere says
 * nothing here.
 */
extern char *watch_server(void);

/* likewise, from the head of a cursor of that schema that was stamped just now */
extern char *watch_server_of(const Cursor *head, Oid schema);

#endif							/* TIDE_WATCH_H */
