# SPDX-License-Identifier: MIT
"""The database falls back to an earlier time: a standby that was behind is
promoted, a backup is restored, the server crashes with commits that were not on
its disk. What it lost is stored again, each event once, or told to be lost."""

import datetime
import os

import pytest

from harness.load import Load
from harness.postgres import Database
from harness.standby import (
    base_backup,
    cancelled_waits,
    promote,
    synchronous_standby,
)
from harness.wait import wait_until

# How often each is done in one test; 20 shows more.
ROUNDS = int(os.environ.get("AURORE_FALL_BACK_ROUNDS", "2"))
# Each moment is in the middle of a batch.
SMALL = {"BatchSize": 20, "DrainInterval": 0.001, "BackoffMax": 0.2}


class Address:
    """A place at which one server after the other answers, as an address is
    moved from a primary to the one that takes its place."""

    def __init__(self, server, name):
        self.path = server.directory.parent / f"at-{server.directory.name}"
        self.name = name
        self.point_to(server)

    def point_to(self, server):
        fresh = self.path.with_suffix(".new")
        fresh.symlink_to(server.directory)
        os.replace(fresh, self.path)
        self.server = server
        self.database = Database(server.conninfo(self.name))

    @property
    def conninfo(self):
        return f"host={self.path} port=5432 user=postgres dbname={self.name}"


def collectd_of(programs, conninfo, buffer=None, writer=None):
    api = programs.collectd(
        conninfo, {"Lanes": 2, **(buffer or {})}, {**SMALL, **(writer or {})}
    )
    api.buffer["SpoolDirectory"] = api.directory / "spool"
    return api


def count(database):
    return database.value("SELECT count(*) FROM aurore.event")


def wait_stored_more(database, more):
    before = count(database)
    wait_until(
        lambda: count(database) >= before + more, 60, "nothing more is stored"
    )


def check_balance(api, load, database):
    """Everything is there once, and the figures of a collectd that was not
    restarted say what happened."""
    figures = api.rest()
    stored = load.check(database)
    assert figures.get("events_enqueued_total") + figures.get(
        "events_replayed_total"
    ) == figures.get("events_processed_total")
    assert figures.get("events_lost_total") == 0
    assert database.counted() == stored
    assert database.dead_letters() == 0
    return figures


@pytest.mark.slow
@pytest.mark.parametrize("restarts", [False, True], ids=["stays", "restarted"])
def test_an_asynchronous_standby_is_promoted(programs, own_postgres, restarts):
    name = own_postgres.create_database().name
    address = Address(own_postgres, name)
    api = collectd_of(programs, address.conninfo).start()
    with Load(api) as load:
        load.wait_acknowledged(300)
        for number in range(ROUNDS):
            primary = address.server
            standby = programs.copy_of(primary)
            wait_stored_more(address.database, 300)
            primary.kill()
            if restarts:
                api.kill() if number % 2 == 0 else api.stop()
            promote(standby, name)
            address.point_to(standby)
            if restarts:
                api.start()
            load.wait_acknowledged(300, timeout=60)
            wait_until(lambda: count(address.database) > 0, 30, "not stored")
    figures = api.rest()
    load.check(address.database)
    assert figures.get("events_lost_total") == 0
    if not restarts:
        check_balance(api, load, address.database)
        assert figures.get("events_replayed_total") >= 300
        assert not load.unanswered
    assert api.stop() == 0


@pytest.mark.slow
def test_a_backup_is_restored(programs, own_postgres):
    """It has the same timeline and knows nothing of what came after it; the
    token in it may be that of an earlier start of collectd."""
    name = own_postgres.create_database().name
    address = Address(own_postgres, name)
    api = collectd_of(programs, address.conninfo).start()
    with Load(api) as load:
        load.wait_acknowledged(300)
        for number in range(ROUNDS):
            server = address.server
            backup = base_backup(programs, server)
            if number % 2 == 1:
                api.kill()
                api.start()
            wait_stored_more(address.database, 300)
            server.kill()
            backup.start()
            address.point_to(backup)
            load.wait_acknowledged(300, timeout=60)
    figures = api.rest()
    load.check(address.database)
    assert figures.get("events_lost_total") == 0
    assert address.database.counted() == count(address.database)
    assert api.stop() == 0


@pytest.mark.slow
def test_the_former_primary_comes_back(programs, own_postgres):
    """Beside the one that was promoted, and first in the list of hosts. Nothing
    goes there but while it is the only one, and what did is stored again."""
    former = own_postgres.create_database()
    standby = programs.copy_of(own_postgres)
    hosts = f"{own_postgres.directory},{standby.directory}"
    api = collectd_of(
        programs,
        f"host={hosts} port=5432 user=postgres dbname={former.name}",
        {"Lanes": 1},
    ).start()
    with Load(api) as load:
        load.wait_acknowledged(300)
        wait_stored_more(former, 100)
        own_postgres.kill()
        current = promote(standby, former.name)
        load.wait_acknowledged(300, timeout=60)
        wait_until(lambda: current.stored() > 300, 60, "not stored")
        own_postgres.start()
        before = count(former)
        for _ in range(3):
            current.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name LIKE 'collectd aurore writer%'"
            )
            load.wait_acknowledged(100)
            wait_stored_more(current, 100)
        assert count(former) == before
        # The only one that answers is believed, for as long as it is.
        standby.kill()
        wait_stored_more(former, 100)
        standby.start()
        wait_stored_more(current, 100)
    check_balance(api, load, current)
    assert api.stop() == 0
    current.close()


def end_readers(database):
    """Their sessions: they connect again, to whichever server they take."""
    database.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "
        "application_name LIKE 'collectd aurore%' AND "
        "application_name NOT LIKE '%writer%'"
    )


def total(api):
    """Of GET /events; None while the database is away."""
    answer = api.get(
        "/events?service=load&from=2026-03-01&to=2026-03-30&pageSize=1"
    )
    assert answer.status_code in (200, 503), answer.text
    return answer.json()["total"] if answer.status_code == 200 else None


def counted(api):
    """Of the business metrics, read after now."""
    now = datetime.datetime.now(datetime.timezone.utc).isoformat()

    def fresh():
        body = api.get("/health/business").json()
        return body if body.get("asOf", "") > now else None

    return wait_until(fresh, 60, "the business metrics are not read")["totalEvents"]


@pytest.mark.slow
def test_readers_follow_the_writers(programs, own_postgres):
    """A former primary that is first in the list and can be written to answers
    nobody but while the writers believe it: neither queries, nor the business
    metrics; nor are partitions made there."""
    former = own_postgres.create_database()
    standby = programs.copy_of(own_postgres)
    hosts = f"{own_postgres.directory},{standby.directory}"
    api = collectd_of(
        programs,
        f"host={hosts} port=5432 user=postgres dbname={former.name}",
        writer={"BusinessInterval": 0.1},
    ).start()
    with Load(api) as load:
        load.wait_acknowledged(300)
        wait_stored_more(former, 100)
        wait_until(lambda: total(api), 30, "no query is answered")
        own_postgres.kill()
        current = promote(standby, former.name)
        load.wait_acknowledged(300, timeout=60)
        wait_until(lambda: current.stored() > 300, 60, "not stored")
        own_postgres.start()
        load.wait_acknowledged(100)
        wait_stored_more(current, 100)
    api.rest()
    assert count(current) > count(former)
    guests = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name LIKE 'collectd aurore%'"
    )
    for _ in range(4):
        end_readers(current)
        wait_until(lambda: total(api), 30, "no query is answered")
        for _ in range(4):  # both connections
            assert total(api) == count(current)
        assert counted(api) == count(current)
        assert former.value(guests) == 0
    # The only one that answers is believed, for as long as it is.
    standby.kill()
    wait_until(lambda: total(api), 60, "no query is answered")
    api.wait_log("and no other one answers that is ahead of it")
    wait_until(
        lambda: total(api) == count(former) == len(load.acknowledged),
        60,
        "the readers do not follow to the former primary",
    )
    former.execute("DELETE FROM aurore.event")
    standby.start()
    wait_until(
        lambda: total(api) == count(current),
        60,
        "the readers do not come back",
    )
    assert counted(api) == count(current)
    load.check(current)
    assert api.stop() == 0
    current.close()


@pytest.mark.slow
def test_waits_for_the_synchronous_standby_are_cancelled(
    programs, own_postgres
):
    """What is committed without the standby is not stored: the standby that is
    promoted does not have it."""
    database = own_postgres.create_database()
    standby = synchronous_standby(programs, own_postgres)
    address = Address(own_postgres, database.name)
    api = collectd_of(programs, address.conninfo).start()
    with Load(api) as load:
        load.wait_acknowledged(300)
        wait_until(lambda: database.stored() > 100, 60, "nothing is stored")
        standby.stop()
        with cancelled_waits(own_postgres):
            committed = count(database)
            load.wait_acknowledged(500)
            wait_until(
                lambda: count(database) > committed, 60, "nothing is committed"
            )
            api.wait_log("without its synchronous standby")
        own_postgres.kill()
        promoted = promote(standby, database.name)
        address.point_to(standby)
        load.wait_acknowledged(300, timeout=60)
    figures = check_balance(api, load, promoted)
    # It was never taken for stored; what is kept would have made up for it.
    assert figures.get("events_replayed_total") == 0
    assert not load.unanswered
    assert api.stop() == 0
    promoted.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    "kept",
    [{"KeepStored": 0}, {"KeepStoredBytes": "2MiB"}],
    ids=["nothing", "little"],
)
def test_what_is_not_kept_is_told(programs, own_postgres, kept):
    """The number that is told is the number that is missing."""
    name = own_postgres.create_database().name
    address = Address(own_postgres, name)
    api = collectd_of(programs, address.conninfo, kept).start()
    with Load(api, events=200) as load:
        load.wait_acknowledged(300)
        standby = programs.copy_of(own_postgres)
        wait_stored_more(address.database, 40000)
        own_postgres.kill()
        promoted = promote(standby, name)
        address.point_to(standby)
        load.wait_acknowledged(300, timeout=60)
    figures = api.rest()
    assert not load.unanswered
    stored = {row[0] for row in promoted.rows("SELECT event_id::text FROM aurore.event")}
    assert len(stored) == count(promoted)
    missing = len(load.acknowledged.keys() - stored)
    assert missing > 0
    assert figures.get("events_lost_total") == missing
    assert figures.get("events_enqueued_total") + figures.get(
        "events_replayed_total"
    ) == figures.get("events_processed_total")
    told = api.get("/health/detailed").json()["database"]["fallenBack"]
    assert told == {
        "replayed": figures.get("events_replayed_total"),
        "lost": missing,
    }
    assert "fallen back to an earlier time" in api.log()
    assert "severity = FAILURE" in api.log()
    assert api.stop() == 0
    promoted.close()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["immediate", "kill"])
def test_asynchronous_commits_and_a_crash(programs, own_postgres, how):
    """What was confirmed and not on the disk is taken back, and stored again."""
    database = own_postgres.create_database()
    api = collectd_of(
        programs, database, writer={"AsyncCommit": True}
    ).start()
    with Load(api) as load:
        for _ in range(ROUNDS + 1):
            own_postgres.freeze_wal_writer()
            wait_stored_more(database, 300)
            if how == "kill":
                own_postgres.kill()
            else:
                own_postgres.stop("immediate")
            own_postgres.start()
        load.wait_acknowledged(300)
    figures = check_balance(api, load, database)
    assert figures.get("events_replayed_total") > 0
    assert not load.unanswered
    assert api.stop() == 0
