/* SPDX-License-Identifier: MIT
 * Part of database/; calls spool/, config/, metrics/, event/, base/.
 *
 * A migration is one string, so one transaction: it takes the lock, looks
 * whether another process has been faster, and if not applies the SQL and
 * records it: as the version, or, if it only adds to the last version, by name,
 * so that a release that does not know it goes on writing. All of it is in one
 * DO block, because a string of statements cannot leave some of them out. The
 * lock belongs to the transaction, so that it works behind a pooler, too.
 */
#include "database/schema.h"

#include "base/clock.h"
#include "database/schema_sql.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VERSION ((long)(sizeof(migrations) / sizeof(migrations[0])))
#define ADDITIONS (sizeof(additions) / sizeof(additions[0]))

/* For a migration of a large table; "stop" ends it earlier. */
#define MIGRATION_TIMEOUT_S 3600.0

#define PARTITION_DAYS_MAX 1000

static bool is_state(const au_database_error_t *error, const char *sqlstate) {
  return strcmp(error->sqlstate, sqlstate) == 0;
}

/* What the database has of the schema. */
typedef struct state {
  long version; /* 0: there is no schema */
  bool is_added[ADDITIONS];
} state_t;

/* Whether "list", names with a space between, holds the name. */
static bool list_has(const char *list, const char *name) {
  size_t length = strlen(name);
  for (const char *at = strstr(list, name); at != NULL;
       at = strstr(at + 1, name))
    if ((at == list || at[-1] == ' ') &&
        (at[length] == ' ' || at[length] == '\0'))
      return true;
  return false;
}

/* "has_additions": there is a table of them. */
static au_status_t read_rows(au_database_t *database, bool has_additions,
                             state_t *out, au_database_error_t *error) {
  au_result_t result = {NULL};
  au_status_t status = au_database_exec(
      database,
      has_additions
          ? "SELECT max(version), (SELECT string_agg(a.name, ' ')"
            " FROM aurore.schema_addition AS a) FROM aurore.schema_version"
          : "SELECT max(version), NULL FROM aurore.schema_version",
      &result, error);
  if (status != AU_OK)
    return status;
  const char *version = au_result_text(&result, 0, 0);
  const char *names = au_result_text(&result, 0, 1);
  if (version != NULL)
    out->version = strtol(version, NULL, 10);
  for (size_t i = 0; i < ADDITIONS && names != NULL; i++)
    out->is_added[i] = list_has(names, additions[i].name);
  au_result_fini(&result);
  return AU_OK;
}

/* Whether a table is there is asked, not found out by an error: a session may
 * end with its first one (exit_on_error). */
static au_status_t read_state(au_database_t *database, state_t *out,
                              au_database_error_t *error) {
  *out = (state_t){.version = 0};
  au_result_t result = {NULL};
  au_status_t status = au_database_exec(
      database,
      "SELECT to_regclass('aurore.schema_version') IS NOT NULL,"
      " to_regclass('aurore.schema_addition') IS NOT NULL",
      &result, error);
  if (status != AU_OK)
    return status;
  const char *has_version = au_result_text(&result, 0, 0);
  const char *has_additions = au_result_text(&result, 0, 1);
  bool is_made = has_version != NULL && has_version[0] == 't';
  bool is_added = has_additions != NULL && has_additions[0] == 't';
  au_result_fini(&result);
  return is_made ? read_rows(database, is_added, out, error) : AU_OK;
}

au_status_t au_schema_look(au_database_t *database, au_schema_look_t *out,
                           au_database_error_t *error) {
  state_t state;
  *out = (au_schema_look_t){.known = VERSION};
  au_status_t status = read_state(database, &state, error);
  if (status != AU_OK)
    return status;
  out->version = state.version;
  if (state.version < VERSION)
    out->missing = (unsigned)(VERSION - state.version);
  for (size_t i = 0; i < ADDITIONS; i++)
    out->missing += state.is_added[i] ? 0 : 1;
  return AU_OK;
}

/* A step that was taken is not taken again: "question" says whether it is due,
 * "is_first" stands for its answer while its table (of the schema) is not
 * there, and "record" writes down that the step was taken. */
typedef struct step {
  const struct migration *migration;
  const char *table;
  bool is_first;
  char question[128];
  char record[128];
} step_t;

static step_t step_to_version(size_t version) {
  step_t step = {.migration = &migrations[version - 1],
                 .table = "schema_version",
                 .is_first = version == 1};
  (void)snprintf(step.question, sizeof(step.question),
                 "SELECT coalesce(max(version), 0) = %zu "
                 "FROM aurore.schema_version",
                 version - 1);
  (void)snprintf(step.record, sizeof(step.record),
                 "INSERT INTO aurore.schema_version (version) VALUES (%zu)",
                 version);
  return step;
}

static step_t step_of_addition(size_t index) {
  const char *name = additions[index].name;
  step_t step = {.migration = &additions[index],
                 .table = "schema_addition",
                 .is_first = index == 0};
  (void)snprintf(step.question, sizeof(step.question),
                 "SELECT NOT EXISTS (SELECT FROM aurore.schema_addition "
                 "WHERE name = '%s')",
                 name);
  (void)snprintf(step.record, sizeof(step.record),
                 "INSERT INTO aurore.schema_addition (name) VALUES ('%s')",
                 name);
  return step;
}

/* The catalog itself is read, after the lock: to_regclass may answer from what
 * this session knew before it waited. */
static void put_step(au_bytes_t *sql, const step_t *step) {
  au_bytes_printf(sql,
                  "DO $aurore$\n"
                  "DECLARE is_due boolean := %s;\n"
                  "BEGIN\n"
                  "PERFORM set_config('lock_timeout', '10s', true);\n"
                  "PERFORM pg_advisory_xact_lock(1096110671, 1);\n"
                  "PERFORM FROM pg_class AS c JOIN pg_namespace AS n"
                  " ON n.oid = c.relnamespace"
                  " WHERE n.nspname = 'aurore' AND c.relname = '%s';\n"
                  "IF FOUND THEN\n"
                  "EXECUTE $aurore_step$%s$aurore_step$ INTO is_due;\n"
                  "END IF;\n"
                  "IF is_due THEN\n"
                  "EXECUTE $aurore_migration$\n",
                  step->is_first ? "true" : "false", step->table,
                  step->question);
  for (const char *const *line = step->migration->lines; *line != NULL; line++)
    au_bytes_put_string(sql, *line);
  au_bytes_printf(sql,
                  "$aurore_migration$;\n"
                  "EXECUTE $aurore_step$%s$aurore_step$;\n"
                  "END IF;\n"
                  "END\n"
                  "$aurore$",
                  step->record);
}

static au_status_t apply(au_database_t *database, const step_t *step,
                         au_database_error_t *error) {
  au_bytes_t sql = AU_BYTES_INIT;
  put_step(&sql, step);
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
      "the schema \"aurore\" has version %ld, but this program knows up to "
      "%ld: a newer release has migrated it, and nothing is stored until this "
      "host has that release, too",
      version, VERSION);
  error->fault = AU_FAULT_SCHEMA;
  return AU_INVALID;
}

/* The next step from "state"; false: there is none. */
static bool next_step(const state_t *state, step_t *out_step) {
  if (state->version < VERSION) {
    *out_step = step_to_version((size_t)state->version + 1);
    return true;
  }
  for (size_t i = 0; i < ADDITIONS; i++) {
    if (!state->is_added[i]) {
      *out_step = step_of_addition(i);
      return true;
    }
  }
  return false;
}

au_status_t au_schema_migrate(au_database_t *database,
                              au_database_error_t *error) {
  *error = (au_database_error_t){.fault = AU_FAULT_NONE};
  au_status_t status = AU_OK;
  /* Each turn takes one step, or finds that somebody else has. */
  for (size_t turn = 0; turn <= VERSION + ADDITIONS; turn++) {
    state_t state;
    step_t step;
    status = read_state(database, &state, error);
    if (status != AU_OK)
      break;
    if (state.version < 0 || state.version > VERSION)
      return refuse_newer(state.version, error);
    if (!next_step(&state, &step))
      return AU_OK;
    status = apply(database, &step, error);
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

au_status_t au_schema_make_day(au_database_t *database, int64_t day,
                               char out_table[AU_TABLE_SIZE],
                               au_database_error_t *error) {
  char sql[96];
  (void)snprintf(sql, sizeof(sql),
                 "SELECT aurore.make_day(date '1970-01-01' + (%" PRId64 "))",
                 day);
  au_result_t result = {NULL};
  au_status_t status = au_database_exec(database, sql, &result, error);
  if (status != AU_OK)
    return status;
  const char *table = au_result_text(&result, 0, 0);
  size_t size = table != NULL ? strlen(table) : 0;
  if (size >= AU_TABLE_SIZE) {
    au_database_error_set(error, "the name of a partition is too long");
    status = AU_INVALID;
  } else {
    memcpy(out_table, table != NULL ? table : "", size + 1);
  }
  au_result_fini(&result);
  return status;
}

int64_t au_schema_day(int64_t us) {
  int64_t day = us / AU_US_PER_DAY;
  return us % AU_US_PER_DAY < 0 ? day - 1 : day;
}
