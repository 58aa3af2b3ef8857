# examples/web in headless Chromium: page.mjs.  Leaves screenshots in shots/.
use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";
use JsTest;
use TideTest;

my ($chromium) = grep { -x } map { my $at = $_; map { "$at/$_" } qw(chromium chromium-browser) }
  split /:/, $ENV{PATH};
JsTest::skip('there is no chromium') unless $chromium;
JsTest::prepare();
my $cluster = TideTest::Cluster->shared;
JsTest::settings($cluster, $cluster->create_example('liftlogger'), chromium => $chromium);
JsTest::run_node('page.mjs');
