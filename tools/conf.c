/* SPDX-License-Identifier: MIT
 *
 * An Include is replaced, where it stands, by what it means: a pattern by the
 * paths that match, a directory by its entries, a file by its lines. What
 * replaced it may hold others, which come next. So nothing calls itself, and
 * the items have the order in which collectd sees them.
 */
#include "tools/conf.h"

#include "base/bytes.h"
#include "tools/conf_scan.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <wordexp.h>

#define FILE_BYTES_MAX ((size_t)16 << 20)
#define FILES_MAX 10000
#define INCLUDE_DEPTH_MAX 8 /* collectd's */
#define NESTING_MAX 32
#define PATH_KEY "\001path" /* of a path that is no pattern any more */

typedef struct ctl_conf_block {
  struct ctl_conf_block *next;
  char bytes[];
} block_t;

/* An item that may be replaced. */
typedef struct node {
  ctl_conf_item_t item;
  const char *filter; /* of an Include; NULL: none */
  unsigned depth;     /* how many Includes led to it */
} node_t;

typedef struct reader {
  ctl_conf_t *conf;
  const ctl_conf_trouble_t **troubles_end;
  const ctl_conf_file_t **files_end;
  bool has_memory;
} reader_t;

/* --- memory ----------------------------------------------------------------
 */

/* Zeroed, and freed with the configuration. NULL: none is left. */
static void *take(reader_t *reader, size_t size) {
  block_t *block = calloc(1, sizeof(*block) + size);
  if (block == NULL) {
    reader->has_memory = false;
    return NULL;
  }
  block->next = reader->conf->blocks;
  reader->conf->blocks = block;
  return block->bytes;
}

static const char *copy(reader_t *reader, const char *text) {
  size_t size = strlen(text) + 1;
  char *made = take(reader, size);
  return made != NULL ? memcpy(made, text, size) : "";
}

static void AU_PRINTF(5, 6)
    add_trouble(reader_t *reader, bool is_fatal, const char *file,
                unsigned line, const char *format, ...) {
  char text[600];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof(text), format, arguments);
  va_end(arguments);
  ctl_conf_trouble_t *trouble = take(reader, sizeof(*trouble));
  if (trouble == NULL)
    return;
  *trouble = (ctl_conf_trouble_t){.text = copy(reader, text),
                                  .file = file,
                                  .line = line,
                                  .is_fatal = is_fatal};
  *reader->troubles_end = trouble;
  reader->troubles_end = &trouble->next;
}

/* --- a file ----------------------------------------------------------------
 */

/* NULL: errno. To be freed. */
static char *read_text(const char *path, size_t *out_size) {
  FILE *file = fopen(path, "re");
  if (file == NULL)
    return NULL;
  au_bytes_t bytes = AU_BYTES_INIT;
  size_t got = 0;
  do {
    uint8_t *to = au_bytes_extend(&bytes, BUFSIZ);
    got = to != NULL ? fread(to, 1, BUFSIZ, file) : 0;
    if (to != NULL)
      bytes.size -= BUFSIZ - got;
  } while (got > 0 && bytes.size < FILE_BYTES_MAX);
  int error = ferror(file) ? EIO : bytes.failed ? ENOMEM : 0;
  if (bytes.size >= FILE_BYTES_MAX)
    error = EFBIG;
  (void)fclose(file);
  *out_size = bytes.size;
  const char *text = error == 0 ? au_bytes_text(&bytes) : NULL;
  char *made = text != NULL ? malloc(bytes.size + 1) : NULL;
  if (made != NULL)
    memcpy(made, text, bytes.size + 1);
  au_bytes_fini(&bytes);
  errno = error != 0 ? error : ENOMEM;
  return made;
}

static node_t *make_item(reader_t *reader, ctl_conf_line_t *line,
                         const char *file, unsigned depth) {
  node_t *node = take(reader, sizeof(*node));
  au_given_t *values = take(reader, (line->values_count + 1) * sizeof(*values));
  if (node == NULL || values == NULL)
    return NULL;
  for (size_t i = 0; i < line->values_count; i++) {
    values[i].type = line->values[i].type;
    values[i].number = line->values[i].number;
    values[i].boolean = line->values[i].boolean;
    if (values[i].type == AU_VALUE_STRING)
      values[i].string =
          copy(reader, ctl_conf_line_text(line, line->values[i].string));
  }
  node->depth = depth;
  node->item = (ctl_conf_item_t){
      .key = copy(reader, ctl_conf_line_text(line, line->key)),
      .values = values,
      .values_count = line->values_count,
      .is_block = line->kind == CTL_CONF_BLOCK,
      .file = file,
      .line = line->number};
  return node;
}

/* The blocks that are open; the file itself is the outermost. */
typedef struct nesting {
  ctl_conf_item_t *block[NESTING_MAX];
  ctl_conf_item_t **end[NESTING_MAX];
  size_t depth;
} nesting_t;

/* false: the rest of the file is not read. */
static bool close_block(reader_t *reader, nesting_t *nesting,
                        ctl_conf_line_t *line, const char *file) {
  const char *key = ctl_conf_line_text(line, line->key);
  const ctl_conf_item_t *open = nesting->block[nesting->depth];
  if (nesting->depth > 0 && strcmp(open->key, key) == 0) {
    nesting->depth--;
    return true;
  }
  if (nesting->depth > 0)
    add_trouble(reader, true, file, line->number,
                "\"</%.60s>\" where the block <%.60s> of line %u is open", key,
                open->key, open->line);
  else
    add_trouble(reader, true, file, line->number,
                "\"</%.60s>\" where no block is open", key);
  return false;
}

static bool add_line(reader_t *reader, nesting_t *nesting,
                     ctl_conf_line_t *line, const char *file, unsigned depth) {
  if (line->kind == CTL_CONF_EMPTY)
    return true;
  if (line->kind == CTL_CONF_CLOSE)
    return close_block(reader, nesting, line, file);
  if (line->kind == CTL_CONF_BLOCK && nesting->depth + 1 == NESTING_MAX) {
    add_trouble(reader, true, file, line->number,
                "too many blocks within "
                "each other");
    return false;
  }
  node_t *node = make_item(reader, line, file, depth);
  if (node == NULL)
    return false;
  *nesting->end[nesting->depth] = &node->item;
  nesting->end[nesting->depth] = &node->item.next;
  if (line->kind == CTL_CONF_BLOCK) {
    nesting->depth++;
    nesting->block[nesting->depth] = &node->item;
    nesting->end[nesting->depth] = &node->item.children;
  }
  return true;
}

/* Reads the lines of a file; returns where they end. */
static ctl_conf_item_t **read_lines(reader_t *reader, const char *file,
                                    unsigned depth, const char *text,
                                    size_t size, ctl_conf_item_t **at) {
  ctl_conf_scan_t scan = {.at = text, .end = text + size, .number = 1};
  ctl_conf_line_t line = {.kind = CTL_CONF_EMPTY};
  nesting_t nesting = {.end = {at}};
  bool goes_on = true;
  while (goes_on) {
    ctl_conf_scan(&scan, &line);
    if (line.kind == CTL_CONF_ERROR)
      add_trouble(reader, true, file, line.number, "%s", line.error);
    else if (line.kind == CTL_CONF_END && nesting.depth > 0)
      add_trouble(reader, true, file, nesting.block[nesting.depth]->line,
                  "the block <%.60s> is not closed",
                  nesting.block[nesting.depth]->key);
    goes_on = line.kind != CTL_CONF_ERROR && line.kind != CTL_CONF_END &&
              add_line(reader, &nesting, &line, file, depth);
  }
  ctl_conf_line_fini(&line);
  return nesting.end[0];
}

/* Replaces nothing by the lines of the file at "path". */
static ctl_conf_item_t **read_file(reader_t *reader, const char *path,
                                   unsigned depth, const ctl_conf_item_t *from,
                                   ctl_conf_item_t **at) {
  size_t size = 0;
  char *text = read_text(path, &size);
  if (text == NULL) {
    add_trouble(reader, true, from->file, from->line,
                "could not read \"%.400s\": %s", path, strerror(errno));
    return at;
  }
  ctl_conf_file_t *file = take(reader, sizeof(*file));
  if (file != NULL) {
    *file = (ctl_conf_file_t){.path = path};
    *reader->files_end = file;
    reader->files_end = &file->next;
    reader->conf->files_count++;
    at = read_lines(reader, path, depth, text, size, at);
  }
  free(text);
  return at;
}

/* --- Include ---------------------------------------------------------------
 */

/* A path in the place of a pattern or a directory. */
static ctl_conf_item_t **put_path(reader_t *reader, const node_t *from,
                                  const char *path, ctl_conf_item_t **at) {
  node_t *node = take(reader, sizeof(*node));
  au_given_t *value = take(reader, sizeof(*value));
  if (node == NULL || value == NULL)
    return at;
  *value = (au_given_t){.type = AU_VALUE_STRING, .string = copy(reader, path)};
  *node = *from;
  node->item.key = PATH_KEY;
  node->item.values = value;
  node->item.values_count = 1;
  node->item.children = NULL;
  node->item.next = NULL;
  *at = &node->item;
  return &node->item.next;
}

static ctl_conf_item_t **put_matches(reader_t *reader, node_t *from,
                                     ctl_conf_item_t **at) {
  const char *pattern = ctl_conf_text(&from->item);
  wordexp_t found = {.we_wordc = 0};
  for (const ctl_conf_item_t *child = from->item.children; child != NULL;
       child = child->next)
    if (strcasecmp(child->key, "Filter") == 0)
      from->filter = ctl_conf_text(child);
  if (pattern == NULL || from->item.values_count != 1) {
    add_trouble(reader, false, from->item.file, from->item.line,
                "Include needs one text, and is passed over");
    return at;
  }
  if (from->depth >= INCLUDE_DEPTH_MAX) {
    add_trouble(reader, true, from->item.file, from->item.line,
                "more than %d files that include each other",
                INCLUDE_DEPTH_MAX);
    return at;
  }
  from->depth++;
  if (wordexp(pattern, &found, WRDE_NOCMD) != 0) {
    add_trouble(reader, true, from->item.file, from->item.line,
                "Include cannot make anything of \"%.300s\"", pattern);
    return at;
  }
  for (size_t i = 0; i < found.we_wordc; i++)
    at = put_path(reader, from, found.we_wordv[i], at);
  wordfree(&found);
  return at;
}

static int is_shown(const struct dirent *entry) {
  return entry->d_name[0] != '.';
}

static int compare(const struct dirent **a, const struct dirent **b) {
  return strcmp((*a)->d_name, (*b)->d_name);
}

static ctl_conf_item_t **put_entries(reader_t *reader, const node_t *from,
                                     const char *path, ctl_conf_item_t **at) {
  struct dirent **entries = NULL;
  int count = scandir(path, &entries, is_shown, compare);
  if (count < 0)
    add_trouble(reader, true, from->item.file, from->item.line,
                "could not read the directory \"%.400s\": %s", path,
                strerror(errno));
  for (int i = 0; i < count; i++) {
    char inner[PATH_MAX];
    int length =
        snprintf(inner, sizeof(inner), "%s/%s", path, entries[i]->d_name);
    if (length > 0 && (size_t)length < sizeof(inner))
      at = put_path(reader, from, inner, at);
    free(entries[i]);
  }
  free(entries);
  return at;
}

static ctl_conf_item_t **put_path_itself(reader_t *reader, const node_t *from,
                                         ctl_conf_item_t **at) {
  const char *path = ctl_conf_text(&from->item);
  const char *slash = strrchr(path, '/');
  struct stat info;
  if (stat(path, &info) != 0) {
    /* The first file has no place where it is named. */
    add_trouble(reader, from->item.file == NULL, from->item.file,
                from->item.line, "could not include \"%.400s\": %s", path,
                strerror(errno));
    return at;
  }
  if (S_ISDIR(info.st_mode))
    return put_entries(reader, from, path, at);
  if (from->filter != NULL &&
      fnmatch(from->filter, slash != NULL ? slash + 1 : path, 0) != 0)
    return at;
  return read_file(reader, path, from->depth, &from->item, at);
}

/* Follows every Include, those in what was included, too. */
static void include_all(reader_t *reader) {
  ctl_conf_item_t **at = &reader->conf->items;
  while (*at != NULL && reader->has_memory) {
    node_t *node = (void *)*at; /* it is its first member */
    ctl_conf_item_t *after = node->item.next;
    bool is_path = strcmp(node->item.key, PATH_KEY) == 0;
    if (!is_path && strcasecmp(node->item.key, "Include") != 0) {
      at = &node->item.next;
      continue;
    }
    *at = NULL;
    ctl_conf_item_t **end = is_path ? put_path_itself(reader, node, at)
                                    : put_matches(reader, node, at);
    *end = after;
    if (reader->conf->files_count > FILES_MAX)
      break;
  }
}

bool ctl_conf_read(ctl_conf_t *conf, const char *path) {
  *conf = (ctl_conf_t){.items = NULL};
  reader_t reader = {.conf = conf,
                     .troubles_end = &conf->troubles,
                     .files_end = &conf->files,
                     .has_memory = true};
  node_t first = {.depth = 0};
  (void)put_path(&reader, &first, path, &conf->items);
  include_all(&reader);
  return reader.has_memory;
}

void ctl_conf_fini(ctl_conf_t *conf) {
  while (conf->blocks != NULL) {
    block_t *next = conf->blocks->next;
    free(conf->blocks);
    conf->blocks = next;
  }
  *conf = (ctl_conf_t){.items = NULL};
}

/* --- looking ---------------------------------------------------------------
 */

const char *ctl_conf_text(const ctl_conf_item_t *item) {
  return item->values_count > 0 && item->values[0].type == AU_VALUE_STRING
             ? item->values[0].string
             : NULL;
}

bool ctl_conf_is(const ctl_conf_item_t *item, const char *key,
                 const char *value) {
  const char *text = ctl_conf_text(item);
  return strcasecmp(item->key, key) == 0 &&
         (value == NULL || (text != NULL && strcasecmp(text, value) == 0));
}

const ctl_conf_item_t *ctl_conf_find(const ctl_conf_item_t *items,
                                     const char *key) {
  const ctl_conf_item_t *found = NULL;
  for (; items != NULL; items = items->next)
    if (strcasecmp(items->key, key) == 0)
      found = items;
  return found;
}
