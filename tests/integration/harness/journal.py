# SPDX-License-Identifier: MIT
"""Clients that send numbered events of every kind, and the journal of what
they sent and what was answered. The oracle (oracle.py) compares it with the
database. The content of an event follows from its number, so that the journal
needs to keep only the numbers."""

import gzip
import http.client
import json
import random
import threading
import time

from .senders import Senders

# What PostgreSQL refuses once refuse_poison() has told it to. The door lets it
# pass: nothing is wrong with it but for the database's own rules.
POISON = ("poison by a check", "poison by a division")
_POISON_RULES = f"""
ALTER TABLE aurore.event
  ADD CONSTRAINT no_poison CHECK (message NOT LIKE '%%{POISON[0]}%%') NOT VALID,
  ADD CONSTRAINT no_division CHECK
    (1 / CASE WHEN message LIKE '%%{POISON[1]}%%' THEN 0 ELSE 1 END = 1)
    NOT VALID
"""

_TEXTS = (
    "request served from cache",
    "płatność przyjęta – 支払い済み 😀",
    "'); DROP TABLE aurore.event; -- \\ \" \t\n",
    "connection reset by peer " * 8,
)
SERVICES = 7

# How a request ended.
UNANSWERED, ACKNOWLEDGED, REFUSED = "unanswered", "acknowledged", "refused"


def refuse_poison(database):
    """PostgreSQL shall refuse what is poison (SQLSTATE 23514 and 22012)."""
    database.execute(_POISON_RULES.replace("%%", "%"))


def is_poison(number):
    return number % 499 == 13


def is_invalid(number):
    """Whether the door refuses it."""
    return number % 211 == 7


def service_of(number):
    return f"service {number % SERVICES}"


def message_of(number):
    text = _TEXTS[number % len(_TEXTS)]
    if is_poison(number):
        text = POISON[number // 499 % len(POISON)]
    return f"{number} {text}"


def number_of(message):
    """The number of an event by its message; None when it is none of ours."""
    text = message.split(" ", 1)[0]
    return int(text) if text.isascii() and text.isdigit() else None


def event_of(number, pad=0):
    """"pad": so many bytes more in the metadata, where there are any."""
    made = {
        "timestamp": 1773500966 + number % 1000,
        "service": service_of(number),
        "message": message_of(number),
    }
    if number % 3 == 0:
        made["metadata"] = {"number": number, "nested": {"list": [1, None, "é"]}}
        if pad > 0:
            made["metadata"]["pad"] = "x" * pad
    if is_invalid(number):
        made["service"] = " "
    return made


class Request:
    """Events "first" to "first + size - 1", sent together."""

    __slots__ = ("first", "size", "outcome", "ids", "refused", "at")

    def __init__(self, first, size):
        self.first = first
        self.size = size
        self.outcome = UNANSWERED
        self.ids = None  # of each event; None where it was refused
        self.refused = frozenset()  # numbers
        self.at = None  # monotonic seconds of the answer


class Journal:
    """What was sent since the last clear; numbers go on after it."""

    def __init__(self):
        self._lock = threading.Lock()
        self.requests = []
        self.base = 0  # the first number since the last clear
        self.next = 0
        self.acknowledged = 0  # events

    def send(self, size):
        """A request of so many events, not answered so far."""
        with self._lock:
            made = Request(self.next, size)
            self.next += size
            self.requests.append(made)
        return made

    def answer(self, request, outcome, ids=None, refused=()):
        with self._lock:
            request.at = time.monotonic()
            request.ids = ids
            request.refused = frozenset(refused)
            request.outcome = outcome
            if outcome == ACKNOWLEDGED:
                self.acknowledged += request.size - len(request.refused)

    def distrust(self, since):
        """What was answered from that moment on (monotonic seconds) counts as
        unanswered: the power had gone by then."""
        with self._lock:
            for request in self.requests:
                if request.outcome == ACKNOWLEDGED and request.at >= since:
                    request.outcome = UNANSWERED

    def clear(self):
        with self._lock:
            self.requests = []
            self.base = self.next
            self.acknowledged = 0


class Answered(Exception):
    """The answer is not what the contract says."""


def _read_accepted(request, body):
    """Ids and refused numbers of a 202 or 207."""
    if request.size == 1 and body["status"] == "accepted":
        if "accepted" not in body:  # one object
            return ([body["event_id"]] if "event_id" in body else None), []
    refused = [request.first + one["index"] for one in body.get("errors", [])]
    if body["accepted"] + body["rejected"] != request.size:
        raise Answered(f"{body} for {request.size} events")
    if body["rejected"] != len(refused):
        raise Answered(f"{body['rejected']} are rejected, {len(refused)} named")
    return body.get("event_ids"), refused


class Clients(Senders):
    """Clients of one collectd that send until stop. "address" is a function
    that returns its port: it may be another one after a restart.

    pause   seconds between two requests of a client
    largest events of one request
    pad     see event_of
    """

    def __init__(
        self, journal, address, seed, count=4, pause=0.01, largest=60, pad=0
    ):
        super().__init__(
            (random.Random(f"{seed} client {number}"),) for number in range(count)
        )
        self.journal = journal
        self._address = address
        self._pause = pause
        self._largest = largest
        self._pad = pad
        self.statuses = {}

    def wait_acknowledged(self, more, timeout=60):
        """Until so many more events have been acknowledged."""
        self.wait_until_more(
            lambda: self.journal.acknowledged,
            more,
            timeout,
            lambda: f"; answers: {self.statuses}",
        )

    def _run(self, chance):
        connection = None
        while not self._stop.is_set():
            connection = connection or self._connect()
            if connection is None:
                self._stop.wait(0.02)
                continue
            request, headers, body = self._make(chance)
            try:
                connection.request("POST", "/events", body, headers)
                answer = connection.getresponse()
                text = answer.read()
            except (OSError, http.client.HTTPException):
                connection.close()
                connection = None
                self._count("none")
                self._stop.wait(0.02)
                continue
            try:
                self.note(request, answer.status, text)
            except (Answered, KeyError, ValueError, AssertionError) as error:
                self.failures.append(f"{answer.status} {text[:500]}: {error!r}")
                return
            self._stop.wait(self._pause)
        if connection is not None:
            connection.close()

    def _connect(self):
        """None when nobody listens: then nothing is sent."""
        connection = http.client.HTTPConnection(
            "127.0.0.1", self._address(), timeout=60
        )
        try:
            connection.connect()
        except OSError:
            return None
        # http.client would connect again by itself.
        connection.auto_open = 0
        return connection

    def _make(self, chance):
        kind = chance.choice(("object", "object", "array", "ndjson"))
        size = 1 if kind == "object" else chance.randint(1, self._largest)
        request = self.journal.send(size)
        events = [event_of(request.first + i, self._pad) for i in range(size)]
        headers = {"Content-Type": "application/json"}
        if kind == "ndjson":
            headers["Content-Type"] = "application/x-ndjson"
            text = "\n".join(json.dumps(event) for event in events)
        else:
            text = json.dumps(
                events[0] if kind == "object" else events, ensure_ascii=False
            )
        body = text.encode()
        if chance.random() < 0.25:
            headers["Content-Encoding"] = "gzip"
            body = gzip.compress(body, 1)
        if chance.random() < 0.1:
            headers["Prefer"] = "return=minimal"
        return request, headers, body

    def _count(self, status):
        self.statuses[status] = self.statuses.get(status, 0) + 1

    def note(self, request, status, text):
        """Writes the answer into the journal; raises when it is not one that
        the contract knows for such a request."""
        self._count(status)
        numbers = range(request.first, request.first + request.size)
        if status in (202, 207):
            ids, refused = _read_accepted(request, json.loads(text))
            expected = [number for number in numbers if is_invalid(number)]
            if sorted(refused) != expected:
                raise Answered(f"{refused} are refused, not {expected}")
            if (status == 207) != bool(refused):
                raise Answered("207 is for what is refused in part")
            self.journal.answer(request, ACKNOWLEDGED, ids, refused)
        elif status == 400:
            if not all(is_invalid(number) for number in numbers):
                raise Answered("all are refused, and some are valid")
            self.journal.answer(request, REFUSED, refused=numbers)
        elif status == 429:
            self.journal.answer(request, REFUSED, refused=numbers)
            self._stop.wait(0.05)
        elif status == 503:
            # It may be stored or not.
            json.loads(text)
            self._stop.wait(0.05)
        else:
            raise Answered("no answer for this")
