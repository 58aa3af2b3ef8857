# A session of PostgreSQL for tests that need several at once: a psql behind
# pipes.  Statements are sent and looked after, so that one session can wait
# for a lock while others go on.
#
#   my $session = TideSession->new($conninfo);
#   $session->send('UPDATE ...');
#   ... until ($session->done)
#   my $output = $session->output;         # lines, errors among them
#   my $value = $session->query('SELECT 1');   # send, wait, die on an error
package TideSession;

use strict;
use warnings;

use IO::Handle ();
use IPC::Open2 ();
use Time::HiRes ();

sub new
{
	my ($class, $conninfo, %option) = @_;
	my ($output, $input);
	my $self = bless { owner => $$, number => 0, busy => 0, buffer => '' }, $class;

	# psql's errors belong among its output, in order
	open my $stderr, '>&', \*STDERR or die "dup: $!";
	open STDERR, '>&', \*STDOUT or die "dup: $!";
	$self->{pid} = IPC::Open2::open2($output, $input, 'sh', '-c',
		'exec psql -X -q -A -t -v VERBOSITY=verbose -v SHOW_CONTEXT=never -d "$0" 2>&1',
		$conninfo);
	open STDERR, '>&', $stderr or die "dup: $!";
	$input->autoflush(1);
	$self->{input} = $input;
	$self->{psql} = $output;
	$self->{backend} = $self->query(
		'SET client_min_messages = warning; ' . ($option{setup} // '')
		. '; SELECT pg_backend_pid()');
	return $self;
}

sub backend { return $_[0]{backend}; }
sub busy { return $_[0]{busy}; }

# Has psql ended, as it does when the server ends its session?
sub ended { return $_[0]{ended}; }

sub send
{
	my ($self, $sql) = @_;
	die "this session is busy" if $self->{busy};
	local $SIG{PIPE} = 'IGNORE';
	$self->{busy} = 1;
	$self->{buffer} = '';
	$self->{number}++;
	$self->{sql} = $sql;
	utf8::encode($sql) if utf8::is_utf8($sql);
	print { $self->{input} } "$sql\n;\n\\echo <<<$self->{number}>>>\n";
	return;
}

# Has it answered?  Waits so many seconds at most.
sub done
{
	my ($self, $seconds) = @_;
	my $deadline = Time::HiRes::time() + ($seconds // 0);
	while ($self->{busy})
	{
		my $ready = '';
		my $left = $deadline - Time::HiRes::time();
		vec($ready, fileno($self->{psql}), 1) = 1;
		return 0 unless select($ready, undef, undef, $left > 0 ? $left : 0);
		my $length = sysread($self->{psql}, $self->{buffer}, 65536,
			length $self->{buffer});
		# it ended: what it said is all
		$self->{ended} = 1, $self->{busy} = 0 if !$length;
		$self->{busy} = 0
		  if $self->{buffer} =~ s/^<<<\Q$self->{number}\E>>>\n\z//m;
	}
	return 1;
}

sub output { return $_[0]{buffer}; }

# SQLSTATE of the first error of the last statements, '' if there is none; a
# lost connection counts as one.
sub error
{
	my ($self) = @_;
	return $1 if $self->{buffer} =~ /^(?:ERROR|FATAL|PANIC):  (\w{5}):/m;
	return '08006'
	  if $self->{buffer} =~ /server closed the connection|connection to server/;
	return '';
}

sub wait
{
	my ($self, $seconds) = @_;
	$self->done($seconds // 60)
	  or die "timed out waiting for: $self->{sql}\n";
	return $self->{buffer};
}

# The output without its last newline; dies on an error.
sub query
{
	my ($self, $sql, $seconds) = @_;
	$self->send($sql);
	my $output = $self->wait($seconds);
	die "$sql\n$output" if $self->error;
	chomp $output;
	return $output;
}

sub finish
{
	my ($self) = @_;
	return unless $self->{pid} && $self->{owner} == $$;
	local $?;
	# what could not be written to one that ended is tried again here
	local $SIG{PIPE} = 'IGNORE';
	close $self->{input};
	kill TERM => $self->{pid} if $self->{busy};
	waitpid $self->{pid}, 0;
	$self->{pid} = undef;
	return;
}

sub DESTROY { $_[0]->finish; return; }

1;
