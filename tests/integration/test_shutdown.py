# SPDX-License-Identifier: MIT
"""SIGTERM: what was accepted is stored, or its loss is reported, in bounded
time."""

import time

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
