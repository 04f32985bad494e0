# SPDX-License-Identifier: MIT
"""HTTPS and tokens: files that are replaced under load, and wrong ones at the
start. Versions, ciphers and purposes are tests/unit/http/check_tls.c's."""

import hashlib
import os
import shutil
import ssl
import stat
import threading

import pytest
import requests

from harness.certificate import make_certificate
from harness.events import event
from harness.process import free_port
from harness.wait import wait_until

DAY = 86400


class Https:
    """The client's side of a collectd that listens with TLS."""

    def __init__(self, api):
        self.api = api
        self.trusted = api.directory / "trusted.pem"

    def url(self, path):
        return f"https://127.0.0.1:{self.api.port}{path}"

    def served(self):
        """The certificate that a new connection is shown, as PEM."""
        return ssl.get_server_certificate(("127.0.0.1", self.api.port))

    def wait_served(self, name):
        wanted = (self.api.directory / f"{name}.pem").read_text().strip()
        wait_until(
            lambda: self.served().strip() == wanted, 30, f"does not serve {name}"
        )


def start(programs, database, **buffer):
    api = programs.collectd(database, buffer)
    for name, days in ("first", 10), ("second", 20):
        make_certificate(api.directory, name, days)
    with (api.directory / "trusted.pem").open("w") as trusted:
        for name in "first", "second":
            trusted.write((api.directory / f"{name}.pem").read_text())
    for ending in "pem", "key":
        shutil.copy(
            api.directory / f"first.{ending}", api.directory / f"server.{ending}"
        )
    api.buffer["TLSCertificate"] = api.directory / "server.pem"
    api.buffer["TLSKey"] = api.directory / "server.key"
    https = Https(api)
    api.url = https.url
    api.session.trust_env = False  # which would have its own authorities
    api.session.verify = str(https.trusted)
    api.start()
    return api, https


def replace(directory, name, place="server"):
    """As whoever renews certificates does it: first one file, then the other."""
    for ending in "key", "pem":
        shutil.copy(directory / f"{name}.{ending}", directory / "new")
        os.rename(directory / "new", directory / f"{place}.{ending}")


class Clients:
    """Send events as fast as they can, each on a connection of its own and on one
    that stays; what goes wrong is kept."""

    def __init__(self, post, count=3):
        self.answers = 0
        self.faults = []
        self._stop = threading.Event()
        self._post = post
        self._threads = [
            threading.Thread(target=self._run, args=(i,)) for i in range(count)
        ]

    def _run(self, number):
        session = requests.Session()
        while not self._stop.is_set():
            try:
                if number % 2 == 0:
                    session.close()
                status = self._post(session)
            except requests.RequestException as error:
                self.faults.append(repr(error))
                return
            if status != 202:
                self.faults.append(status)
                return
            self.answers += 1
        session.close()

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_more(self):
        goal = self.answers + 50
        wait_until(
            lambda: self.answers >= goal or self.faults, 60, "nothing is accepted"
        )


def test_a_certificate_is_replaced_under_load(programs, database):
    """No request fails, and every accepted event is stored once."""
    api, https = start(programs, database)

    def post(session):
        return session.post(
            https.url("/events"),
            json=event(),
            verify=str(https.trusted),
            timeout=30,
        ).status_code

    with Clients(post) as clients:
        for name in "second", "first", "second":
            clients.wait_more()
            replace(api.directory, name)
            https.wait_served(name)
        clients.wait_more()
    assert clients.faults == []
    database.wait_stored(clients.answers)
    assert api.rest().get("events_processed_total") == clients.answers


def digest(token):
    return hashlib.sha256(token.encode()).hexdigest()


def test_tokens_are_replaced_under_load(programs, database):
    """Whose token is in both files notices nothing."""
    api = programs.collectd(database)
    tokens = api.directory / "tokens"
    api.buffer["TokenFile"] = tokens

    def write(*known):
        new = api.directory / "tokens.new"
        new.write_text("".join(f"admin {digest(token)}\n" for token in known))
        os.rename(new, tokens)

    def status_of(token):
        return api.get(
            "/metrics/prometheus", headers={"Authorization": f"Bearer {token}"}
        ).status_code

    def post(session):
        return session.post(
            api.url("/events"),
            json=event(),
            headers={"Authorization": "Bearer stays"},
            timeout=30,
        ).status_code

    write("stays", "old")
    api.start()
    assert status_of("old") == 200
    with Clients(post) as clients:
        clients.wait_more()
        write("stays", "new")
        wait_until(lambda: status_of("new") == 200, 30, "is not read again")
        assert status_of("old") == 401
        clients.wait_more()
    assert clients.faults == []
    database.wait_stored(clients.answers)


def test_what_cannot_be_used_is_told_once(programs, database):
    """In the log and as a metric; and the old certificate stays in force."""
    api, https = start(programs, database)
    (api.directory / "new").write_text("half a certif")
    os.rename(api.directory / "new", api.directory / "server.pem")
    wait_until(
        lambda: api.values().get(
            "collectd_aurore_config_reload_failures_total", type="certificate"
        )
        == 1,
        30,
        "is not counted",
    )
    https.wait_served("first")
    told = [line for line in api.complaints() if "server.pem" in line]
    assert len(told) == 1 and "stays in force" in told[0], api.log()
    replace(api.directory, "second")
    https.wait_served("second")
    assert [line for line in api.complaints() if "server.pem" in line] == told


def test_the_end_of_the_certificate(programs, database):
    """In both places, and of the certificate that is in force."""
    api, https = start(programs, database)

    def shown():
        return api.values().get("collectd_aurore_certificate_expiry_seconds")

    wait_until(
        lambda: shown() is not None and 9 * DAY < shown() <= 10 * DAY,
        30,
        lambda: f"is {shown()}",
    )
    assert 9 * DAY < api.metrics().get("certificate_expiry_seconds") <= 10 * DAY
    replace(api.directory, "second")
    https.wait_served("second")
    wait_until(
        lambda: 19 * DAY < shown() <= 20 * DAY, 30, lambda: f"is {shown()}"
    )


def test_without_a_certificate_there_is_no_end(programs, database):
    api = programs.collectd(database).start()
    name = "certificate_expiry_seconds"
    assert api.metrics().family(name) == {}
    assert api.values().family(f"collectd_aurore_{name}") == {}


@pytest.mark.parametrize(
    "option, content, reason",
    [
        ("TLSCertificate", "", "it is empty"),
        ("TLSCertificate", "nonsense", "no chain of certificates"),
        ("TLSKey", "", "it is empty"),
        ("TLSKey", None, "not the key of TLSCertificate"),
        ("TLSClientCA", "", "it is empty"),
        ("TokenFile", "read nonsense\n", "line 1"),
        ("TokenFile", "", "it is empty"),
    ],
)
def test_a_file_that_is_wrong_at_the_start(
    programs, database, option, content, reason
):
    """The message names the option, the file, the reason, and what happens; and
    that happens: collectd goes on without the plugin."""
    api = programs.collectd(database)
    for name in "server", "other":
        make_certificate(api.directory, name)
    api.buffer["TLSCertificate"] = api.directory / "server.pem"
    api.buffer["TLSKey"] = api.directory / "server.key"
    path = api.directory / "wrong"
    path.write_text(
        (api.directory / "other.key").read_text() if content is None else content
    )
    api.buffer[option] = path
    assert api.check_config() == 1, api.log()
    told = [line for line in api.complaints() if str(path) in line]
    assert len(told) == 1, api.log()
    for word in option, reason, "event_buffer does not start", "goes on without it":
        assert word in told[0]
    api.expected_status = 1
    api.start_only()
    api.wait_log("goes on without it")
    wait_until(
        lambda: api.process.listens_on(api.metrics_port), 30, "has ended"
    )
    assert not api.process.listens_on(api.port)
    assert api.stop() == 1


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077], ids=oct)
def test_a_socket_is_for_owner_and_group(programs, database, umask):
    """Whatever the umask of collectd."""
    api = programs.collectd(database)
    path = api.directory / "api"
    api.port = free_port()
    api.buffer["Listen"] = [f"127.0.0.1:{api.port}", f"unix:{path}"]
    before = os.umask(umask)
    try:
        api.start()
    finally:
        os.umask(before)
    api.wait_ready()
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
