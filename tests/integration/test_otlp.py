# SPDX-License-Identifier: MIT
"""POST /v1/logs: OpenTelemetry's logs through a real collectd into PostgreSQL."""

import gzip
import hashlib
import json
import zlib

import pytest

from harness import otlp
from harness.http import RawConnection
from harness.wait import wait_until

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
TIME = 1700000000987654321


def export(api, body, content_type=PROTOBUF, path="/v1/logs", **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    if content_type is not None:
        headers["Content-Type"] = content_type
    return api.session.post(api.url(path), data=body, headers=headers, timeout=60)


def accept(api, body, content_type=PROTOBUF, path="/v1/logs", **headers):
    answer = export(api, body, content_type, path, **headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == content_type
    assert answer.content == (b"{}" if content_type == JSON else b"")
    return answer


def rows(api, service):
    """(message, metadata) of the service's events, in order."""
    return api.database.rows(
        "SELECT message, metadata FROM aurore.event WHERE service = %s"
        " ORDER BY event_id",
        (service,),
    )


def wait_for(api, service, count):
    wait_until(
        lambda: api.database.has_schema() and len(rows(api, service)) >= count,
        60,
        f"{count} records are not stored",
    )
    found = rows(api, service)
    assert len(found) == count
    return found


def named(service):
    return {"service.name": service}


def status(answer):
    """(code, message) of a google.rpc.Status, in the type that it says."""
    if answer.headers["Content-Type"] == JSON:
        body = answer.json()
        assert set(body) == {"code", "message"}
        return body["code"], body["message"]
    assert answer.headers["Content-Type"] == PROTOBUF
    found = otlp.fields(answer.content)
    assert set(found) == {1, 2}
    return found[1], found[2].decode()


# --- stored ------------------------------------------------------------------------


def test_a_record_is_stored(api):
    attributes = {
        "text": "zoë",
        "big": 9223372036854775807,
        "half": 0.5,
        "yes": True,
        "nothing": None,
        "bytes": b"\x00\xff",
        "list": [1, [], {}],
        "map": {"a": {"b": [None]}},
        "nan": float("nan"),
        "inf": float("-inf"),
        "": "no key",
    }
    more = (
        otlp.number(2, 17)
        + otlp.data(3, "ERROR")
        + otlp.fixed32(8, 1)
        + otlp.data(9, bytes(range(16)))
        + otlp.data(10, bytes(range(8)))
        + otlp.data(12, "ev")
    )
    record = otlp.record("hello", time=TIME, attributes=attributes, more=more)
    scope = otlp.data(1, "lib") + otlp.data(2, "1.0") + otlp.pairs(3, {"x": 1})
    resource = {**named("otlp-one"), "host": "h"}
    accept(api, otlp.request([record], resource, scope))
    ((message, metadata),) = wait_for(api, "otlp-one", 1)
    assert message == "hello"
    assert metadata == {
        "severityNumber": 17,
        "severityText": "ERROR",
        "flags": 1,
        "traceId": "000102030405060708090a0b0c0d0e0f",
        "spanId": "0001020304050607",
        "eventName": "ev",
        "resource": resource,
        "scope": {"name": "lib", "version": "1.0", "attributes": {"x": 1}},
        "attributes": {**attributes, "bytes": "AP8=", "nan": "NaN", "inf": "-Infinity"},
    }
    time = api.database.value(
        "SELECT (extract(epoch FROM occurred_at) * 1000000)::bigint"
        " FROM aurore.event WHERE service = 'otlp-one'"
    )
    assert time == TIME // 1000


@pytest.mark.parametrize("last", [False, True])
def test_resource_and_scope_may_come_last(api, last):
    service = f"otlp-last-{last}"
    records = [otlp.record(str(i)) for i in range(3)]
    scope = otlp.data(1, "lib")
    accept(api, otlp.request(records, named(service), scope, last=last))
    assert wait_for(api, service, 3) == [
        (str(i), {"resource": named(service), "scope": {"name": "lib"}})
        for i in range(3)
    ]


def test_json_means_the_same(api):
    accept(
        api,
        json.dumps(
            {
                "resourceLogs": [
                    {
                        "scopeLogs": [
                            {
                                "logRecords": [
                                    {
                                        "timeUnixNano": str(TIME),
                                        "severity_number": "SEVERITY_NUMBER_WARN",
                                        "traceId": "0AF7651916CD43DD8448EB211C80319C",
                                        "body": {
                                            "kvlistValue": {
                                                "values": [
                                                    {
                                                        "key": "n",
                                                        "value": {"intValue": 2**70},
                                                    }
                                                ]
                                            }
                                        },
                                        "unknown": [{}],
                                    }
                                ]
                            }
                        ],
                        "resource": {
                            "attributes": [
                                {
                                    "key": "service.name",
                                    "value": {"stringValue": "otlp-json"},
                                }
                            ]
                        },
                    }
                ]
            }
        ),
        JSON,
    )
    assert wait_for(api, "otlp-json", 1) == [
        (
            '{"n":%d}' % 2**70,
            {
                "severityNumber": 13,
                "traceId": "0af7651916cd43dd8448eb211c80319c",
                "resource": named("otlp-json"),
            },
        )
    ]


@pytest.mark.parametrize(
    "coding, pack",
    [
        ("gzip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("zlib", zlib.compress),
        ("identity", bytes),
    ],
)
def test_codings(api, coding, pack):
    service = f"otlp-{coding}"
    body = otlp.request([otlp.record("m")], named(service))
    accept(api, pack(body), Content_Encoding=coding)
    wait_for(api, service, 1)


def test_the_service_of_records_without_one(api):
    accept(api, otlp.request([otlp.record("m")]), path="/v1/logs?service=otlp-given")
    assert wait_for(api, "otlp-given", 1) == [("m", None)]
    accept(api, otlp.request([otlp.record("none of its own")]))
    wait_until(
        lambda: ("none of its own", None) in rows(api, "unknown_service"),
        60,
        "it is not stored",
    )


def test_text_that_cannot_be_stored_is_repaired(api):
    bad = otlp.data(5, otlp.data(1, b"a\xff\0z")) + otlp.data(3, b"\xff")
    record = otlp.record(attributes={"k": "a\0b"}, more=bad)
    accept(api, otlp.request([record], named("otlp-repaired")))
    ((message, metadata),) = wait_for(api, "otlp-repaired", 1)
    assert message == "a\ufffd\ufffdz"
    assert metadata["attributes"] == {"k": "a\ufffdb"}
    assert metadata["severityText"] == "\ufffd"


def test_an_empty_request(api):
    accept(api, b"")
    accept(api, "{}", JSON)
    accept(api, otlp.request([]))


# --- bounds ------------------------------------------------------------------------


def test_as_many_records_as_may_be(api):
    """Each with a resource of 15 KiB: all are stored, in 32 MiB."""
    resource = {**named("otlp-many"), "much": "x" * 15000}
    body = otlp.request([otlp.record(str(i)) for i in range(50000)], resource)
    accept(api, gzip.compress(body, 1), Content_Encoding="gzip")
    found = wait_for(api, "otlp-many", 50000)
    assert {message for message, _ in found} == {str(i) for i in range(50000)}
    whole = [one for one in found if "resource" in one[1]]
    assert 0 < len(whole) < 3000
    assert all(one[1].get("truncated") for one in found if "resource" not in one[1])


def test_a_body_as_large_as_may_be(api):
    service = "otlp-large"
    around = len(otlp.request([otlp.record("x" * (1 << 23))], named(service)))
    record = otlp.record("x" * ((1 << 24) - (around - (1 << 23))))
    body = otlp.request([record], named(service))
    accept(api, body)
    ((message, metadata),) = wait_for(api, service, 1)
    assert len(message) == 2000 and metadata["truncated"] is True
    for too_large in (body + b"\x10\x01", gzip.compress(body + b"\x10\x01")):
        coding = {"Content_Encoding": "gzip"} if too_large[:1] == b"\x1f" else {}
        answer = export(api, too_large, **coding)
        assert answer.status_code == 413
        assert status(answer)[0] == 8


# --- refused -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "body, content_type, path, code",
    [
        (b"\x0a\x05", PROTOBUF, "/v1/logs", 400),
        ("{", JSON, "/v1/logs", 400),
        ("[]", JSON, "/v1/logs", 400),
        ("{}", JSON, "/v1/logs?lenient=true", 400),
        (b"", PROTOBUF, "/v1/logs?once=maybe", 400),
        (b"", PROTOBUF, "/v1/logs?service=", 400),
        (b"", PROTOBUF, "/v1/logs?service=" + "x" * 101, 400),
        (b"", PROTOBUF, "/v1/logs?service=a&service=b", 400),
        (b"", "text/plain", "/v1/logs", 415),
        (b"", None, "/v1/logs", 415),
        ("{}", JSON + "; charset=latin1", "/v1/logs", 415),
    ],
)
def test_refusals_are_a_status(api, body, content_type, path, code):
    answer = export(api, body, content_type, path)
    assert answer.status_code == code
    number, message = status(answer)
    assert number == 3 and message
    is_protobuf = content_type == PROTOBUF
    assert (answer.headers["Content-Type"] == PROTOBUF) == is_protobuf
    for name in ("X-Correlation-Id", "X-Content-Type-Options", "Cache-Control"):
        assert name in answer.headers


@pytest.mark.parametrize("coding", ["lz4", "snappy", "br", "gzip, gzip"])
def test_other_codings(api, coding):
    answer = export(api, b"x", Content_Encoding=coding)
    assert answer.status_code == 415
    assert status(answer)[0] == 3


def test_what_is_not_what_its_coding_says(api):
    answer = export(api, b"x", Content_Encoding="zstd")
    assert answer.status_code == 400 and status(answer)[0] == 3


def test_another_method(api):
    for content_type in (PROTOBUF, JSON):
        answer = api.session.put(
            api.url("/v1/logs"), headers={"Content-Type": content_type}, timeout=30
        )
        assert answer.status_code == 405
        assert answer.headers["Allow"] == "POST, OPTIONS"
        assert answer.headers["Content-Type"] == content_type
        assert status(answer)[0] == 12


def test_framing_at_fault_is_a_status_too(api):
    connection = RawConnection(api.port)
    connection.send(
        b"POST /v1/logs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}"
    )
    code, headers = connection.read_head()
    assert code == 400
    assert set(json.loads(connection.read_body(headers))) == {"code", "message"}


def test_tokens(programs, database):
    api = programs.collectd(database)
    tokens = api.directory / "tokens"
    tokens.write_text(
        "".join(
            f"{scope} {hashlib.sha256(scope.encode()).hexdigest()}\n"
            for scope in ("ingest", "read")
        )
    )
    api.buffer["TokenFile"] = tokens
    api.start()
    accept(api, b"", Authorization="Bearer ingest")
    for token, code, number in ((None, 401, 16), ("x", 401, 16), ("read", 403, 7)):
        header = {"Authorization": f"Bearer {token}"} if token else {}
        answer = export(api, b"", **header)
        assert answer.status_code == code
        assert "WWW-Authenticate" in answer.headers
        assert status(answer)[0] == number


def test_a_retry_comes_soon(programs):
    """However long the buffer will be full, or a rate limit exceeded."""
    api = programs.collectd(
        "host=/nonexistent dbname=x",
        {"Capacity": 1, "OtlpMaxRecords": 5},
        {"ShutdownTimeout": 0.1},
    )
    api.expected_status = 1  # what waits in memory is lost
    api.start()
    body = otlp.request([otlp.record("m")])
    accept(api, body)
    answer = export(api, body)
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["Retry-After"]) <= 2
    assert status(answer)[0] == 8


def test_a_rate_limit(programs, database):
    api = programs.collectd(database, {"RateLimit": 1}).start()
    body = otlp.request([otlp.record(str(i)) for i in range(500)])
    accept(api, body)
    answer = export(api, body)
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "2"
    assert status(answer)[0] == 8


def test_no_memory_for_more(programs, database):
    """A body that fits, on a host that has little memory."""
    api = programs.collectd(database, {"BodyMemory": "4MiB"}).start()
    body = otlp.request([otlp.record("x" * (1 << 20)) for _ in range(2)])
    accept(api, body)
    answer = export(api, otlp.request([otlp.record("x" * (1 << 22))]))
    assert answer.status_code == 413
    many = otlp.request([otlp.record("x" * 2000)] * 1400)
    answer = export(api, many)
    assert answer.status_code == 503
    assert 1 <= int(answer.headers["Retry-After"]) <= 2
    assert status(answer)[0] == 14


def test_the_metrics_have_its_name(api):
    accept(api, b"")
    export(api, b"x")
    for code in ("200", "400"):
        wait_until(
            lambda code=code: api.metrics().get(
                "http_request_total", route="otlp_logs", status=code
            ),
            30,
            f"no request with {code} was counted",
        )


def test_pages_may_send_with_credentials(programs, database):
    origin = "http://app.example"
    api = programs.collectd(database, {"AllowOrigin": origin}).start()
    answer = api.session.options(
        api.url("/v1/logs"),
        headers={
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type",
        },
        timeout=30,
    )
    assert answer.status_code == 204
    assert answer.headers["Access-Control-Allow-Origin"] == origin
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    answer = export(api, "{}", JSON, Origin=origin)
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"
