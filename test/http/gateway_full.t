# A server that lets no more sessions in: a gateway keeps those that it has, though it
# opens them anew after a while.  That while is a minute, and so is this test.
#
# Seen failing without health_is_bad() in is_current(): one after the other was closed.
use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";
use Test::More;
use TideTest qw(wait_for);

my $cluster = TideTest::Cluster->shared;
my $database = $cluster->create_fake;
my $gateway = TideTest::Gateway->start(cluster => $cluster, database => $database,
	settings => { 'metrics-listen' => '127.0.0.1:0', 'maintain-interval' => 0 })->wait_until_ready;
my $token = $gateway->token('u1');

sub connected { return $gateway->metric('database_connections') }

# of this database, since other tests may share the role
sub let_in
{
	my ($sessions) = @_;
	$cluster->sql('postgres', qq(ALTER DATABASE "$database" CONNECTION LIMIT $sessions));
	return;
}

# the statuses of pulls, one after the other for so many seconds; a deadline, too
sub pull_for
{
	my ($what, $seconds, $deadline) = @_;
	my $begun = time;
	my %status;
	wait_for($what, $deadline, sub {
		$status{ $gateway->pull($token, since => 'x')->{status} }++;
		return time > $begun + $seconds;
	});
	return join ' ', keys %status;
}

wait_for('all threads are connected', 10, sub { return connected() == 4 });
let_in(0);
is pull_for('all sessions are old', 60, 90), 200, 'pulls are served all the time';
is connected(), 3, 'one session was given up, and the others are kept';
let_in(-1);
ok wait_for('it is had again', 60, sub { return $gateway->pull($token, since => 'x')->{status} == 200 && connected() == 4 }),
  'once there is room';

# Seen failing with a reload that counts as another server: none was left.
subtest 'a reload' => sub {
	let_in(0);
	$gateway->signal('HUP');
	$gateway->log_says(qr/event=reloaded/, 'it is read again');
	is pull_for('all threads have seen it', 5, 10), 200, 'pulls are served';
	is connected(), 3, 'by the other sessions';
	let_in(-1);
	ok wait_for('it is had again', 60, sub { return connected() == 4 }), 'once there is room';
};

# Seen failing with the thread that looks alone: it had its session, and /ready was 200.
subtest 'no session for requests' => sub {
	let_in(0);
	$cluster->sql('postgres', qq(SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
		WHERE datname = '$database' AND application_name = 'tide-gateway'));
	wait_for('none is left', 10, sub { return connected() == 0 });
	is $gateway->pull($token, since => 'x')->{status}, 503, 'a pull is not served';
	my $ready = $gateway->get('/ready');
	is $ready->{status}, 503, 'and the gateway is not ready';
	like $ready->{json}{error}{hint}, qr/has the server room for another session/, 'for this reason, among others';
	let_in(-1);
	wait_for('it is ready again', 60, sub { return $gateway->get('/ready')->{status} == 200 });
	is $gateway->pull($token, since => 'x')->{status}, 200, 'when it serves again';
};

is $gateway->stop, 0, 'ends with status 0';
done_testing;
