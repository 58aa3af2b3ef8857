/*-------------------------------------------------------------------------
 *
 * push.c
 *	  tide.push, tide.upsert, tide.delete: a batch of changes.
 *
 * As long as nothing fails, all of a batch is one subtransaction and a
 * constant number of statements for each table and set of columns.  Once
 * something fails, it is undone and done again in units, see units.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "storage/lock.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "cursor/generation.h"
#include "cursor/history.h"
#include "cursor/places.h"
#include "cursor/standby.h"
#include "log/changelog.h"
#include "log/records.h"
#include "push/change.h"
#include "push/deferred.h"
#include "push/group.h"
#include "push/identity.h"
#include "push/known.h"
#include "push/latest.h"
#include "push/units.h"
#include "util/errors.h"
#include "util/json.h"
#include "util/memory.h"
#include "util/settings.h"
#include "wire/wire.h"

PG_FUNCTION_INFO_V1(tide_push);
PG_FUNCTION_INFO_V1(tide_push_json);
PG_FUNCTION_INFO_V1(tide_push_as);
PG_FUNCTION_INFO_V1(tide_push_grouped);
PG_FUNCTION_INFO_V1(tide_upsert);
PG_FUNCTION_INFO_V1(tide_delete);
PG_FUNCTION_INFO_V1(tide_restore);

/* ---------- the batch ---------- */

/* the changes that can be carried out */
static List *
readable(Push *push)
{
	List	   *result = NIL;
	int			i;

	for (i = 0; i < push->nchanges; i++)
		if (push->changes[i].typed.done)
			result = lappend(result, &push->changes[i]);
	return result;
}

/* go on from the change at which conversion stopped */
static void
convert_rest(Push *push, void *arg)
{
	int			level = wire_begin();

	for (; push->nconverted < push->nchanges; push->nconverted++)
		if (push->changes[push->nconverted].outcome.verdict == VERDICT_NONE)
			change_convert(push, &push->changes[push->nconverted]);
	wire_end(level);
}

/* conversion stopped at this change: fail it, and go on with the next */
static void
fail_unreadable(Push *push, ErrorData *error)
{
	Change	   *c = &push->changes[push->nconverted];

	if (error->column_name == NULL)
		error->column_name = unconstify(char *, push->converting);
	c->typed.done = false;
	change_fail(c, error);
	push->nconverted++;
}

/*
 * Convert all changes before any is carried out, so that a bad one does not
 * hide others.
 */
static void
convert_all(Push *push)
{
	ErrorData  *error;

	push->is_converting = true;
	while ((error = try_work(push, convert_rest, NULL, true)) != NULL)
		fail_unreadable(push, error);
	push->is_converting = false;
}

/*
 * Settle what must be known of each table before its changes are carried out:
 * how many they are, and whether the rows that a statement returns are the
 * rows at the end.  They are if no triggers fire, each row is written once,
 * and none is deleted.  Then the reply need not read them again.
 */
static void
settle_tables(Push *push)
{
	bool		plain = true;
	ListCell   *lc;
	int			i;

	foreach(lc, push->tables)
	{
		PushTable  *table = lfirst(lc);

		plain &= !table->t->has_side_effects;
		push->keeps_rows |= table->t->has_side_effects;
		table->nchanges = 0;
	}
	for (i = 0; i < push->nchanges; i++)
	{
		Change	   *c = &push->changes[i];

		if (!c->typed.done)
			continue;
		c->table->nchanges++;
		if (c->typed.is_delete || c->typed.round > 0)
			plain = false;
	}
	foreach(lc, push->tables)
		((PushTable *) lfirst(lc))->returns_rows = plain;
}

/* all changes at once */
static void
work_on_all(Push *push, void *arg)
{
	ListCell   *lc;

	foreach(lc, make_units(readable(push)))
		apply_unit(push, lfirst(lc));
	deferred_check(push);
}

/*
 * What the log says of the rows that the push itself writes.  NULL if the
 * reply has no ack, so that nothing need be said.  The first call takes a
 * transaction id.
 */
const LogOrigin *
push_origin(Push *push)
{
	if (!push->is_acked)
		return NULL;
	if (push->origin.push == 0)
	{
		push->origin.push = changelog_next_push();
		push->origin.subject = push->access.subject;
		push->origin.client_id = push->client_id;
	}
	return &push->origin;
}

static bool
any_failed(Push *push)
{
	int			i;

	for (i = 0; i < push->nchanges; i++)
	{
		if (push->changes[i].outcome.verdict == VERDICT_FAILED)
			return true;
	}
	return false;
}

static void
require_all(Push *push)
{
	if (any_failed(push))
		ereport(ERROR,
				(errcode(ERRCODE_TIDE_NOT_STORED),
				 errmsg("a change of an atomic push failed")));
}

/* raises an error also if a change failed without one */
static void
work_on_all_or_none(Push *push, void *arg)
{
	work_on_all(push, NULL);
	require_all(push);
}

static void
work_in_units_or_none(Push *push, void *error)
{
	work_in_units(push, readable(push), error);
	require_all(push);
}

static void
fail_others(Push *push)
{
	int			i;

	for (i = 0; i < push->nchanges; i++)
	{
		if (push->changes[i].outcome.verdict != VERDICT_FAILED)
			change_fail_as(&push->changes[i], "not_applied",
						   "another change of this atomic push failed");
	}
}

/*
 * All of the changes or none.  If one fails, all are carried out as in any push,
 * where what fails is tried again after the rest.  If that does not help, all is
 * undone, and the reply names everything that is wrong.
 */
static void
run_atomic(Push *push)
{
	ErrorData  *error = NULL;

	if (!any_failed(push))
	{
		error = try_work(push, work_on_all_or_none, NULL, true);
		if (error == NULL)
			return;
	}
	if (try_work(push, work_in_units_or_none, error, true) == NULL)
		return;
	if (!any_failed(push))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("the push conflicted with other transactions"),
				 errhint("Try again.")));
	fail_others(push);
}

static void
finish_push(Push *push)
{
	conflicts_send_winners(push);
	push_read_entities(push);
	conflicts_record(push);
	known_record(push);
}

/*
 * Convert and carry out push->changes.  Must run in push->context, and be
 * connected to SPI.
 */
static void
run_push(Push *push)
{
	push_find_tables(push);
	group_check_tables(push);
	push_order_tables(push);
	convert_all(push);
	assign_rounds(push);
	settle_tables(push);
	group_check_changes(push);
	/* the tables of a group have nothing that is deferred */
	if (!push->is_grouped)
	{
		deferred_begin(push);
		latest_begin(push);
	}
	if (push->atomic)
		run_atomic(push);
	else
	{
		ErrorData  *error = try_work(push, work_on_all, NULL, true);

		if (error)
			work_in_units(push, readable(push), error);
	}
	finish_push(push);
}

static void
open_push(Push *push, ArrayType *scopes, char *client_id)
{
	memory_keep_freed();
	SPI_connect();
	push->context = CurrentMemoryContext;
	push->scratch = AllocSetContextCreate(push->context, "pg_tide value",
										  ALLOCSET_DEFAULT_SIZES);
	access_resolve(scopes, &push->access);
	generation_register();
	push->client_id = client_id && client_id[0] ? client_id : NULL;
}

/* has the client missed forgotten deletes of a type that it pushes? */
static bool
is_expired_for(Push *push, const Cursor *cursor, uint64 horizon)
{
	const char *last = NULL;
	int			i;

	if (places_are_expired(cursor, horizon))
		return true;
	for (i = 0; i < push->nchanges; i++)
	{
		const char *type = push->changes[i].sent.entity_type;
		TrackedTable *t;

		if (type == NULL || (last && strcmp(type, last) == 0))
			continue;
		last = type;
		t = registry_find(push->access.schema, type, true);
		if (t && places_expired_for(cursor, t->reg, horizon))
			return true;
	}
	return false;
}

/*
 * A client that was away for longer than deletes are remembered must not bring
 * deleted rows back.  Its cursor says how long it was away; without a cursor,
 * the stamp of each change does.
 */
static void
check_horizon(Push *push)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	Horizon		horizon;
	bool		pruned = horizon_read(snapshot, &horizon);

	UnregisterSnapshot(snapshot);
	if (push->cursor == NULL)
	{
		push->has_horizon = pruned;
		push->horizon = pruned ? horizon.at : 0;
	}
	else
	{
		Cursor	   *cursor = cursor_decode(push->cursor);

		history_check_cursor(cursor);
		if (history_is_other(cursor) ||
			!history_is_of_schema(cursor, push->access.schema) ||
			history_is_lost(cursor, NULL) ||
			(pruned && is_expired_for(push, cursor, horizon.xid)))
			ereport(ERROR,
					(errcode(ERRCODE_TIDE_RESYNC_REQUIRED),
					 errmsg("the cursor is older than what this database remembers"),
					 errhint("Nothing was written. Pull with this cursor, which starts over, and push again what is still wanted.")));
	}
}

/*
 * of the change, else of the body, else of the user, else of the transaction
 */
static void
settle_client_id(Push *push)
{
	if (push->client_id == NULL || push->client_id[0] == '\0')
		push->client_id = push->access.subject;
	if (push->client_id == NULL && tide_client_id && tide_client_id[0])
		push->client_id = pstrdup(tide_client_id);
}

/* ---------- receipts ---------- */

#define MAX_BATCH_ID 255

/* an advisory lock class of our own, beside those of keys and pruning */
#define BATCH_LOCK_CLASS 9

/* if another session carries out the same batch, wait until it has committed */
static void
lock_batch(Push *push)
{
	char	   *name = psprintf("%u %u %s %s", GetUserId(), push->access.schema,
								push->access.subject ? push->access.subject : "",
								push->batch_id);
	uint64		hash = hash_bytes_extended((unsigned char *) name, strlen(name), 0);
	LOCKTAG		tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, (uint32) (hash >> 32), (uint32) hash,
						 BATCH_LOCK_CLASS);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
}

/*
 * The reply that this batch got before, NULL if the batch is new.  Read as
 * committed by now, because the first one may have committed after our
 * snapshot was taken.
 */
static char *
find_receipt(Push *push, bytea *hash)
{
	ReceiptOwner whose = {push->access.subject, push->access.schema};
	Snapshot	snapshot;
	bytea	   *stored;
	char	   *reply;

	if (strlen(push->batch_id) > MAX_BATCH_ID)
		ereport(ERROR,
				(errcode(ERRCODE_TIDE_MALFORMED_REQUEST),
				 errmsg("\"batchId\" is longer than %d bytes", MAX_BATCH_ID),
				 errhint("A UUID is short enough.")));
	lock_batch(push);
	reply = receipt_read(&whose, push->batch_id, InvalidSnapshot, &stored);
	if (reply == NULL)
	{
		snapshot = RegisterSnapshot(GetLatestSnapshot());
		reply = receipt_read(&whose, push->batch_id, snapshot, &stored);
		UnregisterSnapshot(snapshot);
	}
	if (reply &&
		(VARSIZE_ANY_EXHDR(stored) != VARSIZE_ANY_EXHDR(hash) ||
		 memcmp(VARDATA_ANY(stored), VARDATA_ANY(hash), VARSIZE_ANY_EXHDR(hash)) != 0))
		ereport(ERROR,
				(errcode(ERRCODE_TIDE_BATCH_ID_REUSED),
				 errmsg("this batchId was already used for a push with another body"),
				 errhint("Send each new batch under a new batchId.")));
	return reply;
}

/* ---------- tide.push ---------- */

static char *
carry_out(Push *push)
{
	ReceiptOwner whose = {push->access.subject, push->access.schema};
	char	   *reply;

	if (push->batch_id)
	{
		reply = find_receipt(push, push->digest);
		if (reply)
			return reply;
	}
	check_horizon(push);
	run_push(push);
	reply = push_reply(push);
	if (push->batch_id)
		receipt_write(&whose, push->batch_id, push->digest, reply);
	return reply;
}

/*
 * tide.push and tide.push_json, whose body is text in UTF-8. *nchanges is set
 * to the number of changes.  grouped: see group.c.
 */
static Datum
push_body(FunctionCallInfo fcinfo, bool is_text, bool grouped, int *nchanges)
{
	MemoryContext caller = CurrentMemoryContext;
	Push		push = {0};
	char	   *reply;
	text	   *result;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_TIDE_MALFORMED_REQUEST),
				 errmsg("the body of a push must not be null")));
	open_push(&push, tide_array_argument(fcinfo, 1),
			  tide_text_argument(fcinfo, 2));
	push.is_acked = true;
	push.is_grouped = grouped;
	group_check_user(&push);
	push.batch_id = tide_text_argument(fcinfo, 3);
	if (is_text)
	{
		bytea	   *body = PG_GETARG_BYTEA_PP(0);

		push_read_text(&push, VARDATA_ANY(body), VARSIZE_ANY_EXHDR(body));
	}
	else
		push_read_body(&push, PG_GETARG_JSONB_P(0));
	if (!PG_ARGISNULL(4))
		push.atomic = PG_GETARG_BOOL(4);
	settle_client_id(&push);
	reply = carry_out(&push);

	MemoryContextSwitchTo(caller);
	result = cstring_to_text(reply);
	*nchanges = push.nchanges;
	SPI_finish();
	PG_RETURN_TEXT_P(result);
}

Datum
tide_push(PG_FUNCTION_ARGS)
{
	int			nchanges;

	standby_refuse("tide.push()");
	return push_body(fcinfo, false, false, &nchanges);
}

/* the reply, and the number of changes */
static Datum
push_text(FunctionCallInfo fcinfo, FunctionCallInfo arguments, bool grouped)
{
	TupleDesc	desc;
	Datum		values[2];
	bool		nulls[2] = {false, false};
	int			nchanges;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[0] = push_body(arguments, true, grouped, &nchanges);
	values[1] = Int32GetDatum(nchanges);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

Datum
tide_push_json(PG_FUNCTION_ARGS)
{
	standby_refuse("tide.push_json()");
	return push_text(fcinfo, fcinfo, false);
}

/*
 * (body, role, claims, client_id, times, max_push_changes, timeout,
 * lock_timeout): what the gateway needs for a push, in one statement, which is
 * the transaction.  It can do no more than these settings, set one by one, and
 * tide.push_json().
 */
static Datum
push_as(FunctionCallInfo fcinfo, bool grouped)
{
	LOCAL_FCINFO(arguments, 5);
	Identity	identity;
	Datum		result;
	int			i;

	standby_refuse(grouped ? "tide.push_grouped()" : "tide.push_as()");
	identity.role = tide_text_argument(fcinfo, 1);
	identity.claims = tide_text_argument(fcinfo, 2);
	identity.client_id = tide_text_argument(fcinfo, 3);
	identity.times = tide_text_argument(fcinfo, 4);
	for (i = 1; i < PG_NARGS(); i++)
		if (PG_ARGISNULL(i) && i != 3)
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("only client_id may be null")));
	identity.max_push_changes = PG_GETARG_INT32(5);
	identity.timeout = PG_GETARG_INT32(6);
	identity.lock_timeout = PG_GETARG_INT32(7);
	identity_assume(&identity);

	InitFunctionCallInfoData(*arguments, NULL, 5, InvalidOid, NULL, NULL);
	arguments->args[0] = fcinfo->args[0];
	for (i = 1; i < 5; i++)
		arguments->args[i].isnull = true;
	result = push_text(fcinfo, arguments, grouped);

	/* at COMMIT the deferred checks would run without the timeout */
	if (!grouped)
		deferred_fire();
	return result;
}

/* the statement is the transaction */
Datum
tide_push_as(PG_FUNCTION_ARGS)
{
	return push_as(fcinfo, false);
}

/* the statement is one of several users' in a transaction, see group.c */
Datum
tide_push_grouped(PG_FUNCTION_ARGS)
{
	return push_as(fcinfo, true);
}

/* ---------- one change ---------- */

static Datum
verdict_datum(FunctionCallInfo fcinfo, Push *push, MemoryContext caller)
{
	Change	   *c = &push->changes[0];
	TupleDesc	desc;
	Datum		values[7] = {0};
	bool		nulls[7];
	char	   *entity = c->outcome.verdict == VERDICT_FAILED ? NULL : push_entity(push, c);
	Datum		result;

	MemoryContextSwitchTo(caller);
	memset(nulls, true, sizeof(nulls));
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	BlessTupleDesc(desc);

#define PUT(n, string) \
	if ((string) != NULL) \
	{ \
		values[n] = CStringGetTextDatum(string); \
		nulls[n] = false; \
	}
	PUT(0, verdict_name(c->outcome.verdict));
	if (entity)
		nulls[1] = !wire_jsonb(entity, strlen(entity), &values[1]);
	if (c->outcome.verdict == VERDICT_FAILED)
	{
		PUT(2, c->outcome.failure.code);
		PUT(3, c->outcome.failure.message);
		PUT(4, c->outcome.failure.constraint);
		PUT(5, c->outcome.failure.column);
	}
	PUT(6, c->outcome.note);
#undef PUT
	result = HeapTupleGetDatum(heap_form_tuple(desc, values, nulls));
	return result;
}

static JsonbValue *
object_argument(FunctionCallInfo fcinfo, int n, const char *what)
{
	Jsonb	   *jsonb;
	JsonbValue *v;

	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", what)));
	jsonb = PG_GETARG_JSONB_P(n);
	v = palloc0(sizeof(JsonbValue));
	if (JB_ROOT_IS_SCALAR(jsonb))
	{
		if (!JsonbExtractScalar(&jsonb->root, v))
			elog(ERROR, "not a scalar");
		return v;
	}
	v->type = jbvBinary;
	v->val.binary.data = &jsonb->root;
	v->val.binary.len = VARSIZE(jsonb) - VARHDRSZ;
	return v;
}

static void
take_given_stamp(FunctionCallInfo fcinfo, int n, Change *c)
{
	if (PG_ARGISNULL(n))
		return;
	c->sent.has_given_stamp = true;
	c->sent.given_stamp = PG_GETARG_TIMESTAMPTZ(n);
	if (TIMESTAMP_NOT_FINITE(c->sent.given_stamp))
		ereport(ERROR,
				(errcode(ERRCODE_TIDE_BAD_TIME),
				 errmsg("modified_at must be a finite time")));
}

/* tide.upsert and tide.delete: a push of one change */
static Datum
one_change(FunctionCallInfo fcinfo, bool is_delete)
{
	MemoryContext caller = CurrentMemoryContext;
	Push		push = {0};
	JsonbValue *data = object_argument(fcinfo, 1, is_delete ? "key" : "data");
	Change	   *c;
	Datum		result;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("relation must not be null")));
	open_push(&push, NULL, tide_text_argument(fcinfo, 3));
	settle_client_id(&push);
	push.sql_names = true;
	c = push_new_change(&push);
	c->table = push_table(&push, PG_GETARG_OID(0));
	c->sent.entity_type = c->table->t->entity_type;
	take_given_stamp(fcinfo, 2, c);
	c->sent.delete_action = is_delete;
	if (data->type == jbvBinary && JsonContainerIsObject(data->val.binary.data))
		c->sent.data = data->val.binary.data;
	else if (is_delete)
		c->sent.key = data;
	else
		ereport(ERROR,
				(errcode(ERRCODE_TIDE_MALFORMED_CHANGE),
				 errmsg("data must be an object")));
	run_push(&push);
	result = verdict_datum(fcinfo, &push, caller);
	SPI_finish();
	return result;
}

/* {"name":value,...} of a key */
static char *
key_json(TrackedTable *t, const char *key)
{
	Datum		values[INDEX_MAX_KEYS];
	StringInfoData buf;
	int			level = wire_begin();

	wire_key_values(t, key, values);
	initStringInfo(&buf);
	wire_append_key(&buf, t, values);
	wire_end(level);
	return buf.data;
}

Datum
tide_upsert(PG_FUNCTION_ARGS)
{
	standby_refuse("tide.upsert()");
	return one_change(fcinfo, false);
}

Datum
tide_delete(PG_FUNCTION_ARGS)
{
	standby_refuse("tide.delete()");
	return one_change(fcinfo, true);
}

/* say what of the version that lost could not be put back */
static void
note_gone(Push *push, Change *c)
{
	StringInfoData note;
	ListCell   *lc;

	if (push->gone == NIL)
		return;
	initStringInfo(&note);
	if (c->outcome.note)
		appendStringInfo(&note, "%s; ", c->outcome.note);
	appendStringInfoString(&note, "not restored, because the entity type has no such column any more: ");
	foreach(lc, push->gone)
		appendStringInfo(&note, "%s\"%s\"", foreach_current_index(lc) > 0 ? ", " : "",
						 (char *) lfirst(lc));
	c->outcome.note = note.data;
}

Datum
tide_restore(PG_FUNCTION_ARGS)
{
	MemoryContext caller = CurrentMemoryContext;
	int64		id = PG_GETARG_INT64(0);
	Push		push = {0};
	Conflict   *conflict;
	Jsonb	   *key;
	Jsonb	   *lost;
	JsonbValue	key_value;
	Change	   *c;
	Datum		result;

	standby_refuse("tide.restore()");
	open_push(&push, NULL, NULL);
	settle_client_id(&push);
	push.restoring = true;
	conflict = conflict_by_id(id);
	if (conflict == NULL ||
		!conflict_is_visible(&push.access, conflict->relid, conflict->scope,
							 conflict->subject))
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("there is no conflict " INT64_FORMAT, id),
				 errhint("The view tide.conflicts lists them, until they are pruned.")));
	c = push_new_change(&push);
	c->table = push_table(&push, conflict->relid);
	c->sent.entity_type = c->table->t->entity_type;
	c->sent.delete_action = conflict->lost_is_delete;
	/* under the names that the key has today */
	key = json_parse(key_json(c->table->t, conflict->key));
	c->sent.key = &key_value;
	key_value.type = jbvBinary;
	key_value.val.binary.data = &key->root;
	key_value.val.binary.len = VARSIZE(key) - VARHDRSZ;
	lost = conflict->lost ? json_parse(conflict->lost) : key;
	c->sent.data = &lost->root;
	run_push(&push);
	note_gone(&push, c);
	result = verdict_datum(fcinfo, &push, caller);
	SPI_finish();
	return result;
}
