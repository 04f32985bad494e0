/* SPDX-License-Identifier: MIT
 *
 * conf_scan - a file of collectd's configuration, line by line. It is read as
 * collectd 5.12 reads it, but for characters outside quotes that collectd
 * drops without a word: they are an error here.
 */
#ifndef AURORECTL_CONF_SCAN_H
#define AURORECTL_CONF_SCAN_H

#include "base/bytes.h"
#include "config/options.h"

#include <stdbool.h>
#include <stddef.h>

/* Values of a line; more are an error. */
#define CTL_CONF_VALUES_MAX 64

typedef enum ctl_conf_kind {
  CTL_CONF_EMPTY,
  CTL_CONF_OPTION, /* Key value... */
  CTL_CONF_BLOCK,  /* <Key value...> */
  CTL_CONF_CLOSE,  /* </Key> */
  CTL_CONF_END,    /* of the file */
  CTL_CONF_ERROR
} ctl_conf_kind_t;

/* One line. Texts are offsets in "text", so that it may grow. */
typedef struct ctl_conf_line {
  ctl_conf_kind_t kind;
  unsigned number; /* the first one is 1 */
  size_t key;
  size_t values_count;
  struct {
    au_given_type_t type;
    size_t string;
    double number;
    bool boolean;
  } values[CTL_CONF_VALUES_MAX];
  au_bytes_t text;   /* owned; emptied by each ctl_conf_scan */
  const char *error; /* of CTL_CONF_ERROR; static */
} ctl_conf_line_t;

typedef struct ctl_conf_scan {
  const char *at; /* borrowed */
  const char *end;
  unsigned number; /* of the line that comes */
} ctl_conf_scan_t;

/* The next line; after an error or the end the same again. */
void ctl_conf_scan(ctl_conf_scan_t *scan, ctl_conf_line_t *line);
/* A text of the line, valid until the next ctl_conf_scan; "" without memory. */
const char *ctl_conf_line_text(ctl_conf_line_t *line, size_t offset);
void ctl_conf_line_fini(ctl_conf_line_t *line);

#endif
