# Which files of the gateway may include which library: HTTP, libpq and tokens
# have one place each; libpq's is a header that three files share. In the extension postgres.h comes first in each .c file,
# and in no header: PostgreSQL's own rule, since it settles what every header
# after it means.
#
# Seen to fail with <microhttpd.h> in http/request.c, with postgres.h in
# util/compat.h, and with postgres.h below the other includes of util/plan.c.
use strict;
use warnings;

use FindBin ();
use Test::More;

my $source = "$FindBin::Bin/../../gateway/src";

my %only_in = (
	'microhttpd.h'  => [qw(http/exchange.c http/http.c http/reply.c)],
	'libpq-fe.h'    => [qw(database/link.h)],
	'cjose/cjose.h' => [qw(auth/key.c)],
	# what these bring along
	'database/link.h' => [qw(database/call.h database/connection.c)],
	'database/call.h' => [qw(database/call.c database/run.c)],
);

my %seen;
for my $path (sort(glob("$source/*.[ch]"), glob("$source/*/*.[ch]")))
{
	my $file = substr $path, length("$source/");
	open my $handle, '<', $path or die "$path: $!";
	my $text = do { local $/; <$handle> };

	$seen{$_}{$file} = 1 for $text =~ /^#include [<"]([^">]+)[">]/mg;
}
is_deeply [ sort keys %{ $seen{$_} } ], $only_in{$_}, "who includes $_" for sort keys %only_in;

my $extension = "$FindBin::Bin/../../extension/src";
my (@in_header, @not_first);
my @files = (glob("$extension/*.[ch]"), glob("$extension/*/*.[ch]"));
for my $path (@files)
{
	my $file = substr $path, length("$extension/");
	open my $handle, '<', $path or die "$path: $!";
	my @included = do { local $/; <$handle> } =~ /^#include ["<]([^">]+)/mg;

	if ($path =~ /\.h\z/) { push @in_header, $file if grep { $_ eq 'postgres.h' } @included }
	else                    { push @not_first, $file if ($included[0] // '') ne 'postgres.h' }
}
cmp_ok scalar @files, '>', 80, 'files of the extension were found';
is_deeply \@in_header, [], 'no header of the extension includes postgres.h';
is_deeply \@not_first, [], 'and each .c file includes it first';
done_testing();
