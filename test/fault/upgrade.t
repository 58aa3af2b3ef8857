# pg_upgrade: another system identifier, so the old cursors give a reset; what is
# tracked stays tracked, with its settings, and what pg_tide remembers is there.
#
# To a newer PostgreSQL if TIDE_NEW_BINDIR names the directory of its programs
# (pg_tide has to be built for it, too; scripts/test-upgrade does all that), else
# from one cluster to another of the same version, which makes all of the steps.
# Both have checksums, as PostgreSQL 18 has by default.
#
# Seen to fail with history_is_other() false.
use strict;
use warnings;

use FindBin ();
use lib $FindBin::Bin, "$FindBin::Bin/../property";
use Test::More;
use TideReplica ();
use TideTest qw(decode_json encode_json);

my $cluster = TideTest::Cluster->start;
my $new_bin = $ENV{TIDE_NEW_BINDIR} // $cluster->{bin};
plan skip_all => "there is no pg_upgrade in $new_bin" unless -x "$new_bin/pg_upgrade";

my $database = $cluster->create_database;
$cluster->sql($database, $TideReplica::SCHEMA);
$cluster->sql($database, <<'SQL');
CREATE TABLE "Work Out" (a int, b text, "userId" text, PRIMARY KEY (a, b));
CREATE INDEX ON "Work Out" ("userId", a, b);
SELECT tide.track('"Work Out"', entity_type => 'workout', scope => 'userId', conflict => 'client_wins');
INSERT INTO note SELECT i, 'u', i FROM generate_series(1, 20) i;
DELETE FROM note WHERE id > 15;
INSERT INTO "Work Out" VALUES (1, 'x', 'u'), (2, 'y', 'v');
SQL

sub push_sql
{
	my ($row, @more) = @_;
	return "SELECT tide.push('" . encode_json({ changes => { note => [$row] }, @more }) . "')";
}
my $batch = push_sql({ id => 40, owner => 'u', v => 40, lastModifiedAt => '2020-01-01T00:00:00Z' },
	batchId => 'b1');
my $first_reply = $cluster->sql($database, $batch);
my $replica = TideReplica->new->pull($cluster, $database);
my $time = $cluster->sql($database, q{SELECT tide.pull()->>'syncTimestamp'});

my $TRACKED = 'SELECT string_agg(t::text, chr(10) ORDER BY relation) FROM tide.tracked t';
my $REMEMBERED = 'SELECT (SELECT count(*) FROM tide.log), (SELECT count(*) FROM tide.tombstone), '
  . '(SELECT count(*) FROM tide.receipt), (SELECT count(*) FROM tide.sample)';
my $version = $cluster->sql($database, 'SHOW server_version');
my %before = map { $_ => $cluster->sql($database, $_) } $TRACKED, $REMEMBERED;

# ---------- the upgrade ----------

$cluster->down;
my $old = "$cluster->{directory}/old";
TideReplica::run('mv', $cluster->{data}, $old);
TideReplica::run('sh', '-c', '"$1/pg_controldata" "$2" | grep -q "checksum version: *[1-9]" ||
	"$1/pg_checksums" --enable --no-sync -D "$2"', 'sh', $cluster->{bin}, $old);
TideReplica::run("$new_bin/initdb", '-D', $cluster->{data}, '-U', 'postgres', '-A', 'trust', '-N',
	'-E', 'UTF8', '--locale=C', '--data-checksums');
TideReplica::run('sh', '-c', 'cd "$1" && exec "$2" -b "$3" -B "$4" -d "$5" -D "$6" -p "$7" -P "$7" '
	  . '-s "$1" -U postgres --link >upgrade.log 2>&1 || { cat upgrade.log >&2; exit 1; }',
	'sh', $cluster->{directory}, "$new_bin/pg_upgrade", $cluster->{bin}, $new_bin, $old,
	$cluster->{data}, $cluster->{port});
TideReplica::run('sh', '-c', 'printf "%s\n" "$2" >>"$1/postgresql.conf"', 'sh', $cluster->{data},
	"fsync = off\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '$cluster->{directory}'");
$cluster->{bin} = $new_bin;
$cluster->up or die $@;

# ---------- after it ----------

my ($major) = TideTest::run_program('', "$new_bin/postgres", '--version') =~ / (\d+)/;
is($cluster->sql($database, q{SELECT current_setting('server_version_num')::int / 10000,
	current_setting('data_checksums')}), "$major|on", "it is PostgreSQL $major, with checksums");
note "from $version to ", $cluster->sql($database, 'SHOW server_version');
is($cluster->sql($database, $TRACKED), $before{$TRACKED}, 'tracked as before');
is($cluster->sql($database, $REMEMBERED), $before{$REMEMBERED}, 'nothing is forgotten');
is($cluster->sql($database, $batch), $first_reply, 'a batch sent again gets its first reply');
is($cluster->sql($database, push_sql({ id => 18, owner => 'u', v => 18,
	lastModifiedAt => '2020-01-01T00:00:00Z' }) . "->'succeeded'->0->>'status'"), 'superseded',
	'a delete of before is still newer than an older version');
is($cluster->sql($database, "SELECT tide.pull('$time')->>'reset'"), 'false', 'a time is as good as before');

$cluster->sql($database, 'UPDATE note SET v = 100 WHERE id = 1; DELETE FROM note WHERE id = 2');
$replica->pull($cluster, $database);
is($replica->{reset}, 'other_database', 'the old cursor gives a reset');
is($replica->as_text, $replica->as_text($cluster, $database), 'and then what is there');

$cluster->sql($database, q{INSERT INTO note VALUES (30, 'u', 30); DELETE FROM note WHERE id = 3;
	UPDATE note SET v = 22 WHERE id = 4});
$replica->pull($cluster, $database);
is($replica->{reset}, undef, 'writes are recorded');
is($replica->{items}, 3, 'each of them, and no more');
is($replica->as_text, $replica->as_text($cluster, $database), 'the replica is what the table holds');
is($cluster->sql($database, q{SELECT string_agg(problem, ' ') FROM tide.check() WHERE severity = 'error'}),
	'', 'tide.check() sees no error');

$cluster->restart('fast');
$cluster->sql($database, 'UPDATE note SET v = 101 WHERE id = 1');
$replica->pull($cluster, $database);
is($replica->{reset}, undef, 'and a restart is one');
is($replica->as_text, $replica->as_text($cluster, $database), 'of the same history');
done_testing();
