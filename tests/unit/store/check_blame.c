/* SPDX-License-Identifier: MIT
 *
 * Whose fault a refusal is: every class of SQLSTATE, raised by the real things,
 * for one row, for all rows, and for a while. Against a real PostgreSQL.
 */
#include "base/clock.h"
#include "metrics/metrics.h"
#include "spool/buffer.h"
#include "store/batch.h"
#include "support/judge.h"
#include "support/own_database.h"
#include "support/rows.h"

#include <inttypes.h>
#include <stdarg.h>

static au_buffer_t *buffer;
static au_lane_t *lane;
static au_batch_t batch;
static au_blame_t blame;
static au_claim_t claim;
static au_database_error_t error;
static unsigned attempts; /* transactions that were sent, but for look-ups */
static unsigned commits;

AU_PRINTF(1, 2) static const char *format(const char *pattern, ...) {
  static char text[512];
  va_list arguments;
  va_start(arguments, pattern);
  vsnprintf(text, sizeof(text), pattern, arguments);
  va_end(arguments);
  return text;
}

static void set_up(void) {
  au_metrics_reset();
  set_up_database();
  make_schema(1);
  char text[256] = "";
  const au_buffer_config_t config = {
      .lanes = 1, .capacity = 100000, .max_bytes = 1 << 30};
  ck_assert_int_eq(au_buffer_open(&config, &buffer, text, sizeof(text)), AU_OK);
  lane = au_buffer_lane(buffer, 0);
  claim = (au_claim_t){.spool_id = au_spool_id(au_lane_spool(lane))};
  au_status_t status = au_claim_make(&claim, database, lane, &error);
  ck_assert_done(status, error);
  attempts = commits = 0;
}

static void tear_down(void) {
  au_batch_fini(&batch);
  au_blame_fini(&blame);
  au_buffer_destroy(buffer);
  tear_down_database();
}

/* The n-th event from "from" on has the message "<text> <number>". */
static void append(unsigned from, unsigned count, const char *service,
                   const char *text) {
  au_rows_t rows = {.count = 0};
  au_waiter_t waiter = {.done = never_done};
  for (unsigned i = from; i < from + count; i++)
    put_event(&rows, au_clock_wall_us(), service, text, i);
  ck_assert_int_eq(au_buffer_append(buffer, &rows, &waiter), AU_OK);
  au_rows_fini(&rows);
}

static void take(size_t rows) {
  ck_assert_int_eq(au_batch_take(&batch, lane, rows, 8 << 20), AU_OK);
  au_blame_begin(&blame);
}

/* One attempt, and what follows from it. true: there is something to do at
 * once; false: it is to be waited. */
static bool go_on(void) {
  attempts++;
  au_status_t status = au_batch_store(&batch, database, &claim, &error);
  if (status == AU_OK) {
    commits++;
    au_blame_stored(&blame, &batch);
    au_lane_commit(lane, au_batch_position(&batch));
    return true;
  }
  ck_assert_int_ne(status, AU_UNAVAILABLE);
  if (error.fault == AU_FAULT_DATABASE) {
    au_blame_interrupt(&blame);
    return false;
  }
  ck_assert_int_ne(error.fault, AU_FAULT_FENCED);
  return judge(&blame, &batch, lane, database, &claim, &error, &attempts);
}

/* Stores all that waits, a batch of "rows" at most at a time, as the writer
 * does; returns how often it would have waited, at most "waits_max" times. */
static unsigned store_all(size_t rows, unsigned waits_max) {
  unsigned waits = 0;
  while (au_lane_waiting(lane) > 0) {
    if (au_batch_is_done(&batch))
      take(rows);
    if (!go_on() && ++waits == waits_max)
      break;
  }
  return waits;
}

static void check_all_stored(long events, long dead) {
  ck_assert_uint_eq(au_lane_waiting(lane), 0);
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.event"), events);
  ck_assert_int_eq(number("SELECT count(DISTINCT event_id) FROM aurore.event"),
                   events);
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.dead_letter"), dead);
  ck_assert_int_eq(number("SELECT coalesce(sum(n), 0) FROM aurore.event_count"),
                   events);
}

/* --- errors that a trigger raises ----------------------------------------- */

/* "when" is a condition on NEW; "more" is of RAISE's USING. */
static void raise_from(const char *kind, const char *when, const char *state,
                       const char *more) {
  do_sqlf(database,
          "CREATE SEQUENCE IF NOT EXISTS public.calls;"
          "CREATE OR REPLACE FUNCTION public.refuse() RETURNS trigger "
          "LANGUAGE plpgsql AS $$ BEGIN IF %s THEN RAISE EXCEPTION 'not this' "
          "USING ERRCODE = '%s'%s; END IF; RETURN NEW; END $$;"
          "CREATE %s ON aurore.event %s FOR EACH ROW "
          "EXECUTE FUNCTION public.refuse()",
          when, state, more, kind,
          strncmp(kind, "CONSTRAINT", 10) == 0 ? "INITIALLY DEFERRED" : "");
}

static void mend(void) { do_sql(database, "DROP TRIGGER t ON aurore.event"); }

static const char *const kinds[] = {
    "TRIGGER t BEFORE INSERT", /* has a line of the COPY */
    "TRIGGER t AFTER INSERT",  /* has none */
    /* At COMMIT. */
    "CONSTRAINT TRIGGER t AFTER INSERT",
};
#define KINDS 3

/* One of each class of appendix A, and some that are nobody's. */
static const char *const states[] = {
    "02000", "03000", "0A000", "0B000", "0F001", "0L000", "0P000", "0Z002",
    "20000", "21000", "22000", "22012", "22P02", "23000", "23502", "23505",
    "23514", "24000", "27000", "28000", "2BP01", "2D000", "2F002", "34000",
    "38000", "39000", "3B000", "3D000", "3F000", "42501", "42P01", "44000",
    "54000", "54001", "72000", "F0000", "HV000", "P0001", "P0004", "XX000",
    "XX001", "ZZ123", "08P01"};
#define STATES (sizeof(states) / sizeof(states[0]))

static const char *const own_states[] = {
    "08000", "08006", "25006", "26000", "40001", "40P01", "53100",
    "53200", "55000", "55P03", "57014", "57P03", "58000", "58030"};
#define OWN_STATES (sizeof(own_states) / sizeof(own_states[0]))

CASE("classes", set_up, tear_down);

static void set_aside_one(const char *kind, const char *state) {
  raise_from(kind, "NEW.message LIKE 'bad%'", state, "");
  append(0, 20, "a", "good");
  append(20, 1, "b", "bad");
  append(21, 20, "a", "good");
  ck_assert_uint_eq(store_all(100, 1), 0);
  check_all_stored(40, 1);
  ck_assert_str_eq(ask(database, "SELECT sql_state || ' ' || failure_reason "
                                 "FROM aurore.dead_letter"),
                   format("%s not this", state));
}

static void wait_for_all(const char *kind, const char *state) {
  raise_from(kind, "true", state, "");
  append(0, 30, "a", "good");
  ck_assert_uint_eq(store_all(20, 3), 3);
  ck_assert_str_eq(blame.cause.sqlstate, state);
  ck_assert_str_eq(blame.cause.message, "not this");
  ck_assert_uint_eq(au_lane_waiting(lane), 30);
  mend();
  ck_assert_uint_eq(store_all(20, 1), 0);
  check_all_stored(30, 0);
}

static void start_again(void) {
  do_sql(database, "DROP TRIGGER IF EXISTS t ON aurore.event;"
                   "DROP SEQUENCE public.calls;"
                   "TRUNCATE aurore.event, aurore.dead_letter, "
                   "aurore.event_count");
}

TEST_EACH(one_row_is_set_aside_with_its_state, KINDS) {
  for (size_t i = 0; i < STATES; i++) {
    set_aside_one(kinds[_i], states[i]);
    start_again();
  }
}

TEST_EACH(all_rows_are_nobodys_fault, KINDS) {
  for (size_t i = 0; i < STATES; i++) {
    wait_for_all(kinds[_i], states[i]);
    start_again();
  }
}

/* Those that are never a row's: also when it is always the same. */
TEST_EACH(database_that_says_so_is_at_fault, 2) {
  for (size_t i = 0; i < OWN_STATES; i++) {
    raise_from(kinds[0], _i == 0 ? "true" : "NEW.message LIKE 'bad%'",
               own_states[i], "");
    append(0, 5, "a", "good");
    append(5, 1, "b", "bad");
    append(6, 5, "a", "good");
    ck_assert_uint_eq(store_all(100, 5), 5);
    ck_assert_int_eq(error.fault, AU_FAULT_DATABASE);
    mend();
    ck_assert_uint_eq(store_all(100, 1), 0);
    check_all_stored(11, 0);
    start_again();
  }
}

CASE("while", set_up, tear_down);

/* Whatever was under way when the schema was mended, or broke. A sequence
 * counts what is rolled back, too. */
TEST_EACH(schema_that_changes_in_between_condemns_nobody, KINDS * 2) {
  for (int calls = 0; calls < 40; calls++) {
    int first = _i % 2 == 0 ? 0 : calls;
    int last = _i % 2 == 0 ? calls : calls + calls % 7;
    raise_from(kinds[_i / 2],
               format("nextval('public.calls') BETWEEN %d AND %d", first, last),
               "P0001", "");
    append(0, 12, "a", "good");
    append(12, 4, "b", "good");
    store_all(8, 100);
    check_all_stored(16, 0);
    start_again();
  }
}

/* Refuses rows for which "when" holds, whatever they are called in turn; "n" is
 * the number of the call. */
static void raise_in_turn(const char *kind, const char *when,
                          const char *is_other) {
  do_sqlf(database,
          "CREATE SEQUENCE IF NOT EXISTS public.calls;"
          "CREATE OR REPLACE FUNCTION public.refuse() RETURNS trigger "
          "LANGUAGE plpgsql AS $$ DECLARE n bigint := nextval('public.calls'); "
          "BEGIN IF %s THEN RAISE EXCEPTION 'not this' USING ERRCODE = "
          "CASE WHEN %s THEN 'ZZ123' ELSE 'P0001' END; END IF; RETURN NEW; "
          "END $$; CREATE %s ON aurore.event %s FOR EACH ROW "
          "EXECUTE FUNCTION public.refuse()",
          when, is_other, kind,
          strncmp(kind, "CONSTRAINT", 10) == 0 ? "INITIALLY DEFERRED" : "");
}

/* What a row was compared for is no longer what it is refused for. */
TEST_EACH(schema_that_breaks_in_another_way_condemns_nobody, KINDS) {
  for (int first = 2; first < 12; first += 3)
    for (int more = 1; more < 12; more++) {
      char is_other[32];
      snprintf(is_other, sizeof(is_other), "n > %d", first);
      raise_in_turn(kinds[_i], format("n IN (%d, %d)", first, first + more),
                    is_other);
      append(0, 12, "a", "good");
      append(12, 4, "b", "good");
      store_all(8, 100);
      check_all_stored(16, 0);
      start_again();
    }
}

/* Nor does that keep a bad one from being found. */
TEST_EACH(row_that_is_refused_in_ever_other_ways_is_bad, KINDS) {
  raise_in_turn(kinds[_i], "NEW.message LIKE 'bad%'", "n % 2 = 0");
  append(0, 5, "a", "good");
  append(5, 1, "b", "bad");
  append(6, 5, "a", "good");
  ck_assert_uint_eq(store_all(100, 1), 0);
  check_all_stored(10, 1);
  ck_assert_uint_lt(attempts, 60);
}

/* The lane stores again what it has, at once. */
TEST(lane_that_waited_stores_all_when_it_may) {
  do_sql(database, "ALTER TABLE aurore.event ADD extra int NOT NULL");
  append(0, 2000, "a", "good");
  ck_assert_uint_eq(store_all(500, 4), 4);
  ck_assert_str_eq(blame.cause.sqlstate, "23502");
  ck_assert_uint_eq(au_lane_waiting(lane), 2000);
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.dead_letter"), 0);
  do_sql(database, "ALTER TABLE aurore.event ALTER extra SET DEFAULT 1");
  attempts = 0;
  ck_assert_uint_eq(store_all(500, 1), 0);
  check_all_stored(2000, 0);
  ck_assert_uint_lt(attempts, 20);
}

/* --- the real things ------------------------------------------------------ */

/* What names a column of ours or a constraint of one: alone, too. */
typedef struct evident {
  const char *set_up;
  const char *state;
} evident_t;

static const evident_t evident[] = {
    {"ALTER TABLE aurore.event ADD CHECK (message NOT LIKE 'bad%')", "23514"},
    {"CREATE DOMAIN public.fine AS text CHECK (VALUE NOT LIKE 'bad%');"
     "ALTER TABLE aurore.event ALTER message TYPE public.fine",
     "23514"},
    {"ALTER TABLE aurore.event ALTER message TYPE varchar(4)", "22001"},
    {"CREATE TABLE public.known (name text PRIMARY KEY);"
     "ALTER TABLE aurore.event ADD FOREIGN KEY (service) "
     "REFERENCES public.known",
     "23503"},
    {"CREATE UNIQUE INDEX ON aurore.event (message, ingested_at);"
     "INSERT INTO aurore.event (event_id, occurred_at, service, message, "
     "ingested_at) SELECT gen_random_uuid(), now(), 's', 'bad 0', t FROM "
     "public.accepted",
     "23505"},
};
#define EVIDENT (sizeof(evident) / sizeof(evident[0]))

CASE("evident", set_up, tear_down);

TEST_EACH(row_that_is_alone_is_set_aside_when_it_is_named, EVIDENT) {
  int64_t us = au_clock_wall_us();
  do_sqlf(database,
          "CREATE TABLE public.accepted AS SELECT timestamptz 'epoch' + "
          "interval '1 microsecond' * %" PRId64 " AS t",
          us);
  do_sql(database, evident[_i].set_up);
  long before = number("SELECT count(*) FROM aurore.event");
  au_rows_t rows = {.count = 0};
  au_waiter_t waiter = {.done = never_done};
  put_event(&rows, us, "s", "bad", 0);
  ck_assert_int_eq(au_buffer_append(buffer, &rows, &waiter), AU_OK);
  au_rows_fini(&rows);
  ck_assert_uint_eq(store_all(10, 1), 0);
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.event"), before);
  ck_assert_str_eq(ask(database, "SELECT sql_state FROM aurore.dead_letter"),
                   evident[_i].state);
}

/* Among others, and without a line of the COPY: what a row refers to is looked
 * for after the last one. */
TEST(neighbours_of_a_row_that_is_named_are_stored) {
  do_sql(database, "CREATE TABLE public.known (name text PRIMARY KEY);"
                   "INSERT INTO public.known VALUES ('good');"
                   "ALTER TABLE aurore.event ADD FOREIGN KEY (service) "
                   "REFERENCES public.known");
  append(0, 5, "good", "x");
  append(5, 1, "bad", "x");
  append(6, 4, "good", "x");
  append(10, 2, "bad", "x");
  append(12, 9, "good", "x");
  ck_assert_uint_eq(store_all(100, 1), 0);
  append(21, 1, "good", "x");
  append(22, 1, "bad", "x");
  ck_assert_uint_eq(store_all(100, 1), 0);
  check_all_stored(19, 4);
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.event "
                          "WHERE service = 'bad'"),
                   0);
}

/* The same classes, but nothing of the row is named. */
static const char *const schema_faults[] = {
    "ALTER TABLE aurore.event ADD extra int NOT NULL",
    "ALTER TABLE aurore.event ADD CHECK (false) NOT VALID",
    "ALTER TABLE aurore.event ADD a int DEFAULT 1, ADD CHECK (a > 1) NOT VALID",
    "ALTER TABLE aurore.event ADD extra int DEFAULT (1 / (random() * 0)::int)",
    "ALTER TABLE aurore.event ALTER service TYPE int USING 1",
    "ALTER TABLE aurore.event RENAME message TO text",
    "ALTER TABLE aurore.event RENAME TO gone",
    "ALTER TABLE aurore.event_count ADD extra int NOT NULL",
    "ALTER TABLE aurore.event_count ADD CHECK (service = 'none') NOT VALID",
    "ALTER SCHEMA aurore RENAME TO elsewhere",
    "DROP FUNCTION aurore.advance",
};
#define SCHEMA_FAULTS (sizeof(schema_faults) / sizeof(schema_faults[0]))

TEST_EACH(fault_of_the_schema_is_waited_for, SCHEMA_FAULTS * 2) {
  append(0, _i % 2 == 0 ? 1 : 30, "a", "good");
  PGconn *session = hold(schema_faults[_i / 2]);
  commit(session);
  ck_assert_uint_eq(store_all(10, 5), 5);
  ck_assert_uint_eq(au_lane_waiting(lane), _i % 2 == 0 ? 1 : 30);
  if (number("SELECT count(*) FROM pg_tables WHERE schemaname = 'aurore'") > 0)
    ck_assert_int_eq(number("SELECT count(*) FROM aurore.dead_letter"), 0);
}

/* A name that is raised and is of nothing. */
TEST_EACH(what_is_only_claimed_is_compared, 4) {
  static const char *const more[] = {
      ", TABLE = 'event'", ", CONSTRAINT = 'no_such', TABLE = 'event'",
      ", COLUMN = 'extra', TABLE = 'event', SCHEMA = 'aurore'",
      ", CONSTRAINT = 'dead_letter_pkey', TABLE = 'dead_letter', SCHEMA = "
      "'aurore'"};
  raise_from(kinds[0], "NEW.message LIKE 'bad%'", "23514", more[_i]);
  append(0, 1, "a", "bad");
  ck_assert_uint_eq(store_all(10, 3), 3);
  append(1, 1, "b", "good");
  ck_assert_uint_eq(store_all(10, 3), 0);
  check_all_stored(1, 1);
}

/* --- witnesses ------------------------------------------------------------ */

CASE("witnesses", set_up, tear_down);

/* A batch of bad rows alone, and who comes behind it. */
TEST_EACH(rows_behind_the_batch_testify, 4) {
  unsigned bad = _i < 2 ? 1 : 40;
  raise_from(kinds[_i % 2], "NEW.message LIKE 'bad%'", "P0001", "");
  append(0, bad, "a", "bad");
  ck_assert_uint_eq(store_all(40, 3), 3);
  ck_assert_uint_eq(au_lane_waiting(lane), bad);
  append(bad, 5, "a", "good");
  ck_assert_uint_lt(store_all(40, 100), 3);
  check_all_stored(5, bad);
}

/* A wait asks few, but in the end everybody is asked. */
TEST(good_row_among_many_bad_ones_is_found) {
  raise_from(kinds[0], "NEW.message LIKE 'bad%'", "XX000", "");
  append(0, 150, "a", "bad");
  append(150, 1, "a", "good");
  append(151, 150, "a", "bad");
  unsigned waits = store_all(1000, 200);
  ck_assert_uint_gt(waits, 1);
  ck_assert_uint_lt(waits, 60);
  check_all_stored(1, 300);
}

/* Another sender's is asked first. */
TEST(row_of_another_service_is_asked_at_once) {
  raise_from(kinds[0], "NEW.service = 'a'", "P0001", "");
  append(0, 400, "a", "bad");
  append(400, 1, "b", "good");
  append(401, 400, "a", "bad");
  ck_assert_uint_eq(store_all(1000, 1), 0);
  check_all_stored(1, 800);
}

TEST(witness_changes_nothing) {
  raise_from(kinds[0], "NEW.message LIKE 'bad%'", "P0001", "");
  append(0, 1, "a", "bad");
  append(1, 3, "b", "good");
  take(10);
  ck_assert_int_eq(
      au_batch_try(&batch, &batch.slab, 1, database, &claim, &error), AU_OK);
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.event"), 0);
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.event_count"), 0);
  ck_assert_int_eq(number("SELECT max(next_seq) FROM aurore.lane"), 1);
  ck_assert_int_eq(
      au_batch_try(&batch, &batch.slab, 0, database, &claim, &error),
      AU_INVALID);
  ck_assert_str_eq(error.sqlstate, "P0001");
  ck_assert_uint_eq(store_all(10, 1), 0);
  check_all_stored(3, 1);
}

/* What COMMIT would say counts, too. */
TEST(witness_is_asked_for_what_is_deferred) {
  do_sql(database, "CREATE TABLE public.known (name text PRIMARY KEY);"
                   "INSERT INTO public.known VALUES ('good');"
                   "ALTER TABLE aurore.event ADD FOREIGN KEY (service) "
                   "REFERENCES public.known DEFERRABLE INITIALLY DEFERRED");
  append(0, 1, "bad", "x");
  append(1, 1, "good", "x");
  take(10);
  ck_assert_int_eq(
      au_batch_try(&batch, &batch.slab, 0, database, &claim, &error),
      AU_INVALID);
  ck_assert_str_eq(error.sqlstate, "23503");
  ck_assert_int_eq(
      au_batch_try(&batch, &batch.slab, 1, database, &claim, &error), AU_OK);
  ck_assert_uint_eq(store_all(10, 1), 0);
  check_all_stored(1, 1);
}

/* Compared on another connection it does not count. */
TEST(comparison_ends_with_the_connection) {
  raise_from(kinds[0], "NEW.message LIKE 'bad%'", "P0001", "");
  append(0, 3, "a", "good");
  append(3, 1, "a", "bad");
  take(10);
  ck_assert(go_on()); /* its line */
  ck_assert(go_on()); /* the neighbours in front */
  ck_assert_uint_eq(commits, 1);
  ck_assert(blame.compared);
  au_blame_interrupt(&blame);
  attempts = 0;
  ck_assert(go_on());
  ck_assert_uint_eq(attempts, 2); /* itself, and a witness */
  ck_assert_uint_eq(batch.dead_count, 0);
  append(4, 1, "a", "good");
  ck_assert_uint_eq(store_all(10, 2), 0);
  check_all_stored(4, 1);
}

/* --- what it costs -------------------------------------------------------- */

typedef struct cost {
  const char *kind; /* of the trigger; NULL: a check */
  const char *state;
  unsigned every; /* one row of so many is bad */
  unsigned attempts_max;
} cost_t;

/* Of 5,000 rows in one batch, per hundred bad rows. */
static const cost_t costs[] = {
    {NULL, "23514", 5000, 300},
    {"TRIGGER t BEFORE INSERT", "P0001", 5000, 1200},
    {"TRIGGER t AFTER INSERT", "P0001", 5000, 3500},
    {NULL, "23514", 50, 200},
    {"TRIGGER t BEFORE INSERT", "P0001", 50, 350},
    {"TRIGGER t AFTER INSERT", "P0001", 50, 1400},
    {NULL, "23514", 5, 120},
    {"TRIGGER t BEFORE INSERT", "P0001", 5, 350},
    {"TRIGGER t AFTER INSERT", "P0001", 5, 800},
    {NULL, "23514", 2, 110},
};

CASE("cost", set_up, tear_down);

TEST_EACH(work_is_bounded, sizeof(costs) / sizeof(costs[0])) {
  const cost_t *cost = &costs[_i];
  const char *condition =
      format("(split_part(%smessage, ' ', 2)::int * 7919 %% %u = 1)",
             cost->kind != NULL ? "NEW." : "", cost->every);
  if (cost->kind == NULL)
    do_sqlf(database, "ALTER TABLE aurore.event ADD CHECK (NOT %s)", condition);
  else
    raise_from(cost->kind, condition, cost->state, "");
  append(0, 5000, "a", "x");
  ck_assert_uint_eq(store_all(5000, 1), 0);
  long dead = number("SELECT count(*) FROM aurore.dead_letter");
  ck_assert_int_eq(dead, 5000 / cost->every);
  check_all_stored(5000 - dead, dead);
  printf("# %s, 1 of %u: %u transactions, %u of them committed, for %ld bad "
         "rows\n",
         cost->kind != NULL ? cost->kind : "CHECK", cost->every, attempts,
         commits, dead);
  ck_assert_uint_le(attempts * 100, cost->attempts_max * (unsigned)dead);
}

int main(void) { return run_database_tests("blame"); }
