/*-------------------------------------------------------------------------
 *
 * cursor.c
 *	  The text form of a cursor, and the sets it is made of.
 *
 * A cursor is opaque to clients: base64url without padding over
 *
 *	  version		1 byte, such that the text begins with a letter: that is
 *					what tells a cursor from a time
 *	  flags			1 byte: the phase, and which optional fields follow
 *	  history		8 bytes
 *	  timeline, position
 *	  generation	8 bytes, if the flag says so
 *	  seen, covered scopes, covered types
 *	  held scopes	if the flag says so
 *	  refreshed types, if the flag says so
 *	  in the log:	target, xid, seq, index + 1
 *	  in the tables: wanted scopes, wanted types, done types, reg, scope?, key?
 *
 * Numbers are varints (seven bits a byte, low bits first), ascending numbers
 * are stored as differences, and a canonical uuid takes 16 bytes.  There is
 * exactly one encoding of each cursor, and decoding accepts no other: clients
 * may compare cursors as text, and a cursor that was tampered with is likelier
 * to be noticed.
 *
 * Nothing here knows of tables, SPI or the clock, so that all of it can be
 * tested alone; see test/unit.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "cursor/cursor.h"
#include "util/errors.h"

/* "t" in base64 is 45; the two low bits are free for later versions */
#define CURSOR_VERSION		((45 << 2) | 1)

#define FLAG_PHASE			0x03
#define FLAG_GENERATION		0x04
#define FLAG_HORIZON		0x08	/* reserved, not written by this version */
#define FLAG_SCOPE			0x10
#define FLAG_KEY			0x20
#define FLAG_HELD			0x40
#define FLAG_REFRESHED		0x80
#define FLAGS_KNOWN			(FLAG_PHASE | FLAG_GENERATION | \
							 FLAG_SCOPE | FLAG_KEY | FLAG_HELD | FLAG_REFRESHED)

/* what keeps a forged cursor from making us allocate without bounds */
#define MAX_TEXT			(128 * 1024)
#define MAX_TYPES			10000

#define UUID_TEXT			36
#define UUID_BYTES			16

static const char base64url[] =
"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

typedef struct Writer
{
	uint8	   *data;
	size_t		used;
	size_t		room;
} Writer;

typedef struct Reader
{
	const uint8 *at;
	const uint8 *end;
} Reader;

static void
malformed(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_TIDE_MALFORMED_CURSOR),
			 errmsg("malformed cursor"),
			 errhint("Pass a cursor exactly as the last pull returned it, or none to start over.")));
}

/*
 * Writing
 */

static void
put_bytes(Writer *w, const void *data, size_t n)
{
	if (w->used + n > w->room)
	{
		w->room = Max(w->room * 2, w->used + n);
		w->data = repalloc(w->data, w->room);
	}
	memcpy(w->data + w->used, data, n);
	w->used += n;
}

static void
put_byte(Writer *w, uint8 byte)
{
	put_bytes(w, &byte, 1);
}

static void
put_varint(Writer *w, uint64 v)
{
	while (v >= 0x80)
	{
		put_byte(w, (uint8) (v | 0x80));
		v >>= 7;
	}
	put_byte(w, (uint8) v);
}

static void
put_fixed64(Writer *w, uint64 v)
{
	int			shift;

	for (shift = 56; shift >= 0; shift -= 8)
		put_byte(w, (uint8) (v >> shift));
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

/* only the canonical, lower-case form: anything else must keep its spelling */
static bool
parse_uuid(const char *text, size_t len, uint8 *bytes)
{
	size_t		i;
	int			n = 0;

	if (len != UUID_TEXT)
		return false;
	for (i = 0; i < UUID_TEXT; i++)
	{
		int			high;
		int			low;

		if (i == 8 || i == 13 || i == 18 || i == 23)
		{
			if (text[i] != '-')
				return false;
			continue;
		}
		high = hex_digit(text[i]);
		low = hex_digit(text[++i]);
		if (high < 0 || low < 0)
			return false;
		bytes[n++] = (uint8) (high << 4 | low);
	}
	return true;
}

/* 0 and 16 bytes for a uuid, else length + 1 and the bytes */
static void
put_string(Writer *w, const char *text)
{
	size_t		len = strlen(text);
	uint8		bytes[UUID_BYTES];

	if (parse_uuid(text, len, bytes))
	{
		put_varint(w, 0);
		put_bytes(w, bytes, UUID_BYTES);
	}
	else
	{
		put_varint(w, (uint64) len + 1);
		put_bytes(w, text, len);
	}
}

static void
put_snapshot(Writer *w, const TideSnapshot *snapshot)
{
	uint64		next = snapshot->xmin;
	int			i;

	Assert(snapshot->xmin <= snapshot->xmax);
	put_varint(w, snapshot->xmin);
	put_varint(w, snapshot->xmax - snapshot->xmin);
	put_varint(w, (uint64) snapshot->nxip);
	for (i = 0; i < snapshot->nxip; i++)
	{
		Assert(snapshot->xip[i] >= next && snapshot->xip[i] < snapshot->xmax);
		put_varint(w, snapshot->xip[i] - next);
		next = snapshot->xip[i] + 1;
	}
}

static void
put_scopes(Writer *w, const ScopeSet *set)
{
	int			i;

	if (set->all)
	{
		put_varint(w, 0);
		return;
	}
	if (set->n > CURSOR_MAX_SCOPES)
		ereport(ERROR,
				(errcode(ERRCODE_TIDE_TOO_MANY_SCOPES),
				 errmsg("too many scopes for a cursor"),
				 errdetail("There are %d, and a cursor holds at most %d.",
						   set->n, CURSOR_MAX_SCOPES),
				 errhint("Pull fewer scopes at a time, and keep a cursor for each set of them.")));
	put_varint(w, (uint64) set->n + 1);
	for (i = 0; i < set->n; i++)
	{
		Assert(i == 0 || strcmp(set->scopes[i - 1], set->scopes[i]) < 0);
		put_string(w, set->scopes[i]);
	}
}

/* runs of consecutive numbers: tables tracked one after the other are one */
static void
put_types(Writer *w, const TypeSet *set)
{
	int			nruns = 0;
	int64		next = 0;
	int			i;
	int			j;

	if (set->n > MAX_TYPES)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many entity types for a cursor"),
				 errdetail("There are %d, and a cursor holds at most %d.",
						   set->n, MAX_TYPES)));
	if (set->n > 0 && set->regs[0] < 0)
		elog(ERROR, "registration %d is negative", set->regs[0]);

	for (i = 0; i < set->n; i++)
	{
		Assert(i == 0 || set->regs[i - 1] < set->regs[i]);
		if (i == 0 || set->regs[i] != set->regs[i - 1] + 1)
			nruns++;
	}
	put_varint(w, (uint64) nruns);
	for (i = 0; i < set->n; i = j)
	{
		for (j = i + 1; j < set->n && set->regs[j] == set->regs[j - 1] + 1;)
			j++;
		put_varint(w, (uint64) (set->regs[i] - next));
		put_varint(w, (uint64) (j - i - 1));
		/* no run can begin right behind another: it would be one with it */
		next = (int64) set->regs[j - 1] + 2;
	}
}

static char *
to_text(const uint8 *data, size_t n)
{
	char	   *text = palloc(n / 3 * 4 + 5);
	char	   *to = text;
	size_t		i;

	for (i = 0; i < n; i += 3)
	{
		uint32		bits = (uint32) data[i] << 16;

		if (i + 1 < n)
			bits |= (uint32) data[i + 1] << 8;
		if (i + 2 < n)
			bits |= data[i + 2];
		*to++ = base64url[bits >> 18];
		*to++ = base64url[bits >> 12 & 63];
		if (i + 1 < n)
			*to++ = base64url[bits >> 6 & 63];
		if (i + 2 < n)
			*to++ = base64url[bits & 63];
	}
	*to = '\0';
	return text;
}

static uint8
cursor_flags(const Cursor *cursor)
{
	uint8		flags = (uint8) cursor->phase;

	if (cursor->generation != 0)
		flags |= FLAG_GENERATION;
	if (cursor->held_scopes.n > 0)
		flags |= FLAG_HELD;
	if (cursor->phase != CURSOR_AT_REST && cursor->refreshed.n > 0)
		flags |= FLAG_REFRESHED;
	if (cursor->phase == CURSOR_IN_TABLES)
	{
		if (cursor->scope != NULL)
			flags |= FLAG_SCOPE;
		if (cursor->key != NULL)
			flags |= FLAG_KEY;
	}
	return flags;
}

/* The fields of other phases than the cursor's own are not looked at. */
char *
cursor_encode(const Cursor *cursor)
{
	Writer		w;
	uint8		flags = cursor_flags(cursor);
	char	   *text;

	w.room = 128;
	w.used = 0;
	w.data = palloc(w.room);

	put_byte(&w, CURSOR_VERSION);
	put_byte(&w, flags);
	put_fixed64(&w, cursor->history);
	put_varint(&w, cursor->timeline);
	put_varint(&w, cursor->position);
	if (flags & FLAG_GENERATION)
		put_fixed64(&w, cursor->generation);
	put_snapshot(&w, &cursor->seen);
	put_scopes(&w, &cursor->scopes);
	put_types(&w, &cursor->types);
	if (flags & FLAG_HELD)
		put_scopes(&w, &cursor->held_scopes);
	if (flags & FLAG_REFRESHED)
		put_types(&w, &cursor->refreshed);

	if (cursor->phase == CURSOR_IN_LOG)
	{
		Assert(cursor->seq >= 0 && cursor->index >= -1);
		put_snapshot(&w, &cursor->target);
		put_varint(&w, cursor->xid);
		put_varint(&w, (uint64) cursor->seq);
		put_varint(&w, (uint64) ((int64) cursor->index + 1));
	}
	else if (cursor->phase == CURSOR_IN_TABLES)
	{
		Assert(cursor->reg >= 0);
		put_scopes(&w, &cursor->wanted_scopes);
		put_types(&w, &cursor->wanted_types);
		put_types(&w, &cursor->done_types);
		put_varint(&w, (uint64) cursor->reg);
		if (flags & FLAG_SCOPE)
			put_string(&w, cursor->scope);
		if (flags & FLAG_KEY)
			put_string(&w, cursor->key);
	}

	text = to_text(w.data, w.used);
	pfree(w.data);
	/* better now than a cursor that is refused when it comes back */
	if (strlen(text) > MAX_TEXT)
		ereport(ERROR,
				(errcode(ERRCODE_TIDE_TOO_MANY_SCOPES),
				 errmsg("cursor would be longer than %d bytes", MAX_TEXT),
				 errhint("Pull fewer scopes at a time.")));
	return text;
}

/*
 * Reading.  Each get_ function raises the error itself.
 */

static uint8
get_byte(Reader *r)
{
	if (r->at >= r->end)
		malformed();
	return *r->at++;
}

static const uint8 *
get_bytes(Reader *r, uint64 n)
{
	const uint8 *bytes = r->at;

	if (n > (uint64) (r->end - r->at))
		malformed();
	r->at += n;
	return bytes;
}

static uint64
get_fixed64(Reader *r)
{
	const uint8 *bytes = get_bytes(r, 8);
	uint64		v = 0;
	int			i;

	for (i = 0; i < 8; i++)
		v = v << 8 | bytes[i];
	return v;
}

static uint64
get_varint(Reader *r, uint64 max)
{
	uint64		v = 0;
	int			shift = 0;
	uint8		byte;

	for (;;)
	{
		byte = get_byte(r);
		/* the tenth byte has room for one bit, and an eleventh has none */
		if (shift == 63 && byte > 1)
			malformed();
		v |= (uint64) (byte & 0x7f) << shift;
		if ((byte & 0x80) == 0)
			break;
		shift += 7;
	}
	/* a last byte of nothing: longer than it need be */
	if (byte == 0 && shift > 0)
		malformed();
	if (v > max)
		malformed();
	return v;
}

/* a number of things that take at least one byte each */
static int
get_count(Reader *r, uint64 max)
{
	return (int) get_varint(r, Min(max, (uint64) (r->end - r->at)));
}

static char *
format_uuid(const uint8 *bytes)
{
	static const char hex[] = "0123456789abcdef";
	char	   *text = palloc(UUID_TEXT + 1);
	char	   *to = text;
	int			i;

	for (i = 0; i < UUID_BYTES; i++)
	{
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*to++ = '-';
		*to++ = hex[bytes[i] >> 4];
		*to++ = hex[bytes[i] & 15];
	}
	*to = '\0';
	return text;
}

static char *
get_string(Reader *r)
{
	uint64		tag = get_varint(r, MAX_TEXT);
	const uint8 *bytes;
	uint8		uuid[UUID_BYTES];
	size_t		len;
	char	   *text;

	if (tag == 0)
		return format_uuid(get_bytes(r, UUID_BYTES));

	len = (size_t) (tag - 1);
	bytes = get_bytes(r, len);
	text = palloc(len + 1);
	memcpy(text, bytes, len);
	text[len] = '\0';
	/* it sees to zero bytes too */
	if (!pg_verifymbstr(text, (int) len, true) || parse_uuid(text, len, uuid))
		malformed();
	return text;
}

static void
get_snapshot(Reader *r, TideSnapshot *snapshot)
{
	uint64		next;
	int			i;

	snapshot->xmin = get_varint(r, PG_UINT64_MAX);
	snapshot->xmax = snapshot->xmin +
		get_varint(r, PG_UINT64_MAX - snapshot->xmin);
	snapshot->nxip = get_count(r, PG_INT32_MAX);
	snapshot->xip = palloc(sizeof(uint64) * Max(snapshot->nxip, 1));
	next = snapshot->xmin;
	for (i = 0; i < snapshot->nxip; i++)
	{
		/* next <= xmax always, and there must be room below it */
		if (next == snapshot->xmax)
			malformed();
		next += get_varint(r, snapshot->xmax - next - 1);
		snapshot->xip[i] = next++;
	}
}

static void
get_scopes(Reader *r, ScopeSet *set)
{
	uint64		tag = get_varint(r, CURSOR_MAX_SCOPES + 1);
	int			i;

	set->all = (tag == 0);
	set->n = set->all ? 0 : (int) (tag - 1);
	if (set->n > r->end - r->at)
		malformed();
	set->scopes = palloc(sizeof(char *) * Max(set->n, 1));
	for (i = 0; i < set->n; i++)
	{
		set->scopes[i] = get_string(r);
		if (i > 0 && strcmp(set->scopes[i - 1], set->scopes[i]) >= 0)
			malformed();
	}
}

static void
get_types(Reader *r, TypeSet *set)
{
	int			nruns = get_count(r, MAX_TYPES);
	int			room = Max(nruns, 1);
	int64		next = 0;

	set->n = 0;
	set->regs = palloc(sizeof(int32) * room);
	while (nruns-- > 0)
	{
		int64		reg;
		int			length;
		int			i;

		if (next > PG_INT32_MAX)
			malformed();
		reg = next + (int64) get_varint(r, (uint64) (PG_INT32_MAX - next));
		length = 1 + (int) get_varint(r, (uint64) Min(MAX_TYPES - set->n - 1,
													  PG_INT32_MAX - reg));
		if (set->n + length + nruns > room)
		{
			room = set->n + length + nruns;
			set->regs = repalloc(set->regs, sizeof(int32) * room);
		}
		for (i = 0; i < length; i++)
			set->regs[set->n++] = (int32) (reg + i);
		next = reg + length + 1;
		/* the runs still to come hold at least one each */
		if (set->n + nruns > MAX_TYPES)
			malformed();
	}
}

static int
base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '-')
		return 62;
	if (c == '_')
		return 63;
	return -1;
}

static uint8 *
from_text(const char *text, size_t *n)
{
	size_t		len = strnlen(text, MAX_TEXT + 1);
	uint8	   *data;
	uint32		bits = 0;
	int			nbits = 0;
	size_t		i;

	if (len > MAX_TEXT || len % 4 == 1)
		malformed();
	data = palloc(len / 4 * 3 + 3);
	*n = 0;
	for (i = 0; i < len; i++)
	{
		int			value = base64_value(text[i]);

		if (value < 0)
			malformed();
		bits = bits << 6 | (uint32) value;
		nbits += 6;
		if (nbits >= 8)
		{
			nbits -= 8;
			data[(*n)++] = (uint8) (bits >> nbits);
			bits &= (1U << nbits) - 1;
		}
	}
	if (bits != 0)
		malformed();
	return data;
}

static void
get_place_in_log(Reader *r, Cursor *cursor)
{
	get_snapshot(r, &cursor->target);
	cursor->xid = get_varint(r, PG_UINT64_MAX);
	cursor->seq = (int64) get_varint(r, PG_INT64_MAX);
	cursor->index = (int32) ((int64) get_varint(r, (uint64) PG_INT32_MAX + 1) - 1);
}

static void
get_place_in_tables(Reader *r, uint8 flags, Cursor *cursor)
{
	get_scopes(r, &cursor->wanted_scopes);
	get_types(r, &cursor->wanted_types);
	get_types(r, &cursor->done_types);
	cursor->reg = (int32) get_varint(r, PG_INT32_MAX);
	if (flags & FLAG_SCOPE)
		cursor->scope = get_string(r);
	if (flags & FLAG_KEY)
		cursor->key = get_string(r);
}

/* The result and all it points to is palloc'd in the current context. */
Cursor *
cursor_decode(const char *text)
{
	Cursor	   *cursor = palloc0(sizeof(Cursor));
	Reader		r;
	uint8	   *data;
	size_t		n;
	uint8		flags;

	data = from_text(text, &n);
	r.at = data;
	r.end = data + n;

	if (get_byte(&r) != CURSOR_VERSION)
		malformed();
	flags = get_byte(&r);
	if ((flags & ~FLAGS_KNOWN) != 0 || (flags & FLAG_PHASE) > CURSOR_IN_TABLES)
		malformed();
	cursor->phase = (CursorPhase) (flags & FLAG_PHASE);
	if (cursor->phase != CURSOR_IN_TABLES && (flags & (FLAG_SCOPE | FLAG_KEY)))
		malformed();

	cursor->history = get_fixed64(&r);
	cursor->timeline = (uint32) get_varint(&r, PG_UINT32_MAX);
	cursor->position = get_varint(&r, PG_UINT64_MAX);
	if (flags & FLAG_GENERATION)
	{
		cursor->generation = get_fixed64(&r);
		if (cursor->generation == 0)
			malformed();
	}
	get_snapshot(&r, &cursor->seen);
	get_scopes(&r, &cursor->scopes);
	get_types(&r, &cursor->types);
	if (flags & FLAG_HELD)
	{
		get_scopes(&r, &cursor->held_scopes);
		if (cursor->held_scopes.n == 0)
			malformed();
	}
	if (flags & FLAG_REFRESHED)
	{
		get_types(&r, &cursor->refreshed);
		if (cursor->phase == CURSOR_AT_REST || cursor->refreshed.n == 0)
			malformed();
	}

	if (cursor->phase == CURSOR_IN_LOG)
		get_place_in_log(&r, cursor);
	else if (cursor->phase == CURSOR_IN_TABLES)
		get_place_in_tables(&r, flags, cursor);

	if (r.at != r.end)
		malformed();
	pfree(data);
	return cursor;
}

/*
 * Times begin with a digit or a sign.  Whatever begins with a letter is taken
 * for a cursor, so that a cut or mistyped one gets the error about cursors.
 */
bool
cursor_is_cursor(const char *text)
{
	return (text[0] >= 'A' && text[0] <= 'Z') ||
		(text[0] >= 'a' && text[0] <= 'z');
}

/*
 * Snapshots and sets
 */

static int
compare_xids(const void *a, const void *b)
{
	uint64		x = *(const uint64 *) a;
	uint64		y = *(const uint64 *) b;

	return (x > y) - (x < y);
}

static int
compare_regs(const void *a, const void *b)
{
	int32		x = *(const int32 *) a;
	int32		y = *(const int32 *) b;

	return (x > y) - (x < y);
}

static int
compare_scopes(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

bool
snapshot_shows(const TideSnapshot *snapshot, uint64 xid)
{
	if (xid < snapshot->xmin)
		return true;
	if (xid >= snapshot->xmax)
		return false;
	return snapshot->nxip == 0 ||
		bsearch(&xid, snapshot->xip, snapshot->nxip, sizeof(uint64),
				compare_xids) == NULL;
}

bool
scopes_contain(const ScopeSet *set, const char *scope)
{
	if (set->all)
		return true;
	return set->n > 0 &&
		bsearch(&scope, set->scopes, set->n, sizeof(char *),
				compare_scopes) != NULL;
}

bool
types_contain(const TypeSet *set, int32 reg)
{
	return set->n > 0 &&
		bsearch(&reg, set->regs, set->n, sizeof(int32), compare_regs) != NULL;
}

bool
scopes_equal(const ScopeSet *a, const ScopeSet *b)
{
	int			i;

	if (a->all || b->all)
		return a->all == b->all;
	if (a->n != b->n)
		return false;
	for (i = 0; i < a->n; i++)
	{
		if (strcmp(a->scopes[i], b->scopes[i]) != 0)
			return false;
	}
	return true;
}

bool
types_equal(const TypeSet *a, const TypeSet *b)
{
	return a->n == b->n &&
		(a->n == 0 || memcmp(a->regs, b->regs, sizeof(int32) * a->n) == 0);
}

void
scopes_normalise(ScopeSet *set)
{
	int			kept = 0;
	int			i;

	if (set->all)
		set->n = 0;
	if (set->n > 1)
		qsort(set->scopes, set->n, sizeof(char *), compare_scopes);
	for (i = 0; i < set->n; i++)
	{
		if (kept == 0 || strcmp(set->scopes[kept - 1], set->scopes[i]) != 0)
			set->scopes[kept++] = set->scopes[i];
	}
	set->n = kept;
}

void
types_normalise(TypeSet *set)
{
	int			kept = 0;
	int			i;

	if (set->n > 1)
		qsort(set->regs, set->n, sizeof(int32), compare_regs);
	for (i = 0; i < set->n; i++)
	{
		if (kept == 0 || set->regs[kept - 1] != set->regs[i])
			set->regs[kept++] = set->regs[i];
	}
	set->n = kept;
}
