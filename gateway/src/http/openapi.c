/*-------------------------------------------------------------------------
 *
 * openapi.c
 *	  The OpenAPI description of our endpoints.
 *
 * The text is gateway/openapi.json, which the Makefile makes into a string.
 *
 *-------------------------------------------------------------------------
 */
#include "http/openapi.h"

const char	openapi_text[] =
#include "openapi.inc"
		   ;
