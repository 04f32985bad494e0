# SPDX-License-Identifier: MIT
"""Whose fault a refusal is: one row's, all rows', the schema's; through a real
collectd, with several lanes."""

import pytest

from harness.events import event
from harness.rules import add_trigger, add_unfilled_column, drop_trigger, fill_column
from harness.wait import wait_until

# Tries again soon; the breaker is as it is by default.
EAGER = {"BackoffMin": 0.01, "BackoffMax": 0.2}


def started(programs, database, lanes=1, **writer):
    """A collectd whose lanes have each stored an event."""
    api = programs.collectd(database, {"Lanes": lanes}, {**EAGER, **writer}).start()
    accept_each(api, [event("before") for _ in range(2 * lanes)])
    database.wait_stored(2 * lanes)
    api.rest()
    return api


def accept_each(api, events):
    """In a request for each, so that they go to all lanes in turn."""
    return [api.accept(one)[0] for one in events]


def check_figures(api, database, stored, dead):
    database.wait_stored(stored, 60)
    wait_until(lambda: database.dead_letters() == dead, 60, "no dead letters")
    figures = api.rest()
    assert figures.get("events_processed_total") == stored
    assert figures.get("dead_letters_total") == dead
    assert figures.get("buffer_size") == 0
    assert database.counted() == stored


ERRORS = {
    "raised": ("ERRCODE = 'P0001'", "P0001"),
    "check_violation": ("ERRCODE = 'check_violation', TABLE = 'event'", "23514"),
    "internal": ("ERRCODE = 'XX000'", "XX000"),
    "class of its own": ("ERRCODE = 'ZZ001'", "ZZ001"),
}


@pytest.mark.parametrize("when", ["BEFORE", "AFTER"])
@pytest.mark.parametrize("error", ERRORS)
def test_a_row_that_a_trigger_refuses(programs, database, error, when):
    using, state = ERRORS[error]
    api = started(programs, database, lanes=2)
    add_trigger(database, "NEW.message = 'bad'", using, when)
    ids = api.accept([event("fine"), event("bad"), event("fine")])
    # It is alone in its batch now; what comes behind it testifies.
    alone = accept_each(api, [event("bad")])
    accept_each(api, [event("fine too") for _ in range(8)])
    check_figures(api, database, 4 + 2 + 8, 2)
    assert set(
        database.rows("SELECT event_id::text, sql_state FROM aurore.dead_letter")
    ) == {(ids[1], state), (alone[0], state)}
    assert "circuit breaker" not in api.log()
    assert api.metrics().get("circuit_breaker_state") == 0


def test_a_column_that_nobody_fills(programs, database):
    """Every event is refused with a class that means bad data: none is."""
    api = started(programs, database)
    add_unfilled_column(database)
    for _ in range(20):
        api.accept([event("meanwhile") for _ in range(100)])
    api.wait_log("the database refuses every event")
    wait_until(
        lambda: api.metrics().get("batch_failures_total", **{"class": "23"}) > 30,
        60,
        "it does not go on trying",
    )
    assert database.dead_letters() == 0
    told = [line for line in api.complaints() if "refuses every event" in line]
    assert len(told) == 1, told
    assert "SQLSTATE 23502" in told[0]
    assert '"extra"' in told[0]
    assert api.get("/ready").status_code == 200
    assert api.metrics().get("circuit_breaker_state") == 0
    error = api.get("/health/detailed").json()["database"]["lastError"]
    assert error["sqlState"] == "23502"
    assert '"extra"' in error["message"]
    fill_column(database)
    check_figures(api, database, 2002, 0)
    api.wait_log("the database takes events again")


def test_one_lane_that_is_refused_stops_no_other(programs, database):
    """The rows of one lane are refused, all of them, and nobody can tell why;
    the others go on, and the breaker stays closed."""
    api = started(programs, database, lanes=3, BreakerFailures=2)
    add_trigger(
        database,
        "(SELECT min(lane) FROM aurore.lane WHERE xmin = pg_current_xact_id()::xid)"
        " = 0",
        "ERRCODE = 'P0001'",
    )
    for _ in range(30):
        accept_each(api, [event("on") for _ in range(3)])
    wait_until(
        lambda: database.stored() >= 6 + 60, 60, "the other lanes do not go on"
    )
    api.wait_log("the database refuses every event")
    assert database.dead_letters() == 0
    assert api.metrics().get("circuit_breaker_state") == 0
    drop_trigger(database)
    check_figures(api, database, 96, 0)


def test_a_lane_is_blocked(programs, database):
    """For more than a minute: metrics, health and both routes say so."""
    api = started(programs, database)
    add_trigger(database, "true", "ERRCODE = '42501'")
    api.accept(event("meanwhile"))
    api.wait_metric("lanes_blocked", 1, timeout=120)
    assert api.metrics().get("health_status") == 0
    assert api.metrics().get("database_connection_status") == 1
    health = api.get("/health/database")
    assert health.status_code == 200
    assert health.json()["status"] == "warning"
    assert health.json()["sqlState"] == "42501"
    assert health.json()["warning"] == "Events refused"
    assert api.get("/health/detailed").status_code == 503
    drop_trigger(database)
    check_figures(api, database, 3, 0)
    assert api.metrics().get("lanes_blocked") == 0
    api.wait_metric("health_status", 1)
    assert api.get("/health/detailed").status_code == 200


def test_a_full_disk_and_lanes_that_have_nothing(programs, database):
    """Lanes without events reach the database; that does not close the breaker
    while another lane's are refused by it."""
    api = started(
        programs,
        database,
        lanes=4,
        BreakerFailures=2,
        BreakerSuccesses=2,
        BreakerTimeout=0.1,
    )
    add_trigger(database, "true", "ERRCODE = '53100'")
    api.accept(event("meanwhile"))
    api.wait_metric("circuit_breaker_state", 1)
    before = api.metrics().get("batch_failures_total", **{"class": "53"})
    database.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name LIKE 'collectd aurore writer%'"
        " AND datname = current_database()"
    )
    wait_until(
        lambda: api.metrics().get("batch_failures_total", **{"class": "53"})
        >= before + 10,
        60,
        "nothing is tried",
    )
    assert "circuit breaker closed" not in api.log()
    drop_trigger(database)
    check_figures(api, database, 9, 0)
    api.wait_metric("circuit_breaker_state", 0)
