# Settings: three sources, what is refused, what SIGHUP changes, and that the
# documentation has them as they are.
#
# Seen to fail with another default, another text and one row less in
# docs/gateway.md.
use strict;
use warnings;

use File::Temp ();
use FindBin ();
use lib "$FindBin::Bin/../lib";
use Test::More;
use TideTest qw(wait_for);

my $cluster = TideTest::Cluster->shared;
my $database = $cluster->create_fake;
my $directory = File::Temp->newdir;

sub write_file
{
	my ($name, $text) = @_;
	open my $file, '>', "$directory/$name" or die $!;
	print {$file} $text;
	close $file;
	return "$directory/$name";
}

# How does the program end with these arguments, and what does it say?
sub outcome
{
	my ($environment, @arguments) = @_;
	my $output = File::Temp->new;
	my $pid = fork // die $!;
	if ($pid == 0)
	{
		delete @ENV{ grep { /^TIDE_/ } keys %ENV };
		%ENV = (%ENV, %$environment);
		open STDOUT, '>', $output->filename or POSIX::_exit(126);
		open STDERR, '>&', \*STDOUT or POSIX::_exit(126);
		my $program = TideTest::Gateway::program();
		exec { $program } $program, @arguments or POSIX::_exit(127);
	}
	wait_for("the end of tide-gateway @arguments", 20,
		sub { return waitpid($pid, POSIX::WNOHANG()) != 0; });
	my $status = $? >> 8;
	open my $file, '<', $output->filename or die $!;
	local $/;
	return ($status, scalar <$file>);
}

my @secret = ('--jwt-secret-file', TideTest::Gateway::secret_file());

subtest 'refused' => sub {
	my @table = (
		[ 'no secret', {}, [], qr/one of jwt-secret-file.* is required/ ],
		[ 'secret is not there', {}, [ '--jwt-secret-file', "$directory/no" ],
			qr/could not open the key file/ ],
		[ 'short secret', {}, [ '--jwt-secret-file',
				write_file('short', 'x' x 31 . "\n\n") ], qr/has 31 bytes.*at least 32/ ],
		[ 'a public key for a secret', {}, [ '--jwt-secret-file',
				write_file('public', "-----BEGIN PUBLIC KEY-----\n" . 'x' x 64) ],
			qr/is no secret but a PEM or JWKS file.*jwt-public-key-file/ ],
		[ 'a key set for a secret', {}, [ '--jwt-secret-file',
				write_file('set', '{"keys": []}' . ' ' x 64) ],
			qr/is no secret but a PEM or JWKS file/ ],
		[ 'a public key behind text', {}, [ '--jwt-secret-file',
				write_file('bag', "Bag Attributes\n    friendlyName: x\n-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----\n") ],
			qr/is no secret but a PEM or JWKS file/ ],
		[ 'a key set behind a mark of its encoding', {}, [ '--jwt-secret-file',
				write_file('marked', "\xef\xbb\xbf" . '{"keys": [{"kty": "EC", "crv": "P-256"}]}') ],
			qr/is no secret but a PEM or JWKS file/ ],
		[ 'a list of no public keys', {}, [ '--jwt-public-key-file', ' , ' ], qr/no file of keys is named/ ],
		[ 'no audience', {}, [ @secret, '--jwt-audience', ' , ' ],
			qr/jwt-audience names no audience/ ],
		[ 'unknown', {}, [ @secret, '--lissten', 'x' ], qr/unknown setting "--lissten"/ ],
		[ 'no value', {}, [ @secret, '--listen' ], qr/needs a value/ ],
		[ 'no setting', {}, [ @secret, 'serve' ], qr/unexpected argument "serve"/ ],
		[ 'not a number', {}, [ @secret, '--max-pull-rows=many' ],
			qr/max-pull-rows must be a whole number from 1/ ],
		[ 'too small', {}, [ @secret, '--db-connections', 0 ], qr/db-connections must be/ ],
		[ 'too large', {}, [ @secret, '--max-body-bytes', '99999999999999999999' ],
			qr/max-body-bytes must be/ ],
		[ 'too deep', {}, [ @secret, '--max-body-depth', 1001 ],
			qr/max-body-depth must be a whole number from 4 to 1000/ ],
		[ 'too shallow', {}, [ @secret, '--max-body-depth', 3 ],
			qr/max-body-depth must be/ ],
		[ 'below zero', {}, [ @secret, '--maintain-interval', -1 ],
			qr/maintain-interval must be a whole number from 0/ ],
		[ 'bad level', {}, [ @secret, '--log-level', 'loud' ], qr/log-level must be/ ],
		[ 'bad role', {}, [ @secret, '--default-role', 'none' ], qr/default-role must/ ],
		(map { [ 'login function', {}, [ @secret, '--login-function', $_ ],
			qr/login-function must be schema\.function, .* not "\Q$_\E"/ ] }
		  'login', 'a.b.c', '.b', 'a.', 'a.b(text, text)'),
		(map { [ 'auth role', {}, [ @secret, '--login-function', 'a.b', '--auth-role', $_ ],
			qr/auth-role must name a role of its own/ ] } '', 'none', 'tide_user'),
		(map { [ 'trusted proxies', {}, [ @secret, '--trusted-proxies', "10.0.0.1, $_" ],
			qr/trusted-proxies: "\Q$_\E" is neither an address nor a network/ ] }
		  'proxy', '10.0.0.0/33', '10.0.0', '::1/129', '10.0.0.0/x', '/8'),
		[ 'bad address', {}, [ @secret, '--listen', '8080' ], qr/listen must be host:port/ ],
		# it would be port 80; with this database it ends in any case
		[ 'no such port', {}, [ @secret, '--listen', '127.0.0.1:65616', '--database-url', 'hush hush' ],
			qr/listen must be host:port, with a port up to 65535/ ],
		[ 'bad address of metrics', {}, [ @secret, '--listen', '127.0.0.1:0',
				'--metrics-listen', 'x' ], qr/metrics-listen must be host:port/ ],
		[ 'bad database', {}, [ @secret, '--listen', '127.0.0.1:0',
				'--database-url', 'password=hush x' ],
			qr/^tide-gateway: database-url is neither a conninfo string nor a URI$/m ],
		[ 'bad number in the environment', { TIDE_QUEUE_LENGTH => 'x' }, \@secret,
			qr/queue-length must be/ ],
		[ 'no such file', {}, [ @secret, '--config', "$directory/no" ],
			qr/could not open/ ],
		[ 'unknown in the file', {}, [ @secret, '--config',
				write_file('unknown', "# comment\n\nlisen = x\n") ],
			qr/line 3: unknown setting "lisen"/ ],
		[ 'no value in the file', {}, [ @secret, '--config',
				write_file('novalue', "listen\n") ], qr/line 1: .*name = value/ ],
		# where a comment behind a value begins
		(map { [ "comment $_->[0]", {}, [ @secret, '--config', write_file('comment' . length $_->[0], "login-function = $_->[0]\n") ],
			qr/login-function must be schema\.function, .* not "\Q$_->[1]\E"/ ] }
		  [ 'a#b # c # d', 'a#b' ], [ q{a' # b'}, q{a' # b'} ], [ q{'a\\' # b' # c}, q{'a\\' # b'} ]));

	for my $row (@table)
	{
		my ($name, $environment, $arguments, $message) = @$row;
		my ($status, $output) = outcome($environment, @$arguments);
		is $status, 2, $name;
		like $output, $message, "$name: said clearly";
		unlike $output, qr/hush/, 'without a password';
	}
};

subtest 'help and version' => sub {
	my ($status, $output) = outcome({}, '--help');
	is $status, 0;
	like $output, qr/--$_ /, "names $_"
	  for qw(listen database-url jwt-secret-file max-pull-rows max-push-changes
	  max-body-bytes max-body-depth maintain-interval max-time-rows scope-params db-connections queue-length
	  cors-origins config log-level default-role request-timeout);
	like +(outcome({}, '--version'))[1], qr/\Atide-gateway \d+\.\d+\.\d+\nRead on: man tide-gateway; .*\n?\z/;
};

sub read_file
{
	my ($path) = @_;
	open my $file, '<', TideTest::root_directory() . "/$path" or die "$path: $!";
	local $/;
	return scalar <$file>;
}

# Seen failing with a maximum above that of pg_tide.max_push_changes.
subtest 'no more changes than the extension takes' => sub {
	my ($status, $said) = outcome({}, '--jwt-secret-file', $secret[1], '--max-push-changes', 200000);
	is $status, 2, 'refused at the start';
	like $said, qr/max-push-changes must be a whole number from 1 to 100000, not "200000"/, 'with its name';
	my $taken = read_file('extension/src/util/settings.c');
	like $taken, qr/"pg_tide\.max_push_changes".*?5000, 1, 100000,/s, 'as the extension has it';
};

subtest 'documentation' => sub {
	my ($status, $help) = outcome({}, '--help');
	my @rows;
	while ($help =~ /^  --(\S+)( \*)?  \(\S+ default: (.*)\)\n +(.*)$/mg)
	{
		my $default = $3 eq 'none' ? 'none' : "`$3`";
		push @rows, "`$1`" . ($2 // '') . " | $default | $4";
	}
	my ($table) = read_file('docs/gateway.md') =~ /^## Settings$(.*)/ms;
	my @documented = $table =~ /^\| (`[a-z-]+`(?: \*)? \| .* \| .*) \|$/mg;
	is_deeply \@documented, \@rows, 'docs/gateway.md has a row of each setting, as --help says it';
	my $sample = read_file('gateway/tide-gateway.conf.sample');
	my @names = grep { $_ ne 'config' } $help =~ /^  --([a-z-]+) .*default/mg;
	ok @names > 10, 'help lists settings';
	like $sample, qr/^#\Q$_\E = /m, "the sample has $_" for @names;
	$sample =~ s/^#([a-z-]+ = )/$1/mg;
	$sample =~ s/^(?=jwt-public-key-file|jwks-file)/#/mg;
	$sample =~ s/^jwt-secret-file = .*$/jwt-secret-file = $secret[1]/m;
	$sample =~ s/^listen = .*$/listen = 8080/m;
	like +(outcome({}, '--config', write_file('sample', $sample)))[1],
	  qr/^tide-gateway: listen must be host:port/, 'the sample is read to its end';
};

subtest 'the token command' => sub {
	like +(outcome({}, 'token', @secret, '--sub', 'u1'))[1],
	  qr/^[\w-]+\.[\w-]+\.[\w-]+\n\z/, 'prints a token and nothing else';
	like +(outcome({ TIDE_JWT_SECRET_FILE => $secret[1] }, 'token', '--sub=u1'))[1],
	  qr/^[\w-]+\.[\w-]+\.[\w-]+\n\z/, 'secret from the environment';
	is +(outcome({}, 'token', @$_))[0], 2, "refuses: @$_[0 .. $#$_]"
	  for [], [@secret], [ '--sub', 'u1' ], [ @secret, '--sub', '' ],
	  [ @secret, '--sub', 'u1', '--ttl', 'x' ], [ @secret, '--sub' ],
	  [ @secret, '--sub', 'u1', '--admin', 'yes' ],
	  [ '--jwt-secret-file', "$directory/short", '--sub', 'u1' ];
};

sub max_rows
{
	my ($gateway) = @_;
	return $gateway->pull($gateway->token('u1'), limit => 100_000)
	  ->{json}{echo}{maxRows};
}

subtest 'precedence' => sub {
	my $file = write_file('conf', <<'CONF');
# a comment
max-pull-rows = 111
max-time-rows=222

  default-role  =  tide_user	# not part of it
max-push-changes = 333 # nor this: it's none
CONF
	my $gateway = TideTest::Gateway->start(
		cluster => $cluster,
		database => $database,
		settings => { 'config' => $file, 'max-pull-rows' => 444 },
		environment => { TIDE_MAX_PULL_ROWS => 555, TIDE_MAX_TIME_ROWS => 666,
			TIDE_QUEUE_LENGTH => '', TIDE_SOMETHING => 1 })->wait_until_ready;
	my $echo = $gateway->pull($gateway->token('u1'), limit => 100_000)
	  ->{json}{echo};
	is $echo->{maxRows}, 444, 'the command line first';
	is $echo->{maxTimeRows}, 666, 'then the environment';
	is $echo->{maxPushChanges}, 333, 'then the file, without its comments';
	$gateway->log_says(qr/unknown-variable name=TIDE_SOMETHING/,
	  'a variable that is no setting is worth a warning');
	is $gateway->stop, 0;
};

subtest 'scope parameters and the default role' => sub {
	my $gateway = TideTest::Gateway->start(
		cluster => $cluster,
		database => $database,
		settings => { 'scope-params' => 'team, boat', 'default-role' => 'nobody_at_all' }
	)->wait_until_ready;
	is $gateway->pull($gateway->token('u1'))->{status}, 403, 'an unknown role';
	my $echo = $gateway->pull($gateway->token('u1', role => 'tide_user'),
		team => [ 'a', 'b' ], boat => 'c', scope => 'd')->{json}{echo};
	is_deeply [ sort @{ $echo->{scopes} } ], [qw(a b c)];
	is $gateway->stop, 0;
};

subtest 'reload' => sub {
	my $secret = write_file('secret', 'first secret, long enough to be one');
	my $file = write_file('reload', "max-pull-rows = 10\n");
	my $gateway = TideTest::Gateway->start(
		cluster => $cluster,
		database => $database,
		settings => { 'config' => $file, 'jwt-secret-file' => $secret,
			'db-connections' => undef })->wait_until_ready;
	my $token_of = sub {
		my ($status, $output) = outcome({}, 'token', '--jwt-secret-file', $secret,
			'--sub', 'u1');
		chomp $output;
		return $output;
	};
	my $pull = sub {
		my ($token, %headers) = @_;
		return $gateway->get('/api/v1/sync/pull?limit=1000', token => $token,
			headers => \%headers);
	};
	my $reloads = 0;
	my $reload = sub {
		my ($event) = @_;
		$reloads++;
		$gateway->signal('HUP');
		wait_for("the log says $event", 10, sub {
			my @events = $gateway->log =~ /event=(reloaded|reload-failed)/g;
			return @events == $reloads && $events[-1] eq $event;
		});
	};
	my $old = $token_of->();
	is $pull->($old)->{json}{echo}{maxRows}, 10, 'before';

	write_file('reload', "max-pull-rows = 20\ncors-origins = *\ndb-connections = 9\n"
		  . "log-level = debug\n");
	$reload->('reloaded');
	my $reply = $pull->($old, Origin => 'https://any.example');
	is $reply->{json}{echo}{maxRows}, 20, 'a limit';
	is $reply->{headers}{'access-control-allow-origin'}, '*', 'origins';
	ok !exists $reply->{headers}{vary}, 'any origin needs no Vary';
	$gateway->log_says(qr/needs-restart setting=db-connections/,
	  'what it cannot change is said');

	write_file('reload', "max-pull-rows = nonsense\n");
	$reload->('reload-failed');
	is $pull->($old)->{json}{echo}{maxRows}, 20, 'an error leaves all as it was';

	write_file('reload', '');
	write_file('secret', "second secret, long enough to be one\n");
	$reload->('reloaded');
	is $pull->($old)->{status}, 401, 'old tokens are worth nothing';
	is $pull->($token_of->())->{status}, 200, 'new ones are';
	is $gateway->stop, 0;
};

subtest 'IPv6 and names' => sub {
	my $gateway = TideTest::Gateway->start(cluster => $cluster,
		database => $database,
		settings => { 'listen' => 'localhost:0', 'log-level' => 'error' });
	$gateway->log_says(qr/listening address=(127\.0\.0\.1|::1) port=\d+/);
	is $gateway->stop, 0;

	$gateway = TideTest::Gateway->start(cluster => $cluster,
		database => $database);
	my ($status, $output) = outcome({}, @secret, '--listen',
		"127.0.0.1:$gateway->{port}");
	is $status, 2, 'a port in use';
	like $output, qr/could not listen/;
	is $gateway->stop, 0;
};

done_testing;
