/* SPDX-License-Identifier: MIT */
#include "support/clients.h"

const char *unique_name(const char *what) {
  static char name[64];
  snprintf(name, sizeof(name), "check_%s_%ld", what, (long)getpid());
  return name;
}

au_database_error_t refused(const char *conninfo, double timeout_s) {
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

void assert_says(const au_database_error_t *error, const char *part) {
  ck_assert_msg(strstr(error->message, part) != NULL, "\"%s\" is not in: %s",
                part, error->message);
}

int make_socket(bool listening, char conninfo[64]) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t size = sizeof(address);
  ck_assert_int_ge(fd, 0);
  ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, size), 0);
  if (listening)
    ck_assert_int_eq(listen(fd, 8), 0);
  ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &size), 0);
  snprintf(conninfo, 64, "host=127.0.0.1 port=%d", ntohs(address.sin_port));
  return fd;
}

au_breaker_t *make_open_breaker(void) {
  const au_breaker_config_t config = {
      .failures = 1, .successes = 1, .timeout_ns = 1};
  au_breaker_t *breaker = NULL;
  ck_assert_int_eq(au_breaker_create(&config, &breaker), AU_OK);
  au_permit_t permit;
  int64_t retry;
  ck_assert(au_breaker_allow(breaker, 0, &permit, &retry));
  au_breaker_failure(breaker, permit, 0, 1, NULL);
  return breaker;
}

void close_breaker(au_breaker_t *breaker) {
  au_permit_t permit;
  int64_t retry;
  ck_assert(au_breaker_allow(breaker, 2, &permit, &retry));
  au_breaker_success(breaker, permit);
}

void make_contrary_database(const char *name) {
  do_sqlf(control, "CREATE DATABASE %s", name);
  do_sqlf(control, "ALTER DATABASE %s SET synchronous_commit = off", name);
  do_sqlf(control, "ALTER DATABASE %s SET datestyle = 'German'", name);
  do_sqlf(control, "ALTER DATABASE %s SET timezone = 'Asia/Kathmandu'", name);
  do_sqlf(control, "ALTER DATABASE %s SET bytea_output = escape", name);
  do_sqlf(control, "ALTER DATABASE %s SET standard_conforming_strings = off",
          name);
  do_sqlf(control,
          "ALTER DATABASE %s SET default_transaction_isolation = serializable",
          name);
  do_sqlf(control, "ALTER DATABASE %s SET search_path = public", name);
}

static const struct {
  const char *name;
  const char *value;
} wanted[] = {
    {"statement_timeout", "30s"},
    {"idle_in_transaction_session_timeout", "30s"},
    {"client_encoding", "UTF8"},
    {"jit", "off"},
    {"datestyle", "ISO, YMD"},
    {"timezone", "UTC"},
    {"bytea_output", "hex"},
    {"standard_conforming_strings", "on"},
    {"search_path", "pg_catalog, pg_temp"},
    {"transaction_isolation", "read committed"},
    {"synchronous_commit", "on"},
    {"client_min_messages", "warning"},
};

void assert_settings(au_database_t *database) {
  for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
    char sql[96];
    snprintf(sql, sizeof(sql), "SHOW %s", wanted[i].name);
    ck_assert_str_eq(ask(database, sql), wanted[i].value);
  }
}

const char *const texts[11] = {
    "",       "plain",      "it's",        "''",
    "\\",     "\\'; DROP",  "a\\\\b'c\\n", "\xE2\x82\xAC \xF0\x9F\x98\x80",
    "$1 %s;", "E'x' -- /*", "\n\t\r\x01",
};

void assert_comes_back(au_database_t *database, const char *text) {
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

au_bytes_t make_copy(uint32_t count, uint32_t bad) {
  au_bytes_t bytes = AU_BYTES_INIT;
  au_bytes_put(&bytes, "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0", 19);
  for (uint32_t i = 0; i < count; i++) {
    put_be(&bytes, 1, 2);
    put_be(&bytes, i == bad ? 3 : 4, 4);
    put_be(&bytes, i, 4);
  }
  put_be(&bytes, 0xFFFF, 2);
  ck_assert(!bytes.failed);
  return bytes;
}

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

void start_background(background_t *background, au_database_t *watcher,
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

void join_background(background_t *background) {
  pthread_join(background->thread, NULL);
}

void await_end_of_backend(au_database_t *watcher, long pid) {
  char sql[128];
  snprintf(sql, sizeof(sql),
           "SELECT count(*) FROM pg_stat_activity WHERE pid = %ld", pid);
  await(watcher, sql, "0");
}
