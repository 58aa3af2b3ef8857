# Waiting: the bounded queue, pulls with wait=, the end by SIGTERM.
use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";
use POSIX ();
use Test::More;
use Time::HiRes ();
use TideTest qw(wait_for raw_http);

my $cluster = TideTest::Cluster->shared;
my $database = $cluster->create_fake;
my @gateways;

sub gateway
{
	my (%settings) = @_;
	my $gateway = TideTest::Gateway->start(cluster => $cluster,
		database => $database, settings => \%settings)->wait_until_ready;
	push @gateways, $gateway;
	return $gateway;
}

# Make a request in a child; returns a handle that gives the status.
sub in_background
{
	my ($gateway, $method, $path, %option) = @_;
	pipe(my $reader, my $writer) or die $!;
	my $pid = fork // die $!;
	if ($pid == 0)
	{
		close $reader;
		my $client = bless { %$gateway }, ref $gateway;
		$client->{http} = HTTP::Tiny->new(timeout => 60);
		my $start = Time::HiRes::time();
		my $reply = $client->request($method, $path, %option);
		printf {$writer} "%s %.3f %s", $reply->{status},
		  Time::HiRes::time() - $start, $reply->{content};
		close $writer;
		POSIX::_exit(0);
	}
	close $writer;
	return { pid => $pid, reader => $reader };
}

# Its status, duration and body.
sub outcome
{
	my ($handle) = @_;
	local $/;
	my $text = readline $handle->{reader};
	waitpid $handle->{pid}, 0;
	return split / /, $text, 3;
}

sub running
{
	my ($count, $what) = @_;
	wait_for("$count times $what in the database", 10, sub {
		return $count == $cluster->sql($database, <<SQL);
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'tide-gateway'
	AND state = 'active' AND wait_event = 'PgSleep'
SQL
	});
	return;
}

# So many pulls have begun to wait, says the gateway's log (at level debug).
sub waiting
{
	my ($gateway, $count) = @_;
	wait_for("$count pulls wait", 10, sub {
		my @lines = $gateway->log =~ /event=waiting/g;
		return @lines == $count;
	});
	return;
}

my $pull = '/api/v1/sync/pull';
my $push = '/api/v1/sync/push';

subtest 'a full queue' => sub {
	my $gateway = gateway('db-connections' => 1, 'queue-length' => 2);
	my $token = $gateway->token('u1');
	my $first = in_background($gateway, 'GET', "$pull?since=sleep:3", token => $token);
	running(1, 'the first request');

	# of these, two find room in the queue
	my @others = map { in_background($gateway, 'GET', $pull, token => $token) } 1 .. 6;
	my (%count, $refused);
	for my $other (@others)
	{
		my ($status, $seconds, $content) = outcome($other);
		$count{$status}++;
		$refused //= $content if $status == 503;
	}
	is_deeply \%count, { 200 => 2, 503 => 4 }, 'two wait, four are refused';
	like $refused, qr/"code":"try_again"/, 'and told to try again';
	is +(outcome($first))[0], 200, 'the first is served';
	is $gateway->pull($token)->{status}, 200, 'and later ones are';
};

subtest 'requests do not hold each other up' => sub {
	my $gateway = gateway('db-connections' => 3);
	my $token = $gateway->token('u1');
	my $slow = in_background($gateway, 'GET', "$pull?since=sleep:3", token => $token);
	running(1, 'the slow request');
	my $start = Time::HiRes::time();
	is $gateway->pull($gateway->token('u2'))->{status}, 200, 'another is served meanwhile';
	is $gateway->get('/health')->{status}, 200, 'health too';
	ok Time::HiRes::time() - $start < 2, 'at once';
	is +(outcome($slow))[0], 200;
};

subtest 'a request that waited too long for a connection' => sub {
	my $gateway = gateway('db-connections' => 1, 'request-timeout' => 1);
	my $token = $gateway->token('u1');
	my @all = map { in_background($gateway, 'GET', "$pull?since=sleep:0.8",
			token => $token) } 1 .. 4;
	my %count;
	$count{(outcome($_))[0]}++ for @all;
	is $count{200}, 1, 'the first is served';
	is $count{503}, 3, 'those whose time has run out are not';
};

subtest 'wait' => sub {
	my $gateway = gateway('db-connections' => 1, 'log-level' => 'debug');
	my $token = $gateway->token('u1');
	$cluster->sql($database, 'TRUNCATE tide.pushed');

	my @waiting = map { in_background($gateway, 'GET', "$pull?since=wait&wait=30",
			token => $token) } 1 .. 20;
	waiting($gateway, 20);
	is $gateway->pull($token)->{status}, 200,
	  'twenty that wait leave the only connection free';
	is $gateway->push_changes($token, { n => 1 })->{status}, 200, 'a push';
	my @outcomes = map { [ outcome($_) ] } @waiting;
	is scalar(grep { $_->[0] == 200 && $_->[2] =~ /"echo"/ } @outcomes), 20,
	  'ends the wait of all';
	is scalar(grep { $_->[1] < 10 } @outcomes), 20, 'soon';

	$cluster->sql($database, 'TRUNCATE tide.pushed');
	my $start = Time::HiRes::time();
	my $reply = $gateway->get("$pull?since=wait&wait=1.2", token => $token);
	my $took = Time::HiRes::time() - $start;
	is $reply->{status}, 200, 'nothing comes: a reply all the same';
	like $reply->{content}, qr/"cursor":"wait".*"stats":\{\},"hasMore":false/, 'an empty one';
	ok $took > 1.1 && $took < 5, "at the end of the wait ($took s)";
	$start = Time::HiRes::time();
	$gateway->get("$pull?since=wait&wait=0", token => $token);
	$gateway->get("$pull?since=x&wait=30", token => $token);
	is $gateway->get("$pull?since=raise:TD007:x&wait=30", token => $token)->{status},
	  410, 'an error';
	ok Time::HiRes::time() - $start < 1, 'none of these waits';

	my $body = in_background($gateway, 'POST', $pull, token => $token,
		json => { since => 'wait', wait => 30 });
	waiting($gateway, 22);
	$cluster->sql($database, 'INSERT INTO tide.pushed DEFAULT VALUES');
	is +(outcome($body))[0], 200, 'by POST';
};

subtest 'SIGTERM' => sub {
	$cluster->sql($database, 'TRUNCATE tide.pushed');
	my $gateway = gateway('db-connections' => 2, 'log-level' => 'debug');
	my $token = $gateway->token('u1');
	my $slow = in_background($gateway, 'POST', $push, token => $token,
		json => { do => 'sleep:2' });
	running(1, 'the push');
	my $waiting = in_background($gateway, 'GET', "$pull?since=wait&wait=50",
		token => $gateway->token('u2'));
	waiting($gateway, 1);
	my $idle = IO::Socket::INET->new(PeerHost => '127.0.0.1',
		PeerPort => $gateway->{port}) or die $!;

	$gateway->signal('TERM');
	wait_for('it stops', 10, sub { return $gateway->log =~ /event=stopping/; });
	wait_for('new connections are refused', 10, sub {
		my $socket = IO::Socket::INET->new(PeerHost => '127.0.0.1',
			PeerPort => $gateway->{port}, Timeout => 2);
		return !$socket;
	});
	is +(outcome($slow))[0], 200, 'the running push is finished';
	is +(outcome($waiting))[0], 200, 'the waiting pull is answered';
	is $gateway->wait_until_stopped, 0, 'and the end is status 0';
	is $cluster->sql($database, 'SELECT count(*) FROM tide.pushed'), 1, 'stored';
	close $idle;
};

subtest 'SIGTERM with a deadline' => sub {
	$cluster->sql($database, 'TRUNCATE tide.pushed');
	my $gateway = gateway('shutdown-timeout' => 2);
	my $token = $gateway->token('u1');
	my $slow = in_background($gateway, 'POST', $push, token => $token,
		json => { do => 'sleep:25' });
	running(1, 'the push');
	my $start = Time::HiRes::time();
	is $gateway->stop, 0, 'status 0';
	my $took = Time::HiRes::time() - $start;
	ok $took < 4, "in time ($took s)";
	my ($status, undef, $content) = outcome($slow);
	is $status, 503, 'the push that would not end is told to try again';
	is $cluster->sql($database, 'SELECT count(*) FROM tide.pushed'), 0,
	  'and was not stored';
};

subtest 'clients that go away' => sub {
	my $gateway = gateway('db-connections' => 1);
	my $token = $gateway->token('u1');
	my $head = "Host: x\r\nAuthorization: Bearer $token\r\n";
	raw_http($gateway->{port}, "GET $pull?since=sleep:0.5 HTTP/1.1\r\n$head\r\n",
		quiet => 0.05);
	raw_http($gateway->{port}, "POST $push HTTP/1.1\r\n${head}Content-Length: 99\r\n\r\n{",
		quiet => 0.05);
	raw_http($gateway->{port}, "POST $push HTTP/1.1\r\n$head", quiet => 0.05);
	raw_http($gateway->{port}, "\x16\x03\x01 this is no HTTP\r\n\r\n", quiet => 0.2);
	is $gateway->pull($token)->{status}, 200, 'others are served';
	is $gateway->stop('INT'), 0, 'and SIGINT ends it, too';
};

subtest 'bodies that never end' => sub {
	my $gateway = gateway('max-body-bytes' => 10_000, 'max-user-bytes' => 200_000,
		'max-bytes' => 600_000);
	my @sockets;
	my $hold = sub {
		my ($user) = @_;
		my $socket = IO::Socket::INET->new(PeerHost => '127.0.0.1',
			PeerPort => $gateway->{port}) or die $!;
		print {$socket} "POST $push HTTP/1.1\r\nHost: x\r\n"
		  . 'Authorization: Bearer ' . $gateway->token($user) . "\r\nContent-Length: 10000\r\n\r\n"
		  . '{' . ' ' x 9000;
		$socket->flush;
		push @sockets, $socket;
		return $gateway->push_changes($gateway->token($user), { x => 'y' x 9000 });
	};
	# one more at each try: some of them are refused themselves
	my $reply = wait_for('memory of a user is used up', 20, sub {
		my $try = $hold->('u1');
		return $try->{status} != 200 && $try;
	});
	cmp_ok scalar(@sockets), '>=', 8, 'many fit';
	is $reply->{status}, 429, 'there is a limit to those of a user';
	is $reply->{json}{error}{code}, 'too_many_bytes', 'with its code';
	is $gateway->push_changes($gateway->token('u2'), { x => 'y' x 9000 })->{status}, 200,
	  'others have their own';
	my $user = 2;
	$reply = wait_for('memory of all is used up', 20, sub {
		my $try = $hold->('u' . $user++);
		return $try->{status} == 503 && $try;
	});
	cmp_ok scalar(@sockets), '>=', 30, 'many fit';
	is $reply->{json}{error}{code}, 'try_again', 'that passes';
	ok $reply->{headers}{'retry-after'}, 'with Retry-After';
	close $_ for @sockets;
	wait_for('a push is taken again', 10, sub {
		return $gateway->push_changes($gateway->token('u1'), { x => 'y' x 9000 })->{status} == 200;
	});
	pass 'when they are gone, pushes are served again';
};

is $_->stop, 0, 'stops with status 0' for @gateways;
done_testing;
