# SPDX-License-Identifier: MIT
"""haproxy and nginx in front of a collectd, configured by what
docs/security.md says."""

import itertools
import re
import shutil
from pathlib import Path

import requests

from . import build
from .process import Process, free_port, somebody_listens_on
from .wait import wait_until

DOCUMENT = build.TOP / "docs/security.md"
# Where the document has the server, and the balancer itself.
SERVER = "127.0.0.1:3000"
FRONT = "127.0.0.1:8443"
NAMES = ("haproxy", "nginx")


def block(language):
    """The one fenced block of the document in this language."""
    found = re.findall(rf"^```{language}\n(.*?)^```", DOCUMENT.read_text(), re.M | re.S)
    assert len(found) == 1, f"{len(found)} blocks of {language} in {DOCUMENT}"
    return found[0]


def _replaced(text, before, after):
    assert text.count(before) == 1, f'"{before}" is not there once'
    return text.replace(before, after)


class Front:
    _numbers = itertools.count(1)

    def __init__(self, name, base, port):
        """In front of the server at the port; running."""
        self.directory = Path(base) / f"{name}{next(self._numbers)}"
        self.directory.mkdir()
        self.directory.chmod(0o755)
        self.port = free_port()
        text = _replaced(block(name), SERVER, f"127.0.0.1:{port}")
        text = _replaced(text, FRONT, f"127.0.0.1:{self.port}")
        config = self.directory / f"{name}.conf"
        if name == "haproxy":
            config.write_text(text)
            command = ["haproxy", "-db", "-f", config]
        else:
            config.write_text(self._around(text))
            command = ["nginx", "-p", self.directory, "-c", config]
        program = shutil.which(str(command[0]), path="/usr/sbin:/usr/bin")
        assert program, f"{name} is not installed"
        self.process = Process([program, *command[1:]], self.directory / "log")
        # haproxy sends nothing on before it knows that the server is ready.
        wait_until(self._is_ready, 30, lambda: f"{name}:\n{self.process.log()}")

    def _around(self, text):
        """What Debian's nginx.conf has, for a directory of its own."""
        places = "".join(
            f"{kind}_temp_path {self.directory}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        return f"""\
daemon off;
master_process off;
pid {self.directory}/pid;
error_log stderr;
events {{}}
http {{
access_log off;
{places}
{text}
}}
"""

    def _is_ready(self):
        assert self.process.is_running(), self.process.log()
        if not somebody_listens_on(self.port):
            return False
        return requests.get(self.url("/ready"), timeout=30).status_code == 200

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"

    def stop(self):
        self.process.kill()
