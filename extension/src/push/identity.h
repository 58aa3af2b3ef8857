/*-------------------------------------------------------------------------
 *
 * identity.h
 *	  Who pushes through the gateway, and within which limits.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_IDENTITY_H
#define TIDE_IDENTITY_H

typedef struct Identity
{
	char	   *role;
	char	   *claims;			/* JSON */
	char	   *client_id;		/* NULL: none */
	char	   *times;			/* as pg_tide.times */
	int			max_push_changes;
	int			timeout;		/* milliseconds, above zero */
	int			lock_timeout;	/* likewise; 0: none */
} Identity;

/*
 * Be that user until the end of the transaction, as if set_config(..., true)
 * were called for each setting.  The timeout begins now.
 */
extern void identity_assume(const Identity *identity);

#endif							/* TIDE_IDENTITY_H */
