# SPDX-License-Identifier: MIT
"""The dashboard of the events: each of its queries, as Grafana would send it, with
a role that has the rights of docs/observability.md and no other."""

import json
import re
import uuid
from datetime import datetime, timedelta, timezone

import psycopg2
import pytest

from harness import build, queries
from harness.wait import wait_until

SERVICES = ["alpha", "beta", "O'Reilly; DROP TABLE aurore.event --"]
EVENTS = 900
BULK = 60000


def rights():
    """The commands of the page, which make the role."""
    text = (build.TOP / "docs/observability.md").read_text()
    block = re.search(r"((?:    .*\n)*    CREATE ROLE aurore_reader(?:.*\n)(?:    .*\n)*)", text)
    return block.group(1)


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


class Reader:
    """Asks what the panels ask, for chosen values of the variables."""

    def __init__(self, connection, begin, end):
        self.connection = connection
        self.begin, self.end = begin, end
        self.values = {"text": "", "key": "", "value": "", "event": ""}
        self.services = SERVICES
        self.seconds = 60  # of an interval

    def interpolated(self, sql):
        begin, end = (quoted(at.isoformat()) for at in (self.begin, self.end))
        for name, value in self.values.items():
            sql = sql.replace(f"${{{name}:sqlstring}}", quoted(value))
        sql = sql.replace("$service", ",".join(map(quoted, self.services)))
        sql = re.sub(r"\$__timeFilter\(([\w.]+)\)", rf"\1 BETWEEN {begin} AND {end}", sql)
        for macro, at in (("From", self.begin), ("To", self.end)):
            sql = sql.replace(f"$__unixEpoch{macro}()", str(int(at.timestamp())))
        sql = sql.replace("$__interval_ms", f"{self.seconds}000")
        sql = sql.replace("$__interval", f"{self.seconds}s")
        sql = sql.replace("'1h'", "3600s")
        sql = re.sub(
            r"\$__timeGroup\(([\w.]+), (\d+)s\)",
            r"floor(extract(epoch FROM \1) / \2) * \2",
            sql,
        )
        assert "$" not in sql, sql
        return sql

    def ask(self, sql):
        with self.connection.cursor() as cursor:
            cursor.execute(self.interpolated(sql))
            names = [column.name for column in cursor.description]
            return [dict(zip(names, row)) for row in cursor.fetchall()]

    def panel(self, title):
        return self.ask(sql_of(title))

    def plan(self, title):
        rows = self.ask("EXPLAIN (FORMAT json) " + sql_of(title))
        return json.dumps(rows[0]["QUERY PLAN"])


def board():
    return queries.events_dashboard()


def sql_of(title):
    (panel,) = [p for p in queries.panels(board()) if p["title"] == title]
    return panel["targets"][0]["rawSql"]


TITLES = [panel["title"] for panel in queries.panels(board())]


@pytest.fixture(scope="module")
def reader(postgres, module_programs):
    database = module_programs.database(postgres)
    api = module_programs.collectd(database).start()
    now = datetime.now(timezone.utc)
    api.accept(
        [
            {
                "timestamp": (now - timedelta(seconds=number)).isoformat(),
                "service": SERVICES[number % 3],
                "message": f"message {number}",
                "metadata": {"number": str(number)} if number % 2 else None,
            }
            for number in range(EVENTS)
        ]
    )
    database.wait_stored(EVENTS)
    fill(database)
    database.execute(rights().replace("aurore_events", database.name))
    connection = psycopg2.connect(database.conninfo, user="aurore_reader")
    connection.autocommit = True
    yield Reader(connection, now - timedelta(hours=6), now + timedelta(hours=1))
    connection.close()
    database.execute("DROP OWNED BY aurore_reader; DROP ROLE aurore_reader")


def fill(database):
    """More events, so that an index is worth it, and dead letters."""
    database.execute(
        "INSERT INTO aurore.event (event_id, occurred_at, ingested_at, service,"
        " message) SELECT gen_random_uuid(), now() - i * interval '1 second',"
        " now(), 'bulk ' || i %% 10, 'bulk' FROM generate_series(1, %s) AS i",
        (BULK,),
    )
    database.execute(
        "INSERT INTO aurore.dead_letter (event_id, service, event, failure_reason,"
        " sql_state, spool_id, lane, seq) SELECT gen_random_uuid(), 'alpha', '',"
        " 'reason', '22000', gen_random_uuid(), 0, i FROM generate_series(1, 3) AS i"
    )
    database.execute("VACUUM (ANALYZE) aurore.event")


@pytest.mark.parametrize("title", TITLES)
def test_each_panel_shows_something(reader, title):
    if title == "Event":
        reader.values["event"] = reader.panel("Events")[0]["id"]
    try:
        assert reader.panel(title)
    finally:
        reader.values["event"] = ""


@pytest.mark.parametrize("title", ["Events", "Event", "Ingest Delay"])
def test_no_panel_reads_all_events(reader, title):
    reader.values["event"] = str(uuid.uuid4())
    try:
        plan = reader.plan(title)
    finally:
        reader.values["event"] = ""
    scans = re.findall(r'"Node Type": "Seq Scan"[^{}]*"Relation Name": "(\w+)"', plan)
    assert "Index" in plan
    assert not [name for name in scans if holds_rows(reader, name)], plan


def test_the_delay_of_the_whole_time(reader):
    """However many events the last minutes have."""
    services, reader.services = reader.services, [f"bulk {i}" for i in range(10)]
    try:
        shown = reader.panel("Ingest Delay")
    finally:
        reader.services = services
    assert shown[0]["time"] < reader.begin + timedelta(minutes=2)
    # The event of a second is as late as the minutes that have passed since then.
    assert shown[0]["p50"] > 5.9 * 3600 and shown[-1]["p95"] < 120


def holds_rows(reader, partition):
    """A partition that is empty is read as a whole, which costs nothing."""
    ((rows,),) = [
        tuple(row.values())
        for row in reader.ask(
            "SELECT reltuples > 0 FROM pg_class WHERE relname = " + quoted(partition)
        )
    ]
    return rows


def test_figures_are_those_of_the_table(reader):
    by_service = {row["service"]: row["n"] for row in reader.panel("Largest Services")}
    assert by_service == {service: EVENTS / 3 for service in SERVICES}
    minutes = reader.panel("Events per Minute")
    assert sum(row["events"] for row in minutes) == EVENTS
    hours = reader.panel("Events per Hour by Service")
    assert sum(row["events"] for row in hours) == EVENTS
    assert {row["metric"] for row in hours} == set(SERVICES)


def test_services_to_choose_from(reader):
    (variable,) = [
        each for each in board()["templating"]["list"] if each["name"] == "service"
    ]
    found = [row["service"] for row in reader.ask(variable["query"])]
    assert sorted(found) == sorted(SERVICES)


@pytest.mark.parametrize(
    "values, count",
    [
        ({}, 500),
        ({"text": "MESSAGE 17"}, 11),  # 17, 170 to 179
        ({"text": "100%"}, 0),
        ({"key": "number"}, EVENTS // 2),
        ({"key": "number", "value": "33"}, 1),
        ({"text": "'; DROP TABLE aurore.event; --"}, 0),
    ],
    ids=str,
)
def test_filters(reader, values, count):
    reader.values.update(values)
    try:
        found = reader.panel("Events")
    finally:
        reader.values.update(text="", key="", value="")
    assert len(found) == count
    times = [row["time"] for row in found]
    assert times == sorted(times, reverse=True)


def test_filter_by_service(reader):
    reader.services = SERVICES[2:]
    try:
        assert {row["service"] for row in reader.panel("Events")} == {SERVICES[2]}
    finally:
        reader.services = SERVICES


def test_the_role_can_only_read(reader):
    for statement in (
        "DELETE FROM aurore.event",
        "SET default_transaction_read_only = off; DELETE FROM aurore.dead_letter",
        "SELECT * FROM aurore.lane",
    ):
        with pytest.raises(psycopg2.Error):
            with reader.connection.cursor() as cursor:
                cursor.execute(statement)
