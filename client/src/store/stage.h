/*
 * stage.h
 *	  Rows that wait in tide_stage for the last page, and what a pull that is
 *	  complete has not brought again.
 */
#ifndef TIDE_STORE_STAGE_H
#define TIDE_STORE_STAGE_H

#include "store/pull.h"

/* Keep a row as the JSON that it came as. */
bool		stage_put(Pull *pull, EntityType *type, const Json *json, const JsonNode *row,
					  bool deleted);

/*
 * Write what was staged into the tables, and empty it.  False without a failure
 * if pull->spoiled: it cannot be read.
 */
bool		stage_apply(Pull *pull);

/* Types of which what has come waits for the rest. */
bool		stage_list_waiting(Pull *pull, Names *names);

/* Before rows are written: note which keys come. */
bool		stage_prepare_came(Pull *pull);

/* After they are: drop what has not come again. */
bool		stage_sweep(Pull *pull);

#endif
