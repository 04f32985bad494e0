/* SPDX-License-Identifier: MIT
 * Part of spool/; calls config/, metrics/, event/, base/.
 *
 * segment - one file of a spool: its header, its making, its reading.
 *
 * A segment is made under a temporary name, allocated, given its header,
 * synced and only then renamed, so that a file with a segment's name is whole.
 * In memory it is a memory file that is never synced.
 *
 *   0                                                           4096
 *   | "AURSPOOL" version size spool number salt time lives crc32c | frames ...
 *
 * The file of a segment whose rows are gone may become a spare, and then
 * another segment: its blocks are written already, so a sync of new rows has
 * nothing but these rows to write, while in a file that was only allocated it
 * must also note that the blocks are in use. Each life of a file has the salt
 * after that of the one before, which no checksum of the earlier lives fits;
 * what they have left behind the new frames is no frame.
 *
 *     N.segment -> N.spare.new -> M.segment
 *
 * The header of M is durable before the file gets that name. Whatever ends in
 * ".new" is no segment to any release; those that know of no spares delete it
 * at their start.
 *
 * Threads: one at a time per segment and cursor.
 */
#ifndef AURORE_SPOOL_SEGMENT_H
#define AURORE_SPOOL_SEGMENT_H

#include "base/io.h"
#include "base/uuid.h"
#include "spool/frame.h"

#define AU_SEGMENT_HEADER_SIZE 4096
#define AU_SEGMENT_NAME_SIZE 48

/* Where the segments of one spool live. */
typedef struct au_store {
  const au_io_t *io;
  int directory; /* descriptor; -1: memory */
  au_uuid_t id;  /* of the spool */
} au_store_t;

typedef struct au_segment {
  struct au_segment *next; /* the next newer one */
  uint64_t number;         /* rises with every segment of the spool */
  uint64_t salt;
  uint64_t first_seq; /* of its first row; 0: it holds none */
  uint64_t end;       /* bytes that may be read */
  uint64_t size;      /* bytes allocated */
  uint32_t lives;     /* that the file had before: it holds their bytes */
  int fd;             /* -1: not open (memory files are always open) */
  bool unreadable;    /* some of it cannot be read: kept aside, not deleted */
  bool failed;        /* a write or sync has failed: never written again */
  int64_t stored_ns;  /* since when all its rows are stored; 0: not all are */
} au_segment_t;

/* Makes a segment of "size" bytes, open for writing. On error errno is set,
 * nothing is left behind and NULL is returned. */
au_segment_t *au_segment_create(const au_store_t *store, uint64_t number,
                                uint64_t size);

/* Opens the segment of that number for reading, checks its header and finds
 * its first row; NULL and errno (EILSEQ: the header is damaged or unreadable,
 * or is that of another spool when "store->id" is not nil; a nil id is filled
 * in from the header. EPROTO: a newer release made it). "end" is the file's
 * size. */
au_segment_t *au_segment_open(au_store_t *store, uint64_t number);

/* Gives the file the name of a spare and closes it. -1 and errno on error: it
 * has its name still. */
int au_segment_spare(const au_store_t *store, au_segment_t *segment);

/* Opens the spare that was the segment of that number. NULL: it is not fit to
 * be used again. */
au_segment_t *au_segment_open_spare(au_store_t *store, uint64_t number);

/* Makes the spare the segment of that number, open for writing. On error errno
 * is set, the spare is deleted and freed, and NULL is returned. */
au_segment_t *au_segment_reuse(const au_store_t *store, au_segment_t *spare,
                               uint64_t number);

/* Deletes the file of a spare and frees it; errno stays. */
void au_segment_delete_spare(const au_store_t *store, au_segment_t *spare);

/* Whether the open file is that segment still, and not another one by now. */
bool au_segment_is_same(const au_store_t *store, const au_segment_t *segment);

/* Gives the file another name ("damaged-..."), for whoever wants to look at it;
 * the spool does not read it any more. -1 and errno on error. */
int au_segment_set_aside(const au_store_t *store, uint64_t number);

/* Closes the file and frees; errno stays. */
void au_segment_close(const au_store_t *store, au_segment_t *segment);

/* "0000000000000001.segment" */
void au_segment_name(uint64_t number, char name[AU_SEGMENT_NAME_SIZE]);
/* The number of such a name; 0 when it is not one, or when no number could
 * follow it. */
uint64_t au_segment_parse_name(const char *name);
/* As that, of "0000000000000001.spare.new". */
uint64_t au_segment_parse_spare(const char *name);

/* Reads the frames of a segment one after the other. */
typedef struct au_cursor {
  const au_io_t *io;
  int fd;
  uint64_t salt;
  uint64_t offset; /* of the next frame */
  uint64_t limit;  /* where reading ends */
  au_bytes_t window;
  uint64_t window_offset;
  /* Whether blocks that the disk cannot read are passed as damage (false after
   * init), how many were, and where the last one ends. */
  bool passes_unreadable;
  unsigned unreadable;
  uint64_t unreadable_end;
  uint64_t in_vain; /* bytes that were looked at and are no frame */
} au_cursor_t;

typedef enum au_cursor_result {
  AU_CURSOR_FRAME,  /* a good frame; the cursor is after it */
  AU_CURSOR_END,    /* zero bytes, or the limit; the cursor is there */
  AU_CURSOR_DAMAGE, /* not a frame; the cursor is there */
  AU_CURSOR_ERROR   /* could not read (errno), or out of memory */
} au_cursor_result_t;

/* Starts at "offset"; keeps the window's memory of an earlier use (the struct
 * is all zero before its first). */
void au_cursor_init(au_cursor_t *cursor, const au_io_t *io, int fd,
                    uint64_t salt, uint64_t offset, uint64_t limit);
void au_cursor_fini(au_cursor_t *cursor);

/* "out_frame" points into the cursor and is valid until its next call. */
au_cursor_result_t au_cursor_next(au_cursor_t *cursor, au_frame_t *out_frame);

/* After AU_CURSOR_DAMAGE or AU_CURSOR_END: goes to the next good frame, if
 * there is any before the limit (AU_CURSOR_FRAME: next will read it), else to
 * the limit (AU_CURSOR_END). Bytes that pass for the header of a large row, one
 * after the other, cost no more than some times the size of the file: then only
 * a footer is looked for. */
au_cursor_result_t au_cursor_resync(au_cursor_t *cursor);

#endif
