/* SPDX-License-Identifier: MIT */
#include "tools/batch.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/timestamp.h"
#include "base/uuid.h"

#include <stdio.h>
#include <string.h>

void ctl_batch_fini(ctl_batch_t *batch) { au_bytes_fini(&batch->body); }

static void name_part(ctl_batch_t *batch, size_t offset, size_t size) {
  batch->part_offset = offset;
  batch->part_size = size;
  char id[AU_UUID_TEXT_SIZE];
  const au_uuid_t uuid = au_uuid_v7();
  au_uuid_format(&uuid, id);
  snprintf(batch->key, sizeof(batch->key), "aurorectl-%s", id);
}

static bool is_blank(const uint8_t *line, size_t size) {
  for (size_t i = 0; i < size; i++)
    if (line[i] != ' ' && line[i] != '\t')
      return false;
  return true;
}

/* The bytes at the line's start that are a time and the blanks after it; 0: it
 * does not begin with one. A number is none: many lines begin with one. */
static size_t timestamp_prefix(const char *line, size_t size, int64_t *out_us) {
  size_t word = 0;
  while (word < size && line[word] != ' ' && line[word] != '\t')
    word++;
  if (memchr(line, '-', word) == NULL ||
      !au_timestamp_parse(line, word, out_us))
    return 0;
  while (word < size && (line[word] == ' ' || line[word] == '\t'))
    word++;
  return word < size ? word : 0; /* there must be a message, too */
}

static void put_message(ctl_batch_t *batch, const ctl_format_t *format,
                        const char *line, size_t size) {
  int64_t us = au_clock_wall_us();
  char time[AU_TIMESTAMP_US_TEXT_SIZE];
  au_bytes_t *body = &batch->body;
  if (format->timestamp == CTL_TIMESTAMP_FIRST) {
    size_t prefix = timestamp_prefix(line, size, &us);
    line += prefix;
    size -= prefix;
  }
  au_timestamp_format_us(us, time);
  au_bytes_printf(body, "{\"timestamp\":\"%s\",\"service\":", time);
  au_json_put_text(body, format->service);
  au_bytes_put_string(body, ",\"message\":");
  au_json_put_string(body, line, size);
  au_bytes_put_string(body, "}\n");
}

static void put_line(ctl_batch_t *batch, const ctl_format_t *format,
                     const uint8_t *line, size_t size) {
  if (size > 0 && line[size - 1] == '\r')
    size--;
  if (is_blank(line, size))
    return;
  batch->events++;
  if (format->is_lines) {
    put_message(batch, format, (const char *)line, size);
    return;
  }
  au_bytes_put(&batch->body, line, size);
  au_bytes_put_u8(&batch->body, '\n');
}

/* The size of the next line without its end; "out_used" with it. false: it is
 * not whole. */
static bool next_line(const uint8_t *bytes, size_t size, bool is_last,
                      size_t *out_size, size_t *out_used) {
  const uint8_t *end = size > 0 ? memchr(bytes, '\n', size) : NULL;
  *out_size = end != NULL ? (size_t)(end - bytes) : size;
  *out_used = *out_size + (end != NULL ? 1 : 0);
  if (*out_size > CTL_LINE_MAX)
    *out_size = *out_used = CTL_LINE_MAX;
  else if (end == NULL && (!is_last || size == 0))
    return false;
  return true;
}

bool ctl_batch_make(ctl_batch_t *batch, const ctl_format_t *format,
                    const uint8_t *bytes, size_t size, bool is_last,
                    size_t *out_used) {
  size_t line_size;
  size_t line_used;
  size_t used = 0;
  au_bytes_clear(&batch->body, SIZE_MAX);
  batch->events = 0;
  while (
      batch->events < format->max_events &&
      next_line(bytes + used, size - used, is_last, &line_size, &line_used)) {
    size_t before = batch->body.size;
    size_t events = batch->events;
    put_line(batch, format, bytes + used, line_size);
    if (events > 0 && batch->body.size > format->max_bytes) {
      batch->body.size = before; /* the next batch begins with it */
      batch->events = events;
      break;
    }
    used += line_used;
  }
  name_part(batch, 0, batch->body.size);
  *out_used = used;
  return !batch->body.failed;
}

size_t ctl_batch_part_events(const ctl_batch_t *batch) {
  size_t events = 0;
  const uint8_t *data = batch->body.data + batch->part_offset;
  for (size_t i = 0; i < batch->part_size; i++)
    events += data[i] == '\n';
  return events;
}

const char *ctl_batch_line(const ctl_batch_t *batch, size_t index,
                           size_t *out_size) {
  const uint8_t *at = batch->body.data + batch->part_offset;
  const uint8_t *end = at + batch->part_size;
  for (; at < end; index--) {
    const uint8_t *newline = memchr(at, '\n', (size_t)(end - at));
    if (newline == NULL)
      break;
    *out_size = (size_t)(newline - at);
    if (index == 0)
      return (const char *)at;
    at = newline + 1;
  }
  *out_size = 0;
  return "";
}

bool ctl_batch_split(ctl_batch_t *batch) {
  size_t events = ctl_batch_part_events(batch);
  if (events < 2)
    return false;
  size_t line_size;
  const char *last = ctl_batch_line(batch, events / 2 - 1, &line_size);
  const char *start = (const char *)batch->body.data + batch->part_offset;
  name_part(batch, batch->part_offset, (size_t)(last - start) + line_size + 1);
  return true;
}

bool ctl_batch_next_part(ctl_batch_t *batch) {
  size_t end = batch->part_offset + batch->part_size;
  if (end >= batch->body.size)
    return false;
  name_part(batch, end, batch->body.size - end);
  return true;
}
