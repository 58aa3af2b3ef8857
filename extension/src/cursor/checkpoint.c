/*-------------------------------------------------------------------------
 *
 * checkpoint.c
 *	  Checkpoints at which a start of the server ends or begins.
 *
 * A server that is stopped writes a checkpoint last, and one that has recovered
 * writes one first.  Nothing else is written meanwhile, so such a checkpoint
 * is a place in the WAL between two starts of the server.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "access/xlogreader.h"
#include "access/xlogutils.h"
#include "catalog/pg_control.h"
#include "common/controldata_utils.h"
#include "miscadmin.h"
#include "storage/lwlock.h"

#include "cursor/checkpoint.h"
#include "util/compat.h"

/* what the record of a checkpoint takes in the WAL, without page headers */
#define CHECKPOINT_LENGTH \
	MAXALIGN(SizeOfXLogRecord + SizeOfXLogRecordDataHeaderShort + sizeof(CheckPoint))

bool
checkpoint_read(XLogRecPtr position, QuietCheckpoint *result)
{
	XLogReaderState *reader;
	TideReadPrivate private = {0};
	char	   *problem = NULL;
	bool		found;

	reader = XLogReaderAllocate(wal_segment_size, NULL,
								XL_ROUTINE(.page_read = &TideReadPage,
										   .segment_open = &wal_segment_open,
										   .segment_close = &wal_segment_close),
								&private);
	if (reader == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	XLogBeginRead(reader, position);
	found = XLogReadRecord(reader, &problem) != NULL &&
		XLogRecGetRmid(reader) == RM_XLOG_ID &&
		(XLogRecGetInfo(reader) & ~XLR_INFO_MASK) == XLOG_CHECKPOINT_SHUTDOWN &&
		XLogRecGetDataLen(reader) == sizeof(CheckPoint);
	if (found)
	{
		CheckPoint	checkpoint;

		memcpy(&checkpoint, XLogRecGetData(reader), sizeof(CheckPoint));
		result->position = position;
		result->timeline = checkpoint.ThisTimeLineID;
		result->next_xid = U64FromFullTransactionId(checkpoint.nextXid);
	}
	XLogReaderFree(reader);
	return found;
}

/*
 * Until version 16 an online checkpoint, too, can have nothing between its
 * beginning and itself, so only the record tells.
 */
bool
checkpoint_of_control_file(QuietCheckpoint *result)
{
	ControlFileData *control;
	XLogRecPtr	position;
	bool		crc_is_good;
	bool		may_be;

	LWLockAcquire(ControlFileLock, LW_SHARED);
	control = get_controlfile(DataDir, &crc_is_good);
	LWLockRelease(ControlFileLock);
	if (!crc_is_good)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("calculated CRC checksum does not match value stored in file")));
	position = control->checkPoint;
	may_be = (control->checkPointCopy.redo == position);
	pfree(control);
	return may_be && checkpoint_read(position, result);
}

/* Where a record of this length begins that ends here. */
static XLogRecPtr
record_start(XLogRecPtr end, uint32 length)
{
	XLogRecPtr	page = (end - 1) - (end - 1) % XLOG_BLCKSZ;
	uint32		header = XLogSegmentOffset(page, wal_segment_size) == 0 ?
		SizeOfXLogLongPHD : SizeOfXLogShortPHD;
	uint32		on_page;

	if (end < page + header)
		return InvalidXLogRecPtr;
	on_page = end - page - header;
	return on_page >= length ? end - length : page - (length - on_page);
}

bool
checkpoint_ending_at(XLogRecPtr end, QuietCheckpoint *result)
{
	XLogRecPtr	start;

	if (end < wal_segment_size)
		return false;
	start = record_start(end, CHECKPOINT_LENGTH);
	return !XLogRecPtrIsInvalid(start) && checkpoint_read(start, result);
}
