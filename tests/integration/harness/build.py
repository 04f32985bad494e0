# SPDX-License-Identifier: MIT
"""Where the plugins under test are, and how they were built."""

import functools
import os
import subprocess
from pathlib import Path

TOP = Path(__file__).resolve().parents[3]

# "address,undefined", "thread" or "": what the plugins were built with.
SANITIZE = os.environ.get("AURORE_SANITIZE", "")

# Everything takes longer under a sanitizer; bounds of waits are multiplied.
PATIENCE = 4 if SANITIZE else 1

_SUPPRESSED_LEAKS = """\
# collectd never frees the name of a plugin that it has loaded.
leak:cf_read
# Nor its plugin postgresql the queries.
leak:postgresql.so
"""

# What is not instrumented orders its memory in ways that ThreadSanitizer cannot
# see: only races with an instrumented end are of interest.
_SUPPRESSED_RACES = """\
called_from_lib:libcollectdclient
called_from_lib:libgnutls
called_from_lib:libmicrohttpd
called_from_lib:libpq
called_from_lib:write_prometheus
called_from_lib:unixsock
called_from_lib:logfile
"""

# Any of these in a program's output is a finding of a sanitizer.
SANITIZER_MARKS = (
    "AddressSanitizer",
    "LeakSanitizer",
    "ThreadSanitizer",
    "UndefinedBehaviorSanitizer",
    "runtime error:",
)


_OBJECTS = ("event_buffer", "event_writer", "libaurore")


def _candidates():
    given = os.environ.get("AURORE_BUILD_DIR")
    if given:
        return [Path(given).resolve()]
    found = list(TOP.glob("build*")) + list(TOP.glob("var/*/build"))
    found += [TOP / "var/build", TOP / "var/check/gcc", TOP]
    return found


@functools.lru_cache(None)
def plugin_directory():
    """The directory with the built plugins, the newest one when the
    environment does not name any; the same for all tests."""
    places = [build / ".libs" for build in _candidates()]
    libraries = [
        place / "libaurore.so"
        for place in places
        if all((place / f"{name}.so").is_file() for name in _OBJECTS)
    ]
    if not libraries:
        raise RuntimeError(
            "no built plugins were found: set AURORE_BUILD_DIR to the build "
            "directory, or build first (./configure && make)"
        )
    return max(libraries, key=lambda path: path.stat().st_mtime).parent


# Where tests that run side by side find what was installed before them.
INSTALLED = "AURORE_INSTALLED"


def install(destination):
    """"make install" below the directory. libtool links the plugins anew in the
    build directory meanwhile: nothing may load them from there."""
    made = subprocess.run(
        ["make", "-C", plugin_directory().parent, "-s", "install"]
        + [f"DESTDIR={destination}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout


def _runtime(name):
    path = subprocess.run(
        ["gcc", f"-print-file-name={name}"],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout.strip()
    return os.path.realpath(path)


def sanitizer_environment(directory, whole_stacks=False):
    """What a program that loads the plugins needs in its environment. Writes
    the lists of what is known and not ours into the directory. Stacks that go
    through collectd, which has no frame pointers, are whole only when asked for:
    that is slow."""
    if not SANITIZE:
        return {}
    leaks = Path(directory) / "suppressed-leaks"
    leaks.write_text(_SUPPRESSED_LEAKS)
    races = Path(directory) / "suppressed-races"
    races.write_text(_SUPPRESSED_RACES)
    names = {
        "address": "libasan.so",
        "undefined": "libubsan.so",
        "thread": "libtsan.so",
    }
    preload = " ".join(_runtime(names[part]) for part in SANITIZE.split(","))
    return {
        "LD_PRELOAD": preload,
        "ASAN_OPTIONS": "detect_leaks=1:exitcode=99"
        f":fast_unwind_on_malloc={0 if whole_stacks else 1}",
        "LSAN_OPTIONS": f"suppressions={leaks}:print_suppressions=0",
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1:exitcode=99",
        "TSAN_OPTIONS": f"suppressions={races}:exitcode=99",
    }


def sanitizer_command():
    """What stands before the command: gcc 12's ThreadSanitizer does not start
    under the widest randomisation of addresses."""
    return ["setarch", "--addr-no-randomize"] if SANITIZE == "thread" else []
