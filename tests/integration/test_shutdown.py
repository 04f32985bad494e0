# SPDX-License-Identifier: MIT
"""SIGTERM: what was accepted is stored, or its loss is reported, in bounded
time."""

import time

import psycopg2
import pytest

from harness.events import event
from harness.load import Load
from harness.wait import wait_until


@pytest.mark.parametrize("spool", [False, True], ids=["memory", "directory"])
@pytest.mark.parametrize("lanes", [1, 3])
def test_under_load(programs, database, lanes, spool):
    # What waits at the end is stored in many batches.
    api = programs.collectd(
        database,
        {"Lanes": lanes},
        {"DrainInterval": 3600, "BatchSize": 500, "ShutdownTimeout": 60},
    )
    if spool:
        api.buffer["SpoolDirectory"] = api.directory / "spool"
    api.start()
    with Load(api) as load:
        load.wait_acknowledged(1500)
        api.terminate()
        assert api.wait() == 0
    assert load.check(database) >= len(load.acknowledged)
    assert database.counted() == database.stored()
    assert "lost" not in api.log()


def test_at_rest(programs, database):
    api = programs.collectd(database).start()
    api.accept(event())
    database.wait_stored(1)
    assert api.stop() == 0
    assert not [line for line in api.complaints() if "aurore" in line]


def test_before_anything_was_sent(programs, database):
    api = programs.collectd(database).start()
    assert api.stop() == 0


def test_requests_meanwhile_are_told(programs, own_postgres):
    """While it drains, the listener still answers, with 503."""
    database = own_postgres.create_database()
    own_postgres.stop()
    api = programs.collectd(database, writer={"ShutdownTimeout": 60}).start()
    api.accept([event() for _ in range(10)])
    api.terminate()
    wait_until(
        lambda: api.get("/live").status_code == 503, 30, "does not stop"
    )
    assert api.get("/live").json() == {
        "statusCode": 503,
        "message": "SERVER_IS_SHUTTING_DOWN",
    }
    answer = api.get("/ready")
    assert answer.status_code == 503
    assert answer.json()["message"] == "SERVER_IS_SHUTTING_DOWN"
    answer = api.post(event("too late"))
    assert answer.status_code == 503
    assert answer.json()["status"] == "error"
    assert answer.json()["errorCode"] == "SERVICE_UNAVAILABLE"
    assert int(answer.headers["Retry-After"]) >= 1
    assert api.metrics().get("buffer_size") == 10
    # The database comes back in time: nothing is lost.
    own_postgres.start()
    assert api.wait() == 0
    assert database.stored() == 10


@pytest.mark.parametrize("how", ["away", "frozen"])
def test_with_the_database_away(programs, own_postgres, how):
    """In memory, what cannot be stored in time is lost, and its number told."""
    database = own_postgres.create_database()
    api = programs.collectd(database, writer={"ShutdownTimeout": 1}).start()
    api.accept(event("stored"))
    database.wait_stored(1)
    api.rest()
    if how == "away":
        own_postgres.stop()
    else:
        own_postgres.freeze()
    try:
        api.accept([event("lost") for _ in range(7)])
        began = time.monotonic()
        assert api.stop(30) == 1
        # ShutdownTimeout and a grace; far from anybody's patience.
        assert time.monotonic() - began < 15
        assert "7 accepted events are lost" in api.log()
    finally:
        if how == "frozen":
            own_postgres.thaw()


def test_shutdown_timeout_of_nothing(programs, own_postgres):
    database = own_postgres.create_database()
    own_postgres.stop()
    api = programs.collectd(database, writer={"ShutdownTimeout": 0}).start()
    api.accept(event("lost"))
    assert api.stop(20) == 1
    assert "1 accepted events are lost" in api.log()


def test_in_the_middle_of_a_request(programs, database):
    """A request that is being sent is answered, or its connection ends; what
    was answered is stored."""
    api = programs.collectd(database, {"Lanes": 2}).start()
    with Load(api, threads=6, events=200) as load:
        load.wait_acknowledged(1000)
        assert api.stop() == 0
    load.check(database)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_batch_that_is_given_up(programs, database, when):
    """The database works on it for longer than is waited for: the spool keeps it,
    and whether the server ends it before or after the next start, it is there
    once."""
    api = programs.collectd(database)
    api.buffer["SpoolDirectory"] = api.directory / "spool"
    api.start()
    database.wait_stored(len(api.accept([event("first")])))
    api.rest()
    holder = psycopg2.connect(database.conninfo)
    holder.cursor().execute("LOCK TABLE aurore.lane IN EXCLUSIVE MODE")
    api.accept([event(f"waiting {i}") for i in range(10)])
    wait_until(
        lambda: database.value("SELECT count(*) FROM pg_locks WHERE NOT granted"),
        30,
        "no batch waits",
    )
    assert api.stop() == 0
    assert "10 events remain in the spool" in api.log()
    if when == "before":
        holder.close()
    api.start()
    holder.close()
    database.wait_stored(11)
    api.rest()
    wait_until(
        lambda: database.value(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE application_name LIKE 'collectd aurore writer%'"
        )
        == 1,
        30,
        "the first one's session is still there",
    )
    assert database.stored() == database.counted() == 11
    assert "lost" not in api.log()
