# SPDX-License-Identifier: MIT
"""GET /: the status page as people see it, in headless Chromium, and as programs
do. AURORE_PICTURES=DIRECTORY keeps what the browser has shown."""

import base64
import hashlib
import html
import html.parser
import json
import math
import os
import re
from datetime import datetime, timedelta, timezone
from pathlib import Path

import psycopg2
import pytest

from harness import browser
from harness.build import TOP
from harness.events import event
from harness.wait import wait_until

NOWHERE = "host=/nonexistent dbname=x"
NASTY = "<img src=x onerror=alert(1)>\"'&</script>"
ESCAPED = html.escape(NASTY).replace("&#x27;", "&#39;")
needs_browser = pytest.mark.skipif(
    browser.PROGRAM is None, reason=browser.ABSENT
)


class Reader(html.parser.HTMLParser):
    """What is in the elements that have an id, and which elements there are."""

    VOID = {"meta", "link", "br", "img"}

    def __init__(self, text):
        super().__init__()
        self.by_id = {}
        self.hidden = set()
        self.elements = []
        self.open = []
        self.feed(text)
        self.close()
        assert self.open == [], "an element is open"

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.elements.append((tag, attributes))
        if "id" in attributes:
            assert attributes["id"] not in self.by_id, "an id is there twice"
            self.by_id[attributes["id"]] = ""
            if "hidden" in attributes:
                self.hidden.add(attributes["id"])
        if tag not in self.VOID:
            self.open.append((tag, attributes.get("id")))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        for _, identifier in self.open:
            if identifier is not None:
                self.by_id[identifier] += data


def page_of(api, **keywords):
    answer = api.get("/", **keywords)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    return answer, Reader(answer.text)


def overview(api, **keywords):
    headers = {"Accept": "application/json", **keywords.pop("headers", {})}
    answer = api.get("/", headers=headers, **keywords)
    assert answer.status_code == 200
    return answer.json()


# All that the page asks for at its start is there, the last of it the hour's charts.
READY = (
    'performance.getEntriesByType("resource")'
    '.some((one) => one.name.endsWith("/metrics/history"))'
    ' && document.getElementById("silent").hidden'
)


def browse(api, tmp_path, name, width=1200, password=None, dark=False):
    """The page after its script has run once, and a picture of all of it."""
    url = api.url("/")
    if password is not None:
        url = url.replace("://", f"://user:{password}@")
    pictures = Path(os.environ.get("AURORE_PICTURES") or tmp_path)
    with browser.Page(tmp_path, width, dark) as page:
        page.open(url, READY)
        page.picture(pictures / f"page-{name}.png")
        # What sticks out could be read only by scrolling.
        assert page.value("document.documentElement.scrollWidth") <= width
        shown = page.value("document.documentElement.outerHTML")
    return Reader(shown)


# --- what it is ----------------------------------------------------------------------


def test_one_file_that_asks_nobody_else(api):
    """A strict policy, and nothing in the page that it would have to allow."""
    wait_until(api.database.has_schema, 30, "there is no schema")
    answer, page = page_of(api)
    policy = dict(
        part.strip().split(" ", 1)
        for part in answer.headers["Content-Security-Policy"].split(";")
    )
    assert policy["default-src"] == "'none'" and policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["form-action"] == "'none'"
    for kind, tag in (("script-src", "script"), ("style-src", "style")):
        (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", answer.text, re.S)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert policy[kind] == f"'sha256-{digest}'"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    for tag, attributes in page.elements:
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href"):
            assert attributes.get(name, "/").startswith(("/", "data:,")), tag


def test_people_of_all_kinds_can_read_it(api):
    _, page = page_of(api)
    assert ("html", {"lang": "en"}) in page.elements
    tags = [tag for tag, _ in page.elements]
    assert tags.count("h1") == tags.count("main") == tags.count("head") == 1
    # Of the page, and of each chart.
    assert tags.count("title") == 1 + tags.count("svg") == 1 + tags.count("desc")
    assert any("width=device-width" in a.get("content", "") for _, a in page.elements)
    for tag, attributes in page.elements:
        label = attributes.get("aria-labelledby")
        assert label is None or set(label.split()) <= set(page.by_id)
        if tag == "svg":
            assert attributes["role"] == "img" and len(label.split()) == 2
        if tag == "section":
            assert label or attributes["id"] == "silent"
        if tag == "th":
            assert attributes["scope"] in ("col", "row")


def test_what_asks_for_what(api):
    """A browser gets the page; who asks for JSON alone gets the routes."""
    browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    for accept in (browser, "*/*", "text/html, application/json"):
        page_of(api, headers={"Accept": accept})
    for accept in ("application/json", "application/json, */*;q=0.1"):
        assert overview(api, headers={"Accept": accept})["name"] == "aurore"


def test_the_list_of_routes(api):
    body = overview(api)
    routes = {(one["path"], one["method"]): one["scope"] for one in body["routes"]}
    assert routes["/", "GET"] == "read"
    assert routes["/events", "POST"] == "ingest"
    assert routes["/dlq/{id}/reprocess", "PATCH"] == "admin"
    assert routes["/live", "GET"] is None
    document = api.get(body["document"]).json()
    assert set(routes) == {
        (path, method.upper())
        for path, item in document["paths"].items()
        for method in item
        if method != "parameters"
    }
    (lane,) = body["lanes"]
    assert lane["lane"] == 0 and lane["lastError"] is None


def test_the_other_routes_never_ask_for_a_password(programs, database, base):
    tokens = base / "page-tokens"
    lines = [
        f"{scope} {hashlib.sha256(scope.encode()).hexdigest()}\n"
        for scope in ("ingest", "read")
    ]
    tokens.write_text("".join(lines))
    tokens.chmod(0o600)
    api = programs.collectd(database, {"TokenFile": tokens}).start()
    for headers in ({}, {"Authorization": "Bearer x"}, {"Accept": "application/json"}):
        answer = api.get("/", headers=headers)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")
    for path in ("/health/detailed", "/metrics", "/metrics/history", "/dlq"):
        assert api.get(path).headers["WWW-Authenticate"] == "Bearer"
    assert api.get("/", auth=("anybody", "ingest")).status_code == 403
    page_of(api, auth=("anybody", "read"))
    page_of(api, headers={"Authorization": "Bearer read"})


# --- without scripts -----------------------------------------------------------------


def test_the_figures_of_the_moment(programs, database):
    api = programs.collectd(database).start()
    wait_until(database.has_schema, 30, "there is no schema")
    api.accept([event(f"{i}") for i in range(1234)])
    api.rest()
    wait_until(
        lambda: page_of(api)[1].by_id["verdict"] == "healthy", 30, "it is not well"
    )
    _, page = page_of(api)
    assert "why" in page.hidden and page.by_id["reasons"] == ""
    assert page.by_id["accepted"] == "1,234"
    assert page.by_id["buffer-size"] == "0"
    assert page.by_id["buffer-capacity"] == "1,000,000"
    assert page.by_id["database"] == "connected"
    assert page.by_id["breaker"] == "CLOSED"
    assert page.by_id["ready"] == "SERVER_IS_READY"
    assert page.by_id["last-error"] == "none"
    assert page.by_id["drained-ago"].endswith(" ago")
    assert {"live", "silent"} <= page.hidden and "hour" not in page.hidden
    assert page.by_id["chart-rate-summary"] == "no snapshots yet"


def test_the_last_hour_without_scripts(programs, database):
    """Drawn by the server, on the page and where the snapshots are; who asks for
    them as a program does gets them as before."""
    api = programs.collectd(database, {"HistoryInterval": 3600})
    api.buffer["HistoryFile"] = api.directory / "history"
    an_hour(api.buffer["HistoryFile"])
    api.start()
    wait_until(database.has_schema, 30, "there is no schema")
    answer, page = page_of(api)
    alone = api.get("/metrics/history", headers={"Accept": "text/html"})
    assert alone.headers["Content-Type"] == "text/html; charset=utf-8"
    for name in ("Content-Security-Policy", "X-Frame-Options", "Referrer-Policy"):
        assert alone.headers[name] == answer.headers[name]
    assert "<script" not in alone.text
    for shown, text in ((page, answer.text), (Reader(alone.text), alone.text)):
        assert re.fullmatch(
            r"highest [0-9]+ /s at \d\d:\d\d, last [0-9.]+ /s",
            shown.by_id["chart-rate-summary"],
        )
        assert shown.by_id["chart-rate-text"] == shown.by_id["chart-rate-summary"]
        assert shown.by_id["chart-rate-title"] == "Accepted events a second, last hour"
        lines = re.findall(r'<path class="line" d="([^"]*)"', text)
        assert len(lines) == 3 and lines[0].count("L") >= 50
        assert len(re.findall(r'<th scope="row">\d\d:\d\d to', text)) == 6
    assert len(api.get("/metrics/history").json()) == 58


def test_everything_is_escaped(programs, database):
    """What somebody else has written is text, wherever it is shown."""
    api = programs.collectd(database)
    api.buffer["SpoolDirectory"] = api.directory / "spool"
    api.start()
    wait_until(database.has_schema, 30, "there is no schema")
    database.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" RAISE EXCEPTION USING MESSAGE = $m${NASTY}$m$, ERRCODE = '53100'; END $$;"
        "CREATE TRIGGER refuse BEFORE INSERT ON aurore.event FOR EACH ROW"
        " EXECUTE FUNCTION refuse()"
    )
    api.accept(event("x", service=NASTY))
    wait_until(lambda: overview(api)["lanes"][0]["lastError"], 30, "there is no error")
    answer, page = page_of(api)
    assert NASTY not in answer.text and ESCAPED in answer.text
    assert NASTY in page.by_id["last-error"] and NASTY in page.by_id["lanes"]
    assert "img" not in [tag for tag, _ in page.elements]
    assert NASTY in overview(api)["lanes"][0]["lastError"]["message"]


# --- in a browser --------------------------------------------------------------------


@pytest.fixture
def away(programs):
    """The database is away, and the buffer is full."""
    api = programs.collectd(NOWHERE, {"Capacity": 3}, {"ShutdownTimeout": 0.1})
    api.expected_status = 1  # what waits in memory is lost
    api.start()
    for _ in range(3):
        api.accept(event())
    wait_until(lambda: api.post(event()).status_code == 429, 30, "it is not full")
    wait_until(
        lambda: api.get("/health/detailed").json()["circuitBreaker"]["state"] == "OPEN",
        30,
        "the breaker stays closed",
    )
    return api


def an_hour(path):
    """A history with some hills in it."""
    now = datetime.now(timezone.utc)
    with path.open("w") as file:
        for minute in range(58, 0, -1):
            moment = now - timedelta(minutes=minute)
            high = 300 + 250 * math.sin(minute / 7) + 40 * math.sin(minute * 2.3)
            fill = max(0, 35 * math.sin((minute - 20) / 6)) if 20 < minute < 39 else 0
            file.write(
                json.dumps({
                    "timestamp": moment.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
                    "buffer": {
                        "size": int(fill * 10000), "capacity": 1000000,
                        "utilization_percent": f"{fill:.2f}",
                        "total_enqueued": 60000 * (60 - minute), "total_dropped": 0,
                        "drop_rate_percent": "0.00",
                        "throughput_events_per_second": f"{high:.2f}",
                    },
                    "circuitBreaker": {
                        "state": "CLOSED", "failureCount": 0, "successCount": 0,
                    },
                }, separators=(",", ":")) + "\n"
            )  # fmt: skip


@needs_browser
def test_well(programs, database, tmp_path):
    api = programs.collectd(database, {"HistoryInterval": 1}, {"BusinessInterval": 0.5})
    api.buffer["HistoryFile"] = api.directory / "history"
    an_hour(api.buffer["HistoryFile"])
    api.start()
    wait_until(database.has_schema, 30, "there is no schema")
    for _ in range(5):
        api.accept([event(f"{i}") for i in range(500)])
        count = len(api.get("/metrics/history").json())
        wait_until(
            lambda: len(api.get("/metrics/history").json()) > count, 30, "no snapshot"
        )
    api.rest()
    for name, dark, width in (
        ("well", False, 1200), ("well-dark", True, 1200), ("phone", False, 360),
    ):  # fmt: skip
        page = browse(api, tmp_path, name, width, dark=dark)
        assert page.by_id["verdict"] == "healthy" and "why" in page.hidden
        assert page.by_id["accepted"] == "2,500"
        # The script has run, and was answered.
        assert {"live", "hour"}.isdisjoint(page.hidden) and "silent" in page.hidden
        assert "highest" in page.by_id["chart-rate-summary"]
        lines = [a["d"] for _, a in page.elements if a.get("class") == "line"]
        assert len(lines) == 3 and "L" in lines[0]


@needs_browser
def test_database_away_and_buffer_full(away, tmp_path):
    for name, dark, width in (
        ("away", False, 1200), ("away-dark", True, 1200), ("away-phone", True, 360),
    ):  # fmt: skip
        page = browse(away, tmp_path, name, width, dark=dark)
        assert page.by_id["verdict"] == "critical" and "why" not in page.hidden
        assert "The database does not answer" in page.by_id["reasons"]
        assert "the buffer is full" in page.by_id["reasons"]
        assert "circuit breaker" in page.by_id["reasons"]
        assert page.by_id["database"] == "disconnected"
        assert page.by_id["utilization"] == "100.00 %"
        assert page.by_id["breaker"] in ("OPEN", "HALF_OPEN")
        assert "waiting" in page.by_id["lanes"]
        assert page.by_id["last-error-at"].endswith("Z")


@needs_browser
def test_dead_letters_and_hostile_text(programs, database, tmp_path):
    api = programs.collectd(database)
    api.buffer["SpoolDirectory"] = api.directory / "spool"
    api.start()
    wait_until(database.has_schema, 30, "there is no schema")
    database.execute(
        "ALTER TABLE aurore.event ADD CONSTRAINT no_poison"
        " CHECK (message <> 'poison') NOT VALID"
    )
    api.accept([event("poison", service=NASTY), event("neighbour")])
    wait_until(lambda: database.dead_letters() == 1, 30, "nothing is set aside")
    api.wait_metric("dead_letters_pending", 1)
    page = browse(api, tmp_path, "dead-letters")
    assert page.by_id["dead-letters"] == "1"
    assert "1 dead letter waits" in page.by_id["reasons"]
    database.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" RAISE EXCEPTION USING MESSAGE = $m${NASTY}$m$, ERRCODE = '53100'; END $$;"
        "CREATE TRIGGER refuse BEFORE INSERT ON aurore.event FOR EACH ROW"
        " EXECUTE FUNCTION refuse()"
    )
    api.accept(event("x", service=NASTY))
    wait_until(lambda: overview(api)["lanes"][0]["lastError"], 30, "there is no error")
    page = browse(api, tmp_path, "hostile")
    assert NASTY in page.by_id["lanes"] and NASTY in page.by_id["last-error"]
    assert "img" not in [tag for tag, _ in page.elements]


@needs_browser
def test_fenced(programs, database, tmp_path):
    """A copy of its spool has taken its place."""
    api = programs.collectd(database, {"Lanes": 2})
    api.buffer["SpoolDirectory"] = api.directory / "spool"
    api.start()
    wait_until(database.has_schema, 30, "there is no schema")
    api.accept([event() for _ in range(3)])
    api.rest()
    database.execute(
        "UPDATE aurore.lane SET owner = gen_random_uuid() WHERE lane = 0"
    )
    with psycopg2.connect(database.conninfo) as connection:
        connection.cursor().execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name LIKE 'collectd aurore writer%'"
            " AND datname = current_database()"
        )
    wait_until(
        lambda: "fenced" in [lane["state"] for lane in overview(api)["lanes"]],
        60,
        "no lane is fenced",
    )
    page = browse(api, tmp_path, "fenced")
    assert page.by_id["verdict"] == "critical"
    assert "is fenced and takes no events" in page.by_id["reasons"]
    assert "fenced" in page.by_id["lanes"]


@needs_browser
def test_with_a_token(programs, database, base, tmp_path):
    """The browser sends what it was given to log in with, for the figures, too."""
    tokens = base / "browser-tokens"
    tokens.write_text(f"read {hashlib.sha256(b'secret').hexdigest()}\n")
    tokens.chmod(0o600)
    api = programs.collectd(database, {"TokenFile": tokens}).start()
    wait_until(database.has_schema, 30, "there is no schema")
    page = browse(api, tmp_path, "token", password="secret")
    assert "live" not in page.hidden and "silent" in page.hidden
    assert "hour" not in page.hidden


@needs_browser
def test_it_is_brought_up_to_date(programs, database, tmp_path):
    """What the script writes is what the server writes."""
    api = programs.collectd(database, {"HistoryInterval": 1}).start()
    wait_until(database.has_schema, 30, "there is no schema")
    api.accept([event(f"{i}") for i in range(1500)])
    api.rest()
    wait_until(lambda: api.get("/metrics/history").json(), 30, "no snapshot")
    wait_until(
        lambda: api.get("/health/business").json().get("totalEvents") == 1500,
        30,
        "no figures",
    )
    _, written = page_of(api)
    shown = browse(api, tmp_path, "script")
    assert set(written.by_id) == set(shown.by_id)
    for name in (
        "accepted", "dropped", "buffer-size", "buffer-capacity", "utilization", "ready",
        "database", "breaker", "breaker-failures", "last-error", "stored",
        "last-error-at", "dead-letters", "drop-rate",
    ):  # fmt: skip
        assert shown.by_id[name] == written.by_id[name], name


def test_the_pictures_are_of_this_page():
    """docs/images has two of them."""
    for name in ("page.png", "page-away.png"):
        assert (TOP / "docs/images" / name).stat().st_size > 10_000
