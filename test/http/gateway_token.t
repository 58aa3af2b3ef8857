# Bearer tokens, signed with a secret: who is let in, and as which role.  Seen
# to fail: see test/mutation/tokens.mutations.
use strict;
use warnings;

use Digest::SHA qw(hmac_sha256 hmac_sha384);
use FindBin ();
use lib "$FindBin::Bin/../lib";
use MIME::Base64 qw(encode_base64url);
use Test::More;
use Time::HiRes ();
use TideTest qw(encode_json decode_json);

my $cluster = TideTest::Cluster->shared;
my $database = $cluster->create_fake;
$cluster->sql($database, <<'SQL');
DO $$
BEGIN
	IF to_regrole('tide_test_coach') IS NULL THEN
		CREATE ROLE tide_test_coach NOLOGIN;
		GRANT tide_test_coach TO tide_gateway;
	END IF;
	IF to_regrole('tide_test_stranger') IS NULL THEN
		CREATE ROLE tide_test_stranger NOLOGIN;
	END IF;
END $$;
SQL
my $gateway = TideTest::Gateway->start(cluster => $cluster,
	database => $database)->wait_until_ready;
my $secret = TideTest::Gateway::secret();
my $now = time;

# A token of these parts, signed as told.
sub forge
{
	my ($header, $claims, $key, $hash) = @_;
	my $text = join '.', map { encode_base64url(ref $_ ? encode_json($_) : $_) }
	  ($header, $claims);
	$hash //= \&hmac_sha256;
	return "$text." . encode_base64url($hash->($text, $key // $secret));
}

sub good
{
	my (%claims) = @_;
	return forge({ alg => 'HS256' }, { sub => 'u1', exp => $now + 600, %claims });
}

sub status
{
	my ($token) = @_;
	return $gateway->get('/api/v1/sync/pull', token => $token)->{status};
}

# Claims as text, valid but for what they are.
sub raw_claims
{
	my ($text) = @_;
	return forge({ alg => 'HS256' }, '{"exp":' . ($now + 600) . ",$text}");
}

sub is_refused
{
	my ($token, $name, $message) = @_;
	my $reply = $gateway->get('/api/v1/sync/pull', token => $token);
	is $reply->{status}, 401, $name or diag $reply->{content};
	like $reply->{json}{error}{message}, $message, "$name: why" if $message;
	return;
}

subtest 'refused' => sub {
	for my $path ('/api/v1/sync/pull', '/api/v1/sync/schema')
	{
		my $reply = $gateway->get($path);
		is $reply->{status}, 401, "no token for $path";
		is $reply->{headers}{'www-authenticate'}, 'Bearer';
		is $reply->{json}{error}{code}, 'unauthorized';
	}
	is $gateway->post('/api/v1/sync/push', json => {})->{status}, 401, 'push';
	is $gateway->get('/api/v1/sync/pull',
		headers => { Authorization => $_ })->{status}, 401, "\"$_\""
	  for 'Bearer', 'Bearer ', 'Basic dTE6eA==', good(), 'Bearer x.y.z',
	  'Bearer ..', 'Bearer .', 'Bearer ' . 'x' x 20_000, 'Bearer ' . good() . '.x';

	my %claims = (sub => 'u1', exp => $now + 600);
	my $not_ours = qr/not signed with a key of ours/;
	is_refused(forge({ alg => $_ }, \%claims), "alg $_", $not_ours)
	  for 'none', 'NONE', 'HS384', 'RS256', 'ES256', 'hs256', '', 7, ['HS256'];
	is_refused(forge({ alg => 'HS384' }, \%claims, $secret, \&hmac_sha384),
		'another algorithm, rightly signed', $not_ours);
	is_refused(forge({}, \%claims), 'no alg', $not_ours);
	is_refused(forge({ alg => 'HS256', @$_ }, \%claims), "header with $_->[0]",
		qr/header has a member that is not accepted/)
	  for [ crit => ['exp'] ], [ jku => 'https://evil.example/keys' ],
	  [ x5u => 'https://evil.example/cert' ], [ x5c => ['MIIB'] ],
	  [ jwk => { kty => 'oct', k => encode_base64url($secret) } ], [ b64 => 0 ];
	is_refused(forge({ alg => 'HS256', typ => $_ }, \%claims), "typ $_",
		qr/has another type/) for 'logout+jwt', 'JOSE', '', 7;
	is_refused(forge({ alg => 'HS256', kid => 7 }, \%claims), 'kid is a number',
		qr/kid is not text/);
	is_refused(forge($_, \%claims), "header $_", qr/header is malformed/)
	  for '{"alg":"none","alg":"HS256"}', '{"alg":"HS256","\\u0061lg":"HS256"}', '[]', '',
	  '{"alg":"HS256"', '{"alg":"HS256"}{}', '{"alg":"HS256","x":"\\u0000"}',
	  "{\"alg\":\"HS256\",\"x\":\"\xff\"}", '{"alg":"HS256","x":{"y":1,"y":2}}',
	  '{"alg":"HS256","x":' . '[' x 40 . ']' x 40 . '}';
	is_refused(encode_base64url('{"alg":"none"}') . '.'
		  . encode_base64url(encode_json(\%claims)) . '.', 'alg none, unsigned', $not_ours);

	is_refused(forge({ alg => 'HS256' }, \%claims, 'x' x 40), 'another key',
		qr/signature is wrong/);
	my $token = good();
	(my $other = $token) =~ s/(.)$/$1 eq 'A' ? 'E' : 'A'/e;
	is_refused($other, 'signature changed', qr/signature is wrong/);
	is_refused(substr($token, 0, -$_), "signature shorter by $_") for 1 .. 4, 20, 42, 43;
	is_refused("$token$_", 'signature longer') for 'A', 'AAAA', 'A' x 4000;
	# 43 characters are 258 bits: the last two must be 0
	my @alphabet = ('A' .. 'Z', 'a' .. 'z', 0 .. 9, '-', '_');
	my ($last) = grep { $alphabet[$_] eq substr $token, -1 } 0 .. 63;
	is_refused(substr($token, 0, -1) . $alphabet[$last + $_],
		"another spelling of the signature, $_", qr/malformed/) for 1 .. 3;
	is_refused("$token$_", 'followed by ' . encode_json($_), qr/malformed/)
	  for '=', '==', '.', '.x', ',x', '+', '/', '%20';
	my ($header, $payload, $signature) = split /\./, $token;
	is_refused("$header.$payload= .$signature", 'blank', qr/malformed/);
	is_refused("$header." . encode_base64url(encode_json({ %claims, sub => 'u2' }))
		  . ".$signature", 'claims changed', qr/signature is wrong/);
	is_refused("$header..$signature", 'claims taken out', qr/signature is wrong/);
	is_refused("$payload.$header.$signature", 'parts swapped');
	is_refused(good(x => 'x' x 13_000), 'too long', qr/too long/);

	is_refused(good(exp => $now - 31), 'expired', qr/has expired/);
	is_refused(raw_claims("\"exp\":$now"), 'exp twice', qr/malformed/);
	is_refused(forge({ alg => 'HS256' }, { sub => 'u1' }), 'no exp', qr/has no exp/);
	for my $date (qw(exp nbf iat))
	{
		is_refused(good($date => $_), "$date is no number", qr/not a number/)
		  for "$now", undef, [$now], {};
	}
	is_refused(forge({ alg => 'HS256' }, '{"sub":"u1","exp":1e999}'),
		'exp is infinite', qr/not a number/);
	is_refused(good(nbf => $now + 60), 'not valid yet', qr/not valid yet/);
	is_refused(good(iat => $now + 60), 'from the future', qr/from the future/);
	is_refused($gateway->token('u1', ttl => -60), 'expired, from our own command',
		qr/has expired/);
	is_refused(raw_claims($_), "claims $_", qr/has no sub/)
	  for '"sub":""', '"sub":null', '"sub":7', '"sub":["u1"]', '"Sub":"u1"', '"x":1';
	is_refused(raw_claims("\"sub\":\"u1\",$_"), "claims $_", qr/role is not a name/)
	  for '"role":7', '"role":""', '"role":null';
	is_refused(raw_claims($_), 'claims that readers take differently', qr/malformed/)
	  for '"sub":"u1","sub":"u2"', '"sub":"u1","\\u0073ub":"u2"', '"sub":"u1\\u0000"',
	  '"sub":"\\ud800"', "\"sub\":\"u1\xff\"", "\"sub\":\"u1\"},{\"x\":1",
	  '"sub":"u1","role":"tide_user","role":"none"', '"sub":"u1","app":{"x":1,"x":2}';
	is_refused(forge({ alg => 'HS256' }, $_), "claims $_", qr/malformed/)
	  for '"u1"', '[]', 'null', '', '{"sub":"u1"', '{"sub":"u1"}x', "{\"sub\":\"u1\"}\0";
};

subtest 'let in' => sub {
	is status(good()), 200, 'a plain token';
	is status(forge({ alg => 'HS256', typ => $_ }, { sub => 'u1', exp => $now + 600 })), 200, "typ $_"
	  for 'JWT', 'jwt', 'at+jwt', 'application/at+jwt';
	is status(forge({ alg => 'HS256', kid => 'x', x5t => 'y', foo => 1 },
		{ sub => 'u1', exp => $now + 600 })), 200, 'members of a header that say nothing to us';
	is status(good(exp => $now + 600.5)), 200, 'with a fraction';
	is status(good(iat => $now + 5)), 200, 'iat, within the leeway';
	is status(good(x => 'x' x 12_000)), 200, 'long';
	is status(good(exp => $now + 60)), 200, 'not expired';
	is status(good(exp => $now - 5)), 200, 'expired, within the leeway';
	is status(good(nbf => $now + 5)), 200, 'nbf, within the leeway';
	is status($gateway->token('u1')), 200, 'from our own command';
	is $gateway->get('/api/v1/sync/pull',
		headers => { Authorization => 'bearer   ' . good() })->{status},
	  200, 'the scheme in lower case';
	is $gateway->get('/health', token => 'rubbish')->{status}, 200,
	  'health does not look at tokens';
};

subtest 'claims pass as they are' => sub {
	my $text = '{"sub":"ü\"\\\\1", "big":12345678901234567890.10,"app":{"a":[1]},"exp":'
	  . ($now + 600) . '}';
	my $reply = $gateway->get('/api/v1/sync/pull',
		token => forge({ alg => 'HS256' }, $text));
	is $reply->{status}, 200;
	my $claims = $reply->{json}{echo}{claims};
	utf8::encode($claims);
	is $claims, $text;
};

subtest 'roles' => sub {
	my $echo = sub {
		return $gateway->get('/api/v1/sync/pull', token => good(@_))
		  ->{json}{echo}{role};
	};
	is $echo->(), 'tide_user', 'default';
	is $echo->(role => 'tide_test_coach'), 'tide_test_coach', 'named';
	is $echo->(), 'tide_user', 'nothing stays';
	for my $role ('none', 'tide_test_stranger', 'no such role', 'postgres', 'x' x 100,
		'tide_user"; DROP TABLE x; --', 'NONE')
	{
		my $reply = $gateway->get('/api/v1/sync/pull', token => good(role => $role));
		is $reply->{status}, 403, "role $role";
		is $reply->{json}{error}{code}, 'not_allowed';
		unlike $reply->{content}, qr/stranger|postgres/, 'is not repeated';
	}
	is $echo->(), 'tide_user', 'and connections are as before';
};

# The refusal comes while the client still sends.
subtest 'refused before the body' => sub {
	my $before = $gateway->log;
	for my $token ('x.y.z', good(exp => $now - 60))
	{
		my $started = Time::HiRes::time();
		my $reply = TideTest::raw_http($gateway->{port},
			"POST /api/v1/sync/push HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
			  . "Authorization: Bearer $token\r\nContent-Length: 10000000\r\n\r\n{\"changes\": {",
			until => qr/unauthorized/, quiet => 20);
		like $reply, qr{^HTTP/1.1 401 }, 'although ten megabytes were announced';
		cmp_ok Time::HiRes::time() - $started, '<', 5, 'at once';
	}
	my $log = substr $gateway->log, length $before;
	unlike $log, qr/received=[1-9]\d{3}/, 'nothing was kept';
};

subtest 'users' => sub {
	for my $user ("u'1", 'a"b', '\\', "x\ny", ' ', "\x{1F600}", 'x' x 3000)
	{
		my $bytes = $user;
		utf8::encode($bytes);
		my $reply = $gateway->get('/api/v1/sync/pull', token => good(sub => $user));
		is $reply->{status}, 200, "user of length @{[ length $bytes ]}";
		is decode_json($bytes = do { my $c = $reply->{json}{echo}{claims};
				utf8::encode($c); $c })->{sub}, $user, 'arrives';
	}
	unlike $gateway->log, qr/^y"/m, 'a user cannot forge a line of the log';
};

is $gateway->stop, 0, 'stops with status 0';
$cluster->sql($database, 'REVOKE tide_test_coach FROM tide_gateway; '
	  . 'DROP ROLE tide_test_coach; DROP ROLE tide_test_stranger;');
done_testing;
