# SPDX-License-Identifier: MIT
"""What is reported: everything, in the right places, and correct."""

import json
import re
import subprocess
import time

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from harness.build import TOP
from harness.collectd import HOST
from harness.events import event
from harness.wait import wait_until

# The table of the contract, written out by hand: (plain name, component).
GAUGES = [
    ("buffer_size", "buffer"),
    ("buffer_capacity", "buffer"),
    ("buffer_utilization_percent", "buffer"),
    ("buffer_bytes", "buffer"),
    ("buffer_oldest_age_seconds", "buffer"),
    ("buffer_health_status", "buffer"),
    ("spool_kept_bytes", "spool"),
    ("spool_spare_bytes", "spool"),
    ("events_drop_rate_percent", "events"),
    ("events_throughput_per_second", "events"),
    ("dead_letters_pending", "batch"),
    ("business_events_last_24h", "business"),
    ("business_events_last_hour", "business"),
    ("business_events_per_minute", "business"),
    ("health_status", "health"),
    ("database_connection_status", "database"),
    ("circuit_breaker_state", "database"),
    ("db_connection_pool_active", "database"),
    ("db_connection_pool_idle", "database"),
    ("lanes_fenced", "health"),
    ("lanes_blocked", "health"),
    ("retention_overdue_days", "database"),
    ("process_cpu_usage_percent", "process"),
    ("process_memory_usage_bytes", "process"),
    ("http_connections", "http"),
]
COUNTERS = [
    ("events_enqueued_total", "events"),
    ("events_dropped_total", "events"),
    ("spool_damaged_total", "spool"),
    ("batches_processed_total", "batch"),
    ("events_processed_total", "batch"),
    ("events_duplicate_total", "events"),
    ("dead_letters_total", "batch"),
    ("events_replayed_total", "events"),
    ("events_lost_total", "events"),
    ("business_events_total", "business"),
]
HISTOGRAMS = [
    ("spool_sync_time_ms", "spool"),
    ("batch_processing_time_ms", "batch"),
    ("batch_insert_time_ms", "batch"),
    ("event_commit_latency_ms", "batch"),
]
FILES = ["certificate", "key", "client_ca", "tokens"]
REASONS = ["invalid", "too_large", "rate_limited", "unauthorized", "unavailable"]
REFUSALS = ["limit", "address"]
OPERATIONS = ["store", "query", "business", "dead_letter", "retention", "migrate"]
ROUTES = ["events_post", "events_get", "otlp_logs", "metrics", "health", "dlq", "page", "other"]
BOUNDS = [
    "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "25", "50", "100", "250", "500",
    "1000", "2500", "5000", "10000", "+Inf",
]  # fmt: skip

# One label: (plain name, component, label, values that must be there).
COUNTERS_BY_LABEL = [
    ("events_rejected_total", "events", "reason", REASONS),
    ("batch_failures_total", "batch", "class", ["08", "53", "connection"]),
    ("config_reload_failures_total", "http", "file", FILES),
    ("db_query_total", "database", "operation", OPERATIONS),
    ("db_slow_queries_total", "database", "operation", OPERATIONS),
    ("http_connections_refused_total", "http", "reason", REFUSALS),
]
HISTOGRAMS_BY_LABEL = [
    ("db_query_duration_ms", "operation", OPERATIONS),
    ("http_request_duration_ms", "route", ROUTES),
]


def contract_names():
    names = [name for name, _ in GAUGES + COUNTERS + HISTOGRAMS]
    names += [row[0] for row in COUNTERS_BY_LABEL + HISTOGRAMS_BY_LABEL]
    return names + ["http_request_total", "business_events_by_service", "info"]


def announced():
    """The end of the certificate has a line that explains it, and without a
    certificate no value: test_tls.py."""
    return contract_names() + ["certificate_expiry_seconds"]


@pytest.fixture(scope="module")
def busy(postgres, module_programs):
    """A collectd at rest after it has done something of everything."""
    database = module_programs.database(postgres)
    api = module_programs.collectd(
        database, writer={"BusinessInterval": 0.2}
    )
    api.buffer["SpoolDirectory"] = api.directory / "spool"
    api.start()
    for i in range(30):
        api.accept(event(f"single {i}", f"service {i % 3}"))
    api.accept([event(f"in an array {i}") for i in range(170)])
    assert api.post([event(), event(""), event("")]).status_code == 207
    assert api.post("{").status_code == 400
    assert api.post("x" * 2000000).status_code == 413
    assert api.get("/nope").status_code == 404
    database.wait_stored(201)
    api.rest()
    return api


def at_rest(api):
    """collectd's values once they show the last that has happened, and the
    API's at the same time."""

    def settled():
        values = api.values()
        return (
            values.get("collectd_aurore_events_processed_total")
            == api.database.stored()
            and values.get("collectd_aurore_buffer_size") == 0
            and values
        )

    return wait_until(settled, 20, "collectd's values are not up to date")


# --- collectd's port ------------------------------------------------------------------


def test_gauges_at_the_port(busy):
    values = at_rest(busy)
    for name, component in GAUGES:
        key = frozenset([("aurore", component), ("instance", HOST)])
        assert set(values.family(f"collectd_aurore_{name}")) == {key}, name
        assert values.kinds[f"collectd_aurore_{name}"] == "gauge"


def test_counters_at_the_port(busy):
    values = at_rest(busy)
    for name, component in COUNTERS:
        key = frozenset([("aurore", component), ("instance", HOST)])
        assert set(values.family(f"collectd_aurore_{name}")) == {key}, name
        assert values.kinds[f"collectd_aurore_{name}"] == "counter"


def test_labelled_counters_at_the_port(busy):
    values = at_rest(busy)
    for name, component, _, wanted in COUNTERS_BY_LABEL:
        found = values.family(f"collectd_aurore_{name}")
        for value in wanted:
            key = frozenset(
                [("aurore", component), ("type", value), ("instance", HOST)]
            )
            assert key in found, (name, value)
    for route in ROUTES:
        for status in ("200", "202", "400", "404", "429", "503"):
            key = frozenset(
                [("aurore", route), ("type", status), ("instance", HOST)]
            )
            assert key in values.family("collectd_aurore_http_request_total")


def test_histograms_at_the_port(busy):
    values = at_rest(busy)
    wanted = list(HISTOGRAMS)
    for name, _, labels in HISTOGRAMS_BY_LABEL:
        wanted += [(name, label) for label in labels]
    for name, instance in wanted:
        family = f"collectd_aurore_{name}"
        labels = {"aurore": instance, "instance": HOST}
        buckets = [
            values.get(f"{family}_bucket_total", type=bound, **labels)
            for bound in BOUNDS
        ]
        assert None not in buckets, (name, instance)
        assert buckets == sorted(buckets)
        count = values.get(f"{family}_count_total", **labels)
        assert count == buckets[-1]
        total = values.get(f"{family}_sum", **labels)
        assert (total > 0) == (count > 0)


def test_nothing_else_at_the_port(busy):
    """Every family belongs to a metric of the contract."""
    names = set()
    for name in at_rest(busy).names():
        if name.startswith("collectd_aurore_"):
            plain = name[len("collectd_aurore_") :]
            names.add(re.sub(r"_(bucket_total|count_total|sum)$", "", plain))
    assert names <= set(announced())


def test_every_series_is_there_from_the_start(programs, database):
    """Zeros too, before anything has happened."""
    api = programs.collectd(database).start()
    wait_until(
        lambda: api.values().get("collectd_aurore_health_status") == 1,
        30,
        "is not healthy",
    )
    values = api.values()
    for name, _ in GAUGES + COUNTERS:
        assert values.family(f"collectd_aurore_{name}"), name
    assert values.get("collectd_aurore_events_enqueued_total") == 0
    assert values.get("collectd_aurore_batches_processed_total") == 0
    for reason in REASONS:
        assert (
            values.get("collectd_aurore_events_rejected_total", type=reason) == 0
        )


# --- correct ------------------------------------------------------------------------------


def test_the_figures_are_true(busy):
    values = at_rest(busy)
    database = busy.database

    def value(name, **labels):
        return values.get(f"collectd_aurore_{name}", **labels)

    stored = database.stored()
    assert stored == 201
    assert value("events_enqueued_total") == stored
    assert value("events_processed_total") == stored
    assert value("dead_letters_total") == database.dead_letters() == 0
    assert value("event_commit_latency_ms_count_total") == stored
    assert value("buffer_size") == 0
    assert value("buffer_bytes") == 0
    assert value("buffer_capacity") == 1000000
    assert value("buffer_oldest_age_seconds") == 0
    assert value("buffer_health_status") == 1
    assert value("health_status") == 1
    assert value("database_connection_status") == 1
    assert value("circuit_breaker_state") == 0
    # Two events of one request, one request that was no JSON.
    assert value("events_rejected_total", type="invalid") == 3
    assert value("events_rejected_total", type="too_large") == 1
    assert value("events_dropped_total") == 0
    batches = value("batches_processed_total")
    assert 1 <= batches <= stored
    assert value("batch_processing_time_ms_count_total") == batches
    assert value("batch_insert_time_ms_count_total") >= batches
    assert value("db_query_total", type="store") >= batches
    assert (
        value("db_query_duration_ms_count_total", aurore="store")
        == value("db_query_total", type="store")
    )
    # One group at least, none without a request.
    assert 1 <= value("spool_sync_time_ms_count_total") <= 33


def test_requests_are_counted(busy):
    values = at_rest(busy)
    for status, count in (("202", 31), ("207", 1), ("400", 1), ("413", 1)):
        assert (
            values.get(
                "collectd_aurore_http_request_total",
                aurore="events_post",
                type=status,
            )
            == count
        ), status
    posts = values.sum(
        "collectd_aurore_http_request_total", aurore="events_post"
    )
    assert posts == 34
    assert (
        values.get(
            "collectd_aurore_http_request_duration_ms_count_total",
            aurore="events_post",
        )
        == posts
    )
    assert (
        values.get(
            "collectd_aurore_http_request_total", aurore="other", type="404"
        )
        == 1
    )


def test_the_process(busy):
    """Memory as the kernel tells it, within what it may have moved."""
    memory = at_rest(busy).get("collectd_aurore_process_memory_usage_bytes")
    with open(f"/proc/{busy.process.pid}/statm") as file:
        resident = int(file.read().split()[1]) * 4096
    assert 0.5 * resident < memory < 2 * resident


# --- the API's own ---------------------------------------------------------------------------

# What time changes; all else stands still, or is a counter.
OF_THE_PROCESS = re.compile(r"^process_")
FALLING = "events_throughput_per_second"


def as_collectd(name, labels):
    """A plain series as its name and its labels at collectd's port."""
    names = dict(GAUGES + COUNTERS + HISTOGRAMS)
    names.update((row[0], row[1]) for row in COUNTERS_BY_LABEL)
    names.update(business_events_by_service="business", info="process")
    wanted = {"instance": HOST}
    match = re.match(r"(.+_ms)_(bucket|count|sum)$", name)
    if match:
        family, part = match.groups()
        labels = dict(labels)
        if part == "bucket":
            wanted["type"] = labels.pop("le")
        # The label, or the component.
        wanted["aurore"] = next(iter(labels.values()), names.get(family))
        suffix = "" if part == "sum" else "_total"
        return f"collectd_aurore_{name}{suffix}", wanted
    if name == "http_request_total":
        wanted.update(aurore=labels["route"], type=labels["status"])
    else:
        wanted["aurore"] = names[name]
        wanted.update(("type", value) for value in labels.values())
    return f"collectd_aurore_{name}", wanted


def bounds_of(name, kind, before, after):
    """Between what a value must be that was read between the two."""
    if OF_THE_PROCESS.match(name):
        return 0.5 * min(before, after), 2 * max(before, after) + 100
    if name == FALLING:
        return after, before
    if kind == "gauge":
        return (before, before) if before == after else (None, None)
    return before, after


def differences(api):
    """What collectd's port says otherwise than the API does before and after."""
    asked = dict(route="metrics", status="200")
    before = api.metrics()

    def read_since():
        values = api.values()
        count = values.get(
            "collectd_aurore_http_request_total", aurore="metrics", type="200"
        )
        # The question itself is counted once it is answered.
        fresh = count > before.get("http_request_total", **asked)
        return values if fresh else None

    values = wait_until(read_since, 20, "collectd does not read")
    after = api.metrics()
    found, seen = [], set()
    for name in before.names():
        family = re.sub(r"_(bucket|count|sum)$", "", name)
        kind = before.kinds.get(name) or before.kinds[family]
        for key, value in before.family(name).items():
            there, labels = as_collectd(name, dict(key))
            there_key = frozenset(labels.items())
            seen.add((there, there_key))
            read = values.family(there).get(there_key)
            low, high = bounds_of(name, kind, value, after.family(name)[key])
            slack = 1e-9 * max(1, abs(value))
            if read is None or low is None:
                found.append((name, dict(key), value, read))
            elif not low - slack <= read <= high + slack:
                found.append((name, dict(key), value, read))
    for name in values.names():
        if name.startswith("collectd_aurore_"):
            found += [
                (name, dict(key))
                for key in values.family(name)
                if (name, key) not in seen
            ]
    return found


def test_both_places_say_the_same(busy):
    """Every series of every metric. Whoever asks, and the reading of the business
    figures, may move a gauge just between two looks: then it is looked at
    again."""
    at_rest(busy)
    last = []

    def agree():
        last[:] = differences(busy)
        return not last

    wait_until(agree, 30, lambda: f"they say something else: {last}")
    assert set(busy.metrics().kinds) == set(announced())


def promtool(text):
    """What promtool says of metrics, line by line."""
    checked = subprocess.run(
        ["promtool", "check", "metrics"],
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return checked.stdout.splitlines()


def test_promtool_takes_the_text(busy):
    """But for the units ms and days, which the names are to have."""
    lines = promtool(busy.get("/metrics/prometheus").text)
    excused = re.compile(
        r"^\w+_ms metric names should not contain abbreviated units$"
        r"|^retention_overdue_days use base unit"
    )
    assert [line for line in lines if not excused.match(line)] == []
    assert promtool("x{ 1\n") != []


def test_openmetrics(busy):
    """Read by the parser of the Prometheus project for Python, which is strict."""
    # No series comes between the two answers.
    wait_until(
        lambda: busy.metrics().family("business_events_by_service"),
        30,
        "there are no services",
    )
    answer = busy.get(
        "/metrics/prometheus", headers={"Accept": "application/openmetrics-text"}
    )
    families = list(text_string_to_metric_families(answer.text))
    plain = busy.metrics()
    units = {"ms", "seconds", "bytes", "percent"}
    for family in families:
        name = family.name + ("_total" if family.type == "counter" else "")
        assert plain.kinds[name] == family.type
        assert plain.helps[name] == family.documentation
        end = family.name.rpartition("_")[2]
        assert family.unit == (end if end in units else ""), family.name
    assert {
        family.name + ("_total" if family.type == "counter" else "")
        for family in families
    } == set(announced())
    samples, created = set(), {}
    for family in families:
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            if sample.name.endswith("_created"):
                created[key] = sample.value
            else:
                samples.add(key)
    assert samples == {
        (name, key) for name in plain.names() for key in plain.family(name)
    }
    # Since when is counted, for each but what the database counts.
    assert set(created) == {
        (family.name + "_created", frozenset(sample.labels.items()))
        for family in families
        for sample in family.samples
        if sample.name in (f"{family.name}_total", f"{family.name}_count")
        and family.name != "business_events"
    }
    (begun,) = set(created.values())
    uptime = busy.get("/metrics").json()["uptime_seconds"]
    assert begun <= time.time() - uptime + 0.5 and begun > time.time() - 86400


TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACED = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}


def exemplars(api):
    """{(route, bound): exemplar} of what OpenMetrics has."""
    answer = api.get(
        "/metrics/prometheus", headers={"Accept": "application/openmetrics-text"}
    )
    return {
        (sample.labels["route"], float(sample.labels["le"])): sample.exemplar
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        if sample.exemplar is not None
    }


def test_exemplars(programs, database):
    """The trace of a request is in the bucket of its duration; nobody's is where
    nobody has sent one, or does not record it."""
    api = programs.collectd(database).start()
    api.accept(event())
    unrecorded = TRACED["traceparent"][:-2] + "00"
    assert api.post(event(), headers={"traceparent": unrecorded}).status_code == 202
    assert exemplars(api) == {}
    before = time.time()
    assert api.post(event(), headers=TRACED).status_code == 202
    # A request counts as soon as its answer is gone.
    found = wait_until(lambda: exemplars(api), 30, "there is no exemplar")
    (((route, bound), exemplar),) = found.items()
    assert route == "events_post" and exemplar.labels == {"trace_id": TRACE}
    below = max([float(b) for b in BOUNDS if float(b) < bound], default=0)
    assert below < exemplar.value <= bound
    assert before - 1 < float(exemplar.timestamp) < time.time() + 1
    assert "trace_id" not in api.get("/metrics/prometheus").text


@pytest.mark.parametrize(
    "accept, kind",
    [
        (None, "text/plain"),
        ("*/*", "text/plain"),
        ("application/json", "text/plain"),
        ("application/openmetrics-text;q=0.5, text/plain;q=0.9", "text/plain"),
        ("application/openmetrics-text;q=0", "text/plain"),
        ("application/openmetrics-text; version=0.0.1", "text/plain"),
        ("application/openmetrics-text", "application/openmetrics-text"),
        (
            "text/plain;q=0.5, application/openmetrics-text;version=1.0.0;q=0.7",
            "application/openmetrics-text",
        ),
    ],
)
def test_what_is_asked_for(busy, accept, kind):
    answer = busy.get("/metrics/prometheus", headers={"Accept": accept})
    assert answer.headers["Content-Type"].partition(";")[0] == kind
    assert answer.text.endswith("# EOF\n") == (kind != "text/plain")


def test_plain_names(busy):
    plain = busy.metrics()
    for name, _ in GAUGES:
        assert plain.kinds[name] == "gauge", name
        assert set(plain.family(name)) == {frozenset()}
    for name, _ in COUNTERS:
        assert plain.kinds[name] == "counter", name
        assert set(plain.family(name)) == {frozenset()}
    for name, _, label, wanted in COUNTERS_BY_LABEL:
        assert plain.kinds[name] == "counter", name
        for value in wanted:
            assert frozenset([(label, value)]) in plain.family(name)
    for name in [name for name, _ in HISTOGRAMS]:
        assert plain.kinds[name] == "histogram", name
        assert {dict(key)["le"] for key in plain.family(f"{name}_bucket")} == set(
            BOUNDS
        )
    for name, label, wanted in HISTOGRAMS_BY_LABEL:
        assert plain.kinds[name] == "histogram", name
        for value in wanted:
            assert plain.get(f"{name}_count", **{label: value}) is not None
    assert plain.kinds["http_request_total"] == "counter"
    for name in contract_names():
        if name != "business_events_by_service":
            assert plain.helps[name], name


def test_content_types(busy):
    answer = busy.get("/metrics/prometheus")
    assert (
        answer.headers["Content-Type"]
        == "text/plain; version=0.0.4; charset=utf-8"
    )
    answer = busy.get(
        "/metrics/prometheus",
        headers={"Accept": "application/openmetrics-text; version=1.0.0"},
    )
    assert answer.headers["Content-Type"].startswith(
        "application/openmetrics-text; version=1.0.0"
    )
    assert answer.text.endswith("# EOF\n")
    assert "# TYPE events_enqueued counter\n" in answer.text


# --- types -------------------------------------------------------------------------------------


def test_types_without_a_file(programs, database):
    """A forgotten TypesDB line breaks nothing."""
    api = programs.collectd(database, types_db=False).start()
    api.accept([event() for _ in range(5)])
    database.wait_stored(5)
    wait_until(
        lambda: api.values().get("collectd_aurore_events_processed_total") == 5,
        20,
        "the values do not come",
    )
    values = api.values()
    for name, _ in GAUGES + COUNTERS:
        assert values.family(f"collectd_aurore_{name}"), name
    for name, _ in HISTOGRAMS:
        assert len(values.family(f"collectd_aurore_{name}_bucket_total")) == 17
    assert "Dataset not found" not in api.log()


def test_the_log_is_quiet(busy):
    at_rest(busy)
    ours = [line for line in busy.complaints() if "write_prometheus" not in line]
    assert ours == []
    assert "UNKNOWN plugin" not in busy.log()
    assert "Value too old" not in busy.log()


def test_types_db_knows_every_type(busy):
    """What is dispatched is declared in the file, as what it is."""
    declared = {}
    for line in (TOP / "types.db").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            name, rest = line.split(None, 1)
            declared[name] = rest
    values = at_rest(busy)
    for family in values.names():
        if not family.startswith("collectd_aurore_"):
            continue
        kind = values.kinds[family]
        name = family[len("collectd_aurore_") :]
        if kind == "counter":
            name = name[: -len("_total")]
        assert name in declared, family
        assert (":DERIVE:" in declared[name]) == (kind == "counter")


# --- GET /metrics ---------------------------------------------------------------------------------


def test_get_metrics(busy):
    answer = busy.get("/metrics")
    assert answer.status_code == 200
    body = json.loads(answer.text)
    assert set(body) == {
        "status",
        "buffer_size",
        "buffer_capacity",
        "buffer_utilization_percent",
        "metrics",
        "uptime_seconds",
        "time_since_last_enqueue_seconds",
        "time_since_last_drain_seconds",
    }
    assert body["status"] == "healthy"
    assert body["buffer_size"] == 0
    assert body["buffer_capacity"] == 1000000
    assert body["buffer_utilization_percent"] == "0.00"
    assert body["metrics"]["total_enqueued"] == busy.database.stored()
    assert body["metrics"]["total_dropped"] == 0
    assert body["metrics"]["drop_rate_percent"] == "0.00"
    assert float(body["metrics"]["throughput_events_per_second"]) > 0
    assert body["uptime_seconds"] > 0
    assert body["time_since_last_enqueue_seconds"] >= 0
    assert body["time_since_last_drain_seconds"] >= 0


def test_get_metrics_before_anything(programs, database):
    body = programs.collectd(database).start().get("/metrics").json()
    assert body["time_since_last_enqueue_seconds"] is None
    assert body["time_since_last_drain_seconds"] is None
    assert body["metrics"] == {
        "total_enqueued": 0,
        "total_dropped": 0,
        "drop_rate_percent": "0.00",
        "throughput_events_per_second": "0.00",
    }


def test_health_buffer(busy):
    answer = busy.get("/health/buffer")
    assert answer.status_code == 200
    body = answer.json()
    assert body["status"] == "healthy"
    assert set(body["buffer"]) == {"size", "capacity", "utilization_percent"}
    assert body["metrics"]["total_enqueued"] == busy.database.stored()
