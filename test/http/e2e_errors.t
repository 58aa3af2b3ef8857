# Requests that are wrong, hostile, or at the limit, against the real thing:
# each gets its status and word, tells nothing that is not the caller's, and
# leaves the gateway and the data as they were.
use strict;
use warnings;
use utf8;

use Digest::SHA ();
use FindBin ();
use lib "$FindBin::Bin/../lib";
use MIME::Base64 ();
use Test::More;
use Time::HiRes ();
use TideTest qw(iso encode_json decode_json);

my $cluster = TideTest::Cluster->shared;
my $setup = <<'SQL';
CREATE TABLE note (
	id		text PRIMARY KEY,
	user_id	text NOT NULL,
	body	text,
	code	text UNIQUE,
	n		integer CHECK (n < 100),
	secret	text DEFAULT 'known to the office only');
SELECT tide.track('note', scope => 'user_id', exclude => '{secret}');
CREATE TABLE big (
	id		bigint PRIMARY KEY,
	user_id	text NOT NULL,
	n		bigint,
	x		numeric,
	raw		bytea);
SELECT tide.track('big', scope => 'user_id');
GRANT ALL ON note, big TO tide_user;
SQL
my $database = $cluster->create_synced($setup);
my $gateway = TideTest::Gateway->start(
	cluster => $cluster,
	database => $database,
	settings => {
		'max-body-bytes' => 100_000,
		'max-push-changes' => 50,
		'max-pull-rows' => 200 })->wait_until_ready;
my $token = $gateway->token('u1');
my $push = '/api/v1/sync/push';
my $pull = '/api/v1/sync/pull';

sub is_error
{
	my ($reply, $status, $code, $name) = @_;
	is "$reply->{status} " . ($reply->{json}{error}{code} // '-'),
	  "$status $code", $name
	  or diag $reply->{content};
	is_deeply [ sort keys %{ $reply->{json}{error} // {} } ],
	  [qw(code hint message)], 'shape' if $reply->{status} != 200;
	unlike $reply->{content},
	  qr/tide_gateway|\bSELECT\b|\bUPDATE\b|\bINSERT\b|127\.0\.0\.1|\.c:\d/,
	  'nothing of the inside';
	return;
}

sub push_text
{
	my ($content, $as) = @_;
	utf8::encode($content);
	return $gateway->post($push, token => $as // $token, content => $content);
}

sub count_notes
{
	return $cluster->sql($database, 'SELECT count(*) FROM note');
}

# A token by hand: whatever header and claims.
sub token_of
{
	my ($claims, %option) = @_;
	my $header = $option{header} // { alg => 'HS256', typ => 'JWT' };
	$claims = { exp => time + 600, %$claims } if ref $claims eq 'HASH';
	my @part = map { MIME::Base64::encode_base64url(
		ref $_ ? encode_json($_) : $_) } $header, $claims;
	return join '.', @part, $option{signature}
	  // MIME::Base64::encode_base64url(Digest::SHA::hmac_sha256(
		  join('.', @part), $option{secret} // TideTest::Gateway::secret()));
}

subtest 'tokens' => sub {
	my $now = time;
	is $gateway->pull(token_of({ sub => 'u1', exp => $now + 60 }))->{status}, 200,
	  'a good one';
	my %bad = (
		'no token' => undef,
		'no token at all' => 'x',
		'another secret' => token_of({ sub => 'u1' },
			secret => 'another secret that is long enough'),
		'no signature' => token_of({ sub => 'u1' }, signature => ''),
		'alg none' => token_of({ sub => 'u1' },
			header => { alg => 'none' }, signature => ''),
		'alg none, signed' => token_of({ sub => 'u1' }, header => { alg => 'none' }),
		'another alg' => token_of({ sub => 'u1' }, header => { alg => 'HS512' }),
		'expired' => token_of({ sub => 'u1', exp => $now - 3600 }),
		'not yet' => token_of({ sub => 'u1', nbf => $now + 3600 }),
		'exp is a string' => token_of({ sub => 'u1', exp => 'never' }),
		'no sub' => token_of({ exp => $now + 60 }),
		'empty sub' => token_of({ sub => '' }),
		'sub is a number' => token_of({ sub => 1 }),
		'sub is null' => token_of({ sub => undef }),
		'claims are a list' => token_of([ 'u1' ]),
		'claims are broken' => token_of('{"sub":"u1"'),
		'two subs' => token_of('{"exp":4e9,"sub":"u1","sub":"u2"}'));
	for my $name (sort keys %bad)
	{
		is_error($gateway->pull($bad{$name}), 401, 'unauthorized', "pull: $name");
		is_error($gateway->push_changes($bad{$name},
			{ changes => { note => [ { id => 'never' } ] } }),
			401, 'unauthorized', "push: $name");
	}
	my $other = "$token";
	substr($other, -3, 1) = substr($other, -3, 1) eq 'A' ? 'B' : 'A';
	is_error($gateway->get('/api/v1/sync/schema', token => $other), 401,
		'unauthorized', 'one bit of the signature');
	for my $role ('postgres', 'nobody', 'none', 'tide_user"; --')
	{
		my $reply = $gateway->pull(token_of({ sub => 'u1', role => $role }));
		is_error($reply, 403, 'not_allowed', "role $role");
		unlike $reply->{content}, qr/\Q$role/, 'which is not repeated';
	}
	is count_notes(), 0, 'nothing was stored';
};

subtest 'bodies of a push' => sub {
	my %bad = (
		'nothing' => '',
		'no JSON' => 'changes=1',
		'cut off' => '{"changes": {"note": [{"id": "cut',
		'two documents' => '{"changes": {}}{"changes": {}}',
		'a list' => '[]',
		'null' => 'null',
		'a string' => '"changes"',
		'no changes' => '{}',
		'changes is null' => '{"changes": null}',
		'changes is a number' => '{"changes": 1}',
		'a type is no list' => '{"changes": {"note": {"id": "never"}}}',
		'escaped NUL' => '{"changes": "\u0000"}',
		'half a surrogate' => '{"changes": [], "clientId": "\ud800"}',
		'a key twice' => '{"changes": {"note": [{"id": "never", "id": "ever"}]}}',
		'too deep' => '{"changes": ' . '[' x 30_000 . ']' x 30_000 . '}');
	for my $name (sort keys %bad)
	{
		is_error(push_text($bad{$name}), 400, 'malformed_request', $name);
	}
	is_error($gateway->post($push, token => $token,
		content => "{\"changes\": {\"note\": [{\"id\": \"\xc3\x28\"}]}}"),
		400, 'malformed_request', 'broken UTF-8');
	is_error($gateway->post($push, token => $token, content => '{}',
		headers => { 'Content-Type' => 'text/plain' }),
		415, 'unsupported_media_type', 'not as JSON');
	is_error($gateway->get($push, token => $token), 405, 'method_not_allowed', 'GET');
	is count_notes(), 0, 'nothing was stored';
	is push_text('{"changes": {}}')->{status}, 200, 'no changes are fine';
	is push_text('{"changes": []}')->{status}, 200, 'in both forms';
};

# Seen failing: with tide.push($1::jsonb) for tide.push_json; with json_check for
# json_check_push; with max-body-depth 64.
subtest 'rows of a push that are no jsonb' => sub {
	my $deep = '[' x 70 . ']' x 70;
	my $reply = push_text('{"changes": {"note": [{"id": "r1", "body": "one"},'
		. '{"id": "r2", "body": "\ud800"}, {"id": "r3", "body": "a\u0000b"},'
		. '{"id": "r4", "n": 1e200000}, {"id": "r5", "body": "five"},'
		. "{\"id\": \"r6\", \"body\": $deep}, {\"id\": \"r7\", \"body\": \"\x{1F600}\"}]}}");
	is $reply->{status}, 200, 'the push goes through';
	is_deeply [ map { $_->{entityId} } @{ $reply->{json}{succeeded} } ],
	  [qw(r1 r5 r6 r7)], 'the others are stored';
	is_deeply { map { $_->{entityId} => $_->{errors}[0]{code} }
		  @{ $reply->{json}{failed} } },
	  { r2 => '22P02', r3 => '22P05', r4 => '22003' }, 'each fails for itself';
	is $cluster->sql($database, q{SELECT body FROM note WHERE id = 'r6'}), $deep,
	  'and 70 levels are no more than text';

	# an emoji in a database that knows no more than LATIN1
	my $latin = $cluster->create_database;
	$cluster->sql('postgres', "DROP DATABASE $latin");
	$cluster->sql('postgres', "CREATE DATABASE $latin TEMPLATE template0"
		  . " ENCODING LATIN1 LC_COLLATE 'C' LC_CTYPE 'C'");
	$cluster->sql($latin, "CREATE EXTENSION pg_tide; $setup");
	my $other = TideTest::Gateway->start(cluster => $cluster,
		database => $latin)->wait_until_ready;
	my $text = "{\"changes\": {\"note\": [{\"id\": \"l\x{e9}1\", \"body\": \"\x{e9}\"},"
	  . "{\"id\": \"l\x{e9}2\", \"body\": \"\x{1F600}\"},"
	  . '{"id": "l3", "body": "\ud83d\ude00"}, {"id": "l4", "body": "\u00e9"}]}}';
	utf8::encode($text);
	$reply = $other->post($push, token => $token, content => $text);
	is $reply->{status}, 200, 'LATIN1';
	is_deeply [ map { $_->{entityId} } @{ $reply->{json}{succeeded} } ],
	  [ "l\x{e9}1", 'l4' ], 'what it knows is stored';
	is_deeply { map { $_->{entityId} => $_->{errors}[0]{code} }
		  @{ $reply->{json}{failed} } },
	  { "l\x{e9}2" => '22P05', l3 => '22P05' }, 'what it lacks fails';

	# Seen failing: 503, the setting of the gateway, which none of them is.
	for my $path ($pull, '/api/v1/sync/keys', '/api/v1/sync/scopes')
	{
		is_error($other->request('GET', $path, token => token_of({ sub => 'u1', name => "\x{1F600}" })),
			400, 'invalid_value', "$path with claims that it lacks");
	}
	is_error($other->request('GET', "$pull?clientId=%F0%9F%98%80", token => $token), 400, 'invalid_value', 'a clientId');
	is_error($other->request('GET', "$pull?entityTypes=%F0%9F%98%80", token => $token), 400, 'invalid_value', 'a type');
	is $other->stop, 0;
	$cluster->sql($database, q{DELETE FROM note WHERE id LIKE 'r_'});
};

# Seen failing with a look into the message for "tide.": 503, as if pg_tide were away.
subtest 'a trigger that names what is not there' => sub {
	$cluster->sql($database, <<'SQL');
CREATE SCHEMA hightide;
CREATE FUNCTION hightide.seen() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	IF NEW.body = 'table' THEN INSERT INTO hightide.gone VALUES (1);
	ELSIF NEW.body = 'function' THEN PERFORM hightide.gone();
	ELSE PERFORM tide.gone(); END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER seen BEFORE INSERT ON note FOR EACH ROW EXECUTE FUNCTION hightide.seen();
GRANT USAGE ON SCHEMA hightide TO tide_user;
SQL
	is_error(push_text(qq({"changes": {"note": [{"id": "t1", "body": "$_"}]}})), 500, 'internal_error', "a $_")
	  for 'table', 'function', 'function of tide';
	$cluster->sql($database, 'DROP TRIGGER seen ON note');
	is push_text('{"changes": {"note": [{"id": "t1"}]}}')->{status}, 200, 'without it the push goes through';
	$cluster->sql($database, 'DELETE FROM note');
};

subtest 'duplicate keys' => sub {
	# the last would win, and what the first said would be lost
	my %bad = (
		'changes' => '{"changes": {"note": [{"id": "double"}]}, "changes": {}}',
		'an entity type' =>
		  '{"changes": {"note": [{"id": "double"}], "note": [{"id": "double"}]}}',
		'a column' =>
		  '{"changes": {"note": [{"id": "double", "body": "a", "body": "b"}]}}',
		'a column, escaped' =>
		  '{"changes": {"note": [{"id": "double", "body": "a", "b\u006fdy": "b"}]}}',
		'a field of a change' => '{"changes": [{"entityType": "note",
			"entityId": "double", "entityId": "double", "data": {}}]}');
	is_error(push_text($bad{$_}), 400, 'malformed_request', $_) for sort keys %bad;
	is count_notes(), 0, 'nothing was stored';
};

subtest 'batches' => sub {
	my $good = '{"id": "b1", "body": "one"}, {"id": "b2", "body": "two"}';
	my $reply = push_text(qq({"atomic": true, "changes": {"note": [$good, {"id": "b3", "n": 1000}]}}));
	is $reply->{json}{summary}{succeeded}, 0, 'atomic: one bad change, and none is stored'
	  or diag $reply->{content};
	my %code = map { ($_->{entityId} => $_->{errors}[0]{code}) } @{ $reply->{json}{failed} };
	is $code{b3}, '23514', 'the bad one is named';
	is_deeply [ sort keys %code ], [qw(b1 b2 b3)], 'and all failed';
	is count_notes(), 0, 'nothing was stored';
	$reply = push_text(qq({"atomic": true, "changes": {"note": [$good]}}));
	is $reply->{json}{summary}{succeeded}, 2, 'without it all are';

	my $body = '{"batchId": "b-1", "changes": {"note": [{"id": "b4", "body": "first"}]}}';
	my $first = push_text($body);
	is $first->{json}{summary}{succeeded}, 1, 'batchId';
	$cluster->sql($database, "UPDATE note SET body = 'edited' WHERE id = 'b4'");
	is push_text($body)->{content}, $first->{content}, 'again: the first reply, word for word';
	is $cluster->sql($database, "SELECT body FROM note WHERE id = 'b4'"), 'edited',
	  'and no second effect, though it has no stamp';
	is_error(push_text('{"batchId": "b-1", "changes": {"note": [{"id": "b5"}]}}'),
		409, 'batch_id_reused', 'another body under it');
	is $cluster->sql($database, "SELECT count(*) FROM note WHERE id = 'b5'"), 0,
	  'is not stored';
	$reply = push_text('{"batchId": "b-1", "changes": {"note": [{"id": "b6"}]}}',
		$gateway->token('u2'));
	is $reply->{json}{summary}{succeeded}, 1, 'another user has ids of their own';

	is_error(push_text('{"cursor": "AQ", "changes": {"note": [{"id": "b7"}]}}'),
		400, 'malformed_cursor', 'a cursor that is none');
	my $cursor = $gateway->pull($token)->{json}{cursor};
	$reply = push_text(qq({"cursor": "$cursor", "changes": {"note": [{"id": "b8"}]}}));
	is $reply->{json}{summary}{succeeded}, 1, 'one that is';
	$cluster->sql($database, 'DELETE FROM note');
};

subtest 'too much' => sub {
	my @changes = map { { id => "n$_", body => $_ } } 1 .. 51;
	is_error($gateway->push_changes($token, { changes => { note => \@changes } }),
		413, 'too_many_changes', 'one change too many');
	is_error($gateway->push_changes($token, { changes =>
		[ map { { entityType => 'note', entityId => $_->{id}, data => $_ } } @changes ] }),
		413, 'too_many_changes', 'as a list');
	is count_notes(), 0, 'nothing was stored';
	is_error($gateway->push_changes($token,
		{ changes => { note => [ { id => 'long', body => 'x' x 100_001 } ] } }),
		413, 'too_large', 'too long a body');
	pop @changes;
	my $reply = $gateway->push_changes($token, { changes => { note => \@changes } });
	is $reply->{json}{summary}{succeeded}, 50, 'just as many as may be';
};

subtest 'changes that are wrong' => sub {
	my @list = (
		[ '{"entityType": "nope", "entityId": "1", "data": {}}', 'unknown_entity_type' ],
		[ '{"entityType": "log", "entityId": "1", "data": {}}', 'unknown_entity_type' ],
		[ '{"entityId": "1", "data": {}}', 'malformed_change' ],
		[ '{"entityType": "note", "data": {"body": "x"}}', 'missing_key' ],
		[ '{"entityType": "note", "entityId": null, "data": {}}', 'missing_key' ],
		[ '{"entityType": "note", "entityId": "1", "action": "explode"}', 'malformed_change' ],
		[ '{"entityType": "note", "entityId": "1", "data": [1]}', 'malformed_change' ],
		[ '{"entityType": "note", "entityId": "1", "data": {"secret": "x"}}', 'unknown_column' ],
		[ '{"entityType": "note", "entityId": "1", "data": {"ctid": "x"}}', 'unknown_column' ],
		[ '{"entityType": "note", "entityId": "1", "data": {}, "lastModifiedAt": "soon"}', 'bad_time' ],
		[ '{"entityType": "note", "entityId": "1", "data": {}, "lastModifiedAt": "infinity"}', 'bad_time' ],
		[ '{"entityType": "note", "entityId": "1", "data": {}, "lastModifiedAt": 1e300}', 'bad_time' ],
		[ '{"entityType": "note", "entityId": "1", "data": {"n": 100}}', '23514' ],
		[ '{"entityType": "note", "entityId": "1", "data": {"n": "x"}}', '22P02' ],
		[ '{"entityType": "note", "entityId": "1", "data": {"n": 1e10}}', '22003' ],
		[ '{"entityType": "note", "entityId": "1", "data": {"user_id": "u2"}}', 'scope_not_allowed' ],
		[ '7', 'malformed_change' ],
		[ 'null', 'malformed_change' ]);
	my $reply = push_text('{"changes": ['
		. join(', ', (map { $_->[0] } @list), '{"id": "q", "entityType": "note",
			"entityId": "good", "data": {"body": "among bad ones"}}') . ']}');
	is $reply->{status}, 200, 'they are told one by one' or diag $reply->{content};
	is_deeply [ map { $_->{errors}[0]{code} } @{ $reply->{json}{failed} } ],
	  [ map { $_->[1] } @list ], 'each with its word';
	is $reply->{json}{summary}{succeeded}, 1, 'the good one is stored';
	ok length $_->{errors}[0]{message}, 'with a message'
	  for @{ $reply->{json}{failed} };
	unlike $reply->{content}, qr/known to the office/, 'what is excluded stays secret';
	is_deeply $gateway->pull($token, entityTypes => 'note,nope')->{json}{unavailableTypes},
	  ['nope'], 'a pull of an unknown type names it';
};

subtest 'fields of a pull' => sub {
	for my $limit ('0', '-1', 'abc', '1.5', '1e2', '99999999999999999999', '')
	{
		my $reply = $gateway->pull($token, limit => $limit);
		# above the most there is it is lowered, an empty field is none
		if ($limit =~ /^9|^$/)
		{
			is $reply->{status} == 200 || $reply->{json}{error}{code} eq 'malformed_request',
			  1, "limit '$limit'";
			next;
		}
		is_error($reply, 400, 'malformed_request', "limit '$limit'");
		is_error($gateway->post($pull, token => $token, json => { limit => $limit }),
			400, 'malformed_request', "limit '$limit' in a body");
	}
	for my $since ('yesterday', 'infinity', '-infinity', '2024-02-30', '12:34',
		'2024-01-01T25:00:00Z', '1e400', '.', '-', '%', "'; --")
	{
		my $reply = $gateway->pull($token, since => $since);
		is $reply->{status}, 400, "since '$since'" or diag $reply->{content};
		like $reply->{json}{error}{code}, qr/^malformed_(?:request|cursor)$/, 'malformed';
	}
	is_error($gateway->pull($token, times => 'rfc822'), 400, 'malformed_request', 'times');
	is_error($gateway->pull($token, wait => 'long'), 400, 'malformed_request', 'wait');
	is_error($gateway->pull($token, scope => 'u2'), 403, 'scope_not_allowed',
		'the scope of another');
	is_error($gateway->pull($token, scope => [ 'u1', 'u2' ]), 403,
		'scope_not_allowed', 'among one\'s own');
	is_error($gateway->post($pull, token => $token, content => '{"since": '),
		400, 'malformed_request', 'a body cut off');
	is_error($gateway->post($pull, token => $token, content => '[1]'),
		400, 'malformed_request', 'a body that is a list');
	is_error($gateway->get("$pull?since=%FF%FE", token => $token),
		400, 'malformed_request', 'no UTF-8');
	is_error($gateway->get("$pull?entityTypes=a%00b", token => $token),
		400, 'malformed_request', 'a NUL');
};

subtest 'cursors' => sub {
	my $cursor = $gateway->pull($token, limit => 10)->{json}{cursor};
	my $last = ($gateway->pull_pages($token))[-1]{cursor};
	is_error($gateway->pull($token, since => 'AAAA'), 400, 'malformed_cursor',
		'another version');
	is_error($gateway->pull($token, since => "${last}A"), 400, 'malformed_cursor',
		'a letter too many');
	is_error($gateway->pull($token, since => 'x' x 5000), 400, 'malformed_cursor',
		'a long one');
	# what is changed or cut is malformed, or of no use, and never an accident
	srand 20261121;
	my %statuses;
	for my $whole ($cursor, $last)
	{
		for my $try (1 .. 150)
		{
			my $bad = MIME::Base64::decode_base64url($whole);
			if ($try % 3 == 0)
			{
				$bad = substr $bad, 0, int rand length $bad;
			}
			else
			{
				substr($bad, rand length $bad, 1) = chr int rand 256
				  for 1 .. $try % 3;
			}
			my $since = MIME::Base64::encode_base64url($bad);
			next if $since eq '';
			my $reply = $gateway->pull($token, since => $since);
			$statuses{ $reply->{status} }++;
			next if $reply->{status} == 200;
			next if $reply->{status} == 400
			  && $reply->{json}{error}{code} =~ /^malformed_|^unknown_entity/;
			next if $reply->{status} == 403
			  && $reply->{json}{error}{code} eq 'scope_not_allowed';
			fail "cursor $since: $reply->{status} $reply->{content}";
		}
	}
	cmp_ok $statuses{400}, '>', 50, 'a broken cursor is malformed';

	my $other = $cluster->create_synced($setup);
	my $second = TideTest::Gateway->start(cluster => $cluster,
		database => $other)->wait_until_ready;
	$second->push_changes($token, { changes => { note => [ { id => 'elsewhere' } ] } });
	for my $since ($cursor, $last)
	{
		my $reply = $second->pull($token, since => $since);
		is $reply->{status}, 200, 'the cursor of another database';
		ok $reply->{json}{reset}, 'is of no use';
		ok length $reply->{json}{resetReason}, 'with a reason';
		is_deeply [ map { $_->{id} } @{ $reply->{json}{changesByType}{note} } ],
		  ['elsewhere'], 'and starts from the beginning';
	}
	is $second->stop, 0;
};

subtest 'numbers beyond 2^53' => sub {
	my $reply = push_text('{"changes": {"big": [
		{"id": 9007199254740993, "n": 9223372036854775807, "x": 0.12345678901234567890123456789, "raw": "\\\\x00ff"},
		{"id": "-9007199254740993", "n": "-9223372036854775808", "x": "123456789012345678901234567890"}]}}');
	is_deeply $reply->{json}{failed}, [], 'numbers, and numbers as strings'
	  or diag $reply->{content};
	my $pulled = $gateway->pull($token, entityTypes => 'big');
	for my $content ($reply->{content}, $pulled->{content})
	{
		like $content, qr/"id":9007199254740993,/, 'a key';
		like $content, qr/"n":9223372036854775807,/, 'the greatest';
		like $content, qr/"x":0.12345678901234567890123456789,/, 'a numeric';
		like $content, qr/"raw":"\\\\x00ff"/, 'bytes';
		like $content, qr/"n":-9223372036854775808,/, 'the least';
		like $content, qr/"x":123456789012345678901234567890,/, 'a long one';
	}
	like $reply->{content}, qr/"entityId":"9007199254740993"/, 'entityId is a string';
	is $cluster->sql($database, 'SELECT id, n, x, raw FROM big WHERE id > 0'),
	  '9007199254740993|9223372036854775807|0.12345678901234567890123456789|\x00ff',
	  'stored';
	$reply = push_text('{"changes": [{"entityType": "big", "action": "delete",
		"entityId": 9007199254740993}]}');
	like $reply->{content}, qr/"status":"applied".*"id":9007199254740993,/,
	  'deleted by its number';
	is $cluster->sql($database, 'SELECT id FROM big'), '-9007199254740993', 'just it';
	$reply = push_text('{"changes": {"big": [{"id": 1, "n": 9223372036854775808}]}}');
	is $reply->{json}{failed}[0]{errors}[0]{code}, '22003', 'too great';
};

subtest 'a cursor that is whole but for the key it is behind' => sub {
	push_text('{"changes": {"big": [{"id": 141}, {"id": 142}]}}');
	my $behind = MIME::Base64::decode_base64url(
		$gateway->pull($token, entityTypes => 'big', limit => 1)->{json}{cursor});
	ok $behind =~ s/\d{3}$/n17/, 'a cursor ends with a key';
	is_error($gateway->pull($token, entityTypes => 'big', limit => 1,
			since => MIME::Base64::encode_base64url($behind)),
		400, 'malformed_cursor', 'a key that the column does not take');
};

subtest 'nothing of another user' => sub {
	my $other = $gateway->token('u2');
	$gateway->push_changes($other, { changes => { note => [
		{ id => 'hers', body => 'a private thought', code => 'unique', n => 42 } ] } });
	$cluster->sql($database, "UPDATE note SET secret = 'of the office' WHERE id = 'hers'");
	my @tries = (
		{ id => 'hers', body => 'mine now' },
		{ id => 'hers', user_id => 'u1' },
		{ id => 'hers', user_id => 'u2', body => 'as her' },
		{ id => 'hers', n => 1000 },
		{ id => 'hers', deletedAt => iso(time) },
		{ id => 'n1', code => 'unique' },
		{ id => 'n2', code => 'unique', n => 500 });
	my $reply = $gateway->push_changes($token, { changes => { note => \@tries } });
	is $reply->{json}{summary}{failed}, 7, 'none is stored' or diag $reply->{content};
	unlike $reply->{content}, qr/private thought|of the office|"?u2"?|known to/,
	  'nothing of hers is told';
	is $reply->{json}{failed}[5]{errors}[0]{code}, '23505', 'a value that is taken';
	is $cluster->sql($database,
		"SELECT user_id, body, code, n FROM note WHERE id = 'hers'"),
	  'u2|a private thought|unique|42', 'her row is as it was';
	my $keys = join ' ', map { encode_json($_) } $gateway->pull_pages($token);
	unlike $keys, qr/hers|private/, 'nor by a pull';

	# a new row with the key of one that she deleted
	$gateway->push_changes($other, { changes => [ { entityType => 'note',
		action => 'delete', entityId => 'hers' } ] });
	$reply = $gateway->push_changes($token,
		{ changes => { note => [ { id => 'hers', body => 'over her grave' } ] } });
	is $reply->{json}{failed}[0]{errors}[0]{code}, 'scope_not_allowed',
	  'nor is her tombstone mine';
};

subtest 'what a policy raises' => sub {
	$cluster->sql($database, <<'SQL');
CREATE TABLE visit (id integer PRIMARY KEY, user_id text NOT NULL, diagnosis text);
CREATE INDEX ON visit (user_id, id);
SELECT tide.track('visit', scope => 'user_id');
GRANT SELECT ON visit TO tide_user;
INSERT INTO visit VALUES (1, 'u7', 'measles');
ALTER TABLE visit ENABLE ROW LEVEL SECURITY;
CREATE FUNCTION see(text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION 'nobody may see %', $1 USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE POLICY see ON visit USING (see(diagnosis));
SQL
	is_error $gateway->pull($gateway->token('u7'), entityTypes => 'visit'), 403, 'not_allowed', 'a pull';
	$gateway->log_says(qr/event=database-error sqlstate=42501 statement=tide_1_pull$/m, 'is in the log');
	unlike $gateway->log, qr/measles/, 'without the row';
	$cluster->sql($database, q{SELECT tide.untrack('visit'); DROP TABLE visit; DROP FUNCTION see});
};

subtest 'hostile names' => sub {
	my @names = ('we"ird', "it's", 'back\\slash', 'a b.c,d', '日本語', "\x{1f4aa}",
		'x; DROP TABLE note; --', '$1', '%s%n', "line\nbreak", '{"a":1}', '__proto__',
		'ﬁ ß İ', 'select');
	my $quote = sub { (my $name = $_[0]) =~ s/"/""/g; return qq("$name"); };
	my $literal = sub { (my $text = $_[0]) =~ s/'/''/g; return "'$text'"; };
	my $statements = "SET standard_conforming_strings = on;\n";
	for my $i (0 .. $#names)
	{
		my $name = $names[$i];
		my ($schema, $table, $key, $scope, $column) = map { $quote->("$_$name") }
		  's', 't', 'k', 'o', 'c';
		my $type = $literal->("e$name");
		$statements .= <<"SQL";
CREATE SCHEMA $schema;
GRANT USAGE ON SCHEMA $schema TO tide_user;
CREATE TABLE $schema.$table ($key text PRIMARY KEY, $scope text NOT NULL, $column text);
SELECT tide.track('$schema.$table'::regclass, entity_type => $type, scope => ${\ $literal->("o$name") });
GRANT ALL ON $schema.$table TO tide_user;
SQL
		# regclass takes its name as an identifier inside a literal
		$statements =~ s/'(\Q$schema.$table\E)'::regclass/$literal->($1) . '::regclass'/e;
	}
	utf8::encode($statements);
	my $hostile = $cluster->create_synced($statements);
	my $fresh = TideTest::Gateway->start(cluster => $cluster,
		database => $hostile)->wait_until_ready;
	for my $name (@names)
	{
		# the name is also the user, the key, the value and the device
		my $user = token_of({ sub => $name });
		my $shown = encode_json($name);
		my $reply = $fresh->push_changes($user, { clientId => $name,
			changes => { "e$name" => [ { "k$name" => $name, "c$name" => $name } ] } });
		is $reply->{json}{summary}{succeeded}, 1, "$shown: map form"
		  or diag $reply->{content};
		$reply = $fresh->push_changes($user, { changes => [ { id => $name,
			entityType => "e$name", entityId => "2$name", clientId => $name,
			data => { "c$name" => $name, "o$name" => $name } } ] });
		is $reply->{json}{succeeded}[0]{changeId}, $name, 'list form'
		  or diag $reply->{content};
		is $reply->{json}{succeeded}[0]{entity}{"k$name"}, "2$name", 'the key';

		my $page = $fresh->post($pull, token => $user, json => {
			entityTypes => ["e$name"], scope => $name, clientId => 'none' });
		is_deeply [ sort map { $_->{"k$name"} }
			@{ $page->{json}{changesByType}{"e$name"} } ],
		  [ sort $name, "2$name" ], 'pulled, by POST' or diag $page->{content};
		my $row = (grep { $_->{"k$name"} eq $name }
			@{ $page->{json}{changesByType}{"e$name"} })[0];
		is $row->{"c$name"}, $name, 'its value';
		is $row->{"o$name"}, $name, 'its scope';
		is $row->{clientId}, $name, 'its device';
		if ($name !~ /,/)
		{
			$page = $fresh->pull($user, scope => $name, entityTypes => "e$name",
				clientId => $name);
			is scalar @{ $page->{json}{changesByType}{"e$name"} }, 2, 'by GET'
			  or diag $page->{content};
		}
		$reply = $fresh->push_changes($user, { changes => [ {
			entityType => "e$name", action => 'delete', entityId => "2$name" } ] });
		is $reply->{json}{succeeded}[0]{status}, 'applied', 'deleted';
		$page = $fresh->pull($user, since => $page->{json}{cursor});
		is_deeply [ map { $_->{"k$name"} } @{ $page->{json}{deletedByType}{"e$name"} } ],
		  ["2$name"], 'the deletion';
		$reply = $fresh->push_changes($user, { changes => { "e$name" => [
			{ "k$name" => 'x', "nope$name" => 1 } ], "nope$name" => [ { id => 1 } ] } });
		is_deeply [ sort map { $_->{errors}[0]{code} } @{ $reply->{json}{failed} } ],
		  [qw(unknown_column unknown_entity_type)], 'errors' or diag $reply->{content};
		$reply = $fresh->post($pull, token => $user, json => {
			entityTypes => ["nope$name"] });
		is_deeply $reply->{json}{unavailableTypes}, ["nope$name"], 'a type that is not there';
	}
	my $schema = $fresh->get('/api/v1/sync/schema', token => token_of({ sub => 'u1' }));
	is $schema->{status}, 200, 'schema';
	my @missing = grep { my $name = JSON::PP->new->utf8->allow_nonref->encode("e$_");
		$schema->{content} !~ /\Q$name/ } @names;
	is_deeply \@missing, [], 'names them all';
	is $fresh->stop, 0;
};

is $gateway->get('/ready')->{status}, 200, 'after all that it is ready';
is $gateway->stop, 0, 'and stops with status 0';
unlike $gateway->log, qr/Sanitizer|panic|assert/i, 'with a clean log';
done_testing;
