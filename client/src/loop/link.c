/*
 * link.c
 *	  Has the system got an address or a route again?  Linux tells who asks, by
 *	  a netlink socket; elsewhere the host calls tide_network_is_back().
 */
#include "loop/link.h"

#ifdef __linux__

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

int
link_open(void)
{
	struct sockaddr_nl address;
	int			fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

	if (fd < 0)
		return -1;
	memset(&address, 0, sizeof(address));
	address.nl_family = AF_NETLINK;
	address.nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE;
	if (bind(fd, (struct sockaddr *) &address, sizeof(address)) == 0)
		return fd;
	close(fd);
	return -1;
}

void
link_close(int fd)
{
	if (fd >= 0)
		close(fd);
}

bool
link_is_up_again(int fd)
{
	_Alignas(struct nlmsghdr) char part[8192];
	bool		up = false;
	ssize_t		n;

	while (fd >= 0 && (n = recv(fd, part, sizeof(part), MSG_DONTWAIT)) > 0)
	{
		struct nlmsghdr *message = (struct nlmsghdr *) part;
		unsigned int left = (unsigned int) n;

		for (; NLMSG_OK(message, left); message = NLMSG_NEXT(message, left))
			up = up || message->nlmsg_type == RTM_NEWADDR || message->nlmsg_type == RTM_NEWROUTE;
	}
	return up;
}

#else

int
link_open(void)
{
	return -1;
}

void
link_close(int fd)
{
	(void) fd;
}

bool
link_is_up_again(int fd)
{
	(void) fd;
	return false;
}

#endif
