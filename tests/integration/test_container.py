# SPDX-License-Identifier: MIT
"""The image: built from the Dockerfile by a docker daemon of the test's own,
on a base made by debootstrap, and run against a private PostgreSQL. Neither a
registry nor the machine's own docker daemon is touched. The containers share
an isolated network: the database's socket is a volume, and requests come from
within. Then docker-compose.yml, in a network of its own, with images made of
Debian's packages in the place of those of a registry (images/), and without
Grafana, which Debian does not have. It takes minutes, so it runs only when
AURORE_CONTAINER=1 is set."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import requests

from harness.docker import API, NO_NETWORKS, Compose, Container, Docker, Network
from harness.journal import Clients, Journal, refuse_poison
from harness.oracle import judge, read_dead, read_stored
from harness.wait import wait_until

TOP = Path(__file__).resolve().parents[2]
IMAGES = Path(__file__).resolve().parent / "images"
BASE_IMAGE = "debian:bookworm-slim"
SPOOL = "/var/lib/collectd/aurore"
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
    daemon = Docker(directory).start(*NO_NETWORKS)
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
    # As in the image of a registry: quick, and no package is kept.
    (root / "etc/dpkg/dpkg.cfg.d/unsafe-io").write_text("force-unsafe-io\n")
    (root / "etc/apt/apt.conf.d/clean").write_text(
        'DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb"; };\n'
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


# --- docker-compose.yml ---------------------------------------------------------

# Not Grafana: Debian does not have it.
STAND_INS = ("postgres", "prometheus", "alertmanager")


@pytest.fixture(scope="module")
def compose(docker, image, tmp_path_factory):
    """The images of the file are there, and the daemon is in a network of its own,
    where the ports that the file publishes are free."""
    yaml = pytest.importorskip("yaml")
    compose = Compose(docker, ["collectd", *STAND_INS])
    services = yaml.safe_load(compose.run("config"))["services"]
    for name in STAND_INS:
        docker.run(
            *("build", "--network", "host", "--target", name),
            *("--tag", services[name]["image"], str(IMAGES)),
        )
    # Only while it is built does it need Debian's archive.
    network = tmp_path_factory.mktemp("compose") / "network.yml"
    network.write_text(
        f'version: "3.8"\nservices: {{collectd: {{build: {{context: "{TOP}", network: host}}}}}}\n'
    )
    compose.run("build", "collectd", files=[network])
    docker.stop()
    with Network():
        docker.start()
        yield compose
        compose.run("down", "--volumes")
        docker.stop()
    docker.start(*NO_NETWORKS)


def wrongs(compose, journal):
    """What is not as it was answered; a while after the last event nothing is."""
    database = compose.database()
    verdict = judge(journal, read_stored(database), read_dead(database))
    database.close()
    return verdict.wrongs()


def wait_all_stored(compose, journal):
    wait_until(lambda: not wrongs(compose, journal), 120, lambda: wrongs(compose, journal))


def ask_prometheus(path, **parameters):
    answer = requests.get(f"http://127.0.0.1:9090/api/v1/{path}", parameters, timeout=30)
    return answer.json()["data"]


def wait_scraped():
    """Each target of Prometheus is up, and Alertmanager is known to it."""

    def down():
        targets = ask_prometheus("targets")["activeTargets"]
        up = {one["labels"]["job"] for one in targets if one["health"] == "up"}
        return {"alertmanager", "collectd", "collectd-hosts", "prometheus"} ^ up

    wait_until(lambda: not down(), 180, down)
    wait_until(lambda: ask_prometheus("alertmanagers")["activeAlertmanagers"], 60, "no Alertmanager")


IN_POSTGRES = ("exec", "-T", "postgres")


def dump(compose, path):
    """As docs/install.md has it; and so does restore."""
    with open(path, "wb") as file:
        compose.run(
            *(*IN_POSTGRES, "pg_dump", "-U", "postgres", "-Fc", "aurore_events"), stdout=file
        )


def restore(compose, path):
    compose.run("stop", "collectd")
    compose.run(*IN_POSTGRES, "dropdb", "-U", "postgres", "aurore_events")
    with open(path, "rb") as file:
        compose.run(
            *(*IN_POSTGRES, "pg_restore", "-U", "postgres"),
            *("--create", "--exit-on-error", "-d", "postgres"),
            stdin=file,
        )
    compose.run("start", "collectd")


def test_the_pipeline_of_the_compose_file(compose, tmp_path):
    """Whichever container is killed under load, each event is stored once; and what
    is stored or waits is still there after "down" and "up"; and a dump with what the
    spool keeps is all of it."""
    compose.up()
    wait_scraped()
    database = compose.database()
    wait_until(database.has_schema, 60, compose.logs)
    refuse_poison(database)
    database.close()

    journal = Journal()
    with Clients(journal, lambda: [3000], seed=15, count=1, persistent=3) as clients:
        for service in compose.services:
            clients.wait_acknowledged(500)
            compose.container(service).kill()
            clients.wait_acknowledged(500)
    wait_all_stored(compose, journal)
    wait_scraped()
    scraped = ask_prometheus("query", query="time()")["result"][0]

    # Some of it waits in the spool when all containers are taken away.
    compose.run("stop", "postgres")
    with Clients(journal, lambda: [3000], seed=16, count=2, persistent=0) as clients:
        clients.wait_acknowledged(500)
    compose.run("down")
    compose.up()
    wait_all_stored(compose, journal)
    query = 'up{job="collectd"}'
    assert ask_prometheus("query", query=query, time=scraped)["result"]

    dump(compose, tmp_path / "dump")
    with Clients(journal, lambda: [3000], seed=17, count=2, persistent=0) as clients:
        clients.wait_acknowledged(500)
    wait_all_stored(compose, journal)
    restore(compose, tmp_path / "dump")
    wait_all_stored(compose, journal)
