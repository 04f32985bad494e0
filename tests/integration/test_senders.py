# SPDX-License-Identifier: MIT
"""docs/sending.md: its examples, as they are there, with answers that get lost, a
server that is killed and a database that is away; what is stored is what was sent,
each event once."""

import contextlib
import http.server
import json
import re
import shutil
import ssl
import sys
import threading
from datetime import datetime, timezone

import pytest
import requests

from harness import browser, build
from harness.alertmanager import Alertmanager
from harness.certificate import make_certificate
from harness.collectd import STOCK_PLUGINS
from harness.events import Maker, as_stored, is_now, stored_events
from harness.examples import DOCUMENT, example, names
from harness.loggers import ABSENT, UNPACKED, Rsyslog, SyslogNg
from harness.ordeal import World
from harness.process import Process
from harness.wait import wait_until

AURORECTL = build.plugin_directory().parent / "aurorectl"
NODE = shutil.which("node")
A_FEW = 10

# What runs elsewhere, or cannot run here, as the document says.
ELSEWHERE = {"otel-sdk", "otel-python", "otel-go", "otel-collector", "cloudevents-node"}
NOT_HERE = {"fluent-bit", "vector", "telegraf"}

needs_loggers = pytest.mark.skipif(not UNPACKED.is_dir(), reason=ABSENT)
needs_browser = pytest.mark.skipif(browser.PROGRAM is None, reason=browser.ABSENT)


def test_it_can_be_found():
    for page in "README.md", "docs/shapes.md", "docs/opentelemetry.md":
        assert "sending.md)" in (build.TOP / page).read_text(), page


def test_each_example_is_run_or_said_not_to_be():
    mine = set(re.findall(r'\bexample\(\s*"([\w-]+)"', open(__file__).read()))
    programs = {name for name, _ in PROGRAMS}
    assert mine | programs | ELSEWHERE | NOT_HERE == set(names())


def test_the_files_that_it_names_exist():
    text = DOCUMENT.read_text()
    for name in set(re.findall(r"\]\(([\w./-]+)\)", text)):
        assert (DOCUMENT.parent / name).exists(), name
    for name in set(re.findall(r"`((?:tests|docs)/[\w/.]+)`", text)):
        assert (build.TOP / name).exists(), name
    headings = {
        re.sub(r"[^\w -]", "", line[3:]).lower().replace(" ", "-")
        for line in text.splitlines()
        if line.startswith("## ")
    }
    assert set(re.findall(r"\]\(#([\w-]+)\)", text)) <= headings


@pytest.fixture
def world(programs, own_postgres):
    made = World(programs, own_postgres)
    yield made
    made.close()


# --- programs that send a file ------------------------------------------------------

# The name of the example, and the command that runs it.
PROGRAMS = [
    ("curl", "sh -eu PROGRAM"),
    ("python-requests", f"{sys.executable} PROGRAM <events.ndjson"),
    ("python-urllib", f"{sys.executable} PROGRAM <events.ndjson"),
    ("node", "node PROGRAM <events.ndjson"),
    ("c", "cc -Wall -Wextra -Werror -x c -o send PROGRAM -lcurl && ./send <events.ndjson"),
]
each_program = pytest.mark.parametrize(
    "name,command", PROGRAMS, ids=[name for name, _ in PROGRAMS]
)


def prepare(world, name, command):
    """Writes the program of an example; the command."""
    ending = ".mjs" if name == "node" else ""
    program = world.directory / f"example{ending}"
    program.write_text(example(name, world.road.port))
    return ["sh", "-eu", "-c", command.replace("PROGRAM", program.name)]


@pytest.mark.slow
@each_program
def test_a_program(world, name, command):
    """Several batches, all of them in order, through everything."""
    if name == "node" and NODE is None:
        pytest.skip("nodejs is not installed")
    command = prepare(world, name, command)
    maker = Maker(7)
    expected = []

    def send(_):
        made = [maker.make() for _ in range(3 * A_FEW)]
        expected.extend(as_stored(*one) for one in made)
        lines = "".join(json.dumps(one) + "\n" for one, _ in made)
        (world.directory / "events.ndjson").write_text(lines)
        process = Process(command, world.directory / "log", cwd=world.directory)

        def ends():
            assert process.wait(120) == 0, process.log()

        return ends

    world.ordeal(send)
    rows = world.rows(len(expected))
    assert sorted(rows, key=repr) == sorted(expected, key=repr)


@each_program
def test_a_program_that_is_refused(world, name, command):
    """It ends instead of repeating what is no JSON, or says so."""
    if name == "node" and NODE is None:
        pytest.skip("nodejs is not installed")
    (world.directory / "events.ndjson").write_text("{}\n")
    process = Process(
        prepare(world, name, command), world.directory / "log", cwd=world.directory
    )
    assert process.wait(60) != 0, process.log()
    assert world.road.statuses == [400]


def test_cloudevents(world):
    """Sent by each of five calls, one of them twice; stored once."""
    program = world.directory / "example"
    program.write_text(example("cloudevents", world.road.port))

    def send(_):
        process = Process(["sh", "-eu", program], world.directory / "log")

        def ends():
            assert process.wait(120) == 0, process.log()

        return ends

    world.ordeal(send)
    assert world.road.accepted() == 5
    [(us, service, message, metadata)] = world.rows(1)
    assert us == 1795508666000000
    assert service == "https://shop.example/orders"[:100]
    assert message == "order.paid"
    assert metadata["id"] == "4711-paid"
    assert metadata["data"] == {"order": 4711, "sum": "12.50"}


# --- what has a queue of its own ----------------------------------------------------


@contextlib.contextmanager
def running(program):
    try:
        yield program.start()
    finally:
        program.stop()


def log_through(world, logger):
    """Some lines in each part of the ordeal; the texts, in order."""
    sent = []

    def send(name):
        waits = world.wait_accepted()
        for number in range(A_FEW):
            text = f'{name} {number} "zoë" \\ 😀\ttab'
            sent.append(text)
            logger.log("checkout[42]", text)
        return waits

    world.ordeal(send)
    return sent


def check_logged(world, sent):
    rows = world.rows(len(sent))
    assert sorted(row[2].strip() for row in rows) == sorted(sent)
    for us, service, _, metadata in rows:
        assert is_now(us)
        assert service == "checkout"
        assert metadata["severity"] == "info"
        assert metadata["pid"] == "42"
        assert metadata["host"]


@needs_loggers
def test_rsyslog(world):
    text = example(
        "rsyslog",
        world.road.port,
        {"/usr/bin/aurorectl": AURORECTL, "/var/spool/rsyslog": "DIRECTORY"},
    )
    with running(Rsyslog(world.base, text)) as logger:
        sent = log_through(world, logger)
        # Control characters are what rsyslog writes in another way.
        check_logged(world, [one.replace("\t", "#011") for one in sent])


@needs_loggers
def test_syslog_ng(world):
    text = example(
        "syslog-ng",
        world.road.port,
        {"disk-buffer(": 'disk-buffer(dir("DIRECTORY") '},
    )
    with running(SyslogNg(world.base, text)) as logger:
        check_logged(world, log_through(world, logger))


@pytest.mark.slow
@needs_loggers
def test_syslog_ng_without_room(programs, own_postgres):
    """What is answered with 429 comes again."""
    world = World(programs, own_postgres, RateLimit=5)
    text = example(
        "syslog-ng",
        world.road.port,
        {
            "disk-buffer(": 'disk-buffer(dir("DIRECTORY") ',
            "batch-lines(500)": "batch-lines(20)",
        },
    )
    try:
        with running(SyslogNg(world.base, text)) as logger:
            sent = [f"number {i}" for i in range(5 * A_FEW)]
            for one in sent:
                logger.log("checkout[42]", one)
            wait_until(lambda: 429 in world.road.statuses, 60, "never 429")
            check_logged(world, sent)
    finally:
        world.close()


class Notifying(Alertmanager):
    """With the receiver of the document; in a hurry."""

    def __init__(self, base, text):
        self.text = text
        super().__init__(base)

    def _write_config(self):
        self.config_path = self.directory / "alertmanager.yml"
        hurry = "  group_wait: 0s\n  group_interval: 1s\n  repeat_interval: 1s\n"
        assert self.text.startswith("route:\n")
        self.config_path.write_text(self.text.replace("route:\n", "route:\n" + hurry))

    def raise_alert(self, name, starts, **annotations):
        alert = {"labels": {"alertname": name, "severity": "page"}}
        alert.update(startsAt=starts, annotations=annotations)
        answer = requests.post(
            f"http://127.0.0.1:{self.port}/api/v2/alerts", json=[alert], timeout=30
        )
        assert answer.status_code == 200, answer.text


@pytest.mark.slow
def test_alertmanager(world):
    """Alerts that fire on, and are told again and again."""
    starts = datetime.now(timezone.utc).replace(microsecond=123000)
    with running(
        Notifying(world.base, example("alertmanager", world.road.port))
    ) as alertmanager:
        sent = {}

        def send(name):
            waits = world.wait_accepted(3)
            summary = f"{name}: zoë 😀\nline 2"
            alertmanager.raise_alert(
                f"Alert{len(sent)}", starts.isoformat(), summary=summary
            )
            sent[f"Alert{len(sent)}"] = summary
            return waits

        world.ordeal(send)
        rows = world.rows(len(sent))
        world.wait_accepted(3 * len(sent))()  # they are told again, all of them
        assert world.rows(len(sent)) == rows
    for us, service, message, metadata in rows:
        name = metadata["labels"]["alertname"]
        assert message == sent.pop(name)
        assert us == int(starts.timestamp() * 1000) * 1000
        assert service == "alertmanager"
        assert metadata["status"] == "firing"
        assert metadata["labels"]["severity"] == "page"
    assert sent == {}


def test_collectds_own(world, programs):
    """What it notifies of while the server is away is lost, as the document says;
    nothing else is, nor is anything stored twice."""
    text = f'PluginDir "{STOCK_PLUGINS}"\n' + example("collectd", world.road.port)
    sender = programs.collectd("", text=text, load=()).start()
    sent = []

    def notify(name):
        text = f"{name} zoë: a 'load'"
        answer = sender.command(
            "PUTNOTIF severity=failure time=1795654800.5 host=web1 plugin=load "
            f'type=load message="{text}"'
        )
        assert answer.startswith("0 "), answer
        return text

    for number in range(A_FEW):
        waits = world.wait_accepted()
        sent.append(notify(f"number {number}"))
        waits()
    world.api.kill()
    notify("nobody is there")
    wait_until(lambda: world.road.refused > 0, 30, "it does not try")
    world.api.start()
    waits = world.wait_accepted()
    sent.append(notify("it is there again"))
    waits()
    rows = world.rows(len(sent))
    assert sorted(row[2] for row in rows) == sorted(sent)
    for us, service, _, metadata in rows:
        assert us == 1795654800500000
        assert service == "collectd"
        assert metadata["labels"]["severity"] == "FAILURE"
        assert metadata["labels"]["instance"] == "web1"


# --- browsers -----------------------------------------------------------------------


class Site:
    """A page with the example on it, and what it is to record: it asks for more
    as long as it is there."""

    def __init__(self, script, certificate=None):
        self.wanted = []
        self.headers = []  # (name, value) of what the page says beside
        self.asked = 0
        outer = self
        page = f"<!DOCTYPE html><title>page</title><body><script>{script}</script>"

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                if self.path == "/more":
                    outer.asked += 1
                    wanted, outer.wanted = outer.wanted, []
                    self.answer("application/json", json.dumps(wanted))
                else:
                    self.answer("text/html", page if self.path == "/" else "bye")

            def answer(self, kind, text):
                self.send_response(200)
                self.send_header("Content-Type", kind)
                for name, value in outer.headers:
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(f"{certificate}.pem", f"{certificate}.key")
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True
            )
        scheme = "http" if certificate is None else "https"
        self.origin = f"{scheme}://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


# What a page does beside the example: a text is recorded; an address is gone to.
ASK = """
async function ask() {
  for (;;) {
    for (const one of await (await fetch("/more")).json()) {
      if (one.go) location.href = one.go;
      else record(one.text, one.metadata);
    }
    await new Promise((done) => setTimeout(done, 20));
  }
}
ask();
"""


@pytest.fixture
def browsing(world):
    """Starts the browser, which ends with the test, as the site does."""
    with contextlib.ExitStack() as stack:

        def browse(site, *flags):
            stack.callback(site.stop)
            process = browser.browse(world.directory, site.origin, *flags)
            stack.callback(process.kill)
            return process

        yield browse


@pytest.mark.slow
@needs_browser
def test_a_page(world, browsing):
    """Of another origin. At its end it goes, with an event that it has just sent
    and whose answer is lost: the beacon sends it once more."""
    site = Site(example("browser", world.road.port) + ASK)
    world.api.buffer["AllowOrigin"] = site.origin
    world.api.stop()
    world.api.start()
    process = browsing(site)
    sent = {}

    def send(name):
        waits = world.wait_accepted()
        for number in range(A_FEW):
            one = {"text": f"{name} {number} 😀", "metadata": {"n": number}}
            sent[one["text"]] = one["metadata"]
            site.wanted.append(one)
        return waits

    world.ordeal(send)
    world.rows(len(sent))
    world.road.lose(1)
    waits = world.wait_accepted()
    site.wanted += [{"text": "the last one", "metadata": {}}, {"go": "/bye"}]
    sent["the last one"] = {}
    waits()
    rows = world.rows(len(sent))
    assert {row[2]: row[3] for row in rows} == sent, process.log()
    assert all(is_now(row[0]) and row[1] == "web" for row in rows)


@pytest.mark.slow
@needs_browser
def test_reports(programs, database):
    """Of a page that is served by HTTPS, to a server that is too."""
    api = programs.collectd(database)
    make_certificate(api.directory, "server")
    certificate = api.directory / "server"
    site = Site(
        'new Image().src = "https://127.0.0.1:1/forbidden.png";', certificate
    )
    api.buffer.update(
        AllowOrigin=site.origin,
        TLSCertificate=f"{certificate}.pem",
        TLSKey=f"{certificate}.key",
    )
    api.url = lambda path: f"https://127.0.0.1:{api.port}{path}"
    api.session.trust_env = False
    api.session.verify = f"{certificate}.pem"
    api.start()
    site.headers = [
        line.split(": ", 1) for line in example("reports", api.port).splitlines()
    ]
    process = browser.browse(
        api.directory,
        site.origin,
        "--ignore-certificate-errors",
        "--short-reporting-delay",
    )
    try:
        wait_until(
            lambda: database.stored() >= 1,
            120,
            lambda: f"nothing is reported:\n{process.log()}",
        )
    finally:
        process.kill()
        site.stop()
    for us, service, message, metadata in stored_events(database).values():
        assert is_now(us)
        assert service == "reports"
        assert message == "img-src"
        assert metadata["type"] == "csp-violation"
        assert metadata["body"]["blockedURL"] == "https://127.0.0.1:1/forbidden.png"
        assert metadata["url"].startswith(site.origin)
