# SPDX-License-Identifier: MIT
"""A database that is back gets its events at once; why it is away is said; who
only reads makes room for who stores; a stop that gains nothing ends."""

import concurrent.futures

import pytest

from harness.events import event
from harness.wait import wait_until

LONG = {"ShutdownTimeout": 3600}


def breaker(api):
    return api.get("/health/detailed").json()["circuitBreaker"]["state"]


def log_lines(api, text):
    return [line for line in api.log().splitlines() if text in line]


def test_a_database_that_is_back_is_noticed(programs, own_postgres):
    """With the defaults. Probes that fail are no change of state."""
    database = own_postgres.create_database()
    api = programs.collectd(
        database, writer={"BreakerTimeout": 1, "BackoffMax": 2}
    ).start()
    api.accept(event("before"))
    database.wait_stored(1)
    database.close()
    own_postgres.stop()
    api.accept([event("meanwhile") for _ in range(10)])
    wait_until(lambda: breaker(api) == "OPEN", 30, "the breaker is not open")
    failures = api.metrics().sum("batch_failures_total")
    wait_until(
        lambda: api.metrics().sum("batch_failures_total") >= failures + 4,
        30,
        "it is not probed",
    )
    own_postgres.start()
    database.wait_stored(11)
    wait_until(lambda: breaker(api) == "CLOSED", 30, "the breaker is not closed")
    assert len(log_lines(api, "aurore: circuit breaker open after")) == 1
    assert len(log_lines(api, "the database is reachable again")) == 1


def test_a_cause_that_changes_is_logged(programs, database):
    role = f"writer_of_{database.name}"
    database.execute(f"CREATE ROLE {role} LOGIN SUPERUSER")
    conninfo = database.conninfo.replace("user=postgres", f"user={role}")
    api = programs.collectd(conninfo).start()
    api.accept(event("before"))
    database.wait_stored(1)
    database.execute(
        f"ALTER ROLE {role} NOLOGIN; SELECT pg_terminate_backend(pid)"
        f" FROM pg_stat_activity WHERE usename = '{role}'"
    )
    api.accept(event("meanwhile"))
    api.wait_log("is not permitted to log in (SQLSTATE 28000)", timeout=60)
    wait_until(
        lambda: api.get("/health/database").json()["sqlState"] == "28000",
        30,
        "health does not say why",
    )
    error = api.get("/health/detailed").json()["database"]["lastError"]
    assert error["sqlState"] == "28000"
    assert "is not permitted to log in" in error["message"]
    database.execute(f"ALTER ROLE {role} LOGIN")
    database.wait_stored(2)
    assert api.stop() == 0
    database.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_readers_make_room_for_the_writer(programs, database):
    """The role has fewer slots than the plugin has connections."""
    role = f"writer_of_{database.name}"
    database.execute(f"CREATE ROLE {role} LOGIN")
    database.execute(f"GRANT CREATE ON DATABASE {database.name} TO {role}")
    conninfo = database.conninfo.replace("user=postgres", f"user={role}")
    api = programs.collectd(conninfo, writer={"QueryConnections": 4}).start()
    api.accept(event("before"))
    database.wait_stored(1)
    stop = []

    def read():
        while not stop:
            api.get("/dlq", timeout=30)
            api.get("/health/database", timeout=30)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read) for _ in range(4)]
        try:
            database.execute(f"ALTER ROLE {role} CONNECTION LIMIT 3")
            for stored in range(2, 5):
                database.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    f" WHERE usename = '{role}'"
                )
                api.accept(event("meanwhile"))
                database.wait_stored(stored)
        finally:
            stop.append(True)
        for reader in readers:
            reader.result()
    wait_until(
        lambda: api.get("/health/database").status_code == 200, 30, "not healthy"
    )
    assert api.stop() == 0
    database.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


@pytest.mark.parametrize("how", ["away", "silent"])
def test_a_stop_that_gains_nothing_ends(programs, own_postgres, how):
    """What is in the spool can wait there."""
    database = own_postgres.create_database()
    api = programs.collectd(database, {"SpoolDirectory": "spool"}, LONG).start()
    api.accept(event("before"))
    database.wait_stored(1)
    database.close()
    if how == "away":
        own_postgres.stop()
    else:
        own_postgres.freeze()
    api.accept(event("kept"))
    assert api.stop() == 0
    assert log_lines(api, "1 events remain in the spool")
    if how == "away":
        own_postgres.start()
    else:
        own_postgres.thaw()
    api.start()
    database.wait_stored(2)
