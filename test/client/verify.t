# tide verify: does the file hold what the server holds?  What any program did
# behind the triggers' back is found, by a digest or in full; edits that are not
# sent are no difference.
#
# Seen to fail with: edits compared in look(); 1.50 and 1.5 as two keys.
use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Test::More;
use TideTest ();
use TideClient;

my $cluster = TideTest::Cluster->shared;
my $database = $cluster->create_synced(<<'SQL');
CREATE TABLE plan (id text PRIMARY KEY, user_id text NOT NULL, name text CHECK (name <> 'bad'), price numeric(30,4), "deletedAt" timestamptz);
CREATE TABLE pair (a int, b text, user_id text NOT NULL, v text, PRIMARY KEY (a, b));
CREATE TABLE odd (id bigint PRIMARY KEY, user_id text NOT NULL, v bytea);
CREATE INDEX ON plan (user_id); CREATE INDEX ON pair (user_id); CREATE INDEX ON odd (user_id);
INSERT INTO odd VALUES (1, 'ann', '\x00ff');
CREATE TABLE priced (price numeric(10,2) PRIMARY KEY, user_id text NOT NULL, v text); CREATE INDEX ON priced (user_id);
SELECT tide.track('priced', scope => 'user_id'); INSERT INTO priced VALUES (1.5, 'ann'), (2, 'ann'), (12345678.91, 'ann'), ('NaN', 'ann');
SELECT tide.track('plan', scope => 'user_id', deleted_at => 'deletedAt');
SELECT tide.track('pair', scope => 'user_id');
SELECT tide.track('odd', scope => 'user_id');
INSERT INTO plan SELECT 'p' || i, 'ann', 'plan ' || i, i * 1.5 FROM generate_series(1, 2000) i;
INSERT INTO pair SELECT i, E'b "\u00e9\\' || i, 'ann', 'pair' FROM generate_series(1, 50) i;
INSERT INTO odd SELECT 9007199254740993 + i, 'ann', '\x00ff' FROM generate_series(1, 50) i;
UPDATE plan SET "deletedAt" = now() WHERE id LIKE 'p19%';
GRANT ALL ON plan, pair, odd, priced TO tide_user;
SQL
my $gateway = TideTest::Gateway->start(cluster => $cluster, database => $database,
	settings => { 'maintain-interval' => 0, 'max-pull-rows' => 100 })->wait_until_ready;
my $device = TideClient->new($gateway, 'ann');
$device->clone;

sub server { return $cluster->sql($database, $_[0]); }

# What it finds, as "type key difference" in order.
sub found
{
	my ($status, @options) = @_;
	my $run = $device->tide('verify', '--json', @options);
	is($run->{status}, $status, "verify @options exits with $status") or diag $run->{err};
	return join ', ', sort map { "$_->{entity_type} $_->{key} $_->{difference}" } @{ $run->{json} // [] };
}

# Behind the triggers' back.
sub behind { return $device->sql("UPDATE tide_state SET applying = 1; $_[0]; UPDATE tide_state SET applying = 0"); }

is(found(0), '', 'a new clone holds what the server holds');
is(found(0, '--full'), '', '... also in full');
is($device->tide('verify')->{out}, "entity_type\tkey\tdifference\n", '... a header and no line');

behind(q{DELETE FROM plan WHERE id = 'p7'; UPDATE plan SET name = 'mangled' WHERE id = 'p8';
	UPDATE plan SET lastModifiedAt = '2020-01-01T00:00:00.000Z' WHERE id = 'p9';
	INSERT INTO plan (id, user_id) VALUES ('extra', 'ann');
	DELETE FROM pair WHERE a = 3; UPDATE odd SET v = x'01' WHERE id = 1});
my $by_digest = 'pair {"a":3,"b":"b \"' . "\xe9" . '\\\\3"} missing, plan extra extra, plan p7 missing, plan p9 differs';
is(found(1), $by_digest, 'a digest finds what is missing, extra, or of another stamp');
is(found(1, '--full'), "odd 1 differs, $by_digest" =~ s/plan p9/plan p8 differs, plan p9/r, 'in full also what has another content');
like($device->tide('verify')->{out}, qr/^plan\tp7\tmissing$/m, 'a line each');

# what is not sent is no difference
behind(q{DELETE FROM plan WHERE id = 'extra'});
$device->sql(q{UPDATE plan SET name = 'bad' WHERE id = 'p10'; INSERT INTO plan (id, user_id, name) VALUES ('new', 'ann', 'bad')});
$device->sync(1);
is($device->status->{pending}, 2, 'edits are pending');
server(q{UPDATE plan SET name = 'of the server' WHERE id = 'p10'});
$by_digest =~ s/plan extra extra, //;
is(found(1), $by_digest, '... and are no difference, also where the server has moved on');
server(q{DELETE FROM odd WHERE id = 9007199254740999; UPDATE pair SET v = 'changed' WHERE a = 5; INSERT INTO odd VALUES (2, 'ann')});
is(found(1), $by_digest, 'nor is what the server changed meanwhile');
is(found(1, '--full'), "odd 1 differs, $by_digest" =~ s/plan p9/plan p8 differs, plan p9/r, '... in full');

# many at once
behind(q{DELETE FROM plan WHERE rowid % 3 = 0});
my $run = $device->tide('verify');
is(scalar(() = $run->{out} =~ /missing$/mg), 1 + $device->sql("SELECT 2000 - count(*) FROM plan WHERE id <> 'new'"), 'more than one answer holds');

# an app's own table, with times in seconds
my $app = TideClient->new($gateway, 'ann');
$app->sql('CREATE TABLE plans (id TEXT NOT NULL PRIMARY KEY, name TEXT, price REAL, deleted_at INTEGER, last_modified_at INTEGER)');
open my $map, '>', "$app->{directory}/map" or die $!;
print {$map} '{"plan": {"times": "s"}}';
close $map;
$run = $app->run($TideClient::program, 'attach', $app->{url}, $app->{file}, '--map', "$app->{directory}/map", '--token-file', $app->{token_file});
is($run->{status}, 0, 'an app\'s own table') or diag $run->{err};
$device = $app;
is(found(0), '', '... holds what the server holds, though times are in seconds');
is(found(0, '--full'), '', '... in full, too');
behind(q{UPDATE plans SET name = 'x' WHERE id = 'p1'; DELETE FROM plans WHERE id = 'p2'});
is(found(1, '--full'), 'plan p1 differs, plan p2 missing', '... and what differs is found');

$gateway->stop;
is($app->tide('verify')->{status}, 3, 'no server: 3');
done_testing;
