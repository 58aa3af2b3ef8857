/*-------------------------------------------------------------------------
 *
 * interest.c
 *	  What a page is about, for the gateway: which types it brings, and what a
 *	  pull that goes on from it would look at.
 *
 * From a page that came to its end the next pull brings nothing until the log
 * has an entry of one of these scopes with one of these types.  tide.watch
 * names them as they are here.  Of other pages nothing is said.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/json.h"

#include "log/watch.h"
#include "pull/pull.h"
#include "util/settings.h"

/*
 * The types of which this page brings something.  If more pages follow, any
 * type may come.
 */
static void
append_changed(StringInfo buf, Pull *pull)
{
	bool		all = pull->has_more || pull->reset_reason != NULL;
	bool		first = true;
	ListCell   *lc;

	appendStringInfoString(buf, "{\"changed\":[");
	foreach(lc, pull->tables)
	{
		PullTable  *table = lfirst(lc);
		PullText   *text = &pull->texts[table->number];

		if (!all && text->nrows + text->ndeletions == 0 &&
			!types_contain(&pull->resets, table->t->reg))
			continue;
		if (!first)
			appendStringInfoChar(buf, ',');
		first = false;
		escape_json(buf, table->t->entity_type);
	}
	appendStringInfoChar(buf, ']');
}

static void
append_scopes(StringInfo buf, Pull *pull)
{
	int			i;

	/* a pull of every scope lists none */
	if (pull->asked.scopes.all)
		return;
	appendStringInfoString(buf, ",\"scopes\":[");
	for (i = 0; i < pull->spelled.n; i++)
	{
		if (i > 0)
			appendStringInfoChar(buf, ',');
		escape_json(buf, pull->spelled.scopes[i]);
	}
	appendStringInfoChar(buf, ']');
}

/*
 * A remembered cursor is not replaced by a younger one.  So it must not be
 * remembered until what it has seen is forgotten: for a tenth of the
 * retention, and a day at most.  Part of that time may have passed when the
 * cursor was given back.
 */
static int
seconds_to_remember(void)
{
	int64		tenth = Min((int64) tide_retention * 60 / 10, 24 * 60 * 60);

	return (int) (tenth - pull_old_after() / 1000000);
}

static bool
is_complete(Pull *pull)
{
	int			i;

	if (pull->has_more || pull->reset_reason != NULL || pull->resets.n > 0 ||
		pull->revoked.n > 0)
		return false;
	for (i = 0; i < pull->begin.nasked; i++)
		if (pull->begin.asked[i].phase != CURSOR_AT_REST)
			return false;
	return true;
}

/* a JSON object, in the current memory context */
char *
pull_interest(Pull *pull)
{
	StringInfoData buf;
	int			i;

	initStringInfo(&buf);
	append_changed(&buf, pull);
	if (is_complete(pull))
	{
		appendStringInfo(&buf, ",\"server\":\"%s\",\"remember\":%d,\"byFunction\":%s",
						 watch_server_of(&pull->head, pull->access.schema), seconds_to_remember(),
						 pull->access.by_function ? "true" : "false");
		append_scopes(&buf, pull);
		appendStringInfoString(&buf, ",\"types\":[");
		for (i = 0; i < pull->asked.types.n; i++)
			appendStringInfo(&buf, "%s%d", i > 0 ? "," : "", pull->asked.types.regs[i]);
		appendStringInfoChar(&buf, ']');
		pull_append_names(&buf, "unavailable", pull->unavailable);
	}
	appendStringInfoChar(&buf, '}');
	return buf.data;
}
