/*-------------------------------------------------------------------------
 *
 * base64url.h
 *	  Bytes as text that needs no escape in a URL.
 *
 * Pure: uses neither SPI, tables nor the clock.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_BASE64URL_H
#define TIDE_BASE64URL_H

/* palloc'd text */
extern char *base64url_encode(const uint8 *data, size_t n);

/* palloc'd bytes, of which there are *n; NULL: no bytes have this text */
extern uint8 *base64url_decode(const char *text, size_t len, size_t *n);

#endif							/* TIDE_BASE64URL_H */
