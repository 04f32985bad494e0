/* SPDX-License-Identifier: MIT
 *
 * Events that are sent again are stored once: whatever batch, lane or process
 * they come in, whoever dies between the two strings of a batch, and while
 * generations of ids change places; against a real PostgreSQL.
 */
#include "base/clock.h"
#include "base/thread.h"
#include "event/name.h"
#include "metrics/metrics.h"
#include "spool/buffer.h"
#include "store/batch.h"
#include "store/blame.h"
#include "support/judge.h"
#include "support/own_database.h"
#include "support/rows.h"
#include "support/suite.h"

#define LANES 3

static au_buffer_t *buffer;
static au_claim_t claim[LANES];
static au_batch_t batch[LANES];
static au_blame_t blame[LANES];
static au_database_error_t error;

static void must(au_status_t status) {
  ck_assert_msg(status == AU_OK, "%s %s", error.sqlstate, error.message);
}

static au_lane_t *lane_of(unsigned lane) {
  return au_buffer_lane(buffer, lane);
}

/* Each lane is a host of its own. */
static void tell(unsigned lane, double window_s) {
  au_event_keys_t *keys = &batch[lane].keys;
  snprintf(keys->who, sizeof(keys->who), "host %u", lane);
  keys->window_s = window_s;
}

static void start(void) {
  au_metrics_reset();
  set_up_database();
  make_schema(1);
  const au_buffer_config_t config = {
      .lanes = LANES, .capacity = 100000, .max_bytes = 1 << 30};
  char text[256] = "";
  ck_assert_int_eq(au_buffer_open(&config, &buffer, text, sizeof(text)), AU_OK);
  for (unsigned i = 0; i < LANES; i++) {
    claim[i] = (au_claim_t){.spool_id = au_spool_id(au_lane_spool(lane_of(i))),
                            .lane = i};
    must(au_claim_make(&claim[i], database, lane_of(i), &error));
    tell(i, 86400);
  }
}

static void stop(void) {
  for (unsigned i = 0; i < LANES; i++) {
    au_blame_fini(&blame[i]);
    au_batch_fini(&batch[i]);
    batch[i] = (au_batch_t){.done = 0};
  }
  au_buffer_destroy(buffer);
  tear_down_database();
}

/* --- rows -----------------------------------------------------------------*/

static au_rows_t rows;

static au_event_t event_of(const char *text) {
  return (au_event_t){.ingested_at_us = au_clock_wall_us(),
                      .occurred_at_us = INT64_C(1732437866123456),
                      .service = {.data = "s", .size = 1},
                      .message = {.data = text, .size = strlen(text)}};
}

/* An id that goes by a number. */
static au_uuid_t id_of(unsigned number) {
  return (au_uuid_t){
      .byte = {1, [6] = 0x40, [8] = 0x80, [14] = (uint8_t)(number >> 8),
               [15] = (uint8_t)number}};
}

static void put_plain(const char *text) {
  au_event_t event = event_of(text);
  event.id = au_uuid_v7();
  ck_assert_int_eq(au_rows_append(&rows, &event), AU_OK);
}

static void put_own_id(unsigned number, const char *text) {
  au_event_t event = event_of(text);
  event.id = id_of(number);
  ck_assert_int_eq(au_rows_append_identified(&rows, &event), AU_OK);
}

/* The events "from" to the one before "to" of the request that goes by
 * "request" (a letter). */
static void put_request(char request, unsigned from, unsigned to) {
  const au_uuid_t name = {.byte = {(uint8_t)request, [6] = 0x80, [8] = 0x80}};
  for (unsigned i = from; i < to; i++) {
    char text[32];
    snprintf(text, sizeof(text), "%c %u", request, i);
    au_event_t event = event_of(text);
    event.id = au_name_number(&name, i);
    ck_assert_int_eq(au_rows_append_numbered(&rows, &event, i), AU_OK);
  }
}

/* What was put waits in the lane. */
static void send_to(unsigned lane) {
  au_waiter_t waiter = {.done = never_done};
  ck_assert_int_eq(
      au_spool_append(au_lane_spool(lane_of(lane)), &rows, &waiter), AU_OK);
  au_rows_fini(&rows);
}

static void take(unsigned lane, size_t max_rows) {
  au_blame_begin(&blame[lane]);
  must(au_batch_take(&batch[lane], lane_of(lane), max_rows, 8 << 20));
}

static au_status_t store_range(unsigned lane) {
  return au_batch_store(&batch[lane], database, &claim[lane], &error);
}

/* false: nothing of it can be stored now. */
static bool judge_lane(unsigned lane) {
  return judge(&blame[lane], &batch[lane], lane_of(lane), database,
               &claim[lane], &error, NULL);
}

/* All that waits in the lane, or "max_rows" of it; returns the transactions. */
static unsigned store_some(unsigned lane, size_t max_rows) {
  unsigned transactions = 0;
  take(lane, max_rows);
  while (!au_batch_is_done(&batch[lane])) {
    if (store_range(lane) == AU_OK) {
      transactions++;
      au_blame_stored(&blame[lane], &batch[lane]);
      continue;
    }
    ck_assert_msg(error.fault == AU_FAULT_ROW, "%s %s", error.sqlstate,
                  error.message);
    ck_assert(judge_lane(lane));
  }
  au_lane_commit(lane_of(lane), au_batch_position(&batch[lane]));
  return transactions;
}

static unsigned store(unsigned lane) { return store_some(lane, 10000); }

/* --- what must be there ---------------------------------------------------*/

static uint64_t duplicates(void) {
  return au_metrics_counter(AU_M_EVENTS_DUPLICATE, 0);
}

static void assert_stored(long events) {
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.event"), events);
  ck_assert_int_eq(number("SELECT count(DISTINCT message) FROM aurore.event"),
                   events);
  ck_assert_int_eq(number("SELECT coalesce(sum(n), 0) FROM aurore.event_count"),
                   events);
}

/* accepted = stored + dead lettered + duplicates + buffered. */
static void assert_balance(void) {
  uint64_t waiting = 0;
  for (unsigned i = 0; i < LANES; i++)
    waiting += au_lane_waiting(lane_of(i));
  ck_assert_uint_eq(au_metrics_counter(AU_M_EVENTS_ENQUEUED, 0),
                    au_metrics_counter(AU_M_EVENTS_PROCESSED, 0) +
                        au_metrics_counter(AU_M_DEAD_LETTERS, 0) +
                        duplicates() + waiting);
}

CASE("event_keys", start, stop);

TEST(an_id_that_comes_again_is_stored_once) {
  put_own_id(1, "one");
  put_own_id(2, "two");
  put_own_id(1, "other content");
  send_to(0);
  ck_assert_uint_eq(store(0), 1); /* twice in one batch: the first stands */
  ck_assert_str_eq(ask(database, "SELECT string_agg(message, ' ' ORDER BY "
                                 "event_id) FROM aurore.event"),
                   "one two");
  put_own_id(2, "two");
  put_own_id(3, "three");
  send_to(0);
  ck_assert_uint_eq(store(0), 1); /* and in the next one */
  put_own_id(3, "three");
  put_own_id(1, "one");
  send_to(1);
  ck_assert_uint_eq(store(1), 1); /* and through another host */
  ck_assert_uint_eq(duplicates(), 4);
  assert_stored(3);
  assert_balance();
}

TEST(a_request_that_comes_again_is_stored_once) {
  put_request('a', 0, 100);
  send_to(0);
  put_request('a', 0, 100);
  send_to(0);
  put_request('b', 0, 100);
  send_to(0);
  ck_assert_uint_eq(store(0), 1);
  put_request('a', 0, 100);
  send_to(1);
  ck_assert_uint_eq(store(1), 1);
  ck_assert_uint_eq(duplicates(), 200);
  assert_stored(200);
  assert_balance();
  /* One row a request. */
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.event_key"), 2);
}

/* Whatever of it each batch holds. */
TEST_EACH(a_request_is_stored_once_in_any_pieces, 12) {
  size_t piece = (size_t)_i + 1;
  for (unsigned i = 0; i < LANES; i++) {
    put_plain(i == 0 ? "p" : i == 1 ? "q" : "r");
    put_request('a', 0, 4);
    put_own_id(1, "own"); /* numbers 4 and 5 were refused */
    put_request('a', 6, 10);
    send_to(i);
  }
  while (au_lane_waiting(lane_of(0)) + au_lane_waiting(lane_of(1)) +
             au_lane_waiting(lane_of(2)) >
         0)
    for (unsigned i = 0; i < LANES; i++)
      store_some(i, piece + i);
  assert_stored(3 + 8 + 1);
  ck_assert_uint_eq(duplicates(), 2 * 9);
  assert_balance();
}

TEST(events_without_a_name_stay_as_they_are) {
  put_plain("x");
  put_plain("y");
  send_to(0);
  ck_assert_uint_eq(store(0), 1);
  assert_stored(2);
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.event_key_wish"), 0);
}

/* Between named ones, too; and pieces of the COPY are what they should be. */
TEST(rows_of_all_kinds_are_beside_each_other) {
  for (int i = 0; i < 2; i++) {
    put_plain(i == 0 ? "x1" : "x2");
    put_own_id(1, "own");
    put_plain(i == 0 ? "y1" : "y2");
    put_request('a', 0, 2);
    put_plain(i == 0 ? "z1" : "z2");
    send_to(0);
  }
  ck_assert_uint_eq(store(0), 1);
  assert_stored(9);
  ck_assert_uint_eq(duplicates(), 3);
  assert_balance();
}

/* A batch of nothing else is stored, too: the lane gets on. */
TEST(all_may_be_duplicates) {
  put_request('a', 0, 10);
  send_to(0);
  store(0);
  put_request('a', 0, 10);
  send_to(1);
  ck_assert_uint_eq(store(1), 1);
  ck_assert_uint_eq(au_lane_waiting(lane_of(1)), 0);
  ck_assert_int_eq(number("SELECT next_seq FROM aurore.lane WHERE lane = 1"),
                   11);
  assert_stored(10);
  assert_balance();
}

/* Equal events under other names are other events. */
TEST(what_differs_is_never_a_duplicate) {
  for (unsigned i = 0; i < 300; i++)
    put_own_id(i, "the same");
  send_to(0);
  ck_assert_uint_eq(store(0), 1);
  put_request('a', 0, 10);
  put_request('b', 0, 10);
  put_request('a', 10, 20);
  send_to(0);
  ck_assert_uint_eq(store(0), 1);
  ck_assert_uint_eq(duplicates(), 0);
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.event"), 330);
}

/* --- bad rows -------------------------------------------------------------*/

static void refuse_poison(void) {
  do_sql(database, "ALTER TABLE aurore.event ADD CONSTRAINT no_poison "
                   "CHECK (message NOT LIKE 'poison%' AND message <> 'a 3')");
}

/* Among good ones and duplicates, and in a request. */
TEST(a_dead_letter_counts_as_seen) {
  refuse_poison();
  put_own_id(1, "good");
  put_own_id(2, "poison");
  put_request('a', 0, 6);
  send_to(0);
  store(0);
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.dead_letter"), 2);
  assert_stored(6);
  /* The same again, with new ones between; what is wrong with them is gone. */
  do_sql(database, "ALTER TABLE aurore.event DROP CONSTRAINT no_poison");
  put_own_id(2, "poison");
  put_own_id(3, "new");
  put_request('a', 0, 6);
  put_own_id(1, "good");
  send_to(1);
  ck_assert_uint_eq(store(1), 1);
  assert_stored(7);
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.dead_letter"), 2);
  ck_assert_uint_eq(duplicates(), 8);
  assert_balance();
}

/* Duplicates are no witnesses and no suspects: the bad row is found among
 * them. */
TEST(a_bad_row_among_duplicates_is_set_aside_alone) {
  for (unsigned i = 0; i < 40; i += 2)
    put_own_id(i, "before");
  send_to(0);
  store(0);
  refuse_poison();
  for (unsigned i = 0; i < 40; i++)
    put_own_id(i, i == 21 ? "poison" : "after");
  send_to(0);
  store(0);
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.dead_letter"), 1);
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.event"), 39);
  ck_assert_uint_eq(duplicates(), 20);
  assert_balance();
}

/* Another host was faster between the two attempts: its event stands, and there
 * is no dead letter. */
TEST(a_bad_row_may_become_a_duplicate) {
  refuse_poison();
  put_own_id(1, "poison");
  send_to(0);
  take(0, 10);
  ck_assert_int_ne(store_range(0), AU_OK);
  ck_assert(judge_lane(0));
  put_own_id(1, "good");
  send_to(1);
  store(1);
  must(store_range(0));
  ck_assert(au_batch_is_done(&batch[0]));
  au_lane_commit(lane_of(0), au_batch_position(&batch[0]));
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.dead_letter"), 0);
  assert_stored(1);
  ck_assert_uint_eq(duplicates(), 1);
  assert_balance();
}

/* --- doubt ----------------------------------------------------------------*/

typedef struct attempt {
  unsigned lane;
  au_database_t *database; /* its own connection */
  au_database_error_t error;
  au_status_t status;
  pthread_t thread;
} attempt_t;

static void *attempt_main(void *argument) {
  attempt_t *attempt = argument;
  attempt->status = au_batch_store(&batch[attempt->lane], attempt->database,
                                   &claim[attempt->lane], &attempt->error);
  return NULL;
}

/* Stores the lane's next range in another thread and session. */
static attempt_t begin_attempt(unsigned lane) {
  attempt_t attempt = {.lane = lane};
  const au_database_config_t config = {.conninfo = own_conninfo,
                                       .connect_timeout_s = 10,
                                       .statement_timeout_s = 60,
                                       .stop_fd = -1,
                                       .application_name = "attempt"};
  ck_assert_int_eq(au_database_create(&config, &attempt.database), AU_OK);
  must(au_database_connect(attempt.database, &error));
  return attempt;
}

static void start_attempt(attempt_t *attempt) {
  ck_assert_int_eq(
      au_thread_start(&attempt->thread, "attempt", attempt_main, attempt), 0);
}

static au_status_t end_attempt(attempt_t *attempt) {
  pthread_join(attempt->thread, NULL);
  au_database_destroy(attempt->database);
  return attempt->status;
}

/* After a lost connection: what the database says. */
static void settle(unsigned lane) {
  must(au_claim_make(&claim[lane], database, lane_of(lane), &error));
  au_batch_settle(&batch[lane], claim[lane].next_seq);
  au_lane_commit(lane_of(lane), au_batch_position(&batch[lane]));
}

static void store_once_with_a_duplicate(void) {
  put_own_id(1, "one");
  send_to(0);
  store(0);
  put_own_id(1, "one");
  put_own_id(2, "two");
  put_request('a', 0, 3);
  send_to(1);
  take(1, 100);
}

/* The session ends at each step: in the first string, between the two (the COPY
 * of the second waits for a lock), and at the end of the second. */
TEST_EACH(a_session_that_ends_leaves_nothing_behind, 3) {
  static const char *const waits_for[] = {
      "LOCK TABLE aurore.event_key IN SHARE MODE",
      "LOCK TABLE aurore.event IN SHARE MODE",
      "LOCK TABLE aurore.event_count IN SHARE MODE"};
  store_once_with_a_duplicate();
  PGconn *holder = hold(waits_for[_i]);
  attempt_t attempt = begin_attempt(1);
  start_attempt(&attempt);
  await_lock();
  end_sessions("attempt");
  ck_assert_int_eq(end_attempt(&attempt), AU_UNAVAILABLE);
  commit(holder);
  settle(1);
  ck_assert(!au_batch_is_done(&batch[1]));
  ck_assert_uint_eq(duplicates(), 0);
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.event_key"), 1);
  must(store_range(1));
  au_lane_commit(lane_of(1), au_batch_position(&batch[1]));
  assert_stored(5);
  ck_assert_uint_eq(duplicates(), 1);
  assert_balance();
}

/* The answer to COMMIT is lost: how many were duplicates is known all the
 * same. */
TEST(a_commit_without_an_answer_is_counted_exactly) {
  store_once_with_a_duplicate();
  au_batch_t copy = batch[1];
  must(store_range(1));
  uint64_t processed = au_metrics_counter(AU_M_EVENTS_PROCESSED, 0);
  ck_assert_uint_eq(duplicates(), 1);
  /* As before the answer: the keys say what the attempt has learnt. */
  batch[1].done = copy.done;
  batch[1].hi = 5;
  batch[1].keys.duplicates = 1;
  settle(1);
  ck_assert(au_batch_is_done(&batch[1]));
  ck_assert_uint_eq(duplicates(), 2);
  ck_assert_uint_eq(au_metrics_counter(AU_M_EVENTS_PROCESSED, 0),
                    processed + 4);
  assert_stored(5);
}

/* A refusal in the second string: the first is undone, too. */
TEST(what_was_refused_is_not_known) {
  refuse_poison();
  put_own_id(7, "poison");
  send_to(0);
  take(0, 10);
  ck_assert_int_eq(store_range(0), AU_INVALID);
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.event_key"), 0);
  put_own_id(7, "good");
  send_to(1);
  ck_assert_uint_eq(store(1), 1);
  assert_stored(1);
}

/* The end of the present generation has come, that many seconds ago. */
static void pass(double seconds) {
  do_sqlf(database,
          "UPDATE aurore.event_key_generation SET began_at = began_at - "
          "(ends_at - now()) - interval '%f s', ends_at = now() - "
          "interval '%f s'",
          seconds, seconds);
}

/* --- at the same time -----------------------------------------------------*/

/* Two hosts have the same request; the first has not committed. */
TEST_EACH(who_comes_second_waits_for_the_first, 2) {
  put_own_id(0, "makes the generation");
  send_to(2);
  store(2);
  put_request('a', 0, 3);
  send_to(1);
  take(1, 10);
  PGconn *holder = hold("INSERT INTO aurore.event_key (name, stored, before) "
                        "SELECT '61000000-0000-8000-8000-000000000000', 2, 0");
  attempt_t attempt = begin_attempt(1);
  start_attempt(&attempt);
  await_lock();
  if (_i == 0)
    commit(holder);
  else
    PQfinish(holder); /* dies; nothing of it stays */
  ck_assert_int_eq(end_attempt(&attempt), AU_OK);
  ck_assert_uint_eq(duplicates(), _i == 0 ? 2 : 0);
  assert_stored(1 + (_i == 0 ? 1 : 3));
}

/* A name is taken by somebody else after it was looked up; others of the batch
 * are known, of this generation or the one before, and stay so. Meanwhile no
 * generation begins. */
TEST_EACH(a_name_that_is_taken_meanwhile_changes_no_other, 2) {
  put_own_id(1, "of the generation before");
  put_request('a', 0, 2);
  send_to(0);
  store(0);
  pass(0);
  put_own_id(2, "of this one");
  send_to(0);
  store(0);
  for (unsigned i = 1; i <= 4; i++)
    put_own_id(i, i == 1   ? "again"
                  : i == 2 ? "again, too"
                  : i == 3 ? "c"
                           : "d");
  put_request('a', 0, 4);
  send_to(1);
  take(1, 10);
  PGconn *holder = hold("INSERT INTO aurore.event_key (name, stored, before) "
                        "SELECT '01000000-0000-4000-8000-000000000003', 1, 0");
  attempt_t attempt = begin_attempt(1);
  start_attempt(&attempt);
  await_lock();
  pass(0);
  bool is_turned = true;
  must(au_event_keys_turn(&batch[0].keys, database, &is_turned, &error));
  ck_assert(!is_turned);
  if (_i == 0)
    commit(holder);
  else
    PQfinish(holder);
  ck_assert_int_eq(end_attempt(&attempt), AU_OK);
  au_lane_commit(lane_of(1), au_batch_position(&batch[1]));
  ck_assert_uint_eq(duplicates(), _i == 0 ? 5 : 4);
  assert_stored(4 + (_i == 0 ? 3 : 4));
  /* "again" is not put into this generation: it would be known for longer. */
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.event_key"), 4);
  assert_balance();
}

/* Who waits for a name in vain begins anew: those who have waited for what he
 * had taken by then go first. */
TEST(who_begins_anew_holds_nobody_up) {
  put_own_id(0, "makes the generation");
  send_to(0);
  store(0);
  put_own_id(1, "a");
  put_own_id(5, "b");
  send_to(1);
  take(1, 10);
  put_own_id(1, "a");
  send_to(2);
  take(2, 10);
  PGconn *holder = hold("INSERT INTO aurore.event_key (name, stored, before) "
                        "SELECT '01000000-0000-4000-8000-000000000005', 1, 0");
  attempt_t first = begin_attempt(1);
  attempt_t second = begin_attempt(2);
  start_attempt(&first);
  await_lock();
  start_attempt(&second);
  await(database,
        "SELECT count(*) FROM pg_stat_activity WHERE datname = "
        "current_database() AND wait_event_type = 'Lock'",
        "2");
  commit(holder);
  ck_assert_int_eq(end_attempt(&first), AU_OK);
  ck_assert_int_eq(end_attempt(&second), AU_OK);
  ck_assert_uint_eq(duplicates(), 2);
  assert_stored(2);
}

#define RACERS LANES
#define RACES 60

/* What a lane has in a race: ids of which half were there in the race before;
 * more or less of a request; and of that of the race before, one of them more
 * than anybody had. */
static void put_race(unsigned lane, unsigned race) {
  for (unsigned n = 0; n < 40; n++) {
    char text[32];
    unsigned own = 100 + race * 20 + (n * (2 * lane + 1) + 7 * lane) % 40;
    snprintf(text, sizeof(text), "race %u", own);
    put_own_id(own, text);
  }
  put_request((char)('0' + race), 0, 2 + lane);
  if (race > 0)
    put_request((char)('0' + race - 1), 0, lane == 0 ? 6 : 3);
}

/* Each lane has the same names in another order; they never wait for each other
 * in a circle, and each event is stored once. */
TEST(no_two_batches_wait_for_each_other) {
  for (unsigned race = 0; race < RACES; race++) {
    attempt_t attempt[RACERS];
    for (unsigned i = 0; i < RACERS; i++) {
      put_race(i, race);
      send_to(i);
      take(i, 100);
    }
    if (race == 0) {
      bool is_turned = false;
      for (unsigned i = 0; i < RACERS; i++)
        must(au_event_keys_turn(&batch[i].keys, database, &is_turned, &error));
    }
    for (unsigned i = 0; i < RACERS; i++)
      attempt[i] = begin_attempt(i);
    for (unsigned i = 0; i < RACERS; i++)
      start_attempt(&attempt[i]);
    for (unsigned i = 0; i < RACERS; i++) {
      au_status_t status = end_attempt(&attempt[i]);
      ck_assert_msg(status == AU_OK, "%s %s", attempt[i].error.sqlstate,
                    attempt[i].error.message);
      au_lane_commit(lane_of(i), au_batch_position(&batch[i]));
    }
  }
  assert_stored(RACES * 20 + 20 + RACES * 6 - 2);
  assert_balance();
}

/* --- generations ----------------------------------------------------------*/

static void send_and_store(unsigned lane, unsigned id, const char *text) {
  put_own_id(id, text);
  send_to(lane);
  ck_assert_uint_eq(store(lane), 1);
}

TEST(an_id_is_known_for_one_window_and_not_for_more_than_two) {
  send_and_store(0, 1, "first");
  pass(0);
  send_and_store(0, 2, "of the second generation");
  send_and_store(1, 1, "first, again"); /* and not known for longer by this */
  ck_assert_uint_eq(duplicates(), 1);
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.event_key"), 1);
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.event_key_before"), 1);
  pass(0);
  send_and_store(0, 1, "first, forgotten");
  ck_assert_uint_eq(duplicates(), 1);
  send_and_store(0, 2, "known");
  ck_assert_uint_eq(duplicates(), 2);
  assert_stored(3);
}

/* A generation begins where the last one has ended, however late that was
 * noticed. */
TEST(generations_follow_each_other) {
  send_and_store(0, 1, "a");
  pass(1000);
  send_and_store(0, 1, "a");
  ck_assert_uint_eq(duplicates(), 1);
  ck_assert_int_eq(
      number("SELECT count(*) FROM aurore.event_key_generation WHERE ends_at - "
             "began_at = interval '86400 s' AND now() - began_at "
             "BETWEEN interval '1000 s' AND interval '1500 s'"),
      1);
  /* Nobody was there for more than one. */
  pass(86401);
  send_and_store(0, 1, "a, forgotten");
  ck_assert_uint_eq(duplicates(), 1);
}

TEST(a_request_may_be_in_two_generations) {
  put_request('a', 0, 4);
  send_to(0);
  store(0);
  pass(0);
  put_request('a', 0, 6);
  send_to(1);
  store(1);
  ck_assert_uint_eq(duplicates(), 4);
  put_request('a', 0, 6);
  send_to(2);
  store(2);
  ck_assert_uint_eq(duplicates(), 10);
  assert_stored(6);
}

/* Somebody reads one of the tables (a backup, say). */
TEST(tables_that_are_in_use_hold_nobody_up) {
  send_and_store(0, 1, "a");
  PGconn *reader = hold("SELECT count(*) FROM aurore.event_key_before");
  pass(1000);
  send_and_store(0, 2, "b");
  send_and_store(1, 1, "a");
  send_and_store(1, 2, "b");
  ck_assert_uint_eq(duplicates(), 2);
  ck_assert_int_eq(
      number("SELECT count(*) FROM aurore.event_key_generation WHERE is_late"),
      1);
  commit(reader);
  bool is_turned = false;
  must(au_event_keys_turn(&batch[0].keys, database, &is_turned, &error));
  ck_assert(is_turned);
  /* What came late is known for a window from now on. */
  ck_assert_int_eq(
      number("SELECT count(*) FROM aurore.event_key_generation WHERE NOT "
             "is_late AND ends_at > now() + interval '86000 s'"),
      1);
  send_and_store(0, 1, "a");
  send_and_store(0, 2, "b");
  ck_assert_uint_eq(duplicates(), 4);
  assert_stored(2);
}

/* A batch is on its way while somebody turns: it waits, and is not torn. */
TEST(a_turn_waits_for_the_batches) {
  send_and_store(0, 1, "a");
  pass(0);
  PGconn *holder = hold("LOCK TABLE aurore.event IN SHARE MODE");
  put_own_id(2, "b");
  send_to(0);
  take(0, 10);
  attempt_t attempt = begin_attempt(0);
  start_attempt(&attempt);
  await_lock(); /* its COPY; it was the one who has turned */
  pass(0);
  bool is_turned = true;
  must(au_event_keys_turn(&batch[1].keys, database, &is_turned, &error));
  ck_assert(!is_turned);
  commit(holder);
  ck_assert_int_eq(end_attempt(&attempt), AU_OK);
  au_lane_commit(lane_of(0), au_batch_position(&batch[0]));
  must(au_event_keys_turn(&batch[1].keys, database, &is_turned, &error));
  ck_assert(is_turned);
  send_and_store(1, 2, "b");
  ck_assert_uint_eq(duplicates(), 1);
}

TEST(a_clock_that_was_ahead_is_forgiven) {
  send_and_store(0, 1, "a");
  do_sql(database, "UPDATE aurore.event_key_generation SET began_at = now() + "
                   "interval '1 year', ends_at = now() + interval '366 days'");
  bool is_turned = false;
  must(au_event_keys_turn(&batch[0].keys, database, &is_turned, &error));
  ck_assert_int_eq(
      number("SELECT count(*) FROM aurore.event_key_generation WHERE ends_at "
             "<= now() + interval '86400 s' AND began_at <= now()"),
      1);
  send_and_store(0, 1, "a");
  ck_assert_uint_eq(duplicates(), 1);
}

/* A role that may store, but owns nothing, as it was given its rights before
 * this release: the migration is made again under its eyes. */
TEST(who_may_store_may_look_up) {
  do_sqlf(database,
          "CREATE ROLE %s LOGIN; GRANT EXECUTE ON FUNCTION "
          "aurore.ensure_partitions(date, date) TO %s",
          own_role, own_role);
  do_sql(database,
         "DROP FUNCTION aurore.turn_event_keys(text, interval), "
         "aurore.event_key_end(timestamptz), "
         "aurore.take_event_keys(uuid[], integer[], text, interval, boolean);"
         "DROP TABLE aurore.event_key, aurore.event_key_before, "
         "aurore.event_key_wish, aurore.event_key_generation;"
         "DELETE FROM aurore.schema_addition WHERE name LIKE '017%' OR name "
         "LIKE '018%'");
  migrate(database);
  ck_assert_int_eq(
      number("SELECT count(*) FROM pg_proc AS p CROSS JOIN LATERAL "
             "aclexplode(p.proacl) AS a WHERE p.proname IN "
             "('take_event_keys', 'turn_event_keys') AND a.grantee IN "
             "(SELECT oid FROM pg_roles WHERE NOT rolsuper)"),
      2);
  send_and_store(0, 1, "a");
  send_and_store(0, 1, "a");
  ck_assert_uint_eq(duplicates(), 1);
}

/* --- whose window ---------------------------------------------------------*/

TEST(without_a_window_nothing_is_compared) {
  tell(0, 0);
  tell(1, 0);
  send_and_store(0, 1, "a");
  send_and_store(1, 1, "a again");
  put_own_id(1, "and again");
  put_own_id(1, "and again, in the same batch");
  send_to(0);
  ck_assert_uint_eq(store(0), 1);
  ck_assert_uint_eq(duplicates(), 0);
  assert_stored(4);
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.event_key"), 0);
}

TEST(the_largest_window_counts_for_all) {
  tell(0, 0);
  tell(1, 600);
  send_and_store(1, 1, "a");
  send_and_store(0, 1, "a");
  ck_assert_uint_eq(duplicates(), 1);
  tell(2, 5000);
  send_and_store(2, 2, "b");
  ck_assert_int_eq(number("SELECT extract(epoch FROM ends_at - began_at) "
                          "FROM aurore.event_key_generation"),
                   5000);
  /* One that is not heard any more has no say. */
  do_sql(database, "UPDATE aurore.event_key_wish SET told_at = now() - "
                   "interval '31 days' WHERE who = 'host 2'");
  bool is_turned = false;
  must(au_event_keys_turn(&batch[1].keys, database, &is_turned, &error));
  ck_assert_int_eq(number("SELECT extract(epoch FROM ends_at - began_at) "
                          "FROM aurore.event_key_generation"),
                   600);
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.event_key_wish"), 2);
}

/* DedupWindow is less than it was: what is known stays known for the new one.
 */
TEST(a_window_may_become_smaller) {
  send_and_store(0, 1, "a");
  do_sql(database, "UPDATE aurore.event_key_generation SET began_at = now() - "
                   "interval '5000 s', ends_at = now() + interval '81400 s'");
  tell(0, 60);
  bool is_turned = false;
  must(au_event_keys_turn(&batch[0].keys, database, &is_turned, &error));
  send_and_store(0, 1, "a");
  ck_assert_uint_eq(duplicates(), 1);
  pass(0);
  send_and_store(0, 1, "a, forgotten");
  ck_assert_uint_eq(duplicates(), 1);
  /* And none at all: what was known is gone. */
  tell(0, 0);
  must(au_event_keys_turn(&batch[0].keys, database, &is_turned, &error));
  ck_assert_int_eq(number("SELECT count(*) FROM (TABLE aurore.event_key UNION "
                          "ALL TABLE aurore.event_key_before) AS k"),
                   0);
  send_and_store(0, 1, "a, not compared");
  ck_assert_uint_eq(duplicates(), 1);
}

/* A named row is not at fault when names cannot be looked up: neither it nor a
 * neighbour is set aside, and unnamed rows bear no witness against it. */
TEST(names_that_cannot_be_looked_up_blame_no_row) {
  put_own_id(1, "named");
  put_plain("plain");
  put_request('a', 0, 2);
  send_to(0);
  do_sql(database, "ALTER TABLE aurore.event_key_generation RENAME TO gone");
  take(0, 10);
  for (int i = 0; i < 3; i++) {
    ck_assert_int_eq(store_range(0), AU_INVALID);
    ck_assert_str_eq(error.sqlstate, "42P01");
    ck_assert(!judge_lane(0));
  }
  do_sql(database, "ALTER TABLE aurore.gone RENAME TO event_key_generation");
  must(store_range(0));
  au_lane_commit(lane_of(0), au_batch_position(&batch[0]));
  assert_stored(4);
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.dead_letter"), 0);
  assert_balance();
}

/* --- what the database must not say ---------------------------------------*/

TEST_EACH(an_unexpected_answer_is_an_error, 6) {
  static const char *const bodies[] = {"SELECT 2, 1",
                                       "SELECT -1, 1",
                                       "SELECT 1, -1",
                                       "SELECT 0, 0",
                                       "SELECT NULL::integer, 1",
                                       "SELECT 1, NULL::integer"};
  do_sqlf(database,
          "CREATE OR REPLACE FUNCTION aurore.take_event_keys(p_names uuid[], "
          "p_counts integer[], p_who text, p_window interval, p_anyway "
          "boolean) RETURNS TABLE (item integer, stored integer) LANGUAGE sql "
          "AS '%s'",
          bodies[_i]);
  put_own_id(1, "a");
  send_to(0);
  take(0, 10);
  ck_assert_int_eq(store_range(0), AU_INVALID);
  ck_assert_int_eq(error.fault, AU_FAULT_DATABASE);
  ck_assert_ptr_nonnull(
      strstr(error.message, "unexpected result of aurore.take_event_keys"));
  assert_stored(0);
}

int main(void) { return run_database_tests("event_keys"); }
