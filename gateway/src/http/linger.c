/*-------------------------------------------------------------------------
 *
 * linger.c
 *	  Lets clients that are still sending read a reply that came early.
 *
 * A body that is refused by its declared length is answered before it has
 * been read.  If the socket were closed then, the kernel would send a reset,
 * and a client that is busy sending would see a broken connection in place
 * of "413".  So one thread gets a duplicate of the socket, and for a while it
 * reads and drops what still comes.
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/linger.h"
#include "util/clock.h"

#define MAX_SOCKETS		64
#define LONGEST			(5 * CLOCK_SECOND)

static pthread_t thread;
static bool running = false;
static int	hand_over[2];		/* a pipe of descriptors; the thread stops at
								 * its end */

static struct pollfd sockets[MAX_SOCKETS + 1];	/* the last is the pipe */
static int64_t deadlines[MAX_SOCKETS];

/* Read and drop what is there; false: nothing more will come. */
static bool
discard(int fd)
{
	char		waste[65536];
	int			rounds;

	/* a few at a time, so that one fast sender does not hold the others up */
	for (rounds = 0; rounds < 16; rounds++)
	{
		ssize_t		length = recv(fd, waste, sizeof(waste), MSG_DONTWAIT);

		if (length == 0)
			return false;
		if (length < 0)
			return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
	}
	return true;
}

static void
drop(int i)
{
	close(sockets[i].fd);
	sockets[i].fd = -1;
}

/* Add a socket; if there is no room, it takes the place of the oldest. */
static void
take_in(int fd)
{
	int			place = 0;
	int			i;

	for (i = 0; i < MAX_SOCKETS; i++)
	{
		if (sockets[i].fd < 0)
		{
			place = i;
			break;
		}
		if (deadlines[i] < deadlines[place])
			place = i;
	}
	if (sockets[place].fd >= 0)
		drop(place);
	sockets[place].fd = fd;
	sockets[place].events = POLLIN;
	sockets[place].revents = 0;
	deadlines[place] = clock_now() + LONGEST;
}

/* Wait, and look at all sockets once; false: the pipe has ended. */
static bool
serve(void)
{
	bool		any = false;
	int64_t		now;
	int			fd;
	int			i;

	for (i = 0; i < MAX_SOCKETS; i++)
		any = any || sockets[i].fd >= 0;
	if (poll(sockets, MAX_SOCKETS + 1, any ? 200 : -1) < 0 && errno != EINTR)
		return false;

	now = clock_now();
	for (i = 0; i < MAX_SOCKETS; i++)
	{
		if (sockets[i].fd >= 0 &&
			((sockets[i].revents != 0 && !discard(sockets[i].fd)) ||
			 now >= deadlines[i]))
			drop(i);
	}
	if (sockets[MAX_SOCKETS].revents == 0)
		return true;
	if (read(hand_over[0], &fd, sizeof(fd)) != sizeof(fd))
		return false;
	take_in(fd);
	return true;
}

static void *
linger_main(void *argument)
{
	int			i;

	(void) argument;
	for (i = 0; i < MAX_SOCKETS; i++)
		sockets[i].fd = -1;
	sockets[MAX_SOCKETS].fd = hand_over[0];
	sockets[MAX_SOCKETS].events = POLLIN;
	while (serve())
		;
	for (i = 0; i < MAX_SOCKETS; i++)
	{
		if (sockets[i].fd >= 0)
			drop(i);
	}
	return NULL;
}

bool
linger_start(void)
{
	if (pipe(hand_over) != 0)
		return false;
	running = pthread_create(&thread, NULL, linger_main, NULL) == 0;
	return running;
}

/* Keep the connection of this socket open; the caller closes its own. */
void
linger_adopt(int fd)
{
	int			copy = dup(fd);

	if (copy >= 0 && write(hand_over[1], &copy, sizeof(copy)) != sizeof(copy))
		close(copy);
}

void
linger_stop(void)
{
	if (!running)
		return;
	close(hand_over[1]);
	pthread_join(thread, NULL);
	close(hand_over[0]);
	running = false;
}
