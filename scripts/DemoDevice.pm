# A device of the demo: a file of SQLite, synced by the command `tide` and edited by
# the sqlite3 shell, like anybody would.
#
#   my $phone = DemoDevice->new(name => 'phone', url => $gateway, token => $jwt,
#       directory => $path, trace => sub { print "$_[0]\n" });
#   $phone->clone;
#   $phone->sql("UPDATE ...");
#   $phone->sync->{pushed};
#
# trace gets each command, and each line that it prints. What goes wrong dies.

package DemoDevice;

use strict;
use warnings;
use utf8;
use Digest::SHA qw(sha256_hex);
use Encode qw(encode_utf8);
use FindBin;
use HTTP::Tiny;
use IO::Socket::INET;
use JSON::PP;

my $tide = "$FindBin::Bin/../client/tide";

sub new
{
	my ($class, %given) = @_;

	return bless {
		trace => sub { }, %given,
		file => "$given{directory}/$given{name}.db",
		token_file => "$given{directory}/$given{name}.token",
	}, $class;
}

# Run a program; what it printed.  Exit status 1 says that rows failed or lost.
sub run
{
	my ($self, @command) = @_;
	my $shown = join ' ', map { s{.*/(?=tide$|[^/]*\.(?:db|token)$)}{}r } @command;

	$self->{trace}->("\$ $shown");
	my $pid = open my $out, '-|';
	die "fork: $!\n" unless defined $pid;
	if ($pid == 0)
	{
		# what a program says of its progress is for terminals
		open STDERR, '>', "$self->{directory}/errors";
		exec { $command[0] } @command or exit 127;
	}
	binmode $out, ':utf8';
	my $said = do { local $/; <$out> } // '';
	close $out;
	my $status = $? >> 8;
	chomp $said;
	$self->{trace}->("  $_") for split /\n/, length $said > 1000 ? substr($said, 0, 1000) . ' …' : $said;
	if ($status > 1 && $status != 3 || $status == 127)
	{
		open my $errors, '<', "$self->{directory}/errors" or die "$self->{directory}/errors: $!\n";
		my ($why) = map { /^(?:tide|Error): (.*)/ } <$errors>;
		die "$shown exited with $status" . ($why ? ": $why" : '') . "\n";
	}
	return $said;
}

sub tide { my ($self, $command, @rest) = @_; return $self->run($tide, $command, $self->{file}, @rest) }

sub clone
{
	my $self = shift;

	# what a device may see is its user's alone
	my $mask = umask 077;
	open my $token, '>', $self->{token_file} or die "$self->{token_file}: $!\n";
	print {$token} "$self->{token}\n";
	close $token;
	$self->run($tide, 'clone', $self->{url}, $self->{file}, '--token-file', $self->{token_file});
	umask $mask;
	$self->sql('SELECT first_sync FROM tide_status') eq 'done' or die "$self->{name} could not be cloned\n";
	return;
}

sub sql { my ($self, $sql) = @_; return $self->run('sqlite3', '-cmd', '.timeout 5000', $self->{file}, $sql) }

# What `tide sync` did.
sub sync { my $self = shift; return decode_json($self->tide('sync', '--json')) }
sub status { my $self = shift; return decode_json($self->tide('status', '--json')) }

# What `tide pending`, `tide lost` or `tide verify` tells.
sub told { my ($self, $command, @option) = @_; return decode_json($self->tide($command, @option, '--json')) }

# Sync through a proxy that lets no reply of a push through.
sub sync_without_reply
{
	my $self = shift;
	my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 5) or die "proxy: $!\n";
	my $pid = fork // die "fork: $!\n";

	if ($pid == 0)
	{
		while (my $client = $listener->accept) { pass_on($client) }
		exit;
	}
	local @ENV{qw(http_proxy no_proxy)} = ('http://127.0.0.1:' . $listener->sockport, '');
	my $reply = eval { $self->sync };
	my $why = $@;
	kill TERM => $pid;
	waitpid $pid, 0;
	die $why unless $reply;
	return $reply;
}

# One request to a server.
sub pass_on
{
	my $client = shift;
	my ($method, $url) = (<$client> // '') =~ /^(\S+) (\S+)/ or return;
	my (%header, $body);

	while (defined(my $line = <$client>))
	{
		last if $line =~ /^\r?$/;
		$header{ lc $1 } = $2 if $line =~ /^([^:]+): *(.*?)\r?$/;
	}
	read $client, $body, $header{'content-length'} if $header{'content-length'};
	my %wanted = map { $_ => $header{$_} } grep { exists $header{$_} } qw(authorization content-type if-none-match);
	my $reply = HTTP::Tiny->new(proxy => undef, http_proxy => undef)->request($method, $url,
		{ headers => \%wanted, defined $body ? (content => $body) : () });

	$reply->{content} //= '';
	return if $url =~ m{/sync/push$};
	print {$client} "HTTP/1.1 $reply->{status} $reply->{reason}\r\nConnection: close\r\nContent-Length: ",
		length $reply->{content}, "\r\n", map({ "$_: $reply->{headers}{$_}\r\n" }
			grep { exists $reply->{headers}{$_} } qw(content-type etag)), "\r\n", $reply->{content};
	return;
}

sub tables { my $self = shift; return split /\n/, $self->run('sqlite3', $self->{file},
	'SELECT table_name FROM tide_types WHERE table_name IS NOT NULL ORDER BY 1') }

sub count
{
	my $self = shift;

	return $self->sql('SELECT ' . join ' + ', map { qq[(SELECT count(*) FROM "$_")] } $self->tables);
}

# A sum over all rows in all columns, for comparison.
sub state
{
	my $self = shift;

	return sha256_hex(encode_utf8(join "\n", map { $self->sql(qq[SELECT * FROM "$_" ORDER BY 1]) } $self->tables));
}

1;
