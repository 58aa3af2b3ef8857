/*-------------------------------------------------------------------------
 *
 * sets.h
 *	  Sets of scopes and of entity types, and operations on two sets.
 *
 * Pure: uses neither SPI, tables nor the clock.  Results are palloc'd; they
 * share the texts of scopes with the sets that they were made of.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_SETS_H
#define TIDE_SETS_H

/* those listed, or all but those */
typedef struct ScopeSet
{
	bool		all;			/* every scope but those that are listed */
	int			n;
	char	  **scopes;			/* ascending by strcmp, no duplicates */
} ScopeSet;

/* a set of entity types, by registration */
typedef struct TypeSet
{
	int			n;
	int32	   *regs;			/* ascending, no duplicates */
} TypeSet;

/* sort, drop duplicates */
extern void scopes_normalise(ScopeSet *set);
extern void types_normalise(TypeSet *set);

extern bool scopes_contain(const ScopeSet *set, const char *scope);
extern bool types_contain(const TypeSet *set, int32 reg);

/* below 0, 0, above 0: some total order of sets */
extern int	scopes_compare(const ScopeSet *a, const ScopeSet *b);
extern int	types_compare(const TypeSet *a, const TypeSet *b);

#define scopes_equal(a, b) (scopes_compare(a, b) == 0)
#define types_equal(a, b) (types_compare(a, b) == 0)
#define scopes_are_none(set) (!(set)->all && (set)->n == 0)

extern ScopeSet scopes_union(const ScopeSet *a, const ScopeSet *b);
extern ScopeSet scopes_intersect(const ScopeSet *a, const ScopeSet *b);
extern ScopeSet scopes_subtract(const ScopeSet *a, const ScopeSet *b);

/* all members that either set lists, whatever the listing means */
extern ScopeSet scopes_listed(const ScopeSet *a, const ScopeSet *b);

extern TypeSet types_union(const TypeSet *a, const TypeSet *b);
extern TypeSet types_intersect(const TypeSet *a, const TypeSet *b);
extern TypeSet types_subtract(const TypeSet *a, const TypeSet *b);
extern TypeSet types_of(int32 reg);

#endif							/* TIDE_SETS_H */
