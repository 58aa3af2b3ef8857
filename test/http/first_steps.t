# What somebody forgets who sets pg_tide up for the first time: each is answered
# with what to do, where they look next (the reply, `tide`, the gateway's log),
# and the test does just that, and sees it help.
#
# Seen to fail without each of: the hints in health.c, in failure.c and in
# check.c; log_what_role_lacks(); the words of tide clone about no tables; the
# server's words in get_token() of session.c.
use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/../client/lib";
use Test::More;
use TideClient ();
use TideTest qw(wait_for);

my $cluster = TideTest::Cluster->start;
my $database = $cluster->create_database;
my $table = <<'SQL';
CREATE TABLE workouts (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id text NOT NULL, title text NOT NULL);
CREATE INDEX ON workouts (user_id, id);
SQL
my $row = { id => '11111111-2222-4333-8444-555555555555', title => 'Push day' };

sub gateway { return TideTest::Gateway->start(cluster => $cluster, database => $database, @_); }
sub sql { return $cluster->sql($database, join ' ', @_); }
sub as_app { return sql('SET ROLE app; SET search_path = shop, tide, public;', @_); }

# What an SQL statement of the owner's fails with.
sub refusal
{
	return eval { as_app(@_); 1 } ? '' : $@;
}

sub hint_of
{
	my ($error) = @_;
	return $error =~ /^HINT:  (.*)$/m ? $1 : '';
}

sub ready
{
	my ($gateway, $says) = @_;
	return wait_for("/ready says $says", 20, sub {
		my $reply = $gateway->get('/ready');
		return $reply->{content} =~ $says && $reply;
	});
}

sub clone
{
	my ($device) = @_;
	return $device->run($TideClient::program, 'clone', $device->{url}, $device->{file}, '--token-file', $device->{token_file});
}

sub error_of { return $_[0]{json}{error}; }

$cluster->sql('postgres', 'CREATE ROLE app; CREATE ROLE tide_user NOLOGIN; CREATE ROLE tide_gateway LOGIN NOINHERIT');
sql('CREATE SCHEMA shop AUTHORIZATION app');

subtest 'no extension' => sub {
	my $gateway = gateway();
	my $error = error_of(ready($gateway, qr/no pg_tide/));
	like $error->{hint}, qr/^CREATE EXTENSION pg_tide in the database of database-url/, 'the reply says what to do';
	$gateway->log_says(qr/reason=database-unfit message=.*schema.*does not exist.* hint="CREATE EXTENSION/,
	  'and so does the log');
	my $clone = clone(TideClient->new($gateway, 'u1'));
	is $clone->{status}, 3, 'tide clone fails';
	sql('CREATE EXTENSION pg_tide');
	ready($gateway, qr/"ready"/);
	$gateway->stop;
	pass 'with it, the gateway is ready';
};

subtest 'the owner is not trusted' => sub {
	my $refusal = refusal($table, q{SELECT tide.track('workouts', scope => 'user_id')});
	my ($grant) = hint_of($refusal) =~ /^As a superuser: (GRANT EXECUTE ON FUNCTION tide\.trusted\(\) TO app;)/;
	ok $grant, 'said' or diag $refusal;
	sql($grant);
};

subtest 'no scope' => sub {
	my $refusal = refusal(q{SELECT tide.track('workouts')});
	like $refusal, qr/table "workouts" needs a scope or must be shared/, 'said';
	my ($argument) = hint_of($refusal) =~ /(scope => 'user_id')/;
	ok $argument, 'and how to name one' or diag $refusal;

	my $gateway = gateway()->wait_until_ready;
	wait_for('the log says that no table is tracked', 10, sub {
		return $gateway->log =~ /event=role-lacks role=tide_user message=.*no table is tracked.*SELECT tide\.track\(/; });
	pass 'a gateway without tables says so';
	$gateway->stop;
	as_app("SELECT tide.track('workouts', $argument)");
};

subtest 'the gateway is no member of the role' => sub {
	my $gateway = gateway()->wait_until_ready;
	my $reply = $gateway->pull($gateway->token('u1'));
	is $reply->{status}, 403, 'refused';
	is error_of($reply)->{hint}, "The gateway's database role must be a member of it.", 'said';
	$cluster->sql('postgres', 'GRANT tide_user TO tide_gateway');
	is $gateway->pull($gateway->token('u1'))->{status}, 200, 'then it is not';
	$gateway->stop;
};

subtest 'no USAGE of the schema' => sub {
	sql('GRANT SELECT, INSERT, UPDATE, DELETE ON shop.workouts TO tide_user');
	my $gateway = gateway()->wait_until_ready;
	my $token = $gateway->token('u1');
	my $reply = $gateway->push_changes($token, { changes => { workouts => [$row] } });
	is $reply->{status}, 403, 'a push is refused' or diag $reply->{content};
	like error_of($reply)->{hint}, qr/log names the object; tide\.check\(\) says/, 'the reply says who knows more';
	$gateway->log_says(qr/permission denied for schema shop/, 'the log names the object');
	my $grant = wait_for('the log says what is missing', 10, sub {
		return $gateway->log =~ /event=role-lacks role=tide_user message=.*(GRANT USAGE ON SCHEMA shop TO tide_user)/ && $1; });
	like clone(TideClient->new($gateway, 'u1'))->{err}, qr/no tables for this user\nhint: .*tide\.check\('tide_user'\)/,
	  'tide clone says who knows more';

	sql($grant);
	$reply = $gateway->push_changes($token, { changes => { workouts => [$row] } });
	is $reply->{json}{summary}{succeeded}, 1, 'then a push is stored' or diag $reply->{content};
	is scalar @{ $gateway->pull($token)->{json}{changesByType}{workouts} }, 1, 'and pulled';
	unlike clone(TideClient->new($gateway, 'u1'))->{err}, qr/no tables/, 'and cloned';
	$gateway->stop;
};

subtest 'no grants' => sub {
	sql('REVOKE ALL ON shop.workouts FROM tide_user');
	my $gateway = gateway()->wait_until_ready;
	my $grant = wait_for('the log says what is missing', 10, sub {
		return $gateway->log =~ /event=role-lacks role=tide_user message=.*(GRANT SELECT ON shop\.workouts TO tide_user)/ && $1; });
	sql($grant, ';', sql(q{SELECT string_agg(hint, ' ') FROM tide.check('tide_user') WHERE hint LIKE 'GRANT%'}));
	is sql(q{SELECT count(*) FROM tide.check('tide_user')}), 0, 'tide.check() gives the rest';
	is $gateway->push_changes($gateway->token('u1'), { changes => { workouts => [ { %$row, title => 'Pull day' } ] } })
	  ->{json}{summary}{succeeded}, 1, 'then a push is stored';
	$gateway->stop;
};

subtest 'privileges of one kind' => sub {
	sql('REVOKE INSERT ON shop.workouts FROM tide_user');
	my $gateway = gateway()->wait_until_ready;
	my $reply = $gateway->push_changes($gateway->token('u1'),
		{ changes => { workouts => [ { %$row, id => '21111111-2222-4333-8444-555555555555' } ] } });
	is $reply->{json}{failed}[0]{errors}[0]{message}, 'permission denied for table workouts', 'the change says which table';
	my $grant = sql(q{SELECT hint FROM tide.check('tide_user')});
	is $grant, 'GRANT INSERT ON shop.workouts TO tide_user;', 'tide.check() says which';
	sql($grant);
	$gateway->stop;
};

subtest 'upkeep and watching are not granted' => sub {
	my $gateway = gateway(settings => { 'maintain-interval' => 1 })->wait_until_ready;
	$gateway->pull($gateway->token('u1'), since => 'now', wait => 1);
	wait_for('the log names both functions', 20, sub {
		return $gateway->log =~ /event=maintain-failed.*GRANT EXECUTE ON FUNCTION tide\.maintain\(\) TO tide_gateway/
		  && $gateway->log =~ /event=watch-failed.*EXECUTE on tide\.watch\(text\)/; });
	pass 'said';
	$gateway->stop;
};

subtest 'another secret' => sub {
	my $other = File::Temp->new;
	print {$other} 'the secret of somebody else, 32 bytes long';
	$other->flush;
	chomp(my $token = TideTest::run_program('', TideTest::Gateway::program(), 'token', '--jwt-secret-file', $other->filename,
		'--sub', 'u1'));
	my $gateway = gateway()->wait_until_ready;
	my $error = error_of($gateway->pull($token));
	is $error->{message}, "the token's signature is wrong", 'said';
	like $error->{hint}, qr/signed with the text of jwt-secret-file/, 'and what with';
	my $device = TideClient->new($gateway, 'u1', token => $token);
	my $clone = clone($device);
	is $clone->{status}, 4, 'tide clone fails';
	like $clone->{err}, qr/the token's signature is wrong\nhint: .*jwt-secret-file/, 'with the same words';
	$gateway->stop;
};

subtest 'another database' => sub {
	my $gateway = gateway(database_url => $cluster->conninfo('nowhere', 'tide_gateway'));
	like error_of(ready($gateway, qr/refuses/))->{hint}, qr/^Do role and database of database-url exist/, 'said';
	$gateway->log_says(qr/database \\?"nowhere\\?" does not exist/, 'the log has the name');
	$gateway->stop;
};

subtest 'another password' => sub {
	$cluster->sql('postgres', "ALTER ROLE tide_gateway PASSWORD 'right'");
	my $hba = "$cluster->{data}/pg_hba.conf";
	open my $old, '<', $hba or die $!;
	my $lines = do { local $/; <$old> };
	open my $new, '>', $hba or die $!;
	print {$new} "host all tide_gateway 127.0.0.1/32 scram-sha-256\n$lines";
	close $new;
	$cluster->sql('postgres', 'SELECT pg_reload_conf()');
	my $pass = File::Temp->new;
	my $start = sub {
		my ($password) = @_;
		open my $file, '>', $pass->filename or die $!;
		print {$file} "*:*:*:tide_gateway:$password\n";
		close $file;
		chmod 0600, $pass->filename;
		return gateway(environment => { PGPASSFILE => $pass->filename });
	};
	# who connects now may still be let in by what was there before
	my $gateway;
	wait_for('the new rule counts', 20, sub {
		$gateway->stop if $gateway;
		$gateway = $start->('wrong');
		return ready($gateway, qr/refuses|"ready"/)->{content} =~ /refuses/; });
	like error_of($gateway->get('/ready'))->{hint}, qr/password in the gateway's passfile/, 'said';
	$gateway->log_says(qr/password authentication failed for user/, 'the log has PostgreSQL\'s words');
	$gateway->stop;
	$start->('right')->wait_until_ready->stop;
	pass 'with the right one it is ready';
};

subtest 'a standby' => sub {
	$cluster->become_standby;
	my $gateway = gateway(user => 'postgres');
	like error_of(ready($gateway, qr/standby/))->{hint}, qr/target_session_attrs=read-write/, 'said';
	$gateway->stop;
};
done_testing;
