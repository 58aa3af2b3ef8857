/*
 * unfit.c
 *	  Entity types of the server that the file cannot have.
 *
 * A file that is made is refused by the name of what does not fit.  In one that is
 * in use, a table that somebody adds to the server must not stop all others: the type
 * is left out, with a warning, until it fits.  One that did fit before keeps its rows
 * and edits as they are meanwhile.
 */
#include <string.h>

#include "store/names.h"
#include "store/place.h"
#include "store/sql.h"
#include "store/unfit.h"

/* our statements have a condition on each column, and little beside them */
#define CONDITIONS_BESIDE 5

static bool
name_taken(Store *store, const EntityType *type, const char *column, const char *other)
{
	return failure_set(&store->failure, TIDE_LOCAL, "name_taken",
					   "the column \"%s\" of \"%s\" has the name of %s in SQLite",
					   column, type->name, other);
}

static bool
check_name(Store *store, const EntityType *type, int column)
{
	static const char *const ours[] = {"tide_operation", "tide_edited_at", "tide_code",
	"tide_message"};
	const char *name = type->columns[column].local;
	size_t		i;

	for (i = 0; i < sizeof(ours) / sizeof(*ours); i++)
	{
		if (sqlite3_stricmp(name, ours[i]) == 0)
			return name_taken(store, type, name, "one of ours");
	}
	if ((type->is_dirty && sqlite3_stricmp(name, type->is_dirty) == 0) ||
		(type->synced_at && sqlite3_stricmp(name, type->synced_at) == 0))
		return name_taken(store, type, name, "a status column");
	return true;
}

bool
unfit_check_columns(Store *store, const EntityType *type)
{
	int			depth = sqlite3_limit(store->db, SQLITE_LIMIT_EXPR_DEPTH, -1);
	int			i;

	if (depth > 0 && type->ncolumns > depth - CONDITIONS_BESIDE)
		return failure_set(&store->failure, TIDE_LOCAL, "too_many_columns",
						   "entity type \"%s\" has %d columns, more than SQLite can compare",
						   type->name, type->ncolumns);
	for (i = 0; i < type->ncolumns; i++)
	{
		if (!check_name(store, type, i))
			return false;
	}
	return true;
}

/* What is wrong with the file as a whole, or the machine, is no type's fault. */
static bool
is_of_type(const Failure *failure)
{
	static const char *const others[] = {"out_of_memory", "disk_full", "read_only",
	"cannot_open", "io_error", "corrupt", PLACE_REPLACED};
	size_t		i;

	for (i = 0; i < sizeof(others) / sizeof(*others); i++)
	{
		if (strcmp(failure->code, others[i]) == 0)
			return false;
	}
	return failure->result == TIDE_LOCAL || failure->result == TIDE_USAGE;
}

/*
 * Was the file made without the type as it is now?  One that has not changed is
 * in trouble with the file, which is for its owner to know.
 */
static bool
has_come(Store *store, const Json *schema, bool *come)
{
	const JsonNode *types = json_member(schema, schema->nodes, "entityTypes");
	const JsonNode *type = json_member(schema, types, store->at_fault);
	Buffer		definition = {0};
	int64_t		n = 0;
	bool		good;

	if (type)
		json_raw(schema, type, &definition);
	good = definition.failed ? failure_memory(&store->failure) :
		sql_number(store, &n, "SELECT EXISTS (SELECT 1 FROM tide_types) AND NOT EXISTS"
				   " (SELECT 1 FROM tide_types WHERE entity_type = %Q AND definition = %Q"
				   " AND table_name IS NOT NULL)", store->at_fault,
				   definition.data ? definition.data : "");
	*come = n != 0;
	buffer_free(&definition);
	return good;
}

bool
unfit_leave_out(Store *store, const Json *schema, Names *left, Buffer *why)
{
	Failure		failure = store->failure;
	bool		come;

	if (store->at_fault == NULL || !is_of_type(&failure) || names_has(left, store->at_fault))
		return false;
	failure_clear(&store->failure);
	if (!has_come(store, schema, &come))
		return false;
	if (!come)
	{
		store->failure = failure;
		return false;
	}
	buffer_format(why, "%sentity type \"%s\" is left out: %s", why->length > 0 ? "; " : "",
				  store->at_fault, failure.message);
	return names_add(store, left, store->at_fault) &&
		(!why->failed || failure_memory(&store->failure));
}

bool
unfit_is_left_out(const Store *store, const Json *json, const JsonNode *name)
{
	int			i;

	for (i = 0; i < store->left_out.count; i++)
	{
		if (json_is(json, name, store->left_out.names[i]))
			return true;
	}
	return false;
}
