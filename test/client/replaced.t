# The file is replaced by another state of its own while a request is out.
#
# Seen to fail with: each check of the place taken out (test/mutation, client-place-*).
use strict;
use warnings;

use FindBin ();

my $client = "$FindBin::Bin/../../client";
my $output = `make -s -C $client build/replaced_test 2>&1`;
die $output if $? != 0;
exec "$client/build/replaced_test" or die $!;
