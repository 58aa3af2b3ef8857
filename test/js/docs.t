# The programs of docs/clients.md, as they stand.
use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";
use JsTest;

JsTest::prepare();
JsTest::database();
JsTest::run_node('docs.mjs');
