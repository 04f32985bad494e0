# SPDX-License-Identifier: MIT
"""What the project queries in Prometheus: the expressions of the rules and of
the dashboard, and the names in them."""

import json
import re

import yaml

from .build import TOP

CONFIG = TOP / "prometheus/prometheus.yml"
RULES = TOP / "prometheus/rules"
DASHBOARD = TOP / "grafana/dashboards/aurore-dashboard.json"
EVENTS_DASHBOARD = TOP / "grafana/dashboards/aurore-events.json"

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'')
_NAME = re.compile(r"(?<![\w:.$])[A-Za-z_:][A-Za-z0-9_:]*")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
_WORDS = set(
    "and or unless bool offset by without on ignoring group_left group_right"
    " Inf NaN inf nan".split()
)


def rule_groups():
    """All groups of all files of rules."""
    groups = []
    for path in sorted(RULES.glob("*.yml")):
        groups += yaml.safe_load(path.read_text())["groups"]
    return groups


def rules(kind):
    """All rules of a kind, "alert" or "record"."""
    return [
        rule
        for group in rule_groups()
        for rule in group["rules"]
        if kind in rule
    ]


def dashboard():
    return json.loads(DASHBOARD.read_text())


def events_dashboard():
    return json.loads(EVENTS_DASHBOARD.read_text())


def panels(board):
    """All panels but the rows; those of a row that is closed, too."""
    for panel in board["panels"]:
        if panel["type"] == "row":
            yield from panel.get("panels", [])
        else:
            yield panel


def dashboard_queries(board):
    """(where, expression) of all that the dashboard asks."""
    for panel in panels(board):
        for target in panel.get("targets", []):
            yield f"{panel['title']}, {target['refId']}", target["expr"]
    for annotation in board["annotations"]["list"]:
        if "expr" in annotation:
            yield f"annotation {annotation['name']}", annotation["expr"]
    for variable in board["templating"]["list"]:
        query = variable.get("query")
        if isinstance(query, dict) and "query" in query:
            found = re.match(r"label_values\((.*),\s*\w+\)$", query["query"])
            yield f"variable {variable['name']}", found.group(1)


def metric_names(expression):
    """The names of all metrics in an expression."""
    text = _STRING.sub('""', expression)
    text = re.sub(r"\{[^}]*\}", "", text)
    text = re.sub(r"\[[^\]]*\]", "", text)
    text = _GROUPING.sub("", text)
    text = re.sub(r"\boffset\s+\S+", "", text)
    names = set()
    for match in _NAME.finditer(text):
        is_function = text[match.end() :].lstrip().startswith("(")
        if match.group() not in _WORDS and not is_function:
            names.add(match.group())
    return names


def limits(expression):
    """The numbers that an expression compares with."""
    return [
        float(number)
        for number in re.findall(
            r"(?:[<>]=?|[=!]=)\s*(?:bool\s+)?(-?[0-9][0-9.]*)", expression
        )
    ]


def _before_unless(expression):
    """The expression up to an "unless" that is in no parentheses."""
    depth = 0
    for match in re.finditer(r"[(){}]|\bunless\b", expression):
        if match.group() in "({":
            depth += 1
        elif match.group() in ")}":
            depth -= 1
        elif depth == 0:
            return expression[: match.start()]
    return expression


def without_limits(expression):
    """The expression with every comparison answering 0 or 1 for each series: it
    has a value whether or not the limit is passed. What it leaves out ("unless", of
    the whole) is left aside, too."""
    expression = _before_unless(expression)
    parts = re.split(r"(\{[^}]*\})", expression)
    for i in range(0, len(parts), 2):
        parts[i] = re.sub(r"([<>]=?|[=!]=)(?!=|\s*bool\b)", r"\1 bool ", parts[i])
    return "".join(parts)


def direct_configuration():
    """prometheus.yml changed over to /metrics/prometheus, as the comment at its end
    says: the lines that are commented out there hold the relabelling to put in the
    place of the job collectd's, and another job."""
    text = CONFIG.read_text()
    commented = re.findall(r"^  #((?:- |  ).*)\n", text, re.M)
    lines = [f"  {line}" for line in commented]
    job = lines.index("  - job_name: aurore")
    start = text.index("    metric_relabel_configs:")
    end = text.index("  - job_name: prometheus")
    return "\n".join(
        [text[:start], *lines[:job], "", text[end:], *lines[job:], ""]
    )
