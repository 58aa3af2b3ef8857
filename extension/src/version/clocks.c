/*-------------------------------------------------------------------------
 *
 * clocks.c
 *	  The stamps of single columns, which the policy "merge" compares.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/json.h"

#include "version/clocks.h"
#include "wire/time.h"

bool
clocks_cover(TrackedTable *t, TrackedColumn *c)
{
	return column_is_synced(c) && !c->key && !c->generated &&
		!column_is_maintained(t, c) &&
		c->attnum != t->modified_at && c->attnum != t->client_id &&
		c->attnum != t->version && c->attnum != t->deleted_at;
}

/* a member's [time, client id]; false: it is nothing of the kind */
static bool
read_stamp(JsonbValue *v, Stamp *stamp)
{
	JsonbValue *time;
	JsonbValue *client;
	bool		has_zone;
	int			zone;

	memset(stamp, 0, sizeof(*stamp));
	if (v->type == jbvNull)
		return true;
	if (v->type != jbvBinary || !JsonContainerIsArray(v->val.binary.data) ||
		JsonContainerSize(v->val.binary.data) != 2)
		return false;
	time = getIthJsonbValueFromContainer(v->val.binary.data, 0);
	client = getIthJsonbValueFromContainer(v->val.binary.data, 1);
	if (time->type != jbvString ||
		!time_scan(time->val.string.val, time->val.string.len, &stamp->time,
				   &has_zone, &zone))
		return false;
	stamp->has_time = true;
	if (client->type == jbvString)
		stamp->client_id = pnstrdup(client->val.string.val, client->val.string.len);
	return true;
}

Stamp *
clocks_read(TrackedTable *t, Jsonb *json, const Stamp *row)
{
	Stamp	   *clocks = palloc(sizeof(Stamp) * t->ncolumns);
	int			i;

	for (i = 0; i < t->ncolumns; i++)
	{
		TrackedColumn *c = &t->columns[i];
		JsonbValue	buffer;
		JsonbValue *v = NULL;

		clocks[i] = *row;
		if (json == NULL || !JB_ROOT_IS_OBJECT(json) || !clocks_cover(t, c))
			continue;
		v = getKeyJsonValueFromContainer(&json->root, c->name, strlen(c->name), &buffer);
		if (v && !read_stamp(v, &clocks[i]))
			clocks[i] = *row;
	}
	return clocks;
}

Stamp *
clocks_none(TrackedTable *t)
{
	return palloc0(sizeof(Stamp) * t->ncolumns);
}

char *
clocks_text(TrackedTable *t, const Stamp *clocks, const Stamp *row)
{
	StringInfoData buf;
	char		time[TIME_TEXT_MAX];
	int			i;

	initStringInfo(&buf);
	for (i = 0; i < t->ncolumns; i++)
	{
		TrackedColumn *c = &t->columns[i];

		if (!clocks_cover(t, c) || stamp_compare(&clocks[i], row) == 0)
			continue;
		appendStringInfoChar(&buf, buf.len ? ',' : '{');
		escape_json(&buf, c->name);
		if (!clocks[i].has_time)
		{
			appendStringInfoString(&buf, ":null");
			continue;
		}
		(void) time_format(time, clocks[i].time, true);
		appendStringInfo(&buf, ":[\"%s\",", time);
		if (clocks[i].client_id)
			escape_json(&buf, clocks[i].client_id);
		else
			appendStringInfoString(&buf, "null");
		appendStringInfoChar(&buf, ']');
	}
	if (buf.len == 0)
		return NULL;
	appendStringInfoChar(&buf, '}');
	return buf.data;
}

Bitmapset *
clocks_below(const Stamp *clocks, Bitmapset *columns, const Stamp *stamp)
{
	Bitmapset  *result = NULL;
	int			att = -1;

	while ((att = bms_next_member(columns, att)) >= 0)
	{
		if (stamp_compare(&clocks[att - 1], stamp) < 0)
			result = bms_add_member(result, att);
	}
	return result;
}

void
clocks_set(Stamp *clocks, Bitmapset *columns, const Stamp *stamp)
{
	int			att = -1;

	while ((att = bms_next_member(columns, att)) >= 0)
		clocks[att - 1] = *stamp;
}
