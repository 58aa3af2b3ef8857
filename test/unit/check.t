# Builds and runs check_test.c, whose TAP is this test's own.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";
use TideUnit qw(run_unit);

run_unit('check_test');
