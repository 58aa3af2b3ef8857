# The command line: what --help and the manual page say is what there is, and what
# makes no sense is refused with 2.
use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Test::More;
use TideTest qw(root_directory);
use TideClient;

sub slurp { open my $in, '<', root_directory() . "/client/$_[0]" or die "$_[0]: $!"; local $/; return scalar <$in>; }

my $tide = TideClient->new({ url => 'http://127.0.0.1:1' }, undef);
my $help = $tide->run($TideClient::program, '--help');
is($help->{status}, 0, '--help');
like($help->{out}, qr{Read on: man tide}, '... says where to read on');
like($tide->run($TideClient::program, '--version')->{out}, qr/\Atide \d+\.\d+\.\d+\nRead on: man tide; .*\n\z/, '--version, and so does that');

# the table of commands in options.c, the help, the manual page
my $manual = slurp('tide.1');
my %commands = slurp('src/command/options.c') =~ /^\t\{"(\w+)", \d, \d, "([^"]*)"\}/mg;
cmp_ok(scalar keys %commands, '>=', 12, 'the commands are found');
for my $command (sort keys %commands)
{
	like($help->{out}, qr/^  tide \Q$command\E /m, "--help has $command");
	like($manual, qr/^\.It Cm \Q$command\E$/m, '... and the manual page');
	my ($usage) = $manual =~ /^\.Cm [^\n]*\b\Q$command\E\b[^\n]*\n(.*?)^\.(?:Nm|Sh)/ms;
	my ($line) = $help->{out} =~ /^  tide \Q$command\E (.*?)\n      \S/ms;
	($line) = $help->{out} =~ /^  tide \Q$command\E ([^\n]*)/m unless defined $line;
	for my $option (split ' ', $commands{$command})
	{
		(my $roff = $option) =~ s/^--/-/;
		like($usage, qr/Fl \Q$roff\E\b/, "... with $option");
		like($line, qr/\Q$option\E\b/, '... in both');
	}
}
SKIP:
{
	my $lint = `mandoc -Tlint -Werror @{[ root_directory() ]}/client/tide.1 2>&1`;
	skip 'mandoc is not installed', 1 if $? == -1 || $? >> 8 == 127;
	is($lint, '', 'the manual page is well formed');
}

for ([ 'frobnicate' ], [], [ 'sync' ], [ 'sync', 'a', 'b' ], [ 'sync', 'a', '--frobnicate' ], [ 'sync', 'a', '--clear' ],
	[ 'login', 'http://x' ], [ 'clone', 'http://x', 'a', '--naming', 'camel' ], [ 'retry', 'a', 'b' ], [ 'clone', 'http://x', 'a', '--scope' ])
{
	my $run = $tide->run($TideClient::program, @$_);
	is($run->{status}, 2, "tide @$_: 2");
	like($run->{err}, qr/^tide: .*\nTry "tide --help"\.$/, '... and why');
}
for my $url ('ftp://x', '127.0.0.1:8080', 'http')
{
	my $run = $tide->run($TideClient::program, 'clone', $url, $tide->{file});
	is($run->{status}, 2, "tide clone $url: 2");
	like($run->{err}, qr/^tide: "\Q$url\E" is no URL/, '... and why');
	ok(!glob("$tide->{file}*"), '... and no file is made');
}
for my $command (qw(sync watch status pending retry lost verify logout))
{
	my $run = $tide->tide($command);
	is($run->{status}, 5, "$command of no file: 5");
	ok(!-e $tide->{file}, '... and none is made');
}
is($tide->run($TideClient::program, 'attach', 'http://127.0.0.1:1', $tide->{file})->{status}, 5, 'attach to no file: 5');
ok(!-e $tide->{file}, '... and none is made');

done_testing;
