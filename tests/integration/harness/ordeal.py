# SPDX-License-Identifier: MIT
"""What a sender has to go through: an answer that gets lost, a server that is
killed, a database that is away."""

from .events import stored_events
from .road import Road
from .wait import wait_until


class World:
    """A server with a spool, its database, and the way to the server."""

    def __init__(self, programs, postgres, **buffer):
        self.base = programs.base
        self.postgres = postgres
        self.database = programs.database(postgres)
        self.api = programs.collectd(self.database, buffer)
        self.api.buffer["SpoolDirectory"] = self.api.directory / "spool"
        self.directory = self.api.directory / "sender"
        self.directory.mkdir()
        self.api.start()
        self.road = Road(lambda: self.api.port)

    def wait_accepted(self, more=1):
        """A function that waits until so many more requests are accepted."""
        enough = self.road.accepted() + more
        return lambda: wait_until(
            lambda: self.road.accepted() >= enough,
            90,
            lambda: f"answered: {self.road.statuses}",
        )

    def close(self):
        self.road.close()

    def ordeal(self, send):
        """send(name) begins to send some; what it returns waits until it has."""
        send("all is well")()
        self.road.lose(1)
        send("an answer is lost")()
        assert self.road.lost == 1
        self.api.kill()
        ends = send("the server is away")
        wait_until(lambda: self.road.refused > 0, 60, "nobody tries to connect")
        self.api.start()
        ends()
        self.postgres.kill()
        send("the database is away")()
        self.api.kill()
        self.postgres.start()
        self.api.start()
        send("all is well again")()

    def rows(self, count):
        """(microseconds, service, message, metadata) of what is stored, so many."""
        self.database.wait_stored(count, 60)
        self.api.rest()
        assert self.database.dead_letters() == 0
        return list(stored_events(self.database).values())
