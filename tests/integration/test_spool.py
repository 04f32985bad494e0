# SPDX-License-Identifier: MIT
"""With a spool directory nothing that was accepted is lost, whatever happens to
collectd and to the database."""

import shutil

import pytest

from harness.events import event
from harness.load import Load


def spooled(programs, database, buffer=None, writer=None):
    """A collectd with a spool directory; not started."""
    api = programs.collectd(database, buffer, writer)
    api.buffer["SpoolDirectory"] = api.directory / "spool"
    return api


def test_the_rest_is_stored_after_a_restart(programs, own_postgres):
    database = own_postgres.create_database()
    api = spooled(programs, database, writer={"ShutdownTimeout": 0.5}).start()
    api.accept([event(f"first {i}") for i in range(10)])
    database.wait_stored(10)
    own_postgres.stop()
    api.accept([event(f"second {i}") for i in range(50)])
    assert api.stop() == 0
    assert "50 events remain in the spool" in api.log()
    own_postgres.start()
    api.start()
    database.wait_stored(60)
    figures = api.rest()
    assert figures.get("events_processed_total") == 50
    assert figures.get("spool_damaged_total") == 0
    api.accept(event("third"))
    database.wait_stored(61)
    assert database.value("SELECT count(DISTINCT message) FROM aurore.event") == 61


def test_what_waits_is_there_at_the_next_start(programs, own_postgres):
    database = own_postgres.create_database()
    own_postgres.stop()
    api = spooled(programs, database).start()
    api.accept([event() for _ in range(20)])
    api.kill()
    api.start()
    figures = api.metrics()
    assert figures.get("buffer_size") == 20
    assert figures.get("buffer_oldest_age_seconds") > 0
    api.accept([event() for _ in range(5)])
    api.kill()
    own_postgres.start()
    api.start()
    database.wait_stored(25)


@pytest.mark.slow
@pytest.mark.parametrize("lanes", [1, 2])
@pytest.mark.parametrize("durability", ["commit", "interval", "memory"])
def test_killed_under_load(programs, database, durability, lanes):
    """kill -9, again and again: what was answered 202 is stored, once."""
    api = spooled(
        programs,
        database,
        {"Durability": durability, "Lanes": lanes},
        {"BatchSize": 50, "DrainInterval": 0.005},
    )
    api.start()
    with Load(api) as load:
        for _ in range(4):
            load.wait_acknowledged(300)
            api.kill()
            api.start()
        load.wait_acknowledged(300)
    api.rest()
    stored = load.check(database)
    assert stored >= len(load.acknowledged)
    assert database.counted() == stored
    assert api.metrics().get("spool_damaged_total") == 0
    assert database.dead_letters() == 0


@pytest.mark.slow
def test_both_killed_under_load(programs, own_postgres):
    database = own_postgres.create_database()
    api = spooled(
        programs,
        database,
        {"Lanes": 2},
        {"BatchSize": 50, "DrainInterval": 0.005, "BackoffMax": 0.2},
    ).start()
    with Load(api) as load:
        for _ in range(3):
            load.wait_acknowledged(200)
            own_postgres.kill()
            load.wait_acknowledged(50)
            api.kill()
            own_postgres.start()
            api.start()
        load.wait_acknowledged(200)
    api.rest()
    load.check(database)


def test_more_lanes_and_fewer(programs, own_postgres):
    """Lanes of an earlier start are emptied, whatever Lanes says now."""
    database = own_postgres.create_database()
    own_postgres.stop()
    api = spooled(
        programs, database, {"Lanes": 4}, {"ShutdownTimeout": 0.1}
    ).start()
    for i in range(40):
        api.accept(event(f"in one of four {i}"))
    assert api.stop() == 0
    api.buffer["Lanes"] = 1
    own_postgres.start()
    api.start()
    database.wait_stored(40)
    api.accept(event("in the only one"))
    database.wait_stored(41)
    api.rest()
    assert api.stop() == 0
    api.buffer["Lanes"] = 2
    api.start()
    for i in range(10):
        api.accept(event(f"in one of two {i}"))
    database.wait_stored(51)


def test_a_second_owner_is_refused(programs, database):
    first = spooled(programs, database).start()
    second = programs.collectd(database)
    second.buffer["SpoolDirectory"] = first.buffer["SpoolDirectory"]
    second.expected_status = 1
    second.start_only()
    second.wait_log("does not start")
    line = [one for one in second.log().splitlines() if "does not start" in one][0]
    assert "event_" in line and "spool" in line
    assert second.stop() == 1
    first.accept(event("mine"))
    database.wait_stored(1)


def test_a_copied_spool_is_fenced(programs, database):
    """The same spool twice would store events twice: the second one stops."""
    first = spooled(programs, database).start()
    first.accept(event("original"))
    database.wait_stored(1)
    first.rest()
    first.kill()
    second = spooled(programs, database)
    copy = second.buffer["SpoolDirectory"]
    shutil.copytree(first.buffer["SpoolDirectory"], copy)
    first.start()
    first.accept(event("original again"))
    database.wait_stored(2)
    second.start_only()
    second.wait_log("is fenced")
    answer = second.post(event("copy"))
    assert answer.status_code == 503, answer.text
    assert second.get("/ready").status_code == 503
    first.accept(event("still fine"))
    database.wait_stored(3)
