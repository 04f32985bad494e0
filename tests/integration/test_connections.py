# SPDX-License-Identifier: MIT
"""Clients with more connections than is good: the spool, the database and a
health check get their share all the same."""

import http.client
import resource
import select
import socket
import time

import pytest

from harness.events import event
from harness.http import RawConnection
from harness.wait import wait_until

HEAD = b"POST /events HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture(autouse=True, scope="module")
def own_descriptors():
    """This process needs as many as it opens connections."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


class Crowd:
    """Connections from some addresses of this machine."""

    def __init__(self, port, addresses, each, first=b""):
        self.sockets = []
        for _ in range(each):
            for address in addresses:
                self.open(port, address, first)

    def open(self, port, address, first):
        one = socket.socket()
        one.settimeout(30)
        one.bind((address, 0))
        one.connect(("127.0.0.1", port))
        self.sockets.append(one)
        try:
            one.sendall(first)
        except OSError:
            pass  # refused already

    def trickle(self):
        for one in self.sockets:
            try:
                one.send(b"x", socket.MSG_DONTWAIT)
            except OSError:
                pass

    def count_closed(self):
        poller = select.poll()
        for one in self.sockets:
            poller.register(one, select.POLLIN)
        return len(poller.poll(0))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for one in self.sockets:
            one.close()


def refused(api, reason):
    return api.values().get(
        "collectd_aurore_http_connections_refused_total", type=reason
    )


def live(api, number):
    """A health check from an address that has no connection."""
    probe = http.client.HTTPConnection(
        "127.0.0.1",
        api.port,
        timeout=10,
        source_address=(f"127.0.1.{number + 1}", 0),
    )
    try:
        probe.request("GET", "/live")
        return probe.getresponse().status
    finally:
        probe.close()


def test_clients_take_no_descriptor_of_the_spool(programs, database):
    """1,300 idle connections where 1,024 files may be open. The spool goes from
    segment to segment meanwhile, and the writer connects again."""
    api = programs.collectd(
        database,
        {"MaxConnectionsPerAddress": 0, "MaxBytes": "4MiB"},
        {"DrainInterval": 0.05},
    )
    api.buffer["SpoolDirectory"] = api.directory / "spool"
    api.files = 1024
    api.start()
    api.accept(event("before"))
    addresses = [f"127.0.0.{n}" for n in range(2, 15)]
    with Crowd(api.port, addresses, 100) as crowd:
        wait_until(lambda: refused(api, "limit") > 0, 30, "nobody is refused")
        stored = 1
        for i in range(60):
            if i % 20 == 10:
                database.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database()"
                    " AND pid <> pg_backend_pid()"
                )
            sent = [event("x" * 2000, metadata={"n": i}) for _ in range(50)]
            wait_until(
                lambda sent=sent: accepted(api, sent), 30, "the buffer stays full"
            )
            stored += len(sent)
        assert crowd.count_closed() < len(crowd.sockets)
        database.wait_stored(stored)
    lowered = [line for line in api.log().splitlines() if "MaxConnections" in line]
    assert len(lowered) == 1 and "from 1024 to" in lowered[0]


def accepted(api, sent):
    """202, or 429 because the buffer is full; never another."""
    answer = api.post(sent)
    assert answer.status_code in (202, 429), answer.text
    return answer.status_code == 202


def test_enough_descriptors_lower_nothing(programs, database):
    """The soft limit is not the one that counts."""
    api = programs.collectd(database)
    api.files = "256:4096"
    api.start()
    assert "MaxConnections" not in api.log()
    limit = resource.prlimit(api.process.pid, resource.RLIMIT_NOFILE)
    assert limit == (4096, 4096)


@pytest.mark.parametrize("per_address", [256, 0])
def test_a_health_check_is_answered(programs, database, per_address):
    """1,500 connections of one address, some of them idle, the others
    trickling."""
    api = programs.collectd(
        database, {"MaxConnectionsPerAddress": per_address}
    ).start()
    reason = "address" if per_address else "limit"
    most = per_address or 1024 - 102
    with Crowd(api.port, ["127.0.0.2"], 750, HEAD + b"X-Long: ") as trickling:
        with Crowd(api.port, ["127.0.0.2"], 750) as idle:
            wait_until(
                lambda: refused(api, reason) >= 1500 - most,
                30,
                lambda: refused(api, reason),
            )
            for i in range(50):
                trickling.trickle()
                assert live(api, i) == 200
            assert api.post(event()).status_code == 202
            closed = trickling.count_closed() + idle.count_closed()
            assert closed >= 1500 - most
    database.wait_stored(1)
    wait_until(
        lambda: api.values().get("collectd_aurore_http_connections") <= 2,
        30,
        "they are not closed",
    )


def test_all_addresses_together(programs, database):
    """When all places are taken but for the reserve, a new address has one."""
    api = programs.collectd(database, {"MaxConnections": 100}).start()
    api.session.close()
    wait_until(
        lambda: api.values().get("collectd_aurore_http_connections") == 0,
        20,
        "somebody is still there",
    )
    addresses = ["127.0.0.2", "127.0.0.3", "127.0.0.4"]
    with Crowd(api.port, addresses, 40) as crowd:
        wait_until(lambda: refused(api, "limit") == 30, 30, "not 30 are refused")
        assert crowd.count_closed() == 30
        for i in range(20):
            assert live(api, i) == 200
    assert refused(api, "address") == 0


def test_keep_alive(programs, database):
    """Who uses a connection again within the time that was told never meets its
    end; RequestTimeout is another thing."""
    api = programs.collectd(
        database, {"RequestTimeout": 1, "KeepAliveTimeout": 3}
    ).start()
    connections = [RawConnection(api.port) for _ in range(50)]
    for _ in range(2):
        for connection in connections:
            connection.send(b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n")
        for connection in connections:
            status, headers = connection.read_head()
            assert status == 200
            assert headers["keep-alive"] == "timeout=2"
            connection.read_body(headers)
        last = time.monotonic()
        while time.monotonic() < last + 1.9:
            select.select([], [], [], 0.05)
    for connection in connections:
        assert connection.read_to_end() == b""
        connection.close()
