package TideBench;

# What the measurements of `make bench` share: each pair is run in turns, first
# one then the other, the next round the other way about, and of the rounds'
# ratios the median is printed beside its mark.

use strict;
use warnings;
use Exporter qw(import);
use Time::HiRes qw(sleep time);

our @EXPORT = qw(output_of psql start_gateway token_of memory_of wrk seconds_of median in_turns ratio report report_alone);

# $rounds of in_turns
our $rounds = 5;

sub output_of
{
	my @command = @_;

	open my $pipe, '-|', @command or die "$command[0]: $!\n";
	my $output = do { local $/; <$pipe> };
	close $pipe or die "@command failed\n";
	return $output;
}

sub psql { return output_of(qw(psql -X -q -At -v ON_ERROR_STOP=1), map { ('-c', $_) } @_) }

# A gateway for the database that psql connects to, with the secret in DIRECTORY:
# its process, its port and that of its metrics.
sub start_gateway
{
	my ($directory, $name, @options) = @_;
	my $log = "$directory/$name.log";
	my $pid = fork // die "fork: $!\n";

	if ($pid == 0)
	{
		open STDERR, '>', $log or die "$log: $!\n";
		exec 'gateway/tide-gateway', '--listen', '127.0.0.1:0', '--metrics-listen', '127.0.0.1:0', '--jwt-secret-file', "$directory/secret",
			'--database-url', "host=$ENV{PGHOST} port=$ENV{PGPORT} dbname=$ENV{PGDATABASE} user=tide_gateway", @options or die $!;
	}
	my $until = time + 30;
	while (time < $until)
	{
		my $text = do { local $/; open my $file, '<', $log or next; <$file> } // '';
		my ($port) = $text =~ /event=listening address=127.0.0.1 port=(\d+)/;
		my ($metrics) = $text =~ /event=metrics address=127.0.0.1 port=(\d+)/;
		return ($pid, $port, $metrics) if $port && $metrics && $text =~ /event=connected/;
		sleep 0.05;
	}
	kill 'KILL', $pid;
	die "the gateway does not get ready, see $log\n";
}

sub token_of
{
	my ($directory, $user) = @_;
	return output_of('gateway/tide-gateway', 'token', '--jwt-secret-file', "$directory/secret", '--sub', $user) =~ s/\s//gr;
}

# Megabytes of a process: VmRSS, RssAnon ...; 0 if it has ended.
sub memory_of
{
	my ($pid, $name) = @_;
	open my $file, '<', "/proc/$pid/status" or return 0;
	return ((grep { s/^$name:\s*(\d+) kB\n/$1/ } <$file>)[0] // 0) / 1024;
}

# What peers/load.lua says of requests of that kind: their number, the seconds they
# took, the median and the 99th percentile in milliseconds.  All of them must
# succeed.
sub wrk
{
	my ($url, $threads, $at_a_time, $seconds, @arguments) = @_;
	my $output = output_of('wrk', '-t', $threads, '-c', $at_a_time, '-d', "${seconds}s", '-s',
		(__FILE__ =~ s{[^/]*$}{}r) . 'peers/load.lua', $url, '--', @arguments);
	my ($requests, $time, $bad, @late) = $output =~ /^result (\d+) ([\d.]+) (\d+) ([\d.]+) ([\d.]+)/m
		or die "wrk printed no result: $output\n";

	die "$bad of $requests requests to $url failed\n" if $bad > 0 || $requests == 0;
	return ($requests, $time, @late);
}

# Seconds that a statement took in the server and on the way to it.
sub seconds_of
{
	my ($statement) = @_;

	psql('CHECKPOINT');
	my ($time) = psql('\timing on', $statement) =~ /^Time: ([\d.]+) ms/m
		or die "psql printed no time\n";
	return $time / 1000;
}

sub median
{
	my @sorted = sort { $a <=> $b } @_;

	return @sorted % 2 ? $sorted[ $#sorted / 2 ]
		: ($sorted[ @sorted / 2 - 1 ] + $sorted[ @sorted / 2 ]) / 2;
}

# Run both of a pair $rounds times in turns: two lists of numbers.
sub in_turns
{
	my ($first, $second) = @_;
	my (@first, @second);

	for my $round (1 .. $rounds) {
		if ($round % 2) {
			push @first, $first->($round);
			push @second, $second->($round);
		}
		else {
			push @second, $second->($round);
			push @first, $first->($round);
		}
	}
	return (\@first, \@second);
}

# Median of the rounds' ratios: what is next to each other in time is compared.
sub ratio
{
	my ($first, $second) = @_;

	return median(map { $first->[$_] / $second->[$_] } 0 .. $#$first);
}

sub report
{
	my ($what, $unit, $ours, $theirs, $mark, $at_least) = @_;
	my $ratio = ratio($ours, $theirs);
	my $met = $at_least ? $ratio >= $mark : $ratio <= $mark;

	printf "%-34s %10.*f %10.*f %-7s %6.2f  %s %s  %s\n", $what,
		$unit =~ /s$/ && $unit !~ m{/} ? 2 : 0, median(@$ours), $unit =~ /s$/ && $unit !~ m{/} ? 2 : 0, median(@$theirs), $unit,
		$ratio, $at_least ? '>=' : '<=', $mark, $met ? 'met' : 'MISSED';
}

# A number that is beside nothing but its mark.
sub report_alone
{
	my ($what, $number, $format, $mark) = @_;

	printf "%-46s %-16s <= %s  %s\n", $what, sprintf($format, $number), $mark, $number <= $mark ? 'met' : 'MISSED';
}

1;
