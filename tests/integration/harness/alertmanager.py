# SPDX-License-Identifier: MIT
"""A private Alertmanager with the project's configuration, and the webhook it
calls."""

import itertools
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import requests

from . import build
from .process import Process, free_port
from .wait import wait_until

PROGRAM = "/usr/bin/prometheus-alertmanager"
CONFIG = build.TOP / "prometheus/alertmanager.yml"
RECEIVERS = "127.0.0.1:9095"


class Webhook:
    """Remembers what it is told: (path, status, labels, annotations)."""

    def __init__(self):
        self.told = []
        told = self.told

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                length = int(self.headers["Content-Length"])
                for alert in json.loads(self.rfile.read(length))["alerts"]:
                    told.append(
                        (
                            self.path,
                            alert["status"],
                            alert["labels"],
                            alert["annotations"],
                        )
                    )
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self._thread = threading.Thread(
            target=self._server.serve_forever, daemon=True
        )
        self._thread.start()

    def names(self, status="firing", path=None, since=0):
        """The names of the alerts it was told of, in order."""
        return [
            labels["alertname"]
            for told_path, told_status, labels, _ in self.told[since:]
            if told_status == status and path in (None, told_path)
        ]

    def wait(self, name, status="firing", since=0, timeout=60):
        """Until it is told of the alert; returns (path, status, labels,
        annotations)."""

        def found():
            for entry in self.told[since:]:
                if entry[1] == status and entry[2]["alertname"] == name:
                    return entry
            return None

        return wait_until(
            found,
            timeout,
            lambda: f"{name} was not told as {status}, only "
            f"{[(entry[2]['alertname'], entry[1]) for entry in self.told[since:]]}",
        )

    def stop(self):
        self._server.shutdown()
        self._server.server_close()


class Alertmanager:
    """Calls a webhook, in a hurry."""

    _numbers = itertools.count(1)

    def __init__(self, base):
        self.directory = Path(base) / f"alertmanager{next(self._numbers)}"
        self.directory.mkdir()
        self.webhook = Webhook()
        self.port = None
        self.process = None
        self._write_config()

    def _write_config(self):
        text = CONFIG.read_text()
        assert RECEIVERS in text
        text = text.replace(RECEIVERS, f"127.0.0.1:{self.webhook.port}")
        for name, wait in (("group_wait", "2s"), ("group_interval", "1s")):
            text, count = re.subn(rf"\b{name}: \S+", f"{name}: {wait}", text)
            assert count == 1
        self.config_path = self.directory / "alertmanager.yml"
        self.config_path.write_text(text)

    def start(self):
        for _ in range(3):
            self.port = free_port()
            self.process = Process(
                [
                    PROGRAM,
                    f"--config.file={self.config_path}",
                    f"--storage.path={self.directory}/data",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                    "--cluster.listen-address=",
                ],
                self.directory / "log",
                cwd=self.directory,
            )
            wait_until(
                lambda: self._is_ready() or not self.process.is_running(),
                30,
                lambda: f"Alertmanager is not ready:\n{self.process.log()}",
            )
            if self.process.is_running():
                return self
        raise AssertionError(f"it does not start:\n{self.process.log()}")

    def _is_ready(self):
        if not self.process.listens_on(self.port):
            return False
        try:
            url = f"http://127.0.0.1:{self.port}/-/ready"
            return requests.get(url, timeout=10).status_code == 200
        except requests.RequestException:
            return False

    def alerts(self):
        """The labels of what fires, also of what is kept quiet."""
        url = f"http://127.0.0.1:{self.port}/api/v2/alerts"
        return [alert["labels"] for alert in requests.get(url, timeout=30).json()]

    def stop(self):
        if self.process is not None:
            self.process.kill()
        self.webhook.stop()
