# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# shellcheck disable=SC2034 # used by the scripts that source this file
#
# root.sh - a fresh Debian in a directory, with mounts and a network of its own,
# and the counting of checks; to be sourced by bash, as root. Everything is below
# one temporary directory, and goes at the end.
#
#   AURORE_ROOTS           a directory with what debootstrap has made before, a
#                          subdirectory for each release
#   AURORE_DEBIAN_MIRROR   another archive than deb.debian.org

# Its mounts are nobody else's, and go with it.
[ -n "${AURORE_PRIVATE_MOUNTS-}" ] ||
  AURORE_PRIVATE_MOUNTS=1 exec unshare --mount --propagation private "$0" "$@"

top=$(cd "$(dirname "$0")/../.." && pwd) || exit 1
work=$(mktemp -d "${TMPDIR:-/tmp}/aurore-package.XXXXXX") || exit 1
mirror=${AURORE_DEBIAN_MIRROR:-http://deb.debian.org/debian}
passed=0
failed=0
root=
network_pid=
pids=()

say() { printf '%s\n' "$*"; }

# check WHAT COMMAND...: counts it; its output is shown if it fails.
check() {
  local what=$1
  shift
  if "$@" >"$work/last.log" 2>&1; then
    passed=$((passed + 1))
    say "ok: $what"
  else
    failed=$((failed + 1))
    say "FAILED: $what"
    sed 's/^/    /' "$work/last.log" | tail -30
    return 1
  fi
}

# The last line, and the exit status.
summary() {
  say "$passed passed, $failed failed"
  [ $failed = 0 ]
}

finish() {
  end_processes
  unmount_all
  # Never what is mounted there, should an unmounting have failed.
  rm -rf --one-file-system "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

wait_for() {
  local turn
  for turn in $(seq 600); do
    "$@" >/dev/null 2>&1 && return 0
    read -r -t 0.1 <> <(:)
  done
  say "waited for: $* ($turn)"
  "$@"
}

end_processes() {
  local pid
  for pid in "${pids[@]}"; do
    kill "$pid" 2>/dev/null && tail --pid="$pid" -f /dev/null
  done
  pids=()
}

# --- the directory ----------------------------------------------------------------

inside() {
  env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive \
    LANG=C.UTF-8 HOME=/root chroot "$root" "$@"
}

# To try again without the archive's first 100 MB.
copy_root() {
  [ -n "${AURORE_ROOTS-}" ] && [ -d "$AURORE_ROOTS/$1" ] &&
    cp -a "$AURORE_ROOTS/$1" "$root"
}

# make_root RELEASE
make_root() {
  root=$work/$1
  copy_root "$1" || debootstrap --variant=minbase "$1" "$root" "$mirror" || return
  # A mount of its own, so that it can be made read-only for one process.
  mount --bind "$root" "$root" &&
    mount -t proc proc "$root/proc" &&
    make_devices &&
    # As wherever a Debian runs; df reads it.
    ln -sfn ../proc/self/mounts "$root/etc/mtab" &&
    # collectd asks for the name of its host, and ends if nobody knows it.
    echo "127.0.0.1 localhost $(hostname)" >"$root/etc/hosts" &&
    # Nothing here need outlive a crash: dpkg does not flush each file.
    echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/unsafe-io" &&
    # Nothing is started by an installation.
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d" &&
    chmod 755 "$root/usr/sbin/policy-rc.d"
}

# Those that are needed; never the machine's own /dev, which a mistake might empty.
make_devices() {
  local name minor
  mount -t tmpfs -o mode=755,dev tmpfs "$root/dev" || return
  while read -r name minor; do
    mknod -m 666 "$root/dev/$name" c 1 "$minor" || return
  done <<'DEVICES'
null 3
zero 5
full 7
random 8
urandom 9
DEVICES
  ln -s /proc/self/fd "$root/dev/fd" &&
    mkdir -m 1777 "$root/dev/shm" &&
    mount -t tmpfs tmpfs "$root/dev/shm"
}

unmount_all() {
  local place
  for place in /proc /dev/shm /dev ''; do
    [ -z "$root" ] || ! mountpoint -q "$root$place" || umount -l "$root$place"
  done
}

# What git would add, so that a tree with builds in it can be used.
copy_tree() {
  mkdir -p "$1" &&
    (cd "$top" && git ls-files -co --exclude-standard | tar cf - -T -) |
    tar xf - -C "$1"
}

# --- its network --------------------------------------------------------------------

# One of its own, in which the ports of the default configuration are free; the
# archive is out of reach there. write_prometheus listens only where there is an
# address besides that of loopback, and interface looks at no other. Those of the
# documentation (192.0.2.0/24) stand for one that no machine has in the tests.
make_network() {
  unshare --net -- tail -f /dev/null &
  network_pid=$!
  pids+=("$network_pid")
  wait_for has_own_network &&
    in_network ip link set lo up &&
    in_network ip link add eth0 type veth peer name eth1 &&
    in_network ip link set eth0 up &&
    in_network ip address add 10.99.0.1/32 dev eth0
}

has_own_network() {
  [ "$(readlink "/proc/$network_pid/ns/net")" != "$(readlink /proc/$$/ns/net)" ]
}

in_network() { nsenter --net="/proc/$network_pid/ns/net" -- "$@"; }

inside_network() {
  in_network env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 HOME=/root \
    chroot "$root" "$@"
}
