# SPDX-License-Identifier: MIT
"""A small file system in an image on a loop device, whose power can be cut and
whose free space can be taken away. Needs root, loop devices and the right to
mount."""

import ctypes
import fcntl
import os
import struct
import subprocess
import time
from pathlib import Path

# EXT4_IOC_SHUTDOWN, XFS_IOC_GOINGDOWN: _IOR('X', 125, u32). All that was not
# written to the device is dropped, as by a power cut.
_SHUTDOWN = 0x8004587D
LOG_FLUSH, NO_LOG_FLUSH = 1, 2

# The smallest image that its mkfs takes.
SMALLEST_MB = {"ext4": 16, "xfs": 300}

_MAKE = {
    "ext4": ["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0"],
    "xfs": ["mkfs.xfs", "-q", "-f"],
}
_CLONE_NEWNS, _MS_REC, _MS_PRIVATE = 0x20000, 0x4000, 0x40000
_CHECK = {"ext4": ["e2fsck", "-f", "-n"], "xfs": ["xfs_repair", "-n"]}


class Unsupported(Exception):
    """This machine cannot do it."""


def run(*command):
    return subprocess.run(
        [str(part) for part in command],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ).stdout.strip()


def private_mounts():
    """From now on nobody but this process and its children sees what it mounts,
    and no copy of the mounts that somebody else has keeps a file system whose
    power was cut: they are gone with the last of these processes, however it
    ends. For a process of one thread; without root it does nothing, since then
    nothing is mounted."""
    if os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS) != 0 or libc.mount(
        None, b"/", None, ctypes.c_ulong(_MS_REC | _MS_PRIVATE), None
    ):
        error = os.strerror(ctypes.get_errno())
        print(f"mounts are not private: {error}", flush=True)


class FileSystem:
    """Mounted at "point" until close. "kind" is ext4 or xfs. The loop device goes
    with the last of its users: this process, or the mount."""

    def __init__(self, kind, directory, megabytes, options=""):
        self.kind = kind
        self.options = options
        self.directory = Path(directory)
        self.directory.mkdir(exist_ok=True)
        self.point = self.directory / "mount"
        self.point.mkdir()
        self.device = None
        self._held = None  # a descriptor of the device
        image = self.directory / "image"
        if os.geteuid() != 0:
            raise Unsupported("mounting a file system needs root")
        with open(image, "wb") as file:
            file.truncate(megabytes << 20)
        try:
            run(*_MAKE[kind], image)
            self.device = run("losetup", "--find", "--show", image)
            self._held = os.open(self.device, os.O_RDONLY | os.O_CLOEXEC)
            # As soon as nobody has it open any more.
            run("losetup", "--detach", self.device)
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
        """A killed process may not be quite gone: tries for a while."""
        for _ in range(200):
            result = subprocess.run(["umount", self.point], capture_output=True)
            if result.returncode == 0 or not os.path.ismount(self.point):
                return
            time.sleep(0.05)
        raise AssertionError(
            f"could not unmount {self.point}: {result.stderr.decode()}"
        )

    def cut(self, how=NO_LOG_FLUSH):
        """The power goes. A sync that is under way may then say success for what
        it has dropped, which a power cut cannot do: nobody hears an answer
        after it. So whoever writes is killed before, or not believed after."""
        fd = os.open(self.point, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(fd, _SHUTDOWN, struct.pack("I", how))
        except OSError as error:
            raise Unsupported(f"{self.kind} has no SHUTDOWN here: {error}") from error
        finally:
            os.close(fd)

    def power_up(self):
        """After a cut: mounted again, its journal played back."""
        self.unmount()
        self.mount()

    def sync(self):
        run("sync", "-f", self.point)

    def check(self):
        """While it is not mounted: its own program finds no fault."""
        run(*_CHECK[self.kind], self.device)

    # --- its room ---

    def fill(self, name="other", left=0):
        """A file takes all the room but so many bytes."""
        path = self.point / name
        room = os.statvfs(self.point)
        size = room.f_bavail * room.f_bsize - left
        with open(path, "wb", buffering=0) as file:
            if size > 0:
                try:
                    os.posix_fallocate(file.fileno(), 0, size)
                except OSError:
                    pass  # it has taken what there was, or too little
            file.seek(0, os.SEEK_END)
            for part in (1 << 20, 1 << 12) if left == 0 else ():
                try:
                    while True:
                        file.write(b"x" * part)
                except OSError:
                    pass
        return path

    def close(self):
        if os.path.ismount(self.point):
            self.unmount()
        if self._held is not None:
            os.close(self._held)
            self._held = None
