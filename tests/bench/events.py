# SPDX-License-Identifier: MIT
"""The events that the benchmark sends: the same ones as JSON for the HTTP
servers and as COPY tuples for the bare COPY."""

import calendar
import json
import random
import struct
import time
import uuid

SERVICES = [f"service-{number:02d}" for number in range(20)]
REGIONS = ["eu-west-1", "eu-north-1", "us-east-1"]
WORDS = """request served from cache connection reset by peer user signed in
payment accepted order shipped retry scheduled after timeout upstream answered
slowly worker started job finished in queue token refreshed session closed""".split()

POSTGRES_EPOCH_S = 946684800
MESSAGE_LENGTH = 100


def make(count):
    """Events of the last minute, as dictionaries that are ready for JSON."""
    source = random.Random(1)  # the same events in every run
    now = time.time()
    events = []
    for number in range(count):
        at = now - 60 + 60 * number / count
        whole = int(at)
        message = ""
        while len(message) < MESSAGE_LENGTH:
            message += source.choice(WORDS) + " "
        events.append({
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
            + f".{int((at - whole) * 1000):03d}Z",
            "service": source.choice(SERVICES),
            "message": message[:MESSAGE_LENGTH],
            "metadata": {
                "user": source.randrange(1000000),
                "region": source.choice(REGIONS),
                "trace": f"{source.getrandbits(64):016x}",
            },
        })
    return events


def compact(value):
    return json.dumps(value, separators=(",", ":"))


def write_bodies(path, events, size):
    """One body a line: "size" events each, as an array, or one as an object."""
    with open(path, "w", encoding="ascii") as file:
        for start in range(0, len(events), size):
            part = events[start:start + size]
            file.write(compact(part if size > 1 else part[0]) + "\n")


def random_id(_):
    """Version 4: anywhere in an index."""
    return str(uuid.UUID(int=random.getrandbits(128), version=4))


def growing_id(us):
    """Version 7: at the end of an index."""
    low = random.getrandbits(74)
    return str(uuid.UUID(int=us // 1000 << 80 | 7 << 76 | low >> 62 << 64 | 2 << 62
                         | low & (1 << 62) - 1))


def write_different(path, events, count, size, make_id):
    """As write_bodies, with "count" events of which no two are the same: their
    times grow, and each has an id, if there is something that makes one."""
    start = time.time_ns() // 1000 - 60000000
    with open(path, "w", encoding="ascii") as file:
        part = []
        for number in range(count):
            us = start + 60000000 * number // count
            event = dict(events[number % len(events)])
            event["timestamp"] = us / 1000
            event["metadata"] = {**event["metadata"], "trace": f"{number:016x}"}
            if make_id is not None:
                event["event_id"] = make_id(us)
            part.append(event)
            if len(part) == size:
                file.write(compact(part if size > 1 else part[0]) + "\n")
                part = []


def microseconds(timestamp):
    """The event time as PostgreSQL keeps it."""
    whole = time.strptime(timestamp[:19], "%Y-%m-%dT%H:%M:%S")
    seconds = calendar.timegm(whole) - POSTGRES_EPOCH_S
    return seconds * 1000000 + int(timestamp[20:23]) * 1000


def field(data):
    return struct.pack("!i", len(data)) + data


def tuple_of(event):
    """A tuple of ingested_at, event_id, occurred_at, service, message and
    metadata; bare_copy puts its own values into the first two."""
    fields = [
        struct.pack("!q", 0),
        uuid.UUID(int=0).bytes,
        struct.pack("!q", microseconds(event["timestamp"])),
        event["service"].encode(),
        event["message"].encode(),
        b"\x01" + compact(event["metadata"]).encode(),
    ]
    return struct.pack("!h", len(fields)) + b"".join(map(field, fields))


def write_tuples(path, events):
    with open(path, "wb") as file:
        for event in events:
            data = tuple_of(event)
            file.write(struct.pack("=I", len(data)) + data)
