# GET /sync/events: told when a pull would bring something.
#
# Seen to fail with: a stream from a cursor that begins only when something
# changes; the end of the token not looked at; an event for another user's change.
use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";
use IO::Socket::INET ();
use Test::More;
use TideTest ();
use TideToken;

my $events = '/api/v1/sync/events';
my $cluster = TideTest::Cluster->shared;
my $database = $cluster->create_synced(<<'SQL');
CREATE TABLE plan (id integer PRIMARY KEY, owner text NOT NULL, name text);
CREATE TABLE day (id integer PRIMARY KEY, owner text NOT NULL, name text);
CREATE TABLE word (id integer PRIMARY KEY, name text);
CREATE INDEX ON plan (owner);
CREATE INDEX ON day (owner);
SELECT tide.track('plan', scope => 'owner');
SELECT tide.track('day', scope => 'owner');
SELECT tide.track('word', shared => true);
GRANT SELECT, INSERT, UPDATE, DELETE ON plan, day, word TO tide_user;
SQL

sub sql { return $cluster->sql($database, $_[0]); }

sub gateway
{
	my %settings = @_;
	return TideTest::Gateway->start(cluster => $cluster, database => $database,
		settings => { 'metrics-listen' => '127.0.0.1:0', 'cors-origins' => 'https://app.example', %settings })->wait_until_ready;
}

sub waits
{
	my ($gateway, $count) = @_;
	TideTest::wait_for("$count wait", 10, sub { return $gateway->metric('waiting_pulls') == $count; });
	return;
}

# A stream: its socket, and what came so far.
sub listen_to
{
	my ($gateway, $token, %field) = @_;
	my $query = $gateway->{http}->www_form_urlencode(\%field);
	my $socket = IO::Socket::INET->new(PeerHost => '127.0.0.1', PeerPort => $gateway->{port}) or die $!;
	$socket->autoflush(1);
	print {$socket} "GET $events?$query HTTP/1.1\r\nHost: x\r\nOrigin: https://app.example\r\n"
	  . ($token ? "Authorization: Bearer $token\r\n" : '') . "\r\n";
	my $stream = { socket => $socket, text => '' };
	hears($stream, qr/\r\n\r\n/, 10) or die 'no head';
	return $stream;
}

# Does it say so within so many seconds?  What was said up to there is taken.
sub hears
{
	my ($stream, $what, $seconds) = @_;
	my $deadline = time + $seconds;
	until ($stream->{text} =~ s/\A.*?($what)//s) {
		my $left = $deadline - time;
		my $bits = '';
		vec($bits, fileno($stream->{socket}), 1) = 1;
		return 0 unless select $bits, undef, undef, $left > 0 ? $left : 0;
		sysread $stream->{socket}, $stream->{text}, 65536, length $stream->{text}
		  or return $stream->{text} =~ s/\A.*?($what)//s;
		$stream->{heard} = $stream->{text};
		$stream->{head} //= $1 if $stream->{text} =~ /\A(HTTP.*?\r\n\r\n)/s;
	}
	return 1;
}

sub change { my $types = join ',', map { qq{"$_"} } @_; return qr/event: change\ndata: \{"entityTypes":\[$types\]\}\n\n/; }

# It has nothing to say, as another one shows that was told later.
sub is_silent
{
	my ($stream) = @_;
	return !hears($stream, qr/event:/, 0);
}

my $here = gateway();
my $there = gateway();
my %token = map { ($_ => $here->token($_)) } qw(ann bob);

subtest 'from now on' => sub {
	my $ann = listen_to($here, $token{ann});
	like $ann->{head}, qr{^HTTP/1\.1 200 }, 'a stream';
	like $ann->{head}, qr{^Content-Type: text/event-stream\r$}m, 'of events';
	like $ann->{head}, qr{^Cache-Control: no-store\r$}m, 'which nobody keeps';
	like $ann->{head}, qr{^Access-Control-Allow-Origin: https://app\.example\r$}m, 'which a page may read';
	ok hears($ann, qr/:\n\n/, 10), 'that begins with a comment';
	my $bob = listen_to($here, $token{bob});
	my $days = listen_to($here, $token{ann}, entityTypes => 'day');
	waits($here, 3);

	$there->push_changes($token{ann}, { changes => { plan => [ { id => 1, name => 'x' } ] } });
	ok hears($ann, change('plan'), 10), 'a push through another gateway';
	sql(q{INSERT INTO day VALUES (1, 'bob', 'x')});
	ok hears($bob, change('day'), 10), 'plain SQL';
	ok is_silent($ann), "another user's change is no event";
	ok is_silent($days), 'nor is one of another type';
	sql(q{BEGIN; INSERT INTO day VALUES (2, 'ann', 'x'); UPDATE plan SET name = 'y' WHERE owner = 'ann'; COMMIT});
	ok hears($ann, change('plan', 'day'), 10), 'one transaction, one event';
	ok hears($days, change('day'), 10), 'narrowed to a type';
	sql(q{INSERT INTO word VALUES (1, 'x')});
	ok hears($_, change('word'), 10), 'a shared table' for $ann, $bob;
	sql(q{DELETE FROM plan});
	ok hears($ann, change('plan'), 10), 'a deletion';
	ok is_silent($_), 'and nothing else' for $bob, $days;
	close $_->{socket} for $ann, $bob, $days;
	waits($here, 0);
};

subtest 'from a cursor' => sub {
	my $cursor = ($here->pull_pages($token{ann}))[-1]{cursor};
	my $quiet = listen_to($here, $token{ann}, since => $cursor);
	ok hears($quiet, qr/:\n\n/, 10), 'a stream begins when nothing has changed';
	waits($here, 1);
	sql(q{INSERT INTO plan SELECT n, 'ann', 'x' FROM generate_series(100, 700) n});
	ok hears($quiet, change('plan', 'day', 'word'), 10), 'of more than a page any type may be';
	waits($here, 1);
	my $late = listen_to($here, $token{ann}, since => $cursor);
	ok hears($late, change('plan', 'day', 'word'), 10), 'what had changed before is told at once';
	waits($here, 2);
	sql(q{UPDATE plan SET name = 'y' WHERE id = 100});
	ok hears($_, change('plan'), 10), 'and what changes then' for $quiet, $late;
	ok hears(listen_to($here, $token{ann}, since => '2020-01-01T00:00:00Z'), change(qw(plan day word)), 10), 'since a time';
	close $_->{socket} for $quiet, $late;
	waits($here, 0);
};

subtest 'its end' => sub {
	# 30 seconds of leeway are up in two
	my $token = $here->token('ann', ttl => -28);
	my $stream = listen_to($here, $token);
	ok hears($stream, qr/\r\n0\r\n\r\n/, 10), 'that of the token';

	my $gateway = gateway('max-waiting' => 1);
	$stream = listen_to($gateway, $token{ann});
	waits($gateway, 1);
	my $one_more = listen_to($gateway, $token{bob});
	like $one_more->{head}, qr{^HTTP/1\.1 503 .*^Retry-After: 10\r$}msi, 'one stream too many is refused, or it would come again at once';
	$gateway->signal('TERM');
	ok hears($stream, qr/\r\n0\r\n\r\n/, 10), 'that of the gateway';
	is $gateway->wait_until_stopped, 0, 'with status 0';
};

# Once a key is taken out of its file, nobody gets a row, or hears of one, by it.
# Seen failing without the calls of request_is_let_in().
subtest 'the end of its key' => sub {
	my $file = TideToken::new_file('o' x 40);
	my $gateway = gateway('jwt-secret-file' => $file);
	my ($old, $new) = map { TideToken::sign(TideToken::secret_key($_ x 40), { alg => 'HS256' },
		{ sub => 'ann', exp => time + 600 }) } 'o', 'n';
	my $cursor = $gateway->pull($old, since => 'now')->{json}{cursor};
	my $stream = listen_to($gateway, $old);
	my $waiting = TideTest::in_background($gateway,
		sub { return $gateway->pull($old, since => $cursor, wait => 60); });
	waits($gateway, 2);
	TideToken::write_file("$file.new", 'n' x 40);
	rename "$file.new", $file or die $!;
	TideTest::wait_for('the key is taken out', 10, sub { return $gateway->pull($new)->{status} == 200; });
	is $gateway->push_changes($new, { changes => { plan => [ { id => 900, name => 'x' } ] } })->{status}, 200;
	ok hears($stream, qr/\r\n0\r\n\r\n/, 10), 'a stream ends';
	unlike $stream->{heard}, qr/event:/, 'and tells of nothing';
	my $reply = TideTest::finished($waiting);
	is $reply->{status}, 401, 'a pull that waited is refused';
	is $reply->{json}{changesByType}, undef, 'and brings nothing';
	is $gateway->stop, 0, 'stops with status 0';
};

# Seen failing without the comparison of roles in request_is_let_in().
subtest 'the end of its role' => sub {
	sql('CREATE ROLE events_reader; GRANT events_reader TO tide_gateway; GRANT SELECT ON plan TO events_reader');
	my $file = TideToken::new_file("default-role = tide_user\n");
	my $gateway = gateway(config => $file);
	my $cursor = $gateway->pull($token{ann}, since => 'now')->{json}{cursor};
	my $stream = listen_to($gateway, $token{ann});
	my $waiting = TideTest::in_background($gateway,
		sub { return $gateway->pull($token{ann}, since => $cursor, wait => 60); });
	waits($gateway, 2);
	TideToken::write_file($file, "default-role = events_reader\n");
	$gateway->signal('HUP');
	$gateway->log_says(qr/event=reloaded/, 'the settings are read again');
	sql(q{INSERT INTO day VALUES (900, 'ann', 'not for it')});
	ok hears($stream, qr/\r\n0\r\n\r\n/, 10), 'a stream ends';
	unlike $stream->{heard}, qr/event:/, 'and tells of nothing';
	my $reply = TideTest::finished($waiting);
	is "$reply->{status} $reply->{json}{error}{code}", '503 try_again', 'a pull that waited is to come again';
	is_deeply $gateway->pull($token{ann}, since => $cursor)->{json}{changesByType}, {}, 'by the other role';
	is $gateway->stop, 0, 'stops with status 0';
	sql('DROP OWNED BY events_reader; DROP ROLE events_reader');
};

subtest 'refusals' => sub {
	like listen_to($here, undef)->{head}, qr{^HTTP/1\.1 401 }, 'no token';
	like listen_to($here, $token{ann}, since => 'x')->{head}, qr{^HTTP/1\.1 400 }, 'no cursor';
	like listen_to($here, $token{ann}, scope => 'bob')->{head}, qr{^HTTP/1\.1 403 }, "another user's scope";
	is $here->post($events, token => $token{ann}, json => {})->{status}, 405, 'POST';
	is $here->request('HEAD', $events, token => $token{ann})->{status}, 200, 'HEAD';
	waits($here, 0);
};

is $_->stop, 0, 'stops with status 0' for $here, $there;
done_testing;
