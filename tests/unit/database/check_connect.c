/* SPDX-License-Identifier: MIT
 *
 * check_connect - from a connection string to a session, on real servers: who
 * is refused, which host is skipped, what is reported.
 */
#include "support/clients.h"
#include "support/suite.h"

#include <sys/eventfd.h>

/* --- connecting --- */

CASE("connecting", open_control, close_control);

TEST(refused_connection_is_the_databases_fault) {
  char conninfo[64];
  int fd = make_socket(false, conninfo);
  au_database_error_t error = refused(conninfo, 5);
  ck_assert_str_eq(error.sqlstate, "");
  assert_says(&error, "127.0.0.1");
  close(fd);
}

TEST(missing_database_is_named) {
  au_database_error_t error =
      refused(conninfo_with("dbname=nobody_made_this"), 20);
  assert_says(&error, "\"nobody_made_this\"");
}

TEST(other_encoding_is_refused) {
  const char *name = unique_name("latin1");
  do_sqlf(control,
          "CREATE DATABASE %s ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0",
          name);
  char more[96];
  snprintf(more, sizeof(more), "dbname=%s", name);
  au_database_error_t error = refused(conninfo_with(more), 20);
  assert_says(&error, "\"LATIN1\"");
  do_sqlf(control, "DROP DATABASE %s", name);
}

TEST(read_only_server_is_refused) {
  const char *name = unique_name("readonly");
  do_sqlf(control, "CREATE DATABASE %s", name);
  do_sqlf(control, "ALTER DATABASE %s SET default_transaction_read_only = on",
          name);
  char more[96];
  snprintf(more, sizeof(more), "dbname=%s", name);
  au_database_error_t error = refused(conninfo_with(more), 20);
  assert_says(&error, "read-only");
  /* Who says so in the connection string may have it. */
  snprintf(more, sizeof(more), "dbname=%s target_session_attrs=any", name);
  au_database_destroy(open_client(conninfo_with(more)));
  do_sqlf(control, "DROP DATABASE %s", name);
}

TEST(silent_server_ends_at_the_timeout) {
  char conninfo[64];
  int fd = make_socket(true, conninfo);
  au_database_error_t error = refused(conninfo, 0.2);
  assert_says(&error, "no answer within 0.2 s");
  close(fd);
}

/* libpq alone would stay with the first host for ever. */
TEST(silent_host_is_passed_over) {
  char to_silent[64];
  char to_closed[64];
  int silent = make_socket(true, to_silent);
  int closed = make_socket(false, to_closed);
  const char *silent_port = strrchr(to_silent, '=') + 1;
  const char *closed_port = strrchr(to_closed, '=') + 1;
  char more[768];
  snprintf(more, sizeof(more), "host=127.0.0.1,127.0.0.1,127.0.0.1,%s",
           conninfo_value(getenv("AURORE_TEST_CONNINFO"), "host"));
  size_t length = strlen(more);
  snprintf(more + length, sizeof(more) - length, " port=%s,%s,%s,%s",
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

TEST(silent_hosts_alone_end) {
  char one[64];
  int fd = make_socket(true, one);
  char conninfo[256];
  snprintf(conninfo, sizeof(conninfo),
           "%s hostaddr=127.0.0.1,127.0.0.1,127.0.0.1",
           one + strlen("host=127.0.0.1"));
  au_database_error_t error = refused(conninfo, 0.1);
  assert_says(&error, "no answer");
  close(fd);
}

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

TEST_EACH(misread_password_is_not_shown, COUNT_OF(misread)) {
  au_database_error_t error = refused(misread[_i].conninfo, 5);
  ck_assert_msg(strstr(error.message, misread[_i].secret) == NULL,
                "the message tells it: %s", error.message);
  au_status_t status = au_database_check_conninfo(misread[_i].conninfo, &error);
  ck_assert(status == AU_OK || error.message[0] != '\0');
  ck_assert_ptr_null(strstr(error.message, misread[_i].secret));
}

/* Without a server. */
static const struct {
  const char *conninfo;
  au_status_t status;
} readable[] = {
    {"", AU_OK},
    {"events", AU_OK},
    {"two words", AU_OK},
    {"dbname=events host=/nowhere password='a b\\'c'", AU_OK},
    {"service=nowhere", AU_OK},
    {"postgresql://", AU_OK},
    {"postgres://me:secret@[::1]:5432,other/events?sslmode=verify-full", AU_OK},
    {"dbnmae=events", AU_INVALID},
    {"=", AU_INVALID},
    {"dbname='events", AU_INVALID},
    {"dbname=events rest", AU_INVALID},
    {"postgresql://[::1/events", AU_INVALID},
    {"postgres://me/events?nothing=1", AU_INVALID},
};

TEST_EACH(what_libpq_cannot_read_is_known, COUNT_OF(readable)) {
  au_database_error_t error;
  ck_assert_int_eq(au_database_check_conninfo(readable[_i].conninfo, &error),
                   readable[_i].status);
  ck_assert_int_eq(error.message[0] != '\0', readable[_i].status == AU_INVALID);
}

TEST(stop_ends_a_connect) {
  char conninfo[64];
  int fd = make_socket(true, conninfo);
  int stop = eventfd(1, 0);
  au_database_t *database = make_client(conninfo, 3600, stop);
  au_database_error_t error;
  ck_assert_int_eq(au_database_connect(database, &error), AU_UNAVAILABLE);
  assert_says(&error, "stopped");
  au_database_destroy(database);
  close(stop);
  close(fd);
}

TEST(session_has_its_settings) {
  const char *name = unique_name("contrary");
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
  do_sqlf(control, "DROP DATABASE %s", name);
}

int main(void) { return run_database_tests("connect"); }
