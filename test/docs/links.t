# Links within the documents: is there such a file, and such a heading in it?
#
# Seen failing: with a letter of an anchor changed, with a file's name changed.
use strict;
use warnings;
use utf8;

use File::Basename qw(dirname);
use FindBin ();
use lib "$FindBin::Bin/../lib";
use Test::More;
use TideBlocks;
use TideTest;

chdir TideTest::root_directory() or die $!;

my @files = grep { -e } split /\n/,
  TideTest::run_program('', 'git', 'ls-files', '--cached', '--others', '--exclude-standard', '--', '*.md');
my (%anchors, $links);

# The text without its fenced blocks, and without code in backquotes.
sub prose
{
	my ($file) = @_;
	my $text = TideBlocks::read_file($file);
	$text =~ s/^(\s*)(```+).*?^\s*\2\s*$//gms;
	return $text;
}

# What GitHub calls the headings of a file.
sub anchors
{
	my ($file) = @_;
	return $anchors{$file} //= do
	{
		my %anchor;
		for my $heading (prose($file) =~ /^#+\s+(.*?)\s*$/mg)
		{
			my $name = lc $heading;
			$name =~ s/\[([^]]*)\]\([^)]*\)/$1/g;
			$name =~ s/[^\w\- ]//g;
			$name =~ s/ /-/g;
			$anchor{ $anchor{$name} ? "$name-$anchor{$name}" : $name } = 1;
			$anchor{$name}++ if $anchor{$name};
		}
		\%anchor;
	};
}

sub problem
{
	my ($file, $link) = @_;
	my ($target, $anchor) = $link =~ /^([^#]*)#?(.*)$/;
	my $path = $target eq '' ? $file : dirname($file) . "/$target";

	$path =~ s{^\./}{};
	1 while $path =~ s{[^/]+/\.\./}{};
	return "there is no $path" unless -e $path;
	return "$path has no heading for #$anchor" if $anchor ne '' && !anchors($path)->{$anchor};
	return;
}

for my $file (@files)
{
	my @broken;
	for my $link (prose($file) =~ /\]\(([^)\s]+)\)/g)
	{
		next if $link =~ /^\w+:/;
		$links++;
		my $problem = problem($file, $link);
		push @broken, $problem if $problem;
	}
	is join('; ', @broken), '', $file;
}
cmp_ok $links, '>', 100, 'there are links';
ok problem('README.md', 'docs/nowhere.md'), 'a file that is not there is found';
ok problem('README.md', '#no-such-heading'), 'and a heading';

done_testing;
