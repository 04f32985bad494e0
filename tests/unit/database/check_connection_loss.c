/* SPDX-License-Identifier: MIT
 *
 * check_connection_loss - how a statement ends when a server, a pooler or the
 * wait for them does; and the whole of the connection through pgbouncer.
 */
#include "support/clients.h"
#include "support/suite.h"

#include <sys/eventfd.h>

CASE("endings", open_control, close_control);

TEST(stop_ends_a_statement_here_and_on_the_server) {
  int stop = eventfd(0, 0);
  background_t background = {.sql = "SELECT pg_sleep(3600)"};
  background.database =
      connect_client(getenv("AURORE_TEST_CONNINFO"), 3600, stop);
  au_database_error_t error;
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

TEST(terminated_backend_is_no_verdict) {
  background_t background = {.sql = "SELECT pg_sleep(3600)"};
  background.database =
      connect_client(getenv("AURORE_TEST_CONNINFO"), 3600, -1);
  start_background(&background, control, "PgSleep");
  do_sqlf(control, "SELECT pg_terminate_backend(%ld)", background.pid);
  join_background(&background);
  ck_assert_int_eq(background.status, AU_UNAVAILABLE);
  ck_assert_str_eq(background.error.sqlstate, "57P01");
  ck_assert_int_eq(background.error.fault, AU_FAULT_DATABASE);
  au_database_destroy(background.database);
}

TEST(connection_that_died_idle_is_replaced) {
  au_database_t *database = open_client(getenv("AURORE_TEST_CONNINFO"));
  long pid = atol(ask(database, "SELECT pg_backend_pid()"));
  do_sqlf(control, "SELECT pg_terminate_backend(%ld)", pid);
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

/* The backend is stopped as a machine that hangs: the connection is up, and
 * nothing comes. */
TEST_EACH(stalled_server_ends_at_the_deadline, 2) {
  au_database_t *database =
      connect_client(getenv("AURORE_TEST_CONNINFO"), 0.1, -1);
  au_database_error_t error;
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

TEST(copy_that_waits_for_a_lock_ends_on_the_server) {
  au_database_t *database =
      connect_client(getenv("AURORE_TEST_CONNINFO"), 0.5, -1);
  au_database_error_t error;
  do_sql(control, "CREATE TABLE IF NOT EXISTS public.stall (a int)");
  background_t lock = {.sql = "LOCK TABLE public.stall; SELECT pg_sleep(3600)"};
  lock.database = connect_client(getenv("AURORE_TEST_CONNINFO"), 3600, -1);
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
  do_sqlf(control, "SELECT pg_terminate_backend(%ld)", lock.pid);
  join_background(&lock);
  do_sql(control, "DROP TABLE public.stall");
  au_bytes_fini(&bytes);
  au_database_destroy(lock.database);
  au_database_destroy(database);
}

/* pg_ctl stop -m immediate: no goodbye to anybody. Then it comes back. */
TEST_EACH(killed_server_ends_what_runs_and_is_found_again, 2) {
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
  background.database = connect_client(cluster.conninfo, 3600, -1);
  au_database_error_t error;
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

TEST(wrong_password_is_reported_without_it) {
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

/* --- through pgbouncer --- */

static bouncer_t bouncer;
static char pooled_database[64];

static void setup_bouncer(void) {
  open_control();
  snprintf(pooled_database, sizeof(pooled_database), "%s",
           unique_name("pooled"));
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
  do_sqlf(control, "DROP DATABASE %s", pooled_database);
  close_control();
}

CASE_IF(has_bouncer, "pooled", setup_bouncer, teardown_bouncer);

TEST(pooled_statement_that_must_stand_alone_does) {
  au_database_t *database = open_client(bouncer.conninfo);
  ck_assert(au_database_is_pooled(database));
  au_database_error_t error;
  au_status_t status = au_database_exec_alone(
      database, 20, "VACUUM pg_catalog.pg_class", &error);
  ck_assert_done(status, error);
  au_database_destroy(database);
}

TEST(pooled_transaction_has_its_settings_and_leaves_none) {
  au_database_t *database = open_client(bouncer.conninfo);
  assert_settings(database);
  ck_assert_str_eq(ask(database, "SELECT current_setting('timezone')"), "UTC");

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

TEST(pooled_errors_leave_the_connection_good) {
  au_database_t *database = connect_client(bouncer.conninfo, 0.2, -1);
  au_database_error_t error;
  ck_assert_int_eq(
      au_database_exec(database, "SELECT pg_sleep(600)", NULL, &error),
      AU_INVALID);
  ck_assert_str_eq(error.sqlstate, "57014");
  ck_assert_int_eq(au_database_exec(database, "SELECT 'x'::int", NULL, &error),
                   AU_INVALID);
  ck_assert_str_eq(error.sqlstate, "22P02");
  ck_assert(au_database_is_connected(database));
  ck_assert_str_eq(ask(database, "SELECT 5"), "5");
  au_database_destroy(database);
}

TEST(pooled_literals_come_back) {
  au_database_t *database = open_client(bouncer.conninfo);
  for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
    assert_comes_back(database, texts[i]);
  au_database_destroy(database);
}

TEST(pooled_copy_is_stored_or_undone) {
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

TEST(pooler_that_goes_away_is_no_verdict) {
  background_t background = {.sql = "SELECT pg_sleep(3600)"};
  background.database = connect_client(bouncer.conninfo, 3600, -1);
  au_database_error_t error;
  start_background(&background, control, "PgSleep");
  do_sqlf(control, "SELECT pg_terminate_backend(%ld)", background.pid);
  join_background(&background);
  ck_assert_int_eq(background.status, AU_UNAVAILABLE);
  ck_assert(!au_database_is_connected(background.database));
  au_status_t status = au_database_connect(background.database, &error);
  ck_assert_done(status, error);
  au_database_destroy(background.database);
}

/* Of a server that crashed pgbouncer says 08P01, which would be a row's fault
 * if the connection outlived it. */
TEST(crash_beyond_a_pooler_is_not_the_rows_fault) {
  char directory[64];
  make_directory(directory);
  cluster_t cluster;
  start_cluster(&cluster, directory);
  au_database_t *watcher = open_client(cluster.conninfo);
  bouncer_t other;
  start_bouncer(&other, cluster.conninfo, "postgres");
  background_t background = {.sql = "SELECT pg_sleep(3600)"};
  background.database = connect_client(other.conninfo, 3600, -1);
  au_database_error_t error;
  start_background(&background, watcher, "PgSleep");
  ck_assert_int_eq(kill((pid_t)background.pid, SIGKILL), 0);
  join_background(&background);
  ck_assert_int_eq(background.status, AU_UNAVAILABLE);
  ck_assert_str_eq(background.error.sqlstate, "08P01");
  ck_assert_int_eq(background.error.fault, AU_FAULT_DATABASE);
  /* It starts again by itself, once it has ended all sessions; a stop that
   * comes in between is waited for forever. */
  while (au_database_check(watcher))
    poll(NULL, 0, 1);
  while (au_database_connect(watcher, &error) != AU_OK)
    poll(NULL, 0, 10);
  au_database_destroy(background.database);
  au_database_destroy(watcher);
  stop_bouncer(&other);
  stop_cluster(&cluster);
  remove_directory(directory);
}

int main(void) { return run_database_tests("connection_loss"); }
