# Streams of lines: everything from a cursor on in one reply, page by page within.
#
# Seen failing: with join_lines() of write.c left out ("lines"); with the "begin"
# of the first page alone ("what is to be dropped"); with the piece of a stream
# not counted, or counted once it is packed ("too much in memory"); with all pages asked for at once, by asking
# for the next one as soon as a page is there ("a slow reader"); without
# may_go_on() ("a token that expires", "SIGTERM").
use strict;
use warnings;
use utf8;

use FindBin ();
use lib "$FindBin::Bin/../lib";
use IO::Select ();
use IO::Socket::INET ();
use IO::Uncompress::Gunzip ();
use Socket qw(SOL_SOCKET SO_RCVBUF);
use Test::More;
use Time::HiRes ();
use TideTest qw(apply_page decode_json encode_json wait_for);

my $NDJSON = 'application/x-ndjson';
my $pull = '/api/v1/sync/pull';
my $cluster = TideTest::Cluster->shared;
my $database = $cluster->create_synced(<<'SQL');
CREATE TABLE plan (id int PRIMARY KEY, user_id text, name text);
CREATE TABLE step (id int PRIMARY KEY, user_id text, plan_id int REFERENCES plan ON DELETE CASCADE, j json);
CREATE INDEX ON plan (user_id, id);
CREATE INDEX ON step (user_id, id);
CREATE INDEX ON step (plan_id);
CREATE TABLE photo (id int PRIMARY KEY, user_id text, data text);
CREATE INDEX ON photo (user_id, id);
SELECT tide.track('plan', scope => 'user_id'), tide.track('step', scope => 'user_id'), tide.track('photo', scope => 'user_id');
INSERT INTO plan SELECT n, 'u1', 'plan ' || n FROM generate_series(1, 1200) n;
INSERT INTO step SELECT n, 'u1', n % 1200 + 1, format(E'{\n\t"n": %s,\r\n "s": "a\\nb"}', n)::json FROM generate_series(1, 2000) n;
INSERT INTO plan SELECT 5000 + n, 'u2', E'line\nend \u2028 "' || n FROM generate_series(1, 10) n;
-- 60 kB as text, and little in the database
INSERT INTO photo SELECT n, 'slow', repeat('x', 60000) FROM generate_series(1, 150) n;
GRANT SELECT, UPDATE ON plan, step, photo TO tide_user;
SQL
my $gateway = gateway();
my $token = $gateway->token('u1');

sub sql { return $cluster->sql($database, @_); }

sub gateway
{
	my (%settings) = @_;
	return TideTest::Gateway->start(cluster => $cluster, database => $database,
		settings => { 'maintain-interval' => 0, %settings })->wait_until_ready;
}

# The lines of a stream.
sub stream
{
	my ($of, $who, %field) = @_;
	my $query = $of->{http}->www_form_urlencode(\%field);
	my $reply = $of->get("$pull?$query", token => $who, headers => { Accept => $NDJSON });
	is $reply->{status}, 200, 'a stream' or diag $reply->{content};
	return lines($reply->{content});
}

sub lines { return map { decode_json($_) } split /\n/, $_[0]; }

# Is this the whole of one, in its order?
sub check_form
{
	my ($what, @lines) = @_;
	my $since = 0;
	my $longest = 0;
	ok exists $lines[0]{begin}, "$what: begins with \"begin\"";
	is scalar(grep { $_->{end} } @lines), 1, 'ends once';
	ok $lines[-1]{end}, 'at the end';
	ok exists $lines[-2]{cursor}, 'after a cursor';
	is $lines[-2]{cursor}, $lines[-1]{cursor}, 'which is the last';
	for my $line (@lines)
	{
		$since = exists $line->{cursor} ? 0 : $since + 1;
		$longest = $since if $since > $longest;
	}
	cmp_ok $longest, '<', 1000, 'a cursor at least every 1,000 lines';
	return;
}

# What a client does with lines.
sub apply_lines
{
	my ($copy, @lines) = @_;
	for my $line (@lines)
	{
		$copy->{ $line->{type} }{ $line->{row}{id} } = $line->{row} if $line->{row};
		delete $copy->{ $line->{type} }{ $line->{deleted}{id} } if $line->{deleted};
	}
	return $copy;
}

sub by_pages
{
	my (@pull) = @_;
	my %copy;
	apply_page(\%copy, $_) for $gateway->pull_pages(@pull, limit => 500);
	return \%copy;
}

# A stream on a socket of its own, that is read as the test likes.
sub open_stream
{
	my ($of, $who, $query, @headers) = @_;
	my $socket = IO::Socket::INET->new(Proto => 'tcp') or die $!;
	setsockopt $socket, SOL_SOCKET, SO_RCVBUF, 4096 or die $!;
	connect $socket, Socket::sockaddr_in($of->{port}, Socket::inet_aton('127.0.0.1')) or die $!;
	print {$socket} "GET $pull?$query HTTP/1.1\r\nHost: x\r\nAccept: $NDJSON\r\n"
	  . join "\r\n", 'Connection: close', "Authorization: Bearer $who", @headers, '', '';
	$socket->flush;
	return { socket => $socket, text => '' };
}

# Read on, until there is so much or that was all; returns whether there is more.
sub read_stream
{
	my ($stream, $until) = @_;
	while (!defined $until || length $stream->{text} < $until)
	{
		IO::Select->new($stream->{socket})->can_read(30) or die 'nothing comes';
		sysread $stream->{socket}, $stream->{text}, 1 << 20, length $stream->{text} or return 0;
	}
	return 1;
}

# What has come, without the chunks that it came in, and whether the last chunk
# was there; likewise, the lines that have come whole.
sub bytes_of
{
	my ($stream) = @_;
	my ($head, $rest) = split /\r\n\r\n/, $stream->{text}, 2;
	my ($text, $at, $whole) = ('', 0, 0);
	while (substr($rest, $at, 20) =~ /^([0-9a-fA-F]+)\r\n/)
	{
		my $length = hex $1;
		$at += length $&;
		$whole = 1 if $length == 0;
		$text .= substr $rest, $at, $length;
		$at += $length + 2;
		last if $at > length $rest;
	}
	return ($whole, $text);
}

sub lines_of
{
	my ($whole, $text) = bytes_of(@_);
	$text =~ s/[^\n]*\z//;
	return ($whole, lines($text));
}

sub resident
{
	my ($of) = @_;
	open my $file, '<', "/proc/$of->{pid}/status" or die $!;
	my ($kb) = map { /^VmRSS:\s+(\d+)/ } <$file>;
	return $kb;
}

subtest 'lines' => sub {
	my @lines = stream($gateway, $token);
	check_form('everything', @lines);
	is_deeply apply_lines({}, @lines), by_pages($token), 'the rows that pages have';
	is scalar(grep { $_->{row} } @lines), 3200, 'each once';
	is_deeply $lines[0]{begin}, { reset => JSON::PP::false, resetReason => undef, resetTypes => [],
		revokedScopes => [], unavailableTypes => [] }, 'begin';
	is_deeply $lines[-1]{stats}, { plan => { count => 1200, hasMore => JSON::PP::false },
		step => { count => 2000, hasMore => JSON::PP::false } }, 'stats of all of it';
	ok !$lines[-1]{hasMore}, 'hasMore';
	like $lines[-1]{$_}, qr/^\d{4}-.*Z$/, $_ for 'syncTimestamp', 'serverTime';
	my %seen;
	is scalar(grep { $_->{row} && $_->{type} eq 'step' && !$seen{ $_->{row}{plan_id} }
		  || ($_->{row} && $_->{type} eq 'plan' && $seen{ $_->{row}{id} }++) } @lines), 0, 'parents come first';
	my @again = stream($gateway, $token, since => $lines[-1]{cursor});
	is_deeply [ map { join ' ', sort keys %$_ } @again ],
	  [ 'begin', 'cursor', 'cursor end hasMore serverTime stats syncTimestamp' ], 'then there is nothing';
	is_deeply [ grep { $_->{cursor} && $_->{cursor} ne $lines[-1]{cursor} } @again ], [], 'and the cursor stays';

	my $two = $gateway->get($pull, token => $gateway->token('u2'), headers => { Accept => $NDJSON });
	is $two->{headers}{'content-type'}, $NDJSON, 'its type';
	is scalar(() = $two->{content} =~ /\n/g), 13, 'one line each, whatever their texts hold';
	is_deeply [ map { $_->{row}{name} } (lines($two->{content}))[ 1 .. 10 ] ],
	  [ map { "line\nend \x{2028} \"$_" } 1 .. 10 ], 'which are whole';
	for my $limit (1, 7, 100_000)
	{
		my @few = stream($gateway, $gateway->token('u2'), limit => $limit);
		check_form("limit $limit", @few);
		is scalar(grep { keys %$_ == 1 && $_->{cursor} } @few), $limit == 1 ? 10 : $limit == 7 ? 2 : 1,
		  'limit is the most rows between cursors';
	}
	# more rows than that would be on a page
	my $large = gateway('max-pull-rows' => 5000);
	check_form('a limit above 1,000', stream($large, $token, limit => 5000));
	my @narrow = stream($gateway, $token, entityTypes => 'plan,none');
	is_deeply $narrow[0]{begin}{unavailableTypes}, ['none'], 'unavailableTypes';
	is scalar(grep { $_->{row} } @narrow), 1200, 'narrowed';
	like((stream($gateway, $token, entityTypes => 'plan', times => 'ms'))[-1]{syncTimestamp}, qr/^\d+$/, 'times=ms');
};

subtest 'how it is asked for' => sub {
	my $posted = $gateway->post($pull, token => $token, json => { entityTypes => ['plan'] },
		headers => { Accept => $NDJSON });
	is scalar(grep { $_->{row} } lines($posted->{content})), 1200, 'by POST';
	my $packed = $gateway->get($pull, token => $token,
		headers => { Accept => $NDJSON, 'Accept-Encoding' => 'gzip' });
	is $packed->{headers}{'content-encoding'}, 'gzip', 'packed';
	my $text;
	ok IO::Uncompress::Gunzip::gunzip(\$packed->{content} => \$text), 'it can be unpacked';
	check_form('packed', lines($text));
	is_deeply apply_lines({}, lines($text)), by_pages($token), 'and is the same';
	for my $case ([ "$NDJSON, application/json;q=0.5", $NDJSON ], [ "$NDJSON;q=0.5, application/json", 'application/json' ],
		[ "application/json, $NDJSON", 'application/json' ], [ "$NDJSON;q=0", 'application/json' ], [ "$NDJSON, */*", $NDJSON ],
		[ "$NDJSON;q=1e300, application/json;q=0.5", $NDJSON ], [ "$NDJSON;q=0.5, application/json;q=nan", $NDJSON ],
		[ '*/*', 'application/json' ])
	{
		is $gateway->get("$pull?since=now", token => $token, headers => { Accept => $case->[0] })->{headers}{'content-type'},
		  $case->[1], "Accept: $case->[0]";
	}
	my $bad = $gateway->get("$pull?since=nonsense", token => $token, headers => { Accept => $NDJSON });
	is $bad->{status}, 400, 'an error before the first line has its status';
	is $bad->{headers}{'content-type'}, 'application/json', 'and is a document';
	is $gateway->get($pull, token => 'x', headers => { Accept => $NDJSON })->{status}, 401, 'no token';
	is $gateway->request('HEAD', $pull, token => $token, headers => { Accept => $NDJSON })->{status}, 200, 'HEAD';
};

subtest 'changes' => sub {
	my $before = (stream($gateway, $token))[-1]{cursor};
	my $copy = by_pages($token);
	my @now = stream($gateway, $token, since => 'now');
	check_form('since=now', @now);
	is scalar(grep { $_->{type} } @now), 0, 'no rows';
	my $time = (stream($gateway, $token, since => $before))[-1]{syncTimestamp};
	sql(q{UPDATE plan SET name = name || '!' WHERE id <= 700; DELETE FROM plan WHERE id > 1100;
		UPDATE plan SET user_id = 'u2' WHERE id = 5; INSERT INTO plan VALUES (2000, 'u1', 'new')});
	for my $limit (10, 300)
	{
		my @lines = stream($gateway, $token, since => $before, limit => $limit);
		check_form("limit $limit", @lines);
		is_deeply apply_lines({ map { $_ => { %{ $copy->{$_} } } } keys %$copy }, @lines), by_pages($token), 'applied';
		ok !(grep { $_->{deleted} && !$_->{deleted}{deletedAt} } @lines), 'deletedAt';
	}
	my @one = stream($gateway, $token, since => $before, limit => 990);
	my ($plan, $step) = map { my $type = $_; [ grep { $one[$_]{deleted} && $one[$_]{type} eq $type } 0 .. $#one ] } 'plan', 'step';
	ok @$plan > 50 && @$step > 50, 'deletions of both';
	is_deeply apply_lines($copy, stream($gateway, $token, since => $now[-1]{cursor})), by_pages($token), 'since now';
	check_form('since a time', stream($gateway, $token, since => $time));
	is_deeply apply_lines({ map { $_ => { %{ $copy->{$_} } } } keys %$copy }, stream($gateway, $token, since => $time)),
	  by_pages($token), 'since a time';
};

subtest 'from now on' => sub {
	my %how = (
		GET => sub { return $gateway->pull($token, @_)->{json} },
		POST => sub { return $gateway->post($pull, token => $token, json => {@_})->{json} },
		stream => sub {
			my @lines = stream($gateway, $token, @_);
			return { %{ $lines[-1] }, %{ $lines[0]{begin} }, changesByType => apply_lines({}, @lines), deletedByType => {} };
		});
	for my $how (sort keys %how)
	{
		my $start = Time::HiRes::time();
		my $now = $how{$how}->(since => 'now', wait => 30, limit => 5);
		cmp_ok Time::HiRes::time() - $start, '<', 20, "$how: there is nothing to wait for";
		is_deeply [ @$now{qw(changesByType deletedByType)} ], [ {}, {} ], 'no rows';
		ok !$now->{hasMore} && !$now->{reset}, 'nor more';
		is_deeply $how{$how}->(since => $now->{cursor})->{changesByType}, {}, 'nothing yet';
		sql(q{UPDATE plan SET name = name || '.' WHERE id = 11});
		my $then = $how{$how}->(since => $now->{cursor});
		my $rows = $then->{changesByType}{plan};
		is_deeply [ map { $_->{id} } ref $rows eq 'HASH' ? values %$rows : @$rows ], [11], 'then what changes';
		# of what is not asked for nothing is known
		my $plans = $how{$how}->(since => 'now', entityTypes => 'plan');
		my $all = $how{$how}->(since => $plans->{cursor}, limit => 500);
		ok !$all->{changesByType}{plan} && $all->{changesByType}{step}, 'of the types that are asked for';
	}
};

subtest 'wait' => sub {
	my $cursor = (stream($gateway, $token, since => 'now'))[-1]{cursor};
	my $start = Time::HiRes::time();
	my @nothing = stream($gateway, $token, since => $cursor, entityTypes => 'plan,step,photo,none', wait => 1);
	cmp_ok Time::HiRes::time() - $start, '>', 0.9, 'at the end of the wait';
	check_form('nothing comes', @nothing);
	# this one is told by the database, that one from memory
	my @told = stream($gateway, $token, since => $cursor, entityTypes => 'none,photo,plan,step');
	delete @{ $_->[-1] }{qw(syncTimestamp serverTime)} && like $_->[-1]{cursor}, qr/^\w/ for \@nothing, \@told;
	is_deeply \@nothing, \@told, 'with the same lines as if it had not waited';
	ok !(grep { $_->{changesByType} } @nothing), 'which are lines';
	my $open = open_stream($gateway, $token, "since=$cursor&wait=30&limit=2");
	wait_for('it waits', 10, sub {
		sql("SELECT count(*) FROM pg_stat_activity WHERE state = 'idle' AND query LIKE 'COMMIT%' AND application_name = 'tide-gateway'") > 0 });
	$start = Time::HiRes::time();
	sql(q{UPDATE plan SET name = 'w' WHERE id IN (7, 8, 9)});
	read_stream($open);
	my ($whole, @lines) = lines_of($open);
	is scalar(grep { $_->{row} } @lines), 3, 'something comes';
	ok $lines[-1]{end}, 'and the stream ends';
	cmp_ok Time::HiRes::time() - $start, '<', 20, 'then';
};

subtest 'a stream that is cut' => sub {
	my %copy;
	my ($since, $parts) = ('', 0);
	while (1)
	{
		my $open = open_stream($gateway, $token, "limit=200&since=$since");
		my $more = read_stream($open, $parts++ < 4 ? 150_000 : undef);
		my ($whole, @lines) = lines_of($open);
		close $open->{socket};
		ok $whole == !!$lines[-1]{end}, 'whole with its end, and only then';
		apply_lines(\%copy, @lines);
		($since) = reverse map { $_->{cursor} // () } @lines;
		last if $lines[-1]{end};
	}
	cmp_ok $parts, '>', 3, 'several times';
	is_deeply \%copy, by_pages($token), 'nothing is missing from the last cursor on';
	is scalar(keys %{ $copy{step} }), sql(q{SELECT count(*) FROM step WHERE user_id = 'u1'}), 'all rows';
};

subtest 'what is to be dropped' => sub {
	my $before = (stream($gateway, $token))[-1]{cursor};
	sql(q{SELECT tide.untrack('plan'), tide.track('plan', scope => 'user_id')});
	my @lines = stream($gateway, $token, since => $before, limit => 100);
	my @begin = grep { $lines[$_]{begin} } 0 .. $#lines;
	is_deeply $lines[0]{begin}{resetTypes}, ['plan'], 'resetTypes';
	is scalar @begin, 1, 'said once';
	my ($mid) = map { $_->{cursor} // () } @lines;
	is_deeply +(stream($gateway, $token, since => $mid))[0]{begin}{resetTypes}, ['plan'], 'and again after a resume';
	# while the stream is under way
	my $open = open_stream($gateway, $gateway->token('slow'), 'limit=20');
	read_stream($open, 100_000);
	sql(q{UPDATE photo SET data = data WHERE id = 1; SELECT tide.prune('0 s')});
	sql(q{SELECT tide.untrack('photo'), tide.track('photo', scope => 'user_id')});
	read_stream($open);
	my ($whole, @slow) = lines_of($open);
	@begin = grep { $_->{begin} } @slow;
	ok $slow[-1]{end}, 'a stream that begins anew comes to its end';
	# a third, if a page was read between the two statements
	cmp_ok scalar @begin, '>', 1, 'a second beginning';
	is scalar(grep { !$_->{begin}{reset} && !@{ $_->{begin}{resetTypes} } } @begin), 1, 'which says what to drop';
	my %kept;
	for my $line (@slow)
	{
		%kept = () if $line->{begin};
		$kept{ $line->{row}{id} } = 1 if $line->{row};
	}
	is scalar(keys %kept), 150, 'everything has come behind it';
	my @reset = stream($gateway, $token, since => $before);
	ok $reset[0]{begin}{reset}, 'reset';
	is $reset[0]{begin}{resetReason}, 'expired', 'and why';
	cmp_ok scalar(grep { keys %$_ == 1 && $_->{cursor} } @reset), '>', 1, 'in several pages';
	is scalar(grep { $_->{begin} } @reset), 1, 'said once';
};

# What it does not read is more than the buffers of a socket hold.
subtest 'a slow reader' => sub {
	my $before = resident($gateway);
	my $logged = length $gateway->log;
	my @open = map { open_stream($gateway, $gateway->token('slow'), '') } 1 .. 4;
	read_stream($_, 2000) for @open;
	# between two pages it is at rest, too, for a moment
	my $quiet = 0;
	wait_for('no transaction is open, ten looks in a row', 20, sub {
		my $open = sql("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'tide-gateway'"
			. " AND (xact_start IS NOT NULL OR state <> 'idle')");
		$quiet = $open == 0 ? $quiet + 1 : 0;
		return $quiet >= 10;
	});
	cmp_ok resident($gateway) - $before, '<', 16_000, 'of 9 MB for each a piece is in memory';
	is $gateway->pull($token, limit => 1)->{status}, 200, 'and all connections are free';
	my $slowest = shift @open;
	close $_->{socket} for @open;
	read_stream($slowest);
	my ($whole, @lines) = lines_of($slowest);
	ok $whole && $lines[-1]{end}, 'who reads on gets the rest';
	is scalar(grep { $_->{row} } @lines), 150, 'all of it';
	wait_for('those that are gone are noticed', 20, sub {
		return 3 == (() = substr($gateway->log, $logged) =~ /path=\S+pull status=200 \S+ user=slow rows=(?!150 )/g); });
	cmp_ok resident($gateway) - $before, '<', 16_000, 'and the memory is given back';
};

subtest 'too much in memory' => sub {
	my $small = gateway('max-user-bytes' => 1_500_000);
	my @open = map { open_stream($small, $small->token('slow'), '') } 1 .. 3;
	read_stream($_, 500) for @open;
	read_stream($open[1]);
	my ($whole, @lines) = lines_of($open[1]);
	ok $whole, 'the stream has come to its end';
	is $lines[-1]{error}{code}, 'too_many_bytes', 'because of others of the same user';
	read_stream($open[0]);
	ok +(lines_of($open[0]))[-1]{end} || (lines_of($open[0]))[-1]{error}, 'the first goes on';

	# two pages that are not read have room, packed, and a third has not
	sql(q{INSERT INTO photo SELECT 3000 + n, 'noisy', string_agg(md5(n || '-' || i), '')
		FROM generate_series(1, 40) n, generate_series(1, 1900) i GROUP BY n});
	@open = map
	{
		my $stream = open_stream($small, $small->token('noisy'), '', 'Accept-Encoding: gzip');
		read_stream($stream, 100);
		$stream;
	} 1 .. 3;
	read_stream($open[2]);
	($whole, my $packed) = bytes_of($open[2]);
	ok $whole, 'a packed stream has come to its end, too';
	ok IO::Uncompress::Gunzip::gunzip(\$packed, \my $text, Strict => 1,
		Transparent => 0), 'which can be unpacked'
	  or diag $IO::Uncompress::Gunzip::GunzipError;
	is +(lines($text // ''))[-1]{error}{code}, 'too_many_bytes', 'and says the same';
	sql(q{DELETE FROM photo WHERE user_id = 'noisy'});
};

subtest 'what keeps it from going on' => sub {
	sql(q{ALTER TABLE photo ALTER data SET STORAGE EXTERNAL;
		INSERT INTO photo SELECT 2000 + n, 'big', repeat('y', CASE n WHEN 31 THEN 70000000 ELSE 60000 END) FROM generate_series(1, 31) n});
	my @lines = stream($gateway, $gateway->token('big'));
	is $lines[-1]{error}{code}, 'row_too_large', 'a row that is too large';
	like $lines[-1]{error}{message}, qr/"id":2031/, 'is named';
	is scalar(grep { $_->{row} } @lines), 30, 'behind all the others';
	ok $lines[-2]{cursor}, 'and a cursor';
	$gateway->log_says(qr/status=200 \S+ user=big rows=30 code=row_too_large/, 'and in the log');
	sql(q{DELETE FROM photo WHERE user_id = 'big'});
	check_form('from there on', stream($gateway, $gateway->token('big'), since => $lines[-2]{cursor}));
};

subtest 'a token that expires' => sub {
	# 30 seconds of leeway
	my $short = $gateway->token('slow', ttl => 1);
	my $until = Time::HiRes::time() + 31.5;
	my $open = open_stream($gateway, $short, '');
	read_stream($open, 2000);
	wait_for('the token has expired', 60, sub { return Time::HiRes::time() > $until; });
	is $gateway->get($pull, token => $short)->{status}, 401, 'the token has expired';
	read_stream($open);
	my ($whole, @lines) = lines_of($open);
	ok $whole, 'its stream ends';
	is $lines[-1]{error}{code}, 'unauthorized', 'with an error';
	my ($cursor) = reverse map { $_->{cursor} // () } @lines;
	my $rows = grep { $_->{row} } @lines;
	is $rows + grep({ $_->{row} } stream($gateway, $gateway->token('slow'), since => $cursor)), 150,
	  'and goes on with another token';
};

subtest 'SIGTERM' => sub {
	my $stopped = gateway('shutdown-timeout' => 30);
	my $open = open_stream($stopped, $stopped->token('slow'), '');
	read_stream($open, 2000);
	$stopped->signal('TERM');
	wait_for('it is about to stop', 10, sub { return $stopped->log =~ /event=stopping/; });
	read_stream($open);
	my ($whole, @lines) = lines_of($open);
	is $lines[-1]{error}{code}, 'try_again', 'a stop ends streams';
	is $stopped->wait_until_stopped, 0, 'and waits for that';
};

done_testing();
