# SPDX-License-Identifier: MIT
"""The programs that a test has started, so that they are always ended."""

import shutil

from .alertmanager import Alertmanager
from .collectd import Collectd
from .fronts import Front
from .pgbouncer import Pgbouncer
from .postgres import Postgres
from .prometheus import Prometheus

# A database that comes back is found soon, and one that does not come back is
# not waited for all too long.
QUICK = {"BackoffMax": 0.5, "BreakerTimeout": 0.5, "ShutdownTimeout": 10}


class Programs:
    def __init__(self, base, keep=False):
        self.base = base
        self._keep = keep  # the directories, with the logs
        self._collectds = []
        self._others = []
        self._databases = []

    def collectd(self, database, buffer=None, writer=None, **keywords):
        """A collectd that stores into the database (a Database or a connection
        string); not started."""
        options = dict(QUICK)
        options["ConnInfo"] = getattr(database, "conninfo", database)
        options.update(writer or {})
        made = Collectd(self.base, buffer, options, **keywords)
        made.database = database
        return self.adopt(made)

    def adopt(self, collectd):
        """A collectd that was made elsewhere ends with the others."""
        self._collectds.append(collectd)
        return collectd

    def database(self, postgres):
        """An empty database of the cluster; dropped at the end, since the files
        of many take long to remove."""
        made = postgres.create_database()
        self._databases.append((postgres, made))
        return made

    def postgres(self, **keywords):
        """Another cluster, running."""
        made = Postgres(self.base, **keywords)
        self._others.append(made)
        return made.start()

    def pgbouncer(self, postgres, sessions=3):
        """Running, in front of the cluster."""
        made = Pgbouncer(self.base, postgres, sessions)
        self._others.append(made)
        return made.start()

    def front(self, name, port):
        """A balancer (fronts.NAMES), running, in front of the server at a port."""
        made = Front(name, self.base, port)
        self._others.append(made)
        return made

    def alertmanager(self):
        made = Alertmanager(self.base)
        self._others.append(made)
        return made.start()

    def prometheus(self, *collectds, **keywords):
        """Running, and scraping the collectds."""
        made = Prometheus(self.base, collectds, **keywords)
        self._others.append(made)
        return made.start()

    def copy_of(self, postgres):
        """A copy of a running cluster, as it is now: a standby of it that was not
        started."""
        made = Postgres(self.base, primary=postgres)
        self._others.append(made)
        return made

    def discard(self, postgres):
        """A cluster that has ended for good goes before the others."""
        self._others.remove(postgres)
        postgres.discard()

    def logs(self):
        """(name, log) of each program that was started."""
        return [
            (made.directory.name, made.log())
            for made in self._collectds
            if made.process is not None
        ]

    def finish(self):
        """Ends everything, the sinks last; fails when a collectd ends badly."""
        failures = []
        for made in self._collectds:
            try:
                made.finish()
            except AssertionError as failure:
                failures.append(failure)
        for postgres, made in self._databases:
            postgres.drop_database(made)
        for made in self._others:
            made.stop()
        for made in self._collectds + self._others if not self._keep else ():
            shutil.rmtree(made.directory, ignore_errors=True)
        if failures:
            raise failures[0]
