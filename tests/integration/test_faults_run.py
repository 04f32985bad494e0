# SPDX-License-Identifier: MIT
"""tests/faults/run itself: whatever ends it, it says how far it has come, and
leaves nothing behind."""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from harness import build
from harness.wait import wait_until
from system import world
from system.loop import Loop

RUN = build.TOP / "tests/faults/run"
SUMMARY = re.compile(
    r"seed \d+; \d+ rounds, \d+ faults, \d+ skipped; events: \d+ sent, "
    r"\d+ acknowledged, \d+ retried, \d+ refused, \d+ unanswered, \d+ stored, "
    r"\d+ dead letters, \d+ duplicates; lost 0, twice 0; (\d+) violations; "
    r"exit status (\d+)"
)


class Run:
    """It has a directory for its own."""

    def __init__(self, base, *options, **environment):
        self.directory = Path(tempfile.mkdtemp(prefix="run.", dir=base))
        self.directory.chmod(0o711)
        self._output = self.directory / "output"
        environment.setdefault(
            "AURORE_BUILD_DIR", str(build.plugin_directory().parent)
        )
        with open(self._output, "wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, RUN, *options],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "TMPDIR": str(self.directory), **environment},
                start_new_session=True,
            )

    def output(self):
        return self._output.read_text()

    def wait_output(self, text):
        wait_until(
            lambda: text in self.output() or self.process.poll() is not None,
            120,
            lambda: f"{text!r} is not there:\n{self.output()}",
        )

    def mounts(self, process="self"):
        """Those below its directory that the process sees."""
        text = Path(f"/proc/{process}/mountinfo").read_text()
        return [line for line in text.splitlines() if str(self.directory) in line]

    def loops(self):
        """The files of its directory that loop devices show."""
        found = []
        for entry in Path("/sys/block").glob("loop*/loop/backing_file"):
            try:
                text = entry.read_text()
            except OSError:
                continue  # it has just gone
            if str(self.directory) in text:
                found.append(text)
        return found

    def programs(self):
        """The process ids of all that it has started."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                command = (entry / "cmdline").read_bytes()
                state = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0]
            except (OSError, IndexError):
                continue
            if os.fsencode(self.directory) in command and state != "Z":
                found.append(int(entry.name))
        return found

    def left(self):
        return self.mounts() + self.loops() + self.programs()

    def summary(self):
        """(violations, exit status) of the last line."""
        last = self.output().splitlines()[-1]
        found = SUMMARY.fullmatch(last)
        assert found, self.output()
        return int(found[1]), int(found[2])

    def is_gone(self):
        wait_until(lambda: not self.left(), 60, lambda: f"there is {self.left()}")

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        try:
            self.is_gone()
        finally:
            for line in self.mounts():
                subprocess.run(["umount", line.split()[4]], check=False)
        shutil.rmtree(self.directory)


@pytest.fixture
def start(base):
    runs = []

    def make(*options, **environment):
        runs.append(Run(base, *options, **environment))
        return runs[-1]

    yield make
    for one in runs:
        one.close()


@pytest.mark.slow
def test_one_that_is_killed_leaves_no_mount(start):
    """Nor did anybody else see one meanwhile."""
    run = start("--only", "cut_power_of_postgres", "--minutes", "9")
    run.wait_output(": cut_power_of_postgres")
    if "skipped: cut_power" in run.output() or run.process.poll() is not None:
        assert "skipped: cut_power" in run.output(), run.output()
        pytest.skip("this machine mounts no loop devices")
    assert len(run.mounts(run.process.pid)) == 3
    assert len(run.loops()) == 3
    assert run.programs()
    assert run.mounts() == []
    run.process.kill()
    run.process.wait()
    run.is_gone()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_that_is_ended_sums_up(start, number):
    run = start("--only", "kill_collectd", "--minutes", "9", "--seed", "5")
    run.wait_output("2: kill_collectd")
    run.process.send_signal(number)
    assert run.process.wait(120) == 128 + number, run.output()
    assert run.summary() == (0, 128 + number)
    assert "were not judged" in run.output()
    assert re.search(r"^faults: kill_collectd", run.output(), re.M)
    run.is_gone()
    assert list(run.directory.iterdir()) == [run.directory / "output"]


def test_one_that_cannot_run_sums_up(start):
    run = start(AURORE_BUILD_DIR="/nonexistent")
    assert run.process.wait(60) == 2
    assert run.summary() == (0, 2)
    assert "no built plugins were found" in run.output()


@pytest.mark.slow
def test_a_promise_that_is_broken(base, monkeypatch):
    """A row of the database is not there: the loop says so, and sums up."""
    read = world.read_stored
    monkeypatch.setattr(world, "read_stored", lambda *given: read(*given)[1:])
    directory = Path(tempfile.mkdtemp(prefix="broken.", dir=base))
    directory.chmod(0o711)
    options = argparse.Namespace(
        seed=1,
        only="fast_restart",
        minutes=None,
        long=False,
        backlog=False,
        pause=0.02,
        keep=False,
    )
    loop = Loop(directory, options)
    assert not loop.run()
    assert len(loop.violations) == 1
    assert "1 lost" in loop.violations[0]
    last = loop.summary(1).splitlines()[-1]
    assert "lost 1, twice 0; 1 violations; exit status 1" in last
