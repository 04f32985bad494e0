# SPDX-License-Identifier: MIT
"""Senders of npm, with as little configuration as each takes: an answer
gets lost, the server is killed, the database is away, as far as they repeat what
was not answered; what is stored is what was logged, each event once."""

import json

import pytest

from harness import clients
from harness.events import is_now
from harness.ordeal import World
from harness.process import Process

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


@pytest.mark.parametrize("name", NODE)
def test_node(world, name):
    command, repeats = NODE[name]
    logging = Logging(world, command, clients.node("senders-node"))
    if repeats:
        world.ordeal(logging.send)
    else:
        without_an_ordeal(logging)
    for us, service, message, metadata in logging.rows():
        assert is_now(us)
        assert service == "checkout"
        text, number = logged(name, message, metadata)
        assert logging.sent.pop(text) == number
    assert logging.sent == {}
