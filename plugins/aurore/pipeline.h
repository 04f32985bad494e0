/* SPDX-License-Identifier: MIT
 *
 * pipeline - the one event pipeline of this process: the options of both
 * plugins, the buffer, the listeners and the writers, and the order in which
 * they start and stop. Both plugins load this library and so share it.
 *
 * The order of the two plugins does not matter: the options of both are known
 * before the first start (collectd reads its whole configuration first), so
 * whichever side starts first opens the buffer; each side then starts its own
 * threads. The first stop, of either side, stops everything in the right order;
 * the second does nothing.
 *
 * Threads: every function from collectd's main thread, but flush, which any
 * thread may call at any time between start and stop.
 */
#ifndef AURORE_PIPELINE_H
#define AURORE_PIPELINE_H

#include "base/status.h"
#include "config/options.h"

/* The plugins call these; all else in libaurore is hidden. */
#pragma GCC visibility push(default)

/* From module_register of the plugin: the side is part of this process. */
void au_pipeline_register(au_side_t side);

/* The options that the configuration callbacks fill. Made with its defaults
 * at the first call; NULL when out of memory. Owned by the pipeline. */
au_options_t *au_pipeline_options(void);

/* From the init callback: checks the options as a whole, opens the buffer if
 * the other side has not, starts the side's threads. AU_INVALID, AU_IO,
 * AU_NOMEM: the side has not started, "error" says why; stop is still allowed.
 * A busy port or a database that is away is not an error. */
AU_MUST_CHECK au_status_t au_pipeline_start(au_side_t side, char *error,
                                            size_t error_size);

/* Asks the writers to store all that waits now; does not wait for them. */
void au_pipeline_flush(void);

/* From the shutdown callback: stops accepting, drains for at most
 * ShutdownTimeout, ends every thread, frees everything. Safe after a start
 * that failed or never happened, and when called twice. AU_OK when nothing
 * that was accepted was left over, or it stays safe in a spool directory;
 * AU_UNAVAILABLE when events in memory were lost (logged, with their
 * number). */
au_status_t au_pipeline_stop(void);

#pragma GCC visibility pop

/* What a process with these options needs: sessions of the database, and files
 * beside its clients' connections and what it had open before. Pure. */
unsigned au_pipeline_sessions(const au_options_t *options, unsigned lanes);
uint64_t au_pipeline_descriptors(const au_options_t *options, unsigned lanes,
                                 bool is_memory);

#endif
