/*-------------------------------------------------------------------------
 *
 * pg_tide.c
 *	  Loading the library.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"

#include "capture/capture.h"
#include "table/registry.h"
#include "track/partitions.h"
#include "util/compat.h"
#include "util/plan.h"
#include "util/settings.h"

TIDE_MODULE_MAGIC("pg_tide", TIDE_VERSION);

#if PG_VERSION_NUM < 140000 || PG_VERSION_NUM >= 190000
#error "pg_tide is written for PostgreSQL 14 to 18"
#endif

void		_PG_init(void);

void
_PG_init(void)
{
	settings_define();
	plans_init();
	registry_init();
	capture_rows_init();
	partitions_init();
}
