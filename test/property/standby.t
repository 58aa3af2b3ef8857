# The adversary of pulls from standbys: writers whose transactions stay open, with
# savepoints, hundreds of subtransactions and prepared transactions, one writer
# that commits all the time, replay that is delayed or paused, and pullers that
# go with one cursor to the primary and to the standby as it happens, until the
# standby is promoted, with loss or without, and gets a standby of its own.
#
#   SECONDS=600 prove -Itest/lib test/property/standby.t    longer than usual
#   SEED=17 prove -v -Itest/lib test/property/standby.t     these choices again
#
# G1: once all is quiet, each replica is what the table holds for its scope, and
# holds no row of another. G3: whenever a page says that it is the last, its replica
# is what the snapshot of that page shows. G6: a cursor is good after a promotion
# if all that it has seen is there: always, unless it came from the primary after
# the standby was cut off.  Whoever is told to start over ends right, too.
# What tide.replayed() says is ready is served.
#
# A seed gives the same choices, but how far a standby has replayed is left to
# the server.
#
# Seen to fail with: the list of running transactions left out of a standby's
# cursor, or only as long as it has not overflowed; the position not waited for;
# the snapshot not compared with the cursor; acks not waited for; the position of
# a cursor not compared with the timeline's switch point.
use strict;
use warnings;

use FindBin ();
use lib $FindBin::Bin, "$FindBin::Bin/../fault";
use Test::More;
use TideReplica ();
use TideSession ();
use TideTest qw(decode_json wait_for);
use Time::HiRes ();

my $STEPS = $ENV{STEPS} // 200;
my @OWNERS = ('a', 'b');
my $SETUP = "SET lock_timeout = '30ms'";

# another one has the lock; a conflict; the row is another's
my $EXPECTED = qr/^(?:55P03|40001|40P01|23505)$/;
# what a standby may answer: not replayed, not registered; a conflict with replay
my $NOT_NOW = qr/^(?:TD017|TD012|40001|40P01|57014|55P03)$/;

my $cluster = TideTest::Cluster->start(settings => {
	max_prepared_transactions => 20, wal_keep_size => '512MB', wal_retrieve_retry_interval => '100ms',
	max_standby_streaming_delay => '500ms' });
TideReplica::skip_without_standbys($cluster);
my $database = $cluster->create_database;
$cluster->sql($database, <<'SQL');
CREATE EXTENSION pg_tide;
CREATE TABLE item (id int PRIMARY KEY, owner text, v int);
CREATE INDEX ON item (owner, id);
SELECT tide.track('item', scope => 'owner');
INSERT INTO item SELECT i, (ARRAY['a', 'b'])[1 + i % 2], 0 FROM generate_series(1, 20) i;
SQL

my ($primary, $standby) = ($cluster);
my $rounds = 0;
my (%count, @writers, @readers, $noise, %prepared, $cut_off, $value, @trace);

sub pick { return $_[ int rand @_ ]; }
sub trace { push @trace, $_[0]; shift @trace if @trace > 400; return; }

# ---------- writers ----------

sub random_write
{
	my $v = ++$value;
	my $id = 1 + int rand 20;
	my $owner = pick(map({ "'$_'" } @OWNERS), 'NULL');
	my $n = pick(3, 30, 80, 150);

	return pick(
		("INSERT INTO item VALUES ($id, $owner, $v) ON CONFLICT (id) DO UPDATE SET v = $v") x 3,
		("UPDATE item SET v = $v WHERE id = $id") x 3,
		("UPDATE item SET owner = $owner, v = $v WHERE id = $id") x 2,
		"UPDATE item SET v = $v WHERE id BETWEEN $id AND $id + 3",
		"DELETE FROM item WHERE id = $id",
		# each in a subtransaction of its own; beyond 64 the primary says whose they are
		("DO \$\$ BEGIN FOR i IN 1 .. $n LOOP BEGIN UPDATE item SET v = $v + i WHERE id = $id + i % 3; "
			. "IF i % 7 = 0 THEN RAISE division_by_zero; END IF; "
			. "EXCEPTION WHEN division_by_zero THEN NULL; END; END LOOP; END \$\$") x 2,
		rand() < 0.1 ? 'TRUNCATE item' : "UPDATE item SET v = $v WHERE id = $id");
}

sub write_step
{
	my ($w) = @_;
	my $sql;

	if ($w->{failed}) { $sql = 'ROLLBACK'; @$w{qw(open failed savepoints)} = (0, 0, 0); }
	elsif (!$w->{open} && %prepared && rand() < 0.2)
	{
		my $name = pick(sort keys %prepared);
		delete $prepared{$name};
		$sql = (rand() < 0.7 ? 'COMMIT' : 'ROLLBACK') . " PREPARED '$name'";
	}
	elsif (!$w->{open}) { @$w{qw(open savepoints)} = (1, 0); $sql = 'BEGIN; ' . random_write(); }
	elsif (rand() < 0.2) { $w->{open} = 0; $sql = rand() < 0.75 ? 'COMMIT' : 'ROLLBACK'; }
	elsif (rand() < 0.06 && keys %prepared < 5)
	{
		my $name = 'p' . ++$value;
		$w->{open} = 0;
		$prepared{$name} = 1;
		$sql = "PREPARE TRANSACTION '$name'";
	}
	elsif (rand() < 0.2) { $sql = 'SAVEPOINT s' . ++$w->{savepoints}; }
	elsif (rand() < 0.1 && $w->{savepoints}) { $sql = 'ROLLBACK TO s' . $w->{savepoints}; }
	else { $sql = random_write(); }
	trace("$w->{name}: $sql");
	$w->{session}->send($sql);
	$w->{session}->wait;
	my $error = $w->{session}->error or return;
	die $w->{session}->output unless $error =~ $EXPECTED;
	$w->{failed} = 1 if $w->{open};
	return;
}

# one that commits all the time, so that pulls meet a replay that goes on
sub start_noise
{
	$noise = TideSession->new($primary->conninfo($database), setup => 'CREATE TABLE IF NOT EXISTS stop (v int)');
	# from where the last one cannot have come to
	my $from = $rounds * 1_000_000;
	my $to = $from + 999_999;
	$noise->send("DO \$\$ BEGIN FOR i IN $from .. $to LOOP "
		. "INSERT INTO item VALUES (100 + i % 5, 'a', i) ON CONFLICT (id) DO UPDATE SET v = i, "
		. "owner = (ARRAY['a', 'b'])[1 + i / 5 % 2]; COMMIT; "
		. 'IF i % 20 = 0 THEN PERFORM pg_sleep(0.02); END IF; EXIT WHEN EXISTS (SELECT FROM stop); END LOOP; END $$');
	return;
}

sub stop_noise
{
	$primary->sql($database, 'INSERT INTO stop VALUES (1)');
	$noise->wait;
	die $noise->output if $noise->error;
	$noise->finish;
	$primary->sql($database, 'DELETE FROM stop');
	return;
}

# ---------- pullers ----------

sub state_sql
{
	my ($reader) = @_;
	return "SELECT '=', id, owner, v FROM item WHERE owner = '$reader->{owner}' ORDER BY id";
}

# How far the noise had come: it is one session, so this says what of it a
# snapshot shows.
my $NOISE = 'SELECT coalesce(max(v), 0) FROM item WHERE id >= 100';

# Has this reader been shown by the standby what the primary does not show yet?
# Its commit is in the WAL, and replayed, before the primary takes the
# transaction off the list of those that run.  The reader gets it again, and is
# ahead until then; and only with what the noise writes, since the other
# writers' commits are waited for.
sub is_ahead
{
	my ($reader, $where, $noise) = @_;
	my $ahead = $where == $primary && $noise < $reader->{noise};

	$reader->{noise} = $noise if $noise > $reader->{noise} || !$reader->{more};
	$count{ahead}++ if $ahead && !$reader->{more};
	return $ahead;
}

sub compare
{
	my ($reader, $what, $ahead, @lines) = @_;
	my %state = map { my (undef, $id, $owner, $v) = split /\|/; ($id => "$owner $v") } @lines;
	my $rows = $reader->{rows};
	my @wrong = map {
		$ahead && $_ >= 100 || ($rows->{$_} // 'nothing') eq ($state{$_} // 'nothing') ? ()
		  : "$_ is " . ($rows->{$_} // 'nothing') . ", should be " . ($state{$_} // 'nothing')
	} sort { $a <=> $b } keys %{ { %$rows, %state } };
	die "$reader->{name}, $what:\n  " . join("\n  ", @wrong) . "\n" if @wrong;
	return;
}

sub apply
{
	my ($reader, $reply) = @_;
	if ($reply->{reset})
	{
		die "$reader->{name}: a reset, $reply->{resetReason}\n"
		  unless $reader->{may_be_lost} && $reply->{resetReason} eq 'history_lost';
		$reader->{rows} = {};
		$reader->{may_be_lost} = 0;
		$count{resets}++;
	}
	die "types again: @{ $reply->{resetTypes} }\n" if $reply->{resetTypes};
	delete $reader->{rows}{ $_->{id} } for @{ $reply->{deletedByType}{item} // [] };
	for my $row (@{ $reply->{changesByType}{item} // [] })
	{
		die "$row->{id} of $row->{owner} is not for $reader->{name}\n" if $row->{owner} ne $reader->{owner};
		$reader->{rows}{ $row->{id} } = "$row->{owner} $row->{v}";
	}
	$count{items} += $reply->{stats}{item}{count} // 0;
	return;
}

sub claims { return "SELECT set_config('request.jwt.claims', '{\"sub\": \"$_[0]{owner}\"}', true) \\g /dev/null\n"; }

sub arguments
{
	my ($reader) = @_;
	my $since = defined $reader->{since} ? "'$reader->{since}'" : 'NULL';
	return ($since, 'ARRAY[' . join(', ', map { "'$_'" } @{ $reader->{acks} }) . ']::text[]');
}

# A conflict with replay ends a session that is between the statements of a
# transaction.
sub session_at
{
	my ($reader, $where) = @_;
	my $session = \$reader->{sessions}{ $where->{port} };

	if ($$session->ended)
	{
		$$session->finish;
		$$session = TideSession->new($where->conninfo($database), setup => $SETUP);
		$count{'sessions ended'}++;
	}
	return $$session;
}

# One page from there; false if it cannot be had.
sub pull
{
	my ($reader, $where, $limit) = @_;
	my $session = session_at($reader, $where);
	my ($since, $acks) = arguments($reader);
	my $ready = 0;

	# who asks first is served; who does not may be refused
	if ($where == $standby && rand() < 0.7)
	{
		$session->send("SELECT ready FROM tide.replayed($since, $acks)");
		$session->wait;
		# a conflict with replay may cancel the question, too
		my $error = $session->error;
		die $session->output if $error && $error !~ $NOT_NOW;
		$count{'not ready'}++, return 0 if $error || $session->output !~ /^t$/m;
		$ready = 1;
	}
	trace("$reader->{name}: pull from " . ($where == $primary ? 'primary' : 'standby') . ", limit $limit");
	$session->send("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;\n" . claims($reader)
		. "SELECT tide.pull($since, max_rows => $limit, acks => $acks);\n$NOISE;\n" . state_sql($reader) . ";\nCOMMIT");
	$session->wait;
	if (my $error = $session->error)
	{
		die $session->output if $error !~ ($where == $primary ? $EXPECTED : $NOT_NOW) || ($ready && $error eq 'TD017');
		$count{$error}++;
		$session->query('ROLLBACK') if !$session->ended;
		return 0;
	}
	my ($json, $noise, @lines) = split /\n/, $session->output;
	my $reply = decode_json($json);
	apply($reader, $reply);
	$count{ $where == $primary ? 'from the primary' : 'from the standby' }++;
	$reader->{since} = $reply->{cursor};
	$reader->{more} = $reply->{hasMore};
	$reader->{may_be_lost} = $cut_off if $where == $primary;
	my $ahead = is_ahead($reader, $where, $noise);
	if (!$reply->{hasMore})
	{
		$count{complete}++;
		$reader->{acks} = [];
		compare($reader, 'at the snapshot of its last page', $ahead, @lines);
	}
	return 1;
}

# The client's own push: it stores the reply, and shows its ack.
sub push_one
{
	my ($reader) = @_;
	my $v = ++$value;
	my $id = 1 + int rand 20;
	my $session = $reader->{sessions}{ $primary->{port} };

	trace("$reader->{name}: push of $id, $v");
	$session->send("BEGIN;\n" . claims($reader) . "SELECT tide.push('{\"changes\": {\"item\": [{\"id\": $id, "
		. "\"owner\": \"$reader->{owner}\", \"v\": $v}]}}', client_id => '$reader->{name}');\nCOMMIT");
	$session->wait;
	if (my $error = $session->error)
	{
		die $session->output unless $error =~ $EXPECTED;
		$session->query('ROLLBACK');
		return;
	}
	my ($json) = split /\n/, $session->output;
	my $reply = decode_json($json);
	my ($stored) = grep { $_->{status} eq 'applied' } @{ $reply->{succeeded} } or return;
	$reader->{rows}{$id} = "$stored->{entity}{owner} $stored->{entity}{v}";
	push @{ $reader->{acks} }, $reply->{ack} if @{ $reader->{acks} } < 32;
	$count{pushes}++;
	return;
}

sub read_step
{
	my ($reader) = @_;
	# between the pages of a pull no push: its row may be on a later one
	return push_one($reader) if !$reader->{more} && defined $reader->{since} && !$cut_off && rand() < 0.4;
	my $where = rand() < 0.65 ? $standby : $primary;
	pull($reader, $where, pick(1, 2, 3, 5, 100)) or rand() < 0.5 or pull($reader, $primary, pick(1, 5, 100));
	return;
}

sub pull_all
{
	my ($reader, $where, $what) = @_;
	for (my $pages = 0; $pages == 0 || $reader->{more}; $pages++)
	{
		die "$reader->{name} does not come to an end\n" if $pages > 2000;
		pull($reader, $where, pick(1, 7, 100)) or Time::HiRes::sleep(0.01);
	}
	compare($reader, $what, 0, split /\n/, $where->sql($database, state_sql($reader)));
	return;
}

# ---------- rounds ----------

sub setting
{
	my ($name, $to) = @_;
	$standby->sql('postgres', $_) for "ALTER SYSTEM SET $name = '$to'", 'SELECT pg_reload_conf()';
	return;
}

sub resume { $standby->sql('postgres', 'SELECT pg_wal_replay_resume()'); return; }

sub disturb
{
	my $what = pick('pause', 'resume', 'resume', 'checkpoint', 'switch', 'vacuum');
	trace("control: $what");
	if ($what eq 'pause') { $standby->sql('postgres', 'SELECT pg_wal_replay_pause()'); }
	elsif ($what eq 'resume') { resume(); }
	elsif ($what eq 'checkpoint') { $primary->sql('postgres', 'CHECKPOINT'); }
	elsif ($what eq 'switch') { $primary->sql('postgres', 'SELECT pg_switch_wal()'); }
	# a writer may have emptied the table, and goes on only after this
	else { $primary->sql($database, 'VACUUM (SKIP_LOCKED) item, tide.log'); }
	return;
}

sub open_sessions
{
	@writers = map { { name => "w$_", open => 0, failed => 0, savepoints => 0,
			session => TideSession->new($primary->conninfo($database), setup => $SETUP) } } 1 .. 3;
	for my $reader (@readers)
	{
		$reader->{sessions} = { map { ($_->{port} => TideSession->new($_->conninfo($database), setup => $SETUP)) }
			$primary, $standby };
	}
	start_noise();
	return;
}

sub steps
{
	my ($n) = @_;
	for (1 .. $n)
	{
		my $dice = rand();
		if ($dice < 0.03) { disturb(); }
		elsif ($dice < 0.5) { write_step(pick(@writers)); }
		else { read_step(pick(@readers)); }
	}
	return;
}

sub close_sessions
{
	$_->{session}->finish for @writers;
	for my $reader (@readers) { $_->finish for values %{ $reader->{sessions} }; $reader->{sessions} = {}; }
	return;
}

# What has no session any more: the prepared transactions that there are.
sub finish_prepared
{
	my ($where) = @_;
	%prepared = ();
	$where->sql($database, "COMMIT PREPARED '$_'")
	  for split /\n/, $where->sql($database, 'SELECT gid FROM pg_prepared_xacts ORDER BY gid');
	return;
}

# All is quiet: each replica is right, wherever it asks.
sub quiesce
{
	for my $w (@writers)
	{
		next unless $w->{open};
		$w->{session}->query($w->{failed} ? 'ROLLBACK' : 'COMMIT');
		@$w{qw(open failed)} = (0, 0);
	}
	stop_noise();
	finish_prepared($primary);
	resume();
	setting('recovery_min_apply_delay', '0');
	TideReplica::wait_for_standby($primary, $standby);
	pull_all($_, pick($primary, $standby), 'once all is quiet') for @readers;
	return;
}

sub promote_without_loss
{
	trace('control: promotion');
	close_sessions();
	$primary->down;
	$standby->control('promote') or die $@;
	return;
}

# The standby gets no more, the primary goes on for a while, and is gone.
sub promote_with_loss
{
	trace('control: cut off');
	resume();
	setting('primary_conninfo', '');
	wait_for('the standby is cut off', 30, sub {
		return $standby->sql('postgres', 'SELECT count(*) FROM pg_stat_wal_receiver') == 0;
	});
	$cut_off = 1;
	$standby->sql('postgres', 'SELECT pg_wal_replay_pause()') if rand() < 0.4;
	steps(30);
	trace('control: promotion with loss');
	$primary->down('immediate');
	eval { $noise->wait; $noise->finish };
	close_sessions();
	$standby->control('promote') or die $@;
	setting('primary_conninfo', '');
	$cut_off = 0;
	return;
}

sub one_round
{
	my ($loses) = @_;
	$standby = TideReplica::standby($primary);
	TideReplica::wait_for_standby($primary, $standby);
	setting('recovery_min_apply_delay', pick('0', '0', '30ms', '150ms'));
	open_sessions();
	steps($STEPS);
	if ($loses) { promote_with_loss(); }
	else { quiesce(); promote_without_loss(); }
	my $old = $primary;
	$primary = $standby;
	$primary->sql($database, $_) for 'SELECT tide.register()', 'DELETE FROM stop';
	finish_prepared($primary);
	for my $reader (@readers)
	{
		$reader->{acks} = [] if $loses;
		$reader->{sessions} = { $primary->{port} => TideSession->new($primary->conninfo($database)) };
		pull_all($reader, $primary, 'after the promotion');
		$reader->{may_be_lost} = 0;
	}
	if ($old != $cluster) { $old->down('immediate'); File::Path::remove_tree($old->{directory}); }
	return;
}

@readers = map { { name => "reader $_ of $OWNERS[$_ % 2]", owner => $OWNERS[ $_ % 2 ], rows => {}, acks => [], noise => 0,
		more => 0, may_be_lost => 0, sessions => {} } } 1 .. 5;

my $seed = $ENV{SEED} || int(rand(1_000_000));
my $end = Time::HiRes::time() + ($ENV{SECONDS} // 25);
my $good = 1;
diag("SEED=$seed");
srand($seed);
do
{
	my $loses = rand() < 0.5;
	$rounds++;
	$count{ $loses ? 'promotions with loss' : 'promotions without' }++;
	if (!eval { one_round($loses); 1 })
	{
		$good = 0;
		diag("SEED=$seed, round $rounds: $@");
		diag(join "\n", map { "  $_" } @trace);
	}
} while ($good && Time::HiRes::time() < $end);
ok($good, "$rounds rounds: each replica is what its snapshot shows, and nothing is missed: "
	  . join(', ', map { "$_ $count{$_}" } sort keys %count));

done_testing();
