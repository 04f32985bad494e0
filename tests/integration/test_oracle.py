# SPDX-License-Identifier: MIT
"""The oracle of fault injection finds what it is there to find: it reports a
lost, a duplicate or an invented event in the database."""

import gzip
import http.server
import json
import random
import threading

import pytest

from harness.journal import (
    ACKNOWLEDGED,
    REFUSED,
    Clients,
    Journal,
    event_of,
    is_disliked,
    is_poison,
    message_of,
    service_of,
)
from harness.oracle import judge, read_dead, read_stored
from system.host import Violation
from system.world import World


@pytest.fixture(scope="module")
def world(module_programs):
    """Some thousand events have been sent, judged good, and are still there."""
    with World(module_programs, 1) as made:
        made.begin(lanes=2)
        made.load()
        made.some_load(3000)
        made.clients.stop()
        made.api.rest()
        yield made


def verdict(world):
    return judge(world.journal, read_stored(world.database), read_dead(world.database))


@pytest.fixture
def tampered(world):
    """The database is as it was when the test has ended."""
    world.database.execute("BEGIN")
    yield world.database
    world.database.execute("ROLLBACK")


def test_what_is_right_is_called_right(world):
    found = verdict(world)
    assert found.wrongs() == []
    assert found.acknowledged >= 3000
    assert found.dead >= 1 and found.refused >= 1
    assert found.stored + found.dead >= found.acknowledged


ONE = "(SELECT ctid FROM aurore.event LIMIT 1)"
COLUMNS = "event_id, occurred_at, ingested_at, service, message, metadata"


@pytest.mark.parametrize(
    "sql, wrong",
    [
        (f"DELETE FROM aurore.event WHERE ctid = {ONE}", "lost"),
        ("DELETE FROM aurore.dead_letter", "lost"),
        (
            f"INSERT INTO aurore.event ({COLUMNS}) SELECT {COLUMNS}"
            f" FROM aurore.event WHERE ctid = {ONE}",
            "doubled",
        ),
        (
            "INSERT INTO aurore.dead_letter (event_id, service, event,"
            " failure_reason, sql_state, spool_id, lane, seq)"
            " SELECT event_id, service, event, failure_reason, sql_state,"
            " spool_id, lane, seq FROM aurore.dead_letter LIMIT 1",
            "doubled",
        ),
        (
            f"UPDATE aurore.event SET message = '99999999 x' WHERE ctid = {ONE}",
            "invented",
        ),
        (
            f"UPDATE aurore.event SET message = 'no number' WHERE ctid = {ONE}",
            "invented",
        ),
        # An event that the door has refused: 7 is no valid one.
        (
            f"INSERT INTO aurore.event ({COLUMNS}) SELECT gen_random_uuid(),"
            " now(), ingested_at, 'service 0', '7 x', NULL FROM aurore.event"
            " LIMIT 1",
            "invented",
        ),
        (
            f"UPDATE aurore.event SET message = message || '!' WHERE ctid = {ONE}",
            "altered",
        ),
        (
            f"UPDATE aurore.event SET service = 'service x' WHERE ctid = {ONE}",
            "altered",
        ),
        (
            "UPDATE aurore.event SET event_id = gen_random_uuid()",
            "altered",
        ),
        ("UPDATE aurore.event SET metadata = NULL", "altered"),
        ("UPDATE aurore.dead_letter SET sql_state = '53100'", "misplaced"),
    ],
)
def test_what_is_wrong_is_found(world, tampered, sql, wrong):
    tampered.execute(sql)
    found = verdict(world)
    assert getattr(found, wrong), found.wrongs()
    assert not found.is_good()


def test_what_comes_again_later_is_found(world):
    """After the journal has been cleared an event of before is a duplicate."""
    later = Journal()
    later.base = later.next = world.journal.next
    found = judge(later, read_stored(world.database)[:1], [])
    assert len(found.doubled) == 1


def test_a_loss_is_allowed_within_its_bound_alone(world):
    stored = read_stored(world.database)
    last = max(
        (one for one in world.journal.requests if len(one.acknowledged_at) == 1),
        key=lambda one: one.acknowledged_at,
    )
    (at,) = last.acknowledged_at
    numbers = range(last.first, last.first + last.size)
    prefixes = {f"{n} " for n in numbers if not is_poison(n)}
    kept = [row for row in stored if row[2].split(" ")[0] + " " not in prefixes]
    dead = read_dead(world.database)
    found = judge(world.journal, kept, dead, [(at, at)])
    assert found.is_good()
    assert found.lost_in_bound
    assert judge(world.journal, kept, dead, [(at + 0.001, at + 9)]).lost
    assert judge(world.journal, kept, dead, [(0, at - 0.001)]).lost
    assert judge(world.journal, kept, dead).lost


def test_late_answers_are_not_believed():
    journal = Journal()
    request = journal.send(1)
    journal.answer(request, ACKNOWLEDGED)
    assert judge(journal, [], []).lost == [0]
    journal.distrust(request.acknowledged_at[0])
    assert judge(journal, [], []).is_good()


def row_of(number):
    return (f"id {number}", service_of(number), message_of(number), None)


def test_what_was_sent_again_is_there_once():
    """Unanswered, then acknowledged, and once more: one event."""
    journal = Journal()
    journal.base = journal.next = 1  # to 2 they have no metadata
    request = journal.send(2)
    journal.send_again(request, 1)
    journal.answer(request, ACKNOWLEDGED)
    journal.send_again(request, 0)
    journal.answer(request, ACKNOWLEDGED)
    assert journal.acknowledged == 2 and journal.retried == 4
    journal.send_again(request, 0)
    journal.answer(request, REFUSED)  # 429: of this attempt alone
    assert judge(journal, [row_of(1), row_of(2)], []).wrongs() == []
    assert judge(journal, [row_of(1)], []).lost == [2]
    assert judge(journal, [row_of(1), row_of(2), row_of(1)], []).doubled == [1]


def test_a_second_answer_is_believed_too():
    """The first came in time to be lost by a power cut, the second did not."""
    journal = Journal()
    request = journal.send(1)
    journal.answer(request, ACKNOWLEDGED)
    (first,) = request.acknowledged_at
    may_lose = [(first, first)]
    assert judge(journal, [], [], may_lose).is_good()
    journal.send_again(request, 0)
    journal.answer(request, ACKNOWLEDGED)
    assert judge(journal, [], [], may_lose).lost == [0]


def test_what_is_disliked_for_a_while():
    """A dead letter or not, with the SQLSTATE of that rule, and nothing else."""
    journal = Journal()
    journal.base = journal.next = 17
    assert is_disliked(17)
    journal.answer(journal.send(2), ACKNOWLEDGED)
    rows = [row_of(17)[:3], ("id 18", service_of(18), message_of(18), 18)]
    dead = [(*rows[0], "P0001")]
    assert judge(journal, rows[1:], dead, disliked={"P0001"}).wrongs() == []
    assert judge(journal, rows[1:], dead).misplaced
    assert judge(journal, rows[1:], dead, disliked={"23514"}).misplaced
    other = [(*rows[1][:3], "P0001")]
    assert judge(journal, [row_of(17)], other, disliked={"P0001"}).misplaced
    assert judge(journal, [row_of(17), rows[1]], []).wrongs() == []


@pytest.mark.parametrize(
    "sql, word",
    [
        ("UPDATE aurore.lane SET next_seq = next_seq + 1", "rows passed in this life"),
        # They stand in one of the two, by the age of their minute.
        (
            "UPDATE aurore.event_count SET n = n + 1;"
            " UPDATE aurore.event_total SET n = n + 1",
            "counted of service 0",
        ),
        (
            "DELETE FROM aurore.event_count WHERE service = 'service 3';"
            " DELETE FROM aurore.event_total WHERE service = 'service 3'",
            "counted of service 3",
        ),
        (f"DELETE FROM aurore.event WHERE ctid = {ONE}", "stored in this life"),
        ("DELETE FROM aurore.dead_letter", "dead in this life"),
    ],
)
def test_figures_that_are_wrong_are_found(world, tampered, sql, word):
    tampered.execute(sql)
    wrongs = world.wrong_figures([world.api.metrics()], verdict(world))
    assert any(word in wrong for wrong in wrongs), wrongs


def test_figures_that_are_right(world):
    figures = world.api.metrics()
    assert world.wrong_figures([figures], verdict(world)) == []
    assert figures.get("events_enqueued_total") == sum(
        figures.get(name)
        for name in (
            "events_processed_total",
            "dead_letters_total",
            "events_duplicate_total",
        )
    )


def test_clients_notice_a_wrong_answer(world):
    """An answer that names others than the invalid events."""
    journal = Journal()
    clients = Clients(journal, lambda: [0], 1)
    request = journal.send(3)
    with pytest.raises(Exception, match="refused"):
        clients.note(
            request,
            207,
            b'{"status":"partial","accepted":2,"rejected":1,'
            b'"errors":[{"index":1,"errors":[]}]}',
        )
    with pytest.raises(Exception, match="valid"):
        clients.note(request, 400, b"{}")
    with pytest.raises(Exception, match="no answer for this"):
        clients.note(request, 500, b"{}")


def accepted(ids):
    body = {"status": "accepted", "accepted": len(ids), "rejected": 0}
    return 202, json.dumps({**body, "event_ids": ids}).encode()


def test_clients_notice_another_id():
    """Than the one that they gave, or than the first time."""
    journal = Journal()
    clients = Clients(journal, lambda: [0], 1)
    named = journal.send(2, gives_ids=random.Random(1))
    assert clients.note(named, *accepted(named.given))
    with pytest.raises(Exception, match="the ids are"):
        clients.note(named, *accepted(["x", "y"]))
    again = journal.send(2)
    assert clients.note(again, *accepted(["a", "b"]))
    journal.send_again(again, 0)
    with pytest.raises(Exception, match="the ids are"):
        clients.note(again, *accepted(["a", "c"]))


class Once(http.server.BaseHTTPRequestHandler):
    """503, then no answer, then all is accepted; but for what is in "bodies"."""

    bodies = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        turn = len(self.bodies)
        self.bodies.append((self.path, self.headers["Idempotency-Key"], body))
        if turn % 3 == 1:
            self.close_connection = True
            return
        if turn % 3 == 0:
            status, answer = 503, b"{}"
        else:
            if self.headers["Content-Encoding"] == "gzip":
                body = gzip.decompress(body)
            is_lines = self.headers["Content-Type"] == "application/x-ndjson"
            events = (
                [json.loads(line) for line in body.splitlines()]
                if is_lines
                else json.loads(body)
            )
            if isinstance(events, dict):
                status, answer = 202, b'{"status":"accepted"}'
            else:
                status, answer = 202, accepted([None] * len(events))[1]
                answer = answer.replace(b'"event_ids"', b'"others"')
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


def test_clients_that_persist_send_the_same_again():
    """Until it is accepted, also when they are asked to stop; the others once."""
    Once.bodies = []
    server = http.server.HTTPServer(("127.0.0.1", 0), Once)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    journal = Journal()
    journal.base = journal.next = 8  # to 216 all are valid
    try:
        with Clients(
            journal,
            lambda: [server.server_port] * 2,
            1,
            count=0,
            persistent=1,
            largest=3,
        ) as clients:
            clients.wait_acknowledged(20)
    finally:
        server.shutdown()
        server.server_close()
    requests = journal.requests
    assert all(request.outcome == ACKNOWLEDGED for request in requests)
    assert len(Once.bodies) >= 3 * len(requests)
    assert len(set(Once.bodies)) == len(requests)
    assert {attempt.host for one in requests for attempt in one.attempts} == {0, 1}


def test_a_bad_row_that_is_the_last_one(programs):
    """Nobody can tell whose fault it is: the verdict brings another event."""
    number = 13 + 499
    assert is_poison(number) and "division" in message_of(number)
    with World(programs, 1) as alone:
        alone.begin()
        alone.journal.base = alone.journal.next = number
        clients = alone.load(count=0, persistent=0)
        answer = alone.api.post(event_of(number))
        clients.note(alone.journal.send(1), answer.status_code, answer.content)
        found = alone.verdict()
        assert (found.stored, found.dead) >= (1, 1)


def test_a_round_that_went_wrong_raises(world):
    """Last, since the world is judged by it: it takes the load's end from here."""
    world.load()
    world.some_load(100)
    world.clients.stop()
    world.api.rest()
    world.database.execute(f"DELETE FROM aurore.event WHERE ctid = {ONE}")
    with pytest.raises(Violation, match="1 lost"):
        world.verdict()
    assert world.totals["lost"] == 1
