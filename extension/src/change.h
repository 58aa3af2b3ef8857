/*-------------------------------------------------------------------------
 *
 * change.h
 *	  A pushed change: what was sent, and what became of it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_CHANGE_H
#define TIDE_CHANGE_H

#include "nodes/bitmapset.h"
#include "utils/jsonb.h"
#include "access.h"
#include "decide.h"
#include "keymap.h"
#include "registry.h"
#include "wire_json.h"

/* a table that a push writes to */
typedef struct PushTable
{
	TrackedTable *t;
	TableScopes scopes;
	int			order;			/* parents before children */
	int			nchanges;		/* of the push */
	bool		returns_rows;	/* its writes return the rows as they stand */
} PushTable;

typedef struct Failure
{
	const char *code;
	const char *message;
	const char *constraint;		/* NULL: none */
	const char *column;			/* NULL: none */
} Failure;

typedef struct Change
{
	int			index;			/* in the request */

	/* as sent; JSON texts where it says so */
	JsonSpan	text;			/* of all of it, while it is not read; at NULL */
	const char *entity_type;
	const char *change_id;		/* JSON, NULL: none */
	const char *entity_id;		/* JSON */
	bool		is_map_form;
	bool		delete_action;
	JsonbContainer *data;		/* NULL: none */
	JsonbValue *key_value;		/* entityId; NULL: in data */
	JsonbValue *stamp_value;	/* the item's own lastModifiedAt */
	bool		has_given_stamp;	/* tide.upsert: the argument's */
	TimestampTz given_stamp;
	JsonbValue *created_value;	/* the envelope's createdAt */
	JsonbValue *base_value;
	JsonbValue *changed_value;	/* changedFields, or _changed of a row */
	const char *client_id;		/* the item's, NULL: none */

	/* converted */
	bool		converted;
	PushTable  *table;
	Datum	   *key;			/* by position in t->keys */
	char	   *key_text;
	bool		is_delete;
	Bitmapset  *sent;			/* attnums to write, key columns left out */
	Bitmapset  *changed;		/* those of them that an update writes */
	Datum	   *values;			/* by attnum - 1 */
	bool	   *nulls;
	bool		has_deleted_at;
	TimestampTz deleted_at;		/* if a delete names the time */
	Incoming	incoming;
	int			round;			/* how many earlier changes of this push are
								 * to the same row */

	/* what is there */
	bool		row_exists;
	bool		row_is_same;	/* has what the change would store */
	bool		row_is_deleted; /* softly */
	Stamp		row_stamp;		/* of the row, or of the tombstone */
	char	   *row_scope;
	bool		overrules;		/* the change stands against what is there */
	char	   *before;			/* JSON of the row, where that is so, or the
								 * resolver is asked */
	bool		asks;
	struct Merge *merge;		/* under the policy "merge"; NULL before the
								 * row is read */
	Bitmapset  *writes;			/* what is written, where that is not just
								 * what was sent: NULL if it is */
	Datum	   *new_values;		/* likewise, by attnum - 1; NULL */
	bool	   *new_nulls;
	int			place;			/* in the list that is being sorted out */
	bool		written;		/* by the last statement */
	bool		had_row;		/* as the attempt before found it */
	Stamp		had_stamp;
	Jsonb	   *had_clocks;

	/* what became of it */
	Verdict		verdict;
	Stamp		stored;
	const char *note;
	Failure		failure;
	struct PullItem *entity;	/* the row as it now stands; NULL if failed */
} Change;

typedef struct Push
{
	MemoryContext context;
	MemoryContext scratch;		/* of the value being read */
	Access		access;
	const char *client_id;		/* of the body, or of the claims */
	bool		restoring;		/* tide.restore: stamps in the data are old */
	bool		sql_names;		/* tide.upsert: names as in SQL, too */
	List	   *tables;			/* of PushTable */
	Change	   *changes;
	int			nchanges;
	int			nconverted;
	const char *cursor;			/* of the body, NULL: none */
	const char *batch_id;		/* NULL: none */
	bytea	   *digest;			/* of what was sent; NULL: no batch id */
	bool		atomic;
	bool		has_horizon;	/* and no cursor says that the client is not
								 * from before it */
	TimestampTz horizon;
	const char *converting;		/* the member being read, on the wire */
} Push;

/* push_body.c */
extern void push_read_body(Push *push, Jsonb *body);
extern void push_read_text(Push *push, const char *body, size_t len);
extern Change *push_new_change(Push *push);

/* NULL if there is none, or null */
extern JsonbValue *json_member(JsonbContainer *object, const char *name);

/* v may be NULL */
extern bool json_is_object(JsonbValue *v);
extern bool json_is_array(JsonbValue *v);

/* of a string; of any value as JSON; of an id, whose number becomes a string */
extern char *json_string(JsonbValue *v);
extern char *json_text(JsonbValue *v);
extern char *json_id(JsonbValue *v);

/* text that is JSON for sure */
extern Jsonb *json_parse(const char *text);

/* change.c */
extern void push_find_tables(Push *push);
extern void change_convert(Push *push, Change *c);
extern Bitmapset *change_read_columns(Push *push, TrackedTable *t, JsonbContainer *data,
									  Datum *values, bool *nulls);
extern PushTable *push_table(Push *push, Oid relid);
extern void change_fail(Change *c, ErrorData *error);
extern void change_fail_as(Change *c, const char *code, const char *message);

/* apply.c */
extern void apply_group(Push *push, PushTable *table, List *changes, bool is_delete);

/* conflicts.c */
extern void conflicts_load_known(Push *push, PushTable *table, List *changes);
extern void conflicts_keep_rows(Push *push, PushTable *table, List *changes);
extern void conflicts_record(Push *push);
extern bool conflict_is_visible(const Access *access, Oid relid, const char *scope,
								const char *subject);
extern char *change_json(Change *c, Bitmapset *columns, bool with_stamp);

/* resolve.c */
extern void resolver_ask(Push *push, PushTable *table, List *changes);

/* push_reply.c */
extern char *push_reply(Push *push);
extern void push_read_entities(Push *push);
extern const char *verdict_name(Verdict verdict);
extern char *push_entity(Push *push, Change *c);

#endif							/* TIDE_CHANGE_H */
