/* SPDX-License-Identifier: MIT
 *
 * bare_copy - as fast as libpq stores rows: COPY ... (FORMAT binary), one
 * connection, one transaction a batch, and nothing else. What the benchmark
 * compares the writer with.
 *
 * usage: bare_copy CONNINFO FILE ROWS BATCH
 *
 * FILE holds tuples of aurore.event, one behind the other, each behind its
 * length (uint32, of this machine); they are sent in turn until ROWS are
 * stored. The accept time and the id, which stand first in a tuple, are made
 * anew for each row, or rows that are sent again would not be new ones.
 *
 * Prints the seconds from the first batch to the last commit.
 */
#include <libpq-fe.h>

#include <endian.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

/* Where the two fields stand: behind the number of fields and a length. */
#define INGESTED_AT 6
#define EVENT_ID 18
#define EVENT_ID_END 34

#define POSTGRES_EPOCH_S 946684800

static const char header[19] = "PGCOPY\n\377\r\n";
static const char trailer[2] = {'\377', '\377'};
static const char copy_sql[] =
    "COPY aurore.event (ingested_at, event_id, occurred_at, service, message, "
    "metadata) FROM STDIN (FORMAT binary)";

typedef struct tuples {
  char *data;
  size_t *offset; /* count + 1 of them */
  size_t count;
} tuples_t;

static void die(const char *what) {
  fprintf(stderr, "bare_copy: %s\n", what);
  exit(1);
}

static double now_s(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static char *read_file(const char *name, size_t *out_size) {
  FILE *file = fopen(name, "rb");
  if (file == NULL || fseek(file, 0, SEEK_END) != 0)
    die("could not open the tuples");
  long size = ftell(file);
  rewind(file);
  char *data = size > 0 ? malloc((size_t)size) : NULL;
  if (data == NULL || fread(data, (size_t)size, 1, file) != 1)
    die("could not read the tuples");
  fclose(file);
  *out_size = (size_t)size;
  return data;
}

/* Puts the tuples close together, so that a batch is one run of bytes. */
static void load(tuples_t *tuples, const char *name) {
  size_t size = 0;
  char *data = read_file(name, &size);
  size_t capacity = size / (EVENT_ID_END + sizeof(uint32_t)) + 1;
  tuples->offset = calloc(capacity + 1, sizeof(*tuples->offset));
  if (tuples->offset == NULL)
    die("out of memory");
  size_t to = 0;
  for (size_t at = 0; at + sizeof(uint32_t) <= size;) {
    uint32_t length;
    memcpy(&length, data + at, sizeof(length));
    at += sizeof(length);
    if (length < EVENT_ID_END || length > size - at)
      die("the file of tuples is cut");
    tuples->offset[tuples->count++] = to;
    memmove(data + to, data + at, length);
    to += length;
    at += length;
  }
  tuples->offset[tuples->count] = to;
  tuples->data = data;
}

/* The accept time, and an id of version 7 that is larger than the one before.
 */
static void renew(char *tuple, double now, uint64_t number, uint64_t random) {
  uint64_t us = htobe64((uint64_t)((now - POSTGRES_EPOCH_S) * 1e6));
  uint64_t high =
      htobe64(((uint64_t)(now * 1e3) << 16) | 0x7000 | (number & 0xfff));
  uint64_t low = htobe64((UINT64_C(2) << 62) | ((random ^ number) >> 2));
  memcpy(tuple + INGESTED_AT, &us, sizeof(us));
  memcpy(tuple + EVENT_ID, &high, sizeof(high));
  memcpy(tuple + EVENT_ID + sizeof(high), &low, sizeof(low));
}

static void put(PGconn *conn, const char *data, size_t size) {
  if (PQputCopyData(conn, data, (int)size) != 1)
    die(PQerrorMessage(conn));
}

/* Stores "rows" rows from tuple "first" on, in one transaction. */
static void store(PGconn *conn, tuples_t *tuples, size_t first, size_t rows,
                  uint64_t number, uint64_t random) {
  double now = now_s(CLOCK_REALTIME);
  for (size_t i = 0; i < rows; i++)
    renew(tuples->data + tuples->offset[first + i], now, number + i, random);
  PGresult *result = PQexec(conn, copy_sql);
  if (PQresultStatus(result) != PGRES_COPY_IN)
    die(PQerrorMessage(conn));
  PQclear(result);
  put(conn, header, sizeof(header));
  put(conn, tuples->data + tuples->offset[first],
      tuples->offset[first + rows] - tuples->offset[first]);
  put(conn, trailer, sizeof(trailer));
  if (PQputCopyEnd(conn, NULL) != 1)
    die(PQerrorMessage(conn));
  while ((result = PQgetResult(conn)) != NULL) {
    if (PQresultStatus(result) != PGRES_COMMAND_OK)
      die(PQerrorMessage(conn));
    PQclear(result);
  }
}

int main(int argc, char **argv) {
  if (argc != 5) {
    fprintf(stderr, "usage: bare_copy CONNINFO FILE ROWS BATCH\n");
    return 2;
  }
  tuples_t tuples = {.data = NULL};
  load(&tuples, argv[2]);
  size_t rows = strtoull(argv[3], NULL, 10);
  size_t batch = strtoull(argv[4], NULL, 10);
  if (batch == 0 || tuples.count == 0 || tuples.count % batch != 0)
    die("the file does not hold whole batches");
  uint64_t random = 0;
  if (getrandom(&random, sizeof(random), 0) != sizeof(random))
    die("no random numbers");
  PGconn *conn = PQconnectdb(argv[1]);
  if (PQstatus(conn) != CONNECTION_OK)
    die(PQerrorMessage(conn));

  double start = now_s(CLOCK_MONOTONIC);
  for (size_t done = 0; done < rows;) {
    size_t size = rows - done < batch ? rows - done : batch;
    store(conn, &tuples, done % tuples.count, size, done, random);
    done += size;
  }
  printf("%.6f\n", now_s(CLOCK_MONOTONIC) - start);
  PQfinish(conn);
  free(tuples.data);
  free(tuples.offset);
  return 0;
}
