# What is edited while something is under way: a batch whose verdicts come after the
# row was edited, or deleted and made anew; a push amid the pages of a pull.
#
# Seen to fail with: the row that a soft delete gives back taken for what was made anew
# (it was deleted again, and its old values came back); a row made anew on a clock that
# is behind stamped before its deletion; a row that was edited while its batch was refused
# parked as what it was before; a verdict stored over what was edited without our
# triggers meanwhile, also that of an edit which was discarded; an edit of a row that has
# another form of its key on the server sent as if it were new; an interrupt that leaves a
# transaction open on the host's connection; a push before a pause taken for what the rest of
# the pull need not bring (what was staged before the push came over it).
use strict;
use warnings;

use FindBin ();

my $client = "$FindBin::Bin/../../client";
my $output = `make -s -C $client build/underway_test 2>&1`;
die $output if $? != 0;
exec "$client/build/underway_test" or die $!;
