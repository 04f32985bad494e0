# SPDX-License-Identifier: MIT
"""Events that are sent again are stored once: by an id of their own, by a key, or
by the bytes of the request; whatever dies meanwhile. And what differs stays
several."""

import gzip
import hashlib
import http.client
import json
import threading
import uuid
import zlib

import pytest

from harness import zstd
from harness.events import TIMESTAMP, TIMESTAMP_US, event
from harness.proxy import AFTER_COMMIT, AFTER_END, BEFORE_END, Proxy
from harness.wait import wait_until
from test_proxy import EAGER

NDJSON = "application/x-ndjson"
TIME = "2024-11-24T08:44:26.123456Z"
TIME_MS = 1732437866123


@pytest.fixture(scope="module")
def hosts(postgres, module_programs):
    """Two collectds before one database; the second has two lanes."""
    database = module_programs.database(postgres)
    one = module_programs.collectd(database).start()
    two = module_programs.collectd(database, buffer={"Lanes": 2}).start()
    one.database = two.database = database
    return one, two


@pytest.fixture
def api(hosts):
    return hosts[0]


# --- names, computed here from the words of the contract ---------------------------


def version_8(data):
    byte = bytearray(data[:16])
    byte[6] = byte[6] & 0x0F | 0x80
    byte[8] = byte[8] & 0x3F | 0x80
    return uuid.UUID(bytes=bytes(byte))


def name_of(body, key="", query="", ms=TIME_MS):
    """The name of a request as an integer; ms None: no event bears a time."""
    digest = hashlib.sha256(body).digest()
    digest = hashlib.sha256(
        b"aurore\0request\0" + key.encode() + b"\0" + query.encode() + b"\0" + digest
    ).digest()
    if ms is not None:
        digest = ms.to_bytes(6, "big") + digest
    return version_8(digest).int


def ids_of(name, numbers):
    return [str(uuid.UUID(int=name ^ number)) for number in numbers]


def send(api, body, query="", key=None, content_type="application/json", **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    headers["Content-Type"] = content_type
    if key is not None:
        headers["Idempotency-Key"] = key
    path = "/events" + ("?" + query if query else "")
    return api.session.post(api.url(path), data=body, headers=headers, timeout=60)


def bodied(*events):
    return json.dumps(list(events)).encode()


def unique(**fields):
    return event(str(uuid.uuid4()), **{"timestamp": TIME, **fields})


def stored(api, message):
    return api.database.value(
        "SELECT count(*) FROM aurore.event WHERE message = %s", (message,)
    )


def figures(*hosts):
    """All of them at rest: the sums, which balance."""
    total = {}
    for api in hosts:
        values = api.rest()
        one = {
            name: values.get(f"events_{name}_total")
            for name in ("enqueued", "processed", "duplicate")
        }
        one["dead"] = values.get("dead_letters_total")
        assert one["enqueued"] == one["processed"] + one["duplicate"] + one["dead"]
        for name, value in one.items():
            total[name] = total.get(name, 0) + value
    return total


# --- an id of its own ---------------------------------------------------------------


@pytest.mark.parametrize(
    "form", [str, lambda i: str(i).upper(), lambda i: i.hex, lambda i: i.hex.upper()]
)
def test_an_id_of_its_own(hosts, form):
    sent = unique()
    own = uuid.uuid4()
    for api in hosts:
        assert api.accept({**sent, "event_id": form(own)}) == [str(own)]
    assert hosts[0].accept({**sent, "event_id": str(own)}) == [str(own)]
    before = figures(*hosts)
    assert stored(hosts[0], sent["message"]) == 1
    assert before["duplicate"] >= 2
    assert hosts[0].database.value(
        "SELECT event_id::text FROM aurore.event WHERE message = %s",
        (sent["message"],),
    ) == str(own)


def test_the_first_content_stands(hosts):
    own = str(uuid.uuid4())
    first, second = unique(), unique()
    for sent in (first, second):
        assert hosts[0].accept({**sent, "event_id": own}) == [own]
        hosts[0].rest()
    assert stored(hosts[0], first["message"]) == 1
    assert stored(hosts[0], second["message"]) == 0


# --- names of requests ----------------------------------------------------------------


@pytest.mark.parametrize("header", ["Idempotency-Key", "X-Idempotency-Key"])
@pytest.mark.parametrize("quoted", [False, True])
def test_a_key(hosts, header, quoted):
    key = str(uuid.uuid4())
    events = [unique() for _ in range(4)]
    events[2] = {"message": "refused"}
    body = bodied(*events)
    expected = ids_of(name_of(body, key), range(4))
    expected[2] = None
    for api in (*hosts, hosts[0]):
        answer = send(api, body, **{header: f'"{key}"' if quoted else key})
        assert answer.status_code == 207
        assert answer.json()["event_ids"] == expected
    before = figures(*hosts)
    assert [stored(hosts[0], one["message"]) for one in events] == [1, 1, 0, 1]
    assert before["duplicate"] >= 6


@pytest.mark.parametrize("query", ["once=request", "once=request&service=a%20b", "service=%C3%A9&once=request"])
def test_by_its_bytes(hosts, query):
    body = bodied(unique(), unique(event_id=str(uuid.UUID(int=7 << 70))), unique())
    sent = [one["message"] for one in json.loads(body)]
    name = name_of(body, query=query)
    for api in (*hosts, hosts[1], hosts[0]):
        answer = send(api, body, query)
        assert answer.status_code == 202, answer.text
        first, _, last = answer.json()["event_ids"]
        assert [first, last] == ids_of(name, [0, 2])
    figures(*hosts)
    assert stored(hosts[0], sent[0]) == stored(hosts[0], sent[2]) == 1


NEXT_MS = TIMESTAMP_US // 1000


def a_time(**fields):
    return {"timestamp": TIMESTAMP, "message": str(uuid.uuid4()), **fields}


@pytest.mark.parametrize(
    "events, ms",
    [
        ([a_time(service=""), unique()], NEXT_MS),  # refused, but bears one
        ([a_time(level=1), unique()], NEXT_MS),
        ([5, unique()], TIME_MS),
        ([unique(timestamp="?"), unique()], TIME_MS),
        ([unique(timestamp="2101-01-01"), unique()], TIME_MS),
        ([a_time(event_id="no id"), unique()], NEXT_MS),
        ([unique(timestamp=0), unique()], 0),
        ([unique(timestamp=f"{TIME_MS}999.9")], TIME_MS),  # microseconds
        ([unique(timestamp=TIME_MS * 10**6 + 999999)], TIME_MS),  # nanoseconds
        ([unique(timestamp="2024-11-24T10:44:26.123999+02:00")], TIME_MS),
    ],
)
def test_whose_time_names_a_request(api, events, ms):
    """That of the first event that bears a readable one, refused or not."""
    body = bodied(*events)
    answer = send(api, body, "once=request")
    assert answer.status_code in (202, 207), answer.text
    wanted = ids_of(name_of(body, query="once=request", ms=ms), range(len(events)))
    found = answer.json()["event_ids"]
    assert any(found)
    assert all(one in (None, want) for one, want in zip(found, wanted))


def test_the_time_of_an_event_with_an_id_of_its_own(api):
    body = bodied(unique(event_id=str(uuid.uuid4())), unique(timestamp=7))
    found = send(api, body, "once=request").json()["event_ids"]
    assert found[1:] == ids_of(name_of(body, query="once=request"), [1])


@pytest.mark.parametrize(
    "events, query, ms",
    [
        ([{"a": 1}, unique()], "", TIME_MS),
        ([unique(t=TIMESTAMP)], "&timestamp_field=t", NEXT_MS),
        ([{"b": {"t": TIMESTAMP}}], "&timestamp_field=/b/t", NEXT_MS),
        ([{"logs": [1, unique()], "timestamp": 0}], "&events_field=logs", TIME_MS),
    ],
)
def test_a_time_that_is_elsewhere(api, events, query, ms):
    query = "lenient=true&once=request" + query
    body = bodied(*events)
    found = send(api, body, query).json()["event_ids"]
    wanted = ids_of(name_of(body, query=query, ms=ms), range(len(found)))
    assert any(found)
    assert all(one in (None, want) for one, want in zip(found, wanted))


def test_a_time_that_is_elsewhere_for_all_is_none(api):
    """The standard name is an unknown field then."""
    query = "lenient=true&once=request&timestamp_field=t"
    found = send(api, bodied(unique()), query).json()["event_ids"]
    assert found[0][14] == "7"


def test_a_line_that_is_broken_bears_no_time(api):
    body = (f'{{"timestamp":"{TIMESTAMP}",\n' + json.dumps(unique())).encode()
    answer = send(api, body, "once=request", content_type=NDJSON)
    assert answer.json()["event_ids"] == [
        None,
        *ids_of(name_of(body, query="once=request"), [1]),
    ]


def test_numbers_of_events_are_of_four_bytes(api):
    body = bodied(*[unique() for _ in range(300)])
    found = send(api, body, key="many").json()["event_ids"]
    assert found == ids_of(name_of(body, "many"), range(300))


def test_compressed_or_not_is_the_same(api):
    sent = unique()
    body = bodied(sent)
    for data, headers in (
        (body, {}),
        (gzip.compress(body), {"Content_Encoding": "gzip"}),
        (zlib.compress(body), {"Content_Encoding": "deflate"}),
        (zstd.frame(body), {"Content_Encoding": "zstd"}),
    ):
        answer = send(api, data, "once=request", **headers)
        assert answer.json()["event_ids"] == ids_of(
            name_of(body, query="once=request"), [0]
        )
    api.rest()
    assert stored(api, sent["message"]) == 1


def test_lines_have_numbers_too(api):
    one, two = unique(), unique()
    body = f"{json.dumps(one)}\n\nno JSON\n{json.dumps(two)}\n".encode()
    name = name_of(body, "k")
    for _ in range(2):
        answer = send(api, body, key="k", content_type=NDJSON)
        assert answer.json()["event_ids"] == [
            *ids_of(name, [0]),
            None,
            *ids_of(name, [2]),
        ]
    api.rest()
    assert stored(api, one["message"]) == stored(api, two["message"]) == 1


def test_a_static_key_loses_nothing(api):
    """Another body, or the same one with another query, is another request."""
    same = unique()
    others = [unique() for _ in range(5)]
    for one in others:
        send(api, bodied(one), key="static")
    for query in ("", "service=a", "service=b", "once=none"):
        assert send(api, bodied(same), query, key="static").status_code == 202
    api.rest()
    assert [stored(api, one["message"]) for one in others] == [1] * 5
    assert stored(api, same["message"]) == 4


def test_equal_events_stay_several(api):
    same = unique()
    body = bodied(same, same, same)
    for _ in range(2):
        send(api, body, "once=request")
    send(api, bodied(same, same), "once=request")  # another request
    api.rest()
    assert stored(api, same["message"]) == 5


def test_without_a_time_bytes_are_no_name(api):
    sent = {"message": str(uuid.uuid4())}
    for _ in range(2):
        answer = send(api, bodied(sent), "once=request&lenient=true")
        assert answer.status_code == 202
        assert answer.json()["event_ids"][0][14] == "7"
    body = bodied(sent)
    for _ in range(2):
        answer = send(api, body, "lenient=true", key="k")
        assert answer.json()["event_ids"] == ids_of(
            name_of(body, "k", "lenient=true", ms=None), [0]
        )
    api.rest()
    assert stored(api, sent["message"]) == 3


def test_without_a_name_nothing_is_compared(api):
    sent = unique()
    for query in ("", "", "once=none"):
        answer = send(api, bodied(sent), query)
        assert answer.json()["event_ids"][0][14] == "7"
    api.rest()
    assert stored(api, sent["message"]) == 3


def test_the_option(hosts, programs):
    api = programs.collectd(hosts[0].database, buffer={"Once": "request"}).start()
    api.database = hosts[0].database
    sent = unique()
    for _ in range(2):
        send(api, bodied(sent))
    for _ in range(2):
        send(api, bodied(sent), "once=none")
    api.rest()
    assert stored(api, sent["message"]) == 3


@pytest.mark.parametrize(
    "headers",
    [
        [("Idempotency-Key", "")],
        [("Idempotency-Key", '""')],
        [("Idempotency-Key", "two words")],
        [("Idempotency-Key", "x" * 256)],
        [("Idempotency-Key", "caf\xe9")],
        [("Idempotency-Key", "a"), ("Idempotency-Key", "b")],
        [("Idempotency-Key", "a"), ("X-Idempotency-Key", "b")],
    ],
)
def test_what_is_no_key(api, headers):
    body = bodied(unique())
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=30)
    connection.putrequest("POST", "/events")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", str(len(body)))
    for name, value in headers:
        connection.putheader(name, value.encode("latin-1"))
    connection.endheaders(body)
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    assert response.status == 400
    assert list(answer["errors"][0]["constraints"]) == ["isIdempotencyKey"]


def test_the_same_key_twice(api):
    sent = unique()
    body = bodied(sent)
    answer = send(api, body, Idempotency_Key="a", X_Idempotency_Key='"a"')
    assert answer.json()["event_ids"] == ids_of(name_of(body, "a"), [0])


# --- OpenTelemetry ----------------------------------------------------------------------


def test_exporters_repeat_a_request(hosts):
    text = str(uuid.uuid4())
    record = {"timeUnixNano": str(TIME_MS * 10**6), "body": {"stringValue": text}}
    body = json.dumps(
        {"resourceLogs": [{"scopeLogs": [{"logRecords": [record, record]}]}]}
    )

    def export(api, query=""):
        answer = api.session.post(
            api.url("/v1/logs" + query),
            data=body,
            headers={"Content-Type": "application/json"},
            timeout=30,
        )
        assert answer.status_code == 200

    for api in (*hosts, hosts[0]):
        export(api)
    figures(*hosts)
    assert stored(hosts[0], text) == 2
    export(hosts[0], "?once=none")
    export(hosts[0], "?once=none")
    hosts[0].rest()
    assert stored(hosts[0], text) == 6


@pytest.mark.parametrize(
    "times, query, key, ms",
    [
        ((None, TIME_MS), "", "", TIME_MS),
        ((TIME_MS, 1), "once=request&service=a", "", TIME_MS),
        ((2**64 // 10**6, TIME_MS), "", "", TIME_MS),  # counts as not set
        ((TIME_MS,), "", "k", TIME_MS),
        ((TIME_MS,), "once=none", "k", TIME_MS),
        ((None, None), "", "k", None),
    ],
)
def test_how_records_are_named(api, times, query, key, ms):
    """They are numbered through all resources."""
    records = [{"body": {"stringValue": str(uuid.uuid4())}} for _ in times]
    for one, time in zip(records, times):
        if time is not None:
            one["timeUnixNano"] = str(time * 10**6)
    logs = [{"scopeLogs": [{"logRecords": [one]}]} for one in records]
    body = json.dumps({"resourceLogs": logs}).encode()
    headers = {"Content-Type": "application/json"}
    if key:
        headers["Idempotency-Key"] = key
    answer = api.session.post(
        api.url("/v1/logs" + ("?" + query if query else "")),
        data=body, headers=headers, timeout=30,
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
    api.rest()
    wanted = ids_of(name_of(body, key, query, ms), range(len(times)))
    for one, identifier in zip(records, wanted):
        assert api.database.value(
            "SELECT message FROM aurore.event WHERE event_id = %s", (identifier,)
        ) == one["body"]["stringValue"]


# --- what dies meanwhile ------------------------------------------------------------------


class Sender(threading.Thread):
    """Sends requests, each again until it is answered 202; some answers it does
    not wait for, unless it is patient, and so sends them again, too, to whichever
    host."""

    def __init__(self, apis, seed, is_patient=False):
        super().__init__(daemon=True)
        self._apis = apis
        self._seed = seed
        self._is_patient = is_patient
        self.sent = []
        self.requests = []  # (query, body, headers) of what was sent
        self.stop = threading.Event()
        self.failure = None

    def run(self):
        try:
            turn = 0
            while not self.stop.is_set():
                turn += 1
                self._send(turn)
        except Exception as error:  # shown by the test
            self.failure = error

    def _send(self, turn):
        events = [unique() for _ in range(1 + turn % 7)]
        query, headers = "", {}
        if turn % 3 == 0:
            for one in events:
                one["event_id"] = str(uuid.uuid4())
        elif turn % 3 == 1:
            headers["Idempotency-Key"] = "static"
        else:
            query = "?once=request"
        body = bodied(*events)
        self.sent += [one["message"] for one in events]
        self.requests.append((query, body, headers))
        impatient = turn % 4 == 0 and not self._is_patient
        while True:
            turn += 1
            api = self._apis[(self._seed + turn) % len(self._apis)]
            if self._try(api, query, body, headers, impatient):
                return
            impatient = False
            if self.stop.wait(0.01):
                impatient = False

    def _try(self, api, query, body, headers, impatient):
        connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=20)
        try:
            connection.request(
                "POST",
                "/events" + query,
                body,
                {"Content-Type": "application/json", **headers},
            )
            if impatient:
                return False
            answer = connection.getresponse()
            answer.read()
            assert answer.status in (202, 429, 503), answer.status
            return answer.status == 202
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def check_each_once(database, senders):
    messages = [one for sender in senders for one in sender.sent]
    rows = [one for (one,) in database.rows("SELECT message FROM aurore.event")]
    assert sorted(rows) == sorted(messages)
    assert database.counted() == len(rows)


def start_senders(apis, **keywords):
    senders = [Sender(apis, seed, **keywords) for seed in range(3)]
    for sender in senders:
        sender.start()
    return senders


def end_senders(senders):
    for sender in senders:
        sender.stop.set()
    for sender in senders:
        sender.join(60)
        assert not sender.is_alive() and sender.failure is None, sender.failure


def has_sent(senders, count):
    return lambda: all(
        len(sender.sent) >= count or sender.failure for sender in senders
    )


@pytest.mark.parametrize("moment", [AFTER_COMMIT, BEFORE_END, AFTER_END])
def test_the_database_is_cut_off(postgres, programs, moment):
    """At the worst moments of either string, again and again."""
    database = programs.database(postgres)
    proxy = Proxy(postgres.directory / ".s.PGSQL.5432")
    conninfo = (
        f"host=127.0.0.1 port={proxy.port} user=postgres"
        f" dbname={database.name} sslmode=disable gssencmode=disable"
    )
    apis = [
        programs.collectd(conninfo, writer=EAGER, buffer={"Lanes": 2}).start(),
        programs.collectd(conninfo, writer=EAGER).start(),
    ]
    senders = start_senders(apis)
    for count in range(40, 240, 40):
        proxy.set_trap(moment, 2)
        wait_until(has_sent(senders, count), 120, "nothing is sent")
        proxy.cut()
    proxy.let_go()
    end_senders(senders)
    for api in apis:
        api.rest()
    check_each_once(database, senders)
    for api in apis:
        assert api.stop() == 0
    proxy.close()


def test_hosts_are_killed(postgres, programs):
    database = programs.database(postgres)
    apis = [programs.collectd(database, buffer={"Lanes": 2}) for _ in range(2)]
    for api in apis:
        api.buffer["SpoolDirectory"] = api.directory / "spool"
        api.start()
    senders = start_senders(apis)
    for turn in range(4):
        wait_until(has_sent(senders, 40 * (turn + 1)), 120, "nothing is sent")
        apis[turn % 2].kill()
        apis[turn % 2].start()
    end_senders(senders)
    for api in apis:
        api.rest()
    check_each_once(database, senders)


def settled(api):
    """How many of the accepted events have been stored, or not stored again."""
    values = api.metrics()
    return sum(
        values.get(f"events_{name}_total") for name in ("processed", "duplicate")
    )


def wait_settled(apis):
    """Until all that has been accepted by now is stored."""
    accepted = [(api, api.metrics().get("events_enqueued_total")) for api in apis]
    wait_until(
        lambda: all(settled(api) >= count for api, count in accepted),
        120,
        "what was accepted is not stored",
    )


END_GENERATION = (
    "UPDATE aurore.event_key_generation SET began_at = began_at -"
    " (ends_at - now()), ends_at = now() WHERE ends_at IS NOT NULL"
)
END_SESSIONS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE"
    " application_name LIKE '%writer%' AND datname = current_database()"
)


def test_sessions_are_ended_while_generations_turn(postgres, programs):
    """A generation lasts no longer than what was accepted in the one before it
    waits to be stored."""
    database = programs.database(postgres)
    writer = {**EAGER, "DedupWindow": 60}
    apis = [programs.collectd(database, writer=writer).start() for _ in range(2)]
    senders = start_senders(apis)
    for turn in range(6):
        wait_until(has_sent(senders, 30 * (turn + 1)), 120, "nothing is sent")
        if turn % 2 == 0:
            wait_settled(apis)
            database.execute(END_GENERATION)
        else:
            database.execute(END_SESSIONS)
    end_senders(senders)
    for api in apis:
        api.rest()
    check_each_once(database, senders)


def named_in_turn(number):
    """What a client sends: a body, and what names it."""
    events = [unique() for _ in range(1 + number % 5)]
    if number % 3 == 0:
        for one in events:
            one["event_id"] = str(uuid.uuid4())
    query = "once=request" if number % 3 == 1 else ""
    return bodied(*events), query, "static" if number % 3 == 2 else None


def test_two_hosts_have_the_same_at_once(postgres, programs):
    """All of it, in opposite order: they contend for names, while sessions end and
    generations change places."""
    database = programs.database(postgres)
    writer = {**EAGER, "DrainInterval": 0.02}
    apis = [
        programs.collectd(database, writer=writer, buffer={"Lanes": 2}).start()
        for _ in range(2)
    ]
    requests = [named_in_turn(number) for number in range(300)]
    count = sum(len(json.loads(body)) for body, _, _ in requests)
    answers = [{}, {}]

    def send_all(host, turn):
        for body, query, key in requests[::turn]:
            answer = send(apis[host], body, query, key)
            answers[host][body] = answer.status_code, answer.json()["event_ids"]

    threads = [
        threading.Thread(target=send_all, args=(host, 1 - 2 * host))
        for host in range(2)
    ]
    for one in threads:
        one.start()
    for turn in range(8):
        wait_until(
            lambda part=turn: all(len(one) >= 30 * part for one in answers),
            120,
            "nothing is sent",
        )
        database.execute(END_GENERATION if turn == 4 else END_SESSIONS)
    for one in threads:
        one.join(120)
    assert answers[0] == answers[1] and len(answers[0]) == len(requests)
    assert {status for status, _ in answers[0].values()} == {202}
    total = figures(*apis)
    assert total["processed"] == total["duplicate"] == count
    assert database.stored() == database.counted() == count


def test_an_id_is_forgotten(postgres, programs):
    database = programs.database(postgres)
    api = programs.collectd(database, writer={"DedupWindow": 0.2}).start()
    sent = {**unique(), "event_id": str(uuid.uuid4())}
    api.accept(sent)

    def is_stored_again():
        api.accept(sent)
        api.rest()
        return database.stored() >= 2

    wait_until(is_stored_again, 60, "the id is never forgotten")
