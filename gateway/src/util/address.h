/*-------------------------------------------------------------------------
 *
 * address.h
 *	  Addresses and networks; which address a request comes from.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ADDRESS_H
#define ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#define ADDRESS_TEXT_SIZE	64

/* An address, IPv4 as ::ffff:a.b.c.d. */
typedef struct Address
{
	unsigned char bytes[16];
} Address;

typedef struct Network
{
	Address		address;
	int			bits;			/* of 128, those that are compared */
} Network;

typedef struct NetworkList
{
	Network    *items;
	int			count;
} NetworkList;

extern bool networks_parse(NetworkList *list, const char *text,
						   char *problem, size_t problem_size);
extern bool networks_contain(const NetworkList *list, const Address *address);
extern void networks_free(NetworkList *list);

extern Address address_of_socket(const struct sockaddr *name);
extern Address address_of_client(Address peer, const char *forwarded,
								 const NetworkList *trusted);
extern Address address_site(Address address);
extern void address_write(const Address *address, char *text);

#endif							/* ADDRESS_H */
