# SPDX-License-Identifier: MIT
"""Waiting for a condition; the tests never wait in any other way."""

import time

from .build import PATIENCE


def wait_until(condition, timeout, message):
    """Calls the condition until what it returns is true, and returns that.
    Fails with the message after the timeout (seconds, more under a sanitizer).
    The message may be a function, called only then."""
    deadline = time.monotonic() + timeout * PATIENCE
    pause = 0.005
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            text = message() if callable(message) else message
            raise AssertionError(f"waited {timeout * PATIENCE} s: {text}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)
