/*-------------------------------------------------------------------------
 *
 * listener.c
 *	  The socket that the server listens on.
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/listener.h"

#define BACKLOG		512
#define MOST_PORT	65535		/* getaddrinfo() takes more, less 65536 */

/*
 * Split "host:port", "[v6]:port" or ":port".  False: it has none of these forms.
 */
static bool
split_address(const char *text, char *host, size_t host_size,
			  char *port, size_t port_size)
{
	const char *colon = strrchr(text, ':');
	size_t		length;

	if (colon == NULL || colon[1] == '\0' ||
		strspn(colon + 1, "0123456789") != strlen(colon + 1) ||
		strlen(colon + 1) > 5 || atoi(colon + 1) > MOST_PORT)
		return false;
	length = (size_t) (colon - text);
	if (length >= 2 && text[0] == '[' && text[length - 1] == ']')
	{
		text++;
		length -= 2;
	}
	if (length >= host_size || strlen(colon + 1) >= port_size)
		return false;
	memcpy(host, text, length);
	host[length] = '\0';
	strcpy(port, colon + 1);
	return true;
}

/* Bind one of the host's addresses; -1 with errno set. */
static int
open_one(const struct addrinfo *info)
{
	int			on = 1;
	int			saved;
	int			fd = socket(info->ai_family,
							info->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
							info->ai_protocol);

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, info->ai_addr, info->ai_addrlen) == 0 &&
		listen(fd, BACKLOG) == 0)
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

/* The address and port that the socket has; with port 0 the system chose it. */
static void
describe(int fd, char *address, size_t address_size,
		 char *port, size_t port_size)
{
	struct sockaddr_storage name;
	socklen_t	length = sizeof(name);

	if (getsockname(fd, (struct sockaddr *) &name, &length) != 0 ||
		getnameinfo((struct sockaddr *) &name, length, address,
					(socklen_t) address_size, port, (socklen_t) port_size,
					NI_NUMERICHOST | NI_NUMERICSERV) != 0)
	{
		snprintf(address, address_size, "unknown");
		snprintf(port, port_size, "0");
	}
}

/*
 * Open the socket of a setting of this name; -1: "problem" says why not.  The
 * first of the host's addresses that can be bound is taken.
 */
int
listener_open(const char *name, const char *listen_setting, char *address, size_t address_size,
			  char *port, size_t port_size, char *problem, size_t problem_size)
{
	struct addrinfo hints = {0};
	struct addrinfo *list = NULL;
	struct addrinfo *info;
	char		host[256];
	char		service[16];
	int			fd = -1;
	int			code;

	if (!split_address(listen_setting, host, sizeof(host),
					   service, sizeof(service)))
	{
		snprintf(problem, problem_size,
				 "%s must be host:port, with a port up to 65535, not \"%s\"",
				 name, listen_setting);
		return -1;
	}

	hints.ai_family = AF_UNSPEC;
	hints.ai_socktype = SOCK_STREAM;
	hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
	code = getaddrinfo(host[0] ? host : NULL, service, &hints, &list);
	if (code != 0)
	{
		snprintf(problem, problem_size, "could not resolve \"%s\": %s",
				 listen_setting, gai_strerror(code));
		return -1;
	}
	for (info = list; info != NULL && fd < 0; info = info->ai_next)
		fd = open_one(info);
	if (fd < 0)
		snprintf(problem, problem_size, "could not listen on \"%s\": %s",
				 listen_setting, strerror(errno));
	else
		describe(fd, address, address_size, port, port_size);
	freeaddrinfo(list);
	return fd;
}

/*
 * A connection to the listening socket itself, so that whoever accepts is woken;
 * the caller closes it.  -1: there is none to be had.
 */
int
listener_knock(int listen_socket)
{
	struct sockaddr_storage name;
	socklen_t	length = sizeof(name);
	int			fd;

	if (getsockname(listen_socket, (struct sockaddr *) &name, &length) != 0)
		return -1;
	fd = socket(name.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *) &name, length) != 0 &&
		errno != EINPROGRESS)
	{
		close(fd);
		return -1;
	}
	return fd;
}
