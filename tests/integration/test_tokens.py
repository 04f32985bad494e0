# SPDX-License-Identifier: MIT
"""Tokens: what each scope may do, operation by operation of the document, and how
a client is told what is wrong with its token (RFC 6750, RFC 7617)."""

import base64
import hashlib

import pytest
import requests
import yaml

from harness.build import TOP
from harness.wait import wait_until

DOCUMENT = yaml.safe_load((TOP / "docs/openapi.yaml").read_text())
SCOPES = ("ingest", "read", "admin")
NOBODY = "01936b6e-0f5a-4d3e-8a1b-0123456789ab"


def operations():
    """(method, path, the scope that it needs) of each; None: it needs none."""
    for path, item in DOCUMENT["paths"].items():
        for method in ("get", "post", "patch", "delete"):
            if method not in item:
                continue
            scopes = [one for way in item[method]["security"] for one in way.get("token", [])]
            scope = scopes[0] if scopes else None
            yield method.upper(), path.replace("{id}", NOBODY), scope
            if method == "get":
                yield "HEAD", path.replace("{id}", NOBODY), scope


OPERATIONS = list(operations())


def bearer(token):
    return f"Bearer {token}"


def basic(token, user="anybody"):
    return "Basic " + base64.b64encode(f"{user}:{token}".encode()).decode()


@pytest.fixture(scope="module")
def guarded(postgres, module_programs):
    database = module_programs.database(postgres)
    api = module_programs.collectd(database)
    api.buffer["TokenFile"] = api.directory / "tokens"
    api.buffer["TokenFile"].write_text(
        "".join(
            f"{scope} {hashlib.sha256(scope.encode()).hexdigest()}\n"
            for scope in SCOPES
        )
    )
    api.start()
    wait_until(database.has_schema, 30, "there is no schema")
    return api


def ask(api, method, path, authorization):
    headers = {} if authorization is None else {"Authorization": authorization}
    if method == "POST":
        headers["Content-Type"] = "application/json"
    return requests.request(
        method,
        api.url(path),
        headers=headers,
        data=b"{}" if method == "POST" else None,
        timeout=30,
    )


def check_code(answer, path, code, number):
    """In the route's own shape."""
    if not answer.content:
        return  # of a HEAD
    if path == "/v1/logs":
        assert answer.json()["code"] == number
        return
    assert answer.json()["errorCode"] == code
    assert answer.json()["statusCode"] == answer.status_code


@pytest.mark.parametrize("method, path, needed", OPERATIONS)
def test_what_a_scope_may_do(guarded, method, path, needed):
    for scope in SCOPES:
        for how in (bearer, basic):
            answer = ask(guarded, method, path, how(scope))
            if needed is None or scope in (needed, "admin"):
                assert answer.status_code not in (401, 403), (scope, answer.text)
                assert "WWW-Authenticate" not in answer.headers
                continue
            assert answer.status_code == 403, (scope, answer.text)
            check_code(answer, path, "FORBIDDEN", 7)
            assert answer.headers["WWW-Authenticate"] == (
                f'Bearer error="insufficient_scope", scope="{needed}"'
            )


WRONG = [
    # what is sent, and what is said of it
    (None, "Bearer"),
    ("", "Bearer"),
    ("Bearer", "Bearer"),
    ("read", "Bearer"),
    ("Digest read", "Bearer"),
    (bearer("unknown"), 'Bearer error="invalid_token"'),
    (bearer("read,"), 'Bearer error="invalid_token"'),
    (bearer("READ"), 'Bearer error="invalid_token"'),
    (basic("unknown"), 'Bearer error="invalid_token"'),
    (basic("read "), 'Bearer error="invalid_token"'),
    ("Basic !", 'Bearer error="invalid_token"'),
    ("Basic cmVhZA==", 'Bearer error="invalid_token"'),  # has no colon
]


@pytest.mark.parametrize("method, path, needed", OPERATIONS)
def test_tokens_that_are_none(guarded, method, path, needed):
    for authorization, challenge in WRONG:
        answer = ask(guarded, method, path, authorization)
        if needed is None:
            assert answer.status_code == 200, authorization
            continue
        assert answer.status_code == 401, authorization
        check_code(answer, path, "UNAUTHORIZED", 16)
        if path == "/":  # a browser asks its user
            assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")
        else:
            assert answer.headers["WWW-Authenticate"] == challenge, authorization


@pytest.mark.parametrize(
    "authorization",
    [
        bearer("read"),
        "bearer read",
        "BEARER   read",
        basic("read", user=""),
        basic("read").replace("Basic", "BASIC"),
        basic("read").rstrip("="),
    ],
)
def test_ways_to_write_a_token(guarded, authorization):
    assert ask(guarded, "GET", "/metrics", authorization).status_code == 200


def test_what_is_said_without_a_token(guarded):
    """Which paths there are, and their methods: no secret of this API."""
    assert ask(guarded, "GET", "/nope", None).status_code == 404
    assert ask(guarded, "PUT", "/dlq", None).status_code == 405
    assert ask(guarded, "OPTIONS", "/dlq", None).status_code == 204
