/* Part of the shim, see ../postgres.h. */
#ifndef SHIM_PG_WCHAR_H
#define SHIM_PG_WCHAR_H

/* always UTF-8 here */
extern bool pg_verifymbstr(const char *text, int len, bool no_error);

typedef unsigned int pg_wchar;
extern unsigned char *unicode_to_utf8(pg_wchar c, unsigned char *utf8);

#endif							/* SHIM_PG_WCHAR_H */
