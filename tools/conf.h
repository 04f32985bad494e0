/* SPDX-License-Identifier: MIT
 *
 * conf - collectd's configuration, with all that it includes: a tree of options
 * and blocks, each with the place where it is written. "collectd -t" is of no
 * use for that: collectd 5.12 ends before it has read a line, and what it says
 * elsewhere names no line. "-T" would start everything.
 */
#ifndef AURORECTL_CONF_H
#define AURORECTL_CONF_H

#include "config/options.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct ctl_conf_item ctl_conf_item_t;
struct ctl_conf_item {
  const char *key;
  const au_given_t *values;
  size_t values_count;
  ctl_conf_item_t *children; /* the first; NULL: none */
  ctl_conf_item_t *next;     /* in the same block */
  bool is_block;
  const char *file;
  unsigned line;
};

/* What cannot be read, in a line of text, and its place. */
typedef struct ctl_conf_trouble ctl_conf_trouble_t;
struct ctl_conf_trouble {
  const ctl_conf_trouble_t *next;
  const char *text;
  const char *file;
  unsigned line;
  bool is_fatal; /* collectd does not start */
};

typedef struct ctl_conf_file ctl_conf_file_t;
struct ctl_conf_file {
  const ctl_conf_file_t *next;
  const char *path;
};

typedef struct ctl_conf {
  ctl_conf_item_t *items; /* what stands outside of blocks, as it is read */
  const ctl_conf_trouble_t *troubles;
  const ctl_conf_file_t *files; /* that were read, in order */
  size_t files_count;
  struct ctl_conf_block *blocks; /* the memory of it all */
} ctl_conf_t;

/* Reads the file and what it includes. false: out of memory. To be freed in
 * either case. */
bool ctl_conf_read(ctl_conf_t *conf, const char *path);
void ctl_conf_fini(ctl_conf_t *conf);

/* Whether the item has this key, as collectd compares it, and for a first value
 * this text (NULL: any). */
bool ctl_conf_is(const ctl_conf_item_t *item, const char *key,
                 const char *value);
/* Its first value as a text; NULL: it has none, or another one. */
const char *ctl_conf_text(const ctl_conf_item_t *item);
/* The last of these items (NULL: no one) with the key. */
const ctl_conf_item_t *ctl_conf_find(const ctl_conf_item_t *items,
                                     const char *key);

#endif
