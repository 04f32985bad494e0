/* SPDX-License-Identifier: MIT
 *
 * database - what the checks of the database share, in two files: database.c
 * (the server and its settings), rights.c (the schema and the role).
 */
#ifndef AURORECTL_DOCTOR_DATABASE_H
#define AURORECTL_DOCTOR_DATABASE_H

#include "database/database.h"
#include "tools/doctor/doctor.h"

/* Asks; "result" is to be freed. false: it has been said why not. */
bool ctl_doctor_ask(ctl_doctor_t *doctor, au_database_t *database,
                    const char *sql, au_result_t *result);

/* Whether the answer's column is "t"; and as a whole number. */
bool ctl_result_is_true(const au_result_t *result, size_t row, unsigned column);
long ctl_result_number(const au_result_t *result, size_t row, unsigned column);
/* "" for NULL. */
const char *ctl_result_text(const au_result_t *result, size_t row,
                            unsigned column);

/* The schema, and what the role may do with it. */
void ctl_doctor_rights(ctl_doctor_t *doctor, au_database_t *database);

#endif
