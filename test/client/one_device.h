/*
 * one_device.h
 *	  For tests of one device and a server in memory, in virtual time.
 */
#ifndef ONE_DEVICE_H
#define ONE_DEVICE_H

#include "fake_server.h"

static FakeServer server;
static sqlite3 *db;
static tide *t;

static inline void
open_device(void)
{
	fake_open(&server);
	fake_device(&db, &t);
}

static inline void
end(void)
{
	tide_close(t);
	check(sqlite3_close(db) == SQLITE_OK);
	fake_close(&server);
}

static inline void
is(const char *sql, const char *wanted)
{
	fake_is(db, sql, wanted);
}

#endif
