# The adversary of the digest: random steps of several writers, with transactions
# that stay open and savepoints, while replicas follow with kept cursors and ask
# for digests.
#
#   SECONDS=600 prove -Itest/lib test/property/digest.t     longer than usual
#   SEED=17 prove -v -Itest/lib test/property/digest.t      one run, again
#
# A digest is that of the rows which its own snapshot shows, in every bucket.  A
# replica that was pulled up to a cursor differs from it in no bucket but those
# that have moved since.  Once all is quiet and pulled, nothing differs, and
# nothing has moved.
#
# Each writer has rows of its own, so that none waits for another and a seed gives
# the same steps.
#
# Seen failing with nothing told of what moved; with what was running at the cursor
# left out of it.
use strict;
use warnings;
use utf8;

use FindBin ();
use lib $FindBin::Bin, "$FindBin::Bin/../lib";
use Test::More;
use TideDigest qw(digest_of digest_in buckets_that_differ);
use TideSession ();
use TideTest qw(decode_json);
use Time::HiRes ();

my $STEPS = $ENV{STEPS} // 200;
my $WRITERS = 4;
my @OWNERS = ('a', 'b', 'c');
my %KEY = (item => ['id'], doc => [ 'a', 'b' ], part => [ 'y', 'id' ], common => ['id']);
my @TYPES = sort keys %KEY;

binmode $_, ':utf8' for *STDOUT, *STDERR, Test::More->builder->failure_output;

my $cluster = $ENV{TIDE_TEST_CLUSTER} ? TideTest::Cluster->shared : TideTest::Cluster->start;
my $database = $cluster->create_database;
my $control = TideSession->new($cluster->conninfo($database));
$control->query('CREATE EXTENSION pg_tide');
my @writers = map { { number => $_, session => TideSession->new($cluster->conninfo($database)) } } 0 .. $WRITERS - 1;
my @replicas = (
	{ name => 'a', scopes => ['a'], types => \@TYPES },
	{ name => 'a and b', scopes => [ 'a', 'b' ], types => \@TYPES },
	{ name => 'items of c', scopes => ['c'], types => [ 'item', 'part' ] },
	{ name => 'all', scopes => undef, types => \@TYPES });
my ($value, $run);

sub pick { return $_[ int rand @_ ]; }

sub create_tables
{
	$control->query(<<'SQL');
CREATE TABLE item (id int PRIMARY KEY, owner text, v int);
CREATE TABLE doc (a int, b text, owner text, v int, PRIMARY KEY (a, b));
CREATE TABLE common (id bigint PRIMARY KEY, v int);
CREATE TABLE part (id int, y int, owner text, v int, PRIMARY KEY (y, id)) PARTITION BY LIST (y);
CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1);
CREATE TABLE part_2 PARTITION OF part FOR VALUES IN (2);
CREATE INDEX ON part (owner);
CREATE INDEX ON item (owner, id);
CREATE INDEX ON doc (owner, a, b);
INSERT INTO item SELECT i, (ARRAY['a', 'b', 'c'])[i % 3 + 1], 0 FROM generate_series(1, 12) i;
SELECT tide.track('item', scope => 'owner'), tide.track('doc', scope => 'owner'),
	tide.track('common', shared => true), tide.track('part', scope => 'owner');
SQL
	return;
}

# a write of rows that are this writer's: ids that leave its number
sub random_write
{
	my ($w) = @_;
	my $v = ++$value;
	my ($id, $other) = map { $_ * $WRITERS + $w->{number} } 1 + int rand 5, 1 + int rand 5;
	my $mine = "id % $WRITERS = $w->{number}";
	my $b = pick('x', 'y y', 'ü"\\\\');
	my $owner = pick(map({ "'$_'" } @OWNERS), 'NULL');
	my $sub = pick(@OWNERS);
	my $y = 1 + int rand 2;

	return pick(
		("INSERT INTO item VALUES ($id, $owner, $v) ON CONFLICT (id) DO UPDATE SET v = $v") x 2,
		"UPDATE item SET v = $v WHERE id = $id",
		"UPDATE item SET owner = $owner WHERE id = $id",
		"UPDATE item SET owner = $owner, v = $v WHERE id > $id AND $mine",
		"UPDATE item SET id = $other WHERE id = $id AND NOT EXISTS (SELECT FROM item WHERE id = $other)",
		"DELETE FROM item WHERE id = $id",
		("INSERT INTO doc VALUES ($id, E'\\t$b', $owner, $v) ON CONFLICT (a, b) DO UPDATE SET v = $v, owner = $owner") x 2,
		"DELETE FROM doc WHERE a = $id",
		"INSERT INTO common VALUES ($id, $v) ON CONFLICT (id) DO UPDATE SET v = $v",
		"DELETE FROM common WHERE id = $id",
		("INSERT INTO part VALUES ($id, $y, $owner, $v) ON CONFLICT (y, id) DO UPDATE SET v = $v, owner = $owner") x 2,
		"UPDATE part SET y = 3 - y WHERE id = $id AND NOT EXISTS (SELECT FROM part p WHERE p.id = $id AND p.y = 3 - part.y)",
		"DELETE FROM part_$y WHERE id = $id",
		"DO \$\$ BEGIN UPDATE item SET v = $v WHERE id = $id; RAISE division_by_zero; EXCEPTION WHEN division_by_zero THEN NULL; END \$\$",
		"SET LOCAL pg_tide.client_id = 'phone'; UPDATE item SET v = $v WHERE id = $id",
		"SELECT set_config('request.jwt.claims', '{\"sub\": \"$sub\"}', true); "
		  . "SELECT tide.push('{\"clientId\": \"phone\", \"changes\": {\"item\": [{\"id\": $id, \"owner\": \"$sub\", \"v\": $v, \"lastModifiedAt\": "
		  . (1.7e12 + $v) . "}, {\"id\": $other, \"deletedAt\": \"2040-01-01T00:00:00Z\"}]}}'); "
		  . "SELECT set_config('request.jwt.claims', '', true)",
		"SELECT tide.touch('item', '[$id, $other]')");
}

sub writer_step
{
	my ($w) = @_;
	my $sql = !$w->{open} ? (rand() < 0.4 ? 'BEGIN; ' . random_write($w) . '; COMMIT' : ($w->{open} = 'BEGIN'))
	  : rand() < 0.2 ? pick('COMMIT', 'COMMIT', 'ROLLBACK')
	  : rand() < 0.2 ? 'SAVEPOINT s; ' . random_write($w) . '; ' . pick('ROLLBACK TO s', 'RELEASE s')
	  : random_write($w);
	$w->{open} = undef if $sql =~ /^(?:COMMIT|ROLLBACK)$/;
	push @{ $run->{trace} }, "w$w->{number}: $sql";
	$w->{session}->query($sql);
	return;
}

# scopes and types as the functions take them
sub arguments
{
	my ($replica) = @_;
	return ($replica->{scopes} ? 'ARRAY[' . join(', ', map { "'$_'" } @{ $replica->{scopes} }) . ']' : 'NULL')
	  . ', ARRAY[' . join(', ', map { "'$_'" } @{ $replica->{types} }) . ']';
}

sub row_name { my ($type, $row) = @_; return join "\x1f", map { $row->{$_} } @{ $KEY{$type} }; }

sub pull
{
	my ($replica, $limit) = @_;
	push @{ $run->{trace} }, "pull $replica->{name}, limit $limit";
	my $since = defined $replica->{cursor} ? "'$replica->{cursor}'" : 'NULL';
	my $page = decode_json($control->query("SELECT tide.pull($since, " . arguments($replica) . ", $limit)"));
	for my $type (keys %{ $page->{changesByType} })
	{
		$replica->{rows}{$type}{ row_name($type, $_) } = $_ for @{ $page->{changesByType}{$type} };
	}
	for my $type (keys %{ $page->{deletedByType} })
	{
		delete $replica->{rows}{$type}{ row_name($type, $_) } for @{ $page->{deletedByType}{$type} };
	}
	@$replica{qw(cursor complete)} = ($page->{cursor}, !$page->{hasMore});
	return;
}

# A digest, against the replica and against all rows of its own snapshot.
sub verify
{
	my ($replica) = @_;
	push @{ $run->{trace} }, "verify $replica->{name}";
	my ($digest, $page) = map { decode_json($_) } split /\n/, $control->query(
		'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; '
		. "SELECT tide.digest('$replica->{cursor}', " . arguments($replica) . '); '
		. 'SELECT tide.pull(NULL, ' . arguments($replica) . ', 100000); COMMIT');
	my $moved = 0;
	for my $type (@{ $replica->{types} })
	{
		my $theirs = digest_in($digest->{digestByType}{$type});
		my %moved = map { ("$_" => 1) } @{ $digest->{moved}{$type} // [] };
		my $shown = digest_of($page->{changesByType}{$type} // [], key => $KEY{$type});
		my $mine = digest_of([ values %{ $replica->{rows}{$type} // {} } ], key => $KEY{$type});
		my @wrong = buckets_that_differ($shown, $theirs);
		die "$replica->{name}: $type is not what the snapshot shows, in buckets @wrong\n" if @wrong;
		@wrong = grep { !$moved{$_} } buckets_that_differ($mine, $theirs);
		die "$replica->{name}: $type differs in buckets @wrong, which have not moved\n" if @wrong;
		$moved += keys %moved;
	}
	$run->{verified}++;
	$run->{moved} += $moved;
	return $moved;
}

sub one_run
{
	my ($seed) = @_;
	srand $seed;
	$run = { trace => [], verified => 0, moved => 0 };
	create_tables();
	$_->{open} = undef for @writers;
	@$_{qw(rows cursor complete)} = ({}, undef, 0) for @replicas;
	my $good = eval {
		for (1 .. $STEPS)
		{
			my $replica = pick(@replicas);
			if (rand() < 0.6) { writer_step(pick(@writers)); }
			elsif (!$replica->{complete} || rand() < 0.4) { pull($replica, pick(1, 3, 10, 100)); }
			else { verify($replica); }
		}
		for my $w (grep { $_->{open} } @writers)
		{
			$w->{session}->query(pick('COMMIT', 'ROLLBACK'));
		}
		for my $replica (@replicas)
		{
			do { pull($replica, 100) } until $replica->{complete};
			verify($replica) and die "$replica->{name}: something moved, and nobody wrote\n";
		}
		1;
	};
	diag("SEED=$seed: $@", map { "  $_\n" } @{ $run->{trace} }) unless $good;
	$_->{session}->query('ROLLBACK') for $good ? () : @writers;
	$control->query('ROLLBACK; DROP TABLE item, doc, common, part');
	return $good;
}

my $first_seed = $ENV{SEED} || int rand 1_000_000;
my $end = Time::HiRes::time() + ($ENV{SECONDS} // 20);
my ($runs, $good, $verified, $moved) = (0, 0, 0, 0);
diag("SEED=$first_seed");
while (1)
{
	$runs++;
	last unless one_run($first_seed + $runs - 1);
	$good++;
	$verified += $run->{verified};
	$moved += $run->{moved};
	last if $ENV{SEED} || ($ENV{RUNS} ? $runs >= $ENV{RUNS} : Time::HiRes::time() > $end);
}
is $good, $runs, "$runs runs, $verified digests, in which $moved buckets had moved";
cmp_ok $moved, '>', 0, 'and some had' unless $ENV{SEED};
done_testing;
