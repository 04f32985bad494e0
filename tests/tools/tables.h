/* SPDX-License-Identifier: MIT
 *
 * tables - the files of the repository that are made from the tables in the
 * code. Each function writes one of them to standard output.
 */
#ifndef TOOLS_TABLES_H
#define TOOLS_TABLES_H

void tables_types_db(void);
void tables_metrics_md(void);
void tables_aurore_conf(void);
void tables_aurore_pod(void);

#endif
