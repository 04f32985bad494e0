# SPDX-License-Identifier: MIT
"""Those examples of docs/sending.md that need packages of npm and PyPI; those of Go
and of the Collector are in test_client_senders.py."""

import pytest

from harness import clients
from harness.events import is_now
from harness.examples import block, example
from harness.ordeal import World

pytestmark = clients.only_on_demand


@pytest.fixture
def world(programs, own_postgres):
    made = World(programs, own_postgres)
    yield made
    made.close()


def test_cloudevents_by_node(world):
    place = clients.node("senders-node")
    (place / "example.mjs").write_text(example("cloudevents-node", world.road.port))
    clients.run("node", "example.mjs", cwd=place)
    [(us, service, message, metadata)] = world.rows(1)
    assert is_now(us)
    assert (service, message) == ("https://shop.example/orders", "order.paid")
    assert (metadata["id"], metadata["data"]) == ("4711-paid", {"order": 4711})


def test_opentelemetry_by_python(world):
    """With the variables that the document sets; the first answer gets lost."""
    place, python = clients.python("senders-python")
    (place / "variables").write_text(example("otel-sdk", world.road.port))
    (place / "example.py").write_text(block("otel-python"))
    world.road.lose(1)
    clients.run("sh", "-euc", f". ./variables; exec {python} example.py", cwd=place)
    assert world.road.lost == 1
    [(us, service, message, metadata)] = world.rows(1)
    assert is_now(us)
    assert (service, message) == ("checkout", "payment refused")
    assert metadata["attributes"]["order"] == 4711
    assert metadata["severityText"] == "WARN"
