# Values and keys that the wire does not have: they are kept and shown, never
# sent as something else, and never in the way of others.
#
# Seen to fail with: a number that is no time sent as NULL; a key that is not UTF-8
# ending every sync with "out of memory"; a key of another class than the wire's
# taken for a row that had vanished, anew at each sync; a BLOB of 510 MB.
use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Test::More;
use TideTest qw(encode_json);
use TideClient;

my $cluster = TideTest::Cluster->shared;
my $database = $cluster->create_synced(<<'SQL');
CREATE TABLE plan (id text PRIMARY KEY, user_id text NOT NULL, name text, at timestamptz, made timestamptz);
CREATE TABLE day (room text, id text, user_id text NOT NULL, note text, PRIMARY KEY (room, id));
CREATE TABLE file (id bytea PRIMARY KEY, user_id text NOT NULL, name text, content bytea);
CREATE INDEX ON plan (user_id); CREATE INDEX ON day (user_id); CREATE INDEX ON file (user_id);
SELECT tide.track(t::regclass, scope => 'user_id') FROM unnest('{plan,day,file}'::text[]) t;
INSERT INTO plan SELECT 'p' || i, 'ann', 'plan', '2024-05-06T07:08:09Z', '2024-05-06T07:08:09.123Z' FROM generate_series(1, 3) i;
INSERT INTO file VALUES ('\xabcd', 'ann', 'file', '\x01');
GRANT ALL ON plan, day, file TO tide_user;
SQL
my $gateway = TideTest::Gateway->start(cluster => $cluster, database => $database,
	settings => { 'maintain-interval' => 0 })->wait_until_ready;

sub server { return $cluster->sql($database, $_[0]); }

# numbers that are no times, in an app's own table
for my $form ('s', 'ms')
{
	my $own = TideClient->new($gateway, 'ann', name => "$form.db");
	$own->sql("CREATE TABLE plan (id TEXT NOT NULL PRIMARY KEY, user_id TEXT, name TEXT, at INTEGER, made INTEGER)");
	open my $out, '>', "$own->{directory}/map.json" or die $!;
	print {$out} encode_json({ plan => { times => $form } });
	close $out;
	my $run = $own->run($TideClient::program, 'attach', $own->{url}, $own->{file}, '--token-file', $own->{token_file}, '--map', "$own->{directory}/map.json");
	is($run->{status}, 0, "times in $form") or diag $run->{err};
	# years after 9999 and before 1: the number, and its seconds where PostgreSQL has the time
	for ($form eq 's' ? ([ '1700000000000000' ], [ '-99999999999', '-99999999999.000000' ]) :
		([ '9100000000000000000' ], [ '1700000000000000', '1700000000000.000000' ], [ '-99999999999999', '-99999999999.999000' ]))
	{
		my ($number, $seconds) = @$_;
		$own->sql("UPDATE plan SET at = $number, name = 'mine' WHERE id = 'p1'");
		$own->sync(defined $seconds ? 0 : 1);
		if (defined $seconds)
		{
			is(server("SELECT extract(epoch FROM at) FROM plan WHERE id = 'p1'"), $seconds, "$number arrives");
			next;
		}
		is($own->sql("SELECT at FROM plan WHERE id = 'p1'"), $number, "$number, which is no time of PostgreSQL's, is kept");
		is(server("SELECT name || (at IS NULL)::text FROM plan WHERE id = 'p1'"), 'planfalse', '... and not sent as NULL');
		is($own->tide('discard', 'plan', 'p1')->{status}, 0, '... but refused');
	}
	$own->sql("UPDATE plan SET at = " . ($form eq 's' ? 1700000000 : 1700000000000) . " WHERE id = 'p2'");
	$own->sync;
	is(server("SELECT at = '2023-11-14T22:13:20Z' FROM plan WHERE id = 'p2'"), 't', 'a number that is one arrives');
	server("UPDATE plan SET name = 'plan', at = '2024-05-06T07:08:09Z'");
}

my $device = TideClient->new($gateway, 'ann');
$device->clone;

# Beside an edit that can be sent: it arrives, the others are parked, once.
sub parked
{
	my ($name, $sql, $code, $count) = @_;
	my $lost = @{ $device->lost };
	$device->sql("$sql; UPDATE plan SET name = '$name' WHERE id = 'p3'");
	$device->sync(1);
	is(server("SELECT name FROM plan WHERE id = 'p3'"), $name, "$name: others are sent");
	is($device->sql("SELECT count(*) FROM tide_pending WHERE state = 'parked' AND code = '$code'"), $count // 1, '... it is parked');
	$device->tide('sync');
	is(scalar @{ $device->lost }, $lost, '... and not taken for a row that is gone');
	return;
}
parked('a key that is not UTF-8', "INSERT INTO plan (id, user_id) VALUES (CAST(x'ff41' AS TEXT), 'ann')", 'invalid_key');
$device->sql("DELETE FROM plan WHERE CAST(id AS BLOB) = x'ff41'");
is($device->status->{pending}, 0, '... until it is deleted');

parked('a BLOB as a key of texts', "INSERT INTO plan (id, user_id) VALUES (x'6162', 'ann'), (x'7071', 'ann')", 'invalid_key', 2);
is($device->sql("SELECT count(*) FROM plan WHERE typeof(id) = 'blob'"), 2, '... the rows stay');
$device->sql("UPDATE plan SET id = 'named' WHERE id = x'6162'; DELETE FROM plan WHERE id = x'7071'");
$device->sync;
is(server("SELECT count(*) FROM plan WHERE id = 'named'"), 1, '... and are sent under a key that the wire has');

parked('a BLOB in a composite key', "INSERT INTO day (room, id, user_id) VALUES ('r', x'61', 'ann')", 'invalid_key');
$device->sql("DELETE FROM day");
parked('a text as a key of bytes', "UPDATE file SET name = 'mine'; INSERT INTO file (id, user_id, name) VALUES ('\xabcd', 'ann', 'text')", 'invalid_key');
is(server("SELECT name FROM file"), 'mine', '... the row of these bytes is another one');
$device->sql("DELETE FROM file WHERE typeof(id) = 'text'");
is($device->status->{pending}, 0, '... until it is deleted');

parked('a row that is too large', "INSERT INTO file (id, user_id, content) VALUES (x'01', 'ann', zeroblob(140000000))", 'row_too_large');
$device->sql("DELETE FROM file WHERE id = x'01'");
is($device->status->{pending}, 0, '... until it is deleted');

# an app's column without a type keeps a number where the wire has a text
my $own = TideClient->new($gateway, 'ann', name => 'own.db');
$own->sql("CREATE TABLE plan (id NOT NULL PRIMARY KEY, user_id TEXT, name TEXT, at TEXT, made TEXT)");
is($own->run($TideClient::program, 'attach', $own->{url}, $own->{file}, '--token-file', $own->{token_file})->{status}, 0, 'a key without a type');
$own->sql("INSERT INTO plan (id, user_id, name) VALUES (5, 'ann', 'five')");
$own->sync(1);
is($own->sql("SELECT code FROM tide_pending"), 'invalid_key', '... a number in it is parked');
is_deeply($own->lost, [], '... and no row that is gone');

done_testing;
