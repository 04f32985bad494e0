# SPDX-License-Identifier: MIT
"""The network between the writer and PostgreSQL fails at its worst moments, and
each event is stored once."""

import pytest

from harness.events import event
from harness.proxy import AFTER_COMMIT, AFTER_END, BEFORE_END, Proxy
from harness.wait import wait_until

EAGER = {
    "BackoffMin": 0.01,
    "BackoffMax": 0.05,
    "BreakerFailures": 1000,
    "StatementTimeout": 1,
    "ConnectTimeout": 1,
}


@pytest.fixture(scope="module")
def behind_proxy(postgres, module_programs):
    """A collectd whose way to the database is the proxy."""
    database = module_programs.database(postgres)
    proxy = Proxy(postgres.directory / ".s.PGSQL.5432")
    conninfo = (
        f"host=127.0.0.1 port={proxy.port} user=postgres"
        f" dbname={database.name} sslmode=disable gssencmode=disable"
    )
    api = module_programs.collectd(conninfo, writer=EAGER).start()
    api.accept(event("first"))
    database.wait_stored(1)
    yield api, proxy, database
    proxy.let_go()
    assert api.stop() == 0
    proxy.close()


def failures(api):
    return api.metrics().sum("batch_failures_total")


def check_stored(api, database, ids):
    """Those are stored, each once, and counted."""
    figures = api.rest()
    rows = [one for (one,) in database.rows("SELECT event_id::text FROM aurore.event")]
    assert len(rows) == len(set(rows))
    assert set(ids) <= set(rows)
    assert figures.get("events_processed_total") == len(rows)
    assert figures.get("events_enqueued_total") == len(rows)
    assert database.counted() == len(rows)
    assert figures.get("dead_letters_total") == 0


@pytest.mark.parametrize("moment", [AFTER_COMMIT, BEFORE_END, AFTER_END])
@pytest.mark.parametrize("times", [1, 3])
def test_cut_at_the_worst_moment(behind_proxy, moment, times):
    api, proxy, database = behind_proxy
    before = failures(api)
    sprung = proxy.sprung
    stored = database.stored()
    proxy.set_trap(moment, times)
    ids = []
    while proxy.sprung < sprung + times:
        ids += api.accept([event(f"{moment} {i}") for i in range(7)])
        database.wait_stored(stored + len(ids))
    check_stored(api, database, ids)
    assert failures(api) >= before + times
    assert proxy.sprung == sprung + times


@pytest.mark.parametrize("side", ["client", "server"])
def test_half_closed(behind_proxy, side):
    """The side that sees no end may hold what the other one needs: a session
    keeps the place of the lane locked until it ends, too."""
    api, proxy, database = behind_proxy
    before = failures(api)
    stored = database.stored()
    proxy.half_close(side)
    ids = api.accept([event(f"{side} {i}") for i in range(7)])
    wait_until(lambda: failures(api) > before, 30, "nothing fails")
    proxy.let_go()
    database.wait_stored(stored + 7)
    check_stored(api, database, ids)


def test_stalled(behind_proxy):
    """Nothing ends and nothing passes: the deadline does it."""
    api, proxy, database = behind_proxy
    before = failures(api)
    stored = database.stored()
    proxy.stall()
    ids = api.accept([event(f"stalled {i}") for i in range(7)])
    api.wait_metric("database_connection_status", 0)
    assert failures(api) > before
    assert database.stored() == stored
    proxy.let_go()
    database.wait_stored(stored + 7)
    check_stored(api, database, ids)
