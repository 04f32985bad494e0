# SPDX-License-Identifier: MIT
"""A pgbouncer in transaction mode sits between collectd and the database: each
transaction may get a different session."""

from pathlib import Path

import pytest

from harness.events import event
from harness.http import RawConnection
from harness.load import Load
from harness.pgbouncer import PROGRAM
from harness.wait import wait_until
from test_dlq import allow, patch, refuse, set_aside
from test_query_trouble import locked_events

pytestmark = pytest.mark.skipif(
    not Path(PROGRAM).exists(), reason="the Debian package pgbouncer is missing"
)

# Small and frequent batches: each moment is in the middle of one.
EAGER = {
    "BatchSize": 20,
    "DrainInterval": 0.001,
    "BackoffMin": 0.01,
    "BackoffMax": 0.2,
    "BreakerFailures": 1000,
}


@pytest.fixture
def bouncer(programs, own_postgres):
    return programs.pgbouncer(own_postgres)


@pytest.fixture
def api(programs, own_postgres, bouncer):
    """Four writers and the queries share three sessions; api.database is asked
    directly."""
    database = own_postgres.create_database()
    made = programs.collectd(
        bouncer.database(database), {"Lanes": 4, "Threads": 2}, dict(EAGER)
    )
    made.buffer["SpoolDirectory"] = made.directory / "spool"
    made.start()
    made.database = database
    return made


def check_all(api, load):
    """Everything that was acknowledged is stored once, and the figures say so."""
    figures = api.rest()
    stored = load.check(api.database)
    assert figures.get("events_enqueued_total") == stored
    assert figures.get("events_processed_total") == stored
    assert figures.get("dead_letters_total") == 0
    assert api.database.counted() == stored


def sessions(api):
    return api.database.rows(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
        " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )


def test_sessions_are_shared(api):
    assert len(sessions(api)) <= 3
    with Load(api) as load:
        load.wait_acknowledged(2000)
    check_all(api, load)
    assert len(sessions(api)) <= 3
    lanes = api.database.rows("SELECT lane FROM aurore.lane WHERE next_seq > 1")
    assert len(lanes) == 4
    assert not [line for line in api.complaints() if "aurore" in line]
    page = api.get(
        "/events?service=load&from=2026-03-14T00:00:00Z&to=2026-03-15T00:00:00Z"
    )
    assert page.json()["total"] == len(load.acknowledged)


def test_a_query_ends_with_its_time_and_client(programs, bouncer, own_postgres):
    database = own_postgres.create_database()
    api = programs.collectd(
        bouncer.database(database), writer={"QueryTimeout": 1}
    ).start()
    api.accept(event("m", "s"))
    api.rest()
    running = (
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active'"
        " AND query LIKE '%%aurore.event WHERE service%%'"
        " AND pid <> pg_backend_pid()"
    )
    path = "/events?service=s&from=2026-03-14&to=2026-03-15"
    with locked_events(database):
        assert api.get(path).status_code == 503
        assert database.value(running) == 0
        with RawConnection(api.port) as client:
            client.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            wait_until(lambda: database.value(running) == 1, 20, "does not run")
        wait_until(lambda: database.value(running) == 0, 20, "it still runs")
    assert api.get(path).json()["total"] == 1
    assert not [line for line in api.complaints() if "aurore" in line]


def test_sessions_ended_under_load(api):
    with Load(api) as load:
        for _ in range(20):
            load.wait_acknowledged(40)
            for (pid,) in sessions(api):
                api.database.execute("SELECT pg_terminate_backend(%s)", (pid,))
    check_all(api, load)
    assert api.metrics().sum("batch_failures_total") > 0


def test_killed_under_load(api, bouncer):
    with Load(api) as load:
        for _ in range(4):
            load.wait_acknowledged(200)
            bouncer.kill()
            load.wait_acknowledged(100)
            bouncer.start()
        load.wait_acknowledged(200)
    check_all(api, load)
    # And the queries reach the database again.
    wait_until(
        lambda: api.get("/dlq").status_code == 200, 30, "/dlq does not answer"
    )
    api.wait_metric("database_connection_status", 1)
    assert not load.unanswered


def test_server_restarted_under_load(api, own_postgres):
    with Load(api) as load:
        for how in ("immediate", "fast"):
            load.wait_acknowledged(200)
            own_postgres.restart(how)
        load.wait_acknowledged(200)
    check_all(api, load)


def test_dead_letters(api):
    """Set aside and put back, each in a transaction of its own session."""
    refuse(api.database)
    letters = set_aside(api, [event(f"poison {i}") for i in range(30)])
    assert len(letters) == 30
    allow(api.database)
    for letter in letters:
        assert patch(api, letter["id"]).status_code == 200
        assert patch(api, letter["id"]).status_code == 409
    api.database.wait_stored(30)
    figures = api.rest()
    assert figures.get("events_enqueued_total") == 60
    assert figures.get("events_processed_total") == 30
    assert figures.get("dead_letters_total") == 30
    assert api.database.counted() == 30
    assert api.get("/dlq?reprocessed=true&limit=1").json()["total"] == 30
