/*
 * request.h
 *	  The requests of a sync, as text.
 */
#ifndef TIDE_ENGINE_REQUEST_H
#define TIDE_ENGINE_REQUEST_H

#include "engine/engine.h"

/* Fill in url, headers and, of a POST, body. */
bool		request_schema(Engine *e);
bool		request_pull(Engine *e);
bool		request_push(Engine *e);

/*
 * For tide_verify(): a digest since the file's cursor; the keys of some buckets
 * of a type; rows by key; and a page of everything, from a cursor or NULL.
 */
bool		request_digest(Engine *e);
bool		request_keys(Engine *e, const char *type, const bool *buckets, int n);
bool		request_rows(Engine *e, const char *keys);
bool		request_page(Engine *e, const char *since);

/* *ready false: nothing was pulled yet that news could be of. */
bool		request_news(Engine *e, bool *ready);

#endif
