# SPDX-License-Identifier: MIT
"""The buffer is full, or cannot be written: clients get a clear response, and
nothing that was accepted is lost."""

import os
import resource

import pytest

from harness.events import event
from harness.wait import wait_until

NEVER = {"DrainInterval": 3600}


def check_full(answer):
    assert answer.status_code == 429, answer.text
    body = answer.json()
    seconds = body.pop("retry_after")
    assert body == {
        "status": "rate_limited",
        "message": "Buffer is full. Please retry in a few seconds.",
        "error": "Too Many Requests",
        "errorCode": "BUFFER_SATURATED",
    }
    assert 1 <= seconds <= 60
    assert answer.headers["Retry-After"] == str(seconds)
    assert answer.headers["X-Correlation-Id"]


def test_full(programs, own_postgres):
    database = own_postgres.create_database()
    own_postgres.stop()
    api = programs.collectd(database, {"Capacity": 10}).start()
    api.accept([event(f"fits {i}") for i in range(9)])
    # All of a request or nothing of it.
    check_full(api.post([event("too many"), event("too many")]))
    answer = api.post([event("too many"), event(""), event("too many")])
    check_full(answer)
    api.accept(event("fits exactly"))
    check_full(api.post(event("one more")))
    # Nothing of a request is read then, so nobody knows what it brings.
    check_full(api.post(event("")))
    check_full(api.post([event("too many")] * 100))
    figures = api.metrics()
    assert figures.get("events_enqueued_total") == 10
    # 2 and 2 that were read, and 3 requests that were not.
    assert figures.get("events_dropped_total") == 7
    assert figures.get("buffer_size") == 10
    assert figures.get("buffer_utilization_percent") == 100
    assert figures.get("buffer_health_status") == 3
    own_postgres.start()
    database.wait_stored(10)
    api.rest()
    api.accept([event("again") for _ in range(10)])
    database.wait_stored(20)
    figures = api.rest()
    assert figures.get("events_enqueued_total") == 20
    assert figures.get("events_processed_total") == 20
    assert database.value(
        "SELECT count(*) FROM aurore.event WHERE message ~ '^(too many|one more)'"
    ) == 0


def test_full_by_bytes(programs, database):
    api = programs.collectd(
        database, {"MaxBytes": "64KiB", "Capacity": 1000000}, NEVER
    ).start()
    accepted = 0
    answer = api.post(event("x" * 1000))
    while answer.status_code == 202:
        accepted += 1
        assert accepted < 65, "more is accepted than MaxBytes allows"
        answer = api.post(event("x" * 1000))
    check_full(answer)
    assert accepted > 40
    figures = api.metrics()
    assert figures.get("buffer_size") == accepted
    assert figures.get("buffer_bytes") <= 65536
    assert figures.get("buffer_utilization_percent") > 90
    api.command("FLUSH")
    database.wait_stored(accepted)
    assert api.rest().get("buffer_bytes") == 0


def test_capacity_is_shared_by_the_lanes(programs, database):
    api = programs.collectd(
        database, {"Capacity": 100, "Lanes": 4}, NEVER
    ).start()
    for _ in range(100):
        api.accept(event())
    check_full(api.post(event()))
    api.command("FLUSH")
    database.wait_stored(100)


def test_a_request_larger_than_the_buffer(programs, database):
    api = programs.collectd(database, {"Capacity": 5}).start()
    check_full(api.post([event() for _ in range(6)]))
    api.accept([event() for _ in range(5)])
    database.wait_stored(5)


def test_rate_limit(programs, database):
    api = programs.collectd(database, {"RateLimit": 20}).start()
    answers = [api.post(event()) for _ in range(100)]
    refused = [one for one in answers if one.status_code == 429]
    assert refused
    for answer in refused:
        assert answer.json() == {
            "statusCode": 429,
            "message": "Too Many Requests",
            "error": "Too Many Requests",
            "errorCode": "RATE_LIMITED",
        }
        assert int(answer.headers["Retry-After"]) >= 1
    accepted = len(answers) - len(refused)
    assert accepted >= 1
    database.wait_stored(accepted)
    figures = api.rest()
    assert figures.get("events_rejected_total", reason="rate_limited") == len(
        refused
    )
    assert figures.get("events_dropped_total") == 0


def limit_file_size(api, size):
    """No file may grow beyond that: what a full disk does to the spool."""
    hard = resource.prlimit(api.process.pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(api.process.pid, resource.RLIMIT_FSIZE, (size, hard))


@pytest.mark.skipif(os.getuid() != 0, reason="needs the right to change limits")
def test_a_spool_that_cannot_be_written(programs, database):
    api = programs.collectd(database, writer=NEVER)
    api.buffer["SpoolDirectory"] = api.directory / "spool"
    api.start()
    accepted = len(api.accept([event("x" * 1900) for _ in range(300)]))
    limit_file_size(api, 400000)
    answer = api.post([event("refused") for _ in range(5)])
    assert answer.status_code == 503, answer.text
    body = answer.json()
    assert body["status"] == "error"
    assert body["errorCode"] == "SERVICE_UNAVAILABLE"
    assert int(answer.headers["Retry-After"]) >= 1
    answer = api.get("/ready")
    assert answer.status_code == 503
    assert answer.json()["message"] == "SERVER_IS_NOT_READY"
    assert answer.json()["reason"]
    api.wait_metric("health_status", 0)
    figures = api.metrics()
    assert figures.get("events_enqueued_total") == accepted
    # What was accepted is stored all the same.
    api.command("FLUSH")
    database.wait_stored(accepted)

    limit_file_size(api, resource.RLIM_INFINITY)
    api.wait_ready()
    accepted += len(api.accept([event("again") for _ in range(5)]))
    api.command("FLUSH")
    database.wait_stored(accepted)
    wait_until(
        lambda: api.metrics().get("health_status") == 1, 30, "is not healthy"
    )
    assert database.value(
        "SELECT count(*) FROM aurore.event WHERE message = 'refused'"
    ) == 0
