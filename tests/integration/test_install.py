# SPDX-License-Identifier: MIT
"""What "make uninstall" leaves, what other plugins of the same collectd do with
our values, and what systemd makes of the drop-in that confines it."""

import os
import re
import shutil
import subprocess

import pytest

from harness import build
from harness.collectd import STOCK_PLUGINS, block
from harness.wait import wait_until

CONFIGURATION = "etc/collectd/collectd.conf.d"


@pytest.fixture
def installed(tmp_path):
    place = tmp_path / "root"
    if build.INSTALLED in os.environ:
        shutil.copytree(os.environ[build.INSTALLED], place, symlinks=True)
    else:
        build.install(place)
    return place


def uninstall(place):
    subprocess.run(
        ["make", "-C", build.plugin_directory().parent, "-s", "uninstall"]
        + [f"DESTDIR={place}"],
        check=True,
        stdout=subprocess.PIPE,
    )


def files(place):
    return sorted(str(one.relative_to(place)) for one in place.rglob("*") if not one.is_dir())


def test_nothing_is_left(installed):
    assert (installed / "usr/bin/aurore-spool").is_symlink()
    assert os.access(installed / "usr/bin/aurore-spool", os.X_OK)
    uninstall(installed)
    assert files(installed) == []


def test_what_was_edited_is_kept_but_not_read(installed):
    """collectd does not start with the configuration of plugins that are gone."""
    edited = installed / CONFIGURATION / "aurore.conf"
    with open(edited, "a") as file:
        file.write("# mine\n")
    text = edited.read_text()
    uninstall(installed)
    assert files(installed) == [f"{CONFIGURATION}/aurore.conf.kept"]
    assert (edited.parent / "aurore.conf.kept").read_text() == text


@pytest.mark.plain("collectd's own match_regex leaks a string")
def test_histograms_are_kept_from_rrdtool(programs, database):
    """The filter, with csv in the place of rrdtool: it makes a file for each
    series, too."""
    chain = (build.TOP / "docs/examples/collectd-rrdtool.conf").read_text()
    assert chain.count('"rrdtool"') == 1
    api = programs.collectd(database, load=())
    data = api.directory / "csv"
    api.port = api.port or 0
    text = f'PluginDir "{STOCK_PLUGINS}"\nLoadPlugin csv\n'
    text += block("csv", {"DataDir": data})
    text += f'\nPluginDir "{build.plugin_directory()}"\n'
    text += f'LoadPlugin event_buffer\nLoadPlugin event_writer\n'
    socket = api.directory / "socket"
    text += block("event_buffer", {"Listen": f"unix:{socket}"})
    text += "\n" + block("event_writer", {"ConnInfo": database.conninfo}) + "\n"
    text += f'PluginDir "{STOCK_PLUGINS}"\n' + chain.replace("rrdtool", "csv")
    api.text = text
    api.start_only()
    wait_until(lambda: list(data.rglob("buffer_size-*")), 30, lambda: api.log())
    wait_until(
        lambda: api.values().family("collectd_aurore_batch_insert_time_ms_bucket_total"),
        30,
        "Prometheus has no histogram",
    )
    written = [one.name for one in data.rglob("*") if one.is_file()]
    assert len(written) > 30
    assert not [name for name in written if re.search(r"_(bucket|count|sum)-", name)]


def analyze(place, *arguments):
    return subprocess.run(
        ["systemd-analyze", "--no-pager", *arguments, str(place / "collectd.service")],
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{place}:"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="there is no systemd"
)
def test_the_drop_in_is_understood_and_confines(tmp_path):
    shutil.copy("/lib/systemd/system/collectd.service", tmp_path)
    bare = analyze(tmp_path, "security", "--offline=true", "--threshold=20")
    assert bare.returncode != 0, bare.stdout
    drop_in = tmp_path / "collectd.service.d"
    drop_in.mkdir()
    shutil.copy(
        build.TOP / "docs/examples/collectd-confined.conf", drop_in / "aurore.conf"
    )
    verified = analyze(tmp_path, "verify", "--man=no")
    assert verified.returncode == 0, verified.stdout
    assert "collectd.service" not in verified.stdout
    # Of 100; without the drop-in it is more than 90.
    confined = analyze(tmp_path, "security", "--offline=true", "--threshold=20")
    assert confined.returncode == 0, confined.stdout


def test_the_drop_in_leaves_time_to_store():
    text = (build.TOP / "docs/examples/collectd-confined.conf").read_text()
    (stop,) = re.findall(r"^TimeoutStopSec=(\d+)$", text, re.M)
    options = (build.TOP / "conf.d/aurore.conf").read_text()
    (shutdown,) = re.findall(r"^  #ShutdownTimeout (\d+)$", options, re.M)
    assert int(stop) >= int(shutdown) + 15
