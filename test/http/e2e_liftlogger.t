# LiftLogger's client against its own database: what its Dart code sends and
# reads.  Rows are what Drift's toJson gives (camel case, times as Unix
# milliseconds), a push is its PushStrategy, a pull its SyncApiService.
use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";
use Test::More;
use Time::HiRes ();
use TideTest qw(iso uuid apply_page);

my $cluster = TideTest::Cluster->shared;
my $database = $cluster->create_example('liftlogger');
my $gateway = TideTest::Gateway->start(
	cluster => $cluster,
	database => $database)->wait_until_ready;

sub athlete
{
	my ($name) = @_;
	return $cluster->sql($database,
		"SELECT id FROM athletes WHERE name LIKE '$name%'");
}
my $maja = athlete('Maja');
my $jonas = athlete('Jonas');
my $token = $gateway->token($maja);
my $squat = $cluster->sql($database,
	"SELECT id FROM exercises WHERE name = 'Back Squat'");

my $start = int(Time::HiRes::time() * 1000);
sub now_ms { return int(Time::HiRes::time() * 1000); }

# A row as Drift keeps and serialises it; SyncableTable's columns beside its
# own.
sub drift_row
{
	my ($id, %field) = @_;
	my $now = now_ms();
	return {
		id => $id,
		createdAt => $now,
		updatedAt => $now,
		version => 1,
		deletedAt => undef,
		isDirty => JSON::PP::true,
		lastSyncedAt => undef,
		%field };
}

sub training_plan
{
	my ($name, %field) = @_;
	return drift_row(uuid('plan', $name), athleteId => $maja, name => $name,
		date => 1767258000000, isLocked => JSON::PP::false, %field);
}

# PushStrategy: what is dirty, by type, without _type, isDirty, lastSyncedAt.
# The parsed reply; its fields are those that SyncPushResponseDto requires.
sub push_strategy
{
	my ($token, %changes) = @_;
	for my $rows (values %changes)
	{
		$rows = [ map { my %row = %$_; delete @row{qw(_type isDirty lastSyncedAt)};
			\%row } @$rows ];
	}
	return push_as_is($token, %changes);
}

sub push_as_is
{
	my ($token, %changes) = @_;
	my $reply = $gateway->push_changes($token, { changes => \%changes });
	is $reply->{status}, 200, 'push' or diag $reply->{content};
	my $json = $reply->{json};
	is ref $json->{$_}, 'ARRAY', "$_ is a list" for 'succeeded', 'failed';
	is_deeply [ grep { !/^(?:total|succeeded|failed|superseded)$/ }
		keys %{ $json->{summary} } ], [], 'summary';
	is $json->{summary}{total},
	  $json->{summary}{succeeded} + $json->{summary}{failed}, 'adds up';
	return $json;
}

# SyncApiService.pull
sub pull_strategy
{
	my ($token, $athlete, $since, %option) = @_;
	my $reply = $gateway->pull($token,
		since => $since,
		athleteId => $athlete,
		limit => $option{limit} // 100,
		$option{entityTypes} ? (entityTypes => join ',', @{ $option{entityTypes} }) : ());
	is $reply->{status}, 200, 'pull' or diag $reply->{content};
	my $json = $reply->{json};
	like $json->{syncTimestamp}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/,
	  'syncTimestamp is what DateTime.parse reads';
	is $json->{serverTime}, $json->{syncTimestamp}, 'serverTime is the same';
	for my $type (keys %{ $json->{changesByType} })
	{
		my $stats = $json->{stats}{$type};
		is $stats->{count}, scalar @{ $json->{changesByType}{$type} }
		  + @{ $json->{deletedByType}{$type} // [] }, "stats of $type"
		  if $option{check_stats};
		ok defined $stats->{hasMore}, "stats of $type have hasMore";
	}
	return $json;
}

# DateTime.toIso8601String of a local time: no zone.  The phone's zone here
# is UTC+1.
sub dart_local
{
	my ($seconds) = @_;
	my $text = iso($seconds + 3600);
	chop $text;
	return $text;
}

my @types = qw(Athlete Exercise Variant TrainingPlan ExercisePlan SetPlan
  ExercisePlanVariant TrainingSession ExerciseSession SetSession
  ExerciseSessionVariant BodyWeightEntry);
my %table = (Athlete => 'athletes', Exercise => 'exercises',
	Variant => 'variants', TrainingPlan => 'training_plans',
	ExercisePlan => 'exercise_plans', SetPlan => 'set_plans',
	ExercisePlanVariant => 'exercise_plan_variants',
	TrainingSession => 'training_sessions',
	ExerciseSession => 'exercise_sessions', SetSession => 'set_sessions',
	ExerciseSessionVariant => 'exercise_session_variants',
	BodyWeightEntry => 'body_weight_entries');

my %phone;
my $synced;

subtest 'first pull: since the epoch, everything' => sub {
	my $page = pull_strategy($token, $maja, dart_local(0), check_stats => 1);
	ok $page->{reset}, 'a time before tracking resets';
	ok !$page->{hasMore}, 'whole, whatever the limit';
	apply_page(\%phone, $page);
	for my $type (@types)
	{
		my $condition = $type eq 'Athlete' ? "id = '$maja'"
		  : $type =~ /^(?:Exercise|Variant)$/ ? 'true' : "athlete_id = '$maja'";
		is_deeply [ sort keys %{ $phone{$type} } ],
		  [ split /\n/, $cluster->sql($database,
			"SELECT id FROM $table{$type} WHERE $condition ORDER BY id::text COLLATE \"C\"") ],
		  "all of $type";
	}
	is_deeply [ sort keys %phone ], [ sort @types ], 'and nothing else';
	ok !exists $phone{Athlete}{$maja}{coachId}, 'an excluded column stays away';
	my $plan = (values %{ $phone{TrainingPlan} })[0];
	is_deeply [ sort keys %$plan ],
	  [ sort qw(id athleteId name date isLocked createdAt updatedAt version
			deletedAt clientId) ], 'the fields of TrainingPlanData';
	like $plan->{date}, qr/^\d{4}-\d\d-\d\dT.*Z$/, 'a time';
	ok JSON::PP::is_bool($plan->{isLocked}), 'a boolean';
	$synced = $page->{syncTimestamp};
};

subtest 'a plan made offline: children before their parents' => sub {
	my $plan = training_plan('offline');
	my $exercise = drift_row(uuid('exercise'), athleteId => $maja,
		trainingPlanId => $plan->{id}, exerciseId => $squat, position => 1,
		notes => "low bar, \"slow\" \x{2191} \\ ok");
	my @sets = map { drift_row(uuid('set', $_), athleteId => $maja,
		exercisePlanId => $exercise->{id}, position => $_, reps => 5,
		weightKg => 102.5, rpe => undef) } 1 .. 3;

	# in the order of the alphabet: ExercisePlan, SetPlan, TrainingPlan
	my $reply = push_strategy($token, TrainingPlan => [$plan],
		ExercisePlan => [$exercise], SetPlan => \@sets);
	is_deeply $reply->{failed}, [], 'nothing failed';
	is $reply->{summary}{succeeded}, 5, 'summary.succeeded';
	my %by_id = map { ($_->{entityId} => $_) } @{ $reply->{succeeded} };
	is_deeply [ sort keys %by_id ],
	  [ sort map { $_->{id} } $plan, $exercise, @sets ], 'entityId: as sent';
	is_deeply { map { ($_->{entityType} => 1) } values %by_id },
	  { TrainingPlan => 1, ExercisePlan => 1, SetPlan => 1 }, 'entityType';
	my $entity = $by_id{ $plan->{id} }{entity};
	is $entity->{name}, 'offline', 'entity is the row';
	is $entity->{updatedAt}, iso($plan->{updatedAt} / 1000), 'its stamp is the phone\'s';
	is $entity->{createdAt}, iso($plan->{createdAt} / 1000), 'its times too';
	is $entity->{date}, '2026-01-01T09:00:00.000Z', 'milliseconds since 1970';
	is $entity->{deletedAt}, undef, 'a deletedAt of null is no delete';
	is $by_id{ $exercise->{id} }{entity}{notes}, $exercise->{notes}, 'text';
	is $cluster->sql($database,
		"SELECT sum(weight_kg) FROM set_plans WHERE exercise_plan_id = '$exercise->{id}'"),
	  '307.50', 'stored';
	is $cluster->sql($database,
		"SELECT client_id FROM training_plans WHERE id = '$plan->{id}'"),
	  $maja, 'without a clientId it is the token\'s user';

	# clearDirty, and the phone takes the server's row
	$phone{ $_->{entityType} }{ $_->{entityId} } = $_->{entity}
	  for @{ $reply->{succeeded} };

	my $again = push_strategy($token, TrainingPlan => [$plan],
		ExercisePlan => [$exercise], SetPlan => \@sets);
	is_deeply { map { ($_->{status} => 1) } @{ $again->{succeeded} } },
	  { unchanged => 1 }, 'the same push again, its reply was lost: no second effect';
	is $again->{summary}{succeeded}, 5, 'and all of it succeeded';
};

subtest 'rows as toJson leaves them: isDirty and lastSyncedAt' => sub {
	my $plan = training_plan('with everything', lastSyncedAt => now_ms() - 5000);
	my $other = training_plan('without');
	delete @$other{qw(isDirty lastSyncedAt)};
	my $reply = push_as_is($token, TrainingPlan => [ $plan, $other ]);
	is_deeply $reply->{failed}, [], 'both are stored';
	is_deeply [ map { $_->{status} } @{ $reply->{succeeded} } ],
	  [ 'applied', 'applied' ], 'applied';
	ok !exists $reply->{succeeded}[0]{entity}{isDirty}, 'isDirty is not kept';
	is $reply->{succeeded}[0]{entityId}, $plan->{id}, 'in the order of the request';
};

subtest 'an edit counts the version' => sub {
	my $plan = training_plan('offline', name => 'renamed', version => 1,
		updatedAt => now_ms());
	my $reply = push_strategy($token, TrainingPlan => [$plan]);
	is $reply->{succeeded}[0]{status}, 'applied';
	is $reply->{succeeded}[0]{entity}{version}, 2, 'by one';
	is $reply->{succeeded}[0]{entity}{name}, 'renamed';
	is $reply->{succeeded}[0]{entityId}, uuid('plan', 'offline');
};

subtest 'pull since the last time, without a zone' => sub {
	my $page = pull_strategy($token, $maja, dart_local(Time::HiRes::time()),
		check_stats => 1);
	ok $page->{reset}, 'it may be 14 hours before: in a young database that is before tracking';
	ok !$page->{hasMore}, 'whole';
	my %ids = map { ($_->{id} => $_) } @{ $page->{changesByType}{TrainingPlan} };
	is $ids{ uuid('plan', 'offline') }{name}, 'renamed',
	  'a time without a zone misses nothing';

	$page = pull_strategy($token, $maja, $synced, check_stats => 1,
		entityTypes => [ 'TrainingPlan', 'SetPlan' ]);
	is_deeply [ sort keys %{ $page->{changesByType} } ],
	  [ 'SetPlan', 'TrainingPlan' ], 'entityTypes, with commas';
	ok !$page->{reset}, 'with its zone, a time resets nothing';
	apply_page(\%phone, $page);
	is $phone{TrainingPlan}{ uuid('plan', 'without') }{name}, 'without',
	  'syncTimestamp as since';
};

subtest 'pages: limit and stats.hasMore' => sub {
	my $count = keys %{ $phone{SetSession} };
	cmp_ok $count, '>', 600, 'enough to page through';
	my (%seen, $since, $pages);
	while (1)
	{
		my $reply = $gateway->pull($token, athleteId => $maja, limit => 250,
			entityTypes => 'SetSession', defined $since ? (since => $since) : ());
		is $reply->{status}, 200, 'a page';
		my $page = $reply->{json};
		my $rows = $page->{changesByType}{SetSession} // [];
		$seen{ $_->{id} }++ for @$rows;
		is $page->{stats}{SetSession}{count}, scalar @$rows, 'stats.count' if @$rows;
		is !!$page->{stats}{SetSession}{hasMore}, !!$page->{hasMore},
		  'stats.hasMore' if @$rows;
		is scalar @$rows, 250, 'a page with more to come is full' if $page->{hasMore};
		$since = $page->{cursor};
		last unless $page->{hasMore};
		die 'no end' if $pages++ > 100;
	}
	is scalar keys %seen, $count, 'all';
	is_deeply [ grep { $_ != 1 } values %seen ], [], 'once each';
};

my $cursor;

subtest 'a soft delete' => sub {
	$cursor = ($gateway->pull_pages($token, limit => 500))[-1]{cursor};
	my $deleted = now_ms();
	my $plan = training_plan('without', deletedAt => $deleted, updatedAt => $deleted);
	my $reply = push_strategy($token, TrainingPlan => [$plan]);
	is $reply->{succeeded}[0]{status}, 'applied';
	is $reply->{succeeded}[0]{entity}{deletedAt}, iso($deleted / 1000),
	  'the row stays, with its deletedAt';
	is $cluster->sql($database, "SELECT count(deleted_at) FROM training_plans
		WHERE id = '$plan->{id}'"), 1, 'in the table too';
	my $page = $gateway->pull($token, since => $cursor)->{json};
	is_deeply [ map { $_->{id} } @{ $page->{changesByType}{TrainingPlan} } ],
	  [ $plan->{id} ], 'another phone gets the row';
	is $page->{changesByType}{TrainingPlan}[0]{deletedAt}, iso($deleted / 1000),
	  'with deletedAt';
	is_deeply $page->{deletedByType}, {}, 'not as a deletion';

	my $late = training_plan('without', name => 'late', updatedAt => $deleted - 1000);
	delete $late->{deletedAt};
	$reply = push_strategy($token, TrainingPlan => [$late]);
	is $reply->{succeeded}[0]{status}, 'superseded', 'an older edit loses to it';
	is $reply->{succeeded}[0]{entity}{deletedAt}, iso($deleted / 1000),
	  'and is told so';
	is $reply->{summary}{superseded}, 1, 'summary.superseded';

	my $revived = training_plan('without', name => 'again', updatedAt => $deleted + 1);
	delete $revived->{deletedAt};
	$reply = push_strategy($token, TrainingPlan => [$revived]);
	is $reply->{succeeded}[0]{entity}{deletedAt}, undef, 'a newer one revives';
};

subtest 'one bad row among good ones' => sub {
	my @plans = map { training_plan("batch $_") } 1 .. 20;
	$plans[6]{name} = '';
	my $stranger = drift_row(uuid('orphan'), athleteId => $maja,
		trainingPlanId => uuid('nowhere'), exerciseId => $squat, position => 1,
		notes => undef);
	my $reply = push_strategy($token, TrainingPlan => \@plans,
		ExercisePlan => [$stranger]);
	is $reply->{summary}{succeeded}, 19, 'summary.succeeded';
	is $reply->{summary}{failed}, 2, 'summary.failed';
	my %failed = map { ($_->{entityId} => $_) } @{ $reply->{failed} };
	my $check = $failed{ $plans[6]{id} };
	is $check->{entityType}, 'TrainingPlan', 'failed.entityType';
	is $check->{errors}[0]{code}, '23514', 'a check';
	ok length $check->{errors}[0]{message}, 'failure.errors.map((e) => e.message)';
	is $check->{errors}[0]{constraint}, 'training_plans_name_check', 'its name';
	is $failed{ $stranger->{id} }{errors}[0]{code}, '23503', 'a foreign key';
	is $cluster->sql($database,
		"SELECT count(*) FROM training_plans WHERE name LIKE 'batch %'"), 19,
	  'the good ones are stored';
};

subtest 'the catalogue' => sub {
	my $reply = push_strategy($token, Exercise => [ drift_row($squat,
		name => 'Mine', muscleGroup => 'legs', isCompound => JSON::PP::true) ]);
	is $reply->{failed}[0]{errors}[0]{code}, '42501', 'is not the athlete\'s to edit';
	my $page = ($gateway->pull_pages($token, limit => 500, since => $cursor))[-1];
	$cursor = $page->{cursor};
	$cluster->sql($database,
		"UPDATE exercises SET muscle_group = 'thighs' WHERE id = '$squat'");
	for my $who ($maja, $jonas)
	{
		my %copy;
		apply_page(\%copy, $_) for $gateway->pull_pages($gateway->token($who),
			entityTypes => 'Exercise');
		is $copy{Exercise}{$squat}{muscleGroup}, 'thighs', 'everybody\'s';
		is $copy{Exercise}{$squat}{name}, 'Back Squat', 'as the office has it';
	}
	$page = $gateway->pull($token, since => $cursor)->{json};
	is_deeply [ map { $_->{id} } @{ $page->{changesByType}{Exercise} } ], [$squat],
	  'an edit of the office arrives';
};

subtest 'another athlete' => sub {
	my $other = $gateway->token($jonas);
	my $before = ($gateway->pull_pages($other, limit => 500))[-1]{cursor};
	my $secret = training_plan('nobody else', name => 'a word that only Maja knows');
	push_strategy($token, TrainingPlan => [$secret]);
	my $gone = training_plan('to be deleted');
	push_strategy($token, TrainingPlan => [$gone]);
	$cluster->sql($database, "DELETE FROM training_plans WHERE id = '$gone->{id}'");

	my $mine = $gateway->pull($token, since => $cursor)->{json};
	is_deeply [ map { $_->{id} } @{ $mine->{deletedByType}{TrainingPlan} } ],
	  [ $gone->{id} ], 'a row that is gone arrives as a deletion';
	for my $try ([ since => $before ], [ since => '1970-01-01T00:00:00.000' ])
	{
		my $reply = $gateway->pull($other, @$try);
		is $reply->{status}, 200, "pull since $try->[1]";
		unlike $reply->{content}, qr/\Q$_\E/, 'nothing of hers in it'
		  for $maja, $secret->{id}, $gone->{id}, $secret->{name};
		is_deeply $reply->{json}{deletedByType}, {}, 'no tombstone';
	}

	for my $field ('athleteId', 'scope', 'userId')
	{
		my $reply = $gateway->pull($other, $field => $maja);
		is $reply->{status}, 403, "$field of another athlete is refused";
		is $reply->{json}{error}{code}, 'scope_not_allowed', 'with a reason';
	}

	# into her scope, over her row, and her row taken away
	my $stolen = training_plan('stolen', athleteId => $maja);
	my $over = training_plan('nobody else', athleteId => $jonas, updatedAt => now_ms());
	my $reply = push_strategy($other, TrainingPlan => [ $stolen, $over ]);
	is_deeply [ map { $_->{errors}[0]{code} } @{ $reply->{failed} } ],
	  [ 'scope_not_allowed', 'scope_not_allowed' ], 'pushes too';
	my $delete = training_plan('nobody else', deletedAt => now_ms());
	delete $delete->{athleteId};
	$reply = push_strategy($other, TrainingPlan => [$delete]);
	is $reply->{summary}{failed}, 1, 'and deletes';
	is $cluster->sql($database, "SELECT athlete_id || ' ' || name
		FROM training_plans WHERE id = '$secret->{id}' AND deleted_at IS NULL"),
	  "$maja $secret->{name}", 'her row is as it was';

	# a child hung under her plan
	$reply = push_strategy($other, ExercisePlan => [ drift_row(uuid('hung'),
		athleteId => $jonas, trainingPlanId => $secret->{id},
		exerciseId => $squat, position => 1, notes => undef) ]);
	is $reply->{failed}[0]{errors}[0]{code}, '23503', 'nothing is hung under it';
};

subtest 'a coach' => sub {
	my $ines = $cluster->sql($database, "SELECT id FROM coaches WHERE name LIKE 'Ines%'");
	my (%coached, %copy);
	$coached{$_} = 1 for split /\n/, $cluster->sql($database, "SELECT id FROM athletes WHERE coach_id = '$ines'");
	apply_page(\%copy, $_) for $gateway->pull_pages($gateway->token($ines), limit => 500);
	is_deeply [ keys %{ $copy{Coach} } ], [$ines], 'own row';
	is scalar keys %{ $copy{Exercise} }, $cluster->sql($database, 'SELECT count(*) FROM exercises'), 'the catalogue';
	is_deeply [ sort keys %{ $copy{Athlete} } ], [ sort keys %coached ], 'the athletes';
	my %whose = map { $_->{athleteId} => 1 } values %{ $copy{TrainingPlan} };
	is_deeply [ sort keys %whose ], [ sort keys %coached ], 'and their plans';
};

subtest 'which rows there are' => sub {
	my $token = $gateway->token($maja);
	my %pulled;
	for my $page ($gateway->pull_pages($token, limit => 500))
	{
		push @{ $pulled{$_} }, map { $_->{id} } @{ $page->{changesByType}{$_} }
		  for keys %{ $page->{changesByType} };
	}
	my $keys = $gateway->get('/api/v1/sync/keys', token => $token)->{json}{keysByType};
	is_deeply [ sort @{ $keys->{$_} } ], [ sort @{ $pulled{$_} // [] } ], "$_: the pulled ones"
	  for sort keys %$keys;
	is keys %$keys, 13, 'of each type';
	is_deeply [ keys %{ $gateway->get('/api/v1/sync/keys?entityTypes=TrainingPlan',
		token => $token)->{json}{keysByType} } ], ['TrainingPlan'], 'narrowed';
	is $gateway->get("/api/v1/sync/keys?athleteId=$jonas", token => $token)->{status}, 403,
	  "not another's";
	is $gateway->get('/api/v1/sync/keys')->{status}, 401, 'not without a token';
};

is $gateway->stop, 0, 'stops with status 0';
done_testing;
