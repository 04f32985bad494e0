# SPDX-License-Identifier: MIT
"""The dashboard over three hosts that store into one database: what it shows of all
of them, and of one. A Prometheus asks what Grafana would ask."""

import re

import pytest

from harness import build, queries
from harness.events import event
from harness.prometheus import hurried
from harness.programs import QUICK
from harness.wait import wait_until

pytestmark = pytest.mark.skipif(
    build.SANITIZE != "", reason="watches from outside, what others try inside"
)

HOSTS = ("north", "south", "west")
EVENTS = {"north": 30, "south": 20, "west": 10}


def start_fleet(programs, database):
    """Three collectds, and a Prometheus that has the rules and scrapes them."""
    hosts = {}
    for name in HOSTS:
        host = programs.collectd(
            database, {}, dict(QUICK, BusinessInterval=0.2), host=name
        )
        host.buffer["SpoolDirectory"] = host.directory / "spool"
        hosts[name] = host.start()
    return hosts, programs.prometheus(*hosts.values(), rules=True)


@pytest.fixture(scope="module")
def fleet(postgres, module_programs):
    """A fleet that has stored events, and set some aside; nothing happens any more."""
    database = module_programs.database(postgres)
    hosts, prometheus = start_fleet(module_programs, database)
    database.execute(
        "ALTER TABLE aurore.event ADD CONSTRAINT no_poison"
        " CHECK (message <> 'poison') NOT VALID"
    )
    for name, host in hosts.items():
        host.accept([event(f"{i}", f"from-{name}") for i in range(EVENTS[name])])
        host.accept(event("poison", "mail"))
    database.wait_stored(sum(EVENTS.values()))
    wait_until(lambda: database.dead_letters() == 3, 30, "nothing is set aside")
    for host in hosts.values():
        host.rest()
        host.wait_metric("business_events_total", sum(EVENTS.values()))
        host.wait_metric("dead_letters_pending", 3)
    wait_until(
        lambda: prometheus.value("sum(events_enqueued_total)") == 63
        and prometheus.value("min(dead_letters_pending)") == 3
        and prometheus.value("min(business_events_total)") == 60,
        60,
        lambda: f"Prometheus does not know: {prometheus.targets()}",
    )
    prometheus.hosts = hosts
    return prometheus


def asked(title, chosen):
    """{what a panel calls its series: expression} for a choice of hosts, which is a
    regular expression as Grafana makes it."""
    (panel,) = [p for p in queries.panels(queries.dashboard()) if p["title"] == title]
    return {
        target["legendFormat"] or target["refId"]: hurried(
            target["expr"]
            .replace("$__rate_interval", "10m")
            .replace("$instance", chosen)
        )
        for target in panel["targets"]
    }


CHOICES = [".+", *HOSTS, "north|south"]


@pytest.mark.parametrize("chosen", CHOICES)
def test_the_database_is_counted_once(fleet, chosen):
    """However many hosts are chosen: each tells all of it."""
    found = asked("Total Events & Recent", chosen)
    assert fleet.value(found["total"]) == 60
    assert fleet.value(found["24 h"]) == 60
    assert fleet.value(asked("Dead Letters", chosen)["pending"]) == 3
    (services,) = asked("Events by Service", chosen).values()
    assert {
        labels["service"]: value for labels, value in fleet.query(services)
    } == {f"from-{name}": EVENTS[name] for name in HOSTS}
    assert fleet.value(asked("Days Overdue", chosen)["days"]) == 0


@pytest.mark.parametrize("chosen", CHOICES)
def test_each_host_has_a_line(fleet, chosen):
    """Of those that are chosen, in each column; and no other."""
    wanted = {name for name in HOSTS if re.fullmatch(chosen, name)}
    columns = asked("Hosts", chosen)
    assert len(columns) == 8
    for column, expression in columns.items():
        wait_until(
            lambda: {l["instance"] for l, _ in fleet.query(expression)} == wanted,
            30,
            lambda: f"column {column}: {fleet.query(expression)}",
        )
        labels = [set(labels) for labels, _ in fleet.query(expression)]
        assert len(labels) == len(wanted)
        # The lines are put together by what their labels have in common.
        version = {"version"} if column == "H" else set()
        assert all(one == {"instance"} | version for one in labels), column


def test_one_that_does_not_respond(fleet):
    """Its line says so, and the others stay. The last test: it is not started again."""
    expression = asked("Hosts", ".+")["A"]

    def responds():
        return {l["instance"]: value for l, value in fleet.query(expression)}

    wait_until(
        lambda: responds() == dict.fromkeys(HOSTS, 1), 30, lambda: responds()
    )
    assert fleet.hosts["west"].stop() == 0
    wait_until(
        lambda: responds() == {"north": 1, "south": 1, "west": 0},
        30,
        lambda: responds(),
    )
