# SPDX-License-Identifier: MIT
"""A backlog of a million events in the spool: start, memory, shutdown."""

import http.client
import json
import threading
import time
from pathlib import Path

from harness.journal import (
    ACKNOWLEDGED,
    REFUSED,
    event_of,
    is_invalid,
)
from harness.wait import wait_until

from .host import Violation
from .world import World

EVENTS = 1000000
REQUEST = 2000
CLIENTS = 2
# What the restart may take: seconds until an event is accepted again, and bytes
# of resident memory above a collectd without the plugins.
READY_S = 2.0
MEMORY = 64 << 20

_BUFFER = {"Capacity": EVENTS + 100000, "MaxBodyBytes": "8MiB"}
_WRITER = {
    "BatchSize": 5000,
    "DrainInterval": 0.1,
    "StatementTimeout": 30,
    "ShutdownTimeout": 1,
}


def resident(collectd):
    status = Path(f"/proc/{collectd.process.pid}/status").read_text()
    for line in status.splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) << 10
    raise AssertionError("no VmRSS")


def say(text):
    print(text, flush=True)


def mib(size):
    return f"{size / (1 << 20):.1f} MiB"


def _post(connection, world, size):
    """One request; what is invalid among its events is refused."""
    request = world.journal.send(size)
    body = json.dumps([event_of(request.first + i) for i in range(size)])
    headers = {"Content-Type": "application/json", "Prefer": "return=minimal"}
    connection.request("POST", "/events", body.encode(), headers)
    answer = connection.getresponse()
    text = answer.read()
    numbers = range(request.first, request.first + size)
    refused = [number for number in numbers if is_invalid(number)]
    if answer.status in (202, 207):
        world.journal.answer(request, ACKNOWLEDGED, refused=refused)
    elif answer.status == 400 and len(refused) == size:
        world.journal.answer(request, REFUSED)
    else:
        raise Violation(f"{answer.status}: {text[:300]}")
    return answer.status


def _send_all(world):
    failures = []
    world.at_rest = False

    def send():
        connection = http.client.HTTPConnection("127.0.0.1", world.api.port)
        try:
            while world.journal.next < EVENTS:
                _post(connection, world, REQUEST)
        except Exception as failure:
            failures.append(failure)

    threads = [threading.Thread(target=send) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def _start_and_post(world):
    """Seconds from the start of collectd until an event is accepted."""
    began = time.monotonic()
    world.api.start_only()
    while True:
        if not world.api.is_running():
            raise Violation(f"collectd ended:\n{world.api.log()[-2000:]}")
        connection = http.client.HTTPConnection("127.0.0.1", world.api.port)
        try:
            if _post(connection, world, 5) in (202, 207):
                return time.monotonic() - began
        except OSError:
            time.sleep(0.005)
        except Violation:  # 503: not yet
            time.sleep(0.005)
        finally:
            connection.close()


def run(programs, seed):
    """Prints the figures; returns the verdict and the totals. Raises
    Violation."""
    bare = programs.collectd("dbname=none", load=()).start()
    empty = resident(bare)
    bare.stop()
    with World(programs, seed, buffer=_BUFFER, writer=_WRITER) as world:
        world.begin()
        with_plugins = resident(world.api)
        world.postgres.stop()
        began = time.monotonic()
        _send_all(world)
        waiting = world.api.metrics().get("buffer_size")
        say(
            f"{waiting:.0f} events wait, sent in {time.monotonic() - began:.0f} s; "
            f"resident: {mib(empty)} collectd alone, {mib(with_plugins)} with "
            f"the plugins, {mib(resident(world.api))} with the backlog"
        )
        world.api.kill()
        seconds = _start_and_post(world)
        world.api.wait_ready()
        world.api.comes_up()
        above = resident(world.api) - empty
        say(
            f"after kill -9 the first event is accepted {seconds:.2f} s after the "
            f"start, {mib(above)} above a collectd alone"
        )
        peak = _stop_while_storing(world)
        say(f"at most {mib(peak - empty)} above a collectd alone meanwhile")
        verdict = world.judge_without_load(600)
        if seconds >= READY_S:
            raise Violation(f"accepts again after {seconds:.2f} s")
        if max(above, peak - empty) >= MEMORY:
            raise Violation(f"takes {mib(max(above, peak - empty))} of memory")
        return verdict, world.totals


def _stop_while_storing(world):
    """SIGTERM while the backlog is being stored: the rest stays, in time.
    Returns the most resident memory that was seen."""
    world.postgres.start()
    peak = 0

    def some_are_stored():
        nonlocal peak
        peak = max(peak, resident(world.api))
        return world.api.metrics().get("events_processed_total") > EVENTS / 10

    wait_until(some_are_stored, 120, "nothing is stored")
    began = time.monotonic()
    world.stop_collectd()
    took = time.monotonic() - began
    if "remain in the spool" not in world.api.log():
        raise Violation("a stop with a backlog does not tell what stays")
    world.start_collectd()
    began = time.monotonic()
    left = world.api.metrics().get("buffer_size")

    def all_are_stored():
        nonlocal peak
        peak = max(peak, resident(world.api))
        return world.api.metrics().get("buffer_size") == 0

    wait_until(all_are_stored, 600, "the backlog is not stored")
    seconds = time.monotonic() - began
    say(
        f"SIGTERM while storing: ended after {took:.1f} s (ShutdownTimeout 1 s); "
        f"{left:.0f} stayed and were stored after the start, {left / seconds:.0f} "
        "a second"
    )
    return peak
