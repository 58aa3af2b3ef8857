/*
 * link.h
 *	  Has the system got an address or a route again?
 */
#ifndef TIDE_LOOP_LINK_H
#define TIDE_LOOP_LINK_H

#include <stdbool.h>

/* -1 where the system does not tell: then only the schedule does. */
int			link_open(void);
void		link_close(int fd);

/* What came in since; never waits. */
bool		link_is_up_again(int fd);

#endif
