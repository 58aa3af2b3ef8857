#!/usr/bin/env perl
#
# The story that `make demo` tells: an athlete has a phone and a tablet. Both
# sync, lose the network, edit different plans and the same plan, and come
# back in the wrong order. Exit status 0 only if every step went as told and
# all replicas ended equal.
#
#   demo-story.pl URL ATHLETE-ID DIRECTORY
#
# with MAJA_TOKEN, JONAS_TOKEN and INES_TOKEN in the environment, and psql
# connecting to the database as its owner. A device is a small JSON file in
# DIRECTORY and the class Device below, which is the whole of a client.

use strict;
use warnings;
use utf8;
use HTTP::Tiny;
use JSON::PP;
use POSIX qw(strftime);
use Time::HiRes qw(time);

my ($url, $athlete, $directory) = @ARGV;
my $json = JSON::PP->new->utf8->canonical;
my $text = JSON::PP->new->canonical;
my $bold = -t STDOUT ? "\e[1m" : '';
my $dim = -t STDOUT ? "\e[2m" : '';
my $plain = -t STDOUT ? "\e[0m" : '';

binmode STDOUT, ':utf8';
$| = 1;

sub chapter { print "\n$bold== $_[0]$plain\n" }
sub say_     { print "$_[0]\n" }

# The story ends here if it is not true.
sub holds
{
	my ($what, $true) = @_;

	print $true ? "   ✓ $what\n" : "   ✗ NOT SO: $what\n";
	exit 1 unless $true;
}

sub iso
{
	my $at = shift;

	return strftime('%Y-%m-%dT%H:%M:%S', gmtime $at) . sprintf '.%03dZ', ($at - int $at) * 1000;
}

sub uuid
{
	my @byte = map { int rand 256 } 1 .. 16;

	$byte[6] = $byte[6] & 0x0f | 0x40;
	$byte[8] = $byte[8] & 0x3f | 0x80;
	return sprintf '%02x' x 4 . ('-' . '%02x' x 2) x 3 . '-' . '%02x' x 6, @byte;
}

sub shortened
{
	my ($string, $length) = @_;

	return $string if length $string <= $length;
	return substr($string, 0, $length) . " … (" . length($string) . ' characters)';
}

# ---------------------------------------------------------------------------
# A device: rows by type and id, the ids of those it has edited, a cursor.

package Device;

sub new
{
	my ($class, $name, $token) = @_;

	return bless {
		name => $name, token => $token, online => 1,
		rows => {}, dirty => {}, cursor => undef,
		http => HTTP::Tiny->new(timeout => 30),
	}, $class;
}

# One request, printed with the beginning of its reply. Dies unless the status
# is as expected.
sub request
{
	my ($self, $method, $path, $body, $expected, $shown_length) = @_;
	my %option = (headers => { Authorization => "Bearer $self->{token}" });
	my $shown = $path;

	if ($body) {
		$option{content} = $json->encode($body);
		$option{headers}{'Content-Type'} = 'application/json';
	}
	$shown =~ s/(since=.{16})[^&]+/$1…/;
	print "$dim   $self->{name} → $method $shown$plain\n";
	print "$dim     ", main::shortened($text->encode($body), 240), "$plain\n" if $body;
	my $reply = $self->{http}->request($method, $url . $path, \%option);
	my $content = eval { $json->decode($reply->{content}) };
	print "$dim     ← $reply->{status} ",
		main::shortened($content ? $text->encode($content) : $reply->{content},
			$shown_length // 240), "$plain\n";
	die "the gateway said $reply->{status}, not " . ($expected // 200) . "\n"
		if $reply->{status} != ($expected // 200);
	return $content;
}

# Edit a row of one's own copy; the network does not matter. $when is what the
# device's clock says.
sub edit
{
	my ($self, $type, $id, $when, %field) = @_;
	my $row = $self->{rows}{$type}{$id} //= { id => $id };

	@$row{ keys %field } = values %field;
	$row->{updatedAt} = main::iso($when);
	$row->{clientId} = $self->{name};
	$self->{dirty}{$type}{$id} = 1;
	$self->save;
	print "   $self->{name} edits $type ", substr($id, 0, 8), ': ', $text->encode(\%field),
		' at ', substr($row->{updatedAt}, 11, 8), "\n";
	return $id;
}

# All that was edited, as whole rows: last write wins converges for those. The
# cursor says how long the device was away.
sub pending
{
	my $self = shift;
	my %changes;

	for my $type (keys %{ $self->{dirty} }) {
		for my $id (sort keys %{ $self->{dirty}{$type} }) {
			push @{ $changes{$type} }, { %{ $self->{rows}{$type}{$id} } };
		}
	}
	return { clientId => $self->{name}, cursor => $self->{cursor}, changes => \%changes };
}

# Push what is pending. A row that was stored, or that lost, is replaced by
# what the server says of it; one that failed stays dirty.
sub push_changes
{
	my ($self, $body) = @_;
	my $reply;

	$body //= $self->pending;
	$reply = $self->request(POST => '/api/v1/sync/push', $body);
	for my $done (@{ $reply->{succeeded} }) {
		$self->{rows}{ $done->{entityType} }{ $done->{entityId} } = $done->{entity};
		delete $self->{dirty}{ $done->{entityType} }{ $done->{entityId} };
		print "     $done->{entityType} ", substr($done->{entityId}, 0, 8), ": $done->{status}\n";
	}
	for my $bad (@{ $reply->{failed} }) {
		print "     $bad->{entityType} ", substr($bad->{entityId}, 0, 8),
			": failed, $bad->{errors}[0]{code} $bad->{errors}[0]{message}\n";
	}
	$self->save;
	return $reply;
}

# Pull page by page until there is no more. A row that is dirty here keeps
# its edit: the next push decides. When everything comes, without a cursor or
# after a reset, a clean row that does not come is gone.
sub pull_changes
{
	my ($self, $limit) = @_;
	my ($pages, $rows, $deletions) = (0, 0, 0);
	my $whole = !$self->{cursor};
	my %came;

	while (1) {
		my $page = $self->request(GET => '/api/v1/sync/pull?limit=' . ($limit // 500)
				. "&clientId=$self->{name}" . ($self->{cursor} ? "&since=$self->{cursor}" : ''),
			undef, 200, $pages ? 80 : 240);

		$pages++;
		if ($page->{reset}) {
			$whole = 1;
			%came = ();
			print "     reset, $page->{resetReason}: from the beginning\n";
		}
		$self->forget_scope($_) for @{ $page->{revokedScopes} };
		while (my ($type, $changed) = each %{ $page->{changesByType} }) {
			for my $row (@$changed) {
				$self->{rows}{$type}{ $row->{id} } = $row unless $self->{dirty}{$type}{ $row->{id} };
				$came{$type}{ $row->{id} } = 1;
				$rows++;
			}
		}
		while (my ($type, $gone) = each %{ $page->{deletedByType} }) {
			for my $row (@$gone) {
				delete $self->{rows}{$type}{ $row->{id} };
				$deletions++;
			}
		}
		$self->{cursor} = $page->{cursor};
		last unless $page->{hasMore};
	}
	$deletions += $self->drop_clean_but(\%came) if $whole;
	$self->save;
	print "     $self->{name} got $rows rows and $deletions deletions in $pages page(s)\n";
	return ($rows, $deletions, $pages);
}

# Rows of somebody whose rows this user may not sync any more.
sub forget_scope
{
	my ($self, $scope) = @_;

	print "     $scope is no longer this user's to see\n";
	for my $rows (values %{ $self->{rows} }) {
		delete @{$rows}{ grep { ($rows->{$_}{athleteId} // $_) eq $scope } keys %$rows };
	}
}

sub drop_clean_but
{
	my ($self, $came) = @_;
	my $dropped = 0;

	for my $type (keys %{ $self->{rows} }) {
		for my $id (keys %{ $self->{rows}{$type} }) {
			next if $came->{$type}{$id} || $self->{dirty}{$type}{$id};
			delete $self->{rows}{$type}{$id};
			$dropped++;
		}
	}
	return $dropped;
}

# The user does not want an edit any more.
sub discard
{
	my ($self, $type, $id) = @_;

	print "   $self->{name} discards its edit of $type ", substr($id, 0, 8), "\n";
	delete $self->{dirty}{$type}{$id};
	delete $self->{rows}{$type}{$id};
	$self->save;
}

sub row
{
	my ($self, $type, $id) = @_;

	return $self->{rows}{$type}{$id};
}

# A row by the value of a column, the first by id.
sub find
{
	my ($self, $type, $column, $value) = @_;
	my $rows = $self->{rows}{$type};
	my ($id) = grep { $rows->{$_}{$column} eq $value } sort keys %$rows;

	return $id // die "$self->{name} has no $type whose $column is $value\n";
}

# All rows, for comparison: by type and id, columns in order.
sub state_
{
	my $self = shift;

	return $json->encode({ map { $_ => $self->{rows}{$_} }
			grep { %{ $self->{rows}{$_} } } keys %{ $self->{rows} } });
}

sub count
{
	my $self = shift;
	my $count = 0;

	$count += keys %$_ for values %{ $self->{rows} };
	return $count;
}

sub file { return "$directory/$_[0]{name}.json" }

sub save
{
	my $self = shift;

	open my $file, '>', $self->file or die $self->file . ": $!\n";
	print $file $json->encode({ map { $_ => $self->{$_} } qw(rows dirty cursor) });
	close $file or die $self->file . ": $!\n";
}

package main;

# What the gym's own backend does: plain SQL, no word of sync.
sub backend
{
	my $statement = shift;

	print "   backend: $statement\n";
	system('psql', '-X', '-q', '-o', '/dev/null', '-v', 'ON_ERROR_STOP=1', '-c', $statement) == 0
		or die "psql failed\n";
}

sub status_of
{
	my ($reply, $id) = @_;
	my ($done) = grep { $_->{entityId} eq $id } @{ $reply->{succeeded} };

	return $done ? $done->{status} : 'failed';
}

# ---------------------------------------------------------------------------

my $phone = Device->new('phone', $ENV{MAJA_TOKEN});
my $tablet = Device->new('tablet', $ENV{MAJA_TOKEN});
my $now = time;

chapter('1. Maja signs in on two devices: the first pull reads everything of hers, page by page');
my ($rows, undef, $pages) = $phone->pull_changes;
holds("all of it is there: $rows rows in $pages pages", $rows > 3000 && $pages > 5);
$tablet->pull_changes;
holds('both devices hold the same rows', $phone->state_ eq $tablet->state_);
say_('   A device is a file: ' . $phone->file . ', ' . int((-s $phone->file) / 1024) . ' kB');

chapter('2. No network in the gym. Both are edited');
my $contested = $phone->find(TrainingPlan => name => 'Push 28');
my $alone = $phone->find(TrainingPlan => name => 'Pull 28');
my $weighing = $tablet->find(BodyWeightEntry => date => (sort map { $_->{date} }
		values %{ $tablet->{rows}{BodyWeightEntry} })[-1]);

$phone->edit(TrainingPlan => $contested, $now - 50, name => 'Push 28, heavy');
$phone->edit(TrainingPlan => $alone, $now - 45, name => 'Pull 28 with chains');
my $plan = $phone->edit(TrainingPlan => uuid(), $now - 40,
	athleteId => $athlete, name => 'Hotel room', date => iso($now), isLocked => JSON::PP::false);
my $exercise = $phone->edit(ExercisePlan => uuid(), $now - 40, athleteId => $athlete,
	trainingPlanId => $plan, position => 1, notes => undef,
	exerciseId => $phone->find(Exercise => name => 'Pull-up'));
my $set = $phone->edit(SetPlan => uuid(), $now - 40, athleteId => $athlete,
	exercisePlanId => $exercise, position => 1, reps => 8, weightKg => 0, rpe => 8);
my $slip = $phone->edit(SetPlan => uuid(), $now - 40, athleteId => $athlete,
	exercisePlanId => $exercise, position => 2, reps => 0, weightKg => 0, rpe => 8);
say_('   (0 repetitions: the database has a CHECK against that)');

$tablet->edit(TrainingPlan => $contested, $now - 20, name => 'Push 28, easy week');
$tablet->edit(BodyWeightEntry => $weighing, $now - 15, deletedAt => iso($now - 15));

chapter('3. The tablet, with the later edit, is back first');
my $reply = $tablet->push_changes;
holds('both of its changes are stored', $reply->{summary}{succeeded} == 2 && !$reply->{summary}{superseded});

chapter('4. The phone comes later with the older edit; children stand before parents in its request');
my $sent = $phone->pending;
$reply = $phone->push_changes($sent);
holds('the older edit of the same plan lost', status_of($reply, $contested) eq 'superseded');
holds('and the version that stands came back with the reply',
	$phone->row(TrainingPlan => $contested)->{name} eq 'Push 28, easy week');
holds('the new plan, its exercise and its set are stored',
	!grep { status_of($reply, $_) ne 'applied' } $plan, $exercise, $set, $alone);
holds('the bad set failed alone, and the reply says why: '
		. ($reply->{failed}[0]{errors}[0]{constraint} // ''),
	$reply->{summary}{failed} == 1 && $reply->{failed}[0]{entityId} eq $slip);

chapter('5. The reply might have been lost: the same request again does nothing');
delete $sent->{changes}{SetPlan};
my $again = $phone->request(POST => '/api/v1/sync/push', $sent);
holds('what was stored is unchanged, what lost has lost',
	!grep { $_->{status} ne ($_->{entityId} eq $contested ? 'superseded' : 'unchanged') }
		@{ $again->{succeeded} });

chapter('6. Maja corrects the bad set and pushes it again');
$phone->edit(SetPlan => $slip, time, reps => 6);
$reply = $phone->push_changes;
holds('stored', status_of($reply, $slip) eq 'applied');

chapter("7. Meanwhile the gym's backend writes plain SQL");
my ($first) = grep { $_ ne $weighing } sort keys %{ $phone->{rows}{BodyWeightEntry} };
backend("UPDATE training_plans SET is_locked = true WHERE id = '$alone'");
backend("DELETE FROM body_weight_entries WHERE id = '$first'");

chapter('8. Both pull from where their cursors are');
my ($more, $gone) = $phone->pull_changes;
holds("the phone got the tablet's and the backend's changes: $more rows, $gone deletion",
	$more >= 2 && $gone == 1 && $phone->row(BodyWeightEntry => $weighing)->{deletedAt});
$tablet->pull_changes;
$tablet->pull_changes;

chapter('9. Do they agree? A third, new device pulls everything and is the judge');
my $fresh = Device->new('fresh', $ENV{MAJA_TOKEN});
$fresh->pull_changes;
printf "   %-8s %5d rows  plan %s: %-20s locked: %s\n", $_->{name}, $_->count,
	substr($contested, 0, 8), $_->row(TrainingPlan => $contested)->{name},
	$_->row(TrainingPlan => $alone)->{isLocked} ? 'yes' : 'no'
	for $phone, $tablet, $fresh;
holds('phone and tablet are equal, row for row and column for column',
	$phone->state_ eq $tablet->state_);
holds('and equal to what a new device gets', $phone->state_ eq $fresh->state_);

chapter('10. And nobody else sees any of it, but her coach');
my $jonas = Device->new('jonas', $ENV{JONAS_TOKEN});
$jonas->pull_changes;
holds("Jonas has his own plans, none of Maja's",
	%{ $jonas->{rows}{TrainingPlan} }
		&& !grep { ($_->{athleteId} // '') eq $athlete } map { values %$_ } values %{ $jonas->{rows} });
my $refused = $jonas->request(GET => "/api/v1/sync/pull?athleteId=$athlete", undef, 403);
holds("asking for Maja's is refused: $refused->{error}{code}", $refused->{error}{code} eq 'scope_not_allowed');
$reply = $jonas->request(POST => '/api/v1/sync/push', { changes => { TrainingPlan =>
	[ { id => $contested, athleteId => $athlete, name => 'mine now', date => iso(time), updatedAt => iso(time) } ] } });
holds('and writing over it fails', $reply->{summary}{failed} == 1);
my $ines = Device->new('ines', $ENV{INES_TOKEN});
$ines->pull_changes;
my %whose = map { ($_->{athleteId} => 1) } values %{ $ines->{rows}{TrainingPlan} };
holds('Ines, their coach, has the plans of both, and of nobody else', keys %whose == 2 && $whose{$athlete});
backend("UPDATE athletes SET coach_id = (SELECT id FROM coaches WHERE name = 'Tomas Horak') WHERE id = '$athlete'");
$ines->pull_changes;
holds('and none of Maja\'s when Maja has changed to another coach',
	!grep { ($_->{athleteId} // $_->{id}) eq $athlete } map { values %$_ } values %{ $ines->{rows} });
$phone->pull_changes;
holds('Maja\'s plan is as it was', $phone->state_ eq $fresh->state_);

chapter('11. The tablet lies in a drawer for longer than the database remembers deletions');
my ($edited, $untouched) = grep { $_ ne $weighing } reverse sort keys %{ $tablet->{rows}{BodyWeightEntry} };
$tablet->edit(BodyWeightEntry => $edited, $now - 10, weightKg => 65);
backend("DELETE FROM body_weight_entries WHERE id IN ('$edited', '$untouched')");
backend("SELECT tide.prune('0 s')");
$refused = $tablet->request(POST => '/api/v1/sync/push', $tablet->pending, 410);
holds("its edit must not bring back what was deleted: $refused->{error}{code}",
	$refused->{error}{code} eq 'resync_required');
(undef, $gone) = $tablet->pull_changes;
holds('it starts over, and drops what it had not touched and what did not come again',
	$gone == 1 && !$tablet->row(BodyWeightEntry => $untouched));
holds('its own edit is still there for Maja to decide on', $tablet->row(BodyWeightEntry => $edited));
$tablet->discard(BodyWeightEntry => $edited);
$phone->pull_changes;
holds('phone and tablet are equal again', $tablet->state_ eq $phone->state_);

print "\n${bold}Converged.$plain\n";
