# One list of codes: extension/src/util/errors.h. The gateway's table, the words
# of changes that fail, docs/reference.md and openapi.json name exactly these.
#
# Seen failing: with a line taken out of each of the five, with a code that
# nobody raises put into errors.h, and with TD026 in a page of docs/. It found
# too_many_bytes, which docs/reference.md did not have.
use strict;
use warnings;
use utf8;

use FindBin ();
use lib "$FindBin::Bin/../lib";
use JSON::PP ();
use Test::More;
use TideBlocks;
use TideTest;

chdir TideTest::root_directory() or die $!;

sub files
{
	return grep { -e } split /\n/, TideTest::run_program('', 'git', 'ls-files', '--cached', '--others',
		'--exclude-standard', '--', @_);
}

sub all_of { return join "\n", map { TideBlocks::read_file($_) } @_ }

sub unique { my %seen = map { ($_ => 1) } @_; return [ sort keys %seen ] }

# The words and SQLSTATEs of a table's rows, as {word => [states]}. A row with
# as many words as SQLSTATEs, and nothing but those, has them in one order.
sub pairs
{
	my ($rows, $words_at, $states_at) = @_;
	my %states;

	for my $row (@$rows)
	{
		my @cells  = split /\s*\|\s*/, $row;
		my @words  = ($cells[$words_at] // '') =~ /`([a-z_]+)`/g;
		my @codes  = ($cells[$states_at] // '') =~ /`([0-9A-Z]{5})`/g;
		my $beside = @words == @codes && $cells[$states_at] !~ /class/;

		for my $i (0 .. $#words)
		{
			push @{ $states{ $words[$i] } }, $beside ? $codes[$i] : @codes;
		}
	}
	return \%states;
}

sub rows { return [ grep { /^\| / } split /\n/, $_[0] ] }

# --- the list ---

my $header = TideBlocks::read_file('extension/src/util/errors.h');
my (%state, %group);
for my $part ($header =~ m{(/\* [^*]+ \*/\n(?:#define ERRCODE_.*\n)+)}g)
{
	my ($comment) = $part =~ m{/\* (.*?) \*/};
	while ($part =~ /#define (ERRCODE_TIDE_\w+)\s+MAKE_SQLSTATE\(([^)]*)\)/g)
	{
		my ($name, $letters) = ($1, $2);
		$state{$name} = join '', $letters =~ /'(\w)'/g;
		push @{ $group{ $comment =~ /^never/ ? 'none' : $comment =~ /^the whole/ ? 'request' : 'change' } },
		  $state{$name};
	}
}
my $defined = () = $header =~ /^#define ERRCODE_/mg;
cmp_ok scalar(keys %state), '>', 15, 'there are codes';
is scalar(keys %state), $defined, 'each is in a part of the list';
is scalar(@{ unique(values %state) }), $defined, 'no SQLSTATE stands twice';

my $extension = all_of(grep { !/errors\.h$/ } files('extension/src/*.[ch]'));
is join(' ', grep { $extension !~ /\b$_\b/ } sort keys %state), '', 'each is raised';

# --- the gateway's table, and the words of its refusals ---

my $gateway = all_of(files('gateway/src/*.c'));
my @rules = $gateway =~ /\{"(\w{5})", \d+, "\w+"/g;
is_deeply unique(grep { /^TD/ } @rules), unique(@{ $group{request} }),
  'the gateway maps what a whole request may fail with';

my %gateway_word = map { ($_ => 1) }
  $gateway =~ /\b(?:failure_set|fail|refuse)\(\s*[^,"]+,\s*(?:\d+,\s*)?"([a-z_]+)"/g,
  $gateway =~ /\{"\w*", \d+, "([a-z_]+)"/g;
my %gateway_state = $gateway =~ /\{"(TD\w{3})", \d+, "([a-z_]+)"/g;
cmp_ok scalar(keys %gateway_word), '>', 25, 'there are words';

# --- changes that fail ---

my ($table) = $extension =~ /^failure_word\(.*?(\{\s*\{ERRCODE.*?\};)/ms or die 'failure_word() is not there';
my %change_state = reverse $table =~ /\{(ERRCODE_\w+), "([a-z_]+)"\}/g;
my %change_word = map { ($_ => 1) } keys %change_state, $extension =~ /change_fail_as\([^"]*?,\s*"([a-z_]+)"/g;
$state{ERRCODE_FEATURE_NOT_SUPPORTED} = '0A000';
my %is_worded = map { ($state{$_} => 1) } values %change_state;
is_deeply [ grep { !$is_worded{$_} } @{ $group{change} } ], [], 'each code of a change has a word';

# --- docs/reference.md ---

my $page = TideBlocks::read_file('docs/reference.md');
my ($errors) = $page =~ /^### Errors\n(.*?)^### /ms or die 'the table of errors is not there';
my ($failed) = $page =~ /^### Codes of a change that fails\n(.*?)(?:^#|\z)/ms or die 'the table of codes is not there';

my $of_requests = pairs(rows($errors), 2, 3);
is_deeply [ sort keys %$of_requests ], [ sort keys %gateway_word ], 'the table of errors has the words of the gateway';
is_deeply unique(grep { /^TD/ } map { @$_ } values %$of_requests), unique(keys %gateway_state),
  'and its SQLSTATEs';
for my $code (sort keys %gateway_state)
{
	ok + (grep { $_ eq $code } @{ $of_requests->{ $gateway_state{$code} } // [] }),
	  "$code stands beside $gateway_state{$code}";
}

my $of_changes = pairs(rows($failed), 1, 2);
is_deeply [ sort keys %$of_changes ], [ sort keys %change_word ], 'the table of codes has the words of changes';
is_deeply { map { ($_ => $of_changes->{$_}[0]) } grep { @{ $of_changes->{$_} } } keys %$of_changes },
  { map { ($_ => $state{ $change_state{$_} }) } keys %change_state }, 'and their SQLSTATEs';

# --- openapi.json ---

my $schemas = JSON::PP->new->utf8->decode(
	do { open my $in, '<:raw', 'gateway/openapi.json' or die $!; local $/; <$in> })->{components}{schemas};
is_deeply [ sort @{ $schemas->{Error}{properties}{error}{properties}{code}{enum} // [] } ],
  [ sort keys %gateway_word ], 'openapi.json has the words of the gateway';
my ($words) = grep { $_->{enum} }
  @{ $schemas->{Verdicts}{properties}{failed}{items}{properties}{errors}{items}{properties}{code}{anyOf} // [] };
is_deeply [ sort @{ $words->{enum} // [] } ], [ sort keys %change_word ], 'and those of changes';

# --- everywhere else ---

my %exists = map { ($_ => 1) } values %state;
for my $file (files('docs/*.md', 'README.md', 'gateway', 'extension', 'client', 'clients', 'sql', 'test/http'))
{
	next unless -T $file;
	my @unknown = grep { !$exists{$_} } TideBlocks::read_file($file) =~ /\b(TD\d{3})\b/g;
	is join(' ', @{ unique(@unknown) }), '', "$file names a code that there is not" if @unknown;
}

done_testing;
