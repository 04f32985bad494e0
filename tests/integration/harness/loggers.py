# SPDX-License-Identifier: MIT
"""Debian's rsyslog and syslog-ng. A machine has only one of them, and that is not
ours to choose: both run from where ./check has unpacked them, each with a socket
in a directory of its own."""

import os
import socket
import tempfile
from pathlib import Path

from . import build
from .process import Process
from .wait import wait_until

_GIVEN = os.environ.get("AURORE_UNPACKED")
UNPACKED = Path(_GIVEN) if _GIVEN else build.TOP / "var/check/unpacked"
ABSENT = f"the packages of loggers are not unpacked in {UNPACKED}: see scripts/debian.sh"


class _Logger:
    """Running; "log" takes what a program would say to syslog."""

    def __init__(self, base, text):
        # The name of a socket is short.
        self.directory = Path(tempfile.mkdtemp(prefix="logger", dir=base))
        self.socket = self.directory / "log"
        self.config = self.directory / "conf"
        self.config.write_text(text.replace("DIRECTORY", str(self.directory)))
        self._client = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.process = None

    def start(self):
        self.process = Process(
            self.command(), self.directory / "output", env=self.environment()
        )
        wait_until(
            self._listens, 30, lambda: f"does not listen:\n{self.process.log()}"
        )
        return self

    def _listens(self):
        assert self.process.is_running(), self.process.log()
        try:
            self._client.connect(str(self.socket))
        except OSError:
            return False
        return True

    def log(self, program, text):
        """Facility local0, severity info."""
        self._client.send(f"<134>{program}: {text}".encode())

    def stop(self):
        if self.process is not None:
            self.process.kill()
        self._client.close()


class Rsyslog(_Logger):
    PROGRAM = UNPACKED / "usr/sbin/rsyslogd"
    MODULES = UNPACKED / "usr/lib/x86_64-linux-gnu/rsyslog"
    AROUND = """\
global(workDirectory="DIRECTORY")
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket="DIRECTORY/log" CreatePath="on")
"""

    def __init__(self, base, text):
        super().__init__(base, self.AROUND + text)

    def command(self):
        flags = ["-n", "-iNONE", "-M", self.MODULES, "-f", self.config]
        return [self.PROGRAM, *flags]

    def environment(self):
        # aurorectl is what may have been built with a sanitizer.
        mine = build.sanitizer_environment(self.directory)
        mine.pop("LD_PRELOAD", None)
        return {**os.environ, **mine}


class SyslogNg(_Logger):
    PROGRAM = UNPACKED / "usr/sbin/syslog-ng"
    LIBRARIES = UNPACKED / "usr/lib/syslog-ng"
    AROUND = """\
@version: 3.38
source s_programs { unix-dgram("DIRECTORY/log"); };
log { source(s_programs); destination(d_aurore); };
"""

    def __init__(self, base, text):
        super().__init__(base, self.AROUND + text)

    def command(self):
        files = {"-f": "conf", "-R": "persist", "-p": "pid", "-c": "control"}
        flags = ["-F", "--no-caps", f"--module-path={self.LIBRARIES / '3.38'}"]
        for flag, name in files.items():
            flags += [flag, self.directory / name]
        return [self.PROGRAM, *flags]

    def environment(self):
        return {**os.environ, "LD_LIBRARY_PATH": str(self.LIBRARIES)}
