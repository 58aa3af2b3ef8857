/*-------------------------------------------------------------------------
 *
 * json_text.h
 *	  JSON that is kept as text, because jsonb cannot hold all that json can.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_JSON_TEXT_H
#define TIDE_JSON_TEXT_H

/* a member of an object as it stands there, palloc'd; NULL: there is none */
extern char *json_text_member(const char *object, const char *name);

#endif							/* TIDE_JSON_TEXT_H */
