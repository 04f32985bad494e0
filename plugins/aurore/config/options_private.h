/* SPDX-License-Identifier: MIT
 * Part of config/; calls metrics/, event/, base/.
 *
 * options_private - the rows of the table of options, for options.c alone. The
 * rows are in options_table.c.
 */
#ifndef AURORE_CONFIG_OPTIONS_PRIVATE_H
#define AURORE_CONFIG_OPTIONS_PRIVATE_H

#include "config/options.h"

#define AU_LISTEN_DEFAULT "127.0.0.1:3000"

typedef enum au_option_kind {
  /* The numbers; they have a range. */
  AU_OPTION_WHOLE,
  AU_OPTION_BYTES,
  AU_OPTION_SECONDS,
  AU_OPTION_RATE,
  AU_OPTION_STATUS, /* but not every number of it */
  /* The others. */
  AU_OPTION_BOOLEAN,
  AU_OPTION_TEXT,
  AU_OPTION_FILE, /* must be readable */
  AU_OPTION_TIME_OF_DAY,
  AU_OPTION_DURABILITY,
  AU_OPTION_ONCE,
  /* Those that may be given several times. */
  AU_OPTION_LISTEN,
  AU_OPTION_ORIGIN
} au_option_kind_t;

typedef struct au_option {
  au_option_info_t info;
  au_option_kind_t kind;
  size_t offset;   /* of its member in au_options_t */
  size_t width;    /* of that member */
  const char *min; /* as one would write it in the configuration; */
  const char *max; /* NULL where the kind has no range */
} au_option_t;

extern const au_option_t au_option_table[];
extern const size_t au_option_count;

#endif
