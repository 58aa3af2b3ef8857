/*-------------------------------------------------------------------------
 *
 * settings.c
 *	  The settings that an administrator or a session can change.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/varlena.h"

#include "util/settings.h"

char	   *tide_client_id = NULL;
char	   *tide_ignored_fields = NULL;
char	   *tide_scopes_function = NULL;
char	   *tide_schema_claim = NULL;
char	   *tide_shared_schemas = NULL;
int			tide_max_clock_skew = 60 * 1000;
int			tide_max_time_rows = 50000;
int			tide_max_push_changes = 5000;
int			tide_retention = 30 * 24 * 60;

enum
{
	TIMES_ISO, TIMES_MS
};
static int	times = TIMES_ISO;
bool		tide_times_in_ms = false;

static const struct config_enum_entry times_options[] = {
	{"iso", TIMES_ISO, false},
	{"ms", TIMES_MS, false},
	{NULL, 0, false}
};

static void
assign_times(int newval, void *extra)
{
	tide_times_in_ms = (newval == TIMES_MS);
}

void
setting_for_now(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

bool
settings_split_names(char *text, List **names)
{
	return SplitIdentifierString(text, ',', names);
}

static bool
check_names(char **newval, void **extra, GucSource source)
{
	char	   *copy = pstrdup(*newval);
	List	   *names;
	bool		good = settings_split_names(copy, &names);

	if (!good)
		GUC_check_errdetail("List syntax is invalid.");
	pfree(copy);
	list_free(names);
	return good;
}

void
settings_define(void)
{
	DefineCustomStringVariable("pg_tide.client_id",
							   "The client that the writes of this transaction are attributed to.",
							   "Stored beside the time of each change; empty is the server.",
							   &tide_client_id, "", PGC_USERSET, 0,
							   NULL, NULL, NULL);
	DefineCustomStringVariable("pg_tide.ignored_fields",
							   "Names that pushed rows may carry and that are not columns.",
							   "A comma-separated list. Names that begin with an underscore are always ignored.",
							   &tide_ignored_fields, "isDirty,lastSyncedAt",
							   PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("pg_tide.max_clock_skew",
							"How far a client's clock may be ahead of the server's.",
							"A later stamp is brought back to the server's time.",
							&tide_max_clock_skew, 60 * 1000, 0, INT_MAX,
							PGC_SUSET, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomStringVariable("pg_tide.scopes_function",
							   "The function, with its schema, that says which scopes a caller may sync.",
							   "It takes the claims as jsonb and returns text[]; empty: the scope is the claims' \"sub\".",
							   &tide_scopes_function, "", PGC_SUSET, 0,
							   NULL, NULL, NULL);
	DefineCustomStringVariable("pg_tide.schema_claim",
							   "The claim that names the schema whose tables a caller may sync.",
							   "For a schema per tenant; empty: callers may sync the tables of all schemas.",
							   &tide_schema_claim, "", PGC_SUSET, 0,
							   NULL, NULL, NULL);
	DefineCustomStringVariable("pg_tide.shared_schemas",
							   "Schemas whose tables all callers may sync, beside those of their own schema.",
							   "A comma-separated list; it counts where pg_tide.schema_claim is set.",
							   &tide_shared_schemas, "", PGC_SUSET, GUC_LIST_INPUT,
							   check_names, NULL, NULL);
	DefineCustomEnumVariable("pg_tide.times",
							 "How times are written in replies: ISO 8601 or Unix milliseconds.",
							 NULL, &times, TIMES_ISO, times_options,
							 PGC_USERSET, 0, NULL, assign_times, NULL);
	DefineCustomIntVariable("pg_tide.max_time_rows",
							"The most rows that a pull since a time may return.",
							"Such a reply is not paged; beyond this the client has to use a cursor.",
							&tide_max_time_rows, 50000, 1, INT_MAX,
							PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("pg_tide.max_push_changes",
							"The most changes in one push.",
							NULL, &tide_max_push_changes, 5000, 1, 100000,
							PGC_USERSET, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("pg_tide.retention",
							"How long tide.maintain() keeps changes and tombstones.",
							"A client that was away longer starts over.",
							&tide_retention, 30 * 24 * 60, 1, INT_MAX / 60,
							PGC_SUSET, GUC_UNIT_MIN, NULL, NULL, NULL);

#if PG_VERSION_NUM >= 150000
	MarkGUCPrefixReserved("pg_tide");
#else
	EmitWarningsOnPlaceholders("pg_tide");
#endif
}

ArrayType *
tide_array_argument(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : PG_GETARG_ARRAYTYPE_P(n);
}

char *
tide_text_argument(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}
