/*-------------------------------------------------------------------------
 *
 * json_scan.h
 *	  Reading JSON as text: whether it is JSON, what it holds, and whether
 *	  jsonb would take it.
 *
 * Nothing here decodes a string or converts a number, so a text that jsonb
 * refuses can still be taken apart.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_JSON_SCAN_H
#define TIDE_JSON_SCAN_H

/* {"$json": "..."}: a value of json that is sent as its text, see wire.c */
#define JSON_TEXT_FORM "$json"

/* deeper texts are refused */
#define JSON_MAX_DEPTH 1000

/*
 * deeper values are sent as text, because a push nests them a few levels
 * deeper
 */
#define JSON_SENT_DEPTH 400

/* digits of a number that is written out for other types than numeric */
#define JSON_MAX_DIGITS 1000

/* a piece of a text, not terminated */
typedef struct JsonSpan
{
	const char *at;
	size_t		len;
} JsonSpan;

/* the members of an object or the elements of an array */
typedef struct JsonMembers
{
	const char *at;
	const char *end;
	bool		is_object;
} JsonMembers;

/* is it one JSON value, and nothing else? */
extern bool json_is_valid(const char *text, size_t len);

/*
 * the functions below take only valid JSON, with or without white space
 * around it
 */
extern bool json_is_null(const char *text, size_t len);

/*
 * Must this value of json or jsonb be sent in its text form?  utf8: is that the
 * encoding of the database?
 */
extern bool json_needs_text_form(const char *text, size_t len, bool utf8);

/* does jsonb take it, as far as that can be told by its escapes and numbers? */
extern bool json_is_readable(const char *text, size_t len, bool utf8);

/* the first byte of a value says what it is: { [ " t f n - or a digit */
extern char json_first(JsonSpan value);
extern void json_members(JsonMembers *members, JsonSpan value);

/*
 * The next member; false if there is none.  The name, which only objects have,
 * includes its quotes.
 */
extern bool json_next_member(JsonMembers *members, JsonSpan *name,
							 JsonSpan *value);

/* is this name, with its quotes and escapes, the ASCII text? */
extern bool json_name_is(JsonSpan name, const char *text);

/*
 * The text of a string that escape_json() has written, palloc'd.  Nothing
 * beyond ASCII is escaped in it.
 */
extern char *json_unescape(JsonSpan string);

/*
 * The same JSON with characters beyond ASCII as themselves, in UTF-8, instead of
 * \uXXXX; palloc'd and terminated.  Half of a surrogate pair stays as it is.
 */
extern char *json_expand_escapes(JsonSpan text);

#endif							/* TIDE_JSON_SCAN_H */
