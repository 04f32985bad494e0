# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# postgres.sh - a private PostgreSQL cluster for ./run and the tests; to be
# sourced by bash.
#
# As root, the server runs as user postgres, since PostgreSQL refuses to run as
# root; otherwise as the current user. One cluster per shell.
#
#   postgres_can_reach DIRECTORY       may the server's user enter it?
#   postgres_start DIRECTORY [FSYNC]   creates the cluster if it does not exist
#   postgres_create_database NAME      unless it exists
#   postgres_conninfo NAME             prints a libpq connection string
#   postgres_stop                      does nothing if none was started

postgres_bin=
postgres_pid=
postgres_port=
postgres_sockets=

# The newest installed server.
postgres_find() {
  local bin
  for bin in $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V); do
    [ ! -x "$bin/postgres" ] || postgres_bin=$bin
  done
  [ -n "$postgres_bin" ] || {
    echo "PostgreSQL was not found: install the Debian package postgresql" >&2
    return 1
  }
}

# Becomes the command, as the server's user: with the same process id, in a
# session of its own (Ctrl-C is for us, we stop the server last), terminated if
# this shell dies.
become_postgres() {
  unset "${!PG@}"
  cd / || exit 1
  if [ "$(id -u)" = 0 ]; then
    exec setsid setpriv --reuid=postgres --regid=postgres --init-groups \
      --pdeathsig INT "$@"
  fi
  exec setsid setpriv --pdeathsig INT "$@"
}

postgres_can_reach() {
  (become_postgres test -x "$1")
}

# A free port of 127.0.0.1, at or after the given one.
free_port() {
  local port=$1
  while (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
    port=$((port + 1))
    [ "$port" -le 65535 ] || return 1
  done
  echo "$port"
}

postgres_init() {
  local data=$1
  (
    become_postgres "$postgres_bin/initdb" -D "$data" --username=postgres \
      --auth=trust --encoding=UTF8 --locale=C.UTF-8 --no-instructions --no-sync
  ) >"$data.log" 2>&1 || {
    cat "$data.log" >&2
    return 1
  }
}

postgres_start() {
  local directory=$1 fsync=${2:-on} attempt
  postgres_find || return 1
  mkdir -p "$directory" && directory=$(cd "$directory" && pwd) || return 1
  [ "$(id -u)" != 0 ] || chown postgres: "$directory" || return 1
  local data=$directory/data log=$directory/server.log
  [ -e "$data/PG_VERSION" ] || postgres_init "$data" || return 1

  # A socket's path may have at most 107 bytes, and a clone may be nested
  # deeply.
  postgres_sockets=$directory
  if [ ${#directory} -gt 80 ]; then
    postgres_sockets=$(mktemp -d /tmp/aurore-socket.XXXXXX) || return 1
    [ "$(id -u)" != 0 ] || chown postgres: "$postgres_sockets"
  fi

  # Another process may take a port between its choice and its use.
  for attempt in 1 2 3 4 5; do
    postgres_port=$(free_port $((20000 + (RANDOM % 20000)))) || return 1
    (
      become_postgres "$postgres_bin/postgres" -D "$data" -p "$postgres_port" \
        -c listen_addresses=127.0.0.1 \
        -c unix_socket_directories="$postgres_sockets" \
        -c fsync="$fsync" -c timezone=UTC -c log_timezone=UTC
    ) >>"$log" 2>&1 </dev/null &
    postgres_pid=$!
    postgres_wait && return 0
    grep -q "could not bind\|could not create any TCP" "$log" || break
  done
  cat "$log" >&2
  echo "the private PostgreSQL cluster did not start (attempt $attempt)" >&2
  return 1
}

# Waits until the server accepts connections; false if it has exited instead.
postgres_wait() {
  local i
  for ((i = 0; i < 600; i++)); do
    if ! kill -0 "$postgres_pid" 2>/dev/null; then
      wait "$postgres_pid"
      postgres_pid=
      return 1
    fi
    ! "$postgres_bin/pg_isready" -q -h "$postgres_sockets" -p "$postgres_port" ||
      return 0
    sleep 0.1
  done
  return 1
}

postgres_conninfo() {
  echo "host=$postgres_sockets port=$postgres_port user=postgres dbname=$1"
}

# psql as the superuser; arguments as for psql, the database first.
postgres_psql() {
  local conninfo
  conninfo=$(postgres_conninfo "$1")
  shift
  env -u PGOPTIONS -u PGSERVICE "$postgres_bin/psql" -X -q -A -t -v ON_ERROR_STOP=1 "$conninfo" "$@"
}

postgres_create_database() {
  [ "$(postgres_psql postgres -c \
    "SELECT count(*) FROM pg_database WHERE datname = '$1'")" = 1 ] ||
    postgres_psql postgres -c "CREATE DATABASE \"$1\""
}

# SIGINT is PostgreSQL's fast shutdown: sessions are terminated, data is safe.
postgres_stop() {
  [ -n "$postgres_pid" ] || return 0
  kill -INT "$postgres_pid" 2>/dev/null
  while kill -0 "$postgres_pid" 2>/dev/null; do
    wait "$postgres_pid"
  done
  postgres_pid=
  case $postgres_sockets in
  /tmp/aurore-socket.*) rm -rf "$postgres_sockets" ;;
  esac
}
