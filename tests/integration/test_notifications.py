# SPDX-License-Identifier: MIT
"""collectd's notifications as events: an exceeded limit, and the pipeline's
own."""

import json

from harness import build
from harness.collectd import BOTH, HOST, STOCK_PLUGINS, block
from harness.events import event
from harness.process import free_port
from harness.wait import wait_until

LIMIT = """\
LoadPlugin threshold
<Plugin threshold>
  <Plugin "aurore">
    Instance "buffer"
    <Type "buffer_size">
      FailureMax 5
    </Type>
  </Plugin>
  <Plugin "probe">
    <Type "gauge">
      WarningMax 10
      FailureMax 100
    </Type>
  </Plugin>
</Plugin>
"""


def collectd(programs, database, buffer=None, **writer):
    """With limits beside the pipeline."""
    options = {"Notifications": True, **writer}
    made = programs.collectd(database, buffer, options)
    made.port = free_port()
    made.buffer["Listen"] = f"127.0.0.1:{made.port}"
    parts = [f'PluginDir "{STOCK_PLUGINS}"', LIMIT]
    parts.append(f'PluginDir "{build.plugin_directory()}"')
    for plugin, options in zip(BOTH, (made.buffer, made.writer)):
        parts += [f"LoadPlugin {plugin}", block(plugin, options)]
    made.text = "\n".join(parts)
    return made


def stored(database, service):
    """(message, metadata) of the service's events, in the order of acceptance."""
    if not database.has_schema():
        return []
    return [
        (message, json.loads(metadata or "null"))
        for message, metadata in database.rows(
            "SELECT message, metadata::text FROM aurore.event WHERE service = %s"
            " ORDER BY ingested_at, event_id",
            (service,),
        )
    ]


def put(api, value):
    answer = api.command(f'PUTVAL "{HOST}/probe-here/gauge-x" interval=100 N:{value}')
    assert answer.startswith("0 "), answer


def test_a_limit_that_is_passed_is_an_event(programs, database):
    api = collectd(programs, database).start()
    put(api, 1)

    def severities():
        return [
            metadata["severity"]
            for _, metadata in stored(database, "collectd/probe")
        ]

    for value, severity in ((11, "warning"), (101, "failure"), (1, "okay")):
        put(api, value)
        wait_until(
            lambda: severities()[-1:] == [severity], 30, f"{severity} is not stored"
        )
    found = stored(database, "collectd/probe")
    assert len(found) == len(set(severities())) + (severities()[0] == "okay")
    message, metadata = found[-2]
    assert "101" in message and "failure" in message
    assert metadata["severity"] == "failure"
    assert metadata["host"] == HOST
    assert metadata["plugin"] == "probe"
    assert metadata["plugin_instance"] == "here"
    assert metadata["type"] == "gauge"
    assert metadata["type_instance"] == "x"
    # What the threshold plugin says beside: its limits, and the value.
    assert metadata["meta"]["CurrentValue"] == 101
    assert metadata["meta"]["FailureMax"] == 100
    assert metadata["meta"]["DataSource"] == "value"
    # They are events like any other.
    figures = api.rest()
    assert figures.get("events_enqueued_total") == database.stored()
    assert database.counted() == database.stored()


def test_any_text_is_stored(programs, database):
    """What no threshold would say: by collectd's own command."""
    api = collectd(programs, database).start()
    for number, message in enumerate(('say "it" \\ <b>', "é😀", "x" * 255)):
        escaped = message.replace("\\", "\\\\").replace('"', '\\"')
        answer = api.command(
            f'PUTNOTIF message="{escaped}" severity=warning time={1700000000 + number}'
            " plugin=by_hand"
        )
        assert answer.startswith("0 "), answer
        wait_until(
            lambda: [one for one, _ in stored(database, "collectd/by_hand")][-1:]
            == [message],
            30,
            lambda: f"{message} is not stored",
        )
    assert database.value(
        "SELECT min(extract(epoch FROM occurred_at))::bigint FROM aurore.event"
        " WHERE service = 'collectd/by_hand'"
    ) == 1700000000
    answer = api.command('PUTNOTIF message="no plugin" severity=okay time=1700000000')
    assert answer.startswith("0 "), answer
    wait_until(
        lambda: [one for one, _ in stored(database, "collectd")] == ["no plugin"],
        30,
        "it is not stored",
    )


def test_the_pipeline_s_own(programs, own_postgres, tmp_path):
    """The breaker's are told while the database is away, and stored when it is
    back: told by threads of the pipeline itself."""
    database = programs.database(own_postgres)
    api = collectd(programs, database, {"SpoolDirectory": tmp_path / "spool"})
    api.start()
    api.accept(event())
    wait_until(lambda: stored(database, "test"), 30, "the event is not stored")
    own_postgres.stop()
    api.accept(event())
    api.wait_metric("circuit_breaker_state", 1)
    own_postgres.start()

    def told():
        return [
            metadata["severity"]
            for _, metadata in stored(database, "collectd/aurore")
            if metadata["type"] == "circuit_breaker_state"
        ]

    wait_until(lambda: told()[-1:] == ["okay"], 60, "its end is not stored")
    assert told()[0] == "failure"
    figures = api.rest()
    assert figures.get("events_enqueued_total") == database.stored()


def test_while_the_buffer_is_full(programs):
    """That it is full cannot be stored then: it is counted, and ends."""
    nowhere = "host=/nonexistent dbname=x"
    writer = {"ShutdownTimeout": 0.1, "BreakerTimeout": 3600}
    api = collectd(programs, nowhere, {"Capacity": 10}, **writer)
    api.expected_status = 1  # what waits in memory is lost
    api.start()
    while api.post(event()).status_code == 202:
        pass
    wait_until(
        lambda: "severity = FAILURE, host = testhost, plugin = aurore,"
        " plugin_instance = buffer, type = buffer_size" in api.log(),
        30,
        "the limit is not told",
    )
    api.wait_metric("circuit_breaker_state", 1)
    before = api.metrics().get("events_dropped_total")
    answer = api.command('PUTNOTIF message="one more" severity=okay time=1700000000')
    assert answer.startswith("0 "), answer
    wait_until(
        lambda: api.metrics().get("events_dropped_total") > before,
        30,
        "it is not counted",
    )
    assert api.metrics().get("buffer_size") == 10
    assert api.metrics().get("events_enqueued_total") == 10


def test_not_unless_it_is_asked_for(programs, database):
    api = collectd(programs, database, Notifications=False).start()
    put(api, 101)
    api.wait_log("severity = FAILURE, host = testhost, plugin = probe")
    api.accept(event())
    database.wait_stored(1)  # and never more
