# Tokens and keys as a login service would make them, and as an attacker
# would: signed by hand or by the openssl command, never by the gateway.
#
#   my $key = TideToken::rsa_key(2048);
#   my $token = TideToken::sign($key, { alg => 'RS256' }, { sub => 'u1', ... });
#   TideToken::write_file($path, TideToken::jwks(TideToken::jwk($key, kid => 'a')));
#
# A key is { type => 'RSA' | 'EC' | 'oct', file => private PEM, public => PEM,
# der => SubjectPublicKeyInfo } or, of type oct, { secret => bytes }.
package TideToken;

use strict;
use warnings;

use Digest::SHA qw(hmac_sha256);
use File::Temp ();
use MIME::Base64 qw(decode_base64 encode_base64url);
use TideTest qw(encode_json);

my $directory = File::Temp->newdir('tide-keys-XXXXXX', TMPDIR => 1);
my $next = 1;

sub write_file
{
	my ($path, $content) = @_;
	open my $file, '>', $path or die "$path: $!";
	print {$file} $content or die "$path: $!";
	close $file or die "$path: $!";
	return $path;
}

# A new file of its own with this content.
sub new_file { return write_file("$directory/" . $next++, $_[0] // ''); }

sub openssl { my ($input, @arguments) = @_; return TideTest::run_program($input, 'openssl', @arguments); }

sub key
{
	my ($type, @options) = @_;
	my $private = openssl('', 'genpkey', '-quiet', @options);
	my $public = openssl($private, 'pkey', '-pubout');
	my ($der) = $public =~ /-----\n(.*)-----END/s;
	return { type => $type, file => new_file($private), private => $private,
		public => $public, der => decode_base64($der) };
}

sub rsa_key
{
	my ($bits, $exponent) = @_;
	return key('RSA', '-algorithm', 'RSA', '-pkeyopt', "rsa_keygen_bits:$bits");
}

sub ec_key
{
	my ($curve) = @_;
	return key('EC', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:' . ($curve // 'P-256'));
}

sub secret_key { return { type => 'oct', secret => $_[0] }; }

# The signature of a text, in the form that JWS wants; with options of openssl dgst.
sub signature
{
	my ($key, $text, @options) = @_;
	return hmac_sha256($text, $key->{secret}) if $key->{type} eq 'oct';
	@options = '-sha256' unless @options;
	my $signature = openssl($text, 'dgst', @options, '-sign', $key->{file});
	return $signature if $key->{type} eq 'RSA';
	# from DER: SEQUENCE of two INTEGERs
	my ($r, $s) = unpack 'x2 x C/a x C/a', $signature;
	return join '', map { substr(("\0" x 64) . $_, -32) } $r, $s;
}

# Header and claims are structures, or text that is taken as it is.
sub sign
{
	my ($key, $header, $claims, @options) = @_;
	my $text = join '.', map { encode_base64url(ref $_ ? encode_json($_) : $_) }
	  $header, $claims;
	return "$text." . encode_base64url(signature($key, $text, @options));
}

# A public key as a JSON Web Key, with members added or replaced.
sub jwk
{
	my ($key, %member) = @_;
	my %jwk = (kty => $key->{type});
	if ($key->{type} eq 'oct')
	{
		$jwk{k} = encode_base64url($key->{secret});
	}
	elsif ($key->{type} eq 'RSA')
	{
		my ($modulus) = openssl($key->{public}, 'rsa', '-pubin', '-modulus', '-noout')
		  =~ /Modulus=([0-9A-F]+)/ or die 'no modulus';
		@jwk{ 'n', 'e' } = (encode_base64url(pack 'H*', $modulus), 'AQAB');
	}
	else
	{
		$jwk{crv} = 'P-256';
		@jwk{ 'x', 'y' } = map { encode_base64url($_) } unpack 'a32 a32',
		  substr $key->{der}, -64;
	}
	return { %jwk, %member };
}

sub jwks { return encode_json({ keys => [@_] }); }

1;
