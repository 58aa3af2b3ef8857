# Gateways and databases that stop, crash and come back: what was acknowledged
# is there, what was not can be sent again without a second effect, and
# cursors stay good.
use strict;
use warnings;

use FindBin ();
use IO::Handle ();
use lib "$FindBin::Bin/../lib";
use POSIX ();
use Test::More;
use Time::HiRes ();
use TideTest qw(wait_for iso apply_page in_background finished);

my $cluster = TideTest::Cluster->start;
my $database = $cluster->create_synced(<<'SQL');
CREATE TABLE note (
	id		text PRIMARY KEY,
	user_id	text NOT NULL,
	body	text,
	version	integer NOT NULL DEFAULT 1);
CREATE INDEX ON note (user_id, id);
SELECT tide.track('note', scope => 'user_id', version => 'version');

-- each effect on a row, also one that a second push would have
CREATE TABLE effect (at timestamptz DEFAULT clock_timestamp(), id text, what text);
CREATE FUNCTION note_effect() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
	INSERT INTO effect (id, what) VALUES (coalesce(NEW.id, OLD.id), TG_OP);
	RETURN NULL;
END $$;
CREATE TRIGGER effect AFTER INSERT OR UPDATE OR DELETE ON note
	FOR EACH ROW EXECUTE FUNCTION note_effect();
GRANT ALL ON note TO tide_user;
SQL
my $gateway = start_gateway();
my $token = $gateway->token('u1');

sub start_gateway
{
	return TideTest::Gateway->start(cluster => $cluster,
		database => $database,
		settings => { 'db-connections' => 2, @_ })->wait_until_ready;
}

sub sql { return $cluster->sql($database, $_[0]); }

# What happened to a row, in order: "INSERT UPDATE".
sub effects
{
	my ($id) = @_;
	return sql("SELECT string_agg(what, ' ' ORDER BY at) FROM effect WHERE id = '$id'");
}

sub changes
{
	my (@notes) = @_;
	return { clientId => 'phone', changes => { note => \@notes } };
}

sub is_away
{
	my ($reply, $name) = @_;
	is $reply->{status}, 503, $name or diag $reply->{content};
	like $reply->{headers}{'retry-after'} // '', qr/^\d+$/, 'with Retry-After';
	is $reply->{json}{error}{code}, 'try_again', 'and a word';
	return;
}

# A session that holds a lock on the table until release().
sub hold
{
	open my $session, '|-', 'psql', '-X', '-q', '-d', $cluster->conninfo($database)
	  or die $!;
	$session->autoflush(1);
	print {$session} "BEGIN; LOCK TABLE note IN SHARE MODE;\n";
	wait_for('the table is locked', 10, sub {
		return sql(q{SELECT count(*) FROM pg_locks WHERE granted
			AND relation = 'note'::regclass AND mode = 'ShareLock'});
	});
	return $session;
}

sub release
{
	my ($session) = @_;
	print {$session} "COMMIT;\n\\q\n";
	close $session;
	return;
}

# Wait until the gateway's session waits for that lock.
sub wait_until_held
{
	wait_for('a push waits for the lock', 10, sub {
		return sql(q{SELECT count(*) FROM pg_stat_activity
			WHERE usename = 'tide_gateway' AND wait_event_type = 'Lock'});
	});
	return;
}

subtest 'another gateway' => sub {
	$gateway->push_changes($token, changes({ id => 'first' }));
	my $cursor = $gateway->pull($token)->{json}{cursor};
	is $gateway->stop, 0, 'stopped';
	$gateway = start_gateway();
	sql(q{UPDATE note SET body = 'meanwhile'});
	my $page = $gateway->pull($token, since => $cursor)->{json};
	ok !$page->{reset}, 'the cursor is good for it';
	is_deeply [ map { $_->{body} } @{ $page->{changesByType}{note} } ], ['meanwhile'],
	  'and gets just what changed';
};

subtest 'PostgreSQL restarts' => sub {
	my $cursor = $gateway->pull($token)->{json}{cursor};
	my $time = $gateway->pull($token)->{json}{serverTime};
	$gateway->push_changes($token, changes({ id => 'before' }));
	$cluster->down('fast');
	for (1 .. 3)
	{
		is_away($gateway->pull($token, since => $cursor), 'a pull while it is away');
		is_away($gateway->push_changes($token, changes({ id => 'lost' })), 'a push');
	}
	is $gateway->get('/health')->{status}, 200, 'the gateway is alive';
	is $gateway->get('/ready')->{status}, 503, 'but not ready';
	$cluster->up or die $@;
	my $reply = wait_for('a pull by itself', 20, sub {
		my $reply = $gateway->pull($token, since => $cursor, clientId => 'tablet');
		return $reply->{status} == 200 && $reply;
	});
	ok !$reply->{json}{reset}, 'after a clean restart the cursor is good';
	is_deeply [ map { $_->{id} } @{ $reply->{json}{changesByType}{note} } ], ['before'],
	  'and misses nothing';
	$reply = $gateway->pull($token, since => $time);
	ok !$reply->{json}{reset}, 'the time too';
	is scalar(grep { $_->{id} eq 'before' } @{ $reply->{json}{changesByType}{note} }), 1,
	  'misses nothing';
	is $gateway->push_changes($token, changes({ id => 'after' }))->{status}, 200, 'a push';
	is sql(q{SELECT count(*) FROM note WHERE id = 'lost'}), 0,
	  'what got 503 is not stored';
};

subtest 'PostgreSQL crashes' => sub {
	my %copy;
	my @pages = $gateway->pull_pages($token);
	apply_page(\%copy, $_) for @pages;
	is $gateway->push_changes($token, changes({ id => 'acknowledged' }))->{status}, 200,
	  'an acknowledged push';
	$cluster->restart('immediate');
	$gateway->wait_until_ready;
	my $reply = wait_for('a pull after the crash', 20, sub {
		my $reply = $gateway->pull($token, since => $pages[-1]{cursor});
		return $reply->{status} == 200 && $reply;
	});
	apply_page(\%copy, $reply->{json});
	is join(' ', sort keys %{ $copy{note} }),
	  sql(q{SELECT string_agg(id, ' ' ORDER BY id COLLATE "C") FROM note}),
	  'nothing is lost';
};

subtest 'killed between COMMIT and the reply' => sub {
	my @kinds = (
		insert => changes(map { { id => "k$_", body => 'new',
			lastModifiedAt => iso(time - 50) } } 1 .. 3),
		update => changes(map { { id => "k$_", body => 'edited',
			lastModifiedAt => iso(time - 40) } } 1 .. 3),
		delete => { clientId => 'phone', changes => [ map { { entityType => 'note',
			action => 'delete', entityId => "k$_", lastModifiedAt => iso(time - 30) } }
			1 .. 3 ] });
	my $seen = '';
	while (my ($kind, $body) = splice @kinds, 0, 2)
	{
		# the push waits in PostgreSQL; the gateway stops before the answer
		my $before = $gateway->pull($token)->{json}{cursor};
		my $session = hold();
		my $job = in_background($gateway, sub { return $gateway->push_changes($token, $body) });
		wait_until_held();
		$gateway->freeze;
		release($session);
		$seen = $seen ? "$seen " . uc $kind : uc $kind;
		wait_for("the $kind is committed", 10, sub { return effects('k1') eq $seen; });
		$gateway->stop('KILL');
		cmp_ok finished($job)->{status}, '!=', 200, "$kind: nobody was told";

		$gateway = start_gateway();
		my $reply = $gateway->push_changes($token, $body)->{json};
		is_deeply [ map { $_->{status} } @{ $reply->{succeeded} } ],
		  [ ('unchanged') x 3 ], 'sent again: it had been stored'
		  or diag explain $reply;
		is effects("k$_"), $seen, 'no second effect' for 1 .. 3;
		my $page = $gateway->pull($token, since => $before)->{json};
		is scalar @{ $page->{changesByType}{note} // $page->{deletedByType}{note} }, 3,
		  'others see it once';
	}
};

subtest 'killed at any moment' => sub {
	my ($stored, $told) = (0, 0);
	my $rounds = 30;
	srand 7;
	for my $round (1 .. $rounds)
	{
		my $id = "r$round";
		my $body = changes(map { { id => "$id-$_", body => $round,
			lastModifiedAt => iso(time) } } 1 .. 20);
		my $job = in_background($gateway, sub { return $gateway->push_changes($token, $body) });
		# the moment of the kill: anywhere in the life of the push
		Time::HiRes::usleep(int rand 25_000);
		$gateway->stop('KILL');
		my $first = finished($job);
		$told++ if $first->{status} == 200;

		$gateway = start_gateway();
		my $reply = $gateway->push_changes($token, $body)->{json};
		my %status;
		$status{ $_->{status} }++ for @{ $reply->{succeeded} };
		$stored++ if $status{unchanged};
		is_deeply [ values %status ], [20], 'all or nothing had been stored'
		  or diag explain $reply;
		is $status{applied} // 0, 0, 'what was acknowledged had been'
		  if $first->{status} == 200;
		is sql("SELECT count(*) || ' ' || max(version) FROM note WHERE id LIKE '$id-%'"),
		  '20 1', 'stored once';
		is sql("SELECT count(*) FROM effect WHERE id LIKE '$id-%'"), 20, 'with one effect';
	}
	note "of $rounds, $stored were stored before the kill, $told were told so";
};

subtest 'its session is ended in the middle of a push' => sub {
	my $body = changes({ id => 'terminated', lastModifiedAt => iso(time) });
	my $session = hold();
	my $job = in_background($gateway, sub { return $gateway->push_changes($token, $body) });
	wait_until_held();
	sql(q{SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
		WHERE usename = 'tide_gateway' AND wait_event_type = 'Lock'});
	is finished($job)->{status}, 503, 'a retryable error';
	release($session);
	is sql(q{SELECT count(*) FROM note WHERE id = 'terminated'}), 0, 'not stored';
	is $gateway->push_changes($token, $body)->{json}{succeeded}[0]{status}, 'applied',
	  'sent again';
};

subtest 'SIGTERM: finishes what it has' => sub {
	my $body = changes({ id => 'last', lastModifiedAt => iso(time) });
	my $cursor = ($gateway->pull_pages($token, limit => 500))[-1]{cursor};
	my $waiting = in_background($gateway,
		sub { return $gateway->pull($token, since => $cursor, wait => 50) });
	my $session = hold();
	my $pushing = in_background($gateway, sub { return $gateway->push_changes($token, $body) });
	wait_until_held();
	my $start = Time::HiRes::time();
	$gateway->signal('TERM');
	is finished($waiting)->{status}, 200, 'a pull that waits is answered';
	wait_for('nobody is let in', 10, sub {
		return HTTP::Tiny->new(timeout => 2)->get("$gateway->{url}/health")->{status} != 200;
	});
	is waitpid($gateway->{pid}, POSIX::WNOHANG()), 0, 'the push is still there';
	release($session);
	my $reply = finished($pushing);
	is $reply->{status}, 200, 'and is answered';
	is $reply->{json}{succeeded}[0]{status}, 'applied', 'stored';
	is $gateway->wait_until_stopped, 0, 'status 0';
	cmp_ok Time::HiRes::time() - $start, '<', 9, 'before its timeout';
	is sql(q{SELECT count(*) FROM note WHERE id = 'last'}), 1, 'it is there';
	is sql(q{SELECT count(*) FROM pg_stat_activity WHERE usename = 'tide_gateway'}), 0,
	  'no session is left';
};

done_testing;
