# SPDX-License-Identifier: MIT
"""The alerts hold at every interval and for any number of hosts: a test for
promtool of each scenario of intervals.yml, each interval, and one host and three."""

import re
from pathlib import Path

import yaml

from harness.build import TOP

SCENARIOS = Path(__file__).resolve().parent / "intervals.yml"
# Seconds between two values, and hosts.
VARIANTS = ((15, 1), (10, 3), (30, 3), (60, 3))


def scenarios():
    return yaml.safe_load(SCENARIOS.read_text())


def minutes(text):
    return [float(part) for part in str(text).split()]


def value_at(points, minute):
    """On the line between the points; of a step the later value."""
    before = [point for point in points if point[0] <= minute][-1]
    after = [point for point in points if point[0] > minute]
    if not after or after[0][0] == before[0]:
        return before[1]
    share = (minute - before[0]) / (after[0][0] - before[0])
    return before[1] + share * (after[0][1] - before[1])


def samples(text, seconds):
    points = [
        tuple(float(part) for part in point.split()) for point in text.split(",")
    ]
    count = int(points[-1][0] * 60 / seconds) + 1
    values = (value_at(points, i * seconds / 60) for i in range(count))
    return " ".join(f"{value:.10g}" for value in values)


def series_of(name, host):
    """The series of a host; HOST in the name is its number. Its labels come before
    those of the name, but for what the name itself says."""
    metric, labels = re.fullmatch(r"(\w+)(?:\{(.*)\})?", name).groups()
    labels = (labels or "").replace("HOST", str(host))
    own = {"instance": f"h{host}", "job": "collectd"}
    parts = [f'{k}="{v}"' for k, v in own.items() if f'{k}="' not in labels]
    return f"{metric}{{{','.join(parts + [labels] if labels else parts)}}}"


def duration(scenario):
    """In minutes, of the longest series."""
    texts = scenario["series"].values()
    return max(float(text.split(",")[-1].split()[0]) for text in texts)


def metrics(scenario):
    return {name.split("{")[0] for name in scenario["series"]}


def groups_of(chosen):
    """The scenarios in groups that can run together, as none has a metric or an
    alert of another: to evaluate all rules for each alone would take minutes."""
    groups = []
    for scenario in sorted(chosen, key=duration):
        mine = metrics(scenario) | {scenario["alert"]}
        for group, taken in groups:
            if not taken & mine:
                group.append(scenario)
                taken |= mine
                break
        else:
            groups.append(([scenario], mine))
    return [group for group, _ in groups]


def expectations(scenario, hosts):
    alert = scenario["alert"]
    firing = f'count(ALERTS{{alertname="{alert}",alertstate="firing"}}) or vector(0)'
    number = 1 if scenario.get("once") else hosts
    expected = [(at, number) for at in minutes(scenario.get("fires", ""))]
    expected += [(at, 0) for at in minutes(scenario.get("silent", ""))]
    return [
        {
            "expr": firing,
            "eval_time": f"{round(at * 60)}s",
            "exp_samples": [{"labels": "{}", "value": value}],
        }
        for at, value in sorted(expected)
    ]


def promtool_test(group, seconds, hosts):
    alerts = ", ".join(scenario["alert"] for scenario in group)
    return {
        "name": f"every {seconds} s, {hosts} hosts: {alerts}",
        "interval": f"{seconds}s",
        "input_series": [
            {"series": series_of(name, host), "values": samples(text, seconds)}
            for scenario in group
            for name, text in scenario["series"].items()
            for host in range(1, hosts + 1)
        ],
        "promql_expr_test": [
            expected
            for scenario in group
            for expected in expectations(scenario, hosts)
        ],
    }


def promtool_tests():
    """The texts of files of tests, one for each file of rules."""
    for rules in sorted((TOP / "prometheus/rules").glob("*.yml")):
        found = yaml.safe_load(rules.read_text())["groups"]
        here = {rule.get("alert") for group in found for rule in group["rules"]}
        chosen = [one for one in scenarios() if one["alert"] in here]
        tests = [
            promtool_test(group, seconds, hosts)
            for every in sorted({one.get("every", 0) for one in chosen})
            for group in groups_of(o for o in chosen if o.get("every", 0) == every)
            for seconds, hosts in ([(every, 3)] if every else VARIANTS)
        ]
        if tests:
            content = {
                "rule_files": [str(rules), str(rules.with_name("recording.yml"))],
                "evaluation_interval": "15s",
                "tests": tests,
            }
            yield yaml.safe_dump(content, sort_keys=False)


def unseen(wanted, known):
    """Of the alerts that are wanted, those that no scenario lets fire, or keeps
    silent; and scenarios of alerts that are not known."""
    for kind in ("fires", "silent"):
        seen = {one["alert"] for one in scenarios() if kind in one}
        for name in sorted(set(wanted) - seen):
            yield f"{name}: no scenario in {SCENARIOS.name} in which it {kind}"
    for name in sorted({one["alert"] for one in scenarios()} - set(known)):
        yield f"{SCENARIOS.name}: unknown alert {name}"
