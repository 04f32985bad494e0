# SPDX-License-Identifier: MIT
"""The metrics that exist in Prometheus: ours, by docs/metrics.md (which is
generated from the table in the code, and compared with it by the unit tests);
collectd's, by the plugins that conf.d loads and by collectd's types.db; and
Prometheus' own."""

import re
from pathlib import Path

from harness.build import TOP

TYPES = Path("/usr/share/collectd/types.db")
OWN = {"up", "ALERTS", "ALERTS_FOR_STATE"}


def _our_names():
    text = (TOP / "docs/metrics.md").read_text()
    table = re.findall(r"^\| `(\w+)` \| (counter|gauge|histogram) \|", text, re.M)
    names = set()
    for name, kind in table:
        if kind == "histogram":
            names |= {f"{name}_bucket", f"{name}_count", f"{name}_sum"}
        else:
            names.add(name)
    return names


def _made_at_the_scrape():
    """Names that prometheus.yml gives to what it scrapes, whatever that is called."""
    text = (TOP / "prometheus/prometheus.yml").read_text()
    pattern = r"target_label: __name__\n +replacement: (\w+)$"
    return set(re.findall(pattern, text, re.M))


def _types():
    """{type: [(source, kind)]}"""
    types = {}
    for line in TYPES.read_text().splitlines():
        words = line.split("#")[0].replace(",", " ").split()
        if len(words) > 1:
            sources = [word.split(":")[:2] for word in words[1:]]
            types[words[0]] = [(name, kind) for name, kind in sources]
    return types


def _exported(plugin, type_name, sources):
    """The names write_prometheus gives to the values of a type of a plugin."""
    stem = "collectd_" + plugin
    if plugin != type_name:
        stem += "_" + type_name
    for name, kind in sources:
        middle = "" if name == "value" else f"_{name}"
        yield stem + middle + ("_total" if kind in ("DERIVE", "COUNTER") else "")


class Names:
    def __init__(self, recorded):
        self._known = OWN | _our_names() | _made_at_the_scrape() | set(recorded)
        self._conf = {
            path.name: path.read_text() for path in (TOP / "conf.d").glob("*.conf")
        }
        loaded = re.findall(
            r"^LoadPlugin +\"?(\w+)", "\n".join(self._conf.values()), re.M
        )
        for plugin in loaded:
            for type_name, sources in _types().items():
                self._known |= set(_exported(plugin, type_name, sources))

    def unknown(self, name, expression):
        """What is wrong with a name in an expression, or None."""
        if name not in self._known:
            return "there is no such metric, or no conf.d file loads its plugin"
        if name.startswith("collectd_postgresql_"):
            return self._unknown_query(name, expression)
        return None

    def _unknown_query(self, name, expression):
        """The type instances of the plugin postgresql are made by our queries."""
        text = self._conf["aurore-postgresql.conf"]
        pattern = re.escape(name) + r'\{[^}]*type=~?"([^"]*)"'
        for value in re.findall(pattern, expression):
            for part in value.split("|"):
                word = re.split(r"[.\[(]|-", part)[0]
                if not re.search(rf"['\"]{word}['\"]", text):
                    return f'no query of aurore-postgresql.conf makes "{part}"'
        return None
