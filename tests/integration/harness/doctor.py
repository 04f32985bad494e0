# SPDX-License-Identifier: MIT
"""aurorectl doctor, run as an operator does, and what it says."""

import os
import re
import subprocess
import tempfile
from pathlib import Path

from . import build

PROGRAM = build.plugin_directory().parent / "aurorectl"


class Finding:
    def __init__(self, state, what, text):
        self.state = state
        self.what = what
        self.text = text
        self.advice = []

    def __repr__(self):
        return f"{self.state} {self.what}: {self.text} {self.advice}"


class Report:
    """What it has printed. Each line is a finding, or advice about the last."""

    def __init__(self, output):
        self.output = output
        self.findings = []
        *lines, self.sum = output.splitlines()
        for line in lines:
            advice = re.fullmatch(r" {9}do: (.+)", line)
            if advice:
                self.findings[-1].advice.append(advice[1])
                continue
            found = re.fullmatch(r"(ok|warning|problem) +([\w_]+): (.+)", line)
            assert found, line
            self.findings.append(Finding(*found.groups()))
        for one in self.findings:
            assert bool(one.advice) == (one.state != "ok"), one

    def of(self, state):
        return [one for one in self.findings if one.state == state]

    def troubles(self):
        return self.of("warning") + self.of("problem")

    def find(self, state, what, pattern):
        """The one finding that says so."""
        found = [
            one
            for one in self.of(state)
            if one.what == what and re.search(pattern, one.text)
        ]
        assert len(found) == 1, f"{state} {what}: {pattern} in\n{self.output}"
        return found[0]

    def has(self, what, pattern):
        return any(
            one.what == what and re.search(pattern, one.text) for one in self.findings
        )


def examine(config, *arguments, environment=None, runner=(), **variables):
    """Runs it on a configuration, a path or a collectd's, by the command "runner"
    if there is one; its exit status fits what it has found."""
    path = getattr(config, "config_path", config)
    mine = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("PG", "AURORE_"))
    }
    sanitizer = build.sanitizer_environment(Path(tempfile.gettempdir()))
    more = dict(environment or {})
    if "LD_PRELOAD" in more and "LD_PRELOAD" in sanitizer:
        more["LD_PRELOAD"] = sanitizer["LD_PRELOAD"] + " " + more["LD_PRELOAD"]
    done = subprocess.run(
        [*runner, PROGRAM, "doctor", "--config", path, *map(str, arguments)],
        capture_output=True,
        env={**mine, **sanitizer, **more, **variables},
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=120 * build.PATIENCE,
        check=False,
    )
    assert done.returncode in (0, 1), (done.returncode, done.stdout, done.stderr)
    report = Report(done.stdout)
    assert done.returncode == (1 if report.of("problem") else 0), done.stdout
    counted = [len(report.of(state)) for state in ("ok", "warning", "problem")]
    assert [int(n) for n in re.findall(r"\d+", report.sum)] == counted
    report.errors = done.stderr
    return report
