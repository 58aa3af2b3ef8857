# Logging in: /auth/login, /auth/refresh and /auth/logout with pg_tide_auth, on
# a server of its own whose log is looked at.
#
# Seen failing: with the entries of test/mutation/login.mutations that name it.
use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";
use IO::Select ();
use IO::Socket::INET ();
use MIME::Base64 ();
use POSIX ();
use Test::More;
use Time::HiRes ();
use TideTest qw(wait_for raw_http encode_json decode_json);

my $cluster = TideTest::Cluster->start(settings => {
	log_statement => "'all'", log_min_duration_statement => 0 });
my $database = $cluster->create_synced(<<'SQL');
CREATE EXTENSION pg_tide_auth CASCADE;
CREATE ROLE tide_auth NOLOGIN;
GRANT tide_auth TO tide_gateway;
SELECT tide_auth.allow('tide_auth');
-- parameters of its statements stay out of the log
ALTER ROLE tide_gateway SET log_parameter_max_length = 0;
SET pg_tide_auth.bcrypt_cost = 4;
SELECT tide_auth.create_account('maja', 'maja''s secret', 'u1', 'athlete',
	claims => '{"club": 12345678901234567890}');
SELECT tide_auth.create_account('coach@example.org', 'coach''s secret', 'c1', 'coach');

CREATE TABLE workout (id integer PRIMARY KEY, user_id text NOT NULL, title text);
CREATE INDEX ON workout (user_id, id);
SELECT tide.track('workout', scope => 'user_id');
GRANT SELECT, INSERT, UPDATE, DELETE ON workout TO tide_user;
INSERT INTO workout VALUES (1, 'u1', 'of Maja'), (2, 'c1', 'of the coach');

-- a login function of one's own
CREATE SCHEMA app;
CREATE FUNCTION app.login(username text, password text) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF username = 'slow' THEN
		PERFORM pg_sleep(password::float8);
	ELSIF username = 'raise' THEN
		RAISE EXCEPTION 'the password % is wrong', password;
	ELSIF username = 'refuse' THEN
		RAISE EXCEPTION 'the password % is wrong', password USING ERRCODE = 'invalid_password';
	ELSIF username = 'odd' THEN
		RETURN password::jsonb;
	END IF;
	RETURN CASE WHEN password = 'good' THEN jsonb_build_object('sub', username,
		'who', current_setting('role'), 'exp', 1) END;
END $$;
REVOKE EXECUTE ON FUNCTION app.login FROM PUBLIC;
GRANT USAGE ON SCHEMA app TO tide_auth;
GRANT EXECUTE ON FUNCTION app.login TO tide_auth;
CREATE FUNCTION app.forbidden(text, text) RETURNS jsonb LANGUAGE sql AS 'SELECT NULL::jsonb';
REVOKE EXECUTE ON FUNCTION app.forbidden FROM PUBLIC;
SQL
# the set-up itself has passwords in its text
my $log_begin = -s "$cluster->{directory}/log";
my @gateways;

sub gateway
{
	my (%settings) = @_;
	my $gateway = TideTest::Gateway->start(cluster => $cluster,
		database => $database,
		settings => { 'login-function' => 'tide_auth.login', %settings })
	  ->wait_until_ready;
	push @gateways, $gateway;
	return $gateway;
}

sub sql { return $cluster->sql($database, $_[0]); }

my $auth = '/api/v1/auth';

sub login
{
	my ($gateway, $username, $password, %headers) = @_;
	return $gateway->post("$auth/login", headers => \%headers,
		json => { username => $username, password => $password });
}

sub refresh
{
	my ($gateway, $token) = @_;
	return $gateway->post("$auth/refresh", json => { refreshToken => $token });
}

sub code { my ($reply) = @_; return $reply->{json}{error}{code}; }

sub claims
{
	my ($token) = @_;
	return decode_json(MIME::Base64::decode_base64url((split /\./, $token)[1]));
}

my $gateway = gateway();

subtest 'log in, sync, refresh, log out' => sub {
	my $reply = login($gateway, 'Maja', q{maja's secret});
	is $reply->{status}, 200, 'the right password' or diag $reply->{content};
	my $session = $reply->{json};
	is_deeply [ sort keys %$session ],
	  [qw(expiresAt refreshToken token userId userType)], 'what a client gets';
	is $session->{userId}, 'u1', 'userId is the sub';
	is $session->{userType}, 'athlete', 'userType';
	like $session->{expiresAt}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/, 'a time';
	like $session->{refreshToken}, qr/^[\w-]{64}$/, '48 random bytes';
	is $reply->{headers}{'cache-control'}, 'no-store', 'not to be stored';
	my $claims = claims($session->{token});
	is $claims->{exp} - $claims->{iat}, 900, 'good for 15 minutes';
	is "$claims->{club}", '12345678901234567890', 'claims keep all their digits';

	my $pull = $gateway->pull($session->{token});
	is_deeply [ map { $_->{title} } @{ $pull->{json}{changesByType}{workout} } ],
	  ['of Maja'], 'the token opens the user\'s own rows';

	my $next = refresh($gateway, $session->{refreshToken})->{json};
	is $next->{userId}, 'u1', 'refreshed';
	is $next->{userType}, 'athlete';
	isnt $next->{refreshToken}, $session->{refreshToken}, 'with another token';
	is $gateway->pull($next->{token})->{status}, 200, 'a good one';

	is $gateway->post("$auth/logout", json => { refreshToken => $next->{refreshToken} })
	  ->{status}, 200, 'log out';
	my $ended = refresh($gateway, $next->{refreshToken});
	is $ended->{status}, 400, 'after that, no more';
	is code($ended), 'invalid_grant';
	is $gateway->post("$auth/logout", json => { refreshToken => $next->{refreshToken} })
	  ->{status}, 200, 'twice is no error';
};

subtest 'issuer and audience' => sub {
	my $named = gateway('jwt-issuer' => 'https://sync."example"', 'jwt-audience' => 'app,web');
	my $token = login($named, 'maja', q{maja's secret})->{json}{token};
	is claims($token)->{iss}, 'https://sync."example"', 'iss is what is asked for';
	is claims($token)->{aud}, 'app', 'aud is the first of those';
	is $named->pull($token)->{status}, 200, 'it opens the gateway that made it';
	is $named->pull(login($gateway, 'maja', q{maja's secret})->{json}{token})->{status},
	  401, 'another\'s does not';
};

subtest 'a reused token ends its family' => sub {
	my $first = login($gateway, 'maja', q{maja's secret})->{json}{refreshToken};
	my $other = login($gateway, 'maja', q{maja's secret})->{json}{refreshToken};
	my $second = refresh($gateway, $first)->{json}{refreshToken};
	my $again = refresh($gateway, $first);
	is $again->{status}, 200, 'a refresh whose reply was lost can be repeated';
	my $third = refresh($gateway, $again->{json}{refreshToken})->{json}{refreshToken};
	ok $third, 'and goes on';
	is code(refresh($gateway, $second)), 'invalid_grant', 'the lost one is old now';
	is code(refresh($gateway, $third)), 'invalid_grant', 'that was the end of all';
	$gateway->log_says(qr/event=refresh-token-reused user=u1 address=127\.0\.0\.1/,
	  'which the log tells');
	is refresh($gateway, $other)->{status}, 200, 'other devices are not touched';

	my $strict = gateway('refresh-grace' => 0);
	$first = login($strict, 'maja', q{maja's secret})->{json}{refreshToken};
	$second = refresh($strict, $first)->{json}{refreshToken};
	is code(refresh($strict, $first)), 'invalid_grant', 'without grace, at once';
	is code(refresh($strict, $second)), 'invalid_grant';
};

subtest 'what is refused' => sub {
	my $unknown = login($gateway, 'nobody', q{maja's secret});
	my $wrong = login($gateway, 'maja', 'not it');
	is $wrong->{status}, 401, 'a wrong password';
	is code($wrong), 'invalid_credentials';
	is $unknown->{content}, $wrong->{content}, 'an unknown user gets the same';
	is code(login($gateway, q{' OR true --}, q{' OR true --})), 'invalid_credentials';

	for my $token ('', 'x', 'A' x 64, 'A' x 63 . '=', 'A' x 6000)
	{
		my $reply = refresh($gateway, $token);
		is "$reply->{status} " . code($reply), '400 invalid_grant', 'no refresh token';
	}
	for my $body ('', '[]', '{', '"x"', '{"username": "maja"}',
		'{"username": "maja", "password": 7}', '{"username": null, "password": "x"}',
		'{"username": "a", "username": "b", "password": "x"}',
		'{"username": "maja", "password": "\u0000"}')
	{
		my $reply = $gateway->post("$auth/login", content => $body);
		is "$reply->{status} " . code($reply), '400 malformed_request', "body $body";
	}
	is code($gateway->post("$auth/refresh", json => { token => 'x' })), 'malformed_request';
	is $gateway->post("$auth/login", content => '{"a":"' . 'x' x 9000 . '"}')->{status},
	  413, 'a long body';
	is $gateway->get("$auth/login")->{status}, 405, 'GET';
	is $gateway->post("$auth/login", content => '{}',
		headers => { 'Content-Type' => 'text/plain' })->{status}, 415, 'no JSON';
	my $preflight = $gateway->request('OPTIONS', "$auth/login");
	is $preflight->{status}, 204, 'OPTIONS';

	# the role that checks passwords is nobody's
	is $gateway->pull($gateway->token('u1', role => 'tide_auth'))->{status}, 403,
	  'a token with auth-role';
	sql(q{SELECT tide_auth.disable_account('coach@example.org')});
	is login($gateway, 'coach@example.org', q{coach's secret})->{status}, 401, 'disabled';
};

subtest 'attempts are limited' => sub {
	my $limited = gateway('login-attempts' => 3, 'login-attempts-address' => 6,
		'trusted-proxies' => '127.0.0.0/8, 10.1.0.0/16');
	my $from = sub {
		my ($address, $username, $password) = @_;
		return login($limited, $username, $password // 'wrong',
			'X-Forwarded-For' => $address);
	};
	is join(' ', map { $from->('192.0.2.1', 'maja')->{status} } 1 .. 5),
	  '401 401 401 429 429', 'three tries';
	my $refused = $from->('192.0.2.1', 'maja', q{maja's secret});
	is $refused->{status}, 429, 'not even with the right password';
	is code($refused), 'too_many_attempts';
	cmp_ok $refused->{headers}{'retry-after'}, '>', 800, 'Retry-After says how long';
	is $from->('192.0.2.2', 'maja', q{maja's secret})->{status}, 200,
	  'but from another address';
	# the header is read from its end; what the client wrote itself does not count
	is $from->('192.0.2.2, 192.0.2.1', 'maja', q{maja's secret})->{status}, 429,
	  'the nearest untrusted address counts';
	is $from->('192.0.2.1, 10.1.2.3', 'maja', q{maja's secret})->{status}, 429,
	  'trusted proxies are passed over';
	is $from->('192.0.2.1, nonsense', 'maja', q{maja's secret})->{status}, 200,
	  'what is no address ends the search';
	is join(' ', map { $from->("2001:db8:1:1::$_", 'maja')->{status} } 1 .. 4),
	  '401 401 401 429', 'an IPv6 network of 64 bits is one address';
	is join(' ', map { $from->('192.0.2.9', "name $_")->{status} } 1 .. 7),
	  '401 401 401 401 401 401 429', 'names tried from one address';

	# from one that is not trusted the header means nothing
	is join(' ', map {
		login($gateway, 'eve', 'x', 'X-Forwarded-For' => "192.0.3.$_")->{status} } 1 .. 12),
	  '401 401 401 401 401 401 401 401 401 401 429 429', 'an invented header';
	is login($gateway, 'maja', q{maja's secret})->{status}, 200, 'others log in';
};

subtest 'a login function of one\'s own' => sub {
	my $own = gateway('login-function' => 'app.login', 'access-token-ttl' => 60);
	my $reply = login($own, 'guest', 'good');
	is $reply->{status}, 200 or diag $reply->{content};
	is $reply->{json}{userType}, undef, 'userType is null where there is none';
	my $claims = claims($reply->{json}{token});
	is $claims->{who}, 'tide_auth', 'it runs as auth-role';
	is $claims->{exp} - $claims->{iat}, 60, 'how long the token is good is not its to say';
	is claims(refresh($own, $reply->{json}{refreshToken})->{json}{token})->{who},
	  'tide_auth', 'its claims are those of the refreshed token';
	is login($own, 'guest', 'bad')->{status}, 401;
	my $raised = login($own, 'raise', 'hush hush');
	is $raised->{status}, 500, 'one that raises';
	unlike $raised->{content}, qr/hush/, 'says nothing';
	is login($own, 'refuse', 'hush hush')->{status}, 500, 'with the code of a wrong password, too';
	$own->log_says(qr/event=database-error sqlstate=28P01 statement=tide_auth$/m, 'the log has the code alone');
	is login($own, 'odd', $_)->{status}, 500, "claims $_"
	  for '{}', '[]', '{"sub": ""}', '{"sub": "x", "role": 7}', '"x"';
	# no token that the gateway itself would refuse
	is login($own, 'odd', '{"sub": "x", "deep": ' . '[' x 40 . ']' x 40 . '}')->{status}, 500, 'claims too deep';
	sql(q{SELECT tide_auth.create_account('long', 'a long password', user_id => 'u9', claims => jsonb_build_object('x', repeat('x', 13000)))});
	is login($gateway, 'long', 'a long password')->{status}, 500, 'claims too long';
	$gateway->log_says(qr/event=login-failed message="the token is too long"$/m, 'the log says why');
	sql(q{SELECT tide_auth.drop_account('long')});
	for my $function ('app.forbidden', 'app.nope', 'nope.login', 'app."; SELECT 1; --')
	{
		my $failed = login(gateway('login-function' => $function), 'maja', q{maja's secret});
		is "$failed->{status} " . code($failed), '503 not_ready', "function $function"
		  or diag $failed->{content};
	}
	is login(gateway('auth-role' => 'postgres'), 'maja', q{maja's secret})->{status}, 503,
	  'a role that the gateway may not become';
};

subtest 'passwords leave connections free' => sub {
	my $busy = gateway('login-function' => 'app.login', 'db-connections' => 2,
		'max-logins' => 10);
	my $token = $busy->token('u1');
	my $body = encode_json({ username => 'slow', password => '1.5' });
	my @sockets = map {
		my $socket = IO::Socket::INET->new(PeerHost => '127.0.0.1',
			PeerPort => $busy->{port}) or die $!;
		print {$socket} "POST $auth/login HTTP/1.1\r\nHost: x\r\n"
		  . "Content-Type: application/json\r\nContent-Length: " . length($body)
		  . "\r\n\r\n$body";
		$socket->flush;
		$socket } 1 .. 4;
	wait_for('a password is being checked', 10, sub {
		return sql(q{SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'}) > 0;
	});
	my $start = Time::HiRes::time();
	is $busy->pull($token)->{status}, 200, 'a pull' for 1 .. 20;
	cmp_ok Time::HiRes::time() - $start, '<', 1.4, 'is not held up by logins';
	is sql(q{SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'}), 1,
	  'one connection is left';
	close $_ for @sockets;
};

# Also seen failing with the first steps of logins in the lane of writes: two
# addresses held both connections, and nobody was served.
subtest 'logins take no places of others' => sub {
	my $flooded = gateway('queue-length' => 8, 'trusted-proxies' => '127.0.0.1', 'db-connections' => 2, 'lock-timeout' => 0,
		'metrics-listen' => '127.0.0.1:0');
	wait_for('both connections are up', 10, sub { return $flooded->metric('database_connections') == 2; });
	my $from = sub {
		my ($address, $password) = @_;
		my $body = encode_json({ username => 'maja', password => $password });
		my $socket = IO::Socket::INET->new(PeerHost => '127.0.0.1',
			PeerPort => $flooded->{port}) or die $!;
		print {$socket} join "\r\n", "POST $auth/login HTTP/1.1", 'Host: x', "X-Forwarded-For: $address",
		  'Content-Type: application/json', 'Content-Length: ' . length $body, '', $body;
		$socket->flush;
		return $socket;
	};
	open my $holder, '|-', 'psql', '-X', '-q', '-d', $cluster->conninfo($database) or die $!;
	$holder->autoflush(1);
	print {$holder} "BEGIN; LOCK TABLE tide_auth.attempt;\n";
	wait_for('the attempts are locked', 30, sub {
		return sql(q{SELECT count(*) FROM pg_locks WHERE granted
			AND relation = 'tide_auth.attempt'::regclass AND mode = 'AccessExclusiveLock'});
	});
	my @flood = map { $from->('192.0.2.50', 'wrong') } 1 .. 20;
	my $other = $from->('192.0.2.51', q{maja's secret});
	wait_for('one address has half of the places', 20, sub {
		return 16 <= (() = IO::Select->new(@flood)->can_read(0)); });
	is substr(readline($_) // '', 9, 3), 503, 'too many' for IO::Select->new(@flood)->can_read(0);
	my $token = $flooded->token('u1');
	is $flooded->pull($token)->{status}, 200, 'who has a token is served';
	is $flooded->push_changes($token, { changes => {} })->{status}, 200, 'a push, too';
	ok !IO::Select->new($other)->can_read(0), 'while logins wait for the lock';
	print {$holder} "COMMIT;\n\\q\n";
	close $holder;
	like readline($other) // '', qr{^HTTP/1\.1 200 }, 'and there is a place for a login from elsewhere';
	close $_ for @flood, $other;
	sql(q{SELECT tide_auth.forget_attempts('maja')});
};

subtest 'not configured' => sub {
	my $without = TideTest::Gateway->start(cluster => $cluster, database => $database)
	  ->wait_until_ready;
	push @gateways, $without;
	for my $path ('login', 'refresh', 'logout')
	{
		my $reply = $without->post("$auth/$path", json => {});
		is "$reply->{status} " . code($reply), '404 login_not_configured', $path;
	}
	my $empty = $cluster->create_synced('SELECT');
	my $other = TideTest::Gateway->start(cluster => $cluster, database => $empty,
		settings => { 'login-function' => 'tide_auth.login' })->wait_until_ready;
	push @gateways, $other;
	my $reply = login($other, 'maja', 'x');
	is "$reply->{status} " . code($reply), '503 not_ready', 'without pg_tide_auth';
};

# Seen failing without the case in failure_hide(): 500.
subtest 'characters that the database lacks' => sub {
	my $latin = $cluster->create_synced('');
	$cluster->sql('postgres', "DROP DATABASE $latin");
	$cluster->sql('postgres', "CREATE DATABASE $latin TEMPLATE template0 ENCODING LATIN1 LC_COLLATE 'C' LC_CTYPE 'C'");
	$cluster->sql($latin, <<'SQL');
CREATE EXTENSION pg_tide_auth CASCADE;
SELECT tide_auth.allow('tide_auth');
SET pg_tide_auth.bcrypt_cost = 4;
SELECT tide_auth.create_account('maja', 'maja''s secret', 'u1');
SQL
	my $other = TideTest::Gateway->start(cluster => $cluster, database => $latin,
		settings => { 'login-function' => 'tide_auth.login' })->wait_until_ready;
	push @gateways, $other;
	my $wrong = login($other, 'maja', 'wrong')->{content};
	is code(login($other, 'maja', 'wrong')), 'invalid_credentials', 'a wrong password';
	is login($other, "maja\x{1F600}", q{maja's secret})->{content}, $wrong, 'a name with one is a wrong name';
	is login($other, 'maja', "maja's secret\x{1F600}")->{content}, $wrong, 'and likewise a password';
	is login($other, 'maja', q{maja's secret})->{status}, 200, 'the right one logs in';
};

# The server logs all statements; only the role's setting keeps parameters out.
subtest 'a session that would log passwords' => sub {
	my $gateway = gateway('db-connections' => 1);
	my $login = sub {
		return $gateway->post('/api/v1/auth/login',
			json => { username => 'maja', password => 'maja\'s secret' });
	};
	is $login->()->{status}, 200, 'as long as nothing is logged';
	my $begin = -s "$cluster->{directory}/log";
	$cluster->sql($database, 'ALTER ROLE tide_gateway RESET log_parameter_max_length');
	$gateway->signal('HUP');
	my $reply = wait_for('a session with the new setting refuses', 10, sub {
		my $try = $login->();
		return $try->{status} == 503 && $try;
	});
	is $reply->{json}{error}{code}, 'not_ready', 'and says no more';
	$gateway->log_says(qr/event=login-refused .*by="log_statement, log_min_duration_statement"/,
	  'the log names what must be set');
	$cluster->sql($database, 'ALTER ROLE tide_gateway SET log_parameter_max_length = 0');
	$gateway->signal('HUP');
	wait_for('and back', 10, sub { return $login->()->{status} == 200; });
	$cluster->sql('postgres', "ALTER SYSTEM SET log_parameter_max_length_on_error = -1; SELECT pg_reload_conf()");
	wait_for('a reload counts in a session that is open', 10, sub { return $login->()->{status} == 503; });
	$cluster->sql('postgres', "ALTER SYSTEM RESET log_parameter_max_length_on_error; SELECT pg_reload_conf()");
	wait_for('and back again', 10, sub { return $login->()->{status} == 200; });
};

is $_->stop, 0, 'stops with status 0' for @gateways;
subtest 'no secret in a log or table' => sub {
	open my $file, '<', "$cluster->{directory}/log" or die $!;
	seek $file, $log_begin, 0;
	my $server = do { local $/; <$file> };
	like $server, qr/tide_auth\.start_session/, 'the server logs statements';
	# not like(), which would print it all
	ok $server !~ /(?:maja|coach)'s secret/, 'and no password';
	ok !(grep { $_->log =~ /(?:maja|coach)'s secret|hush/ } @gateways),
	  'nor does the gateway';
	my $token = login(gateway(), 'maja', q{maja's secret})->{json}{refreshToken};
	ok length $token;
	unlike sql('TABLE tide_auth.session'), qr/\Q$token\E/, 'no refresh token';
	is $gateways[-1]->stop, 0;
};

done_testing;
