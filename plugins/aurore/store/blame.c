/* SPDX-License-Identifier: MIT
 * Part of store/; calls database/, spool/, config/, metrics/, event/, base/. */
#include "store/blame.h"

#include "event/row.h"
#include "metrics/metrics.h"

#include <string.h>

/* Witnesses that are asked before a wait. */
#define WITNESSES_MAX 6
/* After a bad row was found by its line the next range is at most twice as long
 * as what was in front of it, and at least so long: where many rows are bad
 * little is sent in vain. */
#define RANGE_MIN 64
/* How often a row may be refused for another reason than before: then it is bad
 * all the same. */
#define REASONS_MAX 4
/* How much is read at a time of what waits behind the batch. */
#define BEHIND_ROWS 64
#define BEHIND_BYTES ((size_t)1 << 20)

void au_blame_fini(au_blame_t *blame) {
  au_slab_fini(&blame->behind);
  *blame = (au_blame_t){.end = 0};
}

static void forget_suspect(au_blame_t *blame) {
  blame->has_suspect = false;
  blame->reasons = 0;
  blame->compared = false;
  blame->is_asking = false;
  blame->asked = 0;
}

void au_blame_begin(au_blame_t *blame) {
  forget_suspect(blame);
  blame->end = 0;
  blame->prefers_behind = false;
  blame->within = (au_blame_sweep_t){.at = 0};
  blame->beyond = (au_blame_sweep_t){.at = 0};
  blame->behind.count = 0;
}

void au_blame_interrupt(au_blame_t *blame) {
  blame->compared = false;
  blame->is_asking = false;
  blame->asked = 0;
  blame->known = (au_database_culprit_t){.line = 0};
}

/* --- the short cut -------------------------------------------------------- */

/* Whether it is a column that we send. */
static bool is_sent(const char *column) {
  static const char columns[] = AU_ROW_COLUMNS;
  size_t size = strlen(column);
  const char *at = size > 0 ? strstr(columns, column) : NULL;
  for (; at != NULL; at = strstr(at + 1, column))
    if ((at == columns || at[-1] == ' ') &&
        (at[size] == ',' || at[size] == '\0'))
      return true;
  return false;
}

static void put_column_names(au_bytes_t *sql) {
  const char *separator = "";
  for (const char *at = AU_ROW_COLUMNS; *at != '\0';) {
    size_t size = strcspn(at, ", ");
    au_bytes_put_string(sql, separator);
    au_database_put_literal(sql, at, size);
    separator = ",";
    at += size + strspn(at + size, ", ");
  }
}

static void put_name(au_bytes_t *sql, const char *name) {
  au_database_put_literal(sql, name, strlen(name));
}

/* Whether the constraint or index is of aurore.event (or a partition of it),
 * and of a column that we send. false: that could not be found out. */
static bool look_up(const au_database_culprit_t *culprit,
                    au_database_t *database, bool *out_is_ours) {
  au_bytes_t sql = AU_BYTES_INIT;
  au_bytes_put_string(
      &sql,
      "SELECT count(*) FROM pg_catalog.pg_class t "
      "JOIN pg_catalog.pg_namespace s ON s.oid = t.relnamespace "
      "JOIN (SELECT conrelid AS relid, conname AS name, conkey::int2[] AS key "
      "FROM pg_catalog.pg_constraint "
      "UNION ALL SELECT i.indrelid, c.relname, i.indkey::int2[] "
      "FROM pg_catalog.pg_index i "
      "JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid) k "
      "ON k.relid = t.oid "
      "JOIN pg_catalog.pg_attribute a "
      "ON a.attrelid = t.oid AND a.attnum = ANY (k.key) "
      "WHERE pg_catalog.pg_partition_root(t.oid) = "
      "pg_catalog.to_regclass('aurore.event') AND a.attname IN (");
  put_column_names(&sql);
  au_bytes_put_string(&sql, ") AND s.nspname = ");
  put_name(&sql, culprit->schema);
  au_bytes_put_string(&sql, " AND t.relname = ");
  put_name(&sql, culprit->table);
  au_bytes_put_string(&sql, " AND k.name = ");
  put_name(&sql, culprit->constraint);
  au_database_error_t ignored;
  au_result_t result = {.pg = NULL};
  const char *text = au_database_text(&sql, &ignored);
  bool answered = text != NULL &&
                  au_database_exec(database, text, &result, &ignored) == AU_OK;
  if (answered) {
    const char *found = au_result_text(&result, 0, 0);
    *out_is_ours = found != NULL && strcmp(found, "0") != 0;
    au_result_fini(&result);
  }
  au_bytes_fini(&sql);
  return answered;
}

static bool is_constraint_ours(au_blame_t *blame,
                               const au_database_culprit_t *culprit,
                               au_database_t *database) {
  if (culprit->constraint[0] == '\0' || culprit->table[0] == '\0')
    return false;
  au_database_culprit_t *known = &blame->known;
  if (strcmp(known->constraint, culprit->constraint) != 0 ||
      strcmp(known->table, culprit->table) != 0 ||
      strcmp(known->schema, culprit->schema) != 0) {
    if (!look_up(culprit, database, &blame->known_is_ours))
      return false;
    *known = *culprit;
  }
  return blame->known_is_ours;
}

/* Whether the error speaks of what is in the row. */
static bool is_evident(au_blame_t *blame, const au_database_error_t *error,
                       au_database_t *database) {
  const char *state = error->sqlstate;
  if (strncmp(state, "22", 2) != 0 && strncmp(state, "23", 2) != 0 &&
      strncmp(state, "54", 2) != 0)
    return false;
  /* The column is of another type than what we send: true of every row. */
  if (strcmp(state, "22P03") == 0)
    return false;
  return is_sent(error->culprit.column) ||
         is_constraint_ours(blame, &error->culprit, database);
}

/* --- which row ------------------------------------------------------------ */

static uint64_t number_of(const au_batch_t *batch, size_t row) {
  return batch->slab.first_seq + row;
}

/* The row that was refused, as far as it is known. */
static bool find_row(const au_batch_t *batch, const au_database_error_t *error,
                     size_t *out_row) {
  if (batch->copied == 1)
    return au_batch_find_line(batch, 1, out_row);
  return au_batch_find_line(batch, error->culprit.line, out_row);
}

/* The row is a dead letter from now on. */
static au_blame_step_t condemn(au_blame_t *blame, au_batch_t *batch, size_t row,
                               const au_database_error_t *error) {
  size_t rows = row + 1 - batch->done;
  if (!au_batch_set_aside(batch, row, error)) {
    blame->cause = *error;
    return AU_BLAME_WAIT; /* for memory */
  }
  if (blame->has_suspect && blame->suspect == number_of(batch, row))
    forget_suspect(blame);
  blame->end = 0;
  size_t range = batch->hi - batch->done;
  size_t next = rows > RANGE_MIN / 2 ? rows * 2 : RANGE_MIN;
  if (error->culprit.line == 0)
    au_batch_limit(batch, rows + 1);
  else if (next < range || range == 1)
    au_batch_limit(batch, next);
  return AU_BLAME_STORE;
}

static bool is_same_reason(const au_database_error_t *one,
                           const au_database_error_t *other) {
  return strcmp(one->sqlstate, other->sqlstate) == 0 &&
         strcmp(one->culprit.column, other->culprit.column) == 0 &&
         strcmp(one->culprit.constraint, other->culprit.constraint) == 0;
}

/* The suspect is refused again. For another reason: the schema may have broken
 * meanwhile, and what it was compared for before says nothing. */
static void note_reason(au_blame_t *blame, const au_database_error_t *error) {
  if (is_same_reason(&blame->cause, error) || blame->reasons == REASONS_MAX)
    return;
  blame->reasons++;
  blame->compared = false;
}

/* A row was refused; whether it is its fault is not known yet. */
static au_blame_step_t suspect(au_blame_t *blame, au_batch_t *batch, size_t row,
                               const au_database_error_t *error) {
  bool is_alone = row == batch->done && batch->hi == row + 1;
  bool is_known = blame->has_suspect && blame->suspect == number_of(batch, row);
  if (is_known)
    note_reason(blame, error);
  if (is_known && blame->compared && is_alone)
    return condemn(blame, batch, row, error);
  if (!is_known) {
    forget_suspect(blame);
    blame->has_suspect = true;
    blame->suspect = number_of(batch, row);
  }
  blame->cause = *error;
  blame->end = 0;
  au_batch_limit(batch, row > batch->done ? row - batch->done : 1);
  if (row > batch->done || !is_alone)
    return AU_BLAME_STORE; /* its neighbours, or itself alone */
  blame->is_asking = true;
  return AU_BLAME_ASK;
}

au_blame_step_t au_blame_refused(au_blame_t *blame, au_batch_t *batch,
                                 au_database_t *database,
                                 const au_database_error_t *error) {
  size_t rows = batch->hi - batch->done;
  if (batch->copied == 0) {
    blame->cause = *error;
    return AU_BLAME_WAIT; /* dead letters, counters, ids or the place */
  }
  size_t row = 0;
  if (find_row(batch, error, &row))
    return is_evident(blame, error, database)
               ? condemn(blame, batch, row, error)
               : suspect(blame, batch, row, error);
  blame->end = batch->hi;
  au_batch_limit(batch, (rows + 1) / 2);
  return AU_BLAME_STORE;
}

void au_blame_stored(au_blame_t *blame, au_batch_t *batch) {
  uint64_t next = au_batch_position(batch).seq;
  if (blame->has_suspect && blame->suspect < next)
    forget_suspect(blame); /* it was taken after all */
  if (blame->has_suspect && batch->stored > 0)
    blame->compared = true;
  if (blame->end <= batch->done)
    blame->end = 0;
  if (blame->has_suspect && blame->suspect == next)
    au_batch_limit(batch, 1);
  else if (blame->end > 0)
    au_batch_limit(batch, (blame->end - batch->done + 1) / 2);
}

/* --- witnesses ------------------------------------------------------------ */

static bool may_testify(const au_slab_t *slab, size_t row, bool any,
                        const au_slice_t *service) {
  if (slab->row[row].kind == AU_ROW_REPROCESS)
    return false;
  const au_row_t parts = au_slab_row(slab, row);
  if (!au_row_is_sound(&parts))
    return false;
  const au_slice_t own = au_row_service(&parts);
  return any || own.size != service->size ||
         memcmp(own.data, service->data, own.size) != 0;
}

/* The next one of the slab, first those of other services: what one client
 * sends is refused alike. false: there is none any more. */
static bool find_witness(const au_slab_t *slab, au_blame_sweep_t *sweep,
                         const au_slice_t *service) {
  for (;;) {
    for (; sweep->at < slab->count; sweep->at++)
      if (may_testify(slab, sweep->at, sweep->any, service))
        return true;
    if (sweep->any)
      return false;
    *sweep = (au_blame_sweep_t){.any = true};
  }
}

/* Those of the batch that are stored may be asked, too: whether they would be
 * taken once more. */
static bool find_within(au_blame_t *blame, const au_batch_t *batch,
                        const au_slice_t *service) {
  au_blame_sweep_t *sweep = &blame->within;
  while (find_witness(&batch->slab, sweep, service)) {
    if (sweep->at != batch->done && !au_batch_is_marked(batch, sweep->at))
      return true;
    sweep->at++;
  }
  *sweep = (au_blame_sweep_t){.at = 0}; /* the next round */
  return false;
}

/* Reads what comes next behind the batch; at the end of what waits it begins
 * again. false: nothing is there now. */
static bool read_behind(au_blame_t *blame, const au_batch_t *batch,
                        au_lane_t *lane) {
  au_slab_t *behind = &blame->behind;
  au_position_t from = behind->count > 0 ? behind->end : batch->slab.end;
  blame->beyond = (au_blame_sweep_t){.at = 0};
  au_status_t status = au_spool_read(au_lane_spool(lane), from, BEHIND_ROWS,
                                     BEHIND_BYTES, behind);
  if (status != AU_OK)
    behind->count = 0;
  return behind->count > 0;
}

static bool find_behind(au_blame_t *blame, const au_batch_t *batch,
                        au_lane_t *lane, const au_slice_t *service) {
  if (blame->behind.count > 0 &&
      find_witness(&blame->behind, &blame->beyond, service))
    return true;
  return read_behind(blame, batch, lane) &&
         find_witness(&blame->behind, &blame->beyond, service);
}

/* Whom to ask next: in turn one of the batch and one behind it, so that neither
 * is left out. NULL: nobody is there. */
static const au_slab_t *choose_witness(au_blame_t *blame,
                                       const au_batch_t *batch, au_lane_t *lane,
                                       au_blame_sweep_t **out_sweep) {
  const au_row_t parts = au_slab_row(&batch->slab, batch->done);
  const au_slice_t service = au_row_is_sound(&parts) ? au_row_service(&parts)
                                                     : (au_slice_t){.data = ""};
  bool is_behind = (blame->asked % 2 != 0) != blame->prefers_behind;
  for (int i = 0; i < 2; i++, is_behind = !is_behind) {
    *out_sweep = is_behind ? &blame->beyond : &blame->within;
    if (is_behind ? find_behind(blame, batch, lane, &service)
                  : find_within(blame, batch, &service))
      return is_behind ? &blame->behind : &batch->slab;
  }
  return NULL;
}

/* What the database said to a witness: it has taken it, or refused it. */
static void hear(au_blame_t *blame, au_blame_sweep_t *sweep, bool is_taken) {
  blame->asked++;
  if (!is_taken) {
    sweep->at++;
    return;
  }
  /* The same is asked first the next time. */
  blame->prefers_behind = sweep == &blame->beyond;
  blame->compared = true;
  blame->is_asking = false;
}

au_status_t au_blame_ask(au_blame_t *blame, au_batch_t *batch, au_lane_t *lane,
                         au_database_t *database, const au_claim_t *claim,
                         au_blame_step_t *out_step,
                         au_database_error_t *error) {
  au_blame_sweep_t *sweep = NULL;
  const au_slab_t *slab = NULL;
  if (blame->asked < WITNESSES_MAX)
    slab = choose_witness(blame, batch, lane, &sweep);
  if (slab == NULL) {
    blame->is_asking = false;
    blame->asked = 0;
    *out_step = AU_BLAME_WAIT;
    return AU_OK;
  }
  au_status_t status =
      au_batch_try(batch, slab, sweep->at, database, claim, error);
  if (status != AU_OK && error->fault != AU_FAULT_ROW &&
      error->fault != AU_FAULT_PARTITION)
    return status;
  if (status != AU_OK)
    au_metrics_count_failure(error->sqlstate);
  hear(blame, sweep, status == AU_OK);
  *out_step = status == AU_OK ? AU_BLAME_STORE : AU_BLAME_ASK;
  return AU_OK;
}
