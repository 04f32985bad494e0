/* SPDX-License-Identifier: MIT
 *
 * disk - see disk.h.
 */
#include "faults/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How certain a change is. */
typedef enum doubt {
  PENDING, /* the next sync makes it certain */
  UNKNOWN, /* a sync has failed: no sync will */
  CERTAIN
} doubt_t;

/* A change that still stands by itself, borrowed from the operation. */
typedef struct change {
  const disk_op_t *op;
  doubt_t doubt;
} change_t;

typedef struct changes {
  change_t *change;
  size_t count;
  size_t capacity;
} changes_t;

typedef struct content {
  uint8_t *data;
  size_t size;
} content_t;

typedef struct file {
  content_t certain; /* what "changes" come on top of */
  changes_t changes;
} file_t;

typedef struct name {
  char name[DISK_NAME_SIZE];
  unsigned file;
} name_t;

typedef struct names {
  name_t name[DISK_NAMES_MAX];
  size_t count;
} names_t;

struct disk {
  file_t *file;
  unsigned files;
  names_t certain; /* what "changes" come on top of */
  names_t running; /* with all changes */
  changes_t changes;
};

void disk_die(const char *what) {
  fprintf(stderr, "faults: %s: %s\n", what, strerror(errno));
  exit(2);
}

static void *need(void *memory) {
  if (memory == NULL)
    disk_die("out of memory");
  return memory;
}

/* --- what happened ---------------------------------------------------------
 */

disk_op_t *disk_record_add(disk_record_t *record, disk_kind_t kind) {
  if (record->count == record->capacity) {
    record->capacity = record->capacity == 0 ? 256 : 2 * record->capacity;
    record->op =
        need(realloc(record->op, record->capacity * sizeof(*record->op)));
  }
  disk_op_t *op = &record->op[record->count++];
  memset(op, 0, sizeof(*op));
  op->kind = kind;
  return op;
}

void disk_record_fini(disk_record_t *record) {
  for (size_t i = 0; i < record->count; i++)
    free(record->op[i].data);
  free(record->op);
  *record = (disk_record_t){.count = 0};
}

void disk_op_print(const disk_op_t *op, FILE *out) {
  static const char *const kind[] = {
      "create",        "write",  "extend", "resize",     "sync",
      "sync (failed)", "rename", "unlink", "sync names", "sync names (failed)",
      "mark"};
  fprintf(out, "%s", kind[op->kind]);
  if (op->kind == DISK_MARK) {
    fprintf(out, " %d: %" PRIu64, op->mark, op->value);
    return;
  }
  if (op->kind == DISK_SYNC_NAMES || op->kind == DISK_SYNC_NAMES_FAILED)
    return;
  fprintf(out, " file %u", op->file);
  if (op->name[0] != '\0')
    fprintf(out, " \"%s\"", op->name);
  if (op->to[0] != '\0')
    fprintf(out, " to \"%s\"", op->to);
  if (op->kind == DISK_WRITE)
    fprintf(out, " %zu bytes at %" PRIu64, op->size, op->offset);
  else if (op->kind == DISK_EXTEND || op->kind == DISK_RESIZE)
    fprintf(out, " to %" PRIu64, op->offset);
}

/* --- files -----------------------------------------------------------------
 */

static void content_resize(content_t *content, size_t size) {
  if (size > content->size) {
    content->data = need(realloc(content->data, size));
    memset(content->data + content->size, 0, size - content->size);
  }
  content->size = size;
}

static void content_copy(content_t *to, const content_t *from) {
  *to = (content_t){.size = from->size};
  to->data = need(malloc(from->size + 1));
  if (from->size > 0)
    memcpy(to->data, from->data, from->size);
}

static void content_put(content_t *content, uint64_t offset,
                        const uint8_t *data, size_t size) {
  if (offset + size > content->size)
    content_resize(content, offset + size);
  memcpy(content->data + offset, data, size);
}

static void content_apply(content_t *content, const disk_op_t *op) {
  if (op->kind == DISK_WRITE)
    content_put(content, op->offset, op->data, op->size);
  else if (op->kind == DISK_RESIZE || op->offset > content->size)
    content_resize(content, op->offset);
}

static void changes_add(changes_t *changes, const disk_op_t *op) {
  if (changes->count == changes->capacity) {
    changes->capacity = changes->capacity == 0 ? 8 : 2 * changes->capacity;
    changes->change = need(
        realloc(changes->change, changes->capacity * sizeof(*changes->change)));
  }
  changes->change[changes->count++] = (change_t){.op = op, .doubt = PENDING};
}

static void changes_copy(changes_t *to, const changes_t *from) {
  *to = (changes_t){.count = from->count, .capacity = from->count + 1};
  to->change = need(malloc(to->capacity * sizeof(*to->change)));
  if (from->count > 0)
    memcpy(to->change, from->change, from->count * sizeof(*to->change));
}

/* Returns whether some change will never be certain. */
static bool changes_settle(changes_t *changes, doubt_t doubt) {
  bool unknown = false;
  for (size_t i = 0; i < changes->count; i++) {
    if (changes->change[i].doubt == PENDING)
      changes->change[i].doubt = doubt;
    unknown |= changes->change[i].doubt == UNKNOWN;
  }
  return unknown;
}

static void file_sync(file_t *file) {
  if (changes_settle(&file->changes, CERTAIN))
    return;
  for (size_t i = 0; i < file->changes.count; i++)
    content_apply(&file->certain, file->changes.change[i].op);
  file->changes.count = 0;
}

/* --- names -----------------------------------------------------------------
 */

static name_t *names_find(names_t *names, const char *name) {
  for (size_t i = 0; i < names->count; i++)
    if (strcmp(names->name[i].name, name) == 0)
      return &names->name[i];
  return NULL;
}

static void names_remove(names_t *names, const char *name) {
  name_t *at = names_find(names, name);
  if (at != NULL)
    *at = names->name[--names->count];
}

static void names_put(names_t *names, const char *name, unsigned file) {
  name_t *at = names_find(names, name);
  if (at == NULL) {
    if (names->count == DISK_NAMES_MAX)
      disk_die("too many names");
    at = &names->name[names->count++];
    snprintf(at->name, sizeof(at->name), "%s", name);
  }
  at->file = file;
}

/* A rename that is kept while the creation was lost still makes its name. */
static void names_apply(names_t *names, const disk_op_t *op) {
  if (op->kind == DISK_CREATE) {
    names_put(names, op->name, op->file);
    return;
  }
  names_remove(names, op->name);
  if (op->kind == DISK_RENAME)
    names_put(names, op->to, op->file);
}

static void names_sync(disk_t *disk) {
  if (changes_settle(&disk->changes, CERTAIN))
    return;
  disk->certain = disk->running;
  disk->changes.count = 0;
}

/* --- the disk --------------------------------------------------------------
 */

disk_t *disk_new(void) { return need(calloc(1, sizeof(disk_t))); }

disk_t *disk_clone(const disk_t *disk) {
  disk_t *clone = disk_new();
  *clone = *disk;
  changes_copy(&clone->changes, &disk->changes);
  clone->file = need(malloc((disk->files + 1) * sizeof(*clone->file)));
  for (unsigned i = 0; i < disk->files; i++) {
    content_copy(&clone->file[i].certain, &disk->file[i].certain);
    changes_copy(&clone->file[i].changes, &disk->file[i].changes);
  }
  return clone;
}

void disk_free(disk_t *disk) {
  if (disk == NULL)
    return;
  for (unsigned i = 0; i < disk->files; i++) {
    free(disk->file[i].certain.data);
    free(disk->file[i].changes.change);
  }
  free(disk->file);
  free(disk->changes.change);
  free(disk);
}

static file_t *disk_file(disk_t *disk, unsigned file) {
  if (file >= disk->files) {
    disk->file = need(realloc(disk->file, (file + 1) * sizeof(*disk->file)));
    memset(disk->file + disk->files, 0,
           (file + 1 - disk->files) * sizeof(*disk->file));
    disk->files = file + 1;
  }
  return &disk->file[file];
}

static void change_names(disk_t *disk, const disk_op_t *op) {
  /* The block of the directory is to be written again, with all names in it. */
  for (size_t i = 0; i < disk->changes.count; i++)
    if (disk->changes.change[i].doubt == UNKNOWN)
      disk->changes.change[i].doubt = PENDING;
  changes_add(&disk->changes, op);
  names_apply(&disk->running, op);
}

void disk_apply(disk_t *disk, const disk_op_t *op) {
  switch (op->kind) {
  case DISK_CREATE:
    (void)disk_file(disk, op->file);
    change_names(disk, op);
    break;
  case DISK_RENAME:
  case DISK_UNLINK:
    change_names(disk, op);
    break;
  case DISK_WRITE:
  case DISK_EXTEND:
  case DISK_RESIZE:
    changes_add(&disk_file(disk, op->file)->changes, op);
    break;
  case DISK_SYNC:
    file_sync(disk_file(disk, op->file));
    break;
  case DISK_SYNC_FAILED:
    changes_settle(&disk_file(disk, op->file)->changes, UNKNOWN);
    break;
  case DISK_SYNC_NAMES:
    names_sync(disk);
    break;
  case DISK_SYNC_NAMES_FAILED:
    changes_settle(&disk->changes, UNKNOWN);
    break;
  case DISK_MARK:
    break;
  }
}

void disk_follow(disk_t *disk, const disk_op_t *op) {
  names_apply(&disk->running, op);
}

bool disk_lookup(const disk_t *disk, const char *name, unsigned *out_file) {
  for (size_t i = 0; i < disk->running.count; i++)
    if (strcmp(disk->running.name[i].name, name) == 0) {
      *out_file = disk->running.name[i].file;
      return true;
    }
  return false;
}

unsigned disk_next_file(const disk_t *disk) { return disk->files; }

/* --- the power cut ---------------------------------------------------------
 */

void disk_choice_print(const disk_choice_t *choice, FILE *out) {
  static const char *const mode[DISK_MODES] = {
      "no power cut, the process is killed",
      "all that was written is kept",
      "nothing that was not synced is kept",
      "no name that was not synced is kept",
      "no byte that was not synced is kept",
      "of what was not synced, what comes before unit",
      "of what was not synced, what comes from unit",
      "all is kept but unit",
      "of what was not synced only unit",
      "what was not synced is kept at random, quarters:",
      "what was not synced is kept by bits,"};
  fprintf(out, "%s %zu (seed %" PRIu64 ")%s", mode[choice->mode], choice->at,
          choice->seed,
          choice->is_stale ? ", stale blocks where nothing was written" : "");
}

/* Goes through the units in order, and decides. */
typedef struct chooser {
  const disk_choice_t *choice;
  size_t unit;
  uint64_t random;
} chooser_t;

static uint64_t next_random(uint64_t *state) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state;
}

static bool keeps(chooser_t *chooser, bool is_name) {
  const disk_choice_t *choice = chooser->choice;
  size_t unit = chooser->unit++;
  switch (choice->mode) {
  case DISK_NONE:
    return false;
  case DISK_NO_NAMES:
    return !is_name;
  case DISK_NO_FILES:
    return is_name;
  case DISK_FIRST:
    return unit < choice->at;
  case DISK_LAST:
    return unit >= choice->at;
  case DISK_ALL_BUT:
    return unit != choice->at;
  case DISK_ONLY:
    return unit == choice->at;
  case DISK_RANDOM:
    return next_random(&chooser->random) / 7 % 4 < choice->at;
  case DISK_BITS:
    return unit < 64 && (choice->seed >> unit & 1) != 0;
  case DISK_RUNNING:
  case DISK_ALL:
  case DISK_MODES:
    break;
  }
  return true;
}

/* The sectors of a write: the first may begin, the last may end within one. */
static size_t sector_end(const disk_op_t *op, size_t from) {
  uint64_t at = op->offset + from;
  size_t end = from + DISK_SECTOR - (size_t)(at % DISK_SECTOR);
  return end < op->size ? end : op->size;
}

/* Returns what was done to it. */
static unsigned crash_write(content_t *content, const change_t *change,
                            chooser_t *chooser) {
  const disk_op_t *op = change->op;
  size_t kept = 0;
  size_t lost = 0;
  unsigned damage = 0;
  for (size_t from = 0, end; from < op->size; from = end) {
    end = sector_end(op, from);
    bool keep = keeps(chooser, false);
    if (keep)
      content_put(content, op->offset + from, op->data + from, end - from);
    else if (op->offset + end <= content->size &&
             content->data[op->offset + end - 1] == 0)
      damage |= DISK_ZERO_TAIL;
    kept += keep ? 1 : 0;
    lost += keep ? 0 : 1;
  }
  if (lost > 0)
    damage |= kept > 0 ? DISK_TORN_WRITE : DISK_LOST_WRITE;
  return damage;
}

static unsigned lost_name(disk_kind_t kind) {
  if (kind == DISK_CREATE)
    return DISK_LOST_CREATE;
  return kind == DISK_RENAME ? DISK_LOST_RENAME : DISK_LOST_UNLINK;
}

static unsigned crash_file(const file_t *file, chooser_t *chooser,
                           content_t *out_content) {
  unsigned damage = 0;
  content_copy(out_content, &file->certain);
  for (size_t i = 0; i < file->changes.count; i++) {
    const change_t *change = &file->changes.change[i];
    if (change->doubt != CERTAIN && change->op->kind == DISK_WRITE)
      damage |= crash_write(out_content, change, chooser);
    else if (change->doubt == CERTAIN || keeps(chooser, false))
      content_apply(out_content, change->op);
    else
      damage |= DISK_LOST_SIZE;
  }
  return damage;
}

size_t disk_units(const disk_t *disk) {
  size_t units = 0;
  for (size_t i = 0; i < disk->changes.count; i++)
    units += disk->changes.change[i].doubt != CERTAIN;
  for (unsigned i = 0; i < disk->files; i++) {
    const changes_t *changes = &disk->file[i].changes;
    for (size_t n = 0; n < changes->count; n++) {
      const disk_op_t *op = changes->change[n].op;
      if (changes->change[n].doubt == CERTAIN)
        continue;
      if (op->kind != DISK_WRITE)
        units++;
      for (size_t from = 0; op->kind == DISK_WRITE && from < op->size;
           from = sector_end(op, from))
        units++;
    }
  }
  return units;
}

static int compare_names(const void *left, const void *right) {
  return strcmp(((const name_t *)left)->name, ((const name_t *)right)->name);
}

static bool is_segment(const char *name) {
  size_t size = strlen(name);
  return size > 8 && strcmp(name + size - 8, ".segment") == 0;
}

/* Sectors of segments that nothing was written to get the bytes that another
 * segment has at the same place. */
static void make_stale(disk_image_t *image) {
  static const uint8_t zero[DISK_SECTOR];
  for (size_t i = 0; i < image->count; i++) {
    size_t other = (i + image->count - 1) % image->count;
    while (other != i && !is_segment(image->file[other].name))
      other = (other + image->count - 1) % image->count;
    if (other == i || !is_segment(image->file[i].name))
      continue;
    for (size_t at = 4096; at + DISK_SECTOR <= image->file[i].size &&
                           at + DISK_SECTOR <= image->file[other].size;
         at += DISK_SECTOR)
      if (memcmp(image->file[i].data + at, zero, sizeof(zero)) == 0)
        memcpy(image->file[i].data + at, image->file[other].data + at,
               DISK_SECTOR);
  }
}

void disk_crash(const disk_t *disk, const disk_choice_t *choice,
                disk_image_t *out_image) {
  chooser_t chooser = {.choice = choice,
                       .random =
                           choice->seed * 2654435761U + 88172645463325252U};
  names_t names = disk->certain;
  out_image->damage = 0;
  for (size_t i = 0; i < disk->changes.count; i++) {
    const change_t *change = &disk->changes.change[i];
    if (change->doubt == CERTAIN || keeps(&chooser, true))
      names_apply(&names, change->op);
    else
      out_image->damage |= lost_name(change->op->kind);
  }
  qsort(names.name, names.count, sizeof(names.name[0]), compare_names);
  content_t *content = need(calloc(disk->files + 1, sizeof(*content)));
  unsigned *damage = need(calloc(disk->files + 1, sizeof(*damage)));
  for (unsigned i = 0; i < disk->files; i++)
    damage[i] = crash_file(&disk->file[i], &chooser, &content[i]);
  out_image->count = names.count;
  for (size_t i = 0; i < names.count; i++) {
    content_t copy;
    content_copy(&copy, &content[names.name[i].file]);
    memcpy(out_image->file[i].name, names.name[i].name, DISK_NAME_SIZE);
    out_image->file[i].data = copy.data;
    out_image->file[i].size = copy.size;
    unsigned done = damage[names.name[i].file];
    out_image->damage |= done;
    if (strcmp(names.name[i].name, "state") == 0 &&
        (done & (DISK_LOST_WRITE | DISK_TORN_WRITE)) != 0)
      out_image->damage |= DISK_TORN_STATE;
  }
  for (unsigned i = 0; i < disk->files; i++)
    free(content[i].data);
  free(content);
  free(damage);
  if (choice->is_stale)
    make_stale(out_image);
}

/* --- images ----------------------------------------------------------------
 */

void disk_image_free(disk_image_t *image) {
  for (size_t i = 0; i < image->count; i++)
    free(image->file[i].data);
  image->count = 0;
}

uint64_t disk_image_hash(const disk_image_t *image) {
  uint64_t hash = 14695981039346656037U;
  for (size_t i = 0; i < image->count; i++) {
    for (const char *c = image->file[i].name; *c != '\0'; c++)
      hash = (hash ^ (uint8_t)*c) * 1099511628211U;
    hash = (hash ^ image->file[i].size) * 1099511628211U;
    size_t at = 0;
    for (; at + 8 <= image->file[i].size; at += 8) {
      uint64_t word;
      memcpy(&word, image->file[i].data + at, sizeof(word));
      hash = (hash ^ word ^ word >> 31) * 1099511628211U;
    }
    for (; at < image->file[i].size; at++)
      hash = (hash ^ image->file[i].data[at]) * 1099511628211U;
  }
  return hash;
}

static void empty_directory(int directory) {
  int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY);
  DIR *dir = copy < 0 ? NULL : fdopendir(copy);
  if (dir == NULL)
    disk_die("could not list the directory of the test");
  const struct dirent *entry;
  while ((entry = readdir(dir)) != NULL)
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
      unlinkat(directory, entry->d_name, 0);
  closedir(dir);
}

void disk_image_write(const disk_image_t *image, const char *path) {
  int directory = open(path, O_RDONLY | O_DIRECTORY);
  if (directory < 0)
    disk_die("could not open the directory of the test");
  empty_directory(directory);
  for (size_t i = 0; i < image->count; i++) {
    int fd = openat(directory, image->file[i].name, O_WRONLY | O_CREAT, 0600);
    if (fd < 0 || write(fd, image->file[i].data, image->file[i].size) !=
                      (ssize_t)image->file[i].size)
      disk_die("could not write a file of the test");
    close(fd);
  }
  close(directory);
}

disk_t *disk_of_image(const disk_image_t *image) {
  disk_t *disk = disk_new();
  for (size_t i = 0; i < image->count; i++) {
    content_t content = {.data = image->file[i].data,
                         .size = image->file[i].size};
    content_copy(&disk_file(disk, (unsigned)i)->certain, &content);
    names_put(&disk->certain, image->file[i].name, (unsigned)i);
  }
  disk->running = disk->certain;
  return disk;
}
