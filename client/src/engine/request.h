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

/* *ready false: nothing was pulled yet that news could be of. */
bool		request_news(Engine *e, bool *ready);

#endif
