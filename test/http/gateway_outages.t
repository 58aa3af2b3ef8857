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
my $database = $cluster->create_synced(<<'SQL');
CREATE TABLE note (id text PRIMARY KEY, user_id text NOT NULL, body text);
CREATE INDEX ON note (user_id, id);
SELECT tide.track('note', scope => 'user_id');
GRANT ALL ON note TO tide_user;
SQL
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

sub postmaster
{
	my ($server) = @_;
	open my $file, '<', "$server->{data}/postmaster.pid" or die $!;
	return 0 + <$file>;
}

# All of a server.
sub processes
{
	my ($server) = @_;
	my $postmaster = postmaster($server);
	return $postmaster, grep { (TideReplica::process_status($_))[1] == $postmaster } map { m{(\d+)} } glob '/proc/[0-9]*';
}

# Missing: a thread for each server that cancels.
subtest 'a client goes while a server takes no connection' => sub {
	my $gateway = wait_for_state(gateway($fake), '200 serving');
	my $pull = send_request($gateway, GET => '/api/v1/sync/pull?since=sleep:20');
	wait_for('it runs at the replica', 10, sub { return sleeping($standby) == 1 });
	kill STOP => postmaster($standby);
	close $pull;
	Time::HiRes::sleep(1);
	my $push = send_request($gateway, POST => '/api/v1/sync/push', { do => 'sleep:20' });
	wait_for('a push runs at the primary', 10, sub { return sleeping($cluster) == 1 });
	close $push;
	my $cancelled = eval { wait_for('its client goes, and it is cancelled', 5, sub { return sleeping($cluster) == 0 }) };
	kill CONT => postmaster($standby);
	ok $cancelled, 'a push whose client goes is cancelled' or diag $@;
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

done_testing;
