# A gateway that reads from a hot standby: what it serves there, that nobody is
# answered from the past, that a replica which is away, behind, promoted or of
# another database costs no request, and what is said about it.
#
# Seen to fail: each subtest names what was taken out.
use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/../fault", "$FindBin::Bin/../property";
use HTTP::Tiny ();
use IO::Socket::INET ();
use POSIX ();
use Test::More;
use TideForward ();
use TideReplica ();
use TideSession ();
use TideTest qw(wait_for decode_json in_background finished);

# a standby that has lost its connection comes back after seconds, and needs what was written meanwhile
my $cluster = TideTest::Cluster->start(settings => { wal_keep_size => '256MB' });
TideReplica::skip_without_standbys($cluster);
my $database = $cluster->create_synced(<<'SQL');
CREATE TABLE note (id text PRIMARY KEY, user_id text NOT NULL, body text);
CREATE INDEX ON note (user_id, id);
SELECT tide.track('note', scope => 'user_id');
GRANT ALL ON note TO tide_user;

-- a pull reads its row for so long
CREATE TABLE nap (seconds float8);
GRANT SELECT ON nap TO tide_user;
CREATE FUNCTION slowly() RETURNS boolean LANGUAGE sql VOLATILE AS
	'SELECT pg_sleep(coalesce((SELECT max(seconds) FROM nap), 0)) IS NOT NULL';
ALTER TABLE note ENABLE ROW LEVEL SECURITY;
CREATE POLICY slowly ON note FOR SELECT USING (slowly());
CREATE POLICY inserted ON note FOR INSERT WITH CHECK (true);
CREATE POLICY updated ON note FOR UPDATE USING (true);
SQL
my $standby = TideReplica::standby($cluster, "max_standby_streaming_delay = 0\n");
my $replay = TideSession->new($standby->conninfo($database));
my $gateway = start_gateway();
my $token = $gateway->token('ann');
my $number = 0;

sub start_gateway
{
	return TideTest::Gateway->start(
		cluster => $cluster,
		database => $database,
		settings => { 'replica-url' => $standby->conninfo($database, 'tide_gateway'),
			'metrics-listen' => '127.0.0.1:0', 'maintain-interval' => 0,
			'db-connections' => 2, 'replica-wait' => 3, 'replica-max-lag' => 60, @_ })->wait_until_ready;
}

sub sql { return $cluster->sql($database, $_[0]); }

sub metrics
{
	my ($which) = @_;
	my ($port) = ($which // $gateway)->log =~ /event=metrics address=\S+ port=(\d+)/;
	my %value = HTTP::Tiny->new->get("http://127.0.0.1:$port/metrics")->{content} =~ /^(tide_\S+) (\S+)$/mg;
	return \%value;
}

sub reads { return metrics($_[1])->{qq(tide_reads_total{server="$_[0]"})}; }
sub fallbacks { return metrics($_[1])->{qq(tide_replica_fallbacks_total{reason="$_[0]"})}; }

sub state
{
	my ($which) = @_;
	my $reply = ($which // $gateway)->get('/ready');
	return join ' ', $reply->{status}, map { $_->{state} } @{ $reply->{json}{replicas} };
}

sub wait_for_state
{
	my ($state, $which) = @_;
	wait_for("/ready says $state", 30, sub { return state($which) eq $state; });
	wait_for('it is connected', 10, sub {
		return metrics($which)->{'tide_replica_connections{replica="1"}'} > 0;
	}) if $state eq '200 serving';
	return;
}

# One more note; dies unless it is stored.
sub push_note
{
	my ($id, $which) = @_;
	my $reply = ($which // $gateway)->push_changes($token,
		{ clientId => 'phone', changes => { note => [ { id => $id, body => 'body ' . ++$number } ] } });
	die "a push got $reply->{status}: $reply->{content}" if $reply->{status} != 200;
	return $reply->{json};
}

sub ids { return join ' ', sort map { $_->{id} } @{ $_[0]{json}{changesByType}{note} // [] }; }

sub paused
{
	my ($action) = @_;
	$replay->query('SELECT pg_wal_replay_pause()');
	wait_for('replay stands still', 10, sub { return $replay->query('SELECT pg_get_wal_replay_pause_state()') eq 'paused'; });
	my $result = eval { $action->() };
	my $problem = $@;
	$replay->query('SELECT pg_wal_replay_resume()');
	die $problem if $problem;
	return $result;
}

wait_for_state('200 serving');

subtest 'what goes where' => sub {
	push_note("n$_") for 1 .. 3;
	my $before = reads('replica-1');
	my $page = $gateway->pull($token, limit => 2);
	is ids($page), 'n1 n2', 'a first pull';
	my $last = $gateway->pull($token, since => $page->{json}{cursor});
	is ids($last), 'n3', 'and its next page';
	my $cursor = $last->{json}{cursor};
	is $gateway->get('/api/v1/sync/keys?entityTypes=note', token => $token)->{status}, 200, 'keys';
	is $gateway->get("/api/v1/sync/digest?since=$cursor", token => $token)->{status}, 200, 'a digest';
	is $gateway->post('/api/v1/sync/rows', token => $token, json => { keys => { note => ['n1'] } })->{status}, 200, 'rows';
	my $lines = $gateway->get('/api/v1/sync/pull?limit=1', token => $token,
		headers => { Accept => 'application/x-ndjson' });
	is scalar(() = $lines->{content} =~ /"row":/g), 3, 'a stream of three pages';
	like $lines->{content}, qr/^\{"end":true/m, 'that comes to its end';
	is reads('replica-1') - $before, 8, 'all of them are the replica\'s';
	is reads('primary'), 0, 'and none the primary\'s';
	is metrics()->{'tide_replica_serves{replica="1"}'}, 1;
	cmp_ok metrics()->{'tide_replica_lag_seconds{replica="1"}'}, '<', 5, 'its lag is told';
	push_note('n3');
	my $next = $gateway->pull($token, since => $cursor);
	is ids($next), 'n3', 'a cursor of the replica goes on';
	is $gateway->get('/api/v1/sync/schema', token => $token)->{status}, 200, 'a schema';
	is $gateway->pull($token, since => $next->{json}{cursor})->{status}, 200, 'a poll';
};

# Taken out: the target in queue_note_position.
subtest 'a pull sees what was acknowledged before' => sub {
	my $cursor = $gateway->pull($token)->{json}{cursor};
	my $behind = fallbacks('behind');
	my $quick = start_gateway('replica-wait' => 0.1);
	wait_for_state('200 serving', $quick);
	paused(sub {
		my $ack = push_note('seen')->{ack};
		is ids($quick->pull($token, since => $cursor)), 'seen', 'by a cursor from before';
		is ids($quick->pull($token, since => $cursor, ack => $ack)), '', 'with its ack';
		like ids($quick->pull($token)), qr/\bseen\b/, 'without a cursor';
		my $keys = $quick->get('/api/v1/sync/keys?entityTypes=note', token => $token)->{content};
		like $keys, qr/"seen"/, 'among the keys';
	});
	is fallbacks('behind', $quick), 4, 'because the primary was asked when the time was over';
	is reads('primary', $quick), 4;
	is reads('replica-1', $quick), 0;
	is $quick->stop, 0;

	# within the time, the replica is waited for, and no connection is held
	my $job;
	paused(sub {
		push_note('later');
		$job = in_background($gateway, sub { return $gateway->pull($token, since => $cursor); });
		wait_for('the pull waits', 10, sub { return metrics()->{tide_queued_requests} == 1; });
		is $replay->query(q{SELECT count(*) FROM pg_stat_activity WHERE usename = 'tide_gateway'
			AND (state <> 'idle' OR backend_xmin IS NOT NULL)}), 0, 'it holds no snapshot there';
	});
	is join(' ', sort map { $_->{id} } @{ finished($job)->{json}{changesByType}{note} }), 'later seen',
	  'and is served once it is replayed';
	is fallbacks('behind'), $behind, 'by the replica';
};

# Taken out: the base of live_remember kept for stale pages needs no primary, see
# below; here the position that is asked for after the pull was woken.
subtest 'who waits is woken with what came' => sub {
	my $cursor = $gateway->pull($token)->{json}{cursor};
	my $job = in_background($gateway, sub { return $gateway->pull($token, since => $cursor, wait => 30); });
	wait_for('a pull waits', 10, sub { return metrics()->{tide_waiting_pulls} == 1; });
	paused(sub {
		push_note('woken');
		wait_for('it is woken', 10, sub { return metrics()->{tide_queued_requests} == 1; });
	});
	is join(' ', map { $_->{id} } @{ finished($job)->{json}{changesByType}{note} }), 'woken', 'by one reply';

	$cursor = $gateway->pull($token)->{json}{cursor};
	is ids($gateway->pull($token, since => $cursor)), '', "poll $_" for 1 .. 2;
	my $answered = metrics()->{tide_remembered_answers_total};
	is ids($gateway->pull($token, since => $cursor)), '', 'a remembered poll';
	cmp_ok metrics()->{tide_remembered_answers_total}, '>', $answered, 'is answered from memory';
	push_note('remembered');
	is ids($gateway->pull($token, since => $cursor)), 'remembered', 'until something changes';
};

sub slow_pull
{
	my ($times) = @_;
	my $cursor = $gateway->pull($token)->{json}{cursor};
	push_note('slow');
	TideReplica::wait_for_standby($cluster, $standby);
	sql('INSERT INTO nap VALUES (5)');
	my $job = in_background($gateway, sub { return $gateway->pull($token, since => $cursor); });
	for (1 .. $times)
	{
		my $pid = wait_for('it runs there', 10, sub {
			return $replay->query(q{SELECT min(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'});
		});
		# replay takes the lock from whoever reads
		sql('BEGIN; LOCK TABLE note IN ACCESS EXCLUSIVE MODE; COMMIT');
		wait_for('it is cancelled', 10, sub {
			return $replay->query("SELECT count(*) FROM pg_stat_activity WHERE pid = $pid AND wait_event = 'PgSleep'
				AND xact_start < now() - interval '4.9 s'") == 0 && $replay->query(
				q{SELECT sum(confl_lock) FROM pg_stat_database_conflicts}) >= $_;
		});
	}
	my $reply = finished($job);
	sql('TRUNCATE nap');
	TideReplica::wait_for_standby($cluster, $standby);
	return $reply;
}

# Taken out: RUN_CONFLICT's second run; queue_leave after it.
subtest 'conflicts with recovery' => sub {
	my ($conflicts, $replica) = (fallbacks('conflict'), reads('replica-1'));
	my $reply = slow_pull(1);
	is $reply->{status}, 200, 'a pull that replay has cancelled';
	is fallbacks('conflict'), $conflicts, 'is run again there';

	$reply = slow_pull(2);
	is $reply->{status}, 200, 'one that was cancelled twice';
	is fallbacks('conflict'), $conflicts + 1, 'is run on the primary';
	is join(' ', map { $_->{id} } @{ $reply->{json}{changesByType}{note} }), 'slow', 'and brings what it should';
	unlike $gateway->log, qr/event=database-error/, 'none of this is an error in the log';
};

subtest 'a pull that somebody has cancelled there' => sub {
	my ($conflicts, $failed) = (fallbacks('conflict'), fallbacks('failed'));
	sql('INSERT INTO nap VALUES (2)');
	my $cursor = $gateway->pull($token)->{json}{cursor};
	push_note('cancelled');
	my $job = in_background($gateway, sub { return $gateway->pull($token, since => $cursor); });
	wait_for('it runs there, and is cancelled', 20, sub {
		return $replay->query(q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'}) eq 't';
	});
	is finished($job)->{status}, 200, 'is run again';
	is fallbacks('conflict'), $conflicts, 'there';
	is fallbacks('failed'), $failed;
	sql('TRUNCATE nap');
	TideReplica::wait_for_standby($cluster, $standby);
};

# Taken out: judge_lag.
subtest 'a replica that falls behind' => sub {
	my $strict = start_gateway('replica-wait' => 0.2, 'replica-max-lag' => 0.4);
	wait_for_state('200 serving', $strict);
	paused(sub {
		push_note('behind', $strict);
		wait_for_state('200 behind', $strict);
		my ($waited, $none) = (fallbacks('behind', $strict), fallbacks('none-serves', $strict));
		is $strict->pull($token)->{status}, 200, 'a pull' for 1 .. 3;
		is fallbacks('none-serves', $strict), $none + 3, 'goes to the primary at once';
		is fallbacks('behind', $strict), $waited, 'and waits for nothing';
		cmp_ok metrics($strict)->{'tide_replica_lag_seconds{replica="1"}'}, '>', 0.3, 'the lag is told';
		cmp_ok metrics($strict)->{'tide_replica_lag_bytes{replica="1"}'}, '>', 0, 'in bytes, too';
	});
	wait_for_state('200 serving', $strict);
	my $before = reads('replica-1', $strict);
	is $strict->pull($token)->{status}, 200;
	is reads('replica-1', $strict), $before + 1, 'once it has caught up, it serves again';
	is scalar(() = $strict->log =~ /event=replica-behind replica=1/g), 1, 'one line when it fell behind';
	is scalar(() = $strict->log =~ /event=replica-caught-up replica=1/g), 1, 'and one when it caught up';
	is $strict->stop, 0;
};

# Taken out: queue_leave_all in replica_looked, and queue_leave in run_at_replica.
subtest 'a replica that goes away' => sub {
	my $done = 0;
	my $pid = fork // die $!;
	if ($pid == 0)
	{
		# a stream of pulls all the while
		my $bad = 0;
		local $SIG{TERM} = sub { $done = 1 };
		my $http = HTTP::Tiny->new(timeout => 30, keep_alive => 1);
		until ($done)
		{
			my $reply = $http->get("$gateway->{url}/api/v1/sync/pull", { headers => { Authorization => "Bearer $token" } });
			$bad++ if $reply->{status} != 200;
		}
		POSIX::_exit($bad > 100 ? 100 : $bad);
	}
	my $was = reads('replica-1');
	wait_for('pulls go on', 10, sub { return reads('replica-1') > $was + 20; });
	for my $mode ('fast', 'immediate')
	{
		$standby->down($mode);
		wait_for_state('200 away');
		my $primary = reads('primary');
		wait_for('the primary serves them', 10, sub { return reads('primary') > $primary + 20; });
		$standby->up or die $@;
		wait_for_state('200 serving');
		$was = reads('replica-1');
		wait_for('the replica serves them again', 10, sub { return reads('replica-1') > $was + 20; });
	}
	kill TERM => $pid;
	waitpid $pid, 0;
	is $? >> 8, 0, 'no pull has failed';
	my @lines = $gateway->log =~ /event=(connect-failed|connected)\b[^\n]*replica=1/g;
	cmp_ok scalar(@lines), '<=', 1 + 2 * 4, 'the log has lines when something changes, and no more'
	  or diag $gateway->log;
	$replay = TideSession->new($standby->conninfo($database));
};

# Taken out: CHECK_TIMEOUT for the look, and leave_at.
subtest 'a replica that hangs' => sub {
	my @pids = split /\s+/, $replay->query(q{SELECT pid FROM pg_stat_activity WHERE usename = 'tide_gateway'});
	push_note('hangs');
	kill STOP => @pids;
	my $cursor = $gateway->pull($token)->{json}{cursor};
	ok $cursor, 'a pull is served';
	wait_for_state('200 away');
	is $gateway->pull($token, since => $cursor)->{status}, 200, 'and the next';
	kill CONT => @pids;
	wait_for_state('200 serving');
};

subtest 'the primary goes away' => sub {
	my $cursor = $gateway->pull($token)->{json}{cursor};
	push_note('alone');
	TideReplica::wait_for_standby($cluster, $standby);
	# after a clean shutdown it would wait for the next start, see docs/scale.md
	$cluster->down('immediate');
	wait_for('/ready says so', 10, sub { return $gateway->get('/ready')->{status} == 503; });
	my $reply = wait_for('the replica serves alone', 10, sub {
		my $pull = $gateway->pull($token, since => $cursor);
		return $pull->{status} == 200 && $pull;
	});
	is ids($reply), 'alone', 'what it has replayed';
	$reply = $gateway->push_changes($token, { changes => { note => [ { id => 'no' } ] } });
	is $reply->{status}, 503, 'a push must wait';
	like $reply->{headers}{'retry-after'} // '', qr/^\d+$/, 'and is told how long';
	is $gateway->pull($token, since => 'nonsense')->{status}, 400, 'a cursor that is none is told from a server that is away';
	$cluster->up or die $@;
	wait_for_state('200 serving');
	push_note('back');
	is ids($gateway->pull($token, since => $reply->{json}{cursor} // $cursor)), 'alone back', 'and all goes on';
};

# The gateway's thread that looks cannot reach the primary, but its watcher can.
# Taken out: may_be_stale in remember().
subtest 'what may be stale is not remembered' => sub {
	my $cursor = ($gateway->pull_pages($token))[-1]{cursor};
	my $stale;
	paused(sub {
		push_note('hidden');
		sql('ALTER ROLE tide_gateway CONNECTION LIMIT 0');
		sql(q{SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
			WHERE usename = 'tide_gateway' AND application_name <> 'tide-gateway-watch'});
		wait_for('the primary is away', 10, sub { return $gateway->get('/ready')->{status} == 503; });
		$stale = wait_for('the replica serves alone', 10, sub {
			my $pull = $gateway->pull($token, since => $cursor);
			return $pull->{status} == 200 && $pull;
		});
		is ids($stale), '', 'what it has';
		is sql(q{SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tide-gateway-watch'}), 1, 'the watcher looks on';
	});
	sql('ALTER ROLE tide_gateway CONNECTION LIMIT -1');
	wait_for_state('200 serving');
	is ids($gateway->pull($token, since => $stale->{json}{cursor})), 'hidden', 'the next pull brings what it lacked';
};

# Nothing in such a request says what its client has seen, and the client drops what
# the reply does not name.  Taken out: says_what_is_seen in held_note_position.
subtest 'keys and rows are not of the past' => sub {
	my $old = ($gateway->pull_pages($token))[-1]{cursor};
	my $keys = sub { return $gateway->get('/api/v1/sync/keys?entityTypes=note', token => $token); };
	my $rows = sub { return $gateway->post('/api/v1/sync/rows', token => $token, json => { keys => { note => ['pulled'] } }); };
	paused(sub {
		push_note('pulled');
		my $seen = $gateway->pull($token, since => $old);
		is ids($seen), 'pulled', 'a client has pulled a row from the primary';
		$cluster->down('immediate');
		wait_for('the primary is away', 10, sub { return $gateway->get('/ready')->{status} == 503; });
		wait_for('the replica serves alone', 10, sub { return $gateway->pull($token, since => $old)->{status} == 200; });
		is $keys->()->{status}, 503, 'keys without that row are not told';
		is $rows->()->{status}, 503, 'nor are rows';
		is $gateway->get("/api/v1/sync/digest?since=$seen->{json}{cursor}", token => $token)->{status}, 503, 'nor a digest';
		$cluster->up or die $@;
		wait_for('the primary is back', 10, sub { return $gateway->get('/ready')->{status} == 200; });
	});
	wait_for_state('200 serving');
	like $keys->()->{content}, qr/"pulled"/, 'the keys, with the primary';
	is $rows->()->{json}{rowsByType}{note}[0]{id}, 'pulled', 'the rows';
};

# A server that crashed replays again from its last checkpoint on.  Here it does not
# go on, so that a pull there would lack what was replayed before; the gateway stands
# still meanwhile, so that it finds out as the pulls come.  Taken out: the session in
# connection_has_replayed.
subtest 'a replica that crashes, and is back at once' => sub {
	my %crash = (
		'a restart' => sub {
			my ($other) = @_;
			TideReplica::kill_server($other);
			$other->up or die $@;
		},
		# the server's start remains the same
		'one of its processes' => sub {
			my ($other) = @_;
			my $recovery = sub { return eval { $other->sql('postgres',
				q{SELECT backend_start FROM pg_stat_activity WHERE backend_type = 'startup'}) } // '' };
			my $before = $recovery->();
			$other->sql('postgres', 'SELECT pg_reload_conf()');
			kill KILL => $other->sql('postgres', q{SELECT min(pid) FROM pg_stat_activity WHERE usename = 'tide_gateway'});
			wait_for('it recovers', 30, sub { my $now = $recovery->(); return $now && $now ne $before });
		});
	for my $what (sort keys %crash)
	{
		my $other = TideReplica::standby($cluster, "bgwriter_lru_maxpages = 0\nrestart_after_crash = on\n");
		my $which = start_gateway('replica-url' => $other->conninfo($database, 'tide_gateway'), 'replica-wait' => 1);
		wait_for_state('200 serving', $which);
		sql('CHECKPOINT');
		TideReplica::wait_for_standby($cluster, $other);
		$other->sql('postgres', 'CHECKPOINT');
		my @users = map { "$what $_" } 1 .. 5;
		sql("INSERT INTO note SELECT 'of ' || u, u FROM unnest('{" . join(',', @users) . "}'::text[]) u");
		TideReplica::wait_for_standby($cluster, $other);
		my $count = sub { return $_[0]->sql($database, "SELECT count(*) FROM note WHERE user_id LIKE '$what%'") };
		is $count->($other), 5, "$what: what is replayed";
		my @tokens = map { $which->token($_) } @users;
		is $which->pull($tokens[0])->{status}, 200;
		my $before = reads('replica-1', $which);
		kill STOP => $which->{pid};
		open my $configuration, '>>', "$other->{data}/postgresql.conf" or die $!;
		print {$configuration} "recovery_min_apply_delay = '1h'\n";
		close $configuration;
		$crash{$what}->($other);
		is $count->($other), 0, 'is not any more';
		my @sockets = map {
			my $socket = IO::Socket::INET->new(PeerHost => '127.0.0.1', PeerPort => $which->{port}) or die $!;
			print {$socket} "GET /api/v1/sync/pull HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer $_\r\n\r\n";
			$socket->flush;
			$socket } @tokens;
		kill CONT => $which->{pid};
		for my $user (@users)
		{
			my $reply = do { local $/; readline shift @sockets };
			like $reply, qr/"of $user"/, 'a pull sees it';
		}
		is reads('replica-1', $which), $before, 'for it is not the replica\'s';
		is $which->stop, 0;
		$other->finish;
	}
};

# Connections go to one of two servers by turns: a proxy that nobody should put
# there.  Taken out: the comparison of servers in connection_has_replayed.
subtest 'two standbys behind one address' => sub {
	my $other = TideReplica::standby($cluster);
	my $pause = TideSession->new($other->conninfo($database));
	my $proxy = TideForward::start([ $standby, $other ]);
	my $which = start_gateway('replica-url' => "host=127.0.0.1 port=$proxy->{port} dbname=$database user=tide_gateway",
		'replica-connections' => 1);
	wait_for_state('200 serving', $which);
	$pause->query('SELECT pg_wal_replay_pause()');
	wait_for('the other stands still', 10, sub { return $pause->query('SELECT pg_get_wal_replay_pause_state()') eq 'paused'; });
	push_note('by turns', $which);
	# one alone may go on to the primary because the machine is slow
	like ids($which->pull($token)), qr/by turns/, 'a pull sees what the server that was looked at has' for 1 .. 10;
	is reads('replica-1', $which), 0, 'the other is not asked';
	is $which->stop, 0;
	TideForward::stop($proxy);
	$pause->finish;
	$other->finish;
};

# Taken out: compare_identity; OPEN_PROMOTED.
subtest 'replicas that are none' => sub {
	my $other = $cluster->create_synced('SELECT');
	TideReplica::wait_for_standby($cluster, $standby);
	for my $case ([ promoted => $cluster->conninfo($database, 'tide_gateway') ],
		[ foreign => $standby->conninfo($other, 'tide_gateway') ],
		[ unfit => $standby->conninfo('postgres', 'tide_gateway') ],
		[ refused => $standby->conninfo('nowhere', 'tide_gateway') ])
	{
		my ($state, $url) = @$case;
		my $which = start_gateway('replica-url' => $url);
		wait_for_state("200 $state", $which);
		is $which->pull($token)->{status}, 200, "$state: pulls are served";
		is reads('primary', $which), 1, 'by the primary';
		is $which->stop, 0;
	}
	my $alone = TideTest::Gateway->start(database_url => $standby->conninfo($database, 'tide_gateway'),
		settings => { 'replica-url' => $standby->conninfo($database, 'tide_gateway'), 'metrics-listen' => '127.0.0.1:0' });
	wait_for('it serves pulls', 10, sub { return $alone->pull($token)->{status} == 200; });
	my $reply = $alone->push_changes($token, { changes => { note => [ { id => 'no' } ] } });
	is "$reply->{status} $reply->{json}{error}{code}", '503 try_again', 'a standby as the only server takes no push';
	is $reply->{headers}{'retry-after'}, 1, 'for now';
	is $alone->get('/ready')->{status}, 503, 'and is not ready';
	is $alone->stop, 0;
};

subtest 'a replica that is promoted' => sub {
	$standby->control('promote') or die $@;
	$standby->sql($database, q{UPDATE note SET body = 'of another history'});
	wait_for_state('200 promoted');
	my $reply = $gateway->pull($token);
	is $reply->{status}, 200;
	unlike $reply->{content}, qr/another history/, 'gets no requests any more';
};

is $gateway->stop, 0, 'ends with status 0';
$replay->finish;
$standby->finish;
done_testing;
