# Pushes of several users in one transaction: each gets what it would get alone,
# and nothing of one reaches the next.
#
# TideGroups has them wait together; the transaction ids in the log say who was
# in one.
#
# Seen failing: without group_check_tables() ("a trigger", "row security"); with the
# claims of the push before ("as if alone"); with pushes put into a group again that
# a bad one had taken down ("one bad one"); with the usual lock_timeout ("a locked
# row"); with a group run again that may have been committed ("killed").
use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";
use Test::More;
use TideGroups ();
use TideTest qw(wait_for encode_json);

# of our own: one subtest kills a backend
my $cluster = TideTest::Cluster->start;
my $database = $cluster->create_synced(<<'SQL');
CREATE TABLE gate (id int PRIMARY KEY, user_id text);
CREATE TABLE item (id int PRIMARY KEY, user_id text NOT NULL, n int CHECK (n < 1000), who text DEFAULT current_user,
	sub text DEFAULT current_setting('request.jwt.claims', true)::json->>'sub');
CREATE TABLE hooked (id int PRIMARY KEY, user_id text NOT NULL, before text);
CREATE TABLE hidden (id int PRIMARY KEY, user_id text NOT NULL);
CREATE FUNCTION hook() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.before := coalesce(current_setting('hook.user', true), '');
	PERFORM set_config('hook.user', NEW.user_id, true);
	RETURN NEW;
END $$;
CREATE TRIGGER hook BEFORE INSERT ON hooked FOR EACH ROW EXECUTE FUNCTION hook();
ALTER TABLE hidden ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON hidden USING (user_id = current_setting('request.jwt.claims')::json->>'sub');
CREATE INDEX ON item (user_id);
SELECT tide.track(t, scope => 'user_id') FROM unnest('{gate,item,hooked,hidden}'::regclass[]) t;
GRANT ALL ON gate, item, hooked, hidden TO tide_user;
SQL
my $next_id = 0;
my $groups = TideGroups->new(cluster => $cluster, database => $database);
my @users = map { "user$_" } 1 .. 16;
my @gateways;

sub sql { return $cluster->sql($database, $_[0]); }

sub gateway
{
	my (%settings) = @_;
	my $gateway = TideTest::Gateway->start(cluster => $cluster, database => $database,
		settings => { 'db-connections' => 1, 'maintain-interval' => 0, 'metrics-listen' => '127.0.0.1:0', %settings });
	push @gateways, $gateway;
	return $gateway->wait_until_ready;
}

sub grouped { return $_[0]->metric('grouped_pushes_total') // 0 }
sub failed_groups { return $_[0]->metric('push_groups_total{outcome="failed"}') // 0 }
sub send_together { return $groups->send_together(@_) }
sub replies { return map { TideGroups::reply_of($_) } send_together(@_) }

# what does not depend on when and beside whom it was pushed
sub essence
{
	my ($reply) = @_;
	my ($status, $body) = @$reply;
	my $text = encode_json([ $status, map { { status => $_->{status}, entity => $_->{entity}, errors => $_->{errors} } }
		@{ $body->{succeeded} }, @{ $body->{failed} } ]);

	$text =~ s/"lastModifiedAt":"[^"]*"/"lastModifiedAt":"…"/g;
	$text =~ s/"id":\d+/"id":0/g;
	return $text;
}

sub transactions { return sql("SELECT count(DISTINCT xid) FROM tide.log WHERE relid = '$_[0]'::regclass AND push IS NOT NULL AND keys[1]::int > $_[1]") }

# new rows, edits, one that is too late, a delete, one of another's row, an unknown type
sub bodies
{
	my @bodies;
	for my $n (0 .. $#users)
	{
		my $change = { id => ++$next_id, n => $n, lastModifiedAt => '2026-02-01T00:00:00Z' };
		my $owner = $users[ $n == 7 ? 8 : $n ];
		sql("INSERT INTO item (id, user_id, n, \"lastModifiedAt\") VALUES ($next_id, '$owner', 1, '2026-01-01')") if $n >= 3 && $n <= 7;
		$change->{lastModifiedAt} = '2025-01-01T00:00:00Z' if $n == 4;
		$change->{deletedAt} = '2026-02-01T00:00:00Z' if $n == 5;
		push @bodies, [ $users[$n], { clientId => "c$n", changes => { ($n == 8 ? 'nothing' : 'item') => [$change] } } ];
	}
	return @bodies;
}

subtest 'as if alone' => sub {
	my ($together, $alone) = (gateway(), gateway('push-group' => 1));
	my $before = $next_id;
	my @replies = replies($together, 1, bodies());
	my @expected = map { TideGroups::reply_of(TideGroups::send_push($alone, @$_)) } bodies();

	is join(' ', map { TideGroups::verdicts($_) } @expected[ 2 .. 9 ]),
	  'applied applied superseded applied applied scope_not_allowed unknown_entity_type applied', 'of all kinds';

	is essence($replies[$_]), essence($expected[$_]), "push $_" for 0 .. $#expected;
	is grouped($together), scalar @replies, 'all of them in groups';
	is failed_groups($together), 0, 'at the first attempt';
	is grouped($alone), 0, 'and none where each is to be alone';
	is sql("SELECT count(*) FROM item WHERE id > $before AND (who <> 'tide_user' OR sub <> user_id) AND sub IS NOT NULL"), 0,
	  'each row was written in the identity of its own user';
	is sql("SELECT count(*) FROM tide.log WHERE push IS NOT NULL AND subject <> scope"), 0, 'and the log says whose it is';
	my %acks = map { ($_ => 1) } grep { defined } map { $_->[1]{ack} } @replies;
	is scalar(keys %acks), 14, 'each that stored something has an ack of its own';
};

subtest 'one bad one' => sub {
	my $gateway = gateway();
	my $before = $next_id;
	my @pushes = map { [ $users[$_], { changes => { item => [ { id => ++$next_id, n => $_ == 9 ? 1000 : $_ } ] } } ] } 0 .. 15;
	my @replies = replies($gateway, 1, @pushes);

	is $_->[0], 200, 'a reply' for @replies;
	is $replies[9][1]{failed}[0]{errors}[0]{code}, '23514', 'the bad one fails';
	is sql("SELECT count(*) FROM item WHERE id > $before"), 15, 'the others are stored';
	is failed_groups($gateway), 1, 'the group was rolled back once';
	is transactions('item', $before), 15, 'and each was done again alone';
};

subtest 'a locked row' => sub {
	my $gateway = gateway('db-connections' => 2, 'lock-timeout' => 60);
	my $id = ++$next_id;
	sql("INSERT INTO item (id, user_id, n) VALUES ($id, 'user2', 0)");
	my $lock = $groups->hold("UPDATE item SET who = who WHERE id = $id");
	my @pushes = map { [ $users[$_], { changes => { item => [ { id => $_ == 1 ? $id : ++$next_id, n => 5 } ] } } ] } 0 .. 7;
	my @sockets = send_together($gateway, 2, @pushes);
	for my $n (grep { $_ != 1 } 0 .. 7)
	{
		is TideGroups::reply_of($sockets[$n])->[0], 200, "push $n has its reply while the row is locked";
	}
	ok !TideGroups::is_there($sockets[1], 0), 'the one of that row waits';
	close $lock;
	is TideGroups::reply_of($sockets[1])->[1]{succeeded}[0]{entity}{n}, 5, 'until the lock is gone';
};

for my $type ('hooked', 'hidden')
{
	subtest $type eq 'hooked' ? 'a trigger' : 'row security' => sub {
		my $gateway = gateway();
		my $before = $next_id;
		my @replies = replies($gateway, 1, map { [ $users[$_], { changes => { $type => [ { id => ++$next_id } ] } } ] } 0 .. 7);

		is $_->[0], 200, 'a reply' for @replies;
		is scalar(grep { $_->[1]{summary}{succeeded} == 1 } @replies), 8, 'all are stored';
		is transactions($type, $before), 8, 'each in a transaction of its own';
		is grouped($gateway), 0, 'none in a group';
		is sql("SELECT count(*) FROM hooked WHERE before <> ''"), 0, 'nothing of one reaches the next';
		# the first group found out: the second is not attempted
		replies($gateway, 1, map { [ $users[$_], { changes => { $type => [ { id => ++$next_id } ] } } ] } 0 .. 7);
		is failed_groups($gateway), 1, 'which is remembered';
		replies($gateway, 1, map { [ $users[$_], { changes => { item => [ { id => ++$next_id } ] } } ] } 0 .. 3);
		is grouped($gateway), 4, 'of these types alone';
	};
}

# the stamps are the server's: the later push is the later write
subtest 'the order of a user' => sub {
	my $gateway = gateway('db-connections' => 2);
	my $id = ++$next_id;
	my @pushes = map {
		my $n = $_;
		([ 'ann', { changes => { item => [ { id => $id, n => $n } ] } } ],
			[ $users[$n], { changes => { item => [ { id => ++$next_id, n => $n == 2 ? 1000 : 1 } ] } } ])
	} 0 .. 5;
	my @replies = map { TideGroups::reply_of($_) } send_together($gateway, 2, @pushes);

	is join(' ', map { $_->[1]{succeeded}[0]{entity}{n} } @replies[ 0, 2, 4, 6, 8, 10 ]), '0 1 2 3 4 5', 'each has its reply';
	is sql("SELECT n FROM item WHERE id = $id"), 5, 'the last one stands';
};

# a group that may have been committed is not run again, and a replay is known
subtest 'killed' => sub {
	my $gateway = gateway();
	my $before = $next_id;
	$cluster->set_synchronous_standbys('nobody');
	my @pushes = map { [ $users[$_], { changes => { item => [ { id => ++$next_id, n => $_, lastModifiedAt => '2026-01-01T00:00:00Z' } ] } } ] } 0 .. 7;
	my @sockets = send_together($gateway, 1, @pushes);
	my $waits = q{FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query LIKE '%push_grouped%' AND pid <> pg_backend_pid()};
	wait_for('COMMIT waits', 30, sub { return sql("SELECT count(*) $waits") });
	# not by sql(), which would wait for the standby, too
	my $pid = sql("SELECT pid $waits");
	$cluster->sql('postgres', q{SET synchronous_commit = local; ALTER SYSTEM RESET synchronous_standby_names});
	kill 'KILL', $pid;
	wait_for('the server is back', 30, sub { return eval { sql('SELECT pg_reload_conf()') } });
	my @replies = map { TideGroups::reply_of($_) } @sockets;
	is $_->[0], 503, 'nobody knows whether it was stored' for @replies;
	# run again, it is told that the database is away, or that it was stored
	is $_->[1]{error}{message}, 'the connection to the database was lost', '... and it was not asked again' for @replies;
	$gateway->wait_until_ready;
	for my $push (@pushes)
	{
		my $reply = wait_for('it is pushed again', 30, sub { my $r = TideGroups::reply_of(TideGroups::send_push($gateway, @$push)); return $r->[0] == 200 && $r; });
		is join(' ', TideGroups::verdicts($reply)), 'unchanged', 'it was stored, which is known';
	}
	is sql("SELECT count(*) FROM item WHERE id > $before AND n IS NOT NULL"), 8, 'each is stored';
	is sql("SELECT count(*) FROM tide.log WHERE push IS NOT NULL AND keys[1]::int > $before AND relid = 'item'::regclass"), 8, 'and once';
};

$_->stop for @gateways;
done_testing;
