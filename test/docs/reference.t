# Is everything in docs/reference.md that it is the reference of: functions,
# settings, SQLSTATEs, error words?
#
# Seen failing: with a section, a row or a word of the page taken out.
use strict;
use warnings;
use utf8;

use FindBin ();
use lib "$FindBin::Bin/../lib";
use Test::More;
use TideBlocks;
use TideTest;

my $root = TideTest::root_directory();
my $page = TideBlocks::read_file("$root/docs/reference.md");
my $cluster = TideTest::Cluster->shared;
my $database = $cluster->create_synced('CREATE EXTENSION pg_tide_auth CASCADE');

# What nobody calls by hand: triggers, what a view shows, and what the
# gateway calls as it logs people in.
my %internal = map { ($_ => 1) } qw(tide.tracked_tables tide.pull_page tide.pull_lines tide.push_json tide.push_as tide.push_grouped tide.as_jsonb tide.conflict_is_visible
  tide_auth.admit tide_auth.start_session tide_auth.refresh tide_auth.logout);

my @functions = split /\n/, $cluster->sql($database, <<'SQL');
SELECT DISTINCT n.nspname || '.' || p.proname
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
	AND (n.nspname = 'tide' OR n.nspname = 'tide_auth' AND obj_description(p.oid, 'pg_proc') IS NOT NULL
		-- helpers of others are called by them alone
		AND p.proname NOT IN ('bcrypt', 'bcrypt_salt', 'bcrypt_cost', 'hash_password', 'find_account',
			'account_claims', 'digest_username'))
ORDER BY 1
SQL
my @views = split /\n/, $cluster->sql($database, <<'SQL');
SELECT 'tide.' || relname FROM pg_class WHERE relnamespace = 'tide'::regnamespace AND relkind = 'v'
SQL
my @settings = split /\n/, $cluster->sql($database, <<'SQL');
SELECT tide.protocol() \g /dev/null
SELECT name FROM pg_settings WHERE name LIKE 'pg\_tide.%' ORDER BY 1
SQL

cmp_ok scalar(@functions), '>', 20, 'there are functions';
cmp_ok scalar(@settings), '>', 5, 'there are settings';
for my $name (grep { !$internal{$_} } @functions)
{
	like $page, qr/^(?:\| `)?\Q$name\E\(/m, "$name()";
}
like $page, qr/^#### (?:.*, )?\Q$_\E\b/m, "the view $_" for @views;
like $page, qr/^\| `\Q$_\E` \|/m, "the setting $_" for @settings;

# "404, 405, 415 | `not_found`, ..." in the table of errors
my ($errors) = $page =~ /^### Errors\n(.*?)^### /ms or die 'the table of errors is not there';
my ($failed) = $page =~ /^### Codes of a change that fails\n(.*)/ms or die 'the table of codes is not there';

sub source
{
	my ($name) = @_;
	# the files may be in folders
	my ($file) = split /\n/, TideTest::run_program('', 'find', "$root/extension/src", "$root/gateway/src",
		'-name', $name);
	return TideBlocks::read_file($file);
}

my ($request) = source('errors.h') =~ m{/\* the whole request \*/(.*?)/\* one change}s
  or die 'the codes of requests are not there';
my @states = map { join '', /'(\w)'/g } $request =~ /MAKE_SQLSTATE\(([^)]*)\)/g;
cmp_ok scalar(@states), '>', 10, 'there are SQLSTATEs';
like $errors, qr/`\Q$_\E`/, "SQLSTATE $_" for @states;

my %word = map { ($_ => 1) } map { /failure_set\([^,]+,\s*\d+,\s*"(\w+)"/g, /\{"\w*", \d+, "(\w+)"/g }
  map { TideBlocks::read_file($_) } split /\n/,
  TideTest::run_program('', 'find', "$root/gateway/src", '-name', '*.c');
cmp_ok scalar(keys %word), '>', 15, 'there are words';
like $errors, qr/`\Q$_\E`/, "the word $_" for sort keys %word;

done_testing;
