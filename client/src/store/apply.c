/*
 * apply.c
 *	  Pages of a pull: staged while more is to come, then made visible at once.
 *
 * A page, or some lines of a stream, goes to tide_stage as the JSON that it came
 * as.  With the last page,
 * one transaction writes all of it into the tables, drops what a reset has not
 * brought again, and moves the cursor.  The first pull of a new file has
 * nothing to tear and goes straight into the tables, page by page.
 */
#include <string.h>

#include "store/apply.h"
#include "store/applying.h"
#include "store/columns.h"
#include "store/incoming.h"
#include "store/keys.h"
#include "store/parked.h"
#include "store/place.h"
#include "store/rows.h"
#include "store/settings.h"
#include "store/shape.h"
#include "store/sql.h"
#include "store/stage.h"
#include "store/unfit.h"

typedef bool (*RowAction) (Pull *pull, EntityType *type, const Json *json,
						   const JsonNode *row, bool deleted);

/*
 * Does the schema know all types and columns of the page?  A table or column
 * that is new on the server shows up here first.
 */
static bool
knows_row(EntityType *type, const Json *json, const JsonNode *row, bool *known)
{
	const JsonNode **members = sqlite3_malloc64(sizeof(JsonNode *) * (size_t) type->ncolumns);

	if (members == NULL)
		return false;
	if (row && !row_members(type, json, row, members))
		*known = false;
	sqlite3_free(members);
	return true;
}

static bool
knows_page(Store *store, const Json *json, bool *known)
{
	const JsonNode *types = json_member(json, json->nodes, "changesByType");
	const JsonNode *name;

	*known = true;
	for (name = json_first_name(json, types); name; name = json_next_name(json, types, name))
	{
		char	   *text;
		EntityType *type;

		if (unfit_is_left_out(store, json, name))
			continue;
		text = json_text(json, name);
		if (text == NULL)
			return failure_memory(&store->failure);
		type = store_type(store, text, strlen(text));
		sqlite3_free(text);
		if (type == NULL)
			*known = *known && json_count(json, name + 1) == 0;
		/* all rows of a type have the same members */
		else if (!knows_row(type, json, json_first(json, name + 1), known))
			return failure_memory(&store->failure);
	}
	return true;
}

/* Call an action for each row of a member of the page. */
static bool
each_row(Pull *pull, const Json *json, const char *member, bool deleted, RowAction action)
{
	const JsonNode *types = json_member(json, json->nodes, member);
	const JsonNode *name,
			   *row;

	for (name = json_first_name(json, types); name; name = json_next_name(json, types, name))
	{
		char	   *text;
		EntityType *type;

		if (unfit_is_left_out(pull->store, json, name))
			continue;
		text = json_text(json, name);
		if (text == NULL)
			return failure_memory(&pull->store->failure);
		type = store_type(pull->store, text, strlen(text));
		sqlite3_free(text);
		for (row = json_first(json, name + 1); row && type;
			 row = json_next(json, name + 1, row))
		{
			if (!action(pull, type, json, row, deleted))
				return false;
		}
	}
	return true;
}

/* Of a scope, what rules of the app's have kept out. */
static bool
drop_refused(Store *store, const EntityType *type, const char *scope)
{
	char	   *path = sqlite3_mprintf("$.\"%s\"", type->columns[type->scope].wire);
	bool		good = path ? sql_run(store, "DELETE FROM tide_refused WHERE entity_type = %Q"
									  " AND CAST(json_extract(row, %Q) AS TEXT) = %Q",
									  type->name, path, scope) : failure_memory(&store->failure);

	sqlite3_free(path);
	return good;
}

/* Rows of scopes that the user may sync no longer: clean ones go, edits are
 * kept aside. */
static bool
drop_revoked(Pull *pull)
{
	int			i,
				s;

	for (i = 0; i < pull->store->ntypes; i++)
	{
		EntityType *type = &pull->store->types[i];

		if (type->scope < 0)
			continue;
		for (s = 0; s < pull->revoked.count; s++)
		{
			Buffer		sql = {0};

			if (!parked_take_scope(&pull->applying, type, pull->revoked.names[s]) ||
				!drop_refused(pull->store, type, pull->revoked.names[s]))
				return false;
			column_append_in_scope(&sql, type, "t.", true, pull->revoked.names[s]);
			/* one that was moved into it here is to be told to the server */
			buffer_text(&sql, " AND NOT ");
			key_append_exists(&sql, type, type->dirty_table, "d", "t.", KEY_NAMED);
			if (!applying_drop(&pull->applying, type, &sql) ||
				!row_forget_orphans(pull->store, type))
				return false;
		}
	}
	return true;
}

static bool
load_pull(Pull *pull)
{
	pull->reset = setting_is(pull->store, "stage_reset", "1");
	return pull->store->failure.result == TIDE_OK &&
		names_load(pull->store, &pull->recheck, "recheck") &&
		names_load(pull->store, &pull->attaching, "attaching") &&
		names_load(pull->store, &pull->grown, "grown") &&
		names_load(pull->store, &pull->own, "own") &&
		names_load(pull->store, &pull->reset_types, "stage_reset_types") &&
		names_load(pull->store, &pull->revoked, "stage_revoked");
}

static bool
save_pull(Pull *pull)
{
	return setting_set(pull->store, "stage_reset", pull->reset ? "1" : NULL) &&
		names_save(pull->store, &pull->reset_types, "stage_reset_types") &&
		names_save(pull->store, &pull->revoked, "stage_revoked");
}

static bool
mark_unavailable(Pull *pull, const Json *json, const JsonNode *head)
{
	const JsonNode *list = json_member(json, head, "unavailableTypes");
	Names		names = {0};
	bool		good = names_add_array(pull->store, &names, json, list);
	int			i;

	for (i = 0; i < pull->store->ntypes; i++)
		pull->store->types[i].available = pull->store->types[i].in_schema &&
			!names_has(&names, pull->store->types[i].name);
	names_free(&names);
	return good;
}

/* A new file has nothing to tear, and nothing to compare with. */
static void
look_if_filling(Pull *pull)
{
	pull->filling = setting_is(pull->store, "first_sync", "running") && !pull->reset &&
		pull->reset_types.count == 0 && pull->recheck.count == 0;
}

/*
 * Types that come in full again from here on; each page says so until they are
 * complete.  What came of them before is not what comes again.
 */
static bool
add_resets(Pull *pull, const Json *json, const JsonNode *list)
{
	Names		names = {0};
	bool		good = names_add_array(pull->store, &names, json, list);
	int			i;

	for (i = 0; good && i < names.count; i++)
	{
		if (!names_has(&pull->reset_types, names.names[i]))
			good = names_add(pull->store, &pull->reset_types, names.names[i]) &&
				sql_run(pull->store, "DELETE FROM tide_stage WHERE entity_type = %Q",
						names.names[i]);
	}
	names_free(&names);
	return good;
}

/* What a page says beside rows, or a stream before them. */
static bool
read_head(Pull *pull, const Json *json, const JsonNode *head, bool from_start)
{
	if (json_is_true(json_member(json, head, "reset")) || from_start)
	{
		/* what has come before is of another history */
		pull->reset = true;
		names_free(&pull->reset_types);
		if (!sql_run(pull->store, "DELETE FROM tide_stage"))
			return false;
	}
	if (!mark_unavailable(pull, json, head) ||
		!add_resets(pull, json, json_member(json, head, "resetTypes")) ||
		!names_add_array(pull->store, &pull->revoked, json,
						 json_member(json, head, "revokedScopes")))
		return false;
	look_if_filling(pull);
	return !pull->filling || drop_revoked(pull);
}

static bool
set_cursor(Pull *pull, const Json *json, const char *setting)
{
	char	   *cursor = json_text(json, json_member(json, json->nodes, "cursor"));
	bool		good = cursor != NULL && setting_set(pull->store, setting, cursor);

	if (cursor == NULL)
		failure_set(&pull->store->failure, TIDE_REFUSED, "bad_reply",
					"the server's page has no cursor");
	sqlite3_free(cursor);
	return good;
}

/* More is to come after this cursor. */
static bool
set_place(Pull *pull, const Json *json)
{
	return set_cursor(pull, json, pull->filling ? "cursor" : "stage_cursor");
}

static bool
take_row(Pull *pull, EntityType *type, const Json *json, const JsonNode *row, bool deleted)
{
	return pull->filling ? incoming_apply(pull, type, json, row, deleted) :
		stage_put(pull, type, json, row, deleted);
}

/* What was to be swept and is not there is to be when it is. */
static bool
end_resets(Pull *pull)
{
	Names		left = {0};
	bool		good = stage_list_waiting(pull, &left);

	pull->reset = false;
	names_free(&pull->reset_types);
	pull->reset_types = left;
	return good;
}

/* The columns of a list have come, but for those of types that are not there. */
static bool
end_columns(Pull *pull, const Names *columns, const char *setting)
{
	Names		left = {0};
	bool		good = true;
	int			i,
				c;

	for (i = 0; good && i < pull->store->ntypes; i++)
	{
		const EntityType *type = &pull->store->types[i];

		for (c = 0; good && !type->available && c < type->ncolumns; c++)
		{
			if (names_has_column(columns, type, &type->columns[c]))
				good = names_add_column(pull->store, &left, type, &type->columns[c]);
		}
	}
	good = good && names_save(pull->store, &left, setting);
	names_free(&left);
	return good;
}

/* The types of a list have come, but for those that are not there. */
static bool
end_list(Pull *pull, const char *setting)
{
	Names		list,
				left = {0};
	bool		good = names_load(pull->store, &list, setting);
	int			i;

	for (i = 0; good && i < pull->store->ntypes; i++)
	{
		const EntityType *type = &pull->store->types[i];

		if (!type->available && names_has(&list, type->name))
			good = names_add(pull->store, &left, type->name);
	}
	good = good && names_save(pull->store, &left, setting);
	names_free(&list);
	names_free(&left);
	return good;
}

static bool
apply_all(Pull *pull, const Json *json)
{
	bool		good = stage_prepare_came(pull) && drop_revoked(pull) && stage_apply(pull) &&
		each_row(pull, json, "deletedByType", true, incoming_apply) &&
		each_row(pull, json, "changesByType", false, incoming_apply) &&
		stage_sweep(pull) && end_resets(pull);

	names_free(&pull->revoked);
	return good && set_cursor(pull, json, "cursor") &&
		setting_set(pull->store, "stage_cursor", NULL) &&
		sql_run(pull->store, "DELETE FROM tide_acks") &&
		setting_set(pull->store, "first_sync", "done") &&
		end_columns(pull, &pull->grown, "grown") && end_columns(pull, &pull->own, "own") &&
		end_list(pull, "refresh") && end_list(pull, "recheck") && end_list(pull, "attaching");
}

/*
 * More is to come after a page, but from where we have been: the same request again
 * would be answered alike, for ever.  A reset goes back, but only once.
 */
static bool
moves_on(Pull *pull, const Json *json)
{
	char	   *cursor = json_text(json, json_member(json, json->nodes, "cursor"));
	char	   *before = NULL;
	bool		good = setting_get(pull->store, "stage_cursor", &before);
	bool		began = good && before == NULL;

	if (began)
		good = setting_get(pull->store, "cursor", &before);
	if (good && cursor && before && strcmp(cursor, before) == 0 &&
		!(began && json_is_true(json_member(json, json->nodes, "reset"))))
		good = failure_set(&pull->store->failure, TIDE_REFUSED, "bad_reply",
						   "the server has more, but its cursor does not move");
	sqlite3_free(cursor);
	sqlite3_free(before);
	return good;
}

static bool
take_page(Pull *pull, const Json *json, bool from_start, PageResult *result)
{
	if (!load_pull(pull) || !read_head(pull, json, json->nodes, from_start))
		return false;
	if (!result->has_more)
	{
		if (!apply_all(pull, json))
			return false;
	}
	else if (!moves_on(pull, json) || !each_row(pull, json, "deletedByType", true, take_row) ||
			 !each_row(pull, json, "changesByType", false, take_row) ||
			 !set_place(pull, json))
		return false;
	return pull->store->failure.result == TIDE_OK && save_pull(pull);
}

static int64_t
count_rows(const Json *json, const char *member)
{
	const JsonNode *types = json_member(json, json->nodes, member);
	const JsonNode *name;
	int64_t		n = 0;

	for (name = json_first_name(json, types); name; name = json_next_name(json, types, name))
		n += (int64_t) json_count(json, name + 1);
	return n;
}

static bool
end_pull(Pull *pull, PageResult *result, bool good)
{
	result->changed = pull->applying.rows;
	result->lost = pull->applying.lost;
	names_free(&pull->reset_types);
	names_free(&pull->revoked);
	names_free(&pull->recheck);
	names_free(&pull->attaching);
	names_free(&pull->grown);
	names_free(&pull->own);
	good = applying_end(&pull->applying, good);
	if (good || !pull->spoiled || pull->store->failure.result != TIDE_OK)
		return good;
	/* all of it is asked for again */
	memset(result, 0, sizeof(*result));
	result->has_more = true;
	return apply_from_start(pull->store);
}

bool
apply_page(Store *store, const Json *json, bool from_start, bool take_unknown,
		   int64_t now, PageResult *result)
{
	Pull		pull = {.store = store};
	bool		known,
				good;

	memset(result, 0, sizeof(*result));
	if (!shape_check_page(store, json) || !knows_page(store, json, &known))
		return json->no_memory ? failure_memory(&store->failure) : false;
	if (!known && !take_unknown)
	{
		result->unknown = true;
		return true;
	}
	result->has_more = json_is_true(json_member(json, json->nodes, "hasMore"));
	result->rows = count_rows(json, "changesByType") + count_rows(json, "deletedByType");
	if (!applying_begin(&pull.applying, store, now))
		return false;
	good = place_check(store) && take_page(&pull, json, from_start, result);
	if (json->no_memory)
		good = failure_memory(&store->failure);
	return end_pull(&pull, result, good);
}

bool
apply_from_start(Store *store)
{
	return sql_begin(store) &&
		sql_end(store, place_check(store) &&
				setting_set(store, "cursor", NULL) &&
				setting_set(store, "stage_cursor", NULL) &&
				setting_set(store, "stage_reset", "1") &&
				sql_run(store, "DELETE FROM tide_stage"));
}

/*
 * Streams
 */

/* The type of a line, which is nearly always that of the line before. */
static bool
find_type(Pull *pull, const Json *json, const JsonNode *name, EntityType **type)
{
	char	   *text;

	*type = pull->seen;
	if (pull->seen && json_is(json, name, pull->seen->name))
		return true;
	text = json_text(json, name);
	if (text == NULL)
		return failure_memory(&pull->store->failure);
	*type = pull->seen = store_type(pull->store, text, strlen(text));
	sqlite3_free(text);
	return true;
}

/* {"type": ..., "row": ...} or {"type": ..., "deleted": ...} */
static bool
take_row_line(Pull *pull, const Json *json, const JsonNode *name, bool take_unknown,
			  PageResult *result)
{
	const JsonNode *row = json_member(json, json->nodes, "row");
	const JsonNode *deleted = row ? NULL : json_member(json, json->nodes, "deleted");
	EntityType *before = pull->seen;
	EntityType *type;
	bool		known = true;

	if (unfit_is_left_out(pull->store, json, name + 1))
		return true;
	if (!find_type(pull, json, name + 1, &type) ||
		(type && row && !shape_check_row(pull->store, type, json, row, false)) ||
		(type && deleted && !shape_check_row(pull->store, type, json, deleted, true)))
		return false;
	if (row && type && type != before && !knows_row(type, json, row, &known))
		return failure_memory(&pull->store->failure);
	result->unknown = (row && type == NULL) || !known;
	if (result->unknown && !take_unknown)
		return false;
	result->unknown = false;
	if (type == NULL || (row == NULL && deleted == NULL))
		return true;
	result->rows++;
	return take_row(pull, type, json, row ? row : deleted, row == NULL);
}

static bool
take_line(Pull *pull, const Json *json, bool take_unknown, PageResult *result)
{
	const JsonNode *name = json_first_name(json, json->nodes);

	if (json_is(json, name, "type"))
		return take_row_line(pull, json, name, take_unknown, result);
	if (json_is(json, name, "begin"))
		return shape_check_head(pull->store, json, name + 1) &&
			read_head(pull, json, name + 1, false);
	if (json_is(json, name, "cursor"))
		return set_place(pull, json);
	if (json_is(json, name, "end"))
	{
		result->has_more = false;
		return apply_all(pull, json);
	}
	/* a later server may have something to add */
	return true;
}

static bool
take_lines(Pull *pull, const char *text, size_t length, bool take_unknown, PageResult *result)
{
	Json		json = {0};
	const char *end = text + length;
	const char *next;
	bool		good = load_pull(pull);

	look_if_filling(pull);
	for (; good && text < end; text = next)
	{
		const char *newline = memchr(text, '\n', (size_t) (end - text));

		next = newline ? newline + 1 : end;
		if (json_parse_again(&json, text, (size_t) (next - text)))
			good = take_line(pull, &json, take_unknown, result);
		else
			good = failure_set(&pull->store->failure, TIDE_REFUSED, "bad_reply",
							   "a line of the server's answer is not JSON");
		if (json.no_memory)
			good = failure_memory(&pull->store->failure);
	}
	json_free(&json);
	return good && pull->store->failure.result == TIDE_OK && save_pull(pull);
}

bool
apply_lines(Store *store, const char *text, size_t length, bool take_unknown,
			int64_t now, PageResult *result)
{
	Pull		pull = {.store = store};
	bool		good;

	memset(result, 0, sizeof(*result));
	result->has_more = true;
	if (!applying_begin(&pull.applying, store, now))
		return false;
	good = place_check(store) && take_lines(&pull, text, length, take_unknown, result) &&
		(!result->has_more || place_note(store));
	good = end_pull(&pull, result, good);
	return good || result->unknown;
}

static bool
retry_refused(Pull *pull, sqlite3_stmt * stmt)
{
	const char *name = (const char *) sqlite3_column_text(stmt, 0);
	const char *key = (const char *) sqlite3_column_text(stmt, 1);
	const char *text = (const char *) sqlite3_column_text(stmt, 3);
	EntityType *type = name ? store_type(pull->store, name, strlen(name)) : NULL;
	bool		fits;

	if (type == NULL || key == NULL || text == NULL)
		return true;
	/* which of its rows were edited is not known yet, and all of them come again */
	if (names_has(&pull->recheck, type->name))
		return true;
	/*
	 * it comes back by itself if it is refused again; one that is of an earlier
	 * form of the type comes with its next version
	 */
	return sql_run(pull->store, "DELETE FROM tide_refused WHERE entity_type = %Q AND key = %Q",
				   name, key) &&
		incoming_apply_kept(pull, type, text, strlen(text), sqlite3_column_int(stmt, 2) != 0, &fits);
}

bool
apply_refused(Store *store, int64_t now)
{
	Pull		pull = {.store = store};
	sqlite3_stmt *stmt;
	int64_t		n;
	bool		good;
	int			rc = SQLITE_DONE;

	if (!sql_number(store, &n, "SELECT count(*) FROM tide_refused"))
		return false;
	if (n == 0)
		return setting_set(store, "warning", NULL);
	if (!applying_begin(&pull.applying, store, now))
		return false;
	/* a copy, since the rows are deleted while they are read */
	good = names_load(store, &pull.recheck, "recheck") &&
		sql_run(store, "CREATE TEMP TABLE IF NOT EXISTS tide_refused_now AS"
				   " SELECT * FROM tide_refused WHERE 0;"
				   "DELETE FROM temp.tide_refused_now;"
				   "INSERT INTO temp.tide_refused_now SELECT * FROM tide_refused");
	stmt = good ? sql_prepare(store, "SELECT entity_type, key, deleted, row"
							  " FROM temp.tide_refused_now") : NULL;
	good = stmt != NULL;
	while (good && (rc = sql_step(store, stmt)) == SQLITE_ROW)
		good = retry_refused(&pull, stmt);
	sqlite3_finalize(stmt);
	good = good && rc != -1 &&
		sql_run(store, "INSERT INTO tide_settings SELECT 'warning', count(*) ||"
				" ' rows of the server are refused by rules of the app: ' ||"
				" entity_type || ' ' || key || ': ' || message"
				" FROM tide_refused HAVING count(*) > 0"
				" ON CONFLICT (name) DO UPDATE SET value = excluded.value;"
				"DELETE FROM tide_settings WHERE name = 'warning'"
				" AND NOT EXISTS (SELECT 1 FROM tide_refused)");
	names_free(&pull.recheck);
	return applying_end(&pull.applying, good);
}
