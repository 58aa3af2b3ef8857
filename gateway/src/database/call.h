/*-------------------------------------------------------------------------
 *
 * call.h
 *	  What a job sends: the statements of its transaction.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CALL_H
#define CALL_H

#include "database/link.h"

/* the statement whose row is the reply */
extern Statement call_statement(const Job *job);

/* the name under which it is prepared */
extern const char *call_statement_name(Statement statement);

/* does the job only read? */
extern bool call_is_read(const Job *job);

/* is the call a transaction by itself? */
extern bool call_is_alone(const Connection *connection, const Job *job);

/*
 * Each notes in the connection's steps what will have a result; false: libpq did
 * not accept it.
 */
extern bool call_send_prepares(Connection *connection, const Job *job);
extern bool call_send(Connection *connection, const Job *job);
extern bool call_send_group_prepare(Connection *connection);
extern bool call_send_group(Connection *connection, Job *const *jobs, int count);

#endif							/* CALL_H */
