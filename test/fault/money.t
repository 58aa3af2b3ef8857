# Amounts of the type money: what their digits mean depends on lc_monetary.  A
# session that has set another one sends and reads amounts as all others do, and
# what it deletes comes back as it was.
#
# Seen to fail without set_money() in wire/text.c: the pull had "$1,234.56", and
# the row came back with another amount.
use strict;
use warnings;

use File::Temp ();
use Test::More;
use TideTest qw(decode_json encode_json);

my $locales = File::Temp->newdir(TEMPLATE => 'tide-locales-XXXXXX', TMPDIR => 1);
chmod 0755, $locales;
system('localedef', '-i', 'de_DE', '-f', 'UTF-8', "$locales/de_DE.UTF-8") == 0
  or plan skip_all => 'no locales can be made here';

$ENV{LOCPATH} = "$locales";
my $cluster = TideTest::Cluster->start(settings => { lc_monetary => "'de_DE.UTF-8'" });
my $database = $cluster->create_database;
$cluster->sql($database, <<'SQL');
CREATE EXTENSION pg_tide;
CREATE TABLE bill (id int PRIMARY KEY, total money, parts money[], note text, at timestamptz, by text);
SELECT tide.track('bill', shared => true, modified_at => 'at', client_id => 'by', conflict => 'merge');
INSERT INTO bill VALUES (1, 1234.56::numeric::money, ARRAY[2::money]), (2, 7, NULL);
SQL

sub rows
{
	my ($settings) = @_;
	my $reply = decode_json($cluster->sql($database, "$settings; SELECT tide.pull(NULL)"));
	return [ map { [ $_->{id}, $_->{total}, $_->{parts} ] }
		  sort { $a->{id} <=> $b->{id} } @{ $reply->{changesByType}{bill} } ];
}

sub amounts
{
	return $cluster->sql($database, 'SELECT id, total::numeric, parts[1]::numeric FROM bill ORDER BY id');
}

my @here = ("RESET lc_monetary", "SET lc_monetary = 'C'");
my $german = rows($here[0]);
is($german->[0][1], "1.234,56 \x{20ac}", 'amounts have the text of the setting that sessions begin with');
is_deeply(rows($here[1]), $german, 'in a session with another one, too');

my $before = amounts();
my $change = encode_json({ changes => { bill => [ map { { id => $_->[0], total => $_->[1],
	parts => $_->[2], note => 'back' } } @$german ] } });
$cluster->sql($database, "$here[1]; SELECT tide.push('$change')");
is(amounts(), $before, 'it reads them, too');

$cluster->sql($database, "$here[1]; DELETE FROM bill");
$cluster->sql($database, "SELECT tide.push('{\"changes\": {\"bill\": [{\"id\": 1, \"note\": \"a\"}, {\"id\": 2, \"note\": \"b\"}]}}')");
is(amounts(), $before, 'and what it deletes comes back');
done_testing();
