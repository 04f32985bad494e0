/* SPDX-License-Identifier: MIT
 *
 * oracle - see oracle.h.
 */
#include "faults/oracle.h"

#include "faults/disk.h"
#include "metrics/metrics.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- rows ------------------------------------------------------------------
 */

uint32_t row_size(uint64_t value) {
  uint64_t mixed = value * UINT64_C(0x9E3779B97F4A7C15) >> 40;
  /* Mostly small, so that several share a sector; some span a few. */
  return 16 + (uint32_t)(mixed % 8 == 0 ? mixed % 1400 : mixed % 150);
}

static uint8_t row_byte(uint64_t value, uint32_t at) {
  return (uint8_t)((value + at / 16) % 251 + 1);
}

void row_put(au_rows_t *rows, uint64_t value) {
  uint32_t size = row_size(value);
  uint8_t *row = au_bytes_extend(&rows->bytes, size);
  au_row_extent_t *extent =
      realloc(rows->row, (rows->count + 1) * sizeof(*rows->row));
  if (row == NULL || extent == NULL)
    disk_die("out of memory");
  rows->row = extent;
  for (uint32_t i = 0; i < size; i++)
    row[i] = row_byte(value, i);
  memcpy(row, &value, sizeof(value));
  extent[rows->count++] = (au_row_extent_t){.size = size};
}

uint64_t row_value(const uint8_t *row) {
  uint64_t value;
  memcpy(&value, row, sizeof(value));
  return value;
}

bool row_is(const uint8_t *row, uint32_t size, uint64_t value) {
  if (size != row_size(value) || row_value(row) != value)
    return false;
  for (uint32_t i = sizeof(value); i < size; i++)
    if (row[i] != row_byte(value, i))
      return false;
  return true;
}

void rows_drop(au_rows_t *rows) {
  au_bytes_fini(&rows->bytes);
  free(rows->row);
  memset(rows, 0, sizeof(*rows));
}

/* --- what must be there ----------------------------------------------------
 */

void oracle_init(oracle_t *oracle) {
  memset(oracle, 0, sizeof(*oracle));
  oracle->stored = 1;
}

void oracle_copy(oracle_t *to, const oracle_t *from) {
  *to = *from;
  to->capacity = from->count + 1;
  to->value = malloc(to->capacity * sizeof(*to->value));
  if (to->value == NULL)
    disk_die("out of memory");
  if (from->count > 0)
    memcpy(to->value, from->value, from->count * sizeof(*to->value));
  to->open_capacity = from->opens + 1;
  to->open = malloc(to->open_capacity * sizeof(*to->open));
  if (to->open == NULL)
    disk_die("out of memory");
  if (from->opens > 0)
    memcpy(to->open, from->open, from->opens * sizeof(*to->open));
}

void oracle_fini(oracle_t *oracle) {
  free(oracle->value);
  free(oracle->open);
  oracle->value = NULL;
  oracle->open = NULL;
}

static void add_row(oracle_t *oracle, uint64_t value) {
  if (oracle->count == oracle->capacity) {
    oracle->capacity = oracle->capacity == 0 ? 64 : 2 * oracle->capacity;
    oracle->value =
        realloc(oracle->value, oracle->capacity * sizeof(*oracle->value));
    if (oracle->value == NULL)
      disk_die("out of memory");
  }
  oracle->value[oracle->count++] = value;
}

void oracle_appended(oracle_t *oracle, uint64_t value, uint64_t rows) {
  if (oracle->opens == oracle->open_capacity) {
    oracle->open_capacity = 2 * oracle->open_capacity + 16;
    oracle->open =
        realloc(oracle->open, oracle->open_capacity * sizeof(*oracle->open));
    if (oracle->open == NULL)
      disk_die("out of memory");
  }
  oracle->open[oracle->opens++] =
      (oracle_append_t){.value = value, .rows = rows};
}

void oracle_acknowledged(oracle_t *oracle, uint64_t value) {
  size_t i = 0;
  while (i < oracle->opens && oracle->open[i].value != value)
    i++;
  if (i == oracle->opens)
    disk_die("an answer to what was not appended");
  for (uint64_t row = 0; row < oracle->open[i].rows; row++)
    add_row(oracle, value + row);
  size_t rest = oracle->opens - i - 1;
  memmove(oracle->open, oracle->open + i + 1, rest * sizeof(oracle->open[0]));
  oracle->opens = rest;
}

void oracle_forget_open(oracle_t *oracle) { oracle->opens = 0; }

/* --- is it there? ----------------------------------------------------------
 */

typedef struct checker {
  const oracle_t *oracle;
  char *text;
  uint64_t next; /* number of the next row */
  size_t open;   /* the open append that is next, or under way */
  uint64_t row;  /* of it; 0: none of its rows has been seen */
  oracle_found_t found;
} checker_t;

static bool wrong(checker_t *checker, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static bool wrong(checker_t *checker, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(checker->text, ORACLE_TEXT_SIZE, format, arguments);
  va_end(arguments);
  return false;
}

/* A row behind all that was acknowledged: of an append that was open. */
static bool check_open_row(checker_t *checker, const uint8_t *row,
                           uint32_t size) {
  const oracle_t *oracle = checker->oracle;
  uint64_t value = size >= 8 ? row_value(row) : 0;
  while (checker->row == 0 && checker->open < oracle->opens &&
         oracle->open[checker->open].value != value)
    checker->open++;
  if (checker->open == oracle->opens)
    return wrong(checker,
                 "row %" PRIu64 " (value %" PRIu64
                 ") was never appended, or was refused before a later one was "
                 "acknowledged, or comes twice",
                 checker->next, value);
  const oracle_append_t *append = &oracle->open[checker->open];
  if (!row_is(row, size, append->value + checker->row))
    return wrong(checker,
                 "row %" PRIu64 " has value %" PRIu64 " instead of %" PRIu64,
                 checker->next, value, append->value + checker->row);
  if (++checker->row == append->rows) {
    checker->found.value[checker->found.count++] = append->value;
    checker->row = 0;
    checker->open++;
  }
  return true;
}

static bool check_row(checker_t *checker, const uint8_t *row, uint32_t size) {
  const oracle_t *oracle = checker->oracle;
  if (checker->next > oracle->count)
    return check_open_row(checker, row, size);
  uint64_t value = oracle->value[checker->next - 1];
  if (!row_is(row, size, value))
    return wrong(checker,
                 "row %" PRIu64 " has value %" PRIu64 " instead of %" PRIu64
                 ", which was acknowledged",
                 checker->next, size >= 8 ? row_value(row) : 0, value);
  return true;
}

static bool check_slab(checker_t *checker, const au_slab_t *slab) {
  if (slab->count > 0 && slab->first_seq != checker->next)
    return wrong(checker, "row %" PRIu64 " is missing: the next is %" PRIu64,
                 checker->next, slab->first_seq);
  for (size_t i = 0; i < slab->count; i++) {
    const au_row_t row = au_slab_row(slab, i);
    if (!check_row(checker, row.tuple, (uint32_t)row.size))
      return false;
    checker->next++;
  }
  if (slab->end.seq != checker->next)
    return wrong(checker, "row %" PRIu64 " is missing: %" PRIu64 " are passed",
                 checker->next, slab->end.seq - checker->next);
  return true;
}

static bool check_rows(checker_t *checker, au_spool_t *spool) {
  au_slab_t slab = {.count = 0};
  au_position_t at = au_spool_begin(spool);
  bool good = true;
  checker->next = at.seq;
  while (good) {
    au_status_t status =
        au_spool_read(spool, at, 1 + at.seq % 9, 200 + at.seq % 5000, &slab);
    if (status != AU_OK)
      good = wrong(checker, "could not read row %" PRIu64 " (status %d)",
                   checker->next, (int)status);
    else if (slab.end.seq == at.seq)
      break;
    else
      good = check_slab(checker, &slab);
    at = slab.end;
  }
  au_slab_fini(&slab);
  return good;
}

/* What the database knows must fit. */
static bool check_claim(checker_t *checker, au_spool_t *spool) {
  const oracle_t *oracle = checker->oracle;
  au_uuid_t id = au_spool_id(spool);
  if (oracle->has_id && memcmp(&id, &oracle->id, sizeof(id)) != 0)
    return wrong(checker, "the spool has another name");
  if (!oracle->has_owner)
    return true;
  au_uuid_t owner[AU_OWNERS_MAX];
  uint32_t owners = au_spool_owners(spool, owner, NULL);
  for (uint32_t i = 0; i < owners; i++)
    if (memcmp(&owner[i], &oracle->owner, sizeof(owner[i])) == 0)
      return true;
  return wrong(checker, "the owner that the database knows is forgotten");
}

static bool check_all(checker_t *checker, au_spool_t *spool,
                      const au_usage_t *usage) {
  const oracle_t *oracle = checker->oracle;
  /* As a claim does it: the database fell back before the process died. */
  if (au_spool_begin(spool).seq > oracle->stored)
    (void)au_spool_rewind(spool, oracle->stored);
  uint64_t begin = au_spool_begin(spool).seq;
  uint64_t durable = au_spool_durable_seq(spool);
  if (begin > oracle->stored)
    return wrong(checker,
                 "the spool begins with row %" PRIu64
                 ", and the database has those before %" PRIu64 " only",
                 begin, oracle->stored);
  if (!check_rows(checker, spool))
    return false;
  if (checker->row != 0)
    return wrong(checker, "half an append is there, up to row %" PRIu64,
                 checker->next - 1);
  if (checker->next <= oracle->count)
    return wrong(checker,
                 "rows %" PRIu64 " to %" PRIu64
                 " are lost, which were acknowledged",
                 checker->next, oracle->count);
  if (checker->next != durable)
    return wrong(checker,
                 "the next number is %" PRIu64 ", and the last row %" PRIu64,
                 durable, checker->next - 1);
  if (au_metrics_counter(AU_M_SPOOL_DAMAGED, 0) != 0)
    return wrong(checker, "a damaged range was reported");
  if (atomic_load(&usage->events) != durable - begin ||
      (atomic_load(&usage->bytes) == 0) != (durable == begin))
    return wrong(checker,
                 "%" PRIu64 " events (%" PRIu64
                 " bytes) are counted, and %" PRIu64 " are there",
                 atomic_load(&usage->events), atomic_load(&usage->bytes),
                 durable - begin);
  return check_claim(checker, spool);
}

bool oracle_check(const oracle_t *oracle, au_spool_t *spool,
                  const au_usage_t *usage, oracle_found_t *out_found,
                  char text[ORACLE_TEXT_SIZE]) {
  checker_t checker = {.oracle = oracle, .text = text};
  checker.found.value =
      malloc((oracle->opens + 1) * sizeof(*checker.found.value));
  if (checker.found.value == NULL)
    disk_die("out of memory");
  *out_found = (oracle_found_t){.value = NULL};
  if (!check_all(&checker, spool, usage)) {
    free(checker.found.value);
    return false;
  }
  *out_found = checker.found;
  return true;
}

/* --- as text ---------------------------------------------------------------
 */

static void save_uuid(FILE *file, const char *what, bool has,
                      const au_uuid_t *uuid) {
  char text[AU_UUID_TEXT_SIZE];
  au_uuid_format(uuid, text);
  if (has)
    fprintf(file, "%s %s\n", what, text);
}

void oracle_save(const oracle_t *oracle, const char *path) {
  FILE *file = fopen(path, "w");
  if (file == NULL)
    disk_die("could not write what is expected");
  save_uuid(file, "id", oracle->has_id, &oracle->id);
  save_uuid(file, "owner", oracle->has_owner, &oracle->owner);
  fprintf(file, "stored %" PRIu64 "\n", oracle->stored);
  for (uint64_t i = 0; i < oracle->count; i++)
    fprintf(file, "row %" PRIu64 "\n", oracle->value[i]);
  for (size_t i = 0; i < oracle->opens; i++)
    fprintf(file, "open %" PRIu64 " %" PRIu64 "\n", oracle->open[i].value,
            oracle->open[i].rows);
  if (fclose(file) != 0)
    disk_die("could not write what is expected");
}

static void load_line(oracle_t *oracle, const char *line) {
  uint64_t value = 0;
  uint64_t rows = 0;
  char text[AU_UUID_TEXT_SIZE];
  if (sscanf(line, "id %36s", text) == 1)
    oracle->has_id = au_uuid_parse(text, strlen(text), &oracle->id);
  else if (sscanf(line, "owner %36s", text) == 1)
    oracle->has_owner = au_uuid_parse(text, strlen(text), &oracle->owner);
  else if (sscanf(line, "stored %" SCNu64, &value) == 1)
    oracle->stored = value;
  else if (sscanf(line, "row %" SCNu64, &value) == 1)
    add_row(oracle, value);
  else if (sscanf(line, "open %" SCNu64 " %" SCNu64, &value, &rows) == 2)
    oracle_appended(oracle, value, rows);
}

bool oracle_load(oracle_t *oracle, const char *path) {
  oracle_init(oracle);
  FILE *file = fopen(path, "r");
  if (file == NULL)
    return false;
  char line[128];
  while (fgets(line, sizeof(line), file) != NULL)
    load_line(oracle, line);
  fclose(file);
  return true;
}
