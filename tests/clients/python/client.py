# SPDX-License-Identifier: MIT
"""A client by openapi-python-client: posts one event and several, lists them, reads
the dead letters, and prints what it was told."""

import json
import sys

from generated import Client
from generated.api.dead_letters import get_dead_letter, list_dead_letters
from generated.api.events import accept_events, list_events
from generated.models import Event, MetadataType0, StatusError

url, service = sys.argv[1:]
client = Client(base_url=url)


def event(message, timestamp):
    metadata = MetadataType0.from_dict({"from": service, "nested": {"n": 1}})
    return Event(timestamp=timestamp, service=service, message=message, metadata=metadata)


def post(body):
    answer = accept_events.sync_detailed(client=client, body=body, prefer="wait=20")
    assert answer.status_code == 201, answer
    return answer.parsed


one = post(event("one", "2026-11-24T08:24:26.123Z"))
many = post([event("two", 1795508667), event("three", 1795508668.5)])
page = list_events.sync(
    client=client, service=service, from_="2026-11-24", to="2026-11-25", sort_order="ASC"
)
first = list_dead_letters.sync(client=client, limit=10).events[0]
letter = get_dead_letter.sync(client=client, id=first.id)
missing = get_dead_letter.sync(client=client, id="01936b6e-0f5a-4d3e-8a1b-0123456789ab")
assert isinstance(missing, StatusError)
print(
    json.dumps(
        {
            "one": str(one.event_id),
            "many": [str(identifier) for identifier in many.event_ids],
            "listed": [
                [str(item.event_id), item.message, item.metadata["from"]] for item in page.items
            ],
            "dead": [str(first.event_id), first.sql_state, letter.original_event.message],
            "missing": missing.error_code.value,
        }
    )
)
