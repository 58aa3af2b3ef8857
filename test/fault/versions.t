# Versions of the SQL objects.  Script 0.1.0 is released and frozen; what came
# later is in a script that goes on from there.  So:
#
# - an updated database has what a new one has, to the last comment;
# - data, cursors and replays of the old version are as good afterwards;
# - a database that is not updated yet works with the new library;
# - the new objects refuse an older library, and say so;
# - an update under writers, pushes and pulls loses no change.
#
# Seen to fail with a column added to tide.log in pg_tide--0.1.0.sql (frozen);
# with a GRANT in a script pg_tide--0.2.0.sql that the update lacks (the
# catalogs differ); with DELETE FROM tide.receipt in the update (a batch is
# stored twice); without the EXCEPTION of the update's first block (the
# message); without check_version().
use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use File::Temp ();
use FindBin ();
use lib $FindBin::Bin, "$FindBin::Bin/../property";
use POSIX ();
use Test::More;
use TideReplica ();
use TideTest qw(decode_json encode_json wait_for);

my $root = TideTest::root_directory();
my $cluster = $ENV{TIDE_TEST_CLUSTER} ? TideTest::Cluster->shared : TideTest::Cluster->start;

sub file
{
	my ($name) = @_;
	open my $file, '<', "$root/$name" or die "$name: $!";
	local $/;
	return scalar <$file>;
}

sub catalog
{
	my ($database, $extension) = @_;
	return $cluster->sql($database, "\\set extension $extension\n" . file('test/lib/catalog.sql'));
}

# The lines that only one of two texts has.
sub difference
{
	my ($one, $other) = map { my %seen = map { $_ => 1 } split /\n/; \%seen } @_;
	return join "\n", (map { "- $_" } grep { !$other->{$_} } sort keys %$one),
	  map { "+ $_" } grep { !$one->{$_} } sort keys %$other;
}

sub push_sql
{
	my ($row, @more) = @_;
	return "SELECT tide.push('" . encode_json({ changes => { note => [$row] }, @more }) . "')";
}

# ---------- scripts ----------

my %released = (
	'pg_tide--0.1.0.sql' => '88a61b99b115a912e7cf6c1ae1f025f95ff7c53dcec5391dbb7cafaec1c08dc5',
	'pg_tide_auth--0.1.0.sql' => 'a176c248339248118d3ddbc1feac857108e500c90a0c06bb81a0da7d72362b34');
is(sha256_hex(file("extension/$_")), $released{$_}, "$_ is as it was released: changes come as an update")
  for sort keys %released;

my ($newest) = file('extension/pg_tide.control') =~ /^default_version = '([\d.]+)'/m;
my %says = (
	'META.json' => qr/"version": "([\d.]+)",\n   "maintainer"/,
	'debian/changelog' => qr/\Apg-tide \(([\d.]+)-/,
	'extension/src/util/settings.h' => qr/TIDE_VERSION "([\d.]+)"/,
	'gateway/src/util/version.h' => qr/VERSION\s+"([\d.]+)"/,
	'gateway/openapi.json' => qr/"version": "([\d.]+)"/,
	'client/include/tide.h' => qr/TIDE_VERSION "([\d.]+)"/,
	'clients/js/package.json' => qr/"version": "([\d.]+)"/);
is((file($_) =~ $says{$_})[0], $newest, "the version in $_") for sort keys %says;
is_deeply([ decode_json(file('META.json'))->{provides}{pg_tide}{version} ], [$newest], 'and of what META.json provides');

# ---------- an update ----------

my $fresh = $cluster->create_database;
$cluster->sql($fresh, 'CREATE EXTENSION pg_tide; CREATE EXTENSION pg_tide_auth CASCADE');

my $database = $cluster->create_database;
(my $schema = $TideReplica::SCHEMA) =~ s/EXTENSION pg_tide/EXTENSION pg_tide VERSION '0.1.0'/;
$cluster->sql($database, $schema);
$cluster->sql($database, <<'SQL');
CREATE TABLE plan (id int PRIMARY KEY, owner text, title text, days int);
CREATE INDEX ON plan (owner, id);
SELECT tide.track('plan', scope => 'owner', conflict => 'merge');
INSERT INTO plan VALUES (1, 'u', 'p', 3);
INSERT INTO note SELECT i, 'u', i FROM generate_series(1, 20) i;
DELETE FROM note WHERE id > 15;
SQL
my $batch = push_sql({ id => 40, owner => 'u', v => 40, lastModifiedAt => '2020-01-01T00:00:00Z' }, batchId => 'b1');
my $reply = $cluster->sql($database, $batch);
$cluster->sql($database, push_sql({ id => 1, owner => 'u', v => 99, lastModifiedAt => '2001-01-01T00:00:00Z' }));
my $replica = TideReplica->new->pull($cluster, $database);
is($replica->as_text, $replica->as_text($cluster, $database), 'the new library serves the objects of 0.1.0');
like($cluster->sql($database, q{SELECT problem || ' ' || hint FROM tide.check() WHERE object = 'pg_tide'}),
	qr/of version 0\.1\.0, the library .* \Q$newest\E ALTER EXTENSION pg_tide UPDATE/,
	'tide.check() says that they are of two versions');

my $held = 'SELECT (SELECT count(*) FROM tide.log), (SELECT count(*) FROM tide.tombstone), '
  . '(SELECT count(*) FROM tide.receipt), (SELECT count(*) FROM tide.conflict), (SELECT count(*) FROM tide.sent), '
  . '(SELECT string_agg(t::text, chr(10)) FROM tide.tracked t)';
my $before = $cluster->sql($database, $held);
$cluster->sql($database, "ALTER EXTENSION pg_tide UPDATE; CREATE EXTENSION pg_tide_auth VERSION '0.1.0' CASCADE;"
	  . 'ALTER EXTENSION pg_tide_auth UPDATE');

for my $extension ('pg_tide', 'pg_tide_auth')
{
	my @catalogs = map { catalog($_, $extension) } $fresh, $database;
	cmp_ok(scalar(split /\n/, $catalogs[0]), '>', 40, "$extension has a catalog");
	is(difference(@catalogs), '', "$extension: an updated database has what a new one has");
}
is($cluster->sql($database, 'SELECT tide.version()'), $newest, 'the library says its version');
is($cluster->sql($database, $held), $before, 'nothing is forgotten');
is($cluster->sql($database, q{SELECT count(*) FROM tide.check() WHERE severity = 'error' OR object = 'pg_tide'}), 0,
	'tide.check() has nothing to say');
is($cluster->sql($database, $batch), $reply, 'a batch sent again gets its first reply');
is($cluster->sql($database, push_sql({ id => 18, owner => 'u', v => 18, lastModifiedAt => '2020-01-01T00:00:00Z' })
	  . "->'succeeded'->0->>'status'"), 'superseded', 'a delete of before is still newer than an older version');
is($cluster->sql($database, q{SELECT (tide.restore(id)).status FROM tide.conflicts WHERE lost->>'v' = '99';
	SELECT v FROM note WHERE id = 1}), "applied\n99", 'what lost can be restored');
$cluster->sql($database, 'UPDATE note SET v = 100 WHERE id = 2; DELETE FROM note WHERE id = 3');
$replica->pull($cluster, $database);
is($replica->{reset}, undef, 'the cursor of before goes on');
is($replica->as_text, $replica->as_text($cluster, $database), 'and brings what changed');

# ---------- an older library ----------

# any library that lacks what the new objects call is as good as an older one
my ($guard) = file('extension/pg_tide--0.1.0--0.2.0.sql') =~ /^(DO \$guard\$.*?^\$guard\$;)$/ms;
my $old = $cluster->create_database;
$cluster->sql($old, 'CREATE SCHEMA tide');
$guard =~ s/MODULE_PATHNAME/\$libdir\/plpgsql/;
eval { $cluster->sql($old, $guard) };
like($@, qr/ERROR:  pg_tide 0\.2\.0 does not run with the library of pg_tide 0\.1\.0/, 'an older library is refused');
like($@, qr/HINT:  Install pg_tide 0\.2\.0 on the server, connect again/, 'and the hint says what to do');

# ---------- an update while everybody works ----------

my $busy = $cluster->create_database;
$cluster->sql($busy, $schema);
my $late = TideReplica->new->pull($cluster, $busy);
my $end = $cluster->create_database;	# its existence says: go on
sub until_told
{
	my ($work) = @_;
	my $n = 0;
	while ($cluster->sql('postgres', "SELECT count(*) FROM pg_database WHERE datname = '$end'")) { $work->($n++) }
	return;
}

# a process that works until it is told; the file has what went wrong
sub worker
{
	my ($work) = @_;
	my $file = File::Temp->new;
	my $process = fork // die $!;
	if ($process == 0)
	{
		eval { until_told($work); 1 } or print {$file} $@;
		$file->flush;
		POSIX::_exit(0);
	}
	return { process => $process, file => $file };
}

sub said
{
	my ($worker) = @_;
	waitpid $worker->{process}, 0;
	open my $file, '<', $worker->{file}->filename or die $!;
	local $/;
	return <$file> // '';
}

my @workers = (
	(map { my $base = $_ * 1000; worker(sub {
		my $id = $base + $_[0];
		$cluster->sql($busy, join ' ', map { "BEGIN; INSERT INTO note VALUES (${id}0 + $_, 'u', $_); "
			  . "UPDATE note SET v = v + 1 WHERE id = ${id}0; DELETE FROM note WHERE id = ${id}0 + 3; COMMIT;" } 0 .. 4);
	}) } 1, 2),
	worker(sub {
		my $failed = $cluster->sql($busy, join ';', map { push_sql({ id => -10 * $_[0] - $_, owner => 'u', v => 1 })
			  . "->'summary'->>'failed'" } 1 .. 5);
		die "a push failed: $failed" if $failed !~ /\A[0\n]+\z/;
	}),
	worker(sub { $cluster->sql($busy, 'SELECT FROM tide.pull(max_rows => 50)') }));
my $written = 'SELECT count(*) FILTER (WHERE id > 0) > %d AND count(*) FILTER (WHERE id < 0) > %d FROM note';
wait_for('all of them work', 60, sub { $cluster->sql($busy, sprintf $written, 10, 5) eq 't' });
$cluster->sql($busy, 'ALTER EXTENSION pg_tide UPDATE');
my ($rows, $pushed) = split /\|/, $cluster->sql($busy,
	'SELECT count(*) FILTER (WHERE id > 0), count(*) FILTER (WHERE id < 0) FROM note');
wait_for('they work on', 60, sub { $cluster->sql($busy, sprintf $written, $rows + 10, $pushed + 5) eq 't' });
$cluster->sql('postgres', "DROP DATABASE $end");
is(said($_), '', 'nobody failed') for @workers;
$late->pull($cluster, $busy);
is($late->{reset}, undef, 'a cursor from before the update goes on');
is($late->as_text, $late->as_text($cluster, $busy), 'and no change is lost');
is($cluster->sql($busy, q{SELECT extversion FROM pg_extension WHERE extname = 'pg_tide'}), $newest, 'it is updated');
done_testing();
