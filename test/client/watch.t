# tide watch: what any program writes goes to the server within a second, what
# the server has comes by itself, whatever the network does meanwhile.
#
# Seen to fail with: the number of the last edit alone compared (a restored file
# begins it again).
use strict;
use warnings;

use FindBin ();
use POSIX ();
use Time::HiRes ();
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Test::More;
use TideTest qw(wait_for iso);
use TideClient;

my $cluster = TideTest::Cluster->shared;
my $database = $cluster->create_synced(<<'SQL');
CREATE TABLE plan (id text PRIMARY KEY, user_id text NOT NULL, name varchar(40));
CREATE TABLE item (id text PRIMARY KEY, user_id text NOT NULL, plan_id text REFERENCES plan ON DELETE CASCADE, name text);
CREATE INDEX ON plan (user_id); CREATE INDEX ON item (user_id);
SELECT tide.track('plan', scope => 'user_id');
SELECT tide.track('item', scope => 'user_id');
INSERT INTO plan SELECT 'p' || i, 'ann', 'plan' FROM generate_series(1, 9) i;
GRANT ALL ON plan, item TO tide_user;
SQL
my $gateway = TideTest::Gateway->start(cluster => $cluster, database => $database,
	settings => { 'maintain-interval' => 0 })->wait_until_ready;
my $device = TideClient->new($gateway, 'ann');
$device->clone;
my $watch;

sub server { return $cluster->sql($database, $_[0]); }

sub arrives
{
	my ($what, $condition, $seconds) = @_;
	my $began = Time::HiRes::time();
	ok(eval { wait_for($what, 20, $condition); 1 }, $what) or diag $@, $watch->said;
	my $took = Time::HiRes::time() - $began;
	cmp_ok($took, '<', $seconds, "... within $seconds s") if $seconds;
	return;
}

$watch = $device->watch;
arrives('it says that it watches', sub { $watch->said =~ /^watching$/m });

# by three writers that know nothing of it
$device->sql("UPDATE plan SET name = 'by the shell' WHERE id = 'p1'");
arrives('an UPDATE by the sqlite3 shell goes', sub { server("SELECT name FROM plan WHERE id = 'p1'") eq 'by the shell' }, 3);
$device->python("db.execute(\"INSERT INTO plan (id, user_id, name) VALUES ('python', 'ann', ?)\", ('by python',))");
arrives('an INSERT by Python goes', sub { server("SELECT count(*) FROM plan WHERE name = 'by python'") == 1 }, 3);
$device->python(<<'PYTHON');
db.execute('PRAGMA foreign_keys = ON')
db.execute('BEGIN')
db.execute("INSERT INTO item (id, user_id, plan_id, name) VALUES ('child', 'ann', 'parent', 'x')")
db.execute("INSERT INTO plan (id, user_id, name) VALUES ('parent', 'ann', 'x')")
db.execute('COMMIT')
PYTHON
arrives('parent and child by a program with foreign keys on go', sub { server("SELECT count(*) FROM item WHERE plan_id = 'parent'") == 1 }, 3);
$device->python("db.execute('PRAGMA foreign_keys = ON')\ndb.execute(\"DELETE FROM plan WHERE id = 'parent'\")");
arrives('... and its DELETE of the parent takes both', sub { server("SELECT count(*) FROM plan WHERE id = 'parent'") == 0 }, 3);
arrives('... here, too', sub { $device->sql('SELECT count(*) FROM item') == 0 });

# from the server
server("UPDATE plan SET name = 'by the server' WHERE id = 'p2'");
arrives('an UPDATE of the server comes by itself', sub { $device->sql("SELECT name FROM plan WHERE id = 'p2'") eq 'by the server' });
server("UPDATE plan SET name = 'and another' WHERE id = 'p3'");
arrives('... and the next', sub { $device->sql("SELECT name FROM plan WHERE id = 'p3'") eq 'and another' });
is($device->sql("SELECT group_concat(table_name) FROM tide_changed WHERE change_seq = (SELECT change_seq FROM tide_status)"), 'plan',
	'the file says which table the last change was of');

# others use the file meanwhile
$device->sql("UPDATE plan SET name = 'another syncer' WHERE id = 'p4'");
my $run = $device->tide('sync');
is($run->{status}, 0, 'a sync beside it is done') or diag $run->{err};
$device->sql("INSERT INTO tide_command (command, entity_type, key) VALUES ('frobnicate', NULL, NULL)");
arrives('a command is executed', sub { ($device->status->{last_command} // '') =~ /^frobnicate: / }, 3);

# a row that is refused is tried again by time
$device->{environment}{TIDE_RETRY_BASE_MS} = 10;
$watch->stop;
is($watch->status, 0, 'SIGTERM ends it with 0');
$watch = $device->watch;
$device->sql("UPDATE plan SET name = 'a name that is longer than the forty that are allowed' WHERE id = 'p5'");
arrives('a refused row is tried again', sub { my $p = $device->pending->[0]; $p && $p->{tries} > 2 });
$device->sql("UPDATE plan SET name = 'short' WHERE id = 'p5'");
arrives('... and goes when it is mended', sub { server("SELECT name FROM plan WHERE id = 'p5'") eq 'short' }, 3);

# the network
$gateway->stop;
$device->sql("UPDATE plan SET name = 'offline' WHERE id = 'p6'");
arrives('without a server it says offline', sub { $device->status->{state} eq 'offline' });
is($device->status->{pending}, 1, '... and keeps the edit');
ok(!$watch->ended, '... and goes on');
$gateway = TideTest::Gateway->start(cluster => $cluster, database => $database,
	settings => { 'maintain-interval' => 0, listen => "127.0.0.1:$gateway->{port}" })->wait_until_ready;
arrives('when the server is back, the queue empties by itself', sub { server("SELECT name FROM plan WHERE id = 'p6'") eq 'offline' });
arrives('... and the state is idle', sub { $device->status->{state} eq 'idle' });
arrives('... and it says so', sub { $watch->said =~ /^offline\n(?:.*\n)*online$/m });

# a token that has expired: the file has a new one
$device->token_of('ann', $gateway->token('ann', ttl => 2));
$watch->stop;
$watch = $device->watch;
arrives('it watches with a token of two seconds', sub { $watch->said =~ /^watching$/m });
wait_for('the token has expired', 10, sub { time - $watch->{began} > 3 });
$device->token_of('ann');
$device->sql("UPDATE plan SET name = 'with a new token' WHERE id = 'p7'");
arrives('a token that expired is read anew from its file', sub { server("SELECT name FROM plan WHERE id = 'p7'") eq 'with a new token' });

# the file is swapped for a backup under its feet
$device->run('sqlite3', $device->{file}, "VACUUM INTO '$device->{directory}/backup.db'");
$device->sql("UPDATE plan SET name = 'after the backup' WHERE id = 'p8'");
arrives('an edit after the backup goes', sub { server("SELECT name FROM plan WHERE id = 'p8'") eq 'after the backup' });
unlink "$device->{file}-wal", "$device->{file}-shm";
rename "$device->{directory}/backup.db", $device->{file} or die $!;
$device->sql("UPDATE plan SET name = 'in the restored file' WHERE id = 'p9'");
arrives('a file that was swapped for its backup is opened anew', sub { server("SELECT name FROM plan WHERE id = 'p9'") eq 'in the restored file' });
arrives('... and gets what the backup did not have', sub { $device->sql("SELECT name FROM plan WHERE id = 'p8'") eq 'after the backup' });
is(server("SELECT name FROM plan WHERE id = 'p8'"), 'after the backup', '... which stays on the server');

# Restored in place, by SQLite's own means.  The watcher sees restore and edit at
# once: between the two, the lower number of the last edit would tell it.
sub restore_and_edit
{
	my ($name) = @_;
	wait_for('it holds no lock when it is stopped', 20, sub {
		kill STOP => $watch->{pid};
		return 1 if $device->run('sqlite3', '-bail', $device->{file}, 'BEGIN IMMEDIATE; ROLLBACK')->{status} == 0;
		kill CONT => $watch->{pid};
		return 0;
	});
	$device->run('sqlite3', '-cmd', '.timeout 10000', $device->{file}, ".restore '$device->{directory}/backup.db'");
	$device->sql("UPDATE plan SET name = '$name' WHERE id = 'p1'");
	kill CONT => $watch->{pid};
	return;
}

$device->run('sqlite3', $device->{file}, ".backup '$device->{directory}/backup.db'");
$device->sql("UPDATE plan SET name = 'after the second backup' WHERE id = 'p8'");
arrives('an edit after the second backup goes', sub { server("SELECT name FROM plan WHERE id = 'p8'") eq 'after the second backup' });
restore_and_edit('after the restore');
arrives('an edit in a file that was restored in place goes', sub { server("SELECT name FROM plan WHERE id = 'p1'") eq 'after the restore' });
arrives('... and what came after the backup comes back', sub { $device->sql("SELECT name FROM plan WHERE id = 'p8'") eq 'after the second backup' });

# for good
$device->token_of('bob');
$watch->stop;
is($watch->status, 0, 'it ends with 0 once more');
$watch = $device->watch;
arrives('with the token of another user it ends', sub { $watch->ended });
is($watch->status, 4, '... with 4');

# a file of some types and an app's own are told what concerns them
for my $kind ('clone', 'attach')
{
	my $part = TideClient->new($gateway, 'ann');
	$part->sql('CREATE TABLE item (id TEXT NOT NULL PRIMARY KEY, name TEXT)') if $kind eq 'attach';
	$part->run($TideClient::program, $kind, $part->{url}, $part->{file}, '--token-file', $part->{token_file}, '--entity-types', 'item');
	my $other = $part->watch;
	arrives("$kind of one type watches", sub { $part->status->{state} eq 'idle' && $other->said =~ /watching/ });
	server("INSERT INTO item (id, user_id, name) VALUES ('of $kind', 'ann', 'news')");
	arrives('... and gets what is new of it', sub { $part->sql("SELECT count(*) FROM item WHERE id = 'of $kind'") == 1 }, 4);
	$other->stop;
}

# logout
$device->token_of('ann');
$device->sql("UPDATE plan SET name = 'unsent' WHERE id = 'p2'");
$run = $device->tide('logout');
is($run->{status}, 1, 'a logout with unsent edits is refused: 1');
like($run->{err}, qr/1 edits? (is|are) not sent/, '... with how many');
is($device->tide('sync')->{status}, 0, '... and nothing has changed');
$device->sql("UPDATE plan SET name = 'unsent' WHERE id = 'p3'");
is($device->tide('logout', '--force')->{status}, 0, 'forced, it is done');
is($device->tide('sync')->{status}, 4, 'sync after it: 4');
is($device->status->{state} . $device->status->{pending}, 'signed_out1', '... rows and edits stay');
is($device->tide('watch')->{status}, 4, 'watch after it: 4');
is($device->tide('sync', '--token-file', $device->{token_file})->{status}, 0, 'a new token goes on');
is(server("SELECT name FROM plan WHERE id = 'p3'"), 'unsent', '... with the edit');
$device->sql("UPDATE plan SET name = 'unsent' WHERE id = 'p4'");
is($device->tide('logout', '--wipe')->{status}, 1, 'a wipe with unsent edits is refused, too');
my $client_id = $device->status->{client_id};
is($device->tide('logout', '--wipe', '--force')->{status}, 0, '... unless it is forced');
is($device->sql('SELECT (SELECT count(*) FROM plan) + (SELECT count(*) FROM tide_pending)'), 0, '... then rows and edits are gone');
unlike(do { local (@ARGV, $/) = ($device->{file}); <> }, qr/after the restore/, '... also from the file\'s free pages');
$device->token_of('bob');
server("INSERT INTO plan VALUES ('of bob', 'bob', 'his')");
is($device->tide('sync', '--token-file', $device->{token_file})->{status}, 0, 'the wiped file is for anybody');
is($device->sql('SELECT group_concat(id) FROM plan'), 'of bob', '... who gets rows of his own');
isnt($device->status->{client_id}, $client_id, '... under another name');

done_testing;
