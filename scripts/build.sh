# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# build.sh - from a clone to a build directory; to be sourced by bash, at the
# top of the tree.

# Generates "configure" if it is missing or older than its sources. Safe if two
# commands start at once in one clone.
bootstrap() (
  exec 9<configure.ac && flock 9 || exit 1
  if [ -e configure ] && [ -e Makefile.in ] &&
    [ ! configure.ac -nt configure ] && [ ! Makefile.am -nt Makefile.in ]; then
    exit 0
  fi
  mkdir -p m4 && autoreconf -fi
)

# build DIRECTORY [CONFIGURE-ARGUMENT...]: configures (again only if the
# arguments or "configure" changed) and makes everything.
build() {
  local directory=$1 top=$PWD stamp
  shift
  stamp="$top/configure $*"
  mkdir -p "$directory" || return 1
  if [ ! -e "$directory/Makefile" ] || [ configure -nt "$directory/Makefile" ] ||
    [ "$(cat "$directory/.configured-as" 2>/dev/null)" != "$stamp" ]; then
    (cd "$directory" && "$top/configure" -q "$@") || return 1
    echo "$stamp" >"$directory/.configured-as"
  fi
  make -C "$directory" -s -j"$(nproc)"
}
