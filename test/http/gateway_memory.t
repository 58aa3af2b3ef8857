# What clients can make the gateway hold: bodies where none belongs, bodies
# without a token, replies that nobody reads, a log that nobody reads.  And
# replies to what is refused can be read by pages of other origins.
#
# Seen failing: without the look at has_body in check_head(); without the call
# of client_take_bytes() in dispatch_outcome(); with log lines written by who
# has them; without the headers in send_failure().
use strict;
use warnings;

use Fcntl ();
use FindBin ();
use lib "$FindBin::Bin/../lib";
use IO::Select ();
use IO::Socket::INET ();
use POSIX ();
use Socket qw(SOL_SOCKET SO_RCVBUF);
use Test::More;
use Time::HiRes ();
use TideTest qw(wait_for raw_http);

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
		database => $database, settings => { 'maintain-interval' => 0, %settings })->wait_until_ready;
	push @gateways, $gateway;
	return $gateway;
}

# Kilobytes that the gateway holds in memory.
sub resident
{
	my ($gateway) = @_;
	open my $file, '<', "/proc/$gateway->{pid}/status" or die $!;
	local $/;
	return <$file> =~ /^VmRSS:\s+(\d+)/m ? $1 : die 'no VmRSS';
}

subtest 'bodies where none belongs' => sub {
	my $gateway = gateway();
	my $token = $gateway->token('u1');
	for my $case (["GET /health", ''], ["OPTIONS $pull", ''], ["GET $pull", "Authorization: Bearer $token\r\n"],
		['HEAD /ready', ''], ['GET /openapi.json', ''])
	{
		my ($line, $headers) = @$case;
		for my $how ("Content-Length: 16000000", "Content-Length: 5", "Transfer-Encoding: chunked")
		{
			# the refusal comes before the body does
			my $reply = raw_http($gateway->{port}, "$line HTTP/1.1\r\nHost: x\r\n$headers$how\r\n\r\n",
				until => qr/\r\n\r\n/);
			like $reply, qr{^HTTP/1\.1 400 }, "$line with $how";
		}
	}
	is $gateway->get('/health', content => '')->{status}, 200, 'an empty one does no harm';
};

subtest 'bodies without a token' => sub {
	my $gateway = gateway();
	my $before = resident($gateway);
	my @sockets;
	for my $i (1 .. 20)
	{
		my $socket = IO::Socket::INET->new(PeerHost => '127.0.0.1', PeerPort => $gateway->{port}) or die $!;
		$socket->blocking(0);
		syswrite $socket, "POST $push HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
		  . "fff000\r\n" . ' ' x 2_000_000;
		push @sockets, $socket;
	}
	is $gateway->push_changes($gateway->token('u1'), {})->{status}, 200, 'others are served';
	cmp_ok resident($gateway) - $before, '<', 12_000, 'and next to nothing is held';
	close $_ for @sockets;
};

subtest 'lists' => sub {
	my $gateway = gateway('metrics-listen' => '127.0.0.1:0');
	my $token = $gateway->token('u1');
	my $ask = sub {
		my ($since, $n) = @_;
		return '{"since":"' . $since . '","entityTypes":[' . join(',', (1) x $n) . ']}';
	};
	my $reply = $gateway->post($pull, token => $token, content => $ask->('x', 10_000));
	is scalar @{ $reply->{json}{echo}{entityTypes} // [] }, 10_000, 'ten thousand items';
	$reply = $gateway->post($pull, token => $token, content => $ask->('x', 10_001));
	is "$reply->{status} $reply->{json}{error}{code}", '400 malformed_request', 'one more is refused';
	# a megabyte each, which was twenty while it waited
	my $body = $ask->('sleep:5', 520_000);
	my @sockets = map
	{
		my $socket = IO::Socket::INET->new(PeerHost => '127.0.0.1', PeerPort => $gateway->{port}) or die $!;
		print {$socket} "POST $pull HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer $token\r\n"
		  . 'Content-Length: ' . length($body) . "\r\n\r\n$body";
		$socket->flush;
		$socket;
	} 1 .. 40;
	wait_for('all are answered, or wait', 30, sub {
		my $answered = () = IO::Select->new(@sockets)->can_read(0);
		# three run
		return $answered + $gateway->metric('queued_requests') >= 37;
	});
	is $gateway->pull($gateway->token('u2'), since => 'x')->{status}, 200, 'others are served';
	cmp_ok resident($gateway), '<', 200_000, 'those that wait hold little';
	close $_ for @sockets;
};

# Megabytes that are packed in kilobytes.  Seen failing with all bodies looked at by
# the thread of all connections: it takes seconds.
subtest 'bodies that take long to read' => sub {
	require IO::Compress::Gzip;
	my $gateway = gateway();
	my $token = $gateway->token('u1');
	for my $case ([ $push, '{"changes":[' . ('{"a":1,"b":2},' x 1_100_000) . 'x' ],
		[ $pull, '{"entityTypes":[' . ('"a",' x 250_000) . 'x' ])
	{
		my ($path, $text) = @$case;
		IO::Compress::Gzip::gzip(\$text, \my $packed);
		cmp_ok length $packed, '<', 50_000, "a small body for $path";
		my $request = "POST $path HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer $token\r\n"
		  . "Content-Encoding: gzip\r\nContent-Length: " . length($packed) . "\r\n\r\n$packed";
		my $reply = raw_http($gateway->{port}, $request, until => qr/\}\}/, quiet => 20);
		like $reply, qr{^HTTP/1\.1 400 .*"malformed_request".* at byte @{[length $text]}"}s, 'is refused for what it has';
		my @sockets = map
		{
			my $socket = IO::Socket::INET->new(PeerHost => '127.0.0.1', PeerPort => $gateway->{port}) or die $!;
			print {$socket} $request;
			$socket->flush;
			$socket;
		} 1 .. 40;
		my $longest = 0;
		wait_for('all are answered', 60, sub {
			my $started = Time::HiRes::time();
			$gateway->get('/health');
			my $took = Time::HiRes::time() - $started;
			$longest = $took if $took > $longest;
			return 40 == (() = IO::Select->new(@sockets)->can_read(0));
		});
		cmp_ok $longest, '<', 1, 'others are answered at once meanwhile';
		close $_ for @sockets;
	}
	my $reply = $gateway->push_changes($token, { n => 'x' x 100_000 });
	is "$reply->{status} " . length $reply->{json}{body}{n}, '200 100000', 'a good one arrives as it was';
	$reply = $gateway->post($pull, token => $token, json => { since => 'z', entityTypes => [ ('t' x 20) x 5_000 ] });
	is "$reply->{status} $reply->{json}{echo}{since} " . @{ $reply->{json}{echo}{entityTypes} }, '200 z 5000', 'a long pull, too';
	is $gateway->post("$pull?limit=0", token => $token, json => { entityTypes => [ ('t' x 20) x 5_000 ] })->{status}, 400,
	  'with the parameters of its query';
};

subtest 'replies that nobody reads' => sub {
	my $gateway = gateway('max-user-bytes' => 20_000_000, 'max-bytes' => 40_000_000,
		'reply-timeout' => 60);
	my (@readers, %status);
	for my $i (1 .. 30)
	{
		my $user = 'slow' . $i % 3;
		my $socket = IO::Socket::INET->new(Proto => 'tcp') or die $!;
		setsockopt $socket, SOL_SOCKET, SO_RCVBUF, 4096 or die $!;
		connect $socket, Socket::sockaddr_in($gateway->{port}, Socket::inet_aton('127.0.0.1')) or die $!;
		print {$socket} "GET $pull?since=big:8000000 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
		  . $gateway->token($user) . "\r\n\r\n";
		$socket->flush;
		IO::Select->new($socket)->can_read(20) or die 'no reply';
		sysread $socket, my $line, 12;
		$status{ substr $line, 9 }++;
		push @readers, $socket;
	}
	cmp_ok $status{200}, '>=', 4, 'some are served';
	cmp_ok $status{200}, '<=', 5, 'as many as the limit of all allows';
	is $status{200} + ($status{429} // 0) + ($status{503} // 0), 30, 'the others are told to come later';
	cmp_ok $status{429}, '>', 0, 'for the limit of a user, too';
	cmp_ok resident($gateway), '<', 130_000, 'the memory is bounded';
	close $_ for @readers;
	wait_for('there is room again', 10, sub {
		return $gateway->pull($gateway->token('slow1'), since => 'big:8000000')->{status} == 200;
	});
	cmp_ok resident($gateway), '<', 90_000, 'and it is given back';
};

subtest 'a log that nobody reads' => sub {
	pipe(my $reader, my $writer) or die $!;
	fcntl $writer, 1031, 4096;    # F_SETPIPE_SZ
	my ($port, $pid) = (undef, fork // die $!);
	if ($pid == 0)
	{
		open STDERR, '>&', $writer or POSIX::_exit(126);
		delete @ENV{ grep { /^TIDE_/ } keys %ENV };
		exec TideTest::Gateway::program(), '--listen', '127.0.0.1:0', '--database-url',
		  $cluster->conninfo($database, 'tide_gateway'), '--jwt-secret-file',
		  TideTest::Gateway::secret_file() or POSIX::_exit(127);
	}
	close $writer;
	my $start = '';
	wait_for('it listens', 20, sub {
		sysread $reader, $start, 4096, length $start if IO::Select->new($reader)->can_read(0);
		return $start =~ /event=listening address=\S+ port=(\d+)/ && ($port = $1);
	});
	my $http = HTTP::Tiny->new(timeout => 10, keep_alive => 1);
	my $good = grep { $http->get("http://127.0.0.1:$port/health")->{status} == 200 } 1 .. 12_000;
	is $good, 12_000, 'requests are served all along';
	kill TERM => $pid;
	my $began = Time::HiRes::time();
	wait_for('it stops', 20, sub { return waitpid($pid, POSIX::WNOHANG()) != 0; });
	is $?, 0, 'it stops';
	cmp_ok Time::HiRes::time() - $began, '<', 8, 'in time';
	close $reader;
};

subtest 'lines that were lost are counted' => sub {
	pipe(my $reader, my $writer) or die $!;
	my ($port, $pid) = (undef, fork // die $!);
	if ($pid == 0)
	{
		open STDERR, '>&', $writer or POSIX::_exit(126);
		delete @ENV{ grep { /^TIDE_/ } keys %ENV };
		exec TideTest::Gateway::program(), '--listen', '127.0.0.1:0', '--database-url',
		  $cluster->conninfo($database, 'tide_gateway'), '--jwt-secret-file',
		  TideTest::Gateway::secret_file() or POSIX::_exit(127);
	}
	close $writer;
	my $log = '';
	my $take = sub {
		# at the end there is always something to read: nothing
		while (IO::Select->new($reader)->can_read(0.05))
		{
			last unless sysread $reader, $log, 65536, length $log;
		}
	};
	wait_for('it listens', 20, sub {
		$take->();
		return $log =~ /event=listening address=\S+ port=(\d+)/ && ($port = $1);
	});
	my $http = HTTP::Tiny->new(timeout => 10, keep_alive => 1);
	$http->get("http://127.0.0.1:$port/health", { headers => { 'X-Request-Id' => 'i' x 64 } }) for 1 .. 9_000;
	wait_for('the log tells how many lines are lost', 10, sub {
		$take->();
		return $log =~ /event=log-lost lines=[1-9]/;
	});
	my $lines = () = $log =~ /event=request /g;
	my ($lost) = $log =~ /event=log-lost lines=(\d+)/;
	is $lines + $lost, 9_000, 'none is missing from the count';
	unlike $log, qr/^(?!time=)./m, 'no line is torn';
	kill TERM => $pid;
	$take->();
	waitpid $pid, 0;
	$take->();
	like $log, qr/event=stopped/, 'the end is written';
};

subtest 'refusals that pages can read' => sub {
	my @origins = (['*', '*'], ['https://app.example', 'https://app.example']);
	for my $case (@origins)
	{
		my ($setting, $expected) = @$case;
		my $gateway = gateway('cors-origins' => $setting, 'max-connections' => 4, 'body-timeout' => 1,
			'header-timeout' => 1, 'max-user-requests' => 1);
		my $head = "Host: x\r\nOrigin: https://app.example\r\nAuthorization: Bearer " . $gateway->token('u1') . "\r\n";
		my $allowed = qr/^Access-Control-Allow-Origin: \Q$expected\E\r$/m;

		my $reply = raw_http($gateway->{port}, "POST $push HTTP/1.1\r\n${head}Content-Length: 10\r\n\r\n{",
			until => qr/\r\n\r\n/);
		like $reply, qr{^HTTP/1\.1 408 }, "$setting: a slow body";
		like $reply, $allowed, 'with the header';
		$reply = raw_http($gateway->{port}, "POST $push HTTP/1.1\r\n", until => qr/\r\n\r\n/);
		like $reply, qr{^HTTP/1\.1 408 }, 'slow headers';
		like $reply, $allowed, 'with the header';
		$reply = raw_http($gateway->{port}, "POST $push HTTP/1.1\r\n${head}Content-Length: 900000000\r\n\r\n{",
			until => qr/\r\n\r\n/);
		like $reply, qr{^HTTP/1\.1 413 }, 'a large body';
		like $reply, $allowed, 'with the header';

		my $slow = IO::Socket::INET->new(PeerHost => '127.0.0.1', PeerPort => $gateway->{port}) or die $!;
		print {$slow} "GET $pull?since=sleep:3 HTTP/1.1\r\n$head\r\n";
		$slow->flush;
		$reply = wait_for('one request too many', 5, sub {
			my $try = raw_http($gateway->{port}, "GET $pull HTTP/1.1\r\n${head}Connection: close\r\n\r\n");
			return $try =~ m{^HTTP/1\.1 429 } && $try;
		});
		like $reply, $allowed, 'it has the header';
		my @open;
		$reply = wait_for('one connection too many', 5, sub {
			push @open, IO::Socket::INET->new(PeerHost => '127.0.0.1', PeerPort => $gateway->{port});
			my $try = raw_http($gateway->{port}, "GET /health HTTP/1.1\r\n$head\r\n", until => qr/\r\n\r\n/);
			return $try =~ m{^HTTP/1\.1 503 } && $try;
		});
		like $reply, $allowed, 'it has the header';
		like $reply, qr/^Access-Control-Expose-Headers: retry-after/mi, 'and Retry-After can be read';
		like raw_http($gateway->{port}, "OPTIONS $pull HTTP/1.1\r\n$head\r\n", until => qr/\r\n\r\n/),
		  qr{^HTTP/1\.1 204 }, 'the preflight is let through';
		close $_ for @open, $slow;
	}
};

is $_->stop, 0, 'stops with status 0' for @gateways;
done_testing;
