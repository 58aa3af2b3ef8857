# Several gateways on one database, and a client whose calls come to any of them:
# none keeps anything that another would need.
#
# The proxies before them have the configuration that docs/scale.md shows; where
# haproxy or nginx is not installed, that part is skipped.
#
# Seen to fail: with a look that had begun before a poll taken for its answer (in
# book_sit, "book->begun" for "book->begun + 1"); with counters of failed logins
# cleared between the gateways; without proxy_next_upstream and retry-on.
use strict;
use warnings;

use File::Temp ();
use FindBin ();
use lib "$FindBin::Bin/../lib";
use HTTP::Tiny ();
use IO::Socket::INET ();
use POSIX ();
use Test::More;
use TideTest qw(wait_for apply_page in_background finished decode_json);
use Time::HiRes ();

my $seed = $ENV{TIDE_TEST_SEED} // int rand 1_000_000;
note "seed $seed";
srand $seed;

my $cluster = TideTest::Cluster->shared;
my $database = $cluster->create_synced(<<'SQL');
CREATE TABLE note (id text PRIMARY KEY, user_id text NOT NULL, body text);
CREATE INDEX ON note (user_id, id);
SELECT tide.track('note', scope => 'user_id');
GRANT ALL ON note TO tide_user;
CREATE EXTENSION pg_tide_auth CASCADE;
DO $$ BEGIN IF to_regrole('tide_auth') IS NULL THEN CREATE ROLE tide_auth NOLOGIN; END IF; END $$;
GRANT tide_auth TO tide_gateway;
SELECT tide_auth.allow('tide_auth');
ALTER ROLE tide_gateway SET log_parameter_max_length = 0;
SET pg_tide_auth.bcrypt_cost = 4;
SELECT tide_auth.create_account('maja', 'maja''s secret', 'u1', 'athlete');
SELECT tide_auth.create_account('nora', 'nora''s secret', 'u2', 'athlete');
SQL
my @gateways = map { start_gateway() } 1 .. 2;
my $token = $gateways[0]->token('u1');

sub start_gateway
{
	my $gateway = TideTest::Gateway->start(cluster => $cluster, database => $database,
		settings => { 'metrics-listen' => '127.0.0.1:0', 'login-function' => 'tide_auth.login',
			'login-attempts' => 4, 'shutdown-delay' => 3, @_ })->wait_until_ready;
	# until it does, no poll is answered from memory
	wait_for('the watcher looks', 10, sub { return $gateway->metric('looks_total') > 0; });
	return $gateway;
}

sub any { return $gateways[ int rand @gateways ]; }

sub changes { return { clientId => 'phone', changes => { note => [@_] } }; }

sub ids { return join ' ', sort map { $_->{id} } @{ $_[0]{changesByType}{note} // [] }; }

subtest 'push, page and poll at random' => sub {
	my ($copy, $truth, $cursor, @acks) = ({ note => {} }, {});
	my $wrong = 0;
	for my $n (1 .. 150)
	{
		if (rand() < 0.3)
		{
			my %note = (id => 'n' . int rand 12, body => "body $n");
			my $ack = any()->push_changes($token, changes(\%note))->{json}{ack};
			push @acks, $ack if rand() < 0.3;
			$truth->{ $note{id} } = $note{body};
			# what its reply has shown is not sent again
			$copy->{note}{ $note{id} } = {%note} if @acks && $acks[-1] eq $ack;
		}
		my $page = { hasMore => 1 };
		while ($page->{hasMore})
		{
			$page = any()->pull($token, limit => 3, $cursor ? (since => $cursor) : (), @acks ? (ack => \@acks) : ())->{json};
			apply_page($copy, $page);
			$cursor = $page->{cursor};
			$wrong++ if $n > 1 && $page->{reset};
		}
		@acks = ();
		my %has = map { ($_ => $copy->{note}{$_}{body}) } keys %{ $copy->{note} };
		next if join(' ', map { "$_=$has{$_}" } sort keys %has) eq join(' ', map { "$_=$truth->{$_}" } sort keys %$truth);
		diag "seed $seed, step $n: ", explain [ \%has, $truth ];
		last if ++$wrong;
	}
	is $wrong, 0, 'each poll sees what any of them acknowledged before';
	my @answered = map { $_->metric('remembered_answers_total') } @gateways;
	cmp_ok $answered[0] + $answered[1], '>', 0, "some were answered from memory (@answered)";
};

subtest 'a poll from memory after a push elsewhere' => sub {
	my ($here, $there) = @gateways;
	my $cursor = ($here->pull_pages($token))[-1]{cursor};
	my $late = 0;
	for my $n (1 .. 20)
	{
		$here->pull($token, since => $cursor) for 1 .. 2;
		$there->push_changes($token, changes({ id => 'm', body => "m $n" }));
		my $page = $here->pull($token, since => $cursor)->{json};
		$late++ if ids($page) ne 'm' || $page->{changesByType}{note}[0]{body} ne "m $n";
		$cursor = $page->{cursor};
	}
	is $late, 0, 'brings it, each time';
	# a cursor that the other gave is not known here: the database is asked
	my $strange = $there->pull($token, since => $cursor)->{json}{cursor};
	is ids($here->pull($token, since => $strange)->{json}), '', 'a cursor of the other\'s';
};

subtest 'waiting at one for a push through the other' => sub {
	for my $n (0, 1)
	{
		my ($here, $there) = @gateways[ $n, 1 - $n ];
		my $cursor = ($there->pull_pages($token))[-1]{cursor};
		my $job = in_background($here, sub { return $here->pull($token, since => $cursor, wait => 30); });
		my $events = IO::Socket::INET->new(PeerHost => '127.0.0.1', PeerPort => $here->{port}) or die $!;
		$events->autoflush(1);
		print {$events} "GET /api/v1/sync/events?since=$cursor HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer $token\r\n\r\n";
		wait_for('both wait', 10, sub { return $here->metric('waiting_pulls') == 2; });
		$there->push_changes($token, changes({ id => "w$n", body => 'x' }));
		is ids(finished($job)->{json}), "w$n", 'a pull with wait= is woken';
		my $heard = '';
		my $told = eval {
			local $SIG{ALRM} = sub { die "not told\n" };
			alarm 10;
			sysread $events, $heard, 65536, length $heard or die "ended\n" until $heard =~ /event: change\n/;
			alarm 0;
			1;
		};
		ok $told, 'and a stream of events tells' or diag $@, $heard;
	}
};

subtest 'a batch that comes twice' => sub {
	my $body = { %{ changes({ id => 'b1', body => 'first' }) }, batchId => 'batch 1' };
	my $first = $gateways[0]->push_changes($token, $body);
	is $first->{status}, 200, 'stored by one';
	my $again = $gateways[1]->push_changes($token, $body);
	is $again->{content}, $first->{content}, 'the other gives its reply';
	$body->{changes}{note}[0]{body} = 'other';
	is $gateways[1]->push_changes($token, $body)->{status}, 409, 'and knows another body under its name';

	my $twin = { %{ changes({ id => 'b2', body => 'twin' }) }, batchId => 'batch 2' };
	my @jobs = map { my $gateway = $_; in_background($gateway, sub { return $gateway->push_changes($token, $twin); }) }
	  @gateways, @gateways;
	my @replies = map { TideTest::encode_json(finished($_)->{json}) } @jobs;
	is scalar(grep { $_ eq $replies[0] } @replies), 4, 'four at the same time get one reply';
	is $cluster->sql($database, q{SELECT count(*) FROM note WHERE id = 'b2'}), 1, 'and are stored once';
};

subtest 'logging in' => sub {
	my $auth = '/api/v1/auth';
	my $login = sub {
		my ($gateway, $name, $password) = @_;
		return $gateway->post("$auth/login", json => { username => $name, password => $password });
	};
	my $session = $login->($gateways[0], 'maja', q{maja's secret})->{json};
	is $gateways[1]->pull($session->{token})->{status}, 200, 'a token of one opens the other';
	my $next = $gateways[1]->post("$auth/refresh", json => { refreshToken => $session->{refreshToken} });
	is $next->{status}, 200, 'which refreshes it, too';
	is $gateways[0]->post("$auth/logout", json => { refreshToken => $next->{json}{refreshToken} })->{status}, 200;
	is $gateways[1]->post("$auth/refresh", json => { refreshToken => $next->{json}{refreshToken} })->{status}, 400,
	  'logged out at one is logged out at the other';

	# the database counts, so guessing at two gateways is no faster
	my @statuses = map { $login->($gateways[ $_ % 2 ], 'nora', 'wrong')->{status} } 1 .. 5;
	is "@statuses", '401 401 401 401 429', 'failed logins are counted together';
	is $login->($gateways[0], 'nora', q{nora's secret})->{status}, 429, 'at both';
	is $login->($gateways[1], 'nora', q{nora's secret})->{status}, 429;
};

subtest 'limits' => sub {
	my @narrow = map { start_gateway('max-waiting' => 1, 'shutdown-delay' => 0) } 1 .. 2;
	my $cursor = ($narrow[0]->pull_pages($token))[-1]{cursor};
	my @jobs = map { my $gateway = $_; in_background($gateway, sub { return $gateway->pull($token, since => $cursor, wait => 30); }) } @narrow;
	wait_for('one waits at each', 10, sub {
		return !grep { $_->metric('waiting_pulls') != 1 } @narrow; });
	is $_->pull($token, since => $cursor, wait => 30)->{status}, 503, 'of connections, requests and waits each gateway counts its own'
	  for @narrow;
	$gateways[0]->push_changes($token, changes({ id => 'limit', body => 'x' }));
	is ids(finished($_)->{json}), 'limit', 'woken' for @jobs;
	is $_->stop, 0 for @narrow;
};

subtest 'one that leaves' => sub {
	my $leaving = start_gateway('shutdown-delay' => 30);
	my $client = HTTP::Tiny->new(keep_alive => 1);
	is $client->get("$leaving->{url}/ready")->{headers}{connection} // '', '', 'connections stay open';
	$leaving->signal('TERM');
	wait_for('/ready says so', 10, sub { return $client->get("$leaving->{url}/ready")->{status} == 503; });
	my $reply = $leaving->push_changes($token, changes({ id => 'leaving', body => 'x' }));
	is $reply->{status}, 200, 'requests are served';
	is lc $reply->{headers}{connection}, 'close', 'and their connections closed';
	is $leaving->stop, 0, 'a second signal ends it at once';
};

# ---------- behind proxies ----------

my %proxy = (haproxy => \&run_haproxy, nginx => \&run_nginx);
my $proxy_pid;

# The block of docs/scale.md for this program.
sub documented
{
	my ($program) = @_;
	open my $file, '<', TideTest::root_directory() . '/docs/scale.md' or die $!;
	local $/;
	my ($block) = <$file> =~ /^```$program\n(.*?)^```/ms or die "docs/scale.md has no block for $program";
	my $n = 0;
	$block =~ s/10\.0\.0\.\d+:8080/127.0.0.1:$gateways[$n++]{port}/g;
	die "not for two gateways: $block" if $n != 2;
	return $block;
}

sub free_port
{
	my $socket = IO::Socket::INET->new(LocalHost => '127.0.0.1', Listen => 1) or die $!;
	return $socket->sockport;
}

sub run_in_foreground
{
	my ($log, @command) = @_;
	$proxy_pid = fork // die $!;
	return if $proxy_pid;
	open STDOUT, '>', $log or POSIX::_exit(126);
	open STDERR, '>&', \*STDOUT or POSIX::_exit(126);
	exec { $command[0] } @command or POSIX::_exit(127);
}

sub write_text
{
	my ($path, $text) = @_;
	open my $file, '>', $path or die $!;
	print {$file} $text;
	close $file;
	return $path;
}

sub run_haproxy
{
	my ($program, $directory, $port) = @_;
	my $block = documented('haproxy');
	$block =~ s/^(\s+bind) .*$/$1 127.0.0.1:$port/m or die;
	run_in_foreground("$directory/log", $program, '-db', '-f', write_text("$directory/haproxy.cfg", $block));
	return;
}

sub run_nginx
{
	my ($program, $directory, $port) = @_;
	my $block = documented('nginx');
	$block =~ s/^(\s+listen) .*$/$1 127.0.0.1:$port;/m or die;
	mkdir "$directory/tmp";
	chmod 0777, $directory, "$directory/tmp";
	run_in_foreground("$directory/log", $program, '-p', $directory, '-e', "$directory/errors", '-c',
		write_text("$directory/nginx.conf", "daemon off;\npid $directory/pid;\nevents {}\nhttp {\n"
			  . join('', map { "${_}_temp_path $directory/tmp/$_;\n" } qw(client_body proxy fastcgi uwsgi scgi))
			  . "access_log off;\n$block}\n"));
	return;
}

# A process that asks through the proxy until it is told to end; its status is the
# number of replies that were none.
sub ask_all_the_time
{
	my ($url, $kind) = @_;
	my $pid = fork // die $!;
	return $pid if $pid;
	my ($ends, $bad, $n, $cursor) = (0, 0, 0);
	local $SIG{TERM} = sub { $ends = 1 };
	my $client = bless { url => $url, http => HTTP::Tiny->new(timeout => 30, keep_alive => 1) }, 'TideTest::Gateway';
	# a test that died has nobody left to end this
	my $test = getppid;
	until ($ends || getppid != $test)
	{
		my $reply = $kind eq 'push' ? $client->push_changes($token, changes({ id => "r$$", body => 'x' . ++$n }))
		  : $client->pull($token, $cursor ? (since => $cursor) : (), $kind eq 'wait' ? (wait => 2) : ());
		my $good = $reply->{status} == 200 && !($cursor && $reply->{json}{reset});
		$cursor = $reply->{json}{cursor} if $good;
		print {*STDERR} "# $kind: $reply->{status} $reply->{content}\n" if !$good && $bad < 3;
		$bad++ unless $good;
	}
	POSIX::_exit($bad > 99 ? 99 : $bad);
}

for my $name (sort keys %proxy)
{
	my ($program) = grep { -x } "/usr/sbin/$name", "/usr/local/sbin/$name";
	SKIP: {
		skip "$name is not installed", 1 unless $program;
		subtest "a rolling restart behind $name" => sub {
			my $directory = File::Temp->newdir("tide-$name-XXXXXX", TMPDIR => 1);
			my $port = free_port();
			$proxy{$name}->($program, "$directory", $port);
			my $url = "http://127.0.0.1:$port";
			wait_for("$name serves", 20, sub {
				return HTTP::Tiny->new->get("$url/api/v1/sync/pull", { headers => { Authorization => "Bearer $token" } })->{status} == 200; })
			  or return;
			my @clients = map { ask_all_the_time($url, $_) } qw(push pull wait push pull wait);
			for my $round (1 .. 2)
			{
				for my $n (0, 1)
				{
					my $listen = "127.0.0.1:$gateways[$n]{port}";
					my $requests = $gateways[ 1 - $n ]->metric('request_seconds_count{path="/api/v1/sync/push"}');
					is $gateways[$n]->stop, 0, "round $round: gateway $n ends";
					wait_for('the other serves', 20, sub {
						return $gateways[ 1 - $n ]->metric('request_seconds_count{path="/api/v1/sync/push"}') > $requests + 20; });
					$gateways[$n] = start_gateway(listen => $listen);
					wait_for('it serves again', 20, sub {
						return ($gateways[$n]->metric('request_seconds_count{path="/api/v1/sync/push"}') // 0) > 5; });
				}
			}
			kill TERM => @clients;
			is join(' ', map { waitpid $_, 0; $? >> 8 } @clients), '0 0 0 0 0 0', 'no request was lost, nobody had to start over';
			kill TERM => $proxy_pid;
			waitpid $proxy_pid, 0;
			undef $proxy_pid;
		};
	}
}

is $_->stop, 0, 'a gateway ends with status 0' for @gateways;
done_testing;

END
{
	my $status = $?;
	if ($proxy_pid)
	{
		kill KILL => $proxy_pid;
		waitpid $proxy_pid, 0;
	}
	$? = $status;
}
