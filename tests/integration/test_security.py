# SPDX-License-Identifier: MIT
"""docs/security.md: what it names is there, and its examples work: the way to
make a token, and each balancer in front of a collectd."""

import json
import os
import re
import subprocess
import threading

import pytest
import requests

from harness import build, fronts
from harness.events import event
from harness.http import RawConnection

TEXT = fronts.DOCUMENT.read_text()
PROSE = re.sub(r"^```.*?^```", "", TEXT, flags=re.M | re.S)


def option_names():
    conf = (build.TOP / "conf.d/aurore.conf").read_text()
    return set(re.findall(r"^ *#?([A-Z]\w+) ", conf, re.M))


def test_the_options_that_it_names_exist():
    named = set(re.findall(r"`([A-Z][a-z]\w*|TLS\w+)`", PROSE))
    assert len(named) > 15
    assert named - option_names() == set()


def test_the_files_that_it_names_exist():
    for name in set(re.findall(r"`((?:tests|docs|plugins)/[\w/.]+)`", PROSE)):
        assert (build.TOP / name).exists(), name


def test_it_can_be_found():
    assert "(docs/security.md)" in (build.TOP / "README.md").read_text()


# --- tokens -------------------------------------------------------------------------


def make_token(path, scope, kind="sh"):
    """As the document says; the token."""
    lines = fronts.block(kind)
    assert lines.count("/etc/collectd/aurore.tokens") == 1
    lines = lines.replace("/etc/collectd/aurore.tokens", str(path))
    lines = lines.replace('"ingest ', f'"{scope} ').replace(" ingest\n", f" {scope}\n")
    programs = build.plugin_directory().parent
    made = subprocess.run(
        ["sh", "-eu", "-c", lines],
        capture_output=True,
        text=True,
        check=True,
        env={
            **os.environ,
            **build.sanitizer_environment(path.parent),
            "PATH": f"{programs}:{os.environ['PATH']}",
        },
    )
    return made.stdout.strip()


# What the document says of each scope.
ALLOWED = {
    "ingest": {"POST /events"},
    "read": {"GET /dlq", "GET /metrics", "GET /health/detailed"},
    "admin": {
        "POST /events",
        "GET /dlq",
        "GET /metrics",
        "GET /health/detailed",
        "DELETE /dlq/00000000-0000-4000-8000-000000000001",
    },
}


@pytest.mark.parametrize("kind", ["sh", "console"], ids=["openssl", "aurorectl"])
def test_tokens_made_as_it_says(programs, database, base, kind):
    path = base / f"security.tokens.{kind}"
    tokens = {scope: make_token(path, scope, kind) for scope in ALLOWED}
    assert path.stat().st_mode & 0o077 == 0
    assert not any(token in path.read_text() for token in tokens.values())
    api = programs.collectd(database, {"TokenFile": path}).start()

    def status(request, headers):
        method, where = request.split(" ")
        return requests.request(
            method,
            api.url(where),
            json=event("e") if method == "POST" else None,
            headers=headers,
            timeout=30,
        ).status_code

    for scope, token in tokens.items():
        headers = {"Authorization": f"Bearer {token}"}
        for request in ALLOWED["admin"]:
            allowed = status(request, headers) not in (401, 403)
            assert allowed == (request in ALLOWED[scope]), (scope, request)
    for request in ALLOWED["admin"]:
        assert status(request, {}) == 401
        assert status(request, {"Authorization": "Bearer " + "0" * 64}) == 401
    for where in re.findall(r"`(/[a-z/]+)`", PROSE.split("never ask for a token")[0])[
        -5:
    ]:
        assert status(f"GET {where}", {}) in (200, 503), where
    # What is logged has none of it.
    for token in tokens.values():
        assert token not in api.process.log()


# --- what to put in front -----------------------------------------------------------

# There is but one address behind a balancer.
BEHIND = {"RateLimitPerAddress": 0}
if "MaxConnectionsPerAddress" in option_names():
    BEHIND["MaxConnectionsPerAddress"] = 0


@pytest.fixture(params=fronts.NAMES)
def put_in_front(request, programs):
    """Starts a collectd, and the balancer in front of it."""

    def put(database, **options):
        api = programs.collectd(database, {**BEHIND, **options}).start()
        api.wait_ready()
        return api, programs.front(request.param, api.port)

    return put


def test_events_come_through(put_in_front, database):
    _, front = put_in_front(database)
    session = requests.Session()
    ids = set()
    for number in range(50):  # fewer than the document allows in a second
        answer = session.post(
            front.url("/events"),
            json=event(f"number {number}"),
            headers={"X-Correlation-Id": f"mine-{number}"},
            timeout=30,
        )
        assert answer.status_code == 202, answer.text
        assert answer.headers["X-Correlation-Id"] == f"mine-{number}"
        assert answer.headers["Cache-Control"] == "no-store"
        ids.add(answer.json()["event_id"])
    assert len(ids) == 50
    database.wait_stored(50)


def test_a_connection_is_kept(put_in_front, database):
    _, front = put_in_front(database)
    with RawConnection(front.port) as connection:
        for _ in range(5):
            connection.send(b"GET /live HTTP/1.1\r\nHost: events\r\n\r\n")
            status, headers = connection.read_head()
            assert status == 200
            assert connection.read_body(headers)


def test_a_larger_body_is_refused(put_in_front, database):
    api, front = put_in_front(database)
    many = [event("x" * 1000) for _ in range(800)]
    answer = requests.post(front.url("/events"), json=many, timeout=60)
    assert answer.status_code == 202, answer.text
    assert answer.json()["accepted"] == 800
    database.wait_stored(800)
    larger = json.dumps([event("x" * 1000) for _ in range(1500)])
    assert len(larger) > 1 << 20
    refused = requests.post(
        front.url("/events"),
        data=larger,
        headers={"Content-Type": "application/json"},
        timeout=60,
    )
    assert refused.status_code == 413
    assert api.metrics().get("events_enqueued_total") == 800


def test_clients_of_one_address_are_many(put_in_front, database):
    """To the server all of them are the balancer."""
    _, front = put_in_front(database)
    failures = []

    def send(number):
        for i in range(3):
            answer = requests.post(
                front.url("/events"), json=event(f"{number}.{i}"), timeout=60
            )
            if answer.status_code != 202:
                failures.append(answer.status_code)

    threads = [threading.Thread(target=send, args=(i,)) for i in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    database.wait_stored(72)


def test_a_rate_limit_is_passed_on(put_in_front, database):
    """429, once: the balancer does not try again."""
    api, front = put_in_front(database, RateLimit=2)
    answer = requests.post(front.url("/events"), json=[event("e")] * 100, timeout=30)
    assert answer.status_code == 202  # which used up a minute of the limit
    answer = requests.post(front.url("/events"), json=event("late"), timeout=30)
    assert answer.status_code == 429, answer.text
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.json()["statusCode"] == 429
    assert answer.headers["X-Correlation-Id"]
    api.wait_metric("events_rejected_total", 1, reason="rate_limited")


def test_a_database_that_is_away_is_passed_on(put_in_front, base):
    """503 with its Retry-After and body."""
    _, front = put_in_front(f"host={base} dbname=nowhere")
    answer = requests.get(
        front.url("/events?service=a&from=2026-01-01&to=2026-01-02"), timeout=30
    )
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.json()["errorCode"] == "DATABASE_UNAVAILABLE"
