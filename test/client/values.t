# Values of all kinds come to the device, stay what they are, and go back so.
#
# Seen to fail with: strtod() as numbers of kind numeric; "%.15g" alone for
# doubles; NUMERIC affinity for a column of texts.
use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Test::More;
use TideTest qw(decode_json);
use TideClient;

my $cluster = TideTest::Cluster->shared;
my $database = $cluster->create_synced(<<'SQL');
CREATE DOMAIN positive AS numeric CHECK (VALUE > 0);
CREATE TYPE mood AS ENUM ('glad', 'sad');
CREATE TABLE thing (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id text NOT NULL, name text,
	small smallint, whole int, big bigint, flag boolean, single real, double double precision,
	amount numeric(10,2), exact numeric, digits numeric(30,5), code text, fixed char(5), short varchar(9),
	day date, at timestamptz, local timestamp, clock time, long interval, bytes bytea,
	doc json, docb jsonb, list int[], words text[], pos positive, mood mood, addr inet);
CREATE INDEX ON thing (user_id);
CREATE TABLE blob_key (id bytea PRIMARY KEY, user_id text NOT NULL, v text);
CREATE INDEX ON blob_key (user_id);
CREATE TYPE spot AS (x int, label text);
CREATE TABLE place (id int PRIMARY KEY, user_id text NOT NULL, name text, spot spot, spots spot[]);
CREATE INDEX ON place (user_id);
SELECT tide.track('place', scope => 'user_id');
INSERT INTO place VALUES (1, 'ann', 'place', ROW(1, 'a "b"'), ARRAY[ROW(2, NULL)::spot]);
GRANT ALL ON place TO tide_user;
SELECT tide.track('thing', scope => 'user_id');
SELECT tide.track('blob_key', scope => 'user_id');
INSERT INTO thing VALUES
('00000000-0000-4000-8000-000000000001', 'ann', 'ordinary', 1, 2, 9223372036854775807, true, 0.1, 0.1,
 12.50, 123456789012345678901234567890.123456789, 1234567890123456789012345.12345, '12e5', 'ab', 'short',
 '2024-02-29', '2024-02-29T12:34:56.123456Z', '2024-02-29T01:02:03', '12:34:56.5', '1 day 02:03:04', '\x00ff10',
 '{"b" : 1.50,  "a": [ "\u00e9" ]}', '{"b": [1, null, "x"]}', '{1,NULL,3}', '{a,"b c",NULL}', 0.10, 'glad', '10.0.0.1/8'),
('00000000-0000-4000-8000-000000000002', 'ann', 'extreme', -32768, -2147483648, -9223372036854775808, false, 'NaN', 'Infinity',
 'NaN', 'NaN', -0.00001, E'tab\there "quotes" \\ and \u00e9 \U0001F600', '', '',
 '0001-01-01', '1970-01-01', '9999-12-31T23:59:59.999999', '00:00', '-1 years', '', '"text"', '"text"', '{}', '{}', 12345678901234567890.5, NULL, NULL),
('00000000-0000-4000-8000-000000000003', 'ann', 'seventeen', NULL, NULL, 9007199254740993, NULL, 3.4028235e38, 0.30000000000000004,
 NULL, 1e-20, NULL, '0012', NULL, '1.0', NULL, NULL, NULL, NULL, NULL, NULL, '[null]', NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO thing (id, user_id, name) VALUES ('00000000-0000-4000-8000-000000000004', 'ann', 'nulls');
INSERT INTO blob_key VALUES ('\x00', 'ann', 'zero'), ('\xff27', 'ann', 'quote');
GRANT ALL ON thing, blob_key TO tide_user;
SQL
my $gateway = TideTest::Gateway->start(cluster => $cluster, database => $database,
	settings => { 'maintain-interval' => 0 })->wait_until_ready;
my $device = TideClient->new($gateway, 'ann');
$device->clone;

sub server { return $cluster->sql($database, $_[0]); }

# All that is no bookkeeping, as PostgreSQL writes it.
sub rows
{
	return server(q{SET extra_float_digits = 1;
		SELECT id, user_id, small, whole, big, flag, single, double, amount, exact, digits, code, fixed, short,
		day, at, local, clock, long, bytes, doc::jsonb, docb, list, words, pos, mood, addr FROM thing ORDER BY id});
}

my %class = map { split /\|/ } split /\n/, $device->sql(
	join ' UNION ALL ', map { "SELECT '$_', typeof(\"$_\") FROM thing WHERE name = 'ordinary'" }
	  qw(id small big flag single double amount exact digits code day at bytes doc list pos mood));
is_deeply(\%class, { id => 'text', small => 'integer', big => 'integer', flag => 'integer',
		single => 'real', double => 'real', amount => 'real', exact => 'text', digits => 'text',
		code => 'text', day => 'text', at => 'text', bytes => 'blob', doc => 'text', list => 'text',
		pos => 'text', mood => 'text' }, 'each type has its class');
is($device->sql("SELECT code FROM thing WHERE name = 'ordinary'"), '12e5', 'text that looks like a number stays text');
is($device->sql("SELECT quote(bytes) FROM thing WHERE name = 'ordinary'"), "X'00FF10'", 'bytes are bytes');
is($device->sql("SELECT double || ' ' || exact FROM thing WHERE name = 'extreme'"), 'Infinity NaN', 'no numbers are texts');

# untouched but for the name: all else goes back as it was
my $before = rows();
$device->sql("UPDATE thing SET name = name || '!'");
is($device->sync->{pushed}, 4, 'four rows are pushed');
is(server("SELECT string_agg(name, ' ' ORDER BY id) FROM thing"), 'ordinary! extreme! seventeen! nulls!', 'they arrive');
my $after = rows();
is($after, $before, 'every other value is what it was');
is($device->sql('SELECT count(*) FROM tide_pending'), 0, 'all are clean');
my $second = TideClient->new($gateway, 'ann');
$second->clone;
is($second->sql('SELECT * FROM thing ORDER BY id'), $device->sql('SELECT * FROM thing ORDER BY id'),
	'a second device has the same');

# what a device writes
$device->sql("UPDATE thing SET bytes = x'DEADBEEF', big = -9007199254740993, exact = '0.1234567890123456789012345',"
	  . " double = 0.1 + 0.2, flag = 1, doc = '{\"x\":1.10}', list = '[1,2]' WHERE name = 'nulls!'");
$device->python("db.execute('INSERT INTO thing (user_id, name, bytes, double) VALUES (?, ?, ?, ?)', ('ann', 'python', b'\\x00\\xff', 1e308))");
is($device->sql("SELECT count(*) FROM tide_base_thing WHERE name = 'nulls!'"), 1, 'a row with a BLOB has a base');
$device->sync;
is(server("SELECT concat_ws(' ', bytes, big, exact, double, flag, doc, list) FROM thing WHERE name = 'nulls!'"),
	'\xdeadbeef -9007199254740993 0.1234567890123456789012345 0.30000000000000004 t {"x": 1.10} {1,2}', 'values of a device arrive');
is(server("SELECT concat_ws(' ', bytes, double) FROM thing WHERE name = 'python'"), '\x00ff 1e+308', '... by Python, too');

# a value of another class goes as it is: the server judges
$device->sql("UPDATE thing SET flag = 'true', whole = '17' WHERE name = 'nulls!'");
$device->sync;
is(server("SELECT flag::text || whole FROM thing WHERE name = 'nulls!'"), 'true17', 'what PostgreSQL reads, it takes');
$device->sql("UPDATE thing SET whole = 'many' WHERE name = 'nulls!'; UPDATE thing SET whole = 18 WHERE name = 'ordinary!'");
my $run = $device->sync(1);
is("$run->{failed} $run->{pushed}", '1 1', 'what it does not read fails alone');
is($device->pending->[0]{code}, '22P02', '... with the reason');
is($device->tide('discard', 'thing', '00000000-0000-4000-8000-000000000004')->{status}, 0, '... and is discarded');
is($device->sql("SELECT whole FROM thing WHERE name = 'nulls!'"), '17', '... which brings the server\'s value back');

# a text that is none is in nobody's way
$device->sql("UPDATE thing SET code = CAST(x'ff00' AS TEXT) WHERE name = 'nulls!'; UPDATE thing SET code = 'good' WHERE name = 'ordinary!'");
$run = $device->sync(1);
is($device->pending->[0]{code}, 'invalid_text', 'a text that is not UTF-8 is parked');
is(server("SELECT code FROM thing WHERE name = 'ordinary!'"), 'good', '... and the others go');
$device->tide('discard', 'thing', '00000000-0000-4000-8000-000000000004');

# objects that are of a type of the user's
is($device->sql('SELECT spot FROM place'), '{"x":1,"label":"a \"b\""}', 'a composite value is an object');
$device->sql("UPDATE place SET name = 'touched'");
$device->sync;
is(server('SELECT concat_ws(chr(32), spot, spots, name) FROM place'), q[(1,"a ""b""") {"(2,)"} touched], '... and goes back so');
$device->sql(q[UPDATE place SET spot = '{"x":3,"label":null}']);
$device->sync;
is(server('SELECT spot FROM place'), '(3,)', '... also as a device writes it');

# keys of bytes
is($device->sql("SELECT quote(id) FROM blob_key ORDER BY id"), "X'00'\nX'FF27'", 'keys of bytes are bytes');
# by two programs, as the order within one millisecond is nobody's
$device->sql("UPDATE blob_key SET v = 'edited' WHERE id = x'ff27'");
$device->sql("DELETE FROM blob_key WHERE id = x'00'");
is(join(' ', map { $_->{key} } @{ $device->pending }), '\xff27 \x00', '... and pending as on the wire');
$device->sync;
is(server("SELECT concat(id, v) FROM blob_key"), '\xff27edited', '... and pushed');

done_testing;
