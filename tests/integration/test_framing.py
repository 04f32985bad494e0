# SPDX-License-Identifier: MIT
"""Where a request begins and ends: what is refused for it, with nothing behind
it run, and nothing stored whose answer cannot be sent. All cases are in
tests/unit/http/check_framing.c; here are some from end to end."""

import ctypes
import gzip
import json
import ssl
import subprocess
from pathlib import Path

import pytest
import yaml

from harness import build
from harness.events import event
from harness.http import RawConnection
from harness.wait import wait_until

BODY = json.dumps(event("framed")).encode()
HEAD = b"POST /events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
BEHIND = HEAD + b"X-Correlation-Id: behind\r\n" + LENGTH + b"\r\n" + BODY
# More than this goes into no header.
MOST = 16384


def short(value):
    return str(value)[:30]


def is_library_strict():
    """A newer libmicrohttpd refuses most of this by itself, in its own words."""
    library = ctypes.CDLL("libmicrohttpd.so.12")
    library.MHD_get_version.restype = ctypes.c_char_p
    version = library.MHD_get_version().decode().split(".")
    return [int(part) for part in version[:3]] > [0, 9, 76]


def enqueued(api):
    return api.rest().get("events_enqueued_total")


def answers_of(port, data, context=None):
    """All that comes back until the server closes the connection."""
    with RawConnection(port) as connection:
        if context is not None:
            connection.wrap(context)
        try:
            connection.send(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused while the rest was sent
        return connection.read_to_end()


def status_and_body(answer):
    head, body = answer.split(b"\r\n\r\n", 1)
    return int(head.split(b" ")[1]), body


# --- nothing behind a refusal is run ----------------------------------------------


@pytest.mark.parametrize(
    "status, refused",
    [
        (400, HEAD + LENGTH + CHUNKED + b"\r\n" + CHUNKS),
        (400, HEAD + CHUNKED + LENGTH + b"\r\n" + CHUNKS),
        (400, HEAD + b"Content-Length: 5\r\n" + LENGTH + b"\r\n" + BODY),
        (400, HEAD + LENGTH + b"Content-Length: 5\r\n\r\n" + BODY),
        (501, HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + CHUNKS),
        (400, HEAD + b"Transfer-Encoding : chunked\r\n\r\n" + CHUNKS),
        (400, HEAD + LENGTH + b"Host: y\r\n\r\n" + BODY),
        (400, HEAD.replace(b"Host: x\r\n", b"") + LENGTH + b"\r\n" + BODY),
        (400, HEAD + LENGTH + b"Authorization: Bearer t\0x\r\n\r\n" + BODY),
        (400, HEAD + LENGTH + b"X: a\rb\r\n\r\n" + BODY),
        (400, HEAD + LENGTH + b"X: a\n\r\n" + BODY),
        (400, HEAD + LENGTH + b"X: a\r\n b\r\n\r\n" + BODY),
        (417, HEAD + LENGTH + b"Expect: something\r\n\r\n" + BODY),
        (431, HEAD + LENGTH + b"X: y\r\n" * 216 + b"\r\n" + BODY),
        (431, HEAD + LENGTH + b"X: " + b"y" * 15600 + b"\r\n\r\n" + BODY),
        (414, BEHIND.replace(b"/events", b"/events?" + b"a" * 15000)),
    ],
    ids=short,
)
def test_nothing_behind_a_refusal_is_run(api, status, refused):
    before = enqueued(api)
    answer = answers_of(api.port, refused + BEHIND * 3)
    assert b"behind" not in answer and b" 202 " not in answer
    assert enqueued(api) == before
    if is_library_strict():
        return
    got, body = status_and_body(answer)
    assert got == status and answer.count(b"HTTP/1.1 ") == 1
    assert b"Connection: close" in answer and b"X-Correlation-Id: " in answer
    assert b"Content-Type: application/json" in answer
    assert json.loads(body)["statusCode"] == status


def test_both_forms_of_the_target_are_stored(programs, database):
    api = programs.collectd(database).start()
    with RawConnection(api.port) as connection:
        for target in (b"http://elsewhere:1/events", b"/events", b"/events/"):
            connection.send(BEHIND.replace(b"/events", target, 1))
            status, headers = connection.read_head()
            assert status == 202
            connection.read_body(headers)
    database.wait_stored(3)


@pytest.mark.parametrize("space", [b" ", b"\t", b" \t "])
def test_white_space_after_a_value_is_not_of_it(api, space):
    packed = gzip.compress(BODY)
    fields = (
        b"POST /events HTTP/1.1",
        b"Host: x",
        b"Content-Type: application/json",
        b"Content-Encoding: gzip",
        b"Prefer: return=minimal",
        b"X-Correlation-Id: mine",
        b"Expect: 100-continue",
        b"Content-Length: %d" % len(packed),
    )
    head = fields[0] + b"\r\n" + (space + b"\r\n").join(fields[1:])
    with RawConnection(api.port) as connection:
        connection.send(head + b"\r\n\r\n")
        status, _ = connection.read_head()
        assert status == 100
        connection.send(packed)
        status, headers = connection.read_head()
        assert status == 202
        assert headers["x-correlation-id"] == "mine"
        assert headers["preference-applied"] == "return=minimal"


# --- the memory of a connection ------------------------------------------------------


def count_accepted(port, data, context=None):
    answer = answers_of(port, data, context)
    assert answer.startswith(b"HTTP/1.1 "), len(data)
    return answer.count(b"HTTP/1.1 202 ")


def headers_of_all_sizes():
    for size in range(0, MOST + 200, 53):
        yield b"X: " + b"y" * size + b"\r\n"
    for count in range(0, 260, 3):
        yield b"X: y\r\n" * count


def test_what_is_stored_is_answered(api):
    before = enqueued(api)
    accepted = sum(
        count_accepted(
            api.port,
            HEAD + more + LENGTH + b"Connection: close\r\n\r\n" + BODY,
        )
        for more in headers_of_all_sizes()
    )
    assert accepted > 100
    assert enqueued(api) == before + accepted


@pytest.mark.plain("the sanitizers keep what is freed")
def test_requests_that_are_refused_leave_nothing(api):
    lines = b"".join(
        b"%x\r\n%s\n\r\n" % (len(BODY) + 1, BODY) for _ in range(3)
    )
    request = (
        HEAD + CHUNKED + b"Content-Length: %d\r\n\r\n" % (len(BODY) + 1)
        + lines + b"0\r\n\r\n"
    )

    def refuse(count):
        for _ in range(count):
            assert answers_of(api.port, request).startswith(b"HTTP/1.1 400 ")
        status = Path(f"/proc/{api.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])

    before = refuse(200)
    assert refuse(1000) < before + 4096


@pytest.fixture
def certificate(tmp_path):
    key, pem = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
         "/CN=localhost", "-keyout", key, "-out", pem],
        check=True, capture_output=True,
    )  # fmt: skip
    return {"TLSCertificate": str(pem), "TLSKey": str(key)}


def test_the_same_with_tls(programs, database, certificate):
    api = programs.collectd(database, certificate).start_only()
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE

    def ask(data):
        try:
            return answers_of(api.port, data, context)
        except OSError:
            return b""  # not yet, or not any more

    alive = b"GET /live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    wait_until(lambda: b" 200 OK" in ask(alive), 30, "it listens with TLS")
    statuses = []
    for size in range(13000, 16000, 277):
        more = b"X: " + b"y" * size + b"\r\nConnection: close\r\n"
        status, body = status_and_body(ask(HEAD + more + LENGTH + b"\r\n" + BODY))
        assert json.loads(body)
        statuses.append(status)
    assert set(statuses) == {202, 431}
    database.wait_stored(statuses.count(202))


# --- HEAD ---------------------------------------------------------------------------


def paths_to_get():
    document = yaml.safe_load((build.TOP / "docs/openapi.yaml").read_text())
    for path, operations in document["paths"].items():
        if "get" in operations:
            yield path.replace("{id}", "01936b6e-0f5a-4d3e-8a1b-0123456789ab")


def read_whole(connection, method, path):
    connection.send(f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    status, headers = connection.read_head()
    body = connection.read_body(headers) if method == "GET" else None
    return status, headers, body


@pytest.mark.parametrize("path", paths_to_get())
def test_head_is_get_without_the_body(api, path):
    with RawConnection(api.port) as connection:
        got, got_headers, body = read_whole(connection, "GET", path)
        status, headers, _ = read_whole(connection, "HEAD", path)
        # The answer to the next request follows at once.
        again, _, _ = read_whole(connection, "GET", path)
    assert status == got == again
    assert headers.keys() == got_headers.keys()
    assert headers["content-type"] == got_headers["content-type"]
    # Figures move between the two.
    assert abs(int(headers["content-length"]) - len(body)) < 200


# --- the neighbours -------------------------------------------------------------------


@pytest.mark.parametrize(
    "path, status",
    [
        ("/live?", 200),
        ("/live?a=%00&b=%0d%0a&%ff=%", 200),
        ("/live?" + "&".join(f"p{i}" for i in range(40)), 200),
        ("/live?" + "&" * 99, 200),
        ("/live?" + "&" * 100, 400),
        ("/live?" + "&" * 8000, 400),
        ("/live?" + "a" * 8000, 200),
        ("/live?" + "a" * 9000, 414),
        ("//live", 404),
        ("/live//", 404),
        ("/./live", 404),
        ("/health/../live", 404),
        ("/health%2Fbuffer", 200),
        ("/live%00", 404),
        ("/dlq/..%2f..%2fetc%2fpasswd", 404),
        ("/dlq/%00", 404),
    ],
    ids=short,
)
def test_targets(api, path, status):
    with RawConnection(api.port) as connection:
        got, headers, body = read_whole(connection, "GET", path)
        assert got == status
        if status != 200:
            assert json.loads(body)["statusCode"] == status
        if status in (200, 404):
            assert read_whole(connection, "GET", "/live")[0] == 200
        else:
            assert headers["connection"] == "close"
            assert connection.read_to_end() == b""
