# SPDX-License-Identifier: MIT
"""What each panel of the dashboard must have, and that its limits are those of
the alerts."""

import re

import yaml

from harness import queries
from harness.build import TOP

SCHEMA_VERSION = 42  # of Grafana 12 and 13
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
EVENTS = {"type": "grafana-postgresql-datasource", "uid": "${events}"}
GRAFANA = {"type": "grafana", "uid": "-- Grafana --"}

TITLES = [
    "Buffer Utilization %",
    "Buffer Size vs Capacity",
    "Buffer Utilization Over Time",
    "Events Throughput",
    "Drop Rate %",
    "Events Enqueued vs Dropped",
    "Batches & Events Processed",
    "Processing Times p95",
    "Total Events & Recent",
    "Events by Service",
    "Circuit Breaker State",
    "Health Status",
    "Database Connection",
    "Buffer Health",
    "CPU Usage",
    "Memory Usage",
    "Hosts",
    "Lanes Fenced or Blocked",
    "Stored Again and Lost",
    "Certificate Ends In",
    "Days Overdue",
]

# The limits that a panel draws are those of these alerts.
LIMITS = {
    "Buffer Utilization %": ["AuroreBufferHigh", "AuroreBufferCritical"],
    "Buffer Utilization Over Time": ["AuroreBufferHigh", "AuroreBufferCritical"],
    "Drop Rate %": ["AuroreDropRateHigh", "AuroreDropRateCritical"],
    "Oldest Event": ["AuroreCommitLag"],
    "Error Ratio": ["AuroreSloBurnSlow", "AuroreSloBurnFast"],
    "Processing Times p95": ["AuroreDatabaseSlow"],
    "Spool Sync Time": ["AuroreSpoolSyncSlow"],
    "Disk Space Used": ["AuroreDiskHigh", "AuroreDiskCritical"],
    "Inodes Used": ["AuroreInodesHigh", "AuroreInodesCritical"],
    "Connections Used": ["AuroreDatabaseConnectionsHigh"],
    "Cache Hit Rate": ["AuroreDatabaseCacheHitsLow"],
    "CPU Usage": ["AuroreCpuHigh"],
    "Memory Usage": ["AuroreMemoryHigh", "AuroreMemoryCritical"],
    "Load": ["AuroreLoadHigh"],
}

# What each host tells of the database they share: the largest counts, and a sum would
# count the database once for each host.
SHARED = (
    "dead_letters_pending",
    "business_events_total",
    "business_events_by_service",
    "business_events_last_24h",
    "business_events_last_hour",
    "business_events_per_minute",
    "retention_overdue_days",
)

# Of the rules of Grafana's dashboard linter those that do not hold here:
# - template-job-rule, target-job-rule: one host's metrics come from one job, whose
#   name is the choice of who scrapes; what is recorded has no job at all. A host is
#   chosen by its name.
# - template-datasource-rule, of the second dashboard: its source is PostgreSQL.
# - target-counter-agg-rule, for these, which are shown as they are:
COUNTERS_SHOWN = {
    "Total Events & Recent": "the database counts, and nothing restarts it",
    "Dead Letters": "set aside since the start, beside those that are pending",
    "Spool Bytes and Damage": "one alone matters, and no rate of one is seen",
}

# What the numbers of a state mean.
STATES = {
    "Circuit Breaker State": {"0": "Closed", "1": "Open", "2": "Half-open"},
    "Health Status": {"0": "Unhealthy", "1": "Healthy"},
    "Database Connection": {"0": "Disconnected", "1": "Connected"},
    "Buffer Health": {"1": "Healthy", "2": "Warning", "3": "Critical"},
}


def _check_panel(panel, alerts, wrong):
    title = panel["title"]
    defaults = panel["fieldConfig"]["defaults"]
    if not panel.get("description"):
        wrong(f"dashboard: {title}: no description")
    if not defaults.get("unit"):
        wrong(f"dashboard: {title}: no unit")
    if not panel.get("targets"):
        wrong(f"dashboard: {title}: no query")
    for part in [panel] + panel.get("targets", []):
        if part.get("datasource") != SOURCE:
            wrong(f"dashboard: {title}: the data source is not the variable")
    for link in panel.get("links", []):
        anchor = link["url"].partition("#")[2]
        if anchor not in {name.lower() for name in alerts}:
            wrong(f"dashboard: {title}: {link['url']} is not an alert")


def check_shared(where, expression, wrong):
    for name in SHARED:
        for match in re.finditer(rf"\b{name}\b", expression):
            before = expression[: match.start()]
            if not re.search(r"\bmax(?: by \([^)]*\))? ?\($", before):
                wrong(f"{where}: {name} is the database's: take it by max")


def _check_query(where, expression, wrong):
    check_shared(f"dashboard: {where}", expression, wrong)
    _check_counters(where, expression, wrong)
    for window in re.findall(r"\[([^\]]*)\]", expression):
        if not where.startswith("annotation") and window != "$__rate_interval":
            wrong(f"dashboard: {where}: [{window}] is not [$__rate_interval]")
    # Alerts have no instance, or that of the target, when a host is gone.
    if where.startswith(("variable", "Active Alerts")):
        return
    for selector in re.findall(r"\{([^}]*)\}", expression):
        if "$instance" not in selector:
            wrong(f"dashboard: {where}: {{{selector}}} does not select $instance")


def _check_counters(where, expression, wrong):
    """A counter is asked for its rate."""
    title = where.rpartition(", ")[0]
    for match in re.finditer(r"\b\w+_(?:total|bucket)\b", expression):
        function = re.search(r"(\w+)\($", expression[: match.start()])
        if function and function.group(1) in ("rate", "increase", "resets"):
            continue
        if title not in COUNTERS_SHOWN:
            wrong(f"dashboard: {where}: {match.group()} is a counter, without a rate")


def _check_variables(board, wrong):
    """A query is asked again when the time range changes, and all can be chosen."""
    for each in board["templating"]["list"]:
        where = f"{board['title']}: the variable {each['name']}"
        if not each.get("label"):
            wrong(f"{where} has no label")
        if each["type"] == "query":
            if each["refresh"] != 2 or not each["multi"] or not each["includeAll"]:
                wrong(f"{where}: refresh, multi or includeAll")
    source = board["templating"]["list"][0]
    if source["type"] != "datasource" or source["label"] != "Data source":
        wrong(f"{board['title']}: its data source is not the first variable")


def _check_limits(panel, alerts, wrong):
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    drawn = [step["value"] for step in steps if step["value"] is not None]
    wanted = [
        queries.limits(alerts[name]["expr"])[0] for name in LIMITS[panel["title"]]
    ]
    if drawn != wanted:
        wrong(f"dashboard: {panel['title']}: limits {drawn}, alerts {wanted}")


def _check_states(panel, wrong):
    found = {}
    for mapping in panel["fieldConfig"]["defaults"]["mappings"]:
        found.update({k: v["text"] for k, v in mapping["options"].items()})
    if found != STATES[panel["title"]]:
        wrong(f"dashboard: {panel['title']}: the states are {found}")


def _check_links(board, alerts, wrong):
    """At least one panel links to the paragraph of each alert."""
    urls = [
        link["url"]
        for panel in queries.panels(board)
        for link in panel.get("links", [])
    ]
    for name in alerts:
        if f"${{runbook}}#{name.lower()}" not in urls:
            wrong(f"dashboard: no panel links to {name} in the runbook")


def _check_places(board, wrong):
    taken = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        if cells & taken or place["x"] + place["w"] > 24:
            wrong(f"dashboard: {panel['title']}: overlaps another panel")
        taken |= cells


def _check_whole(board, wrong):
    if board["schemaVersion"] != SCHEMA_VERSION:
        wrong(f"dashboard: schemaVersion is not {SCHEMA_VERSION}")
    if not board["uid"] or board["id"] is not None:
        wrong("dashboard: it needs a stable uid, and no id")
    variables = {each["name"]: each for each in board["templating"]["list"]}
    if variables.get("datasource", {}).get("query") != "prometheus":
        wrong("dashboard: no variable datasource")
    if variables["instance"]["allValue"] != ".+":
        wrong("dashboard: all instances are not .+")
    if "label_values" not in str(variables.get("instance", {}).get("query")):
        wrong("dashboard: no variable instance")
    for each in board["annotations"]["list"] + [variables["instance"]]:
        if each.get("datasource") not in (SOURCE, GRAFANA):
            wrong(f"dashboard: {each['name']}: the data source is not the variable")
    asked = "".join(each.get("expr", "") for each in board["annotations"]["list"])
    for needed in ("changes(circuit_breaker_state", "resets("):
        if needed not in asked:
            wrong(f"dashboard: no annotation queries {needed}…)")
    ids = [panel["id"] for panel in board["panels"]]
    if len(ids) != len(set(ids)):
        wrong("dashboard: two panels have the same id")
    if "${runbook}" not in str(board["links"]) or not _leads_to_others(board):
        wrong("dashboard: no link to the runbook, or to the other dashboard")
    if board["editable"]:
        wrong("dashboard: what is provisioned cannot be saved")


def _check_provisioning(wrong):
    place = TOP / "grafana/provisioning"
    source, events = yaml.safe_load(
        (place / "datasources/aurore.yml").read_text()
    )["datasources"]
    if not source.get("uid") or source["type"] != "prometheus":
        wrong("grafana/provisioning: the data source needs a stable uid")
    if not events.get("uid") or events["type"] != EVENTS["type"]:
        wrong("grafana/provisioning: that of the events needs a stable uid")
    scrape = yaml.safe_load(queries.CONFIG.read_text())["global"]["scrape_interval"]
    if source["jsonData"]["timeInterval"] != scrape:
        wrong(f"grafana/provisioning: timeInterval is not {scrape}")
    (provider,) = yaml.safe_load(
        (place / "dashboards/aurore.yml").read_text()
    )["providers"]
    if not provider["options"]["path"] or not provider["folderUid"]:
        wrong("grafana/provisioning: the provider needs a path and a folderUid")


def _leads_to_others(board):
    return any(
        link["type"] == "dashboards" and link["tags"] == ["aurore"]
        for link in board["links"]
    )


def check_events(board, wrong):
    """The dashboard of the events; its queries are run by
    tests/integration/test_events_dashboard.py."""
    if board["schemaVersion"] != SCHEMA_VERSION or board["id"] is not None:
        wrong(f"{board['title']}: schemaVersion is not {SCHEMA_VERSION}, or an id")
    if board["editable"]:
        wrong(f"{board['title']}: what is provisioned cannot be saved")
    _check_places(board, wrong)
    _check_variables(board, wrong)
    for panel in queries.panels(board):
        if not panel.get("description") or not panel.get("targets"):
            wrong(f"{board['title']}: {panel['title']}: no description, or no query")
        # Any other makes a number of text that looks like one: 23514 was "23.5 K".
        unit = panel["fieldConfig"]["defaults"].get("unit")
        if panel["type"] == "table" and unit != "string":
            wrong(f"{board['title']}: {panel['title']}: its unit is not that of text")
        for part in [panel] + panel.get("targets", []):
            if part.get("datasource") != EVENTS:
                wrong(f"{board['title']}: {panel['title']}: another data source")
    if not _leads_to_others(board):
        wrong(f"{board['title']}: no links to the other dashboard")


def check_dashboard(board, alerts, wrong):
    _check_whole(board, wrong)
    _check_places(board, wrong)
    _check_variables(board, wrong)
    _check_links(board, alerts, wrong)
    _check_provisioning(wrong)
    found = [panel["title"] for panel in queries.panels(board)]
    if len(found) != len(set(found)):
        wrong("dashboard: two panels have the same title")
    for title in set(TITLES) | set(LIMITS) | set(STATES):
        if title not in found:
            wrong(f"dashboard: no panel {title}")
    for panel in queries.panels(board):
        _check_panel(panel, alerts, wrong)
        if panel["title"] in LIMITS:
            _check_limits(panel, alerts, wrong)
        if panel["title"] in STATES:
            _check_states(panel, wrong)
    for where, expression in queries.dashboard_queries(board):
        _check_query(where, expression, wrong)
