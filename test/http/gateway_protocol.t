# The gateway's side of the protocol, against a double of pg_tide: paths,
# methods, media types, limits, parameters, errors, CORS.
use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";
use Test::More;
use TideTest qw(wait_for raw_http encode_json decode_json);

my $cluster = TideTest::Cluster->shared;
my $database = $cluster->create_fake;
my $gateway = TideTest::Gateway->start(
	cluster => $cluster,
	database => $database,
	settings => {
		'max-body-bytes' => 100_000,
		'max-push-changes' => 77,
		'max-time-rows' => 66,
		'cors-origins' => 'https://app.example, http://localhost:5173' }
)->wait_until_ready;

my $token = $gateway->token('u1');
my $pull = '/api/v1/sync/pull';
my $push = '/api/v1/sync/push';

# Is this an error in the shape of the protocol?
sub is_error
{
	my ($reply, $status, $code, $name) = @_;
	subtest $name => sub {
		is $reply->{status}, $status, 'status';
		is $reply->{headers}{'content-type'}, 'application/json', 'media type';
		is_deeply [ sort keys %{ $reply->{json}{error} // {} } ],
		  [qw(code hint message)], 'shape';
		is $reply->{json}{error}{code}, $code, 'code';
	};
	return;
}

sub echo
{
	my ($reply) = @_;
	is $reply->{status}, 200, 'accepted' or diag $reply->{content};
	return $reply->{json}{echo};
}

subtest 'paths and methods' => sub {
	is_error($gateway->get('/', token => $token), 404, 'not_found', 'root');
	is_error($gateway->get("$pull/", token => $token), 404, 'not_found', 'slash');
	is_error($gateway->get('/api/v2/sync/pull', token => $token),
		404, 'not_found', 'a path of a later version');
	for my $try ([ GET => $push, 'POST, OPTIONS' ],
		[ PUT => $pull, 'GET, HEAD, POST, OPTIONS' ],
		[ DELETE => '/health', 'GET, HEAD, OPTIONS' ])
	{
		my ($method, $path, $allow) = @$try;
		my $reply = $gateway->request($method, $path, token => $token);
		is_error($reply, 405, 'method_not_allowed', "$method $path");
		is $reply->{headers}{allow}, $allow, 'Allow';
	}
	my $head = $gateway->request('HEAD', $pull, token => $token);
	is $head->{status}, 200, 'HEAD';
	is $head->{content} // '', '', 'has no body';
	ok $head->{headers}{'content-length'} > 0, 'but its length';
};

subtest 'health and readiness need no token' => sub {
	my $reply = $gateway->get('/health');
	is $reply->{status}, 200;
	is_deeply $reply->{json}, { status => 'ok' };
	$reply = $gateway->get('/ready');
	is $reply->{status}, 200;
	is_deeply $reply->{json}, { status => 'ready' };
};

subtest 'media types' => sub {
	for my $type ('text/plain', 'application/x-www-form-urlencoded',
		'application/jsonx', 'application/json; charset=latin1')
	{
		is_error($gateway->post($push, token => $token, content => '{}',
			headers => { 'Content-Type' => $type }),
			415, 'unsupported_media_type', $type);
	}
	for my $type ('application/json', 'Application/JSON;charset="UTF-8"',
		'application/json ; charset=utf-8')
	{
		is $gateway->post($push, token => $token, content => '{}',
			headers => { 'Content-Type' => $type })->{status}, 200, $type;
	}
	my $reply = raw_http($gateway->{port},
		"POST $push HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer $token\r\n"
		  . "Content-Length: 2\r\nConnection: close\r\n\r\n{}");
	like $reply, qr{^HTTP/1.1 200 }, 'no type at all';
	is_error($gateway->post($push, token => $token, content => 'x',
		headers => { 'Content-Encoding' => 'br' }),
		415, 'unsupported_media_type', 'an encoded body');
};

subtest 'bodies of a push' => sub {
	is_error($gateway->post($push, token => $token, content => ''),
		400, 'malformed_request', 'empty');
	is_error($gateway->post($push, token => $token, content => '{"changes":'),
		400, 'malformed_request', 'cut off');
	is_error($gateway->post($push, token => $token, content => "{\"a\":\"\xff\"}"),
		400, 'malformed_request', 'not UTF-8');
	is_error($gateway->post($push, token => $token, content => "{\"a\":\"\xed\xa0\x80\"}"),
		400, 'malformed_request', 'a surrogate');
	is_error($gateway->post($push, token => $token, content => "{}\0"),
		400, 'malformed_request', 'NUL');
	is_error($gateway->post($push, token => $token, content => '{"a":"\u0000"}'),
		400, 'malformed_request', 'escaped NUL');
	is_error($gateway->post($push, token => $token,
		content => '[' x 40_000 . ']' x 40_000),
		400, 'malformed_request', 'too deep');
	my $content = '{"n":9007199254740993,"d":1.000000000000000001,"s":"\u00e4ö"}';
	utf8::encode($content) if utf8::is_utf8($content);
	like $gateway->post($push, token => $token, content => $content)->{content},
	  qr/9007199254740993.*/, 'numbers pass exactly';
	my $body = { x => 'y' x 99_000 };
	is $gateway->post($push, token => $token, json => $body)->{status}, 200,
	  'one that is nearly too long';
};

# What a body is refused for, and at which byte, by push and by pull alike.
sub is_refused_at
{
	my ($content, $what, $byte, $name) = @_;
	for my $path ($push, $pull)
	{
		my $reply = $gateway->post($path, token => $token, content => $content);
		is_error($reply, 400, 'malformed_request', "$name: $path");
		like $reply->{json}{error}{message},
		  qr/^the body cannot be read as JSON: .*\Q$what\E.*, at byte $byte$/,
		  "$name: message";
	}
	return;
}

subtest 'JSON that readers take differently, or not at all' => sub {
	is_refused_at('{"changes":', 'ends too early', 12, 'cut off');
	is_refused_at('{"a":1}x', 'follows the end', 8, 'something behind');
	is_refused_at("{\"a\":\"\xff\"}", 'not UTF-8', 7, 'not UTF-8');
	is_refused_at('{"a":"\u0000"}', 'escaped NUL', 7, 'escaped NUL');
	is_refused_at('{"a":"\ud800"}', 'surrogate', 7, 'half a pair');
	is_refused_at('{"since":"a","\u0073ince":"b"}', 'key twice', 14,
		'a key twice');
	is_refused_at('{"a":' . '[' x 512, 'too deeply', 517, '513 levels');
	is_refused_at("{'a':1}", 'key in quotes', 2, 'another language');

	# what is one change's fault is for the database to judge
	for my $odd ('"\u0000"', '"\ud800"', '"\udc00\ud800"', '1e200000')
	{
		my $body = "{\"changes\":{\"a\":[{\"b\":$odd},{\"c\":{\"\\ud800\":1,\"\\ud800\\udc00\":2}}]}}";
		my $reply = $gateway->post($push, token => $token, content => $body);
		is $reply->{status} . ($reply->{json}{error}{message} =~ /cannot be read/ ? ' early' : ''),
		  '400', "in a row of a push: $odd reaches the database";
		is_error($gateway->post($pull, token => $token, content => $body), 400,
			'malformed_request', "but not of a pull: $odd") if $odd =~ /u/;
	}

	my $deep = '{"a":' . '[' x 511 . ']' x 511 . '}';
	is $gateway->post($_, token => $token, content => $deep)->{status}, 200,
	  "512 levels: $_" for $push, $pull;
	my $before = $cluster->sql($database, 'SELECT count(*) FROM tide.pushed');
	is $gateway->post($push, token => $token, content =>
		  '{"a":{"a":[{"a":1},{"a":2}]},"A":"\\\\u0000 \ud83d\ude00","":-1e5}')
	  ->{status}, 200, 'what only looks like it';
	is $cluster->sql($database, 'SELECT count(*) FROM tide.pushed'), $before + 1,
	  'is stored';
	is $gateway->post($pull, token => $token,
		content => '{"since":"\\\\u0000"}')->{json}{echo}{since}, '\\u0000',
	  'an escaped backslash in a pull';
	my %many = map { ("x$_" => 1) } 1 .. 5000;
	is $gateway->post($pull, token => $token, json => \%many)->{status}, 200,
	  'any number of fields that are nobody\'s business';
};

subtest 'a bad body costs no connection' => sub {
	my $alone = TideTest::Gateway->start(
		database_url => 'host=127.0.0.1 port=1',
		settings => { 'max-body-depth' => 4 });
	is_error($alone->post($push, token => $token, content => '{"a":1'),
		400, 'malformed_request', 'a push');
	is_error($alone->post($pull, token => $token, content => '{"a":1'),
		400, 'malformed_request', 'a pull');
	is_error($alone->post($push, token => $token, content => '[[[[[]]]]]'),
		400, 'malformed_request', 'max-body-depth');
	is_error($alone->post($push, token => $token, content => '[[[[]]]]'),
		503, 'try_again', 'a good one waits for the database');
	is $alone->stop, 0;
};

subtest 'too long' => sub {
	my $long = '{"x":"' . 'y' x 200_000 . '"}';
	is_error($gateway->post($push, token => $token, content => $long),
		413, 'too_large', 'by its length');
	my @pieces = ($long) x 3;
	is_error($gateway->post($push, token => $token,
		content => sub { return shift @pieces; }), 413, 'too_large', 'chunked');
	like raw_http($gateway->{port},
		"POST $push HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer $token\r\n"
		  . "Content-Length: 100001\r\n\r\n", until => qr/\}\}/),
	  qr{^HTTP/1.1 413 .*too_large}s, 'said before the body is sent';
	like raw_http($gateway->{port},
		"POST $push HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer $token\r\n"
		  . "Expect: 100-continue\r\nContent-Length: 100001\r\n\r\n",
		until => qr/\}\}/),
	  qr{^HTTP/1.1 413 }, 'in place of 100 Continue';
	my $huge = 'z' x 8_000_000;
	is_error($gateway->post($push, token => $token, content => $huge),
		413, 'too_large', 'a client that sends it all reads the reply');
	is_error($gateway->post($push, content => $huge),
		401, 'unauthorized', 'nothing is read from strangers');
};

subtest 'parameters of a pull' => sub {
	my $echo = echo($gateway->get($pull, token => $token));
	is $echo->{$_}, undef, "no $_"
	  for qw(since scopes entityTypes pullClientId);
	is $echo->{clientId}, '', 'no client id set';
	is $echo->{maxRows}, 100, 'default limit';
	is $echo->{times}, 'iso', 'default times';
	is $echo->{maxTimeRows}, 66, 'limit of rows since a time';
	is $echo->{isolation}, 'repeatable read', 'isolation';
	is $echo->{readOnly}, 'on', 'read only';

	$echo = echo($gateway->get("$pull?since=a%2Bb&limit=7&entityTypes=A,B&entityTypes="
		  . 'C&scope=x,%22y%22&athleteId=z%5C&userId=&clientId=phone&times=ms&other=1',
		token => $token));
	is $echo->{since}, 'a+b', 'since as it is';
	is $echo->{maxRows}, 7, 'limit';
	is_deeply $echo->{entityTypes}, [qw(A B C)], 'entity types';
	is_deeply $echo->{scopes}, [ 'x,"y"', 'z\\', '' ], 'scopes, unsplit';
	is $echo->{clientId}, 'phone', 'client id';
	is $echo->{pullClientId}, 'phone', 'client id of the pull';
	is $echo->{times}, 'ms', 'times';

	is echo($gateway->get("$pull?limit=501", token => $token))->{maxRows}, 500,
	  'limit is lowered';
	is_error($gateway->get("$pull?limit=$_", token => $token), 400,
		'malformed_request', "limit=$_")
	  for '0', '-1', 'x', '1.5', '99999999999999999999', '1x', '%201';
	is_error($gateway->get("$pull?wait=$_", token => $token), 400,
		'malformed_request', "wait=$_")
	  for 'x', '-1', 'nan', 'inf', '0x1';
	is_error($gateway->get("$pull?times=s", token => $token), 400,
		'malformed_request', 'times=s');
	is_error($gateway->get("$pull?since=%00", token => $token), 400,
		'malformed_request', 'NUL in a parameter');
	is_error($gateway->get("$pull?since=%ff", token => $token), 400,
		'malformed_request', 'not UTF-8 in a parameter');
	is_deeply [ @{ echo($gateway->get("$pull?since=&entityTypes=&limit=&wait=&clientId=",
		token => $token)) }{qw(since entityTypes maxRows)} ],
	  [ undef, undef, 100 ], 'empty ones count as absent';
};

subtest 'types to be refreshed' => sub {
	is_deeply echo($gateway->get("$pull?refresh=A,B&refresh=C", token => $token))->{refresh},
	  [qw(A B C)], 'in the query';
	is_deeply echo($gateway->post($pull, token => $token, json => $_->[0]))->{refresh}, $_->[1],
	  'in the body' for [ { refresh => [ 'A,1', 'B' ] }, [ 'A,1', 'B' ] ], [ { refresh => 'A,B' }, [qw(A B)] ],
	  [ { refresh => undef }, undef ], [ {}, undef ];
	is echo($gateway->get("$pull?refresh=", token => $token))->{refresh}, undef, 'empty: none';
	is_error($gateway->post($pull, token => $token, json => { refresh => [ {} ] }), 400,
		'malformed_request', 'of the wrong type');
};

subtest 'parameters of a pull as a body' => sub {
	my $echo = echo($gateway->post($pull, token => $token, json => {
		since => 1700000000123, limit => 5, entityTypes => [ 'A,1', 'B' ],
		scope => [ 'x', 'y,z' ], userId => 42, clientId => 'phone',
		times => 'ms', wait => 0, other => [ {} ] }));
	is $echo->{since}, '1700000000123', 'a number as since';
	is $echo->{maxRows}, 5, 'limit';
	is_deeply $echo->{entityTypes}, [ 'A,1', 'B' ], 'entity types as an array';
	is_deeply [ sort @{ $echo->{scopes} } ], [ '42', 'x', 'y,z' ], 'scopes';
	is $echo->{pullClientId}, 'phone', 'client id';
	is_deeply echo($gateway->post($pull, token => $token,
		json => { entityTypes => 'A,B', since => undef }))->{entityTypes},
	  [qw(A B)], 'entity types as a list';
	echo($gateway->post($pull, token => $token, content => ''));

	is_error($gateway->post($pull, token => $token, content => $_), 400,
		'malformed_request', $_)
	  for '[]', '{', '{}x', '"a"', '{"since":{}}', '{"since":true}',
	  '{"limit":"x"}', '{"limit":1.5}', '{"scope":[["a"]]}', '{"scope":[null]}',
	  '{"since":"a\u0000b"}', '{"since":"a","since":"b"}', '{"since":1e300}',
	  '{"entityTypes":[1,{}]}';
};

subtest 'the identity' => sub {
	my $echo = echo($gateway->push_changes($token, { changes => [] }));
	is $echo->{role}, 'tide_user', 'default role';
	is TideTest::decode_json($echo->{claims})->{sub}, 'u1', 'claims';
	is $echo->{maxPushChanges}, 77, 'limit of changes';
	is $echo->{isolation}, 'read committed', 'isolation of a push';
	is $echo->{readOnly}, 'off', 'a push may write';
	is echo($gateway->post("$push?clientId=tablet&times=ms", token => $token,
		json => {}))->{$_->[0]}, $_->[1], "$_->[0] of a push"
	  for [ 'clientId', 'tablet' ], [ 'times', 'ms' ];
	is_deeply [ @{ echo($gateway->get('/api/v1/sync/keys?entityTypes=a,b&athleteId=x',
		token => $token)) }{qw(scopes types)} ], [ ['x'], [ 'a', 'b' ] ], 'keys: scopes and types';
	is_deeply echo($gateway->get('/api/v1/sync/keys?bucket=1,5&bucket=7', token => $token))->{buckets},
	  [ 1, 5, 7 ], 'and buckets';
	is_deeply [ @{ echo($gateway->get('/api/v1/sync/digest?since=c&entityTypes=a,b&athleteId=x&times=ms',
		token => $token)) }{qw(since scopes types times readOnly isolation)} ],
	  [ 'c', ['x'], [ 'a', 'b' ], 'ms', 'on', 'repeatable read' ], 'a digest';
	is_deeply [ @{ echo($gateway->post('/api/v1/sync/rows?athleteId=x&times=ms', token => $token,
		json => { keys => { a => [1] } })) }{qw(body scopes times maxRows readOnly)} ],
	  [ { keys => { a => [1] } }, ['x'], 'ms', 500, 'on' ], 'rows';
	is echo($gateway->get('/api/v1/sync/schema', token => $token))->{role},
	  'tide_user', 'schema';
};

subtest 'errors of the server' => sub {
	my @table = (
		[ 'TD001', 400, 'malformed_request', 1 ],
		[ 'TD002', 400, 'malformed_cursor', 1 ],
		[ 'TD003', 400, 'unknown_entity_type', 1 ],
		[ 'TD004', 400, 'use_cursor', 1 ],
		[ 'TD005', 403, 'scope_not_allowed', 1 ],
		[ 'TD006', 403, 'no_claims', 1 ],
		[ 'TD007', 410, 'resync_required', 1 ],
		[ 'TD008', 413, 'too_many_changes', 1 ],
		[ 'TD009', 409, 'ambiguous_entity_type', 1 ],
		[ 'TD010', 409, 'batch_id_reused', 1 ],
		[ 'TD011', 400, 'too_many_scopes', 1 ],
		[ 'TD012', 503, 'try_again', 0 ],
		[ 'TD014', 400, 'incomplete_cursor', 1 ],
		[ 'TD021', 400, 'missing_key', 1 ],
		[ 'TD022', 400, 'bad_time', 1 ],
		[ '0A000', 400, 'not_supported', 1 ],
		[ '22P02', 400, 'invalid_value', 1 ],
		[ '21000', 400, 'invalid_value', 1 ],
		[ '23505', 400, 'constraint_violation', 0 ],
		[ '42501', 403, 'not_allowed', 0 ],
		[ '53200', 503, 'try_again', 0 ],
		[ '55P03', 503, 'try_again', 0 ],
		[ '55000', 500, 'internal_error', 0 ],
		[ '57014', 503, 'try_again', 0 ],
		[ '58030', 503, 'try_again', 0 ],
		[ '08006', 503, 'try_again', 0 ],
		[ '42P01', 500, 'internal_error', 0 ],
		[ 'XX000', 500, 'internal_error', 0 ],
		[ 'P0001', 500, 'internal_error', 0 ]);
	for my $row (@table)
	{
		my ($sqlstate, $status, $code, $passes) = @$row;
		my $reply = $gateway->pull($token,
			since => "raise:$sqlstate:the secret text:the hint");
		is_error($reply, $status, $code, "SQLSTATE $sqlstate");
		if ($passes)
		{
			is $reply->{json}{error}{message}, 'the secret text', 'its message';
			is $reply->{json}{error}{hint}, 'the hint', 'its hint';
		}
		else
		{
			unlike $reply->{content}, qr/secret|the hint/, 'keeps its message';
		}
		is !!$reply->{headers}{'retry-after'}, $status == 503, 'Retry-After';
	}
	is_error($gateway->push_changes($token, { do => 'raise:22P02:no' }), 400,
		'malformed_request', 'a value in a body that cannot be read');
	my $reply = $gateway->pull($token, since => 'raise:TD001:' . "\x{e4}" x 600);
	is_error($reply, 400, 'malformed_request', 'a long message');
	# a database without the extension says so at a place of the text, see gateway_database.t
	is_error($gateway->pull($token, since => 'raise:3F000:tide.x'), 500,
		'internal_error', 'what a function lacks is not the extension');
};

subtest 'cross-origin calls' => sub {
	my $preflight = $gateway->request('OPTIONS', $push, headers => {
		Origin => 'https://app.example',
		'Access-Control-Request-Method' => 'POST',
		'Access-Control-Request-Headers' => 'authorization, content-type, content-encoding' });
	is $preflight->{status}, 204, 'preflight';
	my $headers = $preflight->{headers};
	is $headers->{'access-control-allow-origin'}, 'https://app.example';
	like $headers->{'access-control-allow-methods'}, qr/POST/;
	is $headers->{'access-control-allow-headers'}, 'authorization, content-type, content-encoding, if-none-match';
	is $headers->{vary}, 'Origin';
	ok !exists $headers->{'access-control-allow-credentials'}, 'no credentials';

	for my $try (
		[ 'a reply', 200, $gateway->get($pull, token => $token,
			headers => { Origin => 'http://localhost:5173' }) ],
		[ 'an error', 401, $gateway->get($pull,
			headers => { Origin => 'http://localhost:5173' }) ],
		[ 'no such path', 404, $gateway->get('/x',
			headers => { Origin => 'http://localhost:5173' }) ],
		[ 'too long', 413, $gateway->post($push, token => $token,
			content => 'x' x 200_000,
			headers => { Origin => 'http://localhost:5173' }) ])
	{
		my ($name, $status, $reply) = @$try;
		is $reply->{status}, $status, $name;
		is $reply->{headers}{'access-control-allow-origin'},
		  'http://localhost:5173', "$name: allowed";
		is $reply->{headers}{vary}, 'Origin', "$name: Vary";
	}
	for my $origin ('https://evil.example', 'null', 'https://app.example.evil')
	{
		my $reply = $gateway->get($pull, token => $token,
			headers => { Origin => $origin });
		ok !exists $reply->{headers}{'access-control-allow-origin'},
		  "not for $origin";
		is $reply->{headers}{vary}, 'Origin', 'Vary all the same';
	}
	is $gateway->request('OPTIONS', '/nothing')->{status}, 404,
	  'no preflight for what is not there';
};

subtest 'the log tells no secrets' => sub {
	$gateway->get("$pull?since=private-cursor", token => $token);
	$gateway->post($push, token => $token, json => { name => 'private-row' });
	wait_for('the log has the requests', 10,
		sub { return $gateway->log =~ /path=\Q$push\E status=200.* user=u1/; });
	my $log = $gateway->log;
	unlike $log, qr/\Q$token\E/, 'no token';
	unlike $log, qr/private/, 'no row, no query';
	like $log, qr/level=info event=request id=\S+ method=GET path=\Q$pull\E status=200 ms=[\d.]+ user=u1/,
	  'a line per request';
};

# Seen failing without restore_plus(), and without the bound of MOST_ACKS.
subtest 'acks, now, a plus, scopes' => sub {
	my $token = $gateway->token('u1');
	my $echo = sub { return $gateway->get('/api/v1/sync/pull?' . $_[0], token => $token)->{json}{echo}; };
	is_deeply $echo->('ack=a1,b2&ack=c3')->{acks}, [qw(a1 b2 c3)], 'acks';
	is $echo->('')->{acks}, undef, 'none';
	is_deeply $gateway->post('/api/v1/sync/pull', token => $token, json => { ack => [qw(a b)] })->{json}{echo}{acks},
	  [qw(a b)], 'in a body';
	is $gateway->get('/api/v1/sync/pull?ack=' . join(',', 1 .. 32), token => $token)->{status}, 200, 'as many as are taken';
	my $reply = $gateway->get('/api/v1/sync/pull?ack=' . join(',', 1 .. 33), token => $token);
	is "$reply->{status} $reply->{json}{error}{code}", '400 malformed_request', 'one too many';
	is $echo->('since=now')->{since}, 'now', 'now is passed on';
	is $echo->('since=2026-01-31T10:00:00+02:00')->{since}, '2026-01-31T10:00:00+02:00', 'a plus that was not escaped';
	is $echo->('since=2026-01-31%2010:00:00+02')->{since}, '2026-01-31 10:00:00+02', 'beside a space that was meant';
	is $echo->('')->{maxBytes}, 8388608, 'max-pull-bytes by default';
	my $other = TideTest::Gateway->start(cluster => $cluster, database => $database,
		settings => { 'max-pull-bytes' => 5000 })->wait_until_ready;
	is $other->pull($token)->{json}{echo}{maxBytes}, 5000, 'and as it is set';
	is $other->stop, 0;
	$reply = $gateway->get('/api/v1/sync/scopes', token => $token);
	is $reply->{status}, 200, 'scopes';
	is $reply->{json}{scopes}[0], 'a', 'as the database gives them';
	like $reply->{json}{scopes}[1], qr/"sub": ?"u1"/, 'to the user of the token';
};

# Seen failing with all replies packed, and with a q of 0 taken for a wish.
subtest 'gzip' => sub {
	require IO::Uncompress::Gunzip;
	my $token = $gateway->token('u1');
	my $ask = sub {
		my ($since, $accept) = @_;
		return $gateway->get("/api/v1/sync/pull?since=$since", token => $token,
			headers => { 'Accept-Encoding' => $accept });
	};
	my $plain = $ask->('big:20000', undef);
	is $plain->{headers}{'content-encoding'}, undef, 'not asked for';
	for my $accept ('gzip', 'br, gzip', 'deflate;q=0.5,gzip;q=0.8', 'GZIP')
	{
		my $reply = $ask->('big:20000', $accept);
		is $reply->{headers}{'content-encoding'}, 'gzip', "asked for: $accept";
		IO::Uncompress::Gunzip::gunzip(\$reply->{content}, \my $text);
		is $text, $plain->{content}, 'the same';
		cmp_ok length $reply->{content}, '<', 2000, 'and shorter';
	}
	is $ask->('big:20000', $_)->{headers}{'content-encoding'}, undef, "not asked for: $_"
	  for 'br', 'gzip;q=0', 'gzip;q=0.0', 'xgzip', 'gzipx', '';
	is $ask->('big:100', 'gzip')->{headers}{'content-encoding'}, undef, 'not worth it';
	my $vary = $plain->{headers}{vary};
	like join(',', ref $vary ? @$vary : $vary), qr/Accept-Encoding/, 'caches know';
};

# Seen failing without the bound of gzip_unpack(), and without the look at
# gzip_state() in check_body().
subtest 'bodies as gzip' => sub {
	require IO::Compress::Gzip;
	my $token = $gateway->token('u1');
	my $pack = sub { IO::Compress::Gzip::gzip(\$_[0], \my $packed); return $packed; };
	my $send = sub {
		my ($content, $path) = @_;
		return $gateway->post($path // '/api/v1/sync/push', token => $token, content => $content,
			headers => { 'Content-Encoding' => 'gzip' });
	};
	my $text = encode_json({ n => 'packed', list => [ map { "item $_" } 1 .. 5_000 ] });
	my $reply = $send->($pack->($text));
	is $reply->{status}, 200, 'a push';
	is_deeply $reply->{json}{body}, decode_json($text), 'as it was';
	is $send->($pack->('{"since": "x"}'), '/api/v1/sync/pull')->{json}{echo}{since}, 'x', 'a pull';
	my $whole = $pack->($text);
	for my $bad (['no gzip', $text], ['half of it', substr $whole, 0, length($whole) / 2],
		['all but the end of its checksum', substr $whole, 0, -5], ['all but its last byte', substr $whole, 0, -1],
		['something behind it', $whole . 'x'], ['two of them', $whole . $whole], ['nothing', ''],
		['a byte changed', substr($whole, 0, 500) . chr(ord(substr $whole, 500, 1) ^ 1) . substr $whole, 501])
	{
		my $refused = $send->($bad->[1]);
		is "$refused->{status} " . ($refused->{json}{error}{code} // ''), '400 malformed_request', $bad->[0];
	}
	my $bomb = $pack->('{"x": "' . 'y' x 60_000_000 . '"}');
	cmp_ok length $bomb, '<', 100_000, 'a small body';
	$reply = $send->($bomb);
	is "$reply->{status} $reply->{json}{error}{code}", '413 too_large', 'that would be too large';

	# blocks of nothing, and then {}
	my @pieces = ("\x1f\x8b\x08\0\0\0\0\0\0\xff", ("\0\0\0\xff\xff" x 13_000) x 300,
		"\x01\x02\0\xfd\xff{}" . pack 'VV', Compress::Raw::Zlib::crc32('{}'), 2);
	$reply = $send->(sub { return shift @pieces; });
	is "$reply->{status} $reply->{json}{error}{code}", '413 too_large', 'a large body of nearly nothing';
	is $gateway->push_changes($token, {})->{status}, 200, 'the next is served';
	is $gateway->post('/api/v1/sync/push', token => $token, content => '{}',
		headers => { 'Content-Encoding' => 'br' })->{status}, 415, 'other encodings are refused';
};

is $gateway->stop, 0, 'stops with status 0';
done_testing;
