# Includes run one way: which folder of the gateway may use which, and which
# file may include which library.
#
# Seen to fail with "http/http.h" included in util/text.c, and with
# <microhttpd.h> in http/request.c.
use strict;
use warnings;

use FindBin ();
use Test::More;

my $source = "$FindBin::Bin/../../gateway/src";

my %may_use = (
	''       => [qw(http auth database util)],
	http     => [qw(http api auth database util)],
	api      => [qw(api auth database util)],
	auth     => [qw(auth util)],
	database => [qw(database util)],
	util     => [qw(util)],
);

my %only_in = (
	'microhttpd.h'  => [qw(http/exchange.c http/http.c http/reply.c)],
	'libpq-fe.h'    => [qw(database/connection.c)],
	'cjose/cjose.h' => [qw(auth/key.c)],
);

my %seen;
for my $path (sort(glob("$source/*.[ch]"), glob("$source/*/*.[ch]")))
{
	my $file = substr $path, length("$source/");
	my ($folder) = $file =~ m{^(?:(\w+)/)?[^/]+$};
	$folder //= '';
	open my $handle, '<', $path or die "$path: $!";
	my $text = do { local $/; <$handle> };

	my @ours = grep { $_ ne 'openapi.inc' } $text =~ /^#include "([^"]+)"/mg;
	my @wrong;
	for my $include (@ours)
	{
		my ($other) = $include =~ m{^(\w+)/};
		push @wrong, $include unless grep { $_ eq ($other // '-') } @{ $may_use{$folder} // [] };
	}
	is_deeply \@wrong, [], "$file includes nothing that its folder may not use";
	$seen{$_}{$file} = 1 for $text =~ /^#include <([^>]+)>/mg;
}
is_deeply [ sort keys %{ $seen{$_} } ], $only_in{$_}, "who includes $_" for sort keys %only_in;
done_testing();
