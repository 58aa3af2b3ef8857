/*-------------------------------------------------------------------------
 *
 * sets.c
 *	  Sets of scopes and of entity types, and operations on two sets.
 *
 * A client that syncs every scope and then asks for some of them leaves out
 * all others, which nobody can list.  So a set of scopes is either those that
 * it lists, or all but those.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "cursor/sets.h"

/* which members of two lists to take: those only in a, in both, only in b */
#define ONLY_A	1
#define BOTH	2
#define ONLY_B	4

static int
compare_regs(const void *a, const void *b)
{
	int32		x = *(const int32 *) a;
	int32		y = *(const int32 *) b;

	return (x > y) - (x < y);
}

static int
compare_scopes(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

void
scopes_normalise(ScopeSet *set)
{
	int			kept = 0;
	int			i;

	if (set->n > 1)
		qsort(set->scopes, set->n, sizeof(char *), compare_scopes);
	for (i = 0; i < set->n; i++)
	{
		if (kept == 0 || strcmp(set->scopes[kept - 1], set->scopes[i]) != 0)
			set->scopes[kept++] = set->scopes[i];
	}
	set->n = kept;
}

void
types_normalise(TypeSet *set)
{
	int			kept = 0;
	int			i;

	if (set->n > 1)
		qsort(set->regs, set->n, sizeof(int32), compare_regs);
	for (i = 0; i < set->n; i++)
	{
		if (kept == 0 || set->regs[kept - 1] != set->regs[i])
			set->regs[kept++] = set->regs[i];
	}
	set->n = kept;
}

bool
scopes_contain(const ScopeSet *set, const char *scope)
{
	bool		listed = set->n > 0 &&
		bsearch(&scope, set->scopes, set->n, sizeof(char *), compare_scopes) != NULL;

	return listed != set->all;
}

bool
types_contain(const TypeSet *set, int32 reg)
{
	return set->n > 0 &&
		bsearch(&reg, set->regs, set->n, sizeof(int32), compare_regs) != NULL;
}

int
scopes_compare(const ScopeSet *a, const ScopeSet *b)
{
	int			i;

	if (a->all != b->all)
		return a->all ? -1 : 1;
	for (i = 0; i < a->n && i < b->n; i++)
	{
		int			order = strcmp(a->scopes[i], b->scopes[i]);

		if (order != 0)
			return order;
	}
	return (a->n > b->n) - (a->n < b->n);
}

int
types_compare(const TypeSet *a, const TypeSet *b)
{
	int			i;

	for (i = 0; i < a->n && i < b->n; i++)
	{
		if (a->regs[i] != b->regs[i])
			return a->regs[i] < b->regs[i] ? -1 : 1;
	}
	return (a->n > b->n) - (a->n < b->n);
}

/* two ascending lists of scopes into one */
static ScopeSet
merge_scopes(const ScopeSet *a, const ScopeSet *b, int take, bool all)
{
	ScopeSet	result;
	int			i = 0;
	int			j = 0;

	result.all = all;
	result.n = 0;
	result.scopes = palloc(sizeof(char *) * (a->n + b->n + 1));
	while (i < a->n || j < b->n)
	{
		int			order = i == a->n ? 1 : j == b->n ? -1 :
			strcmp(a->scopes[i], b->scopes[j]);

		if (take & (order < 0 ? ONLY_A : order > 0 ? ONLY_B : BOTH))
			result.scopes[result.n++] = order <= 0 ? a->scopes[i] : b->scopes[j];
		i += (order <= 0);
		j += (order >= 0);
	}
	return result;
}

ScopeSet
scopes_union(const ScopeSet *a, const ScopeSet *b)
{
	int			take;

	if (a->all)
		take = b->all ? BOTH : ONLY_A;
	else
		take = b->all ? ONLY_B : ONLY_A | BOTH | ONLY_B;
	return merge_scopes(a, b, take, a->all || b->all);
}

ScopeSet
scopes_intersect(const ScopeSet *a, const ScopeSet *b)
{
	int			take;

	if (a->all)
		take = b->all ? ONLY_A | BOTH | ONLY_B : ONLY_B;
	else
		take = b->all ? ONLY_A : BOTH;
	return merge_scopes(a, b, take, a->all && b->all);
}

ScopeSet
scopes_subtract(const ScopeSet *a, const ScopeSet *b)
{
	ScopeSet	others = *b;

	others.all = !b->all;
	return scopes_intersect(a, &others);
}

ScopeSet
scopes_listed(const ScopeSet *a, const ScopeSet *b)
{
	return merge_scopes(a, b, ONLY_A | BOTH | ONLY_B, false);
}

static TypeSet
merge_types(const TypeSet *a, const TypeSet *b, int take)
{
	TypeSet		result;
	int			i = 0;
	int			j = 0;

	result.n = 0;
	result.regs = palloc(sizeof(int32) * (a->n + b->n + 1));
	while (i < a->n || j < b->n)
	{
		int			order = i == a->n ? 1 : j == b->n ? -1 :
			compare_regs(&a->regs[i], &b->regs[j]);

		if (take & (order < 0 ? ONLY_A : order > 0 ? ONLY_B : BOTH))
			result.regs[result.n++] = order <= 0 ? a->regs[i] : b->regs[j];
		i += (order <= 0);
		j += (order >= 0);
	}
	return result;
}

TypeSet
types_union(const TypeSet *a, const TypeSet *b)
{
	return merge_types(a, b, ONLY_A | BOTH | ONLY_B);
}

TypeSet
types_intersect(const TypeSet *a, const TypeSet *b)
{
	return merge_types(a, b, BOTH);
}

TypeSet
types_subtract(const TypeSet *a, const TypeSet *b)
{
	return merge_types(a, b, ONLY_A);
}

TypeSet
types_of(int32 reg)
{
	TypeSet		result;

	result.n = 1;
	result.regs = palloc(sizeof(int32));
	result.regs[0] = reg;
	return result;
}
