# A digest of many rows, and of many keys that moved, takes no more memory than one
# of few; nor do keys of a bucket. Asked for over and over it leaves nothing behind.
#
# Seen failing without SPI_freetuptable() in scan.c, and without the reset of the
# batch in moved.c.
use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";
use Test::More;
use TideTest;

plan skip_all => 'asks Linux what a backend has used' unless -r '/proc/self/status';

my $cluster = TideTest::Cluster->shared;
my $database = $cluster->create_synced(<<'SQL');
CREATE TABLE few (id int PRIMARY KEY, owner text);
CREATE TABLE many (name text PRIMARY KEY, owner text);
SELECT tide.track('few', scope => 'owner'), tide.track('many', scope => 'owner');
INSERT INTO few SELECT i, 'u1' FROM generate_series(1, 10) i;
SELECT tide.cursor() INTO TEMP start;
CREATE TABLE place AS SELECT cursor FROM start;
INSERT INTO many SELECT repeat('x', 200) || i, 'u1' FROM generate_series(1, 200000) i;
VACUUM many;
SQL

# What the most was that one session had, in kB, before and after some SQL. Shared
# buffers count once they are touched: the table is read, and so is the log.
sub grown
{
	my ($sql) = @_;
	my $most = q{SELECT substring(pg_read_file('/proc/self/status') from 'VmHWM:\s+(\d+)')};
	my ($before, $after) = grep { /^\d+$/ } split /\n/, $cluster->sql($database, <<"SQL");
SET request.jwt.claims = '{"sub": "u1"}';
SET max_parallel_workers_per_gather = 0;
SELECT sum(length(name || owner)) IS NULL FROM many;
SELECT sum(length(keys::text)) IS NULL FROM tide.log;
SELECT tide.digest(tide.cursor(), entity_types => '{few}') IS NULL;
SELECT tide.keys(entity_types => '{few}', buckets => '{1}') IS NULL;
$most;
$sql
$most;
SQL
	return $after - $before;
}

my $sum = q{(SELECT sum(c::int) FROM json_array_elements_text(d->'digestByType'->'many'->'counts') c)};
is $cluster->sql($database, qq{SET request.jwt.claims = '{"sub": "u1"}';
	SELECT $sum || ' ' || json_array_length(d->'moved'->'many') FROM place, tide.digest(cursor, entity_types => '{many}') d}),
  '200000 256', 'many rows, all of which moved';

my %asked = (
	'a digest' => q{SELECT length(tide.digest(tide.cursor(), entity_types => '{many}')::text) IS NULL;},
	'one of which all has moved' => q{SELECT length(tide.digest(cursor, entity_types => '{many}')::text) IS NULL FROM place;},
	'keys of a bucket' => q{SELECT length(tide.keys(entity_types => '{many}', buckets => '{7}')::text) IS NULL;},
	'fifty small ones' => q{SELECT sum(length(tide.digest(tide.cursor(), entity_types => '{few}')::text)) IS NULL FROM generate_series(1, 50);});
for my $what (sort keys %asked)
{
	my $grown = grown($asked{$what});
	# entries of the log come a few thousand keys at a time
	cmp_ok $grown, '<', $what =~ /moved/ ? 40_000 : 8_000, "$what: $grown kB more";
}
done_testing;
