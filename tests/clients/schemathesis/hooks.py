# SPDX-License-Identifier: MIT
"""What a document in OpenAPI cannot say, parameters that depend on each other above
all; and two formats that schemathesis does not know. A failure is dropped only if
the request is of the kind that is described, and the server gives this very reason."""

import json
import re

import schemathesis
from schemathesis.openapi.checks import RejectedPositiveData

MISSING = {"isNotEmpty", "isString", "isParseableTimestamp"}
END = 4133980800  # of the year 2100
UNITS = ((1e11, 1), (1e14, 1e3), (1e17, 1e6), (float("inf"), 1e9))


@schemathesis.serializer("application/x-ndjson")
def write_lines(context, value):
    return {"data": value if isinstance(value, bytes) else str(value).encode()}


@schemathesis.deserializer("application/x-protobuf")
def read_message(context, response):
    return response.content.decode("latin-1")


def is_out_of_range(value):
    """A time that is of the pattern, and not from the years 1970 to 2100."""
    text = str(value)
    if re.fullmatch(r"[\d.e+]+", text):
        number = float(text)
        unit = next(unit for below, unit in UNITS if number < below)
        return number / unit >= END or number >= 2**63
    # At the very borders an offset leads beyond them.
    return re.match("1970-01-01|2100-12-31", text) is not None


def members(value, name):
    """All members of that name, however deep."""
    if isinstance(value, dict):
        for key, child in value.items():
            if key == name:
                yield child
            yield from members(child, name)
    elif isinstance(value, list):
        for child in value:
            yield from members(child, name)


def of_range(query, field, constraint):
    """from and to are a range, of at most 30 days."""
    if constraint in ("isValidTimeRange", "isMaxTimeRange"):
        return "from" in query and "to" in query
    return constraint == "isParseableTimestamp" and is_out_of_range(query.get(field, 0))


def of_list(query, body, field, constraint):
    """A cursor is one of an answer, and in the place of a page's number."""
    if (field, constraint) == ("cursor", "isCursor"):
        return "cursor" in query
    return of_range(query, field, constraint)


def of_lookup(query, body, field, constraint):
    """service, from and to are given together."""
    if field not in query and query:
        return constraint in MISSING
    return of_range(query, field, constraint)


def of_deletion(query, body, field, constraint):
    """At least one is given."""
    if not query:
        return (field, constraint) == ("service", "isNotEmpty")
    return field == "before" and is_out_of_range(query.get(field, 0))


def of_reprocessing(query, body, field, constraint):
    return field == "before" and is_out_of_range(body.get(field, 0))


def of_events(query, body, field, constraint):
    """The parameters say where the fields are; metadata has limits of its own."""
    if not isinstance(body, (dict, list)):  # lines, of which the document says nothing
        return True
    if field in ("timestamp", "service", "message"):
        if f"{field}_field" in query and constraint in MISSING | {"whitelistValidation"}:
            return True
        return field == "timestamp" and any(map(is_out_of_range, members(body, field)))
    if field == "event_id":
        if constraint == "whitelistValidation":
            return "id_field" in query
        ids = members(body, field)
        return constraint == "isUUID" and any(set(one or "") <= set("0-") for one in ids)
    if field == "metadata":
        return constraint in ("isMetadataSizeValid", "isStorable")
    return (field, constraint) == ("events", "isArray") and "events_field" in query


RULES = {
    "GET /events": of_list,
    "GET /events/{id}": of_lookup,
    "DELETE /dlq": of_deletion,
    "POST /dlq/reprocess": of_reprocessing,
    "POST /events": of_events,
}


def reasons(errors):
    """(field, constraint) of whatever is refused, of all events."""
    for one in errors:
        if "constraints" in one:
            yield from ((one["field"], name) for name in one["constraints"])
        else:
            yield from reasons(one["errors"])


@schemathesis.hook
def filter_failure(context, failure, case, response):
    rule = RULES.get(case.operation.label)
    if not isinstance(failure, RejectedPositiveData) or rule is None:
        return True
    given = list(reasons(json.loads(response.content).get("errors", [])))
    query = case.query or {}
    return not given or not all(rule(query, case.body, *reason) for reason in given)
