/*-------------------------------------------------------------------------
 *
 * text.c
 *	  A column's values as text, whatever the settings of the session.
 *
 * wire_begin() makes settings that cost little.  This file has those that few
 * types look at, because setting search_path is not cheap, and because
 * functions in the CHECK of a domain may need the session's own.
 *
 * A name is written with its schema, unless it is one of the system.  It is
 * read by the system's names first, so it means the same again, and then by
 * the session's search_path: a client may send a name without a schema.
 *
 * An amount of money has no unit of its own: lc_monetary says how many of its
 * digits are behind the point, and databases are set up with the one that
 * their amounts are in.  So what counts is the setting with which sessions
 * begin, not "C" and not a SET of this session.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/typcache.h"

#include "table/kind.h"
#include "util/settings.h"
#include "wire/text.h"

static bool
varies(TrackedColumn *c)
{
	return c->text_varies || (c->has_fields && type_has_part(c->base_type, type_text_varies));
}

static void
set_money(void)
{
	const char *initial = GetConfigOptionResetString("lc_monetary");

	/* not by the variable: its header asks for ICU's from PostgreSQL 16 on */
	if (strcmp(GetConfigOption("lc_monetary", false, false), initial) != 0)
		setting_for_now("lc_monetary", initial);
}

int
text_begin_output(TrackedColumn *c)
{
	int			level;

	if (!varies(c))
		return 0;
	level = NewGUCNestLevel();
	set_money();
	setting_for_now("search_path", "pg_catalog, pg_temp");
	if (quote_all_identifiers)
		setting_for_now("quote_all_identifiers", "off");
	return level;
}

int
text_begin_input(TrackedColumn *c)
{
	const char *own = namespace_search_path;
	int			level;

	if (!varies(c))
		return 0;
	level = NewGUCNestLevel();
	set_money();
	setting_for_now("search_path",
					psprintf("pg_catalog%s%s, pg_temp", own[0] ? ", " : "", own));
	return level;
}

void
text_end(int level)
{
	if (level > 0)
		AtEOXact_GUC(true, level);
}

char *
text_output(TrackedColumn *c, Datum value)
{
	int			level = text_begin_output(c);
	char	   *text = OutputFunctionCall(&c->output, value);

	text_end(level);
	return text;
}

Datum
text_input(TrackedColumn *c, char *text)
{
	int			level = text_begin_input(c);
	Datum		value = InputFunctionCall(&c->input, text, c->ioparam, c->typmod);

	text_end(level);
	return value;
}
