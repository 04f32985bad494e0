# SPDX-License-Identifier: MIT
"""The database is there, but something is wrong with it: events wait, no row
is blamed, and storing resumes by itself when the problem is gone."""

import os

import psycopg2

from harness.events import event
from harness.rules import drop_trigger
from harness.wait import wait_until

# Tries again soon, and never lets the breaker come in between.
EAGER = {"BackoffMin": 0.01, "BackoffMax": 0.1, "BreakerFailures": 1000}


def started(programs, database, buffer=None, writer=None):
    """A collectd that has stored one event."""
    api = programs.collectd(database, buffer, {**EAGER, **(writer or {})}).start()
    api.accept(event("before"))
    database.wait_stored(1)
    api.rest()
    return api


def wait_failures(api, sqlstate_class, count=2):
    labels = {"class": sqlstate_class}
    before = api.metrics().get("batch_failures_total", **labels)
    wait_until(
        lambda: api.metrics().get("batch_failures_total", **labels)
        >= before + count,
        30,
        lambda: f"no failures of class {sqlstate_class}: "
        f"{api.metrics().family('batch_failures_total')}",
    )


def check_nothing_lost(api, database, count):
    database.wait_stored(count)
    figures = api.rest()
    assert figures.get("events_enqueued_total") == count
    assert figures.get("events_processed_total") == count
    assert figures.get("dead_letters_total") == 0
    assert database.dead_letters() == 0
    assert database.counted() == count


def test_read_only(programs, database):
    api = started(programs, database)
    name = database.name
    database.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    end_sessions(database)
    api.accept([event("meanwhile") for _ in range(5)])
    wait_until(
        lambda: api.metrics().sum("batch_failures_total") >= 2,
        30,
        "nothing is tried",
    )
    assert api.metrics().get("buffer_size") == 5
    database.execute("SET default_transaction_read_only = off")
    database.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    check_nothing_lost(api, database, 6)


def end_sessions(database):
    database.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database()"
        " AND application_name LIKE 'collectd aurore %'"
    )


def test_a_table_that_is_locked(programs, database):
    api = started(programs, database, writer={"StatementTimeout": 0.3})
    locker = psycopg2.connect(database.conninfo)
    locker.cursor().execute("LOCK TABLE aurore.event IN ACCESS EXCLUSIVE MODE")
    api.accept([event("meanwhile") for _ in range(5)])
    wait_failures(api, "57")
    assert api.metrics().get("buffer_size") == 5
    locker.close()
    check_nothing_lost(api, database, 6)


def test_no_partition_for_today(programs, database):
    """Somebody has taken the partition away: it is made again."""
    api = started(programs, database)
    for (name,) in database.rows("SELECT name FROM aurore.partitions()"):
        database.execute(f"ALTER TABLE aurore.event DETACH PARTITION aurore.{name}")
    api.accept([event("meanwhile") for _ in range(5)])
    database.wait_stored(5)
    figures = api.rest()
    assert figures.get("dead_letters_total") == 0
    assert figures.get("events_processed_total") == 6


def test_partitions_are_made_ahead(programs, database):
    started(programs, database)
    wait_until(
        lambda: database.value(
            "SELECT max(upper_bound) >= now() + interval '6 days'"
            " FROM aurore.partitions()"
        ),
        30,
        "there are no partitions ahead",
    )


def test_a_role_without_rights(programs, database):
    role = f"writer_of_{database.name}"
    database.execute(f"CREATE ROLE {role} LOGIN")
    conninfo = database.conninfo.replace("user=postgres", f"user={role}")
    api = programs.collectd(conninfo, writer=EAGER).start()
    api.accept([event("early") for _ in range(3)])
    api.wait_log("lacks the right CREATE")
    assert api.get("/ready").status_code == 200
    database.execute(f"GRANT CREATE ON DATABASE {database.name} TO {role}")
    check_nothing_lost(api, database, 3)
    database.execute(f"ALTER ROLE {role} CONNECTION LIMIT 0")
    end_sessions(database)
    api.accept(event("meanwhile"))
    wait_failures(api, "connection")
    database.execute(f"ALTER ROLE {role} CONNECTION LIMIT -1")
    check_nothing_lost(api, database, 4)
    assert api.stop() == 0
    database.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_a_schema_that_is_newer(programs, database):
    breaker = {"BreakerFailures": 3, "BreakerTimeout": 0.3}
    api = started(programs, database, writer=breaker)
    assert api.stop() == 0
    database.execute("INSERT INTO aurore.schema_version (version) VALUES (9999)")
    api.start()
    api.accept(event("early"))
    api.wait_log("9999")
    assert api.get("/ready").status_code == 200
    assert api.metrics().get("buffer_size") == 1
    api.wait_log('type = schema, message = lane 0: the schema "aurore" has version')
    api.wait_metric("circuit_breaker_state", 1)
    assert api.get("/health/database").status_code == 503
    detailed = api.get("/health/detailed").json()
    assert detailed["status"] == "critical"
    assert "a newer release" in detailed["database"]["lastError"]["message"]
    database.execute("DELETE FROM aurore.schema_version WHERE version = 9999")
    database.wait_stored(2)
    api.wait_log("lane 0: the schema is known again")
    told = [line for line in api.log().splitlines() if "type = schema" in line]
    assert ["FAILURE" in line for line in told] == [True, False]


def test_a_place_that_is_gone(programs, database):
    """The row of the lane was deleted; the lane goes on where it was."""
    api = started(programs, database)
    database.execute("DELETE FROM aurore.lane")
    api.accept([event("meanwhile") for _ in range(5)])
    check_nothing_lost(api, database, 6)


def test_a_database_that_is_made_anew(programs, database, postgres):
    """Dropped while it runs: the schema is made again, and what waits is
    stored."""
    api = started(programs, database)
    postgres.drop_database(database)
    api.accept([event("meanwhile") for _ in range(5)])
    api.wait_metric("database_connection_status", 0)
    postgres.create_again(database)
    database.wait_stored(5)
    figures = api.rest()
    assert figures.get("events_processed_total") == 6
    assert figures.get("dead_letters_total") == 0


def test_a_database_that_answers_and_cannot_store(programs, database):
    """It lets us claim the lane and refuses the rows: told once, and the breaker
    opens all the same."""
    api = started(
        programs,
        database,
        writer={"BreakerFailures": 3, "BreakerSuccesses": 1, "BreakerTimeout": 0.3},
    )
    database.execute(
        "CREATE FUNCTION public.no_room() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = '53100'; END $$;"
        " CREATE TRIGGER no_room BEFORE INSERT ON aurore.event"
        " FOR EACH ROW EXECUTE FUNCTION public.no_room()"
    )
    api.accept([event("meanwhile") for _ in range(5)])
    wait_failures(api, "53", 5)
    api.wait_metric("circuit_breaker_state", 1)
    told = [line for line in api.complaints() if "could not store a batch" in line]
    assert len(told) == 1, told
    assert "the database is reachable again" not in api.log()
    drop_trigger(database, "no_room")
    check_nothing_lost(api, database, 6)
    api.wait_metric("circuit_breaker_state", 0)
    assert api.log().count("the database is reachable again") == 1


def test_nothing_is_left_open(programs, database):
    """Connections that were lost leave no descriptor behind."""
    api = started(programs, database, {"Lanes": 2})

    def descriptors():
        return len(os.listdir(f"/proc/{api.process.pid}/fd"))

    before = descriptors()
    stored = 1
    for _ in range(15):
        end_sessions(database)
        api.accept([event() for _ in range(3)])
        stored += 3
        database.wait_stored(stored)
    api.rest()
    wait_until(
        lambda: descriptors() <= before + 2,
        20,
        lambda: f"{before} descriptors became {descriptors()}",
    )


def test_an_error_within_a_row_of_another_class(programs, database):
    """Class 22, raised by a constraint that divides."""
    api = started(programs, database)
    database.execute(
        "ALTER TABLE aurore.event ADD CHECK (1 / (length(message) - 3) < 9) NOT VALID"
    )
    ids = api.accept([event("fine"), event("bad"), event("fine too")])
    database.wait_stored(3)
    assert database.rows("SELECT event_id::text, sql_state FROM aurore.dead_letter") == [
        (ids[1], "22012")
    ]
    assert api.rest().get("dead_letters_total") == 1


def test_the_log_tells_no_content(programs, database):
    """Neither of events nor of passwords."""
    conninfo = database.conninfo + " password=opensesame"
    api = programs.collectd(conninfo, writer=EAGER).start()
    api.accept(event("before"))
    database.wait_stored(1)
    database.execute(
        "ALTER TABLE aurore.event ADD CHECK (message <> 'verysecret') NOT VALID"
    )
    api.accept([event("verysecret"), event("other", metadata={"k": "confidential"})])
    database.wait_stored(2)
    end_sessions(database)
    api.accept(event("once more"))
    database.wait_stored(3)
    assert api.stop() == 0
    for word in ("verysecret", "confidential", "opensesame"):
        assert word not in api.log()
