# SPDX-License-Identifier: MIT
"""A Prometheus with the project's configuration scrapes collectd's port: plain
names, real labels and histograms."""

import math
import subprocess

import pytest

from harness import queries
from harness.collectd import HOST
from harness.events import event
from harness.prometheus import CONFIG
from harness.wait import wait_until

from test_metrics import (
    BOUNDS,
    COUNTERS,
    COUNTERS_BY_LABEL,
    GAUGES,
    HISTOGRAMS,
    HISTOGRAMS_BY_LABEL,
    contract_names,
)


@pytest.fixture(scope="module")
def scraped(postgres, module_programs):
    """A collectd that has stored 60 events, and a Prometheus that knows it."""
    database = module_programs.database(postgres)
    api = module_programs.collectd(database)
    api.buffer["SpoolDirectory"] = api.directory / "spool"
    api.start()
    for i in range(20):
        api.accept([event(f"{i} of three") for _ in range(3)])
    assert api.post(event("")).status_code == 400
    database.wait_stored(60)
    api.rest()
    prometheus = module_programs.prometheus(api)
    wait_until(
        lambda: prometheus.value("events_processed_total") == 60,
        60,
        lambda: f"Prometheus does not know: {prometheus.targets()}",
    )
    prometheus.collectd = api
    return prometheus


def test_the_configuration_is_valid():
    checked = subprocess.run(
        ["promtool", "check", "config", str(CONFIG)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


def test_every_metric_answers(scraped):
    for name in contract_names():
        if name == "business_events_by_service":
            continue
        family = name
        if name in dict(HISTOGRAMS) or name in [
            row[0] for row in HISTOGRAMS_BY_LABEL
        ]:
            family = f"{name}_bucket"
        assert scraped.query(family), name


def test_instance_is_the_host(scraped):
    for name, _ in GAUGES + COUNTERS:
        ((labels, _),) = scraped.query(name)
        assert labels == {
            "__name__": name,
            "instance": HOST,
            "job": "collectd",
        }


def test_labels(scraped):
    for name, _, label, wanted in COUNTERS_BY_LABEL:
        found = scraped.query(name)
        assert set(wanted) <= {labels[label] for labels, _ in found}
        for labels, _ in found:
            assert set(labels) == {"__name__", "instance", "job", label}
    for labels, _ in scraped.query("http_request_total"):
        assert set(labels) == {
            "__name__",
            "instance",
            "job",
            "route",
            "status",
        }
    assert (
        scraped.value('http_request_total{route="events_post",status="202"}') == 20
    )
    assert scraped.value('events_rejected_total{reason="invalid"}') == 1


def test_histograms(scraped):
    plain = [(name, None) for name, _ in HISTOGRAMS]
    plain += [(name, label) for name, label, _ in HISTOGRAMS_BY_LABEL]
    for name, label in plain:
        more = {label} if label else set()
        for suffix, own in (("bucket", {"le"}), ("count", set()), ("sum", set())):
            found = scraped.query(f"{name}_{suffix}")
            assert found, name
            for labels, _ in found:
                assert (
                    set(labels) == {"__name__", "instance", "job"} | own | more
                )
        buckets = scraped.query(f"{name}_bucket")
        assert {labels["le"] for labels, _ in buckets} == set(BOUNDS)


def test_nothing_of_ours_keeps_its_name_at_the_port(scraped):
    assert scraped.query('{__name__=~"collectd_aurore.*"}') == []
    assert scraped.query('{aurore!=""}') == []


def test_values_of_others_are_left_alone(scraped):
    """collectd's own plugins keep their names and labels; here it is the
    uptime of nothing but the scrape itself."""
    assert scraped.value('up{job="collectd"}') == 1


def test_the_figures_are_those_of_the_api(scraped):
    plain = scraped.collectd.metrics()
    for name in (
        "events_enqueued_total",
        "batches_processed_total",
        "events_processed_total",
        "event_commit_latency_ms_count",
        "event_commit_latency_ms_sum",
        "spool_sync_time_ms_count",
    ):
        assert scraped.value(name) == pytest.approx(plain.get(name)), name


def quantile(buckets, q):
    """histogram_quantile over {bound: cumulative count}."""
    rank = q * buckets[math.inf]
    below, start = 0, 0.0
    for bound in sorted(buckets):
        if buckets[bound] >= rank:
            if bound == math.inf:
                return start
            return start + (bound - start) * (rank - below) / (
                buckets[bound] - below
            )
        below, start = buckets[bound], bound
    raise AssertionError("no bucket holds the rank")


@pytest.mark.parametrize("q", [0.5, 0.9, 0.99])
def test_quantiles(scraped, q):
    buckets = {
        float(labels["le"].replace("+Inf", "inf")): value
        for labels, value in scraped.query("event_commit_latency_ms_bucket")
    }
    assert buckets[math.inf] == 60
    value = scraped.value(f"histogram_quantile({q}, event_commit_latency_ms_bucket)")
    assert value == pytest.approx(quantile(buckets, q))
    assert 0 < value <= 10000


def test_rates(scraped):
    """What the dashboards do: a quantile over a rate."""
    expression = (
        "histogram_quantile(0.9,"
        " sum by (le) (rate(http_request_duration_ms_bucket[1m])))"
    )

    def answer():
        scraped.collectd.accept(event())
        value = scraped.value(expression)
        return value is not None and not math.isnan(value) and value

    assert 0 < wait_until(answer, 30, "there is no rate") <= 10000


def direct_configuration(api):
    """That for /metrics/prometheus of this collectd."""
    text = queries.direct_configuration()
    for before, after in (
        ("127.0.0.1:3000", f"127.0.0.1:{api.port}"),
        ("instance: localhost", f"instance: {HOST}"),
    ):
        assert before in text
        text = text.replace(before, after)
    return text


def test_the_other_way(scraped, module_programs):
    """The configuration changed over to /metrics/prometheus, as its comment says:
    the same names and labels, each once."""
    api = scraped.collectd
    direct = module_programs.prometheus(api, text=direct_configuration(api))
    wait_until(
        lambda: direct.value("events_processed_total")
        and direct.value('up{job="collectd"}') == 1,
        60,
        lambda: f"Prometheus does not know: {direct.targets()}",
    )
    assert direct.query('{__name__=~"collectd_aurore_.*"}') == []

    def series(prometheus, name):
        """(name, labels) without the job, and without a bound, which Prometheus 3
        writes as a number where it reads the histogram itself."""
        return {
            frozenset((k, v) for k, v in labels.items() if k not in ("job", "le"))
            for labels, _ in prometheus.query(
                f'{{__name__=~"{name}(_bucket|_sum|_count)?"}}'
            )
        }

    for name in contract_names():
        wait_until(
            lambda: series(direct, name) == series(scraped, name),
            30,
            f"{name} differs",
        )
    # Nobody here asks since when is counted: that would be a series for each counter.
    assert direct.query('{__name__=~".+_created"}') == []


def test_traces_of_requests(scraped, module_programs):
    """Prometheus keeps the exemplars; and since when is counted, where the line that
    drops it is left out."""
    api = scraped.collectd
    text = direct_configuration(api)
    drop = "        regex: .+_created\n"
    assert drop in text
    direct = module_programs.prometheus(
        api,
        text=text.replace(drop, "        regex: nothing\n"),
        features=["exemplar-storage"],
    )
    trace = "0af7651916cd43dd8448eb211c80319c"
    header = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    assert api.post(event(), headers=header).status_code == 202
    found = wait_until(
        lambda: direct.exemplars("http_request_duration_ms_bucket"),
        60,
        lambda: f"there is no exemplar: {direct.targets()}",
    )
    for series, exemplar in found:
        assert series["route"] == "events_post" and series["instance"] == HOST
        assert exemplar["labels"] == {"trace_id": trace}
        assert 0 < float(exemplar["value"]) <= float(series["le"])
    begun = direct.value("events_enqueued_created")
    assert begun == direct.value("event_commit_latency_ms_created")
    assert 0 < begun < direct.value("timestamp(events_enqueued_total)")
