# SPDX-License-Identifier: MIT
"""A child process whose output goes to a file, and whose listening sockets can
be distinguished from those of other processes."""

import ctypes
import os
import signal
import socket
import subprocess
from pathlib import Path

from .wait import wait_until

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


_given_ports = set()


def free_port():
    """A TCP port of 127.0.0.1 that was free a moment ago, another one at each
    call."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        if port not in _given_ports:
            _given_ports.add(port)
            return port


def _listening_inodes(port):
    """The inodes of the sockets that listen on a TCP port."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            column = line.split()
            is_port = int(column[1].rsplit(":", 1)[1], 16) == port
            if column[3] == "0A" and is_port:
                inodes.add(column[9])
    return inodes


def _prepare():
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # What a full disk is tried with: the call fails then, and no more.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


class Process:
    """Started at once; ended by its process id alone."""

    def __init__(self, command, log, user=None, **keywords):
        self.command = [str(part) for part in command]
        self.log_path = Path(log)
        identity = {}
        if user is not None and os.getuid() == 0:
            identity = {"user": user, "group": user, "extra_groups": []}
        with open(self.log_path, "ab") as output:
            self._popen = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=_prepare,
                **identity,
                **keywords,
            )

    @property
    def pid(self):
        return self._popen.pid

    def status(self):
        """The exit status, negative for a signal; None while it runs."""
        return self._popen.poll()

    def is_running(self):
        return self.status() is None

    def log(self):
        return self.log_path.read_text(errors="replace")

    def signal(self, number):
        if self.is_running():
            os.kill(self.pid, number)

    def wait(self, timeout=30):
        """Waits for its end and returns the exit status."""
        wait_until(
            lambda: not self.is_running(),
            timeout,
            lambda: f"{self.command[0]} does not end; its log:\n{self.log()}",
        )
        return self.status()

    def kill(self):
        self.signal(signal.SIGKILL)
        self._popen.wait()

    def children(self):
        """The process ids of its children."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            if int(stat.rsplit(")", 1)[1].split()[1]) == self.pid:
                found.append(int(entry.name))
        return found

    def listens_on(self, port):
        """Whether it is this process that listens on the TCP port."""
        inodes = _listening_inodes(port)
        if not inodes:
            return False
        directory = Path(f"/proc/{self.pid}/fd")
        try:
            descriptors = list(directory.iterdir())
        except OSError:
            return False
        for descriptor in descriptors:
            try:
                target = os.readlink(descriptor)
            except OSError:
                continue
            if target.startswith("socket:[") and target[8:-1] in inodes:
                return True
        return False


def somebody_listens_on(port):
    return bool(_listening_inodes(port))
