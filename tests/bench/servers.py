# SPDX-License-Identifier: MIT
"""The processes of the benchmark: a private PostgreSQL, private collectds and
the bare HTTP server. Each has a directory and a port of its own, and is ended
by its process id."""

import contextlib
import glob
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request

import psycopg2

TOP = pathlib.Path(__file__).resolve().parents[2]
COLLECTD = "/usr/sbin/collectd"

# The same server for everything that is compared. Durability is PostgreSQL's
# default. The log is large enough that no checkpoint falls into a measurement,
# and is kept, so that no measurement pays for new files; nothing is vacuumed
# meanwhile, since the tables are emptied after each measurement.
POSTGRES_SETTINGS = {
    "shared_buffers": "512MB",
    "min_wal_size": "4GB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "1h",
    "autovacuum": "off",
    "fsync": "on",
    "synchronous_commit": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "listen_addresses": "127.0.0.1",
}


class BenchError(Exception):
    """Says why there is no figure."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(condition, what, process=None, seconds=60.0, pause=0.02):
    """Waits until the condition is true; the process must live meanwhile."""
    deadline = time.monotonic() + seconds
    while not condition():
        if process is not None and process.poll() is not None:
            raise BenchError(f"{what}: the process has ended with status "
                             f"{process.returncode}")
        if time.monotonic() > deadline:
            raise BenchError(f"{what}: not within {seconds:.0f} s")
        time.sleep(pause)


def end(process, signal_number, seconds=90):
    """Asks the process to end and waits for it; its exit status."""
    if process.poll() is None:
        process.send_signal(signal_number)
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def cpu_seconds(process):
    """What the process has used so far, its ended threads included."""
    text = pathlib.Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii")
    user, system = text.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


class Directory:
    """A directory of the benchmark's own, which is removed at the end."""

    def __init__(self, base):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="aurore-bench.", dir=base))
        self.path.chmod(0o711)  # the user of PostgreSQL passes through

    def remove(self):
        shutil.rmtree(self.path, ignore_errors=True)


class Postgres:
    """A private cluster; as root it runs as the user postgres."""

    def __init__(self, directory):
        self.directory = directory / "postgresql"
        self.directory.mkdir()
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres"),
                       key=lambda path: int(path.split("/")[4]))
        if not found:
            raise BenchError("PostgreSQL was not found: install the Debian "
                             "package postgresql")
        self.bin = pathlib.Path(found[-1]).parent
        self.become = ["setpriv", "--pdeathsig", "INT"]
        if os.getuid() == 0:
            shutil.chown(self.directory, "postgres", "postgres")
            self.become += ["--reuid=postgres", "--regid=postgres", "--init-groups"]
        self.port = free_port()
        self.process = None
        self.log = open(self.directory.parent / "postgresql.log", "ab")

    def start(self):
        data = self.directory / "data"
        subprocess.run(
            [*self.become, self.bin / "initdb", "-D", data, "--username=postgres",
             "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"],
            check=True, cwd="/", stdout=self.log, stderr=self.log)
        settings = [f"--{name}={value}" for name, value in POSTGRES_SETTINGS.items()]
        self.process = subprocess.Popen(
            [*self.become, self.bin / "postgres", "-D", data, "-p", str(self.port),
             f"--unix_socket_directories={self.directory}", *settings],
            cwd="/", stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL,
            start_new_session=True)
        wait_for(self.answers, "PostgreSQL", self.process)
        with contextlib.closing(self.connect("postgres")) as connection:
            connection.cursor().execute("CREATE DATABASE bench")

    def conninfo(self, database="bench"):
        return (f"host={self.directory} port={self.port} user=postgres "
                f"dbname={database}")

    def connect(self, database="bench"):
        connection = psycopg2.connect(self.conninfo(database))
        connection.autocommit = True
        return connection

    def answers(self):
        try:
            self.connect("postgres").close()
        except psycopg2.OperationalError:
            return False
        return True

    def query(self, sql):
        with contextlib.closing(self.connect()) as connection:
            cursor = connection.cursor()
            cursor.execute(sql)
            return cursor.fetchone() if cursor.description else None

    def clear(self):
        """Empty tables, and nothing left to be written."""
        self.query("TRUNCATE aurore.event, aurore.event_count, aurore.lane, "
                   "aurore.dead_letter")
        self.query("CHECKPOINT")

    def stop(self):
        if self.process is not None:
            end(self.process, 2)  # SIGINT: the fast shutdown
        self.log.close()


class Collectd:
    """A private collectd: with both plugins, or (build=None) an empty one."""

    def __init__(self, directory, build, writer=None, **options):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="collectd.", dir=directory))
        self.build = build
        self.writer = writer or {}
        self.options = options
        self.port = free_port()
        self.prometheus_port = free_port()
        self.process = None

    def configuration(self):
        def block(plugin, options):
            lines = "".join(
                f"  {name} {json.dumps(value if isinstance(value, int) else str(value))}\n"
                for name, value in options.items())
            return f"LoadPlugin {plugin}\n<Plugin {plugin}>\n{lines}</Plugin>\n"

        text = (f'Hostname "bench"\nFQDNLookup false\n'
                f'BaseDir "{self.directory}"\nPIDFile "{self.directory}/pid"\n'
                f'PluginDir "/usr/lib/collectd"\n'
                f'TypesDB "/usr/share/collectd/types.db" "{TOP}/types.db"\n')
        text += block("logfile", {"File": "stderr"})
        text += block("write_prometheus",
                      {"Host": "127.0.0.1", "Port": str(self.prometheus_port)})
        if self.build is None:
            return text
        listen = {"Listen": f"127.0.0.1:{self.port}"}
        return (text + f'PluginDir "{self.build}/.libs"\n'
                + block("event_buffer", {**listen, **self.options})
                + block("event_writer", self.writer))

    def __enter__(self):
        file = self.directory / "collectd.conf"
        file.write_text(self.configuration())
        with open(self.directory / "log", "wb") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", COLLECTD, "-f", "-C", file],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                start_new_session=True)
        try:
            wait_for(self.is_ready, "collectd", self.process)
        except BenchError as error:
            self.__exit__()
            raise BenchError(f"{error}\n{self.log()}") from error
        return self

    def __exit__(self, *_):
        end(self.process, 15)
        shutil.rmtree(self.options.get("SpoolDirectory", ""), ignore_errors=True)

    def log(self):
        lines = (self.directory / "log").read_text(errors="replace").splitlines()
        return "\n".join(lines[-20:])

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"

    def is_ready(self):
        if self.build is None:
            return self.prometheus_answers()
        try:
            return self.listens() and self.get("/ready") is not None
        except OSError:
            return False

    def prometheus_answers(self):
        try:
            urllib.request.urlopen(
                f"http://127.0.0.1:{self.prometheus_port}/metrics", timeout=5).close()
        except OSError:
            return False
        return True

    def listens(self):
        """The port is ours, and not of some other process."""
        inodes = set()
        with open("/proc/net/tcp", encoding="ascii") as table:
            for line in table.readlines()[1:]:
                words = line.split()
                if words[3] == "0A" and int(words[1].split(":")[1], 16) == self.port:
                    inodes.add(f"socket:[{words[9]}]")
        return any(link in inodes for link, _ in self.descriptors())

    def descriptors(self):
        """What each open descriptor is, and the path that leads to it."""
        folder = f"/proc/{self.process.pid}/fd"
        with contextlib.suppress(OSError):
            for name in os.listdir(folder):
                with contextlib.suppress(OSError):
                    yield os.readlink(f"{folder}/{name}"), f"{folder}/{name}"

    def get(self, path):
        with urllib.request.urlopen(self.url(path), timeout=5) as answer:
            return answer.read().decode()

    def metric(self, name):
        """A figure that has no labels."""
        for line in self.get("/metrics/prometheus").splitlines():
            words = line.split()
            if words and words[0] == name:
                return float(words[1])
        raise BenchError(f"there is no metric {name}")

    def accepted(self):
        return int(self.metric("events_enqueued_total"))

    def cpu_seconds(self):
        return cpu_seconds(self.process)

    def memory(self):
        """Bytes: resident, of these shared memory, and in memory files (which
        are not mapped, and so not resident)."""
        status = {}
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            status[name] = value.split()
        memory_files = sum(os.stat(path).st_blocks * 512
                           for link, path in self.descriptors()
                           if link.startswith("/memfd:"))
        return {"resident": int(status["VmRSS"][0]) * 1024,
                "shared": int(status["RssShmem"][0]) * 1024,
                "memory files": memory_files}


class BareHttp:
    """The bare handler; it ends with its standard input."""

    def __init__(self, program, threads, connections, answer_size):
        self.command = [program, str(threads), str(connections), str(answer_size)]
        self.process = None
        self.port = 0

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line:
            raise BenchError("bare_http did not start")
        self.port = int(line)
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"
