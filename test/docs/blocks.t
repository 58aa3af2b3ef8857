# The blocks of the documents, run as they stand: each by whom its first line
# names, against a server and a gateway of their own, in the order in which a
# reader comes by them. Output that is shown is compared.
#
#   prove -v -Itest/lib test/docs/blocks.t
#   TIDE_DOCS=docs/protocol.md prove -v -Itest/lib test/docs/blocks.t      only this page, and what it goes on from
#   TIDE_DOCS_SHOW=1 …                                                   print what each block prints
#
# planted.t shows that it finds broken ones.
use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";
use Test::More;
use TideBlocks;
use TideTest;

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output todo_output);

my $root = TideTest::root_directory();
my @first = ('README.md', map { "examples/$_/README.md" } qw(liftlogger prisma));
my @names = (@first, map { s{^\Q$root\E/}{}r } sort(glob "$root/docs/*.md"), "$root/gateway/README.md");
my @documents = map { TideBlocks::document($_) } @names;
my %kept = map { (($_->{goes_on_from} // '') => 1) } @documents;
$kept{'examples/liftlogger/README.md'} = 1 if $kept{'the demo'};

my $blocks = TideBlocks->start;
my (@left, $run);

for my $document (@documents)
{
	my $name = $document->{name};
	if (my $script = $document->{run_by})
	{
		like TideBlocks::read_file("$root/$script"), qr/\Q$name\E/, "$name is run by $script";
		next;
	}
	next if $ENV{TIDE_DOCS} && $name ne $ENV{TIDE_DOCS} && !$kept{$name};
	$blocks->begin($document)
	  if $kept{$name} || grep { $_->{kind} =~ /^(?:sql|shell)$/ } @{ $document->{blocks} };
	for my $block (@{ $document->{blocks} })
	{
		if ($block->{kind} eq 'left')
		{
			push @left, "$block->{name}: $block->{reason}";
			next;
		}
		next if $block->{kind} =~ /^(?:output|picture|program|markup)$/;
		my $problem = $blocks->run($block);
		$run++;
		ok !$problem, $block->{name} or diag "$block->{name} $problem";
		note $block->{printed} if $ENV{TIDE_DOCS_SHOW} && length($block->{printed} // '');
	}
	$blocks->keep($document) if $kept{$name};
}

note scalar(@left), ' blocks are not run:';
note "  $_" for @left;
cmp_ok scalar(@left), '<=', 12, 'few blocks are not run';
cmp_ok $run, '>', 0, 'there are blocks';

done_testing;
