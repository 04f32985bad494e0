# SPDX-License-Identifier: MIT
"""The dashboards are rendered, with Grafana's own components in a headless
Chromium, from three loaded hosts with one database and the Prometheus that scrapes
them, and pictures of them are taken for a human to look at. The renderer comes from
npm and takes minutes to install, so this runs only when AURORE_PICTURE is set: to
the directory that the pictures are written to, or to 1."""

import json
import os
import shutil
import subprocess
import threading
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psycopg2
import pytest

from harness import build, queries
from harness.collectd import BOTH
from harness.events import event
from harness.load import Load
from harness.programs import QUICK
from harness.wait import wait_until

from test_alerts import Whole, refuse_poison
from test_events_dashboard import Reader, rights
from test_tls import Https, make_certificate

PICTURE = os.environ.get("AURORE_PICTURE", "")
HOSTS = ("north", "south", "west")
SERVICES = ("auth", "billing", "catalog", "checkout", "mail", "search", "web")
MINUTES = 3
HOURS = 6  # of events

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


def secure(host):
    """This one speaks TLS."""
    make_certificate(host.directory, "server", days=90)
    shutil.copy(host.directory / "server.pem", host.directory / "trusted.pem")
    host.buffer["TLSCertificate"] = host.directory / "server.pem"
    host.buffer["TLSKey"] = host.directory / "server.key"
    host.session.trust_env = False
    host.session.verify = str(host.directory / "trusted.pem")
    host.url = Https(host).url


@pytest.fixture(scope="module")
def loaded(base, module_programs):
    """Three hosts with one database, each with the plugins of conf.d, and what
    watches them; there has been a little of everything, for some minutes."""
    server = module_programs.postgres()
    database = server.create_database()
    hosts = []
    for name in HOSTS:
        writer = dict(
            QUICK, SlowQuery=0, BusinessInterval=0.2, ConnInfo=database.conninfo
        )
        host = Whole(base, {"Capacity": 20000}, writer, BOTH, host=name)
        host.buffer["SpoolDirectory"] = host.directory / "spool"
        host.server, host.database = server, database
        hosts.append(module_programs.adopt(host))
    secure(hosts[-1])
    for host in hosts:
        host.start()
    hosts[0].alertmanager = module_programs.alertmanager()
    hosts[0].prometheus = module_programs.prometheus(
        *hosts, alertmanager=hosts[0].alertmanager
    )
    wait_until(database.has_schema, 30, "there is no schema")
    refuse_poison(database)
    busy(hosts)
    # So that it goes on while the pictures are taken.
    with Load(hosts[0], threads=1, events=3), Load(hosts[1], threads=1, events=2):
        yield hosts


def some_events(number, size):
    """As those of a working day: a little late, with metadata, of some services."""
    now = datetime.now(timezone.utc)
    service = SERVICES[(3 * number + number // 5) % len(SERVICES)]
    return [
        event(
            f"{service} did piece {number} of its work",
            service,
            timestamp=(now - timedelta(seconds=i % 7 * 0.3)).isoformat(),
            metadata={"level": "info" if i % 9 else "warning", "piece": number},
        )
        for i in range(size)
    ]


def busy(hosts):
    number = 0

    def enough():
        nonlocal number
        number += 1
        host = hosts[number % len(hosts)]
        # The first takes more than the others.
        host.accept(some_events(number, 20 + number % 60 + 60 * (host is hosts[0])))
        if number % 20 == 0:
            host.accept(event("poison", "mail"))
            host.post("{")
            host.get("/health")
            host.get("/events", params={"service": "web"})
        seen = "min(count_over_time(buffer_size[10m]))"
        return (hosts[0].prometheus.value(seen) or 0) > 60 * (MINUTES - 0.5)

    wait_until(enough, 400, "there are no minutes of figures")


def hours_before(host):
    """What the table of events would hold, had there been any load before: late by
    a second or so, and by minutes while one of the clients had no network."""
    host.accept([
        event(
            f"{SERVICES[i % len(SERVICES)]} did a piece of its work",
            SERVICES[i % len(SERVICES)],
            timestamp=(
                datetime.now(timezone.utc) - timedelta(seconds=300 + 10 * i)
            ).isoformat(),
            metadata={"level": "info", "piece": i},
        )
        for i in range(36 * HOURS * 10)
    ])  # fmt: skip
    host.rest()
    host.database.execute(
        "UPDATE aurore.event SET ingested_at = occurred_at + interval '1 second' *"
        " CASE WHEN service = 'mail' AND age BETWEEN interval '2 h' AND interval '3 h'"
        " THEN 400 ELSE 0.3 + abs(sin(extract(epoch FROM occurred_at) / 900)) END"
        " FROM (SELECT event_id AS id, now() - occurred_at AS age FROM aurore.event) a"
        " WHERE id = event_id AND age BETWEEN interval '290 s' AND interval '1 d'"
        # There is no partition of yesterday.
        " AND occurred_at > date_trunc('day', now())"
    )
    per_minute = "3000 + 1800 * sin(extract(epoch FROM at) / 3000)"
    host.database.execute(
        f"INSERT INTO aurore.event_minute SELECT at, {per_minute} FROM"
        " generate_series(date_trunc('minute', now()) - %s * interval '1 h',"
        " date_trunc('minute', now()) - interval '6 min', interval '1 min') AS at"
        " ON CONFLICT DO NOTHING",
        (HOURS,),
    )
    host.database.execute(
        f"INSERT INTO aurore.event_hour SELECT at, 60 * ({per_minute}) * share / 10, s"
        " FROM generate_series(date_trunc('hour', now()) - %s * interval '1 h',"
        " date_trunc('hour', now()) - interval '1 h', interval '1 h') AS at,"
        " unnest(%s, ARRAY[3, 2, 1, 1, 1, 1, 1]) AS u (s, share)"
        " ON CONFLICT DO NOTHING",
        (HOURS, list(SERVICES)),
    )


def render(renderer, dashboard, name, *arguments, minutes=MINUTES):
    """Draws it; returns what is in the panels."""
    place = Path(PICTURE) if PICTURE != "1" else renderer
    output = (place / f"{name}.png").resolve()
    done = subprocess.run(
        [
            "node",
            "render.mjs",
            f"--dashboard={dashboard}",
            f"--output={output}",
            f"--minutes={minutes}",
            *arguments,
        ],
        cwd=renderer,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert output.read_bytes().startswith(b"\x89PNG")
    return [json.loads(line) for line in done.stdout.splitlines()]


def titles(board):
    return [panel["title"] for panel in queries.panels(board)]


def test_every_panel_is_drawn(loaded, renderer):
    drawn = render(
        renderer,
        queries.DASHBOARD,
        "dashboard",
        f"--prometheus=http://127.0.0.1:{loaded[0].prometheus.port}",
        # When all is well there is nothing to see in it.
        "--may-be-empty=Active Alerts",
    )
    assert [panel["title"] for panel in drawn] == titles(queries.dashboard())
    series = {panel["title"]: panel["series"] for panel in drawn}
    assert series["Lanes Fenced or Blocked"] == 2 * len(HOSTS)
    assert series["Hosts"] == 9  # columns


# --- the dashboard of the events ---------------------------------------------------------


def kind(value):
    if isinstance(value, datetime):
        return "time"
    return "number" if isinstance(value, (int, float, Decimal)) else "text"


def plain(value):
    if isinstance(value, datetime):
        return value.timestamp() * 1000
    return float(value) if isinstance(value, Decimal) else value


class Asked(BaseHTTPRequestHandler):
    """Puts a panel's query to the database as Grafana would."""

    reader = None

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = self.answer(asked)
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def answer(self, asked):
        begin, end = (
            datetime.fromtimestamp(asked[name] / 1000, timezone.utc)
            for name in ("from", "to")
        )
        self.reader.begin, self.reader.end = begin, end
        try:
            rows = self.reader.ask(asked["sql"])
        except psycopg2.Error as error:
            return {"error": str(error)}
        columns = [
            {"name": name, "type": self.kind_of(name, rows)} for name in rows[0]
        ] if rows else []  # fmt: skip
        return {
            "columns": columns,
            "rows": [
                [self.milliseconds(name, plain(v)) for name, v in row.items()]
                for row in rows
            ],
        }

    @staticmethod
    def kind_of(name, rows):
        known = [row[name] for row in rows if row[name] is not None]
        return "time" if name == "time" else kind(known[0]) if known else "text"

    @staticmethod
    def milliseconds(name, value):
        """$__timeGroup answers seconds."""
        return value * 1000 if name == "time" and value < 1e11 else value

    def log_message(self, *_):
        pass


@pytest.fixture
def asked(loaded):
    """Where the queries of panels are answered, with the role of the document."""
    database = loaded[0].database
    database.execute(rights().replace("aurore_events", database.name))
    connection = psycopg2.connect(database.conninfo, user="aurore_reader")
    connection.autocommit = True
    now = datetime.now(timezone.utc)
    hours_before(loaded[0])
    reader = Reader(connection, now - timedelta(hours=HOURS), now)
    reader.services = [*SERVICES, "load"]
    reader.seconds = HOURS * 60  # of six hours, in as many parts as a panel has
    reader.values["event"] = reader.panel("Events")[0]["id"]
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), type("Asked", (Asked,), {"reader": reader})
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
    connection.close()


def test_every_panel_of_the_events_is_drawn(loaded, renderer, asked):
    drawn = render(
        renderer,
        queries.EVENTS_DASHBOARD,
        "dashboard-events",
        f"--sql={asked}",
        minutes=60 * HOURS,
    )
    assert [panel["title"] for panel in drawn] == titles(queries.events_dashboard())
