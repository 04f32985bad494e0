/* SPDX-License-Identifier: MIT
 *
 * check_database - statements on a real server: results, literals, COPY, and
 * whose fault an error is.
 */
#include "support/clients.h"
#include "support/suite.h"

/* --- statements --- */

CASE("statements", open_control, close_control);

TEST(result_is_of_the_last_statement_with_rows) {
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

TEST(string_is_one_transaction) {
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

TEST(statement_timeout_keeps_the_connection) {
  au_database_t *database =
      connect_client(getenv("AURORE_TEST_CONNINFO"), 0.1, -1);
  au_database_error_t error;
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

/* VACUUM refuses to run with anything beside it. */
TEST(statement_that_must_stand_alone_does) {
  au_database_t *database =
      connect_client(getenv("AURORE_TEST_CONNINFO"), 0.1, -1);
  au_database_error_t error;
  ck_assert(!au_database_is_pooled(database));
  au_status_t status = au_database_exec_alone(
      database, 20, "VACUUM pg_catalog.pg_database", &error);
  ck_assert_done(status, error);
  ck_assert_str_eq(ask(database, "SHOW statement_timeout"), "100ms");
  status = au_database_exec_alone(database, 20, "SELECT pg_sleep(0.2)", &error);
  ck_assert_done(status, error);
  ck_assert_int_eq(
      au_database_exec_alone(database, 0.2, "SELECT pg_sleep(600)", &error),
      AU_INVALID);
  ck_assert_str_eq(error.sqlstate, "57014");
  ck_assert_str_eq(ask(database, "SHOW statement_timeout"), "100ms");
  au_database_disconnect(database);
  ck_assert_int_eq(au_database_exec_alone(database, 1, "SELECT 1", &error),
                   AU_UNAVAILABLE);
  au_database_destroy(database);
}

TEST(what_nobody_reads_drops_the_connection) {
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
    {"SELECT * FROM nothing", "42P01", AU_FAULT_ROW, "\"nothing\""},
    {"SELECT FROM WHERE", "42601", AU_FAULT_ROW, "syntax error"},
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

TEST_EACH(fault_follows_from_the_sqlstate, COUNT_OF(faults)) {
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

TEST(message_is_one_line_of_utf8) {
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

/* --- literals --- */
TEST_EACH(literal_comes_back_as_it_was, COUNT_OF(texts)) {
  assert_comes_back(control, texts[_i]);
  do_sql(control, "SET standard_conforming_strings = off");
  assert_comes_back(control, texts[_i]);
}

TEST(literal_with_nul_fails) {
  au_bytes_t sql = AU_BYTES_INIT;
  au_database_put_literal(&sql, "a\0b", 3);
  ck_assert_ptr_null(au_bytes_text(&sql));
  au_bytes_fini(&sql);
}

CASE("copy", open_control, close_control);

/* --- COPY --- */
TEST(copy_sends_all_pieces_in_order) {
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

/* Where the row is bad: at the begin, in the middle, at the end of more than
 * the sockets hold. */
static const uint32_t bad_rows[] = {0, 400000, 799999};

TEST_EACH(copy_of_a_bad_row_is_the_rows_fault, COUNT_OF(bad_rows)) {
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

TEST(error_before_the_copy_sends_nothing) {
  do_sql(control, "CREATE TEMP TABLE c (a int)");
  /* Reading this piece is a fault. */
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

TEST(error_after_the_copy_undoes_it) {
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

/* A trigger turns notices on and sends them in the middle of the COPY: short
 * ones are passed over. One that comes in pieces may be taken for a refusal,
 * but what was sent until then is never taken for the whole. */
TEST_EACH(notice_in_a_copy_does_not_cut_it, 2) {
  do_sql(control, "CREATE TEMP TABLE noisy (a int)");
  do_sql(control,
         "CREATE FUNCTION pg_temp.shout() RETURNS trigger LANGUAGE plpgsql AS "
         "$$BEGIN IF NEW.a % 50000 = 10 THEN "
         "PERFORM set_config('client_min_messages', 'notice', true); "
         "RAISE NOTICE '%', repeat('x', TG_ARGV[0]::int); END IF; "
         "RETURN NEW; END$$");
  do_sql(control, _i == 0 ? "CREATE TRIGGER shout BEFORE INSERT ON "
                            "noisy FOR EACH ROW EXECUTE FUNCTION "
                            "pg_temp.shout('10')"
                          : "CREATE TRIGGER shout BEFORE INSERT ON "
                            "noisy FOR EACH ROW EXECUTE FUNCTION "
                            "pg_temp.shout('1000000')");
  au_bytes_t bytes = make_copy(400000, NO_BAD);
  const au_piece_t piece = {.data = bytes.data, .size = bytes.size};
  au_database_error_t error;
  au_status_t status = au_database_copy(
      control, "COPY noisy FROM STDIN (FORMAT binary)", &piece, 1, &error);
  char count[32];
  snprintf(count, sizeof(count), "%.31s",
           ask(control, "SELECT count(*) FROM noisy"));
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

/* It says nothing of the commit. */
TEST(warning_of_somebody_else_is_no_doubt) {
  au_database_error_t error;
  ck_assert_done(au_database_exec(control,
                                  "DO $$BEGIN RAISE WARNING 'careful'; END$$",
                                  NULL, &error),
                 error);
  ck_assert(au_database_is_connected(control));
}

int main(void) { return run_database_tests("database"); }
