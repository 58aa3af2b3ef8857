/*
 * http.h
 *	  One HTTP request at a time, by libcurl.
 */
#ifndef TIDE_LOOP_HTTP_H
#define TIDE_LOOP_HTTP_H

#include "util/buffer.h"

typedef struct Http Http;

/* NULL where memory ran out. */
Http	   *http_new(void);
void		http_free(Http *http);

typedef struct HttpRequest
{
	const char *method;
	const char *url;
	const char *headers;		/* lines "Name: value\r\n" */
	const char *body;			/* NULL: none */
	size_t		body_length;
	long		silence;		/* seconds without a byte that mean no answer;
								 * 0: the usual */

	/*
	 * Called several times a second while the request is out: false gives it
	 * up.  NULL: never.
	 */
	bool		(*carry_on) (void *arg);

	/*
	 * Takes the body as it comes, instead of the answer; status and headers
	 * are known by then.  False where it cannot.  NULL: it is kept in the
	 * answer.
	 */
	bool		(*take) (void *arg, int status, const char *headers, const char *data,
						 size_t length);
	void	   *arg;
} HttpRequest;

typedef struct HttpAnswer
{
	int			status;			/* 0: there was no whole answer */
	bool		given_up;		/* by carry_on */
	Buffer		headers;		/* lines of the last response */
	Buffer		body;
	char		why[256];		/* there was none */
} HttpAnswer;

/*
 * Send a request.  An answer that was cut off anywhere counts as none.
 * http_answer_free() always.
 */
void		http_send(Http *http, const HttpRequest *request, HttpAnswer *answer);
void		http_answer_free(HttpAnswer *answer);

/*
 * Do nothing for so long, or until http_wake(), which any thread may call, or
 * until the file descriptor (-1: none) has something to read.
 */
void		http_wait(Http *http, int milliseconds, int fd);
void		http_wake(Http *http);

#endif
