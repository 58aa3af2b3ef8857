/*-------------------------------------------------------------------------
 *
 * group.h
 *	  Pushes of several users in one transaction.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_GROUP_H
#define TIDE_GROUP_H

#include "push/change.h"

/*
 * Each raises ERRCODE_TIDE_NOT_GROUPED where this push has to be a transaction
 * of its own: by its user, by its tables, before anything of it is converted,
 * and by its changes, before any is carried out.  They do nothing where the push
 * is one.
 */
extern void group_check_user(Push *push);
extern void group_check_tables(Push *push);
extern void group_check_changes(Push *push);

#endif							/* TIDE_GROUP_H */
