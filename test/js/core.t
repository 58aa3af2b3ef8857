# The package without a server: unit/*.test.mjs, against fakes.
use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";
use JsTest;

JsTest::prepare();
chdir JsTest::directory() or die $!;
JsTest::run_node('--test', glob 'unit/*.test.mjs');
