# SPDX-License-Identifier: MIT
"""System calls of a running collectd fail now and then under load (strace
injects the errors; the binaries are the installed ones). Every single failing
call of the spool is tried in tests/unit/spool/check_failing_calls.c."""

import os
import shutil
import signal
import subprocess

import pytest

from harness.load import Load
from harness.process import Process
from harness.wait import wait_until

pytestmark = pytest.mark.plain("strace and the sanitizers do not go together")

CASES = {
    # The group goes to a new segment, or is refused.
    "sync": ["fdatasync:error=EIO:when=3+7"],
    "full": ["pwritev:error=ENOSPC:when=5+7"],
    # What is done for a new segment fails as well.
    "segment": [
        "fdatasync:error=EIO:when=3+5",
        "fallocate:error=ENOSPC:when=2+4",
        "fsync:error=EIO:when=2+5",
        "openat:error=EMFILE:when=2+5",
        "renameat:error=EIO:when=2+3",
    ],
    "removal": ["unlinkat:error=EROFS:when=1+2", "fdatasync:error=EIO:when=3+5"],
}


def need_strace():
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    probe = subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True)
    if probe.returncode != 0:
        pytest.skip("ptrace is not permitted here")


def attach(api, faults):
    """strace, attached to all threads; its output is what it did."""
    calls = ",".join(fault.partition(":")[0] for fault in faults)
    command = ["strace", "-f", "-p", api.process.pid, "-e", f"trace={calls}"]
    for fault in faults:
        command += ["-e", f"inject={fault}"]
    return Process(command, api.directory / "strace")


@pytest.mark.parametrize("case", CASES)
def test_calls_fail_under_load(programs, database, case):
    need_strace()
    api = programs.collectd(database, {"Durability": "commit", "MaxBytes": "4MiB"})
    api.buffer["SpoolDirectory"] = api.directory / "spool"
    api.start()
    with Load(api) as load:
        load.wait_acknowledged(50)
        strace = attach(api, CASES[case])
        wait_until(
            lambda: strace.log().count("(INJECTED)") >= 20,
            60,
            lambda: f"too few calls have failed:\n{strace.log()[-2000:]}",
        )
        strace.signal(signal.SIGTERM)  # it detaches
        strace.wait()
        load.wait_acknowledged(50)
    # What was refused or not answered may be stored, so the number is not known.
    figures = api.rest()
    stored = load.check(database)
    assert stored >= len(load.acknowledged)
    assert figures.get("events_enqueued_total") == stored
    assert figures.get("events_processed_total") == stored
    assert figures.get("spool_damaged_total") == 0
    assert api.get("/ready").status_code == 200
    api.kill()
    api.start()
    assert api.rest().get("buffer_size") == 0
    assert load.check(database) >= stored
