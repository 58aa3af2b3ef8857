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
#include "access/xlogreader.h"
#include "access/xlogutils.h"
#include "catalog/pg_control.h"
#include "catalog/pg_type.h"
#include "common/controldata_utils.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/pg_lsn.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "cursor/generation.h"
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

/* a checkpoint that was written while nothing else was */
static bool
is_shutdown_checkpoint(XLogRecPtr position)
{
	XLogReaderState *reader;
	char	   *problem = NULL;
	bool		result;

	reader = XLogReaderAllocate(wal_segment_size, NULL,
								XL_ROUTINE(.page_read = &read_local_xlog_page,
										   .segment_open = &wal_segment_open,
										   .segment_close = &wal_segment_close),
								NULL);
	if (reader == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	XLogBeginRead(reader, position);
	result = XLogReadRecord(reader, &problem) != NULL &&
		XLogRecGetRmid(reader) == RM_XLOG_ID &&
		(XLogRecGetInfo(reader) & ~XLR_INFO_MASK) == XLOG_CHECKPOINT_SHUTDOWN;
	XLogReaderFree(reader);
	return result;
}

/*
 * The end of WAL as this start of the server found it, or something before.
 *
 * The last checkpoint is that place, if it is the one of the shutdown before
 * or of the end of recovery.  Until version 16 an online one, too, can have
 * nothing between its beginning and itself, so only the record tells.  If an
 * online checkpoint came before us, all that is sure is where the timeline
 * began, which is what a promoted standby has anyhow.
 */
static void
find_start(ServerStart *start)
{
	ControlFileData *control;
	TimeLineID	timeline = TideCurrentTimeLine();
	FullTransactionId own = GetTopFullTransactionIdIfAny();
	bool		crc_is_good;

	start->position = timeline_start();

	/* our own transaction belongs to this start, too */
	start->first_xid = U64FromFullTransactionId(FullTransactionIdIsValid(own) ? own :
												ReadNextFullTransactionId());

	LWLockAcquire(ControlFileLock, LW_SHARED);
	control = get_controlfile(DataDir, &crc_is_good);
	LWLockRelease(ControlFileLock);
	if (!crc_is_good)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("calculated CRC checksum does not match value stored in file")));

	if (control->checkPointCopy.ThisTimeLineID == timeline &&
		control->checkPointCopy.redo == control->checkPoint &&
		control->checkPoint >= start->position &&
		is_shutdown_checkpoint(control->checkPoint))
	{
		start->position = control->checkPoint;
		start->first_xid = U64FromFullTransactionId(control->checkPointCopy.nextXid);
	}
	pfree(control);
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
uint64
generation_current(void)
{
	ServerStart *shared;
	ServerStart mine;

	if (server_start.generation != 0)
		return server_start.generation;

	timeline_require_primary();
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

/* ---------- the table ---------- */

/*
 * Is it registered, as far as this transaction can tell? If another
 * transaction has registered it, that is remembered; a row of this
 * transaction may still be rolled back.
 */
static bool
is_registered(Oid table)
{
	static SPIPlanPtr plan = NULL;
	static Oid	types[1] = {INT8OID};
	Datum		values[1];
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	uint64		own;
	uint64		i;
	bool		found;

	values[0] = Int64GetDatum((int64) server_start.generation);
	owner_run(&plan, "SELECT g.xid FROM tide.generation g WHERE g.id OPERATOR(pg_catalog.=) $1",
			  1, types, values, NULL, snapshot, false);
	UnregisterSnapshot(snapshot);
	own = U64FromFullTransactionId(GetTopFullTransactionIdIfAny());
	found = (SPI_processed > 0);
	for (i = 0; i < SPI_processed; i++)
	{
		bool		isnull;
		Datum		xid = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull);

		if (U64FromFullTransactionId(DatumGetFullTransactionId(xid)) != own)
			registered_in = table;
	}
	return found;
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
	owner_run(&plan,
			  "INSERT INTO tide.generation (id, position, first_xid, started_at, xid)"
			  " VALUES ($1, $2, $3, $4, $5)",
			  5, types, values, NULL, InvalidSnapshot, true);
}

void
generation_register(void)
{
	Oid			table = owner_relation("generation");

	(void) generation_current();
	/* another one: the extension was dropped and created again */
	if (registered_in == table)
		return;

	SPI_connect();
	if (!is_registered(table))
	{
		if (XactReadOnly)
			ereport(ERROR,
					(errcode(ERRCODE_TIDE_NOT_REGISTERED),
					 errmsg("this start of the server is not registered with pg_tide"),
					 errdetail("It must be registered before a cursor is given out, but this transaction is read-only."),
					 errhint("Call tide.register() in a transaction that may write, then try again.")));
		insert_generation();
	}
	SPI_finish();
}

/*
 * Rows of one start lie between those of its neighbours by transaction id, also
 * where one was prepared and committed later.
 */
bool
generation_reached(uint64 generation, XLogRecPtr position, uint64 xmax)
{
	static SPIPlanPtr plan = NULL;
	static Oid	types[1] = {INT8OID};
	Datum		values[1];
	Snapshot	snapshot;
	bool		reached = false;

	if (generation == generation_current())
		return true;

	values[0] = Int64GetDatum((int64) generation);
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	SPI_connect();
	owner_run(&plan,
			  "SELECT n.position, n.first_xid FROM tide.generation n"
			  " WHERE n.id OPERATOR(pg_catalog.<>) $1 AND EXISTS ("
			  " SELECT FROM tide.generation g WHERE g.id OPERATOR(pg_catalog.=) $1"
			  " AND g.xid OPERATOR(pg_catalog.<) n.xid)"
			  " ORDER BY n.xid LIMIT 1",
			  1, types, values, NULL, snapshot, false);
	UnregisterSnapshot(snapshot);
	if (SPI_processed > 0)
	{
		HeapTuple	next = SPI_tuptable->vals[0];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bool		isnull;

		reached = position <= DatumGetLSN(SPI_getbinval(next, desc, 1, &isnull)) &&
			xmax <= U64FromFullTransactionId(DatumGetFullTransactionId(SPI_getbinval(next, desc, 2, &isnull)));
	}
	SPI_finish();
	return reached;
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
	int64		removed;

	values[0] = FullTransactionIdGetDatum(FullTransactionIdFromU64(horizon));
	SPI_connect();
	owner_run(&plan,
			  "DELETE FROM tide.generation g WHERE EXISTS (SELECT FROM tide.generation n"
			  " WHERE n.id OPERATOR(pg_catalog.<>) g.id AND n.xid OPERATOR(pg_catalog.>) g.xid"
			  " AND n.first_xid OPERATOR(pg_catalog.<) $1)",
			  1, types, values, NULL, InvalidSnapshot, true);
	removed = (int64) SPI_processed;
	SPI_finish();
	return removed;
}

Datum
tide_register(PG_FUNCTION_ARGS)
{
	timeline_require_primary();
	generation_register();
	PG_RETURN_VOID();
}
