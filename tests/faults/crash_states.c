/* SPDX-License-Identifier: MIT
 *
 * Every state that a power cut or a kill may leave of a spool, and whether the
 * spool keeps its promise in each.
 *
 * A short random run on a spool (appends, some of them at once, batches that
 * the database stores, restarts, in every other run calls that fail) is
 * recorded: each change of a file or of the directory, each sync, and between
 * them what was acknowledged and what the database was told. Then the run is
 * cut at every place, and of what was not synced there some is kept and some is
 * lost (disk.h). The real spool is opened on what is left: all that was
 * acknowledged must be there once and in order, nothing else but whole appends
 * that got no answer, nothing may be called damaged, and the database must
 * agree. It then goes on for a few appends and is cut once more, in the middle
 * of its recovery or after it.
 */
#include "base/clock.h"
#include "faults/crash_report.h"
#include "faults/disk.h"
#include "faults/oracle.h"
#include "faults/recorder.h"
#include "metrics/metrics.h"
#include "spool/frame.h"
#include "support/log_capture.h"

#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define STATE_SECONDS                                                          \
  60 /* no opening takes longer, whatever the machine does */
#define STEPS 28
#define STEPS_BEFORE 120 /* some segment is in its second life then */
#define CHOICES_MAX 80
#define IDS_MAX 256
#define MAX_BYTES ((uint64_t)1 << 20) /* more than ever wait */

enum {
  MARK_OPENED,       /* value: which id */
  MARK_CLAIMED,      /* value: which id */
  MARK_APPENDED,     /* value: the first row's, and the count in 8 bits */
  MARK_ACKNOWLEDGED, /* value: the first row's */
  MARK_STORED,       /* value: the number of the next row */
  MARK_STARTED       /* again: what has not turned up never will */
};

/* One run on one directory. */
#define KEEP_ALL ((uint64_t)1 << 30)

typedef struct run {
  const char *directory;
  uint64_t segment_bytes;
  uint64_t keep_bytes; /* of what is stored; KEEP_ALL: it can fall back */
  unsigned seed;
  uint64_t next_value;
  au_spool_t *spool;
  au_usage_t usage;
  disk_record_t record;
  size_t told; /* operations of the record that "oracle" knows */
  oracle_t oracle;
  const au_uuid_t *uuid; /* what marks refer to */
} run_t;

static struct {
  uint64_t states;
  uint64_t limit;
  uint64_t places;
  size_t choices; /* in each place */
  unsigned seed;
  char directory[2][64];
  au_uuid_t uuid[IDS_MAX];
  size_t uuids;
} all = {.limit = 2000, .choices = 4, .seed = 1};

static double slowest_ms; /* of the recoveries */

static unsigned roll(unsigned *seed, unsigned sides) {
  return (unsigned)rand_r(seed) / 8 % sides;
}

/* --- runs ------------------------------------------------------------------
 */

static void apply_mark(oracle_t *oracle, const disk_op_t *op) {
  switch (op->mark) {
  case MARK_OPENED:
    oracle->has_id = true;
    oracle->id = all.uuid[op->value];
    break;
  case MARK_CLAIMED:
    oracle->has_owner = true;
    oracle->owner = all.uuid[op->value];
    break;
  case MARK_APPENDED:
    oracle_appended(oracle, op->value >> 8, op->value & 0xff);
    break;
  case MARK_ACKNOWLEDGED:
    oracle_acknowledged(oracle, op->value);
    break;
  case MARK_STORED:
    oracle->stored = op->value;
    break;
  default:
    oracle_forget_open(oracle);
    break;
  }
}

/* Nothing is pending: tells the run's oracle all marks up to under_test. */
static void catch_up(run_t *run) {
  disk_op_t mark;
  while (recorder_next_mark(&run->told, &mark))
    apply_mark(&run->oracle, &mark);
}

static void mark_uuid(int mark, au_uuid_t uuid) {
  if (all.uuids == IDS_MAX)
    disk_die("too many ids");
  all.uuid[all.uuids] = uuid;
  recorder_mark(mark, all.uuids++);
}

static au_status_t open_spool(run_t *run, const au_io_t *io) {
  char error[256] = "";
  const au_spool_config_t config = {.io = io,
                                    .directory = run->directory,
                                    .segment_bytes = run->segment_bytes,
                                    .durability = AU_DURABILITY_COMMIT,
                                    .keep_s = 3600,
                                    .keep_bytes = run->keep_bytes,
                                    .max_bytes = MAX_BYTES,
                                    .usage = &run->usage};
  atomic_store(&run->usage.events, 0);
  atomic_store(&run->usage.bytes, 0);
  au_metrics_reset();
  int64_t start_ns = au_clock_monotonic_ns();
  au_status_t status =
      au_spool_open(&config, &run->spool, error, sizeof(error));
  double ms = (double)(au_clock_monotonic_ns() - start_ns) / 1e6;
  slowest_ms = ms > slowest_ms ? ms : slowest_ms;
  return status;
}

/* Opens, compares, and tells the record what has turned up. */
static bool start(run_t *run) {
  if (open_spool(run, &recorder_io) != AU_OK)
    return false;
  catch_up(run);
  oracle_found_t found;
  char text[ORACLE_TEXT_SIZE];
  if (!oracle_check(&run->oracle, run->spool, &run->usage, &found, text))
    violation(text);
  for (size_t i = 0; i < found.count; i++)
    recorder_mark(MARK_ACKNOWLEDGED, found.value[i]);
  free(found.value);
  recorder_mark(MARK_STARTED, 0);
  mark_uuid(MARK_OPENED, au_spool_id(run->spool));
  return true;
}

/* An append that somebody waits for. */
typedef struct request {
  au_waiter_t waiter; /* the first member */
  uint64_t value;
  uint64_t rows;
  bool is_done;
  au_status_t status;
} request_t;

static pthread_mutex_t done_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t done_changed = PTHREAD_COND_INITIALIZER;

static void request_done(au_waiter_t *waiter, au_status_t status) {
  request_t *request = (request_t *)waiter;
  if (status == AU_OK)
    recorder_mark(MARK_ACKNOWLEDGED, request->value);
  pthread_mutex_lock(&done_lock);
  request->status = status;
  request->is_done = true;
  pthread_cond_signal(&done_changed);
  pthread_mutex_unlock(&done_lock);
}

static void send(run_t *run, request_t *request) {
  *request = (request_t){.waiter.done = request_done,
                         .value = run->next_value,
                         .rows = 1 + roll(&run->seed, 4)};
  run->next_value += request->rows;
  au_rows_t rows = {.count = 0};
  uint64_t bytes = 0;
  for (uint64_t i = 0; i < request->rows; i++) {
    row_put(&rows, request->value + i);
    bytes += au_frame_size(rows.row[i].size);
  }
  atomic_fetch_add(&run->usage.events, request->rows);
  atomic_fetch_add(&run->usage.bytes, bytes);
  recorder_mark(MARK_APPENDED, request->value << 8 | request->rows);
  if (au_spool_append(run->spool, &rows, &request->waiter) != AU_PENDING)
    violation("an append was refused at once");
  rows_drop(&rows);
}

/* Returns whether all were acknowledged. */
static bool append(run_t *run, size_t requests) {
  static request_t request[4];
  for (size_t i = 0; i < requests; i++)
    send(run, &request[i]);
  bool good = true;
  pthread_mutex_lock(&done_lock);
  for (size_t i = 0; i < requests; i++) {
    while (!request[i].is_done)
      pthread_cond_wait(&done_changed, &done_lock);
    good = good && request[i].status == AU_OK;
  }
  pthread_mutex_unlock(&done_lock);
  catch_up(run);
  return good;
}

static void check_rows(const run_t *run, const au_slab_t *slab) {
  for (size_t i = 0; i < slab->count; i++) {
    const au_row_t row = au_slab_row(slab, i);
    if (slab->first_seq + i > run->oracle.count ||
        !row_is(row.tuple, (uint32_t)row.size,
                run->oracle.value[slab->first_seq + i - 1]))
      violation("a row is read that is not the one that was acknowledged");
  }
}

/* A batch is stored in the database, and let go. */
static void store(run_t *run) {
  au_slab_t slab = {.count = 0};
  if (au_spool_read(run->spool, au_spool_begin(run->spool),
                    1 + roll(&run->seed, 12), 3000, &slab) != AU_OK)
    violation("a running spool cannot be read");
  check_rows(run, &slab);
  size_t rows =
      slab.count == 0 ? 0 : 1 + roll(&run->seed, (unsigned)slab.count);
  if (rows > 0) {
    au_position_t to = au_slab_position(&slab, rows);
    recorder_mark(MARK_STORED, to.seq);
    au_spool_trim(run->spool, to);
    catch_up(run);
  }
  au_slab_fini(&slab);
}

static void claim(run_t *run) {
  au_uuid_t owner[AU_OWNERS_MAX];
  uint32_t owners = au_spool_owners(run->spool, owner, NULL);
  mark_uuid(MARK_CLAIMED, owner[owners - 1]);
  au_spool_confirm_owner(run->spool);
}

/* The database falls back, to any row that is kept, and the lane with it. */
static void fall_back(run_t *run) {
  uint64_t kept = au_spool_kept_seq(run->spool);
  uint64_t begin = au_spool_begin(run->spool).seq;
  if (run->keep_bytes != KEEP_ALL || kept >= begin)
    return;
  uint64_t seq = kept + roll(&run->seed, (unsigned)(begin - kept));
  recorder_mark(MARK_STORED, seq);
  if (au_spool_rewind(run->spool, seq) != seq)
    violation("the lane does not go back to a row that is kept");
  catch_up(run);
}

static void step(run_t *run) {
  switch (roll(&run->seed, 13)) {
  case 12:
    fall_back(run);
    break;
  case 0:
    au_spool_close(run->spool);
    run->spool = NULL;
    while (!start(run)) { /* a call that fails on demand fails once */
    }
    break;
  case 1:
    claim(run);
    break;
  case 2:
    recorder_settle();
    break;
  case 3:
  case 4:
  case 5:
    store(run);
    break;
  case 6:
    (void)append(run, 2 + roll(&run->seed, 3));
    break;
  default:
    (void)append(run, 1);
    break;
  }
}

static void run_fini(run_t *run) {
  disk_record_fini(&run->record);
  oracle_fini(&run->oracle);
}

/* --- states ----------------------------------------------------------------
 */

static void replay(const disk_record_t *record, size_t place, disk_t *disk,
                   oracle_t *oracle) {
  for (size_t i = 0; i < place; i++)
    if (record->op[i].kind == DISK_MARK)
      apply_mark(oracle, &record->op[i]);
    else
      disk_apply(disk, &record->op[i]);
}

static disk_choice_t random_choice(unsigned *seed, size_t units) {
  disk_choice_t choice = {
      .mode = (disk_mode_t)roll(seed, units <= 16 ? DISK_MODES : DISK_BITS),
      .seed = (uint64_t)rand_r(seed) << 16 ^ (uint64_t)rand_r(seed),
      .is_stale = roll(seed, 8) == 0};
  choice.at = units > 0 ? roll(seed, (unsigned)units) : 0;
  if (choice.mode == DISK_RANDOM)
    choice.at = 1 + roll(seed, 3);
  if (choice.mode == DISK_RUNNING)
    choice.is_stale = false;
  return choice;
}

/* Cuts a second time, and looks once more. */
static void test_second(const run_t *second, const disk_t *disk,
                        const oracle_t *before, unsigned *seed) {
  size_t place = roll(seed, (unsigned)second->record.count + 1);
  disk_t *cut = disk_clone(disk);
  oracle_t oracle;
  oracle_copy(&oracle, before);
  replay(&second->record, place, cut, &oracle);
  disk_choice_t choice = random_choice(seed, disk_units(cut));
  disk_image_t image;
  disk_crash(cut, &choice, &image);
  disk_image_write(&image, all.directory[1]);

  under_test.is_second = true;
  under_test.second_place = place;
  under_test.second_record = &second->record;
  under_test.second_choice = choice;
  under_test.image = &image;
  under_test.oracle = &oracle;
  run_t third = {.directory = all.directory[1],
                 .segment_bytes = second->segment_bytes,
                 .keep_bytes = second->keep_bytes};
  if (open_spool(&third, NULL) != AU_OK)
    violation("the spool cannot be opened");
  oracle_found_t found;
  char text[ORACLE_TEXT_SIZE];
  if (!oracle_check(&oracle, third.spool, &third.usage, &found, text))
    violation(text);
  free(found.value);
  au_spool_close(third.spool);
  under_test.is_second = false;
  all.states++;
  count_kinds(&image, &choice, true);
  disk_image_free(&image);
  oracle_fini(&oracle);
  disk_free(cut);
}

/* Opens the spool on the state, goes on for a while; then test_second. */
static void test_state(const run_t *first, const disk_t *cut,
                       const oracle_t *oracle, const disk_image_t *image,
                       unsigned *seed) {
  disk_image_write(image, all.directory[0]);
  under_test.image = image;
  under_test.oracle = oracle;
  alarm(STATE_SECONDS);
  disk_t *disk = under_test.choice.mode == DISK_RUNNING ? disk_clone(cut)
                                                        : disk_of_image(image);
  run_t second = {.directory = all.directory[0],
                  .segment_bytes = first->segment_bytes,
                  .keep_bytes = first->keep_bytes,
                  .seed = (unsigned)rand_r(seed),
                  .next_value = first->next_value};
  oracle_copy(&second.oracle, oracle);
  size_t uuids = all.uuids;
  const recorder_config_t config = {.disk = disk, .record = &second.record};
  recorder_start(&config);
  if (!start(&second))
    violation("the spool cannot be opened");
  all.states++;
  count_kinds(image, &under_test.choice, false);
  if (!append(&second, 1))
    violation("an append was refused");
  for (unsigned steps = roll(seed, 4); steps > 0; steps--)
    step(&second);
  au_spool_close(second.spool);
  recorder_stop();
  test_second(&second, disk, oracle, seed);
  all.uuids = uuids;
  disk_free(disk);
  run_fini(&second);
}

/* What to try in one place: everything when that is little, else a sample. */
static size_t list_choices(disk_choice_t *list, size_t units, unsigned *seed) {
  size_t count = 0;
  for (unsigned mode = 0; mode <= DISK_NO_FILES; mode++)
    list[count++] = (disk_choice_t){.mode = (disk_mode_t)mode};
  list[count++] = (disk_choice_t){.mode = DISK_NONE, .is_stale = true};
  if (units <= 5)
    for (uint64_t bits = 0; bits < UINT64_C(1) << units; bits++)
      list[count++] = (disk_choice_t){.mode = DISK_BITS, .seed = bits};
  while (units > 0 && count < CHOICES_MAX)
    list[count++] = random_choice(seed, units);
  for (size_t i = count - 1; i > 0; i--) {
    size_t other = roll(seed, (unsigned)i + 1);
    disk_choice_t swap = list[i];
    list[i] = list[other];
    list[other] = swap;
  }
  return count;
}

static void test_place(const run_t *run, const disk_t *disk,
                       const oracle_t *oracle, unsigned *seed) {
  disk_choice_t choice[CHOICES_MAX];
  uint64_t seen[CHOICES_MAX];
  size_t count = list_choices(choice, disk_units(disk), seed);
  size_t tested = 0;
  for (size_t i = 0; i < count && tested < all.choices; i++) {
    disk_image_t image;
    disk_crash(disk, &choice[i], &image);
    /* A kill leaves more than its files: what is not synced yet. */
    uint64_t hash =
        disk_image_hash(&image) ^ (choice[i].mode == DISK_RUNNING ? 1 : 0);
    size_t same = 0;
    while (same < tested && seen[same] != hash)
      same++;
    if (same == tested) {
      seen[tested++] = hash;
      under_test.choice = choice[i];
      test_state(run, disk, oracle, &image, seed);
    }
    disk_image_free(&image);
  }
}

/* One to three calls of all, and one or two of the syncs, at any time of the
 * run. */
static void add_faults(recorder_config_t *config, unsigned calls,
                       unsigned *seed) {
  config->faults = roll(seed, RECORDER_FAULTS_MAX);
  for (size_t i = 0; i < config->faults; i++)
    config->fault[i] = 1 + roll(seed, 3 * calls);
  config->sync_faults = 1 + roll(seed, 2);
  for (size_t i = 0; i < config->sync_faults; i++)
    config->sync_fault[i] = 1 + roll(seed, calls);
}

/* What is kept of what was stored, and whether the run is cut only when files
 * are written again that an earlier part of it has let go of. */
typedef struct plan {
  uint64_t keep_bytes;
  bool begins_late;
} plan_t;

/* Runs what the plan says, and records what it does to the disk. Returns the
 * first place that is to be tested. */
static size_t record_round(run_t *run, unsigned round, const plan_t *plan,
                           disk_t *disk, unsigned *seed) {
  disk_image_t nothing = {.count = 0};
  disk_image_write(&nothing, all.directory[0]);
  recorder_config_t config = {.disk = disk, .record = &run->record};
  if (round % 2 == 1)
    add_faults(&config, plan->begins_late ? 120 : 40, seed);
  under_test.round = round;
  under_test.record = &run->record;
  under_test.image = NULL;
  alarm(STATE_SECONDS);
  recorder_start(&config);
  while (!start(run)) {
  }
  for (int i = 0; plan->begins_late && i < STEPS_BEFORE; i++)
    step(run);
  size_t first = plan->begins_late ? run->told : 0;
  for (int i = 0; i < STEPS; i++)
    step(run);
  au_spool_close(run->spool);
  recorder_stop();
  return first;
}

/* A crash at each place of the record, from "first" on. */
static void test_places(run_t *run, size_t first, disk_t *disk,
                        unsigned *seed) {
  oracle_t oracle;
  oracle_init(&oracle);
  for (size_t place = 0;; place++) {
    under_test.place = place;
    all.places += place >= first;
    if (place >= first)
      test_place(run, disk, &oracle, seed);
    if (place == run->record.count || all.states >= all.limit)
      break;
    disk_op_t *op = &run->record.op[place];
    if (op->kind == DISK_MARK)
      apply_mark(&oracle, op);
    else
      disk_apply(disk, op);
  }
  oracle_fini(&oracle);
}

static void test_round(unsigned round) {
  unsigned seed = all.seed + round * 7919;
  static const plan_t plans[] = {
      {KEEP_ALL, false}, {0, false}, {0, true},        {KEEP_ALL, false},
      {3 * 8192, false}, {0, true},  {3 * 8192, true}, {3 * 8192, false}};
  const plan_t *plan = &plans[round % 8];
  run_t run = {.directory = all.directory[0],
               .segment_bytes = plan->begins_late ? 12288
                                : round % 3 == 2  ? 16384
                                                  : 8192,
               .keep_bytes = plan->keep_bytes,
               .seed = seed,
               .next_value = 1};
  oracle_init(&run.oracle);
  all.uuids = 0;
  disk_t *disk = disk_new();
  size_t first = record_round(&run, round, plan, disk, &seed);
  test_places(&run, first, disk, &seed);
  disk_free(disk);
  run_fini(&run);
}

/* --- the program -----------------------------------------------------------
 */

static void make_directories(void) {
  for (int i = 0; i < 2; i++) {
    snprintf(all.directory[i], sizeof(all.directory[i]),
             "%s/crash_states.XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (mkdtemp(all.directory[i]) == NULL)
      disk_die("could not make a directory");
  }
}

static void remove_directories(void) {
  disk_image_t nothing = {.count = 0};
  for (int i = 0; i < 2; i++) {
    if (all.directory[i][0] == '\0')
      continue;
    disk_image_write(&nothing, all.directory[i]);
    rmdir(all.directory[i]);
  }
}

/* Reads the files of a directory back. */
static void load_image(const char *path, disk_image_t *image) {
  char command[256];
  snprintf(command, sizeof(command), "cp %s/spool/* %s/", path,
           all.directory[1]);
  image->count = 0;
  if (system(command) != 0)
    disk_die("could not copy the state");
}

static int look_again(const char *path) {
  char expected[256];
  snprintf(expected, sizeof(expected), "%s/expected", path);
  oracle_t oracle;
  disk_image_t image;
  if (!oracle_load(&oracle, expected))
    disk_die("could not read what is expected");
  load_image(path, &image);
  release_log();
  run_t run = {.directory = all.directory[1],
               .segment_bytes = 8192,
               .keep_bytes = KEEP_ALL};
  oracle_found_t found = {.value = NULL};
  char text[ORACLE_TEXT_SIZE] = "the spool cannot be opened";
  bool good = open_spool(&run, NULL) == AU_OK &&
              oracle_check(&oracle, run.spool, &run.usage, &found, text);
  free(found.value);
  printf("%s: %s\n", path, good ? "good" : text);
  au_spool_close(run.spool);
  oracle_fini(&oracle);
  return good ? 0 : 1;
}

static int bad_usage(void) {
  fputs("usage: crash_states [--states N] [--choices N] [--seed N]\n"
        "       crash_states --replay DIRECTORY\n",
        stderr);
  return 2;
}

int main(int argc, char **argv) {
  static const struct option options[] = {
      {"states", required_argument, NULL, 's'},
      {"choices", required_argument, NULL, 'c'},
      {"seed", required_argument, NULL, 'r'},
      {"replay", required_argument, NULL, 'p'},
      {NULL, 0, NULL, 0}};
  const char *state = NULL;
  for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
    if (c == 's')
      all.limit = strtoull(optarg, NULL, 10);
    else if (c == 'c')
      all.choices = strtoul(optarg, NULL, 10);
    else if (c == 'r')
      all.seed = (unsigned)strtoul(optarg, NULL, 10);
    else if (c == 'p')
      state = optarg;
    else
      return bad_usage();
  }
  if (all.choices == 0 || all.choices > CHOICES_MAX || optind != argc)
    return bad_usage();
  make_directories();
  atexit(remove_directories);
  watch_alarm();
  ignore_log();
  if (state != NULL)
    return look_again(state);
  unsigned round = 0;
  while (all.states < all.limit)
    test_round(round++);
  printf("crash_states: %" PRIu64 " states of %u runs, all good\n", all.states,
         round);
  bool is_complete = print_kinds();
  printf("  %-42s %10" PRIu64 "\n", "places where runs were cut", all.places);
  printf("  the slowest recovery took %.1f ms\n", slowest_ms);
  /* Every kind comes up, when there are enough states for that. */
  return is_complete || all.states < 2000 ? 0 : 1;
}
