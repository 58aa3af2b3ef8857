# A disk that fills up, a file that others hold or that may not be written, two
# handles in one process: see disk_test.c.  STEP=1 for each write.
#
# Seen to fail with: sql_end() without its ROLLBACK; lock_take() by fcntl().
use strict;
use warnings;

use File::Temp ();
use FindBin ();

my $client = "$FindBin::Bin/../../client";
my $directory = File::Temp->newdir('tide-disk-XXXXXX', TMPDIR => 1);
my $output = `make -s -C $client build/disk_test 2>&1`;
die $output if $? != 0;
system "$client/build/disk_test", $directory, $ENV{STEP} // 7;
exit($? >> 8 || $? & 127);
