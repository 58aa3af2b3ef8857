# Keys that the server makes, or has in another form than the device.
#
# Seen to fail with: a uuid in capitals (Swift's) as two rows, one of them never
# synced again, or the second one stored over an edit of the first; an edit of a
# numbered row that was parked refused by our own trigger when it was tried again, and
# with it every sync after the command; the verdict of a key of a domain taken for
# none; all columns of a reference emptied where the server empties one.
use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Test::More;
use TideTest;
use TideClient;

my $cluster = TideTest::Cluster->shared;
# PostgreSQL 15 has it
my $some = $cluster->sql('postgres', 'SHOW server_version_num') >= 150000 ? '(shelf)' : '';
my $database = $cluster->create_synced(<<'SQL' =~ s/\(shelf\)\);/$some);/r);
CREATE TABLE plan (id uuid PRIMARY KEY, user_id text NOT NULL, name text CHECK (name <> 'refused'));
CREATE TABLE item (id uuid PRIMARY KEY, user_id text NOT NULL, plan_id uuid REFERENCES plan, name text);
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE TABLE counted (id positive PRIMARY KEY, user_id text NOT NULL, name text);
CREATE TABLE shelf (room text, id text, user_id text NOT NULL, PRIMARY KEY (room, id));
CREATE TABLE book (id text PRIMARY KEY, user_id text NOT NULL, room text, shelf text,
	FOREIGN KEY (room, shelf) REFERENCES shelf ON DELETE SET NULL (shelf));
CREATE TABLE number (id serial PRIMARY KEY, user_id text NOT NULL, name text);
CREATE INDEX ON plan (user_id); CREATE INDEX ON item (user_id); CREATE INDEX ON number (user_id);
CREATE INDEX ON counted (user_id); CREATE INDEX ON shelf (user_id); CREATE INDEX ON book (user_id);
SELECT tide.track(t::regclass, scope => 'user_id') FROM unnest('{plan,item,number,counted,shelf,book}'::text[]) t;
INSERT INTO number (user_id, name) SELECT 'ann', 'number' FROM generate_series(1, 3) i;
INSERT INTO counted SELECT i, 'ann', 'counted' FROM generate_series(1, 3) i;
INSERT INTO shelf VALUES ('r', 's', 'ann'), ('r', 't', 'ann');
INSERT INTO book VALUES ('b', 'ann', 'r', 's');
GRANT ALL ON plan, item, number, counted, shelf, book TO tide_user;
SQL
my $gateway = TideTest::Gateway->start(cluster => $cluster, database => $database,
	settings => { 'maintain-interval' => 0 })->wait_until_ready;
my $device = TideClient->new($gateway, 'ann');
$device->clone;

sub server { return $cluster->sql($database, $_[0]); }

$device->sql("INSERT INTO plan (id, user_id, name) VALUES ('ABCDEF00-0000-4000-8000-00000000000A', 'ann', 'mine');"
	  . "INSERT INTO item (id, user_id, plan_id) VALUES ('ABCDEF00-0000-4000-8000-00000000000B', 'ann', 'ABCDEF00-0000-4000-8000-00000000000A')");
$device->sync;
is($device->sql('SELECT id, name FROM plan'), 'abcdef00-0000-4000-8000-00000000000a|mine', 'a uuid in capitals: one row, as the server has it');
is($device->sql('SELECT count(*) FROM item JOIN plan ON plan.id = plan_id'), 1, '... with its child');
server("UPDATE plan SET name = 'theirs'");
$device->sync;
is($device->sql('SELECT name FROM plan'), 'theirs', '... and goes on being synced');

# another one in capitals, beside an edit that the server has refused
$device->sql("UPDATE plan SET name = 'refused'");
$device->tide('sync');
$device->sql("INSERT INTO plan (id, user_id, name) VALUES ('ABCDEF00-0000-4000-8000-00000000000A', 'ann', 'again')");
$device->tide('sync');
is($device->sql('SELECT id, name FROM plan'), 'abcdef00-0000-4000-8000-00000000000a|refused', 'what comes back under another form of the key is not stored over an edit');
$device->tide('discard', 'plan', 'abcdef00-0000-4000-8000-00000000000a');
is($device->sql('SELECT name FROM plan'), 'again', '... but kept beside it');

# a type of the app's own
$device->sql("UPDATE counted SET name = 'mine' WHERE id = 1; INSERT INTO counted (id, user_id, name) VALUES (7, 'ann', 'new');"
	  . "UPDATE counted SET name = 'x' WHERE id = 2");
is($device->tide('discard', 'counted', 2)->{status}, 0, 'a key of a domain: an edit is found by it');
$device->sync;
is(server("SELECT string_agg(id || name, ', ' ORDER BY id) FROM counted"), '1mine, 2counted, 3counted, 7new', '... and arrives');
is($device->sql('SELECT DISTINCT typeof(id) FROM counted'), 'integer', '... as the number that it is');

# a reference of which a delete empties some columns
my $emptied = $some ? 'r|' : '|';
$device->sql("DELETE FROM shelf WHERE id = 's'");
is($device->sql("SELECT room, shelf FROM book"), $emptied, 'ON DELETE SET NULL (column): the others stay');
$device->sync;
is(server('SELECT room, shelf FROM book'), $emptied, '... on the server, too');

# the row goes while it is edited here
$device->sql("UPDATE number SET name = 'mine' WHERE id = 2");
server("DELETE FROM number WHERE id = 2; SELECT tide.untrack('number'); SELECT tide.track('number', scope => 'user_id')");
$device->sync(1);
is($device->pending->[0]{code}, 'resync_required', 'an edit of a numbered row that is gone is parked');
my $run = $device->tide('retry');
isnt($run->{status}, 5, '... and can be tried again') or diag $run->{err};

# and one that a rule of the app's keeps out
$device->sql("UPDATE number SET name = 'mine' WHERE id = 3");
server("DELETE FROM number WHERE id = 3; SELECT tide.untrack('number'); SELECT tide.track('number', scope => 'user_id')");
$device->sync(1);
$device->sql("CREATE TRIGGER app BEFORE INSERT ON number BEGIN SELECT RAISE(ABORT, 'no more'); END");
$run = $device->tide('retry', 'number', 3);
is($run->{status}, 5, 'a rule of the app that keeps it out');
like($run->{err}, qr/does not take a parked row back: no more/, '... is named');
$device->sql("INSERT INTO tide_command (command, entity_type, key) VALUES ('retry', 'number', '3');"
	  . "INSERT INTO plan (id, user_id) VALUES ('00000000-0000-4000-8000-00000000000c', 'ann')");
$device->tide('sync');
is(server("SELECT count(*) FROM plan WHERE id::text LIKE '%0c'"), 1, '... and stops no sync');
like($device->status->{last_command}, qr/retry: .*no more/, '... the command says why');
is($device->status->{parked}, 1, '... the edit is still there');

done_testing;
