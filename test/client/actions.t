# What a delete does to the children of the row, as the server would.
#
# Seen to fail with: SET DEFAULT done behind a closed gate (a rule of the app's
# that ended it half done left the gate closed, and no edit was noted from then on;
# a dirty child was pushed with NULL, and so was one that an INSERT OR IGNORE left alone; a delete that was discarded left NULL for
# ever); a soft delete that took the children along.
use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Test::More;
use TideTest;
use TideClient;

my $cluster = TideTest::Cluster->shared;
my $database = $cluster->create_synced(<<'SQL');
CREATE TABLE plan (id text PRIMARY KEY, user_id text NOT NULL, name text CHECK (name <> 'refused'));
CREATE TABLE item (id text PRIMARY KEY, user_id text NOT NULL, plan_id text DEFAULT 'p1' REFERENCES plan ON DELETE SET DEFAULT, name text);
CREATE TABLE note (id text PRIMARY KEY, user_id text NOT NULL, text text);
CREATE TABLE sp (id text PRIMARY KEY, user_id text NOT NULL, name text, deleted_at timestamptz);
CREATE TABLE sc (id text PRIMARY KEY, user_id text NOT NULL, sp_id text REFERENCES sp ON DELETE CASCADE, name text);
CREATE INDEX ON plan (user_id); CREATE INDEX ON item (user_id); CREATE INDEX ON note (user_id); CREATE INDEX ON sp (user_id); CREATE INDEX ON sc (user_id);
SELECT tide.track(t::regclass, scope => 'user_id') FROM unnest('{plan,item,note,sc}'::text[]) t;
SELECT tide.track('sp', scope => 'user_id', deleted_at => 'deleted_at');
INSERT INTO plan SELECT 'p' || i, 'ann', 'plan' FROM generate_series(1, 9) i;
INSERT INTO item SELECT 'i' || i, 'ann', 'p' || i, 'item' FROM generate_series(1, 9) i;
INSERT INTO sp SELECT 's' || i, 'ann', 'sp' FROM generate_series(1, 3) i;
INSERT INTO sc SELECT 'c' || i, 'ann', 's' || i, 'sc' FROM generate_series(1, 3) i;
GRANT ALL ON plan, item, note, sp, sc TO tide_user;
SQL
my $gateway = TideTest::Gateway->start(cluster => $cluster, database => $database,
	settings => { 'maintain-interval' => 0 })->wait_until_ready;
my $device = TideClient->new($gateway, 'ann');
$device->clone;

sub server { return $cluster->sql($database, $_[0]); }
sub pending { return $device->sql("SELECT group_concat(entity_type || ' ' || key || ' ' || operation, ', ') FROM (SELECT * FROM tide_pending ORDER BY 1, 2)"); }

# ON DELETE SET DEFAULT
$device->sql("DELETE FROM plan WHERE id = 'p2'");
is($device->sql("SELECT plan_id IS NULL FROM item WHERE id = 'i2'"), 1, 'SET DEFAULT: the child shows NULL');
is(pending(), 'plan p2 delete', '... which is no edit');
$device->sql("INSERT OR IGNORE INTO item (id, user_id) VALUES ('i2', 'ann'); UPDATE item SET name = 'edited' WHERE id = 'i2'");
$device->sync;
is($device->sql("SELECT plan_id FROM item WHERE id = 'i2'"), 'p1', "... until the server's default has come");

$device->sql("DELETE FROM plan WHERE id = 'p3'; UPDATE item SET name = 'mine' WHERE id = 'i3'");
$device->sync;
is(server("SELECT plan_id || ' ' || name FROM item WHERE id = 'i3'"), 'p1 mine', 'a child that is edited is sent without it');
is($device->sql("SELECT plan_id || ' ' || name FROM item WHERE id = 'i3'"), 'p1 mine', '... and gets the default, too');

$device->sql("DELETE FROM plan WHERE id = 'p4'");
is($device->tide('discard', 'plan', 'p4')->{status}, 0, 'a delete is discarded');
is($device->sql("SELECT plan_id FROM item WHERE id = 'i4'"), 'p4', '... the child refers to it again');
is(pending(), '', '... and nothing is left to send');
$device->sql("UPDATE item SET name = 'mine' WHERE id = 'i4'");
$device->sync;
is(server("SELECT plan_id || ' ' || name FROM item WHERE id = 'i4'"), 'p4 mine', '... nor does a later edit lose it');

$device->sql("BEGIN; DELETE FROM plan WHERE id = 'p5'; INSERT INTO plan (id, user_id, name) VALUES ('p5', 'ann', 'anew'); COMMIT");
is($device->sql("SELECT plan_id FROM item WHERE id = 'i5'"), 'p5', 'deleted and inserted again: the child refers to it');
is(pending(), 'plan p5 update', '... and is not edited');
$device->sync;
is(server("SELECT i.plan_id || ' ' || p.name FROM item i JOIN plan p ON p.id = plan_id WHERE i.id = 'i5'"), 'p5 anew', '... nor on the server');

$device->sql("DELETE FROM plan WHERE id = 'p6'; UPDATE item SET plan_id = 'p1' WHERE id = 'i6'; UPDATE item SET plan_id = NULL WHERE id = 'i6'");
$device->sync;
is(server("SELECT plan_id IS NULL FROM item WHERE id = 'i6'"), 't', 'NULL that somebody has set is sent');
$device->sql("DELETE FROM plan WHERE id = 'p7'; DELETE FROM item WHERE id = 'i7'; INSERT INTO item (id, user_id, plan_id, name) VALUES ('i7', 'ann', NULL, 'anew')");
$device->sync;
is(server("SELECT plan_id IS NULL FROM item WHERE id = 'i7'"), 't', '... also in a row that was made anew');
is($device->sql("SELECT count(*) FROM tide_emptied"), 0, '... nothing is remembered for ever');

# a rule of the app's that ends it half done
$device->sql("CREATE TRIGGER app BEFORE UPDATE ON item WHEN NEW.plan_id IS NULL BEGIN SELECT RAISE(FAIL, 'no'); END");
$device->try_sql("DELETE FROM plan WHERE id = 'p8'");
$device->sql("INSERT INTO note (id, user_id, text) VALUES ('n1', 'ann', 'mine')");
is($device->sql("SELECT count(*) FROM tide_pending WHERE entity_type = 'note'"), 1, 'an action that was ended by the app hides no edit');
$device->sql("DROP TRIGGER app; CREATE TRIGGER app AFTER UPDATE ON item WHEN NEW.plan_id IS NULL BEGIN INSERT INTO note (id, user_id, text) VALUES ('of ' || NEW.id, 'ann', 'emptied'); END;"
	  . "DELETE FROM plan WHERE id = 'p9'");
is($device->sql("SELECT count(*) FROM tide_pending WHERE key = 'of i9'"), 1, "... nor what the app's own triggers write");
$device->sync;
is(server("SELECT string_agg(id, ', ' ORDER BY id) FROM note"), 'n1, of i9', '... all of it arrives');
is(server("SELECT plan_id FROM item WHERE id = 'i9'"), 'p1', '... and the default is set');

# a delete that is a soft one on the server
$device->sql("PRAGMA foreign_keys = ON; DELETE FROM sp WHERE id = 's1'");
is(pending(), 'sp s1 delete', 'the children of what is deleted softly are not');
$device->sync;
is(server("SELECT count(*) FROM sc JOIN sp ON sp.id = sp_id WHERE deleted_at IS NOT NULL"), 1, '... nor on the server');
is($device->sql("SELECT sc.id, deleted_at IS NOT NULL FROM sc JOIN sp ON sp.id = sp_id WHERE sp.id = 's1'"), 'c1|1', '... and the parent is there as deleted');

my $own = TideClient->new($gateway, 'ann', name => 'own.db');
$own->sql("CREATE TABLE plan (id TEXT NOT NULL PRIMARY KEY, user_id TEXT, name TEXT);"
	  . "CREATE TABLE item (id TEXT NOT NULL PRIMARY KEY, user_id TEXT, plan_id TEXT NOT NULL, name TEXT)");
my $run = $own->run($TideClient::program, 'attach', $own->{url}, $own->{file}, '--token-file', $own->{token_file});
is($run->{status}, 5, 'a column of an app that SET DEFAULT cannot empty');
like($run->{err}, qr/"item" has a column "plan_id" that is NOT NULL/, '... is refused by name');

done_testing;
