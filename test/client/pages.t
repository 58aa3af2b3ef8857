# Pulls of several pages: types that come in full again, that go and come back,
# rows that the app's rules refuse.
#
# Seen to fail with: what came before its type comes in full counted as come again;
# lists of types to be read anew forgotten while a type is not there; a refused
# version kept when a later one of the same pull is stored, or stored over an edit that no
# trigger saw; an edited row that a rule of the app's keeps, which stopped every pull that
# was to park the edit; a server that takes no cursor of its own asked again and again.
use strict;
use warnings;

use FindBin ();

my $client = "$FindBin::Bin/../../client";
my $output = `make -s -C $client build/pages_test 2>&1`;
die $output if $? != 0;
exec "$client/build/pages_test" or die $!;
