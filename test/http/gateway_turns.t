# Users take turns, waiting pulls cost requests nothing, clients that have gone
# hold nothing, and locks and deadlines end what would hold others up.
#
# Seen failing: with jobs of all users in one list ("turns"); with polls before
# queued jobs ("waiting pulls"); without queue_abandon() in watch() ("gone");
# without end_late_jobs() ("deadlines"); with most[LANE_READS] as large as all
# connections ("a locked table"); without READ_LOCK_TIMEOUT (the same); with digests
# in the lane of reads ("digests").
use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";
use IO::Socket::INET ();
use IO::Select ();
use POSIX ();
use Test::More;
use Time::HiRes ();
use TideTest qw(wait_for in_background finished);

my $cluster = TideTest::Cluster->shared;
my $database = $cluster->create_fake;
my $pull = '/api/v1/sync/pull';
my $push = '/api/v1/sync/push';
my @gateways;

sub gateway
{
	my (%settings) = @_;
	my $gateway = TideTest::Gateway->start(cluster => $cluster,
		database => $database,
		settings => { 'maintain-interval' => 0, %settings })->wait_until_ready;
	push @gateways, $gateway;
	return $gateway;
}

# A request on a connection of its own, without waiting for the reply.
sub ask
{
	my ($gateway, $user, $target, $body) = @_;
	my $socket = IO::Socket::INET->new(PeerHost => '127.0.0.1',
		PeerPort => $gateway->{port}) or die "could not connect: $!";
	my $head = defined $body ? "Content-Type: application/json\r\nContent-Length: " . length($body) . "\r\n" : '';
	print {$socket} defined $body ? 'POST' : 'GET', " $target HTTP/1.1\r\nHost: x\r\n${head}Authorization: Bearer ",
	  $gateway->token($user), "\r\n\r\n", $body // '';
	$socket->flush;
	return $socket;
}

sub status_on
{
	my ($socket) = @_;
	IO::Select->new($socket)->can_read(60) or return '';
	sysread $socket, my $text, 65536 or return '';
	return $text =~ m{^HTTP/1\.1 (\d+)} ? $1 : '';
}

# how many statements sleep now
sub asleep { return scalar(() = sleepers()); }

# the processes of those
sub sleepers
{
	return split /\s+/, $cluster->sql($database, <<'SQL');
SELECT pid FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'tide-gateway'
	AND state = 'active' AND wait_event = 'PgSleep'
SQL
}

sub sleeping
{
	my ($count) = @_;
	return wait_for("$count sleep in the database", 30, sub { return $count == asleep(); });
}

# One of those, held until it is sent CONT, however long the test takes.
sub hold_sleeper
{
	return wait_for('one sleeps, and is held', 30, sub {
		my ($process) = sleepers() or return 0;
		kill STOP => $process or die $!;
		return $process if grep { $_ == $process } sleepers();
		# it had just ended
		kill CONT => $process;
		return 0;
	});
}

subtest 'turns' => sub {
	my $gateway = gateway('db-connections' => 1, 'metrics-listen' => '127.0.0.1:0');
	my @flood = ask($gateway, 'flood', "$pull?since=sleep:2");
	# all are queued before the first is done
	my $backend = hold_sleeper();
	push @flood, map { ask($gateway, 'flood', "$pull?since=sleep:0.1") } 1 .. 29;
	my @others = map { ask($gateway, "u$_", $pull) } 1 .. 5;
	wait_for('all others are queued', 20, sub { return $gateway->metric('queued_requests') == 34; });
	kill CONT => $backend;
	is status_on($_), 200, 'another user is served' for @others;
	is status_on($_), 200 for @flood;
	# counted, not timed: whose requests were answered one after the other
	my @served = $gateway->log =~ /path=\S+pull status=200 \S+ user=(\w+)/g;
	my @before = grep { $served[$_] ne 'flood' } 0 .. $#served;
	cmp_ok $before[-1], '<=', 12, "among the first, not behind all of one user's (@served)";
};

# Each page of a stream is a turn of its own.
subtest 'streams' => sub {
	my $gateway = gateway('db-connections' => 1);
	my $lines = { Accept => 'application/x-ndjson' };
	my $token = $gateway->token('streamer');
	my @streams = map { in_background($gateway, sub {
		my $reply = $gateway->get("$pull?since=pages:12:0.2", token => $token, headers => $lines);
		$reply->{json} = (split /\n/, $reply->{content})[-1];
		return $reply;
	}) } 1 .. 3;
	sleeping(1);
	is $gateway->pull($gateway->token('u1'))->{status}, 200, 'another user is served' for 1 .. 5;
	is scalar(() = $gateway->log =~ /path=\S+pull status=200 \S+ user=streamer/g), 0, 'between the pages of streams';
	like finished($_)->{json}, qr/^\{"end":true,"tail":1,"stats":/, 'which come to their ends' for @streams;
};

# What goes between the pages of a stream, which are the database's.
subtest 'the lines of a stream' => sub {
	my $gateway = gateway();
	my $start = Time::HiRes::time();
	my $text = $gateway->get("$pull?since=pages:6:0&ack=x&wait=30", token => $gateway->token('u1'),
		headers => { Accept => 'application/x-ndjson' })->{content};
	cmp_ok Time::HiRes::time() - $start, '<', 20, 'only the first page may wait';
	is $text, <<'LINES', 'begin where it is new and must be said';
{"begin":3}
{"left":6,"maxRows":500,"maxBytes":8388608,"acks":["x"]}
{"left":5,"maxRows":500,"maxBytes":8388608,"acks":["x"]}
{"begin":2}
{"left":4,"maxRows":500,"maxBytes":8388608,"acks":["x"]}
{"begin":1}
{"left":3,"maxRows":500,"maxBytes":8388608,"acks":["x"]}
{"left":2,"maxRows":500,"maxBytes":8388608,"acks":["x"]}
{"begin":0}
{"left":1,"maxRows":500,"maxBytes":8388608,"acks":["x"]}
{"end":true,"tail":1,"stats":{"a":{"count":12,"hasMore":false},"A0":{"count":9,"hasMore":false},"A1":{"count":9,"hasMore":false}},"hasMore":false}
LINES
};

subtest 'waiting pulls' => sub {
	$cluster->sql($database, 'TRUNCATE tide.pushed');
	my $gateway = gateway('db-connections' => 2, 'max-waiting' => 300,
		'queue-length' => 20, 'metrics-listen' => '127.0.0.1:0');
	my @waiting;
	for my $i (1 .. 300)
	{
		push @waiting, ask($gateway, 'w' . $i % 30, "$pull?since=wait&wait=60");
		wait_for('it waits', 20, sub {
			return $gateway->metric('waiting_pulls') >= $i - 4;
		}) if $i % 3 == 0;
	}
	wait_for('all of them wait', 20,
		sub { return $gateway->metric('waiting_pulls') >= 297; });
	wait_for('one too many is told to come later', 20, sub {
		my $reply = $gateway->get("$pull?since=wait&wait=60", token => $gateway->token('more'));
		return $reply->{status} == 503 && $reply->{headers}{'retry-after'} >= 10;
	});
	is $gateway->pull($gateway->token("u$_"))->{status}, 200,
	  'requests find room in the queue' for 1 .. 10;

	$cluster->sql($database, 'INSERT INTO tide.pushed DEFAULT VALUES');
	is status_on($_), 200, 'what comes ends the wait' for @waiting[0 .. 29];
	close $_ for @waiting;
};

subtest 'woken pulls' => sub {
	$cluster->sql($database, 'TRUNCATE tide.pushed');
	my $gateway = gateway('db-connections' => 4, 'request-timeout' => 120, 'metrics-listen' => '127.0.0.1:0');
	$gateway->token($_) for map { ("w$_", "u$_", "s$_") } 1 .. 6;
	wait_for('all connections are up', 30, sub { return $gateway->metric('database_connections') == 4; });
	my @waiting = map { ask($gateway, "w$_", "$pull?since=wait:1&wait=60") } 1 .. 6;
	# each asks again after ten seconds
	wait_for('all of them wait', 60, sub { return $gateway->metric('waiting_pulls') == 6; });
	$cluster->sql($database, 'INSERT INTO tide.pushed DEFAULT VALUES');
	wait_for('they are woken', 30, sub { return $gateway->metric('waiting_pulls') == 0; });
	my $backend = hold_sleeper();
	is $gateway->pull($gateway->token("u$_"))->{status}, 200, 'requests are served beside them' for 1 .. 3;
	is asleep(), 1, 'for they have half of the connections of reads';
	kill CONT => $backend;
	is status_on($_), 200, 'and come to their ends' for @waiting;

	$cluster->sql($database, 'TRUNCATE tide.pushed');
	@waiting = map { ask($gateway, "w$_", "$pull?since=wait:1&wait=60") } 1 .. 2;
	wait_for('two wait', 30, sub { return $gateway->metric('waiting_pulls') == 2; });
	my @slow = map { ask($gateway, "s$_", "$pull?since=sleep:100") } 1 .. 3;
	sleeping(3);
	$cluster->sql($database, 'INSERT INTO tide.pushed DEFAULT VALUES');
	wait_for('they are woken', 30, sub { return $gateway->metric('queued_requests') == 2; });
	is $gateway->push_changes($gateway->token('pusher'), { n => 1 })->{status}, 200, 'one connection is left to pushes';
	is asleep(), 3, 'by reads and woken pulls together';
	close $_ for @slow;
	is status_on($_), 200 for @waiting;
};

subtest 'gone' => sub {
	$cluster->sql($database, 'TRUNCATE tide.pushed');
	my $gateway = gateway('db-connections' => 2, 'max-user-requests' => 6,
		'metrics-listen' => '127.0.0.1:0');
	my @slow = map { ask($gateway, 'gone', "$pull?since=sleep:25") } 1 .. 3;
	my @waiting = map { ask($gateway, 'gone', "$pull?since=wait&wait=60") } 1 .. 3;
	sleeping(1);
	is $gateway->pull($gateway->token('gone'))->{status}, 429, 'no more of this user';
	close $_ for @slow, @waiting;
	wait_for('the statement is cancelled', 5, sub {
		return 0 == $cluster->sql($database, <<'SQL');
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event = 'PgSleep'
SQL
	});
	wait_for('and the user has room again', 5, sub {
		return $gateway->pull($gateway->token('gone'))->{status} == 200;
	});
	is $gateway->metric('queued_requests'), 0, 'nothing is queued';
	is $gateway->metric('waiting_pulls'), 0, 'nothing waits';
};

# A client goes while its request has a connection, but has not been sent on it yet:
# there is nothing that could be cancelled.  Seen failing without the look at that
# moment: the request was run to its end.
subtest 'gone before it is sent' => sub {
	my $gateway = gateway('db-connections' => 1, 'metrics-listen' => '127.0.0.1:0', 'log-level' => 'debug');
	my ($holder, $slow);
	wait_for('a request has a connection that is being opened', 60, sub {
		open $holder, '|-', 'psql', '-X', '-q', '-d', $cluster->conninfo($database) or die $!;
		$holder->autoflush(1);
		# its thread waits for the next one, and opens no connection before
		$gateway->pull($gateway->token('gone'));
		print {$holder} "BEGIN; LOCK TABLE tide.registered;\n";
		wait_for('connections cannot be opened', 10, sub { return $cluster->sql($database,
			q{SELECT count(*) FROM pg_locks WHERE relation = 'tide.registered'::regclass AND mode = 'AccessExclusiveLock' AND granted}) });
		$gateway->signal('HUP');
		wait_for('they are to be', 10, sub { return $gateway->log =~ /event=reloaded/ });
		$slow = ask($gateway, 'gone', $push, '{"n":"gone"}');
		wait_for('one is', 10, sub { return $cluster->sql($database, q{SELECT count(*) FROM pg_stat_activity
			WHERE application_name = 'tide-gateway' AND wait_event_type = 'Lock' AND query LIKE '%register%'}) });
		return 1 if $gateway->metric('queued_requests') == 0 && $gateway->metric('requests') == 1;
		close $_ for $slow, $holder;
		return 0;
	});
	close $slow;
	wait_for('the client is gone', 10, sub { return $gateway->log =~ /event=cancelled/ });
	close $holder;
	is $gateway->pull($gateway->token('u1'))->{status}, 200, 'the connection is there for another';
	is $cluster->sql($database, q{SELECT count(*) FROM tide.pushed WHERE body->>'n' = 'gone'}), 0, 'and nothing was sent on it';
};

# Seen to fail with a watcher that goes to rest after it has told who had left: of
# 300 that leave one after the other, some were told a minute later.
subtest 'many that go' => sub {
	$cluster->sql($database, 'TRUNCATE tide.pushed');
	my $gateway = gateway('max-user-requests' => 500, 'max-user-connections' => 500, 'metrics-listen' => '127.0.0.1:0');
	for my $round (1 .. 3) {
		my @waiting = map { ask($gateway, 'gone', "$pull?since=wait&wait=60") } 1 .. 300;
		wait_for('all wait', 20, sub { return $gateway->metric('waiting_pulls') == 300; });
		for (@waiting) {
			close $_;
			# about as long as it takes to tell who has left
			select undef, undef, undef, rand(0.0003);
		}
		wait_for('none is left', 10, sub { return $gateway->metric('requests') == 0; });
	}
	pass 'all are noticed, soon';
};

subtest 'digests' => sub {
	my $digest = '/api/v1/sync/digest';
	my $gateway = gateway('db-connections' => 4, 'metrics-listen' => '127.0.0.1:0');
	my $queued = sub { return $gateway->metric('queued_requests'); };
	wait_for('all connections are up', 10, sub { return $gateway->metric('database_connections') >= 4; });
	my @first = map { ask($gateway, 'd1', "$digest?since=sleep:25") } 1 .. 3;
	wait_for('all are there', 10, sub { my $asleep = asleep(); return $asleep > 0 && $asleep + $queued->() == 3; });
	is $gateway->pull($gateway->token('d1'))->{status}, 200, 'pulls of the user go on';
	is $queued->(), 2, 'one at a time a user';
	my @more = map { ask($gateway, "d$_", "$digest?since=sleep:25") } 2 .. 3;
	wait_for('all are there', 10, sub { my $asleep = asleep(); return $asleep > 1 && $asleep + $queued->() == 5; });
	is $gateway->pull($gateway->token('u1'))->{status}, 200, 'half of the connections are left to pulls';
	is $queued->(), 3, 'the third user waits';
	my $slow = ask($gateway, 'slow', "$pull?since=sleep:25");
	sleeping(3);
	my $held = ask($gateway, 'u2', $pull);
	wait_for('a pull waits', 10, sub { return $queued->() == 4; });
	is $gateway->push_changes($gateway->token('pusher'), { n => 1 })->{status}, 200, 'one connection is left to pushes';
	close $slow;
	is status_on($held), 200;
	my $keys = ask($gateway, 'd1', '/api/v1/sync/keys?bucket=1,5');
	is $gateway->get('/api/v1/sync/keys', token => $gateway->token('d1'))->{json}{echo}{buckets}, undef, 'and to keys';
	close $_ for splice(@first), @more;
	is status_on($keys), 200, 'keys of buckets wait behind a digest, which is cancelled when its client is gone';
};

subtest 'deadlines' => sub {
	my $gateway = gateway('db-connections' => 1, 'request-timeout' => 2);
	my $slow = ask($gateway, 'slow', "$pull?since=sleep:1.9");
	sleeping(1);
	# the thread is held until the end, whatever the deadlines of others
	my $backend = $cluster->sql($database, q{SELECT pid FROM pg_stat_activity
		WHERE datname = current_database() AND wait_event = 'PgSleep'});
	kill STOP => $backend or die $!;
	my $start = Time::HiRes::time();
	my $late = $gateway->pull($gateway->token('u1'));
	my $took = Time::HiRes::time() - $start;
	kill CONT => $backend;
	is $late->{status}, 503, 'one that is queued beyond its time';
	ok $late->{headers}{'retry-after'}, 'is told to come again';
	cmp_ok $took, '<', 3, "in time, not when the thread is free ($took s)";
	status_on($slow);
};

subtest 'a locked table' => sub {
	my $gateway = gateway('db-connections' => 3);
	my $holder = fork // die $!;
	if ($holder == 0)
	{
		eval { $cluster->sql($database, <<'SQL') };
SET application_name = 'holder';
BEGIN; LOCK TABLE tide.parent; SELECT pg_sleep(30);
SQL
		POSIX::_exit(0);
	}
	wait_for('somebody has the lock', 10, sub {
		return $cluster->sql($database, q{SELECT count(*) FROM pg_locks
			WHERE relation = 'tide.parent'::regclass AND mode = 'AccessExclusiveLock' AND granted});
	});
	my $start = Time::HiRes::time();
	my @blocked = map { ask($gateway, "b$_", "$pull?since=parent") } 1 .. 6;
	my @took;
	for my $n (1 .. 10)
	{
		my $began = Time::HiRes::time();
		is $gateway->push_changes($gateway->token('pusher'), { n => $n })->{status}, 200, 'a push';
		push @took, Time::HiRes::time() - $began;
	}
	@took = sort { $a <=> $b } @took;
	cmp_ok $took[-1], '<', 0.9, "none waits for the pulls (the longest $took[-1] s)";
	is status_on($_), 503, 'a pull of the locked table is given up' for @blocked;
	cmp_ok Time::HiRes::time() - $start, '<', 8, 'soon';
	$cluster->sql($database, q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE application_name = 'holder'});
	waitpid $holder, 0;
};

subtest 'ready, whatever the others do' => sub {
	my $gateway = gateway('db-connections' => 1);
	my $slow = ask($gateway, 'slow', "$pull?since=sleep:8");
	sleeping(1);
	my $start = Time::HiRes::time();
	is $gateway->get('/ready')->{status}, 200, 'the only connection is busy';
	cmp_ok Time::HiRes::time() - $start, '<', 1, 'no matter';
	my $checking = $cluster->sql($database, q{SELECT pid FROM pg_stat_activity
		WHERE datname = current_database() AND application_name = 'tide-gateway-ready'
		ORDER BY backend_start DESC LIMIT 1});
	kill STOP => $checking or die $!;
	wait_for('a database that does not answer is not ready', 10, sub {
		my $began = Time::HiRes::time();
		my $status = $gateway->get('/ready')->{status};
		die 'it took too long' if Time::HiRes::time() - $began > 2;
		return $status == 503;
	});
	kill CONT => $checking;
	wait_for('it is again', 10, sub { return $gateway->get('/ready')->{status} == 200; });
	close $slow;
};

is $_->stop, 0, 'stops with status 0' for @gateways;
done_testing;
