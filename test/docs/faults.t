# test/faults.md names tests that are there.
#
# Seen failing with a file name misspelled.
use strict;
use warnings;

use FindBin ();
use Test::More;

my $root = "$FindBin::Bin/../..";
open my $handle, '<', "$root/test/faults.md" or die "test/faults.md: $!";
my @rows = grep { /^\| / && !/^\| \| found/ } <$handle>;
for my $row (@rows)
{
	my ($number, $found, $tests) = $row =~ /^\| (\w*) ?\| (.+) \| (.+) \|$/ or do { fail "read: $row"; next };
	my @files = $tests =~ /`([^`]+)`/g;
	my @missing = grep { !-e "$root/$_" } @files;
	ok @files && !@missing, "$number $found" or diag "not there: @missing";
}
cmp_ok scalar @rows, '>=', 90, 'all of them are listed';
done_testing;
