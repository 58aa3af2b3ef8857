#!/usr/bin/env perl
#
# Many clients that wait for news: the gateway's memory, its processor time while
# others commit, how long after a COMMIT its reader has the reply, and what half of
# them cost who pushes.
#
#   waiting.pl DIRECTORY COUNT ROUNDS
#
# with psql and pgbench connecting to the database of bench.sql; DIRECTORY has the
# secret, and peers, a line "TOKEN USER" for each who pushes.  The gateway is one of
# its own, with room for so many.

use strict;
use warnings;
use FindBin;
use HTTP::Tiny;
use IO::Handle;
use IO::Socket::INET;
use IPC::Open2 qw(open2);
use JSON::PP qw(decode_json);
use Time::HiRes qw(sleep time);
use lib $FindBin::Bin;
use TideBench;

my ($directory, $count, $rounds) = @ARGV;
my $each = 50;					# of a user, as many as one may have
my $samples = 300;

$| = 1;
my ($pid, $port, $metrics) = start_gateway($directory, 'waiting', '--max-waiting', $count + 100, '--max-connections', $count + 100,
	'--max-connections-address', 0);
END { if ($pid) { local $?; kill 'KILL', $pid; waitpid $pid, 0 } }
my $http = HTTP::Tiny->new(timeout => 30);

sub waiting { return $http->get("http://127.0.0.1:$metrics/metrics")->{content} =~ /^tide_waiting\w* (\d+)$/m ? $1 : 0 }

sub pull
{
	my ($token, $query) = @_;
	my $reply = $http->get("http://127.0.0.1:$port/api/v1/sync/pull?$query", { headers => { Authorization => "Bearer $token" } });
	die "a pull got $reply->{status}: $reply->{content}\n" if $reply->{status} != 200;
	return decode_json($reply->{content})->{cursor};
}

sub processor { open my $file, '<', "/proc/$pid/stat" or die $!; my @field = split ' ', <$file>; return ($field[13] + $field[14]) / 100 }

sub ask
{
	my ($socket, $token, $cursor) = @_;
	syswrite $socket, "GET /api/v1/sync/pull?wait=60&since=$cursor HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer $token\r\n\r\n";
	return;
}

sub connection { return IO::Socket::INET->new(PeerHost => '127.0.0.1', PeerPort => $port) // die "could not connect: $!\n" }

my %token;
my @sockets;

# from here on so many wait
sub have_waiting
{
	my ($wanted) = @_;
	my $until = time + 30;

	close pop @sockets while @sockets > $wanted;
	while (@sockets < $wanted)
	{
		my $user = 'waits' . int(@sockets / $each);
		my $token = $token{$user} //= token_of($directory, $user);
		my $cursor = pull($token, 'since=now');
		for (1 .. $each)
		{
			push @sockets, connection();
			ask($sockets[-1], $token, $cursor);
		}
	}
	sleep 0.1 until waiting() == $wanted || time > $until;
	my $seated = waiting();
	die "$seated wait, not $wanted\n" if $seated != $wanted;
	return;
}

sleep 0.1 until $http->get("http://127.0.0.1:$port/ready")->{status} == 200;

# -- pushes of one row by others

my $half = $count / 2;
my $seconds = $ENV{TIDE_BENCH_SECONDS} // 4;
my $salt = (int(time) % 0x4000 << 16) + 0x8000;
open my $peers, '<', "$directory/peers" or die "peers: $!\n";
open my $clients, '>', "$directory/clients" or die $!;
print $clients "$_ /\n" for map { s/\s+\z//r } <$peers>;
close $clients;

sub push_p99
{
	my ($wanted) = @_;

	have_waiting($wanted);
	psql('CHECKPOINT');
	my (undef, undef, undef, $p99) = wrk("http://127.0.0.1:$port", 1, 8, $seconds, 'push', "$directory/clients", 1, ++$salt);
	return $p99;
}
$TideBench::rounds = $rounds;
my @push = in_turns(sub { push_p99($half) }, sub { push_p99(0) });

# -- memory

have_waiting($count);
my $memory = memory_of($pid, 'VmRSS');

# -- how long after a COMMIT

my $token = token_of($directory, 'wakes');
my $cursor = pull($token, 'since=now');
my $socket = connection();
my $session = open2(my $from, my $to, qw(psql -X -A -t));
my @late;
for my $n (1 .. $samples)
{
	ask($socket, $token, $cursor);
	sleep 0.02;
	print $to "INSERT INTO bench_tracked (id, user_id, title, position, weight_kg) VALUES (gen_random_uuid(), 'wakes', 'w', $n, 1) RETURNING 1;\n";
	$to->flush;
	readline $from;				# the row, and
	readline $from;				# the command's tag, behind its COMMIT
	my $began = time;
	my $reply = '';
	until ($reply =~ /\r\n\r\n\{.*"cursor":"([^"]+)".*\}\s*\z/s)
	{
		sysread($socket, $reply, 65536, length $reply) or die "the connection has ended: $reply\n";
	}
	($cursor) = $reply =~ /"cursor":"([^"]+)"/;
	push @late, 1000 * (time - $began);
}
@late = sort { $a <=> $b } @late;

# -- processor time, while others commit 100 times a second

open my $script, '>', "$directory/commits" or die $!;
print $script "INSERT INTO bench_tracked (id, user_id, title, position, weight_kg) VALUES (gen_random_uuid(), 'nobody waits', 'w', 1, 1);\n";
close $script;
my ($before, $began) = (processor(), time);
output_of(qw(pgbench -n -R 100 -T 5 -f), "$directory/commits");
my $share = (processor() - $before) / (time - $began);

printf "\n%-46s %10s\n", "$count pulls wait", '';
report_alone('memory of the gateway', $memory, '%10.0f MB', 300);
report_alone('p99 from a COMMIT to the reply', $late[ $samples * 0.99 ], '%10.1f ms', 30);
printf "%-46s %10.1f ms\n", '  median', $late[ $samples / 2 ];
report_alone('processor time at 100 commits a second', $share, '%10.2f core', 0.1);
printf "\n%-34s %10s %10s %-7s %6s\n", 'pushes of one row, 8 at a time', "$half wait", 'none', '', 'ratio';
report('  99th percentile', 'ms', @push, 1.2, 0);
