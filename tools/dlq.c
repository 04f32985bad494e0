/* SPDX-License-Identifier: MIT
 *
 * dlq - the dead letters, through the API: listed, shown, put back, deleted.
 */
#include "tools/ctl.h"

#include "base/bytes.h"
#include "base/json.h"
#include "tools/client.h"
#include "tools/tree.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char usage_text[] =
    "Usage: aurorectl dlq list      [OPTION]...\n"
    "       aurorectl dlq show      [OPTION]... ID...\n"
    "       aurorectl dlq reprocess [OPTION]... ID...|--all\n"
    "       aurorectl dlq delete    [OPTION]... ID...|--all\n"
    "\n"
    "  --service NAME       only those of the service\n"
    "  --sqlstate CODE      reprocess: only those that were refused with it\n"
    "  --before TIME        reprocess, delete: only older ones\n"
    "  --reprocessed BOOL   list, delete: only those that were put back "
    "(true),\n"
    "                       or wait (false)\n"
    "  --limit N            list, reprocess: at most so many\n"
    "  --offset N           list: after so many of the newest\n"
    "  --json               list: as the server sends it\n"
    "  --all                reprocess, delete: all that the others choose\n"
    "\n" CTL_SERVER_HELP "\n"
    "Exit status: 0 done; 1 not all of it; 2 usage; 3 the server could not be\n"
    "reached; 4 it refuses.\n";

typedef struct dlq {
  ctl_server_t server;
  ctl_client_t *client;
  ctl_answer_t answer;
  const char *service;
  const char *sqlstate;
  const char *before;
  const char *reprocessed;
  uint64_t limit; /* 0: not given */
  uint64_t offset;
  bool is_json;
  bool is_all;
} dlq_t;

/* Says what went wrong. */
static int fail(dlq_t *dlq, const char *what, const char *name) {
  ctl_say("could not %s%s%s: %s", what, name[0] != '\0' ? " " : "", name,
          ctl_answer_text(&dlq->answer));
  return ctl_answer_exit(&dlq->answer);
}

static bool is_success(const dlq_t *dlq) {
  return dlq->answer.status >= 200 && dlq->answer.status < 300;
}

/* Adds "name=value" to a path; NULL: nothing. */
static void put_parameter(au_bytes_t *path, char *separator, const char *name,
                          const char *value) {
  if (value == NULL)
    return;
  au_bytes_printf(path, "%c%s=", *separator, name);
  *separator = '&';
  ctl_put_escaped(path, value);
}

static void put_number(au_bytes_t *path, char *separator, const char *name,
                       uint64_t value) {
  char text[32];
  snprintf(text, sizeof(text), "%" PRIu64, value);
  put_parameter(path, separator, name, value > 0 ? text : NULL);
}

/* Asks without a body, or with one; frees the path. */
static void ask(dlq_t *dlq, const char *method, au_bytes_t *path,
                const char *body) {
  static const char *const headers[] = {"Content-Type: application/json", NULL};
  const char *text = au_bytes_text(path);
  if (text != NULL)
    ctl_client_ask(dlq->client, method, text, body != NULL ? headers : NULL,
                   body, body != NULL ? strlen(body) : 0, &dlq->answer);
  else
    snprintf(dlq->answer.error, sizeof(dlq->answer.error), "out of memory");
  au_bytes_fini(path);
}

/* --- list, show ------------------------------------------------------------
 */

/* What others have written must not move a terminal's cursor. */
static void print_text(const char *text) {
  for (; *text != '\0'; text++)
    putchar((unsigned char)*text < ' ' || *text == 0x7F ? ' ' : *text);
}

static void print_row(ctl_tree_t *row) {
  static const char *const columns[] = {"id", "createdAt", "service",
                                        "sqlState", "failureReason"};
  for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
    const char *text = ctl_tree_text(row, columns[i]);
    print_text(text != NULL ? text : "-");
    putchar(i + 1 < sizeof(columns) / sizeof(columns[0]) ? '\t' : '\n');
  }
}

static int print_list(dlq_t *dlq) {
  ctl_tree_t *tree = ctl_tree_parse(&dlq->answer.body);
  ctl_tree_t *list = ctl_tree_member(tree, "events");
  if (list == NULL)
    ctl_say("the answer is no list of dead letters");
  for (size_t i = 0; i < ctl_tree_length(list); i++)
    print_row(ctl_tree_item(list, i));
  int status = list != NULL ? CTL_GOOD : CTL_REFUSED;
  ctl_tree_free(tree);
  return status;
}

static int print_body(dlq_t *dlq) {
  const char *text = au_bytes_text(&dlq->answer.body);
  puts(text != NULL ? text : "");
  return CTL_GOOD;
}

static int run_list(dlq_t *dlq, char **ids) {
  (void)ids;
  au_bytes_t path = AU_BYTES_INIT;
  char separator = '?';
  au_bytes_put_string(&path, "/dlq");
  put_parameter(&path, &separator, "service", dlq->service);
  put_parameter(&path, &separator, "reprocessed", dlq->reprocessed);
  put_number(&path, &separator, "limit", dlq->limit);
  put_number(&path, &separator, "offset", dlq->offset);
  ask(dlq, "GET", &path, NULL);
  if (!is_success(dlq))
    return fail(dlq, "list dead letters", "");
  return dlq->is_json ? print_body(dlq) : print_list(dlq);
}

/* Does it with each; the worst of their statuses. */
static int run_each(dlq_t *dlq, char **ids, const char *method,
                    const char *after, const char *what) {
  int worst = CTL_GOOD;
  for (; *ids != NULL; ids++) {
    au_bytes_t path = AU_BYTES_INIT;
    au_bytes_put_string(&path, "/dlq/");
    ctl_put_escaped(&path, *ids);
    au_bytes_put_string(&path, after);
    ask(dlq, method, &path, NULL);
    int status = CTL_GOOD;
    if (!is_success(dlq))
      status = fail(dlq, what, *ids);
    else if (strcmp(method, "GET") == 0)
      status = print_body(dlq);
    worst = status > worst ? status : worst;
    if (status > CTL_SOME)
      break; /* the others would fare no better */
  }
  return worst;
}

static int run_show(dlq_t *dlq, char **ids) {
  return run_each(dlq, ids, "GET", "", "show");
}

/* --- reprocess, delete -----------------------------------------------------
 */

static uint64_t number_of(dlq_t *dlq, const char *name) {
  long long number = 0;
  ctl_tree_t *tree = ctl_tree_parse(&dlq->answer.body);
  bool is_there = ctl_tree_number(tree, name, &number);
  ctl_tree_free(tree);
  return is_there && number > 0 ? (uint64_t)number : 0;
}

static void put_member(au_bytes_t *json, const char *name, const char *value) {
  if (value == NULL)
    return;
  au_bytes_printf(json, "%s\"%s\":", json->size > 1 ? "," : "", name);
  au_json_put_text(json, value);
}

/* One request does a bounded number: as often as there are any. */
static int reprocess_all(dlq_t *dlq) {
  uint64_t done = 0;
  uint64_t skipped = 0;
  uint64_t count = 0;
  do {
    au_bytes_t path = AU_BYTES_INIT;
    au_bytes_t json = AU_BYTES_INIT;
    au_bytes_put_string(&path, "/dlq/reprocess");
    au_bytes_put_u8(&json, '{');
    put_member(&json, "service", dlq->service);
    put_member(&json, "sqlState", dlq->sqlstate);
    put_member(&json, "before", dlq->before);
    if (dlq->limit > 0)
      au_bytes_printf(&json, "%s\"limit\":%" PRIu64, json.size > 1 ? "," : "",
                      dlq->limit);
    au_bytes_put_u8(&json, '}');
    const char *body = au_bytes_text(&json);
    ask(dlq, "POST", &path, body != NULL ? body : "{}");
    au_bytes_fini(&json);
    if (!is_success(dlq))
      return fail(dlq, "reprocess dead letters", "");
    count = number_of(dlq, "reprocessed");
    done += count;
    skipped += number_of(dlq, "skipped");
  } while (dlq->limit == 0 && count > 0 && number_of(dlq, "remaining") > 0);
  printf("%" PRIu64 " reprocessed, %" PRIu64 " skipped, %" PRIu64
         " remaining\n",
         done, skipped, number_of(dlq, "remaining"));
  return skipped > 0 ? CTL_SOME : CTL_GOOD;
}

static int run_reprocess(dlq_t *dlq, char **ids) {
  return dlq->is_all ? reprocess_all(dlq)
                     : run_each(dlq, ids, "PATCH", "/reprocess", "reprocess");
}

static int delete_all(dlq_t *dlq) {
  au_bytes_t path = AU_BYTES_INIT;
  char separator = '?';
  au_bytes_put_string(&path, "/dlq");
  put_parameter(&path, &separator, "service", dlq->service);
  put_parameter(&path, &separator, "reprocessed", dlq->reprocessed);
  put_parameter(&path, &separator, "before", dlq->before);
  ask(dlq, "DELETE", &path, NULL);
  if (!is_success(dlq))
    return fail(dlq, "delete dead letters", "");
  printf("%" PRIu64 " deleted\n", number_of(dlq, "deleted"));
  return CTL_GOOD;
}

static int run_delete(dlq_t *dlq, char **ids) {
  return dlq->is_all ? delete_all(dlq)
                     : run_each(dlq, ids, "DELETE", "", "delete");
}

/* --- the command -----------------------------------------------------------
 */

enum {
  OPTION_ALL = CTL_OPTION_OWN,
  OPTION_BEFORE,
  OPTION_JSON,
  OPTION_LIMIT,
  OPTION_OFFSET,
  OPTION_REPROCESSED,
  OPTION_SERVICE,
  OPTION_SQLSTATE,
};

static bool take_option(void *context, int option, const char *value) {
  dlq_t *dlq = context;
  switch (option) {
  case OPTION_ALL:
    dlq->is_all = true;
    return true;
  case OPTION_BEFORE:
    dlq->before = value;
    return true;
  case OPTION_JSON:
    dlq->is_json = true;
    return true;
  case OPTION_LIMIT:
    return ctl_read_size(value, 1, 10000, &dlq->limit);
  case OPTION_OFFSET:
    return ctl_read_size(value, 0, INT32_MAX, &dlq->offset);
  case OPTION_REPROCESSED:
    dlq->reprocessed = value;
    return strcmp(value, "true") == 0 || strcmp(value, "false") == 0;
  case OPTION_SERVICE:
    dlq->service = value;
    return true;
  case OPTION_SQLSTATE:
    dlq->sqlstate = value;
    return true;
  default:
    return ctl_server_option(&dlq->server, option, value);
  }
}

static int run(dlq_t *dlq, int argc, char **argv) {
  static const struct {
    const char *name;
    int (*run)(dlq_t *dlq, char **ids);
    bool takes_ids;
    bool takes_all;
  } commands[] = {{"list", run_list, false, false},
                  {"show", run_show, true, false},
                  {"reprocess", run_reprocess, true, true},
                  {"delete", run_delete, true, true}};
  const char *name = argc > 0 ? argv[0] : "";
  for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
    if (strcmp(name, commands[i].name) != 0)
      continue;
    bool has_ids = argc > 1;
    bool wants_ids = commands[i].takes_ids && !dlq->is_all;
    if (has_ids != wants_ids || (dlq->is_all && !commands[i].takes_all))
      return ctl_bad_usage(usage_text);
    dlq->client = ctl_client_create(&dlq->server);
    int status =
        dlq->client != NULL ? commands[i].run(dlq, argv + 1) : CTL_USAGE;
    ctl_client_destroy(dlq->client);
    ctl_answer_fini(&dlq->answer);
    return fflush(stdout) == 0 ? status : CTL_USAGE;
  }
  return ctl_bad_usage(usage_text);
}

int ctl_dlq(int argc, char **argv) {
  static const struct option options[] = {
      CTL_SERVER_OPTIONS,
      {"all", no_argument, NULL, OPTION_ALL},
      {"before", required_argument, NULL, OPTION_BEFORE},
      {"help", no_argument, NULL, 'h'},
      {"json", no_argument, NULL, OPTION_JSON},
      {"limit", required_argument, NULL, OPTION_LIMIT},
      {"offset", required_argument, NULL, OPTION_OFFSET},
      {"reprocessed", required_argument, NULL, OPTION_REPROCESSED},
      {"service", required_argument, NULL, OPTION_SERVICE},
      {"sqlstate", required_argument, NULL, OPTION_SQLSTATE},
      {NULL, 0, NULL, 0}};
  dlq_t dlq = {.client = NULL};
  ctl_server_init(&dlq.server);
  int status =
      ctl_read_options(argc, argv, usage_text, options, take_option, &dlq);
  return status == CTL_GO_ON ? run(&dlq, argc - optind, argv + optind) : status;
}
