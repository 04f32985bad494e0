# SPDX-License-Identifier: MIT
"""Queries and health while the database is away, slow or hanging, when clients
disconnect, and during a shutdown."""

import contextlib
import threading

import psycopg2
import pytest
import requests

from harness.events import TIME, event
from harness.http import RawConnection
from harness.wait import wait_until

QUERY = {"service": "s", "from": "2026-03-14", "to": "2026-03-15"}
PATH = "/events?service=s&from=2026-03-14&to=2026-03-15"
UNAVAILABLE = {
    "status": "error",
    "message": "Database unavailable",
    "error": "Service Unavailable",
    "errorCode": "DATABASE_UNAVAILABLE",
}
RUNNING = (
    "SELECT count(*) FROM pg_stat_activity WHERE state = 'active'"
    " AND application_name = 'collectd aurore query'"
)


def check_unavailable(answer):
    assert answer.status_code == 503, answer.text
    assert answer.json() == UNAVAILABLE
    assert int(answer.headers["Retry-After"]) >= 1


@contextlib.contextmanager
def locked(database, table):
    """Nobody can read or write the table meanwhile."""
    connection = psycopg2.connect(database.conninfo, application_name="test")
    try:
        connection.cursor().execute(f"LOCK TABLE {table}")
        yield
    finally:
        connection.close()


def locked_events(database):
    """Every query waits, and every writer."""
    return locked(database, "aurore.event")


def running(database):
    return database.value(RUNNING)


def wait_running(database, count):
    wait_until(
        lambda: running(database) == count,
        20,
        lambda: f"{running(database)} queries run, not {count}",
    )


class Asking(threading.Thread):
    """A request in a thread of its own."""

    def __init__(self, api, path=PATH):
        super().__init__()
        self.url = api.url(path)
        self.answer = None
        self.start()

    def run(self):
        self.answer = requests.get(self.url, timeout=120)

    def result(self):
        self.join(120)
        assert self.answer is not None, "no answer came"
        return self.answer


def wait_answered(api):
    """On a busy machine even a quick query may pass a short QueryTimeout."""
    wait_until(
        lambda: api.get("/events", params=QUERY).status_code == 200,
        30,
        "queries are not answered",
    )


def wait_healthy(api):
    wait_until(
        lambda: api.get("/health/database").status_code == 200, 30, "is not healthy"
    )


def started(programs, database, buffer=None, **writer):
    """A collectd with one event stored."""
    api = programs.collectd(database, buffer, writer).start()
    api.accept(event("m", "s"))
    api.rest()
    wait_answered(api)
    return api


def breaker(api):
    return api.get("/health/database").json()["circuitBreaker"]


# --- slow ---------------------------------------------------------------------


def test_a_slow_query_is_cancelled_on_the_server(programs, database):
    api = started(programs, database, QueryTimeout=0.5, BreakerFailures=1)
    with locked_events(database):
        for _ in range(3):
            check_unavailable(api.get("/events", params=QUERY))
            assert running(database) == 0
        # Slow is not broken.
        assert breaker(api)["state"] == "CLOSED"
        assert breaker(api)["failureCount"] == 0
    wait_answered(api)


def test_a_slow_query_is_counted_as_slow(programs, database):
    def slow():
        return api.metrics().get("db_slow_queries_total", operation="query")

    api = started(programs, database, SlowQuery=0.5, QueryTimeout=1)
    before = slow()
    with locked_events(database):
        check_unavailable(api.get("/events", params=QUERY))
    assert slow() == before + 1


def test_a_query_may_take_longer_than_a_connection_may_be_idle(programs, database):
    api = started(programs, database, {"RequestTimeout": 1})
    with locked_events(database):
        asking = Asking(api)
        wait_until(
            lambda: database.value(
                RUNNING + " AND now() - query_start > '2.5 s'::interval"
            ),
            30,
            "the query does not run for so long",
        )
    answer = asking.result()
    assert answer.status_code == 200
    assert answer.json()["total"] == 1


def test_requests_are_answered_beside_slow_queries(programs, database):
    """More slow queries than there are request threads and connections."""
    api = started(programs, database, {"Threads": 1}, QueryConnections=2)
    with locked_events(database):
        asking = [Asking(api) for _ in range(5)]
        wait_running(database, 2)
        wait_until(
            lambda: api.get("/health/database").json()["connectionPool"]["waiting"]
            == 3,
            20,
            "the others do not wait",
        )
        assert api.get("/live").status_code == 200
        assert api.post(event("n", "s")).status_code == 202
        figures = api.metrics()
        assert figures.get("db_connection_pool_active") >= 2
        wait_healthy(api)
        assert api.get("/health/database").json()["connectionPool"]["active"] >= 2
    for one in asking:
        assert one.result().status_code == 200


def test_a_full_pool_refuses(programs, database):
    api = started(programs, database, QueryConnections=1)
    with locked_events(database):
        asking = [Asking(api) for _ in range(17)]
        wait_until(
            lambda: api.get("/health/database").json()["connectionPool"]["waiting"]
            == 16,
            20,
            "the queue does not fill",
        )
        check_unavailable(api.get("/events", params=QUERY))
        assert api.get("/live").status_code == 200
    for one in asking:
        assert one.result().status_code == 200


# --- clients that disconnect --------------------------------------------------


def test_a_query_ends_with_its_client(programs, database):
    api = started(programs, database, BreakerFailures=1)
    with locked_events(database):
        with RawConnection(api.port) as client:
            client.send(f"GET {PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            wait_running(database, 1)
        wait_running(database, 0)
        assert breaker(api)["state"] == "CLOSED"
    assert api.get("/events", params=QUERY).status_code == 200
    api.wait_metric("http_connections", 1)  # the one that asks this


def test_clients_that_leave_the_queue(programs, database):
    api = started(programs, database, QueryConnections=1)
    with locked_events(database):
        first = Asking(api)
        wait_running(database, 1)
        clients = [RawConnection(api.port) for _ in range(10)]
        for client in clients:
            client.send(f"GET {PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        wait_until(
            lambda: api.get("/health/database").json()["connectionPool"]["waiting"]
            == 10,
            20,
            "they do not wait",
        )
        for client in clients:
            client.close()
    assert first.result().status_code == 200
    assert api.get("/events", params=QUERY).status_code == 200


# --- away ---------------------------------------------------------------------


def test_away(programs, own_postgres):
    database = own_postgres.create_database()
    api = started(programs, database, BreakerFailures=3, BreakerTimeout=0.2)
    database.close()
    own_postgres.stop()
    for _ in range(10):
        check_unavailable(api.get("/events", params=QUERY))
    wait_until(lambda: breaker(api)["state"] == "OPEN", 30, "the breaker is not open")
    assert api.metrics().get("circuit_breaker_state") > 0
    answer = api.get("/health/database")
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1
    body = answer.json()
    assert body["status"] == "unhealthy"
    assert body["database"] == "disconnected"
    assert body["error"] == "Database connection failed"
    assert body["sqlState"] is None  # libpq knows none: nobody answers
    wait_until(
        lambda: api.get("/health/database").json()["connectionPool"]
        == {"active": 0, "idle": 0, "waiting": 0},
        10,
        "lost connections are counted",
    )
    error = api.get("/health/detailed").json()["database"]["lastError"]
    assert error["sqlState"] is None
    assert "failed" in error["message"]
    assert TIME.fullmatch(error["at"])
    assert TIME.fullmatch(body["circuitBreaker"]["lastFailureTime"])
    assert api.get("/health").status_code == 200
    own_postgres.start()
    wait_answered(api)
    wait_healthy(api)
    wait_until(lambda: breaker(api)["state"] == "CLOSED", 30, "is not closed")


def test_an_open_breaker_refuses_at_once(programs, own_postgres):
    """A silent database is not waited for."""
    database = own_postgres.create_database()
    api = started(
        programs, database, BreakerFailures=1, BreakerTimeout=600, ConnectTimeout=1
    )
    database.close()
    own_postgres.stop()
    check_unavailable(api.get("/events", params=QUERY))
    wait_until(lambda: breaker(api)["state"] == "OPEN", 30, "the breaker is not open")
    own_postgres.start()
    own_postgres.freeze()
    try:
        check_unavailable(api.get("/events", params=QUERY, timeout=10))
        assert api.get("/health/database", timeout=10).status_code == 503
    finally:
        own_postgres.thaw()


def test_silent(programs, own_postgres):
    """Health gives up after a second, a query when the server should have ended
    it by itself; /health and ingest do not care."""
    database = own_postgres.create_database()
    api = started(programs, database, StatementTimeout=60, QueryTimeout=0.5)
    wait_healthy(api)
    own_postgres.freeze()
    try:
        asking = [Asking(api, "/health/database") for _ in range(5)]
        asking.append(Asking(api, "/health/detailed"))
        query = Asking(api)
        assert api.get("/health").status_code == 200
        assert api.post(event("n", "s")).status_code == 202
        for one in asking:
            assert one.result().status_code == 503
        check_unavailable(query.result())
    finally:
        own_postgres.thaw()
    wait_healthy(api)


def test_sessions_ended(programs, database):
    api = started(programs, database, BreakerFailures=1000)
    for _ in range(10):
        database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'collectd aurore query'"
        )
        # It is noticed before the connection is used, but for a moment.
        wait_answered(api)


def test_no_table_yet(programs, database):
    """A schema that is gone is an error of the query: said once, never counted
    for the breaker."""
    api = started(programs, database, BreakerFailures=2)
    database.execute("ALTER SCHEMA aurore RENAME TO elsewhere")
    for _ in range(5):
        check_unavailable(api.get("/events", params=QUERY))
    assert api.log().count("could not run a query") == 1
    assert breaker(api)["state"] == "CLOSED"
    database.execute("ALTER SCHEMA elsewhere RENAME TO aurore")
    assert api.get("/events", params=QUERY).status_code == 200


# --- shutdown -----------------------------------------------------------------


def test_a_stop_during_a_query(programs, database):
    api = started(programs, database, QueryConnections=1, ShutdownTimeout=60)
    with locked_events(database):
        asking = [Asking(api) for _ in range(3)]
        wait_running(database, 1)
        wait_until(
            lambda: api.get("/health/database").json()["connectionPool"]["waiting"]
            == 2,
            20,
            "they do not wait",
        )
        assert api.stop(timeout=20) == 0
        for one in asking:
            answer = one.result()
            assert answer.status_code == 503
            assert answer.json()["errorCode"] == "SERVICE_UNAVAILABLE"
        wait_running(database, 0)


def test_queries_are_finished_while_the_buffer_is_emptied(programs, database):
    api = started(programs, database)
    with locked(database, "aurore.lane"):
        with locked_events(database):
            api.accept(event("late", "s"))
            asking = Asking(api)
            wait_running(database, 1)
            api.terminate()
            wait_until(
                lambda: api.get("/live").status_code == 503, 20, "does not stop"
            )
            refused = api.get("/events", params=QUERY)
            assert refused.status_code == 503
            assert refused.json()["errorCode"] == "SERVICE_UNAVAILABLE"
        assert asking.result().status_code == 200
    assert api.wait() == 0
    assert database.stored() == 2


# --- health when everything works ---------------------------------------------


def test_health_database(api):
    wait_healthy(api)
    answer = api.get("/health/database")
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert list(body) == [
        "status",
        "database",
        "queryLatencyMs",
        "connectionPool",
        "circuitBreaker",
        "timestamp",
    ]
    assert body["status"] == "healthy"
    assert body["database"] == "connected"
    assert 0 <= body["queryLatencyMs"] <= 1000
    assert set(body["connectionPool"]) == {"active", "idle", "waiting"}
    assert body["connectionPool"]["idle"] >= 2  # a writer's, and this one's
    assert body["circuitBreaker"] == {
        "state": "CLOSED",
        "failureCount": 0,
        "successCount": 0,
        "lastFailureTime": None,
    }
    assert TIME.fullmatch(body["timestamp"])


def test_health_detailed(api):
    api.accept(event("m", "detailed"))
    api.rest()
    wait_until(
        lambda: api.get("/health/business").status_code == 200, 30, "no figures"
    )
    wait_healthy(api)
    answer = api.get("/health/detailed")
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert list(body) == [
        "timestamp",
        "status",
        "responseTimeMs",
        "uptime",
        "server",
        "database",
        "buffer",
        "circuitBreaker",
        "business",
        "memory",
        "environment",
    ]
    assert TIME.fullmatch(body["timestamp"])
    assert body["status"] == "healthy"
    assert body["responseTimeMs"] >= 0
    assert body["uptime"] > 0
    assert body["server"] == {"status": 200, "message": "SERVER_IS_READY"}
    assert body["database"]["database"] == "connected"
    assert body["buffer"]["status"] == "healthy"
    assert body["buffer"]["buffer"]["size"] == 0
    assert body["circuitBreaker"]["state"] == "CLOSED"
    assert body["business"] == api.get("/health/business").json() or (
        body["business"]["asOf"] < api.get("/health/business").json()["asOf"]
    )
    assert body["memory"]["status"] == "healthy"
    assert body["memory"]["rss"] > 1 << 20
    assert 0 < body["memory"]["usagePercent"] < 100
    assert body["environment"]["collectdVersion"].startswith("5.12")
    assert body["environment"]["platform"] == "linux"
    assert body["environment"]["pid"] == api.process.pid
    assert body["environment"]["pluginVersion"]


def test_health_by_head_and_without_a_token(programs, database):
    """What tells the services and the process asks for a token."""
    tokens = programs.base / f"{database.name}.tokens"
    tokens.write_text("read " + "0" * 64 + "\n")
    tokens.chmod(0o600)
    api = programs.collectd(database, {"TokenFile": tokens}).start()
    answer = api.session.head(api.url("/health/database"), timeout=30)
    assert answer.status_code in (200, 503)
    assert answer.content == b""
    wait_until(
        lambda: api.get("/health/database").status_code == 200,
        30,
        "is not healthy",
    )
    for path in ("/health/detailed", "/health/business"):
        answer = api.session.head(api.url(path), timeout=30)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_health_without_the_writer(programs):
    api = programs.collectd(None, load=("event_buffer",)).start()
    answer = api.get("/health/database")
    assert answer.status_code == 503
    assert answer.json()["database"] == "disconnected"
    assert answer.json()["circuitBreaker"]["state"] == "CLOSED"
    answer = api.get("/health/detailed")
    assert answer.status_code == 503
    body = answer.json()
    assert body["status"] == "critical"
    assert body["business"] is None
    assert body["server"]["status"] == 200


def test_health_detailed_of_a_full_buffer(programs):
    api = programs.collectd(
        "host=/nonexistent", {"Capacity": 1000}, {"ShutdownTimeout": 0.5}
    ).start()
    api.accept([event(str(i)) for i in range(750)])
    body = api.get("/health/detailed").json()
    assert body["buffer"]["status"] == "warning"
    assert body["status"] == "critical"  # the database is away
    api.accept([event(str(i)) for i in range(250)])
    answer = api.get("/health/detailed")
    assert answer.status_code == 503
    assert answer.json()["server"] == {
        "status": 503,
        "message": "SERVER_IS_NOT_READY",
        "reason": "the buffer is full",
    }
    api.expected_status = 1  # what is in memory is lost at the end
