/* SPDX-License-Identifier: MIT
 *
 * configuration - whether collectd can start with its configuration: what
 * cannot be read, what is not loaded, and the options of the two plugins, which
 * are judged by the table that the plugins have.
 */
#include "tools/doctor/doctor.h"

#include <stdio.h>
#include <strings.h>
#include <sys/stat.h>

#define WHAT "configuration"
#define ERROR_SIZE 900

/* As glue.c says it to collectd. */
static au_status_t check_shape(au_side_t side, const ctl_conf_item_t *item,
                               char *error, size_t size) {
  if (!item->is_block && item->values_count == 1)
    return AU_OK;
  if (item->is_block)
    snprintf(error, size, "the plugin %s has no block <%.100s>",
             au_side_name(side), item->key);
  else
    snprintf(error, size,
             "option \"%.100s\" of the plugin %s must have exactly one value, "
             "not %zu",
             item->key, au_side_name(side), item->values_count);
  return AU_INVALID;
}

static void take_option(ctl_doctor_t *doctor, au_side_t side,
                        const ctl_conf_item_t *item) {
  char error[ERROR_SIZE] = "";
  au_status_t status = check_shape(side, item, error, sizeof(error));
  if (status == AU_OK)
    status = au_options_set(&doctor->options, side, item->key, &item->values[0],
                            error, sizeof(error));
  if (status == AU_OK)
    return;
  ctl_find(&doctor->findings, CTL_PROBLEM, WHAT, "%s (%s, line %u)", error,
           item->file, item->line);
  ctl_advise(&doctor->findings,
             "correct or remove the line: collectd does not start with it; "
             "collectd-aurore(5) has every option");
}

/* Whether a plugin of that name is in the directory. */
static void check_object(ctl_doctor_t *doctor, const char *directory,
                         au_side_t side) {
  char path[1024];
  struct stat info;
  snprintf(path, sizeof(path), "%s/%s.so", directory, au_side_name(side));
  if (stat(path, &info) == 0 && S_ISREG(info.st_mode))
    return;
  ctl_find(&doctor->findings, CTL_PROBLEM, WHAT, "there is no file \"%s\"",
           path);
  ctl_advise(&doctor->findings,
             "install the plugins there, or name their directory by PluginDir "
             "before LoadPlugin %s",
             au_side_name(side));
}

static void take_block(ctl_doctor_t *doctor, au_side_t side,
                       const ctl_conf_item_t *block) {
  if (!doctor->is_loaded[side]) {
    ctl_find(&doctor->findings, CTL_PROBLEM, WHAT,
             "collectd ignores <Plugin %s>, since no LoadPlugin %s is in front "
             "of it (%s, line %u)",
             au_side_name(side), au_side_name(side), block->file, block->line);
    ctl_advise(&doctor->findings, "put \"LoadPlugin %s\" before the block",
               au_side_name(side));
  }
  for (const ctl_conf_item_t *item = block->children; item != NULL;
       item = item->next)
    take_option(doctor, side, item);
}

static bool is_true(const ctl_conf_item_t *item) {
  if (item == NULL || item->values_count == 0)
    return false;
  const au_given_t *value = &item->values[0];
  return value->type == AU_VALUE_BOOLEAN
             ? value->boolean
             : value->type == AU_VALUE_STRING &&
                   strcasecmp(value->string, "true") == 0;
}

/* In order, as collectd takes them. */
static void take_items(ctl_doctor_t *doctor) {
  static const au_side_t sides[] = {AU_SIDE_BUFFER, AU_SIDE_WRITER};
  const char *directory = CTL_PLUGIN_DIRECTORY;
  bool is_automatic = false;
  for (const ctl_conf_item_t *item = doctor->conf.items; item != NULL;
       item = item->next) {
    if (ctl_conf_is(item, "PluginDir", NULL) && ctl_conf_text(item) != NULL)
      directory = ctl_conf_text(item);
    if (ctl_conf_is(item, "AutoLoadPlugin", NULL))
      is_automatic = is_true(item);
    for (size_t i = 0; i < 2; i++) {
      au_side_t side = sides[i];
      bool is_block =
          item->is_block && ctl_conf_is(item, "Plugin", au_side_name(side));
      if (!doctor->is_loaded[side] &&
          (ctl_conf_is(item, "LoadPlugin", au_side_name(side)) ||
           (is_block && is_automatic))) {
        doctor->is_loaded[side] = true;
        check_object(doctor, directory, side);
      }
      if (is_block)
        take_block(doctor, side, item);
    }
  }
}

static void check_loaded(ctl_doctor_t *doctor, au_side_t side,
                         const char *without) {
  if (doctor->is_loaded[side])
    return;
  ctl_find(&doctor->findings, CTL_PROBLEM, WHAT,
           "the plugin %s is not loaded: %s", au_side_name(side), without);
  ctl_advise(&doctor->findings,
             "include aurore.conf, or add \"LoadPlugin %s\" and its block",
             au_side_name(side));
}

static void check_whole(ctl_doctor_t *doctor, au_side_t side) {
  char error[ERROR_SIZE] = "";
  if (!doctor->is_loaded[side] ||
      au_options_finish(&doctor->options, side, error, sizeof(error)) == AU_OK)
    return;
  ctl_find(&doctor->findings, ctl_doctor_state(doctor), WHAT, "%s", error);
  ctl_advise(&doctor->findings,
             "correct this: the plugin %s does not start with it",
             au_side_name(side));
}

static void tell_troubles(ctl_doctor_t *doctor) {
  for (const ctl_conf_trouble_t *trouble = doctor->conf.troubles;
       trouble != NULL; trouble = trouble->next) {
    ctl_state_t state = trouble->is_fatal ? CTL_PROBLEM : CTL_WARNING;
    if (trouble->file != NULL)
      ctl_find(&doctor->findings, state, WHAT, "%s (%s, line %u)",
               trouble->text, trouble->file, trouble->line);
    else
      ctl_find(&doctor->findings, state, WHAT, "%s", trouble->text);
    if (trouble->file == NULL)
      ctl_advise(&doctor->findings,
                 "name collectd's configuration by --config FILE");
    else if (trouble->is_fatal)
      ctl_advise(&doctor->findings,
                 "correct it: collectd does not start with it, or reads "
                 "something else");
    else
      ctl_advise(&doctor->findings,
                 "correct or remove it: collectd goes on without");
  }
}

void ctl_doctor_configuration(ctl_doctor_t *doctor) {
  unsigned before =
      doctor->findings.count[CTL_PROBLEM] + doctor->findings.count[CTL_WARNING];
  if (!ctl_conf_read(&doctor->conf, doctor->config_path)) {
    ctl_find(&doctor->findings, CTL_PROBLEM, WHAT, "out of memory");
    return;
  }
  tell_troubles(doctor);
  take_items(doctor);
  if (doctor->conf.files_count > 0) {
    check_loaded(doctor, AU_SIDE_BUFFER, "no events are accepted");
    check_loaded(doctor, AU_SIDE_WRITER, "no events are stored");
  }
  check_whole(doctor, AU_SIDE_BUFFER);
  check_whole(doctor, AU_SIDE_WRITER);
  if (before ==
      doctor->findings.count[CTL_PROBLEM] + doctor->findings.count[CTL_WARNING])
    ctl_find(&doctor->findings, CTL_OK, WHAT, "\"%s\", %zu file%s",
             doctor->config_path, doctor->conf.files_count,
             doctor->conf.files_count == 1 ? "" : "s");
}
