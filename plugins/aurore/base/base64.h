/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project.
 *
 * base64 - bytes as base64 (RFC 4648, 4), with its padding.
 *
 * Threads: pure.
 */
#ifndef AURORE_BASE_BASE64_H
#define AURORE_BASE_BASE64_H

#include "base/bytes.h"

#include <stddef.h>

/* The characters that "size" bytes become. */
#define AU_BASE64_SIZE(size) (((size) + 2) / 3 * 4)

/* Appends them. Out of memory: text->failed. */
void au_base64_put(au_bytes_t *text, const void *data, size_t size);

#endif
