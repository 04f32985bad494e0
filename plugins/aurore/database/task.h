/* SPDX-License-Identifier: MIT
 * Part of database/; calls spool/, config/, metrics/, event/, base/.
 *
 * task - a thread with a connection of its own that does a piece of work now
 * and then. While the circuit breaker is not closed it leaves the database
 * alone; after work that was not done it backs off; while the slots are short
 * it has no connection. A failure never counts for the breaker: whether the
 * database stores events is for the writers to say.
 *
 * Threads: start and stop from one thread; wake from any. "run" is called on
 * the task's own thread, which is the only one that uses the database.
 */
#ifndef AURORE_DATABASE_TASK_H
#define AURORE_DATABASE_TASK_H

#include "base/status.h"
#include "config/options.h"
#include "database/breaker.h"
#include "database/database.h"
#include "database/leader.h"
#include "database/slots.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct au_task au_task_t;

typedef struct au_task_config {
  const char *thread_name;      /* at most 15 bytes */
  const char *application_name; /* as the server shows it */
  const au_options_t *options;  /* borrowed until stop */
  au_breaker_t *breaker;        /* borrowed until stop; NULL: none */
  const au_slots_t *slots;      /* the same */
  au_leader_t *leader;          /* the same */
  /* Does the work; the database may or may not be connected. true: it is done,
   * and due again "*out_wait_ns" later. false: it is to be tried again. */
  bool (*run)(void *context, au_database_t *database, int64_t *out_wait_ns);
  void *context; /* borrowed until stop */
} au_task_config_t;

/* Starts the thread, which runs at once. A database that is away is no error.
 * AU_NOMEM: nothing was started. */
AU_MUST_CHECK au_status_t au_task_start(const au_task_config_t *config,
                                        au_task_t **out_task);

/* Ends the present wait: the work is due now. */
void au_task_wake(au_task_t *task);

/* Ends every wait, those for the database included, joins the thread, closes
 * the connection and frees. NULL: nothing. */
void au_task_stop(au_task_t *task);

/* Work of a task whose trouble is logged when it begins and when it ends. */
typedef struct au_task_trouble {
  const char *recovered; /* "the business metrics are read again" */
  _Atomic bool is_on;
} au_task_trouble_t;

/* Logs a change: "could not ACTION: ..." or what has recovered. That the
 * database is away (AU_UNAVAILABLE) is not logged: the writers do that. Nor is
 * a deadlock, which is over when we hear of it. */
void au_task_report(au_task_trouble_t *trouble, const char *action,
                    au_status_t status, const au_database_error_t *error);

#endif
