#!/usr/bin/env perl
#
# The client's part of `make bench`: the first sync of many rows against the same
# rows inserted from a local JSON file, an exchange of 100 rows, what the triggers
# cost a write, and tide status of a large file.  Medians of ROUNDS; what is
# compared is run in turns.
#
#   client.pl URL DIRECTORY ROUNDS
#
# with psql connecting to the database, and DIRECTORY/client-token for user "u0".
use strict;
use warnings;

use Time::HiRes qw(time);

my ($url, $directory, $rounds) = @ARGV;
my $tide = 'client/tide';
my $token = "$directory/client-token";
my $settings = 'PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL';
my $rows = $ENV{TIDE_BENCH_ROWS} // 100_000;
my $many = 1_000_000;
$| = 1;

sub run
{
	my (@command) = @_;
	open my $pipe, '-|', @command or die "$command[0]: $!\n";
	my $output = do { local $/; <$pipe> } // '';
	close $pipe or die "@command failed\n";
	return $output;
}

sub psql { return run(qw(psql -X -q -At -v ON_ERROR_STOP=1), map { ('-c', $_) } @_) }
sub sqlite { my ($file, @sql) = @_; return run('sqlite3', '-batch', '-bail', $file, map { "$_;" } @sql) }
sub fresh { my ($file) = @_; unlink map { "$file$_" } '', '-wal', '-shm', '-tide-lock'; return $file; }
sub seconds { my ($work) = @_; my $began = time; $work->(); return time - $began; }
sub median { my @sorted = sort { $a <=> $b } @_; return $sorted[ @sorted / 2 ]; }
sub row { printf "%-58s %10s %10s %8s\n", @_; return; }

# one after the other, the next round the other way about
sub in_turns
{
	my ($left, $right) = @_;
	my (@left, @right);
	for my $round (1 .. $rounds)
	{
		push @left, $left->() if $round % 2;
		push @right, $right->();
		push @left, $left->() unless $round % 2;
	}
	return (median(@left), median(@right));
}

open STDERR, '>', "$directory/client-log" or die $!;
psql('DROP TABLE IF EXISTS bench_item',
	'CREATE TABLE bench_item (id text PRIMARY KEY, user_id text NOT NULL, name text, n int, weight numeric(8,2), at timestamptz(3))',
	'CREATE INDEX ON bench_item (user_id, id)',
	"SELECT tide.track('bench_item', scope => 'user_id')",
	"INSERT INTO bench_item SELECT gen_random_uuid(), 'u0', 'item ' || i, i, i / 100.0, now() FROM generate_series(1, $rows) i",
	'GRANT ALL ON bench_item TO tide_user');
my @clone = ($tide, 'clone', '--entity-types', 'bench_item', '--token-file', $token, $url);

print "\nThe client\n";
row('', 'tide', 'against', 'ratio');

# the first sync, and the same rows from a file
my $reference = fresh("$directory/reference.db");
run(@clone, $reference);
sqlite($reference, "SELECT writefile('$directory/rows.json', json_group_array(json_array(id, user_id, name, n, weight, at, lastModifiedAt, clientId))) FROM bench_item");
my ($first, $local) = in_turns(
	sub { my $file = fresh("$directory/first.db"); return seconds(sub { run(@clone, $file) }) },
	sub {
		my $file = fresh("$directory/local.db");
		return seconds(sub {
			sqlite($file, $settings,
				'CREATE TABLE bench_item (id TEXT NOT NULL PRIMARY KEY, user_id TEXT, name TEXT, n INTEGER, weight REAL, at TEXT, lastModifiedAt TEXT, clientId TEXT)',
				'CREATE INDEX bench_item_user ON bench_item (user_id)',
				"INSERT INTO bench_item SELECT " . join(', ', map { "value ->> $_" } 0 .. 7) . " FROM json_each(readfile('$directory/rows.json'))");
		});
	});
row("first sync of $rows rows, and from a local JSON file", sprintf('%.2f s', $first), sprintf('%.2f s', $local), sprintf('%.1f', $first / $local));

# 100 rows pushed by one device and pulled by another
my %device = map { $_ => fresh("$directory/$_.db") } qw(a b);
run(@clone, $_) for values %device;
my (@push, @pull);
for my $round (1 .. $rounds * 2)
{
	sqlite($device{a}, "UPDATE bench_item SET name = 'round $round' WHERE id IN (SELECT id FROM bench_item ORDER BY id LIMIT 100)");
	push @push, seconds(sub { run($tide, 'sync', $device{a}) });
	push @pull, seconds(sub { run($tide, 'sync', $device{b}) });
}
row('100 rows: tide sync that pushes, that pulls', sprintf('%.0f ms', 1000 * median(@push)), sprintf('%.0f ms', 1000 * median(@pull)), '');

# what the triggers cost
my $plain = "$directory/local.db";
for (['UPDATE of 10,000 rows in one statement', "UPDATE bench_item SET name = name || 'x' WHERE n <= 10000"],
	['INSERT of 10,000 rows in one statement', "INSERT INTO bench_item (id, user_id, name, n) SELECT lower(hex(randomblob(16))), 'u0', 'new', 1000000 + value FROM generate_series(1, 10000)"],
	['DELETE of 10,000 rows in one statement', 'DELETE FROM bench_item WHERE n > 1000000 AND n <= 1010000'])
{
	my ($what, $sql) = @$_;
	my ($with, $without) = in_turns(sub { return seconds(sub { sqlite($device{a}, $settings, $sql) }) },
		sub { return seconds(sub { sqlite($plain, $settings, $sql) }) });
	row("$what, without triggers", sprintf('%.0f ms', 1000 * $with), sprintf('%.0f ms', 1000 * $without), sprintf('%.1f', $with / $without));
}

# a large file with few edits
my $large = fresh("$directory/large.db");
run(@clone, $large);
sqlite($large, 'UPDATE tide_state SET applying = 1',
	"INSERT INTO bench_item (id, user_id, name, n) SELECT 'large' || value, 'u0', 'large', value FROM generate_series(1, $many - $rows)",
	'UPDATE tide_state SET applying = 0', "UPDATE bench_item SET name = 'dirty' WHERE n <= 10 AND id NOT LIKE 'large%'");
my @status = map { seconds(sub { run($tide, 'status', $large) }) } 1 .. 3 + 2 * $rounds;
row("tide status of $many rows, 10 of them dirty", sprintf('%.1f ms', 1000 * median(@status)), '', '');
fresh($_) for $reference, "$directory/first.db", $plain, values %device, $large;
