/* SPDX-License-Identifier: MIT
 * Part of database/; calls spool/, config/, metrics/, event/, base/.
 *
 * libpq is used in its nonblocking form only; every wait is a poll of its
 * socket and of "stop". A verdict is one only when all results have been read,
 * the connection is still up, and the transaction has ended; in any other case
 * the connection is dropped and the outcome is not known. A statement that we
 * no longer wait for is ended by the server itself (statement_timeout, or its
 * look at the connection): libpq's cancel request would block.
 */
#include "database/database_private.h"

#include "base/clock.h"
#include "base/hex.h"
#include "event/row.h"
#include "metrics/metrics.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of COPY data between two looks at the socket, which is also what libpq
 * may have to keep of it. */
#define COPY_CHUNK 65536

au_status_t au_database_create(const au_database_config_t *config,
                               au_database_t **out_database) {
  au_database_t *database = calloc(1, sizeof(*database));
  if (database == NULL)
    return AU_NOMEM;
  database->conninfo = strdup(config->conninfo);
  database->application_name =
      strdup(config->application_name != NULL ? config->application_name : "");
  database->prelude = strdup("");
  if (database->conninfo == NULL || database->application_name == NULL ||
      database->prelude == NULL) {
    au_database_destroy(database);
    return AU_NOMEM;
  }
  database->connect_timeout_ns = au_clock_seconds_ns(config->connect_timeout_s);
  database->statement_timeout_ns =
      au_clock_seconds_ns(config->statement_timeout_s);
  database->stop_fd = config->stop_fd;
  database->yield_fd = au_slots_fd(config->slots);
  database->leader = config->leader;
  database->async_commit = config->async_commit;
  database->peer_fd = -1;
  database->only = -1;
  *out_database = database;
  return AU_OK;
}

void au_database_destroy(au_database_t *database) {
  if (database == NULL)
    return;
  au_database_disconnect(database);
  free(database->conninfo);
  free(database->application_name);
  free(database->prelude);
  free(database->all.host);
  free(database->all.hostaddr);
  free(database->all.port);
  free(database);
}

void au_database_disconnect(au_database_t *database) {
  if (database->is_counted)
    au_metrics_add(AU_M_POOL_IDLE, -1);
  database->is_counted = false;
  PQfinish(database->conn);
  database->conn = NULL;
}

bool au_database_is_connected(const au_database_t *database) {
  return database->conn != NULL && PQstatus(database->conn) == CONNECTION_OK;
}

int au_database_timeout_ms(int64_t timeout_ns) {
  int64_t ms = timeout_ns / AU_NS_PER_MS;
  if (ms < 1) /* 0 would mean none */
    return 1;
  return ms > INT_MAX ? INT_MAX : (int)ms;
}

void au_database_bound(au_database_t *database, int64_t deadline_ns,
                       int peer_fd) {
  database->bound_ns = deadline_ns;
  database->peer_fd = peer_fd;
}

bool au_database_is_peer_gone(int peer_fd) {
  struct pollfd fd = {.fd = peer_fd, .events = POLLRDHUP};
  return poll(&fd, 1, 0) > 0;
}

/* A socket that is closed says at first only that nothing more will come, and
 * so does one that waits for the answer: a second tells them apart. */
static bool has_peer_gone(au_database_t *database, short events) {
  if (events == 0)
    return false;
  database->peer_fd = -1;
  if (events != POLLRDHUP)
    return true;
  int64_t until_ns = au_clock_monotonic_ns() + AU_DATABASE_PEER_GRACE_NS;
  if (database->bound_ns == 0 || database->bound_ns > until_ns)
    database->bound_ns = until_ns;
  return false;
}

au_ready_t au_database_wait(au_database_t *database, short events,
                            int64_t deadline_ns, short *out_events) {
  int fd = PQsocket(database->conn);
  if (fd < 0)
    return AU_READY_LOST;
  for (;;) {
    /* A descriptor of -1 is passed over. */
    struct pollfd fds[4] = {{.fd = fd, .events = events},
                            {.fd = database->stop_fd, .events = POLLIN},
                            {.fd = database->yield_fd, .events = POLLIN},
                            {.fd = database->peer_fd, .events = POLLRDHUP}};
    int64_t until_ns = deadline_ns;
    if (database->bound_ns != 0 && database->bound_ns < deadline_ns)
      until_ns = database->bound_ns;
    int count =
        poll(fds, 4, au_clock_poll_ms(until_ns - au_clock_monotonic_ns()));
    if (count < 0 && errno != EINTR)
      return AU_READY_LOST;
    if (count > 0 && (fds[1].revents != 0 || fds[2].revents != 0))
      return AU_READY_STOP;
    if (count > 0 && has_peer_gone(database, fds[3].revents))
      return AU_READY_STOP;
    /* Also when there is something to read: an answer that never ends is as
     * late as one that never begins. */
    if (au_clock_monotonic_ns() >= until_ns)
      return AU_READY_TIMEOUT;
    if (count > 0 && fds[0].revents != 0) {
      /* An error or a hangup is found by whoever reads or writes next. */
      *out_events = events;
      if ((fds[0].revents & (POLLERR | POLLHUP | POLLNVAL)) == 0)
        *out_events = fds[0].revents;
      return AU_READY;
    }
  }
}

size_t au_result_rows(const au_result_t *result) {
  return result->pg == NULL ? 0 : (size_t)PQntuples(result->pg);
}

const char *au_result_text(const au_result_t *result, size_t row,
                           unsigned column) {
  if (row >= au_result_rows(result) ||
      column >= (unsigned)PQnfields(result->pg) ||
      PQgetisnull(result->pg, (int)row, (int)column))
    return NULL;
  return PQgetvalue(result->pg, (int)row, (int)column);
}

void au_result_fini(au_result_t *result) {
  PQclear(result->pg);
  result->pg = NULL;
}

/* One string on its way: what is sent, what came back. */
typedef struct run {
  au_database_t *database;
  int64_t timeout_ns;
  int64_t deadline_ns;
  const au_piece_t *pieces; /* for COPY ... FROM STDIN */
  size_t piece_count;
  au_row_taker_t take; /* NULL: all rows come together */
  void *context;       /* of "take" */
  bool stays_open;     /* the string leaves a transaction open */
  PGresult *rows;      /* the last that came; owned */
  bool failed;         /* "error" holds the first error */
  bool doubt;          /* there will be no verdict */
  au_database_error_t *error;
} run_t;

/* The wait has ended without an answer; AU_READY: libpq has refused, and its
 * reason is in the connection. */
static void give_up(run_t *run, au_ready_t ready) {
  run->doubt = true;
  if (!run->failed && ready == AU_READY)
    au_database_error_connect(run->error, PQerrorMessage(run->database->conn),
                              false);
  else if (!run->failed)
    au_database_error_wait(run->error, ready, run->timeout_ns);
  run->failed = true;
}

/* Waits for what comes next, and sends what is left to be sent. false: the
 * wait is over. A connection that breaks here is not the end of reading: libpq
 * keeps what the server said before it closed. */
static bool wait_for_input(run_t *run, bool *out_broken) {
  PGconn *conn = run->database->conn;
  short events = (short)(PQflush(conn) == 1 ? POLLIN | POLLOUT : POLLIN);
  au_ready_t ready =
      au_database_wait(run->database, events, run->deadline_ns, &events);
  if (ready == AU_READY_TIMEOUT || ready == AU_READY_STOP) {
    give_up(run, ready);
    return false;
  }
  *out_broken = ready == AU_READY_LOST ||
                ((events & POLLIN) != 0 && PQconsumeInput(conn) == 0);
  return true;
}

/* Reads what the server sent in the middle of a COPY. true: it has said no, or
 * is gone. Before the end it has nothing else to say, but for the warnings of a
 * trigger, and notices that it has turned on; so these are counted. Under
 * TLS what came may be of TLS itself, so there only a broken connection counts:
 * the server throws away the rest of a COPY that has failed. */
static bool has_refused(run_t *run) {
  PGconn *conn = run->database->conn;
  unsigned notices = run->database->notices;
  if (PQconsumeInput(conn) == 0)
    return true;
  PQfreemem(PQnotifies(conn)); /* reads the messages that came */
  return run->database->notices == notices && PQsslInUse(conn) == 0;
}

/* Sends what libpq holds of a COPY. false: send nothing more. */
static bool send_copied(run_t *run) {
  for (;;) {
    bool left = PQflush(run->database->conn) == 1;
    short events = POLLIN | POLLOUT;
    au_ready_t ready =
        au_database_wait(run->database, events, run->deadline_ns, &events);
    if (ready == AU_READY_TIMEOUT || ready == AU_READY_STOP)
      give_up(run, ready);
    if (ready != AU_READY)
      return false;
    if ((events & POLLIN) != 0 && has_refused(run))
      return false;
    if (!left)
      return true;
  }
}

/* Gives libpq one part of a piece. false: send nothing more. */
static bool send_part(run_t *run, const char *data, size_t size) {
  for (;;) {
    int put = PQputCopyData(run->database->conn, data, (int)size);
    if (put != 0)
      return put == 1;
    if (!send_copied(run)) /* libpq could not make room for it */
      return false;
  }
}

/* Sends all pieces. false: not all of them. */
static bool send_pieces(run_t *run) {
  size_t unflushed = 0;
  for (size_t i = 0; i < run->piece_count; i++) {
    const char *data = run->pieces[i].data;
    size_t left = run->pieces[i].size;
    while (left > 0) {
      size_t size = left < COPY_CHUNK ? left : COPY_CHUNK;
      if (!send_part(run, data, size))
        return false;
      data += size;
      left -= size;
      unflushed += size;
      if (unflushed < COPY_CHUNK)
        continue;
      if (!send_copied(run))
        return false;
      unflushed = 0;
    }
  }
  return true;
}

/* Answers the server's request for COPY data. When not all of it could be sent
 * the COPY is ended as failed, so that what was sent is never taken for the
 * whole, and libpq goes on to read what the server has to say. */
static void copy_in(run_t *run) {
  const char *reason = send_pieces(run) ? NULL : "the COPY was given up";
  while (!run->doubt) {
    int put = PQputCopyEnd(run->database->conn, reason);
    if (put == 1)
      return;
    if (put < 0)
      give_up(run, AU_READY);
    else
      (void)send_copied(run);
  }
}

/* Takes one result of the string. */
static void take_result(run_t *run, PGresult *result) {
  ExecStatusType status = PQresultStatus(result);
  if (status == PGRES_TUPLES_OK) {
    PQclear(run->rows);
    run->rows = result;
    return;
  }
  if (status == PGRES_SINGLE_TUPLE && run->take != NULL) {
    const au_result_t row = {.pg = result};
    run->take(&row, run->context);
  } else if (status == PGRES_COPY_IN) {
    copy_in(run);
  } else if (status != PGRES_COMMAND_OK && status != PGRES_EMPTY_QUERY) {
    if (!run->failed)
      au_database_error_result(run->error, result);
    run->failed = true;
    /* COPY TO and the like: nobody here reads it. */
    run->doubt = run->doubt ||
                 (status != PGRES_FATAL_ERROR && status != PGRES_BAD_RESPONSE);
  }
  PQclear(result);
}

static void read_results(run_t *run) {
  PGconn *conn = run->database->conn;
  while (!run->doubt) {
    bool broken = false;
    /* Once the connection is broken PQgetResult does not block. */
    while (!broken && PQisBusy(conn) != 0)
      if (!wait_for_input(run, &broken))
        return;
    PGresult *result = PQgetResult(conn);
    if (result == NULL)
      return;
    take_result(run, result);
  }
}

/* Begins a run; false when there is nobody to run it. */
static bool begin(run_t *run, au_database_error_t *error) {
  run->error = error;
  *error = (au_database_error_t){.fault = AU_FAULT_NONE};
  if (run->database->conn == NULL) {
    au_database_error_set(error, "not connected");
    return false;
  }
  run->deadline_ns = au_clock_monotonic_ns() + run->timeout_ns;
  struct pollfd stop = {.fd = run->database->stop_fd, .events = POLLIN};
  if (poll(&stop, 1, 0) <= 0)
    return true;
  give_up(run, AU_READY_STOP);
  au_database_disconnect(run->database);
  return false;
}

static int64_t with_grace(int64_t timeout_ns) {
  return timeout_ns + AU_DATABASE_GRACE_NS;
}

/* Undoes the transaction of several strings that has failed. */
static bool undo(au_database_t *database) {
  au_database_error_t ignored;
  run_t run = {.database = database,
               .timeout_ns = with_grace(database->statement_timeout_ns)};
  if (!begin(&run, &ignored))
    return false;
  if (PQsendQuery(database->conn, "ROLLBACK") == 0)
    give_up(&run, AU_READY);
  read_results(&run);
  PQclear(run.rows);
  return !run.doubt && !run.failed &&
         PQtransactionStatus(database->conn) == PQTRANS_IDLE;
}

/* Whether the session is where the string should have left it. */
static bool is_settled(const run_t *run) {
  PGTransactionStatusType status = PQtransactionStatus(run->database->conn);
  if (run->failed && status == PQTRANS_INERROR)
    return undo(run->database);
  return status ==
         (run->stays_open && !run->failed ? PQTRANS_INTRANS : PQTRANS_IDLE);
}

/* Committed, but who waited for the synchronous standby was told to stop: if
 * that is promoted, the transaction may never have been. A transaction that
 * commits without a warning shows that the standby has this one, too. */
static au_status_t doubt_commit(run_t *run) {
  PQclear(run->rows);
  au_database_error_set(run->error,
                        "the server has committed without its synchronous "
                        "standby: the wait for it was cancelled");
  au_database_disconnect(run->database);
  return AU_UNAVAILABLE;
}

/* What it all comes to. */
static au_status_t assess(run_t *run, au_result_t *out_result) {
  au_database_t *database = run->database;
  bool is_verdict = !run->doubt && au_database_is_connected(database) &&
                    is_settled(run) && au_database_is_connected(database);
  if (is_verdict && !run->failed && database->unreplicated)
    return doubt_commit(run);
  if (is_verdict && !run->failed && out_result != NULL)
    out_result->pg = run->rows;
  else
    PQclear(run->rows);
  if (is_verdict && !run->failed)
    return AU_OK;
  if (is_verdict && run->error->sqlstate[0] != '\0')
    return run->error->fault == AU_FAULT_FENCED ? AU_FENCED : AU_INVALID;
  if (!run->failed)
    give_up(run, AU_READY);
  /* Whatever the server said last, there is no verdict on a row. */
  run->error->fault = AU_FAULT_DATABASE;
  au_database_disconnect(database);
  return AU_UNAVAILABLE;
}

static au_status_t run_string(run_t *run, const char *sql,
                              au_result_t *out_result,
                              au_database_error_t *error) {
  if (!begin(run, error))
    return AU_UNAVAILABLE;
  if (PQsendQuery(run->database->conn, sql) == 0 ||
      (run->take != NULL && PQsetSingleRowMode(run->database->conn) == 0))
    give_up(run, AU_READY);
  read_results(run);
  return assess(run, out_result);
}

au_status_t au_database_run(au_database_t *database, const char *sql,
                            int64_t timeout_ns, au_result_t *out_result,
                            au_database_error_t *error) {
  run_t run = {.database = database, .timeout_ns = timeout_ns};
  return run_string(&run, sql, out_result, error);
}

/* Runs the string with what is put in front of it. */
static au_status_t run_with(run_t *run, const char *extra, const char *sql,
                            au_result_t *out_result,
                            au_database_error_t *error) {
  au_database_t *database = run->database;
  if (*database->prelude == '\0' && *extra == '\0')
    return run_string(run, sql, out_result, error);
  au_bytes_t whole = AU_BYTES_INIT;
  au_bytes_put_string(&whole, database->prelude);
  au_bytes_put_string(&whole, extra);
  au_bytes_put_string(&whole, sql);
  const char *text = au_database_text(&whole, error);
  au_status_t status =
      text != NULL ? run_string(run, text, out_result, error) : AU_NOMEM;
  au_bytes_fini(&whole);
  return status;
}

au_status_t au_database_exec(au_database_t *database, const char *sql,
                             au_result_t *out_result,
                             au_database_error_t *error) {
  run_t run = {.database = database,
               .timeout_ns = with_grace(database->statement_timeout_ns)};
  return run_with(&run, "", sql, out_result, error);
}

/* Runs the string with a timeout of its own. */
static au_status_t run_within(run_t *run, double timeout_s, const char *sql,
                              au_result_t *out_result,
                              au_database_error_t *error) {
  int64_t timeout_ns = au_clock_seconds_ns(timeout_s);
  char extra[64];
  (void)snprintf(extra, sizeof(extra), "SET LOCAL statement_timeout = %d; ",
                 au_database_timeout_ms(timeout_ns));
  run->timeout_ns = with_grace(timeout_ns);
  return run_with(run, extra, sql, out_result, error);
}

au_status_t au_database_exec_within(au_database_t *database, double timeout_s,
                                    const char *sql, au_result_t *out_result,
                                    au_database_error_t *error) {
  run_t run = {.database = database};
  return run_within(&run, timeout_s, sql, out_result, error);
}

au_status_t au_database_rows(au_database_t *database, double timeout_s,
                             const char *sql, au_row_taker_t take,
                             void *context, au_database_error_t *error) {
  run_t run = {.database = database, .take = take, .context = context};
  return run_within(&run, timeout_s, sql, NULL, error);
}

static au_status_t set_timeout(au_database_t *database, int64_t timeout_ns,
                               au_database_error_t *error) {
  char sql[64];
  (void)snprintf(sql, sizeof(sql), "SET statement_timeout = %d",
                 au_database_timeout_ms(timeout_ns));
  return au_database_run(
      database, sql, with_grace(database->statement_timeout_ns), NULL, error);
}

au_status_t au_database_exec_alone(au_database_t *database, double timeout_s,
                                   const char *sql,
                                   au_database_error_t *error) {
  int64_t timeout_ns = au_clock_seconds_ns(timeout_s);
  if (database->pooled)
    return au_database_run(database, sql, with_grace(timeout_ns), NULL, error);
  au_status_t status = set_timeout(database, timeout_ns, error);
  if (status != AU_OK)
    return status;
  status = au_database_run(database, sql, with_grace(timeout_ns), NULL, error);
  au_database_error_t ignored;
  /* A session that keeps the long timeout is not kept. */
  if (status != AU_UNAVAILABLE &&
      set_timeout(database, database->statement_timeout_ns, &ignored) != AU_OK)
    au_database_disconnect(database);
  return status;
}

bool au_database_is_pooled(const au_database_t *database) {
  return database->pooled;
}

au_status_t au_database_copy(au_database_t *database, const char *sql,
                             const au_piece_t *pieces, size_t count,
                             au_database_error_t *error) {
  run_t run = {.database = database,
               .timeout_ns = with_grace(database->statement_timeout_ns),
               .pieces = pieces,
               .piece_count = count};
  return run_with(&run, "", sql, NULL, error);
}

au_status_t au_database_begin(au_database_t *database, const char *sql,
                              au_result_t *out_result,
                              au_database_error_t *error) {
  run_t run = {.database = database,
               .timeout_ns = with_grace(database->statement_timeout_ns),
               .stays_open = true};
  return run_with(&run, "BEGIN;", sql, out_result, error);
}

au_status_t au_database_commit(au_database_t *database, const char *sql,
                               const au_piece_t *pieces, size_t count,
                               au_database_error_t *error) {
  run_t run = {.database = database,
               .timeout_ns = with_grace(database->statement_timeout_ns),
               .pieces = pieces,
               .piece_count = count};
  au_bytes_t whole = AU_BYTES_INIT;
  au_bytes_put_string(&whole, sql);
  au_bytes_put_string(&whole, "COMMIT;");
  const char *text = au_database_text(&whole, error);
  au_status_t status = AU_NOMEM;
  if (text != NULL)
    status = run_string(&run, text, NULL, error);
  else
    au_database_disconnect(database);
  au_bytes_fini(&whole);
  return status;
}

au_status_t au_database_roll_back(au_database_t *database,
                                  au_database_error_t *error) {
  return au_database_run(database, "ROLLBACK",
                         with_grace(database->statement_timeout_ns), NULL,
                         error);
}

void au_database_put_literal(au_bytes_t *sql, const char *text, size_t size) {
  if (memchr(text, '\0', size) != NULL) {
    sql->failed = true; /* it would end the string */
    return;
  }
  /* E'' reads a backslash the same way under every setting. */
  au_bytes_put_string(sql, memchr(text, '\\', size) != NULL ? "E'" : "'");
  for (size_t i = 0; i < size; i++) {
    if (text[i] == '\'' || text[i] == '\\')
      au_bytes_put(sql, &text[i], 1);
    au_bytes_put(sql, &text[i], 1);
  }
  au_bytes_put_string(sql, "'");
}

void au_database_put_uuid(au_bytes_t *sql, const au_uuid_t *uuid) {
  char text[AU_UUID_TEXT_SIZE];
  au_uuid_format(uuid, text);
  au_bytes_printf(sql, "'%s'", text);
}

void au_database_put_time(au_bytes_t *sql, int64_t us) {
  /* Unsigned, since a dead letter may hold any time. */
  au_bytes_printf(sql,
                  "timestamptz '2000-01-01 00:00:00+00' + "
                  "interval '1 microsecond' * (%" PRId64 ")",
                  (int64_t)((uint64_t)us - (uint64_t)AU_POSTGRES_EPOCH_US));
}

void au_database_put_bytea(au_bytes_t *sql, const void *data, size_t size) {
  au_bytes_put_string(sql, "E'\\\\x");
  uint8_t *text = size > SIZE_MAX / 2 ? NULL : au_bytes_extend(sql, size * 2);
  if (text != NULL)
    au_hex_write((char *)text, data, size);
  au_bytes_put_string(sql, "'::bytea");
}
