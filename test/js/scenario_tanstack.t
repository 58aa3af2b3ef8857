# TanStack DB through pg-tide/tanstack: the story of lib/scenario.mjs.
use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";
use JsTest;

JsTest::prepare();
JsTest::database();
JsTest::run_node('scenario_tanstack.mjs');
