/*-------------------------------------------------------------------------
 *
 * book.c
 *	  Which polls are remembered, who waits for what, and which look of the
 *	  watcher answers or wakes whom.
 *
 * A look tells which scopes and types changed since the look before.  Looks are
 * numbered as they begin, and one ends before the next begins.
 *
 * A poll is remembered when a pull came to its end: the next one with the
 * cursor of that pull brings nothing until a look names one of its scopes with
 * one of its types.  Which looks those are is a matter of what the pull has
 * seen.  A change that its snapshot did not show was not shown to a look that
 * was complete before that snapshot, so some later look names it: "base" is the
 * last such look, and what looks after it have named counts, also where they
 * ended while the pull was under way.
 *
 * Whoever comes with such a poll must not be answered from the past: a look
 * that had begun when the poll arrived may have missed what was committed, and
 * acknowledged to somebody, before the poll was sent.  So it waits for the first
 * look that begins after it has arrived.
 *
 * In doubt all is forgotten, and the database is asked: when the connection is
 * lost, when another server answers, when a look does not know.
 *
 *-------------------------------------------------------------------------
 */
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "live/book.h"
#include "live/interest.h"

/* names of past looks that are kept; a pull that is older than these is not
 * remembered */
#define MOST_NAMES		4096

/* with no look for so long, whoever waits for one asks the database */
#define PATIENCE		INT64_C(1000000)

#define NEVER			INT64_MAX

/* Those who want to know of a scope. */
typedef struct Scope
{
	char	   *name;
				LIST_HEAD(, Link) links;
} Scope;

/* One of the scopes of a remembered poll. */
typedef struct Link
{
	Remembered *entry;
	Scope	   *scope;
				LIST_ENTRY(Link) link;
} Link;

/* A remembered poll. */
struct Remembered
{
	unsigned char key[BOOK_KEY_SIZE];
	Interest	interest;
	Link	   *links;			/* one for each of its scopes */
	Trust		trust;
	struct SeatList seats;
				TAILQ_ENTRY(Remembered) link;	/* of all */
				TAILQ_ENTRY(Remembered) idle_link;	/* with no seats */
				LIST_ENTRY(Remembered) all_link;	/* with all scopes */
};

TAILQ_HEAD(RememberedList, Remembered);

/* What a past look has named. */
typedef struct Name
{
	uint64_t	look;
	int32_t		type;
	char	   *scope;
} Name;

struct Book
{
	void	   *entries;		/* tsearch's tree, by key */
	void	   *scopes;			/* likewise, by name */
	struct RememberedList all;
	struct RememberedList idle; /* in the order in which they were last used */
				LIST_HEAD(, Remembered) with_all_scopes;
	int			count;
	int			idle_count;
	int			most;			/* idle ones */

	char	   *server;			/* that the last look was of; NULL: none */
	uint64_t	begun;			/* the last look that has begun */
	uint64_t	ended;			/* the last that is complete and still counts;
								 * 0: none */
	int64_t		at;				/* its time */
	uint64_t	floor;			/* of later looks, all names are in "names" */
	Name		names[MOST_NAMES];	/* in the order of looks */
	int			name_count;

				TAILQ_HEAD(, Seat) fresh;	/* in the order of the looks they
											 * need */
	int			fresh_count;
	Seat	  **heap;			/* all seats, by what is due first */
	int			seat_count;
	int			seat_room;
};

/* ---------- the heap of seats ---------- */

static void
place_seat(Book *book, Seat *seat, int place)
{
	book->heap[place] = seat;
	seat->place = place;
}

/* The seat at "place" may be due before those above it, or after those below. */
static void
settle_seat(Book *book, int place)
{
	Seat	   *seat = book->heap[place];

	while (place > 0 && book->heap[(place - 1) / 2]->due > seat->due)
	{
		place_seat(book, book->heap[(place - 1) / 2], place);
		place = (place - 1) / 2;
	}
	for (;;)
	{
		int			child = 2 * place + 1;

		if (child + 1 < book->seat_count &&
			book->heap[child + 1]->due < book->heap[child]->due)
			child++;
		if (child >= book->seat_count || book->heap[child]->due >= seat->due)
			break;
		place_seat(book, book->heap[child], place);
		place = child;
	}
	place_seat(book, seat, place);
}

/* False: there is no memory. */
static bool
push_seat(Book *book, Seat *seat)
{
	if (book->seat_count == book->seat_room)
	{
		int			room = book->seat_room == 0 ? 64 : 2 * book->seat_room;
		Seat	  **heap = realloc(book->heap, sizeof(Seat *) * (size_t) room);

		if (heap == NULL)
			return false;
		book->heap = heap;
		book->seat_room = room;
	}
	place_seat(book, seat, book->seat_count++);
	settle_seat(book, seat->place);
	return true;
}

static void
pull_seat(Book *book, Seat *seat)
{
	Seat	   *last = book->heap[--book->seat_count];

	if (last == seat)
		return;
	place_seat(book, last, seat->place);
	settle_seat(book, last->place);
}

/* ---------- seats ---------- */

static void
end_fresh(Book *book, Seat *seat)
{
	if (!seat->is_fresh)
		return;
	TAILQ_REMOVE(&book->fresh, seat, fresh_link);
	seat->is_fresh = false;
	book->fresh_count--;
}

/* Take a seat out of everything; its entry stays, with or without others. */
static void
unseat(Book *book, Seat *seat)
{
	Remembered *entry = seat->entry;

	end_fresh(book, seat);
	pull_seat(book, seat);
	seat->is_seated = false;
	seat->entry = NULL;
	if (entry == NULL)
		return;
	TAILQ_REMOVE(&entry->seats, seat, link);
	if (TAILQ_EMPTY(&entry->seats))
	{
		TAILQ_INSERT_TAIL(&book->idle, entry, idle_link);
		book->idle_count++;
	}
}

static void
finish_seat(Book *book, Seat *seat, SeatOutcome outcome, struct SeatList *done)
{
	unseat(book, seat);
	seat->outcome = outcome;
	TAILQ_INSERT_TAIL(done, seat, link);
}

/* As of the last look, nothing has changed for it. */
static void
answer_seat(Book *book, Seat *seat, struct SeatList *done)
{
	const char *unavailable = seat->entry->interest.unavailable;
	SeatOutcome outcome = SEAT_EMPTY;

	seat->at = book->at;
	seat->unavailable = NULL;
	if (unavailable != NULL)
	{
		seat->unavailable = strdup(unavailable);
		if (seat->unavailable == NULL)
			outcome = SEAT_ASK;
	}
	finish_seat(book, seat, outcome, done);
}

/* ---------- remembered polls ---------- */

static int
compare_entries(const void *a, const void *b)
{
	return memcmp(((const Remembered *) a)->key, ((const Remembered *) b)->key,
				  BOOK_KEY_SIZE);
}

static int
compare_scopes(const void *a, const void *b)
{
	return strcmp(((const Scope *) a)->name, ((const Scope *) b)->name);
}

/* The scope of this name, made if it is not there; NULL: no memory. */
static Scope *
find_scope(Book *book, const char *name)
{
	Scope	   *made = calloc(1, sizeof(Scope));
	Scope	  **found;

	if (made == NULL)
		return NULL;
	made->name = strdup(name);
	found = made->name == NULL ? NULL : tsearch(made, &book->scopes, compare_scopes);
	if (found != NULL && *found == made)
	{
		LIST_INIT(&made->links);
		return made;
	}
	free(made->name);
	free(made);
	return found == NULL ? NULL : *found;
}

static void
unlink_scopes(Book *book, Remembered *entry)
{
	int			i;

	if (entry->links == NULL)
		return;
	for (i = 0; i < entry->interest.scope_count; i++)
	{
		Scope	   *scope = entry->links[i].scope;

		if (scope == NULL)
			continue;
		LIST_REMOVE(&entry->links[i], link);
		if (!LIST_EMPTY(&scope->links))
			continue;
		tdelete(scope, &book->scopes, compare_scopes);
		free(scope->name);
		free(scope);
	}
	free(entry->links);
	entry->links = NULL;
}

/* False: there is no memory. */
static bool
link_scopes(Book *book, Remembered *entry)
{
	int			count = entry->interest.scope_count;
	int			i;

	entry->links = calloc((size_t) count + 1, sizeof(Link));
	if (entry->links == NULL)
		return false;
	for (i = 0; i < count; i++)
	{
		Link	   *link = &entry->links[i];
		Scope	   *scope;

		link->entry = entry;
		scope = find_scope(book, entry->interest.scopes[i]);
		if (scope == NULL)
			return false;
		/* one that is listed twice is linked once */
		if (!LIST_EMPTY(&scope->links) && LIST_FIRST(&scope->links)->entry == entry)
			continue;
		link->scope = scope;
		LIST_INSERT_HEAD(&scope->links, link, link);
	}
	return true;
}

static void
free_entry(Book *book, Remembered *entry)
{
	unlink_scopes(book, entry);
	interest_free(&entry->interest);
	free(entry);
}

/* Forget this poll.  Whoever waits on it asks the database. */
static void
drop_entry(Book *book, Remembered *entry, struct SeatList *done)
{
	Seat	   *seat;

	while ((seat = TAILQ_FIRST(&entry->seats)) != NULL)
		finish_seat(book, seat, SEAT_ASK, done);
	TAILQ_REMOVE(&book->idle, entry, idle_link);
	book->idle_count--;
	TAILQ_REMOVE(&book->all, entry, link);
	book->count--;
	if (entry->interest.all_scopes)
		LIST_REMOVE(entry, all_link);
	tdelete(entry, &book->entries, compare_entries);
	free_entry(book, entry);
}

static Remembered *
find_entry(Book *book, const unsigned char *key)
{
	Remembered	like;
	Remembered **found;

	memcpy(like.key, key, BOOK_KEY_SIZE);
	found = tfind(&like, &book->entries, compare_entries);
	return found == NULL ? NULL : *found;
}

/* Forget the polls that were used longest ago, but none that is waited on. */
static void
evict(Book *book)
{
	while (book->idle_count > book->most)
		drop_entry(book, TAILQ_FIRST(&book->idle), NULL);
}

/* Has a look after "base" named any of this, or could it have? */
static bool
was_named_since(const Book *book, const Interest *interest, uint64_t base)
{
	int			i;

	if (base == 0 || base < book->floor)
		return true;
	for (i = book->name_count - 1; i >= 0 && book->names[i].look > base; i--)
	{
		if (interest_is_about(interest, book->names[i].scope, book->names[i].type))
			return true;
	}
	return false;
}

static bool
add_entry(Book *book, const unsigned char *key, Interest *interest,
		  const Trust *trust)
{
	Remembered *entry;

	evict(book);				/* now, because later this entry might be the
								 * one to go */
	entry = calloc(1, sizeof(Remembered));
	if (entry == NULL)
		return false;
	memcpy(entry->key, key, BOOK_KEY_SIZE);
	entry->trust = *trust;
	TAILQ_INIT(&entry->seats);
	entry->interest = *interest;
	memset(interest, 0, sizeof(Interest));
	if (!link_scopes(book, entry) ||
		tsearch(entry, &book->entries, compare_entries) == NULL)
	{
		free_entry(book, entry);
		return false;
	}
	if (entry->interest.all_scopes)
		LIST_INSERT_HEAD(&book->with_all_scopes, entry, all_link);
	TAILQ_INSERT_TAIL(&book->all, entry, link);
	book->count++;
	TAILQ_INSERT_TAIL(&book->idle, entry, idle_link);
	book->idle_count++;
	return true;
}

/*
 * A pull has come to its end, and a poll with this key would go on from there.
 * False: it is not remembered, because something may have changed since.  The
 * interest is taken over or freed.
 */
bool
book_remember(Book *book, const unsigned char *key, Interest *interest,
			  const Trust *trust, struct SeatList *done)
{
	Remembered *entry = find_entry(book, key);
	bool		good = book->server != NULL && interest->server != NULL &&
		strcmp(book->server, interest->server) == 0 &&
		!was_named_since(book, interest, trust->base);

	if (entry != NULL && good && interest_is_same(&entry->interest, interest))
		entry->trust = *trust;
	else
	{
		/* what the database says now counts, not what it said before */
		if (entry != NULL)
			drop_entry(book, entry, done);
		if (good)
			good = add_entry(book, key, interest, trust);
	}
	interest_free(interest);
	return good;
}

/* ---------- sitting down ---------- */

/*
 * A poll has arrived, or a pull that found nothing goes on waiting.  The first
 * look that begins from now on answers it.  False: the database has to be
 * asked.
 */
bool
book_sit(Book *book, const unsigned char *key, Seat *seat, bool is_poll,
		 int64_t now)
{
	Remembered *entry = find_entry(book, key);

	if (entry == NULL || entry->trust.renew_at <= now ||
		(is_poll ? entry->trust.poll_until : entry->trust.wait_until) <= now)
		return false;
	seat->due = now + PATIENCE;
	if (!push_seat(book, seat))
		return false;
	if (TAILQ_EMPTY(&entry->seats))
	{
		TAILQ_REMOVE(&book->idle, entry, idle_link);
		book->idle_count--;
	}
	TAILQ_INSERT_TAIL(&entry->seats, seat, link);
	seat->entry = entry;
	seat->is_seated = true;
	seat->look = book->begun + 1;
	seat->is_fresh = true;
	TAILQ_INSERT_TAIL(&book->fresh, seat, fresh_link);
	book->fresh_count++;
	return true;
}

/* Wait until "due" for nothing in particular, and ask the database then. */
bool
book_sit_blind(Book *book, Seat *seat, int64_t due)
{
	seat->entry = NULL;
	seat->is_fresh = false;
	seat->due = due;
	seat->is_seated = push_seat(book, seat);
	return seat->is_seated;
}

/* Leave the seat.  False: it was not taken, or is not taken any more. */
bool
book_leave(Book *book, Seat *seat)
{
	if (!seat->is_seated)
		return false;
	unseat(book, seat);
	evict(book);
	return true;
}

/* Seats whose time has come. */
void
book_expire(Book *book, int64_t now, struct SeatList *done)
{
	while (book->seat_count > 0 && book->heap[0]->due <= now)
	{
		Seat	   *seat = book->heap[0];

		if (seat->entry != NULL && !seat->is_fresh && seat->until <= now)
			answer_seat(book, seat, done);
		else
			finish_seat(book, seat, SEAT_ASK, done);
	}
	evict(book);
}

/* The gateway stops: answer everybody with what is known now. */
void
book_empty(Book *book, struct SeatList *done)
{
	while (book->seat_count > 0)
	{
		Seat	   *seat = book->heap[0];

		if (seat->entry != NULL && !seat->is_fresh)
			answer_seat(book, seat, done);
		else
			finish_seat(book, seat, SEAT_ASK, done);
	}
}

/* ---------- looks ---------- */

/* The base of a pull that is about to be sent. 0: no look counts. */
uint64_t
book_last_look(const Book *book)
{
	return book->ended;
}

/* A look is about to be sent. */
void
book_begin_look(Book *book)
{
	book->begun++;
}

/* Keep the later half of the names. */
static void
shorten_names(Book *book)
{
	int			gone = book->name_count / 2;
	int			i;

	book->floor = book->names[gone - 1].look;
	for (i = 0; i < gone; i++)
		free(book->names[i].scope);
	book->name_count -= gone;
	memmove(book->names, book->names + gone, sizeof(Name) * (size_t) book->name_count);
}

static void
clear_names(Book *book)
{
	int			i;

	for (i = 0; i < book->name_count; i++)
		free(book->names[i].scope);
	book->name_count = 0;
	book->floor = book->begun;
}

static void
keep_name(Book *book, const char *scope, int32_t type)
{
	Name	   *name;

	if (book->name_count == MOST_NAMES)
		shorten_names(book);
	name = &book->names[book->name_count];
	name->look = book->begun;
	name->type = type;
	name->scope = strdup(scope);
	if (name->scope == NULL)
		clear_names(book);		/* pulls that are under way are not remembered */
	else
		book->name_count++;
}

/* Forget the polls that are about this scope and type. */
static void
drop_named(Book *book, const char *scope, int32_t type, struct SeatList *done)
{
	Scope		like = {.name = (char *) scope};
	Scope	  **found;
	Remembered *entry;
	Remembered *next;
	Link	   *link;
	Link	   *next_link;

	if (*scope == '\0')
	{
		for (entry = TAILQ_FIRST(&book->all); entry != NULL; entry = next)
		{
			next = TAILQ_NEXT(entry, link);
			if (interest_has_type(&entry->interest, type))
				drop_entry(book, entry, done);
		}
		return;
	}
	for (entry = LIST_FIRST(&book->with_all_scopes); entry != NULL; entry = next)
	{
		next = LIST_NEXT(entry, all_link);
		if (interest_has_type(&entry->interest, type))
			drop_entry(book, entry, done);
	}
	found = tfind(&like, &book->scopes, compare_scopes);
	if (found == NULL)
		return;

	/*
	 * the last entry of a scope frees the scope, too: then next_link is NULL
	 */
	for (link = LIST_FIRST(&(*found)->links); link != NULL; link = next_link)
	{
		next_link = LIST_NEXT(link, link);
		if (interest_has_type(&link->entry->interest, type))
			drop_entry(book, link->entry, done);
	}
}

/* Whoever sat down before this look began has its answer now, or waits on. */
static void
confirm_fresh(Book *book, int64_t now, struct SeatList *done)
{
	Seat	   *seat;

	while ((seat = TAILQ_FIRST(&book->fresh)) != NULL && seat->look <= book->begun)
	{
		const Trust *trust = &seat->entry->trust;

		end_fresh(book, seat);
		if (seat->until <= now)
		{
			answer_seat(book, seat, done);
			continue;
		}
		seat->due = seat->until;
		if (trust->wait_until < seat->due)
			seat->due = trust->wait_until;
		if (trust->renew_at < seat->due)
			seat->due = trust->renew_at;
		settle_seat(book, seat->place);
	}
}

static void
forget_all(Book *book, struct SeatList *done)
{
	Remembered *entry;

	while ((entry = TAILQ_FIRST(&book->all)) != NULL)
		drop_entry(book, entry, done);
	clear_names(book);
	book->ended = 0;
}

/* The look that has begun is complete. */
void
book_end_look(Book *book, const Look *look, int64_t now, struct SeatList *done)
{
	int			i;

	if (!look->known || book->server == NULL ||
		strcmp(book->server, look->server) != 0)
	{
		forget_all(book, done);
		free(book->server);
		book->server = strdup(look->server);
		book->ended = book->server == NULL ? 0 : book->begun;
		return;
	}
	for (i = 0; i < look->name_count; i++)
	{
		keep_name(book, look->scopes[i], look->types[i]);
		drop_named(book, look->scopes[i], look->types[i], done);
	}
	book->ended = book->begun;
	book->at = look->at;
	confirm_fresh(book, now, done);
	evict(book);
}

/* The connection was lost: no look counts any more. */
void
book_forget(Book *book, struct SeatList *done)
{
	forget_all(book, done);
	free(book->server);
	book->server = NULL;
}

/* ---------- what there is ---------- */

/* Does somebody wait for the next look? */
bool
book_wants_look_at_once(const Book *book)
{
	return book->fresh_count > 0;
}

/* Does anybody wait at all? */
bool
book_wants_looks(const Book *book)
{
	return book->seat_count > 0;
}

/* When book_expire has something to do. */
int64_t
book_next_due(const Book *book)
{
	return book->seat_count > 0 ? book->heap[0]->due : NEVER;
}

int
book_count_seats(const Book *book)
{
	return book->seat_count;
}

int
book_count_fresh(const Book *book)
{
	return book->fresh_count;
}

int
book_count_remembered(const Book *book)
{
	return book->count;
}

Book *
book_create(int most_remembered)
{
	Book	   *book = calloc(1, sizeof(Book));

	if (book == NULL)
		return NULL;
	TAILQ_INIT(&book->all);
	TAILQ_INIT(&book->idle);
	TAILQ_INIT(&book->fresh);
	LIST_INIT(&book->with_all_scopes);
	book->most = most_remembered;
	return book;
}

void
book_set_most(Book *book, int most_remembered)
{
	book->most = most_remembered;
	evict(book);
}

/* No seat may be taken. */
void
book_free(Book *book)
{
	forget_all(book, NULL);
	free(book->server);
	free(book->heap);
	free(book);
}
