/*-------------------------------------------------------------------------
 *
 * json_test.c
 *	  Unit tests of the gateway's json.c: a table of texts, limits, and random
 *	  texts and damages that a second, simple reader must judge alike.
 *
 * Prints TAP.  Usage: json_test [seed [rounds]]; without a seed the clock
 * gives one, which is printed.  Every text is in a block of exactly its size,
 * so that a sanitizer sees any byte read beyond it.
 *
 *-------------------------------------------------------------------------
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/buffer.h"
#include "util/json.h"
#include "util/text.h"
#include "tap.h"

#define ROUNDS		200000
#define DEPTH		8

static JsonVerdict
check(const char *text, size_t length, int depth, JsonProblem *problem)
{
	char	   *copy = malloc(length > 0 ? length : 1);
	JsonVerdict verdict;

	memcpy(copy, text, length);
	problem->what = "";
	problem->offset = 0;
	verdict = json_check(copy, length, depth, problem);
	free(copy);
	return verdict;
}

/*
 * The table: what is refused has a piece of the message, and the offset.
 */

typedef struct Case
{
	const char *text;
	const char *what;			/* NULL: good */
	size_t		offset;
} Case;

static const Case cases[] = {
	{"{}", NULL, 0},
	{"[]", NULL, 0},
	{" \t\r\n[ ] \n", NULL, 0},
	{"0", NULL, 0},
	{"-0.0e-0", NULL, 0},
	{"123456789012345678901234567890.5E+400", NULL, 0},
	{"[1,2.5,-3e7,true,false,null,\"\"]", NULL, 0},
	{"{\"a\":{\"a\":{\"a\":1}},\"b\":[{\"a\":1},{\"a\":2}]}", NULL, 0},
	{"{\"a\":{\"x\":1},\"b\":{\"x\":1},\"x\":1}", NULL, 0},
	{"{\"a\":1,\"A\":2,\"\":3,\"a \":4,\"\\\\u0061\":5}", NULL, 0},
	{"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e4\\uD83D\\uDE00\x7F\"", NULL, 0},
	{"\"\\\\u0000\"", NULL, 0},
	{"\"\\ud7ff\\ue000\\uffff\"", NULL, 0},
	{"\"\xF0\x9F\x98\x80\"", NULL, 0},

	{"", "ends too early", 0},
	{"  ", "ends too early", 2},
	{"{\"changes\":", "ends too early", 11},
	{"[1,", "ends too early", 3},
	{"\"abc", "ends too early", 4},
	{"\"abc\\", "ends too early", 5},
	{"\"\\u12", "ends too early", 5},
	{"tru", "ends too early", 3},
	{"-", "ends too early", 1},
	{"{\"a\"", "ends too early", 4},
	{"{} {}", "follows the end", 3},
	{"{}x", "follows the end", 2},
	{"01", "follows the end", 1},
	{"1.5.5", "follows the end", 3},
	{"nullx", "follows the end", 4},
	{"[1 2]", "comma or ]", 3},
	{"[1}", "comma or ]", 2},
	{"{\"a\":1]", "comma or }", 6},
	{"{\"a\":1 \"b\":2}", "comma or }", 7},
	{"[1,]", "a value is expected", 3},
	{"[,1]", "a value is expected", 1},
	{"{\"a\":}", "a value is expected", 5},
	{"]", "a value is expected", 0},
	{"'a'", "a value is expected", 0},
	{"nul1", "a value is expected", 3},
	{"True", "a value is expected", 0},
	{"NaN", "a value is expected", 0},
	{"+1", "a value is expected", 0},
	{".5", "a value is expected", 0},
	{"// x\n1", "a value is expected", 0},
	{"\xEF\xBB\xBF{}", "a value is expected", 0},
	{"{\"a\":1,}", "a key in quotes", 7},
	{"{a:1}", "a key in quotes", 1},
	{"{1:1}", "a key in quotes", 1},
	{"{\"a\",1}", "a colon", 4},
	{"-x", "lacks a digit", 1},
	{"1.", "ends too early", 2},
	{"[1.]", "lacks a digit", 3},
	{"[1e]", "lacks a digit", 3},
	{"[1e+-1]", "lacks a digit", 4},
	{"\"a\nb\"", "control character", 2},
	{"\"a\tb\"", "control character", 2},
	{"\"\\x41\"", "wrong character", 2},
	{"\"\\u12g4\"", "four hexadecimal digits", 5},
	{"\"a\\u0000\"", "escaped NUL", 2},
	{"{\"a\\u0000\":1}", "escaped NUL", 3},
	{"\"\\ud800\"", "surrogate", 1},
	{"\"\\uDBFFx\"", "surrogate", 1},
	{"\"\\udc00\\ud800\"", "surrogate", 1},
	{"\"\\ud800\\ud800\"", "surrogate", 1},
	{"\"\\ud800\\n\"", "surrogate", 1},
	{"\"x\xFF\"", "not UTF-8", 2},
	{"\"\xED\xA0\x80\"", "not UTF-8", 1},
	{"\"\xC3", "not UTF-8", 1},
	{"{\"a\":1,\"a\":1}", "key twice", 7},
	{"{\"\":1,\"\":1}", "key twice", 6},
	{"{\"a\":1,\"\\u0061\":1}", "key twice", 7},
	{"{\"\xC3\xA4\":1,\"\\u00E4\":1}", "key twice", 8},
	{"{\"\\ud83d\\ude00\":1,\"\xF0\x9F\x98\x80\":1}", "key twice", 18},
	{"{\"/\":1,\"\\/\":1}", "key twice", 7},
	{"{\"\\n\":1,\"\\u000a\":1}", "key twice", 8},
	{"{\"a\":{\"b\":1,\"c\":{}},\"d\":[{}],\"a\":1}", "key twice", 29},
	{"[{\"b\":{\"b\":[],\"b\":[]}}]", "key twice", 14},
	{.text = NULL}
};

static void
test_cases(void)
{
	const Case *one;
	char		name[512];

	for (one = cases; one->text != NULL; one++)
	{
		JsonProblem problem;
		JsonVerdict verdict = check(one->text, strlen(one->text), DEPTH,
									&problem);
		bool		good = one->what == NULL ? verdict == JSON_GOOD :
		verdict == JSON_REFUSED && problem.offset == one->offset &&
		strstr(problem.what, one->what) != NULL;
		const char *c;
		size_t		length;

		length = (size_t) snprintf(name, sizeof(name), "%s: ",
								   one->what ? one->what : "good");
		for (c = one->text; *c != '\0'; c++)
			length += (size_t) snprintf(name + length, sizeof(name) - length,
										*c > ' ' && *c < 0x7F && *c != '#' ?
										"%c" : "<%02x>", (unsigned char) *c);
		ok(good, name);
		if (!good)
			printf("# verdict %d, \"%s\" at %zu\n", verdict, problem.what,
				   problem.offset);
	}
}

/* Of a push, what PostgreSQL does not store is let through in a change. */
static void
test_push(void)
{
	static const char *const good[] = {
		"{\"changes\":[\"\\ud800\"]}", "{\"changes\":{\"t\":[{\"\\u0000\":\"\\udc00\\ud800\"}]}}",
		"{\"changes\":{\"\\ud800\":[]}}", "[[{\"\\ud800\":1,\"\\ud800\\udc00\":2,\"\\ud801\":3,\"\\ud800x\":4}]]", NULL
	};
	static const char *const bad[] = {
		"{\"changes\":\"\\ud800\"}", "{\"\\u0000\":[]}", "[[{\"\\ud800\":1,\"\\uD800\":2}]]",
		"[[\"\\ud80\"]]", "[[\"\xED\xA0\x80\"]]", "[[\"\\ud800]]", NULL
	};
	JsonProblem problem;
	int			i;

	for (i = 0; good[i] != NULL; i++)
		ok(json_check_push(good[i], strlen(good[i]), DEPTH, &problem) == JSON_GOOD,
		   "one change's fault");
	for (i = 0; bad[i] != NULL; i++)
		ok(json_check_push(bad[i], strlen(bad[i]), DEPTH, &problem) == JSON_REFUSED,
		   "the body's");
}

/* n times '[' or {"a":, and their ends. */
static void
nest(Buffer *text, int n, bool objects)
{
	int			i;

	for (i = 0; i < n; i++)
		buffer_append_text(text, objects ? "{\"a\":" : "[");
	buffer_append_text(text, objects ? "1" : "");
	for (i = 0; i < n; i++)
		buffer_append_text(text, objects ? "}" : "]");
}

static JsonVerdict
check_nested(int n, bool objects, int depth, JsonProblem *problem)
{
	Buffer		text = {0};
	JsonVerdict verdict;

	nest(&text, n, objects);
	verdict = check(text.data, text.length, depth, problem);
	buffer_free(&text);
	return verdict;
}

static void
test_depth(void)
{
	JsonProblem problem;

	ok(check_nested(64, false, 64, &problem) == JSON_GOOD, "64 arrays of 64");
	ok(check_nested(64, true, 64, &problem) == JSON_GOOD, "64 objects of 64");
	ok(check_nested(65, false, 64, &problem) == JSON_REFUSED &&
	   strstr(problem.what, "too deeply") != NULL && problem.offset == 64,
	   "65 arrays of 64");
	ok(check_nested(65, true, 64, &problem) == JSON_REFUSED &&
	   problem.offset == 64 * 5, "65 objects of 64");
	ok(check_nested(1000000, false, 64, &problem) == JSON_REFUSED,
	   "a million arrays");
	ok(check_nested(JSON_MAX_DEPTH, true, 1 << 30, &problem) == JSON_GOOD,
	   "as deep as can be");
	ok(check_nested(JSON_MAX_DEPTH + 1, true, 1 << 30, &problem) == JSON_REFUSED,
	   "never deeper");
	ok(check("1", 1, 0, &problem) == JSON_GOOD, "a number needs no depth");
}

/* An object of n keys; if "twice" is not below 0, that one comes again. */
static JsonVerdict
check_keys(int n, int twice, JsonProblem *problem)
{
	Buffer		text = {0};
	char		member[64];
	JsonVerdict verdict;
	int			i;

	buffer_append_text(&text, "{");
	for (i = 0; i < n; i++)
	{
		snprintf(member, sizeof(member), "\"k%d\":{\"k%d\":0},", i, i);
		buffer_append_text(&text, member);
	}
	snprintf(member, sizeof(member), "\"k%d\":0}", twice < 0 ? n : twice);
	buffer_append_text(&text, member);
	verdict = check(text.data, text.length, 64, problem);
	buffer_free(&text);
	return verdict;
}

static void
test_many_keys(void)
{
	JsonProblem problem;
	int			n;

	for (n = 126; n <= 130; n++)
	{
		ok(check_keys(n, -1, &problem) == JSON_GOOD, "keys about a limit");
		ok(check_keys(n, 0, &problem) == JSON_REFUSED, "the first one again");
		ok(check_keys(n, n - 1, &problem) == JSON_REFUSED, "the last one again");
	}
	ok(check_keys(300000, -1, &problem) == JSON_GOOD, "300,000 keys");
	ok(check_keys(300000, 123456, &problem) == JSON_REFUSED &&
	   strstr(problem.what, "twice") != NULL, "one of 300,000 again");
	ok(check_keys(1 << 20, -1, &problem) == JSON_REFUSED &&
	   strstr(problem.what, "too many") != NULL, "memory is bounded");
}

/*
 * A second reader: recursive, and so simple that one sees that it is right.
 * Only the verdict is compared.
 */

static const char *rest;
static const char *rest_end;

static bool read_value(int depth);

static void
read_space(void)
{
	while (rest < rest_end && strchr(" \t\r\n", *rest) != NULL)
		rest++;
}

static bool
read_char(char c)
{
	if (rest >= rest_end || *rest != c)
		return false;
	rest++;
	return true;
}

static bool
read_unit(unsigned int *unit)
{
	char		digits[5] = "";

	if (rest_end - rest < 4)
		return false;
	memcpy(digits, rest, 4);
	rest += 4;
	if (strspn(digits, "0123456789abcdefABCDEF") != 4)
		return false;
	*unit = (unsigned int) strtoul(digits, NULL, 16);
	return true;
}

static void
put_character(Buffer *out, unsigned int c)
{
	if (c < 0x80)
		buffer_append_char(out, (char) c);
	else if (c < 0x800)
		buffer_append_char(out, (char) (0xC0 | c >> 6));
	else if (c < 0x10000)
		buffer_append_char(out, (char) (0xE0 | c >> 12));
	else
		buffer_append_char(out, (char) (0xF0 | c >> 18));
	if (c >= 0x10000)
		buffer_append_char(out, (char) (0x80 | (c >> 12 & 0x3F)));
	if (c >= 0x800)
		buffer_append_char(out, (char) (0x80 | (c >> 6 & 0x3F)));
	if (c >= 0x80)
		buffer_append_char(out, (char) (0x80 | (c & 0x3F)));
}

static bool
read_escape(Buffer *out)
{
	unsigned int c;
	unsigned int low;
	char		letter = rest < rest_end ? *rest++ : '\0';

	switch (letter)
	{
		case '"':
		case '\\':
		case '/':
			buffer_append_char(out, letter);
			return true;
		case 'b':
			buffer_append_char(out, '\b');
			return true;
		case 'f':
			buffer_append_char(out, '\f');
			return true;
		case 'n':
			buffer_append_char(out, '\n');
			return true;
		case 'r':
			buffer_append_char(out, '\r');
			return true;
		case 't':
			buffer_append_char(out, '\t');
			return true;
		case 'u':
			break;
		default:
			return false;
	}
	if (!read_unit(&c) || c == 0 || (c >= 0xDC00 && c <= 0xDFFF))
		return false;
	if (c >= 0xD800 && c <= 0xDBFF)
	{
		if (!read_char('\\') || !read_char('u') || !read_unit(&low) ||
			low < 0xDC00 || low > 0xDFFF)
			return false;
		c = 0x10000 + (c - 0xD800) * 0x400 + (low - 0xDC00);
	}
	put_character(out, c);
	return true;
}

static bool
read_string(Buffer *out)
{
	if (!read_char('"'))
		return false;
	for (;;)
	{
		if (read_char('"'))
			return true;
		if (rest >= rest_end || (unsigned char) *rest < 0x20)
			return false;
		if (read_char('\\'))
		{
			if (!read_escape(out))
				return false;
		}
		else
			buffer_append_char(out, *rest++);
	}
}

static bool
read_digits(void)
{
	const char *start = rest;

	while (rest < rest_end && *rest >= '0' && *rest <= '9')
		rest++;
	return rest > start;
}

static bool
read_number(void)
{
	read_char('-');
	if (!read_char('0') && !read_digits())
		return false;
	if (read_char('.') && !read_digits())
		return false;
	if (read_char('e') || read_char('E'))
	{
		if (!read_char('+'))
			read_char('-');
		return read_digits();
	}
	return true;
}

static bool
read_object(int depth)
{
	Buffer		keys[64] = {{0}};
	int			count = 0;
	bool		good = false;
	int			i;

	read_space();
	if (read_char('}'))
		return true;
	/* what the generator makes has fewer keys */
	while (count < 64)
	{
		Buffer	   *key = &keys[count++];

		read_space();
		if (!read_string(key))
			break;
		for (i = 0; i < count - 1; i++)
		{
			if (keys[i].length == key->length &&
				(key->length == 0 ||
				 memcmp(keys[i].data, key->data, key->length) == 0))
				goto done;
		}
		read_space();
		if (!read_char(':') || !read_value(depth))
			break;
		read_space();
		if (read_char('}'))
		{
			good = true;
			break;
		}
		if (!read_char(','))
			break;
	}
done:
	for (i = 0; i < count; i++)
		buffer_free(&keys[i]);
	return good;
}

static bool
read_array(int depth)
{
	read_space();
	if (read_char(']'))
		return true;
	for (;;)
	{
		if (!read_value(depth))
			return false;
		read_space();
		if (read_char(']'))
			return true;
		if (!read_char(','))
			return false;
	}
}

static bool
read_word(const char *word)
{
	size_t		length = strlen(word);

	if ((size_t) (rest_end - rest) < length || memcmp(rest, word, length) != 0)
		return false;
	rest += length;
	return true;
}

static bool
read_value(int depth)
{
	Buffer		string = {0};
	bool		good;

	read_space();
	if (rest >= rest_end)
		return false;
	if (*rest == '"')
	{
		good = read_string(&string);
		buffer_free(&string);
		return good;
	}
	if (read_char('{'))
		return depth > 0 && read_object(depth - 1);
	if (read_char('['))
		return depth > 0 && read_array(depth - 1);
	if (read_word("true") || read_word("false") || read_word("null"))
		return true;
	return read_number();
}

static bool
simple_check(const char *text, size_t length, int depth)
{
	if (!text_is_utf8(text, length))
		return false;
	rest = text;
	rest_end = text + length;
	if (!read_value(depth))
		return false;
	read_space();
	return rest == rest_end;
}

/*
 * Random texts
 */

static const char *const pieces[] = {
	"a", "b", "\\u0061", "\\u0062", "\\\\", "\\n", "\\u000A", "\xC3\xA4",
	"\\u00e4", "\\ud83d\\ude00", "\xF0\x9F\x98\x80", "\\/", "/", "id",
	"\\ud83d", "\\u0000", "\\u", "\xC3"
};
#define GOOD_PIECES 14
#define ALL_PIECES	18

static void
make_string(Buffer *text)
{
	unsigned int n = rnd_below(3);

	buffer_append_char(text, '"');
	for (; n > 0; n--)
		buffer_append_text(text, pieces[rnd_below(rnd_below(50) == 0 ?
												  ALL_PIECES : GOOD_PIECES)]);
	buffer_append_char(text, '"');
}

static void
make_value(Buffer *text, int depth)
{
	static const char *const scalars[] = {
		"0", "-1", "1.5", "2e10", "-0.1E-5", "9007199254740993", "true",
		"false", "null"
	};
	unsigned int kind = rnd_below(depth > 0 ? 4 : 2);
	unsigned int n = rnd_below(4);
	unsigned int i;

	if (rnd_below(8) == 0)
		buffer_append_char(text, " \t\r\n"[rnd_below(4)]);
	if (kind == 0)
		buffer_append_text(text, scalars[rnd_below(9)]);
	else if (kind == 1)
		make_string(text);
	else
	{
		buffer_append_char(text, kind == 2 ? '{' : '[');
		for (i = 0; i < n; i++)
		{
			if (i > 0)
				buffer_append_char(text, ',');
			if (kind == 2)
			{
				make_string(text);
				buffer_append_char(text, ':');
			}
			make_value(text, depth - 1);
		}
		buffer_append_char(text, kind == 2 ? '}' : ']');
	}
}

/* Change, remove, repeat or insert a few bytes. */
static void
damage(Buffer *text)
{
	static const char bytes[] = "{}[]:,\"\\u0 1e.-+tn\x01\xC3\xED\xFF";
	unsigned int times = rnd_below(3);

	for (; times > 0 && text->length > 0; times--)
	{
		size_t		at = rnd_below((unsigned int) text->length);
		Buffer		fresh = {0};

		buffer_append(&fresh, text->data, at);
		switch (rnd_below(4))
		{
			case 0:
				buffer_append_char(&fresh, bytes[rnd_below(sizeof(bytes))]);
				buffer_append(&fresh, text->data + at + 1, text->length - at - 1);
				break;
			case 1:
				buffer_append(&fresh, text->data + at + 1, text->length - at - 1);
				break;
			case 2:
				buffer_append_char(&fresh, bytes[rnd_below(sizeof(bytes))]);
				buffer_append(&fresh, text->data + at, text->length - at);
				break;
			default:
				/* what was cut from one place comes in another */
				buffer_append(&fresh, text->data + rnd_below((unsigned int) at + 1),
							  rnd_below((unsigned int) (text->length - at)));
				buffer_append(&fresh, text->data + at, text->length - at);
		}
		buffer_free(text);
		*text = fresh;
	}
}

static void
print_text(const Buffer *text)
{
	size_t		i;

	printf("# ");
	for (i = 0; i < text->length; i++)
		printf(text->data[i] > ' ' && text->data[i] < 0x7F ? "%c" : "<%02x>",
			   (unsigned char) text->data[i]);
	printf("\n");
}

static void
test_random(long rounds)
{
	long		accepted = 0;
	long		wrong = 0;
	bool		inside = true;
	bool		stable = true;
	long		i;

	for (i = 0; i < rounds; i++)
	{
		Buffer		text = {0};
		JsonProblem problem;
		JsonProblem again;
		JsonVerdict verdict;

		/* one deeper than is allowed, now and then */
		make_value(&text, DEPTH + (rnd_below(4) == 0));
		damage(&text);
		verdict = check(text.data ? text.data : "", text.length, DEPTH, &problem);
		stable &= check(text.data ? text.data : "", text.length, DEPTH,
						&again) == verdict &&
			again.what == problem.what && again.offset == problem.offset;
		inside &= problem.offset <= text.length;
		if (verdict == JSON_GOOD)
			accepted++;
		if ((verdict == JSON_GOOD) !=
			simple_check(text.data ? text.data : "", text.length, DEPTH))
		{
			if (wrong++ < 5)
				print_text(&text);
		}
		buffer_free(&text);
	}
	printf("# %ld of %ld accepted\n", accepted, rounds);
	ok(wrong == 0, "random texts are judged as by the simple reader");
	ok(inside, "no offset is beyond the text");
	ok(stable, "the same text has the same outcome");
	ok(accepted > rounds / 10 && accepted < rounds * 9 / 10,
	   "many are good and many are not");
}

int
main(int argc, char **argv)
{
	long		rounds = argc > 2 ? strtol(argv[2], NULL, 10) : ROUNDS;

	seed_random(argc > 1 ? argv[1] : NULL);
	test_cases();
	test_push();
	test_depth();
	test_many_keys();
	test_random(rounds);
	return done_testing();
}
