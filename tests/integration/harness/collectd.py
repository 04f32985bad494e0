# SPDX-License-Identifier: MIT
"""A private collectd with the plugins under test."""

import grp
import itertools
import os
import re
import signal
import socket
from pathlib import Path

import requests

from . import build
from .exposition import Metrics
from .process import Process, free_port, somebody_listens_on
from .wait import wait_until

PROGRAM = "/usr/sbin/collectd"
STOCK_PLUGINS = "/usr/lib/collectd"
STOCK_TYPES = "/usr/share/collectd/types.db"
OUR_TYPES = build.TOP / "types.db"

HOST = "testhost"
BOTH = ("event_buffer", "event_writer")


def _value(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def block(plugin, options):
    """A <Plugin> block; an option that is given a list is written repeatedly."""
    lines = [f"<Plugin {plugin}>"]
    for name, given in options.items():
        values = given if isinstance(given, (list, tuple)) else [given]
        lines += [f"  {name} {_value(value)}" for value in values]
    return "\n".join(lines + ["</Plugin>"])


class Collectd:
    """Written as a configuration, then started, looked at, and ended.

    buffer, writer   options of the two plugins
    load             which of ours are loaded, in this order
    types_db         whether our types.db is named
    text             lines of configuration in the place of our plugins' own
    """

    _numbers = itertools.count(1)
    whole_stacks = False

    def __init__(
        self,
        base,
        buffer=None,
        writer=None,
        load=BOTH,
        types_db=True,
        text=None,
        interval=0.5,
        host=HOST,
    ):
        self.directory = Path(base) / f"collectd{next(self._numbers)}"
        self.directory.mkdir()
        self.buffer = dict(buffer or {})
        self.writer = dict(writer or {})
        self.load = load
        self.types_db = types_db
        self.text = text
        self.interval = interval
        self.host = host
        self.port = None
        self.metrics_port = None
        self.files = None  # how many files it may have open
        self.clock = None  # a harness.clock.Clock: its own time of day
        self.plugins = None  # where our plugins are, if not those under test
        self.runner = []  # the command that runs it (valgrind, say)
        self.control = self.directory / "control"
        self.config_path = self.directory / "collectd.conf"
        self.process = None
        self.expected_status = 0
        self.session = requests.Session()

    # --- configuration ---

    def _plugins(self):
        if self.text is not None:
            return self.text
        options = {"event_buffer": dict(self.buffer), "event_writer": self.writer}
        options["event_buffer"].setdefault("Listen", f"127.0.0.1:{self.port}")
        parts = []
        for plugin in self.load:
            parts += [f"LoadPlugin {plugin}", block(plugin, options[plugin])]
        return "\n".join(parts)

    def config(self):
        types = f'TypesDB "{STOCK_TYPES}"'
        if self.types_db:
            types += f' "{OUR_TYPES}"'
        group = grp.getgrgid(os.getgid()).gr_name
        return f"""\
Hostname "{self.host}"
FQDNLookup false
BaseDir "{self.directory}"
PIDFile "{self.directory}/pid"
{types}
Interval {self.interval}
Timeout 100
PluginDir "{STOCK_PLUGINS}"
LoadPlugin logfile
<Plugin logfile>
  LogLevel info
  File stderr
  Timestamp true
  PrintSeverity true
</Plugin>
LoadPlugin write_prometheus
<Plugin write_prometheus>
  Host "127.0.0.1"
  Port "{self.metrics_port}"
</Plugin>
LoadPlugin unixsock
<Plugin unixsock>
  SocketFile "{self.control}"
  SocketGroup "{group}"
  SocketPerms "0600"
  DeleteSocket true
</Plugin>
PluginDir "{self.plugins or build.plugin_directory()}"
{self._plugins()}
"""

    def write_config(self):
        self.port = self.port or free_port()
        self.metrics_port = self.metrics_port or free_port()
        self.config_path.write_text(self.config())

    # --- its life ---

    def _spawn(self, *flags):
        command = build.sanitizer_command()
        if self.files is not None:
            command = ["prlimit", f"--nofile={self.files}", *command]
        command += [*self.runner, PROGRAM, *flags, "-C", self.config_path]
        # collectd's own variables, and libpq's, must not reach it.
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("PG")
        }
        environment.update(
            build.sanitizer_environment(self.directory, self.whole_stacks)
        )
        environment.update(self.clock.environment() if self.clock else {})
        self.process = Process(
            command,
            self.directory / "log",
            env=environment,
            cwd=self.directory,
        )

    def start(self):
        """Starts it and waits until its ports are its own and answer."""
        for _ in range(3):
            self.write_config()
            self._spawn("-f")
            if self.comes_up():
                return self
            # Somebody else was faster at one of the ports.
            self.process.signal(signal.SIGTERM)
            self.process.wait()
            self.port = self.metrics_port = None
        raise AssertionError("no port stayed free for long enough")

    def start_only(self):
        """Starts it and waits for nothing."""
        self.write_config()
        self._spawn("-f")
        return self

    def _listens_by_default(self):
        return (
            self.text is None
            and "event_buffer" in self.load
            and "Listen" not in self.buffer
        )

    def comes_up(self):
        """Waits until all that is expected answers; false when somebody else
        has one of the ports."""
        ports = [self.metrics_port]
        if self._listens_by_default():
            ports.append(self.port)

        def settled():
            assert self.process.is_running(), self._told("ended by itself")
            return all(somebody_listens_on(port) for port in ports)

        wait_until(settled, 30, lambda: self._told("does not listen"))
        if not all(self.process.listens_on(port) for port in ports):
            return False
        wait_until(
            self._has_values, 30, lambda: self._told("reports no values")
        )
        if self._listens_by_default():
            self.wait_ready()
        return True

    def _has_values(self):
        if not self.load:
            return True
        return bool(self.values().family("collectd_aurore_health_status")) or (
            "event_buffer" not in self.load
            and bool(self.values().family("collectd_aurore_circuit_breaker_state"))
        )

    def wait_ready(self):
        wait_until(
            lambda: self.get("/ready").status_code == 200,
            30,
            lambda: self._told("is not ready"),
        )

    def _told(self, what):
        return f"collectd {what}; its log:\n{self.log()}"

    def check_config(self):
        """collectd -T: starts, reads once, ends. Returns the exit status."""
        self.write_config()
        self._spawn("-T")
        return self.wait()

    def terminate(self):
        self.process.signal(signal.SIGTERM)

    def wait(self, timeout=60):
        """Waits for its end, and returns the exit status."""
        status = self.process.wait(timeout)
        self.check_sanitizers()
        return status

    def stop(self, timeout=60):
        """SIGTERM, and the exit status."""
        self.terminate()
        return self.wait(timeout)

    def kill(self):
        """kill -9"""
        self.process.kill()
        self.check_sanitizers()

    def is_running(self):
        return self.process is not None and self.process.is_running()

    def finish(self):
        """At the end of a test: ends it if need be, and checks how it ended."""
        self.session.close()
        if not self.is_running():
            if self.process is not None:
                self.check_sanitizers()
            return
        try:
            status = self.stop()
        finally:
            self.process.kill()
        assert status == self.expected_status, self._told(
            f"ended with status {status}"
        )

    def log(self):
        return self.process.log() if self.process is not None else ""

    def complaints(self):
        """Lines of the log that are errors or warnings."""
        pattern = re.compile(
            r"\[(error|warning)\]|Dataset not found|UNKNOWN plugin"
        )
        return [line for line in self.log().splitlines() if pattern.search(line)]

    def wait_log(self, text, timeout=20):
        wait_until(
            lambda: text in self.log(),
            timeout,
            lambda: self._told(f"does not say {text!r}"),
        )

    def check_sanitizers(self):
        for line in self.log().splitlines():
            assert not any(mark in line for mark in build.SANITIZER_MARKS), (
                self._told("was found fault with by a sanitizer")
            )

    # --- the API ---

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"

    def get(self, path, **keywords):
        keywords.setdefault("timeout", 30)
        return self.session.get(self.url(path), **keywords)

    def post(self, body, content_type="application/json", **keywords):
        """Posts bytes, text, or what becomes JSON, to /events."""
        headers = {"Content-Type": content_type}
        headers.update(keywords.pop("headers", {}))
        keywords.setdefault("timeout", 60)
        if isinstance(body, str):
            body = body.encode()
        if isinstance(body, bytes):
            keywords["data"] = body
        else:
            keywords["json"] = body
        return self.session.post(self.url("/events"), headers=headers, **keywords)

    def accept(self, events):
        """Posts events (or a body) that are all fine; returns their ids."""
        answer = self.post(events)
        assert answer.status_code == 202, answer.text
        body = answer.json()
        return body.get("event_ids") or [body["event_id"]]

    # --- what it reports ---

    def values(self):
        """What write_prometheus shows."""
        answer = requests.get(
            f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=30
        )
        assert answer.status_code == 200
        return Metrics(answer.content.decode())

    def metrics(self):
        """What the API itself shows to Prometheus."""
        answer = self.get("/metrics/prometheus")
        assert answer.status_code == 200, answer.text
        return Metrics(answer.text)

    def wait_metric(self, name, value, timeout=30, **labels):
        """Until the API shows the value."""
        wait_until(
            lambda: self.metrics().get(name, **labels) == value,
            timeout,
            lambda: f"{name} is {self.metrics().get(name, **labels)}, "
            f"not {value}",
        )

    def rest(self, timeout=60):
        """Waits until nothing waits any more; returns the figures then."""
        self.wait_metric("buffer_size", 0, timeout)
        return self.metrics()

    # --- its control socket ---

    def command(self, line):
        """One command of collectd's unixsock plugin, and its answer."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(30)
            connection.connect(str(self.control))
            connection.sendall(line.encode() + b"\n")
            return connection.makefile().readline().strip()
