/* SPDX-License-Identifier: MIT
 *
 * spool - inspects a spool directory: verifies it, shows what it holds, writes
 * its events out. It only reads, and so may be run on a spool in use;
 * only "renew" writes, and refuses that.
 */
#include "tools/ctl.h"

#include "base/json.h"
#include "base/timestamp.h"
#include "event/row.h"
#include "spool/segment.h"
#include "spool/state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define SEGMENTS_MAX 65536
#define NO_ROWS 0

enum { EXIT_GOOD = 0, EXIT_DAMAGED = 1, EXIT_TROUBLE = 2 };

static const char usage_text[] =
    "Usage: aurorectl spool check  DIRECTORY\n"
    "       aurorectl spool stat   DIRECTORY\n"
    "       aurorectl spool export [--from SEQ] [--to SEQ] [--all] DIRECTORY\n"
    "       aurorectl spool renew  DIRECTORY\n"
    "\n"
    "DIRECTORY is a SpoolDirectory, or one lane-NN in it.\n"
    "  check   verify every frame; exit status 0: good, 1: damaged\n"
    "  stat    show what the spool holds\n"
    "  export  write the waiting events as NDJSON; --all: also those that are\n"
    "          stored but not deleted yet; SEQ: sequence numbers, both "
    "included\n"
    "  renew   give the spool a new name for the database (ends a fence; "
    "collectd\n"
    "          must be stopped)\n";

typedef struct request {
  uint64_t from;
  uint64_t to;
  bool all;
} request_t;

/* One lane, opened for reading. */
typedef struct lane {
  const char *path;
  au_store_t store;
  au_spool_state_t state;
  uint64_t number[SEGMENTS_MAX];   /* of the segments, rising */
  uint64_t stop_seq[SEGMENTS_MAX]; /* rows from it on are in a later one; or
                                      NO_ROWS */
  size_t count;
} lane_t;

/* What was seen while walking through a lane. */
typedef struct findings {
  uint64_t rows;
  uint64_t bytes;
  uint64_t next_seq;
  uint64_t damaged; /* ranges */
} findings_t;

static int fail(const char *what, const char *name) {
  fprintf(stderr, "aurorectl: could not %s \"%s\": %s\n", what, name,
          errno == EPROTO ? "a newer release wrote it" : strerror(errno));
  return EXIT_TROUBLE;
}

static int compare_numbers(const void *left, const void *right) {
  uint64_t a = *(const uint64_t *)left;
  uint64_t b = *(const uint64_t *)right;
  return a < b ? -1 : a > b;
}

static int open_lane(lane_t *lane, const char *path) {
  memset(lane, 0, sizeof(*lane));
  lane->path = path;
  lane->store.io = &au_io_system;
  lane->store.directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (lane->store.directory < 0)
    return fail("open directory", path);
  if (au_spool_state_load(&au_io_system, lane->store.directory, &lane->state) !=
      AU_OK)
    return fail("read the state of", path);
  lane->store.id = lane->state.id;
  DIR *directory = opendir(path);
  if (directory == NULL)
    return fail("list directory", path);
  const struct dirent *entry;
  while ((entry = readdir(directory)) != NULL) {
    uint64_t number = au_segment_parse_name(entry->d_name);
    if (number != 0 && lane->count < SEGMENTS_MAX)
      lane->number[lane->count++] = number;
  }
  closedir(directory);
  qsort(lane->number, lane->count, sizeof(lane->number[0]), compare_numbers);
  return EXIT_GOOD;
}

typedef int (*row_visitor_t)(const au_frame_t *frame, const void *context);

/* The rows of a group are only good once its footer has been seen. */
typedef struct group {
  uint64_t start;    /* offset */
  uint64_t stop_seq; /* rows from this number on are again in a later segment:
                        what was written here was refused */
  uint64_t rows;
} group_t;

static int visit_group(const lane_t *lane, const au_segment_t *segment,
                       const group_t *group, uint64_t end, row_visitor_t visit,
                       const void *context) {
  if (visit == NULL)
    return EXIT_GOOD;
  au_cursor_t cursor = {.fd = -1};
  au_frame_t frame;
  au_cursor_init(&cursor, lane->store.io, segment->fd, segment->salt,
                 group->start, end);
  int status = EXIT_GOOD;
  while (status == EXIT_GOOD) {
    if (au_cursor_next(&cursor, &frame) != AU_CURSOR_FRAME) {
      if (au_cursor_resync(&cursor) != AU_CURSOR_FRAME)
        break;
    } else if (frame.kind == AU_FRAME_ROW && frame.seq < group->stop_seq) {
      status = visit(&frame, context);
    }
  }
  au_cursor_fini(&cursor);
  return status;
}

/* None in a file that has become another segment meanwhile, as one does whose
 * rows are gone: its header says so before anything else is written. */
static void damage(const lane_t *lane, const au_segment_t *segment,
                   uint64_t from, uint64_t to, findings_t *findings) {
  if (!au_segment_is_same(&lane->store, segment))
    return;
  findings->damaged++;
  fprintf(stderr,
          "aurorectl: %s: segment %016" PRIx64 ": bytes %" PRIu64 " to %" PRIu64
          " are damaged\n",
          lane->path, segment->number, from, to);
}

/* Whether there is a good frame at "at" by now; the cursor then goes on there.
 * A spool in use is written while it is read, in the order of the offsets: what
 * was missing is there by the time that something after it is. */
static bool is_written_meanwhile(au_cursor_t *cursor, uint64_t at) {
  au_frame_t frame;
  uint64_t found = cursor->offset;
  uint64_t limit = cursor->limit;
  au_cursor_init(cursor, cursor->io, cursor->fd, cursor->salt, at, limit);
  bool is_good = au_cursor_next(cursor, &frame) == AU_CURSOR_FRAME;
  au_cursor_init(cursor, cursor->io, cursor->fd, cursor->salt,
                 is_good ? at : found, limit);
  return is_good;
}

/* Walks through one segment. What follows the last group is a torn tail, and no
 * damage, in the last segment (its "stop_seq" is UINT64_MAX), and in an older
 * one when no row is missing before those of the next. */
static int walk_segment(const lane_t *lane, const au_segment_t *segment,
                        uint64_t stop_seq, findings_t *findings,
                        row_visitor_t visit, const void *context) {
  au_cursor_t cursor = {.fd = -1};
  au_frame_t frame;
  group_t group = {.start = AU_SEGMENT_HEADER_SIZE, .stop_seq = stop_seq};
  uint64_t bad_from = 0; /* 0: none seen since the last footer */
  uint64_t bad_to = 0;
  int status = EXIT_GOOD;
  au_cursor_init(&cursor, lane->store.io, segment->fd, segment->salt,
                 AU_SEGMENT_HEADER_SIZE, segment->size);
  while (status == EXIT_GOOD) {
    uint64_t at = cursor.offset;
    au_cursor_result_t result = au_cursor_next(&cursor, &frame);
    if (result == AU_CURSOR_ERROR) {
      status = fail("read a segment of", lane->path);
    } else if (result != AU_CURSOR_FRAME) {
      result = au_cursor_resync(&cursor);
      if (result != AU_CURSOR_FRAME)
        break;
      if (is_written_meanwhile(&cursor, at))
        continue;
      bad_from = bad_from != 0 ? bad_from : at;
      bad_to = cursor.offset;
    } else if (frame.kind == AU_FRAME_ROW) {
      if (frame.seq < stop_seq)
        group.rows++;
    } else {
      /* A complete footer after a bad range: it was acknowledged. */
      if (bad_from != 0)
        damage(lane, segment, bad_from, bad_to, findings);
      status =
          visit_group(lane, segment, &group, cursor.offset, visit, context);
      findings->rows += group.rows;
      findings->bytes += cursor.offset - group.start;
      findings->next_seq = frame.seq;
      group = (group_t){.start = cursor.offset, .stop_seq = stop_seq};
      bad_from = 0;
    }
  }
  if (status == EXIT_GOOD && bad_from != 0 && stop_seq != UINT64_MAX &&
      findings->next_seq < stop_seq)
    damage(lane, segment, bad_from, bad_to, findings);
  au_cursor_fini(&cursor);
  return status;
}

/* For each segment the lowest first row of the segments after it: in between
 * there may be remains of a group that was refused. A segment without rows is
 * skipped, even if it has some by the time that the walk comes to it: what was
 * written before them may have been passed already. */
static void find_stops(lane_t *lane) {
  uint64_t stop_seq = UINT64_MAX;
  for (size_t i = lane->count; i-- > 0;) {
    au_segment_t *segment = au_segment_open(&lane->store, lane->number[i]);
    bool is_empty = segment != NULL && segment->first_seq == 0;
    lane->stop_seq[i] = is_empty ? NO_ROWS : stop_seq;
    if (segment != NULL && !is_empty && segment->first_seq < stop_seq)
      stop_seq = segment->first_seq;
    au_segment_close(&lane->store, segment);
  }
}

static int walk(lane_t *lane, bool all, findings_t *findings,
                row_visitor_t visit, const void *context) {
  memset(findings, 0, sizeof(*findings));
  find_stops(lane);
  for (size_t i = 0; i < lane->count; i++) {
    /* What is no longer kept, and left over by a crash, counts for nothing. */
    if (lane->stop_seq[i] == NO_ROWS ||
        lane->number[i] < lane->state.kept.segment ||
        (!all && lane->number[i] < lane->state.begin.segment))
      continue;
    au_segment_t *segment = au_segment_open(&lane->store, lane->number[i]);
    if (segment == NULL && errno == EILSEQ) /* trimmed while it was opened? */
      segment = au_segment_open(&lane->store, lane->number[i]);
    if (segment == NULL && errno == ENOENT) {
      findings->next_seq = 0; /* trimmed meanwhile: no gap */
      continue;
    }
    if (segment == NULL && errno != EILSEQ)
      return fail("read a segment of", lane->path);
    if (segment == NULL) {
      findings->damaged++;
      fprintf(stderr,
              "aurorectl: %s: segment %016" PRIx64 " has a damaged header\n",
              lane->path, lane->number[i]);
      continue;
    }
    uint64_t next_seq = findings->next_seq;
    int status = walk_segment(lane, segment, lane->stop_seq[i], findings, visit,
                              context);
    if (next_seq != 0 && segment->first_seq > next_seq) {
      findings->damaged++;
      fprintf(stderr,
              "aurorectl: %s: events %" PRIu64 " to %" PRIu64 " are missing\n",
              lane->path, next_seq, segment->first_seq - 1);
    }
    au_segment_close(&lane->store, segment);
    if (status != EXIT_GOOD)
      return status;
  }
  return EXIT_GOOD;
}

static int check_lane(lane_t *lane, const request_t *request) {
  (void)request;
  findings_t findings;
  int status = walk(lane, true, &findings, NULL, NULL);
  if (status != EXIT_GOOD)
    return status;
  printf("%s: %" PRIu64 " events in %zu segments, %" PRIu64 " damaged ranges\n",
         lane->path, findings.rows, lane->count, findings.damaged);
  return findings.damaged > 0 ? EXIT_DAMAGED : EXIT_GOOD;
}

static int stat_lane(lane_t *lane, const request_t *request) {
  (void)request;
  findings_t findings;
  int status = walk(lane, true, &findings, NULL, NULL);
  if (status != EXIT_GOOD)
    return status;
  char id[AU_UUID_TEXT_SIZE];
  au_uuid_format(&lane->state.name, id);
  uint64_t begin = lane->state.begin.seq;
  uint64_t end = findings.next_seq > begin ? findings.next_seq : begin;
  printf("directory        %s\n"
         "spool            %s\n"
         "segments         %zu\n"
         "bytes            %" PRIu64 "\n"
         "next_to_store    %" PRIu64 "\n"
         "next_to_accept   %" PRIu64 "\n"
         "waiting_at_most  %" PRIu64 "\n"
         "kept_at_most     %" PRIu64 "\n"
         "damaged_ranges   %" PRIu64 "\n",
         lane->path, id, lane->count, findings.bytes, begin, end, end - begin,
         begin - lane->state.kept.seq, findings.damaged);
  return EXIT_GOOD;
}

static void put_member(au_bytes_t *json, const char *name, const char *text,
                       size_t size) {
  au_bytes_printf(json, ",\"%s\":", name);
  au_json_put_string(json, text, size);
}

static void put_uuid(au_bytes_t *json, const char *name, const au_uuid_t *id) {
  char text[AU_UUID_TEXT_SIZE];
  au_uuid_format(id, text);
  put_member(json, name, text, strlen(text));
}

static void put_time(au_bytes_t *json, const char *name, int64_t us) {
  char text[AU_TIMESTAMP_US_TEXT_SIZE];
  au_timestamp_format_us(us, text);
  put_member(json, name, text, strlen(text));
}

static void put_row(au_bytes_t *json, uint64_t seq, const au_row_t *row,
                    const au_event_t *event) {
  au_bytes_printf(json, "{\"seq\":%" PRIu64, seq);
  put_uuid(json, "event_id", &event->id);
  put_time(json, "timestamp", event->occurred_at_us);
  put_member(json, "service", event->service.data, event->service.size);
  put_member(json, "message", event->message.data, event->message.size);
  if (event->metadata.data != NULL) {
    au_bytes_put_string(json, ",\"metadata\":");
    au_bytes_put(json, event->metadata.data, event->metadata.size);
  }
  put_time(json, "ingested_at", event->ingested_at_us);
  if (row->kind == AU_ROW_REPROCESS)
    put_uuid(json, "dead_letter_id", &row->dead_letter_id);
  au_bytes_put_string(json, "}\n");
}

static int print_row(const au_frame_t *frame, const void *context) {
  const request_t *request = context;
  if (frame->seq < request->from || frame->seq > request->to)
    return EXIT_GOOD;
  int status = EXIT_GOOD;
  au_event_t event;
  au_bytes_t json = AU_BYTES_INIT;
  au_bytes_t bytes = AU_BYTES_INIT;
  au_row_kind_t kind = au_frame_copy_row(frame, &bytes);
  const au_row_t row = au_row_split(kind, bytes.data, bytes.size);
  if (bytes.failed) {
    status = fail("print", "an event");
  } else if (au_row_decode(row.tuple, row.size, &event) != AU_OK) {
    fprintf(stderr, "aurorectl: event %" PRIu64 " cannot be decoded\n",
            frame->seq);
    status = EXIT_DAMAGED;
  } else {
    put_row(&json, frame->seq, &row, &event);
    if (json.failed || fwrite(json.data, 1, json.size, stdout) != json.size)
      status = fail("write to", "standard output");
  }
  au_bytes_fini(&json);
  au_bytes_fini(&bytes);
  return status;
}

static int export_lane(lane_t *lane, const request_t *request) {
  request_t own = *request;
  if (!own.all && own.from < lane->state.begin.seq)
    own.from = lane->state.begin.seq;
  findings_t findings;
  int status = walk(lane, own.all, &findings, print_row, &own);
  if (status == EXIT_GOOD && fflush(stdout) != 0)
    status = fail("write to", "standard output");
  if (status == EXIT_GOOD && findings.damaged > 0)
    status = EXIT_DAMAGED;
  return status;
}

static int renew_lane(lane_t *lane, const request_t *request) {
  (void)request;
  int lock =
      openat(lane->store.directory, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock < 0)
    return fail("lock", lane->path);
  if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
    fprintf(stderr, "aurorectl: \"%s\" is in use; stop collectd first\n",
            lane->path);
    close(lock);
    return EXIT_TROUBLE;
  }
  int status = EXIT_GOOD;
  /* As its last owner left it. */
  if (au_spool_state_load(&au_io_system, lane->store.directory, &lane->state) !=
      AU_OK) {
    status = fail("read the state of", lane->path);
  } else if (lane->state.generation == 0) {
    fprintf(stderr, "aurorectl: \"%s\" holds no spool\n", lane->path);
    status = EXIT_TROUBLE;
  } else if (au_spool_state_renew(&au_io_system, lane->store.directory,
                                  &lane->state) != AU_OK) {
    status = fail("write the state of", lane->path);
  }
  if (status == EXIT_GOOD) {
    char id[AU_UUID_TEXT_SIZE];
    au_uuid_format(&lane->state.name, id);
    printf("%s: is spool %s from now on\n", lane->path, id);
  }
  close(lock);
  return status;
}

typedef int (*command_t)(lane_t *lane, const request_t *request);

static int run_on_lane(const char *path, command_t command,
                       const request_t *request) {
  static lane_t lane; /* too large for a stack; one at a time */
  int status = open_lane(&lane, path);
  if (status == EXIT_GOOD)
    status = command(&lane, request);
  au_io_close(&au_io_system, lane.store.directory);
  lane.path = NULL; /* the caller's */
  return status;
}

/* Each lane-NN of the directory, or the directory itself. */
static int run(const char *path, command_t command, const request_t *request) {
  int worst = EXIT_GOOD;
  bool has_lanes = false;
  for (unsigned index = 0; index < 100; index++) {
    char lane[4096];
    struct stat info;
    if (snprintf(lane, sizeof(lane), "%s/lane-%02u", path, index) >=
        (int)sizeof(lane))
      break;
    if (stat(lane, &info) != 0)
      break;
    has_lanes = true;
    int status = run_on_lane(lane, command, request);
    worst = status > worst ? status : worst;
  }
  return has_lanes ? worst : run_on_lane(path, command, request);
}

static bool parse_seq(const char *text, uint64_t *out_seq) {
  char *end = NULL;
  errno = 0;
  *out_seq = strtoull(text, &end, 10);
  return errno == 0 && end != text && *end == '\0' && text[0] != '-';
}

static bool take_option(void *context, int option, const char *value) {
  request_t *request = context;
  if (option == 'a') {
    request->all = true;
    return true;
  }
  return parse_seq(value, option == 'f' ? &request->from : &request->to);
}

int ctl_spool(int argc, char **argv) {
  static const struct {
    const char *name;
    command_t command;
  } commands[] = {{"check", check_lane},
                  {"stat", stat_lane},
                  {"export", export_lane},
                  {"renew", renew_lane}};
  static const struct option options[] = {
      {"from", required_argument, NULL, 'f'},
      {"to", required_argument, NULL, 't'},
      {"all", no_argument, NULL, 'a'},
      {"help", no_argument, NULL, 'h'},
      {NULL, 0, NULL, 0}};
  request_t request = {.from = 0, .to = UINT64_MAX};
  int status =
      ctl_read_options(argc, argv, usage_text, options, take_option, &request);
  if (status != CTL_GO_ON)
    return status;
  if (argc - optind != 2)
    return ctl_bad_usage(usage_text);
  for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
    if (strcmp(argv[optind], commands[i].name) == 0)
      return run(argv[optind + 1], commands[i].command, &request);
  return ctl_bad_usage(usage_text);
}
