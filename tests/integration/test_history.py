# SPDX-License-Identifier: MIT
"""GET /metrics/history and the file behind it."""

import json
import os
import resource

import pytest

from harness.events import TIME, event
from harness.wait import wait_until

QUICK = {"HistoryInterval": 1}


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def history(api, **parameters):
    answer = api.get("/metrics/history", params=parameters)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    return answer.json()


@pytest.fixture
def recorded(programs, database):
    """A collectd that has taken an event and keeps a history; not started."""
    api = programs.collectd(database, dict(QUICK))
    api.path = api.directory / "metrics-history.jsonl"
    api.buffer["HistoryFile"] = api.path
    return api


def test_snapshots(recorded):
    api = recorded.start()
    api.accept([event(), event()])
    wait_until(lambda: len(history(api)) >= 2, 30, "no snapshots are taken")
    found = history(api)
    for snapshot in found:
        assert set(snapshot) == {"timestamp", "buffer", "circuitBreaker"}
        assert TIME.fullmatch(snapshot["timestamp"])
        assert set(snapshot["buffer"]) == {
            "size",
            "capacity",
            "utilization_percent",
            "total_enqueued",
            "total_dropped",
            "drop_rate_percent",
            "throughput_events_per_second",
        }
        assert snapshot["buffer"]["capacity"] == 1000000
        assert snapshot["circuitBreaker"] == {
            "state": "CLOSED",
            "failureCount": 0,
            "successCount": 0,
        }
    assert found[-1]["buffer"]["total_enqueued"] == 2
    assert found[-1]["buffer"]["total_dropped"] == 0
    times = [snapshot["timestamp"] for snapshot in found]
    assert times == sorted(times) and len(set(times)) == len(times)
    assert history(api, limit=1)[0]["timestamp"] >= times[-1]
    # The file has the same.
    assert lines(api.path)[: len(found)] == found


def test_it_goes_on_after_a_restart_and_a_torn_line(recorded):
    api = recorded.start()
    wait_until(lambda: len(history(api)) >= 3, 30, "no snapshots are taken")
    api.stop()
    before = lines(api.path)
    with open(api.path, "r+b") as file:
        file.truncate(os.path.getsize(api.path) - 20)
    api.start()
    assert history(api, limit=1000)[: len(before) - 1] == before[:-1]
    wait_until(
        lambda: len(history(api)) > len(before), 30, "no snapshots are added"
    )
    # Torn while it runs, too.
    with open(api.path, "r+b") as file:
        file.truncate(os.path.getsize(api.path) - 20)
    size = len(history(api))
    wait_until(lambda: len(history(api)) > size, 30, "no snapshots are added")
    api.stop()
    whole = []
    for line in api.path.read_text().splitlines():
        try:
            whole.append(json.loads(line))
        except ValueError:
            pass
    api.start()
    assert history(api, limit=1000)[: len(whole)] == whole


def test_the_newest_of_many(recorded):
    """What another run has left, old file and new."""
    def made(number):
        return json.dumps({"timestamp": "x", "number": number, "pad": "y" * 200})

    old = recorded.directory / "metrics-history.jsonl.1"
    old.write_text("".join(made(i) + "\n" for i in range(900)))
    recorded.path.write_text("".join(made(i) + "\n" for i in range(900, 1500)))
    recorded.buffer["HistoryInterval"] = 86400
    api = recorded.start()
    for limit in (1, 2, 100, 999, 1000):
        found = [snapshot["number"] for snapshot in history(api, limit=limit)]
        assert found == list(range(1500 - limit, 1500))
    assert len(history(api)) == 100


def test_it_is_rotated(recorded):
    recorded.buffer["HistoryMaxBytes"] = "4KiB"
    filler = "".join(json.dumps({"number": i}) + "\n" for i in range(260))
    assert 3800 < len(filler) < 4096
    recorded.path.write_text(filler)
    old = recorded.directory / "metrics-history.jsonl.1"
    api = recorded.start()
    wait_until(
        lambda: old.exists() and recorded.path.exists(), 30, "it is not rotated"
    )
    assert len(old.read_text()) <= 4096
    assert old.read_text().startswith(filler)
    assert "number" not in recorded.path.read_text()
    assert len(history(api, limit=1000)) >= 261


def test_without_a_file_there_is_what_memory_has(programs, database):
    api = programs.collectd(database, dict(QUICK)).start()
    wait_until(lambda: len(history(api)) >= 2, 30, "no snapshots are taken")
    assert not list(api.directory.glob("*history*"))


def test_a_file_that_cannot_be_written(programs, database):
    """It is told once, and harms nothing."""
    nowhere = "/nonexistent/history"
    api = programs.collectd(database, {**QUICK, "HistoryFile": nowhere}).start()
    wait_until(lambda: len(history(api)) >= 2, 30, "no snapshots are taken")
    told = [line for line in api.log().splitlines() if "history" in line]
    assert len([line for line in told if "will have gaps" in line]) == 1, told
    api.accept(event())
    api.database.wait_stored(1)


def test_a_disk_that_is_full_and_empties(recorded):
    # Longer than any other file of the process, its log above all.
    recorded.path.write_text(json.dumps({"buffer": 1}) + "\n" * 1000000)
    api = recorded.start()
    # It may grow no more: what a full disk does, to this process alone.
    hard = resource.prlimit(api.process.pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(
        api.process.pid,
        resource.RLIMIT_FSIZE,
        (recorded.path.stat().st_size, hard),
    )
    wait_until(lambda: "will have gaps" in api.log(), 30, "the gaps are not logged")
    size = len(history(api, limit=1000))
    wait_until(
        lambda: len(history(api, limit=1000)) > size, 30, "memory has gaps too"
    )
    resource.prlimit(api.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
    wait_until(lambda: "can be written again" in api.log(), 30, "its recovery is not logged")
    for line in filter(None, recorded.path.read_text().splitlines()):
        assert "buffer" in json.loads(line)
    assert api.log().count("will have gaps") == 1


# --- parameters ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query, constraint",
    [
        ("limit=0", "min"),
        ("limit=-1", "min"),
        ("limit=1001", "max"),
        ("limit=99999999999999999999", "max"),
        ("limit=", "isInt"),
        ("limit", "isInt"),
        ("limit=1.5", "isInt"),
        ("limit=ten", "isInt"),
        ("limit=1%20", "isInt"),
        ("limit=0x10", "isInt"),
        ("limit=1&limit=2", "isInt"),
        ("limit=1&limit=1", "isInt"),
    ],
)
def test_limits_that_are_refused(api, query, constraint):
    answer = api.get(f"/metrics/history?{query}")
    assert answer.status_code == 400, answer.text
    body = answer.json()
    assert body["status"] == "error"
    assert [error["field"] for error in body["errors"]] == ["limit"]
    assert set(body["errors"][0]["constraints"]) == {constraint}


def test_other_parameters_are_refused(api):
    answer = api.get("/metrics/history?limit=5&page=1")
    assert answer.status_code == 400
    (error,) = answer.json()["errors"]
    assert error["field"] == "page"
    assert set(error["constraints"]) == {"whitelistValidation"}


def test_head_and_a_slash(api):
    assert api.get("/metrics/history/").status_code == 200
    answer = api.session.head(api.url("/metrics/history?limit=3"))
    assert answer.status_code == 200 and answer.text == ""
