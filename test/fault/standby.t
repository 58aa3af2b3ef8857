# Pulls from a hot standby: what it serves and what it refuses, when it is behind
# the client, and what becomes of cursors when servers stop and are promoted.
#
# The order of things is fixed here, by pausing replay or by holding commits;
# test/property/standby.t tries orders at random.
#
# Seen to fail with each guard of test/mutation/standby.mutations taken out.
use strict;
use warnings;

use FindBin ();
use lib $FindBin::Bin, "$FindBin::Bin/../property";
use Test::More;
use TideReplica ();
use TideSession ();
use TideTest qw(decode_json wait_for);

my $cluster = TideTest::Cluster->start(settings => {
	max_prepared_transactions => 10, wal_keep_size => '256MB', checkpoint_timeout => '1h', autovacuum => 'off',
	wal_retrieve_retry_interval => '100ms' });
my $database = $cluster->create_database;
$cluster->sql($database, $TideReplica::SCHEMA . 'CREATE TABLE untracked (v int)');
$cluster->sql($database, "INSERT INTO note SELECT i, 'u', 0 FROM generate_series(1, 9) i");
my $standby = TideReplica::standby($cluster);
my $replica = TideReplica->new;

if (!TideReplica::standbys_serve($cluster))
{
	eval { $standby->sql($database, 'SELECT tide.pull()') };
	like($@, qr/pg_tide needs PostgreSQL 15 or later to work on a standby/, 'a standby says that it cannot serve');
	done_testing();
	exit;
}

sub catch_up { TideReplica::wait_for_standby($_[1] // $cluster, $_[0] // $standby); return; }

sub change
{
	my ($where, $id, $v) = @_;
	return $where->sql($database, "UPDATE note SET v = $v WHERE id = $id");
}

# SQLSTATE of what a statement fails with, '' if it does not
sub state_of
{
	my ($where, $sql) = @_;
	return eval { $where->sql($database, "\\set VERBOSITY verbose\n$sql"); 1 } ? ''
	  : $@ =~ /(?:ERROR|FATAL):  (\w{5}):/ ? $1 : $@;
}

# ready and reason, as tide.replayed() has them
sub replayed
{
	my ($where, $arguments) = @_;
	return $where->sql($database, "SELECT ready || coalesce(' ' || reason, '') FROM tide.replayed($arguments)");
}

sub page
{
	my ($where, $arguments) = @_;
	return decode_json($where->sql($database,
		"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT tide.pull($arguments); COMMIT"));
}

sub ids { return join ' ', map { "$_->{id}=$_->{v}" } @{ $_[0]{changesByType}{note} // [] }; }

# a pull that goes on: no reset, and the replica is what the table holds there
sub continues
{
	my ($what, $items, $where, $who) = @_;
	$who //= $replica;
	$who->pull($where, $database);
	is($who->{reset}, undef, "$what: no reset");
	is($who->{items}, $items, "$what: $items item(s)") if defined $items;
	is($who->as_text, $who->as_text($where, $database), "$what: the replica is what the table holds");
	return;
}

sub pause
{
	my ($where) = @_;
	$where->sql('postgres', 'SELECT pg_wal_replay_pause()');
	wait_for('replay is paused', 30, sub {
		return $where->sql('postgres', 'SELECT pg_get_wal_replay_pause_state()') eq 'paused';
	});
	return;
}

sub resume { $_[0]->sql('postgres', 'SELECT pg_wal_replay_resume()'); return; }

# ---------- what it serves ----------

catch_up();
continues('from the start', 9, $standby);
my $cursor = $standby->sql($database, 'SELECT tide.cursor()');
for my $sql ('SELECT tide.pull()', "SELECT tide.pull('$cursor')", 'SELECT * FROM tide.pull_page()',
	'SELECT * FROM tide.pull_lines()', "SELECT tide.pull('now')", "SELECT tide.pull('2000-01-01T00:00:00Z')",
	'SELECT * FROM tide.changes()', "SELECT tide.digest('$cursor')", 'SELECT tide.keys()',
	q{SELECT tide.rows('{"keys": {"note": ["1"]}}')}, 'SELECT tide.schema()', 'SELECT tide.scopes()',
	'SELECT * FROM tide.tracked', 'SELECT * FROM tide.conflicts', 'SELECT * FROM tide.check()',
	'SELECT * FROM tide.watch()', 'SELECT tide.protocol()')
{
	is(state_of($standby, $sql), '', "served: $sql");
	is(state_of($standby, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; $sql"), '', 'in one snapshot, too');
}

for my $sql (q{SELECT tide.push('{"changes": []}')}, q{SELECT tide.push_json('{"changes": []}')},
	q{SELECT tide.upsert('note', '{"id": 1}')}, q{SELECT tide.delete('note', '{"id": 1}')},
	'SELECT tide.restore(1)', 'SELECT tide.register()', 'SELECT tide.maintain()', 'SELECT tide.prune()',
	q{SELECT tide.touch('note', '[1]')}, q{SELECT tide.track('untracked', shared => true)},
	q{SELECT tide.untrack('note')})
{
	is(state_of($standby, $sql), '25006', "refused: $sql");
}

change($cluster, 1, 1);
catch_up();
continues('a cursor of the standby, there', 1, $standby);
continues('and on the primary', 0, $cluster);
change($cluster, 2, 2);
continues('with a change', 1, $cluster);
catch_up();
continues('a cursor of the primary, on the standby', 0, $standby);
my $digest = decode_json($standby->sql($database, "SELECT tide.digest('$replica->{since}')"));
is_deeply($digest->{digestByType},
	decode_json($cluster->sql($database, "SELECT tide.digest('$digest->{cursor}')"))->{digestByType},
	'a digest is the same on both');

# Before the snapshot, and after the position of the new cursor.  Seen failing with it
# asked again for the old cursor, and for what the gateway remembers.
my $count = "SELECT pg_stat_force_next_flush() \\g /dev/null\n"
  . "SELECT seq_scan + coalesce(idx_scan, 0) FROM pg_stat_user_tables WHERE relid = 'tide.generation'::regclass;\n";
my ($asked, $asked_then) = split /\n/, $standby->sql($database, "$count BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;\n"
	. "SELECT * FROM tide.pull_page('$replica->{since}') \\g /dev/null\nCOMMIT;\n$count");
is($asked_then - $asked, 2, 'a pull asks twice for the generation that is replayed');

is(replayed($cluster, ''), 'true', 'a primary is always ready');
is($cluster->sql($database, 'SELECT in_recovery, lag_bytes, lag_seconds FROM tide.replayed()'), 'f||', 'and has no lag');
is($standby->sql($database, 'SELECT in_recovery, lag_bytes, lag_seconds FROM tide.replayed()'), 't|0|0',
	'nor has a standby that has replayed all');
is(state_of($standby, "SELECT tide.replayed('txyz')"), 'TD002', 'a malformed cursor');
is(state_of($standby, "SELECT tide.replayed('12 o''clock')"), 'TD001', 'a malformed time');
is(state_of($standby, "SELECT tide.replayed(acks => '{x}')"), 'TD001', 'a malformed ack');

# ---------- behind the client ----------

pause($standby);
my $before = $replica->twin;
change($cluster, 3, 3);
continues('ahead of the standby', 1, $cluster);
is(replayed($standby, "'$replica->{since}'"), 'false position', 'the standby says so');
is(state_of($standby, "SELECT tide.$_"), 'TD017', "and refuses $_")
  for "pull('$replica->{since}')", "digest('$replica->{since}')", "changes('$replica->{since}')";
is(replayed($standby, "'$before->{since}'"), 'true', 'a cursor of before is served');
continues('that one', 0, $standby, $before);
wait_for('the lag is seen', 30, sub {
	return $standby->sql($database, 'SELECT lag_bytes > 0 AND lag_seconds > 0 FROM tide.replayed()') eq 't';
});
resume($standby);
wait_for('it catches up', 30, sub { return replayed($standby, "'$replica->{since}'") eq 'true' });
continues('caught up', 0, $standby);
continues('who was not ahead', 1, $standby, $before);

# No transaction has begun that the standby does not know of; only the position tells
# that one has ended.
my $open = TideSession->new($cluster->conninfo($database));
$open->query('BEGIN; UPDATE note SET v = 6 WHERE id = 3');
change($cluster, 4, 6);
catch_up();
pause($standby);
$open->query('COMMIT');
continues('an end that the standby does not know', 2, $cluster);
is(replayed($standby, "'$replica->{since}'"), 'false position', '... as it says');
is(state_of($standby, "SELECT tide.pull('$replica->{since}')"), 'TD017', '... and refuses a pull');
resume($standby);
catch_up();
continues('it knows of the end', 0, $standby);
$open->finish;

# A snapshot from before the position was replayed shows less than the cursor,
# whenever the question is asked.
my $session = TideSession->new($standby->conninfo($database));
$session->query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT 1');
$before = $replica->twin;
change($cluster, 3, 4);
continues('ahead of a snapshot', 1, $cluster);
catch_up();
$session->send("SELECT tide.pull('$replica->{since}')");
$session->wait;
is($session->error, 'TD017', 'a snapshot from before the position was replayed');
$session->query("ROLLBACK; BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT 1");
change($cluster, 3, 5);
catch_up();
is(ids(decode_json($session->query("SELECT tide.pull('$before->{since}')"))), '3=4',
	'a snapshot that shows all that the cursor has seen, and is not the newest');
$session->finish;

# ---------- where the next record begins behind a page's header ----------

# WAL that ends just where a page does: a cursor is made there, and nothing more
# is written that a standby could replay.
sub fill_page
{
	my ($where) = @_;
	my $offset = q{(pg_current_wal_insert_lsn() - '0/0') % 8192};
	for (1 .. 50)
	{
		# what a record takes beside its content, and then one that takes the rest
		$where->sql($database, "DO \$\$ DECLARE o bigint; n bigint; BEGIN "
			  . "PERFORM pg_logical_emit_message(false, '', repeat('x', 1000)); o := $offset; "
			  . "PERFORM pg_logical_emit_message(false, '', repeat('x', 1000)); n := $offset - o - 1000; "
			  . "IF $offset < 6000 AND n BETWEEN 0 AND 200 THEN "
			  . "PERFORM pg_logical_emit_message(false, '', repeat('x', (8192 - $offset - n)::int)); END IF; END \$\$");
		return 1 if $where->sql($database, "SELECT $offset IN (24, 40)") eq 't';
	}
	return 0;
}
ok(fill_page($cluster), 'WAL ends at the end of a page');
$cursor = page($cluster, "max_rows => 100")->{cursor};
wait_for('an idle standby gets to a cursor from there', 30, sub { return replayed($standby, "'$cursor'") eq 'true' });
is($cluster->sql($database, q{SELECT (pg_current_wal_insert_lsn() - '0/0') % 8192 IN (24, 40)}), 't',
	'and nothing more was written');
$cluster->sql('postgres', 'SELECT pg_switch_wal()');
$cursor = page($cluster, "max_rows => 100")->{cursor};
wait_for('likewise at the end of a segment', 30, sub { return replayed($standby, "'$cursor'") eq 'true' });

# ---------- acks ----------

sub push_in
{
	my ($s, $id, $v) = @_;
	my $reply = decode_json($s->query("SELECT tide.push('{\"changes\": {\"note\": "
		. "[{\"id\": $id, \"owner\": \"u\", \"v\": $v}]}}')"));
	return $reply->{ack};
}
$replica->pull($cluster, $database);
catch_up();
my $writer = TideSession->new($cluster->conninfo($database));
my $ack = push_in($writer, 4, 40);
catch_up();
is(ids(page($standby, "'$replica->{since}'")), '4=40', 'without the ack the row comes');
is(ids(page($standby, "'$replica->{since}', acks => '{$ack}'")), '', 'with it, it does not');

# The reply is made before COMMIT: the standby may have replayed more than the
# position at that time, and not this transaction.
$replica->pull($cluster, $database);
$writer->query('BEGIN');
$ack = push_in($writer, 5, 50);
change($cluster, 6, 60);
catch_up();
is(replayed($standby, "'$replica->{since}', '{$ack}'"), 'false ack', 'the push of an ack has not ended');
is(state_of($standby, "SELECT tide.pull('$replica->{since}', acks => '{$ack}')"), 'TD017', 'refused');
is(replayed($standby, "'$replica->{since}'"), 'true', 'without it the pull is served');
pause($standby);
$writer->query('COMMIT');
is(replayed($standby, "'$replica->{since}', '{$ack}'"), 'false ack', 'ended, and not replayed');
resume($standby);
catch_up();
is(replayed($standby, "'$replica->{since}', '{$ack}'"), 'true', 'replayed');
is(ids(page($standby, "'$replica->{since}', acks => '{$ack}'")), '6=60', 'and its row is left out');

# ---------- times ----------

# A time stands for what was visible on the primary by then.  That of a page of
# the standby must be one of what is replayed.
$replica->pull($cluster, $database);
catch_up();
pause($standby);
change($cluster, 7, 70);
# the next change makes one, which shows the first
$cluster->sql($database, 'DELETE FROM tide.sample');
change($cluster, 9, 70);
is($cluster->sql($database, 'SELECT count(*) FROM tide.sample'), 1, 'the primary has a sample of a time that is not replayed');
my $late = page($standby, "'$replica->{since}'");
resume($standby);
is(ids($late), '', 'a change that is not replayed');
like(ids(page($cluster, "'$late->{syncTimestamp}'")), qr/\b7=70\b/, 'comes to who goes on by the time of that page');
my $time = $cluster->sql($database, q{SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')});
catch_up();
is(replayed($standby, "'$time'"), 'false time', 'a time after the last commit');
is(state_of($standby, "SELECT tide.pull('$time')"), 'TD017', 'refused');
change($cluster, 7, 71);
catch_up();
is(replayed($standby, "'$time'"), 'true', 'and served once something later is replayed');

# ---------- more transactions than a cursor lists ----------

# Subtransactions count, too: 18 sessions with 60 each, none of which has so
# many that the primary says whose they are.
my @sessions = map { TideSession->new($cluster->conninfo($database)) } 1 .. 18;
my $many = sub {
	my ($n, $count) = @_;
	$sessions[$_]->query("BEGIN; DO \$\$ BEGIN FOR i IN 1 .. $count LOOP BEGIN "
		. "INSERT INTO note VALUES (1000 + $_ * 100 + i, 'u', i); "
		. "EXCEPTION WHEN division_by_zero THEN NULL; END; END LOOP; END \$\$") for 0 .. $n - 1;
};
$replica = TideReplica->new->pull($cluster, $database);
$many->(4, 60);
change($cluster, 8, 80);
catch_up();
continues('some hundred subtransactions are running', 1, $standby);
cmp_ok(length $replica->{since}, '>', 300, 'and are in the cursor');
continues('which is accepted', 0, $cluster);

# Such a list has subtransactions that the primary's has not: no reason to begin
# pages anew.
change($cluster, $_, 85) for 1 .. 4;
my $pages = 1;
my $next = page($cluster, "'$replica->{since}', max_rows => 1");
catch_up();
while ($next->{hasMore} && $pages++ < 10) { $next = page($standby, "'$next->{cursor}', max_rows => 1"); }
is($pages, 4, 'pages that the primary began come to an end');
$replica->pull($standby, $database);
$sessions[$_]->query('ROLLBACK') for 0 .. 3;
catch_up();

# Amid pages, a cursor has two lists.
$many->(15, 60);
# one that finds nothing would keep its short list
change($cluster, 8, 86);
catch_up();
$replica->pull($standby, $database);
change($cluster, $_, 86) for 1 .. 4;
catch_up();
$next = page($standby, "'$replica->{since}', max_rows => 1");
is(state_of($_, "SELECT tide.pull('$next->{cursor}')"), '', 'a cursor with two lists is accepted') for $standby, $cluster;
$sessions[$_]->query('ROLLBACK') for 0 .. 14;
catch_up();

# a sample of now, whose transaction list is short
$cluster->sql($database, 'DELETE FROM tide.sample');
change($cluster, 8, 81);
$replica->pull($cluster, $database);
$many->(18, 60);
change($cluster, 8, 82);
catch_up();
continues('more than a thousand are running', 1, $standby);
cmp_ok(length $replica->{since}, '<', 150, 'and are not in the cursor');
$replica->pull($standby, $database);
cmp_ok($replica->{items}, '>=', 1, 'what came since the sample comes again');
is($replica->{reset}, undef, 'without a reset');
change($cluster, 9, 90);
catch_up();
$replica->pull($standby, $database);
is($replica->{rows}{9}, 90, 'and so does what is new');
$cluster->sql($database, 'DELETE FROM tide.sample');
catch_up();
$replica->pull($standby, $database);
is($replica->{reset}, undef, 'also without any sample');
cmp_ok(length $replica->{since}, '<', 150, 'and are not in the cursor then');
$sessions[$_]->query('COMMIT') for 0 .. 17;
catch_up();
continues('they commit', undef, $standby);
is(scalar(grep { $_ >= 1000 } keys %{ $replica->{rows} }), 18 * 60, 'and nothing of theirs is missed');
continues('nor again', 0, $standby);
$_->finish for @sessions;

# Overflow: the primary says of some that they are subtransactions, which are then
# missing in the list.
my $overflow = TideSession->new($cluster->conninfo($database));
$overflow->query("BEGIN; DO \$\$ BEGIN FOR i IN 1 .. 200 LOOP BEGIN INSERT INTO note VALUES (5000 + i, 'u', i); "
	. "EXCEPTION WHEN division_by_zero THEN NULL; END; END LOOP; END \$\$");
change($cluster, 1, 10);
catch_up();
continues('a transaction with 200 subtransactions', 1, $standby);
$overflow->query('COMMIT');
catch_up();
continues('which commits', 200, $standby);
# A cursor of the primary lists no subtransactions. One that ends after the snapshot
# was taken is not for that a transaction that the cursor has seen.
# (Replay waits for a reader that a pruned row is in the way of.)
for my $end ('ROLLBACK TO part', 'COMMIT')
{
	$cluster->sql($database, 'VACUUM');
	$overflow->query("BEGIN; INSERT INTO note VALUES (7000, 'u', 1) ON CONFLICT (id) DO UPDATE SET v = 2; "
		. "SAVEPOINT part; INSERT INTO note VALUES (7001, 'u', 1)");
	change($cluster, 1, $end eq 'COMMIT' ? 13 : 12);
	$replica->pull($cluster, $database);
	catch_up();
	my $reader = TideSession->new($standby->conninfo($database));
	$reader->query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT 1');
	$overflow->query($end);
	catch_up();
	$reader->query("SELECT tide.pull('$replica->{since}')");
	is($reader->error, '', "a subtransaction has ended by $end") or diag $reader->output;
	$reader->finish;
	$overflow->query('COMMIT') if $end ne 'COMMIT';
	catch_up();
	continues('which comes later', $end eq 'COMMIT' ? 2 : 1, $standby);
}
# and one that it has seen is missed, also where none that began later has ended
$cluster->sql($database, 'VACUUM');
$overflow->query('BEGIN; UPDATE note SET v = 3 WHERE id = 7000');
change($cluster, 1, 14);
catch_up();
my $reader = TideSession->new($standby->conninfo($database));
$reader->query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT 1');
$overflow->query('COMMIT');
continues('a commit after the snapshot', 2, $cluster);
catch_up();
$reader->send("SELECT tide.pull('$replica->{since}')");
$reader->wait;
is($reader->error, 'TD017', 'refused to who has seen it');
$reader->finish;
$overflow->query("BEGIN; INSERT INTO note VALUES (6000, 'u', 1); PREPARE TRANSACTION 'p'");
change($cluster, 1, 11);
catch_up();
continues('a prepared transaction', 1, $standby);
$overflow->query("COMMIT PREPARED 'p'");
catch_up();
continues('which is committed', 1, $standby);
$overflow->finish;
$cluster->sql($database, 'DELETE FROM note WHERE id > 9');
continues('back to nine rows', undef, $cluster);

# ---------- a standby that knows a commit before the primary shows it ----------

# The commit waits for a second standby, which there is not.
sub hold_commits { $cluster->set_synchronous_standbys('2 (*)'); return; }
sub release_commits { $cluster->set_synchronous_standbys(''); return; }

sub local_change { $cluster->sql($database, "SET synchronous_commit = local; UPDATE note SET v = $_[1] WHERE id = $_[0]"); return; }

sub commit_held
{
	my ($id, $v) = @_;
	$writer->send("UPDATE note SET v = $v WHERE id = $id");
	wait_for('the standby shows what the primary does not', 30, sub {
		return $standby->sql($database, "SELECT v FROM note WHERE id = $id") == $v;
	});
	isnt($cluster->sql($database, "SELECT v FROM note WHERE id = $id"), $v, 'a commit is held');
	return;
}

# all further pages, from the primary or another
sub finish_pages
{
	my ($rows, $page, $where) = @_;
	while (1)
	{
		$rows->{ $_->{id} } = $_->{v} for @{ $page->{changesByType}{note} // [] };
		return $page unless $page->{hasMore};
		$page = page($where // $cluster, "'$page->{cursor}', max_rows => 100");
	}
}

# Rows that are read from the tables after the standby began.  It may be the standby
# again that ends the pages.
for my $end ($cluster, $standby)
{
	my $v = $end == $cluster ? 900 : 901;
	my %rows;
	hold_commits();
	commit_held(5, $v);
	my $page = page($standby, 'max_rows => 1');
	$rows{ $_->{id} } = $_->{v} for @{ $page->{changesByType}{note} };
	is(join(' ', %rows), '1 11', 'the first row comes from the standby');
	$page = page($cluster, "'$page->{cursor}', max_rows => 5");
	$rows{ $_->{id} } = $_->{v} for @{ $page->{changesByType}{note} };
	isnt($rows{5}, $v, 'others from the primary, as they were');
	ok($page->{hasMore}, 'not the last');
	$page = finish_pages(\%rows, page($end, "'$page->{cursor}', max_rows => 100"), $end);
	release_commits();
	$writer->wait;
	finish_pages(\%rows, page($cluster, "'$page->{cursor}', max_rows => 100"));
	is($rows{5}, $v, 'and as they are once the primary shows it');
}

# Rows that are left to a later entry of the log.
$replica = TideReplica->new->pull($cluster, $database);
my (%rows, $page);
hold_commits();
local_change(1, 101);
local_change(5, 501);
commit_held(1, 102);
local_change(2, 201);
local_change(3, 301);
catch_up();
%rows = %{ $replica->{rows} };
$page = page($standby, "'$replica->{since}', max_rows => 1");
is(ids($page), '5=501', 'one row is left to the later entry');
$page = page($cluster, "'$page->{cursor}', max_rows => 3");
$rows{ $_->{id} } = $_->{v} for @{ $page->{changesByType}{note} };
is($rows{1}, 101, 'where that is not visible, it comes as it is');
release_commits();
$writer->wait;
finish_pages(\%rows, page($cluster, "'$page->{cursor}', max_rows => 100"));
is($rows{1}, 102, 'and again once the entry is visible');
$writer->finish;

# ---------- the primary stops, and starts ----------

$replica = TideReplica->new->pull($cluster, $database);
catch_up();
$cluster->down;
wait_for('the stop is replayed', 30, sub { return replayed($standby, '') eq 'false start' });
is(state_of($standby, $_), 'TD012', "the primary is stopped: $_")
  for 'SELECT tide.pull()', "SELECT tide.pull('$replica->{since}')", 'SELECT tide.cursor()';
is(state_of($standby, 'SELECT tide.keys()'), '', 'what gives no cursor is served');
$cluster->up or die $@;
$cluster->sql($database, 'INSERT INTO untracked VALUES (1)');
catch_up();
is(replayed($standby, ''), 'false start', 'it is up, and its start is not registered');
$standby->restart('fast');
is(replayed($standby, "'$replica->{since}'"), 'false start', 'also after a restart of the standby');
my $of_new_start = $replica->twin;
change($cluster, 4, 41);
$of_new_start->pull($cluster, $database);
catch_up();
is(replayed($standby, ''), 'true', 'registered, and replayed');
continues('after a restart of the primary', 1, $standby);
continues('and a cursor of that start', 0, $standby, $of_new_start);
continues('which is good on the primary', 0, $cluster);

# A start that the standby does not know of: neither that it has begun, nor its
# registration, which is not committed when its first cursor leaves.
pause($standby);
$cluster->restart('fast');
$session = TideSession->new($cluster->conninfo($database));
$ack = push_in($session, 4, 43);
is(replayed($standby, "'$replica->{since}', '{$ack}'"), 'false ack', 'an ack of a start that is not replayed');
resume($standby);
catch_up();
is(replayed($standby, "'$replica->{since}', '{$ack}'"), 'true', 'replayed');
continues('after that push', 1, $standby);
pause($standby);
$session->finish;
$cluster->restart('fast');
$session = TideSession->new($cluster->conninfo($database));
$session->query('BEGIN');
$cursor = decode_json($session->query('SELECT tide.pull()'))->{cursor};
$cluster->sql($database, 'INSERT INTO untracked VALUES (2)');
resume($standby);
catch_up();
is(replayed($standby, "'$cursor'"), 'false position', 'a cursor of a start whose registration is not replayed');
$session->query('COMMIT');
$session->finish;
catch_up();
is(replayed($standby, "'$cursor'"), 'true', 'replayed');

# A crash, a restartpoint at the checkpoint that ends recovery, and more WAL.
$cluster->down('immediate');
$cluster->up or die $@;
$cluster->sql($database, 'INSERT INTO untracked VALUES (2)');
catch_up();
$standby->sql('postgres', 'CHECKPOINT');
$cluster->sql($database, 'INSERT INTO untracked VALUES (3)');
catch_up();
is(replayed($standby, ''), 'false start', 'after a crash of the primary');
pause($standby);
change($cluster, 4, 42);
continues('a cursor of a start that is not replayed', 1, $cluster);
is(state_of($standby, "SELECT tide.pull('$replica->{since}')"), 'TD012', 'is not taken for a lost one');
resume($standby);
catch_up();
continues('replayed', 0, $standby);

# ---------- a promotion amid a transaction; without loss ----------

my $cascaded = TideReplica::standby($standby);
change($cluster, 5, 51);
catch_up();
continues('before the promotion', 1, $standby);
my $of_old_timeline = $replica->twin;
$session = TideSession->new($standby->conninfo($database));
$session->query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT 1');
$cluster->down;
wait_for('the stop is replayed', 30, sub { return replayed($standby, '') eq 'false start' });
$standby->control('promote') or die $@;
catch_up($cascaded, $standby);
is(replayed($cascaded, "'$replica->{since}'"), 'false start', 'the start of the promoted one is not registered');
$standby->sql($database, 'SELECT tide.register()');
$session->send('SELECT tide.pull()');
$session->wait;
is($session->error, '40001', 'a transaction that began before the promotion tries again');
$session->finish;
continues('a promotion that lost nothing', 0, $standby);
change($standby, 6, 61);
continues('and so on', 1, $standby);
catch_up($cascaded, $standby);
continues("a cursor of the old timeline on the promoted one's standby", 1, $cascaded, $of_old_timeline);
continues('and of the new one', 0, $cascaded);
continues("a cursor of the standby's on the promoted one", 0, $standby);

# ---------- a promotion with loss ----------

# One standby has replayed what the promoted one has not.
my $promoted = TideReplica::standby($standby);
$replica->pull($standby, $database);
my $had = $replica->twin;
catch_up($promoted, $standby);
$promoted->down;
change($standby, 7, 72);
catch_up($cascaded, $standby);
continues('what will be lost, from a standby', 1, $cascaded);
$standby->down('immediate');
$promoted->up or die $@;
$promoted->control('promote') or die $@;
my $lost = $replica->twin->pull($promoted, $database);
is($lost->{reset}, 'history_lost', 'a cursor of a standby that had more than the promoted one: reset');
is($lost->as_text, $lost->as_text($promoted, $database), 'and the replica is what the table holds');
continues('a cursor from before the loss', 0, $promoted, $had);
change($promoted, 7, 73);
$had->pull($promoted, $database);
is(replayed($cascaded, "'$had->{since}'"), 'false position',
	'a standby of the old primary does not take cursors of the promoted one');
change($promoted, 1 + $_ % 9, 1000 + $_) for 1 .. 20;
$lost = $replica->twin->pull($promoted, $database);
is($lost->{reset}, 'history_lost', 'and once there is more of everything than there was: reset');

# The standby follows the promoted one, from a new copy.
my $follower = TideReplica::standby($promoted);
catch_up($follower, $promoted);
is(replayed($follower, "'$replica->{since}'"), 'true', 'a standby of the promoted one knows that it is lost');
$lost = $replica->twin->pull($follower, $database);
is($lost->{reset}, 'history_lost', 'and says so: reset');
is($lost->as_text, $lost->as_text($follower, $database), 'with what the table holds');

# ---------- what is no cursor of here, and what is forgotten ----------

my $other = $cluster->up && $cluster->create_database;
$cluster->sql($other, $TideReplica::SCHEMA);
$cursor = $cluster->sql($other, 'SELECT tide.cursor()');
is(page($follower, "'$cursor'")->{resetReason}, 'other_database', 'a cursor of another database');
$had->pull($promoted, $database);
my $expired = $had->twin;
change($promoted, 1, 2000);
$promoted->sql($database, q{SELECT tide.prune('0 s')});
catch_up($follower, $promoted);
is(page($follower, "'$expired->{since}'")->{resetReason}, 'expired', 'a cursor of before the horizon');

done_testing();
