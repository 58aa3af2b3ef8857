/* Part of the shim, see ../postgres.h. */
#ifndef SHIM_ELOG_H
#define SHIM_ELOG_H

#include <setjmp.h>

#define ERROR 21

#define PGSIXBIT(ch) (((ch) - '0') & 0x3F)
#define MAKE_SQLSTATE(c1, c2, c3, c4, c5) \
	(PGSIXBIT(c1) + (PGSIXBIT(c2) << 6) + (PGSIXBIT(c3) << 12) + \
	 (PGSIXBIT(c4) << 18) + (PGSIXBIT(c5) << 24))
#define ERRCODE_PROGRAM_LIMIT_EXCEEDED MAKE_SQLSTATE('5','4','0','0','0')
#define ERRCODE_INTERNAL_ERROR MAKE_SQLSTATE('X','X','0','0','0')

extern jmp_buf shim_catch;
extern int	shim_sqlstate;

extern void shim_throw(void) __attribute__((noreturn));
extern int	errcode(int sqlstate);
extern int	errmsg(const char *format,...) __attribute__((format(printf, 1, 2)));
extern int	errdetail(const char *format,...) __attribute__((format(printf, 1, 2)));
extern int	errhint(const char *format,...) __attribute__((format(printf, 1, 2)));

#define ereport(level, fields) ((void) (fields), shim_throw())
#define elog(level, ...) \
	((void) errcode(ERRCODE_INTERNAL_ERROR), (void) errmsg(__VA_ARGS__), \
	 shim_throw())

#endif							/* SHIM_ELOG_H */
