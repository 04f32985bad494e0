# SPDX-License-Identifier: MIT
"""The image: built from the Dockerfile by a docker daemon of the test's own,
on a base made by debootstrap, and run against a private PostgreSQL. Neither a
registry nor the machine's own docker daemon is touched. The containers share
an isolated network: the database's socket is a volume, and requests come from
within. It takes minutes, so it runs only when AURORE_CONTAINER=1 is set."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.process import Process
from harness.wait import wait_until

TOP = Path(__file__).resolve().parents[2]
BASE_IMAGE = "debian:bookworm-slim"
SPOOL = "/var/lib/collectd/aurore"
API = "http://127.0.0.1:3000"
PORT = "http://127.0.0.1:9103/metrics"
# As docker-compose.yml has it.
CONFINED = [
    *("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL"),
    *("--security-opt", "no-new-privileges", "--memory", "512m"),
]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.environ.get("AURORE_CONTAINER") != "1",
        reason="AURORE_CONTAINER=1 is not set: builds an image for minutes",
    ),
]


class Docker:
    """A daemon with directories and a socket of its own."""

    def __init__(self, directory):
        self.directory = directory
        self.socket = directory / "docker.sock"
        self.process = None

    def start(self):
        self.process = Process(
            [
                "dockerd",
                "--bridge=none",
                "--iptables=false",
                "--ip6tables=false",
                "--storage-driver=vfs",
                f"--data-root={self.directory}/root",
                f"--exec-root={self.directory}/exec",
                f"--pidfile={self.directory}/docker.pid",
                f"--host=unix://{self.socket}",
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
            ["docker", "--host", f"unix://{self.socket}", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            **keywords,
        )
        assert not check or done.returncode == 0, done.stdout
        return done

    def stop(self):
        self.process.signal(15)
        self.process.wait(60)


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


def events(numbers):
    return [
        {
            "timestamp": "2026-01-02T03:04:05Z",
            "service": "container",
            "message": f"event {number}",
        }
        for number in numbers
    ]


@pytest.fixture(scope="module")
def docker(base):
    missing = [
        name for name in ("dockerd", "docker", "debootstrap", "ip")
        if shutil.which(name) is None
    ]
    assert not missing, f"not installed: {missing} (docker.io, debootstrap, iproute2)"
    directory = base / "docker"
    directory.mkdir()
    daemon = Docker(directory)
    daemon.start()
    yield daemon
    daemon.stop()


@pytest.fixture(scope="module")
def image(docker, base):
    """The image of the Dockerfile; its base is a Debian made here."""
    root = base / "debian"
    subprocess.run(
        ["debootstrap", "--variant=minbase", "--include=ca-certificates"]
        + ["bookworm", str(root), "http://deb.debian.org/debian"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    archive = base / "debian.tar"
    subprocess.run(
        ["tar", "-C", str(root), "-cf", str(archive), "."], check=True
    )
    docker.run("import", str(archive), BASE_IMAGE)
    archive.unlink()
    shutil.rmtree(root)
    docker.run("build", "--network", "host", "-t", "aurore", str(TOP))
    return "aurore"


@pytest.fixture
def network(docker, image):
    """A network of one address, held by a container that does nothing else.
    write_prometheus listens only where there is more than the loopback one."""
    docker.run(
        *("run", "--detach", "--network", "none", "--name", "network"),
        *("--entrypoint", "sleep", image, "infinity"),
    )
    state = json.loads(docker.run("inspect", "network").stdout)[0]["State"]
    subprocess.run(
        ["nsenter", f"--target={state['Pid']}", "--net"]
        + ["ip", "address", "add", "192.0.2.1/32", "dev", "lo"],
        check=True,
    )
    yield "container:network"
    docker.run("rm", "--force", "network")


@pytest.fixture
def run(docker, image, network, own_postgres):
    """Starts containers that share a volume for the spool."""
    socket = str(own_postgres.directory)
    made = []

    def start():
        name = f"aurore{len(made)}"
        docker.run(
            *("run", "--detach", "--network", network, "--name", name),
            *CONFINED,
            *("--volume", f"{socket}:{socket}", "--volume", f"spool:{SPOOL}"),
            *("--env", f"PGHOST={socket}", "--env", "PGUSER=postgres"),
            image,
        )
        made.append(Container(docker, name))
        made[-1].wait_healthy()
        return made[-1]

    yield start
    for container in made:
        docker.run("rm", "--force", container.name)
    docker.run("volume", "rm", "spool", check=False)


def stop(docker, container):
    docker.run("stop", "--time", "60", container.name)
    state = container.inspect()["State"]
    assert state["ExitCode"] == 0, container.log()


def test_the_container_stores_events_and_stops_cleanly(
    docker, run, own_postgres
):
    database = own_postgres.create_database("aurore_events")
    container = run()

    identity = docker.run("exec", container.name, "id", "-u").stdout.strip()
    assert identity != "0"

    assert container.post(events(range(100)))["accepted"] == 100
    database.wait_stored(100)
    for name in (
        'collectd_aurore_events_enqueued_total{aurore="events"',
        "collectd_cpu",
        "collectd_df",
        "collectd_postgresql",
        "collectd_processes",
    ):
        wait_until(
            lambda: name in container.ask(PORT),
            60,
            lambda: f"no {name}: {container.log()}",
        )

    assert docker.run("exec", container.name, "touch", "/etc/x", check=False).returncode != 0

    # What cannot be stored outlives the container, in the volume.
    own_postgres.stop()
    assert container.post(events(range(100, 150)))["accepted"] == 50
    assert container.health() == "healthy"
    docker.run("kill", container.name)
    own_postgres.start()
    assert database.stored() == 100

    again = run()
    database.wait_stored(150)
    assert again.post(events(range(150, 200)))["accepted"] == 50
    stop(docker, again)
    assert database.stored() == 200
    assert database.value(
        "SELECT count(DISTINCT message) FROM aurore.event"
    ) == 200


def test_a_container_without_its_metrics_port_is_unhealthy(docker, network, image, tmp_path):
    empty = tmp_path / "empty.conf"
    empty.write_text("")
    docker.run(
        *("run", "--detach", "--network", network, "--name", "mute", *CONFINED),
        *("--health-interval", "1s", "--health-start-period", "0s"),
        *("--volume", f"{empty}:/etc/collectd/collectd.conf.d/aurore-prometheus.conf"),
        image,
    )
    container = Container(docker, "mute")
    try:
        wait_until(
            lambda: container.ask(f"{API}/ready", "-o/dev/null", "-w%{http_code}") == "200",
            60,
            lambda: container.log(),
        )
        wait_until(
            lambda: container.health() == "unhealthy", 60, lambda: container.health()
        )
    finally:
        docker.run("rm", "--force", "mute")


def test_the_compose_file_is_clean_and_open_to_this_machine_alone():
    done = subprocess.run(
        ["docker-compose", "--file", str(TOP / "docker-compose.yml"), "config"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""

    yaml = pytest.importorskip("yaml")
    services = yaml.safe_load(done.stdout)["services"]
    assert set(services) == {
        "alertmanager",
        "collectd",
        "grafana",
        "postgres",
        "prometheus",
    }
    for name, service in services.items():
        assert "healthcheck" in service, name
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "mem_limit" in service, name
        assert "web.enable-lifecycle" not in str(service), name
        for port in service.get("ports", []):
            assert str(port).startswith("127.0.0.1:"), (name, port)
        image = service["image"]
        assert ":" in image and not image.endswith(":latest"), image
        for other, how in service.get("depends_on", {}).items():
            assert how["condition"] == "service_healthy", (name, other)
    assert "ports" not in services["postgres"]
    assert services["collectd"]["environment"]["PGUSER"] == "aurore"
    assert "POSTGRES_USER" not in services["postgres"]["environment"]
    check = services["collectd"]["healthcheck"]["test"]
    assert f"{API}/ready" in check and PORT in check
