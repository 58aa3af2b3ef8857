/*
 * settle.h
 *	  The answer to a batch, taken in one transaction.
 */
#ifndef TIDE_STORE_SETTLE_H
#define TIDE_STORE_SETTLE_H

#include "store/freeze.h"

/* when a refused row is tried again: the schedule is the engine's */
typedef struct RowSchedule
{
	/* milliseconds until try number `tries` + 1, -1: it is parked */
	int64_t		(*delay) (int64_t tries, void *arg);
	void	   *arg;
} RowSchedule;

typedef struct SettleResult
{
	int64_t		pushed;
	int64_t		failed;
	int64_t		lost;
	int64_t		parked;
} SettleResult;

bool		batch_settle(Store *store, const Batch *batch, const Json *reply,
						 const RowSchedule *schedule, int64_t now, SettleResult *result);

/*
 * The server refused the batch, which is of one row, as a whole: that row is
 * refused.  With `park` it is not tried again.
 */
bool		batch_refuse(Store *store, const char *code, const char *message, bool park,
						 const RowSchedule *schedule, int64_t now, SettleResult *result);

#endif
