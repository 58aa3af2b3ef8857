#!/usr/bin/env perl
#
# Many clients that wait for news: the gateway's memory, its processor time while
# others commit, and how long after a COMMIT its reader has the reply.
#
#   waiting.pl DIRECTORY COUNT
#
# with psql and pgbench connecting to the database of bench.sql; DIRECTORY has the
# secret.  The gateway is one of its own, with room for so many.

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

my ($directory, $count) = @ARGV;
my $each = 50;					# of a user, as many as one may have
my $samples = 300;
my $log = "$directory/waiting.log";
my $pid = fork // die $!;

$| = 1;
if ($pid == 0)
{
	open STDERR, '>', $log or die $!;
	exec 'gateway/tide-gateway', '--listen', '127.0.0.1:0', '--metrics-listen', '127.0.0.1:0', '--jwt-secret-file', "$directory/secret",
		'--database-url', "host=$ENV{PGHOST} port=$ENV{PGPORT} dbname=$ENV{PGDATABASE} user=tide_gateway",
		'--max-waiting', $count + 100, '--max-connections', $count + 100, '--max-connections-address', 0 or die $!;
}
END { if ($pid) { local $?; kill 'KILL', $pid; waitpid $pid, 0 } }

sub logged
{
	my ($event) = @_;
	my $until = time + 30;
	while (time < $until)
	{
		my $text = do { open my $file, '<', $log or next; local $/; <$file> } // '';
		return $1 if $text =~ /event=$event address=127.0.0.1 port=(\d+)/;
		sleep 0.05;
	}
	die "no event $event\n";
}
my $port = logged('listening');
my $metrics = logged('metrics');
my $http = HTTP::Tiny->new(timeout => 30);

sub waiting { return $http->get("http://127.0.0.1:$metrics/metrics")->{content} =~ /^tide_waiting\w* (\d+)$/m ? $1 : 0 }
sub token { my ($user) = @_; return output_of('gateway/tide-gateway', 'token', '--jwt-secret-file', "$directory/secret", '--sub', $user) =~ s/\s//gr }

sub pull
{
	my ($token, $query) = @_;
	my $reply = $http->get("http://127.0.0.1:$port/api/v1/sync/pull?$query", { headers => { Authorization => "Bearer $token" } });
	die "a pull got $reply->{status}: $reply->{content}\n" if $reply->{status} != 200;
	return decode_json($reply->{content})->{cursor};
}

sub status_of { my ($name) = @_; open my $file, '<', "/proc/$pid/status" or die $!; return (grep { s/^$name:\s*(\d+) kB\n/$1/ } <$file>)[0] / 1024 }
sub processor { open my $file, '<', "/proc/$pid/stat" or die $!; my @field = split ' ', <$file>; return ($field[13] + $field[14]) / 100 }

sub ask
{
	my ($socket, $token, $cursor) = @_;
	syswrite $socket, "GET /api/v1/sync/pull?wait=60&since=$cursor HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer $token\r\n\r\n";
	return;
}

sub connection { return IO::Socket::INET->new(PeerHost => '127.0.0.1', PeerPort => $port) // die "could not connect: $!\n" }

# -- memory

sleep 0.1 until $http->get("http://127.0.0.1:$port/ready")->{status} == 200;
my (@sockets, $until);
for my $user (1 .. $count / $each)
{
	my $token = token("waits$user");
	my $cursor = pull($token, 'since=now');
	for (1 .. $each)
	{
		push @sockets, connection();
		ask($sockets[-1], $token, $cursor);
	}
}
$until = time + 30;
sleep 0.1 until waiting() >= $count || time > $until;
my $seated = waiting();
die "$seated of $count wait\n" if $seated < $count;
my $memory = status_of('VmRSS');

# -- how long after a COMMIT

my $token = token('wakes');
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
printf "%-46s %10.0f MB   <= 300  %s\n", 'memory of the gateway', $memory, $memory <= 300 ? 'met' : 'MISSED';
printf "%-46s %10.1f ms   <= 30  %s\n", 'p99 from a COMMIT to the reply', $late[ $samples * 0.99 ], $late[ $samples * 0.99 ] <= 30 ? 'met' : 'MISSED';
printf "%-46s %10.1f ms\n", '  median', $late[ $samples / 2 ];
printf "%-46s %10.2f core <= 0.1  %s\n", 'processor time at 100 commits a second', $share, $share <= 0.1 ? 'met' : 'MISSED';
