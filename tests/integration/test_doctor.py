# SPDX-License-Identifier: MIT
"""aurorectl doctor: a healthy installation has nothing to be told, and each
thing that may be wrong with one is named, with what to do about it."""

import re
import shutil
import subprocess
from datetime import timedelta

import psycopg2
import pytest

from harness import build
from harness.clock import Clock
from harness.collectd import BOTH, PROGRAM as COLLECTD
from harness.doctor import examine
from harness.events import event
from harness.postgres import DURABLE, Database
from harness.wait import wait_until

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
