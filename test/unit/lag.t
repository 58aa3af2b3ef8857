# Builds and runs lag_test.c, whose TAP is this test's own.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";
use TideUnit qw(run_unit);

run_unit('lag_test');
