/*-------------------------------------------------------------------------
 *
 * version.h
 *	  The gateway's version.
 *
 *-------------------------------------------------------------------------
 */
#ifndef VERSION_H
#define VERSION_H

#define VERSION			"0.2.0"

#endif							/* VERSION_H */
