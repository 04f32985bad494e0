/* SPDX-License-Identifier: MIT
 * Part of database/; calls spool/, config/, metrics/, event/, base/.
 *
 * A migration is one string, so one transaction: it takes the lock, looks
 * whether another process has been faster, and if not applies the SQL and
 * records the version. All of it is in one DO block, because a string of
 * statements cannot leave some of them out. The lock belongs to the
 * transaction, so that it works behind a pooler, too.
 */
#include "database/schema.h"

#include "base/clock.h"
#include "database/schema_sql.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VERSION (sizeof(migrations) / sizeof(migrations[0]))

/* For a migration of a large table; "stop" ends it earlier. */
#define MIGRATION_TIMEOUT_S 3600.0

#define PARTITION_DAYS_MAX 1000

static bool is_state(const au_database_error_t *error, const char *sqlstate) {
  return strcmp(error->sqlstate, sqlstate) == 0;
}

/* The version of the schema in the database; 0 when there is none. */
static au_status_t read_version(au_database_t *database, long *out_version,
                                au_database_error_t *error) {
  au_result_t result = {NULL};
  au_status_t status = au_database_exec(
      database, "SELECT max(version) FROM aurore.schema_version", &result,
      error);
  *out_version = 0;
  /* No such table, no such schema. */
  if (status == AU_INVALID &&
      (is_state(error, "42P01") || is_state(error, "3F000"))) {
    *error = (au_database_error_t){.fault = AU_FAULT_NONE};
    return AU_OK;
  }
  if (status != AU_OK)
    return status;
  const char *text = au_result_text(&result, 0, 0);
  if (text != NULL)
    *out_version = strtol(text, NULL, 10);
  au_result_fini(&result);
  return AU_OK;
}

static void put_migration(au_bytes_t *sql, size_t index) {
  au_bytes_put_string(
      sql, "DO $aurore$\n"
           "DECLARE found_version integer := 0;\n"
           "BEGIN\n"
           "PERFORM set_config('lock_timeout', '10s', true);\n"
           "PERFORM pg_advisory_xact_lock(1096110671, 1);\n"
           "IF to_regclass('aurore.schema_version') IS NOT NULL THEN\n"
           "EXECUTE 'SELECT max(version) FROM aurore.schema_version'"
           " INTO found_version;\n"
           "END IF;\n");
  au_bytes_printf(sql, "IF coalesce(found_version, 0) = %zu THEN\n", index);
  au_bytes_put_string(sql, "EXECUTE $aurore_migration$\n");
  for (size_t i = 0; migrations[index].lines[i] != NULL; i++)
    au_bytes_put_string(sql, migrations[index].lines[i]);
  au_bytes_printf(sql,
                  "$aurore_migration$;\n"
                  "EXECUTE 'INSERT INTO aurore.schema_version (version) "
                  "VALUES (%zu)';\n"
                  "END IF;\n"
                  "END\n"
                  "$aurore$",
                  index + 1);
}

static au_status_t apply(au_database_t *database, size_t index,
                         au_database_error_t *error) {
  au_bytes_t sql = AU_BYTES_INIT;
  put_migration(&sql, index);
  const char *text = au_database_text(&sql, error);
  au_status_t status =
      text == NULL ? AU_NOMEM
                   : au_database_exec_within(database, MIGRATION_TIMEOUT_S,
                                             text, NULL, error);
  au_bytes_fini(&sql);
  return status;
}

/* Which right is missing, in the order in which they are needed. */
static const char rights_sql[] =
    "SELECT current_user, current_database(), CASE"
    " WHEN to_regnamespace('aurore') IS NULL THEN"
    "  CASE WHEN NOT has_database_privilege(current_database(), 'CREATE')"
    "  THEN 'database' END"
    " WHEN NOT has_schema_privilege('aurore', 'USAGE') THEN 'USAGE'"
    " WHEN NOT has_schema_privilege('aurore', 'CREATE') THEN 'CREATE'"
    " END";

/* Says what to do about "permission denied". When even that cannot be found
 * out the server's own words stay. */
static void explain_rights(au_database_t *database,
                           au_database_error_t *error) {
  au_result_t result = {NULL};
  au_database_error_t ignored;
  if (au_database_exec(database, rights_sql, &result, &ignored) != AU_OK)
    return;
  const char *role = au_result_text(&result, 0, 0);
  const char *name = au_result_text(&result, 0, 1);
  const char *right = au_result_text(&result, 0, 2);
  if (role != NULL && name != NULL && right != NULL &&
      strcmp(right, "database") == 0)
    (void)snprintf(
        error->message, sizeof(error->message),
        "role \"%s\" lacks the right CREATE on database \"%s\", or a "
        "schema \"aurore\" that belongs to it",
        role, name);
  else if (role != NULL && name != NULL && right != NULL)
    (void)snprintf(error->message, sizeof(error->message),
                   "role \"%s\" lacks the right %s on schema \"aurore\" of "
                   "database \"%s\"",
                   role, right, name);
  au_result_fini(&result);
}

static au_status_t refuse_newer(long version, au_database_error_t *error) {
  au_database_error_set(
      error,
      "the schema \"aurore\" has version %ld, but this program "
      "knows up to %zu; a newer release has migrated it",
      version, VERSION);
  return AU_INVALID;
}

au_status_t au_schema_migrate(au_database_t *database,
                              au_database_error_t *error) {
  *error = (au_database_error_t){.fault = AU_FAULT_NONE};
  au_status_t status = AU_OK;
  /* Each turn applies one migration, or finds that somebody else has. */
  for (size_t turn = 0; turn <= VERSION; turn++) {
    long version = 0;
    status = read_version(database, &version, error);
    if (status != AU_OK)
      break;
    if (version == (long)VERSION)
      return AU_OK;
    if (version < 0 || version > (long)VERSION)
      return refuse_newer(version, error);
    status = apply(database, (size_t)version, error);
    if (status != AU_OK)
      break;
  }
  if (status == AU_OK) {
    au_database_error_set(error,
                          "the version of the schema \"aurore\" does not move");
    return AU_INVALID;
  }
  if (status == AU_INVALID && is_state(error, "42501"))
    explain_rights(database, error);
  return status;
}

au_status_t au_schema_ensure_partitions(au_database_t *database,
                                        int64_t first_day, int64_t last_day,
                                        au_database_error_t *error) {
  if (last_day < first_day || last_day - first_day >= PARTITION_DAYS_MAX) {
    au_database_error_set(error, "too many days at once");
    return AU_INVALID;
  }
  char sql[160];
  (void)snprintf(sql, sizeof(sql),
                 "SELECT aurore.ensure_partitions("
                 "date '1970-01-01' + (%" PRId64
                 "), date '1970-01-01' + (%" PRId64 "))",
                 first_day, last_day);
  return au_database_exec(database, sql, NULL, error);
}

int64_t au_schema_day(int64_t us) {
  int64_t day = us / AU_US_PER_DAY;
  return us % AU_US_PER_DAY < 0 ? day - 1 : day;
}
