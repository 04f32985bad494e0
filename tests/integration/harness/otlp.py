# SPDX-License-Identifier: MIT
"""Log records of OpenTelemetry, in JSON and in Protocol Buffers: as much of the
wire format as it takes to write a request and to read an answer."""

import struct


def varint(number):
    number &= (1 << 64) - 1
    made = b""
    while number >= 0x80:
        made += bytes([number & 0x7F | 0x80])
        number >>= 7
    return made + bytes([number])


def number(field, value):
    return varint(field << 3) + varint(value)


def fixed64(field, value):
    return varint(field << 3 | 1) + struct.pack("<Q", value)


def fixed32(field, value):
    return varint(field << 3 | 5) + struct.pack("<I", value)


def data(field, value):
    value = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(value)) + value


def any_value(value):
    """An AnyValue of a value of Python."""
    if value is None:
        return b""
    if isinstance(value, bool):
        return number(2, value)
    if isinstance(value, int):
        return number(3, value)
    if isinstance(value, float):
        return varint(4 << 3 | 1) + struct.pack("<d", value)
    if isinstance(value, bytes):
        return data(7, value)
    if isinstance(value, list):
        return data(5, b"".join(data(1, any_value(one)) for one in value))
    if isinstance(value, dict):
        return data(6, pairs(1, value))
    return data(1, value)


def pairs(field, members):
    return b"".join(
        data(field, data(1, key) + data(2, any_value(value)))
        for key, value in members.items()
    )


def record(body=None, *, time=0, attributes=None, more=b""):
    made = fixed64(1, time) if time else b""
    if body is not None:
        made += data(5, any_value(body))
    return made + pairs(6, attributes or {}) + more


def request(records, resource=None, scope=b"", *, last=False):
    """An ExportLogsServiceRequest of one resource; "last": resource and scope
    come after the records."""
    about = data(1, pairs(1, resource)) if resource is not None else b""
    logs = b"".join(data(2, one) for one in records)
    named = data(1, scope) if scope else b""
    logs = data(2, logs + named if last else named + logs)
    return data(1, logs + about if last else about + logs)


def fields(message):
    """{number: value} of a message: the last of each field."""
    found = {}
    at = 0

    def read_varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        tag = read_varint()
        if tag & 7 == 0:
            found[tag >> 3] = read_varint()
        else:
            assert tag & 7 == 2
            size = read_varint()
            found[tag >> 3] = message[at : at + size]
            at += size
    assert at == len(message)
    return found
