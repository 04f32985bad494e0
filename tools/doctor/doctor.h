/* SPDX-License-Identifier: MIT
 *
 * doctor - what the checks of "aurorectl doctor" share. They run one after the
 * other, as the user that collectd runs as where that is allowed, and change
 * nothing; each says what it has seen, and what to do about it.
 */
#ifndef AURORECTL_DOCTOR_H
#define AURORECTL_DOCTOR_H

#include "config/options.h"
#include "tools/client.h"
#include "tools/conf.h"
#include "tools/finding.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define CTL_CONFIG_PATH "/etc/collectd/collectd.conf"
/* Where collectd looks for plugins when nothing is set; Debian's. */
#define CTL_PLUGIN_DIRECTORY "/usr/lib/collectd"
#define CTL_USER_SIZE 64

typedef struct ctl_doctor {
  ctl_findings_t findings;
  ctl_server_t server;
  bool is_server_given; /* by an option, or by AURORE_URL */
  const char *config_path;
  const char *user_given; /* NULL: whoever collectd runs as */
  ctl_conf_t conf;
  au_options_t options; /* as far as they could be read */
  bool is_loaded[2];    /* by au_side_t */
  /* The collectd that runs with this configuration. */
  pid_t pid; /* 0: none was found */
  char user[CTL_USER_SIZE];
  /* Whether we are that user; else what we may do says nothing of it. */
  bool is_itself;
  uint64_t files_limit; /* files that it may open; 0: not known */
} ctl_doctor_t;

/* What is wrong with something that depends on who we are: a problem, or
 * nothing but a warning where we are another user than collectd. */
ctl_state_t ctl_doctor_state(const ctl_doctor_t *doctor);

/* In the order in which they run. */
void ctl_doctor_process(ctl_doctor_t *doctor);
void ctl_doctor_configuration(ctl_doctor_t *doctor);
void ctl_doctor_types(ctl_doctor_t *doctor);
void ctl_doctor_files(ctl_doctor_t *doctor);
void ctl_doctor_certificates(ctl_doctor_t *doctor);
void ctl_doctor_spool(ctl_doctor_t *doctor);
void ctl_doctor_limits(ctl_doctor_t *doctor);
void ctl_doctor_database(ctl_doctor_t *doctor);
void ctl_doctor_ports(ctl_doctor_t *doctor);

#endif
