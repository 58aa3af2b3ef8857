#!/usr/bin/env perl
#
# The story that `make demo` tells: an athlete has a phone and a tablet, each a
# file of SQLite that `tide` syncs and the sqlite3 shell edits. Both sync, lose
# the network, edit different plans and the same plan, and come back in the
# wrong order. A line a step; exit status 0 only if every step went as told and
# all replicas ended equal.
#
#   demo-story.pl [--verbose] URL ATHLETE-ID DIRECTORY
#
# with MAJA_TOKEN, JONAS_TOKEN and INES_TOKEN in the environment, and psql
# connecting to the database as its owner. phone.db and tablet.db stay in the
# directory. --verbose shows the commands, what they print, and each claim of a
# step.

use strict;
use warnings;
use utf8;
use FindBin;
use lib $FindBin::Bin;
use DemoDevice;

my $verbose = @ARGV && $ARGV[0] eq '--verbose' ? shift : '';
my ($url, $athlete, $directory) = @ARGV;
my $colour = -t STDOUT && ($ENV{NO_COLOR} // '') eq '';
my ($bold, $dim, $green, $red, $plain) =
	map { $colour ? "\e[${_}m" : '' } 1, 2, 32, 31, 0;
my $steps = 0;

binmode STDOUT, ':utf8';
$| = 1;

sub trace { print "$dim   $_[0]$plain\n" if $verbose }

# A claim. The story ends with the first one that is not true.
sub holds
{
	my ($what, $true) = @_;

	die "NOT SO: $what\n" unless $true;
	trace("✓ $what");
}

# step NAME SUB: SUB tells what happens and returns the line that sums it up.
sub step
{
	my ($name, $happens) = @_;
	my $title = sprintf '%2d %-14s', ++$steps, $name;

	print "\n$bold== $steps $name$plain\n" if $verbose;
	my $shown = eval { $happens->() };
	if (defined $shown)
	{
		print "$green✓$plain $bold$title$plain $shown\n";
		return;
	}
	print "$red✗$plain $bold$title$plain $@";
	print "The story ends here."
		. ($verbose ? '' : ' With --verbose it shows the commands and what they print.') . "\n";
	exit 1;
}

# What the gym's own backend does: plain SQL, no word of sync.
sub backend
{
	my $statement = shift;

	trace("backend: $statement");
	system('psql', '-X', '-q', '-o', '/dev/null', '-v', 'ON_ERROR_STOP=1', '-c', $statement) == 0
		or die "psql failed: $statement\n";
}

sub server_has
{
	my $query = shift;

	trace("server: $query");
	open my $out, '-|', 'psql', '-X', '-A', '-t', '-c', $query or die "psql: $!\n";
	chomp(my $value = do { local $/; <$out> } // '');
	close $out or die "psql failed: $query\n";
	return $value;
}

sub device
{
	my ($name, $token) = @_;

	return DemoDevice->new(name => $name, url => $url, token => $token,
		directory => $directory, trace => \&trace);
}

# ---------------------------------------------------------------------------

my $phone = device('phone', $ENV{MAJA_TOKEN});
my $tablet = device('tablet', $ENV{MAJA_TOKEN});
my $fresh = device('fresh', $ENV{MAJA_TOKEN});
my $jonas = device('jonas', $ENV{JONAS_TOKEN});
my $ines = device('ines', $ENV{INES_TOKEN});
my ($contested, $alone, $weighing, $plan, $slip);
my $reply;

step 'first sync' => sub {
	$_->clone for $phone, $tablet;
	my $rows = $phone->count;

	holds("all of Maja's rows come", $rows > 3000);
	holds('both files hold the same rows', $phone->state eq $tablet->state);
	return "tide clones two files of SQLite: Maja's phone and tablet each hold the same $rows rows";
};

step 'no network' => sub {
	$contested = $phone->sql("SELECT id FROM TrainingPlan WHERE name = 'Push 28'");
	$alone = $phone->sql("SELECT id FROM TrainingPlan WHERE name = 'Pull 28'");
	$weighing = $tablet->sql('SELECT id FROM BodyWeightEntry ORDER BY date DESC LIMIT 1');

	$phone->sql("UPDATE TrainingPlan SET name = 'Push 28, heavy' WHERE id = '$contested'");
	$phone->sql("UPDATE TrainingPlan SET name = 'Pull 28 with chains' WHERE id = '$alone'");
	$plan = $phone->sql("INSERT INTO TrainingPlan (athleteId, name, date)"
		. " VALUES ('$athlete', 'Hotel room', strftime('%Y-%m-%dT%H:%M:%SZ', 'now')) RETURNING id");
	my $exercise = $phone->sql("INSERT INTO ExercisePlan (athleteId, trainingPlanId, position, exerciseId)"
		. " SELECT '$athlete', '$plan', 1, id FROM Exercise WHERE name = 'Pull-up' RETURNING id");
	# the database has a CHECK against 0 repetitions
	$phone->sql("INSERT INTO SetPlan (athleteId, exercisePlanId, position, reps, weightKg, rpe)"
		. " VALUES ('$athlete', '$exercise', 1, 8, 0, 8), ('$athlete', '$exercise', 2, 0, 0, 8)");
	$slip = $phone->sql("SELECT id FROM SetPlan WHERE exercisePlanId = '$exercise' AND reps = 0");

	$tablet->sql("UPDATE TrainingPlan SET name = 'Push 28, easy week' WHERE id = '$contested'");
	$tablet->sql("DELETE FROM BodyWeightEntry WHERE id = '$weighing'");
	holds('the files differ now', $phone->state ne $tablet->state);
	holds('and the server knows nothing of it',
		server_has("SELECT count(*) FROM training_plans WHERE name IN ('Hotel room', 'Push 28, heavy', 'Push 28, easy week')") == 0);
	holds('each file has its edits queued', $phone->status->{pending} == 6 && $tablet->status->{pending} == 2);
	return "sqlite3 edits both files offline, one plan in both; the tablet's edit of it is the later one";
};

step 'push' => sub {
	$reply = $tablet->sync;
	holds('both of its changes are stored', $reply->{pushed} == 2 && !$reply->{lost} && !$reply->{pending});
	return 'the tablet is online first: both of its changes are stored';
};

step 'lost reply' => sub {
	$reply = $phone->sync_without_reply;
	holds('the phone thinks that it is offline', $reply->{result} eq 'offline' && $reply->{pending} == 6);
	holds('though the server has stored its plan',
		server_has("SELECT count(*) FROM training_plans WHERE name = 'Hotel room'") == 1);
	return 'the phone pushes, and the network goes before the reply: it keeps all as unsent';
};

step 'conflict' => sub {
	$reply = $phone->sync;
	holds('the push is sent once more, and stored once',
		server_has("SELECT count(*) FROM training_plans WHERE name = 'Hotel room'") == 1);
	holds('the older edit of the same plan lost', $reply->{lost} == 1);
	my ($lost) = @{ $phone->told('lost') };
	holds('both versions are kept', $lost->{key} eq $contested && $lost->{mine} =~ /heavy/ && $lost->{theirs} =~ /easy week/);
	holds('and the plan is as it stands on the server',
		$phone->sql("SELECT name FROM TrainingPlan WHERE id = '$contested'") eq 'Push 28, easy week');
	return "the phone sends that once more; its edit of the plan in both is older and loses, and is kept";
};

step 'one bad row' => sub {
	my ($failed, @more) = @{ $phone->told('pending') };

	holds('the new plan, its exercise and its set are stored', !@more && $reply->{failed} == 1);
	holds('the bad set failed alone', $failed->{key} eq $slip && $failed->{state} eq 'retry');
	holds('and the reply names the constraint', $failed->{message} =~ /set_plans_reps_check/);
	return "a set of 0 repetitions fails alone ($failed->{code}), the rest is stored";
};

step 'corrected' => sub {
	$phone->sql("UPDATE SetPlan SET reps = 6 WHERE id = '$slip'");
	$reply = $phone->sync;
	holds('stored', $reply->{pushed} == 1 && !$reply->{failed} && !$reply->{pending});
	return 'the phone sends the bad set with 6 repetitions: stored';
};

step 'plain SQL' => sub {
	my $first = $phone->sql("SELECT id FROM BodyWeightEntry WHERE id <> '$weighing' ORDER BY id LIMIT 1");

	backend("UPDATE training_plans SET is_locked = true WHERE id = '$alone'");
	backend("DELETE FROM body_weight_entries WHERE id = '$first'");
	for my $device ($phone, $tablet)
	{
		$device->sync;
		holds("the $device->{name} got what the backend and the other device did",
			$device->sql("SELECT isLocked FROM TrainingPlan WHERE id = '$alone'") == 1
				&& $device->sql("SELECT count(*) FROM BodyWeightEntry WHERE id = '$first'") == 0
				&& $device->sql("SELECT deletedAt IS NOT NULL FROM BodyWeightEntry WHERE id = '$weighing'") == 1);
	}
	holds('and nothing comes twice', $tablet->sync->{pulled} == 0);
	return 'an UPDATE and a DELETE of the backend reach both files at their next sync';
};

step 'converged' => sub {
	my $count = $phone->count;

	$fresh->clone;
	holds('phone and tablet are equal, row for row and column for column',
		$phone->state eq $tablet->state);
	holds('and equal to what a new device gets', $phone->state eq $fresh->state);
	return "phone, tablet and a new device hold the same $count rows, equal in every column";
};

step 'other athletes' => sub {
	$jonas->clone;
	holds('Jonas has his own plans', $jonas->sql('SELECT count(*) FROM TrainingPlan') > 0);
	holds("and none of Maja's", $jonas->sql("SELECT count(*) FROM TrainingPlan WHERE athleteId = '$athlete'") == 0);
	$jonas->sql("INSERT INTO TrainingPlan (id, athleteId, name, date)"
		. " VALUES ('$contested', '$athlete', 'mine now', '2026-01-01T00:00:00Z')");
	$reply = $jonas->sync;
	my ($refused) = @{ $jonas->told('pending') };
	holds('and writing over one fails', $reply->{failed} == 1 && $refused->{key} eq $contested);
	holds('so that the plan is as it was',
		server_has("SELECT name FROM training_plans WHERE id = '$contested'") eq 'Push 28, easy week');
	return "Jonas gets no row of Maja's, and cannot write one ($refused->{code})";
};

step 'their coach' => sub {
	my $athletes = 'SELECT count(DISTINCT athleteId) FROM TrainingPlan';

	$ines->clone;
	holds('Ines, their coach, has the plans of both, and of nobody else',
		$ines->sql($athletes) == 2 && $ines->sql("$athletes WHERE athleteId = '$athlete'") == 1);
	backend("UPDATE athletes SET coach_id = (SELECT id FROM coaches WHERE name = 'Tomas Horak') WHERE id = '$athlete'");
	$ines->sync;
	holds("and none of Maja's when Maja has changed to another coach",
		$ines->sql("$athletes WHERE athleteId = '$athlete'") == 0);
	holds('but still those of Jonas', $ines->sql($athletes) == 1);
	$phone->sync;
	holds("Maja's rows are as they were", $phone->state eq $fresh->state);
	return "Ines gets the plans of both, and loses Maja's when Maja changes coach";
};

step 'too long away' => sub {
	my ($edited, $untouched) = split /\n/, $tablet->sql(
		'SELECT id FROM BodyWeightEntry WHERE deletedAt IS NULL ORDER BY id DESC LIMIT 2');

	$tablet->sql("UPDATE BodyWeightEntry SET weightKg = 65 WHERE id = '$edited'");
	backend("DELETE FROM body_weight_entries WHERE id IN ('$edited', '$untouched')");
	backend("SELECT tide.prune('0 s')");
	$reply = $tablet->sync;
	my ($parked) = @{ $tablet->told('pending') };
	holds('its edit must not bring back what was deleted',
		$parked->{key} eq $edited && $parked->{code} eq 'resync_required');
	holds('it starts over, and drops what it had not touched and what did not come again',
		$tablet->sql("SELECT count(*) FROM BodyWeightEntry WHERE id = '$untouched'") == 0);
	holds('its own edit is still there for Maja to decide on', $parked->{state} eq 'parked');
	$tablet->tide('discard', 'BodyWeightEntry', $edited);
	return "deletions are pruned, the tablet must start over ($parked->{code}); its own edit is kept";
};

step 'equal again' => sub {
	$phone->sync;
	holds('phone and tablet are equal again', $tablet->state eq $phone->state);
	holds('and nothing is left to send', $tablet->status->{pending} == 0);
	return 'Maja discards that edit: phone and tablet hold the same rows';
};

step 'verified' => sub {
	for my $device ($phone, $tablet)
	{
		holds("the $device->{name} holds what the server holds", !@{ $device->told('verify', '--full') });
	}
	return 'tide verify --full: both files hold what the server holds';
};
