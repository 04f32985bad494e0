# SPDX-License-Identifier: MIT
"""The dashboard is rendered, with Grafana's own components in a headless
Chromium, from a Prometheus that scrapes a loaded collectd, and a picture of it
is taken for a human to look at. The renderer comes from npm and takes minutes
to install, so this runs only when AURORE_PICTURE is set: to the file that the
picture is written to, or to 1."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from harness import build, queries
from harness.events import event
from harness.wait import wait_until

# The fixture: the whole of what watches, and somebody who sends events.
from test_alerts import refuse_poison, watched  # noqa: F401

PICTURE = os.environ.get("AURORE_PICTURE", "")
SERVICES = ("auth", "billing", "catalog", "checkout", "mail", "search", "web")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        PICTURE == "", reason="AURORE_PICTURE is not set: installs npm packages"
    ),
]


@pytest.fixture(scope="module")
def renderer(base):
    """A copy of tests/grafana-render with its packages."""
    place = base / "grafana-render"
    shutil.copytree(
        build.TOP / "tests/grafana-render",
        place,
        ignore=shutil.ignore_patterns("node_modules"),
    )
    done = subprocess.run(
        ["npm", "ci", "--no-audit", "--no-fund"],
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return place


def busy(watched):
    """A little of everything, until there are two minutes of it."""
    number = 0

    def enough():
        nonlocal number
        number += 1
        service = SERVICES[number * number % len(SERVICES)]
        watched.accept([event(f"{number}", service)] * (20 + number % 60))
        if number % 20 == 0:
            watched.accept(event("poison", "mail"))
            watched.post("{")
            watched.get("/health")
            watched.get("/events", params={"service": "web"})
        return watched.prometheus.value("count_over_time(buffer_size[10m])") > 120

    wait_until(enough, 300, "there are no two minutes of figures")


def test_every_panel_is_drawn(watched, renderer):  # noqa: F811
    refuse_poison(watched.database)
    busy(watched)
    output = Path(PICTURE if PICTURE != "1" else renderer / "dashboard.png")
    done = subprocess.run(
        [
            "node",
            "render.mjs",
            f"--prometheus=http://127.0.0.1:{watched.prometheus.port}",
            f"--dashboard={queries.DASHBOARD}",
            f"--output={output.resolve()}",
            "--minutes=3",
            # When all is well there is nothing to see in it.
            "--may-be-empty=Active Alerts",
        ],
        cwd=renderer,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    drawn = [json.loads(line) for line in done.stdout.splitlines()]
    titles = [panel["title"] for panel in queries.panels(queries.dashboard())]
    assert [panel["title"] for panel in drawn] == titles
    assert output.read_bytes().startswith(b"\x89PNG")
