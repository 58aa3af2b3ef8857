package TideSplit;

# A pooler as those that send transactions to standbys because they say READ ONLY.
# Each client has a session on the primary and one on the standby; what it sends up to
# a Sync goes to one of them.  No server may ask for a password.
#
# Or as one in transaction mode, for clients whose start looks like "by_turns": it goes
# to each in turn, and that of others to the first.

use strict;
use warnings;
use IO::Select ();
use TideForward ();

my %NO_START = map { $_ => 1 } 80877103, 80877104;	# asks for SSL, for GSSAPI
my $CANCEL = 80877102;

# {pid, port} of such a process; TideForward::stop() ends it.
sub start
{
	my ($primary, $standby, %option) = @_;
	return TideForward::in_process(sub { serve(@_, $primary, $standby, \%option) });
}

sub serve
{
	my ($listener, $runs, $primary, $standby, $option) = @_;
	my %session;		# by each of its three sockets
	while ($runs->())
	{
		for my $socket (IO::Select->new($listener, map { $_->{socket} } values %session)->can_read(1))
		{
			if ($socket == $listener)
			{
				my %at = (client => scalar $listener->accept, primary => TideForward::connection_to($primary),
					standby => TideForward::connection_to($standby));
				next if grep { !defined } values %at;
				my %shared = (at => \%at, batch => '', option => $option, turn => 0);
				$session{ $at{$_} } = { socket => $at{$_}, who => $_, shared => \%shared, unread => '' } for keys %at;
				next;
			}
			my $one = $session{$socket} // next;
			my $shared = $one->{shared};
			my $good = sysread $socket, my $bytes, 65536;
			$one->{unread} .= $bytes // '';
			$good &&= $one->{who} eq 'client' ? from_client($one, $shared)
			  : $one->{who} eq 'standby' && !$one->{is_ready} ? from_new_standby($one, $shared)
			  : hand_on($one, $shared->{at}{client});
			next if $good;
			delete @session{ values %{ $shared->{at} } };
			close $_ for values %{ $shared->{at} };
		}
	}
	return;
}

sub hand_on
{
	my ($one, $to) = @_;
	my $bytes = $one->{unread};
	$one->{unread} = '';
	return write_all($to, $bytes);
}

sub write_all
{
	my ($to, $bytes) = @_;
	while (length $bytes)
	{
		my $written = syswrite $to, $bytes or return 0;
		substr($bytes, 0, $written) = '';
	}
	return 1;
}

# The client has had the answer to its start from the primary.
sub from_new_standby
{
	my ($one, $shared) = @_;
	while (length $one->{unread} >= 5)
	{
		my ($type, $length) = unpack 'aN', $one->{unread};
		return 1 if length $one->{unread} < 1 + $length;
		substr($one->{unread}, 0, 1 + $length) = '';
		next if $type ne 'Z';
		$one->{is_ready} = 1;
		return hand_on($one, $shared->{at}{client});
	}
	return 1;
}

sub from_client
{
	my ($one, $shared) = @_;
	return 1 if !$one->{has_started} && !take_start($one, $shared);
	while (length $one->{unread} >= 5)
	{
		my ($type, $length) = unpack 'aN', $one->{unread};
		last if length $one->{unread} < 1 + $length;
		$shared->{batch} .= substr $one->{unread}, 0, 1 + $length, '';
		next if $type !~ /^[SQX]$/;
		my $is_other = $shared->{option}{by_turns} ? $shared->{by_turns} && $shared->{turn}++ % 2
		  : $shared->{batch} =~ /READ ONLY/;
		my $to = $is_other ? 'standby' : 'primary';
		write_all($shared->{at}{$to}, $shared->{batch}) or return 0;
		$shared->{batch} = '';
	}
	return 1;
}

# False: the client has still to start.
sub take_start
{
	my ($one, $shared) = @_;
	while (length $one->{unread} >= 8)
	{
		my ($length, $code) = unpack 'NN', $one->{unread};
		return 0 if length $one->{unread} < $length;
		my $packet = substr $one->{unread}, 0, $length, '';
		if ($NO_START{$code})
		{
			write_all($shared->{at}{client}, 'N');
			next;
		}
		$shared->{by_turns} = $shared->{option}{by_turns} && $packet =~ $shared->{option}{by_turns};
		write_all($shared->{at}{$_}, $packet) for qw(primary standby);
		return $one->{has_started} = $code != $CANCEL;
	}
	return 0;
}

1;
