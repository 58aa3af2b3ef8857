# Limits on what clients may take: length, time, connections, requests under
# way.  Each with its own answer, and nobody else notices.
#
# Seen failing: without the call of cut() in watch(); with the deadline of
# client_sent() set anew at each piece; with "requests--" taken out; without
# send_failure() in client_open(); with trusted proxies counted; without the call of
# has_ended() in watch(); without "latest" in client_add_body().
use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";
use IO::Select ();
use IO::Socket::INET ();
use POSIX ();
use Socket qw(SOL_SOCKET SO_RCVBUF);
use Test::More;
use Time::HiRes ();
use TideTest qw(wait_for encode_json);

$SIG{PIPE} = 'IGNORE';
my $cluster = TideTest::Cluster->shared;
my $database = $cluster->create_fake;
my $pull = '/api/v1/sync/pull';
my $push = '/api/v1/sync/push';
my @gateways;

sub gateway
{
	my (%settings) = @_;
	my $gateway = TideTest::Gateway->start(cluster => $cluster,
		database => $database, settings => \%settings)->wait_until_ready;
	push @gateways, $gateway;
	return $gateway;
}

sub connect_to
{
	my ($gateway, $from) = @_;
	return IO::Socket::INET->new(PeerHost => '127.0.0.1',
		PeerPort => $gateway->{port}, $from ? (LocalHost => $from) : ())
	  || die "could not connect: $!";
}

sub say_to
{
	my ($socket, $text) = @_;
	print {$socket} $text;
	$socket->flush;
	return $socket;
}

# What comes until the end; undef: it did not come to one in time.
sub rest_of
{
	my ($socket, $seconds) = @_;
	my $deadline = Time::HiRes::time() + ($seconds // 10);
	my $text = '';
	while (1)
	{
		my $left = $deadline - Time::HiRes::time();
		return if $left <= 0 || !IO::Select->new($socket)->can_read($left);
		my $length = sysread $socket, $text, 65536, length $text;
		return $text unless $length;
	}
}

# A reply with Content-Length, or the end.
sub reply_on
{
	my ($socket) = @_;
	my $text = '';
	until ($text =~ /^(.*?)\r\n\r\n(.*)/s
		&& length($2) >= ($1 =~ /^content-length: (\d+)/im)[0])
	{
		last unless IO::Select->new($socket)->can_read(10)
		  && sysread $socket, $text, 65536, length $text;
	}
	return $text;
}

sub head
{
	my ($gateway, $method, $path, $user, @lines) = @_;
	return join "\r\n", "$method $path HTTP/1.1", 'Host: x',
	  ($user ? 'Authorization: Bearer ' . $gateway->token($user) : ()), @lines, '', '';
}

sub status_of { my ($text) = @_; return ($text // '') =~ m{^HTTP/1\.1 (\d+)} ? $1 : ''; }

subtest 'headers' => sub {
	my $gateway = gateway('max-header-bytes' => 2000);
	my $get = sub { return $gateway->get('/health', headers => { 'X-Long' => 'x' x $_[0] }); };
	is $get->(1500)->{status}, 200, 'not too long';
	my $reply = $get->(2000);
	is $reply->{status}, 431, 'too long';
	is $reply->{json}{error}{code}, 'headers_too_large', 'said in JSON';
	$reply = $gateway->get('/health?' . 'x' x 2000);
	is $reply->{status}, 414, 'a long request line';
	is $reply->{json}{error}{code}, 'uri_too_long';
	$reply = $gateway->get('/health?' . join '&', ('a') x 900);
	is "$reply->{status} $reply->{json}{error}{code}", '414 uri_too_long', 'more parameters than fit into its memory';
	is $gateway->get('/health?' . join '&', ('a') x 150)->{status}, 200, 'many that fit';
	is status_of(TideTest::raw_http($gateway->{port}, "GET /health HTTP/1.1\r\nX: "
		  . 'x' x 100_000, quiet => 2)) =~ /^4\d\d$/, 1, 'one that does not even fit';
	is $get->(1500)->{status}, 200, 'the next is served';
};

# Missing: a limit of bytes, by which too many are refused before libmicrohttpd closes
# the connection, and those that fit are given their time.
subtest 'parameters' => sub {
	my $gateway = gateway();
	my $say = sub { return say_to(connect_to($gateway), 'GET /health?' . join('&', ('a') x $_[0]) . " HTTP/1.1\r\n") };
	my $end = "Host: x\r\nConnection: close\r\n\r\n";
	my $reply = rest_of($say->(2500));
	like $reply, qr{^HTTP/1\.1 414 .*"code":"uri_too_long"}s, 'too many for its memory' for 1 .. 2;
	my $slow = $say->(2000);
	ok !IO::Select->new($slow)->can_read(2.5), 'those that fit';
	is status_of(rest_of(say_to($slow, $end))), 200, 'may wait for the rest of the head';
	like rest_of(say_to($say->(2000), ('X: ' . 'x' x 50 . "\r\n") x 30 . $end)), qr{^HTTP/1\.1 200 }, 'which has room';
	is rest_of($say->(2500)), $reply, 'and all goes on';
};

subtest 'time for headers' => sub {
	my $gateway = gateway('header-timeout' => 1);
	my $start = Time::HiRes::time();
	my $silent = connect_to($gateway);
	my $partial = say_to(connect_to($gateway), "GET /health HTTP/1.1\r\nHost: x\r\n");
	my $drip = say_to(connect_to($gateway), 'GET ');
	wait_for('the one that sends a byte now and then is cut', 10, sub {
		print {$drip} '/';
		$drip->flush;
		return IO::Select->new($drip)->can_read(0.05);
	});
	cmp_ok Time::HiRes::time() - $start, '<', 4, 'in time';
	like rest_of($drip), qr/^HTTP\/1\.1 408 .*"code":"too_slow"/s, 'and told why';
	like rest_of($partial), qr/^HTTP\/1\.1 408 /, 'one that stops in the middle';
	ok defined rest_of($silent), 'and one that says nothing';
	is $gateway->get('/health')->{status}, 200, 'others are served';
};

subtest 'time for a body' => sub {
	my $gateway = gateway('body-timeout' => 1, 'min-rate' => 1000);
	my $head = head($gateway, 'POST', $push, 'u1', 'Content-Type: application/json',
		'Content-Length: 3000');
	my $start = Time::HiRes::time();
	my $drip = say_to(connect_to($gateway), $head);
	wait_for('one that sends a byte now and then is cut', 10, sub {
		print {$drip} ' ';
		$drip->flush;
		return IO::Select->new($drip)->can_read(0.05);
	});
	cmp_ok Time::HiRes::time() - $start, '<', 4, 'in time';
	my $reply = rest_of($drip);
	like $reply, qr/^HTTP\/1\.1 408 .*"code":"too_slow"/s, 'and told why';
	like $reply, qr/the body did not come in time/;
	wait_for('the log has it', 5, sub { return $gateway->log =~ /path=\S+push status=408/; });

	# slow, but fast enough: 2,000 bytes a second for one and a half
	my $steady = say_to(connect_to($gateway), $head);
	my $sent = 0;
	$start = Time::HiRes::time();
	wait_for('the body is sent', 10, sub {
		my $due = int((Time::HiRes::time() - $start) * 2000);
		$due = 3000 if $due > 3000;
		print {$steady} substr('{"a": "b"}' . ' ' x 5000, $sent, $due - $sent);
		$steady->flush;
		$sent = $due;
		return $sent == 3000;
	});
	is status_of(reply_on($steady)), 200, 'one that keeps the rate may take longer';

	# at 1,000 bytes a second it has saved a minute
	my $fast = say_to(connect_to($gateway), head($gateway, 'POST', $push, 'u1',
		'Content-Type: application/json', 'Content-Length: 100000') . ' ' x 60_000);
	$start = Time::HiRes::time();
	like rest_of($fast), qr/^HTTP\/1\.1 408 .*"code":"too_slow"/s, 'one that was fast and stands still is cut';
	cmp_ok Time::HiRes::time() - $start, '<', 5, 'in time, too';
};

# The end of the socket arrives together with the last bytes, as it does when a
# program dies that was sending.
subtest 'clients that go while they send' => sub {
	my $gateway = gateway('metrics-listen' => '127.0.0.1:0', 'body-timeout' => 3600,
		'header-timeout' => 3600, 'max-user-requests' => 20);
	my $head = head($gateway, 'POST', $push, 'u1', 'Content-Type: application/json',
		'Content-Length: 100000');
	for my $part ((map { $head . ' ' x 60_000 } 1 .. 20), (substr $head, 0, 200) x 20)
	{
		my $socket = say_to(connect_to($gateway), $part);
		close $socket;
	}
	wait_for('they count no more', 10, sub {
		return $gateway->metric('requests') == 0 && $gateway->metric('connections') <= 1; });
	is $gateway->push_changes($gateway->token('u1'), { x => 1 })->{status}, 200,
	  'and keep no place of their user';
};

subtest 'time to read a reply' => sub {
	my $gateway = gateway('reply-timeout' => 1, 'min-rate' => 1 << 30);
	my $body = encode_json({ x => 'y' x 12_000_000 });
	my $socket = IO::Socket::INET->new(Proto => 'tcp') or die $!;
	setsockopt $socket, SOL_SOCKET, SO_RCVBUF, 4096 or die $!;
	connect $socket, Socket::sockaddr_in($gateway->{port}, Socket::inet_aton('127.0.0.1'))
	  or die $!;
	say_to($socket, head($gateway, 'POST', $push, 'u1', 'Content-Type: application/json',
		'Content-Length: ' . length $body) . $body);
	wait_for('the connection is cut', 15,
		sub { return $gateway->log =~ /path=\S+push status=200/; });
	my $text = rest_of($socket) // '';
	cmp_ok length($text), '<', length $body, 'a reply that nobody reads is not kept';
	is $gateway->push_changes($gateway->token('u1'), { x => 'y' x 1_000_000 })->{status},
	  200, 'one that is read arrives';
};

subtest 'idle connections' => sub {
	my $gateway = gateway('idle-timeout' => 1);
	my $socket = say_to(connect_to($gateway), head($gateway, 'GET', '/health'));
	is status_of(reply_on($socket)), 200;
	my $start = Time::HiRes::time();
	is rest_of($socket), '', 'closed without a word';
	my $took = Time::HiRes::time() - $start;
	ok $took > 0.9 && $took < 4, "in time ($took s)";
};

subtest 'connections in all' => sub {
	my $gateway = gateway('max-connections' => 6);
	# one is the test's own
	my @open = map { say_to(connect_to($gateway), 'GET ') } 1 .. 5;
	my $reply = wait_for('one too many', 5, sub {
		my $socket = say_to(connect_to($gateway), head($gateway, 'GET', '/health'));
		my $text = reply_on($socket);
		push @open, $socket if status_of($text) == 200;
		return status_of($text) != 200 && $text;
	});
	is scalar(@open), 5, 'as many as are allowed';
	is status_of($reply), 503, 'one more is refused';
	like $reply, qr/too many connections/, 'and told why';
	like $reply, qr/^retry-after: 1\r/im, 'with Retry-After';
	close pop @open;
	wait_for('there is room again', 5, sub {
		return status_of(reply_on(say_to(connect_to($gateway),
			head($gateway, 'GET', '/health')))) == 200;
	});
	close $_ for @open;
};

subtest 'connections of an address' => sub {
	my $gateway = gateway('max-connections-address' => 3,
		'trusted-proxies' => '127.0.0.4');
	my @open = map { connect_to($gateway, '127.0.0.2') } 1 .. 3;
	my $reply = wait_for('one too many', 5, sub {
		return reply_on(say_to(connect_to($gateway, '127.0.0.2'),
			head($gateway, 'GET', '/health')));
	});
	is status_of($reply), 429, 'one more is refused';
	like $reply, qr/"code":"too_many_connections"/, 'and told why';
	is status_of(reply_on(say_to(connect_to($gateway, '127.0.0.3'),
		head($gateway, 'GET', '/health')))), 200, 'other addresses are served';
	my @proxied = map { say_to(connect_to($gateway, '127.0.0.4'),
		head($gateway, 'GET', '/health')) } 1 .. 6;
	is scalar(grep { status_of(reply_on($_)) == 200 } @proxied), 6,
	  'a trusted proxy has as many as it likes';
	close $_ for @open;
	wait_for('there is room again', 5, sub {
		return status_of(reply_on(say_to(connect_to($gateway, '127.0.0.2'),
			head($gateway, 'GET', '/health')))) == 200;
	});
};

subtest 'what a user has open' => sub {
	my $gateway = gateway('max-user-connections' => 2, 'max-user-requests' => 3);
	my $ask = sub {
		my ($user, $path, $socket) = @_;
		return say_to($socket // connect_to($gateway), head($gateway, 'GET', $path, $user));
	};
	my @kept = map { $ask->('u1', $pull) } 1 .. 2;
	is status_of(reply_on($_)), 200, 'a connection' for @kept;
	my $third = $ask->('u1', $pull);
	my $reply = reply_on($third);
	is status_of($reply), 429, 'one too many for this user';
	like $reply, qr/"code":"too_many_connections"/;
	is status_of(reply_on($ask->('u2', $pull, $third))), 200, 'not for another, on the same';
	is status_of(reply_on($ask->('u2', $pull, $kept[0]))), 200, 'it is theirs now';
	is status_of(reply_on($ask->('u1', $pull))), 200, 'so there is room for the first';

	# seen failing with the user kept until the next request
	$gateway = gateway('max-user-connections' => 2, 'trusted-proxies' => '127.0.0.1');
	my @proxied;
	for (1 .. 6)
	{
		push @proxied, $ask->('u1', $pull);
		is status_of(reply_on($proxied[-1])), 200, "a proxy's connection is nobody's between requests";
	}

	$gateway = gateway('max-user-requests' => 3);
	my @slow = map { $ask->('u1', "$pull?since=sleep:1.5") } 1 .. 3;
	$reply = wait_for('the three are under way', 5, sub {
		my $text = reply_on($ask->('u1', $pull));
		return status_of($text) == 429 && $text;
	});
	like $reply, qr/"code":"too_many_requests"/, 'a fourth request is refused';
	like $reply, qr/^retry-after: 1\r/im, 'with Retry-After';
	is $gateway->pull($gateway->token('u2'))->{status}, 200, 'another user is served';
	is $gateway->pull($gateway->token(q{u1'}))->{status}, 200, 'whatever the name';
	is status_of(reply_on($_)), 200, 'the three are answered' for @slow;
	is $gateway->pull($gateway->token('u1'))->{status}, 200, 'and the next is served';
};

subtest 'time-outs in the database' => sub {
	my $gateway = gateway('lock-timeout' => 1, 'request-timeout' => 20);
	my $token = $gateway->token('u1');
	my $echo = $gateway->pull($token)->{json}{echo};
	is $echo->{lockTimeout}, '1s', 'lock_timeout';
	like $echo->{statementTimeout}, qr/^(?:19\d\d\dms|20s)$/, 'statement_timeout';
	is $echo->{idleTimeout}, $echo->{statementTimeout},
	  'idle_in_transaction_session_timeout: if the gateway is gone in between';
	is $cluster->sql($database, 'SHOW lock_timeout'), '0', 'elsewhere as it was';

	my $holder = fork // die $!;
	if ($holder == 0)
	{
		eval { $cluster->sql($database, <<'SQL') };
SET application_name = 'holder';
BEGIN;
LOCK TABLE tide.pushed;
SELECT pg_sleep(30);
SQL
		POSIX::_exit(0);
	}
	wait_for('somebody has the lock', 10, sub {
		return $cluster->sql($database, q{SELECT count(*) FROM pg_locks
			WHERE relation = 'tide.pushed'::regclass AND mode = 'AccessExclusiveLock' AND granted});
	});
	my $start = Time::HiRes::time();
	my $reply = $gateway->push_changes($token, { x => 1 });
	my $took = Time::HiRes::time() - $start;
	is $reply->{status}, 503, 'a push that waits for a lock';
	is $reply->{json}{error}{code}, 'try_again';
	ok $took > 0.9 && $took < 5, "is given up ($took s)";
	$cluster->sql($database, q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE application_name = 'holder'});
	waitpid $holder, 0;
	is $gateway->push_changes($token, { x => 1 })->{status}, 200, 'then it is taken';
};

subtest 'two hundred slow clients' => sub {
	my $gateway = gateway('header-timeout' => 3, 'body-timeout' => 3, 'reply-timeout' => 3);
	my $token = $gateway->token('u1');
	my $body = head($gateway, 'POST', $push, 'slow', 'Content-Type: application/json',
		'Content-Length: 1000') . '{';
	my @slow;
	for my $i (1 .. 200)
	{
		push @slow, say_to(connect_to($gateway, '127.0.1.' . $i % 100),
			$i % 4 ? "GET $pull HTTP/1.1\r\nX-Slow: " : $body);
	}
	my $drip = sub { print {$_} 'x' and $_->flush for @slow; };
	my $bad = 0;
	my $longest = 0;
	for my $i (1 .. 100)
	{
		$drip->() if $i % 10 == 0;
		my $start = Time::HiRes::time();
		$bad++ unless $gateway->pull($token)->{status} == 200
		  && $gateway->push_changes($token, { n => $i })->{status} == 200;
		my $took = Time::HiRes::time() - $start;
		$longest = $took if $took > $longest;
	}
	is $bad, 0, 'an honest user is served all along';
	cmp_ok $longest, '<', 5, "without delay (the longest took $longest s)";
	my $open = @slow;
	my $cut = 0;
	wait_for('the slow ones are cut', 20, sub {
		$drip->();
		my @ended = grep { IO::Select->new($_)->can_read(0) } @slow;
		$cut += grep { (rest_of($_, 1) // '') =~ /^HTTP\/1\.1 (?:408|429)/ } @ended;
		my %ended = map { ($_ => 1) } @ended;
		@slow = grep { !$ended{$_} } @slow;
		return @slow == 0;
	});
	# a byte that meets the cut can make the answer be lost
	cmp_ok $cut, '>', 0.9 * $open, 'all of them, with an answer';
	is $gateway->pull($token)->{status}, 200, 'and the honest one goes on';
};

is $_->stop, 0, 'stops with status 0' for @gateways;
done_testing;
