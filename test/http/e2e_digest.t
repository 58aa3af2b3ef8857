# A client checks that it holds what the server holds, and fetches just what it
# lacks: /sync/digest, /sync/keys?bucket= and /sync/rows, with the digest of the
# copy made here, by Digest::SHA, from what was pulled.
#
# Seen failing with the key's text in place of its wire form in hash.c; with the
# stamp left out of the hash; with the scope left out of the SQL in scan.c; with
# moved buckets of another scope told.
use strict;
use warnings;
use utf8;

use Encode ();
use FindBin ();
use lib "$FindBin::Bin/../lib";
use Test::More;
use TideDigest qw(digest_of digest_in buckets_that_differ bucket_of);
use TideTest qw(decode_json);

binmode $_, ':utf8' for *STDOUT, *STDERR, Test::More->builder->output, Test::More->builder->failure_output;

my $cluster = TideTest::Cluster->shared;
my $database = $cluster->create_synced(Encode::encode_utf8(<<'SQL'));
CREATE TABLE note (id uuid PRIMARY KEY, owner text, body text, deleted_at timestamptz);
CREATE TABLE slug (name text PRIMARY KEY, owner text, n int);
CREATE TABLE counter (id bigint PRIMARY KEY, owner text);
CREATE TABLE pair (a int, b text, owner text, PRIMARY KEY (a, b));
CREATE TABLE odd (day date, at timestamptz, flag boolean, owner text, PRIMARY KEY (day, at, flag));
CREATE TABLE coarse (id int PRIMARY KEY, owner text, "updated at" timestamp(0), device varchar(40));
CREATE TABLE common (code text PRIMARY KEY, name text);
INSERT INTO note SELECT gen_random_uuid(), CASE WHEN i % 2 = 0 THEN 'u1' ELSE 'u2' END, 'from before' FROM generate_series(1, 40) i;
SELECT tide.track('note', scope => 'owner', deleted_at => 'deleted_at'), tide.track('slug', scope => 'owner'),
	tide.track('counter', scope => 'owner'), tide.track('pair', scope => 'owner'), tide.track('odd', scope => 'owner'),
	tide.track('coarse', scope => 'owner', modified_at => 'updated at', client_id => 'device'),
	tide.track('common', shared => true);
INSERT INTO note SELECT gen_random_uuid(), CASE WHEN i % 3 = 0 THEN 'u2' ELSE 'u1' END, 'note ' || i FROM generate_series(1, 300) i;
UPDATE note SET deleted_at = now() WHERE body LIKE '%7';
INSERT INTO slug SELECT 'größe "' || i || E'"\n\\ 日本 🏋', CASE WHEN i % 3 = 0 THEN 'u2' ELSE 'u1' END, i FROM generate_series(1, 40) i;
INSERT INTO counter SELECT 9223372036854775807 - i, 'u1' FROM generate_series(0, 20) i;
INSERT INTO counter SELECT -i, 'u2' FROM generate_series(1, 20) i;
INSERT INTO pair SELECT i % 7, 'b,' || i, 'u1' FROM generate_series(1, 30) i;
INSERT INTO odd SELECT '2026-01-01'::date + i, '2026-01-01Z'::timestamptz + i * '1.234567 s'::interval, i % 2 = 0, 'u1' FROM generate_series(1, 30) i;
INSERT INTO coarse SELECT i, 'u1' FROM generate_series(1, 20) i;
UPDATE coarse SET device = gen_random_uuid() WHERE id > 10;
INSERT INTO common SELECT chr(64 + i), i FROM generate_series(1, 26) i;
GRANT ALL ON ALL TABLES IN SCHEMA public TO tide_user;
ALTER TABLE slug ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON slug USING (owner = current_setting('request.jwt.claims')::json->>'sub' AND n < 30);
SQL
my $gateway = TideTest::Gateway->start(cluster => $cluster, database => $database,
	settings => { 'maintain-interval' => 0, 'max-pull-rows' => 50 })->wait_until_ready;
my %token = map { ($_ => $gateway->token($_)) } qw(u1 u2);
my %schema = %{ $gateway->get('/api/v1/sync/schema', token => $token{u1})->{json}{entityTypes} };

sub sql { return $cluster->sql($database, Encode::encode_utf8($_[0])); }

sub name_of { my ($type, $row) = @_; return join "\x1f", map { "$row->{$_}" } @{ $schema{$type}{key} }; }

# What the user can pull: cursor, and rows by type and key.
sub copy_of
{
	my ($user, %field) = @_;
	my $copy = { user => $user, times => $field{times}, rows => { map { ($_ => {}) } keys %schema } };
	pull_into($copy, %field);
	return $copy;
}

sub pull_into
{
	my ($copy, %field) = @_;
	$field{since} = $copy->{cursor} if defined $copy->{cursor};
	$field{times} = $copy->{times} if $copy->{times};
	for my $page ($gateway->pull_pages($token{ $copy->{user} }, limit => 50, %field))
	{
		for my $type (keys %{ $page->{changesByType} })
		{
			$copy->{rows}{$type}{ name_of($type, $_) } = $_ for @{ $page->{changesByType}{$type} };
		}
		for my $type (keys %{ $page->{deletedByType} })
		{
			delete $copy->{rows}{$type}{ name_of($type, $_) } for @{ $page->{deletedByType}{$type} };
		}
		$copy->{cursor} = $page->{cursor};
	}
	return;
}

sub digest
{
	my ($copy, %field) = @_;
	my $query = $gateway->{http}->www_form_urlencode({ since => $copy->{cursor},
		($copy->{times} ? (times => $copy->{times}) : ()), %field });
	return $gateway->get("/api/v1/sync/digest?$query", token => $token{ $copy->{user} });
}

# { type => [buckets] } in which the copy differs, moved ones left out
sub differences
{
	my ($copy, $reply) = @_;
	my %differ;
	for my $type (keys %{ $reply->{digestByType} })
	{
		my %moved = map { ("$_" => 1) } @{ $reply->{moved}{$type} // [] };
		my $mine = digest_of([ values %{ $copy->{rows}{$type} } ], key => $schema{$type}{key},
			modifiedAt => $schema{$type}{modifiedAt}, clientId => $schema{$type}{clientId});
		my @buckets = grep { !$moved{$_} }
		  buckets_that_differ($mine, digest_in($reply->{digestByType}{$type}));
		$differ{$type} = \@buckets if @buckets;
	}
	return \%differ;
}

sub is_equal
{
	my ($copy, $name, %field) = @_;
	my $reply = digest($copy, %field);
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is $reply->{status}, 200, "$name: a digest" or diag $reply->{content};
	is_deeply differences($copy, $reply->{json}), {}, "$name: no bucket differs";
	return $reply->{json};
}

my $mine = copy_of('u1');
my $first_cursor = $mine->{cursor};

subtest 'a copy and its digest' => sub {
	my $reply = is_equal($mine, 'u1');
	is_deeply [ sort keys %{ $reply->{digestByType} } ], [ sort keys %schema ], 'all types';
	is_deeply $reply->{moved}, {}, 'nothing moved';
	for my $type (sort keys %schema)
	{
		my $count = 0;
		$count += $_ for @{ $reply->{digestByType}{$type}{counts} };
		cmp_ok $count, '>', 9, "$type has rows";
		is $count, scalar keys %{ $mine->{rows}{$type} }, "$type: as many as were pulled";
	}
	my @notes = values %{ $mine->{rows}{note} };
	ok scalar(grep({ !defined $_->{lastModifiedAt} } @notes)), 'some without a stamp';
	ok scalar(grep({ defined $_->{deleted_at} } @notes)), 'some deleted softly';
	ok !scalar(grep({ $_->{n} >= 30 } values %{ $mine->{rows}{slug} })), 'none that a policy hides';
	is_equal(copy_of('u2'), 'u2');
	is_equal(copy_of('u1', times => 'ms'), 'in milliseconds');
	is_equal(copy_of('u1', entityTypes => 'pair,odd'), 'two types', entityTypes => 'pair,odd');
};

subtest 'what changed since' => sub {
	my ($changed, $gone, $given, $taken) = split /\n/, sql(<<'SQL');
WITH mine AS (SELECT id, row_number() OVER (ORDER BY id) AS n FROM note WHERE owner = 'u1'),
	other AS (SELECT min(id::text)::uuid AS id FROM note WHERE owner = 'u2')
SELECT id FROM mine WHERE n <= 3 UNION ALL SELECT id FROM other
SQL
	sql(<<"SQL");
BEGIN;
UPDATE note SET body = 'changed' WHERE id = '$changed';
DELETE FROM note WHERE id = '$gone';
UPDATE note SET owner = 'u2' WHERE id = '$given';
UPDATE note SET owner = 'u1' WHERE id = '$taken';
UPDATE note SET body = 'not yours' WHERE owner = 'u2';
INSERT INTO pair VALUES (1, 'neu ü', 'u1');
COMMIT;
SQL
	my $reply = digest($mine)->{json};
	my %expected = map { (bucket_of({ id => $_ }, 'id') => 1) } $changed, $gone, $given, $taken;
	is_deeply [ map { "$_" } @{ $reply->{moved}{note} } ], [ sort { $a <=> $b } keys %expected ],
	  'the buckets of the notes, and of no others';
	is_deeply $reply->{moved}{pair}, [ bucket_of({ a => 1, b => 'neu ü' }, 'a', 'b') ], 'of the pair';
	is_deeply [ sort keys %{ $reply->{moved} } ], [qw(note pair)], 'of no other type';
	is_deeply differences($mine, $reply), {}, 'the others are equal';
	# a cursor of the same moment
	my $later = digest({ %$mine, cursor => $reply->{cursor} });
	is_deeply $later->{json}{moved}, {}, 'nothing moved since the digest';
	pull_into($mine);
	is_equal($mine, 'after the pull');
};

# What a client does with buckets that differ: the keys that are not as it has
# them, and their rows.
sub repair
{
	my ($copy, $reply) = @_;
	my $differ = differences($copy, $reply);
	my (%wanted, $rows);
	for my $type (keys %$differ)
	{
		my $theirs = $gateway->get("/api/v1/sync/keys?entityTypes=$type&bucket="
			  . join(',', @{ $differ->{$type} }), token => $token{ $copy->{user} })->{json}{keysByType}{$type};
		my %theirs = map { (name_of($type, $_) => $_) } @$theirs;
		my %buckets = map { ($_ => 1) } @{ $differ->{$type} };
		my ($at, $by) = @{ $schema{$type} }{qw(modifiedAt clientId)};
		for my $name (keys %{ $copy->{rows}{$type} })
		{
			my $row = $copy->{rows}{$type}{$name};
			next unless $buckets{ bucket_of($row, @{ $schema{$type}{key} }) };
			my $other = $theirs{$name};
			delete $theirs{$name} if $other && ($other->{$at} // '') eq ($row->{$at} // '')
			  && ($other->{$by} // '') eq ($row->{$by} // '');
			delete $copy->{rows}{$type}{$name} if !$other;
		}
		$wanted{$type} = [ values %theirs ] if %theirs;
	}
	while (%wanted)
	{
		my $answer = $gateway->post('/api/v1/sync/rows', token => $token{ $copy->{user} }, json => { keys => \%wanted });
		is $answer->{status}, 200, 'rows' or return;
		for my $type (keys %{ $answer->{json}{rowsByType} })
		{
			$copy->{rows}{$type}{ name_of($type, $_) } = $_ for @{ $answer->{json}{rowsByType}{$type} };
			$rows += @{ $answer->{json}{rowsByType}{$type} };
		}
		%wanted = %{ $answer->{json}{remaining} };
	}
	return $rows;
}

subtest 'a copy that went wrong is mended' => sub {
	my %before = map { ($_ => { %{ $mine->{rows}{$_} } }) } keys %{ $mine->{rows} };
	my ($first, @others) = sort keys %{ $mine->{rows}{note} };
	# two of the same bucket would be one difference
	my @notes = ($first, grep { bucket_of({ id => $_ }, 'id') != bucket_of({ id => $first }, 'id') } @others);
	delete $mine->{rows}{note}{ $notes[0] };
	$mine->{rows}{note}{ $notes[1] } = { %{ $mine->{rows}{note}{ $notes[1] } }, lastModifiedAt => '2020-01-01T00:00:00.000Z' };
	$mine->{rows}{slug}{$_} = { %{ $mine->{rows}{slug}{$_} }, clientId => 'phone' } for (sort keys %{ $mine->{rows}{slug} })[0];
	delete $mine->{rows}{pair}{$_} for (sort keys %{ $mine->{rows}{pair} })[0];
	delete $mine->{rows}{counter}{$_} for (sort keys %{ $mine->{rows}{counter} })[3];
	$mine->{rows}{common}{ghost} = { code => 'ghost', name => 'x', lastModifiedAt => undef, clientId => undef };
	my $reply = digest($mine)->{json};
	is_deeply { map { ($_ => scalar @{ differences($mine, $reply)->{$_} }) } keys %{ differences($mine, $reply) } },
	  { note => 2, slug => 1, pair => 1, counter => 1, common => 1 }, 'each is seen';
	is repair($mine, $reply), 5, 'and just those are fetched';
	is_deeply $mine->{rows}, \%before, 'the copy is what it was';
	is_equal($mine, 'mended');
};

subtest 'rows in parts, and none of another user' => sub {
	my @keys = sort keys %{ $mine->{rows}{note} };
	my ($hers) = split /\n/, sql("SELECT id FROM note WHERE owner = 'u2'");
	my ($parts, %got) = (0);
	my $wanted = { note => [ $hers, @keys ] };
	while (%$wanted)
	{
		my $answer = $gateway->post('/api/v1/sync/rows?times=ms', token => $token{u1}, json => { keys => $wanted })->{json};
		cmp_ok scalar(@{ $answer->{rowsByType}{note} }), '<=', 50, 'no more than max-pull-rows';
		$got{ $_->{id} } = $_ for @{ $answer->{rowsByType}{note} };
		$wanted = $answer->{remaining};
		last if $parts++ > 20;
	}
	is_deeply [ sort keys %got ], \@keys, 'all of hers, and nothing of his';
	like [ map { $_->{lastModifiedAt} // () } values %got ]->[0], qr/^\d+$/, 'times as asked for';
	my $bucket = bucket_of({ id => $hers }, 'id');
	ok !grep({ $_->{id} eq $hers }
		@{ $gateway->get("/api/v1/sync/keys?bucket=$bucket", token => $token{u1})->{json}{keysByType}{note} }),
	  'nor is its key told';
};

subtest 'bad requests' => sub {
	my $digest = '/api/v1/sync/digest';
	my %of_u1 = (token => $token{u1});
	my $error = sub { my ($reply) = @_; return "$reply->{status} " . ($reply->{json}{error}{code} // ''); };
	my $page = $gateway->pull($token{u1}, limit => 3)->{json}{cursor};
	my $one = ($gateway->pull_pages($token{u1}, entityTypes => 'common'))[-1]{cursor};
	is $error->($gateway->get($digest, %of_u1)), '400 malformed_request', 'without a cursor';
	is $error->($gateway->get("$digest?since=now", %of_u1)), '400 malformed_request', 'now';
	is $error->($gateway->get("$digest?since=2026-01-01T00:00:00Z", %of_u1)), '400 malformed_request', 'a time';
	is $error->($gateway->get("$digest?since=Axyz", %of_u1)), '400 malformed_cursor', 'a broken cursor';
	is $error->($gateway->get("$digest?since=$page", %of_u1)), '400 incomplete_cursor', 'in the middle of a transfer';
	is $error->($gateway->get("$digest?since=$one", %of_u1)), '400 incomplete_cursor', 'of one type';
	is $error->($gateway->get("$digest?since=$one&entityTypes=common", %of_u1)), '200 ', 'for that type';
	is $error->($gateway->get("$digest?since=$one&scope=u2", %of_u1)), '403 scope_not_allowed', 'another scope';
	is $error->($gateway->get("$digest?since=$one&times=s", %of_u1)), '400 malformed_request', 'other times';
	is $error->($gateway->get("$digest?since=$one")), '401 unauthorized', 'no token';
	is $error->($gateway->post($digest, %of_u1, json => {})), '405 method_not_allowed', 'by POST';
	is $error->($gateway->get('/api/v1/sync/keys?bucket=256', %of_u1)), '400 malformed_request', 'no such bucket';
	is $error->($gateway->get('/api/v1/sync/keys?bucket=x', %of_u1)), '400 invalid_value', 'no number';
	my $rows = '/api/v1/sync/rows';
	is $error->($gateway->get($rows, %of_u1)), '405 method_not_allowed', 'rows by GET';
	is $error->($gateway->post($rows, %of_u1, content => '')), '400 malformed_request', 'no body';
	is $error->($gateway->post($rows, %of_u1, json => { keys => ['x'] })), '400 malformed_request', 'no types';
	is $error->($gateway->post($rows, %of_u1, json => { keys => { note => ['x'] } })), '400 invalid_value', 'no uuid';
	is $error->($gateway->post($rows, %of_u1, json => { keys => { pair => [ { a => 1 } ] } })), '400 missing_key', 'half a key';
	is $error->($gateway->post($rows, json => { keys => {} })), '401 unauthorized', 'no token';
	is $error->($gateway->post("$rows?scope=u2", %of_u1, json => { keys => { note => [] } })), '403 scope_not_allowed', 'another scope';
	is_deeply $gateway->post($rows, %of_u1, json => { keys => { nope => ['x'], note => [] } })->{json},
	  { rowsByType => { note => [] }, remaining => {}, unavailableTypes => ['nope'] }, 'an unknown type is named';
	# what is gone for good
	sql("SELECT tide.prune('0 s')");
	is $error->($gateway->get("$digest?since=$first_cursor", %of_u1)), '410 resync_required', 'an expired cursor';
	pull_into($mine);
	is_equal($mine, 'after the reset');
};

is $gateway->stop, 0, 'stops with status 0';
done_testing;
