/* SPDX-License-Identifier: MIT
 * Part of event/; calls base/. */
#include "event/shape.h"

#include <stdlib.h>
#include <string.h>

void au_shape_fini(au_shape_t *shape) {
  for (size_t i = 0; i < AU_SHAPE_FIELDS; i++)
    free(shape->field[i].path);
  au_bytes_fini(&shape->service);
  au_bytes_fini(&shape->text);
  *shape = (au_shape_t){.is_lenient = false};
}

bool au_shape_is_own(const au_shape_t *shape) {
  size_t paths = 0;
  for (size_t i = 0; i < AU_SHAPE_FIELDS; i++)
    paths += shape->field[i].count;
  return paths == 0 && !shape->is_lenient && shape->service.size == 0;
}

au_slice_t au_shape_step(const au_shape_t *shape, const au_path_t *path,
                         size_t step) {
  return (au_slice_t){.data = (const char *)shape->text.data +
                              path->step[step].offset,
                      .size = path->step[step].size};
}

/* Adds a step, of a pointer without its escapes: ~0 is ~, ~1 is /. */
static au_status_t add_step(au_shape_t *shape, au_path_t *path,
                            const char *name, size_t size) {
  if (path->steps == AU_SHAPE_STEPS_MAX)
    return AU_FULL;
  au_bytes_t *text = &shape->text;
  size_t start = text->size;
  au_bytes_reserve(text, size + 1);
  for (size_t at = 0; at < size; at++) {
    char c = name[at];
    if (c == '~' && path->is_pointer) {
      at++;
      if (at == size || (name[at] != '0' && name[at] != '1'))
        return AU_INVALID;
      if (name[at] == '1')
        c = '/';
    }
    au_bytes_put_u8(text, (uint8_t)c);
  }
  path->step[path->steps].offset = (uint32_t)start;
  path->step[path->steps++].size = (uint32_t)(text->size - start);
  return text->failed ? AU_NOMEM : AU_OK;
}

static au_status_t read_path(au_shape_t *shape, const char *text, size_t size,
                             au_path_t *path) {
  if (size == 0)
    return AU_INVALID;
  path->is_pointer = text[0] == '/';
  if (!path->is_pointer)
    return add_step(shape, path, text, size);
  au_status_t status = AU_OK;
  for (size_t at = 0; at < size && status == AU_OK;) {
    at++; /* the slash */
    const char *end = memchr(text + at, '/', size - at);
    size_t step = end != NULL ? (size_t)(end - text) - at : size - at;
    status = add_step(shape, path, text + at, step);
    at += step;
  }
  return status;
}

au_status_t au_shape_set_field(au_shape_t *shape, au_shape_field_t field,
                               const char *text) {
  au_paths_t *paths = &shape->field[field];
  paths->path = calloc(AU_SHAPE_PATHS_MAX, sizeof(*paths->path));
  if (paths->path == NULL)
    return AU_NOMEM;
  for (;;) {
    size_t size = strcspn(text, ",");
    if (paths->count == AU_SHAPE_PATHS_MAX)
      return AU_FULL;
    au_status_t status =
        read_path(shape, text, size, &paths->path[paths->count]);
    if (status != AU_OK)
      return status;
    paths->count++;
    text += size;
    if (*text == '\0')
      return AU_OK;
    text++;
  }
}
