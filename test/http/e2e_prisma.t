# The workout tracker's client against its Prisma schema: its queue items as
# SyncQueueItem.toJson gives them, serverTime kept as since, and the scenarios
# of its plan's last phase.
use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";
use Test::More;
use Time::HiRes ();
use TideTest qw(iso apply_page);

my $cluster = TideTest::Cluster->shared;
my $database = $cluster->create_example('prisma');
my $gateway = TideTest::Gateway->start(
	cluster => $cluster,
	database => $database)->wait_until_ready;
my $token = $gateway->token('u1');

sub sql { return $cluster->sql($database, $_[0]); }

# SyncQueueItem.toJson; ids as the app makes them.
my $next_item = 1;

sub queue_item
{
	my ($type, $action, $id, $data, %field) = @_;
	return {
		id => 'q-' . $next_item++,
		entityType => $type,
		action => $action,
		entityId => $id,
		data => $data,
		createdAt => iso(Time::HiRes::time()),
		retryCount => 0,
		%field };
}

# pushChanges: the queue goes out, what succeeded leaves it.
sub push_queue
{
	my ($queue, %beside) = @_;
	my $reply = $gateway->push_changes($token, { changes => $queue, %beside });
	is $reply->{status}, 200, 'push' or diag $reply->{content};
	my %done = map { ($_->{changeId} => 1) } @{ $reply->{json}{succeeded} };
	@$queue = grep { !$done{ $_->{id} } } @$queue;
	$_->{retryCount}++ for @$queue;
	return $reply->{json};
}

# pullChanges: the whole reply since what was kept.
sub pull_since
{
	my ($since, %field) = @_;
	my $reply = $gateway->pull($token, since => $since, %field);
	is $reply->{status}, 200, 'pull' or diag $reply->{content};
	ok !$reply->{json}{hasMore}, 'whole';
	return $reply->{json};
}

# An edit made so many seconds ago.
sub ago
{
	my ($seconds) = @_;
	return iso(Time::HiRes::time() - $seconds);
}

my $last_sync;

subtest 'an offline queue of all entity types' => sub {
	my @queue = (
		queue_item('workout', 'create', 'w1', {
			id => 'w1', userId => 'u1', templateId => 't1',
			startedAt => '2026-11-20T17:00:00.000Z',
			completedAt => '2026-11-20T18:10:30.250',
			durationMinutes => 70, notes => "Gr\x{fc}\x{df}e \x{1f4aa}",
			sets => [ { exercise => 'squat', reps => 5, weightKg => 102.5 }, {} ] }),
		queue_item('template', 'create', 't1', {
			id => 't1', userId => 'u1', name => 'Push Day',
			exercises => [ { id => 'bench', sets => 3 } ] }),
		queue_item('measurement', 'create', 'm1', {
			id => 'm1', measuredAt => '2026-11-20T06:30:00.000Z', weightKg => 81.5 }),
		queue_item('progression', 'update', 'p1', {
			exerciseId => 'squat', workingWeightKg => 105, failures => 0 }),
		queue_item('settings', 'update', 's1', {
			settings => { units => 'kg', restSeconds => 120, dark => JSON::PP::true } }),
		queue_item('mesocycle', 'create', 'c1', {
			id => 'c1', name => 'Base', startDate => '2026-12-01T00:00:00.000Z',
			currentWeek => 1, status => 'ACTIVE' }),
		queue_item('mesocycleWeek', 'create', 'c1-1', {
			mesocycleId => 'c1', weekNumber => 1, volumeMultiplier => 1.25,
			isDeload => JSON::PP::false }),
		queue_item('achievement', 'create', 'a1', {
			code => 'first', unlockedAt => 1763658000000 }));
	my @sent = @queue;
	my $json = push_queue(\@queue);
	is_deeply \@queue, [], 'the queue is empty' or diag explain $json->{failed};
	is_deeply [ map { $_->{changeId} } @{ $json->{succeeded} } ],
	  [ map { $_->{id} } @sent ], 'changeId is the item\'s id, in order';
	is_deeply [ map { $_->{entityType} } @{ $json->{succeeded} } ],
	  [ map { $_->{entityType} } @sent ], 'entityType';
	is_deeply [ map { $_->{entityId} } @{ $json->{succeeded} } ],
	  [ map { $_->{entityId} } @sent ], 'entityId';
	is_deeply [ map { $_->{entity}{userId} } @{ $json->{succeeded} } ],
	  [ ('u1') x 8 ], 'userId is filled in';
	is_deeply [ map { $_->{entity}{lastModifiedAt} } @{ $json->{succeeded} } ],
	  [ map { $_->{createdAt} } @sent ], 'createdAt is the stamp';
	my ($workout, undef, undef, undef, $settings, undef, $week, $first) =
	  map { $_->{entity} } @{ $json->{succeeded} };
	is $workout->{notes}, $sent[0]{data}{notes}, 'text';
	is $workout->{sets}[0]{weightKg}, 102.5, 'jsonb is JSON';
	is $workout->{completedAt}, '2026-11-20T18:10:30.250Z', 'no zone is UTC';
	is $settings->{settings}{dark}, JSON::PP::true, 'a boolean in it';
	is $week->{volumeMultiplier}, '1.25', 'a decimal';
	is $first->{unlockedAt}, '2025-11-20T17:00:00.000Z', 'Unix milliseconds';
	is sql(q{SELECT status FROM "Mesocycle" WHERE id = 'c1'}), 'ACTIVE', 'an enum';
	$last_sync = $json->{serverTime};

	@queue = @sent;
	$json = push_queue(\@queue);
	is_deeply { map { ($_->{status} => 1) } @{ $json->{succeeded} } },
	  { unchanged => 1 }, 'sent again: no second effect';
	is_deeply \@queue, [], 'and the queue is empty';
};

subtest 'what a stamp is taken from' => sub {
	my %data = (measuredAt => '2026-11-20T06:30:00Z', weightKg => 80);
	my ($item, $in_data, $created) = (ago(60), ago(120), ago(180));
	my @queue = (
		queue_item('measurement', 'create', 'm2',
			{ %data, lastModifiedAt => $in_data },
			createdAt => $created, lastModifiedAt => $item),
		queue_item('measurement', 'create', 'm3',
			{ %data, lastModifiedAt => $in_data }, createdAt => $created),
		queue_item('measurement', 'create', 'm4', {%data}, createdAt => $created),
		# DateTime.now().toIso8601String() has no zone
		queue_item('measurement', 'create', 'm5', {%data},
			createdAt => substr($created, 0, -1)));
	is_deeply [ map { $_->{entity}{lastModifiedAt} }
		@{ push_queue(\@queue)->{succeeded} } ],
	  [ $item, $in_data, $created, $created ],
	  'the item\'s, else the data\'s, else createdAt; no zone is UTC';
};

subtest 'clientId' => sub {
	my @queue = (
		queue_item('achievement', 'create', 'a2',
			{ code => 'x', unlockedAt => ago(0) }, clientId => 'tablet'),
		queue_item('achievement', 'create', 'a3', { code => 'y', unlockedAt => ago(0) }));
	is_deeply [ map { $_->{entity}{clientId} }
		@{ push_queue([ map { {%$_} } @queue ], clientId => 'phone')->{succeeded} } ],
	  [ 'tablet', 'phone' ], 'the item\'s, else the push\'s';
	is sql(q{SELECT "clientId" FROM "Achievement" WHERE id = 'a1'}), 'u1',
	  'else the user';
};

subtest 'pull: what Prisma Studio inserted' => sub {
	sql(q{INSERT INTO "WorkoutSession" ("id", "userId", "startedAt", "lastModifiedAt")
		VALUES ('studio', 'u1', '2026-11-21 07:00', now() AT TIME ZONE 'UTC'),
			   ('not mine', 'u2', '2026-11-21 07:00', now() AT TIME ZONE 'UTC')});
	my $page = pull_since($last_sync);
	my %ids = map { ($_->{id} => $_) } @{ $page->{changesByType}{workout} };
	ok $ids{studio}, 'it arrives';
	is $ids{studio}{clientId}, undef, 'the server\'s';
	is $ids{studio}{startedAt}, '2026-11-21T07:00:00.000Z', 'timestamp(3) is UTC';
	ok !$ids{'not mine'}, 'another user\'s does not';
	my $second = pull_since($page->{serverTime});
	cmp_ok $second->{serverTime}, 'ge', $page->{serverTime},
	  'serverTime goes forward';

	# whatever is written after a serverTime comes with the next pull since it
	for my $round (1 .. 20)
	{
		sql(qq{UPDATE "WorkoutSession" SET notes = 'round $round' WHERE id = 'studio'});
		my $next = $gateway->pull($token, since => $second->{serverTime})->{json};
		my ($row) = grep { $_->{id} eq 'studio' } @{ $next->{changesByType}{workout} };
		is $row->{notes}, "round $round", 'nothing is missed' or last;
		$second = $next;
	}
};

subtest 'conflict: the newer edit of the server wins' => sub {
	my @queue = (queue_item('template', 'create', 't2',
		{ id => 't2', userId => 'u1', name => 'Leg Day', exercises => [] },
		createdAt => ago(600)));
	push_queue(\@queue);
	my $since = $gateway->pull($token)->{json}{serverTime};

	# the template's name changes on the server, 100 seconds ago; the phone
	# changed it 300 seconds ago and was offline
	sql(q{UPDATE "WorkoutTemplate" SET name = 'Leg Day (server)',
		"lastModifiedAt" = (now() - interval '100 s') AT TIME ZONE 'UTC'
		WHERE id = 't2'});
	@queue = (queue_item('template', 'update', 't2',
		{ id => 't2', userId => 'u1', name => 'Leg Day (phone)', exercises => [] },
		createdAt => ago(300)));
	my $item = $queue[0]{id};
	my $json = push_queue(\@queue);
	is $json->{succeeded}[0]{status}, 'superseded', 'the older change lost';
	is $json->{succeeded}[0]{changeId}, $item, 'it is done with';
	is_deeply \@queue, [], 'and leaves the queue';
	is $json->{succeeded}[0]{entity}{name}, 'Leg Day (server)',
	  'what stands comes back';
	is_deeply $json->{summary},
	  { total => 1, succeeded => 1, failed => 0, superseded => 1 }, 'summary';
	is sql(q{SELECT name FROM "WorkoutTemplate" WHERE id = 't2'}),
	  'Leg Day (server)', 'it stands';
	my ($row) = grep { $_->{id} eq 't2' }
	  @{ pull_since($since)->{changesByType}{template} };
	is $row->{name}, 'Leg Day (server)', 'and is pulled';

	@queue = (queue_item('template', 'update', 't2',
		{ id => 't2', userId => 'u1', name => 'Leg Day (newer)', exercises => [] },
		createdAt => ago(50)));
	$json = push_queue(\@queue);
	is $json->{succeeded}[0]{status}, 'applied', 'a newer edit of the phone wins';
	is sql(q{SELECT name FROM "WorkoutTemplate" WHERE id = 't2'}),
	  'Leg Day (newer)', 'it stands';

	# Express edits without an eye on sync: Prisma's @updatedAt, or not
	sql(q{UPDATE "WorkoutTemplate" SET name = 'by SQL' WHERE id = 't2'});
	@queue = (queue_item('template', 'update', 't2', { name => 'older' },
		createdAt => ago(20)));
	is push_queue(\@queue)->{succeeded}[0]{entity}{name}, 'by SQL',
	  'plain SQL is stamped with the time it was';
	is sql(q{SELECT "clientId" IS NULL FROM "WorkoutTemplate" WHERE id = 't2'}),
	  't', 'as the server\'s';
};

subtest 'base: an edit made upon what stands, whatever the clock' => sub {
	my $stamp = ago(30);
	push_queue([ queue_item('template', 'create', 't3', { name => 'one' },
		lastModifiedAt => $stamp) ]);
	my $json = push_queue([ queue_item('template', 'update', 't3', { name => 'two' },
		lastModifiedAt => ago(5000), base => $stamp) ]);
	is $json->{succeeded}[0]{status}, 'applied', 'a slow clock does not matter';
	is $json->{succeeded}[0]{entity}{name}, 'two', 'it stands';
	cmp_ok $json->{succeeded}[0]{entity}{lastModifiedAt}, 'gt', $stamp,
	  'with a stamp above the one it replaces';
	$json = push_queue([ queue_item('template', 'update', 't3', { name => 'three' },
		lastModifiedAt => ago(4000), base => $stamp) ]);
	is $json->{succeeded}[0]{status}, 'superseded', 'a base that no longer stands';
};

subtest 'timestamp(3)' => sub {
	(my $second = ago(40)) =~ s/\.\d+Z//;
	my $json = push_queue([ queue_item('workout', 'create', 'w2',
		{ startedAt => "$second.1234567Z", notes => 'first' },
		lastModifiedAt => "$second.100100Z") ]);
	is $json->{succeeded}[0]{entity}{startedAt}, "$second.123Z", 'rounded';
	is $json->{succeeded}[0]{entity}{lastModifiedAt}, "$second.100Z", 'the stamp too';

	$json = push_queue([ queue_item('workout', 'create', 'w2',
		{ startedAt => "$second.1234567Z", notes => 'first' },
		lastModifiedAt => "$second.100100Z") ]);
	is $json->{succeeded}[0]{status}, 'unchanged', 'the same again is a replay';

	$json = push_queue([ queue_item('workout', 'update', 'w2', { notes => 'second' },
		lastModifiedAt => "$second.100400Z") ]);
	is $json->{succeeded}[0]{status}, 'applied',
	  'an edit 0.3 ms later is not taken for a replay';
	is $json->{succeeded}[0]{entity}{notes}, 'second', 'it stands';
	is sql(q{SELECT notes FROM "WorkoutSession" WHERE id = 'w2'}), 'second', 'stored';

	# plain SQL too: two edits in one millisecond, both seen
	my $cursor = ($gateway->pull_pages($token, limit => 500))[-1]{cursor};
	sql(q{UPDATE "WorkoutSession" SET notes = 'third' WHERE id = 'w2';
		UPDATE "WorkoutSession" SET notes = 'fourth',
			"lastModifiedAt" = "lastModifiedAt" WHERE id = 'w2'});
	my $page = $gateway->pull($token, since => $cursor)->{json};
	is $page->{changesByType}{workout}[0]{notes}, 'fourth', 'from SQL too';
};

subtest 'deletes' => sub {
	my $since = $gateway->pull($token)->{json}{serverTime};
	my $cursor = ($gateway->pull_pages($token, limit => 500))[-1]{cursor};
	my $at = ago(0);
	my @queue = (queue_item('template', 'delete', 't1', {}, createdAt => $at));
	my $delete = {%{ $queue[0] }};
	my $json = push_queue(\@queue, clientId => 'phone');
	is $json->{succeeded}[0]{status}, 'applied', 'deleted';
	is_deeply $json->{succeeded}[0]{entity}, { id => 't1', deletedAt => $at },
	  'entity: key and time';
	is sql(q{SELECT count(*) FROM "WorkoutTemplate" WHERE id = 't1'}), 0, 'gone';

	my $page = pull_since($since);
	is_deeply $page->{deletedByType}, { template => [ { id => 't1', deletedAt => $at } ] },
	  'the next pull since a time says so';
	$page = $gateway->pull($token, since => $cursor, ack => $json->{ack})->{json};
	is_deeply $page->{deletedByType}, {}, 'by cursor, who has the reply is not told again';
	is_deeply [ map { [ $_->{id}, $_->{templateId} ] } @{ $page->{changesByType}{workout} } ],
	  [ [ 'w1', undef ] ], 'but gets the workout whose template went (SET NULL)';

	@queue = ($delete);
	is push_queue(\@queue, clientId => 'phone')->{succeeded}[0]{status}, 'unchanged',
	  'the same delete again';
	@queue = (queue_item('template', 'update', 't1', { name => 'late' },
		createdAt => ago(100)));
	$json = push_queue(\@queue);
	is $json->{succeeded}[0]{status}, 'superseded', 'an older edit does not bring it back';
	is $json->{succeeded}[0]{entity}{deletedAt}, $at, 'it learns of the delete';
	@queue = (queue_item('template', 'update', 't1', { name => 'newer' },
		createdAt => ago(-1)));
	is push_queue(\@queue)->{succeeded}[0]{status}, 'applied', 'a newer one does';
	@queue = (queue_item('template', 'delete', 'never seen', {}));
	$json = push_queue(\@queue);
	is_deeply [ $json->{summary}{failed}, $json->{succeeded}[0]{entity}{id} ],
	  [ 0, 'never seen' ], 'a delete of what never was is fine';
};

subtest 'what fails stays in the queue, with a reason' => sub {
	my @queue = (
		queue_item('mesocycle', 'create', 'c2', { name => 'Peak',
			startDate => ago(0), status => 'ASLEEP' }),
		queue_item('personalRecord', 'create', 'r1', {}),
		queue_item('workout', 'create', 'w3', { startedAt => ago(0) }),
		queue_item('workout', 'create', 'w4', { notes => 'no startedAt' }),
		queue_item('workout', 'create', 'w5', { startedAt => ago(0), wrong => 1 }),
		queue_item('workout', 'create', 'w6', { startedAt => ago(0), _local => 1,
			isDirty => JSON::PP::true, templateId => 'nowhere' }));
	my @ids = map { $_->{id} } @queue;
	my $json = push_queue(\@queue);
	is_deeply [ map { $_->{id} } @queue ], [ @ids[ 0, 1, 3, 4, 5 ] ],
	  'five stay, one is stored';
	is_deeply [ map { [ $_->{changeId}, $_->{errors}[0]{code}, $_->{errors}[0]{column} ] }
		@{ $json->{failed} } ],
	  [ [ $ids[0], '22P02', 'status' ], [ $ids[1], 'unknown_entity_type', undef ],
		[ $ids[3], '23502', 'startedAt' ], [ $ids[4], 'unknown_column', 'wrong' ],
		[ $ids[5], '23503', undef ] ], 'each with its reason';
	is $json->{failed}[4]{errors}[0]{constraint}, 'WorkoutSession_templateId_fkey',
	  'and its constraint';

	# the next try, with what was wrong put right
	@queue = $queue[0];
	is $queue[0]{retryCount}, 1, 'a second try';
	$queue[0]{data}{status} = 'PLANNED';
	is push_queue(\@queue)->{succeeded}[0]{status}, 'applied', 'is stored';
};

is $gateway->stop, 0, 'stops with status 0';
done_testing;
