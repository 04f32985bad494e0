# SPDX-License-Identifier: MIT
"""Another time of day for a program (Debian's libfaketime)."""

from datetime import datetime, timedelta, timezone
from pathlib import Path


def _library():
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        raise RuntimeError("install the Debian package libfaketime")
    return found[-1]


class Clock:
    """Time of day as the program sees it: it stands beside the real one by an
    offset that may jump while the program runs. Time goes on as fast as ever,
    and the monotonic clock is the real one."""

    def __init__(self, directory, offset=timedelta(0)):
        self._file = Path(directory) / "clock"
        self.jump(offset)

    def jump(self, offset):
        """To so much before or after the real time."""
        self.offset = offset
        # In one step: it is read at every look at the clock.
        new = self._file.with_suffix(".new")
        new.write_text(f"{offset.total_seconds():+.3f}")
        new.rename(self._file)

    def set(self, moment):
        """To a datetime with a time zone."""
        self.jump(moment - datetime.now(timezone.utc))

    def now(self):
        return datetime.now(timezone.utc) + self.offset

    def environment(self):
        return {
            "LD_PRELOAD": str(_library()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "TZ": "UTC",
        }
