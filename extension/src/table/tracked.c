/*-------------------------------------------------------------------------
 *
 * tracked.c
 *	  A tracked table as the rest of pg_tide knows it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "table/tracked.h"

/*
 * The settings of a table do not fit it any more, or its catalogs do not fit
 * together: it cannot be served.  "why" must live as long as the table's entry.
 */
void
tracked_set_broken(TrackedTable *t, char *why)
{
	t->broken = true;
	t->broken_why = why;
}

TrackedColumn *
tracked_column_by_name(TrackedTable *t, const char *name)
{
	int			i;

	for (i = 0; i < t->ncolumns; i++)
		if (!t->columns[i].dropped && strcmp(t->columns[i].name, name) == 0)
			return &t->columns[i];
	return NULL;
}

TrackedColumn *
tracked_column_by_wire(TrackedTable *t, const char *name)
{
	int			i;

	for (i = 0; i < t->ncolumns; i++)
		if (column_is_synced(&t->columns[i]) &&
			strcmp(t->columns[i].wire, name) == 0)
			return &t->columns[i];
	return NULL;
}

/* "athlete_id" is "athleteId"; leading and doubled underscores stay */
char *
camel_case(const char *name)
{
	char	   *result = palloc(strlen(name) + 1);
	char	   *to = result;
	const char *p;

	for (p = name; *p; p++)
	{
		if (*p == '_' && p > name && p[-1] != '_' &&
			((p[1] >= 'a' && p[1] <= 'z') || (p[1] >= '0' && p[1] <= '9')))
		{
			p++;
			*to++ = (*p >= 'a' && *p <= 'z') ? *p - 'a' + 'A' : *p;
		}
		else
			*to++ = *p;
	}
	*to = '\0';
	return result;
}
