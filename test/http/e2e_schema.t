# Tables change while a client is away, and while the gateway's one session keeps
# plans and settings of before: nothing is lost, nobody starts over who need not,
# and what does not fit any more says so.
#
# Seen to fail without read_again() in pull.c, and without the registry's callback
# for changed relations.
use strict;
use warnings;
use feature 'state';

use FindBin ();
use lib "$FindBin::Bin/../lib";
use Test::More;
use Time::HiRes ();
use TideTest qw(apply_page decode_json iso);

my $cluster = TideTest::Cluster->shared;
my $database = $cluster->create_synced(<<'SQL');
CREATE TABLE note (id int PRIMARY KEY, user_id text, body text, n int);
CREATE TABLE part (id int PRIMARY KEY, user_id text, n int);
CREATE INDEX ON note (user_id, id);
CREATE INDEX ON part (user_id, id);
SELECT tide.track('note', scope => 'user_id');
SELECT tide.track('part', scope => 'user_id');
INSERT INTO note SELECT i, CASE WHEN i % 4 = 0 THEN 'u2' ELSE 'u1' END, 'note ' || i, i FROM generate_series(1, 20) i;
INSERT INTO part SELECT i, 'u1', i FROM generate_series(1, 6) i;
GRANT ALL ON note, part TO tide_user;
SQL
my $gateway = TideTest::Gateway->start(
	cluster => $cluster,
	database => $database,
	settings => { 'db-connections' => 1, 'maintain-interval' => 0 })->wait_until_ready;
my $token = $gateway->token('u1');
my $client = { copy => {} };

sub sql { return $cluster->sql($database, $_[0]); }

# A round of pulls from the kept cursor; the counts of what came, by type, a
# deletion as "-".
sub sync
{
	my (%option) = @_;
	my %came;
	for my $page (1 .. 200)
	{
		my $reply = $gateway->pull($token, limit => 4,
			defined $client->{cursor} ? (since => $client->{cursor}) : (), %option);
		if ($reply->{status} != 200)
		{
			return "$reply->{status} $reply->{json}{error}{code}";
		}
		my $json = $reply->{json};
		if ($json->{reset})
		{
			$client->{copy} = {};
			$came{"reset $json->{resetReason}"} = 1;
		}
		for my $type (@{ $json->{resetTypes} // [] })
		{
			# all of it is on the pages from the first that says so on
			$client->{copy}{$type} = {} unless $came{"again $type"};
			$came{"again $type"} = 1;
		}
		$came{"not $_"} = 1 for @{ $json->{unavailableTypes} // [] };
		apply_page($client->{copy}, $json);
		$came{$_} += @{ $json->{changesByType}{$_} } for keys %{ $json->{changesByType} };
		$came{"-$_"} += @{ $json->{deletedByType}{$_} } for keys %{ $json->{deletedByType} };
		$client->{cursor} = $json->{cursor};
		return join ' ', map { "$_=$came{$_}" } sort keys %came if !$json->{hasMore};
	}
	return 'no end';
}

# Is the client's copy of a type what the table holds?
sub is_right
{
	my ($type, $name, $table) = @_;
	$table //= $type;
	my %copy;
	for my $row (values %{ $client->{copy}{$type} // {} })
	{
		my %row = %$row;
		delete @row{qw(lastModifiedAt clientId user_id)};
		$copy{ $row->{id} } = \%row;
	}
	my $truth = decode_json(sql(<<"SQL"));
SELECT coalesce(jsonb_object_agg(id, to_jsonb(t) - '{lastModifiedAt,clientId,user_id}'::text[]), '{}')
FROM $table t WHERE user_id = 'u1'
SQL
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is_deeply \%copy, $truth, $name;
}

# What becomes of one pushed row.
sub pushed
{
	my ($type, $row) = @_;
	state $edits = 0;
	# newer than what the server has stamped, within the skew
	my $stamp = iso(Time::HiRes::time() + 20 + 0.01 * $edits++);
	my $reply = $gateway->push_changes($token,
		{ clientId => 'phone', changes => { $type => [ { %$row, lastModifiedAt => $stamp } ] } });
	return "$reply->{status} $reply->{json}{error}{code}" if $reply->{status} != 200;
	my ($good) = @{ $reply->{json}{succeeded} };
	return $good ? $good->{status} : $reply->{json}{failed}[0]{errors}[0]{code};
}

# The session has a plan of everything that it does to notes.
sub use_all
{
	pushed('note', { id => 100, body => 'kept', n => 1 });
	$gateway->pull($token, limit => 4);
	$gateway->pull($token, since => $client->{cursor}) if $client->{cursor};
	return sync();
}

is sync(), 'note=15 part=6', 'a first round';

subtest 'a column with a default' => sub {
	use_all();
	sql(q{ALTER TABLE note ADD mood text DEFAULT 'fine'});
	is sync(), '', 'changes no row, and nothing is sent';
	sql('UPDATE part SET n = 10 WHERE id = 1; DELETE FROM note WHERE id = 3');
	is sync(refresh => 'note'), '-note=1 note=15 part=1',
	  'refresh: that type in full, what is gone of it, and of the others what changed';
	is_right('note', 'and that is it');
	is_right('part', 'as are the others');
	is sync(), '', 'asked for once';
	sql('UPDATE note SET n = -1 WHERE id IN (1, 2)');
	is sync(), 'note=2', 'and on from there';
	is pushed('note', { id => 1, body => 'of an old app' }), 'applied', 'an app that does not know it';
	is pushed('note', { id => 2, mood => 'great' }), 'applied', 'and one that does';
	sync();
	is_right('note', 'both are seen');
	my $schema = $gateway->get('/api/v1/sync/schema', token => $token)->{content};
	like $schema, qr/"mood"/, 'it is in the schema';
	is $gateway->pull($token, refresh => 'nope')->{json}{error}{code}, 'unknown_entity_type',
	  'a type that does not exist';
	is $gateway->pull($token, refresh => 'note', entityTypes => 'part')->{json}{error}{code},
	  'malformed_request', 'one that is not asked for';
};

subtest 'a column with a default of its own for each row' => sub {
	use_all();
	my $file = sql(q{SELECT pg_relation_filenode('note')});
	sql(q{ALTER TABLE note ADD code text DEFAULT md5(random()::text)});
	isnt sql(q{SELECT pg_relation_filenode('note')}), $file, 'the table was written anew';
	is sync(), '', 'nothing is taken for deleted';
	sql('DELETE FROM note WHERE id = 5; UPDATE note SET n = 77 WHERE id = 6');
	is sync(refresh => 'note', clientId => 'phone'), '-note=1 note=15', 'refresh brings it';
	is_right('note', 'and that is it');
};

subtest 'columns go, are renamed, change their type' => sub {
	use_all();
	sql(q{ALTER TABLE note DROP mood});
	is sync(), '', 'a column less: nothing is sent';
	is pushed('note', { id => 1, mood => 'sad' }), 'unknown_column', 'an app that still has it';
	is pushed('note', { id => 1, body => 'x' }), 'applied', 'its other changes are stored';
	sql(q{ALTER TABLE note RENAME body TO text});
	is pushed('note', { id => 1, body => 'y' }), 'unknown_column', 'renamed: the old name';
	is pushed('note', { id => 1, text => 'z' }), 'applied', 'the new name';
	like sync(), qr/^note=\d+$/, 'no reset';
	is sync(refresh => 'note'), 'note=14', 'refresh';
	is_right('note', 'and that is it');

	use_all();
	sql(q{ALTER TABLE note ALTER n TYPE bigint});
	is pushed('note', { id => 1, n => '9007199254740993' }), 'applied', 'a wider type';
	is sync(), 'note=1', 'no reset, nothing taken for deleted';
	is $client->{copy}{note}{1}{n} . '', '9007199254740993', 'is used';
	sql(q{ALTER TABLE note ALTER n TYPE text USING 'n' || n});
	is pushed('note', { id => 2, n => 'two' }), 'applied', 'another type';
	sync(refresh => 'note');
	is_right('note', 'and that is it');
	sql('UPDATE note SET n = id; ALTER TABLE note ALTER n TYPE int USING n::int');
	sync(refresh => 'note');
	is_right('note', 'and back');
};

# What the settings name: an error that says so, until the table is tracked
# again.  Other types go on, the cursor stays good.
subtest 'columns of the settings' => sub {
	my @cases = (
		[ 'the scope', 'ALTER TABLE note RENAME user_id TO owner', 'ALTER TABLE note RENAME owner TO user_id' ],
		[ 'the scope, gone', 'ALTER TABLE note RENAME user_id TO x; ALTER TABLE note ADD owner text',
			'ALTER TABLE note DROP owner; ALTER TABLE note RENAME x TO user_id' ],
		[ 'the stamp', 'ALTER TABLE note RENAME "lastModifiedAt" TO at', 'ALTER TABLE note RENAME at TO "lastModifiedAt"' ],
		[ 'the client', 'ALTER TABLE note RENAME "clientId" TO by', 'ALTER TABLE note RENAME by TO "clientId"' ],
		[ 'the key', 'ALTER TABLE note DROP CONSTRAINT note_pkey', 'ALTER TABLE note ADD PRIMARY KEY (id)' ]);
	for my $case (@cases)
	{
		my ($what, $ddl, $back) = @$case;
		use_all();
		sql($ddl);
		isnt sql(q{SELECT problem FROM tide.tracked WHERE relation = 'note'::regclass}), '',
		  "$what: tide.tracked says what the matter is";
		sql('UPDATE part SET n = n + 1 WHERE id = 1');
		is sync(), 'not note=1 part=1', "$what: it is left out and named, and the others are served";
		isnt pushed('note', { id => 1, n => 5 }), 'applied', "$what: nor is anything pushed";
		is pushed('part', { id => 1, n => 5 }), 'applied', "$what: but to others";
		eval { sql('UPDATE note SET n = 6 WHERE id = 1') };
		like $@, qr/ERROR: .*note.*HINT/s, "$what: plain SQL is refused, with a hint";
		sql($back);
		is sql(q{SELECT problem FROM tide.tracked WHERE relation = 'note'::regclass}), '', "$what: mended";
		sql('UPDATE note SET n = n + 1 WHERE id = 1');
		is sync(), 'note=1 part=1', "$what: and all goes on from the cursor";
	}
	use_all();
	sql(q{ALTER TABLE note RENAME user_id TO owner; SELECT tide.track('note', scope => 'owner')});
	sql('UPDATE note SET n = n + 1 WHERE id = 1');
	like sync(), qr/^again note=1 note=\d+$/, 'tracked by another scope: read anew';
	sql(q{ALTER TABLE note RENAME owner TO user_id; SELECT tide.track('note', scope => 'user_id')});
	sync();
	sql(q{SELECT tide.track('note', scope => 'user_id', conflict => 'client_wins')});
	sql('UPDATE note SET n = n + 1 WHERE id = 1');
	is sync(), 'note=1', 'tracked with other settings: the cursor stays';
	sql(q{SELECT tide.track('note', scope => 'user_id')});
	is_right('note', 'the copy is right');
};

subtest 'tables' => sub {
	use_all();
	sql(q{ALTER TABLE note RENAME TO memo});
	sql('UPDATE memo SET n = n + 1 WHERE id = 1');
	is sync(), 'note=1', 'renamed: the same type as before';
	is pushed('note', { id => 2, n => 3 }), 'applied', 'also for those who push';
	sync();
	is_right('note', 'the copy is right', 'memo');

	sql(q{CREATE TABLE extra (id int PRIMARY KEY, user_id text); CREATE INDEX ON extra (user_id, id);
		INSERT INTO extra SELECT i, 'u1' FROM generate_series(1, 9) i;
		GRANT ALL ON extra TO tide_user; SELECT tide.track('extra', scope => 'user_id')});
	# after a type has gone, the cursor does not know its name: a new one may be it
	is sync(), 'again extra=1 extra=9', 'a new one comes in full, and nothing else';
	is pushed('extra', { id => 10 }), 'applied', 'and can be pushed to';

	$gateway->pull($token, since => $client->{cursor});
	my $away = { copy => { %{ $client->{copy} } }, cursor => $client->{cursor} };
	sql('DROP TABLE part');
	is sync(), 'extra=1', 'dropped: the others go on';
	is pushed('part', { id => 1, n => 1 }), 'unknown_entity_type', 'a push of it is told';
	is pushed('extra', { id => 11 }), 'applied', 'others not';
	sql(q{CREATE TABLE part (id int PRIMARY KEY, user_id text, n int, more text);
		CREATE INDEX ON part (user_id, id); INSERT INTO part VALUES (2, 'u1', 22, 'm');
		GRANT ALL ON part TO tide_user; SELECT tide.track('part', scope => 'user_id')});
	is sync(), 'again part=1 extra=1 part=1', 'made again and tracked: it comes';
	$client = $away;
	is sync(), 'again part=1 extra=2 part=1', 'to one that was away all the while: the copy of the old one must go';
	is_right($_, "$_ is right", $_ eq 'note' ? 'memo' : $_) for qw(note part extra);
	sql(q{SELECT tide.untrack('extra')});
	is sync(), '', 'untracked';
	is pushed('extra', { id => 12 }), 'unknown_entity_type', 'a push of it is told';
};

done_testing;
