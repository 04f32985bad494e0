# SPDX-License-Identifier: MIT
"""Senders of npm, PyPI and Go, with as little configuration as each takes: an answer
gets lost, the server is killed, the database is away, as far as they repeat what
was not answered; what is stored is what was logged, each event once."""

import json

import pytest

from harness import clients
from harness.events import is_now
from harness.examples import block, example
from harness.ordeal import World
from harness.process import Process, free_port, somebody_listens_on
from harness.wait import wait_until

pytestmark = clients.only_on_demand

A_FEW = 10


@pytest.fixture
def world(programs, own_postgres):
    made = World(programs, own_postgres)
    yield made
    made.close()


class Logging:
    """Has a program log some texts at a time; "parts" of the ordeal."""

    def __init__(self, world, command, place):
        self.world = world
        self.command = command.replace("SERVER", f"http://127.0.0.1:{world.road.port}")
        self.place = place
        self.sent = {}

    def send(self, name):
        input_file = self.world.directory / "input"
        with input_file.open("w") as lines:
            for n in range(A_FEW):
                text = f'{name} {n} "zoë" \\ 😀\n2'
                self.sent[text] = n
                one = {"id": f"{name}/{n}", "text": text, "n": n}
                lines.write(json.dumps(one) + "\n")
        process = Process(
            ["bash", "-euc", "-o", "pipefail", f"({self.command}) <{input_file}"],
            self.world.directory / "output",
            cwd=self.place,
        )

        def ends():
            assert process.wait(120) == 0, process.log()

        return ends

    def rows(self):
        return self.world.rows(len(self.sent))


def without_an_ordeal(logging):
    """For those that repeat nothing."""
    logging.send("all is well")()
    logging.world.postgres.kill()
    logging.send("the database is away")()
    logging.world.postgres.start()


# The command, and whether it repeats what was not answered.
NODE = {
    "axios": ("node axios.mjs SERVER", True),
    "undici": ("node undici.mjs SERVER", True),
    "got": ("node got.mjs SERVER", True),
    "winston": ("node winston.mjs SERVER", False),
    "winston-batch": ("node winston-batch.mjs SERVER", False),
    "pino": (
        "node pino.mjs | node_modules/.bin/pino-http-send --batchSize=4 --retries=20 "
        "--url='SERVER/events?lenient=true&events_field=logs&timestamp_field=time"
        "&service_field=name&message_field=msg&once=request'",
        True,
    ),
    "cloudevents-binary": ("node cloudevents.mjs SERVER binary", True),
    "cloudevents-structured": ("node cloudevents.mjs SERVER structured", True),
    "cloudevents-batch": ("node cloudevents.mjs SERVER batch", True),
    "otlp-json": ("node otel.mjs SERVER json", True),
    "otlp-proto": ("node otel.mjs SERVER proto", True),
}


def logged(name, message, metadata):
    """The text and the number of what was logged."""
    if name.startswith("cloudevents"):
        assert message == "logged" and metadata["extra"] in (7, "7")
        return metadata["data"]["text"], metadata["data"]["n"]
    if name.startswith("otlp"):
        assert metadata["severityNumber"] == 9
        assert metadata["attributes"]["ratio"] == 0.5
        assert metadata["attributes"]["list"] == ["a", "b"]
        return message, metadata["attributes"]["n"]
    return message, metadata["n"]


def check(logging, name):
    """What is stored is what was logged, each once."""
    for us, service, message, metadata in logging.rows():
        assert is_now(us)
        assert service == "checkout"
        text, number = logged(name, message, metadata)
        assert logging.sent.pop(text) == number
    assert logging.sent == {}


@pytest.mark.parametrize("name", NODE)
def test_node(world, name):
    command, repeats = NODE[name]
    logging = Logging(world, command, clients.node("senders-node"))
    if repeats:
        world.ordeal(logging.send)
    else:
        without_an_ordeal(logging)
    check(logging, name)


# An SDK gives up after ten seconds if it is not told otherwise: a busy machine needs
# longer to start the server again.
OTEL = (
    "export OTEL_SERVICE_NAME=checkout OTEL_EXPORTER_OTLP_ENDPOINT=SERVER"
    " OTEL_EXPORTER_OTLP_TIMEOUT="
)


def test_python(world):
    place, python = clients.python("senders-python")
    logging = Logging(world, f"{OTEL}60; {python} otel.py", place)
    world.ordeal(logging.send)
    check(logging, "otlp")


GO = {
    "otlp": f"{OTEL}60000 OTEL_BLRP_EXPORT_TIMEOUT=60000; bin/otlp persist",
    "cloudevents-binary": "bin/cloudevents SERVER/events binary",
    "cloudevents-structured": "bin/cloudevents SERVER/events structured",
    "cloudevents-batch": "bin/cloudevents SERVER/events batch",
}


@pytest.mark.parametrize("name", GO)
def test_go(world, name):
    place = clients.go("go-senders", name.split("-")[0])
    logging = Logging(world, GO[name], place)
    world.ordeal(logging.send)
    check(logging, name)


def test_go_has_the_example():
    """The sender that persists does it as docs/sending.md has it."""
    source = clients.SOURCES / "go-senders/otlp/main.go"
    assert block("otel-go") in source.read_text()


def test_go_by_itself(programs, own_postgres):
    """OpenTelemetry's SDK repeats what was answered with 429, 502, 503 and 504, and no
    lost connection."""
    world = World(programs, own_postgres, Capacity=A_FEW)
    logging = Logging(world, f"{OTEL}60000; bin/otlp", clients.go("go-senders", "otlp"))
    logging.send("all is well")()
    world.api.rest()
    own_postgres.kill()
    logging.send("the database is away")()
    refused = len(world.road.statuses)
    ends = logging.send("the buffer is full")
    wait_until(lambda: len(world.road.statuses) > refused, 60, "nothing is sent")
    assert world.road.statuses[-1] == 429
    own_postgres.start()
    ends()
    check(logging, "otlp")
    world.close()


class Collector:
    """OpenTelemetry's, as docs/sending.md configures it, with its queue on disk."""

    def __init__(self, world, program):
        self.world = world
        self.program = program
        self.port = free_port()
        self.process = None
        queue = world.directory / "queue"
        queue.mkdir()
        others = {"127.0.0.1:4318": f"127.0.0.1:{self.port}", "/var/lib/otelcol": queue}
        self.configuration = world.directory / "collector.yaml"
        text = example("otel-collector", world.road.port, others)
        # Its own metrics have a fixed port.
        self.configuration.write_text(text + "  telemetry: {metrics: {level: none}}\n")

    def start(self):
        command = [self.program, "--config", self.configuration]
        self.process = Process(command, self.world.directory / "collector.log")
        wait_until(
            lambda: somebody_listens_on(self.port),
            60,
            lambda: f"the collector does not listen: {self.process.log()}",
        )

    def kill(self):
        self.process.kill()


@pytest.fixture
def collector(world):
    made = Collector(world, clients.go("go-senders", "collector", "otlp") / "bin/collector")
    made.start()
    yield made
    made.kill()


def test_collector(world, collector):
    """It is killed, too: while it cannot send, and when an answer got lost."""
    road = world.road
    command = f"{OTEL}60000; bin/otlp persist".replace("SERVER", f"http://127.0.0.1:{collector.port}")
    logging = Logging(world, command, collector.program.parent.parent)

    def send(name):
        """All of it is at the server when it is accepted there."""
        accepted = world.wait_accepted()
        logging.send(name)()
        return accepted

    world.ordeal(send)
    road.lose(1)
    accepted = send("an answer is lost, and the collector")
    wait_until(lambda: road.lost == 2, 60, "no answer is lost")
    collector.kill()
    collector.start()
    accepted()
    world.api.kill()
    refused = road.refused
    accepted = send("the server is away, and the collector")
    wait_until(lambda: road.refused > refused, 60, "nobody tries to connect")
    collector.kill()
    collector.start()
    world.api.start()
    accepted()
    check(logging, "otlp")
