/* SPDX-License-Identifier: MIT
 * Part of api/; calls every folder.
 *
 * ask - a request that asks the database, through the query pool.
 *
 * Threads: from the hooks of a route, but for au_ask_t's "run" and "body".
 */
#ifndef AURORE_API_ASK_H
#define AURORE_API_ASK_H

#include "database/query_pool.h"
#include "http/request.h"

typedef struct au_ask {
  /* On a thread of the pool: asks (see database/query_pool.h), and keeps what
   * it found in the route's state. Returns what the database returned. */
  au_status_t (*run)(void *state, const au_query_job_t *job,
                     au_database_t *database, au_database_error_t *error);
  /* On the request thread, afterwards: answers, or asks again. "status" is the
   * pool's (database/query_pool.h), or AU_FULL, AU_UNAVAILABLE, AU_CLOSED when
   * it was refused; "run" may then never have been called. */
  au_resume_t answer;
  /* On a thread of the pool, after "run" has succeeded: the body that "answer"
   * will answer with, to be packed there; NULL: it is small. */
  au_bytes_t *(*body)(void *state);
  au_operation_t operation; /* AU_OPERATION_COUNT: not counted */
  au_query_lane_t lane;
  double timeout_s; /* 0: QueryTimeout */
} au_ask_t;

/* The first member of the state of a route that asks. */
typedef struct au_asking {
  au_query_job_t job;
  au_request_t *request;
  const au_ask_t *ask;
} au_asking_t;

/* Asks the database: the request waits, and ask->answer is called when there is
 * a result; at once when the pool refuses, or there is none (event_writer is
 * not loaded). When the client goes away, the question is given up. "ask" is
 * static. */
enum MHD_Result au_request_ask(au_request_t *request, const au_ask_t *ask);

/* 503 for a question that has no answer: the code DATABASE_UNAVAILABLE, or,
 * when the reason is a stop or memory, as au_answer_unavailable. */
enum MHD_Result au_answer_no_database(au_request_t *request,
                                      au_status_t status);

#endif
