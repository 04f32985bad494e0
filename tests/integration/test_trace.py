# SPDX-License-Identifier: MIT
"""TraceContext: events bear the trace of the request that brought them."""

import http.client
import json

import pytest

from harness.events import event

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
HEADER = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
BOTH = {"traceId": TRACE, "spanId": SPAN}


def stored(api, events, headers):
    """The metadata of all that is stored, by message, after these were sent."""
    before = api.database.stored()
    body = "\n".join(json.dumps(one) for one in events)
    answer = api.post(body, "application/x-ndjson", headers=headers)
    assert answer.status_code == 202, answer.text
    api.database.wait_stored(before + len(events))
    return dict(api.database.rows("SELECT message, metadata FROM aurore.event"))


@pytest.fixture(scope="module")
def traced(postgres, module_programs):
    database = module_programs.database(postgres)
    return module_programs.collectd(database, {"TraceContext": True}).start()


def test_events_bear_the_trace_of_their_request(traced):
    found = stored(
        traced,
        [
            event("traced none", metadata=None),
            event("traced empty", metadata={}),
            event("traced some", metadata={"a": 1}),
            event("traced own", metadata={"traceId": "mine", "b": 2}),
            event("traced most", metadata={f"k{i}": i for i in range(100)}),
        ],
        HEADER,
    )
    assert found["traced none"] == BOTH
    assert found["traced empty"] == BOTH
    assert found["traced some"] == {**BOTH, "a": 1}
    assert found["traced own"] == {"traceId": "mine", "spanId": SPAN, "b": 2}
    assert found["traced most"]["traceId"] == TRACE
    assert len(found["traced most"]) == 102


@pytest.mark.parametrize("header", ["", "00-1-2-3", HEADER["traceparent"].upper()])
def test_what_is_no_trace_is_passed_over(traced, header):
    message = f"not traced {header}"
    found = stored(traced, [event(message, metadata=None)], {"traceparent": header})
    assert found[message] is None


def test_the_next_request_on_a_connection_has_its_own(traced):
    before = traced.database.stored()
    connection = http.client.HTTPConnection("127.0.0.1", traced.port)
    for name, more in (("first", HEADER), ("second", {})):
        body = json.dumps(event(f"reused {name}", metadata=None))
        headers = {"Content-Type": "application/json", **more}
        connection.request("POST", "/events", body, headers)
        assert connection.getresponse().read()
    connection.close()
    traced.database.wait_stored(before + 2)
    found = dict(traced.database.rows("SELECT message, metadata FROM aurore.event"))
    assert found["reused first"] == BOTH and found["reused second"] is None


def test_without_the_option_nothing_is_added(api):
    found = stored(api, [event("off", metadata={"a": 1})], HEADER)
    assert found["off"] == {"a": 1}
