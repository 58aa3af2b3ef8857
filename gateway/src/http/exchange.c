/*-------------------------------------------------------------------------
 *
 * exchange.c
 *	  What libmicrohttpd knows about a request: its headers, its parameters,
 *	  its connection.
 *
 *-------------------------------------------------------------------------
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include <microhttpd.h>

#include "http/exchange.h"
#include "http/head.h"
#include "util/text.h"

/* ---------- headers ---------- */

/* The value of a header; NULL: the request has none of this name. */
const char *
exchange_header(struct MHD_Connection *connection, const char *name)
{
	return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

void
exchange_read_head(struct MHD_Connection *connection, RequestHead *head)
{
	const char *length = exchange_header(connection, "Content-Length");

	head->authorization = exchange_header(connection, "Authorization");
	head->content_type = exchange_header(connection, "Content-Type");
	head->encoding = exchange_header(connection, "Content-Encoding");
	head->accept = exchange_header(connection, "Accept");
	head->length = length == NULL ? 0 : strtoull(length, NULL, 10);
	head->has_body = head->length > 0 ||
		exchange_header(connection, "Transfer-Encoding") != NULL;
}

static enum MHD_Result
take_field(void *context, enum MHD_ValueKind kind, const char *name,
		   size_t name_length, const char *value, size_t value_length)
{
	(void) kind;
	head_take_field(context, name, name_length, value ? value : "", value_length);
	return MHD_YES;
}

/* Why the headers could be read in two ways; NULL: they cannot. */
const char *
exchange_form_problem(struct MHD_Connection *connection, const char *version)
{
	HeadCheck	check;

	/*
	 * Which version leaves the lines in place, see head.c, is a question to
	 * the library that is loaded, not to its headers.
	 */
	head_begin(&check, version, strncmp(MHD_get_version(), "0.", 2) == 0);
	MHD_get_connection_values_n(connection, MHD_HEADER_KIND, take_field, &check);
	return head_finish(&check);
}

/* Bytes of the request line and all headers; 0: nobody knows. */
size_t
exchange_head_size(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);

	return info == NULL ? 0 : info->header_size;
}

static enum MHD_Result
add_field(void *context, enum MHD_ValueKind kind, const char *name,
		  size_t name_length, const char *value, size_t value_length)
{
	size_t	   *sum = context;

	(void) kind;
	(void) name;
	(void) value;
	*sum += name_length + value_length;
	return MHD_YES;
}

/* Bytes of the names and values of all headers. */
size_t
exchange_fields_size(struct MHD_Connection *connection)
{
	size_t		sum = 0;

	MHD_get_connection_values_n(connection, MHD_HEADER_KIND, add_field, &sum);
	return sum;
}

/* ---------- parameters ---------- */

typedef struct Parameters
{
	const Settings *settings;
	SyncFields *fields;
	bool		good;			/* all so far are UTF-8 */
} Parameters;

static enum MHD_Result
take_parameter(void *context, enum MHD_ValueKind kind, const char *name,
			   size_t name_length, const char *value, size_t value_length)
{
	Parameters *parameters = context;

	(void) kind;
	if (value == NULL)
	{
		value = "";
		value_length = 0;
	}
	parameters->good = text_is_utf8(name, name_length) &&
		text_is_utf8(value, value_length);
	if (!parameters->good)
		return MHD_NO;
	sync_take_parameter(parameters->fields, parameters->settings, name, value);
	return MHD_YES;
}

/* The parameters of the query; false with the failure set: they are damaged. */
bool
exchange_read_parameters(struct MHD_Connection *connection,
						 const Settings *settings, SyncFields *fields,
						 Failure *failure)
{
	Parameters	parameters = {settings, fields, true};

	MHD_get_connection_values_n(connection, MHD_GET_ARGUMENT_KIND,
								take_parameter, &parameters);
	return parameters.good ||
		failure_set(failure, 400, "malformed_request",
					"a parameter is not UTF-8 text", NULL);
}

/* ---------- the connection ---------- */

/* NULL: there was no memory for one when the connection was opened. */
Client *
exchange_client(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info == NULL ? NULL : info->socket_context;
}

int
exchange_socket(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);

	return info == NULL ? -1 : info->connect_fd;
}

/*
 * Collect all values of X-Forwarded-For in their order: a proxy may have added
 * to the client's header, or added a header of its own.
 */
static enum MHD_Result
take_forwarded(void *context, enum MHD_ValueKind kind, const char *name,
			   const char *value)
{
	Buffer	   *forwarded = context;

	(void) kind;
	if (value != NULL && strcasecmp(name, "X-Forwarded-For") == 0)
	{
		if (forwarded->length > 0)
			buffer_append_char(forwarded, ',');
		buffer_append_text(forwarded, value);
	}
	return MHD_YES;
}

/* The address of the client: what trusted proxies say, else the socket's. */
Address
exchange_address(struct MHD_Connection *connection, const NetworkList *trusted)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	Address		address = address_of_socket(info ? info->client_addr : NULL);
	Buffer		forwarded = {0};

	if (!networks_contain(trusted, &address))
		return address;
	MHD_get_connection_values(connection, MHD_HEADER_KIND, take_forwarded,
							  &forwarded);
	if (!forwarded.failed)
		address = address_of_client(address, forwarded.data, trusted);
	buffer_free(&forwarded);
	return address;
}

/*
 * More of this request is to come: acknowledge at once what has come already.
 * Many clients send head and body in two writes, and their kernel holds the
 * second one back until the first is acknowledged, which our kernel would
 * put off for 40 ms.
 */
void
exchange_acknowledge(struct MHD_Connection *connection)
{
	int			on = 1;

	setsockopt(exchange_socket(connection), IPPROTO_TCP, TCP_QUICKACK,
			   &on, sizeof(on));
}

/* Let the connection rest, without any thread, until it is resumed. */
void
exchange_suspend(struct MHD_Connection *connection)
{
	MHD_suspend_connection(connection);
}

/* From any thread. */
void
exchange_resume(struct MHD_Connection *connection)
{
	MHD_resume_connection(connection);
}
