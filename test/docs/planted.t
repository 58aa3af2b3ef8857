# Are broken blocks found? Each of these was planted, and has to be complained
# of; the good one beside it has not.
#
# Seen failing: with any one of the checks of test/lib/TideBlocks.pm that
# these are about taken out.
use strict;
use warnings;
use utf8;

use FindBin ();
use lib "$FindBin::Bin/../lib";
use Test::More;
use TideBlocks;
use TideTest;

my $blocks = TideBlocks->start;
my $empty = TideBlocks::document('planted', '');
$blocks->begin($empty);

# What the first block of this text is complained of; the text is that of a
# page, with ''' for the fences.
sub complaint
{
	my ($text) = @_;
	$text =~ s/'''/```/g;
	my ($block) = @{ TideBlocks::document('planted', $text)->{blocks} };
	return $blocks->run($block) // '';
}

sub is_broken
{
	my ($what, $text, $complaint) = @_;
	like complaint($text), $complaint, $what;
	return;
}

sub is_good
{
	my ($what, $text) = @_;
	is complaint($text), '', $what;
	return;
}

# --- who runs it ---
is_broken('nobody is named', "'''sql\nSELECT 1;\n'''", qr/says neither who/);
is_broken('nobody is named, of a shell', "'''sh\ntrue\n'''", qr/says neither who/);
is_broken('somebody unknown', "'''sql\n-- as the king\nSELECT 1;\n'''", qr/says neither who/);
is_broken('no language', "'''\n# as yourself\ntrue\n'''", qr/says neither who/);
is_broken('a file of nobody', "'''ini\n# /etc/passwd\nx = 1\n'''", qr/says neither who/);
is((TideBlocks::document('planted', "<!-- not run: of a good reason -->\n```sh\nfalse\n```"))->{blocks}[0]{kind},
	'left', 'a reason not to run it');
is((TideBlocks::document('planted', "<!-- not run: of a good reason -->\ntext\n```sh\nfalse\n```"))->{blocks}[0]{kind},
	'unclear', 'is that of the next block alone');
ok(!eval { TideBlocks::document('planted', "```sh\nfalse\n") }, 'a block without end');

# --- SQL ---
is_good('SQL', "'''sql\n-- as a superuser\nSELECT 1;\n'''");
is_broken('an error', "'''sql\n-- as a superuser\nSELECT 1/0;\nSELECT 1;\n'''", qr/fails.*division by zero/s);
is_broken('an error that is not shown', "'''sql\n-- as a superuser\nSELECT 1/0;\n'''\n'''text\n…\n'''", qr/fails/);
is_good('an error that is shown', "'''sql\n-- as a superuser\nSELECT 1/0;\n'''\n'''text\nERROR:  division by zero\n'''");
is_broken('an error that is shown and does not come',
	"'''sql\n-- as a superuser\nSELECT 1;\n'''\n'''text\nERROR:  division by zero\n'''", qr/succeeds, and/);
$blocks->sql('postgres', 'CREATE ROLE app LOGIN');
$blocks->sql('postgres', 'CREATE DATABASE app OWNER app');
is_broken('the owner of the tables is no superuser',
	"'''sql\n-- as the owner of the tables, in the database app\nCREATE ROLE other;\n'''", qr/permission denied/);
is_good('and who it is', "'''sql\n-- as the owner of the tables, in the database app\n"
	  . "SELECT current_user;\n'''\n'''text\n current_user\n--------------\n app\n(1 row)\n'''");
is_broken('a signature of old', "'''\ntide.prune(keep interval)\n'''", qr/not there/);

# --- a shell ---
is_good('a shell', "'''sh\n# as yourself\ntrue\n'''");
is_broken('a command that fails', "'''sh\n# as yourself\nfalse\n'''", qr/fails/);
is_broken('a command that fails before one that does not', "'''sh\n# as yourself\nfalse\ntrue\n'''", qr/fails/);
is_broken('an error of HTTP', qq('''sh\n# as yourself\necho '{"error": {"code": "no"}}'\n'''), qr/is refused/);
complaint("'''sh\n# as yourself\nthere=yes\n'''");
is_good('what one has set the next one finds', "'''sh\n# as yourself\n[ \$there = yes ]\n'''");

# --- what is printed ---
sub prints
{
	my ($text, $shown, $language) = @_;
	return "'''sh\n# as yourself\necho '$text'\n'''\n'''" . ($language // 'text') . "\n$shown\n'''";
}
is_good('the output', prints('a  b', 'a b'));
is_broken('another output', prints('a b', 'a c'), qr/prints/);
is_broken('less than is shown', prints('a', "a\nb"), qr/prints/);
is_broken('more than is shown', prints("a\nb", 'a'), qr/prints/);
is_good('anything', prints('a 17 b', 'a … b'));
is_good('a time', prints('at 2026-11-26T10:00:00.5Z.', 'at 2025-01-01T00:00:00Z.'));
is_broken('no time', prints('at noon.', 'at 2025-01-01T00:00:00Z.'), qr/prints/);
is_good('JSON', prints('{"a":[1,"b  c"]}', qq({"a": [1,\n  "b  c"]}), 'json'));
is_broken('blanks within a string', prints('{"a":"b  c"}', '{"a": "b c"}', 'json'), qr/prints/);
is_broken('a member that is missing', prints('{"a":1}', '{"a": 1, "b": 2}', 'json'), qr/prints/);
is_broken('JSON by itself', "'''json\n{\"a\": 1,}\n'''", qr/is not JSON/);
is_good('JSON by itself that is good', "'''json\n{\"a\": \"…\"}\n'''");

# --- configuration ---
is_good('settings', "'''ini\n# /etc/tide-gateway.conf\n# a comment\nlisten = 127.0.0.1:8080\n'''");
is_good('a comment behind a setting', "'''ini\n# /etc/tide-gateway.conf\ntrusted-proxies = 127.0.0.1, ::1       # the proxy\n'''");
is_broken('a value that is none', "'''ini\n# /etc/tide-gateway.conf\ntrusted-proxies = 127.0.0.1, proxy\n'''", qr/is refused by tide-gateway/);
is_broken('a setting that is not there', "'''ini\n# /etc/tide-gateway.conf\nlistne = 127.0.0.1:8080\n'''", qr/is refused/);
is_good('Caddy', "'''\n# /etc/caddy/Caddyfile\na.example {\n    reverse_proxy /api/* 127.0.0.1:8080\n}\n'''");
is_broken('Caddy on one line',
	"'''\n# /etc/caddy/Caddyfile\na.example { reverse_proxy /api/* 127.0.0.1:8080 }\n'''", qr/line 2: a brace/);
is_good('haproxy', "'''\n# /etc/haproxy/haproxy.cfg\ndefaults\n    mode http\n    timeout connect 2s\n    timeout client 9s\n    timeout server 9s\nfrontend a\n    bind :8443\n'''");
is_broken('haproxy without a section', "'''\n# /etc/haproxy/haproxy.cfg\n    mode http\n'''", qr/line 2: is neither/);
is_broken('Caddy without end', "'''\n# /etc/caddy/Caddyfile\na.example {\n'''", qr/not closed/);
is_good('nginx', "'''\n# /etc/nginx/conf.d/a.conf\nserver {\n    listen 127.0.0.1:8443;    # a comment\n}\n'''");
is_broken('nginx without semicolon', "'''\n# /etc/nginx/conf.d/a.conf\nserver {\n    listen 127.0.0.1:8443\n}\n'''", qr/line 3/);
is_broken('nginx without end', "'''\n# /etc/nginx/conf.d/a.conf\nserver {\n    listen 127.0.0.1:8443;\n'''", qr/not closed/);
is_good('systemd', "'''ini\n# /etc/systemd/system/tide-gateway.service.d/own.conf\n[Service]\nNice=5\n'''");
is_broken('systemd without a section', "'''ini\n# /etc/systemd/system/tide-gateway.service.d/own.conf\nNice=5\n'''", qr/line 2/);
is_good('pgbouncer', "'''ini\n# /etc/pgbouncer/pgbouncer.ini\n[databases]\napp = host=127.0.0.1\n[pgbouncer]\npool_mode = transaction\n'''");
is_broken('pgbouncer with a comment behind a setting',
	"'''ini\n# /etc/pgbouncer/pgbouncer.ini\n[databases]\n[pgbouncer]\npool_mode = transaction ; yes\n'''", qr/line 4/);
SKIP:
{
	skip 'systemd-analyze is not installed', 1 unless TideBlocks::program('systemd-analyze');
	is_broken('a unit that systemd does not know its way about in',
		"'''ini\n# /etc/systemd/system/tide-gateway.service.d/own.conf\n[Service]\nNcie=5\n'''", qr/Ncie/);
}
SKIP:
{
	skip 'pgbouncer is not installed', 1 unless TideBlocks::program('pgbouncer');
	is_broken('pgbouncer with a mode that is none',
		"'''ini\n# /etc/pgbouncer/pgbouncer.ini\n[databases]\n[pgbouncer]\npool_mode = transacting\n'''", qr/refused by pgbouncer/);
}
SKIP:
{
	skip 'nginx is not installed', 1 unless TideBlocks::program('nginx');
	is_broken('nginx with a directive that is none',
		"'''\n# /etc/nginx/conf.d/a.conf\nserver {\n    lisen 127.0.0.1:8443;\n}\n'''", qr/lisen/);
}
SKIP:
{
	skip 'caddy is not installed', 1 unless TideBlocks::program('caddy');
	is_broken('Caddy with a directive that is none',
		"'''\n# /etc/caddy/Caddyfile\na.example {\n    reverse_porxy 127.0.0.1:8080\n}\n'''", qr/reverse_porxy/);
}

done_testing;
