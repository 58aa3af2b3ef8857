# Completion in bash offers what the programs take.
#
# Seen to fail without the rule of --help's lines that go on (options of clone),
# and with the settings' pattern of tide-gateway.bash in capitals.
use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";
use File::Temp ();
use Test::More;
use TideTest;

my $root = TideTest::root_directory();
my $directory = File::Temp->newdir(TMPDIR => 1);
open my $made, '>', "$directory/tokens.txt" or die $!;
close $made;

# What is offered for the last of these words.
sub offered
{
	my ($file, $function, @words) = @_;
	open my $pipe, '-|', 'bash', '-c', 'cd "$1" && . "$2" && f=$3 && shift 3 && COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) '
	  . '&& $f && printf "%s\n" "${COMPREPLY[@]}"', 'bash', "$directory", "$root/$file", $function, @words or die $!;
	chomp(my @all = <$pipe>);
	close $pipe;
	return join ' ', sort @all;
}

sub tide { return offered('client/tide.bash', '_tide', "$root/client/tide", @_); }
sub gateway { return offered('gateway/tide-gateway.bash', '_tide_gateway', "$root/gateway/tide-gateway", @_); }

open my $source, '<', "$root/client/src/command/options.c" or die $!;
my %commands = do { local $/; <$source> } =~ /^\t\{"(\w+)", \d, \d, "([^"]*)"\}/mg;
cmp_ok scalar(keys %commands), '>=', 12, 'tide has commands';
is tide(''), join(' ', sort '--help', '--version', keys %commands), '... and they are offered';
is tide($_, 'x', '--'), join(' ', sort split / /, $commands{$_}), "options of $_" for sort keys %commands;
is tide('cl'), 'clone', 'what begins so';
is tide('clone', 'u', 'f', '--naming', ''), 'as_is snake', 'values';
is tide('clone', 'u', 'f', '--token-file', 'tok'), 'tokens.txt', 'files of an option';
is tide('sync', 'tok'), 'tokens.txt', 'files';

my @settings = map { /^  (--[a-z-]+) .*\(TIDE_/ ? $1 : () } `$root/gateway/tide-gateway --help`;
cmp_ok scalar(@settings), '>', 30, 'tide-gateway has settings';
is gateway('--'), join(' ', sort '--help', '--version', @settings), '... and they are offered';
is gateway('to'), 'token', 'its command';
is gateway('token', '--s'), '--sub', 'options of that';
is gateway('--jwt-secret-file', 'tok'), 'tokens.txt', 'and files';
done_testing;
