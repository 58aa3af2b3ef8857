package TideGroups;

# Pushes that wait together, so that the gateway runs them in one transaction: all
# connections are taken by pushes that wait for a lock, and are given up when all
# are queued.
#
#   TideGroups->new(cluster => , database => )	with a tracked table "gate"

use strict;
use warnings;

use HTTP::Tiny ();
use IO::Select ();
use IO::Socket::INET ();
use TideTest qw(wait_for decode_json encode_json);

my $next = 0;

sub new { my ($class, %option) = @_; return bless {%option}, $class }
sub sql { my ($self, $text) = @_; return $self->{cluster}->sql($self->{database}, $text) }

# A session that holds locks until it is closed.
sub hold
{
	my ($self, $statement) = @_;
	my $number = ++$next;
	my $session;
	open $session, '|-', 'psql', '-X', '-q', '-o', '/dev/null', '-v', 'ON_ERROR_STOP=1', '-d', $self->{cluster}->conninfo($self->{database}) or die $!;
	$session->autoflush(1);
	print {$session} "BEGIN; $statement; SELECT pg_advisory_lock($number);\n";
	wait_for('the lock is held', 30, sub {
		return $self->sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = $number"); });
	return $session;
}

# A push on a connection of its own, without waiting for the reply.
sub send_push
{
	my ($gateway, $user, $body) = @_;
	my $text = encode_json($body);
	my $socket = IO::Socket::INET->new(PeerHost => '127.0.0.1', PeerPort => $gateway->{port}) or die "could not connect: $!";
	print {$socket} "POST /api/v1/sync/push HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
	  . "Content-Length: " . length($text) . "\r\nAuthorization: Bearer " . $gateway->token($user) . "\r\n\r\n$text";
	$socket->flush;
	return $socket;
}

sub is_there { return IO::Select->new($_[0])->can_read($_[1]) ? 1 : 0 }

# [status, body]
sub reply_of
{
	my ($socket) = @_;
	my $text = '';
	while (is_there($socket, 60)) { sysread($socket, $text, 65536, length $text) or last; }
	my ($status, $body) = $text =~ m{^HTTP/1\.1 (\d+).*?\r\n\r\n(.*)}s or die "no reply: $text\n";
	return [ $status, decode_json($body) ];
}

# Push all of [user, body] such that they wait together; returns their sockets.
sub send_together
{
	my ($self, $gateway, $connections, @pushes) = @_;
	my $lock = $self->hold('LOCK TABLE gate');
	my @gates = map { send_push($gateway, "gate$_", { changes => { gate => [ { id => ++$next } ] } }) } 1 .. $connections;
	wait_for('all connections wait', 30, sub {
		return $connections == $self->sql("SELECT count(*) FROM pg_locks WHERE relation = 'gate'::regclass AND NOT granted"); });
	my @sockets;
	for my $push (@pushes)
	{
		push @sockets, send_push($gateway, @$push);
		wait_for('it is queued', 30, sub { return @sockets == $gateway->metric('queued_requests'); });
	}
	close $_ for @gates;	# what they ask for is cancelled
	close $lock;
	return @sockets;
}

# The verdicts of a reply, those that failed by their codes.
sub verdicts
{
	my ($status, $body) = @{ $_[0] };
	return map { $_->{status} // $_->{errors}[0]{code} } @{ $body->{succeeded} }, @{ $body->{failed} };
}

1;
