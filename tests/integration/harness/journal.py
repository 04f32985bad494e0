# SPDX-License-Identifier: MIT
"""Clients that send numbered events of every kind, and the journal of what
they sent and what was answered. The oracle (oracle.py) compares it with the
database. The content of an event follows from its number, so that the journal
needs to keep only the numbers.

Some clients persist: they name their events or requests, and send what was not
accepted again, the same bytes, until it is."""

import gzip
import http.client
import json
import random
import threading
import time
import uuid

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


def is_disliked(number):
    """What a rule that somebody makes for a while refuses: DISLIKED, in SQL."""
    return number % 41 == 17


DISLIKED = "split_part(message, ' ', 1)::bigint % 41 = 17"


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


class Attempt:
    """A request as it was sent once, to one host."""

    __slots__ = ("host", "outcome", "at")

    def __init__(self, host):
        self.host = host
        self.outcome = UNANSWERED
        self.at = None  # monotonic seconds of the answer


class Request:
    """Events "first" to "first + size - 1", sent together. "given": the ids
    that the client gave them, if it did."""

    __slots__ = ("first", "size", "given", "attempts", "ids", "refused")

    def __init__(self, first, size, host, given=None):
        self.first = first
        self.size = size
        self.given = given
        self.attempts = [Attempt(host)]
        self.ids = None  # of each event; None where it was refused
        self.refused = frozenset()  # numbers

    @property
    def outcome(self):
        """Of all attempts: one that was acknowledged counts; one that was
        refused says nothing of those that were not answered."""
        outcomes = {attempt.outcome for attempt in self.attempts}
        for outcome in (ACKNOWLEDGED, UNANSWERED):
            if outcome in outcomes:
                return outcome
        return REFUSED

    @property
    def acknowledged_at(self):
        """When it was acknowledged: none, one or several times."""
        return [
            attempt.at
            for attempt in self.attempts
            if attempt.outcome == ACKNOWLEDGED
        ]


class Journal:
    """What was sent since the last clear; numbers go on after it."""

    def __init__(self):
        self._lock = threading.Lock()
        self.requests = []
        self.base = 0  # the first number since the last clear
        self.next = 0
        self.acknowledged = 0  # events
        self.retried = 0  # events, each time they were sent again

    def send(self, size, host=0, gives_ids=None):
        """A request of so many events, not answered so far. "gives_ids": a
        random.Random; each event has an id from it."""
        given = None
        if gives_ids is not None:
            given = [
                str(uuid.UUID(int=gives_ids.getrandbits(128), version=4))
                for _ in range(size)
            ]
        with self._lock:
            made = Request(self.next, size, host, given)
            self.next += size
            self.requests.append(made)
        return made

    def send_again(self, request, host):
        with self._lock:
            request.attempts.append(Attempt(host))
            self.retried += request.size

    def answer(self, request, outcome, ids=None, refused=()):
        """The last attempt's. "ids", "refused": of one that is acknowledged."""
        with self._lock:
            if outcome == ACKNOWLEDGED:
                request.ids = ids
                request.refused = frozenset(refused)
                if request.outcome != ACKNOWLEDGED:
                    self.acknowledged += request.size - len(request.refused)
            attempt = request.attempts[-1]
            attempt.at = time.monotonic()
            attempt.outcome = outcome

    def distrust(self, since):
        """What was answered from that moment on (monotonic seconds) counts as
        unanswered: the power had gone by then."""
        with self._lock:
            for request in self.requests:
                for attempt in request.attempts:
                    if attempt.outcome == ACKNOWLEDGED and attempt.at >= since:
                        attempt.outcome = UNANSWERED

    def clear(self):
        with self._lock:
            self.requests = []
            self.base = self.next
            self.acknowledged = 0
            self.retried = 0


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


class _Line:
    """A connection of a client, now to this and now to that host. "ports" is a
    function that returns one port for each: they may be others after a
    restart."""

    def __init__(self, ports, chance):
        self._ports = ports
        self._chance = chance
        self._connection = None
        self.host = 0

    def connect(self):
        """If there is no connection, tries one of the hosts; false: it does not
        listen, and nothing was sent."""
        if self._connection is not None:
            return True
        ports = self._ports()
        self.host = self._chance.randrange(len(ports))
        made = http.client.HTTPConnection("127.0.0.1", ports[self.host], timeout=60)
        try:
            made.connect()
        except OSError:
            return False
        # http.client would connect again by itself.
        made.auto_open = 0
        self._connection = made
        return True

    def ask(self, path, headers, body, waits=True):
        """(status, text); None: no answer, and the connection has ended.
        "waits": for the answer."""
        try:
            self._connection.request("POST", path, body, headers)
            if not waits:
                self.close()
                return None
            answer = self._connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            self.close()
            return None

    def close(self):
        if self._connection is not None:
            self._connection.close()
            self._connection = None


# How a client that persists names what it sends: its events, its request by a
# key, its request by its bytes.
BY_ID, BY_KEY, BY_BYTES = "id", "key", "bytes"


class Clients(Senders):
    """Clients of one collectd, or of several before one database, that send
    until stop. "ports" is a function that returns the port of each.

    count      clients that send each request once
    persistent those that send it again until it is accepted, to any host
    pause      seconds between two requests of a client
    largest    events of one request
    pad        see event_of
    """

    def __init__(
        self,
        journal,
        ports,
        seed,
        count=2,
        persistent=2,
        pause=0.01,
        largest=60,
        pad=0,
    ):
        super().__init__(
            (random.Random(f"{seed} client {number}"), number >= count)
            for number in range(count + persistent)
        )
        self.journal = journal
        self._ports = ports
        self._given_up = threading.Event()
        self._pause = pause
        self._largest = largest
        self._pad = pad
        self.statuses = {}

    def give_up(self):
        """Those that persist end, too, whatever was accepted."""
        self._given_up.set()
        self.ask_to_stop()

    def wait_acknowledged(self, more, timeout=60):
        """Until so many more events have been acknowledged."""
        self.wait_until_more(
            lambda: self.journal.acknowledged,
            more,
            timeout,
            lambda: f"; answers: {self.statuses}",
        )

    def send_one(self, port):
        """A single event that nothing is wrong with, from the caller's thread."""
        request = self.journal.send(1)
        while is_invalid(request.first) or is_poison(request.first):
            self.journal.answer(request, REFUSED)  # it was never sent
            request = self.journal.send(1)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request(
            "POST",
            "/events",
            json.dumps(event_of(request.first)),
            {"Content-Type": "application/json"},
        )
        answer = connection.getresponse()
        self.note(request, answer.status, answer.read())
        connection.close()

    def _run(self, chance, persists):
        line = _Line(self._ports, chance)
        while not self._stop.is_set():
            if not line.connect():
                self._stop.wait(0.02)
                continue
            naming = chance.choice((BY_ID, BY_KEY, BY_BYTES)) if persists else None
            made = self._make(chance, line.host, naming)
            try:
                self._deliver(chance, line, naming, *made)
            except (Answered, KeyError, ValueError, AssertionError) as error:
                self.failures.append(f"{made[0].attempts[-1].outcome}: {error!r}")
                break
            self._stop.wait(self._pause)
        line.close()

    def _deliver(self, chance, line, naming, request, path, headers, body):
        """Once, or until it is accepted. Some answers a client that persists
        does not wait for, and some accepted requests it sends once more."""
        sends_twice = naming is not None and chance.random() < 0.05
        while True:
            waits = naming is None or chance.random() < 0.9
            answer = line.ask(path, headers, body, waits)
            accepted = False
            if answer is None:
                self._count("none" if waits else "not waited for")
            else:
                accepted = self.note(request, *answer)
            if accepted and sends_twice:
                accepted = sends_twice = False
                line.close()
            if accepted:
                return
            if naming is None:
                self._stop.wait(0.02 if answer is None else 0.05)
                return
            self._given_up.wait(0.02)
            line.close()
            while not line.connect():
                if self._given_up.wait(0.02):
                    return
            if self._given_up.is_set():
                return
            self.journal.send_again(request, line.host)

    def _make(self, chance, host, naming):
        """(request, path, headers, body)"""
        kind = chance.choice(("object", "object", "array", "ndjson"))
        size = 1 if kind == "object" else chance.randint(1, self._largest)
        request = self.journal.send(size, host, chance if naming == BY_ID else None)
        events = [event_of(request.first + i, self._pad) for i in range(size)]
        for event, given in zip(events, request.given or ()):
            event["event_id"] = given
        path, headers = "/events", {"Content-Type": "application/json"}
        if naming == BY_KEY:
            headers["Idempotency-Key"] = chance.choice(
                ("static", f"request-{request.first}")
            )
        elif naming == BY_BYTES:
            path += "?once=request"
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
        return request, path, headers, body

    def _count(self, status):
        self.statuses[status] = self.statuses.get(status, 0) + 1

    def note(self, request, status, text):
        """Writes the answer into the journal; raises when it is not one that
        the contract knows for such a request. Whether that was the last word."""
        self._count(status)
        numbers = range(request.first, request.first + request.size)
        if status in (202, 207):
            ids, refused = _read_accepted(request, json.loads(text))
            expected = [number for number in numbers if is_invalid(number)]
            if sorted(refused) != expected:
                raise Answered(f"{refused} are refused, not {expected}")
            if (status == 207) != bool(refused):
                raise Answered("207 is for what is refused in part")
            self.journal.answer(
                request, ACKNOWLEDGED, self._ids(request, ids, refused), refused
            )
            return True
        if status == 400:
            if not all(is_invalid(number) for number in numbers):
                raise Answered(f"all are refused, and some are valid: {text[:300]}")
            self.journal.answer(request, REFUSED)
            return True
        if status == 429:
            self.journal.answer(request, REFUSED)
        elif status == 503:
            json.loads(text)  # it may be stored or not
        else:
            raise Answered(f"{status} is no answer for this: {text[:300]}")
        return False

    @staticmethod
    def _ids(request, ids, refused):
        """Those that were answered, which are those that were answered before,
        or given."""
        expected = request.ids
        if request.given is not None:
            expected = [
                None if request.first + i in refused else given
                for i, given in enumerate(request.given)
            ]
        if ids is not None and expected is not None and ids != expected:
            raise Answered(f"the ids are {ids}, not {expected}")
        return expected if ids is None else ids
