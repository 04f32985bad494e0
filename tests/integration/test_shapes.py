# SPDX-License-Identifier: MIT
"""Events of other shapes: the query parameters of POST /events, the options
behind them, types of bodies, and what a page of another origin may send."""

import hashlib
import json
import uuid

import pytest

from harness.events import TIMESTAMP, TIMESTAMP_US, event, stored_events
from harness.wait import wait_until

ORIGIN = "https://app.example"


@pytest.fixture(scope="module")
def server(postgres, module_programs):
    return module_programs.collectd(
        module_programs.database(postgres), {"AllowOrigin": ORIGIN}
    ).start()


def post(api, body, query, **headers):
    """Posts JSON, or bytes as they are; a header that is None is left out."""
    if not isinstance(body, (bytes, str)):
        body = json.dumps(body)
    if isinstance(body, str):
        body = body.encode("utf-8", "surrogatepass")
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    headers.setdefault("Content-Type", "application/json")
    return api.session.post(
        api.url("/events"), data=body, params=query, headers=headers, timeout=60
    )


def stored(api, answer):
    """What is stored of an answer's events, in their order."""
    assert answer.status_code in (200, 201, 202, 207), answer.text
    body = answer.json()
    ids = body.get("event_ids") or [body["event_id"]]
    where = "event_id = ANY (%s::uuid[])"
    taken = [one for one in ids if one is not None]
    wait_until(
        lambda: api.database.has_schema()
        and len(stored_events(api.database, where, (taken,))) == len(taken),
        30,
        "accepted events are not stored",
    )
    rows = stored_events(api.database, where, (taken,))
    return [rows[one] for one in taken]


def stored_one(api, body, **query):
    query.setdefault("lenient", "true")
    (row,) = stored(api, post(api, body, query))
    return row


def faults(answer):
    """{parameter: names of the constraints} of a refused query."""
    assert answer.status_code == 400, answer.text
    body = answer.json()
    assert body["errorCode"] == "INVALID_QUERY"
    assert body["message"] == "Invalid query"
    return {one["field"]: set(one["constraints"]) for one in body["errors"]}


# --- leniently ------------------------------------------------------------------


def test_an_empty_object_is_an_event(server):
    answer = post(server, {}, {"lenient": "true"})
    (row,) = stored(server, answer)
    assert row[1:] == ("unknown_service", "(no message)", None)
    accepted = answer.json()["queued_at"]
    (same,) = server.database.rows(
        "SELECT occurred_at = ingested_at FROM aurore.event WHERE event_id = %s",
        (answer.json()["event_id"],),
    )
    assert same == (True,) and accepted


def test_unknown_fields_go_into_metadata(server):
    row = stored_one(
        server,
        event(level="info", pid=7, metadata={"level": "own", "a": {"b": [1, None]}}),
    )
    assert row == (
        TIMESTAMP_US,
        "test",
        "hello",
        {"level": "own", "a": {"b": [1, None]}, "pid": 7},
    )


@pytest.mark.parametrize("timestamp", ["yesterday", True, [1], -1, "2101-01-01"])
def test_a_time_that_cannot_be_read_is_kept(server, timestamp):
    row = stored_one(server, event(timestamp=timestamp))
    assert row[3] == {"timestamp": timestamp}


def test_what_cannot_be_stored_is_replaced(server):
    body = (
        b'{"message":"a\\u0000b\\ud800c\xff","x\\u0000":"\\udfff","nan":NaN,'
        b'"inf":[Infinity,-Infinity],"number":1e400,"last":1e399}'
    )
    row = stored_one(server, body)
    assert row[2] == "a\ufffdb\ufffdc\ufffd"
    metadata = dict(row[3])
    assert metadata.pop("last") == 10**399
    assert metadata == {
        "x\ufffd": "\ufffd",
        "nan": None,
        "inf": [None, None],
        "number": "1e400",
    }


def test_what_is_too_long_is_cut_at_a_character(server):
    row = stored_one(server, {"message": "😀" * 2001, "service": "é" * 101})
    assert row[1:] == ("é" * 100, "😀" * 2000, {"truncated": True})


def test_metadata_over_its_limits(server):
    """Its own keys first; what does not fit is left out, the next is tried."""
    row = stored_one(
        server,
        {
            "big": "x" * 20000,
            "small": 1,
            "metadata": {f"k{i}": i for i in range(98)},
            "late": 2,
        },
    )
    wanted = {f"k{i}": i for i in range(98)}
    assert row[3] == {**wanted, "small": 1, "truncated": True}


def test_what_is_too_deep_becomes_text(server):
    deep = {"a": [[[[[1]]]]]}
    row = stored_one(server, {"in": deep, "metadata": {"own": deep, "ok": deep["a"]}})
    text = '{"a":[[[[[1]]]]]}'
    assert row[3] == {"own": text, "ok": deep["a"], "in": text}


def test_only_what_is_no_object_is_refused(server):
    answer = post(server, '[{},1,[{}],{},"a"]', {"lenient": "true"})
    assert answer.status_code == 207
    body = answer.json()
    assert (body["accepted"], body["rejected"]) == (2, 3)
    assert [one["index"] for one in body["errors"]] == [1, 2, 4]
    assert post(server, "7", {"lenient": "true"}).status_code == 400
    assert post(server, "{", {"lenient": "true"}).status_code == 400


def test_a_number_is_kept_exactly(server):
    assert stored_one(server, '{"a":9007199254740993}')[3] == {"a": 9007199254740993}


# --- fields of other names -------------------------------------------------------


def test_names_pointers_and_alternatives(server):
    row = stored_one(
        server,
        {
            "@timestamp": TIMESTAMP,
            "labels": {"app.name": "shop"},
            "msg": "",
            "log": "said",
        },
        timestamp_field="time,@timestamp",
        service_field="/labels/app.name",
        message_field="msg,log",
    )
    assert row == (
        TIMESTAMP_US,
        "shop",
        "said",
        {"labels": {"app.name": "shop"}, "msg": ""},
    )


def test_fields_of_other_names_without_leniency(server):
    sent = {"time": TIMESTAMP, "msg": "m"}
    row = stored_one(
        server, sent, lenient="false", timestamp_field="time",
        message_field="msg", service="web",
    )
    assert row == (TIMESTAMP_US, "web", "m", None)
    answer = post(server, {**sent, "message": "m"}, {"message_field": "msg"})
    assert answer.status_code == 400
    found = {one["field"] for one in answer.json()["errors"]}
    assert found == {"timestamp", "service", "time", "message"}


def test_events_within_an_object(server):
    answer = post(
        server,
        {"beside": 1, "logs": [{"message": "1"}, {"message": "2"}]},
        {"lenient": "true", "events_field": "logs"},
    )
    assert [row[2:] for row in stored(server, answer)] == [("1", None), ("2", None)]
    answer = post(server, {"logs": {}}, {"lenient": "true", "events_field": "logs"})
    assert answer.status_code == 400
    (error,) = answer.json()["errors"]
    assert set(error["errors"][0]["constraints"]) == {"isArray"}


def text_id(service, text):
    digest = hashlib.sha256(b"\0".join([b"aurore", b"id", service, text])).digest()
    made = bytearray(digest[:16])
    made[6] = made[6] & 0x0F | 0x80
    made[8] = made[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(made)))


def test_an_id_of_text(server):
    query = {"lenient": "true", "id_field": "id", "service": "web"}
    answer = post(server, {"id": "zoë"}, query)
    assert answer.json()["event_id"] == text_id(b"web", "zoë".encode())
    assert stored(server, answer)[0][3] == {"id": "zoë"}
    answer = post(server, '{"id":1.50,"service":"s"}', query)
    assert answer.json()["event_id"] == text_id(b"s", b"1.50")


def test_an_id_that_is_a_uuid(server):
    own = str(uuid.uuid4())
    answer = post(server, {"id": own.upper()}, {"lenient": "true", "id_field": "id"})
    assert answer.json()["event_id"] == own
    assert stored(server, answer)[0][3] is None


# --- types of bodies ---------------------------------------------------------------

LOOSE = [
    None,
    "text/plain",
    "text/plain; charset=UTF-8",
    "application/x-www-form-urlencoded",
    "application/csp-report",
    "application/reports+json",
    "application/vnd.something+json",
]


@pytest.mark.parametrize("content_type", LOOSE)
def test_loose_types(server, content_type):
    def send(body, query, **headers):
        return post(server, body, query, Content_Type=content_type, **headers)

    assert send(event(), {}).status_code == 415
    lenient = {"lenient": "true"}
    assert send(event(), lenient).status_code == 202
    assert send(b"\xef\xbb\xbf " + json.dumps([event()]).encode(), lenient).status_code == 202
    lines = json.dumps(event()) + "\n" + json.dumps(event("two")) + "\n"
    assert send(lines, lenient).json()["accepted"] == 2
    assert send(lines + "{", lenient).status_code == 207
    for body in ("a=1&b=2", "<6>1 text", "", '"text"'):
        answer = send(body, lenient)
        assert answer.status_code == 400, body
        assert answer.json()["errorCode"] == "MALFORMED_JSON"


@pytest.mark.parametrize("content_type", LOOSE)
def test_loose_types_from_a_page(server, content_type):
    """Only from an origin that is listed by name."""
    for origin, status in ((ORIGIN, 202), ("https://other.example", 415), ("null", 415)):
        answer = post(
            server, event(), {"lenient": "true"}, Content_Type=content_type, Origin=origin
        )
        assert answer.status_code == status, origin


def test_a_page_of_any_origin(programs, database):
    """Every origin is allowed, but none is listed."""
    api = programs.collectd(database, {"AllowOrigin": "*"}).start()
    query = {"lenient": "true"}
    answer = post(api, event(), query, Content_Type="text/plain", Origin=ORIGIN)
    assert answer.status_code == 415
    assert post(api, event(), query, Origin=ORIGIN).status_code == 202


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data; boundary=x",
        "text/html",
        "application/xml",
        "text/plain; charset=latin1",
        "application/jsonx",
    ],
)
def test_types_that_are_never_taken(server, content_type):
    answer = post(server, event(), {"lenient": "true"}, Content_Type=content_type)
    assert answer.status_code == 415
    assert answer.json()["errorCode"] == "UNSUPPORTED_TYPE"


# --- the status ----------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_accepted_status(server, status):
    query = {"accepted_status": status}
    answer = post(server, event(), query)
    assert answer.status_code == status
    assert "X-Rejected" not in answer.headers
    partial = post(server, [event(), {}, 1], query)
    assert partial.status_code == status
    assert partial.headers["X-Rejected"] == "2"
    if status == 204:
        assert answer.content == partial.content == b""
    else:
        assert answer.json()["status"] == "accepted"
        assert partial.json()["status"] == "partial"
    refused = post(server, [{}], query)
    assert refused.status_code == 400
    assert "X-Rejected" not in refused.headers


def test_no_accepted_status(server):
    assert post(server, event(), {"accepted_status": 0}).status_code == 202
    answer = post(server, [event(), 1], {"accepted_status": 0})
    assert answer.status_code == 207 and "X-Rejected" not in answer.headers


def test_an_accepted_status_wins_over_a_wait(server):
    answer = post(server, event(), {"accepted_status": 200}, Prefer="wait=20")
    assert answer.status_code == 200
    assert answer.json()["status"] == "stored"
    assert answer.headers["Preference-Applied"] == "wait"


# --- wrong parameters ----------------------------------------------------------------


@pytest.mark.parametrize(
    "name, value, constraint",
    [
        ("lenient", "maybe", "isEnum"),
        ("lenient", "", "isEnum"),
        ("lenient", "TRUE", "isEnum"),
        ("once", "twice", "isEnum"),
        ("accepted_status", "207", "isEnum"),
        ("accepted_status", "200.0", "isEnum"),
        ("timestamp_field", "", "isNotEmpty"),
        ("service_field", "a,,b", "isJsonPointer"),
        ("message_field", "/a~2", "isJsonPointer"),
        ("id_field", "a\0b", "isStorable"),
        ("events_field", ",".join("abcdefghi"), "arrayMaxSize"),
        ("service", "", "isNotEmpty"),
        ("service", "x" * 101, "maxLength"),
        ("service", "a\0b", "isStorable"),
        ("unknown", "1", "whitelistValidation"),
        ("Lenient", "true", "whitelistValidation"),
    ],
)
def test_a_wrong_parameter(server, name, value, constraint):
    before = server.rest().get("events_enqueued_total")
    assert faults(post(server, event(), {name: value})) == {name: {constraint}}
    assert server.rest().get("events_enqueued_total") == before


@pytest.mark.parametrize(
    "name",
    ["lenient", "once", "accepted_status", "service", "timestamp_field", "id_field"],
)
def test_a_parameter_given_twice(server, name):
    value = {"lenient": "true", "once": "none", "accepted_status": "200"}.get(name, "x")
    assert faults(post(server, event(), {name: [value, value]})) == {name: {"isEnum"}}


def test_all_that_is_wrong_is_told(server):
    query = {"lenient": "x", "service": "", "a": 1, "message_field": ","}
    assert set(faults(post(server, event(), query))) == set(query)


def test_more_query_strings_than_are_kept(server):
    """Each means what it says, however many there are and in whatever order."""
    for turn in range(2):
        for i in range(40):
            row = stored_one(server, {f"m{i}": "this one"}, message_field=f"m{i}")
            assert row[2] == "this one", turn


# --- the options ---------------------------------------------------------------------


def test_the_options_are_the_defaults(programs, database):
    api = programs.collectd(
        database, {"Lenient": True, "AcceptedStatus": 200}
    ).start()
    answer = post(api, [{}, 1], {})
    assert answer.status_code == 200 and answer.headers["X-Rejected"] == "1"
    assert stored(api, answer)[0][1] == "unknown_service"
    answer = post(api, [{}, event()], {"lenient": "false", "accepted_status": "0"})
    assert answer.status_code == 207
    answer = post(api, event(), {"service": "x"}, Content_Type="text/plain")
    assert answer.status_code == 200
