/*
 * http.c
 *	  One HTTP request at a time, by libcurl.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

#include "engine/refusal.h"
#include "loop/http.h"
#include "tide.h"
#include "util/sqlite.h"
#include "wire/json.h"

/* a server that is not there, or falls silent, is known within ten seconds */
#define CONNECT_TIMEOUT_MS 5000L
#define SILENCE_TIMEOUT_S 8L
/* how often a request that is out is asked whether it is still wanted */
#define SLICE_MS 100

struct Http
{
	CURL	   *curl;
	CURLM	   *multi;			/* keeps the connections, and can be woken */
};

/* what the callbacks see of a response */
typedef struct Response
{
	const HttpRequest *request;
	CURL	   *curl;
	HttpAnswer *answer;
	bool		too_large;		/* more than TIDE_ANSWER_BYTES */
	bool		refused;		/* the request's take() could not */
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
	http->multi = curl_multi_init();
	if (http->curl == NULL || http->multi == NULL)
	{
		http_free(http);
		return NULL;
	}
	return http;
}

void
http_free(Http *http)
{
	if (http == NULL)
		return;
	if (http->curl)
		curl_easy_cleanup(http->curl);
	if (http->multi)
		curl_multi_cleanup(http->multi);
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
	const HttpRequest *request = response->request;
	long		status = 0;

	if (request->take)
	{
		curl_easy_getinfo(response->curl, CURLINFO_RESPONSE_CODE, &status);
		response->refused = !request->take(request->arg, (int) status,
										   response->answer->headers.data, data,
										   size * count);
		return response->refused ? 0 : size * count;
	}
	if (size * count > TIDE_ANSWER_BYTES - response->answer->body.length)
	{
		response->too_large = true;
		return 0;
	}
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
set_options(Http *http, const HttpRequest *request, struct curl_slist *headers,
			Response *response)
{
	CURL	   *curl = http->curl;

	/* the connection stays; what the last request set does not */
	curl_easy_reset(curl);
	curl_easy_setopt(curl, CURLOPT_URL, request->url);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(curl, CURLOPT_ACCEPT_ENCODING, "");
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "tide/" TIDE_VERSION);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME,
					 request->silence ? request->silence : SILENCE_TIMEOUT_S);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, response);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, response);
#if LIBCURL_VERSION_NUM >= 0x075500
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
#else
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS, CURLPROTO_HTTP | CURLPROTO_HTTPS);
#endif
	if (request->body)
	{
		curl_easy_setopt(curl, CURLOPT_POST, 1L);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) request->body_length);
	}
	else if (strcmp(request->method, "GET") != 0)
		curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
}

/*
 * A body that ends with the connection may have been cut: then it is no JSON.
 * A stream that does is one that goes on.
 */
static bool
is_cut(const Response *response)
{
	const Buffer *body = &response->answer->body;

	if (!response->head_complete)
		return true;
	if (response->framed)
		return false;
	return response->request->take != NULL ||
		(body->length > 0 && !json_is_valid(body->data, body->length));
}

/* Until it is done, or no longer wanted. */
static CURLcode
perform(Http *http, const HttpRequest *request, HttpAnswer *answer)
{
	CURLcode	code = CURLE_OK;
	CURLMsg    *message;
	int			running = 1,
				left;

	if (curl_multi_add_handle(http->multi, http->curl) != CURLM_OK)
		return CURLE_OUT_OF_MEMORY;
	for (;;)
	{
		if (curl_multi_perform(http->multi, &running) != CURLM_OK)
			code = CURLE_FAILED_INIT;
		if (code != CURLE_OK || running == 0)
			break;
		if (request->carry_on && !request->carry_on(request->arg))
		{
			answer->given_up = true;
			code = CURLE_ABORTED_BY_CALLBACK;
			break;
		}
		(void) curl_multi_poll(http->multi, NULL, 0, SLICE_MS, NULL);
	}
	while ((message = curl_multi_info_read(http->multi, &left)) != NULL)
	{
		if (message->msg == CURLMSG_DONE && code == CURLE_OK)
			code = message->data.result;
	}
	curl_multi_remove_handle(http->multi, http->curl);
	return code;
}

void
http_send(Http *http, const HttpRequest *request, HttpAnswer *answer)
{
	Response	response = {.request = request, .curl = http->curl, .answer = answer};
	struct curl_slist *list = NULL;
	CURLcode	code;
	long		status = 0;

	memset(answer, 0, sizeof(*answer));
	/* no "Expect: 100-continue", which costs a second where nobody says it */
	if (!add_headers(&list, request->headers) || !add_headers(&list, "Expect:"))
	{
		curl_slist_free_all(list);
		snprintf(answer->why, sizeof(answer->why), "out of memory");
		return;
	}
	set_options(http, request, list, &response);
	code = perform(http, request, answer);
	curl_easy_getinfo(http->curl, CURLINFO_RESPONSE_CODE, &status);
	curl_slist_free_all(list);
	if (response.too_large)
		snprintf(answer->why, sizeof(answer->why), "%s", ANSWER_TOO_LARGE);
	else if (response.refused)
		snprintf(answer->why, sizeof(answer->why), "the answer could not be taken");
	else if (code != CURLE_OK)
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

void
http_wait(Http *http, int milliseconds, int fd)
{
	struct curl_waitfd wait = {.fd = fd, .events = CURL_WAIT_POLLIN};

	(void) curl_multi_poll(http->multi, fd < 0 ? NULL : &wait, fd < 0 ? 0 : 1,
						   milliseconds, NULL);
}

void
http_wake(Http *http)
{
	(void) curl_multi_wakeup(http->multi);
}
