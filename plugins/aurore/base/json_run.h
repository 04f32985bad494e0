/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project.
 *
 * json_run - the text that a JSON string has as it is: up to a quote, a
 * backslash or a control character. With SSE2 sixteen bytes a step, which every
 * x86-64 has; eight elsewhere, and where less than sixteen are left.
 *
 * Pure; any thread.
 */
#ifndef AURORE_BASE_JSON_RUN_H
#define AURORE_BASE_JSON_RUN_H

#include <stddef.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

typedef struct au_json_run {
  size_t size;   /* bytes before the first one that ends it */
  unsigned high; /* not 0: one of them is not ASCII */
} au_json_run_t;

/* The run that the text begins with. Reads no byte beyond "size". The form for
 * any machine. */
au_json_run_t au_json_run_portable(const char *text, size_t size);

#ifdef __SSE2__
/* Of sixteen bytes, a bit each: which end a run, and which are not ASCII. */
static inline unsigned au_json_run_ends(const char *text, unsigned *out_high) {
  const __m128i bytes = _mm_loadu_si128((const void *)text);
  const __m128i marks =
      _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')),
                   _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\')));
  /* Unsigned: what is no more than the largest of them. */
  const __m128i controls =
      _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1F)), bytes);
  *out_high = (unsigned)_mm_movemask_epi8(bytes);
  return (unsigned)_mm_movemask_epi8(_mm_or_si128(marks, controls));
}
#endif

/* The same, by the best that this machine has. In the header, since most runs
 * are of a few bytes, and an event has a dozen. */
static inline au_json_run_t au_json_run(const char *text, size_t size) {
#ifdef __SSE2__
  size_t at = 0;
  unsigned high = 0;
  for (; size - at >= sizeof(__m128i); at += sizeof(__m128i)) {
    unsigned tops = 0;
    unsigned ends = au_json_run_ends(text + at, &tops);
    if (ends != 0) {
      unsigned before = (unsigned)__builtin_ctz(ends);
      high |= tops & ((1U << before) - 1);
      return (au_json_run_t){.size = at + before, .high = high};
    }
    high |= tops;
  }
  au_json_run_t rest = au_json_run_portable(text + at, size - at);
  return (au_json_run_t){.size = at + rest.size, .high = high | rest.high};
#else
  return au_json_run_portable(text, size);
#endif
}

/* A run of less than this many bytes: */
#define AU_JSON_RUN_SHORT ((size_t)16)

/* As au_json_run, when it is so short and so many bytes are there, without a
 * step more; else, and where there is no such step, "size" is
 * AU_JSON_RUN_SHORT. */
static inline au_json_run_t au_json_run_short(const char *text, size_t size) {
#ifdef __SSE2__
  if (size >= AU_JSON_RUN_SHORT) {
    unsigned high = 0;
    unsigned ends = au_json_run_ends(text, &high);
    unsigned before = (unsigned)__builtin_ctz(ends | 1U << AU_JSON_RUN_SHORT);
    return (au_json_run_t){.size = before, .high = high & ((1U << before) - 1)};
  }
#else
  (void)text;
  (void)size;
#endif
  return (au_json_run_t){.size = AU_JSON_RUN_SHORT, .high = 0};
}

#endif
