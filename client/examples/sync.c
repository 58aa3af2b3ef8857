/*
 * sync.c
 *	  Sync a file that an app writes with plain SQL, over libcurl.
 *
 *		cc sync.c $(pkg-config --cflags --libs tide sqlite3)
 *		./a.out URL FILE TOKEN
 */
#include <stdio.h>
#include <string.h>

#include <tide.h>

static int
complain(tide *t, int code)
{
	fprintf(stderr, "%s\n", t ? tide_error(t) : "out of memory");
	tide_close(t);
	return code;
}

int
main(int argc, char **argv)
{
	char		options[1024];
	tide_summary summary;
	tide	   *t;
	int			code;

	if (argc != 4 || strpbrk(argv[1], "\"\\") != NULL)
	{
		fprintf(stderr, "usage: sync URL FILE TOKEN\n");
		return TIDE_USAGE;
	}
	code = tide_open(argv[2], 1, &t);
	if (code != TIDE_OK)
		return complain(t, code);

	/* the first time: say which server; its tables are made by the sync */
	if (!tide_is_set_up(t))
	{
		snprintf(options, sizeof(options), "{\"server\": \"%s\"}", argv[1]);
		code = tide_setup(t, options);
	}
	if (code == TIDE_OK)
		code = tide_set_token(t, argv[3]);
	if (code == TIDE_OK)
		code = tide_run(t);
	if (code != TIDE_OK && code != TIDE_SOME_FAILED)
		return complain(t, code);

	if (tide_summarize(t, &summary) != TIDE_OK)
		return complain(t, TIDE_LOCAL);
	printf("pulled %lld, pushed %lld, pending %lld\n", (long long) summary.pulled,
		   (long long) summary.pushed, (long long) summary.pending);
	tide_close(t);
	return code;
}
