# SPDX-License-Identifier: MIT
"""What the faults happen to: collectd, PostgreSQL, a proxy between them and
clients in front of them; and the accounts that must balance after each
round."""

import random
import threading
import time

from harness.journal import (
    ACKNOWLEDGED,
    UNANSWERED,
    Clients,
    Journal,
    refuse_poison,
)
from harness.oracle import judge, read_dead, read_stored
from harness.proxy import Proxy
from harness.wait import wait_until

# Everything is short, so that much happens in a round.
WRITER = {
    "BatchSize": 300,
    "DrainInterval": 0.01,
    "StatementTimeout": 1.0,
    "ConnectTimeout": 1.0,
    "BackoffMin": 0.01,
    "BackoffMax": 0.2,
    "BreakerFailures": 5,
    "BreakerSuccesses": 1,
    "BreakerTimeout": 0.3,
    "ShutdownTimeout": 2,
}


# What a sync may take on a busy machine, seconds.
SYNC_S = 1.0


class Violation(Exception):
    """A promise that was not kept."""


class _Life:
    """A collectd from its start on. "stored" and "dead": what the database had
    got before, None when nobody could ask."""

    def __init__(self, stored, dead, from_rest):
        self.stored = stored
        self.dead = dead
        self.from_rest = from_rest
        self.began = self.ready = time.monotonic()
        self.least = 0  # events that it has accepted
        self.most = 0

    def add(self, requests):
        """Those of a round. An answer that was read after "ready" came from
        this life; one that was read since "began" may have."""
        for request in requests:
            if request.outcome == ACKNOWLEDGED and request.at >= self.began:
                valid = request.size - len(request.refused)
                self.most += valid
                if request.at >= self.ready:
                    self.least += valid
            elif request.outcome == UNANSWERED:
                self.most += request.size


class World:
    """A context: everything is started in it, and has ended behind it.

    spool      the spool's directory, when it shall be elsewhere
    postgres   keywords of Postgres
    buffer, writer   options of the plugins
    pause      of the clients, between two requests
    patient    outages may be longer than the writer's deadlines
    """

    def __init__(
        self,
        programs,
        seed,
        spool=None,
        postgres=None,
        buffer=None,
        writer=None,
        pause=0.01,
        patient=False,
    ):
        self.programs = programs
        self.seed = seed
        self.chance = random.Random(seed)
        self.pause_between = pause
        self.patient = patient
        self.journal = Journal()
        self.totals = {}
        self.clients = None
        self._clients_made = 0
        self._counted = {}  # by service, at the last verdict
        self._checked = [0, 0]  # stored and dead up to the last verdict
        self._set_aside = []  # tables with rows that somebody took away
        self.at_rest = True  # nothing is under way
        self._may_lose = []  # times of answers, from and to
        self.postgres = programs.postgres(**(postgres or {}))
        self.database = self.postgres.create_database()
        self.role = f"writer_of_{self.database.name}"
        self.proxy = Proxy(self.postgres.directory / ".s.PGSQL.5432")
        self._make_role()
        self.api = programs.collectd(
            self._conninfo(), buffer, {**WRITER, **(writer or {})}
        )
        self.api.buffer["SpoolDirectory"] = spool or self.api.directory / "spool"
        self.life = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.clients is not None:
            self.clients.ask_to_stop()
        self.proxy.let_go()
        self.proxy.close()

    def _make_role(self):
        self.database.execute(f"CREATE ROLE {self.role} LOGIN")
        self.database.execute(
            f"GRANT CREATE ON DATABASE {self.database.name} TO {self.role}"
        )

    def _conninfo(self):
        return (
            f"host=127.0.0.1 port={self.proxy.port} user={self.role}"
            f" dbname={self.database.name} sslmode=disable gssencmode=disable"
        )

    # --- collectd ---

    def begin(self, lanes=1, durability="commit", sync_interval=0.2):
        """The first start, or another one with other options, at rest."""
        if self.api.is_running():
            self.stop_collectd()
        self.api.buffer.update(
            Lanes=lanes, Durability=durability, SyncInterval=sync_interval
        )
        first = self.life is None
        self.start_collectd()
        if first:
            wait_until(
                self.database.has_schema, 30, "collectd makes no schema"
            )
            self.api.wait_metric("database_connection_status", 1)
            refuse_poison(self.database)

    def start_collectd(self):
        """What the last one has left in the database is finished before."""
        stored = dead = None
        if self.postgres.process is not None:
            wait_until(
                lambda: not self.sessions("state <> 'idle'"),
                30,
                "a session of a collectd that has ended goes on",
            )
            stored, dead = self._in_database()
        self.life = _Life(stored, dead, self.at_rest)
        self.api.start()
        self.life.ready = time.monotonic()

    def stop_collectd(self, timeout=30):
        self.api.terminate()
        status = self.api.wait(timeout)
        if status != 0:
            raise Violation(f"collectd has ended with {status} at a SIGTERM")

    def sessions(self, where="true"):
        """The process ids of the writers' sessions."""
        return [
            pid
            for (pid,) in self.database.rows(
                "SELECT pid FROM pg_stat_activity WHERE datname ="
                " current_database() AND usename = %s AND " + where,
                (self.role,),
            )
        ]

    # --- PostgreSQL ---

    def end_sessions(self):
        for pid in self.sessions():
            self.database.execute(f"SELECT pg_terminate_backend({pid})")

    def take_partition_away(self):
        """Somebody drops the partition of today; its rows are remembered, since
        they had been stored."""
        name = f"public.taken{len(self._set_aside)}_{self.journal.base}"
        partitions = self.database.rows("SELECT name FROM aurore.partitions()")
        drops = "".join(f"DROP TABLE aurore.{one};" for (one,) in partitions)
        self.database.execute(
            "BEGIN; LOCK TABLE aurore.event IN ACCESS EXCLUSIVE MODE;"
            f"CREATE TABLE {name} AS SELECT * FROM aurore.event; {drops} COMMIT"
        )
        self._set_aside.append(name)

    # --- the load ---

    def load(self, **keywords):
        """Clients that send until the verdict (keywords: of Clients)."""
        self._clients_made += 1
        self.at_rest = False
        self.clients = Clients(
            self.journal,
            lambda: self.api.port,
            f"{self.seed}.{self._clients_made}",
            pause=self.pause_between,
            **keywords,
        )
        self.clients.__enter__()
        return self.clients

    def some_load(self, events=None):
        """Until some more events are acknowledged: a random number, so that
        what follows happens at any moment of a batch."""
        more = events or int(10 ** self.chance.uniform(0.5, 2.8))
        self.clients.wait_acknowledged(more)
        self.moment(0.05)

    def wait_failure(self):
        """Until the writer has failed once more: the fault has reached it."""

        def failures():
            return self.api.metrics().sum("batch_failures_total")

        before = failures()
        wait_until(
            lambda: failures() > before, 60, "the writer notices nothing"
        )

    def moment(self, longest):
        """Some time passes: the one thing that is not waited for."""
        threading.Event().wait(self.chance.uniform(0, longest))

    def outage(self):
        """So long something does not answer. The writer waits for its
        StatementTimeout and five seconds more."""
        if not self.patient:
            self.moment(1.0)
        elif self.chance.random() < 0.25:
            self.moment(9.0)
        else:
            self.moment(2.5)

    # --- the account ---

    def _tables(self):
        return ["aurore.event", *self._set_aside]

    def _in_database(self):
        """All that was ever stored, and all dead letters."""
        stored, dead = self._checked
        if self.database.has_schema():
            for table in self._tables():
                stored += self.database.value(f"SELECT count(*) FROM {table}")
            dead += self.database.dead_letters()
        return stored, dead

    def power_was_lost(self, begin, end):
        """With durability "interval" what was accepted within the last
        SyncInterval may be lost then: and while its sync was under way, which
        a busy machine may make long."""
        if self.api.buffer.get("Durability") == "interval":
            bound = self.api.buffer["SyncInterval"] + SYNC_S
            self._may_lose.append((begin - bound, end))

    def verdict(self):
        """Ends the load, waits until all is stored, and judges. Raises
        Violation; else returns the verdict, and the next round may begin."""
        self.clients.stop()
        self.clients = None
        return self.judge_without_load(90)

    def judge_without_load(self, timeout):
        figures = self.api.rest(timeout)
        verdict = judge(
            self.journal,
            read_stored(self.database, self._tables()),
            read_dead(self.database),
            self._may_lose,
        )
        wrongs = verdict.wrongs()
        wrongs += self.wrong_figures(figures, verdict)
        self.life.add(self.journal.requests)
        accepted = figures.get("events_enqueued_total")
        if not self.life.least <= accepted <= self.life.most:
            wrongs.append(
                f"accepted: {accepted}, and clients were told of "
                f"{self.life.least} to {self.life.most}"
            )
        self._add_up(verdict)
        if wrongs:
            raise Violation("; ".join(wrongs))
        self._forget()
        return verdict

    def wrong_figures(self, figures, verdict):
        """The counters, of collectd and beside the events, must be exact."""
        wrongs = []

        def must(what, found, expected):
            if found != expected:
                wrongs.append(f"{what}: {found}, not {expected}")

        accepted = figures.get("events_enqueued_total")
        processed = figures.get("events_processed_total")
        dead_lettered = figures.get("dead_letters_total")
        must("damaged ranges", figures.get("spool_damaged_total"), 0)
        stored, dead = self._in_database()
        if self.life.stored is not None:
            must("stored in this life", processed, stored - self.life.stored)
            must("dead in this life", dead_lettered, dead - self.life.dead)
        if self.life.from_rest:
            must("accepted", accepted, processed + dead_lettered)
        elif accepted > processed + dead_lettered:
            wrongs.append(
                f"accepted: {accepted}, more than {processed} stored and "
                f"{dead_lettered} dead letters"
            )
        counted = self.database.counted_by_service()
        there = {}
        for table in self._tables():
            for service, n in self.database.rows(
                f"SELECT service, count(*) FROM {table} GROUP BY service"
            ):
                there[service] = there.get(service, 0) + n
        for service in sorted(set(counted) | set(self._counted) | set(there)):
            must(
                f"counted of {service}",
                counted.get(service, 0) - self._counted.get(service, 0),
                there.get(service, 0),
            )
        must("verdict", verdict.stored, sum(there.values()))
        return wrongs

    def _add_up(self, verdict):
        for name in ("sent", "acknowledged", "refused", "unanswered", "stored", "dead"):
            self.totals[name] = self.totals.get(name, 0) + getattr(verdict, name)
        for name in (*verdict.WRONGS, "lost_in_bound"):
            found = len(getattr(verdict, name))
            self.totals[name] = self.totals.get(name, 0) + found

    def _forget(self):
        """What was judged goes out of the way; numbers go on, so that anything
        that comes again later is known for what it is."""
        self._checked = list(self._in_database())
        self._counted = self.database.counted_by_service()
        self.database.execute("TRUNCATE aurore.event, aurore.dead_letter")
        for table in self._set_aside:
            self.database.execute(f"DROP TABLE {table}")
        self._set_aside = []
        self.journal.clear()
        self._may_lose = []
        self.at_rest = True

    def check_port(self):
        """At rest collectd's own port shows the same figures."""
        names = (
            "events_enqueued_total",
            "events_processed_total",
            "dead_letters_total",
            "batches_processed_total",
        )

        def differences():
            port, api = self.api.values(), self.api.metrics()
            return [
                f"{name}: {port.get('collectd_aurore_' + name)}, not {api.get(name)}"
                for name in names
                if port.get("collectd_aurore_" + name) != api.get(name)
            ]

        wait_until(
            lambda: not differences(),
            30,
            lambda: f"collectd's port: {'; '.join(differences())}",
        )

    def now(self):
        return time.monotonic()
