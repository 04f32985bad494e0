/* SPDX-License-Identifier: MIT
 * Part of store/; calls database/, spool/, config/, metrics/, event/, base/. */
#include "store/writer.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "database/database.h"
#include "database/schema.h"
#include "event/row.h"
#include "metrics/metrics.h"
#include "store/batch.h"
#include "store/blame.h"
#include "store/claim.h"
#include "store/host.h"

#include <inttypes.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A batch ends here, whatever BatchSize says: it is held in memory. */
#define BATCH_BYTES_MAX ((size_t)8 << 20)
/* How often an idle connection is looked at. */
#define IDLE_NS AU_NS_PER_S
/* How often a fenced lane asks whether it still is. */
#define FENCED_NS (10 * AU_NS_PER_S)
/* How often a cause of trouble that changes is logged. */
#define CAUSE_NS (10 * AU_NS_PER_S)

#define SQLSTATE_IN_USE "55006"
#define SQLSTATE_LOCKED "55P03"

/* Why nothing is stored, as it was logged. */
typedef struct trouble {
  bool is_on; /* cleared when a batch is stored */
  int64_t logged_ns;
  char cause[AU_DATABASE_MESSAGE_SIZE];
} trouble_t;

struct au_writer {
  /* Immutable after start. */
  const au_options_t *options;
  au_lane_t *lane;
  au_breaker_t *breaker;
  au_slots_t *slots;
  int abort_fd;
  void (*reached)(void);
  pthread_t thread;

  /* The thread's own. */
  au_database_t *database;
  au_batch_t batch;
  au_blame_t blame; /* of the batch */
  au_claim_t claim;
  au_host_t host;
  au_backoff_t backoff;
  bool claimed;    /* since the last doubt */
  bool lacks_slot; /* as was reported */
  bool owes;       /* the same: a batch that the database would not take */
  bool has_moved; /* its place was not what we thought, since the last commit */
  bool told_refused; /* a notification says that no event is taken */
  bool told_schema;  /* one says that the schema is a newer release's */
  trouble_t trouble;

  _Atomic bool connected;

  pthread_mutex_t lock; /* protects: has_ended */
  pthread_cond_t ended;
  bool has_ended;
};

static bool is_aborted(const au_writer_t *writer) {
  struct pollfd fd = {.fd = writer->abort_fd, .events = POLLIN};
  return poll(&fd, 1, 0) > 0;
}

static void set_connected(au_writer_t *writer, bool connected) {
  atomic_store(&writer->connected, connected);
}

/* Waits without the database. While the lane is being drained only the abort
 * may cut a wait short, else the stop may, too. */
static void wait_or_abort(au_writer_t *writer, int64_t wait_ns) {
  int64_t deadline_ns = au_clock_monotonic_ns() + wait_ns;
  if (!au_lane_is_stopping(writer->lane)) {
    au_lane_sleep(writer->lane, deadline_ns);
    return;
  }
  struct pollfd fd = {.fd = writer->abort_fd, .events = POLLIN};
  poll(&fd, 1, au_clock_poll_ms(wait_ns));
}

/* Asks the breaker; waits, and says false, while it allows nothing. */
static bool may_try(au_writer_t *writer, au_permit_t *permit) {
  int64_t now_ns = au_clock_monotonic_ns();
  int64_t retry_ns = 0;
  if (au_breaker_allow(writer->breaker, now_ns, permit, &retry_ns))
    return true;
  set_connected(writer, au_database_is_connected(writer->database));
  wait_or_abort(writer, retry_ns - now_ns);
  return false;
}

/* Whether trouble is to be logged: when it begins, and again when its cause is
 * another one: an outage may end in a role that is not let in any more. Causes
 * that take turns do not fill the log. */
static bool is_news(trouble_t *trouble, const au_database_error_t *error) {
  int64_t now_ns = au_clock_monotonic_ns();
  if (trouble->is_on && (strcmp(trouble->cause, error->message) == 0 ||
                         now_ns - trouble->logged_ns < CAUSE_NS))
    return false;
  trouble->is_on = true;
  trouble->logged_ns = now_ns;
  memcpy(trouble->cause, error->message, sizeof(trouble->cause));
  return true;
}

/* For those who look at the lane. */
static void keep_error(au_writer_t *writer, const au_database_error_t *error) {
  au_lane_set_error(writer->lane, error->sqlstate, error->message,
                    au_clock_wall_us());
}

static void log_trouble(au_writer_t *writer, const char *what,
                        const au_database_error_t *error) {
  if (!is_news(&writer->trouble, error))
    return;
  bool has_code = error->sqlstate[0] != '\0';
  au_log(AU_LOG_WARNING,
         "could not %s: %s%s%s%s; %" PRIu64
         " events wait in lane %u, trying again",
         what, error->message, has_code ? " (SQLSTATE " : "", error->sqlstate,
         has_code ? ")" : "", au_lane_waiting(writer->lane),
         writer->claim.lane);
}

/* Whether the schema is a newer release's has changed; "error" says so if it
 * is.
 */
static void tell_schema(au_writer_t *writer, const au_database_error_t *error) {
  bool is_newer = error != NULL;
  if (writer->told_schema == is_newer)
    return;
  writer->told_schema = is_newer;
  au_notify(is_newer ? AU_SEVERITY_FAILURE : AU_SEVERITY_OKAY, "schema",
            "lane %u: %s", writer->claim.lane,
            is_newer ? error->message : "the schema is known again");
}

/* The database's fault: count it, log it, wait. */
static void back_off(au_writer_t *writer, au_permit_t permit, const char *what,
                     const au_database_error_t *error) {
  set_connected(writer, au_database_is_connected(writer->database));
  au_blame_interrupt(&writer->blame);
  if (!au_database_is_connected(writer->database))
    au_lane_set_refused(writer->lane, 0); /* it answers no more */
  if (is_aborted(writer)) {
    au_breaker_cancel(writer->breaker, permit);
    return;
  }
  keep_error(writer, error);
  log_trouble(writer, what, error);
  if (error->fault == AU_FAULT_SCHEMA)
    tell_schema(writer, error);
  au_metrics_count_failure(error->is_connect ? "" : error->sqlstate);
  /* A partition is being made or dropped, or somebody holds a lock: the
   * database works, and has spoken. */
  if (strcmp(error->sqlstate, SQLSTATE_IN_USE) == 0 ||
      strcmp(error->sqlstate, SQLSTATE_LOCKED) == 0)
    au_breaker_success(writer->breaker, permit);
  else
    au_breaker_failure(writer->breaker, permit, au_clock_monotonic_ns(),
                       au_clock_wall_us(), error);
  if (au_breaker_snapshot(writer->breaker).state == AU_BREAKER_CLOSED)
    wait_or_abort(writer, au_backoff_next(&writer->backoff));
}

/* The schema's fault: no row is to blame, and other lanes may fare better. Says
 * so, and waits. */
static void back_off_refused(au_writer_t *writer, au_permit_t permit,
                             const au_database_error_t *error) {
  unsigned lane = writer->claim.lane;
  if (is_aborted(writer)) {
    au_breaker_cancel(writer->breaker, permit);
    return;
  }
  keep_error(writer, error);
  au_breaker_refused(writer->breaker, permit, au_clock_wall_us(), error);
  if (is_news(&writer->trouble, error))
    au_log(AU_LOG_ERROR,
           "lane %u: the database refuses every event: %s (SQLSTATE %s); that "
           "is taken for a fault of the schema, nothing is set aside; %" PRIu64
           " events wait, trying again; see \"AuroreLaneBlocked\" in "
           "docs/runbook.md",
           lane, error->message, error->sqlstate,
           au_lane_waiting(writer->lane));
  if (!au_lane_is_refused(writer->lane))
    au_lane_set_refused(writer->lane, au_clock_monotonic_ns());
  if (!writer->told_refused)
    au_notify(AU_SEVERITY_FAILURE, "lane_refused",
              "lane %u: the database refuses every event: %s (SQLSTATE %s)",
              lane, error->message, error->sqlstate);
  writer->told_refused = true;
  writer->claimed = false; /* the schema may be gone, or be another one now */
  wait_or_abort(writer, au_backoff_next(&writer->backoff));
}

/* The database has done what it was asked for; "stored": events were committed.
 * While a lane has some that were not taken, less than that shows nothing. */
static void recovered(au_writer_t *writer, au_permit_t permit, bool stored) {
  if (!stored && au_breaker_is_owed(writer->breaker)) {
    au_breaker_cancel(writer->breaker, permit);
    return;
  }
  au_breaker_success(writer->breaker, permit);
  au_backoff_reset(&writer->backoff);
  if (writer->trouble.is_on)
    au_log(AU_LOG_NOTICE, "lane %u: the database %s", writer->claim.lane,
           writer->told_refused ? "takes events again" : "is reachable again");
  writer->trouble.is_on = false;
}

static void fence(au_writer_t *writer, const au_database_error_t *error) {
  keep_error(writer, error);
  if (!au_lane_is_fenced(writer->lane)) {
    au_lane_set_fenced(writer->lane, true);
    au_log(
        AU_LOG_ERROR,
        "lane %u is fenced: %s; it accepts no events until this is resolved, "
        "see \"A fenced lane\" in docs/reliability.md",
        writer->claim.lane, error->message);
    au_notify(AU_SEVERITY_FAILURE, "lane", "lane %u is fenced: %s",
              writer->claim.lane, error->message);
  }
  au_metrics_count_failure(error->sqlstate);
  wait_or_abort(writer, FENCED_NS);
}

static void unfence(au_writer_t *writer) {
  if (!au_lane_is_fenced(writer->lane))
    return;
  au_lane_set_fenced(writer->lane, false);
  au_log(AU_LOG_NOTICE, "lane %u is no longer fenced", writer->claim.lane);
  au_notify(AU_SEVERITY_OKAY, "lane", "lane %u is no longer fenced",
            writer->claim.lane);
}

/* Connects, migrates, claims the lane. "out_what" is what failed. */
static au_status_t reach_database(au_writer_t *writer, const char **out_what,
                                  au_database_error_t *error) {
  *out_what = "connect to the database";
  au_status_t status = au_database_connect(writer->database, error);
  au_slots_report(writer->slots, &writer->lacks_slot,
                  status != AU_OK &&
                      strcmp(error->sqlstate, AU_SQLSTATE_NO_SLOT) == 0);
  if (status != AU_OK)
    return status;
  set_connected(writer, true);
  *out_what = "choose a server";
  status = au_host_choose(&writer->host, writer->database, writer->lane, error);
  if (status != AU_OK)
    return status;
  *out_what = "bring the schema up to date";
  int64_t start_ns = au_clock_monotonic_ns();
  status = au_schema_migrate(writer->database, error);
  au_metrics_count_query(AU_OPERATION_MIGRATE, au_clock_elapsed_ms(start_ns),
                         writer->options->slow_query_s * 1000.0);
  if (status != AU_OK)
    return status;
  *out_what = "claim the lane";
  return au_claim_make(&writer->claim, writer->database, writer->lane, error);
}

/* What the claim says of the batch that was under way. */
static void settle(au_writer_t *writer) {
  if (writer->claim.next_seq < au_batch_position(&writer->batch).seq) {
    /* The database has fallen back to before it, and the lane with it. */
    au_batch_forget(&writer->batch);
    return;
  }
  au_batch_settle(&writer->batch, writer->claim.next_seq);
  au_lane_commit(writer->lane, au_batch_position(&writer->batch));
}

/* Connected, schema right, lane ours. Otherwise waits, and says false. */
static bool make_ready(au_writer_t *writer) {
  if (writer->claimed && au_database_is_connected(writer->database) &&
      !au_host_is_due(&writer->host, au_clock_monotonic_ns()))
    return true;
  writer->claimed = false;
  au_permit_t permit;
  if (!may_try(writer, &permit))
    return false;
  au_database_error_t error;
  const char *what;
  if (reach_database(writer, &what, &error) == AU_OK) {
    unfence(writer);
    tell_schema(writer, NULL);
    settle(writer);
    writer->claimed = true;
    /* Whether it can store, too, is what the batch that has failed will show:
     * a full disk, say, does not prevent a claim. */
    if (au_batch_is_done(&writer->batch))
      recovered(writer, permit, false);
    else
      au_breaker_cancel(writer->breaker, permit);
    if (writer->reached != NULL)
      writer->reached();
    return true;
  }
  if (error.fault == AU_FAULT_FENCED) {
    recovered(writer, permit, false); /* the database works, and has spoken */
    fence(writer, &error);
  } else {
    back_off(writer, permit, what, &error);
  }
  return false;
}

/* The days that the batch falls into are made, or it is known where their rows
 * go. */
static bool make_days(au_writer_t *writer, au_database_error_t *error) {
  au_batch_t *batch = &writer->batch;
  int64_t made = INT64_MIN;
  /* Day by day: a clock that jumped may have left years between two of them. */
  for (size_t row = batch->done; row < batch->slab.count; row++) {
    const au_row_t parts = au_slab_row(&batch->slab, row);
    int64_t day = au_schema_day(au_row_ingested_at_us(&parts));
    char table[AU_TABLE_SIZE];
    if (day == made)
      continue;
    if (au_schema_make_day(writer->database, day, table, error) != AU_OK)
      return false;
    au_batch_divert(batch, day, table);
    made = day;
  }
  if (!au_batch_is_stranded(batch))
    return true;
  const au_database_error_t reason = {
      .sqlstate = SQLSTATE_IN_USE,
      .message = "the events of its day are being dropped"};
  return au_batch_set_aside(batch, batch->done, &reason);
}

/* The next step of finding out whose fault a refusal is. */
static void take_step(au_writer_t *writer, au_permit_t permit,
                      au_blame_step_t step) {
  if (step == AU_BLAME_WAIT)
    back_off_refused(writer, permit, &writer->blame.cause);
  else
    au_breaker_cancel(writer->breaker, permit);
}

/* The lane's place is not what we thought; the claim will find out. When that
 * did not help the last time, something else moves it: not at full speed. */
static void claim_again(au_writer_t *writer, au_permit_t permit,
                        const au_database_error_t *error) {
  au_metrics_count_failure(error->sqlstate);
  au_breaker_cancel(writer->breaker, permit);
  au_blame_interrupt(&writer->blame);
  writer->claimed = false;
  if (writer->has_moved)
    wait_or_abort(writer, au_backoff_next(&writer->backoff));
  writer->has_moved = true;
}

/* An attempt failed. */
static void handle_failure(au_writer_t *writer, au_permit_t permit,
                           au_database_error_t *error, bool *partitions_made) {
  if (error->fault == AU_FAULT_PARTITION && !*partitions_made) {
    *partitions_made = true;
    if (make_days(writer, error)) {
      au_breaker_cancel(writer->breaker, permit);
      return;
    }
    if (error->fault == AU_FAULT_ROW) { /* somebody has forbidden it */
      au_metrics_count_failure(error->sqlstate);
      *partitions_made = false;
      back_off_refused(writer, permit, error);
      return;
    }
  }
  if (error->fault == AU_FAULT_ROW || error->fault == AU_FAULT_PARTITION) {
    au_metrics_count_failure(error->sqlstate);
    take_step(writer, permit,
              au_blame_refused(&writer->blame, &writer->batch, writer->database,
                               error));
  } else if (error->fault == AU_FAULT_FENCED) {
    claim_again(writer, permit, error);
  } else {
    /* Begin again from the schema on: it may be gone, or another database may
     * answer at this address now. */
    writer->claimed = false;
    au_breaker_owe(writer->breaker, &writer->owes, true);
    back_off(writer, permit, "store a batch", error);
  }
}

static au_status_t store_batch(au_writer_t *writer,
                               au_database_error_t *error) {
  int64_t start_ns = au_clock_monotonic_ns();
  au_metrics_use_connection(true);
  au_status_t status =
      au_batch_store(&writer->batch, writer->database, &writer->claim, error);
  au_metrics_use_connection(false);
  au_metrics_count_query(AU_OPERATION_STORE, au_clock_elapsed_ms(start_ns),
                         writer->options->slow_query_s * 1000.0);
  return status;
}

/* The lane's events are taken again. */
static void end_told_refusal(au_writer_t *writer) {
  au_lane_set_refused(writer->lane, 0);
  if (!writer->told_refused)
    return;
  writer->told_refused = false;
  au_notify(AU_SEVERITY_OKAY, "lane_refused",
            "lane %u: the database takes events again", writer->claim.lane);
}

static void committed(au_writer_t *writer, au_permit_t permit) {
  au_blame_stored(&writer->blame, &writer->batch);
  au_breaker_owe(writer->breaker, &writer->owes, false);
  recovered(writer, permit, true);
  end_told_refusal(writer);
  writer->has_moved = false;
  au_lane_commit(writer->lane, au_batch_position(&writer->batch));
  writer->claim.next_seq = au_batch_position(&writer->batch).seq;
}

/* Stores the batch that was taken, as far as it goes without doubt. */
static void store(au_writer_t *writer) {
  bool partitions_made = false;
  while (!au_batch_is_done(&writer->batch) && !is_aborted(writer) &&
         writer->claimed) {
    au_permit_t permit;
    if (!may_try(writer, &permit))
      continue;
    au_database_error_t error;
    if (writer->blame.is_asking) {
      au_blame_step_t step;
      if (au_blame_ask(&writer->blame, &writer->batch, writer->lane,
                       writer->database, &writer->claim, &step,
                       &error) == AU_OK)
        take_step(writer, permit, step);
      else
        handle_failure(writer, permit, &error, &partitions_made);
    } else if (store_batch(writer, &error) == AU_OK) {
      committed(writer, permit);
      partitions_made = false;
    } else {
      handle_failure(writer, permit, &error, &partitions_made);
    }
  }
}

static void take_and_store(au_writer_t *writer) {
  if (au_batch_is_done(&writer->batch)) {
    au_status_t status =
        au_batch_take(&writer->batch, writer->lane, writer->options->batch_size,
                      BATCH_BYTES_MAX);
    if (status != AU_OK) {
      au_log(AU_LOG_WARNING,
             "could not read lane %u of the spool; trying again",
             writer->claim.lane);
      wait_or_abort(writer, AU_NS_PER_S);
      return;
    }
    au_blame_begin(&writer->blame);
    au_batch_skip(&writer->batch, writer->claim.next_seq);
    if (writer->batch.slab.end.seq == writer->batch.slab.begin.seq)
      wait_or_abort(writer, IDLE_NS); /* woken too early; should not happen */
  }
  au_lane_commit(writer->lane, au_batch_position(&writer->batch));
  store(writer);
}

static bool may_end(au_writer_t *writer) {
  if (is_aborted(writer))
    return true;
  return au_lane_is_stopping(writer->lane) &&
         au_lane_waiting(writer->lane) == 0;
}

/* Whether the breaker is closed. While nothing waits that could prove that the
 * database is back, the claim is made again: each one is a probe. */
static bool is_trusted(au_writer_t *writer) {
  if (!au_batch_is_done(&writer->batch) ||
      au_breaker_snapshot(writer->breaker).state != AU_BREAKER_HALF_OPEN ||
      au_breaker_is_owed(writer->breaker))
    return true;
  writer->claimed = false;
  return false;
}

static void *writer_main(void *argument) {
  au_writer_t *writer = argument;
  const au_options_t *options = writer->options;
  int64_t drain_ns = au_clock_seconds_ns(options->drain_interval_s);
  while (!may_end(writer)) {
    if (!make_ready(writer) || !is_trusted(writer))
      continue;
    au_wake_t wake = AU_WAKE_BATCH;
    if (au_batch_is_done(&writer->batch))
      wake = au_lane_wait(writer->lane, options->batch_size, drain_ns,
                          au_clock_monotonic_ns() + IDLE_NS);
    if (wake == AU_WAKE_BATCH)
      take_and_store(writer);
    else /* idle: a connection that is gone should not look like one */
      set_connected(writer, au_database_check(writer->database));
  }
  set_connected(writer, false);
  au_slots_report(writer->slots, &writer->lacks_slot, false);
  au_breaker_owe(writer->breaker, &writer->owes, false);
  au_database_disconnect(writer->database);
  pthread_mutex_lock(&writer->lock);
  writer->has_ended = true;
  pthread_cond_signal(&writer->ended);
  pthread_mutex_unlock(&writer->lock);
  return NULL;
}

au_status_t au_writer_start(const au_writer_config_t *config,
                            au_writer_t **out_writer) {
  *out_writer = NULL;
  au_writer_t *writer = calloc(1, sizeof(*writer));
  if (writer == NULL)
    return AU_NOMEM;
  if (au_thread_condition(&writer->ended) != 0) {
    free(writer);
    return AU_NOMEM;
  }
  pthread_mutex_init(&writer->lock, NULL);
  writer->options = config->options;
  writer->lane = config->lane;
  writer->breaker = config->breaker;
  writer->slots = config->slots;
  writer->host.leader = config->leader;
  writer->abort_fd = config->abort_fd;
  writer->reached = config->reached;
  writer->claim.spool_id = au_spool_id(au_lane_spool(config->lane));
  writer->claim.lane = au_lane_index(config->lane);
  au_event_keys_init(&writer->batch.keys, config->options,
                     au_lane_spool(config->first_lane != NULL
                                       ? config->first_lane
                                       : config->lane));
  au_backoff_init(&writer->backoff,
                  au_clock_seconds_ns(config->options->backoff_min_s),
                  au_clock_seconds_ns(config->options->backoff_max_s),
                  (uint64_t)au_clock_monotonic_ns() + writer->claim.lane);
  char name[64];
  snprintf(name, sizeof(name), "collectd aurore writer %u", writer->claim.lane);
  const au_database_config_t database = {
      .conninfo = config->options->conninfo,
      .connect_timeout_s = config->options->connect_timeout_s,
      .statement_timeout_s = config->options->statement_timeout_s,
      .stop_fd = config->abort_fd,
      .application_name = name,
      .async_commit = config->options->async_commit};
  char thread_name[16];
  snprintf(thread_name, sizeof(thread_name), "au-writer-%u",
           writer->claim.lane % 100);
  if (au_database_create(&database, &writer->database) != AU_OK ||
      au_thread_start(&writer->thread, thread_name, writer_main, writer) != 0) {
    au_writer_destroy(writer);
    return AU_NOMEM;
  }
  *out_writer = writer;
  return AU_OK;
}

bool au_writer_join(au_writer_t *writer, int64_t deadline_ns) {
  struct timespec until = au_clock_timespec(deadline_ns);
  pthread_mutex_lock(&writer->lock);
  while (!writer->has_ended && au_clock_monotonic_ns() < deadline_ns)
    pthread_cond_timedwait(&writer->ended, &writer->lock, &until);
  bool has_ended = writer->has_ended;
  pthread_mutex_unlock(&writer->lock);
  return has_ended && pthread_join(writer->thread, NULL) == 0;
}

void au_writer_destroy(au_writer_t *writer) {
  if (writer == NULL)
    return;
  au_database_destroy(writer->database);
  au_batch_fini(&writer->batch);
  au_blame_fini(&writer->blame);
  pthread_cond_destroy(&writer->ended);
  pthread_mutex_destroy(&writer->lock);
  free(writer);
}

bool au_writer_is_connected(const au_writer_t *writer) {
  return atomic_load(&writer->connected);
}
