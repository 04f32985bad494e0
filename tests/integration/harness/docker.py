# SPDX-License-Identifier: MIT
"""A private docker daemon, its containers, and what docker-compose makes of the
project's file. Neither a registry nor the machine's own daemon is touched."""

import ctypes
import json
import os
import signal
import subprocess

from . import build
from .postgres import Database
from .process import Process
from .wait import wait_until

API = "http://127.0.0.1:3000"
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class Network:
    """A context: inside of it the calling thread, and the threads and programs that
    it starts there, are in a network of their own. No port is taken in there, and
    nothing out of it is in reach."""

    def __enter__(self):
        self._before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        self._call(_libc.unshare(_CLONE_NEWNET))
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        return self

    def __exit__(self, *_):
        self._call(_libc.setns(self._before, _CLONE_NEWNET))
        os.close(self._before)

    @staticmethod
    def _call(result):
        if result != 0:
            raise OSError(ctypes.get_errno(), "a network of its own")


# Containers have the network of the machine, or none.
NO_NETWORKS = ("--bridge=none", "--iptables=false", "--ip6tables=false")


class Docker:
    """A daemon with directories and a socket of its own. "options" are more of its
    options; without any it makes networks for its containers."""

    def __init__(self, directory):
        self.directory = directory
        self.host = f"unix://{directory / 'docker.sock'}"
        self.process = None

    def start(self, *options):
        self.process = Process(
            [
                "dockerd",
                *options,
                f"--data-root={self.directory}/root",
                f"--exec-root={self.directory}/exec",
                f"--pidfile={self.directory}/docker.pid",
                f"--host={self.host}",
            ],
            self.directory / "log",
            cwd="/",
        )
        wait_until(self._answers, 60, lambda: self.process.log())
        return self

    def _answers(self):
        assert self.process.is_running(), self.process.log()
        return self.run("version", check=False).returncode == 0

    def run(self, *arguments, check=True, **keywords):
        done = subprocess.run(
            ["docker", "--host", self.host, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            **keywords,
        )
        assert not check or done.returncode == 0, done.stdout
        return done

    def stop(self):
        self.process.signal(signal.SIGTERM)
        self.process.wait(60)
        for left in (self.directory / "exec/netns").glob("*"):
            subprocess.run(["umount", left], check=False)


class Container:
    def __init__(self, docker, name):
        self._docker = docker
        self.name = name

    def ask(self, url, *curl):
        return self._docker.run(
            "exec", self.name, "curl", "-sS", *curl, url
        ).stdout

    def post(self, events):
        body = json.dumps(events)
        return json.loads(
            self.ask(
                f"{API}/events",
                "-H",
                "Content-Type: application/json",
                "--data-binary",
                body,
            )
        )

    def inspect(self):
        return json.loads(self._docker.run("inspect", self.name).stdout)[0]

    def health(self):
        return self.inspect()["State"]["Health"]["Status"]

    def log(self):
        return self._docker.run("logs", self.name).stdout

    def wait_healthy(self):
        wait_until(
            lambda: self.health() == "healthy", 120, lambda: self.log()
        )

    def pid(self):
        """Of its first process; 0 while there is none."""
        return self.inspect()["State"]["Pid"]

    def kill(self):
        """kill -9 of its first process, as if it had crashed, and with it of all the
        others; waits until it is there again, and well."""
        pid = self.pid()
        os.kill(pid, signal.SIGKILL)
        wait_until(
            lambda: self.pid() not in (0, pid),
            60,
            lambda: f"{self.name} is not restarted: {self.log()}",
        )
        self.wait_healthy()


class Compose:
    """The project's docker-compose.yml, but for the services left out."""

    FILE = build.TOP / "docker-compose.yml"

    def __init__(self, docker, services):
        self._docker = docker
        self.services = services

    def run(self, *arguments, files=(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE):
        """"files": more of them, each of which adds to those before. What it says,
        if that goes nowhere else."""
        names = [part for name in (self.FILE, *files) for part in ("--file", name)]
        done = subprocess.run(
            ["docker-compose", *names, "--project-name", "aurore", *arguments],
            env={**os.environ, "DOCKER_HOST": self._docker.host},
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout}{done.stderr}\n{self.logs()}"
        return done.stdout

    def logs(self):
        names = self._docker.run("ps", "--all", "--format", "{{.Names}}").stdout.split()
        return "\n".join(
            f"{name}:\n{Container(self._docker, name).log()[-2000:]}" for name in names
        )

    def up(self):
        """Until all of it is well."""
        self.run("up", "--detach", "--no-build", *self.services)
        for service in self.services:
            self.container(service).wait_healthy()

    def container(self, service):
        return Container(self._docker, self.run("ps", "--quiet", service).strip())

    def database(self):
        """With the rights of collectd. Its address is another one after a restart."""
        networks = self.container("postgres").inspect()["NetworkSettings"]["Networks"]
        address = networks["aurore_database"]["IPAddress"]
        return Database(
            f"host={address} user=aurore password=aurore dbname=aurore_events"
        )
