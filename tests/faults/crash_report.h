/* SPDX-License-Identifier: MIT
 *
 * crash_report - of crash_states: what is said of the states that were
 * tested, and of one in which the spool breaks its promise.
 *
 * Threads: one.
 */
#ifndef FAULTS_CRASH_REPORT_H
#define FAULTS_CRASH_REPORT_H

#include "faults/disk.h"
#include "faults/oracle.h"

/* The state under test. */
typedef struct crash_state {
  unsigned round;
  const disk_record_t *record;
  size_t place;
  disk_choice_t choice;
  bool is_second;
  size_t second_place;
  const disk_record_t *second_record;
  disk_choice_t second_choice;
  const disk_image_t *image;
  const oracle_t *oracle;
} crash_state_t;

extern crash_state_t under_test;

/* Notes what kind of state it was. */
void count_kinds(const disk_image_t *image, const disk_choice_t *choice,
                 bool is_second);

/* Prints how many there were of each kind; whether all have come up. */
bool print_kinds(void);

/* Tells what is wrong with the state under test, saves it, and exits. */
void violation(const char *text) __attribute__((noreturn));

/* From now on SIGALRM is a violation. */
void watch_alarm(void);

#endif
