# SPDX-License-Identifier: MIT
"""Where the API listens, and how many clients it accepts."""

import json
import os
import socket
import stat

import pytest
import requests

from harness.events import event
from harness.http import RawConnection, UnixConnection
from harness.process import free_port
from harness.wait import wait_until


def post_to_socket(path, sent):
    connection = UnixConnection(path)
    connection.request(
        "POST",
        "/events",
        json.dumps(sent),
        {"Content-Type": "application/json"},
    )
    answer = connection.getresponse()
    body = json.loads(answer.read())
    connection.close()
    return answer.status, body


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_two_addresses_and_a_socket(programs, database):
    api = programs.collectd(database)
    ports = [free_port(), free_port()]
    path = api.directory / "api"
    api.buffer["Listen"] = [f"127.0.0.1:{port}" for port in ports]
    api.buffer["Listen"].append(f"unix:{path}")
    api.port = ports[0]
    api.start()
    for port in ports:
        api.port = port
        api.wait_ready()
        assert api.process.listens_on(port)
        api.accept(event(f"at {port}"))
    status, body = post_to_socket(path, event("at the socket"))
    assert status == 202 and body["event_id"]
    assert stat.S_ISSOCK(os.stat(path).st_mode)
    database.wait_stored(3)
    assert api.rest().get("events_enqueued_total") == 3
    # All of them tell the same figures.
    for port in ports:
        api.port = port
        assert api.metrics().get("events_enqueued_total") == 3
    assert api.stop() == 0
    assert not path.exists()


def test_a_socket_that_was_left_behind(programs, database):
    """After kill -9 the file is still there; that is no port in use."""
    api = programs.collectd(database)
    path = api.directory / "api"
    api.buffer["Listen"] = f"unix:{path}"
    api.start()
    wait_until(lambda: path.exists(), 30, "there is no socket")
    api.kill()
    assert path.exists()
    api.start()

    def answers():
        try:
            return post_to_socket(path, event("again"))[0] == 202
        except OSError:
            return False

    wait_until(answers, 30, "the socket does not answer")
    database.wait_stored(1)


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_ipv6(programs, database):
    port = free_port()
    api = programs.collectd(database, {"Listen": f"[::1]:{port}"})
    api.port = port
    api.start()
    wait_until(lambda: api.process.listens_on(port), 30, "does not listen")
    answer = requests.post(
        f"http://[::1]:{port}/events", json=event(), timeout=30
    )
    assert answer.status_code == 202
    database.wait_stored(1)


def test_too_many_connections(programs, database):
    """One more waits until another one has gone."""
    api = programs.collectd(database, {"MaxConnections": 10, "Threads": 2})
    api.start()
    api.session.close()
    body = json.dumps(event()).encode()
    request = (
        b"POST /events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    )
    connections = [RawConnection(api.port) for _ in range(20)]
    for connection in connections:
        connection.send(request)
    for connection in connections[:10]:
        assert connection.read_head()[0] == 202
    wait_until(
        lambda: api.values().get("collectd_aurore_http_connections") == 10,
        20,
        lambda: api.values().get("collectd_aurore_http_connections"),
    )
    database.wait_stored(10)
    for connection in connections[:10]:
        connection.close()
    for connection in connections[10:]:
        assert connection.read_head()[0] == 202
        connection.close()
    database.wait_stored(20)


def test_a_client_that_sends_nothing(programs, database):
    """It is closed after RequestTimeout, and so is one that trickles."""
    api = programs.collectd(database, {"RequestTimeout": 1}).start()
    with RawConnection(api.port) as silent, RawConnection(api.port) as half:
        half.send(b"POST /events HTTP/1.1\r\nHost: x\r\nContent-Le")
        assert silent.read_to_end() == b""
        assert b"202" not in half.read_to_end()
    api.session.close()  # it has been idle for as long, and is closed as well
    api.accept(event())
    database.wait_stored(1)


@pytest.mark.slow
def test_many_connections(programs, database):
    api = programs.collectd(database, {"Threads": 4, "MaxConnectionsPerAddress": 0}).start()
    connections = [RawConnection(api.port) for _ in range(300)]
    body = json.dumps(event()).encode()
    request = (
        b"POST /events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    )
    for _ in range(3):
        for connection in connections:
            connection.send(request)
        for connection in connections:
            status, headers = connection.read_head()
            assert status == 202
            connection.read_body(headers)
    for connection in connections:
        connection.close()
    database.wait_stored(900)
    api.wait_metric("buffer_size", 0)
