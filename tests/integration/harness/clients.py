# SPDX-License-Identifier: MIT
"""Clients of other registries: their sources are in tests/clients, with the
versions of what they need; they are installed below AURORE_CLIENTS, which
tests/clients/run sets."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from . import build

SOURCES = build.TOP / "tests/clients"
PLACE = os.environ.get("AURORE_CLIENTS", "")

# For a whole module.
only_on_demand = [
    pytest.mark.slow,
    pytest.mark.skipif(
        PLACE == "", reason="only by tests/clients/run: installs packages of registries"
    ),
]


def run(*command, cwd, timeout=900, **more):
    """What the command writes; it must succeed."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={**os.environ, **more},
    )
    said = f"{command[0]}:\n{done.stdout}\n{done.stderr}"
    assert done.returncode == 0, said[-20000:]
    return done.stdout


def copy(name):
    """A copy of a folder of tests/clients; what was installed there before stays,
    and so does what the copy is generated from."""
    place = Path(PLACE) / name
    shutil.copytree(SOURCES / name, place, dirs_exist_ok=True)
    return place


def version(*command):
    """The first numbers that a program says its version is; (0,) if it is not there."""
    if shutil.which(command[0]) is None:
        return (0,)
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return tuple(map(int, re.search(r"(\d+)\.(\d+)", said).groups()))


def _is_done(place, lock):
    """Whether the packages of this lock file are those that are installed."""
    done = place / "installed"
    return done.exists() and done.read_text() == lock.read_text()


def node(name):
    """The folder with its npm packages."""
    if version("node", "--version") < (20, 0) or shutil.which("npm") is None:
        pytest.skip("Node 20 and npm are not installed")
    place = copy(name)
    lock = place / "package-lock.json"
    if not _is_done(place, lock):
        run("npm", "ci", "--no-audit", "--no-fund", cwd=place)
        (place / "installed").write_text(lock.read_text())
    return place


def python(name):
    """The folder, and the python of an environment with its packages."""
    place = copy(name)
    lock = place / "requirements.txt"
    program = place / "venv/bin/python"
    if not _is_done(place, lock):
        shutil.rmtree(place / "venv", ignore_errors=True)
        run("/usr/bin/python3", "-m", "venv", "venv", cwd=place)
        run(program, "-m", "pip", "install", "-q", "--no-deps", "-r", lock, cwd=place)
        (place / "installed").write_text(lock.read_text())
    return place, program


def go(name, *packages):
    """The folder with its programs built, once "go generate" has run."""
    if version("go", "version") < (1, 26):
        pytest.skip("Go 1.26 is not installed")
    place = copy(name)
    shutil.copy(build.TOP / "docs/openapi.yaml", place)
    run("go", "generate", "./...", cwd=place, timeout=1800)
    for package in packages:
        run("go", "build", "-o", f"bin/{package}", f"./{package}", cwd=place, timeout=1800)
    return place
