# Values and keys that the wire does not have: they are kept and shown, never
# sent as something else, and never in the way of others.
#
# Seen to fail with: a number that is no time sent as NULL; a key that is not UTF-8
# ending every sync with "out of memory"; a key of another class than the wire's
# taken for a row that had vanished, anew at each sync; a BLOB of 510 MB.
use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Test::More;
use TideTest qw(encode_json);
use TideClient;

my $cluster = TideTest::Cluster->shared;
my $database = $cluster->create_synced(<<'SQL');
CREATE TABLE plan (id text PRIMARY KEY, user_id text NOT NULL, name text, at timestamptz, made timestamptz);
CREATE TABLE day (room text, id text, user_id text NOT NULL, note text, PRIMARY KEY (room, id));
CREATE TABLE file (id bytea PRIMARY KEY, user_id text NOT NULL, name text, content bytea);
CREATE INDEX ON plan (user_id); CREATE INDEX ON day (user_id); CREATE INDEX ON file (user_id);
SELECT tide.track(t::regclass, scope => 'user_id') FROM unnest('{plan,day,file}'::text[]) t;
INSERT INTO plan SELECT 'p' || i, 'ann', 'plan', '2024-05-06T07:08:09Z', '2024-05-06T07:08:09.123Z' FROM generate_series(1, 3) i;
INSERT INTO file VALUES ('\xabcd', 'ann', 'file', '\x01');
GRANT ALL ON plan, day, file TO tide_user;
SQL
my $gateway = TideTest::Gateway->start(cluster => $cluster, database => $database,
	settings => { 'maintain-interval' => 0 })->wait_until_ready;

sub server { return $cluster->sql($database, $_[0]); }

# numbers that are no times, in an app's own table
for my $form ('s', 'ms')
{
	my $own = TideClient->new($gateway, 'ann', name => "$form.db");
	$own->sql("CREATE TABLE plan (id TEXT NOT NULL PRIMARY KEY, user_id TEXT, name TEXT, at INTEGER, made INTEGER)");
	open my $out, '>', "$own->{directory}/map.json" or die $!;
	print {$out} encode_json({ plan => { times => $form } });
	close $out;
	my $run = $own->run($TideClient::program, 'attach', $own->{url}, $own->{file}, '--token-file', $own->{token_file}, '--map', "$own->{directory}/map.json");
	is($run->{status}, 0, "times in $form") or diag $run->{err};
	# years after 9999 and before 1: the number, and its seconds where PostgreSQL has the time
	for ($form eq 's' ? ([ '1700000000000000' ], [ '-99999999999', '-99999999999.000000' ]) :
		([ '9100000000000000000' ], [ '1700000000000000', '1700000000000.000000' ], [ '-99999999999999', '-99999999999.999000' ]))
	{
		my ($number, $seconds) = @$_;
		$own->sql("UPDATE plan SET at = $number, name = 'mine' WHERE id = 'p1'");
		$own->sync(defined $seconds ? 0 : 1);
		if (defined $seconds)
		{
			is(server("SELECT extract(epoch FROM at) FROM plan WHERE id = 'p1'"), $seconds, "$number arrives");
			next;
		}
		is($own->sql("SELECT at FROM plan WHERE id = 'p1'"), $number, "$number, which is no time of PostgreSQL's, is kept");
		is(server("SELECT name || (at IS NULL)::text FROM plan WHERE id = 'p1'"), 'planfalse', '... and not sent as NULL');
		is($own->tide('discard', 'plan', 'p1')->{status}, 0, '... but refused');
	}
	$own->sql("UPDATE plan SET at = " . ($form eq 's' ? 1700000000 : 1700000000000) . " WHERE id = 'p2'");
	$own->sync;
	is(server("SELECT at = '2023-11-14T22:13:20Z' FROM plan WHERE id = 'p2'"), 't', 'a number that is one arrives');
	server("UPDATE plan SET name = 'plan', at = '2024-05-06T07:08:09Z'");
}

done_testing;
