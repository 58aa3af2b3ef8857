/*-------------------------------------------------------------------------
 *
 * generation.c
 *	  Starts of the server, told apart.
 *
 * An old copy of the data directory that is started and runs on has the system
 * identifier and the timeline of the database that it was copied from.  In time
 * it also reaches the same WAL positions and transaction ids, and uses them
 * for something else.  Only its start differs.  So each start of a server is a
 * generation: a random number that cursors carry, while tide.generation says
 * at which WAL position it began.  A cursor of an earlier generation is valid
 * up to the position where the next generation began: what came after that
 * position happened to another copy.
 *
 * The number is in shared memory as long as the server runs.  Whoever writes,
 * here or by a trigger, first makes sure that the number is registered, so no
 * change is recorded in an unknown start.  Two sessions that register at once
 * both write a row with the same content, so neither waits for the other.
 *
 * One case is not noticed: a copy of the running server that first ran without
 * any such write, for longer than what the cursor has seen of the lost
 * history, and was then started again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/pg_lsn.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "cursor/checkpoint.h"
#include "cursor/generation.h"
#include "cursor/standby.h"
#include "cursor/timeline.h"
#include "util/compat.h"
#include "util/errors.h"
#include "util/owner.h"

PG_FUNCTION_INFO_V1(tide_register);

/*
 * This memory outlives the library if another version is installed while the
 * server runs.  So when its content changes, its name must change.
 */
#define SHARED_NAME "pg_tide server start, 1"

typedef struct ServerStart
{
	uint64		generation;		/* 0: not known yet */
	XLogRecPtr	position;		/* no WAL of this start is before it */
	uint64		first_xid;		/* cursors of earlier starts have seen neither
								 * this id nor a later one */
} ServerStart;

/* a copy of what is in shared memory, which does not change any more */
static ServerStart server_start;

/* the tide.generation that is known to have it committed */
static Oid	registered_in = InvalidOid;

/* ---------- where this start of the server began ---------- */

/*
 * The end of WAL as this start of the server found it, or something before.
 *
 * The last checkpoint is that place, if it is the one of the shutdown before
 * or of the end of recovery.  If an online checkpoint came before us, all that
 * is sure is where the timeline began, which is what a promoted standby has
 * anyhow.
 */
static void
find_start(ServerStart *start)
{
	TimeLineID	timeline = TideCurrentTimeLine();
	FullTransactionId own = GetTopFullTransactionIdIfAny();
	QuietCheckpoint checkpoint;

	start->position = timeline_start(timeline);

	/* our own transaction belongs to this start, too */
	start->first_xid = U64FromFullTransactionId(FullTransactionIdIsValid(own) ? own :
												ReadNextFullTransactionId());
	if (checkpoint_of_control_file(&checkpoint) &&
		checkpoint.timeline == timeline &&
		checkpoint.position >= start->position)
	{
		start->position = checkpoint.position;
		start->first_xid = checkpoint.next_xid;
	}
}

static ServerStart *
shared_start(void)
{
	ServerStart *shared;
	bool		found;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct(SHARED_NAME, sizeof(ServerStart), &found);
	if (!found)
		memset(shared, 0, sizeof(ServerStart));
	server_start = *shared;
	LWLockRelease(AddinShmemInitLock);
	return shared;
}

/*
 * Not before recovery has ended, because a standby that is promoted begins
 * another generation without being started.
 */
static uint64
own_generation(void)
{
	ServerStart *shared;
	ServerStart mine;

	if (server_start.generation != 0)
		return server_start.generation;

	shared = shared_start();
	if (server_start.generation != 0)
		return server_start.generation;

	/*
	 * found without the lock, because it is read from files; the first result
	 * counts
	 */
	find_start(&mine);
	do
	{
		if (!pg_strong_random(&mine.generation, sizeof(mine.generation)))
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("could not generate random values")));
	} while (mine.generation == 0);

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	if (shared->generation == 0)
		*shared = mine;
	server_start = *shared;
	LWLockRelease(AddinShmemInitLock);
	return server_start.generation;
}

/*
 * Read tide.generation as it is now, whatever the transaction's own snapshot
 * shows.  $1 is the number, if there is one.  Returns how many rows there are.
 */
static uint64
select_generations(SPIPlanPtr *plan, const char *sql, const uint64 *generation,
				   TakeRow take_row, void *arg)
{
	static Oid	types[1] = {INT8OID};
	Datum		values[1];
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	uint64		n;

	values[0] = Int64GetDatum(generation ? (int64) *generation : 0);
	n = owner_select(plan, sql, generation ? 1 : 0, types, values, NULL, snapshot,
					 take_row, arg);
	UnregisterSnapshot(snapshot);
	return n;
}

/* ---------- the start whose WAL a standby replays ---------- */

static void
start_not_replayed(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_TIDE_NOT_REGISTERED),
			 errmsg("the last start of the primary is not registered with pg_tide, as far as this standby has replayed"),
			 errhint("Wait until the primary is up, somebody has written or called tide.register() there, and that is replayed; or connect to the primary.")));
}

/* the number of this start, 0 if it is known to be over */
static void
take_replayed(HeapTuple tuple, TupleDesc desc, void *arg)
{
	bool		isnull;
	Datum		id = SPI_getbinval(tuple, desc, 1, &isnull);
	Datum		xid = SPI_getbinval(tuple, desc, 2, &isnull);
	Datum		position = SPI_getbinval(tuple, desc, 3, &isnull);

	if (!standby_start_is_over(U64FromFullTransactionId(DatumGetFullTransactionId(xid)),
							   DatumGetLSN(position)))
		*(uint64 *) arg = (uint64) DatumGetInt64(id);
}

/*
 * The newest that is registered.  What the primary wrote to the log since is
 * visible only together with the registration of the start that wrote it, so a
 * cursor with this number has seen no change of a later start.  Yet it may have
 * a position of one, and would then be taken for one of a lost history.  So
 * where it is known that the start is over, none is given out.
 */
static uint64
replayed_generation(bool missing_ok)
{
	static SPIPlanPtr plan = NULL;
	uint64		generation = 0;

	standby_require_version();
	select_generations(&plan, "SELECT g.id, g.xid, g.position FROM tide.generation g"
					   " ORDER BY g.xid DESC LIMIT 1", NULL, take_replayed, &generation);
	if (generation == 0 && !missing_ok)
		start_not_replayed();
	return generation;
}

uint64
generation_current(void)
{
	return RecoveryInProgress() ? replayed_generation(false) : own_generation();
}

bool
generation_is_replayed(void)
{
	return replayed_generation(true) != 0;
}

/* ---------- the table ---------- */

/* a row of another transaction stays, one of this may still be rolled back */
static void
take_registration(HeapTuple tuple, TupleDesc desc, void *arg)
{
	uint64		own = U64FromFullTransactionId(GetTopFullTransactionIdIfAny());
	bool		isnull;
	Datum		xid = SPI_getbinval(tuple, desc, 1, &isnull);

	if (U64FromFullTransactionId(DatumGetFullTransactionId(xid)) != own)
		registered_in = *(Oid *) arg;
}

/*
 * Is it registered, as far as this transaction can tell?  If another
 * transaction has registered it, that is remembered.
 */
static bool
is_registered(Oid table)
{
	static SPIPlanPtr plan = NULL;

	return select_generations(&plan, "SELECT g.xid FROM tide.generation g WHERE g.id OPERATOR(pg_catalog.=) $1",
							  &server_start.generation, take_registration, &table) > 0;
}

static void
insert_generation(void)
{
	static SPIPlanPtr plan = NULL;
	static Oid	types[5] = {INT8OID, LSNOID, XID8OID, TIMESTAMPTZOID, XID8OID};
	Datum		values[5];

	values[0] = Int64GetDatum((int64) server_start.generation);
	values[1] = LSNGetDatum(server_start.position);
	values[2] = FullTransactionIdGetDatum(FullTransactionIdFromU64(server_start.first_xid));
	values[3] = TimestampTzGetDatum(PgStartTime);
	values[4] = FullTransactionIdGetDatum(GetTopFullTransactionId());
	owner_execute(&plan,
				  "INSERT INTO tide.generation (id, position, first_xid, started_at, xid)"
				  " VALUES ($1, $2, $3, $4, $5)",
				  5, types, values, NULL);
}

void
generation_register(void)
{
	Oid			table = owner_relation("generation");

	(void) own_generation();
	/* another one: the extension was dropped and created again */
	if (registered_in == table)
		return;

	if (is_registered(table))
		return;
	if (XactReadOnly)
		ereport(ERROR,
				(errcode(ERRCODE_TIDE_NOT_REGISTERED),
				 errmsg("this start of the server is not registered with pg_tide"),
				 errdetail("It must be registered before a cursor is given out, but this transaction is read-only."),
				 errhint("Call tide.register() in a transaction that may write, then try again.")));
	insert_generation();
}

/* is there a row of it, as far as this server knows? */
bool
generation_is_known(uint64 generation)
{
	static SPIPlanPtr plan = NULL;

	return select_generations(&plan, "SELECT FROM tide.generation g WHERE g.id OPERATOR(pg_catalog.=) $1 LIMIT 1",
							  &generation, NULL, NULL) > 0;
}

/* how far a start went: where the next one began */
typedef struct StartOfNext
{
	XLogRecPtr	position;
	uint64		first_xid;
} StartOfNext;

static void
take_start(HeapTuple tuple, TupleDesc desc, void *arg)
{
	StartOfNext *next = arg;
	bool		isnull;

	next->position = DatumGetLSN(SPI_getbinval(tuple, desc, 1, &isnull));
	next->first_xid = U64FromFullTransactionId(DatumGetFullTransactionId(SPI_getbinval(tuple, desc, 2, &isnull)));
}

/*
 * Rows of one start lie between those of its neighbours by transaction id, also
 * where one was prepared and committed later.
 */
GenerationReach
generation_reach(uint64 generation, uint64 current, XLogRecPtr position, uint64 xmax)
{
	static SPIPlanPtr plan = NULL;
	StartOfNext next;

	if (generation == current)
		return GENERATION_REACHED;
	if (select_generations(&plan,
						   "SELECT n.position, n.first_xid FROM tide.generation n"
						   " WHERE n.id OPERATOR(pg_catalog.<>) $1 AND EXISTS ("
						   " SELECT FROM tide.generation g WHERE g.id OPERATOR(pg_catalog.=) $1"
						   " AND g.xid OPERATOR(pg_catalog.<) n.xid)"
						   " ORDER BY n.xid LIMIT 1",
						   &generation, take_start, &next) == 0)
		return GENERATION_UNKNOWN;
	return position <= next.position && xmax <= next.first_xid ?
		GENERATION_REACHED : GENERATION_PASSED;
}

/*
 * Cursors of a generation saw no transaction from the next one's first on.  If
 * the horizon is beyond that, they are expired, and it need not be known any
 * more.  That takes the oldest first: a next one is never missing.
 */
int64
generation_forget(uint64 horizon)
{
	static SPIPlanPtr plan = NULL;
	static Oid	types[1] = {XID8OID};
	Datum		values[1];

	values[0] = FullTransactionIdGetDatum(FullTransactionIdFromU64(horizon));
	return (int64) owner_execute(&plan,
								 "DELETE FROM tide.generation g WHERE EXISTS (SELECT FROM tide.generation n"
								 " WHERE n.id OPERATOR(pg_catalog.<>) g.id AND n.xid OPERATOR(pg_catalog.>) g.xid"
								 " AND n.first_xid OPERATOR(pg_catalog.<) $1)",
								 1, types, values, NULL);
}

Datum
tide_register(PG_FUNCTION_ARGS)
{
	standby_refuse("tide.register()");
	generation_register();
	PG_RETURN_VOID();
}
