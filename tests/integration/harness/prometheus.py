# SPDX-License-Identifier: MIT
"""A private Prometheus with the project's configuration."""

import itertools
import re
import shutil
from pathlib import Path

import requests

from . import build
from .process import Process, free_port
from .wait import wait_until

# Of another release, when that comes first: see tests/watch/other-prometheus.
PROGRAM = shutil.which("prometheus") or "/usr/bin/prometheus"
CONFIG = build.TOP / "prometheus/prometheus.yml"
RULES = build.TOP / "prometheus/rules"
TARGET = "127.0.0.1:9103"
ITSELF = "127.0.0.1:9090"
ALERTMANAGER = "127.0.0.1:9093"


def hurried(text):
    """Rules in which a minute takes a second: every "for", interval, offset, window
    and prediction, but for windows that would hold a single scrape. The age of a
    value is some seconds here, too, so ages are a sixth."""

    def shorter(match):
        number, unit = match.groups()
        return {"s": "1s", "m": f"{number}s", "h": f"{number}m", "d": f"{number}h"}[unit]

    def in_place(match):
        text = re.sub(r"(\d+)([smhd])\b", shorter, match.group())
        return re.sub(r"^\[[12]s", "[3s", text)

    def nearer(match):
        ahead, seconds = match.groups()
        return f"{ahead} * {int(seconds) // 60})"

    def younger(match):
        return f"{match.group(1)}{int(match.group(2)) // 6}"

    text = re.sub(r"(time\(\) - [\w:]+ [<>] )(\d+)", younger, text)
    text = re.sub(r"(predict_linear\(.*, \d+) \* (60|3600)\)", nearer, text)
    places = r"\[[0-9smhd:]+\]|\b(?:for|keep_firing_for|interval|offset):? [0-9smhd]+"
    return re.sub(places, in_place, text)


class Prometheus:
    """Scrapes collectds once a second, with the project's configuration or the text
    of another one. With an Alertmanager it has the rules, too, in a hurry, or with
    "rules". "features" are those that it must be asked for (--enable-feature)."""

    _numbers = itertools.count(1)

    def __init__(
        self, base, collectds, alertmanager=None, text=None, rules=False, features=()
    ):
        self.directory = Path(base) / f"prometheus{next(self._numbers)}"
        self.directory.mkdir()
        self.port = None
        self.process = None
        self.collectds = collectds
        self.alertmanager = alertmanager
        self.text = text or CONFIG.read_text()
        self.features = [f"--enable-feature={name}" for name in features]
        self.config_path = self.directory / "prometheus.yml"
        if rules or alertmanager is not None:
            self._write_rules()

    def _write_rules(self):
        place = self.directory / "rules"
        place.mkdir()
        for path in RULES.glob("*.yml"):
            (place / path.name).write_text(hurried(path.read_text()))

    def _write_config(self):
        text = self.text
        assert f'"{TARGET}"' in text and ITSELF in text and ALERTMANAGER in text
        ports = [collectd.metrics_port for collectd in self.collectds]
        targets = ", ".join(f'"127.0.0.1:{port}"' for port in ports)
        text = text.replace(f'"{TARGET}"', targets)
        text = text.replace(ITSELF, f"127.0.0.1:{self.port}")
        if self.alertmanager is None:
            text = re.sub(r"(?ms)^alerting:.*?^$", "", text)
            text = re.sub(r"(?ms)^  - job_name: alertmanager.*?^$", "", text)
        else:
            theirs = f"127.0.0.1:{self.alertmanager.port}"
            text = text.replace(ALERTMANAGER, theirs)
        for name in ("scrape_interval", "scrape_timeout", "evaluation_interval"):
            text = re.sub(rf"\b{name}: \S+", f"{name}: 1s", text)
        self.config_path.write_text(text)

    def start(self):
        for _ in range(3):
            self.port = free_port()
            self._write_config()
            self.process = Process(
                [
                    PROGRAM,
                    f"--config.file={self.config_path}",
                    f"--storage.tsdb.path={self.directory}/data",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                    *self.features,
                ],
                self.directory / "log",
                cwd=self.directory,
            )
            wait_until(
                lambda: self._is_ready() or not self.process.is_running(),
                30,
                lambda: f"Prometheus is not ready:\n{self.process.log()}",
            )
            if self.process.is_running():
                return self
            assert "address already in use" in self.process.log(), (
                self.process.log()
            )
        raise AssertionError("no port stayed free for long enough")

    def _is_ready(self):
        if not self.process.listens_on(self.port):
            return False
        try:
            return self._get("/-/ready").status_code == 200
        except requests.RequestException:
            return False

    def _get(self, path, **parameters):
        return requests.get(
            f"http://127.0.0.1:{self.port}{path}", params=parameters, timeout=30
        )

    def query(self, expression):
        """An instant query: a list of (labels, value)."""
        answer = self._get("/api/v1/query", query=expression).json()
        assert answer["status"] == "success", (expression, answer)
        return [
            (result["metric"], float(result["value"][1]))
            for result in answer["data"]["result"]
        ]

    def value(self, expression):
        """The value of an expression that has one result, or None."""
        found = self.query(expression)
        assert len(found) <= 1, found
        return found[0][1] if found else None

    def exemplars(self, expression):
        """Of the series of an expression: a list of (series, exemplar)."""
        answer = self._get(
            "/api/v1/query_exemplars",
            query=expression, start=0, end=4102444800,
        ).json()  # fmt: skip
        assert answer["status"] == "success", (expression, answer)
        return [
            (found["seriesLabels"], exemplar)
            for found in answer["data"]
            for exemplar in found["exemplars"]
        ]

    def targets(self):
        answer = self._get("/api/v1/targets").json()
        return answer["data"]["activeTargets"]

    def stop(self):
        if self.process is not None:
            self.process.kill()
