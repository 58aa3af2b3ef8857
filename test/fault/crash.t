# The server is killed, all of its processes at once.
#
# G4: what was acknowledged is there, and sending it again has no second
# effect, whether or not the reply arrived.
#
# G6: with synchronous_commit = off a crash loses transactions that were
# visible, and their ids are given out again.  A cursor that had seen them would
# take the new ones under these ids for seen.  So the WAL is flushed up to the
# cursor before it leaves: what it speaks of survives, and it goes on.
#
# Seen to fail without the XLogFlush in history.c: the transactions were gone, and
# the cursor was of a history that is lost.
use strict;
use warnings;

use FindBin ();
use lib $FindBin::Bin, "$FindBin::Bin/../property";
use Test::More;
use TideReplica ();
use TideSession ();
use TideTest qw(decode_json encode_json wait_for);
use Time::HiRes ();

# ---------- pushes ----------

my $cluster = TideTest::Cluster->start(settings => { autovacuum => 'off' });
my $database = $cluster->create_database;
$cluster->sql($database, $TideReplica::SCHEMA);

# Each push creates two rows.
my $id = 0;

sub next_push
{
	my ($stamp) = @_;
	my @rows = map { { id => ++$id, owner => 'u', v => $id, lastModifiedAt => $stamp } } 1, 2;
	return { rows => \@rows, sql => "SELECT tide.push('"
		  . encode_json({ clientId => 'phone', changes => { note => \@rows } }) . "')" };
}

sub statuses
{
	my ($output) = @_;
	my %count;
	for my $line (split /\n/, $output)
	{
		$count{ $_->{status} }++ for @{ decode_json($line)->{succeeded} };
	}
	return join ' ', map { "$_=$count{$_}" } sort keys %count;
}

for my $round (1 .. 3)
{
	my @sessions = map { TideSession->new($cluster->conninfo($database)) } 1 .. 3;
	my (@acknowledged, @in_doubt);
	my $deadline = Time::HiRes::time() + 60;

	$_->{push} = next_push('2020-01-01T00:00:00Z'), $_->send($_->{push}{sql}) for @sessions;
	while (@acknowledged < 60)
	{
		for my $session (grep { $_->done(0.001) } @sessions)
		{
			die $session->output if $session->error;
			push @acknowledged, $session->{push};
			$session->{push} = next_push('2020-01-01T00:00:00Z');
			$session->send($session->{push}{sql});
		}
		die "the pushes do not come to an end\n" if Time::HiRes::time() > $deadline;
	}
	TideReplica::kill_server($cluster);
	for my $session (@sessions)
	{
		my $output = $session->wait(30);
		push @{ $session->error ? \@in_doubt : \@acknowledged }, $session->{push};
	}
	$cluster->up or die "could not start the server again: $@";

	my %version = map { split /=/ } split /\n/,
	  $cluster->sql($database, "SELECT id || '=' || version FROM note");
	my @missing = grep { !$version{$_} } map { $_->{id} } map { @{ $_->{rows} } } @acknowledged;
	is("@missing", '', "round $round: each of " . @acknowledged . ' acknowledged pushes is there');

	my @torn = grep { defined $version{ $_->{rows}[0]{id} } != defined $version{ $_->{rows}[1]{id} } }
	  @in_doubt;
	is(scalar @torn, 0, "round $round: a push without a reply is there, whole, or not at all");

	is(statuses($cluster->sql($database, join ";\n", map { $_->{sql} } @acknowledged)),
		'unchanged=' . 2 * @acknowledged, "round $round: sent again, they were known");
	$cluster->sql($database, join ";\n", map { $_->{sql} } @in_doubt);
	is($cluster->sql($database, 'SELECT count(*), max(version), count(*) = max(id) FROM note'),
		"$id|1|t", "round $round: each row was written once");
}

# ---------- cursors ----------

$cluster->down;
open my $configuration, '>>', "$cluster->{data}/postgresql.conf" or die $!;
print {$configuration} "synchronous_commit = off\nwal_writer_delay = 10s\nwal_level = minimal\n"
  . "max_wal_senders = 0\n";
close $configuration;
$cluster->up or die $@;

sub counter
{
	return $cluster->sql($database, 'SELECT sum(v) FROM note WHERE id <= 20');
}

for my $round (1 .. 3)
{
	$cluster->sql($database,
		'SET synchronous_commit = on; UPDATE note SET v = 0 WHERE id <= 20; CHECKPOINT');
	my $session = TideSession->new($cluster->conninfo($database));
	my $replica = TideReplica->new->pull($cluster, $database);

	# transactions of which nothing is on disk but by their cursor: who writes WAL in
	# the background stands still
	kill STOP => $cluster->sql($database,
		"SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'");
	$session->query("UPDATE note SET v = $round WHERE id = $_") for 1 .. 20;
	$replica->pull($cluster, $database);
	is($replica->{items}, 20, "round $round: asynchronous commits are pulled");
	TideReplica::kill_server($cluster);
	$cluster->up or die $@;
	is(counter(), 20 * $round, "round $round: what the cursor speaks of survives the crash");

	# the same ids again, if they were lost, and more WAL than there was
	$session = TideSession->new($cluster->conninfo($database));
	$session->query("UPDATE note SET v = 100 + $_ WHERE id = 20 + $_") for 1 .. 40;
	$replica->pull($cluster, $database);
	is($replica->as_text, $replica->as_text($cluster, $database),
		"round $round: after the crash the replica is what the table holds");
	is($replica->{reset}, undef, "round $round: by the cursor of before");
}
done_testing();
