# SPDX-License-Identifier: MIT
"""What clients can make collectd hold has a bound, whatever they send and
whether they read; and it is given back."""

import pytest

from harness import crowd
from harness.crowd import Crowd, forget_peak, memory
from harness.events import event
from harness.http import RawConnection
from harness.load import Load
from harness.wait import wait_until

MIB = 1 << 20
NEVER = {"DrainInterval": 3600}

# The sanitizers hold what was freed, and count for themselves.
no_sanitizer = pytest.mark.plain("the sanitizers have memory of their own")


def start(programs, database, options=None):
    api = programs.collectd(database, options or {}).start()
    api.accept([event(f"first {i}") for i in range(1000)])
    database.wait_stored(1000)
    return api


def stored(database, service):
    rows = database.rows(
        f"SELECT event_id::text FROM aurore.event WHERE service = '{service}'"
    )
    return {row[0] for row in rows}


def wait_given_back(api, before):
    """Within 16 MiB of what it was before."""
    wait_until(
        lambda: memory(api.process.pid) < before + 16 * MIB,
        60,
        lambda: f"{memory(api.process.pid) / MIB:.1f} MiB are held, {before / MIB:.1f} before",
    )


@no_sanitizer
def test_refusals_that_nobody_reads(programs, database):
    api = start(programs, database)
    before = memory(api.process.pid)
    forget_peak(api.process.pid)
    with Crowd(api.port, [crowd.refused()] * 40) as clients:
        wait_until(lambda: clients.sent == 40, 60, "not all are sent")
        wait_until(
            lambda: (api.metrics().get("events_rejected_total", reason="invalid") or 0)
            >= 40 * 10000,
            60,
            "not all are refused",
        )
    assert memory(api.process.pid, "VmHWM") < before + 32 * MIB


def requests_of_all_kinds(count):
    path = "/events?service=large&from=2026-03-01&to=2026-03-30&pageSize=1000"
    kinds = [
        crowd.refused(),
        crowd.bomb(),
        crowd.stopped(),
        crowd.chunks(),
        crowd.many_ids(),
        crowd.page(path),
    ]
    return [kinds[number % len(kinds)] for number in range(count)]


def store_large_events(api, database):
    """As many as a page may have, as large as they may be."""
    metadata = {"k": "x" * 16000}
    for _ in range(20):
        api.accept(
            [event("m" * 2000, service="large", metadata=metadata) for _ in range(50)]
        )
    database.wait_stored(2000, timeout=60)


@no_sanitizer
@pytest.mark.slow
def test_a_crowd(programs, database):
    """Hundreds of connections that each do the worst that is known."""
    api = start(programs, database, {"MaxConnections": 1024})
    store_large_events(api, database)
    before = memory(api.process.pid)
    forget_peak(api.process.pid)
    with Load(api, threads=2) as load:
        with Crowd(api.port, requests_of_all_kinds(400)) as clients:
            load.wait_acknowledged(100, timeout=120)
            wait_until(lambda: clients.sent > 200, 120, "too few are sent")
            load.wait_acknowledged(100, timeout=120)
    peak = memory(api.process.pid, "VmHWM")
    assert peak < 192 * MIB, f"{peak / MIB:.1f} MiB"
    wait_given_back(api, before)
    api.accept(event("as before"))
    wait_until(
        lambda: load.acknowledged.keys() <= stored(database, "load"),
        60,
        "an acknowledged event is missing",
    )


def test_a_request_that_has_no_memory_is_told_so(programs, database):
    """503, and the connection goes on."""
    options = {"BodyMemory": "4MiB", "MaxBodyBytes": "2MiB"}
    api = programs.collectd(database, options, NEVER).start()
    body = b" " * (2 * MIB - 1)
    head = (
        "POST /events HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n"
        f"Content-Length: {2 * MIB}\r\n\r\n"
    ).encode()
    with RawConnection(api.port) as other, RawConnection(api.port) as client:
        other.send(head + body)
        client.send(head + body + b" ")
        status, headers = client.read_head()
        answer = client.read_body(headers)
        # Either was first.
        if status == 400:
            other.send(b" ")
            client = other
            status, headers = client.read_head()
            answer = client.read_body(headers)
        assert status == 503, answer
        assert int(headers["retry-after"]) > 0
        assert b'"errorCode":"SERVICE_UNAVAILABLE"' in answer
        small = b'{"timestamp":0,"service":"s","message":"m"}'
        client.send(
            b"POST /events HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n"
            + f"Content-Length: {len(small)}\r\n\r\n".encode()
            + small
        )
        assert client.read_head()[0] == 202
