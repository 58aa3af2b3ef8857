/*-------------------------------------------------------------------------
 *
 * listener.h
 *	  The socket that the server listens on.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LISTENER_H
#define LISTENER_H

#include <stddef.h>

extern int	listener_open(const char *name, const char *listen_setting, char *address,
						  size_t address_size, char *port, size_t port_size,
						  char *problem, size_t problem_size);

extern int	listener_knock(int listen_socket);

#endif							/* LISTENER_H */
