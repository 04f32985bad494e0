# SPDX-License-Identifier: MIT
"""A private PostgreSQL. It listens only on a socket in its own directory, so
that there is no port that another process could take while it is down."""

import itertools
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import psycopg2

from .process import Process
from .wait import wait_until

USER = "postgres"
PORT = 5432  # a part of the socket's name, no more

# Nothing here survives a power cut; who cuts the power adds DURABLE.
SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "max_connections": "60",
    "min_wal_size": "8MB",
    "max_wal_size": "256MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}

DURABLE = {
    "fsync": "on",
    "full_page_writes": "on",
    "recovery_init_sync_method": "syncfs",  # the start after a crash is quicker
}

_STOP_SIGNALS = {
    "smart": signal.SIGTERM,
    "fast": signal.SIGINT,
    "immediate": signal.SIGQUIT,
}


def _programs():
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"),
        key=lambda path: float(path.parent.name),
    )
    if not found:
        raise RuntimeError("install the Debian package postgresql")
    return found[-1]


def own(path):
    """Gives it to the user that the servers run as."""
    if os.getuid() == 0:
        shutil.chown(path, USER, USER)


class Postgres:
    """A cluster of its own, copied from one that was made once a session, with
    further settings; or a standby that follows the cluster "primary". "data":
    its data directory, when it shall be elsewhere (on another disk)."""

    _templates = {}
    _numbers = itertools.count(1)

    def __init__(self, base, settings=None, primary=None, data=None, wal_segment_mb=1):
        self.settings = {**SETTINGS, **(settings or {})}
        self.directory = Path(base) / f"pg{next(self._numbers)}"
        self.directory.mkdir()
        own(self.directory)
        self.port = PORT
        self.data = Path(data) if data else self.directory / "data"
        self.process = None
        self._wal_writer = None  # its pid, while it is frozen
        self._databases = itertools.count(1)
        if primary is None:
            self._copy_template(Path(base), wal_segment_mb)
        else:
            self._copy_primary(primary)

    def _run(self, *command):
        identity = {}
        if os.getuid() == 0:
            identity = {"user": USER, "group": USER, "extra_groups": []}
        subprocess.run(
            [str(part) for part in command],
            check=True,
            cwd="/",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            **identity,
        )

    def _copy_template(self, base, wal_segment_mb):
        if wal_segment_mb not in self._templates:
            template = base / f"template{wal_segment_mb}"
            template.mkdir()
            own(template)
            self._run(
                _programs() / "initdb",
                f"--pgdata={template}",
                f"--username={USER}",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--no-instructions",
                "--no-sync",
                f"--wal-segsize={wal_segment_mb}",
            )
            self._templates[wal_segment_mb] = template
        self._run("cp", "-a", self._templates[wal_segment_mb], self.data)

    def _copy_primary(self, primary):
        self._run(
            _programs() / "pg_basebackup",
            f"--pgdata={self.data}",
            f"--dbname={primary.conninfo('postgres')}",
            "--checkpoint=fast",
            "--no-sync",
            "--write-recovery-conf",
        )

    def start(self):
        command = [_programs() / "postgres", "-D", self.data, "-p", PORT]
        command += ["-k", self.directory]
        for name, value in self.settings.items():
            command += ["-c", f"{name}={value}"]
        self.process = Process(
            command, self.directory / "log", user=USER, cwd="/"
        )
        wait_until(
            self.answers,
            30,
            lambda: f"PostgreSQL does not start:\n{self.process.log()}",
        )
        return self

    def answers(self):
        assert self.process.is_running(), self.process.log()
        try:
            psycopg2.connect(self.conninfo("postgres")).close()
        except psycopg2.OperationalError:
            return False
        return True

    def stop(self, mode="fast"):
        """Mode "fast" ends the sessions in order, "immediate" cuts them off."""
        if self.process is None:
            return
        self.process.signal(_STOP_SIGNALS[mode])
        self._end_frozen_wal_writer()
        self.process.wait(60)
        self.process = None

    def kill(self):
        """kill -9 for the server and each of its sessions."""
        children = self.process.children()
        self.process.kill()
        self._wal_writer = None
        for child in children:
            try:
                os.kill(child, signal.SIGKILL)
            except ProcessLookupError:
                pass
        wait_until(
            lambda: not any(Path(f"/proc/{pid}").exists() for pid in children),
            10,
            "sessions of a killed PostgreSQL are still there",
        )
        self.process = None

    def discard(self):
        """It has ended for good: nothing is left of it."""
        assert self.process is None, "it still runs"
        shutil.rmtree(self.directory, ignore_errors=True)

    def restart(self, mode="fast"):
        self.stop(mode)
        self.start()

    def freeze(self):
        """The server and its sessions stop answering, with every connection
        still open."""
        os.kill(self.process.pid, signal.SIGSTOP)
        self._signal_sessions(signal.SIGSTOP)

    def freeze_wal_writer(self):
        """What is committed asynchronously stays in memory until the next start,
        but for what others write along with theirs."""
        admin = Database(self.conninfo("postgres"))
        writer = (
            "FROM pg_stat_activity WHERE backend_type = 'walwriter' "
            "AND wait_event = 'WalWriterMain'"
        )

        def freezes_while_it_waits():
            """Elsewhere it has a lock that every commit needs."""
            for (pid,) in admin.rows(f"SELECT pid {writer}"):
                os.kill(pid, signal.SIGSTOP)
                if admin.value(f"SELECT count(*) {writer}"):
                    self._wal_writer = pid
                    return True
                os.kill(pid, signal.SIGCONT)
            return False

        wait_until(freezes_while_it_waits, 10, "the WAL writer never waits")
        admin.close()

    def _end_frozen_wal_writer(self):
        """It would hold up the end, but wakes only to the signal to end: what it
        would do else is to write."""
        if self._wal_writer is None:
            return
        status = Path(f"/proc/{self._wal_writer}/status")

        def is_told():
            pending = re.search(r"^ShdPnd:\s*(\w+)", status.read_text(), re.M)
            return int(pending[1], 16)

        wait_until(is_told, 10, "the frozen WAL writer is not told to end")
        os.kill(self._wal_writer, signal.SIGCONT)
        self._wal_writer = None

    def thaw(self):
        self._signal_sessions(signal.SIGCONT)
        os.kill(self.process.pid, signal.SIGCONT)

    def _signal_sessions(self, number):
        for pid in self.process.children():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass  # it has ended by itself

    @property
    def socket(self):
        """Where it listens."""
        return self.directory / f".s.PGSQL.{self.port}"

    def conninfo(self, database):
        return (
            f"host={self.directory} port={PORT} user={USER} dbname={database}"
        )

    def create_database(self, name=None):
        """A new and empty database."""
        name = name or f"events{next(self._databases)}"
        self._administrate(f"CREATE DATABASE {name}")
        return Database(self.conninfo(name), name)

    def create_again(self, database):
        """A database that was dropped, empty again."""
        self._administrate(f"CREATE DATABASE {database.name}")

    def drop_database(self, database):
        database.close()
        self._administrate(f"DROP DATABASE {database.name} WITH (FORCE)")

    def _administrate(self, sql):
        admin = Database(self.conninfo("postgres"))
        admin.execute(sql)
        admin.close()


class Database:
    """One database and what the tests ask of it."""

    def __init__(self, conninfo, name=None):
        self.conninfo = conninfo
        self.name = name
        self._connection = None

    def _cursor(self):
        if self._connection is None or self._connection.closed:
            self._connection = psycopg2.connect(
                self.conninfo, application_name="test"
            )
            self._connection.autocommit = True
        return self._connection.cursor()

    def close(self):
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _run(self, sql, values):
        try:
            cursor = self._cursor()
            cursor.execute(sql, values)
        except psycopg2.Error as error:
            lost = self._connection is not None and (
                self._connection.closed or error.pgcode is None
            )
            if not lost:
                raise
            # The server was restarted since the last question.
            self.close()
            cursor = self._cursor()
            cursor.execute(sql, values)
        return cursor

    def execute(self, sql, values=None):
        self._run(sql, values).close()

    def rows(self, sql, values=None):
        with self._run(sql, values) as cursor:
            return cursor.fetchall()

    def value(self, sql, values=None):
        return self.rows(sql, values)[0][0]

    def has_schema(self):
        return self.value(
            "SELECT to_regclass('aurore.event_drop') IS NOT NULL"
        )

    def stored(self):
        """How many events are stored; 0 as long as there is no schema."""
        if not self.has_schema():
            return 0
        return self.value("SELECT count(*) FROM aurore.event")

    def dead_letters(self):
        return self.value("SELECT count(*) FROM aurore.dead_letter")

    def counted_by_service(self):
        """The counters that stand beside the events, folded or not, summed."""
        return {
            service: int(n)
            for service, n in self.rows(
                """SELECT service, sum(n) FROM (
                     SELECT service, n FROM aurore.event_count UNION ALL
                     SELECT service, n FROM aurore.event_total) AS c (service, n)
                   GROUP BY service"""
            )
        }

    def counted(self):
        """The sum of all of them."""
        return sum(self.counted_by_service().values())

    def wait_stored(self, count, timeout=30):
        """Until so many events are stored, and never more than that."""

        def enough():
            stored = self.stored()
            assert stored <= count, f"{stored} are stored, {count} were sent"
            return stored == count

        wait_until(
            enough,
            timeout,
            lambda: f"{self.stored()} of {count} events are stored",
        )
