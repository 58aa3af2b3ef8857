# The folders' arrows point down: scripts/check-arrows on this tree, and on
# copies into which an include was planted that runs another way.
#
# Seen failing: with "push/push.h" included in extension/src/util/owner.c; the
# planted ones with the check's "next if" always true.
use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Path qw(make_path);
use File::Temp qw(tempdir);
use Test::More;

my $root = dirname(abs_path(__FILE__)) . '/../..';
my $check = "$root/scripts/check-arrows";

my $said = `"$check" 2>&1`;
is($?, 0, 'all includes of this tree run downwards') or diag($said);

# a tree of one file per folder that is named, and what the check says of it
sub planted
{
	my ($file, $include) = @_;
	my $tree = tempdir(CLEANUP => 1);

	for my $name ($file, $file =~ s{src/.*}{src/}r . $include)
	{
		make_path(dirname("$tree/$name"));
		open my $out, '>', "$tree/$name" or die $!;
		print {$out} qq(#include "postgres.h"\n);
		print {$out} qq(#include "$include"\n) if $name eq $file;
		close $out or die $!;
	}
	my $output = `"$check" "$tree" 2>&1`;
	return ($? >> 8, $output);
}

for (['extension/src/util/owner.c', 'push/push.h'], ['extension/src/pull/page.c', 'push/change.h'],
	['extension/src/log/records.h', 'capture/capture.h'], ['gateway/src/util/text.c', 'http/http.h'],
	['gateway/src/auth/key.c', 'database/job.h'])
{
	my ($status, $output) = planted(@$_);
	is($status, 1, "$_->[0] may not include $_->[1]");
	like($output, qr/\Q$_->[0]\E, line 2/, 'and the file and line are named');
}
my ($status, $output) = planted('extension/src/push/apply.c', 'log/records.h');
is($status, 0, 'one that runs downwards may be') or diag($output);
done_testing();
