/*-------------------------------------------------------------------------
 *
 * judge.h
 *	  Judging changes: reading what is there, and deciding which changes stand
 *	  against it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_JUDGE_H
#define TIDE_JUDGE_H

#include "push/change.h"
#include "util/keymap.h"

/*
 * Read the rows of these changes; those that exist are judged, or fail where
 * they are in a scope that is not the caller's.  The others have no verdict.
 */
extern void judge_rows(Push *push, PushTable *table, List *changes);

/* judge changes of absent rows by their tombstones, with their keys locked */
extern void judge_absent(Push *push, PushTable *table, List *absent, bool is_delete);

/*
 * judge the change as one of a new row, whatever exists, which the caller may
 * insert
 */
extern void judge_as_new(Push *push, Change *c);

/* no other push creates or deletes these keys until this transaction ends */
extern void judge_lock_keys(PushTable *table, List *changes);

/*
 * raises an error if a deletion counts that was committed while rows were
 * inserted
 */
extern void judge_tombstones_again(Push *push, PushTable *table, List *inserted);

/* is any of these changes known to have been judged before? */
extern bool judge_any_known(List *changes);

/* the name of the scope on the wire, for errors */
extern const char *scope_member(TrackedTable *t);

extern List *changes_with_verdict(List *changes, Verdict verdict, bool row_exists);
extern KeyMap *changes_by_key(List *changes);

#endif							/* TIDE_JUDGE_H */
