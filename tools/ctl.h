/* SPDX-License-Identifier: MIT
 *
 * ctl - what the commands of aurorectl share. A command is a file; it is handed
 * its arguments, the first of which is its own name, and returns an exit
 * status. The program has one thread.
 */
#ifndef AURORECTL_CTL_H
#define AURORECTL_CTL_H

#include "base/status.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>

/* Exit statuses; those of "spool" are in tools/spool.c. */
enum {
  CTL_GOOD = 0,
  CTL_SOME = 1,    /* some events, or dead letters, were refused; problems */
  CTL_USAGE = 2,   /* the command line, or a file that cannot be used */
  CTL_LATER = 3,   /* the server could not be reached, or gave up: try again */
  CTL_REFUSED = 4, /* the server does not want to talk: token, address */
};

int ctl_dlq(int argc, char **argv);
int ctl_doctor(int argc, char **argv);
int ctl_send(int argc, char **argv);
int ctl_spool(int argc, char **argv);
int ctl_token(int argc, char **argv);
int ctl_top(int argc, char **argv);

/* Reads the options of a command: "options" is a table of getopt_long, in which
 * "help" is 'h', and "take" is called for each of the others; false: its value
 * is wrong. Returns CTL_GO_ON, and what follows the options begins at "optind";
 * or the status with which the command ends: "usage" has been printed then. */
enum { CTL_GO_ON = -1 };
int ctl_read_options(int argc, char **argv, const char *usage,
                     const struct option *options,
                     bool (*take)(void *context, int option, const char *value),
                     void *context);
/* Prints "usage" for a command line that is wrong, and returns CTL_USAGE. */
int ctl_bad_usage(const char *usage);

/* A line on standard error, after the name of the program. */
void ctl_say(const char *format, ...) AU_PRINTF(1, 2);

/* Numbers of the command line; false: it is none, or out of range. */
bool ctl_read_seconds(const char *text, double min, double max, double *out);
/* "64KiB", "1MiB", or bytes. */
bool ctl_read_size(const char *text, uint64_t min, uint64_t max, uint64_t *out);

#endif
