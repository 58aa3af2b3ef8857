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
#include "capture/capture.h"
#include "log/changelog.h"
#include "read/access.h"
#include "table/registry.h"
#include "util/json.h"
#include "util/json_scan.h"
#include "util/keymap.h"
#include "version/decide.h"

/* a table that a push writes to */
typedef struct PushTable
{
	TrackedTable *t;
	TableScopes scopes;
	struct PullTable *rows;		/* of those that its writes return */
	bool		has_rules;		/* so that nothing can be pushed */
	int			order;			/* parents before children */
	int			nchanges;		/* how many changes of the push are to it */
	bool	   *mostly_new;		/* the rows that this session pushed last were
								 * not there yet; kept for the next push */
	bool		returns_rows;	/* its writes return the rows as they stand */
	Bitmapset  *probed;			/* attnums that the last probe read */
	struct AnyColumns *any_columns; /* see batch_columns.c; NULL: not known
									 * yet */
} PushTable;

typedef struct Failure
{
	const char *code;
	const char *message;
	const char *constraint;		/* NULL: none */
	const char *column;			/* NULL: none */
} Failure;

/* A change as the client sent it. */
typedef struct Sent
{
	/* a "JSON" below is a text in JSON */
	JsonSpan	text;			/* the whole change, while it is not read yet;
								 * else at is NULL */
	const char *entity_type;
	const char *change_id;		/* JSON, NULL: none */
	const char *entity_id;		/* JSON */
	bool		is_map_form;
	bool		delete_action;
	JsonbContainer *data;		/* NULL: none */
	JsonbValue *key;			/* entityId; NULL: in data */
	JsonbValue *stamp;			/* the item's own lastModifiedAt */
	bool		has_given_stamp;	/* the stamp is an argument, of
									 * tide.upsert */
	TimestampTz given_stamp;
	JsonbValue *created;		/* the envelope's createdAt */
	JsonbValue *base;			/* null names the version without a stamp */
	JsonbValue *changed;		/* changedFields, or _changed of a row */
	const char *client_id;		/* the item's, NULL: none */
} Sent;

/* the same as values of the table's types */
typedef struct Typed
{
	bool		done;			/* all of it could be read */
	Datum	   *key;			/* by position in t->keys */
	char	   *key_text;
	bool		is_delete;
	Bitmapset  *columns;		/* attnums of sent columns without the key */
	Bitmapset  *changed;		/* those of "columns" that an update writes */
	Bitmapset  *inserted;		/* the columns that a new row gets: "columns",
								 * and the scope where the caller has just one */
	Datum	   *values;			/* by attnum - 1 */
	bool	   *nulls;
	bool		has_deleted_at;
	TimestampTz deleted_at;		/* if a delete names the time */
	Incoming	incoming;
	bool		in_seconds;		/* its stamp looks like a number of seconds */
	bool		has_place;		/* its stamp could be read */
	int			round;			/* how many earlier changes of this push are
								 * to the same row */
	struct Change *earlier;		/* the last one of these, or an earlier one
								 * that could not be read; NULL: none */
} Typed;

/* The row, or its tombstone.  An attempt begins with {0}. */
typedef struct Found
{
	bool		exists;			/* the row exists */
	bool		same;			/* the row already has what the change would
								 * store */
	bool		deleted;		/* the row is softly deleted */
	Stamp		stamp;			/* of the row, or of the tombstone */
	char	   *scope;			/* likewise; NULL: none */
	char	   *before;			/* JSON of the row, if the change overrules it
								 * or the resolver is asked */
	struct Merge *merge;		/* under the policy "merge" */
	Bitmapset  *differs;		/* under the policy "merge": changed columns
								 * that have another value */
	RaisedStamp *raised;		/* versions of the change's own client whose
								 * stamp was raised */
	int			nraised;
	struct Tombstone *tombstone;	/* of an absent row, the tombstone that
									 * decides */
} Found;

/* what becomes of the change.  An attempt begins with {0}. */
typedef struct Outcome
{
	Verdict		verdict;
	Stamp		stored;
	const char *note;
	bool		overrules;		/* it stands against a version that had a
								 * claim to stand, see Decision */
	bool		asks;			/* the resolver decides */
	TimestampTz known_as;		/* the time by which its sender knows the
								 * version */
	bool		replaces_twin;	/* the version that it replaces was sent with
								 * the same stamp */
	Bitmapset  *columns;		/* the columns that are written; NULL: those
								 * that were sent */
	Datum	   *values;			/* likewise the values, by attnum - 1; NULL:
								 * those that were sent */
	bool	   *nulls;
	bool		written;		/* by the last statement */
	char	   *scope;			/* of a row that it inserted */
	Failure		failure;
	struct PullItem *entity;	/* the row as it now stands; NULL if failed */
} Outcome;

typedef struct Change
{
	int			index;			/* in the request */
	PushTable  *table;			/* NULL: not known yet, or unknown */
	Sent		sent;
	Typed		typed;
	Found		found;
	Found		found_before;	/* what the attempt before found */
	char	   *scope_to_be;	/* the scope that an insert would give the
								 * row, if an attempt before has found it out;
								 * NULL: not known */
	Outcome		outcome;
	int			place;			/* in the list that tied_together() sorts */
} Change;

typedef struct Push
{
	MemoryContext context;
	MemoryContext scratch;		/* of the value that is being read */
	Access		access;
	const char *client_id;		/* of the body, or of the claims */
	bool		is_acked;		/* its reply has an ack */
	bool		is_grouped;		/* it shares its transaction, see group.c */
	LogOrigin	origin;			/* of what it stores; see push_origin() */
	bool		restoring;		/* tide.restore: stamps in the data are old */
	List	   *gone;			/* likewise: names of columns that are no more */
	bool		sql_names;		/* tide.upsert: names of SQL are taken, too */
	List	   *tables;			/* of PushTable */
	Change	   *changes;
	int			nchanges;
	int			nconverted;
	const char *cursor;			/* of the body, NULL: none */
	const char *batch_id;		/* NULL: none */
	bytea	   *digest;			/* of what was sent; NULL: no batch id */
	bool		atomic;
	bool		has_horizon;	/* deletes may be forgotten, and no cursor
								 * says that the client has seen them */
	TimestampTz horizon;
	bool		is_converting;	/* changes are being read, not carried out */
	const char *converting;		/* the member being read, on the wire */
	bool		keeps_rows;		/* triggers may change rows that the push
								 * stored */
	KeyMap	   *rows;			/* PushedRow by table and key, of these rows */
	KeyMap	   *raised;			/* likewise SentRecord, of changes whose stamp
								 * was raised */
	PushWrite	write;			/* what the running statement tells the
								 * triggers */
	bool		has_deferrable; /* the database has deferrable constraints */
	int			nfollowers;		/* followers of failed changes that were
								 * tried; see units.c */
	List	   *pending_before; /* Oids of tables in which the caller's own
								 * transaction has violations pending */
	Change	   *stopped_at;		/* The change at whose row the last statement
								 * failed, if that was an INSERT; NULL: not
								 * known.  The rows before it were good, as
								 * far as each can tell by itself. */
} Push;

/* body.c */
extern void push_read_body(Push *push, Jsonb *body);
extern void push_read_text(Push *push, const char *body, size_t len);
extern Change *push_new_change(Push *push);
extern const LogOrigin *push_origin(Push *push);

/* tables.c */
extern void push_find_tables(Push *push);
extern void push_order_tables(Push *push);
extern PushTable *push_table(Push *push, Oid relid);

/* change.c */
extern void change_convert(Push *push, Change *c);
extern Bitmapset *change_read_columns(Push *push, TrackedTable *t, JsonbContainer *data,
									  Datum *values, bool *nulls);

/* failure.c */
extern bool change_may_lack_scope(Change *c);
extern const char *change_scope_missing(Change *c);
extern bool change_is_to_blame(Push *push, const ErrorData *error);
extern void change_fail(Change *c, ErrorData *error);
extern void change_fail_with(Change *c, Change *earlier);
extern void change_fail_as(Change *c, const char *code, const char *message);

/* apply.c */
extern void apply_group(Push *push, PushTable *table, List *changes, bool is_delete);

/* conflicts.c */
extern void conflicts_keep_rows(Push *push, PushTable *table, List *changes);
extern void conflicts_record(Push *push);
extern void conflicts_send_winners(Push *push);
extern bool conflict_is_visible(const Access *access, Oid relid, const char *scope,
								const char *subject);
extern char *change_json(Change *c, Bitmapset *columns, bool with_stamp);

/* resolve.c */
extern void resolver_ask(Push *push, PushTable *table, List *changes);

/* reply.c */
extern char *push_reply(Push *push);
extern void push_read_entities(Push *push);
extern const char *verdict_name(Verdict verdict);
extern char *push_entity(Push *push, Change *c);

#endif							/* TIDE_CHANGE_H */
