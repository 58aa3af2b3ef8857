/*-------------------------------------------------------------------------
 *
 * http.h
 *	  The HTTP side: connections, the life of a request, replies.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HTTP_H
#define HTTP_H

#include <stdbool.h>
#include <stdint.h>

extern bool http_start(int listen_socket, int metrics_socket);
extern void http_announce_stop(void);
extern void http_refuse_new(void);
extern bool http_wait_idle(int64_t until);
extern int	http_waiting_for_database(void);
extern void http_stop_metrics(void);
extern void http_stop(void);

#endif							/* HTTP_H */
