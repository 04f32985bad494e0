/* SPDX-License-Identifier: MIT
 * Part of config/; calls metrics/, event/, base/.
 *
 * durability - what has happened to events when they are acknowledged.
 */
#ifndef AURORE_CONFIG_DURABILITY_H
#define AURORE_CONFIG_DURABILITY_H

typedef enum au_durability {
  AU_DURABILITY_COMMIT,   /* they were written and synced (fdatasync) */
  AU_DURABILITY_INTERVAL, /* written, and synced within SyncInterval */
  AU_DURABILITY_MEMORY    /* written, and never synced */
} au_durability_t;

#endif
