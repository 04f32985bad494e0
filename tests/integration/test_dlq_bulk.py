# SPDX-License-Identifier: MIT
"""POST /dlq/reprocess and DELETE /dlq: thousands of dead letters at once."""

import contextlib
import os
import threading

import psycopg2
import pytest
import requests

from harness.events import event
from harness.wait import wait_until

MANY = int(os.environ.get("AURORE_DEAD_LETTERS", "3000"))
OLD = "2026-03-14T15:09:26Z"

# Dead letters as many events make them that were refused long ago: copies of
# one, each with an event of its own. The event's id is in the 16 bytes behind
# the tuple's first field (2 + 4 + 8) and its own length (4).
COPY = """
INSERT INTO aurore.dead_letter (event_id, service, event, format, failure_reason,
                                sql_state, created_at, spool_id, lane, seq)
SELECT made.id, d.service,
       overlay(d.event placing decode(replace(made.id::text, '-', ''), 'hex')
               from 19 for 16),
       d.format, d.failure_reason, %(state)s, made.at, d.spool_id, d.lane, d.seq
  FROM aurore.dead_letter AS d,
       (SELECT gen_random_uuid() AS id,
               %(moment)s::timestamptz + i / 3 * interval '1 ms' AS at
          FROM generate_series(1, %(count)s) AS i) AS made
 WHERE d.id = %(letter)s
"""


def start(programs, database, buffer=None, writer=None):
    """A collectd with one dead letter, whose event would be stored now."""
    api = programs.collectd(database, buffer or {}, writer or {})
    api.buffer["SpoolDirectory"] = api.directory / "spool"
    api.start()
    wait_until(database.has_schema, 30, "there is no schema")
    database.execute(
        "ALTER TABLE aurore.event ADD CONSTRAINT no_poison"
        " CHECK (message <> 'poison') NOT VALID"
    )
    api.accept(event("poison"))
    api.accept(event("neighbour"))
    api.command("FLUSH")
    wait_until(lambda: database.dead_letters() == 1, 30, "nothing is set aside")
    database.execute("ALTER TABLE aurore.event DROP CONSTRAINT no_poison")
    return api


def copy(database, count, moment=OLD, state="23514"):
    letter = database.value(
        "SELECT id::text FROM aurore.dead_letter ORDER BY created_at DESC LIMIT 1"
    )
    values = {"letter": letter, "count": count, "moment": moment, "state": state}
    database.execute(COPY, values)


def insert_odd(database, moment=OLD):
    """One whose event cannot be decoded."""
    database.execute(
        "INSERT INTO aurore.dead_letter (event_id, service, event, created_at,"
        " failure_reason, spool_id, lane, seq) VALUES (gen_random_uuid(), 'odd',"
        " 'x', %s, 'by hand', gen_random_uuid(), 0, 1)",
        (moment,),
    )


def reprocess(api, timeout=120, **choice):
    return api.session.post(
        api.url("/dlq/reprocess"), json=choice, timeout=timeout
    )


def put_back(api, **choice):
    answer = reprocess(api, **choice)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert list(body) == ["reprocessed", "skipped", "remaining"]
    return tuple(body.values())


def purge(api, **choice):
    return api.session.delete(api.url("/dlq"), params=choice, timeout=120)


def purged(api, **choice):
    answer = purge(api, **choice)
    assert answer.status_code == 200, answer.text
    assert list(answer.json()) == ["deleted"]
    return answer.json()["deleted"]


def check_stored_once(database):
    """Each event of a dead letter is in the table once, no other twice."""
    assert database.value(
        "SELECT count(*) FROM (SELECT event_id FROM aurore.event GROUP BY 1"
        " HAVING count(*) > 1) AS twice"
    ) == 0
    assert database.value(
        "SELECT count(*) FROM aurore.dead_letter AS d WHERE d.stored_at IS NULL"
        " OR NOT EXISTS (SELECT FROM aurore.event AS e WHERE e.event_id = d.event_id)"
    ) == 0


# --- put back ------------------------------------------------------------------------


def test_all_of_them(programs, database):
    """More than are gathered at a time, and than a request takes."""
    api = start(programs, database)
    copy(database, MANY)
    total = MANY + 1
    put = 0
    while put < total:
        reprocessed, skipped, remaining = put_back(api, limit=1300)
        assert reprocessed == min(1300, total - put) and skipped == 0
        put += reprocessed
        assert remaining == total - put
    database.wait_stored(total + 1, timeout=120)
    api.rest()
    check_stored_once(database)
    assert put_back(api) == (0, 0, 0)
    figures = api.metrics()
    assert figures.get("events_processed_total") == total + 1


def test_the_oldest_first(programs, database):
    api = start(programs, database, writer={"DrainInterval": 3600})
    copy(database, 20)
    assert put_back(api, limit=7) == (7, 0, 14)
    assert database.value(
        "SELECT count(*) FILTER (WHERE reprocessed) = 7"
        " AND max(created_at) FILTER (WHERE reprocessed)"
        "     <= min(created_at) FILTER (WHERE NOT reprocessed)"
        "  FROM aurore.dead_letter"
    )
    # Those are on their way: the others follow, each once.
    assert put_back(api) == (14, 0, 0)
    assert put_back(api) == (0, 0, 0)
    api.command("FLUSH")
    database.wait_stored(22)
    api.rest()
    check_stored_once(database)


def test_those_that_match(programs, database):
    api = start(programs, database)
    copy(database, 5, "2026-03-01T00:00:00Z", "23502")
    copy(database, 3, "2026-03-02T00:00:00Z", "22P05")
    database.execute(
        "UPDATE aurore.dead_letter SET service = 'é ''x' WHERE sql_state = '22P05'"
    )
    assert put_back(api, service="nobody") == (0, 0, 0)
    assert put_back(api, sqlState="00000") == (0, 0, 0)
    assert put_back(api, before="2026-03-01T00:00:00Z") == (0, 0, 0)
    assert put_back(api, sqlState="23502", before="2026-03-02", limit=2.0) == (2, 0, 3)
    assert put_back(api, before=3.9e-131) == (0, 0, 0)
    assert put_back(api, before=1772409599, service="test") == (3, 0, 0)
    assert put_back(api, service="é 'x", sqlState=None, before=None, limit=None) == (3, 0, 0)
    assert put_back(api, limit=10000) == (1, 0, 0)


def test_no_body_is_all(programs, database):
    api = start(programs, database)
    answer = api.session.post(
        api.url("/dlq/reprocess"),
        headers={"Content-Type": "application/json; charset=utf-8"},
        timeout=60,
    )
    assert answer.json() == {"reprocessed": 1, "skipped": 0, "remaining": 0}


def test_those_that_cannot_be_decoded_stop_nobody(programs, database):
    """Though they are the oldest, and more than are gathered at a time."""
    api = start(programs, database)
    for _ in range(600):
        insert_odd(database, "2026-03-01T00:00:00Z")
    copy(database, 10)
    assert put_back(api, limit=5) == (5, 600, 6)
    assert put_back(api, limit=6) == (6, 600, 0)
    assert put_back(api, limit=5) == (0, 600, 0)


def test_what_another_request_has_is_left_to_it(programs, database):
    """Many at a time: each letter is put back by one of them."""
    api = start(programs, database)
    copy(database, 2000)
    sums = []

    def ask():
        with requests.Session() as session:
            answer = session.post(api.url("/dlq/reprocess"), json={"limit": 10000})
            sums.append(answer.json()["reprocessed"])

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_until(lambda: put_back(api)[0] == 0, 30, "there are always more")
    assert sum(sums) <= 2001
    database.wait_stored(2002, timeout=120)
    api.rest()
    check_stored_once(database)
    # Neither is any of them two rows of the buffer.
    assert api.metrics().get("events_processed_total") == 2002


def test_no_room(programs, database):
    """What has room is put back; the rest remains."""
    api = start(programs, database, {"Capacity": 700}, {"DrainInterval": 0.05})
    copy(database, 2000)
    blocker = psycopg2.connect(database.conninfo)
    blocker.cursor().execute("LOCK TABLE aurore.event IN ACCESS EXCLUSIVE MODE")
    reprocessed, skipped, remaining = put_back(api, limit=10000)
    assert reprocessed == 700 and skipped == 0 and remaining == 1301
    answer = reprocess(api)
    assert answer.status_code == 429
    assert answer.json()["errorCode"] == "BUFFER_SATURATED"
    assert "Retry-After" in answer.headers
    blocker.rollback()
    blocker.close()
    left = remaining
    while left > 0:
        answer = reprocess(api)
        left = answer.json().get("remaining", left)
    database.wait_stored(2002, timeout=120)
    api.rest()
    check_stored_once(database)


def test_refused_again(programs, database):
    api = start(programs, database)
    copy(database, 50)
    database.execute(
        "ALTER TABLE aurore.event ADD CONSTRAINT no_poison"
        " CHECK (message <> 'poison') NOT VALID"
    )
    assert put_back(api) == (51, 0, 0)
    wait_until(
        lambda: database.value("SELECT min(retry_count) FROM aurore.dead_letter") == 1
        or database.value("SELECT min(retry_count) FROM aurore.dead_letter") == 2,
        60,
        "they are not refused again",
    )
    database.execute("ALTER TABLE aurore.event DROP CONSTRAINT no_poison")
    wait_until(lambda: put_back(api)[2] == 0, 30, "some remain")
    wait_until(lambda: database.stored() == 52 or put_back(api)[0] < 0, 60, "some are lost")
    check_stored_once(database)


def test_large_ones_within_the_bound_of_memory(programs, database):
    """A letter may hold a megabyte; a request never holds all of them."""
    api = start(programs, database, {"BodyMemory": "8MiB", "MessageMaxLength": 2000})
    database.execute(
        "ALTER TABLE aurore.event ADD CONSTRAINT no_poison"
        " CHECK (message <> 'poison') NOT VALID"
    )
    big = event("poison", metadata={"x": "y" * 16000})
    api.accept(big)
    api.accept(event("neighbour"))
    wait_until(lambda: database.dead_letters() == 2, 30, "nothing is set aside")
    database.execute("ALTER TABLE aurore.event DROP CONSTRAINT no_poison")
    copy(database, 1500, "2027-01-01")
    assert put_back(api, limit=10000) == (1502, 0, 0)
    database.wait_stored(1504, timeout=120)
    api.rest()
    check_stored_once(database)


@pytest.mark.slow
def test_killed_again_and_again(programs, database):
    """Thousands, with kill -9 in between, each at another moment."""
    api = start(programs, database)
    count = max(MANY, 20000)
    copy(database, count)
    for kills in range(7):
        killer = threading.Timer(0.02 + 0.07 * kills, api.kill)
        killer.start()
        with contextlib.suppress(requests.RequestException):
            for _ in range(2):  # at most 14,000 in all
                reprocess(api, limit=1000)
        killer.join()
        api.start()
    assert database.value(
        "SELECT count(*) > 0 FROM aurore.dead_letter WHERE NOT reprocessed"
    ), "it was over before it was killed so often"
    wait_until(lambda: put_back(api, limit=10000)[2] == 0, 60, "some remain")
    api.rest(timeout=180)
    wait_until(lambda: put_back(api)[0] == 0, 60, "there are always more")
    api.rest(timeout=180)
    assert database.stored() == count + 2
    check_stored_once(database)


def test_lost_and_put_back_once_more(programs, database):
    """What was put back and lost since, with the disk it waited on."""
    api = start(programs, database)
    copy(database, 4)
    database.execute(
        "UPDATE aurore.dead_letter SET reprocessed = true,"
        " reprocessed_at = now() - '9 minutes'::interval"
    )
    assert put_back(api) == (0, 0, 0)
    database.execute(
        "UPDATE aurore.dead_letter SET reprocessed_at = now() - '11 minutes'::interval"
    )
    assert put_back(api) == (5, 0, 0)
    database.wait_stored(6)
    check_stored_once(database)


def test_two_collectds(programs, database):
    """Both are asked at once; the database decides whose row is stored."""
    api = start(programs, database)
    other = programs.collectd(database).start()
    copy(database, 3000)
    threads = [
        threading.Thread(target=lambda one=one: reprocess(one, limit=10000))
        for one in (api, other)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_until(
        lambda: put_back(api)[0] + put_back(other)[0] == 0, 30, "there are always more"
    )
    api.rest()
    other.rest()
    assert database.stored() == 3002
    check_stored_once(database)


@pytest.mark.parametrize(
    "body, field, constraint",
    [
        ({"limit": 0}, "limit", "min"),
        ({"limit": 10001}, "limit", "max"),
        ({"limit": "5"}, "limit", "isInt"),
        ({"limit": 1.5}, "limit", "isInt"),
        ({"limit": 0.0}, "limit", "min"),
        ({"limit": 10001.0}, "limit", "max"),
        ({"limit": 1e300}, "limit", "isInt"),
        ({"limit": [1]}, "limit", "isInt"),
        ({"service": ""}, "service", "isNotEmpty"),
        ({"service": "a\0"}, "service", "isStorable"),
        ({"service": 5}, "service", "isString"),
        ({"service": {"a": 1}}, "service", "isString"),
        ({"sqlState": "x"}, "sqlState", "isSqlState"),
        ({"sqlState": "2350' "}, "sqlState", "isSqlState"),
        ({"before": "x"}, "before", "isParseableTimestamp"),
        ({"before": True}, "before", "isString"),
        ({"reprocessed": False}, "reprocessed", "whitelistValidation"),
        ({"a\0b": 1}, None, "whitelistValidation"),
    ],
)
def test_bodies_that_make_no_sense(api, body, field, constraint):
    answer = reprocess(api, **body)
    assert answer.status_code == 400
    assert answer.json()["errorCode"] == "INVALID_QUERY"
    (error,) = answer.json()["errors"]
    assert field is None or error["field"] == field
    assert constraint in error["constraints"]


@pytest.mark.parametrize(
    "body", ["[]", "1", "null", "{", "{} {}", '{"limit":1}]', "{}] [", "x", '{"a"}', "\0"]
)
def test_bodies_that_are_no_object(api, body):
    answer = api.session.post(
        api.url("/dlq/reprocess"), data=body,
        headers={"Content-Type": "application/json"}, timeout=30,
    )  # fmt: skip
    assert answer.status_code == 400
    assert answer.json()["errorCode"] == "MALFORMED_JSON"


@pytest.mark.parametrize(
    "kind",
    [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"],
)
def test_no_form_of_a_foreign_page_can_send_it(api, kind):
    """A browser would add its visitor's credentials to such a request."""
    headers = {"Content-Type": kind} if kind else {}
    for data in (b"{}", b""):
        answer = api.session.post(
            api.url("/dlq/reprocess"), data=data, headers=headers, timeout=30
        )
        assert answer.status_code == 415
        assert answer.json()["errorCode"] == "UNSUPPORTED_TYPE"


@pytest.mark.parametrize(
    "headers, code",
    [
        ({"Content-Type": "application/json; charset=latin1"}, "UNSUPPORTED_TYPE"),
        ({"Content-Type": "application/jsonx"}, "UNSUPPORTED_TYPE"),
        ({"Content-Encoding": "gzip"}, "UNSUPPORTED_CODING"),
        ({"Content-Type": 'Application/JSON; charset="UTF8"'}, None),
        ({"Content-Encoding": "identity"}, None),
    ],
)
def test_a_body_that_would_be_misread(api, headers, code):
    """It is refused for what its header says of it, not for what is in it."""
    answer = api.session.post(
        api.url("/dlq/reprocess"), data=b'{"service": "nobody"}',
        headers={"Content-Type": "application/json", **headers}, timeout=30,
    )  # fmt: skip
    assert answer.status_code == (415 if code else 200), answer.text
    assert answer.json().get("errorCode") == code


# --- deleted -------------------------------------------------------------------------


def test_deleted(programs, database):
    api = start(programs, database, writer={"DrainInterval": 3600})
    copy(database, 2500, "2026-03-01T00:00:00Z")
    copy(database, 10, "2026-03-02T00:00:00Z")
    database.execute(
        "UPDATE aurore.dead_letter SET service = 'other', reprocessed = true,"
        " reprocessed_at = now(), stored_at = now() WHERE created_at >= '2026-03-02'"
        " AND created_at < '2026-03-03'"
    )
    assert purged(api, service="nobody") == 0
    assert purged(api, reprocessed="true", service="other", before="2026-03-02") == 0
    assert purged(api, before="2026-03-01T00:00:00.5Z", service="test") == 1499
    assert purged(api, before="2026-03-02") == 1001
    assert purged(api, reprocessed="true") + purged(api, service="other") == 10
    assert database.dead_letters() == 1
    # What is under way is promised.
    assert put_back(api) == (1, 0, 0)
    for choice in ({"service": "test"}, {"reprocessed": "true"}, {"before": "2099-01-01"}):
        assert purged(api, **choice) == 0
    api.command("FLUSH")
    database.wait_stored(2)
    api.rest()
    assert purged(api, reprocessed="false") == 0
    assert purged(api, reprocessed="true") == 1
    assert database.dead_letters() == 0


@pytest.mark.parametrize(
    "choice, field",
    [
        ({}, "service"),
        ({"service": ""}, "service"),
        ({"reprocessed": "1"}, "reprocessed"),
        ({"before": "x"}, "before"),
        ({"before": ""}, "before"),
        ({"service": "x", "limit": "1"}, "limit"),
        ({"service": ["x", "y"]}, "service"),
        ({"before": ["2026-01-01", "2026-01-01"]}, "before"),
    ],
)
def test_choices_that_make_no_sense(api, choice, field):
    answer = purge(api, **choice)
    assert answer.status_code == 400
    assert field in [error["field"] for error in answer.json()["errors"]]
