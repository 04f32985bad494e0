# SPDX-License-Identifier: MIT
"""Threads that send until they are stopped; what Load and Clients have in
common."""

import threading

from .wait import wait_until


class Senders:
    """A context: inside of it the threads run, at its end they have ended.
    "arguments" has those of _run, one tuple a thread."""

    def __init__(self, arguments):
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=given, daemon=True)
            for given in arguments
        ]
        self.failures = []

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def ask_to_stop(self):
        self._stop.set()

    def stop(self):
        self.ask_to_stop()
        for thread in self._threads:
            thread.join(120)
            assert not thread.is_alive(), "a client does not end"
        self.check_failures()

    def check_failures(self):
        assert not self.failures, self.failures[0]

    def wait_until_more(self, count, more, timeout, details=lambda: ""):
        """Until the count, a function, has risen by that much."""
        enough = count() + more
        wait_until(
            lambda: count() >= enough or self.failures,
            timeout,
            lambda: f"{count()} of {enough} events are acknowledged {details()}",
        )
        self.check_failures()
