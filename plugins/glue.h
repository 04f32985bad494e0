/* SPDX-License-Identifier: MIT
 *
 * glue - collectd's callbacks, which are the same in both plugins:
 * configuration trees become options, lines, values and notifications of
 * libaurore go to collectd, and collectd's notifications become events.
 *
 * Each plugin has its own copy of this file, of one side; the rest of the state
 * is libaurore's.
 */
#ifndef AURORE_GLUE_H
#define AURORE_GLUE_H

#include "base/side.h"

/* Takes part in the process, gives libaurore its sinks, and registers the
 * callbacks of the plugin of this side. From module_register. */
void au_glue_register(au_side_t side);

#endif
