# The fenced blocks of the documents: found, run as they stand against a
# server of their own, their output compared with what the document shows.
#
# What readers see decides what is done with a block (CONTRIBUTING.md):
#
#   -- as a superuser              SQL, or a shell, of a superuser of PostgreSQL
#   -- as the owner of the tables  of the role that owns the database
#   # as yourself                  a shell of anybody
#   # as root                      likewise; /etc is a directory of the test
#   # /etc/nginx/conf.d/tide.conf  a file, given to the program that reads it
#   json, text                     what the block before prints
#   tide.name(... without language functions as the catalog has them
#
# and what they do not see:
#
#   <!-- not run: reason -->             before a block
#   <!-- blocks go on from: README.md --> at the top: what is there to begin with
#   <!-- run by: scripts/test-packages --> at the top: that runs the whole page
package TideBlocks;

use strict;
use warnings;
use utf8;

use File::Path ();
use File::Temp ();
use IPC::Open2 ();
use POSIX ();
use TideTest ();

my $root = TideTest::root_directory();

# what a document says of the address and the port that everything is on
my $documented_address = '127.0.0.1:8080';
my %configuration = (
	gateway => qr{/tide-gateway[\w-]*\.conf$},
	nginx => qr{/nginx/},
	caddy => qr{/Caddyfile$},
	haproxy => qr{/haproxy[\w-]*\.cfg$},
	systemd => qr{\.service(?:\.d/[^/]+\.conf)?$},
	pgbouncer => qr{/pgbouncer[\w-]*\.ini$});
my %check = (
	gateway => \&check_gateway,
	nginx => \&check_nginx,
	caddy => \&check_caddy,
	haproxy => \&check_haproxy,
	systemd => \&check_systemd,
	pgbouncer => \&check_pgbouncer);

# ---------------------------------------------------------------------
# Finding them
# ---------------------------------------------------------------------

sub read_file
{
	my ($path) = @_;
	open my $file, '<:encoding(UTF-8)', $path or die "$path: $!\n";
	local $/;
	return scalar <$file>;
}

sub write_file
{
	my ($path, $text) = @_;
	my ($directory) = $path =~ m{^(.*)/};
	File::Path::make_path($directory);
	open my $file, '>:encoding(UTF-8)', $path or die "$path: $!\n";
	print {$file} $text;
	close $file or die "$path: $!\n";
	return $path;
}

# A document: { name, goes_on_from, blocks }.
sub document
{
	my ($name, $text) = @_;
	my $self = { name => $name, blocks => [] };
	my ($block, $reason, $line);

	for (split /\n/, $text // read_file("$root/$name"))
	{
		$line++;
		if ($block)
		{
			if (/^\s*$block->{fence}\s*$/)
			{
				push @{ $self->{blocks} }, $block;
				undef $block;
			}
			else
			{
				s/^\Q$block->{indent}\E//;
				$block->{text} .= "$_\n";
			}
		}
		elsif (/^(\s*)(```+|~~~+)\s*(\w*)\s*$/)
		{
			$block = { indent => $1, fence => $2, language => $3,
				name => "$name:$line", text => '', reason => $reason };
			undef $reason;
		}
		elsif (/^\s*<!--\s*blocks go on from:\s*(.+?)\s*-->/)
		{
			$self->{goes_on_from} = $1;
		}
		elsif (/^\s*<!--\s*run by:\s*(.+?)\s*-->/)
		{
			$self->{run_by} = $1;
		}
		elsif (/^\s*<!--\s*not run:\s*(.+?)\s*-->/)
		{
			$reason = $1;
		}
		elsif (/\S/)
		{
			undef $reason;
		}
	}
	die "$name: the block at $block->{name} has no end\n" if $block;
	classify($self);
	return $self;
}

my $who = qr/^(?:--|\#)\ as\ (a\ superuser|the\ owner\ of\ the\ tables|yourself|root)\b
	(?:.*\bin\ the\ database\ (\w+))?/x;
my %kind_of = (sql => 'sql', sh => 'shell');

# What is to be done with each: kind is sql, shell, configuration, output,
# data, signature, program or markup (which test/js/docs.t runs), left or unclear.
sub classify
{
	my ($self) = @_;
	my $previous;

	for my $block (@{ $self->{blocks} })
	{
		my ($first) = split /\n/, $block->{text}, 2;
		$first //= '';

		if ($block->{reason})
		{
			$block->{kind} = 'left';
		}
		elsif ($kind_of{ $block->{language} } && $first =~ $who)
		{
			$block->{kind} = $kind_of{ $block->{language} };
			@{$block}{qw(role database)} = ($1, $2);
		}
		elsif ($first =~ m{^# (/\S+)$})
		{
			$block->{file} = $1;
			($block->{program}) =
			  grep { $block->{file} =~ $configuration{$_} } sort keys %configuration;
			$block->{kind} = $block->{program} ? 'configuration' : 'unclear';
		}
		elsif ($block->{language} =~ /^(?:json|text)$/
			&& $previous && $previous->{kind} =~ /^(?:sql|shell)$/)
		{
			$block->{kind} = 'output';
			$previous->{output} = $block;
		}
		elsif ($block->{language} eq '' && $first =~ /^tide\w*\.\w+\(/)
		{
			$block->{kind} = 'signature';
		}
		elsif ($block->{language} eq 'json')
		{
			$block->{kind} = 'data';
		}
		else
		{
			$block->{kind} = $block->{language} eq 'mermaid' ? 'picture'
			  : $block->{language} eq 'js' && $first =~ m{^// \w+\.js$} ? 'program'
			  : $block->{language} eq 'html' ? 'markup' : 'unclear';
		}
		$previous = $block;
	}
	return;
}

# ---------------------------------------------------------------------
# Comparing output
# ---------------------------------------------------------------------

my $time = qr/\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d(?::?\d\d)?)?/;

# Without the blanks that carry no meaning.
sub squeeze
{
	my ($text, $is_json) = @_;

	if ($is_json)
	{
		# blanks that are not within a string
		$text =~ s/("(?:[^"\\]|\\.)*")|\s+/$1 \/\/ ''/gsex;
		return $text;
	}
	$text =~ s/-{2,}/-/g;
	$text =~ s/[ \t]+/ /g;
	$text =~ s/^ | $//gm;
	$text =~ s/\A\s+|\s+\z//g;
	return $text;
}

# Is that what the document shows?  "…" stands for anything, a time for any.
sub is_output
{
	my ($shown, $printed, $is_json) = @_;
	my $pattern = '';

	for my $part (split /(…|$time)/, squeeze($shown, $is_json))
	{
		$pattern .= $part eq '…' ? '.*?' : $part =~ /^$time$/ ? $time : quotemeta $part;
	}
	return squeeze($printed, $is_json) =~ /\A$pattern\z/s;
}

# ---------------------------------------------------------------------
# Where they run: a server, a home directory, a shell
# ---------------------------------------------------------------------

sub start
{
	my ($class) = @_;
	my $cluster = TideTest::Cluster->start(settings => { max_connections => 50 });
	my $self = bless { cluster => $cluster, owner => $$,
		directory => File::Temp->newdir('tide-docs-XXXXXX', TMPDIR => 1) }, $class;
	my ($port) = grep { TideTest::Cluster::port_is_free($_) } map { 56200 + ($$ + $_) % 100 } 0 .. 99;

	$self->{address} = "127.0.0.1:$port";
	# the gateway has a password, as the documents give it one
	my $rules = "$cluster->{data}/pg_hba.conf";
	write_file("$self->{directory}/pg_hba.conf",
		"host all tide_gateway 127.0.0.1/32 scram-sha-256\n" . read_file($rules));
	open my $file, '>', $rules or die $!;
	print {$file} read_file("$self->{directory}/pg_hba.conf");
	close $file;
	$cluster->sql('postgres', 'SELECT pg_reload_conf()');
	return $self;
}

sub sql { my ($self, @rest) = @_; return $self->{cluster}->sql(@rest); }

# From here on as if nothing but what a document goes on from had happened.
sub begin
{
	my ($self, $document) = @_;
	my $from = $document->{goes_on_from} // 'an empty server';

	$self->end_shell;
	$self->start_home($self->{after}{$from}{home});
	$self->sql('postgres', "DROP DATABASE \"$_\" WITH (FORCE)")
	  for split /\n/, $self->sql('postgres', q{SELECT datname FROM pg_database
		WHERE datname NOT IN ('postgres', 'template0', 'template1') AND datname NOT LIKE 'after %'});
	$self->restore_roles($self->{after}{$from}{roles} // {});
	if ($from eq 'the demo')
	{
		$self->restore('examples/liftlogger/README.md');
		$self->start_shell($document);
		$self->start_demo;
	}
	elsif ($from eq 'an empty server')
	{
		$self->{database} = 'postgres';
		$self->start_shell($document);
	}
	else
	{
		$self->restore($from);
		$self->start_shell($document);
		# the gateway that was started there
		$self->run($_) for @{ $self->{after}{$from}{gateways} };
	}
	return;
}

# What is there at the end of a document is kept for those that go on from it.
sub keep
{
	my ($self, $document) = @_;
	my ($database) = split /\n/, $self->sql('postgres', q{SELECT datname FROM pg_database
		WHERE datname NOT IN ('postgres', 'template0', 'template1') AND datname NOT LIKE 'after %'});

	return unless $database;
	$self->end_shell;
	$self->sql('postgres', qq{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '$database'});
	TideTest::wait_for("nobody is connected to $database", 30, sub {
		return $self->sql('postgres',
			"SELECT count(*) FROM pg_stat_activity WHERE datname = '$database'") == 0;
	});
	$self->sql('postgres', qq{ALTER DATABASE "$database" RENAME TO "after $document->{name}"});
	my $home = "$self->{directory}/home-" . keys %{ $self->{after} };
	rename "$self->{directory}/home", $home or die $!;
	$self->{after}{ $document->{name} } = {
		database => $database,
		home => $home,
		roles => $self->roles,
		gateways => [ grep { $_->{kind} eq 'shell' && $_->{text} =~ /^tide-gateway --listen/m }
			  @{ $document->{blocks} } ] };
	return;
}

sub restore
{
	my ($self, $name) = @_;
	my $kept = $self->{after}{$name} or die "nothing has been kept of $name\n";

	$self->{database} = $kept->{database};
	$self->sql('postgres', qq{CREATE DATABASE "$kept->{database}" TEMPLATE "after $name"
		OWNER } . $self->sql('postgres', qq{SELECT quote_ident(pg_get_userbyid(datdba))
		FROM pg_database WHERE datname = 'after $name'}));
	# a copy does not have the settings of its database
	$self->sql('postgres', qq{ALTER DATABASE "$kept->{database}" $_})
	  for split /\n/, $self->sql('postgres', qq{SELECT format('SET %s = %L', split_part(c, '=', 1), substr(c, strpos(c, '=') + 1))
		FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase, unnest(s.setconfig) c
		WHERE d.datname = 'after $name' AND s.setrole = 0});
	return;
}

# Roles belong to the whole server: those that were made since go, unless
# what is kept of another document refers to them. The others get the password
# that they had, and no settings of their own.
sub restore_roles
{
	my ($self, $kept) = @_;

	for my $role (split /\n/, $self->sql('postgres',
		q{SELECT rolname FROM pg_roles WHERE rolname !~ '^pg_' AND rolname <> 'postgres'}))
	{
		my $password = $kept->{$role};

		if (defined $password)
		{
			$self->sql('postgres', qq{ALTER ROLE "$role" RESET ALL; ALTER ROLE "$role" PASSWORD }
				  . ($password eq '' ? 'NULL' : "'$password'"));
		}
		else
		{
			eval { $self->sql('postgres', qq{DROP ROLE "$role"}) };
		}
	}
	return;
}

sub roles
{
	my ($self) = @_;
	return { map { my ($name, $password) = split /\t/; ($name => $password // '') }
		split /\n/, $self->sql('postgres', q{SELECT rolname || E'\t' || coalesce(rolpassword, '') FROM pg_authid}) };
}

# What `make demo` has when it says "Things to try".
sub start_demo
{
	my ($self) = @_;
	write_file("$self->{directory}/demo-secret", 'a secret of the documents, and of them alone');
	$self->sql('postgres', 'ALTER ROLE tide_gateway PASSWORD \'demo\'');
	my $start = { kind => 'shell', role => 'yourself', text => <<"SH" };
PGPASSWORD=demo tide-gateway --listen $documented_address --jwt-secret-file '$self->{directory}/demo-secret' \\
  --database-url 'host=127.0.0.1 dbname=liftlogger user=tide_gateway' &
curl -sf --retry 20 --retry-connrefused --retry-delay 1 http://$documented_address/ready
TOKEN=\$(tide-gateway token --jwt-secret-file '$self->{directory}/demo-secret' \\
  --sub "\$(psql -X -At -U postgres -d liftlogger -c "SELECT id FROM athletes WHERE name = 'Maja Lindqvist'")")
SH
	my $problem = $self->run($start);
	die "the demo's gateway does not start: $problem\n" if $problem;
	return;
}

# An empty home directory, or a copy of one.
sub start_home
{
	my ($self, $kept) = @_;
	my $home = "$self->{directory}/home";

	File::Path::remove_tree($home);
	mkdir $home or die "$home: $!\n";
	TideTest::run_program('', 'cp', '-a', "$kept/.", $home) if $kept;
	return;
}

sub start_shell
{
	my ($self, $document) = @_;
	my $home = "$self->{directory}/home";
	my ($folder) = $document->{name} =~ m{^(examples/.*)/};
	my $directory = $folder ? "$root/$folder" : $home;
	my $bin = $self->{cluster}{bin};

	local %ENV = %ENV;
	delete @ENV{ grep { /^(?:PG|TIDE_)/ } keys %ENV };
	%ENV = (%ENV, HOME => $home, PGHOST => '127.0.0.1', PGPORT => $self->{cluster}{port},
		PATH => "$root/gateway:$root/client:$bin:$ENV{PATH}", LC_ALL => 'C.UTF-8', TZ => 'UTC');
	$self->{shell} = IPC::Open2::open2(my $out, my $in,
		'setsid', 'bash', '--norc', '--noprofile');
	@{$self}{qw(in out)} = ($in, $out);
	$in->autoflush(1);
	# a job has a group of its own, so that kill %1 is the gateway
	print {$in} "cd '$directory'; set -m\n";
	return;
}

sub end_shell
{
	my ($self) = @_;
	my $pid = delete $self->{shell} or return;
	local ($?, $SIG{PIPE}) = ($?, 'IGNORE');

	print { $self->{in} } 'exec 2>/dev/null; jobs -p | while read -r job; do kill -KILL -- "-$job"; done; exit', "\n";
	close $self->{in};
	close $self->{out};
	waitpid $pid, 0;
	return;
}

sub DESTROY
{
	my ($self) = @_;
	$self->end_shell if $self->{owner} == $$;
	return;
}

# ---------------------------------------------------------------------
# Running one: returns what is wrong, or nothing
# ---------------------------------------------------------------------

# The names that are ours instead of the documents'.
sub to_ours
{
	my ($self, $text) = @_;
	$text =~ s/\Q$documented_address\E/$self->{address}/g;
	$text =~ s/:5432:/:$self->{cluster}{port}:/g;
	$text =~ s{(?<![\w.~])/etc/}{$self->{directory}/etc/}g;
	return $text;
}

sub to_documented
{
	my ($self, $text) = @_;
	$text =~ s/\Q$self->{address}\E/$documented_address/g;
	$text =~ s{\Q$self->{directory}\E/etc/}{/etc/}g;
	return $text;
}

sub user_of
{
	my ($self, $block) = @_;
	my $database = $block->{database} // $self->{database};

	return 'postgres' if $block->{role} eq 'a superuser';
	return $self->sql('postgres', "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = '$database'")
	  if $block->{role} eq 'the owner of the tables';
	return;
}

sub run
{
	my ($self, $block) = @_;
	my $kind = $block->{kind};

	return "says neither who runs it nor which file it is (see CONTRIBUTING.md)"
	  if $kind eq 'unclear';
	return $check{ $block->{program} }->($self, $block) if $kind eq 'configuration';
	return is_json($block->{text}) ? undef : "is not JSON: $@" if $kind eq 'data';
	return $self->check_signatures($block) if $kind eq 'signature';
	return unless $kind eq 'sql' || $kind eq 'shell';

	my ($status, $printed) = $kind eq 'sql' ? $self->run_sql($block) : $self->run_shell($block);
	my $output = $block->{output};
	my $shown = $output ? $output->{text} : '';

	$block->{printed} = $printed;
	return "fails ($status):\n$printed" if $status && $shown !~ /^ERROR:/m;
	return "succeeds, and an error is shown" if !$status && $shown =~ /^ERROR:/m;
	# curl says nothing of the status
	return "is refused:\n$printed" if !$output && $printed =~ /^\{"error":/m;
	# a database that the block made
	$self->{database} = $1 if $kind eq 'shell' && $block->{text} =~ /^createdb .*?(\w+)$/m;
	return "prints\n$printed"
	  if $output && !is_output($shown, $printed, $output->{language} eq 'json');
	return;
}

sub is_json
{
	my ($text) = @_;
	utf8::encode($text);
	return eval { TideTest::decode_json($text); 1 };
}

# The functions of an extension as a document writes them, by name.
sub functions
{
	my ($self) = @_;
	my %function = map { split /\t/, $_, 2 } split /\n/, $self->sql($self->{database}, <<'SQL');
SELECT format(E'%s.%s\t%1$s.%2$s(%s) RETURNS %s', n.nspname, p.proname,
	pg_get_function_arguments(p.oid), pg_get_function_result(p.oid))
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname IN ('tide', 'tide_auth')
SQL
	for (values %function)
	{
		s/::(?:timestamp with time zone|[\w."]+)(?:\[\])?//g;
		s/timestamp with time zone/timestamptz/g;
	}
	return \%function;
}

sub check_signatures
{
	my ($self, $block) = @_;
	my $functions = $self->functions;

	for my $signature (split /\n(?=\S)/, $block->{text})
	{
		my ($name) = $signature =~ /^([\w.]+)\(/ or return 'is no function';
		my $real = $functions->{$name} or return "names $name, which is not there";
		s/\s+/ /g, s/ $//, s/TABLE \(/TABLE(/ for $signature;
		return "should be\n$real" if $signature ne $real;
	}
	return;
}

sub run_sql
{
	my ($self, $block) = @_;
	my $database = $block->{database} // $self->{database};
	my $file = write_file("$self->{directory}/block.sql", $block->{text});
	my $shell = { text => "PGOPTIONS='-c timezone=UTC' psql -X -q -d '$database' -v ON_ERROR_STOP=1 <'$file'\n",
		role => $block->{role}, database => $database };

	return $self->run_shell($shell);
}

sub run_shell
{
	my ($self, $block) = @_;
	my $file = write_file("$self->{directory}/block.sh", $self->to_ours($block->{text}));
	# of each block its own: a gateway that it started may go on writing
	my $out = "$self->{directory}/printed" . ++$self->{runs};
	my $user = $self->user_of($block);
	my ($in, $line) = ($self->{in});

	local $SIG{ALRM} = sub { die "a block did not end within a minute\n" };
	local $SIG{PIPE} = sub { die "the shell has ended\n" };
	alarm 60;
	File::Path::make_path("$self->{directory}/etc");
	print {$in} $user ? "export PGUSER='$user'\n" : "unset PGUSER\n";
	# a command that fails on the way counts, too
	print {$in} "failed=0; trap 'failed=\$?' ERR; . '$file' >'$out' 2>&1 </dev/null; trap - ERR; echo \"ended \$failed\"\n";
	while (defined($line = readline $self->{out}))
	{
		last if $line =~ /^ended (\d+)/;
	}
	alarm 0;
	die "the shell has ended\n" unless defined $line;
	my ($status) = $line =~ /^ended (\d+)/;
	return ($status, $self->to_documented(read_file($out)));
}

# ---------------------------------------------------------------------
# Configuration: the program's own checker where there is one, and always
# what can be seen without it
# ---------------------------------------------------------------------

sub program
{
	my ($name) = @_;
	my ($path) = grep { -x } map { "$_/$name" } split(/:/, $ENV{PATH}), '/usr/sbin', '/sbin';
	return $path;
}

# Run it; returns its output if it fails.
sub complaint
{
	my (@command) = @_;
	my $file = File::Temp->new;
	my $pid = fork // die $!;

	if ($pid == 0)
	{
		open STDIN, '<', '/dev/null' or POSIX::_exit(126);
		open STDOUT, '>', $file->filename or POSIX::_exit(126);
		open STDERR, '>&', \*STDOUT or POSIX::_exit(126);
		exec { $command[0] } @command or POSIX::_exit(127);
	}
	local $?;
	waitpid $pid, 0;
	return $? ? "$command[0]: " . read_file($file->filename) : undef;
}

sub lines_of
{
	my ($block) = @_;
	my $number = 0;
	return grep { $_->[1] =~ /\S/ && $_->[1] !~ /^\s*[#;]/ }
	  map { [ ++$number, $_ ] } split /\n/, $block->{text};
}

# It must take the settings; where it listens and what it connects to is ours.
sub check_gateway
{
	my ($self, $block) = @_;
	my $secret = write_file("$self->{directory}/conf-secret", 'a secret of the documents, and of them alone');
	my $gateway = eval {
		TideTest::Gateway->start(
			database_url => 'host=127.0.0.1 port=1 dbname=none',
			settings => {
				'config' => write_file("$self->{directory}/tide-gateway.conf", $block->{text}),
				'jwt-secret-file' => $secret, 'jwt-public-key-file' => '', 'jwks-file' => '',
				$block->{text} =~ /^metrics-listen/m ? ('metrics-listen' => '127.0.0.1:0') : () });
	};
	return "is refused by tide-gateway: $@" unless $gateway;
	$gateway->stop;
	return;
}

sub check_nginx
{
	my ($self, $block) = @_;
	my ($depth, $directory) = (0, "$self->{directory}/nginx");

	for (lines_of($block))
	{
		my ($number, $line) = @$_;
		$line =~ s/\s+#.*//;
		$depth += ($line =~ tr/{//) - ($line =~ tr/}//);
		return "line $number: '}' without a block" if $depth < 0;
		return "line $number: a directive ends with ';', '{' or '}'"
		  unless $line =~ /[;{}]\s*$/ || $line =~ /^\s*}/;
	}
	return 'a block is not closed' if $depth;

	my $nginx = program('nginx') or return;
	my $text = $block->{text};
	File::Path::make_path("$directory/tmp");
	complaint('openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=sync.example.org',
		'-keyout', "$directory/key.pem", '-out', "$directory/cert.pem") unless -e "$directory/cert.pem";
	$text =~ s{(ssl_certificate\s+)\S+;}{$1$directory/cert.pem;}g;
	$text =~ s{(ssl_certificate_key\s+)\S+;}{$1$directory/key.pem;}g;
	write_file("$directory/tide.conf", $text);
	return complaint($nginx, '-t', '-q', '-p', $directory, '-e', "$directory/errors", '-c',
		write_file("$directory/nginx.conf", "pid $directory/pid;\nevents {}\nhttp {\n"
			  . join('', map { "${_}_temp_path $directory/tmp/$_;\n" } qw(client_body proxy fastcgi uwsgi scgi))
			  . "access_log off;\ninclude $directory/tide.conf;\n}\n"));
}

# A block of Caddy's begins at the end of its line and ends on a line of its own.
sub check_caddy
{
	my ($self, $block) = @_;
	my $depth = 0;

	for (lines_of($block))
	{
		my ($number, $line) = @$_;
		$line =~ s/\s+#.*//;
		if ($line =~ /^\s*}\s*$/)
		{
			return "line $number: '}' without a block" if --$depth < 0;
		}
		elsif ($line =~ /(?:^|\s)\{\s*$/)
		{
			$depth++;
		}
		elsif ($line =~ /(?:^|\s)[{}](?:\s|$)/)
		{
			return "line $number: a brace that opens ends its line, one that closes stands alone";
		}
	}
	return 'a block is not closed' if $depth;

	my $caddy = program('caddy') or return;
	return complaint($caddy, 'adapt', '--adapter', 'caddyfile', '--config',
		write_file("$self->{directory}/Caddyfile", $block->{text}));
}

# Sections begin at the margin, what belongs to them is indented.
sub check_haproxy
{
	my ($self, $block) = @_;
	my $section;

	for (lines_of($block))
	{
		my ($number, $line) = @$_;
		if ($line =~ /^(?:global|defaults|frontend \S+|backend \S+|listen \S+)\s*$/)
		{
			$section = $line;
		}
		elsif ($line !~ /^\s+\w/ || !$section)
		{
			return "line $number: is neither a section nor an indented keyword in one";
		}
	}

	my $haproxy = program('haproxy') or return;
	my $text = $block->{text};
	$text =~ s{ ssl crt \S+}{}g;
	return complaint($haproxy, '-c', '-q', '-f', write_file("$self->{directory}/haproxy.cfg", $text));
}

sub check_systemd
{
	my ($self, $block) = @_;
	my ($section, $folder) = (undef, "$self->{directory}/systemd");

	for (lines_of($block))
	{
		my ($number, $line) = @$_;
		if ($line =~ /^\[\w+\]$/)
		{
			$section = $line;
		}
		elsif ($line !~ /^\w+=/ || !$section)
		{
			return "line $number: is neither [Section] nor Name=value in one";
		}
	}
	my $analyze = program('systemd-analyze') or return;
	my ($unit, $part) = $block->{file} =~ m{([^/]+\.service)(\.d/[^/]+)?$};
	File::Path::remove_tree($folder);
	write_file("$folder/$unit", $part ? read_file("$root/gateway/$unit") : $block->{text});
	write_file("$folder/$unit$part", $block->{text}) if $part;
	# a program that is not installed here is no fault of the file's
	my $complaint = complaint('sh', '-c', 'SYSTEMD_UNIT_PATH=$2: "$1" verify --man=no "$2/$3" 2>&1 |'
		. ' grep -v "is not executable" | grep "$2" >&2 && exit 1 || exit 0', 'sh', $analyze, $folder, $unit);
	return $complaint;
}

# It has no checker: it is started, on a socket of ours.
sub check_pgbouncer
{
	my ($self, $block) = @_;

	for (lines_of($block))
	{
		my ($number, $line) = @$_;
		return "line $number: is neither [section] nor name = value"
		  unless $line =~ /^\[\w+\]$/ || $line =~ /^[\w*]+\s*=/;
		return "line $number: a comment stands on a line of its own" if $line =~ /\s[;#]\s/;
	}
	my $pgbouncer = program('pgbouncer') or return;
	my $text = $block->{text};
	my %ours = (listen_addr => '127.0.0.1', listen_port => 0, unix_socket_dir => '', auth_type => 'trust', auth_file => undef,
		logfile => undef, pidfile => undef);
	my ($port) = grep { TideTest::Cluster::port_is_free($_) } 56150 .. 56199;
	$ours{listen_port} = $port;
	for my $name (keys %ours)
	{
		my $value = $ours{$name};
		$text =~ s/^$name\s*=.*\n//mg;
		$text =~ s/^(\[pgbouncer\]\n)/$1$name = $value\n/m if defined $value;
	}
	my $file = write_file("$self->{directory}/pgbouncer.ini", $text);
	my $log = "$self->{directory}/pgbouncer.log";
	chmod 0755, "$self->{directory}";
	unlink $log;				# of another block
	my $pid = fork // die $!;
	if ($pid == 0)
	{
		open STDIN, '<', '/dev/null' or POSIX::_exit(126);
		open STDOUT, '>', $log or POSIX::_exit(126);
		open STDERR, '>&', \*STDOUT or POSIX::_exit(126);
		my @command = ($pgbouncer, $> == 0 ? ('-u', 'postgres') : (), $file);
		exec { $command[0] } @command or POSIX::_exit(127);
	}
	local $?;
	my $ended;
	TideTest::wait_for('pgbouncer takes its settings', 20, sub {
		return 1 if $ended = waitpid($pid, POSIX::WNOHANG()) > 0;
		return -e $log && read_file($log) =~ /process up/;
	});
	my $said = read_file($log);
	unless ($ended)
	{
		kill KILL => $pid;
		waitpid $pid, 0;
	}
	return $ended || $said =~ /ERROR|FATAL/ ? "is refused by pgbouncer: $said" : undef;
}

1;
