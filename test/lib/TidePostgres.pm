package TidePostgres;

# A copy of the installed PostgreSQL, for another pg_tide than the installed one, and
# what scripts/cluster says of a cluster.

use strict;
use warnings;
use Cwd ();
use Exporter qw(import);
use File::Basename ();
use File::Path ();

our @EXPORT_OK = qw(copy_postgres cluster_environment);

sub config_directory
{
	my ($program, $which) = @_;
	chomp(my $directory = `'$program' --$which`);
	die "$program --$which failed\n" if $? || $directory eq '';
	return $directory;
}

# The directory of the copy's programs, under DIRECTORY. PostgreSQL finds its files
# by where its programs are: copied so that these lie to each other as before, it
# takes the copy for its installation.
sub copy_postgres
{
	my ($directory) = @_;
	chomp(my $original = `command -v '${\($ENV{PG_CONFIG} // 'pg_config')}'`);
	my @directories = map { Cwd::abs_path(config_directory($original, $_)) } 'bindir', 'pkglibdir', 'sharedir';
	my @common = split m{/}, $directories[0];
	for my $path (@directories)
	{
		pop @common while index("$path/", join('/', @common, '')) != 0;
	}
	my $prefix = join '/', @common;
	die "$original is installed in no directory of its own\n" if $prefix eq '';
	my @headers = map { config_directory($original, $_) } 'includedir', 'includedir-server';
	for my $path (@directories, grep { -d && index($_, "$prefix/") == 0 } @headers)
	{
		my $copy = $directory . substr($path, length $prefix);
		next if -e $copy;
		File::Path::make_path(File::Basename::dirname($copy));
		system('cp', '-a', $path, $copy) == 0 or die "$path cannot be copied\n";
	}
	my $bin = $directory . substr($directories[0], length $prefix);
	die "the copy of PostgreSQL does not know its place\n"
	  if index(config_directory("$bin/pg_config", 'pkglibdir'), $directory) != 0;
	return $bin;
}

# The variables that `scripts/cluster start` prints, but for PATH.
sub cluster_environment
{
	my ($text) = @_;
	my %environment = $text =~ /([A-Z_]+)='?([^'\s]+)'?/g;
	delete $environment{PATH};
	return %environment;
}

1;
