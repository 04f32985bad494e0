# SPDX-License-Identifier: MIT
"""POST /events with CloudEvents: the three modes, data of any kind, one event in
whichever mode it comes, and the handshake of web hooks."""

import json

import pytest

from harness.wait import wait_until

STRUCTURED = "application/cloudevents+json"
BATCHED = "application/cloudevents-batch+json"
ORIGIN = "eventemitter.example.com"


def cloudevent(event_id, source="/apps/checkout", **members):
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": source,
        "type": "com.example.paid",
        **members,
    }


def send(api, body, content_type, path="/events", **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    if content_type is not None:
        headers["Content-Type"] = content_type
    data = body if isinstance(body, (str, bytes)) else json.dumps(body)
    return api.session.post(api.url(path), data=data, headers=headers, timeout=30)


def send_binary(api, event_id, body, content_type=None, path="/events", **headers):
    attributes = {
        "ce_specversion": "1.0",
        "ce_id": event_id,
        "ce_source": "/apps/checkout",
        "ce_type": "com.example.paid",
    }
    return send(api, body, content_type, path, **{**attributes, **headers})


def stored(api, answer):
    """(service, message, metadata) of the one event."""
    assert answer.status_code == 202, answer.text
    event_id = answer.json()["event_id"]

    def rows():
        return api.database.rows(
            "SELECT service, message, metadata FROM aurore.event WHERE event_id = %s",
            (event_id,),
        )

    wait_until(lambda: api.database.has_schema() and rows(), 30, "it is not stored")
    (row,) = rows()
    return row


def test_structured(api):
    event = cloudevent(
        "s1",
        time="2026-11-24T08:24:26.123456Z",
        subject="zoë",
        datacontenttype="application/json",
        seq=7,
        data={"a": [1, None, {"b": 2**60}]},
    )
    answer = send(api, event, STRUCTURED + "; charset=utf-8")
    assert set(answer.json()) == {"status", "event_id", "queued_at"}
    assert stored(api, answer) == (
        "/apps/checkout",
        "com.example.paid",
        {
            "id": "s1",
            "subject": "zoë",
            "datacontenttype": "application/json",
            "seq": 7,
            "data": {"a": [1, None, {"b": 2**60}]},
        },
    )
    time = api.database.value(
        "SELECT (extract(epoch FROM occurred_at) * 1000000)::bigint"
        " FROM aurore.event WHERE event_id = %s",
        (answer.json()["event_id"],),
    )
    assert time == 1795508666123456


@pytest.mark.parametrize(
    "body, content_type, metadata",
    [
        (b"", None, {}),
        (b'{"a": 1}', None, {"data": '{"a": 1}'}),
        (b'{"a": 1}', "application/json", {"data": {"a": 1}}),
        (b'{"a": 1}', "application/vnd.x+json", {"data": {"a": 1}}),
        (b'{"a": "\\u0000"}', "application/json", {"data": '{"a": "\\u0000"}'}),
        (b"null", "application/json", {}),
        (b"{", "application/json", {"data": "{"}),
        (b"<a/>", "application/xml", {"data": "<a/>"}),
        (b"\x00\xff", "application/octet-stream", {"data_base64": "AP8="}),
        (b"a=b", "application/x-www-form-urlencoded", {"data": "a=b"}),
        (b"\xe9", "text/plain; charset=latin1", {"data_base64": "6Q=="}),
    ],
)
def test_binary(api, body, content_type, metadata):
    event_id = f"b{abs(hash((body, content_type)))}"
    answer = send_binary(
        api, event_id, body, content_type, ce_Subject="zo%C3%AB%20%25", CE_SEQ="7"
    )
    expected = {"id": event_id, "subject": "zoë %", "seq": "7", **metadata}
    if content_type is not None:
        expected["datacontenttype"] = content_type
    assert stored(api, answer)[2] == expected


def test_a_batch(api):
    events = [cloudevent("x1"), {"specversion": "1.0"}, cloudevent("x2")]
    answer = send(api, events, BATCHED)
    assert answer.status_code == 207
    body = answer.json()
    assert (body["accepted"], body["rejected"]) == (2, 1)
    assert body["event_ids"][1] is None
    ((error,),) = [one["errors"] for one in body["errors"]]
    assert set(error["constraints"]) == {"isCloudEvent"}


def test_an_empty_batch(api):
    answer = send(api, [], BATCHED)
    assert answer.status_code == 202
    body = answer.json()
    assert (body["accepted"], body["rejected"], body["event_ids"]) == (0, 0, [])


def test_an_event_has_one_id_in_every_mode(api):
    answers = [
        send(api, cloudevent("one", data=1), STRUCTURED),
        send_binary(api, "one", "1", "application/json"),
        send_binary(api, "%6Fne", "other", "text/plain"),
    ]
    ids = {answer.json()["event_id"] for answer in answers}
    batch = send(api, [cloudevent("one")], BATCHED).json()["event_ids"]
    assert ids == set(batch)
    (event_id,) = ids
    assert event_id[14] == "8"
    other = send(api, cloudevent("one", source="/other"), STRUCTURED)
    assert other.json()["event_id"] not in ids


@pytest.mark.parametrize("version", ["0.3", "2.0", "", None])
def test_other_versions(api, version):
    answer = send(api, cloudevent("v", specversion=version), STRUCTURED)
    assert answer.status_code == 400
    ((field,),) = [list(one["constraints"]) for one in answer.json()["errors"]]
    assert field == "isCloudEvent"
    if version:
        answer = send_binary(api, "v", "", ce_specversion=version)
        assert answer.status_code == 400


def test_data_is_never_a_reason_to_refuse(api):
    for data in ("x" * 100000, {"a": "x" * 100000}, [[[[[[[[1]]]]]]]], "\0" * 50000):
        answer = send(api, cloudevent(f"d{len(str(data))}", data=data), STRUCTURED)
        metadata = stored(api, answer)[2]
        assert metadata["truncated"] is True and metadata["data"]
    answer = send_binary(api, "d-octets", b"\xff" * 100000)
    metadata = stored(api, answer)[2]
    assert metadata["truncated"] is True and metadata["data_base64"]


def test_a_long_source_is_cut_from_the_left(api):
    source = "https://example.com/" + "x" * 95 + "/checkout"
    service, _, metadata = stored(
        api, send(api, cloudevent("long", source=source), STRUCTURED)
    )
    assert service == "/checkout"
    assert metadata["source"] == source


def test_leniently(api):
    body = json.dumps(cloudevent("nan", data={"a": float("nan")}, time="soon"))
    assert send(api, body, STRUCTURED).status_code == 400
    answer = send(api, body, STRUCTURED, "/events?lenient=true&accepted_status=200")
    assert answer.status_code == 200
    assert answer.json()["status"] == "accepted"
    # What is of other formats is passed over.
    answer = send(
        api,
        cloudevent("over"),
        STRUCTURED,
        "/events?service_field=x&once=request&service=y",
        Idempotency_Key="k",
    )
    assert stored(api, answer)[0] == "/apps/checkout"


@pytest.mark.parametrize(
    "content_type",
    ["application/cloudevents+xml", "application/cloudevents", STRUCTURED + ";charset=x"],
)
def test_other_types(api, content_type):
    assert send(api, cloudevent("t"), content_type).status_code == 415


@pytest.mark.parametrize("limit, rate", [(0, "*"), (2, "120"), (0.001, "1")])
def test_web_hooks(programs, database, limit, rate):
    api = programs.collectd(database, {"RateLimit": limit}).start()
    asked = {
        "WebHook-Request-Origin": ORIGIN,
        "WebHook-Request-Callback": "http://127.0.0.1:1/never",
        "WebHook-Request-Rate": "1000",
    }
    answer = api.session.options(api.url("/events"), headers=asked, timeout=30)
    assert answer.status_code == 204
    assert answer.headers["WebHook-Allowed-Origin"] == ORIGIN
    assert answer.headers["WebHook-Allowed-Rate"] == rate
    assert "POST" in answer.headers["Allow"]
    for path, headers in (("/events", {}), ("/dlq", asked)):
        answer = api.session.options(api.url(path), headers=headers, timeout=30)
        assert "WebHook-Allowed-Origin" not in answer.headers
