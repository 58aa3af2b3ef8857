# /openapi.json says what is there: each route with its methods, nothing else,
# and every reference leads somewhere.
#
# Seen failing: with a path misspelled, a method left out, a schema renamed.
use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";
use Test::More;
use TideTest qw(decode_json);

my $cluster = TideTest::Cluster->shared;
my $gateway = TideTest::Gateway->start(cluster => $cluster,
	database => $cluster->create_fake,
	settings => { 'login-function' => 'tide_auth.login' })->wait_until_ready;
my $reply = $gateway->get('/openapi.json');
is $reply->{status}, 200, 'without a token';
is $reply->{headers}{'content-type'}, 'application/json';
my $document = $reply->{json} or die 'it is no JSON';
like $document->{openapi}, qr/^3\.1\./, 'OpenAPI 3.1';

# the table of routes, as it stands in the source
open my $file, '<', TideTest::root_directory() . '/gateway/src/http/routes.c' or die $!;
my $source = do { local $/; <$file> };
my %routes = $source =~ /\{"(\/[^"]*)",[^}]*?"([A-Z, ]+)"\}/g;
cmp_ok scalar(keys %routes), '>=', 10, 'routes are found';
is_deeply [ sort keys %{ $document->{paths} } ], [ sort keys %routes ], 'the same paths';
for my $path (sort keys %routes)
{
	my %methods = map { (lc $_ => 1) } grep { !/^(?:HEAD|OPTIONS)$/ } split /, /, $routes{$path};
	is_deeply [ sort keys %{ $document->{paths}{$path} } ], [ sort keys %methods ],
	  "methods of $path";
	for my $method (keys %methods)
	{
		my $operation = $document->{paths}{$path}{$method};
		my $open = $operation->{security} && !@{ $operation->{security} };
		my $answer = $gateway->request(uc $method, $path, content => '');
		is $answer->{status} == 401, !$open, "$method $path: a token is needed where it says so";
		ok $operation->{responses}{ $answer->{status} }, "status $answer->{status} is named";
	}
}

# The fields of a pull, as the source reads them.  Seen failing with one left out.
sub slurp
{
	my ($path) = @_;
	open my $in, '<', TideTest::root_directory() . "/$path" or die "$path: $!";
	local $/;
	return scalar <$in>;
}
my @read = (slurp('gateway/src/api/sync.c') =~ /strcmp\(name, "(\w+)"\) == 0\)\n\t\treturn &fields->/g, 'scope');
cmp_ok scalar(@read), '>=', 9, 'fields are found';
my $components = $document->{components};
@read = grep { $_ ne 'bucket' } @read;	# of /sync/keys alone
is_deeply [ sort map { $components->{parameters}{ $_->{'$ref'} =~ s{.*/}{}r }{name} }
	@{ $document->{paths}{'/api/v1/sync/pull'}{get}{parameters} } ], [ sort @read ], 'the parameters of a pull';
is_deeply [ sort keys %{ $components->{schemas}{PullFields}{properties} } ], [ sort @read ], 'and its body';

# The SQLSTATEs of a whole request: the extension raises them, failure.c gives
# each a status and a word, docs/reference.md says so.
my ($raised) = slurp('extension/src/util/errors.h') =~ m{/\* the whole request \*/(.*?)/\*}s;
my %raised = map { (s/[^TD0-9]//gr => 1) } $raised =~ /MAKE_SQLSTATE\(([^)]*)\)/g;
cmp_ok scalar(keys %raised), '>=', 12, 'codes are found';
my %rule = map { /\{"(TD\d+)", (\d+), "(\w+)"/ ? ($1 => "$2 $3") : () } split /\n/, slurp('gateway/src/util/failure.c');
ok $rule{$_}, "the gateway has a rule for $_" for sort keys %raised;
my $reference = slurp('docs/reference.md');
for my $state (sort keys %rule)
{
	my ($status, $word) = split / /, $rule{$state};
	like $reference, qr/^\| $status \|[^|]*`$word`[^|]*\|[^|]*`$state`/m, "$state is $status $word in the reference";
}

sub check_references
{
	my ($node, $where) = @_;
	if (ref $node eq 'ARRAY') { check_references($_, $where) for @$node; return; }
	return unless ref $node eq 'HASH';
	if (defined $node->{'$ref'} && !ref $node->{'$ref'})
	{
		my $found = $document;
		$found = ref $found eq 'HASH' ? $found->{$_} : undef
		  for split m{/}, $node->{'$ref'} =~ s{^#/}{}r;
		ok $found, "$where: $node->{'$ref'}";
	}
	check_references($node->{$_}, $where eq '' ? $_ : $where) for sort keys %$node;
	return;
}
check_references($document, '');

is $gateway->stop, 0, 'stops with status 0';
done_testing;
