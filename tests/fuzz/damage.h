/* SPDX-License-Identifier: MIT
 *
 * damage - what the targets of the spool share: changes to a file that an input
 * asks for, and checksums that are right again afterwards, so that what was
 * changed is believed.
 */
#ifndef FUZZ_DAMAGE_H
#define FUZZ_DAMAGE_H

#include "fuzz/fuzz.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Makes one change that the input asks for: a byte, a number of 8, 4 or 2
 * bytes, a range of zeros, or a range that is copied from elsewhere. "from" is
 * the first byte that may change. */
void damage(fuzz_input_t *input, uint8_t *file, size_t from, size_t size);

/* Makes the checksum of the frame at "data" right, as long as its header says
 * it is. The bytes to the next frame; 0: it does not fit. */
size_t damage_seal_frame(uint8_t *data, size_t available, uint64_t salt);
/* Of each frame in turn, until one does not fit. */
void damage_seal_frames(uint8_t *data, size_t size, uint64_t salt);

/* Makes the checksum at the end of a structure right. */
void damage_seal(uint8_t *data, size_t size_before_checksum);

#endif
