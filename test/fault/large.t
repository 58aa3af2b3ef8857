# A text beyond 256 MB, which is more than jsonb has room for: plain SQL never
# fails for it, and what shows rows as jsonb shows NULL in its place.
#
# Seen failing: with the image of a deleted row, and the versions of a conflict,
# as jsonb in tide's tables; with jsonb_in in place of wire_jsonb().
use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";
use Test::More;
use TideTest;

my $cluster = TideTest::Cluster->shared;
my $database = $cluster->create_synced(<<'SQL');
CREATE TABLE m (id int PRIMARY KEY, t text, n int);
ALTER TABLE m ALTER t SET STORAGE EXTERNAL;
SELECT tide.track('m', shared => true, conflict => 'merge');
INSERT INTO m VALUES (1, repeat('x', 270000000), 1);
SQL
my $sql = sub { return $cluster->sql($database, $_[0]) };

is $sql->(q{DELETE FROM m RETURNING id}), 1, 'deleted under merge';
is $sql->(q{SELECT p->'succeeded'->0->>'status' FROM tide.push(jsonb_build_object('changes', jsonb_build_object('m',
	jsonb_build_array(jsonb_build_object('id', 1, 'n', 6, 'lastModifiedAt', now() + '2 s'))))) p}),
  'applied', 'and brought back by a newer edit of another column';
is $sql->(q{SELECT length(t) || ' ' || n FROM m}), '270000000 6', 'with its text';
is $sql->(q{SELECT operation || ' ' || key || ' ' || (data IS NULL) FROM tide.changes()}),
  'upsert {"id": 1} true', 'tide.changes tells of it, without its data';
is $sql->(q{SELECT status || ' ' || (data IS NULL) FROM tide.upsert('m', '{"id": 1, "n": 7}')}),
  'applied true', 'so does tide.upsert';
is $sql->(q{SELECT p->'succeeded'->0->>'status' FROM tide.push('{"changes": {"m": [{"id": 1, "n": 1, "lastModifiedAt": "2020-01-01T00:00:00Z"}]}}') p}),
  'superseded', 'an older edit loses to it';
is $sql->(q{SELECT (lost->>'n') || ' ' || (stood IS NULL) FROM tide.conflicts}), '1 true',
  'tide.conflicts shows what has room';
is $sql->(q{SELECT length(CAST(stood AS json)->>'t') FROM tide.conflict}), 270000000, 'and all of it is kept';

done_testing;
