# SPDX-License-Identifier: MIT
"""What every response of the API has in common, and the refusals that come
before the events are looked at."""

import gzip
import json

import pytest
import requests

from harness.events import UUID, event
from harness.http import RawConnection
from harness.wait import wait_until

MAX_BODY = 1048576
NDJSON = "application/x-ndjson"


@pytest.fixture(scope="module")
def impatient(postgres, module_programs):
    """A collectd whose RequestTimeout is short."""
    database = module_programs.database(postgres)
    return module_programs.collectd(database, {"RequestTimeout": 1}).start()


def check_common(answer):
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Correlation-Id"]


# --- headers --------------------------------------------------------------------


def test_headers_of_every_answer(api):
    answers = [
        api.post(event()),
        api.post([event(), {}]),
        api.post(event(message="")),
        api.post("{"),
        api.post("[]"),
        api.post(event(), "text/plain"),
        api.post("x" * (MAX_BODY + 1)),
        api.get("/nope"),
        api.get("/live"),
        api.get("/ready"),
        api.get("/metrics/prometheus"),
        api.session.put(api.url("/events"), timeout=30),
    ]
    statuses = [answer.status_code for answer in answers]
    assert statuses == [
        202, 207, 400, 400, 400, 415, 413, 404, 200, 200, 200, 405,
    ]  # fmt: skip
    for answer in answers:
        check_common(answer)
        if "prometheus" not in answer.url:
            assert answer.headers["Content-Type"].startswith("application/json")
            answer.json()


@pytest.mark.parametrize("path", ["/events", "/nope", "/live"])
def test_correlation_id_is_given_back(api, path):
    for value in ("x", "a-b_c.d:e/f", "~" * 128, "!\"#$%&'()*+,;<=>?@[]^`{|}"):
        answer = api.get(path, headers={"X-Correlation-Id": value})
        assert answer.headers["X-Correlation-Id"] == value


@pytest.mark.parametrize("value", [None, "", "~" * 129, "two words", b"caf\xe9"])
def test_correlation_id_is_made(api, value):
    headers = {} if value is None else {"X-Correlation-Id": value}
    first = api.get("/live", headers=headers).headers["X-Correlation-Id"]
    second = api.post(event(), headers=headers).headers["X-Correlation-Id"]
    assert UUID.fullmatch(first) and UUID.fullmatch(second)
    assert first != second


# --- routes ----------------------------------------------------------------------


def test_unknown_path(api):
    answer = api.get("/nope?secret=1")
    assert answer.status_code == 404
    assert answer.json() == {
        "statusCode": 404,
        "message": "Cannot GET /nope",
        "error": "Not Found",
        "errorCode": "NOT_FOUND",
    }


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_unknown_path_names_the_method(api, method):
    answer = api.session.request(method, api.url("/no/such"), timeout=30)
    assert answer.status_code == 404
    assert answer.json()["message"] == f"Cannot {method} /no/such"


@pytest.mark.parametrize("path", ["/%22%3Cb%3E", "/a%0d%0ab", "/%00", "/%ff", "//"])
def test_strange_paths(api, path):
    with RawConnection(api.port) as connection:
        connection.send(
            f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        )
        status, headers = connection.read_head()
        assert status == 404
        json.loads(connection.read_body(headers))


def test_a_long_path(api):
    answer = api.get("/" + "x" * 3000)
    assert answer.status_code == 404
    answer.json()


@pytest.mark.parametrize("path", ["/events", "/events/"])
@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_wrong_method(api, path, method):
    answer = api.session.request(method, api.url(path), timeout=30)
    assert answer.status_code == 405
    assert "POST" in answer.headers["Allow"]
    assert answer.json()["statusCode"] == 405


@pytest.mark.parametrize("path", ["/live", "/ready", "/metrics/prometheus"])
def test_wrong_method_where_one_reads(api, path):
    answer = api.session.post(api.url(path), data=b"x", timeout=30)
    assert answer.status_code == 405
    allowed = {name.strip() for name in answer.headers["Allow"].split(",")}
    assert "GET" in allowed and "HEAD" in allowed
    assert "POST" not in allowed


@pytest.mark.parametrize("path", ["/live", "/ready", "/metrics/prometheus"])
def test_head(api, path):
    with RawConnection(api.port) as connection:
        request = f"HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        connection.send(request)
        status, headers = connection.read_head()
        assert status == 200
        assert int(headers["content-length"]) > 0
        # No body follows: the next answer comes right behind the header.
        connection.send(request)
        assert connection.read_head()[0] == 200


def test_trailing_slash(api):
    for path in ("/live/", "/ready/", "/metrics/prometheus/"):
        assert api.get(path).status_code == 200


def test_live_and_ready(api):
    assert api.get("/live").json() == {"message": "SERVER_IS_NOT_SHUTTING_DOWN"}
    assert api.get("/ready").json() == {"message": "SERVER_IS_READY"}
    assert api.get("/health").json() == {"message": "SERVER_IS_READY"}


# --- 415 ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonx",
        "application/xml",
        "json",
        "",
    ],
)
def test_wrong_content_type(api, content_type):
    answer = api.post(json.dumps(event()), content_type)
    assert answer.status_code == 415
    body = answer.json()
    assert body["statusCode"] == 415
    assert isinstance(body["message"], str)


def test_no_content_type(api):
    body = json.dumps(event()).encode()
    with RawConnection(api.port) as connection:
        connection.send(
            b"POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s"
            % (len(body), body)
        )
        assert connection.read_head()[0] == 415


@pytest.mark.parametrize("encoding", ["br", "compress", "lz4", "gzip, gzip"])
def test_wrong_content_encoding(api, encoding):
    answer = api.post(
        json.dumps(event()), headers={"Content-Encoding": encoding}
    )
    assert answer.status_code == 415


def test_identity_is_no_encoding(api):
    answer = api.post(
        json.dumps(event()), headers={"Content-Encoding": "identity"}
    )
    assert answer.status_code == 202


@pytest.mark.parametrize("cut", [1, 10, 30])
def test_broken_gzip(api, cut):
    body = gzip.compress(json.dumps(event()).encode())
    for broken in (body[:-cut], b"x" + body, body + body[:-cut]):
        answer = api.post(broken, headers={"Content-Encoding": "gzip"})
        assert answer.status_code == 400, (broken, answer.text)
        assert answer.json()["statusCode"] == 400


# --- 413 ---------------------------------------------------------------------------

TOO_LARGE = {
    "statusCode": 413,
    "message": "request entity too large",
    "error": "Content Too Large",
    "errorCode": "BODY_TOO_LARGE",
}


def body_of(size):
    """A body of exactly so many bytes that is fine, whatever the size."""
    text = json.dumps(event("padded"))
    return text + " " * (size - len(text))


def test_body_at_the_limit(api):
    assert api.post(body_of(MAX_BODY)).status_code == 202


def test_body_past_the_limit(api):
    answer = api.post(body_of(MAX_BODY + 1))
    assert answer.status_code == 413
    assert answer.json() == TOO_LARGE


def test_refused_before_the_body_is_read(api):
    with RawConnection(api.port) as connection:
        connection.send(
            b"POST /events HTTP/1.1\r\nHost: x\r\n"
            b"Content-Type: application/json\r\n"
            b"Content-Length: 10000000000\r\n\r\n"
        )
        status, headers = connection.read_head()
        assert status == 413
        assert json.loads(connection.read_body(headers)) == TOO_LARGE


def test_chunked_body_past_the_limit(api):
    def pieces():
        for _ in range(20):
            yield b" " * 65536
        yield json.dumps(event()).encode()

    try:
        answer = api.session.post(
            api.url("/events"),
            data=pieces(),
            headers={"Content-Type": "application/json"},
            timeout=30,
        )
    except requests.ConnectionError:
        # Closed while the client still sent; what it must not do is take it.
        answer = None
    if answer is not None:
        assert answer.status_code == 413
        assert answer.json() == TOO_LARGE


def test_the_limit_holds_for_the_inflated_size(api):
    packed = gzip.compress(body_of(MAX_BODY).encode())
    headers = {"Content-Encoding": "gzip"}
    assert api.post(packed, headers=headers).status_code == 202
    packed = gzip.compress(body_of(MAX_BODY + 1).encode())
    answer = api.post(packed, headers=headers)
    assert answer.status_code == 413
    assert answer.json() == TOO_LARGE


def test_a_bomb(api):
    packed = gzip.compress(b" " * (256 << 20), 9)
    assert len(packed) < MAX_BODY
    before = api.metrics().get("process_memory_usage_bytes")
    answer = api.post(packed, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 413
    assert api.metrics().get("process_memory_usage_bytes") < before + (64 << 20)


@pytest.mark.parametrize("content_type", ["application/json", NDJSON])
def test_too_many_events(api, content_type):
    one = json.dumps(event("x"))
    separator, begin, end = ",", "[", "]"
    if content_type == NDJSON:
        separator, begin, end = "\n", "", ""
    fine = begin + separator.join([one] * 10000) + end
    answer = api.post(fine, content_type)
    assert answer.status_code == 202
    assert answer.json()["accepted"] == 10000
    before = api.rest().get("events_enqueued_total")
    answer = api.post(begin + separator.join([one] * 10001) + end, content_type)
    assert answer.status_code == 413
    assert answer.json()["statusCode"] == 413
    assert api.rest().get("events_enqueued_total") == before


# --- the wire ----------------------------------------------------------------------


def post_head(body, more=b""):
    return (
        b"POST /events HTTP/1.1\r\nHost: x\r\n"
        b"Content-Type: application/json\r\n"
        b"Content-Length: %d\r\n%s\r\n" % (len(body), more)
    )


def test_expect_continue(api):
    body = json.dumps(event("expected")).encode()
    with RawConnection(api.port) as connection:
        connection.send(post_head(body, b"Expect: 100-continue\r\n"))
        status, _ = connection.read_head()
        assert status == 100
        connection.send(body)
        status, headers = connection.read_head()
        assert status == 202
        assert json.loads(connection.read_body(headers))["event_id"]


@pytest.mark.parametrize(
    "head, refused",
    [
        (b"Content-Type: application/json\r\nContent-Length: 2000000\r\n", 413),
        (b"Content-Type: text/plain\r\nContent-Length: 20\r\n", 415),
    ],
)
def test_expect_continue_refused(api, head, refused):
    with RawConnection(api.port) as connection:
        connection.send(
            b"POST /events HTTP/1.1\r\nHost: x\r\n" + head
            + b"Expect: 100-continue\r\n\r\n"
        )
        status, headers = connection.read_head()
        assert status == refused
        assert json.loads(connection.read_body(headers))["statusCode"] == refused


def test_requests_in_a_row_on_one_connection(api):
    body = json.dumps(event("in a row")).encode()
    with RawConnection(api.port) as connection:
        connection.send((post_head(body) + body) * 20)
        for _ in range(20):
            status, headers = connection.read_head()
            assert status == 202
            connection.read_body(headers)


def test_a_refused_request_does_not_spoil_the_connection(api):
    body = json.dumps(event()).encode()
    with RawConnection(api.port) as connection:
        for sent, expected in ((b"{", 400), (body, 202), (b"[]", 400), (body, 202)):
            connection.send(post_head(sent) + sent)
            status, headers = connection.read_head()
            assert status == expected
            connection.read_body(headers)


def test_a_body_that_comes_byte_by_byte(api):
    body = json.dumps(event("slowly")).encode()
    with RawConnection(api.port) as connection:
        for byte in post_head(body) + body:
            connection.send(bytes([byte]))
        assert connection.read_head()[0] == 202


def test_http_1_0(api):
    body = json.dumps(event()).encode()
    with RawConnection(api.port) as connection:
        head = post_head(body).replace(b"HTTP/1.1", b"HTTP/1.0")
        connection.send(head + body)
        status, headers = connection.read_head()
        assert status == 202
        connection.read_body(headers)
        assert connection.read_to_end() == b""


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 20000 + b"\r\n",
        b"\x00" * 1000,
    ],
)
def test_garbage(impatient, data):
    with RawConnection(impatient.port) as connection:
        try:
            connection.send(data)
            connection.send(b"\r\n\r\n")
            connection.read_to_end()
        except (BrokenPipeError, ConnectionResetError):
            pass
    assert impatient.get("/live").status_code == 200


def test_clients_that_go_away(impatient):
    body = json.dumps(event("never answered")).encode()
    request = post_head(body) + body
    for size in [0, 10, len(request) - len(body), len(request) - 10] * 20:
        with RawConnection(impatient.port) as connection:
            connection.send(request[:size])
    wait_until(
        lambda: impatient.metrics().get("http_connections") <= 2,
        30,
        "connections of clients that went away stay open",
    )


def test_nothing_is_told_about_the_inside(api):
    answers = [api.post("{"), api.post([{}]), api.get("/nope"), api.post("", "x")]
    for answer in answers:
        text = answer.text + str(answer.headers)
        for word in ("aurore.", "host=", "dbname", "/tmp", ".c:", "libmicrohttpd"):
            assert word not in text
