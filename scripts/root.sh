# For test-in, test-packages and others to source: fresh roots of a Debian release.
# They are gone at the end. Needs root and debootstrap.
#
# TIDE_MIRROR is the mirror (default http://deb.debian.org/debian), TIDE_ROOTS
# the directory for the roots (default TMPDIR). With TIDE_BARE_ROOTS=DIRECTORY bare
# roots are kept there, and copied by the next test that needs one.
# shellcheck shell=bash

mirror=${TIDE_MIRROR:-http://deb.debian.org/debian}
roots=()
[ "$(id -u)" = 0 ] || { echo "${0##*/}: only root can make a root directory" >&2; exit 1; }
command -v debootstrap >/dev/null || { echo "${0##*/}: apt-get install debootstrap" >&2; exit 1; }

end_roots()
{
	local root mounted

	for root in "${roots[@]}"; do
		# a file system that is still there must not be emptied
		for mounted in dev/shm dev proc; do
			! mountpoint -q "$root/$mounted" || umount "$root/$mounted" || continue 2
		done
		rm -rf --one-file-system "$root"
	done
}
trap end_roots EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# make_root RELEASE: a fresh root, in $root
make_root()
{
	root=$(mktemp -d "${TIDE_ROOTS:-${TMPDIR:-/tmp}}/tide-$1.XXXXXX")
	roots+=("$root")
	echo "Debian $1, in $root"
	if [ -n "${TIDE_BARE_ROOTS:-}" ] && [ -d "$TIDE_BARE_ROOTS/$1" ]; then
		cp -a "$TIDE_BARE_ROOTS/$1/." "$root"
		return
	fi
	if ! debootstrap --variant=minbase --include=ca-certificates,git,perl \
		"$1" "$root" "$mirror" >"$root.log" 2>&1
	then
		tail -n 20 "$root.log" >&2
		exit 1
	fi
	rm -f "$root.log"
	chmod 755 "$root"
	# a release that is in the making is tested at whatever state the mirror has
	echo 'Acquire::Check-Valid-Until "false";' >"$root/etc/apt/apt.conf.d/99tide"
	echo "deb $mirror $1 main" >"$root/etc/apt/sources.list"
	# nothing in it has to outlive a crash
	echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/99tide"
	if [ -n "${TIDE_BARE_ROOTS:-}" ]; then
		mkdir -p "$TIDE_BARE_ROOTS"
		cp -a "$root" "$TIDE_BARE_ROOTS/$1.new"
		mv "$TIDE_BARE_ROOTS/$1.new" "$TIDE_BARE_ROOTS/$1"
	fi
}

# copy_root: another one like $root, before anything is mounted there
copy_root()
{
	local copy

	copy=$(mktemp -d "$root.XXXXXX")
	roots+=("$copy")
	cp -a "$root/." "$copy"
	root=$copy
}

mount_root()
{
	mount -t proc proc "$root/proc"
	mount --bind /dev "$root/dev"
	mount -t tmpfs tmpfs "$root/dev/shm"
}

# in_root COMMAND...: with nothing of our own environment, PG_CONFIG for one
in_root()
{
	chroot "$root" /usr/bin/env -i HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
		PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
}
