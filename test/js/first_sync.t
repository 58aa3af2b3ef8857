# The first sync of many rows with each library; first_sync.mjs says how many.
use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";
use JsTest;

JsTest::prepare();
JsTest::database();
JsTest::run_node('first_sync.mjs');
