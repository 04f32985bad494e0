/* SPDX-License-Identifier: MIT
 *
 * tree - an answer of the API, read as JSON. Every function takes NULL, or what
 * is of another kind, for something that is not there.
 */
#ifndef AURORECTL_TREE_H
#define AURORECTL_TREE_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct yajl_val_s ctl_tree_t;

/* NULL: it is no JSON. To be freed. */
ctl_tree_t *ctl_tree_parse(au_bytes_t *text);
void ctl_tree_free(ctl_tree_t *tree);

/* A member of an object, and one that is a text (NULL: there is none), or a
 * whole number. */
ctl_tree_t *ctl_tree_member(ctl_tree_t *object, const char *name);
const char *ctl_tree_text(ctl_tree_t *object, const char *name);
bool ctl_tree_number(ctl_tree_t *object, const char *name, long long *out);

/* Any number; NAN: there is none. */
double ctl_tree_double(ctl_tree_t *object, const char *name);

/* Items of an array, or values of an object. */
size_t ctl_tree_length(ctl_tree_t *tree);
ctl_tree_t *ctl_tree_item(ctl_tree_t *tree, size_t index);
const char *ctl_tree_item_text(ctl_tree_t *tree, size_t index);
bool ctl_tree_item_is_null(ctl_tree_t *tree, size_t index);

#endif
