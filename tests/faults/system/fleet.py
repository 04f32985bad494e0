# SPDX-License-Identifier: MIT
"""Faults of several collectds before one database. Whatever else is in the lists
happens to one of them while the others go on."""


def kill_in_turn(world):
    """kill -9 of one host after the other; clients go to those that are left"""
    for _ in world.each_host():
        world.api.kill()
        world.some_load()
        world.start_collectd()


def roll(world):
    """SIGTERM and start of one host after the other"""
    for _ in world.each_host():
        world.stop_collectd()
        world.some_load()
        world.start_collectd()


roll.takes_long = True


def kill_all(world):
    """kill -9 of all of them"""
    for host in world.hosts:
        host.api.kill()
    for _ in world.each_host():
        world.start_collectd()


kill_all.takes_long = True

FAULTS = (kill_in_turn, roll, kill_all)
