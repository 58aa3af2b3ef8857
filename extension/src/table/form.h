/*-------------------------------------------------------------------------
 *
 * form.h
 *	  A word that says how the values of a type look as text.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_FORM_H
#define TIDE_FORM_H

/* palloc'd */
extern char *type_form(Oid type, int32 typmod);

/* do values look as they did when the type's form was this one? */
extern bool type_form_fits(const char *form, Oid type, int32 typmod);

#endif							/* TIDE_FORM_H */
