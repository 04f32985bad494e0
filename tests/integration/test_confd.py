# SPDX-License-Identifier: MIT
"""The files of conf.d, as installed by "make install", in a real collectd:
they load together, the metrics of the machine and the database arrive, and an
exceeded limit is reported."""

import math
import os
import re
import shutil
import threading

import psycopg2
import pytest

from harness import build
from harness.collectd import HOST, STOCK_PLUGINS, STOCK_TYPES, Collectd, block
from harness.events import event
from harness.process import Process
from harness.wait import wait_until

FILES = sorted(path.name for path in (build.TOP / "conf.d").glob("*.conf"))


# --- installed, and run -------------------------------------------------------------


class Installed(Collectd):
    """A collectd whose configuration is little more than an Include of the files
    that were installed, edited as an administrator would: ports, directories,
    where the database is."""

    edits = {}
    appended = {}
    whole_stacks = True  # else what collectd leaks of its files is not told from ours

    def _edited(self, name, text):
        edits = [
            ('"127.0.0.1:3000"', f'"127.0.0.1:{self.port}"'),
            ('"9103"', f'"{self.metrics_port}"'),
            ('"/var/lib/collectd/aurore"', f'"{self.directory}/spool"'),
            ('"/usr/share/collectd/aurore.types.db"', f'"{self.root}{TYPES}"'),
        ] + self.edits.get(name, [])
        for before, after in edits:
            text = text.replace(before, after)
        return text + self.appended.get(name, "")

    def config(self):
        place = self.directory / "collectd.conf.d"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        for path in (self.root / "etc/collectd/collectd.conf.d").iterdir():
            text = self._edited(path.name, path.read_text())
            (place / path.name).write_text(text)
        return f"""\
Hostname "{HOST}"
FQDNLookup false
BaseDir "{self.directory}"
PIDFile "{self.directory}/pid"
Interval 0.5
Timeout 100
PluginDir "{self.root}/plugins"
LoadPlugin logfile
<Plugin logfile>
  LogLevel info
  File stderr
  PrintSeverity true
</Plugin>
<Include "{place}">
  Filter "*.conf"
</Include>
"""


TYPES = "/usr/share/collectd/aurore.types.db"


@pytest.fixture(scope="module")
def root(base):
    """Where "make install" has put everything, and beside it one directory with
    all plugins: collectd follows no links."""
    destination = base / "installed"
    if build.INSTALLED in os.environ:
        shutil.copytree(os.environ[build.INSTALLED], destination)
    else:
        build.install(destination)
    plugins = destination / "plugins"
    plugins.mkdir()
    ours = next(destination.rglob("libaurore.so")).parent
    for place in (STOCK_PLUGINS, ours):
        for path in build.Path(place).glob("*.so"):
            shutil.copy(path, plugins)
    return destination


def test_every_file_is_installed(root):
    place = root / "etc/collectd/collectd.conf.d"
    assert sorted(path.name for path in place.iterdir()) == FILES
    for name in FILES:
        assert (place / name).read_bytes() == (
            build.TOP / "conf.d" / name
        ).read_bytes()
    assert (root / TYPES[1:]).read_bytes() == (build.TOP / "types.db").read_bytes()


def database_block(name, conninfo, user, queries):
    """One more <Database> of the postgresql plugin."""
    place = dict(part.split("=", 1) for part in conninfo.split())
    lines = [
        f"<Database {place['dbname']}>",
        f'Instance "{name}"',
        f'Host "{place["host"]}"',
        f'Port "{place["port"]}"',
        f'User "{user}"',
    ]
    lines += [f"Query {query}" for query in queries]
    return "\n".join(["<Plugin postgresql>"] + lines + ["</Database>", "</Plugin>\n"])


@pytest.fixture(scope="module")
def api(root, base, module_programs):
    """All files together, with a database that has pg_stat_statements; the
    postgresql plugin looks at two more, where it is not, and as somebody who may
    see nothing."""
    server = module_programs.postgres(
        settings={"shared_preload_libraries": "pg_stat_statements"}
    )
    database = server.create_database("aurore_events")
    database.execute("CREATE SCHEMA extensions")
    database.execute("CREATE EXTENSION pg_stat_statements SCHEMA extensions")
    database.execute("CREATE ROLE nobody LOGIN")
    other = server.create_database()
    made = Installed(base, load=("event_buffer",))
    made.root = root
    queries = re.findall(
        r"^    Query (\w+)$",
        (build.TOP / "conf.d/aurore-postgresql.conf").read_text(),
        re.M,
    )
    assert len(queries) == 9
    made.edits = {
        "aurore.conf": [
            ('"dbname=aurore_events"', f'"{database.conninfo}"'),
            ("#BreakerTimeout 30", "BreakerTimeout 0.5"),
            ("#BackoffMax 30", "BackoffMax 0.5"),
        ],
        "aurore-postgresql.conf": [
            ('#Host "/run/postgresql"', f'Host "{server.directory}"'),
            ('#User "root"', 'User "postgres"'),
        ],
    }
    made.appended = {
        "aurore-postgresql.conf": database_block(
            "other", other.conninfo, "postgres", queries
        )
        + database_block("nobody", database.conninfo, "nobody", queries)
    }
    made.server, made.database = server, database
    module_programs.adopt(made)
    made.start()
    made.accept([event() for _ in range(100)])
    database.wait_stored(100)
    return made


@pytest.fixture
def values(api):
    """What the port shows once everything has been read."""

    def complete():
        found = api.values()
        return (
            found.get("collectd_postgresql_bytes", postgresql="aurore_events",
                      type="table-event")
            and found.get("collectd_postgresql_pg_db_size", postgresql="nobody")
            and found.get("collectd_postgresql_pg_db_size", postgresql="other")
            and found.family("collectd_cpu_percent")
            and found.family("collectd_processes_ps_count_processes")
            and found
        )

    return wait_until(complete, 60, lambda: f"not all values come:\n{api.log()}")


def complaints(api):
    """Without write_prometheus' one about itself, and those about a machine that
    is too busy for readings twice a second."""
    excused = re.compile("EXTERNAL_LOGGER|above its read interval")
    return [line for line in api.complaints() if not excused.search(line)]


def test_they_load_together_without_an_error(api, values):
    assert complaints(api) == []


# --- aurore-host.conf ----------------------------------------------------------------

HOST_VALUES = [
    # family, label, some of the instances that are on any machine
    ("cpu_percent", "cpu", ["idle", "user", "system", "wait", "steal"]),
    ("cpu_count", "cpu", []),
    ("memory", "memory", ["used", "free", "cached", "buffered"]),
    ("memory_percent", "memory", ["used", "free", "cached"]),
    ("swap", "swap", ["used", "free"]),
    ("swap_percent", "swap", []),
    ("swap_swap_io_total", "swap", ["in", "out"]),
    ("df_df_complex", "type", ["used", "free", "reserved"]),
    ("df_percent_bytes", "type", ["used", "free", "reserved"]),
    ("df_percent_inodes", "type", ["used", "free", "reserved"]),
    ("disk_disk_octets_read_total", "disk", []),
    ("disk_disk_octets_write_total", "disk", []),
    ("disk_disk_io_time_io_time_total", "disk", []),
    ("interface_if_octets_rx_total", "interface", []),
    ("interface_if_octets_tx_total", "interface", []),
    ("interface_if_errors_rx_total", "interface", []),
    ("load_shortterm", "load", ["relative"]),
    ("load_midterm", "load", ["relative"]),
    ("load_longterm", "load", ["relative"]),
    ("processes_ps_state", "processes", ["running", "sleeping", "zombies"]),
    ("processes_fork_rate_total", "processes", []),
    ("processes_ps_rss", "processes", ["collectd", "postgres"]),
    ("processes_ps_cputime_user_total", "processes", ["collectd", "postgres"]),
    ("processes_ps_count_processes", "processes", ["collectd", "postgres"]),
    ("processes_ps_count_threads", "processes", ["collectd", "postgres"]),
    ("processes_file_handles", "processes", ["collectd", "postgres"]),
    ("uptime", "uptime", []),
    ("vmem_vmpage_faults_majflt_total", "vmem", []),
    ("vmem_vmpage_io_in_total", "vmem", ["memory", "swap"]),
]


@pytest.mark.parametrize("name, label, instances", HOST_VALUES)
def test_host_values(values, name, label, instances):
    found = values.family(f"collectd_{name}")
    assert found, name
    for labels in found:
        assert dict(labels)["instance"] == HOST
    assert set(instances) <= {dict(labels).get(label) for labels in found}


def test_collectd_itself_is_matched(api, values):
    processes = values.get(
        "collectd_processes_ps_count_processes", processes="collectd"
    )
    assert processes >= 1
    assert values.get("collectd_processes_ps_rss", processes="collectd") > 1e6


def test_what_has_no_disk_is_left_out(values):
    mounted = {
        dict(labels)["df"] for labels in values.family("collectd_df_percent_bytes")
    }
    assert not [name for name in mounted if re.match(r"(proc|sys|dev)(-|$)", name)]
    disks = {
        dict(labels)["disk"]
        for labels in values.family("collectd_disk_disk_octets_read_total")
    }
    assert not [name for name in disks if re.match(r"(loop|ram|zram)\d", name)]
    interfaces = {
        dict(labels)["interface"]
        for labels in values.family("collectd_interface_if_octets_rx_total")
    }
    assert "lo" not in interfaces


# --- aurore-postgresql.conf ------------------------------------------------------------


def postgresql(values, name, instance=None, database="aurore_events"):
    labels = {} if instance is None else {"type": instance}
    return values.get(f"collectd_postgresql_{name}", postgresql=database, **labels)


DATABASE_VALUES = [
    ("pg_numbackends", ["active", "idle", "idle_in_transaction", "other"]),
    ("pg_xact_total", ["commit", "rollback"]),
    ("pg_blks_total", ["hit", "read"]),
    ("total_operations_total", ["deadlocks", "temp_files"]),
    ("total_bytes_total", ["temp_files"]),
    ("count", ["connections_max", "locks_held", "locks_waiting", "slow_queries",
               "standbys"]),
    ("duration_seconds", ["longest_query", "longest_transaction",
                          "replication_lag"]),
    ("pg_db_size", [None]),
    ("bytes", ["replication_lag"]),
]  # fmt: skip


@pytest.mark.parametrize("database", ["aurore_events", "other", "nobody"])
@pytest.mark.parametrize("name, instances", DATABASE_VALUES)
def test_database_values(values, name, instances, database):
    for instance in instances:
        assert postgresql(values, name, instance, database) is not None, instance


def test_table_sizes(api, values):
    """Partitions are one figure with their table."""
    found = {
        dict(labels)["type"]: size
        for labels, size in values.family("collectd_postgresql_bytes").items()
        if dict(labels)["postgresql"] == "aurore_events"
        and dict(labels).get("type", "").startswith("table-")
    }
    tables = {
        f"table-{name}"
        for (name,) in api.database.rows(
            "SELECT relname FROM pg_class WHERE relnamespace = 'aurore'::regnamespace"
            " AND relkind IN ('r', 'p') AND NOT relispartition"
        )
    }
    assert set(found) == tables
    assert {"table-event", "table-lane", "table-dead_letter"} <= tables
    wait_until(
        lambda: postgresql(api.values(), "bytes", "table-event")
        == api.database.value(
            "SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits"
            " WHERE inhparent = 'aurore.event'::regclass"
        ),
        20,
        "the size is another one",
    )


def test_database_figures_are_true(api, values):
    assert postgresql(values, "count", "connections_max") == 60
    size = api.database.value("SELECT pg_database_size('aurore_events')")
    assert postgresql(values, "pg_db_size") == pytest.approx(size, rel=0.2)
    assert postgresql(values, "pg_xact_total", "commit") > 0
    assert postgresql(values, "pg_blks_total", "hit") > 0
    assert postgresql(values, "count", "standbys") == 0
    assert postgresql(values, "bytes", "replication_lag") == 0
    # Our own connection, and those of the writer and the plugin.
    assert postgresql(values, "pg_numbackends", "idle") >= 2


STATEMENT_VALUES = [
    ("total_operations_total", "statements_calls"),
    ("total_operations_total", "statements_rows"),
    ("total_time_in_ms_total", "statements_time"),
    ("count", "statements_slow"),
    ("duration_seconds", "statements_slowest_mean"),
]


@pytest.mark.parametrize("name, instance", STATEMENT_VALUES)
def test_statements_where_they_are_recorded(values, name, instance):
    assert postgresql(values, name, instance) is not None
    assert postgresql(values, name, instance, "other") is None


def test_statements_are_counted(api, values):
    before = postgresql(values, "total_operations_total", "statements_calls")
    for _ in range(50):
        api.database.value("SELECT 1")
    wait_until(
        lambda: postgresql(
            api.values(), "total_operations_total", "statements_calls"
        )
        >= before + 50,
        20,
        "the calls are not counted",
    )


def test_slow_queries_and_locks(api):
    """A query that waits for a lock: slow, long, and seen as waiting."""
    holder = psycopg2.connect(api.database.conninfo)
    waiter = psycopg2.connect(api.database.conninfo)
    take = "LOCK TABLE aurore.dead_letter IN ACCESS EXCLUSIVE MODE"
    holder.cursor().execute(take)

    def wait():
        with pytest.raises(psycopg2.errors.QueryCanceled):
            waiter.cursor().execute(take)

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        wait_until(
            lambda: postgresql(api.values(), "count", "locks_waiting") == 1
            and postgresql(api.values(), "count", "slow_queries") == 1
            and postgresql(api.values(), "duration_seconds", "longest_query") > 1
            # The size of what is locked cannot be told, and nobody waits for it.
            and math.isnan(postgresql(api.values(), "bytes", "table-dead_letter")),
            30,
            "a query that waits is not seen",
        )
        found = api.values()
        assert postgresql(found, "duration_seconds", "longest_transaction") > 1
        assert postgresql(found, "count", "locks_held") >= 1
        assert postgresql(found, "pg_numbackends", "idle_in_transaction") == 1
        assert postgresql(found, "bytes", "table-event") > 0
        # Without the right to see them.
        assert postgresql(found, "count", "slow_queries", "nobody") == 0
    finally:
        waiter.cancel()
        thread.join()
        holder.close()
        waiter.close()
    wait_until(
        lambda: postgresql(api.values(), "count", "slow_queries") == 0
        and postgresql(api.values(), "count", "locks_waiting") == 0,
        30,
        "a query that has ended is still seen",
    )


def statement(name):
    """The SQL of a query."""
    text = (build.TOP / "conf.d/aurore-postgresql.conf").read_text()
    (found,) = re.findall(rf'<Query {name}>\s+Statement "(.*?)"\n', text, re.S)
    return found.replace("\\\n", "\n")


def test_replication_lag(api, module_programs):
    """A standby that does not replay what it gets: told by both."""
    standby = module_programs.postgres(primary=api.server)
    wait_until(
        lambda: postgresql(api.values(), "count", "standbys") == 1,
        30,
        "the standby is not seen",
    )
    there = psycopg2.connect(standby.conninfo("aurore_events"))
    there.autocommit = True
    there.cursor().execute("SELECT pg_wal_replay_pause()")
    try:
        api.database.execute("CREATE TABLE filler AS SELECT generate_series(1, 10000)")
        wait_until(
            lambda: postgresql(api.values(), "bytes", "replication_lag") > 100000,
            30,
            "a standby that is behind is not seen",
        )
        cursor = there.cursor()
        cursor.execute(statement("aurore_replication"))
        standbys, lag, seconds = cursor.fetchone()
        assert standbys == 0 and lag > 100000 and seconds >= 0
        lag = postgresql(api.values(), "bytes", "replication_lag", "nobody")
        assert math.isnan(lag)  # not to be seen, rather than none
        there.cursor().execute("SELECT pg_wal_replay_resume()")
        wait_until(
            lambda: postgresql(api.values(), "bytes", "replication_lag") == 0
            and postgresql(api.values(), "duration_seconds", "replication_lag")
            < 60,
            30,
            "a standby that has come up is still seen behind",
        )

        def has_come_up():
            cursor.execute(statement("aurore_replication"))
            return cursor.fetchone() == (0, 0, 0)

        wait_until(has_come_up, 30, "it still says that it is behind")
    finally:
        there.close()
        standby.stop()


def test_what_does_not_exist_is_not_complained_about(api):
    """After all of the above; the standby that left is none of ours."""
    assert complaints(api) == []


# --- aurore-threshold.conf ---------------------------------------------------------------


def notifications(api):
    """(severity, identity) of what was told, in its order."""
    pattern = re.compile(
        r"Notification: severity = (\w+), host = \S+, plugin = (\w+)"
        r"(?:, plugin_instance = ([^,]+))?(?:, type = ([^,]+))?"
        r"(?:, type_instance = ([^,]+))?, message"
    )
    return [
        (match[0], "/".join(part for part in match[1:] if part))
        for match in pattern.findall(api.log())
    ]


def test_a_database_that_goes_away_and_comes_back(api):
    """The last of the tests that share this collectd: others have to complain
    about the database too."""
    subject = "aurore/database/database_connection_status"
    assert ("FAILURE", subject) not in notifications(api)
    api.server.stop()
    wait_until(
        lambda: ("FAILURE", subject) in notifications(api)
        and ("FAILURE", "aurore/health/health_status") in notifications(api)
        and ("FAILURE", "aurore/database/circuit_breaker_state")
        in notifications(api),
        60,
        lambda: f"it is not told:\n{api.log()}",
    )
    api.server.start()
    wait_until(
        lambda: ("OKAY", subject) in notifications(api)
        and ("OKAY", "aurore/health/health_status") in notifications(api)
        and ("OKAY", "aurore/database/circuit_breaker_state") in notifications(api),
        60,
        lambda: f"the end of it is not told:\n{api.log()}",
    )


# Identity, a value that is just allowed, [(a value that is not, its severity)].
# "{}" is where the value stands among those of its type.
LIMITS = [
    ("aurore-buffer/buffer_utilization_percent", "{}", 80,
     [(80.1, "WARNING"), (95.1, "FAILURE")]),
    ("aurore-buffer/buffer_oldest_age_seconds", "{}", 60, [(60.1, "FAILURE")]),
    ("aurore-events/events_drop_rate_percent", "{}", 1,
     [(1.1, "WARNING"), (5.1, "FAILURE")]),
    ("aurore-database/database_connection_status", "{}", 1, [(0, "FAILURE")]),
    ("aurore-database/circuit_breaker_state", "{}", 0,
     [(1, "FAILURE"), (2, "FAILURE")]),
    ("aurore-health/health_status", "{}", 1, [(0, "FAILURE")]),
    ("aurore-batch/dead_letters_pending", "{}", 0, [(1, "WARNING")]),
    ("df-root/percent_bytes-used", "{}", 85, [(85.1, "WARNING"), (95.1, "FAILURE")]),
    ("df-root/percent_inodes-used", "{}", 85,
     [(85.1, "WARNING"), (95.1, "FAILURE")]),
    ("memory/percent-used", "{}", 90, [(90.1, "WARNING"), (95.1, "FAILURE")]),
    ("load/load-relative", "9:{}:9", 2, [(2.1, "WARNING")]),
]  # fmt: skip
# Far enough from every limit to be past its hysteresis.
CALM = {"database_connection_status": 1, "health_status": 1}


@pytest.fixture(scope="module")
def watcher(module_programs):
    """The limits alone, in a collectd that is told the values."""
    text = f'WriteThreads 1\nPluginDir "{STOCK_PLUGINS}"\n'
    text += (build.TOP / "conf.d/aurore-threshold.conf").read_text()
    made = module_programs.collectd("dbname=none", load=(), text=text)
    return made.start()


@pytest.mark.parametrize("identity, pattern, allowed, refused", LIMITS)
def test_limits(watcher, identity, pattern, allowed, refused):
    plugin, kind = identity.split("/")
    subject = "/".join(plugin.split("-") + kind.split("-"))

    def put(value):
        """Three readings, since some limits want as many."""
        for _ in range(3):
            text = pattern.format(value)
            answer = watcher.command(
                f'PUTVAL "{HOST}/{identity}" interval=100 N:{text}'
            )
            assert answer.startswith("0 "), answer

    def told():
        return [
            severity
            for severity, name in notifications(watcher)
            if name == subject
        ]

    # At first it is told that all is well, and then every change.
    wanted = ["OKAY"]
    put(allowed)
    wait_until(lambda: told() == wanted, 20, lambda: f"{identity}: {told()}")
    for value, severity in refused:
        put(value)
        if wanted[-1] != severity:
            wanted.append(severity)
        wait_until(
            lambda: told() == wanted, 20, lambda: f"{identity} {value}: {told()}"
        )
    put(CALM.get(kind, 0))
    wanted.append("OKAY")
    wait_until(lambda: told() == wanted, 20, lambda: f"{identity}: {told()}")
