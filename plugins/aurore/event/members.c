/* SPDX-License-Identifier: MIT
 * Part of event/; calls base/. */
#include "event/members.h"

#include "base/array.h"

#include <string.h>

/* Kept from object to object. */
#define KEEP_MEMBERS ((size_t)256)
#define KEEP_BYTES ((size_t)4 << 10)

void au_members_charge(au_members_t *members, au_account_t *account) {
  members->account = account;
  members->names.account = account;
  members->text.account = account;
  au_json_scan_charge(&members->scan, account);
}

static void free_arrays(au_members_t *members) {
  au_array_free_charged(members->member, members->capacity,
                        sizeof(*members->member), members->account);
  au_array_free_charged(members->order, members->order_capacity,
                        sizeof(*members->order), members->account);
  members->member = NULL;
  members->order = NULL;
  members->capacity = 0;
  members->order_capacity = 0;
}

void au_members_fini(au_members_t *members) {
  free_arrays(members);
  au_bytes_fini(&members->names);
  au_bytes_fini(&members->text);
  au_json_scan_fini(&members->scan);
}

void au_members_begin(au_members_t *members, au_dialect_t dialect) {
  if (members->capacity > KEEP_MEMBERS)
    free_arrays(members);
  au_bytes_clear(&members->names, KEEP_BYTES);
  au_bytes_clear(&members->text, KEEP_BYTES);
  members->count = 0;
  members->dialect = dialect;
  members->failed = false;
}

/* --- an object ------------------------------------------------------------*/

/* The value that begins with "first": to its end, which is its last token's. */
static au_found_t whole_value(au_token_t first, au_token_t last) {
  if (first.kind == AU_TOKEN_OBJECT || first.kind == AU_TOKEN_ARRAY)
    first.size = (size_t)(last.text + last.size - first.text);
  return first;
}

/* A member with this name, and no value yet; NULL when out of memory. */
static au_member_t *add_member(au_members_t *members, au_token_t key) {
  au_member_t *moved =
      au_array_grow_charged(members->member, &members->capacity, members->count,
                            sizeof(*members->member), members->account);
  if (moved == NULL)
    return NULL;
  members->member = moved;
  au_member_t *member = &moved[members->count++];
  *member = (au_member_t){.name = key.text, .name_size = key.size};
  if (!key.has_escape)
    return member;
  member->name = NULL;
  member->offset = members->names.size;
  au_token_put_text(key, &members->names);
  member->name_size = members->names.size - member->offset;
  return members->names.failed ? NULL : member;
}

au_token_t au_members_read(au_members_t *members, au_json_scan_t *scan) {
  for (;;) {
    au_token_t key = au_json_scan_next(scan);
    if (key.kind != AU_TOKEN_KEY)
      return key;
    au_member_t *member = add_member(members, key);
    if (member == NULL)
      return (au_token_t){.kind = AU_TOKEN_NOMEM};
    au_token_t first = au_json_scan_next(scan);
    au_token_t last = au_json_scan_skip(scan, first);
    if (au_token_is_broken(last))
      return last;
    member->value = whole_value(first, last);
  }
}

void au_members_add(au_members_t *members, au_found_t object) {
  au_json_scan_begin(&members->scan, members->dialect, object.text,
                     object.size);
  au_token_t token = au_json_scan_next(&members->scan);
  if (token.kind == AU_TOKEN_OBJECT)
    token = au_members_read(members, &members->scan);
  if (token.kind != AU_TOKEN_CLOSE)
    members->failed = true;
}

au_slice_t au_members_name(const au_members_t *members, size_t index) {
  const au_member_t *member = &members->member[index];
  const char *name = member->name;
  if (name == NULL)
    name = (const char *)members->names.data + member->offset;
  return (au_slice_t){.data = name, .size = member->name_size};
}

static bool is_same(au_slice_t one, au_slice_t other) {
  return one.size == other.size &&
         (one.size == 0 || memcmp(one.data, other.data, one.size) == 0);
}

size_t au_members_find(const au_members_t *members, au_slice_t name) {
  for (size_t i = members->count; i > 0; i--)
    if (is_same(au_members_name(members, i - 1), name))
      return i - 1;
  return SIZE_MAX;
}

/* --- paths ----------------------------------------------------------------*/

static bool is_name(au_members_t *members, au_token_t key, au_slice_t name) {
  au_slice_t text = {.data = key.text, .size = key.size};
  if (key.has_escape) {
    members->text.size = 0;
    au_token_put_text(key, &members->text);
    members->failed |= members->text.failed;
    text = (au_slice_t){.data = (const char *)members->text.data,
                        .size = members->text.size};
  }
  return is_same(text, name);
}

/* Whether a step names this index of an array. */
static bool is_index(au_slice_t step, size_t index) {
  char text[24];
  size_t at = sizeof(text);
  do
    text[--at] = (char)('0' + index % 10);
  while ((index /= 10) > 0);
  return is_same(step,
                 (au_slice_t){.data = text + at, .size = sizeof(text) - at});
}

/* Goes into an object or array only where the steps lead. */
au_found_t au_members_follow(au_members_t *members, au_found_t value,
                             const au_shape_t *shape, const au_path_t *path,
                             size_t step) {
  size_t index[AU_SHAPE_STEPS_MAX] = {0}; /* of the next element */
  size_t at = step;                       /* the step that is looked for */
  au_json_scan_t *scan = &members->scan;
  au_found_t found = AU_FOUND_NOTHING;
  if (step == path->steps)
    return value;
  if (value.kind != AU_TOKEN_OBJECT && value.kind != AU_TOKEN_ARRAY)
    return found;
  au_json_scan_begin(scan, members->dialect, value.text, value.size);
  au_token_t token = au_json_scan_next(scan);
  while (!au_token_is_broken(token)) {
    token = au_json_scan_next(scan);
    if (token.kind == AU_TOKEN_CLOSE) {
      if (at-- == step)
        return found;
      continue;
    }
    au_slice_t wanted = au_shape_step(shape, path, at);
    bool is_wanted = false;
    if (token.kind == AU_TOKEN_KEY) {
      is_wanted = is_name(members, token, wanted);
      token = au_json_scan_next(scan);
    } else {
      is_wanted = is_index(wanted, index[at]++);
    }
    bool is_nested =
        token.kind == AU_TOKEN_OBJECT || token.kind == AU_TOKEN_ARRAY;
    if (is_wanted)
      found = AU_FOUND_NOTHING; /* the last one of a name counts */
    if (is_wanted && is_nested && at + 1 < path->steps) {
      index[++at] = 0;
      continue;
    }
    au_token_t last = au_json_scan_skip(scan, token);
    if (is_wanted && at + 1 == path->steps)
      found = whole_value(token, last);
    token = last;
  }
  members->failed = true; /* it was valid before */
  return AU_FOUND_NOTHING;
}

/* --- names that come twice ------------------------------------------------*/

/* By name, then by index. */
static bool is_before(const au_members_t *members, size_t one, size_t other) {
  au_slice_t a = au_members_name(members, one);
  au_slice_t b = au_members_name(members, other);
  if (a.size != b.size)
    return a.size < b.size;
  int order = a.size > 0 ? memcmp(a.data, b.data, a.size) : 0;
  return order != 0 ? order < 0 : one < other;
}

/* Moves the index at "at" down to its place in the heap of "count". */
static void sift(au_members_t *members, size_t at, size_t count) {
  size_t *order = members->order;
  for (;;) {
    size_t child = 2 * at + 1;
    if (child >= count)
      return;
    if (child + 1 < count && is_before(members, order[child], order[child + 1]))
      child++;
    if (!is_before(members, order[at], order[child]))
      return;
    size_t held = order[at];
    order[at] = order[child];
    order[child] = held;
    at = child;
  }
}

/* A heap: no depth of its own, no memory, and no input that is bad for it. */
static void sort(au_members_t *members) {
  size_t *order = members->order;
  for (size_t at = members->count / 2; at > 0; at--)
    sift(members, at - 1, members->count);
  for (size_t end = members->count; end > 1; end--) {
    size_t held = order[0];
    order[0] = order[end - 1];
    order[end - 1] = held;
    sift(members, 0, end - 1);
  }
}

void au_members_mark_repeated(au_members_t *members) {
  for (size_t i = 0; i < members->count; i++) {
    size_t *moved =
        au_array_grow_charged(members->order, &members->order_capacity, i,
                              sizeof(*moved), members->account);
    if (moved == NULL) {
      members->failed = true;
      return;
    }
    members->order = moved;
    moved[i] = i;
  }
  sort(members);
  for (size_t i = 1; i < members->count; i++)
    if (is_same(au_members_name(members, members->order[i - 1]),
                au_members_name(members, members->order[i])))
      members->member[members->order[i - 1]].is_taken = true;
}
