# Allocations of a sync fail, one at a time: see memory_test.c.  STEP=1 for each
# of them.
use strict;
use warnings;

use FindBin ();

my $client = "$FindBin::Bin/../../client";
my $output = `make -s -C $client build/memory_test 2>&1`;
die $output if $? != 0;
exec "$client/build/memory_test", $ENV{STEP} // 149 or die $!;
