/* SPDX-License-Identifier: MIT
 *
 * A load on a spool that may be killed, or lose its disk, at any moment, and
 * the check of what is left.
 *
 * Threads append and wait for the answer; one more takes batches as the writer
 * of a lane does. All that is attempted, acknowledged or stored is written to a
 * journal elsewhere (another file system, when it is the spool's that dies), a
 * line each, before or after it as a client or a database would know it. Each
 * start reads the journal first and compares the spool with it.
 *
 *   A value rows   appended          K value   acknowledged, or found again
 *   S number       rows before it are in the database
 *   N              a new start: what was appended and not found never was
 */
#include "faults/disk.h"
#include "faults/oracle.h"
#include "spool/frame.h"
#include "support/log_capture.h"

#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define THREADS_MAX 64
/* Rows that are left waiting, so that there is something to lose. */
#define BACKLOG 400

static struct {
  const char *directory;
  const char *journal;
  uint64_t segment_bytes;
  unsigned threads;
  uint64_t until; /* acknowledged appends after which it ends; 0: never */
  uint64_t hold;  /* nothing is stored before so many refusals */
  uint64_t rows;  /* of an append; 0: one to five */
  unsigned seed;
} options = {.directory = "",
             .journal = "",
             .segment_bytes = 65536,
             .threads = 6,
             .seed = 1};

static struct {
  int journal_fd;
  au_spool_t *spool;
  au_usage_t usage;

  pthread_mutex_t lock; /* protects: all below */
  pthread_cond_t changed;
  oracle_t oracle;
  uint64_t next_value;
  uint64_t acknowledged;
  uint64_t refused;
  bool stop;
} load = {.lock = PTHREAD_MUTEX_INITIALIZER,
          .changed = PTHREAD_COND_INITIALIZER};

static void violation(const char *text) __attribute__((noreturn));

static void violation(const char *text) {
  fprintf(stderr, "spool_load: %s: %s\n", options.directory, text);
  exit(1);
}

/* --- the journal -----------------------------------------------------------
 */

static void note_locked(char what, uint64_t value, uint64_t rows) {
  char line[64];
  int size = snprintf(line, sizeof(line), "%c %" PRIu64 " %" PRIu64 "\n", what,
                      value, rows);
  if (write(load.journal_fd, line, (size_t)size) != size)
    disk_die("could not write the journal");
}

static void read_line(const char *line) {
  char what = 0;
  uint64_t value = 0;
  uint64_t rows = 0;
  if (sscanf(line, "%c %" SCNu64 " %" SCNu64, &what, &value, &rows) != 3)
    disk_die("could not understand the journal");
  if (what == 'A') {
    oracle_appended(&load.oracle, value, rows);
    load.next_value = value + rows;
  } else if (what == 'K') {
    oracle_acknowledged(&load.oracle, value);
  } else if (what == 'S') {
    load.oracle.stored = value;
  } else {
    oracle_forget_open(&load.oracle);
  }
}

static void read_journal(void) {
  oracle_init(&load.oracle);
  load.next_value = 1;
  FILE *file = fopen(options.journal, "r");
  char line[128];
  while (file != NULL && fgets(line, sizeof(line), file) != NULL)
    read_line(line);
  if (file != NULL)
    fclose(file);
  load.journal_fd =
      open(options.journal, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (load.journal_fd < 0)
    disk_die("could not open the journal");
}

/* Opens the spool, and compares. */
static void open_and_check(void) {
  char error[256] = "";
  const au_spool_config_t config = {.directory = options.directory,
                                    .segment_bytes = options.segment_bytes,
                                    .durability = AU_DURABILITY_COMMIT,
                                    .max_bytes = UINT64_C(1) << 40,
                                    .usage = &load.usage};
  read_journal();
  if (au_spool_open(&config, &load.spool, error, sizeof(error)) != AU_OK)
    violation(error);
  oracle_found_t found;
  char text[ORACLE_TEXT_SIZE];
  if (!oracle_check(&load.oracle, load.spool, &load.usage, &found, text))
    violation(text);
  for (size_t i = 0; i < found.count; i++) {
    note_locked('K', found.value[i], 0);
    oracle_acknowledged(&load.oracle, found.value[i]);
  }
  note_locked('N', 0, 0);
  oracle_forget_open(&load.oracle);
  free(found.value);
}

/* --- the load --------------------------------------------------------------
 */

typedef struct client {
  au_waiter_t waiter; /* the first member */
  pthread_t thread;
  unsigned seed;
  uint64_t value;
  uint64_t rows;
  bool is_done;
  au_status_t status;
} client_t;

static void client_done(au_waiter_t *waiter, au_status_t status) {
  client_t *client = (client_t *)waiter;
  pthread_mutex_lock(&load.lock);
  if (status == AU_OK) {
    note_locked('K', client->value, 0);
    oracle_acknowledged(&load.oracle, client->value);
    load.acknowledged++;
  } else {
    load.refused++;
  }
  client->status = status;
  client->is_done = true;
  pthread_cond_broadcast(&load.changed);
  pthread_mutex_unlock(&load.lock);
}

/* Holds lock, so that the journal has the order of the appends. */
static void append_locked(client_t *client) {
  client->rows = options.rows != 0 ? options.rows
                                   : 1 + (uint64_t)rand_r(&client->seed) % 5;
  client->value = load.next_value;
  client->is_done = false;
  load.next_value += client->rows;
  au_rows_t rows = {.count = 0};
  uint64_t bytes = 0;
  for (uint64_t i = 0; i < client->rows; i++) {
    row_put(&rows, client->value + i);
    bytes += au_frame_size(rows.row[i].size);
  }
  note_locked('A', client->value, client->rows);
  oracle_appended(&load.oracle, client->value, client->rows);
  atomic_fetch_add(&load.usage.events, client->rows);
  atomic_fetch_add(&load.usage.bytes, bytes);
  if (au_spool_append(load.spool, &rows, &client->waiter) != AU_PENDING)
    violation("an append was refused at once");
  rows_drop(&rows);
}

static void *client_main(void *argument) {
  client_t *client = argument;
  const struct timespec moment = {.tv_nsec = 2000000};
  pthread_mutex_lock(&load.lock);
  while (!load.stop) {
    append_locked(client);
    while (!client->is_done)
      pthread_cond_wait(&load.changed, &load.lock);
    if (options.until != 0 && load.acknowledged >= options.until)
      load.stop = true;
    if (client->status == AU_OK)
      continue;
    pthread_mutex_unlock(&load.lock);
    nanosleep(&moment, NULL); /* as a client that got 503 */
    pthread_mutex_lock(&load.lock);
  }
  pthread_cond_broadcast(&load.changed);
  pthread_mutex_unlock(&load.lock);
  return NULL;
}

/* How many rows of the slab have been acknowledged; they must be the ones. */
static size_t check_slab_locked(const au_slab_t *slab) {
  size_t i = 0;
  for (; i < slab->count && slab->first_seq + i <= load.oracle.count; i++) {
    const au_row_t row = au_slab_row(slab, i);
    if (!row_is(row.tuple, (uint32_t)row.size,
                load.oracle.value[slab->first_seq + i - 1]))
      violation("a row is read that is not the one that was acknowledged");
  }
  return i;
}

static void *store_main(void *argument) {
  (void)argument;
  au_slab_t slab = {.count = 0};
  pthread_mutex_lock(&load.lock);
  while (!load.stop) {
    uint64_t waiting = load.oracle.count + 1 - load.oracle.stored;
    if (load.refused < options.hold ||
        waiting <= (options.hold > 0 ? 0 : BACKLOG)) {
      pthread_cond_wait(&load.changed, &load.lock);
      continue;
    }
    pthread_mutex_unlock(&load.lock);
    au_status_t status = au_spool_read(load.spool, au_spool_begin(load.spool),
                                       200, 30000, &slab);
    pthread_mutex_lock(&load.lock);
    size_t rows = status == AU_OK ? check_slab_locked(&slab) : 0;
    if (rows == 0)
      continue;
    au_position_t to = au_slab_position(&slab, rows);
    note_locked('S', to.seq, 0);
    load.oracle.stored = to.seq;
    au_spool_trim(load.spool, to);
  }
  pthread_mutex_unlock(&load.lock);
  au_slab_fini(&slab);
  return NULL;
}

static int run(void) {
  static client_t client[THREADS_MAX];
  pthread_t store;
  open_and_check();
  for (unsigned i = 0; i < options.threads; i++) {
    client[i].waiter.done = client_done;
    client[i].seed = options.seed * 100 + i;
    if (pthread_create(&client[i].thread, NULL, client_main, &client[i]) != 0)
      disk_die("could not start a thread");
  }
  if (pthread_create(&store, NULL, store_main, NULL) != 0)
    disk_die("could not start a thread");
  for (unsigned i = 0; i < options.threads; i++)
    pthread_join(client[i].thread, NULL);
  pthread_join(store, NULL);
  au_spool_close(load.spool);
  printf("%" PRIu64 " acknowledged, %" PRIu64 " refused\n", load.acknowledged,
         load.refused);
  return 0;
}

/* --- checks ----------------------------------------------------------------
 */

static int verify(void) {
  open_and_check();
  printf("%" PRIu64 " rows acknowledged, %" PRIu64 " of them stored, %" PRIu64
         " attempted\n",
         load.oracle.count, load.oracle.stored - 1, load.next_value - 1);
  au_spool_close(load.spool);
  return 0;
}

/* A child runs the load, and is killed after a moment; again and again. */
static int kill_rounds(unsigned rounds) {
  unsigned seed = options.seed;
  for (unsigned round = 0; round < rounds; round++) {
    pid_t child = fork();
    if (child < 0)
      disk_die("could not fork");
    if (child == 0) {
      options.seed = seed;
      _exit(run());
    }
    /* Mostly while it works, sometimes while it starts. */
    long us = rand_r(&seed) % (rand_r(&seed) % 4 == 0 ? 3000 : 40000);
    const struct timespec moment = {.tv_nsec = us * 1000};
    nanosleep(&moment, NULL);
    kill(child, SIGKILL);
    int status = 0;
    if (waitpid(child, &status, 0) != child)
      disk_die("could not wait for the child");
    if (!WIFSIGNALED(status))
      return 1; /* it has said why */
  }
  printf("%u kills: ", rounds);
  return verify();
}

static int bad_usage(void) {
  fputs("usage: spool_load [options] run|verify DIRECTORY JOURNAL\n"
        "       spool_load [options] kill DIRECTORY JOURNAL ROUNDS\n"
        "  --threads N  --segment-bytes N  --seed N\n"
        "  --until N    end after N acknowledged appends\n"
        "  --hold N     store nothing before N appends were refused\n"
        "  --rows N     rows of an append (one to five)\n",
        stderr);
  return 2;
}

int main(int argc, char **argv) {
  static const struct option long_options[] = {
      {"threads", required_argument, NULL, 't'},
      {"segment-bytes", required_argument, NULL, 'b'},
      {"seed", required_argument, NULL, 's'},
      {"until", required_argument, NULL, 'u'},
      {"hold", required_argument, NULL, 'h'},
      {"rows", required_argument, NULL, 'r'},
      {NULL, 0, NULL, 0}};
  for (int c; (c = getopt_long(argc, argv, "", long_options, NULL)) != -1;) {
    uint64_t number = c == '?' ? 0 : strtoull(optarg, NULL, 10);
    if (c == 't' && number > 0 && number <= THREADS_MAX)
      options.threads = (unsigned)number;
    else if (c == 'b')
      options.segment_bytes = number;
    else if (c == 's')
      options.seed = (unsigned)number;
    else if (c == 'u')
      options.until = number;
    else if (c == 'h')
      options.hold = number;
    else if (c == 'r')
      options.rows = number;
    else
      return bad_usage();
  }
  if (argc - optind < 3)
    return bad_usage();
  options.directory = argv[optind + 1];
  options.journal = argv[optind + 2];
  ignore_log();
  if (strcmp(argv[optind], "run") == 0)
    return run();
  if (strcmp(argv[optind], "verify") == 0)
    return verify();
  if (strcmp(argv[optind], "kill") == 0 && argc - optind == 4)
    return kill_rounds((unsigned)strtoul(argv[optind + 3], NULL, 10));
  return bad_usage();
}
