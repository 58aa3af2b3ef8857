/*-------------------------------------------------------------------------
 *
 * policy.h
 *	  Conflict policies: what happens when two versions of a row meet.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_POLICY_H
#define TIDE_POLICY_H

typedef enum ConflictPolicy
{
	POLICY_LAST_WRITE_WINS,
	POLICY_CLIENT_WINS,
	POLICY_SERVER_WINS,
	POLICY_MERGE,
	POLICY_RESOLVER				/* a function of the user's */
} ConflictPolicy;

/*
 * May a version stand that is older than the one it replaced? Then stamps do
 * not tell which changes have been seen before, so whatever is stored is
 * remembered.
 */
#define policy_forgets(policy) \
	((policy) == POLICY_CLIENT_WINS || (policy) == POLICY_RESOLVER)

#endif							/* TIDE_POLICY_H */
