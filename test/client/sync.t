# What the seeds' apps ask of a client: offline create, dirty, sync, clean and
# lastSyncedAt; partial failure; the client wins; a newer server version wins;
# what was lost is kept; deletes, soft and hard; and how the command exits.
#
# Seen to fail with: dirty rows overwritten by a pull; the base moved by a pull
# (the stale edit won); take_clean() without the server's row.
use strict;
use warnings;

use FindBin ();
use IO::Socket::INET ();
use POSIX ();
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Test::More;
use TideTest qw(decode_json encode_json iso wait_for);
use TideClient;

my $cluster = TideTest::Cluster->shared;
my $database = $cluster->create_synced(<<'SQL');
CREATE TABLE "TrainingPlan" (id text PRIMARY KEY, "athleteId" text NOT NULL, name varchar(20), place text DEFAULT 'gym',
	version int, "deletedAt" timestamptz);
CREATE TABLE note (id text PRIMARY KEY, "athleteId" text NOT NULL, body text);
CREATE TABLE merged (id text PRIMARY KEY, "athleteId" text NOT NULL, a text, b text);
CREATE TABLE child (id text PRIMARY KEY, "athleteId" text NOT NULL, plan text NOT NULL REFERENCES "TrainingPlan" ON DELETE CASCADE);
CREATE INDEX ON "TrainingPlan" ("athleteId"); CREATE INDEX ON note ("athleteId");
CREATE INDEX ON merged ("athleteId"); CREATE INDEX ON child ("athleteId");
SELECT tide.track('"TrainingPlan"', scope => 'athleteId', version => 'version', deleted_at => 'deletedAt');
SELECT tide.track('note', scope => 'athleteId', conflict => 'client_wins');
SELECT tide.track('merged', scope => 'athleteId', conflict => 'merge');
SELECT tide.track('child', scope => 'athleteId');
INSERT INTO "TrainingPlan" (id, "athleteId", name) SELECT 'p' || i, 'ann', 'plan ' || i FROM generate_series(1, 9) i;
INSERT INTO note SELECT 'n' || i, 'ann', 'note ' || i FROM generate_series(1, 3) i;
INSERT INTO merged SELECT 'm' || i, 'ann', 'a', 'b' FROM generate_series(1, 3) i;
INSERT INTO "TrainingPlan" (id, "athleteId", name) VALUES ('pb', 'bob', 'his');
GRANT ALL ON "TrainingPlan", note, merged, child TO tide_user;
SQL
my $gateway = TideTest::Gateway->start(cluster => $cluster, database => $database,
	settings => { 'maintain-interval' => 0 })->wait_until_ready;
my $device = TideClient->new($gateway, 'ann', clone => ['--naming', 'snake', '--status-columns']);

sub server { return $cluster->sql($database, $_[0]); }

like($device->clone->{out}, qr/^pulled 15, pushed 0$/m, 'a clone tells what it pulled');
is($device->sql("SELECT count(*) FROM training_plan WHERE athlete_id = 'ann'"), 9, '--naming snake names tables and columns');
is($device->sql("SELECT count(*) FROM training_plan WHERE athlete_id = 'bob'"), 0, 'nobody else\'s rows');
my $status = $device->status;
is("$status->{state} $status->{pending} $status->{user} $status->{server} $status->{first_sync}",
	"idle 0 ann $gateway->{url} done", 'status says whose file it is');
is($device->try_clone->{status}, 5, 'a finished file is refused');

# offline create, dirty, sync, clean
$device->sql("INSERT INTO training_plan (id, athlete_id, name) VALUES ('new', 'ann', 'offline')");
is($device->sql("SELECT is_dirty || coalesce(last_synced_at, 'never') FROM training_plan WHERE id = 'new'"), '1never', 'a row created offline is dirty');
is($device->status->{pending}, 1, '... and pending');
my $run = $device->sync;
is("$run->{result} $run->{pushed} $run->{pending} $run->{phase}", 'done 1 0 idle', 'sync pushes it');
like($device->sql("SELECT is_dirty || last_synced_at FROM training_plan WHERE id = 'new'"), qr/^0\d{4}-/, '... and it is clean, with lastSyncedAt');
is($device->sql("SELECT version || place FROM training_plan WHERE id = 'new'"), '1gym', '... with what the server filled in');
is(server(q{SELECT "clientId" FROM "TrainingPlan" WHERE id = 'new'}), $device->status->{client_id}, '... under the device\'s name');

# the status columns are kept true
$device->sql("UPDATE training_plan SET is_dirty = 1 WHERE id = 'p1'");
is($device->pending->[0]{key}, 'p1', 'is_dirty = 1 on a clean row queues it');
$device->sql("UPDATE training_plan SET is_dirty = 0 WHERE id = 'p1'");
is($device->sql("SELECT is_dirty FROM training_plan WHERE id = 'p1'"), 1, 'is_dirty = 0 is undone while it is dirty');
$device->sync;
is($device->sql('SELECT count(*) FROM training_plan WHERE is_dirty'), 0, 'after the sync none is dirty');

# an app's own stamp
my $stamp = iso(Time::HiRes::time() - 0.02);
$device->sql("UPDATE training_plan SET name = 'stamped', last_modified_at = '$stamp' WHERE id = 'p2'");
$device->sync;
is($device->sql("SELECT last_modified_at FROM training_plan WHERE id = 'p2'"), $stamp, 'a stamp that the app sets is used')
  or diag server(q{SELECT "lastModifiedAt" FROM "TrainingPlan" WHERE id = 'p2'});
$device->sql("UPDATE training_plan SET name = 'stamped 2', last_modified_at = '2001-01-01T00:00:00Z' WHERE id = 'p2'");
$device->sync;
cmp_ok($device->sql("SELECT last_modified_at FROM training_plan WHERE id = 'p2'"), 'gt', $stamp, 'not one before the base');

# clean accepts the server, dirty is not touched
server(q{UPDATE "TrainingPlan" SET name = 'by server' WHERE id IN ('p3', 'p4')});
$device->sql("UPDATE training_plan SET name = 'mine' WHERE id = 'p4'");
server(q{UPDATE "TrainingPlan" SET name = 'by server, later' WHERE id IN ('p3', 'p4')});
$run = $device->sync(1);
is($device->sql("SELECT name FROM training_plan WHERE id = 'p3'"), 'by server, later', 'a clean row takes the server\'s version');
is("$run->{lost} $run->{pending}", '1 0', 'the older edit of a row that changed on the server is lost');
is($device->sql("SELECT name FROM training_plan WHERE id = 'p4'"), 'by server, later', '... the newer version stands');
my $lost = $device->lost;
is(decode_json($lost->[0]{mine})->{name}, 'mine', '... and mine is kept in tide_lost');
is(decode_json($lost->[0]{theirs})->{name}, 'by server, later', '... with theirs');
$device->tide('lost', '--clear');
is_deeply($device->lost, [], '... until it is cleared');

server(q{UPDATE "TrainingPlan" SET name = 'by server' WHERE id = 'p5'});
$device->sql("UPDATE training_plan SET name = 'mine, later' WHERE id = 'p5'");
$device->sync;
is(server(q{SELECT name FROM "TrainingPlan" WHERE id = 'p5'}), 'mine, later', 'the newer edit wins');

$device->sql("UPDATE note SET body = 'mine' WHERE id = 'n1'");
server("UPDATE note SET body = 'by server, later' WHERE id = 'n1'");
$device->sync;
is(server("SELECT body FROM note WHERE id = 'n1'"), 'mine', 'client_wins: the dirty row overwrites the server');

# base: the server's clock is behind, and the stamp would lose
server(q{UPDATE note SET "lastModifiedAt" = now() + interval '50 seconds', body = 'ahead' WHERE id = 'n2'});
server(q{UPDATE "TrainingPlan" SET "lastModifiedAt" = now() + interval '50 seconds', name = 'ahead' WHERE id = 'p6'});
$device->sync;
$device->sql("UPDATE training_plan SET name = 'upon it' WHERE id = 'p6'");
$device->sync;
is(server(q{SELECT name FROM "TrainingPlan" WHERE id = 'p6'}), 'upon it', 'an edit upon the version that stands wins over every clock');
server(q{UPDATE "TrainingPlan" SET name = 'moved on', "lastModifiedAt" = now() + interval '55 seconds' WHERE id = 'p6'});
$device->sql("UPDATE training_plan SET name = 'stale' WHERE id = 'p6'");
$device->sync(1);
is(server(q{SELECT name FROM "TrainingPlan" WHERE id = 'p6'}), 'moved on', '... one upon an older version does not, though it was pulled before');
$device->tide('lost', '--clear');

# merge: two columns, two editors
$device->sql("UPDATE merged SET a = 'mine' WHERE id = 'm1'");
server("UPDATE merged SET b = 'theirs' WHERE id = 'm1'");
$device->sync;
is(server("SELECT a || b FROM merged WHERE id = 'm1'"), 'minetheirs', 'merge keeps both columns');
is($device->sql("SELECT a || b FROM merged WHERE id = 'm1'"), 'minetheirs', '... on the device, too');

# partial failure
$device->sql("UPDATE training_plan SET name = 'a name that is longer than twenty' WHERE id = 'p7';"
	  . "UPDATE training_plan SET name = 'good' WHERE id = 'p8'");
$run = $device->sync(1);
is("$run->{failed} $run->{pushed} $run->{pending}", '1 1 1', 'one row fails alone');
is(server(q{SELECT name FROM "TrainingPlan" WHERE id = 'p8'}), 'good', '... the other is stored');
my $pending = $device->pending->[0];
is("$pending->{key} $pending->{state} $pending->{tries} $pending->{code}", 'p7 retry 1 22001', '... it is pending, with the reason');
is($device->sync(1)->{failed}, 0, '... and not tried again before its time');
is($device->tide('retry', 'TrainingPlan', 'p7', '--json')->{json}{failed}, 1, 'retry sends at once');
is($device->pending->[0]{tries}, 2, '... and counts');
$device->sql("UPDATE training_plan SET name = 'short' WHERE id = 'p7'");
is($device->pending->[0]{tries}, 0, 'an edit starts its count anew');
$device->sync;
is(server(q{SELECT name FROM "TrainingPlan" WHERE id = 'p7'}), 'short', '... and is sent');

# parked, and what is behind it
$device->{environment}{TIDE_RETRY_BASE_MS} = 1;
$device->sql("UPDATE training_plan SET name = 'a name that is longer than twenty' WHERE id = 'p7'");
for (1 .. 6)
{
	TideTest::wait_for('the row is due', 10, sub {
		my $p = $device->pending->[0];
		return $p->{state} eq 'queued' || ($p->{next_try_at} // '') le iso(Time::HiRes::time());
	});
	$device->sync(1);
}
$pending = $device->pending->[0];
is("$pending->{state} $pending->{tries}", 'parked 6', 'after five retries it is parked');
is($device->status->{parked}, 1, '... and status says so');
is($device->sync(1)->{failed}, 0, '... it is not sent any more');
is($device->tide('discard', 'TrainingPlan', 'p7')->{status}, 0, '... and can be discarded');
is($device->sql("SELECT name || is_dirty FROM training_plan WHERE id = 'p7'"), 'short0', '... which brings back the base');
is($device->tide('discard', 'TrainingPlan', 'p7')->{status}, 2, 'there is nothing left to discard');
delete $device->{environment}{TIDE_RETRY_BASE_MS};
$device->sync;

# deletes
$device->sql("DELETE FROM training_plan WHERE id = 'p9'; DELETE FROM note WHERE id = 'n3'");
$device->sync;
is(server(q{SELECT "deletedAt" IS NOT NULL FROM "TrainingPlan" WHERE id = 'p9'}), 't', 'DELETE on a soft-delete table is a soft delete');
is($device->sql("SELECT deleted_at IS NOT NULL FROM training_plan WHERE id = 'p9'"), 1, '... and the row is there with deletedAt');
is(server("SELECT count(*) FROM note WHERE id = 'n3'"), 0, 'elsewhere it is a hard one');
$device->sql("UPDATE training_plan SET deleted_at = '2030-01-01T00:00:00Z' WHERE id = 'p8'");
$device->sync;
is(server(q{SELECT "deletedAt" IS NOT NULL FROM "TrainingPlan" WHERE id = 'p8'}), 't', 'an UPDATE of deletedAt is a soft delete');
server("DELETE FROM note WHERE id = 'n2'");
$device->sync;
is($device->sql("SELECT count(*) FROM note WHERE id = 'n2'"), 0, 'a delete of the server\'s arrives');

# a pulled delete of a parent, a child edited offline
server(q{INSERT INTO "TrainingPlan" (id, "athleteId") VALUES ('parent', 'ann'); INSERT INTO child VALUES ('c1', 'ann', 'parent'), ('c2', 'ann', 'parent')});
$device->sync;
server(q{DELETE FROM "TrainingPlan" WHERE id = 'parent'});
$device->sql("UPDATE child SET plan = 'p1' WHERE id = 'c1'");
$device->sync;
is($device->sql('SELECT group_concat(id) FROM child'), 'c1', 'a child edited offline outlives its parent');
is(server('SELECT string_agg(id, \',\') FROM child'), 'c1', '... the edit brings it back on the server');

# one that still refers to it is kept and reported, until it refers to another
sub warning { return $device->sql("SELECT coalesce(warning, '') FROM tide_status") }
server(q{INSERT INTO "TrainingPlan" (id, "athleteId") VALUES ('gone', 'ann'); INSERT INTO child VALUES ('c3', 'ann', 'gone')});
$device->sync;
server(q{DELETE FROM "TrainingPlan" WHERE id = 'gone'});
$device->sql("UPDATE child SET is_dirty = 1 WHERE id = 'c3'");
$device->tide('sync');
is(warning(), 'child c3 refers to a row of TrainingPlan that is not there', 'an orphan that was edited is reported');
$device->sql("UPDATE child SET plan = 'p1' WHERE id = 'c3'");
$device->sync;
is(warning(), '', '... until it refers to a row that is there');
server("DELETE FROM child WHERE id = 'c3'");
$device->sync;
$device->sql("DELETE FROM training_plan WHERE id = 'p7'; UPDATE tide_state SET applying = 1;"
	. "INSERT INTO child (id, athlete_id, plan) VALUES ('c4', 'ann', 'p7'); UPDATE tide_state SET applying = 0");
is(warning(), 'child c4 refers to a row of TrainingPlan that is not there', 'so is a row that came for a parent that was deleted here');
$device->tide('discard', 'TrainingPlan', 'p7');
is(warning(), '', '... until the parent is back');
$device->sql("UPDATE tide_state SET applying = 1; DELETE FROM child WHERE id = 'c4'; UPDATE tide_state SET applying = 0");

# discard takes the server's later version
$device->sql("UPDATE note SET body = 'unsent' WHERE id = 'n1'");
server("UPDATE note SET body = 'theirs' WHERE id = 'n1'");
$device->sql("INSERT INTO tide_command (command, entity_type, key) VALUES ('discard', 'note', 'n1')");
$device->sync;
is($device->sql("SELECT body FROM note WHERE id = 'n1'"), 'theirs', 'a discard in tide_command is carried out');
is($device->status->{last_command}, 'discard: done', '... and told');

# two devices
my $other = TideClient->new($gateway, 'ann');
$other->clone;
$other->sql(q{UPDATE "TrainingPlan" SET name = 'other' WHERE id = 'p1'});
$other->sync;
$device->sync;
is($device->sql("SELECT name FROM training_plan WHERE id = 'p1'"), 'other', 'what one device pushes, another pulls');
is($device->sync->{pulled}, 0, 'and nothing comes twice');

# exit statuses
is($device->run($TideClient::program, 'sync', "$device->{directory}/none.db")->{status}, 5, 'no such file: 5');
ok(!-e "$device->{directory}/none.db", '... and none is made');
is($device->run($TideClient::program, 'frobnicate')->{status}, 2, 'no such command: 2');
is($device->tide('sync', '--frobnicate')->{status}, 2, 'no such option: 2');
$device->token_of('bob');
$device->sql("UPDATE training_plan SET name = 'secret' WHERE id = 'p2'");
is($device->tide('sync')->{status}, 4, 'another user\'s token: 4');
is(server(q{SELECT count(*) FROM "TrainingPlan" WHERE name = 'secret'}), 0, '... and nothing is sent');
is($device->status->{pending}, 1, '... the edit stays');
$device->token_of('ann', $gateway->token('ann', ttl => -3600));
is($device->tide('sync')->{status}, 4, 'an expired token: 4');
is($device->status->{state}, 'signed_out', '... and status says so');
$device->token_of('ann');
$device->sync;
is(server(q{SELECT name FROM "TrainingPlan" WHERE id = 'p2'}), 'secret', 'with a new one it goes');
my $unknown = TideClient->new($gateway, 'ann', clone => ['--entity-types', 'nothing']);
is($unknown->try_clone->{status}, 6, 'a type that the server does not have: 6');
ok(!glob("$unknown->{file}*"), '... and no file is left');
$unknown->{clone} = ['--entity-types', 'note'];
is($unknown->try_clone('--token-file', '/nowhere')->{status}, 4, 'no token file: 4');
ok(!glob("$unknown->{file}*"), '... and no file is left');
$unknown->sql('CREATE TABLE mine (a)');
is($unknown->try_clone('--entity-types', 'nothing')->{status}, 6, 'into a file of an app: 6');
is($unknown->sql(q{SELECT group_concat(name) FROM sqlite_schema WHERE name <> 'sqlite_sequence'}), 'mine', '... which is as it was');
$unknown->clone;
# one that is killed before the server says anything
my $silence = IO::Socket::INET->new(LocalHost => '127.0.0.1', Listen => 5) or die $!;
my $begun = TideClient->new($gateway, 'ann', clone => ['--entity-types', 'note']);
my $killed = fork // die $!;
if ($killed == 0)
{
	exec $TideClient::program, 'clone', 'http://127.0.0.1:' . $silence->sockport, $begun->{file}, '--token-file', $begun->{token_file},
	  '--entity-types', 'nothing'
	  or POSIX::_exit(1);
}
wait_for('the clone has begun', 20, sub { $begun->try_sql("SELECT 1 FROM tide_status WHERE state = 'syncing'")->{out} ne '' });
kill KILL => $killed;
waitpid $killed, 0;
$begun->clone;
is($begun->sql('SELECT count(*) FROM note'), $unknown->sql('SELECT count(*) FROM note'), 'one that was begun with other options begins anew');
$begun->sql(q{UPDATE tide_settings SET value = 'running' WHERE name = 'first_sync'});
my $differs = $begun->try_clone('--naming', 'snake');
is($differs->{status}, 5, 'once there are tables, other options are refused');
like($differs->{err}, qr/other options\nhint: /, '... and why');
$begun->clone;
my $narrow = TideClient->new($gateway, 'ann', clone => ['--entity-types', 'note,merged']);
$narrow->clone;
is($narrow->sql(q{SELECT group_concat(name) FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'tide%' AND name NOT LIKE 'sqlite%' ORDER BY 1}),
	'note,merged', '--entity-types makes just these');

$gateway->stop;
$device->sql("UPDATE training_plan SET name = 'waiting' WHERE id = 'p2'");
my $began = Time::HiRes::time();
$run = $device->tide('sync', '--json');
is($run->{status}, 3, 'no server: 3');
is($run->{json}{result} . $run->{json}{pending}, 'offline1', '... and the edit waits');
cmp_ok(Time::HiRes::time() - $began, '<', 10, '... within ten seconds');
is($device->status->{state}, 'offline', '... status says offline');

done_testing;
