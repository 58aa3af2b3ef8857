#!/usr/bin/env perl
#
# The measurements of `make bench`, see scripts/bench: each pair is run in turns.
#
#   bench.pl GATEWAY-PORT DIRECTORY ROUNDS
#
# with psql connecting to the database; DIRECTORY has the files users and
# tokens for test/bench/load.

use strict;
use warnings;
use FindBin;
use IPC::Open2 qw(open2);
use POSIX qw(strftime);
use lib $FindBin::Bin;
use TideBench;

my ($port, $directory, $rounds) = @ARGV;
$TideBench::rounds = $rounds;
my $requests = 100;
my $pushed = 8 * 100 * $requests;	# by eight connections, 100 a request
my $conninfo = "host=$ENV{PGHOST} port=$ENV{PGPORT} dbname=$ENV{PGDATABASE} user=$ENV{PGUSER}";
my @http = ('127.0.0.1', $port, "$directory/tokens");
my @sql = ($conninfo, "$directory/users");

$ENV{PGOPTIONS} = '-c client_min_messages=warning';
$| = 1;

# Rows a second of a load, which has to be of so many rows.
sub rate_of
{
	my ($expected, @arguments) = @_;

	psql('CHECKPOINT');
	my ($rows, $seconds) = split ' ', output_of('test/bench/load', @arguments);
	die "$arguments[0]: $rows rows were to be $expected\n" if $rows != $expected;
	return $rows / $seconds;
}

sub stamp { return strftime('%Y-%m-%dT%H:%M:%S.000Z', gmtime(time - 1000 + $_[0])) }

# -- push: new rows, then edits of the same rows; the clock never goes back

my (@new, @edited);
my $new = sub {
	my ($kind, $to) = @_;
	return sub { rate_of($pushed, "push-$kind", @$to, $_[0], $requests, stamp($_[0])) };
};
my $edited = sub {
	my ($kind, $to) = @_;
	return sub { rate_of($pushed, "push-$kind", @$to, $_[0], $requests, stamp(100 + $_[0])) };
};

@new = in_turns($new->('http', \@http), $new->('sql', \@sql));
psql('VACUUM ANALYZE');
@edited = in_turns($edited->('http', \@http), $edited->('sql', \@sql));
psql('VACUUM ANALYZE');

# -- pull: everything of each user, in pages of 500

my $all = $rounds * $pushed;
my @pulled = in_turns(sub { rate_of($all, 'pull-http', @http) }, sub { rate_of($all, 'pull-sql', @sql) });

# -- slow clients: what one honest user's requests take, without and with them

my $slow_clients = 2000;
my (@quiet, @loaded, $cuts);
my $times = sub {
	my (undef, undef, $p99) = split ' ', output_of('test/bench/load', 'times-http', @http, 8000, stamp(500));
	return $p99;
};
for my $round (1 .. $rounds) {
	psql('CHECKPOINT');
	push @quiet, $times->();
	my $pid = open2(my $from, my $to, 'test/bench/slow', '127.0.0.1', $port,
		"$directory/slow-tokens", $slow_clients);
	die "no slow clients\n" if (readline $from // '') ne "ready\n";
	push @loaded, $times->();
	close $to;
	$cuts += readline $from;
	waitpid $pid, 0;
}

# -- logins: an unknown user, and a wrong password

my $logins = sub {
	my ($name) = @_;
	return sub { seconds_of("SELECT count(tide_auth.login('$name', 'a wrong password')) FROM generate_series(1, 20)") };
};
my @logins = in_turns($logins->('unknown'), $logins->('known'));

# -- ten pushes of 1,000 changes: clean, and with seven bad ones

psql("CREATE TABLE bench_bodies AS SELECT round, bad, bench_body(concat_ws('-', round, bad, n), bad) AS body"
		. " FROM generate_series(1, $rounds) round, generate_series(1, 10) n, (VALUES (true), (false)) b (bad)");
my $checked = sub {
	my ($bad) = @_;
	return sub { seconds_of("DO \$\$ DECLARE b jsonb; BEGIN FOR b IN SELECT body FROM bench_bodies WHERE round = $_[0] AND bad = $bad"
				. " LOOP PERFORM tide.push(b); COMMIT; END LOOP; END \$\$") };
};
my @isolated = in_turns($checked->('true'), $checked->('false'));

printf "%-34s %10s %10s %-7s %6s\n", '', 'pg_tide', 'by hand', '', 'ratio';
report('push new rows, 8 x 100 a request', 'rows/s', @new, 0.5, 1);
report('push edits, 8 x 100 a request', 'rows/s', @edited, 0.5, 1);
report('pull, 8 x pages of 500', 'rows/s', @pulled, 0.5, 1);

printf "%-34s %10s %10s\n", '', 'slow', 'quiet';
report("a request's p99, $slow_clients slow clients", 'ms', \@loaded, \@quiet, 2.0, 0);
print "slow clients that were cut meanwhile: $cuts\n";

printf "%-34s %10s %10s\n", '', 'unknown', 'known';
report('20 failed logins of a user', 's', @logins, 1.1, 0);
report('', 's', @logins, 0.9, 1);
printf "%-34s %10s %10s %-7s %6s\n", '', '7 bad', 'clean', '', 'ratio';
report('10 pushes of 1,000 changes', 's', @isolated, 3, 0);
