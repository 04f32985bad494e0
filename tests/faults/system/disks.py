# SPDX-License-Identifier: MIT
"""Power cuts and full disks, on file systems of their own (loop devices): the
spool on one, PostgreSQL's data directory on another, the partitions' rows on a
third, small one."""

import os
import shutil
from pathlib import Path

from harness.filesystem import LOG_FLUSH, NO_LOG_FLUSH, SMALLEST_MB, FileSystem
from harness.postgres import DURABLE, USER
from harness.wait import wait_until

from .host import Violation
from .world import World

# Of sparse images: what a slow machine accepts and stores in a round has room.
SPOOL_MB = 512
DATA_MB = 1024
ROWS_MB = 1024


class Disks:
    """The file systems; a context."""

    def __init__(self, base, spool_kind, data_kind):
        self.kinds = (spool_kind, data_kind)
        self._open = []
        self.spool = self._make(base, "spool", spool_kind, SPOOL_MB)
        try:
            self.data = self._make(base, "data", data_kind, DATA_MB)
            self.rows = self._make(base, "rows", "ext4", ROWS_MB)
        except Exception:
            self.close()
            raise
        for one in (self.data, self.rows):
            os.chmod(one.directory, 0o711)
            shutil.chown(one.point, USER, USER)

    def _make(self, base, name, kind, megabytes):
        made = FileSystem(
            kind,
            Path(base) / f"disk-{name}-{kind}",
            max(megabytes, SMALLEST_MB[kind]),
        )
        self._open.append(made)
        return made

    def close(self):
        for one in self._open:
            one.close()
            shutil.rmtree(one.directory, ignore_errors=True)
        self._open = []

    def check(self):
        """Everything has ended: no fault in the file systems themselves."""
        for one in self._open:
            one.unmount()
            one.check()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class DiskWorld(World):
    """A world on disks whose power can be cut."""

    def __init__(self, programs, seed, disks, **keywords):
        self.disks = disks
        super().__init__(
            programs,
            seed,
            spool=disks.spool.point / "spool",
            postgres={"data": disks.data.point / "data", "settings": DURABLE},
            **keywords,
        )
        space = disks.rows.point / "space"
        space.mkdir()
        shutil.chown(space, USER, USER)
        self.database.execute(f"CREATE TABLESPACE rows LOCATION '{space}'")
        self.database.execute(f"GRANT CREATE ON TABLESPACE rows TO {self.role}")
        self.database.execute(
            f"ALTER ROLE {self.role} SET default_tablespace = rows"
        )
        disks.data.sync()

    def how(self):
        """Whether the log of the file system still gets to the disk."""
        return self.chance.choice((LOG_FLUSH, NO_LOG_FLUSH, NO_LOG_FLUSH))

    def _kill_collectd(self):
        """What it has accepted after that it will not sync: the kill of the
        other machine, which may take seconds, does not count."""
        begin = self.now()
        self.api.kill()
        self.power_was_lost(begin, self.now())

    def lose_power(self, collectd=False, postgres=False):
        """One machine or both lose their power, and have it again. No thread
        runs once it has been killed, whatever its calls still do."""
        kills, lost = [], []
        if collectd:
            kills.append(self._kill_collectd)
            lost.append(self.disks.spool)
        if postgres:
            kills.append(self.postgres.kill)
            lost.append(self.disks.data)
        self.chance.shuffle(kills)
        for kill in kills:
            kill()
        for disk in lost:
            disk.cut(self.how())
        for disk in lost:
            disk.power_up()


# --- power cuts -----------------------------------------------------------------


def cut_power_of_collectd(world):
    world.lose_power(collectd=True)
    world.start_collectd()


def cut_power_of_collectd_behind_an_outage(world):
    """with a backlog, since PostgreSQL is away"""
    world.postgres.stop("immediate")
    world.some_load(1500)
    world.lose_power(collectd=True)
    world.start_collectd()
    world.some_load()
    world.postgres.start()


cut_power_of_collectd_behind_an_outage.takes_long = True


def cut_power_of_postgres(world):
    world.lose_power(postgres=True)
    world.some_load()
    world.postgres.start()


def cut_power_of_both(world):
    world.lose_power(collectd=True, postgres=True)
    world.postgres.start()
    world.start_collectd()


def pull_the_disk(world):
    """the disk of the spool goes while collectd runs: it must say so, and what
    it acknowledges after that is not believed"""
    try:
        world.postgres.freeze()  # so that nothing of it gets into the database
        at = world.now()
        world.disks.spool.cut(world.how())
        wait_until(
            lambda: world.api.get("/ready").status_code == 503,
            30,
            "a spool without a disk is ready",
        )
        late = world.journal.acknowledged
        world.moment(0.3)
        if world.journal.acknowledged != late:
            raise Violation("events are acknowledged without a disk")
        world.api.kill()
    finally:
        world.postgres.thaw()
    world.journal.distrust(at)
    world.power_was_lost(at, at)
    world.disks.spool.power_up()
    world.start_collectd()


# --- full disks -----------------------------------------------------------------


def fill_spool_disk(world):
    """another file takes all the room of the spool's disk"""
    try:
        world.postgres.freeze()  # nothing is stored that would make room
        other = world.disks.spool.fill()
        wait_until(
            lambda: world.clients.statuses.get(503, 0) > 0
            or world.clients.failures,
            60,
            "nothing is refused, though the disk is full",
        )
    finally:
        world.postgres.thaw()
    os.unlink(other)
    world.api.wait_ready()


# Large events, so that the segment in use is full soon; not in the short form.
fill_spool_disk.pad = 15000
fill_spool_disk.takes_long = True


def fill_spool_disk_and_kill(world):
    """the same, and a start on the full disk"""
    try:
        world.postgres.freeze()
        other = world.disks.spool.fill()
        world.moment(0.5)
        world.api.kill()
    finally:
        world.postgres.thaw()
    world.api.start_only()  # it opens what is there, and is in trouble
    # A segment that had been made ahead may be there to be used.
    refused = world.clients.statuses.get(503, 0)
    accepted = world.journal.acknowledged
    wait_until(
        lambda: world.clients.statuses.get(503, 0) > refused
        or world.journal.acknowledged > accepted
        or world.clients.failures,
        60,
        "a start on a full disk answers nothing",
    )
    os.unlink(other)
    world.api.kill()
    world.start_collectd()


def fill_table_disk(world):
    """no room for rows (53100): kept and tried again, never a dead letter"""

    def refusals():
        return world.api.metrics().get(
            "batch_failures_total", default=0, **{"class": "53"}
        )

    before = refusals()
    other = world.disks.rows.fill()
    try:
        wait_until(
            lambda: refusals() >= before + 3 or world.clients.failures,
            60,
            "PostgreSQL stores rows on a full disk",
        )
    finally:
        os.unlink(other)


def fill_data_disk(world):
    """no room for PostgreSQL's log either: it may well end by itself"""
    other = world.disks.data.fill()
    try:
        world.some_load(300)
        world.wait_failure()
    finally:
        os.unlink(other)
    world.postgres.kill()
    world.postgres.start()


fill_data_disk.takes_long = True

POWER_CUTS = (
    cut_power_of_collectd,
    cut_power_of_collectd_behind_an_outage,
    cut_power_of_postgres,
    cut_power_of_both,
    pull_the_disk,
)
FULL_DISKS = (
    fill_spool_disk,
    fill_spool_disk_and_kill,
    fill_table_disk,
    fill_data_disk,
)
