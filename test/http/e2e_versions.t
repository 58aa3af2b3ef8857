# The gateway and a database that is not updated yet. As long as the gateway
# needs nothing newer (OLDEST_PG_TIDE in connection.c), it serves it, and works on
# over the update; else it says what to do, and serves once that is done.
#
# Both were seen to fail with the comparison of is_before() turned round.
use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";
use Test::More;
use TideTest qw(wait_for);

my $cluster = $ENV{TIDE_TEST_CLUSTER} ? TideTest::Cluster->shared : TideTest::Cluster->start;
$cluster->create_roles;
my $database = $cluster->create_database;
$cluster->sql($database, <<'SQL');
CREATE EXTENSION pg_tide VERSION '0.1.0';
GRANT EXECUTE ON FUNCTION tide.watch(text), tide.maintain() TO tide_gateway;
CREATE TABLE note (id int PRIMARY KEY, owner text, v text);
CREATE INDEX ON note (owner, id);
SELECT tide.track('note', scope => 'owner');
GRANT USAGE ON SCHEMA public TO tide_user;
GRANT SELECT, INSERT, UPDATE, DELETE ON note TO tide_user;
SQL

open my $source, '<', TideTest::root_directory() . '/gateway/src/database/connection.c' or die $!;
my ($oldest) = do { local $/; <$source> } =~ /^#define OLDEST_PG_TIDE\s+"([\d.]+)"/m;

my $gateway = TideTest::Gateway->start(cluster => $cluster, database => $database);
my $token = $gateway->token('u1');
my $next = 0;
my $cursor;

# A push, and everything that a client asks for.
sub works
{
	my ($when) = @_;
	my $id = ++$next;
	my $pushed = $gateway->push_changes($token, { changes => { note => [ { id => $id, v => "v$id" } ] } });
	is $pushed->{json}{summary}{succeeded}, 1, "$when: a push" or diag $pushed->{content};
	my $pull = $gateway->pull($token, $cursor ? (since => $cursor) : ());
	is $pull->{json}{changesByType}{note}[-1]{v}, "v$id", "$when: a pull" or diag $pull->{content};
	ok !$pull->{json}{reset}, "$when: no reset";
	$cursor = $pull->{json}{cursor};
	my $stream = $gateway->get('/api/v1/sync/pull', token => $token, headers => { Accept => 'application/x-ndjson' });
	is scalar(() = $stream->{content} =~ /"v":"v\d+"/g), $id, "$when: a stream" or diag $stream->{content};
	is $gateway->get("/api/v1/sync/$_", token => $token)->{status}, 200, "$when: $_" for qw(schema keys scopes);
	is $gateway->get("/api/v1/sync/digest?since=$cursor", token => $token)->{status}, 200, "$when: digest";
	return;
}

if ($oldest ne '0.1.0')
{
	wait_for('the log says what to do', 20, sub {
		return $gateway->log =~ /has pg_tide 0\.1\.0, and tide-gateway [\d.]+ needs \Q$oldest\E: ALTER EXTENSION pg_tide UPDATE/; });
	is $gateway->get('/ready')->{status}, 503, 'not ready';
	$cluster->sql($database, 'ALTER EXTENSION pg_tide UPDATE');
	$gateway->wait_until_ready;
	works('updated');
	done_testing;
	exit;
}

$gateway->wait_until_ready;
works('objects of 0.1.0');
$gateway->log_says(qr/event=connected versions=".*pg_tide 0\.1\.0, protocol 1"/, 'the log has the version');
my $waiting = TideTest::in_background($gateway, sub { $gateway->pull($token, since => $cursor, wait => 30) });
$cluster->sql($database, 'ALTER EXTENSION pg_tide UPDATE');
works('updated');
my $answer = TideTest::finished($waiting);
is $answer->{json}{changesByType}{note}[0]{v}, "v$next", 'a pull that waited over the update gets what came after it';
is $gateway->get('/ready')->{status}, 200, 'the gateway is ready';
unlike $gateway->log, qr/level=error|(?:watch|maintain)-failed/, 'and its log has no trouble';
done_testing;
