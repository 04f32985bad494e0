# SPDX-License-Identifier: MIT
"""Named events whose names and rows are taken back together, by a database that
crashes, or that wait in segments which had another life before: each is stored
once, and what was never sent twice is no duplicate."""

import json
import os

import pytest

from harness.wait import wait_until
from test_fall_back import SMALL, count, wait_stored_more
from test_once import (
    check_each_once,
    end_senders,
    has_sent,
    start_senders,
)

# How often the server crashes in one test.
CRASHES = int(os.environ.get("AURORE_FALL_BACK_ROUNDS", "3"))


def collectd_of(programs, database, buffer=None, writer=None):
    api = programs.collectd(
        database, {"Lanes": 2, **(buffer or {})}, {**SMALL, **(writer or {})}
    )
    api.buffer["SpoolDirectory"] = api.directory / "spool"
    return api.start()


def balance(api):
    """(replayed, duplicates) at rest."""
    figures = api.rest()
    accepted, replayed, stored, duplicates = (
        figures.get(f"events_{name}_total")
        for name in ("enqueued", "replayed", "processed", "duplicate")
    )
    assert accepted + replayed == stored + duplicates
    assert figures.get("dead_letters_total") == 0
    assert figures.get("events_lost_total") == 0
    return replayed, duplicates


def crash(server, database, how):
    """Confirmed batches, of several requests, are taken back."""
    server.freeze_wal_writer()
    wait_stored_more(database, 300)
    if how == "kill":
        server.kill()
    else:
        server.stop("immediate")
    server.start()


def send_again(api, senders):
    """One request in five; how many events that are."""
    events = 0
    for sender in senders:
        for query, body, headers in sender.requests[::5]:
            events += len(json.loads(body))
            answer = api.session.post(
                api.url("/events" + query),
                data=body,
                headers={"Content-Type": "application/json", **headers},
                timeout=60,
            )
            assert answer.status_code == 202, answer.text
    return events


@pytest.mark.slow
@pytest.mark.parametrize("how", ["immediate", "kill"])
def test_names_are_taken_back_with_their_rows(programs, own_postgres, how):
    database = own_postgres.create_database()
    api = collectd_of(programs, database, writer={"AsyncCommit": True})
    senders = start_senders([api], is_patient=True)
    for _ in range(CRASHES):
        crash(own_postgres, database, how)
    end_senders(senders)
    replayed, duplicates = balance(api)
    assert replayed > 0
    assert duplicates == 0
    check_each_once(database, senders)
    # They are all known, those that were taken back, too.
    again = send_again(api, senders)
    assert balance(api) == (replayed, again)
    check_each_once(database, senders)
    assert api.stop() == 0


@pytest.mark.slow
def test_what_is_sent_twice_is_taken_back(programs, own_postgres):
    """To two hosts, each of which may have the event that the other one finds to
    be a duplicate, and loses that with it."""
    database = own_postgres.create_database()
    apis = [
        collectd_of(programs, database, {"Lanes": lanes}, {"AsyncCommit": True})
        for lanes in (1, 2)
    ]
    senders = start_senders(apis)
    for _ in range(CRASHES):
        crash(own_postgres, database, "kill")
    end_senders(senders)
    figures = [balance(api) for api in apis]
    assert sum(replayed for replayed, _ in figures) > 0
    assert sum(duplicates for _, duplicates in figures) > 0
    check_each_once(database, senders)
    for api in apis:
        assert api.stop() == 0


class Lives:
    """Which names the files of segments have had. A file's number alone says
    little: file systems give that of a deleted file to the next one."""

    def __init__(self, api):
        self._spool = api.buffer["SpoolDirectory"]
        self._names = {}  # by the file's number

    def look(self):
        for path in self._spool.glob("lane-*/*.s*"):
            try:
                number = path.stat().st_ino
            except FileNotFoundError:
                continue  # it has another name by now
            self._names.setdefault(number, set()).add(path.name)

    def __str__(self):
        return str(self._names)

    def several(self):
        """How many files have been a segment, a spare, and a segment again."""
        self.look()
        return sum(
            any(name.endswith(".spare.new") for name in names)
            and sum(name.endswith(".segment") for name in names) > 1
            for names in self._names.values()
        )


@pytest.mark.slow
def test_segments_of_named_events_are_written_again(programs, own_postgres):
    """A spool whose segments are as small as they can be with room for spares,
    and used again and again, is killed: no name of an earlier life comes back."""
    database = own_postgres.create_database()
    api = collectd_of(
        programs, database, {"MaxBytes": "4MiB", "KeepStored": 0, "Lanes": 1}
    )
    lives = Lives(api)
    senders = start_senders([api])
    for turn in range(5):
        before = lives.several()
        stored = count(database)
        wait_until(
            lambda: lives.several() >= max(before, 1)
            and count(database) >= stored + 200
            or any(sender.failure for sender in senders),
            120,
            lambda: f"no segment is written again; names by file: {lives}",
        )
        api.kill()
        api.start()
    wait_until(has_sent(senders, 100), 120, "nothing is sent")
    end_senders(senders)
    api.rest()
    assert lives.several() > 0
    check_each_once(database, senders)
    again = send_again(api, senders)
    assert api.rest().get("events_duplicate_total") >= again
    check_each_once(database, senders)
    assert api.stop() == 0
