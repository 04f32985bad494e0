# SPDX-License-Identifier: MIT
"""docs/openapi.yaml against the running server: every operation with every
response that the document names, each checked against its schema; and nothing
that the server has and the document does not."""

import contextlib
import hashlib
import itertools
import json
import re
import subprocess
import uuid
from collections import namedtuple

import jsonschema
import psycopg2
import pytest
import yaml

from harness.build import TOP
from harness.events import event
from harness.wait import wait_until

DOCUMENT = yaml.safe_load((TOP / "docs/openapi.yaml").read_text())
ERROR_CODES = (TOP / "plugins/aurore/http/error_code.def").read_text()
ROUTES = (TOP / "plugins/aurore/api/routes.c").read_text()
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
NOBODY = "01936b6e-0f5a-4d3e-8a1b-0123456789ab"

# --- the document ---------------------------------------------------------------


def resolve(node):
    """What a $ref stands for."""
    while isinstance(node, dict) and "$ref" in node:
        found = DOCUMENT
        for part in node["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        node = found
    return node


Operation = namedtuple("Operation", "id method path parameters responses default body scope")


def read_operations():
    found = {}
    for path, item in DOCUMENT["paths"].items():
        common = item.get("parameters", [])
        for method, node in item.items():
            if method not in METHODS:
                continue
            scopes = [
                scope
                for way in node["security"]
                for scope in way.get("token", [])
            ]
            assert node["operationId"] not in found
            found[node["operationId"]] = Operation(
                node["operationId"],
                method,
                path,
                [resolve(one) for one in common + node.get("parameters", [])],
                {
                    int(status): one
                    for status, one in node["responses"].items()
                    if status != "default"
                },
                node["responses"]["default"],
                node.get("requestBody"),
                scopes[0] if scopes else None,
            )
    return found


OPERATIONS = read_operations()


def check_schema(value, schema, what):
    """Against a schema whose references are into the document."""
    resolver = jsonschema.RefResolver("", DOCUMENT)
    validator = jsonschema.Draft202012Validator(schema, resolver=resolver)
    errors = [
        f"{'/'.join(map(str, error.absolute_path))}: {error.message}"
        for error in validator.iter_errors(value)
    ]
    assert not errors, (what, errors, value)


READ_AS = {"application/json": json.loads, "application/yaml": yaml.safe_load}


def check_answer(answer, response, what):
    """Headers, content type and body."""
    response = resolve(response)
    for name, header in response["headers"].items():
        header = resolve(header)
        value = answer.headers.get(name)
        assert value is not None or not header.get("required"), (what, name)
        if value is not None:
            number = header["schema"].get("type") == "integer"
            check_schema(int(value) if number else value, header["schema"], name)
    # What is not documented is not sent.
    known = {name.lower() for name in response["headers"]}
    known |= {"date", "connection", "content-type", "content-length"}
    # Described once, for all operations.
    known |= {"content-encoding", "keep-alive", "vary"}
    assert {name.lower() for name in answer.headers} <= known, what
    if "content" not in response:
        assert answer.content == b"" and "Content-Type" not in answer.headers
        return
    kind, _, charset = answer.headers["Content-Type"].partition(";")
    assert kind in response["content"], (what, kind)
    # Of OTLP it is the request's, to the letter.
    otlp = {"application/x-protobuf"} & set(response["content"])
    assert charset == "" if otlp else "charset=utf-8" in charset
    schema = response["content"][kind]["schema"]
    value = READ_AS.get(kind, str)(answer.text)
    check_schema(value, schema, what)


def references(node):
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for child in node.values():
            yield from references(child)
    elif isinstance(node, list):
        for child in node:
            yield from references(child)


def test_the_document_is_sound():
    assert DOCUMENT["openapi"].startswith("3.1.")
    used = set(references(DOCUMENT))
    for reference in used:
        assert resolve({"$ref": reference})
    # Answers of no operation: what all paths have in common.
    used |= {
        f"#/components/responses/{name}"
        for name in ("NoSuchPath", "NoSuchMethod", "Options")
    }
    # In words only, see there.
    used.add("#/components/schemas/CloudEventBatch")
    for kind, members in DOCUMENT["components"].items():
        if kind != "securitySchemes":
            for name in members:
                assert f"#/components/{kind}/{name}" in used, "is not used"
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    for operation in OPERATIONS.values():
        declared = {one["name"] for one in operation.parameters if one["in"] == "path"}
        assert declared == set(re.findall(r"{(\w+)}", operation.path))
        for parameter in operation.parameters:
            if "example" in parameter:
                check_schema(parameter["example"], parameter["schema"], parameter)
        for response in operation.responses.values():
            assert resolve(response)["description"]


def nodes(node, path=()):
    """All mappings of the document, with where they are."""
    if isinstance(node, dict):
        yield path, node
        for key, child in node.items():
            yield from nodes(child, (*path, key))
    elif isinstance(node, list):
        for key, child in enumerate(node):
            yield from nodes(child, (*path, key))


def is_data(path):
    """What is an example is no schema."""
    return "example" in path or "examples" in path


def test_generators_take_the_document():
    """What makers of clients stumble over: a type of several, or none beside
    "const" and "enum"; bodies and alternatives without a name."""
    for path, node in nodes(DOCUMENT):
        if is_data(path) or path[-1:] == ("properties",):
            continue
        if isinstance(node.get("type"), list):
            kind, null = node["type"]
            assert null == "null" and kind != "null", path
        if "const" in node or "enum" in node:
            assert isinstance(node.get("type"), str), path
        if "oneOf" in node:
            assert "properties" not in node, path
            for one in node["oneOf"]:
                assert set(one) == {"$ref"} or one == {"type": "null"}, path
        if len(path) > 2 and path[-2] == "content":
            kind = node["schema"]
            assert "$ref" in kind or kind["type"] == "string", (path, "has no name")
        if node.get("type") == "object" and path[:2] == ("components", "schemas"):
            # A map, or one that has a name.
            assert len(path) == 3 or "additionalProperties" in node, path
            assert len(path) == 3 or "properties" not in node, (path, "has no name")


def test_alternatives_differ_by_what_they_require():
    """So a client need not try them: each has a member that is required of it
    and that no other one has; what has more comes first."""
    schemas = DOCUMENT["components"]["schemas"]
    for name, schema in schemas.items():
        some = [resolve(one) for one in schema.get("oneOf", []) if "$ref" in one]
        some = [one for one in some if one.get("type") == "object"]
        for one in some if len(some) > 1 else []:
            others = set().union(*(set(x["properties"]) for x in some if x is not one))
            own = set(one["required"]) - others
            assert own, name


def test_every_operation_has_an_answer_for_the_rest():
    for operation in OPERATIONS.values():
        kind = "OtlpRefusal" if operation.path == "/v1/logs" else "Refusal"
        assert operation.default == {"$ref": f"#/components/responses/{kind}"}


def test_links():
    """From what lists to what shows and changes one."""
    linked = set()
    for operation in OPERATIONS.values():
        for status, response in operation.responses.items():
            for link in resolve(response).get("links", {}).values():
                target = OPERATIONS[link["operationId"]]
                linked.add((operation.id, target.id))
                names = {one["name"] for one in target.parameters}
                assert set(link["parameters"]) <= names
                kind = resolve(response)["content"]["application/json"]["schema"]
                for pointer in link["parameters"].values():
                    assert has_member(resolve(kind), pointer), (status, pointer)
    assert {
        ("listDeadLetters", "getDeadLetter"),
        ("listDeadLetters", "reprocessDeadLetter"),
        ("listDeadLetters", "deleteDeadLetter"),
    } <= linked


def has_member(schema, pointer):
    """Whether a body may have what the expression is about."""
    for key in pointer.removeprefix("$response.body#/").split("/"):
        if "oneOf" in schema:
            (schema,) = (
                resolve(one)
                for one in schema["oneOf"]
                if key in resolve(one)["properties"]
            )
        member = schema.get("items") if key == "0" else schema["properties"].get(key)
        if member is None:
            return False
        schema = resolve(member)
    schemas = DOCUMENT["components"]["schemas"]
    return schema in (schemas["Uuid"], schemas["UuidOrNull"], schemas["Cursor"])


def test_the_version_is_that_of_the_program():
    (version,) = re.findall(
        r"AC_INIT\(\[aurore\], \[([^]]+)\]", (TOP / "configure.ac").read_text()
    )
    assert DOCUMENT["info"]["version"] == version


def routes_of_the_server():
    """{(path, method): scope} of the table in the code."""
    found = {}
    table = ROUTES[ROUTES.index("au_routes[]") : ROUTES.index("au_routes_count")]
    for path, rest in re.findall(r'\{"(/[^"]*)",(.*?)\}\},', table, re.S):
        path = re.sub(r":(\w+)", r"{\1}", path)
        for method, entry in re.findall(
            r"\[AU_METHOD_(\w+)\] =\s*\{(.*?)(?:\}|$)", rest, re.S
        ):
            scope = re.search(r"AU_SCOPE_(\w+)", entry)[1].lower()
            found[path, method.lower()] = None if scope == "none" else scope
    return found


def test_the_document_has_the_error_codes_of_the_server():
    codes = re.findall(r"^ERROR_CODE\((\w+),", ERROR_CODES, re.MULTILINE)
    schema = DOCUMENT["components"]["schemas"]["ErrorCode"]
    assert schema["enum"] == codes == sorted(codes)
    assert re.findall(r"^- `(\w+)`: ", schema["description"], re.MULTILINE) == codes


def test_the_document_has_the_routes_of_the_server():
    assert routes_of_the_server() == {
        (operation.path, operation.method): operation.scope
        for operation in OPERATIONS.values()
    }


# --- as JSON -------------------------------------------------------------------------

EMBED = TOP / "plugins/aurore/api/document/embed.pl"


def as_json(text, tmp_path):
    """What the program that embeds the document makes of it; None: refuses."""
    source = tmp_path / "document.yaml"
    source.write_text(text)
    made = subprocess.run(
        ["perl", EMBED, "--json", source], capture_output=True, text=True, check=False
    )
    assert made.returncode == 0 or re.match(r"embed\.pl: .*:\d+: .", made.stderr)
    return json.loads(made.stdout) if made.returncode == 0 else None


READ = [
    "a: 1\nb: -2.5\nc: true\nd: null\ne:\nf: ~",
    "a: 'it''s: so'\n'200': \"x\\n\\\"y\"",
    "a: 3.1.0\nb: v1:2\nc: http://x:1/y",
    "a: plain text\n  that goes on\nb: x",
    "a: |\n  one\n   two\n\n  three\nb: x",
    "a: |-\n  one\nb: >-\n  one\n  two\n\n  three\nc: >\n  x",
    "a:\n  - x\n  - {b: [1, '2', {c: d}], e: null}\n  - f: 1\n    g:\n      - h\n",
    "a:\n- x\n- z\nb: []\nc: {}",
    "# first\na:\n  # in between\n\n  b: c",
    "a: [x,\n  u,\n  'z, w']\nb: {c: d,\n  e: f}",
    "a: '\\d{2}#'\n$ref: '#/x'\n/p/{id}: {a: 'é'}",
]
REFUSED = [
    "a: yes", "a: 1e5", "a: 012", "a: 0x1f", "a: 12:30", "a: 2026-11-24", "a: &x 1",
    "a: *x", "a: b: c", "a: 1\na: 2", "\ta: 1", "a: 'x", "a: [1", "a: {b: 1} c",
    "a: x # y", "a: {b: 1, b: 2}", "a:\n    b: 1\n  c: 2", "a: \"\\x41\"",
]  # fmt: skip


@pytest.mark.parametrize("text", READ)
def test_the_document_is_read_as_others_read_it(tmp_path, text):
    assert as_json(text + "\n", tmp_path) == yaml.safe_load(text + "\n")


@pytest.mark.parametrize("text", REFUSED)
def test_what_could_be_read_in_two_ways_is_refused(tmp_path, text):
    assert as_json(text, tmp_path) is None


def test_the_document_is_published(usual):
    answer = usual.get("/openapi.yaml")
    assert answer.headers["Content-Type"] == "application/yaml; charset=utf-8"
    assert answer.content == (TOP / "docs/openapi.yaml").read_bytes()
    assert usual.get("/openapi.json").json() == DOCUMENT


# --- the servers -----------------------------------------------------------------

TOKENS = {scope: f"secret of {scope}" for scope in ("ingest", "read", "admin")}
CAPACITY = 50
NOWHERE = "host=/nonexistent dbname=x"


def bearer(scope):
    return {"Authorization": f"Bearer {TOKENS[scope]}"}


@pytest.fixture(scope="module")
def usual(postgres, module_programs):
    """A server with events, dead letters and a history."""
    database = module_programs.database(postgres)
    api = module_programs.collectd(
        database, {"Capacity": CAPACITY, "HistoryInterval": 1}, {"BusinessInterval": 0.2}
    ).start()
    wait_until(database.has_schema, 30, "there is no schema")
    database.execute(
        "ALTER TABLE aurore.event ADD CONSTRAINT no_poison"
        " CHECK (message <> 'poison') NOT VALID"
    )
    metadata = {"a": [1, None, {"b": "c"}]}
    api.accept([event("poison", "auth-service", metadata=metadata) for _ in range(5)])
    api.accept([event(f"{i}", "auth-service", metadata=metadata) for i in range(3)])
    api.accept(event("without"))
    database.wait_stored(4)
    wait_until(lambda: database.dead_letters() == 5, 30, "no dead letters")
    wait_until(lambda: api.get("/metrics/history").json(), 30, "no snapshots")
    wait_until(
        lambda: api.get("/health/business").json().get("totalEvents") == 4,
        30,
        "no figures",
    )
    return api


@pytest.fixture(scope="module")
def guarded(postgres, module_programs):
    """One that wants tokens, and takes an event a second."""
    database = module_programs.database(postgres)
    api = module_programs.collectd(database, {"RateLimit": 1})
    api.buffer["TokenFile"] = api.directory / "tokens"
    api.buffer["TokenFile"].write_text(
        "".join(
            f"{scope} {hashlib.sha256(token.encode()).hexdigest()}\n"
            for scope, token in TOKENS.items()
        )
    )
    return api.start()


@pytest.fixture(scope="module")
def away(module_programs):
    """One without a database, whose buffer is full."""
    writer = {"ShutdownTimeout": 0.1}
    api = module_programs.collectd(NOWHERE, {"Capacity": 3}, writer)
    api.expected_status = 1  # what waits in memory is lost
    api.start()
    for _ in range(3):
        api.accept(event())
    wait_until(lambda: api.post(event()).status_code == 429, 30, "it is not full")
    return api


@pytest.fixture(scope="module")
def stopping(module_programs):
    """One that is shutting down, and waits for a database meanwhile."""
    api = module_programs.collectd(NOWHERE, writer={"ShutdownTimeout": 600})
    api.start()
    api.accept(event())
    api.terminate()
    wait_until(lambda: api.get("/live").status_code == 503, 30, "it does not stop")
    yield api
    api.kill()


@pytest.fixture
def stalled(usual):
    """The usual one, with a full buffer that the database does not empty."""
    blocker = psycopg2.connect(usual.database.conninfo)
    blocker.cursor().execute("LOCK TABLE aurore.event IN ACCESS EXCLUSIVE MODE")
    try:
        wait_until(
            lambda: usual.post(event()).status_code == 429,
            30,
            "the buffer is not full",
        )
        yield usual
    finally:
        blocker.rollback()
        blocker.close()
        usual.rest()


# --- every response ---------------------------------------------------------------

Case = namedtuple("Case", "operation status server request")
CASES = []


def case(operation, status, server, **request):
    """The request: headers, json, data, query, path; any of them may be a
    function of the server."""
    CASES.append(Case(operation, status, server, request))


def dead_letter(api):
    """The identifier of one that was not put back."""
    letters = api.get("/dlq?service=auth-service&reprocessed=false").json()["events"]
    return {"id": letters[0]["id"]}


def stored_event(api):
    page = api.get("/events", params={**RANGE, "pageSize": 1}).json()
    return {"id": page["items"][0]["id"]}


def event_set_aside(api):
    letters = api.get("/dlq?service=auth-service&reprocessed=false").json()["events"]
    return {"id": letters[0]["eventId"]}


def under_way(api):
    """One whose event waits in a buffer."""
    made = dead_letter(api)
    api.database.execute(
        "UPDATE aurore.dead_letter SET reprocessed = true, reprocessed_at = now()"
        " WHERE id = %s",
        (made["id"],),
    )
    return made


def reprocessed(api):
    made = dead_letter(api)
    api.database.execute(
        "UPDATE aurore.dead_letter SET reprocessed = true, reprocessed_at = now(),"
        " stored_at = now() WHERE id = %s",
        (made["id"],),
    )
    return made


def garbled(api):
    """One whose event somebody has overwritten."""
    return {
        "id": api.database.value(
            "INSERT INTO aurore.dead_letter (event_id, service, event,"
            " failure_reason, spool_id, lane, seq) VALUES (gen_random_uuid(),"
            " 'odd', 'x', 'by hand', gen_random_uuid(), 0, 1) RETURNING id::text"
        )
    }


def one_too_many(api):
    """After more than the rate limit gives in minutes, which passes once nothing
    was asked for a second."""
    many = [event()] * 300
    wait_until(
        lambda: api.post(many, headers=bearer("ingest")).status_code == 202,
        30,
        "the limit is never full",
    )
    return event()


RANGE = {
    "service": "auth-service",
    "from": "2026-03-01T00:00:00Z",
    "to": "2026-03-30T00:00:00Z",
}
JSON = {"Content-Type": "application/json"}
NDJSON = {"Content-Type": "application/x-ndjson"}
BATCH = {"Content-Type": "application/cloudevents-batch+json"}
PROTOBUF = {"Content-Type": "application/x-protobuf"}
LOGS = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"severityText": "INFO"}]}]}]}
# 50,001 empty records, of two bytes each, in one ScopeLogs.
TOO_MANY_RECORDS = (
    b"\n\xa6\x8d\x06\x12\xa2\x8d\x06" + b"\x12\x00" * 50001
)
MINIMAL = {"Prefer": "return=minimal"}
WAIT = {"Prefer": "wait=30"}
BAD = event("")
NO_ID = {"id": NOBODY}

case("acceptEvents", 201, "usual", json=event(), headers=WAIT)
case("acceptEvents", 201, "usual", json=[event(), event()], headers=WAIT)
case(
    "acceptEvents", 201, "usual", json=[event()],
    headers={"Prefer": "return=minimal, wait=30"},
)
case("acceptEvents", 200, "usual", json=event(), query={"accepted_status": 200})
case("acceptEvents", 200, "usual", json=[event(), BAD], query={"accepted_status": 200})
case("acceptEvents", 201, "usual", json=[event(), BAD], query={"accepted_status": 201})
case("acceptEvents", 202, "usual", json=[event(), BAD], query={"accepted_status": 202})
case("acceptEvents", 204, "usual", json=event(), query={"accepted_status": 204})
case("acceptEvents", 204, "usual", json=[event(), BAD], query={"accepted_status": 204})
case("acceptEvents", 202, "usual", json=event())
case("acceptEvents", 202, "usual", json=event(), headers=MINIMAL)
case("acceptEvents", 202, "usual", json=[event(), event()])
case("acceptEvents", 202, "usual", json=[event(), event()], headers=MINIMAL)
case("acceptEvents", 202, "usual", data=json.dumps(event()), headers=NDJSON)
case("acceptEvents", 202, "guarded", json=event(), headers=bearer("ingest"))
case("acceptEvents", 202, "usual", data="[]", headers=BATCH)
case("acceptEvents", 207, "usual", json=[event(), BAD])
case("acceptEvents", 207, "usual", json=[BAD, event()], headers=MINIMAL)
case("acceptEvents", 400, "usual", data="{", headers=JSON)
case("acceptEvents", 400, "usual", data="", headers=JSON)
case("acceptEvents", 400, "usual", data="x", headers={**JSON, "Content-Encoding": "gzip"})
case("acceptEvents", 207, "usual", data=json.dumps(event()) + "\n{", headers=NDJSON)
case("acceptEvents", 400, "usual", json={}, query={"events_field": "a"})
case(
    "acceptEvents", 400, "usual", json=event(),
    query={"id_field": "/~", "events_field": "a,b,c,d,e,f,g,h,i"},
)
case("acceptEvents", 400, "usual", json=BAD)
case("acceptEvents", 400, "usual", json=[BAD, {}, 1])
case("acceptEvents", 400, "usual", json=[])
case("acceptEvents", 400, "usual", json=event(), query={"lenient": "maybe", "x": 1})
case("acceptEvents", 401, "guarded", json=event())
case("acceptEvents", 403, "guarded", json=event(), headers=bearer("read"))
case("acceptEvents", 413, "usual", data="x" * 1048577, headers=JSON)
case("acceptEvents", 413, "usual", json=[1] * 10001)
case("acceptEvents", 415, "usual", data="x", headers={"Content-Type": "text/plain"})
case("acceptEvents", 415, "usual", data="x", headers={**JSON, "Content-Encoding": "br"})
case("acceptEvents", 429, "away", json=event())
case("acceptEvents", 429, "guarded", json=one_too_many, headers=bearer("ingest"))
case("acceptEvents", 503, "stopping", json=event())

case("exportLogs", 200, "usual", json={})
case("exportLogs", 200, "usual", json=LOGS)
case("exportLogs", 200, "usual", data=b"", headers=PROTOBUF)
case("exportLogs", 200, "usual", data=b"\n\x04\x12\x02\x12\x00", headers=PROTOBUF)
case("exportLogs", 400, "usual", data="{", headers=JSON)
case("exportLogs", 400, "usual", data="{", headers=PROTOBUF)
case("exportLogs", 400, "usual", json={}, query={"lenient": "true"})
case("exportLogs", 400, "usual", data="x", headers={**JSON, "Content-Encoding": "gzip"})
case("exportLogs", 401, "guarded", json={})
case("exportLogs", 401, "guarded", data=b"", headers=PROTOBUF)
case("exportLogs", 403, "guarded", json={}, headers=bearer("read"))
case("exportLogs", 413, "usual", data="x" * 16777217, headers=PROTOBUF)
case("exportLogs", 413, "usual", data=TOO_MANY_RECORDS, headers=PROTOBUF)
case("exportLogs", 415, "usual", data="x", headers={"Content-Type": "text/plain"})
case("exportLogs", 415, "usual", data="x", headers={**PROTOBUF, "Content-Encoding": "br"})
case("exportLogs", 429, "away", json=LOGS)
case("exportLogs", 429, "away", data=b"", headers=PROTOBUF)
case("exportLogs", 503, "stopping", json=LOGS)
case("exportLogs", 503, "stopping", data=b"", headers=PROTOBUF)

case("listEvents", 200, "usual", query=RANGE)
case("listEvents", 200, "usual", query={**RANGE, "pageSize": 2, "sortOrder": "asc"})
case("listEvents", 200, "usual", query={**RANGE, "service": "nobody"})
case("listEvents", 400, "usual")
case("listEvents", 400, "usual", query={**RANGE, "page": 0, "sortField": "x", "y": 1})
case("listEvents", 400, "usual", query={**RANGE, "to": "2027-01-01"})
case("listEvents", 400, "usual", query={**RANGE, "to": "2026-01-01"})
case("listEvents", 400, "usual", query={**RANGE, "sortOrder": "up", "from": "x"})
case("listEvents", 503, "away", query=RANGE)
case("listEvents", 503, "stopping", query=RANGE)

case("listEvents", 200, "usual", query={**RANGE, "total": "false"})
case("listEvents", 200, "usual", query={**RANGE, "pageSize": 1, "total": "false"})
case("listEvents", 400, "usual", query={**RANGE, "cursor": "x", "total": "x"})

case("getEvent", 200, "usual", path=stored_event)
case("getEvent", 200, "usual", path=event_set_aside)
case("getEvent", 400, "usual", path=NO_ID, query={"service": "auth-service"})
case("getEvent", 404, "usual", path=NO_ID)
case("getEvent", 404, "usual", path={"id": "nonsense"})
case("getEvent", 404, "usual", path=NO_ID, query=RANGE)
case("getEvent", 503, "away", path=NO_ID)

case("getOverview", 200, "usual")
case("getOverview", 200, "usual", headers={"Accept": "application/json"})
case("getOverview", 200, "away", headers={"Accept": "application/json"})
case("getOverview", 200, "away")
case("getOverview", 200, "guarded", headers=bearer("read"))
case("getMetrics", 200, "usual")
case("getMetrics", 200, "away")
case("getPrometheusMetrics", 200, "usual")
case(
    "getPrometheusMetrics", 200, "usual",
    headers={"Accept": "application/openmetrics-text; version=1.0.0"},
)  # fmt: skip
case("getMetricsHistory", 200, "usual")
case("getMetricsHistory", 200, "usual", headers={"Accept": "text/html"})
case("getMetricsHistory", 200, "guarded", headers=bearer("read"))
case("getMetricsHistory", 400, "usual", query={"limit": 0, "page": 1})

case("getLive", 200, "usual")
case("getLive", 503, "stopping")
for name in ("getReady", "getHealth"):
    case(name, 200, "usual")
    case(name, 503, "away")
    case(name, 503, "stopping")
case("getBufferHealth", 200, "usual")
case("getBufferHealth", 200, "away")
case("getDatabaseHealth", 200, "usual")
case("getDatabaseHealth", 503, "away")
case("getBusinessHealth", 200, "usual")
case("getBusinessHealth", 503, "away")
case("getDetailedHealth", 200, "usual")
case("getDetailedHealth", 503, "away")

case("listDeadLetters", 200, "usual")
case("listDeadLetters", 200, "usual", query={"service": "auth-service", "limit": 1})
case("listDeadLetters", 400, "usual", query={"limit": 1001, "reprocessed": "x", "y": 1})
case("listDeadLetters", 503, "away")
case("getDeadLetterStatistics", 200, "usual")
case("getDeadLetterStatistics", 503, "away")
case("getDeadLetter", 200, "usual", path=dead_letter)
case("getDeadLetter", 200, "usual", path=garbled)
case("getDeadLetter", 404, "usual", path=NO_ID)
case("getDeadLetter", 404, "usual", path={"id": "nonsense"})
case("getDeadLetter", 503, "away", path=NO_ID)
case("reprocessDeadLetter", 200, "usual", path=dead_letter)
case("reprocessDeadLetter", 404, "usual", path=NO_ID)
case("reprocessDeadLetter", 409, "usual", path=reprocessed)
case("reprocessDeadLetter", 422, "usual", path=garbled)
case("reprocessDeadLetter", 429, "stalled", path=dead_letter)
case("reprocessDeadLetter", 503, "away", path=NO_ID)
case("reprocessDeadLetters", 200, "usual", json={"service": "nobody"})
case("reprocessDeadLetters", 200, "usual", json={"service": "odd"})
case("reprocessDeadLetters", 400, "usual", json={"limit": 0, "sqlState": "x", "y": 1})
case("reprocessDeadLetters", 400, "usual", data="[]", headers=JSON)
case("reprocessDeadLetters", 413, "usual", data=" " * 1048577, headers=JSON)
case("reprocessDeadLetters", 415, "usual", data={"service": "x"})
case("reprocessDeadLetters", 415, "usual")
case("reprocessDeadLetters", 429, "stalled", json={})
case("reprocessDeadLetters", 503, "away", json={})
case("deleteDeadLetters", 200, "usual", query={"service": "nobody"})
case("deleteDeadLetters", 400, "usual")
case("deleteDeadLetters", 400, "usual", query={"before": "x", "reprocessed": 1, "y": 1})
case("deleteDeadLetters", 503, "away", query={"reprocessed": "true"})
case("deleteDeadLetter", 204, "usual", path=dead_letter)
case("deleteDeadLetter", 404, "usual", path=NO_ID)
case("deleteDeadLetter", 409, "usual", path=under_way)
case("deleteDeadLetter", 503, "away", path=NO_ID)

case("getDocument", 200, "usual")
case("getDocument", 200, "guarded")
case("getDocumentAsJson", 200, "away")
case("getDocumentAsJson", 200, "guarded")

# Tokens: none, one that is not known, and one of another scope.
OTHER = {"read": "ingest", "admin": "read"}
for made in OPERATIONS.values():
    if made.scope in OTHER:
        case(made.id, 401, "guarded", path=NO_ID)
        case(made.id, 401, "guarded", path=NO_ID, headers={"Authorization": "Bearer x"})
        case(made.id, 403, "guarded", path=NO_ID, headers=bearer(OTHER[made.scope]))


def send(api, operation, request, method=None):
    """The answer to a request, with a correlation id of its own."""
    given = {
        name: value(api) if callable(value) else value
        for name, value in request.items()
    }
    path = operation.path.format(**given.pop("path", {}))
    identifier = str(uuid.uuid4())
    headers = {"X-Correlation-Id": identifier, **given.pop("headers", {})}
    answer = api.session.request(
        method or operation.method,
        api.url(path),
        headers=headers,
        params=given.pop("query", None),
        timeout=60,
        **given,
    )
    assert answer.headers["X-Correlation-Id"] == identifier
    return answer


def named(one):
    return f"{one.operation}-{one.status}-{one.server}"


@pytest.mark.parametrize("one", CASES, ids=named)
def test_answers(request, one):
    api = request.getfixturevalue(one.server)
    operation = OPERATIONS[one.operation]
    answer = send(api, operation, one.request)
    assert answer.status_code == one.status, answer.text
    check_answer(answer, operation.responses[one.status], named(one))
    if operation.method == "get":
        head = send(api, operation, one.request, "head")
        assert head.status_code == one.status and head.content == b""
        assert head.headers["Content-Type"] == answer.headers["Content-Type"]


def test_every_answer_is_exercised():
    documented = {
        (operation.id, status)
        for operation in OPERATIONS.values()
        for status in operation.responses
    }
    assert {(one.operation, one.status) for one in CASES} == documented


# --- what all paths have in common --------------------------------------------------


def common_answer(name):
    return DOCUMENT["components"]["responses"][name]


@pytest.mark.parametrize("path", ["/nope", "/events/1/2", "/dlq/1/2", "/health/x", "//"])
def test_there_is_no_such_path(usual, path):
    answer = usual.get(f"{path}?secret=1")
    assert answer.status_code == 404
    check_answer(answer, common_answer("NoSuchPath"), path)
    assert answer.json() == {
        "statusCode": 404,
        "message": f"Cannot GET {path}",
        "error": "Not Found",
        "errorCode": "NOT_FOUND",
    }


@pytest.mark.parametrize("path", list(DOCUMENT["paths"]))
def test_methods_that_a_path_does_not_have(usual, path):
    has = {one.method for one in OPERATIONS.values() if one.path == path}
    allowed = {method.upper() for method in has} | {"OPTIONS"}
    allowed |= {"HEAD"} if "get" in has else set()
    for method in ("get", "put", "post", "delete", "patch"):
        if method.upper() in allowed:
            continue
        answer = usual.session.request(
            method, usual.url(path.format(id=NOBODY)), timeout=30
        )
        assert answer.status_code == 405, method
        kind = "OtlpRefusal" if path == "/v1/logs" else "NoSuchMethod"
        check_answer(answer, common_answer(kind), (path, method))
        assert set(answer.headers["Allow"].split(", ")) == allowed
    answer = usual.session.options(usual.url(path.format(id=NOBODY)), timeout=30)
    assert answer.status_code == 204
    check_answer(answer, common_answer("Options"), path)
    assert set(answer.headers["Allow"].split(", ")) == allowed


REFUSED_BEFORE = {
    405: {"method": "PUT"},
    417: {"method": "GET", "headers": {"Expect": "x"}},
    501: {"method": "GET", "headers": {"Transfer-Encoding": "x"}},
}


@pytest.mark.parametrize("path", list(DOCUMENT["paths"]))
def test_the_answer_for_the_rest(usual, path):
    """What no operation lists is as the document says of the rest."""
    for status, asked in REFUSED_BEFORE.items():
        url = usual.url(path.format(id=NOBODY))
        answer = usual.session.request(url=url, timeout=30, **asked)
        assert answer.status_code == status
        kind = "OtlpRefusal" if path == "/v1/logs" else "Refusal"
        check_answer(answer, common_answer(kind), (path, status))


def test_a_correlation_id_is_made(usual):
    answer = usual.get("/live")
    uuid.UUID(answer.headers["X-Correlation-Id"])


# --- parameters ----------------------------------------------------------------------

QUERIES = [
    one
    for one in OPERATIONS.values()
    if any(parameter["in"] == "query" for parameter in one.parameters)
]


def query_parameters(operation):
    return [one for one in operation.parameters if one["in"] == "query"]


def text(value):
    return str(value).lower() if isinstance(value, bool) else str(value)


def examples(operation):
    """A value of every parameter."""
    return {
        one["name"]: text(
            one["example"] if "example" in one else resolve(one["schema"])["default"]
        )
        for one in query_parameters(operation)
        if one["name"] != "cursor"  # of an answer
    }


def required(operation):
    return {
        name: value
        for name, value in examples(operation).items()
        if next(
            one for one in query_parameters(operation) if one["name"] == name
        ).get("required")
    }


@pytest.mark.parametrize("operation", QUERIES, ids=lambda one: one.id)
def test_parameters(usual, operation):
    """All that are documented are known, and no others; none twice."""
    def status(query):
        request = {"query": query, "path": {"id": identifier}}
        if operation.id == "acceptEvents":
            within = query.get("events_field") == "logs"
            request["json"] = {"logs": [event()]} if within else event()
        elif operation.body is not None:
            request["json"] = {}
        return send(usual, operation, request).status_code

    identifier = stored_event(usual)["id"]
    assert status(examples(operation)) in (200, 404)
    if operation.id != "deleteDeadLetters":  # one, but any
        assert status(required(operation)) in (200, 202, 404)
    assert status({**required(operation), "unknown": 1}) == 400
    for name, value in examples(operation).items():
        assert status({**required(operation), name: [value, value]}) == 400, name
    for name in required(operation):
        missing = {k: v for k, v in required(operation).items() if k != name}
        assert status(missing) == 400, name


def bounds():
    for operation in QUERIES:
        for parameter in query_parameters(operation):
            schema = resolve(parameter["schema"])
            if schema.get("type") != "integer":
                continue
            for bound, step in (("minimum", -1), ("maximum", 1)):
                if bound in schema:
                    yield operation, parameter["name"], schema[bound], step


@pytest.mark.parametrize("operation, name, bound, step", list(bounds()))
def test_bounds(usual, operation, name, bound, step):
    query = required(operation)
    within = send(usual, operation, {"query": {**query, name: bound}})
    assert within.status_code == 200, within.text
    beyond = send(usual, operation, {"query": {**query, name: bound + step}})
    assert beyond.status_code == 400
    (error,) = beyond.json()["errors"]
    assert error["field"] == name
    assert set(error["constraints"]) == {"min" if step < 0 else "max"}


def test_choices(usual):
    operation = OPERATIONS["listEvents"]
    for field in DOCUMENT["components"]["schemas"]["SortField"]["enum"]:
        for order in ("ASC", "DESC", "asc", "Desc"):
            query = {**required(operation), "sortField": field, "sortOrder": order}
            answer = send(usual, operation, {"query": query})
            assert answer.status_code == 200
            assert answer.json()["sortField"] == field
            assert answer.json()["sortOrder"] == order.upper()


BODY = OPERATIONS["acceptEvents"].body["content"]


def test_the_examples_of_bodies(usual):
    for example in BODY["application/json"]["examples"].values():
        check_schema(example["value"], BODY["application/json"]["schema"], example)
        assert usual.post(example["value"]).status_code == 202
    answer = usual.post(
        BODY["application/x-ndjson"]["example"], "application/x-ndjson"
    )
    assert answer.status_code == 202 and answer.json()["accepted"] == 2


def test_events_are_judged_as_documented(usual):
    """What the schema says of an event is what the server says of it."""
    schema = DOCUMENT["components"]["schemas"]["Event"]
    values = {
        "timestamp": ["2026-11-24T08:24:26Z", "1795508666", 1795508666.5, None, True, -1]
        + ["", "x", "1969-12-31", "2101-01-01", "2026-13-01", "2026-11-24 08:24", "-1"]
        + ["2026-11-24T08:24:26,5+0100", "2026-11-24T25:00", "2026-11-24T08:24:26.Z"],
        "service": ["s", "x" * 100, "x" * 101, "é" * 100, "", 1, None, " ", "\u3000\t"]
        + ["a\0b", " s "],
        "message": ["m", "x" * 2000, "x" * 2001, "😀" * 2000, "", [], None, "m\0", "\n"],
        "metadata": [{}, {"a": 1}, None, [], "x", 1],
        "more": [1],
    }
    good = {"timestamp": 1795508666, "service": "s", "message": "m"}
    tried = [{k: v for k, v in good.items() if k != name} for name in good]
    for name, one in itertools.chain.from_iterable(
        [(name, one) for one in some] for name, some in values.items()
    ):
        tried.append({**good, name: one})
    resolver = jsonschema.RefResolver("", DOCUMENT)
    validator = jsonschema.Draft202012Validator(schema, resolver=resolver)
    for one in tried:
        with contextlib.suppress(jsonschema.ValidationError):
            validator.validate(one)
            assert usual.post(one).status_code == 202, one
            continue
        assert usual.post(one).status_code == 400, one
