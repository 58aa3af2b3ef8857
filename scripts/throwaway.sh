# For test, demo and bench to source: a throw-away cluster, a gateway before
# it, a directory for what they leave, and all of it gone at the end.
# shellcheck shell=bash

work=
cluster=
gateway=
page=
address=						# host:port that the gateway listens on

throwaway_end()
{
	trap '' INT TERM
	# devices that a demo has left watching
	# shellcheck disable=SC2086
	[ -z "${watches:-}" ] || kill $watches 2>/dev/null || true
	if [ -n "$gateway" ]; then
		kill "$gateway" 2>/dev/null || true
		wait "$gateway" 2>/dev/null || true
	fi
	[ -z "$page" ] || kill "$page" 2>/dev/null || true
	[ -z "$cluster" ] || scripts/cluster stop "$cluster"
	[ -z "$work" ] || rm -rf "$work"
}
trap throwaway_end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
work=$(mktemp -d "${TMPDIR:-/tmp}/tide_work.XXXXXX")

# start_cluster [setting=value ...]: PG* point to it from here on
start_cluster()
{
	local environment ended=

	# a signal for us alone must not end us before we know what to stop
	trap 'ended=yes' TERM
	environment=$(scripts/cluster start "$@")
	eval "$environment"
	cluster=$TIDE_CLUSTER
	trap 'exit 143' TERM
	[ -z "$ended" ] || exit 143
}

# start_gateway LISTEN DATABASE [option ...]: returns when it is ready
start_gateway()
{
	local listen=$1 database=$2 deadline=$((SECONDS + 30))

	shift 2
	(umask 077; head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n' >"$work/secret")
	gateway/tide-gateway --listen "$listen" --jwt-secret-file "$work/secret" \
		--database-url "host=$PGHOST port=$PGPORT dbname=$database user=tide_gateway" \
		"$@" >"$work/gateway.log" 2>&1 &
	gateway=$!
	# a port of 0 is known only when it has been logged
	until [ -n "${address:=$(listening)}" ] && curl -sf -o /dev/null "http://$address/ready"; do
		if ! kill -0 "$gateway" 2>/dev/null || [ $SECONDS -ge $deadline ]; then
			echo 'The gateway does not get ready. Its log:' >&2
			cat "$work/gateway.log" >&2
			return 1
		fi
		perl -e 'select(undef, undef, undef, 0.05)'
	done
}

listening()
{
	sed -nE 's/.*listening address=([^ ]+) port=([0-9]+).*/\1:\2/p' "$work/gateway.log"
}

# token SUB: one for this gateway, good for a day
token()
{
	gateway/tide-gateway token --jwt-secret-file "$work/secret" --sub "$1" --ttl 86400
}
