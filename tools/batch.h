/* SPDX-License-Identifier: MIT
 *
 * batch - events that are sent together: lines of JSON, made of lines of the
 * input. They are sent as they are, under one key; when the server finds them
 * too many they go in parts, each under a key of its own.
 */
#ifndef AURORECTL_BATCH_H
#define AURORECTL_BATCH_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A longer line is cut into several. */
#define CTL_LINE_MAX ((size_t)1 << 20)
#define CTL_KEY_SIZE 64

typedef enum ctl_timestamp {
  CTL_TIMESTAMP_NOW,  /* when the line was read */
  CTL_TIMESTAMP_FIRST /* the line's first word, if it is one */
} ctl_timestamp_t;

/* How the input is read. */
typedef struct ctl_format {
  bool is_lines; /* each line is a message; else it is an event in JSON */
  const char *service;
  ctl_timestamp_t timestamp;
  size_t max_events;
  size_t max_bytes; /* of a batch, if it has more than one line */
} ctl_format_t;

typedef struct ctl_batch {
  au_bytes_t body;
  size_t events;
  /* The part that is under way. */
  size_t part_offset;
  size_t part_size;
  char key[CTL_KEY_SIZE];
} ctl_batch_t;

/* Frees its memory. All zero is an empty one. */
void ctl_batch_fini(ctl_batch_t *batch);

/* Makes a batch of whole lines; with "is_last" also of what follows the last of
 * them. "out_used" is how many bytes were used: 0 when there is no whole line.
 * There may be no event in them. false: out of memory. */
bool ctl_batch_make(ctl_batch_t *batch, const ctl_format_t *format,
                    const uint8_t *bytes, size_t size, bool is_last,
                    size_t *out_used);

/* Events in the part; lines are ended by a newline each. */
size_t ctl_batch_part_events(const ctl_batch_t *batch);
/* Event "index" of the part, without its newline. */
const char *ctl_batch_line(const ctl_batch_t *batch, size_t index,
                           size_t *out_size);
/* Goes on with the first half of the part, under a new key. false: it is one
 * event. */
bool ctl_batch_split(ctl_batch_t *batch);
/* Goes on with all that follows the part, under a new key. false: nothing does.
 */
bool ctl_batch_next_part(ctl_batch_t *batch);

#endif
