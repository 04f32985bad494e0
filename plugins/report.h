/* SPDX-License-Identifier: MIT
 *
 * report - the metrics as collectd's values.
 *
 *   plugin           "aurore"
 *   plugin instance  the component; or the metric's first label where the type
 *                    instance is needed for something else: a second label, or
 *                    the bound of a histogram's bucket. Never empty.
 *   type             see types.h
 *   type instance    the label's value, the bucket's bound, or empty
 *
 * collectd changes slashes in a name and cuts it at 127 bytes, so two services
 * could become one series. The name is changed here instead, in the same way,
 * with a "_" for each control character, too (write_prometheus would write them
 * as they are), and a changed name gets the suffix "~" and eight hexadecimal
 * digits, a checksum of the whole name. A name that already ends like that gets
 * one, too.
 *
 * Threads: any, a side at most once at a time; nothing blocks, and no lock is
 * held while values are dispatched.
 */
#ifndef AURORE_REPORT_H
#define AURORE_REPORT_H

#include "metrics/metrics.h"

#define AU_REPORT_PLUGIN "aurore"

/* Registers the types of the side that no TypesDB file has defined, and those
 * that one has defined otherwise. From the init callback: the whole
 * configuration has been read then, and no value was dispatched yet. */
void au_report_register_types(au_side_t side);

/* Samples, and dispatches every series of the side once, with one time; that of
 * a service that is no longer among the largest once more, as zero. */
void au_report_dispatch(au_side_t side);

/* Writes "name" as a type instance, at most "size" - 1 bytes. */
void au_report_name(const char *name, char *instance, size_t size);

#endif
