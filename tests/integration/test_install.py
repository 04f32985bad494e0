# SPDX-License-Identifier: MIT
"""What "make uninstall" leaves, and what other plugins of the same collectd do
with our values."""

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
    """The filter of the document, with csv in the place of rrdtool: it makes a
    file for each series, too."""
    document = (build.TOP / "docs/observability.md").read_text()
    (chain,) = re.findall(r"^```collectd\n(.*?)^```", document, re.M | re.S)
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
