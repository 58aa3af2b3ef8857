# Traps of plain SQLite files that other tests do not cover; client/README.md has
# a table of all of them.
#
# Seen to fail with: columns not looked for before triggers are made again (a
# renamed column was sent as NULL); theirs not looked at in version_to_restore().
use strict;
use warnings;

use FindBin ();
use POSIX ();
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Test::More;
use TideTest qw(wait_for);
use TideClient;

my $cluster = TideTest::Cluster->shared;
my $database = $cluster->create_synced(<<'SQL');
CREATE TABLE plan (id text PRIMARY KEY, user_id text NOT NULL, name text, n int UNIQUE DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE item (id text PRIMARY KEY, user_id text NOT NULL, plan_id text REFERENCES plan ON DELETE CASCADE, name text);
CREATE TABLE team (id text PRIMARY KEY, owner text NOT NULL, name text);
CREATE INDEX ON plan (user_id); CREATE INDEX ON item (user_id); CREATE INDEX ON team (owner);
SELECT tide.track('plan', scope => 'user_id'); SELECT tide.track('item', scope => 'user_id'); SELECT tide.track('team', scope => 'owner');
INSERT INTO plan SELECT 'p' || i, 'ann', 'plan', i FROM generate_series(1, 9) i;
INSERT INTO item SELECT 'i' || i, 'ann', 'p' || i, 'item' FROM generate_series(1, 9) i;
INSERT INTO team SELECT 't' || i, CASE WHEN i < 6 THEN 'ann' ELSE 'team' END, 'team' FROM generate_series(1, 9) i;
GRANT ALL ON plan, item, team TO tide_user;
SQL
$cluster->allow($database, [ 'ann', 'ann' ], [ 'ann', 'team' ]);
my $gateway = TideTest::Gateway->start(cluster => $cluster, database => $database,
	settings => { 'maintain-interval' => 0 })->wait_until_ready;

sub server { return $cluster->sql($database, $_[0]); }

my $device = TideClient->new($gateway, 'ann');
$device->clone;

# 7: the app renames a column
$device->sql("UPDATE plan SET name = 'edited' WHERE id = 'p1'; ALTER TABLE plan RENAME COLUMN name TO title");
my $run = $device->tide('sync');
is($run->{status}, 5, 'a synced column that the app renamed: 5');
like($run->{err}, qr/"plan" has lost its column "name".*\n.*Rename it back/, '... with its name, and what to do');
is(server("SELECT name FROM plan WHERE id = 'p1'"), 'plan', '... and nothing is sent');
$device->sql('ALTER TABLE plan RENAME COLUMN title TO name');
$device->sync;
is(server("SELECT name FROM plan WHERE id = 'p1'"), 'edited', 'renamed back, the edit goes');
like($device->try_sql('ALTER TABLE plan DROP COLUMN name')->{err}, qr/error in trigger/, 'SQLite does not let go of a synced column');
$device->sql('ALTER TABLE plan ADD COLUMN color TEXT; ALTER TABLE plan DROP COLUMN color');
is($device->sync->{pending}, 0, 'a column of the app\'s own comes and goes');

# 13: two rows swap a unique value in one pull
server("UPDATE plan SET n = CASE n WHEN 2 THEN 3 ELSE 2 END WHERE n IN (2, 3)");
$device->sync;
is($device->sql("SELECT group_concat(n) FROM plan WHERE id IN ('p2', 'p3')"), '3,2', 'two rows swap a unique value');

# 17: the -wal of a process that died is thrown away
for my $round (1 .. 5)
{
	$device->sql("UPDATE plan SET name = 'round $round' WHERE id = 'p4'");
	my $pid = fork // die $!;
	if ($pid == 0)
	{
		open STDERR, '>', '/dev/null';
		open STDOUT, '>', '/dev/null';
		exec $TideClient::program, 'sync', $device->{file} or POSIX::_exit(1);
	}
	select undef, undef, undef, 0.01 * $round;
	kill KILL => $pid;
	waitpid $pid, 0;
	unlink "$device->{file}-wal", "$device->{file}-shm";
	is($device->sql('PRAGMA integrity_check'), 'ok', "killed, and its -wal is gone: the file is sound ($round)");
}
$device->sync;
is($device->sql("SELECT name FROM plan WHERE id = 'p4'"), server("SELECT name FROM plan WHERE id = 'p4'"), '... and ends as the server');
is($device->tide('verify', '--full')->{out}, "entity_type\tkey\tdifference\n", '... in all its rows');

# 17: a file that this user may not write
SKIP:
{
	skip 'not root', 3 if $> != 0;
	chmod 0755, $device->{directory};
	chmod 0644, $device->{token_file}, $device->{file};
	$device->sql('PRAGMA wal_checkpoint(TRUNCATE)');
	unlink "$device->{file}-wal", "$device->{file}-shm", "$device->{file}-tide-lock";
	$run = $device->run('setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', $TideClient::program, 'sync', $device->{file});
	is($run->{status}, 5, 'a file that may not be written: 5') or diag $run->{err};
	like($run->{err}, qr/^tide: .*(?:readonly|unable to open|lock)/, '... and why');
	is($device->sync->{pending}, 0, '... and nothing has happened to it');
}

# 19: the server has moved on while the row was dirty; then the edit is discarded
server("ALTER TABLE plan ADD CHECK (name <> 'bad')");
$device->sql("UPDATE plan SET name = 'bad' WHERE id IN ('p5', 'p6'); INSERT INTO plan (id, user_id, name) VALUES ('mine', 'ann', 'bad')");
$device->sync(1);
server("UPDATE plan SET name = 'of the server' WHERE id = 'p5'; DELETE FROM plan WHERE id = 'p6'");
$device->sync(1);
is($device->sql("SELECT group_concat(name) FROM plan WHERE id IN ('p5', 'p6')"), 'bad,bad', 'dirty rows are not touched by a pull');
$device->tide('discard', 'plan', $_) for 'p5', 'p6', 'mine';
is($device->sql("SELECT name FROM plan WHERE id = 'p5'"), 'of the server', 'discard: the server\'s latest version comes back');
is($device->sql("SELECT count(*) FROM plan WHERE id = 'p6'"), 0, '... or its deletion');
is($device->sql("SELECT count(*) FROM plan WHERE id = 'mine'"), 0, '... and a row made here is gone');
is($device->sync->{pending}, 0, '... with nothing left');

# 20: a child without its parent's type
my $narrow = TideClient->new($gateway, 'ann', clone => [ '--entity-types', 'item' ]);
$narrow->clone;
$narrow->sql("PRAGMA foreign_keys = ON; UPDATE item SET name = 'narrow', plan_id = 'p9' WHERE id = 'i1'");
$narrow->sync;
is(server("SELECT name || plan_id FROM item WHERE id = 'i1'"), 'narrowp9', 'a child whose parent type was not cloned');

# keys that the server numbers
server("CREATE TABLE counted (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, owner text NOT NULL, v text);"
	  . "CREATE INDEX ON counted (owner); GRANT ALL ON counted TO tide_user; SELECT tide.track('counted', scope => 'owner');"
	  . "INSERT INTO counted (owner, v) VALUES ('ann', 'first')");
$device->sync;
like($device->try_sql("INSERT INTO counted (id, owner) VALUES (2, 'ann')")->{err}, qr/the server numbers the rows of counted/, 'an INSERT where the server numbers the keys is refused by name');
$device->sql("UPDATE counted SET v = 'edited'");
$device->sync;
is(server('SELECT v FROM counted'), 'edited', '... an UPDATE is not');
my $numbers = TideClient->new($gateway, 'ann', clone => [ '--entity-types', 'counted', '--allow-number-keys' ]);
$numbers->clone;
$numbers->sql("INSERT INTO counted (id, owner, v) VALUES (7, 'ann', 'mine')");
$numbers->sync;
is(server('SELECT v FROM counted WHERE id = 7'), 'mine', '--allow-number-keys lets it');

# what a pull says beside rows
is($device->sql('SELECT count(*) FROM team'), 9, 'the rows of two scopes');
$device->sql("UPDATE team SET name = 'edited' WHERE id IN ('t1', 't7')");
server("DELETE FROM allowed WHERE scope = 'team'");
$device->sync(1);
is($device->sql("SELECT group_concat(id, '') FROM (SELECT id FROM team ORDER BY id)"), 't1t2t3t4t5', 'rows of a scope that was revoked go');
my $pending = $device->pending;
is(join(' ', map { "$_->{key} $_->{state} $_->{code}" } @$pending), 't7 parked scope_not_allowed', '... an edit of one is parked with its content');
is($device->sql('SELECT name FROM tide_parked_team'), 'edited', '... which is kept');
server("INSERT INTO allowed VALUES ('ann', 'team')");
$device->sync(1);
is($device->sql('SELECT count(*) FROM team'), 9, 'when the scope comes back, so do its rows');
is($device->tide('retry', 'team', 't7')->{status}, 0, '... and the edit can be sent');
is(server("SELECT string_agg(name, ' ' ORDER BY id) FROM team WHERE id IN ('t1', 't7')"), 'edited edited', '... and is stored');

# a type that is tracked anew comes in full
server("SELECT tide.untrack('team')");
$device->sql("UPDATE team SET name = 'while it was away' WHERE id = 't2'");
$run = $device->tide('sync');
is($run->{status}, 1, 'a type that the server has no longer: its edits wait') or diag $run->{err};
is($device->sql('SELECT count(*) FROM team'), 9, '... and its rows stay');
server("DELETE FROM team WHERE id = 't3'; SELECT tide.track('team', scope => 'owner')");
$device->sync;
is($device->sql("SELECT count(*) FROM team WHERE id = 't3'"), 0, 'tracked anew, it comes in full: what is gone is gone');
is(server("SELECT name FROM team WHERE id = 't2'"), 'while it was away', '... and the edit goes');

done_testing;
