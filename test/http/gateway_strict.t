# HTTP as an attacker writes it: what two readers could take in two ways is
# refused, and the connection closed where nobody knows where the next request
# begins.  Every refusal is sent with a second request behind it, which must
# get no reply.  Seen to fail: see test/mutation/http.mutations.
use strict;
use warnings;

use FindBin ();
use IO::Socket::INET ();
use lib "$FindBin::Bin/../lib";
use Test::More;
use TideTest qw(decode_json raw_http wait_for);
use Time::HiRes ();

my $cluster = TideTest::Cluster->shared;
my $database = $cluster->create_fake;
my $gateway = TideTest::Gateway->start(cluster => $cluster,
	database => $database)->wait_until_ready;
my $token = $gateway->token('u1');
my $pull = '/api/v1/sync/pull';
my $push = '/api/v1/sync/push';
my $bearer = "Authorization: Bearer $token";
my $second = "GET /health HTTP/1.1\r\nHost: x\r\nX-Request-Id: smuggled\r\n\r\n";

# newer versions of libmicrohttpd say some of it themselves
my $twice = qr/given twice|multiple <b>|Unsupported Transfer-Encoding/;

sub head { my ($line, @headers) = @_; return join "\r\n", $line, @headers, '', ''; }

# Replies to these bytes: [status, headers, body] each.  All but the last are
# framed by Content-Length.
sub replies
{
	my ($bytes, %option) = @_;
	my $text = raw_http($gateway->{port}, $bytes, %option);
	my @replies;
	while ($text =~ s/\A(HTTP\/1\.[01] (\d+) .*?\r\n)\r\n//s)
	{
		my ($head, $status) = ($1, $2);
		my ($length) = $head =~ /^Content-Length: (\d+)/mi;
		push @replies, [ $status, $head, substr($text, 0, $length // length $text, '') ];
	}
	return @replies;
}

# The first is refused, and the connection closed.
sub is_refused
{
	my ($bytes, $name, %option) = @_;
	my $started = Time::HiRes::time();
	# the id comes back only with the second reply
	my @replies = replies($bytes . $second, until => qr/smuggled/);
	is scalar @replies, 1, "$name: one reply, and closed" or diag explain \@replies;
	my ($status, undef, $body) = @{ $replies[0] // [] };
	# newer versions of libmicrohttpd refuse more by themselves, in a page of their own
	my $expected = $option{status} // 400;
	my $others = ($body // '') =~ /\A<html>/ ? '|400|413|501' : '';
	like $status, qr/^(?:$expected$others)$/, "$name: refused" or diag $body;
	like $body, qr/\A<html>|$option{message}/, "$name: why" if $option{message};
	cmp_ok Time::HiRes::time() - $started, '<', 5, "$name: at once";
	return;
}

subtest 'how a body is framed' => sub {
	my $post = sub { return head("POST $push HTTP/1.1", 'Host: x', $bearer, @_); };
	my ($length, $chunked) = ('Content-Length: 2', 'Transfer-Encoding: chunked');
	is +(replies($post->($length) . '{}' . $second, until => qr/"ok"/))[1][0], 200,
	  'a good one, and the next on the same connection';
	is +(replies($post->($chunked) . "2\r\n{}\r\n0\r\n\r\n$second", until => qr/"ok"/))[1][0],
	  200, 'chunked';
	is +(replies($post->($chunked) . "1\r\n{\r\n01\r\n}\r\n0\r\nX-Trailer: x\r\n\r\n$second",
		until => qr/"ok"/))[1][0], 200, 'in two chunks, with a trailer';
	# libmicrohttpd 1.0 refuses them
	my @extended = map { $_->[0] } replies($post->($chunked) . "2;x=y\r\n{}\r\n0\r\n\r\n$second", until => qr/"ok"/);
	like "@extended", qr/^(?:200 200|400)$/, 'an extension is ignored, or closes';

	# newer versions of libmicrohttpd say some of it themselves
	my $both = qr/both given|both Transfer-Encoding/;
	is_refused($post->($length, $chunked) . "2\r\n{}\r\n0\r\n\r\n", 'length and chunked', message => $both);
	is_refused($post->($chunked, $length) . "2\r\n{}\r\n0\r\n\r\n", 'chunked and length', message => $both);
	is_refused($post->($length, $length) . '{}', 'length twice', message => $twice);
	is_refused($post->($length, 'content-length: 30') . '{}', 'two lengths', message => $twice);
	is_refused($post->($chunked, $chunked) . "2\r\n{}\r\n0\r\n\r\n", 'chunked twice', message => $twice);
	is_refused($post->("Transfer-Encoding: $_") . "2\r\n{}\r\n0\r\n\r\n", "Transfer-Encoding: $_")
	  for 'gzip', 'gzip, chunked', 'chunked, chunked', 'identity', 'xchunked', 'chunked;x', '"chunked"', '';
	is_refused($post->("Content-Length: $_") . '{}', "Content-Length: $_")
	  for '+2', '-2', '0x2', '2, 2', '2;', '2 2', '', 'two', '2.0';
	is_refused($post->('Content-Length: ' . '9' x 30), 'a length beyond all numbers', status => 413);
	is_refused($post->('Content-Length : 2') . '{}', 'blank before the colon', message => qr/malformed|whitespace/i);
	is_refused($post->("Transfer-Encoding\t: chunked") . "2\r\n{}\r\n0\r\n\r\n", 'tab before the colon');
	is_refused($post->(' Content-Length: 2') . '{}', 'a blank first');
	is_refused(head("POST $push HTTP/1.0", 'Host: x', $bearer, $chunked) . "2\r\n{}\r\n0\r\n\r\n",
		'chunked in HTTP/1.0', message => qr/HTTP\/1.0/);
	is_refused(head("GET /nowhere HTTP/1.1", 'Host: x', $length, $chunked), 'also where there is nothing',
		message => $both);
	is_refused(head("OPTIONS $push HTTP/1.1", 'Host: x', $length, $length) . '{}', 'also of a preflight',
		message => $twice);

	is_refused($post->($chunked) . $_, 'chunks: ' . s/([\r\n])/$1 eq "\r" ? '\r' : '\n'/ger)
	  for "x\r\n{}\r\n0\r\n\r\n", "-2\r\n{}\r\n0\r\n\r\n", "0x2\r\n{}\r\n0\r\n\r\n",
	  "2 \r\n{}\r\n0\r\n\r\n", " 2\r\n{}\r\n0\r\n\r\n", "2\r\n{}x\r\n0\r\n\r\n", "\r\n{}\r\n0\r\n\r\n",
	  ";x\r\n{}\r\n0\r\n\r\n";
	is_refused($post->($chunked) . "fffffffffffffffff\r\n{}\r\n0\r\n\r\n", 'a chunk beyond all numbers',
		status => 413);
};

subtest 'lines' => sub {
	my $get = sub { return head("GET $pull HTTP/1.1", 'Host: x', @_); };
	is_refused($get->($bearer, "X-A: 1\r\n two"), 'folded');
	is_refused($get->($bearer, "X-A: 1\r\n\ttwo"), 'folded with a tab');
	is_refused($get->("Authori: Bearer $token\r\n zation"), 'a name by folding');
	is_refused(head("POST $push HTTP/1.1", 'Host: x', $bearer, "Content: 2\r\n -Length") . '{}',
		'a framing header by folding');
	is_refused(head("POST $push HTTP/1.1", 'Host: x', $bearer, "X: 1\r\n Transfer-Encoding: chunked",
			'Content-Length: 2') . '{}', 'folded in front of another');
	is_refused("GET $pull HTTP/1.1\nHost: x\r\n$bearer\r\n\r\n", 'LF alone after the first line');
	is_refused("GET $pull HTTP/1.1\r\nHost: x\n$bearer\r\n\r\n", 'LF alone after a header');
	is_refused("GET $pull HTTP/1.1\r\nX: y\nContent-Length: 5\r\nHost: x\r\n$bearer\r\n\r\n", 'a header behind LF');
	is_refused("GET $pull HTTP/1.1\r\nHost: x\rX: y\r\n$bearer\r\n\r\n", 'CR alone');
	is_refused("GET $pull HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n$bearer\r\n\r\n", 'NUL in a value');
	is_refused("GET $pull HTTP/1.1\r\nHost: x\r\nX\0: a\r\n$bearer\r\n\r\n", 'NUL in a name');
	is_refused($get->($bearer, "X: a\x07b"), 'a control character');
	is_refused($get->($bearer, $_), "header $_") for 'no colon', ': no name', ':no name', 'X Y: z', 'X(): z', "X\xe4: z", 'X"Y: z';
	is_refused(head("GET $pull HTTP/1.1", $bearer), 'no Host', message => qr/host/i);
	is_refused($get->($bearer, 'Host: y'), 'two hosts', message => qr/Host is given twice/);
	is_refused($get->($bearer, $bearer), 'Authorization twice', message => qr/Authorization is given twice/);
	is_refused($get->('Authorization: Bearer x', 'AUTHORIZATION: Basic y'), 'and otherwise', message => $twice);
	is_refused($get->($bearer, "$_: a", "$_: a"), "$_ twice", message => $twice)
	  for 'Content-Type', 'Content-Encoding', 'Origin', 'Expect';
	is_refused($get->('X: ' . 'x' x 70_000), 'a very long header', status => 431, message => qr/./);
	is_refused($get->(map { "X-$_: y" } 1 .. 20_000), 'very many headers', status => 431, message => qr/./);

	# what is good stays good, in whatever pieces it comes
	my $good = $get->("Authorization:\t $token" =~ s/\t /\t Bearer /r, 'X-Empty:', 'X-Utf8: ä', "X-Tab: a\tb ",
		'X-Long: ' . 'y' x 30_000, map { "X-$_: " . 'z' x $_ } 1 .. 100);
	is +(replies($good . $second, until => qr/"ok"/))[$_][0], 200, "many headers, $_" for 0, 1;
	my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$gateway->{port}") or die $!;
	$socket->setsockopt(Socket::IPPROTO_TCP(), Socket::TCP_NODELAY(), 1);
	for my $piece ($get->($bearer, 'X-A: b', 'X-C:d') =~ /(.{1,3})/gs)
	{
		syswrite $socket, $piece or die $!;
		Time::HiRes::usleep(300);
	}
	sysread $socket, my $reply, 65536;
	like $reply, qr{^HTTP/1.1 200 }, 'three bytes at a time';
};

subtest 'the first line' => sub {
	my $get = sub { return head("GET $_[0] HTTP/1.1", 'Host: x', $bearer); };
	my $plain = qr/not a plain path|malformed/i;
	is_refused($get->($_), "target $_", message => $plain)
	  for "http://x$pull", "https://x$pull", "http://[::1]$pull", '*', 'x', 'api/v1/sync/pull', "\\health",
	  '/%68ealth', '/health%00', '/health%00/x', '/health%2f', '/%2fhealth', '/%2e%2e/health', '/x/%2e%2e/health',
	  '/api%2Fv1/sync/pull', '/%2568ealth', '/health%', '/health%zz', '/health%252f', '/health#x', "/health\x01",
	  "/health\xe4", '/health\\', '/"health"', '/<health>', '/health{}', "/health?x=%", '/health?x=%4',
	  '/health?x=%zz', "/health?x=\x01", '/health?x#y', '/health?x=%u0041', "/health?\x7F";
	# libmicrohttpd closes without a word
	for my $line ("GET $pull x HTTP/1.1", "GET  /x y HTTP/1.1", ' GET /health HTTP/1.1')
	{
		my @replies = replies("$line\r\nHost: x\r\n\r\n$second");
		ok @replies == 0 || (@replies == 1 && $replies[0][0] == 400), "closed: $line";
	}
	is_refused("GET /health\tHTTP/1.1\r\nHost: x\r\n\r\n", 'a tab');
	for my $path ('/../health', '/./health', '//health', '/health/', '/health;x', '/HEALTH', "$pull/", '/',
		'/x/../health', '/health&x', '/x' x 4000)
	{
		my @replies = replies($get->($path) . $second, until => qr/"ok"/);
		is join(' ', map { $_->[0] } @replies), '404 200', 'there is nothing at ' . substr $path, 0, 20;
		is decode_json($replies[0][2])->{error}{code}, 'not_found';
	}
	is_refused($get->('/' . 'x' x 70_000), 'a very long path', status => 414, message => qr/./);
	is_refused($get->("$pull?since=" . 'x' x 70_000), 'a very long query', status => 414, message => qr/./);
	is_refused("GET /health HTTP/$_\r\nHost: x\r\n\r\n", "HTTP/$_", status => $_ =~ /^[0-9]\.[0-9]$/ ? 505 : 400)
	  for '2.0', '0.9', '3.0', '1', '1.10', '01.1', 'x';
	is_refused("GET /health$_\r\n\r\n", 'no version', status => 400) for '', ' ', ' http/1.1', ' HTTPS/1.1';
	is_refused("$_ HTTP/1.1\r\nHost: x\r\n\r\n", "line $_", status => 400) for 'CONNECT x:443', 'GET';

	for my $method (qw(PUT DELETE PATCH TRACE get Get GETS X), 'M' x 3000, '!#$%')
	{
		my @replies = replies(head("$method $pull HTTP/1.1", 'Host: x', $bearer) . $second, until => qr/"ok"/);
		is join(' ', map { $_->[0] } @replies), '405 200', 'method ' . substr $method, 0, 20;
		is decode_json($replies[0][2])->{error}{code}, 'method_not_allowed';
	}
	my @replies = replies("GET $pull HTTP/1.0\r\n$bearer\r\n\r\n$second");
	is scalar @replies, 1, 'HTTP/1.0 closes';
	is $replies[0][0], 200, 'HTTP/1.0 is served, also without Host';
	is +(replies(head('HEAD /health HTTP/1.1', 'Host: x', 'Connection: close')))[0][0], 200, 'HEAD';
	is +(replies($get->('/health?x=%41%20%c3%a4&y=+&z=ä'), until => qr/"ok"/))[0][0], 200, 'a query with escapes';
};

# Names and values of parameters, decoded.
subtest 'parameters' => sub {
	my $ask = sub { return (replies(head("GET $pull?$_[0] HTTP/1.1", 'Host: x', $bearer), until => qr/\}$/))[0]; };
	for my $query ('since=%00', 'since=a%00b', 'entityTypes=%00', 'x%00=y', 'since=%ff', 'since=%c3%28',
		'since=%ed%a0%80', 'since=%f4%90%80%80', 'scope=%c0%80', '%ff=x', 'since=%e4',
		map { ("$_=1&$_=1", "$_=1&x=y&$_=2") } qw(since limit clientId wait times))
	{
		my $reply = $ask->($query);
		is $reply->[0], 400, $query;
		is decode_json($reply->[2])->{error}{code}, 'malformed_request';
	}
	my $echo = decode_json($ask->('since=%2500%252e&scope=a%2Cb&scope=%22%5C%27%7B&entityTypes=%C3%A4')->[2])->{echo};
	is $echo->{since}, '%00%2e', 'decoded once';
	is $ask->('scope=a&scope=b&athleteId=c&entityTypes=x&entityTypes=y&x=1&x=2&since=&since=1')->[0], 200,
	  'lists may be repeated, what is unknown, and what is empty';
	is_deeply $echo->{scopes}, [ 'a,b', q("\\'{) ], 'scopes as they are';
};

subtest 'bodies' => sub {
	my $deep = sub { return '{"changes":' . '[' x $_[0] . ']' x $_[0] . '}'; };
	my @table = (
		[ 'a key twice', '{"changes":[],"changes":[]}', qr/a key twice, at byte 15/ ],
		[ 'a key twice, spelled otherwise', '{"changes":[],"ch\u0061nges":[]}', qr/a key twice/ ],
		[ 'a key twice, inside', '{"changes":{"t":[{"id":1,"a":{"b":1,"b":2}}]}}', qr/a key twice/ ],
		[ 'NUL', "{\"changes\":\"\0\"}", qr/not UTF-8 text, at byte 13/ ],
		[ 'NUL behind', "{\"changes\":[]}\0", qr/at byte 15/ ],
		[ 'escaped NUL', '{"changes":"\u0000"}', qr/escaped NUL/ ],
		[ 'escaped NUL in a key', '{"ch\u0000":1}', qr/escaped NUL/ ],
		[ 'broken UTF-8', "{\"changes\":\"\xc3\x28\"}", qr/not UTF-8 text/ ],
		[ 'Latin-1', "{\"changes\":\"\xe4\"}", qr/not UTF-8 text/ ],
		[ 'overlong', "{\"changes\":\"\xc0\xaf\"}", qr/not UTF-8 text/ ],
		[ 'a surrogate in UTF-8', "{\"changes\":\"\xed\xa0\x80\"}", qr/not UTF-8 text/ ],
		[ 'beyond Unicode', "{\"changes\":\"\xf4\x90\x80\x80\"}", qr/not UTF-8 text/ ],
		[ 'cut within a character', "{\"changes\":[]}\xf0\x9f", qr/not UTF-8 text/ ],
		[ 'UTF-16', "\xff\xfe{\0}\0", qr/not UTF-8 text/ ],
		[ 'half a pair', '{"changes":"\ud83d"}', qr/half of a surrogate pair/ ],
		[ 'the other half', '{"changes":"\ude00"}', qr/half of a surrogate pair/ ],
		[ 'halves swapped', '{"changes":"\ude00\ud83d"}', qr/half of a surrogate pair/ ],
		[ 'a half and text', '{"changes":"\ud83dx"}', qr/half of a surrogate pair/ ],
		[ 'too deep', $deep->(512), qr/nested too deeply, at byte 523/ ],
		[ 'far too deep', $deep->(100_000), qr/nested too deeply/ ],
		[ 'open for ever', '[' x 1_000_000, qr/nested too deeply/ ],
		[ 'a mark in front', "\xef\xbb\xbf{}", qr/at byte 1$/m ],
		[ 'a comment', '{/* */}', qr/a key in quotes/ ],
		[ 'NaN', '{"a":NaN}', qr/a value is expected/ ],
		[ 'a comma too many', '{"a":[1,]}', qr/a value is expected/ ],
		[ 'no quotes', "{'a':1}", qr/a key in quotes/ ],
		[ 'a newline in a string', "{\"a\":\"x\ny\"}", qr/control character/ ]);
	for my $row (@table)
	{
		my ($name, $body, $message) = @$row;
		for my $path ($push, $pull)
		{
			my $reply = (replies(head("POST $path HTTP/1.1", 'Host: x', $bearer,
				'Content-Length: ' . length $body) . $body, until => qr/\}\}$/))[0];
			is $reply->[0], 400, "$name, $path";
			my $error = decode_json($reply->[2])->{error};
			is $error->{code}, 'malformed_request', "$name, code";
			# a pull's body is limited before it is read
			like $error->{message}, $message, "$name, message" if length $body < 60_000;
		}
	}
	is +(replies(head("POST $push HTTP/1.1", 'Host: x', $bearer, 'Content-Length: ' . length $deep->(63))
		. $deep->(63), until => qr/\}$/))[0][0], 200, 'as deep as may be';
};

subtest 'request ids' => sub {
	my $id_of = sub {
		my $reply = $gateway->get('/health', headers => { defined $_[0] ? ('X-Request-Id' => $_[0]) : () });
		return $reply->{headers}{'x-request-id'};
	};
	is $id_of->($_), $_, "$_ is taken" for 'a', '0123-abc_DEF.7', 'x' x 64, '9b2d6a5e-58a4-4d6c-b1b5-0123456789ab';
	my %seen;
	for my $bad (undef, '', ' ', 'a b', 'x' x 65, 'a"b', 'a=b', "a\tb", '../x', "' OR 1=1 --")
	{
		my $id = $id_of->($bad);
		like $id, qr/^[0-9a-f]{8}-\d+$/, 'our own in the place of ' . ($bad // 'nothing');
		ok !$seen{$id}++, 'a new one';
	}
	wait_for('the log has the ids', 10, sub { return $gateway->log =~ /event=request id=0123-abc_DEF.7 method=GET/; });
};

subtest 'one line of the log for each' => sub {
	my $from = length $gateway->log;
	is +(replies("GET /a\xc2\x85b\xff HTTP/1.1\r\nHost: x\r\n\r\n"))[0][0], 400, 'a target that is no text';
	my $user = $gateway->token("Zo\xc3\xab");
	is +(replies(head("GET $pull HTTP/1.1", 'Host: x', "Authorization: Bearer $user", 'Connection: close')))[0][0], 200;
	$user = $gateway->token("a\xe2\x80\xa8event=b");
	is +(replies(head("GET $pull HTTP/1.1", 'Host: x', "Authorization: Bearer $user", 'Connection: close')))[0][0], 200;
	wait_for('the log has them', 10, sub { return 3 <= (() = substr($gateway->log, $from) =~ /event=request/g); });
	my $log = substr $gateway->log, $from;
	like $log, qr/ path="\/a\\xc2\\x85b\\xff"/, 'with what it is escaped';
	like $log, qr/ user=Zo\xc3\xab /, 'a name is left as it is';
	like $log, qr/ user="a\\xe2\\x80\\xa8event=b" /, 'unless it would end the line';
};

unlike $gateway->log, qr/id=smuggled (?!method=GET path=\/health status=200)/, 'no second request was taken for more';
is $gateway->stop, 0, 'stops with status 0';
done_testing;
