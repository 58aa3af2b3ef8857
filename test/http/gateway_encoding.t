# A database of the encoding SQL_ASCII: PostgreSQL takes any bytes there as text.
# What is UTF-8 syncs; what is not is never sent, and keeps nothing else from it.
#
# Seen to fail without check_is_utf8() in wire.c: the reply had the bytes, which
# is no JSON; without json_expand_escapes(): an escape failed the whole push.
use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";
use Test::More;
use TideTest;

my $cluster = TideTest::Cluster->shared;
my $database = $cluster->create_synced('');	# with the roles
$cluster->sql('postgres', "DROP DATABASE $database");
$cluster->sql('postgres', "CREATE DATABASE $database TEMPLATE template0 ENCODING SQL_ASCII LC_COLLATE 'C' LC_CTYPE 'C'");
$cluster->sql($database, <<'SQL');
CREATE EXTENSION pg_tide;
CREATE TABLE note (id text PRIMARY KEY, owner text, body text, j json, jb jsonb, words text[]);
CREATE TABLE plan (id text PRIMARY KEY, owner text);
SELECT tide.track('note', scope => 'owner'), tide.track('plan', scope => 'owner');
GRANT SELECT, INSERT, UPDATE, DELETE ON note, plan TO tide_user;
INSERT INTO plan VALUES ('p', 'u1');
SQL
my $gateway = TideTest::Gateway->start(cluster => $cluster, database => $database, settings => { 'maintain-interval' => 0 })->wait_until_ready;
my $token = $gateway->token('u1');

sub pull
{
	my ($query) = @_;
	return $gateway->request('GET', '/api/v1/sync/pull' . ($query // ''), token => $token);
}

sub push_text
{
	my ($text) = @_;
	return $gateway->post('/api/v1/sync/push', token => $token, content => $text);
}

# text as it is, and escaped in each of its ways
my $text = '{"changes": {"note": [{"id": "a", "body": "caf' . "\xc3\xa9" . '"}, {"id": "b", "body": "caf\u00e9 \ud83d\ude00"},'
  . '{"id": "c", "j": {"\u00e9": "\u00e9\\\\u00e9"}, "jb": ["\u00e9"], "words": ["\u00e9"]}, {"id": "d\u00e9"}, {"id": "e", "body": "\ud83d"}, {"id": "f", "body": "\u0000"}]}}';
my $reply = push_text($text);
is $reply->{status}, 200, 'a push with escapes';
is_deeply [ map { $_->{entityId} } @{ $reply->{json}{succeeded} } ], [ 'a', 'b', 'c', "d\x{e9}" ], 'what is text is stored';
is_deeply [ map { $_->{entityId} } @{ $reply->{json}{failed} } ], [ 'e', 'f' ], '... and what is not fails alone';
my %bodies = map { $_->{id} => $_ } @{ pull()->{json}{changesByType}{note} };
is $bodies{a}{body}, "caf\x{e9}", 'it comes back';
is $bodies{b}{body}, "caf\x{e9} \x{1F600}", '... also what came escaped';
is_deeply [ @{ $bodies{c} }{qw(j jb words)} ], [ { "\x{e9}" => "\x{e9}\\u00e9" }, ["\x{e9}"], ["\x{e9}"] ], '... within JSON and arrays';

# bytes that are no text in UTF-8
$cluster->sql($database, q(INSERT INTO note (id, owner, body) VALUES ('bad', 'u1', E'caf\xe9'), ('good', 'u1', 'x')));
$reply = pull();
is $reply->{status}, 400, 'a row that is not UTF-8 is not sent';
is $reply->{json}{error}{code}, 'invalid_value';
like $reply->{json}{error}{message}, qr/entity type "note" cannot be sent: its "body" is not UTF-8/, '... and the reply says where it is';
is pull('?entityTypes=plan')->{status}, 200, 'other types can be pulled';
is push_text('{"changes": {"note": [{"id": "good", "body": "y"}]}}')->{status}, 200, 'other rows can be pushed';
is push_text('{"changes": {"note": [{"id": "bad", "j": 1}]}}')->{status}, 400, 'an edit whose reply would have the bytes is refused';
is $cluster->sql($database, q(SELECT convert_to(body, 'SQL_ASCII') FROM note WHERE id = 'bad')), '\x636166e9', '... and the bytes are as they were';
like $cluster->sql($database, q(SELECT problem FROM tide.check() WHERE object = 'pg_tide')), qr/encoding of this database is SQL_ASCII/, 'check tells of the encoding';
$cluster->sql($database, q(UPDATE note SET body = 'mended' WHERE id = 'bad'));
is pull()->{status}, 200, 'when the row is mended it goes on';
is $gateway->stop, 0;

done_testing;
