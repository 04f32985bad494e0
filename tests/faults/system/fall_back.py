# SPDX-License-Identifier: MIT
"""Faults after which the database is one of an earlier time: the primary dies,
and another server takes its place."""

from harness.standby import base_backup, cancelled_waits, promote, synchronous_standby
from harness.wait import wait_until

from .host import Violation


def _replayed(world):
    return {
        host.number: host.api.metrics().get("events_replayed_total")
        for host in world.hosts
    }


def _change_places(world, start):
    """The primary dies, and what "start" starts is there in its place: it has
    not got what was stored since a while. In half of the cases a collectd is
    killed or ends meanwhile."""
    for _ in range(2):  # the writers know of the first time then
        world.wait_lanes_move()
    world.some_load()
    world.moment(6.0 if world.patient else 0.3)
    before = _replayed(world)
    restarts = world.chance.choice((None, None, world.api.kill, world.stop_collectd))
    world.postgres.kill()
    if restarts is not None:
        restarts()
        del before[world.host.number]
    world.replace_postgres(start())
    if restarts is not None:
        world.start_collectd()

    def goes_back():
        now = _replayed(world)
        return all(now[number] > before[number] for number in before)

    wait_until(
        lambda: goes_back() or world.clients.failures,
        60,
        "what the database has lost is not stored again",
    )
    world.wait_lanes_move()


def promote_standby(world):
    """an asynchronous standby, which is some seconds behind"""
    standby = world.programs.copy_of(world.postgres)

    def start():
        promote(standby, world.database.name).close()
        return standby

    _change_places(world, start)


def restore_backup(world):
    """a base backup that was made under load"""
    backup = base_backup(world.programs, world.postgres)
    _change_places(world, backup.start)


restore_backup.takes_long = True


def cancel_waits(world):
    """COMMITs that wait for a synchronous standby are cancelled; then the
    primary dies, and the standby has not got what they committed"""
    standby = synchronous_standby(world.programs, world.postgres)
    world.some_load()
    before = _replayed(world)
    standby.stop()
    committed = world.in_database()
    with cancelled_waits(world.postgres):
        world.some_load()
        wait_until(
            lambda: world.in_database() > committed or world.clients.failures,
            60,
            "nothing is committed without the standby",
        )
        world.moment(0.5)
    world.postgres.kill()
    promote(standby, world.database.name).close()
    world.replace_postgres(standby)
    world.wait_lanes_move()
    # What is kept would make up for it, as long as it is kept.
    if not world.may_fall and _replayed(world) != before:
        raise Violation("what the standby had not got was taken for stored")


FAULTS = (promote_standby, restore_backup, cancel_waits)
