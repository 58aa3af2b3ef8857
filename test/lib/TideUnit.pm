package TideUnit;

# A unit test in C: build it and run it, and its TAP is that of the calling test.
# TIDE_SEED is the seed of its random input.

use strict;
use warnings;

use Cwd qw(abs_path);
use Exporter qw(import);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);

our @EXPORT_OK = qw(run_unit);

my $root = abs_path(dirname(abs_path(__FILE__)) . '/../..');

# gateway/Makefile names the sources of each test of the gateway's code;
# test/unit/Makefile builds those of the extension's.
sub command_to_build
{
	my ($name, $build) = @_;

	open my $makefile, '<', "$root/gateway/Makefile" or die "gateway/Makefile: $!";
	return "make -s -C '$root/gateway' TEST_BUILD='$build' '$build/$name'"
		if grep { /^$name = / } <$makefile>;
	return "make -s -C '$root/test/unit' BUILD='$build' '$build/$name'";
}

sub run_unit
{
	my ($name) = @_;
	my $build = tempdir(CLEANUP => 1);
	my $log   = qx(${\ command_to_build($name, $build)} 2>&1);

	if ($? != 0)
	{
		print "1..1\nnot ok 1 - $name builds\n";
		$log =~ s/^/# /mg;
		print $log;
		exit 1;
	}
	exit(system("$build/$name", $ENV{TIDE_SEED} // ()) == 0 ? 0 : 1);
}

1;
