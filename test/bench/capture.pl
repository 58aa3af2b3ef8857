#!/usr/bin/env perl
#
# What tracking costs plain statements: in bulk, and row by row as pgbench sends
# them, each in a transaction of its own.
#
#   capture.pl DIRECTORY ROUNDS
#
# with psql and pgbench connecting to the database of bench.sql.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use TideBench;

my ($directory, $rounds) = @ARGV;
$TideBench::rounds = $rounds;
my $seconds = $ENV{TIDE_BENCH_SECONDS} // 4;

$ENV{PGOPTIONS} = '-c client_min_messages=warning';
$| = 1;

# -- bulk statements: 100,000 rows of 1,000 users into new tables

my $bulk = sub {
	my ($table, $tracked, $inserted, $updated) = @_;
	return sub {
		psql("DROP TABLE IF EXISTS $table",
			"CREATE TABLE $table (LIKE bench_plain INCLUDING ALL)",
			$tracked ? "SELECT tide.track('$table', scope => 'user_id')" : ());
		push @$inserted, seconds_of("INSERT INTO $table (id, user_id, title, notes, position,"
				. ' weight_kg, done) SELECT * FROM bench_source');
		psql("VACUUM ANALYZE $table");
		push @$updated, seconds_of("UPDATE $table SET position = position + 1");
		return 1;
	};
};
my (@tracked_insert, @tracked_update, @plain_insert, @plain_update);

in_turns($bulk->('bulk_tracked', 1, \@tracked_insert, \@tracked_update),
	$bulk->('bulk_plain', 0, \@plain_insert, \@plain_update));

# -- one row a transaction, by one session

my %statement = (
	insert => 'INSERT INTO one_%s (id, user_id, title, notes, position, weight_kg) VALUES'
		. " (gen_random_uuid(), 'u' || :n %% 8, 'Bench Press', 'five by five', :n, 20)",
	update => "UPDATE one_%s SET position = position + 1 WHERE id = md5((:n)::text)::uuid");
for my $table ('tracked', 'plain')
{
	psql("DROP TABLE IF EXISTS one_$table", "CREATE TABLE one_$table (LIKE bench_plain INCLUDING ALL)",
		"INSERT INTO one_$table (id, user_id, title, notes, position, weight_kg, done) SELECT * FROM bench_source",
		$table eq 'tracked' ? "SELECT tide.track('one_$table', scope => 'user_id')" : (), "VACUUM ANALYZE one_$table");
}

# microseconds of a transaction
sub one_row
{
	my ($what, $table, $async) = @_;
	my $file = "$directory/one-row";

	open my $script, '>', $file or die "$file: $!\n";
	print $script "\\set n random(1, 100000)\n", sprintf("$statement{$what};\n", $table);
	close $script;
	local $ENV{PGOPTIONS} = "$ENV{PGOPTIONS} -c synchronous_commit=" . ($async ? 'off' : 'on');
	psql('CHECKPOINT');
	my ($latency) = output_of(qw(pgbench -n -M prepared -T), $seconds, '-f', $file) =~ /latency average = ([\d.]+) ms/
		or die "pgbench printed no latency\n";
	return $latency * 1000;
}
my %one = map { my ($what, $async) = split; ($_ => [ in_turns(sub { one_row($what, 'tracked', $async) }, sub { one_row($what, 'plain', $async) }) ]) }
	'insert 0', 'update 0', 'insert 1', 'update 1';

printf "\n%-34s %10s %10s %-7s %6s\n", 'Plain SQL', 'tracked', 'untracked', '', 'ratio';
report('bulk insert of 100,000 rows', 's', \@tracked_insert, \@plain_insert, 1.15, 0);
report('bulk update of 100,000 rows', 's', \@tracked_update, \@plain_update, 1.25, 0);
report('insert of a row', 'us', @{ $one{'insert 0'} }, 1.05, 0);
report('update of a row', 'us', @{ $one{'update 0'} }, 1.10, 0);
report('insert, synchronous_commit = off', 'us', @{ $one{'insert 1'} }, 1.3, 0);
report('update, synchronous_commit = off', 'us', @{ $one{'update 1'} }, 1.25, 0);
