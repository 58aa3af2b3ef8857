# The engine in virtual time against a server in memory, with sanitizers.
#
# Seen to fail with: an answer that had been kept taken for the end of the sync
# (the host's transaction); a discard done in another transaction than its command's end.
use strict;
use warnings;

use FindBin ();

my $client = "$FindBin::Bin/../../client";
my $output = `make -s -C $client build/engine_test 2>&1`;
die $output if $? != 0;
exec "$client/build/engine_test" or die $!;
