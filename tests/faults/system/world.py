# SPDX-License-Identifier: MIT
"""What the faults happen to: collectds, PostgreSQL, a proxy between them and
clients in front of them; and the accounts that must balance after each
round."""

import random
import threading
import time

from harness.journal import Clients, Journal, refuse_poison
from harness.oracle import judge, read_dead, read_stored
from harness.postgres import Database
from harness.wait import wait_until

from .host import Host, Violation

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
    "RetentionTime": "00:00",
}


# What is summed up of the verdicts.
COUNTED = (
    "sent",
    "acknowledged",
    "refused",
    "unanswered",
    "retried",
    "duplicates",
    "stored",
    "dead",
)
# Division by zero: it names nothing that is in the row.
NO_REASON = "22012"
# What a sync may take on a busy machine, seconds.
SYNC_S = 1.0


class World:
    """A context: everything is started in it, and has ended behind it.

    spool      the spool's directory, when it shall be elsewhere
    postgres   keywords of Postgres
    buffer, writer   options of the plugins
    pause      of the clients, between two requests
    patient    outages may be longer than the writer's deadlines
    hosts      how many collectds there are before the one database

    A fault happens to one host, world.host, and what belongs to it: world.api,
    world.proxy, world.life.
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
        hosts=1,
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
        self.disliked = set()  # SQLSTATEs of this round (oracle.judge)
        self.may_fall = (writer or {}).get("AsyncCommit", False)
        self.postgres = programs.postgres(**(postgres or {}))
        self.database = self.postgres.create_database()
        self.role = f"writer_of_{self.database.name}"
        self._make_role()
        buffer = dict(buffer or {})
        if spool is not None:
            buffer["SpoolDirectory"] = spool
        self.hosts = [
            Host(self, number, buffer, {**WRITER, **(writer or {})})
            for number in range(hosts)
        ]
        self.host = self.hosts[0]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.clients is not None:
            self.clients.give_up()
        for host in self.hosts:
            host.proxy.let_go()
            host.proxy.close()

    def _make_role(self):
        self.database.execute(f"CREATE ROLE {self.role} LOGIN")
        self.database.execute(
            f"GRANT CREATE ON DATABASE {self.database.name} TO {self.role}"
        )

    # --- the hosts ---

    @property
    def api(self):
        return self.host.api

    @property
    def proxy(self):
        return self.host.proxy

    @property
    def life(self):
        return self.host.life

    def any_host(self):
        """Another one is the one that faults happen to."""
        self.host = self.chance.choice(self.hosts)

    def each_host(self):
        """One after the other is that one, in any order."""
        hosts = list(self.hosts)
        self.chance.shuffle(hosts)
        for self.host in hosts:
            yield self.host

    def begin(self, lanes=1, durability="commit", sync_interval=0.2):
        """The first start, or another one with other options, at rest."""
        first = self.life is None
        known = set().union(*(host.spools for host in self.hosts))
        for host in self.hosts:
            if host.api.is_running():
                host.stop()
            host.api.buffer.update(
                Lanes=lanes, Durability=durability, SyncInterval=sync_interval
            )
            host.start()
            wait_until(self.database.has_schema, 30, "collectd makes no schema")
            host.api.wait_metric("database_connection_status", 1)
            host.learn_spools(known)
            known |= host.spools
        if first:
            refuse_poison(self.database)

    def start_collectd(self):
        self.host.start()

    def stop_collectd(self, timeout=30):
        self.host.stop(timeout)

    def sessions(self, where="true"):
        """The process ids of the hosts' sessions."""
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

    def replace_postgres(self, server):
        """Another server, which runs, is there in the place of the one that was
        killed; it knows nothing of the last moments."""
        former, name = self.postgres, self.database.name
        self.database.close()
        self.postgres = server
        self.database = Database(server.conninfo(name), name)
        for host in self.hosts:
            host.database_fell_back()
            host.proxy.lead_to(server.socket)
        self.programs.discard(former)

    def wait_lanes_move(self):
        """Until something was stored by each lane of each host, from now on."""
        before = [host.places() for host in self.hosts]

        def standing():
            return [
                f"host {host.number} lane {lane}"
                for host, places in zip(self.hosts, before)
                for (lane, spool), place in host.places().items()
                if lane < host.api.buffer["Lanes"]
                and place == places.get((lane, spool))
            ]

        wait_until(
            lambda: not standing() or self.clients.failures,
            60,
            lambda: f"nothing more is stored: {standing()}",
        )

    # --- the load ---

    def load(self, **keywords):
        """Clients that send until the verdict (keywords: of Clients)."""
        self._clients_made += 1
        self.at_rest = False
        self.clients = Clients(
            self.journal,
            lambda: [host.api.port for host in self.hosts],
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

    def read(self):
        """A client asks for events; it gets them, or is told that it cannot."""
        answer = self.api.get(
            "/events?service=service%200&from=2026-03-01&to=2026-03-30&pageSize=1000"
        )
        if answer.status_code not in (200, 503):
            raise Violation(f"GET /events: {answer.status_code} {answer.text[:300]}")

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

    def in_database(self):
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
            self.host.may_forget()
            bound = self.api.buffer["SyncInterval"] + SYNC_S
            self._may_lose.append((begin - bound, end))

    def verdict(self):
        """Ends the load, waits until all is stored, and judges. Raises
        Violation; else returns the verdict, and the next round may begin."""
        self.clients.stop()
        for host in self.hosts:
            wait_until(
                lambda host=host: self._is_at_rest(host),
                90,
                lambda host=host: f"not stored: {host.api.log()[-1000:]}",
            )
        self.clients = None
        return self.judge_without_load(90)

    def _is_at_rest(self, host):
        """A row that was refused without a reason that is its own, and behind
        which nothing comes, waits for another one, to be compared with it."""
        if host.api.metrics().get("buffer_size") == 0:
            return True
        error = host.api.get("/health/detailed").json()["database"].get("lastError")
        if error is not None and error["sqlState"] == NO_REASON:
            self.clients.send_one(host.api.port)
        return False

    def judge_without_load(self, timeout):
        figures = [host.api.rest(timeout) for host in self.hosts]
        verdict = judge(
            self.journal,
            read_stored(self.database, self._tables()),
            read_dead(self.database),
            self._may_lose,
            self.disliked,
        )
        wrongs = verdict.wrongs() + self.wrong_figures(figures, verdict)
        for host, its in zip(self.hosts, figures):
            wrongs += host.wrong_accepted(its, self._attempts(host))
        self._add_up(verdict, figures)
        if wrongs:
            self.journal.clear()
            raise Violation("; ".join(wrongs))
        self._forget()
        return verdict

    def _attempts(self, host):
        return [
            (attempt, request)
            for request in self.journal.requests
            for attempt in request.attempts
            if attempt.host == host.number
        ]

    def wrong_figures(self, figures, verdict):
        """The counters, of each collectd (its figures) and beside the events,
        must be exact."""
        wrongs = []
        for host, its in zip(self.hosts, figures):
            wrongs += host.wrong_figures(its)
        counted = self.database.counted_by_service()
        there = {}
        for table in self._tables():
            for service, n in self.database.rows(
                f"SELECT service, count(*) FROM {table} GROUP BY service"
            ):
                there[service] = there.get(service, 0) + n
        for service in sorted(set(counted) | set(self._counted) | set(there)):
            grown = counted.get(service, 0) - self._counted.get(service, 0)
            if grown != there.get(service, 0):
                wrongs.append(
                    f"counted of {service}: {grown}, not {there.get(service, 0)}"
                )
        if verdict.stored != sum(there.values()):
            wrongs.append(f"verdict: {verdict.stored}, not {sum(there.values())}")
        return wrongs

    def _add_up(self, verdict, figures):
        verdict.retried = self.journal.retried
        verdict.duplicates = sum(
            host.new_duplicates(its) for host, its in zip(self.hosts, figures)
        )
        for name in COUNTED:
            self.totals[name] = self.totals.get(name, 0) + getattr(verdict, name)
        for name in (*verdict.WRONGS, "lost_in_bound"):
            found = len(getattr(verdict, name))
            self.totals[name] = self.totals.get(name, 0) + found

    def _forget(self):
        """What was judged goes out of the way; numbers go on, so that anything
        that comes again later is known for what it is."""
        self._checked = list(self.in_database())
        self._counted = self.database.counted_by_service()
        self.database.execute("TRUNCATE aurore.event, aurore.dead_letter")
        for table in self._set_aside:
            self.database.execute(f"DROP TABLE {table}")
        self._set_aside = []
        self.journal.clear()
        self._may_lose = []
        self.disliked = set()
        self.at_rest = True

    def check_port(self):
        """At rest collectd's own port shows the same figures."""
        names = (
            "events_enqueued_total",
            "events_processed_total",
            "events_duplicate_total",
            "events_replayed_total",
            "dead_letters_total",
            "batches_processed_total",
        )

        def differences():
            wrongs = []
            for host in self.hosts:
                port, api = host.api.values(), host.api.metrics()
                wrongs += [
                    f"{name}: {port.get('collectd_aurore_' + name)}, "
                    f"not {api.get(name)}"
                    for name in names
                    if port.get("collectd_aurore_" + name) != api.get(name)
                ]
            return wrongs

        wait_until(
            lambda: not differences(),
            30,
            lambda: f"collectd's port: {'; '.join(differences())}",
        )

    def now(self):
        return time.monotonic()
