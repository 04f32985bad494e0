# SPDX-License-Identifier: MIT
"""Configuring collectd: options and their errors, load orders, missing
plugins, ports in use."""

import itertools
import re
import socket

import pytest

from harness import build
from harness.collectd import BOTH, block
from harness.events import event
from harness.process import free_port
from harness.wait import wait_until


# --- collectd -T ------------------------------------------------------------------


def test_a_good_configuration(programs, database):
    api = programs.collectd(database)
    assert api.check_config() == 0, api.log()
    assert not [line for line in api.complaints() if "aurore" in line]


def test_a_good_configuration_without_a_database(programs):
    api = programs.collectd("host=/nonexistent dbname=x")
    assert api.check_config() == 0, api.log()


def test_every_default(programs, database):
    """The contract's defaults, written out, are allowed."""
    api = programs.collectd(
        database,
        {
            "Listen": f"127.0.0.1:{free_port()}",
            "SpoolDirectory": "",
            "SyncInterval": 0.2,
            "Capacity": 1000000,
            "MaxBytes": "1GiB",
            "Lanes": 1,
            "Threads": 2,
            "MaxConnections": 1024,
            "MaxConnectionsPerAddress": 256,
            "RequestTimeout": 10,
            "KeepAliveTimeout": 65,
            "MaxBodyBytes": "1MiB",
            "MaxBatchEvents": 10000,
            "ServiceMaxLength": 100,
            "MessageMaxLength": 2000,
            "MetadataMaxBytes": "16KiB",
            "MetadataMaxKeys": 100,
            "MetadataMaxDepth": 5,
            "RateLimit": 0,
            "RateLimitPerAddress": 0,
            "TokenFile": "",
            "TLSCertificate": "",
            "TLSKey": "",
            "TLSClientCA": "",
            "AllowOrigin": "",
            "HistoryFile": "",
            "HistoryInterval": 60,
            "HistoryMaxBytes": "16MiB",
            "KeepStored": 600,
            "KeepStoredBytes": "256MiB",
            "Lenient": False,
            "Once": "none",
            "AcceptedStatus": 0,
            "OtlpMaxBodyBytes": "16MiB",
            "OtlpMaxRecords": 50000,
            "BodyMemory": "96MiB",
            "TraceContext": False,
            "DrainTime": 0,
        },
        {
            "BatchSize": 5000,
            "DrainInterval": 0.1,
            "ShutdownTimeout": 30,
            "StatementTimeout": 30,
            "ConnectTimeout": 5,
            "BreakerFailures": 5,
            "BreakerSuccesses": 2,
            "BreakerTimeout": 1,
            "BackoffMin": 0.1,
            "BackoffMax": 2,
            "RetentionDays": 30,
            "RetentionTime": "02:00",
            "BusinessInterval": 10,
            "BusinessServices": 50,
            "SlowQuery": 1.0,
            "QueryMaxDays": 30,
            "QueryTimeout": 30,
            "QueryConnections": 2,
            "DedupWindow": 86400,
            "AsyncCommit": False,
            "Notifications": False,
        },
    )
    assert api.check_config() == 0, api.log()
    assert not [line for line in api.complaints() if "aurore:" in line]


def ranges():
    """{side: {option: (least, most)}}, as the installed file tells them."""
    found = {}
    text = (build.TOP / "conf.d" / "aurore.conf").read_text()
    for side in BOTH:
        lines = text.partition(f"<Plugin {side}>")[2].partition("</Plugin>")[0]
        joined = re.sub(r"\n +# (?=\S)", " ", lines)
        found[side] = {
            option: (least, most)
            for least, most, option in re.findall(
                r"Range: (\S+) to (\S+)\.\s+#(\w+) ", joined
            )
        }
    assert sum(len(options) for options in found.values()) > 40
    return found


def beyond(bound, step):
    """A number that is a step above or below a bound, however that is written."""
    number, unit = re.fullmatch(r"([\d.]+)(\w*)", bound).groups()
    exponent = ["", "KiB", "MiB", "GiB", "TiB"].index(unit)
    value = float(number) * 1024**exponent
    return f"{value + step * min(1, value / 2 or 1):.15g}"


def set_all(api, value_of):
    for side, options in ((api.buffer, "event_buffer"), (api.writer, "event_writer")):
        for option, bounds in ranges()[options].items():
            if option != "DrainTime":  # collectd -T would wait for it
                side[option] = value_of(bounds)


@pytest.mark.parametrize("which", [0, 1], ids=["least", "most"])
def test_the_bounds_of_every_number(programs, which):
    """Are allowed; what is beyond is refused with both of them, one line each."""
    api = programs.collectd("host=/nonexistent dbname=x")
    set_all(api, lambda bounds: bounds[which])
    assert api.check_config() == 0, api.log()
    api = programs.collectd("host=/nonexistent dbname=x")
    set_all(api, lambda bounds: beyond(bounds[which], 2 * which - 1))
    assert api.check_config() == 1
    for options in ranges().values():
        for option, (least, most) in options.items():
            told = [
                line
                for line in api.complaints()
                if f'"{option}"' in line and f"({least} to {most})" in line
            ]
            assert len(told) == (option != "DrainTime"), (option, api.log())
            assert all(str(api.config_path) in line for line in told)


@pytest.mark.parametrize(
    "side, option, value, told",
    [
        ("buffer", "Capacty", 5, ["Capacity"]),
        ("writer", "Listen", "127.0.0.1:3000", ["event_writer"]),
        ("buffer", "BatchSize", 5, ["event_buffer"]),
        ("buffer", "Capacity", 0, ["1", "1000000000"]),
        ("buffer", "Capacity", 1.5, ["whole"]),
        ("buffer", "Capacity", "many", ["number"]),
        ("buffer", "Capacity", True, []),
        ("buffer", "MaxBytes", "1 bushel", ["KiB", "MiB", "GiB"]),
        ("buffer", "MaxBytes", "1KiB", ["64KiB", "1TiB"]),
        ("buffer", "Lanes", 17, ["1", "16"]),
        ("buffer", "Lanes", -1, ["1", "16"]),
        ("buffer", "Threads", 1000, ["1", "64"]),
        ("buffer", "Durability", "sometimes", ["commit", "interval", "memory"]),
        ("buffer", "Durability", "commit", ["SpoolDirectory"]),
        ("buffer", "SyncInterval", 0, ["0.01", "60"]),
        ("buffer", "Listen", "localhost", ["PORT"]),
        ("buffer", "Listen", "127.0.0.1:99999", ["PORT"]),
        ("buffer", "Listen", "unix:", []),
        ("buffer", "AllowOrigin", "null", ["*", "SCHEME://HOST"]),
        ("buffer", "AllowOrigin", "https://a.example/", ["*", "SCHEME://HOST"]),
        ("buffer", "TLSKey", "/etc/hostname", ["TLSCertificate"]),
        ("buffer", "TokenFile", "/nonexistent/tokens", ["/nonexistent/tokens"]),
        ("writer", "BatchSize", 0, ["1", "100000"]),
        ("writer", "DrainInterval", -1, ["0.001", "3600"]),
        ("writer", "RetentionTime", "25:00", ["00:00", "23:59"]),
        ("writer", "RetentionTime", 2, ["00:00", "23:59"]),
        ("writer", "BackoffMin", 31, ["BackoffMax"]),
        ("writer", "Notifications", "perhaps", ["true", "false"]),
        ("writer", "ConnInfo", 5, []),
        ("writer", "ConnInfo", "dbnmae=events", ["string", "URI", "invalid"]),
        ("writer", "ConnInfo", "dbname='events", ["unterminated"]),
        ("writer", "ConnInfo", "postgresql://[::1/events", ["URI"]),
        ("writer", "ConnInfo", "user=me password=my geheimnis", ["missing"]),
    ],
)
def test_a_bad_option(programs, database, side, option, value, told):
    """It is named, with what is allowed and where to look; nothing starts."""
    api = programs.collectd(database)
    (api.buffer if side == "buffer" else api.writer)[option] = value
    assert api.check_config() == 1, api.log()
    lines = [line for line in api.complaints() if option in line]
    assert lines, api.log()
    assert all(word in lines[0] for word in told), lines[0]
    assert str(api.config_path) in lines[0]
    assert "geheimnis" not in api.log()


def test_all_bad_options_are_told_at_once(programs, database):
    api = programs.collectd(
        database, {"Lanes": 99, "Nonsense": 1}, {"BatchSize": 0}
    )
    assert api.check_config() == 1
    for option in ("Lanes", "Nonsense"):
        assert any(f'"{option}"' in line for line in api.complaints())


def test_a_bad_option_stops_collectd(programs, database):
    """Not only with -T."""
    api = programs.collectd(database, {"Lanes": 99})
    api.expected_status = 1
    api.start_only()
    assert api.process.wait() == 1
    assert '"Lanes"' in api.log()


def test_a_block_within_a_block(programs, database):
    api = programs.collectd(
        database,
        text='LoadPlugin event_buffer\n<Plugin event_buffer>\n <Listen "x">\n'
        " </Listen>\n</Plugin>",
    )
    assert api.check_config() == 1
    assert "Listen" in "".join(api.complaints())


def test_two_values(programs, database):
    api = programs.collectd(
        database,
        text='LoadPlugin event_buffer\n<Plugin event_buffer>\n Lanes 1 2\n</Plugin>',
    )
    assert api.check_config() == 1
    assert '"Lanes"' in "".join(api.complaints())


def test_names_of_options_have_no_case(programs, database):
    port = free_port()
    api = programs.collectd(
        database, {"LISTEN": f"127.0.0.1:{port}", "lanes": 1}
    )
    assert api.check_config() == 0, api.log()


# --- load orders and numbers ---------------------------------------------------------


@pytest.mark.parametrize("order", itertools.permutations(BOTH))
@pytest.mark.parametrize("spool", [False, True], ids=["memory", "directory"])
def test_both_orders(programs, database, order, spool):
    api = programs.collectd(database, load=order)
    if spool:
        api.buffer["SpoolDirectory"] = api.directory / "spool"
    api.start()
    api.accept([event() for _ in range(10)])
    database.wait_stored(10)
    assert api.rest().get("events_processed_total") == 10
    # What waits is stored at the end, in either order.
    api.writer["DrainInterval"] = 3600
    assert api.stop() == 0
    api.start()
    api.accept([event() for _ in range(10)])
    assert api.stop() == 0
    assert database.stored() == 20


def test_the_blocks_of_both_may_come_first_and_last(programs, database):
    """LoadPlugin of both, then the blocks in the other order."""
    api = programs.collectd(database)
    port = free_port()
    api.text = "\n".join(
        [
            "LoadPlugin event_buffer",
            "LoadPlugin event_writer",
            block("event_writer", {"ConnInfo": database.conninfo, "BatchSize": 2}),
            block("event_buffer", {"Listen": f"127.0.0.1:{port}"}),
        ]
    )
    api.port = port
    api.start()
    api.wait_ready()
    api.accept(event())
    database.wait_stored(1)


def test_configured_twice(programs, database):
    """The blocks add up; what is said later replaces what was said before."""
    api = programs.collectd(database)
    ports = [free_port(), free_port()]
    api.text = "\n".join(
        [
            "LoadPlugin event_buffer",
            block("event_buffer", {"Capacity": 5, "Listen": f"127.0.0.1:{ports[0]}"}),
            "LoadPlugin event_writer",
            block("event_writer", {"ConnInfo": database.conninfo, "BatchSize": 1}),
            block("event_buffer", {"Capacity": 7, "Listen": f"127.0.0.1:{ports[1]}"}),
            block("event_writer", {"ConnInfo": database.conninfo}),
        ]
    )
    api.port = ports[0]
    api.start()
    for port in ports:
        wait_until(
            lambda: api.process.listens_on(port), 30, "does not listen"
        )
        api.port = port
        api.wait_ready()
        api.accept(event())
    assert api.metrics().get("buffer_capacity") == 7
    database.wait_stored(2)


def test_two_databases(programs, database):
    """Which one was meant? The events must not go to the wrong one unnoticed."""
    api = programs.collectd(database)
    api.text = "\n".join(
        [
            "LoadPlugin event_buffer",
            block("event_buffer", {"Listen": f"127.0.0.1:{free_port()}"}),
            "LoadPlugin event_writer",
            block("event_writer", {"ConnInfo": "host=one password=secret"}),
            block("event_writer", {"ConnInfo": "postgresql://me:secret@two/events"}),
        ]
    )
    assert api.check_config() != 0
    log = api.log()
    assert 'option "ConnInfo" of the plugin event_writer is set twice' in log
    assert 'to "host=one password=..." and to "postgresql://...@two/events"' in log
    assert "secret" not in log


@pytest.mark.parametrize("option", ["SpoolDirectory", "HistoryFile", "TLSKey"])
def test_two_files(programs, database, option):
    """As with two databases; the same one twice is no contradiction."""
    api = programs.collectd(database, {option: ["/nowhere/one", "/nowhere/two"]})
    assert api.check_config() == 1
    (line,) = [line for line in api.complaints() if "set twice" in line]
    assert f'"{option}"' in line and '"/nowhere/one" and to "/nowhere/two"' in line


@pytest.mark.parametrize(
    "buffer, named",
    [
        ({}, ["SpoolDirectory", "KeepStored"]),
        ({"KeepStored": 0}, ["KeepStored"]),
        ({"KeepStoredBytes": 0}, ["KeepStored"]),
    ],
)
@pytest.mark.parametrize("order", itertools.permutations(BOTH))
def test_commits_that_nothing_makes_up_for(programs, database, order, buffer, named):
    """Whichever block comes first."""
    api = programs.collectd(database, buffer, {"AsyncCommit": True}, load=order)
    if buffer:
        api.buffer["SpoolDirectory"] = api.directory / "spool"
    assert api.check_config() == 1
    (line,) = [line for line in api.complaints() if '"AsyncCommit"' in line]
    assert all(f'"{name}"' in line for name in named)
    assert str(api.config_path) in line


def test_a_block_before_its_plugin(programs, database):
    """collectd ignores the block, so the defaults hold; that is no crash."""
    api = programs.collectd(
        database,
        text="\n".join(
            [
                block("event_writer", {"ConnInfo": database.conninfo}),
                "LoadPlugin event_writer",
            ]
        ),
    )
    assert api.check_config() == 0, api.log()
    assert any("event_writer" in line for line in api.complaints())


def test_no_options_at_all(programs, database):
    """Also the default address may be in use on this machine; it still starts
    and ends in order."""
    api = programs.collectd(
        database, text="LoadPlugin event_buffer\nLoadPlugin event_writer"
    )
    assert api.check_config() == 0, api.log()


# --- one of the two is missing -----------------------------------------------------------


def test_without_the_writer(programs, database):
    api = programs.collectd(database, load=("event_buffer",))
    api.start()
    api.wait_log("event_writer is not loaded")
    api.accept([event() for _ in range(10)])
    assert api.metrics().get("buffer_size") == 10
    api.expected_status = 1
    assert api.stop() == 1
    assert "10 accepted events are lost" in api.log()


def test_without_the_writer_and_with_a_directory(programs, database):
    """The writer comes later, and stores what is there."""
    api = programs.collectd(database, load=("event_buffer",))
    api.buffer["SpoolDirectory"] = api.directory / "spool"
    api.start()
    api.accept([event() for _ in range(10)])
    assert api.stop() == 0
    assert "10 events remain in the spool" in api.log()
    api.load = BOTH
    api.start()
    database.wait_stored(10)


def test_without_the_buffer(programs, database):
    api = programs.collectd(database, load=("event_writer",)).start()
    api.wait_log("event_buffer is not loaded")
    assert api.command("FLUSH").startswith("0 ")
    assert api.stop() == 0


# --- ports ---------------------------------------------------------------------------------


def test_a_port_in_use(programs, database):
    """Told once, tried again, and it works as soon as the port is free."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        other = free_port()
        api = programs.collectd(
            database, {"Listen": [f"127.0.0.1:{port}", f"127.0.0.1:{other}"]}
        )
        api.port = other
        api.start()
        # The other address is served, and the health tells the truth.
        api.wait_ready()
        api.accept(event("at the other port"))
        api.wait_metric("health_status", 0)
        told = [line for line in api.complaints() if str(port) in line]
        assert len(told) == 1 and "in use" in told[0], api.log()
    wait_until(lambda: api.process.listens_on(port), 30, "does not try again")
    api.port = port
    api.accept(event("at the port that was in use"))
    api.wait_metric("health_status", 1)
    database.wait_stored(2)
    assert len([line for line in api.complaints() if str(port) in line]) == 1


def test_the_end_while_a_port_is_in_use(programs, database):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        api = programs.collectd(database, {"Listen": f"127.0.0.1:{port}"})
        api.start()
        api.wait_log("in use")
        assert api.stop() == 0


def test_an_address_that_is_not_ours(programs, database):
    """An address of somebody else, as of a host that is about to take it."""
    api = programs.collectd(
        database, {"Listen": [f"192.0.2.1:{free_port()}", "later"]}
    )
    api.port = free_port()
    api.buffer["Listen"][1] = f"127.0.0.1:{api.port}"
    api.start()
    api.wait_ready()
    api.wait_log("192.0.2.1")
    api.accept(event())
    database.wait_stored(1)
