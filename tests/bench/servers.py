# SPDX-License-Identifier: MIT
"""The processes of the benchmark, those of the integration tests' harness: a
PostgreSQL with the settings of one that is in use, collectds, and the bare HTTP
server."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests/integration"))

from harness import collectd, postgres  # noqa: E402

# The same server for everything that is compared. Durability is PostgreSQL's
# default. The log is large enough that no checkpoint falls into a measurement,
# and is kept, so that no measurement pays for new files; nothing is vacuumed
# meanwhile, since the tables are emptied after each measurement.
POSTGRES_SETTINGS = {
    "shared_buffers": "512MB",
    "max_connections": "100",
    "min_wal_size": "4GB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "1h",
    "autovacuum": "off",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
}


class BenchError(AssertionError):
    """Says why there is no figure; the harness, too, fails by an assertion."""


def wait_for(condition, what, process=None, seconds=60.0, pause=0.02):
    """Waits until the condition is true; the process must live meanwhile."""
    deadline = time.monotonic() + seconds
    while not condition():
        if process is not None and not process.is_running():
            raise BenchError(f"{what}: the process has ended with status "
                             f"{process.status()}")
        if time.monotonic() > deadline:
            raise BenchError(f"{what}: not within {seconds:.0f} s")
        time.sleep(pause)


def cpu_seconds(process):
    """What the process has used so far, its ended threads included."""
    text = pathlib.Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii")
    user, system = text.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def tree_cpu_seconds(process):
    """The same of a process and its children, of those that have ended, too."""
    total = 0
    place = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
    for pid in [process.pid, *place.read_text(encoding="ascii").split()]:
        try:
            text = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
        except FileNotFoundError:
            continue  # it counts with its parent by now
        fields = text.rpartition(")")[2].split()
        total += sum(map(int, fields[11:15] if int(pid) == process.pid
                         else fields[11:13]))
    return total / os.sysconf("SC_CLK_TCK")


class Directory:
    """A directory of the benchmark's own, which is removed at the end."""

    def __init__(self, base):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="aurore-bench.", dir=base))
        self.path.chmod(0o711)  # the user of PostgreSQL passes through

    def remove(self):
        shutil.rmtree(self.path, ignore_errors=True)


class Postgres(postgres.Postgres):
    """A cluster with one database, "bench"."""

    def __init__(self, directory):
        super().__init__(directory, POSTGRES_SETTINGS, wal_segment_mb=16)
        self.keeps_names = False

    def start(self):
        super().start()
        self.bench = self.create_database("bench")

    def clear(self):
        """Empty tables, and nothing left to be written."""
        self.bench.execute("TRUNCATE aurore.event, aurore.event_count, aurore.lane, "
                           "aurore.dead_letter")
        if not self.keeps_names:
            self.bench.execute("TRUNCATE aurore.event_key, aurore.event_key_before")
        self.bench.execute("CHECKPOINT")


class Collectd(collectd.Collectd):
    """With both plugins, or (by default) an empty one."""

    def __init__(self, directory, load=(), **options):
        super().__init__(directory, load=load, interval=10, **options)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.terminate()
        self.wait(90)
        shutil.rmtree(self.buffer.get("SpoolDirectory", ""), ignore_errors=True)

    def accepted(self):
        return int(self.metrics().get("events_enqueued_total"))

    def cpu_seconds(self):
        return cpu_seconds(self.process)

    def memory(self):
        """Bytes: resident, of these shared memory, and in memory files (which
        are not mapped, and so not resident)."""
        place = pathlib.Path(f"/proc/{self.process.pid}")
        status = dict(line.split(":", 1)
                      for line in (place / "status").read_text().splitlines())
        memory_files = sum(path.stat().st_blocks * 512
                           for path in (place / "fd").iterdir()
                           if os.path.realpath(path).startswith("/memfd:"))
        return {"resident": int(status["VmRSS"].split()[0]) * 1024,
                "shared": int(status["RssShmem"].split()[0]) * 1024,
                "memory files": memory_files}


class BareHttp:
    """The bare handler; it ends with its standard input."""

    def __init__(self, program, threads, connections, answer_size):
        self.command = [program, str(threads), str(connections), str(answer_size)]
        self.process = None
        self.port = 0

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line:
            raise BenchError("bare_http did not start")
        self.port = int(line)
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"
