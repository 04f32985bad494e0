# SPDX-License-Identifier: MIT
"""The faults that need no disk of their own: each is a function of the world,
called under load, that leaves everything running."""

import os
import signal

import psycopg2

from harness.proxy import AFTER_COMMIT, AFTER_END, BEFORE_END
from harness.wait import wait_until

# --- collectd ------------------------------------------------------------------


def kill_collectd(world):
    """kill -9"""
    world.api.kill()
    world.start_collectd()


def kill_collectd_at_its_start(world):
    """kill -9, and again while it recovers"""
    world.api.kill()
    for _ in range(2):
        world.api.start_only()
        world.moment(0.4)
        world.api.kill()
    world.start_collectd()


def terminate_collectd(world):
    """SIGTERM"""
    world.stop_collectd()
    world.start_collectd()


def terminate_collectd_database_silent(world):
    """SIGTERM while PostgreSQL does not answer: the rest stays in the spool"""
    try:
        world.postgres.freeze()
        world.some_load()
        world.stop_collectd()
    finally:
        world.postgres.thaw()
    world.start_collectd()


def terminate_collectd_database_away(world):
    """SIGTERM while PostgreSQL is away, and both start again in any order"""
    world.postgres.stop("immediate")
    world.some_load()
    world.stop_collectd()
    if world.chance.random() < 0.5:
        world.postgres.start()
        world.start_collectd()
    else:
        world.start_collectd()
        world.some_load()
        world.postgres.start()


def stop_collectd(world):
    """SIGSTOP, SIGCONT"""
    world.api.process.signal(signal.SIGSTOP)
    world.outage()
    world.api.process.signal(signal.SIGCONT)


# --- PostgreSQL ----------------------------------------------------------------


def kill_backend(world):
    """kill -9 of a writer's session: PostgreSQL starts all its processes anew"""
    for _ in range(2):
        server = world.postgres.process
        before = set(server.children())
        sessions = world.sessions()
        try:
            os.kill(sessions[0], signal.SIGKILL)
        except (IndexError, ProcessLookupError):
            continue  # the writer is between two connections
        world.some_load()
        wait_until(
            lambda before=before: not before & set(server.children()),
            30,
            "PostgreSQL does not notice that a session was killed",
        )
        wait_until(world.postgres.answers, 30, "PostgreSQL does not recover")


def end_sessions(world):
    """pg_terminate_backend, again and again"""
    for _ in range(10):
        world.end_sessions()
        world.some_load(20)


def kill_postmaster(world):
    """kill -9 of the postmaster alone; its sessions notice by themselves"""
    children = world.postgres.process.children()
    world.postgres.process.kill()
    world.some_load()
    wait_until(
        lambda: not any(os.path.exists(f"/proc/{pid}") for pid in children),
        30,
        "sessions of a killed postmaster are still there",
    )
    world.postgres.start()


def kill_postgres(world):
    """kill -9 of the postmaster and all its sessions"""
    world.postgres.kill()
    world.some_load()
    world.postgres.start()


def immediate_shutdown(world):
    """pg_ctl stop -m immediate"""
    world.postgres.stop("immediate")
    world.some_load()
    world.postgres.start()


def fast_restart(world):
    """pg_ctl restart -m fast"""
    world.postgres.restart("fast")


def stop_postgres(world):
    """SIGSTOP, SIGCONT"""
    try:
        world.postgres.freeze()
        world.outage()
    finally:
        world.postgres.thaw()


def kill_both(world):
    """kill -9 of collectd and PostgreSQL at once"""
    first, second = world.api.kill, world.postgres.kill
    if world.chance.random() < 0.5:
        first, second = second, first
    first()
    second()
    if world.chance.random() < 0.5:
        world.postgres.start()
        world.start_collectd()
    else:
        world.start_collectd()
        world.some_load()
        world.postgres.start()


# --- the network ----------------------------------------------------------------


def cut_network(world):
    """connections cut at any byte"""
    for _ in range(10):
        world.proxy.cut()
        world.some_load(30)


def trap(world, what):
    """The connection is cut at that moment, several times in a row."""
    wanted = world.proxy.sprung + 5
    world.proxy.set_trap(what, 5)
    wait_until(
        lambda: world.proxy.sprung >= wanted or world.clients.failures,
        30,
        lambda: f"the trap {what!r} does not go off",
    )


def lose_answers(world):
    """cut between COMMIT and its answer"""
    trap(world, AFTER_COMMIT)


def lose_ends(world):
    """cut right before the end of a batch's rows"""
    trap(world, BEFORE_END)


def do_not_wait(world):
    """cut right after the end of a batch's rows"""
    trap(world, AFTER_END)


def lose_answers_and_kill(world):
    """cut between COMMIT and its answer, and kill -9 of collectd then"""
    wanted = world.proxy.sprung + 1
    world.proxy.set_trap(AFTER_COMMIT, 1)
    wait_until(
        lambda: world.proxy.sprung >= wanted, 30, "the trap does not go off"
    )
    world.api.kill()
    world.start_collectd()


def stall_network(world):
    """nothing passes and nothing ends"""
    world.proxy.stall()
    world.outage()
    world.proxy.let_go()


def slow_network(world):
    """every chunk is late"""
    world.proxy.delay = world.chance.uniform(0.001, 0.03)
    world.some_load()
    world.moment(1)
    world.proxy.let_go()


def half_close_to_client(world):
    """the writer sees an end, the server does not"""
    world.proxy.half_close("client")
    world.some_load()
    world.moment(1)
    world.proxy.let_go()


def half_close_to_server(world):
    """the server sees an end, the writer does not"""
    world.proxy.half_close("server")
    world.some_load()
    world.moment(1)
    world.proxy.let_go()


def refuse_network(world):
    """connections are cut, and new ones refused"""
    world.proxy.refusing = True
    world.proxy.cut()
    world.some_load()
    world.moment(1)
    world.proxy.let_go()


# --- what an operator might do ----------------------------------------------------


def read_only(world):
    """default_transaction_read_only"""
    world.database.execute(
        f"ALTER ROLE {world.role} SET default_transaction_read_only = on"
    )
    world.end_sessions()
    world.some_load()
    world.wait_failure()
    world.database.execute(
        f"ALTER ROLE {world.role} RESET default_transaction_read_only"
    )
    world.end_sessions()


def withdraw_rights(world):
    """REVOKE INSERT, and GRANT again"""
    world.database.execute(
        f"REVOKE INSERT ON aurore.event FROM {world.role}"
    )
    world.some_load()
    world.wait_failure()
    world.database.execute(f"GRANT INSERT ON aurore.event TO {world.role}")


def lock_table(world):
    """LOCK TABLE for longer than the statement timeout"""
    locker = psycopg2.connect(world.database.conninfo)
    try:
        locker.cursor().execute(
            "LOCK TABLE aurore.event IN ACCESS EXCLUSIVE MODE"
        )
        world.some_load()
        world.wait_failure()
    finally:
        locker.close()


def drop_partition(world):
    """DROP TABLE of today's partition"""
    world.take_partition_away()


def too_many_connections(world):
    """CONNECTION LIMIT 0 (53300)"""
    world.database.execute(f"ALTER ROLE {world.role} CONNECTION LIMIT 0")
    world.end_sessions()
    world.some_load()
    world.wait_failure()
    world.database.execute(f"ALTER ROLE {world.role} CONNECTION LIMIT -1")


FAULTS = (
    kill_collectd,
    kill_collectd_at_its_start,
    terminate_collectd,
    terminate_collectd_database_silent,
    terminate_collectd_database_away,
    stop_collectd,
    kill_backend,
    end_sessions,
    kill_postmaster,
    kill_postgres,
    immediate_shutdown,
    fast_restart,
    stop_postgres,
    kill_both,
    cut_network,
    lose_answers,
    lose_ends,
    do_not_wait,
    lose_answers_and_kill,
    stall_network,
    slow_network,
    half_close_to_client,
    half_close_to_server,
    refuse_network,
    read_only,
    withdraw_rights,
    lock_table,
    drop_partition,
    too_many_connections,
)


def one_round(world, faults):
    """Load, the faults, some more load, and the verdict."""
    world.load(pad=max(getattr(fault, "pad", 0) for fault in faults))
    world.some_load()
    for fault in faults:
        world.any_host()
        fault(world)
        world.some_load()
    return world.verdict()
