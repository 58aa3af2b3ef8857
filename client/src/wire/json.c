/*
 * json.c
 *	  JSON as a flat list of nodes that point into the text.
 */
#include <string.h>

#include "util/sqlite.h"
#include "wire/json.h"
#include "wire/time.h"

typedef struct Reader
{
	Json	   *json;
	const char *text;
	size_t		length;
	size_t		at;
	size_t	   *open;			/* containers that are not closed yet */
	size_t		depth;
	size_t		open_capacity;
	size_t		few[32];		/* where they are, while there are no more */
} Reader;

static bool
grow(void **array, size_t *capacity, size_t size)
{
	size_t		n = *capacity ? *capacity * 2 : 64;
	void	   *more = sqlite3_realloc64(*array, n * size);

	if (more == NULL)
		return false;
	*array = more;
	*capacity = n;
	return true;
}

static bool
add_node(Reader *r, JsonKind kind, size_t start)
{
	Json	   *json = r->json;
	JsonNode   *node;

	if (json->count == json->capacity &&
		!grow((void **) &json->nodes, &json->capacity, sizeof(JsonNode)))
	{
		json->no_memory = true;
		return false;
	}
	node = &json->nodes[json->count++];
	node->kind = kind;
	node->escaped = false;
	node->start = start;
	node->end = start;
	node->next = json->count;
	return true;
}

static JsonNode *
last_node(Reader *r)
{
	return &r->json->nodes[r->json->count - 1];
}

static void
skip_space(Reader *r)
{
	while (r->at < r->length && (r->text[r->at] == ' ' || r->text[r->at] == '\t' ||
								 r->text[r->at] == '\r' || r->text[r->at] == '\n'))
		r->at++;
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int
hex_digit(char c)
{
	if (is_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* four hexadecimal digits, -1 if they are not */
static int
hex_unit(const char *text, size_t length)
{
	int			unit = 0;
	int			i;

	if (length < 4)
		return -1;
	for (i = 0; i < 4; i++)
	{
		int			digit = hex_digit(text[i]);

		if (digit < 0)
			return -1;
		unit = unit * 16 + digit;
	}
	return unit;
}

/* a string, r->at behind its opening quote */
static bool
read_string(Reader *r)
{
	if (!add_node(r, JSON_STRING, r->at))
		return false;
	for (; r->at < r->length; r->at++)
	{
		unsigned char c = (unsigned char) r->text[r->at];

		if (c == '"')
		{
			last_node(r)->end = r->at++;
			return true;
		}
		if (c < 0x20)
			return false;
		if (c != '\\')
			continue;
		last_node(r)->escaped = true;
		if (++r->at >= r->length)
			return false;
		if (r->text[r->at] == 'u')
		{
			if (hex_unit(r->text + r->at + 1, r->length - r->at - 1) < 0)
				return false;
			r->at += 4;
		}
		else if (r->text[r->at] == '\0' || !strchr("\"\\/bfnrt", r->text[r->at]))
			return false;
	}
	return false;
}

static size_t
number_end(const char *text, size_t length)
{
	size_t		at = 0;

	if (at < length && text[at] == '-')
		at++;
	if (at >= length || !is_digit(text[at]))
		return 0;
	if (text[at] == '0')
		at++;
	else
		while (at < length && is_digit(text[at]))
			at++;
	if (at < length && text[at] == '.')
	{
		at++;
		if (at >= length || !is_digit(text[at]))
			return 0;
		while (at < length && is_digit(text[at]))
			at++;
	}
	if (at < length && (text[at] == 'e' || text[at] == 'E'))
	{
		at++;
		if (at < length && (text[at] == '+' || text[at] == '-'))
			at++;
		if (at >= length || !is_digit(text[at]))
			return 0;
		while (at < length && is_digit(text[at]))
			at++;
	}
	return at;
}

static bool
read_word(Reader *r, const char *word, JsonKind kind)
{
	size_t		length = strlen(word);

	if (r->length - r->at < length || memcmp(r->text + r->at, word, length) != 0)
		return false;
	if (!add_node(r, kind, r->at))
		return false;
	r->at += length;
	last_node(r)->end = r->at;
	return true;
}

static bool
read_number(Reader *r)
{
	size_t		length = number_end(r->text + r->at, r->length - r->at);

	if (length == 0 || !add_node(r, JSON_NUMBER, r->at))
		return false;
	r->at += length;
	last_node(r)->end = r->at;
	return true;
}

static bool
grow_open(Reader *r)
{
	size_t	   *before = r->open;

	if (before != r->few)
		return grow((void **) &r->open, &r->open_capacity, sizeof(size_t));
	r->open = NULL;
	if (!grow((void **) &r->open, &r->open_capacity, sizeof(size_t)))
	{
		r->open = before;
		return false;
	}
	memcpy(r->open, before, r->depth * sizeof(size_t));
	return true;
}

static bool
open_container(Reader *r, JsonKind kind)
{
	if (r->depth == r->open_capacity && !grow_open(r))
	{
		r->json->no_memory = true;
		return false;
	}
	if (!add_node(r, kind, r->at))
		return false;
	r->open[r->depth++] = r->json->count - 1;
	r->at++;
	return true;
}

static bool
close_container(Reader *r)
{
	JsonNode   *node = &r->json->nodes[r->open[--r->depth]];

	node->end = ++r->at;
	node->next = r->json->count;
	return true;
}

/* One value, of a container only its beginning. */
static bool
read_value(Reader *r)
{
	skip_space(r);
	if (r->at >= r->length)
		return false;
	switch (r->text[r->at])
	{
		case '{':
			return open_container(r, JSON_OBJECT);
		case '[':
			return open_container(r, JSON_ARRAY);
		case '"':
			r->at++;
			return read_string(r);
		case 't':
			return read_word(r, "true", JSON_TRUE);
		case 'f':
			return read_word(r, "false", JSON_FALSE);
		case 'n':
			return read_word(r, "null", JSON_NULL);
		default:
			return read_number(r);
	}
}

/* A member's name and its colon. */
static bool
read_name(Reader *r)
{
	skip_space(r);
	if (r->at >= r->length || r->text[r->at] != '"')
		return false;
	r->at++;
	if (!read_string(r))
		return false;
	skip_space(r);
	if (r->at >= r->length || r->text[r->at] != ':')
		return false;
	r->at++;
	return true;
}

/*
 * Without recursion: a json column may be nested more deeply than a thread's
 * stack is.
 */
static bool
read_document(Reader *r)
{
	size_t		before = 0;

	if (!read_value(r))
		return false;
	while (r->depth > 0)
	{
		JsonNode   *top = &r->json->nodes[r->open[r->depth - 1]];
		char		end = top->kind == JSON_OBJECT ? '}' : ']';
		bool		is_object = top->kind == JSON_OBJECT;
		bool		is_empty = r->json->count == r->open[r->depth - 1] + 1;

		skip_space(r);
		if (r->at >= r->length)
			return false;
		if (r->text[r->at] == end)
		{
			close_container(r);
			continue;
		}
		if (!is_empty)
		{
			if (r->text[r->at] != ',')
				return false;
			r->at++;
		}
		before = r->at;
		if (is_object && !read_name(r))
			return false;
		if (!read_value(r) || r->at == before)
			return false;
	}
	skip_space(r);
	return r->at == r->length;
}

bool
json_parse_again(Json *json, const char *text, size_t length)
{
	Reader		r;
	bool		good;

	r.json = json;
	r.text = text;
	r.length = length;
	r.at = 0;
	r.open = r.few;
	r.depth = 0;
	r.open_capacity = sizeof(r.few) / sizeof(*r.few);
	json->text = text;
	json->count = 0;
	json->no_memory = false;
	good = read_document(&r) && utf8_is_valid(text, length);
	if (r.open != r.few)
		sqlite3_free(r.open);
	return good;
}

bool
json_parse(Json *json, const char *text, size_t length)
{
	memset(json, 0, sizeof(*json));
	return json_parse_again(json, text, length);
}

void
json_free(Json *json)
{
	sqlite3_free(json->nodes);
	memset(json, 0, sizeof(*json));
}

static const JsonNode *
node_before(const Json *json, size_t at, size_t end)
{
	return at < end ? &json->nodes[at] : NULL;
}

static size_t
index_of(const Json *json, const JsonNode *node)
{
	return (size_t) (node - json->nodes);
}

static const JsonNode *
first_within(const Json *json, const JsonNode *container, JsonKind kind)
{
	if (container == NULL || container->kind != kind)
		return NULL;
	return node_before(json, index_of(json, container) + 1, container->next);
}

const JsonNode *
json_first(const Json *json, const JsonNode *array)
{
	return first_within(json, array, JSON_ARRAY);
}

const JsonNode *
json_next(const Json *json, const JsonNode *array, const JsonNode *element)
{
	return node_before(json, element->next, array->next);
}

const JsonNode *
json_first_name(const Json *json, const JsonNode *object)
{
	return first_within(json, object, JSON_OBJECT);
}

const JsonNode *
json_next_name(const Json *json, const JsonNode *object, const JsonNode *name)
{
	return node_before(json, json->nodes[name->next].next, object->next);
}

/*
 * A look that failed for want of memory must not pass for "there is none": who
 * has the document asks at the end.
 */
static void
note_no_memory(const Json *json)
{
	((Json *) json)->no_memory = true;
}

bool
json_is(const Json *json, const JsonNode *node, const char *text)
{
	size_t		length = strlen(text);
	Buffer		plain = {0};
	bool		same;

	if (node == NULL || node->kind != JSON_STRING)
		return false;
	if (!node->escaped)
		return node->end - node->start == length &&
			memcmp(json->text + node->start, text, length) == 0;
	json_decode(json, node, &plain);
	if (plain.failed)
		note_no_memory(json);
	same = !plain.failed && plain.length == length &&
		memcmp(plain.data ? plain.data : "", text, length) == 0;
	buffer_free(&plain);
	return same;
}

bool
json_is_true(const JsonNode *node)
{
	return node != NULL && node->kind == JSON_TRUE;
}

const JsonNode *
json_member(const Json *json, const JsonNode *object, const char *name)
{
	const JsonNode *at;

	for (at = json_first_name(json, object); at; at = json_next_name(json, object, at))
	{
		if (json_is(json, at, name))
			return at + 1;
	}
	return NULL;
}

size_t
json_count(const Json *json, const JsonNode *container)
{
	const JsonNode *at;
	size_t		n = 0;

	for (at = json_first(json, container); at; at = json_next(json, container, at))
		n++;
	for (at = json_first_name(json, container); at; at = json_next_name(json, container, at))
		n++;
	return n;
}

static void
append_code_point(Buffer *out, unsigned int c)
{
	if (c < 0x80)
		buffer_char(out, (char) c);
	else if (c < 0x800)
	{
		buffer_char(out, (char) (0xc0 | c >> 6));
		buffer_char(out, (char) (0x80 | (c & 0x3f)));
	}
	else if (c < 0x10000)
	{
		buffer_char(out, (char) (0xe0 | c >> 12));
		buffer_char(out, (char) (0x80 | (c >> 6 & 0x3f)));
		buffer_char(out, (char) (0x80 | (c & 0x3f)));
	}
	else
	{
		buffer_char(out, (char) (0xf0 | c >> 18));
		buffer_char(out, (char) (0x80 | (c >> 12 & 0x3f)));
		buffer_char(out, (char) (0x80 | (c >> 6 & 0x3f)));
		buffer_char(out, (char) (0x80 | (c & 0x3f)));
	}
}

/* what \uXXXX at this place stands for; *at moves to its last digit */
static unsigned int
escaped_code_point(const char *text, size_t *at, size_t end)
{
	unsigned int high = (unsigned int) hex_unit(text + *at + 1, end - *at - 1);
	int			low;

	*at += 4;
	if (high < 0xd800 || high > 0xdfff)
		return high;
	if (high < 0xdc00 && end - *at > 6 && text[*at + 1] == '\\' &&
		text[*at + 2] == 'u')
	{
		low = hex_unit(text + *at + 3, end - *at - 3);
		if (low >= 0xdc00 && low <= 0xdfff)
		{
			*at += 6;
			return 0x10000 + ((high - 0xd800) << 10) + ((unsigned int) low - 0xdc00);
		}
	}
	return 0xfffd;				/* half a pair is no character */
}

void
json_decode(const Json *json, const JsonNode *node, Buffer *out)
{
	const char *text = json->text;
	size_t		at;

	if (!node->escaped)
	{
		buffer_append(out, text + node->start, node->end - node->start);
		return;
	}
	for (at = node->start; at < node->end; at++)
	{
		if (text[at] != '\\')
		{
			buffer_char(out, text[at]);
			continue;
		}
		switch (text[++at])
		{
			case 'b':
				buffer_char(out, '\b');
				break;
			case 'f':
				buffer_char(out, '\f');
				break;
			case 'n':
				buffer_char(out, '\n');
				break;
			case 'r':
				buffer_char(out, '\r');
				break;
			case 't':
				buffer_char(out, '\t');
				break;
			case 'u':
				append_code_point(out, escaped_code_point(text, &at, node->end));
				break;
			default:
				buffer_char(out, text[at]);
		}
	}
}

char *
json_text(const Json *json, const JsonNode *node)
{
	Buffer		out = {0};

	if (node == NULL || node->kind == JSON_NULL)
		return NULL;
	if (node->kind == JSON_STRING)
		json_decode(json, node, &out);
	else
		json_raw(json, node, &out);
	if (out.data == NULL)
		buffer_text(&out, "");
	if (out.failed)
	{
		note_no_memory(json);
		buffer_free(&out);
	}
	return out.data;
}

bool
json_time(const Json *json, const JsonNode *node, int64_t *microseconds)
{
	char	   *text = json_text(json, node);
	bool		good = text && time_parse(text, strlen(text), microseconds);

	sqlite3_free(text);
	return good;
}

void
json_raw(const Json *json, const JsonNode *node, Buffer *out)
{
	size_t		quote = node->kind == JSON_STRING ? 1 : 0;

	buffer_append(out, json->text + node->start - quote,
				  node->end - node->start + 2 * quote);
}

void
json_string(Buffer *out, const char *text, size_t length)
{
	size_t		run = 0;
	size_t		at;

	buffer_char(out, '"');
	for (at = 0; at < length; at++)
	{
		unsigned char c = (unsigned char) text[at];

		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		buffer_append(out, text + run, at - run);
		run = at + 1;
		if (c == '"' || c == '\\')
		{
			buffer_char(out, '\\');
			buffer_char(out, (char) c);
		}
		else
			buffer_format(out, "\\u%04x", c);
	}
	buffer_append(out, text + run, length - run);
	buffer_char(out, '"');
}

bool
json_is_number(const char *text, size_t length)
{
	return length > 0 && number_end(text, length) == length;
}

bool
json_is_valid(const char *text, size_t length)
{
	Json		json;
	bool		valid = json_parse(&json, text, length);

	json_free(&json);
	return valid;
}

/* length of the well formed sequence at the beginning, 0 if there is none */
static size_t
utf8_sequence(const unsigned char *s, size_t length)
{
	size_t		n,
				i;

	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		n = 2;
	else if (s[0] >= 0xe0 && s[0] <= 0xef)
		n = 3;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		n = 4;
	else
		return 0;
	if (length < n)
		return 0;
	for (i = 1; i < n; i++)
	{
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	}
	/* longer than need be, halves of surrogate pairs, beyond the last plane */
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
		(s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

bool
utf8_is_valid(const char *text, size_t length)
{
	const unsigned char *s = (const unsigned char *) text;
	size_t		at = 0;

	while (at < length)
	{
		size_t		n = utf8_sequence(s + at, length - at);

		if (n == 0)
			return false;
		at += n;
	}
	return true;
}
