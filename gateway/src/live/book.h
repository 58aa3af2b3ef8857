/*-------------------------------------------------------------------------
 *
 * book.h
 *	  Which polls are remembered, who waits for what, and which look of the
 *	  watcher answers or wakes whom: pure decisions.
 *
 * Knows nothing of threads, HTTP, the database or the clock: whoever calls
 * says what time it is, and holds a lock.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BOOK_H
#define BOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

/*
 * What makes two polls the same: a hash of cursor, claims, role, scopes, types,
 * acks and client.
 */
#define BOOK_KEY_SIZE	32

/* What a pull that came to its end is about. */
typedef struct Interest
{
	char	   *server;			/* which one has answered, and which start of
								 * it */
	bool		all_scopes;
	char	  **scopes;			/* as the change log writes them */
	int			scope_count;
	int32_t    *types;			/* registrations, ascending */
	int			type_count;
	char	   *unavailable;	/* JSON array of types that cannot be served;
								 * NULL: none */
} Interest;

typedef struct Book Book;
typedef struct Remembered Remembered;

/* What a look has brought. */
typedef struct Look
{
	bool		known;			/* the names below are all that changed since
								 * the look before */
	const char *server;
	int64_t		at;				/* the database's time before the look's
								 * snapshot, Unix milliseconds */
	int			name_count;
	char	  **scopes;			/* of each name; empty: of a shared table */
	int32_t    *types;
} Look;

typedef enum SeatOutcome
{
	SEAT_EMPTY,					/* nothing changed, as of the time "at" */
	SEAT_ASK					/* the database has to be asked */
} SeatOutcome;

/* Somebody who waits for a look.  Zeroed by its owner before it is used. */
typedef struct Seat
{
	int64_t		until;			/* set by the owner: before this moment,
								 * "empty" is no answer; 0: it is one as soon
								 * as a look allows */
	SeatOutcome outcome;		/* once it is in a list of those that are done */
	int64_t		at;				/* with SEAT_EMPTY */
	char	   *unavailable;	/* with SEAT_EMPTY: the owner frees it */

	/* book.c's own */
	Remembered *entry;			/* NULL: nobody has told what it waits for */
	uint64_t	look;			/* the first look that counts for it */
	bool		is_seated;
	bool		is_fresh;		/* that look is not complete yet */
	int64_t		due;			/* when something happens to it at the latest */
	int			place;			/* in the heap */
				TAILQ_ENTRY(Seat) link; /* of its entry's, or those that are
										 * done */
				TAILQ_ENTRY(Seat) fresh_link;
} Seat;

TAILQ_HEAD(SeatList, Seat);

/*
 * How long to believe what a pull has found.  Moments are of the caller's
 * clock.
 */
typedef struct Trust
{
	uint64_t	base;			/* the last look that was complete before the
								 * pull's snapshot; 0: there is none */
	int64_t		poll_until;		/* until this moment, polls are answered
								 * although some changes have no entry in the
								 * log */
	int64_t		wait_until;		/* likewise for requests that wait */
	int64_t		renew_at;		/* when the cursor is to be replaced by a
								 * younger one */
} Trust;

extern Book *book_create(int most_remembered);
extern void book_free(Book *book);
extern void book_set_most(Book *book, int most_remembered);

/* looks */
extern uint64_t book_last_look(const Book *book);
extern void book_begin_look(Book *book);
extern void book_end_look(Book *book, const Look *look, int64_t now,
						  struct SeatList *done);
extern void book_forget(Book *book, struct SeatList *done);

/* polls and those that wait */
extern bool book_remember(Book *book, const unsigned char *key,
						  Interest *interest, const Trust *trust,
						  struct SeatList *done);
extern bool book_sit(Book *book, const unsigned char *key, Seat *seat,
					 bool is_poll, int64_t now);
extern bool book_sit_blind(Book *book, Seat *seat, int64_t due);
extern bool book_leave(Book *book, Seat *seat);
extern void book_expire(Book *book, int64_t now, struct SeatList *done);
extern void book_empty(Book *book, struct SeatList *done);

/* what the watcher has to do */
extern bool book_wants_look_at_once(const Book *book);
extern bool book_wants_looks(const Book *book);
extern int64_t book_next_due(const Book *book);
extern int	book_count_seats(const Book *book);
extern int	book_count_fresh(const Book *book);
extern int	book_count_remembered(const Book *book);

#endif							/* BOOK_H */
