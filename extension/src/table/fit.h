/*-------------------------------------------------------------------------
 *
 * fit.h
 *	  Which columns the settings of a table mean, and whether it still fits them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_FIT_H
#define TIDE_FIT_H

#include "catalog/pg_class.h"
#include "nodes/pg_list.h"
#include "table/tracked.h"

extern void fit_settings(TrackedTable *t, Form_pg_class class, List *triggers);

#endif							/* TIDE_FIT_H */
