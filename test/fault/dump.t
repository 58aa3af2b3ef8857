# pg_dump and restore: what is tracked stays tracked, also without the data;
# what is bound to transaction ids is not dumped.  The restored database is
# another history: old cursors give a reset.
#
# A registration that was handed out before the dump is not handed out again
# after it: a cursor that covers one table would be taken to cover another.
#
# Restored over what is there, all of the database or a table of it, the database
# is the same one, and its cursors are good; so what was restored is tracked anew.
#
# Into a newer PostgreSQL, with its programs, if TIDE_NEW_BINDIR names their
# directory (scripts/test-upgrade).
use strict;
use warnings;

use FindBin ();
use lib $FindBin::Bin, "$FindBin::Bin/../property";
use File::Temp ();
use Test::More;
use TideReplica ();
use TideTest qw(decode_json);

my $cluster = $ENV{TIDE_TEST_CLUSTER} ? TideTest::Cluster->shared
  : TideTest::Cluster->start;
my $new_bin = $ENV{TIDE_NEW_BINDIR};
my $newer = $new_bin ? TideTest::Cluster->start(bin => $new_bin) : $cluster;
my $from = $cluster;
my $bin = $new_bin // $cluster->{bin} // TideTest::Cluster::bin_directory();
note 'from ', $cluster->sql('postgres', 'SHOW server_version'), ' to ', $newer->sql('postgres', 'SHOW server_version');
my $database = $cluster->create_database;
my $directory = File::Temp->newdir(TMPDIR => 1);

$cluster->sql($database, $TideReplica::SCHEMA);
$cluster->sql($database, <<'SQL');
CREATE TABLE "Work Out" (a int, b text, "userId" text, PRIMARY KEY (a, b));
CREATE INDEX ON "Work Out" ("userId", a, b);
CREATE TABLE plan (id int PRIMARY KEY, title text, deleted_at timestamptz, secret text);
SELECT tide.track('"Work Out"', entity_type => 'workout', scope => 'userId');
SELECT tide.track('plan', shared => true, naming => 'camel', deleted_at => 'deleted_at', exclude => '{secret}');
CREATE TABLE part (id int, y int, PRIMARY KEY (y, id)) PARTITION BY LIST (y);
CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1);
CREATE TABLE part_2 (y int NOT NULL, gone int, id int NOT NULL);
ALTER TABLE part_2 DROP COLUMN gone;
ALTER TABLE part ATTACH PARTITION part_2 FOR VALUES IN (2);
SELECT tide.track('part', shared => true, replicated => true);
INSERT INTO part VALUES (1, 1), (2, 2);
CREATE TABLE house (id int PRIMARY KEY, owner text);
CREATE TABLE room (id int PRIMARY KEY, house_id int REFERENCES house ON DELETE CASCADE);
CREATE INDEX ON room (house_id);
SELECT tide.track('room', scope => 'house_id.owner');
CREATE INDEX ON room (tide_scope);
INSERT INTO house VALUES (1, 'v');
INSERT INTO room VALUES (1, 1);
INSERT INTO note SELECT i, 'u', i FROM generate_series(1, 20) i;
DELETE FROM note WHERE id > 15;
INSERT INTO "Work Out" VALUES (1, 'x', 'u'), (2, 'y', 'v');
INSERT INTO plan VALUES (1, 'p', NULL, 's');
SQL
my $replica = TideReplica->new->pull($cluster, $database);

my $TRACKED = 'SELECT * FROM (SELECT relation::text, entity_type, scope, shared, conflict, modified_at, '
  . 'client_id, version, deleted_at, naming, utc, exclude, replicated, scope_column FROM tide.tracked) t ORDER BY 1';
my $OWN = 'SELECT (SELECT count(*) FROM tide.log), (SELECT count(*) FROM tide.tombstone), '
  . '(SELECT count(*) FROM tide.sample)';
my $STAMPS = 'SELECT string_agg("lastModifiedAt"::text, \' \' ORDER BY id) FROM note';

sub restore
{
	my ($format, @options) = @_;
	my $file = "$directory/dump";
	my $new = $newer->create_database;
	TideTest::run_program('', "$bin/pg_dump", '-d', $from->conninfo($database),
		'-F', $format, '-f', $file, @options);
	if ($format eq 'p') { $newer->sql_file($new, $file); }
	else
	{
		TideTest::run_program('', "$bin/pg_restore", '--exit-on-error',
			'-d', $newer->conninfo($new), $file);
	}
	unlink $file;
	return $new;
}

sub page
{
	my ($in, $since) = @_;
	return decode_json($newer->sql($in,
		'SELECT tide.pull(' . ($since ? "'$since'" : 'NULL') . ', max_rows => 100)'));
}

sub check_restored
{
	my ($what, $new, $rows) = @_;
	my $again = $newer->create_database . '_again';
	$newer->sql('postgres', "CREATE DATABASE $again TEMPLATE $new");
	push @{ $newer->{databases} }, $again;
	my $covered = page($again)->{cursor};

	is($newer->sql($new, $TRACKED), $from->sql($database, $TRACKED), "$what: tracked as before");
	is($newer->sql($new, $OWN), '0|0|0', "$what: log, tombstones and samples stayed behind");
	is($newer->sql($new, 'SELECT count(*) FROM note'), $rows, "$what: $rows rows");

	my $old = $replica->twin->pull($newer, $new);
	is($old->{reset}, 'other_database', "$what: the old cursor gives a reset");
	is($old->as_text, $old->as_text($newer, $new), "$what: and then what is there");

	$newer->sql($new, q{INSERT INTO note VALUES (30, 'u', 30); DELETE FROM note WHERE id = 1;
		UPDATE note SET v = 22 WHERE id = 2; INSERT INTO "Work Out" VALUES (9, 'z', 'u')});
	is($newer->sql($new, 'SELECT bool_and("lastModifiedAt" IS NOT NULL) FROM note WHERE id = 30'),
		't', "$what: writes are stamped");
	$old->pull($newer, $new);
	is($old->{reset}, undef, "$what: writes are recorded");
	is($old->{items}, $rows ? 3 : 1, "$what: each of them, and no more");
	is($old->as_text, $old->as_text($newer, $new), "$what: the replica is what the table holds");
	is($newer->sql($new, q{SELECT tide.push('{"changes": {"note": [{"id": 31, "owner": "u", "v": 31}]}}')
		->'summary'->>'succeeded'}), 1, "$what: pushes work");

	# a scope by foreign keys: new rows, and those that were there
	$newer->sql($new, q{INSERT INTO house VALUES (2, 'v'); INSERT INTO room VALUES (2, 2);
		UPDATE house SET owner = 'w'});
	is($newer->sql($new, q{SELECT string_agg(id || tide_scope, ' ' ORDER BY id) FROM room}),
		$rows ? '1w 2w' : '2w', "$what: scopes by foreign keys are kept true");

	# partitions: direct writes, TRUNCATE, and those that come or go
	my $since = page($new)->{cursor};
	$newer->sql($new, q{INSERT INTO part_2 (y, id) VALUES (2, 3); TRUNCATE part_1;
		CREATE TABLE part_3 PARTITION OF part FOR VALUES IN (3); INSERT INTO part_3 VALUES (4, 3);
		ALTER TABLE part DETACH PARTITION part_2});
	my $page = page($new, $since);
	is(join(' ', (map { $_->{id} } @{ $page->{changesByType}{part} // [] }),
			sort map { "-$_->{id}" } @{ $page->{deletedByType}{part} // [] }),
		$rows ? '4 -1 -2 -3' : '4 -3', "$what: partitions are captured as before");
	is($newer->sql($new, q{SELECT count(*) FROM tide.check() WHERE severity = 'error'}), 0,
		"$what: nothing is missing");

	# tracked anew: not covered by a cursor from before
	my $before = page($new)->{cursor};
	$newer->sql($new, q{CREATE TABLE late (id int PRIMARY KEY); INSERT INTO late VALUES (77);
		SELECT tide.track('late', shared => true)});
	my $after = page($new, $before);
	is(join(' ', map { $_->{id} } @{ $after->{changesByType}{late} // [] }), 77,
		"$what: a table tracked after the restore is read in full");
	is(join(' ', sort keys %{ $after->{changesByType} }), 'late', "$what: and nothing else");

	# the last one of the dump, untracked, is not taken for tracked all along
	$newer->sql($again, q{SELECT tide.untrack('plan'); INSERT INTO plan VALUES (66, 'q');
		SELECT tide.track('plan', shared => true, naming => 'camel', deleted_at => 'deleted_at')});
	is(join(' ', sort map { $_->{id} } @{ page($again, $covered)->{changesByType}{plan} // [] }),
		$rows ? '1 66' : '66', "$what: a table untracked and tracked again is read in full");
	return;
}

for my $format ('p', 'c')
{
	my $new = restore($format);
	my $what = $format eq 'p' ? 'plain' : 'custom';
	is($newer->sql($new, $STAMPS), $from->sql($database, $STAMPS), "$what: stamps as they were");
	check_restored($what, $new, 15);
}
check_restored('schema only', restore('p', '--schema-only'), 0);
check_restored('schema only, custom', restore('c', '--schema-only'), 0);

# the dump of a restored database is as good
$database = restore('c');
$from = $newer;
check_restored('restored twice', restore('p'), 15);

# over what is there: the rows come before the triggers, so the log knows nothing of them
sub check_over
{
	my ($what, @options) = @_;
	my $same = $newer->create_database;
	my $file = "$directory/dump";
	$newer->sql($same, $TideReplica::SCHEMA . <<'SQL');
CREATE TABLE house (id int PRIMARY KEY, owner text);
CREATE TABLE room (id int PRIMARY KEY, house_id int REFERENCES house);
SELECT tide.track('room', scope => 'house_id.owner');
INSERT INTO note SELECT i, 'u', i FROM generate_series(1, 5) i;
INSERT INTO house VALUES (1, 'u');
INSERT INTO room VALUES (1, 1);
SQL
	TideTest::run_program('', "$bin/pg_dump", '-d', $newer->conninfo($same), '-F', 'c', '-f', $file, @options);
	my $rows = $newer->sql($same, 'SELECT string_agg(id || \'=\' || v, \' \' ORDER BY id) FROM note');
	$newer->sql($same, q{UPDATE note SET v = 22 WHERE id = 2; INSERT INTO note VALUES (9, 'u', 9);
		DELETE FROM note WHERE id = 1; INSERT INTO room VALUES (2, 1)});
	my $page = page($same);
	my ($cursor, $time) = @$page{qw(cursor syncTimestamp)};
	TideTest::run_program('', "$bin/pg_restore", '--exit-on-error', '--clean', '--if-exists', '-d', $newer->conninfo($same), $file);
	unlink $file;
	is($newer->sql($same, 'SELECT string_agg(id || \'=\' || v, \' \' ORDER BY id) FROM note'), $rows, "$what: restored");
	for my $since ($cursor, $time)
	{
		my $by = $since eq $cursor ? 'a cursor' : 'a time';
		my $reply = page($same, $since);
		ok($reply->{reset} || grep({ $_ eq 'note' } @{ $reply->{resetTypes} // [] }), "$what, by $by: what was there is dropped");
		is(join(' ', map { "$_->{id}=$_->{v}" } @{ $reply->{changesByType}{note} // [] }), $rows, "$what, by $by: and all rows come");
		is(join(' ', map { $_->{id} } @{ $reply->{changesByType}{room} // [] }), @options ? '' : 1,
			"$what, by $by: of other tables only if they were restored") if $since eq $cursor;
	}
	$cursor = page($same, $cursor)->{cursor};
	$newer->sql($same, 'UPDATE note SET v = 33 WHERE id = 3');
	my $reply = page($same, $cursor);
	is(join(' ', map { "$_->{id}=$_->{v}" } @{ $reply->{changesByType}{note} // [] }), '3=33', "$what: and then what changes");
	is($reply->{resetTypes}, undef, "$what: but once");
	is($newer->sql($same, q{SELECT count(*) FROM tide.check() WHERE severity = 'error'}), 0, "$what: nothing is missing");
	return;
}
check_over('all of the database');
check_over('one table', '-t', 'note');
done_testing();
