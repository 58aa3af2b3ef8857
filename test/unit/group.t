# Builds and runs group_test, whose TAP is this test's own.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);

my $gateway = dirname(abs_path(__FILE__)) . '/../../gateway';
my $build   = tempdir(CLEANUP => 1);
my $program = "$build/group_test";

my $log = `make -s -C "$gateway" TEST_BUILD="$build" "$program" 2>&1`;
if ($? != 0)
{
	print "1..1\nnot ok 1 - group_test builds\n";
	$log =~ s/^/# /mg;
	print $log;
	exit 1;
}
exit(system($program) == 0 ? 0 : 1);
