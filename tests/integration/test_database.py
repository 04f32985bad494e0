# SPDX-License-Identifier: MIT
"""The database goes away and comes back; nothing is lost, nothing is stored
twice."""

import pytest

from harness.events import event
from harness.load import Load
from harness.postgres import Database
from harness.wait import wait_until


def check_all(api, load, database):
    """Everything that was acknowledged is stored once, and the figures say so."""
    figures = api.rest()
    stored = load.check(database)
    assert figures.get("events_enqueued_total") == stored
    # A batch whose answer was lost is counted too, once it is known to be
    # stored.
    assert figures.get("events_processed_total") == stored
    assert database.counted() == stored
    assert figures.get("dead_letters_total") == 0
    assert database.dead_letters() == 0


RESTARTS = ["fast", "immediate", "kill"]


def restart(server, how):
    if how == "kill":
        server.kill()
        server.start()
    else:
        server.restart(how)


@pytest.mark.slow
@pytest.mark.parametrize("spool", [False, True], ids=["memory", "directory"])
@pytest.mark.parametrize("how", RESTARTS)
def test_restarts_under_load(programs, own_postgres, how, spool):
    database = own_postgres.create_database()
    # Small and frequent batches: each moment is in the middle of one.
    api = programs.collectd(
        database,
        {"Lanes": 2},
        {"BatchSize": 20, "DrainInterval": 0.001, "BackoffMax": 0.2},
    )
    if spool:
        api.buffer["SpoolDirectory"] = api.directory / "spool"
    api.start()
    with Load(api) as load:
        for _ in range(3):
            load.wait_acknowledged(300)
            restart(own_postgres, how)
        load.wait_acknowledged(300)
    check_all(api, load, database)
    assert not load.unanswered
    assert load.refused == 0
    assert api.stop() == 0


@pytest.mark.slow
def test_a_standby_is_promoted_under_load(programs, own_postgres):
    """The primary dies for good. What was stored is on the standby, since that is
    a synchronous one, and the writer finds it among the hosts by itself."""
    database = own_postgres.create_database()
    standby = programs.postgres(primary=own_postgres)
    for sql in (
        "ALTER SYSTEM SET synchronous_standby_names = '*'",
        "SELECT pg_reload_conf()",
    ):
        database.execute(sql)
    wait_until(
        lambda: database.value("SELECT sync_state FROM pg_stat_replication")
        == "sync",
        30,
        "the standby is not a synchronous one",
    )
    hosts = f"{own_postgres.directory},{standby.directory}"
    conninfo = f"host={hosts} port=5432 user=postgres dbname={database.name}"
    api = programs.collectd(
        conninfo,
        {"Lanes": 2},
        {"BatchSize": 20, "DrainInterval": 0.001, "BackoffMax": 0.2},
    ).start()
    promoted = Database(standby.conninfo(database.name))
    with Load(api) as load:
        load.wait_acknowledged(300)
        own_postgres.stop("immediate")
        load.wait_acknowledged(300)
        promoted.execute("SELECT pg_promote()")
        load.wait_acknowledged(300)
    check_all(api, load, promoted)
    assert not load.unanswered
    assert api.stop() == 0
    promoted.close()


def test_sessions_ended_under_load(programs, own_postgres):
    """The sessions alone are ended, many times and quickly."""
    database = own_postgres.create_database()
    api = programs.collectd(
        database,
        writer={
            "BatchSize": 20,
            "DrainInterval": 0.001,
            "BackoffMin": 0.001,
            "BackoffMax": 0.01,
            "BreakerFailures": 1000,
        },
    ).start()
    with Load(api) as load:
        for _ in range(30):
            load.wait_acknowledged(30)
            database.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name LIKE '%aurore writer%'"
            )
    check_all(api, load, database)
    assert api.metrics().get("batch_failures_total", **{"class": "57"}) > 0


def test_away_at_the_start(programs, own_postgres):
    database = own_postgres.create_database()
    database.close()
    own_postgres.stop()
    api = programs.collectd(database).start()
    # It is ready all the same: there is room.
    assert api.get("/ready").status_code == 200
    ids = api.accept([event(f"early {i}") for i in range(100)])
    figures = api.metrics()
    assert figures.get("buffer_size") == 100
    assert figures.get("database_connection_status") == 0
    assert figures.get("health_status") == 0
    own_postgres.start()
    database.wait_stored(100)
    figures = api.rest()
    assert figures.get("database_connection_status") == 1
    assert figures.get("health_status") == 1
    assert len(ids) == 100


def test_a_database_that_does_not_exist_yet(programs, own_postgres):
    admin = Database(own_postgres.conninfo("postgres"))
    later = Database(own_postgres.conninfo("later"))
    api = programs.collectd(later).start()
    api.accept(event("early"))
    api.wait_log('database "later" does not exist')
    admin.execute("CREATE DATABASE later")
    later.wait_stored(1)


def test_the_breaker_opens_and_closes(programs, own_postgres):
    database = own_postgres.create_database()
    api = programs.collectd(
        database,
        writer={
            "BackoffMin": 0.01,
            "BackoffMax": 0.02,
            "BreakerFailures": 3,
            "BreakerSuccesses": 1,
            "BreakerTimeout": 0.3,
        },
    ).start()
    api.accept(event("before"))
    database.wait_stored(1)
    own_postgres.stop()
    api.accept(event("meanwhile"))
    api.wait_metric("circuit_breaker_state", 1)
    api.wait_log("circuit breaker open")
    assert api.metrics().sum("batch_failures_total") >= 3
    own_postgres.start()
    database.wait_stored(2)
    api.wait_metric("circuit_breaker_state", 0)
    api.wait_log("circuit breaker closed")


def test_an_idle_connection_that_is_lost_is_noticed(programs, own_postgres):
    """Nothing is sent, and all the same the health is true."""
    database = own_postgres.create_database()
    api = programs.collectd(database).start()
    api.wait_metric("database_connection_status", 1)
    own_postgres.stop()
    api.wait_metric("database_connection_status", 0)
    api.wait_metric("health_status", 0)
    own_postgres.start()
    api.wait_metric("database_connection_status", 1)
    api.wait_metric("health_status", 1)


def test_trouble_is_told_once(programs, own_postgres):
    database = own_postgres.create_database()
    api = programs.collectd(
        database,
        writer={
            "BackoffMin": 0.01,
            "BackoffMax": 0.05,
            "BreakerFailures": 1000,
        },
    ).start()
    api.accept(event())
    database.wait_stored(1)
    own_postgres.stop()
    api.accept(event())
    wait_until(
        lambda: api.metrics().sum("batch_failures_total") >= 20,
        30,
        "nothing is tried",
    )
    told = [line for line in api.complaints() if "aurore" in line]
    assert len(told) == 1, told
    assert "trying again" in told[0]
    own_postgres.start()
    database.wait_stored(2)
    api.wait_log("the database is reachable again")


def test_a_database_that_does_not_answer(programs, own_postgres):
    """Every connection is open, and nobody answers. What was sent may have been
    stored: it is not stored twice."""
    database = own_postgres.create_database()
    api = programs.collectd(
        database,
        writer={"StatementTimeout": 0.5, "ConnectTimeout": 0.5},
    ).start()
    api.accept(event("before"))
    database.wait_stored(1)
    own_postgres.freeze()
    try:
        api.accept([event("meanwhile") for _ in range(10)])
        wait_until(
            lambda: api.metrics().sum("batch_failures_total") > 0,
            30,
            "the deadline does not pass",
        )
        # The API is not held up by it.
        assert api.get("/ready").status_code == 200
        assert api.metrics().get("buffer_size") == 10
    finally:
        own_postgres.thaw()
    database.wait_stored(11)
    figures = api.rest()
    assert figures.get("events_processed_total") == 11


def test_two_collectds_share_a_database(programs, database):
    """Both start at once on an empty database, and both store."""
    first = programs.collectd(database).start_only()
    second = programs.collectd(database).start_only()
    for api in (first, second):
        assert api.comes_up()
        api.accept([event("of two") for _ in range(50)])
    database.wait_stored(100)
    for api in (first, second):
        assert api.rest().get("events_processed_total") == 50
    assert database.value("SELECT count(DISTINCT spool_id) FROM aurore.lane") == 2


def test_partitions_are_made_again_when_the_database_comes_back(
    programs, own_postgres
):
    """It may be another one than before: the janitor looks at once, not in an
    hour."""
    database = own_postgres.create_database()
    programs.collectd(database).start()
    days = "SELECT count(*) FROM aurore.partitions()"
    wait_until(lambda: database.value(days) == 9, 30, "no partitions")
    for (table,) in database.rows("SELECT name FROM aurore.partitions()"):
        database.execute(f"DROP TABLE aurore.{table}")
    own_postgres.restart("fast")
    wait_until(lambda: database.value(days) == 9, 30, "no partitions")
