/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project.
 *
 * number - whole numbers in decimal digits, where printf would cost as much as
 * all the rest.
 *
 * Threads: pure.
 */
#ifndef AURORE_BASE_NUMBER_H
#define AURORE_BASE_NUMBER_H

#include "base/bytes.h"

#include <stddef.h>
#include <stdint.h>

/* The digits of the largest number, and the NUL. */
#define AU_NUMBER_SIZE 21

/* Writes the digits and a NUL; returns how many digits there are. */
size_t au_number_format(uint64_t number, char text[AU_NUMBER_SIZE]);

/* Appends the digits. */
void au_number_put(au_bytes_t *bytes, uint64_t number);

#endif
