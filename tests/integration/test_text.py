# SPDX-License-Identifier: MIT
"""Text is stored as it was sent, byte for byte."""

import json

import pytest

from harness.events import ESCAPES, TEXTS, TIMESTAMP, event, stored_events
from harness.wait import wait_until


def stored_bytes(api, event_id):
    """Service and message as the bytes that PostgreSQL holds."""
    sql = (
        "SELECT convert_to(service, 'UTF8'), convert_to(message, 'UTF8')"
        " FROM aurore.event WHERE event_id = %s"
    )
    wait_until(
        lambda: api.database.has_schema()
        and api.database.rows(sql, (event_id,)),
        30,
        "the event is not stored",
    )
    (row,) = api.database.rows(sql, (event_id,))
    return tuple(bytes(column) for column in row)


@pytest.mark.parametrize("plain", [True, False], ids=["UTF-8", "escapes"])
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_text(api, text, plain):
    service = text[:100] + "s"
    sent = event(text, service[:100], metadata={text: [text, {"k": text}]})
    (event_id,) = api.accept(json.dumps(sent, ensure_ascii=not plain))
    assert stored_bytes(api, event_id) == (
        service[:100].encode(),
        text.encode(),
    )
    found = stored_events(api.database, "event_id = %s", (event_id,))
    assert found[event_id][3] == {text: [text, {"k": text}]}


@pytest.mark.parametrize("raw, text", ESCAPES)
def test_escapes(api, raw, text):
    body = (
        f'{{"timestamp": "{TIMESTAMP}", "service": "s{raw}", "message": "{raw}",'
        f' "metadata": {{"{raw}": "{raw}"}}}}'
    )
    (event_id,) = api.accept(body)
    assert stored_bytes(api, event_id) == (
        ("s" + text).encode(),
        text.encode(),
    )
    found = stored_events(api.database, "event_id = %s", (event_id,))
    assert found[event_id][3] == {text: text}


def test_names_of_fields_may_be_escaped(api):
    body = json.dumps(event("by escapes")).replace('"message"', r'"mess\u0061ge"')
    (event_id,) = api.accept(body)
    assert stored_bytes(api, event_id)[1] == b"by escapes"


def test_every_code_point(api):
    """All that UTF-8 can say but NUL, in messages of the largest size."""
    codes = [
        code
        for code in range(1, 0x110000, 37)
        if not 0xD800 <= code <= 0xDFFF
    ]
    texts = [
        "".join(map(chr, codes[at : at + 2000]))
        for at in range(0, len(codes), 2000)
    ]
    ids = api.accept([event(text) for text in texts])
    for event_id, text in zip(ids, texts):
        assert stored_bytes(api, event_id)[1] == text.encode()
