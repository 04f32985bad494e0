# SPDX-License-Identifier: MIT
"""The limits of collectd's own plugin threshold are those of the alerts."""

import re

from harness import queries
from harness.build import TOP

# (plugin, instance, type, type instance) -> limits: alert, and how its limit is
# written there.
SAME = {
    ("aurore", "buffer", "buffer_utilization_percent", None): {
        "WarningMax": "AuroreBufferHigh",
        "FailureMax": "AuroreBufferCritical",
    },
    ("aurore", "buffer", "buffer_oldest_age_seconds", None): {
        "FailureMax": "AuroreCommitLag",
    },
    ("aurore", "events", "events_drop_rate_percent", None): {
        "WarningMax": "AuroreDropRateHigh",
        "FailureMax": "AuroreDropRateCritical",
    },
    ("aurore", "batch", "dead_letters_pending", None): {
        "WarningMax": "AuroreDeadLettersPending",
    },
    ("df", None, "percent_bytes", "used"): {
        "WarningMax": "AuroreDiskHigh",
        "FailureMax": "AuroreDiskCritical",
    },
    ("df", None, "percent_inodes", "used"): {
        "WarningMax": "AuroreInodesHigh",
        "FailureMax": "AuroreInodesCritical",
    },
    ("memory", None, "percent", "used"): {
        "WarningMax": "AuroreMemoryHigh",
        "FailureMax": "AuroreMemoryCritical",
    },
    ("load", None, "load", None): {
        "WarningMax": "AuroreLoadHigh",
    },
}


def thresholds():
    """What aurore-threshold.conf says: {(plugin, instance, type, type instance):
    {option: number}}."""
    text = (TOP / "conf.d/aurore-threshold.conf").read_text()
    found = {}
    for plugin, body in re.findall(
        r'^  <Plugin "(\w+)">\n(.*?)^  </Plugin>', text, re.M | re.S
    ):
        outer = body.split("<Type")[0]
        instance = re.search(r'Instance "(\w+)"', outer)
        for kind, inner in re.findall(r'<Type "(\w+)">\n(.*?)</Type>', body, re.S):
            own = re.search(r'Instance "(\w+)"', inner)
            key = (
                plugin,
                instance and instance.group(1),
                kind,
                own and own.group(1),
            )
            pairs = re.findall(r"^ *(\w+) (-?[0-9.]+)$", inner, re.M)
            found[key] = {name: float(number) for name, number in pairs}
    return found


def check_limits(alerts, wrong):
    found = thresholds()
    for key, options in SAME.items():
        where = "aurore-threshold.conf: " + "/".join(filter(None, key))
        if key not in found:
            wrong(f"{where}: missing")
            continue
        for option, alert in options.items():
            limit = queries.limits(alerts[alert]["expr"])[0]
            if found[key].get(option) != limit:
                wrong(
                    f"{where}: {option} is {found[key].get(option)}, "
                    f"and {alert} has {limit}"
                )
