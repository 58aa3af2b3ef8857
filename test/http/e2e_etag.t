# /sync/schema has an ETag: a client that has this schema gets 304, until tables,
# settings or its rights change.
#
# Seen failing without the comparison in dispatch.c; with names compared with W/;
# with no-store among the headers; with the etag of one user's rights for all.
use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";
use Test::More;
use TideTest;

my $cluster = TideTest::Cluster->shared;
my $database = $cluster->create_synced(<<'SQL');
CREATE TABLE plan (id int PRIMARY KEY, owner text, code int, UNIQUE (owner, code));
CREATE TABLE day (id int PRIMARY KEY, owner text, code int, FOREIGN KEY (owner, code) REFERENCES plan (owner, code) ON DELETE SET NULL);
SELECT tide.track('plan', scope => 'owner'), tide.track('day', scope => 'owner');
GRANT SELECT ON plan, day TO tide_user;
DROP ROLE IF EXISTS tide_etag_reader;
CREATE ROLE tide_etag_reader;
GRANT tide_etag_reader TO tide_gateway;
GRANT SELECT ON plan TO tide_etag_reader;
SQL
my $gateway = TideTest::Gateway->start(cluster => $cluster, database => $database,
	settings => { 'maintain-interval' => 0, 'cors-origins' => 'https://app.example' })->wait_until_ready;
my $token = $gateway->token('u1');

sub schema
{
	my ($if_none_match, %option) = @_;
	return $gateway->request($option{method} // 'GET', '/api/v1/sync/schema', token => $option{token} // $token,
		headers => { %{ $option{headers} // {} }, defined $if_none_match ? ('If-None-Match' => $if_none_match) : () });
}

my $first = schema();
is $first->{status}, 200;
my $etag = $first->{headers}{etag};
like $etag, qr{^W/"[0-9a-f]{32}"$}, 'an etag';
is $first->{headers}{'cache-control'}, 'private, no-cache', 'to be kept, and asked for again';
is schema()->{headers}{etag}, $etag, 'the same again';

my $strong = $etag =~ s{^W/}{}r;
for my $names ($etag, $strong, "\"x,y\", W/\"z\", $etag", "W/\"z\",$strong", '*')
{
	my $reply = schema($names);
	is $reply->{status}, 304, "304 for $names";
	is $reply->{content} // '', '', 'without a body';
	is $reply->{headers}{etag}, $etag, 'with the etag';
	ok !exists $reply->{headers}{'content-type'}, 'and no type';
}
for my $names ('"x"', 'W/"x"', substr($etag, 0, -2), "\"" . substr($strong, 2), $strong =~ s/"//gr, '"', '', ', ,', "\"a,$strong")
{
	is schema($names)->{status}, 200, "200 for '$names'";
}
is schema($etag, method => 'HEAD')->{status}, 304, 'HEAD, too';

my $packed = schema(undef, headers => { 'Accept-Encoding' => 'gzip' });
is $packed->{headers}{etag}, $etag, 'the same, if it is packed';
is schema($etag, headers => { 'Accept-Encoding' => 'gzip' })->{status}, 304, 'and 304';

my $other = schema($etag, token => $gateway->token('u1', role => 'tide_etag_reader'));
is $other->{status}, 200, 'other rights, another schema';
isnt $other->{headers}{etag}, $etag;

my $changed = $etag;
for my $sql ('ALTER TABLE day ADD COLUMN note text', "ALTER TABLE day ALTER note SET DEFAULT 'x'",
	"SELECT tide.track('day', scope => 'owner', conflict => 'merge')",
	'ALTER TABLE day DROP CONSTRAINT day_owner_code_fkey, ADD FOREIGN KEY (owner, code) REFERENCES plan (owner, code) ON DELETE CASCADE',
	'REVOKE SELECT ON day FROM tide_user')
{
	$cluster->sql($database, $sql);
	my $reply = schema($changed);
	is $reply->{status}, 200, "another after $sql";
	isnt $reply->{headers}{etag}, $changed;
	$changed = $reply->{headers}{etag};
	is schema($changed)->{status}, 304, 'and then it is known';
}

subtest 'from a page of another origin' => sub {
	my %page = (headers => { Origin => 'https://app.example' });
	my $reply = schema($changed, %page);
	is $reply->{status}, 304;
	is $reply->{headers}{'access-control-allow-origin'}, 'https://app.example';
	like $reply->{headers}{'access-control-expose-headers'}, qr/\betag\b/, 'the page can read it';
	my $preflight = $gateway->request('OPTIONS', '/api/v1/sync/schema', headers => {
		Origin => 'https://app.example', 'Access-Control-Request-Method' => 'GET',
		'Access-Control-Request-Headers' => 'authorization, if-none-match' });
	like $preflight->{headers}{'access-control-allow-headers'}, qr/\bif-none-match\b/, 'and send it';
};

SKIP: {
	skip 'SET NULL of some columns came with PostgreSQL 15', 1
	  if $cluster->sql($database, 'SHOW server_version_num') < 150000;
	$cluster->sql($database, <<'SQL');
GRANT SELECT ON day TO tide_user;
ALTER TABLE day DROP CONSTRAINT day_owner_code_fkey, ADD FOREIGN KEY (owner, code) REFERENCES plan (owner, code) ON DELETE SET NULL (code);
SQL
	is_deeply schema()->{json}{entityTypes}{day}{references},
	  [ { columns => [ 'owner', 'code' ], entityType => 'plan', refColumns => [ 'owner', 'code' ],
		onDelete => 'set null', onDeleteColumns => ['code'] } ], 'which columns a delete sets';
}

for my $path ('/api/v1/sync/keys', '/api/v1/sync/pull', '/health')
{
	my $reply = $gateway->get($path, token => $token, headers => { 'If-None-Match' => '*' });
	is $reply->{status}, 200, "$path has no etag";
	is $reply->{headers}{'cache-control'}, 'no-store';
	ok !exists $reply->{headers}{etag};
}

is $gateway->stop, 0, 'stops with status 0';
done_testing;
