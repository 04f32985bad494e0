# SPDX-License-Identifier: MIT
"""The rounds, one after the other, and their outcome."""

import random
import subprocess
import time
import traceback

from harness.filesystem import Unsupported
from harness.oracle import Verdict
from harness.programs import Programs

from . import backlog, disks, fall_back, faults, fleet, owners
from .host import Violation
from .world import COUNTED, World

# Those that need no disk of their own.
ANYWHERE = faults.FAULTS + owners.FAULTS + fall_back.FAULTS
WRONGS = (*Verdict.WRONGS, "lost_in_bound")
# The short form: each fault once, half of them with two lanes.
LANES = (1, 2)
# Hosts in the world of its faults of fleets.
FLEET = 2
# Rounds between two starts of collectd with other options.
ROUNDS_AT_ONCE = 6
# Seconds in one world, and in one with disks of its own, in the long form.
WORLD_S = 100
DISKS_S = 50
# A long run goes on after a violation, in a new world, until there are so many.
VIOLATIONS_MAX = 5


class Loop:
    """Runs what the options (of tests/faults/run) ask for, and keeps count."""

    def __init__(self, base, options):
        self.base = base
        self.options = options
        self.chance = random.Random(options.seed)
        self.rounds = 0
        self.happened = {}  # name of a fault: how often
        self.skipped = {}  # name: why
        self.violations = []
        self.not_judged = 0  # events acknowledged in rounds that did not end
        self.totals = {}
        self.oldest_lost = 0.0  # of what durability "interval" has lost

    def run(self):
        """Whether every promise was kept."""
        if self.options.backlog:
            self._backlog()
        elif self.options.minutes is None:
            self._each_once()
        else:
            self._at_random(time.monotonic() + 60 * self.options.minutes)
        return not self.violations

    def _wanted(self, functions):
        """Those whose name has the word, if one was given; the short form leaves
        out what takes long otherwise."""
        word = self.options.only
        if word:
            return [one for one in functions if word in one.__name__]
        takes_all = self.options.minutes or self.options.long
        return [
            one
            for one in functions
            if takes_all or not getattr(one, "takes_long", False)
        ]

    # --- the two forms ---

    def _each_once(self):
        wanted = self._wanted(ANYWHERE)
        worlds = [(1, lanes, wanted[lanes - 1 :: len(LANES)]) for lanes in LANES]
        worlds.append((FLEET, 1, self._wanted(fleet.FAULTS)))
        for hosts, lanes, mine in worlds:
            if not mine:
                continue
            self._in_a_world(
                lambda world, mine=mine, lanes=lanes: self._rounds(
                    world, [[fault] for fault in mine], lanes=lanes
                ),
                hosts=hosts,
            )
        self._on_disks(
            self._wanted(disks.POWER_CUTS + disks.FULL_DISKS),
            ("ext4", "xfs"),
            lambda world, wanted: self._rounds(
                world, [[fault] for fault in wanted]
            ),
        )

    def _on_disks(self, wanted, kinds, body):
        """In a world on such disks (of the spool, of PostgreSQL), if this
        machine can have them."""
        if not wanted:
            return
        try:
            with disks.Disks(self.base, *kinds) as made:
                self._in_a_world(
                    lambda world: body(world, wanted), disks.DiskWorld, disks=made
                )
                made.check()
        except (AssertionError, subprocess.CalledProcessError) as failure:
            self._violated(f"{kinds}: {failure}", None)
        except Unsupported as reason:
            for fault in wanted:
                self.skipped[fault.__name__] = str(reason)

    def _at_random(self, until):
        """Now without and now with disks of their own."""
        while time.monotonic() < until and len(self.violations) < VIOLATIONS_MAX:
            hosts = self.chance.choice((1, 1, 2, 3))
            asynchronous = self.chance.random() < 0.25
            wanted = self._wanted(
                ANYWHERE + (fleet.FAULTS if hosts > 1 or self.options.only else ())
            )
            self._in_a_world(
                lambda world, wanted=wanted: self._random_rounds(
                    world,
                    wanted,
                    min(until, time.monotonic() + WORLD_S),
                    ("commit", "commit", "commit", "interval", "memory"),
                ),
                hosts=hosts,
                writer={"AsyncCommit": True} if asynchronous else None,
            )
            if time.monotonic() >= until:
                break
            self._on_disks(
                self._wanted(disks.POWER_CUTS + disks.FULL_DISKS),
                (
                    self.chance.choice(("ext4", "xfs")),
                    self.chance.choice(("ext4", "xfs")),
                ),
                lambda world, wanted: self._random_rounds(
                    world,
                    wanted,
                    min(until, time.monotonic() + DISKS_S),
                    ("commit", "commit", "interval"),
                ),
            )
        if not self.options.only:
            self._backlog()

    def _random_rounds(self, world, wanted, until, durabilities):
        while wanted and time.monotonic() < until:
            some = [
                self.chance.sample(
                    wanted, min(self.chance.choice((1, 1, 2, 3)), len(wanted))
                )
                for _ in range(ROUNDS_AT_ONCE)
            ]
            self._rounds(
                world,
                some,
                lanes=self.chance.choice((1, 1, 2, 3)),
                durability=self.options.durability
                or self.chance.choice(durabilities),
            )

    def _backlog(self):
        print("a million events wait:", flush=True)
        programs = Programs(self.base, self.options.keep)

        def body():
            verdict, totals = backlog.run(programs, self.options.seed)
            print(
                f"{verdict.acknowledged} acknowledged, {verdict.stored} stored, "
                f"{verdict.dead} dead",
                flush=True,
            )
            self._add(totals)

        self._guarded(body, programs)

    # --- a world and its rounds ---

    def _in_a_world(self, body, kind=World, **keywords):
        programs = Programs(self.base, self.options.keep)

        def inside():
            seed = self.chance.randrange(1 << 30)
            with kind(
                programs,
                seed,
                pause=self.options.pause,
                patient=self.options.minutes is not None,
                **keywords,
            ) as world:
                try:
                    body(world)
                finally:
                    self._add(world.totals)
                    self.not_judged += world.journal.acknowledged

        self._guarded(inside, programs)

    def _guarded(self, body, programs):
        """What goes wrong in it is a violation; its programs end with it."""
        try:
            body()
        except Unsupported:
            raise
        except (Violation, AssertionError) as failure:
            self._violated(failure, programs)
        except Exception:  # of the tests, which is no less a failure
            self._violated(traceback.format_exc(), programs)
        finally:
            try:
                programs.finish()
            except AssertionError as failure:
                self._violated(failure, programs)

    def _add(self, totals):
        for name, number in totals.items():
            self.totals[name] = self.totals.get(name, 0) + number

    def _violated(self, failure, programs):
        self.violations.append(str(failure))
        print(f"FAILED: {failure}", flush=True)
        for name, log in programs.logs() if programs is not None else ():
            print(f"--- {name}:", *log.splitlines()[-25:], sep="\n    ", flush=True)

    def _rounds(self, world, rounds, **options):
        words = ", ".join(f"{name} {value}" for name, value in options.items())
        if len(world.hosts) > 1:
            words += f", hosts {len(world.hosts)}"
        if world.may_fall:
            words += ", AsyncCommit"
        world.begin(**options)
        for some in rounds:
            names = [fault.__name__ for fault in some]
            for name in names:
                self.happened[name] = self.happened.get(name, 0) + 1
            self.rounds += 1
            began = time.monotonic()
            print(f"{self.rounds}: {', '.join(names)} ({words}): ", end="", flush=True)
            verdict = faults.one_round(world, some)
            self.oldest_lost = max(self.oldest_lost, verdict.lost_age)
            print(
                f"{verdict.acknowledged} acknowledged, {verdict.retried} retried, "
                f"{verdict.stored} stored, {verdict.dead} dead, "
                f"{verdict.duplicates} duplicates, {verdict.unanswered} unanswered, "
                f"{time.monotonic() - began:.1f} s" + self._lost_in_bound(verdict),
                flush=True,
            )
        world.check_port()

    @staticmethod
    def _lost_in_bound(verdict):
        lost = len(verdict.lost_in_bound)
        if not lost:
            return ""
        return f", {lost} lost that were {verdict.lost_age:.2f} s old at most"

    # --- the sum ---

    def summary(self, status):
        """The last lines of a run, however it has ended; "status" is the exit
        status."""
        total = {name: self.totals.get(name, 0) for name in (*COUNTED, *WRONGS)}
        kinds = ", ".join(
            f"{name} {n}" for name, n in sorted(self.happened.items())
        )
        lines = [f"faults: {kinds or 'none'}"]
        lines += [f"skipped: {name}: {why}" for name, why in self.skipped.items()]
        if total["lost_in_bound"]:
            lines.append(
                f"durability interval has lost {total['lost_in_bound']} events in "
                f"power cuts; {self.oldest_lost:.2f} s old at most"
            )
        if self.not_judged:
            lines.append(
                f"{self.not_judged} acknowledged events of a round that did not "
                "end were not judged"
            )
        lines.append(
            f"seed {self.options.seed}; {self.rounds} rounds, "
            f"{sum(self.happened.values())} faults, {len(self.skipped)} skipped; "
            f"events: {total['sent']} sent, {total['acknowledged']} acknowledged, "
            f"{total['retried']} retried, {total['refused']} refused, "
            f"{total['unanswered']} unanswered, {total['stored']} stored, "
            f"{total['dead']} dead letters, {total['duplicates']} duplicates; "
            f"lost {total['lost']}, twice {total['doubled']}; "
            f"{len(self.violations)} violations; exit status {status}"
        )
        return "\n".join(lines)
