# SPDX-License-Identifier: MIT
"""CORS byte by byte, without a browser (test_cors.py has one): which headers each
path of the document has for an origin that is listed, for others, and with a
star."""

import pytest
import requests
import yaml

from harness.build import TOP
from harness.wait import wait_until

DOCUMENT = yaml.safe_load((TOP / "docs/openapi.yaml").read_text())
NOBODY = "01936b6e-0f5a-4d3e-8a1b-0123456789ab"
LISTED = "https://app.example"
OTHERS = [
    "https://other.example",
    "http://app.example",
    "https://app.example:444",
    "https://app.example.evil",
    "https://app.example/",
    f"{LISTED}, {LISTED}",
    "null",
]
# Where a page may do something with its visitor's credentials.
WITH_CREDENTIALS = {("POST", "/events"), ("POST", "/v1/logs")}
EXPOSED = {"retry-after", "x-correlation-id", "preference-applied", "x-rejected"}
PATHS = [path.replace("{id}", NOBODY) for path in DOCUMENT["paths"]]
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


def start(programs, database, origins):
    api = programs.collectd(database, {"AllowOrigin": origins}).start()
    wait_until(database.has_schema, 30, "there is no schema")
    return api


@pytest.fixture(scope="module")
def listed(postgres, module_programs):
    database = module_programs.database(postgres)
    return start(module_programs, database, [LISTED, "http://localhost:8080"])


@pytest.fixture(scope="module")
def star(postgres, module_programs):
    return start(module_programs, module_programs.database(postgres), "*")


def names(value):
    return {name.strip().lower() for name in value.split(",")}


def ask(api, method, path, origin, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    headers["Origin"] = origin
    if method == "POST":
        headers["Content-Type"] = "application/json"
    return requests.request(
        method, api.url(path), headers=headers, timeout=30,
        data=b"{}" if method in ("POST", "PUT", "PATCH") else None,
    )  # fmt: skip


def cors(answer):
    return {
        name[len("access-control-") :].lower(): value
        for name, value in answer.headers.items()
        if name.lower().startswith("access-control-")
    }


@pytest.mark.parametrize("path", [*PATHS, "/nope"])
def test_an_origin_that_is_listed(listed, path):
    """Whatever the answer is."""
    for place in (path, path + "/"):
        for method in METHODS:
            answer = ask(listed, method, place, LISTED)
            found = cors(answer)
            assert found.pop("allow-origin") == LISTED
            assert names(found.pop("expose-headers")) == EXPOSED
            if (method, path) in WITH_CREDENTIALS:
                assert found.pop("allow-credentials") == "true"
            assert found == {}, method
            assert "origin" in names(answer.headers["Vary"])


@pytest.mark.parametrize("path", PATHS)
def test_its_preflights(listed, path):
    for method in METHODS:
        answer = ask(
            listed, "OPTIONS", path, LISTED,
            Access_Control_Request_Method=method,
            Access_Control_Request_Headers="ce-id,content-type, X-Of-A-Page",
        )  # fmt: skip
        assert answer.status_code == 204 and answer.content == b""
        found = cors(answer)
        assert found["allow-origin"] == LISTED
        assert found["max-age"] == "86400"
        assert found["allow-methods"] == answer.headers["Allow"]
        assert names(found["allow-headers"]) == {"ce-id", "content-type", "x-of-a-page"}
        has = (method, path) in WITH_CREDENTIALS
        assert found.get("allow-credentials") == ("true" if has else None), method
        assert "origin" in names(answer.headers["Vary"])


@pytest.mark.parametrize("origin", OTHERS)
def test_an_origin_that_is_not_listed(listed, origin):
    for method, path in [("GET", "/live"), ("GET", "/events"), *WITH_CREDENTIALS]:
        answer = ask(listed, method, path, origin)
        assert cors(answer) == {}
        assert "origin" in names(answer.headers["Vary"])
        asked = ask(
            listed, "OPTIONS", path, origin, Access_Control_Request_Method=method
        )
        assert cors(asked) == {}


def test_vary_names_all_that_an_answer_depends_on(listed):
    answer = ask(listed, "GET", "/metrics/prometheus", LISTED)
    assert names(answer.headers["Vary"]) == {"origin", "accept-encoding"}


@pytest.mark.parametrize("path", PATHS)
def test_a_star_never_has_credentials(star, path):
    for method in METHODS:
        found = cors(ask(star, method, path, LISTED))
        assert found.pop("allow-origin") == "*"
        assert names(found.pop("expose-headers")) == EXPOSED
        assert found == {}, method
        asked = cors(
            ask(star, "OPTIONS", path, LISTED, Access_Control_Request_Method=method)
        )
        assert asked["allow-origin"] == "*" and "allow-credentials" not in asked


def test_without_the_option_there_is_none(programs, database):
    api = programs.collectd(database).start()
    for method, path in [("GET", "/live"), *WITH_CREDENTIALS]:
        answer = ask(api, method, path, LISTED)
        assert cors(answer) == {} and "Vary" not in answer.headers
        asked = ask(api, "OPTIONS", path, LISTED, Access_Control_Request_Method=method)
        assert asked.status_code == 204 and cors(asked) == {}
