# Servers that hang, are full, or are left behind by a failover: what a gateway
# with replicas serves meanwhile, and from where.
#
# Seen to fail: each subtest names what was missing.
use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/../fault", "$FindBin::Bin/../property";
use HTTP::Tiny ();
use IO::Socket::INET ();
use POSIX ();
use Test::More;
use TideReplica ();
use TideSession ();
use TideTest qw(wait_for encode_json in_background finished);
use Time::HiRes ();

my $cluster = TideTest::Cluster->start;
TideReplica::skip_without_standbys($cluster);
my $fake = $cluster->create_fake;
my $database = $cluster->create_synced($TideReplica::NOTES);
my ($standby, $other) = map { TideReplica::standby($cluster, "cluster_name = '$_'\n") } 'first', 'second';

sub gateway
{
	my ($where, %setting) = @_;
	return TideTest::Gateway->start(cluster => $cluster, database => $where,
		settings => { 'replica-url' => $standby->conninfo($where, 'tide_gateway'),
			'metrics-listen' => '127.0.0.1:0', 'maintain-interval' => 0, %setting });
}

sub state
{
	my ($gateway) = @_;
	my $reply = $gateway->get('/ready');
	return join ' ', $reply->{status}, map { $_->{state} } @{ $reply->{json}{replicas} // [] };
}

sub wait_for_state
{
	my ($gateway, $state) = @_;
	wait_for("/ready says $state", 30, sub { return state($gateway) eq $state });
	wait_for('the replica is connected', 10, sub { return $gateway->metric('replica_connections{replica="1"}') > 0 });
	return $gateway;
}

sub reads { return $_[0]->metric(qq(reads_total{server="$_[1]"})) }
sub ids { return join ' ', sort map { $_->{id} } @{ $_[0]{json}{changesByType}{note} // [] } }

# A request on a connection of its own, without waiting for the reply.
sub send_request
{
	my ($gateway, $method, $target, $body) = @_;
	my $text = defined $body ? encode_json($body) : '';
	my $socket = IO::Socket::INET->new(PeerHost => '127.0.0.1', PeerPort => $gateway->{port}) or die "could not connect: $!";
	print {$socket} "$method $target HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " . $gateway->token('ann') . "\r\n"
	  . (defined $body ? "Content-Type: application/json\r\nContent-Length: " . length($text) . "\r\n" : '') . "\r\n$text";
	$socket->flush;
	return $socket;
}

# Sleeping statements of requests.
sub sleeping { return $_[0]->sql($fake, q{SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND usename = 'tide_gateway'}) }

# Missing: the end of what runs at a replica that does not answer any more.
subtest 'a replica that hangs while it is asked' => sub {
	my $gateway = wait_for_state(gateway($fake, 'request-timeout' => 15), '200 serving');
	my $token = $gateway->token('ann');
	is $gateway->pull($token)->{status}, 200, 'a pull' for 1 .. 2;
	is reads($gateway, 'replica-1'), 2, 'is the replica\'s';
	# it runs there for sure, and does not end before the replica is stopped
	my $socket = send_request($gateway, 'GET', '/api/v1/sync/pull?since=sleep:3');
	wait_for('it runs at the replica', 10, sub { return sleeping($standby) == 1 });
	my @pids = split /\s+/, $standby->sql($fake, q{SELECT pid FROM pg_stat_activity WHERE usename = 'tide_gateway'});
	kill STOP => @pids;
	my $begun = Time::HiRes::time();
	like scalar(<$socket>), qr{^HTTP/1\.1 200 }, 'one that it does not answer';
	cmp_ok Time::HiRes::time() - $begun, '<', 11, 'is the primary\'s soon';
	is reads($gateway, 'primary'), 1;
	kill CONT => @pids;
	is $gateway->stop, 0;
};

# Missing: a thread for each server that cancels.
subtest 'a client goes while a server takes no connection' => sub {
	my $gateway = wait_for_state(gateway($fake), '200 serving');
	my $pull = send_request($gateway, GET => '/api/v1/sync/pull?since=sleep:20');
	wait_for('it runs at the replica', 10, sub { return sleeping($standby) == 1 });
	kill STOP => (TideReplica::processes($standby))[0];
	close $pull;
	Time::HiRes::sleep(1);
	my $push = send_request($gateway, POST => '/api/v1/sync/push', { do => 'sleep:20' });
	wait_for('a push runs at the primary', 10, sub { return sleeping($cluster) == 1 });
	close $push;
	my $cancelled = eval { wait_for('its client goes, and it is cancelled', 5, sub { return sleeping($cluster) == 0 }) };
	kill CONT => (TideReplica::processes($standby))[0];
	ok $cancelled, 'a push whose client goes is cancelled' or diag $@;
	is $gateway->stop, 0;
};

# Missing: whether the primary answers anybody.
subtest 'a primary that lets no more sessions in' => sub {
	my $gateway = wait_for_state(gateway($database, 'db-connections' => 2), '200 serving');
	my $token = $gateway->token('ann');
	my $pause = TideSession->new($standby->conninfo($database));
	my $cursor = ($gateway->pull_pages($token))[-1]{cursor};
	wait_for('both threads are connected', 10, sub { return $gateway->metric('database_connections') == 2 });
	$cluster->sql($database, q{ALTER ROLE tide_gateway CONNECTION LIMIT 2});
	$pause->query('SELECT pg_wal_replay_pause()');
	wait_for('replay stands still', 10, sub { return $pause->query('SELECT pg_get_wal_replay_pause_state()') eq 'paused' });
	$cluster->sql($database, q{SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name ~ 'tide-gateway-(ready|watch)'});
	wait_for('it cannot be looked at', 10, sub { return $gateway->get('/ready')->{status} == 503 });
	is $gateway->push_changes($token, { changes => { note => [ { id => 'full' } ] } })->{status}, 200, 'a push is stored';
	is ids($gateway->pull($token, since => $cursor)), 'full', 'and seen';
	$pause->query('SELECT pg_wal_replay_resume()');
	$pause->finish;
	$cluster->sql($database, q{ALTER ROLE tide_gateway CONNECTION LIMIT -1});
	is $gateway->stop, 0;
};

# Its postmaster stands still, so that an attempt to connect ends as with one that is
# away.  Missing: whether the thread that looks still has its answers.
subtest 'a primary that is slow to let sessions in' => sub {
	my $gateway = wait_for_state(gateway($database, 'db-connections' => 2), '200 serving');
	my $token = $gateway->token('ann');
	my ($pause, $primary) = map { TideSession->new($_->conninfo($database)) } $standby, $cluster;
	my $cursor = ($gateway->pull_pages($token))[-1]{cursor};
	wait_for('both threads are connected', 10, sub { return $gateway->metric('database_connections') == 2 });
	$pause->query('SELECT pg_wal_replay_pause()');
	wait_for('replay stands still', 10, sub { return $pause->query('SELECT pg_get_wal_replay_pause_state()') eq 'paused' });
	my $postmaster = (TideReplica::processes($cluster))[0];
	kill STOP => $postmaster;
	$primary->query(q{SELECT pg_terminate_backend(min(pid)) FROM pg_stat_activity WHERE application_name = 'tide-gateway'});
	wait_for('an attempt to connect has failed', 15, sub { return $gateway->log =~ /event=connect-failed reason=database-away/ });
	is $gateway->metric('database_connections'), 1, 'one thread has no connection';
	is $gateway->push_changes($token, { changes => { note => [ { id => 'slow' } ] } })->{status}, 200, 'a push is stored by the other';
	is ids($gateway->pull($token, since => $cursor)), 'slow', 'and seen';
	kill CONT => $postmaster;
	$pause->query('SELECT pg_wal_replay_resume()');
	$_->finish for $pause, $primary;
	is $gateway->stop, 0;
};

# Missing: room for the connections to replicas.
subtest 'descriptors' => sub {
	my $script = File::Temp->new(SUFFIX => '.sh');
	print {$script} "#!/bin/sh\nulimit -n 1024\nexec " . TideTest::Gateway::program() . qq( "\$@"\n);
	close $script;
	chmod 0755, $script->filename;
	my %lowered;
	for my $connections (1, 80)
	{
		local $ENV{TIDE_TEST_GATEWAY} = $script->filename;
		my $gateway = gateway($fake, 'replica-connections' => $connections);
		($lowered{$connections}) = $gateway->log =~ /max-connections-lowered to=(\d+)/;
		delete $ENV{TIDE_TEST_GATEWAY};
		is $gateway->stop, 0;
	}
	is $lowered{1} - $lowered{80}, 79, 'those to replicas are not taken by clients';
};

# Missing: the end of waiting for a replica when the gateway stops.
subtest 'a stop while a replica is waited for' => sub {
	my $gateway = wait_for_state(gateway($database, 'replica-wait' => 40, 'replica-max-lag' => 60, 'shutdown-timeout' => 5), '200 serving');
	my $token = $gateway->token('ann');
	my $cursor = ($gateway->pull_pages($token))[-1]{cursor};
	my $pause = TideSession->new($standby->conninfo($database));
	$pause->query('SELECT pg_wal_replay_pause()');
	wait_for('replay stands still', 10, sub { return $pause->query('SELECT pg_get_wal_replay_pause_state()') eq 'paused' });
	is $gateway->push_changes($token, { changes => { note => [ { id => 'stop' } ] } })->{status}, 200, 'a push';
	my $job = in_background($gateway, sub { return $gateway->pull($token, since => $cursor) });
	wait_for('a pull waits for the replica', 10, sub { return $gateway->metric('queued_requests') == 1 });
	$gateway->signal('TERM');
	my $reply = finished($job);
	is "$reply->{status} " . ids($reply), '200 stop', 'and is answered';
	is $gateway->wait_until_stopped, 0;
	$pause->query('SELECT pg_wal_replay_resume()');
	$pause->finish;
};

# Missing: a thread for each server that cancels what runs at the end. The one that stops
# the gateway hung with the primary, and was ended by its alarm; what ran at the replica
# was cancelled by nobody.
subtest 'a stop while the primary hangs' => sub {
	my $gateway = wait_for_state(gateway($fake, 'shutdown-timeout' => 3), '200 serving');
	$gateway->token('ann');
	my $pull = send_request($gateway, GET => '/api/v1/sync/pull?since=sleep:25');
	wait_for('it runs at the replica', 10, sub { return sleeping($standby) == 1 });
	my $push = send_request($gateway, POST => '/api/v1/sync/push', { do => 'sleep:25' });
	wait_for('a push runs at the primary', 10, sub { return sleeping($cluster) == 1 });
	my @pids = TideReplica::processes($cluster);
	kill STOP => @pids;
	$gateway->signal('TERM');
	my $status = $gateway->wait_until_stopped;
	kill CONT => @pids;
	is $status, 0, 'ends';
	like scalar(<$pull>), qr{^HTTP/1\.1 503 }, 'what runs at the replica is cancelled, and answered';
	is scalar(<$push>), undef, 'what hangs with the primary is not';
	$gateway->log_says(qr/event=stopped unfinished=yes/, 'which the log tells');
};

# Missing: an end of the wait for the primary's position while an attempt to connect
# hangs; a thread of its own for the ends of waits; a read that comes before it is known
# that the primary hangs, which went there after its time at the replica, and was 503
# at its deadline.
subtest 'a primary that hangs' => sub {
	# less than an attempt to look at the primary takes; threads that are connected leave all attempts to it
	my $gateway = wait_for_state(gateway($database, 'replica-wait' => 0.5, 'db-connections' => 2), '200 serving');
	wait_for('both threads are connected', 10, sub { return $gateway->metric('database_connections') == 2 });
	my $token = $gateway->token('ann');
	my $cursor = ($gateway->pull_pages($token))[-1]{cursor};
	TideReplica::wait_for_standby($cluster, $standby);
	my @pids = TideReplica::processes($cluster);
	my $behind = $gateway->metric('replica_fallbacks_total{reason="behind"}');
	kill STOP => @pids;
	is $gateway->pull($token, since => $cursor)->{status}, 200, 'a read that comes at once';
	is $gateway->metric('replica_fallbacks_total{reason="behind"}'), $behind, 'does not go there';
	# an attempt hangs for 5 seconds and pauses for at most 3: for so long that one begins meanwhile, and hangs
	my $until = Time::HiRes::time() + 9;
	my ($status, $slowest, $pulls, $slow) = (200, 0, 0, 0);
	while ($status == 200 && Time::HiRes::time() < $until)
	{
		my $wait = $pulls++ % 100 == 99 ? 2 : 0;
		my $sent = Time::HiRes::time();
		$status = $gateway->pull($token, since => $cursor, wait => $wait)->{status};
		my $took = Time::HiRes::time() - $sent - $wait;
		$slowest = $took if $took > $slowest;
		$slow++ if $took > 0.4;
	}
	is $status, 200, "the replica serves, $pulls times";
	cmp_ok $slow, '<=', 2, 'at once, not at the next look';
	cmp_ok $slowest, '<', 2, 'in time';
	is $gateway->metric('replica_fallbacks_total{reason="behind"}'), $behind, 'and none goes on to the primary';
	kill CONT => @pids;
	wait_for_state($gateway, '200 serving');
	is $gateway->stop, 0;
};

# Missing: a lag as of the time when the primary was there.
subtest 'the primary dies before it has sent all' => sub {
	my $gateway = wait_for_state(gateway($database), '200 serving');
	my $token = $gateway->token('ann');
	TideReplica::wait_for_standby($cluster, $_) for $standby, $other;
	kill STOP => $cluster->sql('postgres', q{SELECT pid FROM pg_stat_replication WHERE application_name = 'first'});
	# what one standby never gets, and the other one does: see below
	$cluster->sql($database, q{INSERT INTO note SELECT 'lost' || n, 'bob', repeat('x', 1000) FROM generate_series(1, 5000) n});
	$cluster->sql($database, q{INSERT INTO note VALUES ('lost', 'ann', 'x')});
	TideReplica::wait_for_standby($cluster, $other);
	wait_for('the gateway has seen it', 10, sub { return $gateway->metric('replica_lag_bytes{replica="1"}') > 1_000_000 });
	wait_for('the replica is too far behind', 10, sub { return state($gateway) eq '200 behind' });
	TideReplica::kill_server($cluster);
	wait_for('/ready says so', 10, sub { return $gateway->get('/ready')->{status} == 503 });
	Time::HiRes::sleep(3);
	is $gateway->pull($token)->{status}, 200, "the replica serves alone, pull $_" for 1 .. 3;
	is $gateway->stop, 0;
};

# Missing: a timeline.
subtest 'a standby that was ahead of the one that took over' => sub {
	$standby->control('promote') or die $@;
	my $gateway = gateway($database, 'replica-url' => $other->conninfo($database, 'tide_gateway'), 'replica-max-lag' => 60,
		'database-url' => $standby->conninfo($database, 'tide_gateway'));
	$gateway->wait_until_ready;
	my $token = $gateway->token('ann');
	Time::HiRes::sleep(2);
	note state($gateway);
	is $gateway->push_changes($token, { changes => { note => [ { id => 'kept' } ] } })->{status}, 200, 'a push';
	for (1 .. 3)
	{
		my $page = $gateway->pull($token);
		like ids($page), qr/\bkept\b/, 'is seen';
		unlike ids($page), qr/\blost\b/, 'and nothing of the history that is lost';
	}
	is reads($gateway, 'replica-1'), 0, 'the standby of that history is not asked';
	is $gateway->stop, 0;
};

done_testing;
