/* SPDX-License-Identifier: MIT
 * Part of config/; calls metrics/, event/, base/.
 *
 * The defaults are texts of the table, and are read as what the operator
 * writes.
 */
#include "config/options.h"

#include "config/option_value.h"
#include "config/options_private.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_MAX 4096
/* A longer text is not repeated in a message. */
#define SHOWN_MAX 100
/* At this many edits from it, a name may be a slip of the pen. */
#define TYPO_DISTANCE 3
#define NAME_MAX_LENGTH 32

static void *member_of(au_options_t *options, const au_option_t *option) {
  return (char *)options + option->offset;
}

/* --- messages --------------------------------------------------------------*/

static void describe(const au_given_t *value, char *text, size_t size) {
  if (value->type == AU_VALUE_NUMBER)
    (void)snprintf(text, size, "%.15g", value->number);
  else if (value->type == AU_VALUE_BOOLEAN)
    (void)snprintf(text, size, "%s", value->boolean ? "true" : "false");
  else if (strlen(value->string) > SHOWN_MAX)
    (void)snprintf(text, size, "a string of %zu bytes", strlen(value->string));
  else
    (void)snprintf(text, size, "\"%s\"", value->string);
}

static au_status_t refuse(const au_option_t *option, const au_given_t *value,
                          char *error, size_t error_size) {
  char given[SHOWN_MAX + 32];
  describe(value, given, sizeof(given));
  (void)snprintf(error, error_size,
                 "option \"%s\" of the plugin %s must be %s (%s), not %s",
                 option->info.name, au_side_name(option->info.side),
                 option->info.type_text, option->info.range_text, given);
  return AU_INVALID;
}

static au_status_t out_of_memory(char *error, size_t error_size) {
  (void)snprintf(error, error_size, "out of memory");
  return AU_NOMEM;
}

/* The Levenshtein distance of two names, without case. */
static size_t distance(const char *a, const char *b) {
  size_t row[NAME_MAX_LENGTH + 1];
  size_t b_length = strlen(b);
  if (b_length > NAME_MAX_LENGTH || strlen(a) > NAME_MAX_LENGTH)
    return SIZE_MAX;
  for (size_t j = 0; j <= b_length; j++)
    row[j] = j;
  for (size_t i = 1; a[i - 1] != '\0'; i++) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b_length; j++) {
      size_t changed =
          diagonal + (strncasecmp(&a[i - 1], &b[j - 1], 1) != 0 ? 1 : 0);
      size_t shorter = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
      diagonal = row[j];
      row[j] = changed < shorter ? changed : shorter;
    }
  }
  return row[b_length];
}

static const au_option_t *find(au_side_t side, const char *name) {
  for (size_t i = 0; i < au_option_count; i++)
    if (au_option_table[i].info.side == side &&
        strcasecmp(au_option_table[i].info.name, name) == 0)
      return &au_option_table[i];
  return NULL;
}

static const au_option_t *find_nearest(au_side_t side, const char *name) {
  const au_option_t *nearest = NULL;
  size_t least = TYPO_DISTANCE + 1;
  for (size_t i = 0; i < au_option_count; i++) {
    if (au_option_table[i].info.side != side)
      continue;
    size_t edits = distance(name, au_option_table[i].info.name);
    if (edits < least) {
      least = edits;
      nearest = &au_option_table[i];
    }
  }
  return nearest;
}

static void list_options(au_side_t side, char *text, size_t size) {
  size_t used = 0;
  for (size_t i = 0; i < au_option_count && used < size; i++) {
    if (au_option_table[i].info.side != side)
      continue;
    int length = snprintf(text + used, size - used, "%s%s",
                          used > 0 ? ", " : "", au_option_table[i].info.name);
    used += length > 0 ? (size_t)length : size;
  }
}

static au_status_t refuse_name(au_side_t side, const char *name, char *error,
                               size_t error_size) {
  char hint[640];
  au_side_t other = side == AU_SIDE_BUFFER ? AU_SIDE_WRITER : AU_SIDE_BUFFER;
  const au_option_t *nearest = find_nearest(side, name);
  if (find(other, name) != NULL) {
    (void)snprintf(hint, sizeof(hint), "it is an option of %s",
                   au_side_name(other));
  } else if (nearest != NULL) {
    (void)snprintf(hint, sizeof(hint), "the nearest is \"%s\"",
                   nearest->info.name);
  } else {
    char names[600];
    list_options(side, names, sizeof(names));
    (void)snprintf(hint, sizeof(hint), "its options are %s", names);
  }
  (void)snprintf(error, error_size, "the plugin %s has no option \"%.*s\"; %s",
                 au_side_name(side), SHOWN_MAX, name, hint);
  return AU_INVALID;
}

/* --- one value -------------------------------------------------------------*/

static bool read_number(const au_option_t *option, const char *text,
                        double *out_number) {
  return option->kind == AU_OPTION_BYTES ? au_option_bytes(text, out_number)
                                         : au_option_number(text, out_number);
}

static bool in_range(const au_option_t *option, double number) {
  double min = 0;
  double max = 0;
  return read_number(option, option->min, &min) &&
         read_number(option, option->max, &max) && number >= min &&
         number <= max;
}

/* No maximum of a whole number is above 2^53, so nothing is rounded here. */
static void store_whole(void *member, size_t width, double number) {
  uint64_t whole = (uint64_t)number;
  uint32_t narrow = (uint32_t)whole;
  if (width == sizeof(narrow))
    memcpy(member, &narrow, sizeof(narrow));
  else
    memcpy(member, &whole, sizeof(whole));
}

/* A status of HTTP that means success, or none. */
static bool is_status(double number) {
  static const double statuses[] = {0, 200, 201, 202, 204};
  for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
    if (number == statuses[i])
      return true;
  return false;
}

static bool set_number(void *member, const au_option_t *option,
                       const au_given_t *value) {
  double number = value->number;
  if (value->type == AU_VALUE_BOOLEAN ||
      (value->type == AU_VALUE_STRING &&
       !read_number(option, value->string, &number)))
    return false;
  if (!in_range(option, number) ||
      (option->kind == AU_OPTION_STATUS && !is_status(number)))
    return false;
  if (option->kind == AU_OPTION_SECONDS || option->kind == AU_OPTION_RATE) {
    memcpy(member, &number, sizeof(number));
    return true;
  }
  if (floor(number) != number)
    return false;
  store_whole(member, option->width, number);
  return true;
}

static bool set_boolean(bool *member, const au_given_t *value) {
  if (value->type == AU_VALUE_BOOLEAN) {
    *member = value->boolean;
    return true;
  }
  return value->type == AU_VALUE_STRING &&
         au_option_boolean(value->string, member);
}

static bool set_durability(au_options_t *options, const char *word) {
  static const char *const name[] = {[AU_DURABILITY_COMMIT] = "commit",
                                     [AU_DURABILITY_INTERVAL] = "interval",
                                     [AU_DURABILITY_MEMORY] = "memory"};
  for (unsigned i = 0; i < sizeof(name) / sizeof(name[0]); i++)
    if (strcasecmp(word, name[i]) == 0) {
      options->durability = (au_durability_t)i;
      options->durability_set = true;
      return true;
    }
  return false;
}

static bool set_once(bool *member, const char *word) {
  *member = strcasecmp(word, "request") == 0;
  return *member || strcasecmp(word, "none") == 0;
}

static au_status_t set_text(char **member, const char *text) {
  char *copy = strdup(text);
  if (copy == NULL)
    return AU_NOMEM;
  free(*member);
  *member = copy;
  return AU_OK;
}

/* What may be given several times. */
typedef struct list {
  char **text;
  size_t *count;
  size_t max;
} list_t;

static list_t list_of(au_options_t *options, au_option_kind_t kind) {
  return kind == AU_OPTION_LISTEN
             ? (list_t){options->listen, &options->listen_count, AU_LISTEN_MAX}
             : (list_t){options->allow_origin, &options->allow_origins,
                        AU_ORIGINS_MAX};
}

static bool is_list(const au_option_t *option) {
  return option->kind == AU_OPTION_LISTEN || option->kind == AU_OPTION_ORIGIN;
}

static au_status_t add_text(list_t list, const char *text) {
  for (size_t i = 0; i < *list.count; i++)
    if (strcmp(list.text[i], text) == 0)
      return AU_OK;
  if (*list.count == list.max)
    return AU_FULL;
  au_status_t status = set_text(&list.text[*list.count], text);
  if (status == AU_OK)
    ++*list.count;
  return status;
}

static void free_list(list_t list) {
  while (*list.count > 0)
    free(list.text[--*list.count]);
}

static au_status_t add_listen(au_options_t *options, const char *address) {
  return au_option_is_listen(address)
             ? add_text(list_of(options, AU_OPTION_LISTEN), address)
             : AU_INVALID;
}

static au_status_t add_origin(au_options_t *options, const char *text) {
  char origin[AU_ORIGIN_SIZE];
  if (*text == '\0')
    return AU_OK; /* none */
  return au_option_origin(text, origin)
             ? add_text(list_of(options, AU_OPTION_ORIGIN), origin)
             : AU_INVALID;
}

/* What can only be given as a text. */
static au_status_t set_string(au_options_t *options, const au_option_t *option,
                              const char *text) {
  if (option->kind == AU_OPTION_LISTEN)
    return add_listen(options, text);
  if (option->kind == AU_OPTION_ORIGIN)
    return add_origin(options, text);
  if (option->kind == AU_OPTION_DURABILITY)
    return set_durability(options, text) ? AU_OK : AU_INVALID;
  if (option->kind == AU_OPTION_ONCE)
    return set_once(member_of(options, option), text) ? AU_OK : AU_INVALID;
  if (strlen(text) > TEXT_MAX || (option->kind == AU_OPTION_TIME_OF_DAY &&
                                  !au_option_is_time_of_day(text)))
    return AU_INVALID;
  return set_text(member_of(options, option), text);
}

static au_status_t set_option(au_options_t *options, const au_option_t *option,
                              const au_given_t *value) {
  void *member = member_of(options, option);
  if (member == &options->body_memory)
    options->body_memory_set = true;
  if (member == &options->limits.otlp_max_body_bytes)
    options->otlp_max_body_bytes_set = true;
  if (option->min != NULL) /* it has a range: a number */
    return set_number(member, option, value) ? AU_OK : AU_INVALID;
  if (option->kind == AU_OPTION_BOOLEAN)
    return set_boolean(member, value) ? AU_OK : AU_INVALID;
  if (value->type != AU_VALUE_STRING)
    return AU_INVALID;
  return set_string(options, option, value->string);
}

/* Whether a text was set before to something else. */
static bool is_contradicted(const au_options_t *options,
                            const au_option_t *option,
                            const au_given_t *value) {
  if ((option->kind != AU_OPTION_TEXT && option->kind != AU_OPTION_FILE) ||
      value->type != AU_VALUE_STRING ||
      !options->is_set[option - au_option_table])
    return false;
  const char *const *before =
      (const void *)((const char *)options + option->offset);
  return strcmp(*before, value->string) != 0;
}

static au_status_t refuse_second(const au_options_t *options,
                                 const au_option_t *option,
                                 const au_given_t *value, char *error,
                                 size_t error_size) {
  const char *const *before =
      (const void *)((const char *)options + option->offset);
  char first[SHOWN_MAX + 1];
  char second[SHOWN_MAX + 1];
  bool is_conninfo = *before == options->conninfo;
  if (is_conninfo) {
    au_option_redact(*before, first, sizeof(first));
    au_option_redact(value->string, second, sizeof(second));
  } else {
    (void)snprintf(first, sizeof(first), "%s", *before);
    (void)snprintf(second, sizeof(second), "%s", value->string);
  }
  (void)snprintf(error, error_size,
                 "option \"%s\" of the plugin %s is set twice, to \"%s\" and "
                 "to \"%s\"; it may have one value: remove the other line",
                 option->info.name, au_side_name(option->info.side), first,
                 second);
  return AU_INVALID;
}

au_status_t au_options_set(au_options_t *options, au_side_t side,
                           const char *name, const au_given_t *value,
                           char *error, size_t error_size) {
  const au_option_t *option = find(side, name);
  if (option == NULL)
    return refuse_name(side, name, error, error_size);
  if (is_contradicted(options, option, value))
    return refuse_second(options, option, value, error, error_size);
  au_status_t status = set_option(options, option, value);
  if (status == AU_OK)
    options->is_set[option - au_option_table] = true;
  if (status == AU_NOMEM)
    return out_of_memory(error, error_size);
  if (status == AU_FULL) {
    (void)snprintf(error, error_size,
                   "option \"%s\" of the plugin %s may be given at most %zu "
                   "times; \"%s\" is one too many",
                   option->info.name, au_side_name(side),
                   list_of(options, option->kind).max, value->string);
    return AU_INVALID;
  }
  return status == AU_OK ? AU_OK : refuse(option, value, error, error_size);
}

/* --- all of them -----------------------------------------------------------*/

au_status_t au_options_init(au_options_t *options) {
  memset(options, 0, sizeof(*options));
  for (size_t i = 0; i < au_option_count; i++) {
    const au_option_t *option = &au_option_table[i];
    const au_given_t value = {.type = AU_VALUE_STRING,
                              .string = option->info.default_text};
    /* Other addresses would be added to the default one. */
    if (option->kind == AU_OPTION_LISTEN)
      continue;
    au_status_t status = set_option(options, option, &value);
    if (status != AU_OK)
      return status;
  }
  options->durability_set = false;
  options->body_memory_set = false;
  options->otlp_max_body_bytes_set = false;
  return AU_OK;
}

void au_options_fini(au_options_t *options) {
  for (size_t i = 0; i < au_option_count; i++) {
    const au_option_t *option = &au_option_table[i];
    if (is_list(option))
      free_list(list_of(options, option->kind));
    if (option->kind == AU_OPTION_TEXT || option->kind == AU_OPTION_FILE ||
        option->kind == AU_OPTION_TIME_OF_DAY) {
      char **member = member_of(options, option);
      free(*member);
    }
  }
  memset(options, 0, sizeof(*options));
}

/* NULL when the file can be read, else why not. It is opened, since that alone
 * shows what the file system really allows. */
static const char *unreadable(const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0)
    return strerror(errno);
  struct stat status;
  bool is_directory = fstat(fd, &status) == 0 && S_ISDIR(status.st_mode);
  close(fd);
  return is_directory ? strerror(EISDIR) : NULL;
}

static au_status_t check_files(au_options_t *options, au_side_t side,
                               char *error, size_t error_size) {
  for (size_t i = 0; i < au_option_count; i++) {
    const au_option_t *option = &au_option_table[i];
    if (option->kind != AU_OPTION_FILE || option->info.side != side)
      continue;
    char *const *path = member_of(options, option);
    const char *reason = (*path)[0] != '\0' ? unreadable(*path) : NULL;
    if (reason != NULL) {
      (void)snprintf(error, error_size,
                     "option \"%s\" of the plugin %s: could not read the file "
                     "\"%s\": %s",
                     option->info.name, au_side_name(side), *path, reason);
      return AU_INVALID;
    }
  }
  return AU_OK;
}

/* Says that "option" is no use without "needed". */
static au_status_t needs(const char *option, const char *needed, char *error,
                         size_t error_size) {
  (void)snprintf(error, error_size,
                 "the plugin event_buffer needs the option \"%s\" for %s",
                 needed, option);
  return AU_INVALID;
}

/* One request may have three quarters of it. A limit that was not given is
 * lowered to that rather than the reason for which nothing starts. */
static au_status_t finish_body_memory(au_options_t *options, char *error,
                                      size_t error_size) {
  au_limits_t *limits = &options->limits;
  uint64_t otlp = limits->otlp_max_body_bytes;
  uint64_t body = limits->max_body_bytes > otlp ? limits->max_body_bytes : otlp;
  if (!options->body_memory_set && options->body_memory < 4 * body)
    options->body_memory = 4 * body;
  uint64_t most = options->body_memory / 4 * 3;
  if (otlp > most && !options->otlp_max_body_bytes_set)
    limits->otlp_max_body_bytes = most;
  bool is_otlp = limits->otlp_max_body_bytes > most;
  if (limits->max_body_bytes <= most && !is_otlp)
    return AU_OK;
  (void)snprintf(error, error_size,
                 "option \"BodyMemory\" of the plugin event_buffer is %" PRIu64
                 " bytes, too few for one body of \"%s\", %" PRIu64
                 " bytes, which may take three quarters of them",
                 options->body_memory,
                 is_otlp ? "OtlpMaxBodyBytes" : "MaxBodyBytes",
                 is_otlp ? otlp : (uint64_t)limits->max_body_bytes);
  return AU_INVALID;
}

static au_status_t finish_buffer(au_options_t *options, char *error,
                                 size_t error_size) {
  bool has_directory = options->spool_directory[0] != '\0';
  bool has_certificate = options->tls_certificate[0] != '\0';
  bool has_key = options->tls_key[0] != '\0';
  if (!has_directory && options->durability_set &&
      options->durability != AU_DURABILITY_MEMORY)
    return needs(options->durability == AU_DURABILITY_COMMIT
                     ? "Durability \"commit\""
                     : "Durability \"interval\"",
                 "SpoolDirectory", error, error_size);
  if (has_certificate && !has_key)
    return needs("TLSCertificate", "TLSKey", error, error_size);
  if (has_key && !has_certificate)
    return needs("TLSKey", "TLSCertificate", error, error_size);
  if (options->tls_client_ca[0] != '\0' && !has_certificate)
    return needs("TLSClientCA", "TLSCertificate", error, error_size);
  if (!has_directory)
    options->durability = AU_DURABILITY_MEMORY;
  if (options->listen_count == 0 &&
      add_listen(options, AU_LISTEN_DEFAULT) != AU_OK)
    return out_of_memory(error, error_size);
  au_status_t memory = finish_body_memory(options, error, error_size);
  if (memory != AU_OK)
    return memory;
  return check_files(options, AU_SIDE_BUFFER, error, error_size);
}

/* What the database may lose must be here. */
static au_status_t finish_async_commit(const au_options_t *options, char *error,
                                       size_t error_size) {
  bool keeps = options->keep_stored_s > 0 && options->keep_stored_bytes > 0;
  bool has_directory = options->spool_directory[0] != '\0';
  if (!options->async_commit || (keeps && has_directory))
    return AU_OK;
  (void)snprintf(
      error, error_size,
      "option \"AsyncCommit\" of the plugin event_writer needs %s of the "
      "plugin "
      "event_buffer%s: a crash of the database may take back what it has "
      "confirmed",
      has_directory ? "a \"KeepStored\" and \"KeepStoredBytes\" above 0"
                    : "a \"SpoolDirectory\" and a \"KeepStored\" above 0",
      has_directory ? "" : ", and there is no SpoolDirectory");
  return AU_INVALID;
}

static au_status_t finish_writer(au_options_t *options, char *error,
                                 size_t error_size) {
  au_status_t async = finish_async_commit(options, error, error_size);
  if (async != AU_OK)
    return async;
  if (options->backoff_min_s <= options->backoff_max_s)
    return check_files(options, AU_SIDE_WRITER, error, error_size);
  (void)snprintf(error, error_size,
                 "option \"BackoffMin\" of the plugin event_writer is %g "
                 "seconds, more than \"BackoffMax\", %g seconds",
                 options->backoff_min_s, options->backoff_max_s);
  return AU_INVALID;
}

au_status_t au_options_finish(au_options_t *options, au_side_t side,
                              char *error, size_t error_size) {
  return side == AU_SIDE_BUFFER ? finish_buffer(options, error, error_size)
                                : finish_writer(options, error, error_size);
}
