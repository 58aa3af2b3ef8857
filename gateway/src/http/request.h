/*-------------------------------------------------------------------------
 *
 * request.h
 *	  One request, from its head to the end of its reply.
 *
 *-------------------------------------------------------------------------
 */
#ifndef REQUEST_H
#define REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/login.h"
#include "api/sync.h"
#include "auth/token.h"
#include "database/job.h"
#include "http/clients.h"
#include "http/etag.h"
#include "http/events.h"
#include "http/routes.h"
#include "http/stream.h"
#include "live/live.h"
#include "util/buffer.h"
#include "util/failure.h"
#include "util/settings.h"

struct MHD_Connection;

typedef struct Request
{
	struct MHD_Connection *connection;
	Client	   *client;			/* the connection's; NULL: no memory for one */
	const Settings *settings;	/* those in force when it began */
	const Route *route;			/* NULL: no such path */
	int			method;			/* METHOD_x or 0 */
	bool		is_preflight;
	bool		must_close;		/* nobody knows where the next request begins,
								 * or it is too far away */

	char		id[72];
	char	   *method_name;
	char	   *path;
	int64_t		started;

	Identity	identity;
	Login	   *login;			/* of a path below /auth, else NULL */
	SyncFields	fields;
	Buffer		body;
	size_t		max_body;
	size_t		received;		/* bytes of the body as it was sent */
	Failure		failure;		/* why it is refused; status 0: it is not */

	Job			job;
	bool		job_done;		/* the job has its outcome and belongs to the
								 * request again */

	/* pending.c's own */
	LiveSeat	seat;
	uint64_t	base;			/* the last look before the job was queued */
	int64_t		asked_at;		/* when that was */
	bool		has_waited;		/* it has had a seat, with time to wait */
	bool		asked_again;	/* once, because something changed while it
								 * took a seat */
	Buffer		made;			/* the reply that was made without the
								 * database; empty: there is none */

	bool		is_packed;		/* the body, as gzip */
	bool		takes_gzip;
	Buffer		packed;			/* the reply in gzip's format; empty: it is
								 * not packed */
	bool		takes_lines;	/* a pull whose reply is a stream */
	Stream	   *stream;			/* that stream, else NULL */
	Events	   *events;			/* of a stream of events, else NULL */
	size_t		held;			/* bytes of its current piece that are counted */

	char		etag[ETAG_SIZE];	/* of the reply; empty: it has none */
	int			status;			/* of the reply; 0: none was sent */
	size_t		reply_bytes;
	long		rows;			/* in the reply, for the log; below 0: unknown */
} Request;

/*
 * The steps of a request; false: the connection must be closed.  The body
 * comes in any number of pieces.
 */
extern Request *request_create(struct MHD_Connection *connection,
							   const char *path, const char *method);
extern bool request_begin(Request *request, const char *version,
						  bool target_is_plain);
extern bool request_receive(Request *request, const char *data,
							size_t length);
extern bool request_continue(Request *request);
extern void request_end(Request *request);

extern bool request_is_let_in(Request *request);

#endif							/* REQUEST_H */
