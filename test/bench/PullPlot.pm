package PullPlot;

# The curves of pulls.pl as SVG: small multiples, one a thing that is varied, with
# the same axis of cost, both axes logarithmic.  No colour carries meaning alone:
# each curve has its name at its end.

use strict;
use warnings;

my ($width, $height) = (250, 210);		# of a panel
my %margin = (left => 46, right => 14, top => 34, bottom => 38);
my ($bottom, $top) = (20, 10_000);		# microseconds

sub log10 { return log($_[0]) / log(10) }

sub label { my ($n) = @_; return $n >= 1_000_000 ? $n / 1_000_000 . 'M' : $n >= 1000 ? $n / 1000 . 'k' : $n }

sub y_of
{
	my ($cost) = @_;
	my $inner = $height - $margin{top} - $margin{bottom};
	return sprintf '%.1f', $height - $margin{bottom} - $inner * (log10($cost) - log10($bottom)) / (log10($top) - log10($bottom));
}

# 0 has its place left of 1
sub x_of
{
	my ($at, $least, $most) = @_;
	my ($from, $to) = map { $_ == 0 ? -1 : log10($_) } $least, $most;
	my $inner = $width - $margin{left} - $margin{right};
	return sprintf '%.1f', $margin{left} + $inner * (($at == 0 ? -1 : log10($at)) - $from) / ($to - $from);
}

sub panel
{
	my ($panel) = @_;
	my @places = map { $_->{at} } @{ $panel->{lines}[0]{points} };
	my ($left, $right) = ($margin{left}, $width - $margin{right});
	my @out = ("<text class=\"title\" x=\"$left\" y=\"18\">by the $panel->{title}</text>");

	for my $cost (100, 1000, 10_000)
	{
		my $y = y_of($cost);
		push @out, "<line class=\"grid\" x1=\"$left\" y1=\"$y\" x2=\"$right\" y2=\"$y\"/>",
			sprintf '<text x="%d" y="%.1f" text-anchor="end">%s</text>', $left - 6, $y + 4, $cost >= 1000 ? $cost / 1000 . ' ms' : "$cost us";
	}
	push @out, sprintf '<text x="%s" y="%d" text-anchor="middle">%s</text>', x_of($_, @places[0, -1]), $height - $margin{bottom} + 18, label($_)
		for @places;
	for my $n (0 .. $#{ $panel->{lines} })
	{
		my $line = $panel->{lines}[$n];
		my @points = map { [ x_of($_->{at}, @places[0, -1]), y_of($_->{cost}) ] } @{ $line->{points} };
		push @out, "<polyline class=\"line$n\" points=\"" . join(' ', map { join ',', @$_ } @points) . '"/>',
			(map { "<circle class=\"line$n\" cx=\"$_->[0]\" cy=\"$_->[1]\" r=\"3\"/>" } @points),
			sprintf '<text class="name" x="%s" y="%.1f" text-anchor="end">%s</text>', $points[-1][0], $points[-1][1] + ($n == 0 ? 18 : -8), $line->{name};
	}
	return @out;
}

sub write_file
{
	my ($path, @panels) = @_;
	my ($all, $tall) = (2 * $width, $height * int((@panels + 1) / 2));

	open my $out, '>', $path or die "$path: $!\n";
	print $out <<"SVG";
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 $all $tall" width="$all" height="$tall" role="img" font-family="sans-serif" font-size="11">
<title>What a pull costs its backend, in processor time</title>
<style>
text { fill: #57606a } .title { font-size: 13px; font-weight: bold } .name { font-weight: bold }
.grid { stroke: #8c959f; stroke-opacity: 0.35 }
polyline { fill: none; stroke-width: 2 }
polyline.line0 { stroke: #2f81f7 } circle.line0 { fill: #2f81f7 }
polyline.line1 { stroke: #d4691e } circle.line1 { fill: #d4691e }
</style>
SVG
	for my $n (0 .. $#panels)
	{
		printf $out "<g transform=\"translate(%d %d)\">\n", $n % 2 * $width, int($n / 2) * $height;
		print $out map { "$_\n" } panel($panels[$n]);
		print $out "</g>\n";
	}
	print $out "</svg>\n";
	close $out or die "$path: $!\n";
	return;
}

1;
