# The loop over libcurl against a server in memory behind a socket: loop_test.c.
#
# Seen to fail with: tries of a held file counted instead of timed; a resume that
# only the thread at work takes; a stop that is kept; tokens that are asked for at
# once; "idle" told by a watch that is stopped offline; what a callback's call
# says taken for the verify's own; a statement of the host's that writes not seen.
use strict;
use warnings;

use Cwd ();
use File::Temp ();
use FindBin ();

my $client = Cwd::abs_path("$FindBin::Bin/../../client");
my $output = `make -s -C $client build/loop_test 2>&1`;
die $output if $? != 0;
my $directory = File::Temp->newdir('tide-client-XXXXXX', TMPDIR => 1);
chdir $directory or die $!;
my $status = system("$client/build/loop_test");
chdir '/';						# the directory goes
exit($status == 0 ? 0 : 1);
