# The adversary of the cursor: random steps of several writers, in every
# interleaving that locks allow, while pullers follow with kept cursors and
# random page sizes, in rows and in bytes.
#
#   SECONDS=600 prove -Itest/lib test/property/cursor.t     longer than usual
#   SEED=17 prove -v -Itest/lib test/property/cursor.t      one run, again
#
# G1: once all is quiet, each replica is what the tables hold for its scopes.
# G3: whenever a page says that it is the last, its replica is the state that
# the very snapshot of that page shows.  A kept cursor never gives a reset
# without a reason (G6).  Some replicas ask for less now and then, in the middle
# of pages too: what they leave out they get later, and nothing comes again.
#
# The seed also picks what else goes on in a run (MODE=... picks it, too):
#
#   plain    nothing: no reset may be seen
#   schema   columns come, go and are renamed: still no reset
#   ddl      tables are truncated, rewritten, attached and detached often, and
#            most of it is rolled back: still no reset
#   retrack  a table is untracked and tracked again, in one transaction
#   prune    everything that is finished is forgotten, again and again
#
# The next step is chosen when every session is idle or waiting for a lock, so
# that a seed gives the same steps, but for deadlocks: whom the server chooses
# among several that start to wait at once is left to it.
#
# Seen to fail with: the list of running transactions left out of the cursor;
# log entries under ids of subtransactions; pages that end at their first
# target; pages that end at their bytes and leave a place, or one that was read
# later, where it was at the last item found; snapshots not compared with
# rewritten tables; the old key of a changed key, or the old scope of a moved row,
# not recorded; partitions_seen() not compared with the partitions that are there;
# rows of partitions that come or go not recorded.
use strict;
use warnings;
use utf8;

use FindBin ();
use lib $FindBin::Bin;
use Test::More;
use TideSession ();
use TideTest qw(decode_json wait_for);
use Time::HiRes ();

my $STEPS = $ENV{STEPS} // 250;
my $WRITERS = 4;
my $PLENTY = 8_000_000;			# bytes that no page has
my %MODES = (plain => 4, schema => 2, ddl => 2, retrack => 1, prune => 2);
my @OWNERS = ('a', 'b', 'c');
my @TYPES = ('common', 'doc', 'item', 'part');

# no partition for the row; attached or detached already
my $MOVED = '23514|42809|42P01';

binmode $_, ':utf8' for *STDOUT, *STDERR, Test::More->builder->failure_output;

my $cluster = $ENV{TIDE_TEST_CLUSTER} ? TideTest::Cluster->shared
  : TideTest::Cluster->start(settings => { max_prepared_transactions => 20 });
my $database = $cluster->create_database;
my $control = TideSession->new($cluster->conninfo($database));
$control->query('CREATE EXTENSION pg_tide');

my $has_merge = $control->query('SHOW server_version_num') >= 150000;
my $first_seed = $ENV{SEED} || int(rand(1_000_000));
my (@sessions, @writers, @replicas, %prepared, $value, $run);

# ---------- the tables ----------

sub create_tables
{
	$control->query(<<'SQL');
CREATE TABLE item (id int PRIMARY KEY, owner text, v int);
CREATE TABLE doc (a int, b text, owner text, v int, PRIMARY KEY (a, b));
CREATE TABLE common (id int PRIMARY KEY, v int);
CREATE TABLE part (id int, y int, owner text, v int, PRIMARY KEY (y, id)) PARTITION BY LIST (y);
CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1);
CREATE TABLE part_2 (gone int, v int, owner text, y int NOT NULL, id int NOT NULL);
ALTER TABLE part_2 DROP COLUMN gone;
ALTER TABLE part ATTACH PARTITION part_2 FOR VALUES IN (2);
CREATE TABLE part_3 PARTITION OF part FOR VALUES IN (3);
CREATE INDEX ON part (owner);
CREATE INDEX ON item (owner, id);
CREATE INDEX ON doc (owner, a, b);
INSERT INTO item SELECT i, (ARRAY['a', 'b', 'c'])[i % 3 + 1], 0 FROM generate_series(1, 6) i;
INSERT INTO doc SELECT i, 'x', (ARRAY['a', 'b', 'c'])[i % 3 + 1], 0 FROM generate_series(1, 3) i;
INSERT INTO common SELECT i, 0 FROM generate_series(1, 2) i;
INSERT INTO part SELECT i, i % 3 + 1, (ARRAY['a', 'b', 'c'])[i % 2 + 1], 0 FROM generate_series(1, 6) i;
SELECT tide.track('item', scope => 'owner');
SELECT tide.track('doc', scope => 'owner');
SELECT tide.track('common', shared => true);
SELECT tide.track('part', scope => 'owner');
SQL
	return;
}

# rows of these scopes, as the lines that a replica keeps
sub state_sql
{
	my ($replica) = @_;
	my $mine = join ', ', map { "'$_'" } @{ $replica->{scopes} };
	my %part = (
		item => "SELECT 'item ' || id, owner || ' ' || v FROM item WHERE owner IN ($mine)",
		doc => "SELECT 'doc ' || a || ' ' || b, owner || ' ' || v FROM doc WHERE owner IN ($mine)",
		part => "SELECT 'part ' || y || ' ' || id, owner || ' ' || v FROM part WHERE owner IN ($mine)",
		common => "SELECT 'common ' || id, v::text FROM common");
	return 'SELECT \'=\', * FROM (' . join(' UNION ALL ', map { $part{$_} } @{ $replica->{types} })
	  . ') s(key, row) ORDER BY key COLLATE "C"';
}

# Whether a statement sees a partition is no matter of its snapshot: one that is
# attached while the transaction waits is seen from then on.  So this is asked
# last: are the partitions those of the snapshot?
my $SAME_PARTITIONS = "SELECT CASE WHEN (SELECT array_agg(inhrelid ORDER BY inhrelid) FROM pg_inherits "
  . "WHERE inhparent = 'part'::regclass) = (SELECT array_agg(relid::oid ORDER BY relid::oid) "
  . "FROM pg_partition_tree('part') WHERE level = 1) THEN 'same' ELSE 'other' END";

sub key_of
{
	my ($type, $row) = @_;
	return $type eq 'doc' ? "doc $row->{a} $row->{b}"
	  : $type eq 'part' ? "part $row->{y} $row->{id}" : "$type $row->{id}";
}

sub line_of
{
	my ($type, $row) = @_;
	return $type eq 'common' ? $row->{v} : "$row->{owner} $row->{v}";
}

# ---------- writers ----------

sub pick { return $_[ int rand @_ ]; }

# Through the root of the partitioned table, to its partitions, and what moves
# rows or partitions; part_3 is now one, now a table of its own.
sub partition_write
{
	my $v = ++$value;
	my $id = 1 + int rand 5;
	my $y = 1 + int rand 3;
	my $other = 1 + int rand 3;
	my $owner = pick(map({ "'$_'" } @OWNERS), 'NULL');

	return pick(
		"INSERT INTO part VALUES ($id, $y, $owner, $v) ON CONFLICT (y, id) DO UPDATE SET v = $v, owner = $owner",
		"INSERT INTO part_$y (id, y, owner, v) VALUES ($id, $y, $owner, $v) ON CONFLICT DO NOTHING",
		"UPDATE part_$y SET v = $v WHERE id = $id",
		"UPDATE part_$y SET owner = $owner, v = $v WHERE id >= $id",
		"DELETE FROM part_$y WHERE id = $id",
		"DELETE FROM part WHERE id = $id",
		("UPDATE part SET y = $other, v = $v WHERE y = $y AND id = $id") x 2,
		"UPDATE part SET y = $other, owner = $owner WHERE y = $y",
		!$has_merge ? "UPDATE part SET v = $v" : "MERGE INTO part t USING generate_series($id, $id + 2) s(id) ON t.id = s.id AND t.y = $y "
		  . "WHEN MATCHED AND t.v % 2 = 0 THEN DELETE WHEN MATCHED THEN UPDATE SET y = $other, v = $v "
		  . "WHEN NOT MATCHED THEN INSERT VALUES (s.id, $y, $owner, $v)",
		"DO \$\$ BEGIN DELETE FROM part_$y WHERE id = $id; BEGIN UPDATE part_$y SET v = $v + 1000000, owner = $owner; "
		  . "RAISE division_by_zero; EXCEPTION WHEN division_by_zero THEN NULL; END; END \$\$",
		(rand() < 0.5 ? pick("TRUNCATE part_$y", ('ALTER TABLE part DETACH PARTITION part_3',
			  'ALTER TABLE part ATTACH PARTITION part_3 FOR VALUES IN (3)') x 3)
			: "UPDATE part SET v = $v WHERE id = $id"));
}

# what takes a whole table, so that pulls wait for it, too
sub ddl
{
	my $table = pick('item', 'doc');

	return pick('TRUNCATE item', 'TRUNCATE doc, common', 'TRUNCATE part',
		"ALTER TABLE $table ALTER v TYPE " . pick('bigint', 'int'),
		'ALTER TABLE part DETACH PARTITION part_3', 'ALTER TABLE part ATTACH PARTITION part_3 FOR VALUES IN (3)');
}

sub random_write
{
	return ddl() if $run->{mode} eq 'ddl' && rand() < 0.15;
	return partition_write() if rand() < 0.3;
	my $v = ++$value;
	my $id = 1 + int rand 9;
	my $other = 1 + int rand 9;
	my $b = pick('x', 'y y', 'ü"');
	my $owner = pick(map({ "'$_'" } @OWNERS), 'NULL');
	my $sub = pick(@OWNERS);

	return pick(
		("INSERT INTO item VALUES ($id, $owner, $v) ON CONFLICT (id) DO UPDATE SET v = $v") x 2,
		("UPDATE item SET v = $v WHERE id = $id") x 2,
		"UPDATE item SET v = $v WHERE id BETWEEN $id AND $id + 3",
		("DELETE FROM item WHERE id = $id") x 2,
		("UPDATE item SET owner = $owner WHERE id = $id") x 2,
		"UPDATE item SET owner = $owner, v = $v WHERE id > $id",
		("UPDATE item SET id = $other WHERE id = $id") x 2,
		"UPDATE item SET id = $other, owner = $owner, v = $v WHERE id = $id",
		"INSERT INTO doc VALUES ($id, '$b', $owner, $v) ON CONFLICT (a, b) DO UPDATE SET v = $v, owner = $owner",
		"UPDATE doc SET a = $other, b = '$b' WHERE a = $id",
		"DELETE FROM doc WHERE b = '$b'",
		"UPDATE common SET v = $v WHERE id = $id",
		"INSERT INTO common VALUES ($id, $v) ON CONFLICT DO NOTHING",
		"DELETE FROM common WHERE id = $id",
		"WITH gone AS (DELETE FROM item WHERE id = $id RETURNING owner) "
		  . "INSERT INTO doc SELECT $id, '$b', owner, $v FROM gone ON CONFLICT DO NOTHING",
		"DO \$\$ BEGIN INSERT INTO item VALUES ($id, $owner, $v); "
		  . "EXCEPTION WHEN unique_violation THEN UPDATE item SET v = $v + 1000000 WHERE id = $id; END \$\$",
		"DO \$\$ BEGIN UPDATE item SET v = $v WHERE id = $id; BEGIN UPDATE item SET v = $v + 1000000 "
		  . "WHERE id = $other; RAISE division_by_zero; EXCEPTION WHEN division_by_zero THEN NULL; END; END \$\$",
		"SELECT set_config('request.jwt.claims', '{\"sub\": \"$sub\"}', true); "
		  . "SELECT tide.push('{\"changes\": {\"item\": [{\"id\": $id, \"owner\": \"$sub\", \"v\": $v}, "
		  . "{\"id\": $other, \"deletedAt\": \"2040-01-01T00:00:00Z\"}, {\"id\": \"none\"}]}}'); "
		  . "SELECT set_config('request.jwt.claims', '', true)",
		!$has_merge ? "UPDATE item SET v = $v" : "MERGE INTO item t USING generate_series($id, $id + 2) s(id) ON t.id = s.id "
		  . "WHEN MATCHED AND t.v % 2 = 0 THEN DELETE WHEN MATCHED THEN UPDATE SET v = $v "
		  . "WHEN NOT MATCHED THEN INSERT VALUES (s.id, $owner, $v)",
		"SELECT tide.touch('item', '[$id, $other]'), tide.touch('doc', '[{\"a\": $id, \"b\": \"x\"}]')",
		(rand() < 0.15 ? pick('TRUNCATE item', 'TRUNCATE doc, common',
			  'ALTER TABLE item ALTER v TYPE ' . pick('bigint', 'int'),
			  'ALTER TABLE doc ALTER v TYPE ' . pick('bigint', 'int'))
			: "UPDATE item SET v = $v WHERE id = $id"),
		($run->{mode} !~ /^(?:plain|ddl)$/ && rand() < 0.5 ? of_the_mode($v) : "UPDATE doc SET v = $v WHERE a = $id"));
}

# what is done in runs of some modes only
sub of_the_mode
{
	my ($v) = @_;
	my $table = pick('item', 'doc', 'common');

	return "SELECT tide.untrack('common'), tide.track('common', shared => true)"
	  if $run->{mode} eq 'retrack';
	if ($run->{mode} eq 'prune')
	{
		$run->{prunes}++;
		return "SELECT tide.prune('0 s')";
	}
	return "ALTER TABLE $table ADD extra_$v int DEFAULT $v" if rand() < 0.5;

	# the oldest column that was added, if there is one: dropped or renamed
	my $change = pick('DROP %I', "RENAME %I TO extra_$v");
	return "DO \$\$ DECLARE name name; BEGIN SELECT attname INTO name FROM pg_attribute "
	  . "WHERE attrelid = '$table'::regclass AND attname LIKE 'extra%' ORDER BY attnum LIMIT 1; "
	  . "IF name IS NOT NULL THEN EXECUTE format('ALTER TABLE $table $change', name); END IF; END \$\$";
}

# errors that a step may well get: somebody else was there first
sub is_expected
{
	my ($error) = @_;
	# a column that another one has just renamed or dropped
	return 1 if $run->{mode} eq 'schema' && $error eq '42703';
	return $error =~ /^(?:23505|40001|40P01|$MOVED)$/;
}

# The next statement of a writer that is idle; its state is what it will be in
# if that goes well.
sub writer_step
{
	my ($w) = @_;

	if ($w->{failed})
	{
		$w->{failed} = 0;
		return 'ROLLBACK TO s' . $w->{savepoints} if $w->{savepoints} && rand() < 0.7;
		@$w{qw(open savepoints)} = (0, 0);
		return 'ROLLBACK';
	}
	if (!$w->{open})
	{
		if (rand() < 0.15 && %prepared)
		{
			my $name = pick(sort keys %prepared);
			delete $prepared{$name};
			return (rand() < 0.7 ? 'COMMIT' : 'ROLLBACK') . " PREPARED '$name'";
		}
		return random_write() if rand() < 0.35;
		@$w{qw(open savepoints)} = (1, 0);
		return 'BEGIN' . (rand() < 0.3 ? ' ISOLATION LEVEL REPEATABLE READ' : '');
	}
	my $dice = rand();
	if ($dice < 0.14)
	{
		@$w{qw(open savepoints)} = (0, 0);
		return rand() < ($run->{mode} eq 'ddl' ? 0.4 : 0.75) ? 'COMMIT' : 'ROLLBACK';
	}
	if ($dice < 0.18)
	{
		my $name = "$database " . ++$value;
		@$w{qw(open savepoints)} = (0, 0);
		$w->{preparing} = $name;
		return "PREPARE TRANSACTION '$name'";
	}
	return 'SAVEPOINT s' . ++$w->{savepoints} if $dice < 0.26;
	return 'ROLLBACK TO s' . $w->{savepoints} if $dice < 0.30 && $w->{savepoints};
	return 'RELEASE s' . $w->{savepoints}-- if $dice < 0.33 && $w->{savepoints};
	return random_write();
}

# what became of it
sub writer_done
{
	my ($w) = @_;
	my $error = $w->{session}->error;
	my $preparing = delete $w->{preparing};

	$run->{trace}[ $w->{step} ] .= "   -- $error" if $error;
	$run->{unexpected} //= $w->{session}->output if $error && !is_expected($error);
	# a failed transaction is not prepared but rolled back, without an error
	$prepared{$preparing} = 1
	  if $preparing && !$error
	  && $control->query("SELECT count(*) FROM pg_prepared_xacts WHERE gid = '$preparing'");
	$w->{failed} = 1 if $error && $w->{open};
	return;
}

# ---------- pullers ----------

sub apply_page
{
	my ($replica, $reply) = @_;
	my $rows = $replica->{rows};
	my $items = 0;
	my %sent;

	if ($reply->{reset})
	{
		die "a reset, $reply->{resetReason}\n" unless may_be_reset($replica, $reply->{resetReason});
		%$rows = ();
		$replica->{stale} = {};
	}
	my %again = map { $_ => 1 } @{ $reply->{resetTypes} // [] };
	sweep($replica, grep { !$again{$_} } @{ $replica->{asked_types} });
	for my $type (sort keys %again)
	{
		die "$type again\n" unless may_come_again($replica, $type);
		$replica->{stale}{$type} //= { map { $_ => 1 } grep { /^$type / } keys %$rows };
	}
	for my $type (sort keys %{ $reply->{deletedByType} })
	{
		for my $row (@{ $reply->{deletedByType}{$type} })
		{
			my $key = key_of($type, $row);
			die "$key is twice in a page\n" if $sent{$key}++;
			delete $rows->{$key};
			delete $replica->{stale}{$type}{$key} if $replica->{stale}{$type};
			$items++;
		}
	}
	for my $type (sort keys %{ $reply->{changesByType} })
	{
		for my $row (@{ $reply->{changesByType}{$type} })
		{
			my $key = key_of($type, $row);
			die "$key is twice in a page\n" if $sent{$key}++;
			die "$key of $row->{owner} is not for $replica->{name}\n"
			  if $type ne 'common' && !grep { $_ eq $row->{owner} } @{ $replica->{scopes} };
			$rows->{$key} = line_of($type, $row);
			delete $replica->{stale}{$type}{$key} if $replica->{stale}{$type};
			$items++;
		}
	}
	sweep($replica, @{ $replica->{asked_types} }) unless $reply->{hasMore};
	return $items;
}

# These types are complete: what has not come again is gone.
sub sweep
{
	my ($replica, @types) = @_;
	for my $type (@types)
	{
		my $stale = delete $replica->{stale}{$type} or next;
		delete $replica->{rows}{$_} for keys %$stale;
	}
	return;
}

# Only what was forgotten or tracked anew comes again: no narrowing is a reason.
sub may_come_again
{
	my ($replica, $type) = @_;
	return 1 if $replica->{asks_time};
	# of a type that is gone the cursor does not know the name: any new one may be it
	return $type eq 'common' || $replica->{stale}{$type} || !grep { /^$type / } keys %{ $replica->{rows} }
	  if $run->{mode} eq 'retrack';
	return $run->{prunes} > 0;
}

# Is there a reason?  A cursor speaks of the snapshot of the last complete page,
# and only what was forgotten or tracked since then can make it useless.
sub may_be_reset
{
	my ($replica, $reason) = @_;
	return 1 if $replica->{asks_time};
	# an idle pull gives back the cursor it came with, which may be as old as the
	# first of them
	return $run->{prunes} > 0 if $reason eq 'expired';
	# what was coming again could not come to an end
	return $run->{mode} =~ /^(?:retrack|prune)$/ && $reason eq 'asked_anew';
}

# of some rows, those that were asked for
sub asked_for
{
	my ($replica, $rows) = @_;
	my %types = map { $_ => 1 } @{ $replica->{asked_types} };
	my %scopes = map { $_ => 1 } @{ $replica->{asked_scopes} };
	return { map { $_ => $rows->{$_} } grep {
		my ($type) = /^(\w+)/;
		my ($owner) = $rows->{$_} =~ /^(\w+)/;
		$types{$type} && ($type eq 'common' || $scopes{$owner})
	} keys %$rows };
}

sub compare
{
	my ($replica, $what, $partitions, @lines) = @_;
	my %state = map { utf8::decode($_); my (undef, $key, $row) = split /\|/; ($key => $row) } @lines;
	my $rows = asked_for($replica, $replica->{rows});
	%state = %{ asked_for($replica, \%state) };
	my @wrong = map {
		/^part / && $partitions eq 'other' || ($rows->{$_} // 'nothing') eq ($state{$_} // 'nothing') ? ()
		  : "$_ is " . ($rows->{$_} // 'nothing') . ", should be " . ($state{$_} // 'nothing')
	} sort keys %{ { %$rows, %state } };
	die "replica $replica->{name}, $what:\n  " . join("\n  ", @wrong) . "\n" if @wrong;
	return;
}

sub pull_sql
{
	my ($replica, $limit) = @_;
	# who goes by times goes on by cursor now and then, but never the other way
	# round in the middle of some pages
	$replica->{asks_time} = defined $replica->{time} && !$replica->{more}
	  && (!defined $replica->{since} || rand() < 0.7);
	my $since = $replica->{asks_time} ? "'$replica->{time}'"
	  : defined $replica->{since} ? "'$replica->{since}'" : 'NULL';
	my $scopes = 'ARRAY[' . join(', ', map { "'$_'" } @{ $replica->{asked_scopes} }) . ']';
	my $types = 'ARRAY[' . join(', ', map { "'$_'" } @{ $replica->{asked_types} }) . ']';
	return 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; '
	  . "SELECT tide.pull($since, $scopes, $types, $limit, max_bytes => $replica->{bytes}); "
	  . state_sql($replica) . "; $SAME_PARTITIONS; COMMIT";
}

# some of these, at least one
sub some
{
	my @some = grep { rand() < 0.5 } @_;
	return @some ? @some : pick(@_);
}

# all of it, or what it happens to like: what it leaves out keeps its place
sub choose
{
	my ($replica, $all) = @_;
	my $likes = $replica->{narrows} && !$all;
	$replica->{asked_types} = [ $likes && rand() < 0.7 ? some(@{ $replica->{types} }) : @{ $replica->{types} } ];
	$replica->{asked_scopes} = [ $likes && rand() < 0.7 ? some(@{ $replica->{scopes} }) : @{ $replica->{scopes} } ];
	return;
}

sub pull
{
	my ($replica, $limit, $all) = @_;
	$replica->{limit} = $limit;
	# a row is some 80 to 110 bytes
	$replica->{bytes} = pick(($PLENTY) x 5, 1, 150, 300, 500);
	choose($replica, $all) if $all || !$replica->{more} || rand() < 0.5;
	step($replica, pull_sql($replica, $limit), "pull, limit $limit, bytes $replica->{bytes}"
		. ($replica->{narrows} ? ", @{ $replica->{asked_types} } of @{ $replica->{asked_scopes} }" : ''));
	return;
}

sub pull_done
{
	my ($replica) = @_;
	my $error = $replica->{session}->error;
	my @lines = split /\n/, $replica->{session}->output;

	if ($error)
	{
		# A pull holds locks of tables while it waits for another one's, as any
		# reader does: with who truncates or attaches several, that can be a
		# deadlock, and the server chooses whom it ends.
		die $replica->{session}->output unless $error =~ /^(?:40001|40P01)$/;
		$run->{retried}++;
		$replica->{session}->query('ROLLBACK');
		return;
	}
	my $reply = decode_json(shift @lines);
	my $partitions = pop @lines;
	my $items = apply_page($replica, $reply);
	$run->{pages}++;
	$replica->{since} = $reply->{cursor};
	$replica->{time} = $reply->{syncTimestamp} if defined $replica->{time};
	if ($replica->{asks_time})
	{
		die "a pull since a time has more\n" if $reply->{hasMore};
	}
	else
	{
		die "$items items in a page of $replica->{limit} with more\n"
		  if $reply->{hasMore} && ($replica->{bytes} == $PLENTY ? $items != $replica->{limit} : !$items);
		die "$items items in a page of one byte\n" if $replica->{bytes} == 1 && $items > 1;
		die "$items items in a page of $replica->{limit}\n" if $items > $replica->{limit};
	}
	$replica->{more} = $reply->{hasMore};
	if (!$reply->{hasMore})
	{
		$run->{complete}++;
		$run->{other}++ if $partitions eq 'other';
		compare($replica, 'at the snapshot of its last page', $partitions, @lines);
	}
	return;
}

# ---------- the scheduler ----------

# what the server says of sessions that one waits for in vain
sub describe
{
	my $pids = join ', ', map { $_->{session}->backend } @_;
	return join('', map { "  $_->{name}: $_->{session}{sql}\n" } @_)
	  . $control->query("SELECT a.pid, a.state, a.wait_event_type, a.wait_event, a.query, "
		. "(SELECT string_agg(concat_ws(' ', l.locktype, l.mode, l.granted, l.relation::regclass, l.transactionid), '; ') "
		. "FROM pg_locks l WHERE l.pid = a.pid) FROM pg_stat_activity a WHERE a.pid IN ($pids)");
}

# Until every session is idle, or waits for a lock that another one holds and
# has waited long enough for a deadlock to be found.  A machine that stands
# still, or is given to others for a while, is nothing to die of: no round counts
# for more than a second.
sub settle
{
	my ($last, $waited) = (Time::HiRes::time(), 0);
	my %since;
	while (1)
	{
		my @busy;
		for my $s (grep { $_->{session}->busy } @sessions)
		{
			if ($s->{session}->done(@busy ? 0 : 0.002)) { $s->{done}->($s); }
			else { push @busy, $s; }
		}
		return unless @busy;
		my %blocked = map { $_ => 1 } split /\n/, $control->query(
			'SELECT pid FROM unnest(ARRAY[' . join(', ', map { $_->{session}->backend } @busy)
			. ']) pid WHERE pg_blocking_pids(pid) <> \'{}\'');
		my $now = Time::HiRes::time();
		my $waiting = 0;
		for my $s (@busy)
		{
			my $pid = $s->{session}->backend;
			if (!$blocked{$pid}) { delete $since{$pid}; $s->{seen_blocked} = 0; next; }
			$since{$pid} //= $now;
			$waiting++ if $s->{seen_blocked} || $now - $since{$pid} > 0.025;
		}
		if ($waiting == @busy)
		{
			$_->{seen_blocked} = 1 for @busy;
			my @ended = grep { $_->{session}->done } @busy or return;
			$_->{done}->($_) for @ended;
		}
		$waited += $now - $last < 1 ? $now - $last : 1;
		$last = $now;
		die "a session neither ends nor waits for a lock:\n" . describe(@busy) . "\n" if $waited > 60;
	}
}

sub idle { return grep { !$_->{session}->busy } @_; }

sub step
{
	my ($s, $sql, $label) = @_;
	push @{ $run->{trace} }, "$s->{name}: " . ($label // $sql);
	$s->{step} = $#{ $run->{trace} };
	$s->{seen_blocked} = 0;
	$s->{session}->send($sql);
	return settle();
}

sub random_steps
{
	for (1 .. $STEPS)
	{
		my @ready = idle(@writers);
		my @pullers = idle(@replicas);
		if (@pullers && (!@ready || rand() < 0.35))
		{
			pull(pick(@pullers), pick(1, 1, 2, 3, 5, 100));
		}
		elsif (@ready)
		{
			my $w = pick(@ready);
			step($w, writer_step($w));
		}
		# all wait: for prepared transactions
		finish_prepared() if !idle(@writers) && %prepared;
	}
	return;
}

# Prepared transactions outlive their sessions, and keep a database from being
# dropped.
END { eval { forget_prepared() } if $control; }

sub forget_prepared
{
	$control->query("ROLLBACK PREPARED '$_'")
	  for split /\n/, $control->query('SELECT gid FROM pg_prepared_xacts WHERE database = current_database()');
	return;
}

sub finish_prepared
{
	for my $name (sort keys %prepared)
	{
		delete $prepared{$name};
		push @{ $run->{trace} }, "control: COMMIT PREPARED '$name'";
		$control->query("COMMIT PREPARED '$name'");
		settle();
	}
	return;
}

sub quiesce
{
	my $deadline = Time::HiRes::time() + 60;
	while (grep { $_->{open} || $_->{session}->busy } @writers)
	{
		die "the writers do not come to an end\n" if Time::HiRes::time() > $deadline;
		settle();
		for my $w (grep { $_->{open} } idle(@writers))
		{
			@$w{qw(open failed savepoints)} = (0, 0, 0);
			step($w, rand() < 0.8 ? 'COMMIT' : 'ROLLBACK');
		}
		finish_prepared();
	}
	finish_prepared();
	settle();
	for my $replica (@replicas)
	{
		for (my $pages = 0; $pages == 0 || $replica->{more}; $pages++)
		{
			die "replica $replica->{name} does not come to an end\n" if $pages > 1000;
			pull($replica, pick(1, 2, 7, 100), 1);
		}
		compare($replica, 'once all is quiet', 'same', split /\n/, $control->query(state_sql($replica)));
	}
	return;
}

sub one_run
{
	my ($seed) = @_;
	srand($seed);
	my $mode = pick(map { ($_) x $MODES{$_} } sort keys %MODES);
	$run = { trace => [], pages => 0, complete => 0, retried => 0, prunes => 0, other => 0,
		mode => $ENV{MODE} // $mode };
	$value = 0;
	%prepared = ();
	create_tables();
	for my $w (@writers) { @$w{qw(open failed savepoints)} = (0, 0, 0); }
	for my $replica (@replicas)
	{
		@$replica{qw(rows since time more stale)} = ({}, undef, $replica->{by_time}, 0, {});
		# What was deleted before a table was tracked anew is not named to who
		# goes by a time: the README says so.
		$replica->{types} = [ grep { $_ ne 'common' || $run->{mode} ne 'retrack' } @TYPES ]
		  if $replica->{by_time};
	}
	my $good = eval {
		random_steps();
		quiesce();
		die "unexpected: $run->{unexpected}\n" if $run->{unexpected};
		1;
	};
	my $reason = $@;
	if (!$good)
	{
		# the reason last: of a long output, the end is what is kept
		diag("SEED=$seed, $run->{mode}:");
		diag(join "\n", map { "  $_" } @{ $run->{trace} });
		diag("SEED=$seed, $run->{mode}: $reason");
		return 0;
	}
	note(join "\n", @{ $run->{trace} }) if $ENV{SEED};
	$control->query('DROP TABLE item, doc, common, part; DROP TABLE IF EXISTS part_3');
	return 1;
}

# ---------- sessions ----------

sub add_session
{
	my ($name, $done, %more) = @_;
	my $s = {
		%more, name => $name, done => $done,
		session => TideSession->new($cluster->conninfo($database),
			setup => "SET deadlock_timeout = '10ms'") };
	push @sessions, $s;
	return $s;
}

@writers = map { add_session("w$_", \&writer_done) } 1 .. $WRITERS;
@replicas = (
	map({ add_session("scope $_", \&pull_done, scopes => [$_], types => \@TYPES) } @OWNERS),
	add_session('scopes a and b', \&pull_done, scopes => [ 'a', 'b' ], types => \@TYPES),
	add_session('narrowing', \&pull_done, scopes => \@OWNERS, types => \@TYPES, narrows => 1),
	add_session('narrowing a and b', \&pull_done, scopes => [ 'a', 'b' ], types => \@TYPES, narrows => 1),
	add_session('items of c', \&pull_done, scopes => ['c'], types => ['item']),
	add_session('scope a by time', \&pull_done, scopes => ['a'], types => \@TYPES, 
		by_time => '2000-01-01T00:00:00Z'));

my $seconds = $ENV{SECONDS} // 40;
my $end = Time::HiRes::time() + $seconds;
my ($runs, $good) = (0, 0);
my %total;
diag("SEED=$first_seed");
while (1)
{
	$runs++;
	last unless one_run($first_seed + $runs - 1);
	$good++;
	$total{$_} += $run->{$_} for qw(pages complete retried other);
	last if $ENV{SEED} || ($ENV{RUNS} ? $runs >= $ENV{RUNS} : Time::HiRes::time() > $end);
}
is($good, $runs, "$runs runs: each replica is what its snapshot shows, "
	  . ($total{complete} // 0) . ' times, in ' . ($total{pages} // 0) . ' pages, '
	  . ($total{retried} // 0) . ' tried again, ' . ($total{other} // 0) . ' beside a change of partitions');
done_testing();
