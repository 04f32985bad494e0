# SPDX-License-Identifier: MIT
"""Old days are dropped whole, and nothing waits for it; days begin and clocks
jump."""

from datetime import datetime, timedelta, timezone

import psycopg2
import pytest

from harness.clock import Clock
from harness.events import event
from harness.load import Load
from harness.wait import wait_until

needs_clock = pytest.mark.plain("a sanitizer and libfaketime do not go together")
DAY = timedelta(days=1)
EXACT = """SELECT (SELECT n FROM aurore.figures(now(), 0) WHERE kind = 'total')
                  - count(*) FROM aurore.event"""


def today():
    now = datetime.now(timezone.utc)
    return now.replace(hour=0, minute=0, second=0, microsecond=0)


def make_schema(programs, database):
    """By a host whose wish, for more days, ends with it."""
    first = programs.collectd(database).start()
    wait_until(
        lambda: database.value("SELECT to_regclass('aurore.retention_wish')")
        and database.value("SELECT count(*) FROM aurore.retention_wish") == 1,
        30,
        "it has told nothing",
    )
    assert first.stop() == 0


def store_before(database, days, count):
    """Events of so many days ago, with their counters, as a writer stores them."""
    at = today() - days * DAY + timedelta(hours=12)
    database.execute(
        "SELECT aurore.ensure_partitions(%s::date, %s::date)", (at, at)
    )
    database.execute(
        """INSERT INTO aurore.event
             (event_id, occurred_at, ingested_at, service, message)
           SELECT gen_random_uuid(), %s, %s, 'old', 'm'
             FROM generate_series(1, %s);
           INSERT INTO aurore.event_count (minute, service, spool_id, lane, n)
           VALUES (%s, 'old', gen_random_uuid(), 0, %s)""",
        (at, at, count, at, count),
    )


def stored_by_day(database):
    """{days before today: events}"""
    return {
        (today().date() - day).days: count
        for day, count in database.rows(
            """SELECT (ingested_at AT TIME ZONE 'UTC')::date, count(*)
                 FROM aurore.event GROUP BY 1"""
        )
    }


def wait_figures(api, total):
    wait_until(
        lambda: api.metrics().get("business_events_total") == total,
        30,
        lambda: f"not {total}: {api.metrics().get('business_events_total')}",
    )


def test_a_day_is_dropped_under_load_behind_a_long_query(programs, database):
    """Inserts and queries go on; every reading of the figures is exact; the
    drop is over when the query is."""
    make_schema(programs, database)
    for days in (1, 2, 3, 4):
        store_before(database, days, 1000 * days)
    database.execute(
        """INSERT INTO aurore.dead_letter (event_id, service, event,
             failure_reason, spool_id, lane, seq, created_at) VALUES
           (gen_random_uuid(), 'old', '', '', gen_random_uuid(), 0, 1,
            now() - interval '4 days')"""
    )
    reader = psycopg2.connect(database.conninfo)
    reader.cursor().execute("SELECT count(*) FROM aurore.event")

    api = programs.collectd(
        database,
        writer={
            "RetentionDays": 2,
            "RetentionTime": "00:00",
            "BusinessInterval": 0.1,
        },
    ).start()
    wait_until(
        lambda: database.value(
            "SELECT count(*) FROM pg_inherits WHERE inhdetachpending"
        ),
        30,
        "no partition is being dropped",
    )
    with Load(api) as load:
        for _ in range(5):
            load.wait_acknowledged(100)
            before = database.stored()
            wait_until(lambda: database.stored() > before, 30, "nothing is stored")
            assert database.value(EXACT) == 0
        assert set(stored_by_day(database)) == {0, 1, 2, 3}
        reader.rollback()
        wait_until(
            lambda: set(stored_by_day(database)) == {0, 1, 2}
            and database.value("SELECT count(*) FROM aurore.event_leaving") == 0,
            30,
            lambda: f"not dropped: {stored_by_day(database)}",
        )
        assert database.value(EXACT) == 0
        load.wait_acknowledged(100)
    reader.close()
    api.rest()
    by_day = stored_by_day(database)
    assert by_day[1] == 1000 and by_day[2] == 2000
    assert by_day[0] >= len(load.acknowledged)
    assert database.stored() == database.counted()
    wait_figures(api, database.stored())
    assert database.dead_letters() == 1
    assert api.log().count("dropped the partition") == 2
    assert "with 4000 events" in api.log()
    assert api.metrics().get("db_query_total", operation="retention") >= 3


@needs_clock
def test_events_that_waited_longer_than_days_are_kept(programs, own_postgres):
    """They are stored all the same, and go with the next drop."""
    database = own_postgres.create_database()
    own_postgres.stop()
    api = programs.collectd(
        database,
        writer={
            "RetentionDays": 2,
            "RetentionTime": "00:00",
            "BusinessInterval": 0.1,
            "ShutdownTimeout": 0.1,
        },
    )
    api.buffer["SpoolDirectory"] = api.directory / "spool"
    api.clock = Clock(api.directory, -5 * DAY)
    api.start()
    api.accept([event() for _ in range(300)])
    assert api.stop() == 0
    own_postgres.start()
    api.clock = None
    api.start()
    # Before they are stored nothing of their day is dropped.
    wait_until(
        lambda: api.metrics().get("events_processed_total") == 300, 30, "not stored"
    )
    api.accept(event())
    api.rest()
    # The writer comes back, and wakes the janitor.
    database.execute(
        """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE application_name LIKE 'collectd aurore writer%'"""
    )
    wait_until(
        lambda: stored_by_day(database) == {0: 1},
        30,
        lambda: f"not dropped: {stored_by_day(database)}",
    )
    wait_figures(api, 1)
    wait_until(
        lambda: database.value("SELECT count(*) FROM aurore.event_leaving") == 0,
        30,
        "the drop is not finished",
    )
    assert database.counted() == 1


def is_pending(database):
    return database.value(
        "SELECT count(*) FROM pg_inherits WHERE inhdetachpending"
    )


@needs_clock
def test_events_of_a_day_that_is_being_dropped_are_stored(programs, database):
    """For as long as a query holds the drop up the day can be neither finished
    nor made anew; its events go with it, and the others are stored."""
    keeps = {"RetentionDays": 4, "RetentionTime": "00:00", "BusinessInterval": 0.1}
    api = programs.collectd(database, writer=keeps)
    api.clock = Clock(api.directory, -5 * DAY)
    api.start()
    api.accept([event() for _ in range(10)])
    database.wait_stored(10)
    # Its yesterday, which the janitor makes, is not to be first.
    yesterday = f"aurore.event_{today() - 6 * DAY:%Y%m%d}"
    wait_until(
        lambda: database.value(f"SELECT to_regclass('{yesterday}')") is not None,
        30,
        "there are no partitions",
    )
    database.execute(f"DROP TABLE {yesterday}")
    reader = psycopg2.connect(database.conninfo)
    reader.cursor().execute("SELECT count(*) FROM aurore.event")
    # Another host, whose clock is right, drops it.
    other = programs.collectd(database, writer=keeps).start()
    wait_until(lambda: is_pending(database), 30, "it is not being dropped")
    api.accept([event() for _ in range(7)])
    wait_until(
        lambda: api.metrics().get("events_processed_total") == 17, 30, "not stored"
    )
    assert api.metrics().get("circuit_breaker_state") == 0
    assert api.metrics().get("dead_letters_total") == 0
    assert database.value(EXACT) == 0
    reader.close()
    wait_until(
        lambda: database.stored() == 0
        and database.value("SELECT count(*) FROM aurore.event_leaving") == 0,
        30,
        "the drop is not finished",
    )
    # From now on they have a partition again; nobody is to drop it at once.
    assert other.stop() == 0
    api.accept([event() for _ in range(3)])
    database.wait_stored(3)
    wait_figures(api, 3)
    assert database.value(EXACT) == 0
    # Its yesterday may be dropped while the janitor makes it again.
    trouble = [line for line in api.log().splitlines() if "could not" in line]
    assert all("could not make the partitions" in line for line in trouble), trouble


@needs_clock
def test_midnight(programs, database):
    """A day ends: the next one has its partition, and the oldest one goes at
    RetentionTime."""
    make_schema(programs, database)
    store_before(database, 2, 20)
    # The server's clock is a day ahead; the earlier one counts.
    api = programs.collectd(
        database,
        writer={
            "RetentionDays": 1,
            "RetentionTime": "00:00",
            "BusinessInterval": 0.1,
        },
    )
    api.clock = Clock(api.directory)
    api.clock.set(today() - timedelta(seconds=4))
    api.start()
    with Load(api) as load:
        load.wait_acknowledged(20)
        wait_until(lambda: database.stored() > 20, 30, "nothing is stored")
        assert stored_by_day(database)[2] == 20
        wait_until(
            lambda: set(stored_by_day(database)) == {0, 1},
            30,
            lambda: f"not dropped: {stored_by_day(database)}",
        )
        load.wait_acknowledged(20)
    api.rest()
    assert load.check(database) == database.counted()
    wait_figures(api, database.stored())
    assert api.clock.now() > today()


@needs_clock
def test_the_clock_jumps(programs, database):
    """Events are stored under the time it showed, all in one batch if need be;
    nothing is dropped because of a clock that is ahead."""
    api = programs.collectd(
        database,
        writer={
            "RetentionDays": 1,
            "RetentionTime": "00:00",
            "BusinessInterval": 0.1,
            "DrainInterval": 3600,
        },
    )
    api.clock = Clock(api.directory)
    api.start()
    # Of one batch: it spans decades.
    api.accept([event() for _ in range(10)])
    api.clock.jump(400 * DAY)
    api.accept([event() for _ in range(20)])
    api.clock.set(datetime(1971, 2, 3, tzinfo=timezone.utc))
    api.accept([event() for _ in range(30)])
    api.command("FLUSH")
    database.wait_stored(60)
    by_day = stored_by_day(database)
    assert sorted(by_day.values()) == [10, 20, 30]
    assert by_day[0] == 10 and by_day[-400] == 20
    wait_figures(api, 60)
    # A look at the time of a clock that is ahead.
    api.clock.jump(400 * DAY)
    database.execute(
        """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE application_name LIKE 'collectd aurore writer%'"""
    )
    wait_until(
        lambda: len(stored_by_day(database)) == 2,
        30,
        lambda: f"1971 is not dropped: {stored_by_day(database)}",
    )
    assert stored_by_day(database) == {0: 10, -400: 20}
    api.clock.jump(0 * DAY)
    api.accept([event() for _ in range(5)])
    api.command("FLUSH")
    database.wait_stored(35)
    wait_figures(api, 35)
    assert database.counted() == 35
