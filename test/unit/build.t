# What the build makes: a library that exports just what the SQL names, also
# when it is built in another folder.
#
# Seen failing: exports without the line of SHLIB_LINK in extension/Makefile; the
# build elsewhere with "$(wildcard src/*.c)" as the sources.
use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use Test::More;

my $root = abs_path(dirname(abs_path(__FILE__)) . '/../..');

# the C functions that the scripts name, whichever version of them
sub functions_of_sql
{
	my %seen;
	for my $script (glob "$root/extension/pg_tide--*.sql")
	{
		open my $file, '<', $script or die "$script: $!";
		$seen{$_} = 1 for map { /^\s*AS 'MODULE_PATHNAME', '(\w+)'/ ? $1 : () } <$file>;
	}
	return sort keys %seen;
}

sub exported
{
	my ($library) = @_;
	my @names = map { (split)[2] } `nm -D --defined-only '$library'`;
	return sort grep { defined } @names;
}

my @functions = functions_of_sql();
cmp_ok(scalar @functions, '>', 15, 'the scripts name C functions');
my @wanted = sort 'Pg_magic_func', '_PG_init', @functions, map { "pg_finfo_$_" } @functions;
is_deeply([ exported("$root/extension/pg_tide.so") ], \@wanted,
	'the library exports what SQL calls, and nothing else');

# The sources must be clean for it, as for any build with VPATH: a copy of them.
my $copy = tempdir(CLEANUP => 1);
my $elsewhere = tempdir(CLEANUP => 1);
is(system("cd '$root' && git ls-files -z extension sql test/isolation | tar -c --null -T - | tar -x -C '$copy'"), 0, 'copied');
my $log = `cd '$elsewhere' && make -s -j2 -f '$copy/extension/Makefile' VPATH='$copy/extension' CFLAGS=-O0 with_llvm=no 2>&1`;
is($?, 0, 'it builds in another folder') or diag($log);
is_deeply([ exported("$elsewhere/pg_tide.so") ], \@wanted, 'and the library has everything');
my @objects = glob "$copy/extension/src/*/*.o";
is_deeply(\@objects, [], 'nothing was written beside the sources');

my $regress = `cd '$elsewhere' && make -n -f '$copy/extension/Makefile' VPATH='$copy/extension' installcheck with_llvm=no 2>&1`;
like($regress, qr/\bpush_order\b/, 'its installcheck finds the tests');
like($regress, qr/\bpush-push\b/, 'and the isolation specs');
done_testing();
