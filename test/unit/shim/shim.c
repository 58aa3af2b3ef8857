/*-------------------------------------------------------------------------
 *
 * shim.c
 *	  The functions behind postgres.h in this folder.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

jmp_buf		shim_catch;
int			shim_sqlstate;

/* a chunk is freed by its owner, or else by shim_reset() */
static void **chunks = NULL;
static size_t nchunks = 0;
static size_t room = 0;

/* bounds what one forged cursor may make us allocate */
#define LARGEST_CHUNK (4 * 1024 * 1024)

static void
remember(void *pointer)
{
	if (nchunks == room)
	{
		room = Max(room * 2, 1024);
		chunks = realloc(chunks, room * sizeof(void *));
		assert(chunks != NULL);
	}
	chunks[nchunks++] = pointer;
}

static void
forget(void *pointer)
{
	size_t		i = nchunks;

	while (i > 0 && chunks[i - 1] != pointer)
		i--;
	assert(i > 0);
	chunks[i - 1] = chunks[--nchunks];
}

void *
palloc(size_t size)
{
	void	   *pointer;

	assert(size <= LARGEST_CHUNK);
	pointer = malloc(size);
	assert(pointer != NULL);
	remember(pointer);
	return pointer;
}

void *
palloc0(size_t size)
{
	return memset(palloc(size), 0, size);
}

void *
repalloc(void *pointer, size_t size)
{
	assert(size <= LARGEST_CHUNK);
	forget(pointer);
	pointer = realloc(pointer, size);
	assert(pointer != NULL);
	remember(pointer);
	return pointer;
}

void
pfree(void *pointer)
{
	forget(pointer);
	free(pointer);
}

void
shim_reset(void)
{
	while (nchunks > 0)
		free(chunks[--nchunks]);
}

void
shim_throw(void)
{
	longjmp(shim_catch, 1);
}

int
errcode(int sqlstate)
{
	shim_sqlstate = sqlstate;
	return 0;
}

int
errmsg(const char *format,...)
{
	(void) format;
	return 0;
}

int
errdetail(const char *format,...)
{
	(void) format;
	return 0;
}

int
errhint(const char *format,...)
{
	(void) format;
	return 0;
}

static int
utf8_length(uint8 lead)
{
	if (lead < 0x80)
		return 1;
	if (lead >= 0xc2 && lead <= 0xdf)
		return 2;
	if (lead >= 0xe0 && lead <= 0xef)
		return 3;
	if (lead >= 0xf0 && lead <= 0xf4)
		return 4;
	return 0;
}

bool
pg_verifymbstr(const char *text, int len, bool no_error)
{
	const uint8 *at = (const uint8 *) text;
	const uint8 *end = at + len;

	assert(no_error);
	while (at < end)
	{
		int			n = utf8_length(*at);
		int			i;

		if (n == 0 || n > end - at || *at == 0)
			return false;
		for (i = 1; i < n; i++)
		{
			if ((at[i] & 0xc0) != 0x80)
				return false;
		}
		/* overlong, surrogates, beyond Unicode */
		if ((*at == 0xe0 && at[1] < 0xa0) || (*at == 0xed && at[1] > 0x9f) ||
			(*at == 0xf0 && at[1] < 0x90) || (*at == 0xf4 && at[1] > 0x8f))
			return false;
		at += n;
	}
	return true;
}

unsigned char *
unicode_to_utf8(pg_wchar c, unsigned char *utf8)
{
	int			n = c > 0xffff ? 3 : c > 0x7ff ? 2 : c > 0x7f ? 1 : 0;
	static const unsigned char lead[] = {0, 0xc0, 0xe0, 0xf0};
	int			i;

	for (i = n; i > 0; i--, c >>= 6)
		utf8[i] = 0x80 | (c & 0x3f);
	utf8[0] = lead[n] | c;
	return utf8;
}
