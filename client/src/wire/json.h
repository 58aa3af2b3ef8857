/*
 * json.h
 *	  JSON as a flat list of nodes that point into the text.
 *
 * Nothing is converted and nothing is copied: a number keeps its digits, a
 * json column its spaces, and a row goes to the staging table as the slice
 * that it came as.  (Doubles, which cJSON makes of all numbers, lose integers
 * beyond 2^53 and the digits of a numeric.)
 */
#ifndef TIDE_WIRE_JSON_H
#define TIDE_WIRE_JSON_H

#include "util/buffer.h"

typedef enum JsonKind
{
	JSON_NULL,
	JSON_FALSE,
	JSON_TRUE,
	JSON_NUMBER,
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT
} JsonKind;

typedef struct JsonNode
{
	JsonKind	kind;
	bool		escaped;		/* a string with a backslash in it */
	size_t		start,
				end;			/* the value's text; a string's without quotes */
	size_t		next;			/* the node after this one and all within it */
} JsonNode;

typedef struct Json
{
	const char *text;			/* the caller's, not copied */
	JsonNode   *nodes;			/* nodes[0] is the whole */
	size_t		count;
	size_t		capacity;
	bool		no_memory;		/* it ran out, in json_parse() or a look since */
} Json;

/*
 * Read a text.  False if it is not JSON (RFC 8259, UTF-8), or if memory ran
 * out.  Depth is limited by memory only.  json_free() in both cases.
 */
bool		json_parse(Json *json, const char *text, size_t length);

/* The same with the memory of a document that was read before, or zeroed. */
bool		json_parse_again(Json *json, const char *text, size_t length);
void		json_free(Json *json);

/* The value of an object's member, NULL if it has none or is no object. */
const JsonNode *json_member(const Json *json, const JsonNode *object,
							const char *name);

/*
 * The first and the next of an array's elements; NULL at the end, and of what is
 * no array.
 */
const JsonNode *json_first(const Json *json, const JsonNode *array);
const JsonNode *json_next(const Json *json, const JsonNode *array,
						  const JsonNode *element);

/*
 * Likewise of an object's names, of which each has its value in the node that
 * follows it.  They have calls of their own: what steps from name to name leaves
 * the document where it is handed an array.
 */
const JsonNode *json_first_name(const Json *json, const JsonNode *object);
const JsonNode *json_next_name(const Json *json, const JsonNode *object,
							   const JsonNode *name);

/* Is a string node this text? */
bool		json_is(const Json *json, const JsonNode *node, const char *text);
bool		json_is_true(const JsonNode *node);

/* Elements of an array, members of an object; 0 for anything else. */
size_t		json_count(const Json *json, const JsonNode *container);

/* Append a string node's text, without escapes. */
void		json_decode(const Json *json, const JsonNode *node, Buffer *out);

/* A string node's text, any other's as it is written; NULL for none, JSON
 * null, or where memory ran out.  sqlite3_free() frees it. */
char	   *json_text(const Json *json, const JsonNode *node);

/* Microseconds since 1970 of a time; false for what is none, or without memory. */
bool		json_time(const Json *json, const JsonNode *node, int64_t *microseconds);

/* Append a value's own text, with its quotes. */
void		json_raw(const Json *json, const JsonNode *node, Buffer *out);

/* Append a text as a JSON string. */
void		json_string(Buffer *out, const char *text, size_t length);

/* Is this text a JSON number? a JSON value? well formed UTF-8? */
bool		json_is_number(const char *text, size_t length);
bool		json_is_valid(const char *text, size_t length);
bool		utf8_is_valid(const char *text, size_t length);

#endif
