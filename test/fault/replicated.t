# Tables that logical replication writes to: with replicated => true, what the
# apply worker does is recorded like anything else, row by row, in plain and in
# partitioned tables; stamps that the publisher set stand.
#
# Seen to fail with statement triggers (replicated left out), with ENABLE ALWAYS
# left out for each of the triggers, with the stamp trigger not sparing what came
# along, without the write before commit.
use strict;
use warnings;

use FindBin ();
use lib $FindBin::Bin, "$FindBin::Bin/../property";
use Test::More;
use TideReplica ();
use TideTest qw(decode_json wait_for);

my $cluster = TideTest::Cluster->start(settings => { wal_level => 'logical', wal_retrieve_retry_interval => '100ms' });
my $from = $cluster->create_database;
my $to = $cluster->create_database;

# note is tracked on both sides; reading, in partitions, and raw only here,
# raw without replicated
my $TABLES = <<'SQL';
CREATE TABLE note (id int PRIMARY KEY, owner text, v int, version int, "lastModifiedAt" timestamptz, "clientId" text);
CREATE INDEX ON note (owner, id);
CREATE TABLE reading (id int, place text, owner text, v int, PRIMARY KEY (place, id)) PARTITION BY LIST (place);
CREATE TABLE reading_a PARTITION OF reading FOR VALUES IN ('a');
CREATE INDEX ON reading (owner);
CREATE TABLE raw (id int PRIMARY KEY, owner text);
CREATE INDEX ON raw (owner);
SQL
$cluster->sql($from, 'CREATE EXTENSION pg_tide;' . $TABLES . <<'SQL');
CREATE TABLE reading_b PARTITION OF reading FOR VALUES IN ('b');
SELECT tide.track('note', scope => 'owner', version => 'version');
CREATE PUBLICATION notes FOR TABLE note, raw;
CREATE PUBLICATION readings FOR TABLE reading WITH (publish_via_partition_root);
INSERT INTO note VALUES (1, 'u', 1), (2, 'u', 1);
INSERT INTO reading VALUES (1, 'a', 'u', 1), (1, 'b', 'u', 1);
SELECT pg_create_logical_replication_slot('notes', 'pgoutput'), pg_create_logical_replication_slot('readings', 'pgoutput');
SQL
$cluster->sql($to, 'CREATE EXTENSION pg_tide;' . $TABLES . <<'SQL');
CREATE TABLE reading_b (v int, gone int, owner text, place text NOT NULL, id int NOT NULL);
ALTER TABLE reading_b DROP COLUMN gone;
ALTER TABLE reading ATTACH PARTITION reading_b FOR VALUES IN ('b');
SELECT tide.track('note', scope => 'owner', version => 'version', replicated => true);
SELECT tide.track('reading', scope => 'owner', version => 'n', replicated => true);
SELECT tide.track('raw', scope => 'owner');
SQL
is($cluster->sql($to, 'SELECT relation, replicated FROM tide.tracked ORDER BY 1'),
	"note|t\nreading|t\nraw|f", 'the view says which tables are replicated');
is($cluster->sql($to, q{SELECT count(*) FROM tide.check() WHERE severity = 'error'}), 0,
	'all triggers are set to fire');

# what is new of a type, and the cursor to go on from
my %since;
sub news
{
	my ($type) = @_;
	my $since = defined $since{$type} ? "'$since{$type}'" : 'NULL';
	my $reply = decode_json($cluster->sql($to, "SELECT tide.pull($since, entity_types => '{$type}', max_rows => 100)"));
	$since{$type} = $reply->{cursor};
	return join ' ', (sort map { "$_->{id}$_->{place}=$_->{v}" } @{ $reply->{changesByType}{$type} // [] }),
	  sort map { "-$_->{id}$_->{place}" } @{ $reply->{deletedByType}{$type} // [] };
}

my $replica = TideReplica->new->pull($cluster, $to);
news('reading');
for my $publication ('notes', 'readings')
{
	# its own slot: one made by this very cluster would wait for this transaction
	$cluster->sql($to, "CREATE SUBSCRIPTION $publication CONNECTION '" . $cluster->conninfo($from)
		  . "' PUBLICATION $publication WITH (create_slot = false)");
}
is($cluster->sql($to, q{SELECT object, problem FROM tide.check() WHERE severity = 'error'}),
	'public.raw|logical replication writes to "raw": such changes are lost',
	'a table that is written to and not replicated is reported');

my $SHOW = q{SELECT concat_ws('|',
	(SELECT string_agg(concat_ws(' ', id, v, version, "lastModifiedAt", "clientId"), ';' ORDER BY id) FROM note),
	(SELECT string_agg(concat_ws(' ', id, place, v), ';' ORDER BY place, id) FROM reading),
	(SELECT string_agg(id::text, ';' ORDER BY id) FROM raw))};

# run it there, and wait until it is here
sub replicate
{
	my ($what, $sql) = @_;
	my $wanted = $cluster->sql($from, "$sql; $SHOW");
	$wanted =~ s/.*\n//s;		# of a push, also its reply
	wait_for("$what: all tables are the same", 60, sub { $cluster->sql($to, $SHOW) eq $wanted });
	return;
}

replicate('first copy', 'SELECT');
$replica->pull($cluster, $to);
is($replica->as_text, '1=1 2=1', 'the first copy of a table is recorded');
is(news('reading'), '1a=1 1b=1', 'of a partitioned one, too');

replicate('inserts', q{INSERT INTO note SELECT i, 'u', 1 FROM generate_series(3, 40) i; DELETE FROM note WHERE id > 10});
$replica->pull($cluster, $to);
is($replica->as_text, $replica->as_text($cluster, $to), 'inserts and deletes in bulk');
replicate('a phone', q{BEGIN; SELECT set_config('pg_tide.client_id', 'phone', true); UPDATE note SET v = 2 WHERE id = 1; COMMIT;
	SELECT tide.push('{"changes": {"note": [{"id": 2, "v": 3, "lastModifiedAt": "2050-01-01T00:00:00Z"}]}}', client_id => 'tablet')});
is($cluster->sql($to, q{SELECT string_agg("clientId", ' ' ORDER BY id) FROM note WHERE id < 3}), 'phone tablet',
	"the publisher's stamps stand, with their clients and versions");
$replica->pull($cluster, $to);
is($replica->{items}, 2, 'each is a change');

$cluster->sql($to, 'UPDATE note SET v = v + 50 WHERE id = 6') for 1 .. 2;
replicate('over a write of here', 'UPDATE note SET v = 6 WHERE id = 6');
$replica->pull($cluster, $to);
is($replica->{rows}{6}, 6, 'the publisher goes over what was written here, version and all');

replicate('savepoints', q{BEGIN; UPDATE note SET v = 4 WHERE id = 3; SAVEPOINT s; DELETE FROM note WHERE id = 4; ROLLBACK TO s;
	UPDATE note SET id = 99 WHERE id = 5; COMMIT});
$replica->pull($cluster, $to);
is($replica->{items}, 3, 'a change, an old and a new key');
is($replica->as_text, $replica->as_text($cluster, $to), 'the replica is what the table holds');
is($cluster->sql($to, q{SELECT string_agg(key, ' ' ORDER BY key) FROM tide.tombstone WHERE relid = 'note'::regclass AND key IN ('4', '5', '99')}),
	'5', 'what went has a tombstone, what was rolled back has none');

replicate('partitions', q{UPDATE reading SET v = 2 WHERE place = 'a'; INSERT INTO reading VALUES (2, 'b', 'u', 1), (3, 'b', 'v', 1);
	UPDATE reading SET place = 'a' WHERE id = 2; DELETE FROM reading WHERE place = 'b' AND id = 1});
is(news('reading'), '1a=2 2a=1 3b=1 -1b -2b', 'changes, moved rows and deletions of partitions');
is($cluster->sql($to, 'SELECT count(*) FROM reading WHERE "lastModifiedAt" IS NULL OR n IS NULL'), 0,
	'rows that came without a stamp have one of here');
is($cluster->sql($to, q{SELECT n FROM reading WHERE id = 1 AND place = 'a'}), 2, 'and count their versions');

# a partition that comes later
$cluster->sql($_, q{CREATE TABLE reading_c PARTITION OF reading FOR VALUES IN ('c')}) for $from, $to;
replicate('a new partition', q{INSERT INTO reading VALUES (5, 'c', 'u', 1)});
is(news('reading'), '5c=1', 'a new partition is captured');

replicate('truncate', 'TRUNCATE note, reading');
$replica->pull($cluster, $to);
is($replica->as_text, '', 'TRUNCATE, too');
is(news('reading'), '-1a -2a -3b -5c', 'of a partitioned table as well');

# what is written here is recorded as ever
$cluster->sql($to, q{INSERT INTO note (id, owner, v) VALUES (1000, 'u', 1); UPDATE note SET v = 2 WHERE id = 1000;
	INSERT INTO reading_b (id, place, owner, v) VALUES (1000, 'b', 'u', 1)});
is($replica->pull($cluster, $to)->as_text, '1000=2', 'writes of here are recorded once');
is($replica->{items}, 1, '... and stamped');
is(news('reading'), '1000b=1', 'those to a partition, too');
is($cluster->sql($to, q{SELECT version FROM note WHERE id = 1000}), 2, '... and counted');

$cluster->sql($to, q{ALTER TABLE note ENABLE TRIGGER zz_tide_row});
like($cluster->sql($to, q{SELECT problem FROM tide.check() WHERE object = 'public.note'}),
	qr/zz_tide_row does not fire for logical replication/, 'a trigger that no longer fires is reported');
$cluster->sql($to, "DROP SUBSCRIPTION $_") for 'notes', 'readings';

$cluster->sql($to, q{BEGIN; INSERT INTO reading_b (id, place, owner, v) VALUES (1001, 'b', 'u', 1); DROP EXTENSION pg_tide CASCADE; COMMIT});
is($cluster->sql($to, q{SELECT count(*) FROM reading WHERE id = 1001}), 1,
	'what was collected does not keep the extension from being dropped');
is($cluster->sql($to, q{SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'zz_tide%'}), 0, 'nothing of it is left');
done_testing();
