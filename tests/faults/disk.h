/* SPDX-License-Identifier: MIT
 *
 * disk - a model of the disk below one directory: what was written, what was
 * synced, and so which files a power cut may leave.
 *
 * A change of a file (bytes, size) is certain once a sync of the file that
 * began after it has succeeded; a change of the directory (a name made, renamed
 * or removed) once a sync of the directory has. Until then a power cut may keep
 * or lose each of them by itself: of a write each sector of 512 bytes. After a
 * sync that failed nothing is known of the changes before it for ever: they are
 * clean to the kernel, and no later sync writes them, unless they are made
 * again (of a directory: unless any name in it changes).
 *
 * Threads: one at a time.
 */
#ifndef FAULTS_DISK_H
#define FAULTS_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define DISK_NAME_SIZE 64
#define DISK_NAMES_MAX 64
#define DISK_SECTOR 512

typedef enum disk_kind {
  DISK_CREATE, /* name, file */
  DISK_WRITE,  /* file, offset, data */
  DISK_EXTEND, /* file: it is at least "offset" bytes long */
  DISK_RESIZE, /* file: it is "offset" bytes long */
  DISK_SYNC,   /* file */
  DISK_SYNC_FAILED,
  DISK_RENAME, /* name, to, file */
  DISK_UNLINK, /* name */
  DISK_SYNC_NAMES,
  DISK_SYNC_NAMES_FAILED,
  DISK_MARK /* not of the disk: what the program did, in the same order */
} disk_kind_t;

typedef struct disk_op {
  disk_kind_t kind;
  unsigned file;
  uint64_t offset;
  uint8_t *data; /* owned */
  size_t size;
  char name[DISK_NAME_SIZE];
  char to[DISK_NAME_SIZE];
  int mark; /* the caller's */
  uint64_t value;
} disk_op_t;

/* What happened, in order. */
typedef struct disk_record {
  disk_op_t *op;
  size_t count;
  size_t capacity;
} disk_record_t;

disk_op_t *disk_record_add(disk_record_t *record, disk_kind_t kind);
void disk_record_fini(disk_record_t *record);
void disk_op_print(const disk_op_t *op, FILE *out);

typedef struct disk disk_t;

disk_t *disk_new(void);
disk_t *disk_clone(const disk_t *disk);
void disk_free(disk_t *disk);

/* Borrows the data of the operation until disk_free of the disk and of its
 * clones. */
void disk_apply(disk_t *disk, const disk_op_t *op);

/* Applies a change of names to what running programs see, and no more. */
void disk_follow(disk_t *disk, const disk_op_t *op);

/* The file of that name as running programs see it; false: there is none. */
bool disk_lookup(const disk_t *disk, const char *name, unsigned *out_file);
/* An id that no file has. */
unsigned disk_next_file(const disk_t *disk);

/* How a power cut chooses among what is not certain. The units are the changes
 * of names, then for each file its changes of size and its sectors. */
typedef enum disk_mode {
  DISK_RUNNING,  /* no power cut: what running programs see */
  DISK_ALL,      /* all of them are kept */
  DISK_NONE,     /* none is */
  DISK_NO_NAMES, /* all of the files, none of the names */
  DISK_NO_FILES, /* all of the names, none of the files */
  DISK_FIRST,    /* those before number "at" */
  DISK_LAST,     /* those from number "at" on */
  DISK_ALL_BUT,  /* all but number "at" */
  DISK_ONLY,     /* number "at" alone */
  DISK_RANDOM,   /* each with a chance of "at" in four */
  DISK_BITS,     /* by the bits of "seed" */
  DISK_MODES
} disk_mode_t;

typedef struct disk_choice {
  disk_mode_t mode;
  size_t at;
  uint64_t seed;
  /* Where nothing was written the blocks hold what an older segment had there
   * (a file system that does not zero what it allocates). */
  bool is_stale;
} disk_choice_t;

void disk_choice_print(const disk_choice_t *choice, FILE *out);

/* How many units there are to choose among. */
size_t disk_units(const disk_t *disk);

/* What a power cut has done; a state may be of several kinds. */
typedef enum disk_damage {
  DISK_LOST_WRITE = 1 << 0, /* none of a write is left */
  DISK_TORN_WRITE = 1 << 1, /* some of its sectors are, and some are not */
  DISK_ZERO_TAIL = 1 << 2,  /* the file reaches as far, and holds zeros there */
  DISK_LOST_SIZE = 1 << 3,  /* the file is as long as it was before */
  DISK_LOST_CREATE = 1 << 4, /* a name that was made is gone */
  DISK_LOST_RENAME = 1 << 5, /* it has its name of before */
  DISK_LOST_UNLINK = 1 << 6, /* a name that was removed is there */
  DISK_TORN_STATE = 1 << 7   /* a write of the file "state" is lost, or torn */
} disk_damage_t;

/* The files that are left. */
typedef struct disk_image {
  size_t count;
  unsigned damage; /* of disk_damage_t */
  struct {
    char name[DISK_NAME_SIZE];
    uint8_t *data;
    size_t size;
  } file[DISK_NAMES_MAX];
} disk_image_t;

void disk_crash(const disk_t *disk, const disk_choice_t *choice,
                disk_image_t *out_image);
void disk_image_free(disk_image_t *image);
uint64_t disk_image_hash(const disk_image_t *image);

/* Makes the directory (it exists) hold the image and nothing else. */
void disk_image_write(const disk_image_t *image, const char *directory);

/* The disk after the crash: all of the image, for certain. */
disk_t *disk_of_image(const disk_image_t *image);

/* Ends the test program. */
void disk_die(const char *what) __attribute__((noreturn));

#endif
