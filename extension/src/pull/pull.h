/*-------------------------------------------------------------------------
 *
 * pull.h
 *	  One page of what changed for a caller.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_PULL_H
#define TIDE_PULL_H

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/jsonb.h"
#include "pull/page.h"

/*
 * A row may be larger than a page, and all rows since a time, or all keys, come in
 * one reply.  This is the most that they may take, in bytes, because it is more than
 * such a client can make use of.  A caller that allows larger pages allows as much for
 * rows.
 */
#define PULL_LARGEST (64 * 1024 * 1024)

/* where a client is: none of these if it is nowhere yet */
typedef struct Since
{
	bool		from_now;
	Cursor	   *cursor;			/* NULL: it has none */
	bool		by_time;
	TimestampTz time;
} Since;

/* asked.c: what is asked for */
extern void pull_choose_tables(Pull *pull, ArrayType *entity_types, ArrayType *refresh);

/* reply.c */
/* ,"member":["name",...]; the second only if there is a name */
extern void pull_append_array(StringInfo buf, const char *member, List *names);
extern void pull_append_names(StringInfo buf, const char *member, List *names);
extern TimestampTz pull_read(FunctionCallInfo fcinfo, Pull *pull);
extern List *pull_reset_types(Pull *pull);
extern bool pull_tells_to_drop(const Pull *pull);
extern bool pull_has_news(const Pull *pull);
extern Datum pull_text_in(MemoryContext context, const char *string);
extern void pull_begin_text(StringInfo buf, MemoryContext context, int64 size);
extern Datum pull_end_text(StringInfo buf);

/* interest.c */
extern char *pull_interest(Pull *pull);

/*
 * touch.c: a key from JSON, as text; must run between wire_begin() and
 * wire_end()
 */
extern char *pull_read_key(TrackedTable *t, JsonbValue *v);

/* write.c */
extern void pull_find_tombstones(Pull *pull, List *items);
extern void pull_write(Pull *pull, TimestampTz now);
extern bool pull_append_row(Pull *pull, StringInfo buf, PullItem *item, int64 before);

/* pull.c */
extern void pull_page(Pull *pull, const char *since, ArrayType *scopes,
					  ArrayType *entity_types, int max_rows, ArrayType *refresh);
extern void pull_read_since(const char *text, Since *since);
extern void pull_enter(Pull *pull, const Since *since);
extern void pull_require_covered(Pull *pull, const Cursor *cursor);
extern void pull_open(Pull *pull, ArrayType *scopes, ArrayType *entity_types,
					  ArrayType *refresh);
extern void pull_begin_at_cursor(Pull *pull, Cursor *cursor);
extern void pull_stamp_head(Pull *pull);
extern void pull_at_rest(Pull *pull);
extern const char *pull_last_cursor(Pull *pull);

/* cursors of up to this age, in microseconds, may be given back as they came */
extern int64 pull_old_after(void);
extern void pull_finish(Pull *pull);

#endif							/* TIDE_PULL_H */
