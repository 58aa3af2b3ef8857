# Builds and runs ack_test, whose TAP is this test's own.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);

my $dir   = dirname(abs_path(__FILE__));
my $build = tempdir(CLEANUP => 1);

my $log = `make -s -C "$dir" BUILD="$build" all 2>&1`;
if ($? != 0)
{
	print "1..1\nnot ok 1 - ack_test builds\n";
	$log =~ s/^/# /mg;
	print $log;
	exit 1;
}
my $status = system("$build/ack_test", $ENV{TIDE_SEED} ? $ENV{TIDE_SEED} : ());
exit($status == 0 ? 0 : 1);
