/*-------------------------------------------------------------------------
 *
 * openapi.h
 *	  The description of our endpoints, for machines.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OPENAPI_H
#define OPENAPI_H

extern const char openapi_text[];

#endif							/* OPENAPI_H */
