/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project.
 *
 * crc32c - the checksum of the spool's frames: CRC-32C (Castagnoli, reflected
 * polynomial 0x82F63B78, the one of iSCSI, RFC 3720). Any thread.
 */
#ifndef AURORE_BASE_CRC32C_H
#define AURORE_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Continues "crc" (0 to begin with) over the data. Uses the SSE4.2
 * instruction where the processor has it. */
uint32_t au_crc32c(uint32_t crc, const void *data, size_t size);

/* The same by table, for processors without the instruction; for tests. */
uint32_t au_crc32c_table(uint32_t crc, const void *data, size_t size);

#endif
