/*
 * sqlite.h
 *	  SQLite as the library links it, or as the host that loads tide.so hands
 *	  it over: the one place that knows which.
 */
#ifndef TIDE_UTIL_SQLITE_H
#define TIDE_UTIL_SQLITE_H

#ifdef TIDE_EXTENSION
#include <sqlite3ext.h>
SQLITE_EXTENSION_INIT3
#else
#include <sqlite3.h>
#endif

#endif
