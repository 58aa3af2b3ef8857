/*-------------------------------------------------------------------------
 *
 * clients.h
 *	  Who is connected: how many, and for how long they may take.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CLIENTS_H
#define CLIENTS_H

#include <stdbool.h>
#include <stddef.h>

#include "util/address.h"
#include "util/failure.h"
#include "util/settings.h"

/* One connection.  Its fields are clients.c's own. */
typedef struct Client Client;

extern bool clients_start(int most);
extern void clients_stop(void);
extern int	clients_count(void);

extern Client *client_open(int socket, const Address *peer);
extern void client_close(Client *client);
extern void client_refuse_target(Client *client);

/*
 * The phases of a connection.  False: it has been cut, and nothing may be sent
 * on it any more.
 */
extern bool client_begin_body(Client *client, const Settings *settings,
							  const char *origin);
extern bool client_is_refused(Client *client, Failure *failure);
extern bool client_add_body(Client *client, size_t length);
extern bool client_begin_work(Client *client);
extern bool client_begin_reply(Client *client, const Settings *settings,
							   size_t length);
extern void client_begin_idle(Client *client);
extern int	client_cut_status(Client *client);
extern void client_set_pending(Client *client, bool (*abandon) (void *),
							   void *pending);

extern bool client_begin_request(Client *client, const char *user,
								 const Settings *settings, Failure *failure);
extern bool client_take_bytes(Client *client, size_t length,
							  const Settings *settings, Failure *failure);
extern void client_give_bytes(Client *client, size_t length);
extern void client_end_request(Client *client);

#endif							/* CLIENTS_H */
