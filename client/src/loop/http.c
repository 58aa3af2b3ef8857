/*
 * http.c
 *	  One HTTP request at a time, by libcurl.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

#include "loop/http.h"
#include "util/sqlite.h"
#include "wire/json.h"

/* a server that is not there, or falls silent, is known within ten seconds */
#define CONNECT_TIMEOUT_MS 5000L
#define SILENCE_TIMEOUT_S 8L

struct Http
{
	CURL	   *curl;
};

/* what the callbacks see of a response */
typedef struct Response
{
	HttpAnswer *answer;
	bool		head_complete;
	bool		framed;			/* its length is known, or it comes in chunks */
} Response;

Http *
http_new(void)
{
	Http	   *http = sqlite3_malloc64(sizeof(Http));

	if (http == NULL)
		return NULL;
	http->curl = curl_easy_init();
	if (http->curl == NULL)
	{
		sqlite3_free(http);
		return NULL;
	}
	return http;
}

void
http_free(Http *http)
{
	if (http == NULL)
		return;
	curl_easy_cleanup(http->curl);
	sqlite3_free(http);
}

void
http_answer_free(HttpAnswer *answer)
{
	buffer_free(&answer->headers);
	buffer_free(&answer->body);
	memset(answer, 0, sizeof(*answer));
}

static size_t
take_header(char *data, size_t size, size_t count, void *arg)
{
	Response   *response = arg;
	size_t		length = size * count;

	/* a new response begins: what came before was 100 Continue */
	if (length > 5 && strncmp(data, "HTTP/", 5) == 0)
	{
		buffer_reset(&response->answer->headers);
		response->head_complete = false;
		response->framed = false;
	}
	else if (length <= 2 && (data[0] == '\r' || data[0] == '\n'))
		response->head_complete = true;
	else
	{
		if (strncasecmp(data, "Content-Length:", 15) == 0 ||
			strncasecmp(data, "Transfer-Encoding:", 18) == 0)
			response->framed = true;
		buffer_append(&response->answer->headers, data, length);
	}
	return length;
}

static size_t
take_body(char *data, size_t size, size_t count, void *arg)
{
	Response   *response = arg;

	buffer_append(&response->answer->body, data, size * count);
	return response->answer->body.failed ? 0 : size * count;
}

static bool
add_headers(struct curl_slist **list, const char *headers)
{
	const char *line = headers;

	while (*line)
	{
		const char *end = strstr(line, "\r\n");
		size_t		length = end ? (size_t) (end - line) : strlen(line);
		char	   *copy = text_copy_length(line, length);
		struct curl_slist *more = copy ? curl_slist_append(*list, copy) : NULL;

		sqlite3_free(copy);
		if (more == NULL)
			return false;
		*list = more;
		line += length + (end ? 2 : 0);
	}
	return true;
}

static void
set_options(Http *http, const char *method, const char *url, struct curl_slist *headers,
			const char *body, size_t body_length, Response *response)
{
	CURL	   *curl = http->curl;

	/* the connection stays; what the last request set does not */
	curl_easy_reset(curl);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(curl, CURLOPT_ACCEPT_ENCODING, "");
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "tide/0.1.0");
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, SILENCE_TIMEOUT_S);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, response);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, response);
#if LIBCURL_VERSION_NUM >= 0x075500
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
#else
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS, CURLPROTO_HTTP | CURLPROTO_HTTPS);
#endif
	if (body)
	{
		curl_easy_setopt(curl, CURLOPT_POST, 1L);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) body_length);
	}
	else if (strcmp(method, "GET") != 0)
		curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
}

/* A body that ends with the connection may have been cut: then it is no JSON. */
static bool
is_cut(const Response *response)
{
	const Buffer *body = &response->answer->body;

	if (!response->head_complete)
		return true;
	return !response->framed && body->length > 0 &&
		!json_is_valid(body->data, body->length);
}

void
http_send(Http *http, const char *method, const char *url, const char *headers,
		  const char *body, size_t body_length, HttpAnswer *answer)
{
	Response	response = {.answer = answer};
	struct curl_slist *list = NULL;
	CURLcode	code;
	long		status = 0;

	memset(answer, 0, sizeof(*answer));
	/* no "Expect: 100-continue", which costs a second where nobody says it */
	if (!add_headers(&list, headers) || !add_headers(&list, "Expect:"))
	{
		curl_slist_free_all(list);
		snprintf(answer->why, sizeof(answer->why), "out of memory");
		return;
	}
	set_options(http, method, url, list, body, body_length, &response);
	code = curl_easy_perform(http->curl);
	curl_easy_getinfo(http->curl, CURLINFO_RESPONSE_CODE, &status);
	curl_slist_free_all(list);
	if (code != CURLE_OK)
		snprintf(answer->why, sizeof(answer->why), "could not reach the server: %s",
				 curl_easy_strerror(code));
	else if (is_cut(&response))
		snprintf(answer->why, sizeof(answer->why),
				 "the server's answer was cut off");
	else if (answer->headers.failed)
		snprintf(answer->why, sizeof(answer->why), "out of memory");
	else
		answer->status = (int) status;
}
