# The power of the primary goes while a device pushes and pulls through two
# gateways; the standby takes over, and what was the primary comes back as its
# standby.  Time and again: FAILOVERS=20, and SEED=17 for those of one run.
#
# With synchronous replication nothing that was acknowledged is lost, and a pull
# sees all that its device was acknowledged, also while there is no primary.
# Without it something may be lost, and whoever has seen it is told by a reset.
#
# Nobody tells the gateways: they have both servers in database-url, and both in
# replica-url.
use strict;
use warnings;

use FindBin ();
use lib $FindBin::Bin, "$FindBin::Bin/../lib";
use File::Temp ();
use HTTP::Tiny ();
use POSIX ();
use Test::More;
use TideReplica ();
use TideTest qw(wait_for decode_json encode_json apply_page);
use Time::HiRes ();

my $FAILOVERS = $ENV{FAILOVERS} // 3;
my $seed = $ENV{SEED} // int rand 1_000_000;
note "seed $seed";
srand $seed;

my $cluster = TideTest::Cluster->start(settings => { wal_receiver_status_interval => "'1s'" });
TideReplica::skip_without_standbys($cluster);
my $database = $cluster->create_synced($TideReplica::NOTES);
my ($primary, $standby) = ($cluster, TideReplica::standby($cluster));

my %settings = (
	'database-url' => "postgresql://tide_gateway\@127.0.0.1:$primary->{port},127.0.0.1:$standby->{port}/$database?target_session_attrs=read-write",
	'replica-url' => join(' ; ', map { $_->conninfo($database, 'tide_gateway') } $primary, $standby),
	'metrics-listen' => '127.0.0.1:0', 'maintain-interval' => 0);
my @gateways = map { TideTest::Gateway->start(database_url => '', settings => \%settings)->wait_until_ready } 1 .. 2;
my $token = $gateways[0]->token('ann');

sub synchronous
{
	my ($commit) = @_;
	wait_for('the standby follows', 30, sub {
		return $primary->sql('postgres', 'SELECT count(*) FROM pg_stat_replication') eq 1; });
	$primary->sql('postgres', "ALTER SYSTEM SET synchronous_commit = $commit");
	$primary->set_synchronous_standbys('*');
	wait_for('it is synchronous', 30, sub {
		return $primary->sql('postgres', 'SELECT max(sync_state) FROM pg_stat_replication') eq 'sync'; });
	return;
}

sub asynchronous { $primary->set_synchronous_standbys(''); return; }

# The standby takes over, and waits for no standby of its own.
sub fail_over
{
	TideReplica::kill_server($primary);
	$standby->control('promote') or die $@;
	($primary, $standby) = ($standby, $primary);
	asynchronous();
	return;
}

sub serving
{
	return grep { ($_->{state} // '') eq 'serving' } map { @{ $_->get('/ready')->{json}{replicas} // [] } } @gateways;
}

# ---------- a device, in a process of its own ----------

sub any_gateway { return $gateways[ int rand @gateways ]; }

# All pages since its cursor; false: try again.
sub pull_all
{
	my ($device) = @_;
	my @acks = @{ $device->{acks} };
	while (1)
	{
		my $reply = any_gateway()->pull($token, limit => 50, $device->{cursor} ? (since => $device->{cursor}) : (),
			@acks ? (ack => \@acks) : ());
		return 0 if $reply->{status} == 503;
		die "a pull got $reply->{status}: $reply->{content}\n" if $reply->{status} != 200;
		my $page = $reply->{json};
		if ($page->{reset})
		{
			$device->{resets}++;
			$device->{copy} = { note => {} };
		}
		apply_page($device->{copy}, $page);
		$device->{cursor} = $page->{cursor};
		last unless $page->{hasMore};
	}
	$device->{acks} = [];
	my @missing = grep { !$device->{copy}{note}{$_} } @{ $device->{acknowledged} };
	die "a pull misses what was acknowledged: @missing\n" if @missing;
	return 1;
}

sub push_next
{
	my ($device) = @_;
	my $note = $device->{next} //= { id => 'note ' . ++$device->{number}, body => 'x' };
	my $reply = any_gateway()->push_changes($token, { clientId => 'phone', changes => { note => [$note] } });
	return 0 if $reply->{status} == 503;
	die "a push got $reply->{status}: $reply->{content}\n" if $reply->{status} != 200;
	push @{ $device->{acknowledged} }, $note->{id};
	push @{ $device->{acks} }, $reply->{json}{ack};
	$device->{copy}{note}{ $note->{id} } = $reply->{json}{succeeded}[0]{entity};
	$device->{next} = undef;
	return 1;
}

sub use_device
{
	my ($file, $progress) = @_;
	my $device = { copy => { note => {} }, acks => [], acknowledged => [], resets => 0, number => 0 };
	my ($ends, $test) = (0, getppid);
	local $SIG{TERM} = sub { $ends = 1 };
	$_->{http} = HTTP::Tiny->new(timeout => 60, keep_alive => 1) for @gateways;
	my $good = eval {
		# a test that died has nobody left to end this
		until ($ends || getppid != $test)
		{
			my $done = rand() < 0.6 || @{ $device->{acks} } > 20 ? pull_all($device) : push_next($device);
			Time::HiRes::usleep(20_000) unless $done;
			open my $out, '>', $progress or die $!;
			print {$out} scalar @{ $device->{acknowledged} };
			close $out;
		}
		wait_for('the last pull', 60, sub { return pull_all($device); });
	};
	$device->{problem} = $@ unless $good;
	open my $out, '>', $file or die $!;
	print {$out} encode_json($device);
	close $out;
	POSIX::_exit(0);
}

# ---------- synchronous ----------

subtest "$FAILOVERS failovers of a synchronous pair" => sub {
	my $file = File::Temp->new;
	my $progress = File::Temp->new;
	my $pid = fork // die $!;
	use_device($file->filename, $progress->filename) if $pid == 0;
	my $acknowledged = sub {
		open my $in, '<', $progress->filename or return 0;
		return <$in> || 0;
	};
	for my $round (1 .. $FAILOVERS)
	{
		my $commit = $round % 2 ? 'on' : 'remote_apply';
		synchronous($commit);
		wait_for('a replica serves', 30, sub { return serving() > 0; });
		my $before = $acknowledged->();
		wait_for('pushes go on', 30, sub { return $acknowledged->() > $before + 5; });
		Time::HiRes::usleep(int rand 300_000);
		fail_over();
		$before = $acknowledged->();
		ok eval { wait_for('pushes go on', 60, sub { return $acknowledged->() > $before + 5; }); },
		  "failover $round, synchronous_commit = $commit: pushes go on" or last;
		TideReplica::rejoin($standby, $primary);
	}
	kill TERM => $pid;
	waitpid $pid, 0;
	open my $in, '<', $file->filename or die $!;
	my $device = decode_json(<$in>);
	is $device->{problem}, undef, 'no pull misses anything' or return;
	my %has = map { ($_ => 1) } split /\n/, $primary->sql($database, 'SELECT id FROM note');
	is_deeply [ grep { !$has{$_} } @{ $device->{acknowledged} } ], [], 'nothing that was acknowledged is lost';
	is_deeply [ sort keys %{ $device->{copy}{note} } ], [ sort keys %has ], 'the device holds what the table holds';
	note scalar(@{ $device->{acknowledged} }) . " pushes, $device->{resets} resets";
};

# ---------- asynchronous ----------

subtest 'a failover with loss' => sub {
	asynchronous();
	wait_for('the standby follows', 30, sub {
		return $primary->sql('postgres', 'SELECT count(*) FROM pg_stat_replication') eq 1; });
	TideReplica::wait_for_standby($primary, $standby);
	my $cursor = $gateways[0]->pull_pages($token) ? ($gateways[0]->pull_pages($token))[-1]{cursor} : undef;
	$standby->sql('postgres', q{ALTER SYSTEM SET primary_conninfo = ''});
	$standby->sql('postgres', 'SELECT pg_reload_conf()');
	wait_for('it receives no more', 30, sub {
		return $standby->sql('postgres', 'SELECT count(*) FROM pg_stat_wal_receiver') eq 0; });
	is $gateways[0]->push_changes($token, { changes => { note => [ { id => 'lost', body => 'x' } ] } })->{status}, 200,
	  'a push is acknowledged';
	my $page = $gateways[1]->pull($token, since => $cursor)->{json};
	is_deeply [ map { $_->{id} } @{ $page->{changesByType}{note} } ], ['lost'], 'somebody has seen it';
	fail_over();
	my $reply = wait_for('pulls go on', 60, sub {
		my $pull = $gateways[1]->pull($token, since => $page->{cursor}, limit => 500);
		return $pull->{status} == 200 && $pull;
	});
	ok $reply->{json}{reset}, 'it is told' or diag $reply->{content};
	is $reply->{json}{resetReason}, 'history_lost', 'and why';
	ok !(grep { $_->{id} eq 'lost' } @{ $reply->{json}{changesByType}{note} }), 'what was lost does not come';
	wait_for('a push is taken', 30, sub {
		return $gateways[0]->push_changes($token, { changes => { note => [ { id => 'lost', body => 'again' } ] } })->{status} == 200; });
	is $primary->sql($database, q{SELECT body FROM note WHERE id = 'lost'}), 'again', 'and may be pushed again';
	ok !$gateways[0]->pull($token, since => $cursor)->{json}{reset}, 'a cursor from before the loss goes on';
};

is $_->stop, 0, 'a gateway ends with status 0' for @gateways;
done_testing;
