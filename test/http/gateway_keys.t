# Keys of tokens: PEM files and JSON Web Key Sets, which keys are taken, how
# they are changed, and that the key decides the algorithm.  Seen to fail: see
# test/mutation/tokens.mutations.
use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";
use MIME::Base64 qw(decode_base64 encode_base64url);
use Test::More;
use TideTest qw(decode_json encode_json wait_for);
use TideToken;

my $cluster = TideTest::Cluster->shared;
my $database = $cluster->create_fake;
my $now = time;

my $rsa = TideToken::rsa_key(2048);
my $other_rsa = TideToken::rsa_key(2048);
my $weak = TideToken::rsa_key(1024);
my $ec = TideToken::ec_key();
my $other_ec = TideToken::ec_key();
my $p384 = TideToken::ec_key('P-384');
my $secret = TideToken::secret_key(TideTest::Gateway::secret());
my $other_secret = TideToken::secret_key('x' x 32);
my %algorithm = (RSA => 'RS256', EC => 'ES256', oct => 'HS256');

sub start_with
{
	my (%settings) = @_;
	return TideTest::Gateway->start(cluster => $cluster, database => $database,
		settings => { 'jwt-secret-file' => undef, %settings })->wait_until_ready;
}

# A token that is good but for its key and what the options say.
sub token_of
{
	my ($key, %option) = @_;
	return TideToken::sign($key,
		{ alg => $algorithm{ $key->{type} }, %{ $option{header} // {} } },
		{ sub => 'u1', exp => $now + 600, %{ $option{claims} // {} } });
}

sub status { my ($gateway, $token) = @_; return $gateway->pull($token)->{status}; }

# How a gateway with these settings ends, at once: its output.
sub refusal
{
	my (%settings) = @_;
	my $file = File::Temp->new;
	my $pid = fork // die "fork: $!";
	if ($pid == 0)
	{
		delete @ENV{ grep { /^TIDE_/ } keys %ENV };
		open STDERR, '>', $file->filename or POSIX::_exit(126);
		open STDOUT, '>&', \*STDERR or POSIX::_exit(126);
		my $program = TideTest::Gateway::program();
		exec { $program } $program, '--listen', '127.0.0.1:0',
		  map { ("--$_", $settings{$_}) } keys %settings or POSIX::_exit(127);
	}
	wait_for('the gateway refuses to start', 20,
		sub { return waitpid($pid, POSIX::WNOHANG()) != 0; });
	is $? >> 8, 2, 'ends with status 2';
	open my $handle, '<', $file->filename or die $!;
	local $/;
	return scalar <$handle>;
}

# Everybody who has a public key can compute an HMAC with it.
sub confusions
{
	my ($key) = @_;
	my $base64 = encode_base64url($key->{public});
	my ($body) = $key->{public} =~ /-----\n(.*)-----END/s;
	return map { TideToken::secret_key($_) } grep { length } $key->{public},
	  $key->{public} =~ s/\n\z//r, $key->{der}, $body, $base64,
	  $key->{type} eq 'RSA' ? decode_base64(TideToken::jwk($key)->{n} =~ tr{-_}{+/}r)
	  : substr($key->{der}, -64);
}

subtest 'PEM' => sub {
	my $pkcs1 = TideToken::openssl($other_rsa->{public}, 'rsa', '-pubin', '-RSAPublicKey_out');
	my $gateway = start_with('jwt-public-key-file' => join ', ',
		TideToken::new_file("a comment\n$rsa->{public}\n$pkcs1"),
		TideToken::new_file($ec->{public}));
	is status($gateway, token_of($rsa)), 200, 'RS256';
	is status($gateway, token_of($other_rsa)), 200, 'the second of the file';
	is status($gateway, token_of($ec)), 200, 'ES256';
	is status($gateway, token_of($ec)), 200, "ES256, again, $_" for 1 .. 3;
	is status($gateway, token_of($rsa, header => { kid => 'any' })), 200,
	  'kid is nothing to keys without one';
	is status($gateway, token_of($_)), 401, "another key, $_->{type}" for $other_ec, $secret;
	is status($gateway, token_of($rsa, header => { alg => 'ES256' })), 401, 'RS256 that says ES256';
	is status($gateway, token_of($ec, header => { alg => 'RS256' })), 401, 'ES256 that says RS256';
	is status($gateway, token_of($rsa, header => { alg => $_ })), 401, "alg $_"
	  for 'HS256', 'none', 'RS384', 'PS256', 'RSA', '';
	my %claims = (sub => 'u1', exp => $now + 600);
	is status($gateway, TideToken::sign($rsa, { alg => $_->[0] }, \%claims, @$_[1 .. $#$_])), 401,
	  "$_->[0], rightly signed"
	  for [ 'RS384', '-sha384' ], [ 'RS512', '-sha512' ],
	  [ 'PS256', '-sha256', '-sigopt', 'rsa_padding_mode:pss', '-sigopt', 'rsa_pss_saltlen:32' ];
	is status($gateway, TideToken::sign($ec, { alg => 'ES384' }, \%claims, '-sha384')), 401, 'ES384 on P-256';
	is status($gateway, token_of($_)), 401, 'a public key as the secret'
	  for map { confusions($_) } $rsa, $ec;

	for my $key ($rsa, $ec)
	{
		my ($head, $payload, $signature) = split /\./, token_of($key);
		my $bytes = decode_base64($signature =~ tr{-_}{+/}r);
		my $try = sub { return status($gateway, "$head.$payload." . encode_base64url($_[0])); };
		is $try->($bytes), 200, "$key->{type}: taken apart and put together";
		is $try->(substr $bytes, 0, length($bytes) - $_), 401, "cut by $_" for 1, 2, 32, length $bytes;
		is $try->("$bytes\0"), 401, 'longer';
		is $try->("\0$bytes"), 401, 'longer in front';
		is $try->("\0" x length $bytes), 401, 'zero';
		is $try->("\xff" x length $bytes), 401, 'all ones';
	}
	my ($head, $payload) = split /\./, token_of($ec);
	is status($gateway, "$head.$payload." . encode_base64url(TideToken::openssl("$head.$payload",
		'dgst', '-sha256', '-sign', $ec->{file}))), 401, 'a signature in DER';
	is $gateway->stop, 0;
};

subtest 'files that are refused' => sub {
	my @table = (
		[ 'jwt-public-key-file', '', qr/has no key in PEM/ ],
		[ 'jwt-public-key-file', 'rubbish', qr/has no key in PEM/ ],
		[ 'jwt-public-key-file', $rsa->{private}, qr/key 1 .*it is a private key/ ],
		[ 'jwt-public-key-file', $rsa->{public} . $weak->{public}, qr/key 2 .*2048 bits/ ],
		[ 'jwt-public-key-file', $p384->{public}, qr/its curve is not P-256/ ],
		[ 'jwt-public-key-file', $rsa->{public} =~ s/-----END.*//sr, qr/key 1 .*it is damaged/ ],
		[ 'jwt-public-key-file', "$rsa->{public}-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
			qr/key 2 .*cannot be decoded/ ],
		[ 'jwt-public-key-file', TideToken::openssl('', 'genpkey', '-algorithm', 'RSA-PSS',
				'-quiet', '-pkeyopt', 'rsa_keygen_bits:2048') =~ /(.*)/s
			? TideToken::openssl($1, 'pkey', '-pubout') : '', qr/neither an RSA nor an EC key/ ],
		[ 'jwt-public-key-file', TideToken::openssl('', 'req', '-x509', '-new', '-key', $rsa->{file},
				'-subj', '/CN=x'), qr/it is a certificate/ ],
		[ 'jwks-file', '', qr/cannot be read as JSON/ ],
		[ 'jwks-file', '{"keys":[]}', qr/no key that can be used; .*the set is empty/ ],
		[ 'jwks-file', '{"keys":{}}', qr/is not a JSON Web Key Set/ ],
		[ 'jwks-file', encode_json(TideToken::jwk($rsa)), qr/is not a JSON Web Key Set/ ],
		[ 'jwks-file', '{"keys":[],"keys":[]}', qr/a key twice/ ],
		[ 'jwks-file', TideToken::jwks((TideToken::jwk($secret)) x 65), qr/too many keys/ ],
		map { [ 'jwks-file', TideToken::jwks($_->[0]), $_->[1] ] }
		[ TideToken::jwk($weak), qr/2048 bits/ ],
		[ TideToken::jwk($weak, n => encode_base64url("\0" x 128
					. decode_base64(TideToken::jwk($weak)->{n} =~ tr{-_}{+/}r))), qr/2048 bits/ ],
		[ TideToken::jwk($rsa, n => encode_base64url("\xff" x 1025)), qr/at most 8192 bits/ ],
		[ TideToken::jwk($rsa, e => 'AQ'), qr/exponent/ ],
		[ TideToken::jwk($rsa, e => 'Ag'), qr/exponent/ ],
		[ TideToken::jwk($rsa, e => ''), qr/missing, or not base64url/ ],
		[ TideToken::jwk($rsa, n => TideToken::jwk($rsa)->{n} . '='), qr/not base64url/ ],
		[ TideToken::jwk($rsa, d => 'AQAB'), qr/it is a private key/ ],
		[ TideToken::jwk($rsa, use => 'enc'), qr/its use is not sig/ ],
		[ TideToken::jwk($rsa, use => 7), qr/its use is not sig/ ],
		[ TideToken::jwk($rsa, key_ops => [ 'sign', 'encrypt' ]), qr/key_ops do not have verify/ ],
		[ TideToken::jwk($rsa, key_ops => 'verify'), qr/key_ops do not have verify/ ],
		[ TideToken::jwk($rsa, alg => $_), qr/its alg is not/ ],
		[ TideToken::jwk($ec, crv => 'P-384'), qr/its crv is not P-256/ ],
		[ TideToken::jwk($ec, alg => 'RS256'), qr/its alg is not/ ],
		[ TideToken::jwk($ec, x => TideToken::jwk($other_ec)->{x}), qr/not on the curve/ ],
		[ TideToken::jwk($ec, x => encode_base64url("\0" x 32), y => encode_base64url("\0" x 32)),
			qr/not on the curve/ ],
		[ TideToken::jwk($ec, y => encode_base64url('y' x 31)), qr/do not have 32 bytes/ ],
		[ TideToken::jwk(TideToken::secret_key('x' x 31)), qr/shorter than the 32 bytes/ ],
		[ TideToken::jwk($secret, alg => 'HS512'), qr/its alg is not/ ],
		[ TideToken::jwk($secret, kty => 'OKP'), qr/its kty is not one of/ ],
		[ TideToken::jwk($secret, kty => undef), qr/it has no kty/ ],
		[ TideToken::jwk($secret, kid => 7), qr/its kid is not text/ ]);
	for my $row (@table)
	{
		my ($setting, $content, $message) = @$row;
		my $output = refusal($setting => TideToken::new_file($content));
		like $output, $message, "$setting: $message";
		unlike $output, qr/a secret for tests|x{31}|IDAQAB/, 'nothing of the file';
	}
};

subtest 'JWKS' => sub {
	my $gateway = start_with('jwks-file' => TideToken::new_file(TideToken::jwks(
		TideToken::jwk($rsa, kid => 'r', use => 'sig', alg => 'RS256', key_ops => ['verify']),
		TideToken::jwk($ec, kid => 'e'), TideToken::jwk($secret, kid => 's', alg => 'HS256'),
		TideToken::jwk($other_rsa, kid => 'x', use => 'enc'), TideToken::jwk($weak, kid => 'w'),
		TideToken::jwk($p384, kid => 'p', crv => 'P-384'),
		{ kty => 'OKP', crv => 'Ed25519', x => 'AAAA' }, 'rubbish', undef, [])));
	my %key = (r => $rsa, e => $ec, s => $secret);
	for my $kid (sort keys %key)
	{
		is status($gateway, token_of($key{$kid}, header => { kid => $kid })), 200, "by kid $kid";
		is status($gateway, token_of($key{$kid})), 200, 'without one';
		is status($gateway, token_of($key{$kid}, header => { kid => $_ })), 401, "by kid $_"
		  for 'x', 'unknown', '', "$kid'; --", grep { $_ ne $kid } keys %key;
		is status($gateway, token_of($key{$_}, header => {
			alg => $algorithm{ $key{$kid}{type} }, kid => $kid })), 401, "$_ in its name"
		  for grep { $_ ne $kid } keys %key;
	}
	is status($gateway, token_of($_)), 401, 'a key that was left out' for $other_rsa, $weak;
	is status($gateway, token_of($_)), 401, 'a public key as the secret'
	  for map { confusions($_) } $rsa, $ec;
	is scalar(() = $gateway->log =~ /event=key-left-out /g), 7, 'what was left out is in the log';
	$gateway->log_says(qr/key-left-out .* kid=x reason="its use is not sig"/, 'and why');
	is $gateway->stop, 0;
};

subtest 'all together, issuer and audience' => sub {
	my $gateway = start_with('jwt-secret-file' => TideTest::Gateway::secret_file(),
		'jwt-public-key-file' => TideToken::new_file($rsa->{public}),
		'jwks-file' => TideToken::new_file(TideToken::jwks(TideToken::jwk($ec, kid => 'e'))),
		'jwt-issuer' => 'https://login.example', 'jwt-audience' => 'app, tablet');
	my %good = (iss => 'https://login.example', aud => 'app');
	is status($gateway, token_of($_, claims => \%good)), 200, $_->{type} for $secret, $rsa, $ec;
	is status($gateway, token_of($secret, header => { kid => 'e' }, claims => \%good)), 401,
	  'a kid that is known is the only one tried';
	my $try = sub { return status($gateway, token_of($secret, claims => { %good, @_ })); };
	is $try->(aud => $_), 200, 'aud ' . encode_json($_)
	  for 'tablet', ['app'], [ 'other', 'tablet' ];
	is $try->(aud => $_), 401, 'aud ' . encode_json($_)
	  for 'other', 'App', '', undef, [], ['other'], [ [ 'app' ] ], { app => 1 }, 'app, tablet', 7;
	is $try->(iss => $_), 401, 'iss ' . encode_json($_)
	  for 'https://login.example/', 'https://evil.example', '', undef, ['https://login.example'], 7;
	is status($gateway, token_of($secret, claims => { aud => 'app' })), 401, 'no iss';
	is status($gateway, token_of($secret, claims => { iss => $good{iss} })), 401, 'no aud';
	my $token = TideTest::run_program('', TideTest::Gateway::program(), 'token', '--sub', 'u1',
		'--jwt-secret-file', TideTest::Gateway::secret_file(),
		'--jwt-issuer', $good{iss}, '--jwt-audience', 'tablet');
	chomp $token;
	is status($gateway, $token), 200, 'the token command names both';
	is $gateway->stop, 0;
};

subtest 'keys that change' => sub {
	my $directory = File::Temp->newdir(TMPDIR => 1);
	my ($jwks, $link) = ("$directory/jwks", "$directory/secret");
	TideToken::write_file($jwks, TideToken::jwks(TideToken::jwk($rsa)));
	symlink TideToken::new_file("$secret->{secret}\n"), $link or die $!;
	my $gateway = start_with('jwks-file' => $jwks, 'jwt-secret-file' => $link);
	is status($gateway, token_of($_)), 200, 'before' for $rsa, $secret;

	# written in place
	TideToken::write_file($jwks, TideToken::jwks(TideToken::jwk($ec)));
	wait_for('the new key is taken', 20, sub { return status($gateway, token_of($ec)) == 200; });
	is status($gateway, token_of($rsa)), 401, 'the old one is forgotten';
	is status($gateway, token_of($secret)), 200, 'the secret stays';

	# a broken file, complained of once
	for my $broken ('{"keys":', TideToken::jwks(TideToken::jwk($weak)))
	{
		my $before = length $gateway->log;
		TideToken::write_file($jwks, $broken);
		wait_for('the log says that the file is broken', 20, sub {
			return substr($gateway->log, $before) =~ /level=error event=keys-not-reloaded message=/; });
		is status($gateway, token_of($_)), 200, 'the keys from before stay' for $ec, $secret;
		$gateway->signal('HUP');
		wait_for('the reload is refused', 20, sub {
			return substr($gateway->log, $before) =~ /event=reload-failed /; });
		is status($gateway, token_of($_)), 200, 'after SIGHUP, too' for $ec, $secret;
	}
	unlink $jwks or die $!;
	wait_for('the log says that the file is gone', 20, sub {
		return $gateway->log =~ /keys-not-reloaded message="could not open/; });
	is status($gateway, token_of($ec)), 200, 'a file that is gone';

	# replaced by rename, as a symbolic link, as Kubernetes does
	TideToken::write_file("$jwks.new", TideToken::jwks(TideToken::jwk($other_ec)));
	rename "$jwks.new", $jwks or die $!;
	symlink TideToken::new_file($other_secret->{secret}), "$link.new" or die $!;
	rename "$link.new", $link or die $!;
	wait_for('both are taken', 20, sub {
		return status($gateway, token_of($other_ec)) == 200
		  && status($gateway, token_of($other_secret)) == 200; });
	is status($gateway, token_of($_)), 401, 'the old ones are forgotten' for $ec, $secret;

	my $complaints = () = $gateway->log =~ /event=keys-not-reloaded/g;
	cmp_ok $complaints, '<=', 4, 'each state of a file is complained of once';
	is $gateway->stop, 0;
};

done_testing;
