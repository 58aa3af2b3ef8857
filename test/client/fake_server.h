/*
 * fake_server.h
 *	  A server in memory for tests of the engine: two types of rows, the later
 *	  stamp stands, a base that still stands always does, a batch id is answered
 *	  once.  It keeps a history of all that it ever stored.
 */
#ifndef FAKE_SERVER_H
#define FAKE_SERVER_H

#include "tide.h"
#include "wire/json.h"

typedef struct FakeServer
{
	sqlite3    *db;
	int			page;			/* rows a page of a pull */
	int			status;			/* not 0: answer everything with that */
	const char *headers;		/* ... and with these */
	int			largest_push;	/* rows; more get 413; 0: no limit */
	int			pushes;			/* bodies that were not repeats */
	bool		events;			/* there is a stream of them; the test writes
								 * it */
	bool		wide;			/* plans have a column b */
	bool		lines;			/* a pull is a stream where that is accepted */
	bool		reset;			/* the next pull with a cursor gets a reset */
} FakeServer;

typedef struct FakeAnswer
{
	int			status;
	const char *headers;
	Buffer		body;
} FakeAnswer;

void		fake_open(FakeServer *server);
void		fake_close(FakeServer *server);

/* Do what a request asks for. */
void		fake_answer(FakeServer *server, const tide_step *step, FakeAnswer *answer);

/* Hand an answer in, and free it; the code of the call that ended that. */
int			fake_give(tide *t, FakeAnswer *answer, int64_t now);

/* A token of a user. */
extern const char fake_token[];

/* A device: a database in memory, with a handle that is set up. */
void		fake_device(sqlite3 * *db, tide **t);

/* Run statements, which must succeed; the first value of a query, as text. */
void		fake_sql(sqlite3 * db, const char *sql);
char	   *fake_value(sqlite3 * db, const char *sql);

/* The first value of a query is this text, or the test ends. */
void		fake_is(sqlite3 * db, const char *sql, const char *wanted);

/* A line of TAP: what was tried until now has gone well. */
void		fake_ok(const char *what);

/* Sync until there is nothing to send; the code of the call that ended it. */
int			fake_sync(FakeServer *server, tide *t, int64_t now);

/*
 * Likewise, but a function of the test looks at each request first: it answers, or
 * leaves it to the server, or lets the sync end there.  "answer" is empty, and
 * its status 200.
 */
typedef enum FakeChoice
{
	FAKE_USUAL,
	FAKE_ANSWERED,
	FAKE_END
} FakeChoice;

typedef FakeChoice (*FakeAnswers) (void *arg, const tide_step *step, FakeAnswer *answer);

int			fake_sync_by(FakeServer *server, tide *t, int64_t now, FakeAnswers answers, void *arg);

/* The rows of a type, as text, for comparing. */
extern const char fake_rows_sql[];
extern const char fake_device_rows_sql[];

#define check(condition) \
	do { \
		if (!(condition)) \
		{ \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
			exit(1); \
		} \
	} while (0)

#endif
