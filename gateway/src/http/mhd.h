/*-------------------------------------------------------------------------
 *
 * mhd.h
 *	  What libmicrohttpd calls, for http.c, which starts it, and request.c.
 *
 * No other file knows it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MHD_H
#define MHD_H

#include <stdbool.h>
#include <stdint.h>

#include <microhttpd.h>

extern void *request_target_arrived(void *unused, const char *target,
									struct MHD_Connection *connection);
extern enum MHD_Result request_handle(void *unused,
									  struct MHD_Connection *connection,
									  const char *url, const char *method,
									  const char *version, const char *data,
									  size_t *length, void **context);
extern void request_completed(void *unused, struct MHD_Connection *connection,
							  void **context,
							  enum MHD_RequestTerminationCode reason);

extern void requests_start(void);
extern void requests_refuse(void);
extern int	requests_active(void);
extern bool requests_wait_idle(int64_t until);
extern int	requests_with_database(void);
extern void requests_stop(void);

#endif							/* MHD_H */
