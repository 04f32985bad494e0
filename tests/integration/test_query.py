# SPDX-License-Identifier: MIT
"""GET /events: every parameter, every refusal, pages that fit together."""

import hashlib
import json
from datetime import datetime, timedelta, timezone

import pytest

from harness.events import ESCAPES, TEXTS, TIME, UUID7, event

FIELDS = {
    "timestamp": "occurred_at",
    "service": "service",
    "message": "message",
    "ingestedAt": "ingested_at",
    "createdAt": "created_at",
}
NOBODY = "01936b6e-0f5a-4d3e-8a1b-0123456789ab"
DAY = {"from": "2026-03-14T00:00:00Z", "to": "2026-03-15T00:00:00Z"}


def ask(api, service, **parameters):
    """A page of the day on which most events of the tests happened."""
    asked = dict(DAY, service=service)
    asked.update(parameters)
    return api.get("/events", params=asked)


def page_of(api, service, **parameters):
    answer = ask(api, service, **parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


def store(api, events):
    """Posts them, and waits until they are in the database."""
    ids = api.accept(events)
    api.rest()
    return ids


def all_by_cursor(api, service, size, **parameters):
    """All pages but the first by the cursor of the one before."""
    page = page_of(api, service, pageSize=size, total="false", **parameters)
    assert page["page"] == 1
    items = page["items"]
    while "nextCursor" in page:
        assert len(page["items"]) == size
        page = page_of(
            api, service, pageSize=size, total="false",
            cursor=page["nextCursor"], **parameters,
        )  # fmt: skip
        assert "page" not in page and "total" not in page
        assert page["items"]
        items += page["items"]
    return items


def all_pages(api, service, size, **parameters):
    items = []
    number = 1
    while True:
        page = page_of(api, service, page=number, pageSize=size, **parameters)
        assert page["page"] == number
        assert page["pageSize"] == size
        items += page["items"]
        if len(items) >= page["total"] or not page["items"]:
            return items, page["total"]
        number += 1


# --- the response -------------------------------------------------------------


def test_shape(api):
    ids = store(
        api,
        [
            event("first", "shape", metadata={"b": [1, 2.50, None], "a": {"é": "\n"}}),
            event("second", "shape"),
        ],
    )
    answer = ask(api, "shape", sortField="message", sortOrder="ASC")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    assert UUID7.fullmatch(ids[0])
    body = answer.json()
    assert list(body) == [
        "page", "pageSize", "sortField", "sortOrder", "total", "items",
    ]
    items = body.pop("items")
    assert body == {
        "page": 1,
        "pageSize": 100,
        "sortField": "message",
        "sortOrder": "ASC",
        "total": 2,
    }
    assert list(items[0]) == [
        "id", "eventId", "timestamp", "service", "message", "metadata",
        "ingestedAt", "createdAt",
    ]
    assert [item["id"] for item in items] == ids
    assert [item["eventId"] for item in items] == ids
    assert items[0]["timestamp"] == "2026-03-14T15:09:26.535Z"
    assert items[0]["service"] == "shape"
    assert items[0]["metadata"] == {"b": [1, 2.5, None], "a": {"é": "\n"}}
    assert items[1]["metadata"] is None
    for name, column in (("ingestedAt", "ingested_at"), ("createdAt", "created_at")):
        assert TIME.fullmatch(items[0][name])
        stored = api.database.value(
            f"SELECT {column} FROM aurore.event WHERE event_id = %s", (ids[0],)
        ).astimezone(timezone.utc)
        shown = stored.strftime("%Y-%m-%dT%H:%M:%S.")
        shown += f"{stored.microsecond // 1000:03d}Z"
        assert items[0][name] == shown


def test_nothing_found(api):
    store(api, event("x", "some"))
    page = page_of(api, "none")
    assert page["total"] == 0
    assert page["items"] == []
    page = page_of(api, "some", page=10000, pageSize=1000)
    assert page["total"] == 1
    assert page["items"] == []


def test_defaults(api):
    store(api, [event(f"{i:03d}", "defaults") for i in range(101)])
    page = page_of(api, "defaults")
    assert (page["page"], page["pageSize"]) == (1, 100)
    assert (page["sortField"], page["sortOrder"]) == ("timestamp", "DESC")
    assert page["total"] == 101
    assert len(page["items"]) == 100


def test_head(api):
    store(api, event("x", "head"))
    answer = api.session.head(
        api.url("/events"), params=dict(DAY, service="head"), timeout=30
    )
    assert answer.status_code == 200
    assert answer.content == b""
    assert int(answer.headers["Content-Length"]) == len(ask(api, "head").content)
    answer = api.session.head(api.url("/events"), timeout=30)
    assert answer.status_code == 400


def test_a_trailing_slash(api):
    answer = api.get("/events/", params=dict(DAY, service="slash"))
    assert answer.status_code == 200


def test_other_methods(api):
    answer = api.session.put(api.url("/events"), timeout=30)
    assert answer.status_code == 405
    assert answer.headers["Allow"] == "GET, HEAD, POST, OPTIONS"


# --- text ---------------------------------------------------------------------


def test_texts_come_back(api):
    ids = store(
        api,
        [
            event(text, "texts", metadata={"text": text, text: name})
            for name, text in TEXTS.items()
        ],
    )
    found = {item["id"]: item for item in page_of(api, "texts")["items"]}
    for (name, text), event_id in zip(TEXTS.items(), ids):
        assert found[event_id]["message"] == text, name
        metadata = {"text": text}
        metadata[text] = name
        assert found[event_id]["metadata"] == metadata, name


def test_escapes_come_back(api):
    lines = [
        '{"timestamp":"2026-03-14T12:00:00Z","service":"escapes","message":"'
        + sent + '"}'
        for sent, _ in ESCAPES
    ]
    ids = api.post("\n".join(lines), "application/x-ndjson").json()["event_ids"]
    api.rest()
    found = {item["id"]: item for item in page_of(api, "escapes")["items"]}
    for (sent, meant), event_id in zip(ESCAPES, ids):
        assert found[event_id]["message"] == meant, sent


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_any_text_may_name_a_service(api, name):
    service = TEXTS[name][:100]
    if not service.strip("\ufeff").strip() or "\ufeff" in service[:1]:
        service = "x" + service[:99]
    (event_id,) = store(api, [event("x", service)])
    page = page_of(api, service)
    assert [item["id"] for item in page["items"]] == [event_id]
    assert page["items"][0]["service"] == service


def test_a_service_is_matched_exactly(api):
    store(api, [event("x", name) for name in ("exact", "exact ", "Exact", "exac")])
    assert page_of(api, "exact")["total"] == 1
    assert page_of(api, "exac%")["total"] == 0
    assert page_of(api, "exac_")["total"] == 0


def test_numbers_of_metadata_are_exact(api):
    written = '{"a": 12345678901234567890.123456789012345678901234567890, "b": 1E-30}'
    api.accept(
        '{"timestamp":"2026-03-14T12:00:00Z","service":"numbers","message":"m",'
        f'"metadata":{written}}}'
    )
    api.rest()
    text = ask(api, "numbers").text
    assert "12345678901234567890.123456789012345678901234567890" in text
    assert "0.000000000000000000000000000001" in text


# --- time ---------------------------------------------------------------------


def test_times_are_instants(api):
    """The same instant, however it is written, in the event and in the query."""
    written = [
        "2026-03-14T12:00:00Z",
        "2026-03-14T14:00:00+02:00",
        "2026-03-14 06:30:00-0530",
        "2026-03-14T12:00:00.000000",
        1773489600,
        1773489600000,
    ]
    store(api, [event(str(i), "instants", timestamp=t) for i, t in enumerate(written)])
    for first in written[:4] + ["1773489600", "1773489600000"]:
        page = page_of(api, "instants", **{"from": first})
        assert page["total"] == len(written), first
        page = page_of(api, "instants", to=first)
        assert page["total"] == len(written), first
        assert {i["timestamp"] for i in page["items"]} == {"2026-03-14T12:00:00.000Z"}
    late = {"from": "2026-03-14T12:00:00.000001Z"}
    assert page_of(api, "instants", **late)["total"] == 0
    assert page_of(api, "instants", to="2026-03-14T11:59:59.999999Z")["total"] == 0


def test_the_longest_range(api):
    start = datetime(2026, 1, 1, tzinfo=timezone.utc)
    end = start + timedelta(days=30)
    for to, status in ((end, 200), (end + timedelta(microseconds=1), 400)):
        answer = ask(
            api,
            "range",
            **{"from": start.isoformat(), "to": to.isoformat(timespec="microseconds")},
        )
        assert answer.status_code == status, answer.text


# --- order and pages ----------------------------------------------------------


@pytest.fixture(scope="module")
def mixed(api):
    """Events whose fields are in another order each, with ties in all."""
    events = []
    for i in range(60):
        events.append(
            event(
                f"{(i * 7) % 20:02d}é" if i % 3 else f"{(i * 7) % 20:02d}Z",
                "mixed",
                timestamp=f"2026-03-14T10:00:{(i * 11) % 30:02d}Z",
            )
        )
    for first in range(0, 60, 20):
        store(api, events[first : first + 20])
    return api


@pytest.mark.parametrize("order", ["ASC", "DESC"])
@pytest.mark.parametrize("field", sorted(FIELDS))
def test_orders(mixed, field, order):
    expected = mixed.database.rows(
        f'SELECT event_id::text FROM aurore.event WHERE service = %s ORDER BY'
        f' {FIELDS[field]}' + (' COLLATE "C"' if field == "message" else "")
        + f" {order}, event_id {order}",
        ("mixed",),
    )
    items, total = all_pages(mixed, "mixed", 7, sortField=field, sortOrder=order)
    assert total == 60
    assert [item["id"] for item in items] == [row[0] for row in expected]
    values = [item[field] for item in items]
    assert values == sorted(values, reverse=order == "DESC")


@pytest.mark.parametrize("order", ["asc", "Asc", "aSC", "desc", "dESC"])
def test_an_order_in_any_case(mixed, order):
    page = page_of(mixed, "mixed", sortOrder=order)
    assert page["sortOrder"] == order.upper()
    times = [item["timestamp"] for item in page["items"]]
    assert times == sorted(times, reverse=order.upper() == "DESC")


@pytest.mark.parametrize("order", ["ASC", "DESC"])
@pytest.mark.parametrize("field", sorted(FIELDS))
def test_pages_of_ties_never_overlap(api, field, order):
    service = f"ties {field} {order}"
    ids = store(api, [event("same", service)] * 25)
    items, total = all_pages(api, service, 4, sortField=field, sortOrder=order)
    found = [item["id"] for item in items]
    assert total == 25
    assert sorted(found) == sorted(ids)
    assert found == sorted(found, reverse=order == "DESC")


def test_the_largest_page(api):
    """Everything as large as it may be; the answer is whole."""
    metadata = {"k": "\U0001f600" * 4090}
    events = [event("\x01" * 2000, "large", metadata=metadata)] * 25
    body = json.dumps(events, ensure_ascii=False).encode()
    for _ in range(40):
        assert api.post(body).status_code == 202
    api.rest()
    page = page_of(api, "large", pageSize=1000)
    assert page["total"] == 1000
    assert len(page["items"]) == 1000
    assert all(item["metadata"] == metadata for item in page["items"])
    assert all(item["message"] == "\x01" * 2000 for item in page["items"])


# --- refusals -----------------------------------------------------------------


def refusals(answer):
    """{field: constraint names} of a refused query."""
    assert answer.status_code == 400, answer.text
    body = answer.json()
    assert body["status"] == "error"
    assert body["message"] == "Invalid query"
    assert body["errorCode"] == "INVALID_QUERY"
    assert list(body) == ["status", "message", "error", "errorCode", "errors"]
    return {e["field"]: set(e["constraints"]) for e in body["errors"]}


GOOD = "service=s&from=2026-03-14&to=2026-03-15"
REFUSED = [
    # the query string, and what is refused of it
    ("from=2026-03-14&to=2026-03-15", "service", {"isString", "isNotEmpty"}),
    ("service=&from=2026-03-14&to=2026-03-15", "service", {"isNotEmpty"}),
    ("service&from=2026-03-14&to=2026-03-15", "service", {"isNotEmpty"}),
    ("service=+%09+&from=2026-03-14&to=2026-03-15", "service", {"isNotEmpty"}),
    ("service=a%00b&from=2026-03-14&to=2026-03-15", "service", {"isStorable"}),
    ("service=a%FFb&from=2026-03-14&to=2026-03-15", "service", {"isStorable"}),
    ("service=%ED%A0%80&from=2026-03-14&to=2026-03-15", "service", {"isStorable"}),
    (GOOD + "&service=t", "service", {"isString"}),
    (GOOD + "&service=s", "service", {"isString"}),
    ("service=s&to=2026-03-15", "from", {"isNotEmpty", "isParseableTimestamp"}),
    ("service=s&from=&to=2026-03-15", "from", {"isNotEmpty", "isParseableTimestamp"}),
    ("service=s&from=yesterday&to=2026-03-15", "from", {"isParseableTimestamp"}),
    ("service=s&from=2026-02-30&to=2026-03-15", "from", {"isParseableTimestamp"}),
    ("service=s&from=1969-12-31&to=1970-01-02", "from", {"isParseableTimestamp"}),
    ("service=s&from=2026-03-14%00&to=2026-03-15", "from", {"isParseableTimestamp"}),
    (GOOD + "&from=2026-03-14", "from", {"isParseableTimestamp"}),
    ("service=s&from=2026-03-14", "to", {"isNotEmpty", "isParseableTimestamp"}),
    ("service=s&from=2026-03-14&to=2026-13-01", "to", {"isParseableTimestamp"}),
    ("service=s&from=2026-03-14&to=2101-01-01", "to", {"isParseableTimestamp"}),
    (GOOD + "&to=2026-03-15", "to", {"isParseableTimestamp"}),
    ("service=s&from=2026-03-15&to=2026-03-14", "to", {"isValidTimeRange"}),
    ("service=s&from=2026-03-14&to=2026-03-14", "to", {"isValidTimeRange"}),
    ("service=s&from=2026-03-14T02:00:00%2B02:00&to=1773446400", "to",
     {"isValidTimeRange"}),
    ("service=s&from=2026-03-14&to=2026-04-13T00:00:01Z", "to", {"isMaxTimeRange"}),
    (GOOD + "&page=0", "page", {"min"}),
    (GOOD + "&page=-1", "page", {"min"}),
    (GOOD + "&page=10001", "page", {"max"}),
    (GOOD + "&page=99999999999999999999", "page", {"max"}),
    (GOOD + "&page=", "page", {"isInt"}),
    (GOOD + "&page=1.5", "page", {"isInt"}),
    (GOOD + "&page=one", "page", {"isInt"}),
    (GOOD + "&page=1&page=2", "page", {"isInt"}),
    (GOOD + "&pageSize=0", "pageSize", {"min"}),
    (GOOD + "&pageSize=1001", "pageSize", {"max"}),
    (GOOD + "&pageSize=ten", "pageSize", {"isInt"}),
    (GOOD + "&pageSize=1%00", "pageSize", {"isInt"}),
    (GOOD + "&pageSize=1&pageSize=1", "pageSize", {"isInt"}),
    (GOOD + "&sortField=metadata", "sortField", {"isSortField"}),
    (GOOD + "&sortField=Timestamp", "sortField", {"isSortField"}),
    (GOOD + "&sortField=event_id;+DROP+TABLE+x", "sortField", {"isSortField"}),
    (GOOD + "&sortField=", "sortField", {"isSortField"}),
    (GOOD + "&sortField=service&sortField=service", "sortField", {"isSortField"}),
    (GOOD + "&sortOrder=UP", "sortOrder", {"isSortOrder"}),
    (GOOD + "&sortOrder=", "sortOrder", {"isSortOrder"}),
    (GOOD + "&sortOrder=ASC&sortOrder=ASC", "sortOrder", {"isSortOrder"}),
    (GOOD + "&limit=1", "limit", {"whitelistValidation"}),
    (GOOD + "&Page=1", "Page", {"whitelistValidation"}),
    (GOOD + "&page%00=1", "page\ufffd\ufffd", {"whitelistValidation"}),
    (GOOD + "&=1", "", {"whitelistValidation"}),
]


@pytest.mark.parametrize("query, field, constraints", REFUSED)
def test_refusals(api, query, field, constraints):
    assert refusals(api.get(f"/events?{query}")) == {field: constraints}


def test_all_refusals_are_told_together(api):
    found = refusals(
        api.get(
            "/events?from=x&to=2026-03-15&page=0&pageSize=1001&sortField=x"
            "&sortOrder=x&one=1&two=2&two=2"
        )
    )
    assert found == {
        "service": {"isString", "isNotEmpty"},
        "from": {"isParseableTimestamp"},
        "page": {"min"},
        "pageSize": {"max"},
        "sortField": {"isSortField"},
        "sortOrder": {"isSortOrder"},
        "one": {"whitelistValidation"},
        "two": {"whitelistValidation"},
    }


def pairs_once(pairs):
    """An object, none of whose names is there twice."""
    assert len(dict(pairs)) == len(pairs), pairs
    return dict(pairs)


@pytest.mark.parametrize(
    "path", ["/events", "/dlq", "/metrics/history", f"/events/{NOBODY}"]
)
def test_a_parameter_that_is_given_often_is_refused_once(api, path):
    answer = api.get(path + "?x=1&x=2&y&x=3")
    assert answer.status_code == 400
    errors = json.loads(answer.text, object_pairs_hook=pairs_once)["errors"]
    fields = [error["field"] for error in errors]
    assert fields.count("x") == fields.count("y") == 1
    assert len(set(fields)) == len(fields)


def test_a_refusal_does_not_ask_the_database(api):
    before = api.metrics().get("db_query_total", operation="query")
    refusals(api.get("/events"))
    assert api.metrics().get("db_query_total", operation="query") == before


# --- around it ----------------------------------------------------------------


def test_a_query_is_counted(api):
    def counted():
        figures = api.metrics()
        return (
            figures.get("db_query_total", operation="query"),
            figures.get("db_query_duration_ms_count", operation="query"),
            figures.get("http_request_total", route="events_get", status="200"),
            figures.get("http_request_duration_ms_count", route="events_get"),
        )

    before = counted()
    page_of(api, "counted")
    assert counted() == tuple(number + 1 for number in before)


def test_a_query_never_eats_the_budget_of_ingest(programs, database):
    api = programs.collectd(
        database, {"RateLimit": 5, "RateLimitPerAddress": 5}
    ).start()
    store(api, event("x", "budget"))
    for _ in range(50):
        assert page_of(api, "budget")["total"] == 1
    # The bucket has been full again since the first event.
    assert api.post([event("y", "budget")] * 4).status_code == 202


def test_tokens(programs, database):
    lines = [
        f"{scope} {hashlib.sha256(scope.encode()).hexdigest()}\n"
        for scope in ("ingest", "read", "admin")
    ]
    tokens = programs.base / f"{database.name}.tokens"
    tokens.write_text("".join(lines))
    tokens.chmod(0o600)
    api = programs.collectd(database, {"TokenFile": tokens}).start()

    def status(token):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        parameters = dict(DAY, service="s")
        return api.get("/events", params=parameters, headers=headers)

    assert status(None).status_code == 401
    assert status(None).headers["WWW-Authenticate"] == "Bearer"
    assert status("wrong").status_code == 401
    assert status("ingest").status_code == 403
    # There may be no schema yet, but the token is good.
    assert status("read").status_code in (200, 503)
    assert status("admin").status_code in (200, 503)


def test_without_the_writer(programs):
    api = programs.collectd(None, load=("event_buffer",)).start()
    answer = ask(api, "s")
    assert answer.status_code == 503
    assert answer.json() == {
        "status": "error",
        "message": "Database unavailable",
        "error": "Service Unavailable",
        "errorCode": "DATABASE_UNAVAILABLE",
    }
    assert int(answer.headers["Retry-After"]) >= 1
    # What is wrong with the query itself is told first.
    assert api.get("/events").status_code == 400


def test_an_answer_is_json_of_the_strict_kind(api):
    store(api, event("😀\x7f\u2028", "strict", metadata={"\x01": "\\"}))
    answer = ask(api, "strict")
    answer.content.decode("utf-8")
    json.loads(answer.content, strict=True)


# --- without a total, and by cursor -------------------------------------------------


def test_without_a_total(api):
    store(api, [event(f"{i}", "totals") for i in range(3)])
    whole = page_of(api, "totals", pageSize=2, total="true")
    assert whole.pop("total") == 3
    assert page_of(api, "totals", pageSize=2, total="false") == whole
    assert list(whole)[-2:] == ["items", "nextCursor"]
    page = page_of(api, "nobody", total="false")
    assert page == {
        "page": 1, "pageSize": 100, "sortField": "timestamp", "sortOrder": "DESC",
        "items": [],
    }  # fmt: skip


@pytest.mark.parametrize("order", ["ASC", "DESC"])
@pytest.mark.parametrize("size", [1, 3, 4, 24, 25, 26])
def test_pages_by_cursor_fit_together(api, order, size):
    """Also where many events have the same time: each is on one page."""
    service = f"cursor {order} {size}"
    times = [f"2026-03-14T12:00:0{i // 9}.{i % 3:06d}Z" for i in range(25)]
    ids = store(api, [event(f"{i}", service, timestamp=t) for i, t in enumerate(times)])
    by_cursor = all_by_cursor(api, service, size, sortOrder=order)
    assert sorted(item["id"] for item in by_cursor) == sorted(ids)
    by_page, total = all_pages(api, service, size, sortOrder=order)
    assert by_cursor == by_page and total == 25


def test_what_comes_meanwhile_moves_no_page(api):
    store(api, [event(f"{i}", "moving", timestamp=f"2026-03-14T12:00:0{i}Z") for i in range(4)])
    first = page_of(api, "moving", pageSize=2)
    assert [item["message"] for item in first["items"]] == ["3", "2"]
    store(api, event("new", "moving", timestamp="2026-03-14T12:00:09Z"))
    second = page_of(api, "moving", pageSize=2, cursor=first["nextCursor"])
    assert [item["message"] for item in second["items"]] == ["1", "0"]
    assert second["total"] == 5 and "nextCursor" not in second


def test_a_last_page_has_no_cursor(api):
    store(api, [event(f"{i}", "ends") for i in range(4)])
    assert "nextCursor" in page_of(api, "ends", pageSize=3)
    assert "nextCursor" not in page_of(api, "ends", pageSize=4)
    assert "nextCursor" not in page_of(api, "ends", pageSize=2, page=2)
    assert "nextCursor" not in page_of(api, "ends", pageSize=1, sortField="message")


GOOD = "d1773500966535897.0b2f8c5e-3f0a-4c39-9d3e-5a1f0c6b7d21"


@pytest.mark.parametrize(
    "asked",
    [
        {"cursor": ""},
        {"cursor": "x"},
        {"cursor": GOOD[1:]},
        {"cursor": GOOD, "sortOrder": "ASC"},
        {"cursor": "a" + GOOD[1:]},
        {"cursor": GOOD, "page": 1},
        {"cursor": GOOD, "sortField": "message"},
        {"cursor": GOOD[:-1]},
        {"cursor": GOOD + "0"},
        {"cursor": "d-1." + GOOD.split(".")[1]},
        {"cursor": "d" + "9" * 30 + "." + GOOD.split(".")[1]},
        {"cursor": "d1'--." + GOOD.split(".")[1]},
        {"cursor": [GOOD, GOOD]},
    ],
)
def test_cursors_that_are_none(api, asked):
    assert page_of(api, "cursors", cursor=GOOD)["items"] == []
    answer = ask(api, "cursors", **asked)
    assert answer.status_code == 400
    (error,) = answer.json()["errors"]
    assert error["field"] == "cursor" and set(error["constraints"]) == {"isCursor"}


@pytest.mark.parametrize("total", ["", "TRUE", "0", "no"])
def test_totals_that_are_none(api, total):
    answer = ask(api, "totals", total=total)
    assert answer.status_code == 400
    (error,) = answer.json()["errors"]
    assert error["field"] == "total" and set(error["constraints"]) == {"isBoolean"}
