/* SPDX-License-Identifier: MIT */
#include "support/servers.h"

#include <stdarg.h>
#include <sys/wait.h>

au_database_t *control;

void open_control(void) {
  control = open_client(getenv("AURORE_TEST_CONNINFO"));
}

void close_control(void) {
  au_database_destroy(control);
  control = NULL;
}

const char *conninfo_with(const char *more) {
  static char text[1024];
  snprintf(text, sizeof(text), "%s %s", getenv("AURORE_TEST_CONNINFO"), more);
  return text;
}

const char *conninfo_value(const char *conninfo, const char *keyword) {
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

au_database_t *make_client(const char *conninfo, double statement_timeout_s,
                           int stop_fd) {
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

au_database_t *connect_client(const char *conninfo, double statement_timeout_s,
                              int stop_fd) {
  au_database_t *database = make_client(conninfo, statement_timeout_s, stop_fd);
  au_database_error_t error;
  au_status_t status = au_database_connect(database, &error);
  ck_assert_done(status, error);
  return database;
}

au_database_t *open_client(const char *conninfo) {
  return connect_client(conninfo, 30, -1);
}

void do_sql(au_database_t *database, const char *sql) {
  au_database_error_t error;
  au_status_t status = au_database_exec(database, sql, NULL, &error);
  ck_assert_done(status, error);
}

void do_sqlf(au_database_t *database, const char *format, ...) {
  char sql[2048];
  va_list arguments;
  va_start(arguments, format);
  int size = vsnprintf(sql, sizeof(sql), format, arguments);
  va_end(arguments);
  ck_assert_int_lt(size, (int)sizeof(sql));
  do_sql(database, sql);
}

const char *ask(au_database_t *database, const char *sql) {
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

void set_conninfo(au_options_t *options, const char *conninfo) {
  free(options->conninfo);
  options->conninfo = strdup(conninfo);
  ck_assert_ptr_nonnull(options->conninfo);
}

void await(au_database_t *database, const char *sql, const char *expected) {
  while (strcmp(ask(database, sql), expected) != 0)
    poll(NULL, 0, 10);
}

helper_t start_helper(const char *script, const char *argument) {
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

void end_helper(helper_t *helper) {
  close(helper->in);
  fclose(helper->out);
  waitpid(helper->pid, NULL, 0);
}

void read_line(helper_t *helper, char *line, size_t size) {
  ck_assert_msg(fgets(line, (int)size, helper->out) != NULL,
                "the helper has ended");
  line[strcspn(line, "\n")] = '\0';
}

void start_cluster(cluster_t *cluster, const char *directory) {
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

void stop_cluster(cluster_t *cluster) { end_helper(&cluster->helper); }

bool has_bouncer(void) { return access("/usr/sbin/pgbouncer", X_OK) == 0; }

void start_bouncer(bouncer_t *bouncer, const char *server, const char *dbname) {
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

void stop_bouncer(bouncer_t *bouncer) {
  end_helper(&bouncer->helper);
  remove_directory(bouncer->directory);
}
