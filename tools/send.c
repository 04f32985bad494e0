/* SPDX-License-Identifier: MIT
 *
 * send - events from standard input to the API, in batches, each once: a batch
 * has a key (Idempotency-Key), under which it is repeated byte for byte until
 * the server has answered, also by another process (tools/state.h).
 *
 * A batch is what is there: while one is under way, the next one gathers in
 * the pipe. So a line that comes alone is sent at once, and many are sent
 * together.
 */
#include "tools/ctl.h"

#include "base/clock.h"
#include "tools/batch.h"
#include "tools/client.h"
#include "tools/input.h"
#include "tools/report.h"
#include "tools/state.h"
#include "tools/tree.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BACKOFF_MIN_S 0.1
#define BACKOFF_MAX_S 30.0
/* What a server asks for is believed up to here. */
#define RETRY_AFTER_MAX_S 3600

static const char usage_text[] =
    "Usage: aurorectl send [OPTION]... <EVENTS\n"
    "\n"
    "Sends the events of standard input to the API: a JSON object a line.\n"
    "\n"
    "What they are:\n"
    "  --lines              plain lines: each is the message of an event\n"
    "  --service NAME       the service of lines, or of events that have none\n"
    "  --timestamp now|first  of lines: when they were read, or their first "
    "word\n"
    "  --lenient            take whatever is a JSON object\n"
    "\n"
    "How they are sent:\n"
    "  --state FILE         go on after a death where it was; each event once\n"
    "  --batch-events N     at most so many in a request (1000)\n"
    "  --batch-bytes SIZE   and so many bytes (256KiB)\n"
    "  --wait SECONDS       wait until they are in the database, 1 to 30\n"
    "  --give-up SECONDS    end when nothing could be sent for so long "
    "(never)\n"
    "  --rejected FILE      add what the server refuses to this file\n"
    "  --quiet              say nothing but errors\n"
    "\n"
    "To whom:\n" CTL_SERVER_HELP "\n"
    "Exit status: 0 all were accepted; 1 some were refused; 2 usage, or a "
    "file;\n"
    "3 stopped, or gave up: the rest is to be sent; 4 the server lets us not "
    "in.\n";

typedef struct sender {
  ctl_server_t server;
  ctl_format_t format;
  bool is_lenient;
  bool is_quiet;
  unsigned wait_s;
  double give_up_s; /* 0: never */
  const char *state_file;
  const char *rejected;

  ctl_client_t *client;
  ctl_input_t input;
  ctl_state_t state;
  ctl_batch_t batch;
  ctl_answer_t answer;
  ctl_report_t report;
  uint64_t random;
} sender_t;

static volatile sig_atomic_t stop;

static void on_signal(int number) {
  (void)number;
  stop = 1;
}

static bool is_stopped(void *context) {
  (void)context;
  return stop != 0;
}

/* The second one ends the process. Nothing that waits is begun again. */
static void catch_signals(void) {
  struct sigaction action = {.sa_handler = on_signal,
                             .sa_flags = (int)SA_RESETHAND};
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
  action = (struct sigaction){.sa_handler = SIG_IGN};
  sigaction(SIGPIPE, &action, NULL);
}

/* --- one request -----------------------------------------------------------
 */

/* 0 to 1 (xorshift). */
static double random_share(sender_t *sender) {
  uint64_t x = sender->random;
  x ^= x << 13;
  x ^= x >> 7;
  x ^= x << 17;
  sender->random = x;
  return (double)(x >> 11) / (double)(UINT64_C(1) << 53);
}

/* Full jitter: anything between nothing and a bound that doubles. What the
 * server asks for is the least. */
static double backoff_s(sender_t *sender, unsigned attempt) {
  double most = BACKOFF_MIN_S;
  for (unsigned i = 0; i < attempt && most < BACKOFF_MAX_S; i++)
    most *= 2;
  if (most > BACKOFF_MAX_S)
    most = BACKOFF_MAX_S;
  long after_s = sender->answer.retry_after_s;
  if (after_s > RETRY_AFTER_MAX_S)
    after_s = RETRY_AFTER_MAX_S;
  return (after_s > 0 ? (double)after_s : 0) + random_share(sender) * most;
}

static void ask(sender_t *sender) {
  char key[CTL_KEY_SIZE + 32];
  char prefer[32];
  const char *headers[] = {"Content-Type: application/x-ndjson", key, NULL,
                           NULL};
  const ctl_batch_t *batch = &sender->batch;
  snprintf(key, sizeof(key), "Idempotency-Key: %s", batch->key);
  if (sender->wait_s > 0) {
    snprintf(prefer, sizeof(prefer), "Prefer: wait=%u", sender->wait_s);
    headers[2] = prefer;
  }
  ctl_client_ask(sender->client, "POST", sender->state.path, headers,
                 batch->body.data + batch->part_offset, batch->part_size,
                 &sender->answer);
}

typedef enum verdict {
  VERDICT_DONE,
  VERDICT_AGAIN,
  VERDICT_SPLIT,  /* too large, or one line spoils the others */
  VERDICT_REFUSED /* nothing of what comes would be taken either */
} verdict_t;

static verdict_t judge(sender_t *sender) {
  ctl_answer_t *answer = &sender->answer;
  if (answer->status >= 200 && answer->status < 300)
    return VERDICT_DONE;
  if (ctl_answer_is_temporary(answer))
    return VERDICT_AGAIN;
  if (answer->status == 413)
    return VERDICT_SPLIT;
  if (answer->status != 400)
    return VERDICT_REFUSED;
  ctl_tree_t *tree = ctl_tree_parse(&answer->body);
  const char *code = ctl_tree_text(tree, "errorCode");
  verdict_t verdict = VERDICT_REFUSED;
  if (code != NULL && strcmp(code, "INVALID_EVENT") == 0)
    verdict = VERDICT_DONE;
  else if (code != NULL && strcmp(code, "MALFORMED_JSON") == 0)
    verdict = VERDICT_SPLIT;
  ctl_tree_free(tree);
  return verdict;
}

/* Waits before the next attempt. false: it is not to be made. */
static bool wait_before(sender_t *sender, unsigned attempt, int64_t since_ns) {
  const char *why = ctl_answer_text(&sender->answer);
  double spent_s =
      (double)(au_clock_monotonic_ns() - since_ns) / (double)AU_NS_PER_S;
  double wait_s = backoff_s(sender, attempt);
  if (stop)
    return false;
  if (sender->give_up_s > 0 && spent_s + wait_s > sender->give_up_s) {
    ctl_say("gave up after %.0f s: %s", spent_s, why);
    return false;
  }
  ctl_report_trouble(&sender->report, why, wait_s);
  (void)poll(NULL, 0, au_clock_poll_ms(au_clock_seconds_ns(wait_s)));
  return !stop;
}

static int refuse_all(sender_t *sender) {
  return ctl_report_refused(&sender->report, &sender->batch, &sender->answer)
             ? CTL_GOOD
             : CTL_USAGE;
}

/* Another part is under way, of what has been taken already. */
static bool save_part(sender_t *sender) {
  if (sender->input.kind == CTL_INPUT_PIPE)
    sender->state.chunk_size = 0;
  return ctl_state_save(&sender->state, &sender->batch);
}

/* Sends the part that is under way until the server has answered. */
static int deliver_part(sender_t *sender) {
  int64_t since_ns = au_clock_monotonic_ns();
  for (unsigned attempt = 0;; attempt++) {
    ask(sender);
    switch (judge(sender)) {
    case VERDICT_DONE:
      if (sender->answer.status == 400)
        return refuse_all(sender);
      return ctl_report_taken(&sender->report, &sender->batch, &sender->answer)
                 ? CTL_GOOD
                 : CTL_USAGE;
    case VERDICT_AGAIN:
      if (!wait_before(sender, attempt, since_ns))
        return CTL_LATER;
      break;
    case VERDICT_SPLIT:
      if (!ctl_batch_split(&sender->batch))
        return refuse_all(sender);
      if (!save_part(sender))
        return CTL_USAGE;
      break;
    case VERDICT_REFUSED:
      ctl_say("the server refuses the request: %s",
              ctl_answer_text(&sender->answer));
      return CTL_REFUSED;
    }
  }
}

static int deliver(sender_t *sender) {
  for (;;) {
    int status = deliver_part(sender);
    if (status != CTL_GOOD)
      return status;
    ctl_state_mark_answered(&sender->state);
    if (!ctl_batch_next_part(&sender->batch))
      return CTL_GOOD;
    if (!save_part(sender))
      return CTL_USAGE;
  }
}

/* --- from the input --------------------------------------------------------
 */

static int fail_input(void) {
  ctl_say("could not read standard input: %s", strerror(errno));
  return CTL_USAGE;
}

/* Writes down what is about to be taken: the batch, made of the first "used"
 * bytes, and what is carried afterwards, from "kept" on. */
static bool save(sender_t *sender, size_t used, size_t kept) {
  ctl_state_t *state = &sender->state;
  const ctl_input_t *input = &sender->input;
  if (state->file == NULL)
    return true;
  size_t end = used > input->carried ? used : input->carried;
  au_bytes_clear(&state->carried, SIZE_MAX);
  au_bytes_put(&state->carried, input->bytes.data + kept, end - kept);
  state->chunk_size = ctl_input_untaken(input, used);
  state->offset = input->offset + used;
  bool has_digest;
  if (input->kind == CTL_INPUT_FILE) {
    state->chunk_size =
        state->offset < CTL_INPUT_KNOWN ? state->offset : CTL_INPUT_KNOWN;
    has_digest = ctl_input_digest_before(input, state->offset,
                                         state->chunk_size, &state->chunk);
  } else {
    has_digest = au_sha256(input->bytes.data + (used - state->chunk_size),
                           state->chunk_size, &state->chunk);
  }
  if (state->carried.failed || !has_digest) {
    ctl_say("could not make the digest of what was read");
    return false;
  }
  return ctl_state_save(state, &sender->batch);
}

static int take_and_deliver(sender_t *sender, size_t used) {
  if (!save(sender, used, used))
    return CTL_USAGE;
  if (!ctl_input_take(&sender->input, used))
    return fail_input();
  ctl_state_mark_taken(&sender->state);
  return deliver(sender);
}

/* The beginning of a line whose rest has yet to come. */
static int carry(sender_t *sender) {
  ctl_input_t *input = &sender->input;
  ctl_state_t *state = &sender->state;
  if (input->kind != CTL_INPUT_PIPE)
    return CTL_GOOD;
  au_bytes_clear(&sender->batch.body, SIZE_MAX);
  sender->batch.part_offset = sender->batch.part_size = 0;
  if (!save(sender, input->bytes.size, 0))
    return CTL_USAGE;
  if (!ctl_input_carry(input))
    return fail_input();
  ctl_state_mark_taken(state);
  return CTL_GOOD;
}

/* All that has been read. */
static int send_what_is_there(sender_t *sender) {
  ctl_input_t *input = &sender->input;
  while (!stop) {
    size_t used = 0;
    if (!ctl_batch_make(&sender->batch, &sender->format, input->bytes.data,
                        input->bytes.size, input->is_at_end, &used)) {
      ctl_say("out of memory");
      return CTL_USAGE;
    }
    if (used == 0)
      return input->is_at_end || input->bytes.size == 0 ? CTL_GOOD
                                                        : carry(sender);
    int status = CTL_GOOD;
    if (sender->batch.events > 0)
      status = take_and_deliver(sender, used);
    else if (!ctl_input_take(input, used))
      status = fail_input();
    if (status != CTL_GOOD)
      return status;
  }
  return CTL_LATER;
}

static int pump(sender_t *sender) {
  ctl_input_t *input = &sender->input;
  while (!stop) {
    if (!ctl_input_wait(input)) {
      if (errno == EINTR)
        continue;
      return fail_input();
    }
    if (!ctl_input_look(input, sender->format.max_bytes))
      return fail_input();
    int status = send_what_is_there(sender);
    if (status != CTL_GOOD)
      return status;
    if (input->is_at_end && input->bytes.size == 0)
      return CTL_GOOD;
  }
  return CTL_LATER;
}

/* --- after a death ---------------------------------------------------------
 */

/* Where the process before was in the input. */
static bool find_place(sender_t *sender) {
  ctl_input_t *input = &sender->input;
  ctl_state_t *state = &sender->state;
  au_digest_t digest;
  if (input->kind == CTL_INPUT_FILE) {
    bool is_same =
        state->device == input->device && state->inode == input->inode &&
        ctl_input_digest_before(input, state->offset, state->chunk_size,
                                &digest) &&
        memcmp(digest.byte, state->chunk.byte, sizeof(digest.byte)) == 0;
    if (is_same)
      input->offset = state->offset;
    return true;
  }
  au_bytes_put(&input->bytes, state->carried.data, state->carried.size);
  input->carried = input->bytes.size;
  bool is_there = false;
  if (!state->is_taken && state->chunk_size > 0 &&
      !ctl_input_begins_with(input, state->chunk.byte, state->chunk_size,
                             &is_there))
    return false;
  input->bytes.size = input->carried;
  return !is_there || ctl_input_drain(input, state->chunk_size);
}

/* Finishes what the process before has begun. */
static int resume(sender_t *sender) {
  ctl_state_t *state = &sender->state;
  if (!state->is_found)
    return CTL_GOOD;
  if (!find_place(sender))
    return fail_input();
  ctl_state_mark_taken(state);
  if (state->is_answered && !ctl_batch_next_part(&sender->batch))
    return CTL_GOOD;
  if (sender->batch.part_size == 0)
    return CTL_GOOD;
  if (state->is_answered && !save_part(sender))
    return CTL_USAGE;
  return deliver(sender);
}

/* --- the command -----------------------------------------------------------
 */

/* false: the name is too long. */
static bool make_path(const sender_t *sender, char path[CTL_PATH_SIZE]) {
  au_bytes_t bytes = AU_BYTES_INIT;
  const char *service = sender->format.service;
  bool is_lenient = sender->is_lenient || sender->format.is_lines;
  au_bytes_put_string(&bytes, "/events");
  if (is_lenient)
    au_bytes_put_string(&bytes, "?lenient=true");
  if (!sender->format.is_lines && service != NULL) {
    au_bytes_put_string(&bytes, is_lenient ? "&service=" : "?service=");
    ctl_put_escaped(&bytes, service);
  }
  const char *text = au_bytes_text(&bytes);
  bool fits = text != NULL && bytes.size < CTL_PATH_SIZE;
  if (fits)
    memcpy(path, text, bytes.size + 1);
  au_bytes_fini(&bytes);
  return fits;
}

static int run_opened(sender_t *sender) {
  if (!ctl_input_open(&sender->input, STDIN_FILENO,
                      sender->state_file != NULL)) {
    ctl_say("could not read standard input: %s",
            errno == ESPIPE ? "with --state it must be a file or a pipe"
                            : strerror(errno));
    return CTL_USAGE;
  }
  int status = resume(sender);
  if (status != CTL_GOOD)
    return status;
  if (!make_path(sender, sender->state.path)) {
    ctl_say("out of memory");
    return CTL_USAGE;
  }
  sender->state.device = sender->input.device;
  sender->state.inode = sender->input.inode;
  return pump(sender);
}

static int run(sender_t *sender) {
  sender->random = (uint64_t)au_clock_wall_us() * 2 + (uint64_t)getpid() + 1;
  catch_signals();
  int status = CTL_USAGE;
  if (ctl_report_open(&sender->report, sender->rejected, sender->is_quiet) &&
      ctl_state_open(&sender->state, sender->state_file, &sender->batch)) {
    sender->client = ctl_client_create(&sender->server);
    /* What is under way is known to the next process: it need not end well. */
    if (sender->client != NULL && sender->state_file != NULL)
      ctl_client_abort_when(sender->client, is_stopped, NULL);
    if (sender->client != NULL)
      status = run_opened(sender);
  }
  if (status == CTL_GOOD && sender->report.refused > 0)
    status = CTL_SOME;
  ctl_report_close(&sender->report);
  ctl_client_destroy(sender->client);
  ctl_input_close(&sender->input);
  ctl_state_close(&sender->state);
  ctl_batch_fini(&sender->batch);
  ctl_answer_fini(&sender->answer);
  return status;
}

enum {
  OPTION_BATCH_BYTES = CTL_OPTION_OWN,
  OPTION_BATCH_EVENTS,
  OPTION_GIVE_UP,
  OPTION_LENIENT,
  OPTION_LINES,
  OPTION_QUIET,
  OPTION_REJECTED,
  OPTION_SERVICE,
  OPTION_STATE,
  OPTION_TIMESTAMP,
  OPTION_WAIT,
};

static bool take_number(sender_t *sender, int option, const char *value) {
  uint64_t size = 0;
  double number = 0;
  bool is_good = false;
  if (option == OPTION_BATCH_BYTES) {
    is_good = ctl_read_size(value, 1, 64 << 20, &size);
    sender->format.max_bytes = (size_t)size;
  } else if (option == OPTION_BATCH_EVENTS) {
    is_good = ctl_read_size(value, 1, 1000000, &size);
    sender->format.max_events = (size_t)size;
  } else if (option == OPTION_GIVE_UP) {
    is_good = ctl_read_seconds(value, 0, 1e9, &sender->give_up_s);
  } else if (option == OPTION_WAIT) {
    is_good = ctl_read_seconds(value, 1, 30, &number);
    sender->wait_s = (unsigned)number;
  }
  return is_good;
}

static bool take_option(sender_t *sender, int option, const char *value) {
  switch (option) {
  case OPTION_LENIENT:
    sender->is_lenient = true;
    return true;
  case OPTION_LINES:
    sender->format.is_lines = true;
    return true;
  case OPTION_QUIET:
    sender->is_quiet = true;
    return true;
  case OPTION_REJECTED:
    sender->rejected = value;
    return true;
  case OPTION_SERVICE:
    sender->format.service = value;
    return value[0] != '\0' && strlen(value) < 400;
  case OPTION_STATE:
    sender->state_file = value;
    return true;
  case OPTION_TIMESTAMP:
    sender->format.timestamp =
        strcmp(value, "first") == 0 ? CTL_TIMESTAMP_FIRST : CTL_TIMESTAMP_NOW;
    return strcmp(value, "first") == 0 || strcmp(value, "now") == 0;
  default:
    return ctl_server_option(&sender->server, option, value) ||
           take_number(sender, option, value);
  }
}

int ctl_send(int argc, char **argv) {
  static const struct option options[] = {
      CTL_SERVER_OPTIONS,
      {"batch-bytes", required_argument, NULL, OPTION_BATCH_BYTES},
      {"batch-events", required_argument, NULL, OPTION_BATCH_EVENTS},
      {"give-up", required_argument, NULL, OPTION_GIVE_UP},
      {"help", no_argument, NULL, 'h'},
      {"lenient", no_argument, NULL, OPTION_LENIENT},
      {"lines", no_argument, NULL, OPTION_LINES},
      {"quiet", no_argument, NULL, OPTION_QUIET},
      {"rejected", required_argument, NULL, OPTION_REJECTED},
      {"service", required_argument, NULL, OPTION_SERVICE},
      {"state", required_argument, NULL, OPTION_STATE},
      {"timestamp", required_argument, NULL, OPTION_TIMESTAMP},
      {"wait", required_argument, NULL, OPTION_WAIT},
      {NULL, 0, NULL, 0}};
  static sender_t sender = {
      .format = {.max_events = 1000, .max_bytes = 256 << 10},
      .input = {.peek_fd = {-1, -1}},
      .state = {.fd = -1, .lock_fd = -1}};
  ctl_server_init(&sender.server);
  int index = 0;
  for (int c; (c = getopt_long(argc, argv, "h", options, &index)) != -1;) {
    if (c == 'h') {
      fputs(usage_text, stdout);
      return CTL_GOOD;
    }
    if (c != '?' && take_option(&sender, c, optarg))
      continue;
    if (c != '?')
      ctl_say("--%s does not take \"%s\"", options[index].name, optarg);
    fputs("Try \"aurorectl send --help\".\n", stderr);
    return CTL_USAGE;
  }
  if (optind < argc) {
    ctl_say("unexpected \"%s\": events are read from standard input",
            argv[optind]);
    return CTL_USAGE;
  }
  if (sender.format.is_lines && sender.format.service == NULL) {
    ctl_say("--lines needs --service NAME");
    return CTL_USAGE;
  }
  return run(&sender);
}
