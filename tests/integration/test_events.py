# SPDX-License-Identifier: MIT
"""POST /events: what is accepted and stored, and what is refused and why."""

import gzip
import json
import zlib

import pytest

from harness import zstd

from harness.events import TIME, TIMESTAMP_US, UUID7, as_stored, event
from harness.events import stored_events
from harness.wait import wait_until

NDJSON = "application/x-ndjson"


def wait_for(api, ids):
    """Until the events are stored; returns them by id."""
    values = (list(ids),)
    where = "event_id = ANY (%s::uuid[])"
    wait_until(
        lambda: api.database.has_schema()
        and len(stored_events(api.database, where, values)) == len(ids),
        30,
        "accepted events are not stored",
    )
    return stored_events(api.database, where, values)


def accept_one(api, sent):
    """Posts one event, waits until it is stored, and returns it."""
    (event_id,) = api.accept(sent)
    return wait_for(api, [event_id])[event_id]


def constraints(answer):
    """{field: names of the constraints} of an answer to one refused event."""
    assert answer.status_code == 400, answer.text
    body = answer.json()
    assert set(body) == {"status", "message", "error", "errorCode", "errors"}
    assert body["status"] == "error"
    assert body["message"] == "Invalid event schema"
    assert body["errorCode"] == "INVALID_EVENT"
    found = {}
    for error in body["errors"]:
        assert set(error) == {"field", "constraints"}
        assert all(isinstance(text, str) for text in error["constraints"].values())
        assert error["field"] not in found
        found[error["field"]] = set(error["constraints"])
    return found


# --- accepted ------------------------------------------------------------------


def test_one_object(api):
    answer = api.post(event(metadata={"a": [1, None]}))
    assert answer.status_code == 202
    body = answer.json()
    assert set(body) == {"status", "event_id", "queued_at"}
    assert body["status"] == "accepted"
    assert UUID7.fullmatch(body["event_id"])
    assert TIME.fullmatch(body["queued_at"])
    stored = wait_for(api, [body["event_id"]])
    assert stored[body["event_id"]] == (
        TIMESTAMP_US,
        "test",
        "hello",
        {"a": [1, None]},
    )


def test_the_time_of_acceptance_is_stored(api):
    answer = api.post(event()).json()
    wait_for(api, [answer["event_id"]])
    (row,) = api.database.rows(
        "SELECT to_char(ingested_at, 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'),"
        " created_at >= ingested_at FROM aurore.event WHERE event_id = %s",
        (answer["event_id"],),
    )
    assert row == (answer["queued_at"], True)


def check_many(api, answer, sent):
    assert answer.status_code == 202, answer.text
    body = answer.json()
    assert set(body) == {
        "status",
        "accepted",
        "rejected",
        "event_ids",
        "queued_at",
    }
    assert body["status"] == "accepted"
    assert (body["accepted"], body["rejected"]) == (len(sent), 0)
    assert TIME.fullmatch(body["queued_at"])
    assert len(set(body["event_ids"])) == len(sent)
    stored = wait_for(api, body["event_ids"])
    for event_id, one in zip(body["event_ids"], sent):
        assert UUID7.fullmatch(event_id)
        assert stored[event_id] == as_stored(one, TIMESTAMP_US)


def test_array(api):
    sent = [event(f"in an array {i}") for i in range(7)]
    check_many(api, api.post(sent), sent)


def test_array_of_one(api):
    sent = [event("alone in an array")]
    check_many(api, api.post(sent), sent)


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n \t\n"])
def test_ndjson(api, end):
    sent = [event(f"in a line {i}", metadata={"i": i}) for i in range(5)]
    lines = [json.dumps(one) for one in sent]
    lines[3:3] = ["", "  \t", "\r"]
    check_many(api, api.post("\n".join(lines) + end, NDJSON), sent)


def test_ndjson_of_one_line(api):
    sent = [event("alone in a line")]
    check_many(api, api.post(json.dumps(sent[0]), NDJSON), sent)


@pytest.mark.parametrize(
    "content_type",
    [
        "application/x-ndjson",
        "application/ndjson",
        "application/jsonl",
        "application/jsonlines",
        "application/x-jsonlines",
        "application/stream+json",
        "Application/JSONL; charset=UTF-8",
    ],
)
def test_every_name_of_ndjson(api, content_type):
    sent = [event("one"), event("two")]
    lines = "\n".join(json.dumps(one) for one in sent)
    check_many(api, api.post(lines, content_type), sent)
    assert api.post(lines, content_type + ";charset=latin1").status_code == 415


@pytest.mark.parametrize("between", ["", " ", "\n", "\r\n\t"])
def test_several_values(api, between):
    sent = [event(f"value {i}") for i in range(5)]
    values = [sent[0], sent[1:3], [], sent[3], sent[4]]
    body = between.join(json.dumps(value) for value in values)
    check_many(api, api.post(body), sent)


def test_of_several_values_one_that_is_not_json_refuses_all(api):
    before = api.rest().get("events_enqueued_total")
    answer = api.post(json.dumps(event()) + json.dumps([event()]) + "{")
    assert answer.status_code == 400
    assert answer.json()["errorCode"] == "MALFORMED_JSON"
    assert api.rest().get("events_enqueued_total") == before


@pytest.mark.parametrize(
    "line, byte",
    [("{", 1), ("?", 0), ('{"a" 1}', 5), ("{}{}", 2), ('"\\x"', 2), ("[1,]", 3)],
)
def test_a_line_that_is_not_json_is_refused_alone(api, line, byte):
    sent = [event("before"), event("after")]
    lines = [json.dumps(sent[0]), line, json.dumps(sent[1])]
    answer = api.post("\n".join(lines), NDJSON)
    assert answer.status_code == 207
    body = answer.json()
    assert (body["accepted"], body["rejected"]) == (2, 1)
    assert body["event_ids"][1] is None
    (error,) = body["errors"]
    assert error["index"] == 1
    ((field, constraint),) = [
        (one["field"], one["constraints"]) for one in error["errors"]
    ]
    assert field == "event" and set(constraint) == {"isJson"}
    assert constraint["isJson"].endswith(f" at byte {byte}")
    stored = wait_for(api, [body["event_ids"][0], body["event_ids"][2]])
    assert {row[2] for row in stored.values()} == {"before", "after"}


def test_lines_of_which_none_is_json(api):
    answer = api.post("{\n}\n", NDJSON)
    assert answer.status_code == 400
    assert answer.json()["errorCode"] == "INVALID_EVENT"
    assert [one["index"] for one in answer.json()["errors"]] == [0, 1]


CODINGS = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstd.frame,
}


@pytest.mark.parametrize("coding", CODINGS)
def test_codings(api, coding):
    sent = [event(f"packed {i}", metadata={"text": "x" * 500}) for i in range(500)]
    packed = CODINGS[coding](json.dumps(sent).encode())
    answer = api.post(packed, headers={"Content-Encoding": coding.upper()})
    check_many(api, answer, sent)


@pytest.mark.parametrize("coding", CODINGS)
def test_a_coding_that_is_not_what_it_says(api, coding):
    headers = {"Content-Encoding": coding}
    packed = CODINGS[coding](json.dumps(event()).encode())
    for body in (json.dumps(event()), packed[:-1], packed + b"x", b""):
        answer = api.post(body, headers=headers)
        assert answer.status_code == 400, body
        assert answer.json()["errorCode"] == "MALFORMED_CODING"


@pytest.mark.parametrize("coding", CODINGS)
def test_the_limit_holds_for_what_comes_out(api, coding):
    packed = CODINGS[coding](b" " * 1048577)
    if coding == "zstd":
        packed = zstd.bomb(1048577)
    answer = api.post(packed, headers={"Content-Encoding": coding})
    assert answer.status_code == 413
    room = 1048576 - len(json.dumps(event()))
    whole = json.dumps(event()).encode() + b" " * room
    packed = CODINGS[coding](whole)
    if coding == "zstd":
        packed = zstd.frame(json.dumps(event()).encode()) + zstd.bomb(room)
    answer = api.post(packed, headers={"Content-Encoding": coding})
    assert answer.status_code == 202, answer.text


@pytest.mark.parametrize("log, status", [(23, 202), (24, 400), (27, 400), (41, 400)])
def test_a_window_of_zstd(api, log, status):
    """Eight MiB at most (RFC 9659), whatever is in the frame."""
    packed = zstd.frame(json.dumps(event()).encode(), log)
    answer = api.post(packed, headers={"Content-Encoding": "zstd"})
    assert answer.status_code == status


@pytest.mark.parametrize(
    "timestamp",
    [
        "2026-11-26T01:00:00.123456Z",
        "2026-11-26 01:00:00,123456",
        "2026-11-26T02:00:00.123456789+0100",
        "2026-11-26T00:30:00.1234569-00:30",
        1795654800.123456,
        "1795654800.1234567",
        "1795654800123.456",
        1795654800123456,
        "1795654800123456",
        1795654800123456789,
        "1795654800123456789",
    ],
)
def test_times_in_every_notation(api, timestamp):
    stored = accept_one(api, event(timestamp=timestamp))
    assert stored[0] == 1795654800123456


def test_a_date_alone(api):
    assert accept_one(api, event(timestamp="2026-11-26"))[0] == 1795651200000000


@pytest.mark.parametrize("content_type", ["application/json", NDJSON])
def test_gzip(api, content_type):
    sent = [event(f"packed {i}") for i in range(50)]
    body = json.dumps(sent)
    if content_type == NDJSON:
        body = "\n".join(json.dumps(one) for one in sent)
    answer = api.post(
        gzip.compress(body.encode()),
        content_type,
        headers={"Content-Encoding": "gzip"},
    )
    check_many(api, answer, sent)


def test_gzip_of_one_object(api):
    answer = api.post(
        gzip.compress(json.dumps(event("packed")).encode()),
        headers={"Content-Encoding": "GZIP"},
    )
    assert answer.status_code == 202
    assert set(answer.json()) == {"status", "event_id", "queued_at"}


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        "Application/JSON",
    ],
)
def test_content_type_with_parameters(api, content_type):
    assert api.post(json.dumps(event()), content_type).status_code == 202


def test_trailing_slash(api):
    answer = api.session.post(api.url("/events/"), json=event(), timeout=30)
    assert answer.status_code == 202


def test_chunked_body(api):
    body = json.dumps([event(f"in chunks {i}") for i in range(20)]).encode()
    pieces = (body[at : at + 100] for at in range(0, len(body), 100))
    answer = api.session.post(
        api.url("/events"),
        data=pieces,
        headers={"Content-Type": "application/json"},
        timeout=30,
    )
    assert answer.status_code == 202
    assert answer.json()["accepted"] == 20


def test_white_space_around(api):
    text = f"\n\t {json.dumps(event())} \r\n"
    assert api.post(text).status_code == 202


def test_events_of_one_request_keep_their_order(api):
    ids = api.accept([event(str(i)) for i in range(300)])
    assert ids == sorted(ids)
    stored = wait_for(api, ids)
    assert [stored[event_id][2] for event_id in ids] == [
        str(i) for i in range(300)
    ]


# --- timestamps ----------------------------------------------------------------

SECOND_US = 1773500966000000


@pytest.mark.parametrize(
    "timestamp, us",
    [
        ("2026-03-14T15:09:26Z", SECOND_US),
        ("2026-03-14T15:09:26", SECOND_US),
        ("2026-03-14 15:09:26Z", SECOND_US),
        ("2026-03-14T15:09:26.5Z", SECOND_US + 500000),
        ("2026-03-14T15:09:26.535897Z", SECOND_US + 535897),
        ("2026-03-14T15:09:26.535897932Z", SECOND_US + 535897),
        ("2026-03-14T15:09:26.999999999Z", SECOND_US + 999999),
        ("2026-03-14T17:09:26+02:00", SECOND_US),
        ("2026-03-14T09:39:26-05:30", SECOND_US),
        ("2026-03-14T15:09Z", SECOND_US - 26000000),
        ("2026-03-14", 1773446400000000),
        ("2024-02-29T00:00:00Z", 1709164800000000),
        ("1970-01-01T00:00:00Z", 0),
        ("2100-12-31T23:59:59.999999Z", 4133980799999999),
        (1773500966, SECOND_US),
        ("1773500966", SECOND_US),
        (1773500966535, SECOND_US + 535000),
        ("1773500966535", SECOND_US + 535000),
        (1773500966.25, SECOND_US + 250000),
        (0, 0),
    ],
)
def test_timestamp(api, timestamp, us):
    assert accept_one(api, event(timestamp=timestamp))[0] == us


@pytest.mark.parametrize(
    "timestamp",
    [
        "yesterday",
        "2026-13-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-03-14T25:00:00Z",
        "2026-03-14T15:09:26+24:30",
        "2026-03-14T15:09:26Z trailing",
        " 2026-03-14T15:09:26Z",
        "14.03.2026",
        "1969-12-31T23:59:59.999999Z",
        "2101-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
        -1,
        "-1",
        1e300,
        4133980800,
        True,
        {},
        [],
    ],
)
def test_timestamp_refused(api, timestamp):
    answer = api.post(event(timestamp=timestamp))
    assert constraints(answer) == {"timestamp": {"isParseableTimestamp"}}


# --- refused, with the names of the constraints ---------------------------------

LONG = "€" * 101


@pytest.mark.parametrize(
    "fields, wrong",
    [
        ({"service": LONG}, {"service": {"maxLength"}}),
        ({"service": ""}, {"service": {"isNotEmpty"}}),
        ({"service": " \t\n"}, {"service": {"isNotEmpty"}}),
        ({"service": "\u3000\u2003"}, {"service": {"isNotEmpty"}}),
        ({"service": 7}, {"service": {"isString"}}),
        ({"service": ["x"]}, {"service": {"isString"}}),
        ({"service": {"x": 1}}, {"service": {"isString"}}),
        ({"message": ""}, {"message": {"isNotEmpty"}}),
        ({"message": 7}, {"message": {"isString"}}),
        ({"message": False}, {"message": {"isString"}}),
        ({"message": "x" * 2001}, {"message": {"maxLength"}}),
        ({"metadata": "x"}, {"metadata": {"isObject"}}),
        ({"metadata": [1]}, {"metadata": {"isObject"}}),
        ({"metadata": 0}, {"metadata": {"isObject"}}),
        ({"level": "info"}, {"level": {"whitelistValidation"}}),
        ({"event_id": "x"}, {"event_id": {"isUUID"}}),
        ({"event_id": 7}, {"event_id": {"isUUID"}}),
        ({"event_id": "0" * 32}, {"event_id": {"isUUID"}}),
        ({"Service": "x"}, {"Service": {"whitelistValidation"}}),
        (
            {"timestamp": "?", "service": LONG, "message": "", "extra": 1},
            {
                "timestamp": {"isParseableTimestamp"},
                "service": {"maxLength"},
                "message": {"isNotEmpty"},
                "extra": {"whitelistValidation"},
            },
        ),
    ],
)
def test_refused(api, fields, wrong):
    assert constraints(api.post(event(**fields))) == wrong


@pytest.mark.parametrize(
    "field, names",
    [
        ("timestamp", {"isParseableTimestamp"}),
        ("service", {"isString"}),
        ("message", {"isString"}),
    ],
)
@pytest.mark.parametrize("how", ["absent", "null"])
def test_required(api, field, names, how):
    sent = event()
    if how == "absent":
        del sent[field]
    else:
        sent[field] = None
    found = constraints(api.post(json.dumps(sent)))
    assert set(found) == {field}
    assert names <= found[field]


def test_metadata_may_be_null(api):
    sent = event()
    sent["metadata"] = None
    assert accept_one(api, sent)[3] is None


def test_the_text_of_a_constraint(api):
    body = api.post(event(service=LONG)).json()
    assert body["errors"] == [
        {
            "field": "service",
            "constraints": {
                "maxLength": "service name must be at most 100 characters"
            },
        }
    ]


# --- boundary values -------------------------------------------------------------

ASTRAL = "\U0001f600"  # one code point; two in UTF-16, four bytes


def metadata_of_bytes(size):
    """Metadata that is so many bytes as compact JSON."""
    return {"k": "x" * (size - len('{"k":""}'))}


def metadata_of_depth(levels, kind):
    inner = 1
    for _ in range(levels):
        inner = [inner] if kind == "array" else {"k": inner}
    return {"k": inner}


@pytest.mark.parametrize(
    "fields",
    [
        {"service": "x" * 100},
        {"service": ASTRAL * 100},
        {"service": "x"},
        {"message": "x" * 2000},
        {"message": ASTRAL * 2000},
        {"message": " "},
        {"metadata": metadata_of_bytes(16384)},
        {"metadata": {"k": ASTRAL * 4094}},
        {"metadata": {str(i): i for i in range(100)}},
        {"metadata": {"list": [{str(i): i} for i in range(99)]}},
        {"metadata": metadata_of_depth(5, "object")},
        {"metadata": metadata_of_depth(5, "array")},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_at_the_limit(api, fields):
    sent = event(**fields)
    body = json.dumps(sent, ensure_ascii=False)
    (event_id,) = api.accept(sent)
    assert api.post(body).status_code == 202
    assert wait_for(api, [event_id])[event_id] == as_stored(sent, TIMESTAMP_US)


@pytest.mark.parametrize(
    "fields, wrong",
    [
        ({"service": ASTRAL * 101}, {"service": {"maxLength"}}),
        ({"message": ASTRAL * 2001}, {"message": {"maxLength"}}),
        (
            {"metadata": metadata_of_bytes(16385)},
            {"metadata": {"isMetadataSizeValid"}},
        ),
        (
            {"metadata": {str(i): i for i in range(101)}},
            {"metadata": {"isMetadataSizeValid"}},
        ),
        (
            {"metadata": {"list": [{str(i): i} for i in range(100)]}},
            {"metadata": {"isMetadataSizeValid"}},
        ),
        (
            {"metadata": metadata_of_depth(6, "object")},
            {"metadata": {"isMetadataSizeValid"}},
        ),
        (
            {"metadata": metadata_of_depth(6, "array")},
            {"metadata": {"isMetadataSizeValid"}},
        ),
        (
            {"metadata": metadata_of_depth(5000, "array")},
            {"metadata": {"isMetadataSizeValid"}},
        ),
    ],
    ids=lambda value: next(iter(value)),
)
def test_past_the_limit(api, fields, wrong):
    # json.dumps has a limit of its own for the depth.
    if fields.get("metadata", {}).get("k").__class__ is list:
        levels = 0
        inner = fields["metadata"]["k"]
        while isinstance(inner, list):
            levels, inner = levels + 1, inner[0]
        text = json.dumps(event(metadata=0)).replace(
            '"metadata": 0',
            '"metadata": {"k": ' + "[" * levels + "1" + "]" * levels + "}",
        )
        assert constraints(api.post(text)) == wrong
    else:
        assert constraints(api.post(event(**fields))) == wrong


def test_white_space_of_metadata_does_not_count(api):
    sent = event(metadata=metadata_of_bytes(16384))
    assert api.post(json.dumps(sent, indent=8)).status_code == 202


# --- what PostgreSQL could not store ----------------------------------------------


def body_with(field, raw):
    """An event whose field is these bytes of JSON."""
    sent = event(**{field: "@@"})
    return json.dumps(sent).encode().replace(b'"@@"', raw)


@pytest.mark.parametrize(
    "field, raw",
    [
        ("service", rb'"a\u0000b"'),
        ("message", rb'"\u0000"'),
        ("message", rb'"\ud800"'),
        ("message", rb'"\udc00 x"'),
        ("message", rb'"\ud83d\ud83d\ude00"'),
        ("message", rb'"\ude00\ud83d"'),
        ("message", b'"\xff"'),
        ("message", b'"\xc0\x80"'),
        ("message", b'"\xed\xa0\x80"'),
        ("message", b'"\xf4\x90\x80\x80"'),
        ("message", b'"cut \xe2\x82"'),
        ("metadata", rb'{"k": "\u0000"}'),
        ("metadata", rb'{"\u0000": 1}'),
        ("metadata", rb'{"k": ["\ud800"]}'),
        ("metadata", rb'{"\udfff": 1}'),
        ("metadata", b'{"k": "\xff"}'),
        ("metadata", b'{"k": 1e1000000}'),
        ("metadata", b'{"k": 1e400}'),
        ("metadata", b'{"k": 1e-400}'),
        ("metadata", b'{"k": ' + b"9" * 401 + b"}"),
        ("metadata", b'{"k": 0.' + b"1" * 400 + b"}"),
    ],
)
def test_not_storable(api, field, raw):
    answer = api.post(body_with(field, raw))
    assert constraints(answer) == {field: {"isStorable"}}


@pytest.mark.parametrize(
    "raw",
    [
        b'{"k": 1e399}',
        b'{"k": 1e-398}',
        b'{"k": ' + b"9" * 400 + b"}",
        b'{"k": -0.0}',
        b'{"k": 1E+2}',
        b'{"k": 123456789012345678901234567890.5}',
    ],
)
def test_numbers_that_are_storable(api, raw):
    answer = api.post(body_with("metadata", raw))
    assert answer.status_code == 202, answer.text
    event_id = answer.json()["event_id"]
    wait_for(api, [event_id])
    assert api.database.value(
        "SELECT metadata = %s::jsonb FROM aurore.event WHERE event_id = %s",
        (raw.decode(), event_id),
    )


def test_the_last_of_two_equal_keys_wins(api):
    text = (
        '{"timestamp": "?", "service": "first", "message": 1, "service": "last",'
        ' "timestamp": 1773500966, "message": "m",'
        ' "metadata": 5, "metadata": {"k": 1, "k": {"l": 1, "l": 2}}}'
    )
    answer = api.post(text)
    assert answer.status_code == 202, answer.text
    event_id = answer.json()["event_id"]
    assert wait_for(api, [event_id])[event_id] == (
        SECOND_US,
        "last",
        "m",
        {"k": {"l": 2}},
    )


# --- batches ----------------------------------------------------------------------


def test_some_refused(api):
    sent = [event(f"one of some {i}") for i in range(20)]
    sent[17] = event(service=LONG)
    sent[3] = "not an object"
    answer = api.post(sent)
    assert answer.status_code == 207, answer.text
    body = answer.json()
    assert set(body) == {
        "status",
        "accepted",
        "rejected",
        "event_ids",
        "errors",
        "queued_at",
    }
    assert body["status"] == "partial"
    assert (body["accepted"], body["rejected"]) == (18, 2)
    assert len(body["event_ids"]) == 20
    assert [i for i, one in enumerate(body["event_ids"]) if one is None] == [3, 17]
    assert [error["index"] for error in body["errors"]] == [3, 17]
    assert body["errors"][1]["errors"] == [
        {
            "field": "service",
            "constraints": {
                "maxLength": "service name must be at most 100 characters"
            },
        }
    ]
    ids = [one for one in body["event_ids"] if one is not None]
    stored = wait_for(api, ids)
    for event_id, one in zip(body["event_ids"], sent):
        if event_id is not None:
            assert stored[event_id][2] == one["message"]


def test_some_lines_refused(api):
    lines = [json.dumps(event()), json.dumps(event(message="")), "[1]"]
    answer = api.post("\n".join(lines), NDJSON)
    assert answer.status_code == 207
    body = answer.json()
    assert (body["accepted"], body["rejected"]) == (1, 2)
    assert [error["index"] for error in body["errors"]] == [1, 2]


def test_all_refused(api):
    answer = api.post([event(message=""), event(service=7), 5])
    assert answer.status_code == 400
    body = answer.json()
    assert body["status"] == "error"
    assert body["errorCode"] == "INVALID_EVENT"
    assert [error["index"] for error in body["errors"]] == [0, 1, 2]
    assert list(body["errors"][1]["errors"][0]["constraints"]) == ["isString"]


@pytest.mark.parametrize(
    "body, content_type",
    [("[]", "application/json"), ("", NDJSON), ("\n \n", NDJSON)],
)
def test_nothing_in_it(api, body, content_type):
    answer = api.post(body, content_type)
    assert answer.status_code == 400
    assert answer.json()


@pytest.mark.parametrize("body", ["5", '"text"', "null", "true"])
def test_not_an_event(api, body):
    answer = api.post(body)
    assert answer.status_code == 400
    assert answer.json()


@pytest.mark.parametrize(
    "prefer", ["return=minimal", "respond-async, return=minimal", "RETURN=minimal"]
)
def test_prefer_minimal(api, prefer):
    answer = api.post([event(), event()], headers={"Prefer": prefer})
    assert answer.status_code == 202
    assert answer.headers["Preference-Applied"] == "return=minimal"
    assert set(answer.json()) == {"status", "accepted", "rejected", "queued_at"}


def test_prefer_minimal_with_refusals(api):
    answer = api.post(
        [event(), event(message="")], headers={"Prefer": "return=minimal"}
    )
    assert answer.status_code == 207
    assert answer.headers["Preference-Applied"] == "return=minimal"
    body = answer.json()
    assert "event_ids" not in body
    assert [error["index"] for error in body["errors"]] == [1]


def test_another_preference(api):
    answer = api.post([event()], headers={"Prefer": "return=representation"})
    assert "Preference-Applied" not in answer.headers
    assert len(answer.json()["event_ids"]) == 1


# --- not JSON -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        '{"timestamp": 1',
        '{"timestamp" 1}',
        "{'timestamp': 1}",
        "[{}",
        "[{},]",
        "{} {",
        '{"message": "no end',
        '{"message": "line\nbreak"}',
        '{"message": NaN}',
        '{"message": 01}',
        "/* comment */ {}",
        "timestamp=1&service=x",
        "\x00",
    ],
)
def test_malformed(api, body):
    answer = api.post(body)
    assert answer.status_code == 400, answer.text
    found = answer.json()
    assert set(found) == {"statusCode", "message", "error", "errorCode"}
    assert found["statusCode"] == 400
    assert found["error"] == "Bad Request"
    assert found["errorCode"] == "MALFORMED_JSON"
    assert isinstance(found["message"], str) and found["message"]


def test_malformed_says_at_which_byte(api):
    found = api.post('{"timestamp": 1, ?}').json()
    assert "17" in found["message"] or "18" in found["message"]


def test_nothing_of_a_malformed_body_is_taken(api):
    before = api.rest().get("events_enqueued_total")
    good = json.dumps(event("before the fault"))
    assert api.post("[" + good + ", }").status_code == 400
    assert api.post(good + good + "[" + good).status_code == 400
    assert api.rest().get("events_enqueued_total") == before
