/*-------------------------------------------------------------------------
 *
 * json.h
 *	  Looking at values of type jsonb.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_JSON_H
#define TIDE_JSON_H

#include "utils/jsonb.h"
#include "utils/numeric.h"

/* NULL if there is none, or null */
extern JsonbValue *json_member(JsonbContainer *object, const char *name);

/* NULL if there is none */
extern JsonbValue *json_member_or_null(JsonbContainer *object, const char *name);

/* v may be NULL */
extern bool json_is_object(JsonbValue *v);
extern bool json_is_array(JsonbValue *v);

/*
 * the text of a string; of any value, as JSON; of an id, where a number
 * becomes a string
 */
extern char *json_string(JsonbValue *v);
extern char *json_text(JsonbValue *v);
extern char *json_id(JsonbValue *v);

/* has a number more than JSON_MAX_DIGITS digits? */
extern bool json_is_long_number(Numeric number);

/* has it a number of more than JSON_MAX_DIGITS digits? */
extern bool json_has_long_number(JsonbValue *v);

/* text that is JSON for sure */
extern Jsonb *json_parse(const char *text);

#endif							/* TIDE_JSON_H */
