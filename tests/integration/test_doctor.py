# SPDX-License-Identifier: MIT
"""aurorectl doctor: a healthy installation has nothing to be told, and each
thing that may be wrong with one is named, with what to do about it."""

import http.server
import os
import pty
import pwd
import re
import subprocess
import threading
from datetime import timedelta

import pytest

from harness import build
from harness.clock import Clock
from harness.collectd import BOTH, PROGRAM as COLLECTD
from harness.doctor import PROGRAM, examine
from harness.events import event
from harness.filesystem import FileSystem, Unsupported
from harness.postgres import DURABLE
from harness.process import free_port
from harness.wait import wait_until
from test_failing_calls import need_strace

# --- an installation as it should be ------------------------------------------------


@pytest.fixture(scope="module")
def durable(module_programs):
    """A server as it is installed, and not as our tests like it: nothing is
    lost in a crash of the machine."""
    return module_programs.postgres(
        settings={**DURABLE, "max_connections": "30", "track_activities": "on"}
    )


class Place:
    """A database that belongs to a role that is no superuser."""

    _numbers = iter(range(1, 10**6))

    def __init__(self, server):
        self.admin = server.create_database()
        self.name = self.admin.name
        self.role = f"keeper{next(self._numbers)}"
        self.admin.execute(f"CREATE ROLE {self.role} LOGIN")
        self.admin.execute(f"ALTER DATABASE {self.name} OWNER TO {self.role}")
        self.server = server
        self.conninfo = self.conninfo_of(self.role)

    def conninfo_of(self, role):
        return self.admin.conninfo.replace("user=postgres", f"user={role}")


@pytest.fixture
def place(durable):
    made = Place(durable)
    yield made
    durable.drop_database(made.admin)


def make(programs, place, buffer=None, writer=None, **keywords):
    """With a spool; not started."""
    api = programs.collectd(place.conninfo, buffer, writer, **keywords)
    api.buffer.setdefault("SpoolDirectory", str(api.directory / "spool"))
    api.write_config()
    return api


def healthy(report):
    assert report.troubles() == [], report.output
    return report


def settle(api):
    """Waits until the schema is made, and the first values have come."""

    def is_settled():
        report = examine(api)
        return report.has("write_prometheus", "has our") and report.has(
            "schema", "all that this release adds"
        )

    wait_until(is_settled, 30, "it does not settle")


def place_of(api, word):
    """The place of the one line that has the word, as doctor names it."""
    lines = api.config_path.read_text().splitlines()
    (number,) = [n for n, line in enumerate(lines, 1) if word in line]
    return re.escape(f"({api.config_path}, line {number})")


def test_nothing_is_wrong_where_nothing_is_wrong(programs, place):
    api = make(programs, place).start()
    api.accept([event(f"number {i}") for i in range(10)])
    api.rest()
    report = healthy(examine(api))
    for what, text in (
        ("collectd", rf"runs as root, process {api.process.pid}$"),
        ("configuration", r'collectd\.conf", 1 file$'),
        ("types", "collectd's own and ours"),
        ("spool", r"is on \w+$"),
        ("spool", r"MiB of room"),
        ("spool", r"a sync takes \d+\.\d\d ms, of 20 the longest \d+\.\d\d ms"),
        ("descriptors", r"may open \d+ files"),
        ("database", rf'PostgreSQL 1\d.*database "{place.name}", role "{place.role}"'),
        ("schema", "has version 9, and all that this release adds"),
        ("rights", "owns the schema"),
        ("database", "fsync, full_page_writes and synchronous_commit are on"),
        ("database", r"connections are free"),
        ("clock", "agrees with the server's"),
        ("api", rf"http://127.0.0.1:{api.port} takes events"),
        ("api", r"version \d+\.\d+\.\d+, in collectd 5\.12"),
        ("api", "is healthy"),
        ("write_prometheus", rf":{api.metrics_port} has our values"),
    ):
        report.find("ok", what, text)
    assert report.errors == ""


def test_it_changes_nothing(programs, place):
    """Neither files nor the database."""
    api = make(programs, place).start()
    api.accept(event())
    api.rest()
    assert api.stop() == 0

    def files():
        spool = api.directory / "spool"
        return {
            path: (path.stat().st_mtime_ns, path.stat().st_size)
            for path in spool.rglob("*")
            if path.is_file()
        }

    def written():
        return place.admin.value(
            "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_all_tables"
            " WHERE schemaname = 'aurore'"
        )

    before = files(), written(), sorted(api.directory.rglob("*"))
    examine(api)
    assert (files(), written(), sorted(api.directory.rglob("*"))) == before


# --- the configuration --------------------------------------------------------------


def test_collectd_does_not_run(programs, place):
    api = make(programs, place)
    report = examine(api)
    found = report.find("problem", "collectd", re.escape(str(api.config_path)))
    assert "systemctl start collectd" in found.advice[0]
    found = report.find("problem", "api", f"nobody listens on .*:{api.port}")
    assert found.advice == ["start collectd"]


@pytest.mark.parametrize(
    "side, options, word, text",
    [
        ("buffer", {"Lanez": 2}, "Lanez", 'no option "Lanez"; the nearest is "Lanes"'),
        ("buffer", {"BatchSize": 2}, "BatchSize", "it is an option of event_writer"),
        ("buffer", {"Lanes": 17}, "Lanes", r'"Lanes".* whole number \(1 to 16\), not 17'),
        ("buffer", {"Lanes": "two"}, "Lanes", r'"Lanes".* whole number .*not "two"'),
        ("buffer", {"MaxBytes": "1GB"}, "MaxBytes", '"MaxBytes".* size in bytes'),
        ("buffer", {"Durability": "fast"}, "Durability", '"commit", "interval" or'),
        ("buffer", {"Lenient": 3}, "Lenient", '"Lenient".* boolean'),
        ("buffer", {"Listen": "nowhere"}, "Listen", '"Listen".* an address'),
        ("writer", {"RetentionTime": "25:00"}, "RetentionTime", "a time of day"),
        ("writer", {"QueryTimeout": True}, "QueryTimeout", "a number of seconds"),
    ],
)
def test_an_option_that_is_wrong(programs, place, side, options, word, text):
    """collectd does not start with it, and does not say where it is."""
    api = make(programs, place, **{side: options})
    found = examine(api).find("problem", "configuration", text)
    assert re.search(place_of(api, f"  {word} "), found.text)
    assert "collectd does not start" in found.advice[0]
    assert api.check_config() == 1


def test_options_that_do_not_go_together(programs, place):
    api = make(programs, place, {"SpoolDirectory": "", "Durability": "commit"})
    examine(api).find("problem", "configuration", 'needs the option "SpoolDirectory"')
    api = make(programs, place, {"TokenFile": "/nowhere/tokens"})
    found = examine(api).find("problem", "configuration", "/nowhere/tokens.*No such")
    assert "event_buffer does not start" in found.advice[0]


def test_a_second_conninfo_shows_no_password(programs, place):
    api = make(programs, place, writer={"ConnInfo": ["user=a password=geheim", "user=b"]})
    report = examine(api)
    report.find("problem", "configuration", '"ConnInfo".* is set twice')
    assert "geheim" not in report.output + report.errors


def test_a_block_that_collectd_ignores(programs, place):
    api = make(programs, place)
    text = api.config_path.read_text()
    api.config_path.write_text(
        text.replace("LoadPlugin event_writer\n", "") + "LoadPlugin event_writer\n"
    )
    found = examine(api).find("problem", "configuration", "ignores <Plugin event_writer>")
    assert found.advice == ['put "LoadPlugin event_writer" before the block']


@pytest.mark.parametrize("missing", BOTH)
def test_a_plugin_that_is_not_loaded(programs, place, missing):
    load = tuple(name for name in BOTH if name != missing)
    api = make(programs, place, load=load)
    found = examine(api).find("problem", "configuration", f"{missing} is not loaded")
    assert f"LoadPlugin {missing}" in found.advice[0]


def test_plugins_that_are_not_there(programs, place):
    api = make(programs, place)
    api.plugins = api.directory
    api.write_config()
    for name in BOTH:
        found = examine(api).find("problem", "configuration", f"no file .*/{name}.so")
        assert "PluginDir" in found.advice[0]


def test_no_configuration(tmp_path):
    found = examine(tmp_path / "none").find("problem", "configuration", "No such file")
    assert "--config" in found.advice[0]


# What collectd 5.12 starts with, and what not.
READABLE = {
    "comments and blanks": '# one\n\n  Interval 10 # two\n\tTimeout\t2\n',
    "numbers": "Interval 1.5\nTimeout +2\nReadThreads 0x5\n",
    "booleans": "FQDNLookup no\nAutoLoadPlugin off\n",
    "a continued line": 'Hostname \\\n  "a"\n',
    "a continued text": 'Hostname "a\\\n   b"\n',
    "escapes": 'Hostname "a\\"b\\\\c"\n',
    "a block": "<Chain none>\n</Chain>\n",
    "an empty file": "",
    "carriage returns": 'Interval 10\r\n<Plugin "x">\r\n</Plugin>\r\n',
    "a quote over two lines": 'Hostname "a\nb"\n',
    "addresses": "<Plugin x>\n A 127.0.0.1:3000\n B ::1\n C [::1]:80\n D 10.0.0.1\n</Plugin>\n",
    "several values": 'TypesDB "/usr/share/collectd/types.db" "/dev/null"\n',
    "blocks in blocks": "<Plugin x>\n<A>\n<B 1>\nC 2\n</B>\n</A>\n</Plugin>\n",
}
UNREADABLE = {
    "no value": ("Interval\n", 1, "an option without a value"),
    "an open block": ("Interval 10\n<Plugin x>\nA 1\n", 2, "<Plugin> is not closed"),
    "another end": ("<Plugin x>\n</Plugim>\n", 2, 'the block <Plugin> of line 1 is open'),
    "an end alone": ("</Plugin>\n", 1, "no block is open"),
    "a path": ("BaseDir /var\n", 1, "must be in quotes"),
    "no name": ('"a" 1\n', 1, "begins with no name"),
    "text behind": ("<Plugin x> A 1\n</Plugin>\n", 1, 'text after ">"'),
    "no bracket": ("<Plugin x\n</Plugin>\n", 1, 'not followed by ">"'),
    "no end of line": ("Interval 10", 1, "the end of the file"),
}


# What collectd takes for something else, without a word.
MISREAD = {
    "a quote": ('Interval 10\nHostname "a\n', 2, "a quote that is not closed"),
    "a name with dots": ("Interval 10\nHostname a.example\n", 2, "must be in quotes"),
    "a size": ("<Plugin x>\nA 1,5\n</Plugin>\n", 2, "must be in quotes"),
}


def collectd_reads(path):
    """Whether collectd itself reads it: its one complaint is of the syntax."""
    done = subprocess.run(
        [COLLECTD, "-T", "-C", path],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    output = done.stdout + done.stderr
    return not re.search("Parse error|Block not closed|block_begin|No such file", output)


@pytest.mark.parametrize("name", READABLE)
def test_what_collectd_reads_is_read(tmp_path, name):
    path = tmp_path / "collectd.conf"
    path.write_bytes(READABLE[name].encode())
    assert collectd_reads(path)
    report = examine(path)
    assert not report.has("configuration", r", line \d+\)"), report.output


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_collectd_does_not_read_is_named(tmp_path, name):
    text, line, what = UNREADABLE[name]
    path = tmp_path / "collectd.conf"
    path.write_text(text)
    assert not collectd_reads(path)
    found = examine(path).find("problem", "configuration", re.escape(what))
    assert found.text.endswith(f"({path}, line {line})")
    assert "collectd does not start" in found.advice[0]


@pytest.mark.parametrize("name", MISREAD)
def test_what_collectd_misreads_is_named(tmp_path, name):
    text, line, what = MISREAD[name]
    path = tmp_path / "collectd.conf"
    path.write_text(text)
    assert collectd_reads(path)
    found = examine(path).find("problem", "configuration", re.escape(what))
    assert found.text.endswith(f"({path}, line {line})")
    assert "or reads something else" in found.advice[0]


def test_included_files(programs, place):
    """By pattern, by directory with a filter, within each other; options of all
    of them count, in their order."""
    api = make(programs, place)
    inner = api.directory / "conf.d"
    (inner / "more").mkdir(parents=True)
    (inner / "10.conf").write_text("LoadPlugin event_buffer\n")
    (inner / "20.conf").write_text(f'Include "{inner}/more/*.part"\n')
    (inner / "more" / "one.part").write_text(
        "<Plugin event_buffer>\n  Lanez 3\n</Plugin>\n"
    )
    (inner / "30.conf.kept").write_text("nonsense\n")
    (inner / ".40.conf").write_text("nonsense\n")
    api.config_path.write_text(
        f'PluginDir "{build.plugin_directory()}"\n'
        f'<Include "{inner}">\n  Filter "*.conf"\n</Include>\n'
        f'Include "{inner}/nothing.conf"\n'
    )
    report = examine(api)
    found = report.find("problem", "configuration", 'no option "Lanez"')
    assert found.text.endswith(f"({inner}/more/one.part, line 2)")
    found = report.find("warning", "configuration", "could not include .*nothing.conf")
    assert found.text.endswith(f"({api.config_path}, line 5)")
    assert not report.has("configuration", "nonsense|ignores <Plugin")


def test_files_that_include_each_other(tmp_path):
    path = tmp_path / "collectd.conf"
    path.write_text(f'Include "{path}"\n')
    examine(path).find("problem", "configuration", "include each other")


def test_types(programs, place):
    api = make(programs, place)
    text = api.config_path.read_text()
    stock = '"/usr/share/collectd/types.db" '
    api.config_path.write_text(text.replace(stock, ""))
    found = examine(api).find("problem", "types", "turns the default file off")
    assert "/usr/share/collectd/types.db" in found.advice[0]
    api.config_path.write_text(text.replace(stock, f'{stock} "/nowhere/types.db" '))
    examine(api).find("problem", "types", "/nowhere/types.db.*No such file")
    api.config_path.write_text(re.sub("^TypesDB.*$", "", text, flags=re.M))
    examine(api).find("ok", "types", "the plugins register them")


# --- the database -------------------------------------------------------------------


def test_no_server(programs, place):
    conninfo = "host=/nowhere user=x dbname=y password=geheim"
    api = make(programs, place, writer={"ConnInfo": conninfo})
    report = examine(api)
    found = report.find("problem", "database", "cannot be reached as root by .*/nowhere")
    assert "look whether the server runs" in found.advice[0]
    assert "geheim" not in report.output + report.errors


def test_no_database_no_role_no_password(programs, place):
    for change, advice in (
        (lambda text: text.replace(f"dbname={place.name}", "dbname=none"), "createdb"),
        (lambda text: text.replace(f"user={place.role}", "user=nobody"), "createuser"),
    ):
        api = make(programs, place, writer={"ConnInfo": change(place.conninfo)})
        found = examine(api).find("problem", "database", "cannot be reached")
        assert advice in found.advice[0]


def test_a_role_that_may_not_make_the_schema(programs, place):
    place.admin.execute("CREATE ROLE guest LOGIN")
    guest = place.conninfo_of("guest")
    api = make(programs, place, writer={"ConnInfo": guest})
    found = examine(api).find("problem", "rights", 'no schema "aurore", and the role guest')
    # It is enough to do as told.
    first = found.advice[0].split(";")[0]
    place.admin.execute(first)
    report = examine(api)
    report.find("ok", "schema", "is empty yet")
    assert not report.has("rights", ".")
    place.admin.execute("DROP SCHEMA aurore")
    place.admin.execute("DROP ROLE guest")


def follow(report, admin):
    """Does what is advised about rights; how many statements that were."""
    grants = [
        advice for one in report.of("problem") for advice in one.advice if "GRANT" in advice
    ]
    for grant in grants:
        assert re.fullmatch(r"GRANT [\w, ]+ ON [^;]+ TO \w+;", grant)
        admin.execute(grant)
    return len(grants)


def test_a_role_that_only_stores(programs, place):
    """Whoever grants what is asked for, until nothing more is, has a role with
    which the plugins do all that they do but dropping old days."""
    owner = make(programs, place).start()
    assert owner.stop() == 0
    place.admin.execute("CREATE ROLE storer LOGIN")
    storer = place.conninfo_of("storer")
    api = make(programs, place, writer={"ConnInfo": storer, "RetentionDays": 0})
    found = examine(api).find("problem", "rights", "lacks USAGE on the schema aurore")
    assert found.advice == ["GRANT USAGE ON SCHEMA aurore TO storer;"]
    place.admin.execute(found.advice[0])
    found = examine(api).find("problem", "schema", "its version cannot be read")
    place.admin.execute(
        found.advice[0].replace("the role", "storer")
    )
    place.admin.execute("GRANT SELECT ON aurore.schema_addition TO storer")
    report = examine(api)
    report.find("problem", "rights", "lacks SELECT, INSERT on aurore.event$")
    report.find("problem", "rights", r"lacks EXECUTE on aurore\.fold\(")
    assert follow(report, place.admin) > 10
    assert follow(examine(api), place.admin) == 0

    api.start()
    api.accept([event(f"number {i}") for i in range(20)])
    api.post(event(), headers={"Idempotency-Key": "one"})
    api.post(event(), headers={"Idempotency-Key": "one"})
    place.admin.wait_stored(21)
    api.wait_metric("events_duplicate_total", 1)
    place.admin.execute(
        "ALTER TABLE aurore.event ADD CONSTRAINT good CHECK (message <> 'bad')"
    )
    api.accept([event("bad"), event("good")])
    wait_until(lambda: place.admin.dead_letters() == 1, 30, "no dead letter")
    place.admin.execute("ALTER TABLE aurore.event DROP CONSTRAINT good")
    (letter,) = api.get("/dlq").json()["events"]
    assert api.session.patch(api.url(f"/dlq/{letter['id']}/reprocess")).status_code == 200
    place.admin.wait_stored(23)
    assert api.session.delete(api.url(f"/dlq/{letter['id']}")).status_code == 204
    assert api.get("/health/business").status_code == 200
    api.rest()
    healthy(examine(api))
    assert [line for line in api.complaints() if "denied" in line or "right" in line] == []
    assert api.stop() == 0
    place.admin.execute("DROP OWNED BY storer")
    place.admin.execute("DROP ROLE storer")


def test_one_right_too_few(programs, place):
    api = make(programs, place).start()
    assert api.stop() == 0
    admin = place.admin
    admin.execute(f"REVOKE DELETE ON aurore.dead_letter FROM {place.role}")
    found = examine(api).find("problem", "rights", "lacks DELETE on aurore.dead_letter")
    assert found.advice == [f"GRANT DELETE ON aurore.dead_letter TO {place.role};"]
    admin.execute(found.advice[0])
    assert examine(api).has("rights", "owns the schema")
    admin.execute("DROP FUNCTION aurore.hold_leaving(text)")
    found = examine(api).find("problem", "schema", '"aurore.hold_leaving" is not there')
    assert "backup" in found.advice[0]


def test_who_may_not_drop_days_is_told(programs, place):
    api = make(programs, place).start()
    assert api.stop() == 0
    place.admin.execute("ALTER TABLE aurore.event OWNER TO postgres")
    place.admin.execute(f"GRANT ALL ON aurore.event TO {place.role}")
    found = examine(api).find("warning", "rights", "but not to drop old days")
    assert "owner" in found.advice[0]


def test_another_version_of_the_schema(programs, place):
    api = make(programs, place).start()
    assert api.stop() == 0
    place.admin.execute("INSERT INTO aurore.schema_version (version) VALUES (99)")
    found = examine(api).find("problem", "schema", "version 99, and this release knows up to 9")
    assert "install the release" in found.advice[0]
    place.admin.execute("DELETE FROM aurore.schema_version WHERE version = 99")
    place.admin.execute("DELETE FROM aurore.schema_addition WHERE name LIKE '017%'")
    found = examine(api).find("warning", "schema", "lacks 1 migration of this release")
    assert "start collectd" in found.advice[0]
    place.admin.execute("ALTER TABLE aurore.event OWNER TO postgres")
    examine(api).find("problem", "schema", "lacks 1 migration of this release")


def test_a_superuser_and_settings_that_lose_data(programs, postgres, database):
    """The cluster of the other tests."""
    api = programs.collectd(database)
    api.write_config()
    report = examine(api)
    found = report.find("warning", "database", '"postgres" is a superuser')
    assert "owns nothing but this database" in found.advice[0]
    found = report.find("problem", "database", "fsync is off")
    assert "fsync = on" in found.advice[0]
    found = report.find("warning", "database", "full_page_writes is off")
    assert "full_page_writes = on" in found.advice[0]


def test_commits_that_do_not_wait(programs, place):
    place.admin.execute(f"ALTER ROLE {place.role} SET synchronous_commit = off")
    api = make(programs, place)
    found = examine(api).find("warning", "database", f'synchronous_commit is off.*"{place.role}"')
    place.admin.execute(found.advice[0].split(",")[0])
    assert not examine(api).has("database", "is off")


@pytest.mark.parametrize("more", ["", " target_session_attrs=any"])
def test_a_standby(programs, own_postgres, more):
    """Nothing can be stored there; the plugins do not even connect to it, unless
    ConnInfo wants that."""
    database = own_postgres.create_database()
    standby = programs.postgres(primary=own_postgres)
    api = programs.collectd(standby.conninfo(database.name) + more)
    api.write_config()
    found = examine(api).find("problem", "database", "standby")
    assert "name the primary" in found.advice[0]
    # The primary is named, too, and is away: then that is what is to be seen to.
    own_postgres.stop()
    hosts = f"host={own_postgres.directory},{standby.directory} "
    api.writer["ConnInfo"] = hosts + api.writer["ConnInfo"].partition(" ")[2]
    api.write_config()
    found = examine(api).find("problem", "database", "standby")
    assert "name the primary" in found.advice[0]
    if not more:
        assert "No such file or directory" in found.text
    own_postgres.start()


def test_a_role_that_only_reads(programs, place):
    set_to = f"ALTER ROLE {place.role} SET default_transaction_read_only = on"
    place.admin.execute(set_to)
    api = make(programs, place)
    found = examine(api).find("problem", "database", f'"{place.role}" are read-only')
    place.admin.execute(found.advice[0].split(",")[0])
    assert not examine(api).has("database", "read-only")


def test_behind_a_pooler(programs, own_postgres):
    """It is named, and how many sessions it lets through is not judged."""
    database = own_postgres.create_database()
    pooler = programs.pgbouncer(own_postgres, 4)
    api = programs.collectd(pooler.database(database).conninfo)
    api.buffer["SpoolDirectory"] = str(api.directory / "spool")
    api.start()
    settle(api)
    report = examine(api)
    report.find("ok", "database", r"PostgreSQL 1\d.*, through a pooler$")
    report.find("ok", "schema", "has version 9, and all that this release adds")
    report.find("ok", "clock", "agrees with the server's")
    assert not report.has("database", "connections are free")


def test_too_few_connections(programs, place):
    api = make(programs, place, {"Lanes": 16}, {"QueryConnections": 20})
    found = examine(api).find("problem", "database", r"max_connections.*may need 40")
    assert "max_connections" in found.advice[0]
    place.admin.execute(f"ALTER ROLE {place.role} CONNECTION LIMIT 3")
    api = make(programs, place)
    found = examine(api).find("problem", "database", "the role's CONNECTION LIMIT leaves 3")
    assert "ALTER ROLE" in found.advice[0]
    place.admin.execute(f"ALTER ROLE {place.role} CONNECTION LIMIT -1")
    place.admin.execute(f"ALTER DATABASE {place.name} CONNECTION LIMIT 2")
    found = examine(api).find("problem", "database", "the database's CONNECTION LIMIT")
    assert "ALTER DATABASE" in found.advice[0]


@pytest.mark.parametrize(
    "offset, state, text",
    [(30, "warning", r"2\d\.\d s ahead|30\.\d s ahead"), (-7200, "problem", "s behind")],
)
def test_a_clock_that_is_wrong(programs, place, tmp_path, offset, state, text):
    api = make(programs, place)
    clock = Clock(tmp_path, timedelta(seconds=offset))
    found = examine(api, environment=clock.environment()).find(state, "clock", text)
    assert "chrony" in found.advice[0]


# --- files --------------------------------------------------------------------------


def token_file(api, mode=0o600):
    """A TokenFile that lets a reader in, and the file with the token."""
    tokens = api.directory / "tokens"
    made = subprocess.run(
        [PROGRAM, "token", "--file", tokens, "read"],
        capture_output=True,
        env={**os.environ, **build.sanitizer_environment(api.directory)},
        check=True,
    )
    token = api.directory / "token"
    token.write_bytes(made.stdout)
    tokens.chmod(mode)
    return tokens, token


def openssl(directory, *arguments, environment=()):
    subprocess.run(
        ["openssl", *map(str, arguments)],
        cwd=directory,
        env={**os.environ, **dict(environment)},
        check=True,
        capture_output=True,
    )


SUBJECT_NAME = "subjectAltName=IP:127.0.0.1"


def make_certificate(
    directory, name, days=60, issuer=None, authority=False, environment=()
):
    """NAME.pem and NAME.key, signed by itself or by another one. "environment": of
    the program that signs."""
    openssl(
        directory, "req", "-new", "-newkey", "ec", "-pkeyopt",
        "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{name}.key",
        "-out", f"{name}.csr", "-subj", f"/CN={name}",
    )  # fmt: skip
    (directory / "extensions").write_text(
        "basicConstraints=critical,CA:TRUE\n" if authority else f"{SUBJECT_NAME}\n"
    )
    by = ["-CA", f"{issuer}.pem", "-CAkey", f"{issuer}.key", "-CAcreateserial"]
    by = by if issuer else ["-signkey", f"{name}.key"]
    openssl(
        directory, "x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.pem",
        "-days", days, "-extfile", "extensions", *by, environment=environment,
    )  # fmt: skip
    (directory / f"{name}.key").chmod(0o600)
    return directory / f"{name}.pem", directory / f"{name}.key"


def test_files_that_others_may_read_or_write(programs, place):
    api = make(programs, place)
    certificate, key = make_certificate(api.directory, "server")
    tokens, _ = token_file(api)
    api.buffer.update(
        TokenFile=str(tokens), TLSCertificate=str(certificate), TLSKey=str(key)
    )
    api.write_config()
    examine(api).find("ok", "files", "nobody else")

    tokens.chmod(0o644)
    found = examine(api).find("warning", "files", f'TokenFile "{tokens}" has mode 0644')
    assert found.advice == [f"chmod 0640 {tokens}"]
    tokens.chmod(0o602)
    found = examine(api).find("problem", "files", "mode 0602: everybody may write")
    assert found.advice == [f"chmod o-w {tokens}"]
    tokens.chmod(0o600)
    key.chmod(0o644)
    found = examine(api).find("problem", "files", f'TLSKey "{key}" .* may read the key')
    assert found.advice == [f"chmod 0640 {key}"]
    key.chmod(0o600)
    api.config_path.chmod(0o666)
    found = examine(api).find("problem", "files", "collectd.conf.* everybody may write")
    assert found.advice == [f"chmod o-w {api.config_path}"]


def test_a_password_that_everybody_may_read(programs, place):
    conninfo = f"{place.conninfo} password=geheim"
    api = make(programs, place, writer={"ConnInfo": conninfo})
    report = examine(api)
    found = report.find("problem", "files", "mode 0644, and a password in ConnInfo")
    assert "passfile" in found.advice[0]
    assert "geheim" not in report.output + report.errors
    api.config_path.chmod(0o640)
    assert not examine(api).has("files", "password")


# --- certificates -------------------------------------------------------------------


def with_certificate(programs, place, certificate, key, **more):
    api = make(
        programs, place, {"TLSCertificate": str(certificate), "TLSKey": str(key), **more}
    )
    return api


def test_https_with_tokens_is_healthy(programs, place, tmp_path):
    """An authority of one's own, an intermediate one, tokens: asked at its
    address, whatever name the certificate bears."""
    make_certificate(tmp_path, "root", authority=True)
    make_certificate(tmp_path, "middle", issuer="root", authority=True)
    certificate, key = make_certificate(tmp_path, "server", issuer="middle")
    certificate.write_text(certificate.read_text() + (tmp_path / "middle.pem").read_text())
    api = with_certificate(programs, place, certificate, key)
    tokens, token = token_file(api)
    api.buffer["TokenFile"] = str(tokens)
    api.start_only()
    api.wait_log("listening on")
    settle(api)
    found = examine(api).find("warning", "api", "needs a token with the scope read")
    assert "--token-file" in found.advice[0]
    report = healthy(examine(api, "--token-file", token))
    report.find("ok", "certificate", r"CN=server, until 20\d\d-.*; 2 in the chain.*CN=root")
    report.find("ok", "api", f"https://127.0.0.1:{api.port} takes events")
    report.find("ok", "api", "is healthy")


def test_certificates_that_are_wrong(programs, place, tmp_path):
    good, key = make_certificate(tmp_path, "good")
    other, other_key = make_certificate(tmp_path, "other")
    soon, soon_key = make_certificate(tmp_path, "soon", days=5)
    # A newer OpenSSL makes none that has ended already.
    clock = Clock(tmp_path, timedelta(days=-3))
    past, past_key = make_certificate(
        tmp_path, "past", days=1, environment=clock.environment()
    )
    nonsense = tmp_path / "nonsense"
    nonsense.write_text("nonsense\n")
    nonsense.chmod(0o600)
    chain = tmp_path / "chain.pem"
    chain.write_text(good.read_text() + other.read_text())
    (tmp_path / "elsewhere").mkdir()
    for directory in tmp_path, tmp_path / "elsewhere":
        root, _ = make_certificate(directory, "root", authority=True)
    forged, forged_key = make_certificate(tmp_path, "leaf", issuer="root")
    forged.write_text(forged.read_text() + root.read_text())
    for certificate, its_key, state, text, advice in (
        (good, key, "ok", "CN=good, until", None),
        (past, past_key, "problem", "CN=past, has expired on 20", "renew it"),
        (soon, soon_key, "warning", "CN=soon, expires on 20", "renew it"),
        (good, other_key, "problem", "is not the key of TLSCertificate", str(good)),
        (nonsense, key, "problem", "holds no certificates", "comes first"),
        (good, nonsense, "problem", "holds no private key", str(good)),
        (chain, key, "warning", "1 in TLSCertificate .* does not belong to the chain", "behind"),
        (forged, forged_key, "warning", "1 in TLSCertificate .* does not belong", "behind it"),
    ):
        api = with_certificate(programs, place, certificate, its_key)
        found = examine(api).find(state, "certificate", text)
        assert advice is None or advice in found.advice[0]


def test_a_certificate_of_the_future(programs, place, tmp_path):
    certificate, key = make_certificate(tmp_path, "server")
    api = with_certificate(programs, place, certificate, key)
    clock = Clock(tmp_path, timedelta(days=-3))
    report = examine(api, environment=clock.environment())
    found = report.find("problem", "certificate", "CN=server, is not valid before")
    assert "clock" in found.advice[0]


def test_clients_that_must_have_a_certificate(programs, place, tmp_path):
    authority, _ = make_certificate(tmp_path, "root", authority=True)
    certificate, key = make_certificate(tmp_path, "server", issuer="root")
    client, client_key = make_certificate(tmp_path, "client", issuer="root")
    api = with_certificate(programs, place, certificate, key, TLSClientCA=str(authority))
    api.start_only()
    api.wait_log("listening on")
    report = examine(api)
    report.find("ok", "certificate", "1 authority of clients")
    found = report.find("warning", "api", "wants a certificate of its clients")
    assert "--cert" in found.advice[0]
    report = examine(api, "--cert", client, "--key", client_key)
    report.find("ok", "api", "takes events")
    report.find("ok", "api", "is healthy")


# --- the spool ----------------------------------------------------------------------


def test_without_a_spool(programs, place):
    api = make(programs, place, {"SpoolDirectory": ""})
    found = examine(api).find("warning", "spool", "lost when the process is killed")
    assert "SpoolDirectory" in found.advice[0]


def test_a_spool_of_somebody_else(programs, place):
    """As another user collectd cannot write there; root could."""
    api = make(programs, place)
    spool = api.directory / "spool"
    spool.mkdir(mode=0o755)
    api.directory.chmod(0o755)
    # A process that has become somebody else cannot be searched for leaks.
    nobody = {"ASAN_OPTIONS": "detect_leaks=0"}
    report = examine(api, "--user", "nobody", **nobody)
    found = report.find("problem", "spool", f'nobody cannot write to "{spool}": Permission')
    assert f"chown nobody {spool}" in found.advice[0]
    os.chown(spool, pwd.getpwnam("nobody").pw_uid, -1)
    report = examine(api, "--user", "nobody", **nobody)
    report.find("ok", "spool", "a sync takes")


def test_a_spool_that_is_none(programs, place, tmp_path):
    place_for_spools = tmp_path / "spools"
    place_for_spools.mkdir()
    api = make(programs, place)
    spool = api.directory / "spool"
    spool.write_text("")
    found = examine(api).find("problem", "spool", "Not a directory")
    assert "name a directory" in found.advice[0]
    for name in "new", "new/", "new//":
        api = make(programs, place, {"SpoolDirectory": f"{place_for_spools}/{name}"})
        report = examine(api)
        report.find("ok", "spool", f'"{place_for_spools}" is on')
        report.find("ok", "spool", "a sync takes")
    assert list(place_for_spools.iterdir()) == []
    api = make(programs, place, {"SpoolDirectory": "/nowhere/aurore/spool"})
    found = examine(api).find("problem", "spool", "neither .* is there")
    assert "install -d" in found.advice[0]


def test_a_spool_in_memory(programs, place):
    directory = f"/dev/shm/aurore-doctor-{os.getpid()}"
    os.mkdir(directory)
    try:
        api = make(programs, place, {"SpoolDirectory": directory})
        found = examine(api).find("problem", "spool", "is on tmpfs: .* is lost")
        assert "on a disk" in found.advice[0]
        api = make(programs, place, {"SpoolDirectory": directory, "Durability": "memory"})
        examine(api).find("warning", "spool", "is on tmpfs")
    finally:
        os.rmdir(directory)


@pytest.fixture
def disk(tmp_path):
    try:
        made = FileSystem("ext4", tmp_path / "disk", 64)
    except Unsupported as reason:
        pytest.skip(str(reason))
    yield made
    made.close()


def test_a_spool_on_a_disk_that_is_small_full_or_read_only(programs, place, disk):
    spool = disk.point / "spool"
    spool.mkdir()
    api = make(programs, place, {"SpoolDirectory": str(spool), "MaxBytes": "32MiB"})
    report = examine(api)
    found = report.find("warning", "spool", r"has \d+ MiB for the spool.* may want 288")
    assert "MaxBytes" in found.advice[0]
    report.find("ok", "spool", "is on ext4")
    api.buffer["KeepStored"] = 0
    api.write_config()
    examine(api).find("ok", "spool", r"\d+ MiB of room, of which it may take 32")

    filler = disk.fill()
    found = examine(api).find("problem", "spool", "is full: 0.0 MiB left")
    assert "du -x" in found.advice[0]
    filler.unlink()
    subprocess.run(["mount", "-o", "remount,ro", disk.point], check=True)
    found = examine(api).find("problem", "spool", "Read-only file system")
    assert "ReadWritePaths" in found.advice[0]


@pytest.mark.plain("strace and the sanitizers do not go together")
def test_a_disk_that_is_slow(programs, place):
    """Each sync takes a while longer than it does here."""
    need_strace()
    api = make(programs, place)
    slow = ["strace", "-f", "-o", os.devnull]
    slow += ["-e", "trace=fdatasync", "-e", "inject=fdatasync:delay_exit=120000"]
    found = examine(api, runner=slow).find("warning", "spool", r"a sync takes \d{3,}\.\d\d ms")
    assert "iostat" in found.advice[0]


# --- what it may open, who it is ----------------------------------------------------


def test_too_few_descriptors(programs, place):
    api = make(programs, place, {"MaxConnections": 1000})
    api.files = 500
    api.start()
    found = examine(api).find("warning", "descriptors", "may open 500 .*MaxConnections 1000")
    assert "LimitNOFILE" in found.advice[0]
    assert "lowered MaxConnections" in api.log()


def test_a_user_that_is_not_there(programs, place):
    found = examine(make(programs, place), "--user", "nothere").find(
        "problem", "collectd", "nothere that it runs as does not exist"
    )
    assert "systemctl show -p User" in found.advice[0]


def test_another_user_than_collectd(programs, place):
    """What depends on who one is, is a warning then."""
    api = make(programs, place).start()
    api.directory.chmod(0o755)
    program = api.directory / "aurorectl"
    program.write_bytes(PROGRAM.read_bytes())
    program.chmod(0o755)
    done = subprocess.run(
        [program, "doctor", "--config", api.config_path],
        user="nobody",
        capture_output=True,
        text=True,
        env={**os.environ, **build.sanitizer_environment(api.directory)},
        check=False,
    )
    assert re.search(r"^warning  collectd: it runs as root", done.stdout, re.M), done
    assert "run this as root, or as root" in done.stdout
    assert re.search(r"^warning  spool: root cannot write", done.stdout, re.M), done.stdout
    assert not re.search(r"^problem  spool", done.stdout, re.M)


# --- ports --------------------------------------------------------------------------


def test_a_port_that_is_taken(programs, place):
    """By another HTTP server, and by one that says nothing anybody knows."""

    class Other(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(404)

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Other)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        port = server.server_port
        api = make(programs, place, {"Listen": f"127.0.0.1:{port}"})
        api.start_only()
        api.wait_log("could not listen")
        report = examine(api)
        found = report.find("problem", "api", f"somebody else answers on .*:{port}: 404")
        assert f"ss -ltnp 'sport = :{port}'" in found.advice[0]
        assert not report.has("api", "healthy")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_several_addresses(programs, place):
    api = programs.collectd(place.conninfo)
    api.port = free_port()
    path = api.directory / "socket"
    addresses = [f"*:{api.port}", f"unix:{path}"]
    api.buffer.update(Listen=addresses, SpoolDirectory=str(api.directory / "spool"))
    api.start()
    settle(api)
    report = healthy(examine(api))
    report.find("ok", "api", f"http://127.0.0.1:{api.port} takes events")
    report.find("ok", "api", f"unix:{path} takes events")
    report.find("ok", "api", "is healthy")
    report = healthy(examine(api, "--unix-socket", path))
    report.find("ok", "api", f"^{path} takes events")


def test_an_exporter_that_is_not_there(programs, place):
    api = make(programs, place)
    found = examine(api).find("problem", "write_prometheus", f":{api.metrics_port}/?:")
    assert "port" in found.advice[0]
    other = make(programs, place, load=()).start()
    text = api.config_path.read_text()
    api.config_path.write_text(
        text.replace(f'Port "{api.metrics_port}"', f"Port {other.metrics_port}")
    )
    found = examine(api).find("problem", "write_prometheus", "without any of our values")
    assert "ss -ltnp" in found.advice[0]
    api.config_path.write_text(text.replace("LoadPlugin write_prometheus", ""))
    examine(api).find("ok", "write_prometheus", "is not loaded")


# --- what it says of itself ---------------------------------------------------------


def test_a_database_that_is_away(programs, own_postgres):
    own = Place(own_postgres)
    api = make(programs, own, writer={"BreakerFailures": 1}).start()
    own.admin.close()
    own_postgres.stop("immediate")
    api.accept(event())
    api.wait_metric("circuit_breaker_state", 1)
    report = examine(api)
    found = report.find("problem", "api", "the circuit breaker is (OPEN|HALF_OPEN)")
    assert "see to the database" in found.advice[0]
    report.find("problem", "api", "in state critical")
    report.find("problem", "database", "cannot be reached")
    report.find("ok", "api", "takes events")
    own_postgres.start()


def test_dead_letters(programs, place):
    api = make(programs, place).start()
    api.accept(event())
    api.rest()
    place.admin.execute(
        "ALTER TABLE aurore.event ADD CONSTRAINT good CHECK (message <> 'bad')"
    )
    api.accept([event("bad"), event("good")])
    api.wait_metric("dead_letters_pending", 1)
    found = examine(api).find("warning", "api", "^1 dead letters wait")
    assert "aurorectl dlq list" in found.advice[0]


def test_a_lane_that_is_blocked(programs, place):
    api = make(programs, place, {"RequestTimeout": 10}).start()
    api.accept(event())
    api.rest()
    place.admin.execute("ALTER TABLE aurore.event ADD COLUMN more text NOT NULL DEFAULT ''")
    place.admin.execute("ALTER TABLE aurore.event ALTER COLUMN more DROP DEFAULT")
    api.accept(event())
    api.wait_metric("lanes_blocked", 1, timeout=90)
    found = examine(api).find("problem", "api", "lanes are blocked")
    assert "mend the schema" in found.advice[0]
    place.admin.execute("ALTER TABLE aurore.event DROP COLUMN more")
    api.rest()


def test_a_lane_that_is_fenced(programs, place):
    first = make(programs, place).start()
    first.accept(event())
    first.rest()
    first.stop()
    spool = first.directory / "spool"
    copy = first.directory / "copy"
    subprocess.run(["cp", "-a", spool, copy], check=True)
    first.start()
    first.accept(event())
    first.rest()
    second = make(programs, place, {"SpoolDirectory": str(copy)}).start_only()
    second.wait_log("fenced")
    wait_until(
        lambda: examine(second).has("api", "lanes are fenced"), 30, "is not fenced"
    )
    found = examine(second).find("problem", "api", "^1 lanes are fenced")
    assert "aurorectl spool renew" in found.advice[0]
    found = examine(second).find("problem", "api", "takes no events: ")
    assert found.advice


def test_the_places_that_it_names_exist():
    """In the runbook and the other documents."""
    sources = "".join(
        path.read_text() for path in (build.TOP / "tools/doctor").glob("*.c")
    )
    runbook = (build.TOP / "docs/runbook.md").read_text()
    named = set(re.findall(r"\b(Aurore[A-Z]\w+)", sources))
    assert len(named) >= 3
    for name in named:
        assert f"### {name}\n" in runbook, name
    for path in set(re.findall(r"docs/\w+\.md", sources)):
        assert (build.TOP / path).exists()
    assert "A fenced lane" in (build.TOP / "docs/reliability.md").read_text()


# --- for people ---------------------------------------------------------------------


def test_colors_are_for_terminals(programs, place):
    api = make(programs, place)
    assert "\x1b" not in examine(api).output
    for variables, is_colored in (({}, True), ({"NO_COLOR": "1"}, False)):
        master, slave = pty.openpty()
        subprocess.run(
            [PROGRAM, "doctor", "--config", api.config_path],
            stdout=slave,
            env={**os.environ, **build.sanitizer_environment(api.directory), **variables},
            check=False,
        )
        os.close(slave)
        output = b""
        try:
            while piece := os.read(master, 65536):
                output += piece
        except OSError:
            pass
        os.close(master)
        assert (b"\x1b[31mproblem" in output) == is_colored, output
