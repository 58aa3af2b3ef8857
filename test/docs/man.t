# The manual page of the gateway has the settings that the program has, in its
# order and with its defaults.
use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";
use Test::More;
use TideTest;

my $root = TideTest::root_directory();

sub settings
{
	my ($text, $pattern) = @_;
	my @found;
	push @found, "$1 $2" while $text =~ /$pattern/g;
	return \@found;
}

my $help = `$root/gateway/tide-gateway --help`;
is $?, 0, 'the program prints its help';
open my $file, '<', "$root/gateway/tide-gateway.8" or die "tide-gateway.8: $!\n";
my $page = do { local $/; <$file> };

my $printed = settings($help, qr/^  --([a-z-]+)(?: \*)?  \(TIDE_[A-Z_]+, default: (.*)\)$/m);
cmp_ok scalar(@$printed), '>', 30, 'it names its settings';
is_deeply settings($page, qr/^\.It Fl -([a-z-]+)(?: Pq restart)?\n(?:.*\n)??Default: (.*)\.$/m), $printed,
  'the page has the same';
is_deeply [ $page =~ /^\.It Fl -([a-z-]+) Pq restart$/mg ], [ $help =~ /^  --([a-z-]+) \*/mg ],
  'and says of the same that they need a restart';

done_testing;
