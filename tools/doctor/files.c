/* SPDX-License-Identifier: MIT
 *
 * files - who may read and write what is secret, or decides who gets in.
 */
#include "tools/doctor/doctor.h"

#include <libpq-fe.h>
#include <string.h>
#include <sys/stat.h>

#define WHAT "files"

typedef struct rule {
  const char *option;
  mode_t forbidden;
  ctl_state_t state;
  const char *why;
  const char *advice; /* of chmod */
} rule_t;

static const rule_t key_rule = {"TLSKey", S_IRWXO, CTL_PROBLEM,
                                "others may read the key", "0640"};
static const rule_t write_rule = {"", S_IWOTH, CTL_PROBLEM,
                                  "everybody may write to it", "o-w"};
static const rule_t tokens_rule = {
    "TokenFile", S_IROTH, CTL_WARNING,
    "others may read it, and try the tokens that somebody has made up", "0640"};

/* Whether the rule holds for the file. What is not there is said elsewhere. */
static bool check(ctl_doctor_t *doctor, const rule_t *rule, const char *option,
                  const char *path) {
  struct stat info;
  if (path == NULL || path[0] == '\0' || stat(path, &info) != 0 ||
      (info.st_mode & rule->forbidden) == 0)
    return true;
  ctl_find(&doctor->findings, rule->state, WHAT, "%s \"%s\" has mode %04o: %s",
           option, path, (unsigned)(info.st_mode & 07777U), rule->why);
  ctl_advise(&doctor->findings, "chmod %s %s", rule->advice, path);
  return false;
}

static bool check_option(ctl_doctor_t *doctor, const rule_t *rule,
                         const char *option, const char *path) {
  bool is_good = check(doctor, &write_rule, option, path);
  return rule == NULL || !is_good ? is_good : check(doctor, rule, option, path);
}

static bool has_password(const char *conninfo) {
  PQconninfoOption *options = PQconninfoParse(conninfo, NULL);
  bool has = false;
  for (const PQconninfoOption *option = options;
       option != NULL && option->keyword != NULL; option++)
    if (option->val != NULL && option->val[0] != '\0' &&
        strcmp(option->keyword, "password") == 0)
      has = true;
  PQconninfoFree(options);
  return has;
}

/* The file that holds the ConnInfo; NULL: the default is in force. */
static const char *file_of_conninfo(const ctl_doctor_t *doctor) {
  const char *file = NULL;
  for (const ctl_conf_item_t *block = doctor->conf.items; block != NULL;
       block = block->next) {
    const ctl_conf_item_t *found =
        ctl_conf_is(block, "Plugin", au_side_name(AU_SIDE_WRITER))
            ? ctl_conf_find(block->children, "ConnInfo")
            : NULL;
    if (found != NULL)
      file = found->file;
  }
  return file;
}

static bool check_password(ctl_doctor_t *doctor) {
  const char *file = file_of_conninfo(doctor);
  struct stat info;
  if (file == NULL || !has_password(doctor->options.conninfo) ||
      stat(file, &info) != 0 || (info.st_mode & S_IROTH) == 0)
    return true;
  ctl_find(&doctor->findings, CTL_PROBLEM, WHAT,
           "\"%s\" has mode %04o, and a password in ConnInfo: everybody may "
           "read it",
           file, (unsigned)(info.st_mode & 07777U));
  ctl_advise(&doctor->findings,
             "put the password into a file of mode 0600 (passfile=...), or "
             "chmod 0640 %s",
             file);
  return false;
}

static const struct {
  const rule_t *rule; /* beside that nobody else may write */
  const char *option;
} secrets[] = {{&tokens_rule, "TokenFile"},
               {&key_rule, "TLSKey"},
               {NULL, "TLSCertificate"},
               {NULL, "TLSClientCA"}};

void ctl_doctor_files(ctl_doctor_t *doctor) {
  const au_options_t *options = &doctor->options;
  const char *const paths[] = {options->token_file, options->tls_key,
                               options->tls_certificate,
                               options->tls_client_ca};
  bool is_good = true;
  unsigned files = 0;
  for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
    is_good =
        check_option(doctor, secrets[i].rule, secrets[i].option, paths[i]) &&
        is_good;
    files += paths[i] != NULL && paths[i][0] != '\0' ? 1 : 0;
  }
  for (const ctl_conf_file_t *file = doctor->conf.files; file != NULL;
       file = file->next, files++)
    is_good = check(doctor, &write_rule, WHAT, file->path) && is_good;
  is_good = check_password(doctor) && is_good;
  if (is_good && files > 0)
    ctl_find(&doctor->findings, CTL_OK, WHAT,
             "%u file%s can be changed by nobody else, and what is secret is "
             "not read by others",
             files, files == 1 ? "" : "s");
}
