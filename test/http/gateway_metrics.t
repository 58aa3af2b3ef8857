# /metrics on an address of its own, in the text format of Prometheus.
#
# Seen failing: without measure_request(); with the buckets not summed up; with
# request->path as the label (which is whatever a client has sent).
use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/../property";
use HTTP::Tiny ();
use IO::Socket::INET ();
use Test::More;
use TideSession ();
use TideTest qw(wait_for in_background finished);

my $cluster = TideTest::Cluster->shared;
my $database = $cluster->create_fake;
my $gateway = TideTest::Gateway->start(cluster => $cluster, database => $database,
	settings => { 'metrics-listen' => '127.0.0.1:0', 'header-timeout' => 1 })
  ->wait_until_ready;
my ($port) = $gateway->log =~ /event=metrics address=127\.0\.0\.1 port=(\d+)/
  or die 'the log tells no port';
my $http = HTTP::Tiny->new;

sub scrape
{
	my $reply = $http->get("http://127.0.0.1:$port/metrics");
	is $reply->{status}, 200, 'metrics' or diag $reply->{content};
	return $reply->{content};
}

# The value of a series; undef: it is not there.
sub value_of
{
	my ($text, $series) = @_;
	return $text =~ /^\Q$series\E (\S+)$/m ? $1 : undef;
}

my $pull = '/api/v1/sync/pull';
my $token = $gateway->token('u1');
$gateway->pull($token, since => 'x') for 1 .. 3;
$gateway->push_changes($token, { a => 1 });
$gateway->pull('no token');
$gateway->get('/secret-path');
my $text = wait_for('all are counted', 5, sub {
	my $now = scrape();
	return (value_of($now, qq(tide_requests_total{path="other",status="404"})) // 0) == 1 && $now;
});

is value_of($text, qq(tide_requests_total{path="$pull",status="200"})), 3, 'pulls';
is value_of($text, qq(tide_requests_total{path="$pull",status="401"})), 1, 'refused ones';
is value_of($text, qq(tide_requests_total{path="/api/v1/sync/push",status="200"})), 1, 'a push';
is value_of($text, qq(tide_received_bytes_total{path="/api/v1/sync/push"})), 7, 'its bytes';
cmp_ok value_of($text, qq(tide_sent_bytes_total{path="$pull"})), '>', 300, 'bytes of replies';
# Seen failing: with take_counts() of connection.c left out.
is value_of($text, qq(tide_rows_total{path="$pull"})), 9, 'rows, which the database counts';
is value_of($text, qq(tide_rows_total{path="/api/v1/sync/push"})), 4, 'and changes';
unlike $text, qr/secret/, 'nothing that a client has made up';

is value_of($text, qq(tide_request_seconds_count{path="$pull"})), 4, 'durations';
is value_of($text, qq(tide_request_seconds_bucket{path="$pull",le="+Inf"})), 4, 'all of them';
my @buckets = $text =~ /^tide_request_seconds_bucket\{path="\Q$pull\E",le="[^"]+"\} (\d+)$/mg;
is_deeply \@buckets, [ sort { $a <=> $b } @buckets ], 'each bucket has the ones before';
cmp_ok value_of($text, qq(tide_request_seconds_sum{path="$pull"})), '>', 0;

ok wait_for('four connections to the database', 10, sub {
	return value_of(scrape(), 'tide_database_connections') == 4;
}), 'connections to the database';
is value_of($text, 'tide_connections'), 1, 'and of clients';
# a client has its reply a moment before the gateway is done with the request
ok wait_for('no request', 10, sub { return value_of(scrape(), 'tide_requests') == 0 }), 'none is under way';
is value_of($text, 'tide_queued_requests'), 0;
like value_of($text, 'tide_maintenance_total{outcome="failed"}'), qr/^\d+$/;

# each family is announced once, and each line is of one
my %type;
for my $line (split /\n/, $text)
{
	if ($line =~ /^# TYPE (\S+) (counter|gauge|histogram)$/) { ok !$type{$1}++, "$1 once"; }
	elsif ($line !~ /^# HELP \S+ \S/)
	{
		my ($name) = $line =~ /^([a-z_]+)(?:\{[a-z]+="[^"\\]*"(?:,[a-z]+="[^"\\]*")*\})? [0-9.]+$/;
		ok $name && ($type{$name} || $type{ $name =~ s/_(?:bucket|sum|count)$//r }), $line;
	}
}

my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$gateway->{port}") or die $!;
print {$socket} 'GET /';
$socket->flush;
wait_for('a slow connection is counted', 10,
	sub { return value_of(scrape(), 'tide_cut_connections_total') == 1; });

is $gateway->get('/metrics')->{status}, 404, 'the world does not see them';
is $http->get("http://127.0.0.1:$port$pull")->{status}, 404, 'nor is sync on that address';
is $http->post("http://127.0.0.1:$port/metrics", { content => 'x' })->{status}, 404;
is $gateway->stop, 0, 'stops with status 0';

# Seen failing: with the metrics served until the end, of what was freed already.
subtest 'a gateway that ends' => sub {
	my $other = TideTest::Gateway->start(cluster => $cluster, database => $database,
		settings => { 'metrics-listen' => '127.0.0.1:0', 'replica-url' => 'host=/nowhere' })->wait_until_ready;
	($port) = $other->log =~ /event=metrics address=127\.0\.0\.1 port=(\d+)/;
	my $sessions = sub { return $cluster->sql('postgres',
		"SELECT count(*) FROM pg_stat_activity WHERE datname = '$database' AND application_name ~ '^tide-gateway' AND $_[0]") };
	# its last step but one is to wait for a look, which takes two seconds now
	my $lock = TideSession->new($cluster->conninfo($database));
	$lock->query($_) for 'BEGIN', 'LOCK TABLE tide.pushed IN ACCESS EXCLUSIVE MODE';
	my $waits = in_background($other, sub { return $other->pull($other->token('u1'), since => 'wait', wait => 30) });
	wait_for('a look waits', 10, sub { return $sessions->(q{wait_event_type = 'Lock'}) == 1 });
	scrape();
	$other->signal('TERM');
	wait_for('its threads have ended', 10, sub { return $sessions->(q{application_name <> 'tide-gateway-watch'}) == 0 });
	is $http->get("http://127.0.0.1:$port/metrics")->{status}, 599, 'has no metrics any more';
	is $other->wait_until_stopped, 0, 'and ends with status 0';
	finished($waits);
	$lock->finish;
};

done_testing;
