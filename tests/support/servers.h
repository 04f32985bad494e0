/* SPDX-License-Identifier: MIT
 *
 * servers - for tests that need a real server: databases on the one that
 * AURORE_TEST_CONNINFO names, and servers that a test may kill.
 */
#ifndef SUPPORT_SERVERS_H
#define SUPPORT_SERVERS_H

#include "database/database.h"

#include <check.h>
#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

/* automake's word for a test that could not be run. */
#define TEST_SKIPPED 77

static inline bool has_server(const char *program) {
  if (getenv("AURORE_TEST_CONNINFO") != NULL)
    return true;
  printf("%s: skipped: AURORE_TEST_CONNINFO is not set (tests/with-postgres "
         "sets it)\n",
         program);
  return false;
}

/* The test server with some of its settings replaced; a later one wins. */
static inline const char *conninfo_with(const char *more) {
  static char text[1024];
  snprintf(text, sizeof(text), "%s %s", getenv("AURORE_TEST_CONNINFO"), more);
  return text;
}

/* The value of one keyword of a connection string. */
static inline const char *conninfo_value(const char *conninfo,
                                         const char *keyword) {
  static char value[256];
  PQconninfoOption *options = PQconninfoParse(conninfo, NULL);
  ck_assert_ptr_nonnull(options);
  value[0] = '\0';
  for (PQconninfoOption *o = options; o->keyword != NULL; o++)
    if (strcmp(o->keyword, keyword) == 0 && o->val != NULL)
      snprintf(value, sizeof(value), "%s", o->val);
  PQconninfoFree(options);
  return value;
}

static inline au_database_t *
make_client(const char *conninfo, double statement_timeout_s, int stop_fd) {
  const au_database_config_t config = {.conninfo = conninfo,
                                       .connect_timeout_s = 20,
                                       .statement_timeout_s =
                                           statement_timeout_s,
                                       .stop_fd = stop_fd,
                                       .application_name = "aurore test"};
  au_database_t *database = NULL;
  ck_assert_int_eq(au_database_create(&config, &database), AU_OK);
  return database;
}

#define ck_assert_done(status, error)                                          \
  ck_assert_msg((status) == AU_OK, "status %d, sqlstate \"%s\": %s",           \
                (int)(status), (error).sqlstate, (error).message)

/* A connection to "conninfo", made. */
static inline au_database_t *open_client(const char *conninfo) {
  au_database_t *database = make_client(conninfo, 30, -1);
  au_database_error_t error;
  au_status_t status = au_database_connect(database, &error);
  ck_assert_done(status, error);
  return database;
}

static inline void do_sql(au_database_t *database, const char *sql) {
  au_database_error_t error;
  au_status_t status = au_database_exec(database, sql, NULL, &error);
  ck_assert_done(status, error);
}

/* The first column of the first row; "" when it is NULL or there is none. */
static inline const char *ask(au_database_t *database, const char *sql) {
  static char answer[4096];
  au_database_error_t error;
  au_result_t result = {NULL};
  au_status_t status = au_database_exec(database, sql, &result, &error);
  ck_assert_done(status, error);
  const char *text = au_result_text(&result, 0, 0);
  snprintf(answer, sizeof(answer), "%s", text != NULL ? text : "");
  au_result_fini(&result);
  return answer;
}

/* Waits, as long as the test may take, until the answer is what is expected. */
static inline void await(au_database_t *database, const char *sql,
                         const char *expected) {
  while (strcmp(ask(database, sql), expected) != 0)
    poll(NULL, 0, 10);
}

/* A bash that has read scripts/postgres.sh and runs "script" with $1; its
 * standard output is "*out". It is to end when its standard input does. */
typedef struct helper {
  pid_t pid;
  int in;
  FILE *out;
} helper_t;

static inline helper_t start_helper(const char *script, const char *argument) {
  int to[2];
  int from[2];
  ck_assert_int_eq(pipe(to), 0);
  ck_assert_int_eq(pipe(from), 0);
  char path[512];
  const char *top = getenv("top_srcdir");
  snprintf(path, sizeof(path), ". \"%s/scripts/postgres.sh\" || exit; %s",
           top != NULL ? top : ".", script);
  pid_t pid = fork();
  ck_assert_int_ge(pid, 0);
  if (pid == 0) {
    dup2(to[0], 0);
    dup2(from[1], 1);
    for (int fd = 3; fd < 256; fd++)
      close(fd);
    execlp("bash", "bash", "-c", path, "helper", argument, (char *)NULL);
    _exit(127);
  }
  close(to[0]);
  close(from[1]);
  return (helper_t){.pid = pid, .in = to[1], .out = fdopen(from[0], "r")};
}

static inline void end_helper(helper_t *helper) {
  close(helper->in);
  fclose(helper->out);
  waitpid(helper->pid, NULL, 0);
}

static inline void read_line(helper_t *helper, char *line, size_t size) {
  ck_assert_msg(fgets(line, (int)size, helper->out) != NULL,
                "the helper has ended");
  line[strcspn(line, "\n")] = '\0';
}

/* A directory that the server's user may enter and own. */
static inline void make_directory(char path[64]) {
  snprintf(path, 64, "/tmp/aurore-check.XXXXXX");
  ck_assert_ptr_nonnull(mkdtemp(path));
}

static inline void remove_directory(const char *path) {
  pid_t pid = fork();
  if (pid == 0) {
    execlp("rm", "rm", "-rf", path, (char *)NULL);
    _exit(127);
  }
  waitpid(pid, NULL, 0);
}

/* A cluster of the test's own; started again in the same directory it goes on
 * where it was. */
typedef struct cluster {
  helper_t helper;
  char conninfo[256];
  pid_t pid;
} cluster_t;

static inline void start_cluster(cluster_t *cluster, const char *directory) {
  char pid[32];
  cluster->helper = start_helper("postgres_start \"$1\" off >&2 && "
                                 "postgres_conninfo postgres && "
                                 "echo $postgres_pid && read; postgres_stop",
                                 directory);
  read_line(&cluster->helper, cluster->conninfo, sizeof(cluster->conninfo));
  read_line(&cluster->helper, pid, sizeof(pid));
  cluster->pid = (pid_t)atol(pid);
  ck_assert_int_gt(cluster->pid, 1);
}

static inline void stop_cluster(cluster_t *cluster) {
  end_helper(&cluster->helper);
}

/* A pgbouncer in transaction mode in front of a server; it has no more than one
 * connection to each database, so that its clients share sessions. */
typedef struct bouncer {
  helper_t helper;
  char directory[64];
  char conninfo[256];
} bouncer_t;

static inline bool has_bouncer(void) {
  return access("/usr/sbin/pgbouncer", X_OK) == 0;
}

static inline void start_bouncer(bouncer_t *bouncer, const char *server,
                                 const char *dbname) {
  make_directory(bouncer->directory);
  char path[128];
  snprintf(path, sizeof(path), "%s/users", bouncer->directory);
  FILE *file = fopen(path, "w");
  ck_assert_ptr_nonnull(file);
  fprintf(file, "\"postgres\" \"\"\n");
  fclose(file);
  snprintf(path, sizeof(path), "%s/pgbouncer.ini", bouncer->directory);
  file = fopen(path, "w");
  ck_assert_ptr_nonnull(file);
  fprintf(file, "[databases]\n* = host=%s", conninfo_value(server, "host"));
  fprintf(file, " port=%s\n", conninfo_value(server, "port"));
  fprintf(file,
          "[pgbouncer]\nlisten_addr =\nlisten_port = 6432\n"
          "unix_socket_dir = %s\nauth_type = trust\nauth_file = %s/users\n"
          "pool_mode = transaction\ndefault_pool_size = 1\n",
          bouncer->directory, bouncer->directory);
  fclose(file);
  bouncer->helper =
      start_helper("[ $(id -u) != 0 ] || chown -R postgres: \"$1\"; "
                   "(become_postgres /usr/sbin/pgbouncer \"$1/pgbouncer.ini\" "
                   "</dev/null >\"$1/log\" 2>&1) & "
                   "read; kill $!; wait $!",
                   bouncer->directory);
  snprintf(bouncer->conninfo, sizeof(bouncer->conninfo),
           "host=%s port=6432 user=postgres dbname=%s", bouncer->directory,
           dbname);
  while (PQping(bouncer->conninfo) != PQPING_OK) {
    ck_assert_msg(waitpid(bouncer->helper.pid, NULL, WNOHANG) == 0,
                  "the helper has ended");
    poll(NULL, 0, 10);
  }
}

static inline void stop_bouncer(bouncer_t *bouncer) {
  end_helper(&bouncer->helper);
  remove_directory(bouncer->directory);
}

#endif
