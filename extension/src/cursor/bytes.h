/*-------------------------------------------------------------------------
 *
 * bytes.h
 *	  The numbers and texts that a cursor is made of, as bytes.
 *
 * Pure: uses neither SPI, tables nor the clock.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_BYTES_H
#define TIDE_BYTES_H

/* so that a forged cursor cannot make us allocate without bounds */
#define CURSOR_MAX_TEXT		(128 * 1024)

typedef struct Writer
{
	uint8	   *data;			/* palloc'd */
	size_t		used;
	size_t		room;
} Writer;

typedef struct Reader
{
	const uint8 *at;
	const uint8 *end;
} Reader;

extern void put_byte(Writer *w, uint8 byte);
extern void put_varint(Writer *w, uint64 v);
extern void put_fixed64(Writer *w, uint64 v);
extern void put_string(Writer *w, const char *text);

/* ascending */
extern void put_numbers(Writer *w, const int32 *numbers, int n);

/* what is not what a put_ function has written raises TD002 */
extern uint8 get_byte(Reader *r);
extern uint64 get_varint(Reader *r, uint64 max);
extern uint64 get_fixed64(Reader *r);

/* palloc'd */
extern char *get_string(Reader *r);

/* a number of things that take at least one byte each */
extern int	get_count(Reader *r, uint64 max);

/* palloc'd: ascending numbers, at most so many, none above the largest */
extern int32 *get_numbers(Reader *r, int max, int32 largest, int *n);

#endif							/* TIDE_BYTES_H */
