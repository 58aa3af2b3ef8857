# Bearer tokens: who is let in, and as which role.
use strict;
use warnings;

use Digest::SHA qw(hmac_sha256 hmac_sha384);
use FindBin ();
use lib "$FindBin::Bin/../lib";
use MIME::Base64 qw(encode_base64url);
use Test::More;
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
	return forge({ alg => 'HS256' }, { sub => 'u1', %claims });
}

sub status
{
	my ($token) = @_;
	return $gateway->get('/api/v1/sync/pull', token => $token)->{status};
}

sub is_refused
{
	my ($token, $name) = @_;
	my $reply = $gateway->get('/api/v1/sync/pull', token => $token);
	is $reply->{status}, 401, $name or diag $reply->{content};
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

	is_refused(forge({ alg => $_ }, { sub => 'u1' }), "alg $_")
	  for 'none', 'NONE', 'HS384', 'RS256', 'hs256', '';
	is_refused(forge({ alg => 'HS384' }, { sub => 'u1' }, $secret, \&hmac_sha384),
		'another algorithm, rightly signed');
	is_refused(forge({}, { sub => 'u1' }), 'no alg');
	is_refused(forge({ alg => 'HS256', crit => ['x'] }, { sub => 'u1' }), 'crit');
	is_refused(forge('{"alg":"none","alg":"HS256"}', { sub => 'u1' }), 'alg twice');
	is_refused(forge('[]', { sub => 'u1' }), 'header is no object');
	is_refused(encode_base64url('{"alg":"none"}') . '.'
		  . encode_base64url('{"sub":"u1"}') . '.', 'alg none, unsigned');

	is_refused(forge({ alg => 'HS256' }, { sub => 'u1' }, 'x' x 40), 'another key');
	my $token = good();
	(my $other = $token) =~ s/(.)$/$1 eq 'A' ? 'B' : 'A'/e;
	is_refused($other, 'signature changed');
	is_refused(substr($token, 0, -1), 'signature cut');
	is_refused("$token=", 'padding');
	my ($header, undef, $signature) = split /\./, $token;
	is_refused("$header." . encode_base64url('{"sub":"u2"}') . ".$signature",
		'claims changed');
	is_refused("$header..$signature", 'claims taken out');

	is_refused(good(exp => $now - 31), 'expired');
	is_refused(good(exp => "$now"), 'exp is no number');
	is_refused(good(exp => undef), 'exp is null');
	is_refused(good(nbf => $now + 60), 'not valid yet');
	is_refused($gateway->token('u1', ttl => -60), 'expired, from our own command');
	is_refused(forge({ alg => 'HS256' }, $_), "claims $_")
	  for '{}', '{"sub":""}', '{"sub":null}', '{"sub":7}', '{"sub":["u1"]}',
	  '{"Sub":"u1"}', '"u1"', '[]', 'null', '', '{"sub":"u1"', '{"sub":"u1"}x',
	  '{"sub":"u1","sub":"u2"}', '{"sub":"u1\u0000"}', "{\"sub\":\"u1\xff\"}",
	  "{\"sub\":\"u1\"}\0", '{"sub":"u1","role":7}', '{"sub":"u1","role":""}',
	  '{"sub":"u1","role":"tide_user","role":"none"}';
};

subtest 'let in' => sub {
	is status(good()), 200, 'without exp';
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
	my $text = '{"sub":"ü\"\\\\1", "big":12345678901234567890.10,"app":{"a":[1]}}';
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
