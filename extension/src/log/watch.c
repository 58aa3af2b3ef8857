/*-------------------------------------------------------------------------
 *
 * watch.c
 *	  tide.watch: which scopes and types changed since the last look.
 *
 * For the gateway, which asks every few milliseconds while anybody waits.  Each
 * look gives a mark, a snapshot, and the next one tells what became visible
 * after it, as a cursor would, but of every scope: names of scopes and numbers
 * of types, and no keys.  That is why only the gateway's role may call it.
 *
 * A look says that it does not know when the mark is of another server or of
 * another start of it, when something was forgotten since, when a table was
 * tracked or untracked, and when too much has changed to be named.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "cursor/history.h"
#include "log/records.h"
#include "log/watch.h"
#include "util/errors.h"
#include "util/keymap.h"
#include "util/owner.h"
#include "util/settings.h"

PG_FUNCTION_INFO_V1(tide_watch);

/* a look that would read more entries than this does not know what changed */
#define MAX_LOOKED_AT 10000

/* a mark, taken apart */
typedef struct Mark
{
	char	   *server;			/* the server, its start, and the installation
								 * of pg_tide */
	uint64		horizon;
	TideSnapshot seen;
} Mark;

/* a scope in which a type has changed */
typedef struct Changed
{
	char	   *scope;
	int32		reg;
} Changed;

typedef struct Look
{
	Mark		mark;			/* the new one */
	bool		known;			/* "changed" is all that has changed */
	List	   *changed;
	KeyMap	   *names;			/* the names that are in "changed" */
	int			nentries;		/* that were read */
} Look;

/* ---------- marks ---------- */

static char *
encode_mark(const Mark *mark)
{
	StringInfoData buf;
	int			i;

	initStringInfo(&buf);
	appendStringInfo(&buf, "%s " UINT64_FORMAT " " UINT64_FORMAT ":" UINT64_FORMAT ":",
					 mark->server, mark->horizon, mark->seen.xmin, mark->seen.xmax);
	for (i = 0; i < mark->seen.nxip; i++)
		appendStringInfo(&buf, "%s" UINT64_FORMAT, i ? "," : "", mark->seen.xip[i]);
	return buf.data;
}

static void
malformed_mark(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_TIDE_MALFORMED_REQUEST),
			 errmsg("malformed mark"),
			 errhint("Give the mark of an earlier call of tide.watch, or NULL.")));
}

static uint64
read_number(const char **text, char end)
{
	char	   *after;
	uint64		result = strtoull(*text, &after, 10);

	if (after == *text || *after != end)
		malformed_mark();
	*text = after + 1;
	return result;
}

static void
decode_mark(const char *text, Mark *mark)
{
	const char *p = strchr(text, ' ');
	const char *c;
	uint64		before = 0;
	int			n;

	if (p == NULL)
		malformed_mark();
	mark->server = pnstrdup(text, p - text);
	p++;
	mark->horizon = read_number(&p, ' ');
	mark->seen.xmin = read_number(&p, ':');
	mark->seen.xmax = read_number(&p, ':');
	mark->seen.nxip = 0;
	mark->seen.xip = palloc(sizeof(uint64) * (strlen(p) + 1));
	for (c = p, n = (*p != '\0'); *c; c++)
		n += (*c == ',');
	while (mark->seen.nxip < n)
	{
		uint64		xid = read_number(&p, mark->seen.nxip + 1 < n ? ',' : '\0');

		if (xid <= before || xid >= mark->seen.xmax)
			malformed_mark();
		before = mark->seen.xip[mark->seen.nxip++] = xid;
	}
}

/* the settings that say which tables a caller sees; empty: all */
static char *
settings_mark(void)
{
	char	   *settings;

	if (tide_schema_claim[0] == '\0')
		return "";
	settings = psprintf("%s,%s", tide_schema_claim, tide_shared_schemas);
	return psprintf("-%08x", hash_bytes((unsigned char *) settings, strlen(settings)));
}

static char *
server_text(const Cursor *history)
{
	return psprintf("%016llx-%x-%016llx-%u%s",
					(unsigned long long) history->history, history->timeline,
					(unsigned long long) history->generation,
					owner_relation("log"), settings_mark());
}

char *
watch_server(void)
{
	Cursor		history = {0};

	history_stamp_cursor(&history, RecoveryInProgress());
	return server_text(&history);
}

char *
watch_server_of(const Cursor *head, Oid schema)
{
	Cursor		history = *head;

	/* set twice, it is that of no particular one */
	history_set_schema(&history, schema);
	return server_text(&history);
}

/* ---------- what changed ---------- */

static bool
has_no_keys(Datum keys)
{
	struct varlena *value = (struct varlena *) DatumGetPointer(keys);

	/* the array of a registration is too short to be compressed or toasted */
	if (VARATT_IS_EXTENDED(value) && !VARATT_IS_SHORT(value))
		return false;
	return ARR_NDIM(DatumGetArrayTypeP(keys)) == 0;
}

static void
take_changed(HeapTuple tuple, TupleDesc desc, void *arg)
{
	Look	   *look = arg;
	char	   *scope = owner_column_text(tuple, desc, 1);
	bool		isnull;
	int32		reg = DatumGetInt32(SPI_getbinval(tuple, desc, 2, &isnull));
	char	   *name = psprintf("%d %s", reg, scope);
	Changed    *changed;

	look->nentries++;
	if (has_no_keys(SPI_getbinval(tuple, desc, 3, &isnull)))
		look->known = false;
	if (keymap_get(look->names, name) != NULL)
		return;
	changed = palloc(sizeof(Changed));
	changed->scope = scope;
	changed->reg = reg;
	keymap_put(look->names, name, changed);
	look->changed = lappend(look->changed, changed);
}

/* of the transactions that were running then, those that have ended */
static Datum
ended_transactions(const TideSnapshot *then, const TideSnapshot *now, int *n)
{
	Datum	   *ended = palloc(sizeof(Datum) * (then->nxip + 1));
	int			i;

	*n = 0;
	for (i = 0; i < then->nxip; i++)
		if (snapshot_shows(now, then->xip[i]))
			ended[(*n)++] = FullTransactionIdGetDatum(FullTransactionIdFromU64(then->xip[i]));
	return PointerGetDatum(construct_array(ended, *n, XID8OID, sizeof(uint64),
										   FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

#define CHANGED_COLUMNS "SELECT l.scope, l.reg, l.keys FROM tide.log l" \
	" WHERE l.reg OPERATOR(pg_catalog.>) 0 AND "

/*
 * Read what became visible after the snapshot "then".  The active snapshot is
 * "now".
 */
static void
read_changed(const TideSnapshot *then, Look *look)
{
	static SPIPlanPtr ended_plan = NULL;
	static SPIPlanPtr begun_plan = NULL;
	static Oid	ended_types[2] = {XID8ARRAYOID, INT8OID};
	static Oid	begun_types[2] = {XID8OID, INT8OID};
	Datum		values[2];
	int			n;

	values[0] = ended_transactions(then, &look->mark.seen, &n);
	values[1] = Int64GetDatum(MAX_LOOKED_AT + 1);
	if (n > 0)
		owner_select(&ended_plan,
					 CHANGED_COLUMNS "l.xid OPERATOR(pg_catalog.=) ANY ($1) LIMIT $2",
					 2, ended_types, values, NULL, GetActiveSnapshot(),
					 take_changed, look);
	values[0] = FullTransactionIdGetDatum(FullTransactionIdFromU64(then->xmax));
	owner_select(&begun_plan,
				 CHANGED_COLUMNS "l.xid OPERATOR(pg_catalog.>=) $1"
				 " ORDER BY l.xid, l.seq LIMIT $2",
				 2, begun_types, values, NULL, GetActiveSnapshot(),
				 take_changed, look);
	if (look->nentries > MAX_LOOKED_AT)
		look->known = false;
}

/*
 * If no transaction has ended since the last look, nothing has changed, not
 * even the horizon, and nothing is read.  An active snapshot must be set.
 */
static void
take_look(const char *since, Look *look)
{
	Mark		before;
	Horizon		horizon;

	look->mark.server = watch_server();
	history_snapshot(GetActiveSnapshot(), &look->mark.seen);
	look->names = keymap_new(CurrentMemoryContext, 64);
	if (since)
	{
		decode_mark(since, &before);
		look->known = (strcmp(before.server, look->mark.server) == 0);
		if (look->known && snapshot_equal(&before.seen, &look->mark.seen))
		{
			look->mark.horizon = before.horizon;
			return;
		}
	}
	if (horizon_read(GetActiveSnapshot(), &horizon))
		look->mark.horizon = horizon.xid;
	if (!look->known)
		return;
	look->known = (before.horizon == look->mark.horizon);
	read_changed(&before.seen, look);
}

/* ---------- the result ---------- */

static Datum
scopes_of(const Look *look)
{
	char	  **scopes = palloc(sizeof(char *) * (list_length(look->changed) + 1));
	ListCell   *lc;
	int			n = 0;

	foreach(lc, look->changed)
		scopes[n++] = ((Changed *) lfirst(lc))->scope;
	return owner_text_array(scopes, n);
}

static Datum
types_of_look(const Look *look)
{
	Datum	   *types = palloc(sizeof(Datum) * (list_length(look->changed) + 1));
	ListCell   *lc;
	int			n = 0;

	foreach(lc, look->changed)
		types[n++] = Int32GetDatum(((Changed *) lfirst(lc))->reg);
	return PointerGetDatum(construct_array(types, n, INT4OID, sizeof(int32), true,
										   TYPALIGN_INT));
}

/*
 * Rounded down: a client may send it back as a time, which must not be later
 * than the snapshot.
 */
static int64
unix_milliseconds(TimestampTz time)
{
	int64		epoch = INT64CONST(1000000) * SECS_PER_DAY *
		(POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE);

	return (time + epoch) / 1000;
}

Datum
tide_watch(PG_FUNCTION_ARGS)
{
	TimestampTz now;
	TupleDesc	desc;
	Look		look = {0};
	Datum		values[6];
	bool		nulls[6] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	/* the time is read first, and this command's own snapshot is older */
	now = GetCurrentTimestamp();
	PushActiveSnapshot(GetLatestSnapshot());
	take_look(tide_text_argument(fcinfo, 0), &look);
	PopActiveSnapshot();

	if (!look.known)
		look.changed = NIL;
	values[0] = CStringGetTextDatum(encode_mark(&look.mark));
	values[1] = CStringGetTextDatum(look.mark.server);
	values[2] = Int64GetDatum(unix_milliseconds(now));
	values[3] = BoolGetDatum(look.known);
	values[4] = scopes_of(&look);
	values[5] = types_of_look(&look);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}
