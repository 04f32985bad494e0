# SPDX-License-Identifier: MIT
"""One collectd of a world, its way to the database, and the account of what it
says about itself."""

import time

from harness.journal import ACKNOWLEDGED, UNANSWERED
from harness.proxy import Proxy
from harness.wait import wait_until

# The first number of a lane.
FIRST = 1


class Violation(Exception):
    """A promise that was not kept."""


class Life:
    """A collectd from its start on, and what the database had got before: None
    when nobody could ask.

    stored, dead  in all
    places        of this host's lanes (Host.places)
    from_rest     nothing waited
    fell_before   the database fell back while it was down
    is_exact      what its figures must be follows from "places"
    """

    def __init__(self, stored, dead, places, from_rest, fell_before):
        self.stored = stored
        self.dead = dead
        self.places = places
        self.from_rest = from_rest
        self.is_exact = places is not None
        self.fell_before = fell_before
        self.has_fallen = False  # the database has, since the start
        self.duplicates = 0  # that were seen by the last verdict
        self.began = self.ready = time.monotonic()
        self.least = 0  # events that it has accepted
        self.most = 0

    def add(self, attempts):
        """(attempt, request) of a round. An answer that was read after "ready"
        came from this life; one that was read since "began" may have."""
        for attempt, request in attempts:
            if attempt.outcome == ACKNOWLEDGED and attempt.at >= self.began:
                valid = request.size - len(request.refused)
                self.most += valid
                if attempt.at >= self.ready:
                    self.least += valid
            elif attempt.outcome == UNANSWERED:
                self.most += request.size


class Host:
    """Not started. "options": of the plugin event_buffer and event_writer."""

    def __init__(self, world, number, buffer, writer):
        self.number = number
        self._world = world
        self._name = f"host{number}"
        self.proxy = Proxy(world.postgres.socket)
        self.api = world.programs.collectd(self._conninfo(), buffer, writer)
        self.api.buffer.setdefault("SpoolDirectory", self.api.directory / "spool")
        self.spools = set()  # what the database knows its lanes by
        self.life = None
        self._fell = False  # the database has, while it was down
        self._is_unsure = False  # of its place, as the next life begins

    def _conninfo(self):
        world = self._world
        return (
            f"host=127.0.0.1 port={self.proxy.port} user={world.role}"
            f" dbname={world.database.name} application_name={self._name}"
            " sslmode=disable gssencmode=disable"
        )

    def sessions(self, where="true"):
        return self._world.sessions(f"application_name = '{self._name}' AND {where}")

    # --- its life ---

    def start(self):
        """What the last one has left in the database is finished before."""
        world = self._world
        stored = dead = places = None
        if world.postgres.process is not None:
            wait_until(
                lambda: not self.sessions("state <> 'idle'"),
                30,
                "a session of a collectd that has ended goes on",
            )
            stored, dead = world.in_database()
            places = self.places() if self.life is not None else {}
        self.life = Life(stored, dead, places, world.at_rest, self._fell)
        if self._is_unsure or world.may_fall:
            self.life.is_exact = False
        self._fell = self._is_unsure = False
        self.api.start()
        self.life.ready = time.monotonic()

    def stop(self, timeout=30):
        self.api.terminate()
        status = self.api.wait(timeout)
        if status != 0:
            raise Violation(f"collectd has ended with {status} at a SIGTERM")

    def database_fell_back(self):
        """To a time within this round."""
        if not self.api.is_running():
            self._fell = True
            return
        if self.life.fell_before:
            self.life.is_exact = False  # what was replayed is a sum of both
        self.life.has_fallen = True

    def may_forget(self):
        """A power cut: it may have lost rows that were stored already, and use
        their numbers again."""
        self._is_unsure = True

    # --- the account ---

    def learn_spools(self, known):
        """After a start: each lane has one, which the database knows by then.
        "known": those of all hosts."""

        def mine():
            rows = self._world.database.rows("SELECT spool_id::text FROM aurore.lane")
            return self.spools | {spool for (spool,) in rows} - known

        lanes = self.api.buffer["Lanes"]
        wait_until(
            lambda: len(mine()) >= lanes, 30, "the database does not know its lanes"
        )
        self.spools = mine()

    def places(self):
        """{(lane, spool): the next number}"""
        return {
            (lane, spool): place
            for lane, spool, place in self._world.database.rows(
                "SELECT lane, spool_id::text, next_seq FROM aurore.lane"
                " WHERE spool_id = ANY(%s::uuid[])",
                (list(self.spools),),
            )
        }

    def wrong_figures(self, figures):
        """At rest, the figures of this life against what is in the database."""
        wrongs = []

        def must(what, found, expected):
            if found != expected:
                wrongs.append(f"host {self.number}: {what}: {found}, not {expected}")

        life = self.life
        processed = figures.get("events_processed_total")
        dead_lettered = figures.get("dead_letters_total")
        replayed = figures.get("events_replayed_total")
        told = processed + dead_lettered + figures.get("events_duplicate_total")
        accepted = figures.get("events_enqueued_total")
        must("damaged ranges", figures.get("spool_damaged_total"), 0)
        must("lost by the database", figures.get("events_lost_total"), 0)
        if self._knows_all():
            stored, dead = self._world.in_database()
            must("stored in this life", processed, stored - life.stored)
            must("dead in this life", dead_lettered, dead - life.dead)
        if life.is_exact:
            must(
                "rows passed in this life",
                told - (replayed if life.has_fallen else 0),
                sum(
                    place - life.places.get(lane, FIRST)
                    for lane, place in self.places().items()
                ),
            )
        if life.from_rest:
            must("accepted and replayed", accepted + replayed, told)
        elif accepted + replayed > told:
            wrongs.append(
                f"host {self.number}: {accepted} accepted and {replayed} replayed,"
                f" more than the {told} that were passed"
            )
        return wrongs

    def wrong_accepted(self, figures, attempts):
        """The same against what clients were told, in this round, too."""
        life = self.life
        life.add(attempts)
        accepted = figures.get("events_enqueued_total")
        if life.least <= accepted <= life.most:
            return []
        return [
            f"host {self.number}: accepted: {accepted}, and clients were told of "
            f"{life.least} to {life.most}"
        ]

    def _knows_all(self):
        """Whether all that the database has got is from this host."""
        return (
            self.life.stored is not None
            and not self.life.has_fallen
            and not self._world.may_fall
            and len(self._world.hosts) == 1
        )

    def new_duplicates(self, figures):
        """Since the last verdict."""
        found = int(figures.get("events_duplicate_total"))
        new, self.life.duplicates = found - self.life.duplicates, found
        return new
