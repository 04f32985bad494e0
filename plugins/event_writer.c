/* SPDX-License-Identifier: MIT
 *
 * event_writer - the write side: events leave the buffer for PostgreSQL, each
 * exactly once. The callbacks are in glue.c; what they do is in libaurore
 * (aurore/README.md).
 */
#include "collectd.h"

#include "plugin.h"

#include "glue.h"

/* The one symbol that collectd looks for; all others are hidden. */
__attribute__((visibility("default"))) void module_register(void) {
  au_glue_register(AU_SIDE_WRITER);
}
