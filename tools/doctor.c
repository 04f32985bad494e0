/* SPDX-License-Identifier: MIT
 *
 * doctor - looks at everything that an installation depends on, and says what
 * is wrong and what to do about it. The checks are in tools/doctor/.
 */
#include "tools/ctl.h"

#include "tools/doctor/doctor.h"

#include <stdio.h>
#include <stdlib.h>

static const char usage_text[] =
    "Usage: aurorectl doctor [OPTION]...\n"
    "\n"
    "Checks collectd's configuration, files, spool, database, certificates "
    "and\n"
    "ports, and says what is wrong and what to do about it. It changes "
    "nothing.\n"
    "As root it looks with the eyes of the user that collectd runs as.\n"
    "  --config FILE        collectd's configuration "
    "(" CTL_CONFIG_PATH ")\n"
    "  --user NAME          who collectd runs as (whoever it does now)\n"
    "\n"
    "The API is asked at its Listen addresses, or at another "
    "one:\n" CTL_SERVER_HELP "\n"
    "Exit status: 0 no problem, though there may be warnings; 1 problems;\n"
    "2 usage.\n";

/* Of a request, if it is not given. */
#define TIMEOUT_S 10

enum { OPTION_CONFIG = CTL_OPTION_OWN, OPTION_USER };

ctl_state_t ctl_doctor_state(const ctl_doctor_t *doctor) {
  return doctor->is_itself ? CTL_PROBLEM : CTL_WARNING;
}

static int examine(ctl_doctor_t *doctor) {
  static void (*const checks[])(ctl_doctor_t * doctor) = {
      ctl_doctor_process, ctl_doctor_configuration, ctl_doctor_types,
      ctl_doctor_files,   ctl_doctor_certificates,  ctl_doctor_spool,
      ctl_doctor_limits,  ctl_doctor_database,      ctl_doctor_ports};
  ctl_findings_init(&doctor->findings);
  if (au_options_init(&doctor->options) != AU_OK) {
    ctl_say("out of memory");
    au_options_fini(&doctor->options);
    return CTL_USAGE;
  }
  for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
    checks[i](doctor);
  ctl_findings_sum(&doctor->findings);
  ctl_conf_fini(&doctor->conf);
  au_options_fini(&doctor->options);
  if (fflush(stdout) != 0)
    return CTL_USAGE;
  return doctor->findings.count[CTL_PROBLEM] > 0 ? CTL_SOME : CTL_GOOD;
}

static bool take_option(void *context, int option, const char *value) {
  ctl_doctor_t *doctor = context;
  switch (option) {
  case OPTION_CONFIG:
    doctor->config_path = value;
    return true;
  case OPTION_USER:
    doctor->user_given = value;
    return true;
  case CTL_OPTION_URL:
  case CTL_OPTION_UNIX:
    doctor->is_server_given = true;
    return ctl_server_option(&doctor->server, option, value);
  default:
    return ctl_server_option(&doctor->server, option, value);
  }
}

int ctl_doctor(int argc, char **argv) {
  static const struct option options[] = {
      CTL_SERVER_OPTIONS,
      {"config", required_argument, NULL, OPTION_CONFIG},
      {"help", no_argument, NULL, 'h'},
      {"user", required_argument, NULL, OPTION_USER},
      {NULL, 0, NULL, 0}};
  ctl_doctor_t doctor = {.config_path = CTL_CONFIG_PATH};
  ctl_server_init(&doctor.server);
  doctor.server.timeout_s = TIMEOUT_S;
  doctor.is_server_given = getenv("AURORE_URL") != NULL;
  int status =
      ctl_read_options(argc, argv, usage_text, options, take_option, &doctor);
  if (status != CTL_GO_ON)
    return status;
  return optind == argc ? examine(&doctor) : ctl_bad_usage(usage_text);
}
