/* SPDX-License-Identifier: MIT
 *
 * event_buffer - the read side: events come in over HTTP and wait in the
 * bounded buffer. The callbacks are in glue.c; what they do is in libaurore
 * (aurore/README.md).
 */
#include "collectd.h"

#include "plugin.h"

#include "glue.h"

/* The one symbol that collectd looks for; all others are hidden. */
__attribute__((visibility("default"))) void module_register(void) {
  au_glue_register(AU_SIDE_BUFFER);
}
