#!/usr/bin/env perl
#
# The memory of gateway and backend in the largest push and the longest stream: what
# each of them takes beyond what it had before, at its most.  A connection that is new
# counts whole.
#
#   memory.pl DIRECTORY
#
# with psql connecting to the database of bench.sql; DIRECTORY has the secret.  The
# gateway is one of its own, with the default limits.

use strict;
use warnings;
use FindBin;
use Time::HiRes qw(sleep time);
use lib $FindBin::Bin;
use TideBench;

my ($directory) = @ARGV;
my $stream_rows = 1_000_000;
my $wide = 20;					# columns of text in what is pushed
my ($changes, $body_bytes) = (5000, 16 * 1024 * 1024);		# as many as the gateway takes

$ENV{PGOPTIONS} = '-c client_min_messages=warning';
$| = 1;

my @columns = map { "note$_" } 1 .. $wide;
psql('DROP TABLE IF EXISTS bench_wide, bench_long',
	'CREATE TABLE bench_wide (id uuid PRIMARY KEY, user_id text NOT NULL, ' . join(', ', map { "$_ text" } @columns) . ')',
	'CREATE INDEX ON bench_wide (user_id, id)', "SELECT tide.track('bench_wide', scope => 'user_id')",
	'CREATE TABLE bench_long (LIKE bench_plain INCLUDING ALL)', "SELECT tide.track('bench_long', scope => 'user_id')",
	'GRANT SELECT, INSERT, UPDATE, DELETE ON bench_wide, bench_long TO tide_user',
	'INSERT INTO bench_long (id, user_id, title, notes, position, weight_kg)'
		. " SELECT gen_random_uuid(), 'long', 'Bench Press ' || n, 'five by five, two minutes of rest', n % 100, n % 200 FROM generate_series(1, $stream_rows) n",
	'VACUUM ANALYZE bench_long');

my ($gateway, $port) = start_gateway($directory, 'memory');
END { local $?; kill 'TERM', $gateway if $gateway }

# -- looking

sub own_memory { my ($pid) = @_; return memory_of($pid, 'RssAnon') }

my ($postmaster) = do { open my $file, '<', psql('SHOW data_directory') =~ s/\n//r . '/postmaster.pid' or die "postmaster.pid: $!\n"; <$file> } =~ /(\d+)/;

# a gateway opens connections when it needs them
sub servers
{
	open my $file, '<', "/proc/$postmaster/task/$postmaster/children" or die "the children of the server: $!\n";
	return split ' ', <$file> // '';
}

# What a request takes at most: of the gateway, and of the backend that takes the most.
sub most_of
{
	my ($rows, @curl) = @_;
	my %before = map { $_ => own_memory($_) } $gateway, servers();
	my %most;
	my $file = "$directory/reply";
	my $pid = fork // die $!;

	if ($pid == 0)
	{
		exec 'curl', '-sSf', '-o', $file, '-H', "Authorization: Bearer $curl[0]", @curl[1 .. $#curl] or die $!;
	}
	until (waitpid($pid, 1) == $pid)
	{
		for ($gateway, servers())
		{
			my $more = own_memory($_) - ($before{$_} // 0);
			$most{$_} = $more if $more > ($most{$_} // 0);
		}
		sleep 0.002;
	}
	die "the request failed\n" if $? != 0;
	open my $reply, '<', $file or die $!;
	my $found = 0;
	while (<$reply>)
	{
		$found += () = /"entityId":|"row":/g;
	}
	die "$found rows were to be $rows\n" if $found != $rows;
	my $of_gateway = delete $most{$gateway};
	my ($of_backend) = sort { $b <=> $a } values %most;
	return ($of_gateway, $of_backend, (-s $file) / 1024 / 1024);
}

# -- the requests

my $padding = 'x' x int(($body_bytes / $changes - 120) / $wide - 12);
open my $body, '>', "$directory/body" or die $!;
print $body '{"changes":{"bench_wide":[', join(',', map { my $n = $_;
	sprintf '{"id":"00000000-0000-4000-8000-%012x","user_id":"wide","last_modified_at":"2026-01-01T00:00:00Z",%s}', $n,
		join ',', map { "\"$_\":\"$padding\"" } @columns } 1 .. $changes), ']}}';
close $body;
my $sent = (-s "$directory/body") / 1024 / 1024;
die "a body of $sent MB\n" if $sent > 16 || $sent < 15;
my @push = most_of($changes, token_of($directory, 'wide'), '-H', 'Content-Type: application/json', '--data-binary', "\@$directory/body",
	"http://127.0.0.1:$port/api/v1/sync/push");
my $long = token_of($directory, 'long');
my @stream = most_of($stream_rows, $long, '-H', 'Accept: application/x-ndjson', "http://127.0.0.1:$port/api/v1/sync/pull");
my @slow = most_of($stream_rows, $long, '-H', 'Accept: application/x-ndjson', '--limit-rate', '60M', "http://127.0.0.1:$port/api/v1/sync/pull");

printf "\n%-52s %9s %9s\n", 'memory that a request takes at its most', 'gateway', 'backend';
printf "%-52s %6.0f MB %6.0f MB\n", sprintf("a push of %d rows, %.0f MB, reply %.0f MB", $changes, $sent, $push[2]), @push[0, 1];
printf "%-52s %6.0f MB %6.0f MB\n", sprintf("a stream of %d rows, %.0f MB", $stream_rows, $stream[2]), @stream[0, 1];
printf "%-52s %6.0f MB %6.0f MB\n", '  by a client that reads 60 MB/s', @slow[0, 1];
