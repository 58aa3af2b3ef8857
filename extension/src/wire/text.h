/*-------------------------------------------------------------------------
 *
 * text.h
 *	  A column's values as text, whatever the settings of the session.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_TEXT_H
#define TIDE_TEXT_H

#include "table/registry.h"

/*
 * Settings for output, or for input, of this column's values, beyond those of
 * wire_begin().  No user code but the type's own functions may run until
 * text_end(), which takes what these returned.
 */
extern int	text_begin_output(TrackedColumn *c);
extern int	text_begin_input(TrackedColumn *c);
extern void text_end(int level);

/*
 * A value in the text form of its type, and back; NULL is NULL to a domain
 * that may refuse it.  Call these between wire_begin() and wire_end().  The
 * second raises the errors of the type.
 */
extern char *text_output(TrackedColumn *c, Datum value);
extern Datum text_input(TrackedColumn *c, char *text);

#endif							/* TIDE_TEXT_H */
