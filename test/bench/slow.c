/*-------------------------------------------------------------------------
 *
 * slow.c
 *	  Slow clients for `make bench`: connections that are kept busy with next
 *	  to nothing.
 *
 *	  slow HOST PORT TOKENS CONNECTIONS
 *
 * A third of them sends headers, a third a body, a byte a second; a third asks
 * for rows and does not read them.  They come from many addresses of 127/8, as
 * the users of TOKENS in turn, and one that is cut comes again.  Prints "ready"
 * once all have been opened, and ends when its standard input does: then it
 * prints how many were cut.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_TOKENS	256
#define ADDRESSES	200			/* that they come from */

typedef enum Kind
{
	SLOW_HEADERS,
	SLOW_BODY,
	SLOW_READING,
	KINDS
} Kind;

static struct sockaddr_in server;
static char *tokens[MAX_TOKENS];
static int	token_count;
static long cuts;

static void
die(const char *what)
{
	fprintf(stderr, "slow: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void
read_tokens(const char *path)
{
	FILE	   *file = fopen(path, "r");
	char	   *line = NULL;
	size_t		size = 0;

	if (file == NULL)
		die(path);
	while (token_count < MAX_TOKENS && getline(&line, &size, file) > 0)
	{
		line[strcspn(line, "\n")] = '\0';
		tokens[token_count++] = strdup(line);
	}
	free(line);
	fclose(file);
	if (token_count == 0)
		die("no tokens");
}

/* What connection number i begins with. */
static int
first_words(int i, char *text, size_t size)
{
	const char *token = tokens[i % token_count];

	switch ((Kind) (i % KINDS))
	{
		case SLOW_BODY:
			return snprintf(text, size,
							"POST /api/v1/sync/push HTTP/1.1\r\nHost: x\r\n"
							"Authorization: Bearer %s\r\nContent-Type: application/json\r\n"
							"Content-Length: 100000\r\n\r\n{", token);
		case SLOW_READING:
			return snprintf(text, size,
							"GET /api/v1/sync/pull?limit=500 HTTP/1.1\r\nHost: x\r\n"
							"Authorization: Bearer %s\r\n\r\n", token);
		default:
			return snprintf(text, size, "GET /health HTTP/1.1\r\nX-Slow: ");
	}
}

/* Open connection number i; -1: not now. */
static int
open_one(int i)
{
	struct sockaddr_in from = {.sin_family = AF_INET};
	char		text[4096];
	int			small = 2048;
	int			length = first_words(i, text, sizeof(text));
	int			fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0)
		die("socket");
	from.sin_addr.s_addr = htonl((127u << 24) + (1u << 16) + (unsigned) (i % ADDRESSES) + 1);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	if (bind(fd, (struct sockaddr *) &from, sizeof(from)) != 0 ||
		connect(fd, (struct sockaddr *) &server, sizeof(server)) != 0 ||
		send(fd, text, (size_t) length, MSG_NOSIGNAL) != length)
	{
		close(fd);
		return -1;
	}
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

/* A byte more, or a look whether we were cut. */
static bool
still_there(int i, int fd)
{
	char		waste[256];
	ssize_t		length;

	if (i % KINDS == SLOW_READING)
	{
		struct pollfd end = {.fd = fd, .events = POLLRDHUP};

		return poll(&end, 1, 0) == 0;
	}
	if (send(fd, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return false;
	length = recv(fd, waste, sizeof(waste), MSG_DONTWAIT);
	return length < 0 && errno == EAGAIN;
}

int
main(int argc, char **argv)
{
	struct rlimit limit;
	struct pollfd input = {.fd = 0, .events = POLLIN};
	int		   *connections;
	int			count;

	if (argc != 5)
	{
		fputs("usage: slow HOST PORT TOKENS CONNECTIONS\n", stderr);
		return 2;
	}
	server.sin_family = AF_INET;
	server.sin_port = htons((unsigned short) atoi(argv[2]));
	if (inet_pton(AF_INET, argv[1], &server.sin_addr) != 1)
		die(argv[1]);
	read_tokens(argv[3]);
	count = atoi(argv[4]);
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);

	connections = malloc(sizeof(int) * (size_t) count);
	for (int i = 0; i < count; i++)
		while ((connections[i] = open_one(i)) < 0)
			poll(NULL, 0, 10);
	puts("ready");
	fflush(stdout);

	while (poll(&input, 1, 1000) == 0)
	{
		for (int i = 0; i < count; i++)
		{
			if (connections[i] >= 0 && still_there(i, connections[i]))
				continue;
			if (connections[i] >= 0)
			{
				close(connections[i]);
				cuts++;
			}
			connections[i] = open_one(i);
		}
	}
	printf("%ld\n", cuts);
	return 0;
}
