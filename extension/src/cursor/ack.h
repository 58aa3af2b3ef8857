/*-------------------------------------------------------------------------
 *
 * ack.h
 *	  The name of one push, and its text form.
 *
 * Pure: uses neither SPI, tables nor the clock.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_ACK_H
#define TIDE_ACK_H

typedef struct Ack
{
	uint64		generation;		/* the start of the server that it ran in */
	uint64		xid;			/* its top-level transaction; 0: it wrote
								 * nothing */
	uint32		number;			/* which push of that transaction, from 1 */
} Ack;

/* the most that a pull takes */
#define ACK_MAX 32

extern char *ack_encode(const Ack *ack);

/* raises an error unless ack_encode() has made the text */
extern void ack_decode(const char *text, Ack *ack);

#endif							/* TIDE_ACK_H */
