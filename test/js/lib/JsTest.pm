# What the .t files of this folder share: the packages of package-lock.json, the
# package under test as npm packs it, and a node program that speaks TAP.
package JsTest;

use strict;
use warnings;

use Digest::SHA ();
use Fcntl ':flock';
use File::Basename ();
use File::Path ();
use File::Temp ();
use TideTest ();

my $directory = TideTest::root_directory() . '/test/js';

sub directory { return $directory; }

sub skip
{
	my ($why) = @_;
	print "1..0 # SKIP $why\n";
	exit 0;
}

sub found
{
	my ($program) = @_;
	return grep { -x "$_/$program" } split /:/, $ENV{PATH};
}

sub slurp
{
	my ($file) = @_;
	open my $handle, '<', $file or return '';
	local $/;
	return scalar(<$handle>) // '';
}

# Installs what the tests need, once for each state of the lock file; skips
# where there is no npm, or where its registry is not reached.
sub prepare
{
	skip('there is no node') unless found('node');
	my ($major) = TideTest::run_program('', 'node', '--version') =~ /^v(\d+)/;
	skip("node $major is older than 18") if $major < 18;
	skip('there is no npm') unless found('npm');

	my $modules = "$directory/node_modules";
	File::Path::make_path($modules);
	open my $lock, '>', "$modules/.tide-lock" or die "$modules: $!";
	flock $lock, LOCK_EX or die $!;
	install_packages($modules);
	install_ours($modules);
	close $lock;
	return;
}

sub install_packages
{
	my ($modules) = @_;
	my $state = Digest::SHA::sha256_hex(slurp("$directory/package-lock.json"));
	return if slurp("$modules/.tide-installed") eq $state;
	# the other files of the suite need not wait for it as long
	my $unreachable = "$modules/.tide-unreachable";
	skip('npm does not reach its registry') if -e $unreachable && -M $unreachable < 0.01;
	my $log = `cd '$directory' && npm ci --no-audit --no-fund --ignore-scripts --fetch-retries=1 2>&1`;
	if ($? != 0)
	{
		die "npm ci failed:\n$log"
		  unless $log =~ /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENETUNREACH/;
		File::Path::make_path($modules);
		open my $file, '>', $unreachable or die $!;
		close $file;
		skip('npm does not reach its registry');
	}
	open my $file, '>', "$modules/.tide-installed" or die $!;
	print {$file} $state;
	close $file;
	return;
}

# The package as its users get it: only what npm packs is there.
sub install_ours
{
	my ($modules) = @_;
	my $packed = File::Temp->newdir('tide-npm-XXXXXX', TMPDIR => 1);
	my $source = TideTest::root_directory() . '/clients/js';
	TideTest::run_program('', 'npm', 'pack', '--silent', '--ignore-scripts',
		'--pack-destination', "$packed", $source);
	my ($archive) = glob "$packed/*.tgz";
	File::Path::remove_tree("$modules/pg-tide");
	File::Path::make_path("$modules/pg-tide");
	TideTest::run_program('', 'tar', '-xzf', $archive, '-C', "$modules/pg-tide",
		'--strip-components=1');
	return;
}

# An empty database with pg_tide, as the JSON that world.mjs reads.
sub database
{
	my ($setup) = @_;
	my $cluster = TideTest::Cluster->shared;
	my $database = $cluster->create_synced($setup // '');
	return settings($cluster, $database);
}

sub settings
{
	my ($cluster, $database, %more) = @_;
	$ENV{TIDE_JS} = TideTest::encode_json({
		conninfo => $cluster->conninfo($database),
		gatewayUrl => $cluster->conninfo($database, 'tide_gateway'),
		gateway => TideTest::Gateway::program(),
		secretFile => TideTest::Gateway::secret_file(),
		root => TideTest::root_directory(),
		%more });
	return;
}

# Run a program of this folder, which speaks TAP for us; its status is ours.  What
# it says in YAML of a test that failed goes to standard error: prove refuses a
# good part of node's YAML, stacks for one, and then shows nothing of the failure.
sub run_node
{
	my (@arguments) = @_;
	chdir $directory or die $!;
	$| = 1;
	open my $node, '-|', 'node', '--test-reporter=tap', @arguments or die "node: $!";
	my ($has_failed, $is_yaml);
	while (my $line = <$node>)
	{
		$has_failed = $1 if $line =~ /^\s*(not )?ok \d/;
		$is_yaml = 1 if $line =~ /^\s+---$/;
		if (!$is_yaml)
		{
			print $line;
		}
		elsif ($has_failed)
		{
			print STDERR "# $line";
		}
		$is_yaml = 0 if $line =~ /^\s+\.\.\.$/;
	}
	exit(close($node) ? 0 : 1);
}

1;
