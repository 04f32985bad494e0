# SPDX-License-Identifier: MIT
"""CORS as a browser sees it: a page of another origin in headless Chromium asks
the API for what it may have and for what it may not."""

import http.server
import json
import threading

import pytest

from harness import browser
from harness.events import event
from harness.wait import wait_until

FAILED = "TypeError"  # what fetch says of an answer that it may not show
ID = "01936b6e-0f5a-4d3e-8a1b-0123456789ab"

pytestmark = pytest.mark.skipif(
    browser.PROGRAM is None, reason=browser.ABSENT
)

# Runs each request in turn, and tells the page's own server what came of it.
PAGE = """<!DOCTYPE html><title>page</title><script>
async function ask(one) {
  try {
    if (one.beacon !== undefined) {
      const data = new Blob([one.beacon], {type: "application/json"});
      return {queued: navigator.sendBeacon(one.url, data)};
    }
    const answer = await fetch(one.url, one.how);
    return {status: answer.status, headers: Object.fromEntries(answer.headers),
            body: await answer.text()};
  } catch (error) {
    return {error: error.name};
  }
}
async function main() {
  const results = [];
  for (const one of await (await fetch("/requests")).json())
    results.push(await ask(one));
  await fetch("/results", {method: "POST", body: JSON.stringify(results)});
}
main();
</script>"""


class PageServer:
    """An origin of its own: the page, what it is to ask, and what it found."""

    def __init__(self):
        self.requests = []
        self.results = None
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self, kind, text):
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def do_GET(self):
                if self.path == "/requests":
                    self.answer("application/json", json.dumps(outer.requests))
                else:
                    self.answer("text/html", PAGE)

            def do_POST(self):
                size = int(self.headers["Content-Length"])
                outer.results = json.loads(self.rfile.read(size))
                self.answer("text/plain", "")

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.origin = f"http://127.0.0.1:{self._server.server_port}"

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def pages():
    """Two origins."""
    made = [PageServer(), PageServer()]
    yield made
    for one in made:
        one.close()


def results_of(process, page):
    """What the page found."""
    wait_until(
        lambda: page.results is not None or not process.is_running(),
        120,
        lambda: f"the page does not end:\n{process.log()}",
    )
    assert page.results is not None, process.log()
    return page.results


def run(api, page, requests, until=lambda: True):
    """What the page found; "until" is waited for before the browser ends."""
    page.requests = [{**one, "url": api.url(one["url"])} for one in requests]
    process = browser.browse(api.directory, page.origin)
    try:
        results = results_of(process, page)
        wait_until(until, 30, lambda: f"not as expected: {results}")
        return results
    finally:
        process.kill()


def preflights(api):
    """OPTIONS requests that were answered."""
    return api.metrics().get("http_request_total", route="other", status="204") or 0


def accepted(api):
    return api.metrics().get("events_enqueued_total")


def post(text, **how):
    return {
        "url": "/events",
        "how": {
            "method": "POST",
            "headers": {"Content-Type": "application/json", "X-Correlation-Id": "page"},
            "body": text,
            **how,
        },
    }


REQUESTS = [
    {"url": "/live"},
    {"url": "/nope"},
    post(json.dumps(event("of a page"))),
    post(json.dumps(event("with credentials")), credentials="include"),
    post("{"),
    {"url": f"/dlq/{ID}", "how": {"method": "DELETE"}},
    {"url": "/events", "how": {"credentials": "include"}},
    {"url": f"/dlq/{ID}", "how": {"method": "DELETE", "credentials": "include"}},
    {"url": "/events", "beacon": json.dumps(event("beacon"))},
]


def start(programs, database, origins):
    api = programs.collectd(database, {"AllowOrigin": origins}).start()
    wait_until(database.has_schema, 30, "there is no schema")
    return api


def test_a_page_that_is_listed(programs, database, pages):
    """It may use every route, and send events with credentials, but neither read
    nor delete with them."""
    page = pages[0]
    api = start(programs, database, [page.origin, "https://app.example.com"])
    found = run(api, page, REQUESTS, lambda: accepted(api) == 3)
    live, nope, sent, with_credentials, malformed, delete, *refused, beacon = found
    assert live["status"] == 200 and "SERVER_IS" in live["body"]
    assert nope["status"] == 404
    assert json.loads(nope["body"])["errorCode"] == "NOT_FOUND"
    assert sent["status"] == with_credentials["status"] == 202
    assert sent["headers"]["x-correlation-id"] == "page"
    assert malformed["status"] == 400
    assert json.loads(malformed["body"])["errorCode"] == "MALFORMED_JSON"
    assert delete["status"] == 404
    assert refused == [{"error": FAILED}] * 2
    assert beacon == {"queued": True}
    database.wait_stored(3)


def test_a_page_that_is_not_listed(programs, database, pages):
    """It sees nothing, and what needs a preflight is never sent."""
    api = start(programs, database, pages[1].origin)
    # Each of them but the two simple ones asks first, the beacon too.
    found = run(api, pages[0], REQUESTS, lambda: preflights(api) >= 6)
    *others, beacon = found
    assert others == [{"error": FAILED}] * (len(REQUESTS) - 1)
    assert beacon == {"queued": True}
    assert accepted(api) == 0
    routes = api.metrics()
    assert not routes.get("http_request_total", route="events_post", status="202")
    assert not routes.get("http_request_total", route="dlq", status="404")


def test_without_the_option(programs, database, pages):
    api = programs.collectd(database).start()
    found = run(api, pages[0], REQUESTS[:3])
    assert found == [{"error": FAILED}] * 3
    assert accepted(api) == 0


def test_all_pages(programs, database, pages):
    """With a star every page may do what needs no credentials."""
    api = start(programs, database, "*")
    found = run(api, pages[0], REQUESTS[:-1])
    assert [one.get("status") for one in found] == [
        200, 404, 202, None, 400, 404, None, None,
    ]  # fmt: skip
    assert accepted(api) == 1
