# Allocations of a sync fail, one at a time: see memory_test.c.  Each 149th of them,
# from a random one on; STEP=1 for each, SEED for the same ones again.
use strict;
use warnings;

use FindBin ();

my $client = "$FindBin::Bin/../../client";
my $output = `make -s -C $client build/memory_test 2>&1`;
die $output if $? != 0;
my $seed = $ENV{SEED} // int rand 1_000_000;
print "# SEED=$seed\n";
$| = 1;
exec "$client/build/memory_test", $ENV{STEP} // 149, $seed or die $!;
