#!/usr/bin/python3
# SPDX-License-Identifier: MIT
#
# fs_power_cut - real power cuts of a spool on real file systems.
#
# An ext4 and an XFS image on a loop device are shut down in the middle of a
# load by their SHUTDOWN ioctl, which drops everything that was not written; then
# they are mounted again, the spool is opened and compared with a journal kept
# elsewhere, and the load continues.
#
# A sync that is in progress while the file system is shut down may report
# success for data that it has dropped (ext4 and XFS of Linux 6 do). A power cut
# cannot do that: nobody receives a reply after it. So the load is killed right
# before the cut, or what it is told after the cut began is disregarded. Also
# tested: a file system that is full, because of the spool itself or of another
# file, and one that becomes read-only after an error. Needs root and loop
# devices; says so if they are missing.
"""Usage: fs_power_cut.py [--rounds N] [--seed N] SPOOL_LOAD"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../integration"))

from harness.filesystem import (  # noqa: E402
    LOG_FLUSH,
    NO_LOG_FLUSH,
    SMALLEST_MB,
    FileSystem,
    Unsupported,
    private_mounts,
)


# In the header of a segment, of four bytes.
LIVES_AT = 56


class Failure(Exception):
    """The spool has not kept its promise."""


class Load:
    """The spool, its journal, and the program that loads and verifies it."""

    def __init__(self, program, file_system, directory, *options):
        self.program = program
        self.options = options
        self.spool = file_system.point / "spool"
        self.journal = os.path.join(directory, "journal")

    def start(self, *options):
        return subprocess.Popen(
            [self.program, *self.options, *options, "run", self.spool, self.journal],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def verify(self):
        result = subprocess.run(
            [self.program, *self.options, "verify", self.spool, self.journal],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
        )
        if result.returncode != 0:
            raise Failure(result.stderr.strip())
        return result.stdout.strip()

    def wait_for(self, process, acknowledged):
        """Until the journal holds so many more answers."""
        goal = self.count("K") + acknowledged
        deadline = time.monotonic() + 120
        while self.count("K") < goal:
            if process.poll() is not None:
                raise Failure(process.stderr.read().strip() or "the load has ended")
            if time.monotonic() > deadline:
                raise Failure("the load acknowledges nothing")
            time.sleep(0.005)

    def written_again(self):
        """Segments in files that have been others before: their headers say so."""
        found = 0
        for path in self.spool.glob("*.segment"):
            header = path.read_bytes()[:LIVES_AT + 4]
            found += header[LIVES_AT:] not in (b"", bytes(4))
        return found

    def count(self, what):
        try:
            with open(self.journal, encoding="ascii") as file:
                return sum(line.startswith(what) for line in file)
        except FileNotFoundError:
            return 0


def end(process):
    """Also when it has ended."""
    process.kill()
    process.wait()
    process.stdout.close()
    process.stderr.close()


def cut_a_dead_load(load, process, file_system, how):
    """No thread of it runs once it has been killed, whatever its calls do."""
    del load
    process.kill()
    file_system.cut(how)


def cut_a_running_load(load, process, file_system, how):
    """It must notice; its last answers do not count, as they came too late."""
    before = os.path.getsize(load.journal)
    file_system.cut(how)
    after = os.path.getsize(load.journal)
    time.sleep(random.uniform(0, 0.05))
    end(process)
    with open(load.journal, "r+b") as file:
        data = file.read()
        late = {line.split()[1] for line in data[after:].splitlines() if line[:1] == b"A"}
        kept = []
        for line in data[before:].splitlines(keepends=True):
            if line[:1] == b"A":
                kept.append(line)
            elif line[:1] == b"K" and line.split()[1] in late:
                raise Failure("an append after the cut was acknowledged")
        file.truncate(before)
        file.seek(before)
        file.write(b"".join(kept))


def power_cuts(program, kind, directory, rounds):
    file_system = FileSystem(kind, directory, max(64, SMALLEST_MB[kind]))
    try:
        # Small ones: files are written again and again.
        load = Load(program, file_system, directory, "--segment-bytes", "16384")
        again = 0
        for number in range(rounds):
            cut = random.choice((cut_a_dead_load, cut_a_dead_load, cut_a_running_load))
            hold = "1000000000" if cut is cut_a_running_load else "0"
            process = load.start("--seed", str(number + 1), "--hold", hold)
            try:
                load.wait_for(process, random.choice((1, 10, 100)))
                time.sleep(random.uniform(0, 0.05))
                how = random.choice((LOG_FLUSH, NO_LOG_FLUSH, NO_LOG_FLUSH))
                cut(load, process, file_system, how)
            finally:
                end(process)
            file_system.power_up()
            again += load.written_again()
            result = load.verify()
        if again == 0:
            raise Failure("no segment was in a file that had been another before")
        file_system.unmount()
        file_system.check()
        file_system.mount()
        return f"{rounds} power cuts, {again} segments written again, {result}"
    finally:
        file_system.close()


def full_by_itself(program, kind, directory, _rounds):
    """Nothing is stored until the disk is full; then storing makes room."""
    file_system = FileSystem(kind, directory, SMALLEST_MB[kind])
    try:
        if kind == "xfs":  # it cannot be made smaller
            file_system.fill(left=12 << 20)
        load = Load(program, file_system, directory)
        process = load.start(
            "--segment-bytes", str(1 << 20), "--hold", "50", "--threads", "32"
        )
        wait_for_refusals(load, process)
        load.wait_for(process, 3000)
        end(process)
        return load.verify()
    finally:
        file_system.close()


def wait_for_refusals(load, process):
    """The program counts them; the journal shows it by the first batch."""
    deadline = time.monotonic() + 120
    while load.count("S") == 0:
        if process.poll() is not None:
            raise Failure(process.stderr.read().strip() or "the load has ended")
        if time.monotonic() > deadline:
            raise Failure("the disk does not get full")
        time.sleep(0.01)


def full_by_others(program, kind, directory, _rounds):
    """Another file takes all the room and goes away; a start in between."""
    file_system = FileSystem(kind, directory, max(32, SMALLEST_MB[kind]))
    try:
        load = Load(program, file_system, directory)
        process = load.start("--segment-bytes", str(1 << 18), "--hold", "1000000")
        load.wait_for(process, 100)
        other = file_system.fill()
        time.sleep(0.3)
        end(process)
        load.verify()  # it opens, and all is there
        process = load.start("--segment-bytes", str(1 << 18), "--hold", "1000000")
        time.sleep(0.3)
        os.unlink(other)
        load.wait_for(process, 100)
        end(process)
        return load.verify()
    finally:
        file_system.close()


def read_only(program, kind, directory, _rounds):
    """An error makes the file system read-only under the load."""
    if kind != "ext4":
        raise Unsupported("an error shuts it down: the same as a power cut")
    file_system = FileSystem(kind, directory, 64, "errors=remount-ro")
    try:
        trigger = f"/sys/fs/ext4/{os.path.basename(file_system.device)}/trigger_fs_error"
        load = Load(program, file_system, directory)
        process = load.start()
        load.wait_for(process, 200)
        try:
            with open(trigger, "w", encoding="ascii") as file:
                file.write("1")
        except OSError as error:
            end(process)
            raise Unsupported(f"no {trigger}: {error}") from error
        time.sleep(0.2)
        before = load.count("K")
        time.sleep(0.2)
        after = load.count("K")
        end(process)
        if after != before:
            raise Failure("appends are acknowledged on a read-only file system")
        file_system.unmount()
        subprocess.run(["e2fsck", "-f", "-y", file_system.device], capture_output=True)
        file_system.mount()
        return load.verify()
    finally:
        file_system.close()


CASES = (power_cuts, full_by_itself, full_by_others, read_only)


def run_case(case, kind, arguments):
    with tempfile.TemporaryDirectory(prefix="aurore-fs-") as directory:
        name = f"{case.__name__} {kind}"
        try:
            result = case(arguments.program, kind, directory, arguments.rounds)
        except Unsupported as reason:
            print(f"{name}: skipped: {reason}")
            return True
        except (Failure, AssertionError) as failure:
            print(f"{name}: FAILED: {failure}")
            return False
        print(f"{name}: {result}", flush=True)
        return True


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("program", metavar="SPOOL_LOAD")
    arguments = parser.parse_args()
    random.seed(arguments.seed)
    if os.geteuid() != 0:
        print("fs_power_cut: skipped: mounting a file system needs root")
        return 0
    private_mounts()
    results = [run_case(case, kind, arguments) for case in CASES for kind in ("ext4", "xfs")]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
