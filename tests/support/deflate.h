/* SPDX-License-Identifier: MIT
 *
 * deflate - gzip members, for tests of what inflates them.
 */
#ifndef SUPPORT_DEFLATE_H
#define SUPPORT_DEFLATE_H

#include <stddef.h>
#include <stdint.h>

/* Deflates "size" bytes as one gzip member, for which there must be room;
 * returns its size. */
size_t deflate_to(uint8_t *to, size_t room, const void *data, size_t size);

#endif
