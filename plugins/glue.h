/* SPDX-License-Identifier: MIT
 *
 * glue - what both plugins do in collectd's callbacks: configuration trees
 * become options, lines and notifications of libaurore go to collectd.
 *
 * Each plugin has its own copy of this file; the state is libaurore's.
 */
#ifndef AURORE_GLUE_H
#define AURORE_GLUE_H

#include "collectd.h"

#include "plugin.h"

#include "config/options.h"

/* Takes part in the process, and gives libaurore its sinks. From
 * module_register. */
void au_glue_register(au_side_t side);

/* The callbacks, as collectd wants them: 0, or -1 (logged). */

/* One <Plugin> block; several add up. Every mistake in it is logged. */
int au_glue_config(au_side_t side, const oconfig_item_t *block);
int au_glue_init(au_side_t side);
int au_glue_read(au_side_t side);
/* Stores what waits, unless the identifier names a value that is not ours. */
int au_glue_flush(const char *identifier);
/* One of collectd's notifications, ours included, becomes an event. */
int au_glue_notification(const notification_t *notification);
int au_glue_shutdown(void);

/* Whether the option Notifications is set. */
bool au_glue_wants_notifications(void);

#endif
