# Helpers of the client's tests: the command `tide`, and the programs that
# write the device's file behind its back.
#
#   my $device = TideClient->new($gateway, 'ann');      a file and a token
#   $device->clone;                                     dies unless it exits 0
#   my $run = $device->tide('sync', '--json');          {status, out, err, json}
#   $device->sql("UPDATE ...");                         by the sqlite3 shell
package TideClient;

use strict;
use warnings;

use File::Temp ();
use POSIX ();
use TideTest qw(decode_json root_directory);

our $program = $ENV{TIDE_TEST_CLIENT} // root_directory() . '/client/tide';

# Options: name of the file; url instead of the gateway's; clone => [options].
sub new
{
	my ($class, $gateway, $user, %option) = @_;
	my $self = bless {
		directory => File::Temp->newdir('tide-client-XXXXXX', TMPDIR => 1),
		url => $option{url} // $gateway->{url},
		gateway => $gateway,
		environment => {},
		clone => $option{clone} // [] }, $class;
	$self->{file} = "$self->{directory}/" . ($option{name} // 'device.db');
	$self->{token_file} = "$self->{directory}/token";
	$self->token_of($user, $option{token}) if defined $user;
	return $self;
}

# Whose token is in the file from now on.
sub token_of
{
	my ($self, $user, $token) = @_;
	open my $out, '>', $self->{token_file} or die $!;
	print {$out} $token // $self->{gateway}->token($user), "\n";
	close $out;
	return;
}

# Run a program; what it wrote, and its exit status.
sub run
{
	my ($self, @command) = @_;
	my $out = File::Temp->new;
	my $err = File::Temp->new;
	my $pid = fork // die $!;
	if ($pid == 0)
	{
		%ENV = (%ENV, XDG_CONFIG_HOME => "$self->{directory}/config",
			%{ $self->{environment} });
		open STDIN, '<', '/dev/null' or POSIX::_exit(126);
		open STDOUT, '>', $out->filename or POSIX::_exit(126);
		open STDERR, '>', $err->filename or POSIX::_exit(126);
		exec { $command[0] } @command or POSIX::_exit(127);
	}
	waitpid $pid, 0;
	my %run = (status => $? >> 8, signal => $? & 127);
	for (['out', $out], ['err', $err])
	{
		open my $in, '<', $_->[1]->filename or die $!;
		local $/;
		$run{ $_->[0] } = <$in> // '';
	}
	$run{json} = eval { decode_json($run{out}) };
	return \%run;
}

# A command on the file.
sub tide
{
	my ($self, $command, @arguments) = @_;
	return $self->run($program, $command, $self->{file}, @arguments);
}

sub clone
{
	my ($self, @options) = @_;
	my $run = $self->try_clone(@options);
	die "clone exited with $run->{status}: $run->{err}\n" if $run->{status} != 0;
	return $run;
}

sub try_clone
{
	my ($self, @options) = @_;
	return $self->run($program, 'clone', $self->{url}, $self->{file},
		'--token-file', $self->{token_file}, @{ $self->{clone} }, @options);
}

# tide watch in the background: said(), what it printed; ended(); stop(), by
# SIGTERM; status(), of one that has ended.
sub watch
{
	my ($self) = @_;
	my $out = File::Temp->new;
	my $err = File::Temp->new;
	my $pid = fork // die $!;
	if ($pid == 0)
	{
		%ENV = (%ENV, XDG_CONFIG_HOME => "$self->{directory}/config", %{ $self->{environment} });
		open STDIN, '<', '/dev/null' or POSIX::_exit(126);
		open STDOUT, '>', $out->filename or POSIX::_exit(126);
		open STDERR, '>', $err->filename or POSIX::_exit(126);
		exec { $program } $program, 'watch', $self->{file} or POSIX::_exit(127);
	}
	return bless { pid => $pid, out => $out, err => $err, began => time }, 'TideClient::Watch';
}

# A sync that has to exit with this status (0).
sub sync
{
	my ($self, $status) = @_;
	my $run = $self->tide('sync', '--json');
	$status //= 0;
	die "sync exited with $run->{status}, not $status: $run->{out}$run->{err}\n" . $self->tide("pending")->{out}
	  if $run->{status} != $status;
	return $run->{json};
}

# SQL by the sqlite3 shell, which loads nothing of ours; the rows as lines.
sub sql
{
	my ($self, $text) = @_;
	my $run = $self->try_sql($text);
	die "sqlite3 failed: $run->{err}\n$text\n" if $run->{status} != 0 || $run->{err} ne '';
	chomp $run->{out};
	return $run->{out};
}

sub try_sql
{
	my ($self, $text) = @_;
	return $self->run('sqlite3', '-batch', '-bail', '-cmd', '.timeout 10000',
		$self->{file}, $text);
}

# The same by Python's sqlite3 module; an expression to be printed.
sub python
{
	my ($self, $text) = @_;
	my $run = $self->run(-x '/usr/bin/python3' ? '/usr/bin/python3' : 'python3', '-c',
		"import sqlite3\ndb = sqlite3.connect('$self->{file}', isolation_level=None)\n$text");
	die "python failed: $run->{err}\n" if $run->{status} != 0;
	chomp $run->{out};
	return $run->{out};
}

sub pending { my ($self) = @_; return $self->tide('pending', '--json')->{json}; }
sub lost { my ($self) = @_; return $self->tide('lost', '--json')->{json}; }
sub status { my ($self) = @_; return $self->tide('status', '--json')->{json}; }

package TideClient::Watch;

sub said
{
	my ($self, $which) = @_;
	open my $in, '<', $self->{ $which // 'out' }->filename or die $!;
	local $/;
	return scalar(<$in>) // '';
}

sub ended
{
	my ($self) = @_;
	return 1 if !$self->{pid};
	return 0 if waitpid($self->{pid}, POSIX::WNOHANG()) == 0;
	$self->{code} = $?;
	delete $self->{pid};
	return 1;
}

sub stop
{
	my ($self) = @_;
	return if $self->ended;
	kill TERM => $self->{pid};
	TideTest::wait_for('the watch ends', 20, sub { $self->ended });
	return;
}

sub status { my ($self) = @_; return ($self->{code} & 127) ? "signal $self->{code}" : $self->{code} >> 8; }

sub DESTROY
{
	my ($self) = @_;
	local ($?, $@);
	return if !$self->{pid};
	kill KILL => $self->{pid};
	waitpid $self->{pid}, 0;
	return;
}

1;
