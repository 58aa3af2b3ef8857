/*-------------------------------------------------------------------------
 *
 * clients.c
 *	  Who is connected: how many, and for how long they may take.
 *
 * A client that sends a byte now and then could keep a connection for ever.
 * So each connection is in a phase, which has a deadline, and one thread cuts
 * the connections whose deadline has passed.  The client gets a 408 if no reply
 * to its request has begun, else nothing.
 *
 * The lock is held for a few assignments, and by the watching thread while it
 * looks at each connection once, four times a second.
 *
 *-------------------------------------------------------------------------
 */
#include <poll.h>
#include <pthread.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "http/check.h"
#include "http/clients.h"
#include "http/cors.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/metrics.h"

#define WATCH_INTERVAL	(CLOCK_SECOND / 4)
#define NEVER			INT64_MAX

/* What a user, or an address, has open.  Freed when nothing is open. */
typedef struct Tally
{
	char	   *key;			/* "u" and the user, "a" and the address */
	int			connections;
	int			requests;		/* requests that have no reply yet */
	size_t		bytes;			/* of bodies and replies in memory */
} Tally;

typedef enum Phase
{
	PHASE_HEADERS,				/* of its first request, or of a refused one */
	PHASE_IDLE,					/* between requests, during headers of a later
								 * one, or once it is refused */
	PHASE_BODY,
	PHASE_WORK,					/* the request is there, and its reply is not */
	PHASE_REPLY
} Phase;

struct Client
{
	int			socket;
	Phase		phase;
	int64_t		deadline;		/* of the phase; NEVER: it has none */
	int			min_rate;		/* of a body, in bytes a second */
	int64_t		longest_pause;	/* in a body */
	bool		cut;			/* the socket is shut down */
	bool		gone;			/* the other side has closed it */
	bool		ended;			/* likewise as it seems, since the last look */
	bool		counted;		/* it counts in "connections" */
	Tally	   *address;		/* NULL: a trusted proxy, whose connections
								 * are not counted */
	Tally	   *user;			/* the user of the last request's token, or
								 * NULL */
	bool		in_request;		/* it counts in user->requests */
	size_t		bytes;			/* of its request and reply; they count in
								 * user->bytes, too */
	char	   *origin;			/* the origin whose pages may read the reply,
								 * or NULL */
	bool		refused;		/* there is no room for it, or for its target */
	Failure		refusal;		/* with refused: why */
	void	   *pending;		/* what its request waits for, or NULL */
	bool		(*abandon) (void *pending); /* called when nobody waits any
											 * more */
				LIST_ENTRY(Client) link;
};

static LIST_HEAD(, Client) clients = LIST_HEAD_INITIALIZER(clients);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t stop_requested;
static pthread_t watcher;
static bool running = false;
static bool stopping = false;
static void *tallies = NULL;	/* tsearch's tree */
static int	connections = 0;
static int	most_connections = 0;
static size_t all_bytes = 0;

/* ---------- tallies ---------- */

static int
compare_tallies(const void *a, const void *b)
{
	return strcmp(((const Tally *) a)->key, ((const Tally *) b)->key);
}

/* The tally of a key, made if it is not there; NULL: no memory. */
static Tally *
find_tally(char kind, const char *name)
{
	Tally	   *made = calloc(1, sizeof(Tally));
	Tally	  **found = NULL;

	if (made != NULL &&
		asprintf(&made->key, "%c%s", kind, name) >= 0)
	{
		found = tsearch(made, &tallies, compare_tallies);
		if (found != NULL && *found == made)
			return made;
		free(made->key);
	}
	free(made);
	return found == NULL ? NULL : *found;
}

/* Free the tally if it counts nothing. */
static void
tidy_tally(Tally *tally)
{
	if (tally->connections > 0 || tally->requests > 0 || tally->bytes > 0)
		return;
	tdelete(tally, &tallies, compare_tallies);
	free(tally->key);
	free(tally);
}

/* From now on the connection counts for this user; NULL: for nobody. */
static void
set_user(Client *client, Tally *user)
{
	Tally	   *old = client->user;

	if (old == user)
		return;
	client->user = user;
	if (user != NULL)
		user->connections++;
	if (old != NULL)
	{
		old->connections--;
		tidy_tally(old);
	}
}

/* ---------- cutting ---------- */

/*
 * The origin whose pages may read a reply to a request that has not come to
 * its end.  If its head has not come either, only the settings tell.
 */
static const char *
guess_origin(const Client *client, const Settings *settings)
{
	if (client->phase != PHASE_HEADERS)
		return client->origin;
	if (settings->cors_any)
		return "*";
	return settings->cors_origins.count == 1 ? settings->cors_origins.items[0] :
		NULL;
}

/* Send a whole reply past libmicrohttpd; what follows it is not read. */
static void
send_failure(const Client *client, const Failure *failure)
{
	const Settings *settings = settings_acquire();
	const char *origin = guess_origin(client, settings);
	Buffer		body = {0};
	Buffer		reply = {0};
	char		head[256];

	failure_write(failure, &body);
	snprintf(head, sizeof(head),
			 "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\n"
			 "Cache-Control: no-store\r\nConnection: close\r\n"
			 "Content-Length: %zu\r\n", failure->status,
			 failure->status == 408 ? "Request Timeout" :
			 failure->status == 414 ? "URI Too Long" :
			 failure->status == 429 ? "Too Many Requests" : "Service Unavailable",
			 body.length);
	buffer_append_text(&reply, head);
	if (failure->retry_after > 0)
	{
		snprintf(head, sizeof(head), "Retry-After: %d\r\n", failure->retry_after);
		buffer_append_text(&reply, head);
	}
	if (cors_varies(settings))
		buffer_append_text(&reply, "Vary: Origin\r\n");
	if (origin != NULL)
	{
		buffer_append_text(&reply, "Access-Control-Allow-Origin: ");
		buffer_append_text(&reply, origin);
		buffer_append_text(&reply, "\r\nAccess-Control-Expose-Headers: "
						   CORS_EXPOSE_HEADERS "\r\n");
	}
	settings_release(settings);
	buffer_append_text(&reply, "\r\n");
	if (body.data != NULL)
		buffer_append_text(&reply, body.data);
	if (!body.failed && !reply.failed)
		send(client->socket, reply.data, reply.length, MSG_NOSIGNAL | MSG_DONTWAIT);
	buffer_free(&body);
	buffer_free(&reply);
}

/* Why a request that is not whole will not be answered. */
static void
set_failure_of_rest(const Client *client, Failure *failure)
{
	if (client->refused)
		*failure = client->refusal;
	else if (client->phase == PHASE_BODY)
		failure_set(failure, 408, "too_slow", "the body did not come in time", NULL);
	else
		failure_set(failure, 408, "too_slow", "the request did not come in time", NULL);
}

/*
 * End a connection.  Under the lock, so that nobody can begin a reply on it.
 * libmicrohttpd sees the end of the socket and closes it.
 */
static void
cut(Client *client)
{
	struct linger reset = {.l_onoff = 1, .l_linger = 0};
	Failure		failure;

	if (!client->cut && !client->refused && client->phase != PHASE_IDLE)
		metrics_count_cut();
	client->cut = true;
	client->deadline = NEVER;
	if (client->phase == PHASE_HEADERS || client->phase == PHASE_BODY)
	{
		set_failure_of_rest(client, &failure);
		send_failure(client, &failure);
	}
	else if (client->phase == PHASE_REPLY)
	{
		/* the kernel must not keep what the client has not read */
		setsockopt(client->socket, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	}
	shutdown(client->socket, SHUT_RDWR);
}

/*
 * Has the client of a request that is under way hung up?  A client that ends
 * its half of the connection counts as gone, because that cannot be told from
 * closing both.
 */
static bool
has_gone(const Client *client)
{
	struct pollfd socket = {.fd = client->socket, .events = POLLRDHUP};

	return poll(&socket, 1, 0) > 0 &&
		(socket.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

/*
 * Can no more come of a request that is not whole?  libmicrohttpd does not
 * notice an end that arrives together with the last bytes before it, because
 * epoll tells of both at once; then a client that died while it sent would count
 * until its deadline.  What has come but is not looked at yet may be the whole,
 * so this must be so at two looks, without a byte or a phase between them.
 */
static bool
has_ended(Client *client)
{
	char		next;
	bool		seen = client->ended;

	client->ended = (client->phase == PHASE_HEADERS ||
					 client->phase == PHASE_BODY) &&
		recv(client->socket, &next, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
	return seen && client->ended;
}

/* Have libmicrohttpd notice that the client has gone. */
static void
end(Client *client)
{
	client->gone = true;
	client->deadline = NEVER;
	shutdown(client->socket, SHUT_RDWR);
}

static void *
watch(void *unused)
{
	struct timespec moment;
	Client	   *client;
	int64_t		now;

	(void) unused;
	pthread_mutex_lock(&lock);
	while (!stopping)
	{
		now = clock_now();
		LIST_FOREACH(client, &clients, link)
		{
			if (client->deadline <= now)
				cut(client);
			else if (client->pending != NULL && has_gone(client) &&
					 client->abandon(client->pending))
			{
				client->pending = NULL;
				client->gone = true;
			}
			else if (!client->gone && has_ended(client))
				end(client);
		}
		moment = clock_timespec(now + WATCH_INTERVAL);
		pthread_cond_timedwait(&stop_requested, &lock, &moment);
	}
	pthread_mutex_unlock(&lock);
	return NULL;
}

/* At most so many clients can be connected at a time. */
bool
clients_start(int most)
{
	clock_init_condition(&stop_requested);
	most_connections = most;
	running = pthread_create(&watcher, NULL, watch, NULL) == 0;
	return running;
}

/* After the last connection was closed. */
void
clients_stop(void)
{
	if (!running)
		return;
	pthread_mutex_lock(&lock);
	stopping = true;
	pthread_cond_signal(&stop_requested);
	pthread_mutex_unlock(&lock);
	pthread_join(watcher, NULL);
	pthread_cond_destroy(&stop_requested);
	running = false;
}

/* How many are connected? */
int
clients_count(void)
{
	int			result;

	pthread_mutex_lock(&lock);
	result = connections;
	pthread_mutex_unlock(&lock);
	return result;
}

/* ---------- connections ---------- */

/* Is there room for one more connection?  If not, the failure is set. */
static bool
has_room(const Client *client, const Settings *settings, Failure *failure)
{
	if (connections >= most_connections)
	{
		failure_try_again(failure, "there are too many connections");
		return false;
	}
	if (client->address != NULL && settings->max_connections_address > 0 &&
		client->address->connections >= settings->max_connections_address)
	{
		failure_set(failure, 429, "too_many_connections",
					"there are too many connections from this address", NULL);
		failure->retry_after = 1;
		return false;
	}
	return true;
}

/*
 * A new connection.  If there are too many, its first request is refused, so
 * that the reply has all the headers that the request asks for; if none comes
 * soon, the connection gets its reply without.  NULL: there is no memory, and nobody watches the connection.
 */
Client *
client_open(int socket, const Address *peer)
{
	const Settings *settings = settings_acquire();
	Client	   *client = calloc(1, sizeof(Client));
	Address		site = address_site(*peer);
	char		name[ADDRESS_TEXT_SIZE];

	if (client == NULL)
	{
		settings_release(settings);
		return NULL;
	}
	client->socket = socket;
	client->phase = PHASE_HEADERS;
	client->deadline = clock_now() + settings->header_timeout * CLOCK_SECOND;
	address_write(&site, name);

	pthread_mutex_lock(&lock);
	if (!networks_contain(&settings->trusted_proxies, peer))
		client->address = find_tally('a', name);
	if (has_room(client, settings, &client->refusal))
	{
		client->counted = true;
		connections++;
	}
	else
	{
		client->refused = true;
		client->deadline = clock_now() + CLOCK_SECOND;
	}
	if (client->address != NULL)
		client->address->connections++;
	LIST_INSERT_HEAD(&clients, client, link);
	pthread_mutex_unlock(&lock);

	if (!client->counted)
		log_event(LOG_DEBUG, "connection-refused", "address", name,
				  "code", client->refusal.code, NULL);
	settings_release(settings);
	return client;
}

/*
 * Its request is over, whatever it had open.  A proxy's connection is nobody's until
 * the next request, which may be anybody's.  Under the lock.
 */
static void
end_request(Client *client)
{
	all_bytes -= client->bytes;
	if (client->user != NULL)
		client->user->bytes -= client->bytes;
	client->bytes = 0;
	if (client->in_request)
		client->user->requests--;
	client->in_request = false;
	if (client->address == NULL)
		set_user(client, NULL);
}

/* Is this connection one too many?  Then the failure is set. */
bool
client_is_refused(Client *client, Failure *failure)
{
	if (client == NULL || !client->refused)
		return false;
	*failure = client->refusal;
	return true;
}

/* The connection is about to be closed. */
void
client_close(Client *client)
{
	if (client == NULL)
		return;
	pthread_mutex_lock(&lock);
	LIST_REMOVE(client, link);
	if (client->counted)
		connections--;
	end_request(client);
	set_user(client, NULL);
	if (client->address != NULL)
	{
		client->address->connections--;
		tidy_tally(client->address);
	}
	pthread_mutex_unlock(&lock);
	free(client->origin);
	free(client);
}

/* Begin a phase; false: the connection has been cut. */
static bool
enter(Client *client, Phase phase, int64_t deadline)
{
	bool		good;

	if (client == NULL)
		return true;
	pthread_mutex_lock(&lock);
	good = !client->cut && !client->gone;
	if (good)
	{
		client->phase = phase;
		client->deadline = deadline;
		client->ended = false;
	}
	pthread_mutex_unlock(&lock);
	return good;
}

/*
 * A request line is there, and no memory for its parameters.  libmicrohttpd would
 * close the connection without a reply, or tell nobody, and the head never end.
 */
void
client_refuse_target(Client *client)
{
	if (client == NULL)
		return;
	pthread_mutex_lock(&lock);
	if (!client->cut && !client->gone)
	{
		client->phase = PHASE_HEADERS;
		if (!client->refused)
			check_refuse_target("the parameters are too many", &client->refusal);
		client->refused = true;
		cut(client);
	}
	pthread_mutex_unlock(&lock);
}

/* The head of a request is there; pages of "origin" may read its reply. */
bool
client_begin_body(Client *client, const Settings *settings, const char *origin)
{
	char	   *copy = origin == NULL ? NULL : strdup(origin);
	char	   *old;

	if (client != NULL)
	{
		pthread_mutex_lock(&lock);
		client->min_rate = settings->min_rate;
		client->longest_pause = settings->body_timeout * CLOCK_SECOND;
		old = client->origin;
		client->origin = copy;
		pthread_mutex_unlock(&lock);
		copy = old;
	}
	free(copy);
	return enter(client, PHASE_BODY,
				 clock_now() + settings->body_timeout * CLOCK_SECOND);
}

/*
 * This much of the body has come, which extends the time for the rest, but a
 * client that was fast must not stand still for the hours it has saved.
 */
bool
client_add_body(Client *client, size_t length)
{
	int64_t		latest;
	bool		good;

	if (client == NULL)
		return true;
	pthread_mutex_lock(&lock);
	good = !client->cut && !client->gone;
	client->ended = false;
	if (good && client->phase == PHASE_BODY)
	{
		latest = clock_now() + client->longest_pause;
		client->deadline += (int64_t) length * CLOCK_SECOND / client->min_rate;
		if (client->deadline > latest)
			client->deadline = latest;
	}
	pthread_mutex_unlock(&lock);
	return good;
}

bool
client_begin_work(Client *client)
{
	return enter(client, PHASE_WORK, NEVER);
}

bool
client_begin_reply(Client *client, const Settings *settings, size_t length)
{
	return enter(client, PHASE_REPLY,
				 clock_now() + settings->reply_timeout * CLOCK_SECOND +
				 (int64_t) length * CLOCK_SECOND / settings->min_rate);
}

void
client_begin_idle(Client *client)
{
	const Settings *settings = settings_acquire();

	enter(client, PHASE_IDLE,
		  clock_now() + settings->idle_timeout * CLOCK_SECOND);
	settings_release(settings);
}

/*
 * What the client waits for from now on; NULL: for nothing.  When the client
 * has gone, "abandon" is called once, under our lock.  If that returns false,
 * it is called again later.
 */
void
client_set_pending(Client *client, bool (*abandon) (void *), void *pending)
{
	if (client == NULL)
		return;
	pthread_mutex_lock(&lock);
	client->pending = pending;
	client->abandon = abandon;
	pthread_mutex_unlock(&lock);
}

/* With which status the connection was cut; 0: it was not. */
int
client_cut_status(Client *client)
{
	int			result;

	if (client == NULL)
		return 0;
	pthread_mutex_lock(&lock);
	result = !client->cut ? 0 : client->refused ? client->refusal.status : 408;
	pthread_mutex_unlock(&lock);
	return result;
}

/* ---------- requests of a user ---------- */

static bool
refuse(Failure *failure, const char *code, const char *message)
{
	failure_set(failure, 429, code, message, NULL);
	failure->retry_after = 1;
	return false;
}

/*
 * Count a request whose token is valid, until client_end_request.  False with
 * the failure set: the user has too much open, or there is no memory.
 */
bool
client_begin_request(Client *client, const char *user,
					 const Settings *settings, Failure *failure)
{
	Tally	   *tally;
	bool		good = true;

	if (client == NULL)
		return true;
	pthread_mutex_lock(&lock);
	tally = find_tally('u', user);
	if (tally == NULL)
	{
		failure_try_again(failure, "the server is short of memory");
		good = false;
	}
	else if (tally->requests >= settings->max_user_requests)
		good = refuse(failure, "too_many_requests",
					  "this user has too many requests under way");
	else if (client->user != tally &&
			 tally->connections >= settings->max_user_connections)
		good = refuse(failure, "too_many_connections",
					  "this user has too many connections");
	if (good)
	{
		set_user(client, tally);
		client->in_request = true;
		tally->requests++;
	}
	else if (tally != NULL)
		tidy_tally(tally);
	pthread_mutex_unlock(&lock);
	return good;
}

/* ---------- bytes in memory ---------- */

/*
 * Count so many bytes of a body or a reply until client_give_bytes() or the
 * end of the request.  A user who has nothing in memory may have this much in
 * any case.  False with the failure set: it would be too much.
 */
bool
client_take_bytes(Client *client, size_t length, const Settings *settings,
				  Failure *failure)
{
	Tally	   *user;
	bool		good = true;

	if (client == NULL)
		return true;
	pthread_mutex_lock(&lock);
	user = client->user;
	if (user != NULL && user->bytes > 0 &&
		user->bytes + length > (size_t) settings->max_user_bytes)
		good = refuse(failure, "too_many_bytes",
					  "this user has too many bytes under way");
	else if (all_bytes > 0 && all_bytes + length > (size_t) settings->max_bytes)
		good = failure_try_again(failure, "the server is too busy");
	else
	{
		all_bytes += length;
		client->bytes += length;
		if (user != NULL)
			user->bytes += length;
	}
	pthread_mutex_unlock(&lock);
	return good;
}

void
client_give_bytes(Client *client, size_t length)
{
	if (client == NULL)
		return;
	pthread_mutex_lock(&lock);
	if (length > client->bytes)
		length = client->bytes;
	all_bytes -= length;
	client->bytes -= length;
	if (client->user != NULL)
		client->user->bytes -= length;
	pthread_mutex_unlock(&lock);
}

void
client_end_request(Client *client)
{
	if (client == NULL)
		return;
	pthread_mutex_lock(&lock);
	end_request(client);
	pthread_mutex_unlock(&lock);
}
