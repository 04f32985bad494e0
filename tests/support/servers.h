/* SPDX-License-Identifier: MIT
 *
 * servers - for tests that need a real server: databases on the one that
 * AURORE_TEST_CONNINFO names, and servers that a test may kill.
 */
#ifndef SUPPORT_SERVERS_H
#define SUPPORT_SERVERS_H

#include "config/options.h"
#include "database/database.h"
#include "support/files.h"
#include "support/suite.h"

#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

/* The superuser's connection to the database of AURORE_TEST_CONNINFO. */
extern au_database_t *control;
void open_control(void);
void close_control(void);

/* The test server with some of its settings replaced; a later one wins. */
const char *conninfo_with(const char *more);

/* The value of one keyword of a connection string. */
const char *conninfo_value(const char *conninfo, const char *keyword);

/* A client that is not connected yet. */
au_database_t *make_client(const char *conninfo, double statement_timeout_s,
                           int stop_fd);

#define ck_assert_done(status, error)                                          \
  ck_assert_msg((status) == AU_OK, "status %d, sqlstate \"%s\": %s",           \
                (int)(status), (error).sqlstate, (error).message)

/* A connection to "conninfo", made; statements have 30 seconds by default. */
au_database_t *connect_client(const char *conninfo, double statement_timeout_s,
                              int stop_fd);
au_database_t *open_client(const char *conninfo);

void do_sql(au_database_t *database, const char *sql);
/* The same with a statement that is put together. */
void do_sqlf(au_database_t *database, const char *format, ...) AU_PRINTF(2, 3);

/* The first column of the first row; "" when it is NULL or there is none. */
const char *ask(au_database_t *database, const char *sql);

void set_conninfo(au_options_t *options, const char *conninfo);

/* Waits, as long as the test may take, until the answer is what is expected. */
void await(au_database_t *database, const char *sql, const char *expected);

/* A bash that has read scripts/postgres.sh and runs "script" with $1; its
 * standard output is "*out". It is to end when its standard input does. */
typedef struct helper {
  pid_t pid;
  int in;
  FILE *out;
} helper_t;

helper_t start_helper(const char *script, const char *argument);

void end_helper(helper_t *helper);

void read_line(helper_t *helper, char *line, size_t size);

/* A cluster of the test's own; started again in the same directory it goes on
 * where it was. */
typedef struct cluster {
  helper_t helper;
  char conninfo[256];
  pid_t pid;
} cluster_t;

void start_cluster(cluster_t *cluster, const char *directory);

void stop_cluster(cluster_t *cluster);

/* A pgbouncer in transaction mode in front of a server; it has no more than one
 * connection to each database, so that its clients share sessions. */
typedef struct bouncer {
  helper_t helper;
  char directory[64];
  char conninfo[256];
} bouncer_t;

bool has_bouncer(void);

void start_bouncer(bouncer_t *bouncer, const char *server, const char *dbname);

void stop_bouncer(bouncer_t *bouncer);

#endif
