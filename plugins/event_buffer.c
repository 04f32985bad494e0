/* SPDX-License-Identifier: MIT
 *
 * event_buffer - the read side: events come in over HTTP and wait in the
 * bounded buffer. Here are collectd's callbacks of this plugin and nothing
 * else; what they do is in libaurore (aurore/README.md).
 */
#include "glue.h"

#define NAME "event_buffer"

static int buffer_config(oconfig_item_t *block) {
  return au_glue_config(AU_SIDE_BUFFER, block);
}

static int buffer_init(void) { return au_glue_init(AU_SIDE_BUFFER); }

static int buffer_read(user_data_t *user_data) {
  (void)user_data;
  return au_glue_read(AU_SIDE_BUFFER);
}

static int buffer_flush(cdtime_t timeout, const char *identifier,
                        user_data_t *user_data) {
  (void)timeout;
  (void)user_data;
  return au_glue_flush(identifier);
}

static int buffer_shutdown(void) { return au_glue_shutdown(); }

/* The one symbol that collectd looks for; all others are hidden. */
__attribute__((visibility("default"))) void module_register(void) {
  au_glue_register(AU_SIDE_BUFFER);
  plugin_register_complex_config(NAME, buffer_config);
  plugin_register_init(NAME, buffer_init);
  /* Under the plugin's own name, so that collectd takes it away when the init
   * callback fails. */
  plugin_register_complex_read(NULL, NAME, buffer_read, 0, NULL);
  plugin_register_flush(NAME, buffer_flush, NULL);
  plugin_register_shutdown(NAME, buffer_shutdown);
}
