# SPDX-License-Identifier: MIT
"""Clients that send events while something else happens, and remember what was
answered."""

import threading

import requests

from .senders import Senders


class Load(Senders):
    """A context: inside of it the clients send, at its end they have stopped.

    acknowledged   {event id: message} of what was answered 202
    unanswered     messages of requests that had no answer, or 503: they may be
                   stored or not
    refused        events that were refused with 429
    """

    def __init__(self, collectd, threads=4, events=10, accept_gateway_errors=False):
        """"accept_gateway_errors": a balancer's 502 and 504 are as no answer."""
        self._no_answer = {503} | ({502, 504} if accept_gateway_errors else set())
        super().__init__((number,) for number in range(threads))
        self._url = collectd.url("/events")
        self._events = events
        self._lock = threading.Lock()
        self.acknowledged = {}
        self.unanswered = set()
        self.refused = 0

    def wait_acknowledged(self, more, timeout=30):
        """Until so many more events have been acknowledged."""
        self.wait_until_more(lambda: len(self.acknowledged), more, timeout)

    def _run(self, number):
        session = requests.Session()
        sent = 0
        while not self._stop.is_set():
            size = 1 + sent % self._events
            messages = [f"client {number} event {sent + i}" for i in range(size)]
            sent += size
            try:
                self._send(session, messages)
            except Exception as error:  # raised by stop()
                self.failures.append(repr(error))
                return
        session.close()

    def _send(self, session, messages):
        events = [
            {"timestamp": 1773500966, "service": "load", "message": message}
            for message in messages
        ]
        try:
            answer = session.post(self._url, json=events, timeout=60)
        except requests.RequestException:
            self._remember_unanswered(messages)
            return
        if answer.status_code == 202:
            ids = answer.json()["event_ids"]
            assert len(ids) == len(messages)
            with self._lock:
                self.acknowledged.update(zip(ids, messages))
            # The load is there to be there, not to be heavy.
            self._stop.wait(0.002)
        elif answer.status_code == 429:
            with self._lock:
                self.refused += len(messages)
            self._stop.wait(0.02)
        else:
            assert answer.status_code in self._no_answer, answer.text
            self._remember_unanswered(messages)

    def _remember_unanswered(self, messages):
        with self._lock:
            self.unanswered.update(messages)
        self._stop.wait(0.02)

    def check(self, database):
        """All that was acknowledged is stored, once; nothing else is stored but
        what had no answer. Returns how many events are stored."""
        rows = database.rows("SELECT event_id::text, message FROM aurore.event")
        stored = dict(rows)
        assert len(stored) == len(rows), "an event is stored twice"
        missing = self.acknowledged.keys() - stored.keys()
        assert not missing, f"{len(missing)} acknowledged events are missing"
        messages = set(stored.values())
        assert len(messages) == len(rows), "an event is stored twice"
        for event_id, message in self.acknowledged.items():
            assert stored[event_id] == message
        more = messages - set(self.acknowledged.values())
        assert more <= self.unanswered, more - self.unanswered
        return len(rows)
