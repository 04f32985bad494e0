/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project.
 *
 * status - what a function of libaurore returns.
 *
 * Never mixed with errno: a function that fails because of the system says why
 * in the log or in an error buffer, and returns one of these.
 */
#ifndef AURORE_BASE_STATUS_H
#define AURORE_BASE_STATUS_H

typedef enum au_status {
  AU_OK = 0,      /* done */
  AU_PENDING,     /* taken; the result comes later (see au_waiter_t) */
  AU_FULL,        /* no room in the bounded buffer; nothing was taken */
  AU_CLOSED,      /* shutting down; nothing was taken */
  AU_NOMEM,       /* out of memory; nothing was taken */
  AU_IO,          /* the system refused a read, a write or a sync */
  AU_INVALID,     /* the input breaks a rule; the error text names it */
  AU_UNAVAILABLE, /* the database is away, or a deadline has passed */
  AU_FENCED       /* the spool is not the one the database knows */
} au_status_t;

#define AU_MUST_CHECK __attribute__((warn_unused_result))
#define AU_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

#endif
