#!/usr/bin/env perl
#
# What standbys take off the primary: pulls through a gateway with 0, 1 and 2 of
# them while others commit, the processor time of each server for a pull, and how
# many pulls come back to the primary when a standby replays late.  Then what a
# push writes: rows of the change log and WAL.
#
#   standbys.pl SECONDS
#
# Starts servers and a gateway of its own.  All of them share the machine, so
# pulls a second say little; processor time a pull is what one would plan by.

use strict;
use warnings;
use FindBin;
use POSIX ();
use Time::HiRes qw(time sleep);
use lib "$FindBin::Bin", "$FindBin::Bin/../lib", "$FindBin::Bin/../fault";
use TideBench;
use TideReplica ();
use TideTest qw(wait_for);

my $seconds = $ARGV[0] // 5;
my $at_a_time = 8;
my $commits = 100;				# a second, by others
my $rows = 10;					# that a pull brings
my $users = 32;
my $ticks = POSIX::sysconf(POSIX::_SC_CLK_TCK());

$| = 1;
my $cluster = TideTest::Cluster->start(settings => { shared_buffers => '256MB', max_wal_size => '4GB', wal_receiver_status_interval => "'1s'" });
my $database = $cluster->create_synced(<<'SQL');
CREATE TABLE bench_tracked (id uuid PRIMARY KEY, user_id text NOT NULL, title text NOT NULL, notes text, position integer,
	weight_kg numeric(6,2), done boolean NOT NULL DEFAULT false, last_modified_at timestamptz(3) NOT NULL DEFAULT now());
SELECT tide.track('bench_tracked', scope => 'user_id');
GRANT SELECT, INSERT, UPDATE, DELETE ON bench_tracked TO tide_user;
INSERT INTO bench_tracked (id, user_id, title, notes, position, weight_kg)
SELECT gen_random_uuid(), 'u' || n % 1000, 'Bench Press ' || n, 'five by five, two minutes of rest', n % 100, n % 200
FROM generate_series(1, 200000) n;
CREATE INDEX ON bench_tracked (user_id, id);
VACUUM ANALYZE bench_tracked;
SQL
my @standbys = map { TideReplica::standby($cluster) } 1 .. 2;
my $directory = File::Temp::tempdir(CLEANUP => 1);

sub write_lines
{
	my ($name, @lines) = @_;
	open my $file, '>', "$directory/$name" or die $!;
	print {$file} map { "$_\n" } @lines;
	close $file or die $!;
	return "$directory/$name";
}

sub gateway_before
{
	my ($count) = @_;
	my $gateway = TideTest::Gateway->start(cluster => $cluster, database => $database, settings => {
		'metrics-listen' => '127.0.0.1:0', 'db-connections' => $at_a_time, 'replica-connections' => $at_a_time, 'maintain-interval' => 0,
		$count ? ('replica-url' => join ' ; ', map { $_->conninfo($database, 'tide_gateway') } @standbys[ 0 .. $count - 1 ]) : () })
	  ->wait_until_ready;
	wait_for('all replicas serve', 30, sub { $count == grep { $_->{state} eq 'serving' } @{ $gateway->get('/ready')->{json}{replicas} // [] } });
	return $gateway;
}

# Processor seconds of a server so far: its postmaster, who has waited for some
# of its children, and those that live.
sub processor
{
	my ($server) = @_;
	my ($postmaster, @children) = TideReplica::processes($server);
	my $sum = 0;
	for my $process ($postmaster, @children)
	{
		open my $stat, '<', "/proc/$process/stat" or next;
		my @field = split ' ', ((<$stat> // '') =~ s/^.*\) //r) or next;
		$sum += $field[11] + $field[12];
		$sum += $field[13] + $field[14] if $process == $postmaster;
	}
	return $sum / $ticks;
}

# Others commit so many times a second until told to end.
sub begin_commits
{
	my $script = write_lines('commits',
		q{INSERT INTO bench_tracked (id, user_id, title, position) VALUES (gen_random_uuid(), 'others', 'w', 1);});
	my $pid = fork // die $!;
	return $pid if $pid;
	open STDOUT, '>', '/dev/null';
	open STDERR, '>', '/dev/null';
	exec $cluster->{bin} . '/pgbench', '-n', '-R', $commits, '-T', 600, '-h', $cluster->{host}, '-p', $cluster->{port},
	  '-U', $cluster->{user}, '-f', $script, $database or POSIX::_exit(127);
}

# cursors from before the newest rows of each user, who then gets them again and
# again
sub clients
{
	my ($gateway) = @_;
	my @lines;
	for my $n (1 .. $users)
	{
		my $token = $gateway->token("u$n");
		my $cursor = $gateway->pull($token, since => 'now')->{json}{cursor};
		push @lines, "$token u$n /api/v1/sync/pull?limit=100&since=$cursor";
	}
	$cluster->sql($database, "INSERT INTO bench_tracked (id, user_id, title, notes, position, weight_kg)
		SELECT gen_random_uuid(), 'u' || u, 'Bench Press', 'five by five', n, n FROM generate_series(1, $users) u, generate_series(1, $rows) n");
	return write_lines('clients', @lines);
}

# pulls, pulls a second, median and 99th percentile in milliseconds
sub pull
{
	my ($gateway, $clients) = @_;
	my ($requests, $time, @late) = wrk($gateway->{url}, 1, $at_a_time, $seconds, 'get', $clients);
	return ($requests, $requests / $time, @late);
}

sub reads
{
	my ($gateway, $count) = @_;
	my @reads = map { $gateway->metric(qq(reads_total{server="$_"})) // 0 } 'primary', map { "replica-$_" } 1 .. $count;
	return @reads;
}

sub delay_replay
{
	my ($milliseconds) = @_;
	for my $standby (@standbys)
	{
		$standby->sql('postgres', "ALTER SYSTEM SET recovery_min_apply_delay = $milliseconds");
		$standby->sql('postgres', 'SELECT pg_reload_conf()');
	}
	return;
}

# One run: milliseconds of the primary and of the standbys for a pull, what they
# do for the commits taken off; and the share of the pulls that the primary served.
sub measure
{
	my ($gateway, $clients, $count, $idle) = @_;
	open my $file, '<', $clients or die $!;
	my ($token, $since) = <$file> =~ /^(\S+) .*since=(\S+)/;
	my $page = $gateway->pull($token, limit => 100, since => $since)->{json};
	die "a pull does not bring $rows rows\n" if @{ $page->{changesByType}{bench_tracked} // [] } != $rows;
	my @reads = reads($gateway, $count);
	my @before = map { processor($_) } $cluster, @standbys;
	my $began = time;
	my ($requests, $rate, $median, $late) = pull($gateway, $clients);
	my $elapsed = time - $began;
	my @after = map { processor($_) } $cluster, @standbys;
	my @served = reads($gateway, $count);
	my @cost = map { 1000 * ($after[$_] - $before[$_] - $idle->[$_] * $elapsed) / $requests } 0 .. $#after;
	my $all = 0;
	$all += $served[$_] - $reads[$_] for 0 .. $count;
	return { rate => $rate, median => $median, late => $late, primary => $cost[0], standbys => $cost[1] + $cost[2],
		share => $all ? ($served[0] - $reads[0]) / $all : 1 };
}

# What the servers do for the commits alone, processor seconds a second.
sub idle
{
	my @before = map { processor($_) } $cluster, @standbys;
	my $began = time;
	sleep $seconds;
	my @after = map { processor($_) } $cluster, @standbys;
	my $elapsed = time - $began;
	return [ map { ($after[$_] - $before[$_]) / $elapsed } 0 .. $#after ];
}

my $committing = begin_commits();
END { if ($committing) { local $?; kill 'TERM', $committing; waitpid $committing, 0 } }
my $idle = idle();

printf "\npulls of %d rows, %d at a time, %d commits a second by others, %s s each\n", $rows, $at_a_time, $commits, $seconds;
printf "%-34s %10s %10s %10s %12s %12s %10s\n", '', 'pulls/s', 'median ms', 'p99 ms', 'primary ms', 'standbys ms', 'by primary';
my $alone;
for my $count (0 .. 2)
{
	my $gateway = gateway_before($count);
	my $clients = clients($gateway);
	TideReplica::wait_for_standby($cluster, $_) for @standbys;
	my $of = measure($gateway, $clients, $count, $idle);
	$alone //= $of->{primary};
	printf "%-34s %10.0f %10.1f %10.1f %12.3f %12.3f %9.1f%%  %.0f %% of the primary's work is gone\n", "$count standbys",
	  @$of{qw(rate median late primary standbys)}, 100 * $of->{share}, 100 * (1 - $of->{primary} / $alone);
	$gateway->stop;
}

printf "\n%-34s %10s %10s %10s %10s\n", 'with 2 standbys that replay late', 'pulls/s', 'median ms', 'p99 ms', 'by primary';
# replica-wait and replica-max-lag are 1 second
for my $delay (0, 20, 100, 500, 900, 1500)
{
	my $gateway = gateway_before(2);
	my $clients = clients($gateway);
	TideReplica::wait_for_standby($cluster, $_) for @standbys;
	delay_replay($delay);
	my $of = measure($gateway, $clients, 2, $idle);
	printf "%-34s %10.0f %10.1f %10.1f %9.1f%%\n", "$delay ms", @$of{qw(rate median late)}, 100 * $of->{share};
	delay_replay(0);
	$gateway->stop;
}

kill 'TERM', $committing;
waitpid $committing, 0;
undef $committing;

# -- what a push writes

my $gateway = gateway_before(0);
my $token = $gateway->token('writes');
my $pushes = 500;

sub written
{
	my ($changes_of) = @_;
	my $written = q{SELECT pg_current_wal_insert_lsn() - '0/0', count(*), coalesce(sum(pg_column_size(l)), 0) FROM tide.log l};
	my @before = split /\|/, $cluster->sql($database, $written);
	for my $n (1 .. $pushes)
	{
		my $reply = $gateway->push_changes($token, { clientId => 'phone', changes => { bench_tracked => $changes_of->($n) } });
		die "a push got $reply->{status}: $reply->{content}\n" if $reply->{status} != 200 || @{ $reply->{json}{failed} };
	}
	my @after = split /\|/, $cluster->sql($database, $written);
	return map { ($after[$_] - $before[$_]) / $pushes } 0 .. 2;
}

sub note { return { id => sprintf('%08x-0000-4000-8000-%012x', @_), title => 'Bench Press', notes => 'five by five', position => 1 } }

$cluster->sql($database, 'CHECKPOINT');
$cluster->sql($database, 'INSERT INTO bench_tracked (id, user_id, title) SELECT gen_random_uuid(), $$writes$$, $$x$$ FROM generate_series(1, 1000)');
printf "\n%-34s %10s %10s %10s\n", 'what a push writes', 'WAL bytes', 'log rows', 'log bytes';
printf "%-34s %10.0f %10.2f %10.0f\n", 'of 1 new row', written(sub { [ note(1, $_[0]) ] });
printf "%-34s %10.0f %10.2f %10.0f\n", 'of 1 edit', written(sub { [ { %{ note(1, $_[0]) }, title => 'Squat' } ] });
printf "%-34s %10.0f %10.2f %10.0f\n", 'of 100 new rows', written(sub { my $n = $_[0]; [ map { note(2, $n * 1000 + $_) } 1 .. 100 ] });
$gateway->stop;
