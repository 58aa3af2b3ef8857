/*-------------------------------------------------------------------------
 *
 * openapi.h
 *	  The OpenAPI description of our endpoints.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OPENAPI_H
#define OPENAPI_H

extern const char openapi_text[];

#endif							/* OPENAPI_H */
