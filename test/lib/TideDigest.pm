# The digest of a copy, made from outside as docs/verify.md says it: of rows as a
# pull sends them.
#
#   my $mine = digest_of(\@rows, key => ['id']);        # { bucket => [count, sum] }
#   my $theirs = digest_in($reply->{digestByType}{note});
#   my @differ = buckets_that_differ($mine, $theirs);
package TideDigest;

use strict;
use warnings;

use Digest::SHA ();
use Exporter 'import';
use JSON::PP ();

our @EXPORT_OK = qw(digest_of digest_in buckets_that_differ bucket_of);

# A value's text on the wire, in UTF-8; NULL is one byte 0x00.
sub wire_text
{
	my ($value) = @_;
	return "\0" unless defined $value;
	return $value ? 'true' : 'false' if JSON::PP::is_bool($value);
	my $text = "$value";
	utf8::encode($text);
	return $text;
}

sub key_text
{
	my ($row, @key) = @_;
	return join "\x1f", map { wire_text($row->{$_}) } @key;
}

sub bucket_of
{
	my ($row, @key) = @_;
	return unpack 'C', Digest::SHA::sha256(key_text($row, @key));
}

# Options: key, the columns of the key in the schema's order; modifiedAt and
# clientId, the names of these.
sub digest_of
{
	my ($rows, %option) = @_;
	my @key = @{ $option{key} };
	my %digest;
	for my $row (@$rows)
	{
		my $hash = Digest::SHA::sha256(join "\x1f", key_text($row, @key),
			wire_text($row->{ $option{modifiedAt} // 'lastModifiedAt' }),
			wire_text($row->{ $option{clientId} // 'clientId' }));
		my $bucket = $digest{ bucket_of($row, @key) } //= [ 0, 0 ];
		$bucket->[0]++;
		# as the hardware adds: without a carry out of 64 bits
		use integer;
		$bucket->[1] += unpack 'q>', $hash;
	}
	$_->[1] = sprintf '%u', $_->[1] for values %digest;
	return \%digest;
}

# A type of a reply in the same form.
sub digest_in
{
	my ($type) = @_;
	my %digest;
	die "not 256 buckets\n" if @{ $type->{counts} } != 256 || @{ $type->{sums} } != 256;
	for my $bucket (0 .. 255)
	{
		$digest{$bucket} = [ "$type->{counts}[$bucket]", "$type->{sums}[$bucket]" ]
		  if "$type->{counts}[$bucket] $type->{sums}[$bucket]" ne '0 0';
	}
	return \%digest;
}

sub buckets_that_differ
{
	my ($mine, $theirs) = @_;
	return grep {
		"@{ $mine->{$_} // ['none'] }" ne "@{ $theirs->{$_} // ['none'] }"
	} 0 .. 255;
}

1;
