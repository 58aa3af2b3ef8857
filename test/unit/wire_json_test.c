/*-------------------------------------------------------------------------
 *
 * wire_json_test.c
 *	  Unit tests of json_scan.c: what is JSON, what is sent in its text form,
 *	  members one by one, and random damage, which the gateway's scanner must
 *	  judge alike.
 *
 * Prints TAP.  Usage: wire_json_test [seed [rounds]]; without a seed the clock
 * gives one, which is printed.  Every text is in a block of exactly its size,
 * so that a sanitizer sees any byte read beyond it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "util/json.h"
#include "util/json_scan.h"
#include "tap.h"

#define ROUNDS 200000

static JsonSpan
span_of(const char *text, size_t len)
{
	char	   *copy = palloc(len > 0 ? len : 1);
	JsonSpan	span = {copy, len};

	memcpy(copy, text, len);
	return span;
}

static bool
is_valid(const char *text, size_t len)
{
	JsonSpan	span = span_of(text, len);

	return json_is_valid(span.at, span.len);
}

static void
test_expansion(void)
{
	static const char *const cases[][2] = {
		{"\"caf\\u00e9\"", "\"caf\xc3\xa9\""}, {"\"\\u0080\\u07ff\\u0800\\uFFFF\"", "\"\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf\""},
		{"\"\\ud83d\\ude00\"", "\"\xf0\x9f\x98\x80\""}, {"\"\\uDBFF\\uDFFF\"", "\"\xf4\x8f\xbf\xbf\""},
		/* ASCII, backslashes, and what is no character stay */
		{"\"\\u0041\\u0000\\u007f\\n\"", "\"\\u0041\\u0000\\u007f\\n\""}, {"\"\\\\u00e9\"", "\"\\\\u00e9\""},
		{"\"\\\\\\u00e9\"", "\"\\\\\xc3\xa9\""}, {"\"\\ud83d\"", "\"\\ud83d\""}, {"\"\\ude00\\ud83d\\u00e9\"", "\"\\ude00\\ud83d\xc3\xa9\""},
		{"\"\\ud83d\\u00e9\"", "\"\\ud83d\xc3\xa9\""}, {"{\"\\u00e9\" : [1]}", "{\"\xc3\xa9\" : [1]}"}, {"\"\xc3\xa9\"", "\"\xc3\xa9\""}
	};
	size_t		i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char	   *expanded = json_expand_escapes(span_of(cases[i][0], strlen(cases[i][0])));

		ok(strcmp(expanded, cases[i][1]) == 0, cases[i][0]);
	}
}

static void
test_validity(void)
{
	static const char *const good[] = {
		"{}", "[]", " \t\r\n[ ] \n", "0", "-0.0e-0", "1E+400000", "null", "true", "false",
		"\"\\ud800 \\u0000 \\udc00\\ud83d\"", "{\"a\":1,\"a\":2}", "[[[]],{\"\":[{}]}]",
		"{\"a\" : [1 , 2] , \"b\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"}", "\"\xff\"", NULL
	};
	static const char *const bad[] = {
		"", " ", "{", "[", "\"", "\"\\", "\"\\u12", "\"\\u12g4\"", "\"\\x\"", "\"a\nb\"", "{a:1}", "{\"a\"}",
		"{\"a\":}", "{\"a\":1,}", "{,}", "[1,]", "[,1]", "[1 2]", "[1}", "{\"a\":1]", "01", "1.", ".5",
		"-", "+1", "1e", "1e+", "tru", "nulll", "NaN", "[] []", "]", "}", ":", "\"a\" :", NULL
	};
	char		deep[2 * JSON_MAX_DEPTH + 2];
	int			i;

	for (i = 0; good[i] != NULL; i++)
		ok(is_valid(good[i], strlen(good[i])), good[i]);
	for (i = 0; bad[i] != NULL; i++)
		ok(!is_valid(bad[i], strlen(bad[i])), "bad JSON");
	ok(!is_valid("[1\0]", 4), "a NUL");
	memset(deep, '[', sizeof(deep) / 2);
	memset(deep + sizeof(deep) / 2, ']', sizeof(deep) / 2);
	ok(is_valid(deep + 1, 2 * JSON_MAX_DEPTH), "as deep as can be");
	ok(!is_valid(deep, sizeof(deep)), "one level more");
}

static bool
needs_text(const char *text, bool utf8)
{
	JsonSpan	span = span_of(text, strlen(text));

	return json_needs_text_form(span.at, span.len, utf8);
}

static char *
repeat(const char *before, char c, int n, const char *after)
{
	char	   *text = palloc(strlen(before) + n + strlen(after) + 1);

	strcpy(text, before);
	memset(text + strlen(before), c, n);
	strcpy(text + strlen(before) + n, after);
	return text;
}

static void
test_text_form(void)
{
	static const char *const plain[] = {
		"null", "{}", "[]", "{\"$json\":1}", "{\"$json\":{\"$json\":\"x\"}}", "{\"$json\":\"x\",\"a\":1}",
		"{\"a\":\"$json\"}", "{\"$JSON\":\"x\"}", "{\"$json \":\"x\"}", "{\"$jso\":\"x\"}", "\"\\ud83d\\ude00\"", "1e1000", "\"\\\\u0000\"", NULL
	};
	static const char *const wrapped[] = {
		"{\"$json\":\"x\"}", " { \"$json\" : \"\" } ", "{\"\\u0024json\":\"x\"}", "{\"$json\":1,\"$json\":\"x\"}",
		"\"\\u0000\"", "{\"\\ud800\":1}", "[\"\\udc00\\ud800\"]", "\"\\ud800\\u0041\"", "\"\\ud83dx\"", "1e1001", "-1E-99999999999", "[1.5e+001001]", NULL
	};
	int			i;

	for (i = 0; plain[i] != NULL; i++)
		ok(!needs_text(plain[i], true), plain[i]);
	for (i = 0; wrapped[i] != NULL; i++)
		ok(needs_text(wrapped[i], true), "sent as text");
	ok(!needs_text(repeat("", '1', JSON_MAX_DIGITS, ""), true), "as many digits as can be");
	ok(needs_text(repeat("", '1', JSON_MAX_DIGITS + 1, ""), true), "one digit more");
	ok(needs_text(repeat("0.", '0', JSON_MAX_DIGITS, ""), true), "also behind the point");
	ok(!needs_text("\"\\u0041\"", false) && needs_text("\"\\u00e9\"", false),
	   "escapes beyond ASCII where the encoding is not UTF-8");
	ok(json_is_readable("\"\\ud83d\\ude00\"", 14, true) && !json_is_readable("\"\\ud83d\\ude00\"", 14, false) &&
	   !json_is_readable("\"\\ud83d\"", 8, true) && !json_is_readable("1e9999", 6, true), "what jsonb reads");
	ok(json_is_null(" null", 5) && !json_is_null("\"null\"", 6), "null");
}

static void
test_members(void)
{
	JsonSpan	whole = span_of(" {\"a\" : [1,{\"b\":2}] ,\"\\u0062\\\"\":\"}\",\"c\":null } ", 48);
	JsonSpan	name;
	JsonSpan	value;
	JsonMembers members;
	JsonMembers inner;

	ok(json_first(whole) == '{', "an object");
	json_members(&members, whole);
	ok(json_next_member(&members, &name, &value) && json_name_is(name, "a") &&
	   value.len == 11 && memcmp(value.at, "[1,{\"b\":2}]", 11) == 0, "the first member");
	json_members(&inner, value);
	ok(json_next_member(&inner, &name, &value) && value.len == 1 &&
	   json_next_member(&inner, &name, &value) && value.len == 7 &&
	   !json_next_member(&inner, &name, &value), "elements of its array");
	ok(json_next_member(&members, &name, &value) && json_name_is(name, "b\"") &&
	   !json_name_is(name, "b") && !json_name_is(name, "b\"x") && value.len == 3, "an escaped name");
	ok(json_next_member(&members, &name, &value) && *value.at == 'n' &&
	   !json_next_member(&members, &name, &value), "the last one");
	ok(strcmp(json_unescape(span_of("\"\\\"\\\\\\b\\f\\n\\r\\t\\u001f\xc3\xa9\"", 24)),
			  "\"\\\b\f\n\r\t\x1f\xc3\xa9") == 0, "a string as escape_json() writes it");
}

/*
 * The gateway's scanner also refuses names that are there twice, and escapes of
 * what is no character.
 */
static bool
gateway_agrees(JsonSpan span, bool valid)
{
	JsonProblem problem;
	JsonVerdict verdict = json_check(span.at, span.len, JSON_MAX_DEPTH, &problem);

	if (verdict == JSON_GOOD)
		return valid;
	return !valid || strstr(problem.what, "twice") != NULL ||
		strstr(problem.what, "NUL") != NULL ||
		strstr(problem.what, "surrogate") != NULL;
}

/* all members of all levels: each is valid by itself */
static bool
walk(JsonSpan span)
{
	JsonSpan	name;
	JsonSpan	value;
	JsonMembers members;

	if (!json_is_valid(span.at, span.len))
		return false;
	if (json_first(span) != '{' && json_first(span) != '[')
		return true;
	json_members(&members, span);
	while (json_next_member(&members, &name, &value))
	{
		if (members.is_object)
			(void) json_name_is(name, "$json");
		if (!walk(value))
			return false;
	}
	return true;
}

static void
test_random(int rounds)
{
	static const char pieces[] = "{}[]:,\"\\u0d8aAbfnrtl es-+.19 $json";
	static const char *const starts[] = {
		"{\"changes\":{\"t\":[{\"id\":1,\"s\":\"\\ud800\"},{\"id\":-2.5e3}]}}",
		"{\"$json\":\"x\"}", "[[[1,true],{\"a\":null}],\"\\u0000\"]"
	};
	int			disagreed = 0;
	int			broken = 0;
	int			i;

	for (i = 0; i < rounds; i++)
	{
		char		text[80];
		size_t		len;
		int			n = rnd_below(4);
		JsonSpan	span;
		bool		valid;

		strcpy(text, starts[rnd_below(3)]);
		len = strlen(text);
		for (; n > 0; n--)
			text[rnd_below(len)] = pieces[rnd_below(sizeof(pieces) - 1)];
		if (rnd_below(8) == 0)
			len = rnd_below(len);
		span = span_of(text, len);
		valid = json_is_valid(span.at, span.len);
		if (!gateway_agrees(span, valid))
		{
			disagreed++;
			printf("# %.*s\n", (int) len, text);
		}
		if (valid && !walk(span))
			broken++;
		(void) json_needs_text_form(span.at, span.len, true);
		shim_reset();
	}
	ok(disagreed == 0, "the gateway's scanner agrees");
	ok(broken == 0, "members of what is valid are valid");
}

int
main(int argc, char **argv)
{
	seed_random(argc > 1 ? argv[1] : NULL);
	test_validity();
	test_expansion();
	test_text_form();
	test_members();
	test_random(argc > 2 ? atoi(argv[2]) : ROUNDS);
	return done_testing();
}
