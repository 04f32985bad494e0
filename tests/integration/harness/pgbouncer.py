# SPDX-License-Identifier: MIT
"""A private pgbouncer in transaction mode, in front of a private PostgreSQL.
Like PostgreSQL, it listens only on a socket in its own directory."""

import itertools
from pathlib import Path

from .postgres import USER, Database, own
from .process import Process
from .wait import wait_until

PROGRAM = "/usr/sbin/pgbouncer"
PORT = 6432  # a part of the socket's name, no more


class Pgbouncer:
    """Its clients get any of "sessions" sessions of a database, another one for
    each transaction."""

    _numbers = itertools.count(1)

    def __init__(self, base, postgres, sessions):
        self.directory = Path(base) / f"pgbouncer{next(self._numbers)}"
        self.directory.mkdir()
        self.process = None
        users = self.directory / "users"
        users.write_text(f'"{USER}" ""\n')
        config = self.directory / "pgbouncer.ini"
        config.write_text(
            f"""\
[databases]
* = host={postgres.directory} port={postgres.port}
[pgbouncer]
listen_addr =
listen_port = {PORT}
unix_socket_dir = {self.directory}
auth_type = trust
auth_file = {users}
pool_mode = transaction
default_pool_size = {sessions}
server_login_retry = 1
"""
        )
        for path in (self.directory, users, config):
            own(path)

    def start(self):
        self.process = Process(
            [PROGRAM, self.directory / "pgbouncer.ini"],
            self.directory / "log",
            user=USER,
        )
        wait_until(
            self._listens,
            30,
            lambda: f"pgbouncer does not listen:\n{self.process.log()}",
        )
        return self

    def _listens(self):
        assert self.process.is_running(), self.process.log()
        return (self.directory / f".s.PGSQL.{PORT}").exists()

    def kill(self):
        """kill -9: all of its connections are gone at once, both ways."""
        self.process.kill()
        (self.directory / f".s.PGSQL.{PORT}").unlink(missing_ok=True)

    def stop(self):
        if self.process is not None:
            self.process.kill()

    def database(self, database):
        """The same database, through it."""
        return Database(
            f"host={self.directory} port={PORT} user={USER} dbname={database.name}",
            database.name,
        )
