# tide attach: tables that an app has made are synced as they are, whatever it
# calls them and however it holds times; what does not fit is refused by name.
#
# Seen to fail with: the value held not compared in column_append_wire() (an
# untouched stamp came back in whole seconds); recheck_attached() not called.
use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Test::More;
use TideTest qw(decode_json encode_json);
use TideClient;

my $cluster = TideTest::Cluster->shared;
my $database = $cluster->create_synced(<<'SQL');
CREATE TABLE "TrainingPlan" (id text PRIMARY KEY, "athleteId" text NOT NULL, name text NOT NULL, "createdAt" timestamptz(3) NOT NULL DEFAULT now(),
	price numeric(30,10), "isDone" boolean NOT NULL DEFAULT false, "deletedAt" timestamptz);
CREATE TABLE "Entry" (day date, plan text REFERENCES "TrainingPlan", "athleteId" text NOT NULL, note text, PRIMARY KEY (day, plan));
CREATE TABLE unknown (id text PRIMARY KEY, "athleteId" text NOT NULL);
CREATE TABLE "Moment" (at timestamptz PRIMARY KEY, "athleteId" text NOT NULL, name text); CREATE INDEX ON "Moment" ("athleteId");
SELECT tide.track('"Moment"', scope => 'athleteId');
CREATE INDEX ON "TrainingPlan" ("athleteId"); CREATE INDEX ON "Entry" ("athleteId"); CREATE INDEX ON unknown ("athleteId");
SELECT tide.track('"TrainingPlan"', scope => 'athleteId', deleted_at => 'deletedAt');
SELECT tide.track('"Entry"', scope => 'athleteId');
SELECT tide.track('unknown', scope => 'athleteId');
INSERT INTO "TrainingPlan" (id, "athleteId", name, "createdAt", price) VALUES
	('equal', 'ann', 'same', '2024-05-06T07:08:09.123Z', 1.5), ('theirs', 'ann', 'of the server', '2024-05-06T07:08:09.123Z', 2),
	('both', 'ann', 'of the server', '2024-05-06T07:08:09.123Z', 3), ('only', 'ann', 'on the server', '2024-05-06T07:08:09.123Z', 123456789012345678.0123456789),
	('his', 'bob', 'of bob', now(), 0);
INSERT INTO "Entry" VALUES ('2024-01-01', 'equal', 'ann', 'first');
GRANT ALL ON "TrainingPlan", "Entry", "Moment", unknown TO tide_user;
SQL
my $gateway = TideTest::Gateway->start(cluster => $cluster, database => $database,
	settings => { 'maintain-interval' => 0 })->wait_until_ready;

sub server { return $cluster->sql($database, $_[0]); }

# An app's file, made by statements of its own.
sub app
{
	my ($sql, $name) = @_;
	my $app = TideClient->new($gateway, 'ann', name => $name);
	$app->sql($sql) if defined $sql;
	return $app;
}

sub attach
{
	my ($app, $map, @options) = @_;
	if ($map)
	{
		open my $out, '>', "$app->{directory}/map.json" or die $!;
		print {$out} ref $map ? encode_json($map) : $map;
		close $out;
		push @options, '--map', "$app->{directory}/map.json";
	}
	return $app->run($TideClient::program, 'attach', $app->{url}, $app->{file}, '--token-file', $app->{token_file}, @options);
}

# Drift: plural names with underscores, times in seconds, an isDirty of its own,
# a column of the app's alone, and none for the scope and the client
my $drift = app(<<'SQL');
CREATE TABLE training_plans (id TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL, created_at INTEGER NOT NULL DEFAULT 0, price REAL,
	is_done INTEGER NOT NULL DEFAULT 0 CHECK (is_done IN (0, 1)), deleted_at INTEGER, last_modified_at INTEGER,
	is_dirty INTEGER NOT NULL DEFAULT 0, last_synced_at INTEGER, color TEXT DEFAULT 'red');
CREATE TABLE entries (day TEXT NOT NULL, plan TEXT NOT NULL REFERENCES training_plans, note TEXT, PRIMARY KEY (day, plan)) WITHOUT ROWID;
CREATE TABLE settings (id INTEGER PRIMARY KEY, theme TEXT);
PRAGMA user_version = 7;
INSERT INTO training_plans (id, name, created_at, price, is_dirty) VALUES ('equal', 'same', 1714979289, 1.5, 0),
	('theirs', 'of the app', 1714979289, 2, 0), ('both', 'edited in the app', 1714979289, 3, 1), ('mine', 'only here', 1714979289, 4, 0);
INSERT INTO settings VALUES (1, 'dark');
SQL
my $run = attach($drift, { TrainingPlan => { times => 's' } });
is($run->{status}, 1, 'attach: some were lost') or diag $run->{err};
is($drift->sql('PRAGMA user_version'), 7, 'user_version stays the app\'s');
is($drift->sql("SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'tide%' AND name NOT LIKE 'sqlite%'"), 3, 'no other tables are made');
is($drift->sql("SELECT group_concat(id || ' ' || name, ', ') FROM (SELECT * FROM training_plans ORDER BY id)"),
	'both edited in the app, equal same, mine only here, only on the server, theirs of the server',
	'rows that differ take the server\'s version, unless they are dirty');
is(server(q{SELECT string_agg(id || ' ' || name, ', ' ORDER BY id) FROM "TrainingPlan" WHERE "athleteId" = 'ann'}),
	'both edited in the app, equal same, mine only here, only on the server, theirs of the server', '... what was only here, or dirty, is pushed');
my $lost = $drift->lost;
is(join(' ', map { "$_->{key} " . decode_json($_->{mine})->{name} } @$lost), 'theirs of the app', '... and what lost is shown');
is($drift->sql('SELECT count(*) FROM training_plans WHERE is_dirty'), 0, 'none is dirty now');
is($drift->sql("SELECT typeof(last_synced_at) || typeof(created_at) || typeof(last_modified_at) FROM training_plans WHERE id = 'equal'"),
	'integerintegerinteger', 'times are held as the app holds them');
is($drift->sql("SELECT created_at || ' ' || color FROM training_plans WHERE id = 'only'"), '1714979289 red', '... in seconds, beside a column of the app\'s alone');
is($drift->sql('SELECT note FROM entries'), 'first', 'a table without rowid, named in another plural');
$drift->tide('lost', '--clear');

is($drift->sync->{pulled}, 0, 'nothing is left to do');
$drift->sql("UPDATE training_plans SET name = 'renamed' WHERE id = 'only'");
is($drift->sql("SELECT is_dirty FROM training_plans WHERE id = 'only'"), 1, 'an edit makes it dirty');
$drift->sync;
is(server(q{SELECT concat_ws(' ', name, "createdAt" AT TIME ZONE 'UTC', price, "athleteId") FROM "TrainingPlan" WHERE id = 'only'}),
	'renamed 2024-05-06 07:08:09.123 123456789012345678.0123456789 ann', '... and what the app holds less exactly goes back as it came');
$drift->sql("UPDATE training_plans SET created_at = created_at + 10, price = 7.25 WHERE id = 'only'");
$drift->sync;
is(server(q{SELECT concat_ws(' ', "createdAt" AT TIME ZONE 'UTC', price) FROM "TrainingPlan" WHERE id = 'only'}),
	'2024-05-06 07:08:19 7.2500000000', '... unless it was edited');
$drift->sql("UPDATE training_plans SET deleted_at = 1714979300 WHERE id = 'only'");
$drift->sync;
is(server(q{SELECT "deletedAt" AT TIME ZONE 'UTC' FROM "TrainingPlan" WHERE id = 'only'}), '2024-05-06 07:08:20', 'a soft delete in seconds');
$drift->sql("INSERT INTO training_plans (id, name, is_done) VALUES ('new', 'new', 1); INSERT INTO entries VALUES ('2024-02-02', 'new', 'second')");
$drift->sync;
is(server(q{SELECT string_agg(concat_ws(' ', day, plan, "athleteId", note), ', ' ORDER BY day) FROM "Entry"}),
	'2024-01-01 equal ann first, 2024-02-02 new ann second', 'the server fills in the scope that the app has no column for');
server(q{UPDATE "TrainingPlan" SET name = 'by the server', "createdAt" = '2020-01-01T00:00:00.999Z' WHERE id = 'new'});
$drift->sync;
is($drift->sql("SELECT name || ' ' || created_at || ' ' || color FROM training_plans WHERE id = 'new'"), 'by the server 1577836800 red', 'the server\'s changes come');
$drift->sql("DELETE FROM entries WHERE plan = 'new'; INSERT OR REPLACE INTO training_plans (id, name) VALUES ('new', 'replaced')");
$drift->sync;
is(server(q{SELECT name FROM "TrainingPlan" WHERE id = 'new'}) . server('SELECT count(*) FROM "Entry"'), 'replaced1', 'REPLACE and DELETE go');
$drift->sql("UPDATE training_plans SET name = 'to be undone' WHERE id = 'equal'");
is($drift->tide('discard', 'TrainingPlan', 'equal')->{status}, 0, 'an edit is discarded');
is($drift->sql("SELECT name || created_at || is_dirty FROM training_plans WHERE id = 'equal'"), 'same17149792890', '... and the row is what it was');
is($drift->sync->{pushed}, 0, '... with nothing to push');
isnt($drift->try_sql("INSERT INTO training_plans (id, name) VALUES (NULL, 'x')")->{status}, 0, 'a row without a key is refused');
is($drift->sql('SELECT (SELECT count(*) FROM tide_base_training_plans) + (SELECT count(*) FROM tide_row_training_plans) - (SELECT count(*) FROM training_plans)'),
	0, 'nothing is left behind');

# the app grows: a column that the server has, and a table
$drift->sql("ALTER TABLE training_plans ADD COLUMN athlete_id TEXT; CREATE TABLE unknowns (id TEXT NOT NULL PRIMARY KEY, athleteId TEXT); INSERT INTO unknowns VALUES ('u', 'ann')");
server("INSERT INTO unknown VALUES ('s', 'ann')");
$drift->sync;
is($drift->sql("SELECT count(DISTINCT athlete_id) || min(athlete_id) FROM training_plans"), '1ann', 'a column that the app adds is filled');
$drift->sync;
is($drift->sql("SELECT group_concat(id, '') FROM (SELECT id FROM unknowns ORDER BY id)") . server("SELECT string_agg(id, '' ORDER BY id) FROM unknown"), 'susu', 'a table that it adds is synced');

# names by a map, milliseconds, a STRICT table
my $mapped = app("CREATE TABLE t (k TEXT NOT NULL PRIMARY KEY, owner TEXT, label TEXT, made INTEGER, price TEXT, done INTEGER, gone INTEGER) STRICT");
$run = attach($mapped, { TrainingPlan => { table => 't', times => 'ms',
	columns => { id => 'k', athleteId => 'owner', name => 'label', createdAt => 'made', isDone => 'done', deletedAt => 'gone' } } });
is($run->{status}, 0, 'a map names table and columns') or diag $run->{err};
is($mapped->sql("SELECT label || made FROM t WHERE k = 'equal'"), 'same1714979289123', '... with times in milliseconds');
$mapped->sql("UPDATE t SET made = made + 1 WHERE k = 'equal'");
$mapped->sync;
is(server(q{SELECT "createdAt" AT TIME ZONE 'UTC' FROM "TrainingPlan" WHERE id = 'equal'}), '2024-05-06 07:08:09.124', '... which go back');

is($mapped->tide('logout', '--wipe')->{status}, 0, 'logged out, and wiped');
is($mapped->sql('SELECT count(*) FROM t'), 0, '... the app\'s table is empty');
is($mapped->tide('sync', '--token-file', $mapped->{token_file})->{status}, 0, '... and with a token it is filled again');
is($mapped->sql("SELECT label || made FROM t WHERE k = 'equal'"), 'same1714979289124', '... as the map says');

# what does not fit
my $good = 'id TEXT NOT NULL PRIMARY KEY, name TEXT, athleteId TEXT';
for ([ 'a view', "CREATE TABLE x ($good); CREATE VIEW TrainingPlan AS SELECT * FROM x", qr/"TrainingPlan" is a view/ ],
	[ 'a missing column', 'CREATE TABLE TrainingPlan (id TEXT NOT NULL PRIMARY KEY)', qr/"name" of "TrainingPlan" is missing/ ],
	[ 'another key', 'CREATE TABLE TrainingPlan (n INTEGER PRIMARY KEY, id TEXT, name TEXT)', qr/primary key of "TrainingPlan"/ ],
	[ 'a UNIQUE constraint', "CREATE TABLE TrainingPlan ($good, UNIQUE (name))", qr/UNIQUE/ ],
	[ 'a key without case', 'CREATE TABLE TrainingPlan (id TEXT COLLATE NOCASE PRIMARY KEY, name TEXT)', qr/collation/ ],
	[ 'a generated column', 'CREATE TABLE TrainingPlan (id TEXT PRIMARY KEY, a TEXT, name TEXT AS (a))', qr/generated/ ],
	[ 'texts in a number', 'CREATE TABLE TrainingPlan (id TEXT PRIMARY KEY, name NUMERIC)', qr/makes numbers of texts/ ],
	[ 'a column that must have a value', "CREATE TABLE TrainingPlan ($good, extra TEXT NOT NULL)", qr/"extra" that is NOT NULL/ ],
	[ 'two tables of one name', "CREATE TABLE training_plans ($good); CREATE TABLE trainingplan ($good)", qr{both "training_plans" and "trainingplan"} ],
	[ 'a virtual table', 'CREATE VIRTUAL TABLE TrainingPlan USING fts5(id, name)', qr/virtual table/ ],
	[ 'times in a key', 'CREATE TABLE moments (at INTEGER NOT NULL PRIMARY KEY, name TEXT)', qr/"at" of "moments" is of the primary key/, '{"Moment": {"times": "s"}}' ],
	[ 'no table at all', 'CREATE TABLE other (a)', qr/no table of the file/ ])
{
	my ($what, $sql, $says, $map) = @$_;
	my $app = app($sql);
	$run = attach($app, $map);
	is($run->{status}, 5, "$what: 5");
	like($run->{err}, $says, '... by name');
	is($app->sql("SELECT count(*) FROM sqlite_schema WHERE type = 'trigger'"), 0, '... and nothing is attached');
}
for ([ '{', qr/not a JSON object/, 2 ], [ '{"TrainingPlan": {"times": "h"}}', qr/iso, s or ms/, 2 ],
	[ '{"TrainingPlan": {"columns": {"nmae": "name"}}}', qr/"nmae", which "TrainingPlan" has not/, 2 ],
	[ '{"TrainingPlan": {"table": "none"}}', qr/"none" that the map names/, 5 ],
	[ '{"TrainingPlan": {"columns": {"name": "label"}}}', qr/"label" that the map names/, 5 ])
{
	my ($map, $says, $status) = @$_;
	my $app = app("CREATE TABLE TrainingPlan ($good)");
	$run = attach($app, $map);
	is($run->{status}, $status, "$map: $status") or diag $run->{err};
	like($run->{err}, $says, '... and why');
	is($app->sql("SELECT count(*) FROM sqlite_schema WHERE name LIKE 'tide%'"), 0, '... and the file is as it was') if $status == 5;
	is(attach($app, '{"TrainingPlan": {}}')->{status}, 0, '... and a better map goes on') if $status == 5;
}
is(attach(app(undef, 'none.db'))->{status}, 5, 'no such file: 5');

# triggers of the app's
my $triggers = app(<<'SQL');
CREATE TABLE TrainingPlan (id TEXT NOT NULL PRIMARY KEY, name TEXT, athleteId TEXT);
CREATE TABLE Entry (day TEXT, plan TEXT, note TEXT, athleteId TEXT, PRIMARY KEY (day, plan));
CREATE TABLE log (id TEXT);
CREATE TRIGGER harmless AFTER INSERT ON TrainingPlan BEGIN INSERT INTO log SELECT NEW.id FROM TrainingPlan LIMIT 1; END;
CREATE TRIGGER touches AFTER INSERT ON TrainingPlan BEGIN UPDATE "Entry" SET note = 'x'; END;
CREATE TRIGGER skips BEFORE INSERT ON TrainingPlan WHEN NEW.id = 'mine' BEGIN SELECT RAISE(IGNORE); END;
CREATE TRIGGER stops BEFORE INSERT ON TrainingPlan WHEN NEW.id = 'both' BEGIN SELECT RAISE(ABORT, 'not this one'); END;
SQL
$run = attach($triggers);
is($run->{status}, 0, 'a file with triggers is attached') or diag $run->{err};
like($run->{err}, qr/the trigger touches on TrainingPlan/, '... one that writes another synced table is reported');
like($run->{err}, qr/the trigger skips on TrainingPlan/, '... so is one that skips rows');
unlike($run->{err}, qr/harmless/, '... one that writes elsewhere is not');
like($triggers->status->{warning}, qr/the trigger touches/, '... also by status');
is($triggers->sql("SELECT group_concat(key || ': ' || message, ', ') FROM (SELECT * FROM tide_refused ORDER BY key)"),
	'both: not this one, mine: a trigger of the app ignored the row', 'rows that they refuse are kept');
like($triggers->tide('sync')->{err}, qr/2 rows of the server are refused/, '... and reported');
$triggers->sql('DROP TRIGGER skips; DROP TRIGGER stops; DROP TRIGGER touches');
$triggers->sync;
is($triggers->sql("SELECT count(*) FROM TrainingPlan WHERE id IN ('both', 'mine')"), 2, '... until the triggers let them in');

# the app drops its table
$triggers->sql("UPDATE TrainingPlan SET name = 'waits' WHERE id = 'mine'; DROP TABLE Entry");
$run = $triggers->tide('sync');
is($run->{status}, 5, 'a table that the app dropped: 5');
like($run->{err}, qr/the table "Entry", which is synced, is no longer in the file/, '... and which it is');
is(scalar @{ $triggers->pending }, 1, '... and edits can be looked at');
is($triggers->status->{warning}, undef, '... and nothing is to be warned of');

done_testing;
