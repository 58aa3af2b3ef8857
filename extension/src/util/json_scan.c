/*-------------------------------------------------------------------------
 *
 * json_scan.c
 *	  Reading JSON as text: whether it is JSON, what it holds, and whether
 *	  jsonb would take it.
 *
 * One scan goes from left to right.  It builds nothing, does not recurse, and
 * stops at the end of the text, whatever the text is.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "mb/pg_wchar.h"

#include "util/json_scan.h"

typedef struct Scanner
{
	const char *at;
	const char *end;

	/* what it has met so far */
	int			depth;			/* of the deepest value */
	bool		has_odd_escape; /* a NUL, half of a surrogate pair */
	bool		has_wide_escape;	/* of a character beyond ASCII */
	bool		has_long_number;
} Scanner;

static void
scan_begin(Scanner *s, const char *text, size_t len)
{
	memset(s, 0, sizeof(*s));
	s->at = text;
	s->end = text + len;
}

static bool
at_end(const Scanner *s)
{
	return s->at >= s->end;
}

static char
next_char(const Scanner *s)
{
	return at_end(s) ? '\0' : *s->at;
}

static bool
take_char(Scanner *s, char c)
{
	if (at_end(s) || *s->at != c)
		return false;
	s->at++;
	return true;
}

static void
skip_space(Scanner *s)
{
	while (!at_end(s) &&
		   (*s->at == ' ' || *s->at == '\n' || *s->at == '\r' || *s->at == '\t'))
		s->at++;
}

/* ---------- strings ---------- */

static bool
scan_hex4(Scanner *s, uint32 *unit)
{
	int			i;

	*unit = 0;
	for (i = 0; i < 4; i++)
	{
		char		c = next_char(s);
		int			digit = c >= '0' && c <= '9' ? c - '0' :
			c >= 'a' && c <= 'f' ? c - 'a' + 10 :
			c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;

		if (digit < 0)
			return false;
		*unit = *unit << 4 | (uint32) digit;
		s->at++;
	}
	return true;
}

#define IS_HIGH_HALF(unit) ((unit) >= 0xD800 && (unit) <= 0xDBFF)
#define IS_LOW_HALF(unit) ((unit) >= 0xDC00 && (unit) <= 0xDFFF)

/* the character after \u, of a surrogate pair by both halves; a half alone is itself */
static bool
scan_character(Scanner *s, uint32 *c)
{
	Scanner		ahead;
	uint32		low;

	if (!scan_hex4(s, c))
		return false;
	ahead = *s;
	if (IS_HIGH_HALF(*c) && take_char(&ahead, '\\') && take_char(&ahead, 'u') &&
		scan_hex4(&ahead, &low) && IS_LOW_HALF(low))
	{
		*c = 0x10000 + ((*c - 0xD800) << 10) + (low - 0xDC00);
		s->at = ahead.at;
	}
	return true;
}

static bool
scan_unit(Scanner *s)
{
	uint32		c;

	if (!scan_character(s, &c))
		return false;
	if (c > 0x7F)
		s->has_wide_escape = true;
	if (c == 0 || IS_HIGH_HALF(c) || IS_LOW_HALF(c))
		s->has_odd_escape = true;
	return true;
}

/* most of a text: characters that stand for themselves */
static void
skip_plain(Scanner *s)
{
	const char *at = s->at;		/* in a register */

	while (at < s->end && *at != '"' && *at != '\\' && (unsigned char) *at >= ' ')
		at++;
	s->at = at;
}

static bool
scan_string(Scanner *s)
{
	if (!take_char(s, '"'))
		return false;
	for (;;)
	{
		char		c;

		skip_plain(s);
		if (take_char(s, '"'))
			return true;
		if (!take_char(s, '\\') || at_end(s))
			return false;
		c = *s->at++;
		if (c == 'u')
		{
			if (!scan_unit(s))
				return false;
		}
		else if (c == '\0' || strchr("\"\\/bfnrt", c) == NULL)
			return false;
	}
	return false;
}

/* ---------- numbers and words ---------- */

/* -1: there is none */
static int
scan_digits(Scanner *s)
{
	const char *start = s->at;

	while (!at_end(s) && *s->at >= '0' && *s->at <= '9')
		s->at++;
	return s->at - start > INT_MAX / 4 ? INT_MAX / 4 :
		s->at > start ? (int) (s->at - start) : -1;
}

static bool
scan_exponent(Scanner *s)
{
	int			exponent = 0;

	if (!take_char(s, '+'))
		(void) take_char(s, '-');
	if (next_char(s) < '0' || next_char(s) > '9')
		return false;
	for (; next_char(s) >= '0' && next_char(s) <= '9'; s->at++)
	{
		if (exponent <= JSON_MAX_DIGITS)
			exponent = exponent * 10 + (*s->at - '0');
	}
	if (exponent > JSON_MAX_DIGITS)
		s->has_long_number = true;
	return true;
}

static bool
scan_number(Scanner *s)
{
	int			whole = 1;
	int			fraction = 0;

	(void) take_char(s, '-');
	if (!take_char(s, '0'))
		whole = scan_digits(s);
	if (whole < 0)
		return false;
	if (take_char(s, '.'))
		fraction = scan_digits(s);
	if (fraction < 0)
		return false;
	if (whole + fraction > JSON_MAX_DIGITS)
		s->has_long_number = true;
	if (take_char(s, 'e') || take_char(s, 'E'))
		return scan_exponent(s);
	return true;
}

static bool
scan_word(Scanner *s, const char *word)
{
	for (; *word != '\0'; word++)
	{
		if (!take_char(s, *word))
			return false;
	}
	return true;
}

static bool
scan_scalar(Scanner *s)
{
	switch (next_char(s))
	{
		case '"':
			return scan_string(s);
		case 't':
			return scan_word(s, "true");
		case 'f':
			return scan_word(s, "false");
		case 'n':
			return scan_word(s, "null");
		default:
			return scan_number(s);
	}
}

/* ---------- values ---------- */

/* which of the open levels are objects */
typedef struct Levels
{
	int			n;
	uint8		is_object[JSON_MAX_DEPTH];
} Levels;

/* a name and its colon */
static bool
scan_name(Scanner *s)
{
	skip_space(s);
	if (!scan_string(s))
		return false;
	skip_space(s);
	return take_char(s, ':');
}

static bool
open_level(Scanner *s, Levels *levels)
{
	if (levels->n >= JSON_MAX_DEPTH)
	{
		s->depth = JSON_MAX_DEPTH + 1;
		return false;
	}
	levels->is_object[levels->n++] = (*s->at++ == '{');
	s->depth = Max(s->depth, levels->n);
	return true;
}

/* the innermost level, if that is what ends here */
static bool
close_level(Scanner *s, Levels *levels)
{
	skip_space(s);
	if (!take_char(s, levels->is_object[levels->n - 1] ? '}' : ']'))
		return false;
	levels->n--;
	return true;
}

/* One value without the white space around it; false: it is none. */
static bool
scan_value(Scanner *s)
{
	Levels		levels;

	levels.n = 0;
	for (;;)
	{
		/* a value begins here */
		skip_space(s);
		if (next_char(s) == '{' || next_char(s) == '[')
		{
			if (!open_level(s, &levels))
				return false;
			if (!close_level(s, &levels))
			{
				if (levels.is_object[levels.n - 1] && !scan_name(s))
					return false;
				continue;
			}
		}
		else if (!scan_scalar(s))
			return false;

		/*
		 * the value has ended here: which levels end with it, and what is
		 * next?
		 */
		while (levels.n > 0 && close_level(s, &levels))
			 /* close_level does it */ ;
		if (levels.n == 0)
			return true;
		if (!take_char(s, ','))
			return false;
		if (levels.is_object[levels.n - 1] && !scan_name(s))
			return false;
	}
}

bool
json_is_valid(const char *text, size_t len)
{
	Scanner		s;

	scan_begin(&s, text, len);
	if (!scan_value(&s))
		return false;
	skip_space(&s);
	return at_end(&s);
}

/* ---------- what is in it ---------- */

char
json_first(JsonSpan value)
{
	Scanner		s;

	scan_begin(&s, value.at, value.len);
	skip_space(&s);
	return next_char(&s);
}

bool
json_is_null(const char *text, size_t len)
{
	JsonSpan	value = {text, len};

	return json_first(value) == 'n';
}

void
json_members(JsonMembers *members, JsonSpan value)
{
	Scanner		s;

	scan_begin(&s, value.at, value.len);
	skip_space(&s);
	members->is_object = (next_char(&s) == '{');
	(void) (take_char(&s, '{') || take_char(&s, '['));
	members->at = s.at;
	members->end = s.end;
}

bool
json_next_member(JsonMembers *members, JsonSpan *name, JsonSpan *value)
{
	Scanner		s;

	scan_begin(&s, members->at, members->end - members->at);
	skip_space(&s);
	(void) take_char(&s, ',');
	skip_space(&s);
	if (next_char(&s) == '}' || next_char(&s) == ']' || at_end(&s))
		return false;
	if (members->is_object)
	{
		name->at = s.at;
		if (!scan_string(&s))
			return false;
		name->len = s.at - name->at;
		skip_space(&s);
		(void) take_char(&s, ':');
		skip_space(&s);
	}
	value->at = s.at;
	if (!scan_value(&s))
		return false;
	value->len = s.at - value->at;
	members->at = s.at;
	return true;
}

bool
json_name_is(JsonSpan name, const char *text)
{
	Scanner		s;

	scan_begin(&s, name.at, name.len);
	(void) take_char(&s, '"');
	for (; *text != '\0'; text++)
	{
		uint32		unit = (unsigned char) next_char(&s);

		if (take_char(&s, '\\'))
		{
			unit = (unsigned char) next_char(&s);
			if (take_char(&s, 'u'))
			{
				if (!scan_hex4(&s, &unit))
					return false;
			}
			else if (take_char(&s, '"') || take_char(&s, '\\') || take_char(&s, '/'))
				 /* stands for itself */ ;
			else
				return false;
		}
		else if (unit == '"' || at_end(&s))
			return false;
		else
			s.at++;
		if (unit != (unsigned char) *text)
			return false;
	}
	return next_char(&s) == '"' && s.at + 1 == s.end;
}

char *
json_unescape(JsonSpan string)
{
	static const char letters[] = "bfnrt";
	static const char meanings[] = "\b\f\n\r\t";
	char	   *result = palloc_extended(string.len + 1, MCXT_ALLOC_HUGE);
	char	   *to = result;
	Scanner		s;

	scan_begin(&s, string.at, string.len);
	(void) take_char(&s, '"');
	while (!at_end(&s) && !take_char(&s, '"'))
	{
		char		c = *s.at++;
		const char *letter;
		uint32		unit;

		if (c == '\\')
		{
			c = next_char(&s);
			s.at++;
			letter = strchr(letters, c);
			if (c == 'u')
				c = scan_hex4(&s, &unit) ? (char) unit : '?';
			else if (c != '\0' && letter != NULL)
				c = meanings[letter - letters];
		}
		*to++ = c;
	}
	*to = '\0';
	return result;
}

char *
json_expand_escapes(JsonSpan text)
{
	/* no character takes more bytes than its escape */
	char	   *result = palloc_extended(text.len + 1, MCXT_ALLOC_HUGE);
	char	   *to = result;
	Scanner		s;

	scan_begin(&s, text.at, text.len);
	while (!at_end(&s))
	{
		Scanner		escape = s;
		uint32		c;

		if (take_char(&escape, '\\') && take_char(&escape, 'u') &&
			scan_character(&escape, &c) &&
			c > 0x7F && !IS_HIGH_HALF(c) && !IS_LOW_HALF(c))
		{
			unicode_to_utf8(c, (unsigned char *) to);
			to += c > 0xFFFF ? 4 : c > 0x7FF ? 3 : 2;
			s.at = escape.at;
			continue;
		}
		/* of an escape both bytes: the second may be a backslash */
		if (*s.at == '\\' && s.at + 1 < s.end)
			*to++ = *s.at++;
		*to++ = *s.at++;
	}
	*to = '\0';
	return result;
}

/*
 * Could a reader take this object for the text form of another value? Of
 * members with equal names jsonb keeps the last.
 */
static bool
looks_like_text_form(const char *text, size_t len)
{
	JsonSpan	span = {text, len};
	JsonSpan	name;
	JsonSpan	value = {NULL, 0};
	JsonMembers members;

	if (json_first(span) != '{')
		return false;
	json_members(&members, span);
	while (json_next_member(&members, &name, &value))
	{
		if (!json_name_is(name, JSON_TEXT_FORM))
			return false;
	}
	return value.at != NULL && *value.at == '"';
}

bool
json_is_readable(const char *text, size_t len, bool utf8)
{
	Scanner		s;

	scan_begin(&s, text, len);
	return scan_value(&s) && !s.has_odd_escape && !s.has_long_number &&
		!(s.has_wide_escape && !utf8);
}

bool
json_needs_text_form(const char *text, size_t len, bool utf8)
{
	Scanner		s;

	scan_begin(&s, text, len);
	return !scan_value(&s) ||
		s.depth > JSON_SENT_DEPTH || s.has_odd_escape || s.has_long_number ||
		(s.has_wide_escape && !utf8) ||
		looks_like_text_form(text, len);
}
