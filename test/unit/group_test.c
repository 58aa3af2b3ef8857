/*-------------------------------------------------------------------------
 *
 * group_test.c
 *	  Unit tests of the gateway's group.c and of what queue.c puts together.
 *
 * Seen to fail with: two pushes of one user in a group; a push of a user begun
 * while one of the user's runs in a group; members counted as runs of the lane;
 * without the check of bytes, of time left, or of what is remembered; types of
 * strings that are no names; has_place() without either of its two bounds for
 * logins; first steps of logins in the lane of writes, or with logins unbounded;
 * a run that is cancelled once; one that was abandoned and is put back.
 *
 * Prints TAP.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <unistd.h>

#include "database/group.h"
#include "database/queue.h"
#include "util/clock.h"
#include "tap.h"

/* ---------- types ---------- */

static void
test_types(void)
{
	uint64_t	a = group_types("{\"changes\":{\"a\":[{\"id\":1}]}}");
	uint64_t	b = group_types("{\"changes\":{\"b\":[{\"id\":1}]}}");
	uint64_t	both = group_types("{\"changes\":{\"a\":[],\"b\":[]}}");

	ok(a != 0 && b != 0 && a != b, "types differ");
	ok(both == (a | b) && both != a, "a body has several");
	ok(a == group_types(" { \"clientId\" : \"b\" , \"changes\" : { \"a\" : [ { \"b\" : { \"b\" : 1 } } ] } } "),
	   "keys of rows and other members are none");
	ok(a == group_types("{\"other\":{\"b\":[]},\"changes\":{\"a\":[{\"changes\":{\"b\":1}}]},\"more\":{\"b\":{}}}"),
	   "nor are keys of other members");
	ok(a == group_types("{\"changes\":[{\"id\":\"entityType\",\"entityType\":\"a\",\"data\":{\"entityType\":\"b\"}},"
						"{\"entityType\":\"a\",\"b\":\"b\"}]}"),
	   "a list names them in each item");
	ok(both == group_types("{\"changes\":[{\"entityType\":\"a\"},{\"entityType\" : \"b\"}]}"), "also several");
	ok(a == group_types("{\"x\":\"\\\"changes\\\":{\\\\\",\"changes\":{\"a\":[{\"y\":\"}]\\\\\"}]}}"),
	   "quotes and braces in strings are text");
	ok(group_types("{\"changes\":{\"a") == 0 && group_types("") == 0 && group_types("\"\\") == 0, "a body that is cut off");
}

/* ---------- pushes ---------- */

static Job
push_of(const char *user, size_t length)
{
	Job			job = {0};

	job.kind = JOB_PUSH;
	job.user = user;
	job.body_length = length;
	job.types = 1;
	job.push_group = GROUP_MOST;
	job.deadline = clock_now() + 60 * CLOCK_SECOND;
	return job;
}

static void
test_choice(void)
{
	int64_t		now = clock_now();
	Job			job = push_of("ann", 100);
	Job			other;

	ok(group_may_have(&job, 0, now), "a push may be in a group");
	other = job;
	other.kind = JOB_PULL;
	ok(!group_may_have(&other, 0, now), "nothing else may");
	other = job;
	other.push_group = 1;
	ok(!group_may_have(&other, 0, now), "nor where each is to be alone");
	other = job;
	other.is_alone = true;
	ok(!group_may_have(&other, 0, now), "nor one whose group was rolled back");
	other = job;
	other.deadline = now + CLOCK_SECOND / 2;
	ok(!group_may_have(&other, 0, now), "nor one that has little time left");
	other = push_of("ann", 64 * 1024 + 1);
	ok(!group_may_have(&other, 0, now), "nor a long one");
	other = push_of("ann", 64 * 1024);
	ok(group_may_have(&other, 192 * 1024, now) && !group_may_have(&other, 192 * 1024 + 1, now),
	   "all of them together are not long");

	other = push_of("bob", 100);
	other.types = 6;
	group_refused(&other, now);
	ok(!group_may_have(&other, 0, now) && group_may_have(&job, 0, now), "types that were refused are remembered");
	ok(group_may_have(&other, 0, now + 11 * CLOCK_SECOND), "for a while");
	other.types = 1;
	group_failed(&other, now);
	ok(!group_may_have(&other, 0, now) && group_may_have(&job, 0, now), "a user who failed is remembered");
	ok(group_may_have(&other, 0, now + 3 * CLOCK_SECOND), "for a while");
}

/* ---------- the queue ---------- */

static Queue *queue;

static const char *const names[] = {"u0", "u1", "u2", "u3", "u4", "u5", "u6", "u7", "u8", "u9",
"u10", "u11", "u12", "u13", "u14", "u15", "u16", "u17", "u18", "u19"};

static void
fill(Job *jobs, int count)
{
	int			i;

	for (i = 0; i < count; i++)
	{
		jobs[i] = push_of(names[i], 100);
		queue_put(queue, &jobs[i], 1000, false);
	}
}

/* what needs no token has places of its own, of which one address has half */
static void
test_places(void)
{
	Job			jobs[20] = {0};
	Job			push = push_of("u1", 100);
	int			count[3] = {0, 0, 0};
	Job		   *taken;
	int			i;

	for (i = 0; i < 15; i++)
	{
		jobs[i] = push_of(names[i / 5], 0);
		jobs[i].kind = JOB_AUTH;
		count[i / 5] += queue_put(queue, &jobs[i], 6, false);
	}
	ok(count[0] == 3 && count[1] == 3 && count[2] == 0, "logins have six places, one address three of them");
	ok(queue_put(queue, &push, 1, false), "and leave those of others");
	while ((taken = queue_take(queue, 0)) != NULL)
		queue_done(taken);
	ok(queue_put(queue, &jobs[14], 1, false), "one place is for whoever comes");
	queue_done(queue_take(queue, 0));
}

static Job *volatile last_finished = NULL;

static void
note_finished(Job *job)
{
	last_finished = job;
}

/* the client of what runs goes */
static void
test_abandoned(void)
{
	Job			job = push_of("u1", 100);
	uint64_t	number;
	int			i;

	job.finished = note_finished;
	queue_put(queue, &job, 1000, false);
	queue_take(queue, 0);
	queue_abandon(&job);
	alarm(20);
	number = queue_take_abandoned(queue);
	ok(number == job.number, "a run whose client has gone is cancelled");
	ok(queue_take_abandoned(queue) == number, "again and again: it may not have begun");
	alarm(0);
	queue_put_back(&job);
	ok(queue_take(queue, 0) == NULL, "and has no other turn");
	for (i = 0; i < 1000 && last_finished == NULL; i++)
		queue_pause(clock_now() + 10 * CLOCK_MILLISECOND);
	ok(last_finished == &job, "but an outcome");
}

/* ... and connections, of which it leaves one to others, and half of them to logins */
static void
test_connections(void)
{
	Job			jobs[8] = {0};
	Job			push = push_of("u8", 100);
	int			logins = 0;
	int			sessions = 0;
	Job		   *taken;
	int			i;

	queue_add_connections(queue, 4);	/* five */
	for (i = 0; i < 8; i++)
	{
		jobs[i] = push_of(names[i], 0);
		jobs[i].kind = JOB_AUTH;
		jobs[i].is_login = i % 2 == 0;
		if (jobs[i].is_login)
			queue_put_login(queue, &jobs[i], 100, 3);
		else
			queue_put(queue, &jobs[i], 100, false);
	}
	while ((taken = queue_take(queue, 0)) != NULL)
		*(taken->is_login ? &logins : &sessions) += 1;
	ok(logins == 2 && sessions == 2, "what needs no token leaves a connection");
	queue_put(queue, &push, 100, false);
	ok(queue_take(queue, 0) == &push, "which is there for a push");
	queue_done(&push);
	for (i = 0; i < 8; i++)
	{
		if (jobs[i].place == PLACE_RUNNING && jobs[i].is_login)
			queue_done(&jobs[i]);
	}
	while ((taken = queue_take(queue, 0)) != NULL && taken->is_login)
		queue_done(taken);
	ok(taken == NULL && queue_count() == 2, "first steps leave half of them, also where no password is checked");
	for (i = 0; i < 8; i++)
	{
		if (jobs[i].place == PLACE_RUNNING)
			queue_done(&jobs[i]);
	}
	while ((taken = queue_take(queue, 0)) != NULL)
		queue_done(taken);
	queue_add_connections(queue, -4);	/* one */
}

static void
test_queue(void)
{
	Job			jobs[20];
	Job		   *taken[GROUP_MOST];
	Job		   *more[GROUP_MOST];
	Job			second;
	Job			pull;
	Job		   *first;
	Job		   *next;
	int			count;
	int			alone;
	bool		before_second;
	int			i;

	queue_start();
	queue = queue_create(NULL);
	queue_add_connections(queue, 2);

	jobs[0] = push_of("u0", 100);
	queue_put(queue, &jobs[0], 1000, false);
	first = queue_take(queue, 0);
	ok(queue_take_more(first, taken, clock_now()) == 1 && taken[0] == &jobs[0], "a lone push stays alone");
	queue_done(first);

	fill(jobs, 20);
	second = push_of("u0", 100);
	queue_put(queue, &second, 1000, false);
	pull = push_of("u1", 100);
	pull.kind = JOB_PULL;
	first = queue_take(queue, 0);
	count = queue_take_more(first, taken, clock_now());
	ok(count == GROUP_MOST, "sixteen of those that wait");
	for (i = 0; i < count && taken[i] == &jobs[i]; i++)
		;
	ok(i == count, "one of each user, in their turn");
	ok(queue_count() == 5, "the others wait");

	/* a group is one run of two: there is another connection for others */
	next = queue_take(queue, 0);
	count = queue_take_more(next, more, clock_now());
	ok(next == &jobs[16] && count == 4 && more[3] == &jobs[19], "those behind it are the next group");
	queue_put(queue, &pull, 1000, false);
	ok(queue_take(queue, 0) == NULL, "then all connections are taken");

	/* rolled back: each alone, before what its user sent later */
	for (i = 0; i < count; i++)
		queue_done(more[i]);
	for (i = GROUP_MOST - 1; i >= 0; i--)
	{
		taken[i]->is_alone = true;
		queue_put_back(taken[i]);
	}
	alone = 0;
	before_second = 0;
	while ((first = queue_take(queue, 0)) != NULL)
	{
		if (queue_take_more(first, more, clock_now()) != 1)
			break;
		alone += first->is_alone;
		if (first == &second)
			before_second = jobs[0].place == PLACE_NOWHERE;
		queue_done(first);
	}
	ok(first == NULL && alone == GROUP_MOST, "pushes of a group that failed are taken one by one");
	ok(before_second && !second.is_alone, "each before what its user sent later");

	/* there is a connection left, and the bound is what it was */
	queue_add_connections(queue, 2);	/* four */
	fill(jobs, 3);
	second = push_of("u1", 100);
	queue_put(queue, &second, 1000, false);
	first = queue_take(queue, 0);
	count = queue_take_more(first, taken, clock_now());
	ok(count == 3 && taken[2] == &jobs[2], "one push of a user, also where there is room for two");
	ok(queue_take(queue, 0) == NULL, "her next one waits for the end of the group");
	for (i = 0; i < count; i++)
		queue_done(taken[i]);
	first = queue_take(queue, 0);
	ok(first == &second, "and then has its turn");
	queue_add_connections(queue, -2);	/* two */
	jobs[1] = push_of("u0", 100);
	jobs[2] = push_of("u2", 100);
	queue_put(queue, &jobs[1], 1000, false);
	queue_put(queue, &jobs[2], 1000, false);
	next = queue_take(queue, 0);
	ok(next == &jobs[1] && queue_take(queue, 0) == NULL, "two connections are two runs, also after a group");
	queue_done(next);
	next = queue_take(queue, 0);
	queue_done(next);
	queue_done(first);

	/* a client that goes does not end what others have sent */
	fill(jobs, 3);
	first = queue_take(queue, 0);
	count = queue_take_more(first, taken, clock_now());
	queue_abandon(&jobs[1]);
	ok(count == 3 && queue_is_abandoned(&jobs[1]) && !queue_is_abandoned(&jobs[0]), "who has gone is noted alone");
	for (i = 0; i < count; i++)
		queue_done(taken[i]);
	queue_add_connections(queue, -1);	/* one */
	fill(jobs, 2);
	first = queue_take(queue, 0);
	ok(first != NULL && queue_take_more(first, taken, clock_now()) == 2, "one connection is enough for a group");
	for (i = 0; i < 2; i++)
		queue_done(taken[i]);
	ok(queue_count() == 0, "nothing is left");
	test_places();
	test_connections();
	test_abandoned();
	queue_stop();
	queue_free();
}

int
main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	test_types();
	test_choice();
	test_queue();
	return done_testing();
}
