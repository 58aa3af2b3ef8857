# G7: three users and a coach, random data.  Rows, their parents and their
# grandparents move between owners; a coach gets athletes and loses them; row
# security hides rows by their contents; rows and parents are deleted and tables
# emptied; devices push, also rows that are not theirs.  After every step each
# device pulls to the end, and then
#
#   * its replica is what SELECT shows its user of the scopes that are hers;
#   * no reply has named a key, a version of a row or a user that was never hers
#     to know.  Every key, text and name is one of a kind, so a look at the bytes
#     of the reply tells; the oracle keeps who was ever entitled to which;
#   * now and then its digest is that of its replica, and of the keys of all rows
#     there are it fetches those rows, and no others.
#
# A user may know a key if its row was ever in one of the user's scopes, hidden or
# not; a row's contents if SELECT has shown them to the user; a name if it was
# ever one of the user's scopes.
#
#   SECONDS=600, RUNS=5, SEED=17 as for cursor.t
#
# Seen to fail with: the scope of a row not looked at when it is read for an
# entry of the log; rows below an ancestor not moved; a scope that was lost not
# named; the old scope of a moved row not recorded; the scope that a pushed row
# would be in not tested; rows fetched by key whosever they are.
use strict;
use warnings;
use utf8;

use FindBin ();
use lib $FindBin::Bin, "$FindBin::Bin/../lib";
use Test::More;
use TideDigest qw(digest_of digest_in buckets_that_differ);
use TideSession ();
use TideTest qw(decode_json encode_json);
use Time::HiRes ();

my $STEPS = $ENV{STEPS} // 60;
my @ATHLETES = ('userAnn', 'userBob', 'userCyd');
my @USERS = (@ATHLETES, 'userCoach');
my @TYPES = ('plan', 'day', 'exercise', 'diary', 'catalogue');
my %TEXTS = (plan => ['title'], day => ['title'], exercise => ['title'],
	diary => ['title', 'mood'], catalogue => ['title', 'mood']);

binmode $_, ':utf8' for *STDOUT, *STDERR, Test::More->builder->failure_output;

my $cluster = $ENV{TIDE_TEST_CLUSTER} ? TideTest::Cluster->shared
  : TideTest::Cluster->start;
my $database = $cluster->create_database;
my $control = TideSession->new($cluster->conninfo($database));
my $role = "tide_oracle_$$";
my (%devices, %known, $number, $seed);

# ---------- the tables ----------

# day is under plan, exercise under day: their scope is the plan's
sub create_tables
{
	$control->query('CREATE EXTENSION pg_tide');
	$control->query("CREATE ROLE $role");
	$control->query(<<"SQL");
CREATE TABLE coaching (coach text, athlete text, PRIMARY KEY (coach, athlete));
CREATE FUNCTION my_scopes(claims jsonb) RETURNS text[] LANGUAGE sql STABLE SECURITY DEFINER AS
	\$\$ SELECT array_agg(athlete) || (claims->>'sub') FROM public.coaching WHERE coach = claims->>'sub' \$\$;
CREATE TABLE plan (id text PRIMARY KEY, athlete text, title text);
CREATE TABLE day (id text PRIMARY KEY, plan_id text REFERENCES plan ON UPDATE CASCADE ON DELETE CASCADE, title text);
CREATE TABLE exercise (id text PRIMARY KEY, day_id text REFERENCES day ON UPDATE CASCADE ON DELETE SET NULL, title text);
CREATE TABLE diary (id text PRIMARY KEY, athlete text, title text, mood text);
CREATE TABLE catalogue (id text PRIMARY KEY, title text, mood text);
CREATE INDEX ON plan (athlete, id);
CREATE INDEX ON diary (athlete, id);
CREATE INDEX ON day (plan_id);
CREATE INDEX ON exercise (day_id);
SELECT tide.track('plan', scope => 'athlete');
SELECT tide.track('day', scope => 'plan_id.athlete');
SELECT tide.track('exercise', scope => 'day_id.plan_id.athlete');
SELECT tide.track('diary', scope => 'athlete');
SELECT tide.track('catalogue', shared => true);
ALTER TABLE diary ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON diary USING (mood <> 'secret' OR athlete = current_setting('request.jwt.claims')::jsonb->>'sub');
ALTER TABLE catalogue ENABLE ROW LEVEL SECURITY;
CREATE POLICY published ON catalogue FOR SELECT USING (mood <> 'secret');
GRANT SELECT, INSERT, UPDATE, DELETE ON plan, day, exercise, diary TO $role;
GRANT SELECT ON catalogue TO $role;
ALTER DATABASE "$database" SET pg_tide.scopes_function = 'public.my_scopes';
SQL
	$control->query("SET pg_tide.scopes_function = 'public.my_scopes'");
	return;
}

sub pick { return $_[ int rand @_ ]; }

# every key, text and client is told from all others by its number
sub fresh { my ($kind) = @_; return sprintf '%s%06dx', $kind, ++$number; }

sub sql_text { my ($text) = @_; $text =~ s/'/''/g; return "'$text'"; }

sub a_key
{
	my ($table) = @_;
	my @keys = split /\n/, $control->query("SELECT id FROM $table ORDER BY id");
	return @keys ? pick(@keys) : undef;
}

# ---------- what plain SQL does ----------

sub insert_row
{
	my $table = pick(@TYPES);
	my ($id, $title) = (fresh('key'), fresh('text'));
	my $athlete = rand() < 0.1 ? 'NULL' : sql_text(pick(@ATHLETES));
	my $mood = pick("'fine'", "'fine'", "'secret'");
	return "INSERT INTO $table VALUES ('$id', $athlete, '$title')" if $table eq 'plan';
	return "INSERT INTO diary VALUES ('$id', $athlete, '$title', $mood)" if $table eq 'diary';
	return "INSERT INTO catalogue VALUES ('$id', '$title', $mood)" if $table eq 'catalogue';
	my $parent = a_key($table eq 'day' ? 'plan' : 'day');
	$parent = defined $parent && rand() < 0.9 ? "'$parent'" : 'NULL';
	return "INSERT INTO $table VALUES ('$id', $parent, '$title')";
}

sub edit_row
{
	my $table = pick(@TYPES);
	my $id = a_key($table) // return insert_row();
	return "UPDATE $table SET mood = CASE mood WHEN 'fine' THEN 'secret' ELSE 'fine' END WHERE id = '$id'"
	  if $table =~ /diary|catalogue/ && rand() < 0.5;
	return "UPDATE $table SET title = '" . fresh('text') . "' WHERE id = '$id'";
}

sub move_row
{
	my $table = pick('plan', 'plan', 'day', 'exercise', 'diary');
	my $id = a_key($table) // return insert_row();
	return "UPDATE $table SET athlete = " . pick(map { sql_text($_) } @ATHLETES) . " WHERE id = '$id'"
	  if $table =~ /plan|diary/;
	my $parent = a_key($table eq 'day' ? 'plan' : 'day') // return insert_row();
	my $column = $table eq 'day' ? 'plan_id' : 'day_id';
	return "UPDATE $table SET $column = " . pick("'$parent'", "'$parent'", 'NULL') . " WHERE id = '$id'";
}

sub delete_row
{
	my $table = pick(@TYPES);
	my $id = a_key($table) // return insert_row();
	return "DELETE FROM $table WHERE id = '$id'";
}

sub rename_key
{
	my $table = pick('plan', 'day', 'diary');
	my $id = a_key($table) // return insert_row();
	return "UPDATE $table SET id = '" . fresh('key') . "' WHERE id = '$id'";
}

sub move_all
{
	return pick(
		"UPDATE plan SET athlete = CASE athlete WHEN '$ATHLETES[0]' THEN '$ATHLETES[1]' ELSE '$ATHLETES[0]' END",
		"UPDATE day SET plan_id = (SELECT min(id) FROM plan)",
		"UPDATE diary SET athlete = '$ATHLETES[2]'");
}

sub share
{
	my $athlete = sql_text(pick(@ATHLETES));
	return pick("INSERT INTO coaching VALUES ('userCoach', $athlete) ON CONFLICT DO NOTHING",
		"DELETE FROM coaching WHERE athlete = $athlete",
		"INSERT INTO coaching VALUES ('$ATHLETES[0]', $athlete) ON CONFLICT DO NOTHING");
}

sub random_sql
{
	my ($is_first) = @_;
	my $r = rand();
	return insert_row() if $r < 0.3;
	return edit_row() if $r < 0.5;
	return move_row() if $r < 0.68;
	return delete_row() if $r < 0.78;
	return share() if $r < 0.9;
	return rename_key() if $r < 0.94;
	return move_all() if $r < 0.98;

	# not of a table whose deferred triggers are still to be fired
	return ($is_first ? 'TRUNCATE ' : 'DELETE FROM ') . pick('exercise', 'diary');
}

# ---------- who may know what ----------

sub note_known
{
	my ($user, @words) = @_;
	$known{$user}{$_} = 1 for @words;
	return;
}

# Keys in scope now, also of rows that row security hides.  Asked by who writes,
# between the statements of a transaction, too: a row that passes through a scope
# leaves its key there.
sub note_keys
{
	for my $user (@USERS)
	{
		my $mine = "(SELECT array_agg(athlete) || text '$user' FROM coaching WHERE coach = '$user')::text[]";
		note_known($user, split /\n/, $control->query(join ' UNION ALL ',
			(map { "SELECT id FROM $_ WHERE athlete = ANY ($mine)" } 'plan', 'diary'),
			(map { "SELECT id FROM $_ WHERE tide_scope = ANY ($mine)" } 'day', 'exercise'),
			'SELECT id FROM catalogue'));
	}
	return;
}

# what a user's SELECT shows of her scopes, by type and key; and what she
# therefore may know
sub truth
{
	my ($user) = @_;
	my $session = $devices{$user}{session};
	my @scopes = split /,/, $session->query(
		"SELECT array_to_string(my_scopes(current_setting('request.jwt.claims')::jsonb), ',')");
	note_known($user, @scopes);
	my $list = join ', ', map { sql_text($_) } @scopes;
	my %rows;
	for my $type (@TYPES)
	{
		my $scope = $type eq 'catalogue' ? 'true'
		  : ($type =~ /plan|diary/ ? 'athlete' : 'tide_scope') . " IN ($list)";
		for my $json (split /\n/, $session->query("SELECT to_jsonb(t) FROM $type t WHERE $scope"))
		{
			my $row = decode_json($json);
			$rows{$type}{ $row->{id} } = as_text($type, $row);
			note_known($user, grep { defined } @$row{qw(id title)});
		}
	}
	return \%rows;
}

sub as_text
{
	my ($type, $row) = @_;
	return join '|', map { $_ // 'null' } @$row{ 'id', @{ $TEXTS{$type} } },
	  grep { defined } @$row{qw(athlete tide_scope plan_id day_id)};
}

# words of ours in a reply that its user may not know, and did not send
sub strange_words
{
	my ($user, $reply, $sent) = @_;
	my %sent = map { $_ => 1 } ($sent // '') =~ /((?:key|text)\d{6}x|user[A-Z]\w+)/g;
	my %found = map { $_ => 1 } $reply =~ /((?:key|text)\d{6}x|user[A-Z][a-z]+)/g;
	return sort grep { !$known{$user}{$_} && !$sent{$_} } keys %found;
}

# ---------- devices ----------

sub open_device
{
	my ($user) = @_;
	my $claims = encode_json({ sub => $user, role => $role });
	my $session = TideSession->new($cluster->conninfo($database), setup =>
		  "SET ROLE $role; SELECT set_config('request.jwt.claims', '$claims', false)");
	$devices{$user} = { user => $user, session => $session, rows => {},
		client => 'phone of ' . lc substr $user, 4 };
	note_known($user, $user);
	return;
}

# a row of a reply, by what is still of anybody's interest
sub take_page
{
	my ($device, $page) = @_;
	my $rows = $device->{rows};
	for my $scope (@{ $page->{revokedScopes} })
	{
		for my $type (grep { $_ ne 'catalogue' } @TYPES)
		{
			my $held = $rows->{$type} // {};
			delete @$held{ grep { ($held->{$_}{athlete} // $held->{$_}{tide_scope} // '') eq $scope } keys %$held };
		}
	}
	for my $type (keys %{ $page->{deletedByType} })
	{
		delete $rows->{$type}{ $_->{id} } for @{ $page->{deletedByType}{$type} };
	}
	for my $type (keys %{ $page->{changesByType} })
	{
		$rows->{$type}{ $_->{id} } = $_ for @{ $page->{changesByType}{$type} };
	}
	return;
}

# false, and why in a diag, if a reply told too much or the replica is not right
sub pull_and_compare
{
	my ($device, $truth) = @_;
	my ($user, $session) = @$device{qw(user session)};
	my $more = 1;
	while ($more)
	{
		my $since = defined $device->{cursor} ? "'$device->{cursor}'" : 'NULL';
		my $text = $session->query("SELECT tide.pull($since, max_rows => " . pick(1, 2, 5, 100)
			  . pick('', '', ", client_id => '$device->{client}'") . ')');
		my @strange = strange_words($user, $text);
		if (@strange) { diag "$user was told of @strange:\n$text"; return 0; }
		next if rand() < 0.1;    # lost: asked for again
		my $page = decode_json($text);
		if ($page->{reset}) { diag "$user: a reset, $page->{resetReason}"; return 0; }
		take_page($device, $page);
		($device->{cursor}, $more) = @$page{qw(cursor hasMore)};
	}
	for my $type (@TYPES)
	{
		my $held = $device->{rows}{$type} // {};
		my %have = map { $_ => as_text($type, $held->{$_}) } keys %$held;
		my $want = $truth->{$type} // {};
		my $have = join "\n", map { $have{$_} } sort keys %have;
		$want = join "\n", map { $want->{$_} } sort keys %$want;
		next if $have eq $want;
		diag "$user has other rows of $type.\nhas:\n$have\nshould have:\n$want";
		return 0;
	}
	return 1;
}

# Likewise: a digest of a replica that is right, and what can be fetched by key.
sub verify_and_fetch
{
	my ($device, $truth) = @_;
	my ($user, $session) = @$device{qw(user session)};
	my $digest = $session->query("SELECT tide.digest('$device->{cursor}')");
	my $versions = $session->query('SELECT tide.keys(buckets => (SELECT array_agg(i) FROM generate_series(0, 255) i))');
	my $everything = $control->query('SELECT jsonb_object_agg(t, k) FROM (VALUES '
		. join(', ', map { "('$_', (SELECT coalesce(jsonb_agg(id), '[]') FROM $_))" } @TYPES) . ') v(t, k)');
	my $rows = $session->query('SELECT tide.rows(' . sql_text("{\"keys\": $everything}") . ', max_rows => 100000)');
	my %strange = map { $_ => 1 } map { strange_words($user, $_) } $digest, $versions, $rows;
	if (%strange) { diag "$user was told of " . join(' ', sort keys %strange); return 0; }
	for my $type (@TYPES)
	{
		my @held = values %{ $device->{rows}{$type} // {} };
		my @differ = buckets_that_differ(digest_of(\@held, key => ['id']),
			digest_in(decode_json($digest)->{digestByType}{$type}));
		my $want = join ' ', sort keys %{ $truth->{$type} // {} };
		my $named = join ' ', sort map { $_->{id} } @{ decode_json($versions)->{keysByType}{$type} };
		my $fetched = join "\n", sort map { as_text($type, $_) } @{ decode_json($rows)->{rowsByType}{$type} };
		next if !@differ && $named eq $want
		  && $fetched eq join "\n", sort map { as_text($type, $_) } @held;
		diag "$user: of $type\nbuckets @differ differ\nnamed: $named\nshould: $want\nfetched:\n$fetched";
		return 0;
	}
	return 1;
}

# What a device sends: an edit of a row that it has, a new one, or something
# about any row at all, as someone who has seen a key over a shoulder would.
sub random_change
{
	my ($device, $type) = @_;
	my $held = $device->{rows}{$type} // {};
	my @mine = sort keys %$held;
	my $r = rand();
	my $id = $r < 0.4 && @mine ? pick(@mine) : $r < 0.7 ? fresh('key') : a_key($type) // fresh('key');
	my %row = (id => $id, title => fresh('text'));
	$row{athlete} = pick(@ATHLETES) if $type =~ /plan|diary/ && rand() < 0.6;
	$row{mood} = pick('fine', 'secret') if $type eq 'diary';
	$row{plan_id} = a_key('plan') if $type eq 'day' && rand() < 0.6;
	$row{day_id} = a_key('day') if $type eq 'exercise' && rand() < 0.6;
	$row{tide_scope} = $device->{user} if $type =~ /day|exercise/ && rand() < 0.5;
	$row{deletedAt} = '2099-01-01T00:00:00Z' if rand() < 0.15;
	return \%row;
}

# What is stored is the business of other tests; what the reply tells, and that
# it is taken as far as it says, is this one's.
sub push_something
{
	my ($device) = @_;
	my ($user, $session) = @$device{qw(user session)};
	my $type = pick('plan', 'day', 'exercise', 'diary');
	my %rows = map { $_->{id} => $_ } map { random_change($device, $type) } 1 .. 1 + int rand 4;
	my @rows = map { $rows{$_} } sort keys %rows;

	# one alone where others come along, so that nothing passes through a scope
	@rows = ($rows[0]) if $type =~ /plan|day/;
	my $body = encode_json({ clientId => $device->{client}, changes => { $type => \@rows } });
	my $before = owners();
	my $text = $session->query('SELECT tide.push(' . sql_text($body) . ')');
	note_keys();
	truth($_) for @USERS;    # what it wrote may now be known
	my @strange = strange_words($user, $text, $body);
	if (@strange) { diag "$user was told of @strange:\n$body\n$text"; return 0; }
	for my $done (@{ decode_json($text)->{succeeded} })
	{
		my ($type, $row) = @$done{qw(entityType entity)};
		if (exists $row->{title}) { $device->{rows}{$type}{ $row->{id} } = $row; }
		else { delete $device->{rows}{$type}{ $row->{id} }; }
	}
	my $scopes = { map { $_ => 1 } split /,/, $session->query(
		"SELECT array_to_string(my_scopes(current_setting('request.jwt.claims')::jsonb), ',')") };
	my $after = owners();
	for my $key (keys %$before, keys %$after)
	{
		my ($from, $to) = map { $_ // '' } $before->{$key}, $after->{$key};
		next if $from eq $to;
		# A row was made, deleted, moved or changed: only from and to her own; or
		# it lost the parent that she deleted, and is nobody's.
		my ($was, $is) = map { (split /\|/)[0] // '' } $from, $to;
		next if ($from eq '' || $scopes->{$was}) && ($to eq '' || $is eq '' || $scopes->{$is});
		diag "$user changed $key from $from to $to:\n$body\n$text";
		return 0;
	}
	return 1;
}

# of each scoped row: whose it is, and what it says
sub owners
{
	my %owners;
	for my $type ('plan', 'day', 'exercise', 'diary')
	{
		my $scope = $type =~ /plan|diary/ ? 'athlete' : 'tide_scope';
		/^(\w+) (.*)$/ and $owners{"$type $1"} = $2
		  for split /\n/, $control->query("SELECT concat(id, ' ', $scope, '|', title) FROM $type");
	}
	return \%owners;
}

# ---------- a run ----------

sub one_step
{
	my ($step) = @_;
	if (rand() < 0.25)
	{
		return 0 unless push_something($devices{ pick(@USERS) });
	}
	else
	{
		$control->query('BEGIN');
		for my $nth (1 .. pick(1, 1, 1, 3))
		{
			$control->query(random_sql($nth == 1));
			note_keys();
		}
		$control->query(rand() < 0.9 ? 'COMMIT' : 'ROLLBACK');
	}
	note_keys();
	my %truths = map { $_ => truth($_) } @USERS;
	# some devices are away for a while
	for my $user (grep { rand() < 0.7 } @USERS)
	{
		next if pull_and_compare($devices{$user}, $truths{$user})
		  && (rand() < 0.7 || verify_and_fetch($devices{$user}, $truths{$user}));
		diag "seed $seed, step $step";
		return 0;
	}
	return 1;
}

sub one_run
{
	($seed) = @_;
	srand $seed;
	%known = ();
	$control->query('TRUNCATE plan, day, exercise, diary, catalogue, coaching');
	open_device($_) for @USERS;
	my $good = 1;
	for my $step (1 .. $STEPS)
	{
		$good = one_step($step) or last;
	}
	$_->{session}->finish for values %devices;
	return $good;
}

create_tables();
my $first = $ENV{SEED} // int rand 1_000_000;
my $seconds = $ENV{SECONDS} // 12;
my $start = Time::HiRes::time();
my $runs = 0;
my $steps_done = 0;
note "first seed $first";
while ($ENV{SEED} ? $runs < ($ENV{RUNS} // 1) : $ENV{RUNS} ? $runs < $ENV{RUNS}
	: Time::HiRes::time() - $start < $seconds)
{
	$number = 0;
	last unless ok(one_run($first + $runs), 'seed ' . ($first + $runs));
	$runs++;
}
note "$runs runs of $STEPS steps";
$control->query("DROP OWNED BY $role; DROP ROLE $role");
$control->finish;
$cluster->finish unless $ENV{TIDE_TEST_CLUSTER};
done_testing;
