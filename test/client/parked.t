# Edits that lost their place: parked, put back as what they were, or dropped.
#
# Seen to fail with: an edit that was put back without its version and its time (it
# wrote over what was newer, also in columns that it had not touched); a version
# kept for a clean row that stayed behind when the row was dropped; children of a
# parked update parked with it; a row that was moved here into a scope that goes
# dropped, though the server has it elsewhere, one that was moved out of it left behind;
# the number of a scope that goes compared with a text; columns that came since the edit
# was parked emptied by it.
use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Test::More;
use TideTest;
use TideClient;

my $cluster = TideTest::Cluster->shared;
my $database = $cluster->create_synced(<<'SQL');
CREATE TABLE team (id text PRIMARY KEY, owner text NOT NULL, name text CHECK (name <> 'refused'), colour text);
CREATE TABLE merged (id text PRIMARY KEY, owner text NOT NULL, name text, colour text);
CREATE TABLE child (id text PRIMARY KEY, owner text NOT NULL, team_id text REFERENCES team);
CREATE INDEX ON team (owner); CREATE INDEX ON merged (owner); CREATE INDEX ON child (owner);
SELECT tide.track('team', scope => 'owner'); SELECT tide.track('merged', scope => 'owner', conflict => 'merge');
SELECT tide.track('child', scope => 'owner');
CREATE TABLE loose (id text PRIMARY KEY, team int NOT NULL); CREATE INDEX ON loose (team);
SELECT tide.track('loose', scope => 'team'); GRANT ALL ON loose TO tide_user;
INSERT INTO loose VALUES ('l1', 1), ('l2', 2), ('l3', 2);
INSERT INTO team SELECT 't' || i, CASE WHEN i < 5 THEN 'ann' ELSE 'team' END, 'team', 'red' FROM generate_series(1, 9) i;
INSERT INTO merged SELECT 'm' || i, 'team', 'merged', 'red' FROM generate_series(1, 3) i;
GRANT ALL ON team, merged, child TO tide_user;
SQL
$cluster->allow($database, [ 'ann', 'ann' ], [ 'ann', 'team' ]);
my $gateway = TideTest::Gateway->start(cluster => $cluster, database => $database,
	settings => { 'maintain-interval' => 0 })->wait_until_ready;
my $device = TideClient->new($gateway, 'ann');
$device->clone;

sub server { return $cluster->sql($database, $_[0]); }

# The scope is taken away, so that edits in it are parked; and given back.
sub away { server("DELETE FROM allowed WHERE scope = 'team'"); $device->tide('sync'); return; }
sub back { server("INSERT INTO allowed VALUES ('ann', 'team')"); $device->tide('sync'); return; }

$device->sql("UPDATE merged SET name = 'mine' WHERE id = 'm1'; UPDATE team SET name = 'mine' WHERE id = 't5';"
	  . "DELETE FROM team WHERE id = 't6'; UPDATE team SET name = 'mine' WHERE id = 't7'; DELETE FROM team WHERE id = 't8';"
	  . "INSERT INTO team (id, owner, name) VALUES ('new', 'team', 'new')");
away();
is($device->status->{parked}, 6, 'edits in a scope that is gone are parked');
server("UPDATE merged SET colour = 'theirs' WHERE id = 'm1'; UPDATE team SET name = 'theirs' WHERE id IN ('t5', 't6')");
back();
is($device->sql("SELECT colour FROM merged WHERE id = 'm1'"), 'theirs', 'the rows are there again');
$device->tide('retry');
is(server("SELECT name || ' ' || colour FROM merged WHERE id = 'm1'"), 'mine theirs', 'an edit that is put back has only what it edited');
is(server("SELECT name FROM team WHERE id = 't5'"), 'theirs', '... and its time: what is newer stands');
is($device->sql("SELECT name FROM team WHERE id = 't5'"), 'theirs', '... here, too');
is($device->sql("SELECT count(*) FROM tide_lost WHERE key = 't5'"), 1, '... and it is shown');
is(server("SELECT name FROM team WHERE id = 't6'"), 'theirs', '... so does a delete');
is(server("SELECT name FROM team WHERE id = 't7'"), 'mine', '... what has no rival is stored');
is(server("SELECT count(*) FROM team WHERE id = 't8'"), 0, '... or deleted');
is(server("SELECT name FROM team WHERE id = 'new'"), 'new', '... or created');
is($device->status->{pending}, 0, '... and nothing is left');

# put back while the rows are not there
$device->sql("UPDATE team SET name = 'unseen' WHERE id = 't7'");
away();
$device->tide('retry');
is($device->tide('discard', 'team', 't7')->{status}, 0, 'an edit of a row out of sight is discarded');
is($device->sql("SELECT count(*) FROM team WHERE id = 't7'"), 0, '... and no row of it stays');
back();
is($device->sql("SELECT name FROM team WHERE id = 't7'"), 'mine', '... until it comes again');

# put back over an edit
$device->sql("UPDATE team SET name = 'first' WHERE id = 't9'");
away();
back();
$device->sql("UPDATE team SET name = 'second' WHERE id = 't9'");
my $run = $device->tide('retry', 'team', 't9');
like($run->{err}, qr/has been edited since/, 'a parked edit is not put over a later one');
$device->tide('sync');
is(server("SELECT name FROM team WHERE id = 't9'"), 'second', '... which is sent');
$device->tide('discard', 'team', 't9');
is($device->status->{pending}, 0, '... and the other one may go');

# another edit of the key, in a scope that stays, beside what is parked
server("INSERT INTO allowed VALUES ('ann', 'club'); INSERT INTO team (id, owner, name) VALUES ('k1', 'club', 'club')");
$device->tide('sync');
$device->sql("UPDATE team SET name = 'first' WHERE id = 't9'");
away();
$device->sql("INSERT INTO team (id, owner, name) VALUES ('t9', 'ann', 'refused')");
$device->sql("UPDATE team SET name = 'mine' WHERE id = 'k1'");
server("DELETE FROM allowed WHERE scope = 'club'");
$device->tide('sync');
is($device->sql("SELECT name FROM team WHERE id = 't9'"), 'refused', 'a row made under the key of a parked one stays when others are parked');
is($device->sql("SELECT group_concat(key || ' ' || state, ', ') FROM (SELECT * FROM tide_pending ORDER BY key, state)"),
	'k1 parked, t9 parked, t9 retry', '... and so does its edit');
$device->tide('discard', 'team', 'k1');
$device->tide('discard', 'team', 't9') for 1 .. 2;
is($device->status->{pending}, 0, '... until both are dropped');
back();

# two edits of a row, parked one after the other: the later one is kept, and the other is shown
$device->tide('lost', '--clear');
$device->sql("UPDATE team SET name = 'first' WHERE id = 't9'");
away();
back();
$device->sql("UPDATE team SET name = 'later' WHERE id = 't9'");
away();
is($device->status->{parked}, 1, 'one edit of a row is parked');
is($device->sql("SELECT key, mine ->> 'name', theirs ->> 'name' FROM tide_lost"), 't9|first|later', '... the earlier one is shown');
back();
$device->tide('retry');
is(server("SELECT name FROM team WHERE id = 't9'"), 'later', '... and the later one is put back');
is($device->status->{pending}, 0, '... and nothing is left');

# the version of a row that was not edited after all
$device->sql("INSERT OR IGNORE INTO team (id, owner) VALUES ('t1', 'ann'), ('t5', 'team')");
server("DELETE FROM team WHERE id = 't1'; SELECT tide.untrack('team'); SELECT tide.track('team', scope => 'owner')");
away();
is($device->sql("SELECT count(*) FROM team WHERE id IN ('t1', 't5')"), 0, 'rows that go');
$device->sql("INSERT INTO team (id, owner, name) VALUES ('t1', 'ann', 'mine'), ('t5', 'ann', 'mine')");
is($device->sql("SELECT group_concat(key || operation, ' ') FROM tide_pending"), 't1create t5create', '... leave no version behind: another of the key is a new one');
$device->tide('discard', 'team', 't1');
$device->tide('discard', 'team', 't5');
is($device->sql("SELECT count(*) FROM team WHERE id IN ('t1', 't5')"), 0, '... which goes when it is discarded');
back();

# children of what is parked
$device->sql("UPDATE team SET name = 'refused' WHERE id = 't2'; INSERT INTO team (id, owner, name) VALUES ('bad', 'ann', 'refused')");
$device->tide('sync');
$device->tide('retry') for 1 .. 5;
is($device->sql("SELECT count(*) FROM tide_pending WHERE state = 'parked'"), 2, 'two rows are parked');
$device->sql("INSERT INTO child (id, owner, team_id) VALUES ('c1', 'ann', 't2'), ('c2', 'ann', 'bad')");
$device->tide('sync');
is(server("SELECT string_agg(id, ' ') FROM child"), 'c1', 'a child of a row that the server has is sent');
is($device->sql("SELECT state || ' ' || code FROM tide_pending WHERE key = 'c2'"), 'parked parent_parked', '... that of a new one waits');

# rows that an edit moves from scope to scope, of which one goes
$device->tide('discard', @$_) for [ 'team', 't2' ], [ 'team', 'bad' ], [ 'child', 'c2' ];
server("INSERT INTO allowed VALUES ('ann', 'club'); INSERT INTO team (id, owner, name) VALUES ('in', 'ann', 'x'), ('out', 'club', 'x'), ('away', 'club', 'x')");
$device->sync;
server("UPDATE team SET owner = 'ann' WHERE id = 'away'");
$device->sql("UPDATE team SET name = 'refused' WHERE id = 'away'");
$device->sync(1);
$device->sql("UPDATE team SET owner = 'club' WHERE id = 'in'; UPDATE team SET owner = 'ann' WHERE id = 'out'");
server("DELETE FROM allowed WHERE scope = 'club'");
$device->tide('sync');
is($device->sql("SELECT group_concat(key || ' ' || state || ' ' || code, ', ') FROM (SELECT * FROM tide_pending ORDER BY key)"),
	'away retry 23514, in retry scope_not_allowed, out parked scope_not_allowed', 'an edit is parked if the server has its row in the scope that goes');
$device->tide('discard', 'team', $_) for 'in', 'out', 'away';
is($device->sql("SELECT group_concat(id || ' ' || owner || ' ' || name, ', ') FROM (SELECT * FROM team WHERE id IN ('in', 'out', 'away') ORDER BY id)"),
	'away ann x, in ann x', '... and what the server has elsewhere is still here');
is($device->sync->{pending}, 0, '... and nothing is left');

# scopes that are numbers, in a column that an app has declared without a type
server("INSERT INTO allowed VALUES ('ann', '1'), ('ann', '2')");
my $app = TideClient->new($gateway, 'ann');
$app->sql('CREATE TABLE loose (id TEXT NOT NULL PRIMARY KEY, team)');
is($app->run($TideClient::program, 'attach', $app->{url}, $app->{file}, '--token-file', $app->{token_file})->{status}, 0, 'a column without a type');
$app->sql("INSERT INTO loose VALUES ('l4', 2)");
server("DELETE FROM allowed WHERE scope = '2'");
$app->tide('sync');
is($app->sql('SELECT group_concat(id) FROM loose'), 'l1', '... has the numbers of scopes that go');
is($app->status->{parked}, 1, '... also of what was made here');

# a column that comes while an edit is parked
$device->sql("UPDATE team SET name = 'mine' WHERE id IN ('t5', 't6'); UPDATE merged SET name = 'mine' WHERE id = 'm2'");
away();
server("ALTER TABLE team ADD COLUMN size text DEFAULT 'large', ADD COLUMN n int NOT NULL DEFAULT 3; ALTER TABLE merged ADD COLUMN size text DEFAULT 'large'");
back();
$device->tide('retry');
is(server("SELECT string_agg(concat_ws(' ', id, name, size, n), ', ' ORDER BY id) FROM team WHERE id IN ('t5', 't6')"), 't5 mine large 3, t6 mine large 3',
	'a parked edit does not empty a column that came since');
is(server("SELECT name || size FROM merged WHERE id = 'm2'"), 'minelarge', '... under merge, too');
is($device->status->{pending}, 0, '... and nothing is left');

done_testing;
