#!/usr/bin/python3
# SPDX-License-Identifier: MIT
#
# fs_power_cut - real power cuts of a spool on real file systems.
#
# An ext4 and an XFS image on a loop device are shut down in the middle of a
# load by their SHUTDOWN ioctl, which drops all that was not written; then they
# are mounted again, the spool is opened and compared with a journal kept
# elsewhere, and the load goes on.
#
# A sync that is under way while the file system is shut down may say success
# for data that it has dropped (ext4 and XFS of Linux 6 do). A power cut cannot
# do that: nobody hears an answer after it. So the load is killed right before
# the cut, or what it hears after the cut began is not believed. Also: a file system that is full, because of
# the spool itself or of another file, and one that becomes read-only by an
# error. Needs root and loop devices; says so when it has not.
"""Usage: fs_power_cut.py [--rounds N] [--seed N] SPOOL_LOAD"""

import argparse
import fcntl
import os
import random
import struct
import subprocess
import sys
import tempfile
import time

SHUTDOWN = 0x8004587D  # EXT4_IOC_SHUTDOWN, XFS_IOC_GOINGDOWN: _IOR('X', 125, u32)
LOG_FLUSH, NO_LOG_FLUSH = 1, 2


class Unsupported(Exception):
    """This machine cannot do it."""


class Failure(Exception):
    """The spool has not kept its promise."""


def run(*command):
    return subprocess.run(
        command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ).stdout.strip()


class FileSystem:
    """A file system in an image on a loop device."""

    MAKE = {
        "ext4": ["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0"],
        "xfs": ["mkfs.xfs", "-q", "-f"],
    }

    def __init__(self, kind, directory, megabytes, options=""):
        self.kind = kind
        self.options = options
        self.point = os.path.join(directory, "mount")
        image = os.path.join(directory, "image")
        self.device = None
        os.makedirs(self.point)
        with open(image, "wb") as file:
            file.truncate(megabytes << 20)
        try:
            run(*self.MAKE[kind], image)
            self.device = run("losetup", "--find", "--show", image)
            self.mount()
        except (OSError, subprocess.CalledProcessError) as error:
            self.close()
            output = getattr(error, "output", None) or error
            raise Unsupported(f"no {kind} on a loop device: {output}") from error

    def mount(self):
        command = ["mount", "-t", self.kind]
        if self.options:
            command += ["-o", self.options]
        run(*command, self.device, self.point)

    def unmount(self):
        for _ in range(100):  # a killed process may not be quite gone
            result = subprocess.run(["umount", self.point], capture_output=True)
            if result.returncode == 0 or not os.path.ismount(self.point):
                return
            time.sleep(0.05)
        raise Failure(f"could not unmount {self.point}: {result.stderr.decode()}")

    def cut(self, how):
        fd = os.open(self.point, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(fd, SHUTDOWN, struct.pack("I", how))
        except OSError as error:
            raise Unsupported(f"{self.kind} has no SHUTDOWN here: {error}") from error
        finally:
            os.close(fd)

    def check(self):
        command = {"ext4": ["e2fsck", "-f", "-n"], "xfs": ["xfs_repair", "-n"]}
        run(*command[self.kind], self.device)

    def close(self):
        if os.path.ismount(self.point):
            self.unmount()
        if self.device is not None:
            run("losetup", "--detach", self.device)
            self.device = None


class Load:
    """The spool, its journal, and the program that loads and verifies it."""

    def __init__(self, program, file_system, directory):
        self.program = program
        self.spool = os.path.join(file_system.point, "spool")
        self.journal = os.path.join(directory, "journal")

    def start(self, *options):
        return subprocess.Popen(
            [self.program, *options, "run", self.spool, self.journal],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def verify(self):
        result = subprocess.run(
            [self.program, "verify", self.spool, self.journal],
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
    file_system = FileSystem(kind, directory, 300 if kind == "xfs" else 64)
    try:
        load = Load(program, file_system, directory)
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
            file_system.unmount()
            file_system.mount()
            result = load.verify()
        file_system.unmount()
        file_system.check()
        file_system.mount()
        return f"{rounds} power cuts, {result}"
    finally:
        file_system.close()


def fill(path):
    """Takes all the room that is left."""
    with open(path, "wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                pass


def full_by_itself(program, kind, directory, _rounds):
    """Nothing is stored until the disk is full; then storing makes room."""
    file_system = FileSystem(kind, directory, 300 if kind == "xfs" else 16)
    try:
        if kind == "xfs":  # it cannot be made smaller
            fill_to(os.path.join(file_system.point, "other"), 12 << 20)
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


def fill_to(path, left):
    """Leaves so many bytes."""
    room = os.statvfs(os.path.dirname(path))
    size = room.f_bavail * room.f_bsize - left
    with open(path, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)


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
    file_system = FileSystem(kind, directory, 300 if kind == "xfs" else 32)
    other = os.path.join(file_system.point, "other")
    try:
        load = Load(program, file_system, directory)
        process = load.start("--segment-bytes", str(1 << 18), "--hold", "1000000")
        load.wait_for(process, 100)
        fill(other)
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
        except Failure as failure:
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
    results = [run_case(case, kind, arguments) for case in CASES for kind in ("ext4", "xfs")]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
