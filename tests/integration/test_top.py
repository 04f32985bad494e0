# SPDX-License-Identifier: MIT
"""aurorectl top, in a pseudo terminal: what is on the screen is read off a small
terminal of our own, which does with the program's bytes what a real one would."""

import fcntl
import http.server
import json
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import tempfile
import termios
import threading
from pathlib import Path

import pytest

from harness import build
from harness.doctor import PROGRAM
from harness.events import event
from harness.wait import wait_until


def environment(**more):
    mine = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("AURORE_") and key != "NO_COLOR"
    }
    sanitizer = build.sanitizer_environment(Path(tempfile.gettempdir()))
    return {**mine, **sanitizer, "TERM": "xterm", **more}


def once(*arguments, status=0, **more):
    done = subprocess.run(
        [PROGRAM, "top", "--once", "--interval", "0.3", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment(**more),
        timeout=60 * build.PATIENCE,
        check=False,
    )
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    return done


# --- a terminal ---------------------------------------------------------------------


class Screen:
    """As much of a terminal as the program may use: anything else fails."""

    def __init__(self, columns, rows):
        self.columns, self.rows = columns, rows
        self.cells = [[" "] * columns for _ in range(rows)]
        self.x = self.y = 0
        self.modes = {"1049": False, "25": True, "7": True}
        self.colors = set()
        self.wrapped = False
        # Pictures that may still be of the size before.
        self.late = 0

    def resize(self, columns, rows):
        self.late = 2
        self.cells = [
            (row + [" "] * columns)[:columns] for row in self.cells[:rows]
        ] + [[" "] * columns for _ in range(rows - len(self.cells))]
        self.columns, self.rows = columns, rows
        self.x, self.y = min(self.x, columns - 1), min(self.y, rows - 1)

    def text(self):
        return "\n".join("".join(row).rstrip() for row in self.cells)

    def feed(self, text):
        """Returns what is not a whole sequence yet."""
        while text:
            match = re.match(r"\x1b(?:\[(\??)([\d;]*)([A-Za-z]))?", text)
            if match and match[3] is None:
                return text
            if match:
                self.obey(match[1], match[2], match[3])
                text = text[match.end():]
                continue
            self.put(text[0])
            text = text[1:]
        return ""

    def obey(self, private, numbers, letter):
        if private:
            assert numbers in self.modes and letter in "hl", (numbers, letter)
            self.modes[numbers] = letter == "h"
        elif letter == "H":
            assert numbers == ""
            self.x = self.y = 0
            self.late = max(self.late - 1, 0)
        elif letter == "K":
            assert numbers == ""
            self.cells[self.y][self.x:] = [" "] * (self.columns - self.x)
        elif letter == "J":
            assert numbers == ""
            self.cells[self.y][self.x:] = [" "] * (self.columns - self.x)
            for y in range(self.y + 1, self.rows):
                self.cells[y] = [" "] * self.columns
        else:
            assert letter == "m", (numbers, letter)
            self.colors.add(numbers)

    def put(self, character):
        if character == "\r":
            self.x = 0
        elif character == "\n":
            assert self.y < self.rows - 1 or self.late, "it scrolls"
            self.y = min(self.y + 1, self.rows - 1)
        else:
            assert character >= " "
            if self.x == self.columns:
                self.wrapped = self.wrapped or not self.late
                return
            self.cells[self.y][self.x] = character
            self.x += 1


class Terminal:
    """The program in a pseudo terminal, whose other end is read by a thread."""

    def __init__(self, *arguments, columns=100, rows=40, **more):
        self.master, self.slave = pty.openpty()
        self.lock = threading.Lock()
        self.screen = Screen(columns, rows)
        self.set_size(columns, rows)
        self.before = termios.tcgetattr(self.slave)
        self.error = None
        self.process = subprocess.Popen(
            [PROGRAM, "top", "--interval", "0.2", *map(str, arguments)],
            stdin=self.slave,
            stdout=self.slave,
            stderr=subprocess.PIPE,
            env=environment(**more),
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        self.thread = threading.Thread(target=self.read)
        self.thread.start()

    def set_size(self, columns, rows):
        fcntl.ioctl(
            self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0)
        )

    def resize(self, columns, rows):
        with self.lock:
            self.screen.resize(columns, rows)
            self.set_size(columns, rows)

    def read(self):
        rest = b""
        text = ""
        while True:
            try:
                piece = os.read(self.master, 65536)
            except OSError:
                return
            rest += piece
            try:
                text, rest = text + rest.decode(), b""
            except UnicodeDecodeError:
                continue
            with self.lock:
                try:
                    text = self.screen.feed(text)
                except (AssertionError, IndexError) as error:
                    self.error = error
                    return

    def text(self):
        with self.lock:
            assert self.error is None, self.error
            return self.screen.text()

    def wait_for(self, pattern, timeout=20):
        wait_until(
            lambda: re.search(pattern, self.text(), re.M),
            timeout,
            lambda: f"{pattern!r} is not in\n{self.text()}",
        )

    def type(self, text):
        os.write(self.master, text)

    def wait_end(self):
        """Its exit status; by then the terminal is as it was."""
        status = self.process.wait(30 * build.PATIENCE)
        errors = self.process.stderr.read().decode()
        assert not any(mark in errors for mark in build.SANITIZER_MARKS), errors
        assert termios.tcgetattr(self.slave) == self.before
        wait_until(
            lambda: self.screen.modes == {"1049": False, "25": True, "7": True},
            10,
            lambda: self.screen.modes,
        )
        return status

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stderr.close()
        os.close(self.slave)
        self.thread.join(10)
        os.close(self.master)


@pytest.fixture
def terminals():
    made = []

    def make(*arguments, **keywords):
        made.append(Terminal(*arguments, **keywords))
        return made[-1]

    yield make
    for one in made:
        one.close()


# --- one view -----------------------------------------------------------------------


def test_once(api):
    api.accept([event(f"number {i}") for i in range(5)])
    api.rest()
    done = once("--url", api.url(""))
    view = done.stdout
    assert done.stderr == ""
    assert "\x1b" not in view and "\r" not in view
    assert re.search(r"^aurore \d+\.\d+\.\d+, collectd 5\.12\S*, up .* UTC$", view, re.M)
    assert re.search(r"^status    healthy$", view, re.M)
    assert re.search(r"^  accepted +\d+\.\d +5$", view, re.M), view
    assert re.search(r"^  stored +\d+\.\d +5$", view, re.M)
    assert re.search(r"^buffer    \[\.+\] 0\.0 %$", view, re.M)
    assert re.search(r"^ +0 of 1000000 events, \S+ \w*B, oldest 0\.0 s$", view, re.M)
    assert re.search(r"^database  connected, answers in \d+ ms", view, re.M)
    assert re.search(r"^breaker   CLOSED, 0 failures$", view, re.M)
    assert re.search(r"^lanes     0 fenced, 0 blocked$", view, re.M)
    assert re.search(r"^letters   0 dead letters wait$", view, re.M)
    assert re.search(r"^sync      p50 \S+ ms, p99 \S+ ms, of \d+$", view, re.M)
    assert re.search(r"^commit    p50 \S+ ms, p99 \S+ ms, of \d+$", view, re.M)


def test_once_without_a_server(api):
    done = once("--url", "http://127.0.0.1:1", status=3)
    assert done.stdout == "" and "no answer from http://127.0.0.1:1" in done.stderr


def test_once_without_a_token(programs, database, tmp_path):
    token = tmp_path / "token"
    tokens = tmp_path / "tokens"
    made = subprocess.run(
        [PROGRAM, "token", "--file", tokens, "read"],
        capture_output=True,
        env=environment(),
        check=True,
    )
    token.write_bytes(made.stdout)
    api = programs.collectd(database, {"TokenFile": str(tokens)}).start()
    assert "401" in once("--url", api.url(""), status=4).stderr
    assert "healthy" in once("--url", api.url(""), "--token-file", token).stdout


def test_without_a_terminal(api):
    done = subprocess.run(
        [PROGRAM, "top", "--url", api.url("")],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=environment(),
        check=False,
    )
    assert done.returncode == 2 and b"--once" in done.stderr


# --- on a screen --------------------------------------------------------------------


@pytest.mark.parametrize("key", [b"q", b"Q", b"\x03"])
def test_it_ends_and_leaves_the_terminal_as_it_was(api, terminals, key):
    terminal = terminals("--url", api.url(""))
    terminal.wait_for("^status    healthy")
    assert terminal.screen.modes == {"1049": True, "25": False, "7": False}
    assert termios.tcgetattr(terminal.slave) != terminal.before
    terminal.type(key)
    assert terminal.wait_end() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_it_ends_by_a_signal(api, terminals, number):
    terminal = terminals("--url", api.url(""))
    terminal.wait_for("^status    healthy")
    terminal.process.send_signal(number)
    assert terminal.wait_end() == 0


def test_it_ends_while_a_server_is_silent(terminals):
    """Whose connection is taken, and never answered."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        terminal = terminals("--url", f"http://127.0.0.1:{port}", "--timeout", 3600)
        connection, _ = silent.accept()
        terminal.type(b"q")
        assert terminal.wait_end() == 0
        connection.close()


def test_other_keys_do_nothing(api, terminals):
    terminal = terminals("--url", api.url(""))
    terminal.wait_for("^status    healthy")
    terminal.type(b"abc\x1a\x1b[A")
    api.accept(event())
    total = int(api.rest().get("events_enqueued_total"))
    terminal.wait_for(rf"^  accepted .* {total}$")
    assert terminal.process.poll() is None


def test_it_adapts_to_the_size(api, terminals):
    terminal = terminals("--url", api.url(""), columns=120, rows=40)
    terminal.wait_for(r"^buffer    \[\.{60}\] 0\.0 %$")
    terminal.wait_for(r"^memory    ")
    terminal.resize(80, 24)
    terminal.wait_for(r"^buffer    \[\.{60}\] 0\.0 %$")
    terminal.resize(70, 24)
    terminal.wait_for(r"^buffer    \[\.{50}\] 0\.0 %$")
    terminal.resize(40, 10)
    terminal.wait_for(r"^a second, over \d+ s:$")
    assert "memory" not in terminal.text()
    assert not terminal.screen.wrapped
    terminal.resize(1, 1)
    wait_until(lambda: terminal.text() == "a", 20, terminal.text)
    terminal.resize(100, 40)
    terminal.wait_for(r"^buffer    \[\.{60}\] 0\.0 %$")
    terminal.wait_for(r"^memory    ")


def test_colors(api, terminals):
    terminal = terminals("--url", api.url(""))
    terminal.wait_for("^status    healthy")
    assert "32" in terminal.screen.colors
    plain = terminals("--url", api.url(""), NO_COLOR="1")
    plain.wait_for("^status    healthy")
    assert plain.screen.colors == set()


def test_rates_of_the_last_minute(api, terminals):
    terminal = terminals("--url", api.url(""))
    terminal.wait_for(r"^a second, over the last \d+ s")
    before = int(api.rest().get("events_enqueued_total"))
    api.accept([event(f"number {i}") for i in range(1000)])
    assert api.post({"nothing": 1}).status_code == 400
    terminal.wait_for(rf"^  accepted +[1-9]\d*(\.\d)? +{before + 1000}$")
    terminal.wait_for(rf"^  stored +[1-9]\d*(\.\d)? +{before + 1000}$")
    terminal.wait_for(r"^  refused, other +\d+\.\d +[1-9]\d*$")
    terminal.wait_for(r"^commit    p50 \d+\.\d\d ms, p99 \d+\.\d\d ms, of \d{4,}$")


def test_the_server_goes_and_comes_back(programs, database, terminals):
    api = programs.collectd(database).start()
    terminal = terminals("--url", api.url(""))
    terminal.wait_for("^status    healthy")
    api.kill()
    terminal.wait_for("^status    no answer, asking again: ")
    terminal.wait_for(r"^          what follows is \S+ s old")
    terminal.wait_for("^buffer    ")
    assert terminal.process.poll() is None
    api.start()
    terminal.wait_for("^status    healthy")
    assert "no answer" not in terminal.text()
    terminal.type(b"q")
    assert terminal.wait_end() == 0


def test_a_server_that_comes_later(programs, database, terminals):
    api = programs.collectd(database)
    api.write_config()
    terminal = terminals("--url", api.url(""))
    terminal.wait_for("^status    no answer, asking again: ")
    assert "buffer" not in terminal.text()
    api.start()
    if api.url("") in terminal.text():
        terminal.wait_for("^status    healthy")


def test_a_database_that_is_away(programs, own_postgres, terminals):
    database = own_postgres.create_database()
    api = programs.collectd(database, writer={"BreakerFailures": 1}).start()
    terminal = terminals("--url", api.url(""), columns=160)
    terminal.wait_for("^status    healthy")
    own_postgres.stop("immediate")
    api.accept([event(f"number {i}") for i in range(7)])
    terminal.wait_for("^status    critical")
    terminal.wait_for("^          the database is away, events wait: ")
    terminal.wait_for("^breaker   (OPEN|HALF_OPEN), ")
    terminal.wait_for("^          7 of 1000000 events, .*, oldest [1-9]")
    assert "31" in terminal.screen.colors
    own_postgres.start()
    terminal.wait_for("^status    healthy", timeout=60)
    terminal.wait_for("^          0 of 1000000 events")


def test_dead_letters_and_duplicates(programs, database, terminals):
    api = programs.collectd(database).start()
    api.accept(event())
    api.rest()
    database.execute(
        "ALTER TABLE aurore.event ADD CONSTRAINT good CHECK (message <> 'bad')"
    )
    api.accept([event("bad"), event("good")])
    for _ in range(2):
        api.post(event(), headers={"Idempotency-Key": "one"})
    terminal = terminals("--url", api.url(""))
    terminal.wait_for("^letters   1 dead letters wait$")
    terminal.wait_for(r"^  dead letters +\d+\.\d +1$")
    terminal.wait_for(r"^  duplicates +\d+\.\d +1$")


# --- a server that says what it likes -------------------------------------------------


class Fake(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    answers = {}

    def do_GET(self):
        body = self.answers[self.path].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def fake():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Fake)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def health(**more):
    return {
        "status": "critical",
        "uptime": 300000,
        "server": {"status": 503, "message": "x", "reason": "the disk \x1b[2J is full"},
        "database": {
            "database": "disconnected",
            "lastError": {"message": "a\r\nb\x1b]0;title\x07" + "ü" * 300, "at": "now"},
            "connectionPool": {"active": 0, "idle": 0, "waiting": 3},
        },
        "circuitBreaker": {"state": "OPEN", "failureCount": 7},
        "memory": {"rss": 5e12},
        "environment": {"pluginVersion": "9.9.9", "collectdVersion": "5"},
        **more,
    }


METRICS = """\
# HELP buffer_size is
buffer_size 950000
buffer_capacity 1000000
buffer_utilization_percent 95.04
buffer_bytes 123456789
buffer_oldest_age_seconds 7201
lanes_fenced 1
lanes_blocked 2
dead_letters_pending 3
retention_overdue_days 1
events_lost_total 8
events_enqueued_total 12345678901
events_rejected_total{reason="in\\"valid}"} 2
events_rejected_total{reason="too_large"} 3
spool_sync_time_ms_bucket{le="1"} 50
spool_sync_time_ms_bucket{le="2"} 100
spool_sync_time_ms_bucket{le="+Inf"} 100
"""


def test_all_that_may_be_wrong(fake, terminals):
    Fake.answers = {
        "/health/detailed": json.dumps(health()),
        "/metrics/prometheus": METRICS,
    }
    view = once("--url", fake).stdout
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", view)
    for line in (
        "aurore 9.9.9, collectd 5, up 3.5 days",
        "status    critical",
        "          no events are taken: the disk  [2J is full",
        "          the database is away, events wait: a  b ]0;title üü",
        "          1 lane is fenced: another copy of the spool has stored",
        "          2 lanes are blocked: the database refuses every event",
        "          the buffer is 95 % full",
        "          8 events are lost: the database fell back",
        "          1 day could not be dropped yet",
        "  accepted                    0.0    12345678901",
        "  refused, other              0.0              5",
        "          950000 of 1000000 events, 118 MiB, oldest 2.0 h",
        "database  disconnected, answers in - ms; connections: 0 active, 0 idle, 3 waited for",
        "breaker   OPEN, 7 failures",
        "lanes     1 fenced, 2 blocked",
        "letters   3 dead letters wait",
        "sync      p50 - ms, p99 - ms, of 0",
        "memory    4.5 TiB",
    ):
        assert line in view, (line, view)
    terminal = terminals("--url", fake, columns=60, rows=12)
    terminal.wait_for("^status    critical")
    terminal.wait_for("^          the database is away.* ü+$")
    assert not terminal.screen.wrapped


def test_quantiles_are_of_what_came_since(fake, terminals):
    """Not of what was before, nor of a process that has ended since."""

    def show(low, high):
        Fake.answers = {
            "/health/detailed": json.dumps(health()),
            "/metrics/prometheus": "events_enqueued_total 5\n"
            f'spool_sync_time_ms_bucket{{le="1"}} {low}\n'
            f'spool_sync_time_ms_bucket{{le="2"}} {high}\n'
            f'spool_sync_time_ms_bucket{{le="+Inf"}} {high}\n',
        }

    show(1000, 1000)
    terminal = terminals("--url", fake)
    terminal.wait_for(r"^sync      p50 - ms, p99 - ms, of 0$")
    show(1000, 1100)
    terminal.wait_for(r"^sync      p50 1\.50 ms, p99 1\.99 ms, of 100$")
    show(4, 4)
    terminal.wait_for(r"^sync      p50 0\.50 ms, p99 0\.99 ms, of 4$")


@pytest.mark.parametrize("text", ["", "{}", "[]", "nonsense", '{"status":"healthy"}'])
def test_an_answer_that_is_none_of_ours(fake, text):
    Fake.answers = {"/health/detailed": text, "/metrics/prometheus": ""}
    assert "no answer" in once("--url", fake, status=4).stderr
