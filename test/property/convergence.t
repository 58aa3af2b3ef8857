# G5: devices with clocks that are years apart push in any order, at the same
# time, some changes twice because a reply was lost: full rows and deletes under
# last_write_wins; patches of some columns, deletes and revivals under merge, with
# plain SQL in between.  Two databases are fed the same changes, each in an order
# of its own.  In the end
#
#   * both hold, of each row, the version with the greatest stamp, under merge
#     of each column: an oracle of a few lines says which;
#   * each device's replica, made of the replies to its pushes and of pulls
#     that leave out what it pushed itself, is what the tables hold;
#   * all of it pushed once more changes nothing.
#
# client_wins and server_wins promise no such version: the last, or the first, to
# arrive stands.  The rest they promise as well, and so it is tested: replicas are
# what the tables hold, and no change that comes again has a second effect,
# whatever was written since.
#
#   SECONDS=600, RUNS=5, SEED=17 as for cursor.t
#
# A seed gives the same changes and the same order of sending; which of two
# concurrent pushes is first is left to the server.
#
# Seen to fail with: the stamp left out of the WHERE of the write; no lock of
# the key of absent rows; ties decided for whoever comes last; tombstones not
# asked about absent rows; the first entry that names a row, not the last, asked
# whether it is the puller's own; the list of running transactions left out of
# the cursor; the image of a tombstone left as it was; what was sent not
# remembered; the stamp of a trigger stored instead of the pushed one.
use strict;
use warnings;
use utf8;

use FindBin ();
use lib $FindBin::Bin;
use List::Util qw(shuffle);
use Test::More;
use TideSession ();
use TideTest qw(decode_json encode_json);
use Time::HiRes ();

binmode $_, ':utf8' for *STDOUT, *STDERR, Test::More->builder->failure_output;

# in this order as bytes; a locale has others
my @DEVICES = ('B', 'Z', 'a', 'a-2', 'ä');
my $CHANGES = $ENV{CHANGES} // 120;

# How the version is found that must stand ("rows", "columns"; "any": whatever
# the tables hold), the columns that are pushed, and which keys there are.  Plain
# SQL edits "ledger", whose rows it creates and nobody deletes: the stamp of a
# plain DELETE is its own.
my @uuids = map { sprintf '00000000-0000-4000-8000-%012d', $_ } 1 .. 3;
my %TYPES = (
	note => { often => 2, rule => 'rows', columns => [ 'v', 'words' ], keys => [ map { { id => $_ } } 1 .. 4 ] },
	softNote => { often => 1, rule => 'rows', columns => ['v'], keys => [ map { { id => $_ } } @uuids ] },
	pair => { often => 1, rule => 'rows', columns => ['v'], shared => 1,
		keys => [ map { my $a = $_; map { { a => $a, b => $_ } } 'x', 'y"ü' } 1, 2 ] },
	form => { often => 3, rule => 'columns', columns => [ 'v', 'w', 'x' ], keys => [ map { { id => $_ } } 1 .. 3 ] },
	softForm => { often => 2, rule => 'columns', columns => [ 'v', 'w', 'x' ], keys => [ map { { id => $_ } } 1, 2 ] },
	ledger => { often => 1, rule => 'columns', columns => [ 'v', 'w', 'x' ], keys => [ map { { id => $_ } } 1, 2 ], forever => 1 },
	latest => { often => 1, rule => 'any', columns => [ 'v', 'words' ], keys => [ map { { id => $_ } } 1 .. 3 ] },
	first => { often => 1, rule => 'any', columns => [ 'v', 'words' ], keys => [ map { { id => $_ } } 1 .. 3 ] });

my $cluster = $ENV{TIDE_TEST_CLUSTER} ? TideTest::Cluster->shared
  : TideTest::Cluster->start;

# ---------- two databases, a session a device in each ----------

my $SCHEMA = <<'SQL';
CREATE TABLE note (id int PRIMARY KEY, owner text, v int, words text, version int);
CREATE TABLE soft_note (id uuid PRIMARY KEY, owner text, v int, updated_at timestamptz,
	deleted_at timestamptz, version int);
CREATE TABLE pair (a int, b text, v bigint, "lastModifiedAt" timestamp(3), version int, PRIMARY KEY (a, b));
CREATE TABLE form (id int PRIMARY KEY, owner text, v int, w int, x int DEFAULT 7, version int);
CREATE TABLE soft_form (LIKE form INCLUDING ALL, gone_at timestamptz);
CREATE TABLE ledger (LIKE form INCLUDING ALL);
CREATE TABLE latest (LIKE note INCLUDING ALL);
CREATE TABLE first (LIKE note INCLUDING ALL);
CREATE INDEX ON note (owner, id);
CREATE INDEX ON soft_note (owner, id);
CREATE INDEX ON form (owner, id);
CREATE INDEX ON soft_form (owner, id);
CREATE INDEX ON ledger (owner, id);
CREATE INDEX ON latest (owner, id);
CREATE INDEX ON first (owner, id);
-- what most frameworks have: a trigger that says when a row was written
CREATE OR REPLACE FUNCTION say_when() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW := jsonb_populate_record(NEW, jsonb_build_object(TG_ARGV[0], clock_timestamp()));
	RETURN NEW;
END $$;
CREATE TRIGGER say_when BEFORE INSERT OR UPDATE ON soft_note FOR EACH ROW EXECUTE FUNCTION say_when('updated_at');
CREATE TRIGGER say_when BEFORE INSERT OR UPDATE ON soft_form FOR EACH ROW EXECUTE FUNCTION say_when('lastModifiedAt');
SELECT tide.track('note', scope => 'owner', version => 'version');
SELECT tide.track('soft_note', entity_type => 'softNote', scope => 'owner', naming => 'camel',
	modified_at => 'updated_at', deleted_at => 'deleted_at', version => 'version');
SELECT tide.track('pair', shared => true, version => 'version');
SELECT tide.track('form', scope => 'owner', version => 'version', conflict => 'merge');
SELECT tide.track('soft_form', entity_type => 'softForm', scope => 'owner', version => 'version',
	deleted_at => 'gone_at', conflict => 'merge');
SELECT tide.track('ledger', scope => 'owner', version => 'version', conflict => 'merge');
SELECT tide.track('latest', scope => 'owner', version => 'version', conflict => 'client_wins');
SELECT tide.track('first', scope => 'owner', version => 'version', conflict => 'server_wins');
SQL

# rows that are not deleted, with their stamps, as the oracle has them
sub state_sql
{
	my %from = (softNote => 'soft_note', softForm => 'soft_form');
	my %where = (softNote => 'WHERE deleted_at IS NULL', softForm => 'WHERE gone_at IS NULL');
	return "SELECT * FROM (\n" . join(" UNION ALL\n", map {
		my $type = $TYPES{$_};
		my $stamp = $_ eq 'softNote' ? 'updated_at' : '"lastModifiedAt"';
		my $client = $_ eq 'softNote' ? 'client_id' : '"clientId"';
		my $key = $_ eq 'pair' ? "a || ' ' || b" : 'id';
		my $columns = join ', ', map { "coalesce($_\::text, '-')" } @{ $type->{columns} };
		"SELECT '$_ ' || $key, concat_ws(' ', $columns, "
		  . "round(extract(epoch FROM $stamp) * 1000), coalesce($client, '-')), version "
		  . 'FROM ' . ($from{$_} // $_) . ' ' . ($where{$_} // '')
	} sort keys %TYPES) . ') s(key, row, version) ORDER BY key COLLATE "C"';
}

sub open_database
{
	my $name = $cluster->create_database;
	my $control = TideSession->new($cluster->conninfo($name));
	$control->query('CREATE EXTENSION pg_tide');
	my @devices = map {
		{
			name => $_,
			session => TideSession->new($cluster->conninfo($name), setup =>
				  "SELECT set_config('request.jwt.claims', '{\"sub\": \"u\"}', false)") }
	} @DEVICES;
	return { name => $name, control => $control, devices => \@devices };
}

my @databases = (open_database(), open_database());
my @log;    # what became of each change, in the order of the replies

# ---------- changes ----------

sub pick { return $_[ int rand @_ ]; }

my @types = map { ($_) x $TYPES{$_}{often} } sort keys %TYPES;
my $EPOCH = 1_600_000_000_000;

sub random_values
{
	my ($type, $v) = @_;
	my %values = map { $_ => $_ eq 'words' ? pick('', 'ä', "it's") . $v : $v } @{ $type->{columns} };
	# a patch: some of the columns, or none, which is a write of the row all the same
	if ($type->{rule} eq 'columns') { rand() < 0.5 and delete $values{$_} for @{ $type->{columns} }; }
	return \%values;
}

# Few stamps, years apart, so that some are equal; a device gives a row none
# twice, but where no version is promised.
sub random_changes
{
	my (@changes, %used);
	my %skew = map { $_ => pick(0, 0, -3, -1, 2) * 365 * 86_400_000 } @DEVICES;
	while (@changes < $CHANGES)
	{
		my $device = pick(@DEVICES);
		my $name = pick(@types);
		my $type = $TYPES{$name};
		my $key = pick(@{ $type->{keys} });
		my $stamp = $EPOCH + $skew{$device} + 250 * int rand 40;
		my $row = join ' ', $name, map { $key->{$_} } sort keys %$key;
		next if $used{"$device $row $stamp"}++ && $type->{rule} ne 'any';
		my $v = 1 + @changes;
		push @changes, {
			device => $device, type => $name, key => $key, name => $row, v => $v, stamp => $stamp,
			values => random_values($type, $v), delete => !$type->{forever} && rand() < 0.3 };
	}
	return @changes;
}

# What plain SQL does: the rows that it creates, before all else, and edits
# with stamps of their own above every pushed one, in this order.
sub plain_edits
{
	my @edits;
	for my $key (@{ $TYPES{ledger}{keys} })
	{
		push @edits, { type => 'ledger', key => $key, name => "ledger $key->{id}", v => 1000 + @edits,
			stamp => $EPOCH - 500 * 86_400_000, create => 1 };
		$edits[-1]{values} = { map { $_ => $edits[-1]{v} } 'v', 'w', 'x' };
	}
	for my $n (1 .. 6)
	{
		my $key = pick(@{ $TYPES{ledger}{keys} });
		push @edits, { type => 'ledger', key => $key, name => "ledger $key->{id}", v => 1000 + @edits,
			stamp => $EPOCH + (3 * 365 + $n) * 86_400_000, values => { pick('v', 'w', 'x') => 1000 + @edits } };
	}
	return @edits;
}

sub plain_sql
{
	my ($edit) = @_;
	my $time = "to_timestamp($edit->{stamp} / 1000.0)";
	my $values = $edit->{values};
	return "INSERT INTO ledger (id, owner, v, w, x, \"lastModifiedAt\") "
	  . "VALUES ($edit->{key}{id}, 'u', $values->{v}, $values->{w}, $values->{x}, $time)" if $edit->{create};
	return 'UPDATE ledger SET ' . join(', ', map { "$_ = $values->{$_}" } keys %$values)
	  . ", \"lastModifiedAt\" = $time WHERE id = $edit->{key}{id}";
}

# Plain SQL between two pushes of the same rows may be whom the server chooses
# when all three wait for each other; an application tries again.
sub run_plain
{
	my ($database, $edit) = @_;
	my $sql = plain_sql($edit);

	for my $try (1 .. 5)
	{
		return if eval { $database->{control}->query($sql); 1 };
		die $@ if $@ !~ /40P01/ || $try == 5;
	}
	return;
}

# and what it does where no version is promised
sub any_sql
{
	my $v = 2000 + int rand 1000;
	my $id = 1 + int rand 3;
	my $table = pick('latest', 'first');
	return pick("UPDATE $table SET v = $v WHERE id = $id", "DELETE FROM $table WHERE id = $id",
		"INSERT INTO $table (id, owner, v) VALUES ($id, 'u', $v) ON CONFLICT DO NOTHING");
}

# is the stamp of the first above that of the second?  Plain SQL has no client.
sub is_above
{
	my ($one, $two) = @_;
	return $one->{stamp} > $two->{stamp} if $one->{stamp} != $two->{stamp};
	return defined $one->{device}
	  && (!defined $two->{device} || bytes($one->{device}) gt bytes($two->{device}));
}

# what has to be there in the end
sub oracle
{
	my (%best, %columns);
	for my $c (grep { $TYPES{ $_->{type} }{rule} ne 'any' } @_)
	{
		my $name = $c->{name};
		$best{$name} = $c if !$best{$name} || is_above($c, $best{$name});
		next if $c->{delete};
		for my $column (keys %{ $c->{values} })
		{
			my $other = $columns{$name}{$column};
			$columns{$name}{$column} = $c if !$other || is_above($c, $other);
		}
	}
	return map {
		my ($name, $c) = ($_, $best{$_});
		my $type = $TYPES{ $c->{type} };
		my %row = $type->{rule} eq 'rows' ? %{ $c->{values} }
		  : map { ($_ => ($columns{$name}{$_} // { values => { x => 7 } })->{values}{$_}) } @{ $type->{columns} };
		$c->{delete} ? ()
		  : ($name => join ' ', values_of($c->{type}, \%row), $c->{stamp}, $c->{device} // '-')
	} keys %best;
}

sub values_of
{
	my ($type, $row) = @_;
	return map { $row->{$_} // '-' } @{ $TYPES{$type}{columns} };
}

sub bytes { my ($text) = @_; utf8::encode($text); return $text; }

sub iso
{
	my ($ms) = @_;
	my @t = gmtime(int($ms / 1000));
	return sprintf '%04d-%02d-%02dT%02d:%02d:%02d.%03dZ', $t[5] + 1900, $t[4] + 1,
	  @t[3, 2, 1, 0], $ms % 1000;
}

# What a change was made upon, if it says so: the version that was last heard of
# when it was first pushed.
sub base_of
{
	my ($database, $c) = @_;
	return if $TYPES{ $c->{type} }{rule} ne 'any';
	my $bases = $database->{bases};
	$bases->{ $c->{v} } = rand() < 0.4 ? $database->{heard}{ $c->{name} } : undef
	  unless exists $bases->{ $c->{v} };
	return $bases->{ $c->{v} };
}

sub as_row
{
	my ($c, $base) = @_;
	my $stamp = rand() < 0.5 ? iso($c->{stamp}) : $c->{stamp};
	my $field = $c->{type} eq 'softNote' ? 'updatedAt' : 'lastModifiedAt';
	my %row = (%{ $c->{key} }, $field => $stamp);
	$row{owner} = 'u' unless $TYPES{ $c->{type} }{shared};
	%row = (%row, %{ $c->{values} }) if !$c->{delete} || rand() < 0.5;
	if ($c->{delete}) { $row{deletedAt} = iso($c->{stamp} + int rand 1000); }
	elsif (rand() < 0.5) { $row{deletedAt} = undef; }
	$row{_base} = $base if defined $base;
	return \%row;
}

sub as_item
{
	my ($c, $base) = @_;
	my $type = $TYPES{ $c->{type} };
	my $id = keys %{ $c->{key} } > 1 ? $c->{key} : $c->{key}{id};
	my %item = (
		id => "q-$c->{v}", entityType => $c->{type}, entityId => $id,
		action => $c->{delete} ? 'delete' : pick('create', 'update'),
		lastModifiedAt => rand() < 0.5 ? iso($c->{stamp}) : $c->{stamp});
	$item{base} = $base if defined $base;
	$item{data} = { %{ $c->{key} }, %{ $c->{values} }, $type->{shared} ? () : (owner => 'u') }
	  unless $c->{delete};
	return \%item;
}

sub push_sql
{
	my ($device, @changes) = @_;
	my %body = (clientId => $device->{name});
	my @bases = map { scalar base_of($device->{database}, $_) } @changes;
	if (rand() < 0.5) { $body{changes} = [ map { as_item($changes[$_], $bases[$_]) } 0 .. $#changes ]; }
	else { push @{ $body{changes}{ $changes[$_]{type} } }, as_row($changes[$_], $bases[$_]) for 0 .. $#changes; }
	my $json = encode_json(\%body);
	utf8::decode($json);
	$json =~ s/'/''/g;
	return "SELECT tide.push('$json')";
}

# ---------- devices ----------

sub take_row
{
	my ($device, $type, $row) = @_;
	my $name = join ' ', $type, map { $row->{$_} } sort keys %{ $TYPES{$type}{keys}[0] };
	if (!exists $row->{v} || $row->{deletedAt} || $row->{gone_at}) { delete $device->{rows}{$name}; }
	else { $device->{rows}{$name} = join ' ', values_of($type, $row); }
	return;
}

sub start_push
{
	my ($device, @changes) = @_;
	$device->{doing} = { push => \@changes };
	$device->{session}->send(push_sql($device, @changes));
	return;
}

sub start_pull
{
	my ($device) = @_;
	my $since = defined $device->{since} ? "'$device->{since}'" : 'NULL';
	$device->{doing} = { pull => 1 };
	$device->{session}->send("SELECT tide.pull($since, max_rows => " . pick(1, 2, 4, 100)
		  . ", client_id => '$device->{name}')");
	return;
}

sub device_done
{
	my ($device) = @_;
	my $doing = $device->{doing};
	my $error = $device->{session}->error;
	if ($error)
	{
		die $device->{session}->output unless $error =~ /^40/;
		push @{ $device->{queue} }, @{ $doing->{push} // [] };
		return;
	}
	my $reply = decode_json((split /\n/, $device->{session}->output)[0]);
	if ($doing->{pull})
	{
		die "a reset: $reply->{resetReason}\n" if $reply->{reset};
		# Without a cursor it starts from the beginning: what a push was told
		# before may have been deleted since, and then does not come.
		$device->{rows} = {} unless defined $device->{since};
		for my $type (sort keys %{ $reply->{deletedByType} })
		{
			take_row($device, $type, $_)
			  for @{ $reply->{deletedByType}{$type} };
		}
		for my $type (sort keys %{ $reply->{changesByType} })
		{
			take_row($device, $type, $_) for @{ $reply->{changesByType}{$type} };
		}
		$device->{since} = $reply->{cursor};
		$device->{more} = $reply->{hasMore};
		return;
	}
	die 'failed: ' . encode_json($reply->{failed}) . "\n" if @{ $reply->{failed} };
	check_replays(@$device{ 'database', 'delivered' }, $doing->{push}, $reply->{succeeded});
	# the reply is lost: these are still to be pushed
	if ($device->{loses} && rand() < 0.25)
	{
		push @{ $device->{queue} }, @{ $doing->{push} };
		return;
	}
	take_row($device, $_->{entityType}, $_->{entity}) for @{ $reply->{succeeded} };
	return;
}

# A change that was stored or judged before has no second effect.  (But it is
# folded into a push that also brings something new of its row: what the device
# edited last stands.)  Replies are in the order of the request, within a type.
sub check_replays
{
	my ($database, $delivered, $pushed, $verdicts) = @_;
	my (%of_type, %fresh);
	push @{ $of_type{ $_->{type} } }, $_ for @$pushed;
	$fresh{ $_->{name} } = 1 for grep { !$delivered->{ $_->{v} } } @$pushed;
	for my $verdict (@$verdicts)
	{
		my $c = shift @{ $of_type{ $verdict->{entityType} } };
		my $stamp = $verdict->{entity}{lastModifiedAt} // $verdict->{entity}{updatedAt} // '-';
		$database->{heard}{ $c->{name} } = $verdict->{entity}{lastModifiedAt};
		push @log, "$database->{name}: $c->{name} #$c->{v} $verdict->{status}, now $stamp "
		  . ($verdict->{entity}{clientId} // '-') . (defined $verdict->{entity}{deletedAt} ? ' deleted' : '');
		die "a replay of #$c->{v} of $c->{name} was $verdict->{status}\n"
		  if $delivered->{ $c->{v} } && !$fresh{ $c->{name} } && $verdict->{status} !~ /^(?:unchanged|superseded)$/;
	}
	$delivered->{ $_->{v} } = 1 for @$pushed;
	return;
}

sub feed
{
	my ($database, $edits, @changes) = @_;
	my $deadline = Time::HiRes::time() + 120;
	my @edits = @$edits;
	my %delivered;
	@$database{ 'bases', 'heard' } = ({}, {});
	run_plain($database, shift @edits) while @edits && $edits[0]{create};
	for my $device (@{ $database->{devices} })
	{
		@$device{qw(rows since more loses database delivered)} = ({}, undef, 0, 1, $database, \%delivered);
		$device->{queue} = [ shuffle(grep { $_->{device} eq $device->{name} } @changes) ];
	}
	while (1)
	{
		my $busy = 0;
		for my $device (@{ $database->{devices} })
		{
			if ($device->{session}->busy)
			{
				if (!$device->{session}->done(0.001)) { $busy = 1; next; }
				device_done($device);
			}
			next unless @{ $device->{queue} };
			$busy = 1;
			if (rand() < 0.3) { start_pull($device); }
			else { start_push($device, splice @{ $device->{queue} }, 0, 1 + int rand 6); }
		}
		run_plain($database, shift @edits) if @edits && (!$busy || rand() < 0.02);
		$database->{control}->query(any_sql()) if rand() < 0.02;
		return unless $busy || @edits;
		die "the devices do not come to an end\n" if Time::HiRes::time() > $deadline;
	}
}

sub pull_to_the_end
{
	my ($database) = @_;
	for my $device (@{ $database->{devices} })
	{
		for (my $pages = 0; $pages == 0 || $device->{more}; $pages++)
		{
			die "$device->{name} does not come to an end\n" if $pages > 1000;
			start_pull($device);
			$device->{session}->wait;
			device_done($device);
		}
	}
	return;
}

# ---------- what must be ----------

sub lines
{
	my ($database) = @_;
	my $text = $database->{control}->query(state_sql());
	utf8::decode($text);
	return split /\n/, $text;
}

sub compare
{
	my ($what, $has, $should) = @_;
	my @wrong = map {
		($has->{$_} // 'nothing') eq ($should->{$_} // 'nothing') ? ()
		  : "$_ is " . ($has->{$_} // 'nothing') . ', should be ' . ($should->{$_} // 'nothing')
	} sort keys %{ { %$has, %$should } };
	die "$what:\n  " . join("\n  ", @wrong) . "\n" if @wrong;
	return;
}

# $should: what is promised; of the other types, what the tables hold
sub check
{
	my ($database, $should) = @_;
	my @lines = lines($database);
	my %tables = map { (split /\|/)[ 0, 1 ] } @lines;
	my %all = (%$should, map { ($_ => $tables{$_}) }
		grep { my ($type) = split / /; $TYPES{$type}{rule} eq 'any' } keys %tables);
	compare("the tables of $database->{name}", \%tables, \%all);
	pull_to_the_end($database);
	my %values = map { my ($key, $row) = ($_, $all{$_}); $row =~ s/ \d+ \S+\z//; ($key => $row) }
	  keys %all;
	compare("the replica of $_->{name}", $_->{rows}, \%values) for @{ $database->{devices} };
	return @lines;
}

sub one_run
{
	my ($seed) = @_;
	srand($seed);
	my @changes = random_changes();
	my @edits = plain_edits();
	@log = ();
	my %should = oracle(@changes, @edits);
	my $good = eval {
		for my $database (@databases)
		{
			$database->{control}->query($SCHEMA);
			feed($database, \@edits, @changes);
			my @before = check($database, \%should);
			# once more, all of it, by whoever comes first
			$_->{loses} = 0 for @{ $database->{devices} };
			for my $device (@{ $database->{devices} })
			{
				my @own = shuffle(grep { $_->{device} eq $device->{name} } @changes) or next;
				start_push($device, @own);
				$device->{session}->wait;
				device_done($device);
			}
			my @after = check($database, \%should);
			die "pushing all again had an effect:\n@before\n@after\n" if "@before" ne "@after";
		}
		1;
	};
	my $reason = $@;
	if (!$good)
	{
		diag("SEED=$seed: $reason");
		diag(join "\n", map {
			my $c = $_;
			sprintf '  %-4s %s %s #%d %s', $c->{device} // '-', $c->{stamp}, $c->{name}, $c->{v},
			  $c->{delete} ? 'delete' : join ', ', map { "$_=$c->{values}{$_}" } sort keys %{ $c->{values} }
		} sort { $a->{name} cmp $b->{name} || $a->{stamp} <=> $b->{stamp} } @changes, @edits);
		diag("what became of them:\n  " . join "\n  ", grep { my ($row) = /: (.*) #/; index($reason, $row) >= 0 } @log);
		return 0;
	}
	$_->{control}->query('DROP TABLE note, soft_note, pair, form, soft_form, ledger, latest, first') for @databases;
	return 1;
}

my $first_seed = $ENV{SEED} || int(rand(1_000_000));
my $end = Time::HiRes::time() + ($ENV{SECONDS} // 30);
my ($runs, $good) = (0, 0);
diag("SEED=$first_seed");
while (1)
{
	$runs++;
	last unless one_run($first_seed + $runs - 1);
	$good++;
	last if $ENV{SEED} || ($ENV{RUNS} ? $runs >= $ENV{RUNS} : Time::HiRes::time() > $end);
}
is($good, $runs, "$runs runs of $CHANGES changes: tables and replicas are what the stamps say, and replays nothing");
done_testing();
