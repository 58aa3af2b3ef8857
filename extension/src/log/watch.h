/*-------------------------------------------------------------------------
 *
 * watch.h
 *	  Which scopes and types changed since the last look.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_WATCH_H
#define TIDE_WATCH_H

/*
 * The server, its timeline, its start, and this installation of pg_tide: what
 * was seen elsewhere says nothing here.
 */
extern char *watch_server(void);

#endif							/* TIDE_WATCH_H */
