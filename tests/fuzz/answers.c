/* SPDX-License-Identifier: MIT
 *
 * answers - see answers.h.
 */
#include "fuzz/answers.h"

#include "database/query_pool.h"
#include "fuzz/fuzz.h"

#include <stdio.h>

fuzz_answer_t fuzz_answer;
void (*fuzz_on_statement)(const char *sql, const au_piece_t *pieces,
                          size_t count);

static au_status_t answer(const char *sql, const au_piece_t *pieces,
                          size_t count, au_database_error_t *error) {
  fuzz_require(sql != NULL && *sql != '\0', "an empty statement");
  if (fuzz_on_statement != NULL)
    fuzz_on_statement(sql, pieces, count);
  *error = (au_database_error_t){.fault = fuzz_answer.fault};
  if (fuzz_answer.status != AU_OK && fuzz_answer.sqlstate != NULL)
    snprintf(error->sqlstate, sizeof(error->sqlstate), "%s",
             fuzz_answer.sqlstate);
  error->culprit.line = fuzz_answer.line;
  if (fuzz_answer.column != NULL)
    snprintf(error->culprit.column, sizeof(error->culprit.column), "%s",
             fuzz_answer.column);
  return fuzz_answer.status;
}

/* The linker's names for --wrap.
 * NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
au_status_t __wrap_au_database_exec(au_database_t *database, const char *sql,
                                    au_result_t *out_result,
                                    au_database_error_t *error);
au_status_t __wrap_au_database_copy(au_database_t *database, const char *sql,
                                    const au_piece_t *pieces, size_t count,
                                    au_database_error_t *error);
au_status_t __wrap_au_query_exec(const au_query_job_t *job,
                                 au_database_t *database, const char *sql,
                                 au_result_t *out_result,
                                 au_database_error_t *error);
size_t __wrap_au_result_rows(const au_result_t *result);
const char *__wrap_au_result_text(const au_result_t *result, size_t row,
                                  unsigned column);
void __wrap_au_result_fini(au_result_t *result);

au_status_t __wrap_au_database_exec(au_database_t *database, const char *sql,
                                    au_result_t *out_result,
                                    au_database_error_t *error) {
  (void)database;
  (void)out_result;
  return answer(sql, NULL, 0, error);
}

au_status_t __wrap_au_database_copy(au_database_t *database, const char *sql,
                                    const au_piece_t *pieces, size_t count,
                                    au_database_error_t *error) {
  (void)database;
  return answer(sql, pieces, count, error);
}

au_status_t __wrap_au_query_exec(const au_query_job_t *job,
                                 au_database_t *database, const char *sql,
                                 au_result_t *out_result,
                                 au_database_error_t *error) {
  (void)job;
  (void)database;
  (void)out_result;
  return answer(sql, NULL, 0, error);
}

size_t __wrap_au_result_rows(const au_result_t *result) {
  (void)result;
  return fuzz_answer.rows;
}

const char *__wrap_au_result_text(const au_result_t *result, size_t row,
                                  unsigned column) {
  (void)result;
  fuzz_require(row < fuzz_answer.rows && column < FUZZ_COLUMNS_MAX,
               "a value that there is not is asked for");
  return fuzz_answer.text[column];
}

void __wrap_au_result_fini(au_result_t *result) { (void)result; }
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
