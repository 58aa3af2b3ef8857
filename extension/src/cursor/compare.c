/*-------------------------------------------------------------------------
 *
 * compare.c
 *	  The order of snapshots and of places.
 *
 * Pure: uses neither SPI, tables nor the clock.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "cursor/cursor.h"

static int
compare_numbers(uint64 x, uint64 y)
{
	return (x > y) - (x < y);
}

static int
compare_xids(const void *a, const void *b)
{
	return compare_numbers(*(const uint64 *) a, *(const uint64 *) b);
}

static int
compare_texts(const char *a, const char *b)
{
	if (a == NULL || b == NULL)
		return (a != NULL) - (b != NULL);
	return strcmp(a, b);
}

bool
snapshot_shows(const TideSnapshot *snapshot, uint64 xid)
{
	if (xid < snapshot->xmin)
		return true;
	if (xid >= snapshot->xmax)
		return false;
	return snapshot->nxip == 0 ||
		bsearch(&xid, snapshot->xip, snapshot->nxip, sizeof(uint64),
				compare_xids) == NULL;
}

/* is there anything that "seen" shows and "now" does not? */
static bool
shows_more(const TideSnapshot *seen, const TideSnapshot *now)
{
	int			i;

	if (seen->xmax > now->xmax)
		return true;
	for (i = 0; i < now->nxip; i++)
		if (snapshot_shows(seen, now->xip[i]))
			return true;
	return false;
}

bool
snapshot_hold_back(TideSnapshot *seen, const TideSnapshot *now)
{
	TideSnapshot both = {0};
	int			i = 0;
	int			j = 0;

	if (!shows_more(seen, now))
		return false;
	both.xmax = Min(seen->xmax, now->xmax);
	both.xip = palloc(sizeof(uint64) * (seen->nxip + now->nxip + 1));
	while (i < seen->nxip || j < now->nxip)
	{
		uint64		xid = j == now->nxip ||
			(i < seen->nxip && seen->xip[i] <= now->xip[j]) ? seen->xip[i] : now->xip[j];

		i += (i < seen->nxip && seen->xip[i] == xid);
		j += (j < now->nxip && now->xip[j] == xid);
		if (xid < both.xmax)
			both.xip[both.nxip++] = xid;
	}
	both.xmin = Min(Min(seen->xmin, now->xmin), both.xmax);
	*seen = both;
	return true;
}

int
snapshot_compare(const TideSnapshot *a, const TideSnapshot *b)
{
	int			order = compare_numbers(a->xmax, b->xmax);
	int			i;

	if (order == 0)
		order = compare_numbers(a->xmin, b->xmin);
	if (order == 0)
		order = compare_numbers(a->nxip, b->nxip);
	for (i = 0; order == 0 && i < a->nxip; i++)
		order = compare_numbers(a->xip[i], b->xip[i]);
	return order;
}

int
place_compare_state(const Place *a, const Place *b)
{
	int			order = snapshot_compare(&b->seen, &a->seen);

	if (order == 0)
		order = (int) a->phase - (int) b->phase;
	if (order == 0 && a->phase == CURSOR_IN_LOG)
	{
		order = snapshot_compare(&a->target, &b->target);
		if (order == 0)
			order = compare_texts(a->scope, b->scope);
		if (order == 0)
			order = compare_numbers(a->xid, b->xid);
		if (order == 0)
			order = compare_numbers((uint64) a->seq, (uint64) b->seq);
		if (order == 0)
			order = (a->index > b->index) - (a->index < b->index);
		if (order == 0)
			order = (a->reach > b->reach) - (a->reach < b->reach);
		if (order == 0)
			order = (a->measured > b->measured) - (a->measured < b->measured);
	}
	if (order == 0 && a->phase == CURSOR_IN_TABLES)
	{
		order = (a->reg > b->reg) - (a->reg < b->reg);
		if (order == 0)
			order = compare_texts(a->scope, b->scope);
		if (order == 0)
			order = compare_texts(a->key, b->key);
		if (order == 0)
			order = types_compare(&a->done_types, &b->done_types);
	}
	if (order == 0 && a->phase != CURSOR_AT_REST)
		order = types_compare(&a->resets, &b->resets);
	return order;
}

int
place_compare(const Place *a, const Place *b)
{
	int			order = place_compare_state(a, b);

	if (order == 0)
		order = types_compare(&a->types, &b->types);
	if (order == 0)
		order = scopes_compare(&a->scopes, &b->scopes);
	return order;
}
