# SPDX-License-Identifier: MIT
"""The oracle of fault injection finds what it is there to find: it reports a
lost, a duplicate or an invented event in the database."""

import pytest

from harness.journal import ACKNOWLEDGED, Clients, Journal, is_poison
from harness.oracle import judge, read_dead, read_stored
from system.world import Violation, World


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
        (one for one in world.journal.requests if one.outcome == ACKNOWLEDGED),
        key=lambda one: one.at,
    )
    numbers = range(last.first, last.first + last.size)
    prefixes = {f"{n} " for n in numbers if not is_poison(n)}
    kept = [row for row in stored if row[2].split(" ")[0] + " " not in prefixes]
    dead = read_dead(world.database)
    found = judge(world.journal, kept, dead, [(last.at, last.at)])
    assert found.is_good()
    assert found.lost_in_bound
    assert judge(world.journal, kept, dead, [(last.at + 0.001, last.at + 9)]).lost
    assert judge(world.journal, kept, dead, [(0, last.at - 0.001)]).lost
    assert judge(world.journal, kept, dead).lost


def test_late_answers_are_not_believed(world):
    journal = Journal()
    request = journal.send(1)
    journal.answer(request, ACKNOWLEDGED)
    assert judge(journal, [], []).lost == [0]
    journal.distrust(request.at)
    assert judge(journal, [], []).is_good()


@pytest.mark.parametrize(
    "sql, word",
    [
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
    wrongs = world.wrong_figures(world.api.metrics(), verdict(world))
    assert any(word in wrong for wrong in wrongs), wrongs


def test_figures_that_are_right(world):
    figures = world.api.metrics()
    assert world.wrong_figures(figures, verdict(world)) == []
    assert figures.get("events_enqueued_total") == figures.get(
        "events_processed_total"
    ) + figures.get("dead_letters_total")


def test_clients_notice_a_wrong_answer(world):
    """An answer that names others than the invalid events."""
    journal = Journal()
    clients = Clients(journal, lambda: 0, 1)
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
