/*-------------------------------------------------------------------------
 *
 * json.c
 *	  Is this text JSON that all readers take the same way?
 *
 * One scan from left to right that builds no tree and does not change the text,
 * so that numbers keep all their digits.  Beyond the grammar it refuses what
 * readers disagree about (a key twice in an object: cJSON takes the first, jsonb
 * the last) and what PostgreSQL cannot store (an escaped NUL, half of a
 * surrogate pair), so that such a body costs no database connection.
 * Of a push the latter is let through where it is one change's.
 *
 * The keys of all open objects are in one hash table.  When an object is closed,
 * its keys are removed, the last one first; that is why slots can simply be
 * emptied, although the table is probed linearly.
 *
 *-------------------------------------------------------------------------
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/rand.h>

#include "util/json.h"
#include "util/text.h"

#define FIRST_KEYS		128		/* a power of two */
#define MOST_KEYS		(1 << 20)	/* of open objects; they take 24 MB */
#define PRIME			UINT64_C(0x7FFFFFFF)	/* 2^31 - 1 */

typedef struct Key
{
	uint32_t	start;			/* of its text, within the quotes */
	uint32_t	length;
	uint32_t	hash;
	uint32_t	slot;			/* its place in Scanner.slots */
} Key;

typedef struct Level
{
	bool		is_object;
	uint32_t	first_key;		/* an object's keys are those from here on */
} Level;

typedef struct Scanner
{
	const char *text;			/* valid UTF-8 without NUL */
	size_t		length;
	size_t		at;

	int			max_depth;
	int			free_depth;		/* with so many open levels a string may have
								 * any escapes */
	int			depth;			/* open levels */
	Level		levels[JSON_MAX_DEPTH];

	Key		   *keys;			/* of all open levels, a stack */
	uint32_t	key_count;
	uint32_t	key_capacity;
	uint32_t   *slots;			/* index of a key plus one, 0: empty */
	uint32_t	slot_mask;		/* there are twice as many as keys */

	JsonVerdict verdict;
	JsonProblem *problem;
} Scanner;

/* What comes after a value. */
typedef enum Next
{
	NEXT_VALUE,
	NEXT_END,					/* of the whole text */
	NEXT_FAILURE
} Next;

/*
 * Clients choose the keys.  Without a secret in the hash they could choose
 * thousands of keys that all have the same one.
 */
static uint64_t secret = 0x5DEECE66;
static pthread_once_t secret_once = PTHREAD_ONCE_INIT;

static void
make_secret(void)
{
	uint32_t	bytes;

	if (RAND_bytes((unsigned char *) &bytes, sizeof(bytes)) == 1)
		secret = (bytes & 0x3FFFFFFF) | 0x40000000;
}

static bool
complain_at(Scanner *scanner, size_t offset, const char *what)
{
	scanner->verdict = JSON_REFUSED;
	scanner->problem->what = what;
	scanner->problem->offset = offset;
	return false;
}

/* The next byte is not what "what" asks for, or the text has ended. */
static bool
complain(Scanner *scanner, const char *what)
{
	return complain_at(scanner, scanner->at,
					   scanner->at < scanner->length ? what : "it ends too early");
}

/* The next byte; NUL, which the text does not have: the end. */
static char
peek(const Scanner *scanner)
{
	return scanner->at < scanner->length ? scanner->text[scanner->at] : '\0';
}

static bool
take(Scanner *scanner, char c)
{
	if (peek(scanner) != c)
		return false;
	scanner->at++;
	return true;
}

static void
skip_space(Scanner *scanner)
{
	char		c = peek(scanner);

	while (c == ' ' || c == '\n' || c == '\r' || c == '\t')
	{
		scanner->at++;
		c = peek(scanner);
	}
}

/* ---------- keys ---------- */

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Four hexadecimal digits; the caller knows that they are there. */
static uint32_t
hex_unit(const char *digits)
{
	uint32_t	unit = 0;
	int			i;

	for (i = 0; i < 4; i++)
		unit = unit << 4 | (uint32_t) hex_value(digits[i]);
	return unit;
}

/* \uDC00 to \uDFFF; the text has been scanned up to a quote behind it. */
static bool
is_low_half(const char *p)
{
	return p[0] == '\\' && p[1] == 'u' &&
		hex_unit(p + 2) >= 0xDC00 && hex_unit(p + 2) <= 0xDFFF;
}

/* The character that an escape stands for, in a string that was scanned. */
static uint32_t
next_escaped(const char **p)
{
	static const char letters[] = "bfnrt";
	static const char meanings[] = "\b\f\n\r\t";
	char		c = *(*p)++;
	const char *letter;
	uint32_t	unit;

	if (c != 'u')
	{
		letter = strchr(letters, c);
		return (uint32_t) (letter ? meanings[letter - letters] : c);
	}
	unit = hex_unit(*p);
	*p += 4;
	if (unit >= 0xD800 && unit <= 0xDBFF && is_low_half(*p))
	{
		unit = 0x10000 + ((unit - 0xD800) << 10) + (hex_unit(*p + 2) - 0xDC00);
		*p += 6;
	}
	return unit;
}

/* The next character of a string that has been scanned, however spelled. */
static uint32_t
next_character(const char **p)
{
	uint32_t	c = (unsigned char) *(*p)++;
	int			follow;

	if (c == '\\')
		return next_escaped(p);
	if (c < 0x80)
		return c;
	follow = c >= 0xF0 ? 3 : c >= 0xE0 ? 2 : 1;
	c &= 0x3FU >> follow;
	for (; follow > 0; follow--)
		c = c << 6 | ((unsigned char) *(*p)++ & 0x3F);
	return c;
}

/*
 * A polynomial of the characters at a secret point; the same key in objects
 * within each other has different hashes.
 */
static uint32_t
hash_key(const Scanner *scanner, const Key *key)
{
	const char *p = scanner->text + key->start;
	const char *end = p + key->length;
	uint64_t	hash = (uint64_t) scanner->depth;

	while (p < end)
	{
		hash = hash * secret + next_character(&p) + 1;
		hash = (hash & PRIME) + (hash >> 31);
		hash = (hash & PRIME) + (hash >> 31);
	}
	/* the low bits, which choose the slot, are to depend on all of them */
	return (uint32_t) (hash * UINT64_C(0x9E3779B97F4A7C15) >> 32);
}

static bool
is_same_key(const Scanner *scanner, const Key *one, const Key *other)
{
	const char *p = scanner->text + one->start;
	const char *p_end = p + one->length;
	const char *q = scanner->text + other->start;
	const char *q_end = q + other->length;

	if (one->hash != other->hash)
		return false;
	while (p < p_end && q < q_end)
	{
		if (next_character(&p) != next_character(&q))
			return false;
	}
	return p == p_end && q == q_end;
}

/* Put the key with this index into its slot. */
static void
fill_slot(Scanner *scanner, uint32_t index)
{
	Key		   *key = &scanner->keys[index];

	key->slot = key->hash & scanner->slot_mask;
	while (scanner->slots[key->slot] != 0)
		key->slot = (key->slot + 1) & scanner->slot_mask;
	scanner->slots[key->slot] = index + 1;
}

/* Room for one more key. */
static bool
make_room(Scanner *scanner)
{
	uint32_t	capacity = scanner->key_capacity;
	uint32_t	index;
	Key		   *keys;
	uint32_t   *slots;

	if (scanner->key_count < capacity)
		return true;
	if (capacity >= MOST_KEYS)
		return complain_at(scanner, scanner->at, "it has too many keys");

	capacity = capacity == 0 ? FIRST_KEYS : capacity * 2;
	keys = realloc(scanner->keys, capacity * sizeof(Key));
	if (keys != NULL)
		scanner->keys = keys;
	slots = calloc((size_t) capacity * 2, sizeof(uint32_t));
	if (keys == NULL || slots == NULL)
	{
		free(slots);
		scanner->verdict = JSON_NO_MEMORY;
		return false;
	}
	free(scanner->slots);
	scanner->slots = slots;
	scanner->slot_mask = capacity * 2 - 1;
	scanner->key_capacity = capacity;
	/* in the order they came, because they leave in the reverse order */
	for (index = 0; index < scanner->key_count; index++)
		fill_slot(scanner, index);
	return true;
}

/* Note a key of the innermost object, which must not have it yet. */
static bool
add_key(Scanner *scanner, size_t start, size_t length)
{
	uint32_t	first = scanner->levels[scanner->depth - 1].first_key;
	Key			key = {(uint32_t) start, (uint32_t) length, 0, 0};
	uint32_t	slot;
	uint32_t	entry;

	if (!make_room(scanner))
		return false;
	key.hash = hash_key(scanner, &key);
	slot = key.hash & scanner->slot_mask;
	while ((entry = scanner->slots[slot]) != 0)
	{
		if (entry > first &&
			is_same_key(scanner, &scanner->keys[entry - 1], &key))
			return complain_at(scanner, start - 1, "an object has a key twice");
		slot = (slot + 1) & scanner->slot_mask;
	}
	key.slot = slot;
	scanner->keys[scanner->key_count++] = key;
	scanner->slots[slot] = scanner->key_count;
	return true;
}

/* ---------- values ---------- */

/* \uXXXX, of which the backslash and the u have been taken. */
static bool
scan_unit(Scanner *scanner, uint32_t *unit)
{
	int			i;

	for (i = 0; i < 4; i++)
	{
		if (hex_value(peek(scanner)) < 0)
			return complain(scanner, "\\u is not followed by four hexadecimal digits");
		scanner->at++;
	}
	*unit = hex_unit(scanner->text + scanner->at - 4);
	return true;
}

/* What follows a backslash. */
static bool
scan_escape(Scanner *scanner)
{
	size_t		start = scanner->at - 1;
	uint32_t	unit;
	char		c = peek(scanner);

	if (c == '\0' || strchr("\"\\/bfnrtu", c) == NULL)
		return complain(scanner, "a backslash is followed by the wrong character");
	scanner->at++;
	if (c != 'u')
		return true;

	if (!scan_unit(scanner, &unit))
		return false;
	if (scanner->depth >= scanner->free_depth)
		return true;
	if (unit == 0)
		return complain_at(scanner, start, "a string has an escaped NUL (\\u0000)");
	if (unit < 0xD800 || unit > 0xDFFF)
		return true;
	if (unit <= 0xDBFF && take(scanner, '\\') && take(scanner, 'u'))
	{
		if (!scan_unit(scanner, &unit))
			return false;
		if (unit >= 0xDC00 && unit <= 0xDFFF)
			return true;
	}
	return complain_at(scanner, start,
					   "a string has half of a surrogate pair (\\uD800 to \\uDFFF)");
}

/* A string, from its first quote. */
static bool
scan_string(Scanner *scanner)
{
	scanner->at++;
	for (;;)
	{
		unsigned char c = (unsigned char) peek(scanner);

		if (c == '"')
		{
			scanner->at++;
			return true;
		}
		if (c < 0x20)
			return complain(scanner, "a string has a control character");
		scanner->at++;
		if (c == '\\' && !scan_escape(scanner))
			return false;
	}
}

static bool
scan_digits(Scanner *scanner)
{
	size_t		start = scanner->at;

	while (peek(scanner) >= '0' && peek(scanner) <= '9')
		scanner->at++;
	return scanner->at > start ||
		complain(scanner, "a number lacks a digit");
}

/* What follows its end, such as the 1 of 01, is looked at by the caller. */
static bool
scan_number(Scanner *scanner)
{
	take(scanner, '-');
	if (!take(scanner, '0') && !scan_digits(scanner))
		return false;
	if (take(scanner, '.') && !scan_digits(scanner))
		return false;
	if (!take(scanner, 'e') && !take(scanner, 'E'))
		return true;
	if (!take(scanner, '+'))
		take(scanner, '-');
	return scan_digits(scanner);
}

static bool
scan_word(Scanner *scanner, const char *word)
{
	for (; *word != '\0'; word++)
	{
		if (!take(scanner, *word))
			return complain(scanner, "a value is expected here");
	}
	return true;
}

/* A value that is neither object nor array. */
static bool
scan_scalar(Scanner *scanner)
{
	char		c = peek(scanner);

	if (c == '"')
		return scan_string(scanner);
	if (c == '-' || (c >= '0' && c <= '9'))
		return scan_number(scanner);
	if (c == 't')
		return scan_word(scanner, "true");
	if (c == 'f')
		return scan_word(scanner, "false");
	if (c == 'n')
		return scan_word(scanner, "null");
	return complain(scanner, "a value is expected here");
}

/* A key and its colon. */
static bool
scan_key(Scanner *scanner)
{
	size_t		start;

	skip_space(scanner);
	if (peek(scanner) != '"')
		return complain(scanner, "a key in quotes is expected here");
	start = scanner->at + 1;
	if (!scan_string(scanner) ||
		!add_key(scanner, start, scanner->at - 1 - start))
		return false;
	skip_space(scanner);
	return take(scanner, ':') || complain(scanner, "a colon is expected here");
}

/* ---------- objects and arrays ---------- */

static bool
open_level(Scanner *scanner)
{
	Level	   *level;

	if (scanner->depth >= scanner->max_depth)
		return complain(scanner, "it is nested too deeply");
	level = &scanner->levels[scanner->depth++];
	level->is_object = peek(scanner) == '{';
	level->first_key = scanner->key_count;
	scanner->at++;
	return true;
}

/* Close the innermost level if the text does. */
static bool
close_level(Scanner *scanner)
{
	const Level *level = &scanner->levels[scanner->depth - 1];

	skip_space(scanner);
	if (!take(scanner, level->is_object ? '}' : ']'))
		return false;
	while (scanner->key_count > level->first_key)
		scanner->slots[scanner->keys[--scanner->key_count].slot] = 0;
	scanner->depth--;
	return true;
}

/* A value is complete: what comes next? */
static Next
after_value(Scanner *scanner)
{
	while (scanner->depth > 0)
	{
		bool		is_object = scanner->levels[scanner->depth - 1].is_object;

		if (close_level(scanner))
			continue;
		if (!take(scanner, ','))
		{
			complain(scanner, is_object ? "a comma or } is expected here" :
					 "a comma or ] is expected here");
			return NEXT_FAILURE;
		}
		return !is_object || scan_key(scanner) ? NEXT_VALUE : NEXT_FAILURE;
	}
	skip_space(scanner);
	if (scanner->at == scanner->length)
		return NEXT_END;
	complain(scanner, "something follows the end of the value");
	return NEXT_FAILURE;
}

static void
scan_text(Scanner *scanner)
{
	Next		next = NEXT_VALUE;

	while (next == NEXT_VALUE)
	{
		skip_space(scanner);
		if (peek(scanner) == '{' || peek(scanner) == '[')
		{
			if (!open_level(scanner))
				return;
			if (!close_level(scanner))
			{
				if (scanner->levels[scanner->depth - 1].is_object &&
					!scan_key(scanner))
					return;
				continue;
			}
		}
		else if (!scan_scalar(scanner))
			return;
		next = after_value(scanner);
	}
}

static JsonVerdict
check(const char *text, size_t length, int max_depth, int free_depth,
	  JsonProblem *problem)
{
	Scanner		scanner = {.text = text, .length = length};

	scanner.max_depth = max_depth < JSON_MAX_DEPTH ? max_depth : JSON_MAX_DEPTH;
	scanner.free_depth = free_depth;
	scanner.problem = problem;
	scanner.verdict = JSON_GOOD;

	scanner.at = text_utf8_length(text, length);
	if (scanner.at < length)
		complain(&scanner, "it is not UTF-8 text");
	else
	{
		pthread_once(&secret_once, make_secret);
		scanner.at = 0;
		scan_text(&scanner);
	}
	free(scanner.keys);
	free(scanner.slots);
	return scanner.verdict;
}

/*
 * Is this one JSON value in UTF-8, nested at most max_depth (up to
 * JSON_MAX_DEPTH) levels, without escaped NULs, halves of surrogate pairs and
 * repeated keys?  The problem is set with JSON_REFUSED.  "text" is shorter
 * than 4 GB and needs no NUL at its end.
 */
JsonVerdict
json_check(const char *text, size_t length, int max_depth,
		   JsonProblem *problem)
{
	return check(text, length, max_depth, JSON_MAX_DEPTH + 1, problem);
}

JsonVerdict
json_check_push(const char *text, size_t length, int max_depth,
				JsonProblem *problem)
{
	return check(text, length, max_depth, 2, problem);
}
