/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project.
 *
 * hex - bytes as hexadecimal digits, and back.
 *
 * Threads: pure.
 */
#ifndef AURORE_BASE_HEX_H
#define AURORE_BASE_HEX_H

#include <stdbool.h>
#include <stddef.h>

/* Writes two lower-case digits a byte, no NUL; returns the place after them. */
char *au_hex_write(char *to, const void *data, size_t size);

/* Reads 2 * "size" digits of either case into "size" bytes; false when one of
 * them is none (a NUL included). */
bool au_hex_read(const char *text, void *out_data, size_t size);

#endif
