# What goes wrong between a device and its server, or on the device: the command
# says so, by its exit status, and no edit is lost.
#
# Seen to fail with: the end of the headers not looked for (a reply cut within
# them was an empty 200, exit 6); no lock.
use strict;
use warnings;

use FindBin ();
use IO::Socket::INET ();
use POSIX ();
use Time::HiRes ();
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Test::More;
use TideTest qw(wait_for);
use TideClient;

my $cluster = TideTest::Cluster->shared;
my $database = $cluster->create_synced(<<'SQL');
CREATE TABLE plan (id text PRIMARY KEY, user_id text NOT NULL, name text);
CREATE INDEX ON plan (user_id);
SELECT tide.track('plan', scope => 'user_id');
INSERT INTO plan SELECT 'p' || i, 'ann', 'plan' FROM generate_series(1, 20) i;
GRANT ALL ON plan TO tide_user;
SQL
my $gateway = TideTest::Gateway->start(cluster => $cluster, database => $database,
	settings => { 'maintain-interval' => 0 })->wait_until_ready;

sub server { return $cluster->sql($database, $_[0]); }

# A relay to the gateway.  What it does with a connection is read from a file:
# "pass"; "close" at once; "cut N", N bytes of the reply; "silent".
my $listener = IO::Socket::INET->new(LocalHost => '127.0.0.1', Listen => 20, ReuseAddr => 1) or die $!;
my $relay_port = $listener->sockport;
my $mode_file = File::Temp->new;
sub mode { open my $out, '>', $mode_file->filename or die $!; print {$out} $_[0]; close $out; return; }
mode('pass');
my $relay = fork // die $!;
if ($relay == 0)
{
	$SIG{CHLD} = 'IGNORE';
	$SIG{TERM} = 'DEFAULT';
	while (my $client = $listener->accept)
	{
		next if fork;
		open my $in, '<', $mode_file->filename or POSIX::_exit(1);
		my $mode = <$in> // '';
		POSIX::_exit(0) if $mode eq 'close';
		my $to = IO::Socket::INET->new(PeerHost => '127.0.0.1', PeerPort => $gateway->{port}) or POSIX::_exit(1);
		my $left = $mode =~ /cut (\d+)/ ? $1 : -1;
		while (1)
		{
			my $ready = '';
			vec($ready, fileno $_, 1) = 1 for $client, $to;
			select $ready, undef, undef, 30 or last;
			if (vec $ready, fileno $client, 1)
			{
				sysread $client, my $data, 65536 or last;
				syswrite $to, $data;
			}
			if (vec $ready, fileno $to, 1)
			{
				sysread $to, my $data, 65536 or last;
				next if $mode eq 'silent';
				$data = substr $data, 0, $left if $left >= 0;
				syswrite $client, $data;
				last if $left >= 0 && ($left -= length $data) <= 0;
			}
		}
		POSIX::_exit(0);
	}
	POSIX::_exit(0);
}
END { local $?; kill KILL => $relay if $relay; }
close $listener;

my $device = TideClient->new($gateway, 'ann', url => "http://127.0.0.1:$relay_port");
$device->clone;
$device->sql("UPDATE plan SET name = 'edited'");

# the network
for my $mode ('close', map { "cut $_" } 1, 9, 12, 15, 17, 40, 80, 150, 200)
{
	mode($mode);
	my $run = $device->tide('sync', '--json');
	is($run->{status}, 3, "$mode: offline")
	  or diag $run->{out} . $run->{err};
	is($run->{json}{pending}, 20, '... and nothing is lost');
}
mode('silent');
my $began = Time::HiRes::time();
is($device->tide('sync')->{status}, 3, 'a server that says nothing: offline');
cmp_ok(Time::HiRes::time() - $began, '<', 10, '... within ten seconds');
mode('pass');
is($device->sync->{pushed}, 20, 'when the network is back, all goes');

# two syncers
my $other = TideClient->new($gateway, 'ann', url => "http://127.0.0.1:$relay_port");
$other->clone;
mode('silent');
my $first = fork // die $!;
if ($first == 0)
{
	open STDOUT, '>', '/dev/null';
	open STDERR, '>', '/dev/null';
	exec $TideClient::program, 'sync', $other->{file} or POSIX::_exit(1);
}
wait_for('the first syncer has the lock', 10, sub {
	my $lock = do { open my $in, '<', "$other->{file}-tide-lock" or return; <$in> };
	return defined $lock && $lock == $first;
});
mode('pass');
$other->sql("UPDATE plan SET name = 'while it syncs' WHERE id = 'p1'");
pass('others write while it waits for the network');
my $run = $other->tide('sync');
ok($run->{status} == 0 || ($run->{status} == 5 && $run->{err} =~ /process $first is syncing/),
	'a second syncer waits, or says who it is')
  or diag $run->{status} . $run->{err};
is(waitpid($first, $run->{status} == 0 ? POSIX::WNOHANG() : 0), $first, '... and is not done before the first');
$other->sync;
is(server("SELECT name FROM plan WHERE id = 'p1'"), 'while it syncs', '... and then everything is there');

# kill -9 at any point: the next sync goes on
my $killed = TideClient->new($gateway, 'ann');
$killed->clone;
my $round = 0;
for my $after (map { $_ * 37 % 61 } 1 .. 200)
{
	$round++;
	$killed->sql("UPDATE plan SET name = 'round $round'; INSERT INTO plan (id, user_id, name) VALUES ('k$round', 'ann', 'new')");
	my $pid = fork // die $!;
	if ($pid == 0)
	{
		open STDOUT, '>', '/dev/null';
		open STDERR, '>', '/dev/null';
		exec $TideClient::program, 'sync', $killed->{file} or POSIX::_exit(1);
	}
	Time::HiRes::usleep($after * 1000);
	kill KILL => $pid;
	waitpid $pid, 0;
}
$killed->sync;
is(server("SELECT count(*) FROM plan WHERE id LIKE 'k%'"), $round, "killed $round times: every row is there");
is(server("SELECT count(*) FROM plan WHERE name = 'round $round'"), server('SELECT count(*) - 1 FROM plan'), '... as edited last');
is($killed->sql('PRAGMA integrity_check'), 'ok', '... and the file is sound');
is($killed->status->{pending}, 0, '... with nothing pending');

# a clone that is killed goes on by the same command
my $fresh = TideClient->new($gateway, 'ann');
for my $after (0, 5, 10, 20)
{
	my $pid = fork // die $!;
	if ($pid == 0)
	{
		open STDOUT, '>', '/dev/null';
		open STDERR, '>', '/dev/null';
		exec $TideClient::program, 'clone', $fresh->{url}, $fresh->{file}, '--token-file', $fresh->{token_file}
		  or POSIX::_exit(1);
	}
	Time::HiRes::usleep($after * 1000);
	kill KILL => $pid;
	waitpid $pid, 0;
	last if $? == 0;
}
my $again = $fresh->try_clone;
ok($again->{status} == 0 || $again->{err} =~ /cloned already/, 'a killed clone goes on') or diag $again->{err};
is($fresh->sql('SELECT count(*) FROM plan'), server('SELECT count(*) FROM plan'), '... to the end');

# the file
my $id = $killed->status->{client_id};
$killed->run('cp', $killed->{file}, "$killed->{directory}/copy.db");
my $original = $killed->{file};
$killed->{file} = "$killed->{directory}/copy.db";
$killed->sync;
isnt($killed->status->{client_id}, $id, 'a copy takes a name of its own');
$killed->{file} = $original;
$killed->sync;
is($killed->status->{client_id}, $id, '... the original keeps its');

# the app alters its table the way Drift and Room do: the triggers are gone
$killed->sql(<<'SQL');
BEGIN;
CREATE TABLE plan_new ("id" TEXT NOT NULL PRIMARY KEY, "user_id" TEXT, "name" TEXT, "lastModifiedAt" TEXT, "clientId" TEXT, extra TEXT);
INSERT INTO plan_new SELECT id, user_id, name, lastModifiedAt, clientId, 'local' FROM plan;
DROP TABLE plan; ALTER TABLE plan_new RENAME TO plan;
COMMIT;
UPDATE plan SET name = 'unnoticed' WHERE id = 'p4';
INSERT INTO plan (id, user_id, name) VALUES ('unnoticed', 'ann', 'new');
DELETE FROM plan WHERE id = 'p5';
SQL
is($killed->sql("SELECT count(*) FROM sqlite_schema WHERE type = 'trigger'"), 0, 'a 12-step ALTER drops the triggers');
$killed->sync;
isnt($killed->sql("SELECT count(*) FROM sqlite_schema WHERE type = 'trigger'"), 0, '... the next sync makes them again');
is(server("SELECT name FROM plan WHERE id = 'p4'"), 'unnoticed', '... and finds the edit that was made meanwhile');
is(server("SELECT name FROM plan WHERE id = 'unnoticed'"), 'new', '... and the new row');
is($killed->sql("SELECT count(*) FROM plan WHERE id = 'p5'"), 1, '... and makes no delete of what no trigger saw');
is($killed->status->{pending}, 0, '... and nothing else is taken for an edit');
$killed->sql("UPDATE plan SET name = 'after' WHERE id = 'p2'");
$killed->sync;
is(server("SELECT name FROM plan WHERE id = 'p2'"), 'after', '... and edits go');
is($killed->sql("SELECT extra FROM plan WHERE id = 'p2'"), 'local', '... a column of the app\'s own stays');

# the app drops its table
my $made = $killed->sql("SELECT sql FROM sqlite_schema WHERE name = 'plan'");
$killed->sql('DROP TABLE plan');
$run = $killed->tide('sync');
is($run->{status}, 5, 'a table that the app dropped: 5');
like($run->{err}, qr/the table "plan", which is synced, is no longer.*make it again/s, '... and what to do');
is($killed->tide($_)->{status}, 0, "... and tide $_ goes on") for qw(status pending lost);
$killed->sql($made);
$killed->sync;
is($killed->sql('SELECT count(*) FROM plan'), server('SELECT count(*) FROM plan'), '... made again, it has its rows');
$killed->sql("UPDATE plan SET extra = 'local' WHERE id = 'p2'");

# the server's table grows
server("ALTER TABLE plan ADD COLUMN place text DEFAULT 'gym'; CREATE TABLE added (id text PRIMARY KEY, user_id text NOT NULL);"
	  . "CREATE INDEX ON added (user_id); SELECT tide.track('added', scope => 'user_id');"
	  . "INSERT INTO added VALUES ('a', 'ann'); GRANT ALL ON added TO tide_user");
$killed->sync;
is($killed->sql("SELECT place FROM plan WHERE id = 'p2'"), 'gym', 'a new column comes, with its default');
is($killed->sql('SELECT id FROM added'), 'a', 'and a new table');
server('ALTER TABLE plan DROP COLUMN place');
$killed->sql("UPDATE plan SET name = 'without' WHERE id = 'p3'");
$killed->sync;
is(server("SELECT name FROM plan WHERE id = 'p3'"), 'without', 'a column that was dropped is not sent');

# what is no file of ours
$killed->run('sqlite3', "$killed->{directory}/foreign.db", 'CREATE TABLE t (a)');
$killed->{file} = "$killed->{directory}/foreign.db";
is($killed->tide('sync')->{status}, 5, 'a file that was not cloned: 5');
open my $rubbish, '>', "$killed->{directory}/rubbish.db";
print {$rubbish} 'rubbish' x 1000;
close $rubbish;
$killed->{file} = "$killed->{directory}/rubbish.db";
is($killed->tide('status')->{status}, 5, 'a file that is no database: 5');

kill TERM => $relay;
waitpid $relay, 0;
undef $relay;
done_testing;
