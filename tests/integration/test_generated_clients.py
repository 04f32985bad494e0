# SPDX-License-Identifier: MIT
"""Clients that are generated from docs/openapi.yaml, by the generators that are
used most: each posts one event and several, lists them and reads a dead letter,
with nothing but what the generator has made of the document."""

import json
import shutil

import pytest

from harness import build, clients
from harness.events import event, stored_events
from harness.wait import wait_until

pytestmark = clients.only_on_demand

DOCUMENT = build.TOP / "docs/openapi.yaml"


@pytest.fixture(scope="module")
def server(api):
    """With a dead letter."""
    wait_until(api.database.has_schema, 30, "there is no schema")
    api.database.execute(
        "ALTER TABLE aurore.event ADD CONSTRAINT no_poison"
        " CHECK (message <> 'poison') NOT VALID"
    )
    [api.dead] = api.accept(event("poison", "poison"))
    api.accept([event("fine", "poison")])
    wait_until(lambda: api.database.dead_letters() == 1, 30, "no dead letter")
    return api


def check(server, name, said):
    """What the client has printed, and what it has made the server store."""
    said = json.loads(said)
    where = "service = %s"
    stored = stored_events(server.database, where, (name,))
    metadata = {"from": name, "nested": {"n": 1}}
    assert sorted(stored.values()) == [
        (1795508666123000, name, "one", metadata),
        (1795508667000000, name, "two", metadata),
        (1795508668500000, name, "three", metadata),
    ]
    ids = [said["one"], *said["many"]]
    assert set(ids) == set(stored)
    texts = ["one", "two", "three"]
    assert said["listed"] == [list(row) for row in zip(ids, texts, [name] * 3)]
    assert said["dead"] == [server.dead, "23514", "poison"]
    assert said["missing"] == "DEAD_LETTER_NOT_FOUND"


def test_typescript(server):
    """openapi-typescript, openapi-fetch and tsc, as strict as it can be."""
    place = clients.node("typescript")
    clients.run(
        "node_modules/.bin/openapi-typescript", DOCUMENT, "-o", "api.d.ts", cwd=place
    )
    clients.run("node_modules/.bin/tsc", cwd=place)
    said = clients.run(
        "node", "out/client.js", server.url(""), "typescript", cwd=place
    )
    check(server, "typescript", said)


def test_python(server):
    """openapi-python-client."""
    place, python = clients.python("python")
    made = place / "generated"
    shutil.rmtree(made, ignore_errors=True)
    clients.run(
        python.parent / "openapi-python-client", "generate", "--path", DOCUMENT,
        "--meta", "none", "--output-path", made, cwd=place,
    )  # fmt: skip
    said = clients.run(python, "client.py", server.url(""), "python", cwd=place)
    check(server, "python", said)


@pytest.mark.parametrize("name", ["oapi", "ogen"])
def test_go(server, name):
    """oapi-codegen and ogen."""
    place = clients.go(f"go-{name}", "client")
    said = clients.run(place / "bin/client", server.url(""), name, cwd=place)
    check(server, name, said)
