/*-------------------------------------------------------------------------
 *
 * name_order.c
 *	  Tracked tables in an order in which parents come before children.
 *
 * Take repeatedly the first table whose parents have all been taken.  In a
 * cycle of foreign keys, take the first that is left.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/binaryheap.h"

#include "table/names.h"

typedef struct OrderNode
{
	int			waits_for;		/* parents that have not been taken */
	bool		taken;
	List	   *children;		/* numbers of nodes */
} OrderNode;

/* a table and its number among all, to be found by relid */
typedef struct Numbered
{
	Oid			relid;
	int			number;
} Numbered;

static int
compare_relids(const void *a, const void *b)
{
	Oid			x = ((const Numbered *) a)->relid;
	Oid			y = ((const Numbered *) b)->relid;

	return (x > y) - (x < y);
}

/* binaryheap has the greatest on top: the least number is wanted */
static int
compare_numbers(Datum a, Datum b, void *arg)
{
	return DatumGetInt32(b) - DatumGetInt32(a);
}

static Numbered *
number_by_relid(List *names)
{
	Numbered   *result = palloc(sizeof(Numbered) * Max(list_length(names), 1));
	ListCell   *lc;

	foreach(lc, names)
	{
		Numbered   *numbered = &result[foreach_current_index(lc)];

		numbered->relid = ((TrackedName *) lfirst(lc))->relid;
		numbered->number = foreach_current_index(lc);
	}
	qsort(result, list_length(names), sizeof(Numbered), compare_relids);
	return result;
}

/* who waits for whom; parents that are not in the list are not waited for */
static OrderNode *
who_waits(List *names)
{
	int			n = list_length(names);
	OrderNode  *nodes = palloc0(sizeof(OrderNode) * Max(n, 1));
	Numbered   *numbers = number_by_relid(names);
	ListCell   *lc,
			   *lp;

	foreach(lc, names)
	{
		int			i = foreach_current_index(lc);

		foreach(lp, ((TrackedName *) lfirst(lc))->parents)
		{
			Numbered	sought = {lfirst_oid(lp), 0};
			Numbered   *parent = bsearch(&sought, numbers, n, sizeof(Numbered),
										 compare_relids);

			if (parent == NULL || parent->number == i)
				continue;
			nodes[parent->number].children = lappend_int(nodes[parent->number].children, i);
			nodes[i].waits_for++;
		}
	}
	return nodes;
}

List *
names_parents_first(List *names)
{
	int			n = list_length(names);
	OrderNode  *nodes = who_waits(names);
	binaryheap *ready = binaryheap_allocate(Max(n, 1), compare_numbers, NULL);
	List	   *result = NIL;
	int			first = 0;		/* of those that are left, none is before */
	int			i;

	for (i = 0; i < n; i++)
		if (nodes[i].waits_for == 0)
			binaryheap_add(ready, Int32GetDatum(i));
	while (list_length(result) < n)
	{
		ListCell   *lc;

		while (nodes[first].taken)
			first++;
		i = binaryheap_empty(ready) ? first : DatumGetInt32(binaryheap_remove_first(ready));
		if (nodes[i].taken)
			continue;
		nodes[i].taken = true;
		result = lappend(result, list_nth(names, i));
		foreach(lc, nodes[i].children)
		{
			OrderNode  *child = &nodes[lfirst_int(lc)];

			if (--child->waits_for == 0 && !child->taken)
				binaryheap_add(ready, Int32GetDatum(lfirst_int(lc)));
		}
	}
	binaryheap_free(ready);
	return result;
}
