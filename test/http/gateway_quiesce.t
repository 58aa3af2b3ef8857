# A gateway that stops while requests come: libmicrohttpd and the thread that stops
# it may take the listening socket out of one epoll set at the same moment.  Here
# that takes long, so that they always would.
#
# Seen to fail: with MHD_quiesce_daemon() called by the thread that stops, the
# gateway ended by SIGABRT ("Failed to remove listen FD from epoll set").
use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";
use File::Temp ();
use HTTP::Tiny ();
use IO::Socket::INET ();
use Test::More;
use TideTest qw(wait_for in_background finished);

my $cluster = TideTest::Cluster->shared;
my $database = $cluster->create_fake;
my $directory = File::Temp->newdir;
chmod 0755, $directory;
system('cc', '-shared', '-fPIC', '-o', "$directory/slow.so", "$FindBin::Bin/gateway_quiesce.c", '-ldl') == 0
  or die "could not compile the library\n";
open my $script, '>', "$directory/gateway" or die $!;
# a library comes before that of the sanitizers
print {$script} "#!/bin/sh\nexport LD_PRELOAD=$directory/slow.so ASAN_OPTIONS=verify_asan_link_order=0\nexec "
  . TideTest::Gateway::program() . qq( "\$@"\n);
close $script;
chmod 0755, "$directory/gateway";

for my $round (1 .. 3)
{
	local $ENV{TIDE_TEST_GATEWAY} = "$directory/gateway";
	my $gateway = TideTest::Gateway->start(cluster => $cluster, database => $database)->wait_until_ready;
	my $token = $gateway->token('u1');
	my $slow = in_background($gateway, sub { return $gateway->pull($token, since => 'sleep:1') });
	wait_for('a request is under way', 10, sub { return $cluster->sql($database,
		q{SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'}) == 1 });
	# others come all the while, on connections that are there already
	my $flood = in_background($gateway, sub {
		my $client = HTTP::Tiny->new(keep_alive => 1, timeout => 5);
		my $last;
		for (1 .. 100_000)
		{
			my $reply = $client->get("http://127.0.0.1:$gateway->{port}/health");
			last if $reply->{status} == 599;
			$last = $reply->{status};
		}
		return { status => $last };
	});
	wait_for('others come', 10, sub { return 100 < (() = $gateway->log =~ m{path=/health}g) });
	$gateway->signal('TERM');
	wait_for('nobody is let in', 10, sub { return !IO::Socket::INET->new(PeerHost => '127.0.0.1', PeerPort => $gateway->{port}) });
	is finished($slow)->{status}, 200, 'what was under way is answered';
	finished($flood);
	is $gateway->wait_until_stopped, 0, 'and the gateway stops';
}

done_testing;
