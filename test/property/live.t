# Real time: devices of two users that poll, that wait, and that listen to events
# and pull when they are told, through two gateways before one database, while transactions commit in every order.  The
# second gateway reads from a hot standby, whose replay stands still every now and then.  Rows are
# written, moved between the users, deleted, touched and emptied; some are
# everybody's; sessions keep transactions open; devices push; the watchers lose
# their connections.  The driver is one process, so it knows each state that was
# ever committed, and
#
#   * a poll brings its device to a state of when it was sent or later: nothing
#     that was committed or acknowledged before is missing, whichever gateway
#     took it and whether the database or its memory has answered;
#   * who waits is answered within seconds when something changed, and not
#     before, unless its time is over;
#   * who listens is told within seconds when something changed;
#   * no reply has a text of the other user's.
#
# Reading a row takes a moment, so that looks and commits fall into pulls.
#
#   SECONDS=600, RUNS=5, SEED=17 as for cursor.t
#
# Found with it: a stream of events that told a page which it had told before.
# Each guard is pinned by test/unit/book.t and test/http/e2e_live.t; this one looks
# for what nobody thought of.
use strict;
use warnings;

use FindBin ();
use lib $FindBin::Bin, "$FindBin::Bin/../lib", "$FindBin::Bin/../fault";
use HTTP::Tiny ();
use IO::Socket::INET ();
use Test::More;
use TideReplica ();
use TideSession ();
use TideTest qw(decode_json encode_json);
use Time::HiRes qw(time);

my $STEPS = $ENV{STEPS} // 400;
my $WAIT = 20;
my $PATIENCE = 15;    # until who waits must have been answered
my @USERS = ('ann', 'bob');

my $cluster = TideTest::Cluster->start;
my $database = $cluster->create_synced(<<'SQL');
CREATE TABLE note (id int PRIMARY KEY, owner text, v text);
CREATE TABLE word (id int PRIMARY KEY, v text);
CREATE INDEX ON note (owner, id);
SELECT tide.track('note', scope => 'owner');
SELECT tide.track('word', shared => true);
CREATE FUNCTION nap(seconds float8) RETURNS boolean LANGUAGE sql VOLATILE AS $$ SELECT pg_sleep(seconds) IS NOT NULL $$;
ALTER TABLE note ENABLE ROW LEVEL SECURITY;
CREATE POLICY slowly ON note FOR SELECT USING (nap(random() * 0.02));
-- one for SELECT would be OR true, and nobody would nap
CREATE POLICY inserted ON note FOR INSERT WITH CHECK (true);
CREATE POLICY updated ON note FOR UPDATE USING (true);
CREATE POLICY deleted ON note FOR DELETE USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON note TO tide_user;
GRANT SELECT ON word TO tide_user;
SQL
my $conninfo = $cluster->conninfo($database);
my $control = TideSession->new($conninfo);
my @writers = map { { session => TideSession->new($conninfo), number => $_, open => 0 } } 0 .. 2;
my $standby = TideReplica::standby($cluster);
my $replay = TideSession->new($standby->conninfo($database));
my @gateways = map { TideTest::Gateway->start(cluster => $cluster, database => $database,
	settings => { 'metrics-listen' => '127.0.0.1:0', 'db-connections' => 6, %$_ })->wait_until_ready }
  {}, { 'replica-url' => $standby->conninfo($database, 'tide_gateway'), 'replica-wait' => 0.5 };
my %token = map { ($_ => $gateways[0]->token($_)) } @USERS;
my (@devices, %states, $number, $seed, $problem);

sub pick { return $_[ int rand @_ ]; }

sub sql { return $control->query($_[0]); }

# ---------- what is true ----------

sub as_text
{
	my ($rows) = @_;
	return join ' ', map { "$_=$rows->{$_}" } sort keys %$rows;
}

# After each commit: what each user's device should hold.
sub note_states
{
	my %now = map { ($_ => {}) } @USERS;
	for my $line (split /\n/, sql(q{SELECT concat_ws('|', 'note', id, owner, v) FROM note
		UNION ALL SELECT concat_ws('|', 'word', w.id, u, w.v) FROM word w, unnest('{ann,bob}'::text[]) u})) {
		my ($type, $id, $owner, $v) = split /\|/, $line;
		$now{$owner}{"$type$id"} = $v if exists $now{$owner};
	}
	push @{ $states{$_} }, as_text($now{$_}) for @USERS;
	return;
}

# ---------- writing ----------

# a text that tells whose it is
sub text_of { return $_[0] . 'x' . ++$number; }

# Each writer has keys of its own, so that none waits for another.
sub random_write
{
	my ($writer) = @_;
	my $id = $writer->{number} + 4 * int rand 12;
	my $owner = pick(@USERS);
	my $r = rand;
	return "INSERT INTO word VALUES ($id, '" . text_of('all') . "') ON CONFLICT (id) DO UPDATE SET v = excluded.v" if $r < 0.08;
	return "DELETE FROM note WHERE id = $id" if $r < 0.2;
	return "SELECT tide.touch('note', '[$id]')" if $r < 0.25;
	my $v = text_of($owner);
	return "INSERT INTO note VALUES ($id, '$owner', '$v') ON CONFLICT (id) DO UPDATE SET owner = excluded.owner, v = excluded.v";
}

sub write_something
{
	my $writer = pick(@writers);
	my $session = $writer->{session};
	if ($writer->{open} && rand() < 0.5) {
		$session->query(rand() < 0.85 ? 'COMMIT' : 'ROLLBACK');
		$writer->{open} = 0;
	}
	elsif (!$writer->{open} && rand() < 0.4) {
		$session->query('BEGIN');
		$session->query(random_write($writer));
		$writer->{open} = 1;
	}
	elsif ($writer->{open} && rand() < 0.3) {
		$session->query('SAVEPOINT s');
		$session->query(random_write($writer));
		$session->query(rand() < 0.5 ? 'ROLLBACK TO s' : 'RELEASE s');
	}
	else {
		$session->query(random_write($writer));
	}
	note_states() unless $writer->{open};
	return;
}

sub push_something
{
	my $user = pick(@USERS);
	my $id = 3 + 4 * int rand 12;
	my $owner = sql("SELECT owner FROM note WHERE id = $id");
	return if $owner ne '' && $owner ne $user;
	my $reply = pick(@gateways)->push_changes($token{$user},
		{ changes => { note => [ { id => $id, owner => $user, v => text_of($user), lastModifiedAt => undef } ] } });
	$problem //= "a push got $reply->{status}: $reply->{content}" if $reply->{status} != 200;
	note_states();
	return;
}

# ---------- devices ----------

sub begin_poll
{
	my ($device) = @_;
	# to the one that may remember it, mostly
	my $gateway = $device->{gateway} && rand() < 0.8 ? $device->{gateway} : pick(@gateways);
	my %field = (limit => pick(2, 100), $device->{cursor} ? (since => $device->{cursor}) : ());
	$device->{waits} = rand() < 0.5;
	$field{wait} = $WAIT if $device->{waits};
	my $query = HTTP::Tiny->new->www_form_urlencode(\%field);
	my $socket = IO::Socket::INET->new(PeerHost => '127.0.0.1', PeerPort => $gateway->{port}) or die $!;
	$socket->autoflush(1);
	@$device{qw(socket gateway buffer sent began)} = ($socket, $gateway, '', $#{ $states{ $device->{user} } }, time);
	print {$socket} "GET /api/v1/sync/pull?$query HTTP/1.1\r\nHost: x\r\n"
	  . "Authorization: Bearer $token{ $device->{user} }\r\nConnection: close\r\n\r\n";
	return;
}

# Has the reply come?  Waits so many seconds at most.
sub has_reply
{
	my ($device, $seconds) = @_;
	my $deadline = time + $seconds;
	while (1) {
		my $left = $deadline - time;
		my $bits = '';
		vec($bits, fileno($device->{socket}), 1) = 1;
		return 0 unless select $bits, undef, undef, $left > 0 ? $left : 0;
		return 1 unless sysread $device->{socket}, $device->{buffer}, 65536, length $device->{buffer};
	}
}

sub take_page
{
	my ($device, $page) = @_;
	die "a reset: $page->{resetReason}\n" if $page->{reset};
	for my $type (keys %{ $page->{deletedByType} }) {
		delete $device->{rows}{"$type$_->{id}"} for @{ $page->{deletedByType}{$type} };
	}
	for my $type (keys %{ $page->{changesByType} }) {
		$device->{rows}{"$type$_->{id}"} = $_->{v} for @{ $page->{changesByType}{$type} };
	}
	$device->{cursor} = $page->{cursor};
	return;
}

sub is_from_the_past
{
	my ($device) = @_;
	my $states = $states{ $device->{user} };
	my $have = as_text($device->{rows});
	return !grep { $states->[$_] eq $have } $device->{sent} .. $#$states;
}

# The reply is there: take it, and what pages follow.
sub finish_poll
{
	my ($device) = @_;
	my ($user, $other) = $device->{user} eq 'ann' ? ('ann', 'bob') : ('bob', 'ann');
	my ($head, $body) = split /\r\n\r\n/, delete $device->{buffer}, 2;
	my $took = time - $device->{began};
	delete $device->{socket};
	if ($head !~ m{^HTTP/1\.1 200 }) { $problem //= "$user: $head $body"; return; }
	my $page = decode_json($body);
	my $is_empty = !%{ $page->{changesByType} } && !%{ $page->{deletedByType} };
	$problem //= "$user was told of $other\'s: $body" if $body =~ /${other}x/;
	$problem //= "$user was woken for nothing after $took s"
	  if $device->{waits} && $is_empty && $took < $WAIT - 1;
	take_page($device, $page);
	while ($page->{hasMore}) {
		$page = $device->{gateway}->pull($token{$user}, since => $page->{cursor}, limit => 100)->{json};
		take_page($device, $page);
	}
	$problem //= sprintf "a %s of %s's was answered from the past.\nhas: %s\nwas: %s\nis:  %s", $device->{waits} ? 'wait' : 'poll',
	  $user, as_text($device->{rows}), @{ $states{$user} }[$device->{sent}, -1] if is_from_the_past($device);
	return;
}

# ---------- devices that listen ----------

sub listen_to_events
{
	my ($device) = @_;
	my $query = $device->{cursor} ? "?since=$device->{cursor}" : '';
	my $socket = IO::Socket::INET->new(PeerHost => '127.0.0.1', PeerPort => $device->{gateway}{port}) or die $!;
	$socket->autoflush(1);
	@$device{qw(stream heard)} = ($socket, '');
	print {$socket} "GET /api/v1/sync/events$query HTTP/1.1\r\nHost: x\r\n"
	  . "Authorization: Bearer $token{ $device->{user} }\r\n\r\n";
	return;
}

# Was it told of a change?  Waits so many seconds at most.
sub was_told
{
	my ($device, $seconds) = @_;
	my $deadline = time + $seconds;
	while (1) {
		return 1 if $device->{heard} =~ s/\A.*event: change\ndata: \{"entityTypes":\[("\w+",?)*\]\}\n\n//s;
		my $left = $deadline - time;
		my $bits = '';
		vec($bits, fileno($device->{stream}), 1) = 1;
		return 0 unless select $bits, undef, undef, $left > 0 ? $left : 0;
		next if sysread $device->{stream}, $device->{heard}, 65536, length $device->{heard};
		$problem //= "a stream of $device->{user}'s has ended: $device->{heard}";
		return 0;
	}
}

sub pull_now
{
	my ($device) = @_;
	$device->{sent} = $#{ $states{ $device->{user} } };
	my $page = { hasMore => 1 };
	while ($page->{hasMore}) {
		$page = pick(@gateways)->pull($token{ $device->{user} }, limit => 100,
			$device->{cursor} ? (since => $device->{cursor}) : ())->{json};
		take_page($device, $page);
	}
	$problem //= "$device->{user} was told, and pulled from the past" if is_from_the_past($device);
	return;
}

sub move_listener
{
	my ($device, $patience) = @_;
	if (!$device->{stream}) {
		pull_now($device);
		listen_to_events($device);
	}
	pull_now($device) while !$problem && was_told($device, 0);
	return if $problem || !$patience || as_text($device->{rows}) eq $states{ $device->{user} }[-1];
	if (was_told($device, $patience)) {
		pull_now($device);
		move_listener($device, $patience);
	}
	else { $problem //= "$device->{user} was not told in $patience s"; }
	return;
}

# ---------- all of them ----------

sub move_device
{
	my $device = pick(@devices);
	if ($device->{listens}) { move_listener($device, 0); }
	elsif (!$device->{socket}) { begin_poll($device); }
	elsif (has_reply($device, $device->{waits} ? 0 : pick(0, 0.02))) { finish_poll($device); }
	return;
}

# All that must be answered now is, soon.
sub settle
{
	for my $device (grep { $_->{listens} } @devices) {
		move_listener($device, $PATIENCE);
		return if $problem;
	}
	for my $device (grep { $_->{socket} } @devices) {
		my $must = !$device->{waits} || as_text($device->{rows}) ne $states{ $device->{user} }[-1];
		if (has_reply($device, $must ? $PATIENCE : 0)) { finish_poll($device); }
		elsif ($must) { $problem //= "$device->{user} was not answered in $PATIENCE s: " . ($device->{waits} ? 'a wait' : 'a poll'); }
		return if $problem;
	}
	return;
}

# ---------- a run ----------

sub one_step
{
	my $r = rand;
	if ($r < 0.2) { write_something(); }
	elsif ($r < 0.26) { push_something(); }
	elsif ($r < 0.3) { $replay->query('SELECT pg_wal_replay_' . pick('pause()', 'resume()')); }
	elsif ($r < 0.97) { move_device(); }
	elsif ($r < 0.99) { settle(); }
	elsif ($r < 0.995) {
		# it would wait for whoever has written there
		return if grep { $_->{open} } @writers;
		sql('TRUNCATE word');
		note_states();
	}
	else { sql(q{SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
		WHERE application_name = 'tide-gateway-watch' AND datname = current_database()}); }
	return;
}

sub one_run
{
	($seed) = @_;
	srand $seed;
	%states = ();
	note_states();
	@devices = map { { user => $USERS[ $_ % 2 ], rows => {}, listens => $_ > 7, gateway => $gateways[ $_ / 2 % 2 ] } } 0 .. 11;
	for my $step (1 .. $STEPS) {
		eval { one_step(); 1 } or $problem //= $@;
		next unless $problem;
		diag "seed $seed, step $step: $problem";
		return 0;
	}
	for my $writer (grep { $_->{open} } @writers) {
		$writer->{session}->query('COMMIT');
		$writer->{open} = 0;
		note_states();
	}
	settle();
	diag "seed $seed, at the end: $problem" if $problem;
	return !$problem;
}

sub counted
{
	my ($gateway) = @_;
	my ($port) = $gateway->log =~ /event=metrics address=\S+ port=(\d+)/;
	my $text = HTTP::Tiny->new->get("http://127.0.0.1:$port/metrics")->{content};
	return map { $text =~ /^\Q$_\E (\d+)/m ? $1 : 0 } 'tide_remembered_answers_total',
	  'tide_reads_total{server="replica-1"}', 'tide_replica_fallbacks_total{reason="behind"}';
}

my $first = $ENV{SEED} // int rand 1_000_000;
my $seconds = $ENV{SECONDS} // 20;
my $start = time;
my $runs = 0;
my $good = 1;
note "first seed $first";
while ($good && ($ENV{SEED} ? $runs < ($ENV{RUNS} // 1) : $ENV{RUNS} ? $runs < $ENV{RUNS} : time - $start < $seconds)) {
	$good = one_run($first + $runs++);
}
ok $good, "nobody misses anything, nor is answered from the past ($runs runs)";
my ($answers, $reads, $behind) = counted($gateways[1]);
$answers += (counted($gateways[0]))[0];
cmp_ok $answers, '>', 10, "polls were answered from memory ($answers)" if $good;
cmp_ok $reads, TideReplica::standbys_serve($cluster) ? '>' : '==', TideReplica::standbys_serve($cluster) ? 10 : 0, "pulls were served by the standby ($reads, and $behind times it was too far behind)" if $good;
delete @$_{qw(socket stream)} for @devices;
is $_->stop, 0, 'a gateway ends with status 0' for @gateways;
$_->{session}->finish for @writers;
$_->finish for $control, $replay;
$standby->finish;
done_testing;
