# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# shellcheck disable=SC2034 # used by the scripts that source this file
#
# debian.sh - which Debian packages are needed for what, and how to install
# them without starting or enabling any service; to be sourced by bash.

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
  libclang-rt-dev libfaketime mount nginx-light openssl pgbouncer postgresql procps prometheus-alertmanager python3
  python3-jsonschema python3-prometheus-client python3-psycopg2 python3-pytest
  python3-pytest-xdist
  python3-requests python3-yaml shellcheck strace valgrind wrk xfsprogs'

# For the container image and the picture of the dashboard: ./check --long.
packages_long='chromium debhelper debootstrap docker-compose docker.io fakeroot
  fonts-dejavu-core iproute2 lintian python3-yaml'

# Prints the packages that are not installed.
missing_packages() {
  local package
  for package in "$@"; do
    dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null |
      grep -qx installed || echo "$package"
  done
}

# Installs the missing packages, and says so; does nothing if none is missing.
# No service is started (not even once), and no new one is enabled: it would
# start at the next boot.
install_packages() {
  local missing
  # shellcheck disable=SC2005,SC2046,SC2048,SC2086 # lists of names, made one line
  missing=$(echo $(missing_packages $*))
  [ -n "$missing" ] || return 0
  if [ "$(id -u)" != 0 ]; then
    echo "packages are missing; as root: apt-get install $missing" >&2
    return 1
  fi
  echo "installing $missing"
  apt_install_quietly "$missing" && disable_new_services "$missing"
}

# While packages are set up a policy-rc.d denies every start of a service; the
# machine's own is kept if there is one.
apt_install_quietly() (
  policy=/usr/sbin/policy-rc.d
  if [ ! -e $policy ] && [ ! -L $policy ]; then
    trap 'rm -f $policy' EXIT
    printf '#!/bin/sh\n# only during an installation\nexit 101\n' >$policy
    chmod 755 $policy
  fi
  apt_install() {
    DEBIAN_FRONTEND=noninteractive \
      apt-get install -q -y --no-install-recommends "$@"
  }
  # shellcheck disable=SC2086 # a list of names
  apt_install $1 || { apt-get update -q && apt_install $1; }
)

disable_new_services() {
  local service
  command -v systemctl >/dev/null || return 0
  for service in postgresql collectd haproxy nginx pgbouncer prometheus \
    prometheus-alertmanager docker; do
    case " $1 " in
    *" $service "* | *" $service-core "* | *" $service-light "* | *" $service.io "*)
      systemctl --quiet disable "$service.service" "$service.socket" 2>/dev/null
      ;;
    esac
  done
  return 0
}
