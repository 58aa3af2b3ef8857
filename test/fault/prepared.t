# Prepared transactions: their writes are seen by nobody for as long as they
# stay, over restarts and crashes of the server; other changes do not wait for
# them (G2); once committed they are delivered (G1), once.
#
# Seen to fail with the list of running transactions left out of the cursor.
use strict;
use warnings;

use FindBin ();
use lib $FindBin::Bin, "$FindBin::Bin/../property";
use Test::More;
use TideReplica ();
use TideTest;

my $cluster = TideTest::Cluster->start(settings => { max_prepared_transactions => 5 });
my $database = $cluster->create_database;
$cluster->sql($database, $TideReplica::SCHEMA);
$cluster->sql($database, "INSERT INTO note SELECT i, 'u', 0 FROM generate_series(1, 9) i");
my $replica = TideReplica->new->pull($cluster, $database);

sub pull { return $replica->pull($cluster, $database); }
sub shown { return $replica->{items} . ': ' . join ' ', map { "$_=$replica->{rows}{$_}" } @_; }

$cluster->sql($database, <<'SQL');
BEGIN;
UPDATE note SET v = 1 WHERE id = 1;
SAVEPOINT s;
DELETE FROM note WHERE id = 2;
SELECT tide.push('{"changes": {"note": [{"id": 3, "v": 3, "owner": "u", "lastModifiedAt": "2050-01-01T00:00:00Z"}]}}');
PREPARE TRANSACTION 'one';
BEGIN;
UPDATE note SET v = 7 WHERE id = 7;
PREPARE TRANSACTION 'two';
SQL
pass('pushes, triggers and savepoints do not stop PREPARE TRANSACTION');

pull();
is($replica->{items}, 0, 'nothing of a prepared transaction is pulled');
$cluster->sql($database, 'UPDATE note SET v = 5 WHERE id = 5');
pull();
is(shown(1, 5), '1: 1=0 5=5', 'other changes do not wait for it');

for my $mode ('fast', 'immediate')
{
	$cluster->restart($mode);
	$cluster->sql($database, 'UPDATE note SET v = v + 1 WHERE id = 5');
	pull();
	is($replica->{reset}, undef, "$mode restart: the cursor stays valid");
	is($replica->{items}, 1, "$mode restart: the prepared transaction is still running");
}

my $first = TideReplica->new->pull($cluster, $database);
is($first->as_text, $replica->as_text, 'a first pull sees nothing of it either');

$cluster->sql($database, "COMMIT PREPARED 'one'");
for my $each ($replica, $first)
{
	$each->pull($cluster, $database);
	is($each->{items}, 3, 'committed, its three rows are delivered');
	is($each->as_text, $each->as_text($cluster, $database), 'as they stand');
	$each->pull($cluster, $database);
	is($each->{items}, 0, 'once');
}
$cluster->sql($database, "ROLLBACK PREPARED 'two'");
pull();
is($replica->{items}, 0, 'of one that is rolled back nothing comes');
is($replica->as_text, $replica->as_text($cluster, $database), 'the replica is what the table holds');
done_testing();
