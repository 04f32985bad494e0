# SPDX-License-Identifier: MIT
"""Checks dashboards against the types of Grafana's foundation SDK: each field is
one that Grafana knows, and its value is of the right type. Then misspells each
field, and gives it a wrong value, one after the other, and wants that noticed.

    schema.py DASHBOARD.json...

Run by grafana-schema, which installs the SDK; the last line is "N passed, N failed"."""

import enum
import functools
import json
import re
import sys
import types
import typing
from pathlib import Path

from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.runtime import Runtime
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import units

FREE = (typing.Any, object)
WRONG = [[]]  # no field takes a list of lists


class SqlQuery:
    """A query to PostgreSQL, of which no type is published: what Grafana saves."""

    ref_id: str
    datasource: model.DataSourceRef
    editor_mode: typing.Literal["code"]
    format_val: typing.Literal["table", "time_series"]
    raw_query: bool
    raw_sql: str


# What Grafana reads, and the published types leave out.
MORE = {
    # An annotation over Prometheus has its query beside its name.
    model.AnnotationQuery: {
        "step": str,
        "title_format": str,
        "text_format": str,
        "tag_keys": str,
        "use_value_for_time": bool,
    },
    # What the editor shows of a variable's query.
    model.VariableModel: {"definition": str},
}


def is_free(hint):
    return hint in FREE or any(part in FREE for part in typing.get_args(hint))


def attribute(field):
    """gridPos is grid_pos."""
    return re.sub(r"(?<=[a-z0-9])([A-Z]+)", r"_\1", field).lower()


@functools.cache
def hints_of(kind):
    """The types of a class's fields; "type" and the like are "type_val" in it."""
    hints = typing.get_type_hints(kind).items()
    return {name.removesuffix("_val"): hint for name, hint in hints} | MORE.get(
        kind, {}
    )


@functools.cache
def all_units():
    """Of some the id is in a constant's type."""
    return {
        value
        for hint in typing.get_type_hints(units).values()
        for value in typing.get_args(hint)
    }


def short(value):
    text = repr(value)
    return text if len(text) < 60 else f"{text[:60]}…"


def source_of(panel):
    source = panel.get("datasource")
    return str(source.get("type")) if isinstance(source, dict) else ""


def class_of(from_json):
    return from_json.__self__ if from_json else None


class Checker:
    """The problems of one dashboard, and the places of the fields that it compared
    with a type: (path, type)."""

    def __init__(self, panel=None):
        self.problems = []
        self.compared = []
        # Of the panel that is being looked at: the types of its options, of its own
        # part of the field configuration, and of its queries.
        self.panel = panel

    def wrong(self, path, what):
        self.problems.append(f"{'.'.join(map(str, path))}: {what}")

    def check(self, path, value, hint):
        origin, parts = typing.get_origin(hint), typing.get_args(hint)
        if origin in (typing.Union, types.UnionType):
            self._check_union(path, value, parts)
        elif origin is typing.Literal:
            if value not in parts:
                self.wrong(path, f"{short(value)} is not {' or '.join(map(repr, parts))}")
        elif origin in (list, dict):
            self._check_many(path, value, origin, parts[-1])
        elif not is_free(hint):
            self._check_one(path, value, hint)

    def _check_many(self, path, value, origin, hint):
        if not isinstance(value, origin):
            self.wrong(path, f"{short(value)} is no {origin.__name__}")
            return
        for key, each in value.items() if origin is dict else enumerate(value):
            self.check([*path, key], each, hint)

    def _check_union(self, path, value, hints):
        """As the alternative that it fits best."""
        tried = []
        for hint in hints:
            if hint is types.NoneType and value is not None:
                continue
            checker = Checker(self.panel)
            checker.check(path, value, hint)
            tried.append(checker)
        best = min(tried, key=lambda one: (len(one.problems), -len(one.compared)))
        self.problems += best.problems
        self.compared += best.compared

    def _check_one(self, path, value, hint):
        if issubclass(hint, enum.Enum):
            if value not in [member.value for member in hint]:
                self.wrong(path, f"{short(value)} is no {hint.__name__}")
        elif hint is float:
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                self.wrong(path, f"{short(value)} is no number")
        elif hint in (str, int, bool, type(None)):
            if type(value) is not hint:
                self.wrong(path, f"{short(value)} is no {hint.__name__}")
        elif not isinstance(value, dict):
            self.wrong(path, f"{short(value)} is no {hint.__name__}")
        else:
            self._check_fields(path, value, hint)

    def _check_fields(self, path, value, kind):
        hints = dict(hints_of(kind))
        if kind is model.Panel:
            self.panel = self._types_of_panel(path, value)
            hints |= self.panel
        elif kind is model.FieldConfig:
            hints["custom"] = self.panel["custom"]
            unit = value.get("unit", "none")
            if str(unit) not in all_units():
                self.wrong(path, f"the unit {unit!r} is not known")
        elif kind is model.DynamicConfigValue:
            hints["value"] = self._type_of_setting(path, value.get("id"))
        for field, each in value.items():
            hint = hints.get(attribute(field))
            if hint is None:
                self.wrong([*path, field], f"{kind.__name__} has no such field")
            else:
                self.compared.append(([*path, field], hint))
                self.check([*path, field], each, hint)

    def _types_of_panel(self, path, panel):
        runtime = Runtime()
        config = runtime.panelcfg_config(str(panel.get("type")))
        if config is None:
            self.wrong(path, f"no panel is of the type {panel.get('type')!r}")
            return {"custom": object}
        query = runtime.dataquery_variants.get(source_of(panel))
        query = class_of(query.from_json_hook) if query else SqlQuery
        return {
            "options": class_of(config.options_from_json_hook),
            # Those without one draw no field differently.
            "custom": class_of(config.field_config_from_json_hook) or types.NoneType,
            "targets": list[query],
        }

    def _type_of_setting(self, path, name):
        """What an override sets: a field of the configuration, by its name."""
        own = "custom."
        if str(name).startswith(own):
            hints, name = hints_of(self.panel["custom"]), name.removeprefix(own)
        else:
            hints = hints_of(model.FieldConfig)
        if not isinstance(name, str) or attribute(name) not in hints:
            self.wrong(path, f"nothing is called {name!r}")
            return object
        return hints[attribute(name)]


def check(board):
    checker = Checker()
    checker.check([], board, model.Dashboard)
    return checker


def unnoticed(board, path, hint):
    """What may be wrong with the dashboard at that place without being noticed."""
    *before, field = path
    if path[0] == "panels" and len(path) > 1:
        # The others say nothing about this one.
        board, before[1] = {**board, "panels": [board["panels"][path[1]]]}, 0
    owner = functools.reduce(lambda value, key: value[key], before, board)
    value = owner.pop(field)
    owner[f"{field}x"] = value
    if not check(board).problems:
        yield "misspelt"
    del owner[f"{field}x"]
    owner[field] = WRONG
    if not is_free(hint) and not check(board).problems:
        yield "of a wrong type"
    owner[field] = value


def main(files):
    plugins.register_default_plugins()
    passed = failed = 0
    for name in files:
        board = json.loads(Path(name).read_text())
        checker = check(board)
        bad = list(checker.problems)
        for path, hint in checker.compared:
            for what in unnoticed(board, path, hint):
                bad.append(f"{'.'.join(map(str, path))}: {what} is not noticed")
        for problem in bad:
            print(f"{Path(name).name}: {problem}")
        passed += len(checker.compared)
        failed += len(bad)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
