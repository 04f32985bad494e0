# SPDX-License-Identifier: MIT
"""aurore-spool on a spool that is in use: it does no harm, and does not
mistake what is being written or deleted for damage."""

import json
import os
import subprocess

import pytest

from harness import build
from harness.load import Load


def tool(command, spool):
    done = subprocess.run(
        [build.plugin_directory().parent / "aurore-spool", command, spool],
        capture_output=True,
        env={**os.environ, **build.sanitizer_environment(spool.parent)},
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.mark.parametrize("stored", [True, False], ids=["stored", "waiting"])
def test_a_live_spool(programs, database, stored):
    """Segments come and go all the time, or stay."""
    writer = {} if stored else {"DrainInterval": 3600, "BatchSize": 100000}
    api = programs.collectd(
        database, {"MaxBytes": "4MiB" if stored else "64MiB"}, writer
    )
    spool = api.directory / "spool"
    api.buffer["SpoolDirectory"] = spool
    api.start()
    with Load(api, threads=4, events=200 if stored else 10) as load:
        for _ in range(10):
            load.wait_acknowledged(100)
            status, _, complaints = tool("check", spool)
            assert status == 0 and not complaints, complaints
            status, told, complaints = tool("export", spool)
            assert status == 0 and not complaints, complaints
            seen = [json.loads(line)["seq"] for line in told.splitlines()]
            assert seen == sorted(set(seen))
            status, told, _ = tool("stat", spool)
            assert status == 0 and "damaged_ranges   0" in told
    acknowledged = len(load.acknowledged)
    if not stored:
        _, told, _ = tool("export", spool)
        ids = {json.loads(line)["event_id"] for line in told.splitlines()}
        assert ids == set(load.acknowledged)
    api.command("FLUSH")
    database.wait_stored(acknowledged)
    load.check(database)
