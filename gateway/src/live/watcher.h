/*-------------------------------------------------------------------------
 *
 * watcher.h
 *	  The watcher's connection, and one look.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WATCHER_H
#define WATCHER_H

#include <stdbool.h>
#include <stdint.h>

#include "live/book.h"

extern bool watcher_create(const char *conninfo);
extern bool watcher_connect(int64_t *retry_at);
extern bool watcher_look(Look *look, int64_t *retry_at);
extern void watcher_free_look(Look *look);
extern void watcher_reconnect(void);
extern void watcher_close(void);

#endif							/* WATCHER_H */
