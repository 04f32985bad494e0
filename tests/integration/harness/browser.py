# SPDX-License-Identifier: MIT
"""Headless Chromium, if the machine has it, with a page that runs its scripts
until the browser is ended."""

import base64
import contextlib
import itertools
import json
import os
import select
import shutil
import subprocess
import time

from .process import Process

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser")
ABSENT = "no browser: the package chromium is not installed"

_numbers = itertools.count(1)


def command(profile, *arguments):
    return [
        PROGRAM,
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--no-first-run",
        f"--user-data-dir={profile}",
        *arguments,
    ]


def browse(directory, url, *flags):
    """The browser, a Process, with a profile of its own in the directory."""
    profile = directory / f"chromium{next(_numbers)}"
    return Process(command(profile, *flags, url), directory / f"{profile.name}.log")


class Page:
    """A page in a browser of its own, steered through two pipes by the protocol of
    the developers' tools: any width, and pictures as long as the page."""

    def __init__(self, directory, width=1200, dark=False):
        profile = directory / f"chromium{next(_numbers)}"
        read_here, write_there = os.pipe()
        read_there, write_here = os.pipe()
        with open(f"{profile}.log", "ab") as output:
            self._process = subprocess.Popen(
                # The browser reads from 3, and writes to 4.
                ["bash", "-c", f'exec "$@" 3<&{read_there} 4>&{write_there}', "bash"]
                + command(profile, "--remote-debugging-pipe", "--hide-scrollbars"),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(read_there, write_there),
            )
        os.close(read_there)
        os.close(write_there)
        self._read, self._write = read_here, write_here
        self._received = b""
        self._session = {}
        self._count = itertools.count(1)
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        session = self.ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": session["sessionId"]}
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=900, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])

    def ask(self, method, **parameters):
        """One command, and its result; events are left aside."""
        number = next(self._count)
        asked = {"id": number, "method": method, "params": parameters, **self._session}
        os.write(self._write, json.dumps(asked).encode() + b"\0")
        until = time.monotonic() + 60
        while True:
            message = self._message(until)
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]

    def _message(self, until):
        while b"\0" not in self._received:
            left = max(0, until - time.monotonic())
            assert select.select([self._read], [], [], left)[0], "the browser hangs"
            part = os.read(self._read, 1 << 20)
            assert part, "the browser has ended"
            self._received += part
        text, _, self._received = self._received.partition(b"\0")
        return json.loads(text)

    def value(self, script):
        answer = self.ask(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def open(self, url, ready):
        """Waits until the script "ready" says true."""
        self.ask("Page.navigate", url=url)
        until = time.monotonic() + 60
        while not self.value(ready):
            assert time.monotonic() < until, "the page is never ready"
            select.select([], [], [], 0.1)

    def picture(self, path):
        """All of the page, however long."""
        size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
        shot = self.ask(
            "Page.captureScreenshot",
            captureBeyondViewport=True,
            clip={"x": 0, "y": 0, "scale": 1}
            | {name: size[name] for name in ("width", "height")},
        )
        path.write_bytes(base64.b64decode(shot["data"]))

    def close(self):
        with contextlib.suppress(OSError):
            os.close(self._write)  # which it ends at
            os.close(self._read)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
