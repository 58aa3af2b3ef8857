/*-------------------------------------------------------------------------
 *
 * pull.h
 *	  One page of what changed for a caller.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_PULL_H
#define TIDE_PULL_H

#include "utils/array.h"
#include "pull/page.h"

extern void pull_page(Pull *pull, const char *since, ArrayType *scopes,
					  ArrayType *entity_types, int max_rows, ArrayType *refresh);
extern void pull_open(Pull *pull, ArrayType *scopes, ArrayType *entity_types);
extern void pull_at_rest(Pull *pull);
extern void pull_finish(Pull *pull);

#endif							/* TIDE_PULL_H */
