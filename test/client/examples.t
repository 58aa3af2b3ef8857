# The examples, and the library as other programs get it: tide.so in Python's
# sqlite3 and in the sqlite3 shell, libtide.so by pkg-config.
use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Test::More;
use TideTest qw(decode_json root_directory);
use TideClient;

my $cluster = TideTest::Cluster->shared;
my $database = $cluster->create_synced(<<'SQL');
CREATE TABLE plan (id text PRIMARY KEY, user_id text NOT NULL, name text);
CREATE INDEX ON plan (user_id);
SELECT tide.track('plan', scope => 'user_id');
INSERT INTO plan SELECT 'p' || i, 'ann', 'plan' FROM generate_series(1, 3) i;
GRANT ALL ON plan TO tide_user;
SQL
my $gateway = TideTest::Gateway->start(cluster => $cluster, database => $database,
	settings => { 'maintain-interval' => 0 })->wait_until_ready;
my $client = root_directory() . '/client';
my $device = TideClient->new($gateway, 'ann');
$device->clone;
my $python = -x '/usr/bin/python3' ? '/usr/bin/python3' : 'python3';

my $run = $device->run($python, "$client/examples/sync.py", $device->{file}, "$client/tide.so",
	"UPDATE plan SET name = 'by the example' WHERE id = 'p1'");
is("$run->{status} $run->{out}", "0 pending: 1\ndone: pulled 0, pushed 1, pending 0\n", 'the Python example')
  or diag $run->{err};
is($cluster->sql($database, "SELECT name FROM plan WHERE id = 'p1'"), 'by the example', '... its row arrives');

sub shell { return $device->run('sqlite3', '-batch', '-cmd', ".load $client/tide.so", $device->{file}, $_[0]); }

$run = shell("UPDATE plan SET name = 'by the shell' WHERE id = 'p2'; SELECT tide_sync()");
is(decode_json($run->{out})->{pushed}, 1, 'SELECT tide_sync() in the shell') or diag $run->{err};
like(shell('BEGIN; SELECT tide_sync()')->{err}, qr/cannot be called in a transaction/, '... not in a transaction');
like(shell($_)->{err}, qr/cannot be called in a statement that writes/, '... nor in a statement that writes')
  for 'CREATE TABLE said (text); INSERT INTO said SELECT tide_sync()', q{UPDATE said SET text = 'x'; INSERT INTO said VALUES ('y') RETURNING tide_sync()};
is(shell('DROP TABLE said; SELECT tide_sync()')->{status}, 0, '... after which it goes on');
like(shell('CREATE VIEW v AS SELECT tide_sync(); SELECT * FROM v')->{err}, qr/unsafe use of tide_sync/, '... nor from a view');
$run = decode_json(shell(sprintf q{SELECT tide_sync('%s')}, $gateway->token('bob'))->{out});
is("$run->{result} $run->{error}{code}", 'signed_out other_user', 'another user\'s token');
is(decode_json(shell(sprintf q{SELECT tide_sync('%s')}, $gateway->token('ann'))->{out})->{result}, 'done', 'a token of its own');

my $prefix = "$device->{directory}/prefix";
is(system('make', '-s', '-C', $client, 'install', "PREFIX=$prefix") >> 8, 0, 'make install');
my $program = "$device->{directory}/example";
$ENV{PKG_CONFIG_PATH} = "$prefix/lib/pkgconfig";
chomp(my $flags = `pkg-config --cflags --libs tide sqlite3`);
is(system("cc -Wall -Wextra -Werror -o $program $client/examples/sync.c $flags -Wl,-rpath,$prefix/lib") >> 8, 0,
	'the C example builds with pkg-config');
$run = $device->run($program, $gateway->{url}, "$device->{directory}/c.db", $gateway->token('ann'));
is("$run->{status} $run->{out}", "0 pulled 3, pushed 0, pending 0\n", '... clones') or diag $run->{err};
$device->run('sqlite3', "$device->{directory}/c.db", "UPDATE plan SET name = 'by C' WHERE id = 'p3'");
$run = $device->run($program, $gateway->{url}, "$device->{directory}/c.db", $gateway->token('ann'));
is("$run->{status} $run->{out}", "0 pulled 0, pushed 1, pending 0\n", '... and syncs') or diag $run->{err};

done_testing;
