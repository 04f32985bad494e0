# SPDX-License-Identifier: MIT
"""GET /events/:id: one event by its id, wherever it is."""

import time
import uuid

import pytest

from harness.events import event
from harness.wait import wait_until

PLACE = {
    "service": "test",
    "from": "2026-03-14T00:00:00Z",
    "to": "2026-03-15T00:00:00Z",
}
NOBODY = "0b2f8c5e-3f0a-4c39-9d3e-5a1f0c6b7d21"


def version_7(seconds):
    """An id that was made so many seconds ago."""
    ms = int((time.time() - seconds) * 1000)
    return str(uuid.UUID(int=ms << 80 | 7 << 76 | 2 << 62 | 12345))


def ask(api, identifier, **place):
    return api.get(f"/events/{identifier}", params=place)


def found(api, identifier, **place):
    answer = ask(api, identifier, **place)
    assert answer.status_code == 200, answer.text
    return answer.json()


def check_not_found(answer, identifier, may_come=False):
    assert answer.status_code == 404
    body = answer.json()
    assert body["message"].startswith(f"Event not found: {identifier}")
    assert body["errorCode"] == "EVENT_NOT_FOUND"
    assert answer.headers.get("Retry-After") == ("1" if may_come else None)
    return body["message"]


def insert(database, identifier, moment, **more):
    """An event as another program, or a client that names its own, made it."""
    row = {
        "event_id": identifier, "ingested_at": moment, "service": "test",
        "occurred_at": "2026-03-14T12:00:00Z", "message": "by hand", **more,
    }  # fmt: skip
    names = ", ".join(row)
    places = ", ".join(f"%({name})s" for name in row)
    database.execute(f"INSERT INTO aurore.event ({names}) VALUES ({places})", row)


def set_aside(api):
    """The id of an event that the database refuses, and that of its letter."""
    api.database.execute(
        "ALTER TABLE aurore.event ADD CONSTRAINT no_poison"
        " CHECK (message <> 'poison') NOT VALID"
    )
    identifier = api.accept(event("poison"))[0]
    api.accept(event("neighbour"))
    wait_until(lambda: api.database.dead_letters() == 1, 30, "nothing is set aside")
    return identifier, api.get("/dlq").json()["events"][0]


def test_by_the_ids_that_were_answered(api):
    ids = api.accept([event(f"{i}", metadata={"i": i}) for i in range(300)])
    api.rest()
    for i in (0, 1, 150, 299):
        item = found(api, ids[i])
        assert item["id"] == item["eventId"] == ids[i]
        assert item["message"] == f"{i}" and item["metadata"] == {"i": i}
    listed = api.get("/events", params={**PLACE, "pageSize": 1}).json()["items"][0]
    assert found(api, listed["id"]) == listed
    assert found(api, listed["id"].upper()) == listed
    assert found(api, listed["id"], **PLACE) == listed


def test_the_head_of_one(api):
    (identifier,) = api.accept(event("head"))
    api.rest()
    answer = api.session.head(api.url(f"/events/{identifier}/"), timeout=30)
    assert answer.status_code == 200 and answer.content == b""


def test_a_clock_that_was_set_back(api):
    """Ids go on from where they were, ahead of the time of acceptance."""
    wait_until(api.database.has_schema, 30, "there is no schema")
    identifier = version_7(10)
    insert(api.database, identifier, api.database.value("SELECT now() - '14 s'::interval"))
    assert found(api, identifier)["message"] == "by hand"


def test_ids_of_others(api):
    """Neither a random one nor one that a client made says when it came."""
    wait_until(api.database.has_schema, 30, "there is no schema")
    for identifier in (str(uuid.uuid4()), version_7(86400 * 300)):
        insert(api.database, identifier, api.database.value("SELECT now()"))
        message = check_not_found(ask(api, identifier), identifier)
        assert "service, from and to" in message
        assert found(api, identifier, **PLACE)["message"] == "by hand"
        for other in (
            {"service": "other"},
            {"to": "2026-03-14T11:59:59.999Z"},
            {"from": "2026-03-14T12:00:00.000001Z"},
        ):
            answer = ask(api, identifier, **{**PLACE, **other})
            assert "service, from and to" not in check_not_found(answer, identifier)


@pytest.mark.parametrize(
    "place, field",
    [
        ({"service": "test"}, "from"),
        ({"from": "2026-03-14"}, "service"),
        ({"to": "2026-03-14"}, "from"),
        ({**PLACE, "from": "x"}, "from"),
        ({**PLACE, "to": "2026-03-14T00:00:00Z"}, "to"),
        ({**PLACE, "to": "2026-05-14"}, "to"),
        ({**PLACE, "service": " "}, "service"),
        ({**PLACE, "page": "1"}, "page"),
        ({"total": "false"}, "total"),
    ],
)
def test_places_that_are_none(api, place, field):
    answer = ask(api, NOBODY, **place)
    assert answer.status_code == 400
    assert field in [one["field"] for one in answer.json()["errors"]]


def test_nothing(api):
    wait_until(api.database.has_schema, 30, "there is no schema")
    api.rest()
    for identifier in (NOBODY, version_7(3600), version_7(0), "nonsense", "1" * 300):
        answer = ask(api, identifier)
        check_not_found(answer, identifier[:200])


def test_what_waits_here_may_come(programs, database):
    """404 says to try again while the event may be one of those that wait."""
    api = programs.collectd(database, writer={"DrainInterval": 3600}).start()
    wait_until(database.has_schema, 30, "there is no schema")
    (identifier,) = api.accept(event("soon"))
    check_not_found(ask(api, identifier), identifier, may_come=True)
    # One that was made before the oldest of them is none of them ...
    old = version_7(600)
    check_not_found(ask(api, old), old)
    # ... and one that does not say when it was made may be any.
    check_not_found(ask(api, NOBODY), NOBODY, may_come=True)
    check_not_found(ask(api, NOBODY, **PLACE), NOBODY, may_come=True)
    check_not_found(ask(api, "nonsense"), "nonsense")
    api.command("FLUSH")
    database.wait_stored(1)
    api.rest()
    assert found(api, identifier)["message"] == "soon"
    check_not_found(ask(api, NOBODY), NOBODY)


def test_set_aside_and_put_back(programs, database):
    """Its letter is shown, then the event, which has another time of acceptance."""
    api = programs.collectd(database).start()
    wait_until(database.has_schema, 30, "there is no schema")
    identifier, letter = set_aside(api)
    assert found(api, identifier) == {
        "deadLetter": letter["id"],
        "eventId": identifier,
        "failureReason": letter["failureReason"],
    }
    assert found(api, identifier, **PLACE)["deadLetter"] == letter["id"]
    # By now the id's own moment is long past, as it may well be.
    database.execute("ALTER TABLE aurore.event DROP CONSTRAINT no_poison")
    old = version_7(86400 * 3)
    database.execute(
        "UPDATE aurore.dead_letter SET event_id = %s,"
        " event = overlay(event placing decode(%s, 'hex') from"
        " position(decode(%s, 'hex') in event))",
        (old, old.replace("-", ""), identifier.replace("-", "")),
    )
    assert found(api, old)["deadLetter"] == letter["id"]
    url = api.url(f"/dlq/{letter['id']}/reprocess")
    assert api.session.patch(url, timeout=30).status_code == 200
    database.wait_stored(2)
    assert found(api, old)["message"] == "poison"


def test_put_back_and_on_its_way(programs, database):
    """Wherever it waits: it is neither set aside any more, nor stored yet."""
    api = programs.collectd(database).start()
    wait_until(database.has_schema, 30, "there is no schema")
    identifier, _ = set_aside(api)
    database.execute(
        "UPDATE aurore.dead_letter SET reprocessed = true, reprocessed_at = now()"
    )
    api.rest()
    check_not_found(ask(api, identifier), identifier, may_come=True)


def test_no_database(programs):
    api = programs.collectd("host=/nonexistent dbname=x").start()
    answer = ask(api, NOBODY)
    assert answer.status_code == 503 and "Retry-After" in answer.headers
