/*-------------------------------------------------------------------------
 *
 * compat.h
 *	  What differs between PostgreSQL 14 and 18.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_COMPAT_H
#define TIDE_COMPAT_H

#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/datetime.h"
#include "utils/datum.h"
#include "utils/timestamp.h"

#if PG_VERSION_NUM < 140000
#error "pg_tide needs PostgreSQL 14 or later"
#endif

/* what the server checks when it loads the library; 18 can also show it */
#ifdef PG_MODULE_MAGIC_EXT
#define TIDE_MODULE_MAGIC(library, number) \
	PG_MODULE_MAGIC_EXT(.name = library, .version = number)
#else
#define TIDE_MODULE_MAGIC(library, number) PG_MODULE_MAGIC
#endif

/* before a declaration; PostgreSQL 18 has it, and no pg_attribute_noreturn() */
#if PG_VERSION_NUM < 180000
#define pg_noreturn pg_attribute_noreturn()
#endif

/* the timeline that WAL is written to; not during recovery */
#if PG_VERSION_NUM >= 150000
#define TideCurrentTimeLine() GetWALInsertionTimeLine()
#else
#define TideCurrentTimeLine() ThisTimeLineID
#endif

/*
 * A page of WAL for a reader of it, which 15 and later do not wait for.  Before,
 * who reads what is there already does not wait either.
 */
#if PG_VERSION_NUM >= 150000
#define TideReadPage read_local_xlog_page_no_wait
#define TideReadPrivate ReadLocalXLogPageNoWaitPrivate
#else
#define TideReadPage read_local_xlog_page
#define TideReadPrivate struct { bool end_of_wal; }
#endif

/* the functions of recovery have a header of their own */
#if PG_VERSION_NUM >= 150000
#include "access/xlogrecovery.h"
#endif

/* raises an error for a precision it does not know */
#if PG_VERSION_NUM >= 160000
#define TideAdjustTimestamp(time, typmod) \
	((void) AdjustTimestampForTypmod(time, typmod, NULL))
#else
#define TideAdjustTimestamp(time, typmod) \
	AdjustTimestampForTypmod(time, typmod)
#endif

/* one function for all kinds of objects */
#if PG_VERSION_NUM >= 160000
#define tide_owns_table(relid) \
	object_ownercheck(RelationRelationId, relid, GetUserId())
#define tide_owns_schema(nspid) \
	object_ownercheck(NamespaceRelationId, nspid, GetUserId())
#define tide_may_execute(funcid) \
	tide_role_may_execute(GetUserId(), funcid)
#define tide_role_may_use(role, nspid) \
	(object_aclcheck(NamespaceRelationId, nspid, role, ACL_USAGE) == ACLCHECK_OK)
#define tide_role_may_execute(role, funcid) \
	(object_aclcheck(ProcedureRelationId, funcid, role, ACL_EXECUTE) == ACLCHECK_OK)
#define tide_may_use_schema(nspid) tide_role_may_use(GetUserId(), nspid)
#else
#define tide_owns_table(relid) \
	pg_class_ownercheck(relid, GetUserId())
#define tide_owns_schema(nspid) \
	pg_namespace_ownercheck(nspid, GetUserId())
#define tide_may_execute(funcid) \
	tide_role_may_execute(GetUserId(), funcid)
#define tide_role_may_use(role, nspid) \
	(pg_namespace_aclcheck(nspid, role, ACL_USAGE) == ACLCHECK_OK)
#define tide_role_may_execute(role, funcid) \
	(pg_proc_aclcheck(funcid, role, ACL_EXECUTE) == ACLCHECK_OK)
#define tide_may_use_schema(nspid) tide_role_may_use(GetUserId(), nspid)
#endif

/*
 * the local id of the transaction; a transaction without an xid has one, too
 */
#if PG_VERSION_NUM >= 170000
#define TideLocalTransactionId() (MyProc->vxid.lxid)
#else
#define TideLocalTransactionId() (MyProc->lxid)
#endif

/*
 * The columns of a foreign key on both sides, and the operators that compare
 * them: arrays of INDEX_MAX_KEYS elements, of which the last may be NULL.
 */
#if PG_VERSION_NUM >= 150000
#define TideDeconstructForeignKey(tuple, n, from, to, equal) \
	DeconstructFkConstraintRow(tuple, n, from, to, equal, NULL, NULL, NULL, NULL)
#else
#define TideDeconstructForeignKey(tuple, n, from, to, equal) \
	DeconstructFkConstraintRow(tuple, n, from, to, equal, NULL, NULL)
#endif

/*
 * is the foreign key enforced, and does it compare all its columns by
 * equality?
 */
#if PG_VERSION_NUM >= 180000
#define TideForeignKeyIsPlain(con) ((con)->conenforced && !(con)->conperiod)
#else
#define TideForeignKeyIsPlain(con) true
#endif

/* is the column generated when it is read, so that no tuple has it? */
#if PG_VERSION_NUM >= 180000
#define TideIsVirtual(att) ((att)->attgenerated == ATTRIBUTE_GENERATED_VIRTUAL)
#else
#define TideIsVirtual(att) false
#endif

/* a scan of an index by keys that are given later */
#if PG_VERSION_NUM >= 180000
#define tide_index_beginscan(rel, index, snapshot, nkeys) \
	index_beginscan(rel, index, snapshot, NULL, nkeys, 0)
#else
#define tide_index_beginscan(rel, index, snapshot, nkeys) \
	index_beginscan(rel, index, snapshot, nkeys, 0)
#endif

/* is no unique index in the way of a row? */
#if PG_VERSION_NUM >= 180000
#define tide_check_index_constraints(result, slot, estate, tid) \
	ExecCheckIndexConstraints(result, slot, estate, tid, NULL, NIL)
#else
#define tide_check_index_constraints(result, slot, estate, tid) \
	ExecCheckIndexConstraints(result, slot, estate, tid, NIL)
#endif

/* index entries of a new row; sets whether a unique index was in the way */
#if PG_VERSION_NUM >= 160000
#define tide_insert_index_tuples(result, slot, estate, conflict) \
	ExecInsertIndexTuples(result, slot, estate, false, true, conflict, NIL, false)
#else
#define tide_insert_index_tuples(result, slot, estate, conflict) \
	ExecInsertIndexTuples(result, slot, estate, false, true, conflict, NIL)
#endif

/* a set-returning function that fills a tuplestore */
#if PG_VERSION_NUM >= 150000
#define tide_init_materialized_srf(fcinfo) InitMaterializedSRF(fcinfo, 0)
#else
#define tide_init_materialized_srf(fcinfo) \
	do { \
		ReturnSetInfo *tide_rsi = (ReturnSetInfo *) (fcinfo)->resultinfo; \
		MemoryContext tide_old; \
		TupleDesc	tide_desc; \
		if (tide_rsi == NULL || !IsA(tide_rsi, ReturnSetInfo) || \
			!(tide_rsi->allowedModes & SFRM_Materialize)) \
			ereport(ERROR, \
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED), \
					 errmsg("set-valued function called in context that cannot accept a set"))); \
		tide_old = MemoryContextSwitchTo(tide_rsi->econtext->ecxt_per_query_memory); \
		if (get_call_result_type(fcinfo, NULL, &tide_desc) != TYPEFUNC_COMPOSITE) \
			elog(ERROR, "return type must be a row type"); \
		tide_rsi->returnMode = SFRM_Materialize; \
		tide_rsi->setResult = tuplestore_begin_heap(true, false, work_mem); \
		tide_rsi->setDesc = tide_desc; \
		MemoryContextSwitchTo(tide_old); \
	} while (0)
#endif

/*
 * Minor releases before the middle of 2026 compare all eight bytes of a
 * Datum, also the four that a value of four bytes does not use.  In these an
 * oid above 2^31 from a row differs from the same oid from a function.
 */
static inline bool
tide_image_eq(Datum a, Datum b, bool by_value, int length)
{
	if (by_value && length == sizeof(int32))
		return DatumGetInt32(a) == DatumGetInt32(b);
	return datum_image_eq(a, b, by_value, length);
}

#endif							/* TIDE_COMPAT_H */
