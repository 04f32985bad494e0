# SPDX-License-Identifier: MIT
"""The release before, 0.1.0, goes on beside this one: an administrator upgrades
one host after the other, and all of them store into one database. It is built
from its commit."""

import subprocess
from pathlib import Path

import pytest

from harness import build
from harness.collectd import Collectd
from harness.events import event
from harness.programs import QUICK
from harness.wait import wait_until
from test_store import poison

COMMIT = "d506edd"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.plain("the old release is not instrumented"),
]


def run(*command, cwd):
    done = subprocess.run(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:].decode(errors="replace")
    return done.stdout


@pytest.fixture(scope="module")
def old_plugins(base):
    """The directory with the plugins of 0.1.0."""
    known = subprocess.run(
        ["git", "cat-file", "-e", f"{COMMIT}^{{commit}}"],
        cwd=build.TOP,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    if known.returncode != 0:
        pytest.skip("not in a clone that has the commit of 0.1.0")
    source = Path(base) / "release-0.1.0"
    (source / "m4").mkdir(parents=True)
    archive = source / "archive.tar"
    run("git", "archive", "-o", str(archive), COMMIT, cwd=build.TOP)
    run("tar", "xf", str(archive), cwd=source)
    run("autoreconf", "-fi", cwd=source)
    run("./configure", "-q", cwd=source)
    run("make", "-s", "plugins/aurore/schema_sql.h", cwd=source)
    run("make", "-s", "-j2", "event_buffer.la", "event_writer.la", cwd=source)
    return source / ".libs"


@pytest.fixture
def both(programs, database, old_plugins):
    """This release, which has brought the schema up to date, and the old one,
    with one database."""
    options = dict(QUICK, RetentionDays=3, RetentionTime="00:00", BusinessInterval=0.2)
    new = programs.collectd(database, writer=options).start()
    wait_until(database.has_schema, 30, "there is no schema")
    old = Collectd(
        programs.base,
        writer=dict(options, ConnInfo=database.conninfo),
        types_db=False,
    )
    old.plugins = old_plugins
    programs.adopt(old).start()
    assert old.get("/health/detailed").json()["environment"]["pluginVersion"] == "0.1.0"
    return new, old


def test_both_store_set_aside_and_put_back(both, database):
    new, old = both
    for api in both:
        api.accept([event(f"of {api.port} {number}") for number in range(500)])
    database.wait_stored(1000)
    poison(database, "poison")
    for api in both:
        assert api.post([event("fine"), event("poison")]).status_code == 202
    wait_until(lambda: database.dead_letters() == 2, 30, "not set aside")
    database.wait_stored(1002)
    database.execute("ALTER TABLE aurore.event DROP CONSTRAINT no_poison")
    letters = [row["id"] for row in old.get("/dlq").json()["events"]]
    for api, letter in zip(both, letters):
        url = api.url(f"/dlq/{letter}/reprocess")
        assert api.session.patch(url, timeout=30).status_code == 200
    database.wait_stored(1004)
    for api in both:
        api.rest()
        api.wait_metric("business_events_total", 1004)
        assert not [line for line in api.complaints() if "schema" in line]


def test_the_old_one_restarts_and_goes_on(both, database):
    new, old = both
    new.accept([event(f"new {number}") for number in range(10)])
    old.accept([event(f"old {number}") for number in range(10)])
    assert old.stop() == 0
    new.accept([event(f"more {number}") for number in range(10)])
    old.start()
    old.accept([event(f"again {number}") for number in range(10)])
    database.wait_stored(40)


def test_old_days_go_whoever_drops_them(both, database):
    days = (4, 5, 9)
    for day in days:
        database.execute(
            "SELECT aurore.ensure_partitions(current_date - %s, current_date - %s)",
            (day, day),
        )

    def left():
        return database.value(
            "SELECT count(*) FROM aurore.partitions()"
            " WHERE upper_bound < current_date - 3"
        )

    for api in both:
        assert api.stop() == 0
        api.start()
    wait_until(lambda: left() == 0, 60, "old days are still there")
