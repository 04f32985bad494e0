# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# shellcheck disable=SC2034 # used by the scripts that source this file
#
# debian.sh - which Debian packages are needed for what, and how to install
# them and leave the machine's services and clusters as they were; to be sourced by
# bash.

packages_build='autoconf automake collectd-dev gcc libc6-dev
  libcurl4-gnutls-dev libmicrohttpd-dev
  libpq-dev libtool libyajl-dev libzstd-dev make perl pkg-config check
  zlib1g-dev'

# collectd-core only suggests what its plugins need: libprotobuf-c1 for
# write_prometheus, libmnl0 for processes, libudev1 for disk. The libraries of our
# own come with what the build needs, under whatever name the release has for
# them.
packages_run='collectd-core curl libmnl0 libprotobuf-c1 libudev1 prometheus
  util-linux'

# "postgresql" is not listed above: ./run can use a server elsewhere.
packages_check='clang clang-format clang-tidy cppcheck e2fsprogs git haproxy
  libclang-rt-dev libestr0 libfaketime libfastjson4 libglib2.0-0 libivykis0
  libjson-c5 liblognorm5 libnet1 libpcre3 libwrap0 mount nginx-light openssl
  pgbouncer postgresql procps prometheus-alertmanager python3 python3-jsonschema
  python3-prometheus-client python3-psycopg2 python3-pytest python3-pytest-xdist
  python3-requests python3-yaml shellcheck strace valgrind wrk xfsprogs'

# Loggers that the tests send from. They exclude each other and whatever logger the
# machine has, so that they are unpacked, not installed; the libraries that they need
# are listed above.
packages_unpacked='rsyslog syslog-ng-core syslog-ng-mod-http'

# For the container image and the picture of the dashboard: ./check --long.
packages_long='chromium debhelper debootstrap docker-compose docker.io fakeroot
  fonts-dejavu-core iproute2 lintian python3-venv python3-yaml'

# Prints the packages that are not installed.
missing_packages() {
  local package
  for package in "$@"; do
    dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null |
      grep -qx installed || echo "$package"
  done
}

# Installs the missing packages, and says so in a line; does nothing, and needs no
# network, if none is missing. What apt says goes into the file of $packages_log, if
# that is set. The machine's services stay as they are: none is started (not even
# once) or enabled, so that none starts at the next boot, and PostgreSQL gets no
# cluster.
install_packages() {
  local missing before log=${packages_log:-/dev/stdout}
  # shellcheck disable=SC2005,SC2046,SC2048,SC2086 # lists of names, made one line
  missing=$(echo $(missing_packages $*))
  [ -n "$missing" ] || return 0
  if [ "$(id -u)" != 0 ]; then
    echo "packages are missing; as root: apt-get install $missing" >&2
    return 1
  fi
  echo "installing $(wc -w <<<"$missing") packages${packages_log:+, see $packages_log}"
  before=$(enabled_services)
  if ! apt_install_quietly "$missing" >>"$log" 2>&1; then
    [ -z "${packages_log-}" ] || tail -n 20 "$packages_log" >&2
    echo "could not install $missing${packages_log:+; the whole log is $packages_log}" >&2
    return 1
  fi
  disable_new_services "$before" >>"$log"
}

policy_file=/usr/sbin/policy-rc.d
clusters_file=/etc/postgresql-common/createcluster.conf

# While packages are set up a policy-rc.d denies every start of a service; the
# machine's own is kept if there is one. A PostgreSQL server that is installed for
# the first time would get a cluster "main", but for a line in another file.
apt_install_quietly() (
  trap 'exit 130' INT TERM HUP
  trap 'put_back "$clusters_file"' EXIT
  if [ ! -e "$policy_file" ] && [ ! -L "$policy_file" ]; then
    trap 'rm -f "$policy_file"; put_back "$clusters_file"' EXIT
    printf '#!/bin/sh\n# only during an installation\nexit 101\n' >"$policy_file"
    chmod 755 "$policy_file"
  fi
  case " $1 " in
  *' postgresql '*)
    apt_install postgresql-common || exit 1
    cp -p "$clusters_file" "$clusters_file.before" || exit 1
    echo 'create_main_cluster = false' >>"$clusters_file"
    ;;
  esac
  # shellcheck disable=SC2086 # a list of names
  apt_install $1
)

# unpack_packages DIRECTORY PACKAGE...: what is in the packages, below the directory,
# unless that is there.
unpack_packages() (
  [ ! -d "$1" ] || exit 0
  scratch=$(mktemp -d) || exit 1
  trap 'rm -rf "$scratch"' EXIT
  ! id _apt >/dev/null 2>&1 || chown _apt "$scratch" 2>/dev/null
  # shellcheck disable=SC2048,SC2086 # lists of names
  download() { (cd "$scratch" && apt-get download -q $*); }
  directory=$1
  shift
  download "$@" || { apt-get update -q && download "$@"; } || exit 1
  for package in "$scratch"/*.deb; do
    dpkg-deb -x "$package" "$directory.new" || exit 1
  done
  mv "$directory.new" "$directory"
)

put_back() { [ ! -e "$1.before" ] || mv -f "$1.before" "$1"; }

apt_install() {
  apt_get install "$@" || { apt_get update && apt_get install "$@"; }
}

apt_get() {
  DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends "$@"
}

# Also where systemd does not run.
enabled_services() {
  ! command -v systemctl >/dev/null ||
    systemctl --root=/ list-unit-files --state=enabled --no-legend --no-pager \
      --type=service,socket,timer | cut -d ' ' -f 1 | sort
}

# Those that were not enabled before.
disable_new_services() {
  local new
  new=$(comm -13 <(echo "$1") <(enabled_services) | paste -s -d ' ')
  [ -n "$new" ] || return 0
  echo "these services came with the packages, and stay off: $new"
  # shellcheck disable=SC2086 # a list of names
  systemctl --quiet disable $new
}
