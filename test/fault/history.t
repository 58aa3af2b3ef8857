# Which history of the database a cursor belongs to (G6).
#
# Transaction ids mean something in one history only.  A restart that loses
# nothing continues it, and so does the promotion of a standby that has it all.
# An older copy of the data, also one that ran on, another database, a clone, a
# promotion with loss are other histories: the old cursor gives a reset with its
# reason, and the same reply starts from the beginning.
#
# Seen to fail with history_is_other() and history_is_lost() false, when each of
# the resets was missing, and with the timeline's switch point not looked at.
# For the mutations of generation.c see the tests they are named at.
use strict;
use warnings;

use FindBin ();
use lib $FindBin::Bin, "$FindBin::Bin/../property";
use Test::More;
use TideReplica ();
use TideTest;

my $cluster = TideTest::Cluster->start;
my $database = $cluster->create_database;
$cluster->sql($database, $TideReplica::SCHEMA);
$cluster->sql($database, "INSERT INTO note SELECT i, 'u', 0 FROM generate_series(1, 9) i");
my $replica = TideReplica->new->pull($cluster, $database);

sub change
{
	my ($where, $id, $v) = @_;
	return $where->sql($database, "UPDATE note SET v = $v WHERE id = $id");
}

# a pull that continues: no reset, and so many items (undef: a row may come on
# more than one page)
sub continues
{
	my ($what, $items, $where, $in) = @_;
	$replica->pull($where // $cluster, $in // $database);
	is($replica->{reset}, undef, "$what: no reset");
	is($replica->{items}, $items, "$what: $items item(s)") if defined $items;
	is($replica->as_text, $replica->as_text($where // $cluster, $in // $database),
		"$what: the replica is what the table holds");
	return;
}

# a pull that starts over; whoever had the cursor
sub starts_over
{
	my ($what, $reason, $from, $where, $in) = @_;
	my $twin = $from->twin->pull($where // $cluster, $in // $database);
	is($twin->{reset}, $reason, "$what: reset");
	is($twin->{items}, $cluster->sql($in // $database, 'SELECT count(*) FROM note'),
		"$what: everything comes") if !$where;
	is($twin->as_text, $twin->as_text($where // $cluster, $in // $database),
		"$what: the replica is what the table holds");
	$twin->pull($where // $cluster, $in // $database);
	is($twin->{reset}, undef, "$what: the next pull continues");
	is($twin->{items}, 0, "$what: with nothing");
	return;
}

# ---------- restarts ----------

change($cluster, 1, 1);
$cluster->restart('fast');
change($cluster, 2, 2);
continues('clean restart', 2);

change($cluster, 1, 3);
$cluster->restart('immediate');
change($cluster, 2, 4);
continues('crash', 2);

change($cluster, 3, 5);
TideReplica::kill_server($cluster);
$cluster->up or die $@;
change($cluster, 4, 6);
continues('all processes killed', 2);

# a cursor amid the pages of its first pull
my $page = TideTest::decode_json($cluster->sql($database, 'SELECT tide.pull(max_rows => 4)'));
$cluster->restart('fast');
my $rest = TideTest::decode_json($cluster->sql($database,
	"SELECT tide.pull('$page->{cursor}', max_rows => 100)"));
is_deeply([ map { $_->{id} } @{ $page->{changesByType}{note} }, @{ $rest->{changesByType}{note} } ],
	[ 1 .. 9 ], 'the pages of a first pull go on after a restart');

# ---------- an older copy ----------

$cluster->down;
my $copy = TideReplica::save_data($cluster);
$cluster->up or die $@;
change($cluster, 5, 7);
continues('stopped, copied and started', 1);
my $of_both = $replica->twin;
change($cluster, 5, 8);
continues('and so on', 1);

$cluster->down;
TideReplica::restore_data($cluster, $copy);
$cluster->up or die $@;
starts_over('an older copy of the data', 'history_lost', $replica);
starts_over('an older copy, a cursor of the day after it', 'history_lost', $of_both);

# The same copy, started and run on until there is more of everything than the
# cursor has seen: same identifier, same timeline, a position that is there.
# (Without the generation's number, generation_reached() true.)
my $before_copy = $replica->twin;
change($cluster, 1 + $_ % 9, 2000 + $_) for 1 .. 30;
starts_over('an older copy that ran on', 'history_lost', $before_copy);
starts_over('an older copy that ran on, a cursor of the day after', 'history_lost', $of_both);

# and with all that was before forgotten
$cluster->sql($database, q{SELECT tide.prune('0 s')});
like($before_copy->twin->pull($cluster, $database)->{reset}, qr/^(history_lost|expired)$/,
	'an older copy that ran on and pruned: reset');
# What runs now is never forgotten: sessions know that it was noted.  (Without
# generation_forget() asking for a next one.)
my ($kept) = reverse split /\n/, $cluster->sql($database,
	q{SELECT tide.cursor(); SELECT tide.prune('0 s'); SELECT tide.cursor()});
$cluster->restart('fast');
is(TideTest::decode_json($cluster->sql($database, "SELECT tide.pull('$kept')"))->{reset} ? 1 : 0, 0,
	'pruned and restarted: no reset');
$replica = TideReplica->new->pull($cluster, $database);

# A copy that was taken of the running server has its generation, too.  A cursor
# is good there up to where the copy was started.
my $hot_copy = sub {
	$cluster->sql('postgres', 'CHECKPOINT');
	return TideReplica::save_data($cluster);
};
my $start_hot_copy = sub {
	$cluster->down('immediate');
	TideReplica::restore_data($cluster, $copy);
	unlink "$cluster->{data}/postmaster.pid";
	$cluster->up or die $@;
};
change($cluster, 1, 2200);
$replica->pull($cluster, $database);
$copy = $hot_copy->();
my $until_copy = $replica->twin;
change($cluster, 1, 2201);
continues('of what will be lost', 1);
$start_hot_copy->();
change($cluster, 2 + $_ % 8, 2210 + $_) for 1 .. 30;
starts_over('a copy of the running server that ran on', 'history_lost', $replica);
$replica = $until_copy;
continues('a cursor from before that copy', undef);

# The copy was first started without anybody who pulls: whoever writes to tracked
# tables takes note of it.  (Without that in changelog.c the second start was
# taken for the first, by when the copy had gone beyond the cursor.)
$copy = $hot_copy->();
change($cluster, 1, 2300);
continues('of what will be lost again', 1);
$start_hot_copy->();
change($cluster, 2 + $_ % 8, 2310 + $_) for 1 .. 30;
$cluster->restart('fast');
starts_over('a copy that ran on, started twice', 'history_lost', $replica);
$replica = TideReplica->new->pull($cluster, $database);

# If nobody writes to them either, what the cursor has seen may still tell: the
# copy has used up fewer transaction ids.  (Without first_xid in
# generation_reached().)
$copy = $hot_copy->();
change($cluster, 1 + $_ % 9, 2400 + $_) for 1 .. 30;
$replica->pull($cluster, $database);
$start_hot_copy->();
$cluster->sql('postgres', 'CREATE TABLE filler (); SELECT pg_switch_wal()');
$cluster->restart('fast');
change($cluster, 1 + $_ % 9, 2500 + $_) for 1 .. 60;
starts_over('a copy that was first started without sync', 'history_lost', $replica);
$replica = TideReplica->new->pull($cluster, $database);

# ---------- when a start can be told ----------

# Who comes after the first checkpoint does not know where the WAL began.
# (Without the record's kind looked at, with wal_level = minimal: there the two
# positions are equal.)
for my $level ('replica', 'minimal')
{
	$cluster->sql('postgres', "ALTER SYSTEM SET wal_level = $level");
	$cluster->sql('postgres', 'ALTER SYSTEM SET max_wal_senders = ' . ($level eq 'minimal' ? 0 : 10));
	$cluster->restart('fast');
	$cluster->sql('postgres', 'CREATE TABLE IF NOT EXISTS filler (); CHECKPOINT; DROP TABLE filler; CHECKPOINT');
	starts_over("first noticed after a checkpoint, wal_level = $level", 'history_lost', $replica);
	is($cluster->sql($database, 'SELECT position FROM tide.generation ORDER BY xid DESC LIMIT 1'),
		'0/0', "and said so, wal_level = $level");
	$replica = TideReplica->new->pull($cluster, $database);
	change($cluster, 1, $level eq 'minimal' ? 2600 : 2700);
	$cluster->restart('fast');
	continues("noticed at once, wal_level = $level", 1);
}
$cluster->sql('postgres', 'ALTER SYSTEM RESET ALL');
$cluster->restart('fast');

# Not yet noticed, and by whom it can be.
my $read_only = 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; ';
for my $by ('SELECT tide.pull()', 'SELECT tide.cursor()', 'SELECT count(*) FROM tide.changes()')
{
	eval { $cluster->sql($database, "\\set VERBOSITY verbose\n$read_only$by") };
	like($@, qr/TD012: .*read-only.*HINT:  Call tide\.register\(\)/s, "read-only, not noticed yet: $by");
}
for my $by ('SELECT tide.pull()', 'UPDATE note SET v = v + 1 WHERE id = 1')
{
	$cluster->sql($database, 'BEGIN; SELECT tide.register(); ROLLBACK');
	eval { $cluster->sql($database, "${read_only}SELECT tide.pull()") };
	like($@, qr/read-only/, 'what was rolled back is not noted');
	$cluster->sql($database, $by);
	ok(eval { $cluster->sql($database, "${read_only}SELECT tide.pull()") }, "noted by $by");
	continues("after $by", undef);
	$cluster->restart('fast');
}
$replica->pull($cluster, $database);

# ---------- other databases ----------

my $other = $cluster->create_database;
$cluster->sql($other, $TideReplica::SCHEMA);
$cluster->sql($other, "INSERT INTO note VALUES (1, 'u', 100)");
starts_over('another database', 'other_database', $replica, undef, $other);

my $clone = $cluster->create_database . '_clone';
$cluster->sql('postgres', "CREATE DATABASE $clone TEMPLATE $database");
push @{ $cluster->{databases} }, $clone;
starts_over('a clone', 'other_database', $replica, undef, $clone);
$cluster->sql($clone, "INSERT INTO note VALUES (50, 'u', 50)");
my $of_clone = TideReplica->new->pull($cluster, $clone);
starts_over("the clone's cursor", 'other_database', $of_clone);

continues('the database itself', 0);

# ---------- standbys ----------

my $standby = TideReplica::standby($cluster);
TideReplica::wait_for_standby($cluster, $standby);
continues('a standby', 0, $standby) if TideReplica::standbys_serve($cluster);

change($cluster, 6, 9);
continues('a primary with a standby', 1);
change($cluster, 7, 10);
TideReplica::wait_for_standby($cluster, $standby);
$cluster->down;
my $primary_copy = TideReplica::save_data($cluster);
$standby->control('promote') or die $@;
change($standby, 8, 11);
continues('a standby that has it all, promoted', 2, $standby);
continues('and so on', 0, $standby);
$standby->restart('fast');
continues('and after a restart', 0, $standby);
my $of_promoted = $replica->twin;
$standby->down('immediate');

# the next one loses what the primary had written when it was cut off
$cluster->up or die $@;
my $late = TideReplica::standby($cluster);
$replica = TideReplica->new->pull($cluster, $database);
TideReplica::wait_for_standby($cluster, $late);
my $had = $replica->twin;
$late->down;
change($cluster, 9, 12);
$replica->pull($cluster, $database);
$cluster->down('immediate');
$late->up or die $@;
$late->control('promote') or die $@;
starts_over('a promotion with loss', 'history_lost', $replica, $late);
# more of everything than there was
change($late, 1 + $_ % 9, 1000 + $_) for 1 .. 20;
starts_over('a promotion with loss, later', 'history_lost', $replica, $late);
starts_over('promoted from one primary to one timeline, each by itself', 'history_lost', $of_promoted,
	$late);
$replica = $had;
continues('a cursor from before the loss', undef, $late);
$late->down('immediate');

done_testing();
