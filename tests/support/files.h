/* SPDX-License-Identifier: MIT
 *
 * files - directories of a test's own, and the files of the source tree.
 */
#ifndef SUPPORT_FILES_H
#define SUPPORT_FILES_H

#include <stdio.h>

/* Makes a directory below /tmp; a server's user may enter and own it. */
void make_directory(char path[64]);
/* With all that is in it. */
void remove_directory(const char *path);

/* How many files the process has open. */
int count_open_files(void);

/* Opens a file of the source tree for reading. */
FILE *open_source_file(const char *path);

/* What tests/tools/tables writes as "what" is the file "path" of the source
 * tree; "make tables" writes it anew. */
void check_made_file(const char *what, const char *path);

#endif
