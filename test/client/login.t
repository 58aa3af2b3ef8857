# tide login: tokens in a file that only its owner reads, refreshed by itself; and
# without the server, against the hash of the last password.
#
# Seen to fail with: the hash not compared; a sync that stopped for a token begun
# anew instead of gone on with; tokens that another process was given meanwhile not
# looked for.
use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Test::More;
use TideTest qw(decode_json);
use TideClient;

my $cluster = TideTest::Cluster->shared;
my $database = $cluster->create_synced(<<'SQL');
CREATE EXTENSION pg_tide_auth CASCADE;
DO $$ BEGIN
	IF to_regrole('tide_auth') IS NULL THEN CREATE ROLE tide_auth NOLOGIN; END IF;
	GRANT tide_auth TO tide_gateway;
END $$;
SELECT tide_auth.allow('tide_auth');
SET pg_tide_auth.bcrypt_cost = 4;
SELECT tide_auth.create_account('maja', 'maja''s secret', 'u1', 'athlete');
SELECT tide_auth.create_account('coach', 'coach''s secret', 'c1', 'coach');
CREATE TABLE workout (id text PRIMARY KEY, user_id text NOT NULL, title text);
CREATE INDEX ON workout (user_id);
SELECT tide.track('workout', scope => 'user_id');
GRANT ALL ON workout TO tide_user;
INSERT INTO workout VALUES ('1', 'u1', 'of Maja'), ('2', 'c1', 'of the coach');
SQL
my $gateway = TideTest::Gateway->start(cluster => $cluster, database => $database,
	settings => { 'login-function' => 'tide_auth.login', 'refresh-grace' => 0,
		'maintain-interval' => 0 })->wait_until_ready;
my $device = TideClient->new($gateway, undef);

sub login
{
	my ($user, $password) = @_;
	my $file = "$device->{directory}/password";
	open my $out, '>', $file or die $!;
	print {$out} "$password\n";
	close $out;
	return $device->run($TideClient::program, 'login', "$device->{url}/", '--user', $user, '--password-file', $file);
}

sub tokens
{
	my ($user) = @_;
	my ($file) = glob "$device->{directory}/config/tide/*/$user.json";
	return unless $file;
	open my $in, '<', $file or die $!;
	local $/;
	return { mode => (stat $file)[2] & 0777, text => scalar(<$in>) };
}

my $clone = sub { return $device->run($TideClient::program, 'clone', $device->{url}, $device->{file}, @_) };
is($clone->()->{status}, 4, 'nobody is logged in: 4');
is(login('maja', 'wrong')->{status}, 4, 'a wrong password: 4');
is(tokens('maja'), undef, '... and nothing is kept');
is(login('nobody', 'x')->{status}, 4, 'an unknown user: 4');
my $run = login('maja', q{maja's secret});
is("$run->{status} $run->{out}", "0 logged in as maja\n", 'the right password') or diag $run->{err};
my $kept = tokens('maja');
is($kept->{mode}, 0600, 'the tokens are the owner\'s alone');
unlike($kept->{text}, qr/maja's secret/, 'the password is not there');

is($clone->()->{status}, 0, 'clone uses them');
is($device->sql('SELECT title FROM workout'), 'of Maja', '... and gets the rows');
is($device->status->{user}, 'u1', '... of the user');

# an hour later, say
my ($file) = glob "$device->{directory}/config/tide/*/maja.json";
my $expired = $gateway->token('u1', ttl => -3600);
(my $text = $kept->{text}) =~ s/"token": "[^"]+"/"token": "$expired"/;
open my $out, '>', $file or die $!;
print {$out} $text;
close $out;
$device->sql("UPDATE workout SET title = 'edited'");
is($device->sync->{pushed}, 1, 'an expired token is refreshed');
isnt(decode_json(tokens('maja')->{text})->{refreshToken}, decode_json($kept->{text})->{refreshToken},
	'... and the next refresh token is kept');

# who else logs in here does not get into this file
is(login('coach', q{coach's secret})->{status}, 0, 'another user logs in');
is($device->sync->{pending}, 0, 'the file goes on with its own');
my $other = "$device->{directory}/other.db";
$run = $device->run($TideClient::program, 'clone', $device->{url}, $other);
is($run->{status}, 4, 'of several users one has to be named');
$run = $device->run($TideClient::program, 'clone', $device->{url}, $other, '--user', 'coach');
is($run->{status}, 0, '... by --user') or diag $run->{err};

# several processes of one user, whose token has expired
my @files = map { "$device->{directory}/file$_.db" } 1 .. 5;
$device->run($TideClient::program, 'clone', $device->{url}, $_, '--user', 'maja') for @files;
($text = tokens('maja')->{text}) =~ s/"token": "[^"]+"/"token": "$expired"/;
open $out, '>', $file or die $!;
print {$out} $text;
close $out;
my @running = map {
	my $pid = fork // die $!;
	if ($pid == 0)
	{
		$ENV{XDG_CONFIG_HOME} = "$device->{directory}/config";
		open STDOUT, '>', '/dev/null' or POSIX::_exit(126);
		exec { $TideClient::program } $TideClient::program, 'sync', $_ or POSIX::_exit(127);
	}
	$pid;
} @files;
my @ended = map { waitpid($_, 0); $? >> 8 } @running;
is("@ended", '0 0 0 0 0', 'several that refresh at a time use a refresh token once');
is($device->sync->{pending}, 0, '... and all stay logged in');

$gateway->stop;
$run = login('maja', q{maja's secret});
is("$run->{status} $run->{out}", "0 offline\n", 'without the server: the last password');
is(login('maja', 'wrong')->{status}, 4, '... and no other');
is(login('nobody', 'x')->{status}, 3, 'who never logged in is offline: 3');

done_testing;
