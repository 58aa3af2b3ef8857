/*-------------------------------------------------------------------------
 *
 * checkpoint.h
 *	  Checkpoints at which a start of the server ends or begins.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_CHECKPOINT_H
#define TIDE_CHECKPOINT_H

#include "access/xlogdefs.h"

/* a checkpoint that was written while nothing else was */
typedef struct QuietCheckpoint
{
	XLogRecPtr	position;		/* where its record begins */
	TimeLineID	timeline;
	uint64		next_xid;		/* ids from here on were given out after it */
} QuietCheckpoint;

/* that of the record at this position; false: it is another kind of record */
extern bool checkpoint_read(XLogRecPtr position, QuietCheckpoint *result);

/* the last one that the control file knows; false: it is an online one */
extern bool checkpoint_of_control_file(QuietCheckpoint *result);

/* that of the record which ends here, if it is one */
extern bool checkpoint_ending_at(XLogRecPtr end, QuietCheckpoint *result);

#endif							/* TIDE_CHECKPOINT_H */
