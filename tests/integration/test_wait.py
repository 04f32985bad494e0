# SPDX-License-Identifier: MIT
"""Prefer: wait=N. 201 means that the rows are in the database; whatever stands in
the way of that, the answer is 202 in the end, and nothing is lost."""

import json
import shutil
import threading

import pytest

from harness.events import event
from harness.proxy import AFTER_COMMIT, BEFORE_END, Proxy
from harness.wait import wait_until

LONG = {"Prefer": "wait=30"}
SHORT = {"Prefer": "wait=1"}
# Tries again soon, and never lets the breaker come in between.
EAGER = {"BackoffMin": 0.01, "BackoffMax": 0.1, "BreakerFailures": 1000}


class Post(threading.Thread):
    """A request under way on a connection of its own."""

    def __init__(self, api, events, headers):
        super().__init__()
        self.arguments = (api.url("/events"), events, headers)
        self.answer = None
        self.start()

    def run(self):
        import requests

        url, events, headers = self.arguments
        self.answer = requests.post(url, json=events, headers=headers, timeout=120)

    def wait(self):
        self.join()
        assert self.answer is not None
        return self.answer


def stored_ids(database):
    return {one for (one,) in database.rows("SELECT event_id::text FROM aurore.event")}


def check_stored(answer, database):
    """201, and the rows are there."""
    assert answer.status_code == 201, answer.text
    body = answer.json()
    assert body["status"] == "stored"
    assert answer.headers["Preference-Applied"] == "wait"
    ids = body.get("event_ids") or [body["event_id"]]
    assert set(ids) <= stored_ids(database)
    return ids


def check_accepted(answer):
    assert answer.status_code == 202, answer.text
    assert answer.json()["status"] == "accepted"
    assert "Preference-Applied" not in answer.headers


@pytest.mark.parametrize("durability", ["commit", "interval", "memory"])
@pytest.mark.parametrize("lanes", [1, 3])
def test_the_row_is_there(programs, database, lanes, durability):
    """At once: neither DrainInterval nor BatchSize is waited for."""
    api = programs.collectd(
        database,
        {"Lanes": lanes, "Durability": durability},
        {"DrainInterval": 3600, "BatchSize": 5000},
    )
    if durability != "memory":
        api.buffer["SpoolDirectory"] = api.directory / "spool"
    api.start()
    for number in range(7):
        check_stored(api.post(event(f"one {number}"), headers=LONG), database)
        many = [event(f"many {number}.{i}") for i in range(13)]
        check_stored(api.post(many, headers=LONG), database)
    lines = "\n".join(json.dumps(event()) for _ in range(3))
    answer = api.post(lines, "application/x-ndjson", headers=LONG)
    check_stored(answer, database)
    assert database.stored() == 7 * 14 + 3


def test_with_other_preferences(programs, database):
    api = programs.collectd(database).start()
    for prefer in ("return=minimal, wait=30", "Wait=30; x=y, return=minimal"):
        answer = api.post([event()], headers={"Prefer": prefer})
        assert answer.status_code == 201
        assert answer.headers["Preference-Applied"] == "return=minimal, wait"
        assert set(answer.json()) == {"status", "accepted", "rejected", "queued_at"}
    for prefer in ("wait=0", "wait=31", "wait=x", "wait"):
        check_accepted(api.post(event(), headers={"Prefer": prefer}))


def test_another_status_for_what_was_taken(programs, database):
    """It waits all the same."""
    api = programs.collectd(database).start()
    for status in (200, 202, 204):
        answer = api.session.post(
            api.url(f"/events?accepted_status={status}"), json=[event()], headers=LONG
        )
        assert answer.status_code == status
        assert answer.headers["Preference-Applied"] == "wait"
        if status != 204:
            assert answer.json()["status"] == "stored"
    assert database.stored() == 3


def test_where_some_are_refused_nothing_waits(programs, own_postgres):
    database = own_postgres.create_database()
    api = programs.collectd(database).start()
    own_postgres.stop()
    answer = api.post([event(), event("")], headers=LONG)
    assert answer.status_code == 207
    assert "Preference-Applied" not in answer.headers
    own_postgres.start()
    database.wait_stored(1)


def test_a_dead_letter_is_an_answer_too(programs, database):
    api = programs.collectd(database, writer=EAGER).start()
    check_stored(api.post(event(), headers=LONG), database)
    database.execute(
        "ALTER TABLE aurore.event ADD CONSTRAINT no_bad CHECK (message <> 'bad')"
    )
    # A neighbour shows that it is the row's fault.
    answer = api.post([event("good"), event("bad"), event("good")], headers=LONG)
    assert answer.status_code == 201
    assert database.dead_letters() == 1
    assert database.stored() == 3


def test_the_database_is_away(programs, own_postgres):
    database = own_postgres.create_database()
    api = programs.collectd(database).start()
    check_stored(api.post(event(), headers=LONG), database)
    own_postgres.stop()
    check_accepted(api.post(event(), headers=SHORT))
    late = Post(api, event(), LONG)
    wait_until(lambda: api.metrics().get("buffer_size") == 2, 30, "nothing waits")
    own_postgres.start()
    check_stored(late.wait(), database)
    assert database.stored() == 3


def test_the_database_takes_nothing(programs, database):
    """A lock that others hold: the batch is tried, and tried again."""
    api = programs.collectd(database, writer={**EAGER, "StatementTimeout": 0.5})
    api.start()
    check_stored(api.post(event(), headers=LONG), database)
    database.execute("BEGIN; LOCK TABLE aurore.lane IN ACCESS EXCLUSIVE MODE")
    check_accepted(api.post(event(), headers=SHORT))
    late = Post(api, event(), LONG)
    wait_until(lambda: api.metrics().get("buffer_size") == 2, 30, "nothing waits")
    database.execute("ROLLBACK")
    check_stored(late.wait(), database)


@pytest.mark.parametrize("moment", [AFTER_COMMIT, BEFORE_END])
def test_the_answer_of_the_commit_is_lost(programs, postgres, moment):
    """The rows are stored, or they are not: 201 comes when that is known."""
    database = programs.database(postgres)
    proxy = Proxy(postgres.directory / ".s.PGSQL.5432")
    conninfo = (
        f"host=127.0.0.1 port={proxy.port} user=postgres"
        f" dbname={database.name} sslmode=disable gssencmode=disable"
    )
    api = programs.collectd(conninfo, writer={**EAGER, "ConnectTimeout": 1}).start()
    check_stored(api.post(event(), headers=LONG), database)
    for times in (1, 3):
        proxy.set_trap(moment, times)
        check_stored(api.post([event()] * 5, headers=LONG), database)
    assert database.stored() == 11
    proxy.let_go()
    assert api.stop() == 0
    proxy.close()


def test_a_quarter_of_the_connections(programs, own_postgres):
    database = own_postgres.create_database()
    api = programs.collectd(database, {"MaxConnections": 12}).start()
    own_postgres.stop()
    waiting = [Post(api, event(), LONG) for _ in range(3)]
    wait_until(lambda: api.metrics().get("buffer_size") == 3, 30, "nothing waits")
    check_accepted(api.post(event(), headers=LONG))
    own_postgres.start()
    for post in waiting:
        check_stored(post.wait(), database)
    check_stored(api.post(event(), headers=LONG), database)


@pytest.mark.parametrize("spool", [False, True], ids=["memory", "directory"])
def test_a_stop_answers_at_once(programs, own_postgres, spool):
    database = own_postgres.create_database()
    api = programs.collectd(database, writer={"ShutdownTimeout": 60})
    if spool:
        api.buffer["SpoolDirectory"] = api.directory / "spool"
    api.start()
    own_postgres.stop()
    waiting = [Post(api, event(), LONG) for _ in range(5)]
    wait_until(lambda: api.metrics().get("buffer_size") == 5, 30, "nothing waits")
    api.terminate()
    for post in waiting:
        check_accepted(post.wait())
    own_postgres.start()
    assert api.wait() == 0
    if spool:
        api.start()
    database.wait_stored(5)


def test_a_fenced_lane(programs, database):
    """Another process has the spool: the lane stores nothing, and 201 is never
    said."""
    first = programs.collectd(database, writer=EAGER)
    first.buffer["SpoolDirectory"] = first.directory / "spool"
    first.start()
    check_stored(first.post(event(), headers=LONG), database)
    first.rest()
    copied = programs.collectd(database)
    copied.buffer["SpoolDirectory"] = copied.directory / "spool"
    first.kill()
    shutil.copytree(first.buffer["SpoolDirectory"], copied.buffer["SpoolDirectory"])
    first.start()
    check_stored(first.post(event(), headers=LONG), database)
    first.rest()
    database.execute("BEGIN; LOCK TABLE aurore.lane IN ACCESS EXCLUSIVE MODE")
    copied.start_only()
    wait_until(
        lambda: somebody_accepts(copied), 30, "the copy does not listen"
    )
    late = Post(copied, event("of the copy"), {"Prefer": "wait=3"})
    wait_until(
        lambda: copied.metrics().get("events_enqueued_total") == 1, 30, "nothing waits"
    )
    database.execute("ROLLBACK")
    copied.wait_log("is fenced")
    check_accepted(late.wait())
    assert database.stored() == 2


def somebody_accepts(api):
    import requests

    try:
        return api.get("/live").status_code == 200
    except requests.ConnectionError:
        return False


def test_sessions_that_are_ended_under_load(programs, database):
    """Whatever was answered with 201 is there at that moment."""
    api = programs.collectd(database, {"Lanes": 2}, EAGER).start()
    check_stored(api.post(event(), headers=LONG), database)
    checker = threading.Lock()
    found = []

    def client(number):
        import requests

        with requests.Session() as session:
            for i in range(40):
                answer = session.post(
                    api.url("/events"), json=event(f"{number} {i}"), headers=LONG
                )
                with checker:
                    found.append(check_stored(answer, database))

    clients = [threading.Thread(target=client, args=(n,)) for n in range(6)]
    for one in clients:
        one.start()
    # Not for ever: on a slow machine nothing would be stored in between.
    for _ in range(15):
        if not any(one.is_alive() for one in clients):
            break
        with checker:
            database.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                " AND application_name LIKE '%writer%'"
            )
        clients[0].join(0.2)
    for one in clients:
        one.join()
    assert len(found) == 6 * 40
    assert database.stored() == 6 * 40 + 1
