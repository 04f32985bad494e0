# SPDX-License-Identifier: MIT
"""The oracle: compares what the clients were answered with what is stored.
Every acknowledged event is stored or a dead letter, exactly once, however often
it was sent; one that was not answered, at most once; a refused one, never;
nothing else is there."""

import struct

from .journal import (
    ACKNOWLEDGED,
    REFUSED,
    is_disliked,
    is_invalid,
    is_poison,
    message_of,
    number_of,
    service_of,
)

_SHOWN = 5  # examples of each kind of violation


class Verdict:
    """Numbers, and lists of what is wrong (numbers or texts)."""

    WRONGS = ("lost", "doubled", "invented", "altered", "misplaced")

    def __init__(self):
        self.sent = 0
        self.acknowledged = 0
        self.refused = 0
        self.unanswered = 0
        self.stored = 0
        self.dead = 0
        self.lost = []  # acknowledged, and nowhere
        self.lost_in_bound = []  # the same, and allowed
        self.lost_age = 0.0  # of those: the longest from answer to power cut
        self.doubled = []  # there more than once
        self.invented = []  # refused, or never sent
        self.altered = []  # not what was sent, or under another id
        self.misplaced = []  # a dead letter for no reason, or the reverse

    def is_good(self):
        return not any(getattr(self, name) for name in self.WRONGS)

    def wrongs(self):
        """What is wrong, in words."""
        return [
            f"{len(found)} {name}: {', '.join(map(str, found[:_SHOWN]))}"
            for name in self.WRONGS
            for found in [getattr(self, name)]
            if found
        ]


def _letter(tuple_bytes):
    """(message) of a tuple of COPY ... (FORMAT binary) as dead letters hold it:
    ingested_at, event_id, occurred_at, service, message, metadata."""
    data = bytes(tuple_bytes)
    (count,) = struct.unpack_from("!h", data)
    fields, offset = [], 2
    for _ in range(count):
        (size,) = struct.unpack_from("!i", data, offset)
        offset += 4
        fields.append(data[offset : offset + max(size, 0)])
        offset += max(size, 0)
    return fields[4].decode()


def read_stored(database, tables=("aurore.event",)):
    """(event id, service, message, number in the metadata) of each row."""
    rows = []
    for table in tables:
        rows += database.rows(
            "SELECT event_id::text, service, message,"
            f" (metadata->>'number')::bigint FROM {table}"
        )
    return rows


def read_dead(database):
    """(event id, service, message, SQLSTATE) of each dead letter."""
    return [
        (event_id, service, _letter(event), sql_state)
        for event_id, service, event, sql_state in database.rows(
            "SELECT event_id::text, service, event, sql_state"
            " FROM aurore.dead_letter"
        )
    ]


class _Sums:
    """What was sent, by number."""

    def __init__(self, journal):
        self.base = journal.base
        self.end = journal.next
        self.state = bytearray(self.end - self.base)  # 0: not answered
        self.seen = bytearray(self.end - self.base)
        self.ids = {}
        self.at = {}
        for request in journal.requests:
            self._add(request)

    def _add(self, request):
        if request.outcome == REFUSED:
            for number in range(request.first, request.first + request.size):
                self.state[number - self.base] = 2
            return
        for i in range(request.size):
            number = request.first + i
            if number in request.refused or is_invalid(number):
                self.state[number - self.base] = 2
            elif request.outcome == ACKNOWLEDGED:
                self.state[number - self.base] = 1
                self.at[number] = request.acknowledged_at
                if request.ids is not None:
                    self.ids[number] = request.ids[i]

    def see(self, verdict, event_id, service, message):
        """One that is there; its number, or None when it must not be."""
        number = number_of(message)
        if number is None or number >= self.end:
            verdict.invented.append(message[:60])
            return None
        if number < self.base:
            verdict.doubled.append(f"{number}, of an earlier round")
            return None
        place = number - self.base
        if self.state[place] == 2:
            verdict.invented.append(f"{number}, which was refused")
            return None
        if self.seen[place]:
            verdict.doubled.append(number)
        self.seen[place] = 1
        if message != message_of(number) or service != service_of(number):
            verdict.altered.append(number)
        if self.ids.get(number, event_id) != event_id:
            verdict.altered.append(f"{number}, under another id")
        return number


def _may_be_dead(number, sql_state, disliked):
    if is_poison(number) and sql_state in ("23514", "22012"):
        return True
    return is_disliked(number) and sql_state in disliked


def judge(journal, stored, dead, may_lose=(), disliked=()):
    """Compares the journal with rows of read_stored and read_dead. What was
    acknowledged at one of the times "may_lose" (pairs of monotonic seconds) may
    be lost: the bound of durability "interval". "disliked": the SQLSTATEs with
    which a rule has refused for a while what is_disliked: dead letters or not."""
    sums = _Sums(journal)
    verdict = Verdict()
    verdict.sent = sums.end - sums.base
    verdict.acknowledged = sums.state.count(1)
    verdict.refused = sums.state.count(2)
    verdict.unanswered = sums.state.count(0)
    verdict.stored = len(stored)
    verdict.dead = len(dead)
    for event_id, service, message, in_metadata in stored:
        number = sums.see(verdict, event_id, service, message)
        if number is None:
            continue
        if in_metadata != (number if number % 3 == 0 else None):
            verdict.altered.append(f"{number}, its metadata")
        if is_poison(number):
            verdict.misplaced.append(f"{number} is stored")
    for event_id, service, message, sql_state in dead:
        number = sums.see(verdict, event_id, service, message)
        if number is not None and not _may_be_dead(number, sql_state, disliked):
            verdict.misplaced.append(f"{number} is a dead letter: {sql_state}")
    for place, state in enumerate(sums.state):
        if state != 1 or sums.seen[place]:
            continue
        number = place + sums.base
        ages = [_age(at, may_lose) for at in sums.at[number]]
        if None not in ages:
            verdict.lost_in_bound.append(number)
            verdict.lost_age = max(verdict.lost_age, *ages)
        else:
            verdict.lost.append(number)
    return verdict


def _age(at, may_lose):
    """How old an answer was when it might have been lost; None: it might not."""
    ages = [end - at for begin, end in may_lose if begin <= at <= end]
    return min(ages) if ages else None
