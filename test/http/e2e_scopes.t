# Whose rows those are: scopes that a function of the database gives a coach,
# and rows that belong to whom their foreign keys lead to, over HTTP.
use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";
use Test::More;
use TideTest qw(apply_page encode_json);

my $cluster = TideTest::Cluster->shared;
my $database = $cluster->create_synced(<<'SQL');
CREATE TABLE coaching (coach text, athlete text, PRIMARY KEY (coach, athlete));
CREATE FUNCTION my_athletes(claims jsonb) RETURNS text[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
	SELECT array_agg(athlete) || (claims->>'sub') FROM coaching WHERE coach = claims->>'sub' $$;
DO $$ BEGIN
	EXECUTE format('ALTER DATABASE %I SET pg_tide.scopes_function = %L', current_database(), 'public.my_athletes');
END $$;

CREATE TABLE plan (id integer PRIMARY KEY, athlete text NOT NULL, name text);
CREATE TABLE day (id integer PRIMARY KEY, plan_id integer NOT NULL REFERENCES plan ON DELETE CASCADE, name text);
CREATE TABLE exercise (id integer PRIMARY KEY, day_id integer NOT NULL REFERENCES day ON DELETE CASCADE, name text);
SELECT tide.track('plan', scope => 'athlete');
SELECT tide.track('day', scope => 'plan_id.athlete');
SELECT tide.track('exercise', scope => 'day_id.plan_id.athlete');
INSERT INTO plan SELECT i, a, 'plan of ' || a FROM unnest('{ann,bob,eve}'::text[]) WITH ORDINALITY x(a, i);
INSERT INTO day SELECT 10 * p.id + n, p.id, 'day of ' || p.athlete FROM plan p, generate_series(1, 2) n;
INSERT INTO exercise SELECT 10 * d.id + n, d.id, replace(d.name, 'day', 'squat') FROM day d, generate_series(1, 2) n;
INSERT INTO coaching VALUES ('carl', 'ann'), ('carl', 'bob');
GRANT SELECT, INSERT, UPDATE, DELETE ON plan, day, exercise TO tide_user;
SQL
my $gateway = TideTest::Gateway->start(cluster => $cluster, database => $database)->wait_until_ready;
my %token = map { ($_ => $gateway->token($_)) } qw(ann bob eve carl);
my (%copy, %cursor);

sub sql { return $cluster->sql($database, $_[0]); }

# Pull to the end into the user's copy; what was named as revoked.
sub sync
{
	my ($user) = @_;
	my @revoked;

	for my $page ($gateway->pull_pages($token{$user}, $cursor{$user} ? (since => $cursor{$user}) : ())) {
		unlike encode_json($page), qr/of eve/, "$user gets nothing of eve's" if $user ne 'eve';
		push @revoked, @{ $page->{revokedScopes} };
		# as a client does: a scope that is lost goes first
		for my $scope (@{ $page->{revokedScopes} }) {
			for my $rows (values %{ $copy{$user} }) {
				delete @{$rows}{ grep { ($rows->{$_}{tide_scope} // $rows->{$_}{athlete}) eq $scope } keys %$rows };
			}
		}
		apply_page($copy{$user} //= {}, $page);
		$cursor{$user} = $page->{cursor};
	}
	my %once = map { $_ => 1 } @revoked;
	return [ sort keys %once ];
}

# The names of all rows in a user's copy, each once.
sub names
{
	my ($user) = @_;
	my %names = map { $_->{name} => 1 } map { values %$_ } values %{ $copy{$user} };
	return [ sort keys %names ];
}

sub count { my ($user) = @_; return join ' ', map { scalar keys %{ $copy{$user}{$_} // {} } } qw(plan day exercise); }

subtest 'each has the rows that lead to them, a coach those of the athletes' => sub {
	is_deeply sync($_), [], "$_ loses nothing" for qw(ann bob eve carl);
	is count($_), '1 2 4', "the rows of $_" for qw(ann bob eve);
	is count('carl'), '2 4 8', 'those of both athletes';
	is_deeply names('carl'), [ map { ("$_ of ann", "$_ of bob") } qw(day plan squat) ], 'and of no other';
	is $gateway->pull($token{carl}, scope => 'eve')->{status}, 403, 'a scope that is not allowed is 403';
	is $gateway->pull($token{carl}, scope => 'ann')->{status}, 200, 'one of several may be asked for';
};

subtest 'a push is held to the scope that the row leads to' => sub {
	my $reply = $gateway->push_changes($token{ann}, { changes => {
		exercise => [ { id => 1000, day_id => 31, name => 'planted' }, { id => 311, name => 'changed' },
			{ id => 111, day_id => 32, name => 'moved out' } ],
		plan => [ { id => 7, name => 'new' } ], day => [ { id => 71, plan_id => 7, name => 'new' } ] } });
	is_deeply [ map { $_->{errors}[0]{code} } @{ $reply->{json}{failed} } ], [ ('scope_not_allowed') x 3 ],
	  'into, of and to another\'s plan: refused';
	unlike $reply->{content}, qr/eve/, 'and nothing of it is told';
	is $reply->{json}{summary}{succeeded}, 2, 'a plan and its day, in one push, are stored';
	is sql(q{SELECT string_agg(tide_scope, ' ') FROM day WHERE id = 71}), 'ann', 'as those of who pushed';
	$reply = $gateway->push_changes($token{carl}, { changes => { exercise => [ { id => 2000, day_id => 21, name => 'of bob' } ] } });
	is $reply->{json}{summary}{succeeded}, 1, 'the coach adds to an athlete\'s day';
	sync($_) for qw(ann bob carl);
	is $copy{bob}{exercise}{2000}{name}, 'of bob', 'who gets it';
};

subtest 'an ancestor that moves takes everything along' => sub {
	sql(q{UPDATE plan SET athlete = 'bob', name = 'plan of bob' WHERE id = 1});
	sync($_) for qw(ann bob carl);
	is count('ann'), '1 1 0', 'the old scope has lost plan, days and exercises';
	is count('bob'), '2 4 9', 'the new one has them';
	is count('carl'), '3 5 9', 'who has both sees them moved';
	sql('DELETE FROM plan WHERE id = 2');
	sync($_) for qw(bob carl);
	is count('bob'), '1 2 4', 'and what cascades is deleted for whom it was';
};

subtest 'a scope that is lost is named, and one that is gained comes in full' => sub {
	sql(q{DELETE FROM coaching WHERE athlete = 'bob'});
	my $old = $cursor{carl};
	is_deeply sync('carl'), ['bob'], 'lost';
	is count('carl'), '1 1 0', 'the copy has the rest';
	sql(q{UPDATE exercise SET name = 'not for carl' WHERE id = 111});
	is_deeply sync('carl'), [], 'it is named until a client comes with the cursor of that';
	is count('carl'), '1 1 0', 'and no more is sent of it';
	($cursor{carl}, my $now) = ($old, $cursor{carl});
	is_deeply sync('carl'), ['bob'], 'a reply that was lost is no loss';
	is $gateway->pull($token{carl}, scope => 'bob')->{status}, 403, 'it cannot be asked for';
	my $reply = $gateway->push_changes($token{carl}, { changes => { exercise => [ { id => 111, name => 'x' } ] } });
	is $reply->{json}{failed}[0]{errors}[0]{code}, 'scope_not_allowed', 'nor be written to';
	sql(q{INSERT INTO coaching VALUES ('carl', 'bob')});
	is_deeply sync('carl'), [], 'regained';
	is count('carl'), '2 3 4', 'it is there again, in full';
	is $copy{carl}{exercise}{111}{name}, 'not for carl', 'as it is now';
};

$gateway->stop;
done_testing;
