# What any program writes into a device's tables is noted, whatever statement it
# uses: the sqlite3 shell and Python's sqlite3 write here, neither loads
# anything of ours.
#
# Seen to fail with: INSERT OR IGNORE in the triggers' bodies instead of ON
# CONFLICT DO NOTHING (an OR REPLACE of the user's overwrites the base); no
# BEFORE INSERT trigger (a REPLACE has no base); the note of a row that was never
# sent not deleted with it; max() left out of edited_at.
use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Test::More;
use TideTest qw(decode_json);
use TideClient;

my $cluster = TideTest::Cluster->shared;
my $database = $cluster->create_synced(<<'SQL');
CREATE TABLE plan (id text PRIMARY KEY, user_id text NOT NULL, name text, n int);
CREATE TABLE item (id text PRIMARY KEY, user_id text NOT NULL, plan_id text REFERENCES plan ON DELETE CASCADE, name text);
CREATE TABLE pair (a int, b text, user_id text NOT NULL, v text, PRIMARY KEY (a, b));
CREATE TABLE number (id int PRIMARY KEY, user_id text NOT NULL, v text);
CREATE TABLE odd ("rowid" text PRIMARY KEY, "user_id" text NOT NULL, "a ""quoted"" name" text, "select" int);
CREATE INDEX ON plan (user_id); CREATE INDEX ON item (user_id); CREATE INDEX ON pair (user_id);
CREATE INDEX ON number (user_id); CREATE INDEX ON odd (user_id);
SELECT tide.track(t::regclass, scope => 'user_id') FROM unnest('{plan,item,pair,number,odd}'::text[]) t;
INSERT INTO plan SELECT 'p' || i, 'ann', 'plan ' || i, i FROM generate_series(1, 9) i;
INSERT INTO item SELECT 'i' || i, 'ann', 'p' || i, 'item ' || i FROM generate_series(1, 9) i;
INSERT INTO pair SELECT i, 'b' || i, 'ann', 'pair' FROM generate_series(1, 3) i;
INSERT INTO number SELECT i, 'ann', 'number' FROM generate_series(1, 3) i;
INSERT INTO odd VALUES ('r1', 'ann', 'text', 1);
GRANT ALL ON plan, item, pair, number, odd TO tide_user;
SQL
my $gateway = TideTest::Gateway->start(cluster => $cluster, database => $database,
	settings => { 'maintain-interval' => 0 })->wait_until_ready;
my $device = TideClient->new($gateway, 'ann');
$device->clone;

sub server { return $cluster->sql($database, $_[0]); }

# What is pending, as "type key operation" lines.
sub pending
{
	return join ', ', sort map { "$_->{entity_type} $_->{key} $_->{operation}" }
	  @{ $device->pending };
}

sub base { return $device->sql("SELECT name FROM tide_base_plan WHERE id = '$_[0]'"); }

is(pending(), '', 'a new clone has nothing pending');

# each way to write
$device->sql("UPDATE plan SET name = 'edited' WHERE id = 'p1'");
is(pending(), 'plan p1 update', 'UPDATE is noted');
is(base('p1'), 'plan 1', '... with the row as the server showed it');
$device->sql("UPDATE plan SET name = 'again' WHERE id = 'p1'");
is(base('p1'), 'plan 1', '... also after a second one');
$device->sync;

$device->sql("INSERT OR REPLACE INTO plan (id, user_id, name) VALUES ('p1', 'ann', 'replaced')");
is(pending(), 'plan p1 update', 'REPLACE over a clean row is an update');
is(base('p1'), 'again', '... with the row that it replaced as base');
is($device->sql("SELECT count(*) FROM item WHERE plan_id = 'p1'"), 1, '... and its children stay');
$device->sql("INSERT OR REPLACE INTO plan (id, user_id, name) VALUES ('p1', 'ann', 'replaced 2')");
is(base('p1'), 'again', 'a second REPLACE keeps the base');
$device->sync;
is(server("SELECT name FROM plan WHERE id = 'p1'"), 'replaced 2', 'it is on the server');
is(server("SELECT count(*) FROM item WHERE plan_id = 'p1'"), 1, '... with its child');

for my $clause ('OR REPLACE', 'OR IGNORE', 'OR FAIL', 'OR ABORT', 'OR ROLLBACK')
{
	my $name = "by $clause";
	$device->sql("UPDATE $clause plan SET name = '$name' WHERE id = 'p2'");
	is(pending(), 'plan p2 update', "UPDATE $clause is noted");
	is(base('p2'), 'plan 2', '... and keeps the base');
}
$device->sql("INSERT INTO plan (id, user_id, name) VALUES ('p2', 'ann', 'x')"
	  . " ON CONFLICT (id) DO UPDATE SET name = 'by upsert'");
is(base('p2'), 'plan 2', 'an upsert keeps the base');
$device->python("db.execute(\"UPDATE plan SET name = ? WHERE id = 'p2'\", ('by python',))");
$device->sync;
is(server("SELECT name FROM plan WHERE id = 'p2'"), 'by python', 'the last one arrives');

$device->sql("INSERT OR IGNORE INTO plan (id, user_id, name) VALUES ('p3', 'ann', 'ignored')");
is(pending(), '', 'an INSERT that was ignored is none');
$device->sql("UPDATE plan SET name = name");
is(pending(), '', 'an UPDATE that changes nothing is none');
$device->sql("UPDATE plan SET lastModifiedAt = '2020-01-01T00:00:00.000Z' WHERE id = 'p3'");
is(pending(), '', 'a stamp alone is no edit');
$device->sql("UPDATE OR REPLACE plan SET name = 'based' WHERE id = 'p3'");
is($device->sql("SELECT lastModifiedAt LIKE '2020%' FROM tide_base_plan WHERE id = 'p3'"), 0,
	'... and the base has the stamp of the server, not that of the app');
$device->sync;
is(server("SELECT name FROM plan WHERE id = 'p3'"), 'based', '... so that the edit stands');

# deletes and keys
$device->sql("DELETE FROM item WHERE id = 'i3'");
is(pending(), 'item i3 delete', 'DELETE is noted');
$device->sql("INSERT INTO item (id, user_id, plan_id, name) VALUES ('i3', 'ann', 'p3', 'back')");
is(pending(), 'item i3 update', 'delete, then insert of one key: one put');
$device->sync;
is(server("SELECT name FROM item WHERE id = 'i3'"), 'back', '... which arrives');

$device->sql("INSERT INTO item (id, user_id, name) VALUES ('new', 'ann', 'new')");
is(pending(), 'item new create', 'INSERT is noted');
$device->sql("DELETE FROM item WHERE id = 'new'");
is(pending(), '', 'created and deleted before it was sent: nothing to tell');

$device->sql("UPDATE item SET id = 'i4b' WHERE id = 'i4'");
is(pending(), 'item i4 delete, item i4b create', 'a new key is a delete and a put');
$device->sync;
is(server("SELECT string_agg(id, ' ' ORDER BY id) FROM item WHERE id LIKE 'i4%'"), 'i4b', '... on the server, too');
$device->sql("UPDATE OR REPLACE item SET id = 'i5' WHERE id = 'i6'");
is(pending(), 'item i5 update, item i6 delete', 'UPDATE OR REPLACE onto a key in use');
is($device->sql("SELECT name FROM tide_base_item WHERE id = 'i5'"), 'item 5', '... keeps the base of that row');
$device->sync;
is(server("SELECT string_agg(id || ' ' || name, ', ' ORDER BY id) FROM item WHERE id IN ('i5', 'i6')"),
	'i5 item 6', '... and arrives');

$device->sql("UPDATE pair SET v = 'edited' WHERE a = 2");
is(pending(), 'pair {"a":2,"b":"b2"} update', 'a key of two columns is an object');
is($device->tide('discard', 'pair', '{"a": 2, "b": "b2"}')->{status}, 0, '... by which it is discarded');
is($device->sql('SELECT v FROM pair WHERE a = 2'), 'pair', '... and restored');
$device->sql("DELETE FROM pair WHERE a = 3; INSERT INTO pair VALUES (7, 'b7', 'ann', 'mine', NULL, NULL)");
$device->sync;
is(server("SELECT string_agg(a || v, ' ' ORDER BY a) FROM pair"), '1pair 2pair 7mine', 'such rows are pushed');

for my $insert ("INSERT INTO number (user_id, v) VALUES ('ann', 'x')",
	"INSERT INTO number (id, user_id) VALUES (NULL, 'ann')",
	"INSERT INTO plan (id, user_id) VALUES (NULL, 'ann')",
	"INSERT OR REPLACE INTO pair (a, b, user_id) VALUES (1, NULL, 'ann')")
{
	isnt($device->try_sql($insert)->{status}, 0, "refused: $insert");
}

# names that are no names
$device->sql('UPDATE odd SET "a ""quoted"" name" = \'it\'\'s\', "select" = 2; INSERT INTO odd ("rowid", user_id) VALUES (\'r2\', \'ann\')');
$device->sync;
is(server(q{SELECT string_agg(concat_ws(' ', "rowid", "a ""quoted"" name", "select"), ', ' ORDER BY "rowid") FROM odd}),
	q{r1 it's 2, r2}, 'quoted names work');

# trusted_schema = OFF, foreign_keys = ON, recursive_triggers = ON
$device->sql("PRAGMA trusted_schema = OFF; PRAGMA foreign_keys = ON;"
	  . "UPDATE plan SET name = 'untrusted' WHERE id = 'p8'; INSERT INTO plan (id, user_id) VALUES ('p10', 'ann');"
	  . "SELECT count(*) FROM tide_pending; SELECT pending FROM tide_status");
is(pending(), 'plan p10 create, plan p8 update', 'with trusted_schema = OFF, too');
$device->sql("PRAGMA recursive_triggers = ON; INSERT OR REPLACE INTO plan (id, user_id, name) VALUES ('p5', 'ann', 'recursive')");
is(pending(), 'plan p10 create, plan p5 update, plan p8 update', 'with recursive_triggers = ON, too');
is(base('p5'), 'plan 5', '... and with its base');
$device->sync;

# a row that is gone, but marked as edited, is never a delete
$device->sql("UPDATE plan SET name = 'vanishing' WHERE id = 'p7';"
	  . "UPDATE tide_state SET applying = 1; DELETE FROM plan WHERE id = 'p7'; UPDATE tide_state SET applying = 0");
$device->sync(1);
is(server("SELECT name FROM plan WHERE id = 'p7'"), 'plan 7', 'a row that vanished without a delete is not deleted');
is($device->sql("SELECT name FROM plan WHERE id = 'p7'"), 'plan 7', '... and comes back');
$device->tide('lost', '--clear');

# stamps
$device->sql("UPDATE plan SET name = 'first' WHERE id = 'p4'");
my $first = $device->sql("SELECT edited_at FROM tide_dirty_plan WHERE key1 = 'p4'");
$device->sql("UPDATE tide_dirty_plan SET edited_at = edited_at + 31536000000 WHERE key1 = 'p4';"
	  . "UPDATE plan SET name = 'after the clock was set back' WHERE id = 'p4'");
cmp_ok($device->sql("SELECT edited_at FROM tide_dirty_plan WHERE key1 = 'p4'"), '==', $first + 31536000001,
	'a clock that was set back a year: the stamp does not go back');
$device->sql("BEGIN; UPDATE plan SET name = 'a' WHERE id = 'p5'; UPDATE plan SET name = 'b' WHERE id = 'p5'; COMMIT");
$device->sync;

# a row cannot be written by somebody else's hand into the notes' columns
is(pending(), '', 'nothing is left pending');
is($device->sql('PRAGMA integrity_check'), 'ok', 'the file is sound');
is($device->sql('SELECT count(*) FROM tide_base_plan'), 0, 'no base is left behind');

done_testing;
