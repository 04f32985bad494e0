# SPDX-License-Identifier: MIT
"""Copies of a cluster that take its place later: standbys, base backups."""

import contextlib
import threading

import psycopg2

from .postgres import Database
from .wait import wait_until


def base_backup(programs, server):
    """What is restored when it is started: it knows nothing of what came after
    it."""
    backup = programs.copy_of(server)
    (backup.data / "standby.signal").unlink()
    return backup


def promote(standby, name):
    """Starts it: it has what its primary had when it was copied, or what it has
    got while it ran. Returns its database of that name."""
    standby.start()
    promoted = Database(standby.conninfo(name), name)
    promoted.execute("SELECT pg_promote()")
    return promoted


def synchronous_standby(programs, primary):
    """A standby that each commit of the primary waits for from now on."""
    standby = programs.postgres(primary=primary)
    database = Database(primary.conninfo("postgres"))
    database.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
    database.execute("SELECT pg_reload_conf()")
    wait_until(
        lambda: database.rows("SELECT sync_state FROM pg_stat_replication")
        == [("sync",)],
        30,
        "the standby is not a synchronous one",
    )
    # It is the checkpointer that makes commits wait, as soon as it has read the
    # setting, too.
    database.execute("CHECKPOINT")
    database.close()
    return standby


@contextlib.contextmanager
def cancelled_waits(primary):
    """Inside of it an operator ends what waits for a synchronous standby."""
    stop = threading.Event()

    def cancel():
        connection = psycopg2.connect(primary.conninfo("postgres"))
        connection.autocommit = True
        while not stop.wait(0.01):
            connection.cursor().execute(
                "SELECT pg_cancel_backend(pid) FROM pg_stat_activity "
                "WHERE wait_event = 'SyncRep'"
            )
        connection.close()

    operator = threading.Thread(target=cancel, daemon=True)
    operator.start()
    try:
        yield
    finally:
        stop.set()
        operator.join()
