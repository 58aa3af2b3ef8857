/*-------------------------------------------------------------------------
 *
 * maintenance.h
 *	  tide.maintain() every maintain-interval.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MAINTENANCE_H
#define MAINTENANCE_H

#include <stdint.h>

#define MAINTENANCE_NEVER	INT64_MAX

extern int64_t maintenance_tick(void);
extern void maintenance_stop(void);

#endif							/* MAINTENANCE_H */
