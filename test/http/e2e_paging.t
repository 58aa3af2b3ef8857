# Pulls, page by page: nothing missing or twice in a quiet database, nothing
# lost or torn among writers, and what narrows, widens or shapes a pull.
use strict;
use warnings;

use FindBin ();
use IO::Handle ();
use IO::Socket::INET ();
use lib "$FindBin::Bin/../lib";
use POSIX ();
use Test::More;
use Time::HiRes ();
use TideTest qw(wait_for iso apply_page decode_json);

my $cluster = TideTest::Cluster->shared;
my $database = $cluster->create_synced(<<'SQL');
CREATE TABLE label (
	id		integer PRIMARY KEY,
	name	text NOT NULL);
CREATE TABLE item (
	id		integer PRIMARY KEY,
	user_id	text NOT NULL,
	n		integer NOT NULL DEFAULT 0,
	at		timestamptz,
	label	integer REFERENCES label);
CREATE INDEX ON item (user_id, id);
CREATE TABLE part (
	id		integer PRIMARY KEY,
	user_id	text NOT NULL,
	item_id	integer NOT NULL REFERENCES item ON DELETE CASCADE,
	n		integer NOT NULL DEFAULT 0);
CREATE INDEX ON part (user_id, id);
CREATE INDEX ON part (item_id);

-- a total for each user, kept by a trigger
CREATE TABLE total (
	id		text PRIMARY KEY,
	user_id	text NOT NULL,
	parts	integer NOT NULL DEFAULT 0);
CREATE FUNCTION count_parts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE total SET parts = parts + 1 WHERE id = NEW.user_id;
	RETURN NULL;
END $$;
CREATE TRIGGER count_parts AFTER INSERT ON part
	FOR EACH ROW EXECUTE FUNCTION count_parts();

-- rows from before tracking, and from after it
INSERT INTO label SELECT n, 'label ' || n FROM generate_series(1, 60) AS n;
INSERT INTO item (id, user_id, n)
	SELECT n, CASE WHEN n <= 12000 THEN 'u1' ELSE 'u2' END, n % 10
	FROM generate_series(1, 14000) AS n WHERE n % 6 <> 0;
SELECT tide.track('label', shared => true);
SELECT tide.track('item', scope => 'user_id');
SELECT tide.track('part', scope => 'user_id');
SELECT tide.track('total', scope => 'user_id');
INSERT INTO total VALUES ('u1', 'u1'), ('u2', 'u2');
INSERT INTO part SELECT n, 'u1', n * 2 - (n * 2 % 6 = 0)::int, n
	FROM generate_series(1, 700) AS n;
GRANT SELECT ON label TO tide_user;
GRANT ALL ON item, part, total TO tide_user;
ANALYZE;
SQL
my $gateway = TideTest::Gateway->start(
	cluster => $cluster,
	database => $database)->wait_until_ready;
my $token = $gateway->token('u1');
my $pull = '/api/v1/sync/pull';

sub sql { return $cluster->sql($database, $_[0]); }

# The rows in the database that a user's copy should have, a line each.
sub server_rows
{
	my ($user) = @_;
	return sql(<<"SQL");
SELECT line FROM (
	SELECT 'item ' || id || ' ' || n AS line FROM item WHERE user_id = '$user'
	UNION ALL SELECT 'part ' || id || ' ' || n FROM part WHERE user_id = '$user'
	UNION ALL SELECT 'total ' || id || ' ' || parts FROM total WHERE user_id = '$user'
	UNION ALL SELECT 'label ' || id || ' ' || name FROM label) AS lines
ORDER BY line COLLATE "C"
SQL
}

my %value = (item => 'n', part => 'n', total => 'parts', label => 'name');

sub client_rows
{
	my ($copy) = @_;
	my @lines;
	for my $type (keys %$copy)
	{
		push @lines, map { "$type $_->{id} $_->{$value{$type}}" }
		  values %{ $copy->{$type} };
	}
	return join "\n", sort @lines;
}

sub same_rows
{
	my ($copy, $user, $name) = @_;
	my ($got, $expected) = (client_rows($copy), server_rows($user));
	ok $got eq $expected, $name or do
	{
		my %expected = map { ($_ => 1) } split /\n/, $expected;
		my %got = map { ($_ => 1) } split /\n/, $got;
		diag 'missing: ', join ', ', (grep { !$got{$_} } keys %expected)[ 0 .. 4 ];
		diag 'too much: ', join ', ', (grep { !$expected{$_} } keys %got)[ 0 .. 4 ];
	};
	return;
}

# The types and keys of a page, as "type id".
sub named
{
	my ($page, $what) = @_;
	my $by_type = $page->{ $what // 'changesByType' };
	my @names = sort map { my $type = $_; map { "$type $_->{id}" }
		  @{ $by_type->{$type} } } keys %$by_type;
	return @names;
}

# A cursor that has seen everything.
my $kept;

sub cursor_now
{
	return $kept = ($gateway->pull_pages($token, limit => 500,
		defined $kept ? (since => $kept) : ()))[-1]{cursor};
}

subtest 'ten thousand rows in a quiet database' => sub {
	is sql(q{SELECT count(*) FROM item WHERE user_id = 'u1'}), 10_000, 'they are there';
	for my $limit (undef, 500, 73, 100_000)
	{
		my @pages = $gateway->pull_pages($token,
			defined $limit ? (limit => $limit) : ());
		my $shown = $limit // 'none';
		my $most = !defined $limit ? 100 : $limit > 500 ? 500 : $limit;
		my (%seen, %copy);
		for my $page (@pages)
		{
			$seen{$_}++ for named($page);
			apply_page(\%copy, $page);
		}
		my $last = pop @pages;
		is_deeply [ grep { $_ != $most } map { scalar named($_) } @pages ], [],
		  "limit $shown: each page with more to come has $most";
		cmp_ok scalar named($last), '<=', $most, 'the last one no more';
		is_deeply [ grep { $_ != 1 } values %seen ], [], 'nothing twice';
		same_rows(\%copy, 'u1', 'nothing missing');
		is_deeply [ grep { $_->{reset} || %{ $_->{deletedByType} }
			  || @{ $_->{revokedScopes} } } @pages, $last ], [],
		  'no reset, no deletion, nothing revoked';
		is_deeply [ grep { my $page = $_; grep {
			$page->{stats}{$_}{count} != @{ $page->{changesByType}{$_} } }
			keys %{ $page->{changesByType} } } @pages, $last ], [], 'stats count';
		my $nothing = $gateway->pull($token, since => $last->{cursor});
		like $nothing->{content}, qr/"changesByType":\{\},"deletedByType":\{\}/,
		  'then there is nothing';
	}
	my @pages = $gateway->pull_pages($token, entityTypes => 'label', limit => 1);
	is_deeply [ sort { $a <=> $b } map { map { $_->{id} } @{ $_->{changesByType}{label} } }
		@pages ], [ 1 .. 60 ], 'one by one';
};

subtest 'pages of what changed' => sub {
	my %copy;
	my @pages = $gateway->pull_pages($token, limit => 500);
	apply_page(\%copy, $_) for @pages;
	my $cursor = $pages[-1]{cursor};
	sql(q{UPDATE item SET n = n + 1 WHERE user_id = 'u1' AND id <= 1500;
		UPDATE item SET n = n + 1 WHERE user_id = 'u1' AND id BETWEEN 1000 AND 1800;
		DELETE FROM item WHERE user_id = 'u1' AND id BETWEEN 1200 AND 1600;
		INSERT INTO item (id, user_id, n) SELECT n, 'u1', 5
			FROM generate_series(20001, 20300) AS n;
		UPDATE item SET user_id = 'u2' WHERE id = 20001});
	for my $limit (100, 500, 9)
	{
		my %again = map { ($_ => { %{ $copy{$_} } }) } keys %copy;
		my (%seen, $twice);
		my @changed = $gateway->pull_pages($token, since => $cursor, limit => $limit);
		for my $page (@changed)
		{
			my %page;
			$page{$_}++ for named($page), named($page, 'deletedByType');
			$twice += grep { $_ > 1 } values %page;
			$seen{$_}++ for keys %page;
			apply_page(\%again, $page);
		}
		is $twice, 0, "limit $limit: nothing twice in a page";
		# between 1000 and 1800 up to three statements touched a row, and
		# 20001 came and went
		is_deeply [ grep { $seen{$_} > 1 && !/^item (?:1\d{3}|20001)$/ || $seen{$_} > 3 }
			keys %seen ], [], 'nor more often than it changed';
		my $last = pop @changed;
		is_deeply [ grep { $_ != $limit } map { named($_) + named($_, 'deletedByType') }
			@changed ], [],
		  'deletions count towards the limit';
		same_rows(\%again, 'u1', 'the copy is the database\'s');
	}
	my ($deletion) = map { @{ $_->{deletedByType}{item} // [] } }
	  $gateway->pull_pages($token, since => $cursor, limit => 500);
	like $deletion->{deletedAt}, qr/^\d{4}-\d\d-\d\dT.*Z$/, 'deletedAt';
};

subtest 'pages of so many bytes' => sub {
	sql(q{CREATE TABLE photo (id int PRIMARY KEY, user_id text, data text);
		ALTER TABLE photo ALTER data SET STORAGE EXTERNAL;
		GRANT SELECT ON photo TO tide_user;
		SELECT tide.track('photo', scope => 'user_id');
		INSERT INTO photo SELECT n, 'u9', repeat('x', 100000 * n) FROM generate_series(1, 10) AS n});
	my $small = TideTest::Gateway->start(cluster => $cluster, database => $database,
		settings => { 'max-pull-bytes' => 1_000_000 })->wait_until_ready;
	my $u9 = $small->token('u9');
	my @pages = $small->pull_pages($u9, entityTypes => 'photo');
	is_deeply [ map { [ map { $_->{id} } @{ $_->{changesByType}{photo} } ] } @pages ],
	  [ [ 1 .. 3 ], [ 4, 5 ], map { [$_] } 6 .. 10 ], 'each as full as it can be, with at least one row';
	is_deeply [ map { $_->{hasMore} ? 1 : 0 } @pages ], [ (1) x 6, 0 ], 'hasMore';
	sql(q{UPDATE photo SET data = data || 'x' WHERE id IN (1, 9); DELETE FROM photo WHERE id = 5;
		INSERT INTO photo VALUES (11, 'u9', repeat('x', 70000000))});
	my $then = decode_json($small->pull($u9, since => $pages[-1]{cursor}, entityTypes => 'photo')->{content});
	is_deeply [ map { $_->{id} } @{ $then->{changesByType}{photo} } ], [1], 'changes likewise';
	my $before = decode_json($small->pull($u9, since => $then->{cursor}, entityTypes => 'photo')->{content})->{cursor};
	my $reply = $small->pull($u9, since => $before);
	is $reply->{status}, 413, 'a row that is too large';
	is decode_json($reply->{content})->{error}{code}, 'row_too_large', 'says so';
	like decode_json($reply->{content})->{error}{message}, qr/\{"id":11\} of entity type "photo"/, 'and which it is';
	is $small->pull($u9, since => $before, entityTypes => 'item')->{status}, 200, 'the others are served';
	my $large = TideTest::Gateway->start(cluster => $cluster, database => $database,
		settings => { 'max-pull-bytes' => 80_000_000 })->wait_until_ready;
	# past decode_json, which is slow
	like $large->{http}->get("$large->{url}/api/v1/sync/pull?since=$before&entityTypes=photo",
		{ headers => { Authorization => "Bearer $u9" } })->{content}, qr/"id":11,.*"data":"x{1000}/, 'larger pages allow larger rows';
	sql(q{SELECT tide.untrack('photo'); DROP TABLE photo});
};

# Writers in random orders; one moves amounts between rows, so that the sum of
# a consistent copy never changes.  Prints the seed.
sub writer_script
{
	my ($writer, $transactions) = @_;
	my $next = 100_000 * ($writer + 1);
	my @own;
	my @lines;
	for my $i (1 .. $transactions)
	{
		my @ids = sort { $a <=> $b } map { 6 * int(rand 150) + 1 } 1 .. 2;
		my $kind = int rand 10;
		push @lines, 'BEGIN;';
		if ($kind < 4)
		{
			push @lines, "UPDATE item SET n = n - 7 WHERE id = $ids[0];",
			  "UPDATE item SET n = n + 7 WHERE id = $ids[1];";
		}
		elsif ($kind < 7 || !@own)
		{
			my $first = $next;
			$next += 1 + int rand 4;
			push @own, $first .. $next - 1;
			push @lines, "INSERT INTO item (id, user_id) SELECT n, 'u1' FROM generate_series($first, $next - 1) AS n;",
			  'SAVEPOINT s;',
			  "INSERT INTO part (id, user_id, item_id, n) VALUES ($first, 'u1', $first, $i);",
			  rand() < 0.3 ? 'ROLLBACK TO s;' : 'RELEASE s;';
		}
		elsif ($kind < 9)
		{
			my $id = splice @own, rand @own, 1;
			push @lines, "DELETE FROM item WHERE id = $id;";
		}
		else
		{
			push @lines, "UPDATE item SET n = -1 WHERE id = $ids[0];";
		}
		push @lines, $kind == 9 ? 'ROLLBACK;' : 'COMMIT;';
	}
	return join "\n", @lines, '';
}

subtest 'among writers' => sub {
	my $seed = $ENV{TIDE_TEST_SEED} // int(Time::HiRes::time()) % 100_000;
	diag "TIDE_TEST_SEED=$seed" if $ENV{TIDE_TEST_SEED};
	srand $seed;
	my $sum = sql(q{SELECT sum(n) FROM item WHERE user_id = 'u1'});

	# three copies, with pages of their own sizes: two are up to date when the
	# writers begin, one starts among them
	my @copies = map { { limit => $_, since => undef, rows => {}, ends => 0,
		sums => {}, orphans => 0 } } 500, 40, 90;
	my $pulls = 0;
	my $step = sub {
		my ($copy) = @_;
		my $page = $gateway->pull($token, limit => $copy->{limit},
			defined $copy->{since} ? (since => $copy->{since}) : ())->{json};
		apply_page($copy->{rows}, $page);
		$copy->{since} = $page->{cursor};
		$pulls++;
		die 'a reset' if $page->{reset};
		return 1 if $page->{hasMore};
		my $seen = 0;
		$seen += $_->{n} for values %{ $copy->{rows}{item} };
		$copy->{sums}{$seen} = 1;
		$copy->{orphans} += grep { !$copy->{rows}{item}{ $_->{item_id} } }
		  values %{ $copy->{rows}{part} };
		$copy->{ends}++;
		return 0;
	};
	1 while $step->($copies[0]);
	$copies[1]{rows} = { map { ($_ => { %{ $copies[0]{rows}{$_} } }) }
		keys %{ $copies[0]{rows} } };
	$copies[1]{since} = $copies[0]{since};

	# one set of writers after the other, until there were pulls enough
	my (%writers, $sets);
	my $start_writers = sub {
		$sets++;
		for my $writer (3 * $sets - 2 .. 3 * $sets)
		{
			my $script = writer_script($writer, 200);
			my $pid = fork // die $!;
			if ($pid == 0)
			{
				my $fine = eval { $cluster->sql($database, $script); 1 };
				print STDERR $@ unless $fine;
				POSIX::_exit($fine ? 0 : 1);
			}
			$writers{$pid} = 1;
		}
	};
	my $rounds = 0;
	$start_writers->();
	while (%writers)
	{
		for my $pid (keys %writers)
		{
			next unless waitpid($pid, POSIX::WNOHANG()) > 0;
			is $?, 0, 'a writer ends well';
			delete $writers{$pid};
		}
		$rounds++;
		$step->($_) for $copies[0], $copies[1], $rounds > 5 ? $copies[2] : ();
		$start_writers->() if !%writers && $copies[0]{ends} < 10 && $sets < 40;
	}
	for my $copy (@copies)
	{
		1 while $step->($copy);
		same_rows($copy->{rows}, 'u1', "limit $copy->{limit}: nothing is lost (seed $seed)");
		is_deeply [ keys %{ $copy->{sums} } ], [$sum],
		  "each of $copy->{ends} last pages is a consistent cut (seed $seed)";
		is $copy->{orphans}, 0, 'no part without its item';
	}
	note "$pulls pulls among $sets sets of writers, seed $seed";
	cmp_ok $copies[0]{ends}, '>=', 10, 'there were pulls meanwhile';
};

subtest 'narrower, and wider again' => sub {
	my @pages = $gateway->pull_pages($token, entityTypes => 'label');
	is_deeply [ map { keys %{ $_->{changesByType} } } @pages ], ['label'],
	  'only what was asked for';
	my @wider = $gateway->pull_pages($token, since => $pages[-1]{cursor}, limit => 500);
	my (%copy, %seen);
	for my $page (@pages, @wider)
	{
		$seen{$_}++ for named($page);
		apply_page(\%copy, $page);
		ok !$page->{reset} && !@{ $page->{revokedScopes} }, 'no reset, no revocation';
	}
	is_deeply [ grep { $_ != 1 } values %seen ], [],
	  'asking for more reads just the rest';
	same_rows(\%copy, 'u1', 'in full');

	my $cursor = $kept = $wider[-1]{cursor};
	sql(q{UPDATE item SET n = n + 1 WHERE id = 1; UPDATE label SET name = 'new' WHERE id = 1});
	my $page = $gateway->pull($token, since => $cursor, entityTypes => 'label')->{json};
	is_deeply [ named($page) ], ['label 1'], 'narrowed: the one';
	is_deeply $page->{deletedByType}, {}, 'what is left out is not deleted';
	is_deeply $page->{revokedScopes}, [], 'nor revoked';
	apply_page(\%copy, $_) for $page,
	  $gateway->pull_pages($token, since => $page->{cursor}, limit => 500);
	same_rows(\%copy, 'u1', 'and widened: nothing is missing');

	# the kept cursor still covers all
	is_deeply [ named($gateway->pull($token, since => $cursor)->{json}) ],
	  [ 'item 1', 'label 1' ], 'the wide cursor goes on where it was';
	$page = $gateway->pull($token, since => $cursor, scope => 'u1')->{json};
	is_deeply [ named($page) ], [ 'item 1', 'label 1' ],
	  'a scope narrows to itself and what is shared';
	is_deeply [ named($gateway->pull($token, since => $page->{cursor})->{json}) ], [],
	  'and the one scope there is covers all';
	is_deeply [ named($gateway->pull($token, since => $cursor,
		entityTypes => 'label,item')->{json}) ], [ 'item 1', 'label 1' ], 'two types';
};

# Let $client push, and return the reply.
sub push_as
{
	my ($client, %changes) = @_;
	my $reply = $gateway->push_changes($token,
		{ clientId => $client, changes => \%changes });
	is $reply->{status}, 200, "push of $client" or diag $reply->{content};
	is_deeply $reply->{json}{failed}, [], 'nothing failed';
	return $reply->{json};
}

subtest 'acks leave out own changes, clientId leaves out nothing' => sub {
	my $cursor = cursor_now();
	my $since = sub {
		my ($client, @acks) = @_;
		my $page = @acks == 0
		  ? $gateway->pull($token, since => $cursor,
			defined $client ? (clientId => $client) : ())->{json}
		  : decode_json(sql(sprintf q{SET request.jwt.claims = '{"sub": "u1"}';
			SELECT tide.pull('%s', client_id => '%s', acks => '{%s}')},
			$cursor, $client, join ',', @acks));
		return [ named($page), map { "-$_" } named($page, 'deletedByType') ];
	};
	my $ack = push_as('phone', item => [ { id => 30001, n => 1 }, { id => 30002, n => 1 } ])->{ack};
	is_deeply $since->('phone', $ack), [], 'own changes';
	is_deeply $since->('phone'), [ 'item 30001', 'item 30002' ], 'not by clientId';
	is_deeply $since->('tablet'), [ 'item 30001', 'item 30002' ], 'another device';
	is_deeply $since->(undef), [ 'item 30001', 'item 30002' ], 'nobody\'s';
	is_deeply [ named($gateway->pull($token, since => iso(time), clientId => 'phone')->{json})
		]->[0] ? 1 : 0, 1, 'never with a time';
	my @all = $gateway->pull_pages($token, clientId => 'phone', limit => 500);
	is scalar(grep { $_ eq 'item 30001' } map { named($_) } @all), 1,
	  'nor where the tables are read';

	sql('UPDATE item SET n = 2 WHERE id = 30002');
	is_deeply $since->('phone', $ack), ['item 30002'], 'what SQL changed since';
	push_as('tablet', item => [ { id => 30001, n => 3 } ]);
	is_deeply $since->('phone', $ack), [ 'item 30001', 'item 30002' ], 'what another device did';

	$cursor = cursor_now();
	my $reply = push_as('phone', item => [ { id => 30001, n => 9,
		lastModifiedAt => '2020-01-01T00:00:00Z' } ]);
	is $reply->{succeeded}[0]{status}, 'superseded', 'a change that lost';
	is_deeply $since->('phone'), ['item 30001'], 'what stands comes, though nothing changed';

	$cursor = cursor_now();
	$ack = push_as('phone', item => [ { id => 30003 } ],
		part => [ { id => 30003, item_id => 30003, n => 1 } ])->{ack};
	is_deeply $since->('phone', $ack), ['total u1'], 'what a trigger did';
	is_deeply $since->('tablet'), [ 'item 30003', 'part 30003', 'total u1' ],
	  'another device gets all';

	$cursor = cursor_now();
	$reply = $gateway->push_changes($token, { clientId => 'phone', changes => [
		{ entityType => 'item', action => 'delete', entityId => 30003 } ] })->{json};
	is $reply->{succeeded}[0]{status}, 'applied', 'own delete';
	is_deeply $since->('phone', $reply->{ack}), ['-part 30003'], 'what it took along arrives';
	is_deeply $since->('tablet'), [ '-item 30003', '-part 30003' ], 'and all to others';

	$cursor = cursor_now();
	$ack = push_as('phone', item => [ { id => 30004, n => 1 } ])->{ack};
	sql('DELETE FROM item WHERE id = 30004');
	is_deeply $since->('phone', $ack), ['-item 30004'], 'own row that another deleted';

	# SQL whose transaction is the older one, and whose write is the newer
	$cursor = cursor_now();
	open my $session, '|-', 'psql', '-X', '-q', '-d', $cluster->conninfo($database)
	  or die $!;
	$session->autoflush(1);
	print {$session} "BEGIN; UPDATE item SET n = n + 1 WHERE id = 13001;\n";
	wait_for('a transaction has begun to write', 10, sub {
		return sql(q{SELECT count(*) FROM pg_stat_activity
			WHERE state = 'idle in transaction' AND backend_xid IS NOT NULL
			AND datname = current_database()});
	});
	$ack = push_as('phone', item => [ { id => 30001, n => 20 } ])->{ack};
	print {$session} "UPDATE item SET n = 21 WHERE id = 30001; COMMIT;\n\\q\n";
	close $session;
	is_deeply $since->('phone', $ack), ['item 30001'], 'in whatever order transactions began';

	# a change's own clientId says nothing of who shows the reply
	$cursor = cursor_now();
	$reply = $gateway->push_changes($token, { clientId => 'phone', changes => [
		{ entityType => 'item', entityId => 30005, data => { n => 1 } },
		{ entityType => 'item', entityId => 30006, data => { n => 1 }, clientId => 'tablet' } ] })->{json};
	is_deeply $since->('phone', $reply->{ack}), [], 'whoever the changes are of';
	is_deeply $since->('tablet'), [ 'item 30005', 'item 30006' ], 'and all to others';
};

subtest 'times as milliseconds' => sub {
	my $cursor = cursor_now();
	push_as('phone', item => [ { id => 30010, at => 1767258000123 } ]);
	sql(q{UPDATE item SET at = '1969-12-31 23:59:59.9996Z' WHERE id = 30001;
		DELETE FROM item WHERE id = 30006});
	my $page = $gateway->pull($token, since => $cursor, times => 'ms')->{json};
	my %row = map { ($_->{id} => $_) } @{ $page->{changesByType}{item} };
	is $row{30010}{at}, 1767258000123, 'a time column';
	is $row{30001}{at}, -1, 'before 1970, rounded down';
	my $now = Time::HiRes::time() * 1000;
	for my $ms ($row{30010}{lastModifiedAt}, $page->{syncTimestamp},
		$page->{serverTime}, $page->{deletedByType}{item}[0]{deletedAt})
	{
		like $ms, qr/^\d+$/, 'a number';
		ok abs($ms - $now) < 60_000, 'of now';
	}
	my $again = $gateway->pull($token, since => $page->{syncTimestamp});
	is $again->{status}, 200, 'and it may be sent as since';
	$again = $gateway->pull($token, since => $page->{syncTimestamp} - 60_000);
	is $again->{status}, 200, 'or one before' or diag $again->{content};
	is_deeply [ grep { $_ eq 'item 30010' } named($again->{json}) ], ['item 30010'],
	  'which is a time';
};

subtest 'POST' => sub {
	my $cursor = cursor_now();
	sql(q{UPDATE item SET n = 77 WHERE id BETWEEN 1 AND 40;
		UPDATE label SET name = name || '!' WHERE id < 4});
	for my $fields ({}, { since => $cursor }, { since => $cursor, limit => 7 },
		{ since => $cursor, entityTypes => 'label,item' },
		{ since => $cursor, scope => 'u1', clientId => 'phone', times => 'ms' })
	{
		my $get = $gateway->pull($token, %$fields)->{json};
		my $post = $gateway->post($pull, token => $token, json => $fields)->{json};
		is_deeply [ @$post{qw(changesByType deletedByType stats hasMore reset)} ],
		  [ @$get{qw(changesByType deletedByType stats hasMore reset)} ],
		  join ', ', 'the same as by GET', sort keys %$fields;
		ok %{ $post->{changesByType} }, 'which is not nothing';
	}
	my $post = $gateway->post($pull, token => $token, json =>
		{ since => $cursor, entityTypes => ['label'], limit => 2, scope => ['u1'] })->{json};
	is_deeply [ map { s/ \d+$//r } named($post) ], [ 'label', 'label' ], 'lists as lists';
};

subtest 'wait' => sub {
	my $cursor = cursor_now();
	my $start = Time::HiRes::time();
	my $page = $gateway->pull($token, since => $cursor, wait => 1)->{json};
	my $took = Time::HiRes::time() - $start;
	is_deeply [ named($page) ], [], 'nothing to say';
	ok $took >= 0.9 && $took < 5, "held for so long ($took s)";

	my $socket = IO::Socket::INET->new(PeerHost => '127.0.0.1',
		PeerPort => $gateway->{port}) or die $!;
	$socket->autoflush(1);
	my $said = sub {
		my ($seconds) = @_;
		my $bits = '';
		vec($bits, fileno($socket), 1) = 1;
		return select $bits, undef, undef, $seconds;
	};
	print {$socket} "GET $pull?wait=30&since=$page->{cursor} HTTP/1.1\r\nHost: x\r\n",
	  "Authorization: Bearer $token\r\nConnection: close\r\n\r\n";
	# another user's news are none
	sql(q{UPDATE item SET n = 5 WHERE id = 13003});
	ok !$said->(1.2), 'held while there is nothing';
	$start = Time::HiRes::time();
	sql(q{UPDATE item SET n = 55 WHERE id = 1});
	ok $said->(10), 'until there is';
	cmp_ok Time::HiRes::time() - $start, '<', 5, 'soon';
	my $reply = do { local $/; <$socket> };
	like $reply, qr/"item":\[\{"id":1,/, 'the row';

	$start = Time::HiRes::time();
	is_deeply [ named($gateway->pull($token, since => $page->{cursor}, wait => 30)->{json}) ],
	  ['item 1'], 'with something to say';
	cmp_ok Time::HiRes::time() - $start, '<', 5, 'at once';
};

is $gateway->stop, 0, 'stops with status 0';
done_testing;
