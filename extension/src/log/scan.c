/*-------------------------------------------------------------------------
 *
 * scan.c
 *	  The change log, read entry by entry.
 *
 * A page takes as many entries as fill it, which nobody knows beforehand: of
 * some it sends a thousand keys, of others none.  A statement with a LIMIT would
 * have to say, and for many scopes it would read that many of each.  So the
 * indexes are gone through here, scope by scope, and no entry is read before
 * it is asked for.
 *
 * These are our own tables, of which callers have no rights: like a catalog,
 * they are read without asking for any.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/skey.h"
#include "access/table.h"
#include "access/transam.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/xid8.h"

#include "log/scan.h"
#include "util/owner.h"

/* columns of tide.log */
enum
{
	LOG_XID = 1, LOG_SEQ, LOG_RELID, LOG_REG, LOG_SCOPE, LOG_PUSH, LOG_SUBJECT,
	LOG_CLIENT_ID, LOG_KEYS, LOG_FOR_SUBJECT, LOG_FOR_CLIENT, LOG_NATTS = LOG_FOR_CLIENT
};

/*
 * with more index probes than this, look first which scopes have entries at
 * all
 */
#define MANY_PROBES 16

/*
 * The transactions that a snapshot does not show, in two parts whose ids do
 * not overlap.
 */
enum
{
	RUNNING = 0x01,				/* those that were running when it was taken */
	LATER = 0x02				/* those that began later, from its xmax on */
};

typedef struct OneScope
{
	const char *scope;			/* NULL: every scope */
	int			parts;			/* the parts of which it may have entries */
} OneScope;

struct LogScan
{
	MemoryContext context;
	MemoryContext row;			/* what "entry" is made of */
	const TideSnapshot *seen;
	Relation	heap;
	Relation	index;
	OneScope   *scopes;
	int			nscopes;

	/* the range that is being read */
	int			nth;			/* the scope that is being read, by its place
								 * in scopes */
	int			leg;			/* see open_leg */
	uint64		from_xid;		/* where to begin in this scope; 0: at its
								 * start */
	int64		from_seq;
	SysScanDesc range;			/* NULL: none is open */
	HeapTuple	tuple;
	LogEntry	entry;
};

/* ---------- ranges of the index ---------- */

static void
open_range(LogScan *scan, const char *scope, uint64 xid, RegProcedure xid_is, bool has_seq,
		   int64 seq)
{
	ScanKeyData keys[3];
	MemoryContext old = MemoryContextSwitchTo(scan->context);
	int			n = 0;

	if (scope)
		ScanKeyInit(&keys[n++], LOG_SCOPE, BTEqualStrategyNumber, F_TEXTEQ,
					CStringGetTextDatum(scope));
	ScanKeyInit(&keys[n++], LOG_XID,
				xid_is == F_XID8EQ ? BTEqualStrategyNumber :
				xid_is == F_XID8GT ? BTGreaterStrategyNumber : BTGreaterEqualStrategyNumber,
				xid_is, FullTransactionIdGetDatum(FullTransactionIdFromU64(xid)));
	if (has_seq)
		ScanKeyInit(&keys[n++], LOG_SEQ, BTGreaterEqualStrategyNumber, F_INT8GE,
					Int64GetDatum(seq));
	scan->range = systable_beginscan_ordered(scan->heap, scan->index, GetActiveSnapshot(),
											 n, keys);
	MemoryContextSwitchTo(old);
}

static void
end_range(LogScan *scan)
{
	systable_endscan_ordered(scan->range);
	scan->range = NULL;
}

/*
 * Open the next range of the scope that is being read.  There is one for each
 * transaction that was running, one for the rest of the transaction at which
 * to begin if that is a later one, and one for the later ones that are left.
 * A range from xmin on would read again what was seen.  False: there are no
 * more ranges.
 */
static bool
open_leg(LogScan *scan)
{
	const TideSnapshot *seen = scan->seen;
	const OneScope *s = &scan->scopes[scan->nth];
	bool		is_later = scan->from_xid >= seen->xmax;

	for (; scan->leg < seen->nxip && (s->parts & RUNNING) && !is_later; scan->leg++)
	{
		uint64		xid = seen->xip[scan->leg];

		if (xid < scan->from_xid)
			continue;
		open_range(scan, s->scope, xid, F_XID8EQ, xid == scan->from_xid, scan->from_seq);
		scan->leg++;
		return true;
	}
	scan->leg = Max(scan->leg, seen->nxip);
	if (!(s->parts & LATER) || scan->leg > seen->nxip + 1)
		return false;
	if (scan->leg == seen->nxip && is_later)
		open_range(scan, s->scope, scan->from_xid, F_XID8EQ, true, scan->from_seq);
	else
	{
		open_range(scan, s->scope, is_later ? scan->from_xid : seen->xmax,
				   is_later ? F_XID8GT : F_XID8GE, false, 0);
		scan->leg = seen->nxip + 1;
	}
	scan->leg++;
	return true;
}

static bool
next_tuple(LogScan *scan)
{
	while (scan->nth < scan->nscopes)
	{
		if (scan->range == NULL && !open_leg(scan))
		{
			scan->nth++;
			scan->leg = 0;
			scan->from_xid = 0;
			continue;
		}
		scan->tuple = systable_getnext_ordered(scan->range, ForwardScanDirection);
		if (HeapTupleIsValid(scan->tuple))
			return true;
		end_range(scan);
	}
	return false;
}

/* ---------- entries ---------- */

static Datum
column(LogScan *scan, int n, bool *isnull)
{
	return heap_getattr(scan->tuple, n, RelationGetDescr(scan->heap), isnull);
}

static char *
column_text(LogScan *scan, int n)
{
	bool		isnull;
	Datum		value = column(scan, n, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

/*
 * Only the entry of a registration has no keys.  This tells without unpacking
 * the keys of others.
 */
static bool
is_empty(Datum keys)
{
	struct varlena *array = (struct varlena *) DatumGetPointer(keys);

	if (VARATT_IS_EXTERNAL(array) || VARATT_IS_COMPRESSED(array))
		return false;
	return ARR_NDIM(DatumGetArrayTypeP(keys)) == 0;
}

static void
read_entry(LogScan *scan)
{
	LogEntry   *entry = &scan->entry;
	Datum		push;
	bool		isnull;

	memset(entry, 0, sizeof(*entry));
	entry->xid = U64FromFullTransactionId(DatumGetFullTransactionId(column(scan, LOG_XID, &isnull)));
	entry->seq = DatumGetInt64(column(scan, LOG_SEQ, &isnull));
	entry->relid = DatumGetObjectId(column(scan, LOG_RELID, &isnull));
	entry->reg = DatumGetInt32(column(scan, LOG_REG, &isnull));
	entry->scope = column_text(scan, LOG_SCOPE);
	entry->is_registration = is_empty(column(scan, LOG_KEYS, &isnull));
	push = column(scan, LOG_PUSH, &isnull);
	if (!isnull)
	{
		entry->origin = palloc(sizeof(LogOrigin));
		entry->origin->push = DatumGetInt32(push);
		entry->origin->subject = column_text(scan, LOG_SUBJECT);
		entry->origin->client_id = column_text(scan, LOG_CLIENT_ID);
	}
	entry->for_subject = column_text(scan, LOG_FOR_SUBJECT);
	entry->for_client = column_text(scan, LOG_FOR_CLIENT);
}

const LogEntry *
log_scan_next(LogScan *scan)
{
	MemoryContext old;

	CHECK_FOR_INTERRUPTS();
	if (!next_tuple(scan))
		return NULL;
	MemoryContextReset(scan->row);
	old = MemoryContextSwitchTo(scan->row);
	read_entry(scan);
	MemoryContextSwitchTo(old);
	return &scan->entry;
}

static char *
copy_text(const char *text)
{
	return text ? pstrdup(text) : NULL;
}

/*
 * Make strings of the keys where they are.  Each is moved over its own header,
 * which leaves room for its terminating zero.
 */
static void
unpack_keys(LogEntry *entry, ArrayType *array)
{
	char	   *at = ARR_DATA_PTR(array);
	int			i;

	entry->packed = array;
	entry->nkeys = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	entry->keys = palloc(sizeof(char *) * Max(entry->nkeys, 1));
	for (i = 0; i < entry->nkeys; i++)
	{
		Size		length = VARSIZE_ANY_EXHDR(at);
		char	   *next = att_addlength_pointer(at, -1, at);

		memmove(at, VARDATA_ANY(at), length);
		at[length] = '\0';
		entry->keys[i] = at;
		at = (char *) att_align_nominal(next, TYPALIGN_INT);
	}
}

LogEntry *
log_scan_keep(LogScan *scan)
{
	LogEntry   *entry = palloc(sizeof(LogEntry));
	bool		isnull;

	*entry = scan->entry;
	entry->scope = copy_text(entry->scope);
	if (entry->origin)
	{
		LogOrigin  *origin = palloc(sizeof(LogOrigin));

		*origin = *entry->origin;
		origin->subject = copy_text(origin->subject);
		origin->client_id = copy_text(origin->client_id);
		entry->origin = origin;
	}
	entry->for_subject = copy_text(entry->for_subject);
	entry->for_client = copy_text(entry->for_client);
	unpack_keys(entry, DatumGetArrayTypePCopy(column(scan, LOG_KEYS, &isnull)));
	return entry;
}

static void
free_text(const char *text)
{
	if (text)
		pfree(unconstify(char *, text));
}

void
log_entry_free(LogEntry *entry)
{
	pfree(entry->scope);
	if (entry->origin)
	{
		free_text(entry->origin->subject);
		free_text(entry->origin->client_id);
		pfree(entry->origin);
	}
	free_text(entry->for_subject);
	free_text(entry->for_client);
	pfree(entry->packed);
	pfree(entry->keys);
	pfree(entry);
}

/* ---------- which scopes have changed ---------- */

static int
find_scope(LogScan *scan, const char *scope)
{
	int			low = 0;
	int			high = scan->nscopes;

	while (low < high)
	{
		int			middle = low + (high - low) / 2;

		if (strcmp(scan->scopes[middle].scope, scope) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < scan->nscopes && strcmp(scan->scopes[low].scope, scope) == 0 ? low : -1;
}

/*
 * Find out which of the scopes have entries of this part.  If there are too
 * many entries of whatever scope, this finds out nothing, because looking into
 * each scope is no more work then.
 */
static void
note_changed(LogScan *scan, int part)
{
	static const OneScope every = {NULL, 0};
	OneScope	one = every;
	LogScan		all = *scan;
	int			left = 2 * scan->nscopes;
	bool	   *changed = palloc0(sizeof(bool) * scan->nscopes);
	int			i;

	one.parts = part;
	all.scopes = &one;
	all.nscopes = 1;
	all.nth = all.leg = 0;
	all.from_xid = 0;
	all.index = index_open(owner_relation("log_all"), AccessShareLock);
	while (left-- > 0 && next_tuple(&all))
	{
		MemoryContext old;

		MemoryContextReset(scan->row);
		old = MemoryContextSwitchTo(scan->row);
		i = find_scope(scan, column_text(&all, LOG_SCOPE));
		MemoryContextSwitchTo(old);
		if (i >= 0)
			changed[i] = true;
	}
	for (i = 0; i < scan->nscopes && all.range == NULL; i++)
		if (!changed[i])
			scan->scopes[i].parts &= ~part;
	if (all.range)
		end_range(&all);
	index_close(all.index, NoLock);
	pfree(changed);
}

/* ---------- the scan ---------- */

/* the scopes to look into: the caller's, and '' for shared tables */
static void
list_scopes(LogScan *scan, const ScopeSet *scopes)
{
	int			i;

	scan->scopes = palloc(sizeof(OneScope) * (scopes->n + 1));
	scan->scopes[scan->nscopes++].scope = scopes->all ? NULL : "";
	for (i = 0; i < scopes->n && !scopes->all; i++)
		if (scopes->scopes[i][0] != '\0')
			scan->scopes[scan->nscopes++].scope = scopes->scopes[i];
	for (i = 0; i < scan->nscopes; i++)
		scan->scopes[i].parts = RUNNING | LATER;
}

/* begin at this position, if it belongs to the order of this scan */
static void
go_to(LogScan *scan, const ScopeSet *scopes, const LogPosition *from)
{
	bool		in_order = (scopes->all == (from->scope == NULL));

	if (from->xid == 0 || !in_order)
		return;
	while (!scopes->all && scan->nth < scan->nscopes &&
		   strcmp(scan->scopes[scan->nth].scope, from->scope) < 0)
		scan->nth++;
	if (scan->nth < scan->nscopes &&
		(scopes->all || strcmp(scan->scopes[scan->nth].scope, from->scope) == 0))
	{
		scan->from_xid = from->xid;
		scan->from_seq = from->seq;
	}
}

LogScan *
log_scan_begin(const TideSnapshot *seen, const ScopeSet *scopes, const LogPosition *from)
{
	LogScan    *scan = palloc0(sizeof(LogScan));

	scan->context = CurrentMemoryContext;
	scan->row = AllocSetContextCreate(CurrentMemoryContext, "pg_tide log",
									  ALLOCSET_SMALL_SIZES);
	scan->seen = seen;
	list_scopes(scan, scopes);
	go_to(scan, scopes, from);
	scan->heap = table_open(owner_relation("log"), AccessShareLock);
	scan->index = index_open(owner_relation(scopes->all ? "log_all" : "log_scope"),
							 AccessShareLock);
	if (!scopes->all && scan->nscopes > MANY_PROBES)
		note_changed(scan, LATER);
	if (!scopes->all && seen->nxip > 0 && scan->nscopes > MANY_PROBES / seen->nxip)
		note_changed(scan, RUNNING);
	return scan;
}

void
log_scan_end(LogScan *scan)
{
	if (scan->range)
		end_range(scan);
	index_close(scan->index, NoLock);
	table_close(scan->heap, NoLock);
	MemoryContextDelete(scan->row);
	pfree(scan->scopes);
	pfree(scan);
}

bool
log_goes_beyond(const TideSnapshot *seen)
{
	const ScopeSet every = {.all = true};
	const LogPosition start = {0};
	LogScan    *scan;
	bool		result;

	PushActiveSnapshot(GetLatestSnapshot());
	scan = log_scan_begin(seen, &every, &start);
	result = log_scan_next(scan) != NULL;
	log_scan_end(scan);
	PopActiveSnapshot();
	return result;
}
