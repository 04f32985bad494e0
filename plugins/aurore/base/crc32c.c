/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project. */
#include "base/crc32c.h"

#include <pthread.h>
#include <string.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

#define POLYNOMIAL UINT32_C(0x82F63B78)

static uint32_t table[256];
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static void table_make(void) {
  for (uint32_t i = 0; i < 256; i++) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; bit++)
      crc = (crc >> 1) ^ ((crc & 1) ? POLYNOMIAL : 0);
    table[i] = crc;
  }
}

uint32_t au_crc32c_table(uint32_t crc, const void *data, size_t size) {
  pthread_once(&table_once, table_make);
  const uint8_t *byte = data;
  crc = ~crc;
  for (size_t i = 0; i < size; i++)
    crc = (crc >> 8) ^ table[(crc ^ byte[i]) & 0xff];
  return ~crc;
}

#if defined(__x86_64__)

__attribute__((target("sse4.2"))) static uint32_t
crc_sse42(uint32_t crc, const void *data, size_t size) {
  const uint8_t *byte = data;
  uint64_t sum = (uint32_t)~crc;
  for (; size >= 8; size -= 8, byte += 8) {
    uint64_t word;
    memcpy(&word, byte, sizeof(word));
    sum = _mm_crc32_u64(sum, word);
  }
  uint32_t rest = (uint32_t)sum;
  for (; size > 0; size--, byte++)
    rest = _mm_crc32_u8(rest, *byte);
  return ~rest;
}

#endif

uint32_t au_crc32c(uint32_t crc, const void *data, size_t size) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("sse4.2"))
    return crc_sse42(crc, data, size);
#endif
  return au_crc32c_table(crc, data, size);
}
