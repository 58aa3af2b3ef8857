/*-------------------------------------------------------------------------
 *
 * identity.c
 *	  Who pushes through the gateway, and within which limits.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timeout.h"

#include "push/identity.h"
#include "util/errors.h"
#include "util/settings.h"

static void
set_local(const char *name, const char *value)
{
	(void) set_config_option(name, value, superuser() ? PGC_SUSET : PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
}

/*
 * Most sessions have these values already, and setting one costs more than a
 * look.
 */
static void
set_local_number(const char *name, int value, int current)
{
	if (value != current)
		set_local(name, psprintf("%d", value));
}

/*
 * The error is pg_tide's own, whatever PostgreSQL says about a role, because
 * the token names the role and the body does not.
 */
static void
set_role(char *role)
{
	MemoryContext caller = CurrentMemoryContext;

	PG_TRY();
	{
		set_local("role", role);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		if (error->sqlerrcode != ERRCODE_INVALID_PARAMETER_VALUE &&
			error->sqlerrcode != ERRCODE_INSUFFICIENT_PRIVILEGE)
			PG_RE_THROW();
		FlushErrorState();
		error->sqlerrcode = ERRCODE_TIDE_ROLE_NOT_ALLOWED;
		ThrowErrorData(error);
	}
	PG_END_TRY();
}

/* The timeout of this statement, which has begun without one. */
static void
start_timeout(int timeout)
{
	if (get_timeout_active(STATEMENT_TIMEOUT))
		disable_timeout(STATEMENT_TIMEOUT, false);
	enable_timeout_after(STATEMENT_TIMEOUT, timeout);
}

/*
 * A statement without a transaction block has the isolation level and the
 * access mode that are the session's defaults.  A push may need others.
 */
static void
require_transaction(void)
{
	if (XactIsoLevel != XACT_READ_COMMITTED || XactReadOnly)
		ereport(ERROR,
				(errcode(ERRCODE_TIDE_NEEDS_BEGIN),
				 errmsg("the transaction is not READ COMMITTED and READ WRITE"),
				 errhint("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE before.")));
}

void
identity_assume(const Identity *identity)
{
	const char *client_id = identity->client_id ? identity->client_id : "";

	require_transaction();
	if (identity->timeout <= 0 || identity->lock_timeout < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("timeout must be above zero, and lock_timeout must not be negative")));
	set_local("request.jwt.claims", identity->claims);
	if (tide_client_id == NULL || strcmp(tide_client_id, client_id) != 0)
		set_local("pg_tide.client_id", client_id);
	if (strcmp(identity->times, tide_times_in_ms ? "ms" : "iso") != 0)
		set_local("pg_tide.times", identity->times);
	set_local_number("pg_tide.max_push_changes", identity->max_push_changes,
					 tide_max_push_changes);
	set_local_number("lock_timeout", identity->lock_timeout, LockTimeout);
	if (IsTransactionBlock())
	{
		/* for the statements to come */
		set_local_number("statement_timeout", identity->timeout, StatementTimeout);
		set_local_number("idle_in_transaction_session_timeout", identity->timeout,
						 IdleInTransactionSessionTimeout);
	}
	set_role(identity->role);
	start_timeout(identity->timeout);
}
