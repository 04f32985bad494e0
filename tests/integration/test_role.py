# SPDX-License-Identifier: MIT
"""A role that has the rights of docs/install.md and no others is enough for
everything: it makes the schema, stores, sets aside, puts back, drops old days,
reads and counts. So is that of docker-compose.yml."""

import os
import re
import subprocess

import psycopg2
import pytest

from harness import build
from harness.events import event
from harness.postgres import Database
from harness.wait import wait_until
from test_dlq import allow, patch, refuse, set_aside
from test_retention import store_before, stored_by_day, wait_figures

NAME = "aurore_events"
DAY = {"from": "2026-03-14T00:00:00Z", "to": "2026-03-15T00:00:00Z"}


def by_the_page(postgres):
    """What the page hands to psql."""
    page = (build.TOP / "docs/install.md").read_text()
    (commands,) = re.findall(r"psql [^\n]*<<'SQL'\n(.*?)^SQL$", page, re.M | re.S)
    run(["psql", "-X", "-v", "ON_ERROR_STOP=1", postgres.conninfo("postgres")], commands)
    return "collectd"


def by_the_container(postgres):
    """What the image of PostgreSQL runs when it makes the cluster."""
    script = build.TOP / "docker/postgres-init/database.sh"
    run(
        [script],
        PGHOST=str(postgres.directory),
        PGPORT=str(postgres.port),
        POSTGRES_USER="postgres",
        AURORE_PASSWORD="it's \"secret\"",
    )
    return "aurore"


def run(command, text="", **environment):
    done = subprocess.run(
        command,
        input=text,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(params=[by_the_page, by_the_container])
def role(request, own_postgres):
    """The database as its administrator sees it, and the role's name."""
    owner = request.param(own_postgres)
    admin = Database(own_postgres.conninfo(NAME), NAME)
    yield admin, owner
    admin.close()


def has_nothing_else(admin, owner):
    (row,) = admin.rows(
        """SELECT rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication
                  OR rolbypassrls
                  OR has_database_privilege(r.oid, current_database(), 'CREATE')
                  OR has_database_privilege(r.oid, current_database(), 'TEMPORARY'),
                  (SELECT array_agg(m.roleid::regrole::text)
                     FROM pg_auth_members AS m WHERE m.member = r.oid)
             FROM pg_roles AS r WHERE rolname = %s""",
        (owner,),
    )
    assert row in [(False, None), (False, ["pg_monitor"])]


def denied(conninfo, sql):
    with psycopg2.connect(conninfo) as connection, connection.cursor() as cursor:
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute(sql)
    connection.close()


def test_the_role_is_enough(programs, role):
    database, owner = role
    has_nothing_else(database, owner)
    conninfo = database.conninfo.replace("user=postgres", f"user={owner}")
    for sql in ("CREATE SCHEMA another", "CREATE TABLE public.t ()", "CREATE TEMP TABLE t ()"):
        denied(conninfo, sql)
    options = {"RetentionDays": 2, "RetentionTime": "00:00", "BusinessInterval": 0.1}
    api = programs.collectd(conninfo, {"Lanes": 2}, options)
    api.database = database
    api.start()

    # The schema, and events; named ones once.
    sent = [event(f"one of {number}") for number in range(500)]
    api.accept(sent)
    for _ in range(2):
        answer = api.post([event("named")], headers={"Idempotency-Key": "k1"})
        assert answer.status_code == 202, answer.text
    database.wait_stored(501)
    api.rest()
    assert api.metrics().get("events_duplicate_total") == 1

    # A dead letter, which is put back and stored.
    refuse(database)
    [letter] = set_aside(api, event("poison"))
    allow(database)
    assert patch(api, letter["id"]).status_code == 200
    database.wait_stored(502)

    # Reads.
    page = api.get("/events", params={"service": "test", **DAY})
    assert page.status_code == 200, page.text
    assert page.json()["total"] == 502
    detailed = api.get("/health/detailed")
    assert detailed.status_code == 200, detailed.text

    # Old days go, whole, and what counts them follows.
    for days in (1, 3):
        store_before(database, days, 100)
    assert api.stop() == 0
    api.start()
    wait_until(
        lambda: stored_by_day(database) == {0: 502, 1: 100},
        30,
        lambda: f"not dropped: {stored_by_day(database)}",
    )
    wait_figures(api, 602)
    assert not [line for line in api.log().splitlines() if "lacks the right" in line]

    # All that was made is its own, and in its schema.
    assert database.value(
        """SELECT count(*) FROM pg_class AS c
            WHERE c.relnamespace = 'aurore'::regnamespace
              AND c.relowner <> %s::regrole""",
        (owner,),
    ) == 0
    assert database.value(
        """SELECT count(*) FROM pg_class
            WHERE relowner = %s::regrole AND relkind IN ('r', 'p')
              AND relnamespace <> 'aurore'::regnamespace
              AND relnamespace <> 'pg_toast'::regnamespace""",
        (owner,),
    ) == 0
    assert api.get("/health/database").json()["status"] == "healthy"
