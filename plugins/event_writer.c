/* SPDX-License-Identifier: MIT
 *
 * event_writer - the write side: events leave the buffer for PostgreSQL, each
 * exactly once. Here are collectd's callbacks of this plugin and nothing else;
 * what they do is in libaurore (aurore/README.md).
 */
#include "glue.h"

#define NAME "event_writer"

static int writer_config(oconfig_item_t *block) {
  return au_glue_config(AU_SIDE_WRITER, block);
}

static int writer_notification(const notification_t *notification,
                               user_data_t *user_data) {
  (void)user_data;
  return au_glue_notification(notification);
}

static int writer_init(void) {
  int result = au_glue_init(AU_SIDE_WRITER);
  if (result == 0 && au_glue_wants_notifications())
    plugin_register_notification(NAME, writer_notification, NULL);
  return result;
}

static int writer_read(user_data_t *user_data) {
  (void)user_data;
  return au_glue_read(AU_SIDE_WRITER);
}

static int writer_flush(cdtime_t timeout, const char *identifier,
                        user_data_t *user_data) {
  (void)timeout;
  (void)user_data;
  return au_glue_flush(identifier);
}

static int writer_shutdown(void) { return au_glue_shutdown(); }

/* The one symbol that collectd looks for; all others are hidden. */
__attribute__((visibility("default"))) void module_register(void) {
  au_glue_register(AU_SIDE_WRITER);
  plugin_register_complex_config(NAME, writer_config);
  plugin_register_init(NAME, writer_init);
  /* Under the plugin's own name, so that collectd takes it away when the init
   * callback fails. */
  plugin_register_complex_read(NULL, NAME, writer_read, 0, NULL);
  plugin_register_flush(NAME, writer_flush, NULL);
  plugin_register_shutdown(NAME, writer_shutdown);
}
