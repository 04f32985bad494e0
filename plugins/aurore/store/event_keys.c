/* SPDX-License-Identifier: MIT
 * Part of store/; calls database/, spool/, config/, metrics/, event/, base/. */
#include "store/event_keys.h"

#include "base/array.h"
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How long it is not tried again to begin a generation. */
#define BLOCKED_NS (10 * AU_NS_PER_S)
/* Kept from batch to batch. */
#define KEEP_BYTES ((size_t)64 << 10)

void au_event_keys_init(au_event_keys_t *keys, const au_options_t *options,
                        au_spool_t *first) {
  keys->window_s = options->dedup_window_s;
  char host[256] = "";
  char spool[AU_UUID_TEXT_SIZE];
  if (gethostname(host, sizeof(host) - 1) != 0)
    host[0] = '\0';
  au_uuid_t id = au_spool_id(first);
  au_uuid_format(&id, spool);
  bool is_kept = options->spool_directory[0] != '\0';
  (void)snprintf(keys->who, sizeof(keys->who), "%s %s",
                 is_kept ? "spool" : "host", is_kept ? spool : host);
}

void au_event_keys_fini(au_event_keys_t *keys) {
  free(keys->key);
  au_bytes_fini(&keys->marks);
  keys->key = NULL;
  keys->count = 0;
  keys->capacity = 0;
}

void au_event_keys_begin(au_event_keys_t *keys, size_t from) {
  keys->count = 0;
  keys->names = 0;
  keys->from = from;
  keys->duplicates = 0;
}

au_status_t au_event_keys_add(au_event_keys_t *keys, size_t row,
                              const au_row_t *parts) {
  au_uuid_t name = au_row_name(parts);
  au_event_key_t *last = keys->count > 0 ? &keys->key[keys->count - 1] : NULL;
  if (last != NULL && memcmp(&last->name, &name, sizeof(name)) == 0 &&
      parts->number >= last->count) {
    last->count = parts->number + 1;
    last->end = row + 1;
    return AU_OK;
  }
  au_event_key_t *key =
      au_array_grow(keys->key, &keys->capacity, keys->count, sizeof(*key));
  if (key == NULL)
    return AU_NOMEM;
  keys->key = key;
  key[keys->count++] = (au_event_key_t){
      .name = name, .count = parts->number + 1, .first = row, .end = row + 1};
  return AU_OK;
}

static int compare(const void *left, const void *right) {
  const au_event_key_t *a = left;
  const au_event_key_t *b = right;
  int order = memcmp(&a->name, &b->name, sizeof(a->name));
  if (order != 0)
    return order;
  return a->first < b->first ? -1 : a->first > b->first;
}

/* The key after the last of the same name. */
static size_t name_end(const au_event_keys_t *keys, size_t index) {
  size_t end = index + 1;
  while (end < keys->count &&
         memcmp(&keys->key[end].name, &keys->key[index].name,
                sizeof(au_uuid_t)) == 0)
    end++;
  return end;
}

/* --- the question ---------------------------------------------------------*/

static void put_names(const au_event_keys_t *keys, au_bytes_t *sql) {
  char text[AU_UUID_TEXT_SIZE];
  for (size_t i = 0; i < keys->count; i = name_end(keys, i)) {
    au_uuid_format(&keys->key[i].name, text);
    text[AU_UUID_TEXT_SIZE - 1] = ',';
    au_bytes_put(sql, text, AU_UUID_TEXT_SIZE);
  }
  sql->size -= sql->failed ? 0 : 1; /* the last comma */
}

static void put_counts(const au_event_keys_t *keys, au_bytes_t *sql) {
  for (size_t i = 0; i < keys->count;) {
    size_t end = name_end(keys, i);
    uint32_t count = 0;
    for (; i < end; i++)
      if (keys->key[i].count > count)
        count = keys->key[i].count;
    au_bytes_printf(sql, end < keys->count ? "%u," : "%u", count);
  }
}

static void put_host(const au_event_keys_t *keys, au_bytes_t *sql) {
  au_database_put_literal(sql, keys->who, strlen(keys->who));
  au_bytes_printf(sql, ",interval '%.6f s'", keys->window_s);
}

static void put_question(const au_event_keys_t *keys, bool anyway,
                         au_bytes_t *sql) {
  au_bytes_put_string(sql,
                      "SELECT item, stored FROM aurore.take_event_keys('{");
  put_names(keys, sql);
  au_bytes_put_string(sql, "}','{");
  put_counts(keys, sql);
  au_bytes_put_string(sql, "}',");
  put_host(keys, sql);
  au_bytes_put_string(sql, anyway ? ",true)" : ",false)");
}

/* --- the answer -----------------------------------------------------------*/

/* A number as the server writes one that is not negative; -1: it is none. */
static int64_t number_of(const char *text) {
  int64_t number = 0;
  if (text == NULL || *text == '\0')
    return -1;
  for (; *text != '\0'; text++) {
    if (*text < '0' || *text > '9' || number > INT32_MAX)
      return -1;
    number = number * 10 + (*text - '0');
  }
  return number <= INT32_MAX ? number : -1;
}

static bool mark(au_event_keys_t *keys, size_t row) {
  size_t at = row - keys->from;
  if (keys->duplicates == 0)
    au_bytes_clear(&keys->marks, KEEP_BYTES);
  if (at >= keys->marks.size) {
    size_t more = at + 1 - keys->marks.size;
    uint8_t *marks = au_bytes_extend(&keys->marks, more);
    if (marks == NULL) {
      keys->marks.failed = false;
      return false;
    }
    memset(marks, 0, more);
  }
  keys->duplicates += keys->marks.data[at] == 0;
  keys->marks.data[at] = 1;
  return true;
}

/* The keys from "first" to the one before "end" are all of one name. */
static bool mark_name(au_event_keys_t *keys, const au_slab_t *slab,
                      size_t first, size_t end) {
  uint32_t stored = keys->key[first].stored;
  for (size_t i = first; i < end; i++) {
    const au_event_key_t *key = &keys->key[i];
    for (size_t row = key->first; row < key->end; row++) {
      const au_row_t parts = au_slab_row(slab, row);
      au_uuid_t name = au_row_name(&parts);
      if (!au_row_is_stored_once(parts.kind) ||
          memcmp(&name, &key->name, sizeof(name)) != 0)
        continue;
      if (parts.number >= stored)
        stored = parts.number + 1;
      else if (!mark(keys, row))
        return false;
    }
  }
  return true;
}

static bool mark_duplicates(au_event_keys_t *keys, const au_slab_t *slab) {
  for (size_t i = 0; i < keys->count;) {
    size_t end = name_end(keys, i);
    if ((keys->key[i].stored > 0 || end > i + 1) &&
        !mark_name(keys, slab, i, end))
      return false;
    i = end;
  }
  return true;
}

/* The first key of the name at that place, from 1; NULL: there is none. */
static au_event_key_t *find_item(const au_event_keys_t *keys, int64_t item) {
  size_t low = 0;
  size_t high = keys->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (keys->key[middle].item < item)
      low = middle + 1;
    else
      high = middle;
  }
  return low < keys->count && keys->key[low].item == item ? &keys->key[low]
                                                          : NULL;
}

typedef enum answer {
  ANSWER_GOOD,
  ANSWER_NONE, /* good, but nothing is compared */
  ANSWER_TURN,
  ANSWER_BAD
} answer_t;

/* Notes how many events of each name are stored. */
static answer_t read_answer(au_event_keys_t *keys, const au_result_t *result) {
  for (size_t i = 0; i < au_result_rows(result); i++) {
    int64_t item = number_of(au_result_text(result, i, 0));
    int64_t stored = number_of(au_result_text(result, i, 1));
    if (item == 0 && stored >= 0)
      return stored == 0 ? ANSWER_TURN : ANSWER_NONE;
    au_event_key_t *key = find_item(keys, item);
    if (key == NULL || stored < 0)
      return ANSWER_BAD;
    key->stored = (uint32_t)stored;
  }
  return ANSWER_GOOD;
}

/* --- the whole ------------------------------------------------------------*/

static void sort(au_event_keys_t *keys) {
  qsort(keys->key, keys->count, sizeof(*keys->key), compare);
  keys->names = 0;
  for (size_t i = 0; i < keys->count;) {
    size_t end = name_end(keys, i);
    keys->names++;
    for (; i < end; i++) {
      keys->key[i].item = (int64_t)keys->names;
      keys->key[i].stored = 0;
    }
  }
}

/* Asks once. On AU_OK the transaction is open, unless the answer is
 * ANSWER_TURN, which comes only when "anyway" is not set. */
static au_status_t ask(au_event_keys_t *keys, const au_slab_t *slab,
                       au_database_t *database, bool anyway, au_bytes_t *sql,
                       answer_t *out_answer, au_database_error_t *error) {
  put_question(keys, anyway, sql);
  const char *text = au_database_text(sql, error);
  if (text == NULL)
    return AU_NOMEM;
  au_result_t result = {.pg = NULL};
  au_status_t status = au_database_begin(database, text, &result, error);
  if (status != AU_OK)
    return status;
  *out_answer = read_answer(keys, &result);
  if (*out_answer == ANSWER_TURN && anyway)
    *out_answer = ANSWER_BAD;
  au_result_fini(&result);
  if (*out_answer == ANSWER_NONE ||
      (*out_answer == ANSWER_GOOD && mark_duplicates(keys, slab)))
    return AU_OK;
  status = au_database_roll_back(database, error);
  if (status != AU_OK || *out_answer == ANSWER_TURN)
    return status;
  au_database_error_set(error, *out_answer == ANSWER_BAD
                                   ? "unexpected result of "
                                     "aurore.take_event_keys()"
                                   : "out of memory");
  return *out_answer == ANSWER_BAD ? AU_INVALID : AU_NOMEM;
}

au_status_t au_event_keys_take(au_event_keys_t *keys, const au_slab_t *slab,
                               au_database_t *database, au_bytes_t *sql,
                               au_database_error_t *error) {
  sort(keys);
  size_t before = sql->size;
  int64_t now_ns = au_clock_monotonic_ns();
  bool anyway = keys->blocked_ns != 0 && now_ns - keys->blocked_ns < BLOCKED_NS;
  answer_t answer = ANSWER_GOOD;
  au_status_t status = ask(keys, slab, database, anyway, sql, &answer, error);
  if (status != AU_OK || answer != ANSWER_TURN)
    return status;
  bool is_turned = false;
  status = au_event_keys_turn(keys, database, &is_turned, error);
  if (status != AU_OK)
    return status;
  keys->blocked_ns = is_turned ? 0 : now_ns;
  sql->size = before;
  return ask(keys, slab, database, true, sql, &answer, error);
}

bool au_event_keys_is_duplicate(const au_event_keys_t *keys, size_t row) {
  size_t at = row - keys->from;
  return keys->duplicates > 0 && row >= keys->from && at < keys->marks.size &&
         keys->marks.data[at] != 0;
}

au_status_t au_event_keys_turn(const au_event_keys_t *keys,
                               au_database_t *database, bool *out_turned,
                               au_database_error_t *error) {
  au_bytes_t sql = AU_BYTES_INIT;
  au_result_t result = {.pg = NULL};
  au_bytes_put_string(&sql, "SELECT aurore.turn_event_keys(");
  put_host(keys, &sql);
  au_bytes_put_u8(&sql, ')');
  const char *text = au_database_text(&sql, error);
  au_status_t status = text == NULL
                           ? AU_NOMEM
                           : au_database_exec(database, text, &result, error);
  au_bytes_fini(&sql);
  if (status != AU_OK)
    return status;
  const char *turned = au_result_text(&result, 0, 0);
  *out_turned = turned != NULL && strcmp(turned, "t") == 0;
  au_result_fini(&result);
  return AU_OK;
}
