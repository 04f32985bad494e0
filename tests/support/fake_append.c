/* SPDX-License-Identifier: MIT
 *
 * fake_append - the part of short_memory.h that needs --wrap=au_buffer_append.
 */
#include "spool/buffer.h"
#include "support/short_memory.h"

/* The linker's names for --wrap.
 * NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
au_status_t __real_au_buffer_append(au_buffer_t *buffer, const au_rows_t *rows,
                                    au_waiter_t *waiter);
au_status_t __wrap_au_buffer_append(au_buffer_t *buffer, const au_rows_t *rows,
                                    au_waiter_t *waiter);

au_status_t __wrap_au_buffer_append(au_buffer_t *buffer, const au_rows_t *rows,
                                    au_waiter_t *waiter) {
  is_test = true;
  au_status_t status = __real_au_buffer_append(buffer, rows, waiter);
  is_test = false;
  return status;
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
