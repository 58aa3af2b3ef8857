# tide_watch() in one thread of a program, tide_pause() and tide_resume() in
# another: see pause_test.c.
#
# Seen to fail with: carry_on() without is_interrupted(); push_in_a_hurry() left
# out; TELL_EVERY_MS of 20.
use strict;
use warnings;

use FindBin ();
use IO::Socket::INET ();
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Test::More;
use TideTest ();
use TideClient;

my $cluster = TideTest::Cluster->shared;
my $database = $cluster->create_synced(<<'SQL');
CREATE TABLE plan (id text PRIMARY KEY, user_id text NOT NULL, name text);
CREATE INDEX ON plan (user_id);
SELECT tide.track('plan', scope => 'user_id');
INSERT INTO plan VALUES ('p1', 'ann', 'plan');
GRANT ALL ON plan TO tide_user;
SQL
my $gateway = TideTest::Gateway->start(cluster => $cluster, database => $database,
	settings => { 'maintain-interval' => 0 })->wait_until_ready;
my $device = TideClient->new($gateway, 'ann');
$device->clone;

my $client = "$FindBin::Bin/../../client";
my $output = `make -s -C $client build/pause_test 2>&1`;
die $output if $? != 0;
# takes connections, and answers nothing
my $silence = IO::Socket::INET->new(LocalHost => '127.0.0.1', Listen => 20) or die $!;
open my $token, '<', $device->{token_file} or die $!;
chomp(my $text = <$token>);
exec "$client/build/pause_test", $gateway->{url}, $device->{file}, $text,
  'http://127.0.0.1:' . $silence->sockport
  or die $! if !(my $pid = fork // die $!);
waitpid $pid, 0;
exit($? >> 8 || $? & 127);
