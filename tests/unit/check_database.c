/* SPDX-License-Identifier: MIT
 *
 * check_database - the connection against a real server: what it reads and
 * sends, whose fault an error is, and that every wait ends.
 */
#include "servers.h"

#include "clock.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

static au_database_t *control; /* the superuser's, on the test database */

static void setup(void) {
  control = open_client(getenv("AURORE_TEST_CONNINFO"));
}

static void teardown(void) {
  au_database_destroy(control);
  control = NULL;
}

/* A name that no other test program uses. */
static const char *own_name(const char *what) {
  static char name[64];
  snprintf(name, sizeof(name), "check_%s_%ld", what, (long)getpid());
  return name;
}

static void do_named(const char *before, const char *name, const char *after) {
  char sql[256];
  snprintf(sql, sizeof(sql), "%s %s %s", before, name, after);
  do_sql(control, sql);
}

/* Connecting fails; returns why. */
static au_database_error_t refused(const char *conninfo, double timeout_s) {
  const au_database_config_t config = {.conninfo = conninfo,
                                       .connect_timeout_s = timeout_s,
                                       .statement_timeout_s = 5,
                                       .stop_fd = -1,
                                       .application_name = "aurore test"};
  au_database_t *database = NULL;
  au_database_error_t error;
  ck_assert_int_eq(au_database_create(&config, &database), AU_OK);
  ck_assert_int_eq(au_database_connect(database, &error), AU_UNAVAILABLE);
  ck_assert(!au_database_is_connected(database));
  ck_assert_int_eq(error.fault, AU_FAULT_DATABASE);
  ck_assert_str_ne(error.message, "");
  ck_assert_ptr_null(strchr(error.message, '\n'));
  au_database_destroy(database);
  return error;
}

static void assert_says(const au_database_error_t *error, const char *part) {
  ck_assert_msg(strstr(error->message, part) != NULL, "\"%s\" is not in: %s",
                part, error->message);
}

/* A socket of 127.0.0.1 that takes connections and never says a word, or, not
 * listening, refuses them. */
static int make_socket(bool listening, int *out_port) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t size = sizeof(address);
  ck_assert_int_ge(fd, 0);
  ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, size), 0);
  if (listening)
    ck_assert_int_eq(listen(fd, 8), 0);
  ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &size), 0);
  *out_port = ntohs(address.sin_port);
  return fd;
}

/* --- connecting --- */

START_TEST(refused_connection_is_the_databases_fault) {
  int port;
  int fd = make_socket(false, &port);
  char conninfo[128];
  snprintf(conninfo, sizeof(conninfo), "host=127.0.0.1 port=%d", port);
  au_database_error_t error = refused(conninfo, 5);
  ck_assert_str_eq(error.sqlstate, "");
  assert_says(&error, "127.0.0.1");
  close(fd);
}
END_TEST

START_TEST(missing_database_is_named) {
  au_database_error_t error =
      refused(conninfo_with("dbname=nobody_made_this"), 20);
  assert_says(&error, "\"nobody_made_this\"");
}
END_TEST

START_TEST(other_encoding_is_refused) {
  const char *name = own_name("latin1");
  do_named("CREATE DATABASE", name,
           "ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
  char more[96];
  snprintf(more, sizeof(more), "dbname=%s", name);
  au_database_error_t error = refused(conninfo_with(more), 20);
  assert_says(&error, "\"LATIN1\"");
  do_named("DROP DATABASE", name, "");
}
END_TEST

START_TEST(read_only_server_is_refused) {
  const char *name = own_name("readonly");
  do_named("CREATE DATABASE", name, "");
  do_named("ALTER DATABASE", name, "SET default_transaction_read_only = on");
  char more[96];
  snprintf(more, sizeof(more), "dbname=%s", name);
  au_database_error_t error = refused(conninfo_with(more), 20);
  assert_says(&error, "read-only");
  /* Who says so in the connection string may have it. */
  snprintf(more, sizeof(more), "dbname=%s target_session_attrs=any", name);
  au_database_destroy(open_client(conninfo_with(more)));
  do_named("DROP DATABASE", name, "");
}
END_TEST

START_TEST(silent_server_ends_at_the_timeout) {
  int port;
  int fd = make_socket(true, &port);
  char conninfo[128];
  snprintf(conninfo, sizeof(conninfo), "host=127.0.0.1 port=%d", port);
  au_database_error_t error = refused(conninfo, 0.2);
  assert_says(&error, "no answer within 0.2 s");
  close(fd);
}
END_TEST

/* libpq alone would stay with the first host for ever. */
START_TEST(silent_host_is_passed_over) {
  int silent_port;
  int closed_port;
  int silent = make_socket(true, &silent_port);
  int closed = make_socket(false, &closed_port);
  char more[768];
  snprintf(more, sizeof(more), "host=127.0.0.1,127.0.0.1,127.0.0.1,%s",
           conninfo_value(getenv("AURORE_TEST_CONNINFO"), "host"));
  size_t length = strlen(more);
  snprintf(more + length, sizeof(more) - length, " port=%d,%d,%d,%s",
           closed_port, silent_port, silent_port,
           conninfo_value(getenv("AURORE_TEST_CONNINFO"), "port"));
  const au_database_config_t config = {.conninfo = conninfo_with(more),
                                       .connect_timeout_s = 0.5,
                                       .statement_timeout_s = 5,
                                       .stop_fd = -1};
  au_database_t *database = NULL;
  au_database_error_t error;
  ck_assert_int_eq(au_database_create(&config, &database), AU_OK);
  /* A machine that is busy may be late for one round. */
  au_status_t status = au_database_connect(database, &error);
  for (int i = 0; i < 20 && status != AU_OK; i++)
    status = au_database_connect(database, &error);
  ck_assert_done(status, error);
  au_database_destroy(database);
  close(silent);
  close(closed);
}
END_TEST

START_TEST(silent_hosts_alone_end) {
  int port;
  int fd = make_socket(true, &port);
  char conninfo[256];
  snprintf(conninfo, sizeof(conninfo),
           "hostaddr=127.0.0.1,127.0.0.1,127.0.0.1 port=%d", port);
  au_database_error_t error = refused(conninfo, 0.1);
  assert_says(&error, "no answer");
  close(fd);
}
END_TEST

/* Parts of a connection string that was read in another way than it was meant
 * may be parts of a password. */
static const struct {
  const char *conninfo;
  const char *secret;
} misread[] = {
    {"postgresql://user:hun/ter2@127.0.0.1/db", "hun"},
    {"postgresql://user:hun@ter2@127.0.0.1/db", "ter2"},
    {"postgresql://user:hun#ter2@127.0.0.1:x/db", "ter2"},
    {"postgresql://user:hunter2%zz@127.0.0.1/db", "hunter2"},
    {"password=hun ter2 host=127.0.0.1", "ter2"},
    {"password='hunter2 host=127.0.0.1", "hunter2"},
    {"host=127.0.0.1 port=1 passwort=hunter2", "hunter2"},
    {"hunter2 = 1", "hunter2"},
    {"host=127.0.0.1 sslmode=hunter2", "hunter2"},
    {"host=127.0.0.1 port=hunter2", "hunter2"},
};

START_TEST(misread_password_is_not_told) {
  au_database_error_t error = refused(misread[_i].conninfo, 5);
  ck_assert_msg(strstr(error.message, misread[_i].secret) == NULL,
                "the message tells it: %s", error.message);
}
END_TEST

START_TEST(stop_ends_a_connect) {
  int port;
  int fd = make_socket(true, &port);
  int stop = eventfd(1, 0);
  char conninfo[128];
  snprintf(conninfo, sizeof(conninfo), "host=127.0.0.1 port=%d", port);
  au_database_t *database = make_client(conninfo, 3600, stop);
  au_database_error_t error;
  ck_assert_int_eq(au_database_connect(database, &error), AU_UNAVAILABLE);
  assert_says(&error, "stopped");
  au_database_destroy(database);
  close(stop);
  close(fd);
}
END_TEST

/* --- the session --- */

static const struct {
  const char *name;
  const char *value;
} wanted[] = {
    {"statement_timeout", "30s"},
    {"idle_in_transaction_session_timeout", "30s"},
    {"client_encoding", "UTF8"},
    {"datestyle", "ISO, YMD"},
    {"timezone", "UTC"},
    {"bytea_output", "hex"},
    {"standard_conforming_strings", "on"},
    {"search_path", "pg_catalog, pg_temp"},
    {"transaction_isolation", "read committed"},
    {"synchronous_commit", "on"},
    {"client_min_messages", "error"},
};

/* A database with the opposite of each setting. */
static void make_contrary_database(const char *name) {
  do_named("CREATE DATABASE", name, "");
  do_named("ALTER DATABASE", name, "SET synchronous_commit = off");
  do_named("ALTER DATABASE", name, "SET datestyle = 'German'");
  do_named("ALTER DATABASE", name, "SET timezone = 'Asia/Kathmandu'");
  do_named("ALTER DATABASE", name, "SET bytea_output = escape");
  do_named("ALTER DATABASE", name, "SET standard_conforming_strings = off");
  do_named("ALTER DATABASE", name,
           "SET default_transaction_isolation = serializable");
  do_named("ALTER DATABASE", name, "SET search_path = public");
}

static void assert_settings(au_database_t *database) {
  for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
    char sql[96];
    snprintf(sql, sizeof(sql), "SHOW %s", wanted[i].name);
    ck_assert_str_eq(ask(database, sql), wanted[i].value);
  }
}

START_TEST(session_has_its_settings) {
  const char *name = own_name("contrary");
  make_contrary_database(name);
  char more[96];
  snprintf(more, sizeof(more), "dbname=%s client_encoding=LATIN1", name);
  au_database_t *database = open_client(conninfo_with(more));
  assert_settings(database);
  ck_assert_str_eq(ask(database, "SHOW application_name"), "aurore test");
  au_database_destroy(database);
  snprintf(more, sizeof(more), "dbname=%s application_name=mine", name);
  database = open_client(conninfo_with(more));
  ck_assert_str_eq(ask(database, "SHOW application_name"), "mine");
  au_database_destroy(database);
  do_named("DROP DATABASE", name, "");
}
END_TEST

/* --- statements --- */

START_TEST(result_is_of_the_last_statement_with_rows) {
  au_result_t result = {NULL};
  au_database_error_t error;
  ck_assert_int_eq(
      au_database_exec(control,
                       "SELECT 1; SELECT x, NULL FROM "
                       "generate_series(7, 8) AS x; SET LOCAL timezone = 'UTC'",
                       &result, &error),
      AU_OK);
  ck_assert_uint_eq(au_result_rows(&result), 2);
  ck_assert_str_eq(au_result_text(&result, 1, 0), "8");
  ck_assert_ptr_null(au_result_text(&result, 1, 1));
  ck_assert_ptr_null(au_result_text(&result, 2, 0));
  ck_assert_ptr_null(au_result_text(&result, 0, 2));
  au_result_fini(&result);
  ck_assert_uint_eq(au_result_rows(&result), 0);
}
END_TEST

START_TEST(query_takes_parameters) {
  const char *const values[] = {"it's \\", NULL, "3"};
  au_result_t result = {NULL};
  au_database_error_t error;
  ck_assert_int_eq(au_database_query(control,
                                     "SELECT $1::text, $2::text, $3::int + 1",
                                     3, values, &result, &error),
                   AU_OK);
  ck_assert_str_eq(au_result_text(&result, 0, 0), values[0]);
  ck_assert_ptr_null(au_result_text(&result, 0, 1));
  ck_assert_str_eq(au_result_text(&result, 0, 2), "4");
  au_result_fini(&result);
  ck_assert_int_eq(
      au_database_query(control, "SELECT $1::int", 1, values, &result, &error),
      AU_INVALID);
  ck_assert_str_eq(error.sqlstate, "22P02");
  ck_assert_str_eq(ask(control, "SELECT 5"), "5");
}
END_TEST

START_TEST(string_is_one_transaction) {
  au_database_error_t error;
  do_sql(control, "CREATE TEMP TABLE t (a int PRIMARY KEY)");
  ck_assert_int_eq(au_database_exec(control,
                                    "INSERT INTO t VALUES (1); "
                                    "INSERT INTO t VALUES (2), (2)",
                                    NULL, &error),
                   AU_INVALID);
  ck_assert_str_eq(error.sqlstate, "23505");
  ck_assert_int_eq(error.fault, AU_FAULT_ROW);
  ck_assert_str_eq(ask(control, "SELECT count(*) FROM t"), "0");
}
END_TEST

START_TEST(statement_timeout_keeps_the_connection) {
  au_database_t *database =
      make_client(getenv("AURORE_TEST_CONNINFO"), 0.1, -1);
  au_database_error_t error;
  ck_assert_int_eq(au_database_connect(database, &error), AU_OK);
  ck_assert_int_eq(
      au_database_exec(database, "SELECT pg_sleep(600)", NULL, &error),
      AU_INVALID);
  ck_assert_str_eq(error.sqlstate, "57014");
  ck_assert_int_eq(error.fault, AU_FAULT_DATABASE);
  ck_assert(au_database_is_connected(database));
  /* A timeout of its own is longer, and for that string only. */
  ck_assert_int_eq(au_database_exec_within(database, 20, "SELECT pg_sleep(0.2)",
                                           NULL, &error),
                   AU_OK);
  ck_assert_str_eq(ask(database, "SHOW statement_timeout"), "100ms");
  au_database_destroy(database);
}
END_TEST

START_TEST(what_nobody_reads_drops_the_connection) {
  static const char *const sql[] = {"COPY (SELECT 1) TO STDOUT", "BEGIN"};
  au_database_t *database = open_client(getenv("AURORE_TEST_CONNINFO"));
  au_database_error_t error;
  for (size_t i = 0; i < 2; i++) {
    ck_assert_int_eq(au_database_connect(database, &error), AU_OK);
    ck_assert_int_eq(au_database_exec(database, sql[i], NULL, &error),
                     AU_UNAVAILABLE);
    ck_assert(!au_database_is_connected(database));
    ck_assert_str_ne(error.message, "");
  }
  ck_assert_int_eq(au_database_exec(database, "SELECT 1", NULL, &error),
                   AU_UNAVAILABLE);
  assert_says(&error, "not connected");
  au_database_destroy(database);
}
END_TEST

static const struct {
  const char *sql;
  const char *sqlstate;
  au_fault_t fault;
  const char *part; /* of the message */
} faults[] = {
    {"SELECT 1 / 0", "22012", AU_FAULT_ROW, "division by zero"},
    {"INSERT INTO f VALUES (NULL, 'secret')", "23502", AU_FAULT_ROW, "\"a\""},
    {"INSERT INTO f VALUES (-1, 'secret')", "23514", AU_FAULT_ROW,
     "\"f_a_check\""},
    {"INSERT INTO f VALUES (1, 'secret'), (1, 'secret')", "23505", AU_FAULT_ROW,
     "\"f_pkey\""},
    {"INSERT INTO p VALUES (12345)", "23514", AU_FAULT_PARTITION, "\"p\""},
    {"SELECT lower(repeat('x', 1000)::varchar(4000))::int4range", "22P02",
     AU_FAULT_ROW, "malformed"},
    {"SELECT * FROM nothing", "42P01", AU_FAULT_DATABASE, "\"nothing\""},
    {"SELECT FROM WHERE", "42601", AU_FAULT_DATABASE, "syntax error"},
    {"DO $$BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = '53100'; END$$",
     "53100", AU_FAULT_DATABASE, "no room"},
    {"DO $$BEGIN RAISE EXCEPTION 'too large' USING ERRCODE = '54000'; END$$",
     "54000", AU_FAULT_ROW, "too large"},
    {"DO $$BEGIN RAISE EXCEPTION 'again' USING ERRCODE = '40001'; END$$",
     "40001", AU_FAULT_DATABASE, "again"},
    {"DO $$BEGIN RAISE EXCEPTION 'a check' USING ERRCODE = '23514'; END$$",
     "23514", AU_FAULT_ROW, "a check"},
    {"DO $$BEGIN RAISE EXCEPTION 'fence' USING ERRCODE = 'AU001'; END$$",
     "AU001", AU_FAULT_FENCED, "fence"},
};

START_TEST(fault_follows_from_the_sqlstate) {
  do_sql(control, "CREATE TEMP TABLE f (a int PRIMARY KEY CHECK (a > 0), "
                  "b text)");
  do_sql(control,
         "CREATE TEMP TABLE p (a int) PARTITION BY RANGE (a); "
         "CREATE TEMP TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (9)");
  au_database_error_t error;
  au_status_t status = au_database_exec(control, faults[_i].sql, NULL, &error);
  ck_assert_int_eq(status, faults[_i].fault == AU_FAULT_FENCED ? AU_FENCED
                                                               : AU_INVALID);
  ck_assert_str_eq(error.sqlstate, faults[_i].sqlstate);
  ck_assert_int_eq(error.fault, faults[_i].fault);
  assert_says(&error, faults[_i].part);
  /* Neither the row nor the statement. */
  ck_assert_ptr_null(strstr(error.message, "secret"));
  ck_assert_ptr_null(strstr(error.message, "12345"));
  ck_assert_ptr_null(strstr(error.message, "INSERT"));
}
END_TEST

START_TEST(message_is_one_line_of_utf8) {
  au_database_error_t error;
  ck_assert_int_eq(
      au_database_exec(control,
                       "DO $$BEGIN RAISE USING MESSAGE = E'a\\n\\tb\\x01' || "
                       "repeat(U&'\\00e9', 600); END$$",
                       NULL, &error),
      AU_INVALID);
  ck_assert_msg(strncmp(error.message, "a  b \xC3\xA9", 7) == 0, "it is \"%s\"",
                error.message);
  size_t length = strlen(error.message);
  ck_assert_uint_lt(length, sizeof(error.message));
  ck_assert_uint_ge(length, sizeof(error.message) - 2);
  ck_assert_int_eq((unsigned char)error.message[length - 1], 0xA9);
}
END_TEST

/* --- literals --- */

static const char *const texts[] = {
    "",       "plain",      "it's",        "''",
    "\\",     "\\'; DROP",  "a\\\\b'c\\n", "\xE2\x82\xAC \xF0\x9F\x98\x80",
    "$1 %s;", "E'x' -- /*", "\n\t\r\x01",
};

static void assert_comes_back(au_database_t *database, const char *text) {
  au_bytes_t sql = AU_BYTES_INIT;
  au_bytes_put_string(&sql, "SELECT ");
  au_database_put_literal(&sql, text, strlen(text));
  au_bytes_put_string(&sql, "::text = convert_from(");
  au_database_put_bytea(&sql, text, strlen(text));
  au_bytes_put_string(&sql, ", 'UTF8'), ");
  au_database_put_literal(&sql, text, strlen(text));
  au_result_t result = {NULL};
  au_database_error_t error;
  au_status_t status =
      au_database_exec(database, au_bytes_text(&sql), &result, &error);
  ck_assert_done(status, error);
  ck_assert_str_eq(au_result_text(&result, 0, 0), "t");
  ck_assert_str_eq(au_result_text(&result, 0, 1), text);
  au_result_fini(&result);
  au_bytes_fini(&sql);
}

START_TEST(literal_comes_back_as_it_was) {
  assert_comes_back(control, texts[_i]);
  do_sql(control, "SET standard_conforming_strings = off");
  assert_comes_back(control, texts[_i]);
}
END_TEST

START_TEST(literal_with_nul_fails) {
  au_bytes_t sql = AU_BYTES_INIT;
  au_database_put_literal(&sql, "a\0b", 3);
  ck_assert_ptr_null(au_bytes_text(&sql));
  au_bytes_fini(&sql);
}
END_TEST

/* --- COPY --- */

#define TUPLE_SIZE 10 /* int16 1, int32 4, int32 value */

/* "count" rows of one int4 as COPY binary, the whole of it. */
static au_bytes_t make_copy(uint32_t count, uint32_t bad) {
  au_bytes_t bytes = AU_BYTES_INIT;
  au_bytes_put(&bytes, "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0", 19);
  for (uint32_t i = 0; i < count; i++) {
    au_bytes_put_be16(&bytes, 1);
    au_bytes_put_be32(&bytes, i == bad ? 3 : 4);
    au_bytes_put_be32(&bytes, i);
  }
  au_bytes_put_be16(&bytes, 0xFFFF);
  ck_assert(!bytes.failed);
  return bytes;
}

#define NO_BAD UINT32_MAX

START_TEST(copy_sends_all_pieces_in_order) {
  do_sql(control, "CREATE TEMP TABLE c (a int)");
  au_bytes_t bytes = make_copy(100000, NO_BAD);
  /* Pieces of all sizes, empty ones, too. */
  au_piece_t pieces[512];
  size_t count = 0;
  size_t offset = 0;
  while (count < 511 && offset < bytes.size) {
    size_t size = (count * count * 7) % 20001;
    if (size > bytes.size - offset)
      size = bytes.size - offset;
    pieces[count++] = (au_piece_t){.data = bytes.data + offset, .size = size};
    offset += size;
  }
  pieces[count++] =
      (au_piece_t){.data = bytes.data + offset, .size = bytes.size - offset};
  au_database_error_t error;
  au_status_t status =
      au_database_copy(control,
                       "SELECT 1; COPY c FROM STDIN (FORMAT binary); "
                       "INSERT INTO c VALUES (-1)",
                       pieces, count, &error);
  ck_assert_done(status, error);
  ck_assert_str_eq(
      ask(control, "SELECT count(*) || ' ' || sum(a::bigint) FROM c"),
      "100001 4999949999");
  au_bytes_fini(&bytes);
}
END_TEST

/* Where the row is bad: at the begin, in the middle, at the end of more than
 * the sockets hold. */
static const uint32_t bad_rows[] = {0, 400000, 799999};

START_TEST(copy_of_a_bad_row_is_the_rows_fault) {
  do_sql(control, "CREATE TEMP TABLE c (a int)");
  au_bytes_t bytes = make_copy(800000, bad_rows[_i]);
  const au_piece_t piece = {.data = bytes.data, .size = bytes.size};
  au_database_error_t error;
  ck_assert_int_eq(
      au_database_copy(control,
                       "INSERT INTO c VALUES (-1); "
                       "COPY c FROM STDIN (FORMAT binary); SELECT 1",
                       &piece, 1, &error),
      AU_INVALID);
  ck_assert_str_eq(error.sqlstate, "08P01");
  ck_assert_int_eq(error.fault, AU_FAULT_ROW);
  ck_assert(au_database_is_connected(control));
  ck_assert_str_eq(ask(control, "SELECT count(*) FROM c"), "0");
  au_bytes_fini(&bytes);
}
END_TEST

START_TEST(error_before_the_copy_sends_nothing) {
  do_sql(control, "CREATE TEMP TABLE c (a int)");
  /* Whoever reads this piece dies of it. */
  const au_piece_t piece = {.data = NULL, .size = (size_t)1 << 40};
  au_database_error_t error;
  ck_assert_int_eq(au_database_copy(control,
                                    "DO $$BEGIN RAISE EXCEPTION 'fence' USING "
                                    "ERRCODE = 'AU001'; END$$; "
                                    "COPY c FROM STDIN (FORMAT binary)",
                                    &piece, 1, &error),
                   AU_FENCED);
  ck_assert_int_eq(error.fault, AU_FAULT_FENCED);
}
END_TEST

START_TEST(error_after_the_copy_undoes_it) {
  do_sql(control, "CREATE TEMP TABLE c (a int)");
  au_bytes_t bytes = make_copy(10, NO_BAD);
  const au_piece_t piece = {.data = bytes.data, .size = bytes.size};
  au_database_error_t error;
  ck_assert_int_eq(au_database_copy(control,
                                    "COPY c FROM STDIN (FORMAT binary); "
                                    "SELECT 1 / 0",
                                    &piece, 1, &error),
                   AU_INVALID);
  ck_assert_str_eq(ask(control, "SELECT count(*) FROM c"), "0");
  au_bytes_fini(&bytes);
}
END_TEST

/* A trigger turns notices on and sends them in the middle of the COPY: short
 * ones are passed over. One that comes in pieces may be taken for a refusal,
 * but what was sent until then is never taken for the whole. */
START_TEST(notice_in_a_copy_does_not_cut_it) {
  do_sql(control, "CREATE TABLE public.noisy (a int)");
  do_sql(control,
         "CREATE FUNCTION public.shout() RETURNS trigger LANGUAGE plpgsql AS "
         "$$BEGIN IF NEW.a % 50000 = 10 THEN "
         "PERFORM set_config('client_min_messages', 'notice', true); "
         "RAISE NOTICE '%', repeat('x', TG_ARGV[0]::int); END IF; "
         "RETURN NEW; END$$");
  do_sql(control, _i == 0 ? "CREATE TRIGGER shout BEFORE INSERT ON "
                            "public.noisy FOR EACH ROW EXECUTE FUNCTION "
                            "public.shout('10')"
                          : "CREATE TRIGGER shout BEFORE INSERT ON "
                            "public.noisy FOR EACH ROW EXECUTE FUNCTION "
                            "public.shout('1000000')");
  au_bytes_t bytes = make_copy(400000, NO_BAD);
  const au_piece_t piece = {.data = bytes.data, .size = bytes.size};
  au_database_error_t error;
  au_status_t status =
      au_database_copy(control, "COPY public.noisy FROM STDIN (FORMAT binary)",
                       &piece, 1, &error);
  char count[32];
  snprintf(count, sizeof(count), "%.31s",
           ask(control, "SELECT count(*) FROM public.noisy"));
  do_sql(control, "DROP TABLE public.noisy");
  do_sql(control, "DROP FUNCTION public.shout()");
  if (_i == 0 || status == AU_OK) {
    ck_assert_done(status, error);
    ck_assert_str_eq(count, "400000");
  } else {
    ck_assert_int_eq(status, AU_INVALID);
    ck_assert_int_eq(error.fault, AU_FAULT_DATABASE);
    ck_assert_str_eq(count, "0");
  }
  au_bytes_fini(&bytes);
}
END_TEST

/* --- when things end badly --- */

/* A statement in a thread of its own, so that the test can do something to the
 * server meanwhile. */
typedef struct background {
  au_database_t *database;
  const char *sql;
  const au_piece_t *piece;
  au_status_t status;
  au_database_error_t error;
  pthread_t thread;
  long pid; /* of its backend */
} background_t;

static void *background_main(void *argument) {
  background_t *background = argument;
  background->status =
      background->piece == NULL
          ? au_database_exec(background->database, background->sql, NULL,
                             &background->error)
          : au_database_copy(background->database, background->sql,
                             background->piece, 1, &background->error);
  return NULL;
}

/* Starts it and waits until its backend is at "wait_event". */
static void start_background(background_t *background, au_database_t *watcher,
                             const char *wait_event) {
  background->pid = atol(ask(background->database, "SELECT pg_backend_pid()"));
  ck_assert_int_eq(
      pthread_create(&background->thread, NULL, background_main, background),
      0);
  char sql[160];
  snprintf(sql, sizeof(sql),
           "SELECT wait_event FROM pg_stat_activity WHERE pid = %ld",
           background->pid);
  await(watcher, sql, wait_event);
}

static void join_background(background_t *background) {
  pthread_join(background->thread, NULL);
}

static void await_end_of_backend(au_database_t *watcher, long pid) {
  char sql[128];
  snprintf(sql, sizeof(sql),
           "SELECT count(*) FROM pg_stat_activity WHERE pid = %ld", pid);
  await(watcher, sql, "0");
}

START_TEST(stop_ends_a_statement_here_and_on_the_server) {
  int stop = eventfd(0, 0);
  background_t background = {.sql = "SELECT pg_sleep(3600)"};
  background.database = make_client(getenv("AURORE_TEST_CONNINFO"), 3600, stop);
  au_database_error_t error;
  ck_assert_int_eq(au_database_connect(background.database, &error), AU_OK);
  start_background(&background, control, "PgSleep");
  ck_assert_int_eq(eventfd_write(stop, 1), 0);
  join_background(&background);
  ck_assert_int_eq(background.status, AU_UNAVAILABLE);
  assert_says(&background.error, "stopped");
  await_end_of_backend(control, background.pid);
  /* From now on nothing is begun any more. */
  ck_assert_int_eq(au_database_connect(background.database, &error),
                   AU_UNAVAILABLE);
  au_database_destroy(background.database);
  close(stop);
}
END_TEST

START_TEST(terminated_backend_is_no_verdict) {
  background_t background = {.sql = "SELECT pg_sleep(3600)"};
  background.database = make_client(getenv("AURORE_TEST_CONNINFO"), 3600, -1);
  au_database_error_t error;
  ck_assert_int_eq(au_database_connect(background.database, &error), AU_OK);
  start_background(&background, control, "PgSleep");
  char sql[64];
  snprintf(sql, sizeof(sql), "SELECT pg_terminate_backend(%ld)",
           background.pid);
  do_sql(control, sql);
  join_background(&background);
  ck_assert_int_eq(background.status, AU_UNAVAILABLE);
  ck_assert_str_eq(background.error.sqlstate, "57P01");
  ck_assert_int_eq(background.error.fault, AU_FAULT_DATABASE);
  au_database_destroy(background.database);
}
END_TEST

START_TEST(connection_that_died_idle_is_replaced) {
  au_database_t *database = open_client(getenv("AURORE_TEST_CONNINFO"));
  long pid = atol(ask(database, "SELECT pg_backend_pid()"));
  char sql[64];
  snprintf(sql, sizeof(sql), "SELECT pg_terminate_backend(%ld)", pid);
  do_sql(control, sql);
  await_end_of_backend(control, pid);
  ck_assert(!au_database_check(database));
  au_database_error_t error;
  au_status_t status = au_database_connect(database, &error);
  ck_assert_done(status, error);
  ck_assert_int_ne(atol(ask(database, "SELECT pg_backend_pid()")), pid);
  /* One that is well stays. */
  pid = atol(ask(database, "SELECT pg_backend_pid()"));
  ck_assert_int_eq(au_database_connect(database, &error), AU_OK);
  ck_assert_int_eq(atol(ask(database, "SELECT pg_backend_pid()")), pid);
  au_database_destroy(database);
}
END_TEST

/* The backend is stopped as a machine that hangs: the connection is up, and
 * nothing comes. */
START_TEST(stalled_server_ends_at_the_deadline) {
  au_database_t *database =
      make_client(getenv("AURORE_TEST_CONNINFO"), 0.1, -1);
  au_database_error_t error;
  ck_assert_int_eq(au_database_connect(database, &error), AU_OK);
  do_sql(database, "CREATE TEMP TABLE c (a int)");
  pid_t pid = (pid_t)atol(ask(database, "SELECT pg_backend_pid()"));
  /* Whatever becomes of this test, the backend goes on. */
  char text[16];
  snprintf(text, sizeof(text), "%d", (int)pid);
  helper_t guard = start_helper("read; kill -CONT $1", text);
  ck_assert_int_eq(kill(pid, SIGSTOP), 0);
  au_bytes_t bytes = make_copy(2000000, NO_BAD);
  const au_piece_t piece = {.data = bytes.data, .size = bytes.size};
  au_status_t status =
      _i == 0 ? au_database_exec(database, "SELECT 1", NULL, &error)
              : au_database_copy(database, "COPY c FROM STDIN (FORMAT binary)",
                                 &piece, 1, &error);
  end_helper(&guard);
  ck_assert_int_eq(status, AU_UNAVAILABLE);
  ck_assert_str_eq(error.sqlstate, "");
  assert_says(&error, "no answer within 5.1 s");
  ck_assert(!au_database_is_connected(database));
  await_end_of_backend(control, pid);
  au_bytes_fini(&bytes);
  au_database_destroy(database);
}
END_TEST

START_TEST(copy_that_waits_for_a_lock_ends_on_the_server) {
  au_database_t *database =
      make_client(getenv("AURORE_TEST_CONNINFO"), 0.5, -1);
  au_database_error_t error;
  ck_assert_int_eq(au_database_connect(database, &error), AU_OK);
  do_sql(control, "CREATE TABLE public.stall (a int)");
  background_t lock = {.sql = "LOCK TABLE public.stall; SELECT pg_sleep(3600)"};
  lock.database = make_client(getenv("AURORE_TEST_CONNINFO"), 3600, -1);
  ck_assert_int_eq(au_database_connect(lock.database, &error), AU_OK);
  start_background(&lock, control, "PgSleep");
  au_bytes_t bytes = make_copy(1000, NO_BAD);
  const au_piece_t piece = {.data = bytes.data, .size = bytes.size};
  /* The lock is waited for by COPY: the server's own timeout speaks. */
  ck_assert_int_eq(au_database_copy(database,
                                    "COPY public.stall FROM STDIN "
                                    "(FORMAT binary)",
                                    &piece, 1, &error),
                   AU_INVALID);
  ck_assert_str_eq(error.sqlstate, "57014");
  char sql[64];
  snprintf(sql, sizeof(sql), "SELECT pg_terminate_backend(%ld)", lock.pid);
  do_sql(control, sql);
  join_background(&lock);
  do_sql(control, "DROP TABLE public.stall");
  au_bytes_fini(&bytes);
  au_database_destroy(lock.database);
  au_database_destroy(database);
}
END_TEST

/* pg_ctl stop -m immediate: no goodbye to anybody. Then it comes back. */
START_TEST(killed_server_ends_what_runs_and_is_found_again) {
  char directory[64];
  make_directory(directory);
  cluster_t cluster;
  start_cluster(&cluster, directory);
  au_database_t *watcher = open_client(cluster.conninfo);
  do_sql(watcher, "CREATE TABLE public.c (a int)");
  au_bytes_t bytes = make_copy(2000000, NO_BAD);
  const au_piece_t piece = {.data = bytes.data, .size = bytes.size};
  background_t background = {.sql = "SELECT pg_sleep(3600)"};
  const char *wait_event = "PgSleep";
  if (_i == 1) {
    /* In the middle of the COPY: its first row waits for a lock. */
    do_sql(watcher,
           "CREATE FUNCTION public.nap() RETURNS trigger LANGUAGE plpgsql AS "
           "$$BEGIN IF NEW.a = 1000 THEN PERFORM pg_sleep(3600); END IF; "
           "RETURN NEW; END$$; CREATE TRIGGER nap BEFORE INSERT ON public.c "
           "FOR EACH ROW EXECUTE FUNCTION public.nap()");
    background.sql = "COPY public.c FROM STDIN (FORMAT binary)";
    background.piece = &piece;
  }
  background.database = make_client(cluster.conninfo, 3600, -1);
  au_database_error_t error;
  ck_assert_int_eq(au_database_connect(background.database, &error), AU_OK);
  start_background(&background, watcher, wait_event);
  ck_assert_int_eq(kill(cluster.pid, SIGQUIT), 0);
  join_background(&background);
  ck_assert_int_eq(background.status, AU_UNAVAILABLE);
  ck_assert_int_eq(background.error.fault, AU_FAULT_DATABASE);
  ck_assert_str_ne(background.error.message, "");
  stop_cluster(&cluster);
  ck_assert_int_eq(au_database_connect(background.database, &error),
                   AU_UNAVAILABLE);

  start_cluster(&cluster, directory);
  au_database_destroy(background.database);
  background.database = open_client(cluster.conninfo);
  ck_assert_str_eq(ask(background.database, "SELECT count(*) FROM public.c"),
                   "0");
  au_database_destroy(background.database);
  au_database_destroy(watcher);
  stop_cluster(&cluster);
  remove_directory(directory);
  au_bytes_fini(&bytes);
}
END_TEST

START_TEST(wrong_password_is_told_and_not_the_password) {
  char directory[64];
  make_directory(directory);
  cluster_t cluster;
  start_cluster(&cluster, directory);
  au_database_t *superuser = open_client(cluster.conninfo);
  do_sql(superuser, "CREATE ROLE guarded LOGIN PASSWORD 'right'");
  do_sql(superuser, "COPY (SELECT 'local all guarded scram-sha-256' UNION ALL "
                    "SELECT 'local all all trust') TO PROGRAM "
                    "'cat >pg_hba.conf'");
  do_sql(superuser, "SELECT pg_reload_conf()");
  await(superuser,
        "SELECT count(*) FROM pg_hba_file_rules WHERE "
        "auth_method = 'scram-sha-256'",
        "1");
  char conninfo[320];
  snprintf(conninfo, sizeof(conninfo), "%s user=guarded password=wrong",
           cluster.conninfo);
  au_database_error_t error = refused(conninfo, 20);
  assert_says(&error, "\"guarded\"");
  ck_assert_ptr_null(strstr(error.message, "wrong"));
  snprintf(conninfo, sizeof(conninfo), "%s user=guarded password=right",
           cluster.conninfo);
  au_database_destroy(open_client(conninfo));
  au_database_destroy(superuser);
  stop_cluster(&cluster);
  remove_directory(directory);
}
END_TEST

/* --- behind pgbouncer --- */

static bouncer_t bouncer;
static char pooled_database[64];

static void setup_bouncer(void) {
  setup();
  snprintf(pooled_database, sizeof(pooled_database), "%s", own_name("pooled"));
  make_contrary_database(pooled_database);
  start_bouncer(&bouncer, getenv("AURORE_TEST_CONNINFO"), pooled_database);
}

static void teardown_bouncer(void) {
  stop_bouncer(&bouncer);
  char sql[128];
  snprintf(sql, sizeof(sql),
           "SELECT count(*) FROM pg_stat_activity WHERE datname = '%s'",
           pooled_database);
  await(control, sql, "0");
  do_named("DROP DATABASE", pooled_database, "");
  teardown();
}

START_TEST(pooled_transaction_has_its_settings_and_leaves_none) {
  au_database_t *database = open_client(bouncer.conninfo);
  assert_settings(database);
  const char *const values[] = {"timezone"};
  au_result_t result = {NULL};
  au_database_error_t error;
  au_status_t status = au_database_query(database, "SELECT current_setting($1)",
                                         1, values, &result, &error);
  ck_assert_done(status, error);
  ck_assert_str_eq(au_result_text(&result, 0, 0), "UTC");
  au_result_fini(&result);

  /* Another client of the same session of the server. */
  PGconn *other = PQconnectdb(bouncer.conninfo);
  PGresult *shown =
      PQexec(other, "SELECT current_setting('search_path') || ' ' || "
                    "current_setting('statement_timeout') || ' ' || "
                    "current_setting('synchronous_commit')");
  ck_assert_int_eq(PQresultStatus(shown), PGRES_TUPLES_OK);
  ck_assert_str_eq(PQgetvalue(shown, 0, 0), "public 0 off");
  PQclear(shown);
  PQfinish(other);
  au_database_destroy(database);
}
END_TEST

START_TEST(pooled_errors_leave_the_connection_good) {
  au_database_t *database = make_client(bouncer.conninfo, 0.2, -1);
  au_database_error_t error;
  ck_assert_int_eq(au_database_connect(database, &error), AU_OK);
  ck_assert_int_eq(
      au_database_exec(database, "SELECT pg_sleep(600)", NULL, &error),
      AU_INVALID);
  ck_assert_str_eq(error.sqlstate, "57014");
  const char *const values[] = {"x"};
  ck_assert_int_eq(
      au_database_query(database, "SELECT $1::int", 1, values, NULL, &error),
      AU_INVALID);
  ck_assert_str_eq(error.sqlstate, "22P02");
  ck_assert(au_database_is_connected(database));
  ck_assert_str_eq(ask(database, "SELECT 5"), "5");
  au_database_destroy(database);
}
END_TEST

START_TEST(pooled_literals_come_back) {
  au_database_t *database = open_client(bouncer.conninfo);
  for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
    assert_comes_back(database, texts[i]);
  au_database_destroy(database);
}
END_TEST

START_TEST(pooled_copy_is_stored_or_undone) {
  au_database_t *database = open_client(bouncer.conninfo);
  do_sql(database, "CREATE TABLE public.c (a int)");
  au_bytes_t good = make_copy(500000, NO_BAD);
  au_bytes_t bad = make_copy(500000, 250000);
  const au_piece_t good_piece = {.data = good.data, .size = good.size};
  const au_piece_t bad_piece = {.data = bad.data, .size = bad.size};
  au_database_error_t error;
  static const char copy[] =
      "SELECT 1; COPY public.c FROM STDIN (FORMAT binary)";
  ck_assert_int_eq(au_database_copy(database, copy, &bad_piece, 1, &error),
                   AU_INVALID);
  ck_assert_str_eq(error.sqlstate, "08P01");
  ck_assert_int_eq(au_database_copy(database, copy, &good_piece, 1, &error),
                   AU_OK);
  ck_assert_str_eq(ask(database, "SELECT count(*) FROM public.c"), "500000");
  au_bytes_fini(&good);
  au_bytes_fini(&bad);
  au_database_destroy(database);
}
END_TEST

START_TEST(pooler_that_goes_away_is_no_verdict) {
  background_t background = {.sql = "SELECT pg_sleep(3600)"};
  background.database = make_client(bouncer.conninfo, 3600, -1);
  au_database_error_t error;
  ck_assert_int_eq(au_database_connect(background.database, &error), AU_OK);
  start_background(&background, control, "PgSleep");
  char sql[64];
  snprintf(sql, sizeof(sql), "SELECT pg_terminate_backend(%ld)",
           background.pid);
  do_sql(control, sql);
  join_background(&background);
  ck_assert_int_eq(background.status, AU_UNAVAILABLE);
  ck_assert(!au_database_is_connected(background.database));
  au_status_t status = au_database_connect(background.database, &error);
  ck_assert_done(status, error);
  au_database_destroy(background.database);
}
END_TEST

/* Of a server that crashed pgbouncer says 08P01, which would be a row's fault
 * if the connection outlived it. */
START_TEST(crash_behind_a_pooler_is_not_the_rows_fault) {
  char directory[64];
  make_directory(directory);
  cluster_t cluster;
  start_cluster(&cluster, directory);
  au_database_t *watcher = open_client(cluster.conninfo);
  bouncer_t other;
  start_bouncer(&other, cluster.conninfo, "postgres");
  background_t background = {.sql = "SELECT pg_sleep(3600)"};
  background.database = make_client(other.conninfo, 3600, -1);
  au_database_error_t error;
  ck_assert_int_eq(au_database_connect(background.database, &error), AU_OK);
  start_background(&background, watcher, "PgSleep");
  ck_assert_int_eq(kill((pid_t)background.pid, SIGKILL), 0);
  join_background(&background);
  ck_assert_int_eq(background.status, AU_UNAVAILABLE);
  ck_assert_str_eq(background.error.sqlstate, "08P01");
  ck_assert_int_eq(background.error.fault, AU_FAULT_DATABASE);
  au_database_destroy(background.database);
  au_database_destroy(watcher);
  stop_bouncer(&other);
  stop_cluster(&cluster);
  remove_directory(directory);
}
END_TEST

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static TCase *add_case(Suite *suite, const char *name) {
  TCase *tcase = tcase_create(name);
  tcase_set_timeout(tcase, 120);
  tcase_add_checked_fixture(tcase, setup, teardown);
  suite_add_tcase(suite, tcase);
  return tcase;
}

static void add_connecting(Suite *suite) {
  TCase *tcase = add_case(suite, "connecting");
  tcase_add_test(tcase, refused_connection_is_the_databases_fault);
  tcase_add_test(tcase, missing_database_is_named);
  tcase_add_test(tcase, other_encoding_is_refused);
  tcase_add_test(tcase, read_only_server_is_refused);
  tcase_add_test(tcase, silent_server_ends_at_the_timeout);
  tcase_add_test(tcase, silent_host_is_passed_over);
  tcase_add_test(tcase, silent_hosts_alone_end);
  tcase_add_loop_test(tcase, misread_password_is_not_told, 0, COUNT(misread));
  tcase_add_test(tcase, stop_ends_a_connect);
  tcase_add_test(tcase, session_has_its_settings);
}

static void add_statements(Suite *suite) {
  TCase *tcase = add_case(suite, "statements");
  tcase_add_test(tcase, result_is_of_the_last_statement_with_rows);
  tcase_add_test(tcase, query_takes_parameters);
  tcase_add_test(tcase, string_is_one_transaction);
  tcase_add_test(tcase, statement_timeout_keeps_the_connection);
  tcase_add_test(tcase, what_nobody_reads_drops_the_connection);
  tcase_add_loop_test(tcase, fault_follows_from_the_sqlstate, 0, COUNT(faults));
  tcase_add_test(tcase, message_is_one_line_of_utf8);
  tcase_add_loop_test(tcase, literal_comes_back_as_it_was, 0, COUNT(texts));
  tcase_add_test(tcase, literal_with_nul_fails);
}

static void add_copy(Suite *suite) {
  TCase *tcase = add_case(suite, "copy");
  tcase_add_test(tcase, copy_sends_all_pieces_in_order);
  tcase_add_loop_test(tcase, copy_of_a_bad_row_is_the_rows_fault, 0,
                      COUNT(bad_rows));
  tcase_add_loop_test(tcase, notice_in_a_copy_does_not_cut_it, 0, 2);
  tcase_add_test(tcase, error_before_the_copy_sends_nothing);
  tcase_add_test(tcase, error_after_the_copy_undoes_it);
}

static void add_endings(Suite *suite) {
  TCase *tcase = add_case(suite, "endings");
  tcase_add_test(tcase, stop_ends_a_statement_here_and_on_the_server);
  tcase_add_test(tcase, terminated_backend_is_no_verdict);
  tcase_add_test(tcase, connection_that_died_idle_is_replaced);
  tcase_add_loop_test(tcase, stalled_server_ends_at_the_deadline, 0, 2);
  tcase_add_test(tcase, copy_that_waits_for_a_lock_ends_on_the_server);
  tcase_add_loop_test(tcase, killed_server_ends_what_runs_and_is_found_again, 0,
                      2);
  tcase_add_test(tcase, wrong_password_is_told_and_not_the_password);
}

static void add_pooled(Suite *suite) {
  if (!has_bouncer()) {
    printf("check_database: the part behind pgbouncer is skipped: it is not "
           "installed\n");
    return;
  }
  TCase *tcase = tcase_create("pooled");
  tcase_set_timeout(tcase, 120);
  tcase_add_checked_fixture(tcase, setup_bouncer, teardown_bouncer);
  suite_add_tcase(suite, tcase);
  tcase_add_test(tcase, pooled_transaction_has_its_settings_and_leaves_none);
  tcase_add_test(tcase, pooled_errors_leave_the_connection_good);
  tcase_add_test(tcase, pooled_literals_come_back);
  tcase_add_test(tcase, pooled_copy_is_stored_or_undone);
  tcase_add_test(tcase, pooler_that_goes_away_is_no_verdict);
  tcase_add_test(tcase, crash_behind_a_pooler_is_not_the_rows_fault);
}

int main(void) {
  if (!has_server("check_database"))
    return TEST_SKIPPED;
  Suite *suite = suite_create("database");
  add_connecting(suite);
  add_statements(suite);
  add_copy(suite);
  add_endings(suite);
  add_pooled(suite);
  SRunner *runner = srunner_create(suite);
  srunner_run_all(runner, CK_ENV);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
