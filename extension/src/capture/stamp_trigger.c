/*-------------------------------------------------------------------------
 *
 * stamp_trigger.c
 *	  The row trigger that stamps each changed row.
 *
 * It runs before insert and update.  Its name puts it after the user's own
 * triggers, so it judges the row that will be stored.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "common/int.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/rel.h"

#include "capture/capture.h"
#include "capture/trigger.h"
#include "table/registry.h"
#include "util/compat.h"
#include "util/settings.h"
#include "version/clocks.h"
#include "version/stamp.h"
#include "wire/wire.h"

PushWrite  *push_write = NULL;

PG_FUNCTION_INFO_V1(tide_stamp);

int
trigger_depth(void)
{
	return DatumGetInt32(DirectFunctionCall1(pg_trigger_depth, (Datum) 0));
}

bool
push_write_is_direct(Oid relid)
{
	return push_write != NULL && push_write->relid == relid &&
		trigger_depth() == push_write->depth + 1;
}

char *
pushed_row_name(Oid relid, const char *key)
{
	return psprintf("%u %s", relid, key);
}

/* a row before or after the statement, taken apart once */
typedef struct RowVersion
{
	HeapTuple	tuple;
	Datum	   *values;			/* by attnum - 1 */
	bool	   *nulls;
} RowVersion;

static RowVersion *
take_apart(HeapTuple tuple, TupleDesc desc)
{
	RowVersion *row = palloc(sizeof(RowVersion) +
							 (sizeof(Datum) + sizeof(bool)) * desc->natts);

	row->tuple = tuple;
	row->values = (Datum *) (row + 1);
	row->nulls = (bool *) (row->values + desc->natts);
	heap_deform_tuple(tuple, desc, row->values, row->nulls);
	return row;
}

static bool
column_changed(TupleDesc desc, int i, const RowVersion *old, const RowVersion *new)
{
	Form_pg_attribute att = TupleDescAttr(desc, i);

	return old->nulls[i] != new->nulls[i] ||
		(!old->nulls[i] && !tide_image_eq(old->values[i], new->values[i],
										  att->attbyval, att->attlen));
}

static Datum
row_value(const RowVersion *row, AttrNumber attnum, bool *isnull)
{
	*isnull = row->nulls[attnum - 1];
	return row->values[attnum - 1];
}

/*
 * Did the statement change a column that clients get? Stored generated
 * columns are NULL here, so if there are some, every column that they may be
 * made of counts.  A scope that follows foreign keys does not count: when an
 * ancestor moves, this is not an edit of the row, and it must not beat one.
 */
static bool
synced_column_changed(TrackedTable *t, TupleDesc desc, const RowVersion *old, const RowVersion *new)
{
	int			i;

	for (i = 0; i < t->ncolumns; i++)
	{
		TrackedColumn *c = &t->columns[i];

		if (c->dropped || c->generated ||
			(c->excluded && !t->has_synced_generated) ||
			c->attnum == t->modified_at || c->attnum == t->client_id ||
			c->attnum == t->version || c->attnum == t->clocks ||
			column_is_maintained(t, c))
			continue;
		if (column_changed(desc, i, old, new))
			return true;
	}
	return false;
}

static int64
version_of(TrackedTable *t, TupleDesc desc, const RowVersion *tuple, bool *isnull)
{
	Oid			type = tracked_column(t, t->version)->base_type;
	Datum		value = row_value(tuple, t->version, isnull);

	if (*isnull)
		return 0;
	return type == INT8OID ? DatumGetInt64(value) :
		type == INT4OID ? DatumGetInt32(value) : DatumGetInt16(value);
}

/* the version counter of the new row */
static Datum
next_version(TrackedTable *t, TupleDesc desc, const RowVersion *old, const RowVersion *new)
{
	Oid			type = tracked_column(t, t->version)->base_type;
	bool		isnull;
	int64		version = version_of(t, desc, old ? old : new, &isnull);

	if (isnull)
		version = 1;
	else if (old && pg_add_s64_overflow(version, 1, &version))
		version = PG_INT64_MAX;
	if (type == INT8OID)
		return Int64GetDatum(version);

	/*
	 * a counter at its maximum stays there, so that the table can still be
	 * written
	 */
	if (type == INT4OID)
		return Int32GetDatum((int32) Min(version, PG_INT32_MAX));
	return Int16GetDatum((int16) Min(version, PG_INT16_MAX));
}

/*
 * Has the statement itself counted, as Hibernate and Rails do for optimistic
 * locking? This is a change even if it is the only one, because they must
 * find the version that they wrote.
 */
static bool
counted_itself(TrackedTable *t, TupleDesc desc, const RowVersion *old, const RowVersion *new)
{
	bool		old_null,
				new_null;
	int64		before,
				after;

	if (!AttributeNumberIsValid(t->version))
		return false;
	before = version_of(t, desc, old, &old_null);
	after = version_of(t, desc, new, &new_null);
	return !new_null && (old_null || (after > before && after - 1 == before));
}

/* did this transaction write this version, so that nobody else has seen it? */
static bool
is_own_version(const RowVersion *tuple)
{
	return TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple->tuple->t_data));
}

/*
 * The stamp of a row written by plain SQL.  A stamp that the statement set
 * itself stands if it is greater than the old one and within the allowed
 * skew.
 */
static TimestampTz
plain_stamp(TrackedTable *t, TupleDesc desc, const RowVersion *old, const RowVersion *new)
{
	Stamp		replaced = {0};
	bool		isnull;
	Datum		value;

	if (old)
	{
		value = row_value(old, t->modified_at, &isnull);
		replaced.has_time = !isnull;
		if (!isnull)
			replaced.time = DatumGetTimestampTz(value);
	}
	value = row_value(new, t->modified_at, &isnull);
	if (!isnull && !TIMESTAMP_NOT_FINITE(DatumGetTimestampTz(value)) &&
		(!replaced.has_time || DatumGetTimestampTz(value) > replaced.time) &&
		!stamp_is_ahead(DatumGetTimestampTz(value)))
		return DatumGetTimestampTz(value);
	return stamp_server_time(t, &replaced, old && is_own_version(old));
}

/* does NEW carry a stamp above OLD's? */
static bool
stamp_raised(TrackedTable *t, TupleDesc desc, const RowVersion *old, const RowVersion *new)
{
	bool		old_null,
				new_null;
	Datum		a = row_value(old, t->modified_at, &old_null);
	Datum		b = row_value(new, t->modified_at, &new_null);

	if (new_null)
		return false;
	return old_null || DatumGetTimestampTz(b) > DatumGetTimestampTz(a);
}

/* the columns that this trigger sets */
typedef struct Settings
{
	int			n;
	int			columns[4];		/* stamp, client, version, clocks */
	Datum		values[4];
	bool		nulls[4];
} Settings;

static void
set_column(Settings *s, AttrNumber attnum, Datum value, bool isnull)
{
	if (!AttributeNumberIsValid(attnum))
		return;
	s->columns[s->n] = attnum;
	s->values[s->n] = value;
	s->nulls[s->n] = isnull;
	s->n++;
}

/* the row with these columns set, as heap_modify_tuple_by_cols makes it */
static HeapTuple
with_settings(RowVersion *row, TupleDesc desc, const Settings *s)
{
	HeapTuple	result;
	int			i;

	if (s->n == 0)
		return row->tuple;
	for (i = 0; i < s->n; i++)
	{
		row->values[s->columns[i] - 1] = s->values[i];
		row->nulls[s->columns[i] - 1] = s->nulls[i];
	}
	result = heap_form_tuple(desc, row->values, row->nulls);
	result->t_data->t_ctid = row->tuple->t_data->t_ctid;
	result->t_self = row->tuple->t_self;
	result->t_tableOid = row->tuple->t_tableOid;
	return result;
}

/*
 * keep OLD's stamp, client, version and columns' stamps, because nothing that
 * is synced has changed
 */
static void
keep_stamp(TrackedTable *t, TupleDesc desc, const RowVersion *old, Settings *s)
{
	AttrNumber	columns[4] = {t->modified_at, t->client_id, t->version, t->clocks};
	int			i;

	for (i = 0; i < lengthof(columns); i++)
	{
		bool		isnull = true;
		Datum		value = (Datum) 0;

		if (AttributeNumberIsValid(columns[i]))
			value = row_value(old, columns[i], &isnull);
		set_column(s, columns[i], value, isnull);
	}
}

static void
set_clocks(TrackedTable *t, Settings *s, const char *text)
{
	set_column(s, t->clocks,
			   text ? DirectFunctionCall1(jsonb_in, CStringGetDatum(text)) : (Datum) 0,
			   text == NULL);
}

/* the stamps of a row's columns; stamp is that of the row */
static Stamp *
row_clocks(TrackedTable *t, TupleDesc desc, const RowVersion *tuple, Stamp *stamp)
{
	*stamp = stamp_of_row(t, tuple->values, tuple->nulls);
	return clocks_read(t, tuple->nulls[t->clocks - 1] ? NULL :
					   DatumGetJsonbP(tuple->values[t->clocks - 1]), stamp);
}

/* the columns that differ between two versions */
static Bitmapset *
changed_columns(TrackedTable *t, TupleDesc desc, const RowVersion *old, const RowVersion *new)
{
	Bitmapset  *result = NULL;
	int			i;

	for (i = 0; i < t->ncolumns; i++)
		if (clocks_cover(t, &t->columns[i]) && column_changed(desc, i, old, new))
			result = bms_add_member(result, i + 1);
	return result;
}

/*
 * The stamps of columns, under "merge", of a row that plain SQL writes with
 * this stamp.  Changed columns have the row's stamp from now on, the others
 * keep theirs.  Other policies drop them, because they would be wrong when the
 * table is merged again.
 */
static void
stamp_columns(TrackedTable *t, TupleDesc desc, const RowVersion *old, const RowVersion *new,
			  const Stamp *stamp, Settings *s)
{
	Stamp	   *clocks;
	Stamp		replaced;

	if (!AttributeNumberIsValid(t->clocks))
		return;
	if (old == NULL || t->policy != POLICY_MERGE)
	{
		set_clocks(t, s, NULL);
		return;
	}
	clocks = row_clocks(t, desc, old, &replaced);
	clocks_set(clocks, changed_columns(t, desc, old, new), stamp);
	set_clocks(t, s, clocks_text(t, clocks, stamp));
}

/* columns of the table that a push writes to, as a partition numbers them */
static Bitmapset *
columns_here(TrackedTable *t, Bitmapset *columns)
{
	TrackedTable *root;
	Bitmapset  *result = NULL;
	int			att = -1;

	if (!OidIsValid(t->root))
		return columns;
	root = registry_lookup(t->root);
	while ((att = bms_next_member(columns, att)) >= 0)
	{
		TrackedColumn *c = tracked_column_by_name(t, tracked_column(root, att)->name);

		if (c)
			result = bms_add_member(result, c->attnum);
	}
	return result;
}

/*
 * The key of a row, as text.  NULL: a part of it is generated, and the row is a
 * new one, in which generated columns are NULL until the triggers have run.
 */
static char *
key_text(TrackedTable *t, TupleDesc desc, const RowVersion *tuple)
{
	Datum		values[INDEX_MAX_KEYS];
	bool		isnull;
	int			i;

	for (i = 0; i < t->nkeys; i++)
	{
		values[i] = row_value(tuple, t->keys[i], &isnull);
		if (isnull)
			return NULL;
	}
	return wire_key_text(t, values);
}

/* the columns that the push writes in this row */
static Bitmapset *
pushed_columns(TrackedTable *t, TupleDesc desc, const RowVersion *old)
{
	PushedRow  *row = keymap_get(push_write->rows, key_text(t, desc, old));

	return row ? columns_here(t, row->columns) : NULL;
}

/* note whether an existing row already has what the push would write */
static void
note_if_kept(TrackedTable *t, TupleDesc desc, const RowVersion *old, const RowVersion *new)
{
	TrackedTable *root = registry_lookup(table_of_rows(t));
	PushedRow  *row;
	Bitmapset  *columns;
	int			att = -1;

	if (old == NULL || !root->has_side_effects)
		return;
	row = keymap_get(push_write->rows, key_text(t, desc, old));
	if (row == NULL)
		return;
	columns = bms_copy(columns_here(t, row->columns));
	if (t->deleted_at)
		columns = bms_add_member(columns, t->deleted_at);
	while ((att = bms_next_member(columns, att)) >= 0)
	{
		if (column_changed(desc, att - 1, old, new))
			return;
	}
	row->kept = true;
}

/* note that a trigger changes a row that the push is writing */
static void
note_if_touched(TrackedTable *t, TupleDesc desc, const RowVersion *old)
{
	PushedRow  *row;

	if (push_write == NULL || old == NULL || push_write->relid != table_of_rows(t))
		return;
	row = keymap_get(push_write->rows, key_text(t, desc, old));
	if (row)
		row->touched = true;
}

/*
 * A push writes the stamps of columns itself.  It does not know of columns
 * that the user's triggers change in addition; these get the row's stamp.
 */
static void
stamp_columns_beside(TrackedTable *t, TupleDesc desc, const RowVersion *old, const RowVersion *new,
					 const Stamp *stamp, Settings *s)
{
	Bitmapset  *beside;
	Stamp	   *clocks;
	Stamp		in_row;

	if (old == NULL || t->policy != POLICY_MERGE)
		return;
	beside = bms_difference(changed_columns(t, desc, old, new),
							pushed_columns(t, desc, old));
	if (bms_is_empty(beside))
		return;
	clocks = row_clocks(t, desc, new, &in_row);
	if (stamp == NULL)
		stamp = &in_row;
	clocks_set(clocks, beside, stamp);
	set_clocks(t, s, clocks_text(t, clocks, stamp));
}

static void
set_stamp(TrackedTable *t, Settings *s, const Stamp *stamp)
{
	bool		server = (stamp->client_id == NULL);

	set_column(s, t->modified_at, TimestampTzGetDatum(stamp->time), !stamp->has_time);
	set_column(s, t->client_id,
			   server ? (Datum) 0 : stamp_client_datum(t, stamp->client_id), server);
}

/*
 * The stamp that a push gives the row it writes.  The user's triggers ran
 * before and may have set another one, as moddatetime does, which would be
 * the time of arrival.  NULL if there are no such triggers, or if the row is
 * no longer the push's.
 */
static const Stamp *
direct_stamp(TrackedTable *t, TupleDesc desc, const RowVersion *old, const RowVersion *new)
{
	PushedRow  *row;
	char	   *key;

	if (push_write->stored == NULL)
		return NULL;
	key = key_text(t, desc, old ? old : new);
	row = key ? keymap_get(push_write->rows, key) : NULL;
	return row ? &row->stamp : NULL;
}

/*
 * The stamp of a row that the push has stored and that a trigger changes once
 * more.  It is still the pushed version.  NULL if it is not such a row.
 */
static const Stamp *
stored_stamp(TrackedTable *t, TupleDesc desc, const RowVersion *old)
{
	PushedRow  *row;
	Stamp		stamp = {0};
	Datum		value;
	bool		isnull;

	if (push_write == NULL || push_write->stored == NULL || old == NULL ||
		!is_own_version(old))
		return NULL;
	row = keymap_get(push_write->stored,
					 pushed_row_name(table_of_rows(t), key_text(t, desc, old)));
	if (row == NULL)
		return NULL;

	/* what was undone, or has been written since by others, is not it */
	value = row_value(old, t->modified_at, &isnull);
	stamp.has_time = !isnull;
	stamp.time = isnull ? 0 : DatumGetTimestampTz(value);
	value = row_value(old, t->client_id, &isnull);
	stamp.client_id = isnull ? NULL : TextDatumGetCString(value);
	return stamp_compare(&stamp, &row->stamp) == 0 ? &row->stamp : NULL;
}

/*
 * Does logical replication bring this row, with a stamp of the publisher's?
 * Then stamp and client stay as they are, because a version has one stamp,
 * there and here.  A row that the publisher did not stamp is stamped like any
 * other.
 */
static bool
stamp_came_along(TrackedTable *t, TupleDesc desc, const RowVersion *old, const RowVersion *new)
{
	bool		isnull;

	if (!t->replicated || SessionReplicationRole != SESSION_REPLICATION_ROLE_REPLICA)
		return false;
	if (old)
		return stamp_raised(t, desc, old, new);
	row_value(new, t->modified_at, &isnull);
	return !isnull;
}

/* likewise for the counter, which the publisher may not have */
static bool
version_came_along(TrackedTable *t, TupleDesc desc, const RowVersion *old, const RowVersion *new)
{
	Form_pg_attribute att = TupleDescAttr(desc, t->version - 1);
	bool		isnull,
				old_null;
	Datum		value = row_value(new, t->version, &isnull);
	Datum		before;

	if (isnull || old == NULL)
		return !isnull;
	before = row_value(old, t->version, &old_null);
	return old_null || !tide_image_eq(value, before, att->attbyval, att->attlen);
}

/* the columns of ours that the trigger sets in the new version of a row */
static void
settle_columns(TrackedTable *t, TupleDesc desc, const RowVersion *old,
			   const RowVersion *new, Settings *set)
{
	const Stamp *stored;

	if (push_write_is_direct(table_of_rows(t)))
	{
		const Stamp *stamp = direct_stamp(t, desc, old, new);

		push_write->reached++;
		note_if_kept(t, desc, old, new);
		/* the push chose the stamp; only the counter is ours */
		if (stamp)
			set_stamp(t, set, stamp);
		if (AttributeNumberIsValid(t->version))
			set_column(set, t->version, next_version(t, desc, old, new), false);
		stamp_columns_beside(t, desc, old, new, stamp, set);
	}
	else if (stamp_came_along(t, desc, old, new))
	{
		if (AttributeNumberIsValid(t->version) && !version_came_along(t, desc, old, new))
			set_column(set, t->version, next_version(t, desc, old, new), false);
	}
	else if ((stored = stored_stamp(t, desc, old)) != NULL)
	{
		if (!synced_column_changed(t, desc, old, new))
			keep_stamp(t, desc, old, set);
		else
		{
			set_stamp(t, set, stored);
			stamp_columns(t, desc, old, new, stored, set);
			if (AttributeNumberIsValid(t->version))
				set_column(set, t->version, next_version(t, desc, old, new), false);
		}
	}
	else if (old && !synced_column_changed(t, desc, old, new) &&
			 !stamp_raised(t, desc, old, new) && !counted_itself(t, desc, old, new))
		keep_stamp(t, desc, old, set);
	else
	{
		Stamp		stamp = {0};

		stamp.has_time = true;
		stamp.time = plain_stamp(t, desc, old, new);
		if (tide_client_id && tide_client_id[0] != '\0')
			stamp.client_id = tide_client_id;
		set_stamp(t, set, &stamp);
		stamp_columns(t, desc, old, new, &stamp, set);
		if (AttributeNumberIsValid(t->version))
			set_column(set, t->version, next_version(t, desc, old, new), false);
	}
}

Datum
tide_stamp(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	Relation	rel;
	TupleDesc	desc;
	TrackedTable *t;
	HeapTuple	tuple;
	RowVersion *old = NULL;
	RowVersion *new;
	Settings	set = {0};

	trigger_check(fcinfo, "tide.stamp() is a trigger of tracked tables, for each row, before insert or update",
				  TRIGGER_TYPE_ROW | TRIGGER_TYPE_BEFORE | TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE);
	rel = trigdata->tg_relation;
	desc = RelationGetDescr(rel);
	tuple = TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event) ?
		trigdata->tg_newtuple : trigdata->tg_trigtuple;
	t = registry_lookup(RelationGetRelid(rel));
	if (t == NULL || (!t->tracked && !OidIsValid(t->root)))
		return PointerGetDatum(tuple);
	new = take_apart(tuple, desc);
	if (TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event))
		old = take_apart(trigdata->tg_trigtuple, desc);
	if (t->broken)
		registry_require(table_of_rows(t));

	if (!push_write_is_direct(table_of_rows(t)))
		note_if_touched(t, desc, old);
	settle_columns(t, desc, old, new, &set);
	return PointerGetDatum(with_settings(new, desc, &set));
}
