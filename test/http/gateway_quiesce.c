/*
 * For gateway_quiesce.t: taking a file descriptor out of an epoll set takes long,
 * and longest in the threads that are not the first.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/epoll.h>
#include <unistd.h>

int
epoll_ctl(int set, int operation, int fd, struct epoll_event *event)
{
	int			(*real) (int, int, int, struct epoll_event *) =
		(int (*) (int, int, int, struct epoll_event *)) dlsym(RTLD_NEXT, "epoll_ctl");

	if (operation == EPOLL_CTL_DEL)
		usleep(gettid() == getpid() ? 300000 : 600000);
	return real(set, operation, fd, event);
}
