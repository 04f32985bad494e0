# SPDX-License-Identifier: MIT
"""Fixtures of the integration tests; their building blocks are in harness/."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from harness import build
from harness.postgres import Postgres
from harness.programs import Programs

# The oracle of tests/faults is tested here, too.
sys.path.append(str(build.TOP / "tests/faults"))


def _is_parent_of_workers(config):
    return not hasattr(config, "workerinput") and bool(
        getattr(config.option, "numprocesses", None)
    )


def pytest_configure(config):
    if _is_parent_of_workers(config):
        place = tempfile.mkdtemp(prefix="aurore-installed.")
        build.install(place)
        os.environ[build.INSTALLED] = place
    config.addinivalue_line(
        "markers", "slow: takes seconds; left out by -m 'not slow'"
    )
    config.addinivalue_line(
        "markers", "plain(why): is skipped with the build that has the sanitizers"
    )


def pytest_runtest_setup(item):
    plain = item.get_closest_marker("plain")
    if plain is not None and build.SANITIZE:
        pytest.skip(plain.args[0])


def pytest_unconfigure(config):
    if _is_parent_of_workers(config):
        shutil.rmtree(os.environ[build.INSTALLED], ignore_errors=True)


def pytest_report_header():
    return f"plugins: {build.plugin_directory()}, sanitizers: " + (
        build.SANITIZE or "none"
    )


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """A failed test shows the logs of its collectds."""
    outcome = yield
    report = outcome.get_result()
    if not report.failed or report.when == "teardown":
        return  # at its end a collectd that ends badly shows its log itself
    for name in ("programs", "module_programs"):
        programs = item.funcargs.get(name)
        for title, log in programs.logs() if programs is not None else []:
            tail = "\n".join(log.splitlines()[-60:])
            report.sections.append((f"log of {title}", tail))


@pytest.fixture(scope="session")
def base():
    """The directory of everything; PostgreSQL's user may enter it."""
    directory = Path(tempfile.mkdtemp(prefix="aurore-test."))
    os.chmod(directory, 0o711)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(base):
    """A cluster for all tests that leave it running."""
    server = Postgres(base).start()
    yield server
    server.stop()


@pytest.fixture
def programs(base):
    """Starts programs that end with the test."""
    made = Programs(base)
    yield made
    made.finish()


@pytest.fixture(scope="module")
def module_programs(base):
    """Starts programs that end with the module."""
    made = Programs(base)
    yield made
    made.finish()


@pytest.fixture
def database(postgres, programs):
    """An empty database of the common cluster."""
    return programs.database(postgres)


@pytest.fixture
def own_postgres(programs):
    """A cluster that the test may stop and kill."""
    return programs.postgres()


@pytest.fixture(scope="module")
def api(postgres, module_programs):
    """A running collectd with the defaults of every option, for the tests of a
    module that only talk to it; its database is api.database."""
    return module_programs.collectd(module_programs.database(postgres)).start()
