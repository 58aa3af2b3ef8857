#!/usr/bin/env perl
#
# tide-gateway beside a sync server written by hand for Node (server.js), and beside
# the one that plans begin with, Express and Prisma (seed/server.js): the same requests
# by wrk, in turns, on one database with as many connections each.
#
#   peers.pl GATEWAY-ADDRESS DIRECTORY ROUNDS
#
# with psql connecting to the database.  DIRECTORY has the gateway's secret, and
# peers, a line "TOKEN USER" for each of the users.

use strict;
use warnings;
use FindBin;
use HTTP::Tiny;
use JSON::PP qw(decode_json);
use Time::HiRes qw(time);
use lib "$FindBin::Bin/..";
use TideBench;

my ($gateway, $directory, $rounds) = @ARGV;
my $connections = 8;
my $seconds = $ENV{TIDE_BENCH_SECONDS} // 4;
my $salt = int(time) % 0x4000 << 16;		# no row of a run before
my %server = (tide => "http://$gateway");
my $first_rows = 100_000;
my @users = map { [split] } do { open my $file, '<', "$directory/peers" or die "peers: $!\n"; <$file> };
my $first = pop @users;			# has just the rows of a first sync
my $http = HTTP::Tiny->new(timeout => 30);

$TideBench::rounds = $rounds;
$ENV{PGOPTIONS} = '-c client_min_messages=warning';
$| = 1;

# -- the servers and their tables

my %table = (tide => 'bench_tracked', node => 'bench_peer', prisma => 'bench_prisma');
for (@table{qw(node prisma)})
{
	psql("DROP TABLE IF EXISTS $_", "CREATE TABLE $_ (LIKE bench_plain INCLUDING DEFAULTS INCLUDING CONSTRAINTS)",
		"ALTER TABLE $_ ADD PRIMARY KEY (id)", "CREATE INDEX ON $_ (user_id, last_modified_at, id)");
}

my @processes;
my @pipes;				# held open: their ends are waited for
sub start_peer
{
	my ($name, $program) = @_;
	my $secret = do { open my $file, '<', "$directory/secret" or die $!; <$file> };
	local @ENV{qw(PORT JWT_SECRET CONNECTIONS NODE_ENV DATABASE_URL)} = (0, $secret, $connections, 'production',
		"postgresql://$ENV{PGUSER}\@localhost:$ENV{PGPORT}/$ENV{PGDATABASE}?host=" . ($ENV{PGHOST} =~ s/([^\w.-])/sprintf '%%%02X', ord $1/ger));
	my $pid = open my $says, '-|', 'node', "$FindBin::Bin/$program" or die "node: $!\n";
	my $line = readline $says;

	die "$program does not listen\n" if ($line // '') !~ m{listening (http://\S+)};
	$server{$name} = $1;
	push @processes, $pid;
	push @pipes, $says;
	return;
}
END { local $?; kill 'TERM', @processes }
start_peer('node', 'server.js');
start_peer('prisma', 'seed/server.js');

# -- asking

# write the clients of a server, with what each of them gets
sub clients
{
	my ($name, $path_of, $count) = @_;
	my $file = "$directory/clients";

	open my $out, '>', $file or die "$file: $!\n";
	for my $user (@users[0 .. $count - 1])
	{
		my ($token, $name) = @$user;
		print $out "$token $name ", $path_of->($token, $name), "\n";
	}
	close $out;
	return $file;
}

# requests a second
sub rate
{
	my ($url, $at_a_time, @arguments) = @_;
	my ($requests, $time) = wrk($url, 2, $at_a_time, $seconds, @arguments);
	return $requests / $time;
}

# rows that were acknowledged are there, and no more than what was under way at the end
sub push_rate
{
	my ($name, $rows, $at_a_time) = @_;
	my $clients = clients($name, sub { '/' }, scalar @users);
	my $prefix = sprintf '%08x', ++$salt;
	my $of_run = "FROM $table{$name} WHERE id BETWEEN '$prefix-0000-0000-0000-000000000000' AND '$prefix-ffff-ffff-ffff-ffffffffffff'";

	psql('CHECKPOINT');
	my $rate = rate($server{$name}, $at_a_time, 'push', $clients, $rows, $salt);
	my $stored = psql("SELECT count(*) $of_run");
	my $missing = $rate * $seconds * $rows - $stored;
	die "$name: $stored rows stored, $rate requests a second of $rows rows\n" if $missing > 0.1 * $stored;
	return $rate;
}

sub get
{
	my ($url, $token) = @_;
	my $reply = $http->get($url, { headers => { Authorization => "Bearer $token" } });

	die "$url: $reply->{status} $reply->{content}\n" if $reply->{status} != 200;
	return decode_json($reply->{content});
}

sub post
{
	my ($url, $token, $body) = @_;
	my $reply = $http->post($url, { content => $body,
		headers => { Authorization => "Bearer $token", 'Content-Type' => 'application/json' } });

	die "$url: $reply->{status} $reply->{content}\n" if $reply->{status} != 200;
	return;
}

# -- the measurements

sub push_pair
{
	my ($peer, @how) = @_;

	return in_turns(map { my $name = $_; sub { push_rate($name, @how) } } 'tide', $peer);
}

my @push_1 = push_pair('node', 1, 32);
my @push_100 = push_pair('node', 100, 8);
my @seed_push_1 = push_pair('prisma', 1, 32);
my @seed_push_100 = push_pair('prisma', 100, 8);
psql('VACUUM ANALYZE');

# 500 rows of each user that are newer than a cursor, or than a time
my (%tide_since, %tide_end);
my $node_since = '2026-01-01T00:00:00Z';
psql("UPDATE $_ SET last_modified_at = '2025-12-31T00:00:00Z'", "VACUUM ANALYZE $_") for @table{qw(node prisma)};
for my $user (@users[0 .. $connections - 1])
{
	my ($token, $name) = @$user;
	my $rows = join ',', map {
		sprintf '{"id":"%08x-%04x-4000-8000-%012x","user_id":"%s","title":"Bench Press %d","notes":"five by five, two minutes of rest",'
			. '"position":%d,"weight_kg":%d.5,"done":true,"last_modified_at":"2026-01-02T00:00:00.%03dZ"}',
			0x70000000 + ($salt >> 16), substr($name, 1), $_, $name, $_, $_, $_ % 100, $_
	} 1 .. 500;
	my $body = "{\"changes\":{\"bench_tracked\":[$rows]}}";

	$tide_since{$name} = get("$server{tide}/api/v1/sync/pull?since=now", $token)->{cursor};
	post("$server{$_}/api/v1/sync/push", $token, $body) for qw(tide node prisma);
	$tide_end{$name} = get("$server{tide}/api/v1/sync/pull?since=now", $token)->{cursor};
}
psql('VACUUM ANALYZE');

sub pull_rate
{
	my ($name, $path_of, $expected) = @_;
	my ($token, $user) = @{ $users[0] };
	my $reply = get($server{$name} . $path_of->($token, $user), $token);
	my $rows = $reply->{changesByType}{bench_tracked} // [];

	die "$name: ", scalar @$rows, " rows were to be $expected\n" if @$rows != $expected;
	return rate($server{$name}, $connections, 'get', clients($name, $path_of, $connections));
}

sub pull_pair
{
	my ($limit, $peer, $path) = @_;

	return in_turns(
		sub { pull_rate('tide', sub { "/api/v1/sync/pull?limit=$limit&since=$tide_since{$_[1]}" }, $limit) },
		sub { pull_rate($peer, sub { "$path?limit=$limit&since=$node_since" }, $limit) });
}

my $path = '/api/v1/sync/pull';
my @pull_100 = pull_pair(100, 'node', $path);
my @pull_500 = pull_pair(500, 'node', $path);
my @json_100 = pull_pair(100, 'node', "$path-json");
my @json_500 = pull_pair(500, 'node', "$path-json");
my @seed_pull_100 = pull_pair(100, 'prisma', $path);
my @seed_pull_500 = pull_pair(500, 'prisma', $path);

sub poll_pair
{
	my ($peer) = @_;

	return in_turns(sub { pull_rate('tide', sub { "$path?since=$tide_end{$_[1]}" }, 0) },
		sub { pull_rate($peer, sub { "$path?since=2026-01-03T00:00:00Z" }, 0) });
}
my @poll = poll_pair('node');
my @seed_poll = poll_pair('prisma');
my @health = in_turns(map { my $url = $server{$_}; sub { rate($url, 32, 'get', clients('', sub { '/health' }, 1)) } } qw(tide node));

# everything of a user with many rows, as a stream, and by COPY
psql("INSERT INTO bench_tracked (id, user_id, title, notes, position, weight_kg) SELECT gen_random_uuid(), '$first->[1]', 'Bench Press ' || n,"
		. " 'five by five, two minutes of rest', n % 100, n % 200 FROM generate_series(1, $first_rows) n"
		. " WHERE NOT EXISTS (SELECT FROM bench_tracked WHERE user_id = '$first->[1]')", 'VACUUM ANALYZE bench_tracked');

sub rows_a_second
{
	my ($pattern, @command) = @_;
	my $began = time;

	output_of(@command);
	my $seconds = time - $began;
	open my $file, '<', "$directory/first" or die $!;
	my $rows = grep { index($_, $pattern) >= 0 } <$file>;
	die "$command[0]: $rows rows were to be $first_rows\n" if $rows != $first_rows;
	return $rows / $seconds;
}
my @first = in_turns(
	sub { rows_a_second('"row":', 'curl', '-sSf', '-o', "$directory/first", '-H', 'Accept: application/x-ndjson', '-H', "Authorization: Bearer $first->[0]",
		"$server{tide}/api/v1/sync/pull") },
	sub { rows_a_second('"id":', qw(psql -X -q -o), "$directory/first", '-c', "COPY (SELECT row_to_json(t) FROM bench_tracked t WHERE user_id = '$first->[1]') TO STDOUT") });

printf "\n%-34s %10s %10s %-7s %6s\n", 'wrk, over HTTP', 'pg_tide', 'Node', '', 'ratio';
report('push 1 row, 32 at a time', '1/s', @push_1, 2, 1);
report('push 100 rows, 8 at a time', '1/s', @push_100, 1.5, 1);
report('pull 100 rows, 8 at a time', '1/s', @pull_100, 5, 1);
report('pull 500 rows, 8 at a time', '1/s', @pull_500, 8, 1);
report('  100, JSON made by PostgreSQL', '1/s', @json_100, 1, 1);
report('  500, JSON made by PostgreSQL', '1/s', @json_500, 1, 1);
report('poll that finds nothing', '1/s', @poll, 3, 1);
report('/health, 32 at a time', '1/s', @health, 0.7, 1);
printf "%-34s %10s %10s\n", '', '', 'Prisma';
report('push 1 row, 32 at a time', '1/s', @seed_push_1, 2, 1);
report('push 100 rows, 8 at a time', '1/s', @seed_push_100, 2, 1);
report('pull 100 rows, 8 at a time', '1/s', @seed_pull_100, 5, 1);
report('pull 500 rows, 8 at a time', '1/s', @seed_pull_500, 8, 1);
report('poll that finds nothing', '1/s', @seed_poll, 3, 1);
printf "%-34s %10s %10s\n", '', '', 'COPY';
report('first sync of 100,000 rows, NDJSON', 'rows/s', @first, 0.7, 1);
