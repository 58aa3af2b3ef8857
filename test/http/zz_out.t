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

# Missing: a thread for each server that cancels.

# Missing: whether the primary answers anybody.

# Missing: room for the connections to replicas.

# Missing: the end of waiting for a replica when the gateway stops.

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
	my ($status, $slowest, $pulls) = (200, 0, 0);
	while ($status == 200 && Time::HiRes::time() < $until)
	{
		my $wait = $pulls++ % 100 == 99 ? 2 : 0;
		my $sent = Time::HiRes::time();
		$status = $gateway->pull($token, since => $cursor, wait => $wait)->{status};
		my $took = Time::HiRes::time() - $sent - $wait;
		$slowest = $took if $took > $slowest;
	}
	is $status, 200, "the replica serves, $pulls times";
	cmp_ok $pulls, '>', 30, 'at once, not at the next look';
	cmp_ok $slowest, '<', 2, 'in time';
	is $gateway->metric('replica_fallbacks_total{reason="behind"}'), $behind, 'and none goes on to the primary';
	kill CONT => @pids;
	wait_for_state($gateway, '200 serving');
	is $gateway->stop, 0;
};

# Missing: a lag as of the time when the primary was there.

# Missing: a timeline.

done_testing;
