# Which files of the gateway may include which library: HTTP, libpq and tokens
# have one place each.
#
# Seen to fail with <microhttpd.h> in http/request.c.
use strict;
use warnings;

use FindBin ();
use Test::More;

my $source = "$FindBin::Bin/../../gateway/src";

my %only_in = (
	'microhttpd.h'  => [qw(http/exchange.c http/http.c http/reply.c)],
	'libpq-fe.h'    => [qw(database/connection.c)],
	'cjose/cjose.h' => [qw(auth/key.c)],
);

my %seen;
for my $path (sort(glob("$source/*.[ch]"), glob("$source/*/*.[ch]")))
{
	my $file = substr $path, length("$source/");
	open my $handle, '<', $path or die "$path: $!";
	my $text = do { local $/; <$handle> };

	$seen{$_}{$file} = 1 for $text =~ /^#include <([^>]+)>/mg;
}
is_deeply [ sort keys %{ $seen{$_} } ], $only_in{$_}, "who includes $_" for sort keys %only_in;
done_testing();
