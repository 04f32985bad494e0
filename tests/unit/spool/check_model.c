/* SPDX-License-Identifier: MIT
 *
 * Random operations on the buffer, its lanes and the batch beside a model that
 * is a list: what was acknowledged comes once and in order, through restarts,
 * torn ends, calls that fail and answers that are lost. The seeds are fixed;
 * CHECK_MODEL_SEED=N and CHECK_MODEL_STEPS=N try others. (The breaker has its
 * model in check_breaker, the spool alone in check_spool and crash_states.)
 */
#include "support/own_database.h"

#include "event/row.h"
#include "metrics/metrics.h"
#include "spool/buffer.h"
#include "spool/segment.h"
#include "store/batch.h"
#include "support/judge.h"
#include "support/log_capture.h"
#include "support/rows.h"
#include "support/suite.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdatomic.h>

#define LANES 2
#define VALUES_MAX 65536

static unsigned seed;
static int steps;

static unsigned roll(unsigned sides) {
  return (unsigned)rand_r(&seed) / 8 % sides;
}

static int number_from(const char *name, int otherwise) {
  const char *text = getenv(name);
  return text != NULL ? (int)strtol(text, NULL, 10) : otherwise;
}

static void begin(int index, int default_steps) {
  capture_log();
  au_metrics_reset();
  seed = (unsigned)number_from("CHECK_MODEL_SEED", index + 1);
  steps = number_from("CHECK_MODEL_STEPS", default_steps);
  printf("seed %u\n", seed);
}

/* --- calls that fail once --------------------------------------------------
 */

static atomic_int calls_left; /* until one fails; 0: none does */

static bool fails(int error) {
  if (atomic_load(&calls_left) <= 0 || atomic_fetch_sub(&calls_left, 1) != 1)
    return false;
  errno = error;
  return true;
}

static int my_openat(int dir, const char *name, int flags, mode_t mode) {
  return fails(EMFILE) ? -1 : au_io_system.openat(dir, name, flags, mode);
}

static ssize_t my_pread(int fd, void *data, size_t size, off_t offset) {
  return fails(EIO) ? -1 : au_io_system.pread(fd, data, size, offset);
}

static ssize_t my_pwritev(int fd, const struct iovec *iov, int count,
                          off_t offset) {
  return fails(ENOSPC) ? -1 : au_io_system.pwritev(fd, iov, count, offset);
}

static int my_fallocate(int fd, off_t offset, off_t size) {
  return fails(ENOSPC) ? -1 : au_io_system.fallocate(fd, offset, size);
}

static int my_ftruncate(int fd, off_t size) {
  return fails(EIO) ? -1 : au_io_system.ftruncate(fd, size);
}

static int my_fdatasync(int fd) {
  return fails(EIO) ? -1 : au_io_system.fdatasync(fd);
}

static int my_fsync(int fd) { return fails(EIO) ? -1 : au_io_system.fsync(fd); }

static int my_renameat(int dir, const char *from, const char *to) {
  return fails(EIO) ? -1 : au_io_system.renameat(dir, from, to);
}

static int my_unlinkat(int dir, const char *name) {
  return fails(EIO) ? -1 : au_io_system.unlinkat(dir, name);
}

static const au_io_t *failing_io(void) {
  static au_io_t io;
  io = au_io_system;
  io.openat = my_openat;
  io.pread = my_pread;
  io.pwritev = my_pwritev;
  io.fallocate = my_fallocate;
  io.ftruncate = my_ftruncate;
  io.fdatasync = my_fdatasync;
  io.fsync = my_fsync;
  io.renameat = my_renameat;
  io.unlinkat = my_unlinkat;
  return &io;
}

/* --- the model: what was appended, and what must become of it --------------
 */

typedef enum fate {
  REFUSED, /* no answer, or a bad one: it comes once or never */
  WAITS,   /* acknowledged */
  GONE     /* taken and let go, or passed by a later one */
} fate_t;

/* Lanes are told apart when a value comes. */
static fate_t fate[VALUES_MAX];
static unsigned values; /* from 1 on */
static unsigned last[LANES];
/* The database's part: rows before this number were let go. A spool that could
 * not write its state before a restart hands them out again. */
static uint64_t place[LANES];

static unsigned value_of(const au_row_t *row) {
  au_event_t event;
  ck_assert_int_eq(au_row_decode(row->tuple, row->size, &event), AU_OK);
  char text[32] = "";
  ck_assert_uint_lt(event.message.size, sizeof(text));
  memcpy(text, event.message.data, event.message.size);
  const char *space = strrchr(text, ' ');
  ck_assert_ptr_nonnull(space);
  return (unsigned)strtoul(space, NULL, 10);
}

static uint64_t count_fate(fate_t wanted) {
  uint64_t count = 0;
  for (unsigned value = 1; value <= values; value++)
    count += fate[value] == wanted;
  return count;
}

/* --- the buffer ------------------------------------------------------------
 */

static au_buffer_t *buffer;
static char directory[64];
static bool in_memory;

static bool open_buffer(unsigned lanes) {
  char text[256] = "";
  const au_buffer_config_t config = {.lanes = lanes,
                                     .capacity = 3000,
                                     .max_bytes = 4 << 20,
                                     .directory = in_memory ? NULL : directory,
                                     .durability = AU_DURABILITY_COMMIT,
                                     .io = failing_io()};
  return au_buffer_open(&config, &buffer, text, sizeof(text)) == AU_OK;
}

/* "word": what the message begins with. */
static au_status_t append(unsigned count, const char *word) {
  au_rows_t rows = {.count = 0};
  ck_assert_uint_lt(values + count, VALUES_MAX);
  for (unsigned i = 1; i <= count; i++)
    put_event(&rows, au_clock_wall_us(), "service", word, values + i);
  answer_t answer = ANSWER_INIT;
  au_status_t status =
      await_answer(&answer, au_buffer_append(buffer, &rows, &answer.waiter));
  for (unsigned i = 1; i <= count; i++)
    fate[values + i] = status == AU_OK ? WAITS : REFUSED;
  values += count;
  au_rows_fini(&rows);
  return status;
}

/* The rows of a lane rise, and none that waits is passed over; that is known in
 * the end, when all have come. */
static void take(unsigned index) {
  au_lane_t *lane = au_buffer_lane(buffer, index);
  au_slab_t slab = {.count = 0};
  au_status_t status =
      au_lane_take(lane, 1 + roll(60), 1000 + roll(20000), &slab);
  ck_assert(status == AU_OK || status == AU_IO);
  size_t keep =
      status == AU_OK && slab.count > 0 ? 1 + roll((unsigned)slab.count) : 0;
  unsigned before = last[index];
  uint64_t seq = slab.first_seq;
  for (size_t i = 0; i < slab.count && status == AU_OK; i++, seq++) {
    const au_row_t row = au_slab_row(&slab, i);
    unsigned value = value_of(&row);
    if (seq < place[index]) {
      ck_assert_int_eq(fate[value], GONE);
      continue;
    }
    ck_assert_uint_gt(value, before);
    ck_assert_uint_le(value, values);
    ck_assert_int_ne(fate[value], GONE);
    before = value;
    if (i >= keep)
      continue;
    fate[value] = GONE;
    last[index] = value;
    place[index] = seq + 1;
  }
  if (status == AU_OK)
    ck_assert_uint_eq(slab.first_seq, slab.begin.seq); /* nothing was passed */
  if (keep > 0)
    au_lane_commit(lane, au_slab_position(&slab, keep));
  au_slab_fini(&slab);
}

/* What no group ends behind, as a write that was cut leaves it. */
static void tear(const char *path) {
  DIR *dir = opendir(path);
  ck_assert_ptr_nonnull(dir);
  uint64_t newest = 0;
  const struct dirent *entry;
  while ((entry = readdir(dir)) != NULL) {
    uint64_t number = au_segment_parse_name(entry->d_name);
    newest = number > newest ? number : newest;
  }
  char name[AU_SEGMENT_NAME_SIZE];
  au_segment_name(newest, name);
  int fd = newest > 0 ? openat(dirfd(dir), name, O_RDWR) : -1;
  closedir(dir);
  if (fd < 0)
    return;
  struct stat info;
  ck_assert_int_eq(fstat(fd, &info), 0);
  uint8_t *data = calloc(1, (size_t)info.st_size + 1);
  ck_assert_ptr_nonnull(data);
  ck_assert_int_eq(pread(fd, data, (size_t)info.st_size, 0), info.st_size);
  off_t end = info.st_size;
  while (end > AU_SEGMENT_HEADER_SIZE && data[end - 1] == 0)
    end--;
  end = (end + 7) / 8 * 8 + 16; /* behind the padding of the last frame */
  uint8_t junk[200];
  memset(junk, (int)(1 + roll(255)), sizeof(junk));
  if (end + (off_t)sizeof(junk) < info.st_size)
    ck_assert_int_eq(pwrite(fd, junk, 8 + roll(190), end) > 0, 1);
  free(data);
  close(fd);
}

static void reopen(void) {
  au_buffer_close_intake(buffer);
  au_buffer_destroy(buffer);
  buffer = NULL;
  if (roll(2) == 0) {
    char path[96];
    snprintf(path, sizeof(path), "%s/lane-%02u", directory, roll(LANES));
    tear(path);
  }
  if (roll(3) == 0)
    atomic_store(&calls_left, 1 + (int)roll(40));
  while (!open_buffer(LANES)) {
  }
}

static void check_usage(void) {
  au_buffer_usage_t usage;
  au_buffer_usage(buffer, &usage);
  uint64_t waiting = 0;
  for (unsigned i = 0; i < LANES; i++)
    waiting += au_lane_waiting(au_buffer_lane(buffer, i));
  ck_assert_uint_eq(usage.events, waiting);
  for (unsigned i = 0; i < LANES; i++) {
    uint64_t begin =
        au_spool_begin(au_lane_spool(au_buffer_lane(buffer, i))).seq;
    waiting -= place[i] > begin ? place[i] - begin : 0;
  }
  ck_assert_uint_ge(waiting, count_fate(WAITS));
  ck_assert_uint_le(waiting, count_fate(WAITS) + count_fate(REFUSED));
}

static void buffer_step(void) {
  switch (roll(12)) {
  case 0:
    if (!in_memory)
      reopen();
    break;
  case 1:
    if (!in_memory)
      atomic_store(&calls_left, 1 + (int)roll(12));
    break;
  case 2:
    au_buffer_flush(buffer);
    break;
  case 3:
  case 4:
  case 5:
  case 6:
    take(roll(LANES));
    break;
  default: {
    au_status_t status = append(1 + roll(40), "event");
    ck_assert(status == AU_OK || status == AU_IO || status == AU_FULL);
  }
  }
  check_usage();
}

static void take_rest(void) {
  atomic_store(&calls_left, 0);
  for (unsigned i = 0; i < LANES; i++)
    while (au_lane_waiting(au_buffer_lane(buffer, i)) > 0)
      take(i);
  ck_assert_uint_eq(count_fate(WAITS), 0);
  au_buffer_usage_t usage;
  au_buffer_usage(buffer, &usage);
  ck_assert_uint_eq(usage.events, 0);
  ck_assert_uint_eq(usage.bytes, 0);
}

CASE("buffer", NULL, NULL);

TEST_EACH(buffer_does_what_the_model_does, 8) {
  begin(_i, 600);
  in_memory = _i % 4 == 3;
  strcpy(directory, access("/dev/shm", W_OK) == 0
                        ? "/dev/shm/check_model_XXXXXX"
                        : "/tmp/check_model_XXXXXX");
  ck_assert_ptr_nonnull(mkdtemp(directory));
  ck_assert(open_buffer(LANES));
  for (int step = 0; step < steps; step++)
    buffer_step();
  take_rest();
  ck_assert_uint_eq(au_metrics_counter(AU_M_SPOOL_DAMAGED, 0), 0);
  au_buffer_destroy(buffer);
  remove_directory(directory);
}

/* --- the batch, and what the database holds --------------------------------
 */

static au_batch_t batch;
static au_blame_t blame;
static au_claim_t claim;
static au_database_error_t error;

static void claim_lane(void) {
  au_status_t status =
      au_claim_make(&claim, database, au_buffer_lane(buffer, 0), &error);
  ck_assert_done(status, error);
}

/* A lost answer: what the attempt did to the batch is undone here, whether the
 * database has stored it or not; then it is asked, as after any doubt. */
static void store_in_doubt(void) {
  size_t done = batch.done;
  size_t hi = batch.hi;
  if (roll(2) == 0 &&
      au_batch_store(&batch, database, &claim, &error) == AU_OK) {
    batch.done = done;
    batch.hi = hi;
  }
  claim_lane();
  au_blame_interrupt(&blame);
  au_batch_settle(&batch, claim.next_seq);
}

static void store_once(void) {
  au_lane_t *lane = au_buffer_lane(buffer, 0);
  if (au_batch_is_done(&batch)) {
    ck_assert_int_eq(au_batch_take(&batch, lane, 1 + roll(50), 20000), AU_OK);
    au_blame_begin(&blame);
    au_batch_skip(&batch, claim.next_seq);
  }
  if (au_batch_is_done(&batch)) {
    au_lane_commit(lane, au_batch_position(&batch));
    return;
  }
  if (roll(5) == 0) {
    store_in_doubt();
  } else if (au_batch_store(&batch, database, &claim, &error) == AU_OK) {
    claim.next_seq = au_batch_position(&batch).seq;
    au_blame_stored(&blame, &batch);
  } else {
    ck_assert_int_eq(error.fault, AU_FAULT_ROW);
    ck_assert(judge(&blame, &batch, lane, database, &claim, &error, NULL));
  }
  if (roll(4) > 0)
    au_lane_commit(lane, au_batch_position(&batch));
}

/* The place of the database may be ahead of the spool's now. */
static void restart(void) {
  au_batch_fini(&batch);
  au_blame_fini(&blame);
  au_buffer_close_intake(buffer);
  au_buffer_destroy(buffer);
  ck_assert(open_buffer(1));
  claim_lane();
}

static long accepted;

/* Returns how many were taken: a full buffer takes none. */
static unsigned append_some(void) {
  unsigned count = 1 + roll(30);
  au_status_t status = append(count, roll(6) == 0 ? "poison" : "event");
  ck_assert(status == AU_OK || status == AU_FULL);
  return status == AU_OK ? count : 0;
}

static void batch_step(void) {
  switch (roll(8)) {
  case 0:
    restart();
    break;
  case 1:
    claim_lane();
    if (!au_batch_is_done(&batch))
      au_batch_settle(&batch, claim.next_seq);
    break;
  case 2:
  case 3:
    accepted += append_some();
    break;
  default:
    store_once();
  }
}

CASE_IF(has_server, "batch", NULL, NULL);

TEST_EACH(database_holds_what_the_model_holds, 4) {
  begin(_i, 250);
  set_up_database();
  make_schema(1);
  do_sql(database, "ALTER TABLE aurore.event ADD CONSTRAINT no_poison "
                   "CHECK (message NOT LIKE 'poison%')");
  make_directory(directory);
  ck_assert(open_buffer(1));
  claim = (au_claim_t){
      .spool_id = au_spool_id(au_lane_spool(au_buffer_lane(buffer, 0)))};
  claim_lane();
  for (int step = 0; step < steps; step++)
    batch_step();
  while (au_lane_waiting(au_buffer_lane(buffer, 0)) > 0)
    store_once();
  long stored = number("SELECT count(*) FROM aurore.event");
  long dead = number("SELECT count(*) FROM aurore.dead_letter");
  ck_assert_int_eq(stored + dead, accepted);
  ck_assert_int_eq(number("SELECT count(DISTINCT message) FROM aurore.event"),
                   stored);
  ck_assert_int_eq(
      number("SELECT count(DISTINCT event_id) FROM aurore.dead_letter"), dead);
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.event JOIN "
                          "aurore.dead_letter USING (event_id)"),
                   0);
  ck_assert_int_eq(number("SELECT sum(n) FROM aurore.event_count"), stored);
  ck_assert_int_eq(number("SELECT next_seq FROM aurore.lane"), accepted + 1);
  au_batch_fini(&batch);
  au_blame_fini(&blame);
  au_buffer_destroy(buffer);
  remove_directory(directory);
  tear_down_database();
}

int main(void) { return run_tests("model"); }
