# SPDX-License-Identifier: MIT
"""Every metric of the contract moves: the table says what moves it, and
collectd's port shows that it does."""

import hashlib
import re
import resource
import socket
import uuid
from types import SimpleNamespace

import psycopg2
import pytest

from harness import build
from harness.events import event
from harness.wait import wait_until
from test_metrics import (
    OPERATIONS,
    REASONS,
    REFUSALS,
    ROUTES,
    contract_names,
)
from test_store import poison

TOKEN = "a token"
VERSION = re.search(
    r"AC_INIT\(\[[^]]*\], *\[([^]]*)\]", (build.TOP / "configure.ac").read_text()
).group(1)

# {metric: {what moves it: the label's values that it moves; () where there is no
# label}}
MOVES = {
    "buffer_size": {"away": ()},
    "buffer_capacity": {"damaged": ()},
    "buffer_utilization_percent": {"away": ()},
    "buffer_bytes": {"away": ()},
    "buffer_oldest_age_seconds": {"away": ()},
    "buffer_health_status": {"full": ()},
    "events_enqueued_total": {"stored": ()},
    "events_dropped_total": {"full": ()},
    "events_rejected_total": {
        "refused": ("invalid", "too_large", "unauthorized"),
        "hurried": ("rate_limited",),
        "unwritable": ("unavailable",),
    },
    "events_drop_rate_percent": {"full": ()},
    "events_throughput_per_second": {"stored": ()},
    "spool_sync_time_ms": {"stored": ()},
    "spool_damaged_total": {"damaged": ()},
    "spool_kept_bytes": {"stored": ()},
    "spool_spare_bytes": {"emptied": ()},
    "events_replayed_total": {"fallen_back": ()},
    "events_lost_total": {"fallen_back": ()},
    "lanes_fenced": {"fenced": ()},
    "lanes_blocked": {"blocked": ()},
    "batches_processed_total": {"stored": ()},
    "events_processed_total": {"stored": ()},
    "events_duplicate_total": {"repeated": ()},
    "batch_processing_time_ms": {"stored": ()},
    "batch_insert_time_ms": {"stored": ()},
    "batch_failures_total": {"poisoned": ("23",), "away": ("connection",)},
    "event_commit_latency_ms": {"stored": ()},
    "dead_letters_total": {"poisoned": ()},
    "dead_letters_pending": {"poisoned": ()},
    "business_events_total": {"stored": ()},
    "business_events_by_service": {"stored": ("alive",)},
    "business_events_last_24h": {"stored": ()},
    "business_events_last_hour": {"stored": ()},
    "business_events_per_minute": {"stored": ()},
    "health_status": {"away": ()},
    "database_connection_status": {"away": ()},
    "circuit_breaker_state": {"away": ()},
    "db_query_duration_ms": {
        "started": ("retention", "migrate"),
        "stored": ("store", "business"),
        "asked": ("query", "dead_letter"),
    },
    "db_query_total": {
        "started": ("retention", "migrate"),
        "stored": ("store", "business"),
        "asked": ("query", "dead_letter"),
    },
    "db_slow_queries_total": {"stored": ("store", "business")},
    "db_connection_pool_active": {"held": ()},
    "db_connection_pool_idle": {"away": ()},
    "retention_overdue_days": {"stuck": ()},
    "info": {"started": (VERSION,)},
    "process_cpu_usage_percent": {"started": ()},
    "process_memory_usage_bytes": {"started": ()},
    "http_request_duration_ms": {
        "stored": ("events_post",),
        "asked": ("events_get", "otlp_logs", "metrics", "health", "dlq", "page", "other"),
    },
    "http_request_total": {
        "stored": ("events_post",),
        "refused": ("events_post",),
        "asked": ("events_get", "otlp_logs", "metrics", "health", "dlq", "page", "other"),
    },
    "http_connections": {"connected": ()},
    "http_connections_refused_total": {"crowded": ("limit", "address")},
    "config_reload_failures_total": {"miswritten": ("tokens",)},
}
HISTOGRAMS = [name for name in contract_names() if name.endswith("_ms")]
# Labels that stand in the plugin instance.
IN_THE_PLUGIN = HISTOGRAMS + ["http_request_total"]


def read(values, name, label):
    """What the port shows of a metric, or of its series with a label's value: a
    sum over whatever else it is told by."""
    family = f"collectd_aurore_{name}"
    if name in HISTOGRAMS:
        family += "_count_total"
    labels = {}
    if label is not None:
        labels["aurore" if name in IN_THE_PLUGIN else "type"] = label
    return values.sum(family, **labels)


# --- what moves them: each is done, observed, and then undone ---------------------------


def started(world):
    world.api.start()
    world.api.session.headers["Authorization"] = f"Bearer {TOKEN}"
    yield


def stored(world):
    world.api.accept([event(service="alive") for _ in range(20)])
    yield


def repeated(world):
    twice = event(event_id=str(uuid.uuid4()))
    world.api.accept([twice])
    world.api.accept([twice])
    yield


def accept(world, events):
    """Once RateLimit lets them pass."""
    wait_until(
        lambda: world.api.post(events).status_code == 202, 30, "not accepted"
    )


def refused(world):
    assert world.api.post("{").status_code == 400
    assert world.api.post("x" * 2000000).status_code == 413
    answer = world.api.post(event(), headers={"Authorization": "Bearer no"})
    assert answer.status_code == 401
    yield


def miswritten(world):
    path = world.api.buffer["TokenFile"]
    good = path.read_text()
    path.write_text("read nonsense\n")
    yield
    path.write_text(good)


def asked(world):
    api = world.api
    span = "from=2026-03-01T00:00:00Z&to=2026-03-20T00:00:00Z"
    assert api.get(f"/events?service=alive&{span}").status_code == 200
    assert api.get("/dlq").status_code == 200
    assert api.get("/metrics").status_code == 200
    assert api.get("/health").status_code == 200
    assert api.get("/").status_code == 200
    assert api.get("/nope").status_code == 404
    answer = api.session.post(api.url("/v1/logs"), json={}, timeout=30)
    assert answer.status_code == 200
    yield


def hurried(world):
    """More events a second than RateLimit."""
    for _ in range(1000):
        answer = world.api.post([event() for _ in range(50)])
        if answer.json().get("message") == "Too Many Requests":
            break
    else:
        raise AssertionError("nothing is refused")
    yield


def poisoned(world):
    poison(world.database, "poison")
    accept(world, event("poison"))
    yield


def fallen_back(world):
    """The database is as it was before the first event, and before what would
    have been one more."""
    world.api.rest()
    world.database.execute("DELETE FROM aurore.event")
    world.database.execute("UPDATE aurore.lane SET next_seq = 0")
    end_writers(world)
    yield
    world.api.rest()


def fenced(world):
    """Another copy of the spool has been there, and goes away again."""
    owner = "SELECT owner FROM aurore.lane"
    before = world.database.value(owner)
    world.database.execute("UPDATE aurore.lane SET owner = gen_random_uuid()")
    end_writers(world)
    yield
    world.database.execute("UPDATE aurore.lane SET owner = %s", (before,))


def blocked(world):
    """Somebody adds a column that nobody fills, for more than a minute."""
    world.database.execute(
        "ALTER TABLE aurore.event ADD extra int DEFAULT 0 NOT NULL;"
        " ALTER TABLE aurore.event ALTER extra DROP DEFAULT"
    )
    accept(world, event(service="alive"))
    world.api.wait_metric("lanes_blocked", 1, timeout=120)
    yield
    world.database.execute("ALTER TABLE aurore.event DROP extra")


def end_writers(world):
    world.database.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name LIKE 'collectd aurore writer%'"
    )


def emptied(world):
    """Some segments are filled and stored, more than are kept."""
    for _ in range(8):
        accept(world, [event(metadata={"text": "x" * 15000}) for _ in range(40)])
        world.api.rest()
    yield


def connected(world):
    connections = [
        socket.create_connection(("127.0.0.1", world.api.port)) for _ in range(30)
    ]
    yield
    for connection in connections:
        connection.close()


def crowded(world):
    """More connections than an address may have, and than all may have."""
    connections = [
        socket.create_connection(
            ("127.0.0.1", world.api.port), source_address=(address, 0)
        )
        for address in ("127.0.0.2", "127.0.0.3")
        for _ in range(45)
    ]
    yield
    for connection in connections:
        connection.close()


def held(world):
    """A batch waits for a lock in the database."""
    blocker = psycopg2.connect(world.database.conninfo)
    blocker.cursor().execute("LOCK TABLE aurore.lane IN EXCLUSIVE MODE")
    accept(world, [event()])
    yield
    blocker.close()
    world.api.rest()


def stuck(world):
    """A day that is over RetentionDays old, and of which somebody has made a
    view; the writer comes back, and wakes the janitor."""
    world.database.execute(
        """SELECT aurore.ensure_partitions(current_date - 90, current_date - 90);
           DO $$BEGIN EXECUTE 'CREATE VIEW public.kept AS SELECT * FROM '
             'aurore.event_' || to_char(current_date - 90, 'YYYYMMDD'); END$$"""
    )
    end_writers(world)
    yield
    world.database.execute("DROP VIEW public.kept")


def away(world):
    world.postgres.stop()
    accept(world, [event(f"waiting {i}") for i in range(150)])
    yield


def full(world):
    def is_full():
        answer = world.api.post([event(f"waiting {i}") for i in range(50)])
        return answer.json().get("errorCode") == "BUFFER_SATURATED"

    wait_until(is_full, 30, "it does not become full")
    yield


def damaged(world):
    """A byte of an event that waits is changed, while nobody looks."""
    assert world.api.stop() == 0
    found = None
    for path in (world.api.directory / "spool").rglob("*"):
        data = path.read_bytes() if path.is_file() else b""
        if b"waiting 100" in data:
            found = path, data.index(b"waiting 100")
    assert found, "no event waits in the spool"
    with open(found[0], "r+b") as file:
        file.seek(found[1])
        file.write(b"W")
    world.api.buffer["Capacity"] += 100
    world.api.start()
    world.postgres.start()  # it is found when it is read
    yield
    world.api.rest()


def unwritable(world):
    """What a full disk does to the spool."""
    pid = world.api.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, before[1]))
    wait_until(
        lambda: world.api.post(event()).status_code == 503,
        30,
        "it can still be written",
    )
    yield
    resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


STEPS = [
    started,
    stored,
    repeated,
    refused,
    miswritten,
    asked,
    poisoned,
    fallen_back,
    emptied,
    connected,
    crowded,
    held,
    away,
    full,
    damaged,
    hurried,
    unwritable,
    fenced,
    blocked,
    stuck,
]


def of_step(step):
    """The series that it moves: (metric, label's value or None)."""
    return [
        (name, label)
        for name, steps in MOVES.items()
        for label in steps.get(step.__name__, ["not here"])
        or [None]
        if label != "not here"
    ]


@pytest.fixture(scope="module")
def moved(module_programs):
    """Does all of it, once; {(metric, label, step): (before, after)}."""
    postgres = module_programs.postgres()
    database = postgres.create_database()
    api = module_programs.collectd(
        database,
        {
            "Capacity": 300,
            "RateLimit": 500,
            "MaxConnections": 80,
            "MaxConnectionsPerAddress": 40,
            "KeepStoredBytes": "1MiB",  # which makes segments of 1 MiB
        },
        {
            "BusinessInterval": 0.1,
            "SlowQuery": 0,
            "ShutdownTimeout": 0.1,
            "BreakerFailures": 2,
            "DrainInterval": 0.05,
        },
    )
    api.buffer["SpoolDirectory"] = api.directory / "spool"
    api.buffer["TokenFile"] = api.directory / "tokens"
    api.buffer["TokenFile"].write_text(
        f"admin {hashlib.sha256(TOKEN.encode()).hexdigest()}\n"
    )
    world = SimpleNamespace(api=api, database=database, postgres=postgres)
    found = {}
    for step in STEPS:
        wanted = of_step(step)
        before = api.values() if api.is_running() else None
        run = step(world)
        next(run)

        def look(before=before, wanted=wanted, step=step):
            values = api.values()
            for name, label in wanted:
                found[name, label, step.__name__] = (
                    read(before, name, label) if before is not None else 0,
                    read(values, name, label),
                )
            return all(
                found[name, label, step.__name__][0]
                != found[name, label, step.__name__][1]
                for name, label in wanted
            )

        try:
            wait_until(look, 15, "told by the test of the metric")
        except AssertionError:
            pass
        for _ in run:
            pass
    return found


@pytest.mark.parametrize("name", contract_names())
def test_it_moves(moved, name):
    assert MOVES.get(name), "nothing is known that moves it"
    seen = {key: pair for key, pair in moved.items() if key[0] == name}
    assert seen
    still = {key: pair for key, pair in seen.items() if pair[0] == pair[1]}
    assert not still


def test_no_label_is_left_out():
    labels = {
        name: {label for step in steps.values() for label in step}
        for name, steps in MOVES.items()
    }
    assert labels["events_rejected_total"] == set(REASONS)
    assert labels["http_connections_refused_total"] == set(REFUSALS)
    assert labels["db_query_total"] == set(OPERATIONS)
    assert labels["db_query_duration_ms"] == set(OPERATIONS)
    assert labels["http_request_total"] == set(ROUTES)
    assert labels["http_request_duration_ms"] == set(ROUTES)
    assert set(MOVES) == set(contract_names())
