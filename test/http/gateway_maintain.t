# tide.maintain() by the gateway's timer: when it runs, as whom, and that
# nothing waits for it.
use strict;
use warnings;

use File::Temp ();
use FindBin ();
use lib "$FindBin::Bin/../lib";
use POSIX ();
use Test::More;
use Time::HiRes ();
use TideTest qw(wait_for decode_json);

my $cluster = TideTest::Cluster->shared;
my @gateways;

# A gateway; its log is at level debug unless the settings say otherwise.
sub gateway
{
	my ($database, %settings) = @_;
	my $gateway = TideTest::Gateway->start(
		cluster => $cluster,
		database => $database,
		settings => { 'log-level' => 'debug', %settings })->wait_until_ready;
	push @gateways, $gateway;
	return $gateway;
}

sub how
{
	my ($database, $how) = @_;
	$cluster->sql($database,
		"TRUNCATE tide.maintain_how; INSERT INTO tide.maintain_how VALUES ('$how')");
	return;
}

# So many lines of the log have this event; at least, or wait_for dies.
sub events
{
	my ($gateway, $event, $count) = @_;
	return wait_for("$count times $event in the log", 30, sub {
		my @lines = $gateway->log =~ /^.* event=\Q$event\E\b.*$/mg;
		return @lines >= $count && \@lines;
	});
}

# Runs of a gateway with this application_name.
sub runs
{
	my ($database, $name) = @_;
	return $cluster->sql($database, "SELECT count(*) FROM tide.maintained
		WHERE echo->>'application' = '$name'");
}

# Settings of a gateway that can be told from others in the database.
sub as_application
{
	my ($database, $name) = @_;
	return ('database-url' => $cluster->conninfo($database, 'tide_gateway')
		  . " application_name=$name");
}

# A pull by a child; status_of the handle waits for its status.
sub in_background
{
	my ($gateway, $token, $since) = @_;
	pipe(my $reader, my $writer) or die $!;
	my $pid = fork // die $!;
	if ($pid == 0)
	{
		my $client = bless { %$gateway, http => HTTP::Tiny->new(timeout => 60) },
		  ref $gateway;
		print {$writer} $client->pull($token, since => $since)->{status};
		close $writer;
		POSIX::_exit(0);
	}
	close $writer;
	return $reader;
}

sub status_of
{
	my ($reader) = @_;
	local $/;
	return scalar <$reader>;
}

# Is a session of this database asleep in the double?
sub sleeping
{
	my ($database, $what) = @_;
	wait_for("$what in the database", 20, sub {
		return $cluster->sql($database, <<'SQL') == 1;
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event = 'PgSleep'
SQL
	});
	return;
}

# These two run from here to the end of the test.
my $quiet = $cluster->create_fake;
my $off = gateway($quiet, 'maintain-interval' => 0, as_application($quiet, 'off'));
my $usual_start = Time::HiRes::time();
my $usual = gateway($quiet, 'log-level' => 'info', as_application($quiet, 'usual'));

subtest 'a run' => sub {
	my $database = $cluster->create_fake;
	my $gateway = gateway($database, 'maintain-interval' => 1,
		'request-timeout' => 17);
	my $lines = events($gateway, 'maintained', 2);
	like $lines->[0], qr/level=debug event=maintained removed=7$/, 'is logged';
	my $echo = decode_json($cluster->sql($database,
			'SELECT echo FROM tide.maintained ORDER BY id LIMIT 1'));
	is $echo->{user}, 'tide_gateway', 'as the role that logged in';
	is $echo->{session}, 'tide_gateway', 'which it is';
	is $echo->{role}, 'none', 'without SET ROLE';
	is $echo->{claims}, '', 'without claims';
	is $echo->{isolation}, 'read committed', 'READ COMMITTED';
	is $echo->{readOnly}, 'off', 'read write';
	like $echo->{statementTimeout}, qr/^1[67]\d{3}ms$|^17s$/, 'with a limit';
	unlike $gateway->log, qr/maintain-failed/, 'nothing failed';

	my ($shortest) = $cluster->sql($database, <<'SQL');
SELECT extract(epoch FROM min(gap)) FROM
	(SELECT at - lag(at) OVER (ORDER BY id) AS gap FROM tide.maintained) t
SQL
	cmp_ok $shortest, '>', 0.5, 'not more often than it should';
	is $gateway->stop, 0;
};

subtest 'one that takes long' => sub {
	my $database = $cluster->create_fake;
	how($database, 'sleep:1.6');
	my $gateway = gateway($database, 'maintain-interval' => 1,
		'db-connections' => 4);
	events($gateway, 'maintained', 3);
	is $cluster->sql($database,
		'SELECT count(*) FROM tide.maintained WHERE NOT alone'), 0,
	  'is never joined by a second one';
	is $gateway->stop, 0;
};

subtest 'without the privilege' => sub {
	my $database = $cluster->create_fake;
	$cluster->sql($database,
		'REVOKE EXECUTE ON FUNCTION tide.maintain() FROM tide_gateway');
	my $gateway = gateway($database, 'maintain-interval' => 1,
		'log-level' => 'warning');
	my $lines = events($gateway, 'maintain-failed', 2);
	like $_, qr/level=warning event=maintain-failed code=not_allowed sqlstate=42501/,
	  'a warning'
	  for @$lines;
	like $lines->[0],
	  qr/hint="GRANT EXECUTE ON FUNCTION tide\.maintain\(\) TO tide_gateway"/,
	  'that says what to do';
	is $gateway->pull($gateway->token('u1'))->{status}, 200, 'requests go on';

	$cluster->sql($database,
		'GRANT EXECUTE ON FUNCTION tide.maintain() TO tide_gateway');
	wait_for('a run after the grant', 20, sub {
		return $cluster->sql($database, 'SELECT count(*) FROM tide.maintained');
	});
	pass 'the next one needs no restart';
	unlike $gateway->log, qr/event=maintained/, 'success is at level debug';
	is $gateway->stop, 0;
};

subtest 'other failures' => sub {
	my $database = $cluster->create_fake;
	how($database, 'raise:XX000:the secret text');
	my $gateway = gateway($database, 'maintain-interval' => 1);
	like events($gateway, 'maintain-failed', 1)->[0],
	  qr/level=warning .* code=internal_error sqlstate=XX000/, 'an error';
	unlike $gateway->log, qr/secret|GRANT/, 'neither its text nor a wrong hint';
	unlike $gateway->log, qr/event=database-error/, 'one line for a failure';

	how($database, 'conflict:1');
	events($gateway, 'maintained', 1);
	pass 'a conflict is tried again';
	is $gateway->stop, 0;

	$gateway = TideTest::Gateway->start(
		database_url => 'host=127.0.0.1 port=1',
		settings => { 'maintain-interval' => 1 });
	like events($gateway, 'maintain-failed', 2)->[0],
	  qr/code=try_again message="the database is not available"$/,
	  'a database that is away';
	is $gateway->stop, 0;
};

subtest 'a full queue' => sub {
	my $database = $cluster->create_fake;
	my $gateway = gateway($database, 'maintain-interval' => 1,
		'db-connections' => 1, 'queue-length' => 1);
	my $token = $gateway->token('u1');
	events($gateway, 'maintained', 1);
	my $slow = in_background($gateway, $token, 'sleep:4');
	sleeping($database, 'the slow request');
	my $begun = () = $gateway->log =~ /event=maintaining/g;
	events($gateway, 'maintaining', $begun + 1);

	# the only connection is taken, and a run of maintenance waits for it
	my %count;
	$count{ status_of($_) }++
	  for map { in_background($gateway, $token, 'x') } 1 .. 3;
	is_deeply \%count, { 200 => 1, 503 => 2 }, 'has its whole length for requests';
	is status_of($slow), 200, 'the slow request';

	my $start = Time::HiRes::time();
	is $gateway->pull($token, since => 'wait:2.5', wait => 4)->{status}, 200,
	  'a pull that runs while maintenance becomes due';
	my $took = Time::HiRes::time() - $start;
	cmp_ok $took, '>', 3.9, "has its place among those that wait ($took s)";
	is $gateway->stop, 0;
};

subtest 'the end' => sub {
	my $database = $cluster->create_fake;
	how($database, 'sleep:20');
	my $gateway = gateway($database, 'maintain-interval' => 1);
	sleeping($database, 'a run');
	my $start = Time::HiRes::time();
	is $gateway->stop, 0, 'status 0';
	my $took = Time::HiRes::time() - $start;
	cmp_ok $took, '<', 5, "does not wait for a run ($took s)";
	unlike $gateway->log, qr/maintain-failed|event=cancelling/, 'nor complains';
	is $cluster->sql($database, 'SELECT count(*) FROM tide.maintained'), 0,
	  'which was rolled back';

	$gateway = gateway($database, 'maintain-interval' => 1, 'db-connections' => 1);
	sleeping($database, 'another run');
	events($gateway, 'maintaining', 1);
	my $token = $gateway->token('u1');
	is $gateway->stop, 0, 'also on the only connection';
};

subtest 'SIGHUP' => sub {
	my $database = $cluster->create_fake;
	my $file = File::Temp->new;
	my $reloads = 0;
	my $set = sub {
		my ($interval) = @_;
		open my $out, '>', $file->filename or die $!;
		print {$out} "maintain-interval = $interval\n";
		close $out;
		return;
	};
	my $reload = sub {
		my ($gateway, $interval) = @_;
		$set->($interval);
		$gateway->signal('HUP');
		events($gateway, 'reloaded', ++$reloads);
		return;
	};
	$set->(0);
	my $gateway = gateway($database, config => $file->filename);
	$reload->($gateway, 1);
	events($gateway, 'maintained', 2);
	pass 'switches it on';
	$reload->($gateway, 0);
	my $before = () = $gateway->log =~ /event=maintaining/g;
	# as long as two runs of another one take
	my $other = gateway($database, 'maintain-interval' => 1);
	events($other, 'maintained', 3);
	my $after = () = $gateway->log =~ /event=maintaining/g;
	is $after, $before, 'and off';
	is $_->stop, 0 for $gateway, $other;
};

wait_for('the first run, by default', 20, sub { return runs($quiet, 'usual') == 1; });
cmp_ok $cluster->sql($quiet, 'SELECT extract(epoch FROM min(at)) FROM tide.maintained')
  - $usual_start, '<', 8, 'comes a few seconds after the start';
unlike $usual->log, qr/maintain/, 'and the log has no word of it';
is runs($quiet, 'off'), 0, 'an interval of 0 is none';
unlike $off->log, qr/maintain/, 'nor is there a try';
is runs($quiet, 'usual'), 1, 'the second one is not yet due';

for my $gateway (@gateways)
{
	is $gateway->stop, 0, 'stops with status 0';
}
done_testing;
