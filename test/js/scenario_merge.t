# TanStack DB through pg-tide/tanstack: the story where columns merge, so that edits are sent as patches.
use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";
use JsTest;

JsTest::prepare();
JsTest::database();
JsTest::run_node('scenario_tanstack.mjs', 'merge');
