/*
 * signout.c
 *	  A file whose user logs out.
 */
#include "store/applying.h"
#include "store/settings.h"
#include "store/signout.h"
#include "store/sql.h"
#include "util/random.h"

/*
 * What a file that is wiped still knows: where its rows come from, and what its tables
 * lack, or have beside, of what the server says.
 */
static const char forget_rest[] =
"DELETE FROM tide_stage; DELETE FROM tide_refused; DELETE FROM tide_batch;"
"DELETE FROM tide_acks; DELETE FROM tide_lost_rows; DELETE FROM tide_command;"
"DELETE FROM tide_settings WHERE name NOT IN ('format', 'server', 'entity_types', 'scopes',"
" 'naming', 'status_columns', 'number_keys', 'attach', 'map', 'schema_etag', 'identity',"
" 'gone', 'left_out', 'left_out_why')";

static bool
wipe_type(Applying *a, EntityType *type)
{
	return sql_run(a->store, "DELETE FROM \"%w\"; DELETE FROM \"%w\"; DELETE FROM \"%w\";"
				   "DELETE FROM \"%w\"", type->table, type->dirty_table, type->base_table,
				   type->parked_table) &&
		(type->row_table == NULL ||
		 sql_run(a->store, "DELETE FROM \"%w\"", type->row_table)) &&
		applying_note(a, type);
}

/* As a file that was set up and has not synced yet, of nobody. */
static bool
wipe_all(Applying *a)
{
	char		client_id[UUID_SIZE];
	int			i;

	for (i = 0; i < a->store->ntypes; i++)
	{
		if (!wipe_type(a, &a->store->types[i]))
			return false;
	}
	random_uuid(client_id);
	return sql_run(a->store, "%s", forget_rest) &&
		setting_set(a->store, "client_id", client_id) &&
		setting_set(a->store, "first_sync", "running");
}

static bool
sign_out(Store *store)
{
	return setting_set(store, "token_file", NULL) &&
		setting_set(store, "signed_out", "1") && setting_set(store, "state", "signed_out");
}

bool
signout(Store *store, bool wipe, int64_t now)
{
	Applying	a;
	int64_t		secure;
	bool		good;

	if (!wipe)
		return sql_begin(store) && sql_end(store, sign_out(store));
	/* pages of what was deleted are overwritten */
	if (!sql_number(store, &secure, "PRAGMA secure_delete") ||
		!sql_run(store, "PRAGMA secure_delete = ON"))
		return false;
	good = applying_begin(&a, store, now) &&
		applying_end(&a, wipe_all(&a) && sign_out(store));
	(void) sql_run(store, "PRAGMA secure_delete = %lld", (sqlite3_int64) secure);
	/* of the log, too, unless somebody reads it */
	if (good)
		(void) sqlite3_exec(store->db, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL);
	return good;
}
