/* what decide.c uses of PostgreSQL's header of this name: sets of 0 to 63 */
#ifndef SHIM_BITMAPSET_H
#define SHIM_BITMAPSET_H

typedef struct Bitmapset
{
	uint64		word;
} Bitmapset;

static inline bool
bms_is_member(int x, const Bitmapset *a)
{
	assert(x >= 0 && x < 64);
	return a != NULL && (a->word >> x & 1) != 0;
}

static inline bool
bms_is_empty(const Bitmapset *a)
{
	return a == NULL || a->word == 0;
}

static inline Bitmapset *
bms_add_member(Bitmapset *a, int x)
{
	assert(x >= 0 && x < 64);
	if (a == NULL)
		a = palloc0(sizeof(Bitmapset));
	a->word |= UINT64_C(1) << x;
	return a;
}

static inline int
bms_next_member(const Bitmapset *a, int prevbit)
{
	int			x;

	for (x = prevbit + 1; x < 64; x++)
		if (bms_is_member(x, a))
			return x;
	return -2;
}

#endif							/* SHIM_BITMAPSET_H */
