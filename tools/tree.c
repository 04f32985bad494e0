/* SPDX-License-Identifier: MIT */
#include "tools/tree.h"

#include <math.h>
#include <stdlib.h>
#include <yajl/yajl_tree.h>

ctl_tree_t *ctl_tree_parse(au_bytes_t *bytes) {
  char why[128];
  const char *text = au_bytes_text(bytes);
  return text != NULL ? yajl_tree_parse(text, why, sizeof(why)) : NULL;
}

void ctl_tree_free(ctl_tree_t *tree) {
  if (tree != NULL)
    yajl_tree_free(tree);
}

ctl_tree_t *ctl_tree_member(ctl_tree_t *object, const char *name) {
  const char *path[] = {name, NULL};
  return object != NULL ? yajl_tree_get(object, path, yajl_t_any) : NULL;
}

static const char *text_of(ctl_tree_t *tree) {
  return YAJL_IS_STRING(tree) ? YAJL_GET_STRING(tree) : NULL;
}

const char *ctl_tree_text(ctl_tree_t *object, const char *name) {
  return text_of(ctl_tree_member(object, name));
}

bool ctl_tree_number(ctl_tree_t *object, const char *name, long long *out) {
  ctl_tree_t *found = ctl_tree_member(object, name);
  if (!YAJL_IS_INTEGER(found))
    return false;
  *out = YAJL_GET_INTEGER(found);
  return true;
}

double ctl_tree_double(ctl_tree_t *object, const char *name) {
  ctl_tree_t *found = ctl_tree_member(object, name);
  double number = nan("");
  if (YAJL_IS_NUMBER(found))
    number = strtod(YAJL_GET_NUMBER(found), NULL);
  return number;
}

size_t ctl_tree_length(ctl_tree_t *tree) {
  if (tree == NULL)
    return 0;
  if (YAJL_IS_ARRAY(tree))
    return tree->u.array.len;
  return YAJL_IS_OBJECT(tree) ? tree->u.object.len : 0;
}

ctl_tree_t *ctl_tree_item(ctl_tree_t *tree, size_t index) {
  if (index >= ctl_tree_length(tree))
    return NULL;
  return YAJL_IS_ARRAY(tree) ? tree->u.array.values[index]
                             : tree->u.object.values[index];
}

const char *ctl_tree_item_text(ctl_tree_t *tree, size_t index) {
  return text_of(ctl_tree_item(tree, index));
}

bool ctl_tree_item_is_null(ctl_tree_t *tree, size_t index) {
  return YAJL_IS_NULL(ctl_tree_item(tree, index));
}
