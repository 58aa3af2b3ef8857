# test/faults.md names tests that are there, and commits of this history.
#
# Seen failing with a file name misspelled, and with a digit of a commit altered.
use strict;
use warnings;

use FindBin ();
use Test::More;

my $root = "$FindBin::Bin/../..";

sub is_in_history
{
	return system("git -C '$root' merge-base --is-ancestor $_[0] HEAD 2>/dev/null") == 0;
}

# a source archive has no history, a shallow clone only its end: without the
# first commit there is nothing to look in
my $history = is_in_history('547018d');
diag 'no history here: the commits are not looked for' if !$history;

open my $handle, '<', "$root/test/faults.md" or die "test/faults.md: $!";
my @rows = grep { /^\| / && !/^\| \| found/ } <$handle>;
for my $row (@rows)
{
	my ($number, $found, $commits, $tests) = $row =~ /^\| (\w*) ?\| (.+) \| ([0-9a-f]{7}(?:, [0-9a-f]{7})*) \| (.+) \|$/
		or do { fail "read: $row"; next };
	my @files = $tests =~ /`([^`]+)`/g;
	my @missing = grep { !-e "$root/$_" } @files;
	push @missing, grep { !is_in_history($_) } split /, /, $commits if $history;
	ok @files && !@missing, "$number $found" or diag "not there: @missing";
}
cmp_ok scalar @rows, '>=', 90, 'all of them are listed';
done_testing;
