# Waiting for changes: pulls with wait=, and polls that are answered from
# memory, with two gateways before one database.
#
# Seen to fail with: a poll answered by the look that was under way when it came
# ("by the other gateway"); the claims, scopes, types or acks left out of what
# makes two polls the same; nothing forgotten when the watcher's connection is
# lost; old grants believed without end; looks while nobody waits; a client that
# has gone kept.
use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";
use IO::Socket::INET ();
use Test::More;
use Time::HiRes ();
use TideTest qw(encode_json);

my $cluster = TideTest::Cluster->shared;
my $database = $cluster->create_synced(<<'SQL');
CREATE TABLE plan (id integer PRIMARY KEY, owner text NOT NULL, name text);
CREATE TABLE day (id integer PRIMARY KEY, owner text NOT NULL, name text);
CREATE TABLE word (id integer PRIMARY KEY, name text);
CREATE INDEX ON plan (owner);
CREATE INDEX ON day (owner);
SELECT tide.track('plan', scope => 'owner');
SELECT tide.track('day', scope => 'owner');
SELECT tide.track('word', shared => true);
INSERT INTO plan SELECT n, u, 'plan' FROM unnest('{ann,bob}'::text[]) WITH ORDINALITY x(u, n);
GRANT SELECT, INSERT, UPDATE, DELETE ON plan, day, word TO tide_user;
SQL

sub sql { return $cluster->sql($database, $_[0]); }

# A gateway with its metrics at an address of its own.
sub gateway
{
	my %settings = @_;
	my $gateway = TideTest::Gateway->start(cluster => $cluster, database => $database,
		settings => { 'metrics-listen' => '127.0.0.1:0', 'log-level' => 'debug', %settings })->wait_until_ready;
	TideTest::wait_for('the watcher looks', 10, sub { return $gateway->metric('looks_total') > 0; })
	  unless $settings{blind};
	return $gateway;
}

# How many polls that are answered from memory while this is done.
sub answers
{
	my ($gateway, $action) = @_;
	my $before = $gateway->metric('remembered_answers_total');
	$action->();
	return $gateway->metric('remembered_answers_total') - $before;
}

# Pull to the end, and once more, so that the empty poll is remembered.
sub settle
{
	my ($gateway, $token, %field) = @_;
	my @pages = $gateway->pull_pages($token, %field);
	my $cursor = $pages[-1]{cursor};
	my $reply = $gateway->pull($token, %field, since => $cursor);
	die "the poll got $reply->{status}\n" if $reply->{status} != 200;
	return $reply->{json}{cursor};
}

# A pull that waits, on a connection of its own; $said->() is whether its reply
# has begun within so many seconds.
sub wait_for_change
{
	my ($gateway, $token, %field) = @_;
	my $query = $gateway->{http}->www_form_urlencode({ wait => 50, %field });
	my $socket = IO::Socket::INET->new(PeerHost => '127.0.0.1', PeerPort => $gateway->{port}) or die $!;
	$socket->autoflush(1);
	print {$socket} "GET /api/v1/sync/pull?$query HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer $token\r\nConnection: close\r\n\r\n";
	return $socket;
}

sub has_said
{
	my ($socket, $seconds) = @_;
	my $bits = '';
	vec($bits, fileno($socket), 1) = 1;
	return select($bits, undef, undef, $seconds) > 0;
}

sub reply_of
{
	my ($socket) = @_;
	local $/;
	my $text = <$socket>;
	return TideTest::decode_json($text =~ s/^.*?\r\n\r\n//sr);
}

sub waits
{
	my ($gateway, $count) = @_;
	TideTest::wait_for("$count wait", 10, sub { return $gateway->metric('waiting_pulls') == $count; });
	return;
}

my $here = gateway();
my $there = gateway();
my %token = map { ($_ => $here->token($_)) } qw(ann bob);

subtest 'a poll that finds nothing' => sub {
	my $cursor = settle($here, $token{ann});
	my $first = $here->pull($token{ann}, since => $cursor)->{json};
	my $before = sql('SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)');
	my $second;

	is answers($here, sub { $second = $here->pull($token{ann}, since => $cursor)->{json} }), 1,
	  'is answered from memory';
	for my $member (sort keys %$first) {
		next if $member =~ /^(?:syncTimestamp|serverTime)$/;
		is_deeply $second->{$member}, $first->{$member}, "$member as the database says it";
	}
	is_deeply [ sort keys %$second ], [ sort keys %$first ], 'and nothing else';
	like $second->{$_}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, $_ for qw(syncTimestamp serverTime);
	my $milliseconds = $here->pull($token{ann}, since => $cursor, times => 'ms')->{json}{serverTime};
	cmp_ok $milliseconds, '>=', $before, 'its time is not from the past';
	cmp_ok $milliseconds, '<=', sql('SELECT extract(epoch FROM clock_timestamp()) * 1000'), 'nor from the future';
	is answers($here, sub { $here->pull($token{ann}, since => $cursor, limit => 7) }), 1, 'the limit is no matter';
};

subtest 'another one' => sub {
	my $cursor = settle($here, $token{ann});
	my ($ack) = $here->push_changes($token{ann}, { changes => { day => [ { id => 1, name => 'x' } ] } })->{json}{ack};
	$cursor = settle($here, $token{ann}, since => $cursor);
	my $other = $here->token('ann', ttl => 1800);

	for my $case (
		[ 'other claims', $other ],
		[ 'some types', $token{ann}, entityTypes => 'plan' ],
		[ 'a scope', $token{ann}, scope => 'ann' ],
		[ 'an ack', $token{ann}, ack => $ack ],
		[ 'a client', $token{ann}, clientId => 'phone' ],
	) {
		my ($name, $token, %field) = @$case;
		is answers($here, sub {
			is $here->pull($token, since => $cursor, %field)->{status}, 200, $name;
		}), 0, '... is asked of the database';
	}
	is answers($here, sub { $here->pull($token{ann}, since => $cursor, refresh => 'plan') }), 0, 'one that refreshes, too';
	is answers($here, sub { is $here->pull($token{bob}, since => $cursor, scope => 'ann')->{status}, 403, "another user's" }), 0,
	  '... is refused';
	is answers($here, sub { $here->pull($token{ann}, since => $cursor) }), 1, 'the same is not asked again';
	is answers($there, sub { $there->pull($token{ann}, since => $cursor) }), 0, 'a gateway remembers its own alone';
};

subtest 'a push by the other gateway' => sub {
	my $cursor = settle($here, $token{ann});
	my $missed = 0;
	my $remembered = answers($here, sub {
		for my $n (1 .. 100) {
			$there->push_changes($token{ann}, { changes => { plan => [ { id => 1000 + $n, name => "p$n" } ] } });
			my $page = $here->pull($token{ann}, since => $cursor)->{json};
			$missed++ unless grep { $_->{id} == 1000 + $n } @{ $page->{changesByType}{plan} };
			$cursor = $page->{cursor};
			$here->pull($token{ann}, since => $cursor) if $n % 2;
		}
	});
	is $missed, 0, 'is seen by every poll that is sent after it was acknowledged';
	cmp_ok $remembered, '>', 20, "and polls in between are answered from memory ($remembered)";
};

subtest 'a change that a look has named while a pull ran' => sub {
	sql(q{CREATE TABLE slow (id integer PRIMARY KEY, owner text NOT NULL);
		CREATE INDEX ON slow (owner);
		ALTER TABLE slow ENABLE ROW LEVEL SECURITY;
		CREATE POLICY slowly ON slow USING (pg_sleep(1.5) IS NOT NULL);
		SELECT tide.track('slow', scope => 'owner');
		GRANT SELECT ON slow TO tide_user});
	my %slow = (entityTypes => 'slow');
	my $cursor = settle($here, $token{ann}, %slow);
	my $other = wait_for_change($here, $token{bob}, since => settle($here, $token{bob}));
	waits($here, 1);
	sql(q{INSERT INTO slow VALUES (1, 'ann')});
	my $pull = wait_for_change($here, $token{ann}, since => $cursor, %slow);
	TideTest::wait_for('the pull reads', 10, sub {
		return sql(q{SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()}) > 0; });
	sql(q{INSERT INTO slow VALUES (2, 'ann')});
	my $looks = $here->metric('looks_total');
	TideTest::wait_for('the watcher has seen it', 10, sub { return $here->metric('looks_total') > $looks + 2; });
	my $page = reply_of($pull);
	is_deeply [ map { $_->{id} } @{ $page->{changesByType}{slow} } ], [1], 'which did not see it';
	is_deeply [ map { $_->{id} } @{ $here->pull($token{ann}, since => $page->{cursor}, %slow)->{json}{changesByType}{slow} } ], [2],
	  'comes with the next poll';
	close $other;
	waits($here, 0);
	sql(q{SELECT tide.untrack('slow'); DROP TABLE slow});
};

subtest 'wait' => sub {
	my $cursor = settle($here, $token{ann});
	my $bobs = settle($here, $token{bob}, entityTypes => 'day');
	my $waiting = wait_for_change($here, $token{ann}, since => $cursor);
	my $bob = wait_for_change($here, $token{bob}, since => $bobs, entityTypes => 'day');
	waits($here, 2);
	my $woken = $here->metric('woken_total');

	sql(q{UPDATE plan SET name = 'other' WHERE owner = 'bob'});
	ok !has_said($waiting, 0.3), "another user's change wakes nobody";
	ok !has_said($bob, 0), 'nor does one of another type';
	is $here->metric('woken_total'), $woken, 'nobody asked the database';
	$there->push_changes($token{ann}, { changes => { plan => [ { id => 1, name => 'of ann' } ] } });
	ok has_said($waiting, 10), 'their own does';
	is_deeply [ map { $_->{name} } @{ reply_of($waiting)->{changesByType}{plan} } ], ['of ann'], 'and comes';
	ok !has_said($bob, 0), 'to them alone';

	$waiting = wait_for_change($here, $token{ann}, since => settle($here, $token{ann}));
	waits($here, 2);
	sql(q{INSERT INTO word VALUES (1, 'everybody')});
	ok has_said($waiting, 10), 'a shared table is of everybody';
	reply_of($waiting);
	ok !has_said($bob, 0), 'who asks for it';

	sql('CREATE TABLE late (id integer PRIMARY KEY, n integer); GRANT SELECT ON late TO tide_user');
	$waiting = wait_for_change($here, $token{ann}, since => settle($here, $token{ann}));
	waits($here, 2);
	sql(q{INSERT INTO late VALUES (1, 1); SELECT tide.track('late', shared => true)});
	ok has_said($waiting, 10), 'a table that is tracked wakes who asks for all';
	is_deeply reply_of($waiting)->{changesByType}{late}[0]{n}, 1, 'with its rows';
	sql(q{SELECT tide.untrack('late')});
	close $bob;
	waits($here, 0);
	pass 'who has gone waits no more';
};

subtest 'a wait from the first pull on, and its end' => sub {
	my $before = $here->metric('looks_total');
	my $start = Time::HiRes::time();
	my $cursor = settle($here, $token{bob});
	my $reply = $here->pull($token{bob}, since => $cursor, wait => 1, times => 'ms');
	my $took = Time::HiRes::time() - $start;

	is $reply->{json}{cursor}, $cursor, 'nothing came';
	ok $took > 0.9 && $took < 5, "held for so long ($took s)";
	cmp_ok abs($reply->{json}{serverTime} - sql('SELECT extract(epoch FROM clock_timestamp()) * 1000')), '<', 2000,
	  'its time is that of its end';
	cmp_ok $here->metric('looks_total') - $before, '>', 10, 'the watcher looked meanwhile';
	my $looks = $here->metric('looks_total');
	$here->get("/health") for 1 .. 200;
	is $here->metric('looks_total'), $looks, 'and does not look while nobody waits';
};

subtest 'what no log entry tells' => sub {
	my $gateway = gateway('max-grants-age' => 1);
	my $cursor = settle($gateway, $token{ann});
	sql('REVOKE SELECT ON day FROM tide_user');
	TideTest::wait_for('the grant is missed', 10, sub {
		return $gateway->pull($token{ann}, since => $cursor, entityTypes => 'day')->{status} == 403; });
	sql('GRANT SELECT ON day TO tide_user');
	my $types = settle($gateway, $token{ann}, entityTypes => 'day');
	is answers($gateway, sub { $gateway->pull($token{ann}, since => $types, entityTypes => 'day') }), 1, 'remembered';
	sql('REVOKE SELECT ON day FROM tide_user');
	TideTest::wait_for('a remembered poll asks again', 10, sub {
		return $gateway->pull($token{ann}, since => $types, entityTypes => 'day')->{status} == 403; });
	sql('GRANT SELECT ON day TO tide_user');
	is $gateway->stop, 0, 'the end';

	$gateway = gateway('max-grants-age' => 0);
	$cursor = settle($gateway, $token{ann});
	is answers($gateway, sub { $gateway->pull($token{ann}, since => $cursor) for 1 .. 3 }), 0, 'with 0 nothing is remembered';
	my $waiting = wait_for_change($gateway, $token{ann}, since => $cursor);
	waits($gateway, 1);
	sql(q{UPDATE plan SET name = 'again' WHERE id = 1});
	ok has_said($waiting, 10), 'but who waits is woken';
	is $gateway->stop, 0, 'the end';

	sql(q{CREATE TABLE coaching (coach text, athlete text);
		INSERT INTO coaching VALUES ('carl', 'ann');
		CREATE FUNCTION my_athletes(claims jsonb) RETURNS text[] LANGUAGE sql STABLE SECURITY DEFINER
			SET search_path = public, pg_temp AS $$
			SELECT array_agg(athlete) || (claims->>'sub') FROM coaching WHERE coach = claims->>'sub' $$});
	sql(qq{ALTER DATABASE "$database" SET pg_tide.scopes_function = 'public.my_athletes'});
	$gateway = gateway();
	my $carl = $gateway->token('carl');
	$cursor = settle($gateway, $carl);
	is answers($gateway, sub { $gateway->pull($carl, since => $cursor) }), 0, 'scopes of a function are asked for each time';
	sql(q{INSERT INTO coaching VALUES ('carl', 'bob')});
	is scalar(@{ $gateway->pull($carl, since => $cursor)->{json}{changesByType}{plan} }), 1, 'a new one comes with the next poll';
	is $gateway->stop, 0, 'the end';
	$gateway = gateway('max-scopes-age' => 30);
	$cursor = settle($gateway, $carl);
	is answers($gateway, sub { $gateway->pull($carl, since => $cursor) }), 1, 'unless they may be older';
	is $gateway->stop, 0, 'the end';
	sql(qq{ALTER DATABASE "$database" RESET pg_tide.scopes_function});
};

subtest 'the watcher loses its connection' => sub {
	my $cursor = settle($here, $token{ann});
	my $waiting = wait_for_change($here, $token{ann}, since => $cursor);
	waits($here, 1);
	is sql(q{SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
		WHERE application_name = 'tide-gateway-watch' AND datname = current_database()}), 2, 'both gateways have one';
	sql(q{UPDATE plan SET name = 'meanwhile' WHERE id = 1});
	ok has_said($waiting, 10), 'who waits gets what came';
	reply_of($waiting);
	TideTest::wait_for('it looks again', 10, sub {
		my $poll = settle($here, $token{ann}, since => $cursor);
		return answers($here, sub { $here->pull($token{ann}, since => $poll) }) == 1; });
	$waiting = wait_for_change($here, $token{ann}, since => settle($here, $token{ann}));
	waits($here, 1);
	sql(q{UPDATE plan SET name = 'later' WHERE id = 1});
	ok has_said($waiting, 10), 'and wakes again';
};

subtest 'what is forgotten' => sub {
	my $cursor = settle($here, $token{ann});
	sql(q{INSERT INTO day VALUES (77, 'bob', 'x')});
	sql(q{SELECT tide.prune('0 s')});
	my $reply = $here->pull($token{ann}, since => $cursor)->{json};
	is $reply->{reset} ? 'yes' : 'no', 'yes', 'a cursor behind the horizon is not answered from memory';
};

subtest 'a watcher without rights' => sub {
	sql('REVOKE EXECUTE ON FUNCTION tide.watch(text) FROM tide_gateway');
	my $gateway = TideTest::Gateway->start(cluster => $cluster, database => $database,
		settings => { 'metrics-listen' => '127.0.0.1:0' })->wait_until_ready;
	TideTest::wait_for('the log says so', 10, sub { return $gateway->log =~ /event=watch-failed.*tide\.watch/; });
	my $cursor = settle($gateway, $token{ann});
	is answers($gateway, sub { $gateway->pull($token{ann}, since => $cursor) }), 0, 'nothing is remembered';
	my $waiting = wait_for_change($gateway, $token{ann}, since => $cursor);
	waits($gateway, 1);
	sql(q{UPDATE plan SET name = 'blind' WHERE id = 1});
	ok has_said($waiting, 10), 'and who waits gets what came all the same';
	is $gateway->stop, 0, 'the end';
	sql('GRANT EXECUTE ON FUNCTION tide.watch(text) TO tide_gateway');
};

subtest 'bounds' => sub {
	my $gateway = gateway('max-waiting' => 2);
	my $cursor = settle($gateway, $token{ann});
	my @waiting = map { wait_for_change($gateway, $token{ann}, since => $cursor) } 1 .. 2;
	waits($gateway, 2);
	my $reply = $gateway->pull($token{ann}, since => $cursor, wait => 20);
	is $reply->{status}, 503, 'one too many';
	is $reply->{headers}{'retry-after'}, 10, 'comes back later';
	is $gateway->pull($token{ann}, since => $cursor)->{status}, 200, 'one that does not wait is welcome';
	$gateway->signal('TERM');
	is scalar(grep { my $r = reply_of($_); $r->{cursor} eq $cursor && !%{ $r->{changesByType} } } @waiting), 2,
	  'at the end all are answered';
	is $gateway->wait_until_stopped, 0, 'with status 0';

	$gateway = gateway('remembered-polls' => 0);
	$cursor = settle($gateway, $token{ann});
	is answers($gateway, sub { $gateway->pull($token{ann}, since => $cursor) }), 0, 'none remembered';
	is $gateway->stop, 0, 'the end';
};

is $_->stop, 0, 'stops with status 0' for $here, $there;
done_testing;
