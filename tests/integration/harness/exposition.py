# SPDX-License-Identifier: MIT
"""Prometheus' text format as a table of values."""

import re

_LINE = re.compile(r"^([A-Za-z_:][A-Za-z0-9_:]*)(\{.*\})?\s+(\S+)(?:\s+-?\d+)?$")
_LABEL = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)="((?:[^"\\]|\\.)*)"')
_ESCAPES = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}


def _unescape(text):
    return re.sub(r'\\[\\"n]', lambda match: _ESCAPES[match.group()], text)


class Metrics:
    """The values of one exposition: {name: {labels: value}}, where labels is a
    frozenset of (label, value)."""

    def __init__(self, text):
        self.series = {}
        self.kinds = {}
        self.helps = {}
        for line in text.split("\n"):  # only that ends a line
            self._read(line)

    def _read(self, line):
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ", 3)
            self.kinds[name] = kind
        elif line.startswith("# HELP "):
            _, _, name, text = (line + " ").split(" ", 3)
            self.helps[name] = text.strip()
        elif line.strip() and not line.startswith("#"):
            match = _LINE.match(line)
            assert match, f"not a line of the text format: {line!r}"
            name, labels, value = match.groups()
            key = frozenset(
                (label, _unescape(text))
                for label, text in _LABEL.findall(labels or "")
            )
            family = self.series.setdefault(name, {})
            assert key not in family, f"twice in one exposition: {line!r}"
            family[key] = float(value)

    def names(self):
        return set(self.series)

    def family(self, name):
        return self.series.get(name, {})

    def get(self, name, default=None, **labels):
        """The value of the one series that has at least these labels."""
        wanted = set(labels.items())
        found = [
            value
            for key, value in self.family(name).items()
            if wanted <= set(key)
        ]
        assert len(found) <= 1, f"{name} {labels} is not one series: {found}"
        return found[0] if found else default

    def sum(self, name, **labels):
        wanted = set(labels.items())
        return sum(
            value
            for key, value in self.family(name).items()
            if wanted <= set(key)
        )
