# Keys without overlaps, of PostgreSQL 18: their index is no B-tree, and what such
# a one has in the places that track looks at is something else.
#
# Seen to fail without the look at the access method: track called a function of
# GiST with what is none of its arguments, and the server crashed.
use strict;
use warnings;

use Test::More;
use TideTest qw(decode_json);

my $cluster = TideTest::Cluster->shared;
my $database = $cluster->create_database;
plan skip_all => 'PostgreSQL has such keys since 18' if $cluster->sql($database, 'SHOW server_version_num') < 180000;
plan skip_all => 'btree_gist is not there'
  if $cluster->sql($database, q(SELECT count(*) FROM pg_available_extensions WHERE name = 'btree_gist')) == 0;

sub try
{
	my ($sql) = @_;
	my $done = eval { $cluster->sql($database, $sql); 1 };
	return $done ? 'done' : $@;
}

$cluster->sql($database, <<'SQL');
CREATE EXTENSION pg_tide;
CREATE EXTENSION btree_gist;
CREATE TABLE price (id text, valid daterange, user_id text, PRIMARY KEY (id, valid WITHOUT OVERLAPS));
CREATE TABLE room (id text PRIMARY KEY, valid daterange NOT NULL DEFAULT '[2026-01-01,2026-02-01)', user_id text, n int);
CREATE TABLE other (id text PRIMARY KEY, user_id text);
SELECT tide.track('room', scope => 'user_id');
SELECT tide.track('other', scope => 'user_id');
INSERT INTO room (id, user_id) VALUES ('r', 'u1');
INSERT INTO other VALUES ('o', 'u1');
SQL

like(try("SELECT tide.track('price', scope => 'user_id')"), qr/cannot track "price": its primary key is WITHOUT OVERLAPS/, 'such a key is refused, whatever its columns are');
is(try("ALTER TABLE price ADD COLUMN key uuid PRIMARY KEY DEFAULT gen_random_uuid(), DROP CONSTRAINT price_pkey, ADD UNIQUE (id, valid WITHOUT OVERLAPS)"), 'done', 'with another key');
is(try("SELECT tide.track('price', scope => 'user_id')"), 'done', '... it is tracked, and a constraint without overlaps is no matter');

# a key that becomes one
$cluster->sql($database, 'ALTER TABLE room DROP CONSTRAINT room_pkey, ADD PRIMARY KEY (id, valid WITHOUT OVERLAPS)');
my $pull = decode_json($cluster->sql($database, "SELECT tide.pull(NULL, '{u1}')"));
is_deeply($pull->{unavailableTypes}, ['room'], 'a key that becomes one makes its type unavailable');
is(scalar @{ $pull->{changesByType}{other} }, 1, '... and no other');
like($cluster->sql($database, q(SELECT problem FROM tide.check() WHERE object = 'public.room')), qr/primary key/, '... and check says so');
$cluster->sql($database, 'ALTER TABLE room DROP CONSTRAINT room_pkey, ADD PRIMARY KEY (id)');
$pull = decode_json($cluster->sql($database, "SELECT tide.pull(NULL, '{u1}')"));
is(scalar @{ $pull->{changesByType}{room} }, 1, 'with its key it is back');

# verdicts of a reference to a period, which goes by more than equality
$cluster->sql($database, <<'SQL');
CREATE TABLE stay (id int PRIMARY KEY, user_id text, price text, during daterange,
	FOREIGN KEY (price, PERIOD during) REFERENCES price (id, PERIOD valid));
SELECT tide.track('stay', scope => 'user_id');
INSERT INTO price (id, valid, user_id) VALUES ('p', '[2026-01-01,2026-02-01)', 'u1'), ('p', '[2026-02-01,2026-03-01)', 'u1');
SQL
my $changes = join ',', map { qq({"id":"$_->[0]","entityType":"stay","entityId":$_->[0],"action":"create","data":{"id":$_->[0],"user_id":"u1","price":"p","during":"$_->[1]"}}) }
	[1, '[2026-01-10,2026-01-12)'], [2, '[2026-01-20,2026-02-10)'], [3, '[2026-02-20,2026-03-10)'];
my $push = decode_json($cluster->sql($database, qq(SELECT tide.push('{"clientId":"d","changes":[$changes]}', '{u1}'))));
is_deeply([ map { $_->{changeId} } @{ $push->{succeeded} } ], [ 1, 2 ], 'a period that is covered, by one row or by two, is stored') or diag explain $push;
is_deeply([ map { [ $_->{changeId}, $_->{errors}[0]{code} ] } @{ $push->{failed} } ], [ [ 3, '23503' ] ], '... and the change whose period is not is to blame');

done_testing;
