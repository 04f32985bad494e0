# SPDX-License-Identifier: MIT
"""Three collectds on one database behind haproxy, as docs/scaling.md says:
restarted in turn, and killed."""

import re
import shutil
import tempfile
import threading
from pathlib import Path

import pytest
import requests

from harness import build
from harness.load import Load
from harness.process import Process, free_port
from harness.wait import wait_until

DOCUMENT = (build.TOP / "docs/scaling.md").read_text()
HOSTS = 3
BEHIND = {"RateLimitPerAddress": 0, "MaxConnectionsPerAddress": 0}


class Balancer:
    """haproxy, configured by the document; what Load needs of a collectd."""

    def __init__(self, directory, ports):
        (text,) = re.findall(r"^```haproxy\n(.*?)^```", DOCUMENT, re.M | re.S)
        self.port = free_port()
        replaced = {"127.0.0.1:8080": f"127.0.0.1:{self.port}"}
        for number, port in enumerate(ports, 1):
            replaced[f"10.0.0.{number}:3000"] = f"127.0.0.1:{port}"
        for before, after in replaced.items():
            assert text.count(before) == 1, before
            text = text.replace(before, after)
        config = directory / "haproxy.cfg"
        config.write_text(text)
        program = shutil.which("haproxy", path="/usr/sbin:/usr/bin")
        assert program, "haproxy is not installed"
        self.process = Process([program, "-db", "-f", config], directory / "haproxy.log")

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"

    def is_ready(self):
        try:
            return requests.get(self.url("/ready"), timeout=30).status_code == 200
        except requests.RequestException:
            return False


@pytest.fixture
def fleet(programs, database, base):
    """Three hosts and the balancer in front of them."""
    hosts = []
    for _ in range(HOSTS):
        host = programs.collectd(database, {**BEHIND, "DrainTime": 3})
        host.buffer["SpoolDirectory"] = host.directory / "spool"
        hosts.append(host)
        host.start()
        host.wait_ready()
    directory = Path(tempfile.mkdtemp(prefix="balancer.", dir=base))
    balancer = Balancer(directory, [host.port for host in hosts])
    wait_until(balancer.is_ready, 30, lambda: balancer.process.log())
    yield hosts, balancer
    balancer.process.kill()


def check(load, hosts, database):
    """All that was acknowledged is there once."""
    assert not load.failures
    for host in hosts:
        host.rest()
    stored = load.check(database)
    assert database.counted() == stored


def test_a_rolling_restart_shows_no_error(fleet, database):
    hosts, balancer = fleet
    with Load(balancer) as load:
        for host in hosts:
            load.wait_acknowledged(200)
            assert host.stop() == 0
            load.wait_acknowledged(200)
            host.start()
            host.wait_ready()
        load.wait_acknowledged(200)
    assert not load.unanswered
    check(load, hosts, database)
    assert database.value("SELECT count(*) FROM aurore.lane") == HOSTS


def test_hosts_that_are_killed_lose_nothing(fleet, database):
    hosts, balancer = fleet
    with Load(balancer, accept_gateway_errors=True) as load:
        for host in hosts + hosts:
            load.wait_acknowledged(200)
            host.kill()
            load.wait_acknowledged(200)
            host.start()
            host.wait_ready()
        load.wait_acknowledged(200)
    check(load, hosts, database)


def test_it_says_so_while_it_takes_events(programs, database):
    """From the signal on /ready is 503, and requests are served for DrainTime."""
    api = programs.collectd(database, {"DrainTime": 5}).start()
    api.wait_ready()
    stopping = threading.Thread(target=api.stop)
    stopping.start()
    wait_until(lambda: api.get("/ready").status_code == 503, 30, "still ready")
    assert api.get("/ready").json()["message"] == "SERVER_IS_SHUTTING_DOWN"
    assert api.get("/live").status_code == 200
    answer = api.post('{"timestamp": 1773500966, "service": "s", "message": "m"}')
    assert answer.status_code == 202
    assert answer.headers["Connection"] == "close"
    stopping.join()
    assert database.stored() == 1
