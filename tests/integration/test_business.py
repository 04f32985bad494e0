# SPDX-License-Identifier: MIT
"""The business metrics: equal to count(*), without counting."""

import threading
from datetime import datetime, timezone

import pytest

from harness.collectd import HOST
from harness.events import event
from harness.load import Load
from harness.wait import wait_until

QUICK = {"BusinessInterval": 0.1}
BY_SERVICE = "collectd_aurore_business_events_by_service"
EXACT = """SELECT (SELECT n FROM aurore.figures(now(), 0) WHERE kind = 'total')
                  - count(*) FROM aurore.event"""


def figures(api, total):
    """The figures, once they tell of so many events."""

    def read():
        answer = api.get("/health/business")
        if answer.status_code == 503:
            return None
        assert answer.status_code == 200, answer.text
        body = answer.json()
        return body if body["totalEvents"] == total else None

    return wait_until(
        read, 30, lambda: f"not {total}: " + api.get("/health/business").text
    )


def by_service(values, name=BY_SERVICE, label="type"):
    return {
        dict(key)[label]: value for key, value in values.family(name).items()
    }


def port_shows(api, wanted):
    """The port's values by service, once "wanted" says yes to them."""
    return wait_until(
        lambda: wanted(by_service(api.values())) and by_service(api.values()),
        30,
        lambda: f"the port shows {by_service(api.values())}",
    )


@pytest.fixture(scope="module")
def busy(postgres, module_programs):
    """Events of three services; the figures tell of all of them."""
    api = module_programs.collectd(
        module_programs.database(postgres), writer=QUICK
    ).start()
    api.accept([event(service="auth") for _ in range(5)])
    api.accept([event(service="pay ments") for _ in range(7)])
    api.accept(event(service="\u00fcber"))
    figures(api, 13)
    return api


def test_health_business(busy):
    body = figures(busy, 13)
    now = datetime.now(timezone.utc)
    assert set(body) == {
        "totalEvents",
        "eventsByService",
        "eventsLast24Hours",
        "eventsLastHour",
        "averageEventsPerMinute",
        "topServices",
        "eventsByHour",
        "asOf",
    }
    assert body["eventsByService"] == {"pay ments": 7, "auth": 5, "\u00fcber": 1}
    assert body["eventsLast24Hours"] == 13
    assert body["eventsLastHour"] == 13
    assert body["averageEventsPerMinute"] == pytest.approx(13 / 1440)
    assert body["topServices"] == [
        {"service": "pay ments", "count": 7},
        {"service": "auth", "count": 5},
        {"service": "\u00fcber", "count": 1},
    ]
    # One hour, or two when it has just struck.
    assert sum(hour["count"] for hour in body["eventsByHour"]) == 13
    for hour in body["eventsByHour"]:
        datetime.strptime(hour["hour"], "%Y-%m-%d %H:00")
    as_of = datetime.fromisoformat(body["asOf"].replace("Z", "+00:00"))
    assert abs((now - as_of).total_seconds()) < 60
    assert busy.session.head(busy.url("/health/business")).status_code == 200
    assert busy.session.post(busy.url("/health/business")).status_code == 405


def test_both_places_say_the_same(busy):
    shown = {"pay ments": 7, "auth": 5, "\u00fcber": 1}
    assert port_shows(busy, lambda found: found == shown)
    values = busy.values()
    plain = busy.metrics()
    assert by_service(plain, "business_events_by_service", "service") == shown
    for name in (
        "business_events_total",
        "business_events_last_24h",
        "business_events_last_hour",
        "business_events_per_minute",
        "dead_letters_pending",
    ):
        found = values.get(f"collectd_aurore_{name}", instance=HOST)
        assert found == pytest.approx(plain.get(name)), name
    assert plain.get("business_events_total") == busy.database.stored() == 13
    assert values.get("collectd_aurore_db_query_total", type="business") > 0


def test_names_that_collectd_cannot_carry(programs, database):
    """Each is a series of its own, and the API tells them as they are."""
    names = ["a/b", "a_b", "/a/b", "/", "//", "root", "a\tb", "a\nb", "a\x7fb"]
    names += ['"', '"' * 100, "\\", "\u00e9" * 99 + "1", "\u00e9" * 99 + "2"]
    names += ["a_b~1234abcd", "{x=\"y\"}", " ", "\x01", "\U0001f600" * 100]
    names = [name for name in names if name.strip()]
    api = programs.collectd(database, writer=QUICK).start()
    events = []
    for count, name in enumerate(names, 1):
        events += [event(service=name)] * count
    api.accept(events)
    body = figures(api, len(events))
    wanted = {name: count for count, name in enumerate(names, 1)}
    assert body["eventsByService"] == wanted
    found = port_shows(
        api, lambda found: sum(found.values()) == len(events)
    )
    assert len(found) == len(names)
    assert sorted(found.values()) == list(range(1, len(names) + 1))
    for unchanged in ("a_b", "root", '"', "\\", '"' * 100):
        assert found[unchanged] == wanted[unchanged]
    assert not any("/" in name or "\t" in name for name in found)
    assert by_service(
        api.metrics(), "business_events_by_service", "service"
    ) == wanted


def test_only_the_largest_have_a_value_of_their_own(programs, database):
    """A service that falls behind is counted in "other", and not twice."""
    api = programs.collectd(
        database, writer=dict(QUICK, BusinessServices=2)
    ).start()
    api.accept([event(service="a")] * 3 + [event(service="b")] * 2)
    figures(api, 5)
    port_shows(api, lambda found: found == {"a": 3, "b": 2})
    api.accept([event(service="c")] * 9 + [event(service="other")])
    body = figures(api, 15)
    assert body["eventsByService"] == {"c": 9, "a": 3, "other": 3}
    assert len(body["topServices"]) == 4
    found = port_shows(api, lambda found: sum(found.values()) == 15)
    assert found.pop("b", 0) == 0
    assert found == {"c": 9, "a": 3, "other": 3}
    assert by_service(
        api.metrics(), "business_events_by_service", "service"
    ) == {"c": 9, "a": 3, "other": 3}


def test_no_database(programs, own_postgres):
    """503 while there are no figures; afterwards the last ones."""
    database = own_postgres.create_database()
    own_postgres.stop()
    api = programs.collectd(database, writer=QUICK).start()
    answer = api.get("/health/business")
    assert answer.status_code == 503
    assert answer.json() == {
        "status": "error",
        "message": "Database unavailable",
        "error": "Service Unavailable",
        "errorCode": "DATABASE_UNAVAILABLE",
    }
    assert int(answer.headers["Retry-After"]) >= 1
    own_postgres.start()
    api.accept([event() for _ in range(6)])
    figures(api, 6)
    own_postgres.stop()
    api.wait_metric("database_connection_status", 0)
    body = figures(api, 6)
    api.accept(event())  # waits in the buffer
    assert figures(api, 6)["asOf"] >= body["asOf"]
    own_postgres.start()
    assert figures(api, 7)["asOf"] > body["asOf"]


class Folder:
    """A context: inside of it counters of every age are folded and read, again
    and again, also by a session that is cut off now and then."""

    def __init__(self, postgres, database):
        self._database = type(database)(postgres.conninfo(database.name))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.wrong = []
        self.readings = 0

    def _run(self):
        while not self._stop.is_set():
            try:
                self._database.execute("SELECT aurore.fold('infinity', 3)")
                difference = self._database.value(EXACT)
            except Exception:  # the server is away, or cut us off
                self._database.close()
                self._stop.wait(0.05)
                continue
            self.readings += 1
            if difference != 0:
                self.wrong.append(difference)
        self._database.close()

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(60)


def test_exact_whatever_happens_to_the_database(programs, own_postgres):
    database = own_postgres.create_database()
    api = programs.collectd(database, writer=QUICK).start()
    wait_until(database.has_schema, 30, "there is no schema")
    with Folder(own_postgres, database) as folder:
        with Load(api) as load:
            load.wait_acknowledged(200)
            own_postgres.kill()
            own_postgres.start()
            load.wait_acknowledged(200)
            own_postgres.restart("immediate")
            load.wait_acknowledged(200)
        before = folder.readings
        wait_until(lambda: folder.readings > before, 30, "nobody reads")
    api.rest()
    assert folder.wrong == []
    stored = load.check(database)
    assert figures(api, stored)["eventsByService"] == {"load": stored}
    database.execute("SELECT aurore.fold('infinity', 100000)")
    assert database.counted() == stored
    api.wait_metric("business_events_total", stored)
