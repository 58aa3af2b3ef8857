# A client for tests of faults: rows of the table note, a cursor, and what the
# last round of pulls said.  Also what these tests do to servers: kill them,
# copy their data directories.
#
#   $cluster->sql($database, $TideReplica::SCHEMA);
#   my $replica = TideReplica->new;
#   $replica->pull($cluster, $database);
#   $replica->{rows}{7}; $replica->{items}; $replica->{reset};
package TideReplica;

use strict;
use warnings;

use File::Temp ();
use POSIX ();
use TideTest qw(decode_json wait_for);

our $SCHEMA = <<'SQL';
CREATE EXTENSION pg_tide;
CREATE TABLE note (id int PRIMARY KEY, owner text, v int, version int);
CREATE INDEX ON note (owner, id);
SELECT tide.track('note', scope => 'owner', version => 'version');
SQL

# The same by text, for users of a gateway.
our $NOTES = <<'SQL';
CREATE TABLE note (id text PRIMARY KEY, user_id text NOT NULL, body text);
CREATE INDEX ON note (user_id, id);
SELECT tide.track('note', scope => 'user_id');
GRANT ALL ON note TO tide_user;
SQL

sub new { my ($class) = @_; return bless { rows => {} }, $class; }

# An independent copy: somebody who has the same cursor.
sub twin
{
	my ($self) = @_;
	return bless { rows => { %{ $self->{rows} } }, since => $self->{since} }, ref $self;
}

# All pages, each in a session as the gateway's.
sub pull
{
	my ($self, $cluster, $database) = @_;
	@$self{qw(items reset)} = (0, undef);
	while (1)
	{
		my $since = defined $self->{since} ? "'$self->{since}'" : 'NULL';
		my $reply = decode_json($cluster->sql($database,
			"SELECT tide.register() WHERE NOT pg_is_in_recovery() \\g /dev/null\n"
			  . 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; '
			  . "SELECT tide.pull($since, max_rows => 7); COMMIT"));
		if ($reply->{reset})
		{
			$self->{reset} = $reply->{resetReason};
			$self->{rows} = {};
		}
		for my $row (@{ $reply->{deletedByType}{note} // [] })
		{
			delete $self->{rows}{ $row->{id} };
			$self->{items}++;
		}
		for my $row (@{ $reply->{changesByType}{note} // [] })
		{
			$self->{rows}{ $row->{id} } = $row->{v};
			$self->{items}++;
		}
		$self->{since} = $reply->{cursor};
		return $self unless $reply->{hasMore};
	}
}

# The rows of a replica or, given a cluster, of the table: to be compared.
sub as_text
{
	my ($self, $cluster, $database) = @_;
	return $cluster->sql($database, "SELECT string_agg(id || '=' || v, ' ' ORDER BY id) FROM note")
	  if $cluster;
	return join ' ', map { "$_=$self->{rows}{$_}" } sort { $a <=> $b } keys %{ $self->{rows} };
}

# ---------- servers ----------

# State letter and parent of a process; an ended one may still wait for its
# parent to take notice (Z).
sub process_status
{
	my ($process) = @_;
	open my $handle, '<', "/proc/$process/stat" or return ('X', 0);
	my $line = <$handle> // '';
	return $line =~ /^\d+ \(.*\) (\S) (\d+) / ? ($1, $2) : ('X', 0);
}

# All of a server: the postmaster, then its children.
sub processes
{
	my ($cluster) = @_;
	open my $file, '<', "$cluster->{data}/postmaster.pid" or die "no server runs: $!";
	chomp(my $postmaster = <$file>);
	close $file;
	return $postmaster, grep { (process_status($_))[1] == $postmaster } map { m{(\d+)} } glob '/proc/[0-9]*';
}

# The power goes: all processes of the server at once, nothing written any
# more.
sub kill_server
{
	my ($cluster) = @_;
	my @processes = processes($cluster);
	kill KILL => @processes;
	wait_for('the processes of the server are gone', 30, sub {
		return !grep { (process_status($_))[0] =~ /[^ZX]/ } @processes;
	});
	unlink "$cluster->{data}/postmaster.pid",
	  glob "$cluster->{directory}/.s.PGSQL.*.lock";
	return;
}

sub run
{
	my (@command) = @_;
	return TideTest::run_program('', TideTest::Cluster::as_server_user(@command));
}

# The data directory of a server that is stopped, put aside; and back again.
sub save_data
{
	my ($cluster) = @_;
	my $copy = "$cluster->{directory}/" . ++$cluster->{copies};
	run('cp', '-a', $cluster->{data}, $copy);
	return $copy;
}

sub restore_data
{
	my ($cluster, $copy) = @_;
	run('rm', '-rf', $cluster->{data});
	run('cp', '-a', $copy, $cluster->{data});
	return;
}

# Do standbys of this cluster serve pulls?  PostgreSQL 14 has no function for it,
# see cursor/standby.c.
sub standbys_serve { return $_[0]->sql('postgres', 'SHOW server_version_num') >= 150000 }

sub skip_without_standbys
{
	my ($cluster) = @_;
	Test::More::plan(skip_all => 'standbys serve pulls from PostgreSQL 15 on') unless standbys_serve($cluster);
	return;
}

my @standbys;

# A standby of a running cluster, started and in step with it; it ends with the
# test.  $settings are lines for its configuration.
sub standby
{
	my ($primary, $settings) = @_;
	my $standby = bless { %$primary, databases => [], owner => $$ }, ref $primary;
	push @standbys, $standby;
	$standby->{directory} = File::Temp::tempdir('tide-standby-XXXXXX', TMPDIR => 1);
	$standby->{data} = "$standby->{directory}/data";
	chmod 0755, $standby->{directory};
	if ($> == 0)
	{
		my (undef, undef, $uid, $gid) = getpwnam('postgres');
		chown $uid, $gid, $standby->{directory};
	}
	copy_running($primary, $standby, $settings);
	for my $try (1 .. 20)
	{
		$standby->{port}++;
		next unless TideTest::Cluster::port_is_free($standby->{port});
		return $standby if $standby->up;
	}
	die 'could not start the standby; see ' . $standby->{directory} . '/log';
}

# The data of a running primary, made those of a standby of it.
sub copy_running
{
	my ($primary, $standby, $settings) = @_;
	run("$primary->{bin}/pg_basebackup", '-d', $primary->conninfo('postgres'),
		'-D', $standby->{data}, '-R', '-c', 'fast', '-X', 'stream', '--no-sync');
	open my $configuration, '>>', "$standby->{data}/postgresql.conf" or die $!;
	print {$configuration} "unix_socket_directories = '$standby->{directory}'\n", $settings // '';
	close $configuration;
	return;
}

# What was the primary, and was killed, as a standby of the one that took over.
sub rejoin
{
	my ($old, $primary) = @_;
	run('rm', '-rf', $old->{data});
	copy_running($primary, $old);
	$old->up or die "could not start the standby; see $old->{directory}/log";
	return;
}

END
{
	my $status = $?;
	$_->finish for grep { $_->{owner} == $$ } @standbys;
	$? = $status;
}

# Everything the primary has written is replayed.
sub wait_for_standby
{
	my ($primary, $standby) = @_;
	my $position = $primary->sql('postgres', 'SELECT pg_current_wal_flush_lsn()');
	wait_for("the standby is at $position", 30, sub {
		return $standby->sql('postgres',
			"SELECT pg_last_wal_replay_lsn() >= '$position'") eq 't';
	});
	return;
}

1;
