/*
 * tide.h
 *	  libtide: offline-first sync of an SQLite database with pg_tide.
 *
 * The tables of the database are ordinary ones, which any program may write at
 * any time; triggers note what was written.  This library sends that to the
 * server and brings what others wrote.
 *
 * There are two ways to use it.
 *
 * With an HTTP stack of your own, use the core alone.  It knows no sockets, no
 * threads and no clock: tide_next() says what to send, or until when to wait
 * and for what; tide_reply_begin(), tide_reply() and tide_reply_end() take an
 * answer, in pieces; tide_no_answer() says that none came.  The time is handed
 * in, as milliseconds since 1970.
 *
 * Or let tide_run() do that over libcurl.
 *
 * All calls on one handle must come from one thread at a time.  Each returns
 * TIDE_OK or another code of enum tide_result, and tide_error() has the words.
 * Text is UTF-8.  What a call returns by pointer is the handle's, and valid
 * until the next call on it.  What a call needs and does not get, a handle
 * included, is TIDE_USAGE.
 *
 * Functions that a call gets (for tokens, states, differences) may call
 * tide_stop(), tide_network_is_back() and tide_get_state(), and the one for
 * tokens tide_set_token().
 */
#ifndef TIDE_H
#define TIDE_H

#include <stddef.h>
#include <stdint.h>

#include <sqlite3.h>

#ifdef __cplusplus
extern "C"
{
#endif

#if defined(__GNUC__)
#define TIDE_API __attribute__((visibility("default")))
#else
#define TIDE_API
#endif

#define TIDE_VERSION "0.2.0"

	typedef struct tide tide;

/* The numbers are the exit statuses of the command `tide`, but for TIDE_BUSY. */
	enum tide_result
	{
		TIDE_OK = 0,
		TIDE_SOME_FAILED = 1,	/* done; some rows were refused, lost or
								 * parked */
		TIDE_USAGE = 2,			/* a call or argument that makes no sense here */
		TIDE_OFFLINE = 3,		/* no answer from the server */
		TIDE_SIGNED_OUT = 4,	/* no token, or somebody else's */
		TIDE_LOCAL = 5,			/* trouble with the local file */
		TIDE_REFUSED = 6,		/* the server refused, or is not understood */
		TIDE_BUSY = 100			/* another program holds the file: call again */
	};

/*
 * Opening
 */

/*
 * Use a connection of the host's.  Nothing else is opened, and the connection
 * stays the host's: tide_close() leaves it open.  Calls refuse to run while it
 * is in a transaction, or in a statement that writes.
 */
	TIDE_API int tide_attach(sqlite3 * db, tide **out);

/*
 * Open a file with the SQLite that this library is linked with.  The file is
 * made if `create` is true and it is not there.  A host that has the file open
 * with an SQLite of its own must use tide_attach(): closing a second copy's
 * descriptor would drop its locks.
 *
 * Both calls give a handle also where they fail, unless memory ran out, for
 * tide_error() to say why; it has to be closed.
 */
	TIDE_API int tide_open(const char *path, int create, tide **out);

	TIDE_API void tide_close(tide *t);

/* Has the file been set up for sync? */
	TIDE_API int tide_is_set_up(tide *t);

/*
 * Set a file up.  The options are a JSON object:
 *
 *	  server			URL of the gateway, without /api/v1; needed
 *	  entityTypes		array of names; all, if it is not there
 *	  scopes			array of scopes; all, if it is not there
 *	  naming			"as_is" (default), or "snake": training_plan.athlete_id
 *	  statusColumns		true: each table gets isDirty and lastSyncedAt
 *	  allowNumberKeys	true: rows may be inserted where the server numbers the
 *						keys, though two devices may make the same ones
 *	  attach			true: use the tables that are there, and make no others
 *	  map				with attach, which is which, where names do not tell:
 *						{"TrainingPlan": {"table": "training_plans", "columns":
 *						{"athleteId": "athlete_id"}, "times": "iso", "s" or "ms"}}
 *
 * The tables are made by the first sync.  Names of an app's own tables and
 * columns match those of the wire whatever their case, "_" and plural; a column
 * that the map gives as null is not in the table.  A file that is set up already
 * is refused with TIDE_LOCAL.
 */
	TIDE_API int tide_setup(tide *t, const char *options);

/*
 * The token (a JWT) for the next requests; NULL forgets it.  A file belongs to
 * one server and one user: the token of another one is TIDE_SIGNED_OUT, and
 * nothing is sent.
 */
	TIDE_API int tide_set_token(tide *t, const char *token);

/*
 * The core
 */

	enum tide_step_kind
	{
		TIDE_SEND,				/* send this request */
		TIDE_WAIT				/* nothing to send now */
	};

/* what a wait is for */
	enum tide_wait
	{
		TIDE_FOR_SYNC,			/* until tide_sync() is called */
		TIDE_FOR_RETRY,			/* until a refused row is due again */
		TIDE_FOR_NETWORK,		/* until the server is tried again */
		TIDE_FOR_TOKEN,			/* until tide_set_token() is called */
		TIDE_FOR_RESUME,		/* until tide_resume() is called */
		TIDE_FOR_NEWS			/* until the server is asked for news again */
	};

	typedef struct tide_step
	{
		int			kind;		/* enum tide_step_kind */

		/* TIDE_SEND */
		int			listens;	/* it waits for news of the server: see
								 * tide_listen() */
		int			streams;	/* the answer may be a long one: hand its
								 * pieces in as they come, it is taken as it
								 * comes */
		const char *method;		/* GET, POST */
		const char *url;
		const char *headers;	/* lines "Name: value\r\n"; has the token */
		const char *body;		/* NULL: none */
		size_t		body_length;

		/* TIDE_WAIT */
		int			wait;		/* enum tide_wait */
		int64_t		until;		/* INT64_MAX: no time ends it */
	} tide_step;

/*
 * Ask for a sync: a pull, a push, what is due again, and a pull of what the
 * push caused.  One that is under way goes on, and is followed by another.
 */
	TIDE_API int tide_sync(tide *t);

/*
 * With `on`, edits are a reason to sync by themselves, and while there is none
 * tide_next() gives requests that wait for news of the server: the answer may
 * take half a minute, or be a stream that lasts for hours, whose pieces are
 * handed in as they come.  Meanwhile ask tide_is_due() a few times a second,
 * and after each piece; when it says so, drop the request and call tide_next().
 */
	TIDE_API int tide_listen(tide *t, int on);

/* 1: call tide_next(); 0: there is nothing that it would do. */
	TIDE_API int tide_is_due(tide *t, int64_t now);

/*
 * What to do now.  Call it again after each answer, and when a wait is over.
 * TIDE_BUSY and TIDE_LOCAL leave everything as it was: call it again.
 */
	TIDE_API int tide_next(tide *t, int64_t now, tide_step *step);

/*
 * An answer, and of a stream what has come since its last cursor, takes no more
 * memory than this: bytes, once they are decompressed.
 */
#define TIDE_ANSWER_BYTES (128 * 1024 * 1024)

/*
 * The answer to the request of the last tide_next(): its status, and the
 * headers that matter as lines "Name: value\r\n" (ETag, Retry-After), or NULL.
 * tide_reply() returns TIDE_OFFLINE where the answer takes more than
 * TIDE_ANSWER_BYTES: drop the request and call tide_no_answer().
 */
	TIDE_API int tide_reply_begin(tide *t, int status, const char *headers);
	TIDE_API int tide_reply(tide *t, const void *data, size_t length);

/*
 * The answer is complete.  TIDE_BUSY: it is kept; call this again.  An answer
 * that ends the sync (see tide_finished()) returns why.
 */
	TIDE_API int tide_reply_end(tide *t, int64_t now);

/*
 * No answer came, or it was cut off.  The sync is tried again after 1, 2, 4, 8,
 * 16, 16, ... seconds at most, at random, or after as long as the server said
 * (Retry-After, 15 minutes at most); tide_network_is_back() shortens that.
 * Returns TIDE_OFFLINE.
 */
	TIDE_API int tide_no_answer(tide *t, int64_t now, const char *why);

/* what the last sync did, or the one under way has done so far */
	typedef struct tide_summary
	{
		int			finished;	/* there is none under way */
		int			result;		/* enum tide_result, of one that is finished */
		int64_t		pulled;		/* rows of the tables that changed */
		int64_t		pushed;		/* edits that were answered */
		int64_t		failed;		/* edits that were refused */
		int64_t		lost;		/* edits that another version won over */
		int64_t		parked;		/* edits that are parked now */
		int64_t		pending;	/* edits that are not sent, parked ones too */
		int64_t		next_retry; /* when the next is due, INT64_MAX: none is */
		const char *phase;		/* "schema", "pull", "push", "idle" */
	} tide_summary;

	TIDE_API int tide_summarize(tide *t, tide_summary *summary);

/*
 * With libcurl
 */

/*
 * Do one sync and return when it is done, or when the server does not answer
 * (within ten seconds), or asks for another token.  TIDE_SOME_FAILED if rows
 * were refused or lost in it, or are parked.
 */
	TIDE_API int tide_run(tide *t);

/*
 * Sync whenever there is a reason, until tide_stop(): an edit of any program,
 * a command in tide_command, a row that is due, news of the server.  A server
 * that is away and a file that another program holds are waited for; anything
 * else ends it, as its code says.
 */
	TIDE_API int tide_watch(tide *t);

/*
 * End tide_watch(), tide_run() or tide_verify(): the one that is at work, else
 * the next one, as soon as it begins.  Those after that go on.  Any thread or
 * signal handler may call it.
 */
	TIDE_API void tide_stop(tide *t);

/*
 * Where tide_run() and tide_watch() get a token from that the server takes,
 * when they have none or it refused theirs.  The function calls
 * tide_set_token(), and returns its code.  tide_watch() asks again after 1, 2, 4,
 * 8, 16, 16, ... seconds while the server takes none of them.
 */
	typedef int (*tide_token_source) (void *arg, tide *t);

	TIDE_API void tide_on_token(tide *t, tide_token_source source, void *arg);

/* The network is back: try at once, with the schedule from its start.  Any
 * thread may call it. */
	TIDE_API int tide_network_is_back(tide *t);

/*
 * Pause: push what is queued, if there is time, and return within so many
 * milliseconds, with no request out and no lock of SQLite held (iOS kills a
 * suspended process that holds one).  Any thread may call it, also while
 * another is in tide_run(), which returns TIDE_BUSY, or in tide_watch(), which
 * waits.  TIDE_BUSY: that thread could not be stopped in time, and pauses as
 * soon as it can.
 *
 * What SQLite does on the connection when the time runs out is interrupted.
 */
	TIDE_API int tide_pause(tide *t, int64_t milliseconds);

/* Go on: the next thing is a sync.  Any thread may call it. */
	TIDE_API int tide_resume(tide *t);

/*
 * What it is doing
 */

	enum tide_state_kind
	{
		TIDE_STATE_IDLE,
		TIDE_STATE_SYNCING,
		TIDE_STATE_OFFLINE,
		TIDE_STATE_ERROR,
		TIDE_STATE_SIGNED_OUT,
		TIDE_STATE_PAUSED
	};

	typedef struct tide_state
	{
		int			kind;		/* enum tide_state_kind */
		const char *name;		/* as in tide_status */
		const char *phase;		/* "schema", "pull", "push", "idle" */
		int64_t		rows;		/* of this sync so far */
		int64_t		bytes;		/* of answers */
		double		share;		/* of a push, 0 to 1; -1: not known */
		int64_t		change_seq; /* as in tide_status */
		const char *changed_tables; /* since it was told last, a JSON array */
	} tide_state;

	TIDE_API int tide_get_state(tide *t, tide_state *state);

/*
 * Have a function called while tide_run() and tide_watch() work, in their
 * thread: when something changed, at most every 200 ms, and at the end.  A
 * table whose rows a pull changed is in changed_tables once.  NULL: no longer.
 */
	typedef void (*tide_observer) (void *arg, const tide_state *state);

	TIDE_API void tide_on_state(tide *t, tide_observer observer, void *arg);

/*
 * Does the file hold what the server holds?  After a sync, the rows that are
 * "missing" here, "extra", or differ ("differs") are told, and TIDE_SOME_FAILED
 * is returned if there are any.  Edits that are not sent are no difference.
 *
 * That compares keys and stamps by a digest, which costs little; content that
 * changed without its stamp is seen with TIDE_VERIFY_FULL only, which reads all
 * rows.
 */
#define TIDE_VERIFY_FULL 1

	typedef void (*tide_difference) (void *arg, const char *entity_type, const char *key,
									 const char *difference);

	TIDE_API int tide_verify(tide *t, int flags, tide_difference difference, void *arg);

/*
 * Rows
 */

/* Have refused and parked edits sent with the next sync: one, or with NULL all. */
	TIDE_API int tide_retry(tide *t, const char *entity_type, const char *key);

/*
 * Undo an edit that is not sent: the server's latest version that is known here
 * comes back.  The key is the bare text, of several columns the JSON object.
 */
	TIDE_API int tide_discard(tide *t, const char *entity_type, const char *key);

/*
 * Log out: the file syncs no more until it gets a token of its user.  While edits
 * are unsent that is refused, with TIDE_SOME_FAILED, unless it is forced.  Wiped,
 * the file loses its rows and edits, and belongs to nobody; that is refused, too, while
 * rows have to be compared with the server's first, to find edits that no trigger saw.
 */
#define TIDE_LOGOUT_FORCE 1
#define TIDE_LOGOUT_WIPE 2

	TIDE_API int tide_logout(tide *t, int flags);

/*
 * Words
 */

/* What the last call that failed says: a message, a code, a hint or "". */
	TIDE_API const char *tide_error(tide *t);
	TIDE_API const char *tide_error_code(tide *t);
	TIDE_API const char *tide_error_hint(tide *t);

/* The version of the library: TIDE_VERSION of what it was built from. */
	TIDE_API const char *tide_version(void);

#ifdef __cplusplus
}
#endif

#endif
