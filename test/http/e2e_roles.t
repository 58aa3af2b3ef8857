# Who a request is: the roles and grants of the README, row level security
# written for PostgREST or Supabase, and users that share a connection.
use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";
use POSIX ();
use Test::More;
use TideTest qw(wait_for iso apply_page encode_json);

my $cluster = TideTest::Cluster->shared;
my $database = $cluster->create_synced(<<'SQL');
CREATE FUNCTION jwt_sub() RETURNS text LANGUAGE sql STABLE AS
	$$ SELECT current_setting('request.jwt.claims', true)::json->>'sub' $$;

-- scope and policy agree
CREATE TABLE task (
	id		integer PRIMARY KEY,
	user_id	text NOT NULL,
	title	text);
CREATE INDEX ON task (user_id, id);
SELECT tide.track('task', scope => 'user_id');
ALTER TABLE task ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON task TO tide_user
	USING (user_id = (SELECT current_setting('request.jwt.claims', true)::json->>'sub'))
	WITH CHECK (user_id = (SELECT current_setting('request.jwt.claims', true)::json->>'sub'));

-- shared, where only a policy says who reads and writes what
CREATE TABLE post (
	id		integer PRIMARY KEY,
	author	text NOT NULL,
	public	boolean NOT NULL DEFAULT false,
	body	text);
SELECT tide.track('post', shared => true);
ALTER TABLE post ENABLE ROW LEVEL SECURITY;
CREATE POLICY reads ON post FOR SELECT TO tide_user
	USING (public OR author = jwt_sub());
CREATE POLICY adds ON post FOR INSERT TO tide_user WITH CHECK (author = jwt_sub());
CREATE POLICY edits ON post FOR UPDATE TO tide_user
	USING (author = jwt_sub()) WITH CHECK (author = jwt_sub());
CREATE POLICY removes ON post FOR DELETE TO tide_user
	USING (author = jwt_sub() AND (current_setting('request.jwt.claims', true)::json
		->'app_metadata'->>'may_delete')::boolean);

-- tracked, and not for everybody
CREATE TABLE ledger (
	id		integer PRIMARY KEY,
	user_id	text NOT NULL,
	amount	integer);
SELECT tide.track('ledger', scope => 'user_id');
CREATE TABLE readable (LIKE ledger INCLUDING ALL);
SELECT tide.track('readable', scope => 'user_id');
-- not tracked at all
CREATE TABLE office (id integer PRIMARY KEY, user_id text, salary integer);

INSERT INTO task VALUES (1, 'u1', 'of u1'), (2, 'u2', 'of u2');
INSERT INTO post VALUES (1, 'u1', true, 'hello'), (2, 'u1', false, 'draft of u1'),
	(3, 'u2', false, 'draft of u2');
INSERT INTO ledger VALUES (1, 'u1', 100);
INSERT INTO readable VALUES (1, 'u1', 100);
INSERT INTO office VALUES (1, 'u1', 1000);

DO $$ BEGIN
	IF to_regrole('tide_auditor') IS NULL THEN CREATE ROLE tide_auditor NOLOGIN; END IF;
	IF to_regrole('tide_stranger') IS NULL THEN CREATE ROLE tide_stranger NOLOGIN; END IF;
END $$;
GRANT tide_auditor TO tide_gateway;
GRANT SELECT, INSERT, UPDATE, DELETE ON task, post TO tide_user;
GRANT SELECT ON readable TO tide_user;
GRANT SELECT ON ledger, readable TO tide_auditor;
SQL
my $gateway = TideTest::Gateway->start(
	cluster => $cluster,
	database => $database,
	settings => { 'db-connections' => 1 })->wait_until_ready;
my %token = map { ($_ => $gateway->token($_)) } 'u1', 'u2';

sub sql { return $cluster->sql($database, $_[0]); }

# SQL as another role, over a connection of its own; its error, or ''.
sub error_as
{
	my ($role, $statement) = @_;
	return '' if eval {
		TideTest::run_program($statement, 'psql', '-X', '-q', '-A', '-t',
			'-v', 'ON_ERROR_STOP=1', '-d', $cluster->conninfo($database, $role),
			'-f', '-');
		1;
	};
	return $@;
}

# A token with claims beside those that the token command knows.
sub token_with
{
	my (%claims) = @_;
	require Digest::SHA;
	require MIME::Base64;
	my $text = join '.', map { MIME::Base64::encode_base64url(encode_json($_)) }
	  { alg => 'HS256', typ => 'JWT' }, { exp => time + 600, %claims };
	return "$text." . MIME::Base64::encode_base64url(
		Digest::SHA::hmac_sha256($text, TideTest::Gateway::secret()));
}

sub codes
{
	my ($reply) = @_;
	is $reply->{status}, 200, 'push' or diag $reply->{content};
	return [ map { $_->{errors}[0]{code} } @{ $reply->{json}{failed} } ];
}

subtest 'the gateway\'s login role can do nothing but become another' => sub {
	for my $table ('task', 'post', 'ledger', 'readable', 'office', 'tide.log',
		'tide.tombstone', 'tide.sample')
	{
		like error_as('tide_gateway', "SELECT * FROM $table"),
		  qr/permission denied/, "cannot read $table";
		like error_as('tide_gateway', "DELETE FROM $table"),
		  qr/permission denied/, "nor write $table";
	}
	like error_as('tide_gateway', 'SELECT tide.unrestricted()'),
	  qr/permission denied/, 'no scope without claims';
	isnt error_as('tide_gateway', 'SELECT tide.pull()'), '', 'no pull as itself';
	like error_as('tide_gateway', 'SET ROLE postgres'), qr/permission denied/,
	  'nor another role than those of the tokens';
	like error_as('tide_gateway', 'SET ROLE tide_stranger'), qr/permission denied/,
	  'or a role it was not given';
	like error_as('tide_gateway', q{SELECT tide.track('office', shared => true)}),
	  qr/must be owner|permission denied/, 'nor track';
	is error_as('tide_gateway', 'SET ROLE tide_user; SELECT * FROM task'), '',
	  'but become tide_user';
};

subtest 'tide_user has grants on the user\'s tables only' => sub {
	for my $table ('tide.log', 'tide.tombstone', 'tide.sample')
	{
		like error_as('tide_gateway', "SET ROLE tide_user; SELECT * FROM $table"),
		  qr/permission denied/, "$table is not for it";
		like error_as('tide_gateway', "SET ROLE tide_user; INSERT INTO $table DEFAULT VALUES"),
		  qr/permission denied/, 'nor to write';
	}
	like error_as('tide_gateway', 'SET ROLE tide_user; SELECT tide.unrestricted()'),
	  qr/permission denied/, 'tide.unrestricted() neither';
	isnt error_as('tide_gateway', 'SET ROLE tide_user; SELECT tide.pull()'), '',
	  'nor everything without claims';
	isnt error_as('tide_gateway',
		q{SET ROLE tide_user; SET request.jwt.claims = ''; SELECT tide.pull()}), '',
	  'or with empty ones';
	like error_as('tide_gateway',
		q{SET ROLE tide_user; SELECT tide.protocol();
			SET pg_tide.max_clock_skew = '1000 days'}),
	  qr/permission denied/, 'its clock skew is not its own to set';
	# a setting that is made before the library is loaded is a mere placeholder
	is error_as('tide_gateway', q{SET ROLE tide_user;
		SET pg_tide.max_clock_skew = '1000 days';
		SELECT tide.protocol();
		DO $$ BEGIN ASSERT current_setting('pg_tide.max_clock_skew') = '1min'; END $$}),
	  '', 'nor before the library is there';

	my $reply = $gateway->push_changes($token{u1}, { changes => {
		ledger => [ { id => 1, amount => 0 }, { id => 2, amount => 5 } ],
		readable => [ { id => 1, amount => 0 } ],
		office => [ { id => 1, salary => 9999 } ],
		task => [ { id => 10, title => 'good' } ] } });
	is_deeply [ sort @{ codes($reply) } ],
	  [ '42501', '42501', '42501', 'unknown_entity_type' ], 'what it may not write';
	unlike $reply->{content}, qr/"ledger"[^}]*\b100\b|1000\b/, 'and what is there is not told';
	is_deeply [ map { $_->{entity} && $_->{entity}{amount} }
		  grep { $_->{entityType} =~ /ledger|readable/ } @{ $reply->{json}{failed} } ],
	  [ undef, undef, 100 ], 'but of what it may read';
	is $reply->{json}{summary}{succeeded}, 1, 'what it may is stored';
	is sql(q{SELECT (SELECT amount FROM ledger) || ' ' || (SELECT amount FROM readable)
		|| ' ' || (SELECT salary FROM office)}), '100 100 1000', 'nothing else';

	my %copy;
	apply_page(\%copy, $_) for $gateway->pull_pages($token{u1});
	is_deeply [ sort keys %copy ], [qw(post readable task)],
	  'a pull leaves out what it may not read';
	is $copy{readable}{1}{amount}, 100, 'and reads what it may';
	my $schema = $gateway->get('/api/v1/sync/schema', token => $token{u1});
	unlike $schema->{content}, qr/ledger|office/, 'nor does the schema name it';
	like $schema->{content}, qr/readable/, 'only the rest';
};

subtest 'the role of the token' => sub {
	my %copy;
	my $auditor = token_with(sub => 'u1', role => 'tide_auditor');
	apply_page(\%copy, $_) for $gateway->pull_pages($auditor);
	is_deeply [ sort keys %copy ], [qw(ledger readable)], 'has grants of its own';
	is $gateway->pull(token_with(sub => 'u1', role => 'tide_stranger'))->{status}, 403,
	  'a role that the gateway is no member of';
	is $gateway->pull(token_with(sub => 'u1', role => 'none'))->{status}, 403, 'none';
	is_deeply [ map { sort keys %{ $_->{changesByType} } }
		$gateway->pull_pages($token{u1}) ], [qw(post readable task)],
	  'the next request has its own role again';
};

subtest 'row level security, where scopes agree with it' => sub {
	my $other = $gateway->token('u2');
	my (%first, %second);
	apply_page(\%first, $_) for $gateway->pull_pages($token{u1});
	apply_page(\%second, $_) for $gateway->pull_pages($other);
	is_deeply [ sort { $a <=> $b } keys %{ $first{task} } ], [ 1, 10 ], 'own tasks';
	is_deeply [ keys %{ $second{task} } ], [2], 'each their own';
	my $reply = $gateway->push_changes($token{u1}, { changes => { task => [
		{ id => 1, title => 'edited' }, { id => 2, title => 'stolen' },
		{ id => 3, user_id => 'u2', title => 'for another' },
		{ id => 4, title => 'new' } ] } });
	is scalar @{ codes($reply) }, 2, 'nothing of another';
	is sql(q{SELECT string_agg(id || ' ' || user_id || ' ' || title, ', ' ORDER BY id)
		FROM task}), '1 u1 edited, 2 u2 of u2, 4 u1 new, 10 u1 good', 'the rest is stored';
};

subtest 'row level security alone' => sub {
	my $other = $gateway->token('u2');
	my $cursor = ($gateway->pull_pages($other))[-1]{cursor};
	my (%first, %second);
	apply_page(\%first, $_) for $gateway->pull_pages($token{u1});
	apply_page(\%second, $_) for $gateway->pull_pages($other);
	is_deeply [ sort keys %{ $first{post} } ], [ 1, 2 ], 'public and own';
	is_deeply [ sort keys %{ $second{post} } ], [ 1, 3 ], 'public and own';

	my $reply = $gateway->push_changes($other, { changes => { post => [
		{ id => 1, body => 'vandalised' },
		{ id => 2, body => 'guessed' },
		{ id => 4, author => 'u1', body => 'forged' },
		{ id => 3, author => 'u1' },
		{ id => 3, body => 'own, edited', lastModifiedAt => iso(time + 5) },
		{ id => 5, author => 'u2', body => 'own, new' } ] } });
	is scalar @{ codes($reply) }, 4, 'policies hold for a push'
	  or diag $reply->{content};
	unlike $reply->{content}, qr/draft of u1/, 'what they hide is not told';
	is sql(q{SELECT string_agg(id || ' ' || author || ' ' || body, ', ' ORDER BY id)
		FROM post}), '1 u1 hello, 2 u1 draft of u1, 3 u2 own, edited, 5 u2 own, new',
	  'what they allow is stored';

	sql(q{UPDATE post SET body = 'still a draft' WHERE id = 2;
		UPDATE post SET body = 'hello again' WHERE id = 1});
	my $page = $gateway->pull($other, since => $cursor);
	unlike $page->{content}, qr/draft/, 'a change that is hidden stays hidden';
	my %ids = map { ($_->{id} => $_->{body}) } @{ $page->{json}{changesByType}{post} };
	is_deeply \%ids, { 1 => 'hello again', 3 => 'own, edited', 5 => 'own, new' },
	  'what is not arrives';

	# the policy reads a claim of its own
	my $delete = { changes => [ { entityType => 'post', action => 'delete', entityId => 5 } ] };
	is scalar @{ codes($gateway->push_changes($other, $delete)) }, 1,
	  'a delete that no policy allows';
	is sql('SELECT count(*) FROM post WHERE id = 5'), 1, 'has no effect';
	my $mighty = token_with(sub => 'u2', app_metadata => { may_delete => JSON::PP::true });
	is_deeply codes($gateway->push_changes($mighty, $delete)), [],
	  'with the claim that the policy asks for';
	is sql('SELECT count(*) FROM post WHERE id = 5'), 0, 'it has';
};

subtest 'two users on one connection' => sub {
	is sql(q{SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tide-gateway'
		AND datname = current_database()}), 1, 'there is one';
	my $wrong = 0;
	my %cursor = map { ($_ => $gateway->pull($token{$_})->{json}{cursor}) } keys %token;
	for my $round (1 .. 150)
	{
		for my $user ('u1', 'u2')
		{
			my $id = 1000 + 2 * $round + ($user eq 'u2');
			my $push = $gateway->push_changes($token{$user},
				{ changes => { task => [ { id => $id, title => "$round $user" } ] },
				  $round % 2 ? (clientId => "phone of $user") : () });
			my $entity = $push->{json}{succeeded}[0]{entity} // {};
			$wrong++ unless ($entity->{user_id} // '') eq $user
			  && $entity->{clientId} eq ($round % 2 ? "phone of $user" : $user);

			# every few rounds a request that fails before the other's next
			$gateway->pull($token{$user}, entityTypes => 'nope', clientId => 'x')
			  if $round % 5 == 0;
			$gateway->pull($token{$user}, times => 'ms') if $round % 7 == 0;
			$gateway->pull(token_with(sub => $user, role => 'tide_auditor'))
			  if $round % 11 == 0;

			my $pull = $gateway->pull($token{$user}, since => $cursor{$user});
			my @rows = @{ $pull->{json}{changesByType}{task} // [] };
			$wrong++ unless @rows == 1 && $rows[0]{id} == $id
			  && $rows[0]{user_id} eq $user
			  && $rows[0]{lastModifiedAt} =~ /Z$/;
			$cursor{$user} = $pull->{json}{cursor};
			diag "round $round of $user: $push->{content} $pull->{content}"
			  if $wrong == 1;
		}
	}
	is $wrong, 0, 'no request of one saw anything of the other';
	is sql(q{SELECT count(*) || ' ' || count(DISTINCT pid) FROM pg_stat_activity
		WHERE usename = 'tide_gateway' AND application_name = 'tide-gateway'
		AND datname = current_database()
		AND state = 'idle'}), '1 1', 'still the one, and idle';
};

is $gateway->stop, 0, 'stops with status 0';
sql('REVOKE tide_auditor FROM tide_gateway');
done_testing;
