# SPDX-License-Identifier: MIT
"""What is accepted is stored, each event once, and counted correctly."""

import gzip
import json
import signal
import threading

import pytest

from harness import build
from harness.events import Maker, as_stored, event, stored_events
from harness.wait import wait_until

NDJSON = "application/x-ndjson"


class Client(threading.Thread):
    """Sends its events in requests of every kind and size; keeps what must be
    stored by the id that it was told."""

    SIZES = [1, 1, 2, 3, 7, 20, 100, 400, 1, 50, 1000]

    def __init__(self, api, seed, count):
        super().__init__(daemon=True)
        self._api = api
        self._maker = Maker(seed)
        self._count = count
        self._turn = seed
        self.accepted = {}
        self.failure = None

    def run(self):
        try:
            while len(self.accepted) < self._count:
                left = self._count - len(self.accepted)
                self._turn += 1
                size = self.SIZES[self._turn % len(self.SIZES)]
                self._send([self._maker.make() for _ in range(min(size, left))])
        except Exception as error:  # shown by the test
            self.failure = error

    def _send(self, made):
        events = [one for one, _ in made]
        kind = self._turn % 4
        content_type = "application/json"
        headers = {}
        # Half of them write every character that is not ASCII as an escape.
        plain = self._turn % 8 < 4
        if len(events) == 1 and kind < 2:
            body = json.dumps(events[0], ensure_ascii=plain)
        elif kind % 2 == 0:
            body = json.dumps(events, ensure_ascii=plain)
        else:
            content_type = NDJSON
            body = "\n".join(json.dumps(one, ensure_ascii=plain) for one in events)
        body = body.encode()
        if kind >= 2:
            headers["Content-Encoding"] = "gzip"
            body = gzip.compress(body, 1)
        answer = self._api.post(body, content_type, headers=headers)
        assert answer.status_code == 202, answer.text
        told = answer.json()
        ids = told.get("event_ids") or [told["event_id"]]
        assert len(ids) == len(made)
        for event_id, (one, us) in zip(ids, made):
            self.accepted[event_id] = as_stored(one, us)


def send_mixed(api, count, clients=4):
    """Sends so many events; returns what must be stored of them, by id."""
    threads = [
        Client(api, seed, count // clients) for seed in range(clients)
    ]
    for thread in threads:
        thread.start()
    accepted = {}
    for thread in threads:
        thread.join()
        assert thread.failure is None, repr(thread.failure)
        assert not accepted.keys() & thread.accepted.keys()
        accepted.update(thread.accepted)
    return accepted


def check_figures(api, database, count):
    """At rest: accepted = stored + dead lettered + buffered (0), and the
    counters in the database say the same."""
    figures = api.rest()
    assert figures.get("events_enqueued_total") == count
    assert figures.get("events_processed_total") == count
    assert figures.get("dead_letters_total") == 0
    assert figures.get("buffer_size") == 0
    assert figures.get("buffer_bytes") == 0
    assert figures.get("events_dropped_total") == 0
    assert figures.get("event_commit_latency_ms_count") == count
    assert database.stored() == count
    assert database.counted() == count
    assert database.value("SELECT count(DISTINCT event_id) FROM aurore.event") == count


def check_counters(database):
    """The counters by minute and service equal the rows."""
    assert not database.rows(
        """SELECT minute, service, sum(n) FROM aurore.event_count GROUP BY 1, 2
           EXCEPT ALL
           SELECT date_trunc('minute', ingested_at), service, count(*)
             FROM aurore.event GROUP BY 1, 2"""
    )


@pytest.mark.slow
def test_a_hundred_thousand_events(programs, database):
    api = programs.collectd(database).start()
    accepted = send_mixed(api, 100000)
    assert len(accepted) == 100000
    database.wait_stored(100000, 60)
    assert stored_events(database) == accepted
    check_figures(api, database, 100000)
    check_counters(database)
    assert api.stop() == 0


def test_three_lanes(programs, database):
    api = programs.collectd(database, {"Lanes": 3, "Threads": 3}).start()
    accepted = send_mixed(api, 6000)
    database.wait_stored(6000)
    assert stored_events(database) == accepted
    check_figures(api, database, 6000)
    check_counters(database)
    lanes = database.rows(
        "SELECT lane, count(DISTINCT spool_id), sum(next_seq)"
        " FROM aurore.lane GROUP BY lane ORDER BY lane"
    )
    assert [lane for lane, _, _ in lanes] == [0, 1, 2]
    shares = database.rows(
        "SELECT lane, sum(n)::int FROM aurore.event_count GROUP BY lane"
    )
    # Each of them took a part.
    assert len(shares) == 3 and all(share > 0 for _, share in shares)


def test_two_lanes_in_a_directory(programs, database):
    api = programs.collectd(database, {"Lanes": 2})
    api.buffer["SpoolDirectory"] = api.directory / "spool"
    api.start()
    accepted = send_mixed(api, 4000)
    database.wait_stored(4000)
    assert stored_events(database) == accepted
    check_figures(api, database, 4000)


# --- when it is stored ----------------------------------------------------------------


def test_a_lone_event_does_not_wait_for_company(programs, database):
    """DrainInterval is what it waits for, not BatchSize."""
    api = programs.collectd(
        database, writer={"DrainInterval": 0.05, "BatchSize": 100000}
    ).start()
    for count in range(1, 4):
        api.accept(event("alone"))
        database.wait_stored(count, 10)
    figures = api.rest()
    assert figures.get("batches_processed_total") == 3


def test_a_flood_goes_in_full_batches(programs, database):
    """With a DrainInterval that never comes, only full batches are stored."""
    api = programs.collectd(
        database, writer={"DrainInterval": 3600, "BatchSize": 1000}
    ).start()
    for _ in range(7):
        api.accept([event() for _ in range(700)])
    # 4900 events: four full batches, and what does not make another.
    database.wait_stored(4000)
    figures = api.metrics()
    assert figures.get("batches_processed_total") == 4
    assert figures.get("events_processed_total") == 4000
    assert figures.get("buffer_size") == 900
    api.accept([event() for _ in range(100)])
    database.wait_stored(5000)
    assert api.rest().get("batches_processed_total") == 5


@pytest.mark.parametrize(
    "command", ["FLUSH", "FLUSH plugin=event_writer", "FLUSH plugin=event_buffer"]
)
def test_flush(programs, database, command):
    api = programs.collectd(database, writer={"DrainInterval": 3600}).start()
    api.accept([event() for _ in range(10)])
    assert api.metrics().get("buffer_size") == 10
    assert api.command(command).startswith("0 ")
    database.wait_stored(10, 10)
    # It was one flush, not a change of mind.
    api.accept(event())
    assert api.metrics().get("buffer_size") == 1
    assert api.command(command).startswith("0 ")
    database.wait_stored(11, 10)


def test_flush_of_somebody_else_is_none(programs, database):
    api = programs.collectd(database, writer={"DrainInterval": 3600}).start()
    api.accept(event())
    answer = api.command("FLUSH plugin=event_writer identifier=other/load/load")
    assert answer.startswith("0 ")
    answer = api.command("FLUSH plugin=event_writer identifier=x/aurore-buffer/x")
    assert answer.startswith("0 ")
    database.wait_stored(1, 10)


def test_sigusr1_is_a_flush(programs, database):
    api = programs.collectd(database, writer={"DrainInterval": 3600}).start()
    api.accept(event())
    api.process.signal(signal.SIGUSR1)
    database.wait_stored(1, 10)


@pytest.mark.slow
def test_large_events(programs, database):
    """Each of the largest size: a batch ends by its bytes, too."""
    api = programs.collectd(database).start()
    before = api.metrics().get("process_memory_usage_bytes")
    text = "\U0001f600" * 2000
    one = event(text, metadata={"k": "x" * 16375})
    assert api.post(one).status_code == 202
    for _ in range(40):
        api.accept(json.dumps([one] * 40, ensure_ascii=False))
    database.wait_stored(1601, 60)
    assert database.value(
        "SELECT count(*) FROM aurore.event WHERE message = %s"
        " AND length(metadata->>'k') = 16375",
        (text,),
    ) == 1601
    figures = api.rest()
    assert figures.get("dead_letters_total") == 0
    # 40 MiB went through it; a sanitizer keeps what was freed for a while.
    if not build.SANITIZE:
        assert figures.get("process_memory_usage_bytes") < before + (100 << 20)


# --- rows that the database refuses ------------------------------------------------------


def poison(database, message):
    """From now on the database refuses an event with this message."""
    wait_until(database.has_schema, 30, "there is no schema")
    database.execute(
        "ALTER TABLE aurore.event ADD CONSTRAINT no_poison"
        " CHECK (message <> %s) NOT VALID",
        (message,),
    )


@pytest.mark.parametrize("lanes", [1, 2])
def test_a_poisoned_row_harms_nobody_else(programs, database, lanes):
    api = programs.collectd(
        database, {"Lanes": lanes}, {"DrainInterval": 3600}
    ).start()
    poison(database, "poison")
    messages = [f"neighbour {i}" for i in range(200)]
    messages[0] = messages[57] = messages[58] = messages[199] = "poison"
    events = [event(message, metadata={"n": i}) for i, message in enumerate(messages)]
    ids = api.accept(events)
    api.command("FLUSH")
    database.wait_stored(196)
    figures = api.rest()
    assert figures.get("events_enqueued_total") == 200
    assert figures.get("events_processed_total") == 196
    assert figures.get("dead_letters_total") == 4
    assert figures.get("batch_failures_total", **{"class": "23"}) > 0
    assert figures.get("circuit_breaker_state") == 0
    stored = stored_events(database)
    letters = database.rows(
        "SELECT event_id::text, service, sql_state, failure_reason, event,"
        " reprocessed FROM aurore.dead_letter ORDER BY event_id"
    )
    assert [letter[0] for letter in letters] == [ids[i] for i in (0, 57, 58, 199)]
    for _, service, sql_state, reason, row, reprocessed in letters:
        assert (service, sql_state, reprocessed) == ("test", "23514", False)
        assert "no_poison" in reason
        # All of the event is kept, and the reason tells nothing of it.
        assert b"poison" in bytes(row) and b'{"n":' in bytes(row)
        assert "neighbour" not in reason
    assert stored.keys() == set(ids) - {letter[0] for letter in letters}
    assert database.counted() == 196


def test_nothing_but_poison(programs, database):
    api = programs.collectd(database).start()
    poison(database, "poison")
    api.accept([event("poison") for _ in range(20)])
    wait_until(lambda: database.dead_letters() == 20, 30, "no dead letters")
    api.accept(event("fine"))
    database.wait_stored(1)
    figures = api.rest()
    assert figures.get("dead_letters_total") == 20
    assert figures.get("events_processed_total") == 1


def test_a_missing_table_is_no_fault_of_a_row(programs, database):
    api = programs.collectd(
        database, writer={"BackoffMax": 0.2, "BreakerFailures": 1000}
    ).start()
    api.accept(event("before"))
    database.wait_stored(1)
    database.execute("ALTER TABLE aurore.event RENAME TO hidden")
    api.accept([event("meanwhile") for _ in range(10)])
    wait_until(
        lambda: api.metrics().get("batch_failures_total", **{"class": "42"}) >= 2,
        30,
        "nothing is tried",
    )
    assert api.metrics().get("buffer_size") == 10
    database.execute("ALTER TABLE aurore.hidden RENAME TO event")
    database.wait_stored(11)
    figures = api.rest()
    assert figures.get("dead_letters_total") == 0
    assert database.dead_letters() == 0
