# SPDX-License-Identifier: MIT
"""aurorectl: what it sends arrives once, whatever dies; the other commands; and
its manual page says what it does."""

import collections
import http.server
import json
import os
import pty
import random
import re
import signal
import socketserver
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest

from harness import build
from harness.events import event
from harness.wait import wait_until

PROGRAM = build.plugin_directory().parent / "aurorectl"
MANUAL = build.TOP / "docs/man/aurorectl.pod"


def environment(**more):
    mine = {key: value for key, value in os.environ.items() if "AURORE_" not in key}
    place = Path(tempfile.gettempdir())
    return {**mine, **build.sanitizer_environment(place), **more}


def run(*arguments, text=b"", status=0, **more):
    done = subprocess.run(
        [PROGRAM, *map(str, arguments)],
        input=text,
        capture_output=True,
        env=environment(**more),
        timeout=120 * build.PATIENCE,
        check=False,
    )
    assert done.returncode == status, (done.returncode, done.stderr.decode())
    return done


def lines(events):
    return "".join(json.dumps(one) + "\n" for one in events).encode()


# --- a server that is as bad as it may be -----------------------------------------


class Hostile:
    """Keeps what it took by key, as the API promises to; answers as the test
    wants, and not at all if it likes."""

    def __init__(self, seed=1):
        self.random = random.Random(seed)
        self.lock = threading.Lock()
        self.bodies = collections.OrderedDict()  # by key
        self.requests = []  # (time, path, key, status)
        self.plan = lambda number: ("take", 202, {})
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                outer.handle(self)

            def log_message(self, *arguments):
                pass

        class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
            daemon_threads = True

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def handle(self, request):
        body = request.rfile.read(int(request.headers["Content-Length"]))
        key = request.headers["Idempotency-Key"]
        with self.lock:
            what, status, headers = self.plan(len(self.requests))
            self.requests.append((time.monotonic(), request.path, key, status))
            if what in ("take", "take and die"):
                assert self.bodies.setdefault(key, body) == body, "another body"
        if what.endswith("die"):
            request.close_connection = True
            return
        answer = b"{}"
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(answer)))
        request.end_headers()
        request.wfile.write(answer)

    def be_bad(self):
        """Of three requests one is well."""

        def plan(_):
            return self.random.choice(
                [
                    ("take", 202, {}),
                    ("take and die", 0, {}),
                    ("die", 0, {}),
                    ("refuse", 503, {}),
                    ("take", 503, {}),
                ]
            )

        self.plan = plan

    def messages(self):
        return [
            json.loads(line)["message"]
            for body in self.bodies.values()
            for line in body.splitlines()
        ]


@pytest.fixture
def hostile():
    server = Hostile()
    yield server
    server.close()


def numbered(count):
    return [event(f"number {i}") for i in range(count)]


def names(count):
    return [f"number {i}" for i in range(count)]


# --- how it repeats -----------------------------------------------------------------


def test_repeated_under_its_key(hostile):
    plans = ["die", "take and die", "refuse", "take and die"]
    hostile.plan = lambda n: (plans[n] if n < len(plans) else "take", 503, {}) if (
        n < len(plans)
    ) else ("take", 202, {})
    run("send", "--url", hostile.url, text=lines(numbered(10)))
    assert len(hostile.requests) == 5
    assert len({key for _, _, key, _ in hostile.requests}) == 1
    assert hostile.messages() == names(10)


def test_each_batch_has_its_key(hostile):
    run("send", "--url", hostile.url, "--batch-events", 7, text=lines(numbered(100)))
    assert hostile.messages() == names(100)
    sizes = [len(body.splitlines()) for body in hostile.bodies.values()]
    assert max(sizes) <= 7 and len(sizes) >= 15


def test_bytes_of_a_batch(hostile):
    run(
        "send", "--url", hostile.url, "--batch-bytes", 300,
        text=lines(numbered(50)) + lines([event("x" * 1000)]),
    )
    assert len(hostile.messages()) == 51
    for body in hostile.bodies.values():
        assert len(body) <= 300 or body.count(b"\n") == 1


def test_retry_after_is_the_least(hostile):
    hostile.plan = lambda n: (
        ("refuse", 429, {"Retry-After": "2"}) if n == 0 else ("take", 202, {})
    )
    run("send", "--url", hostile.url, text=lines(numbered(1)))
    (first, *_), (second, *_) = hostile.requests
    assert second - first >= 2


def test_halved_when_it_is_too_large(hostile):
    def plan(_):
        return ("take", 202, {})

    hostile.plan = plan
    original = hostile.handle

    def handle(request):
        size = int(request.headers["Content-Length"])
        hostile.plan = lambda n: (
            ("refuse", 413, {}) if size > 400 else ("take", 202, {})
        )
        original(request)

    hostile.handle = handle
    text = lines(numbered(33)) + lines([event("x" * 1000)]) + lines([event("last")])
    done = run("send", "--url", hostile.url, text=text, status=1)
    assert hostile.messages() == names(33) + ["last"]
    assert b"refused" in done.stderr


def test_gives_up(hostile):
    hostile.plan = lambda n: ("refuse", 503, {})
    done = run(
        "send", "--url", hostile.url, "--give-up", 1, text=lines(numbered(1)), status=3
    )
    assert b"gave up" in done.stderr and b"503" in done.stderr


@pytest.mark.parametrize("status", [401, 403, 404, 405, 415, 501 - 100])
def test_who_is_not_let_in(hostile, status):
    hostile.plan = lambda n: ("refuse", status, {})
    run("send", "--url", hostile.url, text=lines(numbered(1)), status=4)
    assert len(hostile.requests) == 1


def test_nobody_listens():
    run(
        "send", "--url", "http://127.0.0.1:1", "--give-up", 0.5,
        text=lines(numbered(1)), status=3,
    )


def test_nothing_to_send(hostile):
    run("send", "--url", hostile.url, text=b"")
    run("send", "--url", hostile.url, text=b"\n \n\r\n")
    assert not hostile.requests


# --- it dies, and another one goes on ----------------------------------------------


def kill_now_and_then(start, hostile, chance):
    """Starts it until it ends by itself."""
    for _ in range(500):
        before = len(hostile.requests)
        process = start()
        until = before + chance.randrange(0, 4)
        pause = chance.random() * 0.01
        while process.poll() is None and len(hostile.requests) < until:
            time.sleep(0.001)
        try:
            process.wait(pause)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.returncode == 0:
            return
        assert process.returncode == -signal.SIGKILL, process.returncode
    raise AssertionError("it never ends")


@pytest.mark.parametrize("seed", range(4))
def test_killed_with_a_pipe(hostile, tmp_path, seed):
    """The pipe stays, and each line becomes one event."""
    hostile.be_bad()
    chance = random.Random(seed)
    reader, writer = os.pipe()
    count = 3000
    data = "".join(f"number {i}\n" for i in range(count)).encode()

    def produce():
        at = 0
        while at < len(data):
            size = chance.choice([1, 7, 100, 5000, 60000])
            at += os.write(writer, data[at : at + size])
        os.close(writer)

    producer = threading.Thread(target=produce)
    producer.start()
    command = [
        PROGRAM, "send", "--url", hostile.url, "--state", tmp_path / "state",
        "--lines", "--service", "test", "--batch-events", "200", "--quiet",
    ]
    kill_now_and_then(
        lambda: subprocess.Popen(command, stdin=reader, env=environment()),
        hostile,
        chance,
    )
    producer.join()
    os.close(reader)
    assert sorted(hostile.messages()) == sorted(names(count))


@pytest.mark.parametrize("seed", range(3))
def test_killed_with_a_file(hostile, tmp_path, seed):
    hostile.be_bad()
    count = 2000
    file = tmp_path / "events"
    file.write_bytes(lines(numbered(count)))
    command = [
        PROGRAM, "send", "--url", hostile.url, "--state", tmp_path / "state",
        "--batch-events", "100", "--quiet",
    ]

    def start():
        with open(file, "rb") as stream:
            return subprocess.Popen(command, stdin=stream, env=environment())

    kill_now_and_then(start, hostile, random.Random(seed))
    assert hostile.messages() == names(count)


def test_a_file_that_grows(hostile, tmp_path):
    file = tmp_path / "events"
    state = tmp_path / "state"

    def send():
        with open(file, "rb") as stream:
            subprocess.run(
                [PROGRAM, "send", "--url", hostile.url, "--state", state],
                stdin=stream, env=environment(), check=True,
            )

    file.write_bytes(lines(numbered(5)))
    send()
    send()
    assert hostile.messages() == names(5)
    with open(file, "ab") as stream:
        stream.write(lines([event("more")]))
    send()
    assert hostile.messages() == names(5) + ["more"]
    # It was truncated, and begins anew; and it was replaced.
    file.write_bytes(lines([event("new")]))
    send()
    file.unlink()
    (tmp_path / "other").write_bytes(lines([event("other")] * 30))
    (tmp_path / "other").rename(file)
    send()
    assert hostile.messages() == names(5) + ["more", "new"] + ["other"] * 30


def test_equal_lines_stay_several(hostile, tmp_path):
    hostile.be_bad()
    run(
        "send", "--url", hostile.url, "--lines", "--service", "test",
        "--state", tmp_path / "state", text=b"tick\n" * 500,
    )
    assert hostile.messages() == ["tick"] * 500


def test_a_line_longer_than_the_pipe(hostile, tmp_path):
    long = "x" * 900_000
    run(
        "send", "--url", hostile.url, "--lines", "--service", "test",
        "--state", tmp_path / "state", text=f"a\n{long}\nb\n".encode(),
    )
    assert hostile.messages() == ["a", long, "b"]
    hostile.bodies.clear()
    longer = "y" * 3_000_000
    run(
        "send", "--url", hostile.url, "--lines", "--service", "test",
        "--state", tmp_path / "state", text=f"{longer}\nb".encode(),
    )
    assert "".join(hostile.messages()) == longer + "b"


def test_the_end_of_a_signal(hostile, tmp_path):
    """What is under way is left to the next one."""
    hostile.plan = lambda n: ("refuse", 503, {})
    reader, writer = os.pipe()
    os.write(writer, lines(numbered(3)))
    command = [PROGRAM, "send", "--url", hostile.url, "--state", tmp_path / "state"]
    process = subprocess.Popen(command, stdin=reader, env=environment())
    wait_until(lambda: len(hostile.requests) > 1, 30, "nothing is sent")
    process.terminate()
    assert process.wait(60) == 3
    hostile.plan = lambda n: ("take", 202, {})
    os.close(writer)
    assert subprocess.run(command, stdin=reader, env=environment()).returncode == 0
    os.close(reader)
    assert len({key for _, _, key, _ in hostile.requests}) == 1
    assert hostile.messages() == names(3)


def test_states_that_are_none(hostile, tmp_path):
    state = tmp_path / "state"
    for text in (b"", b"aurorectl-state 1\n--\n", b"x" * 1000):
        state.write_bytes(text)
        done = run(
            "send", "--url", hostile.url, "--state", state,
            text=lines(numbered(1)), status=2,
        )
        assert b"not a state file" in done.stderr
    state.unlink()
    run("send", "--url", hostile.url, "--state", state, text=lines(numbered(1)))
    good = state.read_bytes()
    state.write_bytes(good.replace(b"number 0", b"number 1"))
    run("send", "--url", hostile.url, "--state", state, text=b"", status=2)
    state.write_bytes(good)
    run("send", "--url", hostile.url, "--state", state, text=b"")
    run("send", "--state", tmp_path / "no" / "state", text=b"", status=2)


def test_one_process_a_state(hostile, tmp_path):
    reader, writer = os.pipe()
    command = [PROGRAM, "send", "--url", hostile.url, "--state", tmp_path / "state"]
    process = subprocess.Popen(command, stdin=reader, env=environment())
    os.write(writer, lines(numbered(1)))
    wait_until(lambda: hostile.bodies, 30, "nothing is sent")
    done = run("send", "--state", tmp_path / "state", status=2)
    assert b"another process uses" in done.stderr
    os.close(writer)
    assert process.wait(60) == 0
    os.close(reader)


def test_progress_on_a_terminal(hostile):
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [PROGRAM, "send", "--url", hostile.url],
        stdin=subprocess.PIPE, stderr=slave, env=environment(),
    )
    process.communicate(lines(numbered(25)), timeout=60)
    os.close(slave)
    said = os.read(master, 65536).decode()
    os.close(master)
    assert process.returncode == 0
    assert "25 events sent, 0 refused" in said


# --- a real server --------------------------------------------------------------------


def messages(database):
    rows = database.rows("SELECT message FROM aurore.event ORDER BY event_id")
    return [one for (one,) in rows]


def test_events_are_stored(api):
    database = api.database
    before = database.stored()
    done = run(
        "send", "--url", api.url(""), "--wait", 30, "--batch-events", 100,
        text=lines(numbered(250)),
    )
    assert not done.stderr
    assert database.stored() == before + 250


def test_each_line_is_stored_once(programs, own_postgres, tmp_path):
    """The sender, the server and the database are killed, again and again."""
    chance = random.Random(7)
    database = own_postgres.create_database()
    api = programs.collectd(database, writer={"BackoffMin": 0.01})
    api.buffer["SpoolDirectory"] = api.directory / "spool"
    api.start()
    count = 4000
    least_kills = 12
    kills = 0
    reader, writer = os.pipe()
    command = [
        PROGRAM, "send", "--url", api.url(""), "--state", tmp_path / "state",
        "--lines", "--service", "test", "--batch-events", "50", "--quiet",
        "--timeout", "5",
    ]

    def produce():
        for i in range(count):
            # However fast the senders are: there is something left to kill.
            wait_until(
                lambda: kills >= i * least_kills // count, 60, "nothing is killed"
            )
            os.write(writer, f"number {i}\n".encode())
        os.close(writer)

    producer = threading.Thread(target=produce)
    producer.start()
    while True:
        process = subprocess.Popen(command, stdin=reader, env=environment())
        try:
            status = process.wait(chance.uniform(0.02, 0.3))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
            if kills % 3 == 1:
                api.kill()
                api.start()
            if kills % 4 == 2:
                own_postgres.kill()
                own_postgres.start()
            continue
        assert status == 0
        break
    producer.join()
    os.close(reader)
    assert kills >= least_kills - 1
    wait_until(
        lambda: database.stored() >= count, 60, lambda: f"{database.stored()} rows"
    )
    api.rest()
    assert sorted(messages(database)) == sorted(names(count))


def test_refused_events(api, tmp_path):
    rejected = tmp_path / "rejected"
    text = lines([event("good"), event(""), event("good")]) + b"not json\n"
    done = run(
        "send", "--url", api.url(""), "--rejected", rejected, text=text, status=1
    )
    kept = rejected.read_bytes().splitlines()
    assert kept == [lines([event("")]).strip(), b"not json"]
    assert done.stderr.count(b"refused: ") == 2
    # Nothing else was in the request.
    run(
        "send", "--url", api.url(""), "--rejected", rejected, "--quiet",
        text=lines([event(service="")]), status=1,
    )
    assert len(rejected.read_bytes().splitlines()) == 3


def test_the_server_takes_less(programs, database):
    api = programs.collectd(database, {"MaxBatchEvents": 10}).start()
    run("send", "--url", api.url(""), text=lines(numbered(95)))
    database.wait_stored(95)
    assert sorted(messages(database)) == sorted(names(95))


def test_lines_with_their_times(hostile):
    text = (
        b"2026-03-14T15:09:26.535897Z started\n"
        b"2026-03-14 is a day\n"
        b"12 apples\n"
        b"\xff\x00 odd \r\n"
        b"2026-03-14T15:09:26Z\n"
    )
    run(
        "send", "--url", hostile.url, "--lines", "--service", 'a "service"',
        "--timestamp", "first", text=text,
    )
    (body,) = hostile.bodies.values()
    found = [json.loads(line) for line in body.splitlines()]
    assert [one["message"] for one in found] == [
        "started", "is a day", "12 apples", "\ufffd\x00 odd ", "2026-03-14T15:09:26Z",
    ]
    assert found[0]["timestamp"] == "2026-03-14T15:09:26.535897Z"
    assert found[1]["timestamp"] == "2026-03-14T00:00:00.000000Z"
    assert {one["service"] for one in found} == {'a "service"'}
    assert hostile.requests[0][1] == "/events?lenient=true"


def test_the_path(hostile):
    run("send", "--url", hostile.url + "/", "--service", "a b&c", text=b"{}\n")
    run("send", "--url", hostile.url, "--lenient", text=b"{}\n")
    assert [one[1] for one in hostile.requests] == [
        "/events?service=a%20b%26c", "/events?lenient=true",
    ]


def test_tokens(programs, database, tmp_path):
    tokens = tmp_path / "tokens"
    first = run("token", "--file", tokens, "--comment", "a shop", "ingest").stdout
    assert re.fullmatch(rb"[0-9a-f]{64}\n", first)
    assert tokens.stat().st_mode & 0o777 == 0o600
    said = run("token", "read").stdout.decode()
    token, line = re.fullmatch(r"token: (\w+)\nline:  (read \w+)\n", said).groups()
    with open(tokens, "a") as file:
        file.write(line)  # without its end
    admin = run("token", "--file", tokens, "admin").stdout
    assert len(tokens.read_text().splitlines()) == 3
    api = programs.collectd(database, {"TokenFile": tokens})
    api.start_only()
    wait_until(lambda: listens(api), 30, "does not listen")
    secret = tmp_path / "secret"
    secret.write_bytes(first)
    url = api.url("")
    run("send", "--url", url, "--token-file", secret, text=lines([event()]))
    run("send", "--url", url, text=lines([event()]), AURORE_TOKEN=first.decode().strip())
    database.wait_stored(2)
    run("send", "--url", url, text=lines([event()]), status=4)
    run("send", "--url", url, text=lines([event()]), status=4, AURORE_TOKEN=token)
    run("dlq", "list", "--url", url, AURORE_TOKEN=token)
    run("dlq", "list", "--url", url, AURORE_TOKEN=admin.decode().strip())
    run("send", "--token-file", tmp_path / "none", text=b"", status=2)
    for wrong in ([], ["nobody"], ["ingest", "read"], ["--comment", "a\nb", "read"]):
        run("token", *wrong, status=2)


def listens(api):
    import requests

    try:
        return api.get("/live").status_code == 200
    except requests.ConnectionError:
        return False


def test_dead_letters(programs, database):
    api = programs.collectd(database, writer={"BackoffMin": 0.01}).start()
    url = ["--url", api.url("")]
    run("send", *url, "--wait", 30, text=lines([event("first")]))
    database.execute(
        "ALTER TABLE aurore.event ADD CONSTRAINT no_bad CHECK (message NOT LIKE 'bad%')"
    )
    bad = [event(f"bad {i}", service=f"s{i % 2}") for i in range(4)]
    run("send", *url, "--wait", 30, text=lines([event("good"), *bad, event("good")]))
    wait_until(lambda: database.dead_letters() == 4, 30, "no dead letters")
    rows = run("dlq", "list", *url).stdout.decode().splitlines()
    assert len(rows) == 4
    assert {row.split("\t")[2] for row in rows} == {"s0", "s1"}
    assert {row.split("\t")[3] for row in rows} == {"23514"}
    assert len(run("dlq", "list", *url, "--service", "s0").stdout.splitlines()) == 2
    shown = json.loads(run("dlq", "list", *url, "--json", "--limit", 1).stdout)
    assert shown["total"] == 4 and len(shown["events"]) == 1
    first, second, *_ = [row.split("\t")[0] for row in rows]
    assert json.loads(run("dlq", "show", *url, first).stdout)["originalEvent"]
    nobody = "01890000-0000-7000-8000-000000000000"
    run("dlq", "show", *url, nobody, status=1)
    run("dlq", "show", *url, "../metrics", status=1)
    run("dlq", "delete", *url, first, nobody, status=1)
    assert database.dead_letters() == 3
    database.execute("ALTER TABLE aurore.event DROP CONSTRAINT no_bad")
    run("dlq", "reprocess", *url, second)
    database.wait_stored(4)
    for wrong in (["list", "x"], ["show"], ["delete"], ["list", "--all"], ["x"], []):
        run("dlq", *wrong, status=2)


def test_the_older_name(programs, database):
    api = programs.collectd(database)
    spool = api.directory / "spool"
    api.buffer["SpoolDirectory"] = spool
    api.start()
    run("send", "--url", api.url(""), text=lines(numbered(3)))
    database.wait_stored(3)
    older = subprocess.run(
        [PROGRAM.parent / "aurore-spool", "export", "--all", spool],
        capture_output=True, env=environment(), check=True,
    )
    assert older.stdout == run("spool", "export", "--all", spool).stdout
    # To the microsecond, so that what is exported can be sent.
    (one, *_) = [json.loads(line) for line in older.stdout.splitlines()]
    assert one["timestamp"] == event()["timestamp"]
    assert re.search(r"\.\d{6}Z$", one["ingested_at"])


# --- its manual page -------------------------------------------------------------------


def options_of(text):
    return set(re.findall(r"--[a-z][a-z-]+", text))


def section(name):
    text = MANUAL.read_text()
    found = re.search(rf"^=head[12] {name}$(.*?)^=head", text, re.M | re.S)[1]
    items = "".join(re.findall(r"^=item .*$", found, re.M))
    return options_of(items)


def help_of(*command):
    return run(*command, "--help").stdout.decode()


def test_the_manual_names_every_option():
    server = section("OPTIONS FOR THE SERVER")
    assert section("Options of send") | server == options_of(help_of("send")) - {"--help"}
    own = section("Options of dlq")
    assert own | server == options_of(help_of("dlq")) - {"--help"}
    own = section("Options of doctor")
    assert own | server == options_of(help_of("doctor")) - {"--help"}
    own = section("Options of top")
    assert own | server == options_of(help_of("top")) - {"--help"}
    assert section("Options of token") == options_of(help_of("token")) - {"--help"}
    assert section("Options of spool") == options_of(help_of("spool")) - {"--help"}


def test_the_manual_says_the_defaults():
    said = help_of("send") + help_of("dlq")
    text = MANUAL.read_text()
    for default in ("1000", "256KiB", "http://127.0.0.1:3000", "60"):
        assert f"({default})" in said and default in text


def test_the_overview_names_every_command():
    text = (MANUAL.parent / "aurore.pod").read_text()
    commands = set(re.findall(r"aurorectl (\w+)", run("--help").stdout.decode())) - {"COMMAND"}
    assert len(commands) == 6
    assert set(re.findall(r"^=item B<aurorectl (\w+)>", text, re.M)) == commands
    synopsis = re.search(r"=head1 SYNOPSIS(.*?)=head1", MANUAL.read_text(), re.S)[1]
    assert set(re.findall(r"B<aurorectl> B<(\w+)>", synopsis)) == commands
    for name in set(re.findall(r"F<(?:/etc/collectd/collectd\.conf\.d/)?(aurore\S*\.conf)>", text)):
        assert (build.TOP / "conf.d" / name).exists(), name
    for path in set(re.findall(r"F<(docs/\S+)>", text)):
        assert (build.TOP / path).exists(), path


@pytest.mark.parametrize("path", sorted(MANUAL.parent.glob("*.pod")), ids=lambda p: p.stem)
def test_the_manual_pages_are_sound(path):
    done = subprocess.run(
        ["podchecker", path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (made,) = PROGRAM.parent.glob(f"docs/man/{path.stem}.[1-8]")
    assert ".TH" in made.read_text()


def test_usage():
    assert b"Usage" in run("--help").stdout
    assert re.fullmatch(rb"aurorectl \d+\.\d+\.\d+\n", run("--version").stdout)
    for wrong in (
        [], ["nothing"], ["send", "x"], ["send", "--nothing"], ["send", "--lines"],
        ["send", "--wait", "31"], ["send", "--wait", "x"], ["send", "--batch-events", 0],
        ["send", "--batch-bytes", "1XB"], ["send", "--timestamp", "never"],
        ["send", "--service", ""], ["doctor", "x"], ["doctor", "--nothing"],
        ["top", "x"], ["top", "--interval", "0.1"], ["top", "--interval", "x"], ["top"], ["send", "--timeout", "0"], ["spool", "x"],
    ):
        assert run(*wrong, status=2).stderr
