/*-------------------------------------------------------------------------
 *
 * exchange.h
 *	  What libmicrohttpd knows about a request: its headers, its parameters,
 *	  its connection.
 *
 *-------------------------------------------------------------------------
 */
#ifndef EXCHANGE_H
#define EXCHANGE_H

#include "api/sync.h"
#include "http/check.h"
#include "http/clients.h"
#include "util/address.h"
#include "util/failure.h"
#include "util/settings.h"

struct MHD_Connection;

extern const char *exchange_header(struct MHD_Connection *connection,
								   const char *name);
extern void exchange_read_head(struct MHD_Connection *connection,
							   RequestHead *head);
extern const char *exchange_form_problem(struct MHD_Connection *connection,
										 const char *version);
extern size_t exchange_head_size(struct MHD_Connection *connection);
extern size_t exchange_fields_size(struct MHD_Connection *connection);
extern bool exchange_read_parameters(struct MHD_Connection *connection,
									 const Settings *settings,
									 SyncFields *fields, Failure *failure);

extern Client *exchange_client(struct MHD_Connection *connection);
extern int	exchange_socket(struct MHD_Connection *connection);
extern Address exchange_address(struct MHD_Connection *connection,
								const NetworkList *trusted);
extern void exchange_acknowledge(struct MHD_Connection *connection);
extern void exchange_suspend(struct MHD_Connection *connection);
extern void exchange_resume(struct MHD_Connection *connection);

#endif							/* EXCHANGE_H */
