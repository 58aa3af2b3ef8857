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

/* do equal values still have the text that they had under this form? */
extern bool type_form_fits(const char *form, Oid type, int32 typmod);

#endif							/* TIDE_FORM_H */
