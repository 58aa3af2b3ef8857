# Behind pgbouncer in transaction mode: sessions are shared by all connections
# of the gateway, and still nothing of one user is seen by another.  Skipped
# where pgbouncer is not installed (TIDE_TEST_PGBOUNCER names another one).
#
# Seen failing: with "false" for "true" in the set_config() of role, claims or
# lock_timeout in gateway/src/database/connection.c.
use strict;
use warnings;

use File::Temp ();
use FindBin ();
use lib "$FindBin::Bin/../lib";
use POSIX ();
use Test::More;
use TideTest qw(wait_for);

my ($pgbouncer) = grep { defined && -x }
  ($ENV{TIDE_TEST_PGBOUNCER}, '/usr/sbin/pgbouncer');
plan skip_all => 'pgbouncer is not installed' unless $pgbouncer;

my $cluster = TideTest::Cluster->start;
my $database = $cluster->create_fake;
my $directory = File::Temp::tempdir('tide-pooler-XXXXXX', TMPDIR => 1, CLEANUP => 1);

# A free port; pgbouncer does not pick one itself.
my ($port) = grep { TideTest::Cluster::port_is_free($_) } 56150 .. 56199;
open my $file, '>', "$directory/pgbouncer.ini" or die $!;
print {$file} <<INI;
[databases]
* = host=127.0.0.1 port=$cluster->{port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $port
unix_socket_dir =
auth_type = trust
auth_file = $directory/users
pool_mode = transaction
default_pool_size = 2
INI
close $file;
open $file, '>', "$directory/users" or die $!;
print {$file} qq("tide_gateway" ""\n);
close $file;
chmod 0755, $directory;

my $pooler = fork // die $!;
if ($pooler == 0)
{
	open STDIN, '<', '/dev/null' or POSIX::_exit(126);
	open STDOUT, '>', "$directory/log" or POSIX::_exit(126);
	open STDERR, '>&', \*STDOUT or POSIX::_exit(126);
	# -u: pgbouncer does not run as root either
	my @command = ($pgbouncer, $> == 0 ? ('-u', 'postgres') : (),
		"$directory/pgbouncer.ini");
	exec { $command[0] } @command or POSIX::_exit(127);
}
END
{
	if ($pooler)
	{
		local $?;
		kill KILL => $pooler;
		waitpid $pooler, 0;
	}
}

my $gateway = TideTest::Gateway->start(
	database_url => "host=127.0.0.1 port=$port dbname=$database user=tide_gateway",
	settings => { 'db-connections' => 8 })->wait_until_ready;

# Six users at once, each with pulls and pushes in turn.
my $rounds = 100;
my @children;
for my $user (map { "user$_" } 1 .. 6)
{
	my $child = fork // die $!;
	if ($child == 0)
	{
		undef $pooler;
		my $token = $gateway->token($user);
		my $bad = 0;
		$gateway->{http} = HTTP::Tiny->new(timeout => 60);
		for my $i (1 .. $rounds)
		{
			my $pull = $gateway->pull($token, clientId => "phone of $user");
			my $push = $gateway->push_changes($token, { id => "$user $i" });
			for my $try ([ $pull, "phone of $user" ], [ $push, '' ])
			{
				my ($reply, $client) = @$try;
				my $echo = $reply->{json}{echo} // {};
				next if $reply->{status} == 200
				  && $echo->{claims} =~ /"sub":"$user"/
				  && $echo->{clientId} eq $client;
				print STDERR "# $user: $reply->{status} $reply->{content}\n";
				$bad++;
			}
		}
		POSIX::_exit($bad > 0);
	}
	push @children, $child;
}
for my $child (@children)
{
	waitpid $child, 0;
	is $?, 0, 'a user saw only replies of their own';
}
is $cluster->sql($database,
	'SELECT count(*) || \' \' || count(DISTINCT body) FROM tide.pushed'),
  6 * $rounds . ' ' . 6 * $rounds, 'each push is stored once';

# The pooler's sessions are as they were: whoever comes next finds nothing.
like $gateway->log, qr/event=prepared-statements-off/,
  'the gateway has noticed that sessions change under it';
for my $session (1 .. 6)
{
	is TideTest::run_program(<<'SQL', 'psql', '-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1',
SELECT current_user, coalesce(current_setting('request.jwt.claims', true), ''),
	coalesce(current_setting('pg_tide.client_id', true), ''), current_setting('role'),
	current_setting('statement_timeout'), current_setting('lock_timeout'),
	current_setting('idle_in_transaction_session_timeout');
SQL
		'-d', "host=127.0.0.1 port=$port dbname=$database user=tide_gateway", '-f', '-'),
	  "tide_gateway|||none|0|0|0\n", 'a session has no settings of a user';
}
is $gateway->stop, 0, 'stops with status 0';
done_testing;
