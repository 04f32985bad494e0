/* SPDX-License-Identifier: MIT
 *
 * rights - the schema "aurore", whether this release knows it, and what the
 * role lacks of what the plugins do. A role that owns the schema has all of it;
 * the table below is for one that does not.
 */
#include "tools/doctor/database.h"

#include "base/bytes.h"
#include "database/schema.h"

#include <string.h>

#define SCHEMA "schema"
#define RIGHTS "rights"

/* What the code asks for by itself, and in functions that run with the rights
 * of who calls them. A new query needs its row here: test_doctor.py runs the
 * plugins with a role that has nothing else. */
static const struct {
  const char *relation;
  const char *privileges[5];
} needs[] = {{"schema_version", {"SELECT"}},
             {"schema_addition", {"SELECT"}},
             {"event", {"SELECT", "INSERT"}},
             {"event_count", {"SELECT", "INSERT", "UPDATE"}},
             {"lane", {"SELECT", "INSERT", "UPDATE"}},
             {"dead_letter", {"SELECT", "INSERT", "UPDATE", "DELETE"}}};

static const char *const functions[] = {"advance",
                                        "claim_lane",
                                        "dead_letter_id",
                                        "end_retention",
                                        "ensure_partitions",
                                        "figures",
                                        "fold",
                                        "hold_leaving",
                                        "kept_from",
                                        "make_day",
                                        "mark_dead_letter",
                                        "overdue_days",
                                        "refuse_dead_letter",
                                        "remove_dead_letter",
                                        "store_dead_letter",
                                        "take_event_keys",
                                        "tell_retention",
                                        "turn_event_keys"};

/* Rows of relation, what the role lacks of it, and whether it is not there. */
static const char *put_tables_question(au_bytes_t *sql) {
  const char *separator = "";
  au_bytes_put_string(
      sql, "SELECT v.relation, string_agg(v.privilege, ', '),"
           " bool_and(c.oid IS NULL), quote_ident(current_user) FROM (VALUES ");
  for (size_t i = 0; i < sizeof(needs) / sizeof(needs[0]); i++)
    for (const char *const *one = needs[i].privileges; *one != NULL; one++) {
      au_bytes_printf(sql, "%s('%s', '%s')", separator, needs[i].relation,
                      *one);
      separator = ", ";
    }
  au_bytes_put_string(
      sql, ") AS v (relation, privilege) LEFT JOIN pg_class AS c"
           " ON c.relname = v.relation"
           " AND c.relnamespace = to_regnamespace('aurore')"
           " WHERE c.oid IS NULL OR NOT has_table_privilege(c.oid, v.privilege)"
           " GROUP BY v.relation ORDER BY v.relation");
  return au_bytes_text(sql);
}

/* The same of functions, without what it lacks. */
static const char *put_functions_question(au_bytes_t *sql) {
  au_bytes_put_string(sql,
                      "SELECT v.name, p.oid::regprocedure::text, p.oid IS NULL,"
                      " quote_ident(current_user) FROM (VALUES ");
  for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
    au_bytes_printf(sql, "%s('%s')", i > 0 ? ", " : "", functions[i]);
  au_bytes_put_string(sql, ") AS v (name) LEFT JOIN pg_proc AS p"
                           " ON p.proname = v.name"
                           " AND p.pronamespace = to_regnamespace('aurore')"
                           " WHERE p.oid IS NULL"
                           " OR NOT has_function_privilege(p.oid, 'EXECUTE')"
                           " ORDER BY v.name");
  return au_bytes_text(sql);
}

static void find_missing(ctl_doctor_t *doctor, const char *name) {
  ctl_find(&doctor->findings, CTL_PROBLEM, SCHEMA,
           "\"aurore.%s\" is not there, though the schema has the version that "
           "it belongs to",
           name);
  ctl_advise(&doctor->findings,
             "restore the schema from a backup: somebody has changed it");
}

/* Both return whether nothing is lacking. */
static bool check_tables(ctl_doctor_t *doctor, au_database_t *database) {
  au_bytes_t sql = AU_BYTES_INIT;
  au_result_t result = {NULL};
  au_database_error_t error;
  const char *question = put_tables_question(&sql);
  bool is_asked =
      question != NULL &&
      au_database_exec(database, question, &result, &error) == AU_OK;
  size_t rows = is_asked ? au_result_rows(&result) : 0;
  for (size_t row = 0; row < rows; row++) {
    const char *relation = ctl_result_text(&result, row, 0);
    if (ctl_result_is_true(&result, row, 2)) {
      find_missing(doctor, relation);
      continue;
    }
    const char *lacks = ctl_result_text(&result, row, 1);
    const char *role = ctl_result_text(&result, row, 3);
    ctl_find(&doctor->findings, CTL_PROBLEM, RIGHTS,
             "the role %s lacks %s on aurore.%s", role, lacks, relation);
    ctl_advise(&doctor->findings, "GRANT %s ON aurore.%s TO %s;", lacks,
               relation, role);
  }
  au_result_fini(&result);
  au_bytes_fini(&sql);
  return is_asked && rows == 0;
}

static bool check_functions(ctl_doctor_t *doctor, au_database_t *database) {
  au_bytes_t sql = AU_BYTES_INIT;
  au_result_t result = {NULL};
  au_database_error_t error;
  const char *question = put_functions_question(&sql);
  bool is_asked =
      question != NULL &&
      au_database_exec(database, question, &result, &error) == AU_OK;
  size_t rows = is_asked ? au_result_rows(&result) : 0;
  for (size_t row = 0; row < rows; row++) {
    if (ctl_result_is_true(&result, row, 2)) {
      find_missing(doctor, ctl_result_text(&result, row, 0));
      continue;
    }
    const char *function = ctl_result_text(&result, row, 1);
    const char *role = ctl_result_text(&result, row, 3);
    ctl_find(&doctor->findings, CTL_PROBLEM, RIGHTS,
             "the role %s lacks EXECUTE on %s", role, function);
    ctl_advise(&doctor->findings, "GRANT EXECUTE ON FUNCTION %s TO %s;",
               function, role);
  }
  au_result_fini(&result);
  au_bytes_fini(&sql);
  return is_asked && rows == 0;
}

/* --- the schema ------------------------------------------------------------
 */

/* false: the role cannot look any further, or there is nothing to look at. */
static bool check_schema_rights(ctl_doctor_t *doctor, au_database_t *database) {
  au_result_t result;
  if (!ctl_doctor_ask(
          doctor, database,
          "SELECT to_regnamespace('aurore') IS NOT NULL,"
          " has_database_privilege(current_database(), 'CREATE'),"
          " coalesce(has_schema_privilege(to_regnamespace('aurore')::oid,"
          " 'USAGE'), false), quote_ident(current_user),"
          " quote_ident(current_database())",
          &result))
    return false;
  bool is_there = ctl_result_is_true(&result, 0, 0);
  bool may_create = ctl_result_is_true(&result, 0, 1);
  bool may_use = ctl_result_is_true(&result, 0, 2);
  const char *role = ctl_result_text(&result, 0, 3);
  const char *name = ctl_result_text(&result, 0, 4);
  if (!is_there && may_create) {
    ctl_find(&doctor->findings, CTL_OK, SCHEMA,
             "there is none yet; the plugins make it when they start");
  } else if (!is_there) {
    ctl_find(&doctor->findings, CTL_PROBLEM, RIGHTS,
             "there is no schema \"aurore\", and the role %s may not make it",
             role);
    ctl_advise(&doctor->findings,
               "CREATE SCHEMA aurore AUTHORIZATION %s; or "
               "GRANT CREATE ON DATABASE %s TO %s;",
               role, name, role);
  } else if (!may_use) {
    ctl_find(&doctor->findings, CTL_PROBLEM, RIGHTS,
             "the role %s lacks USAGE on the schema aurore", role);
    ctl_advise(&doctor->findings, "GRANT USAGE ON SCHEMA aurore TO %s;", role);
  }
  au_result_fini(&result);
  return is_there && may_use;
}

/* Who owns it, "" for nobody yet; whether the role may act as the owner. */
static bool is_owner(ctl_doctor_t *doctor, au_database_t *database) {
  au_result_t result;
  if (!ctl_doctor_ask(doctor, database,
                      "SELECT pg_has_role(coalesce(c.relowner, n.nspowner), "
                      "'USAGE'), has_schema_privilege(n.oid, 'CREATE') "
                      "FROM pg_namespace AS n LEFT JOIN pg_class AS c "
                      "ON c.relnamespace = n.oid AND c.relname = 'event' "
                      "WHERE n.nspname = 'aurore'",
                      &result))
    return false;
  bool is =
      ctl_result_is_true(&result, 0, 0) && ctl_result_is_true(&result, 0, 1);
  au_result_fini(&result);
  return is;
}

/* false: what is in it is not what this release has. */
static bool check_version(ctl_doctor_t *doctor, au_database_t *database,
                          bool is_owned) {
  au_schema_look_t look;
  au_database_error_t error;
  if (au_schema_look(database, &look, &error) != AU_OK) {
    ctl_find(&doctor->findings, CTL_PROBLEM, SCHEMA,
             "its version cannot be read: %s", error.message);
    ctl_advise(&doctor->findings, "GRANT SELECT ON aurore.schema_version TO "
                                  "the role");
    return false;
  }
  if (look.version > look.known) {
    ctl_find(&doctor->findings, CTL_PROBLEM, SCHEMA,
             "has version %ld, and this release knows up to %ld: it stores "
             "nothing",
             look.version, look.known);
    ctl_advise(&doctor->findings,
               "install the release here that has migrated the database");
    return false;
  }
  if (look.missing == 0) {
    ctl_find(&doctor->findings, CTL_OK, SCHEMA,
             "has version %ld, and all that this release adds to it",
             look.version);
    return true;
  }
  if (look.version == 0 && is_owned) {
    ctl_find(&doctor->findings, CTL_OK, SCHEMA,
             "is empty yet; the plugins fill it when they start");
    return false;
  }
  ctl_find(&doctor->findings, is_owned ? CTL_WARNING : CTL_PROBLEM, SCHEMA,
           "has version %ld, and lacks %u migration%s of this release",
           look.version, look.missing, look.missing == 1 ? "" : "s");
  ctl_advise(&doctor->findings,
             is_owned ? "start collectd: it migrates the schema then"
                      : "start a collectd once whose ConnInfo names the "
                        "schema's owner: this role may not migrate it");
  return false;
}

void ctl_doctor_rights(ctl_doctor_t *doctor, au_database_t *database) {
  if (!check_schema_rights(doctor, database))
    return;
  bool is_owned = is_owner(doctor, database);
  if (!check_version(doctor, database, is_owned))
    return;
  bool is_good = check_tables(doctor, database);
  is_good = check_functions(doctor, database) && is_good;
  if (is_good && is_owned) {
    ctl_find(&doctor->findings, CTL_OK, RIGHTS,
             "the role owns the schema and has all rights that it needs");
  } else if (is_good && doctor->options.retention_days == 0) {
    ctl_find(&doctor->findings, CTL_OK, RIGHTS,
             "the role has all rights to store and to read");
  } else if (is_good) {
    ctl_find(&doctor->findings, CTL_WARNING, RIGHTS,
             "the role has all rights to store and to read, but not to drop "
             "old days, which takes the schema's owner");
    ctl_advise(&doctor->findings, "let one collectd store as the owner, or set "
                                  "RetentionDays 0 and drop them otherwise");
  }
}
