# META.json by the rules of the PGXN Meta Spec 1.0.0, and true: it names files
# that are there, and the versions of the control files. What `make dist`
# packs has all that building the extension needs, and no more than git has.
#
# Seen to fail with a key "homepage" (not in the spec), with "license": "psql",
# with the version "0.2", and with an "export-ignore" of extension/ for git.
use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";
use Test::More;
use TideTest qw(decode_json root_directory);

chdir root_directory() or die $!;

sub slurp { open my $file, '<', $_[0] or die "$_[0]: $!"; local $/; return scalar <$file>; }

my $meta = decode_json(slurp('META.json'));
my $version = qr/\A(?:0|[1-9]\d*)(?:\.(?:0|[1-9]\d*)){2}(?:-[a-zA-Z][-.0-9A-Za-z]*)?\z/;
my $range = qr/\A(?:(?:[<>]=?|==|!=)? ?\d+\.\d+\.\d+(?:, ?)?)+\z|\A0\z/;
my $term = qr{\A[^\s/\\\x00-\x1f\x7f][^/\\\x00-\x1f\x7f]+\z};
my %licenses = map { $_ => 1 } qw(agpl_3 apache_1_1 apache_2_0 artistic_1 artistic_2 bsd freebsd gfdl_1_2 gfdl_1_3
  gpl_1 gpl_2 gpl_3 lgpl_2_1 lgpl_3_0 mit mozilla_1_0 mozilla_1_1 openssl perl_5 postgresql qpl_1_0 ssleay sun zlib
  open_source restricted unrestricted unknown);

sub list { return ref $_[0] eq 'ARRAY' ? @{ $_[0] } : $_[0]; }

sub only
{
	my ($what, $map, @allowed) = @_;
	my %allowed = map { $_ => 1 } @allowed;
	is join(' ', grep { !$allowed{$_} && !/^x_/i } sort keys %$map), '', "$what has keys of the spec only";
	return;
}

only('META.json', $meta, qw(name version abstract maintainer license provides meta-spec description generated_by
  no_index prereqs release_status resources tags));
ok length($meta->{$_} // ''), "$_ is there" for qw(abstract description generated_by);
like $meta->{name}, $term, 'name';
like $meta->{version}, $version, 'version';
is_deeply [ grep { !/\S/ } list($meta->{maintainer}) ], [], 'maintainer';
is_deeply [ grep { !$licenses{$_} } list($meta->{license}) ], [], 'license';
like $meta->{release_status}, qr/\A(?:stable|testing|unstable)\z/, 'release_status';
like $_, $term, "tag $_" for @{ $meta->{tags} };
only('meta-spec', $meta->{'meta-spec'}, qw(version url));
like $meta->{'meta-spec'}{version}, qr/\A1\.\d+\.\d+\z/, 'version of the spec';

for my $name (sort keys %{ $meta->{provides} })
{
	my $provided = $meta->{provides}{$name};
	like $name, $term, "provides $name";
	only($name, $provided, qw(file version abstract docfile));
	like $provided->{version}, $version, '... of a version';
	ok -f $provided->{$_}, "... $_ is there" for qw(file docfile);
	my ($default) = slurp("extension/$name.control") =~ /^default_version = '(.*)'$/m;
	is $provided->{version}, $default, '... that of the control file';
}
is $meta->{version}, $meta->{provides}{pg_tide}{version}, 'the distribution has the version of pg_tide';

only('prereqs', $meta->{prereqs}, qw(configure build test runtime develop));
for my $phase (sort keys %{ $meta->{prereqs} })
{
	only($phase, $meta->{prereqs}{$phase}, qw(requires recommends suggests conflicts));
	for my $needs (values %{ $meta->{prereqs}{$phase} })
	{
		like $needs->{$_}, $range, "$phase: $_" for sort keys %$needs;
	}
}

SKIP:
{
	skip 'no git here', 2 unless -e '.git';
	my $listed = qx(git archive --format=tar HEAD | tar -t);
	is $?, 0, 'git packs it';
	my %packed = map { $_ => 1 } split /\n/, $listed;
	my @needed = ('META.json', 'Makefile', 'README.md', 'LICENSE', map { "extension/$_" } 'Makefile', 'pg_tide.control', 'pg_tide_auth.control',
		slurp('extension/Makefile') =~ /^DATA = (.*)$/m ? split(/ /, $1) : ());
	is join(' ', grep { !$packed{$_} } @needed), '', 'and what building needs is in it';
}
done_testing;
