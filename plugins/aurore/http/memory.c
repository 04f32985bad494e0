/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/.
 *
 * memory - BodyMemory: what all connections together may hold of bodies, rows
 * that are being made, and answers until they have been sent.
 *
 *   all      BodyMemory
 *    ├ what holds no more than SMALL_MAX
 *    └ large: all but RESERVE_MAX, so that small requests never wait for large
 *       └ pages: half of it, so that those who read cannot stop those who send
 *
 * Not in it, since their number is bounded: libmicrohttpd's memory of a
 * connection (16 KiB each, MaxConnections of them), the first bytes of each
 * request and of each reader, short answers (reply.h), and refusals that say
 * that there is no memory.
 */
#include "http/private.h"

#define SMALL_MAX ((uint64_t)64 << 10)
#define RESERVE_MAX ((uint64_t)8 << 20)
/* A request with one event, and its answer. */
#define REQUEST_FREE ((uint64_t)2 << 10)
/* What a reader keeps from one request to the next, or most of it; there are
 * no more in use than request threads. */
#define READER_FREE ((uint64_t)256 << 10)

void au_memory_init(au_http_memory_t *memory, uint64_t max) {
  uint64_t reserve = max / 4 < RESERVE_MAX ? max / 4 : RESERVE_MAX;
  memory->all = (au_budget_t){.max = max};
  memory->large = (au_budget_t){.parent = &memory->all, .max = max - reserve};
  memory->pages = (au_budget_t){.parent = &memory->large, .max = max / 2};
}

void au_memory_open(au_http_memory_t *memory, au_account_t *account) {
  *account = (au_account_t){.budget = &memory->all,
                            .large = &memory->large,
                            .small_max = SMALL_MAX,
                            .max = memory->all.max / 4 * 3,
                            .free = REQUEST_FREE};
}

au_account_t *au_request_account(au_request_t *request) {
  return &request->account;
}

void au_request_holds_page(au_request_t *request) {
  au_account_t *account = &request->account;
  account->large = NULL;
  /* What it holds is its own parameters: a few bytes, which are free. */
  (void)au_account_move(account, &request->http->memory.pages);
}

bool au_request_lend(au_request_t *request, au_account_t *account,
                     uint64_t body_size) {
  au_http_memory_t *memory = &request->http->memory;
  const au_account_t *own = &request->account;
  account->free = READER_FREE;
  account->max = own->max > own->held ? own->max - own->held : 1;
  return au_account_move(account,
                         body_size > SMALL_MAX ? &memory->large : &memory->all);
}

void au_request_lend_end(au_account_t *account) {
  account->max = 0;
  (void)au_account_move(account, NULL); /* there is always room */
}

uint64_t au_http_memory_held(const au_http_t *http) {
  return au_budget_held(&http->memory.all);
}
