# SPDX-License-Identifier: MIT
"""The form of answers: the one shape of all refusals, answers in gzip, and
refusals in the place of 100 Continue."""

import gzip
import hashlib
import http.client
import json
import re
import uuid

import pytest
import requests

from harness.build import TOP
from harness.events import event
from harness.http import RawConnection
from harness.wait import wait_until

ERROR_CODES = {
    name: (int(status), None if word == "NULL" else word.strip('"'))
    for name, status, word in re.findall(
        r"^ERROR_CODE\((\w+), (\d+), ([\w\"]+)\)",
        (TOP / "plugins/aurore/http/error_code.def").read_text(),
        re.MULTILINE,
    )
}
ROUTES = re.findall(
    r'^    {"(/[^"]*)",', (TOP / "plugins/aurore/api/routes.c").read_text(), re.M
)
# Of these 503 is a report, not a refusal.
HEALTH = ("/live", "/ready", "/health", "/health/database", "/health/detailed")
NOBODY = "01936b6e-0f5a-4d3e-8a1b-0123456789ab"
TOKENS = {scope: f"secret of {scope}" for scope in ("ingest", "read", "admin")}
NOWHERE = "host=/nonexistent dbname=x"


@pytest.fixture(scope="module")
def guarded(postgres, module_programs):
    """One that wants tokens, and takes few events a second."""
    database = module_programs.database(postgres)
    api = module_programs.collectd(
        database, {"RateLimit": 5, "Capacity": 3, "MaxBatchEvents": 4}
    )
    api.buffer["TokenFile"] = api.directory / "tokens"
    api.buffer["TokenFile"].write_text(
        "".join(
            f"{scope} {hashlib.sha256(token.encode()).hexdigest()}\n"
            for scope, token in TOKENS.items()
        )
    )
    api.start()
    wait_until(database.has_schema, 30, "there is no schema")
    return api


@pytest.fixture(scope="module")
def away(module_programs):
    """One without a database."""
    return module_programs.collectd(NOWHERE).start()


@pytest.fixture
def stopping(programs):
    """One that is shutting down, and waits for a database meanwhile."""
    api = programs.collectd(NOWHERE, writer={"ShutdownTimeout": 600}).start()
    api.accept(event())
    api.terminate()
    wait_until(lambda: api.get("/live").status_code == 503, 30, "it does not stop")
    yield api
    api.kill()


def check_refusal(answer):
    """The shape of every refusal; returns its code."""
    assert answer.status_code >= 400
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    body = answer.json()
    status, word = ERROR_CODES[body["errorCode"]]
    assert status == answer.status_code
    assert isinstance(body["message"], str) and body["message"]
    assert body["error"] == answer.reason
    if word is None:
        assert body["statusCode"] == status and "status" not in body
    else:
        assert body["status"] == word and "statusCode" not in body
    if answer.status_code in (429, 503):
        assert int(answer.headers["Retry-After"]) >= 1
    return body["errorCode"]


def check_status(answer):
    """A refusal of /v1/logs: what OpenTelemetry's exporters understand."""
    assert answer.headers["Content-Type"] == "application/json"
    body = answer.json()
    assert set(body) <= {"code", "message", "details"} and body["message"]
    assert isinstance(body["code"], int) and body["code"] > 0


# --- the shape of refusals --------------------------------------------------------


def request(api, method, path, token=None, **keywords):
    headers = keywords.pop("headers", {})
    if token is not None:
        headers = {**headers, "Authorization": f"Bearer {TOKENS[token]}"}
    return api.session.request(
        method, api.url(path), headers=headers, timeout=30, **keywords
    )


def insert_letter(database):
    """A dead letter whose event cannot be decoded."""
    return database.value(
        "INSERT INTO aurore.dead_letter (event_id, service, event, failure_reason,"
        " spool_id, lane, seq) VALUES (gen_random_uuid(), 'odd', 'x', 'by hand',"
        " gen_random_uuid(), 0, 1) RETURNING id::text"
    )


def post(api, body, token="ingest", content_type="application/json", **headers):
    data = body if isinstance(body, (str, bytes)) else json.dumps(body)
    return request(
        api, "POST", "/events", token, data=data,
        headers={"Content-Type": content_type, **headers},
    )  # fmt: skip


def odd(api, *headers, target="/live"):
    """What requests would not send."""
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=30)
    connection.putrequest("GET", target)
    for name, value in headers:
        connection.putheader(name, value)
    connection.endheaders()
    response = connection.getresponse()
    answer = requests.Response()
    answer.status_code, answer.reason = response.status, response.reason
    answer.headers.update(response.headers)
    answer._content = response.read()
    connection.close()
    return answer


def limited(api):
    wait_until(
        lambda: post(api, [event()] * 3).status_code == 429, 30, "there is no limit"
    )
    return post(api, [event()] * 3)


def reprocess_unreadable(api):
    letter = insert_letter(api.database)
    return request(api, "PATCH", f"/dlq/{letter}/reprocess", "admin")


def reprocess_again(api):
    letter = insert_letter(api.database)
    api.database.execute(
        "UPDATE aurore.dead_letter SET reprocessed = true, reprocessed_at = now(),"
        " stored_at = now() WHERE id = %s",
        (letter,),
    )
    return request(api, "PATCH", f"/dlq/{letter}/reprocess", "admin")


# A way to each code. Those of "guarded" that count for the rate limit are last.
KINDS = [
    ("NOT_FOUND", lambda api: request(api, "GET", "/nope")),
    ("METHOD_NOT_ALLOWED", lambda api: request(api, "PUT", "/events")),
    ("UNAUTHORIZED", lambda api: request(api, "GET", "/dlq")),
    ("FORBIDDEN", lambda api: request(api, "GET", "/dlq", "ingest")),
    ("INVALID_QUERY", lambda api: request(api, "GET", "/dlq?limit=0", "read")),
    ("INVALID_QUERY", lambda api: request(api, "GET", "/events", "read")),
    ("INVALID_QUERY", lambda api: request(api, "GET", "/metrics/history?x", "read")),
    ("INVALID_EVENT", lambda api: post(api, event(message=""))),
    ("INVALID_EVENT", lambda api: post(api, [])),
    (
        "INVALID_HEADER",
        lambda api: post(api, event(), **{"Idempotency-Key": "two words"}),
    ),
    ("MALFORMED_JSON", lambda api: post(api, "{")),
    ("MALFORMED_CODING", lambda api: post(api, "{}", **{"Content-Encoding": "gzip"})),
    ("UNSUPPORTED_CODING", lambda api: post(api, "{}", **{"Content-Encoding": "br"})),
    ("UNSUPPORTED_TYPE", lambda api: post(api, "{}", content_type="text/plain")),
    ("BODY_TOO_LARGE", lambda api: post(api, "x" * 1048577)),
    ("TOO_MANY_EVENTS", lambda api: post(api, [event()] * 5)),
    ("BUFFER_SATURATED", lambda api: post(api, [event()] * 4)),
    ("DEAD_LETTER_NOT_FOUND", lambda api: request(api, "GET", "/dlq/x", "read")),
    ("EVENT_NOT_FOUND", lambda api: request(api, "GET", "/events/x", "read")),
    ("DEAD_LETTER_UNREADABLE", reprocess_unreadable),
    ("ALREADY_REPROCESSED", reprocess_again),
    ("RATE_LIMITED", limited),
    ("MALFORMED_REQUEST", lambda api: odd(api, ("Host", "y"))),
    ("HEADER_TOO_LARGE", lambda api: odd(api, *[("X", "1")] * 120)),
    ("TARGET_TOO_LONG", lambda api: odd(api, target="/" + "x" * 9000)),
    ("UNSUPPORTED_EXPECTATION", lambda api: odd(api, ("Expect", "wonders"))),
    ("UNSUPPORTED_TRANSFER_CODING", lambda api: odd(api, ("Transfer-Encoding", "x"))),
]


@pytest.mark.parametrize("code, ask", KINDS)
def test_every_kind_of_refusal(guarded, code, ask):
    # What is refused counts against the rate limit, too.
    wait_until(lambda: check_refusal(ask(guarded)) == code, 30, f"not {code}")


AWAY = [
    ("GET", "/events?service=s&from=2026-03-14&to=2026-03-15"),
    ("GET", "/dlq"),
    ("GET", "/dlq/statistics"),
    ("GET", f"/dlq/{NOBODY}"),
    ("DELETE", f"/dlq/{NOBODY}"),
    ("PATCH", f"/dlq/{NOBODY}/reprocess"),
    ("GET", "/health/business"),
]


@pytest.mark.parametrize("method, path", AWAY)
def test_without_a_database(away, method, path):
    assert check_refusal(request(away, method, path)) == "DATABASE_UNAVAILABLE"


def test_while_it_stops(stopping):
    assert check_refusal(stopping.post(event())) == "SERVICE_UNAVAILABLE"


def test_every_code_has_been_seen():
    seen = {code for code, _ in KINDS}
    assert seen | {"DATABASE_UNAVAILABLE", "SERVICE_UNAVAILABLE"} == set(ERROR_CODES)


@pytest.mark.parametrize("path", [*ROUTES, "/nope", "/events/x"])
@pytest.mark.parametrize("token", [None, "ingest", "read", "admin"])
def test_every_route(guarded, path, token):
    """Whatever a route refuses, it refuses in the one shape; but for /v1/logs."""
    check = check_status if path == "/v1/logs" else check_refusal
    path = path.replace(":id", NOBODY)
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "FOO"):
        answer = request(guarded, method, path, token)
        is_report = path in HEALTH and answer.status_code == 503
        if answer.status_code >= 400 and not is_report:
            check(answer)
        head = request(guarded, "HEAD", path, token)
        assert head.content == b""


# --- the bounds of a refusal ------------------------------------------------------


def refused_of(api, events, **keywords):
    answer = api.post(events, **keywords)
    assert answer.status_code in (207, 400), answer.text
    assert len(answer.content) < 65536
    return answer.json()


@pytest.mark.parametrize("count, listed", [(99, 99), (100, 100), (101, 100), (9999, 100)])
def test_events_that_are_not_listed_are_counted(api, count, listed):
    omitted = count - listed or None
    body = refused_of(api, [1] * count)
    assert [one["index"] for one in body["errors"]] == list(range(listed))
    assert body.get("errorsOmitted") == omitted
    body = refused_of(api, [1] * (count - 1) + [event(), 1], headers={"Prefer": "return=minimal"})
    assert body["rejected"] == count and len(body["errors"]) == listed
    assert body.get("errorsOmitted") == omitted


@pytest.mark.parametrize("count, listed", [(19, 19), (20, 20), (21, 20), (300, 20)])
def test_fields_that_are_not_listed_are_counted(api, count, listed):
    """Beside the errors of a single event, and in the entry of one of several."""
    omitted = count - listed or None
    wrong = event(**{f"x{i}": 1 for i in range(count)})
    body = refused_of(api, wrong)
    assert len(body["errors"]) == listed and body.get("fieldsOmitted") == omitted
    body = refused_of(api, [event(), wrong])
    (entry,) = body["errors"]
    assert len(entry["errors"]) == listed and entry.get("fieldsOmitted") == omitted
    assert "fieldsOmitted" not in body


def test_a_refusal_of_long_names_is_bounded(api):
    wrong = {f"{i}".ljust(1000, "\x01"): 1 for i in range(20)}
    body = refused_of(api, [wrong] * 8)
    assert len(body["errors"]) + body.get("errorsOmitted", 0) == 8


# --- how many events a request may have -------------------------------------------


@pytest.fixture(scope="module")
def four(postgres, module_programs):
    """One that takes at most four events a request."""
    return module_programs.collectd(
        module_programs.database(postgres), {"MaxBatchEvents": 4}
    ).start()


ONE = json.dumps(event())
CLOUD = json.dumps({"specversion": "1.0", "id": "1", "source": "s", "type": "t"})
MANY = [
    # content type, query, how so many are written
    ("application/json", "", lambda n: "[" + ",".join([ONE] * n) + "]"),
    ("application/json", "", lambda n: ONE * n),
    ("application/json", "", lambda n: f"[{ONE}]" + f" [{ONE}]" * (n - 1)),
    ("application/json", "", lambda n: "[" + ",".join(["{}"] * n) + "]"),
    ("application/json", "", lambda n: "[" + ",".join(["1"] * n) + "]"),
    ("application/x-ndjson", "", lambda n: "\n\n" + f"{ONE}\n\n" * n),
    ("application/x-ndjson", "", lambda n: "{\n" * n),
    ("text/plain", "lenient=true", lambda n: "{}\n" * n),
    (
        "application/json",
        "lenient=true&events_field=logs",
        lambda n: json.dumps([{"logs": [{}] * (n - 1)}, {"logs": [{}]}]),
    ),
    (
        "application/cloudevents-batch+json",
        "",
        lambda n: "[" + ",".join([CLOUD] * n) + "]",
    ),
]


@pytest.mark.parametrize("content_type, query, write", MANY)
def test_more_events_than_a_request_may_have(four, content_type, query, write):
    """However they are written, and whether they are any good."""

    def send(count):
        return four.session.post(
            four.url("/events?" + query if query else "/events"),
            data=write(count).encode(),
            headers={"Content-Type": content_type},
            timeout=30,
        )

    assert send(4).status_code in (202, 400)
    before = four.rest().get("events_enqueued_total")
    answer = send(5)
    assert answer.status_code == 413
    assert check_refusal(answer) == "TOO_MANY_EVENTS"
    assert four.rest().get("events_enqueued_total") == before


# --- gzip -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def filled(postgres, module_programs):
    """One with events that make a page of more than a megabyte."""
    database = module_programs.database(postgres)
    api = module_programs.collectd(database).start()
    wait_until(database.has_schema, 30, "there is no schema")
    text = "It was a dark and stormy night; the rain fell in torrents. "
    for batch in range(0, 1000, 250):
        api.accept(
            [event(f"{batch + i} {text * 30}", "large") for i in range(250)]
        )
    api.accept([event("small", "small")])
    api.accept([event(uuid.uuid4().hex * 10, f"service-{i}") for i in range(300)])
    database.wait_stored(1301)
    return api


def page(service, size=1000):
    return (
        f"/events?service={service}&from=2026-03-01&to=2026-03-30&pageSize={size}"
    )


def exchange(api, method, path, accept=None, body=None, **headers):
    """An answer as it is on the wire: status, headers, body."""
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=60)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        for value in [accept] if isinstance(accept, str) else accept or []:
            connection.putheader("Accept-Encoding", value)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("size", [10, 1000])
def test_a_page_in_gzip(filled, size):
    """A thread of the query pool packs it, however large it is."""
    _, plain_headers, plain = exchange(filled, "GET", page("large", size))
    assert len(plain) > size * 1500
    assert "Content-Encoding" not in plain_headers
    status, headers, packed = exchange(filled, "GET", page("large", size), "gzip")
    assert status == 200
    assert headers["Content-Encoding"] == "gzip"
    assert headers["Content-Type"] == "application/json; charset=utf-8"
    assert headers["Vary"] == plain_headers["Vary"] == "Accept-Encoding"
    assert int(headers["Content-Length"]) == len(packed) < len(plain) / 5
    assert gzip.decompress(packed) == plain


@pytest.mark.parametrize("path", [page("large"), page("small"), "/live"])
@pytest.mark.parametrize("accept", [None, "gzip"])
def test_head_says_what_get_does(filled, path, accept):
    status, headers, body = exchange(filled, "GET", path, accept)
    head_status, head, nothing = exchange(filled, "HEAD", path, accept)
    assert head_status == status and nothing == b""
    assert int(head["Content-Length"]) == len(body)
    for name in ("Content-Encoding", "Content-Type", "Vary"):
        assert head[name] == headers[name], name


@pytest.mark.parametrize(
    "accept, is_gzip",
    [
        ("gzip, deflate, br, zstd", True),
        ("GZIP;q=0.5", True),
        ("*", True),
        (["br", "gzip"], True),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip;q=0, *;q=1", False),
        ("*;q=0", False),
        ("gzip;q=0.1, identity", False),
        (["*", "gzip;q=0.000"], False),
        ("deflate", False),
        ("", False),
        (None, False),
    ],
)
@pytest.mark.parametrize("path", [page("large", 3), "/metrics/prometheus"])
def test_what_a_client_accepts(filled, path, accept, is_gzip):
    status, headers, body = exchange(filled, "GET", path, accept)
    assert status == 200
    assert headers["Content-Encoding"] == ("gzip" if is_gzip else None)
    assert headers["Vary"] == "Accept-Encoding"
    assert len(gzip.decompress(body) if is_gzip else body) > 1024


@pytest.mark.parametrize("path", ["/live", "/nope", "/metrics", page("small"), "/dlq"])
def test_what_is_small_stays_plain(filled, path):
    _, headers, body = exchange(filled, "GET", path, "gzip")
    assert "Content-Encoding" not in headers and "Vary" not in headers
    assert len(body) <= 1024
    json.loads(body)


def test_an_answer_to_post_stays_plain(filled):
    body = json.dumps([event()] * 100).encode()
    status, headers, answer = exchange(
        filled, "POST", "/events", "gzip", body, Content_Type="application/json"
    )
    assert status == 202 and len(answer) > 1024
    assert "Content-Encoding" not in headers and "Vary" not in headers


def test_a_large_refusal_of_a_query(filled):
    query = "&".join(f"unknown-parameter-{i:02}=1" for i in range(16))
    status, headers, body = exchange(filled, "GET", f"/events?{query}", "gzip")
    assert status == 400 and headers["Content-Encoding"] == "gzip"
    assert json.loads(gzip.decompress(body))["errorCode"] == "INVALID_QUERY"


# --- Expect: 100-continue ---------------------------------------------------------


@pytest.mark.parametrize(
    "line, headers, code",
    [
        ("POST /events", "Content-Type: application/json", "UNAUTHORIZED"),
        (
            "POST /events",
            f"Authorization: Bearer {TOKENS['read']}\r\nContent-Type: application/json",
            "FORBIDDEN",
        ),
        (
            "POST /events",
            f"Authorization: Bearer {TOKENS['ingest']}\r\nContent-Type: text/plain",
            "UNSUPPORTED_TYPE",
        ),
        ("POST /nope", "X: y", "NOT_FOUND"),
        ("PUT /events", "X: y", "METHOD_NOT_ALLOWED"),
    ],
)
def test_a_refusal_in_the_place_of_100(guarded, line, headers, code):
    with RawConnection(guarded.port) as connection:
        connection.send(
            f"{line} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
            f"Content-Length: 20\r\n{headers}\r\n\r\n".encode()
        )
        status, found = connection.read_head()
        body = json.loads(connection.read_body(found))
        assert body["errorCode"] == code and ERROR_CODES[code][0] == status
        assert found["connection"].lower() == "close"
        assert connection.read_to_end() == b""


# --- content types ----------------------------------------------------------------


@pytest.mark.parametrize(
    "content_type, status",
    [
        ("APPLICATION/JSON; Charset=UTF-8", 202),
        ('application/json; charset="utf-8"', 202),
        ("application/json; charset=utf8", 202),
        ("application/json; charset=us-ascii", 202),
        ('application/json; profile="charset=latin1"', 202),
        ('application/x-ndjson; charset="US-ASCII"', 202),
        ("application/json; charset=iso-8859-1", 415),
        ('application/json; charset="utf-16"', 415),
        ("application/json; charset=utf-8; charset=latin1", 415),
    ],
)
def test_charsets(api, content_type, status):
    answer = api.post(json.dumps(event()), content_type)
    assert answer.status_code == status, answer.text
