# Helpers of the end-to-end tests: throw-away PostgreSQL clusters, gateways,
# HTTP, tokens, waiting.  Core modules only; SQL goes through psql.
#
#   my $cluster  = TideTest::Cluster->start;
#   my $database = $cluster->create_database;
#   my $gateway  = TideTest::Gateway->start(cluster => $cluster,
#                                           database => $database);
#   my $reply    = $gateway->get('/api/v1/sync/pull', token => $gateway->token('u1'));
#
# With TIDE_TEST_CLUSTER=1, TideTest::Cluster->shared is the cluster that
# PGHOST, PGPORT and PGUSER name; else it starts one.  Everything started here
# is stopped, and every directory removed, when the test ends.
package TideTest;

use strict;
use warnings;

use Cwd ();
use Digest::MD5 ();
use Exporter 'import';
use File::Basename ();
use File::Temp ();
use IO::Socket::INET ();
use JSON::PP ();
use POSIX ();
use Time::HiRes ();

our @EXPORT_OK = qw(wait_for raw_http decode_json encode_json root_directory
  iso uuid apply_page in_background finished);

my $root = Cwd::abs_path(File::Basename::dirname(__FILE__) . '/../..');

sub root_directory { return $root; }

# Exact numbers: bigints beyond 2**53 stay what they are.
my $json = JSON::PP->new->utf8->canonical->allow_bignum->allow_nonref;
sub decode_json { return $json->decode($_[0]); }
sub encode_json { return $json->encode($_[0]); }

# A time as ISO 8601 in UTC with milliseconds.
sub iso
{
	my ($time) = @_;
	my $ms = int($time * 1000 + 0.5);
	return POSIX::strftime('%Y-%m-%dT%H:%M:%S', gmtime int($ms / 1000))
	  . sprintf('.%03dZ', $ms % 1000);
}

# The uuid that a name stands for: the same in each run.
sub uuid
{
	my @part = unpack 'A8 A4 A4 A4 A12', Digest::MD5::md5_hex("@_");
	return join '-', @part;
}

# What a client does with a page: $copy is { type => { id => row } }.
sub apply_page
{
	my ($copy, $page) = @_;
	for my $type (keys %{ $page->{changesByType} })
	{
		$copy->{$type}{ $_->{id} } = $_ for @{ $page->{changesByType}{$type} };
	}
	for my $type (keys %{ $page->{deletedByType} })
	{
		delete $copy->{$type}{ $_->{id} }
		  for @{ $page->{deletedByType}{$type} };
	}
	return;
}

# Poll until $condition is true, and return what it gave.  Dies with the
# description at the deadline.
sub wait_for
{
	my ($description, $seconds, $condition) = @_;
	my $deadline = Time::HiRes::time() + $seconds;
	while (1)
	{
		my $result = $condition->();
		return $result if $result;
		die "timed out after $seconds s waiting for: $description\n"
		  if Time::HiRes::time() > $deadline;
		Time::HiRes::usleep(20_000);
	}
}

# Have a process of its own do something with a gateway; what came of it, status
# and json, is read by finished().
sub in_background
{
	my ($gateway, $action) = @_;
	my $file = File::Temp->new;
	my $pid = fork // die $!;
	if ($pid == 0)
	{
		$gateway->{http} = HTTP::Tiny->new(timeout => 60);
		my $reply = eval { $action->() } // { status => 0, content => $@ };
		open my $out, '>', $file->filename or POSIX::_exit(1);
		print {$out} encode_json({ status => $reply->{status},
			json => $reply->{json} });
		close $out;
		POSIX::_exit(0);
	}
	return { pid => $pid, file => $file };
}

sub finished
{
	my ($job) = @_;
	wait_for('a request in the background ends', 60,
		sub { return waitpid($job->{pid}, POSIX::WNOHANG()) != 0; });
	open my $in, '<', $job->{file}->filename or die $!;
	local $/;
	return decode_json(<$in>);
}

# Send exactly these bytes, and return all that comes back until the server
# closes the connection or has said nothing for a while.
sub raw_http
{
	my ($port, $bytes, %option) = @_;
	my $socket = IO::Socket::INET->new(
		PeerHost => '127.0.0.1',
		PeerPort => $port,
		Timeout => 5) or die "could not connect to port $port: $!";
	my $reply = '';
	my $quiet = $option{quiet} // 5;
	local $SIG{PIPE} = 'IGNORE';
	print {$socket} $bytes;
	$socket->flush;
	while (1)
	{
		my $ready = '';
		vec($ready, fileno($socket), 1) = 1;
		last unless select($ready, undef, undef, $quiet);
		my $length = sysread($socket, $reply, 65536, length $reply);
		last unless $length;
		last if $option{until} && $reply =~ $option{until};
	}
	close $socket;
	return $reply;
}

# Run a program and return its standard output; dies if it fails.
sub run_program
{
	my ($input, @command) = @_;
	my $file = File::Temp->new;
	my $errors = File::Temp->new;
	print {$file} $input;
	$file->flush;
	seek $file, 0, 0;
	pipe(my $reader, my $writer) or die "pipe: $!";
	my $pid = fork // die "fork: $!";
	if ($pid == 0)
	{
		open STDIN, '<', $file->filename or POSIX::_exit(126);
		open STDOUT, '>&', $writer or POSIX::_exit(126);
		open STDERR, '>', $errors->filename or POSIX::_exit(126);
		exec { $command[0] } @command or POSIX::_exit(127);
	}
	close $writer;
	my $output = do { local $/; <$reader> };
	local $?;
	waitpid $pid, 0;
	if ($? != 0)
	{
		open my $handle, '<', $errors->filename or die;
		my $message = do { local $/; <$handle> };
		die "@command failed with status $?:\n$message";
	}
	return $output // '';
}

package TideTest::Cluster;

use strict;
use warnings;

use POSIX ();
use Time::HiRes ();

my $first_port = $ENV{TIDE_TEST_FIRST_PORT} // 56100;
my $next_port = $first_port + $$ % 50;
my $next_database = 1;
my $shared;
my @started;

# The cluster that tests which only need databases share.
sub shared
{
	my ($class) = @_;
	return $shared if $shared;
	if ($ENV{TIDE_TEST_CLUSTER})
	{
		$shared = bless {
			host => $ENV{PGHOST} // '/var/run/postgresql',
			port => $ENV{PGPORT} // 5432,
			user => $ENV{PGUSER} // 'postgres',
			foreign => 1,
			owner => $$,
			databases => [] }, $class;
		push @started, $shared;
		return $shared;
	}
	return $shared = $class->start;
}

sub bin_directory
{
	my $pg_config = $ENV{PG_CONFIG} // 'pg_config';
	chomp(my $directory = TideTest::run_program('', $pg_config, '--bindir'));
	return $directory;
}

# PostgreSQL does not run as root.
sub as_server_user
{
	my (@command) = @_;
	return $> == 0 ? ('runuser', '-u', 'postgres', '--', @command) : @command;
}

sub port_is_free
{
	my ($port) = @_;
	my $socket = IO::Socket::INET->new(
		LocalHost => '127.0.0.1',
		LocalPort => $port,
		Listen => 1,
		ReuseAddr => 1);
	return 0 unless $socket;
	close $socket;
	return 1;
}

# Start a cluster of our own.  Options: settings => { name => value }; bin, the
# directory of another PostgreSQL.
sub start
{
	my ($class, %option) = @_;
	my $directory = File::Temp::tempdir('tide-cluster-XXXXXX', TMPDIR => 1);
	my $self = bless {
		directory => $directory,
		data => "$directory/data",
		host => '127.0.0.1',
		user => 'postgres',
		bin => $option{bin} // bin_directory(),
		owner => $$,
		databases => [] }, $class;
	chmod 0755, $directory;
	if ($> == 0)
	{
		my (undef, undef, $uid, $gid) = getpwnam('postgres')
		  or die "there is no user postgres";
		chown $uid, $gid, $directory;
	}

	chdir '/' if $> == 0;
	TideTest::run_program('', as_server_user("$self->{bin}/initdb",
		'-D', $self->{data}, '-U', 'postgres', '-A', 'trust', '-N',
		'-E', 'UTF8', '--locale=C'));
	my %settings = (
		fsync => 'off',
		listen_addresses => "'127.0.0.1'",
		unix_socket_directories => "'$directory'",
		%{ $option{settings} // {} });
	my $lines = join '', map { "$_ = $settings{$_}\n" } sort keys %settings;
	open my $configuration, '>>', "$self->{data}/postgresql.conf" or die $!;
	print {$configuration} $lines;
	close $configuration;

	for my $try (1 .. 50)
	{
		$self->{port} = $next_port;
		$next_port = $first_port + ($next_port - $first_port + 1) % 100;
		next unless port_is_free($self->{port});
		if ($self->up)
		{
			push @started, $self;
			return $self;
		}
	}
	die "could not start a cluster; see $directory/log";
}

sub control
{
	my ($self, @arguments) = @_;
	return eval {
		TideTest::run_program('', as_server_user("$self->{bin}/pg_ctl", '-s',
			'-w', '-t', '60', '-D', $self->{data}, @arguments));
		1;
	};
}

# Stop the server and start it again as a standby, of nobody.
sub become_standby
{
	my ($self) = @_;
	$self->down;
	my $signal = "$self->{data}/standby.signal";
	open my $file, '>', $signal or die $!;
	close $file;
	chown((stat $self->{data})[4, 5], $signal);
	$self->up or die $@;
	return;
}

# Which standbys a COMMIT waits for, from now on; '': for none.
sub set_synchronous_standbys
{
	my ($self, $names) = @_;
	$self->sql('postgres', "SET synchronous_commit = local; ALTER SYSTEM SET synchronous_standby_names = '$names'");
	$self->sql('postgres', 'SELECT pg_reload_conf()');
	TideTest::wait_for('the server has read it', 30,
		sub { return $self->sql('postgres', 'SHOW synchronous_standby_names') eq $names; });
	# sessions go by what the checkpointer has read, which it does first of all
	$self->sql('postgres', 'CHECKPOINT');
	return;
}

# Start the server again, on the same port.
sub up
{
	my ($self) = @_;
	return $self->control('-l', "$self->{directory}/log",
		'-o', "-p $self->{port}", 'start');
}

# Stop the server; mode is fast, immediate or smart.
sub down
{
	my ($self, $mode) = @_;
	return $self->control('-m', $mode // 'fast', 'stop');
}

sub restart
{
	my ($self, $mode) = @_;
	$self->down($mode) or die "could not stop the cluster: $@";
	$self->up or die "could not start the cluster: $@";
	return;
}

# A conninfo string; the user is the superuser unless given.
sub conninfo
{
	my ($self, $database, $user) = @_;
	$user //= $self->{user};
	return "host=$self->{host} port=$self->{port} dbname=$database user=$user";
}

# Run SQL; returns unaligned tuples without the last newline.
sub sql
{
	my ($self, $database, $text) = @_;
	my $output = TideTest::run_program($text, 'psql', '-X', '-q', '-A', '-t',
		'-v', 'ON_ERROR_STOP=1', '-d', $self->conninfo($database), '-f', '-');
	chomp $output;
	return $output;
}

sub sql_file
{
	my ($self, $database, $file) = @_;
	return TideTest::run_program('', 'psql', '-X', '-q', '-A', '-t',
		'-v', 'ON_ERROR_STOP=1', '-d', $self->conninfo($database),
		'-f', $file);
}

# Create an empty database and return its name; dropped at the end.
sub create_database
{
	my ($self, $name) = @_;
	$name //= "tide_test_${$}_" . $next_database++;
	$self->sql('postgres', "CREATE DATABASE \"$name\"");
	push @{ $self->{databases} }, $name;
	return $name;
}

# The roles that the documentation sets up: tide_user, and the gateway's own.
sub create_roles
{
	my ($self) = @_;
	$self->sql('postgres', <<'SQL');
DO $$
BEGIN
	IF to_regrole('tide_user') IS NULL THEN
		CREATE ROLE tide_user NOLOGIN;
	END IF;
	IF to_regrole('tide_gateway') IS NULL THEN
		CREATE ROLE tide_gateway LOGIN NOINHERIT;
	END IF;
	IF NOT pg_has_role('tide_gateway', 'tide_user', 'MEMBER') THEN
		GRANT tide_user TO tide_gateway;
	END IF;
END $$;
SQL
	return;
}

# Roles, and a database with pg_tide, after $setup has run in it.  Returns the
# database's name.
sub create_synced
{
	my ($self, $setup) = @_;
	$self->create_roles;
	my $database = $self->create_database;
	$self->sql($database, "CREATE EXTENSION pg_tide;\n"
		. "GRANT EXECUTE ON FUNCTION tide.watch(text) TO tide_gateway;\n" . $setup);
	return $database;
}

# The scopes of users are what a table says: "allowed", with these rows.
sub allow
{
	my ($self, $database, @rows) = @_;
	$self->sql($database, "CREATE TABLE allowed (sub text, scope text);\n"
		. 'INSERT INTO allowed VALUES ' . join(', ', map { "('$_->[0]', '$_->[1]')" } @rows) . ";\n" . <<'SQL');
CREATE FUNCTION scopes(claims jsonb) RETURNS text[] STABLE SECURITY DEFINER SET search_path = public LANGUAGE sql
	AS $$ SELECT coalesce(array_agg(scope), ARRAY[]::text[]) FROM allowed WHERE sub = claims->>'sub' $$;
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET pg_tide.scopes_function = ''public.scopes''', current_database()); END $$;
SQL
	return;
}

# A database with one of examples/, set up as its README says.
sub create_example
{
	my ($self, $name) = @_;
	my $directory = TideTest::root_directory() . "/examples/$name";
	my $database = $self->create_database;
	$self->sql_file($database, "$directory/$_.sql")
	  for 'schema', grep { -e "$directory/$_.sql" } 'data';
	$self->sql($database, 'CREATE EXTENSION pg_tide');
	$self->sql_file($database, "$directory/$_.sql") for 'track', 'roles';
	return $database;
}

# Roles, and a database with the double of pg_tide: what tests of the gateway
# alone need.  Returns the database's name.
sub create_fake
{
	my ($self) = @_;
	$self->create_roles;
	my $database = $self->create_database;
	$self->sql_file($database,
		TideTest::root_directory() . '/test/lib/FakeTide.sql');
	return $database;
}

sub finish
{
	my ($self) = @_;
	return unless $self->{owner} == $$;
	if ($self->{foreign})
	{
		for my $name (splice @{ $self->{databases} })
		{
			eval {
				$self->sql('postgres', "DROP DATABASE \"$name\" WITH (FORCE)");
			};
		}
		return;
	}
	$self->down('immediate');
	File::Path::remove_tree($self->{directory});
	return;
}

package TideTest::Gateway;

use strict;
use warnings;

use File::Path ();
use HTTP::Tiny ();
use POSIX ();
use Time::HiRes ();

my @gateways;
my $secret_directory;
my %tokens;

# A secret file that all gateways of this test share.
sub secret_file
{
	unless ($secret_directory)
	{
		$secret_directory = File::Temp->newdir('tide-secret-XXXXXX', TMPDIR => 1);
		open my $file, '>', "$secret_directory/secret" or die $!;
		print {$file} secret(), "\n";
		close $file;
	}
	return "$secret_directory/secret";
}

sub secret { return 'a secret for tests, and for tests only'; }

sub program
{
	return $ENV{TIDE_TEST_GATEWAY} // TideTest::root_directory()
	  . '/gateway/tide-gateway';
}

# Run the gateway's own token command.
sub token
{
	my ($self, $sub, %option) = @_;
	my @arguments = ('--jwt-secret-file', secret_file(), '--sub', $sub);
	push @arguments, '--role', $option{role} if defined $option{role};
	push @arguments, '--ttl', $option{ttl} if defined $option{ttl};
	my $key = join "\0", @arguments;
	return $tokens{$key} //= do
	{
		my $token = TideTest::run_program('', program(), 'token', @arguments);
		chomp $token;
		$token;
	};
}

# Start a gateway and wait until it listens.  Options: cluster and database,
# or database_url; user (default tide_gateway); settings => { name => value }
# become command line arguments, environment => { ... } is set besides.
sub start
{
	my ($class, %option) = @_;
	my $self = bless {
		log_file => File::Temp->new(TEMPLATE => 'tide-gateway-XXXXXX',
			TMPDIR => 1)->filename,
		owner => $$ }, $class;
	my %settings = (
		'listen' => '127.0.0.1:0',
		'jwt-secret-file' => secret_file(),
		'database-url' => $option{database_url} // $option{cluster}->conninfo(
			$option{database}, $option{user} // 'tide_gateway'),
		%{ $option{settings} // {} });
	my @command = (program(), map { defined $settings{$_}
		? ("--$_", $settings{$_}) : () } sort keys %settings);

	$self->{pid} = fork // die "fork: $!";
	if ($self->{pid} == 0)
	{
		delete @ENV{ grep { /^TIDE_/ } keys %ENV };
		%ENV = (%ENV, %{ $option{environment} // {} });
		open STDIN, '<', '/dev/null' or POSIX::_exit(126);
		open STDERR, '>', $self->{log_file} or POSIX::_exit(126);
		open STDOUT, '>&', \*STDERR or POSIX::_exit(126);
		exec { $command[0] } @command or POSIX::_exit(127);
	}
	push @gateways, $self;
	TideTest::wait_for('the gateway listens', 30, sub {
		die "the gateway ended:\n" . $self->log
		  if waitpid($self->{pid}, POSIX::WNOHANG()) > 0;
		return $self->log =~ /listening address=\S+ port=(\d+)/
		  && ($self->{port} = $1);
	});
	$self->{url} = "http://127.0.0.1:$self->{port}";
	$self->{http} = HTTP::Tiny->new(timeout => 60, keep_alive => 1,
		agent => 'tide-test');
	return $self;
}

# Wait until the gateway has its database.
sub wait_until_ready
{
	my ($self) = @_;
	TideTest::wait_for('the gateway is ready', 30,
		sub { return $self->get('/ready')->{status} == 200; });
	return $self;
}

# The value of tide_NAME among the gateway's metrics, which it must serve
# (metrics-listen); undef: there is none.
sub metric
{
	my ($self, $name) = @_;
	my ($address, $port) = $self->log =~ /event=metrics address=(\S+) port=(\d+)/
	  or die "the gateway does not serve its metrics\n";
	my $text = HTTP::Tiny->new->get("http://$address:$port/metrics")->{content};
	return $text =~ /^tide_\Q$name\E (\S+)$/m ? $1 : undef;
}

sub log
{
	my ($self) = @_;
	open my $file, '<', $self->{log_file} or return '';
	local $/;
	return scalar(<$file>) // '';
}

# A test of its own: the log has what matches.  The gateway writes it from a thread
# of its own, so a reply may be here before the line that tells of it.
sub log_says
{
	my ($self, $pattern, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	eval { TideTest::wait_for('the log says it', 10, sub { return $self->log =~ $pattern }) };
	return Test::More::like($self->log, $pattern, $name);
}

# A request; the reply is HTTP::Tiny's, with the decoded body as {json}.
# Options: token, headers, content (bytes) or json (a structure).
sub request
{
	my ($self, $method, $path, %option) = @_;
	my %headers = %{ $option{headers} // {} };
	my %arguments;
	$headers{Authorization} = "Bearer $option{token}" if $option{token};
	if (exists $option{json})
	{
		$arguments{content} = TideTest::encode_json($option{json});
		$headers{'Content-Type'} //= 'application/json';
	}
	elsif (exists $option{content})
	{
		$arguments{content} = $option{content};
		$headers{'Content-Type'} //= 'application/json';
	}
	delete $headers{$_} for grep { !defined $headers{$_} } keys %headers;
	my $reply = $self->{http}->request($method, "$self->{url}$path",
		{ %arguments, headers => \%headers });
	$reply->{json} = eval { TideTest::decode_json($reply->{content}) };
	return $reply;
}

sub get { my ($self, $path, @rest) = @_; return $self->request('GET', $path, @rest); }
sub post { my ($self, $path, @rest) = @_; return $self->request('POST', $path, @rest); }

sub push_changes
{
	my ($self, $token, $body) = @_;
	return $self->post('/api/v1/sync/push', token => $token, json => $body);
}

# A pull; fields are query parameters, a list of values repeats one.
sub pull
{
	my ($self, $token, %field) = @_;
	my $query = $self->{http}->www_form_urlencode(\%field);
	return $self->get("/api/v1/sync/pull?$query", token => $token);
}

# All pages from a cursor, or from nothing, to the end; dies unless each is 200.
sub pull_pages
{
	my ($self, $token, %field) = @_;
	my @pages;
	while (1)
	{
		my $reply = $self->pull($token, %field);
		die "a pull got $reply->{status}: $reply->{content}\n"
		  if $reply->{status} != 200;
		push @pages, $reply->{json};
		return @pages unless $reply->{json}{hasMore};
		die "a pull does not end\n" if @pages > 20_000;
		$field{since} = $reply->{json}{cursor};
	}
}

sub signal
{
	my ($self, $name) = @_;
	kill $name => $self->{pid};
	return;
}

# Have it stand still, all threads of it, for a KILL to find it so.
sub freeze
{
	my ($self) = @_;
	$self->signal('STOP');
	TideTest::wait_for('all threads of the gateway stand still', 10, sub {
		my @states;
		for my $file (glob "/proc/$self->{pid}/task/*/stat")
		{
			open my $stat, '<', $file or next;
			push @states, scalar <$stat>;
		}
		# "pid (name) T ..." is a stopped one
		return !grep { !/\) T / } @states;
	});
	return;
}

# Stop it and return its wait status.
sub stop
{
	my ($self, $signal) = @_;
	return $self->{exit_status} if defined $self->{exit_status};
	$self->signal($signal // 'TERM');
	return $self->wait_until_stopped;
}

sub wait_until_stopped
{
	my ($self) = @_;
	local $?;
	TideTest::wait_for('the gateway ends', 30,
		sub { return waitpid($self->{pid}, POSIX::WNOHANG()) != 0; });
	$self->{exit_status} = $?;
	# one that a signal has ended says why in its log alone
	Test::More::diag(substr $self->log, -4000) if ($? & 127) != 0 && ($? & 127) != POSIX::SIGKILL();
	return $self->{exit_status};
}

# Whatever happens, leave no process behind; a signal must get to END, too.
$SIG{$_} = sub { exit 1 } for qw(HUP INT TERM);

END
{
	my $status = $?;
	for my $gateway (grep { $_->{owner} == $$ } @gateways)
	{
		unless (defined $gateway->{exit_status})
		{
			kill KILL => $gateway->{pid};
			waitpid $gateway->{pid}, 0;
		}
		if ($status != 0 && $ENV{TIDE_TEST_KEEP_LOGS})
		{
			print STDERR "# gateway log: $gateway->{log_file}\n";
			next;
		}
		unlink $gateway->{log_file};
	}
	$_->finish for @started;
	$? = $status;
}

1;
