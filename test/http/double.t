# FakeTide.sql, the double that tests of the gateway alone ask, against pg_tide:
# what the gateway calls has the same arguments and results in both, and what it
# reads in them has the same members.
#
# Seen to fail: with pull_lines of the double without "page_bytes" and push_json
# without "scopes", as they were.
use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";
use Test::More;
use TideTest qw(decode_json);

my $cluster = TideTest::Cluster->shared;
my $real = $cluster->create_synced(<<'SQL');
CREATE TABLE note (id text PRIMARY KEY, user_id text NOT NULL, body text);
CREATE INDEX ON note (user_id, id);
SELECT tide.track('note', scope => 'user_id');
INSERT INTO note VALUES ('n1', 'u1', 'x');
SQL
my $fake = $cluster->create_fake;

# its own, by which tests make it misbehave
my %own = map { ($_ => 1) } qw(echo misbehave end_marked_session);

# name => arguments, without what is their default; and results
sub functions
{
	my ($database) = @_;
	my $rows = $cluster->sql($database, <<'SQL');
SELECT json_object_agg(p.proname, (
	SELECT coalesce(string_agg(concat_ws(' ', nullif(a.mode::text, 'i'), a.name, format_type(a.type, NULL)), ', ' ORDER BY a.n), '')
	FROM ROWS FROM (unnest(p.proargmodes), unnest(p.proargnames), unnest(coalesce(p.proallargtypes, p.proargtypes::oid[])))
		WITH ORDINALITY AS a(mode, name, type, n))
	|| ' -> ' || p.prorettype::regtype)
FROM pg_proc AS p WHERE p.pronamespace = 'tide'::regnamespace AND p.prokind = 'f'
SQL
	return decode_json($rows);
}

my ($of_real, $of_fake) = (functions($real), functions($fake));
for my $name (sort grep { !$own{$_} } keys %$of_fake)
{
	is $of_fake->{$name}, $of_real->{$name}, "tide.$name";
}

# the gateway calls nothing that the double has not
my %called;
for my $file (glob "$FindBin::Bin/../../gateway/src/*/*.c")
{
	open my $in, '<', $file or die $!;
	local $/;
	my $text = <$in> =~ s{/\*.*?\*/}{}gsr;
	$called{$1} = 1 while $text =~ /\btide\.([a-z_]+)\(/g;
}
is_deeply [ grep { !$of_real->{$_} } sort keys %called ], [], 'what the gateway calls is there';
note 'called: ', join ' ', sort keys %called;

sub members { return join ' ', sort keys %{ $_[0] } }

sub page
{
	my ($database, $since) = @_;
	my ($reply, $interest) = split /\n/, $cluster->sql($database, <<"SQL");
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SELECT set_config('request.jwt.claims', '{"sub":"u1"}', true), '' \\g /dev/null
SELECT p.reply::text || E'\\n' || p.interest::text FROM tide.pull_page($since) p;
COMMIT;
SQL
	return (decode_json($reply), decode_json($interest));
}

my (undef, $interest) = page($real, q{'now'});
my ($quiet, $fake_interest) = page($fake, q{'wait'});
is members($fake_interest), members($interest), 'members of an interest';
my ($reply) = page($real, q{'now'});
for my $member (grep { $_ ne 'empty' } sort keys %$quiet)
{
	ok exists $reply->{$member}, "a reply of pull has \"$member\"";
	is ref $quiet->{$member}, ref $reply->{$member}, 'of the same kind';
}

sub look { return $cluster->sql($_[0], q{SELECT mark IS NOT NULL, at > 1e12, known, scopes, types FROM tide.watch(NULL)}) }
is look($fake), look($real), 'a first look';

done_testing;
