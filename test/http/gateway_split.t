# Behind a pooler that sends what is READ ONLY to a standby: the gateway has its reads
# served by the primary, and nobody is answered from the past.  The standby lacks a row,
# so it shows who has served.
#
# Likewise one in transaction mode, for the watcher and what it has prepared.
#
# Seen failing: without the reaction to wrong_kind in gateway/src/database/run.c, and
# with BEGIN_READ in the place of BEGIN_READ_ON_PRIMARY.
use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/../fault";
use Test::More;
use TideForward ();
use TideReplica ();
use TideSplit ();
use TideTest qw(wait_for);

my $cluster = TideTest::Cluster->start;
my $database = $cluster->create_synced($TideReplica::NOTES);
my $standby = TideReplica::standby($cluster);
TideReplica::wait_for_standby($cluster, $standby);
$standby->sql($database, 'SELECT pg_wal_replay_pause()');

my $pooler = TideSplit::start($cluster, $standby);
my $address = "host=127.0.0.1 port=$pooler->{port} dbname=$database user=tide_gateway";

sub served_by
{
	my ($begin) = @_;
	return TideTest::run_program('', 'psql', '-X', '-q', '-A', '-t', '-d', $address, '-c', "$begin; SELECT pg_is_in_recovery(); COMMIT");
}
is served_by('BEGIN READ ONLY'), "t\n", 'what only reads goes to the standby';
is served_by('BEGIN READ WRITE'), "f\n", 'and what may write to the primary';

my $gateway = TideTest::Gateway->start(
	database_url => $address,
	settings => { 'db-connections' => 2, 'remembered-polls' => 0 })->wait_until_ready;
my $token = $gateway->token('u1');

my $cursor;
for my $round (1 .. 4)
{
	is $gateway->push_changes($token, { changes => { note => [ { id => "n$round" } ] } })->{status}, 200, 'a push';
	my $pull = $gateway->pull($token, defined $cursor ? (since => $cursor) : ());
	is $pull->{status}, 200, 'a pull' or diag $pull->{content};
	is_deeply [ map { $_->{id} } @{ $pull->{json}{changesByType}{note} } ], ["n$round"], 'brings what was pushed just now';
	$cursor = $pull->{json}{cursor};
}
my %reads = (
	'/api/v1/sync/schema' => qr/"note"/, '/api/v1/sync/scopes' => qr/"u1"/, '/api/v1/sync/keys' => qr/"n4"/,
	'/api/v1/sync/digest' => qr/"counts":\[(?:(?:0,)*1,){4}/);
for my $path (sort keys %reads)
{
	my $reply = $gateway->get($path . ($path eq '/api/v1/sync/digest' ? "?since=$cursor" : ''), token => $token);
	is $reply->{status}, 200, $path or diag $reply->{content};
	like $reply->{content}, $reads{$path}, 'as the primary has it';
}
my $rows = $gateway->post('/api/v1/sync/rows', token => $token, content => '{"keys": {"note": ["n4"]}}');
is $rows->{status}, 200, '/api/v1/sync/rows';
like $rows->{content}, qr/"n4"/, 'as the primary has it';
my $lines = $gateway->get('/api/v1/sync/pull', token => $token, headers => { accept => 'application/x-ndjson' });
is $lines->{status}, 200, 'a stream';
like $lines->{content}, qr/"n4"/, 'as the primary has it';

$gateway->log_says(qr/event=read-reached-standby/, 'the log tells of it');
is scalar(() = $gateway->log =~ /event=read-reached-standby/g), 1, 'once';
unlike $gateway->log, qr/event=database-is-standby/, 'and the primary is taken for no standby';
is $gateway->get('/ready')->{status}, 200, 'ready';
is $gateway->stop, 0, 'stops with status 0';
TideForward::stop($pooler);

# the watcher's session changes each time, as a pooler in transaction mode can do
$pooler = TideSplit::start($cluster, $cluster, by_turns => qr/tide-gateway-watch/);
$gateway = TideTest::Gateway->start(
	database_url => "host=127.0.0.1 port=$pooler->{port} dbname=$database user=tide_gateway",
	settings => { 'db-connections' => 2 })->wait_until_ready;
$cursor = $gateway->pull($token)->{json}{cursor};
is $gateway->pull($token, since => $cursor, wait => 1)->{status}, 200, 'who waits gets a reply' for 1 .. 3;
$gateway->log_says(qr/event=prepared-statements-off/, 'sessions that change are noticed');
unlike $gateway->log, qr/event=watch-failed/, 'and the watcher does without, too';
is $gateway->stop, 0, 'stops with status 0';
TideForward::stop($pooler);
$standby->finish;
done_testing;
