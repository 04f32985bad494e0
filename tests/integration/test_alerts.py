# SPDX-License-Identifier: MIT
"""The whole monitoring stack: collectd with the files of conf.d, PostgreSQL,
Prometheus with the rules, Alertmanager, and a webhook that it calls. Whatever
is broken is reported once, and again when it is resolved. A minute of the
rules takes a second here; everything else is as shipped."""

import math
import os
import re
import uuid

import psycopg2
import pytest

from harness import build, queries
from harness.collectd import BOTH, HOST, STOCK_PLUGINS, Collectd
from harness.events import event
from harness.load import Load
from harness.prometheus import hurried
from harness.programs import QUICK
from harness.wait import wait_until

from test_tls import Https, make_certificate

pytestmark = [
    pytest.mark.slow,
    pytest.mark.plain("watches from outside, what others try inside"),
]

CAPACITY = 20000
TABLE = "aurore.event"


class Whole(Collectd):
    """A collectd that has the plugins of conf.d beside ours."""

    def _plugins(self):
        parts = [f'PluginDir "{STOCK_PLUGINS}"']
        for name in ("host", "postgresql", "threshold"):
            text = (build.TOP / f"conf.d/aurore-{name}.conf").read_text()
            parts.append(text)
        text = "\n".join(parts)
        for before, after in (
            ('<Database "aurore_events">', f'<Database "{self.database.name}">'),
            ('#Host "/run/postgresql"', f'Host "{self.server.directory}"'),
            ('#User "root"', 'User "postgres"'),
            # There may be no other one here.
            ('Interface "lo"', 'Interface "none"'),
        ):
            assert before in text
            text = text.replace(before, after)
        ours = super()._plugins()
        return f'{text}\nPluginDir "{build.plugin_directory()}"\n{ours}'


class Troubled(Collectd):
    """A collectd with a certificate for a day, and with a plugin whose read can be
    made to hang, and with it all the others'."""

    def _plugins(self):
        return f"""\
ReadThreads 1
PluginDir "{STOCK_PLUGINS}"
LoadPlugin table
<Plugin table>
  <Table "{self.directory}/read">
    Instance "hangs"
    Separator " "
    <Result>
      Type "gauge"
      InstancePrefix "x"
      ValuesFrom 0
    </Result>
  </Table>
</Plugin>
PluginDir "{build.plugin_directory()}"
{super()._plugins()}"""

    def secure(self):
        make_certificate(self.directory, "server", days=1)
        self.buffer["TLSCertificate"] = self.directory / "server.pem"
        self.buffer["TLSKey"] = self.directory / "server.key"
        self.session.trust_env = False
        self.session.verify = str(self.directory / "server.pem")
        self.url = Https(self).url

    def end_writers(self):
        self.database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname ="
            " current_database() AND application_name LIKE 'collectd aurore writer%'"
        )


@pytest.fixture(scope="module")
def troubled(base, module_programs, postgres):
    """Another host, with what watches it. What takes minutes to be reported is broken
    at once: a day cannot be dropped, a lane is blocked, the certificate ends."""
    writer = dict(QUICK, RetentionDays=30)
    made = Troubled(base, {"KeepStored": 0}, writer, BOTH, host="troubled")
    made.buffer["SpoolDirectory"] = made.directory / "spool"
    made.database = module_programs.database(postgres)
    made.writer["ConnInfo"] = made.database.conninfo
    (made.directory / "read").write_text("1\n")
    module_programs.adopt(made)
    made.secure()
    made.start()
    made.alertmanager = module_programs.alertmanager()
    made.webhook = made.alertmanager.webhook
    made.prometheus = module_programs.prometheus(made, alertmanager=made.alertmanager)
    made.accept([event(f"{i}") for i in range(5)])
    made.database.wait_stored(5)
    made.database.execute(
        """SELECT aurore.ensure_partitions(current_date - 90, current_date - 90);
           DO $$BEGIN EXECUTE 'CREATE VIEW public.kept AS SELECT * FROM '
             'aurore.event_' || to_char(current_date - 90, 'YYYYMMDD'); END$$"""
    )
    made.end_writers()  # the janitor is woken when they are back
    made.wait_metric("retention_overdue_days", 1, timeout=60)
    made.database.execute(
        f"ALTER TABLE {TABLE} ADD extra int DEFAULT 0 NOT NULL;"
        f" ALTER TABLE {TABLE} ALTER extra DROP DEFAULT"
    )
    made.accept(event("blocked"))
    return made


@pytest.fixture(scope="module")
def watched(base, module_programs, troubled):
    """The whole, with somebody who sends events all the time."""
    server = module_programs.postgres()
    writer = dict(QUICK, SlowQuery=0, BusinessInterval=0.2)
    made = Whole(base, {"Capacity": CAPACITY}, writer, BOTH)
    made.buffer["SpoolDirectory"] = made.directory / "spool"
    made.server, made.database = server, server.create_database()
    made.writer["ConnInfo"] = made.database.conninfo
    module_programs.adopt(made)
    made.start()
    made.alertmanager = module_programs.alertmanager()
    made.webhook = made.alertmanager.webhook
    made.prometheus = module_programs.prometheus(
        made, alertmanager=made.alertmanager
    )
    with Load(made, threads=1, events=3) as made.sender:
        wait_until(
            lambda: made.prometheus.value("dead_letters_total") == 0
            and made.prometheus.value("events_processed_total"),
            60,
            "Prometheus does not know of the events",
        )
        yield made


def refuse_poison(database):
    database.execute(
        f"ALTER TABLE {TABLE} ADD CONSTRAINT no_poison"
        " CHECK (message NOT LIKE 'poison%') NOT VALID"
    )


def post(watched, count):
    return watched.post([event(f"one of {count}")] * count).status_code


def of_the_host():
    """How busy the machine of the tests is, and how full its disk, is not the
    subject."""
    return {
        rule["alert"]
        for group in queries.rule_groups()
        if group["name"] == "aurore-host"
        for rule in group["rules"]
    }


def paged(watched, since):
    """Which alerts somebody was called for."""
    return set(watched.webhook.names(path="/page", since=since)) - of_the_host()


def wait_quiet(watched):
    """Until nobody has to be called any more for what was broken before; returns
    since when, for the webhook."""

    def critical():
        pending = watched.prometheus.query('ALERTS{severity="critical"}')
        labels = [labels for labels, _ in pending] + watched.alertmanager.alerts()
        return {
            l["alertname"] for l in labels if l["severity"] == "critical"
        } - of_the_host()

    wait_until(
        lambda: not critical(), 180, lambda: f"there is no quiet: {critical()}"
    )
    return len(watched.webhook.told)


def is_active(watched, name):
    return watched.prometheus.query(
        f'ALERTS{{alertname="{name}",alertstate="firing"}}'
    )


def wait_active(watched, name):
    wait_until(lambda: is_active(watched, name), 60, f"{name} does not fire")


# --- a bad row; and then some of everything --------------------------------------------


def test_a_poisoned_row_is_told(watched):
    refuse_poison(watched.database)
    watched.accept([event("good"), event("poison"), event("good, too")])
    path, _, labels, notes = watched.webhook.wait("AuroreDeadLettersGrowing")
    assert path == "/ticket"
    assert labels["instance"] == HOST and labels["severity"] == "warning"
    assert "set aside" in notes["description"]
    assert notes["runbook_url"].endswith("runbook.md#auroredeadlettersgrowing")


def answer(prometheus, expression):
    """The values of an expression that are numbers."""
    return [
        value
        for _, value in prometheus.query(expression)
        if not math.isnan(value)
    ]


def shown(expression):
    """A query of the dashboard as Grafana asks it, in a hurry."""
    asked = expression.replace("$__rate_interval", "10m").replace("$instance", ".+")
    return hurried(asked)


def asked_by_the_rules():
    """(where, expression): what each rule looks at, limits left aside."""
    for rule in queries.rules("record"):
        yield rule["record"], hurried(rule["expr"])
    for rule in queries.rules("alert"):
        if rule["expr"].startswith("certificate_expiry_seconds"):
            continue  # it has none: see test_tls.py
        expression = re.sub(r"\babsent\(", "(", rule["expr"])
        yield rule["alert"], hurried(queries.without_limits(expression))


def asked_by_the_dashboard():
    """(where, expression): what it shows; a mark in time is there only when
    something has changed, so its limit is left aside."""
    for where, expression in queries.dashboard_queries(queries.dashboard()):
        if "certificate_expiry_seconds" in expression:
            continue  # it has none: see test_tls.py
        if where.startswith("annotation"):
            expression = queries.without_limits(expression)
        yield where, shown(expression)


@pytest.mark.parametrize("asked", [asked_by_the_rules, asked_by_the_dashboard])
def test_every_query_has_an_answer(watched, asked):
    """With events, a dead letter, and an alert that fires."""
    watched.get("/events", params={"service": "load"})
    watched.accept([event("poison")])
    left = dict(asked())
    assert len(left) > 60
    for where in list(left):
        # Alerts that fire come and go.
        watched.accept([event("poison")])
        wait_until(
            lambda: answer(watched.prometheus, left[where]),
            60,
            lambda: f"no answer for {where}: {left[where]}",
        )


def test_alerts_that_fire_are_shown(watched):
    """The panel's query names them, also that of a target which is down."""
    (expression,) = [
        expression
        for where, expression in asked_by_the_dashboard()
        if where.startswith("Active Alerts")
    ]
    watched.accept([event("poison")])

    def names():
        found = watched.prometheus.query(expression)
        return "AuroreDeadLettersGrowing" in [l["alertname"] for l, _ in found]

    wait_until(names, 60, "the alert is not shown")


def test_everything_is_scraped(watched):
    def states():
        found = watched.prometheus.targets()
        return {t["labels"]["job"]: t["health"] for t in found}

    jobs = ("alertmanager", "collectd", "collectd-hosts", "prometheus")
    wait_until(
        lambda: states() == dict.fromkeys(jobs, "up"),
        30,
        lambda: f"not all are scraped: {states()}",
    )


def test_its_end_is_told(watched):
    """No bad rows any more."""
    watched.database.execute(f"ALTER TABLE {TABLE} DROP CONSTRAINT no_poison")
    since = len(watched.webhook.told)
    watched.webhook.wait("AuroreDeadLettersGrowing", "resolved", since)


# --- causes and their consequences ------------------------------------------------------


def test_a_full_buffer_is_told(watched):
    """Somebody holds a lock on the table: the database is there, and nothing is
    stored."""
    since = len(watched.webhook.told)
    holder = psycopg2.connect(watched.database.conninfo)
    holder.cursor().execute(f"LOCK TABLE {TABLE} IN ACCESS EXCLUSIVE MODE")

    try:
        for count in (CAPACITY // 2, CAPACITY // 20):
            wait_until(
                lambda: post(watched, count) == 429, 60, "it is not full"
            )
        wait_until(
            lambda: is_active(watched, "AuroreBufferCritical"), 60, "nobody minds"
        )
        for _ in range(3):
            post(watched, CAPACITY // 20)
        path, _, labels, notes = watched.webhook.wait(
            "AuroreDropRateCritical", since=since
        )
        assert path == "/page" and labels["severity"] == "critical"
        assert re.match(r"[0-9.]+ % of the events", notes["description"])
    finally:
        holder.rollback()
        holder.close()

    def over():
        """Of what was offered in the last minute little was refused."""
        if watched.metrics().get("buffer_size") < CAPACITY // 4:
            post(watched, CAPACITY // 2)
        return "AuroreDropRateCritical" in watched.webhook.names(
            "resolved", since=since
        )

    wait_until(over, 120, "it is not told that it is over")


def test_a_database_that_is_away_is_told_once(watched):
    """The breaker opens, batches fail, the objective is missed: that follows, and
    nobody is called for it."""
    since = wait_quiet(watched)
    watched.server.stop("immediate")
    try:
        path, _, labels, notes = watched.webhook.wait(
            "AuroreDatabaseAway", since=since
        )
        assert path == "/page" and labels["instance"] == HOST
        assert re.search(r"the buffer is [0-9.]+ % full", notes["description"])
        for name in ("AuroreBreakerOpen", "AuroreBatchFailures"):
            wait_active(watched, name)
    finally:
        watched.server.start()
    watched.webhook.wait("AuroreDatabaseAway", "resolved", since)
    assert paged(watched, since) == {"AuroreDatabaseAway"}


def test_a_collectd_that_is_gone_is_told_once(watched):
    watched.rest()
    since = wait_quiet(watched)
    assert watched.stop() == 0
    try:
        path, _, labels, _ = watched.webhook.wait("AuroreCollectdDown", since=since)
        assert path == "/page" and labels["job"] == "collectd"
    finally:
        watched.start()
    watched.webhook.wait("AuroreCollectdDown", "resolved", since)
    # In a hurry a window of the objective holds few batches, and a start shows.
    told = paged(watched, since) - {"AuroreSloBurnFast"}
    assert told == {"AuroreCollectdDown"}


# --- the host that is in trouble from the beginning ---------------------------------------


def told(host, name, path, since=0):
    """What somebody was told about this host; returns the labels and the notes."""
    found, _, labels, notes = host.webhook.wait(name, since=since, timeout=180)
    assert found == path, (name, found)
    assert notes["action"] and notes["runbook_url"].endswith(f"#{name.lower()}")
    return labels, notes


def test_a_lane_that_is_blocked_is_told(troubled):
    labels, notes = told(troubled, "AuroreLaneBlocked", "/page")
    assert labels["instance"] == "troubled"
    assert "1 lanes" in notes["description"]
    # That the host is unhealthy follows from it.
    assert "AuroreUnhealthy" not in troubled.webhook.names(path="/page")
    troubled.database.execute(f"ALTER TABLE {TABLE} DROP extra")
    troubled.webhook.wait("AuroreLaneBlocked", "resolved")
    troubled.rest()


def test_a_certificate_that_ends_is_told(troubled):
    for name, path in (
        ("AuroreCertificateExpired", "/page"),
        ("AuroreCertificateExpiring", "/ticket"),
    ):
        labels, notes = told(troubled, name, path)
        assert labels["instance"] == "troubled"
        assert re.search(r"\b2[34]h|\b1d", notes["description"]), notes


def test_a_file_that_cannot_be_used_is_told(troubled):
    key = troubled.directory / "server.key"
    good = key.read_text()
    key.write_text("no key\n")
    labels, _ = told(troubled, "AuroreReloadFailed", "/ticket")
    assert labels["instance"] == "troubled" and labels["file"] == "key"
    key.write_text(good)
    troubled.webhook.wait("AuroreReloadFailed", "resolved")


def test_days_that_cannot_be_dropped_are_told(troubled):
    labels, notes = told(troubled, "AuroreRetentionOverdue", "/ticket")
    assert "instance" not in labels  # they are the database's
    assert notes["description"].startswith("1 days")
    troubled.database.execute("DROP VIEW public.kept")
    troubled.end_writers()
    troubled.webhook.wait("AuroreRetentionOverdue", "resolved")


def test_a_fenced_lane_is_told(troubled):
    """Another copy of the spool has been there."""
    database = troubled.database
    before = database.value("SELECT owner FROM aurore.lane")
    database.execute(f"UPDATE aurore.lane SET owner = '{uuid.uuid4()}'")
    troubled.end_writers()
    labels, _ = told(troubled, "AuroreLaneFenced", "/page")
    assert labels["instance"] == "troubled"
    database.execute("UPDATE aurore.lane SET owner = %s", (before,))
    troubled.webhook.wait("AuroreLaneFenced", "resolved")


def test_events_that_the_database_has_lost_are_told(troubled):
    """It is as it was before the first of them, and the spool keeps none."""
    troubled.rest()
    troubled.database.execute(f"DELETE FROM {TABLE}")
    troubled.database.execute("UPDATE aurore.lane SET next_seq = 0")
    troubled.end_writers()
    labels, notes = told(troubled, "AuroreEventsLost", "/page")
    assert labels["instance"] == "troubled"
    assert re.search(r"and [0-9]+ events", notes["description"]), notes


def test_figures_that_are_old_are_told(troubled):
    """Collectd responds, and its plugins are not read any more: one of them opens a
    file that nobody answers for."""
    since = len(troubled.webhook.told)
    place = troubled.directory
    os.mkfifo(place / "pipe")
    os.link(place / "pipe", place / "other-end")
    os.replace(place / "pipe", place / "read")
    try:
        labels, _ = told(troubled, "AuroreFiguresStale", "/page", since)
        assert labels["instance"] == "troubled"
        assert troubled.prometheus.value('up{job="collectd"}') == 1
        assert "AuroreCollectdDown" not in troubled.webhook.names(since=since)
    finally:
        (place / "good").write_text("1\n")
        os.replace(place / "good", place / "read")
        with (place / "other-end").open("w"):
            pass
    troubled.webhook.wait("AuroreFiguresStale", "resolved", since)

