# SPDX-License-Identifier: MIT
"""schemathesis, with all its checks: requests that it makes of the document that
the server publishes, right ones and wrong ones, alone and in chains, to a server
in four states. AURORE_EXAMPLES=N makes up to so many for each operation, way and
state (150: some 20,000 in all), AURORE_SEED=N makes other ones."""

import hashlib
import os
import re

import psycopg2
import pytest

from harness import clients
from harness.events import event
from harness.wait import wait_until

pytestmark = clients.only_on_demand

EXAMPLES = os.environ.get("AURORE_EXAMPLES", "150")
SEED = os.environ.get("AURORE_SEED", "1")
TOKEN = "the secret of an admin"


def events_and_dead_letters(api):
    """Something to list, show, put back and delete; and of what is sent from now
    on the database refuses a third."""
    wait_until(api.database.has_schema, 30, "there is no schema")
    api.database.execute(
        "ALTER TABLE aurore.event ADD CONSTRAINT no_thirds"
        " CHECK (length(message) % 3 > 0) NOT VALID"
    )
    api.accept([event("x" * n, "auth-service") for n in range(1, 151)])
    wait_until(lambda: api.database.dead_letters() == 50, 30, "no dead letters")
    wait_until(lambda: api.get("/metrics/history").json(), 30, "no snapshots")
    api.database.wait_stored(100)


@pytest.fixture
def usual(database, programs):
    """Open to everybody."""
    api = programs.collectd(database, {"HistoryInterval": 1}).start()
    events_and_dead_letters(api)
    return api


@pytest.fixture
def guarded(usual):
    """With tokens, once it is filled."""
    usual.stop()
    usual.buffer["TokenFile"] = usual.directory / "tokens"
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    usual.buffer["TokenFile"].write_text(f"admin {digest}\n")
    return usual.start()


@pytest.fixture
def full(database, programs):
    """The database answers queries and stores nothing."""
    api = programs.collectd(database, {"Capacity": 200, "HistoryInterval": 1}).start()
    events_and_dead_letters(api)
    blocker = psycopg2.connect(database.conninfo)
    blocker.cursor().execute("LOCK TABLE aurore.event IN SHARE MODE")
    wait_until(lambda: api.post(event()).status_code == 429, 60, "it is not full")
    yield api
    blocker.close()
    api.rest()


@pytest.fixture
def away(programs):
    """There is no database."""
    writer = {"ShutdownTimeout": 0.1}
    api = programs.collectd("host=/nonexistent dbname=x", {"HistoryInterval": 1}, writer)
    api.expected_status = 1  # what waits in memory is lost
    return api.start()


CONFIGURATIONS = {"usual": "open", "guarded": "tokens", "full": "troubled", "away": "troubled"}


@pytest.mark.parametrize("state", CONFIGURATIONS)
def test_schemathesis(request, state):
    place, python = clients.python("schemathesis")
    api = request.getfixturevalue(state)
    said = clients.run(
        python.parent / "schemathesis", "--no-color",
        "--config-file", f"{CONFIGURATIONS[state]}.toml",
        "run", api.url("/openapi.json"), "--checks", "all",
        "--max-examples", EXAMPLES, "--seed", SEED,
        cwd=place, timeout=3600, PYTHONPATH=str(place),
    )  # fmt: skip
    ((made, passed, skipped),) = re.findall(
        r"(\d+) generated, (\d+) passed(?:, (\d+) skipped)?$", said, re.M
    )
    print(f"{state}: {made} requests, {skipped or 0} of them not sent")
    assert int(made) == int(passed) + int(skipped or 0) > 20 * int(EXAMPLES)
