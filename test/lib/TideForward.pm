package TideForward;

# A process between a gateway and its servers: it connects whoever comes to one of
# them, by turns, and can turn some away.

use strict;
use warnings;
use IO::Select ();
use IO::Socket::INET ();
use IO::Socket::UNIX ();
use POSIX ();
use Time::HiRes qw(time);

# The clusters' hosts are directories of sockets.
sub connection_to
{
	my ($server) = @_;
	return $server->{host} =~ m{^/} ? IO::Socket::UNIX->new(Peer => "$server->{host}/.s.PGSQL.$server->{port}")
	  : IO::Socket::INET->new(PeerHost => $server->{host}, PeerPort => $server->{port});
}

# {pid, port} of a process that serves who comes to the port: serve() gets the listener,
# and a function that says whether the test still runs.
sub in_process
{
	my ($serve) = @_;
	my $listener = IO::Socket::INET->new(LocalHost => '127.0.0.1', Listen => 100) or die $!;
	my $test = $$;
	my $pid = fork // die $!;
	return { pid => $pid, port => $listener->sockport } if $pid;
	local $SIG{TERM} = sub { POSIX::_exit(0) };
	local $SIG{PIPE} = 'IGNORE';
	# a test that dies has nobody wait for this process
	open STDOUT, '>', '/dev/null';
	open STDERR, '>', '/dev/null';
	$serve->($listener, sub { getppid == $test });
	POSIX::_exit(0);
}

# {pid, port} of such a process.  Whose first bytes look like "refuse" is turned away, for
# so many "seconds" from refuse() on, or "at_once".
sub start
{
	my ($servers, %option) = @_;
	return in_process(sub { forward(@_, $servers, \%option) });
}

sub forward
{
	my ($listener, $runs, $servers, $option) = @_;
	my $until = $option->{at_once} ? time + $option->{seconds} : 0;
	local $SIG{USR1} = sub { $until = time + $option->{seconds} };
	my (%peer, $turn);
	while ($runs->())
	{
		for my $socket (IO::Select->new($listener, map { $_->{from} } values %peer)->can_read(1))
		{
			if ($socket == $listener)
			{
				my $from = $listener->accept or next;
				my $to = connection_to($servers->[ $turn++ % @$servers ]) or next;
				$peer{$from} = { from => $from, to => $to, is_new => 1 };
				$peer{$to} = { from => $to, to => $from };
				next;
			}
			my $pair = $peer{$socket} // next;
			my $read = sysread $socket, my $bytes, 65536;
			my $refused = $read && delete $pair->{is_new} && time < $until && $bytes =~ $option->{refuse};
			next if $read && !$refused && syswrite $pair->{to}, $bytes;
			delete @peer{ $socket, $pair->{to} };
			close $_ for $socket, $pair->{to};
		}
	}
	return;
}

sub refuse { kill 'USR1', $_[0]{pid}; return }

sub stop
{
	my ($forward) = @_;
	kill 'TERM', $forward->{pid};
	waitpid $forward->{pid}, 0;
	return;
}

1;
