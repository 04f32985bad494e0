/* SPDX-License-Identifier: MIT
 *
 * check_query_pool - the pool of connections for queries, on a real server and
 * on servers that refuse or say nothing.
 */
#include "support/clients.h"

#include "base/clock.h"
#include "database/query_pool.h"
#include "metrics/metrics.h"
#include "support/suite.h"

static au_options_t options;
static au_breaker_t *breaker;
static au_slots_t *slots;
static au_query_pool_t *query;

/* One question of a test. */
typedef struct question {
  au_query_job_t job; /* first: a job is its question */
  const char *sql;
  char answer[256];
  pthread_mutex_t lock;
  pthread_cond_t changed;
  unsigned runs;
  _Atomic unsigned tellings;
  au_status_t status;
} question_t;

static au_status_t run_sql(au_query_job_t *job, au_database_t *database,
                           au_database_error_t *error) {
  question_t *question = (question_t *)job;
  au_result_t result = {NULL};
  question->runs++;
  au_status_t status =
      au_query_exec(job, database, question->sql, &result, error);
  const char *text = au_result_text(&result, 0, 0);
  snprintf(question->answer, sizeof(question->answer), "%s",
           text != NULL ? text : "");
  au_result_fini(&result);
  return status;
}

static void told(au_query_job_t *job, au_status_t status) {
  question_t *question = (question_t *)job;
  pthread_mutex_lock(&question->lock);
  question->status = status;
  question->tellings++;
  pthread_cond_signal(&question->changed);
  pthread_mutex_unlock(&question->lock);
}

static void prepare(question_t *question, const char *sql) {
  memset(question, 0, sizeof(*question));
  question->sql = sql;
  pthread_mutex_init(&question->lock, NULL);
  pthread_cond_init(&question->changed, NULL);
  question->job = (au_query_job_t){.run = run_sql,
                                   .done = told,
                                   .operation = AU_OPERATION_QUERY,
                                   .peer_fd = -1};
}

static au_status_t wait_told(question_t *question) {
  pthread_mutex_lock(&question->lock);
  while (question->tellings == 0)
    pthread_cond_wait(&question->changed, &question->lock);
  pthread_mutex_unlock(&question->lock);
  return question->status;
}

static void submit(question_t *question) {
  ck_assert_int_eq(au_query_pool_submit(query, &question->job), AU_PENDING);
}

static au_status_t ask_pool(question_t *question, const char *sql) {
  prepare(question, sql);
  submit(question);
  return wait_told(question);
}

static void start(void) {
  const au_breaker_config_t config = {
      .failures = options.breaker_failures,
      .successes = options.breaker_successes,
      .timeout_ns = au_clock_seconds_ns(options.breaker_timeout_s)};
  ck_assert_int_eq(au_breaker_create(&config, &breaker), AU_OK);
  ck_assert_int_eq(au_slots_create(&slots), AU_OK);
  ck_assert_int_eq(au_query_pool_start(&options, breaker, slots, NULL, &query),
                   AU_OK);
}

static void stop(void) {
  au_query_pool_stop(query);
  au_query_pool_destroy(query);
  au_breaker_destroy(breaker);
  au_slots_destroy(slots);
}

static void prepare_pool(void) {
  open_control();
  au_metrics_reset();
  ck_assert_int_eq(au_options_init(&options), AU_OK);
  set_conninfo(&options, getenv("AURORE_TEST_CONNINFO"));
}

static void end_pool(void) {
  stop();
  au_options_fini(&options);
  close_control();
}

/* A query without an end, which no other test program runs. */
static const char *endless(void) {
  static char sql[64];
  snprintf(sql, sizeof(sql), "SELECT pg_sleep(600) /* %ld */", (long)getpid());
  return sql;
}

/* The backends that run it. */
static const char *running_sql(const char *what) {
  static char sql[256];
  snprintf(sql, sizeof(sql),
           "SELECT %s FROM pg_stat_activity WHERE state = 'active' AND "
           "application_name = 'collectd aurore query' AND query LIKE '%%%s%%'",
           what, endless());
  return sql;
}

static void await_running(const char *count) {
  await(control, running_sql("count(*)"), count);
}

/* --- answers ------------------------------------------------------------- */

CASE("query", prepare_pool, end_pool);

TEST(a_question_is_answered) {
  start();
  question_t question;
  ck_assert_int_eq(ask_pool(&question, "SELECT 40 + 2"), AU_OK);
  ck_assert_str_eq(question.answer, "42");
  ck_assert_uint_eq(question.tellings, 1);
  ck_assert_uint_eq(au_metrics_counter(AU_M_QUERIES, AU_OPERATION_QUERY), 1);
  au_query_pool_usage_t usage = au_query_pool_usage(query);
  ck_assert_uint_eq(usage.active, 0);
  ck_assert_uint_eq(usage.idle, 1);
  ck_assert_uint_eq(usage.waiting, 0);
  ck_assert(au_metrics_gauge(AU_M_POOL_IDLE) == 1);
  ck_assert(au_metrics_gauge(AU_M_POOL_ACTIVE) == 0);
}

TEST(no_connection_is_made_before_it_is_needed) {
  start();
  ck_assert_uint_eq(au_query_pool_usage(query).idle, 0);
  ck_assert(au_metrics_gauge(AU_M_POOL_IDLE) == 0);
}

TEST(a_failed_query_is_reported_and_keeps_the_connection) {
  options.query_connections = 1;
  options.breaker_failures = 1;
  start();
  question_t question;
  ck_assert_int_eq(ask_pool(&question, "SELECT 1 / 0"), AU_INVALID);
  ck_assert_int_eq(ask_pool(&question, "SELECT no_such_column"), AU_INVALID);
  ck_assert_uint_eq(au_query_pool_usage(query).idle, 1);
  ck_assert_int_eq(ask_pool(&question, "SELECT 7"), AU_OK);
  ck_assert_int_eq(au_breaker_snapshot(breaker).state, AU_BREAKER_CLOSED);
}

TEST(a_connection_that_was_lost_is_made_again) {
  options.query_connections = 1;
  start();
  question_t question;
  ck_assert_int_eq(ask_pool(&question, "SELECT pg_backend_pid()"), AU_OK);
  long pid = atol(question.answer);
  do_sqlf(control, "SELECT pg_terminate_backend(%ld)", pid);
  await_end_of_backend(control, pid);
  ck_assert_int_eq(ask_pool(&question, "SELECT pg_backend_pid()"), AU_OK);
  ck_assert_int_ne(atol(question.answer), pid);
}

/* --- time ---------------------------------------------------------------- */

TEST(a_query_past_its_time_is_cancelled_on_the_server) {
  options.query_connections = 1;
  options.query_timeout_s = 1;
  options.breaker_failures = 1;
  start();
  question_t question;
  ck_assert_int_eq(ask_pool(&question, endless()), AU_INVALID);
  ck_assert_str_eq(ask(control, running_sql("count(*)")), "0");
  /* Slow is not broken. */
  ck_assert_int_eq(au_breaker_snapshot(breaker).state, AU_BREAKER_CLOSED);
  ck_assert_uint_eq(au_query_pool_usage(query).idle, 1);
}

TEST(the_time_of_waiting_counts) {
  options.query_connections = 1;
  start();
  question_t slow;
  prepare(&slow, endless());
  question_t late;
  prepare(&late, "SELECT 1");
  late.job.timeout_s = 0.2;
  submit(&slow);
  await_running("1");
  submit(&late);
  while (au_clock_monotonic_ns() < late.job.deadline_ns)
    poll(NULL, 0, 10);
  do_sql(control, running_sql("pg_cancel_backend(pid)"));
  ck_assert_int_eq(wait_told(&slow), AU_INVALID);
  ck_assert_int_eq(wait_told(&late), AU_UNAVAILABLE);
  ck_assert_uint_eq(late.runs, 0);
}

TEST(a_short_query_does_not_wait_for_long_ones) {
  options.query_connections = 1;
  start();
  question_t slow;
  prepare(&slow, endless());
  submit(&slow);
  await_running("1");
  question_t look;
  prepare(&look, "SELECT 5");
  look.job.lane = AU_QUERY_SHORT;
  submit(&look);
  ck_assert_int_eq(wait_told(&look), AU_OK);
  ck_assert_str_eq(look.answer, "5");
  ck_assert_uint_eq(slow.tellings, 0);
  ck_assert_uint_eq(au_query_pool_usage(query).active, 1);
  ck_assert_uint_eq(au_query_pool_usage(query).idle, 1);
  au_query_pool_stop(query);
  ck_assert_int_eq(wait_told(&slow), AU_CLOSED);
}

/* --- clients ------------------------------------------------------------- */

static void make_pair(int fds[2]) {
  ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
}

TEST(a_query_ends_when_its_client_has_gone) {
  options.query_connections = 1;
  options.breaker_failures = 1;
  start();
  int fds[2];
  make_pair(fds);
  question_t question;
  prepare(&question, endless());
  question.job.peer_fd = fds[0];
  submit(&question);
  await_running("1");
  close(fds[1]);
  ck_assert_int_eq(wait_told(&question), AU_UNAVAILABLE);
  close(fds[0]);
  await_running("0");
  ck_assert_int_eq(au_breaker_snapshot(breaker).state, AU_BREAKER_CLOSED);
  ck_assert_int_eq(ask_pool(&question, "SELECT 1"), AU_OK);
}

TEST(a_query_ends_when_its_client_sends_nothing_more_and_it_is_slow) {
  options.query_connections = 1;
  start();
  int fds[2];
  make_pair(fds);
  shutdown(fds[1], SHUT_WR);
  question_t question;
  prepare(&question, endless());
  question.job.peer_fd = fds[0];
  submit(&question);
  ck_assert_int_eq(wait_told(&question), AU_UNAVAILABLE);
  await_running("0");
  /* One that is quick is answered; the connection is there already. */
  ck_assert_int_eq(ask_pool(&question, "SELECT 5"), AU_OK);
  /* On a busy machine not every one is. */
  au_status_t status = AU_UNAVAILABLE;
  for (int i = 0; i < 20 && status != AU_OK; i++) {
    prepare(&question, "SELECT 6");
    question.job.peer_fd = fds[0];
    submit(&question);
    status = wait_told(&question);
  }
  ck_assert_int_eq(status, AU_OK);
  close(fds[0]);
  close(fds[1]);
}

/* --- bounds -------------------------------------------------------------- */

TEST(a_full_queue_refuses) {
  options.query_connections = 1;
  start();
  static question_t questions[AU_QUERY_QUEUE + 2];
  prepare(&questions[0], endless());
  submit(&questions[0]);
  await_running("1");
  for (int i = 1; i <= AU_QUERY_QUEUE; i++) {
    prepare(&questions[i], "SELECT 1");
    submit(&questions[i]);
  }
  ck_assert_uint_eq(au_query_pool_usage(query).waiting, AU_QUERY_QUEUE);
  prepare(&questions[AU_QUERY_QUEUE + 1], "SELECT 1");
  ck_assert_int_eq(
      au_query_pool_submit(query, &questions[AU_QUERY_QUEUE + 1].job), AU_FULL);
  au_query_pool_stop(query);
  for (int i = 0; i <= AU_QUERY_QUEUE; i++)
    ck_assert_int_eq(wait_told(&questions[i]), AU_CLOSED);
  ck_assert_uint_eq(questions[AU_QUERY_QUEUE + 1].tellings, 0);
  await_running("0");
}

TEST(a_closed_pool_refuses_and_finishes_what_it_has) {
  options.query_connections = 1;
  start();
  question_t running;
  prepare(&running, "SELECT pg_sleep(0.3)");
  submit(&running);
  au_query_pool_close(query);
  question_t refused_one;
  prepare(&refused_one, "SELECT 1");
  ck_assert_int_eq(au_query_pool_submit(query, &refused_one.job), AU_CLOSED);
  question_t look;
  prepare(&look, "SELECT 1");
  look.job.lane = AU_QUERY_SHORT;
  submit(&look);
  ck_assert_int_eq(wait_told(&look), AU_OK);
  ck_assert_int_eq(wait_told(&running), AU_OK);
  au_query_pool_stop(query);
  ck_assert_int_eq(au_query_pool_submit(query, &look.job), AU_CLOSED);
}

/* --- the breaker --------------------------------------------------------- */

TEST(a_database_that_is_away_opens_the_breaker) {
  char conninfo[64];
  int fd = make_socket(false, conninfo);
  set_conninfo(&options, conninfo);
  options.breaker_failures = 2;
  start();
  question_t question;
  ck_assert_int_eq(ask_pool(&question, "SELECT 1"), AU_UNAVAILABLE);
  ck_assert_int_eq(ask_pool(&question, "SELECT 1"), AU_UNAVAILABLE);
  ck_assert_uint_eq(question.runs, 0);
  ck_assert_int_eq(au_breaker_snapshot(breaker).state, AU_BREAKER_OPEN);
  prepare(&question, "SELECT 1");
  ck_assert_int_eq(au_query_pool_submit(query, &question.job), AU_UNAVAILABLE);
  ck_assert_uint_eq(question.tellings, 0);
  close(fd);
}

TEST(queries_close_a_breaker_that_was_open) {
  options.query_connections = 1;
  options.breaker_failures = 1;
  options.breaker_successes = 2;
  options.breaker_timeout_s = 0.01;
  start();
  au_permit_t permit;
  int64_t retry_ns = 0;
  ck_assert(
      au_breaker_allow(breaker, au_clock_monotonic_ns(), &permit, &retry_ns));
  au_breaker_failure(breaker, permit, au_clock_monotonic_ns(), 1, NULL);
  ck_assert_int_eq(au_breaker_snapshot(breaker).state, AU_BREAKER_OPEN);
  while (!au_breaker_may_allow(breaker, au_clock_monotonic_ns()))
    poll(NULL, 0, 1);
  question_t question;
  /* The probe is a look of its own: an error of the query does not matter. */
  ck_assert_int_eq(ask_pool(&question, "SELECT 1 / 0"), AU_INVALID);
  ck_assert_int_eq(au_breaker_snapshot(breaker).state, AU_BREAKER_HALF_OPEN);
  ck_assert_int_eq(ask_pool(&question, "SELECT 1"), AU_OK);
  ck_assert_int_eq(au_breaker_snapshot(breaker).state, AU_BREAKER_CLOSED);
}

/* Also one that runs a query that would go on for long. */
TEST(readers_give_their_connections_back_to_a_writer) {
  options.query_connections = 2;
  options.breaker_failures = 1;
  start();
  question_t question;
  question_t long_one;
  ck_assert_int_eq(ask_pool(&question, "SELECT 1"), AU_OK);
  prepare(&long_one, endless());
  submit(&long_one);
  while (au_query_pool_usage(query).active == 0)
    poll(NULL, 0, 1);
  bool is_missing = false;
  au_slots_report(slots, &is_missing, true);
  ck_assert_int_eq(wait_told(&long_one), AU_UNAVAILABLE);
  ck_assert_int_eq(ask_pool(&question, "SELECT 1"), AU_UNAVAILABLE);
  while (au_query_pool_usage(query).idle > 0)
    poll(NULL, 0, 1);
  ck_assert_int_eq(au_breaker_snapshot(breaker).state, AU_BREAKER_CLOSED);
  au_slots_report(slots, &is_missing, false);
  ck_assert_int_eq(ask_pool(&question, "SELECT 1"), AU_OK);
}

TEST(a_connection_that_breaks_counts_and_a_silent_look_does_not) {
  options.query_connections = 1;
  options.breaker_failures = 1;
  start();
  question_t question;
  prepare(&question, endless());
  question.job.lane = AU_QUERY_SHORT;
  question.job.timeout_s = 0.3;
  submit(&question);
  /* Which of the two is first, the server's timeout or ours, is chance. */
  ck_assert_int_ne(wait_told(&question), AU_OK);
  ck_assert_int_eq(au_breaker_snapshot(breaker).state, AU_BREAKER_CLOSED);
  ck_assert_int_eq(
      ask_pool(&question, "SELECT pg_terminate_backend(pg_backend_pid())"),
      AU_UNAVAILABLE);
  ck_assert_int_eq(au_breaker_snapshot(breaker).state, AU_BREAKER_OPEN);
}

/* --- the end ------------------------------------------------------------- */

TEST(a_stop_ends_a_wait_for_a_silent_server) {
  char conninfo[64];
  int fd = make_socket(true, conninfo);
  set_conninfo(&options, conninfo);
  options.connect_timeout_s = 3600;
  options.query_timeout_s = 3600;
  start();
  question_t question;
  prepare(&question, "SELECT 1");
  submit(&question);
  struct pollfd connecting = {.fd = fd, .events = POLLIN};
  ck_assert_int_eq(poll(&connecting, 1, -1), 1);
  au_query_pool_stop(query);
  ck_assert_int_eq(wait_told(&question), AU_CLOSED);
  ck_assert_int_eq(au_breaker_snapshot(breaker).failures, 0);
  close(fd);
}

int main(void) { return run_database_tests("query_pool"); }
