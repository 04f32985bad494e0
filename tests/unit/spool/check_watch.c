/* SPDX-License-Identifier: MIT
 *
 * Who waits until rows are stored is told once: when they are, when they cannot
 * be read any more, or when the process stops; and never too early.
 */
#include "spool/buffer.h"
#include "support/rows.h"
#include "support/spools.h"
#include "support/suite.h"

#include <pthread.h>
#include <stdio.h>

/* A watch that counts what it was told. */
typedef struct told {
  au_watch_t watch; /* the first member */
  _Atomic int times;
  _Atomic int status;
} told_t;

static void note(au_watch_t *watch, au_status_t status) {
  told_t *told = (told_t *)watch;
  atomic_store(&told->status, (int)status);
  atomic_fetch_add(&told->times, 1);
}

#define TOLD_INIT                                                              \
  { .watch = {.done = note}, .status = -1 }

static void expect_told(told_t *told, au_status_t status) {
  ck_assert_int_eq(atomic_load(&told->times), 1);
  ck_assert_int_eq(atomic_load(&told->status), (int)status);
}

static void expect_waiting(told_t *told) {
  ck_assert_int_eq(atomic_load(&told->times), 0);
}

/* --- the list ------------------------------------------------------------ */

CASE("list", NULL, NULL);

/* Of rows 10 * n to 10 * n + 9. */
static void add(au_watches_t *list, told_t *told, uint64_t n) {
  *told = (told_t)TOLD_INIT;
  told->watch.first_seq = 10 * n;
  told->watch.end_seq = 10 * n + 10;
  au_watches_add(list, &told->watch);
}

static void check_order(const au_watches_t *list, int count) {
  int seen = 0;
  const au_watch_t *before = NULL;
  for (const au_watch_t *w = list->first; w != NULL; w = w->next) {
    ck_assert_ptr_eq(w->previous, before);
    ck_assert(before == NULL || before->end_seq <= w->end_seq);
    before = w;
    seen++;
  }
  ck_assert_ptr_eq(list->last, before);
  ck_assert_int_eq(seen, count);
}

TEST(in_whatever_order_they_come_the_front_is_what_is_stored) {
  static const uint64_t orders[][4] = {
      {1, 2, 3, 4}, {4, 3, 2, 1}, {2, 1, 4, 3}, {3, 1, 4, 2}, {1, 1, 4, 4}};
  for (size_t o = 0; o < sizeof(orders) / sizeof(orders[0]); o++) {
    au_watches_t list = {.first = NULL};
    told_t told[4];
    for (int i = 0; i < 4; i++)
      add(&list, &told[i], orders[o][i]);
    check_order(&list, 4);
    /* One of whose rows the last is not stored is not done. */
    au_watches_complete(au_watches_take_before(&list, 39), AU_OK);
    int left = 0;
    for (int i = 0; i < 4; i++) {
      bool is_stored = orders[o][i] * 10 + 10 <= 39;
      ck_assert_int_eq(atomic_load(&told[i].times), is_stored ? 1 : 0);
      left += is_stored ? 0 : 1;
    }
    check_order(&list, left);
    au_watches_complete(au_watches_take_all(&list), AU_CLOSED);
    check_order(&list, 0);
  }
}

TEST(taking_nothing_is_nothing) {
  au_watches_t list = {.first = NULL};
  told_t told;
  ck_assert_ptr_null(au_watches_take_all(&list));
  add(&list, &told, 5);
  ck_assert_ptr_null(au_watches_take_before(&list, 59));
  ck_assert_ptr_null(au_watches_take_within(&list, 60, 100));
  ck_assert_ptr_null(au_watches_take_within(&list, 0, 50));
  au_watches_complete(NULL, AU_OK);
  expect_waiting(&told);
  au_watches_complete(au_watches_take_within(&list, 59, 60), AU_IO);
  expect_told(&told, AU_IO);
}

TEST(one_is_removed_once) {
  for (int which = 0; which < 3; which++) {
    au_watches_t list = {.first = NULL};
    told_t told[3];
    for (int i = 0; i < 3; i++)
      add(&list, &told[i], (uint64_t)i);
    ck_assert(au_watches_remove(&list, &told[which].watch));
    ck_assert(!au_watches_remove(&list, &told[which].watch));
    check_order(&list, 2);
    au_watches_complete(au_watches_take_all(&list), AU_OK);
    expect_waiting(&told[which]);
  }
}

/* --- a lane -------------------------------------------------------------- */

static au_buffer_t *buffer;
static au_lane_t *lane;

static void open_lane(au_durability_t durability) {
  char error[256];
  const au_buffer_config_t config = {
      .lanes = 1,
      .capacity = 1000000,
      .max_bytes = (uint64_t)1 << 30,
      .directory = durability == AU_DURABILITY_MEMORY ? NULL : directory,
      .durability = durability,
      .sync_interval_s = 1,
      .keep_s = 3600,
      .keep_bytes = 1 << 26};
  ck_assert_int_eq(au_buffer_open(&config, &buffer, error, sizeof(error)),
                   AU_OK);
  lane = au_buffer_lane(buffer, 0);
}

static void open_memory(void) {
  setup();
  open_lane(AU_DURABILITY_MEMORY);
}

static void open_directory(void) {
  setup();
  open_lane(AU_DURABILITY_COMMIT);
}

static void close_lane(void) {
  au_buffer_destroy(buffer);
  teardown();
}

/* Appends so many rows as one request, and watches them. */
static au_status_t append_and_watch(unsigned rows_count, told_t *told) {
  au_rows_t rows = {.count = 0};
  answer_t answer = ANSWER_INIT;
  for (unsigned i = 0; i < rows_count; i++)
    put_event(&rows, au_clock_wall_us(), "service", "message", i);
  au_status_t status = au_buffer_append(buffer, &rows, &answer.waiter);
  ck_assert_int_eq(await_answer(&answer, status), AU_OK);
  au_rows_fini(&rows);
  *told = (told_t)TOLD_INIT;
  return au_buffer_watch(&answer.waiter, &told->watch);
}

/* Stores so many rows; returns how many there were. */
static size_t store(size_t rows) {
  au_slab_t slab = {.count = 0};
  ck_assert_int_eq(au_lane_take(lane, rows, 1 << 20, &slab), AU_OK);
  size_t count = slab.count;
  au_lane_commit(lane, slab.end);
  au_slab_fini(&slab);
  return count;
}

static void check_exact(void) {
  told_t told[3];
  ck_assert_int_eq(append_and_watch(1, &told[0]), AU_PENDING);
  ck_assert_int_eq(append_and_watch(5, &told[1]), AU_PENDING);
  ck_assert_int_eq(append_and_watch(2, &told[2]), AU_PENDING);
  ck_assert_uint_eq(store(1), 1);
  expect_told(&told[0], AU_OK);
  ck_assert_uint_eq(store(4), 4);
  expect_waiting(&told[1]);
  ck_assert_uint_eq(store(1), 1);
  expect_told(&told[1], AU_OK);
  expect_waiting(&told[2]);
  ck_assert_uint_eq(store(100), 2);
  expect_told(&told[2], AU_OK);
}

CASE("lane", open_memory, close_lane);

TEST(told_when_the_last_row_is_stored_in_memory) { check_exact(); }

TEST(what_is_stored_already_is_not_waited_for) {
  au_rows_t rows = {.count = 0};
  answer_t answer = ANSWER_INIT;
  put_event(&rows, au_clock_wall_us(), "service", "message", 1);
  ck_assert_int_eq(au_buffer_append(buffer, &rows, &answer.waiter), AU_OK);
  au_rows_fini(&rows);
  ck_assert_uint_eq(store(1), 1);
  told_t told = TOLD_INIT;
  ck_assert_int_eq(au_buffer_watch(&answer.waiter, &told.watch), AU_OK);
  /* ... also while the process stops */
  au_buffer_close_intake(buffer);
  ck_assert_int_eq(au_buffer_watch(&answer.waiter, &told.watch), AU_OK);
  expect_waiting(&told);
  ck_assert(!au_buffer_unwatch(&told.watch));
}

TEST(who_has_gone_is_not_told) {
  told_t told[2];
  ck_assert_int_eq(append_and_watch(1, &told[0]), AU_PENDING);
  ck_assert_int_eq(append_and_watch(1, &told[1]), AU_PENDING);
  ck_assert(au_buffer_unwatch(&told[0].watch));
  ck_assert(!au_buffer_unwatch(&told[0].watch));
  ck_assert_uint_eq(store(2), 2);
  expect_waiting(&told[0]);
  expect_told(&told[1], AU_OK);
  ck_assert(!au_buffer_unwatch(&told[1].watch));
}

TEST(a_stop_tells_all_and_takes_no_more) {
  told_t told[2];
  ck_assert_int_eq(append_and_watch(1, &told[0]), AU_PENDING);
  au_rows_t rows = {.count = 0};
  answer_t answer = ANSWER_INIT;
  put_event(&rows, au_clock_wall_us(), "service", "message", 1);
  ck_assert_int_eq(au_buffer_append(buffer, &rows, &answer.waiter), AU_OK);
  au_rows_fini(&rows);
  au_buffer_close_intake(buffer);
  expect_told(&told[0], AU_CLOSED);
  told[1] = (told_t)TOLD_INIT;
  ck_assert_int_eq(au_buffer_watch(&answer.waiter, &told[1].watch), AU_CLOSED);
  ck_assert_uint_eq(store(2), 2);
  expect_told(&told[0], AU_CLOSED);
  expect_waiting(&told[1]);
}

/* Who waits for the row need not wait for DrainInterval, too. */
TEST(a_watched_row_is_due_at_once) {
  told_t told;
  int64_t hour_ns = 3600 * AU_NS_PER_S;
  ck_assert_int_eq(append_and_watch(1, &told), AU_PENDING);
  ck_assert_int_eq(
      au_lane_wait(lane, 1000, hour_ns, au_clock_monotonic_ns() + hour_ns),
      AU_WAKE_BATCH);
  ck_assert_uint_eq(store(10), 1);
  expect_told(&told, AU_OK);
  ck_assert_int_eq(au_lane_wait(lane, 1000, hour_ns, au_clock_monotonic_ns()),
                   AU_WAKE_TIMEOUT);
}

static void *wait_main(void *argument) {
  (void)argument;
  int64_t hour_ns = 3600 * AU_NS_PER_S;
  ck_assert_int_eq(
      au_lane_wait(lane, 1000, hour_ns, au_clock_monotonic_ns() + hour_ns),
      AU_WAKE_BATCH);
  return NULL;
}

TEST(a_watch_wakes_a_writer_that_waits) {
  pthread_t thread;
  ck_assert_int_eq(pthread_create(&thread, NULL, wait_main, NULL), 0);
  told_t told;
  ck_assert_int_eq(append_and_watch(1, &told), AU_PENDING);
  pthread_join(thread, NULL);
  ck_assert(au_buffer_unwatch(&told.watch));
}

#define THREADS 4
#define ROUNDS 500

static _Atomic bool is_over;

static void *append_main(void *argument) {
  told_t *told = argument;
  for (int i = 0; i < ROUNDS; i++) {
    au_status_t status = append_and_watch(1 + (unsigned)i % 3, &told[i]);
    if (status == AU_OK)
      note(&told[i].watch, AU_OK);
    else
      ck_assert_int_eq(status, AU_PENDING);
  }
  return NULL;
}

static void *store_main(void *argument) {
  (void)argument;
  while (!atomic_load(&is_over) || au_lane_waiting(lane) > 0)
    (void)store(7);
  return NULL;
}

static void check_threads(void) {
  static told_t told[THREADS][ROUNDS];
  pthread_t thread[THREADS];
  pthread_t writer;
  ck_assert_int_eq(pthread_create(&writer, NULL, store_main, NULL), 0);
  for (int i = 0; i < THREADS; i++)
    ck_assert_int_eq(pthread_create(&thread[i], NULL, append_main, told[i]), 0);
  for (int i = 0; i < THREADS; i++)
    pthread_join(thread[i], NULL);
  atomic_store(&is_over, true);
  pthread_join(writer, NULL);
  for (int i = 0; i < THREADS; i++)
    for (int k = 0; k < ROUNDS; k++)
      expect_told(&told[i][k], AU_OK);
}

TEST(each_is_told_once_whoever_is_first) { check_threads(); }

/* --- on a disk ------------------------------------------------------------ */

CASE("directory", open_directory, close_lane);

TEST(told_when_the_last_row_is_stored_from_a_disk) { check_exact(); }

/* Several requests of one group have each their own rows. */
TEST(each_is_told_once_of_groups) { check_threads(); }

/* The database has fallen back: what was stored waits again, and so does who
 * asks for it. */
TEST(a_lane_that_goes_back) {
  told_t before;
  told_t after[2];
  ck_assert_int_eq(append_and_watch(10, &before), AU_PENDING);
  ck_assert_uint_eq(store(100), 10);
  expect_told(&before, AU_OK);
  ck_assert_int_eq(append_and_watch(2, &after[0]), AU_PENDING);
  ck_assert_uint_eq(au_lane_rewind(lane, 5), 5);
  ck_assert_int_eq(append_and_watch(1, &after[1]), AU_PENDING);
  ck_assert_uint_eq(store(6), 6);
  expect_told(&before, AU_OK);
  expect_waiting(&after[0]);
  ck_assert_uint_eq(store(100), 3);
  expect_told(&after[0], AU_OK);
  expect_told(&after[1], AU_OK);
}

/* The first byte of a row, which is in the lane's only segment. */
static void damage_last_row(const au_slab_t *slab) {
  char path[256];
  char lane_directory[128];
  snprintf(lane_directory, sizeof(lane_directory), "%s/lane-00", directory);
  char name[AU_SEGMENT_NAME_SIZE];
  au_segment_name(slab->end.segment, name);
  snprintf(path, sizeof(path), "%s/%s", lane_directory, name);
  FILE *file = fopen(path, "r+b");
  ck_assert_ptr_nonnull(file);
  const au_slab_row_t *last = &slab->row[slab->count - 1];
  ck_assert_int_eq(fseek(file, (long)last->end_offset - 8, SEEK_SET), 0);
  ck_assert_int_ne(fputc(0xA5, file), EOF);
  ck_assert_int_eq(fclose(file), 0);
}

TEST(what_cannot_be_read_is_not_stored) {
  count_what_is_told();
  told_t told[2];
  ck_assert_int_eq(append_and_watch(2, &told[0]), AU_PENDING);
  au_slab_t slab = {.count = 0};
  ck_assert_int_eq(au_lane_take(lane, 10, 1 << 20, &slab), AU_OK);
  ck_assert_uint_eq(slab.count, 2);
  damage_last_row(&slab);
  au_slab_fini(&slab);
  ck_assert_int_eq(append_and_watch(1, &told[1]), AU_PENDING);
  while (au_lane_waiting(lane) > 0)
    (void)store(10);
  expect_told(&told[0], AU_IO);
  expect_told(&told[1], AU_OK);
}

int main(void) { return run_tests("watch"); }
