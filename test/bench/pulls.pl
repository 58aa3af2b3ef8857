#!/usr/bin/env perl
#
# What a pull costs its backend, by the rows it brings, the rows of the table, the
# tables that are tracked and the scopes of the user: processor time as the kernel
# counts it (cost.c), so that other programs on the machine matter little.
#
#   pulls.pl DIRECTORY ROUNDS
#
# with psql connecting to a server whose databases pulls_* are not there yet.
# With TIDE_BENCH_SVG=FILE the curves go to that file, too.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use TideBench;
use PullPlot;

my ($directory, $rounds) = @ARGV;
my $operations = 200;
my @reply_rows = (0, 1, 10, 100, 1000);
my @table_rows = (1_000, 10_000, 100_000, 1_000_000);
my @tables = (1, 10, 100, 300);
my @scopes = (1, 10, 100, 1000);
my $page = 100;					# rows of a reply, where something else is varied

$ENV{PGOPTIONS} = '-c client_min_messages=warning';
$| = 1;

# -- the databases

# A user's scopes are in a table: NAME, NAME-2, NAME-3 ... The rows of others make the
# table as large as it is to be.
sub make_database
{
	my ($name, $table_rows, $table_count) = @_;
	my $create = '(id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id text NOT NULL, title text NOT NULL, notes text,'
		. ' position integer NOT NULL, weight_kg numeric(6,2) NOT NULL, done boolean NOT NULL DEFAULT false)';
	my $columns = '(user_id, title, notes, position, weight_kg)';
	my $of = "'Bench Press ' || n, 'five by five, two minutes of rest', n % 100, n % 200";

	output_of('createdb', $name);
	local $ENV{PGDATABASE} = $name;
	psql('CREATE EXTENSION pg_tide', 'CREATE TABLE scopes_of (user_id text PRIMARY KEY, scopes text[] NOT NULL)',
		'GRANT SELECT ON scopes_of TO tide_user',
		'CREATE FUNCTION my_scopes(claims jsonb) RETURNS text[] STABLE LANGUAGE sql AS $$'
			. " SELECT scopes FROM scopes_of WHERE user_id = claims->>'sub' \$\$",
		"ALTER DATABASE $name SET pg_tide.scopes_function = 'public.my_scopes'");
	for my $n (1 .. $table_count)
	{
		my $others = $n == 1 ? $table_rows : 100;
		psql("CREATE TABLE pulled$n $create", "CREATE INDEX ON pulled$n (user_id, id)",
			"SELECT tide.track('pulled$n', scope => 'user_id')", "GRANT SELECT ON pulled$n TO tide_user",
			"INSERT INTO pulled$n $columns SELECT 'other' || n % 1000, $of FROM generate_series(1, $others) n");
	}
	return;
}

sub identity
{
	my ($user) = @_;
	return "{\"sub\":\"$user\",\"exp\":4000000000}";
}

# what a statement says to a user
sub said_to
{
	my ($user, $statement) = @_;
	return (split /\n/, psql("SET request.jwt.claims = '" . identity($user) . "'", $statement))[-1];
}

# A cursor of the user, behind which so many rows were written.
sub cursor_before
{
	my ($user, $scopes, $rows) = @_;

	psql("INSERT INTO scopes_of SELECT '$user', array_agg('$user' || CASE n WHEN 1 THEN '' ELSE '-' || n END) FROM generate_series(1, $scopes) n",
		'ANALYZE scopes_of');
	my $cursor = said_to($user, "SELECT tide.pull('now')->>'cursor'");
	psql("INSERT INTO pulled1 (user_id, title, notes, position, weight_kg)"
			. " SELECT '$user' || CASE n % $scopes WHEN 0 THEN '' ELSE '-' || 1 + n % $scopes END,"
			. " 'Bench Press ' || n, 'five by five, two minutes of rest', n % 100, n % 200 FROM generate_series(1, $rows) n",
		'VACUUM ANALYZE pulled1');
	return $cursor;
}

# -- the scripts: as the gateway pulls

my @scripts;
sub add_script
{
	my ($name, $database, $rows, $scopes) = @_;
	my $file = "$directory/$name";
	my $limit = $rows || 500;
	local $ENV{PGDATABASE} = $database;
	my $cursor = cursor_before($name, $scopes, $rows);
	my $brought = said_to($name, 'SELECT count(*) FROM'
			. " json_each(tide.pull('$cursor', max_rows => $limit)->'changesByType') t, json_array_elements(t.value)");

	die "$name: $brought rows were to be $rows\n" if $brought != $rows;
	open my $out, '>', $file or die "$file: $!\n";
	print $out "-- in $database\n", join("\n", 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY',
		"SELECT set_config('request.jwt.claims', \$1, true), set_config('pg_tide.client_id', \$2, true), set_config('pg_tide.times', \$3, true),"
			. " set_config('pg_tide.max_time_rows', \$4, true), set_config('pg_tide.max_push_changes', \$5, true),"
			. " set_config('statement_timeout', \$6, true), set_config('idle_in_transaction_session_timeout', \$6, true),"
			. " set_config('lock_timeout', \$7, true), pg_is_in_recovery()",
		(map { "\t$_" } identity($name), 'phone', 'iso', 100_000, 5000, 30_000, '1s'),
		"SELECT set_config('role', \$1, true)", "\ttide_user",
		'SELECT (c.p).reply, (c.p).items, (c.p).news, (c.p).cursor, (c.p).interest'
			. ' FROM (SELECT tide.pull_page($1::text, NULL, NULL, $2::integer, NULL, NULL, max_bytes => 16777216) AS p) AS c',
		"\t$cursor", "\t$limit",
		'COMMIT'), "\n";
	close $out;
	push @scripts, $file;
	return $name;
}

make_database('pulls_rows', 100_000, 1);
my @panels = { title => 'rows of the reply', lines => [ { name => '',
	points => [ map { { at => $_, script => add_script("rows-of-reply-$_", 'pulls_rows', $_, 1) } } @reply_rows ] } ] };

# one line of pulls that find nothing, one of pulls of a page
sub add_panel
{
	my ($title, $prefix, @points) = @_;
	my (@idle, @paged);

	for my $point (@points)
	{
		my ($at, $database, $scopes) = @$point;
		push @idle, { at => $at, script => add_script("$prefix-$at-idle", $database, 0, $scopes) };
		push @paged, { at => $at, script => add_script("$prefix-$at-page", $database, $page, $scopes) };
	}
	push @panels, { title => $title, lines => [ { name => 'nothing new', points => \@idle }, { name => "$page rows", points => \@paged } ] };
	return;
}

make_database("pulls_size_$_", $_, 1) for @table_rows;
add_panel('rows of the table', 'size', map { [ $_, "pulls_size_$_", 1 ] } @table_rows);
make_database("pulls_tables_$_", 1000, $_) for @tables;
add_panel('tables that are tracked', 'tables', map { [ $_, "pulls_tables_$_", 1 ] } @tables);
make_database('pulls_scopes', 100_000, 1);
add_panel('scopes of the user', 'scopes', map { [ $_, 'pulls_scopes', $_ ] } @scopes);

# -- the run: all of them in turns

my %cost;
for (split /\n/, output_of('test/bench/cost', "host=$ENV{PGHOST} port=$ENV{PGPORT} user=tide_gateway dbname=pulls_rows",
		$rounds, $operations, @scripts))
{
	my ($name, $least, $median) = split ' ';
	$cost{$name} = $median;
}

for my $panel (@panels)
{
	for my $line (@{ $panel->{lines} })
	{
		my $first = $cost{ $line->{points}[0]{script} };
		printf "\n%-34s %10s %8s\n", "a pull by the $panel->{title}" . ($line->{name} && ", $line->{name}"), 'backend', 'ratio';
		for my $point (@{ $line->{points} })
		{
			$point->{cost} = $cost{ $point->{script} } // die "$point->{script} was not measured\n";
			printf "%34s %7.0f us %8.2f\n", PullPlot::label($point->{at}), $point->{cost}, $point->{cost} / $first;
		}
	}
}
my $idle = sub { my ($panel) = @_; my $points = $panels[$panel]{lines}[0]{points}; return $points->[-1]{cost} / $points->[0]{cost} };
print "\n";
report_alone('idle pull with 300 tracked tables, against 1', $idle->(2), '%10.2f', 1.2);
report_alone('idle pull of 1,000 scopes, against 1', $idle->(3), '%10.2f', 3);

PullPlot::write_file($ENV{TIDE_BENCH_SVG}, @panels) if $ENV{TIDE_BENCH_SVG};
