/*-------------------------------------------------------------------------
 *
 * errors.h
 *	  SQLSTATEs of pg_tide's own, class TD.
 *
 * This is the list.  Callers (the gateway, other backends) tell these codes
 * apart; the gateway's failure.c says which word and HTTP status each one
 * becomes, and docs/reference.md shows both.  A change that fails is reported
 * by the word, never by the SQLSTATE, see failure_word() in push/change.c.
 * test/docs/codes.t compares all these places with this list.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_ERRORS_H
#define TIDE_ERRORS_H

#include "utils/elog.h"

/* the whole request */
#define ERRCODE_TIDE_MALFORMED_REQUEST		MAKE_SQLSTATE('T','D','0','0','1')
#define ERRCODE_TIDE_MALFORMED_CURSOR		MAKE_SQLSTATE('T','D','0','0','2')
#define ERRCODE_TIDE_UNKNOWN_ENTITY_TYPE	MAKE_SQLSTATE('T','D','0','0','3')
#define ERRCODE_TIDE_USE_CURSOR				MAKE_SQLSTATE('T','D','0','0','4')
#define ERRCODE_TIDE_SCOPE_NOT_ALLOWED		MAKE_SQLSTATE('T','D','0','0','5')
#define ERRCODE_TIDE_NO_CLAIMS				MAKE_SQLSTATE('T','D','0','0','6')
#define ERRCODE_TIDE_RESYNC_REQUIRED		MAKE_SQLSTATE('T','D','0','0','7')
#define ERRCODE_TIDE_TOO_MANY_CHANGES		MAKE_SQLSTATE('T','D','0','0','8')
#define ERRCODE_TIDE_AMBIGUOUS_TYPE			MAKE_SQLSTATE('T','D','0','0','9')
#define ERRCODE_TIDE_BATCH_ID_REUSED		MAKE_SQLSTATE('T','D','0','1','0')
#define ERRCODE_TIDE_TOO_MANY_SCOPES		MAKE_SQLSTATE('T','D','0','1','1')
#define ERRCODE_TIDE_NOT_REGISTERED			MAKE_SQLSTATE('T','D','0','1','2')
#define ERRCODE_TIDE_ROW_TOO_LARGE			MAKE_SQLSTATE('T','D','0','1','3')
#define ERRCODE_TIDE_INCOMPLETE_CURSOR		MAKE_SQLSTATE('T','D','0','1','4')
#define ERRCODE_TIDE_ROLE_NOT_ALLOWED		MAKE_SQLSTATE('T','D','0','1','5')
#define ERRCODE_TIDE_NEEDS_BEGIN			MAKE_SQLSTATE('T','D','0','1','6')
#define ERRCODE_TIDE_STANDBY_BEHIND			MAKE_SQLSTATE('T','D','0','1','7')
#define ERRCODE_TIDE_SCHEMA_NOT_ALLOWED		MAKE_SQLSTATE('T','D','0','1','8')
#define ERRCODE_TIDE_NOT_GROUPED			MAKE_SQLSTATE('T','D','0','1','9')

/* the whole request, or one change of a push */
#define ERRCODE_TIDE_MISSING_KEY			MAKE_SQLSTATE('T','D','0','2','1')
#define ERRCODE_TIDE_BAD_TIME				MAKE_SQLSTATE('T','D','0','2','2')

/* one change of a push, or the call of tide.upsert, tide.delete, tide.touch */
#define ERRCODE_TIDE_UNKNOWN_COLUMN			MAKE_SQLSTATE('T','D','0','2','0')
#define ERRCODE_TIDE_MALFORMED_CHANGE		MAKE_SQLSTATE('T','D','0','2','3')
#define ERRCODE_TIDE_NOT_STORED				MAKE_SQLSTATE('T','D','0','2','4')
#define ERRCODE_TIDE_SCOPE_MISSING			MAKE_SQLSTATE('T','D','0','2','5')

/* never leaves the extension: do the set again, something came in between */
#define ERRCODE_TIDE_AGAIN					MAKE_SQLSTATE('T','D','0','9','9')

#endif							/* TIDE_ERRORS_H */
