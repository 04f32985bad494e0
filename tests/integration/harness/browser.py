# SPDX-License-Identifier: MIT
"""Headless Chromium, if the machine has it, with a page that runs its scripts
until the browser is ended."""

import itertools
import shutil

from .process import Process

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser")
ABSENT = "no browser: the package chromium is not installed"

_numbers = itertools.count(1)


def browse(directory, url, *flags):
    """The browser, a Process, with a profile of its own in the directory."""
    profile = directory / f"chromium{next(_numbers)}"
    return Process(
        [
            PROGRAM,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--no-first-run",
            f"--user-data-dir={profile}",
            *flags,
            url,
        ],
        directory / f"{profile.name}.log",
    )
