# SPDX-License-Identifier: MIT
"""The measurements. Each starts from scratch (an empty table, a fresh
collectd) and returns a dictionary of results."""

import contextlib
import os
import re
import subprocess
import time
from typing import NamedTuple

import events
import psycopg2
import servers
from harness.collectd import BOTH
from harness.process import free_port
from servers import BenchError

HERE = servers.TOP / "tests/bench"

THREADS = 2  # of both HTTP servers, and of wrk
CONNECTIONS = 64
MAX_CONNECTIONS = 1024
BATCH = 5000  # rows a transaction: BatchSize
REQUEST_EVENTS = 500
REQUEST_CONNECTIONS = 8
POOL = 10000  # different events
FULL_EVENTS = 1000000  # the default of Capacity

# Files of events of which no two are the same: how many a request, and what gives
# them ids.
DIFFERENT = {
    "all": (REQUEST_EVENTS, None),
    "all-random": (REQUEST_EVENTS, events.random_id),
    "all-growing": (REQUEST_EVENTS, events.growing_id),
    "each": (1, None),
    "each-random": (1, events.random_id),
    "each-growing": (1, events.growing_id),
}


# The names of a day of requests.
GROWING_NAME = ("(lpad(to_hex((extract(epoch FROM now()) * 1000 - 86400000.0 * "
                "(1 - n / {count}.0))::bigint), 12, '0') || '8' || "
                "right(replace(gen_random_uuid()::text, '-', ''), 19))::uuid")
RANDOM_NAME = "gen_random_uuid()"
FILL = "INSERT INTO aurore.{table} SELECT {name}, 1, 0 FROM generate_series(1, {count}) AS n"


class Sent(NamedTuple):
    """What the client sends: a file of bodies, and what names the requests."""

    bodies: str
    query: str = ""
    key: str = ""


# Room for everything that a measurement accepts.
ROOM = {"Capacity": 100000000, "MaxBytes": "64GiB"}


def compile_programs(build):
    """The two C programs, as the build makes them."""
    targets = ["tests/bench/bare_copy", "tests/bench/bare_http"]
    done = subprocess.run(["make", "-s", "-C", build, *targets], check=False,
                          capture_output=True, text=True)
    if done.returncode != 0:
        raise BenchError(f"the bare programs were not made:\n{done.stderr}")
    return [build / target for target in targets]


class Bench:
    """What the measurements share."""

    def __init__(self, directory, build, spool, seconds):
        self.directory = directory
        self.build = build
        self.plugins = None  # those of the build
        self.spool = spool
        self.seconds = seconds
        self.rows = seconds * 100000
        self.answer_size = 0
        self.postgres = None
        self.bare_copy, self.bare_http = compile_programs(build)

    def prepare(self):
        pool = events.make(POOL)
        events.write_bodies(self.directory / "singles", pool[:2000], 1)
        events.write_bodies(self.directory / "batches", pool, REQUEST_EVENTS)
        events.write_tuples(self.directory / "tuples", pool)
        self.postgres = servers.Postgres(self.directory)
        self.postgres.start()
        self.make_tables()

    def bodies(self, name):
        """The file; one of DIFFERENT is another each time."""
        path = self.directory / name
        if name in DIFFERENT:
            size, make_id = DIFFERENT[name]
            events.write_different(path, events.make(POOL), self.rows, size, make_id)
        return path

    def fill_names(self, count, do_grow):
        """So many names are known of each of the two generations."""
        with self.collectd() as collectd:
            event = {**events.make(1)[0], "event_id": events.random_id(0)}
            collectd.post(events.compact(event))
            servers.wait_for(lambda: self.names()[0] == 1, "the first name",
                             collectd.process)
        for table in ("event_key_before", "event_key"):
            name = GROWING_NAME.format(count=count) if do_grow else RANDOM_NAME
            self.postgres.bench.execute(
                FILL.format(table=table, count=count, name=name))
        self.postgres.keeps_names = True

    def names(self):
        """Names of this generation, and the bytes of each of them."""
        count, size = self.postgres.bench.rows(
            "SELECT count(*), pg_total_relation_size('aurore.event_key') "
            "FROM aurore.event_key")[0]
        return count, size / max(count, 1)

    def make_tables(self):
        """By the project's own migrations; and learns the size of an answer."""
        with self.collectd() as collectd:
            servers.wait_for(self.has_partition, "the tables", collectd.process)
            answer = collectd.post(events.compact(events.make(1)[0]))
            self.answer_size = len(answer.content)

    def has_partition(self):
        try:
            return self.postgres.bench.value(
                "SELECT count(*) FROM aurore.partitions() "
                "WHERE lower_bound <= now() AND now() < upper_bound") == 1
        except psycopg2.Error:
            return False

    def collectd(self, durable=False, lanes=1, database=True, writer=None, **options):
        """A collectd with both plugins; without a database it tries one that
        nobody answers for. "writer": more options of event_writer."""
        conninfo = (self.postgres.bench.conninfo if database
                    else f"host=127.0.0.1 port={free_port()}")
        options = {"Threads": THREADS, "Lanes": lanes, **ROOM, **options}
        if durable:
            options["Durability"] = "commit"
            options["SpoolDirectory"] = self.spool / "spool"
        writer = {"ConnInfo": conninfo, "BatchSize": BATCH, "ShutdownTimeout": 0,
                  **(writer or {})}
        collectd = servers.Collectd(self.directory, BOTH, buffer=options, writer=writer)
        collectd.plugins = self.plugins
        return collectd


def wrk(url, bodies, connections, threads, seconds, requests=None, key=""):
    """The command; with "requests" it waits to be interrupted."""
    command = ["setpriv", "--pdeathsig", "TERM", "wrk", f"-t{threads}", f"-c{connections}",
               f"-d{seconds}", "--timeout", "30", "-s", HERE / "post.lua", url, "--", bodies]
    return (command + ([str(requests)] if requests else [])
            + ([key] if requests and key else []))


def read_wrk(output):
    found = re.search(r"^RESULT (\d+) (\d+) (\d+) (\d+) (\d+) (\d+)$", output, re.M)
    if not found:
        raise BenchError(f"wrk did not say how it went:\n{output}")
    requests, us, refused, broken, p50, p99 = map(int, found.groups())
    if refused or broken:
        raise BenchError(f"{refused} requests were refused, {broken} connections broke")
    return {"requests": requests, "rate": requests / (us / 1e6),
            "p50": p50 / 1000, "p99": p99 / 1000}


def run_wrk(bench, url):
    """64 connections, one event a request."""
    done = subprocess.run(
        wrk(url, bench.directory / "singles", CONNECTIONS, THREADS, bench.seconds),
        check=True, capture_output=True, text=True)
    return read_wrk(done.stdout)


class Used:
    """Processor time from now on, of PostgreSQL and of a collectd."""

    def __init__(self, bench, collectd=None):
        self.read = {"server": lambda: servers.tree_cpu_seconds(bench.postgres.process)}
        if collectd is not None:
            self.read["cpu"] = collectd.cpu_seconds
        self.before = {name: read() for name, read in self.read.items()}

    def figures(self, count):
        return {name: (read() - self.before[name]) / count * 1e6
                for name, read in self.read.items()}


def bare_copy(bench):
    bench.postgres.clear()
    used = Used(bench)
    done = subprocess.run(
        [bench.bare_copy, bench.postgres.bench.conninfo, bench.directory / "tuples",
         str(bench.rows), str(BATCH)],
        check=True, capture_output=True, text=True)
    figures = used.figures(bench.rows)
    check_stored(bench, bench.rows)
    return {"rate": bench.rows / float(done.stdout), **figures}


def bare_http(bench):
    with servers.BareHttp(bench.bare_http, THREADS, MAX_CONNECTIONS,
                          bench.answer_size) as server:
        figures = run_wrk(bench, server.url("/events"))
        figures["cpu"] = servers.cpu_seconds(server.process) / figures["requests"] * 1e6
    return figures


def check_stored(bench, expected):
    found = bench.postgres.bench.value("SELECT count(*) FROM aurore.event")
    if found != expected:
        raise BenchError(f"{expected} events were accepted, {found} are stored")


class Watermarks:
    """How many events the writers have committed."""

    def __init__(self, bench, lanes):
        self.database = bench.postgres.bench
        servers.wait_for(lambda: self.read()[1] == lanes, "the writers")
        self.base = self.read()[0]

    def read(self):
        return self.database.rows(
            "SELECT coalesce(sum(next_seq), 0)::bigint, count(*) FROM aurore.lane")[0]

    def stored(self):
        return self.read()[0] - self.base


def accept(bench, durable, database):
    """One event a request, for some seconds; with a database the events are
    stored at the same time, and counted afterwards."""
    if database:
        bench.postgres.clear()
    with bench.collectd(durable=durable, database=database) as collectd:
        before = collectd.cpu_seconds()
        watermarks = Watermarks(bench, 1) if database else None
        figures = run_wrk(bench, collectd.url("/events"))
        if database:
            figures["stored"] = watermarks.stored() / collectd.accepted()
            # The last requests may still be under way when wrk has ended.
            servers.wait_for(lambda: watermarks.stored() == collectd.accepted(),
                             "storing", collectd.process, 300)
            check_stored(bench, collectd.accepted())
        accepted = collectd.accepted()
        figures["cpu"] = (collectd.cpu_seconds() - before) / accepted * 1e6
    return figures


@contextlib.contextmanager
def fixed_load(bench, collectd, requests, sent, connections=REQUEST_CONNECTIONS):
    """Just so many requests, of a file that was made; gives a function that ends the client and returns its
    figures."""
    url = collectd.url("/events" + ("?" + sent.query if sent.query else ""))
    client = subprocess.Popen(
        wrk(url, bench.directory / sent.bodies, connections, 1, 3600, requests, sent.key),
        stdout=subprocess.PIPE, text=True)

    def finish():
        client.send_signal(2)
        return read_wrk(client.communicate()[0])

    try:
        yield finish
    finally:
        client.terminate()
        client.wait()


def store(bench, durable, lanes, sent=Sent("batches"), **writer):
    """500 events a request, from the first request to the last commit."""
    bench.bodies(sent.bodies)
    bench.postgres.clear()
    requests = bench.rows // REQUEST_EVENTS
    with bench.collectd(durable=durable, lanes=lanes, writer=writer) as collectd:
        watermarks = Watermarks(bench, lanes)
        used = Used(bench, collectd)
        with fixed_load(bench, collectd, requests, sent) as finish:
            servers.wait_for(lambda: watermarks.stored() >= bench.rows, "storing",
                             collectd.process, 300)
            end = time.time()
            processor = used.figures(bench.rows)
            figures = finish()
    check_stored(bench, bench.rows)
    start = bench.postgres.bench.value(
        "SELECT extract(epoch FROM min(ingested_at))::float8 FROM aurore.event")
    return {**figures, "rate": bench.rows / (end - start), **processor}


@contextlib.contextmanager
def held_table(bench):
    """Nothing is stored."""
    with contextlib.closing(psycopg2.connect(bench.postgres.bench.conninfo)) as holder:
        holder.cursor().execute("LOCK TABLE aurore.event IN SHARE MODE")
        yield


def backlog(bench, sent):
    """One event a request: how fast they are stored when all have been accepted."""
    bench.bodies(sent.bodies)
    bench.postgres.clear()
    with bench.collectd(writer={"StatementTimeout": 600}) as collectd:
        watermarks = Watermarks(bench, 1)
        with held_table(bench), fixed_load(bench, collectd, bench.rows, sent,
                                           CONNECTIONS) as finish:
            servers.wait_for(lambda: collectd.accepted() == bench.rows, "accepting",
                             collectd.process, 300)
            finish()
            used = Used(bench, collectd)
        start = time.time()
        servers.wait_for(lambda: watermarks.stored() >= bench.rows, "storing",
                         collectd.process, 300)
        figures = {"rate": bench.rows / (time.time() - start),
                   **used.figures(bench.rows)}
    check_stored(bench, bench.rows)
    return figures


def empty_memory(bench):
    with servers.Collectd(bench.directory) as collectd:
        return collectd.memory()["resident"]


def full_memory(bench, durable):
    """A buffer that is full, while the database is away."""
    with bench.collectd(durable=durable, database=False, Capacity=FULL_EVENTS,
                        MaxBytes="1GiB") as collectd:
        figures = {"idle": collectd.memory()["resident"]}
        with fixed_load(bench, collectd, FULL_EVENTS // REQUEST_EVENTS,
                        Sent("batches")) as finish:
            servers.wait_for(lambda: collectd.accepted() == FULL_EVENTS, "filling",
                             collectd.process, 300)
            finish()
        figures.update(collectd.memory())
        figures["buffer"] = collectd.metrics().get("buffer_bytes")
    return figures


def machine(bench):
    """What it was measured on."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = re.search(r"^model name\s*:\s*(.*)$", file.read(), re.M)
    kind = subprocess.run(["df", "--output=fstype", bench.spool], check=True,
                          capture_output=True, text=True).stdout.split()[1]
    version = bench.postgres.bench.value("SHOW server_version").split()[0]
    return (f"{len(os.sched_getaffinity(0))} cores"
            + (f" ({model.group(1)})" if model else "")
            + f", {kind}; PostgreSQL {version}")
