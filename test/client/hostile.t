# `tide` against what is no server of ours, or one that means harm: what it does
# ends, within bounds, by the exit status that says so.
#
# Seen to fail with: a cursor that does not move asked for again, in verify.
use strict;
use warnings;

use FindBin ();
use File::Temp ();
use IO::Socket::INET ();
use POSIX ();
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Test::More;
use TideTest qw(wait_for);
use TideClient;

# A server of one type, plan, without a row.  Its answer to a path is read from
# the file of the path's last word, if there is one: status, headers, body.
my $answers = File::Temp->newdir;
my $columns = join ',', map { qq({"name":"$_","type":"text","nullable":true,"writable":true,"default":false}) } qw(id owner name stamp client);
my %usual = (
	schema => [200, '', qq({"protocol":1,"entityTypes":{"plan":{"key":["id"],"scope":"owner","modifiedAt":"stamp","clientId":"client",)
		  . qq("version":null,"deletedAt":null,"parents":[],"references":[],"conflict":"last_write_wins","columns":[$columns]}}})],
	pull => [200, '', '{"changesByType":{},"deletedByType":{},"cursor":"c1","hasMore":false}'],
	push => [200, '', '{"succeeded":[],"failed":[]}']);

sub answer
{
	my ($word, @answer) = @_;
	return unlink "$answers/$word" if !@answer;
	open my $out, '>', "$answers/.$word" or die $!;
	print {$out} join "\n", @answer;
	close $out;
	return rename "$answers/.$word", "$answers/$word";
}

# What a request is answered with.
sub answer_to
{
	my ($word) = @_;
	if (open my $in, '<:raw', "$answers/$word")
	{
		chomp(my $status = <$in>);
		chomp(my $headers = <$in>);
		local $/;
		return ($status, $headers, scalar(<$in>) // '');
	}
	return @{ $usual{$word} // [404, '', '{"error":{"code":"not_found","message":"no such path"}}'] };
}

sub serve
{
	my ($client) = @_;
	my ($word, $length) = ('', 0);
	while (defined(my $line = <$client>))
	{
		$word = $1 if $line =~ m{^[A-Z]+ [^ ?]*/(\w+)};
		$length = $1 if $line =~ /^Content-Length: (\d+)/i;
		last if $line =~ /^\r?\n$/;
	}
	read $client, my $body, $length if $length;
	$word = 'page' if $word eq 'pull' && $body !~ /"clientId"/;    # of a verify, which no sync asks for
	open my $log, '>>', "$answers/.log" or return;
	syswrite $log, "$word\n";
	my ($status, $headers, $content) = answer_to($word);
	$headers = join '', map { "$_\r\n" } split /; */, $headers;
	if ($headers =~ /^Endless/)
	{
		print {$client} "HTTP/1.1 $status x\r\n${headers}Connection: close\r\n\r\n$content";
		my $more = ' ' x 65536;
		1 while print {$client} $more;
		return;
	}
	print {$client} "HTTP/1.1 $status x\r\n${headers}Content-Length: " . length($content) . "\r\nConnection: close\r\n\r\n$content";
	return;
}

my $listener = IO::Socket::INET->new(LocalHost => '127.0.0.1', Listen => 20, ReuseAddr => 1) or die $!;
my $server = fork // die $!;
if ($server == 0)
{
	$SIG{CHLD} = 'IGNORE';
	while (my $client = $listener->accept)
	{
		next if fork;
		serve($client);
		close $client;
		POSIX::_exit(0);
	}
	POSIX::_exit(0);
}
END { local $?; kill KILL => $server if $server; }
my $url = 'http://127.0.0.1:' . $listener->sockport;
close $listener;

my $device = TideClient->new(undef, 'ann', url => $url, token => 'eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4ifQ.');
$device->clone;

sub requests
{
	open my $in, '<', "$answers/.log" or return 0;
	return scalar(() = <$in>);
}

# A command, which must come to an end.
sub patiently
{
	my ($command, @options) = @_;
	return $device->run('timeout', 30, $TideClient::program, $command, $device->{file}, @options);
}

# a cursor that does not move
my $endless = '{"changesByType":{},"deletedByType":{},"cursor":"c1","hasMore":true}';
answer('page', 200, '', $endless);
for my $command (['verify', '--full'], ['sync'])
{
	my $before = requests();
	my $run = patiently(@{$command});
	is($run->{status}, 6, "@{$command}: a cursor that does not move is not understood") or diag $run->{err};
	like($run->{err}, qr/its cursor does not move/, '... and it says so');
	cmp_ok(requests() - $before, '<', 6, '... after few requests');
	answer('pull', 200, '', $endless);
}
answer('pull');
is($device->tide('sync')->{status}, 0, 'then it goes on');

# an answer that does not end, of a path whose answers are taken whole and of one whose answers are taken as they come
for my $answer (['pull', ''], ['pull', qq({"begin":{}}\n)], ['schema', ''])
{
	my ($word, $begin) = @{$answer};
	answer($word, 200, 'Endless: 1', $begin);
	my $run = patiently('sync');
	is($run->{status}, 3, "an answer to $word that does not end " . ($begin ? 'but begins well ' : '') . 'is none') or diag $run->{err};
	like($run->{err}, qr/takes more than 128 MiB/, '... and it says why');
	answer($word);
	is($device->tide('sync')->{status}, 0, '... then it goes on');
}

# a network that wants a log-in
my $watch = $device->watch;
wait_for('it watches', 20, sub { $watch->said =~ /^watching$/m });
answer($_, 302, 'Location: http://login.example/', '<html>log in</html>') for 'schema', 'pull', 'push', 'events';
$device->sql("INSERT INTO plan (id, owner, name) VALUES ('p1', 'ann', 'x')");
wait_for('it is offline', 20, sub { $device->status->{state} eq 'offline' });
like($device->status->{last_error}, qr/does the network want a log-in/, 'a page in the server\'s place is a network that is away');
answer($_, 200, 'Content-Type: text/html', '<html>log in</html>') for 'schema', 'pull', 'push', 'events';
my $asked = requests();
wait_for('it has asked again', 20, sub { requests() > $asked });
ok(!$watch->ended, '... which watch outlives');
answer($_) for 'schema', 'pull', 'push', 'events';
wait_for('it is back', 30, sub { $device->status->{state} eq 'idle' });
pass('... and then it goes on');
$watch->stop;
is($watch->status, 0, '... to its end');

# such a network when the token has just expired
my $maja = TideClient->new(undef, undef, url => $url);
my $secret = "$maja->{directory}/secret";
open my $out, '>', $secret or die $!;
print {$out} "x\n";
close $out;
sub tokens { return qq({"token":"eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4ifQ.$_[0]","refreshToken":"r$_[0]","userId":"ann"}) }
answer('login', 200, '', tokens(1));
is($maja->run($TideClient::program, 'login', $url, '--user', 'ann', '--password-file', $secret)->{status}, 0, 'a login');
is($maja->run($TideClient::program, 'clone', $url, $maja->{file})->{status}, 0, 'its file');
my @portal = ([302, 'Location: http://login.example/', '<html>log in</html>'], [200, 'Content-Type: text/html', '<html>log in</html>'],
	[403, '', ''], [404, 'Content-Type: application/json', '{"detail":"no such service"}'], [200, '', '{"status":"log in"}']);
answer('login', @{ $portal[0] });
my $again = $maja->run($TideClient::program, 'login', $url, '--user', 'ann', '--password-file', $secret);
is("$again->{status} $again->{out}", "0 offline\n", 'another login in such a network is one without the server') or diag $again->{err};
answer('pull', 401, '', '{"error":{"code":"unauthorized","message":"the token has expired"}}');
for my $page (@portal)
{
	answer('refresh', @$page);
	my $run = $maja->tide('sync');
	is($run->{status}, 3, "a refresh that is answered by $page->[0] $page->[2] is offline") or diag $run->{err};
	like($run->{err}, qr/does the network want a log-in/, '... and it says why');
}
$watch = $maja->watch;
$asked = requests();
wait_for('it has asked for a token', 20, sub { requests() > $asked + 2 });
ok(!$watch->ended, '... and watch outlives that');
answer('pull');
answer('refresh', 200, '', tokens(2));
wait_for('it has a new token', 30, sub { $maja->status->{state} eq 'idle' });
ok(!$watch->ended, '... and goes on');
$watch->stop;
answer('pull', 401, '', '{"error":{"code":"unauthorized","message":"the token has expired"}}');
answer('refresh', 401, '', '{"error":{"code":"unauthorized","message":"the refresh token was used before"}}');
is($maja->tide('sync')->{status}, 4, 'what the server itself refuses is refused');

done_testing;
