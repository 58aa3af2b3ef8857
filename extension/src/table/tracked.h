/*-------------------------------------------------------------------------
 *
 * tracked.h
 *	  A tracked table as the rest of pg_tide knows it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_TRACKED_H
#define TIDE_TRACKED_H

#include "access/attnum.h"
#include "access/transam.h"
#include "access/tupdesc.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "nodes/bitmapset.h"
#include "utils/relcache.h"

#include "table/policy.h"
#include "table/setting.h"

/*
 * The stamps of columns, under merge.  The name of this column is fixed,
 * because it must be known without any setting.
 */
#define CLOCKS_COLUMN "tide_clocks"

/* how a column's value is written as JSON, see wire.c */
typedef enum WireKind
{
	WIRE_TEXT,					/* output function, quoted and escaped */
	WIRE_NUMBER,				/* output function, bare unless NaN or
								 * infinite */
	WIRE_BOOL,
	WIRE_TIMESTAMPTZ,			/* ISO 8601 with Z, or milliseconds */
	WIRE_TIMESTAMP,				/* with Z where it holds UTC, else without */
	WIRE_DATE,
	WIRE_JSON,					/* json and jsonb: as they are */
	WIRE_ARRAY,					/* a JSON array, where that says it all */
	WIRE_COMPOSITE				/* an object of the fields */
} WireKind;

typedef struct TrackedColumn
{
	AttrNumber	attnum;
	bool		dropped;		/* nothing below is set if so */
	char	   *name;			/* in SQL */
	char	   *wire;			/* on the wire */
	char	   *member;			/* that as a member's name, after another one:
								 * ,"name": */
	int			member_length;
	Oid			type;
	int32		typmod;
	Oid			collation;
	bool		key;			/* part of the primary key */
	bool		excluded;		/* neither sent nor written by sync */
	bool		generated;		/* stored generated: sent, never written */
	bool		identity;
	bool		always_identity;	/* written by inserts only */
	bool		not_null;
	bool		has_default;
	WireKind	kind;
	Oid			base_type;		/* domains looked through */
	bool		text_varies;	/* with settings: see type_text_varies() */
	bool		has_fields;		/* it is, or has, a composite type, whose
								 * fields can change while the table stands */
	FmgrInfo	output;
	FmgrInfo	input;
	Oid			ioparam;
	struct TrackedColumn *base; /* The same column as one of its base type;
								 * itself unless its type is a domain.  Keys
								 * and scopes are read as its values: a
								 * domain's constraints can be newer than
								 * they. */
} TrackedColumn;

typedef struct TrackedTable
{
	Oid			relid;			/* hash key */
	bool		valid;			/* set last; cleared by invalidation */
	bool		tracked;		/* false: a known non-tracked table */
	bool		broken;			/* names a column that is not there any more */
	char	   *broken_why;		/* and which, for the error */
	Oid			owner;			/* of the table */
	Oid			namespace;
	TableSettings settings;		/* as they were given, fitting or not */
	int32		reg;			/* number of the registration: tracking a
								 * table anew gives another */
	TransactionId trigger_xmin; /* who wrote the stamp trigger */
	Oid			root;			/* Of a partition: the tracked table whose
								 * rows it holds.  Such an entry is not
								 * tracked; it only gives the layout of its
								 * rows. */
	bool		partitioned;
	bool		replicated;		/* changes by logical replication count, too */
	char	   *entity_type;
	char	   *sql_name;		/* qualified and quoted */
	bool		shared;
	bool		camel;
	bool		utc;
	ConflictPolicy policy;
	AttrNumber	scope;			/* invalid if shared */
	char	   *scope_path;		/* the foreign keys that the scope column
								 * follows; NULL: the user's own column */
	struct ScopePath *path;		/* the same, made out; NULL: none, or broken */
	AttrNumber	modified_at;
	AttrNumber	client_id;
	AttrNumber	version;		/* invalid if none */
	AttrNumber	deleted_at;		/* invalid if none */
	AttrNumber	clocks;			/* stamps of columns; invalid if none */
	char	   *resolver;		/* qualified and quoted; NULL if none */
	bool		has_synced_generated;
	bool		has_side_effects;	/* a write may change rows that it does
									 * not name: triggers, cascades, rules */
	bool		may_leave_out;	/* a trigger of the user's before UPDATE may
								 * leave out a row in which nothing changes */
	bool		foreign_known;	/* the two below, see foreign_code.c */
	const char *foreign_by_upsert;	/* NULL: nothing */
	const char *foreign_by_delete;	/* likewise */
	int			ncolumns;		/* == natts of the relation */
	TrackedColumn *columns;		/* by attnum - 1 */
	int			nkeys;
	AttrNumber *keys;			/* in the order in which they were tracked */
	char	  **key_equal;		/* "OPERATOR(schema.=)" of each key column */
	char	  **key_less;		/* likewise, "<" */
	char	  **key_greater;	/* likewise, ">" */
	bool		deferrable_key; /* no INSERT ... ON CONFLICT goes by it */
	bool		plain_key;		/* key and scope look the same under any
								 * DateStyle, TimeZone, ... */
	bool		plain_row;		/* likewise its rows on the wire */
	struct SavedPlan *plans;	/* list; freed with the entry */
	int			nplans;
	MemoryContext context;
	TupleDesc	tupdesc;		/* copy */
} TrackedTable;

/* changes come from row triggers, not from those of statements */
#define table_is_by_row(t) ((t)->partitioned || (t)->replicated)

/* the tracked table that the rows belong to: itself, or the root above */
#define table_of_rows(t) (OidIsValid((t)->root) ? (t)->root : (t)->relid)

#define tracked_column(t, attnum) (&(t)->columns[(attnum) - 1])

/* every synced column: sent to clients */
#define column_is_synced(c) (!(c)->dropped && !(c)->excluded)

/*
 * the scope column of a table whose scope follows foreign keys; pg_tide
 * writes it
 */
#define column_is_maintained(t, c) \
	((t)->scope_path != NULL && (c)->attnum == (t)->scope)

/* NULL if there is none; by wire: of the synced ones */
extern void tracked_set_broken(TrackedTable *t, char *why);
extern TrackedColumn *tracked_column_by_name(TrackedTable *t, const char *name);
extern TrackedColumn *tracked_column_by_wire(TrackedTable *t, const char *name);

/* "athlete_id" is "athleteId"; leading and doubled underscores stay */
extern char *camel_case(const char *name);

#endif							/* TIDE_TRACKED_H */
