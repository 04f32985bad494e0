/* SPDX-License-Identifier: MIT
 * Part of api/; calls every folder.
 *
 * charts - the last hour of the history as small charts in HTML: inline SVG,
 * the same as a sentence for who cannot see it, and as a table. They need no
 * script and no style of their own; the classes are those of api/page/page.css.
 *
 * Threads: any.
 */
#ifndef AURORE_API_CHARTS_H
#define AURORE_API_CHARTS_H

#include "base/bytes.h"
#include "observe/history.h"

/* Appends the hour before "now_us" (since 1970). Whatever the history holds
 * (NULL: nothing), what is drawn is bounded: a point for each minute, the
 * highest in it. */
void au_charts_put(au_bytes_t *html, au_history_t *history, int64_t now_us);

#endif
