# SPDX-License-Identifier: MIT
"""The dead letters: shown, reprocessed and stored once whatever happens
meanwhile, deleted."""

import hashlib
import threading
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import psycopg2
import pytest
import requests

from harness.events import TEXTS, TIME, event, microseconds
from harness.load import Load
from harness.wait import wait_until

NOBODY = "01936b6e-0f5a-4d3e-8a1b-0123456789ab"


def refuse(database, what="poison%"):
    """From now on the database refuses events with such a message."""
    wait_until(database.has_schema, 30, "there is no schema")
    database.execute(
        "ALTER TABLE aurore.event ADD CONSTRAINT no_poison"
        " CHECK (message NOT LIKE %s) NOT VALID",
        (what,),
    )


def allow(database):
    database.execute("ALTER TABLE aurore.event DROP CONSTRAINT no_poison")


def set_aside(api, events):
    """Dead letters of these events, in the order that /dlq shows them in."""
    before = api.database.dead_letters()
    ids = api.accept(events)
    wait_until(
        lambda: api.database.dead_letters() == before + len(ids),
        30,
        "the events are not set aside",
    )
    letters = api.get("/dlq?limit=1000").json()["events"]
    return [letter for letter in letters if letter["eventId"] in ids]


def set_aside_once(api):
    """A dead letter whose event would be stored now."""
    refuse(api.database)
    [letter] = set_aside(api, event("poison"))
    allow(api.database)
    return letter


def patch(api, letter_id, **keywords):
    keywords.setdefault("timeout", 60)
    return api.session.patch(api.url(f"/dlq/{letter_id}/reprocess"), **keywords)


def delete(api, letter_id):
    return api.session.delete(api.url(f"/dlq/{letter_id}"), timeout=60)


def check_figures(api, accepted, stored):
    """accepted = stored + dead lettered, and stored is what is there."""
    figures = api.rest()
    database = api.database
    assert figures.get("events_enqueued_total") == accepted
    assert figures.get("events_processed_total") == stored
    assert figures.get("dead_letters_total") == accepted - stored
    assert database.stored() == stored
    assert database.counted() == stored


# --- shown ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def shown(api):
    """Twelve dead letters of three services; one of them was reprocessed."""
    wait_until(api.database.has_schema, 30, "there is no schema")
    for path in ("/dlq", "/dlq/"):
        assert api.get(path).json() == {
            "events": [], "total": 0, "limit": 100, "offset": 0
        }
    assert api.get("/dlq/statistics").json() == {
        "total": 0, "byService": {}, "reprocessed": 0, "pending": 0,
        "oldestEvent": None,
    }
    refuse(api.database)
    sizes = {"alpha": 6, "beta": 4, 'g"amma ü': 2}
    for service, size in sizes.items():
        for number in range(size):
            set_aside(api, [event(f"poison {number}", service=service)])
    last = api.get("/dlq").json()["events"][-1]
    api.database.execute(
        "UPDATE aurore.dead_letter SET reprocessed = true,"
        " reprocessed_at = now(), stored_at = now() WHERE id = %s",
        (last["id"],),
    )
    return api


def test_a_page(shown):
    page = shown.get("/dlq").json()
    assert list(page) == ["events", "total", "limit", "offset"]
    assert (page["total"], page["limit"], page["offset"]) == (12, 100, 0)
    assert len(page["events"]) == 12
    letter = page["events"][0]
    assert list(letter) == [
        "id", "eventId", "service", "failureReason", "sqlState", "retryCount",
        "lastAttemptAt", "reprocessed", "createdAt",
    ]
    assert uuid.UUID(letter["id"]).version == 4
    assert uuid.UUID(letter["eventId"]).version == 7
    assert letter["service"] == 'g"amma ü'
    assert letter["sqlState"] == "23514"
    assert "no_poison" in letter["failureReason"]
    assert letter["retryCount"] == 1
    assert letter["reprocessed"] is False
    assert TIME.fullmatch(letter["lastAttemptAt"])
    assert TIME.fullmatch(letter["createdAt"])
    created = [letter["createdAt"] for letter in page["events"]]
    assert created == sorted(created, reverse=True)


def test_pages_do_not_overlap(shown):
    whole = shown.get("/dlq").json()["events"]
    parts = []
    for offset in (0, 5, 10, 15):
        page = shown.get(f"/dlq?limit=5&offset={offset}").json()
        assert (page["total"], page["limit"], page["offset"]) == (12, 5, offset)
        parts += page["events"]
    assert parts == whole


@pytest.mark.parametrize(
    "query, total",
    [
        ("service=alpha", 6),
        ("service=beta", 4),
        ("service=g%22amma%20%C3%BC", 2),
        ("service=nobody", 0),
        ("service=%27%29%3B%20DROP%20TABLE%20aurore.dead_letter%3B--%5C", 0),
        ("reprocessed=true", 1),
        ("reprocessed=false", 11),
        ("service=alpha&reprocessed=true", 1),
        ("service=beta&reprocessed=true", 0),
    ],
)
def test_a_choice(shown, query, total):
    page = shown.get(f"/dlq?{query}").json()
    assert page["total"] == len(page["events"]) == total


@pytest.mark.parametrize(
    "query, field, constraint",
    [
        ("limit=0", "limit", "min"),
        ("limit=1001", "limit", "max"),
        ("limit=x", "limit", "isInt"),
        ("limit=1&limit=2", "limit", "isInt"),
        ("offset=-1", "offset", "min"),
        ("offset=99999999999999999999", "offset", "max"),
        ("reprocessed=maybe", "reprocessed", "isBoolean"),
        ("reprocessed=", "reprocessed", "isBoolean"),
        ("service=", "service", "isNotEmpty"),
        ("service=%ff", "service", "isStorable"),
        ("page=1", "page", "whitelistValidation"),
    ],
)
def test_a_choice_that_makes_no_sense(shown, query, field, constraint):
    answer = shown.get(f"/dlq?{query}")
    assert answer.status_code == 400
    body = answer.json()
    assert body["status"] == "error"
    assert body["errorCode"] == "INVALID_QUERY"
    [error] = body["errors"]
    assert error["field"] == field
    assert constraint in error["constraints"]


def test_statistics(shown):
    statistics = shown.get("/dlq/statistics").json()
    oldest = shown.get("/dlq").json()["events"][-1]["createdAt"]
    assert statistics == {
        "total": 12,
        "byService": {"alpha": 6, "beta": 4, 'g"amma ü': 2},
        "reprocessed": 1,
        "pending": 11,
        "oldestEvent": oldest,
    }


def test_the_metrics(shown):
    figures = shown.metrics()
    assert figures.get("db_query_total", operation="dead_letter") > 0
    assert figures.get("http_request_total", route="dlq", status="200") > 0


@pytest.mark.parametrize(
    "method, path, allowed",
    [
        ("POST", "/dlq", "GET, HEAD, DELETE, OPTIONS"),
        ("GET", "/dlq/reprocess", "POST, OPTIONS"),
        ("DELETE", "/dlq/statistics", "GET, HEAD, OPTIONS"),
        ("PATCH", f"/dlq/{NOBODY}", "GET, HEAD, DELETE, OPTIONS"),
        ("GET", f"/dlq/{NOBODY}/reprocess", "PATCH, OPTIONS"),
    ],
)
def test_another_method(shown, method, path, allowed):
    answer = shown.session.request(method, shown.url(path), timeout=30)
    assert answer.status_code == 405
    assert answer.headers["Allow"] == allowed


@pytest.mark.parametrize("letter_id", [NOBODY, NOBODY.upper(), "12", "a b", "%22"])
def test_nobody(shown, letter_id):
    told = {"a b": "a b", "%22": '"'}.get(letter_id, letter_id)
    answers = [
        shown.get(f"/dlq/{letter_id}"),
        patch(shown, letter_id),
        delete(shown, letter_id),
    ]
    for answer in answers:
        assert answer.status_code == 404
        assert answer.json() == {
            "statusCode": 404,
            "message": f"Dead letter event not found: {told}",
            "error": "Not Found",
            "errorCode": "DEAD_LETTER_NOT_FOUND",
        }


def test_the_head_of_a_page(shown):
    answer = shown.session.head(shown.url("/dlq"), timeout=30)
    assert answer.status_code == 200
    assert answer.content == b""


def test_the_original_event(shown):
    sent = [
        event(
            "poison " + text,
            service="text",
            metadata={"text": text, "list": [1, 2.5, None, {"x": []}]},
        )
        for text in TEXTS.values()
    ] + [event("poison, no metadata", service="text")]
    letters = set_aside(shown, sent)
    assert len(letters) == len(sent)
    by_message = {one["message"]: one for one in sent}
    for letter in letters:
        full = shown.get(f"/dlq/{letter['id']}").json()
        original = full.pop("originalEvent")
        assert full == letter
        one = by_message.pop(original["message"])
        assert list(original) == [
            "eventId", "timestamp", "service", "message", "metadata", "ingestedAt"
        ]
        assert original["eventId"] == letter["eventId"]
        assert original["timestamp"] == "2026-03-14T15:09:26.535Z"
        assert original["service"] == "text"
        assert original["metadata"] == one.get("metadata")
        assert TIME.fullmatch(original["ingestedAt"])
    assert not by_message
    for letter in letters:
        assert delete(shown, letter["id"]).status_code == 204


def insert_letter(database, row, form=1):
    return database.value(
        "INSERT INTO aurore.dead_letter (event_id, service, event, format,"
        " failure_reason, spool_id, lane, seq) VALUES (gen_random_uuid(), 'odd',"
        " %s, %s, 'by hand', gen_random_uuid(), 0, 1) RETURNING id::text",
        (psycopg2.Binary(row), form),
    )


def field(data):
    return len(data).to_bytes(4, "big") + data


def row(message=b"hello", metadata=b'\x01{"a":1}'):
    """A row as COPY would take it."""
    fields = [bytes(8), bytes(16), bytes(8), b"odd", message, metadata]
    return len(fields).to_bytes(2, "big") + b"".join(map(field, fields))


@pytest.mark.parametrize(
    "data",
    [b"", b"\x00", b"\x00\x06", row()[:-1], row() + b"x", bytes(5000), row()[2:]],
)
def test_a_row_that_cannot_be_decoded(shown, data):
    """Somebody else has written it: it is shown as far as that goes."""
    letter_id = insert_letter(shown.database, data)
    answer = shown.get(f"/dlq/{letter_id}")
    assert answer.status_code == 200
    assert answer.json()["originalEvent"] is None
    answer = patch(shown, letter_id)
    assert answer.status_code == 422
    assert answer.json()["error"] == answer.reason
    assert answer.json()["errorCode"] == "DEAD_LETTER_UNREADABLE"
    assert delete(shown, letter_id).status_code == 204


def test_a_row_of_another_format(shown):
    letter_id = insert_letter(shown.database, row(), 2)
    assert shown.get(f"/dlq/{letter_id}").json()["originalEvent"] is None
    assert delete(shown, letter_id).status_code == 204


@pytest.mark.parametrize(
    "metadata", [b"{", b"[1]", b"{} {}", b"{}x", b'{"a":\xff}', b'{"\xff":1}', b"1"]
)
def test_a_row_with_garbled_metadata(shown, metadata):
    letter_id = insert_letter(shown.database, row(b"a\xffb", b"\x01" + metadata))
    original = shown.get(f"/dlq/{letter_id}").json()["originalEvent"]
    assert original["metadata"] is None
    assert original["message"] == "a\ufffdb"
    assert delete(shown, letter_id).status_code == 204


def test_garbled_rows_put_back_harm_nobody(shown):
    """The database refuses them again, each alone."""
    database = shown.database
    before = database.stored()
    ids = [
        insert_letter(database, row(b"a\x00b")),
        insert_letter(database, row(b"\xff")),
        insert_letter(database, row(metadata=b"\x01{")),
    ]
    for letter_id in ids:
        assert patch(shown, letter_id).status_code == 200
    shown.accept(event("neighbour"))
    database.wait_stored(before + 1)
    for letter_id in ids:
        wait_until(
            lambda: shown.get(f"/dlq/{letter_id}").json()["retryCount"] == 1,
            30,
            "it is not refused",
        )
        assert shown.get(f"/dlq/{letter_id}").json()["reprocessed"] is False
        assert delete(shown, letter_id).status_code == 204


# --- reprocessed ---------------------------------------------------------------


def test_put_back_and_stored_once(programs, database):
    api = programs.collectd(database, writer={"BusinessInterval": 0.5}).start()
    refuse(database)
    [letter] = set_aside(api, event("poison", metadata={"a": 1}))
    check_figures(api, 1, 0)
    api.wait_metric("dead_letters_pending", 1)
    allow(database)
    before = database.value("SELECT now()")
    answer = patch(api, letter["id"])
    assert answer.status_code == 200
    assert answer.json() == {
        "message": "Event reprocessed successfully",
        "eventId": letter["eventId"],
    }
    for answer in (patch(api, letter["id"]), patch(api, letter["id"])):
        assert answer.status_code == 409
        assert answer.json()["error"] == "Conflict"
    database.wait_stored(1)
    [(event_id, occurred_at, ingested_at, message, metadata)] = database.rows(
        "SELECT event_id::text, occurred_at, ingested_at, message, metadata"
        " FROM aurore.event"
    )
    assert event_id == letter["eventId"]
    assert microseconds(occurred_at) == 1773500966535897
    assert message == "poison" and metadata == {"a": 1}
    assert ingested_at >= before
    assert patch(api, letter["id"]).status_code == 409
    shown = api.get(f"/dlq/{letter['id']}").json()
    assert shown["reprocessed"] is True and shown["retryCount"] == 1
    check_figures(api, 2, 1)
    api.wait_metric("dead_letters_pending", 0)
    # Once it is stored it can be deleted for good.
    assert delete(api, letter["id"]).status_code == 204
    assert delete(api, letter["id"]).status_code == 404
    assert database.dead_letters() == 0


def test_refused_again(programs, database):
    api = programs.collectd(database).start()
    refuse(database)
    [letter] = set_aside(api, event("poison"))
    for retries in (2, 3):
        assert patch(api, letter["id"]).status_code == 200
        wait_until(
            lambda: api.get(f"/dlq/{letter['id']}").json()["retryCount"] == retries,
            30,
            "it is not refused again",
        )
        again = api.get(f"/dlq/{letter['id']}").json()
        assert again["reprocessed"] is False
        assert again["createdAt"] == letter["createdAt"]
        assert again["lastAttemptAt"] > letter["lastAttemptAt"]
    assert database.dead_letters() == 1
    check_figures(api, 3, 0)
    allow(database)
    assert patch(api, letter["id"]).status_code == 200
    database.wait_stored(1)
    check_figures(api, 4, 1)


def test_many_ask_at_once(programs, database):
    """One of them is told that it was put back, the others that it was already;
    there is one row of it."""
    api = programs.collectd(database, {"Lanes": 2, "Threads": 4}).start()
    refuse(database)
    letters = set_aside(api, [event(f"poison {i}") for i in range(20)])
    allow(database)
    with ThreadPoolExecutor(8) as pool:
        for letter in letters:
            answers = list(pool.map(lambda _: patch(api, letter["id"]), range(8)))
            statuses = sorted(answer.status_code for answer in answers)
            assert statuses == [200] + 7 * [409]
    database.wait_stored(20)
    check_figures(api, 40, 20)


class Held:
    """The dead letters can be read, and not changed, while this lasts; so a
    request that puts one back waits between keeping the event and marking the
    dead letter, and a writer waits before it stores the event."""

    def __init__(self, database):
        self._connection = psycopg2.connect(database.conninfo)
        self._database = database

    def __enter__(self):
        with self._connection.cursor() as cursor:
            cursor.execute("LOCK TABLE aurore.dead_letter IN SHARE MODE")
        return self

    def __exit__(self, *_):
        self._connection.close()

    def wait_marking(self):
        wait_until(
            lambda: self._database.value(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type ="
                " 'Lock' AND query LIKE '%mark_dead_letter%'"
            ) > 0,
            30,
            "nobody marks the dead letter",
        )


def end_backends(database):
    """Those of a process that was killed; else they go on when they can, and
    finish what they were told."""
    database.execute(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
        " WHERE application_name LIKE '%aurore%'"
        " AND datname = current_database()"
    )


def in_background(api, letter_id):
    """Puts it back; what became of it is not waited for."""

    def run():
        try:
            answers.append(patch(api, letter_id).status_code)
        except OSError as error:
            answers.append(error)

    answers = []
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, answers


@pytest.mark.parametrize("backends", ["ended", "going on"])
def test_killed_between_keeping_and_marking(programs, database, backends):
    api = programs.collectd(database, {"Lanes": 2})
    api.buffer["SpoolDirectory"] = api.directory / "spool"
    api.start()
    letter = set_aside_once(api)
    with Held(database) as held:
        # And once more after the restart: now there are two rows of it.
        for attempt in (1, 2):
            thread, answers = in_background(api, letter["id"])
            held.wait_marking()
            api.wait_metric("buffer_size", attempt)
            api.kill()
            thread.join(60)
            assert answers and not isinstance(answers[0], int)
            if backends == "ended":
                end_backends(database)
            api.start()
        assert api.get(f"/dlq/{letter['id']}").json()["reprocessed"] is False
        api.wait_metric("buffer_size", 2)
    database.wait_stored(1)
    figures = api.rest()
    # They were found in the spool, not accepted; one of them was passed over.
    assert figures.get("events_enqueued_total") == 0
    if backends == "ended":
        assert figures.get("events_processed_total") == 1
        assert figures.get("dead_letters_total") == 1
    assert database.stored() == database.counted() == 1
    assert database.value("SELECT event_id::text FROM aurore.event") == letter["eventId"]
    assert api.get(f"/dlq/{letter['id']}").json()["reprocessed"] is True
    assert patch(api, letter["id"]).status_code == 409


class Reprocessor(threading.Thread):
    """Puts back whatever waits, again and again, without asking what becomes of
    it."""

    def __init__(self, api):
        super().__init__(daemon=True)
        self._api = api
        self._ending = threading.Event()
        self.statuses = Counter()

    def run(self):
        session = requests.Session()
        while not self._ending.is_set():
            try:
                self._turn(session)
            except (requests.RequestException, ValueError):
                self._ending.wait(0.02)  # it was killed

    def _turn(self, session):
        page = session.get(
            self._api.url("/dlq?reprocessed=false&limit=50"), timeout=30
        )
        if page.status_code != 200:
            self._ending.wait(0.02)
            return
        for letter in page.json()["events"]:
            answer = session.patch(
                self._api.url(f"/dlq/{letter['id']}/reprocess"), timeout=30
            )
            self.statuses[answer.status_code] += 1
        self._ending.wait(0.005)

    def stop(self):
        self._ending.set()
        self.join(60)
        assert not self.is_alive()


@pytest.mark.slow
def test_killed_again_and_again(programs, database):
    """Events are refused, put back, refused again or stored, while collectd is
    killed and the database's sessions are ended: each is stored once in the
    end."""
    api = programs.collectd(
        database,
        {"Lanes": 2},
        {"BatchSize": 50, "DrainInterval": 0.001, "BreakerFailures": 1000},
    )
    api.buffer["SpoolDirectory"] = api.directory / "spool"
    api.start()
    refuse(database, "%7")
    reprocessors = [Reprocessor(api) for _ in range(2)]
    for one in reprocessors:
        one.start()
    with Load(api, threads=3) as load:
        for turn in range(6):
            load.wait_acknowledged(150)
            end_backends(database)
            load.wait_acknowledged(50)
            api.kill()
            api.start()
            if turn % 2 == 0:
                allow(database)
            else:
                refuse(database, "%7")
    api.rest()
    allow(database)
    # All that still waits, and what was kept and never marked, comes in now.
    wait_until(
        lambda: database.value(
            "SELECT count(*) FROM aurore.dead_letter WHERE stored_at IS NULL"
        ) == 0,
        60,
        "dead letters still wait",
    )
    for one in reprocessors:
        one.stop()
    api.rest()
    assert sum(one.statuses[200] for one in reprocessors) > 50
    assert not [s for one in reprocessors for s in one.statuses
                if s not in (200, 404, 409, 503)]
    assert database.dead_letters() > 20
    assert database.value("SELECT max(retry_count) FROM aurore.dead_letter") > 1
    load.check(database)
    assert database.counted() == database.stored()
    assert database.value(
        "SELECT count(*) FROM aurore.dead_letter AS d WHERE NOT EXISTS"
        " (SELECT FROM aurore.event AS e WHERE e.event_id = d.event_id)"
    ) == 0


def test_lost_with_the_memory_it_waited_in(programs, database):
    """Without a spool the event is lost with the process; the dead letter is
    still there to put it back."""
    api = programs.collectd(database).start()
    letter = set_aside_once(api)
    with Held(database) as held:
        thread, _ = in_background(api, letter["id"])
        held.wait_marking()
        api.kill()
        thread.join(60)
        end_backends(database)
    api.start()
    assert patch(api, letter["id"]).status_code == 200
    database.wait_stored(1)
    check_figures(api, 1, 1)


def test_lost_after_it_was_marked(programs, database):
    api = programs.collectd(database).start()
    letter = set_aside_once(api)
    mark = (
        "UPDATE aurore.dead_letter SET reprocessed = true,"
        " reprocessed_at = now() - interval '%s minutes'"
    )
    database.execute(mark % 9)
    assert patch(api, letter["id"]).status_code == 409
    database.execute(mark % 11)
    assert patch(api, letter["id"]).status_code == 200
    assert patch(api, letter["id"]).status_code == 409
    database.wait_stored(1)
    check_figures(api, 2, 1)


def test_the_database_goes_away_before_it_is_marked(programs, own_postgres):
    database = own_postgres.create_database()
    api = programs.collectd(database).start()
    letter = set_aside_once(api)
    with Held(database) as held:
        thread, answers = in_background(api, letter["id"])
        held.wait_marking()
        own_postgres.kill()
    thread.join(60)
    assert answers == [503]
    answer = api.get("/dlq")
    assert answer.status_code == 503
    assert answer.json()["errorCode"] == "DATABASE_UNAVAILABLE"
    assert "Retry-After" in answer.headers
    own_postgres.start()
    database.wait_stored(1)
    assert api.rest().get("events_processed_total") == 1
    wait_until(
        lambda: patch(api, letter["id"]).status_code == 409,
        30,
        "the pool does not reach the database again",
    )
    assert database.stored() == 1


def test_two_collectds_put_it_back(programs, database):
    """One dies with the event in its spool, and comes back when the other has
    put it back, too."""
    first, second = (programs.collectd(database) for _ in range(2))
    first.buffer["SpoolDirectory"] = first.directory / "spool"
    first.start()
    second.start()
    letter = set_aside_once(first)
    with Held(database) as held:
        thread, answers = in_background(first, letter["id"])
        held.wait_marking()
        first.kill()
        thread.join(60)
        end_backends(database)
    assert not isinstance(answers[0], int)
    wait_until(
        lambda: patch(second, letter["id"]).status_code == 200,
        30,
        "the pool does not reach the database again",
    )
    database.wait_stored(1)
    check_figures(second, 1, 1)
    first.start()
    figures = first.rest()
    assert figures.get("events_processed_total") == 0
    assert figures.get("dead_letters_total") == 1
    assert database.stored() == database.counted() == 1
    assert patch(first, letter["id"]).status_code == 409


def test_no_room_for_it(programs, database):
    api = programs.collectd(database, {"Capacity": 1}).start()
    letter = set_aside_once(api)
    api.rest()
    holder = psycopg2.connect(database.conninfo)
    with holder.cursor() as cursor:
        cursor.execute("LOCK TABLE aurore.event IN EXCLUSIVE MODE")
    api.accept(event("in the way"))
    answer = patch(api, letter["id"])
    assert answer.status_code == 429
    assert answer.json()["errorCode"] == "BUFFER_SATURATED"
    assert "Retry-After" in answer.headers
    assert api.get(f"/dlq/{letter['id']}").json()["reprocessed"] is False
    holder.close()
    database.wait_stored(1)
    api.rest()
    assert patch(api, letter["id"]).status_code == 200
    database.wait_stored(2)
    check_figures(api, 3, 2)


# --- deleted -------------------------------------------------------------------


def test_deleted_while_its_event_waits(programs, database):
    """It is refused as long as nobody knows what becomes of the event. Then nobody
    sees it any more; its event was promised, and is stored once."""
    api = programs.collectd(database, writer={"DrainInterval": 3600}).start()
    refuse(database)
    ids = api.accept([event("poison 1"), event("poison 2")])
    api.command("FLUSH")
    wait_until(lambda: database.dead_letters() == 2, 30, "nothing is set aside")
    first, second = api.get("/dlq").json()["events"]
    for letter in (first, second):
        assert patch(api, letter["id"]).status_code == 200
        answer = delete(api, letter["id"])
        assert answer.status_code == 409
        assert answer.json()["errorCode"] == "ALREADY_REPROCESSED"
        assert api.get(f"/dlq/{letter['id']}").status_code == 200
        # After so long it is lost, or stuck.
        database.execute(
            "UPDATE aurore.dead_letter SET reprocessed_at = now() - '11 min'::interval"
            " WHERE id = %s",
            (letter["id"],),
        )
        assert delete(api, letter["id"]).status_code == 204
        assert delete(api, letter["id"]).status_code == 404
        assert patch(api, letter["id"]).status_code == 404
        assert api.get(f"/dlq/{letter['id']}").status_code == 404
    assert api.get("/dlq").json()["total"] == 0
    assert api.get("/dlq/statistics").json()["total"] == 0
    allow(database)
    refuse(database, "poison 1")
    api.command("FLUSH")
    database.wait_stored(1)
    wait_until(
        lambda: api.get("/dlq").json()["total"] == 1, 30, "it does not come back"
    )
    # The one that was refused again is back, the other one is gone.
    [letter] = api.get("/dlq").json()["events"]
    assert letter["eventId"] == ids[0] and letter["retryCount"] == 2
    assert letter["reprocessed"] is False
    assert database.dead_letters() == 1
    check_figures(api, 4, 1)


def test_one_that_fails_again_cannot_be_deleted_before(programs, database):
    """Deleted is deleted: it does not come back."""
    api = programs.collectd(database, writer={"DrainInterval": 3600}).start()
    refuse(database)
    api.accept(event("poison"))
    api.command("FLUSH")
    wait_until(lambda: database.dead_letters() == 1, 30, "nothing is set aside")
    [letter] = api.get("/dlq").json()["events"]
    assert patch(api, letter["id"]).status_code == 200
    assert delete(api, letter["id"]).status_code == 409
    api.command("FLUSH")
    wait_until(
        lambda: delete(api, letter["id"]).status_code == 204, 30, "it stays busy"
    )
    assert api.get(f"/dlq/{letter['id']}").status_code == 404
    figures = api.rest()
    assert figures.get("dead_letters_total") == 2
    assert database.dead_letters() == 0


def test_tokens(programs, database, base):
    tokens = base / f"tokens-{uuid.uuid4()}"
    lines = [
        f"{scope} {hashlib.sha256(scope.encode()).hexdigest()}"
        for scope in ("ingest", "read", "admin")
    ]
    tokens.write_text("\n".join(lines) + "\n")
    tokens.chmod(0o600)
    api = programs.collectd(database, {"TokenFile": tokens}).start()
    wanted = [
        ("GET", "/dlq", {"read": 200, "admin": 200}),
        ("GET", "/dlq/statistics", {"read": 200, "admin": 200}),
        ("GET", f"/dlq/{NOBODY}", {"read": 404, "admin": 404}),
        ("PATCH", f"/dlq/{NOBODY}/reprocess", {"admin": 404}),
        ("DELETE", f"/dlq/{NOBODY}", {"admin": 404}),
        ("DELETE", "/dlq?service=nobody", {"admin": 200}),
        ("POST", "/dlq/reprocess", {"admin": 200}),
    ]
    wait_until(database.has_schema, 30, "there is no schema")
    for method, path, statuses in wanted:
        for scope in ("ingest", "read", "admin", None):
            headers = {"Authorization": f"Bearer {scope}"} if scope else {}
            headers["Content-Type"] = "application/json"
            answer = api.session.request(
                method, api.url(path), headers=headers, timeout=30
            )
            expected = statuses.get(scope, 403) if scope else 401
            assert answer.status_code == expected, (method, path, scope)
