# A corpus of hostile text in every place of every request that takes text,
# against the real thing: each reply is JSON, none is an internal error, none
# tells of another user or of the inside, and the data is what it was.  (Names of
# tables and columns: also e2e_errors.t.)  With TIDE_TEST_WHOLE=1 every text is at
# every place, which takes minutes.  Seen to fail: see test/mutation/http.mutations.
use strict;
use warnings;
use utf8;

use FindBin ();
use IO::Socket::INET ();
use lib "$FindBin::Bin/../lib";
use MIME::Base64 qw(decode_base64 encode_base64url);
use Test::More;
use TideTest qw(decode_json encode_json raw_http uuid wait_for);
use TideToken;

binmode Test::More->builder->$_, ':utf8' for qw(output failure_output);

my $cluster = TideTest::Cluster->shared;
my $database = $cluster->create_synced(<<'SQL');
CREATE TABLE note (
	id		text PRIMARY KEY,
	user_id	text NOT NULL,
	body	text,
	n		integer,
	at		timestamptz,
	doc		jsonb,
	tags	text[],
	price	numeric(12,2),
	ref		uuid,
	raw		bytea,
	private	text DEFAULT 'of-the-office');
SELECT tide.track('note', scope => 'user_id', exclude => '{private}');
CREATE TABLE part (a text, b integer, user_id text NOT NULL, x text, PRIMARY KEY (a, b));
SELECT tide.track('part', scope => 'user_id');
GRANT ALL ON note, part TO tide_user;

CREATE EXTENSION pg_tide_auth CASCADE;
DROP ROLE IF EXISTS tide_test_auth;
CREATE ROLE tide_test_auth NOLOGIN;
GRANT tide_test_auth TO tide_gateway;
SELECT tide_auth.allow('tide_test_auth');
SET pg_tide_auth.bcrypt_cost = 4;
SELECT tide_auth.create_account('her-account', 'hers-too', 'u2');
SQL
my $gateway = TideTest::Gateway->start(cluster => $cluster, database => $database,
	settings => { 'cors-origins' => 'https://app.example',
		'login-function' => 'tide_auth.login', 'auth-role' => 'tide_test_auth' })->wait_until_ready;
my $secret = TideToken::secret_key(TideTest::Gateway::secret());
my ($push, $pull, $keys, $schema) = map { "/api/v1/sync/$_" } qw(push pull keys schema);
my ($u1, $u2) = map { $gateway->token($_) } 'u1', 'u2';

my @corpus = ("'", '"', '\\', '`', "''", '"";', "\\'", '\\"', '\\u0000', '\\x00', "x'; DROP TABLE note; --",
	"1' OR '1'='1", "x' UNION SELECT private FROM note --", "'||(SELECT private FROM note)||'", '$$', '$1', '$tag$',
	'${x}', '#{x}', '{{x}}', '%s%n%x', '%00', '%', '%zz', '+', '&scope=u2', '?', '#', '/', '../../etc/passwd', '<script>alert(1)</script>',
	"\n", "\r\nX-Evil: y", "\t", "\x01", "\x1f", "\x7f", "\x80", "\x9f", "\e[2J\e[31m", "\x{a0}", "\x{200b}", "\x{200d}", "\x{202e}gpj",
	"\x{2028}", "\x{feff}", "\x{fffd}", "\x{fffe}", "\x{e000}", "\x{10fffd}", "e\x{301}", "\x{e9}", "\x{1F468}\x{200d}\x{1F469}",
	'İ', 'ß', 'ǆ', "\x{3000}", '１２', 'null', 'NULL', 'true', 'undefined', '[]', '{}', '[', '{"a":1}', '{"a', '"quoted"', '{,}', '{NULL}',
	'0', '-0', '-1', '1e5', '1e999', '-1e999', '0x10', '1_000', 'NaN', 'Infinity', '-infinity', '9' x 30, '0.' . '0' x 40 . '1', 'now()', 'now',
	'epoch', 'infinity', '2026-02-30', '294277-01-01', '10000-01-01T00:00:00Z', '0001-01-01 BC', '2026-01-01T00:00:00+99:99', '1767225600000',
	'__proto__', 'constructor', 'toString', 'tide', 'tide.pull()', 'pg_sleep(9)', 'pg_catalog.note', 'note', 'NOTE', 'tide_user', 'postgres', 'u2',
	'', ' ', '  x  ', ',', ',,', 'a,b', '{a,b}', '(1,2)', 'x' x 64, 'x' x 10_000, '日本語' x 700, '"' x 500, '\\' x 501, "\x{1F600}" x 300);

# Rows of another user, whose every byte must stay hers.
$gateway->push_changes($u2, { clientId => 'her-phone', changes => {
	note => [ map { { id => "hers-$_", body => 'her-thought', n => 70707077, raw => '\xbeef' } } 1 .. 3 ],
	part => [ { a => 'hers-part', b => 1, x => 'her-thought' } ] } })->{json}{summary}{succeeded} == 4
  or die 'could not store her rows';
my $hers = "SELECT md5(string_agg(t::text, ',' ORDER BY t::text)) FROM (SELECT n::text FROM note n WHERE user_id = 'u2'"
  . " UNION ALL SELECT p::text FROM part p WHERE user_id = 'u2') t";
my $her_rows = $cluster->sql($database, $hers);

my $inside = qr/her-thought|hers-|her-phone|of-the-office|70707077|beef|tide_gateway|\.c:\d|palloc|CONTEXT|PL\/pgSQL|
	\bhost=|server\ closed|SPI_|tide\.(?:tracked_table|log|tombstone|conflict\b)/x;

# What is wrong with a reply; nothing if all is well.
sub problem_of
{
	my ($reply) = @_;
	return "status $reply->{status}: $reply->{content}" if $reply->{status} !~ /^(?:200|400|401|403|404|405|409|410|413|415|429)$/;
	return "no JSON: $reply->{content}" unless defined $reply->{json};
	return "inside: $&: $reply->{content}" if $reply->{content} =~ $inside;
	return "no shape: $reply->{content}" if $reply->{status} != 200
	  && join(' ', sort keys %{ $reply->{json}{error} // {} }) ne 'code hint message';
	for my $failed (@{ $reply->{status} == 200 ? $reply->{json}{failed} // [] : [] })
	{
		my $code = $failed->{errors}[0]{code};
		return "failed with $code: $reply->{content}" if $code =~ /^(?:XX|42601|42P|42703|42883|57|58|08)/;
		return 'no message' unless length $failed->{errors}[0]{message};
	}
	return;
}

# A part of the corpus, another one each time: in all places together, each text
# is at many.
my $turn = 0;
sub some_of_it
{
	return @corpus if $ENV{TIDE_TEST_WHOLE};
	my $parts = $_[0] // 8;
	$turn++;
	return @corpus[ grep { $_ % $parts == $turn % $parts } 0 .. $#corpus ];
}

# The corpus at one place; $ask gives the reply.
sub everywhere
{
	my ($place, $ask, %option) = @_;
	my @problems;
	for my $text ($option{all} ? @corpus : some_of_it())
	{
		my $problem = problem_of($ask->($text));
		push @problems, encode_json($text) =~ s/^(.{60}).*/$1/sr . " -> $problem" =~ s/^(.{300}).*/$1/sr if $problem;
	}
	is_deeply \@problems, [], $place;
	return;
}

sub push_of { my ($body) = @_; return $gateway->push_changes($u1, $body); }

subtest 'push' => sub {
	my %row = map { my $column = $_; ($column => sub { return { note => [ { id => 'mine', $column => $_[0] } ] }; }) }
	  qw(body n at doc tags price ref raw user_id lastModifiedAt clientId deletedAt _base _changed private);
	everywhere("value of $_", sub { my $make = shift; sub { push_of({ changes => $make->($_[0]) }) } }->($row{$_}))
	  for sort keys %row;
	everywhere('key', sub { push_of({ changes => { note => [ { id => $_[0], body => $_[0] } ] } }) }, all => 1);
	everywhere('name of a column', sub { push_of({ changes => { note => [ { id => 'mine', $_[0] => 'x' } ] } }) }, all => 1);
	everywhere('name of a type', sub { push_of({ changes => { $_[0] => [ { id => 'mine' } ] } }) }, all => 1);
	everywhere('a type\'s rows', sub { push_of({ changes => { note => $_[0] } }) });
	everywhere('composite key', sub { push_of({ changes => { part => [ { a => $_[0], b => $_[0] } ] } }) });
	everywhere("$_ of the body", sub { my $name = shift; sub { push_of({ $name => $_[0], changes => {} }) } }->($_))
	  for qw(clientId batchId atomic cursor changes unknown);
	my %change = (id => 'q', entityType => 'note', action => 'update', entityId => 'mine', data => { body => 'x' });
	everywhere("$_ of a change", sub { my $name = shift; sub { push_of({ changes => [ { %change, $name => $_[0] } ] }) } }->($_))
	  for qw(id entityType action entityId data lastModifiedAt createdAt clientId base changedFields retryCount);
	everywhere('a change', sub { push_of({ changes => [ $_[0] ] }) });
	everywhere('a deleted key', sub { push_of({ changes => [ { entityType => 'note', action => 'delete', entityId => $_[0] } ] }) });
	everywhere('part of a deleted key', sub { push_of({ changes => [ { entityType => 'part', action => 'delete',
		entityId => { a => $_[0], b => 1 } } ] }) });
	everywhere('name of a part of a key', sub { push_of({ changes => [ { entityType => 'part', action => 'delete',
		entityId => { $_[0] => 'a', b => 1 } } ] }) });
	everywhere('the whole body', sub { my $text = $_[0]; utf8::encode($text);
		$gateway->post($push, token => $u1, content => $text) });

	push_of({ changes => { note => [ map { { id => $_, body => $_ } } @corpus ] } });
	my $back = [ map { @{ $_->{changesByType}{note} // [] } } $gateway->pull_pages($u1, entityTypes => 'note', limit => 500) ];
	my %mine = map { $_->{id} => $_->{body} } @$back;
	is_deeply [ grep { !defined $mine{$_} || $mine{$_} ne $_ } @corpus ], [], 'each text comes back as it was, as key and value';
};

subtest 'pull, keys and schema' => sub {
	for my $name (qw(since limit scope userId athleteId entityTypes clientId wait times unknown))
	{
		next if $name eq 'wait';
		everywhere("$name in the query of a pull", sub { $gateway->pull($u1, $name => $_[0]) });
		everywhere("$name in the body of a pull", sub { $gateway->post($pull, token => $u1, json => { $name => $_[0] }) });
		everywhere("$name in the query of keys", sub {
			$gateway->get("$keys?" . $gateway->{http}->www_form_urlencode({ $name => $_[0] }), token => $u1) });
	}
	everywhere('wait', sub { $gateway->pull($u1, wait => $_[0]) if $_[0] !~ /^[\d.]+$/; return $gateway->pull($u1, wait => "x$_[0]") });
	everywhere('name in the query', sub { $gateway->pull($u1, $_[0] => 'x') });
	everywhere('name in the body', sub { $gateway->post($pull, token => $u1, json => { $_[0] => 'x' }) });
	everywhere('several', sub { $gateway->post($pull, token => $u1,
		json => { entityTypes => [ $_[0], 'note', $_[0] ], scope => [ $_[0], 'u1' ] }) });
	everywhere('query of schema', sub {
		$gateway->get("$schema?" . $gateway->{http}->www_form_urlencode({ x => $_[0] }), token => $u1) });
	for my $scope (grep { $_ ne 'u1' } @corpus)
	{
		my $reply = $gateway->post($pull, token => $u1, json => { scope => [$scope] });
		next if $reply->{status} == 403;
		fail 'scope ' . encode_json($scope) . " got $reply->{status}: $reply->{content}";
	}
	pass 'no scope but the own one';
};

# A cursor is not signed: whatever it says, it opens nothing.
subtest 'cursors' => sub {
	my ($whole, $page) = map { $_->{json}{cursor} } $gateway->pull($u2), $gateway->pull($u2, limit => 1);
	my @mine = map { $_->{json}{cursor} } $gateway->pull($u1, limit => 1), $gateway->pull($u1, limit => 500);
	my @problems;
	for my $cursor ($whole, $page)
	{
		my $reply = $gateway->pull($u1, since => $cursor, limit => 500);
		push @problems, problem_of($reply) // ();
		for my $one ($reply->{json}{cursor} // ())
		{
			push @problems, problem_of($gateway->pull($u1, since => $one, limit => 500)) // ();
		}
	}
	is_deeply \@problems, [], 'those of another user show nothing of hers';

	srand($ENV{TIDE_TEST_SEED} // (my $seed = int rand 1e9));
	diag "TIDE_TEST_SEED=$seed" if $seed && $ENV{HARNESS_VERBOSE};
	my %status;
	for my $round (1 .. ($ENV{TIDE_TEST_WHOLE} ? 4000 : 300))
	{
		my $bytes = decode_base64(($mine[ rand @mine ] . '===') =~ tr{-_}{+/}r);
		my $way = int rand 4;
		substr($bytes, rand length $bytes, 1) = chr int rand 256 for 0 .. rand 3;
		$bytes = substr $bytes, 0, rand length $bytes if $way == 0;
		substr($bytes, rand length $bytes, 0) = join '', map { chr int rand 256 } 0 .. rand 9 if $way == 1;
		$bytes =~ s/u1/u2/g if $way == 2;
		my $reply = $gateway->pull($u1, since => encode_base64url($bytes), limit => 500);
		$status{ $reply->{status} }++;
		push @problems, unpack('H*', $bytes) . ' ' . problem_of($reply) if problem_of($reply);
	}
	is_deeply \@problems, [], 'changed ones neither';
	ok $status{400}, 'some were refused' or diag explain \%status;
};

subtest 'tokens' => sub {
	my @problems;
	for my $text (some_of_it(2))
	{
		# any user is only himself
		my $token = TideToken::sign($secret, { alg => 'HS256' }, { sub => $text, exp => time + 600, name => $text, $text => $text });
		my $reply = $gateway->pull($token);
		my $problem = problem_of($reply)
		  // ($text ne '' && $text ne 'sub' && $text ne 'u2' && $reply->{status} !~ /^(?:200|401)$/ ? "status $reply->{status}" : undef);
		push @problems, encode_json($text) . " $problem" if $problem && $text ne 'u2' && length $text < 1000;
		next if $text eq 'tide_user';
		$reply = $gateway->pull(TideToken::sign($secret, { alg => 'HS256' }, { sub => 'u1', role => $text, exp => time + 600 }));
		push @problems, encode_json($text) . " as role: $reply->{status}" if $reply->{status} !~ /^40[13]$/ || problem_of($reply);
	}
	is_deeply \@problems, [], 'users and roles';
	everywhere('as the token', sub {
		my $text = $_[0] =~ s/[\r\n]//gr;
		utf8::encode($text);
		my ($status, $body) = raw_http($gateway->{port}, "GET $pull HTTP/1.1\r\nHost: x\r\n"
			  . "Authorization: Bearer $text\r\nConnection: close\r\n\r\n") =~ /\AHTTP\/1\.1 (\d+).*?\r\n\r\n(.*)/s;
		return { status => $status, content => $body, json => eval { decode_json($body) } };
	}, all => 1);
	everywhere('alg and kid', sub { $gateway->pull(TideToken::sign($secret, { alg => $_[0], kid => $_[0] }, { sub => 'u1', exp => time + 600 })) });
};

subtest 'logging in' => sub {
	my $auth = '/api/v1/auth';
	everywhere('username', sub { $gateway->post("$auth/login", json => { username => $_[0], password => 'x' }) });
	everywhere('password', sub { $gateway->post("$auth/login", json => { username => "someone$_[0]", password => $_[0] }) });
	everywhere('a field of a login', sub { $gateway->post("$auth/login", json => { username => 'x', password => 'y', $_[0] => $_[0] }) });
	everywhere("refresh token, $_", sub { my $end = shift; sub { $gateway->post("$auth/$end", json => { refreshToken => $_[0] }) } }->($_))
	  for qw(refresh logout);
	everywhere('the whole body of a login', sub { my $text = $_[0]; utf8::encode($text); $gateway->post("$auth/login", content => $text) });
	is $cluster->sql($database, q(SELECT count(*) FROM tide_auth.account)), '1', 'no account was made';
};

subtest 'headers and paths' => sub {
	my @problems;
	for my $text (some_of_it(5))
	{
		my $bytes = $text;
		utf8::encode($bytes);
		for my $name ('Accept', 'Accept-Language', 'Content-Type', 'Content-Encoding', 'Origin', 'Expect', 'X-Request-Id',
			'X-Forwarded-For', 'Forwarded', 'Cookie', 'Range', 'If-None-Match', 'Upgrade', 'X-HTTP-Method-Override')
		{
			my $reply = raw_http($gateway->{port}, "POST $pull HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer $u1\r\n"
				  . "$name: $bytes\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}");
			my ($status) = $reply =~ /\AHTTP\/1\.1 (?:100 Continue\r\n\r\nHTTP\/1\.1 )?(\d+)/;
			push @problems, "$name: " . encode_json($text) . ': ' . substr $reply, 0, 200
			  if !defined $status || $status !~ /^(?:200|400|406|413|415|417)$/ || $reply =~ $inside || $reply =~ /^X-Evil/m;
		}
		next if $bytes =~ /[\r\n\0 ]/ || length $bytes > 2000;
		for my $path ("/$bytes", "/api/v1/sync/$bytes", "$pull/$bytes")
		{
			my $reply = raw_http($gateway->{port}, "GET $path HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
			push @problems, encode_json($path) . ': ' . substr $reply, 0, 200 if $reply !~ /\AHTTP\/1\.1 (?:40[0145]|200) /;
		}
	}
	is_deeply \@problems, [], 'no reply but of known kinds' or diag explain \@problems;
};

subtest 'afterwards' => sub {
	is $cluster->sql($database, $hers), $her_rows, 'her rows are as they were';
	is $gateway->get('/ready')->{status}, 200, 'the gateway is ready';
	is $gateway->pull($u2)->{status}, 200, 'she is served';
	is $cluster->sql($database, "SELECT count(*) FROM note WHERE user_id NOT IN ('u1', 'u2')"), '0', 'no row in a scope of nobody';

	my $id = 'rows-are-counted';
	push_of({ changes => [ map { { entityType => 'note', entityId => "c$_", data => { body => '"stats": {"x": {"count": 99}}' } } } 1 .. 3 ] });
	$gateway->request('GET', "$pull?limit=2", token => $u1, headers => { 'X-Request-Id' => $id });
	wait_for('the log has the request', 10, sub { return $gateway->log =~ /id=\Q$id\E / });
	my $log = $gateway->log;
	like $log, qr/^time=\S+ level=info event=request id=\Q$id\E method=GET path=\Q$pull\E status=200 ms=[\d.]+ user=u1 rows=2 /m,
	  'the log has id, status, time, user and rows';
	like $log, qr/method=POST path=\Q$push\E status=200 ms=[\d.]+ user=u1 rows=3 /, 'of a push, too';
	my @torn = grep { !/^time=\S+Z level=\w+ event=[a-z-]+(?: [a-z]+=(?:[^\s"=\\]+|"(?:[^"\\]|\\.)*"))*$/ } split /\n/, $log;
	is_deeply \@torn, [], 'each line of the log is one' or diag explain [ @torn[ 0 .. 3 ] ];
	unlike $log, qr/\Q$u1\E|\Q$u2\E/, 'no token';
	unlike $log, qr/her-thought|of-the-office|limit=2/, 'no row, no query';
	is $gateway->stop, 0, 'it stops with status 0';
	unlike $gateway->log, qr/Sanitizer|runtime error/, 'with a clean log';
	$cluster->sql($database, 'DROP EXTENSION pg_tide_auth; DROP OWNED BY tide_test_auth; DROP ROLE tide_test_auth');
};

done_testing;
