# Plain writes beside VACUUM ANALYZE, which invalidates the table each time.
#
# What a table is to pg_tide is loaded again then, in the midst of other work,
# and while further invalidations come.  A writer must never take what it has
# half loaded, or what was freed under it, for the table.
#
# Seen to fail with the trigger's arguments left in the relation cache while the
# catalogs are read: writers died with "its primary key has changed".
use strict;
use warnings;

use FindBin ();
use lib $FindBin::Bin, "$FindBin::Bin/../property";
use Test::More;
use TideSession ();
use TideTest ();
use Time::HiRes ();

my $cluster = TideTest::Cluster->start(settings => { autovacuum => 'off' });
my $database = $cluster->create_database;
$cluster->sql($database, <<'SQL');
CREATE EXTENSION pg_tide;
CREATE TABLE parent (id int PRIMARY KEY, owner text);
CREATE TABLE note (id int PRIMARY KEY, parent_id int REFERENCES parent, owner text, v int DEFAULT 0);
CREATE INDEX ON note (owner);
SELECT tide.track('parent', scope => 'owner');
SELECT tide.track('note', scope => 'owner', version => 'v');
INSERT INTO parent VALUES (1, 'a');
INSERT INTO note SELECT i, 1, 'a' FROM generate_series(1, 50) i;
SQL

my $seconds = $ENV{SECONDS} // 4;
my @writers = map { TideSession->new($cluster->conninfo($database)) } 1 .. 2;
my @vacuums = map { TideSession->new($cluster->conninfo($database)) } 1 .. 2;
my ($written, $vacuumed, @errors) = (0, 0);
my $deadline = Time::HiRes::time() + $seconds;

while (Time::HiRes::time() < $deadline && !@errors)
{
	for my $writer (@writers)
	{
		next if $writer->busy && !$writer->done(0);
		push @errors, $writer->output if $written && $writer->output =~ /ERROR/;
		$writer->send('UPDATE note SET owner = owner || $$x$$ WHERE id = '
			  . (1 + int rand 50) . '; SELECT 1 FROM tide.pull(); UPDATE parent SET owner = $$b$$');
		$written++;
	}
	for my $vacuum (@vacuums)
	{
		next if $vacuum->busy && !$vacuum->done(0);
		push @errors, $vacuum->output if $vacuumed && $vacuum->output =~ /ERROR/;
		$vacuum->send('VACUUM ANALYZE note; VACUUM ANALYZE parent');
		$vacuumed++;
	}
	select undef, undef, undef, 0.001;
}
for my $session (@writers, @vacuums)
{
	$session->wait(30);
	push @errors, $session->output if $session->output =~ /ERROR/;
}
is(join("\n", @errors), '', 'no writer and no VACUUM ended in an error');
cmp_ok($written, '>', 50, "there were writes ($written)");
cmp_ok($vacuumed, '>', 20, "and tables were vacuumed ($vacuumed)");
done_testing();
