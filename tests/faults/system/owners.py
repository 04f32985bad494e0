# SPDX-License-Identifier: MIT
"""Faults that those to whom the database belongs commit in good faith: rules on
the table of events, connections of others, days in use, a newer schema."""

import psycopg2

from harness.journal import DISLIKED
from harness.rules import add_trigger, add_unfilled_column, drop_trigger
from harness.wait import wait_until

RAISED, CHECKED = "P0001", "23514"
# Older than what is kept by default, and how a view keeps it.
OLD_DAYS = 60


def _wait_refused(world, sql_state, words):
    """Until one of those that are disliked is a dead letter, for that reason."""
    world.disliked.add(sql_state)
    wait_until(
        lambda: world.database.value(
            "SELECT count(*) FROM aurore.dead_letter"
            " WHERE sql_state = %s AND position(%s IN failure_reason) > 0",
            (sql_state, words),
        )
        or world.clients.failures,
        60,
        "nothing is refused",
    )


def trigger_refuses_some(world):
    """a trigger that raises P0001 for some events"""
    add_trigger(
        world.database,
        DISLIKED.replace("message", "NEW.message"),
        f"ERRCODE = '{RAISED}'",
    )
    _wait_refused(world, RAISED, "go away")
    world.some_load()
    drop_trigger(world.database)
    world.wait_lanes_move()


def trigger_refuses_all(world):
    """a trigger that raises P0001 for every event: none is to blame"""
    add_trigger(world.database, "true", f"ERRCODE = '{RAISED}'")
    world.some_load()
    world.wait_failure()
    drop_trigger(world.database)
    # Nobody is under suspicion any more, whatever comes next.
    world.wait_lanes_move()


def check_refuses_some(world):
    """a CHECK that some events violate"""
    world.database.execute(
        "ALTER TABLE aurore.event ADD CONSTRAINT for_a_while"
        f" CHECK (NOT ({DISLIKED})) NOT VALID"
    )
    _wait_refused(world, CHECKED, "for_a_while")
    world.database.execute("ALTER TABLE aurore.event DROP CONSTRAINT for_a_while")


def column_that_nobody_fills(world):
    """NOT NULL without a default, added and dropped: no event is to blame"""
    add_unfilled_column(world.database)
    world.some_load()
    world.wait_failure()
    world.database.execute("ALTER TABLE aurore.event DROP COLUMN extra")
    world.wait_lanes_move()


def _take_slots(world, taken):
    """All that are left to those who are no superuser."""
    while True:
        try:
            taken.append(
                psycopg2.connect(
                    world.postgres.conninfo(world.database.name).replace(
                        "user=postgres", f"user={world.role}"
                    ),
                    application_name="somebody else",
                )
            )
        except psycopg2.OperationalError:
            return


def take_all_slots(world):
    """others take every connection of the server, while clients read, too"""
    taken = []
    try:
        _take_slots(world, taken)
        for pid in world.sessions("application_name <> 'somebody else'"):
            world.database.execute("SELECT pg_terminate_backend(%s)", (pid,))
            _take_slots(world, taken)
        world.some_load()
        for _ in range(5):
            world.read()
        world.wait_failure()
    finally:
        for one in taken:
            one.close()
    world.wait_lanes_move()


def keep_day(world):
    """a day that is due cannot be dropped, since somebody's view shows it"""
    database = world.database
    (name,) = database.rows(
        f"""WITH made AS MATERIALIZED (
              SELECT aurore.ensure_partitions(current_date - {OLD_DAYS},
                                              current_date - {OLD_DAYS}))
            SELECT to_char(current_date - {OLD_DAYS}, '"aurore.event_"YYYYMMDD')
              FROM made"""
    )[0]
    database.execute(f"CREATE VIEW public.shown AS SELECT * FROM {name}")
    world.end_sessions()  # the janitor runs when a writer comes back
    wait_until(
        lambda: any(
            host.api.metrics().get("retention_overdue_days") == 1
            for host in world.hosts
        ),
        30,
        "no day is overdue",
    )
    world.some_load()
    database.execute("DROP VIEW public.shown")
    world.end_sessions()
    wait_until(
        lambda: database.value("SELECT to_regclass(%s) IS NULL", (name,)),
        30,
        "the day is not dropped",
    )


def newer_schema(world):
    """a newer release adds to the schema, and this one starts on it"""
    # Each by itself: with several tables locked others would wait for each other.
    world.database.execute(
        "INSERT INTO aurore.schema_addition (name) VALUES ('999_newer')"
        " ON CONFLICT DO NOTHING"
    )
    world.database.execute("CREATE TABLE IF NOT EXISTS aurore.newer (n integer)")
    for table in ("event", "lane", "dead_letter", "event_count", "event_key"):
        world.database.execute(
            f"ALTER TABLE aurore.{table} ADD COLUMN IF NOT EXISTS newer"
            " integer NOT NULL DEFAULT 7"
        )
    world.end_sessions()
    world.some_load()
    world.stop_collectd()
    world.start_collectd()


FAULTS = (
    trigger_refuses_some,
    trigger_refuses_all,
    check_refuses_some,
    column_that_nobody_fills,
    take_all_slots,
    keep_day,
    newer_schema,
)
