/*
 * place.c
 *	  Where a file stands.
 */
#include <string.h>

#include "store/place.h"
#include "store/sql.h"

/*
 * Whose the file is and what it asks for; how far its pull has come; the pushes
 * that it knows the replies of, whose rows a page may leave out; and the batch
 * that is on its way.
 */
#define PLACE_SQL \
	"SELECT (SELECT group_concat(name || '=' || quote(value)) FROM" \
	" (SELECT name, value FROM tide_settings WHERE name IN ('server', 'user'," \
	" 'signed_out', 'client_id', 'entity_types', 'scopes', 'schema_etag', 'cursor'," \
	" 'first_sync', 'refresh', 'recheck', 'attaching', 'stage_cursor', 'stage_reset'," \
	" 'stage_reset_types', 'stage_revoked') ORDER BY name))" \
	" || (SELECT ';acks=' || coalesce(group_concat(ack), '') FROM" \
	" (SELECT ack FROM tide_acks ORDER BY id))" \
	" || (SELECT ';batch=' || coalesce(group_concat(batch_id), '') FROM tide_batch)"

static bool
place_replaced(Store *store)
{
	return failure_set(&store->failure, TIDE_LOCAL, PLACE_REPLACED,
					   "the file was replaced while a request of its was out");
}

/*
 * SQLite raises schema_version with each restore, and with each statement that
 * changes tables; file_check() compares those with the types.
 */
static bool
has_known_tables(Store *store, bool *known)
{
	int64_t		version;

	*known = true;
	if (store->ntypes == 0)
		return true;
	if (!sql_number(store, &version, "PRAGMA schema_version"))
		return false;
	*known = version == store->schema_version;
	return true;
}

bool
place_note(Store *store)
{
	bool		known;

	sqlite3_free(store->place);
	store->place = NULL;
	if (!has_known_tables(store, &known))
		return false;
	return known ? sql_text(store, &store->place, PLACE_SQL) : place_replaced(store);
}

bool
place_is_same(Store *store, bool *same)
{
	char	   *place;

	if (!has_known_tables(store, same))
		return false;
	if (!*same)
		return true;
	if (!sql_text(store, &place, PLACE_SQL))
		return false;
	*same = place && store->place && strcmp(place, store->place) == 0;
	sqlite3_free(place);
	return true;
}

bool
place_check(Store *store)
{
	bool		same;

	return place_is_same(store, &same) && (same || place_replaced(store));
}
