# SPDX-License-Identifier: MIT
"""What real senders have sent, byte for byte, and what becomes of it: the
requests in recorded/ and what recorded/expected.json says of each."""

import json
import re
from pathlib import Path

import pytest

from harness.events import microseconds
from harness.http import RawConnection
from harness.wait import wait_until

FOLDER = Path(__file__).parent / "recorded"
EXPECTED = json.loads((FOLDER / "expected.json").read_text())
FILES = EXPECTED["files"]
ORIGINS = [line.split('"')[1] for line in EXPECTED["options"]]


def is_otlp(name):
    return b" /v1/logs" in (FOLDER / name).read_bytes().split(b"\r\n")[0]


def exchange(api, name):
    """Sends the file; the status, the headers and the body of the answer."""
    connection = RawConnection(api.port, timeout=60)
    try:
        connection.send((FOLDER / name).read_bytes())
        status, headers = connection.read_head()
        while status == 100:
            status, headers = connection.read_head()
        body = connection.read_body(headers) if "content-length" in headers else b""
        return status, headers, body
    finally:
        connection.close()


class Server:
    """A collectd as the recordings expect it, and what is in its database."""

    def __init__(self, api):
        self.api = api
        self._seen = set()
        self._sent = set()

    def send(self, name):
        """Sends a file; its answer, and the rows that it has added."""
        answer = exchange(self.api, name)
        self._sent.add(name)
        self.api.rest()
        return answer, self._new_rows()

    def is_stored_already(self, name):
        """Whether another file has had the ids of this one."""
        return bool(self._sent & set(FILES[name].get("shares", [])))

    def _new_rows(self):
        wait_until(self.api.database.has_schema, 30, "there is no schema")
        rows = self.api.database.rows(
            "SELECT tableoid::text || ctid::text, service, message, occurred_at, metadata,"
            " ingested_at FROM aurore.event"
        )
        new = [row[1:] for row in rows if row[0] not in self._seen]
        self._seen.update(row[0] for row in rows)
        return new


def start(postgres, programs):
    database = programs.database(postgres)
    return Server(programs.collectd(database, {"AllowOrigin": ORIGINS}).start())


@pytest.fixture(scope="module")
def server(postgres, module_programs):
    return start(postgres, module_programs)


@pytest.fixture(scope="module")
def repeating(postgres, module_programs):
    """One for what is sent twice."""
    return start(postgres, module_programs)


# --- comparing -----------------------------------------------------------------


def replaced(value):
    """The value with one U+FFFD in the place of several in a row."""
    if isinstance(value, str):
        return re.sub("\ufffd+", "\ufffd", value)
    if isinstance(value, list):
        return [replaced(one) for one in value]
    if isinstance(value, dict):
        return {replaced(key): replaced(one) for key, one in value.items()}
    return value


def message_of(text):
    """A message that is JSON counts as its value."""
    try:
        return json.loads(text) if text[:1] in "{[" else replaced(text)
    except ValueError:
        return replaced(text)


def is_same(found, wanted):
    """Integers are exact; what was written as a double counts as one."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return set(found) == set(wanted) and all(
            is_same(found[key], wanted[key]) for key in wanted
        )
    if isinstance(wanted, list) and isinstance(found, list):
        return len(found) == len(wanted) and all(map(is_same, found, wanted))
    if isinstance(wanted, float) and type(found) in (int, float):
        return float(found) == wanted
    return type(found) is type(wanted) and found == wanted


def is_row(row, expected):
    """Whether a row is the one that is expected."""
    service, message, occurred_at, metadata, ingested_at = row
    wanted_service, wanted_message, wanted_us, wanted_metadata = expected
    time = ingested_at if wanted_us == "now" else wanted_us
    own = occurred_at if wanted_us == "now" else microseconds(occurred_at)
    found = replaced(metadata or {})
    return (
        service == wanted_service
        and message_of(message) == message_of(wanted_message)
        and own == time
        and all(
            key in found and is_same(found[key], value)
            for key, value in replaced(wanted_metadata).items()
        )
    )


# --- the tests -----------------------------------------------------------------


def test_every_file_is_expected():
    assert {path.name for path in FOLDER.glob("*.http")} == set(FILES)


@pytest.mark.parametrize("name", sorted(FILES))
def test_recorded(server, name):
    expected = FILES[name]
    is_stored_already = server.is_stored_already(name)
    (status, headers, body), rows = server.send(name)
    assert status == expected["status"], body
    for header, value in expected.get("headers", {}).items():
        assert headers[header] == value
    if "asked" in expected:
        allowed = headers["access-control-allow-headers"].lower()
        assert set(expected["asked"]) <= set(re.split(r"[, ]+", allowed))
    if status == 200 and is_otlp(name):
        assert b"partialSuccess" not in body
    assert len(rows) == (0 if is_stored_already else expected.get("stored", 0))
    if rows:
        left = list(rows)
        for one in expected["rows"]:
            match = [row for row in left if is_row(row, one)]
            assert match, f"{one} is not among {rows}"
            left.remove(match[0])


@pytest.mark.parametrize("name", [name for name in sorted(FILES) if "stored" in FILES[name]])
def test_sent_twice(repeating, name):
    is_stored_already = repeating.is_stored_already(name)
    first, rows = repeating.send(name)
    assert first[0] == FILES[name]["status"], first[2]
    assert len(rows) == (0 if is_stored_already else FILES[name]["stored"])
    second, more = repeating.send(name)
    assert second[0] == first[0]
    assert len(more) == FILES[name]["again"]
