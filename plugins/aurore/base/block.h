/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project.
 *
 * block - memory whose size its owner knows. A large block is mapped: it goes
 * back to the system when it is freed, whatever else the process holds, and it
 * grows without being copied. What malloc() has of that size it soon keeps for
 * itself (its threshold for mapping rises to the largest block that was freed,
 * 32 MiB), with holes between what is still in use; so a process of which many
 * clients want much at a time would grow to a multiple of what it uses, and
 * stay there. Changing the allocator's settings is not for a guest.
 *
 * Threads: pure.
 */
#ifndef AURORE_BASE_BLOCK_H
#define AURORE_BASE_BLOCK_H

#include <stddef.h>

/* A block of "size" bytes (more than 0) in the place of "block", with what it
 * held; "old_size" is 0, and "block" NULL, for a new one. NULL when out of
 * memory: the block is as it was. */
void *au_block_resize(void *block, size_t old_size, size_t size);

/* "size" as it was asked for last; NULL and 0: nothing. */
void au_block_free(void *block, size_t size);

#endif
