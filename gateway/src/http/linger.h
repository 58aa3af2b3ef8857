/*-------------------------------------------------------------------------
 *
 * linger.h
 *	  Lets clients that are still sending read a reply that came early.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LINGER_H
#define LINGER_H

#include <stdbool.h>

extern bool linger_start(void);
extern void linger_adopt(int fd);
extern void linger_stop(void);

#endif							/* LINGER_H */
