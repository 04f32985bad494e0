# SPDX-License-Identifier: MIT
"""What a query costs the database when there are many events: the plans of the
queries that collectd sends, as the server itself logs them.

300,000 events in 30 partitions unless AURORE_PLAN_ROWS says how many;
"./check --long" takes 10,000,000.
"""

import json
import os
import uuid
from datetime import datetime, timedelta, timezone

import pytest

ROWS = int(os.environ.get("AURORE_PLAN_ROWS", "300000"))
DAYS = 30
SERVICES = 10
LAST = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
FIRST = LAST - timedelta(days=DAYS)

FIRST_NAME = FIRST.strftime("event_%Y%m%d")
LAST_NAME = LAST.strftime("event_%Y%m%d")

SETTINGS = {
    "session_preload_libraries": "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_timing": "off",
    "auto_explain.log_format": "json",
}

# A day's events, in the order in which they are accepted; each has happened
# within the minute before, and every hundredth within the day.
FILL = """
INSERT INTO aurore.event (event_id, occurred_at, ingested_at, service, message,
                          metadata)
SELECT gen_random_uuid(),
       at - CASE WHEN i %% 100 = 0 THEN random() * interval '1 day'
                 ELSE random() * interval '1 minute' END,
       at, 'service ' || i %% %(services)s, 'message ' || md5(i::text),
       jsonb_build_object('request', i)
  FROM (SELECT i, %(day)s::timestamptz + i * interval '1 day' / %(rows)s AS at
          FROM generate_series(0, %(rows)s - 1) AS i) AS made
"""


@pytest.fixture(scope="module")
def full(postgres, module_programs):
    """A collectd whose database holds ROWS events of the last days."""
    database = module_programs.database(postgres)
    for name, value in SETTINGS.items():
        database.execute(f"ALTER DATABASE {database.name} SET {name} = '{value}'")
    api = module_programs.collectd(
        database, writer={"RetentionDays": 0, "QueryTimeout": 600}
    ).start()
    api.accept({"timestamp": 1, "service": "first", "message": "m"})
    api.rest()
    database.close()
    database.execute("SET session_preload_libraries = ''")
    database.execute("SET auto_explain.log_min_duration = -1")
    database.execute(
        "SELECT aurore.ensure_partitions(%s, %s)", (FIRST.date(), LAST.date())
    )
    for day in range(DAYS):
        database.execute(
            FILL,
            {
                "day": FIRST + timedelta(days=day),
                "rows": ROWS // DAYS,
                "services": SERVICES,
            },
        )
    # As autovacuum would have done by then.
    database.execute("VACUUM (ANALYZE) aurore.event")
    api.server = postgres
    return api


def plan_of(api, **parameters):
    """The answer to a query, and the plan that the server logged for it."""
    asked = {
        "service": "service 3",
        "from": FIRST.isoformat(),
        "to": (FIRST + timedelta(days=DAYS)).isoformat(),
    }
    asked.update(parameters)
    seen = len(api.server.process.log())
    answer = api.get("/events", params=asked, timeout=600)
    assert answer.status_code == 200, answer.text
    log = api.server.process.log()[seen:]
    (plan,) = plans_in(log, f"service = '{asked['service']}'")
    return answer.json(), plan


def plans_in(log, mark):
    """Of the statements that have this text, in their order."""
    plans = [part for part in log.split("plan:\n")[1:] if mark in part]
    return [
        json.JSONDecoder().raw_decode(plan.strip())[0]["Plan"] for plan in plans
    ]


def nodes(plan):
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


def scans(plan):
    """Of the partitions that hold events; those of the days to come are empty,
    and reading nothing in order costs nothing."""
    return [
        node
        for node in nodes(plan)
        if FIRST_NAME <= node.get("Relation Name", "") < LAST_NAME
    ]


def count_and_page(plan):
    """The two halves: what counts all rows, and what finds those of the page."""
    (join,) = [n for n in nodes(plan) if n.get("Join Type") == "Left"]
    count, page = join["Plans"]
    return count, page


def fetched(node):
    return sum(
        scan["Actual Rows"] * scan["Actual Loops"] for scan in scans(node)
    )


def check_count(plan, total):
    """All that match are counted, in the index alone."""
    found = scans(plan)
    assert len(found) == DAYS
    assert {scan["Node Type"] for scan in found} == {"Index Only Scan"}
    # Of several processes the server tells the rounded mean.
    assert abs(fetched(plan) - total) <= sum(s["Actual Loops"] for s in found)


@pytest.mark.parametrize("order", ["DESC", "ASC"])
@pytest.mark.parametrize("page, size", [(1, 100), (1, 1000), (3, 500)])
def test_a_page_by_time_is_read_from_the_index(full, order, page, size):
    body, plan = plan_of(full, page=page, pageSize=size, sortOrder=order)
    assert len(body["items"]) == size
    counting, paging = count_and_page(plan)
    check_count(counting, body["total"])
    assert ROWS / SERVICES * 0.9 < body["total"] <= ROWS / SERVICES
    found = scans(paging)
    assert {scan["Node Type"] for scan in found} == {"Index Scan"}
    assert not any(n["Node Type"] == "Sort" for n in nodes(paging))
    # No more than the page, what stands before it, and one of each partition.
    assert fetched(paging) <= page * size + len(found)


def test_an_hour_costs_an_hour(full):
    start = FIRST + timedelta(days=DAYS // 2, hours=7)
    body, plan = plan_of(
        full,
        **{
            "from": start.isoformat(),
            "to": (start + timedelta(hours=1)).isoformat(),
            "pageSize": 1000,
        },
    )
    counting, paging = count_and_page(plan)
    assert body["total"] > 0
    check_count(counting, body["total"])
    assert "Seq Scan" not in {scan["Node Type"] for scan in scans(plan)}
    assert fetched(paging) <= body["total"] + len(scans(paging))


def test_a_service_that_is_not_there_costs_nothing(full):
    body, plan = plan_of(full, service="service 33")
    assert body["total"] == 0
    assert "Seq Scan" not in {scan["Node Type"] for scan in scans(plan)}
    assert fetched(plan) == 0


@pytest.mark.parametrize("field", ["service", "message", "ingestedAt", "createdAt"])
def test_another_order_reads_the_service_alone(full, field):
    """It sorts all events of the range, and no others."""
    start = FIRST + timedelta(days=3)
    body, plan = plan_of(
        full,
        sortField=field,
        **{
            "from": start.isoformat(),
            "to": (start + timedelta(days=1)).isoformat(),
        },
    )
    counting, paging = count_and_page(plan)
    assert body["total"] > 0
    check_count(counting, body["total"])
    assert "Seq Scan" not in {scan["Node Type"] for scan in scans(plan)}
    assert len(body["items"]) == 100


def test_another_order_of_all_days(full):
    """It may take what it takes, up to QueryTimeout, and is right."""
    body, plan = plan_of(full, sortField="message", sortOrder="ASC", pageSize=1000)
    check_count(count_and_page(plan)[0], body["total"])
    messages = [item["message"] for item in body["items"]]
    assert messages == sorted(messages)
    assert messages[0] == full.database.value(
        "SELECT min(message COLLATE \"C\") FROM aurore.event"
        " WHERE service = 'service 3' AND occurred_at BETWEEN %s AND %s",
        (FIRST, LAST),
    )


# --- without a total, and by cursor -------------------------------------------------


@pytest.mark.parametrize("order", ["DESC", "ASC"])
def test_a_page_by_cursor_costs_the_same_wherever_it_is(full, order):
    """It begins in the index where the page before has ended."""
    size = 500
    asked = {"pageSize": size, "sortOrder": order, "total": "false"}
    body, plan = plan_of(full, **asked)
    seen = 0
    for _ in range(8):
        found = scans(plan)
        assert {scan["Node Type"] for scan in found} == {"Index Scan"}
        assert not any(n["Node Type"] in ("Sort", "Aggregate") for n in nodes(plan))
        # The page, one that says that there are more, and one of each partition.
        assert fetched(plan) <= size + 1 + len(found)
        assert len(body["items"]) == size
        seen += size
        body, plan = plan_of(full, cursor=body["nextCursor"], **asked)
    far = full.database.value(
        "SELECT count(*) FROM aurore.event WHERE service = 'service 3'"
        f" AND occurred_at {'>' if order == 'DESC' else '<'} %s",
        (body["items"][0]["timestamp"],),
    )
    assert far >= seen * 0.9


# --- one by its id -------------------------------------------------------------------


def version_7(moment):
    """An id that was made at that time."""
    ms = int(moment.timestamp() * 1000)
    return str(uuid.UUID(int=ms << 80 | 7 << 76 | 2 << 62 | 12345))


def plans_of_one(api, identifier, **parameters):
    seen = len(api.server.process.log())
    answer = api.get(f"/events/{identifier}", params=parameters, timeout=600)
    return answer, plans_in(api.server.process.log()[seen:], identifier)


@pytest.mark.parametrize("is_there", [True, False])
def test_one_by_its_id_costs_a_moment(full, is_there):
    """Rows of the seconds around its id are read, of one partition."""
    noon = FIRST + timedelta(days=DAYS // 3 + is_there, hours=12)
    moment = full.database.value(
        "SELECT min(ingested_at) FROM aurore.event WHERE ingested_at BETWEEN %s AND %s",
        (noon, noon + timedelta(hours=1)),
    )
    identifier = version_7(moment)
    if is_there:
        full.database.execute(
            "UPDATE aurore.event SET event_id = %s WHERE ingested_at = %s",
            (identifier, moment),
        )
    answer, plans = plans_of_one(full, identifier)
    assert answer.status_code == (200 if is_there else 404)
    for plan in plans:
        found = scans(plan)
        assert len({scan["Relation Name"] for scan in found}) <= 1
        if ROWS // DAYS > 100_000:
            assert {"Seq Scan"}.isdisjoint(scan["Node Type"] for scan in found)
        read = sum(scan["Actual Rows"] + scan.get("Rows Removed by Filter", 0)
                   + scan.get("Rows Removed by Index Recheck", 0) for scan in found)
        # A range of the BRIN is 128 pages; a small partition is read whole.
        assert read <= max(40_000, 3 * ROWS // DAYS // 100), plan


def test_one_at_a_place_is_read_from_the_index(full):
    row = full.database.rows(
        "SELECT event_id::text, occurred_at FROM aurore.event"
        " WHERE service = 'service 3' LIMIT 1"
    )[0]
    answer, plans = plans_of_one(
        full, row[0], service="service 3", **{
            "from": (row[1] - timedelta(hours=1)).isoformat(),
            "to": (row[1] + timedelta(hours=1)).isoformat(),
        },
    )  # fmt: skip
    assert answer.status_code == 200
    (plan,) = plans
    assert {scan["Node Type"] for scan in scans(plan)} <= {"Index Scan"}
    # The index has the id, too: no other row is read.
    assert fetched(plan) == 1
    assert sum(n.get("Rows Removed by Filter", 0) for n in nodes(plan)) == 0
