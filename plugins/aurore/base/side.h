/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project.
 *
 * side - which of the two plugins something belongs to.
 */
#ifndef AURORE_BASE_SIDE_H
#define AURORE_BASE_SIDE_H

typedef enum au_side {
  AU_SIDE_BUFFER, /* event_buffer, the read side */
  AU_SIDE_WRITER  /* event_writer, the write side */
} au_side_t;

/* What the plugin is called. */
static inline const char *au_side_name(au_side_t side) {
  return side == AU_SIDE_BUFFER ? "event_buffer" : "event_writer";
}

#endif
