/* SPDX-License-Identifier: MIT
 *
 * database - whether the database of ConnInfo can be reached, by the same code
 * as the plugins use, and what of its settings, its clock and its limits would
 * be in their way. Only questions are asked.
 */
#include "tools/doctor/database.h"

#include "base/clock.h"
#include "config/option_value.h"
#include "pipeline.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WHAT "database"
#define CLOCK "clock"
#define TARGET "PGTARGETSESSIONATTRS"

#define STATEMENT_TIMEOUT_S 10
#define CLOCK_WARNING_S 1.0
#define CLOCK_PROBLEM_S 60.0

bool ctl_doctor_ask(ctl_doctor_t *doctor, au_database_t *database,
                    const char *sql, au_result_t *result) {
  au_database_error_t error;
  *result = (au_result_t){NULL};
  if (au_database_exec(database, sql, result, &error) == AU_OK) {
    if (au_result_rows(result) > 0)
      return true;
    au_result_fini(result);
    return false;
  }
  ctl_find(&doctor->findings, CTL_PROBLEM, WHAT, "a question failed: %s",
           error.message);
  ctl_advise(&doctor->findings, "look into the server's log");
  return false;
}

const char *ctl_result_text(const au_result_t *result, size_t row,
                            unsigned column) {
  const char *text = au_result_text(result, row, column);
  return text != NULL ? text : "";
}

bool ctl_result_is_true(const au_result_t *result, size_t row,
                        unsigned column) {
  return ctl_result_text(result, row, column)[0] == 't';
}

long ctl_result_number(const au_result_t *result, size_t row, unsigned column) {
  return strtol(ctl_result_text(result, row, column), NULL, 10);
}

/* --- reaching it -----------------------------------------------------------
 */

static const char *advice_for(const au_database_error_t *error) {
  static const struct {
    const char *sqlstate; /* how it begins */
    const char *advice;
  } advices[] = {
      {"28P01", "set the password of the role, in the passfile (mode 0600, "
                "owned by collectd's user)"},
      {"28", "create the role (createuser), or let it in: pg_hba.conf of the "
             "server"},
      {"3D000", "create the database: createdb --encoding=UTF8 "
                "--template=template0 --owner=ROLE NAME"},
      {"42501", "GRANT CONNECT ON DATABASE ... TO the role"},
      {"53300", "raise max_connections, or end what holds the connections"},
      {"57P03", "wait until the server has started; its log says how far it "
                "is"}};
  for (size_t i = 0; i < sizeof(advices) / sizeof(advices[0]); i++)
    if (strncmp(error->sqlstate, advices[i].sqlstate,
                strlen(advices[i].sqlstate)) == 0)
      return advices[i].advice;
  return "look whether the server runs, listens there (listen_addresses, port) "
         "and is let through; correct ConnInfo";
}

/* The plugins pass over a server that cannot be written to, and libpq does not
 * tell a standby from sessions that are read-only: that takes another look.
 * false: there is nobody to be asked. */
static bool find_reader(ctl_doctor_t *doctor, au_database_t *database,
                        const char *shown, const char *reason) {
  au_database_error_t error;
  au_result_t result = {NULL};
  if (getenv(TARGET) != NULL || setenv(TARGET, "any", 1) != 0)
    return false;
  bool is_reached = au_database_connect(database, &error) == AU_OK;
  (void)unsetenv(TARGET);
  if (!is_reached ||
      au_database_exec(database, "SELECT pg_is_in_recovery(), current_user",
                       &result, &error) != AU_OK)
    return false;
  if (ctl_result_is_true(&result, 0, 0)) {
    ctl_find(&doctor->findings, CTL_PROBLEM, WHAT,
             "nothing can be stored by \"%s\", only a standby is to be "
             "reached: %s",
             shown, reason);
    ctl_advise(&doctor->findings,
               "name the primary, or all hosts, in ConnInfo; if it is named, "
               "see to it, or promote the standby");
  } else {
    const char *role = ctl_result_text(&result, 0, 1);
    ctl_find(&doctor->findings, CTL_PROBLEM, WHAT,
             "nothing can be stored by \"%s\", the sessions of the role "
             "\"%s\" are read-only: %s",
             shown, role, reason);
    ctl_advise(&doctor->findings,
               "ALTER ROLE \"%s\" RESET default_transaction_read_only, or see "
               "the database's settings and postgresql.conf",
               role);
  }
  au_result_fini(&result);
  return true;
}

static bool reach(ctl_doctor_t *doctor, au_database_t *database) {
  char shown[600];
  au_database_error_t error;
  au_option_redact(doctor->options.conninfo, shown, sizeof(shown));
  if (au_database_connect(database, &error) == AU_OK)
    return true;
  if (find_reader(doctor, database, shown, error.message))
    return false;
  ctl_find(&doctor->findings, ctl_doctor_state(doctor), WHAT,
           "cannot be reached as %s by \"%s\": %s%s%s%s", doctor->user, shown,
           error.message, error.sqlstate[0] != '\0' ? " (SQLSTATE " : "",
           error.sqlstate, error.sqlstate[0] != '\0' ? ")" : "");
  ctl_advise(&doctor->findings, "%s", advice_for(&error));
  return false;
}

/* --- the server ------------------------------------------------------------
 */

static void check_server(ctl_doctor_t *doctor, au_database_t *database) {
  au_result_t result;
  if (!ctl_doctor_ask(doctor, database,
                      "SELECT current_setting('server_version'), "
                      "current_database(), current_user, pg_is_in_recovery(), "
                      "coalesce((SELECT rolsuper FROM pg_roles "
                      "WHERE rolname = current_user), false)",
                      &result))
    return;
  const char *role = ctl_result_text(&result, 0, 2);
  ctl_find(&doctor->findings, CTL_OK, WHAT,
           "PostgreSQL %s, database \"%s\", role \"%s\"%s",
           ctl_result_text(&result, 0, 0), ctl_result_text(&result, 0, 1), role,
           au_database_is_pooled(database) ? ", through a pooler" : "");
  if (ctl_result_is_true(&result, 0, 3)) {
    ctl_find(&doctor->findings, CTL_PROBLEM, WHAT,
             "the server is a standby: nothing can be stored there");
    ctl_advise(&doctor->findings,
               "name the primary, or all hosts, in ConnInfo");
  }
  if (ctl_result_is_true(&result, 0, 4)) {
    ctl_find(&doctor->findings, CTL_WARNING, WHAT,
             "the role \"%s\" is a superuser: whoever gets into collectd has "
             "the whole server",
             role);
    ctl_advise(&doctor->findings,
               "use a role that owns nothing but this database, or only the "
               "schema \"aurore\"");
  }
  au_result_fini(&result);
}

/* What the session had before the plugins' own settings counts. */
static void check_settings(ctl_doctor_t *doctor, au_database_t *database) {
  au_result_t result;
  if (!ctl_doctor_ask(
          doctor, database,
          "SELECT max(reset_val) FILTER (WHERE name = 'fsync'), "
          "max(reset_val) FILTER (WHERE name = 'full_page_writes'), "
          "max(reset_val) FILTER (WHERE name = 'synchronous_commit'), "
          "current_user FROM pg_settings",
          &result))
    return;
  bool is_synced = strcmp(ctl_result_text(&result, 0, 0), "off") != 0;
  bool is_whole = strcmp(ctl_result_text(&result, 0, 1), "off") != 0;
  bool is_waited = strcmp(ctl_result_text(&result, 0, 2), "off") != 0;
  if (!is_synced) {
    ctl_find(&doctor->findings, CTL_PROBLEM, WHAT,
             "fsync is off: a crash of the machine may destroy the database");
    ctl_advise(&doctor->findings, "ALTER SYSTEM SET fsync = on; "
                                  "SELECT pg_reload_conf()");
  }
  if (!is_whole) {
    ctl_find(&doctor->findings, CTL_WARNING, WHAT,
             "full_page_writes is off: a crash may leave torn pages, unless "
             "the file system writes whole ones");
    ctl_advise(&doctor->findings, "ALTER SYSTEM SET full_page_writes = on; "
                                  "SELECT pg_reload_conf()");
  }
  if (!is_waited) {
    ctl_find(&doctor->findings, CTL_WARNING, WHAT,
             "synchronous_commit is off for the role \"%s\" here; the plugins "
             "set it themselves, other clients may lose what was confirmed",
             ctl_result_text(&result, 0, 3));
    ctl_advise(&doctor->findings,
               "ALTER ROLE \"%s\" RESET synchronous_commit, "
               "or see postgresql.conf",
               ctl_result_text(&result, 0, 3));
  }
  if (is_synced && is_whole && is_waited)
    ctl_find(&doctor->findings, CTL_OK, WHAT,
             "fsync, full_page_writes and synchronous_commit are on");
  au_result_fini(&result);
}

/* --- connections -----------------------------------------------------------
 */

static bool check_limit(ctl_doctor_t *doctor, long limit, long needed,
                        const char *what, const char *advice) {
  if (limit < 0 || limit >= needed)
    return true;
  ctl_find(&doctor->findings, CTL_PROBLEM, WHAT,
           "%s leaves %ld connections, and this collectd may need %ld", what,
           limit, needed);
  ctl_advise(&doctor->findings, "%s", advice);
  return false;
}

static void check_connections(ctl_doctor_t *doctor, au_database_t *database) {
  au_result_t result;
  long needed =
      (long)au_pipeline_sessions(&doctor->options, doctor->options.lanes);
  if (au_database_is_pooled(database))
    return; /* how many the pooler lets through is not to be seen from here */
  if (!ctl_doctor_ask(
          doctor, database,
          "SELECT current_setting('max_connections')::integer"
          " - current_setting('superuser_reserved_connections')::integer"
          " - coalesce(current_setting('reserved_connections', true)::integer,"
          " 0), (SELECT count(*) FROM pg_stat_activity WHERE datid IS NOT NULL"
          " AND usesysid IS NOT NULL AND pid <> pg_backend_pid()"
          " AND application_name NOT LIKE 'collectd aurore%'),"
          " (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user),"
          " (SELECT datconnlimit FROM pg_database"
          "  WHERE datname = current_database())",
          &result))
    return;
  long all = ctl_result_number(&result, 0, 0);
  long others = ctl_result_number(&result, 0, 1);
  bool is_good = check_limit(
      doctor, all - others < 0 ? 0 : all - others, needed,
      "max_connections, less what others have open,",
      "raise max_connections (and restart the server), or lower Lanes and "
      "QueryConnections");
  is_good = check_limit(doctor, ctl_result_number(&result, 0, 2), needed,
                        "the role's CONNECTION LIMIT",
                        "ALTER ROLE ... CONNECTION LIMIT -1") &&
            is_good;
  is_good = check_limit(doctor, ctl_result_number(&result, 0, 3), needed,
                        "the database's CONNECTION LIMIT",
                        "ALTER DATABASE ... CONNECTION LIMIT -1") &&
            is_good;
  if (is_good)
    ctl_find(&doctor->findings, CTL_OK, WHAT,
             "%ld connections are free, of which this collectd needs up to %ld",
             all - others, needed);
  au_result_fini(&result);
}

/* --- the clock -------------------------------------------------------------
 */

static void check_clock(ctl_doctor_t *doctor, au_database_t *database) {
  au_result_t result;
  int64_t before_us = au_clock_wall_us();
  if (!ctl_doctor_ask(doctor, database,
                      "SELECT extract(epoch FROM clock_timestamp())", &result))
    return;
  int64_t after_us = au_clock_wall_us();
  double server_s = strtod(ctl_result_text(&result, 0, 0), NULL);
  double own_s = (double)(before_us + after_us) / 2.0 / (double)AU_US_PER_S;
  double doubt_s = (double)(after_us - before_us) / 2.0 / (double)AU_US_PER_S;
  double apart_s = fabs(server_s - own_s);
  apart_s = apart_s > doubt_s ? apart_s - doubt_s : 0;
  au_result_fini(&result);
  if (apart_s <= CLOCK_WARNING_S) {
    ctl_find(&doctor->findings, CTL_OK, CLOCK,
             "agrees with the server's within %.3f s", apart_s + doubt_s);
    return;
  }
  ctl_find(&doctor->findings,
           apart_s > CLOCK_PROBLEM_S ? CTL_PROBLEM : CTL_WARNING, CLOCK,
           "it is %.1f s %s the server's: times of acceptance, and the days "
           "that are dropped, are wrong by that",
           apart_s, server_s > own_s ? "behind" : "ahead of");
  ctl_advise(&doctor->findings,
             "let both machines follow the same time (chrony, timedatectl)");
}

void ctl_doctor_database(ctl_doctor_t *doctor) {
  if (!doctor->is_loaded[AU_SIDE_WRITER])
    return;
  const au_database_config_t config = {
      .conninfo = doctor->options.conninfo,
      .connect_timeout_s = doctor->options.connect_timeout_s,
      .statement_timeout_s = STATEMENT_TIMEOUT_S,
      .stop_fd = -1,
      .application_name = "aurorectl doctor"};
  au_database_t *database = NULL;
  if (au_database_create(&config, &database) != AU_OK) {
    ctl_find(&doctor->findings, CTL_PROBLEM, WHAT, "out of memory");
    return;
  }
  if (reach(doctor, database)) {
    check_server(doctor, database);
    ctl_doctor_rights(doctor, database);
    check_settings(doctor, database);
    check_connections(doctor, database);
    check_clock(doctor, database);
  }
  au_database_destroy(database);
}
