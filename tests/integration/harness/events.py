# SPDX-License-Identifier: MIT
"""Events to send, and what the database must then hold."""

import json
import random
import re
from datetime import datetime, timedelta, timezone
from decimal import Decimal

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
UUID7 = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
)
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")

TIMESTAMP = "2026-03-14T15:09:26.535897Z"
TIMESTAMP_US = 1773500966535897


def event(message="hello", service="test", **fields):
    """An event that is fine unless the fields say otherwise; a field that is
    given as None is left out."""
    made = {"timestamp": TIMESTAMP, "service": service, "message": message}
    made.update(fields)
    return {name: value for name, value in made.items() if value is not None}


def microseconds(moment):
    """A datetime as microseconds since 1970."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def is_now(us):
    """Whether microseconds since 1970 are a time of this test."""
    moment = EPOCH + timedelta(microseconds=us)
    return abs(datetime.now(timezone.utc) - moment) < timedelta(hours=1)


# --- texts that must come back byte for byte ----------------------------------

TEXTS = {
    "ascii": "".join(chr(code) for code in range(0x20, 0x7F)),
    "control": "".join(chr(code) for code in range(0x01, 0x20)) + "\x7f",
    "backslashes": "\\ \\\\ \\n \\N \\. \\u0041 \\x41 \\101",
    "quotes": "' '' \" \"\" ` $$ $tag$ E'\\''",
    "markup": "<script>alert('x & y');</script><!-- --><a href=\"x\">&amp;&lt;",
    "percent": "%s %n %% %25 {} ${HOME} {{7*7}} #{1}",
    "sql": "'); DROP TABLE aurore.event; --",
    "newlines": "one\ntwo\r\nthree\rfour\u2028five\u2029six\u0085seven",
    "tabs": "\tin\tbetween\t",
    "spaces": "  leading and trailing  ",
    "wide spaces": "x\u00a0y\u2003z\u3000\ufeff",
    "latin": "Zażółć gęślą jaźń, Größe, naïve, Ærøskøbing",
    "greek": "Ελληνικά πολυτονικό ᾄδω",
    "hebrew and arabic": "שלום مرحبا \u202eright to left\u202c",
    "cjk": "日本語 한국어 中文繁體",
    "astral": "😀 𝄞 𠜎 🏴\U000e0067\U000e0062\U000e007f \U0010ffff",
    "emoji sequence": "👩‍👩‍👧‍👦 👋🏽 🇩🇰 ✈️",
    "composed": "\u00e9 \u00f1",
    "decomposed": "e\u0301 n\u0303 \u1112\u1161\u11ab",
    "stacked marks": "Z\u0351\u036b\u0343\u036a\u0302\u036b\u033d a\u0300\u0316",
    "noncharacters": "\ufffe \uffff \ufdd0 \U0001ffff",
    "replacement": "\ufffd",
    "byte order mark": "\ufeffin front",
    "zero width": "a\u200bb\u200cc\u200dd",
    "json": '{"timestamp": "2026", "service": [1, null], "message": {}}',
    "copy": "\\.\n\\N\t\x0b",
}

# How JSON may write a text: (what is sent between the quotes, what it means).
ESCAPES = [
    (r"\" \\ \/ \b \f \n \r \t", '" \\ / \b \f \n \r \t'),
    (r"\u0041\u00e9\u00E9\u20ac", "A\u00e9\u00e9\u20ac"),
    (r"\ud83d\ude00\uD83D\uDE00", "😀😀"),
    (r"\ud800\udc00 \udbff\udfff", "\U00010000 \U0010ffff"),
    (r"\u0001\u001f\u007f\u0080", "\x01\x1f\x7f\x80"),
    (r"\\u0000 \\ud800", r"\u0000 \ud800"),
    (r"\u005cu0000", r"\u0000"),
    (r"\u2028\u2029\ufeff\uffff", "\u2028\u2029\ufeff\uffff"),
    ("\u007f", "\u007f"),
]


class Maker:
    """Makes events of every kind out of a seed: each is another one."""

    def __init__(self, seed):
        self._random = random.Random(seed)
        self._texts = list(TEXTS.values())
        self._number = 0

    def _timestamp(self):
        """A way to write an instant, and its microseconds."""
        us = self._random.randrange(0, 4102444800 * 1000000)
        moment = EPOCH + timedelta(microseconds=us)
        kind = self._random.randrange(5)
        if kind == 0:
            seconds = us // 1000000
            return seconds, seconds * 1000000
        if kind == 1:
            # Below that a number means seconds.
            ms = max(us // 1000, 100000000000)
            return ms, ms * 1000
        if kind == 2:
            text = moment.strftime("%Y-%m-%dT%H:%M:%S")
            return text + f".{us % 1000000:06d}789Z", us
        if kind == 3:
            local = moment.astimezone(timezone(timedelta(hours=5, minutes=30)))
            return local.isoformat(timespec="microseconds"), us
        text = moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{us // 1000 % 1000:03d}Z"
        return text, us // 1000 * 1000

    def _metadata(self):
        number = self._number
        return self._random.choice(
            [
                None,
                None,
                {},
                {"request": number, "user": f"user-{number % 97}"},
                {"ratio": number / 7, "big": 10**30 + number, "flag": number % 2 == 0},
                {"nested": {"list": [1, [2, {"three": None}]], "text": "é😀\n"}},
                {self._random.choice(self._texts): self._random.choice(self._texts)},
            ]
        )

    def make(self):
        """An event, and the microseconds of its timestamp."""
        self._number += 1
        timestamp, us = self._timestamp()
        text = self._random.choice(self._texts)
        made = {
            "timestamp": timestamp,
            "service": f"service {self._random.randrange(20)}",
            "message": f"{self._number} {text}",
            "metadata": self._metadata(),
        }
        if made["metadata"] is None:
            del made["metadata"]
        return made, us


# --- what is stored ------------------------------------------------------------


def _json(text):
    """Numbers exactly, as jsonb compares them."""
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


def as_stored(sent, us):
    """What must be stored of an event: a tuple as of stored_events."""
    metadata = sent.get("metadata")
    return (
        us,
        sent["service"],
        sent["message"],
        None if metadata is None else _json(json.dumps(metadata)),
    )


def stored_events(database, where="true", values=None):
    """What is stored: {event id: (occurred_at, service, message, metadata)}.
    Every id must be there once."""
    rows = database.rows(
        "SELECT event_id::text,"
        " (extract(epoch FROM occurred_at) * 1000000)::bigint,"
        " service, message, metadata::text"
        f" FROM aurore.event WHERE {where}",
        values,
    )
    found = {}
    for event_id, us, service, message, metadata in rows:
        assert event_id not in found, f"{event_id} is stored twice"
        found[event_id] = (
            us,
            service,
            message,
            None if metadata is None else _json(metadata),
        )
    return found
