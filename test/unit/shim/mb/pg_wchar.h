/* Part of the shim, see ../postgres.h. */
#ifndef SHIM_PG_WCHAR_H
#define SHIM_PG_WCHAR_H

/* always UTF-8 here */
extern bool pg_verifymbstr(const char *text, int len, bool no_error);

#endif							/* SHIM_PG_WCHAR_H */
