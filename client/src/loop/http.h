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

typedef struct HttpAnswer
{
	int			status;			/* 0: there was no whole answer */
	Buffer		headers;		/* lines of the last response */
	Buffer		body;
	char		why[256];		/* there was none */
} HttpAnswer;

/*
 * Send a request.  headers are lines "Name: value\r\n"; body NULL is none.  An
 * answer that was cut off anywhere counts as none.  http_answer_free() always.
 */
void		http_send(Http *http, const char *method, const char *url, const char *headers,
					  const char *body, size_t body_length, HttpAnswer *answer);
void		http_answer_free(HttpAnswer *answer);

#endif
