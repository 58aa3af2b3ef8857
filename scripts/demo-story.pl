#!/usr/bin/env perl
#
# The story that `make demo` tells: an athlete has a phone and a tablet. Both
# sync, lose the network, edit different plans and the same plan, and come
# back in the wrong order. A line a step; exit status 0 only if every step
# went as told and all replicas ended equal.
#
#   demo-story.pl [--verbose] URL ATHLETE-ID DIRECTORY
#
# with MAJA_TOKEN, JONAS_TOKEN and INES_TOKEN in the environment, and psql
# connecting to the database as its owner. --verbose shows the requests and
# each claim of a step.

use strict;
use warnings;
use utf8;
use FindBin;
use lib $FindBin::Bin;
use DemoDevice;
use Time::HiRes qw(time);

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
		. ($verbose ? '' : ' With --verbose it shows the requests and replies.') . "\n";
	exit 1;
}

sub device
{
	my ($name, $token) = @_;

	return DemoDevice->new(name => $name, url => $url, token => $token,
		file => "$directory/$name.json", trace => \&trace);
}

sub uuid
{
	my @byte = map { int rand 256 } 1 .. 16;

	$byte[6] = $byte[6] & 0x0f | 0x40;
	$byte[8] = $byte[8] & 0x3f | 0x80;
	return sprintf '%02x' x 4 . ('-' . '%02x' x 2) x 3 . '-' . '%02x' x 6, @byte;
}

# What the gym's own backend does: plain SQL, no word of sync.
sub backend
{
	my $statement = shift;

	trace("backend: $statement");
	system('psql', '-X', '-q', '-o', '/dev/null', '-v', 'ON_ERROR_STOP=1', '-c', $statement) == 0
		or die "psql failed: $statement\n";
}

sub status_of
{
	my ($reply, $id) = @_;
	my ($done) = grep { $_->{entityId} eq $id } @{ $reply->{succeeded} };

	return $done ? $done->{status} : 'failed';
}

sub of_maja { return grep { ($_->{athleteId} // $_->{id}) eq $athlete } @_ }

# ---------------------------------------------------------------------------

my $phone = device('phone', $ENV{MAJA_TOKEN});
my $tablet = device('tablet', $ENV{MAJA_TOKEN});
my $fresh = device('fresh', $ENV{MAJA_TOKEN});
my $jonas = device('jonas', $ENV{JONAS_TOKEN});
my $ines = device('ines', $ENV{INES_TOKEN});
my $now = time;
my ($contested, $alone, $weighing, $plan, $exercise, $set, $slip);
my ($sent, $reply);

step 'first pull' => sub {
	my ($rows, undef, $pages) = $phone->pull_changes;

	holds("all of Maja's rows come, page by page", $rows > 3000 && $pages > 5);
	$tablet->pull_changes;
	holds('both devices hold the same rows', $phone->state eq $tablet->state);
	return "Maja's phone and tablet each hold the same $rows rows, read in $pages pages";
};

step 'no network' => sub {
	$fresh->pull_changes;

	$contested = $phone->find(TrainingPlan => name => 'Push 28');
	$alone = $phone->find(TrainingPlan => name => 'Pull 28');
	($weighing) = map { $_->{id} } sort { $b->{date} cmp $a->{date} } $tablet->rows('BodyWeightEntry');

	$phone->edit(TrainingPlan => $contested, $now - 50, name => 'Push 28, heavy');
	$phone->edit(TrainingPlan => $alone, $now - 45, name => 'Pull 28 with chains');
	$plan = $phone->edit(TrainingPlan => uuid(), $now - 40, athleteId => $athlete,
		name => 'Hotel room', date => DemoDevice::iso($now), isLocked => JSON::PP::false);
	$exercise = $phone->edit(ExercisePlan => uuid(), $now - 40, athleteId => $athlete,
		trainingPlanId => $plan, position => 1, notes => undef,
		exerciseId => $phone->find(Exercise => name => 'Pull-up'));
	$set = $phone->edit(SetPlan => uuid(), $now - 40, athleteId => $athlete,
		exercisePlanId => $exercise, position => 1, reps => 8, weightKg => 0, rpe => 8);
	# the database has a CHECK against 0 repetitions
	$slip = $phone->edit(SetPlan => uuid(), $now - 40, athleteId => $athlete,
		exercisePlanId => $exercise, position => 2, reps => 0, weightKg => 0, rpe => 8);

	$tablet->edit(TrainingPlan => $contested, $now - 20, name => 'Push 28, easy week');
	$tablet->edit(BodyWeightEntry => $weighing, $now - 15, deletedAt => DemoDevice::iso($now - 15));
	holds('the devices differ now', $phone->state ne $tablet->state);
	my ($rows) = $fresh->pull_changes;
	holds('and the server knows nothing of it', $rows == 0);
	return "both are edited offline, one plan on both; the tablet's edit of it is the later one";
};

step 'push' => sub {
	$reply = $tablet->push_changes;
	holds('both of its changes are stored',
		$reply->{summary}{succeeded} == 2 && !$reply->{summary}{superseded});
	return 'the tablet is online first: both of its changes are stored';
};

step 'conflict' => sub {
	$sent = $phone->pending;
	$reply = $phone->push_changes($sent);
	holds('the older edit of the same plan lost', status_of($reply, $contested) eq 'superseded');
	holds('and the version that stands came back with the reply',
		$phone->row(TrainingPlan => $contested)->{name} eq 'Push 28, easy week');
	return "the phone's edit of that plan is older and loses; the reply brings the plan as it stands";
};

step 'one bad row' => sub {
	my $failed = $reply->{failed}[0];

	holds('the new plan, its exercise and its set are stored, though children were sent first',
		!grep { status_of($reply, $_) ne 'applied' } $plan, $exercise, $set, $alone);
	holds('the bad set failed alone',
		$reply->{summary}{failed} == 1 && $failed->{entityId} eq $slip);
	holds('and the reply names the constraint', $failed->{errors}[0]{constraint});
	return "a set of 0 repetitions fails alone ($failed->{errors}[0]{constraint}), the rest is stored";
};

step 'lost reply' => sub {
	delete $sent->{changes}{SetPlan};
	my $again = $phone->request(POST => '/api/v1/sync/push', $sent);
	holds('every change is answered', $again->{summary}{total} == $again->{summary}{succeeded});
	holds('what was stored is unchanged, what lost has lost',
		!grep { $_->{status} ne ($_->{entityId} eq $contested ? 'superseded' : 'unchanged') }
			@{ $again->{succeeded} });
	return 'the phone sends that push once more, and nothing changes';
};

step 'corrected' => sub {
	$phone->edit(SetPlan => $slip, time, reps => 6);
	$reply = $phone->push_changes;
	holds('stored', status_of($reply, $slip) eq 'applied');
	return 'the phone sends the bad set with 6 repetitions: stored';
};

step 'plain SQL' => sub {
	my ($first) = grep { $_ ne $weighing } sort map { $_->{id} } $phone->rows('BodyWeightEntry');

	backend("UPDATE training_plans SET is_locked = true WHERE id = '$alone'");
	backend("DELETE FROM body_weight_entries WHERE id = '$first'");
	my ($rows, $gone) = $phone->pull_changes;
	holds("the phone got the tablet's and the backend's changes",
		$rows >= 2 && $gone == 1 && $phone->row(TrainingPlan => $alone)->{isLocked}
			&& $phone->row(BodyWeightEntry => $weighing)->{deletedAt});
	$tablet->pull_changes;
	holds('the tablet too', $tablet->row(TrainingPlan => $alone)->{isLocked}
			&& !$tablet->row(BodyWeightEntry => $first));
	my ($more, $less) = $tablet->pull_changes;
	holds('and nothing comes twice', $more + $less == 0);
	return "an UPDATE and a DELETE of the backend reach both devices at their next pull";
};

step 'converged' => sub {
	my $count = () = $phone->rows;

	$fresh = device('fresh', $ENV{MAJA_TOKEN});
	$fresh->pull_changes;
	trace(sprintf '%-8s %5d rows  plan %s: %-20s locked: %s', $_->{name}, scalar(() = $_->rows),
			DemoDevice::short($contested), $_->row(TrainingPlan => $contested)->{name},
			$_->row(TrainingPlan => $alone)->{isLocked} ? 'yes' : 'no')
		for $phone, $tablet, $fresh;
	holds('phone and tablet are equal, row for row and column for column',
		$phone->state eq $tablet->state);
	holds('and equal to what a new device gets', $phone->state eq $fresh->state);
	return "phone, tablet and a new device hold the same $count rows, equal in every column";
};

step 'other athletes' => sub {
	$jonas->pull_changes;
	holds('Jonas has his own plans', scalar $jonas->rows('TrainingPlan'));
	holds("and none of Maja's", !grep { ($_->{athleteId} // '') eq $athlete } $jonas->rows);
	my $refused = $jonas->request(GET => "/api/v1/sync/pull?athleteId=$athlete", undef, 403);
	holds("asking for Maja's is refused", $refused->{error}{code} eq 'scope_not_allowed');
	$reply = $jonas->request(POST => '/api/v1/sync/push', { changes => { TrainingPlan => [ {
		id => $contested, athleteId => $athlete, name => 'mine now',
		date => DemoDevice::iso(time), updatedAt => DemoDevice::iso(time) } ] } });
	holds('and writing over one fails', $reply->{summary}{failed} == 1);
	return "Jonas gets no row of Maja's, cannot ask for them ($refused->{error}{code}) nor write them";
};

step 'their coach' => sub {
	my %whose;

	$ines->pull_changes;
	$whose{ $_->{athleteId} } = 1 for $ines->rows('TrainingPlan');
	holds('Ines, their coach, has the plans of both, and of nobody else',
		keys %whose == 2 && $whose{$athlete});
	backend("UPDATE athletes SET coach_id = (SELECT id FROM coaches WHERE name = 'Tomas Horak') WHERE id = '$athlete'");
	$ines->pull_changes;
	holds("and none of Maja's when Maja has changed to another coach", !of_maja($ines->rows));
	holds('but still those of Jonas', scalar $ines->rows('TrainingPlan'));
	$phone->pull_changes;
	holds("Maja's rows are as they were", $phone->state eq $fresh->state);
	return "Ines gets the plans of both, and loses Maja's when Maja changes coach";
};

step 'too long away' => sub {
	my ($edited, $untouched) = grep { $_ ne $weighing } reverse sort
		map { $_->{id} } $tablet->rows('BodyWeightEntry');

	$tablet->edit(BodyWeightEntry => $edited, $now - 10, weightKg => 65);
	backend("DELETE FROM body_weight_entries WHERE id IN ('$edited', '$untouched')");
	backend("SELECT tide.prune('0 s')");
	my $refused = $tablet->request(POST => '/api/v1/sync/push', $tablet->pending, 410);
	holds('its edit must not bring back what was deleted',
		$refused->{error}{code} eq 'resync_required');
	my (undef, $gone) = $tablet->pull_changes;
	holds('it starts over, and drops what it had not touched and what did not come again',
		$gone == 1 && !$tablet->row(BodyWeightEntry => $untouched));
	holds('its own edit is still there for Maja to decide on',
		$tablet->row(BodyWeightEntry => $edited));
	$tablet->discard(BodyWeightEntry => $edited);
	return "deletions are pruned, the tablet must start over ($refused->{error}{code}); its own edit is kept";
};

step 'equal again' => sub {
	$phone->pull_changes;
	holds('phone and tablet are equal again', $tablet->state eq $phone->state);
	return 'Maja discards that edit: phone and tablet hold the same rows';
};

# ---------------------------------------------------------------------------
# The same two devices with `tide`, which people can try: a file of SQLite each.

# A program that has to succeed; what it printed.
sub program
{
	my (@command) = @_;

	trace("\$ @command");
	open my $out, '-|', @command or die "$command[0]: $!\n";
	my $said = do { local $/; <$out> } // '';
	close $out or die "$command[0] exited with " . ($? >> 8) . ": $said\n";
	trace("  $_") for split /\n/, $said;
	chomp $said;
	return $said;
}

step 'SQLite files' => sub {
	my $tide = "$FindBin::Bin/../client/tide";
	my %file = map { $_ => "$directory/$_.db" } qw(phone tablet);

	{
		# what the devices may see is theirs alone
		my $mask = umask 077;
		open my $token, '>', "$directory/token" or die "$directory/token: $!\n";
		print {$token} "$ENV{MAJA_TOKEN}\n";
		close $token;
		# the progress is for terminals
		open my $errors, '>&', \*STDERR or die $!;
		open STDERR, '>', '/dev/null' or die $!;
		program($tide, 'clone', '--token-file', "$directory/token", $url, $_) for values %file;
		open STDERR, '>&', $errors or die $!;
		umask $mask;
	}
	program('sqlite3', $file{phone}, "UPDATE TrainingPlan SET name = 'by the sqlite3 shell' WHERE id = '$alone'");
	program($tide, 'sync', $file{phone});
	program($tide, 'sync', $file{tablet});
	holds("what the shell wrote into one file is in the other",
		program('sqlite3', $file{tablet}, "SELECT name FROM TrainingPlan WHERE id = '$alone'") eq 'by the sqlite3 shell');
	holds('and the files hold what the server holds',
		program($tide, 'verify', '--full', $file{phone}) eq "entity_type\tkey\tdifference");
	return "tide clones two files; what the sqlite3 shell writes into one arrives in the other";
};
