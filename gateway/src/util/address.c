/*-------------------------------------------------------------------------
 *
 * address.c
 *	  Addresses and networks; which address a request comes from.
 *
 * A request comes from the address of its socket, unless that is a proxy which
 * is trusted.  Then the header X-Forwarded-For is read from its end, where the
 * nearest proxy has written the address that it saw.  The first address from
 * there that is no trusted proxy is the client; what stands before it is the
 * client's own invention.
 *
 *-------------------------------------------------------------------------
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/address.h"
#include "util/text.h"

#define MAX_HOPS	32			/* addresses that are looked at */

static const unsigned char v4_prefix[12] = {
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF
};

static bool
is_v4(const Address *address)
{
	return memcmp(address->bytes, v4_prefix, sizeof(v4_prefix)) == 0;
}

static void
set_v4(Address *address, const void *four)
{
	memcpy(address->bytes, v4_prefix, sizeof(v4_prefix));
	memcpy(address->bytes + sizeof(v4_prefix), four, 4);
}

/* An address without port.  False: the text is none. */
static bool
parse_address(const char *text, size_t length, Address *address)
{
	char		copy[INET6_ADDRSTRLEN];
	struct in_addr v4;

	if (length >= sizeof(copy))
		return false;
	memcpy(copy, text, length);
	copy[length] = '\0';
	if (inet_pton(AF_INET, copy, &v4) == 1)
	{
		set_v4(address, &v4);
		return true;
	}
	return inet_pton(AF_INET6, copy, address->bytes) == 1;
}

/* An address as proxies write it, perhaps with a port, perhaps in []. */
static bool
parse_hop(const char *text, size_t length, Address *address)
{
	const char *end;

	if (length > 0 && text[0] == '[')
	{
		end = memchr(text, ']', length);
		return end != NULL &&
			parse_address(text + 1, (size_t) (end - text) - 1, address);
	}
	/* with one colon it is an IPv4 address with a port */
	end = memchr(text, ':', length);
	if (end != NULL &&
		memchr(end + 1, ':', length - (size_t) (end - text) - 1) == NULL)
		length = (size_t) (end - text);
	return parse_address(text, length, address);
}

/* "10.0.0.0/8", or an address alone. */
static bool
parse_network(const char *text, Network *network)
{
	const char *slash = strchr(text, '/');
	size_t		length = slash ? (size_t) (slash - text) : strlen(text);
	int64_t		bits;
	int			most;

	if (!parse_address(text, length, &network->address))
		return false;
	most = is_v4(&network->address) && memchr(text, ':', length) == NULL ? 32 : 128;
	bits = most;
	if (slash != NULL &&
		(!text_parse_integer(slash + 1, &bits) || bits < 0 || bits > most))
		return false;
	network->bits = (int) bits + 128 - most;
	return true;
}

/* Networks, separated by commas.  False: "problem" names the one that is wrong. */
bool
networks_parse(NetworkList *list, const char *text,
			   char *problem, size_t problem_size)
{
	StringList	words = {0};
	bool		good = true;
	int			i;

	if (!list_split(&words, text))
		abort();
	list->count = 0;
	list->items = calloc((size_t) words.count + 1, sizeof(Network));
	if (list->items == NULL)
		abort();
	for (i = 0; i < words.count && good; i++)
	{
		good = parse_network(words.items[i], &list->items[list->count++]);
		if (!good)
			snprintf(problem, problem_size,
					 "trusted-proxies: \"%s\" is neither an address nor a network",
					 words.items[i]);
	}
	list_free(&words);
	return good;
}

bool
networks_contain(const NetworkList *list, const Address *address)
{
	int			i;

	for (i = 0; i < list->count; i++)
	{
		const Network *network = &list->items[i];
		int			whole = network->bits / 8;
		int			rest = network->bits % 8;
		unsigned char mask = (unsigned char) (0xFF00 >> rest);

		if (memcmp(network->address.bytes, address->bytes, (size_t) whole) == 0 &&
			(rest == 0 || ((network->address.bytes[whole] ^
							address->bytes[whole]) & mask) == 0))
			return true;
	}
	return false;
}

void
networks_free(NetworkList *list)
{
	free(list->items);
	list->items = NULL;
	list->count = 0;
}

/* All zero if the socket is of another family. */
Address
address_of_socket(const struct sockaddr *name)
{
	Address		address = {{0}};

	if (name != NULL && name->sa_family == AF_INET)
		set_v4(&address, &((const struct sockaddr_in *) name)->sin_addr);
	else if (name != NULL && name->sa_family == AF_INET6)
		memcpy(address.bytes, &((const struct sockaddr_in6 *) name)->sin6_addr, 16);
	return address;
}

/*
 * The client behind this peer.  "forwarded" has all X-Forwarded-For headers in
 * their order, joined by commas; NULL: there are none.
 */
Address
address_of_client(Address peer, const char *forwarded,
				  const NetworkList *trusted)
{
	const char *end = forwarded == NULL ? NULL : forwarded + strlen(forwarded);
	int			hops;

	for (hops = 0; end != NULL && hops < MAX_HOPS &&
		 networks_contain(trusted, &peer); hops++)
	{
		const char *start = end;
		const char *last = end;
		Address		hop;

		while (start > forwarded && start[-1] != ',')
			start--;
		end = start > forwarded ? start - 1 : NULL;
		while (start < last && (*start == ' ' || *start == '\t'))
			start++;
		while (last > start && (last[-1] == ' ' || last[-1] == '\t'))
			last--;
		if (!parse_hop(start, (size_t) (last - start), &hop))
			break;
		peer = hop;
	}
	return peer;
}

/* The part that one customer of a provider has: an IPv4 address, an IPv6 /64. */
Address
address_site(Address address)
{
	if (!is_v4(&address))
		memset(address.bytes + 8, 0, 8);
	return address;
}

/* "text" holds ADDRESS_TEXT_SIZE. */
void
address_write(const Address *address, char *text)
{
	if (is_v4(address))
		inet_ntop(AF_INET, address->bytes + sizeof(v4_prefix), text, ADDRESS_TEXT_SIZE);
	else
		inet_ntop(AF_INET6, address->bytes, text, ADDRESS_TEXT_SIZE);
}
