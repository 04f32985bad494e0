/* SPDX-License-Identifier: MIT
 *
 * fake_buffer - the interface of buffer.h for tests of the HTTP side: it takes
 * rows and says of them what the test wants. A program that is linked with it
 * gets these au_buffer_* instead of the library's.
 *
 * Threads: append and the usage from any; the rest from the test.
 */
#ifndef SUPPORT_FAKE_BUFFER_H
#define SUPPORT_FAKE_BUFFER_H

#include "spool/buffer.h"

typedef enum fake_answer {
  FAKE_OK,     /* taken at once */
  FAKE_HOLD,   /* pending, until fake_buffer_release */
  FAKE_BEFORE, /* pending, but told before append returns */
  FAKE_RACE,   /* pending, told by another thread as soon as it can */
  FAKE_FULL,
  FAKE_CLOSED,
  FAKE_NOMEM,
  FAKE_IO
} fake_answer_t;

/* Starts the thread that tells; the one buffer is empty and answers FAKE_OK. */
au_buffer_t *fake_buffer_open(void);
/* Everything pending must have been told, or be about to return from it. */
void fake_buffer_close(void);

void fake_buffer_answer(fake_answer_t answer);
/* What pending requests are told in the end; AU_OK at first. */
void fake_buffer_tell(au_status_t status);
void fake_buffer_set_usage(uint64_t events, uint64_t capacity);
/* Static text, or NULL. */
void fake_buffer_set_trouble(const char *trouble);
void fake_buffer_set_retry_after(unsigned seconds);

/* Waits until so many requests are pending. */
void fake_buffer_wait_pending(unsigned count);
unsigned fake_buffer_pending(void);
/* Tells all that is pending, from the thread that tells; returns at once. */
void fake_buffer_release(void);

/* What a watch is answered at once; AU_PENDING at first: it is held. */
void fake_buffer_answer_watch(au_status_t status);
/* Waits until so many watches are held. */
void fake_buffer_wait_watched(unsigned count);
unsigned fake_buffer_watched(void);
/* Completes, from the thread that tells, all watches that are held, and with
 * "from_now_on" all that come. */
void fake_buffer_store(au_status_t status, bool from_now_on);

/* Events taken (AU_OK, or told AU_OK), and calls of append. */
uint64_t fake_buffer_taken(void);
uint64_t fake_buffer_calls(void);

/* The tuple number "index" of the last append; its slices stay valid until the
 * next append. */
au_event_t fake_buffer_event(size_t index);

#endif
