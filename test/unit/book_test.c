/*-------------------------------------------------------------------------
 *
 * book_test.c
 *	  Unit tests of the gateway's book.c: which poll a look answers, whom it
 *	  wakes, and what is remembered.
 *
 * First what each rule says, then a random world: commits, looks whose snapshot
 * is taken somewhere between their beginning and their end, pulls likewise,
 * polls, lost connections.  Who is answered "empty" must have missed nothing up
 * to the moment it arrived, and nobody may sit on when something has changed.
 *
 * Seen to fail with: a look that counts for those who came while it was under
 * way; a base of after the pull's snapshot; names of looks that ended while a
 * pull was under way not counted; nothing forgotten when the connection is lost
 * or a look does not know; types or scopes not compared.
 *
 * Prints TAP.  Usage: book_test [seed].
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "live/book.h"
#include "tap.h"

#define SECOND	INT64_C(1000000)

/* ---------- building blocks ---------- */

static const unsigned char *
key_of(int number)
{
	static unsigned char key[BOOK_KEY_SIZE];

	memset(key, 0, sizeof(key));
	memcpy(key, &number, sizeof(number));
	return key;
}

/* Of server "s"; scopes are letters of a text, NULL means all; types digits. */
static Interest
interest_in(const char *scopes, const char *types)
{
	Interest	interest = {0};
	int			i;

	interest.server = strdup("s");
	interest.all_scopes = scopes == NULL;
	interest.scope_count = scopes == NULL ? 0 : (int) strlen(scopes);
	interest.scopes = calloc((size_t) interest.scope_count + 1, sizeof(char *));
	for (i = 0; i < interest.scope_count; i++)
		interest.scopes[i] = strndup(scopes + i, 1);
	interest.type_count = (int) strlen(types);
	interest.types = calloc((size_t) interest.type_count + 1, sizeof(int32_t));
	for (i = 0; i < interest.type_count; i++)
		interest.types[i] = types[i] - '0';
	return interest;
}

static const Trust *
trust_from(uint64_t base)
{
	static Trust trust;

	trust.base = base;
	trust.poll_until = 40 * SECOND;
	trust.wait_until = 60 * SECOND;
	trust.renew_at = 600 * SECOND;
	return &trust;
}

static struct SeatList done;

static bool
remember(Book *book, int number, const char *scopes, const char *types,
		 uint64_t base)
{
	Interest	interest = interest_in(scopes, types);

	TAILQ_INIT(&done);
	return book_remember(book, key_of(number), &interest, trust_from(base), &done);
}

/* A look that names one scope and type, or nothing: scope NULL. */
static void
end_look(Book *book, bool known, const char *server, const char *scope,
		 int32_t type, int64_t now)
{
	char	   *scopes[1] = {(char *) scope};
	int32_t		types[1] = {type};
	Look		look = {
		.known = known,.server = server,.at = now / 1000,
		.name_count = scope != NULL,.scopes = scopes,.types = types
	};

	TAILQ_INIT(&done);
	book_end_look(book, &look, now, &done);
}

static void
look(Book *book, const char *scope, int32_t type, int64_t now)
{
	book_begin_look(book);
	end_look(book, true, "s", scope, type, now);
}

/* A book that has had its first look. */
static Book *
new_book(void)
{
	Book	   *book = book_create(100);

	book_begin_look(book);
	end_look(book, false, "s", NULL, 0, 0);
	return book;
}

static bool
is_done(const Seat *seat, SeatOutcome outcome)
{
	const Seat *other;

	TAILQ_FOREACH(other, &done, link)
	{
		if (other == seat)
			return seat->outcome == outcome;
	}
	return false;
}

/* ---------- what is remembered ---------- */

static void
test_remembering(void)
{
	Book	   *book = book_create(100);
	Interest	elsewhere;
	Seat		seat = {0};

	ok(!remember(book, 1, "a", "1", 0), "without a look nothing is remembered");
	book_begin_look(book);
	ok(book_last_look(book) == 0, "a look counts when it is complete");
	end_look(book, false, "s", NULL, 0, 0);
	ok(book_last_look(book) == 1, "the first one counts, although it knows nothing");
	ok(!remember(book, 1, "a", "1", 0), "a pull that was sent before it is not remembered");
	ok(remember(book, 1, "a", "1", 1), "one that was sent after it is");
	ok(!book_sit(book, key_of(2), &seat, true, 0), "another poll is not answered by it");
	ok(book_sit(book, key_of(1), &seat, true, 0) && book_leave(book, &seat), "the same is");
	ok(!book_leave(book, &seat), "who has left is not there");

	elsewhere = interest_in("a", "1");
	free(elsewhere.server);
	elsewhere.server = strdup("another");
	TAILQ_INIT(&done);
	ok(!book_remember(book, key_of(3), &elsewhere, trust_from(1), &done),
	   "a pull of another server than the looks' is not remembered");
	book_free(book);
}

static void
test_trust(void)
{
	Book	   *book = new_book();
	Seat		seat = {0};

	remember(book, 1, "a", "1", 1);
	ok(book_sit(book, key_of(1), &seat, true, 40 * SECOND - 1) && book_leave(book, &seat),
	   "a poll is answered until grants are to be looked at again");
	ok(!book_sit(book, key_of(1), &seat, true, 40 * SECOND), "and not from then on");
	ok(book_sit(book, key_of(1), &seat, false, 60 * SECOND - 1) && book_leave(book, &seat),
	   "who has just asked may wait for longer");
	ok(!book_sit(book, key_of(1), &seat, false, 60 * SECOND), "but not without end");
	{
		Interest	interest = interest_in("a", "1");
		Trust		trust = {1, 900 * SECOND, 900 * SECOND, 600 * SECOND};

		book_remember(book, key_of(1), &interest, &trust, &done);
	}
	ok(book_sit(book, key_of(1), &seat, true, 600 * SECOND - 1) && book_leave(book, &seat),
	   "the database has confirmed it");
	ok(!book_sit(book, key_of(1), &seat, true, 600 * SECOND), "an old cursor is not remembered");
	book_free(book);
}

static void
test_names_under_way(void)
{
	Book	   *book = new_book();

	look(book, "a", 1, 0);
	ok(!remember(book, 1, "a", "1", 1), "a look that ended since the base has named its scope");
	ok(remember(book, 2, "b", "1", 1), "it has not named this scope");
	ok(remember(book, 3, "a", "2", 1), "nor this type");
	ok(!remember(book, 4, NULL, "1", 1), "every scope is among all scopes");
	ok(remember(book, 5, "a", "1", 2), "what an earlier look has named is no matter");
	look(book, "", 3, 0);
	ok(!remember(book, 6, "b", "13", 2), "a shared table is everybody's");
	ok(remember(book, 7, "b", "14", 2), "if they have that table");
	ok(!remember(book, 8, NULL, "3", 2), "also of who has all scopes");
	book_free(book);
}

static void
test_many_names(void)
{
	Book	   *book = new_book();
	int			i;

	for (i = 0; i < 5000; i++)
		look(book, "z", 1, 0);
	ok(!remember(book, 1, "a", "1", 1), "what a pull of long ago has missed is not known any more");
	ok(remember(book, 1, "a", "1", 4500), "what a later one has, is");
	ok(!remember(book, 1, "z", "1", 4999), "and counts");
	book_free(book);
}

static void
test_bounds(void)
{
	Book	   *book = new_book();
	Seat		seat = {.until = 50 * SECOND};
	int			i;

	remember(book, 0, "a", "1", 1);
	book_sit(book, key_of(0), &seat, true, 0);
	for (i = 1; i <= 500; i++)
		remember(book, i, "a", "1", 1);
	ok(book_count_remembered(book) == 102, "so many are remembered, and the last one");
	{
		Seat		other = {0};

		ok(book_sit(book, key_of(500), &other, true, 0) && book_leave(book, &other), "the last are");
		ok(!book_sit(book, key_of(1), &other, true, 0), "the first are not");
		ok(book_sit(book, key_of(0), &other, true, 0) && book_leave(book, &other),
		   "but the one that somebody waits on is");
	}
	book_set_most(book, 0);
	ok(book_count_remembered(book) == 1, "fewer, after the settings have changed");
	ok(remember(book, 7, "a", "1", 1) && book_sit(book, key_of(7), &(Seat) {0}, true, 0) == true,
	   "who waits can sit down even if none is remembered");
	book_forget(book, &done);
	book_free(book);
}

/* ---------- polls ---------- */

static void
test_begin_after_arrival(void)
{
	Book	   *book = new_book();
	Seat		early = {0};
	Seat		late = {0};

	remember(book, 1, "a", "1", 1);
	book_sit(book, key_of(1), &early, true, 0);
	ok(book_wants_look_at_once(book), "a poll wants a look");
	book_begin_look(book);
	book_sit(book, key_of(1), &late, true, 0);
	end_look(book, true, "s", NULL, 0, 7000);
	ok(is_done(&early, SEAT_EMPTY) && early.at == 7, "a look answers who was there when it began");
	ok(!is_done(&late, SEAT_EMPTY) && book_count_seats(book) == 1,
	   "and not who came while it was under way");
	look(book, NULL, 0, 9000);
	ok(is_done(&late, SEAT_EMPTY) && late.at == 9, "the next one does");
	ok(!book_wants_looks(book), "then nobody wants a look");

	book_sit(book, key_of(1), &early, true, 0);
	book_begin_look(book);
	book_sit(book, key_of(1), &late, true, 0);
	end_look(book, true, "s", "a", 1, 0);
	ok(is_done(&early, SEAT_ASK) && is_done(&late, SEAT_ASK), "a change sends both to the database");
	ok(!book_sit(book, key_of(1), &early, true, 0), "and the poll is forgotten");
	book_free(book);
}

static void
test_waiting(void)
{
	Book	   *book = new_book();
	Seat		waiter = {.until = 30 * SECOND};
	Seat		other = {.until = 90 * SECOND};

	remember(book, 1, "a", "1", 1);
	remember(book, 2, "b", "1", 1);
	book_sit(book, key_of(1), &waiter, true, 0);
	book_sit(book, key_of(2), &other, true, 0);
	look(book, NULL, 0, 0);
	ok(TAILQ_EMPTY(&done) && book_wants_looks(book) && !book_wants_look_at_once(book),
	   "who may wait is not answered by a look that found nothing");
	ok(book_next_due(book) == 30 * SECOND, "its wait ends");
	look(book, "c", 1, 0);
	look(book, "b", 2, 0);
	ok(book_count_seats(book) == 2, "other scopes and types wake nobody");
	look(book, "b", 1, 0);
	ok(is_done(&other, SEAT_ASK) && book_count_seats(book) == 1, "its own wakes it, and nobody else");
	look(book, NULL, 0, 29 * SECOND);
	TAILQ_INIT(&done);
	book_expire(book, 30 * SECOND - 1, &done);
	ok(TAILQ_EMPTY(&done), "not before its time");
	book_expire(book, 30 * SECOND, &done);
	ok(is_done(&waiter, SEAT_EMPTY) && waiter.at == 29000,
	   "at the end of its wait it is answered as of the last look");

	remember(book, 2, "b", "1", book_last_look(book));
	book_sit(book, key_of(2), &other, true, 31 * SECOND);
	look(book, NULL, 0, 31 * SECOND);
	ok(book_next_due(book) == 60 * SECOND, "in the middle of a long wait grants are looked at");
	TAILQ_INIT(&done);
	book_expire(book, 60 * SECOND, &done);
	ok(is_done(&other, SEAT_ASK), "by the database");
	book_free(book);
}

static void
test_silence(void)
{
	Book	   *book = new_book();
	Seat		poll = {0};
	Seat		blind = {.until = 5 * SECOND};

	remember(book, 1, "a", "1", 1);
	book_sit(book, key_of(1), &poll, true, 0);
	book_sit_blind(book, &blind, 2 * SECOND);
	TAILQ_INIT(&done);
	book_expire(book, SECOND, &done);
	ok(is_done(&poll, SEAT_ASK) && !is_done(&blind, SEAT_ASK), "without a look, the database is asked");
	book_expire(book, 2 * SECOND, &done);
	ok(is_done(&blind, SEAT_ASK), "also by who has no look to wait for");
	book_free(book);
}

static void
test_doubt(void)
{
	Book	   *book = new_book();
	Seat		seat = {.until = 50 * SECOND};
	uint64_t	base;

	remember(book, 1, "a", "1", 1);
	book_sit(book, key_of(1), &seat, true, 0);
	book_begin_look(book);
	end_look(book, false, "s", NULL, 0, 0);
	ok(is_done(&seat, SEAT_ASK), "a look that does not know sends everybody to the database");
	ok(!remember(book, 1, "a", "1", 1), "nor is a pull of before it remembered");

	remember(book, 1, "a", "1", 2);
	book_sit(book, key_of(1), &seat, true, 0);
	book_begin_look(book);
	end_look(book, true, "t", NULL, 0, 0);
	ok(is_done(&seat, SEAT_ASK), "so does a look at another server");
	ok(!remember(book, 1, "a", "1", book_last_look(book)), "whose pulls are not of the old one");

	book_free(book);
	book = new_book();
	base = book_last_look(book);
	remember(book, 1, "a", "1", base);
	seat.until = 50 * SECOND;
	book_sit(book, key_of(1), &seat, true, 0);
	TAILQ_INIT(&done);
	book_begin_look(book);
	book_forget(book, &done);
	ok(is_done(&seat, SEAT_ASK), "and so does a lost connection");
	ok(book_last_look(book) == 0 && !remember(book, 1, "a", "1", base), "after which no look counts");
	look(book, NULL, 0, 0);
	ok(!remember(book, 1, "a", "1", base), "also when there are new ones");
	ok(remember(book, 1, "a", "1", book_last_look(book)), "which then count");
	book_free(book);
}

static void
test_confirmed(void)
{
	Book	   *book = new_book();
	Interest	more = interest_in("ab", "1");
	Seat		seat = {.until = 50 * SECOND};

	remember(book, 1, "a", "1", 1);
	book_sit(book, key_of(1), &seat, true, 0);
	remember(book, 1, "a", "1", 1);
	ok(TAILQ_EMPTY(&done) && book_count_seats(book) == 1, "another pull with the same result disturbs nobody");
	TAILQ_INIT(&done);
	book_remember(book, key_of(1), &more, trust_from(1), &done);
	ok(is_done(&seat, SEAT_ASK), "one with other scopes sends those who wait to the database");
	look(book, "b", 1, 0);
	ok(!book_sit(book, key_of(1), &seat, true, 0), "and its scopes count from then on");

	more = interest_in("aa", "1");
	more.unavailable = strdup("[\"x\"]");
	book_remember(book, key_of(1), &more, trust_from(2), &done);
	seat.until = 0;
	book_sit(book, key_of(1), &seat, true, 0);
	look(book, NULL, 0, 0);
	ok(is_done(&seat, SEAT_EMPTY) && strcmp(seat.unavailable, "[\"x\"]") == 0,
	   "an answer names the types that cannot be served");
	free(seat.unavailable);
	look(book, "a", 1, 0);
	ok(book_count_remembered(book) == 0, "a scope that is listed twice is forgotten once");

	remember(book, 1, "a", "1", book_last_look(book));
	seat.until = 50 * SECOND;
	book_sit(book, key_of(1), &seat, true, 0);
	look(book, NULL, 0, 0);
	TAILQ_INIT(&done);
	book_empty(book, &done);
	ok(is_done(&seat, SEAT_EMPTY), "at the end everybody is answered");
	book_free(book);
}

/* ---------- a random world ---------- */

#define PULLS		40
#define COMMITS		20000

typedef struct Commit
{
	int			time;
	char		scope[2];		/* empty: shared */
	int32_t		type;
} Commit;

/* a client, which pulls and then polls, or waits */
typedef struct World
{
	enum
	{
		IDLE, PULLING, SEATED
	}			state;
	char		scopes[4];
	char		types[4];
	int			cursor;			/* it has seen all of before that; below 0: it has
								 * none */
	int			arrived;
	bool		waits;
	int			sent;			/* PULLING: sent, and its snapshot; below 0: not
								 * taken yet */
	int			snapshot;
	uint64_t	base;
	Seat		seat;
} World;

static Commit commits[COMMITS];
static int	ncommits;
static World clients[PULLS];
static int	now;
static int	answered;
static int	woken;
static const char *wrong;

/* is there a commit of this client's in (from, to]? */
static bool
has_commit(const World *client, int from, int to)
{
	int			i;

	for (i = ncommits - 1; i >= 0 && commits[i].time > from; i--)
	{
		if (commits[i].time <= to &&
			strchr(client->types, '0' + commits[i].type) != NULL &&
			(commits[i].scope[0] == '\0' || strchr(client->scopes, commits[i].scope[0]) != NULL))
			return true;
	}
	return false;
}

static void
begin_pull(Book *book, World *client)
{
	client->state = PULLING;
	client->snapshot = -1;
	client->base = book_last_look(book);
}

static void
take_done(Book *book, struct SeatList *list)
{
	Seat	   *seat;

	while ((seat = TAILQ_FIRST(list)) != NULL)
	{
		World	   *client = (World *) ((char *) seat - offsetof(World, seat));

		TAILQ_REMOVE(list, seat, link);
		if (seat->outcome == SEAT_EMPTY)
		{
			answered++;
			if (has_commit(client, client->cursor, client->arrived))
				wrong = "a poll was answered from the past";
			client->state = IDLE;
		}
		else
		{
			woken++;
			begin_pull(book, client);
		}
	}
}

static void
step_client(Book *book, World *client, int number)
{
	struct SeatList list;
	Interest	interest;

	TAILQ_INIT(&list);
	switch (client->state)
	{
		case IDLE:
			client->arrived = now;
			client->waits = rnd_below(2);
			memset(&client->seat, 0, sizeof(Seat));
			client->seat.until = client->waits ? now + 200 : 0;
			if (client->cursor >= 0 && book_sit(book, key_of(number), &client->seat, true, now))
				client->state = SEATED;
			else
				begin_pull(book, client);
			break;
		case PULLING:
			if (client->snapshot < 0)
			{
				client->snapshot = now;
				break;
			}
			interest = interest_in(strcmp(client->scopes, "*") == 0 ? NULL : client->scopes,
								   client->types);
			if (book_remember(book, key_of(number), &interest,
							  &(Trust) {client->base, now + 5000, now + 7000, now + 100000}, &list) &&
				client->waits && !has_commit(client, client->cursor, client->snapshot) &&
				now < client->seat.until)
			{
				client->cursor = client->snapshot;
				if (book_sit(book, key_of(number), &client->seat, false, now))
				{
					client->state = SEATED;
					take_done(book, &list);
					return;
				}
			}
			client->cursor = client->snapshot;
			client->state = IDLE;
			take_done(book, &list);
			break;
		case SEATED:
			if (rnd_below(50) == 0 && book_leave(book, &client->seat))
				client->state = IDLE;
			break;
	}
}

/* One look from its beginning to its end, in steps; returns false when lost. */
typedef struct Watcher
{
	bool		under_way;
	int			snapshot;		/* of this look; below 0: not taken */
	int			seen;			/* of the last one; below 0: there is none */
} Watcher;

static void
step_watcher(Book *book, Watcher *watcher)
{
	static char *scopes[COMMITS];
	static int32_t types[COMMITS];
	struct SeatList list;
	Look		found = {.server = "s",.scopes = scopes,.types = types};
	int			i;

	TAILQ_INIT(&list);
	if (rnd_below(400) == 0)
	{
		book_forget(book, &list);
		take_done(book, &list);
		watcher->under_way = false;
		watcher->seen = -1;
	}
	else if (!watcher->under_way)
	{
		book_begin_look(book);
		watcher->under_way = true;
		watcher->snapshot = -1;
	}
	else if (watcher->snapshot < 0)
		watcher->snapshot = now;
	else
	{
		found.known = watcher->seen >= 0 && rnd_below(200) != 0;
		for (i = ncommits - 1; found.known && i >= 0 && commits[i].time > watcher->seen; i--)
		{
			if (commits[i].time > watcher->snapshot)
				continue;
			scopes[found.name_count] = commits[i].scope;
			types[found.name_count++] = commits[i].type;
		}
		found.at = watcher->snapshot;
		book_end_look(book, &found, now, &list);
		watcher->seen = watcher->snapshot;
		watcher->under_way = false;
		take_done(book, &list);
		/* whoever still sits has missed nothing that this look has seen */
		for (i = 0; i < PULLS; i++)
		{
			if (clients[i].state == SEATED &&
				has_commit(&clients[i], clients[i].cursor, watcher->seen))
				wrong = "somebody sits on although something has changed";
		}
	}
}

static void
test_world(void)
{
	Book	   *book = book_create(10);
	Watcher		watcher = {.seen = -1};
	struct SeatList list;
	int			i;

	for (i = 0; i < PULLS; i++)
	{
		memset(&clients[i], 0, sizeof(World));
		clients[i].cursor = -1;
		snprintf(clients[i].scopes, sizeof(clients[i].scopes), "%c%c",
				 'a' + i % 5, 'a' + i % 7);
		snprintf(clients[i].types, sizeof(clients[i].types), "%d", 1 + i % 3);
		if (i % 4 == 0)
			strcpy(clients[i].types, "13");
	}
	ncommits = 0;
	for (now = 1; now < 60000 && wrong == NULL; now++)
	{
		int			what = rnd_below(100);

		if (what < 8 && ncommits < COMMITS)
		{
			Commit	   *commit = &commits[ncommits++];

			commit->time = now;
			commit->scope[0] = "abcdefg"[rnd_below(7)];
			commit->scope[1] = '\0';
			if (rnd_below(20) == 0)
				commit->scope[0] = '\0';
			commit->type = 1 + rnd_below(3);
		}
		else if (what < 50)
			step_watcher(book, &watcher);
		else
		{
			i = rnd_below(PULLS);
			step_client(book, &clients[i], i);
		}
		TAILQ_INIT(&list);
		book_expire(book, now, &list);
		take_done(book, &list);
	}
	ok(wrong == NULL, "in a random world nobody misses anything, nor is answered from the past");
	if (wrong != NULL)
		printf("# at %d: %s\n", now, wrong);
	ok(answered > 300 && woken > 300, "and many are answered, and many woken");
	printf("# %d answered, %d woken, %d commits\n", answered, woken, ncommits);
	TAILQ_INIT(&list);
	book_empty(book, &list);
	book_free(book);
}

int
main(int argc, char **argv)
{
	test_remembering();
	test_trust();
	test_names_under_way();
	test_many_names();
	test_bounds();
	test_begin_after_arrival();
	test_waiting();
	test_silence();
	test_doubt();
	test_confirmed();
	seed_random(argc > 1 ? argv[1] : NULL);
	test_world();
	return done_testing();
}
