/* SPDX-License-Identifier: MIT
 * Part of event/; calls base/.
 *
 * members - an object of JSON, taken apart: its members in their order, each
 * with its name and with where its value is; and what a path leads to in it.
 *
 * Of members with the same name the last one counts.
 *
 * Threads: one at a time. Ownership: values point into the text, which is
 * borrowed until the next begin; names are valid until a member is added.
 */
#ifndef AURORE_EVENT_MEMBERS_H
#define AURORE_EVENT_MEMBERS_H

#include "base/json_scan.h"
#include "event/shape.h"

/* Where a value is in the text: of an object or array, from bracket to bracket.
 */
typedef au_token_t au_found_t;

/* There is none. */
#define AU_FOUND_NOTHING ((au_found_t){.kind = AU_TOKEN_END})

typedef struct au_member {
  const char *name; /* NULL: it is in "names", at "offset" */
  size_t offset;
  size_t name_size;
  au_found_t value;
  bool is_taken; /* for whoever looks through them */
} au_member_t;

typedef struct au_members {
  au_member_t *member;
  size_t count;
  size_t capacity;
  au_bytes_t names; /* that are written with escapes */
  size_t *order;    /* their indices, to be sorted */
  size_t order_capacity;
  au_account_t *account; /* NULL: none */
  au_dialect_t dialect;
  au_json_scan_t scan; /* of what is looked through again */
  au_bytes_t text;     /* of a name in that */
  bool failed;         /* out of memory */
} au_members_t;

/* An empty one is all zero. Charges its memory to the account (borrowed until
 * fini), before the first object. */
void au_members_charge(au_members_t *members, au_account_t *account);
void au_members_fini(au_members_t *members);

/* Forgets them. */
void au_members_begin(au_members_t *members, au_dialect_t dialect);

/* Adds the members of the object whose bracket was the last token of the scan.
 * Returns the token that ends it, or why that has not come: AU_TOKEN_INVALID or
 * AU_TOKEN_NOMEM. */
AU_MUST_CHECK au_token_t au_members_read(au_members_t *members,
                                         au_json_scan_t *scan);

/* Adds the members of an object that was found, and so is valid. Out of memory:
 * failed. */
void au_members_add(au_members_t *members, au_found_t object);

/* The name of a member, without escapes; borrowed until the next read or
 * add. */
au_slice_t au_members_name(const au_members_t *members, size_t index);

/* The index of the last member of this name, or SIZE_MAX. */
size_t au_members_find(const au_members_t *members, au_slice_t name);

/* What a pointer of the shape leads to in a value, from its step "step" on;
 * AU_FOUND_NOTHING, also when out of memory (failed). */
au_found_t au_members_follow(au_members_t *members, au_found_t value,
                             const au_shape_t *shape, const au_path_t *path,
                             size_t step);

/* Marks those as taken that come before another of the same name. */
void au_members_mark_repeated(au_members_t *members);

#endif
