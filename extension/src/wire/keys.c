/*-------------------------------------------------------------------------
 *
 * keys.c
 *	  Keys and scopes as text, and keys from text.
 *
 * A key of one column is the text form of its value.  A key of several columns
 * is the text form of an array of these texts.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/uuid.h"

#include "wire/wire.h"

static FmgrInfo *
array_function(FmgrInfo *cache, Oid function)
{
	if (cache->fn_oid != function)
		fmgr_info_cxt(function, cache, CacheMemoryContext);
	return cache;
}

/*
 * A value of a key or scope column as its type writes it.  The usual types are
 * written here, because their output functions would take half the time of
 * the capture trigger.
 */
static char *
column_text(TrackedColumn *c, Datum value)
{
	char	   *uuid;

	switch (c->type)
	{
		case UUIDOID:
			uuid = palloc(2 * UUID_LEN + 5);
			*wire_put_uuid(uuid, DatumGetUUIDP(value)) = '\0';
			return uuid;
		case TEXTOID:
		case VARCHAROID:
			return TextDatumGetCString(value);
		default:
			return OutputFunctionCall(&c->output, value);
	}
}

/* as wire_begin(), but only if the table's key or scope needs it */
static int
begin_for(TrackedTable *t)
{
	return t->plain_key ? 0 : wire_begin();
}

static void
end_for(TrackedTable *t, int level)
{
	if (!t->plain_key)
		wire_end(level);
}

char *
wire_scope_text(TrackedTable *t, Datum value)
{
	int			level = begin_for(t);
	char	   *text = column_text(tracked_column(t, t->scope), value);

	end_for(t, level);
	return text;
}

static char *
key_text(TrackedTable *t, Datum *values)
{
	static FmgrInfo array_out;
	Datum	   *parts;
	ArrayType  *array;
	char	   *text;
	int			i;

	if (t->nkeys == 1)
		return column_text(tracked_column(t, t->keys[0]), values[0]);

	parts = palloc(sizeof(Datum) * t->nkeys);
	for (i = 0; i < t->nkeys; i++)
	{
		text = column_text(tracked_column(t, t->keys[i]), values[i]);
		parts[i] = CStringGetTextDatum(text);
		pfree(text);
	}
	array = construct_array(parts, t->nkeys, TEXTOID, -1, false, TYPALIGN_INT);
	text = OutputFunctionCall(array_function(&array_out, F_ARRAY_OUT),
							  PointerGetDatum(array));
	for (i = 0; i < t->nkeys; i++)
		pfree(DatumGetPointer(parts[i]));
	pfree(parts);
	pfree(array);
	return text;
}

char *
wire_key_text(TrackedTable *t, Datum *values)
{
	int			level = begin_for(t);
	char	   *text = key_text(t, values);

	end_for(t, level);
	return text;
}

/*
 * The key may be one of a row that is gone, or older than a constraint of its
 * domain or the length of its column.  Whatever these say now, it is the key
 * that it was.
 */
static Datum
key_value(TrackedColumn *c, const char *text)
{
	return InputFunctionCall(&c->base->input, unconstify(char *, text), c->base->ioparam, -1);
}

static void
key_values(TrackedTable *t, const char *key, Datum *values)
{
	static FmgrInfo array_in;
	Datum		array;
	Datum	   *parts;
	bool	   *nulls;
	int			nparts;
	int			i;

	if (t->nkeys == 1)
	{
		values[0] = key_value(tracked_column(t, t->keys[0]), key);
		return;
	}

	array = InputFunctionCall(array_function(&array_in, F_ARRAY_IN),
							  unconstify(char *, key), TEXTOID, -1);
	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false,
					  TYPALIGN_INT, &parts, &nulls, &nparts);
	/* the table had another primary key when this text was written */
	if (nparts != t->nkeys || ARR_HASNULL(DatumGetArrayTypeP(array)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid key of entity type \"%s\"", t->entity_type),
				 errdetail("The key has %d columns.", t->nkeys)));
	for (i = 0; i < nparts; i++)
	{
		char	   *part = TextDatumGetCString(parts[i]);

		values[i] = key_value(tracked_column(t, t->keys[i]), part);
		pfree(part);
	}
	pfree(parts);
	pfree(nulls);
	pfree(DatumGetPointer(array));
}

void
wire_key_values(TrackedTable *t, const char *key, Datum *values)
{
	int			level = begin_for(t);

	key_values(t, key, values);
	end_for(t, level);
}
