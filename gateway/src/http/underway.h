/*-------------------------------------------------------------------------
 *
 * underway.h
 *	  The requests that are under way, all together.
 *
 *-------------------------------------------------------------------------
 */
#ifndef UNDERWAY_H
#define UNDERWAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

extern void underway_start(void);
extern void underway_stop(void);

extern void underway_add(void);
extern void underway_remove(void);
extern int	underway_count(void);
extern bool underway_wait_idle(int64_t until);

extern void underway_leave(void);
extern bool underway_is_leaving(void);
extern void underway_refuse_new(void);
extern bool underway_refuses_new(void);

extern void underway_make_id(char *id, size_t size);

#endif							/* UNDERWAY_H */
